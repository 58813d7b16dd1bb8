//! What all regions agree on, in JSON.
//! Must not know how they come to agree.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What all regions agree on, as the region that answers has it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Planet {
    /// The region that answers.
    #[schema(example = "eu-west-1")]
    pub here: String,
    /// How many decrees it has followed.
    pub decree: u64,
    /// The region that proposes decrees, as far as is known; absent while there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "us-east-1")]
    pub leader: Option<String>,
    /// The members of the planet, by name.
    pub members: Vec<PlanetMember>,
    /// The placements that are agreed on, by name; `global` is all members.
    pub placements: Vec<PlanetPlacement>,
}

/// A placement as all have agreed on it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PlanetPlacement {
    /// Its name.
    #[schema(example = "eu")]
    pub placement: String,
    /// Its regions.
    pub regions: Vec<String>,
    /// Whether the region that answers has it configured so: else it decides about none of its
    /// tasks.
    pub is_configured: bool,
}

/// A member of the planet.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PlanetMember {
    /// Its name.
    #[schema(example = "eu-west-1")]
    pub region: String,
    /// Whether it votes on decrees.
    pub is_voter: bool,
    /// Whether all agree that it is down.
    pub is_down: bool,
    /// Whether it is to be the home of nothing, and to be spared by new work.
    pub is_draining: bool,
    /// Whether it has taken over all that it became the home of, as far as is known.
    pub is_settled: bool,
    /// How many shards of tasks it is the home of: each placement has 1,024.
    pub shards: u64,
}

/// Who shall vote.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VotersPut {
    /// The regions, one to seven: an odd number of them outlives the loss of a minority.
    #[schema(min_items = 1, max_items = 7, pattern = "^[a-z][a-z0-9-]{0,22}$")]
    pub voters: Vec<String>,
    /// Even if no majority of them is heard. Where no majority of the present voters is left, the
    /// region that is asked goes on as the only voter: what only the others had agreed on is lost,
    /// and none of them may return with its folder.
    #[serde(default)]
    pub force: bool,
}

/// Which region shall be a member.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberPost {
    /// The region: in the configuration of every region, started and linked.
    #[schema(pattern = "^[a-z][a-z0-9-]{0,22}$", example = "eu-west-1")]
    pub region: String,
}
