//! An agent as a catalog has it: what of it is found, filtered and shown.
//! Must not know how it is searched for.

use std::borrow::Cow;
use std::sync::Arc;

use axum::http::Uri;
use photon_region::{Agent, Skill};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::liveness::Unheard;
use crate::time::rfc3339;

/// The media type of an agent's card.
pub(super) const A2A_CARD: &str = "application/a2a-agent-card+json";
/// The media type of a registry such as this one.
pub(super) const REGISTRY: &str = "application/ai-registry+json";
/// The media type of what describes an MCP server.
pub(super) const MCP_CARD: &str = "application/mcp-server-card+json";

/// The most representative queries of an entry.
const QUERIES_MAX: usize = 5;

/// The most tags of an agent; further ones are left out.
const TAGS_MAX: usize = 256;

/// What of a card is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Card {
    name: String,
    description: String,
    version: String,
    skills: Vec<CardSkill>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CardSkill {
    id: String,
    name: String,
    description: String,
    tags: Option<Vec<String>>,
    examples: Option<Vec<String>>,
}

impl Card {
    /// Reads the card of an agent; one that is not what it should be has nothing.
    pub(super) fn of(agent: &Agent) -> Self {
        serde_json::from_slice(&agent.spec.card.0).unwrap_or_default()
    }

    /// Returns the text by which an agent is found whatever it can do.
    pub(super) fn head(&self, agent: &Agent) -> String {
        format!("{} {} {}", agent.spec.name, self.name, self.description)
    }

    /// Returns the text by which a skill is found: the same for all agents that say the same of it.
    pub(super) fn skill_text(&self, skill: &Skill) -> String {
        let mut text = skill.to_string();
        for it in self.skills.iter().filter(|it| *it.id == **skill) {
            let parts = [&it.name, &it.description].into_iter();
            let parts = parts.chain(it.tags.iter().flatten()).chain(it.examples.iter().flatten());
            for part in parts.filter(|part| !part.is_empty() && **part != **skill) {
                text.push(' ');
                text.push_str(part);
            }
        }
        text
    }

    /// Returns its tags, each once, in order.
    pub(super) fn tags(&self) -> Box<[Box<str>]> {
        let all = self.skills.iter().flat_map(|it| it.tags.iter().flatten()).take(TAGS_MAX);
        let mut tags: Vec<Box<str>> = all.map(|it| it.as_str().into()).collect();
        tags.sort_unstable();
        tags.dedup();
        tags.into()
    }

    pub(super) fn version(&self) -> &str {
        if self.version.is_empty() { "1.0.0" } else { &self.version }
    }

    pub(super) fn display_name<'a>(&'a self, agent: &'a Agent) -> &'a str {
        if self.name.is_empty() { &agent.spec.name } else { &self.name }
    }

    fn description(&self, agent: &Agent) -> String {
        if !self.description.trim().is_empty() {
            return self.description.clone();
        }
        let skills: Vec<&str> = agent.spec.skills.iter().map(|it| &**it).collect();
        format!("An agent that offers {}.", skills.join(", "))
    }

    /// Returns what one might ask for: the card's examples, or else what it says of its skills.
    /// Two at the least, as ARD wants.
    fn queries(&self, agent: &Agent) -> Vec<String> {
        let offered: Vec<&CardSkill> =
            self.skills.iter().filter(|it| agent.spec.skills.contains(it.id.as_str())).collect();
        let examples = offered.iter().flat_map(|it| it.examples.iter().flatten().cloned());
        let said = offered.iter().map(|it| it.description.clone());
        let named = agent.spec.skills.iter().map(|it| format!("do {it}"));
        let last = [format!("ask {}", self.display_name(agent))];
        let mut queries: Vec<String> = Vec::new();
        for query in examples.chain(said).chain(named).chain(last) {
            let is_new = !query.trim().is_empty() && !queries.contains(&query);
            if is_new && queries.len() < QUERIES_MAX {
                queries.push(query);
            }
        }
        queries
    }
}

/// What is said of agents and is not in their records.
#[derive(Clone, Debug)]
pub(super) struct Local {
    /// The domain that publishes them.
    pub(super) publisher: String,
    pub(super) unheard: Unheard,
}

/// How entries are named and addressed.
#[derive(Clone, Debug)]
pub(super) struct Imprint<'a> {
    pub(super) local: &'a Local,
    /// The address of this region, as the client knows it.
    pub(super) base: &'a str,
}

