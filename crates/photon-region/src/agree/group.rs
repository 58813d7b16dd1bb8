//! The group of regions that agree: one Raft group (Ongaro, 2014), by the library `raft`.
//! Must not know what is agreed, nor of links and logs.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use photon_state::{PlacementId, RegionId, StableHash};
use raft::eraftpb::{
    ConfChangeSingle, ConfChangeType, ConfChangeV2, ConfState, Entry, EntryType, Message,
    MessageType, Snapshot,
};
use raft::{RawNode, SnapshotStatus, StateRole, Storage as _};

use super::store::{Addition, Kept};

/// One member of the group.
pub(crate) struct Group {
    node: RawNode<Kept>,
    /// Who are members, as of what was applied.
    conf: ConfState,
    /// What the library waits for, by the append that holds it.
    unsynced: VecDeque<(u64, u64)>,
    /// Whether a snapshot is to stand for old entries as soon as that can be.
    owes_snapshot: bool,
    tick_at: Duration,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let raft = &self.node.raft;
        write!(f, "Group {{ id: {:x}, term: {}, {:?} }}", raft.id, raft.term, raft.state)
    }
}

/// What a member has to do: write, then send; and take in what is agreed.
#[derive(Debug, Default)]
pub(crate) struct Duty {
    /// Names it to [`Group::written`].
    pub(crate) number: u64,
    /// What is to be durable before anything is sent.
    pub(crate) addition: Option<Addition>,
    pub(crate) messages: Vec<Message>,
    /// A charter that stands for all that was agreed so far.
    pub(crate) charter: Option<Bytes>,
    pub(crate) agreed: Vec<Entry>,
}

impl Group {
    /// How often the library counts time.
    pub(crate) const TICK: Duration = Duration::from_millis(100);
    /// For how long, in ticks, a member that has heard a leader helps nobody to replace it: some
    /// round trips over the longest path on Earth.
    const LEADER_TICKS: usize = 8;
    /// After how many without a word of the leader it may be lost: two of its beats.
    const QUIET_TICKS: usize = 4;
    /// After how many it does not lead any more, though it lives.
    const SILENT_TICKS: usize = 12;
    /// When the library would try to replace a leader if the turns of members had come to nothing:
    /// in ticks, at random.
    const ELECTION_TICKS: std::ops::Range<usize> = 50..100;
    /// Bytes of entries in one message.
    const MESSAGE_BYTES_MAX: u64 = 256 << 10;
    /// Messages with entries that may be on their way to one member.
    const MESSAGES_MAX: usize = 32;
    /// Bytes of entries that are not agreed yet; proposals beyond it are dropped.
    const PROPOSED_BYTES_MAX: u64 = 4 << 20;
    /// Entries that are kept beside a snapshot; at twice as many a new one takes their place.
    const ENTRIES_MAX: usize = 128;

    /// How far the numbers of a group that is founded anew are beyond any of the former one.
    pub(crate) const FOUNDED_ANEW: u64 = 1 << 20;

    /// Goes on from what was kept.
    pub(crate) fn new(id: u64, kept: Kept, now: Duration) -> Self {
        let metadata = kept.snapshot.get_metadata();
        let (applied, conf) = (metadata.index, metadata.get_conf_state().clone());
        let config = raft::Config {
            id,
            election_tick: Self::LEADER_TICKS,
            heartbeat_tick: 2,
            min_election_tick: Self::ELECTION_TICKS.start,
            max_election_tick: Self::ELECTION_TICKS.end,
            applied,
            max_size_per_msg: Self::MESSAGE_BYTES_MAX,
            max_inflight_msgs: Self::MESSAGES_MAX,
            max_uncommitted_size: Self::PROPOSED_BYTES_MAX,
            check_quorum: true,
            pre_vote: true,
            ..raft::Config::default()
        };
        let silent = slog::Logger::root(slog::Discard, slog::o!());
        let node = RawNode::new(&config, kept, &silent).expect("the numbers above are in order");
        let mut group = Self {
            node,
            conf,
            unsynced: VecDeque::new(),
            owes_snapshot: false,
            tick_at: now + Self::TICK,
        };
        group.fix_timeout();
        group
    }

