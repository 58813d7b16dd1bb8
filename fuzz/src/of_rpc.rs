//! What the target `rpc` may ask for, and requests that are right for it to begin with.
//! Must not judge answers.

use photon_fuzz::case::Sends::{Body, Mcp};
use photon_fuzz::case::Value::Given;
use photon_fuzz::case::{Seed, Sends, Table};
use photon_fuzz::world::Target;

const JSON: Sends = Body("application/json");

/// What the target asks for.
pub(crate) static TARGET: Target = Target {
    table: Table {
        name: "rpc",
        routes: &[
            ("POST", "/a2a", JSON),
            ("POST", "/agents/shout", JSON),
            ("POST", "/mcp", Mcp),
            ("POST", "/a2a{}", JSON),
            ("POST", "/agents/{}", JSON),
            ("POST", "/a2a", Body("{}")),
            ("GET", "/mcp", Mcp),
            ("DELETE", "/mcp", Mcp),
            ("POST", "/v1/leases", JSON),
            ("POST", "/v1/leases/TASKTASKTASKTASKTASKTASKTA/{}", JSON),
        ],
        headers: &[
            ("a2a-version", Given),
            ("a2a-extensions", Given),
            ("idempotency-key", Given),
            ("last-event-id", Given),
            ("mcp-protocol-version", Given),
            ("mcp-session-id", Given),
            ("mcp-method", Given),
            ("mcp-name", Given),
            ("mcp-param-region", Given),
        ],
    },
    first: &[
        ("PUT", "/v1/agents/shout", r#"{"skills": ["text.upper"], "capacity": 1000}"#),
        ("POST", "/v1/tasks", r#"{"skill": "text.upper", "text": "hello"}"#),
    ],
    each: &[],
};

const V10: &[(&str, &str)] = &[("a2a-version", "1.0")];
const V03: &[(&str, &str)] = &[("a2a-version", "0.3")];
const NEW: &str = "urn:photon:a2a:generation:v1";

const SEND: Seed<'_> = (
    "POST /agents/shout",
    "",
    &[("a2a-version", "1.0"), ("a2a-extensions", NEW)],
    br#"{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{"message":{"messageId":"m",
    "role":"ROLE_USER","parts":[{"text":"hi"},{"data":{"a":[1]}}],"contextId":"c"},
    "configuration":{"returnImmediately":true,"historyLength":2}}}"#,
);
const LEASE: Seed<'_> =
    ("POST /v1/leases", "", &[], br#"{"agent":"shout","limit":1,"wait_ms":100}"#);
const PAUSE: Seed<'_> = (
    "POST /v1/leases/TASKTASKTASKTASKTASKTASKTA/{}",
    "pause",
    &[],
    br#"{"token":"TOKEN","text":"which colour?"}"#,
);
const NOTE: Seed<'_> = (
    "POST /v1/leases/TASKTASKTASKTASKTASKTASKTA/{}",
    "events",
    &[],
    br#"{"token":"TOKEN","first":1,"notes":[{"artifact":{"id":"out","text":"HI"}},
    {"checkpoint":{"key":"k","value":7}}]}"#,
);
const DONE: Seed<'_> = (
    "POST /v1/leases/TASKTASKTASKTASKTASKTASKTA/{}",
    "complete",
    &[],
    br#"{"token":"TOKEN","notes":2,"message":{"messageId":"d","role":"ROLE_AGENT",
    "parts":[{"text":"HI"}],"metadata":{"photon/direct":true}}}"#,
);
const ANSWER: Seed<'_> = (
    "POST /a2a",
    "",
    &[("idempotency-key", "k")],
    br#"{"jsonrpc":"2.0","id":"x","method":"SendMessage","params":{"message":{"messageId":"n",
    "role":"ROLE_USER","taskId":"TASKTASKTASKTASKTASKTASKTA","parts":[{"text":"blue"}]},
    "configuration":{"returnImmediately":true,"ifGenerationMatch":"3"}}}"#,
);

/// Cases of several requests.
const STORIES: [&[Seed<'_>]; 3] = [
    &[SEND, LEASE, NOTE, DONE, call(GET), call(SUBSCRIBE)],
    &[SEND, LEASE, PAUSE, call(GET), ANSWER, LEASE, call(CANCEL)],
    &[SEND, call(HOOK), call(HOOKS), call(HOOK_SHOWN), call(HOOK_GONE)],
];

const GET: &[u8] = br#"{"jsonrpc":"2.0","id":2,"method":"GetTask","params":{
    "id":"TASKTASKTASKTASKTASKTASKTA","historyLength":1,"currentGeneration":1}}"#;
const SUBSCRIBE: &[u8] = br#"{"jsonrpc":"2.0","id":2,"method":"SubscribeToTask","params":{
    "id":"TASKTASKTASKTASKTASKTASKTA"}}"#;
