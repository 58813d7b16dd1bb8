//! Brings a peer up to date whose next ops no log holds any more: the state, part by part, of the
//! placements that both regions are in.
//! Must not send what is not durable here, nor more than a window ahead of what is durable there.

use std::collections::{BTreeSet, VecDeque};
use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;
use photon_state::{Now, PlacementId, Position, RegionId, Seen, StreamId};

use super::part::{Part, Range, Step};
use crate::contract::{Disk, Message, Output};
use crate::desk::Held;
use crate::region::Region;

/// The state on its way to a peer.
#[derive(Debug)]
pub(crate) struct Transfer {
    number: u64,
    /// The parts that are under way, by their numbers.
    under_way: VecDeque<(u64, Bytes)>,
    /// The number of the next part.
    next: u64,
    /// When something was sent or taken last.
    moved: Duration,
    /// How often it was sent again since the peer took a part.
    stalls: u32,
    placements: BTreeSet<PlacementId>,
    seen: Seen,
    /// What the peer had when it began.
    theirs: Seen,
    left: Left,
    /// Whether the peer gets what it lacks by other ways, or does not take this: only the last word
    /// is left, and another state may be begun.
    is_needless: bool,
}

/// What is left to be sent of a state.
#[derive(Clone, Debug)]
enum Left {
    /// Everything after a position.
    After(Option<Position>),
    /// The last word.
    End,
    /// Nothing.
    Nothing,
}

/// A peer's state on its way to this region.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming {
    number: u64,
    /// The part that is due.
    next: u64,
    /// When the last one came.
    heard: Duration,
    is_over: bool,
}

impl Transfer {
    /// Parts that may be under way.
    const UNDER_WAY_MAX: usize = 16;
    /// Bytes of parts that may be under way, short of one part that is larger.
    const UNDER_WAY_BYTES_MAX: usize = 2 << 20;

    /// How often the first part is sent again before the state is given up: the peer may refuse it
    /// for good, and what the log holds goes on. If it still lacks ops, it is sent another one.
    const HEAD_RESENDS_MAX: u32 = 8;
    /// After how many times that it was sent again in vain a peer does not take it for now.
    const STALLS_MAX: u32 = 4;
    /// What a region says it took of a state of whose beginning it knows nothing.
    const UNKNOWN: u64 = u64::MAX;

    /// Whether the peer gets what it lacks by other ways, or does not take this.
    pub(crate) fn is_needless(&self) -> bool {
        self.is_needless
    }

    /// Whether the peer takes it, or may yet begin to. If it never begins, it is given up.
    pub(super) fn gets_on(&self) -> bool {
        !self.is_needless && (!self.is_begun() || self.stalls < Self::STALLS_MAX)
    }

    /// Whether it does not stand for an op.
    pub(super) fn lacks(&self, stream: &StreamId, seq: u64) -> bool {
        self.seen.of(stream) < seq
    }

    /// Whether the peer has taken any of it.
    fn is_begun(&self) -> bool {
        self.under_way.front().is_none_or(|(index, _)| 0 < *index)
    }

    /// Sends nothing more of it but a last word that says nothing: the first part may be on its
    /// way, and who has taken it waits for the end.
    fn give_up(&mut self) {
        (self.left, self.seen, self.is_needless) = (Left::End, Seen::default(), true);
    }

    fn has_room(&self) -> bool {
        let bytes: usize = self.under_way.iter().map(|(_, part)| part.len()).sum();
        self.under_way.is_empty()
            || (self.under_way.len() < Self::UNDER_WAY_MAX && bytes < Self::UNDER_WAY_BYTES_MAX)
    }
}

impl Region {
    /// How long a part may be under way before it is sent again.
    const RESEND_PART_AFTER: Duration = Duration::from_secs(2);
    /// Each time without an answer doubles that, up to this: the peer's disk may be full. Less than
    /// [`INCOMING_AFTER`](Self::INCOMING_AFTER), or it would take another state meanwhile.
    const RESEND_PART_MAX: Duration = Duration::from_secs(8);
    /// How long a peer's state may stand still before that of another peer is taken.
    const INCOMING_AFTER: Duration = Duration::from_secs(10);

