//! Agents made with the worker libraries of `sdk/` keep their work when their region is lost.
//! Must not speak the worker API itself: that is for the libraries.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::harness::{
    Planet, PlanetOptions, Process, SOON, Wan, beside, eventually, eventually_within, node,
    package, python, run, text,
};

const REGION: &str = "eu-west-1";
const PATIENCE: Duration = Duration::from_secs(180);

/// The file in which an agent notes the steps that run.
const STEPS: &str = "steps";

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_in_python_goes_on_in_another_region() {
    let planet = Planet::start(PlanetOptions { wan: Wan::On }).await;
    let mut agent = python("python").await;
    agent.arg(beside("../sdk/python/tests/planet_agent.py"));
    agent.arg(planet.scratch().join(STEPS)).arg(planet.url(REGION));
    agent.env("PYTHONPATH", beside("../sdk/python/src"));
    goes_on_in_another_region(&planet, "sdk-python", agent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_in_typescript_goes_on_in_another_region() {
    let library = typescript().await;
    let planet = Planet::start(PlanetOptions { wan: Wan::On }).await;
    let mut agent = node().await;
    agent.arg(library.path().join("tests/planet_agent.mjs"));
    agent.arg(planet.url(REGION)).arg(planet.scratch().join(STEPS));
    goes_on_in_another_region(&planet, "sdk-typescript", agent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_library_for_python_passes_its_own_tests() {
    let mut tests = python("python").await;
    tests.args(["-m", "pytest", "-q", "-p", "no:cacheprovider"]);
    tests.current_dir(beside("../sdk/python"));
    let said = run(tests, PATIENCE).await.ok();
    assert!(said.contains(" passed"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_library_for_typescript_passes_its_own_tests() {
    let library = typescript().await;
    let mut tests = node().await;
    tests.args(["--test", "--test-reporter=tap", "dist/test/*.test.js"]);
    tests.current_dir(library.path());
    let said = run(tests, PATIENCE).await.ok();
    let passed = said.lines().find_map(|it| it.strip_prefix("# pass "));
    assert!(passed.is_some_and(|it| it != "0"), "{said}");
}

/// Builds the library for TypeScript and its tests, as `npm run build` does, but in a folder of its
/// own.
async fn typescript() -> TempDir {
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let library = beside("../sdk/typescript");
    let mut compiler = node().await;
    compiler.arg(package("typescript/bin/tsc")).arg("--project").arg(&library);
    compiler.arg("--outDir").arg(folder.path().join("dist"));
    compiler.arg("--typeRoots").arg(package("@types"));
    run(compiler, PATIENCE).await.ok();
    fs::create_dir(folder.path().join("tests")).expect("the folder is new");
    // The one says what kind of modules these are, the other imports them.
    for file in ["package.json", "tests/planet_agent.mjs"] {
        fs::copy(library.join(file), folder.path().join(file)).expect("the library has it");
    }
    folder
}

/// Takes the region from under an agent that has done two of three steps.
async fn goes_on_in_another_region(planet: &Planet, name: &str, agent: Command) {
    let mut agent = Process::start(name, agent);
    agent.says("ready").await;
    planet.knows_agent(name).await;
    let send = ["send", "--skill", "sdk.upper", "hello", "--follow"];
    assert_eq!(planet.photon(&send).await.with_code(0).stdout.trim(), "HELLO");

    let send = ["send", "--skill", "sdk.steps", "go", "--output", "json"];
    let id = text(&planet.photon(&send).await.json()["id"]).to_owned();
    let said = || fs::read_to_string(planet.scratch().join(STEPS)).unwrap_or_default();
    eventually("two steps are done", async || (said().lines().count() == 2).then_some(())).await;
    planet.region("kill", REGION).await;
    fs::write(planet.scratch().join("go"), "").expect("the folder is there");
    let done = eventually_within(SOON * 3, "the task is done", async || {
        let task: Value = planet.photon(&["task", "get", &id, "--output", "json"]).await.json();
        (task["state"] == "completed").then_some(task)
    })
    .await;
    let parts = done["artifacts"][0]["parts"].as_array().expect("a list").iter();
    let result: String = parts.map(|it| text(&it["text"])).collect();
    assert_eq!(result, "result-1 result-2 result-3", "{done:#}");
    let said = said();
    let steps: Vec<_> = said.lines().filter_map(|it| it.split(' ').next()).collect();
    assert_eq!(steps, ["step-1", "step-2", "step-3"], "no step ran twice");
}
