//! What a region shows of itself: an immutable snapshot for metrics and for the list of regions.
//! Must not hold anything that a reader could change.

use std::time::Duration;

use photon_state::{PageCounts, PlacementId, RegionId};

/// What room the records of datasets take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoomView {
    /// Bytes of the records.
    pub bytes: usize,
    /// Beyond how many of them writes that add are refused.
    pub bytes_max: usize,
    /// Those of them that are in memory.
    pub memory: usize,
    /// Beyond how many bytes in memory records are laid on pages.
    pub memory_max: usize,
    /// Bytes of what is kept of changes for watchers.
    pub changes: usize,
    /// Beyond how many bytes in memory writes that add are refused.
    pub memory_end: usize,
    /// What was done with pages.
    pub pages: PageCounts,
}

/// A snapshot of one region.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// The other regions of the planet, by name.
    pub peers: Vec<PeerView>,
    /// Whether a peer sends its state, because this region was away for too long.
    pub is_taking_state: bool,
    /// Whether the regions that agree do not know this one: it accepts no tasks.
    pub is_unknown: bool,
    /// How far this region's clock, or what it stamps, is ahead of most others; negative is behind,
    /// and nothing if they agree.
    pub clock_off_ms: Option<i64>,
    /// Placements of which all have agreed on other regions than are configured here: it decides
    /// about none of their tasks.
    pub placed_otherwise: Vec<PlacementId>,
    /// Whether the disk refuses writes.
    pub is_disk_full: bool,
    /// Whether the disk takes long to sync.
    pub is_disk_slow: bool,
    /// Agents known, on the whole planet.
    pub agents: usize,
    /// Agents known that are online.
    pub agents_online: usize,
    /// Tasks in memory by state: those of every home that this region may hold.
    pub tasks: Vec<(crate::TaskState, usize)>,
    /// How many shards of tasks this region is the home of and has taken over.
    pub shards: usize,
    /// Tasks of this home that wait for an agent.
    pub waiting: usize,
    /// Those that wait until they may: for their start, or for another attempt.
    pub delayed: usize,
    /// Commands that await their reply.
    pub in_flight: usize,
    /// Webhooks of tasks of this home that have not been told all there is.
    pub webhooks_due: usize,
    /// Bytes of ended tasks that are kept.
    pub kept_bytes: usize,
    /// Topics that are known here.
    pub topics: usize,
    /// Bytes of their messages.
    pub topic_bytes: usize,
    /// Datasets known.
    pub datasets: usize,
    /// What room the records of datasets take.
    pub room: RoomView,
    /// The datasets that had conflicts since the start.
    pub conflicts: Vec<ConflictView>,
    /// Above which rate of conflicts a dataset is in alarm.
    pub conflict_alarm_per_second: u64,
    /// Counts since the start.
    pub counters: Counters,
}

/// Another region, as this one sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerView {
    /// Its name.
    pub region: RegionId,
    /// Whether there is a link to it.
    pub is_linked: bool,
    /// What is thought of it.
    pub verdict: PeerVerdict,
    /// For how long; nothing if it was never thought otherwise.
    pub verdict_for: Option<Duration>,
    /// How many shards of tasks it is the home of, as far as is known.
    pub shards: usize,
    /// How far its clock is ahead, if it is too far from this region's; negative is behind.
    pub clock_apart_ms: Option<i64>,
    /// The last round trip measured over the link.
    pub round_trip: Option<Duration>,
    /// How many ops of this region are not yet durable there, as far as is known.
    pub lag_ops: u64,
    /// How long ago the first of them was made; nothing until the peer has spoken.
    pub lag: Option<Duration>,
    /// How long ago the peer may have made an op that is not here; nothing if it is not known.
    pub staleness: Option<Duration>,
    /// The same of each placement that both are in.
    pub placements: Vec<PlacementLag>,
}

/// What a region thinks of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerVerdict {
    /// It is well.
    Up,
    /// It says itself that something is wrong: new work is better sent elsewhere.
    Degraded,
    /// It is not heard here, or does not hear this region.
    PathBad,
    /// Most regions do not hear it: it is the home of nothing more.
    Down,
}

/// How far a peer and this region are behind each other with the ops of one placement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacementLag {
    /// The placement.
    pub placement: PlacementId,
    /// How many ops of this region are not yet durable at the peer, as far as is known.
    pub lag_ops: u64,
    /// How long ago the first of them was made; nothing until the peer has spoken.
    pub lag: Option<Duration>,
    /// How long ago the peer may have made an op that is not here; nothing if it is not known.
    pub staleness: Option<Duration>,
}

/// How often writes of a dataset were in conflict.
#[derive(Clone, Debug, PartialEq)]
pub struct ConflictView {
    /// The dataset.
    pub dataset: crate::data::DatasetName,
    /// How many conflicts there were since the start.
    pub count: u64,
    /// How many in a second: the mean of the last ten.
    pub per_second: f64,
    /// Whether that is, or was a moment ago, more than there should be.
    pub is_alarming: bool,
}

/// Counts of what happened since the start. They only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Tasks accepted.
    pub submitted: u64,
    /// Leases given by this home.
    pub claimed: u64,
    /// Leases that lapsed.
    pub lapsed: u64,
    /// Attempts that came to nothing and were followed by another one.
    pub retried: u64,
    /// Messages that this home numbered.
    pub posted: u64,
    /// Of those the ones that a lost home had numbered before.
    pub posted_again: u64,
    /// Attempts and tasks that took longer than their terms allow.
    pub timed_out: u64,
    /// Tasks of this home that ended.
    pub ended: u64,
    /// Commands refused.
    pub refused: u64,
    /// Claims of workers that were refused as stale.
    pub stale: u64,
    /// Ops appended to the log, of this region and of others.
    pub appended: u64,
    /// Ops sent to peers, repeats included.
    pub sent: u64,
    /// Ops that peers sent, repeats included.
    pub received: u64,
    /// Ops that peers sent and that were here already.
    pub repeated: u64,
    /// Times that this region sent a peer a stream out of turn, because the peer got no further.
    pub helped: u64,
    /// Ops of peers that were put off because their clock runs ahead.
    pub skewed: u64,
    /// Writes of records.
    pub written: u64,
    /// Writes that met another one that their author had not seen.
    pub conflicts: u64,
    /// Times that a peer was sent the state, because no log held what it lacked.
    pub transfers: u64,
    /// Requests for data that were handed on to another region.
    pub forwarded: u64,
    /// Tasks that gave way to another one of the same idempotency key.
    pub gave_way: u64,
    /// Looks at tasks that were handed on to another region.
    pub looked_elsewhere: u64,
    /// Questions to homes of tasks that went through a third region.
    pub detoured: u64,
    /// Questions to homes of tasks that were asked for a region with a bad path.
    pub passed_on: u64,
    /// Times that rights of a bounded counter were given to another region.
    pub rights_given: u64,
    /// Quorum reads that found regions with the same ops and another state: damage.
    pub mismatched: u64,
    /// Comparisons with peers that were begun, to find damage.
    pub compared: u64,
    /// Bytes of what was told to peers in comparisons.
    pub compared_bytes: u64,
    /// Records that a peer had lost, or whose removal was lost here, and that were mended.
    pub mended: u64,
    /// Times that a webhook took all that it was told.
    pub webhooks_told: u64,
    /// Times that one did not.
    pub webhooks_failed: u64,
    /// Times that what one did not take for long was given up.
    pub webhooks_given_up: u64,
    /// Ops that broke the rules of their record or could not be decoded, and answers of peers that
    /// could not be ones to what they were asked.
    pub misplaced: u64,
}
