//! The rules that the log of a task keeps from its first event to its last.
//! Must not know how the log was read.

use std::collections::BTreeSet;
use std::sync::Arc;

use photon_region::{Checkpoint, Event, Note, Stamped, TaskId, TaskState, Token};

use crate::gathering::Gathering;
use crate::promises::{Broken, Known, Promise};
use crate::timing::Timing;

/// Where the log of a task stands, as far as it has been checked.
#[derive(Debug)]
struct Walk<'a> {
    task: TaskId,
    known: &'a Known,
    /// Whether it had several homes: what only an earlier one had may have been overruled.
    has_moved: bool,
    last: Token,
    current: Option<Token>,
    notes: u64,
    is_paused: bool,
    answers: BTreeSet<Arc<str>>,
    /// What was done: of each key the first.
    checkpoints: Vec<Checkpoint>,
    ended: Option<TaskState>,
    timing: Timing,
    gathering: Gathering,
}

/// Checks the whole log of a task that has ended.
pub(crate) fn check_log(
    task: TaskId,
    events: &[Stamped],
    known: &Known,
    has_moved: bool,
) -> Result<(), Broken> {
    let (last, current, notes, ended) = (Token(0), None, 0, None);
    let (is_paused, answers) = (false, BTreeSet::new());
    let checkpoints = Vec::new();
    let mut walk = Walk {
        task,
        known,
        has_moved,
        last,
        current,
        notes,
        is_paused,
        answers,
        checkpoints,
        ended,
        timing: Timing::default(),
        gathering: Gathering::default(),
    };
    for (stamped, due) in events.iter().zip(1..) {
        let wrong = if stamped.generation == due {
            walk.step(due, &stamped.event)?.or_else(|| walk.timing.step(stamped))
        } else {
            Some("is missing")
        };
        let what = |wrong| format!("generation {due} of task {task} {wrong}");
        if let Some(wrong) = wrong {
            return Err(Promise::OneEnding.broken(what(wrong)));
        }
        if let Some(wrong) = walk.gathering.step(&stamped.event) {
            return Err(Promise::Gathered.broken(what(wrong)));
        }
    }
    Promise::OneEnding.holds(walk.ended.is_some(), || format!("task {task} has not ended"))?;
    let lost = known.answers.iter().find(|it| !walk.answers.contains(&answer_name(**it)));
    Promise::Acknowledged.holds(lost.is_none() || has_moved, || {
        format!("task {task} lacks the answer to what was asked under generation {lost:?}")
    })?;
    let told = known.ended.or(walk.ended);
    Promise::OneEnding.holds(told == walk.ended || has_moved, || {
        format!("task {task} has ended {:?}; somebody was told {told:?}", walk.ended)
    })
}

/// Returns the name of the answer to what was asked under a generation.
pub(crate) fn answer_name(asked: u64) -> Arc<str> {
    format!("a{asked}").into()
}

impl Walk<'_> {
    /// Takes in an event; says what is wrong with it, if anything is.
    fn step(&mut self, due: u64, event: &Event) -> Result<Option<&'static str>, Broken> {
        if self.ended.is_some() {
            return Ok(Some("follows the end"));
        }
        if (due == 1) != matches!(event, Event::Submitted(_)) {
            return Ok(Some("is a submission, or should be one"));
        }
        match event {
            Event::Submitted(_) => {}
            Event::Claimed { token, .. } => {
                if self.current.is_some() || self.is_paused || *token <= self.last {
                    return Ok(Some("is a claim while another is in force, or no greater"));
                }
                (self.last, self.current, self.notes) = (*token, Some(*token), 0);
                // Whoever got the lease was told of all that was done before, and of nothing else.
                if self.known.checkpoints.get(token).is_some_and(|it| *it != self.checkpoints) {
                    return Ok(Some("is a claim whose lease told otherwise of what was done"));
                }
            }
            Event::Noted { token, number, note } => {
                if let Note::Checkpoint(it) = note
                    && !self.checkpoints.iter().any(|before| before.key == it.key)
                {
                    self.checkpoints.push(it.clone());
                }
                if self.current != Some(*token) || *number != self.notes + 1 {
                    return Ok(Some("is a note of a lost lease, or out of order"));
                }
                self.notes = *number;
            }
            Event::Requeued { token, .. } => {
                if self.current != Some(*token) {
                    return Ok(Some("ends a lease that is not in force"));
                }
                self.end_lease()?;
            }
            Event::Paused { token, .. } => {
                if self.current != Some(*token) {
                    return Ok(Some("is a question by a lost lease"));
                }
                self.end_lease()?;
                self.is_paused = true;
            }
            Event::Answered { token, name, .. } => {
                self.answers.insert(name.clone());
                if !std::mem::take(&mut self.is_paused) || *token != self.last {
                    return Ok(Some("is an answer to nothing"));
                }
            }
            Event::Ended { token, outcome, .. } => {
                // Nobody may have claimed it since.
                let is_last = *token == Some(self.last) && self.current.is_none();
                if token.is_some() && self.current != *token && !(is_last && self.has_moved) {
                    return Ok(Some("is an end by a lost lease"));
                }
                self.end_lease()?;
                self.ended = Some(outcome.state());
            }
        }
        Ok(None)
    }

    /// Every note that was acknowledged under the lease must have come before its end.
    fn end_lease(&mut self) -> Result<(), Broken> {
        let Some(token) = self.current.take() else { return Ok(()) };
        let acked = self.known.notes.get(&token).copied().unwrap_or(0);
        Promise::Acknowledged.holds(acked <= self.notes || self.has_moved, || {
            let (task, notes) = (self.task, self.notes);
            format!("task {task} has {notes} notes of {token:?}, {acked} were acknowledged")
        })
    }
}

