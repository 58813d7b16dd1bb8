//! Datasets and records over HTTP, against a real region on imagined time: what clients send, and
//! what they hear. Must not know how a region keeps a record.

use axum::body::Body;
use serde_json::{Value, json};

use crate::client::Client;

#[tokio::test]
async fn a_dataset_is_declared_shown_changed_and_forgotten() {
    let client = Client::new();
    let all = json!({
        "type": "set", "placement": "global", "outside": "refuse", "mode": "single-master",
        "master": "eu-west-1", "elsewhere": "refuse", "conflicts": "prefer",
        "prefer": "us-east-1", "write_consistency": "quorum", "read_consistency": "causal",
        "ttl_ms": 60_000
    });
    let shown = client.declare("full", all.clone()).await;
    let mut expected = all.clone();
    expected["name"] = json!("full");
    assert_eq!(shown, expected);
    assert_eq!(client.get("/v1/datasets/full").await.ok().body, expected);
    assert_eq!(client.declare("full", expected).await, shown, "what is shown can be sent back");
    let least = client.declare("least", json!({"type": "counter"})).await;
    assert_eq!((&least["placement"], &least["mode"]), (&json!("global"), &json!("multi-master")));
    assert_eq!(
        (&least["outside"], &least["conflicts"]),
        (&json!("forward"), &json!("last-writer"))
    );
    assert_eq!(least["write_consistency"], "eventual");
    assert_eq!(least["read_consistency"], "session");
    let tenants = json!({"type": "map", "tenants": {"acme": "us"}, "others": "global"});
    client.declare("tenants", tenants).await;
    let listed = client.get("/v1/datasets").await.ok().body;
    let names = listed["datasets"].as_array().unwrap().iter().map(|it| it["name"].clone());
    assert_eq!(names.collect::<Vec<_>>(), ["full", "least", "tenants"]);

    let other = |key: &str, value: Value| {
        let mut other = all.clone();
        other[key] = value;
        other
    };
    let put = async |spec| client.json("PUT", "/v1/datasets/full", spec).await;
    put(other("read_consistency", json!("session"))).await.ok();
    put(other("type", json!("map"))).await.refused(409, "declared-otherwise", json!("type"));
    let kind = "invalid-body";
    put(other("type", json!("list"))).await.refused(422, kind, json!("type"));
    put(other("type", json!(7))).await.refused(422, kind, json!("type"));
    put(other("name", json!("x"))).await.refused(422, kind, json!("name"));
    put(other("tenants", json!({"a": "us"}))).await.refused(422, kind, json!("placement"));
    put(other("plcement", json!("us"))).await.refused(422, kind, json!("plcement"));
    let bad = json!({"type": "map", "placement": "mars"});
    let answer = client.json("PUT", "/v1/datasets/bad", bad).await;
    answer.refused(422, "no-such-placement", json!("placement"));
    let answer = client.json("PUT", "/v1/datasets/Bad", json!({"type": "map"})).await;
    answer.refused(400, "invalid-parameter", json!("dataset"));

    assert_eq!(client.delete("/v1/datasets/least").await.status, 204);
    let gone = client.get("/v1/datasets/least").await;
    gone.refused(404, "no-such-dataset", Value::Null);
    client.get("/v1/data/least/a").await.refused(404, "no-such-dataset", Value::Null);
    let conflicts = client.get("/v1/datasets/full/conflicts").await.ok().body;
    assert_eq!(conflicts, json!({"count": 0, "last": []}));
}

