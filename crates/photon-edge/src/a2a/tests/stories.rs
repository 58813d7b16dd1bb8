//! What a client may count on.
//! Must not look behind the wire.

use std::sync::{Arc, OnceLock};

use super::Step::{Begin, Claim, End, Go, Hang, Reply, Say};
use super::*;

pub(super) const SHOUT: &[Step] =
    &[Claim, Say("busy"), Begin("HEL"), Go("LO"), End(Outcome::Completed)];

/// Says in a line what a stream told: one word per event, with its id.
pub(super) fn told(events: &[(String, Value)]) -> String {
    let word = |(id, event): &(String, Value)| {
        let event = event.get("result").unwrap_or(event);
        let state = |it: &Value| {
            let state = it["status"]["state"].as_str().unwrap_or("?");
            state.trim_start_matches("TASK_STATE_").to_lowercase()
        };
        let word = if let Some(task) = event.get("task") {
            format!("task/{}", state(task))
        } else if let Some(update) = event.get("statusUpdate") {
            let said = update["status"]["message"]["parts"][0]["text"].as_str();
            format!("{}{}", state(update), said.map(|it| format!("/{it}")).unwrap_or_default())
        } else {
            let update = &event["artifactUpdate"];
            let sign = if update["append"] == json!(true) { "+" } else { "=" };
            format!("{sign}{}", update["artifact"]["parts"][0]["text"].as_str().unwrap_or("?"))
        };
        format!("{id}:{word}")
    };
    events.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_message_is_answered_with_the_task_at_its_end() {
    for (path, params) in [
        ("/agents/shout", message("hello")),
        ("/a2a", with_metadata("skill", "text.upper")),
        ("/a2a", with_metadata("photon/skill", "text.upper")),
        ("/a2a", with_metadata("agent", "shout")),
    ] {
        let client = Client::new(SHOUT);
        let body = client.rpc(path, "SendMessage", params.clone()).await;
        check_shout(&body["result"]["task"], &body);
        let client = Client::new(SHOUT);
        let got = client.post(&format!("{path}/message:send"), params).await;
        assert_eq!(got.status, StatusCode::OK, "{got:?}");
        assert_eq!(got.headers["content-type"], "application/a2a+json");
        check_shout(&got.json()["task"], &got.json());
    }
}

fn with_metadata(key: &str, value: &str) -> Value {
    let mut params = message("hello");
    params["message"]["metadata"] = json!({ key: value });
    params
}

fn check_shout(task: &Value, all: &Value) {
    assert_eq!(task["status"]["state"], "TASK_STATE_COMPLETED", "{all}");
    assert_eq!(task["contextId"], "c-1", "{all}");
    let parts = json!([{ "text": "HEL" }, { "text": "LO" }]);
    assert_eq!(task["artifacts"], json!([{ "artifactId": "out", "parts": parts }]), "{all}");
    assert_eq!(task["history"][0]["parts"], json!([{ "text": "hello" }]), "{all}");
    assert_eq!(task["history"][0]["taskId"], task["id"], "{all}");
    let photon = json!({
        "home": "eu-west-1", "region": "eu-west-1", "agent": "shout", "placement": "global",
        "attempt": 1, "generation": 6,
    });
    assert_eq!(task["metadata"]["photon"], photon, "{all}");
    assert!(task["status"]["timestamp"].as_str().unwrap().ends_with('Z'), "{all}");
}

#[tokio::test]
async fn an_agent_that_only_says_something_is_answered_with_it() {
    for (script, is_message) in [
        (&[Claim, Reply("hi", true)][..], true),
        (&[Claim, Reply("hi", false)], false),
        (&[Claim, Begin("HI"), Reply("hi", true)], false),
    ] {
        let client = Client::new(script);
        let body = client.rpc("/agents/shout", "SendMessage", message("hello")).await;
        let said = match is_message {
            true => &body["result"]["message"],
            false => &body["result"]["task"]["status"]["message"],
        };
        assert_eq!(said["parts"], json!([{ "text": "hi" }]), "{body}");
        assert_eq!((&said["role"], &said["contextId"]), (&json!("ROLE_AGENT"), &json!("c-1")));
        // The task is there all the same, and is what a client in a hurry is told of.
        let task = client.rpc("/agents/shout", "GetTask", json!({ "id": said["taskId"] })).await;
        assert_eq!(task["result"]["status"]["state"], "TASK_STATE_COMPLETED", "{task}");
    }
    let client = Client::new(&[Claim, Reply("hi", true)]);
    let mut params = message("hello");
    params["configuration"] = json!({ "returnImmediately": true });
    let got = client.post("/agents/shout/message:send", params).await;
    assert!(got.json()["task"].is_object(), "{got:?}");
}

#[tokio::test]
async fn whoever_is_in_a_hurry_is_answered_at_once() {
    let client = Client::new(SHOUT);
    let mut params = message("hello");
    params["configuration"] = json!({ "returnImmediately": true, "historyLength": 0 });
    let body = client.rpc("/agents/shout", "SendMessage", params).await;
    let task = &body["result"]["task"];
    assert_ne!(task["status"]["state"], "TASK_STATE_COMPLETED", "{body}");
    assert!(task.get("history").is_none(), "{body}");
    let id = task["id"].as_str().unwrap();
    let got = client.rpc("/agents/shout", "GetTask", json!({ "id": id })).await;
    assert_eq!(got["result"]["id"], id);
}

#[tokio::test]
async fn a_stream_tells_everything_in_order_with_generations() {
    // The agent is idle, so that the task is claimed before the answer leaves.
    let expected = "2:task/working 3:working/busy 4:=HEL 5:+LO 6:completed";
    let client = Client::new(SHOUT);
    let got = client.post("/agents/shout/message:stream", message("hello")).await;
    assert_eq!(got.headers["content-type"], "text/event-stream", "{got:?}");
    assert_eq!(told(&got.events()), expected);
    let client = Client::new(SHOUT);
    let body = json!({
        "jsonrpc": "2.0", "id": "a", "method": "SendStreamingMessage", "params": message("hello"),
    });
    let got = client.post("/agents/shout", body).await;
    assert_eq!(told(&got.events()), expected);
    assert!(got.events().iter().all(|(_, it)| it["id"] == "a" && it["jsonrpc"] == "2.0"));
}

#[tokio::test]
async fn the_artifacts_of_another_attempt_begin_anew() {
    let script = [Claim, Begin("HEL"), Hang, Claim, Go("HEL"), Go("LO"), End(Outcome::Completed)];
    let client = Client::new(&script);
    let got = client.post("/agents/shout/message:stream", message("hello")).await;
    let expected = "2:task/working 3:=HEL 4:submitted 5:working 6:=HEL 7:+LO 8:completed";
    assert_eq!(told(&got.events()), expected);
    let events = got.events();
    assert_eq!(events[2].1["statusUpdate"]["metadata"]["photon"]["requeued"], "lapsed");
    assert_eq!(events[4].1["artifactUpdate"]["metadata"]["photon"]["attempt"], 2);
}

#[tokio::test]
async fn a_lost_stream_goes_on_where_it_was_lost() {
    let client = Client::new(SHOUT);
    let key = [("idempotency-key", "k"), ("last-event-id", "4")];
    let stream = "/agents/shout/message:stream";
    let got = client.call("POST", stream, &key[..1], message("hello")).await;
    let id = got.events()[0].1["task"]["id"].as_str().unwrap().to_owned();
    let got = client.call("POST", stream, &key, message("hello")).await;
    assert_eq!(told(&got.events()), "5:+LO 6:completed", "{got:?}");
    let subscribe = format!("/agents/shout/tasks/{id}:subscribe");
    let got = client.call("GET", &subscribe, &key[1..], Value::Null).await;
    assert_eq!(told(&got.events()), "5:+LO 6:completed", "{got:?}");
    // What cannot be resumed is told from the snapshot on, or refused.
    let far = [("idempotency-key", "k"), ("last-event-id", "18446744073709551615")];
    let got = client.call("POST", stream, &far, message("hello")).await;
    assert_eq!(told(&got.events()), "6:task/completed", "{got:?}");
    let got = client.call("POST", &subscribe, &far[1..], Value::Null).await;
    check_rest(&got, 400, "UNSUPPORTED_OPERATION");
}

#[tokio::test]
async fn a_subscriber_sees_the_task_first_and_then_what_follows() {
    for method in ["GET", "POST"] {
        let client = Client::new(SHOUT);
        let id = client.submit("hello").await;
        let path = format!("/a2a/tasks/{id}:subscribe");
        let got = client.call(method, &path, &[], Value::Null).await;
        let expected = "2:task/working 3:working/busy 4:=HEL 5:+LO 6:completed";
        assert_eq!(told(&got.events()), expected);
        let got = client.call(method, &path, &[], Value::Null).await;
        check_rest(&got, 400, "UNSUPPORTED_OPERATION");
        let body = client.rpc("/a2a", "SubscribeToTask", json!({ "id": id })).await;
        assert_eq!(body["error"]["code"], -32004, "{body}");
    }
}

#[tokio::test]
async fn a_repeated_message_makes_one_task() {
    let client = Client::new(SHOUT);
    let key = [("idempotency-key", "k")];
    let send = "/agents/shout/message:send";
    let first = client.call("POST", send, &key, message("hello")).await.json();
    let again = client.call("POST", send, &key, message("hello")).await.json();
    assert_eq!(first["task"]["id"], again["task"]["id"]);
    let other = client.call("POST", send, &key, message("goodbye")).await;
    check_rest(&other, 409, "INVALID_PARAMS");
}

#[tokio::test]
async fn a_canceled_task_stays_so() {
    let client = Client::new(&[]);
    let id = client.submit("hello").await;
    for _ in 0..2 {
        let got = client.post(&format!("/a2a/tasks/{id}:cancel"), json!({})).await;
        assert_eq!(got.json()["status"]["state"], "TASK_STATE_CANCELED", "{got:?}");
    }
    let client = Client::new(SHOUT);
    let sent = client.rpc("/agents/shout", "SendMessage", message("hello")).await;
    let id = &sent["result"]["task"]["id"];
    let body = client.rpc("/agents/shout", "CancelTask", json!({ "id": id })).await;
    assert_eq!(body["error"]["code"], -32002, "{body}");
}

#[tokio::test]
async fn a_list_comes_in_pages_of_the_youngest_first() {
    let client = Client::new(&[]);
    let mut ids = Vec::new();
    for text in ["a", "b", "c"] {
        ids.insert(0, client.submit(text).await);
    }
    let page = |token: String| format!("/agents/shout/tasks?pageSize=2&pageToken={token}");
    let first = client.get(&page(String::new())).await.json();
    let next = first["nextPageToken"].as_str().unwrap().to_owned();
    let second = client.get(&page(next)).await.json();
    let listed = [&first["tasks"][0], &first["tasks"][1], &second["tasks"][0]];
    assert_eq!(listed.map(|it| it["id"].as_str().unwrap()).as_slice(), ids);
    assert_eq!((&second["nextPageToken"], &second["totalSize"]), (&json!(""), &json!(3)));
    assert!(listed.iter().all(|it| it.get("artifacts").is_none()), "{first}");
    for (query, count) in [
        ("contextId=c-1", 3),
        ("contextId=c-2", 0),
        ("status=TASK_STATE_WORKING&includeArtifacts=true", 3),
        ("status=TASK_STATE_COMPLETED", 0),
        ("status=TASK_STATE_INPUT_REQUIRED", 0),
        ("statusTimestampAfter=2001-01-01T00:00:00Z&historyLength=0", 3),
        ("statusTimestampAfter=2101-01-01T00:00:00Z", 0),
    ] {
        let body = client.get(&format!("/a2a/tasks?{query}")).await.json();
        assert_eq!(body["totalSize"], count, "{query}: {body}");
        assert_eq!(body["tasks"].as_array().unwrap().len(), count, "{query}: {body}");
    }
    let body = client.rpc("/a2a", "ListTasks", json!({ "includeArtifacts": true })).await;
    assert_eq!(body["result"]["tasks"][0]["artifacts"], json!([]), "{body}");
    assert_eq!(body["result"]["pageSize"], 50, "{body}");
}

#[tokio::test]
async fn a_page_ends_early_when_it_is_heavy() {
    let client = Client::new(&[]);
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.insert(0, client.submit(&"x".repeat(900_000)).await);
    }
    for artifacts in [false, true] {
        let (mut found, mut token, mut sizes) = (Vec::new(), String::new(), Vec::new());
        loop {
            let query = format!("pageSize=6&includeArtifacts={artifacts}&pageToken={token}");
            let page = client.get(&format!("/a2a/tasks?{query}")).await.json();
            let tasks = page["tasks"].as_array().unwrap();
            assert_eq!((&page["totalSize"], &page["pageSize"]), (&json!(8), &json!(6)));
            sizes.push(tasks.len());
            found.extend(tasks.iter().map(|it| it["id"].as_str().unwrap().to_owned()));
            token = page["nextPageToken"].as_str().unwrap().to_owned();
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(found, ids);
        assert_eq!(sizes, [5, 3]);
    }
}

/// Expects a `google.rpc.Status` with this reason.
pub(super) fn check_rest(got: &Got, status: u16, reason: &str) {
    assert_eq!(got.status.as_u16(), status, "{got:?}");
    let error = &got.json()["error"];
    assert_eq!(error["code"], status, "{error}");
    let details = error["details"].as_array().unwrap();
    let info = details.iter().find(|it| it["@type"] == ::a2a::ERROR_INFO_TYPE).unwrap();
    assert_eq!((&info["reason"], &info["domain"]), (&json!(reason), &json!("a2a-protocol.org")));
}

#[tokio::test]
async fn bad_requests_get_the_errors_of_the_protocol() {
    let client = Client::new(&[]);
    let id = client.submit("hello").await;
    let unknown = "01h00000000000000000000000";
    let mut to_task = message("more");
    to_task["message"]["taskId"] = json!(id);
    let mut to_unknown = message("more");
    to_unknown["message"]["taskId"] = json!(unknown);
    let mut pushed = message("hello");
    pushed["configuration"] = json!({ "taskPushNotificationConfig": { "url": "x" } });
    let mut negative = message("hello");
    negative["configuration"] = json!({ "historyLength": -1 });
    let no_parts = json!({ "message": { "messageId": "m", "role": "ROLE_USER", "parts": [] } });
    for (path, method, params, code, hint) in [
        ("/a2a", "SendMessage", message("hello"), -32602, "message.metadata.skill"),
        ("/a2a", "SendMessage", with_metadata("skill", "none.such"), -32602, "none.such"),
        ("/a2a", "SendMessage", with_metadata("skill", "ü"), -32602, "message.metadata.skill"),
        ("/a2a", "SendMessage", with_metadata("agent", "nobody"), -32602, "nobody"),
        ("/agents/nobody", "SendMessage", message("hello"), -32602, "nobody"),
        ("/agents/shout", "SendMessage", with_metadata("placement", "moon"), -32602, "moon"),
        ("/agents/shout", "SendMessage", no_parts, -32602, "message.parts"),
        ("/agents/shout", "SendMessage", json!({}), -32602, "message"),
        ("/agents/shout", "SendMessage", negative, -32602, "configuration.historyLength"),
        ("/agents/shout", "SendMessage", to_task.clone(), -32004, "contextId"),
        ("/agents/shout", "SendStreamingMessage", to_task, -32004, "contextId"),
        ("/agents/shout", "SendMessage", to_unknown, -32001, unknown),
        ("/agents/shout", "SendMessage", pushed, -32602, "taskPushNotificationConfig.url"),
        ("/agents/shout", "GetTask", json!({}), -32602, "id"),
        ("/agents/shout", "GetTask", json!({ "id": "what" }), -32001, "what"),
        ("/agents/shout", "GetTask", json!({ "id": unknown }), -32001, unknown),
        ("/agents/other", "GetTask", json!({ "id": id }), -32001, &id),
        ("/agents/other", "CancelTask", json!({ "id": id }), -32001, &id),
        ("/agents/other", "ListTasks", json!({}), -32602, "other"),
        ("/a2a", "ListTasks", json!({ "pageSize": 0 }), -32602, "pageSize"),
        ("/a2a", "ListTasks", json!({ "pageSize": 101 }), -32602, "pageSize"),
        ("/a2a", "ListTasks", json!({ "pageToken": "x" }), -32602, "pageToken"),
        ("/a2a", "ListTasks", json!({ "status": "x" }), -32602, "status"),
        ("/a2a", "SubscribeToTask", json!({ "id": unknown }), -32001, unknown),
        ("/a2a", "CreateTaskPushNotificationConfig", json!({}), -32602, "url"),
        ("/agents/nobody", "GetExtendedAgentCard", json!({}), -32602, "nobody"),
        ("/a2a", "message/nothing", json!({}), -32601, "message/nothing"),
        ("/a2a", "SendMessage", json!([1]), -32602, "params"),
    ] {
        let body = client.rpc(path, method, params).await;
        assert_eq!(body["error"]["code"], code, "{method} at {path}: {body}");
        assert!(body["error"].to_string().contains(hint), "{method} at {path}: {body}");
        assert!(body["error"]["data"][0]["@type"].is_string(), "{method} at {path}: {body}");
    }
}

#[tokio::test]
async fn what_is_no_request_is_told_so() {
    let client = Client::new(&[]);
    let json_type = [("content-type", "application/json")];
    for (raw, code, id) in [
        ("{", -32700, json!(null)),
        ("[]", -32600, json!(null)),
        ("{}", -32600, json!(null)),
        (r#"{"id": 1.5, "jsonrpc": "2.0", "method": "GetTask"}"#, -32600, json!(null)),
        (r#"{"id": 1, "jsonrpc": "1.0", "method": "GetTask"}"#, -32600, json!(1)),
        (r#"{"id": "a", "jsonrpc": "2.0"}"#, -32600, json!("a")),
    ] {
        let got = client.call("POST", "/a2a", &json_type, json!(raw)).await;
        let body = got.json();
        assert_eq!((&body["error"]["code"], &body["id"]), (&json!(code), &id), "{raw}: {body}");
        assert_eq!(got.status, StatusCode::OK);
    }
    let plain = [("content-type", "text/plain")];
    let got = client.call("POST", "/a2a", &plain, json!("{}")).await;
    assert_eq!((got.status.as_u16(), &got.json()["error"]["code"]), (415, &json!(-32005)));
    let got = client.call("POST", "/a2a/message:send", &plain, json!("{}")).await;
    check_rest(&got, 415, "CONTENT_TYPE_NOT_SUPPORTED");
}

#[tokio::test]
async fn rest_names_what_it_does_not_do() {
    let client = Client::new(&[]);
    let id = client.submit("hello").await;
    for (method, path, status, reason) in [
        ("GET", format!("/a2a/tasks/{id}:jump"), 404, "METHOD_NOT_FOUND"),
        ("POST", format!("/a2a/tasks/{id}:jump"), 404, "METHOD_NOT_FOUND"),
        ("POST", format!("/a2a/tasks/{id}"), 404, "METHOD_NOT_FOUND"),
        ("GET", "/a2a/tasks/what".to_owned(), 404, "TASK_NOT_FOUND"),
        ("GET", "/agents/nobody/tasks".to_owned(), 404, "INVALID_PARAMS"),
        ("GET", "/agents/No%20body/tasks".to_owned(), 404, "INVALID_PARAMS"),
        ("GET", "/a2a/tasks?pageSize=many".to_owned(), 400, "INVALID_PARAMS"),
        ("GET", "/agents/%ff/tasks".to_owned(), 400, "INVALID_PARAMS"),
        ("GET", "/a2a/tasks/%ff".to_owned(), 400, "INVALID_PARAMS"),
        ("GET", "/agents/%ff/.well-known/agent-card.json".to_owned(), 400, "INVALID_PARAMS"),
        ("GET", "/agents/nobody/extendedAgentCard".to_owned(), 404, "INVALID_PARAMS"),
        ("GET", "/a2a/tasks/what/pushNotificationConfigs".to_owned(), 404, "TASK_NOT_FOUND"),
        ("GET", format!("/a2a/tasks/{id}/pushNotificationConfigs/c"), 404, "TASK_NOT_FOUND"),
        ("DELETE", format!("/a2a/tasks/{id}/pushNotificationConfigs/%20"), 400, "INVALID_PARAMS"),
    ] {
        check_rest(&client.call(method, &path, &[], Value::Null).await, status, reason);
    }
    let got = client.get(&format!("/agents/shout/shout/tasks/{id}?historyLength=0")).await;
    assert_eq!((got.status, got.json().get("history")), (StatusCode::OK, None), "{got:?}");
}

#[tokio::test]
async fn a_query_is_understood_or_refused() {
    let client = Client::new(&[]);
    let id = client.submit("hello").await;
    let one = format!("/a2a/tasks/{id}");
    for (method, path, field) in [
        ("GET", "/a2a/tasks?pageSzie=2".to_owned(), "pageSzie"),
        ("GET", "/a2a/tasks?page_size=2".to_owned(), "page_size"),
        ("GET", "/a2a/tasks?pageSize=2&pageSize=3".to_owned(), "pageSize"),
        ("GET", "/a2a/tasks?a2a-version=1.0&A2A-Version=1.0".to_owned(), "A2A-Version"),
        ("GET", "/a2a/tasks?includeArtifacts=yes".to_owned(), "includeArtifacts"),
        ("GET", "/a2a/tasks?contextId=%ff".to_owned(), "contextId"),
        ("GET", "/a2a/tasks?%ff=1".to_owned(), "\u{fffd}"),
        ("GET", format!("{one}?id=x"), "id"),
        ("GET", format!("{one}?historyLength=1&includeArtifacts=true"), "includeArtifacts"),
        ("GET", format!("{one}:subscribe?historyLength=1"), "historyLength"),
        ("POST", format!("{one}:cancel?force=true"), "force"),
        ("POST", "/agents/shout/message:send?blocking=true".to_owned(), "blocking"),
        ("POST", "/agents/shout/message:stream?blocking=true".to_owned(), "blocking"),
    ] {
        let got = client.call(method, &path, &[], Value::Null).await;
        check_rest(&got, 400, "INVALID_PARAMS");
        let found = &got.json()["error"]["details"][0]["fieldViolations"][0]["field"];
        assert_eq!(found, field, "{path}: {got:?}");
    }
    let body = client.rpc("/a2a?pageSize=2", "ListTasks", json!({})).await;
    assert_eq!(body["error"]["code"], -32602, "{body}");
    assert!(body["error"]["message"].as_str().unwrap().contains("pageSize"), "{body}");
    let good = "/a2a/tasks?tenant=shout&a2a-version=1.0&A2A-Extensions=x&pageSize=1";
    assert_eq!(client.get(good).await.status, StatusCode::OK);
}

#[tokio::test]
async fn only_version_1_0_is_spoken_and_silence_means_it() {
    let client = Client::new(&[]);
    let id = client.submit("hello").await;
    let path = format!("/a2a/tasks/{id}");
    for good in ["1.0", "1.0.3", ""] {
        let got = client.call("GET", &path, &[("a2a-version", good)], Value::Null).await;
        assert_eq!(got.status, StatusCode::OK, "{good}: {got:?}");
    }
    for bad in ["0.3", "1.1", "1.01", "2.0", "x"] {
        let got = client.call("GET", &path, &[("a2a-version", bad)], Value::Null).await;
        check_rest(&got, 400, "VERSION_NOT_SUPPORTED");
    }
    assert_eq!(client.get(&format!("{path}?A2A-Version=1.0")).await.status, StatusCode::OK);
    check_rest(&client.get(&format!("{path}?A2A-Version=0.3")).await, 400, "VERSION_NOT_SUPPORTED");
}

#[tokio::test]
async fn whoever_comes_too_many_is_told_when_to_return() {
    let full = Limits { open_tasks_max: 0, ..Limits::default() };
    let client = Client::with_limits(&[], full, FrontLimits::default());
    let got = client.post("/agents/shout/message:send", message("hello")).await;
    check_rest(&got, 429, "INTERNAL_ERROR");
    assert!(got.headers.contains_key("retry-after"), "{got:?}");
    let body = json!({
        "jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": message("hello"),
    });
    let got = client.post("/agents/shout", body).await;
    assert_eq!((got.status.as_u16(), &got.json()["error"]["code"]), (429, &json!(-32603)));
    assert!(got.headers.contains_key("retry-after"), "{got:?}");

    let alone = FrontLimits { followers_max: 0, body_bytes_max: 1_000, ..FrontLimits::default() };
    let client = Client::with_limits(SHOUT, Limits::default(), alone);
    let got = client.post("/agents/shout/message:stream", message("hello")).await;
    check_rest(&got, 503, "INTERNAL_ERROR");
    let listed = client.get("/agents/shout/tasks").await.json();
    assert_eq!(listed["totalSize"], 0, "refused before the task was made");
    let got = client.post("/agents/shout/message:send", message("hello")).await;
    assert_eq!(got.json()["task"]["status"]["state"], "TASK_STATE_WORKING", "{got:?}");
    let got = client.post("/agents/shout/message:send", message(&"x".repeat(1_000))).await;
    check_rest(&got, 413, "INVALID_PARAMS");
}

#[tokio::test]
async fn whoever_streams_keeps_its_place_while_its_task_is_made() {
    let door = Arc::new(OnceLock::<Front>::new());
    let (asked, places) = (door.clone(), Arc::new(Mutex::new(Vec::new())));
    let (world, free) = (Mutex::new(World::new(SHOUT, Limits::default())), places.clone());
    let handle = Handle::from_fn(move |command| {
        if matches!(command, Command::Submit(_)) {
            free.lock().unwrap().push(asked.get().unwrap().follower_slot().is_ok());
        }
        world.lock().unwrap().ask(command)
    });
    let limits = FrontLimits { followers_max: 1, ..FrontLimits::default() };
    let front = front(handle, Vec::new(), limits);
    door.set(front.clone()).unwrap();
    let client = Client(super::super::router().with_state(front));
    let key = [("idempotency-key", "k")];
    let stream = "/agents/shout/message:stream";
    for last in ["6:completed", "6:task/completed"] {
        let got = client.call("POST", stream, &key, message("hello")).await;
        assert!(told(&got.events()).ends_with(last), "{got:?}");
    }
    assert_eq!(*places.lock().unwrap(), [false, false], "another could take the place");
}

impl Client {
    /// Submits a task without waiting for it, and returns its name.
    pub(super) async fn submit(&self, text: &str) -> String {
        let mut params = message(text);
        params["configuration"] = json!({ "returnImmediately": true });
        let body = self.rpc("/agents/shout", "SendMessage", params).await;
        let id = body["result"]["task"]["id"].as_str();
        id.unwrap_or_else(|| panic!("{body}")).to_owned()
    }
}
