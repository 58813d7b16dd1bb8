//! What is known of a move of a record: who moved what, from where, to where, and what is left.
//! Must not hold any content.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;
use photon_state::crdt::{Field, Version};
use photon_state::{Dot, PlacementId, RegionId, Seen};

use crate::data::DatasetName;

/// Names a move for ever. Names sort by age.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MoveId(pub(super) u128);

/// Text that is not the name of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a move: use 32 characters of 0-9 and a-f")]
pub struct MoveIdError;

impl MoveId {
    /// Makes a name for a move that begins now.
    pub(super) fn new(wall_ms: u64, random: u64, more: u64) -> Self {
        let time = u128::from(wall_ms & 0xffff_ffff_ffff);
        Self(time << 80 | u128::from(more & 0xffff) << 64 | u128::from(random))
    }

    /// Returns the name as bytes, in its order.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Reads a name from bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

impl fmt::Display for MoveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for MoveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for MoveId {
    type Err = MoveIdError;
    fn from_str(text: &str) -> Result<Self, MoveIdError> {
        let is_name = text.len() == 32 && text.bytes().all(|it| it.is_ascii_hexdigit());
        u128::from_str_radix(text, 16).ok().filter(|_| is_name).map(Self).ok_or(MoveIdError)
    }
}

/// How far a move is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveState {
    /// What the old placement holds is being copied to every region of the new one.
    Copying,
    /// The copy is durable there; what was copied is being removed from the old placement.
    Removing,
    /// No region of the old placement holds anything of the record outside its log.
    Done,
}

impl MoveState {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Copying, Self::Removing, Self::Done];

    /// Returns its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Copying => "copying",
            Self::Removing => "removing",
            Self::Done => "done",
        }
    }
}

/// A copy that is durable in every region of the new placement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The last op of the copy.
    pub dot: Dot,
    /// The regions.
    pub regions: BTreeSet<RegionId>,
}

/// The receipt of a move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its name.
    pub id: MoveId,
    /// The dataset.
    pub dataset: DatasetName,
    /// The record; `None` once it is over if the names of keys are sensitive.
    pub key: Option<Bytes>,
    /// SHA-256 of the move's name, the dataset and the key: whoever knows the key can check it.
    pub key_digest: [u8; 32],
    /// SHA-256 of the move's name and the content as it was first copied; `None` if the names of
    /// keys are sensitive: what can be guessed is told by its digest.
    pub content_digest: Option<[u8; 32]>,
    /// Where the record lived.
    pub from: PlacementId,
    /// Where it lives.
    pub to: PlacementId,
    /// The region that was asked.
    pub asked_in: RegionId,
    /// The region that decided: the record's home in the old placement.
    pub decided_in: RegionId,
    /// When it began, in milliseconds since 1970.
    pub begun_ms: u64,
    /// When it was over.
    pub done_ms: Option<u64>,
    /// How far it is.
    pub state: MoveState,
    /// The copies: one, and one more for each time that something late was found.
    pub copies: Vec<Copied>,
    /// The ops that removed what was copied, as often.
    pub removals: Vec<Dot>,
    /// The regions of the old placement that may not hold the record any more.
    pub must_forget: BTreeSet<RegionId>,
    /// Those whose logs are free of it, and since when.
    pub purged: BTreeMap<RegionId, u64>,
}

/// A move as its record holds it: the receipt, and what is needed to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) receipt: Receipt,
    /// Counts the copies.
    pub(crate) round: u32,
    /// What the copy of this round holds.
    pub(crate) taken: Taken,
    /// All that had been seen of the old placement once the move was over: what comes after it in a
    /// log knows nothing of the record.
    pub(crate) end: Seen,
}

impl Move {
    /// Whether it is the move that a register of a placement names.
    pub(crate) fn is_of(&self, dataset: &DatasetName, id: MoveId, placement: PlacementId) -> bool {
        let it = &self.receipt;
        it.dataset == *dataset && it.id == id && it.from == placement && it.to != placement
    }
}

/// What of a record a copy holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The writes in force.
    Writes(BTreeSet<Dot>),
    /// So much of a counter, in one op: what is more is left to the next copy.
    Sum(i64),
}

/// What is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moved {
    /// Writes of fields.
    Fields(Vec<(Field, Version)>),
    /// So much of a counter, in one op: what is more is left to the next copy.
    Sum(i64),
    /// Nothing more: the move is over, and what was noted of it can go.
    Over,
}

/// A copy on its way to the record's home in the new placement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adopt {
    /// The move.
    pub id: MoveId,
    /// Which of its copies.
    pub round: u32,
    /// The dataset.
    pub dataset: DatasetName,
    /// The record.
    pub key: Bytes,
    /// The new placement.
    pub to: PlacementId,
    /// What is copied.
    pub content: Moved,
    /// What it depends on.
    pub needs: Seen,
}

/// What the home in the new placement has taken in of a move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Adoption {
    pub(crate) round: u32,
    /// The last op of the copy.
    pub(crate) last: Dot,
}

impl Adopt {
    /// Returns about how many bytes it takes on a link.
    pub(crate) fn weight(&self) -> usize {
        let versions = match &self.content {
            Moved::Fields(versions) => versions.as_slice(),
            Moved::Sum(_) | Moved::Over => &[],
        };
        let weight = |(field, it): &(Field, Version)| 64 + field.len() + it.written.bytes.len();
        self.key.len() + versions.iter().map(weight).sum::<usize>()
    }
}
