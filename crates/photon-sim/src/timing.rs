//! The rules that the log of a task keeps about its terms: nothing is tried before its time, too
//! often, or again without being asked; and terms as clients choose them.
//! Must not know how the log was read.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use photon_region::{
    Event, Priority, Requeue, Retry, Skill, Stamped, Target, Terms, Wants, Weight,
};
use photon_state::RegionId;

use crate::gathering::draw_fan;

/// What has been seen of a task's times.
#[derive(Debug, Default)]
pub(crate) struct Timing {
    terms: Terms,
    submitted_ms: u64,
    /// When the next attempt may begin, by the wall clock.
    earliest_ms: u64,
    /// When the last one began.
    claimed_ms: u64,
    failures: u32,
}

impl Timing {
    /// Takes in an event; says what is wrong with it, if anything is.
    pub(crate) fn step(&mut self, stamped: &Stamped) -> Option<&'static str> {
        let at_ms = stamped.at.wall_ms;
        match &stamped.event {
            Event::Submitted(spec) => {
                self.terms = spec.terms.as_deref().cloned().unwrap_or_default();
                self.submitted_ms = at_ms;
                self.earliest_ms = at_ms + millis(self.terms.start_delay);
            }
            Event::Claimed { .. } => {
                if at_ms < self.earliest_ms {
                    return Some("is a claim before its time");
                }
                let most = self.terms.retry.map_or(u32::MAX, |it| it.maximum_attempts);
                if most <= self.failures {
                    return Some("is an attempt too many");
                }
                self.claimed_ms = at_ms;
            }
            Event::Requeued { why, .. } => return self.requeued(*why, at_ms),
            Event::Paused { .. } => self.failures = 0,
            Event::Answered { .. } => self.earliest_ms = at_ms,
            Event::Ended { token: None, message: Some(message), .. } => {
                return self.given_up(&message.0, at_ms);
            }
            Event::Noted { .. } | Event::Ended { .. } => {}
        }
        None
    }

    /// Checks an end that the home has brought about by itself.
    fn given_up(&self, message: &[u8], at_ms: u64) -> Option<&'static str> {
        let text = String::from_utf8_lossy(message);
        let due = |time: Option<Duration>, since_ms: u64| {
            time.is_some_and(|it| since_ms + millis(it) <= at_ms)
        };
        let is_for = |reason: &str| text.contains(&format!("\"photon/reason\":\"{reason}\""));
        let is_early = is_for("schedule_to_start")
            && !due(self.terms.schedule_to_start, self.earliest_ms)
            || is_for("schedule_to_close") && !due(self.terms.schedule_to_close, self.submitted_ms);
        is_early.then_some("ends too early what took too long")
    }

    fn requeued(&mut self, why: Requeue, at_ms: u64) -> Option<&'static str> {
        if !why.is_failure() {
            return None; // It waits on.
        }
        self.failures += 1;
        let retry = self.terms.retry;
        self.earliest_ms = at_ms + retry.map_or(0, |it| it.pause_ms(self.failures));
        match why {
            Requeue::TimedOut => {
                let Some(most) = self.terms.start_to_close else {
                    return Some("says that an attempt took too long that may take any time");
                };
                let is_early = at_ms < self.claimed_ms + millis(most);
                is_early.then_some("says too early that an attempt took too long")
            }
            Requeue::Failed if self.terms.retry.is_none() => {
                Some("tries again what was to be tried once")
            }
            Requeue::Failed | Requeue::Lapsed | Requeue::Declined => None,
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).expect("clients choose times that end")
}

/// Draws the terms of a task.
pub(crate) fn draw_terms(rng: &mut fastrand::Rng) -> Option<Terms> {
    if rng.u32(0..3) != 0 {
        return None;
    }
    let mut some = |odds: u32, times: std::ops::Range<u64>| {
        (rng.u32(0..odds) == 0).then(|| Duration::from_millis(rng.u64(times)))
    };
    let (schedule_to_start, start_to_close) = (some(8, 500..20_000), some(4, 200..5_000));
    let (schedule_to_close, heartbeat) = (some(6, 2_000..60_000), some(4, 500..4_000));
    let start_delay = some(3, 1..3_000).unwrap_or_default();
    let retry = some(2, 1..1_000).map(|initial_interval| Retry {
        initial_interval,
        backoff_thousandths: rng.u32(1_000..4_000),
        maximum_interval: Duration::from_millis(rng.u64(500..3_000)),
        maximum_attempts: rng.u32(1..6),
    });
    Some(Terms {
        priority: Priority::new(rng.u8(1..=5)).expect("it is one of five"),
        fairness_key: rng.bool().then(|| format!("f{}", rng.u32(0..3)).into()),
        fairness_weight: Weight::of_thousandths(rng.u32(1..5_000)).expect("it is positive"),
        start_delay,
        schedule_to_start,
        start_to_close,
        schedule_to_close,
        heartbeat,
        retry,
        wants: None,
        fan: None,
        part_of: None,
        skill: None,
    })
}

