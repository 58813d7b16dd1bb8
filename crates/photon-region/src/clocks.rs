//! How far the clocks of other regions are from this one's, and what follows: whose ops wait, and
//! whether the clock of this region is the one that is off.
//! Must not set a clock, nor put an op off: `Hlc::observe` does that.

use std::collections::BTreeMap;
use std::time::Duration;

use photon_state::{Hlc, PlacementId, RegionId};

use crate::notice::Notice;
use crate::refusal::Refusal;
use crate::region::Region;

/// What is known of clocks.
#[derive(Debug, Default)]
pub(crate) struct Clocks {
    peers: BTreeMap<RegionId, PeerClock>,
    /// When it was told last that ops of a region wait here.
    told: BTreeMap<RegionId, Duration>,
    /// How far this region's clock, or what it stamps, is ahead, if it is off; negative is behind.
    pub(crate) off_ms: Option<i64>,
}

/// The clock of a peer.
#[derive(Clone, Copy, Debug, Default)]
struct PeerClock {
    /// How far it is ahead for sure; it may be more, by up to a round trip. Negative is behind.
    ahead_ms: i64,
    /// Whether it is so far from this region's that one of them does not take the other's ops.
    is_far: bool,
}

/// The farthest that clocks may be apart before ops wait.
const APART_MS_MAX: i64 = Hlc::AHEAD_MS_MAX.cast_signed();
/// How near they have to come again: far less, so that none at the bound is told of for ever.
const NEAR_MS: i64 = APART_MS_MAX / 2;
/// How often it is told that ops of a region wait.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Returns how far a clock is ahead for sure, if it showed `theirs_ms` at some moment of the last
/// `round_trip`, and ours shows `ours_ms`.
fn surely_ahead(theirs_ms: u64, ours_ms: u64, round_trip: Duration) -> i64 {
    let theirs = i64::try_from(theirs_ms).unwrap_or(i64::MAX);
    let least = theirs.saturating_sub_unsigned(ours_ms);
    let round_trip = i64::try_from(round_trip.as_millis()).unwrap_or(i64::MAX);
    let most = least.saturating_add(round_trip).saturating_add(1);
    if 0 < least { least } else { most.min(0) }
}

impl Region {
    /// Takes in what a peer's clock showed when it answered.
    pub(crate) fn clock_shown(&mut self, peer: RegionId, wall_ms: u64, round_trip: Duration) {
        let ahead_ms = surely_ahead(wall_ms, self.now.wall_ms, round_trip);
        let known = self.agree.clocks.peers.entry(peer).or_default();
        let bound = if known.is_far { NEAR_MS } else { APART_MS_MAX };
        let was_far = std::mem::replace(&mut known.is_far, bound < ahead_ms.abs());
        known.ahead_ms = ahead_ms;
        let is_far = known.is_far;
        if is_far != was_far {
            let apart = Notice::ClockApart { region: peer, ahead_ms };
            let notice = if is_far { apart } else { Notice::ClockAgrees { region: peer } };
            self.tell_of_clock(notice);
        }
        self.judge_clock();
    }

    /// Looks whether the clock of this region is the one that is off.
    pub(crate) fn judge_clock(&mut self) {
        let is_first = self.agree.clocks.off_ms.is_none();
        let off_ms = self.clock_off_ms(if is_first { APART_MS_MAX } else { NEAR_MS });
        let was = std::mem::replace(&mut self.agree.clocks.off_ms, off_ms);
        match (was, off_ms) {
            (None, Some(ahead_ms)) => self.tell_of_clock(Notice::OwnClockOff { ahead_ms }),
            (Some(_), None) => self.tell_of_clock(Notice::OwnClockAgrees),
            (None, None) | (Some(_), Some(_)) => {}
        }
    }

    fn tell_of_clock(&mut self, notice: Notice) {
        self.output(crate::contract::Output::Notice(notice));
        self.dispatch_all();
    }

