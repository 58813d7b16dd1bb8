//! What the drill has asked for, and what it was told: the ground on which it judges.
//! Must not ask for anything itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use serde::Serialize;

use super::planet::At;

/// The most entries of each list of evidence; what exceeds it is only counted.
pub(super) const EVIDENCE_MAX: usize = 50;

/// When a submission is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    /// Once it is on the disk of its home.
    Region,
    /// Once it is on the disks of a majority.
    Quorum,
}

impl Level {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Region => "region",
            Self::Quorum => "quorum",
        }
    }
}

/// A task that a region has acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Accepted {
    pub(super) id: String,
    pub(super) key: String,
    pub(super) level: Level,
    /// The region of the client.
    pub(super) asked_in: At,
    /// The region that answered.
    pub(super) by: At,
    pub(super) home: Option<At>,
    pub(super) placement: Option<String>,
    pub(super) began_ms: u64,
    pub(super) at_ms: u64,
    /// How many tries had no answer before it.
    pub(super) failures: u32,
}

/// A write of a record that was acknowledged at `quorum`.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) key: String,
    pub(super) number: u64,
    pub(super) by: At,
    pub(super) at_ms: u64,
}

/// A list of evidence that does not grow without bound.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Evidence {
    /// How many there are.
    pub(super) count: u64,
    /// The first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) first: Vec<serde_json::Value>,
}

impl Evidence {
    pub(super) fn push(&mut self, what: serde_json::Value) {
        self.count += 1;
        if self.first.len() < EVIDENCE_MAX {
            self.first.push(what);
        }
    }
}

/// All that is known.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) accepted: BTreeMap<String, Accepted>,
    /// When a worker was told that the end of a task is written.
    pub(super) completed_ms: BTreeMap<String, u64>,
    /// Submissions that no region acknowledged before the drill gave up: their fate is open.
    pub(super) given_up: BTreeSet<String>,
    /// Tries that failed, by region and why.
    pub(super) failures: BTreeMap<(At, String), u64>,
    /// Submissions that the drill itself left out, because too many were under way.
    pub(super) left_out: u64,
    pub(super) written: Vec<Written>,
    pub(super) writes_given_up: u64,
    /// Records that a read at `quorum` did not show after they were acknowledged at `quorum`.
    pub(super) unseen: Evidence,
    pub(super) reads: u64,
    pub(super) reads_failed: u64,
    /// Events that followers saw out of turn.
    pub(super) out_of_turn: Evidence,
    pub(super) followed: u64,
    pub(super) resumed: u64,
}

/// A book that many write into.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Book>);

impl Ledger {
    /// Opens the book, for a moment.
    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().expect("nobody panics while the book is open")
    }

    /// Notes a try that failed.
    pub(super) fn failed(&self, at: At, why: String) {
        *self.book().failures.entry((at, why)).or_default() += 1;
    }
}
