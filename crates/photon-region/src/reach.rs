//! Who is sent which stream: the topology laid over the links that are known to be up.
//! Must not send anything that `replicate` does not.
//!
//! Every region lays the topology out for itself, from its own links and from what its peers tell
//! of theirs. For moments they know different things, and for longer if they are configured
//! differently; then a peer may be sent a stream by nobody. So whoever has what a peer lacks
//! watches it, and helps if the peer gets no further.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use photon_state::{PlacementId, RegionId, StreamId};

use crate::config::Config;
use crate::links::Peer;
use crate::refusal::Refusal;
use crate::region::Region;
use crate::routes::{Layout, Map, Topology, flow, layout};

/// The topology, laid out.
#[derive(Debug)]
pub(crate) struct Reach {
    /// The places of all regions, without a link.
    places: Map,
    /// The links as they are known now; drawn when it is needed.
    map: Option<Map>,
    /// The topology within each placement, as far as that was asked.
    layouts: BTreeMap<PlacementId, Layout>,
    /// To whom this region sends the ops of each origin, as far as that was asked.
    feeds: BTreeMap<(PlacementId, RegionId), BTreeSet<RegionId>>,
    /// When peers are sent what they lack over the links that are left.
    due: Option<Duration>,
    /// Whether they are told then, too: the change is in this region's own links.
    is_own: bool,
    /// Whether a peer is configured otherwise: then all that know of it make a mesh.
    is_mixed: bool,
    /// Whether that has changed since ops were sent accordingly.
    is_switched: bool,
    /// Tells the configured topology from others.
    pub(crate) fingerprint: u64,
}

impl Reach {
    /// How long changes of links are gathered before what they mean is carried out: a region that
    /// is lost takes many links with it.
    const GATHER: Duration = Duration::from_millis(50);

    pub(crate) fn new(config: &Config) -> Self {
        let Config { regions, placements, topology, .. } = config;
        Self {
            places: Map::new(regions),
            map: None,
            layouts: BTreeMap::new(),
            feeds: BTreeMap::new(),
            due: None,
            is_own: false,
            is_mixed: false,
            is_switched: false,
            fingerprint: topology.fingerprint(regions, placements),
        }
    }

    fn forget(&mut self) {
        self.map = None;
        self.layouts.clear();
        self.feeds.clear();
    }

    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.due
    }
}

/// Whose links have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Those of this region have come or gone: others must hear of it.
    Own,
    /// Those of a peer, or no more than a round trip.
    Others,
}

impl Region {
    /// How long a peer may get no further with a stream before others than its feeder help:
    /// longer than a feeder needs to send again what was lost.
    const HELP_AFTER: Duration = Duration::from_secs(3);
    /// How much longer each region waits that is farther from the peer than another one.
    const HELP_STAGGER: Duration = Duration::from_secs(1);
    /// How many steps of that there are; all who are farther help at the same time.
    const HELP_STEPS_MAX: usize = 4;
    /// How long a helper sends ops only; a state is large, and the feeder may be sending one.
    const STATE_AFTER: Duration = Duration::from_secs(15);

    /// Returns the regions of a placement, if this region is one of them.
    pub(crate) fn check_placement(&self, id: PlacementId) -> Result<(), Refusal> {
        let Some(members) = self.config.placements.get(&id) else {
            return Err(Refusal::NoSuchPlacement(id));
        };
        if members.contains(&self.config.region) {
            return Ok(());
        }
        Err(Refusal::OutsidePlacement {
            region: self.config.region,
            placement: id,
            members: members.iter().copied().collect(),
        })
    }

    /// Whether data of a placement may live in a region.
    pub(crate) fn may_hold(&self, region: RegionId, placement: PlacementId) -> bool {
        self.config.placements.get(&placement).is_some_and(|it| it.contains(&region))
    }

    /// Returns the topology that holds: as configured, or a mesh while a peer is configured
    /// otherwise, or is too old to have any. Two shapes at once would leave gaps for good.
    pub(crate) fn topology(&self) -> &Topology {
        if self.reach.is_mixed { &Topology::Mesh } else { &self.config.topology }
    }

