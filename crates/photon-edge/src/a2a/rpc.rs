//! The JSON-RPC binding: one address, the operation is named in the body.
//! Must not know what an operation does.

use ::a2a::{JsonRpcId, methods};
use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

use super::fault::{Fault, Kind};
use super::incoming::{Call, Incoming, params};
use super::sse::{self, Binding};

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
    match incoming.call(&[]) {
        Ok(call) => dispatch(call, request).await,
        Err(fault) => Err(fault),
    }
    .unwrap_or_else(|fault| fault.rpc(id))
}

async fn dispatch(call: Call, request: Request) -> Result<Response, Fault> {
    let Request { id, method, params: given } = request;
    let call = call.of_tenant_in(&given)?;
    match method.as_str() {
        methods::SEND_MESSAGE => Ok(answer(&id, call.send(given).await?)),
        methods::SEND_STREAMING_MESSAGE => {
            Ok(sse::response(call.stream(given).await?, Binding::Rpc(id)))
        }
        methods::GET_TASK => Ok(answer(&id, call.task(params(given)?).await?)),
        methods::LIST_TASKS => Ok(answer(&id, call.list(params(given)?).await?)),
        methods::CANCEL_TASK => Ok(answer(&id, call.cancel(params(given)?).await?)),
        methods::SUBSCRIBE_TO_TASK => {
            Ok(sse::response(call.subscribe(params(given)?).await?, Binding::Rpc(id)))
        }
        methods::CREATE_PUSH_CONFIG
        | methods::GET_PUSH_CONFIG
        | methods::LIST_PUSH_CONFIGS
        | methods::DELETE_PUSH_CONFIG => Err(Fault::no_push()),
        methods::GET_EXTENDED_AGENT_CARD => Ok(answer(&id, call.extended_card().await?)),
        _ => {
            let method: String = method.chars().take(64).collect();
            Err(Fault::new(Kind::Method, format!("there is no method `{method}`")))
        }
    }
}

fn answer(id: &JsonRpcId, result: impl Serialize) -> Response {
    Json(Success::new(id, result)).into_response()
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
