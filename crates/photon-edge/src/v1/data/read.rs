//! `GET /v1/data/{dataset}/{key}`: a record.
//! Must not do more for a small register than it takes.

use axum::extract::State;
use axum::http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use photon_region::data::{
    Content, DataCommand, DataReply, Found, Kind as DataKind, ReadHow, Shown,
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::ask::{Asked, RecordPath, SESSION, etag_header, is_known, session_header, spot};
use super::content::{self, Kept};
use super::{recent_kind, show};
use crate::Front;
use crate::body::{self, Params};
use crate::problem::{Declined, Kind, Stood};
use crate::v1::errors::{Absent, Always, Data};
use crate::v1::types::{Etag, Record};

/// What the JSON of a record takes beside its key, its contents and the session.
const JSON_BYTES: usize = 256;

/// How to read.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReadParams {
    /// What may be missed; else as the dataset says. The header `Photon-Consistency` may say it.
    #[param(inline, value_type = crate::v1::types::ReadConsistency, required = false)]
    consistency: Option<String>,
    /// How long ago a change elsewhere may have been made that is missed, in milliseconds.
    #[param(value_type = u64, minimum = 0, maximum = 3_153_600_000_000_i64, required = false)]
    max_staleness_ms: Option<String>,
    /// How long to wait at most until that is so, in milliseconds; 5000 when absent.
    #[param(value_type = u32, minimum = 0, maximum = 60_000, required = false)]
    wait_ms: Option<String>,
    /// Where the record lives, in a dataset with `residencies`; else it is looked for. The
    /// header `Photon-Residency` may say it.
    #[param(pattern = "^[!-~]{1,64}$", required = false, nullable = false)]
    residency: Option<String>,
}

/// Show a record.
///
/// A register that holds bytes is answered as such, with its media type, to a client that takes
/// more than JSON.
#[utoipa::path(
    get, path = "/v1/data/{dataset}/{*key}", tag = "data", operation_id = "get_record",
    params(
        ("dataset" = String, Path, description = "The dataset",
            pattern = "^[a-z][a-z0-9._-]{0,62}$", example = "notes"),
        ("key" = String, Path, description = "The record; may contain slashes, escaped or not",
            min_length = 1, max_length = 448, example = "users/7"),
        ReadParams,
        ("Photon-Session" = Option<String>, Header, nullable = false,
            description = "What the session has seen: as the last reply had it"),
        ("If-None-Match" = Option<String>, Header, nullable = false,
            description = "Tags of the record as it is known: if it is one of these, 304"),
    ),
    responses(
        (status = 200, description = "The record", body = Record, headers(
            ("ETag" = String, description = "Its tag"),
            ("Photon-Session" = String, description = "What the session has seen with this"))),
        (status = 304, description = "It is known already"),
        Always, Absent, Data,
    ),
)]
pub(super) async fn read(
    State(front): State<Front>,
    path: RecordPath,
    Params(params): Params<ReadParams>,
    headers: HeaderMap,
) -> Result<Response, Declined> {
    let asked =
        Asked::read(&front, &headers, params.consistency.as_deref(), params.wait_ms.as_deref());
    let how = asked.and_then(|it| it.reading(params.max_staleness_ms.as_deref()));
    let spot = spot(&headers, params.residency.as_deref());
    let how = how.and_then(|it| Ok(ReadHow { spot: spot?, ..it }));
    let how = how.map_err(|err| err.problem(Stood::Outside))?;
    let kind = recent_kind(&front, &path.dataset).await?;
    let (dataset, key) = (path.dataset.clone(), path.key_bytes());
    let reply = front.submit_data(DataCommand::Read { dataset, key, how }).await?;
    let DataReply::Found(found) = reply else {
        unreachable!("the region answers `Read` with what it found")
    };
    let session = front.sessions().encode(&found.session);
    let header = session_header(&session);
    let Some(shown) = &found.record else {
        let (dataset, key) = (&path.dataset, path.key.chars().take(100).collect::<String>());
        let problem = Kind::NoSuchRecord.problem(format!("`{dataset}` has no record `{key}`"));
        return Ok(([(SESSION, header)], problem).into_response());
    };
    let etag = Etag(shown.fingerprint);
    let heads = [(ETAG, etag_header(etag)), (SESSION, header)];
    if is_known(&headers, etag).map_err(|err| err.problem(Stood::Outside))? {
        return Ok((StatusCode::NOT_MODIFIED, heads).into_response());
    }
    if let Some(response) = raw(kind, shown, &headers) {
        return Ok((heads, response).into_response());
    }
    let record = encode(path.key, kind, &found, shown, session);
    Ok((heads, json(&record, shown)).into_response())
}

/// Writes a record as JSON, into room for all of it: most are small, and all are alike.
fn json(record: &Record, shown: &Shown) -> impl IntoResponse + use<> {
    let fields = match &shown.content {
        Content::Fields(fields) => fields.as_slice(),
        Content::Number(_) | Content::Quota { .. } => &[],
    };
    let contents = fields.iter().flat_map(|(_, all)| all).map(|it| it.written.bytes.len());
    let contents: usize = contents.sum();
    let session = record.session.as_ref().map_or(0, String::len);
    let mut body = Vec::with_capacity(JSON_BYTES + record.key.len() + session + contents);
    serde_json::to_writer(&mut body, record).expect("text and numbers can be written as json");
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body)
}

fn encode(key: String, kind: DataKind, found: &Found, shown: &Shown, session: String) -> Record {
    let staleness_ms = found.staleness.map(|it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX));
    Record {
        region: Some(found.region.to_string()),
        staleness_ms,
        session: Some(session),
        ..show::record(key, kind, shown)
    }
}

/// Answers with bytes as such. What strangers wrote is nothing for a browser to run.
fn raw(kind: DataKind, shown: &Shown, headers: &HeaderMap) -> Option<Response> {
    let Content::Fields(fields) = &shown.content else { return None };
    let [(_, versions)] = fields.as_slice() else { return None };
    let [version] = versions.as_slice() else { return None };
    let Kept::Opaque { media_type, bytes } = content::read(&version.written.bytes) else {
        return None;
    };
    if kind != DataKind::Register || body::wants_json(headers, &[media_type, "*/*"]) {
        return None;
    }
    let heads = [
        (CONTENT_TYPE, HeaderValue::try_from(media_type).ok()?),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox")),
        (VARY, HeaderValue::from_static("accept")),
    ];
    let bytes = version.written.bytes.slice_ref(bytes);
    Some((heads, bytes).into_response())
}
