//! Tells webhooks what becomes of tasks, in the words of A2A, while the front door is open.
//! Must not decide whom to tell when: the region does, and hears how it went.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::a2a::StreamResponse;
use axum::http::Uri;
use bytes::Bytes;
use photon_region::{Command, Due, Reply, TaskId, Webhook, Went};
use photon_state::Hlc;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};
use tracing::debug;

use super::fault::MEDIA_TYPE;
use super::incoming::Dialect;
use super::push::{Proofs, Target};
use super::task::{self, HistoryLength};
use super::updates::{Turns, Update, Updates};
use super::v03;
use crate::Front;
use crate::follow::Follower;
use crate::front::{Failure, FollowerSlot};
use crate::hooks::{Parcel, Poster};

/// Webhooks that are told something at a time.
const AT_A_TIME: usize = 256;
/// Those of them that are told something at one host.
const AT_ONE_HOST: usize = 16;
/// How often it is looked whether a webhook is still where it was.
const CHECK_EVERY: Duration = Duration::from_secs(1);
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
    let mut tellers = None;
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
            let tellers = tellers.get_or_insert_with(|| Tellers::new(front)).clone();
            let place = match first.take() {
                Some(place) => place,
                None => places.clone().acquire_owned().await.expect("it is never closed"),
            };
            let stopping = front.stopping().clone();
            front.tasks().spawn(async move {
                stopping.run_until_cancelled(tell(&tellers, due, place)).await;
            });
        }
    }
}

/// Tells a webhook what there is to tell, and the region how it went.
pub(super) async fn tell(tellers: &Tellers, due: Due, place: OwnedSemaphorePermit) {
    let (task, id, set) = (due.task, due.webhook.id.clone(), due.set);
    let mut upto = due.after;
    let went = match tellers.news(&due, place, &mut upto).await {
        Ok(()) => Went::Well,
        Err(Cause::Busy) => Went::Later,
        Err(Cause::Bad(cause)) => {
            debug!(%task, webhook = &*id, cause, "a webhook was not told all");
            Went::Badly
        }
    };
    let told = Command::Told { task, id, set, upto, went };
    if let Err(err) = tellers.front.submit_as_follower(told).await {
        debug!(%task, %err, "a webhook will be told again: the region did not hear that it was");
    }
}

/// Why a webhook was not told all.
enum Cause {
    /// Many others are told at the same place.
    Busy,
    /// It was not reached, or did not take it.
    Bad(String),
}

/// What all who tell share.
#[derive(Clone, Debug)]
pub(super) struct Tellers {
    front: Front,
    poster: Poster,
    /// How many are on their way to each host.
    hosts: Arc<Mutex<HashMap<String, usize>>>,
}

/// One of those on their way to a host.
struct Visit<'a>(&'a Tellers, String);

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let mut hosts = self.0.hosts.lock().expect("no holder panics");
        match hosts.get_mut(&self.1) {
            Some(count @ 2..) => *count -= 1,
            Some(_) | None => drop(hosts.remove(&self.1)),
        }
    }
}

impl Tellers {
    pub(super) fn new(front: &Front) -> Self {
        let poster = Poster::new(front.push_targets());
        Self { front: front.clone(), poster, hosts: Arc::default() }
    }

