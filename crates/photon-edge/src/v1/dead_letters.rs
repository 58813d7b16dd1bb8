//! `/v1/dead-letters`: tasks that failed, and how they are asked for again.
//! Must not know why they failed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use photon_region::{
    AtHome, Command, Refusal, Reply, Spec, Target, TaskFilter, TaskState, Terms, redriven,
};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::errors::{Absent, Always, Body, Conflict, Misdirected};
use super::regions::NoParams;
use super::tasks::{encode, page_of, parse_id};
use super::types::{Problem, Task, Tasks};
use crate::body::{Params, Segment};
use crate::names::{self, Invalid};
use crate::page;
use crate::problem::{Declined, Kind, Stood};
use crate::{Failure, Front};

pub(super) fn router() -> OpenApiRouter<Front> {
    OpenApiRouter::default().routes(routes!(list)).routes(routes!(redrive))
}

/// Which dead letters to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// Only those asked of whoever has this skill.
    #[param(pattern = "^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$", required = false, nullable = false)]
    skill: Option<String>,
    /// Only those asked of, or done by, this agent.
    #[param(pattern = "^[a-z0-9][a-z0-9._-]{0,62}$", required = false, nullable = false)]
    agent: Option<String>,
    /// Only those of this conversation.
    #[param(pattern = "^[!-~]{1,128}$", required = false, nullable = false)]
    context_id: Option<String>,
    /// How many at most; 100 when absent.
    #[param(value_type = u32, minimum = 1, maximum = 1000, required = false)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    #[param(pattern = "^[0-7][0-9a-hjkmnp-tv-z]{25}$", required = false, nullable = false)]
    cursor: Option<String>,
}

impl ListParams {
    fn command(&self) -> Result<Command, Invalid> {
        let skill = self.skill.as_deref().map(|it| names::skill("skill", it));
        let agent = self.agent.as_deref().map(|it| names::agent_name("agent", it));
        let context = self.context_id.as_deref().map(|it| names::label("context_id", it));
        let before = self.cursor.as_deref().map(|it| names::task_id("cursor", it));
        let filter = TaskFilter {
            state: None,
            context: context.transpose()?,
            agent: agent.transpose()?,
            skill: skill.transpose()?,
            is_dead: true,
        };
        let limit = page::limit(self.limit.as_deref())?;
        Ok(Command::Tasks { filter, before: before.transpose()?, limit })
    }
}

/// List the tasks that failed and were not asked for again, the youngest first.
///
/// They are kept as long as other tasks that have ended (`tasks.retention`).
#[utoipa::path(
    get, path = "/v1/dead-letters", tag = "tasks", operation_id = "list_dead_letters",
    params(ListParams),
    responses((status = 200, description = "The tasks", body = Tasks), Always),
)]
async fn list(
    State(front): State<Front>,
    Params(params): Params<ListParams>,
) -> Result<Json<Tasks>, Declined> {
    let command = params.command().map_err(|err| err.problem(Stood::Outside))?;
    Ok(Json(page_of(front.submit(command).await?)))
}

/// Ask again for what a task asked for that failed: a new task, with the same message and options.
///
/// However often it is said, there is one new task. If that fails it is a dead letter itself.
#[utoipa::path(
    post, path = "/v1/dead-letters/{id}/redrive", tag = "tasks", operation_id = "redrive_task",
    params(("id" = String, Path, description = "The task that failed",
        pattern = "^[0-7][0-9a-hjkmnp-tv-z]{25}$", example = "06bm0d7t5g7r8tq8b1k3s0w9ze")),
    responses(
        (status = 200, description = "The new task is accepted, durably, now or before",
            body = Task, headers(("Location" = String, description = "Where the new task is"))),
        Always, Body, Absent, Conflict, Misdirected,
    ),
)]
async fn redrive(
    State(front): State<Front>,
    Segment(id): Segment,
    _: Params<NoParams>,
) -> Result<Response, Declined> {
    let id = parse_id(&id)?;
    let Reply::Task(detail) = front.submit(Command::Task(id)).await? else {
        unreachable!("the region answers `Task` with the task")
    };
    let state = detail.summary.state;
    if state != TaskState::Failed {
        let (task, state) = (Some(id.to_string()), Some(state.as_str().to_owned()));
        let detail = "only a task that failed can be redriven; see its state";
        return Err(Problem { task, state, ..Kind::NotDead.problem(detail) }.into());
    }
    let (mut spec, task) = (detail.summary.spec, redriven(id, detail.summary.changed));
    // What it was a part of has ended without it.
    spec.terms = spec.terms.map(|it| Arc::new(Terms { part_of: None, ..(*it).clone() }));
    let ask = AtHome::Submit { task, spec: Box::new(Spec { idempotency: None, ..spec.clone() }) };
    match front.submit(Command::AtHome(ask)).await {
        Ok(_) => {}
        Err(
            failure @ Failure::Refused(Refusal::NoSuchTask(_) | Refusal::HomeUnreachable { .. }),
        ) => {
            return Err(explain(&front, &spec, failure).await);
        }
        Err(failure) => return Err(failure.into()),
    }
    let Reply::Task(shown) = front.submit(Command::Task(task)).await? else {
        unreachable!("the region answers `Task` with the task")
    };
    let location = [(LOCATION, format!("/v1/tasks/{task}"))];
    Ok((location, Json(encode(shown.summary))).into_response())
}

/// Returns why the home of a task that failed does not accept it again: it says no more than that
/// it does not.
async fn explain(front: &Front, spec: &Spec, failure: Failure) -> Declined {
    if let Some(members) = front.planet().placements.get(&spec.placement)
        && !members.contains(&front.region())
    {
        let (region, placement, members) = (front.region(), spec.placement, members.clone());
        return Refusal::OutsidePlacement { region, placement, members }.into();
    }
    let command = match &spec.target {
        Target::Agent(name) => Command::Agent(name.clone()),
        Target::Skill(skill) => {
            let (skill, region, after) = (Some(skill.clone()), None, None);
            Command::Agents { skill, region, after, limit: 1 }
        }
    };
    match (front.submit(command).await, &spec.target) {
        (Err(why), _) => why.into(),
        (Ok(Reply::Agents { agents, .. }), Target::Skill(skill)) if agents.is_empty() => {
            Refusal::NoSuchSkill(skill.clone()).into()
        }
        (Ok(_), _) => failure.into(),
    }
}
