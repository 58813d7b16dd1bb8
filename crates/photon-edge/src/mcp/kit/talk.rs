//! Tools that speak with their client while they work, as the version of 2025-11-25 has it.
//! Must not be asked of others: they would have nobody to speak with.

use std::time::Duration;

use rmcp::model::{CallToolRequestParams, ServerNotification, ServerRequest};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};
use serde_json::{Value, json};

use super::rounds::{elicit, sample};
use super::{made, text};

/// Answers a tool, if it is one of these.
pub(super) async fn answer(
    request: &CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Option<Result<Value, ErrorData>> {
    let given = |name: &str| {
        let it = request.arguments.as_ref().and_then(|it| it.get(name));
        it.and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    Some(match &*request.name {
        "test_tool_with_progress" => progress(context).await,
        "test_tool_with_logging" => logging(context).await,
        "test_logging_tool" => match context.meta.log_level() {
            Some(_) => logging(context).await,
            None => Ok(text("nothing was logged")),
        },
        "test_sampling" => ask(context, sample(&given("prompt"))).await,
        "test_elicitation" => {
            let schema = json!({"type": "object", "required": ["username", "email"], "properties": {
                "username": {"type": "string"}, "email": {"type": "string"}}});
            ask(context, elicit(&given("message"), &schema)).await
        }
        "test_elicitation_sep1034_defaults" => {
            ask(context, elicit("Are these right?", &defaults())).await
        }
        "test_elicitation_sep1330_enums" => ask(context, elicit("Choose.", &enums())).await,
        _ => return None,
    })
}

fn defaults() -> Value {
    json!({"type": "object", "properties": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "default": "active",
            "enum": ["active", "inactive", "pending"]},
        "verified": {"type": "boolean", "default": true}}})
}

fn enums() -> Value {
    let plain = json!(["one", "two", "three"]);
    let titled = json!([{"const": "one", "title": "One"}, {"const": "two", "title": "Two"}]);
    json!({"type": "object", "properties": {
        "untitledSingle": {"type": "string", "enum": plain},
        "titledSingle": {"type": "string", "oneOf": titled},
        "legacyEnum": {"type": "string", "enum": plain, "enumNames": ["One", "Two", "Three"]},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": plain}},
        "titledMulti": {"type": "array", "items": {"anyOf": titled}}}})
}

/// Asks the client, and tells what it answered.
async fn ask(context: &RequestContext<RoleServer>, asked: Value) -> Result<Value, ErrorData> {
    let request: ServerRequest = made(asked)?;
    let answer = context.peer.send_request(request).await;
    let answer = answer.map_err(|err| ErrorData::internal_error(err.to_string(), None))?;
    let answer = serde_json::to_value(answer).unwrap_or_default();
    Ok(text(format!("the client says {answer}")))
}

async fn notify(context: &RequestContext<RoleServer>, told: Value) -> Result<(), ErrorData> {
    let notification: ServerNotification = made(told)?;
    let sent = context.peer.send_notification(notification).await;
    sent.map_err(|err| ErrorData::internal_error(err.to_string(), None))?;
    tokio::time::sleep(Duration::from_millis(50)).await;
    Ok(())
}

async fn progress(context: &RequestContext<RoleServer>) -> Result<Value, ErrorData> {
    if let Some(token) = context.meta.get_progress_token() {
        for done in [0, 50, 100] {
            let params = json!({"progressToken": token, "progress": done, "total": 100});
            let told = json!({"method": "notifications/progress", "params": params});
            notify(context, told).await?;
        }
    }
    Ok(text("all is done"))
}

async fn logging(context: &RequestContext<RoleServer>) -> Result<Value, ErrorData> {
    let lines = ["Tool execution started", "Tool processing data", "Tool execution completed"];
    for line in lines {
        let params = json!({"level": "info", "data": line});
        notify(context, json!({"method": "notifications/message", "params": params})).await?;
    }
    Ok(text("it was logged"))
}
