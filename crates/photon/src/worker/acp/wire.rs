//! The Agent Client Protocol, version 1: lines of JSON-RPC, and as much of them as Photon needs.
//! Must not read or write anything.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
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
/// The code of an error that has none.
const UNKNOWN_ERROR: i64 = -32603;
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
    /// Reads an error; what is none of JSON-RPC is told as it is.
    fn of(error: Value) -> Self {
        let message = error.as_str().map_or_else(|| error.to_string(), ToOwned::to_owned);
        let odd = |_| Self { code: UNKNOWN_ERROR, message, data: None };
        serde_json::from_value(error).unwrap_or_else(odd)
    }

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

/// What can be read of a line whose details cannot be.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<&'a RawValue>,
}

/// Reads a line; nothing if it is no message of JSON-RPC. Who waits for an answer is not to wait
/// for ever because of a detail: what cannot be read is null.
pub(super) fn read(line: &[u8]) -> Option<Said> {
    let text = String::from_utf8_lossy(line);
    let read = serde_json::from_str(&text);
    let mut line = match read.or_else(|_| serde_json::from_str(&with_whole_characters(&text))) {
        Ok(Value::Object(line)) => line,
        Ok(_) => return None,
        Err(_) => {
            let Envelope { id, method } = serde_json::from_str(&text).ok()?;
            let of = |it: Option<&RawValue>| serde_json::from_str(it?.get()).ok();
            let named = [("id", of(id)), ("method", of(method))];
            named.into_iter().filter_map(|(key, it)| Some((key.to_owned(), it?))).collect()
        }
    };
    let mut take = |key| line.remove(key).filter(|it: &Value| !it.is_null());
    match (take("method"), take("id")) {
        (Some(method), id) => {
            let method = method.as_str().map_or_else(|| method.to_string(), ToOwned::to_owned);
            let params = take("params").unwrap_or_default();
            Some(match id {
                Some(id) => Said::Request { id, method, params },
                None => Said::Notice { method, params },
            })
        }
        (None, Some(id)) => {
            let result = take("result").unwrap_or_default();
            let result = take("error").map_or(Ok(result), |it| Err(RpcError::of(it)));
            Some(Said::Answer { id: id.as_u64()?, result })
        }
        (None, None) => None,
    }
}

/// Returns JSON in which halves of characters, which programs write that cut texts anywhere, are
/// replaced.
fn with_whole_characters(text: &str) -> String {
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        whole.push_str(&rest[..at]);
        rest = &rest[at..];
        let escape = match (half(rest), rest.get(6..).and_then(half)) {
            (Some(Half::First), Some(Half::Second)) => 12,
            (Some(_), _) => {
                whole.push_str("\\ufffd");
                rest = &rest[6..];
                continue;
            }
            (None, _) => rest.ceil_char_boundary(2),
        };
        whole.push_str(&rest[..escape]);
        rest = &rest[escape..];
    }
    whole.push_str(rest);
    whole
}

/// A half of a character, as JSON may write those that are beyond 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    First,
    Second,
}

fn half(escape: &str) -> Option<Half> {
    let code = escape.strip_prefix("\\u")?.get(..4)?;
    match u16::from_str_radix(code, 16).ok()? {
        0xd800..=0xdbff => Some(Half::First),
        0xdc00..=0xdfff => Some(Half::Second),
        0..=0xd7ff | 0xe000..=0xffff => None,
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
    /// In which session.
    pub(super) session_id: String,
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
    fn a_message_that_is_not_quite_right_is_one_all_the_same() {
        let check = |line: &[u8], expected: Said| {
            assert_eq!(read(line), Some(expected), "{}", String::from_utf8_lossy(line));
        };
        let error = |message: &str| {
            let error = RpcError { code: UNKNOWN_ERROR, message: message.to_owned(), data: None };
            Said::Answer { id: 3, result: Err(error) }
        };
        check(br#"{"id":3,"error":"no luck"}"#, error("no luck"));
        check(br#"{"id":3,"error":{"code":"E1"}}"#, error(r#"{"code":"E1"}"#));
        let answer = |result: Value| Said::Answer { id: 3, result: Ok(result) };
        check(br#"{"id":3,"result":"a\ud83d"}"#, answer(json!("a\u{fffd}")));
        check(
            br#"{"id":3,"result":"\\ud83d\ude00\ud83d\ude00"}"#,
            answer(json!("\\ud83d\u{fffd}\u{1f600}")),
        );
        check(b"{\"id\":3,\"result\":\"\xff\"}", answer(json!("\u{fffd}")));
        check(br#"{"id":3,"result":1e999}"#, answer(Value::Null));
        let deep = format!(r#"{{"id":3,"result":{}{}}}"#, "[".repeat(200), "]".repeat(200));
        check(deep.as_bytes(), answer(Value::Null));
        let request = |method: &str| Said::Request {
            id: json!("a"),
            method: method.to_owned(),
            params: Value::Null,
        };
        check(br#"{"id":"a","method":"m","params":{"x":1e999}}"#, request("m"));
        check(br#"{"id":"a","method":5}"#, request("5"));
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
