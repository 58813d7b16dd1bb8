//! Agents made with the worker libraries of `sdk/` keep their work when their region is lost.
//! Must not speak the worker API itself: that is for the libraries.

mod harness;

use std::fs;
use std::time::Duration;

use harness::{
    Planet, PlanetOptions, Process, SOON, Wan, beside, eventually, eventually_within, python, run,
    text,
};
use serde_json::Value;

const REGION: &str = "eu-west-1";
const PATIENCE: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_in_python_goes_on_in_another_region() {
    let planet = Planet::start(PlanetOptions { wan: Wan::On }).await;
    let steps = planet.scratch().join("steps");
    let mut agent = python("python").await;
    agent.arg(beside("../sdk/python/tests/planet_agent.py")).arg(&steps).arg(planet.url(REGION));
    agent.env("PYTHONPATH", beside("../sdk/python/src"));
    let mut agent = Process::start("an agent in Python", agent);
    agent.says("ready").await;
    planet.knows_agent("sdk-python").await;
    let send = ["send", "--skill", "sdk.upper", "hello", "--follow"];
    assert_eq!(planet.photon(&send).await.with_code(0).stdout.trim(), "HELLO");

    let send = ["send", "--skill", "sdk.steps", "go", "--output", "json"];
    let id = text(&planet.photon(&send).await.json()["id"]).to_owned();
    let said = || fs::read_to_string(&steps).unwrap_or_default();
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

#[tokio::test(flavor = "multi_thread")]
async fn the_library_for_python_passes_its_own_tests() {
    let mut tests = python("python").await;
    tests.args(["-m", "pytest", "-q", "-p", "no:cacheprovider"]);
    tests.current_dir(beside("../sdk/python"));
    let said = run(tests, PATIENCE).await.ok();
    assert!(said.contains(" passed"), "{said}");
}
