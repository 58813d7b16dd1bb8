//! A worker and a reader that speak gRPC alone, made from the definition, on a real planet.
//! Must not speak gRPC itself: that is for strangers' code.

use std::time::Duration;

use rustix::process::Signal;
use tokio::process::Command;

use crate::harness::{
    self, Planet, PlanetOptions, Process, REGIONS, Wan, beside, eventually, python, run,
};

const PATIENCE: Duration = Duration::from_secs(60);

async fn script(planet: &Planet, mode: &str, regions: &[&str]) -> Command {
    let mut script = python("python").await;
    script.arg(beside("grpc_worker.py")).arg(beside("../proto/photon/v1/photon.proto")).arg(mode);
    for region in regions {
        let url = planet.url(region);
        script.arg(url.strip_prefix("http://").expect("a planet of one machine has no TLS"));
    }
    script
}

async fn send(planet: &Planet, text: &str, more: &[&str]) -> String {
    let args = [&["send", "--skill", "grpc.shout", text, "--wait"], more].concat();
    planet.photon(&args).await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_over_grpc_keeps_its_work_when_its_region_is_lost() {
    let mut planet = Planet::start(PlanetOptions { wan: Wan::Off }).await;
    let [home, region, other] = REGIONS;
    let command = script(&planet, "work", &[region, other]).await;
    let mut worker = Process::start("worker", command);
    worker.says(&format!("attached to {region}")).await;
    assert_eq!(send(&planet, "hello", &[]).await.trim(), "HELLO");
    let lazy = send(&planet, "lazy", &["--attempts", "3"]).await;
    assert_eq!(lazy.trim(), "LAZY HALF{\"AT\":1}");
    let failed = planet.photon(&["send", "--skill", "grpc.shout", "fail", "--wait"]).await;
    assert_ne!(failed.code, Some(0), "{failed:?}");

    let url = planet.url(home);
    let args = ["send", "--skill", "grpc.shout", "hold", "--wait", "--url", &url];
    let mut sending = Process::start("photon send", planet.command(&args));
    worker.says("holding").await;
    planet.region("kill", region).await;
    planet.up.says(&format!("{region} killed")).await;
    worker.says(&format!("attached to {other}")).await;
    sending.says("HOLD").await;
    sending.ends().await;

    planet.region("start", region).await;
    let asked = planet.photon(&["send", "--skill", "grpc.shout", "ask", "--output", "json"]).await;
    let task = harness::text(&asked.json()["id"]).to_owned();
    let is_asked = || async {
        let shown = planet.photon(&["task", "get", &task, "--output", "json"]).await.json();
        (shown["state"] == "input_required").then_some(())
    };
    eventually("the worker asks", is_asked).await;
    planet.photon(&["task", "answer", &task, "blue"]).await.ok();
    let is_told = || async {
        let shown = planet.photon(&["task", "get", &task, "--output", "json"]).await.json();
        shown.to_string().contains("BLUE").then_some(())
    };
    eventually("the answer is shouted", is_told).await;
    worker.signal(Signal::TERM);
    worker.ends().await;
    planet.up.signal(Signal::INT);
    planet.up.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_published_and_followed_over_grpc_and_what_is_wrong_is_refused() {
    let mut planet = Planet::start(PlanetOptions { wan: Wan::Off }).await;
    for (mode, regions) in [("topics", &REGIONS[..2]), ("bad", &REGIONS[..1])] {
        let said = run(script(&planet, mode, regions).await, PATIENCE).await.ok();
        assert_eq!(said.trim(), "ok", "{mode}");
    }
    planet.up.signal(Signal::INT);
    planet.up.ends().await;
}
