//! Watching a dataset over HTTP, against a real region on imagined time.
//! Must not know how a region keeps its changes.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod client;
mod region;

use axum::body::Body;
use axum::http::{Request, Response};
use client::Client;
use futures_util::StreamExt;
use photon_edge::FrontLimits;
use serde_json::{Value, json};

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
