//! Reads and writes how the planet's agents are published and found (ARD).
//! Must not ask anybody for anything.

use std::collections::BTreeMap;

use photon_edge::is_publisher;
use reqwest::Url;

use super::ConfigError;
use super::section::{Section, Value};

/// Other registries; more are refused.
const REGISTRIES_MAX: usize = 16;

/// How the planet's agents are published and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ard {
    /// The domain in the names of all agents, if it is not that of a planet of one machine.
    pub publisher: Option<String>,
    /// Other registries that are asked along, by what people call them.
    pub registries: BTreeMap<String, Url>,
}

/// Reads it.
pub(super) fn read(section: &Section<'_>) -> Result<Ard, ConfigError> {
    section.refuse_unknown(&["publisher", "registries"])?;
    let publisher = match section.find("publisher") {
        Some(value) if !is_publisher(value.text()?) => {
            return Err(value.wrong("a domain that is yours, such as \"agents.example.com\""));
        }
        Some(value) => Some(value.text()?.to_ascii_lowercase()),
        None => None,
    };
    let mut registries = BTreeMap::new();
    for (name, value) in section.section("registries")?.entries(REGISTRIES_MAX)? {
        registries.insert(name.to_owned(), registry(name, &value)?);
    }
    Ok(Ard { publisher, registries })
}

fn registry(name: &str, value: &Value<'_>) -> Result<Url, ConfigError> {
    let is_named = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if name.is_empty() || 63 < name.len() || !name.bytes().all(is_named) {
        return Err(value.wrong("under a name of 1 to 63 letters, digits, `.`, `_` and `-`"));
    }
    let expected = "the address below which a registry has `/search`, as https://example.com/ard";
    let url = Url::parse(value.text()?).map_err(|_| value.wrong(expected))?;
    let is_plain = url.query().is_none() && url.fragment().is_none() && url.has_host();
    let is_web = ["http", "https"].contains(&url.scheme());
    let is_open = url.username().is_empty() && url.password().is_none();
    if is_plain && is_web && is_open { Ok(url) } else { Err(value.wrong(expected)) }
}

/// Writes it.
pub(super) fn render(ard: &Ard) -> String {
    let mut text = "\n[ard]\n".to_owned();
    if let Some(publisher) = &ard.publisher {
        text += &format!("publisher = \"{publisher}\"\n");
    }
    let registries = ard.registries.iter();
    let registries = registries.map(|(name, url)| format!("\"{name}\" = \"{url}\""));
    text += &format!("registries = {{ {} }}\n", registries.collect::<Vec<_>>().join(", "));
    text
}
