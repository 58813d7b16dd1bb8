//! What the target `rest` may ask for, and requests that are right for it to begin with.
//! Must not judge answers.

use photon_fuzz::case::Sends::Body;
use photon_fuzz::case::Value::Given;
use photon_fuzz::case::{Seed, Sends, Table};
use photon_fuzz::world::Target;

const JSON: Sends = Body("application/json");
const A2A: Sends = Body("application/a2a+json");

/// What the target asks for.
pub(crate) static TARGET: Target = Target {
    table: Table {
        name: "rest",
        routes: &[
            ("POST", "/a2a/message:send{}", A2A),
            ("POST", "/agents/shout/message:send{}", A2A),
            ("POST", "/a2a/message:stream{}", A2A),
            ("GET", "/a2a/tasks{}", A2A),
            ("GET", "/agents/shout/tasks/{}", A2A),
            ("POST", "/a2a/tasks/{}", A2A),
            ("DELETE", "/a2a/tasks/TASKTASKTASKTASKTASKTASKTA/{}", A2A),
            ("GET", "/a2a/{}", A2A),
            ("POST", "/a2a/{}", A2A),
            ("GET", "/agents/{}", A2A),
            ("POST", "/agents/{}", A2A),
            ("POST", "/a2a/message:send", Body("{}")),
            ("POST", "/ard/search", JSON),
            ("POST", "/ard/explore", JSON),
            ("GET", "/ard/agents{}", JSON),
            ("POST", "/v1/topics/{}/messages", JSON),
            ("POST", "/v1/topics/news/messages{}", JSON),
            ("GET", "/v1/topics/news/messages{}", JSON),
            ("GET", "/v1/topics/{}", JSON),
            ("PUT", "/v1/topics/{}", JSON),
            ("DELETE", "/v1/topics/{}", JSON),
            ("GET", "/v1/topics{}", JSON),
            ("POST", "/v1/leases", JSON),
            ("POST", "/v1/leases/TASKTASKTASKTASKTASKTASKTA/{}", JSON),
            ("GET", "/.well-known/{}", JSON),
        ],
        headers: &[
            ("a2a-version", Given),
            ("a2a-extensions", Given),
            ("idempotency-key", Given),
            ("last-event-id", Given),
            ("accept", Given),
            ("if-none-match", Given),
        ],
    },
    first: &[
        (
            "PUT",
            "/v1/agents/shout",
            r#"{"skills": ["text.upper", "text.lower"], "capacity": 1000, "cost": 0.5, "card": {
            "name": "Shout", "description": "Makes letters large", "version": "1.0.0",
            "skills": [{"id": "text.upper", "name": "Upper", "description": "Writes in capitals",
            "tags": ["text"], "examples": ["say hello loudly"]}]}}"#,
        ),
        ("PUT", "/v1/agents/whisper", r#"{"skills": ["text.lower"], "placement": "eu"}"#),
        ("POST", "/v1/topics/news/messages", r#"{"key": "a", "id": "1", "data": {"n": 1}}"#),
        ("POST", "/v1/topics/news/messages", r#"{"key": "b", "data": "two"}"#),
        ("POST", "/v1/tasks", r#"{"skill": "text.upper", "text": "hello"}"#),
    ],
    each: &[],
};

const SEND: Seed<'_> = (
    "POST /agents/shout/message:send{}",
    "",
    &[("a2a-version", "1.0"), ("idempotency-key", "k")],
    br#"{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"hi"}],"contextId":"c"},
    "configuration":{"returnImmediately":true}}"#,
);
const LEASE: Seed<'_> =
    ("POST /v1/leases", "", &[], br#"{"agent":"shout","limit":1,"wait_ms":100}"#);
const PAUSE: Seed<'_> = (
    "POST /v1/leases/TASKTASKTASKTASKTASKTASKTA/{}",
    "pause",
    &[],
    br#"{"token":"TOKEN","for":"auth","text":"who are you?"}"#,
);
const DONE: Seed<'_> = (
    "POST /v1/leases/TASKTASKTASKTASKTASKTASKTA/{}",
    "complete",
    &[],
    br#"{"token":"TOKEN","text":"HI"}"#,
);
const ANSWER: Seed<'_> = (
    "POST /a2a/message:stream{}",
    "",
    &[],
    br#"{"message":{"messageId":"n","role":"ROLE_USER","taskId":"TASKTASKTASKTASKTASKTASKTA",
    "parts":[{"text":"me"}]},"configuration":{"ifGenerationMatch":"3"}}"#,
);
const HOOK: Seed<'_> = (
    "POST /a2a/tasks/{}",
    "TASKTASKTASKTASKTASKTASKTA/pushNotificationConfigs",
    &[],
    br#"{"id":"h","url":"http://127.0.0.1:9/hook","token":"t"}"#,
);

