//! What clients of A2A 0.3 say and hear, in the words of 1.0 and back.
//! Must not ask the region anything, nor know what an operation does.
//!
//! The names of the methods tell which version a client of JSON-RPC speaks: no two versions share
//! one. Both versions say the same with other shapes: 0.3 has a `kind` where 1.0 has a field of its
//! own, and writes roles and states in small letters.

use ::a2a::methods;
use serde_json::{Map, Value, json};

use super::fault::Fault;
use super::v03_push;

/// Returns the method of 1.0 that does the same; nothing for what is no method of 0.3.
pub(super) fn method(name: &str) -> Option<&'static str> {
    Some(match name {
        "message/send" => methods::SEND_MESSAGE,
        "message/stream" => methods::SEND_STREAMING_MESSAGE,
        "tasks/get" => methods::GET_TASK,
        "tasks/cancel" => methods::CANCEL_TASK,
        "tasks/resubscribe" => methods::SUBSCRIBE_TO_TASK,
        "agent/getAuthenticatedExtendedCard" => methods::GET_EXTENDED_AGENT_CARD,
        _ => return v03_push::method(name),
    })
}

/// Returns parameters of 0.3 as 1.0 has them, for a method of 1.0. What is of the wrong type stays,
/// and is refused by whoever reads it.
pub(super) fn params(method: &str, mut given: Value) -> Result<Value, Fault> {
    if [
        methods::CREATE_PUSH_CONFIG,
        methods::GET_PUSH_CONFIG,
        methods::LIST_PUSH_CONFIGS,
        methods::DELETE_PUSH_CONFIG,
    ]
    .contains(&method)
    {
        return v03_push::params(method, given);
    }
    if let Some(message) = given.get_mut("message") {
        *message = message_from(message.take())?;
    }
    // Zero was all of it.
    if let Some(fields) = given.as_object_mut() {
        all_if_zero(fields);
    }
    if let Some(Value::Object(configuration)) = given.get_mut("configuration") {
        all_if_zero(configuration);
        if let Some(Value::Bool(is_blocking)) = configuration.remove("blocking") {
            configuration.insert("returnImmediately".to_owned(), Value::Bool(!is_blocking));
        }
        let push = configuration.remove("pushNotificationConfig").filter(|it| !it.is_null());
        if let Some(push) = push {
            let at = "configuration.pushNotificationConfig.";
            let push = v03_push::config_from(push, at)?;
            configuration.insert("taskPushNotificationConfig".to_owned(), push);
        }
    }
    Ok(given)
}

fn all_if_zero(fields: &mut Map<String, Value>) {
    if fields.get("historyLength") == Some(&json!(0)) {
        fields.remove("historyLength");
    }
}

fn message_from(mut message: Value) -> Result<Value, Fault> {
    let Some(fields) = message.as_object_mut() else { return Ok(message) };
    fields.remove("kind");
    match fields.get("role").and_then(Value::as_str) {
        Some("user") => fields.insert("role".to_owned(), json!("ROLE_USER")),
        Some("agent") => fields.insert("role".to_owned(), json!("ROLE_AGENT")),
        Some(_) | None => {
            return Err(Fault::field("message.role", "say `user`, or `agent`"));
        }
    };
    if let Some(Value::Array(parts)) = fields.get_mut("parts") {
        for (at, part) in parts.iter_mut().enumerate() {
            *part = part_from(part.take(), at)?;
        }
    }
    Ok(message)
}

fn part_from(mut part: Value, at: usize) -> Result<Value, Fault> {
    let field = |name: &str| format!("message.parts[{at}].{name}");
    let kind = part.as_object_mut().and_then(|it| it.remove("kind"));
    match kind.as_ref().and_then(Value::as_str) {
        Some("text" | "data") => Ok(part),
        Some("file") => {
            let Some(Value::Object(mut file)) =
                part.as_object_mut().and_then(|it| it.remove("file"))
            else {
                return Err(Fault::field(&field("file"), "give the file, with `bytes` or `uri`"));
            };
            for (theirs, ours) in
                [("bytes", "raw"), ("uri", "url"), ("mimeType", "mediaType"), ("name", "filename")]
            {
                if let Some(value) = file.remove(theirs).filter(|it| !it.is_null()) {
                    part[ours] = value;
                }
            }
            Ok(part)
        }
        Some(_) | None => Err(Fault::field(&field("kind"), "say `text`, `file` or `data`")),
    }
}

