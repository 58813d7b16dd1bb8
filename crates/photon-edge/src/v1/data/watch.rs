//! Watching a dataset: its changes as they come, as a stream or poll by poll.
//! Must not hold changes back, nor keep more of them than there is room for in all watchers.

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
use crate::hold::Share;
use crate::names::{self, Invalid};
use crate::problem::{Declined, Stood};
use crate::time::rfc3339;
use crate::v1::events::KEEP_ALIVE;
use crate::v1::types::{DATA_WAIT_MS_MAX, DataChange, DataChanges, Etag};
use crate::{Failure, Front};

/// How long one question waits before it is asked anew.
const WAIT: Duration = Duration::from_secs(20);
/// When a client shall come back whose stream has ended early: sooner there may be no room again.
const RESUME_AFTER: Duration = Duration::from_secs(3);

/// For how many bytes there must be room before a watcher is heard.
const LEAST: usize = 512;
/// How many bytes of several changes a watcher may keep, or its part of what all may: so that a few
/// who do not read do not take the room of all.
const FAIR: usize = 64 << 10;

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
    untold: VecDeque<Change>,
    /// Whether the position is to be told, because there is nothing else.
    owes_position: bool,
    /// About how many bytes are kept, with the event that the client reads; the last are its own.
    bytes: usize,
    in_hand: usize,
    share: Share,
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
    let mut watcher = Watcher {
        share: front.watches().share(),
        front,
        dataset,
        kind,
        prefix,
        spot,
        position,
        untold: VecDeque::new(),
        owes_position: false,
        bytes: 0,
        in_hand: 0,
    };
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
    // Nobody is asked for what there is no room to keep.
    watcher.share.grow_to(LEAST).map_err(|full| Failure::WatchesFull { max: full.max })?;
    // A dataset that is not there is a problem with a status, not a stream that ends at once.
    let first = watcher.ask(Duration::ZERO).await?.ok_or(Failure::Stopping)?;
    let slot = watcher.front.follower_slot()?;
    watcher.keep(first)?;
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

    /// Keeps what was heard until it is told, as far as there is room; the rest is asked for again.
    /// Without changes the position is told, which a client keeps without hearing of it.
    fn keep(&mut self, changes: Vec<Change>) -> Result<(), Failure> {
        self.owes_position = changes.is_empty();
        let limits = *self.front.limits();
        let enough = (limits.watches_bytes_max / limits.followers_max.max(1)).max(FAIR);
        for change in changes {
            let bytes = self.bytes + weight(&change);
            let has_enough = enough < bytes && !self.untold.is_empty();
            if has_enough || self.share.grow_to(bytes).is_err() {
                let max = limits.watches_bytes_max;
                let last = self.untold.back().ok_or(Failure::WatchesFull { max })?;
                self.position = Some(last.position.clone());
                return Ok(());
            }
            self.bytes = bytes;
            self.untold.push_back(change);
        }
        Ok(())
    }

    /// Returns the next event; `None` when the front door closes. Called once the client has room
    /// for it, so that no more than one is text at a time.
    async fn next(&mut self) -> Result<Option<sse::Event>, Failure> {
        self.bytes -= std::mem::take(&mut self.in_hand);
        self.share.shrink_to(self.bytes);
        loop {
            if std::mem::take(&mut self.owes_position) {
                return Ok(Some(sse::Event::default().id(self.token()).comment("position")));
            }
            if let Some(change) = self.untold.pop_front() {
                self.in_hand = weight(&change);
                return Ok(Some(self.event(&change)));
            }
            let before = self.position.clone();
            let Some(changes) = self.ask(WAIT).await? else { return Ok(None) };
            if !changes.is_empty() || self.position != before {
                self.keep(changes)?;
            }
        }
    }

    fn event(&self, change: &Change) -> sse::Event {
        let id = self.front.sessions().encode(&change.position);
        let data = serde_json::to_string(&encode(self.kind, change));
        let data = data.expect("our own types can be written as json");
        sse::Event::default().id(id).event("change").data(data)
    }
}

/// Turns what a watcher hears into a stream. Its end says that it is one: the client resumes at its
/// last position, and learns why then.
fn follow(
    watcher: Watcher,
    slot: FollowerSlot,
) -> impl Stream<Item = Result<sse::Event, Infallible>> + Send {
    stream::unfold(Some((watcher, slot)), |state| async move {
        let (mut watcher, slot) = state?;
        match watcher.next().await {
            Ok(Some(event)) => Some((Ok(event), Some((watcher, slot)))),
            Ok(None) => None,
            Err(err) => {
                tracing::debug!(%err, "a watch ends early");
                let end = sse::Event::default().comment("the watch ends: resume at the last id");
                Some((Ok(end.retry(RESUME_AFTER)), None))
            }
        }
    })
}

/// Returns about how many bytes a change takes while it is kept, and then as text: contents that
/// are not text grow by a third.
fn weight(change: &Change) -> usize {
    512 + 96 * change.position.len() + change.weight() / 3 * 4
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
