//! The Agent Client Protocol, version 1: lines of JSON-RPC, and as much of them as Photon needs.
//! Must not read or write anything.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

/// The version of the protocol that Photon speaks.
pub(super) const VERSION: u64 = 1;

pub(super) const INITIALIZE: &str = "initialize";
pub(super) const NEW_SESSION: &str = "session/new";
pub(super) const PROMPT: &str = "session/prompt";
pub(super) const CANCEL: &str = "session/cancel";
pub(super) const UPDATE: &str = "session/update";
pub(super) const REQUEST_PERMISSION: &str = "session/request_permission";

/// The code of an agent that wants its user to be logged in.
const AUTH_REQUIRED: i64 = -32000;
const METHOD_NOT_FOUND: i64 = -32601;
pub(super) const INVALID_PARAMS: i64 = -32602;

/// Bytes of an error's message, and of its details, that are shown.
const DETAIL_BYTES_MAX: usize = 1 << 10;

/// What an agent says in one line.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Said {
    /// It asks, and waits for the answer.
    Request {
        /// Names the answer; numbers and texts are both in use.
        id: Value,
        /// What is to be done.
        method: String,
        /// With what.
        params: Value,
    },
    /// It tells something.
    Notice {
        /// Of what.
        method: String,
        /// What.
        params: Value,
    },
    /// It answers what Photon has asked.
    Answer {
        /// Which question.
        id: u64,
        /// What it says to that.
        result: Result<Value, RpcError>,
    },
}

/// Why an agent does not do what it is asked.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct RpcError {
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: Option<Value>,
}

impl RpcError {
    /// Whether the agent wants its user to be logged in.
    pub(super) fn wants_login(&self) -> bool {
        self.code == AUTH_REQUIRED
    }
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", cut(&self.message, DETAIL_BYTES_MAX), self.code)?;
        let details = match self.data.as_ref().map(|it| it.get("details").unwrap_or(it)) {
            None => return Ok(()),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        write!(f, ": {}", cut(&details, DETAIL_BYTES_MAX))
    }
}

/// Returns the beginning of a text.
pub(super) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[derive(Deserialize)]
struct Line {
    id: Option<Value>,
    method: Option<String>,
    #[serde(default)]
    params: Value,
    #[serde(default)]
    result: Value,
    #[serde(default)]
    error: Option<RpcError>,
}

/// Reads a line; nothing if it is no message of JSON-RPC.
pub(super) fn read(line: &[u8]) -> Option<Said> {
    let Line { id, method, params, result, error } = serde_json::from_slice(line).ok()?;
    match (method, id) {
        (Some(method), Some(id)) => Some(Said::Request { id, method, params }),
        (Some(method), None) => Some(Said::Notice { method, params }),
        (None, Some(id)) => {
            let result = error.map_or(Ok(result), Err);
            Some(Said::Answer { id: id.as_u64()?, result })
        }
        (None, None) => None,
    }
}

/// Returns the line of a question.
pub(super) fn request(id: u64, method: &str, params: &Value) -> Vec<u8> {
    line(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
}

/// Returns the line that tells something.
pub(super) fn notice(method: &str, params: &Value) -> Vec<u8> {
    line(&json!({"jsonrpc": "2.0", "method": method, "params": params}))
}

/// Returns the line of an answer.
pub(super) fn answer(id: &Value, result: &Value) -> Vec<u8> {
    line(&json!({"jsonrpc": "2.0", "id": id, "result": result}))
}

/// Returns the line that says that something cannot be done.
pub(super) fn refusal(id: &Value, code: i64, message: &str) -> Vec<u8> {
    let error = json!({"code": code, "message": message});
    line(&json!({"jsonrpc": "2.0", "id": id, "error": error}))
}

/// Returns the line that says that Photon has no such method.
pub(super) fn no_method(id: &Value, method: &str) -> Vec<u8> {
    refusal(id, METHOD_NOT_FOUND, &format!("photon has no method `{}`", cut(method, 128)))
}

fn line(message: &Value) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).expect("a value is JSON");
    line.push(b'\n');
    line
}

/// What an agent says of itself in answer to `initialize`. As the protocol has it, what it says
/// beside the version may be absent or wrong.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Greeting {
    pub(super) protocol_version: u64,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) agent_capabilities: Capabilities,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) agent_info: Option<Implementation>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) auth_methods: Vec<AuthMethod>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Capabilities {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) prompt_capabilities: Takes,
}

/// What an agent takes in a prompt, beside text and links.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Takes {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) image: bool,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) audio: bool,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) embedded_context: bool,
}

/// Which program an agent is.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Implementation {
    pub(super) name: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) title: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) version: String,
}

/// A way to log in.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct AuthMethod {
    pub(super) name: String,
}

/// A new session.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewSession {
    pub(super) session_id: String,
}

/// How a turn ended.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stopped {
    pub(super) stop_reason: String,
}

/// What an agent tells while it is at it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Update {
    pub(super) session_id: String,
    pub(super) update: Value,
}

