//! What is known of each peer: what it has, what is on its way, how far away it is.
//! Must not know what an op says.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use photon_state::{Op, RegionId, Seen, StreamId};

use crate::snapshot::Transfer;

/// A peer and the session with it.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    pub(crate) is_linked: bool,
    /// What it has durably, by its own word; `None` until it has spoken in this session.
    pub(crate) theirs: Option<Seen>,
    /// When it spoke first in this session.
    pub(crate) spoke: Option<Duration>,
    /// When it spoke last in this session.
    pub(crate) spoke_last: Option<Duration>,
    /// Whom it is linked to, with the round trips that it tells.
    pub(crate) linked: BTreeMap<RegionId, Option<Duration>>,
    /// Tells its topology from others, if it has said.
    pub(crate) topology: Option<u64>,
    /// Which of its logs it writes now.
    pub(crate) incarnation: u64,
    pub(crate) round_trip: Option<Duration>,
    /// The last round trips, the latest last.
    trips: VecDeque<Duration>,
    /// The round trip that others are told.
    pub(crate) told: Option<Duration>,
    /// When the last ping was sent that it has answered in this session.
    pub(crate) echoed: Option<Duration>,
    flights: BTreeMap<StreamId, Flight>,
    /// What it had durably when it spoke last, in whatever session.
    pub(crate) kept: Seen,
    /// Which of its logs it wrote then; `None` until it has spoken since the start of the process.
    pub(crate) kept_incarnation: Option<u64>,
    /// The state that it is being sent.
    pub(crate) transfer: Option<Transfer>,
    /// Streams that others are to send it, and of which it lacks something.
    pub(crate) waits: BTreeMap<StreamId, Wait>,
}

/// A peer lacks something of a stream that others are to send it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    /// What it has.
    have: u64,
    /// Since when it has no more.
    since: Duration,
    /// Up to which op it is helped, and since when.
    help: Option<(u64, Duration)>,
}

/// The ops of one stream that are on their way to a peer.
#[derive(Debug, Default)]
struct Flight {
    /// The last one sent.
    sent: u64,
    /// Sent and not acknowledged: number and weight.
    unacked: VecDeque<(u64, usize)>,
    bytes: usize,
    /// When something was sent or acknowledged last.
    moved: Duration,
    /// Which op ends each message that is not acknowledged, and when it was sent first.
    messages: VecDeque<(u64, Duration)>,
    /// How long acknowledgements have taken lately.
    slowness: Duration,
    /// The first of the ops that the log was asked for.
    fetching: Option<u64>,
    /// While the peer catches up: the last of what came, or is to come, from the log.
    behind: Option<u64>,
    /// How often it was sent again since the peer got further.
    stalls: u32,
    /// How often the peer has answered since then that it got no further.
    echoes: u32,
}

impl Peer {
    /// Bytes of one stream that may be on their way to a peer; more wait for acknowledgement.
    pub(crate) const FLIGHT_BYTES_MAX: usize = 4 << 20;
    /// Bytes of ops in one message, short of one op that is larger.
    pub(crate) const BATCH_BYTES_MAX: usize = 256 << 10;
    /// Bytes of what followed on the last from the log that are awaited before more is sent. More
    /// than that on its way means that the peer has not caught up.
    const CAUGHT_UP_BYTES_MAX: usize = 1 << 20;
    /// How long without progress, beyond twice what acknowledgements take, before ops are sent
    /// again.
    const RESEND_AFTER: Duration = Duration::from_millis(500);
    /// Each time without progress doubles that, up to this: the link may be slow, not lossy, and
    /// the peer's disk may be full.
    const RESEND_MAX: Duration = Duration::from_secs(8);
    /// A peer that has answered so often that it got no further is not slow: it lacks what is next.
    const ECHOES_MAX: u32 = 3;
    /// Acknowledgements that take longer count as this: what is lost is to be sent again some time.
    const SLOWNESS_MAX: Duration = Duration::from_secs(5);

