//! Agents as the world speaks of them.
//! Must not know where they are kept.

use std::collections::BTreeSet;
use std::sync::Arc;

use photon_state::{Hlc, PlacementId, RegionId};

use crate::task::{AgentName, Json, Skill};

/// An agent as its operator announces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentSpec {
    /// Its name.
    pub name: AgentName,
    /// What it can do.
    pub skills: BTreeSet<Skill>,
    /// How many tasks it works on at once.
    pub capacity: u32,
    /// What it asks for a task, in millionths of what its operator reckons in.
    pub cost_micros: u64,
    /// Its A2A `AgentCard`.
    pub card: Json,
    /// Where the record may live.
    pub placement: PlacementId,
}

/// An agent that has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentChange {
    /// Its name.
    pub name: AgentName,
    /// What it is; nothing if it is gone.
    pub agent: Option<Arc<Agent>>,
}

/// An agent as the planet sees it from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// What its operator announced.
    pub spec: AgentSpec,
    /// Where it is attached.
    pub region: RegionId,
    /// Whether its region has heard of it lately.
    pub is_online: bool,
    /// How many tasks it works on, as far as is known here.
    pub in_use: u32,
    /// When it was last announced.
    pub at: Hlc,
}
