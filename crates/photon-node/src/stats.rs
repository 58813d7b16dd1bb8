//! Counts and histograms of the log and the links, for metrics.
//! Must not know how they are shown.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::lanes::PeerLanes;
use crate::log::Recovered;
use crate::troubles::Troubles;

/// The upper bounds of the buckets of sync times, in microseconds.
const SYNC_MICROS: [u64; 12] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000];
/// The upper bounds of the buckets of ops in a group.
const GROUP_OPS: [u64; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 10_000];

/// How many values lay at or below each bound, as Prometheus counts them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// The bounds in growing order, each with how many values lay at or below it.
    pub buckets: Vec<(f64, u64)>,
    /// All values together.
    pub sum: f64,
    /// How many values there were, those above every bound too.
    pub count: u64,
}

/// What the log has done since the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogStats {
    /// Groups committed.
    pub groups: u64,
    /// Ops committed.
    pub ops: u64,
    /// Bytes of segments that are in use, those of earlier runs too.
    pub bytes: u64,
    /// Bytes that were cut off at the start because a crash had torn them.
    pub torn_bytes: u64,
    /// How long a sync took, in seconds.
    pub sync_seconds: Histogram,
    /// How many ops a group held.
    pub group_ops: Histogram,
}

/// What the links have done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Links that came up.
    pub linked: u64,
    /// Peers and strangers that were refused.
    pub refused: u64,
    /// Messages that were dropped because no link was up or its queue was full.
    pub dropped: u64,
    /// Bytes written to links.
    pub sent_bytes: u64,
    /// Bytes read from links.
    pub received_bytes: u64,
    /// When the certificate for links ends, in seconds since 1970, if there is one.
    pub certificate_not_after_secs: Option<u64>,
}

#[derive(Debug)]
struct Buckets {
    bounds: &'static [u64; 12],
    counts: [AtomicU64; 12],
    sum: AtomicU64,
    count: AtomicU64,
}

impl Buckets {
    fn new(bounds: &'static [u64; 12]) -> Self {
        Self {
            bounds,
            counts: Default::default(),
            sum: AtomicU64::new(0),
            count: AtomicU64::new(0),
        }
    }

    fn add(&self, value: u64) {
        if let Some(count) = self.counts.get(self.bounds.partition_point(|bound| *bound < value)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(value, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the histogram with its values divided by `unit`.
    fn read(&self, unit: f64) -> Histogram {
        let mut below = 0;
        let buckets = self.bounds.iter().zip(&self.counts).map(|(bound, count)| {
            below += count.load(Ordering::Relaxed);
            (*bound as f64 / unit, below)
        });
        Histogram {
            buckets: buckets.collect(),
            sum: self.sum.load(Ordering::Relaxed) as f64 / unit,
            count: self.count.load(Ordering::Relaxed),
        }
    }
}

/// Counts what the log does.
#[derive(Debug)]
pub(crate) struct LogCounters {
    bytes: AtomicU64,
    torn_bytes: AtomicU64,
    sync_micros: Buckets,
    group_ops: Buckets,
}

impl Default for LogCounters {
    fn default() -> Self {
        Self {
            bytes: AtomicU64::new(0),
            torn_bytes: AtomicU64::new(0),
            sync_micros: Buckets::new(&SYNC_MICROS),
            group_ops: Buckets::new(&GROUP_OPS),
        }
    }
}

impl LogCounters {
    /// Counts what a start found.
    pub(crate) fn recovered(&self, recovered: &Recovered) {
        self.bytes.store(recovered.bytes, Ordering::Relaxed);
        let torn = recovered.torn.as_ref().map_or(0, |torn| torn.bytes);
        self.torn_bytes.store(torn, Ordering::Relaxed);
    }

    /// Counts a commit.
    pub(crate) fn committed(&self, ops: usize, bytes: u64, sync: Duration) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.group_ops.add(ops as u64);
        self.sync_micros.add(u64::try_from(sync.as_micros()).unwrap_or(u64::MAX));
    }

    /// Returns what was counted.
    pub(crate) fn read(&self) -> LogStats {
        LogStats {
            groups: self.group_ops.count.load(Ordering::Relaxed),
            ops: self.group_ops.sum.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            torn_bytes: self.torn_bytes.load(Ordering::Relaxed),
            sync_seconds: self.sync_micros.read(1e6),
            group_ops: self.group_ops.read(1.0),
        }
    }
}

/// Counts what the links do.
#[derive(Debug, Default)]
pub(crate) struct LinkCounters {
    pub(crate) linked: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) sent_bytes: AtomicU64,
    pub(crate) received_bytes: AtomicU64,
    certificate_not_after_secs: AtomicU64,
    pub(crate) peers: PeerLanes,
    pub(crate) troubles: Troubles,
}

impl LinkCounters {
    /// Takes note of when the certificate ends.
    pub(crate) fn certificate_ends(&self, secs: u64) {
        self.certificate_not_after_secs.store(secs, Ordering::Relaxed);
    }

    /// Returns what was counted.
    pub(crate) fn read(&self) -> LinkStats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        LinkStats {
            linked: read(&self.linked),
            refused: read(&self.refused),
            dropped: read(&self.dropped),
            sent_bytes: read(&self.sent_bytes),
            received_bytes: read(&self.received_bytes),
            certificate_not_after_secs: Some(read(&self.certificate_not_after_secs))
                .filter(|it| *it != 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_at_or_below_each_bound() {
        let counters = LogCounters::default();
        for (ops, micros) in [(1, 100), (2, 101), (20_000, 2_000_000)] {
            counters.committed(ops, 10, Duration::from_micros(micros));
        }
        let stats = counters.read();
        assert_eq!((stats.groups, stats.ops, stats.bytes), (3, 20_003, 30));
        assert_eq!(stats.sync_seconds.buckets[..2], [(0.0001, 1), (0.00025, 2)]);
        assert_eq!(stats.sync_seconds.buckets[11], (1.0, 2));
        assert_eq!(stats.group_ops.buckets[0], (1.0, 1));
        assert_eq!((stats.group_ops.count, stats.sync_seconds.count), (3, 3));
    }
}
