//! What a client may count on whose agent asks something.
//! Must not look behind the wire.

use super::Step::{Ask, Begin, Claim, End, Go, Hang};
use super::stories::told;
use super::*;

const ASKS: &[Step] =
    &[Claim, Begin("IN "), Ask("which?"), Claim, Go("BLUE"), End(Outcome::Completed)];

fn answer(task: &Value, text: &str) -> Value {
    let mut params = message(text);
    params["message"]["messageId"] = json!(text);
    params["message"]["taskId"] = task["id"].clone();
    params["message"].as_object_mut().unwrap().remove("contextId");
    params
}

#[tokio::test]
async fn an_agent_asks_the_client_answers_and_the_task_goes_on() {
    for path in ["/agents/shout", "/a2a"] {
        let client = Client::new(ASKS);
        let body = client.rpc("/agents/shout", "SendMessage", message("paint")).await;
        let task = &body["result"]["task"];
        assert_eq!(task["status"]["state"], "TASK_STATE_INPUT_REQUIRED", "{body}");
        assert_eq!(task["status"]["message"]["parts"], json!([{ "text": "which?" }]), "{body}");
        let list =
            client.rpc(path, "ListTasks", json!({ "status": task["status"]["state"] })).await;
        assert_eq!(list["result"]["tasks"][0]["id"], task["id"], "{list}");
        let body = client.rpc(path, "SendMessage", answer(task, "blue")).await;
        let after = &body["result"]["task"];
        assert_eq!(after["status"]["state"], "TASK_STATE_COMPLETED", "{body}");
        assert_eq!((&after["id"], &after["contextId"]), (&task["id"], &json!("c-1")), "{body}");
        let parts = json!([{ "text": "IN " }, { "text": "BLUE" }]);
        assert_eq!(after["artifacts"][0]["parts"], parts, "{body}");
        let said = |at: usize| after["history"][at]["parts"][0]["text"].as_str();
        let said = [0, 1, 2].map(said);
        assert_eq!(said, [Some("paint"), Some("which?"), Some("blue")], "{body}");
        for field in ["historyLength", "history_length"] {
            let get = json!({ "id": task["id"], field: 1 });
            let last = client.rpc(path, "GetTask", get).await["result"]["history"].clone();
            let last: Vec<_> = last.as_array().unwrap().iter().map(|it| &it["messageId"]).collect();
            assert_eq!(last, ["blue"], "{field}");
        }
    }
}

#[tokio::test]
async fn a_stream_ends_where_the_agent_asks_and_a_new_one_goes_on() {
    let client = Client::new(ASKS);
    let first = client.post("/agents/shout/message:stream", message("paint")).await.events();
    assert_eq!(told(&first), "2:task/working 3:=IN  4:input_required/which?");
    let task = &first[0].1["task"];
    let second = client.post("/agents/shout/message:stream", answer(task, "blue")).await;
    assert_eq!(told(&second.events()), "6:task/working 7:+BLUE 8:completed");
}

#[tokio::test]
async fn a_lost_stream_goes_on_after_the_question_and_keeps_what_was_told_before_it() {
    let client = Client::new(ASKS);
    let first = client.post("/agents/shout/message:stream", message("paint")).await.events();
    let answered = client.rpc("/a2a", "SendMessage", answer(&first[0].1["task"], "blue")).await;
    assert_eq!(answered["result"]["task"]["status"]["state"], "TASK_STATE_COMPLETED", "{answered}");
    let id = answered["result"]["task"]["id"].as_str().unwrap();
    let subscribe = format!("/agents/shout/tasks/{id}:subscribe");
    let rest = [
        ("2", "3:=IN  4:input_required/which? 5:submitted 6:working 7:+BLUE 8:completed"),
        ("4", "5:submitted 6:working 7:+BLUE 8:completed"),
        ("5", "6:working 7:+BLUE 8:completed"),
    ];
    for (after, expected) in rest {
        let got = client.call("GET", &subscribe, &[("last-event-id", after)], Value::Null).await;
        assert_eq!(told(&got.events()), expected, "after {after}: {got:?}");
    }
}

