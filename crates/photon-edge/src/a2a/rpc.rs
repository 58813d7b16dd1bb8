//! The JSON-RPC binding: one address, the operation is named in the body.
//! Must not know what an operation does.

use ::a2a::{JsonRpcId, methods};
use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

use super::calls::long_poll;
use super::fault::{Fault, Kind};
use super::incoming::{Call, Dialect, Incoming, params};
use super::sse::Binding;
use super::{v03, v03_push};

/// A JSON-RPC response that carries a result.
#[derive(Serialize)]
pub(super) struct Success<'a, T> {
    jsonrpc: &'static str,
    id: &'a JsonRpcId,
    result: T,
}

impl<'a, T> Success<'a, T> {
    /// Makes the response to the request of this id.
    pub(super) fn new(id: &'a JsonRpcId, result: T) -> Self {
        Self { jsonrpc: "2.0", id, result }
    }
}

/// Serves a JSON-RPC request.
pub(super) async fn serve(mut incoming: Incoming) -> Response {
    let request = match Request::read(&mut incoming) {
        Ok(request) => request,
        Err((id, fault)) => return fault.rpc(id),
    };
    let id = request.id.clone();
    match Understood::of(&incoming, request) {
        Ok((call, understood)) => dispatch(call, understood).await,
        Err(fault) => Err(fault),
    }
    .unwrap_or_else(|fault| fault.rpc(id))
}

/// A request in the words of 1.0.
struct Understood {
    id: JsonRpcId,
    method: String,
    params: Value,
    dialect: Dialect,
}

impl Understood {
    /// Understands a request. Silence about the version means that of the method: where the
    /// specification has it mean 0.3, methods of 1.0 would help nobody by being unknown.
    fn of(incoming: &Incoming, request: Request) -> Result<(Call, Self), Fault> {
        let Request { id, method, params } = request;
        let old = v03::method(&method);
        let dialect = match incoming.dialect()? {
            Some(dialect) => dialect,
            None if old.is_some() => Dialect::V03,
            None => Dialect::V10,
        };
        let call = incoming.call_in_any(&[])?;
        let (method, params) = match (dialect, old) {
            (Dialect::V10, None) => (method, params),
            (Dialect::V03, Some(ours)) => (ours.to_owned(), v03::params(ours, params)?),
            (Dialect::V10, Some(_)) | (Dialect::V03, None) => return Err(no_method(&method)),
        };
        let call = Call { dialect, ..call.of_tenant_in(&params)? };
        Ok((call, Self { id, method, params, dialect }))
    }
}

fn no_method(method: &str) -> Fault {
    let method: String = method.chars().take(64).collect();
    Fault::new(Kind::Method, format!("there is no method `{method}`"))
}

async fn dispatch(call: Call, understood: Understood) -> Result<Response, Fault> {
    let Understood { id, method, params: given, dialect } = understood;
    let binding = Binding::Rpc(id.clone(), dialect);
    let told = |said| answer(&id, dialect, said);
    let config = |said| match dialect {
        Dialect::V10 => told(said),
        Dialect::V03 => answer(&id, Dialect::V10, v03_push::config_to(said)),
    };
    match method.as_str() {
        methods::SEND_MESSAGE => Ok(told(call.generations.tell(call.send(given).await?))),
        methods::SEND_STREAMING_MESSAGE => Ok(call.streamed(call.stream(given).await?, binding)),
        methods::GET_TASK => {
            let (given, after) = long_poll(given)?;
            Ok(told(call.generations.tell(call.task(given, after).await?)))
        }
        methods::LIST_TASKS => Ok(told(call.generations.tell(call.list(params(given)?).await?))),
        methods::CANCEL_TASK => Ok(told(call.generations.tell(call.cancel(params(given)?).await?))),
        methods::SUBSCRIBE_TO_TASK => {
            Ok(call.streamed(call.subscribe(params(given)?).await?, binding))
        }
        methods::CREATE_PUSH_CONFIG => Ok(config(written(call.create_push(params(given)?).await?))),
        methods::GET_PUSH_CONFIG => Ok(config(written(call.push(params(given)?).await?))),
        methods::LIST_PUSH_CONFIGS => {
            let configs = written(call.pushes(params(given)?).await?);
            let configs = match dialect {
                Dialect::V10 => configs,
                Dialect::V03 => v03_push::configs_to(configs),
            };
            Ok(answer(&id, Dialect::V10, configs))
        }
        methods::DELETE_PUSH_CONFIG => {
            call.delete_push(params(given)?).await?;
            Ok(told(Value::Null))
        }
        methods::GET_EXTENDED_AGENT_CARD => {
            let card = call.extended_card().await?;
            // It may have any field besides, which is not to be taken for one of a task.
            let card = match dialect {
                Dialect::V10 => card,
                Dialect::V03 => v03::card(card),
            };
            Ok(answer(&id, Dialect::V10, card))
        }
        _ => Err(no_method(&method)),
    }
}

fn answer(id: &JsonRpcId, dialect: Dialect, result: Value) -> Response {
    Json(Success::new(id, dialect.say(result))).into_response()
}

fn written(result: impl Serialize) -> Value {
    serde_json::to_value(result).expect("what A2A says is JSON")
}

impl Dialect {
    /// Returns what 1.0 answers in the words of this version.
    pub(super) fn say(self, answer: Value) -> Value {
        match self {
            Self::V10 => answer,
            Self::V03 => v03::answer(answer),
        }
    }
}

/// A JSON-RPC request whose method and parameters are still to be understood.
struct Request {
    id: JsonRpcId,
    method: String,
    params: Value,
}

impl Request {
    /// Reads a request; on failure the answer goes to the id, if one could be read.
    fn read(incoming: &mut Incoming) -> Result<Self, (JsonRpcId, Fault)> {
        let body = incoming.json().map_err(|fault| (JsonRpcId::Null, fault))?;
        let wrong = |id, help: &str| (id, Fault::new(Kind::Request, help));
        let Value::Object(mut body) = body else {
            return Err(wrong(JsonRpcId::Null, "the body is one JSON-RPC request: an object"));
        };
        let Some(id) = body.remove("id").and_then(|id| serde_json::from_value(id).ok()) else {
            let help = "`id`: give the request a string or a whole number";
            return Err(wrong(JsonRpcId::Null, help));
        };
        if body.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
            return Err(wrong(id, "`jsonrpc`: use \"2.0\""));
        }
        let Some(Value::String(method)) = body.remove("method") else {
            return Err(wrong(id, "`method`: name one, such as \"SendMessage\""));
        };
        match body.remove("params") {
            None | Some(Value::Null) => Ok(Self { id, method, params: Map::new().into() }),
            Some(params @ Value::Object(_)) => Ok(Self { id, method, params }),
            Some(_) => Err((id, Fault::field("params", "name the parameters: use an object"))),
        }
    }
}
