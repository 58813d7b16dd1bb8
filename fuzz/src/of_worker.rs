//! What the target `worker` may ask for, and requests that are right for it to begin with.
//! Must not judge answers.

use photon_fuzz::case::Sends::{Body, Messages, Raw};
use photon_fuzz::case::Value::Given;
use photon_fuzz::case::{NEXT_MESSAGE, Seed, Sends, Table};
use photon_fuzz::known::{TASK, TOKEN_VARINT};
use photon_fuzz::world::Target;

const JSON: Sends = Body("application/json");

/// What the target asks for. Each case has a lease of its own: `TASK..` and `TOKEN` stand for it.
pub(crate) static TARGET: Target = Target {
    table: Table {
        name: "worker",
        routes: &[
            ("PUT", "/v1/agents/{}", JSON),
            ("GET", "/v1/agents{}", JSON),
            ("DELETE", "/v1/agents/{}", JSON),
            ("POST", "/v1/leases{}", JSON),
            ("POST", "/v1/leases/TASKTASKTASKTASKTASKTASKTA/heartbeat{}", JSON),
            ("POST", "/v1/leases/TASKTASKTASKTASKTASKTASKTA/events{}", JSON),
            ("POST", "/v1/leases/TASKTASKTASKTASKTASKTASKTA/complete{}", JSON),
            ("POST", "/v1/leases/TASKTASKTASKTASKTASKTASKTA/pause{}", JSON),
            ("POST", "/v1/leases/TASKTASKTASKTASKTASKTASKTA/fail{}", JSON),
            ("POST", "/v1/leases/{}", JSON),
            ("POST", "/v1/leases", Body("{}")),
            ("POST", "/v1/tasks", JSON),
            ("POST", "/v1/tasks/TASKTASKTASKTASKTASKTASKTA/{}", JSON),
            ("GET", "/v1/tasks/{}", JSON),
            ("POST", "/photon.v1.Workers/Attach", Messages),
            ("POST", "/photon.v1.Workers/Attach", Raw),
            ("POST", "/photon.v1.Topics/Publish", Messages),
            ("POST", "/photon.v1.Topics/Follow", Messages),
            ("POST", "/photon.v1.Topics/{}", Raw),
            ("POST", "/lf.a2a.v1.A2AService/{}", Messages),
            ("POST", "/lf.a2a.v1.A2AService/{}", Raw),
            ("POST", "/photon.v1.{}", JSON),
        ],
        headers: &[
            ("idempotency-key", Given),
            ("last-event-id", Given),
            ("accept", Given),
            ("a2a-version", Given),
            ("a2a-extensions", Given),
            ("grpc-encoding", Given),
            ("grpc-timeout", Given),
        ],
    },
    first: &[("PUT", "/v1/agents/quiet", r#"{"skills": ["text.lower"], "capacity": 4}"#)],
    each: &[
        ("PUT", "/v1/agents/shout", r#"{"skills": ["text.upper"], "capacity": 1000}"#),
        ("POST", "/v1/tasks", r#"{"skill": "text.upper", "text": "hello"}"#),
        ("POST", "/v1/leases", r#"{"agent": "shout", "limit": 1, "wait_ms": 100}"#),
    ],
};

const HEARTBEAT: Seed<'_> =
    ("POST /v1/leases/TASKTASKTASKTASKTASKTASKTA/heartbeat{}", "", &[], br#"{"token":"TOKEN"}"#);
const NOTES: Seed<'_> = (
    "POST /v1/leases/TASKTASKTASKTASKTASKTASKTA/events{}",
    "",
    &[],
    br#"{"token":"TOKEN","first":1,"notes":[{"status":"begun"},{"artifact":{"id":"out",
    "name":"n","text":"HE"}},{"artifact":{"id":"out","parts":[{"text":"LLO"},{"data":{"a":1.5}},
    {"raw":"aGk=","mediaType":"a/b"}],"append":true,"last":true}},{"status":{"role":"ROLE_AGENT",
    "messageId":"m","parts":[{"text":"x"}],"metadata":{"a":null}}},
    {"checkpoint":{"key":"outline","value":{"chapters":[7,1e300]}}}]}"#,
);
const COMPLETE: Seed<'_> = (
    "POST /v1/leases/TASKTASKTASKTASKTASKTASKTA/complete{}",
    "",
    &[],
    br#"{"token":"TOKEN","notes":5,"message":{"messageId":"d","role":"ROLE_AGENT",
    "parts":[{"text":"HI"}]}}"#,
);
const PAUSE: Seed<'_> = (
    "POST /v1/leases/TASKTASKTASKTASKTASKTASKTA/pause{}",
    "",
    &[],
    br#"{"token":"TOKEN","notes":0,"for":"auth","text":"which colour?"}"#,
);
const FAIL: Seed<'_> = (
    "POST /v1/leases/TASKTASKTASKTASKTASKTASKTA/fail{}",
    "",
    &[],
    br#"{"token":"TOKEN","reason":"no","rejected":true,"non_retryable":false}"#,
);
const ANSWER: Seed<'_> = (
    "POST /v1/tasks/TASKTASKTASKTASKTASKTASKTA/{}",
    "messages",
    &[("idempotency-key", "k")],
    br#"{"text":"blue","generation":3}"#,
);
const LEASE: Seed<'_> =
    ("POST /v1/leases{}", "", &[], br#"{"agent":"shout","limit":2,"wait_ms":20000}"#);
const LOOK: Seed<'_> = ("GET /v1/tasks/{}", "TASKTASKTASKTASKTASKTASKTA", &[], b"");

/// Cases over HTTP.
const STORIES: [&[Seed<'_>]; 10] = [
    &[HEARTBEAT, NOTES, NOTES, COMPLETE, LOOK],
    &[PAUSE, ANSWER, LEASE, HEARTBEAT, FAIL],
    &[FAIL, LOOK, HEARTBEAT],
    &[NOTES, LEASE, COMPLETE, COMPLETE],
    &[("PUT /v1/agents/{}", "shout", &[], CARD)],
    &[("GET /v1/agents{}", "?skill=text.upper&region=eu-west-1&limit=1&cursor=a", &[], b"")],
    &[("GET /v1/agents{}", "/shout", &[], b""), ("DELETE /v1/agents/{}", "shout", &[], b"")],
    &[(
        "POST /v1/tasks",
        "",
        &[("idempotency-key", "order-17")],
        br#"{"skill":"text.upper","text":"hi","options":{"priority_key":9,
        "retry_policy":{"maximum_attempts":2}}}"#,
    )],
    &[("POST /v1/leases/{}", "TASKTASKTASKTASKTASKTASKTA/complete", &[], b"{}")],
    &[("POST /photon.v1.{}", "Workers/Attach", &[], b"")],
];

