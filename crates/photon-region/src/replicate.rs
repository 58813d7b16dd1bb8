//! Replication: peers get the ops that they may have and lack.
//! Must not know what an op says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use photon_state::{Op, PlacementId, RegionId, Seen, StreamId};

use crate::contract::{Command, Disk, Message, Output, WentBack};
use crate::desk::{Bell, Held};
use crate::links::Peer;
use crate::question::Question;
use crate::reach::Whose;
use crate::refusal::Refusal;
use crate::region::Region;
use crate::routes::Topology;
use crate::streams::Tail;

impl Region {
    pub(crate) fn on_linked(&mut self, peer: RegionId) {
        let Some(session) = self.peers.get_mut(&peer) else { return };
        session.reset(true);
        self.forget_grant(peer);
        self.links_changed(Whose::Own);
        self.send_seen(peer);
        self.dispatch_all();
        self.ring(&Bell::Home);
    }

    pub(crate) fn on_unlinked(&mut self, peer: RegionId) {
        let Some(session) = self.peers.get_mut(&peer) else { return };
        session.reset(false);
        self.forget_grant(peer);
        self.agree.detector.closed(self.now.mono, peer, None);
        self.forget_clock(peer);
        self.links_changed(Whose::Own);
        self.fail_asks_to(peer);
        self.dismiss_guests_of(peer);
        self.incoming.remove(&peer);
    }

    /// Whether work can be sent to a region: it is here, or there is a link that is good.
    pub(crate) fn is_reachable(&self, region: RegionId) -> bool {
        let is_good = || self.is_linked(region) && self.agree.is_usable(region);
        region == self.config.region || is_good()
    }

    /// Whether a region can be given work: it would hear of it, and this one hears how its agents
    /// are. A region whose ops wait here would turn work down again and again.
    pub(crate) fn may_work(&self, region: RegionId, placement: PlacementId) -> bool {
        let is_off = || self.agree.detector.verdict(region).condition.is_clock_off;
        let agrees = || self.clock_apart_ms(region).is_none() && !is_off();
        region == self.config.region
            || self.takes_ours(region) && agrees() && self.way_to(region, placement).is_some()
    }

    /// Whether work is better given elsewhere: another region says that something is wrong with it,
    /// or this one is to be spared.
    pub(crate) fn is_degraded(&self, region: RegionId) -> bool {
        if region == self.config.region {
            let is_draining = self.charter.member(region).is_some_and(|it| it.is_draining);
            return is_draining || self.syncing.is_slow(self.now.mono);
        }
        self.agree.detector.verdict(region).condition.is_degraded()
    }

    /// Whether there is a link to a region.
    pub(crate) fn is_linked(&self, region: RegionId) -> bool {
        self.peers.get(&region).is_some_and(|peer| peer.is_linked)
    }

    /// Takes in what a peer has, and whom it is linked to in which topology.
    fn on_seen(
        &mut self,
        from: RegionId,
        (incarnation, seen): (u64, Seen),
        (linked, topology): (BTreeMap<RegionId, Option<Duration>>, Option<u64>),
    ) {
        let now = self.now.mono;
        let Some(peer) = self.peers.get_mut(&from) else { return };
        peer.incarnation = incarnation;
        let is_first = peer.theirs.is_none();
        let has_ways = is_first || !linked.keys().eq(peer.linked.keys());
        let is_changed = is_first || linked != peer.linked || topology != peer.topology;
        (peer.linked, peer.topology) = (linked, topology);
        // It was said after the peer had answered our last ping: what it had then is here.
        if let Some(sent) = peer.echoed {
            self.data.peer_had(from, incarnation, &seen, sent);
            self.data.freshen(self.store.seen());
        }
        peer.heard(incarnation, seen.clone(), now);
        self.heard_of_removals(from, &seen);
        self.rejoin_with(from, incarnation, &seen);
        if is_changed {
            self.links_changed(Whose::Others);
        }
        self.drop_needless_transfer(from);
        self.pump_all_to(from);
        self.settle_all();
        self.ring(&Bell::Peers);
        if has_ways {
            self.dispatch_all();
            self.ring(&Bell::Home);
        }
    }

