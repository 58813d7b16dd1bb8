//! Regions in JSON.
//! Must not know how their health is found out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The regions of the planet, as seen from the one that answers.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Regions {
    /// What people call the planet.
    pub planet: String,
    /// The version of Photon that answers.
    pub version: String,
    /// The region that answers.
    pub here: String,
    /// All regions.
    pub regions: Vec<Region>,
    /// The regions of each placement.
    pub placements: BTreeMap<String, Vec<String>>,
}

/// A region: its place, and how it looks from the one that answers.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Region {
    /// Its name.
    #[schema(example = "eu-west-1")]
    pub name: String,
    /// The city that it is in, or near to.
    pub city: String,
    /// The country, as ISO 3166-1 alpha-2.
    pub country: String,
    /// The continent.
    pub continent: String,
    /// Degrees; north is positive.
    pub latitude: f64,
    /// Degrees; east is positive.
    pub longitude: f64,
    /// The privacy regime that it is under.
    pub privacy: String,
    /// The base URL of its front door.
    pub api: String,
    /// Whether it can be reached.
    pub health: RegionHealth,
    /// Why there is no link to it, or how far its clock is off; of the region that answers, what is
    /// wrong with it. Absent if all is well, or nothing is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub trouble: Option<String>,
    /// What is thought of it.
    pub verdict: RegionVerdict,
    /// For how long; absent if it was never thought otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub since_ms: Option<u64>,
    /// How many shards of tasks it is the home of: 1,024 for each placement, shared by its regions.
    /// Of itself, a region counts those that it has taken over.
    pub shards: u64,
    /// The last round trip measured to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub round_trip_ms: Option<f64>,
    /// How many ops of this region are not yet durable there, as far as is known.
    pub lag_ops: u64,
    /// How long ago the first of them was made; absent until that region has spoken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub lag_ms: Option<u64>,
    /// What is in it; only of the region that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub counts: Option<RegionCounts>,
}

/// How a region looks from the one that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RegionHealth {
    /// It is the one that answers.
    #[serde(rename = "self")]
    Here,
    /// There is a link to it.
    Linked,
    /// There is no link to it.
    Unlinked,
}

/// What the region that answers thinks of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RegionVerdict {
    /// It is well.
    Up,
    /// It says itself that something is wrong: new work is better sent elsewhere.
    Degraded,
    /// It is not heard here, or does not hear the region that answers.
    PathBad,
    /// Most regions do not hear it: it is the home of nothing more.
    Down,
}

/// What a region knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RegionCounts {
    /// Agents of the whole planet.
    pub agents: u64,
    /// Those that are online.
    pub agents_online: u64,
    /// Tasks of this home that wait for an agent.
    pub waiting: u64,
    /// Tasks in memory, by state.
    pub tasks: BTreeMap<String, u64>,
}
