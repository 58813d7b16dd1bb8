//! The `/v1` API against a real region on imagined time: what clients send, and what they hear.

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use futures_util::stream::{self, StreamExt};
use http_body_util::BodyExt;
use photon_edge::{Front, FrontLimits, TokenHash, token};
use serde_json::{Value, json};
use tokio::sync::oneshot::{self, Sender};
use tower::ServiceExt;

use crate::region;

async fn send(front: &Front, request: Request<Body>) -> Response<Body> {
    photon_edge::router(front.clone()).oneshot(request).await.unwrap()
}

async fn read(response: Response<Body>) -> Value {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() }
}

fn request(method: &str, path: &str, body: &Value) -> Request<Body> {
    let builder = Request::builder().method(method).uri(path);
    if body.is_null() {
        return builder.body(Body::empty()).unwrap();
    }
    let builder = builder.header("content-type", "application/json");
    builder.body(body.to_string().into()).unwrap()
}

async fn call(front: &Front, method: &str, path: &str, body: Value) -> (u16, Value) {
    let response = send(front, request(method, path, &body)).await;
    (response.status().as_u16(), read(response).await)
}

/// Checks that a request is refused as a problem of this kind, about this field.
async fn check(
    front: &Front,
    (method, path, body): (&str, &str, Value),
    (status, kind, field): (u16, &str, Value),
) {
    let response = send(front, request(method, path, &body)).await;
    assert_eq!(response.headers()["content-type"], "application/problem+json", "{path} {body}");
    let (found_status, problem) = (response.status().as_u16(), read(response).await);
    assert_eq!(found_status, status, "{problem}");
    assert_eq!(problem["status"], status, "{problem}");
    assert_eq!(problem["type"], format!("/problems/{kind}"), "{problem}");
    assert_eq!(problem["field"], field, "{problem}");
}

async fn front_with_agent() -> Front {
    let front = region::front(Vec::new(), FrontLimits::default());
    let body = json!({"skills": ["text.upper"], "description": "Shouts."});
    let (status, agent) = call(&front, "PUT", "/v1/agents/shout", body).await;
    assert_eq!((status, &agent["status"]), (200, &json!("online")), "{agent}");
    front
}

#[tokio::test]
async fn a_task_is_submitted_leased_told_of_and_completed() {
    let front = front_with_agent().await;
    let post = json!({"skill": "text.upper", "text": "hello", "context_id": "c-1"});
    let (status, task) = call(&front, "POST", "/v1/tasks", post).await;
    assert_eq!((status, &task["home"]), (201, &json!("eu-west-1")), "{task}");
    let id = task["id"].as_str().unwrap();

    let (_, leases) = call(&front, "POST", "/v1/leases", json!({"agent": "shout"})).await;
    let lease = &leases["leases"][0];
    assert_eq!(lease["task"], task["id"]);
    assert_eq!(lease["message"]["parts"], json!([{"text": "hello"}]));
    let token = &lease["token"];

    let piece = |text| json!({"artifact": {"id": "out", "text": text, "append": true}});
    let notes = json!({"token": token, "first": 1, "notes": [piece("HEL"), piece("LO")]});
    let (status, _) = call(&front, "POST", &format!("/v1/leases/{id}/events"), notes).await;
    assert_eq!(status, 200);
    let done = json!({"token": token, "text": "done"});
    let (_, standing) = call(&front, "POST", &format!("/v1/leases/{id}/complete"), done).await;
    assert_eq!(standing, json!({"state": "completed", "generation": 5}));

    let (_, task) = call(&front, "GET", &format!("/v1/tasks/{id}"), Value::Null).await;
    let parts = json!([{"text": "HEL"}, {"text": "LO"}]);
    assert_eq!(task["artifacts"], json!([{"id": "out", "parts": parts, "is_whole": false}]));
    assert_eq!(task["last_message"]["parts"], json!([{"text": "done"}]));
    assert_eq!(task["worker"], json!({"agent": "shout", "region": "eu-west-1"}));
    let (_, listed) = call(&front, "GET", "/v1/tasks?context_id=c-1", Value::Null).await;
    assert_eq!(listed["tasks"][0]["id"], id);
}

