//! `/v1/agents`: who can work, and where.
//! Must not know which agent is chosen for a task.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use photon_region::{AgentName, AgentSpec, Command, Reply, Skill};
use photon_state::PlacementId;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::errors::{Absent, Always, Body, Conflict, Misdirected};
use super::message::keep;
use super::regions::{self, NoParams};
use super::types::{
    Agent, AgentCard, AgentPut, Agents, CAPACITY_MAX, COST_MAX, Object, Raw, SKILLS_MAX,
};
use crate::Front;
use crate::body::{self, Params, Segment};
use crate::liveness::Unheard;
use crate::names::{self, Invalid};
use crate::options;
use crate::page::{self, Page};
use crate::problem::{Declined, Stood};
use crate::time::rfc3339;

pub(super) fn router() -> OpenApiRouter<Front> {
    OpenApiRouter::default().routes(routes!(list)).routes(routes!(show, put, delete))
}

/// Which agents to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// Only those with this skill.
    #[param(pattern = "^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$", required = false, nullable = false)]
    skill: Option<String>,
    /// Only those attached to this region.
    #[param(pattern = "^[a-z][a-z0-9-]{0,22}$", required = false, nullable = false)]
    region: Option<String>,
    /// How many at most; 100 when absent.
    #[param(value_type = u32, minimum = 1, maximum = 1000, required = false)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    #[param(pattern = "^[a-z0-9][a-z0-9._-]{0,62}$", required = false, nullable = false)]
    cursor: Option<String>,
}

/// List agents by name.
#[utoipa::path(
    get, path = "/v1/agents", tag = "agents", operation_id = "list_agents", params(ListParams),
    responses((status = 200, description = "The agents", body = Agents), Always, Absent),
)]
async fn list(
    State(front): State<Front>,
    Params(params): Params<ListParams>,
) -> Result<Json<Agents>, Declined> {
    let region = match &params.region {
        Some(name) => Some(regions::known(&front, "region", name)?.name),
        None => None,
    };
    let command = || {
        let skill = params.skill.as_deref().map(|it| names::skill("skill", it)).transpose()?;
        let after = params.cursor.as_deref().map(|it| names::agent_name("cursor", it));
        let limit = page::limit(params.limit.as_deref())?;
        Ok(Command::Agents { skill, region, after: after.transpose()?, limit })
    };
    let command = command().map_err(|err: Invalid| err.problem(Stood::Outside))?;
    let Reply::Agents { agents, more } = front.submit(command).await? else {
        unreachable!("the region answers `Agents` with agents")
    };
    let unheard = Unheard::of(&front.view());
    let page = Page::filled(agents.iter().map(|it| agent(it, &unheard))).into_items();
    let goes_on = more || page.len() < agents.len();
    let next_cursor = page.last().map(|it| it.name.clone()).filter(|_| goes_on);
    Ok(Json(Agents { agents: page, next_cursor }))
}

/// Show an agent.
#[utoipa::path(
    get, path = "/v1/agents/{name}", tag = "agents", operation_id = "get_agent",
    params(("name" = String, Path, description = "The agent",
        pattern = "^[a-z0-9][a-z0-9._-]{0,62}$", example = "shout")),
    responses((status = 200, description = "The agent", body = Agent), Always, Absent),
)]
async fn show(
    State(front): State<Front>,
    Segment(name): Segment,
    _: Params<NoParams>,
) -> Result<Json<Agent>, Declined> {
    agent_reply(&front, front.submit(Command::Agent(parse_name(&name)?)).await?)
}

/// Announce an agent that is attached to this region, or change it.
#[utoipa::path(
    put, path = "/v1/agents/{name}", tag = "agents", operation_id = "put_agent",
    params(("name" = String, Path, description = "The agent",
        pattern = "^[a-z0-9][a-z0-9._-]{0,62}$", example = "shout")),
    request_body = AgentPut,
    responses(
        (status = 200, description = "The agent as it is announced", body = Agent),
        Always, Body, Conflict, Misdirected,
    ),
)]
async fn put(
    State(front): State<Front>,
    Segment(name): Segment,
    _: Params<NoParams>,
    body::Json(asked): body::Json<AgentPut>,
) -> Result<Json<Agent>, Declined> {
    register(&front, &name, asked).await
}

/// Announces an agent, or changes it.
pub(crate) async fn register(
    front: &Front,
    name: &str,
    asked: AgentPut,
) -> Result<Json<Agent>, Declined> {
    let name = parse_name(name)?;
    let spec = decode(front, name, asked).map_err(|err| err.problem(Stood::Inside))?;
    agent_reply(front, front.submit(Command::Register(spec)).await?)
}