    /// The library draws its timeouts from the system. Ours follow from member and term, so that
    /// the same seed gives the same run.
    fn fix_timeout(&mut self) {
        let hash = StableHash::default().number(self.node.raft.id).number(self.node.raft.term);
        let range = Self::ELECTION_TICKS;
        let drawn = usize::try_from(hash.finish() >> 32).unwrap_or(0) % range.len();
        self.node.raft.set_randomized_election_timeout(range.start + drawn);
    }

    /// Returns when to [`tick`](Self::tick).
    pub(crate) fn next_tick(&self) -> Duration {
        self.tick_at
    }

    /// Lets time pass. Whoever was stalled does not make up for it: it would only be hasty.
    pub(crate) fn tick(&mut self, now: Duration) {
        if self.is_restoring() {
            return self.pass(now + Self::TICK);
        }
        if self.tick_at <= now {
            self.tick_at = (self.tick_at + Self::TICK).max(now);
            self.node.tick();
            self.fix_timeout();
        }
    }

    /// Whether a snapshot is on its way to the disk: nobody may ask for what is before it.
    fn is_restoring(&self) -> bool {
        let first = self.kept().first_index().unwrap_or(1);
        self.node.raft.raft_log.applied() + 1 < first
    }

    /// Lets time pass in which this member can do nothing: a leader is to be replaced then.
    pub(crate) fn pass(&mut self, now: Duration) {
        self.tick_at = self.tick_at.max(now);
    }

    /// Takes in what another member says. What would be a mistake of its own ends no process.
    pub(crate) fn step(&mut self, message: Message) {
        let last = self.node.raft.raft_log.last_index();
        let is_run = (message.index.saturating_add(1)..)
            .zip(&message.entries)
            .all(|(index, entry)| entry.index == index && entry.term <= message.term);
        let is_beyond =
            message.get_msg_type() == MessageType::MsgHeartbeat && last < message.commit;
        let is_known = message.to == self.id();
        let conf = message.get_snapshot().get_metadata().get_conf_state();
        let has_group = message.get_msg_type() != MessageType::MsgSnapshot
            || !conf.voters.is_empty() && conf.voters.iter().all(|it| !conf.learners.contains(it));
        let is_late = message.get_msg_type() == MessageType::MsgTimeoutNow && self.is_restoring();
        if is_known && is_run && !is_beyond && has_group && !is_late {
            // A message that makes no sense to the library is as good as lost.
            let _ = self.node.step(message);
            self.fix_timeout();
        }
    }

    /// Returns where the log of a member ends that asks who would vote for it, if this one might.
    pub(crate) fn asked_by(&self, message: &Message) -> Option<LogEnd> {
        let raft = &self.node.raft;
        let is_led = raft.leader_id != raft::INVALID_ID;
        let is_bound = is_led && raft.election_elapsed < Self::LEADER_TICKS;
        let asks = message.get_msg_type() == MessageType::MsgRequestPreVote;
        let end = LogEnd { term: message.log_term, index: message.index };
        let may_win = raft.term < message.term && self.log_end() <= end;
        (asks && may_win && !is_bound).then_some(end)
    }

    /// Returns where the own log ends.
    pub(crate) fn log_end(&self) -> LogEnd {
        let log = &self.node.raft.raft_log;
        LogEnd { term: log.last_term(), index: log.last_index() }
    }

    /// Tries to become the leader, if this member may vote; says whether it has asked for votes.
    pub(crate) fn campaign(&mut self) -> bool {
        let may_lead = self.conf.voters.contains(&self.id()) && !self.is_restoring();
        if may_lead && self.node.raft.state != StateRole::Leader {
            let _ = self.node.campaign();
            self.fix_timeout();
        }
        may_lead && self.node.raft.state != StateRole::Follower
    }

    /// Proposes something; says whether this member leads and may do so.
    pub(crate) fn propose(&mut self, data: Vec<u8>) -> bool {
        self.is_leader() && self.node.propose(Vec::new(), data).is_ok()
    }

    /// Proposes a change of the group; says whether this member leads and may do so.
    pub(crate) fn propose_group(&mut self, change: &GroupChange) -> bool {
        let may = self.is_leader() && !self.node.raft.has_pending_conf();
        may && self.node.propose_conf_change(change.encode(), change.as_raft()).is_ok()
    }

