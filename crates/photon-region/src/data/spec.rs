//! What a dataset is: what its records hold, where they may live, how they are read and written.
//! Must not know any record.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use photon_state::crdt::Shape;
use photon_state::{PlacementId, RegionId};

/// The longest name of a dataset, in bytes.
const NAME_BYTES_MAX: usize = 63;

/// Names a dataset: 1 to 63 of a-z, 0-9, `-`, `_` and `.`, beginning with a letter.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatasetName(Arc<str>);

/// Text that cannot name a dataset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` does not name a dataset: use 1 to {NAME_BYTES_MAX} of a-z, 0-9, -, _ and ., \
     beginning with a letter"
)]
pub struct DatasetNameError {
    /// The text that was refused, cut to a length that is safe to print.
    pub text: String,
}

impl DatasetName {
    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for DatasetName {
    type Error = DatasetNameError;
    fn try_from(text: &str) -> Result<Self, DatasetNameError> {
        let begins_well = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        let is_allowed =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
        if !begins_well || NAME_BYTES_MAX < text.len() || !text.bytes().all(is_allowed) {
            return Err(DatasetNameError { text: text.chars().take(2 * NAME_BYTES_MAX).collect() });
        }
        Ok(Self(text.into()))
    }
}

impl std::str::FromStr for DatasetName {
    type Err = DatasetNameError;
    fn from_str(text: &str) -> Result<Self, DatasetNameError> {
        Self::try_from(text)
    }
}

impl fmt::Display for DatasetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for DatasetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A dataset as it was declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetSpec {
    /// Its name.
    pub name: DatasetName,
    /// What a record holds. Cannot be changed.
    pub kind: Kind,
    /// Where its records may live. Cannot be changed.
    pub rule: PlacementRule,
    /// What a region outside a record's placement does when it is asked.
    pub outside: Outside,
    /// Who may write.
    pub mode: Mode,
    /// Which of several concurrent writes is shown.
    pub policy: Policy,
    /// How a write is acknowledged, unless it says otherwise.
    pub write_level: WriteLevel,
    /// What a read may miss, unless it says otherwise.
    pub read_level: ReadLevel,
    /// How long a record lasts after it was written, unless the write says otherwise.
    pub ttl: Option<Duration>,
    /// The longest that a record lasts after it was written, whatever the write says.
    pub retention: Option<Duration>,
    /// Whether the names of its keys are told to nobody outside their placement.
    pub sensitive_keys: bool,
}

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One content.
    Register,
    /// A number that regions add to and take from.
    Counter,
    /// A number that regions add to and take from, and that never goes below zero.
    BoundedCounter,
    /// Elements, each at most once.
    Set,
    /// Named contents.
    Map,
    /// A JSON document, merged field by field.
    Document,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Register, Self::Counter, Self::BoundedCounter, Self::Set, Self::Map, Self::Document];

    /// Returns its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Counter => "counter",
            Self::BoundedCounter => "bounded-counter",
            Self::Set => "set",
            Self::Map => "map",
            Self::Document => "document",
        }
    }

    /// Returns the structure that carries it.
    #[must_use]
    pub fn shape(self) -> Shape {
        match self {
            Self::Register | Self::Set | Self::Map | Self::Document => Shape::Fields,
            Self::Counter => Shape::Counter,
            Self::BoundedCounter => Shape::Escrow,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where records may live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlacementRule {
    /// All of them in one placement.
    Fixed(PlacementId),
    /// By the part of the key in front of the first `/`: its tenant.
    ByTenant {
        /// The placement of each tenant.
        tenants: BTreeMap<Arc<str>, PlacementId>,
        /// That of all others; without it they are refused.
        others: Option<PlacementId>,
    },
    /// Each record where whoever makes it says, by the value of an attribute.
    ByRecord {
        /// What the attribute is called.
        attribute: Arc<str>,
        /// The placement of each value.
        values: BTreeMap<Arc<str>, PlacementId>,
        /// That of records of which nothing is said; without it they are refused.
        others: Option<PlacementId>,
    },
}

/// Says where a record lives, in a dataset whose records are placed one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spot {
    /// Where the rule puts this value of the attribute.
    Value(Arc<str>),
    /// In a placement: as one region says it to another.
    Placement(PlacementId),
}

impl PlacementRule {
    /// The value that names the placement of records of which nothing is said.
    pub const OTHERS: &'static str = "others";

    /// Iterates over the placements that records may have, perhaps one several times.
    pub fn placements(&self) -> impl Iterator<Item = PlacementId> {
        let (fixed, named, others) = match self {
            Self::Fixed(placement) => (Some(*placement), None, None),
            Self::ByTenant { tenants: named, others }
            | Self::ByRecord { values: named, others, .. } => (None, Some(named), *others),
        };
        let named = named.into_iter().flat_map(|it| it.values().copied());
        fixed.into_iter().chain(named).chain(others)
    }

    /// Whether each record has its own place.
    #[must_use]
    pub fn is_by_record(&self) -> bool {
        match self {
            Self::ByRecord { .. } => true,
            Self::Fixed(_) | Self::ByTenant { .. } => false,
        }
    }
}

/// What a region does when it is asked for a record that may not live in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// It hands the request on to a region of the placement, and keeps nothing.
    Forward,
    /// It refuses, and says who could answer.
    Refuse,
}

