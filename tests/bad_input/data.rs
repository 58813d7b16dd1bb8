//! Requests about datasets and records that are wrong, or that nobody can fulfil.
//! Must not test each field of each route: the edge's own tests do.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Api, Region, RegionOptions, Site, free_ports, problem, text};

const DATASETS: &str = "\
    [datasets.notes]\ntype = \"register\"\n\
    [datasets.hits]\ntype = \"counter\"\n\
    [datasets.quota]\ntype = \"bounded-counter\"\n\
    [datasets.tags]\ntype = \"set\"";

async fn region() -> Region {
    Region::start(&RegionOptions { config: DATASETS.to_owned(), ..RegionOptions::default() }).await
}

async fn send(api: &Api, method: Method, path: &str, body: &Value) -> Answer {
    Api::send(api.request(method, path).json(body)).await
}

/// Panics unless the refusal says `says`, with its field in front if it names one.
fn check(answer: Answer, status: u16, slug: &str, says: &str) {
    let refused = answer.refused(status, slug);
    assert!(problem(&refused).contains(says), "`{says}` is not said in {refused:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_type_and_a_change_of_another_type_are_refused() {
    let region = region().await;
    let api = &region.api;
    let declare = async |body| api.put("/v1/datasets/odd", &body).await;
    check(declare(json!({"type": "list"})).await, 422, "invalid-body", "type: ");
    check(declare(json!({"type": 7})).await, 422, "invalid-body", "type: ");
    check(declare(json!({})).await, 422, "invalid-body", "type");
    api.get("/v1/datasets/odd").await.refused(404, "no-such-dataset");
    let patch = async |path: &str, body| send(api, Method::PATCH, path, &body).await;
    check(patch("/v1/data/hits/a", json!({"add": ["x"]})).await, 422, "invalid-body", "body");
    check(patch("/v1/data/tags/a", json!({"add": 5})).await, 422, "invalid-body", "body.add: ");
    check(patch("/v1/data/notes/a", json!({"add": 5})).await, 422, "invalid-body", "body");
    let put = async |path: &str, body| api.put(path, &body).await;
    check(put("/v1/data/hits/a", json!(5)).await, 422, "invalid-body", "PATCH");
    check(put("/v1/data/tags/a", json!({"a": 1})).await, 422, "invalid-body", "body");
    let writes = json!({"writes": [{"key": "a", "add": 1}, {"key": "b", "put": 1}]});
    check(api.post("/v1/data/hits", &writes).await, 422, "invalid-body", "writes[1].put: ");
    api.get("/v1/data/hits/a").await.refused(404, "no-such-record");
    region.api.lives_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counter_beyond_its_bounds_is_refused_and_keeps_its_value() {
    let region = region().await;
    let api = &region.api;
    let add = async |dataset: &str, by: Value| {
        send(api, Method::PATCH, &format!("/v1/data/{dataset}/a"), &json!({"add": by})).await
    };
    add("quota", json!(5)).await.ok();
    let refused = add("quota", json!(-6)).await.refused(409, "overdrawn");
    assert_eq!(refused["max"], 5, "{refused:#}");
    for beyond in ["9223372036854775808", "-9223372036854775809", "1e30", "0.5"] {
        let by: Value = serde_json::from_str(beyond).expect("a number");
        for dataset in ["quota", "hits"] {
            check(add(dataset, by.clone()).await, 422, "invalid-body", "body");
        }
    }
    assert_eq!(api.get("/v1/data/quota/a").await.ok()["value"], 5);
    api.get("/v1/data/hits/a").await.refused(404, "no-such-record");
    // As far as one change goes, but no farther than that in all.
    for _ in 0..3 {
        add("hits", json!(i64::MAX)).await.ok();
        add("quota", json!(i64::MAX)).await.ok();
    }
    let sum = Api::send(api.request(Method::GET, "/v1/data/hits/a")).await;
    let expected = 3.0 * i64::MAX as f64;
    assert_eq!(sum.ok()["value"].as_f64(), Some(expected));
    check(add("quota", json!(i64::MIN)).await, 422, "does-not-fit", "add: ");
    region.api.lives_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_ten_megabytes_is_refused_and_nothing_is_kept() {
    let region = region().await;
    let api = &region.api;
    let large = "x".repeat(10 << 20);
    let refused = api.put("/v1/data/notes/a", &json!(large)).await.refused(413, "too-large");
    assert_eq!(refused["max"], 2 << 20, "{refused:#}");
    let bytes = api.request(Method::PUT, "/v1/data/notes/a").body(large);
    let bytes = Api::send(bytes.header("content-type", "application/octet-stream")).await;
    bytes.refused(413, "too-large");
    let larger = "x".repeat((1 << 20) + 1);
    let refused = api.put("/v1/data/notes/a", &json!(larger)).await.refused(413, "too-large");
    assert_eq!(refused["max"], 1 << 20, "{refused:#}");
    api.get("/v1/data/notes/a").await.refused(404, "no-such-record");
    region.api.lives_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_another_planet_is_refused() {
    let region = region().await;
    let config = DATASETS.to_owned();
    let other = Site::new(&RegionOptions { config, ..RegionOptions::default() });
    other.edit(|text| text.replace("planet = \"test\"", "planet = \"mars\""));
    let other = other.start().await;
    let path = "/v1/data/notes/a";
    let written = other.api.put(path, &json!(1)).await.ok();
    let session = text(&written["session"]).to_owned();
    let api = &region.api;
    let with = |method: Method, session: &str| {
        api.request(method, path).header("photon-session", session).json(&json!(2))
    };
    for method in [Method::GET, Method::PUT] {
        let refused = Api::send(with(method, &session)).await;
        check(refused, 400, "invalid-parameter", "it is of another planet");
    }
    for damaged in ["AQ", "no session", &session[1..], &"A".repeat(10_000)] {
        let refused = Api::send(with(Method::GET, damaged)).await;
        check(refused, 400, "invalid-parameter", "Photon-Session: ");
    }
    let watch = api.request(Method::GET, "/v1/data/notes");
    let watch = watch.query(&[("watch", "true"), ("position", &session)]);
    check(Api::send(watch).await, 400, "invalid-parameter", "it is of another planet");
    api.get(path).await.refused(404, "no-such-record");
    other.api.get(path).await.ok();
    region.api.lives_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_that_no_placement_can_reach_is_said_and_the_write_stays() {
    // The other regions of the planet are never started.
    let (port, mut config) = (free_ports(4), DATASETS.to_owned());
    for (at, name) in [(0, "us-east-1"), (2, "us-west-1")] {
        let (api, link) = (port + at, port + at + 1);
        let addresses = format!("api = \"127.0.0.1:{api}\"\nlink = \"127.0.0.1:{link}\"");
        config += &format!("\n[regions.{name}]\n{addresses}");
    }
    let region = Region::start(&RegionOptions { config, ..RegionOptions::default() }).await;
    let api = &region.api;
    for level in ["quorum", "strong"] {
        let path = format!("/v1/data/notes/{level}?consistency={level}&wait_ms=100");
        let refused = api.put(&path, &json!(1)).await.refused(503, "level-not-reached");
        assert_eq!((&refused["durable_in"], &refused["of"]), (&json!(1), &json!(3)), "{refused:#}");
        let path = format!("/v1/data/notes/{level}");
        assert_eq!(api.get(&path).await.ok()["value"], 1, "the write stays");
    }
    let read = api.get("/v1/data/notes/quorum?consistency=quorum&wait_ms=100").await;
    read.refused(503, "read-not-reached");
    let mut decided = 0;
    for key in 0..20 {
        // Some keys have their home here, where the log is new; the others where nobody is.
        let path = format!("/v1/data/notes/k{key}?consistency=linearizable&wait_ms=100");
        let read = api.get(&path).await;
        let is_home = read.body["type"] == "/problems/catching-up";
        decided += u32::from(is_home);
        read.refused(503, if is_home { "catching-up" } else { "decider-unreachable" });
    }
    assert!(0 < decided && decided < 20, "{decided} of 20 are decided here");
    let put = async |level: &str| {
        api.put(&format!("/v1/data/notes/a?consistency={level}"), &json!(1)).await
    };
    check(put("linearizable").await, 400, "invalid-parameter", "consistency: ");
    check(put("all").await, 400, "invalid-parameter", "consistency: ");
    let scan = api.get("/v1/data/notes?consistency=quorum").await;
    check(scan, 422, "does-not-fit", "consistency: ");
    api.get("/v1/data/notes/a").await.refused(404, "no-such-record");
    // Alone among three it decides about no task.
    assert_eq!(region.api.get("/v1/agents").await.ok()["agents"], json!([]));
}
