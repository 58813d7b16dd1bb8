//! `/v1/datasets`: what datasets there are, and how each is read and written.
//! Must not know any record.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use photon_region::data::{self, DataCommand, DataReply, DatasetSpec};
use photon_state::{Dot, Hlc};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::data::dataset_in_path;
use super::errors::{Absent, Always, Body, Conflict, Misdirected};
use super::regions::NoParams;
use super::types::{
    ConflictWrite, DATA_WAIT_MS_MAX, DataConflict, DataConflicts, DataDigest, Dataset, Datasets,
    MasterPut, policy,
};
use crate::Front;
use crate::body::{self, Params, Segment};
use crate::names::{self, Invalid};
use crate::problem::{Declined, Stood};
use crate::time::rfc3339;

pub(super) fn router() -> OpenApiRouter<Front> {
    OpenApiRouter::default()
        .routes(routes!(list))
        .routes(routes!(show, put, delete))
        .routes(routes!(move_master))
        .routes(routes!(conflicts))
        .routes(routes!(digest))
}

/// List all datasets by name.
#[utoipa::path(
    get, path = "/v1/datasets", tag = "datasets", operation_id = "list_datasets",
    responses((status = 200, description = "The datasets", body = Datasets), Always),
)]
async fn list(State(front): State<Front>, _: Params<NoParams>) -> Result<Json<Datasets>, Declined> {
    let DataReply::Datasets(datasets) = front.submit_data(DataCommand::Datasets).await? else {
        unreachable!("the region answers `Datasets` with datasets")
    };
    Ok(Json(Datasets { datasets: datasets.iter().map(|it| Dataset::from(&**it)).collect() }))
}

/// Show a dataset.
#[utoipa::path(
    get, path = "/v1/datasets/{dataset}", tag = "datasets", operation_id = "get_dataset",
    params(("dataset" = String, Path, description = "The dataset",
        pattern = "^[a-z][a-z0-9._-]{0,62}$", example = "notes")),
    responses((status = 200, description = "The dataset", body = Dataset), Always, Absent),
)]
async fn show(
    State(front): State<Front>,
    Segment(dataset): Segment,
    _: Params<NoParams>,
) -> Result<Json<Dataset>, Declined> {
    let dataset = dataset_in_path(&dataset)?;
    encode(front.submit_data(DataCommand::Dataset(dataset)).await?)
}

/// Declare a dataset, or change how it is read and written.
///
/// Its type, its placement and who may write it cannot be changed.
#[utoipa::path(
    put, path = "/v1/datasets/{dataset}", tag = "datasets", operation_id = "put_dataset",
    params(("dataset" = String, Path, description = "The dataset",
        pattern = "^[a-z][a-z0-9._-]{0,62}$", example = "notes")),
    request_body = Dataset,
    responses(
        (status = 200, description = "The dataset as it is declared", body = Dataset),
        Always, Body, Conflict, Misdirected,
    ),
)]
async fn put(
    State(front): State<Front>,
    Segment(dataset): Segment,
    _: Params<NoParams>,
    body::Json(asked): body::Json<Dataset>,
) -> Result<Json<Dataset>, Declined> {
    let spec = asked.spec(dataset_in_path(&dataset)?);
    let spec = spec.map_err(|err| Invalid::new(err.field, err.rule).problem(Stood::Inside))?;
    let reply = front.submit_data(DataCommand::Declare(Arc::new(spec))).await?;
    if let DataReply::Dataset(spec) = &reply {
        front.kinds().learn(spec.name.clone(), spec.kind);
    }
    encode(reply)
}

/// Forget a dataset that has no records.
#[utoipa::path(
    delete, path = "/v1/datasets/{dataset}", tag = "datasets", operation_id = "delete_dataset",
    params(("dataset" = String, Path, description = "The dataset",
        pattern = "^[a-z][a-z0-9._-]{0,62}$", example = "notes")),
    responses(
        (status = 204, description = "It is forgotten"),
        Always, Absent, Conflict, Misdirected,
    ),
)]
async fn delete(
    State(front): State<Front>,
    Segment(dataset): Segment,
    _: Params<NoParams>,
) -> Result<StatusCode, Declined> {
    let dataset = dataset_in_path(&dataset)?;
    front.submit_data(DataCommand::Drop(dataset.clone())).await?;
    front.kinds().forget(&dataset);
    Ok(StatusCode::NO_CONTENT)
}

/// How long to wait.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct MoveParams {
    /// How long to wait at most until the move is over, in milliseconds; 30000 when absent.
    #[param(value_type = u32, minimum = 0, maximum = 60_000, required = false)]
    wait_ms: Option<String>,
}

impl MoveParams {
    /// How long to wait when the client does not say.
    const WAIT_MS_DEFAULT: u64 = 30_000;

    /// Returns how long to wait.
    pub(super) fn wait(&self) -> Result<Duration, Invalid> {
        let wait_ms = self.wait_ms.as_deref();
        let wait_ms = wait_ms.map(|it| names::number("wait_ms", it, 0..=DATA_WAIT_MS_MAX));
        Ok(Duration::from_millis(wait_ms.transpose()?.unwrap_or(Self::WAIT_MS_DEFAULT)))
    }
}

