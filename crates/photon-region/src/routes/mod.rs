//! Who sends whose ops to whom: a topology, the members of a placement and the links that are up
//! give a tree for each origin. Must not know what an op says, nor do anything.
//!
//! Regions that know the same find the same; for moments they know different things. Then an op
//! may come twice or late, and `reach` sees to it that none is missing.

mod auto;
mod layout;
mod map;
mod show;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use photon_state::{PlacementId, RegionId, StableHash};

use crate::config::Place;
use layout::Edges;
pub(crate) use map::{Map, estimate};
pub use show::{FlowView, LinkView, TopologyView};

/// The shape in which regions pass ops on to each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Topology {
    /// Each region sends what it writes to every member itself.
    #[default]
    Mesh,
    /// All through one region.
    Star {
        /// Which; if it is no member or cannot be reached, the member nearest to it. Without one
        /// it is the most central member.
        hub: Option<RegionId>,
    },
    /// From neighbour to neighbour, both ways round.
    Ring,
    /// Along a tree.
    Tree {
        /// The parents of regions; what they leave open follows the shortest links.
        parents: BTreeMap<RegionId, RegionId>,
    },
    /// Meshes of regions that are near to each other, each with a gateway to the others.
    Hybrid {
        /// The groups; regions that are in none are grouped by proximity.
        groups: Vec<BTreeSet<RegionId>>,
    },
    /// For each origin a tree of short links that is hardly slower than sending directly.
    Auto,
}

impl Topology {
    /// The names of all topologies.
    pub const NAMES: [&'static str; 6] = ["mesh", "star", "ring", "tree", "hybrid", "auto"];

    /// Returns the topology of a name, with nothing beside it configured.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let all = [
            Self::Mesh,
            Self::Star { hub: None },
            Self::Ring,
            Self::Tree { parents: BTreeMap::new() },
            Self::Hybrid { groups: Vec::new() },
            Self::Auto,
        ];
        all.into_iter().find(|it| it.name() == name)
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Mesh => "mesh",
            Self::Star { .. } => "star",
            Self::Ring => "ring",
            Self::Tree { .. } => "tree",
            Self::Hybrid { .. } => "hybrid",
            Self::Auto => "auto",
        }
    }

    /// Returns a number that tells one topology from another, with all that it is made of: the
    /// regions with their places to a tenth of a degree, and who is in which placement.
    pub(crate) fn fingerprint(
        &self,
        regions: &BTreeMap<RegionId, Place>,
        placements: &BTreeMap<PlacementId, BTreeSet<RegionId>>,
    ) -> u64 {
        let tenth = |degrees: f64| format!("{degrees:.1}");
        let place = |it: &Place| (tenth(it.latitude), tenth(it.longitude));
        let places: Vec<_> = regions.iter().map(|(region, it)| (region, place(it))).collect();
        let text = format!("{self:?} {places:?} {placements:?}");
        StableHash::default().bytes(text.as_bytes()).finish()
    }
}

/// Who sends to whom, in order.
type Sends = Vec<(usize, usize)>;

/// How the ops of one origin spread among the members of a placement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flow {
    /// Who sends to whom, in order.
    pub(crate) sends: Sends,
    /// Whether each sends to the other what that one lacks: the origin cannot be reached, and
    /// nobody knows who has most of what it wrote.
    pub(crate) is_mutual: bool,
}

impl Flow {
    /// Returns to whom a region sends.
    pub(crate) fn from(&self, here: usize) -> BTreeSet<usize> {
        let forth = self.sends.iter().filter(|(from, _)| *from == here).map(|(_, to)| *to);
        let back = self.sends.iter().filter(|(_, to)| self.is_mutual && *to == here);
        forth.chain(back.map(|(from, _)| *from)).collect()
    }
}

/// What is the same for all origins: the members of a placement that a region can reach, and the
/// links among them that carry ops.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    group: Vec<usize>,
    edges: Edges,
    /// Where ops spread from whose origin cannot be reached.
    centre: usize,
}

/// Lays a topology out among those members of a placement that a region can reach.
pub(crate) fn layout(topology: &Topology, map: &Map, members: &[usize], here: usize) -> Layout {
    let group = map.reached(members, here);
    let edges = layout::edges(topology, map, members, &group);
    Layout { edges, centre: map.centre(&group), group }
}

/// Returns how the ops of an origin spread; of one that the planet has no more, too.
pub(crate) fn flow(topology: &Topology, map: &Map, layout: &Layout, origin: Option<usize>) -> Flow {
    let Layout { group, edges, centre } = layout;
    let reached = origin.filter(|it| group.binary_search(it).is_ok());
    let (root, is_mutual) = (reached.unwrap_or(*centre), reached.is_none());
    let sends = match topology {
        Topology::Mesh => direct(map, group, root),
        Topology::Auto => auto::tree(map, group, edges, root),
        Topology::Star { .. }
        | Topology::Ring
        | Topology::Tree { .. }
        | Topology::Hybrid { .. } => layout::fastest(map, group, edges, root).0,
    };
    Flow { sends, is_mutual }
}

/// From the root to all; and to whom it has no link, from all others.
fn direct(map: &Map, group: &[usize], root: usize) -> Sends {
    let relayed = |to: usize| to != root && !map.is_up(root, to);
    let sends = |from: usize, to: usize| from == root || relayed(to);
    let pairs = group.iter().flat_map(|from| group.iter().map(move |to| (*from, *to)));
    pairs.filter(|(from, to)| *to != root && map.is_up(*from, *to) && sends(*from, *to)).collect()
}
