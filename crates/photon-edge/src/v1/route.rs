//! `/v1/route`: who would be given a task, and why.
//! Must not weigh anything: the region does.

use axum::Json;
use axum::extract::State;
use photon_region::{Candidate, Command, Points, Reply, Standing, Target, Weights};
use photon_state::PlacementId;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::errors::{Always, Body, Misdirected};
use super::types::{Route, RouteCandidate, RoutePoints, RouteStanding, RouteWeights, TaskOptions};
use crate::Front;
use crate::body::Params;
use crate::names::{self, Invalid};
use crate::options;
use crate::page;
use crate::problem::{Declined, Stood};

pub(super) fn router() -> OpenApiRouter<Front> {
    OpenApiRouter::default().routes(routes!(explain))
}

/// What the task would ask for: a skill, or an agent.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RouteParams {
    /// Any agent with this skill.
    #[param(pattern = "^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$", required = false, nullable = false)]
    skill: Option<String>,
    /// This agent.
    #[param(pattern = "^[a-z0-9][a-z0-9._-]{0,62}$", required = false, nullable = false)]
    agent: Option<String>,
    /// Where the task may be; `global` when absent.
    #[param(pattern = "^[a-z][a-z0-9-]{0,22}$", required = false, nullable = false)]
    placement: Option<String>,
    /// Skills that the agent must have, too, with commas between them.
    #[param(
        pattern = "^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}(,[A-Za-z0-9][A-Za-z0-9._/-]{0,127}){0,15}$",
        required = false,
        nullable = false
    )]
    required_skills: Option<String>,
    /// Regions of which the agent must be attached to one, with commas between them.
    #[param(
        pattern = "^[a-z][a-z0-9-]{0,22}(,[a-z][a-z0-9-]{0,22}){0,63}$",
        required = false,
        nullable = false
    )]
    regions: Option<String>,
    /// What the agent may ask for a task at the most.
    #[param(value_type = f64, minimum = 0, maximum = 1_000_000, required = false)]
    max_cost: Option<String>,
    /// How many candidates at most; 100 when absent.
    #[param(value_type = u32, minimum = 1, maximum = 1000, required = false)]
    limit: Option<String>,
}

impl RouteParams {
    fn command(&self) -> Result<(PlacementId, Command), Invalid> {
        let target = match (&self.skill, &self.agent) {
            (Some(skill), None) => Target::Skill(names::skill("skill", skill)?),
            (None, Some(agent)) => Target::Agent(names::agent_name("agent", agent)?),
            (None, None) | (Some(_), Some(_)) => {
                return Err(Invalid::new("skill", "give either a `skill` or an `agent`"));
            }
        };
        let placement = match &self.placement {
            Some(it) => names::placement("placement", it)?,
            None => PlacementId::global(),
        };
        let list = |it: &Option<String>| {
            it.as_ref().map(|it| it.split(',').map(str::to_owned).collect::<Vec<_>>())
        };
        let wanted = TaskOptions {
            required_skills: list(&self.required_skills),
            regions: list(&self.regions),
            max_cost: self.max_cost.as_deref().map(amount).transpose()?,
            ..TaskOptions::default()
        };
        let wants = options::wants("", &wanted)?;
        let limit = page::limit(self.limit.as_deref())?;
        Ok((placement, Command::Route { target, placement, wants, limit }))
    }
}

fn amount(text: &str) -> Result<f64, Invalid> {
    let rule = "give a number such as 0.02";
    text.parse().map_err(|_| Invalid::new("max_cost", rule))
}

/// Explain who would be given a task that this region is home of: every candidate, what each term
/// of its score brings, and why it could not be given the task.
#[utoipa::path(
    get, path = "/v1/route", tag = "tasks", operation_id = "explain_route", params(RouteParams),
    responses(
        (status = 200, description = "Who, and why", body = Route), Always, Misdirected, Body,
    ),
)]
async fn explain(
    State(front): State<Front>,
    Params(params): Params<RouteParams>,
) -> Result<Json<Route>, Declined> {
    let (placement, command) = params.command().map_err(|err| err.problem(Stood::Outside))?;
    let Reply::Route(route) = front.submit(command).await? else {
        unreachable!("the region answers `Route` with a route")
    };
    let photon_region::Route { region, weights, chosen, candidates, count } = *route;
    Ok(Json(Route {
        region: region.to_string(),
        placement: placement.to_string(),
        chosen: chosen.map(|it| it.to_string()),
        weights: RouteWeights {
            proximity: weights.proximity,
            capacity: weights.capacity,
            latency: weights.latency,
            cost: weights.cost,
        },
        candidates: candidates.iter().map(|it| candidate(it, weights)).collect(),
        count: count as u64,
    }))
}

fn candidate(it: &Candidate, weights: Weights) -> RouteCandidate {
    let points = |it: Points| f64::from(it.hundredths()) / 100.0;
    let [proximity, capacity, latency, cost] = weights.each(it.grades).map(points);
    RouteCandidate {
        agent: it.agent.to_string(),
        region: it.region.to_string(),
        standing: standing(it.standing),
        score: points(it.score),
        points: RoutePoints { proximity, capacity, latency, cost },
        round_trip_ms: it.round_trip.as_secs_f64() * 1e3,
        in_use: it.in_use,
        capacity: it.capacity,
        success_rate: it.success.map(|it| f64::from(it.get()) / 1e3),
        p95_ms: it.p95_ms,
        cost: it.cost_micros as f64 / 1e6,
    }
}

fn standing(it: Standing) -> RouteStanding {
    match it {
        Standing::Fit => RouteStanding::Fit,
        Standing::PathBad => RouteStanding::PathBad,
        Standing::RegionDegraded => RouteStanding::RegionDegraded,
        Standing::Full => RouteStanding::Full,
        Standing::Resting => RouteStanding::Resting,
        Standing::RegionAway => RouteStanding::RegionAway,
        Standing::Offline => RouteStanding::Offline,
        Standing::RegionOutside => RouteStanding::RegionOutside,
        Standing::LacksSkill => RouteStanding::LacksSkill,
        Standing::RegionUnwanted => RouteStanding::RegionUnwanted,
        Standing::TooDear => RouteStanding::TooDear,
        Standing::Confined => RouteStanding::Confined,
    }
}
