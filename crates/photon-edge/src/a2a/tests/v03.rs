//! What a client of A2A 0.3 may count on.
//! Must not look behind the wire.

use photon_region::Outcome::Completed;

use super::Step::{Ask, Begin, Claim, End, Go, Say};
use super::push::{open_webhook, tell_once};
use super::stories::SHOUT;
use super::*;

/// Returns the parameters of a message, as 0.3 has them.
fn old_message(text: &str) -> Value {
    json!({ "message": {
        "kind": "message", "messageId": "m-1", "role": "user", "contextId": "c-1",
        "parts": [
            { "kind": "text", "text": text },
            { "kind": "file", "file": { "bytes": "dGVz", "mimeType": "text/plain", "name": "a" } },
            { "kind": "file", "file": { "uri": "https://x.test/a" } },
            { "kind": "data", "data": { "kind": "mine", "a_b": 1 } },
        ],
    } })
}

#[tokio::test]
async fn a_message_is_answered_with_the_finished_task_in_the_words_of_0_3() {
    let client = Client::new(SHOUT);
    let body = client.rpc("/agents/shout", "message/send", old_message("hello")).await;
    let task = &body["result"];
    assert_eq!((&task["kind"], &task["status"]["state"]), (&json!("task"), &json!("completed")));
    let parts = json!([{ "kind": "text", "text": "HEL" }, { "kind": "text", "text": "LO" }]);
    assert_eq!(task["artifacts"][0]["parts"], parts, "{body}");
    // What was sent comes back as it was.
    let mut sent = old_message("hello")["message"].clone();
    sent["taskId"] = task["id"].clone();
    assert_eq!(task["history"][0], sent, "{body}");
    let get = json!({ "id": task["id"], "historyLength": 0 });
    let again = client.rpc("/agents/shout", "tasks/get", get).await;
    assert_eq!(again["result"], *task, "zero was all of it");
    let body = client.rpc("/agents/shout", "tasks/cancel", json!({ "id": task["id"] })).await;
    assert_eq!(body["error"]["code"], -32002, "{body}");
}

#[tokio::test]
async fn a_stream_says_where_it_ends() {
    let client = Client::new(&[Claim, Begin("IN "), Ask("which?"), Claim, Go("BLUE")]);
    let params = old_message("paint");
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "message/stream", "params": params });
    let events = client.post("/agents/shout", body).await.events();
    let told = |(_, it): &(String, Value)| {
        let said = &it["result"];
        let state = said["status"]["state"].as_str().unwrap_or_default();
        let end = said["final"].as_bool().map(|it| format!(" final {it}")).unwrap_or_default();
        format!("{} {state}{end}", said["kind"].as_str().unwrap())
    };
    let told: Vec<_> = events.iter().map(told).collect();
    assert_eq!(told.first().map(String::as_str), Some("task working"), "{told:?}");
    assert_eq!(told.last().map(String::as_str), Some("status-update input-required final true"));
    let mut blue = old_message("blue");
    blue["message"]["taskId"] = events[0].1["result"]["id"].clone();
    blue["configuration"] = json!({ "blocking": false, "historyLength": 1 });
    let body = client.rpc("/a2a", "message/send", blue).await;
    assert_eq!(body["result"]["kind"], "task", "{body}");
    assert_eq!(body["result"]["history"].as_array().unwrap().len(), 1, "{body}");
}

#[tokio::test]
async fn a_version_has_its_own_methods() {
    let client = Client::new(SHOUT);
    let get = json!({ "id": "01mcc5rp5gcxzxbkqenh80mxd0" });
    for (version, method, code) in [
        ("", "tasks/get", -32001),
        ("", "GetTask", -32001),
        ("0.3", "tasks/get", -32001),
        ("0.3.0", "tasks/get", -32001),
        ("0.3", "GetTask", -32601),
        ("1.0", "GetTask", -32001),
        ("1.0", "tasks/get", -32601),
        ("0.31", "tasks/get", -32009),
        ("0.2", "tasks/get", -32009),
        ("", "tasks/pushNotificationConfig/set", -32602),
        ("", "tasks/pushNotificationConfig/list", -32001),
        ("1.0", "tasks/pushNotificationConfig/list", -32601),
        ("0.3", "ListTaskPushNotificationConfigs", -32601),
        ("", "tasks/pushNotificationConfig/other", -32601),
        ("", "tasks/nothing", -32601),
    ] {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": get });
        let version_is = [("a2a-version", version)];
        let got = client.call("POST", "/a2a", &version_is, body).await.json();
        assert_eq!(got["error"]["code"], code, "{version} {method}: {got}");
    }
    let got = client.call("GET", "/a2a/tasks", &[("a2a-version", "0.3")], Value::Null).await;
    assert_eq!(got.json()["error"]["details"][0]["reason"], "VERSION_NOT_SUPPORTED", "{got:?}");
}

