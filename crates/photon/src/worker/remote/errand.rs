//! One attempt at a task whose work an A2A server does: asks it, follows it, and goes on with what
//! earlier attempts have begun there.
//! Must not know how the server is found.

use std::pin::pin;
use std::time::Duration;

use a2a::{
    A2AError, CancelTaskRequest, GetTaskRequest, Message, Role, SendMessageConfiguration,
    SendMessageRequest, SendMessageResponse, StreamResponse, SubscribeToTaskRequest, Task,
    error_code,
};
use a2a_client::BoxStream;
use futures_util::StreamExt as _;
use photon_edge::v1::types::{self, CheckpointNote, Lease, NotePost};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout};

use super::super::attempt::{Attempt, Failure, Over, REASON_BYTES_MAX, Then, Verdict};
use super::peer::Peer;
use super::relay::{Heard, Relay, Sight, converted, is_end};
use crate::backoff::Backoff;

/// How long the stream of a task may be silent until the task is looked at instead.
const STREAM_SILENCE_MAX: Duration = Duration::from_secs(60);
/// How long an answer may take that needs no work.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How long a server may be away until the attempt fails.
const AWAY_MAX: Duration = Duration::from_secs(60);
/// The least time between looks at a task.
const LOOK_EVERY_MIN: Duration = Duration::from_millis(100);
/// How often a server is told one answer that it seems not to hear.
const TELLS_MAX: u32 = 8;
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
    /// The server does not answer, and was asked nothing that it could have begun.
    Away(A2AError),
    /// The server was given the work, and nobody knows what it did with it.
    Unsure(A2AError),
    /// The server does not do what it is asked.
    Refused(A2AError),
}

impl Trouble {
    /// What an error means if what was asked may be asked again.
    fn of(error: A2AError) -> Self {
        if is_passing(&error) { Self::Away(error) } else { Self::Refused(error) }
    }
}

impl From<Over> for Trouble {
    fn from(_: Over) -> Self {
        Self::Over
    }
}

/// How a stream came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// It began with what it tells of.
    Said,
    /// It goes on with a task that was looked at: what came in between may be told twice.
    Resumed,
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
    /// Since when the server does not answer.
    away_since: Option<Instant>,
    /// How often something new was heard.
    news: u64,
    /// How often the last answer was told.
    tells: u32,
}

impl<'a> Errand<'a> {
    pub(super) fn new(peer: &'a Peer, attempt: &'a Attempt<'a>) -> Self {
        let turns: Vec<_> = attempt.lease.turns.iter().filter_map(|it| it.parse().ok()).collect();
        let relay = Relay::new(&turns);
        let (begun, away_since) = (None, None);
        let (facts, lost, news, tells) = (0, 0, 0, 0);
        let mut errand =
            Self { peer, attempt, facts, lost, begun, relay, turns, away_since, news, tells };
        for fact in kept_facts(attempt.lease) {
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
            let news_before = self.news;
            match self.converse().await {
                Ok(Some(verdict)) => return verdict,
                Ok(None) => self.away_since = None,
                Err(Trouble::Over) => return Verdict::Abandoned("it was stopped".to_owned()),
                Err(Trouble::Refused(error)) => return failed(&error, Then::Settle),
                Err(Trouble::Unsure(error)) => {
                    self.peer.doubt();
                    return failed(&error, Then::TryAgain);
                }
                Err(Trouble::Away(error)) => {
                    let since = *self.away_since.get_or_insert_with(Instant::now);
                    if AWAY_MAX <= since.elapsed() {
                        self.peer.doubt();
                        return failed(&error, Then::TryAgain);
                    }
                }
            }
            if news_before < self.news {
                backoff.reset();
            }
            sleep(backoff.next_pause().max(LOOK_EVERY_MIN)).await;
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
            // What is asked of a server that is not there cannot be told from what it has begun.
            self.peer.answers().await.map_err(Trouble::Away)?;
            let said = self.say(self.request(), answers).await;
            return match said {
                Err(Trouble::Away(error)) if self.begun.is_none() => Err(Trouble::Unsure(error)),
                said => said,
            };
        };
        let Some(task) = self.get(&begun.task).await? else { return self.lose().await };
        if begun.answers < answers {
            if self.relay.waits_for_what_was_answered(&task.status) {
                return self.reply(&begun, answers).await;
            }
            // It was heard, as far as anybody can tell: the task has gone on.
            let note = self.keep(Fact::Begun(Begun { answers, ..begun.clone() }));
            self.attempt.tell(vec![note]).await?;
        }
        if let Some(verdict) = self.take(StreamResponse::Task(task), answers).await? {
            return Ok(Some(verdict));
        }
        if !self.peer.streams() {
            return Ok(None);
        }
        let request = SubscribeToTaskRequest { id: begun.task, tenant: None };
        match within(self.peer.client().subscribe_to_task(&request)).await {
            Ok(stream) => self.follow(stream, answers, Origin::Resumed).await,
            // It has ended meanwhile, or streams only what it is asked then and there.
            Err(error) if !is_passing(&error) => Ok(None),
            Err(error) => Err(Trouble::Away(error)),
        }
    }

