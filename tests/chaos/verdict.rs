//! What must be true when the killing is over.
//! Must not trust one region: each is asked about each task.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use reqwest::Method;
use serde_json::Value;

use super::clients::{Acknowledged, Tasks};
use super::expected;
use crate::harness::{Api, Planet, REGIONS, eventually_within, say, text};

/// How long the last task may take. A worker that was killed holds its leases for their whole time.
const PATIENCE: Duration = Duration::from_secs(90);

/// Tasks that are asked about at the same time.
const AT_ONCE: usize = 32;

/// Waits until no region knows of a task that goes on, and each has seen all that have ended.
pub(crate) async fn all_have_ended(planet: &Planet, tasks: &Tasks) {
    for region in REGIONS {
        let api = planet.api(region);
        let counts = Mutex::new(Value::Null);
        let what = ("all have ended in", region, tasks.len(), &counts);
        eventually_within(PATIENCE, what, || async {
            let seen = api.get(&format!("/v1/regions/{region}")).await.ok()["counts"].take();
            let count = |state: &str| seen["tasks"][state].as_u64().unwrap_or(0);
            let goes_on = count("submitted") + count("working");
            let ended = count("completed") + count("failed") + count("canceled");
            *counts.lock().expect("nobody else holds it") = seen;
            (goes_on == 0 && tasks.len() as u64 <= ended).then_some(())
        })
        .await;
    }
}

/// Panics unless every region tells the same of every task, and that it ended once, well, last.
pub(crate) async fn each_ended_exactly_once(planet: &Planet, tasks: &Tasks) {
    let apis = REGIONS.map(|it| planet.api(it));
    for api in &apis {
        let known = all_tasks(api).await;
        let lost: Vec<_> = tasks.iter().filter(|(id, _)| !known.contains(*id)).collect();
        let unasked: Vec<_> = known.iter().filter(|id| !tasks.contains_key(*id)).collect();
        assert!(lost.is_empty(), "{} has lost {lost:?}", api.base());
        assert!(unasked.is_empty(), "{} has tasks that nobody knows: {unasked:?}", api.base());
    }
    let apis = &apis;
    let attempts = stream::iter(tasks)
        .map(|(id, task)| async move { ended_exactly_once(apis, id, task).await })
        .buffer_unordered(AT_ONCE);
    let attempts: Vec<u64> = attempts.collect().await;
    let again = attempts.iter().filter(|it| 1 < **it).count();
    let most = attempts.iter().max().copied().unwrap_or(0);
    say(&format!("{again} tasks took more than one attempt, and none more than {most}"));
    assert!(0 < again, "a run in which no task was hit proves nothing");
}

/// Returns the names of all tasks that a region knows.
async fn all_tasks(api: &Api) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let page = api.get(&format!("/v1/tasks?limit=1000{cursor}")).await.ok();
        let tasks = page["tasks"].as_array().expect("a list");
        let owned = |it: &Value| text(it).to_owned();
        known.extend(tasks.iter().map(|it| owned(&it["id"])));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return known,
        }
    }
}

/// Returns how many attempts the task took.
async fn ended_exactly_once(apis: &[Api], id: &str, task: &Acknowledged) -> u64 {
    let mut seen = Vec::new();
    for api in apis {
        seen.push(events(api, id).await);
    }
    let events = &seen[0];
    assert!(seen.iter().all(|it| it == events), "regions disagree about {task:?}: {seen:#?}");
    let generations = events.iter().map(|it| it["generation"].as_u64());
    let is_gapless = generations.eq((1..=events.len() as u64).map(Some));
    assert!(is_gapless, "{task:?}: {events:#?}");
    let is_end = |it: &&Value| it["kind"] == "ended";
    assert_eq!(events.iter().filter(is_end).count(), 1, "{task:?}: {events:#?}");
    let last = events.last().expect("it has an end");
    assert!(last["kind"] == "ended" && last["state"] == "completed", "{task:?}: {events:#?}");
    let is_result = |it: &&Value| it["kind"] == "artifact" && it["attempt"] == last["attempt"];
    let pieces = events.iter().filter(is_result);
    let result: String =
        pieces.filter_map(|it| it["artifact"]["parts"][0]["text"].as_str()).collect();
    assert_eq!(result, expected(task.skill, &task.asked), "{task:?}: {events:#?}");
    last["attempt"].as_u64().expect("a worker has ended it")
}

async fn events(api: &Api, id: &str) -> Vec<Value> {
    let path = format!("/v1/tasks/{id}/events");
    let request = api.request(Method::GET, &path).header("accept", "application/json");
    let mut answer = Api::send(request).await.ok();
    let events = answer["events"].as_array_mut().expect("a list");
    std::mem::take(events)
}
