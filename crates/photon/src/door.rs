//! The file by which `photon up` tells a region what is wrong with it: its clock, its disk.
//! Must not be there for `photon serve` in production: only a hidden flag names the file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use photon_node::Faults;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::up::write_private;

/// How often a region looks into the file.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What is wrong with a region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FaultFile {
    /// How far its wall clock runs ahead; behind, if negative.
    pub(crate) clock_ms: i64,
    /// Whether its log finds no room on the disk.
    pub(crate) is_disk_full: bool,
}

/// Where the file is.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    path: PathBuf,
}

impl Door {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the file: for its owner alone, and never so that half of it could be read.
    pub(crate) fn write(&self, faults: &FaultFile) -> io::Result<()> {
        let text = toml::to_string(faults).map_err(io::Error::other)?;
        let draft = self.path.with_extension("tmp");
        write_private(&draft, &text)?;
        fs::rename(&draft, &self.path)
    }

    fn read(&self) -> io::Result<FaultFile> {
        toml::from_str(&fs::read_to_string(&self.path)?).map_err(io::Error::other)
    }

    /// Does to the faults of a node what the file says, for as long as the process lives.
    pub(crate) fn watch(self, faults: &'static Faults) -> io::Result<()> {
        let look = move || {
            let mut last = None;
            loop {
                match self.read() {
                    Ok(told) if last != Some(told) => {
                        faults.set_clock_ms(told.clock_ms);
                        faults.set_disk_full(told.is_disk_full);
                        if told != last.unwrap_or_default() {
                            warn!(told.clock_ms, told.is_disk_full, "a drill changes this region");
                        }
                        last = Some(told);
                    }
                    // What cannot be read changes nothing.
                    Ok(_) | Err(_) => {}
                }
                thread::sleep(LOOK_EVERY);
            }
        };
        thread::Builder::new().name("photon-faults".into()).spawn(look).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_written_is_read_and_nobody_else_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let door = Door::new(folder.path().join("faults"));
        for faults in [FaultFile::default(), FaultFile { clock_ms: -3_600_000, is_disk_full: true }]
        {
            door.write(&faults).unwrap();
            assert_eq!(door.read().unwrap(), faults);
        }
        let mode = fs::metadata(door.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
