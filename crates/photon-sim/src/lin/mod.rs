//! Whether what clients were told of one thing is as if all was asked one after the other: the
//! search of Wing and Gong, with the configurations that Lowe remembers.
//! Must not know what the thing is: a model does, and it has a history of its own for each.
//!
//! A history is linearizable if each operation can be given a moment between its invocation and
//! its answer such that the model, asked in that order, gives the same answers. What was never
//! answered may have been done at any time later, or never. Things are independent of each other,
//! so that each is searched alone (P-compositionality): the search grows with how much is asked of
//! one thing at the same time, not with the length of a run.

mod keys;
#[cfg(test)]
mod oracle;
mod record;
mod search;
mod task;

use std::fmt;
use std::hash::Hash;

pub(crate) use self::keys::{Key, Submit, Taken};
pub(crate) use self::record::{Expected, Record, RecordAsk, RecordSaid, Version};
pub(crate) use self::search::{STEPS_MAX, Searched, search};
pub(crate) use self::task::{Task, TaskAsk, TaskSaid};

use crate::clock::{Micros, SECOND};

/// A thing as it would be if everything was asked of it one after the other.
pub(crate) trait Model {
    /// Where it stands.
    type State: Clone + Eq + Hash;
    /// What it is asked.
    type Ask: Clone + PartialEq + fmt::Debug + fmt::Display;
    /// What it answers.
    type Answer: Clone + fmt::Debug + fmt::Display;

    /// Returns where the thing stands before it is asked anything.
    fn begin(&self) -> Self::State;

    /// Returns where it stands after it was asked this and gave that answer; nothing if it could
    /// not have given it. Without an answer: where it stands if it was done all the same.
    ///
    /// What a thing does by itself between two operations a model allows as late as it can: in the
    /// step that shows it.
    fn step(
        &self,
        state: &Self::State,
        ask: &Self::Ask,
        answer: Option<&Self::Answer>,
    ) -> Option<Self::State>;

    /// Returns the parts of an operation of which a crash may leave the first ones, if it has any.
    fn parts(&self, ask: &Self::Ask) -> Vec<Self::Ask>;
}

/// A moment of a run: no two are equal, even if no time lies between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    pub(crate) turn: u32,
    pub(crate) at: Micros,
}

/// One operation: what was asked when, and what was answered when, if anything was.
#[derive(Debug)]
pub(crate) struct Call<M: Model> {
    pub(crate) ask: M::Ask,
    pub(crate) asked: Moment,
    pub(crate) answer: Option<(M::Answer, Moment)>,
}

/// All that was asked of one thing, in the order in which it was asked.
#[derive(Debug)]
pub(crate) struct History<M: Model> {
    calls: Vec<Option<Call<M>>>,
    turn: u32,
    /// Whether more was asked than it holds.
    pub(crate) is_cut_off: bool,
}

impl<M: Model> Default for History<M> {
    fn default() -> Self {
        Self { calls: Vec::new(), turn: 0, is_cut_off: false }
    }
}

impl<M: Model> History<M> {
    /// The most operations of one history; of one that has more, nothing is said.
    pub(crate) const CALLS_MAX: usize = 1_000;

    fn moment(&mut self, at: Micros) -> Moment {
        self.turn += 1;
        Moment { turn: self.turn, at }
    }

    /// Takes note of what is asked; returns its number, or nothing if there are too many.
    pub(crate) fn asked(&mut self, at: Micros, ask: M::Ask) -> Option<usize> {
        let asked = self.moment(at);
        if Self::CALLS_MAX <= self.calls.len() {
            self.is_cut_off = true;
            return None;
        }
        self.calls.push(Some(Call { ask, asked, answer: None }));
        Some(self.calls.len() - 1)
    }

    /// Takes note of what was answered.
    pub(crate) fn answered(&mut self, at: Micros, number: usize, answer: M::Answer) {
        let moment = self.moment(at);
        let call = self.calls[number].as_mut().expect("it is answered once, and not taken back");
        call.answer = Some((answer, moment));
    }

    /// Takes note that an operation was surely not done, and says nothing.
    pub(crate) fn undone(&mut self, number: usize) {
        self.calls[number] = None;
    }

    /// Returns the operations that say something; of those without an answer, their parts.
    pub(crate) fn calls(&self, model: &M) -> Vec<Call<M>> {
        let said = self.calls.iter().flatten();
        let parted = said.flat_map(|call| {
            let parts = match call.answer {
                None => model.parts(&call.ask),
                Some(_) => Vec::new(),
            };
            let whole = parts.is_empty().then(|| (call.ask.clone(), call.answer.clone()));
            let all = parts.into_iter().map(|it| (it, None)).chain(whole);
            all.map(|(ask, answer)| Call { ask, asked: call.asked, answer })
        });
        parted.collect()
    }

    /// Returns how many operations were answered.
    pub(crate) fn len(&self) -> usize {
        self.calls.iter().flatten().filter(|it| it.answer.is_some()).count()
    }
}

/// A history as lines that people can read, with the operation that fits no order.
pub(crate) struct Shown<'a, M: Model>(pub(crate) &'a [Call<M>], pub(crate) Option<usize>);

/// The most lines of a history that are shown: those before the operation that fits no order.
const LINES_MAX: usize = 60;

impl<M: Model> fmt::Display for Shown<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(calls, stuck) = self;
        // What was asked later can be of no help to it, and is not shown.
        let until = stuck.and_then(|it| calls[it].answer.as_ref()).map(|(_, until)| *until);
        let is_before = |it: &&usize| until.is_none_or(|until| calls[**it].asked <= until);
        let all: Vec<usize> = (0..calls.len()).collect();
        let before: Vec<usize> = all.iter().filter(is_before).copied().collect();
        let skipped = before.len().saturating_sub(LINES_MAX);
        if 0 < skipped {
            write!(f, "\n    ({skipped} operations before)")?;
        }
        for it in &before[skipped..] {
            let Call { ask, asked, answer } = &calls[*it];
            write!(f, "\n    {:>12} ", Time(asked.at))?;
            match answer {
                Some((answer, at)) => write!(f, ".. {:>12}  {ask} -> {answer}", Time(at.at))?,
                None => write!(f, ".. {:>12}  {ask}", "never")?,
            }
            if *stuck == Some(*it) {
                f.write_str("  <- fits no order")?;
            }
        }
        Ok(())
    }
}

struct Time(Micros);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{:06}", self.0 / SECOND, self.0 % SECOND))
    }
}
