//! The names of tasks, and what they tell.
//! Must not know what a task is.

use std::fmt;

use photon_state::{Hlc, PlacementId, RegionId};

/// Names a task for ever: 48 bits of time (ms), 16 bits that tell where it may live, 10 bits that
/// tell its shard, and 54 random bits.
/// Printed as 26 characters of Crockford's base 32, so that names sort by age.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(u128);

/// Text that is not the name of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a task id: use 26 characters of 0-9 and a-z without i, l, o and u")]
pub struct TaskIdError;

impl TaskId {
    const DIGITS: &'static [u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

    /// Makes a name for a task that is born now.
    #[must_use]
    pub fn new(wall_ms: u64, placement: PlacementId, shard: Shard, random: u64) -> Self {
        let time = u128::from(wall_ms & 0xffff_ffff_ffff);
        let random = u64::from(shard.0) << 54 | random >> 10;
        Self(time << 80 | u128::from(placement_tag(placement)) << 64 | u128::from(random))
    }

    /// Makes a name for a task of the same shard.
    pub(crate) fn renamed(self, wall_ms: u64, random: u64) -> Self {
        const TIME_MASK: u128 = !(u128::MAX >> 48);
        const RANDOM_MASK: u128 = (1 << 54) - 1;
        let kept = self.0 & !TIME_MASK & !RANDOM_MASK;
        let time = u128::from(wall_ms & 0xffff_ffff_ffff) << 80;
        Self(time | kept | u128::from(random >> 10))
    }

    /// Returns when it was named, in milliseconds by the wall clock.
    #[must_use]
    pub fn wall_ms(self) -> u64 {
        (self.0 >> 80) as u64
    }

    /// Returns the tag of the placement in which it lives; see [`placement_tag`].
    #[must_use]
    pub fn placement_tag(self) -> u16 {
        (self.0 >> 64) as u16
    }

    /// Returns the shard of its placement to which it belongs.
    #[must_use]
    pub fn shard(self) -> Shard {
        Shard((self.0 >> 54) as u16 & (Shard::COUNT - 1))
    }

    /// Returns the name as bytes; their order is that of the names.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Makes a name from bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

/// One of the parts of all tasks of a placement that have a home together: 0 .. 1,023.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(pub u16);

impl Shard {
    /// How many there are in each placement.
    pub const COUNT: u16 = 1_024;
}

/// Returns the 16 bits that tell placements apart in names of tasks.
/// A planet in which two placements share a tag is refused by the configuration.
#[must_use]
pub fn placement_tag(placement: PlacementId) -> u16 {
    tag(placement.as_str())
}

/// Returns the 16 bits that tell regions apart where they agree.
/// A planet in which two regions share a tag is refused by the configuration.
#[must_use]
pub fn region_tag(region: RegionId) -> u16 {
    tag(region.as_str())
}

/// FNV-1a of 32 bits, folded.
fn tag(name: &str) -> u16 {
    let fnv = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    let hash = name.as_bytes().iter().fold(0x811c_9dc5, fnv);
    (hash >> 16) as u16 ^ hash as u16
}

/// Returns the name of the task by which one that failed, at a time, is asked for again: so that is
/// done once, however often it is wanted. It is of the same shard, so that one home decides.
#[must_use]
pub fn redriven(id: TaskId, failed: Hlc) -> TaskId {
    id.renamed(failed.wall_ms, fnv(id.to_bytes().iter()))
}

/// Returns the name of the task that one makes which is asked of many: for one of those, by name.
#[must_use]
pub fn made_by(id: TaskId, label: &str) -> TaskId {
    id.renamed(id.wall_ms(), fnv(id.to_bytes().iter().chain(label.as_bytes())))
}

/// FNV-1a of 64 bits.
fn fnv<'a>(bytes: impl Iterator<Item = &'a u8>) -> u64 {
    let next = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.fold(0xcbf2_9ce4_8422_2325, next)
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in (0..26).rev() {
            let digit = (self.0 >> (5 * place)) as usize & 31;
            write!(f, "{}", char::from(Self::DIGITS[digit]))?;
        }
        Ok(())
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl std::str::FromStr for TaskId {
    type Err = TaskIdError;
    fn from_str(text: &str) -> Result<Self, TaskIdError> {
        if text.len() != 26 || b'7' < text.as_bytes()[0] {
            return Err(TaskIdError);
        }
        let digit = |b: u8| Self::DIGITS.iter().position(|it| *it == b).ok_or(TaskIdError);
        let value = text.bytes().try_fold(0_u128, |sum, b| Ok(sum << 5 | digit(b)? as u128))?;
        Ok(Self(value))
    }
}
