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
use crate::time::wall_ms;
use crate::v1::types::{TASK_MS_MAX, TaskOptions};

/// Finds whom the message is for: the address says so, or else the metadata, or neither.
pub(super) fn target(call: &Call, request: &SendMessageRequest) -> Result<Option<Target>, Fault> {
    if let Door::Agent(name) = &call.door {
        return Ok(Some(Target::Agent(name.clone())));
    }
    if let Some((field, name)) = metadata(request, "agent")? {
        return Ok(Some(Target::Agent(names::agent_name(&field, name)?)));
    }
    let Some((field, skill)) = metadata(request, "skill")? else { return Ok(None) };
    Ok(Some(Target::Skill(names::skill(&field, skill)?)))
}

/// Makes the fault of a message that is for nobody, as far as is known.
pub(super) fn nobody() -> Fault {
    let help = "no agent is found by the text of the message: say which skill you want, or which \
                agent in `message.metadata.agent`; or send to /agents/{name}";
    Fault::field("message.metadata.skill", help)
}

/// Finds where the task may live. What is called the class of data elsewhere is a placement here.
pub(super) fn placement(request: &SendMessageRequest) -> Result<PlacementId, Fault> {
    let class = text(request, "dataClass", &["photon/dataClass"])?;
    let (field, name) = match (metadata(request, "placement")?, class) {
        (Some(_), Some((field, _))) => {
            let help = "this is another name of `placement`: give one of them";
            return Err(Fault::field(&field, help));
        }
        (Some(it), None) | (None, Some(it)) => it,
        (None, None) => return Ok(PlacementId::global()),
    };
    Ok(names::placement(&field, name)?)
}

/// Finds where the task must be durable before the message is answered. What a majority did not
/// acknowledge in time may be there, so that the client has to be able to send it again.
pub(super) fn ack(call: &Call, request: &SendMessageRequest) -> Result<Ack, Fault> {
    let ack = said_ack(request)?;
    match ack {
        Some((field, Ack::Quorum)) if call.idempotency_key.is_none() => {
            let help = "with `quorum` give an idempotency key, too: a message that is not \
                        answered in time may be sent again under it";
            Err(Fault::field(&field, help))
        }
        Some((_, ack)) => Ok(ack),
        None => Ok(Ack::Region),
    }
}

fn said_ack(request: &SendMessageRequest) -> Result<Option<(String, Ack)>, Fault> {
    let Some((field, level)) = text(request, "ack", &["photon/ack"])? else { return Ok(None) };
    match level {
        "region" => Ok(Some((field, Ack::Region))),
        "quorum" => Ok(Some((field, Ack::Quorum))),
        _ => Err(Fault::field(&field, "use `region` or `quorum`")),
    }
}

/// Refuses what an answer to a task that is there cannot be promised.
pub(super) fn check_answer(request: &SendMessageRequest) -> Result<(), Fault> {
    match said_ack(request)? {
        Some((field, Ack::Quorum)) => {
            let help = "an answer is acknowledged by the home of its task: leave this out";
            Err(Fault::field(&field, help))
        }
        Some((_, Ack::Region)) | None => Ok(()),
    }
}

/// How a task is to be queued, timed and tried again.
#[derive(Debug, Default)]
pub(super) struct Options {
    /// As the client says: its options, its deadline.
    pub(super) said: Vec<Value>,
    /// As they are meant.
    pub(super) terms: Option<Arc<Terms>>,
    /// Why the task cannot begin any more.
    pub(super) late: Option<Fault>,
}

/// Finds how the task is to be queued, timed and tried again; `now_ms` is what the clock says.
pub(super) fn options(request: &SendMessageRequest, now_ms: u64) -> Result<Options, Fault> {
    let mut found_here = Options::default();
    let mut options = TaskOptions::default();
    // Others may mean something else by a name without ours in front.
    let given = found(request, "options", &["photon/options"])?;
    if let Some((field, value)) = &given {
        let said = extensions::snake(value);
        options = read_options(field, &said)?;
        found_here.said.push(said);
    }
    if let Some((field, said)) = text(request, "deadline", &["photon/deadline"])? {
        if options.schedule_to_close_timeout_ms.is_some() {
            let help = "give this, or `scheduleToCloseTimeoutMs` among the options, but not both";
            return Err(Fault::field(&field, help));
        }
        let help = "use a time as RFC 3339 has it, such as `2026-01-31T12:00:00Z`";
        let until_ms = wall_ms(said).ok_or_else(|| Fault::field(&field, help))?;
        match until_ms.checked_sub(now_ms) {
            None | Some(0) => found_here.late = Some(Fault::field(&field, "this time is over")),
            Some(left) if TASK_MS_MAX < left => {
                return Err(Fault::field(&field, "use a time within the next 366 days"));
            }
            Some(left) => options.schedule_to_close_timeout_ms = Some(left),
        }
        found_here.said.push(said.into());
    }
    let field = given.as_ref().map_or("options", |(field, _)| field);
    found_here.terms = crate::options::terms(field, &options)?;
    Ok(found_here)
}

