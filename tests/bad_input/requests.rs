//! Requests that are wrong in what they say.
//! Must not test each field of each route: the edge's own tests do.

use reqwest::Method;
use serde_json::json;

use crate::harness::{Api, Region, RegionOptions, problem};

/// What is sent, the status and kind of the refusal, and what has to be said in it.
type Case = (Method, &'static str, &'static str, u16, &'static str, &'static str);

const TASK: &str = "/v1/tasks/00000000000000000000000000";

fn bodies() -> Vec<Case> {
    let post = |body, status, slug, says| (Method::POST, "/v1/tasks", body, status, slug, says);
    vec![
        post(r#"{"skill": "#, 400, "malformed-json", "not JSON"),
        post("", 400, "malformed-json", "not JSON"),
        post(r#"{"skill": "a", "text": "b"} {}"#, 400, "malformed-json", "not JSON"),
        post("null", 422, "invalid-body", "body: "),
        post(r#"{"skill": 7, "text": "x"}"#, 422, "invalid-body", "skill: "),
        post(r#"{"skil": "a", "text": "x"}"#, 422, "invalid-body", "did you mean `skill`?"),
        post(r#"{"text": "x"}"#, 422, "invalid-body", "give `skill` or `agent`"),
        post(r#"{"skill": "a"}"#, 422, "invalid-body", "`text`, `parts` or `message`"),
        post(r#"{"skill": "a", "text": "x", "parts": [{}]}"#, 422, "invalid-body", "`text`"),
        post(r#"{"skill": "no.such", "text": "x"}"#, 422, "no-such-skill", "`no.such`"),
        post(r#"{"agent": "nobody", "text": "x"}"#, 404, "no-such-agent", "`nobody`"),
        post(
            r#"{"skill": "a", "text": "x", "placement": "mars"}"#,
            422,
            "no-such-placement",
            "`mars`",
        ),
    ]
}

fn addresses() -> Vec<Case> {
    let get = |path, status, slug, says| (Method::GET, path, "", status, slug, says);
    vec![
        get("/v1/regions/mars", 404, "no-such-region", "there are: eu-west-1"),
        get("/v1/agents?region=mars", 404, "no-such-region", "region: "),
        get("/v1/agents/nobody", 404, "no-such-agent", "`nobody`"),
        get("/v1/agents/NOBODY", 400, "invalid-parameter", "a-z"),
        get(TASK, 404, "no-such-task", "no task `00000000000000000000000000`"),
        get("/v1/tasks/17", 400, "invalid-parameter", "26 characters"),
        get("/v1/tasks?limit=0", 400, "invalid-parameter", "limit: "),
        get("/v1/tasks?limt=5", 400, "invalid-parameter", "limt"),
        get("/v1/tasks?state=done", 400, "invalid-parameter", "done"),
        get("/v1/nothing", 404, "not-found", "/v1/openapi.json"),
        (Method::DELETE, "/v1/tasks", "", 405, "method-not-allowed", "`DELETE`"),
    ]
}

async fn check(api: &Api, case: Case) {
    let (method, path, body, status, slug, says) = case;
    let request = api.request(method, path).header("content-type", "application/json");
    let refused = Api::send(request.body(body)).await.refused(status, slug);
    assert!(problem(&refused).contains(says), "`{says}` is not said in {refused:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_request_is_told_what_is_wrong_and_what_to_do() {
    let region = Region::start(&RegionOptions::default()).await;
    for case in bodies().into_iter().chain(addresses()) {
        check(&region.api, case).await;
    }
    let post = region.api.request(Method::POST, "/v1/tasks").header("content-type", "text/plain");
    let refused = Api::send(post.body("hello")).await.refused(415, "unsupported-media-type");
    assert!(problem(&refused).contains("application/json"), "{refused:#}");
    region.api.lives_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_means_one_task() {
    let region = Region::start(&RegionOptions::default()).await;
    let api = &region.api;
    api.register("shout", "text.upper").await;
    let body = json!({"skill": "text.upper", "text": "hello"});
    let first = api.submit_once("order-17", &body).await;
    assert_eq!(first.status, 201);
    let again = api.submit_once("order-17", &body).await;
    assert_eq!((again.status, &again.body["id"]), (200, &first.body["id"]));
    let other = json!({"skill": "text.upper", "text": "goodbye"});
    let refused = api.submit_once("order-17", &other).await.refused(409, "key-reused");
    assert_eq!(refused["task"], first.body["id"]);
    api.lives_on().await;
}
