//! An idempotency key as one region keeps it: the first submission takes it, for one task.
//! Must not know what becomes of the task.

use std::fmt;

use photon_region::TaskId;

use super::Model;

/// A key in one region.
#[derive(Debug)]
pub(crate) struct Key;

/// Submits under the key, with a digest of what is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Submit(pub(crate) [u8; 16]);

/// What is answered under a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Taken {
    /// The task that was made for this, then or before.
    Task(TaskId),
    /// The task that was made for something else.
    ByAnother(TaskId),
}

impl Model for Key {
    /// The digest with which it was taken, and for which task, as far as that is known.
    type State = Option<([u8; 16], Option<TaskId>)>;
    type Ask = Submit;
    type Answer = Taken;

    fn begin(&self) -> Self::State {
        None
    }

    fn step(
        &self,
        state: &Self::State,
        Submit(digest): &Submit,
        answer: Option<&Taken>,
    ) -> Option<Self::State> {
        match (state, answer) {
            (None, None) => Some(Some((*digest, None))),
            (Some(_), None) => Some(*state),
            (None, Some(Taken::Task(task))) => Some(Some((*digest, Some(*task)))),
            (None, Some(Taken::ByAnother(_))) => None,
            (Some((by, holder)), Some(Taken::Task(task))) => {
                let fits = by == digest && holder.is_none_or(|it| it == *task);
                fits.then_some(Some((*by, Some(*task))))
            }
            (Some((by, holder)), Some(Taken::ByAnother(task))) => {
                let fits = by != digest && holder.is_none_or(|it| it == *task);
                fits.then_some(Some((*by, Some(*task))))
            }
        }
    }

    fn parts(&self, _: &Submit) -> Vec<Submit> {
        Vec::new()
    }
}

impl fmt::Display for Submit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "submit {:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task(task) => write!(f, "task {task}"),
            Self::ByAnother(task) => write!(f, "the key is that of task {task}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{History, STEPS_MAX, Searched, search};
    use super::*;

    fn check(script: &[(u8, Option<Taken>)], expected: Searched) {
        let mut history = History::<Key>::default();
        for (digest, answer) in script {
            let number = history.asked(0, Submit([*digest; 16])).unwrap();
            if let Some(answer) = answer {
                history.answered(0, number, *answer);
            }
        }
        assert_eq!(search(&Key, &history.calls(&Key), STEPS_MAX), expected);
    }

    #[test]
    fn a_key_makes_one_task() {
        let task = |it| Some(Taken::Task(TaskId::from_bytes([it; 16])));
        let other = |it| Some(Taken::ByAnother(TaskId::from_bytes([it; 16])));
        check(&[(1, task(1)), (1, task(1)), (2, other(1))], Searched::Order);
        check(&[(1, None), (1, task(1)), (1, task(1))], Searched::Order);
        check(&[(1, task(1)), (1, task(2))], Searched::NoOrder(1));
        check(&[(1, task(1)), (2, task(1))], Searched::NoOrder(1));
        check(&[(1, task(1)), (2, other(2))], Searched::NoOrder(1));
        check(&[(2, other(1)), (1, task(1))], Searched::NoOrder(0));
    }
}
