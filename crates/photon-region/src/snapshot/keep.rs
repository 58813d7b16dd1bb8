//! How long what is older than a state stays in the log for peers that lack some of it.
//! Must not cut anything itself.

use std::time::Duration;

use photon_state::{RegionId, Seen, StreamId};

use crate::contract::Disk;
use crate::links::Peer;
use crate::region::Region;

/// The log is kept for peers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waits {
    /// When the state was written that the log would be cut to, by the clock of the wall.
    written_ms: u64,
    /// Until when it is kept if nobody gets further, and how many ops they lacked at the last look;
    /// nothing before the first one of this life.
    looked: Option<(Duration, u64)>,
}

impl Waits {
    pub(super) fn since(written_ms: u64) -> Self {
        Self { written_ms, looked: None }
    }
}

impl Region {
    /// Whoever has got further has this long at the least to show that it does again.
    const SHOWS_WITHIN: Duration = Duration::from_secs(3);

    /// Whether what is older than a state is kept, once more, for peers that lack some of it: for
    /// as long as logs are kept after one of them got further. They may be slower than what is
    /// written: once the log has grown by what makes a state due, they have only the time that is
    /// left. Until then, a start gives them all of it anew.
    pub(super) fn keeps_log_for_peers(&self, seen: &Seen, waits: &mut Waits) -> bool {
        // Who is being sent a state that is older than this one goes on behind it. If that were cut
        // off meanwhile, another state would have to follow, and so on.
        let (mut lacked, mut awaits_older) = (0_u64, false);
        for (region, peer) in &self.peers {
            let older = peer.transfer.as_ref().filter(|it| it.gets_on());
            for (stream, seq) in seen.iter().filter(|(it, _)| self.needs((*region, peer), it)) {
                let missing = seq.saturating_sub(peer.kept.of(stream));
                lacked = lacked.saturating_add(missing);
                awaits_older |= 0 < missing && older.is_some_and(|it| it.lacks(stream, seq));
            }
        }
        let gets_on = awaits_older || waits.looked.is_none_or(|(_, before)| lacked < before);
        let limits = &self.config.limits;
        let grown_max = limits.compact_after_bytes.max(2 * self.compaction.state_bytes);
        let (now, retention) = (self.now.mono, limits.log_retention.max(Self::SHOWS_WITHIN));
        let mut until = waits.looked.map_or_else(
            || {
                let age = self.now.wall_ms.saturating_sub(waits.written_ms);
                let left = retention.saturating_sub(Duration::from_millis(age));
                now.saturating_add(left.max(Self::SHOWS_WITHIN))
            },
            |(until, _)| until,
        );
        if gets_on && self.compaction.grown_bytes <= grown_max {
            until = until.max(now.saturating_add(retention));
        }
        waits.looked = Some((until, lacked));
        0 < lacked && now < until && self.disk == Disk::Ready
    }

    /// Whether a region is to have a stream from others: it may, and does not write it.
    fn needs(&self, (region, peer): (RegionId, &Peer), stream: &StreamId) -> bool {
        // Until it has spoken, nobody knows which of its logs it writes.
        let is_its_own = stream.origin == region
            && peer.kept_incarnation.is_none_or(|it| it == stream.incarnation);
        !is_its_own && self.may_hold(region, stream.placement)
    }
}
