//! Keeps the log bounded: the region writes its state into it, part by part, and then needs no
//! older op. Each part waits until the one before is durable, so that clients are not held up.
//! Must not know of files.

use std::collections::BTreeSet;

use photon_state::{Change, Content, Dataset, Key, Op, PlacementId, Position, Seen, StreamId};

use super::PART_ITEMS_MAX;
use super::keep::Waits;
use super::part::{Item, Part, Range, Step, is_head, jump_of};
use crate::contract::{Disk, Output};
use crate::region::Region;

/// How far the log is from being bounded.
#[derive(Debug, Default)]
pub(crate) struct Compaction {
    /// The last number of the stream that never leaves the log.
    local: u64,
    /// Bytes of the log since the state was begun to be written last.
    log_bytes: usize,
    /// Bytes of the state that was written last, as far as it is written.
    pub(super) state_bytes: usize,
    /// Bytes of the log since that was whole, short of ops that never leave it.
    pub(super) grown_bytes: usize,
    /// While the log is read: where the last state begins, what it stands for, and whether
    /// anything is older.
    replayed: Option<(u64, Seen, bool)>,
    /// Whether the state is wanted although the log is short.
    is_wanted: bool,
    /// Bytes of the log at the last beat, and for how many beats it has hardly grown.
    beat_bytes: usize,
    rested: u32,
    stage: Stage,
}

#[derive(Debug, Default)]
enum Stage {
    /// The log is short.
    #[default]
    Idle,
    /// The state is being written: after a position, once an append is durable.
    Writing { head: u64, seen: Seen, after: Option<Position>, append: u64 },
    /// The state is written; what is older goes once an append is durable, and either all peers
    /// have it or those who lack some of it have got no further for too long.
    Written { head: u64, seen: Seen, append: u64, waits: Waits },
}

impl Compaction {
    /// Takes note of an op in the log.
    pub(crate) fn logged(&mut self, op: &Op) {
        self.log_bytes += op.weight();
        self.grown_bytes += if op.stream.is_local() { 0 } else { op.weight() };
    }

    /// A log rests that grows by less than this from beat to beat.
    const REST_BYTES: usize = 64 << 10;
    /// For how many beats it has to rest until its state is written sooner.
    const REST_BEATS: u32 = 5;

    /// Says after how many bytes of the log the state is due. A start takes a record of a state in
    /// a fraction of the time of an op, so that a region that rests makes its next start short.
    fn due(&mut self, least: usize) -> usize {
        let grown = self.log_bytes.saturating_sub(self.beat_bytes);
        self.beat_bytes = self.log_bytes;
        self.rested = if grown < Self::REST_BYTES { self.rested.saturating_add(1) } else { 0 };
        if self.rested < Self::REST_BEATS {
            least.max(2 * self.state_bytes)
        } else {
            // What was written of the state itself counts, too: it must not be due for that.
            self.state_bytes + (least / 4).max(self.state_bytes / 4)
        }
    }
}

impl Region {
    /// Writes an op that never leaves the log; returns the number of the append.
    pub(crate) fn write_local(&mut self, part: &Part) -> u64 {
        let body = part.encode();
        self.compaction.local += 1;
        let (stream, seq) = (StreamId::local(self.config.region), self.compaction.local);
        let (dataset, key) = (Dataset(0), Key::new(b""));
        let op = Op { stream, seq, at: self.clock, dataset, key, change: Change::State(body) };
        self.appended += 1;
        self.counters.appended += 1;
        self.compaction.logged(&op);
        if part.from.is_none() && matches!(part.step, Step::Range(_) | Step::End { .. }) {
            self.compaction.state_bytes += op.weight(); // Without what clients write meanwhile.
        }
        self.syncing.appended(self.appended, self.now.mono);
        self.outputs.push_back(Output::Append(std::sync::Arc::new(op)));
        self.appended
    }