    /// Returns how far this region is ahead of most others with what it writes, or else how far its
    /// clock is behind those of most; nothing if it is neither by more than `bound`.
    fn clock_off_ms(&self, bound: i64) -> Option<i64> {
        let linked = self.peers.iter().filter(|(_, peer)| peer.is_linked).map(|(it, _)| *it);
        let linked: Vec<RegionId> = linked.collect();
        if linked.is_empty() {
            return None; // Nobody is there who would wait for it, or could be right.
        }
        let beyond = |all: Vec<i64>| {
            let all = all.into_iter().filter(|it| bound < *it).collect::<Vec<i64>>();
            (all.len(), all.into_iter().min())
        };
        let (not_taking, leads) = beyond(linked.iter().map(|it| self.lead_over(*it)).collect());
        // Of two clocks the one that is ahead counts as off: its ops are those that wait.
        if linked.len() < 2 * not_taking {
            return leads;
        }
        let (ahead, lags) = beyond(linked.iter().map(|it| self.ahead_of_us(*it)).collect());
        lags.filter(|_| linked.len() + 1 < 2 * ahead).map(|it| -it)
    }

    fn ahead_of_us(&self, peer: RegionId) -> i64 {
        self.agree.clocks.peers.get(&peer).map_or(0, |it| it.ahead_ms)
    }

    /// Returns how far what this region would write now lies ahead of a peer's clock.
    fn lead_over(&self, peer: RegionId) -> i64 {
        let ahead = self.clock.wall_ms.saturating_sub(self.now.wall_ms);
        i64::try_from(ahead).unwrap_or(i64::MAX).saturating_sub(self.ahead_of_us(peer))
    }

    /// Whether a region takes in now what this one writes: if not, it does not hear of new work.
    pub(crate) fn takes_ours(&self, region: RegionId) -> bool {
        self.lead_over(region) <= APART_MS_MAX
    }

    /// Returns how far the clock of a peer is ahead, if it is too far from this region's.
    pub(crate) fn clock_apart_ms(&self, peer: RegionId) -> Option<i64> {
        self.agree.clocks.peers.get(&peer).filter(|it| it.is_far).map(|it| it.ahead_ms)
    }

    /// Refuses what others would not hear of until their clocks have come as far as this one's.
    pub(crate) fn check_clock(&self, placement: PlacementId) -> Result<(), Refusal> {
        let region = self.config.region;
        let members = self.config.placements.get(&placement).into_iter().flatten();
        let is_alone = members.into_iter().all(|it| *it == region);
        match self.agree.clocks.off_ms.filter(|it| 0 < *it && !is_alone) {
            Some(ahead_ms) => {
                Err(Refusal::ClockAhead { region, ahead_ms: ahead_ms.unsigned_abs() })
            }
            None => Ok(()),
        }
    }

    /// Takes note that an op waits because it was stamped by a clock that is ahead of this one.
    pub(crate) fn held_back(&mut self, origin: RegionId, at: Hlc) {
        let now = self.now.mono;
        self.counters.skewed += 1;
        let told = self.agree.clocks.told.get(&origin);
        let is_known = self.config.regions.contains_key(&origin);
        if is_known && told.is_none_or(|it| *it + TELL_EVERY <= now) {
            self.agree.clocks.told.insert(origin, now);
            let ahead_ms = at.wall_ms.saturating_sub(self.now.wall_ms);
            self.output(crate::contract::Output::Notice(Notice::OpsWait { origin, ahead_ms }));
        }
    }

    /// Forgets the clock of a peer whose session is over.
    pub(crate) fn forget_clock(&mut self, peer: RegionId) {
        self.agree.clocks.peers.remove(&peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_path_makes_no_clock_look_off() {
        let check = |theirs, ours, round_trip, expected| {
            let round_trip = Duration::from_millis(round_trip);
            assert_eq!(surely_ahead(theirs, ours, round_trip), expected);
        };
        check(10_000, 10_000, 0, 0);
        check(10_000, 10_300, 300, 0);
        check(10_000, 20_000, 10_000, 0);
        check(13_000, 10_000, 300, 3_000);
        // It was read at some time in the round trip, so it is behind by less than it seems.
        check(4_000, 10_000, 300, -5_699);
        check(0, u64::MAX, 0, i64::MIN + 1);
        check(u64::MAX, 0, u64::MAX, i64::MAX);
    }
}