/// Forget an agent.
#[utoipa::path(
    delete, path = "/v1/agents/{name}", tag = "agents", operation_id = "delete_agent",
    params(("name" = String, Path, description = "The agent",
        pattern = "^[a-z0-9][a-z0-9._-]{0,62}$", example = "shout")),
    responses((status = 204, description = "It is forgotten"), Always, Absent, Conflict),
)]
async fn delete(
    State(front): State<Front>,
    Segment(name): Segment,
    _: Params<NoParams>,
) -> Result<StatusCode, Declined> {
    front.submit(Command::Deregister(parse_name(&name)?)).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn parse_name(text: &str) -> Result<AgentName, Declined> {
    names::agent_name("name", text).map_err(|err| err.problem(Stood::Outside))
}

fn agent_reply(front: &Front, reply: Reply) -> Result<Json<Agent>, Declined> {
    let Reply::Agent(it) = reply else { unreachable!("the region answers with the agent") };
    Ok(Json(agent(&it, &Unheard::of(&front.view()))))
}

fn decode(front: &Front, name: AgentName, asked: AgentPut) -> Result<AgentSpec, Invalid> {
    if !(1..=SKILLS_MAX).contains(&asked.skills.len()) {
        return Err(Invalid::new("skills", format!("give 1 to {SKILLS_MAX} skills")));
    }
    let skills = asked.skills.iter().enumerate();
    let skills: BTreeSet<Skill> = skills
        .map(|(at, it)| names::skill(&format!("skills[{at}]"), it))
        .collect::<Result<_, _>>()?;
    if !(1..=CAPACITY_MAX).contains(&asked.capacity) {
        let rule = format!("use a whole number from 1 to {CAPACITY_MAX}");
        return Err(Invalid::new("capacity", rule));
    }
    let placement = match asked.placement.as_deref() {
        Some(text) => names::placement("placement", text)?,
        None => PlacementId::global(),
    };
    let card = match asked.card {
        Some(card) => {
            check_card(&card)?;
            photon_region::Json(card.as_str().to_owned().into())
        }
        None => plain_card(front, &name, &skills, asked.description.as_deref()),
    };
    let cost_micros = options::micros(asked.cost)
        .ok_or_else(|| Invalid::new("cost", format!("give a number from 0 to {COST_MAX}")))?;
    Ok(AgentSpec { name, skills, capacity: asked.capacity, cost_micros, card, placement })
}

/// Checks that a card is what A2A takes for one, once what each region puts there is there.
fn check_card(card: &Raw<AgentCard>) -> Result<(), Invalid> {
    let mut reader = serde_json::Deserializer::from_str(card.as_str());
    serde_path_to_error::deserialize::<_, Object<AgentCard>>(&mut reader).map_err(|err| {
        let path = err.path().to_string();
        let field = if path == "." { "card".to_owned() } else { format!("card.{path}") };
        Invalid::new(field, err.into_inner().to_string())
    })?;
    // What is not named above was passed over there, and need not be what can be read.
    let mut card: Value =
        serde_json::from_str(card.as_str()).map_err(|err| Invalid::new("card", err.to_string()))?;
    for (key, value) in
        [("version", json!("")), ("supportedInterfaces", json!([])), ("capabilities", json!({}))]
    {
        let slot = &mut card[key];
        if slot.is_null() {
            *slot = value;
        }
    }
    serde_json::from_value::<a2a::AgentCard>(card)
        .map(|_| ())
        .map_err(|err| Invalid::new("card", err.to_string()))
}

/// Makes the card of an agent that brought none.
fn plain_card(
    front: &Front,
    name: &AgentName,
    skills: &BTreeSet<Skill>,
    description: Option<&str>,
) -> photon_region::Json {
    let api = front.region_info(front.region()).map_or("", |it| it.api.trim_end_matches('/'));
    let skill = |it: &Skill| {
        let it = &**it;
        json!({"id": it, "name": it, "description": it, "tags": []})
    };
    let interface = |binding: &str| {
        let url = format!("{api}/agents/{name}");
        json!({"url": url, "protocolBinding": binding, "protocolVersion": a2a::VERSION})
    };
    let interfaces = ["JSONRPC", "HTTP+JSON"].map(interface);
    keep(&json!({
        "name": **name,
        "description": description.unwrap_or_default(),
        "version": "1.0.0",
        "supportedInterfaces": interfaces,
        "capabilities": {"streaming": true, "pushNotifications": true},
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": skills.iter().map(skill).collect::<Vec<_>>(),
    }))
}

fn agent(it: &photon_region::Agent, unheard: &Unheard) -> Agent {
    Agent {
        name: it.spec.name.to_string(),
        region: it.region.to_string(),
        status: unheard.status(it),
        in_use: it.in_use,
        capacity: it.spec.capacity,
        cost: it.spec.cost_micros as f64 / 1e6,
        skills: it.spec.skills.iter().map(ToString::to_string).collect(),
        placement: it.spec.placement.to_string(),
        card: Raw::from_kept(&it.spec.card),
        registered_at: rfc3339(it.at),
    }
}