#[tokio::test]
async fn what_was_told_before_a_question_is_told_anew_when_a_later_attempt_comes_to_nothing() {
    let lapses = [&ASKS[..4], &[Go("BLUE"), Hang, Claim, Go("RED"), End(Outcome::Completed)]];
    let client = Client::new(&lapses.concat());
    let first = client.post("/agents/shout/message:stream", message("paint")).await.events();
    let id = first[0].1["task"]["id"].as_str().unwrap();
    let second =
        client.post("/agents/shout/message:stream", answer(&first[0].1["task"], "b")).await;
    let rest = ":=IN  8:submitted 9:working 10:+RED 11:completed";
    let [_, working, red] = ["8:", "9:", "10:"].map(|it| &rest[rest.find(it).unwrap()..]);
    assert_eq!(told(&second.events()), format!("6:task/working 7:+BLUE {rest}"));
    let subscribe = format!("/agents/shout/tasks/{id}:subscribe");
    for (after, expected) in [("7", rest), ("8", working), ("9", red)] {
        let got = client.call("GET", &subscribe, &[("last-event-id", after)], Value::Null).await;
        assert_eq!(told(&got.events()), expected, "after {after}: {got:?}");
    }
    let task = client.rpc("/a2a", "GetTask", json!({ "id": id })).await;
    let parts = json!([{ "text": "IN " }, { "text": "RED" }]);
    assert_eq!(task["result"]["artifacts"][0]["parts"], parts, "{task}");
}

#[tokio::test]
async fn a_stream_that_begins_where_the_agent_waits_ends_at_once() {
    let client = Client::new(&ASKS[..3]);
    let (path, key) = ("/agents/shout/message:stream", [("idempotency-key", "k")]);
    for _ in 0..2 {
        let got = client.call("POST", path, &key, message("paint")).await.events();
        assert!(told(&got).contains("input_required"), "{got:?}");
    }
    // An answer that is said again finds the next question.
    let client = Client::new(&[&ASKS[..4], &[Ask("sure?")]].concat());
    let body = client.rpc("/agents/shout", "SendMessage", message("paint")).await;
    let blue = answer(&body["result"]["task"], "blue");
    for _ in 0..2 {
        let got = client.post(path, blue.clone()).await.events();
        assert!(
            told(&got).ends_with("input_required/sure?") || told(&got) == "7:task/input_required"
        );
    }
}

#[tokio::test]
async fn an_answer_counts_once_under_its_key_and_the_key_is_for_one_answer() {
    let client = Client::new(ASKS);
    let body = client.rpc("/agents/shout", "SendMessage", message("paint")).await;
    let task = body["result"]["task"].clone();
    let (path, key) = ("/agents/shout/message:send", [("idempotency-key", "k")]);
    for _ in 0..2 {
        let got = client.call("POST", path, &key, answer(&task, "blue")).await.json();
        assert_eq!(got["task"]["status"]["state"], "TASK_STATE_COMPLETED", "{got}");
    }
    let got = client.call("POST", path, &key, answer(&task, "red")).await;
    assert_eq!(got.status, 409, "{got:?}");
}

#[tokio::test]
async fn what_nobody_asked_is_refused() {
    let client = Client::new(ASKS);
    let unknown = json!({ "id": "01mcc5rp5gcxzxbkqenh80mxd0" });
    let body = client.rpc("/a2a", "SendMessage", answer(&unknown, "blue")).await;
    assert_eq!(body["error"]["code"], -32001, "{body}");
    let body = client.rpc("/agents/shout", "SendMessage", message("paint")).await;
    let task = body["result"]["task"].clone();
    let mut elsewhere = answer(&task, "blue");
    elsewhere["message"]["contextId"] = json!("c-2");
    let body = client.rpc("/a2a", "SendMessage", elsewhere).await;
    assert_eq!(body["error"]["code"], -32602, "{body}");
    client.rpc("/a2a", "SendMessage", answer(&task, "blue")).await;
    let body = client.rpc("/a2a", "SendMessage", answer(&task, "red")).await;
    assert_eq!(body["error"]["code"], -32004, "{body}");
    // Whoever is not sure that it was heard says it again.
    let body = client.rpc("/a2a", "SendMessage", answer(&task, "blue")).await;
    assert_eq!(body["result"]["task"]["status"]["state"], "TASK_STATE_COMPLETED", "{body}");
}