    pub(crate) fn on_message(&mut self, from: RegionId, message: Message) {
        if let Some(why) = self.went_back(from, &message) {
            self.is_halted = true;
            return self.output(Output::Halt(why));
        }
        let now = self.now.mono;
        let Some(peer) = self.peers.get_mut(&from).filter(|peer| peer.is_linked) else {
            return; // Said in a session that is over.
        };
        match message {
            Message::Seen { incarnation, seen, linked, topology } => {
                self.on_seen(from, (incarnation, seen), (linked, topology));
            }
            Message::Ops(ops) => self.on_ops(from, ops),
            Message::Ack(stream, seq) => {
                // Nothing is kept of streams that are not here, or that it may not know.
                let members = self.config.placements.get(&stream.placement);
                let may_know = members.is_some_and(|it| it.contains(&from));
                if !may_know || self.streams.get(&stream).is_none() {
                    return;
                }
                peer.acknowledged(stream, seq, now);
                self.pump(from, stream);
                self.settle(stream);
                self.run_due_moves();
            }
            Message::Ask(number, ask) => {
                self.on_question(from, number, ask);
            }
            Message::Answer(number, answer) => self.on_answer(from, number, answer),
            Message::State { number, index, part } => self.on_state(from, number, index, &part),
            Message::Took { number, index } => self.on_took(from, number, index),
            Message::Compare(body) => self.on_compare(from, &body),
            Message::Beat(beat) => self.on_beat(from, &beat),
            Message::Agree(bytes) => self.on_agree(from, &bytes),
            Message::Ping(sent) => {
                self.output(Output::Send(from, Message::Pong { sent, wall_ms: self.now.wall_ms }));
                self.send_seen(from);
            }
            Message::Pong { sent, wall_ms } => {
                let sent = Duration::from_micros(sent);
                peer.echoed = Some(sent).max(peer.echoed);
                let round_trip = now.checked_sub(sent);
                if round_trip.is_some_and(|it| peer.measured(it)) {
                    let told = peer.told.unwrap_or_default();
                    self.registry.measured(from, told);
                    self.links_changed(Whose::Others); // Peers hear of it with the next beat.
                }
                if let Some(round_trip) = round_trip {
                    self.clock_shown(from, wall_ms, round_trip);
                }
            }
        }
    }

    /// Whether a peer says that it has more of what is written here alone than is here. Until
    /// something of this life was sent, it can have no more than was here at the start.
    fn went_back(&self, peer: RegionId, message: &Message) -> Option<WentBack> {
        let check = |stream: &StreamId, there: u64| {
            let placement = stream.placement;
            let is_own = *stream == self.own_stream(placement) && self.may_hold(peer, placement);
            let before = self.at_start.as_ref().unwrap_or(self.store.seen());
            let here = before.of(stream);
            (is_own && here < there).then_some(WentBack { stream: *stream, here, peer, there })
        };
        match message {
            Message::Seen { seen, .. } => seen.iter().find_map(|(stream, seq)| check(stream, seq)),
            Message::Ack(stream, seq) => check(stream, *seq),
            Message::Ops(_)
            | Message::Ask(..)
            | Message::Answer(..)
            | Message::State { .. }
            | Message::Took { .. }
            | Message::Compare(_)
            | Message::Beat(_)
            | Message::Agree(_)
            | Message::Ping(_)
            | Message::Pong { .. } => None,
        }
    }

