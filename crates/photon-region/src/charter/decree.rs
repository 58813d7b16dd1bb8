//! What the regions can agree to.
//! Must not decide whether it is wise.

use std::collections::BTreeMap;

use photon_state::{PlacementId, RegionId};

use super::Placements;
use crate::task::Shard;

/// Who gets what a region is the home of, each with its share.
pub(crate) type Heirs = BTreeMap<RegionId, u64>;

/// A change of the charter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decree {
    /// A region is down: others get its homes.
    Fail { region: RegionId, heirs: BTreeMap<PlacementId, Heirs> },
    /// A region is to be the home of nothing: others get its homes.
    Drain { region: RegionId, heirs: BTreeMap<PlacementId, Heirs>, handover: Handover },
    /// A region that was drained may be given tasks again.
    Undrain { region: RegionId },
    /// A region that was down may be given tasks again.
    Back { region: RegionId },
    /// A region lives with a new log, under another name in the group.
    Life { region: RegionId, id: u64 },
    /// Shards get another home.
    Move { placement: PlacementId, shards: Vec<Shard>, to: RegionId, handover: Handover },
    /// A region becomes a member of the planet, under this name in the group, and of placements.
    Add { region: RegionId, id: u64, placements: Placements },
    /// Placements have these regions.
    Place { placements: Placements },
    /// A region is a member no more: others get what it is still the home of.
    Remove { region: RegionId, heirs: BTreeMap<PlacementId, Heirs> },
}

/// How surely a home has let go of what others get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handover {
    /// It has taken over all that it hands over. So its word is enough that it has let go.
    ByWord,
    /// It may not have: whoever follows waits until any tenure has lapsed.
    ByTenure,
}

impl Decree {
    /// Whether it takes homes, or the right to them, from a region.
    pub(crate) fn may_bereave(&self, region: RegionId) -> bool {
        match self {
            Self::Fail { region: it, .. }
            | Self::Drain { region: it, .. }
            | Self::Life { region: it, .. }
            | Self::Remove { region: it, .. } => *it == region,
            Self::Back { .. } | Self::Undrain { .. } | Self::Add { .. } => false,
            Self::Move { .. } | Self::Place { .. } => true,
        }
    }

    /// Whether a region may have to begin from nothing after it. It is to be given the charter as a
    /// whole then: its configuration may not be that of the founding, which decrees build on.
    pub(crate) fn lets_begin_anew(&self) -> bool {
        match self {
            Self::Life { .. } | Self::Add { .. } | Self::Remove { .. } => true,
            Self::Fail { .. }
            | Self::Drain { .. }
            | Self::Undrain { .. }
            | Self::Back { .. }
            | Self::Place { .. }
            | Self::Move { .. } => false,
        }
    }

    /// Returns how surely those who lose homes by it have let go of them.
    pub(crate) fn handover(&self) -> Handover {
        match self {
            Self::Drain { handover, .. } | Self::Move { handover, .. } => *handover,
            Self::Fail { .. }
            | Self::Undrain { .. }
            | Self::Back { .. }
            | Self::Life { .. }
            | Self::Add { .. }
            | Self::Place { .. }
            | Self::Remove { .. } => Handover::ByTenure,
        }
    }
}
