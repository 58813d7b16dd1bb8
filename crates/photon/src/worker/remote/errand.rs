//! One attempt at a task whose work an A2A server does: asks it, follows it, and goes on with what
//! earlier attempts have begun there.
//! Must not know how the server is found.

use std::pin::pin;
use std::time::Duration;

use a2a::{
    A2AError, CancelTaskRequest, GetTaskRequest, Message, Role, SendMessageConfiguration,
    SendMessageRequest, SendMessageResponse, StreamResponse, SubscribeToTaskRequest, error_code,
};
use a2a_client::BoxStream;
use futures_util::StreamExt as _;
use photon_edge::v1::types::{self, CheckpointNote, Lease, NotePost};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout};

use super::super::attempt::{Attempt, Failure, Over, Then, Verdict};
use super::peer::Peer;
use super::relay::{Heard, Relay, Sight, converted};
use crate::backoff::Backoff;

/// How long a stream may be silent until the task is looked at instead.
const STREAM_SILENCE_MAX: Duration = Duration::from_secs(60);
/// How long an answer may take that needs no work.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How long a server may be away until the attempt fails.
const AWAY_MAX: Duration = Duration::from_secs(60);
/// What the keys of our checkpoints begin with.
const KEY_PREFIX: &str = "a2a/";

/// What has happened between the worker and the server, as checkpoints keep it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Fact {
    /// The server works on a task.
    Begun(Begun),
    /// That task came to nothing: the next attempt begins another one.
    Over,
}

/// A task of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Begun {
    /// Its name there.
    task: String,
    /// The name of its conversation there.
    context: String,
    /// How many answers of the client the server has been given.
    answers: usize,
}

/// Why the errand cannot go on.
#[derive(Debug)]
enum Trouble {
    /// The attempt is over.
    Over,
    /// The server does not do what it is asked.
    Server(A2AError),
}

impl From<Over> for Trouble {
    fn from(_: Over) -> Self {
        Self::Over
    }
}

impl From<A2AError> for Trouble {
    fn from(error: A2AError) -> Self {
        Self::Server(error)
    }
}

/// An attempt under way.
#[derive(Debug)]
pub(super) struct Errand<'a> {
    peer: &'a Peer,
    attempt: &'a Attempt<'a>,
    /// How many facts there are.
    facts: usize,
    /// How many tasks the server was given and came to nothing.
    lost: usize,
    begun: Option<Begun>,
    relay: Relay,
    /// What the client and the server have said to each other since the task began.
    turns: Vec<types::Message>,
    /// When the server was last heard.
    heard_at: Instant,
}

impl<'a> Errand<'a> {
    pub(super) fn new(peer: &'a Peer, attempt: &'a Attempt<'a>) -> Self {
        let turns: Vec<_> = attempt.lease.turns.iter().filter_map(|it| it.parse().ok()).collect();
        let (relay, heard_at) = (Relay::new(&turns), Instant::now());
        let mut errand =
            Self { peer, attempt, facts: 0, lost: 0, begun: None, relay, turns, heard_at };
        for fact in facts(attempt.lease) {
            errand.facts += 1;
            errand.note_fact(fact);
        }
        errand
    }

    fn note_fact(&mut self, fact: Fact) {
        match fact {
            Fact::Begun(begun) => self.begun = Some(begun),
            Fact::Over => {
                self.begun = None;
                self.lost += 1;
            }
        }
    }

    /// Has the server do the work; returns what came of it.
    pub(super) async fn run(&mut self) -> Verdict {
        let mut backoff = Backoff::default();
        loop {
            let heard_before = self.heard_at;
            match self.converse().await {
                Ok(Some(verdict)) => return verdict,
                Ok(None) => {}
                Err(Trouble::Over) => return Verdict::Abandoned("it was stopped".to_owned()),
                Err(Trouble::Server(error)) => {
                    let (reason, then) = (format!("the agent's server: {error}"), Then::Settle);
                    if !is_passing(&error) {
                        return Verdict::Failed(Failure { reason, then });
                    }
                    if AWAY_MAX <= self.heard_at.elapsed() {
                        self.peer.doubt();
                        return Verdict::failed(reason);
                    }
                }
            }
            if heard_before < self.heard_at {
                backoff.reset();
            }
            sleep(backoff.next_pause()).await;
        }
    }

