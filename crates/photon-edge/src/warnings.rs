//! What is not as it should be in a region, although it serves: for people and for probes.
//! Must not make a region unready, nor know how it is told.

use std::time::Duration;

use photon_region::View;

use crate::v1::types::{Warning, WarningCode};

/// Lag above which there is a warning; the rules for Prometheus are as strict.
const LAG_MAX: Duration = Duration::from_secs(5);
/// Staleness above which a region has not caught up: it is told each second how much there is.
const STALENESS_MAX: Duration = Duration::from_secs(30);

/// Says that the clock of the region that answers is off.
pub(crate) fn clock_off(ahead_ms: i64) -> String {
    let (secs, way) = (ahead_ms.unsigned_abs() as f64 / 1e3, way(ahead_ms));
    format!(
        "the clock of this region, or what was stamped with it, is {secs:.1} s {way} those of most \
         others: mend its clock (NTP)"
    )
}

pub(crate) fn way(ahead_ms: i64) -> &'static str {
    if 0 < ahead_ms { "ahead of" } else { "behind" }
}

/// Returns what is not as it should be.
pub(crate) fn warnings(view: &View) -> Vec<Warning> {
    let mut all = Vec::new();
    let mut warn = |code, text: String| all.push(Warning { code, text });
    if view.is_disk_full {
        warn(WarningCode::DiskFull, "the disk is full: writes are refused".to_owned());
    }
    if view.is_disk_slow && !view.is_disk_full {
        let text =
            "the disk takes half a second and more to sync: other regions are given the work";
        warn(WarningCode::DiskSlow, text.to_owned());
    }
    if view.room.bytes_max / 10 * 9 < view.room.bytes {
        let (bytes, max) = (view.room.bytes, view.room.bytes_max);
        let text = format!("records take {bytes} of {max} bytes (`data.bytes_max`)");
        warn(WarningCode::DataNearlyFull, text);
    }
    if view.room.memory_end < view.room.memory {
        let (memory, max) = (view.room.memory, view.room.memory_max);
        let text = format!(
            "records take {memory} bytes of memory and may take {max} (`data.memory_max`): writes \
             that add are refused; give the disk room for pages, or raise it"
        );
        warn(WarningCode::DataMemoryFull, text);
    }
    if view.is_unknown {
        let text = "the regions that agree do not know this region: it accepts no tasks";
        warn(WarningCode::NotAdmitted, text.to_owned());
    }
    for placement in &view.placed_otherwise {
        let text = format!(
            "placement `{placement}` is configured here with other regions than all have agreed \
             on (`photon planet show`): this region decides about none of its tasks; mend the \
             configuration, or agree on it by `photon planet adopt`"
        );
        warn(WarningCode::PlacementDiffers, text);
    }
    if let Some(ahead_ms) = view.clock_off_ms {
        warn(WarningCode::ClockOff, clock_off(ahead_ms));
    }
    for peer in &view.peers {
        let region = peer.region;
        if !peer.is_linked {
            warn(WarningCode::LinkDown, format!("there is no link to `{region}`"));
        }
        if let Some(lag) = peer.lag.filter(|lag| LAG_MAX < *lag) {
            let (ops, secs) = (peer.lag_ops, lag.as_secs());
            let text = format!("`{region}` lacks {ops} changes of this region, for {secs} s");
            warn(WarningCode::Lag, text);
        }
        if let Some(staleness) = peer.staleness.filter(|it| STALENESS_MAX < *it) {
            let secs = staleness.as_secs();
            let text = format!("changes of `{region}` of the last {secs} s may be missing here");
            warn(WarningCode::Stale, text);
        }
    }
    if view.is_taking_state {
        let text = "the region was away for long, and is being sent the state of a peer";
        warn(WarningCode::CatchingUp, text.to_owned());
    }
    for it in view.conflicts.iter().filter(|it| it.is_alarming) {
        let (dataset, rate, max) = (&it.dataset, it.per_second, view.conflict_alarm_per_second);
        let text =
            format!("{rate:.1} writes of `{dataset}` a second are in conflict; {max} may be");
        warn(WarningCode::Conflicts, text);
    }
    all
}
