//! What the target `api` may ask for, and requests that are right for it to begin with.
//! Must not judge answers.

use photon_fuzz::case::Sends::Body;
use photon_fuzz::case::Value::{Given, Sealed};
use photon_fuzz::case::{Sends, Table};
use photon_fuzz::seed;
use photon_fuzz::world::Target;

const JSON: Sends = Body("application/json");

/// What the target asks for.
pub(crate) static TARGET: Target = Target {
    table: Table {
        name: "api",
        routes: &[
            ("PUT", "/v1/data/register/{}", JSON),
            ("PUT", "/v1/data/map/a{}", JSON),
            ("PUT", "/v1/data/set/a{}", JSON),
            ("PUT", "/v1/data/document/a{}", JSON),
            ("PATCH", "/v1/data/counter/a{}", JSON),
            ("PATCH", "/v1/data/bounded-counter/a{}", JSON),
            ("PATCH", "/v1/data/set/a{}", JSON),
            ("PATCH", "/v1/data/map/a{}", JSON),
            ("PATCH", "/v1/data/document/a{}", Body("application/merge-patch+json")),
            ("POST", "/v1/data/register{}", JSON),
            ("POST", "/v1/data/set{}", JSON),
            ("POST", "/v1/data/document{}", JSON),
            ("GET", "/v1/data/document{}", JSON),
            ("GET", "/v1/data/{}", JSON),
            ("DELETE", "/v1/data/map/{}", JSON),
            ("PUT", "/v1/data/register/b", Body("{}")),
            ("PUT", "/v1/datasets/{}", JSON),
            ("PUT", "/v1/datasets/map/master{}", JSON),
            ("GET", "/v1/datasets/map/{}", JSON),
            ("POST", "/v1/tasks{}", JSON),
            ("GET", "/v1/tasks{}", JSON),
            ("POST", "/v1/tasks/{}", JSON),
            ("GET", "/v1/{}", JSON),
        ],
        headers: &[
            ("x-nothing", Given),
            ("photon-session", Sealed),
            ("if-match", Given),
            ("if-none-match", Given),
            ("photon-consistency", Given),
            ("prefer", Given),
            ("accept", Given),
            ("idempotency-key", Given),
            ("last-event-id", Given),
            ("photon-session", Given),
        ],
    },
    first: &[
        ("PUT", "/v1/datasets/register", r#"{"type": "register"}"#),
        ("PUT", "/v1/datasets/counter", r#"{"type": "counter"}"#),
        ("PUT", "/v1/datasets/bounded-counter", r#"{"type": "bounded-counter"}"#),
        ("PUT", "/v1/datasets/set", r#"{"type": "set"}"#),
        ("PUT", "/v1/datasets/map", r#"{"type": "map"}"#),
        ("PUT", "/v1/datasets/document", r#"{"type": "document"}"#),
        ("PUT", "/v1/agents/shout", r#"{"skills": ["text.upper"], "capacity": 4}"#),
    ],
    each: &[],
};

/// A route of the target `api` by its number, a header by its number, the rest of the path, the
/// value of the header, and the body.
const REQUESTS: [(u8, u8, &str, &str, &str); 34] = [
    (0, 0, "users/7", "x", r#"{"name": "Ada", "tags": [1, 2.5, null, true]}"#),
    (0, 2, "a?consistency=strong&wait_ms=10", "*", "1e400"),
    (0, 5, "a?ttl_ms=1000", "return=minimal, wait=5", "\"text\\u0000\""),
    (1, 3, "?consistency=quorum&wait_ms=5", "*", r#"{"a": 1, "b": {"c": []}}"#),
    (2, 0, "", "x", r#"[1, "x", {"b": 1, "a": 2}, 1.0]"#),
    (3, 0, "", "x", r#"{"name": {"first": "Ada"}, "a/b~": [], "": {}}"#),
    (4, 4, "", "quorum", r#"{"add": 5}"#),
    (4, 0, "", "x", r#"{"add": -9223372036854775808}"#),
    (5, 0, "?wait_ms=5", "x", r#"{"add": 9223372036854775807}"#),
    (5, 0, "", "x", r#"{"add": -1}"#),
    (6, 0, "", "x", r#"{"add": [2], "remove": ["x"]}"#),
    (7, 0, "", "x", r#"{"a": null, "d": [1]}"#),
    (8, 0, "", "x", r#"{"name": {"last": null, "born": {"year": 1815}}}"#),
    (
        9,
        0,
        "",
        "x",
        r#"{"writes": [{"key": "a", "put": 1, "ttl_ms": 5}, {"key": "b", "delete": true}]}"#,
    ),
    (
        9,
        0,
        "?return=representation",
        "x",
        r#"{"writes": [{"key": "c", "put": 1, "if_none_match": "*"}]}"#,
    ),
    (10, 0, "", "x", r#"{"writes": [{"key": "a", "patch": {"add": [1]}}]}"#),
    (
        11,
        0,
        "",
        "x",
        r#"{"writes": [{"key": "a", "patch": {"x": {"y": null}},
            "if_match": "0000000000000000"}]}"#,
    ),
    (12, 1, "/a?consistency=session&wait_ms=5", "", ""),
    (12, 9, "/a?consistency=session&wait_ms=5", "AQAAAAA", ""),
    (12, 4, "?prefix=a&after=b&limit=10&max_staleness_ms=5", "causal", ""),
    (13, 6, "map?watch=true&wait_ms=0&position=AQ", "application/json", ""),
    (14, 2, "a", "\"0000000000000000\"", ""),
    (15, 0, "image/png; x=y", "x", "\u{1}PNG"),
    (
        16,
        0,
        "notes",
        "x",
        r#"{"type": "set", "placement": "global", "outside": "refuse",
            "mode": "single-master", "master": "eu-west-1", "elsewhere": "refuse",
            "conflicts": "prefer", "prefer": "us-east-1", "write_consistency": "quorum",
            "read_consistency": "causal", "ttl_ms": 60000}"#,
    ),
    (16, 0, "t", "x", r#"{"type": "map", "tenants": {"acme": "us"}, "others": "global"}"#),
    (17, 0, "?wait_ms=1", "x", r#"{"region": "us-east-1"}"#),
    (18, 0, "digest?placement=global&after=a&upto=b&limit=5", "x", ""),
    (
        19,
        7,
        "",
        "order-17",
        r#"{"skill": "text.upper", "parts": [{"text": "a"}, {"data": {"a": 1}}]}"#,
    ),
    (20, 8, "?state=working&limit=2", "3", ""),
    (21, 7, "TASKTASKTASKTASKTASKTASKTA/cancel", "k", r#"{"reason": "x"}"#),
    (21, 7, "TASKTASKTASKTASKTASKTASKTA/messages", "k", r#"{"text": "blue", "generation": 2}"#),
    (22, 6, "tasks/TASKTASKTASKTASKTASKTASKTA/events?after=0&wait_ms=5", "application/json", ""),
    (22, 6, "dead-letters?limit=5", "application/json", ""),
    (22, 6, "route?skill=text.upper&max_cost=1.5&limit=2", "application/json", ""),
];

/// Writes all of them.
pub(crate) fn write() {
    let letter = |at: u8| [b'a' + at];
    for (at, (route, head, path, value, body)) in REQUESTS.into_iter().enumerate() {
        let head = [&letter(head), value.as_bytes(), b"\n\n"].concat();
        let chosen = [&letter(route), path.as_bytes(), b"\n", &head, body.as_bytes()];
        seed::write("api", at, &chosen.concat());
    }
}