    /// Begins to send a peer the state: the log no longer has what it lacks.
    pub(crate) fn begin_transfer(&mut self, to: RegionId) {
        let shared: BTreeSet<PlacementId> = self
            .config
            .placements
            .iter()
            .filter(|(_, members)| members.contains(&to) && members.contains(&self.config.region))
            .map(|(id, _)| *id)
            .collect();
        let all = self.store.seen().iter().filter(|(it, _)| shared.contains(&it.placement));
        let seen: Seen = all.map(|(it, seq)| (*it, seq)).collect();
        let Some(peer) = self.peers.get_mut(&to) else { return };
        if peer.transfer.as_ref().is_some_and(|it| !it.is_needless) || self.holds_unknown {
            return;
        }
        self.counters.transfers += 1;
        let theirs = peer.theirs.clone().unwrap_or_default();
        let head = Part {
            from: Some(self.config.region),
            step: Step::Head { seen: seen.clone(), covers: Vec::new() },
        };
        peer.transfer = Some(Transfer {
            number: self.rng.u64(..),
            under_way: VecDeque::from([(0, head.encode())]),
            next: 1,
            moved: self.now.mono,
            stalls: 0,
            placements: shared,
            seen,
            theirs,
            left: Left::After(None),
            is_needless: false,
        });
        self.send_parts(to, 0..=0);
    }

    /// Sends those of some parts that are under way, once all that they hold is durable.
    fn send_parts(&mut self, to: RegionId, parts: RangeInclusive<u64>) {
        let now = self.now.mono;
        let Some(transfer) = self.peers.get_mut(&to).and_then(|it| it.transfer.as_mut()) else {
            return;
        };
        transfer.moved = now;
        let number = transfer.number;
        let due = transfer.under_way.iter().filter(|(index, _)| parts.contains(index));
        let due: Vec<(u64, Bytes)> = due.cloned().collect();
        self.at_start = None; // The peer may tell of this life from here on.
        for (index, part) in due {
            self.say(self.appended(), Held::Send(to, Message::State { number, index, part }));
        }
    }

    /// Gives up a state that a peer has not begun to take and may not need by now: if others have
    /// brought it further in all that it lacks, the log may have the rest. Else another is begun.
    pub(crate) fn drop_needless_transfer(&mut self, to: RegionId) {
        let Some(peer) = self.peers.get_mut(&to) else { return };
        let (theirs, incarnation) = (&peer.theirs, peer.incarnation);
        let Some(theirs) = theirs else { return };
        let is_needless = |it: &&mut Transfer| {
            let is_its_own =
                |stream: &StreamId| stream.origin == to && stream.incarnation == incarnation;
            let mut lacking = it
                .seen
                .iter()
                .filter(|(stream, seq)| !is_its_own(stream) && theirs.of(stream) < *seq);
            !it.is_begun() && lacking.all(|(stream, _)| it.theirs.of(stream) < theirs.of(stream))
        };
        if let Some(transfer) = peer.transfer.as_mut().filter(is_needless) {
            transfer.give_up();
        }
    }

    /// Sends parts again that got no answer: all of them once, and then the first alone, ever more
    /// seldom, until the peer takes it.
    pub(crate) fn resend_parts(&mut self) {
        let now = self.now.mono;
        let mut late = Vec::new();
        for (region, peer) in self.peers.iter_mut().filter(|(_, peer)| peer.is_linked) {
            let Some(transfer) = &mut peer.transfer else { continue };
            let patience = Self::RESEND_PART_AFTER + 2 * peer.round_trip.unwrap_or_default();
            let longer = patience * 2_u32.saturating_pow(transfer.stalls.min(16));
            if now < transfer.moved + longer.min(Self::RESEND_PART_MAX.max(patience)) {
                continue;
            }
            if !transfer.is_begun() && Transfer::HEAD_RESENDS_MAX <= transfer.stalls {
                transfer.give_up();
            }
            let first = transfer.under_way.front().map_or(0, |(index, _)| *index);
            late.push((*region, if transfer.stalls == 0 { u64::MAX } else { first }));
            transfer.stalls += 1;
        }
        late.into_iter().for_each(|(to, upto)| self.send_parts(to, 0..=upto));
    }

