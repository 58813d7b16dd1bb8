//! Unmodified clients in Rust, the command line of A2A and `rmcp`, work with agents in other
//! regions. Must not speak A2A or MCP itself: that is for them.
//!
//! They take a minute or two to build: without `PHOTON_TEST_ALL` they are run only if they are
//! there already (`tests/setup-rust.sh`).

use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use crate::harness::{self, Planet, PlanetOptions, Wan, beside, falls_short, run, text};

const PATIENCE: Duration = Duration::from_secs(60);

/// How long the clients may take to be built.
const SETUP_MAX: Duration = Duration::from_secs(900);

/// Builds the clients; says whether they are there.
async fn are_built() -> bool {
    let wants_all = std::env::var_os("PHOTON_TEST_ALL").is_some();
    if !wants_all && !client("a2acli").exists() {
        falls_short("clients in Rust are not built: run `tests/setup-rust.sh`");
        return false;
    }
    run(Command::new(beside("setup-rust.sh")), SETUP_MAX).await.ok();
    true
}

fn client(name: &str) -> std::path::PathBuf {
    beside(".rust/debug").join(name)
}

/// Has the command line of A2A ask an agent; returns what it prints.
async fn a2acli(card: &str, transport: &str, args: &[&str]) -> harness::Done {
    let mut command = Command::new(client("a2acli"));
    command.args(["--agent-card", card, "--transport", transport, "-o", "json", "--compact"]);
    command.args(args).env("NO_PROXY", "127.0.0.1");
    run(command, PATIENCE).await
}

#[tokio::test(flavor = "multi_thread")]
async fn unmodified_clients_in_rust_work_with_agents_in_other_regions() {
    if !are_built().await {
        return;
    }
    let planet = Planet::start(PlanetOptions { wan: Wan::On }).await;
    let _shout = planet.agent("shout", "text.upper", "eu-west-1", &["tr", "a-z", "A-Z"]).await;
    let _slow = planet.agent("slow", "sh.slow", "us-east-1", &["sleep", "600"]).await;
    let (here, there) = (planet.url("ap-southeast-1"), planet.url("eu-west-1"));
    for mode in ["discover", "legacy"] {
        let mut command = Command::new(client("mcp_client"));
        command.args([&here, &there]).arg(mode).env("NO_PROXY", "127.0.0.1");
        let said = run(command, PATIENCE).await.ok();
        assert_eq!(said.trim(), format!("all promises are kept by {mode}"));
    }
    for transport in ["jsonrpc", "rest"] {
        let card = |name: &str| format!("{here}/agents/{name}/.well-known/agent-card.json");
        let (shout, slow) = (card("shout"), card("slow"));
        a2acli(&shout, transport, &["card", "get", "--validate"]).await.ok();
        let sent = a2acli(&shout, transport, &["send", "hello"]).await.json();
        let result = &sent["task"]["artifacts"][0]["parts"][0]["text"];
        assert_eq!(result, "HELLO", "{transport}: {sent}");
        let streamed = a2acli(&shout, transport, &["send", "--stream", "on"]).await.ok();
        let last = streamed.lines().last().expect("a stream has an end");
        let last: Value = serde_json::from_str(last).expect("JSON");
        let state = &last["statusUpdate"]["status"]["state"];
        assert_eq!(state, "TASK_STATE_COMPLETED", "{transport}: {streamed}");

        let args = ["--async", "send", "zzz", "--return-immediately"];
        let sent = a2acli(&slow, transport, &args).await.json();
        let task = text(&sent["task"]["id"]).to_owned();
        let got = a2acli(&slow, transport, &["task", "get", &task]).await.json();
        assert_eq!(got["id"], *task, "{transport}: {got}");
        let canceled = a2acli(&slow, transport, &["task", "cancel", &task]).await.json();
        assert_eq!(canceled["status"]["state"], "TASK_STATE_CANCELED", "{transport}: {canceled}");
        let unknown = a2acli(&slow, transport, &["task", "get", "nothing"]).await;
        assert!(unknown.stderr.contains("TASK_NOT_FOUND"), "{transport}: {unknown:?}");
        assert_eq!(unknown.code, Some(1), "{transport}: {unknown:?}");
    }
}
