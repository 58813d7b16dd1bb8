//! What a client may count on that asks for extensions.
//! Must not look behind the wire.

use super::Step::{Ask, Begin, Claim, End};
use super::stories::check_rest;
use super::*;

const ROUTING: &str = "urn:photon:a2a:routing:v1";
const IDEMPOTENCY: &str = "urn:photon:a2a:idempotency:v1";
const GENERATION: &str = "urn:photon:a2a:generation:v1";
const WANTED: [(&str, &str); 1] = [("a2a-extensions", "urn:other:1, urn:photon:a2a:generation:v1")];

fn with_metadata(text: &str, key: &str, value: &Value) -> Value {
    let mut params = message(text);
    params["message"]["metadata"] = json!({ key: value });
    params
}

#[tokio::test]
async fn cards_declare_them_and_answers_say_which_are_heeded() {
    let client = Client::new(&[]);
    for path in ["/agents/shout", "/a2a"] {
        let card = client.get(&format!("{path}/.well-known/agent-card.json")).await.json();
        let declared = card["capabilities"]["extensions"].as_array().unwrap();
        let declared: Vec<_> = declared.iter().map(|it| it["uri"].as_str().unwrap()).collect();
        assert_eq!(declared.len(), 4, "{card}");
        assert!([ROUTING, IDEMPOTENCY, GENERATION].iter().all(|it| declared.contains(it)));
    }
    let got = client.call("GET", "/a2a/tasks", &WANTED, Value::Null).await;
    assert_eq!(got.headers["a2a-extensions"], GENERATION);
    let got = client.get("/a2a/tasks").await;
    assert_eq!(got.headers.get("a2a-extensions"), None);
}

#[tokio::test]
async fn generations_are_told_to_those_who_ask_for_them() {
    let client = Client::new(&[Claim, Begin("HI"), End(Outcome::Completed)]);
    let stream = "/agents/shout/message:stream";
    let events = client.call("POST", stream, &WANTED, message("hi")).await.events();
    let update = |it: &Value| it.as_object().unwrap().values().next().unwrap().clone();
    let told: Vec<_> = events.iter().map(|(_, it)| update(it)["generation"].clone()).collect();
    assert_eq!(told, ["2", "3", "4"].map(|it| json!(it)));
    let id = update(&events[0].1)["id"].as_str().unwrap().to_owned();
    let path = format!("/agents/shout/tasks/{id}?currentGeneration=");
    for after in ["3", "4", "99"] {
        let task = client.call("GET", &format!("{path}{after}"), &WANTED, Value::Null).await;
        assert_eq!(task.json()["generation"], "4", "a task that has ended is not waited for");
    }
    assert_eq!(client.get(&format!("{path}3")).await.json().get("generation"), None);
    check_rest(&client.get(&format!("{path}x")).await, 400, "INVALID_PARAMS");
    let list = client.call("GET", "/a2a/tasks", &WANTED, Value::Null).await.json();
    assert_eq!(list["tasks"][0]["generation"], "4", "{list}");
}

#[tokio::test]
async fn a_client_that_knows_a_generation_waits_for_the_next_one() {
    let client = Client::new(&[Claim, Begin("HI"), End(Outcome::Completed)]);
    let mut params = message("hi");
    params["configuration"] = json!({ "returnImmediately": true });
    let sent = client.rpc("/agents/shout", "SendMessage", params).await;
    let task = &sent["result"]["task"];
    assert_eq!(task["metadata"]["photon"]["generation"], 2, "{sent}");
    let known = json!({ "id": task["id"], "currentGeneration": "2" });
    let got = client.rpc("/agents/shout", "GetTask", known).await;
    assert!(2 < got["result"]["metadata"]["photon"]["generation"].as_u64().unwrap(), "{got}");
}

