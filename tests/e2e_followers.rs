//! Clients who follow a task by server-sent events while its home is killed: they hear each event
//! once, on the same stream or by `Last-Event-ID` in another region.
//! Must not demand figures of time.

use futures_util::StreamExt;
use photon::sse::{Parser, ServerEvent};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::harness::{Api, Planet, PlanetOptions, SOON, Wan, eventually, eventually_within, text};

/// The home of the task, which is killed.
const HOME: &str = "eu-west-1";
/// Where its worker is attached.
const WORKER: &str = "us-east-1";
/// Where a client follows it from the start.
const WITNESS: &str = "ap-southeast-1";

/// Notes of the worker before the home is lost, and after.
const NOTES: u64 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn followers_are_carried_over_to_the_new_home_without_a_gap_or_a_repeat() {
    let planet = Planet::start(PlanetOptions { wan: Wan::On }).await;
    let worker = planet.api(WORKER);
    worker.register("scribe", "write").await;
    planet.knows_agent("scribe").await;
    let task = json!({"skill": "write", "text": "go on", "ack": "quorum"});
    let task = planet.api(HOME).post("/v1/tasks", &task).await.ok();
    assert_eq!(task["home"], HOME, "{task:#}");
    let id = text(&task["id"]).to_owned();
    let lease = worker.lease("scribe").await;

    let witness = follow(&planet.api(WITNESS), &id, 0);
    let beside = follow(&planet.api(HOME), &id, 0);
    for number in 1..=NOTES {
        note(&worker, &lease, number).await;
    }
    // What only the lost home had would be void.
    eventually("others have heard of the notes", || async {
        let shown = planet.api(WITNESS).get(&format!("/v1/tasks/{id}")).await.ok();
        (shown["generation"] == 2 + NOTES).then_some(())
    })
    .await;
    planet.region("kill", HOME).await;
    let mut carried = beside.await.expect("the stream of a killed region ends");
    assert!(!carried.is_empty(), "it was told how the task began");

    // A client that followed the lost home goes on elsewhere, after the last that it heard.
    let last = carried.last().map_or(0, generation);
    let elsewhere = follow(&planet.api(WORKER), &id, last);
    for number in NOTES + 1..=2 * NOTES {
        note(&worker, &lease, number).await;
    }
    eventually_within(2 * SOON, "the new home takes the end", || async {
        (worker.complete(&lease).await.status < 300).then_some(())
    })
    .await;

    // Submitted, claimed, the notes, and the end.
    let all: Vec<u64> = (1..=3 + 2 * NOTES).collect();
    let witnessed = witness.await.expect("a follower does not panic");
    assert_eq!(witnessed.iter().map(generation).collect::<Vec<_>>(), all);
    carried.extend(elsewhere.await.expect("a follower does not panic"));
    assert_eq!(carried.iter().map(generation).collect::<Vec<_>>(), all);
    let data = |events: &[ServerEvent]| events.iter().map(|it| it.data.clone()).collect::<Vec<_>>();
    assert_eq!(data(&witnessed), data(&carried), "each event reads the same everywhere");
    for region in [WORKER, WITNESS] {
        let shown = planet.api(region).get(&format!("/v1/tasks/{id}")).await.ok();
        assert_ne!(shown["home"], HOME, "{shown:#}");
    }

    // The region that comes back tells the same.
    planet.region("start", HOME).await;
    planet.api(HOME).is_ready().await;
    let told = eventually("it has heard of the end", || async {
        let path = format!("/v1/tasks/{id}/events");
        let request = planet.api(HOME).request(Method::GET, &path);
        let answer = Api::try_send(request.header("accept", "application/json")).await.ok()?;
        let events = answer.body["events"].as_array()?.clone();
        (answer.body["state"] == "completed").then_some(events)
    })
    .await;
    let generations: Vec<u64> = told.iter().filter_map(|it| it["generation"].as_u64()).collect();
    assert_eq!(generations, all);
}

fn generation(event: &ServerEvent) -> u64 {
    event.id.parse().expect("the id of an event is its generation")
}

/// Tells a note of the worker, until a home has taken it.
async fn note(worker: &Api, lease: &Value, number: u64) {
    let path = format!("/v1/leases/{}/events", text(&lease["task"]));
    let notes = json!([{"status": format!("note {number}")}]);
    let body = json!({"token": lease["token"], "first": number, "notes": notes});
    eventually_within(2 * SOON, format!("note {number} is taken"), || async {
        let answer = worker.post(&path, &body).await;
        assert!(answer.status < 300 || answer.status == 503, "{answer:?}");
        (answer.status < 300).then_some(())
    })
    .await;
}

/// Follows a task after a generation, until its stream ends.
fn follow(api: &Api, id: &str, after: u64) -> JoinHandle<Vec<ServerEvent>> {
    let request = api.request(Method::GET, &format!("/v1/tasks/{id}/events"));
    let request = request.header("accept", "text/event-stream");
    let request = request.header("last-event-id", after.to_string());
    tokio::spawn(async move {
        let reply = request.send().await.expect("the region answers");
        assert_eq!(reply.status().as_u16(), 200);
        let (mut stream, mut parser) = (reply.bytes_stream(), Parser::default());
        let mut heard = Vec::new();
        while let Some(Ok(bytes)) = stream.next().await {
            parser.push(&bytes).expect("a stream of events");
            heard.extend(std::iter::from_fn(|| parser.pop()));
        }
        heard
    })
}
