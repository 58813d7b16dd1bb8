//! Agents in JSON. Cards are A2A 1.0 `AgentCard`s, hence in its camel case.
//! Must not know where an agent is kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{CAPACITY_MAX, Raw, whole};

/// What an agent's operator announces.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"skills": ["text.upper"], "capacity": 4, "description": "Shouts."}))]
pub struct AgentPut {
    /// What it can do. Each is `[A-Za-z0-9][A-Za-z0-9._/-]*`, 128 characters at most.
    #[schema(min_items = 1, max_items = 64, pattern = "^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$")]
    pub skills: Vec<String>,
    /// How many tasks it works on at once.
    #[serde(default = "one", deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 1024, default = 1)]
    pub capacity: u32,
    /// What it asks for a task, in whatever the planet reckons in, to the millionth.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1_000_000, default = 0)]
    pub cost: f64,
    /// Its A2A 1.0 `AgentCard`, kept as it is; a plain one is made when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<AgentCard>)]
    pub card: Option<Raw<AgentCard>>,
    /// What people should know about it; goes into the card that is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where the record may live; `global` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[a-z][a-z0-9-]{0,22}$")]
    pub placement: Option<String>,
}

fn one() -> u32 {
    const { assert!(1 <= CAPACITY_MAX) };
    1
}

/// An agent.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Agent {
    /// Its name.
    #[schema(example = "shout")]
    pub name: String,
    /// Where it is attached.
    #[schema(example = "eu-west-1")]
    pub region: String,
    /// Whether it lives.
    pub status: AgentStatus,
    /// How many tasks it works on, as far as is known here.
    pub in_use: u32,
    /// How many tasks it works on at once.
    pub capacity: u32,
    /// What it asks for a task.
    #[serde(default)]
    pub cost: f64,
    /// What it can do.
    pub skills: Vec<String>,
    /// Where the record may live.
    pub placement: String,
    /// Its card.
    #[schema(value_type = AgentCard)]
    pub card: Raw<AgentCard>,
    /// When it was last announced (RFC 3339).
    #[schema(format = DateTime)]
    pub registered_at: String,
}

/// Whether an agent lives, as far as the region that answers can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AgentStatus {
    /// Its region has heard of it lately.
    Online,
    /// Its region said so, but that region is not heard itself: it is given new work only when no
    /// other has room.
    Suspect,
    /// Its region has not heard of it lately.
    Offline,
}

impl AgentStatus {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Suspect => "suspect",
            Self::Offline => "offline",
        }
    }
}

/// Agents by name.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Agents {
    /// The agents.
    pub agents: Vec<Agent>,
    /// Give it back as `cursor` for those that follow; absent when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next_cursor: Option<String>,
}

/// An A2A 1.0 `AgentCard`. Fields that are not listed here are kept, too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "name": "shout", "description": "Shouts.", "version": "1.0.0",
    "supportedInterfaces": [], "capabilities": {"streaming": true},
    "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"],
    "skills": [{"id": "text.upper", "name": "text.upper", "description": "Shouts.", "tags": []}]
}))]
pub struct AgentCard {
    /// What people call the agent.
    pub name: String,
    /// What people should know about it.
    #[serde(default)]
    pub description: String,
    /// The agent's own version.
    #[serde(default = "first_version")]
    pub version: String,
    /// Where it can be reached. Each region puts its own address for the agent there.
    #[serde(default)]
    pub supported_interfaces: Vec<AgentInterface>,
    /// What of the protocol it can do.
    #[serde(default)]
    pub capabilities: AgentCapabilities,
    /// Media types that it takes.
    #[serde(default)]
    pub default_input_modes: Vec<String>,
    /// Media types that it gives.
    #[serde(default)]
    pub default_output_modes: Vec<String>,
    /// What it can do.
    #[serde(default)]
    pub skills: Vec<AgentSkill>,
    /// Who provides it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<AgentProvider>,
    /// Where to read more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documentation_url: Option<String>,
    /// Its picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icon_url: Option<String>,
}

fn first_version() -> String {
    "1.0.0".to_owned()
}

/// An address of an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentInterface {
    /// The URL.
    pub url: String,
    /// `JSONRPC`, `HTTP+JSON` or `GRPC`.
    pub protocol_binding: String,
    /// The version of A2A.
    pub protocol_version: String,
    /// The tenant to name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
}

/// What of A2A an agent can do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentCapabilities {
    /// Streams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streaming: Option<bool>,
    /// Calls back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_notifications: Option<bool>,
    /// Extensions of the protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Vec<AgentExtension>>,
    /// Has a longer card for those who have signed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended_agent_card: Option<bool>,
}

/// An extension of A2A.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentExtension {
    /// Its name.
    pub uri: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether clients must know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,
    /// Its parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<BTreeMap<String, Value>>,
}

/// Who provides an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentProvider {
    /// The organization.
    pub organization: String,
    /// Its web site.
    pub url: String,
}

/// Something that an agent can do, for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentSkill {
    /// Its name for machines.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// What it does.
    pub description: String,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// What one might ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub examples: Option<Vec<String>>,
    /// Media types that it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_modes: Option<Vec<String>>,
    /// Media types that it gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_modes: Option<Vec<String>>,
}
