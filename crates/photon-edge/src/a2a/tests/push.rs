//! What a client may count on that wants to be told by push notifications.
//! Must not look behind the wire.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use photon_region::Outcome::Completed;
use photon_region::{Due, TaskId};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::Step::{Ask, Begin, Claim, End, Go, Hang, Say};
use super::*;
use crate::a2a::notify::{Tellers, tell};

/// What a webhook was told: headers and bodies, by what it answers.
pub(super) type Heard = Arc<Mutex<(VecDeque<u16>, Vec<(HeaderMap, Value)>)>>;

/// Opens a webhook that answers with these statuses, and then with 200; returns its address.
pub(super) async fn open_webhook(statuses: &[u16]) -> (String, Heard) {
    async fn take(State(heard): State<Heard>, headers: HeaderMap, body: Bytes) -> StatusCode {
        let mut heard = heard.lock().unwrap();
        let status = heard.0.pop_front().unwrap_or(200);
        heard.1.push((headers, serde_json::from_slice(&body).unwrap()));
        StatusCode::from_u16(status).unwrap()
    }
    let heard: Heard = Arc::new(Mutex::new((statuses.iter().copied().collect(), Vec::new())));
    let router = Router::new().route("/hook", post(take)).with_state(heard.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    TaskTracker::new().spawn(async move { axum::serve(listener, router).await });
    (url, heard)
}

fn with_push(text: &str, push: &Value) -> Value {
    let mut params = message(text);
    params["configuration"] = json!({ "taskPushNotificationConfig": push });
    params
}

/// Tells webhooks what there is to tell, once; says how many there were.
pub(super) async fn tell_once(front: &Front) -> usize {
    let due = Command::TakeDue { limit: 10, wait: Duration::ZERO };
    let Ok(Reply::Due(due)) = front.submit(due).await else { panic!("nothing is said to be due") };
    let count = due.len();
    for due in due {
        let place = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        tell(&Tellers::new(front), due, place).await;
    }
    count
}

/// Returns what a webhook was told, in a word each.
fn words(heard: &Heard) -> Vec<String> {
    let word = |(_, body): &(HeaderMap, Value)| match body.as_object().unwrap().iter().next() {
        Some((_, it)) if it["status"].is_object() => it["status"]["state"].as_str().unwrap().into(),
        Some((_, it)) => it["artifact"]["parts"][0]["text"].as_str().unwrap().to_owned(),
        None => panic!("an empty body"),
    };
    heard.lock().unwrap().1.iter().map(word).collect()
}

#[tokio::test]
async fn a_webhook_that_came_with_a_message_is_told_all_in_order() {
    let (url, heard) = open_webhook(&[]).await;
    let (client, front) = Client::and_front(&[Claim, Begin("HEL"), Go("LO"), End(Completed)]);
    let push = json!({
        "url": url, "token": "t-1", "authentication": { "scheme": "Bearer", "credentials": "b-1" },
    });
    let body = client.rpc("/agents/shout", "SendMessage", with_push("hello", &push)).await;
    let task = body["result"]["task"]["id"].as_str().unwrap().to_owned();
    assert_eq!(tell_once(&front).await, 1);
    assert_eq!(tell_once(&front).await, 0);
    let states = ["TASK_STATE_WORKING", "HEL", "LO", "TASK_STATE_COMPLETED"];
    assert_eq!(words(&heard), states);
    let heard = &heard.lock().unwrap().1;
    let ids: std::collections::BTreeSet<_> = heard.iter().map(|it| &it.0["webhook-id"]).collect();
    assert_eq!(ids.len(), heard.len(), "each has a name of its own");
    for (headers, body) in heard {
        assert_eq!(headers["content-type"], "application/a2a+json");
        assert_eq!(headers["authorization"], "Bearer b-1");
        assert_eq!(headers["x-a2a-notification-token"], "t-1");
        assert!(!headers.contains_key("webhook-signature"));
        let said = body.as_object().unwrap();
        assert_eq!(
            (said.len(), said.values().next().unwrap()["taskId"].as_str()),
            (1, Some(&*task))
        );
        serde_json::from_value::<::a2a::StreamResponse>(body.clone()).unwrap();
    }
}

#[tokio::test]
async fn what_was_not_taken_is_told_again_under_its_name_and_nothing_overtakes_it() {
    let (url, heard) = open_webhook(&[200, 500]).await;
    let (client, front) = Client::and_front(&[Claim, Say("x"), End(Completed)]);
    client.rpc("/agents/shout", "SendMessage", with_push("hello", &json!({ "url": url }))).await;
    assert_eq!(tell_once(&front).await, 1);
    assert_eq!(tell_once(&front).await, 0, "not at once");
    front.submit(Command::TakeDue { limit: 0, wait: Duration::from_secs(2) }).await.unwrap();
    assert_eq!(tell_once(&front).await, 1);
    let [working, completed] = ["TASK_STATE_WORKING", "TASK_STATE_COMPLETED"];
    assert_eq!(words(&heard), [working, working, working, completed]);
    let heard = &heard.lock().unwrap().1;
    let id = |at: usize| heard[at].0["webhook-id"].clone();
    assert!(id(1) == id(2) && id(0) != id(1) && id(2) != id(3));
}

#[tokio::test]
async fn a_webhook_with_a_key_gets_signatures_and_is_not_shown_the_key() {
    let (url, heard) = open_webhook(&[]).await;
    let (client, front) = Client::and_front(&[Claim, End(Completed)]);
    let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let authentication = json!({ "scheme": "standard-webhooks", "credentials": key });
    let push = json!({ "url": url, "authentication": authentication });
    client.rpc("/agents/shout", "SendMessage", with_push("hello", &push)).await;
    tell_once(&front).await;
    let heard = &heard.lock().unwrap().1;
    let headers = &heard[0].0;
    assert!(headers["webhook-signature"].to_str().unwrap().starts_with("v1,"), "{headers:?}");
    assert!(headers.contains_key("webhook-timestamp") && !headers.contains_key("authorization"));
}

#[tokio::test]
async fn a_webhook_hears_of_questions_and_of_attempts_that_came_to_nothing() {
    let (url, heard) = open_webhook(&[]).await;
    let script =
        [Claim, Begin("A"), Ask("which?"), Claim, Go("B"), Hang, Claim, Go("C"), End(Completed)];
    let (client, front) = Client::and_front(&script);
    let body = client
        .rpc("/agents/shout", "SendMessage", with_push("paint", &json!({ "url": url })))
        .await;
    tell_once(&front).await;
    let mut more = message("blue");
    more["message"]["taskId"] = body["result"]["task"]["id"].clone();
    client.rpc("/agents/shout", "SendMessage", more).await;
    while 0 < tell_once(&front).await {}
    let [submitted, working] = ["TASK_STATE_SUBMITTED", "TASK_STATE_WORKING"];
    let asked = [working, "A", "TASK_STATE_INPUT_REQUIRED"];
    let answered = [submitted, working, "B", "A", submitted, working, "C", "TASK_STATE_COMPLETED"];
    assert_eq!(words(&heard), [&asked[..], &answered[..]].concat());
}

#[tokio::test]
async fn webhooks_are_made_shown_and_removed() {
    let client = Client::new(&[]);
    let task = client.submit("hello").await;
    let other = "01h00000000000000000000000";
    let url = "https://x.test/hook";
    let config = json!({
        "taskId": task, "id": "mine", "url": url, "token": "t",
        "authentication": { "scheme": "Bearer", "credentials": "b" },
    });
    let created = client.rpc("/a2a", "CreateTaskPushNotificationConfig", config.clone()).await;
    assert_eq!(created["result"], config);
    let mut shown = config.clone();
    shown["authentication"].as_object_mut().unwrap().remove("credentials");
    let get = json!({ "taskId": task, "id": "mine" });
    let got = client.rpc("/a2a", "GetTaskPushNotificationConfig", get.clone()).await;
    assert_eq!(got["result"], shown, "credentials are shown to nobody");
    let path = format!("/agents/shout/tasks/{task}/pushNotificationConfigs");
    assert_eq!(client.get(&format!("{path}/mine")).await.json(), shown);

    // One without a name has the same one whenever it is made again.
    let unnamed = json!({ "url": url });
    let second = client.call("POST", &path, &[], unnamed.clone()).await.json();
    assert_eq!(client.call("POST", &path, &[], unnamed).await.json(), second);
    assert_eq!(second["url"], url);
    let list = json!({ "taskId": task });
    let listed = client.rpc("/a2a", "ListTaskPushNotificationConfigs", list).await;
    assert_eq!(listed["result"]["configs"].as_array().unwrap().len(), 2, "{listed}");
    assert_eq!(client.get(&format!("{path}?pageSize=5")).await.json(), listed["result"]);

    for _ in 0..2 {
        let deleted = client.call("DELETE", &format!("{path}/mine"), &[], Value::Null).await;
        assert_eq!((deleted.status, deleted.json()), (StatusCode::OK, json!({})));
        let deleted = client.rpc("/a2a", "DeleteTaskPushNotificationConfig", get.clone()).await;
        assert_eq!(deleted["result"], Value::Null, "{deleted}");
    }
    let got = client.rpc("/a2a", "GetTaskPushNotificationConfig", get.clone()).await;
    assert_eq!(got["error"]["code"], -32001, "{got}");
    for (path, id) in [("/a2a", other), ("/agents/other", &task)] {
        let got =
            client.rpc(path, "ListTaskPushNotificationConfigs", json!({ "taskId": id })).await;
        assert_eq!(got["error"]["code"], -32001, "{path} {got}");
    }
}

#[tokio::test]
async fn a_webhook_that_cannot_be_is_refused_by_the_name_of_its_field_and_makes_no_task() {
    let client = Client::new(&[]);
    let task = client.submit("hello").await;
    let signed = |key: &str| json!({ "scheme": "Standard-Webhooks", "credentials": key });
    let fit = "https://x.test";
    for (push, field) in [
        (json!({}), "url"),
        (json!({ "url": "" }), "url"),
        (json!({ "url": "ftp://x.test" }), "url"),
        (json!({ "url": format!("https://x.test/{}", "x".repeat(3_000)) }), "url"),
        (json!({ "url": fit, "id": "a/b" }), "id"),
        (json!({ "url": fit, "id": "x".repeat(65) }), "id"),
        (json!({ "url": fit, "token": "a\nb" }), "token"),
        (json!({ "url": fit, "token": "x".repeat(5_000) }), "token"),
        (json!({ "url": fit, "authentication": { "scheme": "a b" } }), "authentication.scheme"),
        (
            json!({ "url": fit, "authentication": { "scheme": "", "credentials": "b" } }),
            "authentication.scheme",
        ),
        (
            json!({ "url": fit, "authentication": { "scheme": "Basic", "credentials": "ü" } }),
            "authentication.credentials",
        ),
        (json!({ "url": fit, "authentication": signed("whsec_AA") }), "authentication.credentials"),
    ] {
        let mut config = push.clone();
        config["taskId"] = json!(task);
        let got = client.rpc("/a2a", "CreateTaskPushNotificationConfig", config).await;
        assert_eq!(got["error"]["code"], -32602, "{push}: {got}");
        assert!(got["error"]["message"].as_str().unwrap().contains(field), "{push}: {got}");
        let got = client.rpc("/agents/shout", "SendMessage", with_push("x", &push)).await;
        assert_eq!(got["error"]["code"], -32602, "{push}: {got}");
        assert!(got["error"]["message"].as_str().unwrap().contains(field), "{push}: {got}");
    }
    let listed = client.rpc("/a2a", "ListTasks", json!({})).await;
    assert_eq!(listed["result"]["totalSize"], 1, "{listed}");
    let mut large = json!({ "taskId": task, "url": fit });
    for number in 0..16 {
        large["id"] = json!(format!("w{number}"));
        let made = client.rpc("/a2a", "CreateTaskPushNotificationConfig", large.clone()).await;
        assert!(made["result"].is_object(), "{made}");
    }
    large["id"] = json!("w16");
    let got = client.rpc("/a2a", "CreateTaskPushNotificationConfig", large).await;
    assert!(got["error"]["message"].as_str().unwrap().contains("at most 16"), "{got}");
}

#[tokio::test]
async fn nobody_is_told_whose_record_a_later_version_wrote() {
    let (client, front) = Client::and_front(&[]);
    let task: TaskId = client.submit("hello").await.parse().unwrap();
    let (id, target) = ("w".into(), photon_region::Secret(Bytes::from_static(b"\x01later")));
    let credentials = photon_region::Secret::default();
    let set = AtHome::SetWebhook { task, id, target, credentials, since: Some(1) };
    front.submit(Command::AtHome(set)).await.unwrap();
    front.submit(Command::AtHome(AtHome::Cancel { task, message: None })).await.unwrap();
    assert_eq!(tell_once(&front).await, 1);
    let due = Command::TakeDue { limit: 1, wait: Duration::from_secs(3) };
    let Ok(Reply::Due(due)) = front.submit(due).await else { panic!("it is tried again") };
    assert!(matches!(&due[..], [Due { after: 1, .. }]), "{due:?}");
}
