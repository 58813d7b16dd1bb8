//! Ten thousand clients that follow one task, or watch one dataset, and one more.
//! Must not be gentle with the machine: it raises its limit of open files as far as it may.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::task::JoinSet;

use super::raw::Raw;
use crate::harness::{
    Api, Region, RegionOptions, eventually, falls_short, peak_memory_bytes, say, text,
};

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
        api.heartbeat(&lease).await.ok(); // However long all of them take.
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

/// What a region may grow by for each watcher, and for what it does meanwhile.
const WATCHER_BYTES_MAX: u64 = 64 << 10;
const GROWTH_BYTES_MAX: u64 = 64 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_watch_a_dataset_and_all_hear_of_a_write() {
    let watchers = followers_possible();
    let config =
        format!("[limits]\nfollowers_max = {watchers}\n[datasets.notes]\ntype = \"register\"");
    let region = Region::start(&RegionOptions { config, ..RegionOptions::default() }).await;
    let (api, pid) = (&region.api, region.process.pid());
    api.lives_on().await;
    let before = peak_memory_bytes(pid);

    let mut crowd = Vec::with_capacity(watchers);
    while crowd.len() < watchers {
        let count = AT_ONCE.min(watchers - crowd.len());
        let begin = (0..count).map(|_| watch(region.address().to_owned()));
        crowd.extend(begin.collect::<JoinSet<_>>().join_all().await);
    }
    let request = || api.request(reqwest::Method::GET, "/v1/data/notes");
    let one_more = Api::send(request().header("accept", "text/event-stream")).await;
    let refused = one_more.refused(503, "too-many-followers");
    assert_eq!(refused["max"], watchers);
    api.lives_on().await;
    let watching = peak_memory_bytes(pid) - before;

    let began = std::time::Instant::now();
    api.put("/v1/data/notes/a", &json!("the first")).await.ok();
    let hears = |word: &'static str| {
        move |(mut it, before): (Raw, String)| async move {
            let heard = it.hears(word).await;
            (it, before + &heard)
        }
    };
    let crowd = crowd.into_iter().map(|it| (it, String::new())).map(hears("the first"));
    // Others are answered while the crowd is told.
    let telling = tokio::spawn(crowd.collect::<JoinSet<_>>().join_all());
    api.lives_on().await;
    let crowd = telling.await.expect("all have heard of it");
    say(&format!("{watchers} watchers heard of a write within {:?}", began.elapsed()));
    api.put("/v1/data/notes/a", &json!("the second")).await.ok();
    let crowd = crowd.into_iter().map(hears("the second")).collect::<JoinSet<_>>().join_all().await;
    let twice = crowd.iter().filter(|(_, heard)| heard.matches("the first").count() != 1).count();
    assert_eq!(twice, 0, "watchers heard of a write more than once");

    let growth = peak_memory_bytes(pid) - before;
    say(&format!("they took {watching} bytes of memory, and {growth} in the end"));
    let most = GROWTH_BYTES_MAX + watchers as u64 * WATCHER_BYTES_MAX;
    assert!(growth < most, "memory grew by {growth} bytes, and {most} were to be enough");
    drop(crowd);
    // Their places are free again.
    eventually("somebody else may watch", || async {
        let poll = request().header("accept", "application/json");
        let poll = Api::send(poll.query(&[("watch", "true"), ("wait_ms", "1")])).await;
        (poll.status == 200).then_some(())
    })
    .await;
    api.lives_on().await;
}

async fn watch(address: String) -> Raw {
    let mut raw = Raw::connect(&address).await;
    let request =
        "GET /v1/data/notes HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n";
    assert!(raw.say(request.as_bytes()).await, "the region listens");
    raw.hears("position").await;
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