    /// How many round trips are looked at; what makes one longer passes.
    const TRIPS_MAX: usize = 8;
    /// Others are told of another round trip once it differs by this share of the one before
    const TELL_SHARE: u32 = 5;
    /// and by this much: trees shall not be made anew for small changes.
    const TELL_AFTER: Duration = Duration::from_millis(5);

    /// Begins a session, or ends it: nothing is known of the other side.
    pub(crate) fn reset(&mut self, is_linked: bool) {
        let (kept, trips) = (std::mem::take(&mut self.kept), std::mem::take(&mut self.trips));
        let (round_trip, told, kept_incarnation) =
            (self.round_trip, self.told, self.kept_incarnation);
        let fresh = Self::default();
        *self = Self { is_linked, round_trip, told, kept, kept_incarnation, trips, ..fresh };
    }

    /// Whether it is being sent the state.
    pub(crate) fn is_sent_state(&self) -> bool {
        self.is_linked && self.transfer.as_ref().is_some_and(|it| !it.is_needless())
    }

    /// Takes in a round trip; says whether others are to be told another one from here on.
    pub(crate) fn measured(&mut self, round_trip: Duration) -> bool {
        self.round_trip = Some(round_trip);
        if Self::TRIPS_MAX <= self.trips.len() {
            self.trips.pop_front();
        }
        self.trips.push_back(round_trip);
        let least = *self.trips.iter().min().expect("one was just put in");
        let is_same = |told: Duration| {
            least.abs_diff(told) <= (told / Self::TELL_SHARE).max(Self::TELL_AFTER)
        };
        let is_new = !self.told.is_some_and(is_same);
        if is_new {
            self.told = Some(least);
        }
        is_new
    }

    /// Takes in that the peer has everything of a stream up to a number, because it sent it.
    pub(crate) fn has(&mut self, stream: StreamId, seq: u64) {
        if let Some(theirs) = &mut self.theirs {
            theirs.raise(stream, seq);
        }
    }

    /// Takes note of how far the peer is with a stream. Returns since when it gets no further, if
    /// it lacks something and is not being helped.
    pub(crate) fn progress(
        &mut self,
        stream: &StreamId,
        durable: u64,
        now: Duration,
    ) -> Option<Duration> {
        let have = self.theirs.as_ref().map_or(u64::MAX, |seen| seen.of(stream));
        if durable <= have {
            if !self.waits.is_empty() {
                self.waits.remove(stream);
            }
            return None;
        }
        let fresh = Wait { have, since: now, help: None };
        let wait = self.waits.entry(*stream).or_insert(fresh);
        if wait.have != have {
            let help = wait.help.filter(|(goal, _)| have < *goal);
            *wait = Wait { help, ..fresh };
        }
        Some(wait.since).filter(|_| wait.help.is_none())
    }

    /// Begins to help it with a stream up to an op, if it got no further for that long.
    pub(crate) fn begin_help(
        &mut self,
        stream: &StreamId,
        goal: u64,
        now: Duration,
        patience: Duration,
    ) -> bool {
        let wait = self.waits.get_mut(stream).filter(|wait| wait.since + patience <= now);
        let Some(wait) = wait else { return false };
        wait.help = Some((goal, now));
        true
    }

    /// Returns since when it is helped with a stream.
    pub(crate) fn helped_since(&self, stream: &StreamId) -> Option<Duration> {
        self.waits.get(stream)?.help.map(|(_, since)| since)
    }

    /// Takes in what the peer says that it has.
    pub(crate) fn heard(&mut self, incarnation: u64, seen: Seen, now: Duration) {
        for (stream, flight) in &mut self.flights {
            flight.acknowledge(seen.of(stream), now);
        }
        self.kept.clone_from(&seen);
        self.kept_incarnation = Some(incarnation);
        self.spoke.get_or_insert(now);
        self.spoke_last = Some(now);
        self.theirs = Some(seen);
    }

    /// Takes in that the peer has everything of a stream up to a number.
    pub(crate) fn acknowledged(&mut self, stream: StreamId, seq: u64, now: Duration) {
        let Some(theirs) = &mut self.theirs else { return };
        theirs.raise(stream, seq);
        self.kept.raise(stream, seq);
        if let Some(flight) = self.flights.get_mut(&stream) {
            flight.echoes = flight.echoes.saturating_add(1);
            flight.acknowledge(seq, now);
        }
    }

