//! A client of a region behind the router, which hears status, headers and JSON.
//! Must not know what a test asks for.

use axum::body::Body;
use axum::http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use photon_edge::{Front, FrontLimits};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::region;

/// What a region answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert!((200..300).contains(&self.status), "{self:#?}");
        self
    }

    /// Panics unless it is a problem of this kind about this field.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, kind: &str, field: impl Into<Value>) -> Value {
        assert_eq!(self.status, status, "{self:#?}");
        assert_eq!(self.body["type"], format!("/problems/{kind}"), "{self:#?}");
        assert_eq!(self.body["field"], field.into(), "{self:#?}");
        self.body
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|it| it.to_str().unwrap()).unwrap_or_default()
    }
}

/// A client of one region.
pub(crate) struct Client(pub(crate) Front);

impl Client {
    pub(crate) fn new() -> Self {
        Self(region::front(Vec::new(), FrontLimits::default()))
    }

    pub(crate) async fn respond(&self, request: Request<Body>) -> Response<Body> {
        photon_edge::router(self.0.clone()).oneshot(request).await.unwrap()
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        heads: &[(&str, &str)],
        body: Body,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in heads {
            request = request.header(*name, *value);
        }
        let response = self.respond(request.body(body).unwrap()).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let text = || Value::from(String::from_utf8_lossy(&bytes).into_owned());
        let body = match bytes.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&bytes).unwrap_or_else(|_| text()),
        };
        Answer { status, headers, body }
    }

    pub(crate) async fn json(&self, method: &str, path: &str, body: Value) -> Answer {
        let heads = [("content-type", "application/json")];
        self.send(method, path, &heads, body.to_string().into()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], Body::empty()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], Body::empty()).await
    }

    pub(crate) async fn declare(&self, name: &str, spec: Value) -> Value {
        self.json("PUT", &format!("/v1/datasets/{name}"), spec).await.ok().body
    }

    /// Writes, and reads back.
    pub(crate) async fn change(&self, method: &str, path: &str, body: Value) -> Value {
        let written = self.json(method, path, body).await.ok();
        let read = self.get(path).await.ok();
        assert_eq!(written.header("etag"), read.header("etag"), "{written:#?} {read:#?}");
        assert_eq!(written.body["etag"], read.body["etag"]);
        assert_eq!(format!("\"{}\"", read.body["etag"].as_str().unwrap()), read.header("etag"));
        assert_eq!(read.body["session"], read.header("photon-session"));
        assert_eq!((&written.body["durable_in"], &written.body["of"]), (&json!(1), &json!(3)));
        read.body
    }
}
