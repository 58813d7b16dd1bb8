//! Workers for the tasks of a drill: an agent in every region, all with the skill of the drill.
//! Must not judge: whatever they are given they do, and tell when that was taken.

use std::sync::Arc;
use std::time::Duration;

use photon_edge::v1::types::{AgentPut, CompletePost, Lease, LeasePost};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Drilled;
use super::planet::{At, soon};

/// How many tasks an agent works on at a time.
const CAPACITY: u32 = 256;
/// How many leases are asked for at a time.
const LEASES_MAX: u32 = 64;
/// How long a question for work waits.
const WAIT_MS: u32 = 1_000;
/// How long an answer to it may take.
const LEASES_WITHIN: Duration = Duration::from_secs(4);
/// The pause after a failure.
const PAUSE: Duration = Duration::from_millis(200);
/// How long the work takes.
const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(2);

/// Registers the agents; each region gets one.
pub(super) async fn register(drilled: &Drilled) -> anyhow::Result<()> {
    for at in 0..drilled.planet.sites.len() {
        announce(drilled, at).await?;
    }
    Ok(())
}

async fn announce(drilled: &Drilled, at: At) -> Result<(), super::planet::Failed> {
    let agent = AgentPut {
        skills: vec![drilled.skill()],
        capacity: CAPACITY,
        cost: 0.0,
        card: None,
        description: Some("works for `photon drill`, which removes it at the end".to_owned()),
        placement: None,
    };
    soon(drilled.planet.sites[at].client.register(&drilled.agent(at), &agent)).await?;
    Ok(())
}

/// Removes the agents: each in its own region, or in another one.
pub(super) async fn dismiss(drilled: &Drilled) -> Vec<String> {
    let mut left = Vec::new();
    for (at, site) in drilled.planet.sites.iter().enumerate() {
        let mut removed = false;
        for other in &site.nearest {
            let name = drilled.agent(at);
            let done = soon(drilled.planet.sites[*other].client.deregister(&name)).await;
            removed = done.is_ok() || done.is_err_and(|it| it.status() == Some(404));
            if removed {
                break;
            }
        }
        if !removed {
            left.push(drilled.agent(at));
        }
    }
    left
}

/// Works in every region until told to stop.
pub(super) fn start(drilled: &Arc<Drilled>, tasks: &TaskTracker, stop: &CancellationToken) {
    for at in 0..drilled.planet.sites.len() {
        let (drilled, attempts) = (Arc::clone(drilled), tasks.clone());
        tasks.spawn(stop.clone().run_until_cancelled_owned(take_tasks(
            drilled,
            at,
            attempts,
            stop.clone(),
        )));
    }
}

async fn take_tasks(drilled: Arc<Drilled>, at: At, attempts: TaskTracker, stop: CancellationToken) {
    let client = &drilled.planet.sites[at].client;
    let post = LeasePost { agent: drilled.agent(at), limit: LEASES_MAX, wait_ms: WAIT_MS };
    loop {
        match timeout(LEASES_WITHIN, client.acquire(&post)).await {
            Ok(Ok(granted)) => {
                for lease in granted.leases {
                    let work = attempt(Arc::clone(&drilled), at, lease);
                    attempts.spawn(stop.clone().run_until_cancelled_owned(work));
                }
            }
            Ok(Err(error)) if error.status() == Some(404) => {
                // The region came back without the agent: who is not there gets no work.
                let _ = announce(&drilled, at).await;
                sleep(PAUSE).await;
            }
            Ok(Err(_)) | Err(_) => sleep(PAUSE).await,
        }
    }
}

/// Works on one task, and insists on its end until the region has it or wants it no more.
async fn attempt(drilled: Arc<Drilled>, at: At, lease: Lease) {
    let text = super::audit::said(lease.message.as_str());
    let number = text.as_deref().and_then(|it| it.split('-').nth(2)?.parse::<u64>().ok());
    sleep(if number.is_some_and(super::is_long) { LONG } else { SHORT }).await;
    let post = CompletePost { token: lease.token, notes: None, message: None, text: text.clone() };
    loop {
        match soon(drilled.planet.sites[at].client.complete(&lease.task, &post)).await {
            Ok(_) => {
                let now = drilled.planet.now_ms();
                drilled.ledger.book().completed_ms.entry(lease.task).or_insert(now);
                return;
            }
            // The lease is another's by now: the task is not ours to end.
            Err(error) if error.status() == Some(409) => return,
            Err(_) => sleep(PAUSE).await,
        }
    }
}
