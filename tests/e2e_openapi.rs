//! Schemathesis asks a region everything that its OpenAPI document allows, and much besides.
//! Must not know the routes: the document does.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Region, RegionOptions, beside, python, run, say, text};

/// Test cases of each kind for each operation.
const EXAMPLES: &str = "25";

/// The same in every run; change it to look elsewhere.
const SEED: &str = "20261121";

const PATIENCE: Duration = Duration::from_secs(240);

#[tokio::test(flavor = "multi_thread")]
async fn the_api_is_what_its_document_says() {
    let region = Region::start(&RegionOptions::default()).await;
    let api = &region.api;
    api.register("shout", "text.upper").await;
    api.completes_a_task().await;
    let task = api.post("/v1/tasks", &json!({"agent": "shout", "text": "hello"})).await.ok();
    assert_eq!(api.lease("shout").await["task"], text(&task["id"]));
    // Datasets whose names are among those that are tried, of each type.
    let types = ["register", "counter", "bounded-counter", "set", "map", "document"];
    let names = ["notes".to_owned()].into_iter().chain(('a'..='z').map(String::from));
    for (name, kind) in names.zip(types.iter().cycle()) {
        api.put(&format!("/v1/datasets/{name}"), &json!({"type": kind})).await.ok();
    }
    api.put("/v1/data/notes/users/7", &json!({"name": "Ada"})).await.ok();
    let document = api.get("/v1/openapi.json").await.ok();
    assert!(text(&document["openapi"]).starts_with("3.1"), "{}", document["openapi"]);

    let reports = tempfile::tempdir().expect("there is room for temporary files");
    let mut command = python("schemathesis").await;
    command.current_dir(reports.path());
    command.arg("--config-file").arg(beside("schemathesis.toml"));
    command.args(["run", "--no-color", "--max-examples", EXAMPLES, "--seed", SEED]);
    command.args(["--suppress-health-check", "all", "--generation-database", "none"]);
    command.arg(format!("{}/v1/openapi.json", api.base()));
    let report = run(command, PATIENCE).await;
    let passed = report.code == Some(0);
    assert!(passed, "schemathesis found:\n{}\n{}", report.stdout, report.stderr);
    let cases = report.stdout.lines().find(|it| it.contains(" generated, "));
    say(&format!("schemathesis: {}", cases.unwrap_or(&report.stdout).trim()));
    // It may have found the witness in the list of agents, and asked something of it; or turned
    // something down in its name, so that it rests for a second.
    api.register("witness", "test.witness").await;
    let body = json!({"agent": "witness", "limit": 1, "wait_ms": 2_000});
    while let Some(lease) = api.post("/v1/leases", &body).await.ok()["leases"].get(0) {
        api.complete(lease).await.ok();
    }
    api.lives_on().await;
}
