//! What an A2A server really does: questions that cost no work, and one that does if wanted.
//! Must not keep anything.
//!
//! The answers that are wanted are those of the A2A specification 1.0, sections 3 (operations),
//! 5 (errors) and 8 (cards).

use std::fmt;
use std::time::{Duration, Instant};

use a2a::{
    A2AError, CancelTaskRequest, GetTaskRequest, ListTaskPushNotificationConfigsRequest,
    ListTasksRequest, Message, Part, Role, SendMessageConfiguration, SendMessageRequest,
    SendMessageResponse, SubscribeToTaskRequest, TaskState, error_code, error_reason,
};
use reqwest::header::{CACHE_CONTROL, ETAG};
use serde::Serialize;
use tokio::time::timeout;

use super::peer::Peer;

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// What came of the questions.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What people call the agent.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// Where its card is.
    pub card: String,
    /// What is spoken with it.
    pub binding: String,
    /// Where.
    pub url: String,
    /// Whether it tells of tasks as they go on.
    pub streams: bool,
    /// The skills that its card names.
    pub skills: Vec<String>,
    /// The questions.
    pub checks: Vec<Check>,
    /// How it did.
    pub grade: Grade,
}

/// One question.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What is asked.
    pub name: &'static str,
    /// What the answer should be.
    pub wanted: String,
    /// What it was.
    pub found: String,
    /// Whether that will do.
    pub outcome: Outcome,
    /// How long it took.
    pub ms: u64,
}

/// Whether an answer will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is what the specification wants.
    Passed,
    /// It is not, but what the agent is needed for works without it.
    Odd,
    /// It is not, and tasks may come to harm by it.
    Failed,
}

/// How an agent did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// All is as the specification wants it.
    A,
    /// Something is odd, and harms no task.
    B,
    /// Tasks are done, but not all that Photon promises of them can be kept.
    C,
    /// It cannot be given tasks.
    F,
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::F => "F",
        })
    }
}

/// Asks an agent what costs no work; and to do `text`, if there is one.
pub async fn probe(peer: &Peer, text: Option<&str>) -> Report {
    let mut checks = vec![card(peer)];
    checks.extend(caching(peer).await);
    checks.push(unknown_task(peer).await);
    checks.push(unknown_cancel(peer).await);
    checks.push(list(peer).await);
    if peer.streams() {
        checks.push(unknown_stream(peer).await);
    }
    checks.push(push_configs(peer).await);
    if let Some(text) = text {
        checks.extend(work(peer, text).await);
    }
    let card = &peer.card;
    Report {
        name: card.name.clone(),
        version: card.version.clone(),
        card: peer.card_url.to_string(),
        binding: peer.interface.protocol_binding.clone(),
        url: peer.interface.url.clone(),
        streams: peer.streams(),
        skills: card.skills.iter().map(|it| it.id.clone()).collect(),
        grade: grade(&checks),
        checks,
    }
}

/// An agent that does not know a task from another cannot be followed; one that fails all that it
/// is asked is not there.
fn grade(checks: &[Check]) -> Grade {
    let count = |outcome| checks.iter().filter(|it| it.outcome == outcome).count();
    let asked = checks.iter().filter(|it| it.name.starts_with(OPERATION));
    let is_deaf = asked.clone().all(|it| it.outcome == Outcome::Failed);
    match (count(Outcome::Failed), count(Outcome::Odd)) {
        _ if is_deaf => Grade::F,
        (0, 0) => Grade::A,
        (0, _) => Grade::B,
        (..) => Grade::C,
    }
}

/// What the names of checks begin with that ask for an operation.
const OPERATION: &str = "operation: ";

/// Whether what a card must say is said.
fn card(peer: &Peer) -> Check {
    let card = &peer.card;
    let lists = [
        ("name", card.name.is_empty()),
        ("description", card.description.is_empty()),
        ("version", card.version.is_empty()),
        ("skills", card.skills.is_empty()),
        ("defaultInputModes", card.default_input_modes.is_empty()),
        ("defaultOutputModes", card.default_output_modes.is_empty()),
    ];
    let empty: Vec<_> = lists.iter().filter(|(_, is_empty)| *is_empty).map(|it| it.0).collect();
    let (outcome, found) = match empty.is_empty() {
        true => (Outcome::Passed, "all of it".to_owned()),
        false => (Outcome::Odd, format!("without {}", empty.join(", "))),
    };
    let wanted = "all that a card must have".to_owned();
    Check { name: "card", wanted, found, outcome, ms: 0 }
}

