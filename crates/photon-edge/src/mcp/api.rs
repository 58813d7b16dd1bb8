//! Asks `/v1` within the process.
//! Must not know who asks, or why.

use axum::Router;
use axum::body::Body;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{Method, Request};
use serde_json::Value;
use tower::ServiceExt;

use crate::v1::types::Problem;

/// The routes of `/v1`.
#[derive(Clone, Debug)]
pub(super) struct Api {
    router: Router,
}

/// What is asked of it.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<Value>,
    pub(super) idempotency_key: Option<String>,
}

impl Ask {
    pub(super) fn get(path: impl Into<String>) -> Self {
        let (path, query) = (path.into(), Vec::new());
        Self { method: Method::GET, path, query, body: None, idempotency_key: None }
    }

    pub(super) fn post(path: impl Into<String>, body: Value) -> Self {
        Self { method: Method::POST, body: Some(body), ..Self::get(path) }
    }

    pub(super) fn query(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.query.extend(value.map(|it| (name, it.to_string())));
        self
    }

    fn uri(&self) -> String {
        let mut uri = self.path.clone();
        for (at, (name, value)) in self.query.iter().enumerate() {
            uri.push(if at == 0 { '?' } else { '&' });
            uri.push_str(&format!("{name}={}", escaped(value)));
        }
        uri
    }
}

impl Api {
    pub(super) fn new(router: Router) -> Self {
        Self { router }
    }

    /// Asks; a problem is what is said instead of an answer.
    pub(super) async fn ask(&self, ask: Ask) -> Result<Value, Box<Problem>> {
        let mut request = Request::builder().method(&ask.method).uri(ask.uri());
        request = request.header(ACCEPT, "application/json");
        if let Some(key) = &ask.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        let body = match &ask.body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let request = request.body(body).map_err(|err| unfit(&err.to_string()))?;
        let Ok(reply) = self.router.clone().oneshot(request).await;
        let is_success = reply.status().is_success();
        let bytes = axum::body::to_bytes(reply.into_body(), usize::MAX).await;
        let bytes = bytes.map_err(|err| unfit(&err.to_string()))?;
        if !is_success && bytes.is_empty() {
            return Err(Box::new(crate::problem::Kind::NotFound.problem("there is nothing there")));
        }
        let value: Value = match bytes.len() {
            0 => Value::Null,
            _ => serde_json::from_slice(&bytes).map_err(|err| unfit(&err.to_string()))?,
        };
        if is_success {
            return Ok(value);
        }
        Err(serde_json::from_value(value).unwrap_or_else(|err| unfit(&err.to_string())))
    }
}

/// Returns a problem with what was asked, as it could not even be asked.
fn unfit(detail: &str) -> Box<Problem> {
    Box::new(crate::problem::Kind::InvalidParameter.problem(detail))
}

/// Escapes what may not stand in a path or a query as it is.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_cannot_leave_its_place() {
        let ask = Ask::get(format!("/v1/tasks/{}", escaped("../a b?c#d")));
        let ask = ask.query("skill", Some("a&b=c")).query("agent", None::<String>);
        assert_eq!(ask.uri(), "/v1/tasks/..%2Fa%20b%3Fc%23d?skill=a%26b%3Dc");
    }
}