    fn on_question(&mut self, from: RegionId, number: u64, question: Question) {
        match question {
            Question::Task(ask, decree) => self.on_task_asked((from, number), ask, decree),
            Question::Show(task) => self.welcome(from, number, Command::Task(task)),
            Question::Webhooks(task) => self.welcome(from, number, Command::Webhooks(task)),
            Question::Follow { task, after, wait } => {
                self.welcome(from, number, Command::Events { task, after, wait });
            }
            Question::Pass(ask, decree) => self.pass_on((from, number), ask, decree),
            Question::Data(command) => self.welcome(from, number, Command::Data(*command)),
            Question::Govern(wanted) => self.welcome(from, number, Command::Govern(wanted)),
            Question::Rights { dataset, placement, key, rights } => {
                if self.hears_first(from, number) {
                    let answer = self.give_rights(from, (&dataset, placement, &key), rights);
                    self.say(self.appended(), Held::Answer(from, number, answer));
                }
            }
            Question::Had { placement, let_go } => {
                let (append, answer) = match self.may_hold(from, placement) {
                    true => self.tell_what_it_had(placement, let_go),
                    false => (0, Err(Refusal::NoSuchPlacement(placement))),
                };
                self.say(append, Held::Answer(from, number, answer));
            }
            Question::State { dataset, placement, key } => {
                let (append, answer) = self.tell_state(from, (&dataset, placement), &key);
                self.say(append, Held::Answer(from, number, answer));
            }
        }
    }

    fn on_ops(&mut self, from: RegionId, ops: Vec<Arc<Op>>) {
        if self.disk == Disk::Full {
            return; // The peer sends them again.
        }
        let (mut repeated, mut last) = (None, None);
        self.counters.received += ops.len() as u64;
        for op in ops {
            let placement = op.stream.placement;
            let is_own = op.stream == self.own_stream(placement);
            // Who sends it may belong to the placement no more, where that is rolled out.
            let may_be_here = self.may_hold(self.config.region, placement);
            if is_own || !may_be_here || op.stream.is_local() {
                self.counters.misplaced += 1;
                return;
            }
            if !self.observe(op.at) {
                self.held_back(op.stream.origin, op.at);
                return; // The peer sends them again, until the clocks agree.
            }
            let (stream, seq) = (op.stream, op.seq);
            if self.accept(&op) {
                last = Some((stream, seq));
            } else {
                self.counters.repeated += u64::from(seq <= self.store.seen().of(&stream));
                repeated = Some(stream);
            }
        }
        if let Some((stream, seq)) = last {
            self.streams.came_from(stream, from, seq);
            self.peers.get_mut(&from).expect("it spoke").has(stream, seq);
        }
        // The acknowledgement of a repeated op was lost: say it again.
        if let Some(stream) = repeated {
            self.send_ack(from, stream);
        }
    }

    /// Tells the origin of a stream, and whoever else may be sending it, what is durable.
    pub(crate) fn acknowledge(&mut self, stream: StreamId) {
        let senders = self.streams.senders(&stream);
        if stream == self.own_stream(stream.placement) {
            return;
        }
        // Who writes it no more is like one who cannot be reached.
        let is_former = stream.origin == self.config.region;
        let origin_is_linked = !is_former && self.is_linked(stream.origin);
        let peers: Vec<RegionId> = self.peers.keys().copied().collect();
        for peer in peers {
            if peer == stream.origin || !origin_is_linked || senders.contains(&peer) {
                self.send_ack(peer, stream);
            }
        }
    }

    fn send_ack(&mut self, to: RegionId, stream: StreamId) {
        let Some(durable) = self.streams.get(&stream).map(|it| it.durable) else { return };
        if self.is_linked(to) && self.may_hold(to, stream.placement) {
            self.output(Output::Send(to, Message::Ack(stream, durable)));
        }
    }

    pub(crate) fn send_seen(&mut self, to: RegionId) {
        let visible = |stream: &StreamId| self.may_hold(to, stream.placement);
        let streams = self.streams.iter().filter(|(stream, _)| visible(stream));
        let seen: Seen = streams.map(|(stream, it)| (*stream, it.durable)).collect();
        let (incarnation, linked) = (self.config.incarnation, self.own_links());
        let topology = Some(self.reach.fingerprint);
        self.output(Output::Send(to, Message::Seen { incarnation, seen, linked, topology }));
    }

