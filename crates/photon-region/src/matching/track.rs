//! How an agent has fared of late: how often it succeeded, and how long it took.
//!
//! Every region learns it from the tasks that it hears of. What is old counts half as much every
//! few minutes, so that who failed is tried again.
//! Must not know what the tasks were.

use std::collections::BTreeSet;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::score::Grade;
use crate::task::{AgentName, Event, Outcome, Skill};

/// What the time of an agent at a task came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stint {
    /// It completed the task in as many milliseconds.
    Done { took_ms: u64 },
    /// It failed, took too long, or fell silent.
    Failed,
    /// It says nothing of the agent.
    #[default]
    Void,
}

impl Stint {
    /// Returns what an event says of the agent that worked on its task for so long. That all of
    /// the task's time is over is not the agent's fault: most of it may have passed in a queue.
    pub(crate) fn of(event: &Event, took_ms: u64, is_over_time: bool) -> Self {
        match event {
            Event::Ended { outcome: Outcome::Completed, .. } => Self::Done { took_ms },
            Event::Ended { outcome: Outcome::Failed | Outcome::Rejected, .. } if !is_over_time => {
                Self::Failed
            }
            Event::Requeued { why, .. } if why.is_failure() => Self::Failed,
            Event::Ended { .. }
            | Event::Requeued { .. }
            | Event::Submitted(_)
            | Event::Claimed { .. }
            | Event::Noted { .. }
            | Event::Paused { .. }
            | Event::Answered { .. } => Self::Void,
        }
    }
}

/// What is known of an agent at one skill. Counts are in eighths, so that halving them keeps
/// something of a single attempt for a while.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    done: u16,
    failed: u16,
    /// Attempts that were done, by the logarithm of how many milliseconds they took.
    times: [u16; Self::TIMES],
}

impl Track {
    /// 2^23 ms are 2.3 hours; what takes longer counts as that.
    const TIMES: usize = 24;
    /// What an attempt counts for.
    const ONE: u16 = 8;
    /// What all count for at the most: then what is older counts half as much.
    const SUM_MAX: u16 = 512 * Self::ONE;

    fn new() -> Self {
        Self { done: 0, failed: 0, times: [0; Self::TIMES] }
    }

    fn add(&mut self, stint: Stint) {
        if Self::SUM_MAX <= self.done + self.failed {
            self.halve();
        }
        match stint {
            Stint::Done { took_ms } => {
                self.done += Self::ONE;
                let doublings = took_ms.max(1).ilog2() as usize;
                self.times[doublings.min(Self::TIMES - 1)] += Self::ONE;
            }
            Stint::Failed => self.failed += Self::ONE,
            Stint::Void => {}
        }
    }

    fn halve(&mut self) {
        self.times.iter_mut().for_each(|it| *it /= 2);
        self.done = self.times.iter().sum();
        self.failed /= 2;
    }

    fn is_empty(&self) -> bool {
        self.done == 0 && self.failed == 0
    }

    /// Returns how often it succeeded; one success is taken for granted.
    pub(crate) fn success(&self) -> Grade {
        let good = u64::from(self.done) + u64::from(Self::ONE);
        Grade::of_share(good, good + u64::from(self.failed))
    }

    /// Returns in how many milliseconds 19 of 20 were done, to within a doubling of it.
    pub(crate) fn p95_ms(&self) -> Option<u64> {
        let rank = (u64::from(self.done) * 19).div_ceil(20);
        let mut before = 0;
        for (doublings, count) in self.times.iter().enumerate() {
            let count = u64::from(*count);
            if rank <= before + count && count != 0 {
                let least = 1_u64 << doublings;
                return Some(least + least * (rank - before) / count);
            }
            before += count;
        }
        None
    }
}

/// What is known of all agents.
#[derive(Debug, Default)]
pub(crate) struct Tracks {
    tracks: FxHashMap<AgentName, Vec<(Skill, Track)>>,
    /// When each counts half as much.
    due: BTreeSet<(Duration, AgentName)>,
}

impl Tracks {
    /// How often what is known counts half as much.
    const HALVE_EVERY: Duration = Duration::from_secs(300);

