//! Segments as files: their names, their room on disk, and reading them through a window.
//! Must not know what a group means.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};
use rustix::io::Errno;
use tracing::warn;

use super::error::{At as _, Corrupt, DiskFailed, LogError};
use super::format::{Owner, SEGMENT_HEADER_BYTES};
use crate::faults::{Faults, NO_FAULTS};

/// How much is overwritten at once: so long may a group, or a roll, wait for a spare to be filled.
const WIPED_AT_ONCE: usize = 256 << 10;
/// What is written where zeros are wanted.
static ZEROS: Zeros = Zeros([0; WIPED_AT_ONCE]);
/// What a file system reads and writes at once. A write of whole pages need not read them first.
pub(super) const PAGE_BYTES: u64 = 4096;

/// Zeros, aligned as writes past the page cache have to be.
#[repr(align(4096))]
struct Zeros([u8; WIPED_AT_ONCE]);

/// Returns the path of the segment that begins with group `first`.
pub(super) fn path(log: &Path, first: u64) -> PathBuf {
    log.join(format!("{first:020}.seg"))
}

/// Lists the segments with the numbers of their first groups, in order.
pub(super) fn list(log: &Path) -> Result<Vec<(u64, PathBuf)>, LogError> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(log).at("list", log)? {
        let file = entry.at("list", log)?.path();
        if file.extension().is_none_or(|it| it != "seg") {
            continue;
        }
        let stem = file.file_stem().and_then(|it| it.to_str()).unwrap_or_default();
        match stem.parse() {
            Ok(first) if path(log, first) == file => segments.push((first, file)),
            Ok(_) | Err(_) => return Err(Corrupt::new(&file, 0, "not a name of a segment").into()),
        }
    }
    segments.sort();
    Ok(segments)
}

/// Makes a change of names in a folder durable.
pub(super) fn sync_folder(path: &Path) -> Result<(), DiskFailed> {
    File::open(path).and_then(|folder| folder.sync_all()).at("sync", path)
}

