//! A task of Photon, said in the words of A2A.
//! Must not ask the region anything.

use std::collections::HashMap;

use ::a2a::{Artifact, Message, Part, Role, Task, TaskState, TaskStatus};
use photon_region::{Json, Outcome, TaskDetail, TaskSummary, Token};
use photon_state::Hlc;
use serde_json::{Value, json};

use super::fault::Fault;
use crate::time::moment;

/// How much of its history a client wants with a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HistoryLength(usize);

impl HistoryLength {
    /// All of it.
    pub(super) const ALL: Self = Self(usize::MAX);

    /// Reads the parameter; silence means all of it.
    pub(super) fn new(length: Option<i32>, field: &str) -> Result<Self, Fault> {
        let Some(length) = length else { return Ok(Self::ALL) };
        let help = || Fault::field(field, format!("use 0 or more, not {length}"));
        usize::try_from(length).map(Self).map_err(|_| help())
    }
}

/// Returns a task with its artifacts and with what was said last.
pub(super) fn whole(detail: &TaskDetail, history: HistoryLength) -> Task {
    let mut task = outline(&detail.summary, history);
    let context = &detail.summary.spec.context;
    let all = std::iter::once(&detail.summary.spec.message).chain(&detail.turns);
    let all: Vec<Message> = all.map(|it| said(it, &task.id, context)).collect();
    let skipped = all.len().saturating_sub(history.0);
    task.history = (1 <= history.0).then(|| all.into_iter().skip(skipped).collect());
    task.status.message = detail.message.as_ref().map(|it| said(it, &task.id, context));
    task.artifacts = Some(detail.artifacts.iter().map(artifact).collect());
    task
}

/// An agent that sets this to `true` in the metadata of its last message wants that message to be
/// the answer, and not the task.
const DIRECT_KEY: &str = "photon/direct";

/// Returns what an agent said instead of doing a task: its only word, if it wants that to be the
/// answer.
pub(super) fn direct(detail: &TaskDetail) -> Option<Message> {
    let TaskDetail { summary, message, artifacts, .. } = detail;
    let is_done = summary.state == photon_region::TaskState::Completed && artifacts.is_empty();
    let message = message.as_ref().filter(|_| is_done)?;
    let message = said(message, &summary.id.to_string(), &summary.spec.context);
    let is_direct = message.metadata.as_ref()?.get(DIRECT_KEY) == Some(&Value::Bool(true));
    is_direct.then_some(message)
}

/// Returns a task without its artifacts.
pub(super) fn outline(summary: &TaskSummary, history: HistoryLength) -> Task {
    let id = summary.id.to_string();
    let asked = said(&summary.spec.message, &id, &summary.spec.context);
    Task {
        context_id: summary.spec.context.to_string(),
        status: status(state(summary.state), None, summary.changed),
        artifacts: None,
        history: (1 <= history.0).then(|| vec![asked]),
        metadata: Some(metadata(summary)),
        id,
    }
}

/// Returns a status.
pub(super) fn status(state: TaskState, message: Option<Message>, at: Hlc) -> TaskStatus {
    TaskStatus { state, message, timestamp: Some(moment(at)) }
}

/// Returns the state by the protocol's name.
pub(super) fn state(state: photon_region::TaskState) -> TaskState {
    match state {
        photon_region::TaskState::Submitted => TaskState::Submitted,
        photon_region::TaskState::Working => TaskState::Working,
        photon_region::TaskState::InputRequired => TaskState::InputRequired,
        photon_region::TaskState::AuthRequired => TaskState::AuthRequired,
        photon_region::TaskState::Completed => TaskState::Completed,
        photon_region::TaskState::Failed => TaskState::Failed,
        photon_region::TaskState::Canceled => TaskState::Canceled,
        photon_region::TaskState::Rejected => TaskState::Rejected,
    }
}

/// Returns the state that an outcome leaves a task in.
pub(super) fn ended(outcome: Outcome) -> TaskState {
    state(outcome.state())
}

/// Returns what was said, with its place filled in.
pub(super) fn said(message: &Json, task: &str, context: &str) -> Message {
    let parsed = serde_json::from_slice::<Message>(&message.0);
    // Messages are checked on their way in; one that a later version let in is shown as it is.
    let mut message = parsed.unwrap_or_else(|_| Message {
        message_id: format!("{task}-message"),
        ..Message::new(Role::Agent, raw_parts(message))
    });
    message.task_id = Some(task.to_owned());
    message.context_id = Some(context.to_owned());
    message
}

/// Returns the parts of a chunk.
pub(super) fn parts(chunk: &Json) -> Vec<Part> {
    serde_json::from_slice(&chunk.0).unwrap_or_else(|_| raw_parts(chunk))
}

fn raw_parts(json: &Json) -> Vec<Part> {
    let lossy = || Value::String(String::from_utf8_lossy(&json.0).into_owned());
    vec![Part::data(serde_json::from_slice(&json.0).unwrap_or_else(|_| lossy()))]
}

fn artifact(artifact: &photon_region::Artifact) -> Artifact {
    Artifact {
        artifact_id: artifact.id.to_string(),
        name: artifact.name.as_deref().map(str::to_owned),
        description: None,
        parts: artifact.parts.iter().flat_map(parts).collect(),
        metadata: None,
        extensions: None,
    }
}

/// What Photon tells of itself is under this key of the metadata.
const METADATA_KEY: &str = "photon";

fn metadata(summary: &TaskSummary) -> HashMap<String, Value> {
    let mut photon = json!({
        "home": summary.home.as_str(),
        "placement": summary.spec.placement.as_str(),
        "attempt": summary.attempt,
        "generation": summary.generation,
    });
    if let Some((agent, region)) = &summary.worker {
        photon["agent"] = json!(&**agent);
        photon["region"] = json!(region.as_str());
    }
    HashMap::from([(METADATA_KEY.to_owned(), photon)])
}

/// Returns the metadata of an event, with what there is to tell beyond its place.
pub(super) fn event_metadata(
    generation: u64,
    token: Option<Token>,
    more: &[(&str, Value)],
) -> HashMap<String, Value> {
    let mut photon = json!({ "generation": generation });
    if let Some(token) = token {
        photon["attempt"] = json!(token.attempt());
    }
    for (key, value) in more {
        photon[*key] = value.clone();
    }
    HashMap::from([(METADATA_KEY.to_owned(), photon)])
}