/// A piece of a message.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Chunk {
    pub(super) content: Content,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) message_id: Option<String>,
}

/// What is in a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub(super) enum Content {
    Text {
        text: String,
    },
    Image {
        data: String,
        mime_type: String,
    },
    Audio {
        data: String,
        mime_type: String,
    },
    ResourceLink {
        uri: String,
        name: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mime_type: Option<String>,
    },
    Resource {
        resource: Resource,
    },
    /// Something of a later version.
    #[serde(other, skip_serializing)]
    Other,
}

/// Something that is given whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Resource {
    pub(super) uri: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mime_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
    /// Bytes, in base 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) blob: Option<String>,
}

/// A wish to be allowed something.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wish {
    #[serde(default)]
    pub(super) tool_call: Value,
    pub(super) options: Vec<Choice>,
}

/// What may be said to a wish.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Choice {
    pub(super) option_id: String,
    pub(super) name: String,
    pub(super) kind: ChoiceKind,
}

/// What a choice means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ChoiceKind {
    AllowOnce,
    AllowAlways,
    RejectOnce,
    RejectAlways,
    /// Something of a later version.
    #[serde(other)]
    Other,
}

/// Reads what may be wrong without harm.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_message_or_noise() {
        let check = |line: &str, expected: Option<Said>| {
            assert_eq!(read(line.as_bytes()), expected, "{line}");
        };
        let request = |id: Value| {
            let (method, params) = ("fs/read_text_file".to_owned(), json!({"path": "/a"}));
            Some(Said::Request { id, method, params })
        };
        let asks = r#""method":"fs/read_text_file","params":{"path":"/a"}"#;
        check(&format!(r#"{{"jsonrpc":"2.0","id":0,{asks}}}"#), request(json!(0)));
        check(&format!(r#"{{"id":"a-1",{asks}}}"#), request(json!("a-1")));
        let (method, params) = ("x".to_owned(), Value::Null);
        check(r#"{"method":"x"}"#, Some(Said::Notice { method, params }));
        let answer = |result| Some(Said::Answer { id: 3, result });
        check(r#"{"id":3,"result":{"a":1}}"#, answer(Ok(json!({"a": 1}))));
        check(r#"{"id":3,"result":null}"#, answer(Ok(Value::Null)));
        check(r#"{"id":"3","result":null}"#, None);
        for noise in ["", "Hello!", "[]", "{}", "12", r#"{"level":"info"}"#, "{\"id\":1,", "\u{1}"]
        {
            check(noise, None);
        }
        let error = RpcError { code: -1, message: "no".to_owned(), data: None };
        check(r#"{"id":3,"error":{"code":-1,"message":"no"}}"#, answer(Err(error)));
    }

    #[test]
    fn an_error_says_what_the_agent_said_of_it() {
        let check = |json: Value, expected: &str| {
            let error: RpcError = serde_json::from_value(json).unwrap();
            assert_eq!(error.to_string(), expected);
        };
        check(json!({"code": -32603, "message": "Internal error"}), "Internal error (-32603)");
        let data = json!({"details": "no key"});
        check(json!({"code": -1, "message": "m", "data": data}), "m (-1): no key");
        check(json!({"code": -1, "message": "m", "data": [1]}), "m (-1): [1]");
    }

    #[test]
    fn what_is_wrong_beside_the_version_is_passed_over() {
        let check = |json: Value, name: Option<&str>, images: bool| {
            let greeting: Greeting = serde_json::from_value(json).unwrap();
            assert_eq!(greeting.agent_info.map(|it| it.name).as_deref(), name);
            assert_eq!(greeting.agent_capabilities.prompt_capabilities.image, images);
        };
        check(json!({"protocolVersion": 1}), None, false);
        let info = json!({"name": "x", "version": "1"});
        let takes = json!({"promptCapabilities": {"image": true, "audio": null}, "loadSession": 1});
        let greeting = json!({"protocolVersion": 1, "agentInfo": info, "agentCapabilities": takes});
        check(greeting, Some("x"), true);
        let odd = json!({"protocolVersion": 1, "agentInfo": 7, "authMethods": null});
        check(odd, None, false);
        assert!(serde_json::from_value::<Greeting>(json!({})).is_err());
    }

    #[test]
    fn content_is_written_as_it_is_read() {
        let check = |json: Value| {
            let content: Content = serde_json::from_value(json.clone()).unwrap();
            assert_eq!(serde_json::to_value(content).unwrap(), json);
        };
        check(json!({"type": "text", "text": "hi"}));
        check(json!({"type": "image", "data": "AA==", "mimeType": "image/png"}));
        check(json!({"type": "resource_link", "uri": "file:///a", "name": "a"}));
        let resource = json!({"uri": "file:///a", "mimeType": "text/plain", "text": "x"});
        check(json!({"type": "resource", "resource": resource}));
        let later: Content = serde_json::from_value(json!({"type": "hologram"})).unwrap();
        assert_eq!(later, Content::Other);
    }
}