#[tokio::test]
async fn a_message_is_for_a_task_as_its_client_saw_it() {
    let client = Client::new(&[Claim, Ask("which?"), Claim, Ask("sure?")]);
    let sent = client.rpc("/agents/shout", "SendMessage", message("paint")).await;
    let task = sent["result"]["task"].clone();
    let answer = |text: &str, at: Value| {
        let mut params = message(text);
        params["message"]["messageId"] = json!(text);
        params["message"]["taskId"] = task["id"].clone();
        params["configuration"] = json!({ "ifGenerationMatch": at });
        params
    };
    let wrong = client.rpc("/agents/shout", "SendMessage", answer("red", json!(2))).await;
    assert_eq!(wrong["error"]["code"], -32010, "{wrong}");
    let got = client.post("/agents/shout/message:send", answer("red", json!(2))).await;
    check_rest(&got, 409, "TASK_GENERATION_MISMATCH");
    let info = got.json()["error"]["details"][0]["metadata"].clone();
    assert_eq!(
        (&info["expectedGeneration"], &info["currentGeneration"]),
        (&json!("2"), &json!("3"))
    );
    let right = client.rpc("/agents/shout", "SendMessage", answer("blue", json!("3"))).await;
    let status = &right["result"]["task"]["status"];
    assert_eq!(status["message"]["parts"][0]["text"], "sure?", "{right}");
    let again = client.rpc("/agents/shout", "SendMessage", answer("blue", json!("3"))).await;
    assert_eq!(again["result"]["task"]["id"], task["id"], "said before: {again}");
    let late = client.rpc("/agents/shout", "SendMessage", answer("green", json!("3"))).await;
    assert_eq!(late["error"]["code"], -32010, "{late}");
    let mut in_metadata = answer("green", Value::Null);
    in_metadata["metadata"] = json!({ GENERATION: { "ifGenerationMatch": 3.0 } });
    let late = client.rpc("/agents/shout", "SendMessage", in_metadata).await;
    assert_eq!(late["error"]["code"], -32602, "a number with a fraction: {late}");
}

#[tokio::test]
async fn the_extension_says_whom_a_message_is_for() {
    let client = Client::new(&[Claim, End(Outcome::Completed)]);
    let routing = json!({ "skill": "text.upper", "options": { "priorityKey": 1 } });
    let sent = client.rpc("/a2a", "SendMessage", with_metadata("hi", ROUTING, &routing)).await;
    assert_eq!(sent["result"]["task"]["status"]["state"], "TASK_STATE_COMPLETED", "{sent}");
    for (wrong, field) in [
        (json!("text.upper"), "message.metadata.urn:photon:a2a:routing:v1"),
        (json!({ "skil": "x" }), "message.metadata.urn:photon:a2a:routing:v1"),
        (
            json!({ "skill": "text.upper", "options": { "priorityKey": 9 } }),
            "message.metadata.urn:photon:a2a:routing:v1.options.priority_key",
        ),
    ] {
        let got = client.rpc("/a2a", "SendMessage", with_metadata("hi", ROUTING, &wrong)).await;
        let named = &got["error"]["data"][0]["fieldViolations"][0]["field"];
        assert_eq!((&got["error"]["code"], named), (&json!(-32602), &json!(field)), "{got}");
    }
}

#[tokio::test]
async fn a_key_in_the_metadata_makes_a_repetition_harmless() {
    let client = Client::new(&[Claim, End(Outcome::Completed)]);
    let keyed = |text: &str| with_metadata(text, IDEMPOTENCY, &json!({ "key": "k-1" }));
    let sent = client.rpc("/agents/shout", "SendMessage", keyed("hi")).await;
    let again = client.rpc("/agents/shout", "SendMessage", keyed("hi")).await;
    assert_eq!(sent["result"]["task"]["id"], again["result"]["task"]["id"], "{again}");
    let other = client.post("/agents/shout/message:send", keyed("ho")).await;
    assert_eq!(other.status, StatusCode::CONFLICT, "{other:?}");
    let header = [("idempotency-key", "k-2")];
    let two = client.call("POST", "/agents/shout/message:send", &header, keyed("hi")).await;
    check_rest(&two, 400, "INVALID_PARAMS");
    let none = with_metadata("hi", IDEMPOTENCY, &json!({}));
    check_rest(&client.post("/agents/shout/message:send", none).await, 400, "INVALID_PARAMS");
}

#[tokio::test]
async fn a_task_with_a_deadline_that_is_over_does_not_begin() {
    let client = Client::new(&[]);
    let over = json!({ "skill": "text.upper", "deadline": "2001-01-01T00:00:00Z" });
    for key in [json!({}), json!({ "key": "k-1" })] {
        let mut params = with_metadata("hi", ROUTING, &over);
        if key["key"].is_string() {
            params["metadata"] = json!({ IDEMPOTENCY: key });
        }
        let late = client.rpc("/a2a", "SendMessage", params).await;
        let said = late["error"]["message"].as_str().unwrap();
        assert_eq!(late["error"]["code"], -32602, "{late}");
        assert!(said.contains("routing:v1.deadline`: this time is over"), "{late}");
    }
    let listed = client.rpc("/a2a", "ListTasks", json!({})).await;
    assert_eq!(listed["result"]["totalSize"], 0, "{listed}");
}