#[tokio::test]
async fn a_register_holds_any_json_or_bytes() {
    let client = Client::new();
    client.declare("notes", json!({"type": "register"})).await;
    for value in [json!({"a": [1, " b "]}), Value::Null, json!(1.5), json!("text")] {
        let read = client.change("PUT", "/v1/data/notes/users/7", value.clone()).await;
        assert_eq!((&read["value"], &read["key"]), (&value, &json!("users/7")));
        assert_eq!((&read["type"], &read["region"]), (&json!("register"), &json!("eu-west-1")));
    }
    let raw = Body::from(" {\"b\" : 1e400, \"a\": 1} ");
    let heads = [("content-type", "application/json; charset=utf-8")];
    client.send("PUT", "/v1/data/notes/raw", &heads, raw).await.ok();
    let shown = client.send("GET", "/v1/data/notes/raw", &[], Body::empty()).await.ok();
    let expected = "{\"b\":1e400,\"a\":1}";
    assert!(shown.body.as_str().is_some_and(|it| it.contains(expected)), "{shown:#?}");

    let heads = [("content-type", "image/png")];
    let put = client.send("PUT", "/v1/data/notes/img", &heads, Body::from("\u{1}PNG")).await.ok();
    assert_eq!(
        (&put.body["value_base64"], &put.body["media_type"]),
        (&json!("AVBORw=="), &json!("image/png"))
    );
    for accept in ["*/*", "image/png", "text/html, application/json, */*;q=0.8"] {
        let heads = [("accept", accept)];
        let got = client.send("GET", "/v1/data/notes/img", &heads, Body::empty()).await.ok();
        assert_eq!((got.header("content-type"), &got.body), ("image/png", &json!("\u{1}PNG")));
        assert_eq!(got.header("etag"), put.header("etag"));
        assert_eq!(got.header("content-security-policy"), "sandbox");
    }
    let heads = [("accept", "application/json")];
    let got = client.send("GET", "/v1/data/notes/img", &heads, Body::empty()).await.ok();
    assert_eq!(got.body["value_base64"], "AVBORw==");

    let removed = client.delete("/v1/data/notes/img").await.ok().body;
    assert_eq!((&removed["durable_in"], &removed["of"]), (&json!(1), &json!(3)));
    let absent = client.get("/v1/data/notes/img").await;
    assert!(!absent.header("photon-session").is_empty(), "{absent:#?}");
    absent.refused(404, "no-such-record", Value::Null);
    client.delete("/v1/data/notes/img").await.ok();
    let none = client.send("PUT", "/v1/data/notes/a", &[], Body::from("x")).await;
    none.refused(415, "unsupported-media-type", Value::Null);
    let broken = client.send("PUT", "/v1/data/notes/a", &heads_json(), Body::from("{")).await;
    broken.refused(400, "malformed-json", Value::Null);
}

fn heads_json() -> [(&'static str, &'static str); 1] {
    [("content-type", "application/json")]
}

#[tokio::test]
async fn every_type_is_changed_in_its_own_way() {
    let client = Client::new();
    for kind in ["counter", "bounded-counter", "set", "map", "document"] {
        client.declare(kind, json!({"type": kind})).await;
    }
    let read = client.change("PATCH", "/v1/data/counter/a", json!({"add": 5})).await;
    assert_eq!(read["value"], 5);
    let read = client.change("PATCH", "/v1/data/counter/a", json!({"add": -7})).await;
    assert_eq!(read["value"], -2);
    let read = client.change("PATCH", "/v1/data/bounded-counter/a", json!({"add": 5})).await;
    assert_eq!((&read["value"], &read["rights_here"]), (&json!(5), &json!(5)));
    let over = client.json("PATCH", "/v1/data/bounded-counter/a", json!({"add": -6})).await;
    assert_eq!(over.refused(409, "overdrawn", Value::Null)["max"], 5);

    let read = client.change("PUT", "/v1/data/set/a", json!([1, "x", {"b": 1, "a": 2}, 1])).await;
    assert_eq!(read["elements"], json!(["x", 1, {"a": 2, "b": 1}]));
    let patch = json!({"add": [2], "remove": [{"a": 2, "b": 1}, "never"]});
    let read = client.change("PATCH", "/v1/data/set/a", patch).await;
    assert_eq!(read["elements"], json!(["x", 1, 2]));

    let read = client.change("PUT", "/v1/data/map/a", json!({"a": 1, "b": {"c": null}})).await;
    assert_eq!(read["fields"], json!({"a": 1, "b": {"c": null}}));
    let read = client.change("PATCH", "/v1/data/map/a", json!({"a": null, "d": [1]})).await;
    assert_eq!(read["fields"], json!({"b": {"c": null}, "d": [1]}));

    let document = json!({"name": {"first": "Ada", "last": "L"}, "tags": ["x"], "none": {}});
    let read = client.change("PUT", "/v1/data/document/a", document.clone()).await;
    assert_eq!(read["document"], document);
    let patch = json!({"name": {"last": null, "born": {"year": 1815}}, "tags": null, "a/b~": 1});
    let heads = [("content-type", "application/merge-patch+json")];
    client.send("PATCH", "/v1/data/document/a", &heads, patch.to_string().into()).await.ok();
    let read = client.get("/v1/data/document/a").await.ok().body;
    let name = json!({"first": "Ada", "born": {"year": 1815}});
    assert_eq!(read["document"], json!({"name": name, "none": {}, "a/b~": 1}));
    let read = client.change("PUT", "/v1/data/document/a", json!({})).await;
    assert_eq!(read["document"], json!({}));
}