    /// A peer has all parts up to one durably: the next ones follow.
    pub(crate) fn on_took(&mut self, from: RegionId, number: u64, index: u64) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        let is_it = |it: &mut Transfer| it.number == number;
        let Some(mut transfer) = peer.transfer.take_if(is_it) else { return };
        if index == Transfer::UNKNOWN {
            return; // It heard the beginning in a session that ended there. Another one is begun.
        }
        while transfer.under_way.pop_front_if(|(it, _)| *it <= index).is_some() {}
        // What was under way when the peer took nothing is sent once more.
        let first = if transfer.stalls <= 1 { transfer.next } else { 0 };
        transfer.stalls = 0;
        while transfer.has_room()
            && let Some(step) = self.next_step(&mut transfer)
        {
            let part = Part { from: Some(self.config.region), step };
            transfer.under_way.push_back((transfer.next, part.encode()));
            transfer.next += 1;
        }
        if transfer.under_way.is_empty() {
            return; // All of it is there.
        }
        let peer = self.peers.get_mut(&from).expect("it was there above");
        peer.transfer = Some(transfer);
        self.send_parts(from, first..=u64::MAX);
    }

    /// Takes what comes next from what is left of a state.
    fn next_step(&self, transfer: &mut Transfer) -> Option<Step> {
        match transfer.left.clone() {
            Left::After(after) => {
                let range = self.range_after(after, &transfer.placements);
                let upto = range.upto.clone();
                transfer.left = upto.map_or(Left::End, |upto| Left::After(Some(upto)));
                Some(Step::Range(range))
            }
            Left::End => {
                transfer.left = Left::Nothing;
                let all = self.data.horizon().iter();
                let is_told = |it| !transfer.is_needless && transfer.placements.contains(it);
                let shared = all.filter(|(it, _)| is_told(it));
                let horizon = shared.map(|(it, seen)| (*it, seen.clone())).collect();
                Some(Step::End { seen: transfer.seen.clone(), horizon })
            }
            Left::Nothing => None,
        }
    }

    /// Takes a part of a peer's state in.
    pub(crate) fn on_state(&mut self, from: RegionId, number: u64, index: u64, body: &Bytes) {
        if self.disk == Disk::Full {
            return; // The peer sends it again.
        }
        let known = self.incoming.get(&from).copied();
        let next = match known {
            Some(Incoming { number: known, next, .. }) if known == number => next,
            Some(_) | None => 0,
        };
        if index < next {
            let append = self.appended();
            return self.say(append, Held::Send(from, Message::Took { number, index }));
        }
        if next == 0 && 0 < index {
            let took = Message::Took { number, index: Transfer::UNKNOWN };
            return self.output(Output::Send(from, took));
        }
        let patience = self.now.mono.saturating_sub(Self::INCOMING_AFTER);
        let is_busy = |(peer, it): (&RegionId, &Incoming)| {
            *peer != from && !it.is_over && patience < it.heard
        };
        if index == 0 && self.incoming.iter().any(is_busy) {
            return; // One state at a time: it may hold all that this one does.
        }
        let part = Part::decode(body).ok().filter(|it| self.may_take(from, it));
        let Some(part) = part.filter(|_| index == next) else {
            self.counters.misplaced += u64::from(index == next);
            return;
        };
        if !self.observe_part(&part) {
            self.counters.skewed += 1;
            return; // The peer sends it again, until the clocks agree.
        }
        let (heard, is_over) = (self.now.mono, matches!(part.step, Step::End { .. }));
        self.incoming.insert(from, Incoming { number, next: index + 1, heard, is_over });
        let append = self.write_local(&part);
        self.take_part(part, append);
        self.say(append, Held::Send(from, Message::Took { number, index }));
    }

    /// Whether all of a part may be here, and is from there.
    fn may_take(&self, from: RegionId, part: &Part) -> bool {
        let is_shared = |placement: PlacementId| self.may_hold(self.config.region, placement);
        let are_shared = |seen: &Seen| seen.iter().all(|(it, _)| is_shared(it.placement));
        part.from == Some(from)
            && match &part.step {
                Step::Sums { .. } | Step::Whole(_) | Step::Agreed(_) => false,
                Step::Head { seen, .. } => are_shared(seen),
                Step::End { seen, horizon } => {
                    are_shared(seen) && horizon.keys().all(|it| is_shared(*it))
                }
                Step::Range(range @ Range { placements, seen, items, .. }) => {
                    let fits = |it: &super::part::Item| {
                        let position = it.position();
                        placements.contains(&position.placement()) && range.holds(&position)
                    };
                    are_shared(seen)
                        && placements.iter().all(|it| is_shared(*it))
                        && items.iter().all(fits)
                }
            }
    }

    /// Takes in the clocks of all that a part holds, or refuses one that runs ahead.
    fn observe_part(&mut self, part: &Part) -> bool {
        use super::part::Item;
        use photon_state::crdt::Value;
        let Step::Range(range) = &part.step else { return true };
        let latest = |item: &Item| match item {
            Item::Register(_, register) => Some(register.at),
            Item::Log(_, log) => log.all().map(|(_, it)| it.at).max(),
            Item::Value(_, _, Value::Fields(fields)) => {
                fields.versions().map(|(_, it)| it.at).max()
            }
            Item::Value(_, _, Value::Counter(_) | Value::Escrow(_)) => None,
        };
        range.items.iter().filter_map(latest).max().is_none_or(|at| self.observe(at))
    }

    /// Whether parts of a peer's state may come yet, however long none has.
    pub(crate) fn may_take_parts(&self) -> bool {
        self.incoming.values().any(|it| !it.is_over)
    }

    /// Whether a peer's state is on its way here.
    pub(crate) fn is_taking_state(&self, now: Now) -> bool {
        let patience = now.mono.saturating_sub(Self::INCOMING_AFTER);
        self.incoming.values().any(|it| !it.is_over && patience < it.heard)
    }
}