/// Make another region the only one that writes a dataset.
///
/// First that region gets everything; nobody writes meanwhile.
#[utoipa::path(
    put, path = "/v1/datasets/{dataset}/master", tag = "datasets", operation_id = "move_master",
    params(("dataset" = String, Path, description = "The dataset",
        pattern = "^[a-z][a-z0-9._-]{0,62}$", example = "notes"), MoveParams),
    request_body = MasterPut,
    responses(
        (status = 200, description = "The dataset as it is", body = Dataset),
        Always, Absent, Body, Conflict, Misdirected,
    ),
)]
async fn move_master(
    State(front): State<Front>,
    Segment(dataset): Segment,
    Params(params): Params<MoveParams>,
    body::Json(asked): body::Json<MasterPut>,
) -> Result<Json<Dataset>, Declined> {
    let dataset = dataset_in_path(&dataset)?;
    let wait = params.wait().map_err(|err| err.problem(Stood::Outside))?;
    let to = names::region("region", &asked.region).map_err(|err| err.problem(Stood::Inside))?;
    encode(front.submit_data(DataCommand::MoveMaster { dataset, to, wait }).await?)
}

/// Show the last conflicts of a dataset that were seen in this region.
#[utoipa::path(
    get, path = "/v1/datasets/{dataset}/conflicts", tag = "datasets",
    operation_id = "list_conflicts",
    params(("dataset" = String, Path, description = "The dataset",
        pattern = "^[a-z][a-z0-9._-]{0,62}$", example = "notes")),
    responses((status = 200, description = "Conflicts", body = DataConflicts), Always, Absent),
)]
async fn conflicts(
    State(front): State<Front>,
    Segment(dataset): Segment,
    _: Params<NoParams>,
) -> Result<Json<DataConflicts>, Declined> {
    let dataset = dataset_in_path(&dataset)?;
    let reply = front.submit_data(DataCommand::Conflicts(dataset)).await?;
    let DataReply::Conflicts(data::Conflicts { count, last }) = reply else {
        unreachable!("the region answers `Conflicts` with conflicts")
    };
    let write = |(dot, at): (Dot, Hlc)| ConflictWrite {
        region: dot.source.origin.to_string(),
        seq: dot.seq,
        at: rfc3339(at),
    };
    let last = last.iter().map(|it| DataConflict {
        key: String::from_utf8_lossy(&it.key).into_owned(),
        placement: it.placement.to_string(),
        policy: policy(it.policy).0,
        arrived: write(it.arrived),
        held: write(it.held),
    });
    Ok(Json(DataConflicts { count, last: last.collect() }))
}

/// Which records to digest.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DigestParams {
    /// Of which placement.
    #[param(pattern = "^[a-z][a-z0-9-]{0,22}$")]
    placement: String,
    /// Only keys after this one.
    #[param(max_length = 448, required = false, nullable = false)]
    after: Option<String>,
    /// Only keys up to this one.
    #[param(max_length = 448, required = false, nullable = false)]
    upto: Option<String>,
    /// How many records at most; 1000 when absent.
    #[param(value_type = u32, minimum = 1, maximum = 4096, required = false)]
    limit: Option<String>,
}

/// Show what the records of a range amount to in this region, to compare regions.
#[utoipa::path(
    get, path = "/v1/datasets/{dataset}/digest", tag = "datasets",
    operation_id = "digest_records",
    params(("dataset" = String, Path, description = "The dataset",
        pattern = "^[a-z][a-z0-9._-]{0,62}$", example = "notes"), DigestParams),
    responses(
        (status = 200, description = "The digest", body = DataDigest),
        Always, Absent, Misdirected, Body,
    ),
)]
async fn digest(
    State(front): State<Front>,
    Segment(dataset): Segment,
    Params(params): Params<DigestParams>,
) -> Result<Json<DataDigest>, Declined> {
    let dataset = dataset_in_path(&dataset)?;
    let outside = |err: Invalid| err.problem(Stood::Outside);
    let placement = names::placement("placement", &params.placement).map_err(outside)?;
    let limit = params.limit.as_deref().map(|it| names::number("limit", it, 1..=4096));
    let limit = limit.transpose().map_err(outside)?.unwrap_or(1000);
    let limit = usize::try_from(limit).expect("at most 4096");
    let key = |name: &str, text: Option<String>| match text {
        Some(text) if 448 < text.len() => {
            Err(Invalid::new(name, "must be at most 448 bytes long").problem(Stood::Outside))
        }
        text => Ok(text.map(bytes::Bytes::from)),
    };
    let (after, upto) = (key("after", params.after)?, key("upto", params.upto)?);
    let asked = DataCommand::Digest { dataset, placement, after, upto, limit };
    let DataReply::Digest(found) = front.submit_data(asked).await? else {
        unreachable!("the region answers `Digest` with a digest")
    };
    Ok(Json(DataDigest {
        records: found.records as u64,
        digest: format!("{:016x}", found.digest),
        cut_at: found.cut_at.map(|it| String::from_utf8_lossy(&it).into_owned()),
        seen: format!("{:016x}", found.seen),
    }))
}

fn encode(reply: DataReply) -> Result<Json<Dataset>, Declined> {
    let DataReply::Dataset(spec) = reply else {
        unreachable!("the region answers with the dataset")
    };
    let spec: &DatasetSpec = &spec;
    Ok(Json(spec.into()))
}