/// Asks a task of many now and then. What perhaps not all of them do is not waited for without end.
pub(crate) fn draw_spread(
    terms: Option<Terms>,
    target: &Target,
    rng: &mut fastrand::Rng,
) -> Option<Terms> {
    let is_for_all = matches!(target, Target::Skill(_));
    if !is_for_all || rng.u32(0..16) != 0 {
        return terms;
    }
    let terms = terms.unwrap_or_default();
    let soon = Duration::from_millis(rng.u64(5_000..30_000));
    let schedule_to_close = Some(terms.schedule_to_close.map_or(soon, |it| it.min(soon)));
    Some(Terms { fan: Some(draw_fan(rng)), schedule_to_close, ..terms })
}

/// Draws what is wanted of the agent that is given a task, by way of its terms. What perhaps no
/// agent is, is not waited for without end.
pub(crate) fn draw_wants(
    terms: Option<Terms>,
    (skills, is_for_all): (&[Skill], bool),
    regions: &[RegionId],
    rng: &mut fastrand::Rng,
) -> Option<Terms> {
    if rng.u32(0..6) != 0 {
        return terms;
    }
    let skills: BTreeSet<Skill> = skills.iter().filter(|_| rng.u32(0..3) == 0).cloned().collect();
    let regions: BTreeSet<RegionId> = match rng.u32(0..3) {
        0 => rng.choice(regions).into_iter().copied().collect(),
        _ => BTreeSet::new(),
    };
    let cost_micros_max = [None, None, Some(0), Some(1_000)][rng.usize(0..4)];
    let terms = terms.unwrap_or_default();
    let soon = Duration::from_millis(rng.u64(5_000..30_000));
    // Of each placement one agent has all skills: who wants no more is given to it in the end.
    let is_sure = regions.is_empty() && cost_micros_max.is_none() && is_for_all;
    let ends = terms.schedule_to_close;
    let schedule_to_close = if is_sure { ends } else { Some(ends.map_or(soon, |it| it.min(soon))) };
    let wants = Some(Arc::new(Wants { skills, regions, cost_micros_max }));
    Some(Terms { wants, schedule_to_close, ..terms })
}

#[cfg(test)]
mod tests {
    use photon_region::Token;
    use photon_state::Hlc;

    use super::*;

    fn stamped(wall_ms: u64, event: Event) -> Stamped {
        Stamped { generation: 1, at: Hlc { wall_ms, count: 0 }, event }
    }

    fn claimed(wall_ms: u64) -> Stamped {
        let region = "amber".try_into().unwrap();
        let claimed = Event::Claimed { token: Token(1), agent: "a".into(), region };
        stamped(wall_ms, claimed)
    }

    fn requeued(wall_ms: u64, why: Requeue) -> Stamped {
        stamped(wall_ms, Event::Requeued { token: Token(1), why, message: None })
    }

    #[test]
    fn what_comes_too_early_or_too_often_is_noticed() {
        let retry = Some(Retry { maximum_attempts: 2, ..Retry::default() });
        let terms = Terms { retry, ..Terms::default() };
        let walk = |all: &[Stamped]| {
            let mut timing = Timing { terms: terms.clone(), ..Timing::default() };
            all.iter().find_map(|it| timing.step(it))
        };
        let failed = requeued(10, Requeue::Failed);
        assert_eq!(walk(&[claimed(1), failed.clone(), claimed(1_010)]), None);
        assert!(walk(&[claimed(1), failed.clone(), claimed(1_009)]).is_some());
        let again = [claimed(1), failed, claimed(1_010), requeued(1_020, Requeue::Lapsed)];
        assert_eq!(walk(&again), None);
        assert!(walk(&[&again[..], &[claimed(9_000)]].concat()).is_some());
        assert!(walk(&[claimed(1), requeued(2, Requeue::TimedOut)]).is_some());
        let mut none = Timing::default();
        assert!(none.step(&requeued(2, Requeue::Failed)).is_some());
    }
}
