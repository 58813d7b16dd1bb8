//! What those who operate a planet may ask of all regions together: who is a member, who votes, who
//! is the home of how much.
//!
//! A command says what shall be so, not what shall be done. The leader of the group looks how far
//! the charter is from it, and proposes one step, until nothing is missing. So a command that was
//! interrupted is simply given again.
//! Must not know how regions agree.

mod plan;
mod run;

pub(crate) use plan::{Knowledge, Step, plan};
pub(crate) use run::Names;

use std::collections::BTreeSet;

use photon_state::{PlacementId, RegionId};

/// What an operator wants to be so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Govern {
    /// Show what all regions agree on.
    Show,
    /// A region is a member of the planet. It must be configured everywhere, live and be linked.
    Add {
        /// The region.
        region: RegionId,
    },
    /// A region is the home of nothing, and is spared by new work.
    Drain {
        /// The region.
        region: RegionId,
        /// Even if tasks of some placement get no home then.
        is_forced: bool,
    },
    /// A region may be the home of tasks again; it gets none by this.
    Undrain {
        /// The region.
        region: RegionId,
    },
    /// A region is no member of the planet.
    Remove {
        /// The region.
        region: RegionId,
        /// Even if it is not drained, or the only one that some placement has.
        is_forced: bool,
    },
    /// Placements have the regions that the leader has them configured with.
    Adopt,
    /// Every region is the home of as many shards as any other.
    Rebalance,
    /// These regions vote, and no others.
    Voters {
        /// The regions.
        voters: BTreeSet<RegionId>,
        /// Even if no majority of them is heard now.
        is_forced: bool,
    },
}

/// What all regions agree on, as one of them has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanetView {
    /// How many decrees this region has followed.
    pub decree: u64,
    /// Who leads the group, as far as this region knows.
    pub leader: Option<RegionId>,
    /// The members of the planet, by name.
    pub members: Vec<MemberView>,
    /// The placements that are agreed on, by name; `global` is all members.
    pub placements: Vec<PlacementView>,
}

/// A placement as all have agreed on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacementView {
    /// Its name.
    pub placement: PlacementId,
    /// Its regions.
    pub regions: Vec<RegionId>,
    /// Whether the region that shows it has it configured so: else it decides about none of its
    /// tasks.
    pub is_configured: bool,
}

/// A member of the planet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// Its name.
    pub region: RegionId,
    /// Whether it votes.
    pub is_voter: bool,
    /// Whether all agree that it is down.
    pub is_down: bool,
    /// Whether it is to be the home of nothing.
    pub is_draining: bool,
    /// Whether it has taken over all that it became the home of, as far as is known here.
    pub is_settled: bool,
    /// How many shards of tasks it is the home of.
    pub shards: usize,
}

/// Why the planet does not become as an operator wants.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GovernRefusal {
    /// The region is no member.
    #[error("`{0}` is no member of the planet; `photon planet show` lists them")]
    NotMember(RegionId),
    /// The region is a member already.
    #[error("`{0}` is a member of the planet already; nothing was changed")]
    AlreadyMember(RegionId),
    /// No configuration names the region.
    #[error(
        "`{0}` is not in the configuration of the region that leads; name it in that of every \
         region first"
    )]
    NotConfigured(RegionId),
    /// The region has not been heard.
    #[error(
        "`{0}` has not been heard: start it, with the planet's identity and its own folder, and \
         see that it is linked"
    )]
    NotHeard(RegionId),
    /// Nobody would vote.
    #[error("at least one region must vote")]
    NoVoter,
    /// Too many would vote.
    #[error("at most {0} regions may vote: each decree waits for a majority of them")]
    TooManyVoters(usize),
    /// Those who shall vote could not agree on anything.
    #[error(
        "of {voters} voters {needed} would have to be heard, and only {heard} are; nothing would \
         be agreed any more"
    )]
    WouldLoseQuorum {
        /// How many would vote.
        voters: usize,
        /// How many make a majority.
        needed: usize,
        /// How many are heard.
        heard: usize,
    },
    /// The region votes.
    #[error("`{0}` votes: let others vote first, with `photon planet voters`")]
    Votes(RegionId),
    /// The region is still the home of tasks.
    #[error(
        "`{region}` is the home of {shards} shards: drain it first, with `photon region drain \
         {region}`"
    )]
    HasShards {
        /// The region.
        region: RegionId,
        /// How many it has.
        shards: usize,
    },
    /// Nobody else may be the home of tasks of a placement.
    #[error(
        "no other region of the placement `{placement}` can take over what `{region}` is the home \
         of"
    )]
    NobodyElse {
        /// The region.
        region: RegionId,
        /// The placement.
        placement: PlacementId,
    },
    /// A majority could not be reached, or took too long.
    #[error("no majority of the voters agreed in time; it may still come to be so: ask again")]
    NotAgreed,
}
