//! What a right answer is, at each address: in its form, with a reason if it is a refusal, and in
//! time. No answer says that Photon is at fault.
//! Must not know what was asked, but for where.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode, header};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::time::timeout;

/// How long the head of an answer may be waited for. Nothing waits for longer than a minute of its
/// own accord, and then for what it has found.
const WAIT_MAX: Duration = Duration::from_secs(150);
/// How long a stream may be silent until no more is read of it.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// What is read of a stream.
const STREAM_BYTES_MAX: usize = 1 << 20;
/// What a service of gRPC may not say: it does not know, or is at fault itself.
const BLAMED: [&str; 3] = ["2", "13", "15"];

/// Which protocol an address speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// JSON-RPC, as A2A has it.
    Rpc,
    /// HTTP+JSON, as A2A has it.
    Rest,
    /// JSON-RPC, as MCP has it.
    Mcp,
    Ard,
    Grpc,
    /// The API of Photon, and whatever is nowhere.
    Own,
}

/// What was asked, as far as answers are judged by it.
#[derive(Debug)]
pub struct Asked {
    what: String,
    form: Form,
    /// The id of a request of JSON-RPC, if it is an object that has one.
    id: Option<Value>,
}

/// The body of a request, as it is judged by.
#[derive(Clone, Debug)]
pub struct Sent(pub Bytes);

impl Asked {
    /// Looks at a request.
    pub fn of(request: &Request<Body>) -> Self {
        let what = format!("{} {}", request.method(), request.uri());
        let sent = request.extensions().get::<Sent>();
        let sent = sent.and_then(|it| serde_json::from_slice::<Value>(&it.0).ok());
        let id = sent.and_then(|it| it.get("id").cloned());
        let id = id.filter(|it| it.is_string() || it.is_i64());
        Self { what, form: Form::of(request.uri().path()), id }
    }

    /// Returns the method and the address.
    pub fn what(&self) -> &str {
        &self.what
    }
}

impl Form {
    fn of(path: &str) -> Self {
        if path.starts_with("/photon.v1.") || path.starts_with("/lf.a2a.v1.A2AService/") {
            return Self::Grpc;
        }
        let below_agent = || {
            let rest = path.strip_prefix("/agents/")?;
            Some(rest.find('/').map_or("", |at| &rest[at..]))
        };
        match path.strip_prefix("/a2a").or_else(below_agent) {
            Some("" | "/") => return Self::Rpc,
            Some(below) if below.starts_with('/') => return Self::Rest,
            Some(_) | None => {}
        }
        match path {
            "/mcp" => Self::Mcp,
            "/ard/search" | "/ard/explore" | "/ard/agents" => Self::Ard,
            _ => Self::Own,
        }
    }
}

/// Waits for the head of an answer.
pub async fn within<T>(asked: &Asked, answer: impl Future<Output = T>) -> T {
    let answer = timeout(WAIT_MAX, answer).await;
    answer.unwrap_or_else(|_| panic!("{}: no answer", asked.what))
}

/// Panics unless an answer is right; returns its headers, and what was read of its body.
pub async fn check(asked: &Asked, answer: Response<Body>) -> (HeaderMap, Bytes) {
    let (parts, body) = answer.into_parts();
    let media_type = parts.headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let media_type = media_type.unwrap_or_default().to_owned();
    let is_stream = media_type == "text/event-stream" || media_type.starts_with("application/grpc");
    let read = read(asked, body, is_stream).await;
    let seen = Seen { asked, status: parts.status, headers: &parts.headers, media_type, read };
    assert_ne!(seen.status, StatusCode::INTERNAL_SERVER_ERROR, "{seen:?}");
    if seen.media_type == "text/event-stream" {
        seen.events();
    } else if seen.media_type.contains("json") {
        // As a client reads it: numbers may be larger than any type of this language.
        let whole = serde_json::from_slice::<&serde_json::value::RawValue>(&seen.read.bytes);
        assert!(whole.is_ok(), "{whole:?} {seen:?}");
    }
    let is_refusal = 400 <= seen.status.as_u16();
    match asked.form {
        Form::Grpc => seen.grpc(),
        Form::Rpc if seen.media_type.contains("json") => seen.rpc(),
        Form::Rpc => assert!(!is_refusal, "{seen:?}"),
        Form::Mcp => seen.mcp(),
        Form::Rest if is_refusal => seen.rest(),
        Form::Ard if is_refusal => seen.ard(),
        Form::Own if is_refusal => seen.problem(),
        Form::Rest | Form::Ard | Form::Own => {}
    }
    let read = seen.read.bytes;
    (parts.headers, read)
}

