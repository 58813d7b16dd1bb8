//! One turn of an agent: it is asked, it answers, and it may want to be allowed things meanwhile.
//! Must not know of regions or leases.

use std::collections::VecDeque;
use std::time::Duration;

use photon_edge::v1::types::Message;
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::super::command::Begun;
use super::host::{Host, HostError};
use super::outlet::Outlet;
use super::permission::{self, Allow, Pending, Permissions};
use super::pipe::Broken;
use super::wire::{
    self, CANCEL, Chunk, Content, PROMPT, REQUEST_PERMISSION, Said, Stopped, UPDATE, Update, Wish,
};

/// How long a turn that is called off has to end until its program is ended.
const CANCEL_PATIENCE: Duration = Duration::from_secs(5);
/// The tool calls that are remembered until the agent asks for them; the eldest are forgotten.
const CALLS_MAX: usize = 64;
/// Bytes of what is remembered of a tool call; of more the beginning is.
const VALUE_BYTES_MAX: usize = 12 << 10;

/// A turn under way.
#[derive(Debug)]
pub(super) struct Turn {
    /// The session that it is in.
    pub(super) session: String,
    /// Names the answer that ends it.
    asked: u64,
    /// What the agent wants to be allowed.
    pending: Option<Pending>,
    /// What is known of its tool calls, by their ids.
    calls: VecDeque<(String, Map<String, Value>)>,
    /// How many questions the client was asked.
    questions: u32,
    /// Whether something of its answer was passed on before its task was paused.
    pub(super) begun: Begun,
}

/// Why a turn is not followed any more.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum End {
    /// The agent has ended it, and why.
    Stopped(String),
    /// The client has to be asked.
    Asks,
}

impl Turn {
    /// Asks the agent.
    pub(super) fn begin(
        host: &mut Host,
        session: String,
        prompt: &[Content],
        meta: &Value,
    ) -> Result<Self, Broken> {
        host.pipe.forget_asides();
        let params = json!({"sessionId": session, "prompt": prompt, "_meta": meta});
        let asked = host.ask(PROMPT, &params)?;
        let (pending, calls, questions) = (None, VecDeque::new(), 0);
        Ok(Self { session, asked, pending, calls, questions, begun: Begun::Not })
    }

    /// Follows the turn to its end, or until the client has to be asked. May be dropped, if what
    /// it answers is of no use any more.
    pub(super) async fn follow(
        &mut self,
        host: &mut Host,
        outlet: &mut Outlet,
        permissions: Permissions,
    ) -> Result<End, HostError> {
        loop {
            if self.pending.is_some() {
                outlet.flush().await;
                // Nobody writes while it waits: what the client has answered before is written now.
                host.pipe.flush().await?;
                return Ok(End::Asks);
            }
            let said = tokio::select! {
                said = host.pipe.next() => said?,
                () = outlet.is_due() => {
                    outlet.flush().await;
                    continue;
                }
            };
            match said {
                Said::Answer { id, result } if id == self.asked => {
                    let value = result.map_err(|error| host.refused(PROMPT, &error))?;
                    let stopped: Stopped = serde_json::from_value(value).map_err(|error| {
                        let why = error.to_string();
                        HostError::Malformed { method: PROMPT, why }
                    })?;
                    return Ok(End::Stopped(stopped.stop_reason));
                }
                Said::Answer { .. } => {}
                Said::Notice { method, params } => {
                    if let Some(chunk) = self.hear(&method, params) {
                        outlet.push(chunk).await;
                    }
                }
                Said::Request { id, method, params } => {
                    self.serve(host, permissions, id, &method, params)?;
                }
            }
        }
    }

    /// Takes in what the agent tells; returns what is of its answer.
    fn hear(&mut self, method: &str, params: Value) -> Option<Chunk> {
        if method != UPDATE {
            return None;
        }
        let Update { session_id, update } = serde_json::from_value(params).ok()?;
        if session_id != self.session {
            return None;
        }
        match update.get("sessionUpdate")?.as_str()? {
            "agent_message_chunk" => return serde_json::from_value(update).ok(),
            "tool_call" | "tool_call_update" => self.remember(&update),
            other => tracing::trace!(kind = other, "the agent tells what is no answer"),
        }
        None
    }

