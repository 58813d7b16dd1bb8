//! What clients hear when they are turned away before any route: each in its own words.

use axum::body::Body;
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt;
use photon_edge::{Front, FrontLimits, TokenHash};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::region;

/// Asks for a path, and expects this status; returns the headers and the body.
async fn check(front: &Front, line: &str, host: &str, status: u16) -> (HeaderMap, Value) {
    let (method, path) = line.split_once(' ').unwrap();
    let request = Request::builder().method(method).uri(path).header("host", host);
    let request = request.body(Body::empty()).unwrap();
    let response = photon_edge::router(front.clone()).oneshot(request).await.unwrap();
    assert_eq!(response.status().as_u16(), status, "{line}");
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (parts.headers, serde_json::from_slice(&bytes).unwrap())
}

/// Expects the JSON-RPC error of a call that is not known.
async fn check_rpc(front: &Front, line: &str, host: &str, status: u16, code: i32) -> HeaderMap {
    let (headers, body) = check(front, line, host, status).await;
    assert_eq!((&body["jsonrpc"], &body["id"]), (&json!("2.0"), &Value::Null), "{line}: {body}");
    assert!(body.as_object().unwrap().contains_key("id"), "{line}: {body}");
    assert_eq!(body["error"]["code"], code, "{line}: {body}");
    assert_eq!(headers["content-type"], "application/json", "{line}");
    headers
}

/// Expects a `google.rpc.Status`.
async fn check_rest(front: &Front, line: &str, host: &str, status: u16, name: &str) -> HeaderMap {
    let (headers, body) = check(front, line, host, status).await;
    assert_eq!(body["error"]["code"], status, "{line}: {body}");
    assert_eq!(body["error"]["status"], name, "{line}: {body}");
    assert!(body["error"]["details"][0]["@type"].is_string(), "{line}: {body}");
    assert_eq!(headers["content-type"], "application/a2a+json", "{line}");
    headers
}

#[tokio::test]
async fn whoever_has_no_token_is_told_so_in_the_protocol_of_the_address() {
    let front = region::front(vec![TokenHash::of("secret")], FrontLimits::default());
    let here = "localhost";
    let challenge = "Bearer realm=\"photon\"";
    for line in ["POST /a2a", "POST /agents/shout", "GET /agents/shout/"] {
        let headers = check_rpc(&front, line, here, 401, -32600).await;
        assert_eq!(headers["www-authenticate"], challenge, "{line}");
    }
    for line in ["POST /a2a/message:send", "GET /agents/shout/tasks", "GET /a2a/t/nowhere"] {
        let headers = check_rest(&front, line, here, 401, "UNAUTHENTICATED").await;
        assert_eq!(headers["www-authenticate"], challenge, "{line}");
    }
    let (headers, problem) = check(&front, "GET /v1/tasks", here, 401).await;
    assert_eq!(headers["www-authenticate"], challenge);
    assert_eq!(problem["type"], "/problems/unauthorized");
}

#[tokio::test]
async fn a_stranger_and_one_gone_astray_hear_it_in_the_protocol_of_the_address() {
    let front = region::front(Vec::new(), FrontLimits::default());
    let (here, elsewhere) = ("localhost", "evil.example");
    check_rpc(&front, "POST /a2a", elsewhere, 403, -32600).await;
    check_rest(&front, "GET /agents/a/tasks", elsewhere, 403, "PERMISSION_DENIED").await;
    check_rest(&front, "GET /.well-known/agent-card.json", elsewhere, 403, "PERMISSION_DENIED")
        .await;
    check_rest(&front, "POST /a2a/message:jump", here, 404, "NOT_FOUND").await;
    check_rest(&front, "GET /agents/a/b/c/d", here, 404, "NOT_FOUND").await;
    for path in ["/a2a", "/a2a/", "/agents/a", "/agents/a/"] {
        let headers = check_rpc(&front, &format!("GET {path}"), here, 405, -32600).await;
        assert_eq!(headers["allow"], "POST", "{path}");
    }
    let headers = check_rest(&front, "DELETE /agents/a/tasks", here, 405, "UNIMPLEMENTED").await;
    assert_eq!(headers["allow"], "GET,HEAD");
    let (_, problem) = check(&front, "GET /agents", here, 404).await;
    assert_eq!(problem["type"], "/problems/not-found");
}
