//! `PUT`, `PATCH` and `DELETE /v1/data/{dataset}/{key}`: changing a record.
//! Must not know what a body means for a type: `edit` does.

use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::ETAG;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use photon_region::Refusal;
use photon_region::data::{
    DataCommand, DataRefusal, DataReply, DatasetName, Edit, Expect, Kind as DataKind, Spot, Write,
    WriteLevel, Written,
};
use photon_state::Seen;
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::IntoParams;

use super::ask::{Asked, RecordPath, SESSION, etag_header, expect, session_header, spot, ttl};
use super::{Typed, content, edit, kind_to_write, show};
use crate::body::{self, Params};
use crate::names::Invalid;
use crate::prefer::{APPLIED_MINIMAL, Wanted};
use crate::problem::{Declined, Kind, Stood};
use crate::v1::errors::{Absent, Always, Body, Conflict, Data, Precondition};
use crate::v1::types::{Etag, Record, Removed};
use crate::{Failure, Front};

/// How to write.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WriteParams {
    /// When to acknowledge; else as the dataset says. The header `Photon-Consistency` may say it.
    #[param(inline, value_type = crate::v1::types::WriteConsistency, required = false)]
    consistency: Option<String>,
    /// How long to wait at most for that, in milliseconds; 5000 when absent.
    #[param(value_type = u32, minimum = 0, maximum = 60_000, required = false)]
    wait_ms: Option<String>,
    /// How long the record lasts, in milliseconds; else as the dataset says.
    #[param(value_type = u64, minimum = 1, maximum = 3_153_600_000_000_i64, required = false)]
    ttl_ms: Option<String>,
    /// Where the record lives, in a dataset with `residencies`; else
    /// where it lives already, or as the attribute in what is written says. The
    /// header `Photon-Residency` may say it.
    #[param(pattern = "^[!-~]{1,64}$", required = false, nullable = false)]
    residency: Option<String>,
}

/// Write a record as a whole.
///
/// A register takes any JSON value, or bytes of any other media type; a set a JSON array of its
/// elements; a map and a document a JSON object.
#[utoipa::path(
    put, path = "/v1/data/{dataset}/{*key}", tag = "data", operation_id = "put_record",
    params(
        ("dataset" = String, Path, description = "The dataset",
            pattern = "^[a-z][a-z0-9._-]{0,62}$", example = "notes"),
        ("key" = String, Path, description = "The record; may contain slashes, escaped or not",
            min_length = 1, max_length = 448, example = "users/7"),
        WriteParams,
        ("Photon-Session" = Option<String>, Header, nullable = false,
            description = "What the session has seen: the write depends on it"),
        ("If-Match" = Option<String>, Header, nullable = false,
            description = "Only if the record has one of these tags, or, as `*`, if there is one"),
        ("If-None-Match" = Option<String>, Header, nullable = false,
            description = "As `*`: only if there is no record"),
        ("Prefer" = Option<String>, Header, nullable = false, example = "return=minimal",
            description = "`return=minimal`: the headers will do; `wait=5`: seconds"),
    ),
    request_body(description = "The value", content(
        (serde_json::Value = "application/json"), (String = "application/octet-stream"),
    )),
    responses(
        (status = 200, description = "The record as it is with this write", body = Record, headers(
            ("ETag" = String, description = "Its tag"),
            ("Photon-Session" = String, description = "What the session has seen with this"))),
        (status = 204, description = "The same, to a client that prefers `return=minimal`"),
        Always, Absent, Body, Conflict, Precondition, Data,
    ),
)]
pub(super) async fn put(
    State(front): State<Front>,
    path: RecordPath,
    Params(params): Params<WriteParams>,
    request: Request,
) -> Result<Response, Declined> {
    let (parts, body) = request.into_parts();
    let mut asking = Asking::read(&front, &parts.headers, &params)?;
    let body = body::read(&front, &parts.headers, body).await?;
    let typed = kind_to_write(&front, &path.dataset).await?;
    let edit = decode_put(typed.kind, &parts.headers, &body)?;
    asking.place(&typed, &body)?;
    drop(body);
    write(&front, path, typed.kind, edit, asking).await
}

