//! The HTTP+JSON binding: method and path name the operation.
//! Must not know what an operation does.

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;
use serde_json::Value;

use super::calls::long_poll;
use super::fault::{Fault, Kind, MEDIA_TYPE};
use super::incoming::{Call, Incoming, params};
use super::sse::Binding;
use crate::Front;

/// Returns the routes below the address of an agent or of the router.
pub(super) fn routes() -> Router<Front> {
    Router::new()
        .route("/message:send", post(send))
        .route("/message:stream", post(stream))
        .route("/tasks", get(list))
        .route("/tasks/{task}", get(read_task).post(change_task))
        .route("/tasks/{task}/pushNotificationConfigs", get(list_pushes).post(create_push))
        .route("/tasks/{task}/pushNotificationConfigs/{config}", get(read_push).delete(delete_push))
        .route("/extendedAgentCard", get(extended_card))
}

/// What the query of a list may hold.
const LIST_FIELDS: [&str; 7] = [
    "contextId",
    "status",
    "pageSize",
    "pageToken",
    "historyLength",
    "statusTimestampAfter",
    "includeArtifacts",
];
/// What the query of a task may hold.
const TASK_FIELDS: [&str; 2] = ["historyLength", "currentGeneration"];
/// What the query of a list of push configurations may hold.
const PUSH_FIELDS: [&str; 2] = ["pageSize", "pageToken"];

/// A fault on its way out through this binding.
struct RestFault(Fault);

impl From<Fault> for RestFault {
    fn from(fault: Fault) -> Self {
        Self(fault)
    }
}

impl IntoResponse for RestFault {
    fn into_response(self) -> Response {
        self.0.rest()
    }
}

async fn send(mut incoming: Incoming) -> Result<Response, RestFault> {
    let (call, given) = understood(&mut incoming)?;
    Ok(call.told(call.send(given).await?))
}

async fn stream(mut incoming: Incoming) -> Result<Response, RestFault> {
    let (call, given) = understood(&mut incoming)?;
    Ok(call.streamed(call.stream(given).await?, Binding::Rest))
}

async fn list(incoming: Incoming) -> Result<Response, RestFault> {
    let call = incoming.call(&LIST_FIELDS)?;
    Ok(call.told(call.list(params(incoming.query_json())?).await?))
}

/// Serves `GET /tasks/{id}` and `GET /tasks/{id}:subscribe`: routes cannot end in a verb.
async fn read_task(incoming: Incoming) -> Result<Response, RestFault> {
    match incoming.task.split_once(':') {
        None => {
            let call = incoming.call(&TASK_FIELDS)?;
            let given = with_id(incoming.query_json(), &incoming.task);
            let (given, after) = long_poll(given)?;
            Ok(call.told(call.task(given, after).await?))
        }
        Some((id, "subscribe")) => {
            let call = incoming.call(&[])?;
            let given = with_id(incoming.query_json(), id);
            Ok(call.streamed(call.subscribe(params(given)?).await?, Binding::Rest))
        }
        Some((_, verb)) => Err(no_verb(verb)),
    }
}

/// Serves `POST /tasks/{id}:cancel` and `POST /tasks/{id}:subscribe`.
async fn change_task(mut incoming: Incoming) -> Result<Response, RestFault> {
    let understood = understood(&mut incoming);
    match incoming.task.split_once(':') {
        Some((id, "cancel")) => {
            let (call, given) = understood?;
            let given = with_id(given, id);
            Ok(call.told(call.cancel(params(given)?).await?))
        }
        Some((id, "subscribe")) => {
            let (call, given) = understood?;
            let given = with_id(given, id);
            Ok(call.streamed(call.subscribe(params(given)?).await?, Binding::Rest))
        }
        Some((_, verb)) => Err(no_verb(verb)),
        None => Err(no_verb("")),
    }
}

async fn create_push(mut incoming: Incoming) -> Result<Response, RestFault> {
    let (call, given) = understood(&mut incoming)?;
    let given = with("taskId", given, &incoming.task);
    Ok(answer(call.create_push(params(given)?).await?))
}

async fn list_pushes(incoming: Incoming) -> Result<Response, RestFault> {
    let call = incoming.call(&PUSH_FIELDS)?;
    let given = with("taskId", incoming.query_json(), &incoming.task);
    Ok(answer(call.pushes(params(given)?).await?))
}

async fn read_push(incoming: Incoming) -> Result<Response, RestFault> {
    let (call, given) = about_push(&incoming)?;
    Ok(answer(call.push(params(given)?).await?))
}

async fn delete_push(incoming: Incoming) -> Result<Response, RestFault> {
    let (call, given) = about_push(&incoming)?;
    call.delete_push(params(given)?).await?;
    Ok(answer(Value::Object(serde_json::Map::new())))
}

/// Returns a call about one push configuration.
fn about_push(incoming: &Incoming) -> Result<(Call, Value), Fault> {
    let call = incoming.call(&[])?;
    let given = with("taskId", incoming.query_json(), &incoming.task);
    Ok((call, with("id", given, &incoming.config)))
}

async fn extended_card(incoming: Incoming) -> Result<Response, RestFault> {
    Ok(answer(incoming.call(&[])?.extended_card().await?))
}

/// Returns a call with what its body says.
fn understood(incoming: &mut Incoming) -> Result<(Call, Value), Fault> {
    let call = incoming.call(&[])?;
    let given = incoming.json()?;
    Ok((call.of_tenant_in(&given)?, given))
}

fn no_verb(verb: &str) -> RestFault {
    let verb: String = verb.chars().take(32).collect();
    let message = format!(
        "a task has no operation `:{verb}` by this method; there are GET, POST :cancel, \
         POST :subscribe and GET :subscribe"
    );
    RestFault(Fault::new(Kind::Method, message))
}

/// Puts the id of the path among the parameters: it is the one that counts.
fn with_id(given: Value, id: &str) -> Value {
    with("id", given, id)
}

/// Puts a name of the path among the parameters.
fn with(field: &str, mut given: Value, name: &str) -> Value {
    if let Value::Object(fields) = &mut given {
        fields.insert(field.to_owned(), Value::from(name));
    }
    given
}

impl Call {
    /// Answers with what is said of tasks.
    fn told(&self, said: impl Serialize) -> Response {
        answer(self.generations.tell(said))
    }
}

fn answer(body: impl Serialize) -> Response {
    let mut response = axum::Json(body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    response
}
