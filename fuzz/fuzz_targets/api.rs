//! Requests of strangers, one after the other, to the routes of a region in this process. Nothing
//! panics; no answer is a 500; what is refused says what is wrong; and the region answers the next.

#![no_main]

#[path = "../../crates/photon-edge/tests/region/mod.rs"]
mod region;
#[path = "../src/requests.rs"]
mod requests;

use std::cell::RefCell;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use photon_edge::FrontLimits;
use photon_state::StableHash;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt as _;

/// The planet of the region under test.
const PLANET: &str = "test";

/// Cases that share a region.
const CASES_OF_A_REGION: u32 = 500;

/// Requests of one case.
const REQUESTS_MAX: usize = 8;

/// How long an answer is waited for: streams and long polls have none.
const PATIENCE: Duration = Duration::from_millis(100);

/// What the routes are, and what a case may put into them: `{}` is its text.
const ROUTES: [(&str, &str, &str); 24] = [
    ("PUT", "/v1/data/register/{}", "application/json"),
    ("PUT", "/v1/data/map/a{}", "application/json"),
    ("PUT", "/v1/data/set/a{}", "application/json"),
    ("PUT", "/v1/data/document/a{}", "application/json"),
    ("PATCH", "/v1/data/counter/a{}", "application/json"),
    ("PATCH", "/v1/data/bounded-counter/a{}", "application/json"),
    ("PATCH", "/v1/data/set/a{}", "application/json"),
    ("PATCH", "/v1/data/map/a{}", "application/json"),
    ("PATCH", "/v1/data/document/a{}", "application/merge-patch+json"),
    ("POST", "/v1/data/register{}", "application/json"),
    ("POST", "/v1/data/set{}", "application/json"),
    ("POST", "/v1/data/document{}", "application/json"),
    ("GET", "/v1/data/document{}", "application/json"),
    ("GET", "/v1/data/{}", "application/json"),
    ("DELETE", "/v1/data/map/{}", "application/json"),
    ("PUT", "/v1/data/register/b", "{}"),
    ("PUT", "/v1/datasets/{}", "application/json"),
    ("PUT", "/v1/datasets/map/master{}", "application/json"),
    ("GET", "/v1/datasets/map/{}", "application/json"),
    ("POST", "/v1/tasks{}", "application/json"),
    ("POST", "/a2a", "application/json"),
    ("POST", "/a2a/message:send{}", "application/json"),
    ("PUT", "/v1/agents/{}", "application/json"),
    ("POST", "/v1/leases{}", "application/json"),
];

/// What a case may set: the header, and what comes in front of its text.
const HEADERS: [&str; 8] = [
    "x-nothing",
    "photon-session",
    "if-match",
    "if-none-match",
    "photon-consistency",
    "prefer",
    "accept",
    "idempotency-key",
];

/// Splits off the bytes before a newline.
fn line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = rest.iter().position(|it| *it == b'\n').unwrap_or(rest.len());
    let (line, after) = rest.split_at(end);
    *rest = after.get(1..).unwrap_or_default();
    line
}

