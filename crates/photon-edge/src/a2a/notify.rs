//! Tells webhooks what becomes of tasks, in the words of A2A, while the front door is open.
//! Must not decide whom to tell when: the region does, and hears how it went.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use photon_region::{Command, Due, Reply, TaskId, Webhook, Went};
use photon_state::Hlc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};
use tracing::debug;

use super::push::Target;
use super::updates::{Turns, Updates};
use crate::Front;
use crate::follow::Follower;
use crate::front::FollowerSlot;
use crate::hooks::{Parcel, Poster};

/// Webhooks that are told something at a time.
const AT_A_TIME: usize = 256;
/// How long one question for more waits.
const WAIT: Duration = Duration::from_secs(30);
/// How long one webhook is told news before others get their turn. With the last post it stays
/// well below what the region allows for.
const TURN_MAX: Duration = Duration::from_secs(30);
/// How long to wait when the region is busy.
const PAUSE: Duration = Duration::from_secs(1);

/// Tells webhooks until the front door closes.
pub(crate) async fn run(front: Front) {
    let stopping = front.stopping().clone();
    stopping.run_until_cancelled(tell_all(&front)).await;
}

async fn tell_all(front: &Front) {
    let places = Arc::new(Semaphore::new(AT_A_TIME));
    let mut poster = None;
    loop {
        let first = places.clone().acquire_owned().await.expect("it is never closed");
        let limit = 1 + places.available_permits();
        let due = match front.submit(Command::TakeDue { limit, wait: WAIT }).await {
            Ok(Reply::Due(due)) => due,
            Ok(other) => unreachable!("the region answers `TakeDue` with what is due: {other:?}"),
            Err(err) => {
                debug!(%err, "the region does not say which webhooks are due");
                sleep(PAUSE).await;
                continue;
            }
        };
        let mut first = Some(first);
        for due in due {
            let poster = poster.get_or_insert_with(|| Poster::new(front.push_targets())).clone();
            let place = match first.take() {
                Some(place) => place,
                None => places.clone().acquire_owned().await.expect("it is never closed"),
            };
            let (front, stopping) = (front.clone(), front.stopping().clone());
            front.tasks().clone().spawn(async move {
                stopping.run_until_cancelled(tell(&front, &poster, due, place)).await;
            });
        }
    }
}

/// Tells a webhook what there is to tell, and the region how it went.
pub(super) async fn tell(front: &Front, poster: &Poster, due: Due, place: OwnedSemaphorePermit) {
    let Due { task, webhook, after } = due.clone();
    let mut upto = after;
    let went = match news(front, poster, &due, place, &mut upto).await {
        Ok(()) => Went::Well,
        Err(cause) => {
            debug!(%task, webhook = &*webhook.id, cause, "a webhook was not told all");
            Went::Badly
        }
    };
    let told = Command::Told { task, id: webhook.id.clone(), upto, went };
    if let Err(err) = front.submit(told).await {
        debug!(%task, %err, "a webhook will be told again: the region did not hear that it was");
    }
}

async fn news(
    front: &Front,
    poster: &Poster,
    due: &Due,
    place: OwnedSemaphorePermit,
    upto: &mut u64,
) -> Result<(), String> {
    let Due { task, webhook, after } = due;
    let no_target = || "this version does not understand its record".to_owned();
    let target = Target::of(webhook).ok_or_else(no_target)?;
    let uri = target.uri().ok_or_else(no_target)?;
    let task = *task;
    let detail = match front.submit(Command::Task(task)).await {
        Ok(Reply::Task(detail)) => detail,
        Ok(other) => unreachable!("the region answers `Task` with the task: {other:?}"),
        Err(err) => return Err(err.to_string()),
    };
    let turns = if detail.turns.is_empty() { Turns::None } else { Turns::Some };
    let context = detail.summary.spec.context.clone();
    drop(detail);
    let follower = Follower::new(front.clone(), FollowerSlot::of(place), task, *after);
    let mut updates = Updates::resumed(task, &context, turns, follower);
    let begun = Instant::now();
    let mut part = 0;
    while begun.elapsed() < TURN_MAX {
        let update = match updates.next_ready().await {
            Ok(Some(update)) => update,
            Ok(None) => return Ok(()),
            Err(fault) => return Err(fault.message().to_owned()),
        };
        let body = serde_json::to_vec(&update.response).expect("what A2A says is JSON");
        let id = parcel_id(task, webhook, update.at, part);
        let (uri, headers, key) = (uri.clone(), target.headers(), target.key());
        let parcel = Parcel { uri, id, headers, key, body: Bytes::from(body) };
        poster.post(parcel).await.map_err(|err| err.to_string())?;
        match update.generation {
            Some(generation) => (*upto, part) = (generation, 0),
            None => part += 1, // The event that it belongs to comes after it.
        }
    }
    Ok(())
}

/// Names what is sent: the same whenever it is sent again. Generations would not do: what was sent
/// under one may have been lost with a home, and something else have come about in its place.
fn parcel_id(task: TaskId, webhook: &Webhook, at: Option<Hlc>, part: u32) -> String {
    let at = at.unwrap_or_default();
    format!("{task}.{}.{}.{}.{part}", webhook.id, at.wall_ms, at.count)
}