#[cfg(test)]
mod tests {
    use photon_region::{Json, Outcome, Pause, Requeue, Spec, Target};
    use photon_state::{Hlc, PlacementId};

    use super::*;
    use crate::faults::Disks;
    use crate::promises::Ledger;

    const FIRST: Token = Token(1);
    const SECOND: Token = Token(2);

    fn submitted() -> Event {
        Event::Submitted(Spec {
            target: Target::Agent("a".into()),
            placement: PlacementId::global(),
            message: Json("{}".into()),
            context: "c".into(),
            idempotency: None,
            ack: photon_region::Ack::Region,
            terms: None,
        })
    }

    fn claimed(token: Token) -> Event {
        let region = "amber".try_into().unwrap();
        Event::Claimed { token, agent: "a".into(), region }
    }

    fn noted(token: Token, number: u64) -> Event {
        Event::Noted { token, number, note: Note::Status(Json("{}".into())) }
    }

    fn ended(token: Option<Token>) -> Event {
        Event::Ended { token, outcome: Outcome::Completed, message: None }
    }

    fn check(events: Vec<Event>, expected: Result<(), &str>) {
        let task = TaskId::from_bytes([1; 16]);
        let mut ledger = Ledger::new(Disks::Survive);
        ledger.learn(task, 1);
        ledger.noted(task, FIRST, 1);
        let stamp = |(event, generation)| Stamped { generation, at: Hlc::default(), event };
        let events: Vec<Stamped> = events.into_iter().zip(1..).map(stamp).collect();
        let found = check_log(task, &events, ledger.task(task).unwrap(), false);
        match (found, expected) {
            (Ok(()), Ok(())) => {}
            (Err(broken), Err(part)) => assert!(broken.what.contains(part), "{}", broken.what),
            (found, expected) => panic!("{found:?} where {expected:?} is due"),
        }
    }

    #[test]
    fn a_log_must_end_once_and_fence_lost_leases() {
        let requeued = || Event::Requeued { token: FIRST, why: Requeue::Lapsed, message: None };
        let begin = || vec![submitted(), claimed(FIRST), noted(FIRST, 1)];
        let and = |rest: Vec<Event>| begin().into_iter().chain(rest).collect();
        check(and(vec![ended(Some(FIRST))]), Ok(()));
        check(and(vec![requeued(), claimed(SECOND), ended(Some(SECOND))]), Ok(()));
        check(and(vec![requeued(), ended(None)]), Ok(()));
        let paused = || Event::Paused { token: FIRST, why: Pause::Input, message: None };
        let answered = || {
            let (name, message) = ("a4".into(), Json("{}".into()));
            Event::Answered { token: FIRST, name, message }
        };
        check(and(vec![paused(), answered(), claimed(SECOND), ended(Some(SECOND))]), Ok(()));
        check(and(vec![paused(), ended(None)]), Ok(()));
        check(and(vec![paused(), claimed(SECOND)]), Err("is a claim while"));
        check(and(vec![paused(), noted(FIRST, 2)]), Err("lost lease"));
        check(and(vec![answered()]), Err("answer to nothing"));
        check(and(vec![paused(), answered(), answered()]), Err("answer to nothing"));
        check(and(vec![requeued(), paused()]), Err("question by a lost lease"));
        check(begin(), Err("has not ended"));
        check(vec![claimed(FIRST)], Err("submission"));
        check(and(vec![submitted()]), Err("submission"));
        check(and(vec![claimed(SECOND)]), Err("is a claim while"));
        check(and(vec![requeued(), claimed(FIRST)]), Err("no greater"));
        check(and(vec![requeued(), claimed(SECOND), noted(FIRST, 2)]), Err("lost lease"));
        check(and(vec![noted(FIRST, 3)]), Err("out of order"));
        check(and(vec![requeued(), requeued()]), Err("not in force"));
        check(and(vec![ended(Some(SECOND))]), Err("end by a lost lease"));
        check(and(vec![ended(None), ended(None)]), Err("follows the end"));
        check(vec![submitted(), claimed(FIRST), ended(None)], Err("0 notes"));
    }
}
