//! `/v1/leases`: how workers come by tasks and tell of them.
//! Must not know when a lease lapses.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use photon_region::{AtHome, Chunk, Claim, Command, Note, Outcome, Pause, Reply, Token};
use photon_state::Hlc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::errors::{Absent, Always, Body, Conflict};
use super::message::{Given, check_message, check_parts, keep};
use super::regions::NoParams;
use super::tasks::{standing, target};
use super::types::{
    ArtifactNote, Checkpoint, CheckpointNote, CompletePost, FailPost, HeartbeatPost, LIMIT_MAX,
    Lease, LeasePost, Leases, Message, NotePost, NotesPost, Part, PauseFor, PausePost, Raw, Role,
    Standing, StatusNote, WAIT_MS_MAX,
};
use crate::body::{self, Params, Segment};
use crate::names::{self, Invalid, SAFE_MAX};
use crate::problem::{Declined, Stood};
use crate::time::rfc3339;
use crate::{Failure, Front};

/// The greatest token: 19 digits, which is more than any home hands out.
pub(crate) const TOKEN_MAX: u64 = 9_999_999_999_999_999_999;

pub(super) fn router() -> OpenApiRouter<Front> {
    OpenApiRouter::default()
        .routes(routes!(acquire))
        .routes(routes!(heartbeat))
        .routes(routes!(notes))
        .routes(routes!(complete))
        .routes(routes!(pause))
        .routes(routes!(fail))
}

/// Wait for work for an agent that is attached to this region.
#[utoipa::path(
    post, path = "/v1/leases", tag = "leases", operation_id = "acquire_leases",
    request_body = LeasePost,
    responses(
        (status = 200, description = "Leases; none if the wait was over", body = Leases),
        Always, Body, Absent, Conflict,
    ),
)]
async fn acquire(
    State(front): State<Front>,
    _: Params<NoParams>,
    body::Json(post): body::Json<LeasePost>,
) -> Result<Json<Leases>, Declined> {
    acquire_of(&front, &post).await.map(Json)
}

/// Waits for work for an agent.
pub(crate) async fn acquire_of(front: &Front, post: &LeasePost) -> Result<Leases, Declined> {
    let command = decode_acquire(post).map_err(|err| err.problem(Stood::Inside))?;
    let stopping = front.stopping();
    let reply = stopping.run_until_cancelled(front.submit(command)).await;
    let Reply::Leases(leases) = reply.ok_or(Failure::Stopping)?? else {
        unreachable!("the region answers `Acquire` with leases")
    };
    Ok(Leases { leases: leases.iter().map(encode).collect() })
}

fn decode_acquire(post: &LeasePost) -> Result<Command, Invalid> {
    let agent = names::agent_name("agent", &post.agent)?;
    let limit = usize::try_from(post.limit).unwrap_or(usize::MAX);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Invalid::new("limit", format!("use a whole number from 1 to {LIMIT_MAX}")));
    }
    if WAIT_MS_MAX < post.wait_ms.into() {
        return Err(Invalid::new("wait_ms", format!("at most {WAIT_MS_MAX} are possible")));
    }
    Ok(Command::Acquire { agent, limit, wait: Duration::from_millis(post.wait_ms.into()) })
}

fn encode(lease: &photon_region::Lease) -> Lease {
    let (skill, agent) = target(&lease.spec.target);
    // Who is asked by name as one of many is asked for something.
    let meant = lease.spec.terms.as_ref().and_then(|it| it.skill.as_ref());
    let skill = skill.or_else(|| meant.map(ToString::to_string));
    Lease {
        task: lease.claim.task.to_string(),
        token: lease.claim.token.0.to_string(),
        attempt: lease.claim.token.attempt(),
        home: lease.home.to_string(),
        skill,
        agent,
        message: Raw::from_kept(&lease.spec.message),
        turns: lease.turns.iter().map(Raw::from_kept).collect(),
        checkpoints: lease.checkpoints.iter().map(encode_checkpoint).collect(),
        context_id: lease.spec.context.to_string(),
        placement: lease.spec.placement.to_string(),
        ttl_ms: u64::try_from(lease.ttl.as_millis()).unwrap_or(u64::MAX),
        closes_at: lease.closes_ms.map(|wall_ms| rfc3339(Hlc { wall_ms, count: 0 })),
    }
}

fn encode_checkpoint(it: &photon_region::Checkpoint) -> Checkpoint {
    Checkpoint { key: it.key.to_string(), value: Raw::from_kept(&it.value) }
}

/// Extend a lease: the worker lives.
#[utoipa::path(
    post, path = "/v1/leases/{task}/heartbeat", tag = "leases", operation_id = "heartbeat_lease",
    params(("task" = String, Path, description = "The task",
        pattern = "^[0-7][0-9a-hjkmnp-tv-z]{25}$", example = "06bm0d7t5g7r8tq8b1k3s0w9ze")),
    request_body = HeartbeatPost,
    responses(
        (status = 200, description = "The lease is extended", body = Standing),
        Always, Body, Absent, Conflict,
    ),
)]
async fn heartbeat(
    State(front): State<Front>,
    Segment(task): Segment,
    _: Params<NoParams>,
    body::Json(post): body::Json<HeartbeatPost>,
) -> Result<Json<Standing>, Declined> {
    heartbeat_of(&front, &task, &post).await.map(Json)
}