fn decode_put(kind: DataKind, headers: &HeaderMap, body: &[u8]) -> Result<Edit, Declined> {
    let media_type = body::essence(headers);
    if media_type.is_some_and(|it| it.eq_ignore_ascii_case("application/json")) {
        let value = body::parse::<&RawValue>(body)?;
        return edit::put("body", kind, value).map_err(|err| err.problem(Stood::Inside));
    }
    let whole = headers.get("content-type").and_then(|it| it.to_str().ok());
    let kept = whole.filter(|_| kind == DataKind::Register);
    let kept = kept.and_then(|media_type| content::keep_opaque(media_type, body));
    kept.map(Edit::Put).ok_or_else(|| {
        let detail = match kind {
            DataKind::Register => "say what the body is, with the header `content-type`",
            DataKind::Counter
            | DataKind::BoundedCounter
            | DataKind::Set
            | DataKind::Map
            | DataKind::Document => "send JSON with the header `content-type: application/json`",
        };
        Kind::UnsupportedMediaType.problem(detail).into()
    })
}

/// Change a part of a record.
///
/// A counter takes `{"add": 5}`, what is negative is taken; a set `{"add": [..], "remove": [..]}`;
/// a map an object of new values, of which `null` removes a field; a document a JSON merge patch
/// (RFC 7396).
#[utoipa::path(
    patch, path = "/v1/data/{dataset}/{*key}", tag = "data", operation_id = "patch_record",
    params(
        ("dataset" = String, Path, description = "The dataset",
            pattern = "^[a-z][a-z0-9._-]{0,62}$", example = "notes"),
        ("key" = String, Path, description = "The record; may contain slashes, escaped or not",
            min_length = 1, max_length = 448, example = "users/7"),
        WriteParams,
        ("Photon-Session" = Option<String>, Header, nullable = false,
            description = "What the session has seen: the write depends on it"),
        ("If-Match" = Option<String>, Header, nullable = false,
            description = "Only if the record has one of these tags, or, as `*`, if there is one"),
        ("If-None-Match" = Option<String>, Header, nullable = false,
            description = "As `*`: only if there is no record"),
        ("Prefer" = Option<String>, Header, nullable = false, example = "return=minimal",
            description = "`return=minimal`: the headers will do; `wait=5`: seconds"),
    ),
    request_body(description = "The change", content(
        (std::collections::BTreeMap<String, serde_json::Value> = "application/json"),
        (std::collections::BTreeMap<String, serde_json::Value> = "application/merge-patch+json"),
    )),
    responses(
        (status = 200, description = "The record as it is with this write", body = Record, headers(
            ("ETag" = String, description = "Its tag"),
            ("Photon-Session" = String, description = "What the session has seen with this"))),
        (status = 204, description = "The same, to a client that prefers `return=minimal`"),
        Always, Absent, Body, Conflict, Precondition, Data,
    ),
)]
pub(super) async fn patch(
    State(front): State<Front>,
    path: RecordPath,
    Params(params): Params<WriteParams>,
    request: Request,
) -> Result<Response, Declined> {
    let (parts, body) = request.into_parts();
    let mut asking = Asking::read(&front, &parts.headers, &params)?;
    let is_patch = body::essence(&parts.headers).is_some_and(|it| {
        let json = ["application/json", "application/merge-patch+json"];
        json.iter().any(|json| it.eq_ignore_ascii_case(json))
    });
    let body = body::read(&front, &parts.headers, body).await?;
    if !is_patch {
        let detail = "send JSON with the header `content-type: application/merge-patch+json`";
        return Err(Kind::UnsupportedMediaType.problem(detail).into());
    }
    let value = body::parse::<&RawValue>(&body)?;
    let typed = kind_to_write(&front, &path.dataset).await?;
    let edit = edit::patch("body", typed.kind, value).map_err(|err| err.problem(Stood::Inside))?;
    asking.place(&typed, &body)?;
    drop(body);
    write(&front, path, typed.kind, edit, asking).await
}

