//! How far peers are behind: in ops, and by how long ago the first op was made that they lack.
//! Must not know what an op says, nor read a clock.

use std::collections::VecDeque;
use std::time::Duration;

use photon_state::{Now, PlacementId, RegionId};

use crate::links::Peer;
use crate::region::Region;
use crate::view::{PeerView, PlacementLag};

/// When the ops of one stream were made: marks here and there, the closer together the younger
/// they are. An age is never told too low, but for ops that are older than the first mark.
#[derive(Debug, Default)]
pub(crate) struct Ages(VecDeque<Mark>);

/// From which op on ops were made at a time or later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    seq: u64,
    /// While the log is read: milliseconds since 1970. Afterwards: since the start of the process,
    /// so that a wall clock that is set does not change an age.
    at_ms: i64,
}

impl Ages {
    /// Marks that are kept. Beyond it one goes whose neighbours stand in for it best: an outage of
    /// a year is told to 8 %, and an op of a second ago still to the step.
    const MARKS_MAX: usize = 256;
    /// Ops that are made within this time share a mark.
    const STEP_MS: i64 = 100;

    /// Takes note of when an op was made. Numbers and times grow.
    pub(crate) fn note(&mut self, seq: u64, at_ms: i64) {
        if self.0.back().is_some_and(|last| at_ms < last.at_ms.saturating_add(Self::STEP_MS)) {
            return;
        }
        self.0.push_back(Mark { seq, at_ms });
        if Self::MARKS_MAX < self.0.len() {
            self.thin(at_ms);
        }
    }

    /// Removes the mark whose ops are then told wrong by the least, for their age.
    fn thin(&mut self, now_ms: i64) {
        let marks = &self.0;
        let wrong = |at: usize| {
            let (before, after) = (marks[at - 1].at_ms, marks[at + 1].at_ms);
            (i128::from(after - before), i128::from(now_ms - after + Self::STEP_MS))
        };
        let least = (1..marks.len() - 1).min_by(|a, b| {
            let ((error, age), (other_error, other_age)) = (wrong(*a), wrong(*b));
            (error * other_age).cmp(&(other_error * age))
        });
        if let Some(at) = least {
            self.0.remove(at);
        }
    }

    /// Forgets what is needed only for ops up to a number, which every peer has.
    pub(crate) fn forget(&mut self, seq: u64) {
        while self.0.get(1).is_some_and(|next| next.seq <= seq + 1) {
            self.0.pop_front();
        }
    }

    /// Goes over from the times of the log to those of the process.
    pub(crate) fn begin(&mut self, now: Now) {
        let (mono, wall) = (millis(now.mono), i64::try_from(now.wall_ms).unwrap_or(i64::MAX));
        for mark in &mut self.0 {
            mark.at_ms = mono.min(mark.at_ms.saturating_sub(wall).saturating_add(mono));
        }
    }

    /// Returns how long ago an op was made, at least; nothing if there are no marks.
    fn age(&self, seq: u64, now: Duration) -> Option<Duration> {
        let behind = self.0.partition_point(|mark| mark.seq <= seq);
        let mark = self.0.get(behind.saturating_sub(1))?;
        let age_ms = millis(now).saturating_sub(mark.at_ms);
        Some(Duration::from_millis(u64::try_from(age_ms).unwrap_or(0)))
    }
}

/// Returns a time since the start of the process in milliseconds.
pub(crate) fn millis(mono: Duration) -> i64 {
    i64::try_from(mono.as_millis()).unwrap_or(i64::MAX)
}

impl Region {
    /// Shows a peer, and how far it and this region are behind each other.
    pub(crate) fn show_peer(&self, region: RegionId, peer: &Peer) -> PeerView {
        let here = self.config.region;
        let shared = self
            .config
            .placements
            .iter()
            .filter(|(_, members)| members.contains(&here) && members.contains(&region));
        let placements: Vec<PlacementLag> =
            shared.map(|(placement, _)| self.lag_in(region, peer, *placement)).collect();
        PeerView {
            region,
            is_linked: peer.is_linked,
            verdict: self.verdict_on(region),
            verdict_for: self.agree.judged_for(region, self.now.mono),
            shards: self.shards_at(region),
            clock_apart_ms: self.clock_apart_ms(region),
            round_trip: peer.round_trip,
            lag_ops: placements.iter().map(|it| it.lag_ops).sum(),
            lag: worst(placements.iter().map(|it| it.lag)),
            staleness: worst(placements.iter().map(|it| it.staleness)),
            placements,
        }
    }