#[tokio::test]
async fn a_change_that_does_not_fit_the_type_is_refused() {
    let client = Client::new();
    for kind in ["register", "counter", "set", "map", "document"] {
        client.declare(kind, json!({"type": kind})).await;
    }
    let odd = async |method: &str, path: &str, body: Value, field: &str| {
        let answer = client.json(method, &format!("/v1/data/{path}"), body).await;
        answer.refused(422, "invalid-body", json!(field));
    };
    odd("PATCH", "register/a", json!({}), "body").await;
    odd("PUT", "counter/a", json!(1), "body").await;
    odd("PATCH", "counter/a", json!({"add": "1"}), "body").await;
    odd("PATCH", "counter/a", json!({"ad": 1}), "body").await;
    let least = client.json("PATCH", "/v1/data/counter/a", json!({"add": i64::MIN})).await;
    least.refused(422, "does-not-fit", json!("add"));
    odd("PUT", "set/a", json!({}), "body").await;
    odd("PATCH", "set/a", json!({"add": 1}), "body.add").await;
    odd("PUT", "map/a", json!([]), "body").await;
    odd("PUT", "document/a", json!(1), "body").await;
    odd("PATCH", "document/a", json!([]), "body").await;
    odd("POST", "map", json!({"writes": [{"key": "a", "add": 1}]}), "writes[0].add").await;
    odd("POST", "set", json!({"writes": [{"key": "a", "put": 1}]}), "writes[0].put").await;
    odd("POST", "set", json!({"writes": [{"key": "a"}]}), "writes[0]").await;
    odd("POST", "set", json!({"writes": []}), "writes").await;
    odd("POST", "set", json!({"writes": [{"key": "a", "pt": 1}]}), "writes[0].pt").await;
    odd("POST", "set", json!({"writes": [["a"]]}), "writes[0]").await;
    let answer = client.delete("/v1/data/counter/a").await;
    answer.refused(422, "wrong-type", Value::Null);
    let heads = [("content-type", "text/plain")];
    let answer = client.send("PUT", "/v1/data/map/a", &heads, Body::from("x")).await;
    answer.refused(415, "unsupported-media-type", Value::Null);
    let answer = client.json("PUT", "/v1/data/nowhere/a", json!(1)).await;
    answer.refused(404, "no-such-dataset", Value::Null);
    let long = "k".repeat(449);
    let answer = client.json("PUT", &format!("/v1/data/register/{long}"), json!(1)).await;
    answer.refused(413, "too-large", json!("key"));
    let large = "x".repeat(10 << 20);
    let answer = client.json("PUT", "/v1/data/register/a", json!(large)).await;
    answer.refused(413, "too-large", Value::Null);
    let large = "x".repeat((1 << 20) + 1);
    let answer = client.json("PUT", "/v1/data/register/a", json!(large)).await;
    answer.refused(413, "too-large", json!("value"));
}