/// Whether a card says how long it holds.
async fn caching(peer: &Peer) -> Option<Check> {
    let began = Instant::now();
    let headers = peer.card_headers().await.ok()?;
    let named = [CACHE_CONTROL, ETAG].map(|it| headers.contains_key(&it).then_some(it));
    let found: Vec<_> = named.iter().flatten().map(ToString::to_string).collect();
    let (outcome, found) = match found.is_empty() {
        true => (Outcome::Odd, "neither".to_owned()),
        false => (Outcome::Passed, found.join(" and ")),
    };
    let wanted = "cache-control or etag".to_owned();
    Some(Check { name: "card: caching", wanted, found, outcome, ms: ms_since(began) })
}

async fn unknown_task(peer: &Peer) -> Check {
    let request = GetTaskRequest { id: nobody(), history_length: None, tenant: None };
    let asked = peer.client().get_task(&request);
    refused("operation: GetTask of an unknown task", error_code::TASK_NOT_FOUND, asked).await
}

async fn unknown_cancel(peer: &Peer) -> Check {
    let request = CancelTaskRequest { id: nobody(), metadata: None, tenant: None };
    let asked = peer.client().cancel_task(&request);
    refused("operation: CancelTask of an unknown task", error_code::TASK_NOT_FOUND, asked).await
}

async fn unknown_stream(peer: &Peer) -> Check {
    let request = SubscribeToTaskRequest { id: nobody(), tenant: None };
    let name = "operation: SubscribeToTask of an unknown task";
    let asked = async {
        let mut stream = peer.client().subscribe_to_task(&request).await?;
        match futures_util::StreamExt::next(&mut stream).await {
            Some(told) => told.map(|_| ()),
            None => Ok(()),
        }
    };
    refused(name, error_code::TASK_NOT_FOUND, asked).await
}

async fn list(peer: &Peer) -> Check {
    let request = ListTasksRequest {
        context_id: Some(nobody()),
        status: None,
        page_size: Some(1),
        page_token: None,
        history_length: None,
        status_timestamp_after: None,
        include_artifacts: None,
        tenant: None,
    };
    let began = Instant::now();
    let answer = timeout(ANSWER_WITHIN, peer.client().list_tasks(&request)).await;
    let (outcome, found) = match answer {
        Ok(Ok(list)) if list.tasks.is_empty() => (Outcome::Passed, "no tasks".to_owned()),
        Ok(Ok(list)) => (Outcome::Odd, format!("{} tasks", list.tasks.len())),
        Ok(Err(error)) => (Outcome::Odd, error_text(&error)),
        Err(_) => (Outcome::Odd, late()),
    };
    let name = "operation: ListTasks of an unknown context";
    Check { name, wanted: "no tasks".to_owned(), found, outcome, ms: ms_since(began) }
}

async fn push_configs(peer: &Peer) -> Check {
    let request = ListTaskPushNotificationConfigsRequest {
        task_id: nobody(),
        page_size: None,
        page_token: None,
        tenant: None,
    };
    let code = match peer.card.capabilities.push_notifications {
        Some(true) => error_code::TASK_NOT_FOUND,
        Some(false) | None => error_code::PUSH_NOTIFICATION_NOT_SUPPORTED,
    };
    let asked = peer.client().list_push_configs(&request);
    let name = "operation: ListTaskPushNotificationConfigs of an unknown task";
    let check = refused(name, code, asked).await;
    // Photon tells webhooks itself.
    let outcome = if check.outcome == Outcome::Failed { Outcome::Odd } else { check.outcome };
    Check { outcome, ..check }
}

