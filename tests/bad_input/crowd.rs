//! Ten thousand clients that follow one task, and one more.
//! Must not be gentle with the machine: it raises its limit of open files as far as it may.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::task::JoinSet;

use super::raw::Raw;
use crate::harness::{Region, RegionOptions, falls_short, say, text};

/// As many as a region serves unless it is told otherwise.
const FOLLOWERS: usize = 10_000;

/// Open files that are not followers.
const OTHER_FILES: usize = 400;

/// Connections that are made at the same time: fewer than the system queues for a listener.
const AT_ONCE: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_follow_a_task_and_all_hear_its_end() {
    let followers = followers_possible();
    let config = format!("[limits]\nfollowers_max = {followers}");
    let region = Region::start(&RegionOptions { config, ..RegionOptions::default() }).await;
    let api = &region.api;
    api.register("shout", "text.upper").await;
    let task = json!({"agent": "shout", "text": "hello"});
    let id = text(&api.post("/v1/tasks", &task).await.ok()["id"]).to_owned();
    let lease = api.lease("shout").await;

    let mut crowd = Vec::with_capacity(followers);
    while crowd.len() < followers {
        let count = AT_ONCE.min(followers - crowd.len());
        let begin = (0..count).map(|_| follow(region.address().to_owned(), id.clone()));
        crowd.extend(begin.collect::<JoinSet<_>>().join_all().await);
    }
    let path = format!("/v1/tasks/{id}/events");
    let refused = api.get(&path).await.refused(503, "too-many-followers");
    assert_eq!(refused["max"], followers);
    api.lives_on().await;

    api.complete(&lease).await.ok();
    let hear = |mut it: Raw| async move { it.hears("event: ended").await };
    crowd.into_iter().map(hear).collect::<JoinSet<_>>().join_all().await;
    say(&format!("{followers} clients followed a task to its end"));
    api.lives_on().await;
    api.get(&path).await.ok();
}

async fn follow(address: String, id: String) -> Raw {
    let mut raw = Raw::connect(&address).await;
    let request = format!(
        "GET /v1/tasks/{id}/events HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n"
    );
    assert!(raw.say(request.as_bytes()).await, "the region listens");
    raw.hears("event: claimed").await;
    raw
}

/// Raises the limit of open files, here and in what is started; returns how many may follow.
fn followers_possible() -> usize {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit { current: maximum, maximum };
    setrlimit(Resource::Nofile, raised).expect("a soft limit may be as high as the hard one");
    let files = maximum.map_or(usize::MAX, |it| usize::try_from(it).unwrap_or(usize::MAX));
    let possible = FOLLOWERS.min(files.saturating_sub(OTHER_FILES));
    if possible < FOLLOWERS {
        falls_short(&format!("only {possible} of {FOLLOWERS} can follow: `ulimit -Hn` is {files}"));
    }
    possible
}