const CANCEL: &[u8] = br#"{"jsonrpc":"2.0","id":2,"method":"CancelTask","params":{
    "id":"TASKTASKTASKTASKTASKTASKTA","metadata":{"a":1}}}"#;
const HOOK: &[u8] = br#"{"jsonrpc":"2.0","id":2,"method":"CreateTaskPushNotificationConfig",
    "params":{"taskId":"TASKTASKTASKTASKTASKTASKTA","id":"h","url":"http://127.0.0.1:9/hook",
    "token":"t","authentication":{"scheme":"Bearer","credentials":"c"}}}"#;
const HOOKS: &[u8] = br#"{"jsonrpc":"2.0","id":2,"method":"ListTaskPushNotificationConfigs",
    "params":{"taskId":"TASKTASKTASKTASKTASKTASKTA","pageSize":5}}"#;
const HOOK_SHOWN: &[u8] = br#"{"jsonrpc":"2.0","id":2,"method":"GetTaskPushNotificationConfig",
    "params":{"taskId":"TASKTASKTASKTASKTASKTASKTA","id":"h"}}"#;
const HOOK_GONE: &[u8] = br#"{"jsonrpc":"2.0","id":2,"method":"DeleteTaskPushNotificationConfig",
    "params":{"taskId":"TASKTASKTASKTASKTASKTASKTA","id":"h"}}"#;

/// Calls of A2A 1.0.
const CALLS: [&[u8]; 6] = [
    br#"{"jsonrpc":"2.0","id":2,"method":"ListTasks","params":{"contextId":"c","pageSize":2,
    "status":"TASK_STATE_WORKING","statusTimestampAfter":"2026-01-02T03:04:05Z",
    "includeArtifacts":true}}"#,
    br#"{"jsonrpc":"2.0","id":2,"method":"ListTasks","params":{"pageSize":1,
    "pageToken":"TASKTASKTASKTASKTASKTASKTA"}}"#,
    br#"{"jsonrpc":"2.0","id":2,"method":"GetExtendedAgentCard"}"#,
    br#"{"jsonrpc":"2.0","id":2,"method":"SendStreamingMessage","params":{"tenant":"shout",
    "message":{"messageId":"s","role":"ROLE_USER","parts":[{"raw":"aGk=","mediaType":"a/b",
    "filename":"f"},{"url":"http://x/y"}],"referenceTaskIds":["TASKTASKTASKTASKTASKTASKTA"]}}}"#,
    br#"{"jsonrpc":"2.0","id":2,"method":"SendMessage","params":{"message":{"message_id":"r",
    "role":"ROLE_USER","parts":[{"text":"hi"}]},"metadata":{"urn:photon:a2a:routing:v1":{
    "skill":"text.upper","placement":"eu","options":{"priorityKey":3,"fairness_key":"a",
    "start_delay_ms":5,"retry_policy":{"maximum_attempts":3}}},
    "urn:photon:a2a:idempotency:v1":{"key":"order-17"}},"configuration":{"return_immediately":
    true,"taskPushNotificationConfig":{"url":"http://127.0.0.1:9/","authentication":{
    "scheme":"standard-webhooks","credentials":"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}}}}}"#,
    br#"{"jsonrpc":"2.0","id":2,"method":"SendMessage","params":{"message":{"messageId":"w",
    "role":"ROLE_USER","parts":[{"text":"hi"}],"metadata":{"skill":"text.upper",
    "photon/agent":"shout","placement":"global"},"extensions":["urn:a"]}}}"#,
];

/// Calls of A2A 0.3.
const OLD_CALLS: [&[u8]; 6] = [
    br#"{"jsonrpc":"2.0","id":3,"method":"message/send","params":{"message":{"kind":"message",
    "messageId":"o","role":"user","parts":[{"kind":"text","text":"hi"},{"kind":"data","data":{}},
    {"kind":"file","file":{"bytes":"aGk=","mimeType":"a/b","name":"n"}},{"kind":"file","file":{
    "uri":"http://x/y"}}]},"configuration":{"blocking":false,"historyLength":1}}}"#,
    br#"{"jsonrpc":"2.0","id":3,"method":"message/stream","params":{"message":{"kind":"message",
    "messageId":"p","role":"user","parts":[{"kind":"text","text":"hi"}],"taskId":
    "TASKTASKTASKTASKTASKTASKTA"}}}"#,
    br#"{"jsonrpc":"2.0","id":3,"method":"tasks/get","params":{
    "id":"TASKTASKTASKTASKTASKTASKTA","historyLength":0}}"#,
    br#"{"jsonrpc":"2.0","id":3,"method":"tasks/resubscribe","params":{
    "id":"TASKTASKTASKTASKTASKTASKTA"}}"#,
    br#"{"jsonrpc":"2.0","id":3,"method":"tasks/pushNotificationConfig/set","params":{}}"#,
    br#"{"jsonrpc":"2.0","id":3,"method":"agent/getAuthenticatedExtendedCard"}"#,
];

