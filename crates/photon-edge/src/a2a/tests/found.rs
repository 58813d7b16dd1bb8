//! What a client may count on that says what it wants, and not whom it wants it from.
//! Must not look behind the wire, but to see of whom a task was asked.

use photon_region::{Target, TaskId};

use super::*;

/// Returns the parameters of a message, under a key if there is one, that is answered at once.
fn asking(text: &str, key: Option<&str>) -> Value {
    let mut params = message(text);
    params["configuration"] = json!({ "returnImmediately": true });
    if let Some(key) = key {
        params["metadata"] = json!({ "urn:photon:a2a:idempotency:v1": { "key": key } });
    }
    params
}

/// Returns of whom a task was asked.
async fn target(front: &Front, task: &Value) -> Target {
    let task: TaskId = task["id"].as_str().unwrap_or_else(|| panic!("{task}")).parse().unwrap();
    let Ok(Reply::Task(detail)) = front.submit(Command::Task(task)).await else { panic!("none") };
    detail.summary.spec.target
}

#[tokio::test]
async fn a_message_that_names_nobody_goes_to_whom_its_text_finds() {
    let (client, front) = Client::and_front(&[]);
    for (text, expected) in [
        ("Please write this in capitals.", Target::Skill("text.upper".into())),
        ("say it loud", Target::Skill("text.loud".into())),
        ("whoever shouts", Target::Agent("shout".into())),
    ] {
        let sent = client.rpc("/a2a", "SendMessage", asking(text, None)).await;
        assert_eq!(target(&front, &sent["result"]["task"]).await, expected, "{text}: {sent}");
    }
    // At its own address an agent is asked whatever is said, and a skill that is named goes first.
    let sent = client.rpc("/agents/shout", "SendMessage", asking("capitals", None)).await;
    assert_eq!(target(&front, &sent["result"]["task"]).await, Target::Agent("shout".into()));
    let mut named = asking("capitals", None);
    named["metadata"] = json!({ "skill": "text.loud" });
    let sent = client.rpc("/a2a", "SendMessage", named).await;
    assert_eq!(target(&front, &sent["result"]["task"]).await, Target::Skill("text.loud".into()));
}

#[tokio::test]
async fn what_finds_nobody_is_refused_and_says_what_to_do() {
    let client = Client::new(&[]);
    let mut data = message("");
    data["message"]["parts"] = json!([{ "data": { "text": "capitals" } }]);
    for params in [asking("hello", None), asking("hello", Some("k-1")), asking(" ", None), data] {
        let got = client.rpc("/a2a", "SendMessage", params).await;
        let said = got["error"]["message"].as_str().unwrap();
        assert_eq!(got["error"]["code"], -32602, "{got}");
        assert!(said.contains("message.metadata.skill") && said.contains("/agents/"), "{got}");
    }
    let listed = client.rpc("/a2a", "ListTasks", json!({})).await;
    assert_eq!(listed["result"]["totalSize"], 0, "{listed}");
}

#[tokio::test]
async fn a_repetition_is_one_whomever_its_text_finds_by_then() {
    let (client, front) = Client::and_front(&[]);
    let send = async |text: &str| {
        let sent = client.rpc("/a2a", "SendMessage", asking(text, Some("k-1"))).await;
        (sent["result"]["task"]["id"].clone(), sent["error"]["message"].to_string())
    };
    let (first, _) = send("in capitals").await;
    for skill in ["capitals", "else"] {
        let card = Json(json!({ "name": "Shout" }).to_string().into());
        let spec = AgentSpec {
            name: "shout".into(),
            skills: [skill.into()].into(),
            capacity: 4,
            cost_micros: 0,
            card,
            placement: PlacementId::global(),
        };
        front.submit(Command::Register(spec)).await.unwrap();
        assert_eq!(send("in capitals").await.0, first, "{skill}");
    }
    let (_, other) = send("capitals, please").await;
    assert!(other.contains("key"), "{other}");
    let fresh = client.rpc("/a2a", "SendMessage", asking("in capitals", Some("k-2"))).await;
    assert_eq!(fresh["error"]["code"], -32602, "{fresh}");
}
