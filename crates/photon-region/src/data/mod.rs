//! The data: datasets that are declared, and their records.
//! Must not know of agents and tasks, nor what the content of a record means.
//!
//! `write`, `read` and `watch` decide what a client hears; `levels` holds back what must first be
//! durable elsewhere; `gather` asks several regions at once; `declare` keeps the list of datasets.

mod changes;
mod conflicts;
mod contract;
mod declare;
mod digest;
mod expire;
mod fits;
mod forward;
mod gather;
mod levels;
mod look;
mod lost;
mod moves;
mod place;
mod quota;
mod read;
mod refusal;
mod rejoin;
mod room;
mod search;
mod show;
mod spec;
mod watch;
mod write;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use photon_state::crdt::Delta;
use photon_state::{Dataset, Key, Op, PlacementId, Record, RegionId, Seen, StreamId};
use rustc_hash::FxHashMap;

pub use contract::{
    Change, Conflict, Conflicts, Content, DataCommand, DataReply, Edit, Expect, FieldEdit, Found,
    RangeDigest, ReadHow, Shown, Write, Written,
};
pub(crate) use fits::ReplyKind;
pub(crate) use forward::{into_answer, is_guest};
pub(crate) use levels::Pending;
pub use moves::{Adopt, Copied, MoveId, MoveIdError, MoveState, Moved, Receipt};
pub(crate) use moves::{Adoption, MOVES, Move, Taken, is_copy, move_of};
pub use refusal::{DataRefusal, ReadGap};
pub use spec::{
    DatasetName, DatasetNameError, DatasetSpec, Kind, Mode, Outside, PlacementRule, Policy,
    ReadLevel, Spot, WriteLevel,
};

use crate::config::Config;
use crate::contract::Ticket;
use crate::region::Region;
use crate::verdict::{Patience, Verdict};
use changes::Changes;
use conflicts::{Samples, Tally};
use expire::Expiries;
use forward::Guests;
use gather::Gather;
use levels::Levels;
use moves::Moves;
use quota::Quotas;
pub(crate) use rejoin::Held;
use rejoin::Rejoin;
use search::Search;

/// Records of datasets: a register by name, in the placement `global`.
pub(crate) const DATASETS: Dataset = Dataset(4);
/// Records of all datasets: a value by the name of the dataset and the key.
pub(crate) const DATA: Dataset = Dataset(5);

/// The longest key of a record, in bytes: with the dataset's name it fits a [`Key`].
const KEY_BYTES_MAX: usize = Key::BYTES_MAX - 64;

/// Returns the key under which a record is stored.
fn data_key(dataset: &DatasetName, key: &[u8]) -> Key {
    let name = dataset.as_str().as_bytes();
    let mut bytes = Vec::with_capacity(1 + name.len() + key.len());
    bytes.push(u8::try_from(name.len()).expect("a name has at most 63 bytes"));
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(key);
    Key::new(&bytes)
}

/// Returns the dataset and the key of a record.
pub(crate) fn split_key(key: &Key) -> Option<(DatasetName, &[u8])> {
    let (len, rest) = key.as_bytes().split_first()?;
    let (name, key) = rest.split_at_checked(usize::from(*len))?;
    let name = DatasetName::try_from(std::str::from_utf8(name).ok()?).ok()?;
    Some((name, key))
}

/// Returns the dataset that an op of [`DATASETS`] is about, if it may be about it.
pub(crate) fn dataset_of(op: &Op) -> Option<DatasetName> {
    let is_global = op.stream.placement == PlacementId::global();
    let name = std::str::from_utf8(op.key.as_bytes()).ok().filter(|_| is_global)?;
    DatasetName::try_from(name).ok()
}

/// A dataset that is known here.
#[derive(Debug)]
struct Entry {
    spec: Arc<DatasetSpec>,
    /// Whether the configuration declares it.
    is_configured: bool,
    /// The append that declares it.
    append: u64,
    tally: Tally,
    /// The region that its master moves to, and until when.
    moving: Option<(RegionId, Duration)>,
}

/// What a region knows of the data beyond the records.
#[derive(Debug)]
pub(crate) struct Data {
    datasets: BTreeMap<DatasetName, Entry>,
    /// What the writes that were applied under each placement depend on.
    horizon: BTreeMap<PlacementId, Seen>,
    /// Records that were changed by appends that are not yet durable.
    unsynced: FxHashMap<Record, u64>,
    unsynced_order: VecDeque<(u64, Record)>,
    expiries: Expiries,
    changes: Changes,
    levels: Levels,
    gathers: BTreeMap<Ticket, Gather>,
    searches: BTreeMap<Ticket, Search>,
    moves: Moves,
    /// What sessions have seen that was not told to the regions that answer them.
    withheld: BTreeMap<Ticket, Seen>,
    guests: Guests,
    pub(crate) rejoin: Rejoin,
    /// How fresh what is known of each peer is.
    freshness: BTreeMap<(RegionId, PlacementId), Freshness>,
    /// Datasets with changes of which watchers have not heard.
    dirty: BTreeSet<DatasetName>,
    /// When watchers were rung last.
    rung: Duration,
    samples: Samples,
    quotas: Quotas,
}

