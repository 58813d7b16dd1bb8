//! The data folder: whose it is, and that one process at a time uses it.
//! Must not know what the segments hold.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use photon_state::RegionId;
use photon_state::codec::VERSION;
use rustix::fs::{FlockOperation, flock};

use super::error::{At as _, DiskFailed, LogError};
use super::format::{Owner, SEGMENT_HEADER_BYTES};
use super::segment::{self, Room};
use crate::faults::Faults;

/// A data folder that this process owns until it drops it.
#[derive(Debug)]
pub(crate) struct Folder {
    /// Where the segments are.
    pub(super) log: PathBuf,
    pub(super) owner: Owner,
    pub(super) segment_bytes: u64,
    pub(super) room: Room,
    _lock: File,
}

/// What a folder must be.
#[derive(Clone, Debug)]
pub(crate) struct FolderOptions {
    /// Where it is.
    pub path: PathBuf,
    /// Whose it is.
    pub planet: String,
    /// Whose it is.
    pub region: RegionId,
    /// The size of its segments.
    pub segment_bytes: u64,
}

impl Folder {
    /// Opens the folder, and makes it when there is none.
    pub(crate) fn open(options: &FolderOptions) -> Result<Self, LogError> {
        Self::open_with(options, Room::default())
    }

    /// Opens the folder, on a disk that has no room when a drill says so.
    pub(crate) fn open_in_drill(
        options: &FolderOptions,
        faults: &'static Faults,
    ) -> Result<Self, LogError> {
        Self::open_with(options, Room::with(faults))
    }

    pub(super) fn open_with(options: &FolderOptions, room: Room) -> Result<Self, LogError> {
        let log = options.path.join("log");
        // Messages and results are nobody else's business on this machine.
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&log);
        made.at("make the folder", &log)?;
        let lock = lock(&options.path.join("lock"))?;
        let halted = options.path.join(HALTED);
        if let Ok(why) = fs::read_to_string(&halted) {
            return Err(LogError::Halted { path: halted, why: why.trim().to_owned() });
        }
        let meta = options.path.join("photon.meta");
        let incarnation = match fs::read_to_string(&meta) {
            Ok(text) => parse(&meta, &text, options)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create(&meta, &log, options, &room)?
            }
            Err(error) => return Err(DiskFailed { act: "read", path: meta, source: error }.into()),
        };
        let owner = Owner { region: options.region, incarnation };
        Ok(Self { log, owner, segment_bytes: options.segment_bytes, room, _lock: lock })
    }

    /// Returns the number that tells this log from others of the region.
    pub(crate) fn incarnation(&self) -> u64 {
        self.owner.incarnation
    }
}

/// The file that says why a region must not start from this folder again.
const HALTED: &str = "halted";

/// Sees to it that no region starts from a data folder again.
pub(crate) fn mark_halted(data: &Path, why: &str) -> Result<(), LogError> {
    let path = data.join(HALTED);
    let mut file = File::create(&path).at("create", &path)?;
    file.write_all(why.as_bytes()).and_then(|()| file.sync_all()).at("write", &path)?;
    Ok(segment::sync_folder(data)?)
}

/// Takes the lock; the operating system gives it back when the process ends, however it ends.
fn lock(path: &Path) -> Result<File, LogError> {
    let mut options = OpenOptions::new();
    let mut file =
        options.read(true).write(true).create(true).truncate(false).open(path).at("open", path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let pid = fs::read_to_string(path).unwrap_or_default();
            let holder = match pid.trim() {
                "" => "another process".to_owned(),
                pid => format!("process {pid}"),
            };
            return Err(LogError::Locked { path: path.to_owned(), holder });
        }
        Err(error) => {
            return Err(
                DiskFailed { act: "lock", path: path.to_owned(), source: error.into() }.into()
            );
        }
    }
    file.set_len(0).at("write", path)?;
    writeln!(file, "{}", std::process::id()).at("write", path)?;
    Ok(file)
}

/// Makes the first segment and then, as the last step, the file that says that all is there.
fn create(meta: &Path, log: &Path, options: &FolderOptions, room: &Room) -> Result<u64, LogError> {
    for (first, path) in segment::list(log)? {
        let used =
            File::open(&path).and_then(|file| segment::data_end(&file, 0)).at("read", &path)?;
        if 1 < first || (SEGMENT_HEADER_BYTES as u64) < used {
            return Err(LogError::NoMeta { path: meta.to_owned() });
        }
        fs::remove_file(&path).at("remove", &path)?; // An earlier first start was interrupted.
    }
    let owner = Owner { region: options.region, incarnation: crate::random::number() };
    segment::Spare::create(log, options.segment_bytes, room)?.name(owner, 1)?;
    let text = format!(
        "version {VERSION}\nplanet {}\nregion {}\nincarnation {:016x}\n",
        options.planet.escape_default(),
        owner.region,
        owner.incarnation
    );
    let draft = meta.with_extension("meta.tmp");
    let mut file = File::create(&draft).at("create", &draft)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).at("write", &draft)?;
    fs::rename(&draft, meta).at("rename", &draft)?;
    segment::sync_folder(&options.path)?;
    Ok(owner.incarnation)
}

/// Checks that the folder is the one that is expected, and returns its incarnation.
fn parse(path: &Path, text: &str, options: &FolderOptions) -> Result<u64, LogError> {
    let mut lines = (1..).zip(text.lines().chain(std::iter::repeat("")));
    let mut value = |key: &str, expected: &'static str| {
        let (number, line) = lines.next().expect("the lines are followed by empty ones");
        let value = line.strip_prefix(key).and_then(|rest| rest.strip_prefix(' '));
        value.map(str::to_owned).ok_or_else(|| LogError::Unreadable {
            path: path.to_owned(),
            line: number,
            found: line.chars().take(80).collect(),
            expected,
        })
    };
    let found = value("version", "`version` and a number")?;
    if found != VERSION.to_string() {
        return Err(LogError::Version { path: path.to_owned(), found });
    }
    let owns = [
        ("planet", "`planet` and a name", options.planet.escape_default().to_string()),
        ("region", "`region` and a name", options.region.to_string()),
    ];
    for (what, shape, expected) in owns {
        let found = value(what, shape)?;
        if found != expected {
            return Err(LogError::Owner { path: path.to_owned(), what, found, expected });
        }
    }
    let shape = "`incarnation` and 16 hexadecimal digits";
    let found = value("incarnation", shape)?;
    u64::from_str_radix(&found, 16).map_err(|_| LogError::Unreadable {
        path: path.to_owned(),
        line: 4,
        found,
        expected: shape,
    })
}