    /// Returns the op after which to go on, if the window has room and the log is not asked.
    ///
    /// Who helps, or sends again, sends one message after the other: the peer may be unable to take
    /// any.
    pub(crate) fn next_after(&self, stream: &StreamId) -> Option<u64> {
        let is_stalled = self.flights.get(stream).is_some_and(|it| 0 < it.stalls);
        let is_careful = is_stalled || self.helped_since(stream).is_some();
        let bytes_max = if is_careful { 1 } else { Self::FLIGHT_BYTES_MAX };
        let is_held_up = self
            .flights
            .get(stream)
            .is_some_and(|flight| flight.is_held_up() || bytes_max <= flight.bytes);
        if is_held_up { None } else { self.sent(stream) }
    }

    /// Returns the last op that was sent, or that the peer has anyway.
    pub(crate) fn sent(&self, stream: &StreamId) -> Option<u64> {
        let have = self.theirs.as_ref()?.of(stream);
        Some(self.flights.get(stream).map_or(have, |flight| flight.sent.max(have)))
    }

    /// Ends the wait for the log if it was asked for the ops of a stream from `from` on.
    /// Says whether they are to be sent now.
    pub(crate) fn fetched(&mut self, stream: &StreamId, from: u64) -> bool {
        // The peer may have got them over another path meanwhile: then they are not to be sent.
        let is_next = self.sent(stream).is_some_and(|sent| from.checked_sub(1) == Some(sent));
        match self.flights.get_mut(stream) {
            Some(flight) if flight.fetching == Some(from) => {
                flight.fetching = None;
                is_next
            }
            Some(_) | None => false,
        }
    }

    /// Takes from `ops`, which follow on what was sent, what one message may hold.
    pub(crate) fn take_batch<'a>(
        &mut self,
        stream: StreamId,
        ops: impl Iterator<Item = &'a Arc<Op>>,
        now: Duration,
    ) -> Vec<Arc<Op>> {
        let flight = self.flights.entry(stream).or_default();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for op in ops {
            let weight = op.weight();
            if !batch.is_empty() && Self::BATCH_BYTES_MAX < bytes + weight {
                break;
            }
            bytes += weight;
            flight.unacked.push_back((op.seq, weight));
            flight.sent = op.seq;
            batch.push(op.clone());
        }
        if flight.bytes == 0 {
            flight.moved = now;
        }
        flight.bytes += bytes;
        if flight.messages.back().is_none_or(|(last, _)| *last < flight.sent) {
            flight.messages.push_back((flight.sent, now));
        }
        batch
    }

    /// Takes note that the log is asked for the ops of a stream from `from` on.
    pub(crate) fn fetching(&mut self, stream: StreamId, from: u64) {
        let flight = self.flights.entry(stream).or_default();
        flight.fetching = Some(from);
        flight.behind = flight.behind.max(Some(from));
    }

    /// Takes note of the last op of a batch that came from the log.
    pub(crate) fn came_from_log(&mut self, stream: &StreamId, seq: u64) {
        if let Some(flight) = self.flights.get_mut(stream) {
            flight.behind = flight.behind.max(Some(seq));
        }
    }

    /// Whether it catches up with a stream: until all that is on its way has arrived.
    pub(crate) fn is_behind(&self, stream: &StreamId) -> bool {
        self.flights.get(stream).is_some_and(|flight| flight.behind.is_some())
    }

    /// Goes back to what is acknowledged wherever nothing has moved for too long. A peer that has
    /// much to do takes its time: to send it the same again would only give it more to do.
    pub(crate) fn rewind_stalled(&mut self, now: Duration) {
        let round_trip = self.round_trip.unwrap_or_default();
        let Some(theirs) = &self.theirs else { return };
        for (stream, flight) in &mut self.flights {
            let is_slow = flight.echoes < Self::ECHOES_MAX;
            let slowness = if is_slow { flight.slowness } else { Duration::ZERO };
            let patience = Self::RESEND_AFTER + 2 * round_trip.max(slowness);
            let longer = patience * 2_u32.saturating_pow(flight.stalls.min(16));
            let patience = longer.min(Self::RESEND_MAX.max(patience));
            if !flight.unacked.is_empty() && flight.moved + patience <= now {
                let (messages, slowness) = (std::mem::take(&mut flight.messages), flight.slowness);
                let (sent, stalls) = (theirs.of(stream), flight.stalls.saturating_add(1));
                let fresh = Flight { sent, moved: now, ..Flight::default() };
                *flight = Flight { messages, slowness, stalls, ..fresh };
            }
        }
    }
}