/// What a peer had at some time, and up to what time everything of it is here.
#[derive(Debug, Default)]
struct Freshness {
    /// In which life the marks were said.
    incarnation: u64,
    /// What it had of the placement, and when it said so: of others, too, as whoever wrote it may
    /// have lost it since.
    marks: VecDeque<(Seen, Duration)>,
    as_of: Option<Duration>,
}

impl Data {
    /// Watchers hear of changes together that come within this time.
    const RING_EVERY: Duration = Duration::from_millis(5);
    /// Words of a peer about what it has that wait until all of it is here.
    const MARKS_MAX: usize = 8;

    pub(crate) fn new(config: &Config) -> Self {
        let entry = |spec: &DatasetSpec| {
            let spec = Arc::new(spec.clone());
            let name = spec.name.clone();
            (name, Entry::new(spec, true, 0))
        };
        let here = config.region;
        let held = config.placements.iter().filter(|(_, members)| members.contains(&here));
        let peers = held.flat_map(|(placement, members)| {
            let others = members.iter().filter(|it| **it != here);
            others.map(|it| ((*it, *placement), Freshness::default()))
        });
        Self {
            freshness: peers.collect(),
            datasets: config.datasets.iter().map(entry).collect(),
            horizon: BTreeMap::new(),
            unsynced: FxHashMap::default(),
            unsynced_order: VecDeque::new(),
            expiries: Expiries::default(),
            changes: Changes::default(),
            levels: Levels::default(),
            gathers: BTreeMap::new(),
            searches: BTreeMap::new(),
            moves: Moves::default(),
            withheld: BTreeMap::new(),
            guests: Guests::default(),
            rejoin: Rejoin::default(),
            dirty: BTreeSet::new(),
            rung: Duration::ZERO,
            samples: Samples::default(),
            quotas: Quotas::default(),
        }
    }

    /// Returns how many datasets are known.
    pub(crate) fn len(&self) -> usize {
        self.datasets.len()
    }

    /// Takes note of what writes under a placement depend on.
    pub(crate) fn depend(&mut self, placement: PlacementId, on: &Seen) {
        self.horizon.entry(placement).or_default().join(on);
    }

    /// Returns what the writes that were applied under each placement depend on.
    pub(crate) fn horizon(&self) -> &BTreeMap<PlacementId, Seen> {
        &self.horizon
    }

    /// Whether it is known of any record when its contents end.
    pub(crate) fn follows_ends(&self) -> bool {
        !self.expiries.is_empty()
    }

    /// Returns how many commands wait for other regions.
    pub(crate) fn waiting(&self) -> usize {
        self.levels.len() + self.gathers.len() + self.searches.len()
    }

    /// Returns when to look after what is overdue.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        let ring = (!self.dirty.is_empty()).then_some(self.rung + Self::RING_EVERY);
        [self.levels.next_deadline(), ring, self.expiries.again].into_iter().flatten().min()
    }

    /// Returns the append that must be durable before a record is shown.
    fn append_of(&self, record: &Record) -> u64 {
        self.unsynced.get(record).copied().unwrap_or(0)
    }

    /// Takes note of how much of what peers had is here.
    pub(crate) fn freshen(&mut self, seen: &Seen) {
        for fresh in self.freshness.values_mut() {
            while let Some((_, at)) = fresh.marks.pop_front_if(|(mark, _)| seen.covers(mark)) {
                fresh.as_of = Some(at);
            }
        }
    }

    /// Returns how long ago a peer may have made a change that is not here yet; nothing if it has
    /// not said what it has.
    pub(crate) fn staleness_of(
        &self,
        of: (RegionId, PlacementId),
        now: Duration,
    ) -> Option<Duration> {
        let as_of = self.freshness.get(&of)?.as_of?;
        Some(now.saturating_sub(as_of))
    }

    /// Takes in what a peer says that it has, as of a time.
    pub(crate) fn peer_had(&mut self, peer: RegionId, incarnation: u64, seen: &Seen, at: Duration) {
        let fresh = self.freshness.iter_mut().filter(|((it, _), _)| *it == peer);
        for ((_, placement), fresh) in fresh {
            if fresh.incarnation != incarnation {
                // What it had in a former life, and lost with its disk, may never come.
                fresh.marks.clear();
                fresh.incarnation = incarnation;
            }
            if fresh.marks.len() < Self::MARKS_MAX {
                let all = seen.iter().filter(|(it, _)| it.placement == *placement);
                let mark = all.map(|(it, seq)| (*it, seq)).collect();
                fresh.marks.push_back((mark, at));
            }
        }
    }
}

