//! A message of a client, made into what a region is asked to do.
//! Must not know how the message arrived, nor what became of it.

use std::sync::Arc;
use std::time::SystemTime;

use ::a2a::{Message, Role, SendMessageConfiguration, SendMessageRequest};
use photon_region::{Idempotency, Json, Spec, Target};
use photon_state::PlacementId;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::extensions::{self, GENERATION, IDEMPOTENCY};
use super::fault::Fault;
use super::find;
use super::incoming::{Call, Dialect, params};
use super::push::Wanted;
use super::routing::{self, Options};
use super::task::HistoryLength;
use crate::ids::new_uuid;
use crate::names;

/// Where the webhook is that comes with a message.
fn push_field(call: &Call) -> &'static str {
    match call.dialect {
        Dialect::V10 => "configuration.taskPushNotificationConfig.",
        Dialect::V03 => "configuration.pushNotificationConfig.",
    }
}

/// What a client sends, understood.
#[derive(Debug)]
pub(super) struct Sending {
    /// What the message is for.
    pub(super) what: What,
    /// When the client wants its answer.
    pub(super) answer: Answer,
    /// How much of the history it wants with it.
    pub(super) history: HistoryLength,
    /// The webhook that shall be told what becomes of it.
    pub(super) push: Option<Wanted>,
}

/// What a message is for.
#[derive(Debug)]
pub(super) enum What {
    /// A new task.
    Task(Box<Beginning>),
    /// An answer to what the agent asked in a task.
    Answer {
        /// The task, as the client names it.
        task: String,
        /// The conversation, if the client says.
        context: Option<String>,
        /// The answer.
        message: Box<Message>,
        /// The generation that the task must be at, if the client says.
        at: Option<u64>,
    },
}

/// A task that is to begin.
#[derive(Debug)]
pub(super) struct Beginning {
    /// What is asked for.
    pub(super) spec: Spec,
    /// Why it cannot begin: then the message is taken only if it was sent before, under its key.
    pub(super) hindrance: Option<Fault>,
}

/// When a client wants its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// When the task has ended.
    AtTheEnd,
    /// As soon as the task is durable.
    AtOnce,
}

impl Sending {
    /// Understands the parameters of `SendMessage` and `SendStreamingMessage`.
    pub(super) async fn from_params(call: &Call, value: Value) -> Result<Self, Fault> {
        // The digest is taken of what the client wrote, before anything is filled in.
        let written = value.get("message").cloned().unwrap_or_default();
        let at = generation(&value)?;
        let mut request: SendMessageRequest = params(value)?;
        check(&request.message)?;
        let configuration = request.configuration.take();
        let configuration = configuration.unwrap_or(SendMessageConfiguration {
            accepted_output_modes: None,
            task_push_notification_config: None,
            history_length: None,
            return_immediately: None,
        });
        let push = configuration.task_push_notification_config.as_ref();
        let push = push.map(|it| Wanted::read(it, push_field(call), call)).transpose()?;
        let history =
            HistoryLength::new(configuration.history_length, "configuration.historyLength")?;
        let answer = match configuration.return_immediately {
            Some(true) => Answer::AtOnce,
            Some(false) | None => Answer::AtTheEnd,
        };
        let what = what(call, request, written, at).await?;
        Ok(Self { what, answer, history, push })
    }
}