/// Cases of several requests.
const STORIES: [&[Seed<'_>]; 3] = [
    &[SEND, LEASE, DONE, get("TASKTASKTASKTASKTASKTASKTA:subscribe")],
    &[SEND, LEASE, PAUSE, ANSWER, post("TASKTASKTASKTASKTASKTASKTA:cancel", b"{}")],
    &[
        SEND,
        HOOK,
        get("TASKTASKTASKTASKTASKTASKTA/pushNotificationConfigs?pageSize=5"),
        get("TASKTASKTASKTASKTASKTASKTA/pushNotificationConfigs/h"),
        (
            "DELETE /a2a/tasks/TASKTASKTASKTASKTASKTASKTA/{}",
            "pushNotificationConfigs/h?tenant=shout",
            &[],
            b"",
        ),
    ],
];

const EVENTS: &[(&str, &str)] = &[("last-event-id", "1-1"), ("accept", "text/event-stream")];
const POLL: &[(&str, &str)] = &[("accept", "application/json")];

/// Cases of one request.
const REQUESTS: [Seed<'_>; 23] = [
    get("TASKTASKTASKTASKTASKTASKTA?historyLength=2&currentGeneration=1&A2A-Version=1.0"),
    post("TASKTASKTASKTASKTASKTASKTA:subscribe", br#"{"tenant":"shout"}"#),
    (
        "GET /a2a/tasks{}",
        "?contextId=c&status=TASK_STATE_WORKING&pageSize=2&includeArtifacts=true\
         &statusTimestampAfter=2026-01-02T03:04:05Z",
        &[],
        b"",
    ),
    ("GET /a2a/{}", "shout/tasks?historyLength=1", &[], b""),
    ("GET /a2a/{}", "extendedAgentCard?tenant=shout", &[("a2a-version", "1.0")], b""),
    ("GET /agents/{}", "shout/.well-known/agent-card.json", &[("if-none-match", "*")], b""),
    (
        "POST /a2a/{}",
        "shout/message:send?A2A-Extensions=urn:photon:a2a:generation:v1",
        &[("a2a-extensions", "urn:photon:a2a:generation:v1")],
        br#"{"message":{"messageId":"t","role":"ROLE_USER","parts":[{"data":7}]},"metadata":{
        "urn:photon:a2a:routing:v1":{"skill":"text.upper","options":{"priority_key":2}}},
        "configuration":{"return_immediately":true,"history_length":0}}"#,
    ),
    ("POST /agents/{}", "shout/message:send", &[], b"{}"),
    (
        "POST /ard/search",
        "",
        &[],
        br#"{"query":{"text":"who says hello","filter":{"metadata.status":["online"],
        "tags":["text"]}},"federation":"none","pageSize":1,"pageToken":"p0"}"#,
    ),
    (
        "POST /ard/explore",
        "",
        &[],
        br#"{"query":{"filter":{"capabilities":"text.lower"}},"resultType":{"facets":[
        {"field":"tags","limit":3,"minCount":1},{"field":"metadata.region"}]}}"#,
    ),
    ("GET /ard/agents{}", "?pageSize=1&orderBy=updatedAt%20DESC&pageToken=p1", &[], b""),
    ("GET /ard/agents{}", "?filter=tags%3D'text'%20AND%20displayName%3D'Shout'", &[], b""),
    ("GET /.well-known/{}", "ard.json", &[("if-none-match", "\"x\"")], b""),
    (
        "POST /v1/topics/{}/messages",
        "other",
        &[],
        br#"{"key":"k","id":"1","data":[1.5,null],"ack":"quorum"}"#,
    ),
    ("POST /v1/topics/news/messages{}", "?placement=eu", &[], br#"{"data":1}"#),
    ("GET /v1/topics/news/messages{}", "?from=first&limit=1&wait_ms=10", POLL, b""),
    ("GET /v1/topics/news/messages{}", "?after=CURSOR&key=a&wait_ms=10", POLL, b""),
    ("GET /v1/topics/news/messages{}", "?since=2026-01-02T03:04:05Z", EVENTS, b""),
    ("GET /v1/topics/{}", "news/socket?from=last", &[], b""),
    ("GET /v1/topics/{}", "news?placement=global", &[], b""),
    ("PUT /v1/topics/{}", "news", &[], br#"{"retention_ms":60000,"retention_bytes":1048576}"#),
    ("DELETE /v1/topics/{}", "news/messages", &[], b""),
    ("GET /v1/topics{}", "", &[], b""),
];

const fn get(path: &'static str) -> Seed<'static> {
    ("GET /agents/shout/tasks/{}", path, &[], b"")
}

const fn post(path: &'static str, body: &'static [u8]) -> Seed<'static> {
    ("POST /a2a/tasks/{}", path, &[], body)
}

/// Writes all of them.
pub(crate) fn write() {
    let table = &TARGET.table;
    for (at, story) in STORIES.into_iter().enumerate() {
        table.write(at, story);
    }
    for (at, request) in REQUESTS.into_iter().enumerate() {
        table.write(100 + at, &[request]);
    }
}
