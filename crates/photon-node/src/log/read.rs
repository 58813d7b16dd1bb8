//! Reads ops of one stream back from the log, for peers that were away.
//! Must not read behind what is durable, nor hold up a commit.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use photon_state::{Op, StreamId};

use super::error::{At as _, Corrupt, LogError};
use super::format::{self, GROUP_HEADER_BYTES, Owner};
use super::index::{Index, Mark, Place};
use super::segment::{self, Window};

/// Reads the log beside the thread that writes it.
#[derive(Debug)]
pub(super) struct LogReader {
    log: PathBuf,
    owner: Owner,
    index: Arc<Mutex<Index>>,
}

/// What is read for one request.
struct Fetch {
    stream: StreamId,
    from: u64,
    bytes_left: usize,
    ops: Vec<Arc<Op>>,
}

impl LogReader {
    /// Reads in a folder of segments, by an index that the writer keeps.
    pub(super) fn new(log: PathBuf, owner: Owner, index: Arc<Mutex<Index>>) -> Self {
        Self { log, owner, index }
    }

    /// Returns ops of a stream from `from` on, in order: about `bytes_max` bytes, but one op at
    /// least.
    pub(super) fn fetch(
        &self,
        stream: StreamId,
        from: u64,
        bytes_max: usize,
    ) -> Result<Vec<Arc<Op>>, LogError> {
        let mut fetch = Fetch { stream, from, bytes_left: bytes_max.max(1), ops: Vec::new() };
        let first = self.index(|index| index.find(&stream, from));
        for place in first.. {
            let Some((mark, end)) =
                self.index(|index| index.mark(&stream, place).map(|it| (it, index.end())))
            else {
                break;
            };
            self.read_stretch(mark, end, &mut fetch)?;
            if fetch.bytes_left == 0 {
                break;
            }
        }
        Ok(fetch.ops)
    }

    /// Removes the segments before the one that holds an op; returns how many. The oldest goes
    /// first, so that a crash leaves a log without gaps.
    pub(super) fn truncate(&self, stream: &StreamId, seq: u64) -> Result<usize, LogError> {
        let Some(keep) = self.index(|index| index.segment_of(stream, seq)) else { return Ok(0) };
        self.index.lock().expect("no holder of the index panics").forget_before(keep);
        let mut removed = 0;
        for (first, path) in segment::list(&self.log)? {
            if first < keep {
                fs::remove_file(&path).at("remove", &path)?;
                removed += 1;
            }
        }
        segment::sync_folder(&self.log)?;
        Ok(removed)
    }

    /// Whether nothing that is older than an op is left before it.
    pub(super) fn begins_with(&self, stream: &StreamId, seq: u64) -> bool {
        self.index(|index| index.begins_segment(stream, seq))
    }

    fn index<R>(&self, read: impl FnOnce(&Index) -> R) -> R {
        read(&self.index.lock().expect("no holder of the index panics"))
    }

    /// Reads the groups that one mark stands for.
    fn read_stretch(&self, mark: Mark, end: Place, fetch: &mut Fetch) -> Result<(), LogError> {
        let path = segment::path(&self.log, mark.at.segment);
        let file = File::open(&path).at("open", &path)?;
        let mut window = Window::new(file, Index::STRETCH_BYTES as usize);
        let mut at = mark.at;
        while at < end && at.offset < mark.at.offset + Index::STRETCH_BYTES {
            let corrupt = |what| Corrupt::new(&path, at.offset, what);
            let header = window.bytes(at.offset, GROUP_HEADER_BYTES).at("read", &path)?;
            let Some(header) = self.owner.group_header(header) else {
                // A segment that is not the last ends where its groups end, or in zeros.
                let is_end = header.iter().all(|byte| *byte == 0) && at.segment < end.segment;
                return if is_end { Ok(()) } else { Err(corrupt("group header: damaged").into()) };
            };
            let start = at.offset + GROUP_HEADER_BYTES as u64;
            let payload = window.bytes(start, header.payload_bytes as usize).at("read", &path)?;
            let records = format::records(payload, header.records).map_err(corrupt)?;
            for record in records {
                let place = format::decode_place(record);
                let (stream, seq) =
                    place.map_err(|error| Corrupt::undecodable(&path, at.offset, error))?;
                if stream != fetch.stream || seq < fetch.from || fetch.bytes_left == 0 {
                    continue;
                }
                let op = format::decode(record)
                    .map_err(|error| Corrupt::undecodable(&path, at.offset, error))?;
                fetch.bytes_left = fetch.bytes_left.saturating_sub(op.weight());
                fetch.ops.push(op);
            }
            if fetch.bytes_left == 0 {
                return Ok(());
            }
            at.offset = start + u64::from(header.payload_bytes);
        }
        Ok(())
    }
}
