//! What the regions can agree to.
//! Must not decide whether it is wise.

use std::collections::BTreeMap;

use photon_state::{PlacementId, RegionId};

use crate::task::Shard;

/// Who gets what a region is the home of, each with its share.
pub(crate) type Heirs = BTreeMap<RegionId, u64>;

/// A change of the charter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decree {
    /// A region is down: others get its homes.
    Fail { region: RegionId, heirs: BTreeMap<PlacementId, Heirs> },
    /// A region is to end: others get its homes.
    Drain { region: RegionId, heirs: BTreeMap<PlacementId, Heirs> },
    /// A region may be given tasks again.
    Back { region: RegionId },
    /// A region lives with a new log, under another name in the group.
    Life { region: RegionId, id: u64 },
    /// Shards get another home.
    Move { placement: PlacementId, shards: Vec<Shard>, to: RegionId },
}

impl Decree {
    /// Whether it takes homes, or the right to them, from a region.
    pub(crate) fn may_bereave(&self, region: RegionId) -> bool {
        match self {
            Self::Fail { region: it, .. }
            | Self::Drain { region: it, .. }
            | Self::Life { region: it, .. } => *it == region,
            Self::Back { .. } => false,
            Self::Move { .. } => true,
        }
    }
}
