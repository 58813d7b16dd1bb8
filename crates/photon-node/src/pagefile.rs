//! The file on which records lie that have no room in memory.
//! Must not know what a page holds, nor be needed after the process: the log has all records.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use photon_state::{PAGE_BYTES, Pages};
use tracing::{info, warn};

use crate::log::{At as _, LogError};

/// A file of pages that goes when it is dropped. What a process left that was killed goes when the
/// next one starts.
#[derive(Debug)]
pub(crate) struct Pagefile {
    path: PathBuf,
    file: File,
    /// The checksum of each page.
    sums: Vec<u32>,
    is_full: bool,
}

const EMPTY: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

fn offset(page: u32) -> u64 {
    u64::from(page) * PAGE_BYTES as u64
}

impl Pagefile {
    /// Makes an empty one in a data folder.
    pub(crate) fn create(data: &Path) -> Result<Self, LogError> {
        let path = data.join("pages");
        let mut options = OpenOptions::new();
        // An old one is emptied.
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(&path).at("create", &path)?;
        Ok(Self { path, file, sums: Vec::new(), is_full: false })
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
        let written = self.file.write_all_at(bytes, offset(page));
        self.tell(&written);
        if written.is_err() {
            return false;
        }
        let at = page as usize;
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

impl Drop for Pagefile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            warn!(file = %self.path.display(), %error, "cannot remove the file of pages");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_comes_back_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("pages"), "left by an earlier process").unwrap();
        let mut pages = Pagefile::create(folder.path()).unwrap();
        assert!(pages.write(3, &[7; PAGE_BYTES]));
        let mut read = EMPTY;
        pages.read(3, &mut read);
        assert_eq!(read, [7; PAGE_BYTES]);
        pages.erase(3);
        assert_eq!(fs::read(folder.path().join("pages")).unwrap(), [0; 4 * PAGE_BYTES]);
        drop(pages);
        assert!(!folder.path().join("pages").exists());
    }

    #[test]
    #[should_panic(expected = "its checksum does not fit")]
    fn a_damaged_page_ends_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let mut pages = Pagefile::create(folder.path()).unwrap();
        assert!(pages.write(0, &[7; PAGE_BYTES]));
        pages.file.write_all_at(b"8", 100).unwrap();
        pages.read(0, &mut [0; PAGE_BYTES]);
    }

    #[test]
    fn a_page_that_cannot_be_written_is_said_to_have_no_room() {
        let folder = tempfile::tempdir().unwrap();
        let mut pages = Pagefile::create(folder.path()).unwrap();
        pages.file = File::open(folder.path().join("pages")).unwrap();
        assert!(!pages.write(0, &[7; PAGE_BYTES]) && pages.is_full);
    }
}
