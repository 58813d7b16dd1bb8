//! The disk of one region: what was appended, what of it is synced, what a crash leaves.
//! Must not know what an op means, but that entries of a task's log carry the task's name.

use std::collections::BTreeMap;
use std::sync::Arc;

use photon_region::{TaskId, seen_after};
use photon_state::{Change, Hlc, Op, RegionId, Seen, StreamId};
use rustc_hash::FxHashMap;

/// A log in the order of its writes, with the indexes that the checks need.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    log: Vec<Arc<Op>>,
    /// Where each op of a stream stands in the log.
    streams: BTreeMap<StreamId, Run>,
    /// Where each event of a task stands in the log, by its generation and the epoch of its home.
    events: FxHashMap<TaskId, BTreeMap<(u64, u32), u32>>,
    /// How many ops of the log survive any crash.
    synced: usize,
    /// How many there were when this life began: the shell numbers its appends from there.
    base: usize,
    /// How many will be synced by the sync that is under way.
    syncing: Option<usize>,
    /// Where the log begins: older ops are let go of.
    start: usize,
    /// How many faults let it say that all is synced, and sync nothing.
    pub(crate) lies: u32,
    /// While it lies, and until the next sync after that: how many ops were synced when it began,
    /// and where the log began.
    truth: Option<(usize, usize)>,
    /// Whether the region was told that there is no room.
    pub(crate) is_full: bool,
}

/// The ops of one stream that a log holds, without gaps.
#[derive(Debug, Default)]
struct Run {
    /// The op after which they begin: a state stands for it and all before it.
    base: u64,
    /// Where that state is complete in the log.
    based_at: Option<u32>,
    /// Where each op stands: op `base + 1` at index 0.
    places: Vec<u32>,
    /// What the log held before the state came.
    older: Option<Box<Run>>,
}

impl Run {
    fn last(&self) -> u64 {
        self.base + self.places.len() as u64
    }

    fn place(&self, seq: u64) -> Option<u32> {
        if seq <= self.base {
            return self.older.as_ref()?.place(seq);
        }
        let index = usize::try_from(seq - self.base - 1).ok()?;
        self.places.get(index).copied()
    }

    /// Whether the log up to an end holds an op, or a state that stands for it.
    fn has_within(&self, seq: u64, end: usize) -> bool {
        let is_within = |at: Option<u32>| at.is_some_and(|at| (at as usize) < end);
        let is_based = seq <= self.base && is_within(self.based_at);
        let was_held = || self.older.as_ref().is_some_and(|it| it.has_within(seq, end));
        is_based || is_within(self.place(seq)) || was_held()
    }
}

impl Disk {
    /// Writes an op, not yet for ever. Says what is wrong if its stream has a gap or a repeat.
    pub(crate) fn append(&mut self, op: &Arc<Op>) -> Result<(), String> {
        let at = u32::try_from(self.log.len()).expect("a run writes less than 2^32 ops");
        self.note(op, at)?;
        self.log.push(op.clone());
        Ok(())
    }

    /// Takes an op into the indexes.
    fn note(&mut self, op: &Op, at: u32) -> Result<(), String> {
        if op.stream.is_local() {
            for (stream, seq) in seen_after(op).iter().flat_map(Seen::iter) {
                let run = self.streams.entry(*stream).or_default();
                if run.last() < seq {
                    let older = Some(Box::new(std::mem::take(run)));
                    *run = Run { base: seq, based_at: Some(at), places: Vec::new(), older };
                }
            }
            return Ok(());
        }
        let run = self.streams.entry(op.stream).or_default();
        let next = run.last() + 1;
        if op.seq != next {
            return Err(format!("{:?} {} was appended where {next} is due", op.stream, op.seq));
        }
        run.places.push(at);
        if let Some((task, place)) = event_of(op) {
            self.events.entry(task).or_default().entry(place).or_insert(at);
        }
        Ok(())
    }

    /// Begins a sync of all that was appended, unless one is under way or nothing is left to do.
    pub(crate) fn begin_sync(&mut self) -> bool {
        if self.syncing.is_some() || self.synced == self.log.len() {
            return false;
        }
        self.syncing = Some(self.log.len());
        true
    }