impl Flight {
    fn acknowledge(&mut self, seq: u64, now: Duration) {
        while let Some((_, weight)) = self.unacked.pop_front_if(|(it, _)| *it <= seq) {
            self.bytes -= weight;
            (self.moved, self.stalls, self.echoes) = (now, 0, 0);
        }
        while let Some((_, sent)) = self.messages.pop_front_if(|(last, _)| *last <= seq) {
            let took = now.saturating_sub(sent).min(Peer::SLOWNESS_MAX);
            self.slowness = took.max(self.slowness - self.slowness / 8);
        }
        self.sent = seq.max(self.sent);
        self.behind.take_if(|_| self.unacked.is_empty() && self.fetching.is_none());
    }

    /// Whether what is on its way has to arrive before more is sent: the log is asked, or the peer
    /// has all that came from it, and little is left until new ops can be as urgent as they are.
    /// Without that a stream that is written all the time would stay in bulk for ever.
    fn is_held_up(&self) -> bool {
        let has_come = |until: u64| self.unacked.front().is_some_and(|(first, _)| until < *first);
        let is_little = self.bytes <= Peer::CAUGHT_UP_BYTES_MAX;
        self.fetching.is_some() || (is_little && self.behind.is_some_and(has_come))
    }
}

#[cfg(test)]
mod tests {
    use photon_state::{Change, Dataset, Hlc, Key, PlacementId};

    use super::*;

    fn peer_that_lacks(ops: u64) -> (Peer, StreamId, Vec<Arc<Op>>) {
        let origin = RegionId::try_from("a").unwrap();
        let stream = StreamId { origin, placement: PlacementId::global(), incarnation: 1 };
        let op = |seq| {
            let (key, change) = (Key::new(b"key"), Change::Delete);
            Arc::new(Op { stream, seq, at: Hlc::default(), dataset: Dataset(1), key, change })
        };
        let mut peer = Peer::default();
        peer.heard(1, Seen::default(), Duration::ZERO);
        (peer, stream, (1..=ops).map(op).collect())
    }

    #[test]
    fn what_a_peer_does_not_take_is_sent_ever_more_seldom_and_one_by_one() {
        let (mut peer, stream, ops) = peer_that_lacks(2);
        let mut sent = Vec::new();
        for second in 0..100 {
            let now = Duration::from_secs(second);
            peer.rewind_stalled(now);
            if let Some(after) = peer.next_after(&stream) {
                let skip = usize::try_from(after).unwrap();
                let batch = peer.take_batch(stream, ops.iter().skip(skip).take(1), now);
                assert_eq!(batch.len(), 1);
                sent.push(second);
            }
        }
        assert_eq!(sent[..8], [0, 1, 2, 4, 8, 16, 24, 32]);
        let (origin, placement) = (stream.origin, stream.placement);
        let other = StreamId { origin, placement, incarnation: 2 };
        peer.acknowledged(other, 1, Duration::from_secs(100));
        assert_eq!(peer.flights.len(), 1, "nothing of the other stream was on its way");
        peer.acknowledged(stream, 1, Duration::from_secs(100));
        assert_eq!(peer.next_after(&stream), Some(1), "the window is open again");
    }