/// Extends a lease.
pub(crate) async fn heartbeat_of(
    front: &Front,
    task: &str,
    post: &HeartbeatPost,
) -> Result<Standing, Declined> {
    at_home(front, AtHome::Heartbeat(claim(task, &post.token)?)).await
}

/// Tell something about a task: remarks, and artifacts piece by piece.
#[utoipa::path(
    post, path = "/v1/leases/{task}/events", tag = "leases", operation_id = "note_lease",
    params(("task" = String, Path, description = "The task",
        pattern = "^[0-7][0-9a-hjkmnp-tv-z]{25}$", example = "06bm0d7t5g7r8tq8b1k3s0w9ze")),
    request_body = NotesPost,
    responses(
        (status = 200, description = "The notes are durable at the task's home", body = Standing),
        Always, Body, Absent, Conflict,
    ),
)]
async fn notes(
    State(front): State<Front>,
    Segment(task): Segment,
    _: Params<NoParams>,
    body::Json(post): body::Json<NotesPost>,
) -> Result<Json<Standing>, Declined> {
    notes_of(&front, &task, post).await.map(Json)
}

/// Tells something about a task.
pub(crate) async fn notes_of(
    front: &Front,
    task: &str,
    post: NotesPost,
) -> Result<Standing, Declined> {
    let claim = claim(task, &post.token)?;
    let first = post.first;
    let notes = decode_notes(post).map_err(|err| err.problem(Stood::Inside))?;
    at_home(front, AtHome::Note { claim, first, notes }).await
}

fn decode_notes(post: NotesPost) -> Result<Vec<Note>, Invalid> {
    if !(1..=SAFE_MAX).contains(&post.first) {
        return Err(Invalid::new("first", format!("use a whole number from 1 to {SAFE_MAX}")));
    }
    if !(1..=LIMIT_MAX).contains(&post.notes.len()) {
        return Err(Invalid::new("notes", format!("give 1 to {LIMIT_MAX} notes")));
    }
    let notes = post.notes.into_iter().enumerate();
    notes.map(|(at, note)| decode_note(&format!("notes[{at}]"), note)).collect()
}

fn decode_note(field: &str, note: NotePost) -> Result<Note, Invalid> {
    match (note.status, note.artifact, note.checkpoint) {
        (Some(StatusNote::Text(text)), None, None) => {
            Ok(Note::Status(keep(&Message::new(Role::Agent, vec![Part::text(text)]))))
        }
        (Some(StatusNote::Message(message)), None, None) => {
            check_message(&format!("{field}.status"), &message)?;
            Ok(Note::Status(keep(&message)))
        }
        (None, Some(artifact), None) => decode_artifact(&format!("{field}.artifact"), artifact),
        (None, None, Some(CheckpointNote { key, value })) => {
            let key = names::label(&format!("{field}.checkpoint.key"), &key)?;
            Ok(Note::Checkpoint(photon_region::Checkpoint { key, value: keep(&value) }))
        }
        (None, None, None)
        | (Some(_), Some(_), _)
        | (Some(_), _, Some(_))
        | (_, Some(_), Some(_)) => {
            Err(Invalid::new(field, "give exactly one of `status`, `artifact` and `checkpoint`"))
        }
    }
}

fn decode_artifact(field: &str, note: ArtifactNote) -> Result<Note, Invalid> {
    let artifact = names::label(&format!("{field}.id"), &note.id)?;
    let parts = match (note.text, note.parts) {
        (Some(text), None) => vec![Part::text(text)],
        (None, Some(parts)) => {
            check_parts(&format!("{field}.parts"), &parts)?;
            parts
        }
        (None, None) | (Some(_), Some(_)) => {
            return Err(Invalid::new(field, "give exactly one of `text` and `parts`"));
        }
    };
    let name = note.name.map(Into::into);
    let (append, last) = (note.append, note.last);
    Ok(Note::Artifact(Chunk { artifact, name, append, last, parts: keep(&parts) }))
}

/// Finish a task: done.
#[utoipa::path(
    post, path = "/v1/leases/{task}/complete", tag = "leases", operation_id = "complete_lease",
    params(("task" = String, Path, description = "The task",
        pattern = "^[0-7][0-9a-hjkmnp-tv-z]{25}$", example = "06bm0d7t5g7r8tq8b1k3s0w9ze")),
    request_body = CompletePost,
    responses(
        (status = 200, description = "The task is done, durably at its home", body = Standing),
        Always, Body, Absent, Conflict,
    ),
)]
async fn complete(
    State(front): State<Front>,
    Segment(task): Segment,
    _: Params<NoParams>,
    body::Json(post): body::Json<CompletePost>,
) -> Result<Json<Standing>, Declined> {
    complete_of(&front, &task, post).await.map(Json)
}

