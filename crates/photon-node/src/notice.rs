//! Writes what the region tells the people who operate it into the log of the process.
//! Must not decide what is worth telling, nor name a record.

use photon_region::{ConflictSample, Notice};
use photon_state::{Dot, Hlc};
use tracing::{info, warn};

/// Tells of something.
pub(crate) fn tell(notice: &Notice) {
    match notice {
        Notice::Conflict(sample) => conflict(sample),
        Notice::ManyConflicts(rate) => warn!(
            dataset = %rate.dataset, per_second = rate.per_second,
            per_second_max = rate.per_second_max,
            "writes are in conflict more often than they should be"
        ),
        Notice::FewConflicts(rate) => info!(
            dataset = %rate.dataset, per_second = rate.per_second,
            "writes are no longer in conflict too often"
        ),
        Notice::ClockApart { region, ahead_ms } => warn!(
            peer = %region, ahead_ms,
            "the clock of a region is too far from this one's: what the one that is ahead writes \
             waits until the other's clock has come as far"
        ),
        Notice::ClockAgrees { region } => info!(peer = %region, "the clocks agree again"),
        Notice::OwnClockOff { ahead_ms } => warn!(
            ahead_ms,
            "the clock of this region, or what was stamped with it, is too far from those of most \
             others: mend its clock (NTP); nothing is lost, and the region counts as degraded"
        ),
        Notice::OwnClockAgrees => info!("the clock of this region agrees with the others again"),
        Notice::OpsWait { origin, ahead_ms } => warn!(
            %origin, ahead_ms,
            "changes of a region wait here: their stamps are ahead of the clock; mend the clock \
             that is off"
        ),
    }
}

fn conflict(sample: &ConflictSample) {
    let name = |(dot, _): &(Dot, Hlc)| format!("{}:{}", dot.source.origin, dot.seq);
    info!(
        dataset = %sample.dataset,
        placement = %sample.placement,
        key_hash = sample.key_hash.map(|it| display(format!("{it:016x}"))),
        policy = sample.policy.as_str(),
        arrived = name(&sample.arrived),
        arrived_ms = sample.arrived.1.wall_ms,
        held = name(&sample.held),
        held_ms = sample.held.1.wall_ms,
        left_out = sample.left_out,
        "two writes did not know of each other"
    );
}