impl Freshness {
    /// Returns up to what time everything of the peer is here.
    fn as_of(&self, seen: &Seen) -> Option<Duration> {
        let here = self.marks.iter().take_while(|(mark, _)| seen.covers(mark));
        here.last().map(|(_, at)| *at).or(self.as_of)
    }
}

impl Entry {
    fn new(spec: Arc<DatasetSpec>, is_configured: bool, append: u64) -> Self {
        Self { spec, is_configured, append, tally: Tally::default(), moving: None }
    }
}

impl Region {
    pub(crate) fn decide_data(
        &mut self,
        ticket: Ticket,
        command: &DataCommand,
        patience: Patience,
    ) -> Verdict {
        let verdict = match command {
            DataCommand::Declare(spec) => self.declare(spec),
            DataCommand::Drop(name) => self.drop_dataset(name),
            DataCommand::Dataset(name) => self.show_dataset(name),
            DataCommand::Datasets => self.list_datasets(),
            DataCommand::Conflicts(name) => self.show_conflicts(name),
            DataCommand::Digest { .. } => self.digest_records(command),
            DataCommand::MoveMaster { .. } => self.move_master(ticket, command, patience),
            DataCommand::Move { .. } => self.move_record(ticket, command, patience),
            DataCommand::Adopt { .. } => self.adopt_record(ticket, command, patience),
            DataCommand::Receipts { dataset, id, before, limit } => {
                self.show_receipts(dataset, (*id, *before, *limit))
            }
            DataCommand::Compact => Ok(self.compact_soon()),
            DataCommand::Write { .. } => self.write_records(ticket, command, patience),
            DataCommand::Read { .. } | DataCommand::Scan { .. } => {
                self.read_records(ticket, command, patience)
            }
            DataCommand::Watch { .. } => self.watch_records(ticket, command, patience),
        };
        verdict.unwrap_or_else(Verdict::from)
    }

    /// Looks after what changes with time.
    pub(crate) fn beat_data(&mut self) {
        self.watch_conflicts();
        self.forget_asked_rights();
        self.data.freshen(self.store.seen());
        self.forget_lost();
        self.run_moves();
        self.delete_stray_notes();
        self.rejoin();
    }

    /// Lets the indexes follow a change of a record. Append 0 means that it was replayed.
    pub(crate) fn index_record(
        &mut self,
        op: &Op,
        dataset: &DatasetName,
        applied: photon_state::Applied,
        append: u64,
    ) {
        let photon_state::Change::Update(update) = &op.change else { return };
        if !update.needs.is_empty() {
            self.data.depend(op.stream.placement, &update.needs);
        }
        let has_end = match &update.delta {
            Delta::Fields(changes) => changes
                .iter()
                .any(|it| it.written.as_ref().is_some_and(|written| written.expires_ms.is_some())),
            Delta::Add(_) | Delta::Escrow(_) => false,
        };
        self.data.changes.note(dataset, op);
        self.follow_record(&op.record(), has_end, append);
        if append == 0 {
            return;
        }
        if let photon_state::Applied::Beside { other, at } = applied {
            self.note_conflict(op, dataset, (other, at));
        }
    }

    /// Follows a change of a record: when its contents end, and which append must be durable
    /// before it is shown. Append 0 means that it is.
    pub(crate) fn follow_record(&mut self, record: &Record, has_end: bool, append: u64) {
        if append != 0 {
            self.data.unsynced.insert(record.clone(), append);
            self.data.unsynced_order.push_back((append, record.clone()));
        }
        self.follow_expiry(record, has_end);
    }

    /// Takes note that what changed up to a number of a stream is known by its effect alone.
    pub(crate) fn skip_changes(&mut self, stream: StreamId, seq: u64) {
        self.data.changes.skip(stream, seq);
    }

    /// Takes in that appends are durable: their records may be shown, and watchers hear of them.
    pub(crate) fn on_durable_data(&mut self, durable: u64) {
        let data = &mut self.data;
        while let Some((append, record)) =
            data.unsynced_order.pop_front_if(|(append, _)| *append <= durable)
        {
            if data.unsynced.get(&record) == Some(&append) {
                data.unsynced.remove(&record);
            }
            data.dirty.extend(split_key(&record.key).map(|(name, _)| name));
        }
        if !self.data.dirty.is_empty() && self.data.rung + Data::RING_EVERY <= self.now.mono {
            self.ring_watchers();
        }
    }
}