    /// Ends the sync and returns up to which number the appends of this life are durable.
    pub(crate) fn end_sync(&mut self) -> u64 {
        if self.lies == 0 {
            self.truth = None;
        } else if self.truth.is_none() {
            self.truth = Some((self.synced, self.start));
        }
        self.synced = self.syncing.take().expect("only a sync that began can end");
        (self.synced - self.base) as u64
    }

    /// Returns how many ops a crash may take.
    pub(crate) fn unsynced(&self) -> usize {
        self.log.len() - self.synced
    }

    /// Returns how many ops a crash would take that were said to be synced.
    pub(crate) fn untrue(&self) -> usize {
        self.truth.map_or(0, |(synced, _)| self.synced - synced)
    }

    /// Becomes what it really is: returns what it said to be.
    pub(crate) fn confess(&mut self) -> Self {
        let (synced, start) = self.truth.take().expect("it has lied: seen before");
        let said = Self { log: self.log.clone(), synced: self.synced, ..Self::default() };
        let said = said.noted();
        (self.synced, self.start) = (synced, start);
        said
    }

    /// Loses what was not synced, but for the first `kept` ops of it; they now count as synced.
    pub(crate) fn crash(&mut self, kept: usize) {
        let len = self.synced + kept.min(self.unsynced());
        self.log.truncate(len);
        *self = std::mem::take(self).noted();
        self.synced = len;
        self.base = len;
        (self.syncing, self.truth) = (None, None);
        self.is_full = false;
    }

    /// Makes the indexes anew.
    fn noted(mut self) -> Self {
        (self.streams, self.events) = (BTreeMap::new(), FxHashMap::default());
        for (at, op) in (0..).zip(self.log.clone()) {
            self.note(&op, at).expect("it was noted before");
        }
        self
    }

    /// Loses everything; returns what there was. What comes in its place is as honest.
    pub(crate) fn lose(&mut self) -> Self {
        let empty = Self { lies: self.lies, ..Self::default() };
        std::mem::replace(self, empty)
    }

    /// Lets go of the log before an op.
    pub(crate) fn truncate(&mut self, stream: &StreamId, seq: u64) {
        let is_it = |op: &Arc<Op>| op.stream == *stream && op.seq == seq;
        let at = self.log.iter().position(is_it).expect("a region truncates what it wrote");
        assert!(at < self.synced, "what stands for older ops is durable");
        self.start = self.start.max(at);
    }

    /// Returns all ops that are left, in the order of the log.
    pub(crate) fn ops(&self) -> &[Arc<Op>] {
        &self.log[self.start..]
    }

    /// Iterates over all ops that were ever written here and survived, in the order of the log.
    pub(crate) fn written(&self) -> impl Iterator<Item = &Op> + Clone {
        self.log.iter().map(|op| &**op)
    }

    /// Returns the streams of which the log holds anything, in order, with the last op of each.
    pub(crate) fn streams(&self) -> impl Iterator<Item = (&StreamId, u64)> {
        self.streams.iter().map(|(stream, run)| (stream, run.last()))
    }

    /// Returns an op, even one that the log has let go of: for those who compare.
    pub(crate) fn op(&self, stream: &StreamId, seq: u64) -> Option<&Arc<Op>> {
        self.log.get(self.streams.get(stream)?.place(seq)? as usize)
    }

    /// Whether a stream survives a crash up to this number.
    pub(crate) fn has_synced(&self, stream: &StreamId, seq: u64) -> bool {
        if seq == 0 {
            return true;
        }
        self.streams.get(stream).is_some_and(|run| run.has_within(seq, self.synced))
    }

    /// Whether an event of a task survives a crash.
    pub(crate) fn has_synced_event(&self, task: TaskId, generation: u64) -> bool {
        let events = self.events.get(&task).into_iter();
        let mut there = events.flat_map(|it| it.range((generation, 0)..(generation + 1, 0)));
        generation == 0 || there.any(|(_, at)| (*at as usize) < self.synced)
    }

    /// Whether a region has written events of a task, as the log tells.
    pub(crate) fn has_written(&self, task: TaskId, region: RegionId) -> bool {
        let events = self.events.get(&task).into_iter().flatten();
        events.into_iter().any(|(_, at)| self.log[*at as usize].stream.origin == region)
    }