    /// Asks the server to give up what it was asked for.
    pub(super) async fn call_off(&self) {
        let Some(begun) = &self.begun else { return };
        let request = CancelTaskRequest { id: begun.task.clone(), metadata: None, tenant: None };
        match timeout(ANSWER_WITHIN, self.peer.client().cancel_task(&request)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the server does not cancel a task"),
            Err(_) => tracing::debug!("the server does not answer that a task is off"),
        }
    }

    /// Does what is next, and follows what comes of it as long as it is told. Nothing is returned
    /// if the task has to be looked at again.
    async fn converse(&mut self) -> Result<Option<Verdict>, Trouble> {
        let answers = self.turns.iter().filter(|it| it.role == types::Role::User).count();
        let Some(begun) = self.begun.clone() else {
            return self.say(self.request(), answers).await;
        };
        if begun.answers < answers {
            return match self.say(self.answer(&begun), answers).await {
                Err(Trouble::Server(error)) if is_gone(&error) => self.lose().await,
                said => said,
            };
        }
        let request =
            GetTaskRequest { id: begun.task.clone(), history_length: Some(0), tenant: None };
        let found = within(self.peer.client().get_task(&request)).await;
        let task = match found {
            Err(error) if is_gone(&error) => return self.lose().await,
            found => found?,
        };
        if let Some(verdict) = self.take(StreamResponse::Task(task), answers).await? {
            return Ok(Some(verdict));
        }
        if !self.peer.streams() {
            return Ok(None);
        }
        let request = SubscribeToTaskRequest { id: begun.task, tenant: None };
        match within(self.peer.client().subscribe_to_task(&request)).await {
            Ok(stream) => self.follow(stream, answers).await,
            // It has ended meanwhile, or streams only what it is asked then and there.
            Err(error) if !is_passing(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn say(&mut self, message: Message, answers: usize) -> Result<Option<Verdict>, Trouble> {
        let configuration = SendMessageConfiguration {
            accepted_output_modes: None,
            task_push_notification_config: None,
            history_length: Some(0),
            return_immediately: Some(true),
        };
        let configuration = Some(configuration);
        let request = SendMessageRequest { message, configuration, metadata: None, tenant: None };
        if self.peer.streams() {
            let stream = self.peer.client().send_streaming_message(&request).await?;
            return self.follow(stream, answers).await;
        }
        let told = match self.peer.client().send_message(&request).await? {
            SendMessageResponse::Task(task) => StreamResponse::Task(task),
            SendMessageResponse::Message(message) => StreamResponse::Message(message),
        };
        self.take(told, answers).await
    }

    async fn follow(
        &mut self,
        stream: BoxStream<'static, Result<StreamResponse, A2AError>>,
        answers: usize,
    ) -> Result<Option<Verdict>, Trouble> {
        let mut stream = pin!(stream);
        while let Ok(Some(told)) = timeout(STREAM_SILENCE_MAX, stream.next()).await {
            if let Some(verdict) = self.take(told?, answers).await? {
                return Ok(Some(verdict));
            }
        }
        Ok(None)
    }

    /// Passes on what the server tells. What names its task is told first, so that whoever goes on
    /// with ours finds it.
    async fn take(
        &mut self,
        told: StreamResponse,
        answers: usize,
    ) -> Result<Option<Verdict>, Trouble> {
        self.heard_at = Instant::now();
        let Heard { task, mut notes, end, sight } = self.relay.take(told);
        if let Some((task, context)) = task {
            let begun = Begun { task, context, answers };
            if self.begun.as_ref() != Some(&begun) {
                notes.insert(0, self.keep(Fact::Begun(begun)));
            }
        }
        if matches!(end, Some(Verdict::Failed(_))) {
            notes.push(self.keep(Fact::Over));
        }
        if !notes.is_empty() {
            self.attempt.tell(notes).await?;
        }
        match sight {
            Sight::Whole => Ok(end),
            Sight::Partial => self.look().await,
        }
    }

    /// Looks at the whole task, of which a beginning was missed.
    async fn look(&mut self) -> Result<Option<Verdict>, Trouble> {
        let Some(begun) = &self.begun else { return Ok(None) };
        let (id, answers) = (begun.task.clone(), begun.answers);
        let request = GetTaskRequest { id, history_length: Some(0), tenant: None };
        let task = within(self.peer.client().get_task(&request)).await?;
        Box::pin(self.take(StreamResponse::Task(task), answers)).await
    }

    /// The server knows no more of its task: another one is begun.
    async fn lose(&mut self) -> Result<Option<Verdict>, Trouble> {
        self.relay = Relay::new(&self.turns);
        let note = self.keep(Fact::Over);
        self.attempt.tell(vec![note]).await?;
        Ok(None)
    }

    fn keep(&mut self, fact: Fact) -> NotePost {
        self.facts += 1;
        let key = format!("{KEY_PREFIX}{}", self.facts);
        let value = serde_json::to_value(&fact).expect("facts are plain JSON");
        self.note_fact(fact);
        NotePost { checkpoint: Some(CheckpointNote { key, value }), ..NotePost::default() }
    }

    /// Returns what is asked of the server at first. A server may take two messages of one name for
    /// one, so that a task that is begun anew is asked for under another one.
    fn request(&self) -> Message {
        let mut message = outgoing(self.attempt.lease.message.as_str());
        if 0 < self.lost {
            message.message_id = format!("{}.{}", message.message_id, self.lost + 1);
        }
        message.context_id = Some(self.attempt.lease.context_id.clone());
        message
    }

    /// Returns what the client has answered to what the server asked.
    fn answer(&self, begun: &Begun) -> Message {
        let last = self.attempt.lease.turns.last().map_or("", |it| it.as_str());
        let mut message = outgoing(last);
        message.context_id = Some(begun.context.clone());
        message.task_id = Some(begun.task.clone());
        message
    }
}

/// Returns what earlier attempts have kept of their dealings with the server.
fn facts(lease: &Lease) -> impl Iterator<Item = Fact> {
    let kept = lease.checkpoints.iter().filter(|it| it.key.starts_with(KEY_PREFIX));
    kept.filter_map(|it| serde_json::from_str(it.value.as_str()).ok())
}

/// Returns a message of our client, as the server is to get it.
fn outgoing(json: &str) -> Message {
    let json = serde_json::from_str::<serde_json::Value>(json).unwrap_or_default();
    let message: Option<Message> = converted(&json);
    let mut message = message.unwrap_or_else(|| Message::new(Role::User, Vec::new()));
    (message.task_id, message.reference_task_ids) = (None, None);
    message.role = Role::User;
    message
}

async fn within<T>(asked: impl Future<Output = Result<T, A2AError>>) -> Result<T, A2AError> {
    let late = || A2AError::internal(format!("no answer within {} s", ANSWER_WITHIN.as_secs()));
    timeout(ANSWER_WITHIN, asked).await.unwrap_or_else(|_| Err(late()))
}

/// Whether the same may succeed later. The library has one code for what goes wrong on the way and
/// for what goes wrong in the server.
fn is_passing(error: &A2AError) -> bool {
    error.code == error_code::INTERNAL_ERROR
}

fn is_gone(error: &A2AError) -> bool {
    error.code == error_code::TASK_NOT_FOUND
}