/// Returns the generation that the task of a message must be at: as A2A 1.1 has it, or, where no
/// such field can be said, in the metadata.
fn generation(params: &Value) -> Result<Option<u64>, Fault> {
    let metadata = format!("metadata.{GENERATION}.");
    let inner = params.get("metadata").and_then(|it| it.get(GENERATION));
    let places = [("configuration.", params.get("configuration")), (&metadata, inner)];
    for (place, fields) in places {
        let fields = fields.and_then(Value::as_object);
        if let Some(at) = extensions::generation(fields, place, "ifGenerationMatch")? {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

async fn what(
    call: &Call,
    request: SendMessageRequest,
    written: Value,
    at: Option<u64>,
) -> Result<What, Fault> {
    if let Some(task) = request.message.task_id.clone().filter(|id| !id.is_empty()) {
        routing::check_answer(&request)?;
        let mut message = request.message;
        let context = message.context_id.take().filter(|id| !id.is_empty());
        return Ok(What::Answer { task, context, message: Box::new(message), at });
    }
    let (placement, ack) = (routing::placement(&request)?, routing::ack(call, &request)?);
    let Options { said, terms, late } = routing::options(&request, now_ms())?;
    let asked = routing::target(call, &request)?;
    let idempotency = call.idempotency_key.clone().map(|key| {
        let digest = digest(asked.as_ref(), placement, said, written);
        Idempotency { key, digest }
    });
    let target = match (asked, &late) {
        (None, None) => find::fitting(&call.front, &request.message, placement).await?,
        (asked, _) => asked,
    };
    let hindrance = late.or_else(|| target.is_none().then(routing::nobody));
    if let Some(fault) = hindrance.clone().filter(|_| idempotency.is_none()) {
        return Err(fault); // Without a key nobody can have sent it before.
    }
    let target = target.filter(|_| hindrance.is_none());
    let target = target.unwrap_or_else(|| Target::Skill(OF_NOBODY.into()));
    let (message, context) = in_context(request.message)?;
    let message = kept(&message);
    let spec = Spec { target, placement, message, context, idempotency, ack, terms };
    Ok(What::Task(Box::new(Beginning { spec, hindrance })))
}

/// A skill that no agent has, since names of skills are not empty: what is asked of it is answered
/// only if it was sent before.
const OF_NOBODY: &str = "";

/// Returns what the clock says, in milliseconds since 1970.
fn now_ms() -> u64 {
    let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}

/// Writes a message as the region keeps it: the same whenever it is sent again.
pub(super) fn kept(message: &Message) -> Json {
    let mut message = serde_json::to_value(message).expect("a message is JSON");
    message.sort_all_objects();
    Json(message.to_string().into())
}

fn check(message: &Message) -> Result<(), Fault> {
    if message.message_id.is_empty() {
        return Err(Fault::field("message.messageId", "give each message a name of its own"));
    }
    // An agent that asks another one may well call itself one; only silence is refused.
    if message.role == Role::Unspecified {
        return Err(Fault::field("message.role", "a client says `ROLE_USER`"));
    }
    if message.parts.is_empty() {
        return Err(Fault::field("message.parts", "at least one part is required"));
    }
    Ok(())
}

/// Fills in the conversation; what is empty in Protocol Buffers counts as absent.
fn in_context(mut message: Message) -> Result<(Message, Arc<str>), Fault> {
    message.task_id = None;
    let context = message.context_id.take().filter(|id| !id.is_empty());
    let context = context.unwrap_or_else(new_uuid);
    let context = names::label("message.contextId", &context)?;
    message.context_id = Some(context.to_string());
    Ok((message, context))
}

impl Call {
    /// Heeds the key that makes a message harmless to repeat, if the message has it.
    pub(super) fn keyed(&self, params: &Value) -> Result<Self, Fault> {
        let mut call = self.clone();
        let message = params.get("message").and_then(|it| it.get("metadata"));
        for (place, metadata) in [("message.", message), ("", params.get("metadata"))] {
            let Some(ours) = metadata.and_then(|it| it.get(IDEMPOTENCY)) else { continue };
            let field = format!("{place}metadata.{IDEMPOTENCY}.key");
            let Some(Value::String(key)) = ours.get("key") else {
                return Err(Fault::field(&field, "give the key as a string"));
            };
            let key = names::idempotency_key(&field, key)?;
            if call.idempotency_key.as_ref().is_some_and(|it| *it != key) {
                return Err(Fault::field(&field, "another key was given in another place"));
            }
            call.idempotency_key = Some(key);
        }
        Ok(call)
    }
}

/// Digests what was asked, the same whatever the order of the fields.
fn digest(
    target: Option<&Target>,
    placement: PlacementId,
    said: Vec<Value>,
    message: Value,
) -> [u8; 16] {
    let target = match target {
        Some(Target::Skill(skill)) => json!({ "skill": &**skill }),
        Some(Target::Agent(agent)) => json!({ "agent": &**agent }),
        // Whoever is found: the next time it may be another one.
        None => Value::Null,
    };
    let asked = [target, placement.as_str().into(), message];
    let mut asked = Value::Array(asked.into_iter().chain(said).collect());
    asked.sort_all_objects();
    let hash = Sha256::digest(asked.to_string().as_bytes());
    let mut digest = [0; 16];
    digest.copy_from_slice(&hash[..16]);
    digest
}
