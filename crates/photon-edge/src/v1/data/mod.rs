//! `/v1/data`: records of datasets: read, write, list, watch.
//! Must not decide anything, nor keep a record: the region does.

mod ask;
mod batch;
mod content;
mod document;
mod edit;
mod list;
mod read;
mod show;
mod text;
mod watch;
mod write;

use std::sync::Arc;

use photon_region::data::{DataCommand, DataReply, DatasetName, Kind, PlacementRule};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) use ask::{dataset_in_path, residency};

use crate::{Failure, Front};

/// The path of a record as the router has it. The document has another one: there a key is like
/// any other segment, whose slashes may be escaped or not.
pub(super) const RECORD_PATH: &str = "/v1/data/{dataset}/{*key}";

pub(super) fn router() -> OpenApiRouter<Front> {
    OpenApiRouter::default().routes(routes!(list::list, batch::batch)).routes(routes!(
        read::read,
        write::put,
        write::patch,
        write::delete
    ))
}

/// What a dataset holds, and which member of it says where a record lives.
#[derive(Debug)]
struct Typed {
    kind: Kind,
    attribute: Option<Arc<str>>,
}

/// Returns the type of a dataset, as it was a moment ago at the earliest.
async fn recent_kind(front: &Front, dataset: &DatasetName) -> Result<Kind, Failure> {
    match front.kinds().recent(dataset) {
        Some(kind) => Ok(kind),
        None => Ok(current_kind(front, dataset).await?.kind),
    }
}

/// Returns the type of a dataset.
async fn current_kind(front: &Front, dataset: &DatasetName) -> Result<Typed, Failure> {
    let reply = front.submit_data(DataCommand::Dataset(dataset.clone())).await;
    if reply.is_err() {
        front.kinds().forget(dataset);
    }
    let DataReply::Dataset(spec) = reply? else {
        unreachable!("the region answers `Dataset` with the dataset")
    };
    front.kinds().learn(dataset.clone(), spec.kind);
    let attribute = match (&spec.rule, spec.kind) {
        (PlacementRule::ByRecord { attribute, .. }, Kind::Map | Kind::Document) => {
            Some(attribute.clone())
        }
        (PlacementRule::ByRecord { .. }, Kind::Register | Kind::Set)
        | (PlacementRule::ByRecord { .. }, Kind::Counter | Kind::BoundedCounter)
        | (PlacementRule::Fixed(_) | PlacementRule::ByTenant { .. }, _) => None,
    };
    Ok(Typed { kind: spec.kind, attribute })
}

/// Returns the type of a dataset for one who writes. Sets, maps and documents are kept alike, so
/// that the region could not tell a write that was meant for another type: they are asked for.
async fn kind_to_write(front: &Front, dataset: &DatasetName) -> Result<Typed, Failure> {
    match front.kinds().recent(dataset) {
        Some(kind @ (Kind::Register | Kind::Counter | Kind::BoundedCounter)) => {
            Ok(Typed { kind, attribute: None })
        }
        Some(Kind::Set | Kind::Map | Kind::Document) | None => current_kind(front, dataset).await,
    }
}