    /// Takes in that links have changed, or what is told on them. What that means is found out in a
    /// moment; a region that has lost or won a link itself goes other ways at once.
    pub(crate) fn links_changed(&mut self, whose: Whose) {
        let mut spoken = self.peers.values().filter(|it| it.is_linked && it.theirs.is_some());
        let is_mixed = spoken.any(|it| it.topology != Some(self.reach.fingerprint));
        if is_mixed != self.reach.is_mixed {
            (self.reach.is_mixed, self.reach.is_switched) = (is_mixed, true);
            self.reach.forget();
            self.peers.values_mut().for_each(|it| it.waits.clear()); // Others send now.
        }
        if whose == Whose::Own {
            self.reach.is_own = true;
            self.reach.forget();
        }
        self.reach.due = self.reach.due.or(Some(self.now.mono + Reach::GATHER));
    }

    /// Lays the topology out anew if links have changed, tells peers if they are its own, and
    /// sends what they lack over the links that are left.
    pub(crate) fn reroute(&mut self) {
        if self.reach.due.take_if(|due| *due <= self.now.mono).is_none() {
            return;
        }
        let is_own = std::mem::take(&mut self.reach.is_own);
        if is_own {
            let linked = self.peers.iter().filter(|(_, peer)| peer.is_linked);
            let peers: Vec<RegionId> = linked.map(|(region, _)| *region).collect();
            peers.into_iter().for_each(|to| self.send_seen(to));
        }
        if self.config.topology == Topology::Mesh {
            return; // It goes by what each peer says of its own links.
        }
        let map = self.draw_map();
        let is_switched = std::mem::take(&mut self.reach.is_switched);
        if !is_own && !is_switched && self.reach.map.as_ref() == Some(&map) {
            return; // Both ends of a link have told of it.
        }
        self.reach.forget();
        self.reach.map = Some(map);
        let streams: Vec<StreamId> = self.streams.iter().map(|(stream, _)| *stream).collect();
        streams.into_iter().for_each(|stream| self.pump_to_all(stream));
    }

    /// Whether the topology has this region send the ops of an origin to a peer.
    pub(crate) fn feeds(&mut self, to: RegionId, of: (PlacementId, RegionId)) -> bool {
        if let Some(feeds) = self.reach.feeds.get(&of) {
            return feeds.contains(&to);
        }
        let map = self.reach.map.take().unwrap_or_else(|| self.draw_map());
        let (placement, origin) = of;
        if !self.reach.layouts.contains_key(&placement) {
            self.reach.layouts.insert(placement, self.lay_out(&map, placement));
        }
        let here = map.index(self.config.region).expect("it is a region of the planet");
        let layout = &self.reach.layouts[&placement];
        let flow = flow(self.topology(), &map, layout, map.index(origin));
        let feeds: BTreeSet<RegionId> = flow.from(here).iter().map(|it| map.region(*it)).collect();
        let is_one = feeds.contains(&to);
        self.reach.feeds.insert(of, feeds);
        self.reach.map = Some(map);
        is_one
    }

    /// Lays the topology out within a placement.
    pub(crate) fn lay_out(&self, map: &Map, placement: PlacementId) -> Layout {
        let members = self.config.placements.get(&placement).into_iter().flatten();
        let members: Vec<usize> = members.filter_map(|it| map.index(*it)).collect();
        #[cfg(feature = "planted-bugs")]
        let is_planted = self.planted == Some(crate::PlantedBug::RelayOutside);
        #[cfg(feature = "planted-bugs")]
        let members = if is_planted { (0..map.len()).collect() } else { members };
        let here = map.index(self.config.region).expect("it is a region of the planet");
        layout(self.topology(), map, &members, here)
    }

    /// Draws the links that are up by the word of both sides, or of the one that can be heard.
    pub(crate) fn draw_map(&self) -> Map {
        let mut map = self.reach.places.clone();
        let own = self.own_links();
        let heard = |region: RegionId| {
            if region == self.config.region {
                return Some(&own);
            }
            let peer = self.peers.get(&region)?;
            (peer.is_linked && peer.theirs.is_some()).then_some(&peer.linked)
        };
        let words: Vec<_> = (0..map.len()).map(|it| heard(map.region(it))).collect();
        for (a, b) in (0..map.len()).flat_map(|a| (0..a).map(move |b| (b, a))) {
            let says =
                |who: usize, of: usize| words[who].map(|it| it.get(&map.region(of)).copied());
            match (says(a, b), says(b, a)) {
                (Some(Some(one)), Some(Some(other))) => map.link(a, b, one.or(other)),
                (Some(Some(one)), None) | (None, Some(Some(one))) => map.link(a, b, one),
                (Some(None), _) | (_, Some(None)) | (None, None) => {}
            }
        }
        map
    }