#[tokio::test]
async fn a_write_may_expect_what_the_record_is() {
    let client = Client::new();
    client
        .declare(
            "notes",
            json!({"type": "register", "mode": "single-master", "master": "eu-west-1"}),
        )
        .await;
    let path = "/v1/data/notes/a";
    let put = async |name: &str, tag: &str, body: &'static str| {
        let heads = [("content-type", "application/json"), (name, tag)];
        client.send("PUT", path, &heads, Body::from(body)).await
    };
    let refused = put("if-match", "*", "0").await;
    assert!(refused.refused(412, "unexpected", Value::Null)["etag"].is_null());
    let first = put("if-none-match", "*", "1").await.ok();
    let tag = first.header("etag").to_owned();
    let again = put("if-none-match", "*", "2").await;
    assert_eq!(again.header("etag"), tag);
    assert_eq!(again.refused(412, "unexpected", Value::Null)["etag"], first.body["etag"]);
    let second = put("if-match", &tag, "2").await.ok();
    put("if-match", &tag, "3").await.refused(412, "unexpected", Value::Null);
    put("if-match", "2", "3").await.refused(400, "invalid-parameter", json!("If-Match"));

    let read =
        async |tag: &str| client.send("GET", path, &[("if-none-match", tag)], Body::empty()).await;
    let known = read(second.header("etag")).await;
    assert_eq!((known.status, &known.body), (304, &Value::Null));
    assert_eq!(known.header("etag"), second.header("etag"));
    assert_eq!(read(&tag).await.ok().body["value"], 2);
    let heads = [("if-match", tag.as_str())];
    let answer = client.send("DELETE", path, &heads, Body::empty()).await;
    answer.refused(412, "unexpected", Value::Null);
    let heads = [("content-type", "application/json"), ("prefer", "return=minimal")];
    let answer = client.send("PUT", path, &heads, Body::from("4")).await.ok();
    assert_eq!((answer.status, &answer.body), (204, &Value::Null));
    assert_eq!(answer.header("preference-applied"), "return=minimal");
    assert_eq!(answer.header("etag"), client.get(path).await.header("etag"));
}

