//! Writes a configuration as the text that gives it back when parsed.
//! Must not leave out what has its default: the text says all that holds.

use std::path::{Path, PathBuf};

use super::{Config, Site, TlsPaths};

/// A path that is no text, which a configuration cannot hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path `{}` is not UTF-8: choose another for `{key}`", .path.display())]
pub struct PathNotText {
    /// The key that should hold it.
    pub key: &'static str,
    /// The path.
    pub path: PathBuf,
}

impl Config {
    /// Writes every key as TOML; secrets stand in it in the clear.
    pub fn to_toml(&self) -> Result<String, PathNotText> {
        let mut text = format!("planet = \"{}\"\n", self.planet);
        if !self.voters.is_empty() {
            text += &format!("voters = {}\n", list(&self.voters));
        }
        text += &super::dataset::render_outside(self.outside);
        text += &super::push::render(self.push_targets);
        if let Some(path) = &self.card_key {
            text += &format!("card_key = {}\n", quoted(as_text("card_key", path)?));
        }
        for (name, site) in &self.regions {
            text += &format!("\n[regions.{name}]\n{}", render_site(site));
        }
        text += "\n[placements]\n";
        let own = self.placements.iter().filter(|(name, _)| name.as_str() != "global");
        for (name, members) in own {
            text += &format!("{name} = {}\n", list(members));
        }
        for dataset in &self.datasets {
            text += &super::dataset::render(dataset);
        }
        text += "\n[node]\n";
        if let Some(path) = &self.data {
            text += &format!("data = {}\n", quoted(as_text("node.data", path)?));
        }
        text += &format!("\n[listen]\ntokens = {}\n", list(&self.tokens));
        text += "\n[links]\n";
        if let Some(secret) = &self.links.secret {
            text += &format!("secret = {}\n", quoted(secret.expose()));
        }
        if let Some(TlsPaths { certificate, key, authority }) = &self.links.tls {
            let certificate = quoted(as_text("links.certificate", certificate)?);
            let key = quoted(as_text("links.key", key)?);
            let authority = quoted(as_text("links.authority", authority)?);
            text += &format!("certificate = {certificate}\nkey = {key}\nauthority = {authority}\n");
        }
        let (all, bulk) = (self.links.bytes_per_second_max, self.links.bulk_bytes_per_second_max);
        for (key, rate) in [("bytes_per_second_max", all), ("bulk_bytes_per_second_max", bulk)] {
            if let Some(rate) = rate {
                text += &format!("{key} = \"{rate}\"\n");
            }
        }
        text += &super::topology::render(&self.links.topology);
        let via = self.links.via.iter().map(|(name, address)| format!("{name} = \"{address}\""));
        text += &format!("via = {{ {} }}\n", via.collect::<Vec<_>>().join(", "));
        text += &self.tasks.render();
        text += &self.agents.render();
        text += &self.matching.render();
        text += &super::ard::render(&self.ard);
        text += &self.limits.render();
        text += &self.records.render();
        text += &self.log.render();
        Ok(text)
    }
}

fn as_text<'a>(key: &'static str, path: &'a Path) -> Result<&'a str, PathNotText> {
    path.to_str().ok_or_else(|| PathNotText { key, path: path.to_owned() })
}

fn render_site(site: &Site) -> String {
    let Site { place, city, country, api, url, link } = site;
    let mut text = format!("api = \"{api}\"\nlink = \"{link}\"\n");
    text += &format!("latitude = {:?}\nlongitude = {:?}\n", place.latitude, place.longitude);
    if let Some(url) = url {
        text += &format!("url = {}\n", quoted(url.as_str()));
    }
    for (key, value) in [("city", city), ("country", country)] {
        if let Some(value) = value {
            text += &format!("{key} = {}\n", quoted(value));
        }
    }
    text
}

/// Quotes a text as TOML does.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// Writes a list of what needs no escapes.
fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<_> = items.into_iter().map(|it| format!("\"{}\"", it.to_string())).collect();
    format!("[{}]", items.join(", "))
}
