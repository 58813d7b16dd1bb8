//! What is either in memory or on pages: blocks of small values, and large values one by one.
//! Must not know which of them is to go: `values` does.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::block::Block;
use crate::codec::Writer;
use crate::crdt::Value;
use crate::pack::{Sources, pack_any, unpack};
use crate::pages::{PAGE_BYTES, Paging, Space};

// A block has room in one page.
const _: () = assert!(Block::BYTES_MAX <= PAGE_BYTES);

// What is known of a large value that is on pages takes as little room as it is said to.
const _: () = assert!(size_of::<Large>() <= 24);

const NOWHERE: &str = "what is on a page was written to it";

/// A block of small values.
#[derive(Debug)]
pub(crate) enum Slot {
    Here(Block),
    There { page: u32, len: u16, count: u16 },
}

/// A block that is looked at.
#[derive(Clone, Debug)]
pub(crate) enum Found<'a> {
    Here(&'a Block),
    Read(Arc<Block>),
}

impl std::ops::Deref for Found<'_> {
    type Target = Block;

    fn deref(&self) -> &Block {
        match self {
            Self::Here(block) => block,
            Self::Read(block) => block,
        }
    }
}

impl Slot {
    /// Lets it be looked at; what is on a page stays there, as the system keeps what is read often.
    pub(crate) fn look(&self, space: &Space) -> Found<'_> {
        match self {
            Self::Here(block) => {
                block.touch();
                Found::Here(block)
            }
            Self::There { page, len, count } => {
                let paging = space.paging.as_ref().expect(NOWHERE);
                let bytes = paging.get(*page, usize::from(*len));
                Found::Read(Arc::new(Block::again(bytes, *count)))
            }
        }
    }

    /// Brings it into memory, so that it can be changed. Its page is erased.
    pub(crate) fn bring(&mut self, space: &mut Space) -> &mut Block {
        if let Self::There { page, len, count } = *self {
            let paging = space.paging.as_mut().expect(NOWHERE);
            *self = Self::Here(Block::again(paging.get(page, usize::from(len)), count));
            paging.give_back(page);
        }
        match self {
            Self::Here(block) => {
                block.touch();
                block
            }
            Self::There { .. } => unreachable!("it was just brought"),
        }
    }

    /// Lays it on a page, unless it was used since this was last tried, or there is no room.
    pub(crate) fn lay_away(&mut self, paging: &mut Paging) -> Laid {
        let Self::Here(block) = self else { return Laid::Not };
        if block.was_used() || block.len() == 0 {
            return Laid::Not;
        }
        let Some(page) = paging.put(block.as_bytes()) else { return Laid::Full };
        let short = |it: usize| u16::try_from(it).expect("a block has a few thousand bytes");
        let (len, count) = (short(block.bytes()), short(block.len()));
        *self = Self::There { page, len, count };
        Laid::Away
    }

    /// Returns how many bytes the block has.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Here(block) => block.bytes(),
            Self::There { len, .. } => usize::from(*len),
        }
    }

    /// Returns the bytes and the count of a block that is on a page.
    pub(crate) fn away(&self) -> Option<(usize, usize)> {
        match self {
            Self::Here(_) => None,
            Self::There { len, count, .. } => Some((usize::from(*len), usize::from(*count))),
        }
    }
}

/// What became of an attempt to lay something on a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Laid {
    /// It is on a page.
    Away,
    /// It stays for now.
    Not,
    /// There is no room on the disk.
    Full,
}

/// A value that is too large for a block.
#[derive(Debug)]
pub(crate) enum Large {
    /// In a box, so that what is on pages takes little room in the tree of all of them.
    Here { value: Box<Value>, is_used: AtomicBool },
    There {
        pages: Box<[u32]>,
        len: u32,
        /// What it takes in memory when it is here.
        weight: u32,
    },
}

impl Large {
    /// What it costs while it is on pages, beside its key and four bytes a page: its place in a
    /// tree that is not full, and two small pieces of memory.
    const THERE_WEIGHT: usize = 128;

    pub(crate) fn new(value: Value) -> Self {
        Self::Here { value: Box::new(value), is_used: AtomicBool::new(true) }
    }

    /// Lets it be looked at.
    pub(crate) fn look(&self, space: &Space) -> Cow<'_, Value> {
        match self {
            Self::Here { value, is_used } => {
                is_used.store(true, Ordering::Relaxed);
                Cow::Borrowed(value)
            }
            Self::There { pages, len, .. } => {
                let paging = space.paging.as_ref().expect(NOWHERE);
                Cow::Owned(read(paging, &space.sources, pages, *len as usize))
            }
        }
    }

    /// Brings it into memory; its pages are erased.
    pub(crate) fn bring(self, space: &mut Space) -> Value {
        match self {
            Self::Here { value, .. } => *value,
            Self::There { pages, len, .. } => {
                let paging = space.paging.as_mut().expect(NOWHERE);
                let value = read(paging, &space.sources, &pages, len as usize);
                pages.iter().for_each(|page| paging.give_back(*page));
                value
            }
        }
    }

    /// Lays it on pages, unless it was used since this was last tried, or there is no room.
    /// `weight` is what it takes in memory.
    pub(crate) fn lay_away(
        &mut self,
        sources: &mut Sources,
        paging: &mut Paging,
        weight: impl FnOnce(&Value) -> usize,
    ) -> Laid {
        let Self::Here { value, is_used } = self else { return Laid::Not };
        let mut packed = Writer::with_capacity(value.weight() + PAGE_BYTES);
        if std::mem::take(is_used.get_mut()) || !pack_any(value, sources, &mut packed) {
            return Laid::Not;
        }
        let bytes = packed.written();
        let mut pages = Vec::with_capacity(bytes.len().div_ceil(PAGE_BYTES));
        for piece in bytes.chunks(PAGE_BYTES) {
            let Some(page) = paging.put(piece) else {
                pages.into_iter().for_each(|page| paging.give_back(page));
                return Laid::Full;
            };
            pages.push(page);
        }
        let short = |it: usize| u32::try_from(it).expect("a record has a few MiB");
        let (len, weight) = (short(bytes.len()), short(weight(value)));
        *self = Self::There { pages: pages.into(), len, weight };
        Laid::Away
    }

    /// Returns how much less memory it takes, with its key, than if it were here.
    pub(crate) fn away(&self, key: &[u8]) -> usize {
        match self {
            Self::Here { .. } => 0,
            Self::There { pages, weight, .. } => {
                let there = Self::THERE_WEIGHT + key.len() + size_of_val(&**pages);
                (*weight as usize).saturating_sub(there)
            }
        }
    }
}

fn read(paging: &Paging, sources: &Sources, pages: &[u32], len: usize) -> Value {
    let mut bytes = Vec::with_capacity(len);
    for page in pages {
        bytes.extend(paging.get(*page, PAGE_BYTES.min(len - bytes.len())));
    }
    unpack(&bytes, sources).expect("only packed values are laid on pages")
}