    /// Reads an op back that never left the log.
    pub(crate) fn replay_local(&mut self, op: &Op, part: Option<Box<Part>>) {
        let Some(part) = part else {
            // A later version wrote it: this one must not write a state that lacks it.
            self.compaction.local = op.seq;
            self.holds_unknown = true;
            return;
        };
        self.compaction.local = op.seq;
        match (&part.from, &part.step) {
            (None, Step::Head { seen, .. }) => {
                let has_older = self.compaction.log_bytes != 0;
                self.compaction.replayed = Some((op.seq, seen.clone(), has_older));
                self.compaction.stage = Stage::Idle;
                self.compaction.log_bytes = 0;
                self.compaction.state_bytes = 0;
            }
            (None, Step::Range(_)) => self.compaction.state_bytes += op.weight(),
            (None, Step::End { .. }) => {
                self.compaction.state_bytes += op.weight();
                let replayed = self.compaction.replayed.take();
                if let Some((head, seen, true)) = replayed {
                    let waits = Waits::since(op.at.wall_ms);
                    self.compaction.stage = Stage::Written { head, seen, append: 0, waits };
                }
                self.compaction.grown_bytes = 0;
            }
            (Some(_), _) | (None, Step::Sums { .. } | Step::Whole(_) | Step::Agreed(_)) => {}
        }
        self.take_part(*part, 0);
        self.compaction.logged(op);
    }

    /// Takes note that the state is wanted soon, however short the log is.
    pub(crate) fn want_state(&mut self) {
        self.compaction.is_wanted = true;
    }

    /// Begins to write the state if the log has grown long, and lets go of what is older than the
    /// state once it may.
    pub(crate) fn bound_log(&mut self) {
        let due = self.compaction.due(self.config.limits.compact_after_bytes);
        match std::mem::take(&mut self.compaction.stage) {
            Stage::Idle => {
                let may_stand = self.disk == Disk::Ready && !self.holds_unknown;
                // While a peer's state is on its way, nobody knows what the log is free of.
                let purge_is_due = self.purge_is_due() && !self.may_take_parts();
                let is_wanted = self.compaction.is_wanted || purge_is_due;
                if (is_wanted || due <= self.compaction.log_bytes) && may_stand {
                    self.begin_state();
                }
            }
            writing @ Stage::Writing { .. } => self.compaction.stage = writing,
            Stage::Written { head, seen, append, mut waits } => {
                let is_durable = append <= self.durable();
                if !is_durable || self.keeps_log_for_peers(&seen, &mut waits) {
                    self.compaction.stage = Stage::Written { head, seen, append, waits };
                    return;
                }
                self.log_is_being_cut(&seen);
                let stream = StreamId::local(self.config.region);
                self.output(Output::Truncate { stream, seq: head });
            }
        }
    }

    fn begin_state(&mut self) {
        self.covers.prune(self.store.seen(), self.appended);
        let (seen, covers) = (self.store.seen().clone(), self.covers.all().to_vec());
        self.compaction.log_bytes = 0;
        self.compaction.state_bytes = 0;
        self.compaction.is_wanted = false;
        self.state_begins(&seen);
        let step = Step::Head { seen: seen.clone(), covers };
        let append = self.write_local(&Part { from: None, step });
        let head = self.compaction.local;
        self.compaction.stage = Stage::Writing { head, seen, after: None, append };
    }

    /// Writes the next part of the state if the one before is durable.
    pub(crate) fn go_on_compacting(&mut self) {
        let durable = self.durable();
        let Stage::Writing { head, seen, after, append } = &mut self.compaction.stage else {
            return;
        };
        if durable < *append || self.disk == Disk::Full {
            return;
        }
        let (head, seen, after) = (*head, std::mem::take(seen), after.take());
        let range = self.range_after(after, &BTreeSet::new());
        let upto = range.upto.clone();
        let append = self.write_local(&Part { from: None, step: Step::Range(range) });
        if upto.is_some() {
            self.compaction.stage = Stage::Writing { head, seen, after: upto, append };
            return;
        }
        self.write_whole(); // What says so will be cut off.
        self.keep_whole();
        let step = Step::End { seen: seen.clone(), horizon: self.data.horizon().clone() };
        let append = self.write_local(&Part { from: None, step });
        let waits = Waits::since(self.now.wall_ms);
        self.compaction.stage = Stage::Written { head, seen, append, waits };
        self.compaction.grown_bytes = 0;
    }