    /// Goes to a host, unless too many are on their way there.
    fn visit(&self, uri: &Uri) -> Option<Visit<'_>> {
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        let mut hosts = self.hosts.lock().expect("no holder panics");
        let count = hosts.entry(host.clone()).or_default();
        if AT_ONE_HOST <= *count {
            return None;
        }
        *count += 1;
        Some(Visit(self, host))
    }

    async fn news(
        &self,
        due: &Due,
        place: OwnedSemaphorePermit,
        upto: &mut u64,
    ) -> Result<(), Cause> {
        let Due { task, webhook, after, context, has_turns, set: _ } = due;
        let unknown = || Cause::Bad("this version does not understand its record".to_owned());
        let target = Target::of(webhook).ok_or_else(unknown)?;
        let uri = target.uri().ok_or_else(unknown)?;
        let dialect = target.dialect().ok_or_else(unknown)?;
        let proofs = target.proofs(&webhook.credentials).ok_or_else(unknown)?;
        let _visit = self.visit(&uri).ok_or(Cause::Busy)?;
        let turns = if *has_turns { Turns::Some } else { Turns::None };
        let follower = Follower::new(self.front.clone(), FollowerSlot::of(place), *task, *after);
        let mut updates = Updates::resumed(*task, context, turns, follower);
        let begun = Instant::now();
        let (mut part, mut checked, mut whole) = (0, begun, 0);
        while begun.elapsed() < TURN_MAX {
            let update = match updates.next_ready().await {
                Ok(Some(update)) => update,
                Ok(None) => return Ok(()),
                Err(fault) => return Err(Cause::Bad(fault.message().to_owned())),
            };
            if CHECK_EVERY < checked.elapsed() {
                // If it was removed meanwhile, or lies elsewhere, the report is passed over.
                if !self.is_there(*task, webhook).await {
                    return Err(Cause::Busy);
                }
                checked = Instant::now();
            }
            let said = match dialect {
                Dialect::V10 => Some((MEDIA_TYPE, json_of(&update.response))),
                Dialect::V03 => self.whole(*task, &update, &mut whole).await?,
            };
            if let Some((media_type, body)) = said {
                let id = parcel_id(*task, webhook, update.at, part);
                let (uri, Proofs { headers, key }) = (uri.clone(), proofs.clone());
                let parcel = Parcel { uri, id, media_type, headers, key, body };
                self.poster.post(parcel).await.map_err(|err| Cause::Bad(err.to_string()))?;
            }
            match update.generation {
                Some(generation) => (*upto, part) = (generation, 0),
                None => part += 1, // The event that it belongs to comes after it.
            }
        }
        Ok(())
    }

    /// Returns what is posted of an update in the words of 0.3, and its type: the whole task, as it
    /// stands, whenever its status has changed since it was told `upto` a generation.
    async fn whole(
        &self,
        task: TaskId,
        update: &Update,
        upto: &mut u64,
    ) -> Result<Option<(&'static str, Bytes)>, Cause> {
        let is_told = update.generation.is_none_or(|it| it <= *upto);
        let is_status = matches!(update.response, StreamResponse::StatusUpdate(_));
        if is_told || !is_status || update.is_checkpoint {
            return Ok(None);
        }
        let detail = match self.front.submit(Command::Task(task)).await {
            Ok(Reply::Task(detail)) => detail,
            Ok(other) => unreachable!("the region answers `Task` with {other:?}"),
            Err(Failure::Full { .. } | Failure::TimedOut(_) | Failure::Stopping) => {
                return Err(Cause::Busy);
            }
            Err(err) => return Err(Cause::Bad(err.to_string())),
        };
        *upto = detail.summary.generation;
        let whole = task::whole(&detail, HistoryLength::ALL);
        let whole = serde_json::to_value(whole).expect("what A2A says is JSON");
        Ok(Some(("application/json", json_of(&v03::answer(whole)))))
    }

    /// Whether a webhook is still where it was, as far as the region says.
    async fn is_there(&self, task: TaskId, webhook: &Webhook) -> bool {
        let Ok(Reply::Webhooks(all)) = self.front.submit(Command::Webhooks(task)).await else {
            return false;
        };
        all.iter().any(|it| it.id == webhook.id && it.target == webhook.target)
    }
}

fn json_of(said: &impl Serialize) -> Bytes {
    serde_json::to_vec(said).expect("what A2A says is JSON").into()
}

/// Names what is sent: the same whenever it is sent again. Generations would not do: what was sent
/// under one may have been lost with a home, and something else have come about in its place.
fn parcel_id(task: TaskId, webhook: &Webhook, at: Option<Hlc>, part: u32) -> String {
    let at = at.unwrap_or_default();
    format!("{task}.{}.{}.{}.{part}", webhook.id, at.wall_ms, at.count)
}
