//! What can go wrong with a data folder and its log, and what to do about it.
//! Must not know who asks.

use std::io;
use std::path::{Path, PathBuf};

use photon_state::RegionId;
use photon_state::codec::{DecodeError, VERSION};

/// Why a data folder or its log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] DiskFailed),
    /// The folder was written by another version.
    #[error(
        "`{}` has format version `{found}`, and {VERSION} is expected; run the version of photon \
         that wrote the folder, or choose another data folder",
        path.display()
    )]
    Version {
        /// The file that says so.
        path: PathBuf,
        /// The version found.
        found: String,
    },
    /// The folder belongs to another region or planet.
    #[error(
        "`{}` belongs to the {what} `{found}`, and `{expected}` is expected; choose the data \
         folder of `{expected}`, or correct the {what} in the configuration",
        path.display()
    )]
    Owner {
        /// The file that says so.
        path: PathBuf,
        /// `planet` or `region`.
        what: &'static str,
        /// The name found.
        found: String,
        /// The name expected.
        expected: String,
    },
    /// Another process uses the folder.
    #[error(
        "`{}` is locked by {holder}; stop it, or choose another data folder",
        path.display()
    )]
    Locked {
        /// The lock.
        path: PathBuf,
        /// Who holds it, as far as is known.
        holder: String,
    },
    /// The file that describes the folder makes no sense.
    #[error(
        "`{}` holds `{found}` in line {line}, and {expected} is expected; restore the file from a \
         backup, or choose another data folder",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What stands there.
        found: String,
        /// What ought to.
        expected: &'static str,
    },
    /// There is a log, and nothing that says whose it is.
    #[error(
        "`{}` is missing although there is a log beside it; restore it from a backup, or choose \
         another data folder",
        path.display()
    )]
    NoMeta {
        /// The file that is missing.
        path: PathBuf,
    },
    /// A region that wrote here has halted, and may not start from here again.
    #[error("`{}` says that the region halted: {why}; choose another data folder", path.display())]
    Halted {
        /// The file that says so.
        path: PathBuf,
        /// Why it halted.
        why: String,
    },
    /// The log begins later than it may.
    #[error(
        "the log in `{}` lacks what comes before op {seq} of {stream:?}: segments are missing; put \
         them back, or start from an empty folder: the other regions give back what they have",
        path.display()
    )]
    Lacks {
        /// The data folder.
        path: PathBuf,
        /// The stream that has a gap.
        stream: photon_state::StreamId,
        /// An op behind the gap.
        seq: u64,
    },
    /// The log is damaged where no crash can have damaged it.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// The disk is full, and what was reserved for that case is used up.
    #[error(
        "the disk is full and the reserve of the log is used up: no room for `{}` of {bytes} \
         bytes; make room, then start again: nothing that was acknowledged is lost",
        path.display()
    )]
    NoRoom {
        /// The file.
        path: PathBuf,
        /// How large it has to be.
        bytes: u64,
    },
    /// A thread of the log has died.
    #[error("a thread of the log has died; its panic was printed before this")]
    Died,
}

/// Lists the names of regions.
pub(crate) fn names<'a>(regions: impl IntoIterator<Item = &'a RegionId>) -> String {
    regions.into_iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ")
}

/// A damaged log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the log is damaged at byte {offset} of `{}`: {what}; nothing was changed: move the \
     data folder away, and let the region start anew from its peers",
    path.display()
)]
pub struct Corrupt {
    /// The segment.
    pub path: PathBuf,
    /// Where.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
}

impl Corrupt {
    pub(super) fn new(path: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), offset, what: what.into() }
    }

    pub(super) fn undecodable(path: &Path, offset: u64, error: DecodeError) -> Self {
        Self::new(path, offset, format!("a record with a good checksum is a {error}"))
    }
}

/// The operating system refused something.
#[derive(Debug, thiserror::Error)]
#[error("failed to {act} `{}`", path.display())]
pub struct DiskFailed {
    /// What was tried.
    pub act: &'static str,
    /// On which file.
    pub path: PathBuf,
    /// What the operating system says.
    pub source: io::Error,
}

/// Names the file and the act to an error of the operating system.
pub(crate) trait At<T> {
    fn at(self, act: &'static str, path: &Path) -> Result<T, DiskFailed>;
}

impl<T, E: Into<io::Error>> At<T> for Result<T, E> {
    fn at(self, act: &'static str, path: &Path) -> Result<T, DiskFailed> {
        self.map_err(|error| DiskFailed { act, path: path.to_owned(), source: error.into() })
    }
}
