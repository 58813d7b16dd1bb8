//! A worker that speaks the bare `/v1/leases`: light enough for hundreds of tasks a second.
//! Must not keep anything that a `kill -9` could take from it.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;

use super::{UPPER, expected};
use crate::harness::{Api, Process, text};

/// Where the worker works, and as whom: `URL NAME`.
const WORKER: &str = "PHOTON_CHAOS_WORKER";

/// How long to wait before the same is said again to a region that is gone or busy.
const AGAIN_MS: std::ops::Range<u64> = 50..200;

/// One task of so many takes a while, so that workers are killed in the midst of some.
const SLOW_OF: u32 = 10;

/// How long a slow task takes.
const SLOW_MS: std::ops::Range<u64> = 100..900;

/// A worker in a process of its own.
#[derive(Debug)]
pub(crate) struct Worker {
    api: Api,
    name: String,
}

/// Starts a process that works as `name`, attached to the region at `url`.
pub(crate) fn start(url: &str, name: &str) -> Process {
    let test = std::env::current_exe().expect("the test knows its own binary");
    let mut command = Command::new(Path::new(&test));
    command.args(["--exact", "e2e_chaos::it_works_when_it_is_started_as_a_worker", "--nocapture"]);
    command.env(WORKER, format!("{url} {name}"));
    Process::start(format!("worker {name}"), command)
}

impl Worker {
    /// Reads what the test has told this process to be, if it is a worker's.
    pub(crate) fn from_env() -> Option<Self> {
        let told = std::env::var(WORKER).ok()?;
        let (url, name) = told.split_once(' ').expect("an address and a name");
        Some(Self { api: Api::new(url), name: name.to_owned() })
    }

    /// Works until the process is killed.
    pub(crate) async fn work(self) {
        let agent = json!({"skills": [UPPER], "capacity": 1024});
        let put = || self.api.request(reqwest::Method::PUT, &format!("/v1/agents/{}", self.name));
        insist(|| put().json(&agent)).await.expect("an agent may be registered");
        let ask = json!({"agent": self.name, "limit": 256, "wait_ms": 10_000});
        loop {
            let leases = insist(|| self.post("/v1/leases", &ask)).await.expect("it is registered");
            for lease in leases["leases"].as_array().expect("a list") {
                tokio::spawn(do_task(self.api.clone(), lease.clone()));
            }
        }
    }

    fn post(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        self.api.request(reqwest::Method::POST, path).json(body)
    }
}

async fn do_task(api: Api, lease: Value) {
    if fastrand::u32(..SLOW_OF) == 0 {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(SLOW_MS))).await;
    }
    let result = expected(UPPER, text(&lease["message"]["parts"][0]["text"]));
    let artifact = json!({"artifact": {"id": "output", "text": result, "last": true}});
    let events = json!({"token": lease["token"], "first": 1, "notes": [artifact]});
    let complete = json!({"token": lease["token"]});
    for (act, body) in [("events", events), ("complete", complete)] {
        let path = format!("/v1/leases/{}/{act}", text(&lease["task"]));
        let said = insist(|| api.request(reqwest::Method::POST, &path).json(&body)).await;
        if said.is_none() {
            return; // The lease has lapsed: the task is another worker's.
        }
    }
}

/// Says it until the region answers; `None` when the worker has lost its lease.
pub(crate) async fn insist(request: impl Fn() -> reqwest::RequestBuilder) -> Option<Value> {
    loop {
        match Api::try_send(request()).await {
            Ok(answer) if (200..300).contains(&answer.status) => return Some(answer.body),
            Ok(answer) if answer.status == 409 => return None,
            Ok(answer) if ![429, 503].contains(&answer.status) => panic!("{answer:#?}"),
            Ok(_) | Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(fastrand::u64(AGAIN_MS))).await;
    }
}