    /// Tells the server what the client has answered.
    async fn reply(&mut self, begun: &Begun, answers: usize) -> Result<Option<Verdict>, Trouble> {
        self.tells += 1;
        if TELLS_MAX < self.tells {
            let error = A2AError::internal("it takes an answer, and asks the same again");
            return Err(Trouble::Refused(error));
        }
        let refused = match self.say(self.answer(begun), answers).await {
            Err(Trouble::Refused(error)) => error,
            said => return said,
        };
        // It may have heard it before, when nobody was there to hear what it said.
        match self.get(&begun.task).await? {
            Some(task) if self.relay.waits_for_what_was_answered(&task.status) => {
                Err(Trouble::Refused(refused))
            }
            Some(_) | None => Ok(None),
        }
    }

    /// Looks at a task of the server; none if it knows of no such task.
    async fn get(&self, id: &str) -> Result<Option<Task>, Trouble> {
        let request = GetTaskRequest { id: id.to_owned(), history_length: Some(0), tenant: None };
        match within(self.peer.client().get_task(&request)).await {
            Ok(task) => Ok(Some(task)),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(Trouble::of(error)),
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
            let stream = self.peer.client().send_streaming_message(&request).await;
            return self.follow(stream.map_err(Trouble::of)?, answers, Origin::Said).await;
        }
        let told = self.peer.client().send_message(&request).await.map_err(Trouble::of)?;
        let told = match told {
            SendMessageResponse::Task(task) => StreamResponse::Task(task),
            SendMessageResponse::Message(message) => StreamResponse::Message(message),
        };
        self.take(told, answers).await
    }

    async fn follow(
        &mut self,
        stream: BoxStream<'static, Result<StreamResponse, A2AError>>,
        answers: usize,
        origin: Origin,
    ) -> Result<Option<Verdict>, Trouble> {
        let mut stream = pin!(stream);
        loop {
            // Whether the server knows of what it was asked, so that it can be looked at.
            let is_known = self.begun.as_ref().is_some_and(|it| answers <= it.answers);
            let next = if is_known {
                timeout(STREAM_SILENCE_MAX, stream.next()).await.unwrap_or_default()
            } else {
                stream.next().await // However long the work takes.
            };
            match next {
                Some(Ok(told)) if origin == Origin::Resumed && is_end(&told) => {
                    return self.look(told, answers).await;
                }
                Some(Ok(told)) => {
                    if let Some(verdict) = self.take(told, answers).await? {
                        return Ok(Some(verdict));
                    }
                }
                Some(Err(error)) if !is_known => return Err(Trouble::of(error)),
                None if self.begun.is_none() => {
                    let error = A2AError::internal("the stream ended, and nothing was answered");
                    return Err(Trouble::Unsure(error));
                }
                Some(Err(_)) | None => return Ok(None),
            }
        }
    }

    /// Passes on what the server tells. What names its task is told first, so that whoever goes on
    /// with ours finds it.
    async fn take(
        &mut self,
        told: StreamResponse,
        answers: usize,
    ) -> Result<Option<Verdict>, Trouble> {
        self.away_since = None;
        let Heard { task, mut notes, end, sight } = self.relay.take(told);
        if let Some((task, context)) = task {
            let begun = Begun { task, context, answers };
            if self.begun.as_ref() != Some(&begun) {
                self.tells = 0;
                notes.insert(0, self.keep(Fact::Begun(begun)));
            }
        }
        if matches!(end, Some(Verdict::Failed(_))) {
            notes.push(self.keep(Fact::Over));
        }
        if !notes.is_empty() {
            self.news += 1;
            self.attempt.tell(notes).await?;
        }
        match (sight, &self.begun) {
            (Sight::Partial, Some(begun)) => match self.get(&begun.task).await? {
                Some(task) => Box::pin(self.take(StreamResponse::Task(task), answers)).await,
                None => self.lose().await,
            },
            (Sight::Partial | Sight::Whole, _) => Ok(end),
        }
    }

    /// Passes on how a task stands at the end of a stream that told of a part of it.
    async fn look(
        &mut self,
        end: StreamResponse,
        answers: usize,
    ) -> Result<Option<Verdict>, Trouble> {
        let Some(begun) = &self.begun else { return self.take(end, answers).await };
        // A server may know no more of what has ended.
        let whole = self.get(&begun.task).await?.map(StreamResponse::Task);
        self.take(whole.unwrap_or(end), answers).await
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

fn failed(error: &A2AError, then: Then) -> Verdict {
    let mut reason = format!("the agent's server: {error}");
    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    Verdict::Failed(Failure { reason, then })
}

/// Returns what earlier attempts have kept of their dealings with the server.
fn kept_facts(lease: &Lease) -> impl Iterator<Item = Fact> {
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

#[cfg(test)]
mod tests;
