//! How much room records may take, in memory and beyond it.
//! Must not know what a record says.

use std::time::Duration;

use photon_state::Pages;

use super::Write;
use crate::{Queue, Refusal, Region, RoomView};

impl Region {
    /// Lets values that were not used for long lie on pages, once they are more than
    /// `data_memory_max`. Only before the log is replayed: pages last as long as the process.
    pub fn lay_away_to(&mut self, pages: Box<dyn Pages>) {
        self.store.lay_away_to(pages, self.config.limits.data_memory_max);
    }

    /// Returns what room records take.
    pub(crate) fn show_room(&self) -> RoomView {
        RoomView {
            bytes: self.store.value_bytes(),
            bytes_max: self.config.limits.data_bytes_max,
            memory: self.store.memory_bytes(),
            memory_max: self.config.limits.data_memory_max,
            changes: self.data.changes_bytes(),
            memory_end: self.config.limits.data_memory_end(),
            pages: self.store.pages(),
        }
    }

    /// Whether there is room for what writes add.
    pub(crate) fn check_room(&self, writes: &[Write]) -> Result<(), Refusal> {
        self.check_disk()?;
        if writes.iter().all(|it| it.edit.only_removes()) {
            return Ok(());
        }
        self.check_bytes(writes.iter().map(|it| it.key.len() + it.edit.weight()).sum())
    }

    /// Whether there is room for so many bytes more of records.
    pub(crate) fn check_bytes(&self, more: usize) -> Result<(), Refusal> {
        let limits = &self.config.limits;
        let (held, memory) = (self.store.value_bytes(), self.store.memory_bytes());
        let refuse = |what, max: usize| {
            let (max, retry_after) = (max as u64, Duration::from_secs(60));
            Err(Refusal::Overloaded { what, max, retry_after })
        };
        if limits.data_bytes_max < held.saturating_add(more) {
            return refuse(Queue::DataBytes, limits.data_bytes_max);
        }
        // Pages find no room on the disk, or what is known of them alone takes as much.
        if limits.data_memory_end() < memory {
            return refuse(Queue::DataMemory, limits.data_memory_max);
        }
        Ok(())
    }
}
