//! An A2A server that knows nothing of Photon: its tasks become durable, and its address stays.
//! Must not speak A2A itself: that is for `a2a_server.py`, made with the SDK of strangers.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::harness::{
    self, Planet, PlanetOptions, Process, Wan, beside, eventually, free_ports, python, text,
};

const NAME: &str = "a-stranger-v2";
const REGION: &str = "eu-west-1";

#[tokio::test(flavor = "multi_thread")]
async fn the_work_of_a_stranger_survives_the_region_and_the_importer() {
    let planet = Planet::start(PlanetOptions { wan: Wan::On }).await;
    let (_server, base) = stranger(&planet, &[]).await;
    let report = planet.photon(&["agent", "probe", &base, "--output", "json"]).await.json();
    assert_eq!(report["name"], "A Stranger (v2)", "{report:#}");
    let outcome = |it: &Value| it["outcome"] == "failed";
    let checks = report["checks"].as_array().expect("a list");
    assert!(!checks.iter().any(outcome), "{report:#}");

    let mut importer = import(&planet, &base).await;
    what_the_stranger_does_is_passed_on(&planet).await;
    a_question_goes_to_the_client_and_its_answer_back(&planet).await;
    who_calls_off_a_task_calls_off_the_strangers(&planet).await;

    let waiting = begin(&planet, "wait for the region").await;
    planet.region("kill", REGION).await;
    importer.says("moved").await;
    go(&planet);
    is_whole(&planet, &waiting).await;
    fs::remove_file(planet.scratch().join("go")).expect("it was there");

    let waiting = begin(&planet, "wait for the importer").await;
    importer.kill().await;
    let _importer = import_to(&planet, &base, "us-east-1").await;
    go(&planet);
    is_whole(&planet, &waiting).await;
    let log = fs::read_to_string(planet.scratch().join("log")).expect("the server writes it");
    let waits = log.lines().filter(|it| it.starts_with("wait ")).count();
    assert_eq!(waits, 2, "nothing was asked of the stranger twice: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_that_streams_nothing_is_looked_at_instead() {
    let planet = Planet::start(PlanetOptions { wan: Wan::Off }).await;
    let (_server, base) = stranger(&planet, &["rest", "plain"]).await;
    let _importer = import(&planet, &base).await;
    what_the_stranger_does_is_passed_on(&planet).await;
    a_question_goes_to_the_client_and_its_answer_back(&planet).await;
    let waiting = begin(&planet, "wait for it").await;
    go(&planet);
    is_whole(&planet, &waiting).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_agent_is_refused_with_the_reason() {
    let planet = Planet::start(PlanetOptions { wan: Wan::Off }).await;
    let nobody = format!("http://127.0.0.1:{}", free_ports(1));
    let import = |url: &str| planet.command(&["agent", "import", url]);
    let refused = async |url: &str, code: i32, said: &[&str]| {
        harness::run(import(url), harness::SOON).await.refused(code, said);
    };
    refused(&nobody, 5, &["cannot reach", &nobody]).await;
    refused("ftp://example.com", 4, &["no address of an A2A server"]).await;
    refused("no url", 2, &["URL"]).await;
    // A region without an agent of that name has no card there, but one at its root.
    let health = format!("{}/healthz.json", planet.url("us-east-1"));
    refused(&health, 3, &["404", "no agent card"]).await;
    let not_card = format!("{}/v1/openapi.json", planet.url("us-east-1"));
    refused(&not_card, 4, &["not an agent card"]).await;
    let router = planet.url("us-east-1");
    let args = ["agent", "import", &router, "--header", "no-colon"];
    planet.photon(&args).await.refused(2, &["Name: value"]);
}

async fn stranger(planet: &Planet, args: &[&str]) -> (Process, String) {
    let mut command = python("python").await;
    command.arg(beside("a2a_server.py")).arg(planet.scratch()).args(args);
    let mut server = Process::start("an A2A server", command);
    let ready = server.says("ready ").await;
    let base = ready.trim_start_matches("ready ").to_owned();
    let api = harness::Api::new(&base);
    eventually("the server listens", async || {
        let card = api.request(reqwest::Method::GET, "/.well-known/agent-card.json");
        harness::Api::try_send(card).await.ok()
    })
    .await;
    (server, base)
}

async fn import(planet: &Planet, base: &str) -> Process {
    import_to(planet, base, REGION).await
}

async fn import_to(planet: &Planet, base: &str, region: &str) -> Process {
    let args = ["agent", "import", base, "--region", region];
    let mut importer = Process::start("photon agent import", planet.command(&args));
    importer.says("registered").await;
    importer
}

async fn what_the_stranger_does_is_passed_on(planet: &Planet) {
    let api = planet.api("us-east-1");
    eventually("the agent is known", async || {
        (api.get(&format!("/v1/agents/{NAME}")).await.status == 200).then_some(())
    })
    .await;
    let send = ["send", "--skill", "stranger.work", "--follow"];
    let done = planet.photon(&[&send[..], &["upper hello"]].concat()).await.with_code(0);
    assert_eq!(done.stdout.trim(), "HELLO", "{done:?}");
    let done = planet.photon(&[&send[..], &["fail please"]].concat()).await.with_code(6);
    assert!(done.stderr.contains("no luck"), "{done:?}");
    let done = planet.photon(&[&send[..], &["reject please"]].concat()).await.with_code(6);
    assert!(done.stderr.contains("not mine"), "{done:?}");
    let args = ["send", "--agent", NAME, "message me", "--wait", "--output", "json"];
    let task = planet.photon(&args).await.json();
    assert_eq!(task["state"], "completed", "{task:#}");
    assert_eq!(task["last_message"]["parts"][0]["text"], "me", "{task:#}");
    let card = api.get(&format!("/agents/{NAME}/.well-known/agent-card.json")).await.body;
    assert_eq!(card["name"], "A Stranger (v2)", "{card:#}");
    let url = text(&card["supportedInterfaces"][0]["url"]);
    assert!(url.starts_with(&planet.url("us-east-1")), "{card:#}");
}

async fn a_question_goes_to_the_client_and_its_answer_back(planet: &Planet) {
    let id = send(planet, "ask me").await;
    until(planet, &id, |task| task["state"] == "input_required").await;
    let api = planet.api("ap-southeast-1");
    let answer = serde_json::json!({ "text": "red" });
    let path = format!("/v1/tasks/{id}/messages");
    let answered = api.request(reqwest::Method::POST, &path).json(&answer);
    let answered = harness::Api::try_send(answered).await.expect("a region answers");
    assert_eq!(answered.status, 200, "{answered:#?}");
    let task = until(planet, &id, |task| task["state"] == "completed").await;
    assert_eq!(task["artifacts"][0]["parts"][0]["text"], "you said red", "{task:#}");
}

async fn who_calls_off_a_task_calls_off_the_strangers(planet: &Planet) {
    let id = begin(planet, "wait for nothing").await;
    planet.photon(&["task", "cancel", &id]).await.ok();
    let log = planet.scratch().join("log");
    eventually("the stranger is told", async || {
        fs::read_to_string(&log).ok()?.contains("cancel ").then_some(())
    })
    .await;
    // What was called off is none of what the test counts.
    forget_waits(&log);
}

fn forget_waits(log: &Path) {
    let said = fs::read_to_string(log).expect("the server writes it");
    fs::write(log, said.replace("wait ", "waited ")).expect("the folder is there");
}

async fn send(planet: &Planet, said: &str) -> String {
    let args = ["send", "--skill", "stranger.work", said, "--output", "json"];
    text(&planet.photon(&args).await.json()["id"]).to_owned()
}

/// Sends work that waits, and returns its task once the stranger is at it.
async fn begin(planet: &Planet, said: &str) -> String {
    let id = send(planet, said).await;
    until(planet, &id, |task| task["artifacts"][0]["parts"][0]["text"] == "one ").await;
    id
}

fn go(planet: &Planet) {
    fs::write(planet.scratch().join("go"), "").expect("the folder is there");
}

async fn is_whole(planet: &Planet, id: &str) {
    let patience = harness::SOON * 3;
    let task = harness::eventually_within(patience, "the task is done", async || {
        Some(task(planet, id).await).filter(|it| it["state"] == "completed")
    })
    .await;
    let parts = task["artifacts"][0]["parts"].as_array().expect("a list").iter();
    let said: String = parts.map(|it| text(&it["text"])).collect();
    assert_eq!(said, "one two three", "{task:#}");
}

async fn until(planet: &Planet, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    eventually(id, async || Some(task(planet, id).await).filter(&is_so)).await
}

async fn task(planet: &Planet, id: &str) -> Value {
    planet.photon(&["task", "get", id, "--output", "json"]).await.json()
}
