//! Reading the log at a start: every whole group, and what to make of one that is not whole.
//! Must not guess: what no crash explains is an error.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use photon_state::Op;
use tracing::warn;

use super::error::{At as _, Corrupt, LogError};
use super::folder::Folder;
use super::format::{
    self, GROUP_HEADER_BYTES, GROUP_MAGIC, GroupHeader, Owner, SEGMENT_HEADER_BYTES,
};
use super::index::{Index, Place};
use super::segment::{self, Segment, Window};

/// What is read at once.
const READ_BYTES: usize = 256 << 10;

/// What a start found in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Ops that were replayed.
    pub ops: u64,
    /// Groups that they lay in.
    pub groups: u64,
    /// Bytes of segments that are in use.
    pub bytes: u64,
    /// What was cut off, if a crash tore the last group.
    pub torn: Option<Torn>,
}

/// The tail of a log that a crash tore. Nobody was told that it is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The segment.
    pub path: PathBuf,
    /// Where the tail began.
    pub offset: u64,
    /// How long it was.
    pub bytes: u64,
}

/// A log that was read to its end.
#[derive(Debug)]
pub(super) struct Tail {
    /// The last segment.
    pub segment: Segment,
    /// Where the next group goes.
    pub end: Place,
    /// The number of the next group.
    pub next_group: u64,
    /// Where everything lies.
    pub index: Index,
}

/// Ops that were read, as their taker wants them.
#[derive(Debug)]
pub(super) struct Batch<T> {
    /// The ops, in the order of the log.
    pub ops: Vec<T>,
    /// How far the log was read before, in bytes, and how far it goes at the most.
    pub read: (u64, u64),
}

impl<T> Batch<T> {
    /// Ops that are given together, if their groups are small.
    const OPS_MIN: usize = 1 << 10;
    /// Bytes of groups after which a batch is given although it has few ops.
    const BYTES_MIN: u64 = 1 << 20;
}

/// Reads the whole log, gives each op to whoever takes them, and cuts off a torn tail.
pub(super) fn read<T: From<Arc<Op>>>(
    folder: &Folder,
    to: &SyncSender<Batch<T>>,
) -> Result<(Tail, Recovered), LogError> {
    let segments = segment::list(&folder.log)?;
    let (Some((last, last_path)), Some((first, _))) = (segments.last(), segments.first()) else {
        return Err(
            Corrupt::new(&segment::path(&folder.log, 1), 0, "the segment is missing").into()
        );
    };
    let mut found = Recovered::default();
    let mut index = Index::default();
    // What came before the first segment is not needed: what follows stands for it.
    let mut next_group = *first;
    let (mut end, mut group) = (Place::default(), 0..0);
    let all = segments.iter().map(|(_, path)| Ok(fs::metadata(path).at("look at", path)?.len()));
    let all = all.sum::<Result<u64, LogError>>()?;
    let ops_min = Batch::<T>::OPS_MIN;
    let mut batch = Batch { ops: Vec::with_capacity(ops_min), read: (0, all) };
    let mut ops = Vec::new();
    for (first, path) in &segments {
        if *first != next_group {
            let missing = segment::path(&folder.log, next_group);
            return Err(Corrupt::new(&missing, 0, "the segment is missing").into());
        }
        let mut scan = Scan::open(folder.owner, *first, path)?;
        let mut start = scan.at;
        while let Some(offset) = scan.next(next_group, &mut ops)? {
            start = offset;
            let at = Place { segment: *first, offset };
            ops.iter().for_each(|op| index.note(op.stream, op.seq, at));
            found.ops += ops.len() as u64;
            batch.ops.extend(ops.drain(..).map(T::from));
            next_group += 1;
            found.groups += 1;
            let read = found.bytes + scan.at;
            let bytes = read - batch.read.0;
            if ops_min <= batch.ops.len() || Batch::<T>::BYTES_MIN <= bytes {
                let next = Batch { ops: Vec::with_capacity(ops_min), read: (read, all) };
                give(to, std::mem::replace(&mut batch, next))?;
            }
        }
        if let Some(torn) = scan.torn(next_group)? {
            if first != last {
                let what = "damaged, and it is not the last segment";
                return Err(Corrupt::new(path, torn.offset, what).into());
            }
            cut(&torn).at("cut the torn tail off", path)?;
            warn!(
                file = %path.display(), offset = torn.offset, bytes = torn.bytes,
                "the last group of the log was torn by a crash and is cut off"
            );
            found.torn = Some(torn);
        }
        end = Place { segment: *first, offset: scan.at };
        group = start..scan.at;
        found.bytes += scan.at;
    }
    give(to, batch)?;
    index.advance(end);
    let segment = reopen(last_path, group).at("open", last_path)?;
    remove_spare(&folder.log)?;
    Ok((Tail { segment, end, next_group, index }, found))
}

