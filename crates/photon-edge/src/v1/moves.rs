//! `/v1/datasets/{dataset}/moves`: moving records from one placement to another, and the receipts;
//! and `/v1/log/compaction`, which lets go of what has moved away.
//! Must not decide anything: the region does.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use photon_region::data::{Copied, DataCommand, DataReply, MoveId, MoveState, Receipt};
use photon_state::{Dot, Hlc};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::data::{dataset_in_path, residency};
use super::datasets::MoveParams;
use super::errors::{Absent, Always, Body, Conflict, Misdirected};
use super::regions::NoParams;
use super::types::{MoveCopy, MoveOp, MovePost, MoveReceipt, MoveReceipts};
use crate::Front;
use crate::body::{self, Params, Segment};
use crate::names::Invalid;
use crate::page;
use crate::problem::{Declined, Stood};
use crate::time::rfc3339;

pub(super) fn router() -> OpenApiRouter<Front> {
    OpenApiRouter::default()
        .routes(routes!(list, post))
        .routes(routes!(show))
        .routes(routes!(compact))
}

/// Move a record to another placement.
///
/// It is copied to every region there, and then removed from where it lived. The reply is the
/// receipt as it is when the wait is over; the move goes on. To ask again is safe.
#[utoipa::path(
    post, path = "/v1/datasets/{dataset}/moves", tag = "datasets", operation_id = "move_record",
    params(("dataset" = String, Path, description = "The dataset",
        pattern = "^[a-z][a-z0-9._-]{0,62}$", example = "notes"), MoveParams),
    request_body = MovePost,
    responses(
        (status = 200, description = "The receipt as it is", body = MoveReceipt),
        Always, Absent, Body, Conflict, Misdirected,
    ),
)]
async fn post(
    State(front): State<Front>,
    Segment(dataset): Segment,
    Params(params): Params<MoveParams>,
    body::Json(asked): body::Json<MovePost>,
) -> Result<Json<MoveReceipt>, Declined> {
    let dataset = dataset_in_path(&dataset)?;
    let wait = params.wait().map_err(|err| err.problem(Stood::Outside))?;
    let inside = |err: Invalid| err.problem(Stood::Inside);
    let to = residency("to", &asked.to).map_err(inside)?;
    let from = asked.from.as_deref().map(|it| residency("from", it)).transpose();
    let command = DataCommand::Move {
        dataset,
        key: asked.key.into(),
        to,
        from: from.map_err(inside)?,
        asked_in: None,
        wait,
    };
    let DataReply::Moved(receipt) = front.submit_data(command).await? else {
        unreachable!("the region answers `Move` with a receipt")
    };
    Ok(Json(encode(&receipt)))
}

/// Which receipts to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ReceiptParams {
    /// The `next_before` of the page before.
    #[param(pattern = "^[0-9a-f]{32}$", required = false, nullable = false)]
    before: Option<String>,
    /// How many at most; 100 when absent.
    #[param(value_type = u32, minimum = 1, maximum = 1000, required = false)]
    limit: Option<String>,
}

/// List the receipts of moves out of the placements of this region, the youngest first.
#[utoipa::path(
    get, path = "/v1/datasets/{dataset}/moves", tag = "datasets", operation_id = "list_moves",
    params(("dataset" = String, Path, description = "The dataset",
        pattern = "^[a-z][a-z0-9._-]{0,62}$", example = "notes"), ReceiptParams),
    responses(
        (status = 200, description = "The receipts", body = MoveReceipts), Always, Absent,
    ),
)]
async fn list(
    State(front): State<Front>,
    Segment(dataset): Segment,
    Params(params): Params<ReceiptParams>,
) -> Result<Json<MoveReceipts>, Declined> {
    let dataset = dataset_in_path(&dataset)?;
    let outside = |err: Invalid| err.problem(Stood::Outside);
    let before = params.before.as_deref().map(|it| move_id("before", it)).transpose();
    let before = before.map_err(outside)?;
    let limit = page::limit(params.limit.as_deref()).map_err(outside)?;
    let asked = DataCommand::Receipts { dataset, id: None, before, limit };
    let DataReply::Receipts { receipts, more } = front.submit_data(asked).await? else {
        unreachable!("the region answers `Receipts` with receipts")
    };
    let last = receipts.last().map(|it| it.id.to_string());
    let moves = receipts.iter().map(encode).collect();
    Ok(Json(MoveReceipts { moves, next_before: last.filter(|_| more) }))
}

