//! One task in the hands of a worker: what it does next, and how it behaves.
//! Must not know what became of what it asked.

use bytes::Bytes;
use photon_region::{AtHome, Checkpoint, Chunk, Claim, Json, Note, Outcome, Pause};

use crate::faults::Fault;
use crate::workload::Stage;

/// One thing that a worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Heartbeat,
    Note {
        first: u64,
        count: u64,
    },
    Finish(Outcome),
    /// It did not work; another attempt may do better.
    Fail,
    Pause(Pause),
    Decline,
}

/// How a worker behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Steady,
    Slow,
    /// Falls silent, then comes back.
    Hangs,
    /// Forgets the task.
    Dies,
    /// Hands the task back.
    Declines,
    /// Has a question to the client.
    Asks(Pause),
    /// Finishes again, otherwise.
    Twice,
}

/// A task that a worker works on.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) agent: u32,
    pub(crate) claim: Claim,
    pub(crate) site: usize,
    pub(crate) fate: Fate,
    pub(crate) told: u64,
    pub(crate) total: u64,
    pub(crate) outcome: Outcome,
    /// Whether another attempt may do better, if this one fails.
    pub(crate) may_be_tried_again: bool,
    pub(crate) has_begun: bool,
    pub(crate) has_finished: bool,
    pub(crate) tries: u32,
}

impl Job {
    /// Decides what the worker does next.
    pub(crate) fn next_step(&self, rng: &mut fastrand::Rng) -> Step {
        if self.fate == Fate::Declines {
            return Step::Decline;
        }
        if let Fate::Asks(why) = self.fate
            && self.total / 2 <= self.told
        {
            return Step::Pause(why);
        }
        if self.total <= self.told && (self.has_begun || rng.bool()) {
            return match self.outcome {
                Outcome::Failed if self.may_be_tried_again => Step::Fail,
                Outcome::Completed | Outcome::Failed | Outcome::Canceled | Outcome::Rejected => {
                    Step::Finish(self.outcome)
                }
            };
        }
        if self.total <= self.told || rng.u32(0..3) == 0 {
            return Step::Heartbeat;
        }
        let count = rng.u64(1..=(self.total - self.told).min(3));
        // A worker that is not sure tells again what it has told.
        let back = if rng.u32(0..6) == 0 { rng.u64(0..=self.told) } else { 0 };
        Step::Note { first: self.told + 1 - back, count: count + back }
    }

    /// Whether it may have been heard before, when it says that it failed: others have begun since.
    pub(crate) fn repeats(&self, step: Step) -> bool {
        step == Step::Fail && 1 < self.tries
    }

    /// Makes what the worker asks of the home.
    pub(crate) fn ask(&self, step: Step) -> AtHome {
        let (claim, notes) = (self.claim, Some(self.told));
        match step {
            Step::Heartbeat => AtHome::Heartbeat(claim),
            Step::Decline => AtHome::Decline(claim),
            Step::Pause(why) => {
                let text = format!("{{\"asks\":{}}}", claim.token.0);
                AtHome::Pause { claim, notes, why, message: Some(Json(text.into())) }
            }
            Step::Finish(outcome) => {
                let text = format!("{{\"by\":{}}}", claim.token.0);
                AtHome::Finish { claim, notes, outcome, message: Some(Json(text.into())) }
            }
            Step::Fail => {
                let text = format!("{{\"failed\":{}}}", claim.token.0);
                AtHome::Fail { claim, notes, message: Some(Json(text.into())) }
            }
            Step::Note { first, count } => {
                let notes = (first..first + count).map(|number| self.note(number)).collect();
                AtHome::Note { claim, first, notes }
            }
        }
    }

    /// Makes a note; the same number always gives the same note.
    fn note(&self, number: u64) -> Note {
        if number == 2 || number == 5 {
            // Each attempt has its own view of what came of it; the first counts.
            let value = Json(Bytes::from(format!("{}", self.claim.token.0)));
            let key = format!("step-{number}").into();
            return Note::Checkpoint(Checkpoint { key, value });
        }
        if number.is_multiple_of(3) {
            return Note::Status(Json(Bytes::from(format!("{{\"note\":{number}}}"))));
        }
        Note::Artifact(Chunk {
            artifact: if number.is_multiple_of(2) { "even".into() } else { "odd".into() },
            name: None,
            append: number != 4,
            last: self.total == number,
            parts: Json(Bytes::from(format!("[{number},{}]", self.claim.token.0))),
        })
    }
}

/// Draws how a worker behaves.
pub(crate) fn draw_fate(stage: &Stage<'_>, rng: &mut fastrand::Rng) -> Fate {
    if stage.is_calm {
        return Fate::Steady;
    }
    let fates = [
        (Fault::WorkerHang, Fate::Hangs),
        (Fault::WorkerDie, Fate::Dies),
        (Fault::WorkerSlow, Fate::Slow),
        (Fault::WorkerTwice, Fate::Twice),
    ];
    for (fault, fate) in fates {
        if stage.weather.strikes(fault, 0.6, rng) {
            return fate;
        }
    }
    match rng.u32(0..40) {
        0 => Fate::Declines,
        1 | 2 => Fate::Asks(if rng.bool() { Pause::Input } else { Pause::Auth }),
        _ => Fate::Steady,
    }
}

/// Draws how a task will end.
pub(crate) fn draw_outcome(stage: &Stage<'_>, rng: &mut fastrand::Rng) -> Outcome {
    match rng.u32(0..10) {
        0 => Outcome::Failed,
        1 if !stage.is_calm => Outcome::Rejected,
        _ => Outcome::Completed,
    }
}