#[tokio::test]
async fn what_is_wrong_is_said_by_name() {
    let client = Client::new(&[]);
    let with = |field: &str, value: Value| {
        let mut params = old_message("x");
        params["message"][field] = value;
        params
    };
    for (params, field) in [
        (with("role", json!("ROLE_USER")), "message.role"),
        (with("role", Value::Null), "message.role"),
        (with("parts", json!([{ "text": "x" }])), "message.parts[0].kind"),
        (with("parts", json!([{ "kind": "file" }])), "message.parts[0].file"),
        (with("parts", json!([7])), "message.parts[0].kind"),
        (with("parts", json!([])), "message.parts"),
        (with("messageId", json!("")), "message.messageId"),
        (json!({ "message": [] }), "message"),
        (json!({}), "message"),
    ] {
        let body = client.rpc("/agents/shout", "message/send", params).await;
        assert_eq!(body["error"]["code"], -32602, "{body}");
        assert!(body["error"]["message"].as_str().unwrap().contains(field), "{field}: {body}");
    }
}

#[tokio::test]
async fn a_webhook_is_told_whole_tasks_whenever_their_status_changes() {
    let (url, heard) = open_webhook(&[]).await;
    let script = [Claim, Say("hm"), Ask("which?"), Claim, Begin("BLUE"), End(Completed)];
    let (client, front) = Client::and_front(&script);
    let mut params = old_message("hello");
    let authentication = json!({ "schemes": ["Bearer"], "credentials": "b-1" });
    params["configuration"] = json!({
        "pushNotificationConfig": { "url": url, "token": "t-1", "authentication": authentication },
    });
    let asked = client.rpc("/agents/shout", "message/send", params).await;
    assert_eq!(tell_once(&front).await, 1);
    let mut answer = old_message("blue");
    answer["message"]["taskId"] = asked["result"]["id"].clone();
    let sent = client.rpc("/agents/shout", "message/send", answer).await;
    assert_eq!(tell_once(&front).await, 1);
    let heard = &heard.lock().unwrap().1;
    for (headers, body) in heard {
        assert_eq!(headers["content-type"], "application/json");
        assert_eq!(headers["authorization"], "Bearer b-1");
        assert_eq!(headers["x-a2a-notification-token"], "t-1");
        assert_eq!(body["kind"], "task", "{body}");
    }
    // What has become of it in the meantime is told once: as it stands.
    let bodies: Vec<_> = heard.iter().map(|it| &it.1).collect();
    assert_eq!(bodies, [&asked["result"], &sent["result"]]);
    let states = bodies.iter().map(|it| it["status"]["state"].as_str().unwrap());
    assert_eq!(states.collect::<Vec<_>>(), ["input-required", "completed"]);
}

#[tokio::test]
async fn webhooks_are_made_shown_and_removed_in_the_words_of_0_3() {
    let client = Client::new(&[]);
    let task = client.submit("hello").await;
    let call = async |what: &str, params: Value| {
        let method = format!("tasks/pushNotificationConfig/{what}");
        client.rpc("/agents/shout", &method, params).await
    };
    let config = |id: &str, credentials: Value| {
        let mut authentication = json!({ "schemes": ["Bearer"] });
        if credentials.is_string() {
            authentication["credentials"] = credentials;
        }
        let url = "https://x.test/hook";
        json!({ "taskId": task, "pushNotificationConfig": {
            "id": id, "url": url, "token": "t", "authentication": authentication,
        } })
    };
    let list = json!({ "id": task });
    assert_eq!(call("list", list.clone()).await["result"], json!([]));
    for id in ["one", "two"] {
        let made = call("set", config(id, json!("b"))).await;
        assert_eq!(made["result"], config(id, json!("b")));
    }
    let [one, two] = ["one", "two"].map(|it| config(it, Value::Null));
    assert_eq!(call("list", list.clone()).await["result"], json!([one, two]));
    let of = |id: &str| json!({ "id": task, "pushNotificationConfigId": id });
    assert_eq!(call("get", of("two")).await["result"], two);
    assert_eq!(call("get", list.clone()).await["result"], one, "any, if none is named");
    let deleted = call("delete", of("one")).await;
    assert!(deleted.get("error").is_none() && deleted["result"].is_null(), "{deleted}");
    assert_eq!(call("list", list).await["result"], json!([two]));
    assert_eq!(call("get", of("one")).await["error"]["code"], -32001);
    let mut wrong = config("x", Value::Null);
    wrong["pushNotificationConfig"]["url"] = json!("ftp://x.test");
    for (params, field) in [
        (wrong, "url"),
        (json!({ "taskId": task }), "pushNotificationConfig"),
        (json!({ "pushNotificationConfig": { "url": "https://x.test" } }), "taskId"),
    ] {
        let got = call("set", params).await;
        assert_eq!(got["error"]["code"], -32602, "{got}");
        assert!(got["error"]["message"].as_str().unwrap().contains(field), "{got}");
    }
}