    pub(crate) fn beat_peers(&mut self) {
        self.judge_clock();
        let sent = u64::try_from(self.now.mono.as_micros()).unwrap_or(u64::MAX);
        let linked = self.peers.iter().filter(|(_, peer)| peer.is_linked);
        let peers: Vec<RegionId> = linked.map(|(region, _)| *region).collect();
        for to in peers {
            // It answers with what it has.
            self.output(Output::Send(to, Message::Ping(sent)));
        }
        let now = self.now.mono;
        self.peers.values_mut().for_each(|peer| peer.rewind_stalled(now));
        self.help_stalled();
        let streams: Vec<StreamId> = self.streams.iter().map(|(stream, _)| *stream).collect();
        streams.into_iter().for_each(|stream| self.pump_to_all(stream));
    }

    /// Whether it is this region that sends a stream to a peer: as the topology has it, or because
    /// the peer gets no further, and never outside the placement. In a mesh it sends its own
    /// always, and another's only to a peer that its origin cannot reach, or if its origin has lost
    /// it.
    fn sends(&mut self, to: RegionId, stream: StreamId) -> bool {
        let Some(peer) = self.peers.get(&to) else { return false };
        let may_have = self.may_hold(to, stream.placement);
        #[cfg(feature = "planted-bugs")]
        let may_have = may_have
            || self.planted == Some(crate::PlantedBug::RelayOutside)
                && stream.origin != self.config.region;
        if !peer.is_linked || !may_have {
            return false;
        }
        if stream.origin == to {
            // It has what it writes itself; what it wrote before it lost its log, it lacks.
            return stream.incarnation != peer.incarnation;
        }
        let origin = stream.origin;
        if peer.helped_since(&stream).is_some() {
            return true;
        }
        if *self.topology() == Topology::Mesh {
            return origin == self.config.region || !peer.linked.contains_key(&origin);
        }
        self.feeds(to, (stream.placement, stream.origin))
    }

    pub(crate) fn pump_to_all(&mut self, stream: StreamId) {
        let peers: Vec<RegionId> = self.peers.keys().copied().collect();
        peers.into_iter().for_each(|to| self.pump(to, stream));
    }

    fn pump_all_to(&mut self, to: RegionId) {
        let streams: Vec<StreamId> = self.streams.iter().map(|(stream, _)| *stream).collect();
        streams.into_iter().for_each(|stream| self.pump(to, stream));
    }

    /// Sends a peer what it lacks of a stream, as far as the window allows.
    fn pump(&mut self, to: RegionId, stream: StreamId) {
        let durable = self.streams.get(&stream).map_or(0, |it| it.durable);
        let lacks_it = |peer: &Peer| peer.sent(&stream).is_some_and(|sent| sent < durable);
        if !self.peers.get(&to).is_some_and(lacks_it) || !self.sends(to, stream) {
            return;
        }
        let now = self.now.mono;
        let Some(peer) = self.peers.get_mut(&to) else { return };
        let is_sending_state = peer.is_sent_state();
        let Some(held) = self.streams.get(&stream) else { return };
        while let Some(after) = peer.next_after(&stream) {
            match held.after(after) {
                Tail::Here(ops) => {
                    let batch = peer.take_batch(stream, ops, now);
                    if batch.is_empty() {
                        return;
                    }
                    self.counters.sent += batch.len() as u64;
                    self.at_start.take_if(|_| stream.origin == self.config.region);
                    self.outputs.push_back(Output::Send(to, Message::Ops(batch)));
                }
                // The state that is under way stands for what the log may not hold.
                Tail::InLog if is_sending_state => return,
                Tail::InLog => {
                    let (from, bytes_max) = (after + 1, Peer::BATCH_BYTES_MAX);
                    peer.fetching(stream, from);
                    self.outputs.push_back(Output::Fetch { stream, from, bytes_max });
                }
            }
        }
    }

