//! What Photon promises, by name.
//! Must not know how a promise is checked.

use std::fmt;

/// What Photon promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// 1: an acknowledged write is never lost.
    Acknowledged,
    /// 2: regions that have seen the same ops hold the same.
    SameOps,
    /// 3: nothing of a record exists outside its placement.
    Residency,
    /// 4: a task ends once, its generations have no gap, and a lost lease cannot write.
    OneEnding,
    /// A task is given only to an agent that its client wants.
    Wanted,
    /// A task that is asked of many ends as those say that it is asked of.
    Gathered,
    /// A topic has one order, in which nothing is missing and nothing is twice.
    Topics,
    /// 5: a session reads its own writes, and causality is never seen backwards.
    Session,
    /// 6: a lost region is noticed by all in time, and a healthy one is not judged down.
    Detection,
    /// A quota is never overspent.
    Quota,
    /// What the home of a thing answers is as if all was asked one after the other.
    Linearizable,
    /// 10: the same seed gives the same run.
    SameSeed,
    /// Once all faults are over, every task ends and all regions agree within a bounded time.
    Calm,
    /// A region keeps to its contract with the shell.
    Contract,
    /// A region does not panic.
    NoPanic,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Acknowledged => "promise 1: an acknowledged write is never lost",
            Self::SameOps => "promise 2: regions that have seen the same ops hold the same",
            Self::Residency => "promise 3: nothing of a record exists outside its placement",
            Self::OneEnding => "promise 4: a task ends once, has no gap, and fences lost leases",
            Self::Wanted => "a task is given only to an agent that its client wants",
            Self::Gathered => "a task that is asked of many ends as those say that it is asked of",
            Self::Topics => "a topic has one order, without gap, loss or repeat",
            Self::Session => {
                "promise 5: a session reads its own writes, and no effect before its cause"
            }
            Self::Detection => {
                "promise 6: a lost region is noticed in time, a healthy one is not judged down"
            }
            Self::Quota => "a quota is never overspent",
            Self::Linearizable => "a home answers as if all was asked one after the other",
            Self::SameSeed => "promise 10: the same seed gives the same run",
            Self::Calm => "calm: without faults every task ends and all regions agree",
            Self::Contract => "contract: a region keeps to its contract with the shell",
            Self::NoPanic => "contract: a region does not panic",
        })
    }
}

/// A promise that was broken, and how.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) promise: Promise,
    pub(crate) what: String,
}

impl Promise {
    /// Says how the promise was broken.
    pub(crate) fn broken(self, what: impl Into<String>) -> Broken {
        Broken { promise: self, what: what.into() }
    }

    /// Complains unless something holds; the words are made only then.
    pub(crate) fn holds(self, holds: bool, what: impl FnOnce() -> String) -> Result<(), Broken> {
        if holds { Ok(()) } else { Err(self.broken(what())) }
    }
}