impl Imprint<'_> {
    /// Returns the address of this registry.
    pub(super) fn registry(&self) -> String {
        format!("{}/ard", self.base)
    }

    /// Returns the name of something under its kind.
    pub(super) fn urn(&self, kind: &str, name: &str) -> String {
        format!("urn:air:{}:{kind}:{name}", self.local.publisher)
    }

    /// Returns an agent as an entry of a catalog.
    pub(super) fn entry(&self, agent: &Agent) -> Value {
        let (card, spec) = (Card::of(agent), &agent.spec);
        json!({
            "identifier": self.urn("agent", &spec.name),
            "displayName": card.display_name(agent),
            "type": A2A_CARD,
            "url": format!("{}/agents/{}/.well-known/agent-card.json", self.base, spec.name),
            "description": card.description(agent),
            "tags": card.tags(),
            "capabilities": spec.skills.iter().map(|it| &**it).collect::<Vec<_>>(),
            "representativeQueries": card.queries(agent),
            "version": card.version(),
            "updatedAt": rfc3339(agent.at),
            "metadata": {
                "region": agent.region.as_str(),
                "status": self.local.unheard.status(agent).as_str(),
                "placement": spec.placement.as_str(),
                "cost": spec.cost_micros as f64 / 1e6,
            },
        })
    }
}

/// What entries can be filtered and counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Identifier,
    DisplayName,
    Type,
    Publisher,
    Tags,
    Capabilities,
    Version,
    Region,
    Status,
    Placement,
}

impl Field {
    const ALL: [(&str, Self); 11] = [
        ("identifier", Self::Identifier),
        ("displayName", Self::DisplayName),
        ("type", Self::Type),
        ("publisher", Self::Publisher),
        ("publisherId", Self::Publisher),
        ("tags", Self::Tags),
        ("capabilities", Self::Capabilities),
        ("version", Self::Version),
        ("metadata.region", Self::Region),
        ("metadata.status", Self::Status),
        ("metadata.placement", Self::Placement),
    ];

    /// Finds a field by its path.
    pub(super) fn find(path: &str) -> Option<Self> {
        Self::ALL.iter().find(|(its, _)| *its == path).map(|(_, field)| *field)
    }

    /// Says which paths there are.
    pub(super) fn paths() -> String {
        Self::ALL.map(|(path, _)| path).join(", ")
    }
}

/// An agent that is found.
#[derive(Debug)]
pub(super) struct Doc {
    pub(super) agent: Arc<Agent>,
    pub(super) display_name: Box<str>,
    /// The same in small letters.
    pub(super) small_name: Box<str>,
    pub(super) tags: Box<[Box<str>]>,
    pub(super) version: Box<str>,
}

impl Doc {
    /// Returns what it has in a field.
    pub(super) fn values<'a>(&'a self, field: Field, local: &'a Local) -> Vec<Cow<'a, str>> {
        let spec = &self.agent.spec;
        match field {
            Field::Identifier => {
                vec![format!("urn:air:{}:agent:{}", local.publisher, spec.name).into()]
            }
            Field::DisplayName => vec![(&*self.display_name).into()],
            Field::Type => vec![A2A_CARD.into()],
            Field::Publisher => vec![local.publisher.as_str().into()],
            Field::Tags => self.tags.iter().map(|it| (&**it).into()).collect(),
            Field::Capabilities => spec.skills.iter().map(|it| (&**it).into()).collect(),
            Field::Version => vec![(&*self.version).into()],
            Field::Region => vec![self.agent.region.as_str().to_owned().into()],
            Field::Status => vec![local.unheard.status(&self.agent).as_str().into()],
            Field::Placement => vec![spec.placement.as_str().to_owned().into()],
        }
    }
}

/// Whether a text can be the publisher of a catalog: a domain of two labels at least.
#[must_use]
pub fn is_publisher(text: &str) -> bool {
    let is_label = |it: &str| {
        let bytes = it.as_bytes();
        let ends = [bytes.first(), bytes.last()];
        (1..=63).contains(&it.len())
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
            && ends.into_iter().flatten().all(u8::is_ascii_alphanumeric)
    };
    text.len() <= 253 && text.contains('.') && text.split('.').all(is_label)
}

/// Returns the host of an address that is a domain.
pub(super) fn domain_of(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let host = uri.host()?.to_ascii_lowercase();
    is_publisher(&host).then_some(host)
}
