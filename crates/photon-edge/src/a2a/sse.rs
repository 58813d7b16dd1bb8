//! Updates as server-sent events; the id of each is the generation.
//! Must not know what an update means.

use std::convert::Infallible;
use std::time::Duration;

use ::a2a::JsonRpcId;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;

use super::extensions::Generations;
use super::fault::Fault;
use super::incoming::{Call, Dialect};
use super::rpc::Success;
use super::updates::{Update, Updates};

/// A comment is sent when nothing else was for this long, so that nobody between us hangs up.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(15);

/// What is put around an update.
#[derive(Clone, Debug)]
pub(super) enum Binding {
    /// A JSON-RPC response to the request of this id, in the words of this version.
    Rpc(JsonRpcId, Dialect),
    /// Nothing.
    Rest,
}

impl Call {
    /// Answers with the updates as they come.
    pub(super) fn streamed(&self, updates: Updates, binding: Binding) -> Response {
        response(updates, binding, self.generations)
    }
}

fn response(updates: Updates, binding: Binding, generations: Generations) -> Response {
    let events = stream::unfold(Some((updates, binding)), move |state| async move {
        let (mut updates, binding) = state?;
        match updates.next().await {
            Ok(Some(update)) => {
                let event = event(&binding, generations, &update);
                Some((event, Some((updates, binding))))
            }
            Ok(None) => None,
            Err(fault) => Some((broken(&binding, &fault), None)),
        }
    });
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE_EVERY);
    let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
    // nginx holds streams back unless it is told not to.
    response.headers_mut().insert("x-accel-buffering", "no".parse().expect("a constant"));
    response
}

fn event(
    binding: &Binding,
    generations: Generations,
    update: &Update,
) -> Result<Event, Infallible> {
    let event = match update.generation {
        Some(generation) => Event::default().id(generation.to_string()),
        None => Event::default(),
    };
    let said = generations.tell(&update.response);
    Ok(match binding {
        Binding::Rpc(id, dialect) => data(event, Success::new(id, dialect.say(said))),
        Binding::Rest => data(event, said),
    })
}

fn broken(binding: &Binding, fault: &Fault) -> Result<Event, Infallible> {
    let event = Event::default().event("error");
    Ok(match binding {
        Binding::Rpc(id, _) => data(event, fault.rpc_body(id.clone())),
        Binding::Rest => data(event, fault.rest_body()),
    })
}

fn data(event: Event, body: impl Serialize) -> Event {
    event.json_data(body).expect("what A2A says is JSON")
}
