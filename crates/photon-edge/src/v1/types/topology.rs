//! Who sends whose ops to whom, in JSON.
//! Must not know how it is laid out.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who sends whose changes to whom, as the region that answers sees it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Topology {
    /// The region that answers.
    #[schema(example = "eu-west-1")]
    pub here: String,
    /// The topology that it is configured with.
    #[schema(example = "auto")]
    pub topology: String,
    /// Linked regions that are configured with another one, or with another hub, groups or parents;
    /// while there are any, this region sends as in a mesh.
    pub configured_otherwise: Vec<String>,
    /// Every two regions, each pair once.
    pub links: Vec<TopologyLink>,
    /// How the changes of each origin spread in each placement that the region belongs to.
    pub flows: Vec<TopologyFlow>,
}

/// Two regions.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TopologyLink {
    /// The region with the lesser name.
    #[schema(example = "eu-west-1")]
    pub a: String,
    /// The other one.
    #[schema(example = "us-east-1")]
    pub b: String,
    /// Whether they are linked, as far as the region that answers knows.
    pub is_up: bool,
    /// The round trip that is reckoned with.
    pub round_trip_ms: f64,
    /// Whether it was measured; otherwise it is estimated by distance.
    pub is_measured: bool,
}

/// How the changes that one region makes spread in a placement.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TopologyFlow {
    /// The placement.
    #[schema(example = "global")]
    pub placement: String,
    /// The region that makes the changes.
    #[schema(example = "eu-west-1")]
    pub origin: String,
    /// Whether the origin cannot be reached: each region sends to the other what that one lacks.
    pub is_mutual: bool,
    /// Who sends to whom.
    pub sends: Vec<TopologySend>,
    /// Regions of the placement that nothing reaches.
    pub unreached: Vec<String>,
}

/// A region sends to another.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TopologySend {
    /// Who sends.
    #[schema(example = "eu-west-1")]
    pub from: String,
    /// To whom.
    #[schema(example = "us-east-1")]
    pub to: String,
    /// How long it takes: half of the round trip.
    pub delay_ms: f64,
}