/// Returns the card of 1.0 as 0.3 has it: one address, over JSON-RPC.
pub(super) fn card(mut card: Value) -> Value {
    let url = card["supportedInterfaces"][0]["url"].take();
    let pushes = card["capabilities"]["pushNotifications"].take();
    let needs_token = card.get("securityRequirements").is_some();
    let Value::Object(fields) = &mut card else { return card };
    let of_v10 = ["supportedInterfaces", "signatures", "securitySchemes", "securityRequirements"];
    of_v10.into_iter().for_each(|it| drop(fields.remove(it)));
    card["url"] = url;
    card["preferredTransport"] = json!(::a2a::TRANSPORT_PROTOCOL_JSONRPC);
    card["protocolVersion"] = json!("0.3.0");
    card["supportsAuthenticatedExtendedCard"] = json!(true);
    card["capabilities"] = json!({ "streaming": true, "pushNotifications": pushes });
    if needs_token {
        card["securitySchemes"] = json!({ "bearer": { "type": "http", "scheme": "bearer" } });
        card["security"] = json!([{ "bearer": [] }]);
    }
    card
}

/// Returns what 1.0 answers, or one update of a stream, as 0.3 has it.
pub(super) fn answer(answer: Value) -> Value {
    let Value::Object(mut fields) = answer else { return answer };
    if let Some(task) = fields.remove("task") {
        return task_to(task);
    }
    if let Some(message) = fields.remove("message") {
        return message_to(message);
    }
    if let Some(update) = fields.remove("statusUpdate") {
        return status_update_to(update);
    }
    if let Some(mut update) = fields.remove("artifactUpdate") {
        update["kind"] = json!("artifact-update");
        update["artifact"] = artifact_to(update["artifact"].take());
        return update;
    }
    let answer = Value::Object(fields);
    if answer.get("status").is_some() { task_to(answer) } else { answer }
}

fn task_to(mut task: Value) -> Value {
    task["kind"] = json!("task");
    task["status"] = status_to(task["status"].take());
    each(&mut task, "history", message_to);
    each(&mut task, "artifacts", artifact_to);
    task
}

fn status_update_to(mut update: Value) -> Value {
    update["kind"] = json!("status-update");
    update["status"] = status_to(update["status"].take());
    // Where the stream ends.
    let goes_on = matches!(update["status"]["state"].as_str(), Some("submitted" | "working"));
    update["final"] = json!(!goes_on);
    update
}

fn status_to(mut status: Value) -> Value {
    let state = status["state"].as_str().unwrap_or_default();
    let state = state.strip_prefix("TASK_STATE_").unwrap_or(state);
    status["state"] = json!(state.to_ascii_lowercase().replace('_', "-"));
    if let Some(message) = status.get_mut("message") {
        *message = message_to(message.take());
    }
    status
}

fn message_to(mut message: Value) -> Value {
    message["kind"] = json!("message");
    let is_user = message["role"] == "ROLE_USER";
    message["role"] = json!(if is_user { "user" } else { "agent" });
    each(&mut message, "parts", part_to);
    message
}

fn artifact_to(mut artifact: Value) -> Value {
    each(&mut artifact, "parts", part_to);
    artifact
}

fn part_to(mut part: Value) -> Value {
    let Some(fields) = part.as_object_mut() else { return part };
    let mut file = Map::new();
    for (ours, theirs) in [("raw", "bytes"), ("url", "uri")] {
        file.extend(fields.remove(ours).map(|it| (theirs.to_owned(), it)));
    }
    if !file.is_empty() {
        for (ours, theirs) in [("mediaType", "mimeType"), ("filename", "name")] {
            file.extend(fields.remove(ours).map(|it| (theirs.to_owned(), it)));
        }
        fields.insert("file".to_owned(), Value::Object(file));
        fields.insert("kind".to_owned(), json!("file"));
        return part;
    }
    // Text and data had no names and types of their own.
    fields.remove("mediaType");
    fields.remove("filename");
    let is_text = fields.contains_key("text");
    if let Some(data) = fields.get_mut("data").filter(|it| !it.is_object()) {
        *data = json!({ "value": data.take() }); // Data were objects.
    }
    fields.insert("kind".to_owned(), json!(if is_text { "text" } else { "data" }));
    part
}

fn each(of: &mut Value, field: &str, turn: fn(Value) -> Value) {
    if let Some(Value::Array(values)) = of.get_mut(field) {
        values.iter_mut().for_each(|it| *it = turn(it.take()));
    }
}
