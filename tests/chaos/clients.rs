//! Clients that submit tasks at a steady rate in every region, and ask again until they are heard.
//! Must not give up a task: what was asked once is asked until it is acknowledged.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::worker::insist;
use super::{CAT, UPPER};
use crate::harness::{Api, Planet, REGIONS, text};

/// Tasks a second, in all regions together.
const RATE: u64 = 200;

/// One task of so many goes to a program, the others to bare workers.
const PROGRAM_OF: u64 = 40;

/// How long after the last round a task may go without an acknowledgement.
const PATIENCE: Duration = Duration::from_secs(60);

/// A task that a region has acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    /// Of whom it was asked.
    pub(crate) skill: &'static str,
    /// What was asked.
    pub(crate) asked: String,
}

/// All acknowledged tasks by their names.
pub(crate) type Tasks = BTreeMap<String, Acknowledged>;

/// Clients at work.
#[derive(Debug)]
pub(crate) struct Clients {
    stop: CancellationToken,
    open: TaskTracker,
    acknowledged: Arc<Mutex<Tasks>>,
}

impl Clients {
    /// Starts a client in each region.
    pub(crate) fn start(planet: &Planet) -> Self {
        let (stop, open) = (CancellationToken::new(), TaskTracker::new());
        let clients = Self { stop, open, acknowledged: Arc::default() };
        for home in REGIONS {
            let client = clients.client(home, planet.api(home));
            clients.open.spawn(client);
        }
        clients
    }

    fn client(&self, home: &'static str, api: Api) -> impl Future<Output = ()> + use<> {
        let (stop, open) = (self.stop.clone(), self.open.clone());
        let acknowledged = self.acknowledged.clone();
        let mut pace =
            tokio::time::interval(Duration::from_secs(REGIONS.len() as u64) / RATE as u32);
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        async move {
            for number in 0.. {
                if stop.run_until_cancelled(pace.tick()).await.is_none() {
                    return;
                }
                let skill = if number % PROGRAM_OF == 0 { CAT } else { UPPER };
                let task = Acknowledged { skill, asked: format!("{home} task {number}") };
                open.spawn(submit(api.clone(), task, acknowledged.clone()));
            }
        }
    }

    /// Submits no more tasks; returns those that were acknowledged, which are all.
    pub(crate) async fn finish(self) -> Tasks {
        self.stop.cancel();
        self.open.close();
        let finished = tokio::time::timeout(PATIENCE, self.open.wait()).await;
        assert!(finished.is_ok(), "{} tasks wait for their acknowledgement", self.open.len());
        std::mem::take(&mut self.acknowledged.lock().expect("no client has panicked"))
    }
}

async fn submit(api: Api, task: Acknowledged, acknowledged: Arc<Mutex<Tasks>>) {
    let body = json!({"skill": task.skill, "text": task.asked});
    let key = task.asked.replace(' ', "-");
    let post = || api.request(Method::POST, "/v1/tasks").header("idempotency-key", &key);
    let said = insist(|| post().json(&body)).await.expect("one body for each key");
    let id = text(&said["id"]).to_owned();
    let twin = acknowledged.lock().expect("no client has panicked").insert(id, task.clone());
    assert!(twin.is_none(), "one name for two tasks: {twin:?} and {task:?}");
}
