//! Whether agents live, as far as this region can know.
//! Must not judge regions: the region's detector does.

use photon_region::{Agent, PeerVerdict, View};
use photon_state::RegionId;

use crate::v1::types::AgentStatus;

/// The regions that are not heard here: nobody knows whether their agents live.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unheard(Vec<RegionId>);

impl Unheard {
    pub(crate) fn of(view: &View) -> Self {
        let is_unheard = |verdict: PeerVerdict| match verdict {
            PeerVerdict::PathBad | PeerVerdict::Down => true,
            PeerVerdict::Up | PeerVerdict::Degraded => false,
        };
        let peers = view.peers.iter().filter(|it| is_unheard(it.verdict));
        Self(peers.map(|it| it.region).collect())
    }

    /// Says whether an agent lives. Its own region says so; while that is not heard, what it said
    /// last is only a guess.
    pub(crate) fn status(&self, agent: &Agent) -> AgentStatus {
        if !agent.is_online {
            AgentStatus::Offline
        } else if self.0.contains(&agent.region) {
            AgentStatus::Suspect
        } else {
            AgentStatus::Online
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bytes::Bytes;
    use photon_region::{AgentSpec, Json, PeerView};
    use photon_state::{Hlc, PlacementId};

    use super::*;

    fn region(name: &str) -> RegionId {
        RegionId::try_from(name).unwrap()
    }

    #[test]
    fn an_agent_is_suspect_while_its_region_is_not_heard() {
        let spec = AgentSpec {
            name: "a".into(),
            skills: BTreeSet::new(),
            capacity: 1,
            cost_micros: 0,
            card: Json(Bytes::from_static(b"{}")),
            placement: PlacementId::global(),
        };
        let agent = |name, is_online| Agent {
            spec: spec.clone(),
            region: region(name),
            is_online,
            in_use: 0,
            at: Hlc::default(),
        };
        let unheard = Unheard(vec![region("lost")]);
        let status = |name, is_online| unheard.status(&agent(name, is_online));
        assert_eq!(status("here", true), AgentStatus::Online);
        assert_eq!(status("lost", true), AgentStatus::Suspect);
        assert_eq!(status("lost", false), AgentStatus::Offline);
    }

    fn peer(name: &str, verdict: PeerVerdict) -> PeerView {
        PeerView {
            region: region(name),
            is_linked: true,
            verdict,
            verdict_for: None,
            shards: 0,
            clock_apart_ms: None,
            round_trip: None,
            lag_ops: 0,
            lag: None,
            staleness: None,
            placements: Vec::new(),
        }
    }

    #[test]
    fn regions_that_say_that_they_are_not_well_are_heard() {
        let verdicts =
            [PeerVerdict::Up, PeerVerdict::Degraded, PeerVerdict::PathBad, PeerVerdict::Down];
        let names = ["up", "degraded", "path-bad", "down"];
        let peers = names.iter().zip(verdicts).map(|(name, verdict)| peer(name, verdict));
        let view = View { peers: peers.collect(), ..View::default() };
        assert_eq!(Unheard::of(&view), Unheard(vec![region("path-bad"), region("down")]));
    }
}