#[tokio::test]
async fn a_stream_of_events_is_resumed_after_the_last_one_heard_and_ends_with_the_task() {
    let front = front_with_agent().await;
    let post = json!({"agent": "shout", "text": "hello"});
    let (_, task) = call(&front, "POST", "/v1/tasks", post).await;
    let path = format!("/v1/tasks/{}", task["id"].as_str().unwrap());
    call(&front, "POST", &format!("{path}/cancel"), json!({"reason": "no"})).await;

    let request = Request::get(format!("{path}/events")).header("last-event-id", "2");
    let response = send(&front, request.body(Body::empty()).unwrap()).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let text = response.into_body().collect().await.unwrap().to_bytes();
    let text = std::str::from_utf8(&text).unwrap();
    assert!(text.starts_with("id: 3\nevent: ended\ndata: {"), "{text}");
    assert_eq!(text.matches("event:").count(), 1, "{text}");

    let request =
        Request::get(format!("{path}/events?after=1")).header("accept", "application/json");
    let events = read(send(&front, request.body(Body::empty()).unwrap()).await).await;
    assert_eq!((&events["state"], &events["next_after"]), (&json!("canceled"), &json!(3)));
    assert_eq!(events["events"][0]["kind"], "claimed");
}

#[tokio::test]
async fn an_idempotency_key_makes_one_task_of_two_requests() {
    let front = front_with_agent().await;
    let post = |key: &str, body: Value| {
        let mut request = request("POST", "/v1/tasks", &body);
        request.headers_mut().insert("idempotency-key", key.parse().unwrap());
        send(&front, request)
    };
    let body = json!({"skill": "text.upper", "text": "hello"});
    let first = post("k", body.clone()).await;
    assert_eq!(first.status(), StatusCode::CREATED);
    let again = post("k", body).await;
    assert_eq!(again.status(), StatusCode::OK);
    assert_eq!(again.headers()["location"], first.headers()["location"]);
    let other = post("k", json!({"skill": "text.upper", "text": "other"})).await;
    assert_eq!(other.status(), StatusCode::CONFLICT);
    assert_eq!(read(other).await["task"], read(first).await["id"]);
    for bad in ["", "a b", &"k".repeat(256)] {
        let response = post(bad, json!({"skill": "text.upper", "text": "hello"})).await;
        assert_eq!(read(response).await["field"], "idempotency-key", "{bad}");
    }
}

#[tokio::test]
async fn a_late_worker_is_refused() {
    let front = front_with_agent().await;
    let (_, task) =
        call(&front, "POST", "/v1/tasks", json!({"skill": "text.upper", "text": ""})).await;
    let path = format!("/v1/leases/{}", task["id"].as_str().unwrap());
    let stale = (409, "stale-token", Value::Null);
    let beat = json!({"token": "1"});
    check(&front, ("POST", &format!("{path}/heartbeat"), beat), stale).await;
    let fail = json!({"token": "1", "reason": "late"});
    check(&front, ("POST", &format!("{path}/fail"), fail), (409, "stale-token", Value::Null)).await;
}