/// What was read of a body.
#[derive(Debug, Default)]
struct Read {
    bytes: Bytes,
    trailers: Option<HeaderMap>,
    is_whole: bool,
}

async fn read(asked: &Asked, mut body: Body, is_stream: bool) -> Read {
    let (mut bytes, mut trailers) = (Vec::new(), None);
    loop {
        let Ok(frame) = timeout(SILENCE_MAX, body.frame()).await else {
            assert!(is_stream, "{}: the answer does not end: {bytes:?}", asked.what);
            return Read { bytes: bytes.into(), trailers, is_whole: false };
        };
        let Some(frame) = frame else {
            return Read { bytes: bytes.into(), trailers, is_whole: true };
        };
        match frame.expect("a body is read to its end").into_data() {
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
        if is_stream && STREAM_BYTES_MAX < bytes.len() {
            return Read { bytes: bytes.into(), trailers, is_whole: false };
        }
    }
}

/// An answer.
#[derive(Debug)]
struct Seen<'a> {
    asked: &'a Asked,
    status: StatusCode,
    headers: &'a HeaderMap,
    media_type: String,
    read: Read,
}

impl Seen<'_> {
    fn json(&self) -> Value {
        let json = serde_json::from_slice(&self.read.bytes);
        json.unwrap_or_else(|err| panic!("{err}: {self:?}"))
    }

    /// Each event says JSON, in the form of the address.
    fn events(&self) {
        let text = String::from_utf8(self.read.bytes.to_vec());
        let text = text.unwrap_or_else(|err| panic!("{err}: {self:?}"));
        let (whole, _) = text.rsplit_once("\n\n").unwrap_or_default();
        for data in whole.lines().filter_map(|it| it.strip_prefix("data:")) {
            if data.trim().is_empty() {
                continue; // MCP tells a client where to resume before there is anything to say.
            }
            let said: Value = serde_json::from_str(data).expect("an event is JSON");
            match self.asked.form {
                Form::Rpc => self.a2a_response(&said),
                Form::Mcp => self.mcp_message(&said),
                Form::Rest | Form::Ard | Form::Grpc | Form::Own => {}
            }
        }
    }

    fn rpc(&self) {
        self.a2a_response(&self.json());
    }

    /// A response of JSON-RPC with a result, or with an error of the table in `docs/a2a.md`.
    fn a2a_response(&self, said: &Value) {
        assert_eq!(said["jsonrpc"], "2.0", "{self:?}");
        let id = said.get("id").filter(|it| it.is_string() || it.is_i64() || it.is_null());
        let id = id.unwrap_or_else(|| panic!("no id: {self:?}"));
        // It cannot be told where the body was not looked at, or was no request.
        let code = said["error"]["code"].as_i64().unwrap_or_default();
        let is_nowhere = code == -32_601 && self.status == StatusCode::NOT_FOUND;
        let is_unread = is_nowhere || [-32_700, -32_600, -32_005].contains(&code);
        let is_it = self.asked.id.as_ref().is_none_or(|asked| id == asked);
        assert!(is_it || (is_unread && id.is_null()), "{self:?}");
        let Some(error) = said.get("error") else {
            assert!(said.get("result").is_some() && self.status == StatusCode::OK, "{self:?}");
            return;
        };
        assert!(said.get("result").is_none(), "{self:?}");
        let statuses: &[u16] = match code {
            -32_600 => &[200, 401, 403, 405, 408],
            -32_601 => &[200, 404],
            -32_602 => &[200, 413],
            // Of a stream the head was sent before.
            -32_603 if self.media_type == "text/event-stream" => &[200],
            -32_603 => &[429, 503],
            -32_005 => &[415],
            -32_700 | -32_010 | -32_009 | -32_004..=-32_001 => &[200],
            _ => &[],
        };
        assert!(statuses.contains(&self.status.as_u16()), "{self:?}");
        assert!(error["message"].as_str().is_some_and(|it| !it.is_empty()), "{self:?}");
        self.has_reason(&error["data"]);
    }

    /// Details name a reason that programs may go by.
    fn has_reason(&self, details: &Value) {
        let is_one = |it: &Value| {
            it["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
                && it["domain"] == "a2a-protocol.org"
                && it["reason"].as_str().is_some_and(|it| !it.is_empty())
        };
        assert!(details.as_array().is_some_and(|it| it.iter().any(is_one)), "{self:?}");
    }

    fn rest(&self) {
        assert_eq!(self.media_type, "application/a2a+json", "{self:?}");
        let error = &self.json()["error"];
        assert_eq!(error["code"], self.status.as_u16(), "{self:?}");
        let name = error["status"].as_str().unwrap_or_default();
        let is_blamed = ["", "INTERNAL", "UNKNOWN", "DATA_LOSS"].contains(&name);
        assert!(!is_blamed, "{self:?}");
        assert!(error["message"].as_str().is_some_and(|it| !it.is_empty()), "{self:?}");
        self.has_reason(&error["details"]);
        self.says_when();
    }

    /// Who is told to come back is told when.
    fn says_when(&self) {
        let passes = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
        let says = self.headers.contains_key(header::RETRY_AFTER);
        assert!(says || !passes.contains(&self.status), "{self:?}");
    }

    fn ard(&self) {
        // What is turned away before it comes to the registry is told as everywhere else.
        if [StatusCode::FORBIDDEN, StatusCode::METHOD_NOT_ALLOWED].contains(&self.status) {
            return self.problem();
        }
        let said = self.json();
        for field in ["errorCode", "message"] {
            assert!(said[field].as_str().is_some_and(|it| !it.is_empty()), "{self:?}");
        }
        self.says_when();
    }

    fn problem(&self) {
        assert_eq!(self.media_type, "application/problem+json", "{self:?}");
        let problem = self.json();
        for field in ["type", "detail"] {
            assert!(problem[field].as_str().is_some_and(|it| !it.is_empty()), "{self:?}");
        }
        assert_eq!(problem["status"], self.status.as_u16(), "{self:?}");
        self.says_when();
    }

    fn mcp(&self) {
        if self.media_type == "application/problem+json" {
            return self.problem();
        }
        if self.media_type.contains("json") {
            return self.mcp_message(&self.json());
        }
        let is_refusal = 400 <= self.status.as_u16();
        assert!(!is_refusal || !self.read.bytes.is_empty(), "{self:?}");
    }

    fn mcp_message(&self, said: &Value) {
        assert_eq!(said["jsonrpc"], "2.0", "{self:?}");
        let Some(error) = said.get("error") else { return };
        assert!(error["message"].is_string(), "{self:?}");
        let code = error["code"].as_i64().expect("an error has a code");
        let may_pass = error["data"]["status"].as_u64().is_some_and(|it| it == 503);
        assert!(code != -32_603 || may_pass, "{self:?}");
    }

    fn grpc(&self) {
        if self.status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            return;
        }
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        let trailers = self.read.trailers.as_ref();
        let code = self.headers.get("grpc-status");
        let code = code.or_else(|| trailers.and_then(|it| it.get("grpc-status")));
        let code = code.map(|it| it.to_str().expect("a code is a number"));
        assert!(code.is_some() || !self.read.is_whole, "{self:?}");
        assert!(code.is_none_or(|it| !BLAMED.contains(&it)), "{self:?}");
    }
}