/// Gives the agent work, and looks whether it still knows of it.
async fn work(peer: &Peer, text: &str) -> Vec<Check> {
    let message = Message::new(Role::User, vec![Part::text(text)]);
    let configuration = SendMessageConfiguration {
        accepted_output_modes: None,
        task_push_notification_config: None,
        history_length: None,
        return_immediately: Some(true),
    };
    let configuration = Some(configuration);
    let request = SendMessageRequest { message, configuration, metadata: None, tenant: None };
    let began = Instant::now();
    let sent = timeout(ANSWER_WITHIN, peer.client().send_message(&request)).await;
    let (outcome, found, task) = match sent {
        Ok(Ok(SendMessageResponse::Task(task))) => {
            (Outcome::Passed, format!("a task, {}", state(task.status.state)), Some(task.id))
        }
        Ok(Ok(SendMessageResponse::Message(_))) => (Outcome::Passed, "a message".to_owned(), None),
        Ok(Err(error)) => (Outcome::Failed, error_text(&error), None),
        Err(_) => (Outcome::Failed, late(), None),
    };
    let wanted = "a task or a message, at once".to_owned();
    let name = "operation: SendMessage";
    let mut checks = vec![Check { name, wanted, found, outcome, ms: ms_since(began) }];
    if let Some(id) = task {
        let began = Instant::now();
        let request = GetTaskRequest { id, history_length: None, tenant: None };
        let (outcome, found) = match timeout(ANSWER_WITHIN, peer.client().get_task(&request)).await
        {
            Ok(Ok(task)) => (Outcome::Passed, format!("the task, {}", state(task.status.state))),
            Ok(Err(error)) => (Outcome::Failed, error_text(&error)),
            Err(_) => (Outcome::Failed, late()),
        };
        let name = "operation: GetTask of that task";
        let wanted = "the task".to_owned();
        checks.push(Check { name, wanted, found, outcome, ms: ms_since(began) });
    }
    checks
}

/// Asks what has to be refused.
async fn refused<T>(
    name: &'static str,
    code: i32,
    asked: impl Future<Output = Result<T, A2AError>>,
) -> Check {
    let began = Instant::now();
    let (outcome, found) = match timeout(ANSWER_WITHIN, asked).await {
        Ok(Err(error)) if error.code == code => (Outcome::Passed, error_reason(code).to_owned()),
        Ok(Err(error)) => (Outcome::Failed, error_text(&error)),
        Ok(Ok(_)) => (Outcome::Failed, "no error".to_owned()),
        Err(_) => (Outcome::Failed, late()),
    };
    let wanted = error_reason(code).to_owned();
    Check { name, wanted, found, outcome, ms: ms_since(began) }
}

/// A name that no task has.
fn nobody() -> String {
    a2a::new_task_id()
}

fn error_text(error: &A2AError) -> String {
    let said: String = error.message.chars().take(120).collect();
    format!("{}: {said}", error_reason(error.code))
}

fn state(state: TaskState) -> String {
    let name = serde_json::to_value(state).unwrap_or_default();
    name.as_str().unwrap_or_default().trim_start_matches("TASK_STATE_").to_lowercase()
}

fn late() -> String {
    format!("no answer within {} s", ANSWER_WITHIN.as_secs())
}

fn ms_since(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grade_says_what_may_be_expected() {
        let check = |outcomes: &[(&'static str, Outcome)], expected| {
            let make = |(name, outcome): &(&'static str, Outcome)| Check {
                name,
                wanted: String::new(),
                found: String::new(),
                outcome: *outcome,
                ms: 0,
            };
            let checks: Vec<_> = outcomes.iter().map(make).collect();
            assert_eq!(grade(&checks), expected, "{outcomes:?}");
        };
        let (good, odd, bad) = (Outcome::Passed, Outcome::Odd, Outcome::Failed);
        check(&[("card", good), ("operation: a", good)], Grade::A);
        check(&[("card", odd), ("operation: a", good)], Grade::B);
        check(&[("card", good), ("operation: a", bad), ("operation: b", good)], Grade::C);
        check(&[("card", good), ("operation: a", bad), ("operation: b", bad)], Grade::F);
    }
}