    /// Takes in what became of an attempt.
    pub(crate) fn add(&mut self, agent: &AgentName, skill: &Skill, stint: Stint, now: Duration) {
        if stint == Stint::Void {
            return;
        }
        let tracks = self.tracks.entry(agent.clone()).or_default();
        if tracks.is_empty() {
            self.due.insert((now + Self::HALVE_EVERY, agent.clone()));
        }
        if !tracks.iter().any(|(its, _)| its == skill) {
            tracks.push((skill.clone(), Track::new()));
        }
        let mut all = tracks.iter_mut();
        let (_, track) = all.find(|(its, _)| its == skill).expect("it was put in if it lacked");
        track.add(stint);
    }

    /// Returns what is known of an agent, skill by skill.
    pub(crate) fn of(&self, agent: &AgentName) -> &[(Skill, Track)] {
        self.tracks.get(agent).map_or(&[], Vec::as_slice)
    }

    /// Returns the next agent of which what is known is to count less.
    pub(crate) fn due(&self, now: Duration) -> Option<AgentName> {
        self.due.first().filter(|(at, _)| *at <= now).map(|(_, agent)| agent.clone())
    }

    /// Lets what is known of the agent that is [due](Self::due) count half as much.
    pub(crate) fn halve_next(&mut self, now: Duration) {
        let Some((_, agent)) = self.due.pop_first() else { return };
        let tracks = self.tracks.get_mut(&agent).expect("who is due has tracks");
        tracks.iter_mut().for_each(|(_, it)| it.halve());
        tracks.retain(|(_, it)| !it.is_empty());
        if tracks.is_empty() {
            self.tracks.remove(&agent);
        } else {
            self.due.insert((now + Self::HALVE_EVERY, agent));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(done_ms: &[u64], failed: usize) -> Track {
        let mut track = Track::new();
        done_ms.iter().for_each(|it| track.add(Stint::Done { took_ms: *it }));
        (0..failed).for_each(|_| track.add(Stint::Failed));
        track
    }

    #[test]
    fn success_is_the_share_of_what_was_done_with_one_more() {
        let check = |done, failed, expected| {
            let is = track(&vec![10; done], failed).success().get();
            assert_eq!(is, expected, "{done} done, {failed} failed");
        };
        check(0, 0, 1_000);
        check(0, 1, 500);
        check(9, 1, 909);
        check(0, 9, 100);
    }

    #[test]
    fn the_95th_percentile_is_found_to_within_a_doubling() {
        let check = |times: &[u64], from: u64, to: u64| {
            let is = track(times, 3).p95_ms().unwrap();
            assert!((from..=to).contains(&is), "{is} ms, expected {from} to {to}");
        };
        check(&[1_000], 512, 1_024);
        check(&[0], 1, 2);
        let mostly: Vec<u64> = (0..100).map(|it| if it < 96 { 100 } else { 60_000 }).collect();
        check(&mostly, 64, 128);
        let often: Vec<u64> = (0..100).map(|it| if it < 90 { 100 } else { 60_000 }).collect();
        check(&often, 32_768, 65_536);
        check(&[u64::MAX], 1 << 23, 1 << 24);
        assert_eq!(track(&[], 2).p95_ms(), None);
    }

    #[test]
    fn what_is_old_counts_less_and_is_forgotten() {
        let (agent, skill): (AgentName, Skill) = ("a".into(), "s".into());
        let mut tracks = Tracks::default();
        let mut now = Duration::ZERO;
        for _ in 0..10 {
            tracks.add(&agent, &skill, Stint::Failed, now);
        }
        let mut seen = vec![tracks.of(&agent)[0].1.success().get()];
        while !tracks.of(&agent).is_empty() {
            now += Tracks::HALVE_EVERY;
            assert_eq!(tracks.due(now - Duration::from_millis(1)), None);
            assert_eq!(tracks.due(now), Some(agent.clone()));
            tracks.halve_next(now);
            seen.extend(tracks.of(&agent).first().map(|(_, it)| it.success().get()));
        }
        assert_eq!(seen, [90, 166, 285, 444, 615, 800, 888]);
        assert_eq!(tracks.due(Duration::MAX), None, "nobody is left");
    }

    #[test]
    fn counts_stay_within_bounds() {
        let mut track = Track::new();
        for number in 0..100_000 {
            let took_ms = number;
            track.add(if number % 3 == 0 { Stint::Failed } else { Stint::Done { took_ms } });
            assert!(track.done + track.failed <= Track::SUM_MAX + Track::ONE);
            assert_eq!(track.done, track.times.iter().sum());
        }
        assert!((600..700).contains(&track.success().get()), "{:?}", track.success());
    }
}
