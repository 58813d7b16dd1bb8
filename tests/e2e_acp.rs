//! Programs that speak the Agent Client Protocol become agents: their turns are durable tasks.
//! Must not speak the protocol itself: that is for `acp_agent.py`, made with the SDK of strangers.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{
    Planet, PlanetOptions, Process, Wan, beside, eventually, is_alive, python, text,
};

const NAME: &str = "a-stranger";
const REGION: &str = "eu-west-1";

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_answers_is_the_result_of_a_task() {
    let planet = Planet::start(PlanetOptions { wan: Wan::Off }).await;
    let _agent = start(&planet, &["--concurrency", "1"]).await;
    let known = planet.api("us-east-1").get(&format!("/v1/agents/{NAME}")).await.ok();
    assert_eq!(known["card"]["description"], "A Stranger 7.1", "{known:#}");

    let send = ["send", "--skill", "code", "--follow", "say one two three"];
    let done = planet.photon(&send).await.with_code(0);
    assert_eq!(done.stdout.trim(), "one two three", "{done:?}");
    let task = ends(&planet, "cwd", "completed").await;
    let here = planet.scratch().canonicalize().expect("it is there");
    assert_eq!(said(&task), here.display().to_string(), "{task:#}");
    assert_eq!(said(&ends(&planet, "read", "completed").await), "-32601");
    assert_eq!(said(&ends(&planet, "noise", "completed").await), "said");
    each_part_is_a_block(&planet).await;
    a_conversation_is_a_session(&planet).await;
    each_reason_to_stop_is_told(&planet).await;

    let one = log(&planet);
    let pids: Vec<_> = one.iter().map(|it| &it[2]).collect();
    assert!(pids.iter().all(|it| *it == pids[0]), "one program does it all: {one:?}");
    let task = ends(&planet, "die", "failed").await;
    let reason = text(&task["last_message"]["parts"][0]["text"]);
    assert!(reason.contains("exit status: 7\nno luck today"), "{task:#}");
    assert_eq!(said(&ends(&planet, "say more", "completed").await), "more ");
    assert_ne!(log(&planet).last().expect("it was written")[2], one[0][2], "another program");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_told_while_it_is_given_and_called_off_in_good_order() {
    let planet = Planet::start(PlanetOptions { wan: Wan::Off }).await;
    let mut agent = start(&planet, &["--concurrency", "1"]).await;
    let id = send(&planet, "wait").await;
    until(&planet, &id, |task| said(task) == "one ").await;
    fs::write(planet.scratch().join("go"), "").expect("the folder is there");
    let task = until(&planet, &id, |task| task["state"] == "completed").await;
    assert_eq!(said(&task), "one two", "{task:#}");
    fs::remove_file(planet.scratch().join("go")).expect("it was there");

    let id = send(&planet, "wait").await;
    until(&planet, &id, |task| said(task) == "one ").await;
    planet.photon(&["task", "cancel", &id]).await.ok();
    is_told_to_stop(&planet, 1).await;
    assert_eq!(said(&ends(&planet, "say next", "completed").await), "next ");
    let log_so_far = log(&planet);
    assert!(log_so_far.iter().all(|it| it[2] == log_so_far[0][2]), "{log_so_far:?}");

    // Who does not want to stop is killed.
    let id = send(&planet, "deaf").await;
    until(&planet, &id, |task| said(task) == "one ").await;
    planet.photon(&["task", "cancel", &id]).await.ok();
    is_told_to_stop(&planet, 2).await;
    assert_eq!(said(&ends(&planet, "say again", "completed").await), "again ");
    let log_so_far = log(&planet);
    let (first, last) = (&log_so_far[0][2], &log_so_far.last().expect("it was written")[2]);
    assert_ne!(first, last);
    is_gone(first).await;

    agent.signal(rustix::process::Signal::INT);
    assert!(agent.ends().await.success());
    is_gone(last).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_may_do_is_said_by_its_operator() {
    let planet = Planet::start(PlanetOptions { wan: Wan::Off }).await;
    let mut agent = start(&planet, &[]).await;
    let task = ends(&planet, "may rm -rf", "completed").await;
    assert_eq!(said(&task), "asking: chose no-once", "{task:#}");
    agent.kill().await;
    let _agent = start(&planet, &["--acp-permissions", "allow"]).await;
    let task = ends(&planet, "may ls", "completed").await;
    assert_eq!(said(&task), "asking: chose yes-once", "{task:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_may_do_is_asked_of_the_client() {
    let planet = Planet::start(PlanetOptions { wan: Wan::Off }).await;
    let mut agent = start(&planet, &["--acp-permissions", "ask"]).await;
    let id = send(&planet, "may make coffee").await;
    let task = until(&planet, &id, |task| task["state"] == "input_required").await;
    let parts = &task["last_message"]["parts"];
    let question = text(&parts[0]["text"]);
    assert!(question.contains("The agent wants to do: make coffee"), "{task:#}");
    assert!(question.contains("* no-once (Reject)"), "{task:#}");
    let asked = &parts[1]["data"]["permission"];
    assert_eq!(asked["toolCall"]["rawInput"]["command"], "make coffee", "{task:#}");
    assert_eq!(asked["options"][0]["optionId"], "yes-once", "{task:#}");

    answer(&planet, &id, "as you like").await;
    let is_new = |task: &Value| {
        task["state"] == "input_required"
            && text(&task["last_message"]["parts"][0]["text"]).starts_with("That is none")
    };
    until(&planet, &id, is_new).await;
    answer(&planet, &id, "reject").await;
    let task = until(&planet, &id, |task| task["state"] == "completed").await;
    assert_eq!(said(&task), "asking: chose no-once", "{task:#}");

    // A task that is called off while it waits for its client.
    let id = send(&planet, "may make tea").await;
    until(&planet, &id, |task| task["state"] == "input_required").await;
    planet.photon(&["task", "cancel", &id]).await.ok();
    is_told_to_stop(&planet, 1).await;

    // A worker that is lost while a task waits: another one begins a session that knows of it.
    let id = send(&planet, "may make soup").await;
    until(&planet, &id, |task| task["state"] == "input_required").await;
    agent.kill().await;
    let _agent = start(&planet, &["--acp-permissions", "ask"]).await;
    answer(&planet, &id, "yes-always").await;
    until(&planet, &id, |task| task["state"] == "input_required").await;
    answer(&planet, &id, "yes-once").await;
    let task = until(&planet, &id, |task| task["state"] == "completed").await;
    assert_eq!(said(&task), "asking: chose yes-once after yes-always", "{task:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_agent_is_refused_before_it_is_announced() {
    let planet = Planet::start(PlanetOptions { wan: Wan::Off }).await;
    let refused = async |program: &[&str], code: i32, said: &[&str]| {
        let args = ["agent", "run", "--skill", "code", "--acp", "--"];
        let args: Vec<_> = args.iter().chain(program).copied().collect();
        planet.photon(&args).await.refused(code, said);
    };
    refused(&["/no/such/program"], 3, &["there is no program"]).await;
    refused(&["true"], 4, &["`true` is no agent: the program ended: exit status: 0"]).await;
    refused(&["sh", "-c", "echo Usage >&2; exit 2"], 4, &["exit status: 2", "Usage"]).await;
    refused(&["echo", "hello"], 4, &["it wrote `hello`, which is no message"]).await;
    refused(&["cat"], 4, &["refuses `initialize`"]).await;
    let version = r#"read line; echo '{"id":1,"result":{"protocolVersion":7}}'; cat"#;
    refused(&["sh", "-c", version], 4, &["speaks version 7"]).await;
    let login = r#"read line; echo '{"id":1,"result":{"protocolVersion":1}}'; read line
        echo '{"id":2,"error":{"code":-32000,"message":"Authentication required"}}'; cat"#;
    refused(&["sh", "-c", login], 4, &["log in"]).await;
    let nameless = r#"read line; echo '{"id":1,"result":{"protocolVersion":1}}'; read line
        echo '{"id":2,"result":{"sessionId":"s"}}'; cat"#;
    refused(&["sh", "-c", nameless], 2, &["--name"]).await;
    let odd = nameless
        .replace(r#""protocolVersion":1"#, r#""protocolVersion":1,"agentInfo":{"name":"!"}"#);
    refused(&["sh", "-c", &odd], 2, &["name `!` makes no agent's", "--name"]).await;
    let folder = ["agent", "run", "--skill", "x", "--acp", "--cwd", "/no/such", "--", "cat"];
    planet.photon(&folder).await.refused(3, &["there is no folder `/no/such`"]);
    let plain = ["agent", "run", "--name", "x", "--skill", "x", "--cwd", "/", "--", "cat"];
    planet.photon(&plain).await.refused(2, &["--acp"]);
}

async fn each_part_is_a_block(planet: &Planet) {
    let parts = json!([
        {"text": "blocks"}, {"text": "a"}, {"data": {"b": 1}}, {"url": "https://example.com/c"},
    ]);
    let task = json!({"skill": "code", "parts": parts});
    let task = planet.api(REGION).post("/v1/tasks", &task).await.ok();
    let id = text(&task["id"]).to_owned();
    let task = until(planet, &id, |task| task["state"] == "completed").await;
    let blocks = "text:a;text:{\"b\":1};resource_link:https://example.com/c;";
    assert_eq!(said(&task), blocks, "{task:#}");
}

async fn a_conversation_is_a_session(planet: &Planet) {
    for (context, expected) in [("c-1", "turn 1"), ("c-2", "turn 1"), ("c-1", "turn 2")] {
        let task = json!({"skill": "code", "text": "turn", "context_id": context});
        let task = planet.api("us-east-1").post("/v1/tasks", &task).await.ok();
        let id = text(&task["id"]).to_owned();
        let task = until(planet, &id, |task| task["state"] == "completed").await;
        assert_eq!(said(&task), expected, "{context}");
    }
}

async fn each_reason_to_stop_is_told(planet: &Planet) {
    let check = async |work: &str, state: &str, expected: &str| {
        let task = ends(planet, work, state).await;
        let reason = text(&task["last_message"]["parts"][0]["text"]);
        assert!(reason.contains(expected), "{task:#}");
    };
    check("stop refusal", "rejected", "refuses to go on").await;
    check("stop max_tokens", "failed", "limit of tokens").await;
    check("stop cancelled", "failed", "gave it up").await;
    check("fail", "failed", "Internal error (-32603): no luck").await;
}

/// Starts the agent under the name that it gives itself, and waits until it is known.
async fn start(planet: &Planet, options: &[&str]) -> Process {
    let program = python("python").await;
    let folder = planet.scratch().to_str().expect("it is plain").to_owned();
    let args = ["agent", "run", "--skill", "code", "--region", REGION, "--acp", "--cwd", &folder];
    let mut command = planet.command(&[&args[..], options].concat());
    command.arg("--").arg(program.as_std().get_program()).arg(beside("acp_agent.py")).arg(&folder);
    let mut agent = Process::start("photon agent run --acp", command);
    agent.says("registered").await;
    planet.knows_agent(NAME).await;
    agent
}

async fn send(planet: &Planet, said: &str) -> String {
    let args = ["send", "--skill", "code", said, "--output", "json"];
    text(&planet.photon(&args).await.json()["id"]).to_owned()
}

async fn ends(planet: &Planet, work: &str, state: &str) -> Value {
    let id = send(planet, work).await;
    until(planet, &id, |task| task["state"] == state).await
}

async fn answer(planet: &Planet, id: &str, said: &str) {
    planet.photon(&["task", "answer", id, said]).await.ok();
}

/// Returns the text of the one artifact of a task.
fn said(task: &Value) -> String {
    let parts = task["artifacts"][0]["parts"].as_array();
    parts.into_iter().flatten().map(|it| text(&it["text"])).collect()
}

/// Returns what the agent has written down: verbs, sessions and processes.
fn log(planet: &Planet) -> Vec<[String; 3]> {
    let log = fs::read_to_string(planet.scratch().join("log")).unwrap_or_default();
    let line = |line: &str| {
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        words.try_into().expect("three words a line")
    };
    log.lines().map(line).collect()
}

async fn is_told_to_stop(planet: &Planet, times: usize) {
    eventually("the agent is told to stop", async || {
        let told = log(planet).iter().filter(|it| it[0] == "cancel").count();
        (told == times).then_some(())
    })
    .await;
}

async fn is_gone(pid: &str) {
    let pid: u32 = pid.parse().expect("a number");
    eventually("the program is gone", async || (!is_alive(pid)).then_some(())).await;
}

async fn until(planet: &Planet, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    eventually(id, async || Some(task(planet, id).await).filter(&is_so)).await
}

async fn task(planet: &Planet, id: &str) -> Value {
    planet.photon(&["task", "get", id, "--output", "json"]).await.json()
}
