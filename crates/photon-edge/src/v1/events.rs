//! `/v1/tasks/{id}/events`: what happens to a task, as it happens.
//! Must not hold events back, nor gather them: a follower has no buffer.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt};
use photon_region::{Event, Note, Outcome, Requeue, Stamped};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::errors::{Absent, Always};
use super::tasks::{millis, parse_id};
use super::types::{
    ArtifactChunk, EventKind, Raw, RequeueReason, TaskEvent, TaskEvents, TaskState, WAIT_MS_MAX,
    Worker,
};
use crate::body::{self, Params, Segment};
use crate::follow::{Follower, Heard};
use crate::names::{self, Invalid};
use crate::problem::{Declined, Stood};
use crate::{Failure, Front};

/// How often a stream without events says that it lives.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(super) fn router() -> OpenApiRouter<Front> {
    OpenApiRouter::default().routes(routes!(events))
}

/// Where to begin, and how long to wait.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct EventsParams {
    /// Only events after this generation; 0 when absent.
    #[param(value_type = u64, minimum = 0, maximum = 9_007_199_254_740_991_i64, required = false)]
    after: Option<String>,
    /// Of a long poll: how long to wait for an event, in milliseconds; 0 when absent.
    #[param(value_type = u32, minimum = 0, maximum = 30_000, required = false)]
    wait_ms: Option<String>,
}

/// Follow a task event by event.
///
/// With `accept: text/event-stream` (or none) it is a stream of server-sent events that ends
/// after the last one: `id` is the generation, `event` the kind, `data` a `TaskEvent`. With
/// `accept: application/json` it is a long poll.
#[utoipa::path(
    get, path = "/v1/tasks/{id}/events", tag = "tasks", operation_id = "follow_task",
    params(
        ("id" = String, Path, description = "The task",
            pattern = "^[0-7][0-9a-hjkmnp-tv-z]{25}$", example = "06bm0d7t5g7r8tq8b1k3s0w9ze"),
        EventsParams,
        ("Last-Event-ID" = Option<u64>, Header, nullable = false, minimum = 0,
            maximum = 9_007_199_254_740_991_i64,
            description = "The generation of the last event that was heard; goes before `after`"),
    ),
    responses(
        (status = 200, description = "The events", content(
            (TaskEvents = "application/json"),
            (String = "text/event-stream"),
        )),
        Always, Absent,
    ),
)]
async fn events(
    State(front): State<Front>,
    Segment(id): Segment,
    Params(params): Params<EventsParams>,
    headers: HeaderMap,
) -> Result<Response, Declined> {
    let task = parse_id(&id)?;
    let (after, wait) = begin(&params, &headers).map_err(|err| err.problem(Stood::Outside))?;
    if body::wants_json(&headers, &["text/event-stream"]) {
        // Whoever does not wait takes nobody's place.
        let heard = if wait.is_zero() {
            Heard::so_far(&front, task, after).await?
        } else {
            let slot = front.follower_slot()?;
            let mut follower = Follower::new(front, slot, task, after);
            follower.ask(wait).await?.ok_or(Failure::Stopping)?
        };
        return Ok(Json(encode_all(&heard, after)).into_response());
    }
    // A task that is not there is a problem with a status, not a stream that ends at once.
    let first = Heard::so_far(&front, task, after).await?;
    let slot = front.follower_slot()?;
    let follower = Follower::new(front, slot, task, after).having_heard(&first);
    let stream = follow(follower, first);
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("alive");
    Ok(Sse::new(stream).keep_alive(keep_alive).into_response())
}

/// Returns after which generation to begin, and how long to wait.
fn begin(params: &EventsParams, headers: &HeaderMap) -> Result<(u64, Duration), Invalid> {
    let last_event_id = HeaderName::from_static("last-event-id");
    let optional = |field: &str, text: Option<&str>, max: u64| {
        text.map(|text| names::number(field, text, 0..=max)).transpose()
    };
    let heard = body::header(headers, &last_event_id)?;
    let heard = optional(last_event_id.as_str(), heard, names::SAFE_MAX)?;
    let after = optional("after", params.after.as_deref(), names::SAFE_MAX)?;
    let wait_ms = optional("wait_ms", params.wait_ms.as_deref(), WAIT_MS_MAX)?;
    let wait = Duration::from_millis(wait_ms.unwrap_or(0));
    Ok((heard.or(after).unwrap_or(0), wait))
}