    /// Lets another member lead, one that votes.
    pub(crate) fn hand_over(&mut self, heir: u64) {
        self.node.transfer_leader(heir);
    }

    /// Returns what is to be done, if anything is.
    pub(crate) fn duty(&mut self) -> Option<Duty> {
        if !self.node.has_ready() {
            return None;
        }
        let mut ready = self.node.ready();
        let mut messages = ready.take_messages();
        messages.extend(ready.take_persisted_messages());
        let has_snapshot = 0 < ready.snapshot().get_metadata().index;
        let snapshot: Option<Snapshot> = has_snapshot.then(|| ready.snapshot().clone());
        let (number, must_sync) = (ready.number(), ready.must_sync());
        let addition = Addition {
            hard: ready.hs().cloned(),
            snapshot: snapshot.clone(),
            entries: ready.take_entries(),
            ..Addition::default()
        };
        let agreed = ready.take_committed_entries();
        self.node.mut_store().add(addition.clone());
        // How far all agreed is not written for its own sake, but with whatever is: a member that
        // has an entry must know, after a restart too, that those are agreed which had to be before
        // it. Else it would go back to an earlier group, in which others might follow it.
        let addition = Addition { hard: Some(self.kept().hard.clone()), ..addition };
        self.node.advance_append_async(ready);
        for message in messages.iter().filter(|it| it.get_msg_type() == MessageType::MsgSnapshot) {
            // Whether it arrives is found out by what comes after it.
            self.node.report_snapshot(message.to, SnapshotStatus::Finish);
        }
        let charter = snapshot.map(|it| {
            self.conf = it.get_metadata().get_conf_state().clone();
            it.data
        });
        let addition = must_sync.then_some(addition);
        Some(Duty { number, addition, messages, charter, agreed })
    }

    /// Takes note in which append a duty was written.
    pub(crate) fn written(&mut self, number: u64, append: u64) {
        self.unsynced.push_back((append, number));
    }

    /// Takes note that appends up to a number are durable.
    pub(crate) fn durable(&mut self, append: u64) {
        while let Some((_, number)) = self.unsynced.pop_front_if(|(it, _)| *it <= append) {
            self.node.on_persist_ready(number);
        }
    }

    /// Takes note that a change of the group was agreed.
    pub(crate) fn change(&mut self, entry: &Entry) {
        let change = GroupChange::decode(&entry.context).unwrap_or_default();
        if let Ok(conf) = self.node.apply_conf_change(&change.as_raft()) {
            self.conf = conf;
        }
    }

    /// Takes note of how far what was agreed is taken in; lets `charter` stand for old entries.
    pub(crate) fn applied(
        &mut self,
        index: u64,
        when: Compact,
        charter: impl FnOnce() -> Bytes,
    ) -> bool {
        // A charter that was received whole is followed before it is durable here.
        let log = &self.node.raft.raft_log;
        if log.applied() < index && index <= log.persisted.min(log.committed) {
            self.node.advance_apply_to(index);
        }
        self.owes_snapshot |= when == Compact::Now;
        // What the library has not applied it still looks for.
        let is_applied = index <= self.node.raft.raft_log.applied();
        let store = self.node.mut_store();
        let kept = store.after(0).filter(|it| it.index <= index).count();
        let is_long = 2 * Self::ENTRIES_MAX <= kept;
        if !is_applied || kept == 0 || !is_long && !self.owes_snapshot {
            return false;
        }
        self.owes_snapshot = false;
        store.compact(index, self.conf.clone(), charter());
        true
    }

    /// Takes note of the incarnation in which a region was heard of first.
    pub(crate) fn bind(&mut self, region: RegionId, incarnation: u64) {
        self.node.mut_store().bound.insert(region, incarnation);
    }

    /// Takes note of up to which decree this region has taken over what it is the home of.
    pub(crate) fn activate(&mut self, placement: PlacementId, upto: u64) {
        self.node.mut_store().active.insert(placement, upto);
    }

    pub(crate) fn id(&self) -> u64 {
        self.node.raft.id
    }

    pub(crate) fn term(&self) -> u64 {
        self.node.raft.term
    }

