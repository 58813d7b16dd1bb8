//! Counts what each class of a link to a peer carries, for metrics.
//! Must not know how they are shown.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use photon_state::RegionId;

use crate::links::Class;

/// What one class of the link to a peer has carried since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneStats {
    /// The peer.
    pub peer: RegionId,
    /// The class: `control`, `interactive` or `bulk`.
    pub class: &'static str,
    /// What was sent.
    pub sent: Carried,
    /// What was received.
    pub received: Carried,
    /// Bytes of messages that wait to be sent.
    pub queue_bytes: u64,
    /// Messages that were dropped because no link was up or the queue was full.
    pub dropped: u64,
}

/// Messages, and what they took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Messages.
    pub messages: u64,
    /// Their bytes before compression.
    pub raw_bytes: u64,
    /// Their bytes after it, with headers.
    pub wire_bytes: u64,
}

/// Counts messages in one direction.
#[derive(Debug, Default)]
pub(crate) struct CarriedCounters {
    messages: AtomicU64,
    raw_bytes: AtomicU64,
    wire_bytes: AtomicU64,
}

impl CarriedCounters {
    pub(crate) fn message(&self, raw_bytes: usize) {
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.raw_bytes.fetch_add(raw_bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn fragment(&self, wire_bytes: usize) {
        self.wire_bytes.fetch_add(wire_bytes as u64, Ordering::Relaxed);
    }

    fn read(&self) -> Carried {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let [messages, raw_bytes, wire_bytes] =
            [&self.messages, &self.raw_bytes, &self.wire_bytes].map(read);
        Carried { messages, raw_bytes, wire_bytes }
    }
}

/// Counts one class.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    pub(crate) sent: CarriedCounters,
    pub(crate) received: CarriedCounters,
    pub(crate) queue_bytes: AtomicU64,
    pub(crate) dropped: AtomicU64,
}

/// Counts all classes of the link to a peer.
#[derive(Debug, Default)]
pub(crate) struct Lanes([Lane; 3]);

impl Lanes {
    pub(crate) fn of(&self, class: Class) -> &Lane {
        &self.0[class.index()]
    }
}

/// Counts for each peer. The peers are known from the start on, so there are never more.
#[derive(Debug, Default)]
pub(crate) struct PeerLanes(OnceLock<BTreeMap<RegionId, Arc<Lanes>>>);

impl PeerLanes {
    /// Says who the peers are, once.
    pub(crate) fn set(&self, peers: impl Iterator<Item = RegionId>) {
        let lanes = peers.map(|it| (it, Arc::default())).collect();
        self.0.set(lanes).expect("said once, at the start");
    }

    /// Returns the counters of a peer; those of a stranger are read by nobody.
    pub(crate) fn of(&self, peer: RegionId) -> Arc<Lanes> {
        self.0.get().and_then(|it| it.get(&peer)).map(Arc::clone).unwrap_or_default()
    }

    /// Returns what was counted.
    pub(crate) fn read(&self) -> Vec<LaneStats> {
        let lanes = self.0.get().into_iter().flatten();
        let stats = |(peer, lanes): (&RegionId, &Arc<Lanes>)| {
            Class::ALL.map(|class| {
                let lane = lanes.of(class);
                LaneStats {
                    peer: *peer,
                    class: class.name(),
                    sent: lane.sent.read(),
                    received: lane.received.read(),
                    queue_bytes: lane.queue_bytes.load(Ordering::Relaxed),
                    dropped: lane.dropped.load(Ordering::Relaxed),
                }
            })
        };
        lanes.flat_map(stats).collect()
    }
}
