//! `POST /v1/data/{dataset}`: many writes at once.
//! Must not copy more than what is kept: this is the fast way in.

use std::borrow::Cow;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use photon_region::data::{DataCommand, Edit, Expect, Kind as DataKind, Write, Written};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::IntoParams;

use super::ask::{Asked, SESSION, dataset_in_path, residency, session_header};
use super::write::submit_writes;
use super::{Typed, edit, kind_to_write, show};
use crate::Front;
use crate::body::{self, Params, Segment};
use crate::names::Invalid;
use crate::prefer::{APPLIED_MINIMAL, Wanted};
use crate::problem::{Declined, Kind, Stood};
use crate::v1::errors::{Absent, Always, Body, Conflict, Data, Precondition};
use crate::v1::types::{
    BatchPost, BatchRecord, BatchWritten, Etag, LIMIT_MAX, Object, TTL_MS_MAX, given,
};

/// How to write, and what to answer.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BatchParams {
    /// When to acknowledge; else as the dataset says. The header `Photon-Consistency` may say it.
    #[param(inline, value_type = crate::v1::types::WriteConsistency, required = false)]
    consistency: Option<String>,
    /// How long to wait at most for that, in milliseconds; 5000 when absent.
    #[param(value_type = u32, minimum = 0, maximum = 60_000, required = false)]
    wait_ms: Option<String>,
    /// `representation`: answer with the records, not with their tags alone.
    #[serde(rename = "return")]
    #[param(inline, rename = "return", required = false, nullable = false)]
    wanted: Option<Representation>,
}

/// The one thing that may be asked for beside tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum Representation {
    /// The whole records.
    Representation,
}

/// The body, as far as it is read before the type of the dataset is known.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Post<'a> {
    #[serde(borrow)]
    writes: Vec<Object<Item<'a>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(default, borrow, deserialize_with = "given")]
    put: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "given")]
    add: Option<i64>,
    #[serde(default, borrow, deserialize_with = "given")]
    patch: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "given")]
    delete: Option<bool>,
    #[serde(default, borrow, deserialize_with = "given")]
    if_match: Option<Cow<'a, str>>,
    #[serde(default, borrow, deserialize_with = "given")]
    if_none_match: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "given")]
    ttl_ms: Option<u64>,
    #[serde(default, borrow, deserialize_with = "given")]
    residency: Option<Cow<'a, str>>,
}

/// Write many records of a dataset, each by itself, in order.
///
/// All writes are decided by one region. If one of them is refused, none is done.
#[utoipa::path(
    post, path = "/v1/data/{dataset}", tag = "data", operation_id = "write_records",
    params(
        ("dataset" = String, Path, description = "The dataset",
            pattern = "^[a-z][a-z0-9._-]{0,62}$", example = "notes"),
        BatchParams,
        ("Photon-Session" = Option<String>, Header, nullable = false,
            description = "What the session has seen: the writes depend on it"),
        ("Prefer" = Option<String>, Header, nullable = false, example = "return=minimal",
            description = "`return=minimal`: the headers will do; `wait=5`: seconds"),
    ),
    request_body = BatchPost,
    responses(
        (status = 200, description = "They are written", body = BatchWritten, headers(
            ("Photon-Session" = String, description = "What the session has seen with this"))),
        (status = 204, description = "The same, to a client that prefers `return=minimal`"),
        Always, Absent, Body, Conflict, Precondition, Data,
    ),
)]
pub(super) async fn batch(
    State(front): State<Front>,
    Segment(dataset): Segment,
    Params(params): Params<BatchParams>,
    request: Request,
) -> Result<Response, Declined> {
    let dataset = dataset_in_path(&dataset)?;
    let (parts, body) = request.into_parts();
    let outside = |err: Invalid| err.problem(Stood::Outside);
    let (consistency, wait_ms) = (params.consistency.as_deref(), params.wait_ms.as_deref());
    let asked = Asked::read(&front, &parts.headers, consistency, wait_ms).map_err(outside)?;
    let level = asked.writing().map_err(outside)?;
    let essence = body::essence(&parts.headers);
    let is_json = essence.is_some_and(|it| it.eq_ignore_ascii_case("application/json"));
    let body = body::read(&front, &parts.headers, body).await?;
    if !is_json {
        let detail = "send JSON with the header `content-type: application/json`";
        return Err(Kind::UnsupportedMediaType.problem(detail).into());
    }
    let Object(post) = body::parse::<Object<Post<'_>>>(&body)?;
    let typed = kind_to_write(&front, &dataset).await?;
    let writes = decode(&typed, &post).map_err(|err| err.problem(Stood::Inside))?;
    let wanted = params.wanted.map(|Representation::Representation| Wanted::Representation);
    let wanted = wanted.or(asked.wanted);
    // Only the whole records need their keys once more.
    let keys: Vec<String> = post.writes.into_iter().map(|Object(it)| it.key.into_owned()).collect();
    drop(body);
    let (session, wait) = (asked.session, asked.wait);
    let command = DataCommand::Write { dataset: dataset.clone(), writes, level, session, wait };
    let written = submit_writes(&front, &dataset, command).await?;
    let session = front.sessions().encode(&written.session);
    let heads = [(SESSION, session_header(&session))];
    if wanted == Some(Wanted::Minimal) {
        return Ok((StatusCode::NO_CONTENT, heads, APPLIED_MINIMAL).into_response());
    }
    let reply = encode(typed.kind, keys, &written, (session, wanted));
    Ok((heads, Json(reply)).into_response())
}