    /// Takes note that the leader is lost: whoever asks for votes need not wait until it has been
    /// silent for long.
    pub(crate) fn doubt_leader(&mut self) {
        let raft = &mut self.node.raft;
        raft.election_elapsed = raft.election_elapsed.max(Self::LEADER_TICKS);
    }

    /// Whether nothing was heard just now of the leader, as a leader.
    pub(crate) fn is_quiet(&self) -> bool {
        Self::QUIET_TICKS <= self.node.raft.election_elapsed
    }

    /// Whether the leader has been silent for so long that it does not seem to lead any more.
    pub(crate) fn is_left_alone(&self) -> bool {
        Self::SILENT_TICKS <= self.node.raft.election_elapsed
    }

    pub(crate) fn is_leader(&self) -> bool {
        self.node.raft.state == StateRole::Leader
    }

    /// Returns the leader, if one is known; it may have been replaced.
    pub(crate) fn leader(&self) -> Option<u64> {
        Some(self.node.raft.leader_id).filter(|it| *it != raft::INVALID_ID)
    }

    pub(crate) fn conf(&self) -> &ConfState {
        &self.conf
    }

    pub(crate) fn kept(&self) -> &Kept {
        self.node.store()
    }

    pub(crate) fn last_index(&self) -> u64 {
        self.kept().last_index().unwrap_or(0)
    }

    /// Whether a majority of those who vote is in a set; of both groups while one follows another.
    pub(crate) fn is_majority(&self, holds: impl Fn(u64) -> bool) -> bool {
        let has = |voters: &[u64]| {
            voters.is_empty() || voters.len() / 2 < voters.iter().filter(|it| holds(**it)).count()
        };
        !self.conf.voters.is_empty() && has(&self.conf.voters) && has(&self.conf.voters_outgoing)
    }
}

/// Where a log ends: of two, the greater is the newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LogEnd {
    pub(crate) term: u64,
    pub(crate) index: u64,
}

/// When a snapshot is to stand for old entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compact {
    /// Once there are many.
    IfLong,
    /// At once.
    Now,
}

/// A change of the group itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupChange {
    pub(crate) votes: Vec<u64>,
    pub(crate) learns: Vec<u64>,
    pub(crate) leaves: Vec<u64>,
    /// What is decreed along with it.
    pub(crate) decree: Bytes,
}

impl GroupChange {
    fn encode(&self) -> Vec<u8> {
        let mut writer = photon_state::codec::Writer::default();
        for ids in [&self.votes, &self.learns, &self.leaves] {
            writer.uint(ids.len() as u64);
            ids.iter().for_each(|it| writer.uint(*it));
        }
        writer.bytes(&self.decree);
        writer.into_bytes().to_vec()
    }

    /// Decodes a change; the library itself makes empty ones, which end a transition.
    pub(crate) fn decode(bytes: &Bytes) -> Option<Self> {
        let mut reader = photon_state::codec::Reader::sharing(bytes);
        let mut ids = || {
            let all = (0..reader.count().ok()?).map(|_| reader.uint().ok());
            all.collect::<Option<Vec<u64>>>()
        };
        let (votes, learns, leaves) = (ids()?, ids()?, ids()?);
        Some(Self { votes, learns, leaves, decree: reader.owned().ok()? })
    }

    fn as_raft(&self) -> ConfChangeV2 {
        let single = |kind: ConfChangeType, id: &u64| {
            let mut single = ConfChangeSingle::default();
            single.set_change_type(kind);
            single.node_id = *id;
            single
        };
        let leaves = self.leaves.iter().map(|it| single(ConfChangeType::RemoveNode, it));
        let votes = self.votes.iter().map(|it| single(ConfChangeType::AddNode, it));
        let learns = self.learns.iter().map(|it| single(ConfChangeType::AddLearnerNode, it));
        let mut change = ConfChangeV2::default();
        change.set_changes(leaves.chain(votes).chain(learns).collect::<Vec<_>>().into());
        change
    }
}

/// Whether an entry changes the group itself.
pub(crate) fn is_group_change(entry: &Entry) -> bool {
    match entry.get_entry_type() {
        EntryType::EntryNormal => false,
        EntryType::EntryConfChange | EntryType::EntryConfChangeV2 => true,
    }
}
