//! Watching a dataset over HTTP, against a real region on imagined time.
//! Must not know how a region keeps its changes.

use axum::body::Body;
use axum::http::{Request, Response};
use futures_util::StreamExt;
use photon_edge::FrontLimits;
use serde_json::{Value, json};

use crate::client::Client;
use crate::region;

/// Returns the first frames of a stream, as text.
async fn frames(response: Response<Body>, count: usize) -> String {
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let frames = response.into_body().into_data_stream().take(count);
    let frames: Vec<_> = frames.map(|it| it.unwrap()).collect().await;
    String::from_utf8(frames.concat()).unwrap()
}

#[tokio::test]
async fn a_watch_tells_of_each_change_once_and_is_resumed() {
    let client = Client::new();
    client.declare("notes", json!({"type": "register"})).await;
    let poll = async |position: &str| {
        let path = format!("/v1/data/notes?watch=true&wait_ms=100&prefix=a{position}");
        client.send("GET", &path, &[("accept", "application/json")], Body::empty()).await
    };
    let begin = poll("").await.ok().body;
    assert_eq!(begin["changes"], json!([]));
    let position = begin["position"].as_str().unwrap();
    for (key, value) in [("a1", 1), ("b", 2), ("a2", 3)] {
        client.json("PUT", &format!("/v1/data/notes/{key}"), json!(value)).await.ok();
    }
    client.delete("/v1/data/notes/a1").await.ok();
    let heard = poll(&format!("&position={position}")).await.ok().body;
    let changes = heard["changes"].as_array().unwrap();
    let told: Vec<_> = changes.iter().map(|it| (&it["key"], &it["record"]["value"])).collect();
    let (a1, a2) = (json!("a1"), json!("a2"));
    // A change shows the record as it is when it is told.
    assert_eq!(told, [(&a1, &Value::Null), (&a2, &json!(3)), (&a1, &Value::Null)]);
    assert_eq!((&changes[0]["record"], &changes[1]["by"]), (&Value::Null, &json!("eu-west-1")));
    let after = heard["position"].as_str().unwrap();
    assert_eq!(poll(&format!("&position={after}")).await.ok().body["changes"], json!([]));

    let watch = async |name: &str, value: &str| {
        let request = Request::get("/v1/data/notes?prefix=a").header("accept", "text/event-stream");
        client.respond(request.header(name, value).body(Body::empty()).unwrap()).await
    };
    let text = frames(watch("last-event-id", position).await, 3).await;
    assert_eq!(text.matches("event: change\n").count(), 3, "{text}");
    let ids: Vec<_> = text.lines().filter_map(|it| it.strip_prefix("id: ")).collect();
    let text = frames(watch("last-event-id", ids[0]).await, 2).await;
    assert!(text.contains("\"key\":\"a2\"") && text.matches("event:").count() == 2, "{text}");
    let text = frames(watch("x", "y").await, 1).await;
    assert!(text.contains("id: ") && !text.contains("event:"), "it says from where: {text}");

    let bad = poll("&position=AQ").await;
    bad.refused(400, "invalid-parameter", json!("position"));
    let bad = client.send("GET", "/v1/data/no?watch=true", &[], Body::empty()).await;
    bad.refused(404, "no-such-dataset", Value::Null);
    let odd = client.get(&format!("/v1/data/notes?position={after}")).await;
    odd.refused(400, "invalid-parameter", json!("position"));
}

#[tokio::test]
async fn whoever_watches_takes_the_place_of_a_follower() {
    let limits = FrontLimits { followers_max: 0, ..FrontLimits::default() };
    let client = Client(region::front(Vec::new(), limits));
    client.declare("notes", json!({"type": "register"})).await;
    let heads = [("accept", "application/json")];
    let poll = async |path| client.send("GET", path, &heads, Body::empty()).await;
    poll("/v1/data/notes?watch=true").await.ok();
    let full = poll("/v1/data/notes?watch=true&wait_ms=1").await;
    full.refused(503, "too-many-followers", Value::Null);
    let heads = [("accept", "text/event-stream")];
    let full = client.send("GET", "/v1/data/notes", &heads, Body::empty()).await;
    full.refused(503, "too-many-followers", Value::Null);
}

