//! The extension for routing: whom a message is for, where its task may live, how it is queued.
//! Must not know what the message says.

use std::sync::Arc;

use ::a2a::SendMessageRequest;
use photon_region::{Ack, Target, Terms};
use photon_state::PlacementId;
use serde_json::Value;

use super::extensions::{self, ROUTING};
use super::fault::Fault;
use super::incoming::{Call, Door};
use crate::names;
use crate::v1::types::TaskOptions;

/// Finds whom the message is for: the address says so, or else the metadata.
pub(super) fn target(call: &Call, request: &SendMessageRequest) -> Result<Target, Fault> {
    if let Door::Agent(name) = &call.door {
        return Ok(Target::Agent(name.clone()));
    }
    if let Some((field, name)) = metadata(request, "agent")? {
        return Ok(Target::Agent(names::agent_name(&field, name)?));
    }
    let Some((field, skill)) = metadata(request, "skill")? else {
        let help = "say which skill you want, or which agent in `message.metadata.agent`; \
                    or send to /agents/{name}";
        return Err(Fault::field("message.metadata.skill", help));
    };
    Ok(Target::Skill(names::skill(&field, skill)?))
}

/// Finds where the task may live.
pub(super) fn placement(request: &SendMessageRequest) -> Result<PlacementId, Fault> {
    let Some((field, name)) = metadata(request, "placement")? else {
        return Ok(PlacementId::global());
    };
    Ok(names::placement(&field, name)?)
}

/// Finds where the task must be durable before the message is answered.
pub(super) fn ack(request: &SendMessageRequest) -> Result<Ack, Fault> {
    let Some((field, level)) = text(request, "ack", &["photon/ack"])? else {
        return Ok(Ack::Region);
    };
    match level {
        "region" => Ok(Ack::Region),
        "quorum" => Ok(Ack::Quorum),
        _ => Err(Fault::field(&field, "use `region` or `quorum`")),
    }
}

/// How a task is to be queued, timed and tried again: as the client says, and as it is meant.
pub(super) type Options = (Value, Option<Arc<Terms>>);

/// Finds how the task is to be queued, timed and tried again.
pub(super) fn options(request: &SendMessageRequest) -> Result<Option<Options>, Fault> {
    // Others may mean something else by a name without ours in front.
    let Some((field, value)) = found(request, "options", &["photon/options"])? else {
        return Ok(None);
    };
    if !value.is_object() {
        return Err(Fault::field(&field, "use an object"));
    }
    let value = extensions::snake(value);
    let options: TaskOptions = serde_path_to_error::deserialize(&value).map_err(|err| {
        let at = format!("{field}.{}", err.path());
        Fault::field(&at, err.inner().to_string())
    })?;
    let terms = crate::options::terms(&field, &options)?;
    Ok(Some((value, terms)))
}

/// What the extension for routing has in the metadata.
const ROUTING_KEYS: [&str; 5] = ["skill", "agent", "placement", "ack", "options"];

/// Looks up a text in the metadata: in the extension for routing, or as `photon/{key}` or `{key}`.
fn metadata<'a>(
    request: &'a SendMessageRequest,
    key: &str,
) -> Result<Option<(String, &'a str)>, Fault> {
    text(request, key, &[&format!("photon/{key}"), key])
}

/// Looks up a text as [`found`] does.
fn text<'a>(
    request: &'a SendMessageRequest,
    key: &str,
    others: &[&str],
) -> Result<Option<(String, &'a str)>, Fault> {
    match found(request, key, others)? {
        Some((field, Value::String(text))) => Ok(Some((field, text))),
        Some((field, _)) => Err(Fault::field(&field, "use a string")),
        None => Ok(None),
    }
}

/// Looks up a key of the extension, then others, in the metadata of the message, then of the
/// request.
fn found<'a>(
    request: &'a SendMessageRequest,
    key: &str,
    others: &[&str],
) -> Result<Option<(String, &'a Value)>, Fault> {
    let places = [
        ("message.metadata", request.message.metadata.as_ref()),
        ("metadata", request.metadata.as_ref()),
    ];
    for (place, metadata) in places {
        let Some(metadata) = metadata else { continue };
        let place_of = |key: &str| format!("{place}.{key}");
        if let Some(ours) = metadata.get(ROUTING) {
            let help = || format!("use an object with: {}", ROUTING_KEYS.join(", "));
            let wrong = || Fault::field(&place_of(ROUTING), help());
            let fields = ours.as_object().ok_or_else(wrong)?;
            if fields.keys().any(|it| !ROUTING_KEYS.contains(&it.as_str())) {
                return Err(wrong());
            }
            if let Some(value) = fields.get(key) {
                return Ok(Some((place_of(&format!("{ROUTING}.{key}")), value)));
            }
        }
        if let Some((key, value)) = others.iter().find_map(|it| metadata.get_key_value(*it)) {
            return Ok(Some((place_of(key), value)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Returns a message with this in the extension for routing.
    fn routed(routing: &Value) -> SendMessageRequest {
        with_metadata(&json!({ ROUTING: routing }))
    }

    fn with_metadata(metadata: &Value) -> SendMessageRequest {
        serde_json::from_value(json!({ "message": {
            "messageId": "m", "role": "ROLE_USER", "parts": [{ "text": "x" }], "metadata": metadata,
        } }))
        .unwrap()
    }

    #[test]
    fn a_message_may_say_where_its_task_must_be_durable() {
        let check = |request: &SendMessageRequest, expected| {
            assert_eq!(ack(request).ok(), expected, "{request:?}");
        };
        check(&routed(&json!({})), Some(Ack::Region));
        check(&routed(&json!({ "ack": "region" })), Some(Ack::Region));
        check(&routed(&json!({ "ack": "quorum" })), Some(Ack::Quorum));
        check(&with_metadata(&json!({ "photon/ack": "quorum" })), Some(Ack::Quorum));
        // By itself it may mean something else to others.
        check(&with_metadata(&json!({ "ack": "quorum" })), Some(Ack::Region));
        check(&routed(&json!({ "ack": "all" })), None);
        check(&routed(&json!({ "ack": 1 })), None);
    }
}
