//! The pages of one life of a region, in memory.
//! Must not know what is on them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use photon_state::{PAGE_BYTES, Pages};

/// Pages that an audit can look into while a region uses them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leaves {
    all: Arc<Mutex<Vec<[u8; PAGE_BYTES]>>>,
    /// The first one for which there is no room.
    end: u64,
}

const EMPTY: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

impl Leaves {
    pub(crate) fn new(end: u64) -> Self {
        Self { end, ..Self::default() }
    }

    fn all(&self) -> MutexGuard<'_, Vec<[u8; PAGE_BYTES]>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether some bytes are on a page.
    pub(crate) fn hold(&self, text: &[u8]) -> bool {
        self.all().iter().any(|page| page.windows(text.len()).any(|it| it == text))
    }

    /// Returns how many are not empty.
    pub(crate) fn used(&self) -> usize {
        self.all().iter().filter(|it| **it != EMPTY).count()
    }
}

impl Pages for Leaves {
    fn write(&mut self, page: u32, bytes: &[u8; PAGE_BYTES]) -> bool {
        let at = page as usize;
        let has_room = u64::from(page) < self.end;
        if has_room {
            let mut all = self.all();
            let len = all.len().max(at + 1);
            all.resize(len, EMPTY);
            all[at] = *bytes;
        }
        has_room
    }

    fn read(&self, page: u32, into: &mut [u8; PAGE_BYTES]) {
        *into = self.all()[page as usize];
    }

    fn erase(&mut self, page: u32) {
        self.all()[page as usize] = EMPTY;
    }
}