/// Remove a record.
///
/// What is written elsewhere meanwhile stays. That there is no record is no error.
#[utoipa::path(
    delete, path = "/v1/data/{dataset}/{*key}", tag = "data", operation_id = "delete_record",
    params(
        ("dataset" = String, Path, description = "The dataset",
            pattern = "^[a-z][a-z0-9._-]{0,62}$", example = "notes"),
        ("key" = String, Path, description = "The record; may contain slashes, escaped or not",
            min_length = 1, max_length = 448, example = "users/7"),
        WriteParams,
        ("Photon-Session" = Option<String>, Header, nullable = false,
            description = "What the session has seen: the write depends on it"),
        ("If-Match" = Option<String>, Header, nullable = false,
            description = "Only if the record has one of these tags, or, as `*`, if there is one"),
        ("Prefer" = Option<String>, Header, nullable = false, example = "return=minimal",
            description = "`return=minimal`: the headers will do; `wait=5`: seconds"),
    ),
    responses(
        (status = 200, description = "There is no such record any more", body = Removed, headers(
            ("Photon-Session" = String, description = "What the session has seen with this"))),
        (status = 204, description = "The same, to a client that prefers `return=minimal`"),
        Always, Absent, Body, Conflict, Precondition, Data,
    ),
)]
pub(super) async fn delete(
    State(front): State<Front>,
    path: RecordPath,
    Params(params): Params<WriteParams>,
    headers: HeaderMap,
) -> Result<Response, Declined> {
    let asking = Asking::read(&front, &headers, &params)?;
    let wanted = asking.wanted;
    let written = submit(&front, &path, Edit::Delete, asking).await?;
    let session = front.sessions().encode(&written.session);
    let heads = [(SESSION, session_header(&session))];
    if wanted == Some(Wanted::Minimal) {
        return Ok((StatusCode::NO_CONTENT, heads, APPLIED_MINIMAL).into_response());
    }
    let removed = Removed {
        key: path.key,
        region: written.region.to_string(),
        durable_in: written.durable_in as u64,
        of: written.members as u64,
        session,
    };
    Ok((heads, Json(removed)).into_response())
}

/// All that a write says beside its body.
#[derive(Debug)]
struct Asking {
    spot: Option<Spot>,
    expect: Option<Expect>,
    ttl: Option<Duration>,
    level: Option<WriteLevel>,
    session: Seen,
    wait: Duration,
    wanted: Option<Wanted>,
}

impl Asking {
    fn read(front: &Front, headers: &HeaderMap, params: &WriteParams) -> Result<Self, Declined> {
        let read = || -> Result<Self, Invalid> {
            let (consistency, wait) = (params.consistency.as_deref(), params.wait_ms.as_deref());
            let asked = Asked::read(front, headers, consistency, wait)?;
            Ok(Self {
                spot: spot(headers, params.residency.as_deref())?,
                expect: expect(headers)?,
                ttl: ttl(params.ttl_ms.as_deref())?,
                level: asked.writing()?,
                wait: asked.wait,
                wanted: asked.wanted,
                session: asked.session,
            })
        };
        read().map_err(|err| err.problem(Stood::Outside))
    }

    /// Takes from what is written where it lives, unless the request says so.
    fn place(&mut self, typed: &Typed, body: &[u8]) -> Result<(), Declined> {
        if let (None, Some(attribute)) = (&self.spot, &typed.attribute) {
            let value = body::parse::<&RawValue>(body)?;
            let spot = edit::spot("body", attribute, value);
            self.spot = spot.map_err(|err| err.problem(Stood::Inside))?;
        }
        Ok(())
    }
}

async fn submit(
    front: &Front,
    path: &RecordPath,
    edit: Edit,
    asking: Asking,
) -> Result<Written, Failure> {
    let Asking { spot, expect, ttl, level, session, wait, wanted: _ } = asking;
    let writes = vec![Write { key: path.key_bytes(), edit, expect, ttl, spot }];
    let dataset = path.dataset.clone();
    let command = DataCommand::Write { dataset, writes, level, session, wait };
    submit_writes(front, &path.dataset, command).await
}

/// Submits writes, and learns from a refusal that the dataset has another type than was known.
pub(super) async fn submit_writes(
    front: &Front,
    dataset: &DatasetName,
    command: DataCommand,
) -> Result<Written, Failure> {
    let reply = front.submit_data(command).await.inspect_err(|failure| {
        if let Failure::Refused(Refusal::Data(DataRefusal::WrongKind { .. })) = failure {
            front.kinds().forget(dataset);
        }
    });
    let DataReply::Written(written) = reply? else {
        unreachable!("the region answers `Write` with what was written")
    };
    Ok(written)
}

async fn write(
    front: &Front,
    path: RecordPath,
    kind: DataKind,
    edit: Edit,
    asking: Asking,
) -> Result<Response, Declined> {
    let wanted = asking.wanted;
    let written = submit(front, &path, edit, asking).await?;
    let session = front.sessions().encode(&written.session);
    let shown = written.records.first().expect("one write has one reply");
    let etag = etag_header(Etag(shown.fingerprint));
    let heads = [(ETAG, etag), (SESSION, session_header(&session))];
    if wanted == Some(Wanted::Minimal) {
        return Ok((StatusCode::NO_CONTENT, heads, APPLIED_MINIMAL).into_response());
    }
    let record = Record {
        region: Some(written.region.to_string()),
        durable_in: Some(written.durable_in as u64),
        of: Some(written.members as u64),
        session: Some(session),
        ..show::record(path.key, kind, shown)
    };
    Ok((heads, Json(record)).into_response())
}
