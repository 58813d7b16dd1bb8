//! Tools and prompts that ask their client something and are called again with the answer.
//! Must not remember anything between two calls: what is to be known comes back with the second.

use std::sync::LazyLock;

use hmac::{Hmac, KeyInit, Mac};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ClientCapabilities, GetPromptRequestParams,
    GetPromptResponse, InputResponses,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{made, text};

/// Seals what comes back.
static KEY: LazyLock<[u8; 32]> = LazyLock::new(|| {
    let mut key = [0; 32];
    getrandom::fill(&mut key).expect("the system has chance");
    key
});

fn sealed(state: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(&*KEY).expect("keys may have any length");
    mac.update(state.as_bytes());
    let seal: String = mac.finalize().into_bytes().iter().map(|it| format!("{it:02x}")).collect();
    format!("{state}.{seal}")
}

/// Opens what came back; an error if somebody has changed it.
fn opened(state: Option<&String>) -> Result<Option<&str>, ErrorData> {
    let Some(state) = state else { return Ok(None) };
    match state.split_once('.') {
        Some((plain, _)) if sealed(plain) == *state => Ok(Some(plain)),
        Some(_) | None => Err(ErrorData::invalid_params("`requestState` was changed", None)),
    }
}

pub(super) fn elicit(message: &str, schema: &Value) -> Value {
    json!({"method": "elicitation/create", "params": {
        "mode": "form", "message": message, "requestedSchema": schema}})
}

pub(super) fn one(name: &str, kind: &str) -> Value {
    json!({"type": "object", "properties": {name: {"type": kind}}, "required": [name]})
}

pub(super) fn sample(prompt: &str) -> Value {
    let content = json!({"type": "text", "text": prompt});
    json!({"method": "sampling/createMessage", "params": {
        "messages": [{"role": "user", "content": content}], "maxTokens": 100}})
}

fn roots() -> Value {
    json!({"method": "roots/list"})
}

fn needs(requests: impl Into<Value>, state: Option<&str>) -> Value {
    let requests = requests.into();
    let mut result = json!({"resultType": "input_required", "inputRequests": requests});
    if let Some(state) = state {
        result["requestState"] = json!(sealed(state));
    }
    result
}

fn user_name() -> Value {
    json!({"user_name": elicit("What is your name?", &one("name", "string"))})
}

pub(super) fn ask_name() -> Result<Value, ErrorData> {
    Ok(needs(user_name(), None))
}

/// Returns the name that a client has given.
pub(super) fn name(request: &CallToolRequestParams) -> Option<String> {
    let given = request.input_responses.as_ref()?.get("user_name")?;
    given["content"]["name"].as_str().map(str::to_owned)
}

/// Answers a tool of several rounds, if it is one.
pub(super) fn answer(
    request: &CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Option<Result<CallToolResponse, ErrorData>> {
    let answer = match &*request.name {
        "test_missing_capability" => missing(context),
        "test_streaming_elicitation" => ask_name(),
        _ => round(request, context)?,
    };
    Some(answer.and_then(|it| match it["resultType"].as_str() {
        Some("input_required") => Ok(CallToolResponse::InputRequired(made(it)?)),
        Some(_) | None => Ok(CallToolResponse::Complete(made(it)?)),
    }))
}

fn missing(context: &RequestContext<RoleServer>) -> Result<Value, ErrorData> {
    let has = context.client_capabilities().is_some_and(|it| it.sampling.is_some());
    if has {
        return Ok(text("the client can sample"));
    }
    let needed: ClientCapabilities = made(json!({"sampling": {}}))?;
    Err(ErrorData::missing_required_client_capability(needed))
}

fn round(
    request: &CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Option<Result<Value, ErrorData>> {
    let which = request.name.strip_prefix("test_input_required_result_")?;
    let empty = InputResponses::new();
    let given = request.input_responses.as_ref().unwrap_or(&empty);
    let has = |key: &str| given.get(key).is_some_and(|it| !it.is_null());
    let confirm = || json!({"confirm": elicit("Go on?", &one("ok", "boolean"))});
    let state = match opened(request.request_state.as_ref()) {
        Ok(state) => state,
        Err(err) => return Some(Err(err)),
    };
    Some(Ok(match which {
        "elicitation" => match name(request) {
            Some(name) => text(format!("Hello, {name}!")),
            None => needs(user_name(), None),
        },
        "sampling" if has("capital_question") => text("the capital is known"),
        "sampling" => {
            needs(json!({"capital_question": sample("What is the capital of France?")}), None)
        }
        "list_roots" if has("client_roots") => text("the roots are known"),
        "list_roots" => needs(json!({"client_roots": roots()}), None),
        "request_state" | "tampered_state" if has("confirm") && state.is_some() => text("state-ok"),
        "request_state" | "tampered_state" => needs(confirm(), Some("confirming")),
        "multiple_inputs" if ["name", "poem", "roots"].iter().all(|it| has(it)) => {
            text("all are known")
        }
        "multiple_inputs" => {
            let name = elicit("What is your name?", &one("name", "string"));
            needs(
                json!({"name": name, "poem": sample("Write a poem.") , "roots": roots()}),
                Some("all"),
            )
        }
        "multi_round" => match state {
            Some("second") if has("step2") => text("both steps are done"),
            Some("first") if has("step1") => {
                let step = elicit("And the second?", &one("colour", "string"));
                needs(json!({"step2": step}), Some("second"))
            }
            Some(_) | None => {
                let step = elicit("The first?", &one("name", "string"));
                needs(json!({"step1": step}), Some("first"))
            }
        },
        "capabilities" => {
            let can = context.client_capabilities().unwrap_or_default();
            let mut asked = json!({});
            if can.sampling.is_some() {
                asked["sampled"] = sample("Say something.");
            }
            if can.elicitation.is_some() {
                asked["name"] = elicit("What is your name?", &one("name", "string"));
            }
            if asked.as_object().is_some_and(|it| it.is_empty()) {
                return Some(missing(context));
            }
            needs(asked, None)
        }
        _ => return None,
    }))
}

/// Answers the prompt of two rounds.
pub(super) fn prompt(request: &GetPromptRequestParams) -> Result<GetPromptResponse, ErrorData> {
    let given = request.input_responses.as_ref().and_then(|it| it.get("user_context"));
    let Some(context) = given.and_then(|it| it["content"]["context"].as_str()) else {
        let asked = elicit("In which context?", &one("context", "string"));
        return Ok(GetPromptResponse::InputRequired(made(needs(
            json!({"user_context": asked}),
            None,
        ))?));
    };
    let content = json!({"type": "text", "text": format!("In the context of {context}: go on.")});
    let prompt = json!({"resultType": "complete",
        "messages": [{"role": "user", "content": content}]});
    Ok(GetPromptResponse::Complete(made(prompt)?))
}
