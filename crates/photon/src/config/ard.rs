//! Reads and writes how the planet's agents are published and found (ARD).
//! Must not ask anybody for anything.

use std::collections::BTreeMap;

use photon_edge::is_publisher;
use reqwest::Url;

use super::render::quoted;
use super::section::{Section, Value};
use super::{ConfigError, Secret};

/// Other registries; more are refused.
const REGISTRIES_MAX: usize = 16;

/// How the planet's agents are published and found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ard {
    /// The domain in the names of all agents, if it is not that of a planet of one machine.
    pub publisher: Option<String>,
    /// Other registries that are asked along, by what people call them.
    pub registries: BTreeMap<String, OtherRegistry>,
    /// Who says what texts mean, if there is somebody.
    pub embedder: Option<Embedder>,
}

/// Another registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherRegistry {
    /// The address below which it has `/search`.
    pub url: Url,
    /// The bearer token that it asks for.
    pub token: Option<Secret>,
}

/// An embedder that speaks as that of OpenAI does.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedder {
    /// The address below which it has `/embeddings`.
    pub url: Url,
    /// The model.
    pub model: String,
    /// The key that it asks for.
    pub key: Option<Secret>,
    /// The cosine up to which a text counts as having nothing to do with a query.
    pub floor: f32,
}

/// What most models say of texts that have nothing to do with each other.
const FLOOR: f32 = 0.3;

/// Reads it.
pub(super) fn read(section: &Section<'_>) -> Result<Ard, ConfigError> {
    section.refuse_unknown(&["publisher", "registries", "embedder"])?;
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
    let embedder = match section.find("embedder") {
        Some(value) => Some(embedder(&value.section()?)?),
        None => None,
    };
    Ok(Ard { publisher, registries, embedder })
}

fn embedder(section: &Section<'_>) -> Result<Embedder, ConfigError> {
    section.refuse_unknown(&["url", "model", "key", "floor"])?;
    let expected = "an address below which there is `/embeddings`, as http://127.0.0.1:11434/v1";
    let url = web_address(&section.require("url", expected)?, expected)?;
    let model = section.require("model", "the model that makes the vectors")?;
    let model = match model.text()? {
        "" => return Err(model.wrong("the name of a model")),
        name => name.to_owned(),
    };
    let key = secret(section, "key", "a key of 16 to 256 visible ASCII characters")?;
    let floor = match section.find("floor") {
        Some(value) => value.decimal((-1.0, 0.99), "a number such as 0.3")? as f32,
        None => FLOOR,
    };
    Ok(Embedder { url, model, key, floor })
}

fn registry(name: &str, value: &Value<'_>) -> Result<OtherRegistry, ConfigError> {
    let is_named = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if name.is_empty() || 63 < name.len() || !name.bytes().all(is_named) {
        return Err(value.wrong("under a name of 1 to 63 letters, digits, `.`, `_` and `-`"));
    }
    let expected = "the address below which a registry has `/search`, as https://example.com/ard";
    if value.text().is_ok() {
        return Ok(OtherRegistry { url: web_address(value, expected)?, token: None });
    }
    let section = value.clone().section().map_err(|_| value.wrong(expected))?;
    section.refuse_unknown(&["url", "token"])?;
    let url = web_address(&section.require("url", expected)?, expected)?;
    let token = secret(&section, "token", "a token of 16 to 256 visible ASCII characters")?;
    Ok(OtherRegistry { url, token })
}

/// Reads what is sent as a bearer token, if there is one.
fn secret(
    section: &Section<'_>,
    key: &str,
    expected: &'static str,
) -> Result<Option<Secret>, ConfigError> {
    let Some(value) = section.find(key).map(Value::hidden) else { return Ok(None) };
    let is_shown = |it: &Secret| it.expose().bytes().all(|b| b.is_ascii_graphic());
    let secret = Secret::new(value.text()?).filter(is_shown);
    secret.map(Some).ok_or_else(|| value.wrong(expected))
}

fn web_address(value: &Value<'_>, expected: &'static str) -> Result<Url, ConfigError> {
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
    let registries = registries.map(|(name, OtherRegistry { url, token })| match token {
        Some(token) => {
            let token = quoted(token.expose());
            format!("\"{name}\" = {{ url = \"{url}\", token = {token} }}")
        }
        None => format!("\"{name}\" = \"{url}\""),
    });
    text += &format!("registries = {{ {} }}\n", registries.collect::<Vec<_>>().join(", "));
    if let Some(Embedder { url, model, key, floor }) = &ard.embedder {
        text += &format!("\n[ard.embedder]\nurl = \"{url}\"\nmodel = {}\n", quoted(model));
        if let Some(key) = key {
            text += &format!("key = {}\n", quoted(key.expose()));
        }
        text += &format!("floor = {floor:?}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    /// Parses registries, and returns them, or the error, as people see them.
    fn parsed(registries: &str) -> String {
        let region = "[regions.eu-west-1]\napi = \"127.0.0.1:1\"\nlink = \"127.0.0.1:2\"\n";
        let text = format!("planet = \"dev\"\n{region}[ard.registries]\n{registries}\n");
        match Config::parse("p.toml", &text) {
            Ok(config) => format!("{:?}", config.ard.registries),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_registry_is_an_address_or_one_with_a_token_that_is_not_shown() {
        let check = |registries: &str, expected: &str| {
            let parsed = parsed(registries);
            assert!(parsed.contains(expected), "{registries}: {parsed}");
            assert!(!parsed.contains("s3cret"), "{registries}: {parsed}");
        };
        check("a = \"https://a.example\"", "token: None");
        check("a = { url = \"https://a.example\" }", "token: None");
        check("a = { url = \"https://a.example\", token = \"s3cret-0123456789\" }", "Some(***)");
        check("a = { token = \"s3cret-0123456789\" }", "`ard.registries.a.url`");
        check("a = { url = \"https://a.example\", tokn = \"x\" }", "`ard.registries.a.token`");
        check("a = 7", "the address below which a registry has `/search`");
        for odd in ["s3cret", "s3cret 0123456789", "s3crét-0123456789"] {
            let registry = format!("a = {{ url = \"https://a.example\", token = \"{odd}\" }}");
            check(&registry, "a token of 16 to 256 visible ASCII characters");
        }
    }
}
