//! Records that are placed one by one, over HTTP: how a client says where, and what a move tells.
//! Must not know how a region moves a record.

use axum::body::Body;
use serde_json::{Value, json};

use crate::client::Client;

async fn people() -> Client {
    let client = Client::new();
    let spec = json!({
        "type": "document", "residencies": {"eu": "eu", "west": "west", "us": "us"},
        "attribute": "home", "outside": "refuse"
    });
    let shown = client.declare("people", spec.clone()).await;
    assert_eq!(
        (&shown["residencies"], &shown["attribute"]),
        (&spec["residencies"], &json!("home"))
    );
    client
}

#[tokio::test]
async fn a_record_says_where_it_lives_in_the_request_or_in_itself() {
    let client = people().await;
    let put = async |path: &str, body: Value| {
        client.json("PUT", &format!("/v1/data/people/{path}"), body).await
    };
    let ada = put("ada", json!({"name": "Ada", "home": "eu"})).await.ok().body;
    assert_eq!(ada["placement"], "eu");
    let bob = put("bob?residency=west", json!({"name": "Bob"})).await.ok().body;
    assert_eq!(bob["placement"], "west");
    let heads = [("content-type", "application/json"), ("photon-residency", "eu")];
    let eve = client.send("PUT", "/v1/data/people/eve", &heads, Body::from("{}")).await.ok();
    assert_eq!(eve.body["placement"], "eu");
    let batch = json!({"writes": [
        {"key": "f", "put": {"a": 1}, "residency": "west"},
        {"key": "g", "put": {"home": "eu"}},
        {"key": "ada", "patch": {"age": 36}},
    ]});
    client.json("POST", "/v1/data/people", batch).await.ok();
    let listed = client.get("/v1/data/people").await.ok().body;
    assert_eq!(listed["placements"], json!(["eu", "west"]));
    assert_eq!(listed["records"].as_array().unwrap().len(), 5);
    let west = client.get("/v1/data/people?residency=west").await.ok().body;
    assert_eq!(west["records"].as_array().unwrap().len(), 2);

    let unplaced = put("new", json!({})).await.refused(422, "unplaced", "residency");
    let detail = unplaced["detail"].as_str().unwrap();
    assert!(detail.contains("`home`") && detail.contains("eu, us, west"), "{detail}");
    put("new", json!({"home": "mars"})).await.refused(422, "unplaced", "residency");
    put("new", json!({"home": 7})).await.refused(422, "invalid-body", "body.home");
    put("ada", json!({"home": "west"})).await.refused(409, "lives-elsewhere", "residency");
    put("new?residency=", json!({})).await.refused(400, "invalid-parameter", "residency");
    let twice = client.send("PUT", "/v1/data/people/x?residency=eu", &heads, Body::from("{}"));
    twice.await.refused(400, "invalid-parameter", "residency");
    client.declare("notes", json!({"type": "register"})).await;
    let put = client.json("PUT", "/v1/data/notes/a?residency=eu", json!(1)).await;
    put.refused(422, "does-not-fit", "residency");
    // Where the record lives the region cannot see everything, and may not ask.
    client.get("/v1/data/people/nobody").await.refused(421, "outside-placement", "placement");
    client.get("/v1/data/people/nobody?residency=eu").await.refused(
        404,
        "no-such-record",
        Value::Null,
    );
}

#[tokio::test]
async fn a_move_is_answered_with_a_receipt_that_can_be_asked_for_again() {
    let client = people().await;
    client.json("PUT", "/v1/data/people/ada", json!({"home": "eu", "n": 1})).await.ok();
    let moves = "/v1/datasets/people/moves";
    let receipt = client.json("POST", moves, json!({"key": "ada", "to": "west"})).await.ok().body;
    assert_eq!((&receipt["state"], &receipt["key"]), (&json!("done"), &json!("ada")));
    assert_eq!((&receipt["from"], &receipt["to"]), (&json!("eu"), &json!("west")));
    assert_eq!(receipt["copies"][0]["regions"], json!(["eu-west-1"]));
    assert_eq!((&receipt["must_forget"], &receipt["is_purged"]), (&json!([]), &json!(true)));
    assert_eq!(receipt["key_sha256"].as_str().unwrap().len(), 64);
    let read = client.get("/v1/data/people/ada").await.ok().body;
    assert_eq!((&read["placement"], &read["document"]["n"]), (&json!("west"), &json!(1)));
    assert_eq!(read.get("also_in"), None);

    let again = client.json("POST", moves, json!({"key": "ada", "to": "west"})).await.ok().body;
    assert_eq!(again, receipt);
    let id = receipt["id"].as_str().unwrap();
    assert_eq!(client.get(&format!("{moves}/{id}")).await.ok().body, receipt);
    let listed = client.get(moves).await.ok().body;
    assert_eq!(listed, json!({"moves": [receipt]}));
    let none = client.get(&format!("{moves}?before={id}")).await.ok().body;
    assert_eq!(none, json!({"moves": []}));

    let other = format!("{moves}/{}", "0".repeat(32));
    client.get(&other).await.refused(404, "no-such-move", Value::Null);
    client.get(&format!("{moves}/x")).await.refused(400, "invalid-parameter", "move");
    let post = async |body| client.json("POST", moves, body).await;
    post(json!({"key": "ada", "to": "mars"})).await.refused(422, "unplaced", "residency");
    post(json!({"key": "nobody", "to": "eu"})).await.refused(404, "no-such-record", "from");
    post(json!({"key": "ada", "to": ""})).await.refused(422, "invalid-body", "to");
    let compaction = client.send("POST", "/v1/log/compaction", &[], Body::empty()).await;
    assert_eq!(compaction.status, 202);
}

#[tokio::test]
async fn what_is_said_of_a_sensitive_key_does_not_name_it() {
    let client = Client::new();
    let spec = json!({
        "type": "register", "residencies": {"eu": "eu", "west": "west", "us": "us"},
        "sensitive_keys": true
    });
    assert_eq!(client.declare("cases", spec).await["sensitive_keys"], json!(true));
    client.json("PUT", "/v1/data/cases/ada?residency=eu", json!("x")).await.ok();
    client.get("/v1/data/cases/bob").await.refused(422, "unplaced", "residency");
    let post = json!({"key": "ada", "to": "west"});
    let receipt = client.json("POST", "/v1/datasets/cases/moves", post).await.ok().body;
    assert_eq!((receipt.get("key"), receipt.get("content_sha256")), (None, None));
    let text = receipt.to_string();
    assert!(!text.contains("ada"), "{text}");
    let metrics = client.get("/metrics").await.ok().body;
    assert!(!metrics.as_str().unwrap().contains("ada"));
}
