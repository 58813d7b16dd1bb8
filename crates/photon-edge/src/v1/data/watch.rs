//! Watching a dataset: its changes as they come, as a stream or poll by poll.
//! Must not hold changes back, nor gather them: a watcher has no buffer.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderMap, HeaderName};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use photon_region::data::{Change, DataCommand, DataReply, DatasetName, Kind, Spot};
use photon_region::{Command, Reply};
use photon_state::Seen;

use super::ask::spot;
use super::list::{ListParams, text};
use super::{recent_kind, show};
use crate::body;
use crate::front::FollowerSlot;
use crate::names::{self, Invalid};
use crate::problem::{Declined, Stood};
use crate::time::rfc3339;
use crate::v1::events::KEEP_ALIVE;
use crate::v1::types::{DATA_WAIT_MS_MAX, DataChange, DataChanges, Etag};
use crate::{Failure, Front};

/// How long one question waits before it is asked anew.
const WAIT: Duration = Duration::from_secs(20);

/// A client that watches a dataset.
#[derive(Debug)]
struct Watcher {
    front: Front,
    dataset: DatasetName,
    kind: Kind,
    prefix: Bytes,
    spot: Option<Spot>,
    position: Option<Seen>,
    /// What was heard and not yet told.
    untold: VecDeque<sse::Event>,
}

/// Answers a request to watch.
pub(super) async fn watch(
    front: Front,
    dataset: DatasetName,
    params: &ListParams,
    headers: &HeaderMap,
    is_poll: bool,
) -> Result<Response, Declined> {
    let (position, wait) =
        begin(&front, params, headers).map_err(|err| err.problem(Stood::Outside))?;
    let spot = spot(headers, params.residency.as_deref());
    let spot = spot.map_err(|err| err.problem(Stood::Outside))?;
    let kind = recent_kind(&front, &dataset).await?;
    let prefix = text(params.prefix.as_deref());
    let untold = VecDeque::new();
    let mut watcher = Watcher { front, dataset, kind, prefix, spot, position, untold };
    if is_poll {
        // Whoever does not wait takes nobody's place.
        let _slot = match wait.is_zero() {
            true => None,
            false => Some(watcher.front.follower_slot()?),
        };
        let changes = watcher.ask(wait).await?.ok_or(Failure::Stopping)?;
        let changes = changes.iter().map(|it| encode(kind, it)).collect();
        let position = watcher.token();
        return Ok(Json(DataChanges { changes, position }).into_response());
    }
    // A dataset that is not there is a problem with a status, not a stream that ends at once.
    let first = watcher.ask(Duration::ZERO).await?.ok_or(Failure::Stopping)?;
    let slot = watcher.front.follower_slot()?;
    watcher.tell(first);
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("alive");
    Ok(Sse::new(follow(watcher, slot)).keep_alive(keep_alive).into_response())
}

/// Returns after what to begin, and how long to wait.
fn begin(
    front: &Front,
    params: &ListParams,
    headers: &HeaderMap,
) -> Result<(Option<Seen>, Duration), Invalid> {
    let last_event_id = HeaderName::from_static("last-event-id");
    let heard = body::header(headers, &last_event_id)?.filter(|it| !it.is_empty());
    let heard = heard.map(|it| front.sessions().decode("Last-Event-ID", it)).transpose()?;
    let position = params.position.as_deref();
    let position = position.map(|it| front.sessions().decode("position", it)).transpose()?;
    let wait_ms = params.wait_ms.as_deref();
    let wait_ms = wait_ms.map(|it| names::number("wait_ms", it, 0..=DATA_WAIT_MS_MAX));
    let wait = Duration::from_millis(wait_ms.transpose()?.unwrap_or(0));
    Ok((heard.or(position), wait))
}

impl Watcher {
    /// Returns the next changes within `wait`; `None` when the front door closes.
    async fn ask(&mut self, wait: Duration) -> Result<Option<Vec<Change>>, Failure> {
        let (dataset, prefix) = (self.dataset.clone(), self.prefix.clone());
        let (spot, position) = (self.spot.clone(), self.position.clone());
        let command = DataCommand::Watch { dataset, prefix, spot, position, wait };
        let stopping = self.front.stopping().clone();
        let asking = self.front.submit_as_follower(Command::Data(command));
        let Some(reply) = stopping.run_until_cancelled(asking).await else { return Ok(None) };
        let Reply::Data(reply) = reply? else {
            unreachable!("the region answers `Data` with data")
        };
        let DataReply::Changes { changes, position } = *reply else {
            unreachable!("the region answers `Watch` with changes")
        };
        self.position = Some(position);
        Ok(Some(changes))
    }

    fn token(&self) -> String {
        let nothing = Seen::default();
        self.front.sessions().encode(self.position.as_ref().unwrap_or(&nothing))
    }

    /// Puts down what is to be told. Without changes that is the position alone, which a client
    /// keeps without hearing of it.
    fn tell(&mut self, changes: Vec<Change>) {
        if changes.is_empty() {
            self.untold.push_back(sse::Event::default().id(self.token()).comment("position"));
        }
        for change in changes {
            let id = self.front.sessions().encode(&change.position);
            let data = serde_json::to_string(&encode(self.kind, &change));
            let data = data.expect("our own types can be written as json");
            self.untold.push_back(sse::Event::default().id(id).event("change").data(data));
        }
    }
}

fn follow(
    watcher: Watcher,
    slot: FollowerSlot,
) -> impl Stream<Item = Result<sse::Event, Infallible>> + Send {
    stream::unfold((watcher, slot), |(mut watcher, slot)| async move {
        while watcher.untold.is_empty() {
            let before = watcher.position.clone();
            match watcher.ask(WAIT).await {
                Ok(Some(changes)) if changes.is_empty() && watcher.position == before => {}
                Ok(Some(changes)) => watcher.tell(changes),
                Ok(None) => return None,
                // The client resumes at its last position, and learns why then.
                Err(err) => {
                    tracing::debug!(%err, "a watch ends early");
                    return None;
                }
            }
        }
        let event = watcher.untold.pop_front()?;
        Some((Ok(event), (watcher, slot)))
    })
}

fn encode(kind: Kind, change: &Change) -> DataChange {
    let key = show::name(&change.key);
    DataChange {
        etag: change.record.as_ref().map(|it| Etag(it.fingerprint)),
        record: change.record.as_ref().map(|it| show::record(key.clone(), kind, it)),
        key,
        at: rfc3339(change.at),
        by: change.dot.source.origin.to_string(),
    }
}
