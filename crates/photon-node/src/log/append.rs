//! Commits groups to the log: one write and one sync each, and a new segment when one is full.
//! Must not know who waits for a group.

use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use photon_region::{Disk, begins_state};
use photon_state::Op;
use rustix::fs::fdatasync;

use super::error::{At as _, LogError};
use super::folder::Folder;
use super::format::{GroupBuffer, Owner, SEGMENT_HEADER_BYTES};
use super::index::Place;
use super::recover::Tail;
use super::segment::{Filling, PAGE_BYTES, Room, Segment, Spare};

/// Writes at the end of the log.
#[derive(Debug)]
pub(super) struct Appender {
    log: PathBuf,
    owner: Owner,
    room: Room,
    segment_bytes: u64,
    segment: Segment,
    end: Place,
    next_group: u64,
    spare: Option<Filling>,
    buffer: GroupBuffer,
}

/// A group that is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Committed {
    /// Where it begins.
    pub at: Place,
    /// Where it ends.
    pub end: Place,
    /// How many of the ops it holds, from the first on.
    pub ops: usize,
    /// How long the sync took.
    pub sync: Duration,
}

impl Appender {
    /// Continues at the end of a log that was read.
    pub(super) fn new(folder: &Folder, segment: Segment, end: Place, next_group: u64) -> Self {
        Self {
            log: folder.log.clone(),
            owner: folder.owner,
            room: folder.room.clone(),
            segment_bytes: folder.segment_bytes,
            segment,
            end,
            next_group,
            spare: None,
            buffer: GroupBuffer::default(),
        }
    }

    /// Makes the first of `ops` durable: as many as go into one group.
    pub(super) fn commit(&mut self, ops: &[Arc<Op>]) -> Result<Committed, LogError> {
        self.buffer.begin();
        let mut taken = 0;
        // A state begins a segment: nothing that is older shall stay because it is in the same one.
        let is_state = ops.first().is_some_and(|op| begins_state(op));
        let follows = |at: usize| at == 0 || !begins_state(&ops[at]);
        while taken < ops.len() && !self.buffer.is_full() && follows(taken) {
            self.buffer.push(&ops[taken]);
            taken += 1;
        }
        let bytes = self.buffer.bytes();
        let is_used = (SEGMENT_HEADER_BYTES as u64) < self.end.offset;
        if self.segment.bytes < self.end.offset + bytes {
            self.roll(bytes)?;
        } else if is_state && is_used {
            match self.roll(bytes) {
                // A full disk needs the state more than its place: older bytes stay for once.
                Ok(()) | Err(LogError::NoRoom { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let at = self.end;
        let Segment { file, path, bytes: room } = &self.segment;
        // Whole pages: the rest of the last one need not be read from disk first.
        let span = (at.offset + bytes).next_multiple_of(PAGE_BYTES).min(*room) - at.offset;
        let group = self.buffer.seal(self.owner, self.next_group, span);
        file.write_all_at(group, at.offset).at("write", path)?;
        let start = Instant::now();
        // After a failed sync nobody knows what is on disk, so that the caller must stop for good.
        fdatasync(file).at("sync", path)?;
        self.next_group += 1;
        self.end.offset += bytes;
        Ok(Committed { at, end: self.end, ops: taken, sync: start.elapsed() })
    }

    /// Sees to it that there is a reserve: half a segment, or the next one.
    pub(super) fn reserve(&mut self) -> Result<Disk, LogError> {
        if self.room.is_denied() {
            return Ok(Disk::Full); // A drill need not fill a segment first.
        }
        let free = self.segment.bytes.saturating_sub(self.end.offset);
        if self.spare.is_some() || self.segment_bytes / 2 <= free {
            return Ok(Disk::Ready);
        }
        match Spare::create(&self.log, self.segment_bytes, &self.room) {
            Ok(spare) => {
                self.spare = Some(Filling::start(spare).at("fill", &self.log)?);
                Ok(Disk::Ready)
            }
            Err(LogError::NoRoom { .. }) => Ok(Disk::Full),
            Err(error) => Err(error),
        }
    }

    /// Goes on in a new segment that has room for a group of `bytes`.
    fn roll(&mut self, bytes: u64) -> Result<(), LogError> {
        let needed = self.segment_bytes.max(SEGMENT_HEADER_BYTES as u64 + bytes);
        let mut spare = match self.spare.take() {
            Some(filling) => filling.finish(),
            None => Spare::create(&self.log, needed, &self.room)?,
        };
        spare.grow(needed, &self.room)?;
        let segment = spare.name(self.owner, self.next_group)?;
        let full = std::mem::replace(&mut self.segment, segment);
        // Gives back room that is not needed; a crash before it leaves zeros, which are harmless.
        let _ = full.file.set_len(self.end.offset);
        self.end = Place { segment: self.next_group, offset: SEGMENT_HEADER_BYTES as u64 };
        Ok(())
    }
}

impl Tail {
    /// Turns the end of the log that was read into the place to write at.
    pub(super) fn into_appender(self, folder: &Folder) -> (Appender, super::index::Index) {
        (Appender::new(folder, self.segment, self.end, self.next_group), self.index)
    }
}