    /// Returns this region's links, with their round trips as they are told. A link over which a
    /// peer is not heard is none: others carry what would go over it.
    pub(crate) fn own_links(&self) -> BTreeMap<RegionId, Option<Duration>> {
        let is_good = |region: &RegionId| !self.agree.detector.verdict(*region).is_path_bad;
        let up = self.peers.iter().filter(|(region, peer)| peer.is_linked && is_good(region));
        up.map(|(region, peer)| (*region, peer.told)).collect()
    }

    /// Looks which peers get no further with which streams, and begins or ends to help them.
    pub(crate) fn help_stalled(&mut self) {
        let streams: Vec<(StreamId, u64)> =
            self.streams.iter().map(|(stream, it)| (*stream, it.durable)).collect();
        let now = self.now.mono;
        let mut behind: Vec<(RegionId, StreamId, u64)> = Vec::new();
        for (to, peer) in self.peers.iter_mut().filter(|(_, peer)| peer.is_linked) {
            let all = streams.iter().filter(|(stream, durable)| {
                peer.progress(stream, *durable, now)
                    .is_some_and(|since| since + Self::HELP_AFTER <= now)
            });
            behind.extend(all.map(|(stream, durable)| (*to, *stream, *durable)));
        }
        for (to, stream, durable) in behind {
            self.consider_help(to, stream, durable);
        }
    }

    /// Whether the region that wrote ops is known to have them: in a mesh it sends them itself to
    /// all to whom it is linked.
    fn origin_has(&self, stream: &StreamId, seq: u64) -> bool {
        if stream.origin == self.config.region {
            return true; // What it wrote in a former life it sends as well.
        }
        let origin = self.peers.get(&stream.origin);
        let theirs = origin.and_then(|it| it.theirs.as_ref());
        theirs.is_some_and(|seen| seq <= seen.of(stream))
    }

    /// Helps a peer that gets no further with a stream, unless it is not this region's turn yet.
    fn consider_help(&mut self, to: RegionId, stream: StreamId, durable: u64) {
        let of = (stream.placement, stream.origin);
        let is_sent = if *self.topology() == Topology::Mesh {
            // As `sends` has it, by the links as they are now.
            let linked = self.peers.get(&to).map(|it| &it.linked);
            let is_reached = linked.is_some_and(|it| it.contains_key(&stream.origin));
            !is_reached || self.origin_has(&stream, durable)
        } else {
            self.feeds(to, of)
        };
        if !self.may_hold(to, of.0) || to == stream.origin || is_sent {
            self.peers.get_mut(&to).expect("it is a peer").waits.remove(&stream);
            return;
        }
        let steps = self.nearer_to(to, stream.placement).min(Self::HELP_STEPS_MAX);
        let patience = Self::HELP_AFTER + Self::HELP_STAGGER * steps as u32;
        let now = self.now.mono;
        let peer = self.peers.get_mut(&to).expect("it is a peer");
        if peer.begin_help(&stream, durable, now, patience) {
            self.counters.helped += 1;
        }
    }

    /// Returns how many members of a placement are nearer to a peer than this region, by link.
    fn nearer_to(&mut self, to: RegionId, placement: PlacementId) -> usize {
        let map = self.reach.map.take().unwrap_or_else(|| self.draw_map());
        let places = map.index(to).zip(map.index(self.config.region));
        let nearer = places.map_or(0, |(to, here)| {
            let members = self.config.placements[&placement].iter();
            let members = members.filter_map(|it| map.index(*it)).filter(|it| map.is_up(*it, to));
            let ours = (map.round_trip(here, to), here);
            members.filter(|it| (map.round_trip(*it, to), *it) < ours).count()
        });
        self.reach.map = Some(map);
        nearer
    }

    /// Whether a peer may be sent the state for what it lacks of a stream.
    pub(crate) fn may_send_state(&self, to: RegionId, stream: &StreamId) -> bool {
        let began = self.peers.get(&to).and_then(|peer: &Peer| peer.helped_since(stream));
        began.is_none_or(|began| began + Self::STATE_AFTER <= self.now.mono)
    }
}