fn follow(
    follower: Follower,
    first: Heard,
) -> impl Stream<Item = Result<sse::Event, Infallible>> + Send {
    let rest = stream::unfold(follower, |mut follower| async move {
        match follower.next().await {
            Ok(Some(heard)) => Some((heard, follower)),
            Ok(None) => None,
            // The client resumes after the last event that it heard, and learns why then.
            Err(err) => {
                tracing::debug!(%err, "a stream of events ends early");
                None
            }
        }
    });
    stream::once(async { first })
        .chain(rest)
        .flat_map(|heard| stream::iter(heard.events))
        .map(|stamped| Ok(frame(&encode(&stamped))))
}

fn frame(event: &TaskEvent) -> sse::Event {
    let data = serde_json::to_string(event).expect("our own types can be written as json");
    sse::Event::default().id(event.generation.to_string()).event(event.kind.as_str()).data(data)
}

fn encode_all(heard: &Heard, after: u64) -> TaskEvents {
    TaskEvents {
        next_after: heard.events.last().map_or(after, |it| it.generation),
        state: heard.state.into(),
        staleness_ms: heard.staleness.map(millis),
        events: heard.events.iter().map(encode).collect(),
    }
}

fn encode(stamped: &Stamped) -> TaskEvent {
    let blank = |kind, state| TaskEvent {
        generation: stamped.generation,
        at: crate::time::rfc3339(stamped.at),
        kind,
        state,
        attempt: None,
        worker: None,
        reason: None,
        message: None,
        artifact: None,
        checkpoint: None,
    };
    match &stamped.event {
        Event::Submitted(spec) => TaskEvent {
            message: Some(Raw::from_kept(&spec.message)),
            ..blank(EventKind::Submitted, TaskState::Submitted)
        },
        Event::Claimed { token, agent, region } => TaskEvent {
            attempt: Some(token.attempt()),
            worker: Some(Worker { agent: agent.to_string(), region: region.to_string() }),
            ..blank(EventKind::Claimed, TaskState::Working)
        },
        Event::Noted { token, note: Note::Status(message), number: _ } => TaskEvent {
            attempt: Some(token.attempt()),
            message: Some(Raw::from_kept(message)),
            ..blank(EventKind::Status, TaskState::Working)
        },
        Event::Noted { token, note: Note::Artifact(chunk), number: _ } => TaskEvent {
            attempt: Some(token.attempt()),
            artifact: Some(ArtifactChunk {
                id: chunk.artifact.to_string(),
                name: chunk.name.as_ref().map(ToString::to_string),
                parts: Raw::from_kept(&chunk.parts),
                append: chunk.append,
                last: chunk.last,
            }),
            ..blank(EventKind::Artifact, TaskState::Working)
        },
        Event::Noted { token, note: Note::Checkpoint(it), number: _ } => TaskEvent {
            attempt: Some(token.attempt()),
            checkpoint: Some(it.key.to_string()),
            ..blank(EventKind::Checkpoint, TaskState::Working)
        },
        Event::Requeued { token, why, message } => TaskEvent {
            attempt: Some(token.attempt()),
            message: message.as_ref().map(Raw::from_kept),
            reason: Some(reason(*why)),
            ..blank(EventKind::Requeued, TaskState::Submitted)
        },
        Event::Paused { token, why, message } => TaskEvent {
            attempt: Some(token.attempt()),
            message: message.as_ref().map(Raw::from_kept),
            ..blank(EventKind::Paused, why.state().into())
        },
        Event::Answered { message, token: _, name: _ } => TaskEvent {
            message: Some(Raw::from_kept(message)),
            ..blank(EventKind::Answered, TaskState::Submitted)
        },
        Event::Ended { token, outcome, message } => TaskEvent {
            attempt: token.map(photon_region::Token::attempt),
            message: message.as_ref().map(Raw::from_kept),
            ..blank(EventKind::Ended, Outcome::state(*outcome).into())
        },
    }
}

fn reason(why: Requeue) -> RequeueReason {
    match why {
        Requeue::Lapsed => RequeueReason::Lapsed,
        Requeue::Declined => RequeueReason::Declined,
        Requeue::Failed => RequeueReason::Failed,
        Requeue::TimedOut => RequeueReason::TimedOut,
    }
}