/// Show the receipt of a move.
#[utoipa::path(
    get, path = "/v1/datasets/{dataset}/moves/{move}", tag = "datasets",
    operation_id = "get_move",
    params(
        ("dataset" = String, Path, description = "The dataset",
            pattern = "^[a-z][a-z0-9._-]{0,62}$", example = "notes"),
        ("move" = String, Path, description = "The move", pattern = "^[0-9a-f]{32}$"),
    ),
    responses(
        (status = 200, description = "The receipt", body = MoveReceipt), Always, Absent,
    ),
)]
async fn show(
    State(front): State<Front>,
    Path((dataset, id)): Path<(String, String)>,
    _: Params<NoParams>,
) -> Result<Json<MoveReceipt>, Declined> {
    let dataset = dataset_in_path(&dataset)?;
    let id = move_id("move", &id).map_err(|err| err.problem(Stood::Outside))?;
    let asked = DataCommand::Receipts { dataset, id: Some(id), before: None, limit: 1 };
    let DataReply::Receipts { receipts, .. } = front.submit_data(asked).await? else {
        unreachable!("the region answers `Receipts` with receipts")
    };
    Ok(Json(encode(receipts.first().expect("it refuses what is not there"))))
}

/// Bound the log of this region soon, however short it is.
///
/// The state is written into it, and once all regions have what is older, that goes, and with it
/// what is left of records that have moved away.
#[utoipa::path(
    post, path = "/v1/log/compaction", tag = "datasets", operation_id = "compact_log",
    responses((status = 202, description = "It is begun soon"), Always),
)]
async fn compact(State(front): State<Front>, _: Params<NoParams>) -> Result<StatusCode, Declined> {
    front.submit_data(DataCommand::Compact).await?;
    Ok(StatusCode::ACCEPTED)
}

fn move_id(field: &str, text: &str) -> Result<MoveId, Invalid> {
    text.parse()
        .map_err(|err: photon_region::data::MoveIdError| Invalid::new(field, err.to_string()))
}

fn encode(it: &Receipt) -> MoveReceipt {
    let at = |wall_ms: u64| rfc3339(Hlc { wall_ms, count: 0 });
    let op = |dot: &Dot| MoveOp { region: dot.source.origin.to_string(), seq: dot.seq };
    let copy = |Copied { dot, regions }: &Copied| MoveCopy {
        op: op(dot),
        regions: regions.iter().map(ToString::to_string).collect(),
    };
    let is_free = |region| it.purged.contains_key(region);
    MoveReceipt {
        id: it.id.to_string(),
        dataset: it.dataset.to_string(),
        key: it.key.as_ref().map(|it| String::from_utf8_lossy(it).into_owned()),
        key_sha256: hex(&it.key_digest),
        content_sha256: it.content_digest.as_ref().map(|it| hex(it)),
        from: it.from.to_string(),
        to: it.to.to_string(),
        asked_in: it.asked_in.to_string(),
        decided_in: it.decided_in.to_string(),
        state: it.state.as_str().to_owned(),
        begun_at: at(it.begun_ms),
        done_at: it.done_ms.map(at),
        copies: it.copies.iter().map(copy).collect(),
        removals: it.removals.iter().map(op).collect(),
        must_forget: it.must_forget.iter().map(ToString::to_string).collect(),
        purged: it.purged.iter().map(|(region, ms)| (region.to_string(), at(*ms))).collect(),
        is_purged: it.state == MoveState::Done && it.must_forget.iter().all(is_free),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}