    #[test]
    fn a_peer_is_behind_until_all_that_came_from_the_log_has_arrived() {
        let (mut peer, stream, ops) = peer_that_lacks(9);
        peer.take_batch(stream, ops[..2].iter(), Duration::ZERO);
        assert!(!peer.is_behind(&stream));
        peer.fetching(stream, 3);
        peer.acknowledged(stream, 2, Duration::ZERO);
        assert!(peer.is_behind(&stream), "the log is still read");
        assert!(peer.fetched(&stream, 3));
        peer.take_batch(stream, ops[2..6].iter(), Duration::ZERO);
        peer.take_batch(stream, ops[6..].iter(), Duration::ZERO);
        peer.acknowledged(stream, 8, Duration::ZERO);
        assert!(peer.is_behind(&stream), "what is new must not overtake the last of it");
        peer.acknowledged(stream, 9, Duration::ZERO);
        assert!(!peer.is_behind(&stream));
    }

    #[test]
    fn a_slow_peer_is_not_sent_the_same_again_and_one_that_lost_something_is() {
        let (mut peer, stream, ops) = peer_that_lacks(9);
        let secs = Duration::from_secs;
        let sent_after = |peer: &mut Peer, now| {
            peer.rewind_stalled(now);
            peer.sent(&stream)
        };
        peer.take_batch(stream, ops[..2].iter(), secs(0));
        assert_eq!(sent_after(&mut peer, secs(1)), Some(0), "nobody knows how slow it is");
        peer.take_batch(stream, ops[..2].iter(), secs(1));
        peer.take_batch(stream, ops[2..4].iter(), secs(1));
        peer.acknowledged(stream, 2, secs(2));
        assert_eq!(sent_after(&mut peer, secs(6)), Some(4), "an answer took two seconds");
        assert_eq!(sent_after(&mut peer, secs(7)), Some(2), "but not five");
        for seq in 3..=9 {
            peer.take_batch(stream, ops[seq as usize - 1..][..1].iter(), secs(7));
        }
        (3..=9).for_each(|seq| peer.acknowledged(stream, seq, secs(7)));
        assert_eq!(sent_after(&mut peer, secs(20)), Some(9), "nothing is on its way");
    }

    #[test]
    fn a_peer_that_answers_and_gets_no_further_is_not_taken_for_a_slow_one() {
        let (mut peer, stream, ops) = peer_that_lacks(9);
        let secs = Duration::from_secs;
        peer.take_batch(stream, ops[..1].iter(), secs(0));
        peer.acknowledged(stream, 1, secs(5)); // Another region has sent it at last.
        peer.take_batch(stream, ops[1..2].iter(), secs(5));
        for seq in 3..=5 {
            peer.take_batch(stream, ops[seq - 1..][..1].iter(), secs(6));
            peer.rewind_stalled(secs(7));
            assert_eq!(peer.sent(&stream), Some(seq as u64), "it may be slow");
            peer.acknowledged(stream, 1, secs(7));
        }
        peer.rewind_stalled(secs(7));
        assert_eq!(peer.sent(&stream), Some(1), "the second was lost");
    }

    #[test]
    fn a_peer_catches_up_with_a_stream_that_is_written_all_the_time() {
        let (mut peer, stream, ops) = peer_that_lacks(9);
        peer.fetching(stream, 1);
        assert!(peer.fetched(&stream, 1));
        peer.take_batch(stream, ops[..4].iter(), Duration::ZERO);
        peer.came_from_log(&stream, 4);
        peer.take_batch(stream, ops[4..6].iter(), Duration::ZERO);
        peer.acknowledged(stream, 3, Duration::ZERO);
        assert_eq!(peer.next_after(&stream), Some(6), "what came from the log is on its way");
        peer.take_batch(stream, ops[6..7].iter(), Duration::ZERO);
        peer.acknowledged(stream, 4, Duration::ZERO);
        assert!(peer.is_behind(&stream));
        assert_eq!(peer.next_after(&stream), None, "the rest of it is awaited");
        peer.acknowledged(stream, 7, Duration::ZERO);
        assert!(!peer.is_behind(&stream));
        assert_eq!(peer.next_after(&stream), Some(7));
    }
}
