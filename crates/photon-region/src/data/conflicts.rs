//! Conflicts of writes: counted, kept to be shown, sampled for the log, and alarmed above a rate.
//! Must not decide which of two writes is shown.

use std::collections::VecDeque;
use std::time::Duration;

use photon_state::{Dot, Hlc, Op, StableHash};

use super::{Conflict, Conflicts, Data, DatasetName, split_key};
use crate::contract::Output;
use crate::notice::{ConflictRate, ConflictSample, Notice};
use crate::region::Region;
use crate::view::ConflictView;

/// The conflicts of one dataset.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) shown: Conflicts,
    /// How many there were at the beats of the window; one is enough while nothing happens.
    beats: VecDeque<(Duration, u64)>,
    per_second: f64,
    is_alarming: bool,
    /// When one was sampled last, and how many were not since then.
    sampled: Option<Duration>,
    left_out: u64,
}

impl Tally {
    /// Conflicts of a dataset that are kept to be shown.
    const LAST_MAX: usize = 100;
    /// How often a conflict of a dataset is sampled; others within that time are only counted.
    const SAMPLE_EVERY: Duration = Duration::from_secs(1);
    /// The rate is the mean of so much time.
    const WINDOW: Duration = Duration::from_secs(10);

    fn note(&mut self, conflict: Conflict) {
        self.shown.count += 1;
        self.shown.last.insert(0, conflict);
        self.shown.last.truncate(Self::LAST_MAX);
    }

    /// Says how many conflicts were left out of the log before this one, if it is to be in it.
    fn sample(&mut self, now: Duration, has_room: bool) -> Option<u64> {
        let is_due = self.sampled.is_none_or(|at| at + Self::SAMPLE_EVERY <= now);
        if !is_due || !has_room {
            self.left_out += 1;
            return None;
        }
        self.sampled = Some(now);
        Some(std::mem::take(&mut self.left_out))
    }

    /// Looks at the rate, once a beat; says whether the alarm has begun or ended. It ends at half
    /// the rate at which it begins, so that it does not flutter.
    fn beat(&mut self, now: Duration, per_second_max: u64) -> Option<bool> {
        if self.beats.is_empty() && self.shown.count == 0 {
            return None;
        }
        if self.beats.is_empty() {
            self.beats.push_back((now.saturating_sub(Region::BEAT_EVERY), 0));
        }
        self.beats.push_back((now, self.shown.count));
        while self.beats.get(1).is_some_and(|(at, _)| *at + Self::WINDOW <= now) {
            self.beats.pop_front();
        }
        let (since, before) = self.beats[0];
        let secs = now.saturating_sub(since).max(Self::WINDOW).as_secs_f64();
        self.per_second = (self.shown.count - before) as f64 / secs;
        if self.shown.count == before {
            self.beats.drain(..self.beats.len() - 1);
        }
        let max = per_second_max as f64;
        let limit = if self.is_alarming { max / 2.0 } else { max };
        let is_over = limit < self.per_second;
        let has_changed = is_over != self.is_alarming;
        self.is_alarming = is_over;
        has_changed.then_some(is_over)
    }

    pub(super) fn view(&self, dataset: &DatasetName) -> ConflictView {
        ConflictView {
            dataset: dataset.clone(),
            count: self.shown.count,
            per_second: self.per_second,
            is_alarming: self.is_alarming,
        }
    }
}

/// What all datasets together may put into the log.
#[derive(Debug, Default)]
pub(super) struct Samples {
    since: Duration,
    count: u32,
}

impl Samples {
    /// Samples of all datasets in a second.
    const A_SECOND_MAX: u32 = 10;

    fn has_room(&mut self, now: Duration) -> bool {
        if self.since + Duration::from_secs(1) <= now {
            *self = Self { since: now, count: 0 };
        }
        self.count < Self::A_SECOND_MAX
    }
}

impl Data {
    /// Iterates over the datasets that had conflicts.
    pub(crate) fn conflicts(&self) -> impl Iterator<Item = ConflictView> {
        let all = self.datasets.iter().filter(|(_, it)| 0 < it.tally.shown.count);
        all.map(|(name, it)| it.tally.view(name))
    }
}

impl Region {
    pub(super) fn note_conflict(&mut self, op: &Op, dataset: &DatasetName, held: (Dot, Hlc)) {
        self.counters.conflicts += 1;
        let Some(entry) = self.data.datasets.get_mut(dataset) else { return };
        let Some((_, key)) = split_key(&op.key) else { return };
        let (placement, policy, arrived) =
            (op.stream.placement, entry.spec.policy, (op.dot(), op.at));
        let now = self.now.mono;
        let has_room = self.data.samples.has_room(now);
        if let Some(left_out) = entry.tally.sample(now, has_room) {
            self.data.samples.count += 1;
            // A key may be personal. Whoever may see it finds it by the dots; one that can be
            // guessed is told by its hash.
            let key_hash = (!entry.spec.sensitive_keys)
                .then(|| StableHash::default().number(self.config.incarnation).bytes(key).finish());
            let sample = ConflictSample {
                dataset: dataset.clone(),
                key_hash,
                placement,
                policy,
                arrived,
                held,
                left_out,
            };
            self.outputs.push_back(Output::Notice(Notice::Conflict(Box::new(sample))));
        }
        let key = bytes::Bytes::copy_from_slice(key);
        entry.tally.note(Conflict { key, placement, policy, arrived, held });
    }

    /// Looks at how often writes of each dataset are in conflict.
    pub(crate) fn watch_conflicts(&mut self) {
        let per_second_max = self.config.limits.conflict_alarm_per_second;
        for (dataset, entry) in &mut self.data.datasets {
            let Some(is_over) = entry.tally.beat(self.now.mono, per_second_max) else { continue };
            let per_second = entry.tally.per_second.round() as u64;
            let rate = ConflictRate { dataset: dataset.clone(), per_second, per_second_max };
            let notice = if is_over { Notice::ManyConflicts } else { Notice::FewConflicts };
            self.outputs.push_back(Output::Notice(notice(rate)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_begins_above_the_rate_and_ends_at_half_of_it() {
        let mut tally = Tally::default();
        let mut said = Vec::new();
        let counts = [0, 0, 300, 0, 30, 60, 60, 60, 60, 60, 60, 60, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for (second, count) in (1..).zip(counts) {
            tally.shown.count += count;
            let change = tally.beat(Duration::from_secs(second), 50);
            said.extend(change.map(|is_over| (second, is_over)));
        }
        // The mean of ten seconds is above 50 in the eighth, and below 25 once four are left.
        assert_eq!(said, [(8, true), (19, false)]);
        assert!(tally.per_second < 25.0);
    }

    #[test]
    fn a_sample_is_taken_once_a_second_and_says_what_was_left_out() {
        let mut tally = Tally::default();
        let at = |ms| Duration::from_millis(ms);
        assert_eq!(tally.sample(at(0), true), Some(0));
        assert_eq!(tally.sample(at(10), true), None);
        assert_eq!(tally.sample(at(999), true), None);
        assert_eq!(tally.sample(at(1_000), false), None);
        assert_eq!(tally.sample(at(1_001), true), Some(3));
    }
}
