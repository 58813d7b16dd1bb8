//! Why an agent would be given a task, in JSON.
//! Must not weigh anything.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How the region that answers would choose the agent for a task of which it is the home.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Route {
    /// The region that answers.
    #[schema(example = "eu-west-1")]
    pub region: String,
    /// Where the task may be.
    #[schema(example = "global")]
    pub placement: String,
    /// The agent that would be given the task; absent when none could be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "shout")]
    pub chosen: Option<String>,
    /// What counts how much, as `[matching]` of the configuration has it.
    pub weights: RouteWeights,
    /// Those who offer what is asked: the chosen one, the others that could be, the best first,
    /// and then those that could not.
    pub candidates: Vec<RouteCandidate>,
    /// How many there are, listed or not.
    pub count: u64,
}

/// What counts how much.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct RouteWeights {
    /// How near the agent's region is.
    pub proximity: u16,
    /// How much of its capacity is free; in proportion to how often it succeeds, as the next two.
    pub capacity: u16,
    /// How soon it is done.
    pub latency: u16,
    /// How little it asks.
    pub cost: u16,
}

/// An agent that offers what is asked.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RouteCandidate {
    /// Its name.
    #[schema(example = "shout")]
    pub agent: String,
    /// Where it is attached.
    #[schema(example = "eu-west-1")]
    pub region: String,
    /// Whether it could be given the task, and why it could not.
    pub standing: RouteStanding,
    /// What all terms come to, of 100 points.
    pub score: f64,
    /// What each term brings.
    pub points: RoutePoints,
    /// How long a message takes to its region and back, as far as is known.
    pub round_trip_ms: f64,
    /// How many tasks it works on.
    pub in_use: u32,
    /// How many tasks it works on at once.
    pub capacity: u32,
    /// How often it succeeds at the skill, from 0 to 1; absent if nothing was seen of it of late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub success_rate: Option<f64>,
    /// In how many milliseconds 19 of 20 of its tasks were done, to within a doubling of it;
    /// absent likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub p95_ms: Option<u64>,
    /// What it asks for a task.
    pub cost: f64,
}

/// What each term brings to a score.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct RoutePoints {
    /// How near the agent's region is.
    pub proximity: f64,
    /// How much of its capacity is free; in proportion to how often it succeeds, as the next two.
    pub capacity: f64,
    /// How soon it is done.
    pub latency: f64,
    /// How little it asks.
    pub cost: f64,
}

/// Whether an agent could be given a task, and why it could not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RouteStanding {
    /// It could.
    Fit,
    /// It is given work only when no other has room: the path to its region is bad.
    PathBad,
    /// It is given work only when no other has room: its region is not well, or drains.
    RegionDegraded,
    /// It works on as many tasks as it can.
    Full,
    /// It turned work down a moment ago.
    Resting,
    /// Its region cannot be told of the task, or does not hear of what this one writes.
    RegionAway,
    /// Its region has not heard of it lately.
    Offline,
    /// The task may not be in its region.
    RegionOutside,
    /// It lacks a skill that is wanted beside the one that is asked for.
    LacksSkill,
    /// It is attached to a region that is not among those that are wanted.
    RegionUnwanted,
    /// It asks for more than is wanted.
    TooDear,
    /// The task may be where nobody may know of the agent.
    Confined,
}
