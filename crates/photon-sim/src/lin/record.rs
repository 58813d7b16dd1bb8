//! A record as its home keeps it: read, and written if it is what the writer expects.
//! Must not know where its home is.
//!
//! The home of a record does not move, so that there is one case in which an order may break: it
//! loses its disk, and with it what it alone held. What was acknowledged by one region may then be
//! gone, or come back from whoever has it; what was acknowledged at `quorum` may not.

use std::fmt;

use photon_region::data::WriteLevel;

use super::Model;

/// A record, by what may be asked of its home alone.
#[derive(Debug)]
pub(crate) struct Record;

/// What is there: a number, and the fingerprint of it where that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Version {
    pub(crate) number: u64,
    pub(crate) print: Option<u64>,
}

/// What must be there for a write to be done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expected {
    /// Whatever it is.
    Anything,
    /// A record.
    Present,
    /// None.
    Absent,
    /// One of these fingerprints.
    OneOf(Vec<u64>),
}

/// What the home of a record is asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RecordAsk {
    Read,
    Put {
        number: u64,
        expected: Expected,
        level: WriteLevel,
    },
    /// Nobody asks it: the home loses its disk.
    LoseDisk,
}

/// What the home of a record answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RecordSaid {
    /// What is there.
    Shown(Option<Version>),
    /// It was written, and has this fingerprint.
    Done(u64),
    /// It was not written, as this is there.
    Unexpected(Option<u64>),
    /// The disk is lost.
    Lost,
}

/// Where a record stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Standing {
    now: Option<Version>,
    /// What was there since something was last acknowledged by a majority.
    loose: Vec<Option<Version>>,
    /// What may be there instead, since the home has lost its disk.
    stray: Vec<Option<Version>>,
}

impl Standing {
    /// Returns the first of what may be there that is right.
    fn find(&self, is_it: impl Fn(Option<Version>) -> bool) -> Option<Option<Version>> {
        [self.now].into_iter().chain(self.stray.iter().copied()).find(|it| is_it(*it))
    }

    fn with(&self, now: Option<Version>) -> Self {
        Self { now, ..self.clone() }
    }

    /// Writes over what is there.
    fn put(&self, over: Option<Version>, version: Version, level: WriteLevel) -> Self {
        let mut after = self.with(Some(version));
        match level {
            WriteLevel::Eventual => after.loose.push(over),
            WriteLevel::Quorum | WriteLevel::Strong => after.loose.clear(),
        }
        after
    }
}

impl Expected {
    fn is_met(&self, there: Option<Version>) -> bool {
        match self {
            Self::Anything => true,
            Self::Present => there.is_some(),
            Self::Absent => there.is_none(),
            Self::OneOf(all) => {
                there.is_some_and(|it| it.print.is_none_or(|print| all.contains(&print)))
            }
        }
    }

    /// Whether it may not be met: the fingerprint of what is there may be unknown.
    fn may_fail(&self, there: Option<Version>) -> bool {
        match self {
            Self::Anything | Self::Present | Self::Absent => !self.is_met(there),
            Self::OneOf(_) => there.is_none_or(|it| it.print.is_none()) || !self.is_met(there),
        }
    }
}

/// Whether what is there may be what was shown.
fn fits(there: Option<Version>, print: Option<u64>) -> bool {
    match (there, print) {
        (None, None) => true,
        (Some(there), Some(print)) => there.print.is_none_or(|it| it == print),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

impl Model for Record {
    type State = Standing;
    type Ask = RecordAsk;
    type Answer = RecordSaid;

    fn begin(&self) -> Standing {
        Standing { now: None, loose: Vec::new(), stray: Vec::new() }
    }

    fn step(
        &self,
        state: &Standing,
        ask: &RecordAsk,
        answer: Option<&RecordSaid>,
    ) -> Option<Standing> {
        match (ask, answer) {
            (RecordAsk::Read, None) => None,
            (RecordAsk::Read, Some(RecordSaid::Shown(shown))) => {
                let number = |it: Option<Version>| it.map(|it| it.number);
                let print = shown.and_then(|it| it.print);
                let is_it = |it| number(it) == number(*shown) && fits(it, print);
                state.find(is_it).map(|_| state.with(*shown))
            }
            (RecordAsk::Put { number, expected, level }, Some(RecordSaid::Done(print))) => {
                let over = state.find(|it| expected.is_met(it))?;
                let version = Version { number: *number, print: Some(*print) };
                Some(state.put(over, version, *level))
            }
            (RecordAsk::Put { expected, .. }, Some(RecordSaid::Unexpected(print))) => {
                let there = state.find(|it| expected.may_fail(it) && fits(it, *print))?;
                Some(state.with(there.map(|it| Version { print: *print, ..it })))
            }
            (RecordAsk::Put { number, expected, .. }, None) => {
                let over = state.find(|it| expected.is_met(it))?;
                let version = Version { number: *number, print: None };
                // Whoever hears nothing does not know in how many regions it is.
                Some(state.put(over, version, WriteLevel::Eventual))
            }
            (RecordAsk::LoseDisk, Some(RecordSaid::Lost)) => {
                let stray = [&state.stray[..], &state.loose, &[state.now]].concat();
                // What a majority has is in it: it is the last of what is not loose.
                Some(Standing { stray, loose: Vec::new(), ..state.clone() })
            }
            (RecordAsk::Read, Some(_))
            | (RecordAsk::Put { .. }, Some(_))
            | (RecordAsk::LoseDisk, _) => None,
        }
    }

    fn parts(&self, _: &RecordAsk) -> Vec<RecordAsk> {
        Vec::new()
    }
}

impl fmt::Display for RecordAsk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read => f.write_str("read"),
            Self::Put { number, expected, level } => {
                write!(f, "write {number} at {}", level.as_str())?;
                match expected {
                    Expected::Anything => Ok(()),
                    Expected::Present => f.write_str(" if there is any"),
                    Expected::Absent => f.write_str(" if there is none"),
                    Expected::OneOf(all) => {
                        let all: Vec<_> = all.iter().map(|it| format!("{it:x}")).collect();
                        write!(f, " if it is {}", all.join(" or "))
                    }
                }
            }
            Self::LoseDisk => f.write_str("the home loses its disk"),
        }
    }
}

