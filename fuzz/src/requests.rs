//! Requests that are right, for the target `api` to begin with.

#[path = "seed.rs"]
mod seed;

/// A route of the target `api` by its number, a header by its number, the rest of the path, the
/// value of the header, and the body.
const REQUESTS: [(u8, u8, &str, &str, &str); 30] = [
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
    (12, 129, "/a?consistency=session&wait_ms=5", "AQAAAAA", ""),
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
    (
        20,
        0,
        "",
        "x",
        r#"{"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {
            "message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hi"}],
            "contextId": "c"}, "configuration": {"blocking": false}}}"#,
    ),
    (22, 0, "shout", "x", r#"{"skills": ["text.upper"], "capacity": 4}"#),
];

/// Writes all of them.
pub(crate) fn write() {
    for (at, (route, head, path, value, body)) in REQUESTS.into_iter().enumerate() {
        let chosen = [&[route, head], path.as_bytes(), b"\n", value.as_bytes(), b"\n"].concat();
        seed::write("api", at, &[&chosen, body.as_bytes()].concat());
    }
}
