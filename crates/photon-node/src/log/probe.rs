//! A log without a node: to write it, to damage it from outside, and to read it back.
//! Must not be used by a running region.

use std::path::PathBuf;
use std::sync::Arc;

use photon_state::{Op, RegionId};

use super::ahead;
use super::error::LogError;
use super::folder::{Folder, FolderOptions};
use super::recover::Recovered;

/// The log of a data folder.
#[derive(Debug)]
pub struct LogProbe(FolderOptions);

impl LogProbe {
    /// Looks at a folder, which need not be there yet.
    #[must_use]
    pub fn new(path: PathBuf, region: RegionId, segment_bytes: u64) -> Self {
        Self(FolderOptions { path, planet: "probe".into(), region, segment_bytes })
    }

    /// Reads the log as a start does, and returns its ops.
    pub fn recover(&self) -> Result<(Vec<Arc<Op>>, Recovered), LogError> {
        let mut ops = Vec::new();
        let folder = Folder::open(&self.0)?;
        let (_, recovered) = ahead::recover(&folder, |op: Arc<Op>| ops.push(op))?;
        Ok((ops, recovered))
    }

    /// Adds groups of ops to the end of the log.
    pub fn write(&self, groups: &[Vec<Arc<Op>>]) -> Result<(), LogError> {
        let folder = Folder::open(&self.0)?;
        let (tail, _) = ahead::recover(&folder, |_: Arc<Op>| {})?;
        let (mut appender, _) = tail.into_appender(&folder);
        for group in groups {
            let committed = appender.commit(group)?;
            assert_eq!(committed.ops, group.len(), "a group of a probe is short");
        }
        Ok(())
    }
}