    /// Returns all that is held after a position, up to the bounds of a part; of some placements
    /// only, if any are named.
    pub(super) fn range_after(
        &self,
        after: Option<Position>,
        placements: &BTreeSet<PlacementId>,
    ) -> Range {
        let is_wanted = |it: &PlacementId| placements.is_empty() || placements.contains(it);
        let bound = self.covers.bound(after.as_ref()).cloned();
        let (mut items, mut bytes, mut upto) = (Vec::new(), 0, bound.clone());
        let held = self.store.after(after.as_ref(), is_wanted);
        for (looked_at, (position, place)) in held.enumerate() {
            if bound.as_ref().is_some_and(|bound| *bound < position) {
                break;
            }
            // What is not wanted is not looked at: it may lie on pages.
            let wanted = is_wanted(&position.placement());
            let item = if wanted { self.item(position.clone(), place.content()) } else { None };
            bytes += item.as_ref().map_or(0, Item::weight);
            items.extend(item);
            if self.config.limits.part_bytes_max <= bytes || PART_ITEMS_MAX <= looked_at {
                upto = Some(position);
                break;
            }
        }
        let mut known = self.covers.beyond_range(after.as_ref(), upto.as_ref());
        known.join(self.store.seen());
        let all = known.iter().filter(|(it, _)| is_wanted(&it.placement));
        let seen = all.map(|(it, seq)| (*it, seq)).collect();
        Range { after, upto, placements: placements.clone(), seen, items }
    }

    fn item(&self, position: Position, content: Content<'_>) -> Option<Item> {
        Some(match (position, content) {
            (Position::Register(record), Content::Register(it)) => {
                Item::Register(record, it.clone())
            }
            (Position::Log(record), Content::Log(it)) => Item::Log(record, it.clone()),
            (Position::Value(shelf, key), Content::Value(it)) => {
                Item::Value(shelf, key, it.into_owned())
            }
            (Position::Register(_) | Position::Log(_) | Position::Value(..), _) => {
                unreachable!("a position tells what it holds")
            }
        })
    }
}

/// Whether an op of a log begins a state that stands for all that is older. For those who keep
/// logs: what they let go of ends there.
#[must_use]
pub fn begins_state(op: &Op) -> bool {
    match &op.change {
        Change::State(body) => is_head(body),
        Change::Put(_)
        | Change::Delete
        | Change::Append { .. }
        | Change::Update(_)
        | Change::Unknown { .. } => false,
    }
}

/// Tells up to what everything counts as seen once an op of a log counts. For those who keep
/// logs, real or imagined: the numbers of a stream go on from there.
#[must_use]
pub fn seen_after(op: &Op) -> Option<Seen> {
    match &op.change {
        Change::State(body) => jump_of(body),
        Change::Put(_)
        | Change::Delete
        | Change::Append { .. }
        | Change::Update(_)
        | Change::Unknown { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_rests_is_written_anew_once() {
        let mut it = Compaction { log_bytes: 1_000, ..Compaction::default() };
        assert!(it.log_bytes < it.due(4_000), "it has just grown");
        let rested = (0..Compaction::REST_BEATS).map(|_| it.due(4_000)).last();
        assert!(rested <= Some(it.log_bytes));
        (it.log_bytes, it.state_bytes) = (900, 900);
        assert!((0..100).all(|_| it.log_bytes < it.due(4_000)), "it holds its state alone");
        it.log_bytes += 1_000;
        assert!(it.due(4_000) <= it.log_bytes);
    }
}