const CARD: &[u8] = br#"{"skills":["text.upper","a.b"],"capacity":4,"cost":0.25,"placement":"eu",
    "card":{"name":"S","description":"d","version":"1","skills":[{"id":"text.upper","name":"U",
    "description":"d","tags":["t"],"examples":["e"]}],"capabilities":{"streaming":true,
    "extensions":[{"uri":"urn:x"}]},"provider":{"url":"http://x","organization":"o"}}}"#;

/// Writes a field of Protocol Buffers that has a length.
fn text(tag: u8, text: &[u8]) -> Vec<u8> {
    let mut len = text.len();
    let mut bytes = vec![tag << 3 | 2];
    while 0x7f < len {
        bytes.push(u8::try_from(len & 0x7f).expect("it is seven bits") | 0x80);
        len >>= 7;
    }
    bytes.push(u8::try_from(len).expect("it is the rest"));
    [&bytes, text].concat()
}

/// Writes a field that is a small number.
fn number(tag: u8, number: u8) -> Vec<u8> {
    vec![tag << 3, number]
}

/// Writes what a worker says, under a number.
fn said(id: u8, tag: u8, what: &[Vec<u8>]) -> Vec<u8> {
    [number(1, id), text(tag, &what.concat())].concat()
}

fn notes() -> Vec<u8> {
    let remark = text(3, &text(1, b"begun"));
    let message = br#"{"messageId":"n","role":"ROLE_AGENT","parts":[{"text":"x"}]}"#;
    let message = text(3, &text(2, message));
    let artifact = [text(1, b"out"), text(3, b"HELLO"), number(5, 1), number(6, 1)].concat();
    let artifact = text(3, &text(3, &artifact));
    let parts = [text(1, b"out"), text(4, br#"[{"data":{"a":1}}]"#)].concat();
    let parts = text(3, &text(3, &parts));
    let checkpoint = [text(1, b"k"), text(2, b"{\"n\":7}")].concat();
    let checkpoint = text(3, &text(4, &checkpoint));
    said(3, 4, &[text(1, TASK), number(2, 1), remark, message, artifact, parts, checkpoint])
}

/// Returns calls of a worker: the messages of each.
fn calls() -> Vec<Vec<Vec<u8>>> {
    let held = [text(1, TASK), [&[2 << 3], &TOKEN_VARINT[..]].concat()].concat();
    let shout = [text(1, b"shout"), text(2, b"text.upper"), number(3, 9), text(8, &held)];
    let attach = said(1, 2, &shout);
    let named = [text(1, b"loud"), text(2, b"a.b"), text(5, b"d"), text(6, b"eu"), text(4, b"{}")];
    let other = said(1, 2, &named);
    let beat = said(2, 3, &[]);
    let complete = said(4, 5, &[text(1, TASK), number(2, 5), text(3, b"HI")]);
    let pause = said(4, 6, &[text(1, TASK), number(3, 1), text(4, b"who?")]);
    let fail = said(4, 7, &[text(1, TASK), text(3, b"no"), number(4, 1), number(5, 1)]);
    let drain = said(5, 8, &[]);
    vec![
        vec![attach.clone(), beat.clone(), notes(), complete, drain.clone()],
        vec![attach.clone(), pause, beat.clone()],
        vec![attach, notes(), fail],
        vec![other, beat, drain],
    ]
}

/// Returns calls of other services: the method, and the message.
fn asked() -> Vec<(&'static str, Vec<u8>)> {
    let hi = text(5, &text(1, b"hi"));
    let data = text(5, &text(4, &[&[2 << 3 | 1], &1.5_f64.to_le_bytes()[..]].concat()));
    let message = [text(1, b"m"), text(2, b"c"), number(4, 1), hi, data].concat();
    let field = [text(1, b"skill"), text(2, &text(3, b"text.upper"))].concat();
    let metadata = text(6, &text(1, &field));
    let routed = [&message[..], &metadata].concat();
    let hook = [text(2, b"h"), text(3, TASK), text(4, b"http://127.0.0.1:9/"), text(5, b"t")];
    let now = number(4, 1);
    let of_agent = [text(1, b"shout"), text(2, &message), text(3, &now)].concat();
    let time = text(7, &number(1, 9));
    let list = [text(1, b"shout"), text(2, b"c"), number(3, 1), number(4, 2), time, number(8, 1)];
    vec![
        ("SendMessage", of_agent.clone()),
        ("SendMessage", [text(2, &routed), text(3, &now)].concat()),
        ("SendStreamingMessage", of_agent),
        ("GetTask", [text(2, TASK), number(3, 1)].concat()),
        ("ListTasks", list.concat()),
        ("CancelTask", text(2, TASK)),
        ("SubscribeToTask", text(2, TASK)),
        ("CreateTaskPushNotificationConfig", hook.concat()),
        ("GetTaskPushNotificationConfig", [text(2, TASK), text(3, b"h")].concat()),
        ("ListTaskPushNotificationConfigs", text(1, TASK)),
        ("DeleteTaskPushNotificationConfig", [text(2, TASK), text(3, b"h")].concat()),
        ("GetExtendedAgentCard", text(1, b"shout")),
    ]
}

/// Writes all of them.
pub(crate) fn write() {
    let table = &TARGET.table;
    for (at, story) in STORIES.into_iter().enumerate() {
        table.write(at, story);
    }
    for (at, messages) in calls().into_iter().enumerate() {
        let body = messages.join(&NEXT_MESSAGE);
        table.write(100 + at, &[("POST /photon.v1.Workers/Attach", "", &[], &body)]);
    }
    for (at, (method, message)) in asked().into_iter().enumerate() {
        let version = &[("a2a-version", "1.0"), ("last-event-id", "1")];
        let count = usize::from(method == "SubscribeToTask") + 1;
        let call = ("POST /lf.a2a.v1.A2AService/{}", method, &version[..count], &message[..]);
        table.write(200 + at, &[call]);
    }
    let post = [text(1, b"news"), text(3, b"{\"n\":1}"), text(4, b"k"), text(5, b"1")].concat();
    let follow = [text(1, b"news"), number(3, 0), text(4, b"1-1"), text(6, b"k")].concat();
    let published: Seed<'_> = ("POST /photon.v1.Topics/Publish", "", &[], &post);
    let followed = ("POST /photon.v1.Topics/Follow", "", &[][..], &follow[..]);
    table.write(300, &[published, followed]);
}
