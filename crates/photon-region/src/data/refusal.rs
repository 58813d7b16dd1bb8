//! Why a command about datasets or records is turned down. Each says what can be done about it.
//! Must not know of status codes.

use std::sync::Arc;
use std::time::Duration;

use photon_state::{PlacementId, RegionId};

use super::{DatasetName, Kind, ReadLevel, WriteLevel};

/// Why a command about data was turned down. Nothing of it was done, unless it says so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataRefusal {
    /// No such dataset is declared, as far as is known here.
    #[error("no dataset is named `{0}`; declare it first")]
    NoSuchDataset(DatasetName),
    /// The dataset is declared otherwise.
    #[error("dataset `{dataset}` is declared with another {what}, which cannot be changed")]
    DeclaredOtherwise {
        /// The dataset.
        dataset: DatasetName,
        /// What differs.
        what: &'static str,
    },
    /// The dataset still has records.
    #[error("dataset `{0}` has records: delete them first")]
    NotEmpty(DatasetName),
    /// The key's tenant has no placement.
    #[error("dataset `{dataset}` has no placement for the tenant `{tenant}`")]
    NoSuchTenant {
        /// The dataset.
        dataset: DatasetName,
        /// The part of the key in front of the first `/`.
        tenant: Arc<str>,
    },
    /// The record has no place, or it is not known which.
    #[error("dataset `{dataset}` places each record by its `{attribute}`{}; say one of {}",
        about(.said.as_deref()), allowed.join(", "))]
    Unplaced {
        /// The dataset.
        dataset: DatasetName,
        /// What places its records.
        attribute: Arc<str>,
        /// What was said of it, if anything.
        said: Option<Arc<str>>,
        /// What may be said.
        allowed: Vec<Arc<str>>,
    },
    /// The record lives in another placement than the request says.
    #[error("the record lives in `{placement}`: say so, or move it first")]
    LivesElsewhere {
        /// Where it lives.
        placement: PlacementId,
    },
    /// There is no such record where it is to be moved from.
    #[error("{}", nothing_in(.placement.as_ref()))]
    NothingToMove {
        /// Where it was looked for, or where it lives already; `None` if it is not known here.
        placement: Option<PlacementId>,
    },
    /// The record moves already, to another place.
    #[error("the record moves to `{to}`: wait until that is over")]
    RecordMoves {
        /// Where it moves.
        to: PlacementId,
    },
    /// No such move is known here.
    #[error("no such move of a record of dataset `{0}` is known here: ask where it lived")]
    NoSuchMove(DatasetName),
    /// The edit does not fit what the dataset's records hold.
    #[error("dataset `{dataset}` holds records of type {kind}: they cannot be changed by {edit}")]
    WrongKind {
        /// The dataset.
        dataset: DatasetName,
        /// What it holds.
        kind: Kind,
        /// What was tried.
        edit: &'static str,
    },
    /// Only another region writes.
    #[error("dataset `{dataset}` is written in `{master}` only")]
    NotMaster {
        /// The dataset.
        dataset: DatasetName,
        /// The region that writes.
        master: RegionId,
    },
    /// The dataset's master moves to another region: no region writes meanwhile.
    #[error("dataset `{dataset}` moves to `{to}`, and cannot be written meanwhile; try again")]
    MasterMoves {
        /// The dataset.
        dataset: DatasetName,
        /// The region that will write it.
        to: RegionId,
    },
    /// The record is not what the write expects.
    #[error("the record is not what the write expects")]
    Unexpected {
        /// Its fingerprint; `None` if there is no record.
        found: Option<u64>,
    },
    /// The bounded counter does not hold as much, as far as is known here.
    #[error("{asked} cannot be taken: {value} are left, as far as is known here")]
    Overdrawn {
        /// How much was to be taken.
        asked: u64,
        /// What is left.
        value: u64,
    },
    /// The writes are durable here, but the level was not reached in time. They stay, and reach
    /// the other regions when these can be reached.
    #[error(
        "{} was not reached in time: durable in {durable_in} of {members}. The write stays and \
         will spread; do not repeat it unless it may be done twice", .level.as_str()
    )]
    LevelNotReached {
        /// The level.
        level: WriteLevel,
        /// In how many regions the writes are durable.
        durable_in: usize,
        /// How many regions the placement has.
        members: usize,
    },
    /// What the read must not miss has not arrived in time.
    #[error("{} was not reached in time: {why}", .level.as_str())]
    ReadNotReached {
        /// The level.
        level: ReadLevel,
        /// What is missing.
        why: ReadGap,
    },
    /// The session has seen what its region lost with its disk before any other had it: it would
    /// wait for ever.
    #[error(
        "the session has seen a change under `{placement}` that `{origin}` has lost with its disk, \
         and that no region has: begin a new session"
    )]
    SessionLost {
        /// The region that made the change.
        origin: RegionId,
        /// Where the change lived.
        placement: PlacementId,
    },
    /// The region that must decide cannot be reached, or did not answer in time. Whether a write
    /// was done is not known.
    #[error("region `{region}`, which decides this, cannot be reached{}", fate(.was_sent))]
    DeciderUnreachable {
        /// The region.
        region: RegionId,
        /// Whether it may have heard of it.
        was_sent: bool,
    },
    /// The log of the region that decides is new: it may have lost what it had acknowledged.
    #[error(
        "region `{region}` has a new log, and decides nothing until it has what {needed} others \
         have; it has heard of {heard}"
    )]
    CatchingUp {
        /// The region.
        region: RegionId,
        /// Of how many others it has heard.
        heard: usize,
        /// From how many it must have all.
        needed: usize,
    },
    /// The changes after a watcher's position are no longer at hand.
    #[error("the changes after this position are no longer kept: scan, and watch from now on")]
    PositionTooOld,
    /// What was asked for makes no sense for this dataset.
    #[error("{field}: {why}")]
    Senseless {
        /// The field of the request.
        field: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl DataRefusal {
    /// What is wrong with a field that a peer has refused.
    pub(crate) const MISFIT: &'static str = "it does not fit the dataset";
}

/// What a read still misses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadGap {
    /// Something that the session has seen has not arrived here.
    Session,
    /// So many regions of the placement have answered, of so many that must.
    Answers {
        /// Those that have answered, this region too.
        got: usize,
        /// Those that must.
        needed: usize,
    },
    /// What is known of the other regions is this old.
    Stale(Option<Duration>),
}

impl std::fmt::Display for ReadGap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Session => f.write_str("something that the session has seen is not here yet"),
            Self::Answers { got, needed } => write!(f, "{got} regions answered, {needed} must"),
            Self::Stale(Some(age)) => write!(f, "what is here may be {} ms old", age.as_millis()),
            Self::Stale(None) => f.write_str("a region of the placement has not been heard of"),
        }
    }
}

fn fate(was_sent: &bool) -> &'static str {
    if *was_sent { "; whether it was done is not known" } else { "; nothing was done" }
}

fn nothing_in(placement: Option<&PlacementId>) -> String {
    match placement {
        Some(placement) => format!("`{placement}` has no such record that is to be moved"),
        None => "no such record lives here: say with `from` where it lives".to_owned(),
    }
}

fn about(value: Option<&str>) -> String {
    match value {
        Some(value) => format!(", which cannot be `{value}`"),
        None => " and has no such record here".to_owned(),
    }
}
