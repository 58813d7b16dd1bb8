//! The op: one change of one record, made once, by one region.
//! Must not know what the bytes of a value mean.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::crdt::Delta;
use crate::{EntryPlace, Hlc, PlacementId, Position, RegionId, Seen};

/// Names a stream: the ops that one region made under one placement, numbered 1, 2, 3 without gaps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// The region that writes it.
    pub origin: RegionId,
    /// The regions that may hold it.
    pub placement: PlacementId,
    /// Tells the origin's logs apart: a region that lost its log returns under a new one.
    pub incarnation: u64,
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}#{:x}", self.origin, self.placement, self.incarnation)
    }
}

/// Numbers a kind of records. What a kind holds is for the layer above to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dataset(pub u8);

/// Names a record within its dataset and placement.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<[u8]>);

impl Key {
    /// The longest key, in bytes.
    pub const BYTES_MAX: usize = 512;

    /// Makes a key. Panics when it is longer than [`Key::BYTES_MAX`], which the caller has checked.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        assert!(bytes.len() <= Self::BYTES_MAX, "a key of {} bytes", bytes.len());
        Self(bytes.into())
    }

    /// Returns the bytes of the key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// Names a record on the planet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Record {
    /// Where it may live.
    pub placement: PlacementId,
    /// What kind it is.
    pub dataset: Dataset,
    /// Which one.
    pub key: Key,
}

/// What an op does to its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Sets a register; the last writer by [`Hlc`] wins, ties go to the greater region name.
    Put(Bytes),
    /// Empties a register, under the same rule.
    Delete,
    /// Adds entry `index` (1, 2, 3 ..) to a log that has one writer at a time.
    Append {
        /// Where it stands; see [`Log`](crate::Log).
        place: EntryPlace,
        /// The entry.
        entry: Bytes,
    },
    /// Changes a value that many regions may change at once.
    Update(Box<Update>),
    /// A part of the state of the region whose log it is: it stands for older ops that the log,
    /// or a peer's log, no longer holds. Never leaves the log.
    State(Bytes),
    /// Something that a later version of Photon wrote. It is kept and passed on as it is, and
    /// means what it means once this region runs that version and reads its log again.
    Unknown {
        /// The kind of change.
        tag: u8,
        /// What it says.
        body: Bytes,
    },
}

/// A change of a value that many regions may change at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// What it does.
    pub delta: Delta,
    /// What its author had seen of other streams that every reader of this one may know of:
    /// who has seen the update without these has seen the effect before the cause.
    pub needs: Seen,
}

/// One change of one record. Immutable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    /// The stream that it belongs to.
    pub stream: StreamId,
    /// Its number in the stream.
    pub seq: u64,
    /// Orders it among all changes of the record.
    pub at: Hlc,
    /// What kind of record it changes.
    pub dataset: Dataset,
    /// Which record it changes.
    pub key: Key,
    /// What it does.
    pub change: Change,
}

impl Op {
    /// Returns where what the op changes stands in the order of a store; nothing if that is not
    /// known here.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        Some(match &self.change {
            Change::Put(_) | Change::Delete => Position::Register(self.record()),
            Change::Append { .. } => Position::Log(self.record()),
            Change::Update(update) => {
                let shelf = (self.stream.placement, self.dataset, update.delta.shape());
                Position::Value(shelf, self.key.clone())
            }
            Change::State(_) | Change::Unknown { .. } => return None,
        })
    }

    /// Returns the record that the op changes.
    #[must_use]
    pub fn record(&self) -> Record {
        Record { placement: self.stream.placement, dataset: self.dataset, key: self.key.clone() }
    }

    /// Returns about how many bytes the op takes in memory or on a wire.
    #[must_use]
    pub fn weight(&self) -> usize {
        let value = match &self.change {
            Change::Put(value) => value.len(),
            Change::Append { entry, .. } => entry.len(),
            Change::Delete => 0,
            Change::Update(update) => update.delta.weight() + 48 * update.needs.len(),
            Change::State(body) | Change::Unknown { body, .. } => body.len(),
        };
        128 + self.key.as_bytes().len() + value
    }
}
