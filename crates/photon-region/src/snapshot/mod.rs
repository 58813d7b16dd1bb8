//! Parts of a region's state that stand for older ops: in its own log, so that the log stays
//! bounded, and for a peer that lacks ops which no log holds any more.
//! Must not know what a record means.
//!
//! Both are ops of a stream that never leaves the log. A region writes its own state part by part
//! (`compact`): on replay each part is put in place of what its range holds, which is what the
//! range held when it was written. A peer's parts (`transfer`) are merged with what is here, by
//! what each side has seen; until all parts are here, `cover` remembers what they stand for.

mod compact;
mod cover;
mod keep;
mod part;
mod put;
mod transfer;

pub(crate) use compact::Compaction;
pub use compact::{begins_state, seen_after};
pub(crate) use cover::Covers;
pub(crate) use part::{Item, Part, Step};
pub use part::{Logged, inspect_part};
pub(crate) use transfer::{Incoming, Transfer};

/// Items that are looked at for one part.
const PART_ITEMS_MAX: usize = 4_096;