#[tokio::test]
async fn bad_bodies_get_an_error_that_names_the_field() {
    let front = front_with_agent().await;
    let task = async |body, status, kind, field: &str| {
        check(&front, ("POST", "/v1/tasks", body), (status, kind, json!(field))).await;
    };
    let part = |part: Value| json!({"skill": "a", "parts": [{"text": ""}, part]});
    task(json!({"text": "x"}), 422, "invalid-body", "skill").await;
    task(json!({"skill": "a", "agent": "b", "text": "x"}), 422, "invalid-body", "agent").await;
    task(json!({"skill": "a"}), 422, "invalid-body", "text").await;
    task(json!({"skill": "a", "text": "", "parts": []}), 422, "invalid-body", "text").await;
    task(json!({"skill": "a b", "text": "x"}), 422, "invalid-body", "skill").await;
    task(json!({"skill": 7, "text": "x"}), 422, "invalid-body", "skill").await;
    task(json!({"skil": "a", "text": "x"}), 422, "invalid-body", "skil").await;
    task(part(json!({})), 422, "invalid-body", "parts[1]").await;
    task(part(json!({"raw": "?"})), 422, "invalid-body", "parts[1].raw").await;
    task(part(json!({"txt": "?"})), 422, "invalid-body", "parts[1].txt").await;
    let text = json!({"skill": "a", "text": "x"});
    task(text.clone(), 422, "no-such-skill", "skill").await;
    let text = |placement| json!({"skill": "text.upper", "text": "x", "placement": placement});
    task(text("mars"), 422, "no-such-placement", "placement").await;
    task(text("us"), 421, "outside-placement", "placement").await;
    task(text("US"), 422, "invalid-body", "placement").await;
    let agent = async |body, field: &str| {
        let expected = (422, "invalid-body", json!(field));
        check(&front, ("PUT", "/v1/agents/a", body), expected).await;
    };
    agent(json!({"skills": []}), "skills").await;
    agent(json!({"skills": vec!["a"; 65]}), "skills").await;
    agent(json!({"skills": ["a", "/"]}), "skills[1]").await;
    agent(json!({"skills": ["a"], "capacity": 0}), "capacity").await;
    agent(json!({"skills": ["a"], "capacity": 1025}), "capacity").await;
    agent(json!({"skills": ["a"], "capacity": 1.5}), "capacity").await;
    agent(json!({"skills": ["a"], "card": {"name": 1}}), "card.name").await;
    agent(json!({"skills": ["a"], "card": {"version": "2"}}), "card").await;
    let deep = "[".repeat(200) + &"]".repeat(200);
    for vendor in ["1e999", "\"\\ud800\"", &deep] {
        let body =
            format!("{{\"skills\":[\"a\"],\"card\":{{\"name\":\"a\",\"vendor\":{vendor}}}}}");
        let put = Request::builder().method("PUT").uri("/v1/agents/a");
        let put = put.header("content-type", "application/json").body(body.into()).unwrap();
        let response = send(&front, put).await;
        let (status, problem) = (response.status().as_u16(), read(response).await);
        assert_eq!((status, &problem["field"]), (422, &json!("card")), "{problem}");
    }
    agent(json!({"skills": ["a"], "card": {"name": "a", "version": null}}), "card.version").await;
}

#[tokio::test]
async fn a_card_needs_no_more_than_a_name() {
    let front = front_with_agent().await;
    let put = json!({"skills": ["a"], "card": {"name": "B"}});
    let (status, agent) = call(&front, "PUT", "/v1/agents/b", put).await;
    assert_eq!((status, &agent["card"]["name"]), (200, &json!("B")), "{agent}");
    let path = "/agents/b/.well-known/agent-card.json";
    let (status, card) = call(&front, "GET", path, Value::Null).await;
    assert_eq!((status, &card["version"]), (200, &json!("1.0.0")), "{card}");
    assert_eq!(card["supportedInterfaces"].as_array().unwrap().len(), 4, "{card}");
}

#[tokio::test]
async fn bad_parameters_paths_and_methods_are_problems_too() {
    let front = front_with_agent().await;
    let get = async |path, status, kind, field: Value| {
        check(&front, ("GET", path, Value::Null), (status, kind, field)).await;
    };
    get("/v1/tasks?limit=0", 400, "invalid-parameter", json!("limit")).await;
    get("/v1/tasks?limit=1001", 400, "invalid-parameter", json!("limit")).await;
    get("/v1/tasks?limit=%2B5", 400, "invalid-parameter", json!("limit")).await;
    get("/v1/tasks?limit=1&limit=2", 400, "invalid-parameter", Value::Null).await;
    get("/v1/tasks?limt=1", 400, "invalid-parameter", Value::Null).await;
    get("/v1/tasks?state=done", 400, "invalid-parameter", Value::Null).await;
    get("/v1/tasks?cursor=x", 400, "invalid-parameter", json!("cursor")).await;
    get("/v1/tasks/x", 400, "invalid-parameter", json!("id")).await;
    get("/v1/agents/%ff", 400, "invalid-parameter", Value::Null).await;
    get("/v1/agents/nobody", 404, "no-such-agent", Value::Null).await;
    get("/v1/agents?region=mars", 404, "no-such-region", json!("region")).await;
    get("/v1/regions/mars", 404, "no-such-region", json!("name")).await;
    get("/v1/tasks/00000000000000000000000000", 404, "no-such-task", Value::Null).await;
    get("/v1/tasks/00000000000000000000000000/events", 404, "no-such-task", Value::Null).await;
    get("/v2", 404, "not-found", Value::Null).await;
    let wrong = ("PATCH", "/v1/agents/shout", Value::Null);
    check(&front, wrong, (405, "method-not-allowed", Value::Null)).await;
    let response = send(&front, request("PATCH", "/v1/agents/shout", &Value::Null)).await;
    let allow = response.headers()["allow"].to_str().unwrap();
    assert!(["GET", "PUT", "DELETE"].iter().all(|it| allow.contains(it)), "{allow}");
}

