//! What workers leave to those who go on with a task, over HTTP.
//! Must not know how a region keeps it.

use axum::body::Body;
use serde_json::{Value, json};

use crate::client::Client;

#[tokio::test]
async fn whoever_goes_on_with_a_task_is_told_what_was_done() {
    let client = Client::new();
    client.json("PUT", "/v1/agents/shout", json!({"skills": ["text.upper"]})).await.ok();
    let post = async |path: &str, body: Value| client.json("POST", path, body).await;
    let task = post("/v1/tasks", json!({"agent": "shout", "text": "hello"})).await.ok().body;
    let id = task["id"].as_str().unwrap();
    let lease = json!({"agent": "shout"});
    let leases = post("/v1/leases", lease.clone()).await.ok().body;
    let first = &leases["leases"][0];
    assert_eq!(first.get("checkpoints"), None, "{first}");
    let token = first["token"].clone();
    let told = format!("/v1/leases/{id}/events");
    let note =
        async |notes: Value| post(&told, json!({"token": token, "first": 1, "notes": notes})).await;
    let done = |key: &str, value: Value| json!({"checkpoint": {"key": key, "value": value}});
    let large = Value::from("x".repeat(70_000));
    for (notes, status, field) in [
        (json!([done("", json!(1))]), 422, "notes[0].checkpoint.key"),
        (json!([done("a b", json!(1))]), 422, "notes[0].checkpoint.key"),
        (json!([done(&"k".repeat(129), json!(1))]), 422, "notes[0].checkpoint.key"),
        (json!([{"checkpoint": {"key": "k"}}]), 422, "notes[0].checkpoint"),
        (json!([{"checkpoint": {"key": "k", "value": 1}, "status": "x"}]), 422, "notes[0]"),
        (json!([{}]), 422, "notes[0]"),
        (json!([done("k", large)]), 413, "notes"),
    ] {
        let got = note(notes).await;
        assert_eq!((got.status, got.body["field"].as_str()), (status, Some(field)), "{got:?}");
    }
    let plan = json!({"chapters": [1, 2.5, null], "ü": "\n"});
    let notes =
        json!([done("plan", plan.clone()), done("plan", json!(2)), done("none", json!(null))]);
    assert_eq!(note(notes).await.ok().body["generation"], 5);

    let pause = json!({"token": token, "for": "input", "text": "which?"});
    post(&format!("/v1/leases/{id}/pause"), pause).await.ok();
    post(&format!("/v1/tasks/{id}/messages"), json!({"text": "this"})).await.ok();
    let leases = post("/v1/leases", lease).await.ok().body;
    let kept = json!([{"key": "plan", "value": plan}, {"key": "none", "value": null}]);
    assert_eq!(leases["leases"][0]["checkpoints"], kept, "of each key the first");

    let json_type = [("accept", "application/json")];
    let path = format!("/v1/tasks/{id}/events?after=2");
    let events = client.send("GET", &path, &json_type, Body::empty()).await.ok().body;
    let event = &events["events"][0];
    assert_eq!((&event["kind"], &event["checkpoint"]), (&json!("checkpoint"), &json!("plan")));
}
