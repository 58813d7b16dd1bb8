//! Requests, taken apart: bodies within their bounds, strict JSON, strict parameters.
//! Must not know what is asked for.

use std::ops::Deref;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::Front;
use crate::hold::{BudgetFull, Share};
use crate::names::Invalid;
use crate::problem::{Declined, Kind, Stood};
use crate::v1::types::Object;

/// What of each body is not counted, so that workers are heard while large bodies are turned away:
/// connections bound it.
const SMALL_BYTES: usize = 16 << 10;

/// Why a body could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    /// It is too large.
    #[error("the body is larger than {max} bytes, the most that is taken")]
    TooLarge {
        /// The bound.
        max: usize,
    },
    /// Too much is held for other requests.
    #[error("the bodies of all requests: {0}")]
    Full(#[from] BudgetFull),
    /// It did not arrive in time.
    #[error("the body did not arrive within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// The client broke off, or broke the rules of its protocol.
    #[error("the body could not be read: {0}")]
    Broken(String),
}

/// A body that was read. It counts among what all bodies hold until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    bytes: Bytes,
    _share: Share,
}

impl Held {
    /// Returns the bytes, which count only as long as this lives.
    pub(crate) fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }
}

impl Deref for Held {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads a body within the bounds of size and time.
pub(crate) async fn read(
    front: &Front,
    headers: &HeaderMap,
    mut body: Body,
) -> Result<Held, BodyError> {
    let (max, patience) = (front.limits().body_bytes_max, front.limits().request_timeout);
    let length = headers.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| (max as u64) < length) {
        front.swallow(body);
        return Err(BodyError::TooLarge { max });
    }
    let mut share = front.bodies().share();
    // What is only announced holds no room: else a few who never send it would keep out others.
    let gathered = tokio::time::timeout(patience, gather(&mut body, max, &mut share)).await;
    let gathered = gathered.unwrap_or(Err(BodyError::TimedOut(patience)));
    if matches!(gathered, Err(BodyError::TooLarge { .. } | BodyError::Full(_))) {
        front.swallow(body);
    }
    Ok(Held { bytes: gathered?, _share: share })
}

async fn gather(body: &mut Body, max: usize, share: &mut Share) -> Result<Bytes, BodyError> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|err| BodyError::Broken(err.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        let len = first.len() + rest.len() + data.len();
        if max < len {
            return Err(BodyError::TooLarge { max });
        }
        share.grow_to(len.saturating_sub(SMALL_BYTES))?;
        // Most bodies come in one piece, which needs no copy.
        if first.is_empty() && rest.is_empty() {
            first = data;
            continue;
        }
        rest.extend_from_slice(&std::mem::take(&mut first));
        rest.extend_from_slice(&data);
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

/// A JSON body: its media type, form and fields checked.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Front> for Json<T> {
    type Rejection = Declined;
    async fn from_request(request: Request, front: &Front) -> Result<Self, Declined> {
        let (parts, body) = request.into_parts();
        if !is_json(&parts.headers) {
            let detail = "send JSON with the header `content-type: application/json`";
            return Err(Kind::UnsupportedMediaType.problem(detail).into());
        }
        let body = read(front, &parts.headers, body).await?;
        parse(&body).map(|Object(it)| Self(it))
    }
}

/// A JSON body that may be absent: nothing at all, and `null`, mean the default.
#[derive(Debug)]
pub(crate) struct JsonOrNothing<T>(pub(crate) T);