/// Returns a session with a right checksum of this planet, that says what the case says.
fn session(said: &[u8]) -> String {
    let hash = |bytes: &[u8]| {
        let [a, b, c, d, ..] = StableHash::default().bytes(bytes).finish().to_le_bytes();
        [a, b, c, d]
    };
    let mut bytes = [&[1], &hash(PLANET.as_bytes())[..], said].concat();
    bytes.extend(hash(&bytes));
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a request: two bytes that choose, the rest of the path, a header, and the body.
fn request(mut bytes: &[u8]) -> Option<Request<Body>> {
    let [route, head, rest @ ..] = bytes else { return None };
    bytes = rest;
    let (method, path, media_type) = ROUTES[usize::from(*route) % ROUTES.len()];
    let text = String::from_utf8_lossy(line(&mut bytes)).into_owned();
    let said = line(&mut bytes);
    let name = HEADERS[usize::from(*head) % HEADERS.len()];
    let value = if name == "photon-session" && *head < 128 {
        session(said).into_bytes()
    } else {
        said.to_vec()
    };
    let request = Request::builder().method(method).uri(path.replace("{}", &text));
    let request = request.header("host", "localhost").header(name, value);
    let request = request.header("content-type", media_type.replace("{}", &text));
    request.body(Body::from(bytes.to_vec())).ok()
}

async fn check(router: &axum::Router, request: Request<Body>) {
    let what = format!("{} {}", request.method(), request.uri());
    let is_v1 = request.uri().path().starts_with("/v1/");
    let Ok(answer) = tokio::time::timeout(PATIENCE, router.clone().oneshot(request)).await else {
        return;
    };
    let Ok(answer) = answer;
    let (parts, body) = answer.into_parts();
    assert_ne!(parts.status, StatusCode::INTERNAL_SERVER_ERROR, "{what}: {:?}", parts.headers);
    let media_type = parts.headers.get("content-type").cloned();
    let media_type = media_type.as_ref().map_or("", |it| it.to_str().unwrap_or("odd"));
    if media_type.starts_with("text/event-stream") {
        return;
    }
    let Ok(body) = tokio::time::timeout(PATIENCE, to_bytes(body, 64 << 20)).await else { return };
    let body = body.expect("a body is read to its end");
    if media_type.contains("json") {
        // As a client reads it: numbers may be larger than any type of this language.
        let whole = serde_json::from_slice::<&serde_json::value::RawValue>(&body);
        assert!(whole.is_ok(), "{what}: {whole:?} in {body:?}");
    }
    if is_v1 && 400 <= parts.status.as_u16() {
        assert_eq!(media_type, "application/problem+json", "{what}: {body:?}");
        let problem: serde_json::Value = serde_json::from_slice(&body).expect("it is json");
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(!detail.is_empty(), "{what}: {problem}");
    }
}

/// Makes the routes of a new region, in which each type of dataset is declared.
async fn routes() -> axum::Router {
    let router = photon_edge::router(region::front(Vec::new(), FrontLimits::default()));
    for kind in ["register", "counter", "bounded-counter", "set", "map", "document"] {
        let body = format!("{{\"type\": \"{kind}\"}}");
        let declare = Request::put(format!("/v1/datasets/{kind}")).header("host", "localhost");
        let declare = declare.header("content-type", "application/json").body(Body::from(body));
        let answer = router.clone().oneshot(declare.expect("it is one")).await;
        assert_eq!(answer.map(|it| it.status()), Ok(StatusCode::OK));
    }
    router
}

async fn run(router: axum::Router, bytes: &[u8]) {
    // A byte that is in no text parts the requests of a case.
    for bytes in bytes.split(|it| *it == 0xff).take(REQUESTS_MAX) {
        if let Some(request) = request(bytes) {
            check(&router, request).await;
        }
    }
    let after = Request::get("/v1/datasets").header("host", "localhost").body(Body::empty());
    let after = router.oneshot(after.expect("it is one")).await;
    assert_eq!(after.map(|it| it.status()), Ok(StatusCode::OK), "it answers no more");
}

/// A region, and the cases that it has had.
struct Used {
    runtime: Runtime,
    router: Option<axum::Router>,
    cases: u32,
}

thread_local! {
    static USED: RefCell<Used> = RefCell::new(Used {
        runtime: Builder::new_current_thread().enable_time().build().expect("there is memory"),
        router: None,
        cases: 0,
    });
}

fuzz_target!(init: requests::write(), |bytes: &[u8]| {
    USED.with_borrow_mut(|used| {
        // To make a region takes far longer than to ask it, so that many cases share one.
        if used.cases % CASES_OF_A_REGION == 0 {
            used.router = Some(used.runtime.block_on(routes()));
        }
        used.cases = used.cases.wrapping_add(1);
        let router = used.router.clone().expect("the first case makes it");
        used.runtime.block_on(run(router, bytes));
    });
});
