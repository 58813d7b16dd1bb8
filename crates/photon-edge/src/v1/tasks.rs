//! `/v1/tasks`: submit, show, list, call off.
//! Must not know how a task comes by its state.

use axum::Json;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use photon_region::{
    Ack, AtHome, Command, Idempotency, Reply, Spec, Target, TaskDetail, TaskFilter, TaskId,
    TaskSummary,
};
use photon_state::PlacementId;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::errors::{Absent, Always, Body, Conflict, Misdirected};
use super::message::{Given, keep};
use super::regions::NoParams;
use super::types::{
    AnswerPost, Artifact, CancelPost, Message, Part, Raw, Role, Standing, Task, TaskAck,
    TaskOptions, TaskPost, TaskState, Tasks, Worker,
};
use crate::Front;
use crate::body::{self, Params, Segment};
use crate::ids::answer_name;
use crate::ids::new_uuid;
use crate::names::{self, Invalid};
use crate::options;
use crate::page::{self, Page};
use crate::prefer::{APPLIED_MINIMAL, Prefer, Wanted};
use crate::problem::{Declined, Stood};
use crate::time::rfc3339;

pub(super) fn router() -> OpenApiRouter<Front> {
    OpenApiRouter::default()
        .routes(routes!(list, submit))
        .routes(routes!(show))
        .routes(routes!(cancel))
        .routes(routes!(answer))
}

/// Submit a task to this region, which becomes its home.
#[utoipa::path(
    post, path = "/v1/tasks", tag = "tasks", operation_id = "submit_task",
    params(("Idempotency-Key" = Option<String>, Header, nullable = false,
        description = "Makes repeating the request harmless: 1 to 255 visible ASCII characters",
        pattern = "^[!-~]{1,255}$"),
        ("Prefer" = Option<String>, Header, nullable = false,
        description = "`return=minimal` (RFC 7240): where the task is will do, without the task",
        example = "return=minimal")),
    request_body = TaskPost,
    responses(
        (status = 201, description = "The task is accepted, durably", body = Task,
            headers(("Location" = String, description = "Where the task is"))),
        (status = 200, description = "The task had been accepted earlier, under the same key",
            body = Task, headers(("Location" = String, description = "Where the task is"))),
        (status = 204, description = "Either of both, to a client that prefers `return=minimal`",
            headers(("Location" = String, description = "Where the task is"),
                ("Preference-Applied" = String, description = "Says so"))),
        Always, Body, Absent, Conflict, Misdirected,
    ),
)]
async fn submit(
    State(front): State<Front>,
    headers: HeaderMap,
    _: Params<NoParams>,
    body::Json(post): body::Json<TaskPost>,
) -> Result<Response, Declined> {
    let key = idempotency_key(&headers).map_err(|err| err.problem(Stood::Outside))?;
    let spec = decode(key, post).map_err(|err| err.problem(Stood::Inside))?;
    let Reply::Submitted { task, repeated } = front.submit(Command::Submit(spec)).await? else {
        unreachable!("the region answers `Submit` with the task")
    };
    let location = [(LOCATION, format!("/v1/tasks/{}", task.id))];
    if Prefer::of(&headers).wanted == Some(Wanted::Minimal) {
        return Ok((StatusCode::NO_CONTENT, location, APPLIED_MINIMAL).into_response());
    }
    let status = if repeated { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, location, Json(encode(task))).into_response())
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<std::sync::Arc<str>>, Invalid> {
    let name = HeaderName::from_static("idempotency-key");
    let text = body::header(headers, &name)?;
    text.map(|it| names::idempotency_key(name.as_str(), it)).transpose()
}

fn decode(key: Option<std::sync::Arc<str>>, post: TaskPost) -> Result<Spec, Invalid> {
    // The digest is of what the client said: names that are made up here are not part of it.
    let idempotency = key.map(|key| Idempotency { key, digest: digest(&post) });
    let target = match (&post.skill, &post.agent) {
        (Some(skill), None) => Target::Skill(names::skill("skill", skill)?),
        (None, Some(agent)) => Target::Agent(names::agent_name("agent", agent)?),
        (None, None) => {
            return Err(Invalid::new("skill", "say of whom it is asked: give `skill` or `agent`"));
        }
        (Some(_), Some(_)) => {
            return Err(Invalid::new("agent", "give only one of `skill` and `agent`"));
        }
    };
    let placement = match &post.placement {
        Some(text) => names::placement("placement", text)?,
        None => PlacementId::global(),
    };
    let given = Given { text: post.text, parts: post.parts, message: post.message };
    let Some(mut message) = given.check(Role::User)? else {
        return Err(Invalid::new("text", "say what is asked: give `text`, `parts` or `message`"));
    };
    let context = match post.context_id.as_ref().or(message.context_id.as_ref()) {
        Some(text) => names::label("context_id", text)?,
        None => new_uuid().into(),
    };
    message.context_id = Some(context.to_string());
    message.task_id = None;
    let ack = ack(post.ack);
    let terms = post.options.map(|it| options::terms("options", &it)).transpose()?;
    let (message, terms) = (keep(&message), terms.flatten());
    Ok(Spec { target, placement, message, context, idempotency, ack, terms })
}

