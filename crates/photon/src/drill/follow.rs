//! Followers of tasks: each event once and in turn, from whatever region still tells them.
//! Must not know which fault there is.

use std::sync::Arc;
use std::time::Duration;

use photon_edge::v1::types::EventKind;
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::Drilled;
use super::planet::{At, soon};

/// How long a region may be silent before the follower turns to the next.
const SILENCE_MAX: Duration = Duration::from_millis(2_500);
/// The pause before the next region is asked.
const PAUSE: Duration = Duration::from_millis(100);

/// Follows a task to its end.
pub(super) async fn follow(drilled: Arc<Drilled>, task: String, near: Vec<At>) {
    drilled.ledger.book().followed += 1;
    let mut after = 0;
    // Not the region of the client alone: a follower may sit anywhere.
    for at in near.iter().cycle().skip(1) {
        let client = &drilled.planet.sites[*at].client;
        let Ok(mut events) = soon(client.events(&task, after)).await else {
            sleep(PAUSE).await;
            continue;
        };
        if 0 < after {
            drilled.ledger.book().resumed += 1;
        }
        while let Ok(Ok(Some(event))) = timeout(SILENCE_MAX, events.next()).await {
            if event.generation != after + 1 {
                let region = drilled.planet.name(*at);
                let (got, at_ms) = (event.generation, drilled.planet.now_ms());
                let what = json!({"task": task, "region": region, "after": after, "got": got,
                    "at_ms": at_ms});
                drilled.ledger.book().out_of_turn.push(what);
            }
            after = after.max(event.generation);
            if event.kind == EventKind::Ended {
                return;
            }
        }
        sleep(PAUSE).await;
    }
}

/// Returns how far a region knows a task, and whether it has ended.
pub(super) async fn known(drilled: &Drilled, task: &str, at: At) -> Option<(u64, bool)> {
    let task = soon(drilled.planet.sites[at].client.task(task)).await.ok()?;
    Some((task.generation, task.state.is_terminal()))
}

/// Waits for the first event after `after`, in whatever region tells it first; returns when it was
/// heard of.
pub(super) async fn next_event(
    drilled: Arc<Drilled>,
    task: String,
    near: Vec<At>,
    after: u64,
) -> u64 {
    for at in near.iter().cycle() {
        let client = &drilled.planet.sites[*at].client;
        if let Ok(mut events) = soon(client.events(&task, after)).await
            && let Ok(Ok(Some(_))) = timeout(SILENCE_MAX, events.next()).await
        {
            break;
        }
        sleep(PAUSE).await;
    }
    drilled.planet.now_ms()
}
