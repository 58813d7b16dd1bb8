//! The folder of a planet: whose it is, that one `photon up` at a time uses it, how it is emptied.
//! Must not know what regions keep in theirs.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use photon_state::RegionId;

use crate::config::state_folder;
use crate::exit::{RefusedError, UsageError};

/// The file by which the folder of a planet is known.
const MARK: &str = "planet.mark";
const MARK_TEXT: &str = "The folder of a planet that `photon up` runs.\n";
const LOCK: &str = "up.lock";
const SOCKET: &str = "up.sock";

/// The folder of a planet.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

/// The right to use a folder; it ends with the process, however that ends.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held for its lock")] File);

impl Folder {
    /// Names the folder that the user chose, or the default one.
    pub(crate) fn choose(path: Option<&Path>) -> Result<Self> {
        let path = match path {
            Some(path) => std::path::absolute(path).context("failed to find the working folder")?,
            None => state_folder(|name| std::env::var_os(name))
                .map_err(|_| UsageError("there is no home folder: give one with --data".into()))?
                .join("photon/dev"),
        };
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns where `photon up` listens for `photon region`.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path.join(SOCKET)
    }

    /// Returns where a region keeps its state, its configuration and its log.
    pub(super) fn region(&self, region: RegionId) -> PathBuf {
        self.path.join(region.as_str())
    }

    /// Returns where the certificates of all regions lie: a region's own folder may be moved away.
    pub(super) fn certificates(&self) -> PathBuf {
        self.path.join("tls")
    }

    /// Returns where the key lies that all regions sign Agent Cards with.
    pub(super) fn card_key(&self) -> PathBuf {
        self.path.join("card.key")
    }

    /// Takes the folder into use, and makes it if there is none: for its owner's eyes only.
    pub(super) fn open(&self) -> Result<Lock> {
        let shown = self.path.display();
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.path);
        made.with_context(|| format!("failed to make `{shown}`"))?;
        self.check_mark()?;
        let mark = self.path.join(MARK);
        fs::write(mark, MARK_TEXT).with_context(|| format!("failed to write into `{shown}`"))?;
        self.lock()
    }

    /// Refuses a folder in which there is something, but no planet.
    fn check_mark(&self) -> Result<()> {
        let shown = self.path.display();
        let mut entries =
            self.path.read_dir().with_context(|| format!("failed to read `{shown}`"))?;
        if entries.next().is_none() || self.path.join(MARK).is_file() {
            return Ok(());
        }
        let text = format!(
            "`{shown}` is not empty and holds no planet: choose an empty folder with --data"
        );
        Err(RefusedError(text).into())
    }

    fn lock(&self) -> Result<Lock> {
        let path = self.path.join(LOCK);
        let shown = path.display();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).with_context(|| format!("failed to open `{shown}`"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // Whose it is helps; that it is taken is enough.
                let _ = file.read_to_string(&mut pid);
                let text = format!(
                    "another `photon up` (process {}) runs the planet in `{}`: stop it, or choose \
                     another folder with --data and other ports with --base-port",
                    pid.trim(),
                    self.path.display()
                );
                return Err(RefusedError(text).into());
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("failed to lock `{shown}`"));
            }
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .with_context(|| format!("failed to write `{shown}`"))?;
        Ok(Lock(file))
    }

    /// Removes the regions' folders, and nothing that is not known to be one.
    pub(super) fn empty(&self) -> Result<()> {
        let shown = self.path.display();
        self.remove_regions().with_context(|| format!("failed to empty `{shown}`"))
    }

    fn remove_regions(&self) -> io::Result<()> {
        for entry in self.path.read_dir()? {
            let entry = entry?;
            let name = entry.file_name();
            let is_named = name.to_str().is_some_and(|it| RegionId::try_from(it).is_ok());
            let is_folder = entry.file_type()?.is_dir();
            if is_named && is_folder && entry.path().join("photon.toml").is_file() {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A new folder, which goes when the test ends.
    fn folder() -> (tempfile::TempDir, Folder) {
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder::choose(Some(temp.path())).unwrap();
        (temp, folder)
    }

    fn check_refused(folder: &Folder, expected: &str) {
        let text = folder.open().unwrap_err().to_string();
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn a_folder_with_other_things_in_it_is_refused_and_left_alone() {
        let (_temp, folder) = folder();
        let other = folder.path().join("thesis.tex");
        fs::write(&other, "years of work").unwrap();
        check_refused(&folder, "holds no planet");
        assert!(other.exists());
    }

    #[test]
    fn a_second_planet_in_the_same_folder_is_refused() {
        let (_temp, folder) = folder();
        let lock = folder.open().unwrap();
        check_refused(&folder, &format!("process {}", std::process::id()));
        drop(lock);
        folder.open().unwrap();
    }

    #[test]
    fn a_fresh_planet_has_no_regions_left_but_keeps_what_is_none() {
        let (_temp, folder) = folder();
        drop(folder.open().unwrap());
        let [region, other] = ["eu-west-1", "notes"].map(|it| folder.path().join(it));
        for path in [&region, &other] {
            fs::create_dir(path).unwrap();
        }
        fs::write(region.join("photon.toml"), "").unwrap();
        drop(folder.open().unwrap());
        assert!(region.exists());
        folder.empty().unwrap();
        assert!(!region.exists() && other.exists());
    }
}