/// Returns where the data of a file ends: behind its last byte that is not zero, at `from` at the
/// least.
pub(super) fn data_end(file: &File, from: u64) -> io::Result<u64> {
    let (mut at, mut end) = (from, from);
    let mut buffer = vec![0; 256 << 10];
    loop {
        // Room that was reserved and never written is a hole, which need not be read.
        match seek(file, SeekFrom::Data(at)) {
            Ok(data) => at = data,
            Err(Errno::NXIO) => return Ok(end),
            Err(_) => {} // Not every file system knows its holes.
        }
        let count = match file.read_at(&mut buffer, at) {
            Ok(0) => return Ok(end),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if let Some(last) = buffer[..count].iter().rposition(|byte| *byte != 0) {
            end = at + last as u64 + 1;
        }
        at += count as u64;
    }
}

/// Overwrites a range with zeros.
pub(super) fn wipe(file: &File, from: u64, to: u64) -> io::Result<()> {
    let mut at = from;
    while at < to {
        at += wipe_some(file, at, to)?;
    }
    Ok(())
}

/// Overwrites the start of a range with zeros; returns how much of it.
fn wipe_some(file: &File, from: u64, to: u64) -> io::Result<u64> {
    let count = (to - from).min(ZEROS.0.len() as u64);
    file.write_all_at(&ZEROS.0[..usize::try_from(count).expect("at most its length")], from)?;
    Ok(count)
}

/// Takes room on disk. Tests give it a quota, and drills a fault, in place of a disk that is full.
#[derive(Clone, Debug)]
pub(super) struct Room {
    quota: Option<Arc<AtomicU64>>,
    faults: &'static Faults,
}

impl Default for Room {
    fn default() -> Self {
        Self::with(&NO_FAULTS)
    }
}

impl Room {
    /// Takes room until a drill says that there is none.
    pub(super) fn with(faults: &'static Faults) -> Self {
        Self { quota: None, faults }
    }

    /// Whether a drill says that there is no room, not even what is reserved.
    pub(super) fn is_denied(&self) -> bool {
        self.faults.is_disk_full()
    }

    /// Makes a room that pretends to be a disk with this many bytes free.
    #[cfg(test)]
    pub(super) fn of(bytes: u64) -> (Self, Arc<AtomicU64>) {
        let quota = Arc::new(AtomicU64::new(bytes));
        (Self { quota: Some(Arc::clone(&quota)), faults: &NO_FAULTS }, quota)
    }

    /// Grows a file to `to` bytes of zeros that cannot fail later for want of room.
    fn grow(&self, file: &File, from: u64, to: u64) -> Result<(), Errno> {
        if self.is_denied() {
            return Err(Errno::NOSPC);
        }
        if let Some(quota) = &self.quota {
            let take = |free: u64| free.checked_sub(to - from);
            quota
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                .map_err(|_| Errno::NOSPC)?;
        }
        loop {
            match fallocate(file, FallocateFlags::empty(), from, to - from) {
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => break,
                done => return done,
            }
        }
        wipe(file, from, to).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }
}

/// A segment that has room and no name yet. A crash leaves it behind for the next start to remove.
#[derive(Debug)]
pub(super) struct Spare {
    file: File,
    /// The same, for writes past the page cache; `None` where the file system has no such writes.
    direct: Option<File>,
    path: PathBuf,
    bytes: u64,
}

/// A spare that is being filled with zeros, on a thread of its own. Dropping it ends the thread.
#[derive(Debug)]
pub(super) struct Filling {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Spare>>,
}

impl Filling {
    /// Begins to fill a spare.
    pub(super) fn start(spare: Spare) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let name = thread::Builder::new().name("photon-spare".into());
        let thread = name.spawn(move || {
            if let Err(error) = spare.fill(&until) {
                // Its room is reserved all the same; only syncs will be slower.
                warn!(%error, "the next segment of the log could not be filled with zeros");
            }
            spare
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Stops, and returns the spare as far as it is filled: reserved is all of it.
    pub(super) fn finish(mut self) -> Spare {
        let ended = self.end().expect("only this and the drop end it");
        ended.expect("filling does not panic")
    }

    fn end(&mut self) -> Option<thread::Result<Spare>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join)
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        // Whoever opens the folder next must be the only one who writes there.
        let _ = self.end();
    }
}

/// A segment with its name.
#[derive(Debug)]
pub(super) struct Segment {
    /// The file, open for reading and writing.
    pub file: File,
    /// Where it is.
    pub path: PathBuf,
    /// Its room.
    pub bytes: u64,
}

impl Spare {
    /// Reserves the room of a segment.
    pub(super) fn create(log: &Path, bytes: u64, room: &Room) -> Result<Self, LogError> {
        let path = log.join("next.tmp");
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).open(&path);
        let file = file.at("create", &path)?;
        let direct = rustix::fs::OFlags::DIRECT.bits().cast_signed();
        let direct = OpenOptions::new().write(true).custom_flags(direct).open(&path).ok();
        let mut spare = Self { file, direct, path, bytes: 0 };
        match spare.grow(bytes, room) {
            Ok(()) => Ok(spare),
            Err(error) => {
                // It may hold some of the room that others need; the first error is what matters.
                let _ = fs::remove_file(&spare.path);
                Err(error)
            }
        }
    }

    /// Sees to it that there is room for `bytes`.
    pub(super) fn grow(&mut self, bytes: u64, room: &Room) -> Result<(), LogError> {
        if bytes <= self.bytes {
            return Ok(());
        }
        match room.grow(&self.file, self.bytes, bytes) {
            Ok(()) => {
                self.bytes = bytes;
                Ok(())
            }
            Err(Errno::NOSPC | Errno::DQUOT) => {
                Err(LogError::NoRoom { path: self.path.clone(), bytes })
            }
            Err(error) => Err(DiskFailed {
                act: "reserve the room of",
                path: self.path.clone(),
                source: error.into(),
            }
            .into()),
        }
    }

    /// Overwrites its room with zeros, until it is told to stop.
    ///
    /// A write into room that was only reserved makes the file system note in its journal that the
    /// room is in use, with each sync; a write over zeros syncs its own bytes alone. The zeros go
    /// past the page cache and in small pieces, because groups are committed at the same time.
    fn fill(&self, stop: &AtomicBool) -> io::Result<()> {
        let Some(file) = &self.direct else { return Ok(()) };
        let (mut at, to) = (0, self.bytes - self.bytes % PAGE_BYTES);
        while at < to && !stop.load(Ordering::Relaxed) {
            at += match wipe_some(file, at, to) {
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(()),
                wiped => wiped?,
            };
        }
        Ok(())
    }

    /// Makes it the segment that begins with group `first`. The name appears after the header is
    /// durable.
    pub(super) fn name(self, owner: Owner, first: u64) -> Result<Segment, LogError> {
        let log = self.path.parent().expect("a spare lies in a folder").to_owned();
        let header = owner.segment_header(first);
        self.file.write_all_at(&header, 0).at("write", &self.path)?;
        self.file.sync_all().at("sync", &self.path)?;
        let path = path(&log, first);
        fs::rename(&self.path, &path).at("rename", &self.path)?;
        sync_folder(&log)?;
        Ok(Segment { file: self.file, path, bytes: self.bytes })
    }
}

/// Reads a file at any place, ahead of what is asked for.
#[derive(Debug)]
pub(super) struct Window {
    file: File,
    start: u64,
    bytes: Vec<u8>,
    ahead: usize,
}

impl Window {
    /// Looks at a file, and reads at least `ahead` bytes at a time.
    pub(super) fn new(file: File, ahead: usize) -> Self {
        Self { file, start: 0, bytes: Vec::new(), ahead: ahead.max(SEGMENT_HEADER_BYTES) }
    }

    /// Returns the file.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Returns `len` bytes from `at` on; fewer where the file ends.
    pub(super) fn bytes(&mut self, at: u64, len: usize) -> io::Result<&[u8]> {
        let end = self.start + self.bytes.len() as u64;
        if at < self.start || end < at + len as u64 {
            self.fill(at, len.max(self.ahead))?;
        }
        let from = usize::try_from(at - self.start).expect("within the window");
        let to = self.bytes.len().min(from + len);
        Ok(&self.bytes[from..to])
    }

    fn fill(&mut self, at: u64, len: usize) -> io::Result<()> {
        // A length that is damaged makes nobody allocate more than the file has.
        let left = self.file.metadata()?.len().saturating_sub(at);
        let len = len.min(usize::try_from(left).unwrap_or(usize::MAX));
        self.start = at;
        self.bytes.resize(len, 0);
        let mut filled = 0;
        while filled < len {
            match self.file.read_at(&mut self.bytes[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.bytes.clear();
                    return Err(error);
                }
            }
        }
        self.bytes.truncate(filled);
        Ok(())
    }
}