/// Who may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Every region of the placement.
    MultiMaster,
    /// One region; the others do what `elsewhere` says.
    SingleMaster {
        /// That region.
        master: RegionId,
        /// What the others do with a write.
        elsewhere: Outside,
    },
    /// One region; the others hand writes on to it, and answer reads themselves.
    AsyncMaster {
        /// That region.
        master: RegionId,
    },
}

impl Mode {
    /// Returns the only region that writes, if there is one.
    #[must_use]
    pub fn master(self) -> Option<RegionId> {
        match self {
            Self::MultiMaster => None,
            Self::SingleMaster { master, .. } | Self::AsyncMaster { master } => Some(master),
        }
    }
}

/// Which of several concurrent writes of a field is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The last by its time (hybrid logical clock).
    LastWriter,
    /// All of them: a multi-value register.
    KeepAll,
    /// The greatest, as numbers if all are, or else byte by byte.
    Highest,
    /// The least.
    Lowest,
    /// That of a region, or else the last.
    Prefer(RegionId),
}

impl Policy {
    /// Returns its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LastWriter => "last-writer",
            Self::KeepAll => "keep-all",
            Self::Highest => "highest",
            Self::Lowest => "lowest",
            Self::Prefer(_) => "prefer",
        }
    }
}

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WriteLevel {
    /// Durable in the region that writes.
    Eventual,
    /// Durable in a majority of the placement.
    Quorum,
    /// Durable in every region of the placement.
    Strong,
}

impl WriteLevel {
    /// All levels.
    pub const ALL: [Self; 3] = [Self::Eventual, Self::Quorum, Self::Strong];

    /// Returns its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eventual => "eventual",
            Self::Quorum => "quorum",
            Self::Strong => "strong",
        }
    }

    /// Returns in how many of `members` regions a write must be durable.
    #[must_use]
    pub fn needs(self, members: usize) -> usize {
        match self {
            Self::Eventual => 1,
            Self::Quorum => members / 2 + 1,
            Self::Strong => members,
        }
    }
}

/// What a read may miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReadLevel {
    /// Whatever has not arrived.
    Eventual,
    /// Nothing that the session wrote or read.
    Session,
    /// Nothing that the session wrote or read, nor what that depended on.
    Causal,
    /// Nothing that is durable in a majority of the placement.
    Quorum,
    /// Nothing that the record's home has decided: conditional writes, and all writes of a
    /// dataset with one master.
    Linearizable,
}

impl ReadLevel {
    /// All levels.
    pub const ALL: [Self; 5] =
        [Self::Eventual, Self::Session, Self::Causal, Self::Quorum, Self::Linearizable];

    /// Returns its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eventual => "eventual",
            Self::Session => "session",
            Self::Causal => "causal",
            Self::Quorum => "quorum",
            Self::Linearizable => "linearizable",
        }
    }
}