fn read_options(field: &str, said: &Value) -> Result<TaskOptions, Fault> {
    if !said.is_object() {
        return Err(Fault::field(field, "use an object"));
    }
    serde_path_to_error::deserialize(said).map_err(|err| {
        let at = format!("{field}.{}", err.path());
        Fault::field(&at, err.inner().to_string())
    })
}

/// What the extension for routing has in the metadata.
const ROUTING_KEYS: [&str; 7] =
    ["skill", "agent", "placement", "dataClass", "ack", "deadline", "options"];

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
            let found = said_ack(request).ok().map(|it| it.map_or(Ack::Region, |(_, ack)| ack));
            assert_eq!(found, expected, "{request:?}");
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

    /// What the clock says: 2027-01-15T08:00:00Z.
    const NOW_MS: u64 = 1_800_000_000_000;

    fn wrong_field(fault: &Fault) -> &str {
        fault.message().split('`').nth(1).unwrap_or_default()
    }

    #[test]
    fn a_deadline_is_how_long_the_task_may_take() {
        let left = |deadline: &str| {
            let options = options(&routed(&json!({ "deadline": deadline })), NOW_MS).unwrap();
            assert_eq!(options.said, [json!(deadline)]);
            options.terms.and_then(|it| it.schedule_to_close).map(|it| it.as_millis())
        };
        assert_eq!(left("2027-01-15T08:00:01.5Z"), Some(1_500));
        assert_eq!(left("2027-01-15T09:01:00+01:00"), Some(60_000));
        assert_eq!(left("2027-01-15T08:00:00Z"), None);
        let is_late = |deadline: &str| {
            options(&routed(&json!({ "deadline": deadline })), NOW_MS).unwrap().late.is_some()
        };
        assert!(is_late("2027-01-15T08:00:00Z") && is_late("1969-01-15T08:00:00Z"));
        assert!(!is_late("2027-01-15T08:00:00.001Z"));
        let with_others = json!({
            "deadline": "2027-01-15T08:00:01Z", "options": { "priorityKey": 1 },
        });
        let terms = options(&routed(&with_others), NOW_MS).unwrap().terms.unwrap();
        assert_eq!(terms.schedule_to_close, Some(std::time::Duration::from_secs(1)));
        assert_ne!(terms.priority, photon_region::Priority::default());
    }

    #[test]
    fn a_deadline_that_cannot_be_is_refused_by_name() {
        let soon = "2027-01-15T08:00:01Z";
        for wrong in [
            json!({ "deadline": "tomorrow" }),
            json!({ "deadline": 7 }),
            json!({ "deadline": "2029-01-15T08:00:00Z" }),
            json!({ "deadline": soon, "options": { "scheduleToCloseTimeoutMs": 1 } }),
        ] {
            let fault = options(&routed(&wrong), NOW_MS).unwrap_err();
            let field = "message.metadata.urn:photon:a2a:routing:v1.deadline";
            assert_eq!(wrong_field(&fault), field, "{wrong}");
        }
    }

    #[test]
    fn a_class_of_data_is_a_placement() {
        let check = |routing: Value, expected: Option<&str>| {
            let found = placement(&routed(&routing)).ok();
            assert_eq!(found.as_ref().map(PlacementId::as_str), expected, "{routing}");
        };
        check(json!({}), Some("global"));
        check(json!({ "placement": "eu" }), Some("eu"));
        check(json!({ "dataClass": "eu" }), Some("eu"));
        check(json!({ "dataClass": "eu", "placement": "eu" }), None);
        check(json!({ "dataClass": "!" }), None);
        let by_itself = with_metadata(&json!({ "photon/dataClass": "eu", "dataClass": "secret" }));
        assert_eq!(placement(&by_itself).unwrap().as_str(), "eu");
    }
}
