//! Where something stands in the order of a store: registers, then logs, then values.
//! Must not know what stands there.

use crate::{Key, PlacementId, Record, Shelf};

/// Where something stands in the order of a store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Position {
    /// A register.
    Register(Record),
    /// A log.
    Log(Record),
    /// A value that many regions may change.
    Value(Shelf, Key),
}

impl Position {
    /// Returns the placement of what stands there.
    #[must_use]
    pub fn placement(&self) -> PlacementId {
        match self {
            Self::Register(record) | Self::Log(record) => record.placement,
            Self::Value((placement, ..), _) => *placement,
        }
    }

    /// Returns the record that stands there.
    #[must_use]
    pub fn into_record(self) -> Record {
        match self {
            Self::Register(record) | Self::Log(record) => record,
            Self::Value((placement, dataset, _), key) => Record { placement, dataset, key },
        }
    }
}
