//! Unmodified MCP clients work with agents in other regions, and the kit of MCP finds no fault.
//! Must not speak MCP itself: that is for `mcp_client.py` and the kit.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{
    Planet, PlanetOptions, Process, Region, RegionOptions, Wan, beside, eventually, node, package,
    python, run, say,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// How long the kit may take for all that one version requires.
const KIT_PATIENCE: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread")]
async fn an_unmodified_client_works_with_agents_in_other_regions() {
    let planet = Planet::start(PlanetOptions { wan: Wan::On }).await;
    let _shout = planet.agent("shout", "text.upper", "eu-west-1", &["tr", "a-z", "A-Z"]).await;
    let _slow = planet.agent("slow", "sh.slow", "us-east-1", &["sleep", "600"]).await;
    for mode in ["auto", "legacy"] {
        let mut client = python("python").await;
        client.arg(beside("mcp_client.py"));
        client.args([planet.url("ap-southeast-1"), planet.url("eu-west-1")]).arg(mode);
        let said = run(client, PATIENCE).await.ok();
        assert!(said.starts_with("all promises are kept in "), "{said}");
        say(&said);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_conformance_kit_finds_nothing() {
    let environment = vec![("PHOTON_MCP_KIT", "1")];
    let options = RegionOptions { environment, ..RegionOptions::default() };
    let region = Region::start(&options).await;
    let url = format!("http://{}", region.address());
    let mut agent = python("python").await;
    agent.arg(beside("mcp_agent.py")).arg(&url);
    let _agent = Process::start("the agent of the kit", agent);
    eventually("the agent is there", async || {
        (region.api.get("/v1/agents/mcp-kit").await.status == 200).then_some(())
    })
    .await;
    for version in ["2025-11-25", "2026-07-28"] {
        let found = tempfile::tempdir().expect("there is room for temporary files");
        let mut kit = node().await;
        kit.arg(package("@modelcontextprotocol/conformance/dist/index.js"));
        kit.args(["server", "--url", &format!("{url}/mcp"), "--requirements", version, "-o"]);
        kit.arg(found.path());
        let done = run(kit, KIT_PATIENCE).await;
        // Its status tells nothing of what it runs besides: Tasks are among that.
        let (passed, failed) = checks(found.path());
        assert!(failed.is_empty(), "{version}: {failed:#?}\n{}", done.stdout);
        assert!(60 < passed, "{version}: {passed} checks\n{}", done.stdout);
        say(&format!("{version}: {passed} checks passed"));
    }
}

/// Returns how many checks passed, and which failed.
fn checks(folder: &Path) -> (usize, Vec<String>) {
    let (mut passed, mut failed) = (0, Vec::new());
    for scenario in std::fs::read_dir(folder).expect("the kit has written what it found") {
        let scenario = scenario.expect("the folder can be read").path();
        let text = std::fs::read(scenario.join("checks.json")).expect("each scenario has checks");
        let all: Vec<Value> = serde_json::from_slice(&text).expect("they are JSON");
        for check in all {
            match check["status"].as_str() {
                Some("SUCCESS") => passed += 1,
                Some("FAILURE") => failed.push(format!("{}: {check}", scenario.display())),
                Some(_) | None => {}
            }
        }
    }
    (passed, failed)
}