#[tokio::test]
async fn a_body_of_another_type_or_size_is_refused() {
    let limits = FrontLimits { body_bytes_max: 100, ..FrontLimits::default() };
    let front = region::front(Vec::new(), limits);
    let post = async |content_type: &'static str, body: Body, kind| {
        let request = Request::post("/v1/tasks").header("content-type", content_type);
        let problem = read(send(&front, request.body(body).unwrap()).await).await;
        assert_eq!(problem["type"], format!("/problems/{kind}"), "{problem}");
    };
    post("text/plain", "{}".into(), "unsupported-media-type").await;
    post("application/json; charset=utf-8", "{".into(), "malformed-json").await;
    post("application/json", "{}  {}".into(), "malformed-json").await;
    post("application/json", Body::from(vec![b' '; 101]), "too-large").await;
    let chunks = (0..11).map(|_| Ok::<_, std::io::Error>("          "));
    let chunks = Body::from_stream(stream::iter(chunks));
    post("application/json", chunks, "too-large").await;
    let request = Request::post("/v1/tasks").header("content-length", "101");
    let request = request.header("content-type", "application/json").body(Body::empty()).unwrap();
    assert_eq!(send(&front, request).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

/// What of a body is not counted.
const SMALL: usize = 16 << 10;

/// Begins a request whose body arrives in two parts, the second when it is sent.
fn slow(front: &Front, begin: &str) -> (impl Future<Output = Response<Body>>, Sender<String>) {
    let (go, gone) = oneshot::channel::<String>();
    let chunks = stream::iter([Ok(begin.to_owned())]).chain(stream::once(gone));
    let request = Request::post("/v1/tasks").header("content-type", "application/json");
    let request = request.header("content-length", 2 * SMALL).body(Body::from_stream(chunks));
    (send(front, request.unwrap()), go)
}

#[tokio::test]
async fn all_bodies_together_have_a_bound() {
    let limits = FrontLimits { bodies_bytes_max: 100, ..FrontLimits::default() };
    let front = region::front(Vec::new(), limits);
    call(&front, "PUT", "/v1/agents/a", json!({"skills": ["a"]})).await;
    let post = json!({"skill": "a", "text": "x".repeat(SMALL + 40)});
    let whole = post.to_string();
    let (begin, end) = whole.split_at(SMALL + 55);
    let (slow, go) = slow(&front, begin);
    let other = async {
        let response = send(&front, request("POST", "/v1/tasks", &post)).await;
        assert_eq!(response.headers()["retry-after"], "1");
        let problem = read(response).await;
        assert_eq!((&problem["status"], &problem["max"]), (&json!(503), &json!(100)), "{problem}");
        assert_eq!(problem["type"], "/problems/too-many-bodies");
        let large = Request::post("/a2a").body(Body::from(vec![b' '; SMALL + 60])).unwrap();
        let response = send(&front, large).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(read(response).await["error"]["code"], -32603);
        let small = json!({"skill": "a", "text": "x"});
        assert_eq!(call(&front, "POST", "/v1/tasks", small).await.0, 201, "small ones are heard");
        go.send(end.to_owned()).unwrap();
    };
    let (slow, ()) = tokio::join!(slow, other);
    assert_eq!(slow.status(), StatusCode::CREATED);
    assert_eq!(call(&front, "POST", "/v1/tasks", post).await.0, 201);
}

#[tokio::test]
async fn a_body_that_is_only_announced_holds_no_room() {
    let limits = FrontLimits { bodies_bytes_max: 100, ..FrontLimits::default() };
    let front = region::front(Vec::new(), limits);
    call(&front, "PUT", "/v1/agents/a", json!({"skills": ["a"]})).await;
    let (silent, go) = slow(&front, "{");
    let other = async {
        let post = json!({"skill": "a", "text": "x".repeat(SMALL + 40)});
        assert_eq!(call(&front, "POST", "/v1/tasks", post).await.0, 201);
        go.send(String::new()).unwrap();
    };
    assert_eq!(tokio::join!(silent, other).0.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn who_prefers_little_is_told_where_the_task_is_and_no_more() {
    let front = front_with_agent().await;
    let check = async |prefer: &str, status: u16| {
        let mut post = request("POST", "/v1/tasks", &json!({"skill": "text.upper", "text": "x"}));
        post.headers_mut().insert("prefer", prefer.parse().unwrap());
        let response = send(&front, post).await;
        assert_eq!(response.status(), status, "{prefer}");
        let path = response.headers()["location"].to_str().unwrap().to_owned();
        let applied = response.headers().get("preference-applied").cloned();
        assert_eq!(applied.is_some_and(|it| it == "return=minimal"), status == 204, "{prefer}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body.is_empty(), status == 204, "{prefer}");
        let (_, task) = call(&front, "GET", &path, Value::Null).await;
        assert_eq!(task["message"]["parts"], json!([{"text": "x"}]));
    };
    for prefer in ["return=minimal", "wait=1, Return = \"minimal\"; x=1", "return=minimal, a"] {
        check(prefer, 204).await;
    }
    for prefer in ["return=representation", "respond-async", "return=a, return=minimal", "=", ""] {
        check(prefer, 201).await;
    }
}

#[tokio::test]
async fn lists_come_in_pages_without_gap_or_repeat() {
    let front = front_with_agent().await;
    for _ in 0..5 {
        call(&front, "POST", "/v1/tasks", json!({"skill": "text.upper", "text": ""})).await;
    }
    let mut ids = Vec::new();
    let mut path = "/v1/tasks?limit=2".to_owned();
    loop {
        let (_, page) = call(&front, "GET", &path, Value::Null).await;
        ids.extend(page["tasks"].as_array().unwrap().iter().map(|it| it["id"].to_string()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/tasks?limit=2&cursor={cursor}");
    }
    let mut sorted = ids.clone();
    sorted.sort();
    sorted.dedup();
    sorted.reverse();
    assert_eq!((ids.len(), &ids), (5, &sorted));
}

#[tokio::test]
async fn a_page_ends_early_when_it_is_heavy() {
    let front = region::front(Vec::new(), FrontLimits::default());
    let description = "x".repeat(200 << 10);
    let agents: Vec<_> = (0..25).map(|at| format!("a-{at:02}")).collect();
    for name in &agents {
        let put = json!({"skills": ["a"], "description": description});
        assert_eq!(call(&front, "PUT", &format!("/v1/agents/{name}"), put).await.0, 200);
    }
    assert_eq!(all_pages(&front, "agents", "name").await, (agents, vec![21, 4]));
    let text = "x".repeat(900_000);
    let mut tasks = Vec::new();
    for _ in 0..6 {
        let post = json!({"skill": "a", "text": text});
        let (_, task) = call(&front, "POST", "/v1/tasks", post).await;
        tasks.push(task["id"].as_str().unwrap().to_owned());
    }
    tasks.sort();
    tasks.reverse();
    assert_eq!(all_pages(&front, "tasks", "id").await, (tasks, vec![5, 1]));
}

/// Reads a list to its end; returns the names, and how many items each page had.
async fn all_pages(front: &Front, what: &str, name: &str) -> (Vec<String>, Vec<usize>) {
    let (mut names, mut sizes, mut cursor) = (Vec::new(), Vec::new(), String::new());
    loop {
        let path = format!("/v1/{what}?limit=1000{cursor}");
        let (_, page) = call(front, "GET", &path, Value::Null).await;
        let items = page[what].as_array().unwrap();
        sizes.push(items.len());
        names.extend(items.iter().map(|it| it[name].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { return (names, sizes) };
        cursor = format!("&cursor={next}");
    }
}

#[tokio::test]
async fn a_configured_token_is_asked_for_everywhere_but_on_probes_and_cards() {
    let (plain, hash) = token::make().unwrap();
    let front = region::front(vec![TokenHash::of("other"), hash], FrontLimits::default());
    let status = async |path: &str, authorization: &str| {
        let mut request = request("GET", path, &Value::Null);
        request.headers_mut().insert("authorization", authorization.parse().unwrap());
        send(&front, request).await.status().as_u16()
    };
    for authorization in ["", "Bearer", "Bearer x", &format!("Basic {plain}"), &plain] {
        assert_eq!(status("/v1/regions", authorization).await, 401, "{authorization}");
    }
    assert_eq!(status("/nowhere", "").await, 401);
    assert_eq!(status("/metrics", "").await, 401);
    assert_eq!(status("/v1/regions", &format!("Bearer {plain}")).await, 200);
    assert_eq!(status("/v1/regions", &format!("bearer {plain}")).await, 200);
    assert_eq!(status("/healthz", "").await, 200);
    let response = send(&front, request("GET", "/v1/regions", &Value::Null)).await;
    assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"photon\"");
}

#[tokio::test]
async fn followers_beyond_the_bound_are_refused_until_one_leaves() {
    let limits = FrontLimits { followers_max: 1, ..FrontLimits::default() };
    let front = region::front(Vec::new(), limits);
    call(&front, "PUT", "/v1/agents/shout", json!({"skills": ["a"]})).await;
    let (_, task) = call(&front, "POST", "/v1/tasks", json!({"skill": "a", "text": ""})).await;
    let path = format!("/v1/tasks/{}/events", task["id"].as_str().unwrap());
    let first = send(&front, request("GET", &path, &Value::Null)).await;
    assert_eq!(first.status(), StatusCode::OK);
    let full = (503, "too-many-followers", Value::Null);
    check(&front, ("GET", &path, Value::Null), full).await;
    drop(first);
    let again = send(&front, request("GET", &path, &Value::Null)).await;
    assert_eq!(again.status(), StatusCode::OK);
}

#[tokio::test]
async fn only_a_poll_that_waits_takes_a_place_of_a_follower() {
    let limits = FrontLimits { followers_max: 0, ..FrontLimits::default() };
    let front = region::front(Vec::new(), limits);
    call(&front, "PUT", "/v1/agents/shout", json!({"skills": ["a"]})).await;
    let (_, task) = call(&front, "POST", "/v1/tasks", json!({"skill": "a", "text": ""})).await;
    let path = format!("/v1/tasks/{}/events", task["id"].as_str().unwrap());
    let poll = async |query: &str| {
        let request = Request::get(format!("{path}{query}")).header("accept", "application/json");
        let response = send(&front, request.body(Body::empty()).unwrap()).await;
        (response.status().as_u16(), read(response).await)
    };
    for query in ["", "?wait_ms=0"] {
        let (status, heard) = poll(query).await;
        assert_eq!((status, &heard["events"][0]["kind"]), (200, &json!("submitted")), "{heard}");
    }
    let (status, problem) = poll("?wait_ms=1").await;
    assert_eq!((status, &problem["type"]), (503, &json!("/problems/too-many-followers")));
}

#[tokio::test]
async fn metrics_count_requests_by_route_and_not_by_path() {
    let front = front_with_agent().await;
    for name in ["a", "b"] {
        call(&front, "GET", &format!("/v1/agents/{name}"), Value::Null).await;
    }
    let response = send(&front, request("GET", "/metrics", &Value::Null)).await;
    let text = response.into_body().collect().await.unwrap().to_bytes();
    let text = std::str::from_utf8(&text).unwrap();
    let line = "photon_http_requests_total{method=\"GET\",route=\"/v1/agents/{name}\",\
        status=\"4xx\"} 2\n";
    assert!(text.contains(line), "{text}");
    for line in text.lines().filter(|it| !it.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}

#[tokio::test]
async fn the_openapi_document_has_every_route_and_only_known_schemas() {
    let front = front_with_agent().await;
    let (status, document) = call(&front, "GET", "/v1/openapi.json", Value::Null).await;
    assert_eq!((status, &document["openapi"]), (200, &json!("3.1.0")));
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name} is not described");
    }
    assert_eq!(document["paths"].as_object().unwrap().len(), 43);
    assert_eq!(schemas["ConflictPolicy"]["enum"][0], "last-writer", "as it is in JSON");
}

#[tokio::test]
async fn the_topology_says_who_sends_to_whom() {
    let front = region::front(Vec::new(), FrontLimits::default());
    let (status, topology) = call(&front, "GET", "/v1/replication/topology", Value::Null).await;
    assert_eq!((status, &topology["topology"]), (200, &json!("mesh")), "{topology}");
    assert_eq!(topology["links"].as_array().unwrap().len(), 3);
    let own = json!({
        "placement": "global", "origin": "eu-west-1", "is_mutual": false, "sends": [],
        "unreached": ["ap-southeast-1", "us-east-1"],
    });
    assert!(topology["flows"].as_array().unwrap().contains(&own), "{topology}");
}