/// Finishes a task: done.
pub(crate) async fn complete_of(
    front: &Front,
    task: &str,
    post: CompletePost,
) -> Result<Standing, Declined> {
    let (claim, notes) = (claim(task, &post.token)?, told(post.notes)?);
    let given = Given { text: post.text, message: post.message, parts: None };
    let message = given.check(Role::Agent).map_err(|err| err.problem(Stood::Inside))?;
    let message = message.map(|it| keep(&it));
    at_home(front, AtHome::Finish { claim, notes, outcome: Outcome::Completed, message }).await
}

/// Ask something of the client: the task waits for an answer, and this attempt is over.
///
/// What was told stays. Whoever goes on gets a lease of its own, the same agent if it has room,
/// with the question and the answer in its `turns`.
#[utoipa::path(
    post, path = "/v1/leases/{task}/pause", tag = "leases", operation_id = "pause_lease",
    params(("task" = String, Path, description = "The task",
        pattern = "^[0-7][0-9a-hjkmnp-tv-z]{25}$", example = "06bm0d7t5g7r8tq8b1k3s0w9ze")),
    request_body = PausePost,
    responses(
        (status = 200, description = "The task waits, durably at its home", body = Standing),
        Always, Body, Absent, Conflict,
    ),
)]
async fn pause(
    State(front): State<Front>,
    Segment(task): Segment,
    _: Params<NoParams>,
    body::Json(post): body::Json<PausePost>,
) -> Result<Json<Standing>, Declined> {
    pause_of(&front, &task, post).await.map(Json)
}

/// Asks something of the client.
pub(crate) async fn pause_of(
    front: &Front,
    task: &str,
    post: PausePost,
) -> Result<Standing, Declined> {
    let (claim, notes) = (claim(task, &post.token)?, told(post.notes)?);
    let why = match post.what_for {
        PauseFor::Input => Pause::Input,
        PauseFor::Auth => Pause::Auth,
    };
    let given = Given { text: post.text, message: post.message, parts: None };
    let message = given.check(Role::Agent).map_err(|err| err.problem(Stood::Inside))?;
    let message = message.map(|it| keep(&it));
    at_home(front, AtHome::Pause { claim, notes, why, message }).await
}

/// Finish an attempt: it failed, or the task is refused.
///
/// A task with a `retry_policy` is tried again, and is `submitted` then, or `working` already.
#[utoipa::path(
    post, path = "/v1/leases/{task}/fail", tag = "leases", operation_id = "fail_lease",
    params(("task" = String, Path, description = "The task",
        pattern = "^[0-7][0-9a-hjkmnp-tv-z]{25}$", example = "06bm0d7t5g7r8tq8b1k3s0w9ze")),
    request_body = FailPost,
    responses(
        (status = 200, description = "The attempt has ended, durably at its home", body = Standing),
        Always, Body, Absent, Conflict,
    ),
)]
async fn fail(
    State(front): State<Front>,
    Segment(task): Segment,
    _: Params<NoParams>,
    body::Json(post): body::Json<FailPost>,
) -> Result<Json<Standing>, Declined> {
    fail_of(&front, &task, post).await.map(Json)
}

/// Finishes an attempt that failed.
pub(crate) async fn fail_of(
    front: &Front,
    task: &str,
    post: FailPost,
) -> Result<Standing, Declined> {
    let (claim, notes) = (claim(task, &post.token)?, told(post.notes)?);
    let message = Some(keep(&Message::new(Role::Agent, vec![Part::text(post.reason)])));
    let asked = match (post.rejected, post.non_retryable) {
        (true, _) => AtHome::Finish { claim, notes, outcome: Outcome::Rejected, message },
        (false, true) => AtHome::Finish { claim, notes, outcome: Outcome::Failed, message },
        (false, false) => AtHome::Fail { claim, notes, message },
    };
    at_home(front, asked).await
}

fn claim(task: &str, token: &str) -> Result<Claim, Declined> {
    let task = names::task_id("task", task).map_err(|err| err.problem(Stood::Outside))?;
    let token =
        names::number("token", token, 0..=TOKEN_MAX).map_err(|err| err.problem(Stood::Inside))?;
    Ok(Claim { task, token: Token(token) })
}

/// Checks how many notes a worker says that it has told.
fn told(notes: Option<u64>) -> Result<Option<u64>, Declined> {
    if notes.is_some_and(|it| SAFE_MAX < it) {
        let wrong = Invalid::new("notes", format!("use a whole number up to {SAFE_MAX}"));
        return Err(wrong.problem(Stood::Inside));
    }
    Ok(notes)
}

async fn at_home(front: &Front, asked: AtHome) -> Result<Standing, Declined> {
    let reply = front.submit(Command::AtHome(asked)).await?;
    let Json(standing) = standing(&reply);
    Ok(standing)
}
