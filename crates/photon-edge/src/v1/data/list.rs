//! `GET /v1/data/{dataset}`: records by key, or the changes as they happen.
//! Must not know how a change is told: `watch` does.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use photon_region::data::{DataCommand, DataReply, DatasetName, ReadHow};
use serde::Deserialize;
use utoipa::IntoParams;

use super::ask::{Asked, SESSION, dataset_in_path, session_header, spot};
use super::{recent_kind, show, watch};
use crate::Front;
use crate::body::{self, Params, Segment};
use crate::names::Invalid;
use crate::page::{self, Page};
use crate::problem::{Declined, Stood};
use crate::v1::errors::{Absent, Always, Data, Gone};
use crate::v1::types::{DataChanges, Records};

/// Which records to list, or after what to watch.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParams {
    /// Only keys that begin with it.
    #[param(max_length = 448, required = false, nullable = false)]
    pub(super) prefix: Option<String>,
    /// The `next_after` of the page before.
    #[param(max_length = 448, required = false, nullable = false)]
    after: Option<String>,
    /// How many at most; 100 when absent.
    #[param(value_type = u32, minimum = 1, maximum = 1000, required = false)]
    limit: Option<String>,
    /// What may be missed; else as the dataset says. The header `Photon-Consistency` may say it.
    #[param(inline, value_type = crate::v1::types::ReadConsistency, required = false)]
    consistency: Option<String>,
    /// How long ago a change elsewhere may have been made that is missed, in milliseconds.
    #[param(value_type = u64, minimum = 0, maximum = 3_153_600_000_000_i64, required = false)]
    max_staleness_ms: Option<String>,
    /// How long to wait at most, in milliseconds: for the consistency, 5000 when absent; of a
    /// long poll for a change, 0 when absent.
    #[param(value_type = u32, minimum = 0, maximum = 60_000, required = false)]
    pub(super) wait_ms: Option<String>,
    /// Where the records live, in a dataset with `residencies`; else
    /// what lives in the region is shown. The
    /// header `Photon-Residency` may say it.
    #[param(pattern = "^[!-~]{1,64}$", required = false, nullable = false)]
    pub(super) residency: Option<String>,
    /// `true`: the changes, not the records.
    #[param(required = false, nullable = false)]
    watch: Option<bool>,
    /// With `watch`: the `position` of the reply before; without it, from now on.
    #[param(required = false, nullable = false)]
    pub(super) position: Option<String>,
}

/// List records by key, or watch a dataset.
///
/// With `accept: text/event-stream` or `watch=true` it tells of changes: as server-sent events
/// (`id` is the position, `event` is `change`, `data` a `DataChange`), or, with
/// `accept: application/json`, as a long poll that is answered with `DataChanges`.
#[utoipa::path(
    get, path = "/v1/data/{dataset}", tag = "data", operation_id = "list_records",
    params(
        ("dataset" = String, Path, description = "The dataset",
            pattern = "^[a-z][a-z0-9._-]{0,62}$", example = "notes"),
        ListParams,
        ("Photon-Session" = Option<String>, Header, nullable = false,
            description = "What the session has seen: as the last reply had it"),
        ("Last-Event-ID" = Option<String>, Header, nullable = false,
            description = "Of a watch: the position that was heard last; goes before `position`"),
    ),
    responses(
        (status = 200, description = "The records, or the changes", content(
            (RecordsOrChanges = "application/json"),
            (String = "text/event-stream"),
        )),
        Always, Absent, Gone, Data,
    ),
)]
pub(super) async fn list(
    State(front): State<Front>,
    Segment(dataset): Segment,
    Params(params): Params<ListParams>,
    headers: HeaderMap,
) -> Result<Response, Declined> {
    let dataset = dataset_in_path(&dataset)?;
    let stream = "text/event-stream";
    let accepts = headers.get_all("accept").iter().filter_map(|it| it.to_str().ok());
    let wants_stream = accepts.into_iter().any(|it| it.contains(stream));
    if params.watch.unwrap_or(wants_stream) {
        let is_poll = body::wants_json(&headers, &[stream]);
        return watch::watch(front, dataset, &params, &headers, is_poll).await;
    }
    scan(front, dataset, &params, &headers).await
}

/// What a list is answered with.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[expect(dead_code, reason = "it stands for its variants in the document")]
#[serde(untagged)]
enum RecordsOrChanges {
    #[schema(title = "Records")]
    Records(Records),
    #[schema(title = "Changes")]
    Changes(DataChanges),
}

async fn scan(
    front: Front,
    dataset: DatasetName,
    params: &ListParams,
    headers: &HeaderMap,
) -> Result<Response, Declined> {
    let read = || {
        if params.position.is_some() {
            return Err(Invalid::new("position", "it goes with `watch=true`"));
        }
        let (consistency, wait) = (params.consistency.as_deref(), params.wait_ms.as_deref());
        let asked = Asked::read(&front, headers, consistency, wait)?;
        Ok(DataCommand::Scan {
            dataset: dataset.clone(),
            prefix: text(params.prefix.as_deref()),
            after: params.after.as_deref().map(|it| text(Some(it))),
            limit: page::limit(params.limit.as_deref())?,
            how: ReadHow {
                spot: spot(headers, params.residency.as_deref())?,
                ..asked.reading(params.max_staleness_ms.as_deref())?
            },
        })
    };
    let command = read().map_err(|err| err.problem(Stood::Outside))?;
    let kind = recent_kind(&front, &dataset).await?;
    let reply = front.submit_data(command).await?;
    let DataReply::Page { records, more, placements, session } = reply else {
        unreachable!("the region answers `Scan` with a page")
    };
    let placements = placements.iter().map(ToString::to_string).collect();
    let shown = records.iter().map(|(key, it)| show::record(show::name(key), kind, it));
    let page = Page::filled(shown).into_items();
    let goes_on = more || page.len() < records.len();
    let next_after = page.last().map(|it| it.key.clone()).filter(|_| goes_on);
    let session = front.sessions().encode(&session);
    let heads = [(SESSION, session_header(&session))];
    Ok((heads, Json(Records { records: page, next_after, placements, session })).into_response())
}

/// Returns a text of the query in bytes.
pub(super) fn text(text: Option<&str>) -> Bytes {
    Bytes::copy_from_slice(text.unwrap_or_default().as_bytes())
}