/// Returns when something is acknowledged.
pub(super) fn ack(asked: Option<TaskAck>) -> Ack {
    match asked {
        None | Some(TaskAck::Region) => Ack::Region,
        Some(TaskAck::Quorum) => Ack::Quorum,
    }
}

fn digest(post: &TaskPost) -> [u8; 16] {
    let digest: [u8; 32] = Sha256::digest(&keep(post).0).into();
    *digest.first_chunk().expect("32 bytes begin with 16")
}

/// Which tasks to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// Only those in this state.
    #[param(inline, required = false, nullable = false)]
    state: Option<TaskState>,
    /// Only those of this conversation.
    #[param(pattern = "^[!-~]{1,128}$", required = false, nullable = false)]
    context_id: Option<String>,
    /// Only those asked of, or done by, this agent.
    #[param(pattern = "^[a-z0-9][a-z0-9._-]{0,62}$", required = false, nullable = false)]
    agent: Option<String>,
    /// How many at most; 100 when absent.
    #[param(value_type = u32, minimum = 1, maximum = 1000, required = false)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    #[param(pattern = "^[0-7][0-9a-hjkmnp-tv-z]{25}$", required = false, nullable = false)]
    cursor: Option<String>,
}

impl ListParams {
    fn command(&self) -> Result<Command, Invalid> {
        let context = self.context_id.as_deref().map(|it| names::label("context_id", it));
        let agent = self.agent.as_deref().map(|it| names::agent_name("agent", it));
        let before = self.cursor.as_deref().map(|it| names::task_id("cursor", it));
        let filter = TaskFilter {
            state: self.state.map(Into::into),
            context: context.transpose()?,
            agent: agent.transpose()?,
            ..TaskFilter::default()
        };
        let limit = page::limit(self.limit.as_deref())?;
        Ok(Command::Tasks { filter, before: before.transpose()?, limit })
    }
}

/// List tasks, the youngest first.
#[utoipa::path(
    get, path = "/v1/tasks", tag = "tasks", operation_id = "list_tasks", params(ListParams),
    responses((status = 200, description = "The tasks", body = Tasks), Always),
)]
async fn list(
    State(front): State<Front>,
    Params(params): Params<ListParams>,
) -> Result<Json<Tasks>, Declined> {
    let command = params.command().map_err(|err| err.problem(Stood::Outside))?;
    Ok(Json(page_of(front.submit(command).await?)))
}

/// Encodes a list of tasks, as many as one reply holds.
pub(super) fn page_of(reply: Reply) -> Tasks {
    let Reply::Tasks { tasks, more } = reply else {
        unreachable!("the region answers `Tasks` with tasks")
    };
    let found = tasks.len();
    let page = Page::filled(tasks.into_iter().map(encode)).into_items();
    let goes_on = more || page.len() < found;
    let next_cursor = page.last().map(|it| it.id.clone()).filter(|_| goes_on);
    Tasks { tasks: page, next_cursor }
}

/// Show a task with its artifacts.
#[utoipa::path(
    get, path = "/v1/tasks/{id}", tag = "tasks", operation_id = "get_task",
    params(("id" = String, Path, description = "The task",
        pattern = "^[0-7][0-9a-hjkmnp-tv-z]{25}$", example = "06bm0d7t5g7r8tq8b1k3s0w9ze")),
    responses((status = 200, description = "The task", body = Task), Always, Absent),
)]
async fn show(
    State(front): State<Front>,
    Segment(id): Segment,
    _: Params<NoParams>,
) -> Result<Json<Task>, Declined> {
    let Reply::Task(detail) = front.submit(Command::Task(parse_id(&id)?)).await? else {
        unreachable!("the region answers `Task` with the task")
    };
    Ok(Json(encode_detail(*detail)))
}

/// Call a task off.
#[utoipa::path(
    post, path = "/v1/tasks/{id}/cancel", tag = "tasks", operation_id = "cancel_task",
    params(("id" = String, Path, description = "The task",
        pattern = "^[0-7][0-9a-hjkmnp-tv-z]{25}$", example = "06bm0d7t5g7r8tq8b1k3s0w9ze")),
    request_body = Option<CancelPost>,
    responses(
        (status = 200, description = "The task is called off, durably", body = Standing),
        Always, Body, Absent, Conflict,
    ),
)]
async fn cancel(
    State(front): State<Front>,
    Segment(id): Segment,
    _: Params<NoParams>,
    body::JsonOrNothing(post): body::JsonOrNothing<CancelPost>,
) -> Result<Json<Standing>, Declined> {
    let task = parse_id(&id)?;
    let message = post.reason.map(|it| keep(&Message::new(Role::User, vec![Part::text(it)])));
    let reply = front.submit(Command::AtHome(AtHome::Cancel { task, message })).await?;
    Ok(standing(&reply))
}