    /// Remembers what a tool call is about: the agent may name it by its id alone later.
    fn remember(&mut self, call: &Value) {
        let Some(id) = call.get("toolCallId").and_then(Value::as_str) else { return };
        let known = self.calls.iter().position(|it| it.0 == id);
        let at = known.unwrap_or_else(|| {
            if CALLS_MAX <= self.calls.len() {
                self.calls.pop_front();
            }
            self.calls.push_back((id.to_owned(), Map::new()));
            self.calls.len() - 1
        });
        for key in ["title", "kind", "rawInput", "locations"] {
            if let Some(told) = call.get(key).filter(|it| !it.is_null()) {
                let shown = permission::shown(told, VALUE_BYTES_MAX);
                self.calls[at].1.insert(key.to_owned(), shown);
            }
        }
    }

    /// Answers what the agent asks, or keeps it for the client.
    fn serve(
        &mut self,
        host: &mut Host,
        permissions: Permissions,
        id: Value,
        method: &str,
        params: Value,
    ) -> Result<(), Broken> {
        if method != REQUEST_PERMISSION {
            return host.pipe.send(&wire::no_method(&id, method));
        }
        let mut wish: Wish = match serde_json::from_value(params) {
            Ok(wish) => wish,
            Err(error) => {
                let why = error.to_string();
                return host.pipe.send(&wire::refusal(&id, wire::INVALID_PARAMS, &why));
            }
        };
        if wish.session_id != self.session {
            // It is of a turn that is over, perhaps another client's.
            return host.pipe.send(&wire::answer(&id, &permission::off()));
        }
        let outcome = match permissions {
            Permissions::Allow => permission::outcome(&wish.options, Allow::Yes),
            Permissions::Reject => permission::outcome(&wish.options, Allow::No),
            // Nothing that a client could say would be an answer.
            Permissions::Ask if wish.options.is_empty() => permission::off(),
            Permissions::Ask => {
                self.complete(&mut wish.tool_call);
                self.pending = Some(Pending { id, wish });
                return Ok(());
            }
        };
        host.pipe.send(&wire::answer(&id, &outcome))
    }

    /// Puts in what was told of a tool call before.
    fn complete(&self, call: &mut Value) {
        let Value::Object(call) = call else { return };
        let id = call.get("toolCallId").and_then(Value::as_str);
        let known = self.calls.iter().find(|it| Some(it.0.as_str()) == id);
        for (key, told) in known.into_iter().flat_map(|it| &it.1) {
            if call.get(key).is_none_or(Value::is_null) {
                call.insert(key.clone(), told.clone());
            }
        }
    }

    /// Returns the question to the client. `prefix` makes its name one of a kind, `before` is said
    /// first.
    pub(super) fn question(&mut self, prefix: &str, before: &str) -> Option<Message> {
        self.questions += 1;
        let id = format!("{prefix}-{}", self.questions);
        self.pending.as_ref().map(|it| permission::question(id, &it.wish, before))
    }

    /// Tells the agent what its client has answered; false if that is none of the choices.
    pub(super) fn tell(&mut self, host: &mut Host, answer: &Message) -> Result<bool, Broken> {
        let Some(pending) = &self.pending else { return Ok(true) };
        let Some(choice) = permission::chosen(&pending.wish.options, answer) else {
            return Ok(false);
        };
        let line = wire::answer(&pending.id, &permission::selected(choice));
        self.pending = None;
        host.pipe.send(&line).map(|()| true)
    }

    /// Calls the turn off; whether the agent has ended it in time, so that it can go on with
    /// something else.
    pub(super) async fn call_off(&mut self, host: &mut Host) -> bool {
        let ending = async {
            if let Some(pending) = self.pending.take() {
                host.pipe.send(&wire::answer(&pending.id, &permission::off()))?;
            }
            let params = json!({"sessionId": self.session});
            host.pipe.send(&wire::notice(CANCEL, &params))?;
            loop {
                match host.pipe.next().await? {
                    Said::Answer { id, .. } if id == self.asked => return Ok::<_, Broken>(()),
                    Said::Answer { .. } | Said::Notice { .. } => {}
                    Said::Request { id, method, .. } if method == REQUEST_PERMISSION => {
                        host.pipe.send(&wire::answer(&id, &permission::off()))?;
                    }
                    Said::Request { id, method, .. } => {
                        host.pipe.send(&wire::no_method(&id, &method))?;
                    }
                }
            }
        };
        matches!(timeout(CANCEL_PATIENCE, ending).await, Ok(Ok(())))
    }
}