impl fmt::Display for RecordSaid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shown(None) => f.write_str("nothing"),
            Self::Shown(Some(Version { number, print })) => {
                write!(f, "{number}, which is {:x}", print.unwrap_or_default())
            }
            Self::Done(print) => write!(f, "done, it is {print:x}"),
            Self::Unexpected(None) => f.write_str("there is none"),
            Self::Unexpected(Some(print)) => write!(f, "it is {print:x}"),
            Self::Lost => f.write_str("lost"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{History, STEPS_MAX, Searched, search};
    use super::*;

    /// Looks for an order of operations that come one after the other.
    fn check(script: Vec<(RecordAsk, Option<RecordSaid>)>, expected: Searched) {
        let mut history = History::<Record>::default();
        for (at, (ask, answer)) in (0..).zip(script) {
            let number = history.asked(at, ask).unwrap();
            if let Some(answer) = answer {
                history.answered(at, number, answer);
            }
        }
        assert_eq!(search(&Record, &history.calls(&Record), STEPS_MAX), expected);
    }

    fn put(number: u64, over: u64, level: WriteLevel) -> (RecordAsk, Option<RecordSaid>) {
        let expected = if over == 0 { Expected::Absent } else { Expected::OneOf(vec![over]) };
        (RecordAsk::Put { number, expected, level }, Some(RecordSaid::Done(10 * number)))
    }

    fn lost(number: u64, over: u64) -> (RecordAsk, Option<RecordSaid>) {
        (put(number, over, WriteLevel::Quorum).0, None)
    }

    fn refused(over: u64, there: Option<u64>) -> (RecordAsk, Option<RecordSaid>) {
        (put(9, over, WriteLevel::Quorum).0, Some(RecordSaid::Unexpected(there)))
    }

    fn read(number: u64) -> (RecordAsk, Option<RecordSaid>) {
        let version = Version { number, print: Some(10 * number) };
        (RecordAsk::Read, Some(RecordSaid::Shown((number != 0).then_some(version))))
    }

    const EVENTUAL: WriteLevel = WriteLevel::Eventual;

    #[test]
    fn a_write_is_done_if_and_only_if_what_it_expects_is_there() {
        let first = || put(1, 0, EVENTUAL);
        check(vec![read(0), first(), read(1), put(2, 10, EVENTUAL), read(2)], Searched::Order);
        check(vec![first(), put(2, 0, EVENTUAL)], Searched::NoOrder(1));
        check(vec![first(), refused(10, Some(10))], Searched::NoOrder(1));
        check(vec![first(), refused(20, Some(10)), read(1)], Searched::Order);
        check(vec![first(), refused(20, None)], Searched::NoOrder(1));
        check(vec![first(), put(2, 10, EVENTUAL), read(1)], Searched::NoOrder(2));
    }

    #[test]
    fn a_write_without_an_answer_is_known_by_what_is_shown_later() {
        check(vec![lost(1, 0), read(0), read(1), put(2, 10, EVENTUAL)], Searched::Order);
        check(vec![lost(1, 0), refused(0, Some(77)), put(2, 77, EVENTUAL)], Searched::Order);
        check(vec![lost(1, 0), read(1), read(0)], Searched::NoOrder(2));
        check(vec![put(1, 0, EVENTUAL), lost(2, 30), read(2)], Searched::NoOrder(2));
    }

    #[test]
    fn a_lost_disk_takes_back_what_no_majority_has_acknowledged() {
        let loss = || (RecordAsk::LoseDisk, Some(RecordSaid::Lost));
        let begin = |level| vec![put(1, 0, level), put(2, 10, EVENTUAL), loss()];
        let and = |level, rest: Vec<_>| begin(level).into_iter().chain(rest).collect();
        check(and(EVENTUAL, vec![read(0)]), Searched::Order);
        check(and(WriteLevel::Quorum, vec![read(1), read(2)]), Searched::Order);
        check(and(WriteLevel::Quorum, vec![read(0)]), Searched::NoOrder(3));
        check(vec![put(1, 0, EVENTUAL), read(0)], Searched::NoOrder(1));
    }
}
