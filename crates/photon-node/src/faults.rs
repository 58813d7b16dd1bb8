//! What a drill makes go wrong inside a node: a clock that is off, a disk without room.
//! Must not open a way to it: whoever starts the node decides whether there is one.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// Faults of one node, changed while it runs. Without a drill they stay as they are made: none.
#[derive(Debug, Default)]
pub struct Faults {
    clock_ms: AtomicI64,
    is_disk_full: AtomicBool,
}

/// What a node that is in no drill suffers from.
pub(crate) static NO_FAULTS: Faults = Faults::new();

impl Faults {
    /// Makes faults that are not in force.
    #[must_use]
    pub const fn new() -> Self {
        Self { clock_ms: AtomicI64::new(0), is_disk_full: AtomicBool::new(false) }
    }

    /// Lets the wall clock run so far ahead, or behind, of what the system says.
    pub fn set_clock_ms(&self, ahead_ms: i64) {
        self.clock_ms.store(ahead_ms, Ordering::Relaxed);
    }

    /// Lets the log find no room on the disk, or find it again.
    pub fn set_disk_full(&self, is_full: bool) {
        self.is_disk_full.store(is_full, Ordering::Relaxed);
    }

    pub(crate) fn clock_ms(&self) -> i64 {
        self.clock_ms.load(Ordering::Relaxed)
    }

    pub(crate) fn is_disk_full(&self) -> bool {
        self.is_disk_full.load(Ordering::Relaxed)
    }
}