    pub(crate) fn on_fetched(&mut self, stream: StreamId, from: u64, ops: &[Arc<Op>]) {
        let Some(durable) = self.streams.get(&stream).map(|it| it.durable) else { return };
        let now = self.now.mono;
        let peers: Vec<RegionId> = self.peers.keys().copied().collect();
        for to in peers {
            let may_send = self.sends(to, stream);
            let Some(peer) = self.peers.get_mut(&to) else { continue };
            if !peer.fetched(&stream, from) || !may_send {
                continue;
            }
            let lacks_it = from <= durable && ops.first().is_none_or(|op| op.seq != from);
            if lacks_it {
                if self.may_send_state(to, &stream) {
                    self.begin_transfer(to);
                }
                continue;
            }
            let durable_ops = ops.iter().take_while(|op| op.seq <= durable);
            let batch = peer.take_batch(stream, durable_ops, now);
            if batch.is_empty() {
                continue; // The log has nothing: the next beat asks again.
            }
            peer.came_from_log(&stream, batch.last().map_or(from, |op| op.seq));
            self.counters.sent += batch.len() as u64;
            self.at_start.take_if(|_| stream.origin == self.config.region);
            self.output(Output::Send(to, Message::Ops(batch)));
            self.pump(to, stream);
        }
    }

    /// Whether a peer catches up with a stream from the log: what is sent of it need not hurry, and
    /// must not overtake what was sent before. True until all of that is acknowledged.
    #[must_use]
    pub fn is_catching_up(&self, peer: RegionId, stream: &StreamId) -> bool {
        self.peers.get(&peer).is_some_and(|peer| peer.is_behind(stream))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use photon_state::{Now, PlacementId};

    use super::*;
    use crate::config::{Config, Limits, Place};
    use crate::contract::Input;

    fn id(name: &str) -> RegionId {
        RegionId::try_from(name).unwrap()
    }

    /// Returns a region that is linked to `peer`.
    fn linked() -> Region {
        let place = Place { latitude: 0.0, longitude: 0.0 };
        let inner = PlacementId::try_from("inner").unwrap();
        let mut region = Region::new(Config {
            region: id("here"),
            incarnation: 1,
            regions: ["far", "here", "peer"].map(|it| (id(it), place)).into(),
            placements: BTreeMap::from([(inner, BTreeSet::from([id("far"), id("here")]))]),
            datasets: vec![],
            voters: std::collections::BTreeSet::new(),
            topology: Topology::Mesh,
            weights: crate::Weights::default(),
            limits: Limits::default(),
            seed: 1,
        });
        let now = Now { mono: Duration::ZERO, wall_ms: 1_800_000_000_000 };
        region.start(now);
        let (linked, seen) = (BTreeMap::new(), Seen::default());
        let spoke = Message::Seen { incarnation: 1, seen, linked, topology: None };
        for input in [Input::Linked(id("peer")), Input::Message(id("peer"), spoke)] {
            region.handle(now, input);
        }
        region
    }

    #[test]
    fn nothing_is_kept_of_an_acknowledgement_of_what_is_not_here() {
        let mut region = linked();
        let inner = PlacementId::try_from("inner").unwrap();
        for incarnation in 1..100 {
            for (origin, placement) in [("far", PlacementId::global()), ("far", inner)] {
                let stream = StreamId { origin: id(origin), placement, incarnation };
                let ack = Input::Message(id("peer"), Message::Ack(stream, 1));
                region.handle(region.now, ack);
            }
        }
        let peer = &region.peers[&id("peer")];
        assert_eq!(peer.kept, Seen::default());
        assert_eq!(peer.theirs, Some(Seen::default()));
    }
}