/// Returns how many bytes are kept of what watchers have not read.
async fn bytes_held(client: &Client) -> u64 {
    let response = client.respond(Request::get("/metrics").body(Body::empty()).unwrap()).await;
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let text = String::from_utf8(body.to_vec()).unwrap();
    let held = text.lines().find_map(|it| it.strip_prefix("photon_watches_bytes "));
    held.unwrap().parse().unwrap()
}

/// Writes some kilobytes under each of some keys.
async fn fill(client: &Client, keys: std::ops::Range<u32>) {
    for key in keys {
        let value = "x".repeat(4_000);
        client.json("PUT", &format!("/v1/data/notes/k{key}"), json!(value)).await.ok();
    }
}

#[tokio::test]
async fn a_watcher_keeps_what_there_is_room_for_and_is_told_the_rest_after_it() {
    let limits = FrontLimits { watches_bytes_max: 20_000, ..FrontLimits::default() };
    let client = Client(region::front(Vec::new(), limits));
    client.declare("notes", json!({"type": "register"})).await;
    let poll = "/v1/data/notes?watch=true";
    let begin = client.send("GET", poll, &[("accept", "application/json")], Body::empty()).await;
    let begin = begin.ok().body["position"].as_str().unwrap().to_owned();
    fill(&client, 0..12).await;
    let watch = async || {
        let request = Request::get("/v1/data/notes").header("accept", "text/event-stream");
        client.respond(request.header("last-event-id", &begin).body(Body::empty()).unwrap()).await
    };
    // One who does not read holds what there is room for; there is none for another one.
    let idle = watch().await;
    let full = watch().await;
    assert_eq!(full.status(), 503);
    let held = bytes_held(&client).await;
    assert!((10_000..=20_000).contains(&held), "{held} bytes are held");
    // Once it reads, it misses nothing.
    let text = frames(idle, 12).await;
    let keys: Vec<_> = (0..12).map(|it| format!("data: {{\"key\":\"k{it}\"")).collect();
    assert!(keys.iter().all(|it| text.matches(it.as_str()).count() == 1), "{text}");
    assert_eq!(bytes_held(&client).await, 0);
    let next = frames(watch().await, 1).await;
    assert!(next.contains("\"key\":\"k0\""));
}

#[tokio::test]
async fn a_stream_for_which_there_is_no_room_ends_and_says_when_to_resume() {
    let limits = FrontLimits { watches_bytes_max: 20_000, ..FrontLimits::default() };
    let client = Client(region::front(Vec::new(), limits));
    client.declare("notes", json!({"type": "register"})).await;
    let watch = async |begin: &str| {
        let request = Request::get("/v1/data/notes").header("accept", "text/event-stream");
        client.respond(request.header("last-event-id", begin).body(Body::empty()).unwrap()).await
    };
    let waits = watch("").await;
    let mut waits = waits.into_body().into_data_stream();
    let begin = String::from_utf8(waits.next().await.unwrap().unwrap().to_vec()).unwrap();
    let position = begin.lines().find_map(|it| it.strip_prefix("id: ")).unwrap().to_owned();
    fill(&client, 0..12).await;
    let _idle = watch(&position).await;
    let end = String::from_utf8(waits.next().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(end.contains("resume") && end.contains("retry: 3000"), "{end}");
    assert!(waits.next().await.is_none(), "nothing follows");
}

#[tokio::test]
async fn one_who_does_not_read_leaves_room_for_others() {
    let limits = FrontLimits { watches_bytes_max: 150_000, ..FrontLimits::default() };
    let client = Client(region::front(Vec::new(), limits));
    client.declare("notes", json!({"type": "register"})).await;
    let poll = "/v1/data/notes?watch=true";
    let begin = client.send("GET", poll, &[("accept", "application/json")], Body::empty()).await;
    let begin = begin.ok().body["position"].as_str().unwrap().to_owned();
    fill(&client, 0..30).await;
    let watch = async || {
        let request = Request::get("/v1/data/notes").header("accept", "text/event-stream");
        client.respond(request.header("last-event-id", &begin).body(Body::empty()).unwrap()).await
    };
    let _idle = watch().await;
    let held = bytes_held(&client).await;
    assert!((50_000..=65_536).contains(&held), "{held} bytes are held");
    let text = frames(watch().await, 30).await;
    assert_eq!(text.matches("event: change\n").count(), 30);
}
