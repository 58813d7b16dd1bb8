//! Problems as replies.
//! Must not know which kinds there are.

use axum::http::header::{CONTENT_TYPE, ETAG, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::{Kind, PROBLEM_JSON};
use crate::gate::CHALLENGE;
use crate::names::Invalid;
use crate::v1::types::Problem;

/// What a handler says instead of a reply: a problem, boxed because results should be small.
#[derive(Debug)]
pub(crate) struct Declined(pub(crate) Box<Problem>);

impl<T: Into<Problem>> From<T> for Declined {
    fn from(cause: T) -> Self {
        Self(Box::new(cause.into()))
    }
}

impl IntoResponse for Declined {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

/// Where a value that is invalid stood in its request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stood {
    /// In the path, the query or a header.
    Outside,
    /// In the body.
    Inside,
}

impl Invalid {
    /// Makes the problem that tells of it.
    pub(crate) fn problem(self, stood: Stood) -> Declined {
        let kind = match stood {
            Stood::Outside => Kind::InvalidParameter,
            Stood::Inside => Kind::InvalidBody,
        };
        Problem { field: Some(self.field.clone()), ..kind.problem(self.to_string()) }.into()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).expect("a status of the table");
        let body = serde_json::to_vec(&self).expect("text and numbers can be written as json");
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, CHALLENGE);
        }
        let etag = self.etag.as_ref().map(|it| HeaderValue::try_from(format!("\"{it}\"")));
        if let Some(Ok(etag)) = etag {
            headers.insert(ETAG, etag);
        }
        if let Some(retry_after_ms) = self.retry_after_ms {
            let seconds = retry_after_ms.div_ceil(1000).max(1);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
