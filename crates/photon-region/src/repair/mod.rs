//! Repair: regions compare what they hold, find the records that damage has made different, and
//! mend them. Must not judge by what is merely on its way.
//!
//! `compare` goes down the tallies of both regions to the leaves that differ, and lists the records
//! in them; `judge` decides, once all that the other region had seen is seen here, whether one of
//! the two has lost something, and mends it by an op or by sending a sum. Decision 0009 says why.

mod compare;
mod judge;
mod word;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use photon_state::crdt::{Outline, Shape, Value};
use photon_state::{Key, RegionId, Seen, Shelf, StreamId};

pub(crate) use word::Word;
pub use word::inspect_comparison;

/// What a region knows of comparisons that are under way.
#[derive(Debug, Default)]
pub(crate) struct Repair {
    /// When the next comparison begins.
    due: Duration,
    /// With whom the last one was begun.
    last: Option<RegionId>,
    scan: Option<Scan>,
    /// What was listed to a peer last: the keys by their shortened prints.
    listed: Option<Listed>,
    /// Outlines that wait until all that they know of is seen here.
    cases: VecDeque<Case>,
    /// Sums of peers that wait until their last op is seen here.
    sums: BTreeMap<(StreamId, u64, Key), Sum>,
}

/// A sum as a peer holds it that has added to it.
#[derive(Debug)]
struct Sum {
    shelf: Shelf,
    key: Key,
    value: Value,
    until: Duration,
}

/// A search for the records in some leaves, a few thousand at a time.
#[derive(Debug)]
struct Scan {
    peer: RegionId,
    shelf: Shelf,
    leaves: BTreeSet<u16>,
    /// What the peer has listed of these leaves, if it has.
    theirs: Option<BTreeSet<u64>>,
    /// After which key to go on.
    after: Option<Key>,
    found: BTreeMap<u64, Key>,
    /// When to go on.
    at: Duration,
}

#[derive(Debug)]
struct Listed {
    peer: RegionId,
    shelf: Shelf,
    keys: BTreeMap<u64, Key>,
}

/// What a peer holds of some records, and what it had seen by then.
#[derive(Debug)]
struct Case {
    peer: RegionId,
    shelf: Shelf,
    seen: Seen,
    records: Vec<(Key, Outline)>,
    until: Duration,
}

impl Repair {
    /// Buckets that are followed at once; others wait for the next comparison.
    const BUCKETS_MAX: usize = 256;
    /// Records that are listed at once.
    const LISTED_MAX: usize = 8_192;
    /// Records whose keys are looked at in one go: about half a millisecond, if they are in memory.
    const LOOKED_AT_MAX: usize = 4_096;
    /// Bytes of the values that are looked at in one go, short of one that is larger.
    const LOOKED_AT_BYTES_MAX: usize = 2 << 20;
    /// Pages that are read in one go, short of those of one record.
    const PAGES_READ_MAX: u64 = 256;
    /// How long others come first between two such goes, and how much longer for each page that was
    /// read: about as long as a disk takes to read it.
    const PAUSE: Duration = Duration::from_millis(2);
    const PAUSE_PER_PAGE: Duration = Duration::from_micros(100);
    /// Fields whose writes are told in one message, short of one record that has more.
    const OUTLINED_MAX: usize = 16_384;
    /// Bytes of sums in one message, short of one that is larger; and of those that wait, of which
    /// more are passed over.
    const SUMS_BYTES_MAX: usize = 256 << 10;
    /// Outlines that wait; the oldest are forgotten.
    const CASES_MAX: usize = 16;
    /// How long outlines wait.
    const CASE_WAITS: Duration = Duration::from_secs(60);
    /// The shapes of the shelves that are compared.
    const SHAPES: [Shape; 3] = [Shape::Fields, Shape::Counter, Shape::Escrow];

    /// Returns how long others come first after a go that has read some pages.
    fn pause(pages: u64) -> Duration {
        Self::PAUSE + Self::PAUSE_PER_PAGE * u32::try_from(pages).unwrap_or(u32::MAX)
    }

    /// Whether sums wait for an op to be seen.
    pub(crate) fn holds_sums(&self) -> bool {
        !self.sums.is_empty()
    }

    /// Returns when to look further for records that differ.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.scan.as_ref().map(|scan| scan.at)
    }
}
