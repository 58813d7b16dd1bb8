//! The memory of a region that knows many agents.
//! Must not measure how they are found: the benchmark `routing` does.

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use tokio::task::JoinSet;

use crate::Places;
use crate::process;
use crate::region::Region;
use crate::report::{Report, Target};

/// How many skills there are; every agent has two of them.
const SKILLS: usize = 40;
/// How many register at once.
const CLIENTS: usize = 16;
/// How long the region is left alone before its memory is read again: by then all agents, whom
/// nobody works for, are marked as offline.
const SETTLE: Duration = Duration::from_secs(20);

/// How it is measured.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Options {
    /// How many agents register
    #[arg(long, default_value_t = 10_000)]
    count: usize,
    /// About how many bytes the card of each has
    #[arg(long, default_value_t = 1024)]
    card_bytes: usize,
}

/// Measures it.
pub(crate) async fn measure(options: &Options, places: &Places) -> anyhow::Result<Report> {
    let mut report = Report::begin("agents");
    let region = Region::start(places).await?;
    let before = process::memory(region.process())?;
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for (first, mut connection) in region.connect_many(CLIENTS).await?.into_iter().enumerate() {
        let Options { count, card_bytes } = *options;
        clients.spawn(async move {
            for number in (first..count).step_by(CLIENTS) {
                let (name, body) = agent(number, card_bytes);
                let path = format!("/v1/agents/{name}");
                connection.request("PUT", &path, body.as_bytes()).await?.good()?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(joined) = clients.join_next().await {
        joined??;
    }
    let took = began.elapsed();
    let after = process::memory(region.process())?;
    tokio::time::sleep(SETTLE).await;
    let settled = process::memory(region.process())?;
    let target = Target::Under(256.0);
    report.row("empty region, resident", (before.resident, "MiB"), Target::None);
    report.row("all registered, resident", (after.resident, "MiB"), target);
    report.row("20 s later, resident", (settled.resident, "MiB"), target);
    report.row("the most that ever was", (settled.peak, "MiB"), target);
    let rate = options.count as f64 / took.as_secs_f64();
    report.row("registrations", (rate, "/s"), Target::None);
    report.note(format!(
        "{} agents with cards of about {} bytes, two of {SKILLS} skills each, registered over \
         HTTP by {CLIENTS} clients in one region of `photon serve`.",
        options.count, options.card_bytes
    ));
    Ok(report)
}

/// Returns the name of an agent, and the body of its registration.
fn agent(number: usize, card_bytes: usize) -> (String, String) {
    let name = format!("agent-{number}");
    let skills = [number, number / SKILLS + 1].map(|it| format!("skill.{}", it % SKILLS));
    let card = |description: &str| {
        json!({
            "name": name, "description": description, "version": "1.0.0",
            "supportedInterfaces": [], "capabilities": { "streaming": true },
            "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"],
            "skills": [],
        })
    };
    let room = card_bytes.saturating_sub(card("").to_string().len());
    let body = json!({ "skills": unique(&skills), "capacity": 4, "card": card(&"x".repeat(room)) });
    (name.clone(), body.to_string())
}

fn unique([first, second]: &[String; 2]) -> Vec<&String> {
    if first == second { vec![first] } else { vec![first, second] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_has_the_size_that_was_asked_for() {
        let (name, body) = agent(7, 1024);
        assert_eq!(name, "agent-7");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["card"].to_string().len(), 1024);
    }
}