/// Gives ops to whoever takes them; fails when nobody does any more.
fn give<T>(to: &SyncSender<Batch<T>>, batch: Batch<T>) -> Result<(), LogError> {
    to.send(batch).map_err(|_| LogError::Died)
}

/// Opens the last segment again. `last` is where its last group begins and ends.
fn reopen(path: &Path, last: Range<u64>) -> io::Result<Segment> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    // A process that was killed between a write and its sync left a group that we could read and
    // that a loss of power would still take: what is recovered counts as durable. If the sync has
    // failed, the system may take the group for written: so it is written once more.
    let mut group = vec![0; usize::try_from(last.end - last.start).map_err(io::Error::other)?];
    file.read_exact_at(&mut group, last.start)?;
    file.write_all_at(&group, last.start)?;
    file.sync_all()?;
    let bytes = file.metadata()?.len();
    Ok(Segment { file, path: path.to_owned(), bytes })
}

fn remove_spare(log: &Path) -> Result<(), LogError> {
    let path = log.join("next.tmp");
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at("remove", &path)?,
        Ok(()) | Err(_) => Ok(()),
    }
}

fn cut(torn: &Torn) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(&torn.path)?;
    segment::wipe(&file, torn.offset, torn.offset + torn.bytes)?;
    file.sync_all()
}

/// Walks through one segment, group by group.
struct Scan<'a> {
    owner: Owner,
    path: &'a Path,
    window: Window,
    at: u64,
}

impl<'a> Scan<'a> {
    fn open(owner: Owner, first: u64, path: &'a Path) -> Result<Self, LogError> {
        let file = File::open(path).at("open", path)?;
        let mut window = Window::new(file, READ_BYTES);
        let header = window.bytes(0, SEGMENT_HEADER_BYTES).at("read", path)?;
        owner.check_segment(header, first).map_err(|what| Corrupt::new(path, 0, what))?;
        Ok(Self { owner, path, window, at: SEGMENT_HEADER_BYTES as u64 })
    }

    /// Reads the ops of the next group, and returns where it begins; `None` where a group is not
    /// whole, or the segment ends.
    fn next(&mut self, expected: u64, ops: &mut Vec<Arc<Op>>) -> Result<Option<u64>, LogError> {
        let path = self.path;
        let header = self.window.bytes(self.at, GROUP_HEADER_BYTES).at("read", path)?;
        let Some(header) = self.owner.group_header(header) else { return Ok(None) };
        let GroupHeader { number, payload_bytes, records } = header;
        if number != expected {
            let what = format!("group {number} stands where group {expected} ought to");
            return Err(Corrupt::new(path, self.at, what).into());
        }
        let start = self.at + GROUP_HEADER_BYTES as u64;
        let payload = self.window.bytes(start, payload_bytes as usize).at("read", path)?;
        if payload.len() < payload_bytes as usize {
            return Ok(None);
        }
        let Ok(records) = format::records(payload, records) else { return Ok(None) };
        for record in records {
            let op = format::decode(record);
            ops.push(op.map_err(|error| Corrupt::undecodable(path, self.at, error))?);
        }
        Ok(Some(std::mem::replace(&mut self.at, start + u64::from(payload_bytes))))
    }

    /// Returns what lies behind the last whole group, if anything does that a crash explains.
    fn torn(&mut self, expected: u64) -> Result<Option<Torn>, LogError> {
        let end = segment::data_end(self.window.file(), self.at).at("read", self.path)?;
        if end == self.at {
            return Ok(None);
        }
        if let Some((number, offset)) = self.later_group(expected, end).at("read", self.path)? {
            let what =
                format!("group {expected} is damaged, and group {number} follows at {offset}");
            return Err(Corrupt::new(self.path, self.at, what).into());
        }
        Ok(Some(Torn { path: self.path.to_owned(), offset: self.at, bytes: end - self.at }))
    }

    /// Looks for a group behind the damaged one: only a disk, never a crash, damages one in the
    /// middle.
    fn later_group(&mut self, expected: u64, end: u64) -> io::Result<Option<(u64, u64)>> {
        let mut at = self.at + 1;
        while at < end {
            let bytes = self.window.bytes(at, READ_BYTES)?;
            for (place, candidate) in bytes.windows(GROUP_HEADER_BYTES).enumerate() {
                if !candidate.starts_with(&GROUP_MAGIC) {
                    continue;
                }
                let header = self.owner.group_header(candidate);
                if let Some(header) = header.filter(|it| expected <= it.number) {
                    return Ok(Some((header.number, at + place as u64)));
                }
            }
            if bytes.len() < READ_BYTES {
                return Ok(None);
            }
            at += (READ_BYTES - GROUP_HEADER_BYTES + 1) as u64;
        }
        Ok(None)
    }
}
