//! JSON documents that clients may keep for a minute, and ask for again only if they have changed.
//! Must not know what they say.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use crate::Front;

/// How long a document may be used before asking anew, by anybody.
const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=60");
/// The same where not everybody may ask: caches that others share must not answer in our place.
const CACHE_PRIVATE: HeaderValue = HeaderValue::from_static("private, max-age=60");

/// Answers with a document, or says that it is what the client has.
pub(crate) fn answer(front: &Front, asked: &HeaderMap, document: String) -> Response {
    let tag = format!("\"{:.32}\"", hex(&Sha256::digest(document.as_bytes())));
    let known = asked.get(IF_NONE_MATCH).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let is_known =
        known == "*" || known.split(',').any(|it| it.trim().trim_start_matches("W/") == tag);
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => document.into_response(),
    };
    let headers = response.headers_mut();
    let cache = if front.tokens().is_empty() { CACHE } else { CACHE_PRIVATE };
    headers.insert(CACHE_CONTROL, cache);
    headers.insert(VARY, HeaderValue::from_static("authorization, host"));
    headers.insert(ETAG, HeaderValue::from_str(&tag).expect("hexadecimal digits in quotes"));
    if !is_known {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    response
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
