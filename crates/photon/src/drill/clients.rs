//! Clients that submit tasks at a steady rate in every region, as a user's would: with a key, and
//! again at the next nearest region when one does not answer. Must not judge what comes of it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Drilled;
use super::follow;
use super::ledger::{Accepted, Level};
use super::planet::{At, soon};

/// The most submissions under way in one region; what exceeds it is left out, and counted.
const UNDER_WAY_MAX: usize = 512;
/// The pause before all regions are asked once more.
const PAUSE: Duration = Duration::from_millis(250);
/// One task of so many must not leave its placement, if there is one that leaves out a region.
const CONFINED_OF: u64 = 10;

/// What a client submits.
#[derive(Clone, Debug)]
struct Ask {
    number: u64,
    key: String,
    at: At,
    level: Level,
    placement: Option<String>,
    body: Value,
}

/// Starts a client in each region. They begin no more after `stop`, and end at the latest with
/// `give_up`.
pub(super) fn start(
    drilled: &Arc<Drilled>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
    give_up: &CancellationToken,
) {
    let count = drilled.planet.sites.len();
    for at in 0..count {
        let rate = f64::from(drilled.rate) / count as f64;
        let every = Duration::from_secs_f64(1.0 / rate);
        // Regions take turns, so that the load is even.
        let first = tokio::time::Instant::now() + every.mul_f64(at as f64 / count as f64);
        let (drilled, open, give_up) = (Arc::clone(drilled), tasks.clone(), give_up.clone());
        let submitting = async move {
            let mut pace = interval_at(first, every);
            pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
            let slots = Arc::new(Semaphore::new(UNDER_WAY_MAX));
            for round in 0_u64.. {
                pace.tick().await;
                let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
                    drilled.ledger.book().left_out += 1;
                    continue;
                };
                let number = round * count as u64 + at as u64;
                let ask = Ask::make(&drilled, number, round, at);
                let asking = submit(Arc::clone(&drilled), ask, slot, open.clone(), give_up.clone());
                open.spawn(asking);
            }
        };
        tasks.spawn(stop.clone().run_until_cancelled_owned(submitting));
    }
}

impl Ask {
    fn make(drilled: &Drilled, number: u64, round: u64, at: At) -> Self {
        let is_quorum = drilled.planet.has_quorum_ack && round % 2 == 1;
        let level = if is_quorum { Level::Quorum } else { Level::Region };
        let key = format!("drill-{}-{number}", drilled.run);
        let mut body =
            json!({"skill": drilled.skill(), "text": key, "context_id": drilled.context()});
        if is_quorum {
            body["ack"] = json!("quorum");
        }
        let confined = drilled.confined.as_ref();
        let confined = confined.filter(|it| it.inside.contains(&at) && round % CONFINED_OF == 3);
        if let Some(confined) = confined {
            body["text"] = json!(format!("{key}-{}", confined.canary));
            body["placement"] = json!(confined.placement);
        }
        let placement = confined.map(|it| it.placement.clone());
        Self { number, key, at, level, placement, body }
    }
}

async fn submit(
    drilled: Arc<Drilled>,
    ask: Ask,
    slot: OwnedSemaphorePermit,
    tasks: TaskTracker,
    give_up: CancellationToken,
) {
    let accepted = give_up.run_until_cancelled(insist(&drilled, &ask)).await;
    drop(slot);
    let Some(accepted) = accepted else {
        drilled.ledger.book().given_up.insert(ask.key);
        return;
    };
    let id = accepted.id.clone();
    let is_followed = super::is_long(ask.number);
    drilled.ledger.book().accepted.insert(id.clone(), accepted);
    if is_followed {
        let near = drilled.reachable(ask.at, ask.placement.as_deref());
        let following = follow::follow(Arc::clone(&drilled), id, near);
        tasks.spawn(async move { give_up.run_until_cancelled(following).await });
    }
}

/// Asks the nearest region, then the next, and all of them again, until one says yes.
async fn insist(drilled: &Drilled, ask: &Ask) -> Accepted {
    let began_ms = drilled.planet.now_ms();
    let mut failures = 0;
    loop {
        for by in drilled.reachable(ask.at, ask.placement.as_deref()) {
            let client = &drilled.planet.sites[by].client;
            match soon(client.submit_json(&ask.body, &ask.key)).await {
                Ok(task) => {
                    let text = |field: &str| task[field].as_str().unwrap_or_default().to_owned();
                    let home = photon_state::RegionId::try_from(text("home").as_str()).ok();
                    return Accepted {
                        id: text("id"),
                        key: ask.key.clone(),
                        level: ask.level,
                        asked_in: ask.at,
                        by,
                        home: home.and_then(|it| drilled.planet.at(it)),
                        placement: ask.placement.clone(),
                        began_ms,
                        at_ms: drilled.planet.now_ms(),
                        failures,
                    };
                }
                Err(error) => {
                    failures += 1;
                    let status = error.status().map(|it| it.to_string());
                    drilled.ledger.failed(by, status.unwrap_or_else(|| "no answer".to_owned()));
                }
            }
        }
        sleep(PAUSE).await;
    }
}
