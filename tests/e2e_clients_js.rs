//! Unmodified clients from npm, of A2A and of MCP, work with agents in another region.
//! Must not speak these protocols itself: that is for `a2a_client.mjs` and `mcp_client.mjs`.

use std::time::Duration;

use crate::harness::{Planet, PlanetOptions, Process, Wan, beside, node, python, run};

/// Where the agents are.
const REGION: &str = "eu-west-1";

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn an_unmodified_client_of_a2a_works_with_agents_in_another_region() {
    let planet = Planet::start(PlanetOptions { wan: Wan::On }).await;
    let _agents = agents(&planet).await;
    for binding in ["JSONRPC", "HTTP+JSON", "GRPC"] {
        keeps_all_promises(&planet, "a2a_client.mjs", binding).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unmodified_client_of_mcp_works_with_agents_in_another_region() {
    let planet = Planet::start(PlanetOptions { wan: Wan::On }).await;
    let _agents = agents(&planet).await;
    for mode in ["auto", "legacy"] {
        keeps_all_promises(&planet, "mcp_client.mjs", mode).await;
    }
}

/// Starts the agents that the clients know of.
async fn agents(planet: &Planet) -> [Process; 3] {
    let shout = planet.agent("shout", "text.upper", REGION, &["tr", "a-z", "A-Z"]).await;
    let slow = planet.agent("slow", "sh.slow", REGION, &["sleep", "600"]).await;
    let mut painter = python("python").await;
    painter.arg(beside("painter.py")).arg(planet.url(REGION));
    let painter = Process::start("the painter", painter);
    planet.knows_agent("painter").await;
    [shout, slow, painter]
}

/// Runs a client in one of the other regions; what it begins there goes on in the third.
async fn keeps_all_promises(planet: &Planet, client: &str, manner: &str) {
    let mut command = node().await;
    command.arg(beside(client)).arg(planet.url("ap-southeast-1")).arg(planet.url("us-east-1"));
    command.arg(manner);
    let said = run(command, PATIENCE).await.ok();
    assert_eq!(said.trim(), "ok", "{client} {manner}");
}
