//! `/v1/replication`: how far the other regions and this one are behind each other.
//! Must not judge: the view says what is, and `warnings` what should not be.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use photon_region::{ConflictView, PeerView, PlacementLag};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::errors::Always;
use super::regions::NoParams;
use super::types::{DatasetConflicts, Replication, ReplicationLag, ReplicationPeer};
use crate::Front;
use crate::body::Params;
use crate::problem::Declined;
use crate::warnings::warnings;

pub(super) fn router() -> OpenApiRouter<Front> {
    OpenApiRouter::default().routes(routes!(show))
}

/// Show how far the other regions and this one are behind each other.
#[utoipa::path(
    get, path = "/v1/replication", tag = "regions", operation_id = "get_replication",
    responses((status = 200, description = "How replication goes", body = Replication), Always),
)]
async fn show(
    State(front): State<Front>,
    _: Params<NoParams>,
) -> Result<Json<Replication>, Declined> {
    let view = front.view();
    Ok(Json(Replication {
        here: front.region().to_string(),
        peers: view.peers.iter().map(peer).collect(),
        conflicts: view.conflicts.iter().map(conflicts).collect(),
        conflict_alarm_per_second: view.conflict_alarm_per_second,
        warnings: warnings(&view),
    }))
}

/// Returns a time in whole milliseconds.
pub(super) fn millis(time: Option<Duration>) -> Option<u64> {
    time.map(|it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX))
}

fn peer(it: &PeerView) -> ReplicationPeer {
    ReplicationPeer {
        region: it.region.to_string(),
        linked: it.is_linked,
        round_trip_ms: it.round_trip.map(|it| it.as_secs_f64() * 1e3),
        lag_ops: it.lag_ops,
        lag_ms: millis(it.lag),
        staleness_ms: millis(it.staleness),
        placements: it.placements.iter().map(lag).collect(),
    }
}

fn lag(it: &PlacementLag) -> ReplicationLag {
    ReplicationLag {
        placement: it.placement.to_string(),
        lag_ops: it.lag_ops,
        lag_ms: millis(it.lag),
        staleness_ms: millis(it.staleness),
    }
}

fn conflicts(it: &ConflictView) -> DatasetConflicts {
    DatasetConflicts {
        dataset: it.dataset.to_string(),
        count: it.count,
        per_second: it.per_second,
        alarm: it.is_alarming,
    }
}