fn decode(typed: &Typed, post: &Post<'_>) -> Result<Vec<Write>, Invalid> {
    if !(1..=LIMIT_MAX).contains(&post.writes.len()) {
        return Err(Invalid::new("writes", format!("give 1 to {LIMIT_MAX} writes")));
    }
    let mut writes = Vec::with_capacity(post.writes.len());
    for (at, Object(item)) in post.writes.iter().enumerate() {
        // The name of the field is made only for a fault.
        let write = decode_one(typed, item);
        writes.push(write.map_err(|err| {
            let within = if err.field.is_empty() { "" } else { "." };
            Invalid::new(format!("writes[{at}]{within}{}", err.field), err.rule)
        })?);
    }
    Ok(writes)
}

fn decode_one(typed: &Typed, item: &Item<'_>) -> Result<Write, Invalid> {
    let kind = typed.kind;
    let is_counter = matches!(kind, DataKind::Counter | DataKind::BoundedCounter);
    let edit = match (item.put, item.add, item.patch, item.delete) {
        (Some(value), None, None, None) => edit::put("put", kind, value)?,
        (None, Some(amount), None, None) if is_counter => Edit::Add(amount),
        (None, Some(_), None, None) => return Err(Invalid::new("add", "only counters have sums")),
        (None, None, Some(value), None) => edit::patch("patch", kind, value)?,
        (None, None, None, Some(true)) => Edit::Delete,
        (None, None, None, Some(false)) => {
            return Err(Invalid::new("delete", "use `true`, or leave it out"));
        }
        _ => return Err(Invalid::new("", "give exactly one of `put`, `add`, `patch`, `delete`")),
    };
    let expect = match (item.if_match.as_deref(), item.if_none_match.as_deref()) {
        (None, None) => None,
        (Some("*"), None) => Some(Expect::Present),
        (Some(tag), None) => {
            let tag = Etag::named(tag).ok_or_else(|| Invalid::new("if_match", "use a tag, or `*`"));
            Some(Expect::Fingerprint(vec![tag?.0]))
        }
        (None, Some("*")) => Some(Expect::Absent),
        (None, Some(_)) => return Err(Invalid::new("if_none_match", "only `*` is for writes")),
        (Some(_), Some(_)) => {
            return Err(Invalid::new("if_none_match", "it excludes `if_match`"));
        }
    };
    if item.ttl_ms.is_some_and(|it| !(1..=TTL_MS_MAX).contains(&it)) {
        let rule = format!("use a whole number from 1 to {TTL_MS_MAX}");
        return Err(Invalid::new("ttl_ms", rule));
    }
    let ttl = item.ttl_ms.map(std::time::Duration::from_millis);
    let said = item.residency.as_deref().map(|it| residency("residency", it)).transpose()?;
    let within = match (&typed.attribute, item.put.map(|it| ("put", it))) {
        (Some(attribute), put) if said.is_none() => {
            let written = put.or(item.patch.map(|it| ("patch", it)));
            written.map(|(field, it)| edit::spot(field, attribute, it)).transpose()?.flatten()
        }
        (Some(_) | None, _) => None,
    };
    let spot = said.or(within);
    Ok(Write { key: Bytes::copy_from_slice(item.key.as_bytes()), edit, expect, ttl, spot })
}

fn encode(
    kind: DataKind,
    keys: Vec<String>,
    written: &Written,
    (session, wanted): (String, Option<Wanted>),
) -> BatchWritten {
    let records = keys.into_iter().zip(&written.records).map(|(key, shown)| match wanted {
        Some(Wanted::Representation) => {
            BatchRecord::Whole(Box::new(show::record(key, kind, shown)))
        }
        Some(Wanted::Minimal) | None => BatchRecord::Tag { key, etag: Etag(shown.fingerprint) },
    });
    BatchWritten {
        records: records.collect(),
        region: written.region.to_string(),
        durable_in: written.durable_in as u64,
        of: written.members as u64,
        session,
    }
}
