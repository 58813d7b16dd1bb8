//! The file on which records lie that have no room in memory.
//! Must not know what a page holds, nor be needed after the process: the log has all records.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use photon_state::{PAGE_BYTES, Pages};
use tracing::{info, warn};

use crate::log::{At as _, LogError};

/// A file of pages without a name: however the process ends, the system takes it back.
#[derive(Debug)]
pub(crate) struct Pagefile {
    /// What it was called, to tell of it.
    path: PathBuf,
    file: File,
    /// The checksum of each page.
    sums: Vec<u32>,
    is_full: bool,
    /// Bytes of the disk that it leaves to the log.
    reserve: u64,
    /// Pages by which it may grow until it asks the disk again.
    granted: u64,
}

const EMPTY: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

fn offset(page: u32) -> u64 {
    u64::from(page) * PAGE_BYTES as u64
}

impl Pagefile {
    /// By how many pages it grows until it asks the disk again how much room there is.
    const GRANTED: u64 = 1_024;
    /// Bytes that are left beside the next two segments of the log.
    const SLACK: u64 = 16 << 20;

    /// Makes an empty one in a data folder, which leaves room on the disk for two segments of the
    /// log: without them nothing could be written any more, not even what removes records.
    pub(crate) fn create(data: &Path, segment_bytes: u64) -> Result<Self, LogError> {
        let path = data.join("pages");
        let mut options = OpenOptions::new();
        // One that has a name was left by an earlier version.
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(&path).at("create", &path)?;
        fs::remove_file(&path).at("take the name from", &path)?;
        let reserve = segment_bytes.saturating_mul(2).saturating_add(Self::SLACK);
        Ok(Self { path, file, sums: Vec::new(), is_full: false, reserve, granted: 0 })
    }

    /// Sees to it that there is room for one page more, beside what is left to the log.
    fn grow(&mut self) -> io::Result<()> {
        if self.granted == 0 {
            let disk = rustix::fs::fstatvfs(&self.file)?;
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let needed = self.reserve.saturating_add(Self::GRANTED * PAGE_BYTES as u64);
            // Some file systems do not know how large they are.
            if disk.f_blocks != 0 && free < needed {
                let why =
                    format!("{free} bytes are free, and {} are left to the log", self.reserve);
                return Err(io::Error::new(io::ErrorKind::StorageFull, why));
            }
            self.granted = Self::GRANTED;
        }
        self.granted -= 1;
        Ok(())
    }

    /// Ends the process: what is lost cannot be had but from the log, and what cannot be erased
    /// must not be served on.
    fn give_up(&self, act: &str, page: u32, why: &dyn std::fmt::Display) -> ! {
        panic!(
            "cannot {act} page {page} of {}: {why}; check the disk, then start the region again: \
             its log has all records",
            self.path.display()
        )
    }

    fn tell(&mut self, result: &io::Result<()>) {
        let is_full = result.is_err();
        if self.is_full != is_full {
            self.is_full = is_full;
            let file = self.path.display();
            match result {
                Ok(()) => info!(%file, "there is room for pages again"),
                Err(error) => {
                    warn!(%file, %error, "a page cannot be written: records stay in memory");
                }
            }
        }
    }
}

impl Pages for Pagefile {
    fn write(&mut self, page: u32, bytes: &[u8; PAGE_BYTES]) -> bool {
        let at = page as usize;
        let grows = self.sums.len() <= at;
        let room = if grows { self.grow() } else { Ok(()) };
        let written = room.and_then(|()| self.file.write_all_at(bytes, offset(page)));
        if grows || written.is_err() {
            self.tell(&written); // That a page fits which it has says nothing of the disk.
        }
        if written.is_err() {
            return false;
        }
        if self.sums.len() <= at {
            self.sums.resize(at + 1, 0);
        }
        self.sums[at] = crc32c::crc32c(bytes);
        true
    }

    fn read(&self, page: u32, into: &mut [u8; PAGE_BYTES]) {
        if let Err(error) = self.file.read_exact_at(into, offset(page)) {
            self.give_up("read", page, &error);
        }
        if self.sums.get(page as usize) != Some(&crc32c::crc32c(into)) {
            self.give_up("read", page, &"its checksum does not fit");
        }
    }

    fn erase(&mut self, page: u32) {
        if let Err(error) = self.file.write_all_at(&EMPTY, offset(page)) {
            self.give_up("erase", page, &error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT_BYTES: u64 = 1 << 20;

    fn create() -> (tempfile::TempDir, Pagefile) {
        let folder = tempfile::tempdir().unwrap();
        let pages = Pagefile::create(folder.path(), SEGMENT_BYTES).unwrap();
        (folder, pages)
    }

    #[test]
    fn a_page_comes_back_and_leaves_nothing_behind() {
        let (_folder, mut pages) = create();
        assert!(pages.write(3, &[7; PAGE_BYTES]));
        let mut read = EMPTY;
        pages.read(3, &mut read);
        assert_eq!(read, [7; PAGE_BYTES]);
        pages.erase(3);
        let mut all = [1; 4 * PAGE_BYTES];
        pages.file.read_exact_at(&mut all, 0).unwrap();
        assert_eq!(all, [0; 4 * PAGE_BYTES]);
    }

    #[test]
    fn the_file_has_no_name_while_it_is_used() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("pages"), "left by an earlier version").unwrap();
        let mut pages = Pagefile::create(folder.path(), SEGMENT_BYTES).unwrap();
        assert!(pages.write(0, &[7; PAGE_BYTES]));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    #[should_panic(expected = "its checksum does not fit")]
    fn a_damaged_page_ends_the_process() {
        let (_folder, mut pages) = create();
        assert!(pages.write(0, &[7; PAGE_BYTES]));
        pages.file.write_all_at(b"8", 100).unwrap();
        pages.read(0, &mut [0; PAGE_BYTES]);
    }

    #[test]
    fn a_page_that_cannot_be_written_is_said_to_have_no_room() {
        let (folder, mut pages) = create();
        let path = folder.path().join("not to be written");
        fs::write(&path, "").unwrap();
        pages.file = File::open(path).unwrap();
        assert!(!pages.write(0, &[7; PAGE_BYTES]) && pages.is_full);
    }

    #[test]
    fn what_the_log_needs_of_the_disk_is_left_to_it() {
        let (_folder, mut pages) = create();
        assert!(pages.write(0, &[7; PAGE_BYTES]));
        (pages.reserve, pages.granted) = (u64::MAX, 0);
        assert!(!pages.write(1, &[8; PAGE_BYTES]) && pages.is_full);
        pages.erase(0);
        assert!(pages.write(0, &[9; PAGE_BYTES]), "a page that it has needs no more room");
        pages.reserve = 0;
        assert!(pages.write(1, &[8; PAGE_BYTES]) && !pages.is_full);
    }
}
