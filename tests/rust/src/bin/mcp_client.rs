//! An unmodified MCP client (`rmcp`) finds agents, gives them work, follows and calls it off.
//!
//! Usage: `mcp_client REGION_URL OTHER_REGION_URL MODE`
//!
//! MODE is `discover` (2026-07-28) or `legacy` (2025-11-25). The agent `shout` answers in
//! capitals, the agent `slow` takes minutes; both are in other regions.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rmcp::RoleClient;
use rmcp::model::ProtocolVersion;
use rmcp::model::{CallToolRequestParams, CallToolResult, ReadResourceRequestParams};
use rmcp::service::{ClientLifecycleMode, RunningService, serve_client_with_lifecycle};
use rmcp::transport::StreamableHttpClientTransport;
use serde_json::{Value, json};

type Client = RunningService<RoleClient, ()>;

async fn connect(url: &str, mode: &str) -> Result<Client> {
    let transport = StreamableHttpClientTransport::from_uri(format!("{url}/mcp"));
    let lifecycle = match mode {
        "legacy" => ClientLifecycleMode::Initialize,
        _ => ClientLifecycleMode::Discover {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        },
    };
    Ok(serve_client_with_lifecycle((), transport, lifecycle).await?)
}

async fn ask(client: &Client, tool: &'static str, arguments: Value) -> Result<CallToolResult> {
    let Value::Object(arguments) = arguments else { unreachable!("arguments are an object") };
    let params = CallToolRequestParams::new(tool).with_arguments(arguments);
    Ok(client.call_tool(params).await?)
}

/// Calls a tool that must answer; returns what it answered.
async fn call(client: &Client, tool: &'static str, arguments: Value) -> Result<Value> {
    let result = ask(client, tool, arguments.clone()).await?;
    ensure!(result.is_error != Some(true), "{tool} {arguments}: {result:?}");
    result.structured_content.with_context(|| format!("{tool} answers what fits its schema"))
}

async fn until(client: &Client, task: &Value, state: &str) -> Result<()> {
    loop {
        let shown = call(client, "get_task", json!({"id": task["id"]})).await?;
        if shown["state"] == state {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn work(client: &Client, other: &Client) -> Result<()> {
    let tools = client.list_all_tools().await?;
    ensure!(tools.iter().any(|it| it.name == "send_task"), "{tools:?}");
    let regions = call(client, "list_regions", json!({})).await?;
    ensure!(regions["regions"].as_array().map(Vec::len) == Some(3), "{regions}");
    let found = call(client, "search_agents", json!({"skill": "text.upper"})).await?;
    ensure!(found["agents"][0]["name"] == "shout", "{found}");

    let asked = json!({"skill": "text.upper", "text": "hello"});
    let sent = ask(client, "send_task", asked).await?;
    let shown = serde_json::to_value(&sent)?;
    ensure!(shown["content"][0]["text"] == "HELLO", "{shown}");
    let task = sent.structured_content.context("the task is told")?;
    let there = call(other, "get_task", json!({"id": task["id"], "wait_ms": 5_000})).await?;
    ensure!(there["state"] == "completed", "another region shows the same: {there}");
    let uri = format!("photon://tasks/{}", task["id"].as_str().unwrap_or_default());
    let read = client.read_resource(ReadResourceRequestParams::new(uri)).await?;
    ensure!(!read.contents.is_empty(), "a task is a resource");

    let slow = json!({"skill": "sh.slow", "text": "zzz", "wait_ms": 0});
    let slow = call(client, "send_task", slow).await?;
    until(client, &slow, "working").await?;
    let off = json!({"id": slow["id"], "reason": "enough"});
    let off = call(other, "cancel_task", off).await?;
    ensure!(off["state"] == "canceled", "it is called off through another region: {off}");
    until(client, &slow, "canceled").await
}

async fn refused(client: &Client) -> Result<()> {
    for (arguments, why) in [
        (json!({"skill": "no.such", "text": "x"}), "no-such-skill"),
        (json!({"skill": "text.upper", "text": "x", "region": "nowhere"}), "no-such-region"),
        (json!({"text": "x"}), "`skill`"),
    ] {
        let result = ask(client, "send_task", arguments.clone()).await?;
        let said = serde_json::to_string(&result)?;
        ensure!(result.is_error == Some(true) && said.contains(why), "{arguments}: {said}");
    }
    let unknown = ask(client, "no_such_tool", json!({})).await;
    ensure!(unknown.is_err(), "an unknown tool is an error of the protocol: {unknown:?}");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, other, mode] = &args[..] else { anyhow::bail!("give two regions and a mode") };
    let (client, other) = (connect(url, mode).await?, connect(other, mode).await?);
    work(&client, &other).await?;
    refused(&client).await?;
    println!("all promises are kept by {mode}");
    client.cancel().await?;
    other.cancel().await?;
    Ok(())
}