/// Answer what a worker asked: the task is `input_required` or `auth_required`.
///
/// To send the same message again changes nothing: give it a `messageId`, or an `Idempotency-Key`.
/// The same key with another message is refused.
#[utoipa::path(
    post, path = "/v1/tasks/{id}/messages", tag = "tasks", operation_id = "answer_task",
    params(
        ("id" = String, Path, description = "The task",
            pattern = "^[0-7][0-9a-hjkmnp-tv-z]{25}$", example = "06bm0d7t5g7r8tq8b1k3s0w9ze"),
        ("Idempotency-Key" = Option<String>, Header, nullable = false,
            description = "Names the answer instead of its `messageId`"),
    ),
    request_body = AnswerPost,
    responses(
        (status = 200, description = "The task goes on, durably", body = Standing),
        Always, Body, Absent, Conflict,
    ),
)]
async fn answer(
    State(front): State<Front>,
    headers: HeaderMap,
    Segment(id): Segment,
    _: Params<NoParams>,
    body::Json(post): body::Json<AnswerPost>,
) -> Result<Json<Standing>, Declined> {
    let task = parse_id(&id)?;
    let key = idempotency_key(&headers).map_err(|err| err.problem(Stood::Outside))?;
    let is_named = post.message.is_some();
    let given = Given { text: post.text, parts: post.parts, message: post.message };
    let message = given.check(Role::User).and_then(|message| {
        let help = "say what the answer is: give `text`, `parts` or `message`";
        message.ok_or_else(|| Invalid::new("text", help))
    });
    let mut message = message.map_err(|err| err.problem(Stood::Inside))?;
    if let Some(key) = key.as_deref().filter(|_| !is_named) {
        key.clone_into(&mut message.message_id); // The same each time.
    }
    let (message, asked) = (keep(&message), post.generation);
    let name = answer_name(key.as_deref(), &message);
    let answer = AtHome::Answer { task, name, message, asked };
    Ok(standing(&front.submit(Command::AtHome(answer)).await?))
}

/// Parses the name of a task in a path.
pub(super) fn parse_id(text: &str) -> Result<TaskId, Declined> {
    names::task_id("id", text).map_err(|err| err.problem(Stood::Outside))
}

/// Encodes where a task stands.
pub(super) fn standing(reply: &Reply) -> Json<Standing> {
    let Reply::Standing { state, generation } = reply else {
        unreachable!("the region answers `AtHome` with the task's standing")
    };
    Json(Standing { state: (*state).into(), generation: *generation })
}

/// Splits a target into the fields `skill` and `agent`.
pub(super) fn target(target: &Target) -> (Option<String>, Option<String>) {
    match target {
        Target::Skill(skill) => (Some(skill.to_string()), None),
        Target::Agent(agent) => (None, Some(agent.to_string())),
    }
}

pub(super) fn encode(task: TaskSummary) -> Task {
    let (skill, agent) = target(&task.spec.target);
    let terms = task.spec.terms.as_deref();
    let worker = task
        .worker
        .map(|(agent, region)| Worker { agent: agent.to_string(), region: region.to_string() });
    Task {
        id: task.id.to_string(),
        state: task.state.into(),
        skill,
        agent,
        placement: task.spec.placement.to_string(),
        context_id: task.spec.context.to_string(),
        home: task.home.to_string(),
        generation: task.generation,
        attempt: task.attempt,
        worker,
        created_at: rfc3339(task.created),
        changed_at: rfc3339(task.changed),
        options: terms.map(options::show).filter(|it| *it != TaskOptions::default()),
        part_of: terms.and_then(|it| it.part_of).map(|it| it.to_string()),
        message: Raw::from_kept(&task.spec.message),
        turns: None,
        last_message: None,
        artifacts: None,
        staleness_ms: None,
    }
}

/// Returns a time in whole milliseconds.
pub(super) fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn encode_detail(detail: TaskDetail) -> Task {
    let artifacts = detail.artifacts.iter().map(|it| Artifact {
        id: it.id.to_string(),
        name: it.name.as_ref().map(ToString::to_string),
        parts: join(&it.parts),
        is_whole: it.is_whole,
    });
    let turns: Vec<_> = detail.turns.iter().map(Raw::from_kept).collect();
    Task {
        turns: Some(turns).filter(|it| !it.is_empty()),
        last_message: detail.message.as_ref().map(Raw::from_kept),
        artifacts: Some(artifacts.collect()),
        staleness_ms: detail.staleness.map(millis),
        ..encode(detail.summary)
    }
}

/// Makes one JSON array of several.
fn join(arrays: &[photon_region::Json]) -> Raw<Vec<Part>> {
    let items = arrays.iter().filter_map(|it| {
        let text = std::str::from_utf8(&it.0).ok()?.trim();
        let items = text.strip_prefix('[')?.strip_suffix(']')?.trim();
        (!items.is_empty()).then_some(items)
    });
    let joined = format!("[{}]", items.collect::<Vec<_>>().join(","));
    Raw::from_json(RawValue::from_string(joined).unwrap_or_else(|err| {
        tracing::error!(%err, "the region keeps what is not json");
        RawValue::from_string("[]".to_owned()).expect("a constant that parses")
    }))
}
