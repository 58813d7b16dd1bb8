//! Where records lie that have no room in memory: pages that last as long as the process does.
//! Must not know what a page holds, nor when one is needed.
//!
//! The log has all records; pages are only where they are found again while the process lives. So
//! nothing is synced, and after a crash the pages are worth nothing.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::pack::Sources;

/// Bytes of a page.
pub const PAGE_BYTES: usize = 4 << 10;

/// Keeps pages by number.
///
/// There is nobody to tell that a page is lost: who cannot give back what was written, or cannot
/// erase it, has to end the process. It finds all records in its log when it starts again.
pub trait Pages: fmt::Debug + Send + Sync {
    /// Writes a page in place of what it held; says whether there was room.
    fn write(&mut self, page: u32, bytes: &[u8; PAGE_BYTES]) -> bool;

    /// Reads a page that was written.
    fn read(&self, page: u32, into: &mut [u8; PAGE_BYTES]);

    /// Sees to it that what a page holds is nowhere any more.
    fn erase(&mut self, page: u32);
}

/// What values of a store need beside themselves: the sources that they name, and where those lie
/// that are not in memory.
#[derive(Debug, Default)]
pub(crate) struct Space {
    pub(crate) sources: Sources,
    pub(crate) paging: Option<Paging>,
}

/// Which pages are in use.
#[derive(Debug)]
pub(crate) struct Paging {
    pages: Box<dyn Pages>,
    /// Bytes of records that may be in memory.
    pub(crate) memory_max: usize,
    /// The first page that was never used.
    next: u32,
    free: Vec<u32>,
    read: AtomicU64,
    written: u64,
}

/// What was done with pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageCounts {
    /// Pages in use.
    pub used: u64,
    /// Pages that were written since the start.
    pub written: u64,
    /// Pages that were read since the start.
    pub read: u64,
}

impl Paging {
    pub(crate) fn new(pages: Box<dyn Pages>, memory_max: usize) -> Self {
        Self { pages, memory_max, next: 0, free: Vec::new(), read: AtomicU64::new(0), written: 0 }
    }

    pub(crate) fn counts(&self) -> PageCounts {
        PageCounts {
            used: u64::from(self.next) - self.free.len() as u64,
            written: self.written,
            read: self.read.load(Ordering::Relaxed),
        }
    }

    /// Writes bytes to a page that is free; returns none if there is no room.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Option<u32> {
        let mut whole = [0; PAGE_BYTES];
        whole[..bytes.len()].copy_from_slice(bytes);
        let page = self.free.last().copied().unwrap_or(self.next);
        if page == u32::MAX || !self.pages.write(page, &whole) {
            return None;
        }
        match self.free.pop() {
            Some(_) => {}
            None => self.next += 1,
        }
        self.written += 1;
        Some(page)
    }

    /// Returns the first bytes of a page.
    pub(crate) fn get(&self, page: u32, len: usize) -> Vec<u8> {
        let mut whole = [0; PAGE_BYTES];
        self.pages.read(page, &mut whole);
        self.read.fetch_add(1, Ordering::Relaxed);
        whole[..len].to_vec()
    }

    /// Erases a page; it is free then.
    pub(crate) fn give_back(&mut self, page: u32) {
        self.pages.erase(page);
        self.free.push(page);
    }
}