/// Calls of MCP 2025-11-25 within a session, the first of which begins it.
const SESSION: [Seed<'_>; 4] = [
    (
        "POST /mcp",
        "",
        &[],
        br#"{"jsonrpc":"2.0","id":4,"method":"initialize","params":{"protocolVersion":"2025-11-25",
        "capabilities":{"extensions":{"io.modelcontextprotocol/tasks":{}}},"clientInfo":{
        "name":"a","version":"1"}}}"#,
    ),
    in_session(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#),
    in_session(br#"{"jsonrpc":"2.0","id":5,"method":"tools/list","params":{"cursor":"a"}}"#),
    in_session(
        br#"{"jsonrpc":"2.0","id":6,"method":"tools/call","params":{"name":"send_task",
        "arguments":{"skill":"text.upper","text":"hi","wait_ms":10}}}"#,
    ),
];

/// Calls of MCP 2026-07-28: method, name, and the rest of the parameters.
const MODERN: [(&str, &str, &str); 11] = [
    ("server/discover", "", ""),
    ("tools/list", "", ""),
    ("resources/list", "", r#""cursor":"a","#),
    ("resources/read", "photon://regions", r#""uri":"photon://regions","#),
    ("resources/read", "photon://agents/shout", r#""uri":"photon://agents/shout","#),
    ("tools/call", "list_regions", r#""name":"list_regions","arguments":{},"#),
    (
        "tools/call",
        "search_agents",
        r#""name":"search_agents","arguments":{"text":"upper","region":"eu-west-1","limit":5},"#,
    ),
    (
        "tools/call",
        "send_task",
        r#""name":"send_task","arguments":{"agent":"shout","text":"hi","region":"eu-west-1",
        "options":{"priority_key":1},"idempotency_key":"k","wait_ms":5},"#,
    ),
    (
        "tools/call",
        "answer_task",
        r#""name":"answer_task","arguments":{"id":"TASKTASKTASKTASKTASKTASKTA","text":"blue",
        "generation":2},"#,
    ),
    ("tasks/get", "TASKTASKTASKTASKTASKTASKTA", r#""taskId":"TASKTASKTASKTASKTASKTASKTA","#),
    (
        "tasks/update",
        "TASKTASKTASKTASKTASKTASKTA",
        r#""taskId":"TASKTASKTASKTASKTASKTASKTA","inputResponses":{"answer-2":{"action":"accept",
        "content":{"answer":"blue"}}},"#,
    ),
];

const fn call(body: &'static [u8]) -> Seed<'static> {
    ("POST /a2a", "", V10, body)
}

const fn in_session(body: &'static [u8]) -> Seed<'static> {
    let headers = &[("mcp-session-id", "SESSION"), ("mcp-protocol-version", "2025-11-25")];
    ("POST /mcp", "", headers, body)
}

/// Writes all of them.
pub(crate) fn write() {
    let table = &TARGET.table;
    for (at, story) in STORIES.into_iter().enumerate() {
        table.write(at, story);
    }
    for (at, body) in CALLS.into_iter().enumerate() {
        table.write(100 + at, &[call(body)]);
    }
    for (at, body) in OLD_CALLS.into_iter().enumerate() {
        table.write(200 + at, &[("POST /agents/shout", "", V03, body)]);
    }
    let ends: [Seed<'_>; 2] = [
        ("GET /mcp", "", &[("mcp-session-id", "SESSION")], b""),
        ("DELETE /mcp", "", &[("mcp-session-id", "SESSION")], b""),
    ];
    table.write(300, &[&SESSION[..], &ends].concat());
    for (at, (method, name, params)) in MODERN.into_iter().enumerate() {
        let version = "2026-07-28";
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":7,"method":"{method}","params":{{{params}"_meta":{{
            "io.modelcontextprotocol/protocolVersion":"{version}",
            "io.modelcontextprotocol/clientInfo":{{"name":"a","version":"1"}},
            "io.modelcontextprotocol/clientCapabilities":{{"extensions":{{
            "io.modelcontextprotocol/tasks":{{}}}}}}}}}}}}"#
        );
        let headers = [
            ("mcp-protocol-version", version),
            ("mcp-method", method),
            ("mcp-name", name),
            ("mcp-param-region", "eu-west-1"),
        ];
        let count = if name.is_empty() { 2 } else { headers.len() };
        table.write(400 + at, &[("POST /mcp", "", &headers[..count], body.as_bytes())]);
    }
}