#[tokio::test]
async fn many_records_are_written_at_once_and_listed_page_by_page() {
    let client = Client::new();
    client.declare("notes", json!({"type": "register"})).await;
    let writes: Vec<_> =
        (0..25).map(|at| json!({"key": format!("n/{at:02}"), "put": at})).collect();
    let written = client.json("POST", "/v1/data/notes", json!({"writes": writes})).await.ok();
    let records = written.body["records"].as_array().unwrap();
    assert_eq!((records.len(), records[3]["key"].as_str()), (25, Some("n/03")));
    assert_eq!((&written.body["durable_in"], &written.body["of"]), (&json!(1), &json!(3)));
    let read = client.get("/v1/data/notes/n/03").await.ok().body;
    assert_eq!((&read["value"], &read["etag"]), (&json!(3), &records[3]["etag"]));

    let tag = records[0]["etag"].as_str().unwrap();
    let writes = json!({"writes": [
        {"key": "n/01", "delete": true}, {"key": "n/02", "put": null, "ttl_ms": 60_000},
        {"key": "new", "put": "x", "if_none_match": "*"},
    ]});
    let whole = client.json("POST", "/v1/data/notes?return=representation", writes).await.ok();
    assert_eq!(whole.body["records"][1]["value"], Value::Null);
    assert_eq!(whole.body["records"][2]["value"], "x");
    let bad = json!({"writes": [{"key": "a", "put": 1}, {"key": "a", "put": 2}]});
    let twice = client.json("POST", "/v1/data/notes", bad).await;
    twice.refused(422, "does-not-fit", json!("key"));
    let bad = json!({"writes": [{"key": "a", "put": 1, "if_match": format!("\"{tag}\"")}]});
    let quoted = client.json("POST", "/v1/data/notes", bad).await;
    quoted.refused(422, "invalid-body", json!("writes[0].if_match"));

    let (mut keys, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/data/notes?prefix=n%2F&limit=10{after}");
        let page = client.get(&path).await.ok().body;
        let records = page["records"].as_array().unwrap().iter();
        keys.extend(records.map(|it| it["key"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_after"].as_str() else { break };
        after = format!("&after={next}");
    }
    let expected = (0..25).filter(|it| *it != 1).map(|it| format!("n/{it:02}"));
    assert_eq!(keys, expected.collect::<Vec<_>>());
    let all = client.get("/v1/data/notes?limit=1000").await.ok().body;
    assert_eq!(all["records"].as_array().unwrap().len(), 25);
    let odd = client.get("/v1/data/notes?consistency=quorum").await;
    odd.refused(422, "does-not-fit", json!("consistency"));
}

#[tokio::test]
async fn a_session_goes_from_reply_to_request() {
    let client = Client::new();
    client.declare("notes", json!({"type": "register"})).await;
    let path = "/v1/data/notes/a";
    let put = client.json("PUT", path, json!(1)).await.ok();
    let session = put.header("photon-session").to_owned();
    let get = async |session: &str, query: &str| {
        let heads = [("photon-session", session)];
        client.send("GET", &format!("{path}{query}"), &heads, Body::empty()).await
    };
    for level in ["eventual", "session", "causal"] {
        get(&session, &format!("?consistency={level}")).await.ok();
    }
    let heads = [("photon-consistency", "eventual")];
    client.send("GET", path, &heads, Body::empty()).await.ok();
    let twice = format!("{path}?consistency=session");
    let both = client.send("GET", &twice, &heads, Body::empty()).await;
    both.refused(400, "invalid-parameter", json!("consistency"));
    let odd = get(&session, "?consistency=strong").await;
    odd.refused(400, "invalid-parameter", json!("consistency"));
    let flipped: String = session.chars().rev().collect();
    for bad in ["", "AQ", "x y", &session[1..], &flipped] {
        get(bad, "").await.refused(400, "invalid-parameter", json!("Photon-Session"));
    }
    for (query, field) in
        [("wait_ms=60001", "wait_ms"), ("max_staleness_ms=-1", "max_staleness_ms")]
    {
        get(&session, &format!("?{query}")).await.refused(400, "invalid-parameter", json!(field));
    }
}

#[tokio::test]
async fn a_level_that_is_not_reached_says_how_far_it_came() {
    let client = Client::new();
    client.declare("notes", json!({"type": "register"})).await;
    let path = "/v1/data/notes/a?consistency=quorum&wait_ms=50";
    let problem = client.json("PUT", path, json!(1)).await;
    assert_eq!(problem.header("retry-after"), "1");
    let problem = problem.refused(503, "level-not-reached", Value::Null);
    assert_eq!((&problem["durable_in"], &problem["of"]), (&json!(1), &json!(3)));
    assert_eq!(client.get("/v1/data/notes/a").await.ok().body["value"], 1, "the write stays");
    let heads = [
        ("content-type", "application/json"),
        ("prefer", "wait=1"),
        ("photon-consistency", "strong"),
    ];
    let problem = client.send("PUT", "/v1/data/notes/a", &heads, Body::from("2")).await;
    problem.refused(503, "level-not-reached", Value::Null);
    let stale = client.get("/v1/data/notes/a?max_staleness_ms=10&wait_ms=50").await;
    stale.refused(503, "read-not-reached", Value::Null);
    let quorum = client.get("/v1/data/notes/a?consistency=quorum&wait_ms=50").await;
    quorum.refused(503, "read-not-reached", Value::Null);
}

#[tokio::test]
async fn a_region_outside_a_placement_says_who_could_answer() {
    let client = Client::new();
    client.declare("far", json!({"type": "register", "placement": "us"})).await;
    let away = client.json("PUT", "/v1/data/far/a?wait_ms=50", json!(1)).await;
    assert_eq!(away.refused(503, "decider-unreachable", Value::Null)["region"], "us-east-1");
    let here = json!({"type": "register", "placement": "us", "outside": "refuse"});
    client.declare("near", here).await;
    let refused = client.get("/v1/data/near/a").await;
    let problem = refused.refused(421, "outside-placement", json!("placement"));
    assert_eq!(problem["members"], json!(["us-east-1"]));
    client.declare("by-tenant", json!({"type": "map", "tenants": {"acme": "global"}})).await;
    client.json("PUT", "/v1/data/by-tenant/acme/1", json!({"a": 1})).await.ok();
    let refused = client.json("PUT", "/v1/data/by-tenant/evil/1", json!({"a": 1})).await;
    refused.refused(422, "no-such-tenant", json!("key"));
}

#[tokio::test]
async fn metrics_tell_of_data() {
    let metrics = Client::new().get("/metrics").await.ok();
    let text = metrics.body.as_str().unwrap().to_owned();
    let names =
        ["photon_datasets", "photon_data_bytes", "photon_data_writes_total"].into_iter().chain([
            "photon_data_forwarded_total",
            "photon_data_mismatched_total",
            "photon_data_conflicts_total",
        ]);
    for name in names {
        assert!(text.contains(&format!("# HELP {name} ")), "{name} is missing");
    }
}