    fn lag_in(&self, region: RegionId, peer: &Peer, placement: PlacementId) -> PlacementLag {
        let staleness = self.data.staleness_of((region, placement), self.now.mono);
        let (mut lag_ops, mut lag) = (0, peer.kept_incarnation.map(|_| Duration::ZERO));
        for (stream, it) in self.streams.of(self.config.region, placement) {
            let has = peer.kept.of(stream);
            if has < it.durable {
                lag_ops += it.durable - has;
                lag = lag.max(it.ages.age(has + 1, self.now.mono).filter(|_| lag.is_some()));
            }
        }
        PlacementLag { placement, lag_ops, lag, staleness }
    }

    /// Forgets the ages of ops that every member of their placement has.
    pub(crate) fn forget_ages(&mut self) {
        let here = self.config.region;
        let (placements, peers) = (&self.config.placements, &self.peers);
        for (stream, it) in self.streams.iter_mut().filter(|(stream, _)| stream.origin == here) {
            let Some(members) = placements.get(&stream.placement) else { continue };
            let all = peers.iter().filter(|(region, _)| members.contains(region));
            let all_have = all.map(|(_, peer)| peer.kept.of(stream)).min();
            it.ages.forget(all_have.unwrap_or(it.durable));
        }
    }
}

/// Returns the longest of some times, or nothing if one is not known.
fn worst(times: impl IntoIterator<Item = Option<Duration>>) -> Option<Duration> {
    times.into_iter().try_fold(Duration::ZERO, |worst, it| Some(worst.max(it?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    /// Makes an op each `every_ms` until `end_ms`.
    fn ages(every_ms: i64, end_ms: i64) -> Ages {
        let mut ages = Ages::default();
        for (seq, at_ms) in (1..).zip((0..end_ms).step_by(usize::try_from(every_ms).unwrap())) {
            ages.note(seq, at_ms);
        }
        ages
    }

    #[test]
    fn an_age_is_never_too_low_and_right_to_a_tenth_after_whatever_outage() {
        let check = |every_ms: i64, end_ms: i64| {
            let ages = ages(every_ms, end_ms);
            assert!(ages.0.len() <= Ages::MARKS_MAX, "{} marks", ages.0.len());
            let now = Duration::from_millis(u64::try_from(end_ms).unwrap());
            for back_ms in [1, 150, 1_000, 10_000, HOUR_MS, 20 * HOUR_MS] {
                let Some(made_ms) = Some(end_ms - back_ms).filter(|it| 0 <= *it) else { continue };
                let seq = u64::try_from(made_ms / every_ms + 1).unwrap();
                let made_ms = made_ms / every_ms * every_ms;
                let age_ms = i64::try_from(ages.age(seq, now).unwrap().as_millis()).unwrap();
                let real_ms = end_ms - made_ms;
                assert!(real_ms <= age_ms, "op {seq}: {age_ms} < {real_ms}");
                let most_ms = real_ms + real_ms / 10 + Ages::STEP_MS;
                assert!(age_ms <= most_ms, "op {seq}: {age_ms} > {real_ms}");
            }
        };
        check(7, 60_000);
        check(100, HOUR_MS);
        check(1_000, 30 * HOUR_MS);
        check(30_000, 24 * 365 * HOUR_MS);
    }

    #[test]
    fn what_every_peer_has_is_forgotten_and_the_rest_keeps_its_age() {
        let mut ages = ages(1_000, 100_000);
        let now = Duration::from_secs(100);
        ages.forget(90);
        assert!(ages.0.len() < 15, "{} marks", ages.0.len());
        assert_eq!(ages.age(91, now), Some(Duration::from_secs(10)));
        ages.forget(u64::MAX - 1);
        assert_eq!(ages.0.len(), 1);
    }

    #[test]
    fn a_log_that_is_read_back_tells_how_old_its_ops_are() {
        let mut ages = Ages::default();
        ages.note(1, 1_800_000_000_000);
        ages.note(2, 1_800_000_060_000);
        // The clock was set back meanwhile: an op cannot be younger than the process that read it.
        ages.note(3, 1_800_000_200_000);
        ages.begin(Now { mono: Duration::from_secs(1), wall_ms: 1_800_000_100_000 });
        let now = Duration::from_secs(3);
        let check = |seq, secs| assert_eq!(ages.age(seq, now), Some(Duration::from_secs(secs)));
        check(1, 102);
        check(2, 42);
        check(3, 2);
    }
}