impl<T: DeserializeOwned + Default> FromRequest<Front> for JsonOrNothing<T> {
    type Rejection = Declined;
    async fn from_request(request: Request, front: &Front) -> Result<Self, Declined> {
        let (parts, body) = request.into_parts();
        let body = read(front, &parts.headers, body).await?;
        if body.is_empty() {
            return Ok(Self(T::default()));
        }
        if is_json(&parts.headers) {
            let post = parse::<Option<Object<T>>>(&body)?;
            return Ok(Self(post.map(|Object(it)| it).unwrap_or_default()));
        }
        let detail = "send JSON with the header `content-type: application/json`, or no body";
        Err(Kind::UnsupportedMediaType.problem(detail).into())
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    essence(headers).is_some_and(|it| it.eq_ignore_ascii_case("application/json"))
}

/// Returns the media type of a body without its parameters.
pub(crate) fn essence(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(text.split(';').next().unwrap_or_default().trim())
}

/// Whether a client takes JSON and nothing that `other` is, going by its header `accept`.
pub(crate) fn wants_json(headers: &HeaderMap, other: &[&str]) -> bool {
    let accepts = |what: &str| {
        headers.get_all(ACCEPT).iter().any(|it| it.to_str().is_ok_and(|it| it.contains(what)))
    };
    accepts("application/json") && !other.iter().any(|it| accepts(it))
}

/// Parses JSON from outside; a fault in a field names the field.
pub(crate) fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Declined> {
    // Keeping track of the path takes time, which only a fault is worth.
    if let Ok(value) = serde_json::from_slice(bytes) {
        return Ok(value);
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|err| {
        use serde_json::error::Category as C;
        let path = err.path().to_string();
        let err = err.into_inner();
        match err.classify() {
            C::Data => invalid_field(&path, &err),
            // Of a number in place of a name the parser says that it is no JSON.
            C::Io | C::Syntax | C::Eof if serde_json::from_slice::<IgnoredAny>(bytes).is_ok() => {
                let rule = "it must be one of the names that are known, as text";
                Invalid::new(&path, rule).problem(Stood::Inside)
            }
            C::Io | C::Syntax | C::Eof => malformed(&err),
        }
    })?;
    reader.end().map_err(|err| malformed(&err))?;
    Ok(value)
}

fn malformed(err: &serde_json::Error) -> Declined {
    Kind::MalformedJson.problem(format!("the body is not JSON: {err}")).into()
}

fn invalid_field(path: &str, err: &serde_json::Error) -> Declined {
    let message = err.to_string();
    let rule = message.split(" at line ").next().unwrap_or_default();
    let field = if path == "." { "body" } else { path };
    let hint = nearest(rule).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    Invalid::new(field, format!("{rule}{hint}")).problem(Stood::Inside)
}

/// Finds the known field that an unknown one comes nearest to, in serde's message about it.
fn nearest(rule: &str) -> Option<&str> {
    let mut quoted = rule.strip_prefix("unknown field `")?.split('`');
    let unknown = quoted.next()?;
    let known = quoted.skip(1).step_by(2);
    let ranked = known.map(|it| (strsim::damerau_levenshtein(unknown, it), it));
    ranked.min().filter(|(edits, it)| *edits <= it.len().div_ceil(3)).map(|(_, it)| it)
}

/// A query, all of its fields known and given once.
#[derive(Debug)]
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Front> for Params<T> {
    type Rejection = Declined;
    async fn from_request_parts(parts: &mut Parts, _: &Front) -> Result<Self, Declined> {
        let query = Query::try_from_uri(&parts.uri)
            .map_err(|err: QueryRejection| Kind::InvalidParameter.problem(err.body_text()))?;
        Ok(Self(query.0))
    }
}

/// The one variable segment of a path.
#[derive(Debug)]
pub(crate) struct Segment(pub(crate) String);

impl FromRequestParts<Front> for Segment {
    type Rejection = Declined;
    async fn from_request_parts(parts: &mut Parts, front: &Front) -> Result<Self, Declined> {
        match Path::from_request_parts(parts, front).await {
            Ok(Path(text)) => Ok(Self(text)),
            Err(err) => Err(Kind::InvalidParameter.problem(err.body_text()).into()),
        }
    }
}

/// Returns a header that may be given once.
pub(crate) fn header<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, Invalid> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Invalid::new(name.as_str(), "the header may be given only once"));
    }
    let value = value.to_str().map_err(|_| Invalid::new(name.as_str(), "use visible ASCII"))?;
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code)]
        count: u8,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code)]
        items: Vec<Inner>,
    }

    fn check(json: &str, status: u16, field: Option<&str>, detail: &str) {
        let problem = parse::<Outer>(json.as_bytes()).unwrap_err().0;
        assert_eq!((problem.status, problem.field.as_deref()), (status, field), "{problem:?}");
        assert!(problem.detail.contains(detail), "{problem:?}");
    }

    #[test]
    fn a_fault_names_the_field_and_the_fix() {
        check(r#"{"items": [{"count": 1}, {"count": -1}]}"#, 422, Some("items[1].count"), "-1");
        check(r#"{"item": []}"#, 422, Some("item"), "did you mean `items`?");
        check(r#"{"zzzzzz": []}"#, 422, Some("zzzzzz"), "expected `items`");
        check(r"{}", 422, Some("body"), "missing field `items`");
        check(r#"{"items": ["#, 400, None, "not JSON");
        check(r#"{"items": []} x"#, 400, None, "not JSON");
        check("", 400, None, "not JSON");
    }
}