    /// Returns the op that submitted a task, if the log has it.
    pub(crate) fn submission(&self, task: TaskId) -> Option<(StreamId, u64)> {
        let (_, at) = self.events.get(&task)?.range((1, 0)..(2, 0)).next()?;
        let op = &self.log[*at as usize];
        Some((op.stream, op.seq))
    }

    /// Returns the region that accepted a task, if the log tells it.
    pub(crate) fn birthplace(&self, task: TaskId) -> Option<RegionId> {
        let (_, at) = self.events.get(&task)?.range((1, 0)..(2, 0)).next()?;
        Some(self.log[*at as usize].stream.origin)
    }

    /// Iterates over the epochs under which events of a task were written.
    pub(crate) fn epochs(&self, task: TaskId) -> impl Iterator<Item = u32> {
        self.events.get(&task).into_iter().flatten().map(|((_, epoch), _)| *epoch)
    }

    /// Whether some op with this reading of the clock survives a crash.
    pub(crate) fn has_synced_at(&self, at: Hlc) -> bool {
        self.log[..self.synced].iter().rev().any(|op| op.at == at)
    }

    /// Reads ops back: as many as fit the bound, but one at least if there is one.
    pub(crate) fn fetch(&self, stream: &StreamId, from: u64, bytes_max: usize) -> Vec<Arc<Op>> {
        let Some(run) = self.streams.get(stream) else { return Vec::new() };
        let skipped = usize::try_from(from.saturating_sub(run.base + 1)).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let mut ops = Vec::new();
        let places = run.places.iter().skip(skipped).map(|at| *at as usize);
        for at in places.filter(|at| self.start <= *at) {
            let op = &self.log[at];
            bytes += op.weight();
            if bytes_max < bytes && !ops.is_empty() {
                break;
            }
            ops.push(op.clone());
        }
        ops
    }
}

/// Returns the task, and the generation and the epoch that an op writes, if it writes one.
pub(crate) fn event_of(op: &Op) -> Option<(TaskId, (u64, u32))> {
    let Change::Append { place, .. } = &op.change else { return None };
    let bytes = op.key.as_bytes().try_into().ok()?;
    Some((TaskId::from_bytes(bytes), (place.index, place.epoch)))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use photon_state::{Dataset, EntryPlace, Key, PlacementId};

    use super::*;

    fn op(seq: u64) -> Arc<Op> {
        let stream = StreamId {
            origin: RegionId::try_from("a").unwrap(),
            placement: PlacementId::global(),
            incarnation: 1,
        };
        let place = EntryPlace { epoch: 1, index: seq, prev: 1 };
        let change = Change::Append { place, entry: Bytes::from_static(b"e") };
        let at = Hlc { wall_ms: seq, count: 0 };
        Arc::new(Op { stream, seq, at, dataset: Dataset(2), key: Key::new(&[7; 16]), change })
    }

    #[test]
    fn a_crash_takes_only_what_was_not_synced() {
        let (mut disk, task) = (Disk::default(), TaskId::from_bytes([7; 16]));
        disk.append(&op(1)).unwrap();
        assert!(disk.begin_sync());
        disk.append(&op(2)).unwrap();
        disk.append(&op(3)).unwrap();
        assert!(!disk.begin_sync(), "one sync at a time");
        assert_eq!(disk.end_sync(), 1);
        assert!(disk.has_synced_event(task, 1) && !disk.has_synced_event(task, 2));
        disk.crash(1);
        assert_eq!(disk.ops().len(), 2);
        assert!(disk.has_synced_event(task, 2) && !disk.has_synced_event(task, 3));
        disk.append(&op(3)).unwrap();
        assert!(disk.begin_sync());
        assert_eq!(disk.end_sync(), 1, "appends are numbered anew in each life");
    }

    #[test]
    fn a_stream_with_a_gap_or_a_repeat_is_noticed() {
        let mut disk = Disk::default();
        assert!(disk.append(&op(2)).is_err());
        disk.append(&op(1)).unwrap();
        assert!(disk.append(&op(1)).is_err());
    }
}
