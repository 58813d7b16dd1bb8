//! The tools: what they are called and take, and what of `/v1` each asks.
//! Must not know the wire of MCP.

use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{JsonObject, Tool};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::api::{Api, Ask, escaped};
use super::schema::schema;
use crate::problem::Kind;
use crate::v1::types::{Problem, TaskAck, TaskOptions};
use crate::{Front, ard};

/// The longest that a tool waits for a task, and how long when nothing is said.
const WAIT_MS_MAX: u64 = 60_000;
const WAIT_MS: u64 = 30_000;

/// The longest poll of `/v1`.
const POLL_MS_MAX: u64 = 20_000;

/// How many agents are told at the most that fit a text.
const FITTING_MAX: usize = 100;

/// What a tool was asked, understood.
#[derive(Debug)]
pub(super) enum Called {
    ListRegions,
    SearchAgents(SearchAgents),
    SendTask(Box<SendTask>),
    GetTask(GetTask),
    AnswerTask(AnswerTask),
    CancelTask(CancelTask),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SearchAgents {
    skill: Option<String>,
    text: Option<String>,
    region: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SendTask {
    skill: Option<String>,
    agent: Option<String>,
    text: String,
    context_id: Option<String>,
    placement: Option<String>,
    ack: Option<TaskAck>,
    region: Option<String>,
    options: Option<TaskOptions>,
    idempotency_key: Option<String>,
    wait_ms: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GetTask {
    id: String,
    wait_ms: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AnswerTask {
    id: String,
    text: String,
    generation: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CancelTask {
    id: String,
    reason: Option<String>,
}

/// Returns all tools. The first takes nothing and changes nothing.
pub(super) fn all(document: &Value) -> Vec<Tool> {
    let tool = |name, answers, hints, description, input| {
        let Value::Object(input) = input else { unreachable!("a schema is an object") };
        Tool::new(name, description, Arc::new(input))
            .with_raw_output_schema(schema(document, answers))
            .with_annotations(serde_json::from_value(hints).expect("hints are constant"))
    };
    let looks = |title: &str| json!({"title": title, "readOnlyHint": true});
    let adds =
        |title: &str| json!({"title": title, "readOnlyHint": false, "destructiveHint": false});
    let ends = |title: &str| json!({"title": title, "readOnlyHint": false, "idempotentHint": true});
    vec![
        tool(
            "list_regions",
            "Regions",
            looks("List regions"),
            "Lists the regions of the planet: where each is, whether it is well, its address.",
            json!({"type": "object", "properties": {}, "additionalProperties": false}),
        ),
        tool(
            "search_agents",
            "Agents",
            looks("Search agents"),
            "Finds agents by skill, by a text in their names, skills or cards, or by region; says \
             where each is attached, whether it is online and how busy it is.",
            search_input(),
        ),
        tool(
            "send_task",
            "Task",
            adds("Send a task"),
            "Gives a task to an agent that has a skill, or to one agent by name, and waits a while \
             for its end. It goes on if nobody waits: look with get_task.",
            send_input(document),
        ),
        tool(
            "get_task",
            "Task",
            looks("Show a task"),
            "Shows a task with its artifacts and what was said last; may wait for its end.",
            of_task(json!({"wait_ms": wait()}), &[]),
        ),
        tool(
            "answer_task",
            "Standing",
            adds("Answer an agent"),
            "Answers what the agent of a task asked, while that is input_required or \
             auth_required.",
            of_task(answer_input(), &["text"]),
        ),
        tool(
            "cancel_task",
            "Standing",
            ends("Call a task off"),
            "Calls a task off; its worker learns of it.",
            of_task(json!({"reason": {"type": "string", "description": "Why"}}), &[]),
        ),
    ]
}

fn wait() -> Value {
    json!({"type": "integer", "minimum": 0, "maximum": WAIT_MS_MAX,
        "description": "How long to wait for its end, in milliseconds"})
}

/// Returns the schema of what is asked of one task.
fn of_task(mut properties: Value, required: &[&str]) -> Value {
    properties["id"] = json!({"type": "string", "pattern": "^[0-7][0-9a-hjkmnp-tv-z]{25}$",
        "description": "The task, as send_task named it"});
    let required: Vec<&str> = ["id"].iter().chain(required).copied().collect();
    json!({"type": "object", "additionalProperties": false, "required": required,
        "properties": properties})
}

fn answer_input() -> Value {
    let meaning = "The generation of the task when it asked: no later question is answered";
    json!({"text": {"type": "string", "description": "The answer"},
        "generation": {"type": "integer", "minimum": 1, "description": meaning}})
}

fn search_input() -> Value {
    let text = "What is asked for, in plain words: those that fit best come first, 100 at the most";
    json!({"type": "object", "additionalProperties": false, "properties": {
        "skill": {"type": "string", "description": "Only those that have this skill"},
        "text": {"type": "string", "description": text},
        "region": {"type": "string", "description": "Only those attached to this region"},
        "limit": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
        "cursor": {"type": "string", "description": "The next_cursor of the page before"},
    }})
}

fn send_input(document: &Value) -> Value {
    let mut options = Value::Object((*schema(document, "TaskOptions")).clone());
    let defs = options.as_object_mut().and_then(|it| it.remove("$defs"));
    let skill = "Any agent that has this skill; give this or `agent`";
    let region = "The region that shall accept it; whoever stands in front can route by it";
    let ack = "Where it must be durable first: in one region, or in most of its placement";
    let key = "Makes it harmless to send the same again";
    let mut input = json!({"type": "object", "additionalProperties": false, "required": ["text"],
    "properties": {
        "skill": {"type": "string", "description": skill},
        "agent": {"type": "string", "description": "This agent"},
        "text": {"type": "string", "description": "What is asked"},
        "context_id": {"type": "string", "description": "The conversation it belongs to"},
        "placement": {"type": "string", "description": "Where it may live, if not everywhere"},
        "ack": {"type": "string", "enum": ["region", "quorum"], "description": ack},
        "region": {"type": "string", "x-mcp-header": "Region", "description": region},
        "options": options,
        "idempotency_key":
            {"type": "string", "pattern": "^[!-~]{1,255}$", "description": key},
        "wait_ms": wait(),
    }});
    if let Some(defs) = defs {
        input["$defs"] = defs;
    }
    input
}

impl Called {
    /// Understands a call; none if there is no such tool. What is wrong with it is for whoever
    /// chose the arguments.
    pub(super) fn of(name: &str, arguments: JsonObject) -> Option<Result<Self, Box<Problem>>> {
        let arguments = Value::Object(arguments);
        Some(match name {
            "list_regions" => read(arguments).map(|Nothing {}| Self::ListRegions),
            "search_agents" => read(arguments).map(Self::SearchAgents),
            "send_task" => read(arguments).map(|it| Self::SendTask(Box::new(it))),
            "get_task" => read(arguments).map(Self::GetTask),
            "answer_task" => read(arguments).map(Self::AnswerTask),
            "cancel_task" => read(arguments).map(Self::CancelTask),
            _ => return None,
        })
    }

    /// Does what was asked, but does not wait for a task that it sends.
    pub(super) async fn answer(&self, front: &Front, api: &Api) -> Result<Value, Box<Problem>> {
        match self {
            Self::ListRegions => api.ask(Ask::get("/v1/regions")).await,
            Self::SearchAgents(search) => search.answer(front, api).await,
            Self::SendTask(send) => send.answer(front, api).await,
            Self::GetTask(get) => api.ask(Ask::get(path(&get.id, ""))).await,
            Self::AnswerTask(AnswerTask { id, text, generation }) => {
                let mut body = json!({ "text": text });
                if let Some(generation) = generation {
                    body["generation"] = json!(generation);
                }
                api.ask(Ask::post(path(id, "/messages"), body)).await
            }
            Self::CancelTask(CancelTask { id, reason }) => {
                api.ask(Ask::post(path(id, "/cancel"), json!({ "reason": reason }))).await
            }
        }
    }

    /// Returns how long to wait for the end of a task that is shown.
    pub(super) fn patience(&self) -> Option<Duration> {
        let ms = match self {
            Self::SendTask(send) => send.wait_ms.unwrap_or(WAIT_MS),
            Self::GetTask(get) => get.wait_ms?,
            Self::ListRegions
            | Self::SearchAgents(_)
            | Self::AnswerTask(_)
            | Self::CancelTask(_) => return None,
        };
        Some(Duration::from_millis(ms.min(WAIT_MS_MAX)))
    }

    /// Whether it shows a task as it stands.
    pub(super) fn shows_task(&self) -> bool {
        matches!(self, Self::GetTask(_))
    }

    /// Whether it begins a task.
    pub(super) fn begins_task(&self) -> bool {
        matches!(self, Self::SendTask(_))
    }
}

fn read<T: for<'de> Deserialize<'de>>(arguments: Value) -> Result<T, Box<Problem>> {
    serde_path_to_error::deserialize(arguments).map_err(|err| {
        let field = err.path().to_string();
        let detail = format!("`{field}`: {}", err.inner());
        Box::new(Problem { field: Some(field), ..Kind::InvalidBody.problem(detail) })
    })
}

/// Returns the path of a task.
pub(super) fn path(id: &str, more: &str) -> String {
    format!("/v1/tasks/{}{more}", escaped(id))
}

impl SearchAgents {
    async fn answer(&self, front: &Front, api: &Api) -> Result<Value, Box<Problem>> {
        let Some(text) = self.text.clone().filter(|it| !it.trim().is_empty()) else {
            let ask = Ask::get("/v1/agents").query("skill", self.skill.as_ref());
            let ask = ask.query("region", self.region.as_ref()).query("limit", self.limit);
            return api.ask(ask.query("cursor", self.cursor.as_ref())).await;
        };
        if self.cursor.is_some() {
            let problem = Kind::InvalidParameter.problem("what fits a text comes on one page");
            return Err(Box::new(Problem { field: Some("cursor".to_owned()), ..problem }));
        }
        let limit = self.limit.unwrap_or(FITTING_MAX).clamp(1, FITTING_MAX);
        let asked = (text, self.skill.clone(), self.region.clone());
        let names = ard::fitting(front, asked, limit).await;
        let names = names.map_err(|err| Box::new(Kind::Overloaded.problem(err.to_string())))?;
        let mut agents = Vec::new();
        for name in names {
            match api.ask(Ask::get(format!("/v1/agents/{name}"))).await {
                Ok(agent) => agents.push(agent),
                Err(problem) if problem.status == 404 => {} // It is gone since.
                Err(problem) => return Err(problem),
            }
        }
        Ok(json!({ "agents": agents }))
    }
}

impl SendTask {
    async fn answer(&self, front: &Front, api: &Api) -> Result<Value, Box<Problem>> {
        if let Some(region) = self.region.as_deref().filter(|it| *it != front.region().as_str()) {
            return Err(Box::new(elsewhere(front, region)));
        }
        if self.ack == Some(TaskAck::Quorum) && self.idempotency_key.is_none() {
            return Err(Box::new(keyless()));
        }
        let idempotency_key = self.idempotency_key.clone();
        api.ask(Ask { idempotency_key, ..Ask::post("/v1/tasks", self.body()) }).await
    }

    /// Returns what `/v1/tasks` is asked.
    fn body(&self) -> Value {
        let mut body = json!({ "text": self.text });
        let texts = [
            ("skill", &self.skill),
            ("agent", &self.agent),
            ("context_id", &self.context_id),
            ("placement", &self.placement),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                body[name] = json!(value);
            }
        }
        if let Some(ack) = self.ack {
            body["ack"] = serde_json::to_value(ack).expect("a level is JSON");
        }
        if let Some(options) = &self.options {
            body["options"] = serde_json::to_value(options).expect("options are JSON");
        }
        body
    }
}

/// Returns what is said to a client that could not ask for its task again.
fn keyless() -> Problem {
    let help = "with `ack` `quorum` give an `idempotency_key`, too: what a majority did not \
                acknowledge in time may be there, and is asked for again under it";
    Problem { field: Some("idempotency_key".to_owned()), ..Kind::InvalidBody.problem(help) }
}

/// Returns what is said to a client that meant another region.
fn elsewhere(front: &Front, region: &str) -> Problem {
    let regions = &front.planet().regions;
    let field = Some("region".to_owned());
    match regions.iter().find(|it| it.name.as_str() == region) {
        Some(info) => {
            let (here, api) = (front.region(), &info.api);
            let detail = format!("this is `{here}`; ask `{region}` at {api}/mcp");
            Problem { field, ..Kind::OutsidePlacement.problem(detail) }
        }
        None => {
            let detail = format!("no region is named `{region}`; list_regions has them");
            Problem { field, ..Kind::NoSuchRegion.problem(detail) }
        }
    }
}

/// Waits until a task has ended or asks something, or a time is over; shows it as it is then.
pub(super) async fn follow(
    api: &Api,
    task: &Value,
    patience: Duration,
) -> Result<Value, Box<Problem>> {
    let until = Instant::now() + patience;
    let id = task["id"].as_str().unwrap_or_default().to_owned();
    let mut generation = task["generation"].as_u64().unwrap_or(0);
    let mut state = task["state"].as_str().unwrap_or_default().to_owned();
    while matches!(state.as_str(), "submitted" | "working") {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        let wait = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).clamp(1, POLL_MS_MAX);
        let ask = Ask::get(path(&id, "/events")).query("after", Some(generation));
        let shown = api.ask(ask.query("wait_ms", Some(wait))).await?;
        generation = shown["next_after"].as_u64().unwrap_or(generation);
        state = shown["state"].as_str().unwrap_or(&state).to_owned();
    }
    api.ask(Ask::get(path(&id, ""))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_task_is_said_to_the_api() {
        let said = json!({"skill": "text.upper", "text": "hi", "placement": "eu",
            "ack": "quorum", "options": {"priority_key": 1}});
        let send: SendTask = serde_json::from_value(said.clone()).unwrap();
        assert_eq!(send.body(), said);
        let wrong = json!({"skill": "text.upper", "text": "hi", "ack": "all"});
        assert_eq!(read::<SendTask>(wrong).unwrap_err().field.as_deref(), Some("ack"));
    }
}
