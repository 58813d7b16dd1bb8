//! What ARD answers instead of a result: an error code and a message (ARD, appendix B).
//! Must not know why a search failed.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::body::BodyError;
use crate::front::Failure;
use crate::names::Invalid;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Fault {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Fault {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// Says which field is not as it should be.
    pub(super) fn field(field: &str, rule: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_ARGUMENT", format!("`{field}`: {rule}"))
    }

    pub(super) fn busy(message: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMIT_EXCEEDED", message)
    }
}

impl From<Invalid> for Fault {
    fn from(invalid: Invalid) -> Self {
        Self::field(&invalid.field, invalid.rule)
    }
}

impl From<BodyError> for Fault {
    fn from(err: BodyError) -> Self {
        let message = err.to_string();
        match err {
            BodyError::TooLarge { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "INVALID_ARGUMENT", message)
            }
            BodyError::Full(_) => Self::busy(message),
            BodyError::TimedOut(_) | BodyError::Broken(_) => {
                Self::new(StatusCode::BAD_REQUEST, "INVALID_ARGUMENT", message)
            }
        }
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        let message = failure.to_string();
        match failure {
            Failure::Full { .. }
            | Failure::FollowersFull { .. }
            | Failure::WatchesFull { .. }
            | Failure::Refused(_) => Self::busy(message),
            Failure::TimedOut(_) | Failure::Stopping => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message)
            }
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let body = Json(json!({"errorCode": self.code, "message": self.message}));
        let mut response = (self.status, body).into_response();
        if [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&self.status) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
