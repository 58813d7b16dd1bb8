//! What a region shows of who sends whose ops to whom.
//! Must not decide it.

use std::time::Duration;

use photon_state::{PlacementId, RegionId};

use super::{Layout, Map, Topology, flow};
use crate::region::Region;

/// Who sends whose ops to whom, as a region sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopologyView {
    /// As it is configured here.
    pub topology: Topology,
    /// Peers that are configured otherwise; while there are any, a mesh holds.
    pub otherwise: Vec<RegionId>,
    /// Every two regions, each pair once.
    pub links: Vec<LinkView>,
    /// How the ops of each origin spread in each placement of which this region is a member.
    pub flows: Vec<FlowView>,
}

/// Two regions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkView {
    /// Both, the lesser name first.
    pub regions: [RegionId; 2],
    /// Whether they are linked, as far as is known here.
    pub is_up: bool,
    /// The round trip that is reckoned with.
    pub round_trip: Duration,
    /// Whether it was measured; otherwise it is estimated by distance.
    pub is_measured: bool,
}

/// How the ops of an origin spread in a placement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowView {
    /// The placement.
    pub placement: PlacementId,
    /// The origin.
    pub origin: RegionId,
    /// Whether the origin cannot be reached: each sends to the other what that one lacks.
    pub is_mutual: bool,
    /// Who sends to whom.
    pub sends: Vec<(RegionId, RegionId)>,
    /// The members that nobody can reach, as far as is known here.
    pub unreached: Vec<RegionId>,
}

impl Region {
    pub(crate) fn show_topology(&self) -> TopologyView {
        let map = self.draw_map();
        let spoken = self.peers.iter().filter(|(_, it)| it.is_linked && it.theirs.is_some());
        let otherwise = spoken.filter(|(_, it)| it.topology != Some(self.reach.fingerprint));
        let pairs = (0..map.len()).flat_map(|a| (a + 1..map.len()).map(move |b| (a, b)));
        let here = self.config.region;
        let own = self.config.placements.iter().filter(|(_, members)| members.contains(&here));
        let flows = own.flat_map(|(placement, members)| {
            let layout = self.lay_out(&map, *placement);
            let flow = |it: &RegionId| self.show_flow(&map, &layout, (*placement, *it));
            members.iter().map(flow).collect::<Vec<_>>()
        });
        let flows = flows.collect();
        TopologyView {
            topology: self.config.topology.clone(),
            otherwise: otherwise.map(|(region, _)| *region).collect(),
            links: pairs.map(|(a, b)| show_link(&map, a, b)).collect(),
            flows,
        }
    }

    fn show_flow(&self, map: &Map, layout: &Layout, of: (PlacementId, RegionId)) -> FlowView {
        let (placement, origin) = of;
        let flow = flow(self.topology(), map, layout, map.index(origin));
        let sends = flow.sends.iter().map(|(from, to)| (map.region(*from), map.region(*to)));
        let sends: Vec<(RegionId, RegionId)> = sends.collect();
        let is_reached = |it: RegionId| {
            let is_root = it == origin && !flow.is_mutual || it == self.config.region;
            is_root || sends.iter().any(|(from, to)| *from == it || *to == it)
        };
        let members = self.config.placements[&placement].iter().copied();
        let unreached = members.filter(|it| !is_reached(*it)).collect();
        FlowView { placement, origin, is_mutual: flow.is_mutual, sends, unreached }
    }
}

fn show_link(map: &Map, a: usize, b: usize) -> LinkView {
    LinkView {
        regions: [map.region(a), map.region(b)],
        is_up: map.is_up(a, b),
        round_trip: Duration::from_micros(map.round_trip(a, b)),
        is_measured: map.is_measured(a, b),
    }
}
