//! How long it takes to find agents by what one would ask them, among many.
//! Must not judge what is found: tests do.

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use tokio::task::JoinSet;

use crate::Places;
use crate::http::Connection;
use crate::load::percentile_ms;
use crate::process;
use crate::region::Region;
use crate::report::{Report, Target};

/// How many register at once.
const CLIENTS: usize = 16;
/// How many different words there are. The n-th comes about 1/n times as often as the first.
const WORDS: usize = 5_000;
/// Words of what is said of a skill, and of a query.
const SKILL_WORDS: usize = 12;
const QUERY_WORDS: usize = 5;
/// Every so many-th search follows a change of an agent.
const CHANGE_EVERY: usize = 50;

/// How it is measured.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Options {
    /// How many agents there are
    #[arg(long, default_value_t = 100_000)]
    agents: usize,
    /// How many different skills; every agent has one of them
    #[arg(long, default_value_t = 20_000)]
    skills: usize,
    /// How many searches each client makes
    #[arg(long, default_value_t = 1_000)]
    searches: usize,
}

/// Measures it.
pub(crate) async fn measure(options: &Options, places: &Places) -> anyhow::Result<Report> {
    let mut report = Report::begin("search");
    let region = Region::start(places).await?;
    let mut registering = JoinSet::new();
    for (first, mut connection) in region.connect_many(CLIENTS).await?.into_iter().enumerate() {
        let Options { agents, skills, .. } = *options;
        registering.spawn(async move {
            for number in (first..agents).step_by(CLIENTS) {
                register(&mut connection, number, skills).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(joined) = registering.join_next().await {
        joined??;
    }
    let before = process::memory(region.process())?;
    let mut connections = region.connect_many(4).await?;
    let began = Instant::now();
    search(&mut connections[0], 0).await?;
    report.row("first search: all cards are read", (ms(began.elapsed()), "ms"), Target::None);
    let after = process::memory(region.process())?;
    let index = after.resident - before.resident;
    report.row("what the index takes in memory, resident", (index, "MiB"), Target::None);
    let alone = run(connections.drain(..1), *options).await?;
    report.row("search, 1 client, p50", (percentile_ms(&alone, 0.5), "ms"), Target::None);
    report.row("search, 1 client, p99", (percentile_ms(&alone, 0.99), "ms"), Target::Under(10.0));
    let together = run(connections.drain(..), *options).await?;
    report.row("search, 3 clients, p50", (percentile_ms(&together, 0.5), "ms"), Target::None);
    report.row("search, 3 clients, p99", (percentile_ms(&together, 0.99), "ms"), Target::None);
    report.note(format!(
        "{} agents, each with one of {} skills of which {SKILL_WORDS} words are said, of {WORDS} \
         words; queries of {QUERY_WORDS} words, drawn alike, pages of 10, over HTTP; every \
         {CHANGE_EVERY}th search follows a change of an agent, which is in its time.",
        options.agents, options.skills
    ));
    Ok(report)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

async fn run(
    connections: impl Iterator<Item = Connection>,
    options: Options,
) -> anyhow::Result<Vec<Duration>> {
    let mut clients = JoinSet::new();
    for (client, mut connection) in connections.enumerate() {
        clients.spawn(async move {
            let mut times = Vec::with_capacity(options.searches);
            for number in 0..options.searches {
                let seed = client * options.searches + number;
                if number % CHANGE_EVERY == 0 {
                    register(&mut connection, seed % options.agents, options.skills - 1).await?;
                }
                let began = Instant::now();
                search(&mut connection, seed).await?;
                times.push(began.elapsed());
            }
            anyhow::Ok(times)
        });
    }
    let mut all = Vec::new();
    while let Some(joined) = clients.join_next().await {
        all.extend(joined??);
    }
    all.sort_unstable();
    Ok(all)
}

async fn search(connection: &mut Connection, seed: usize) -> anyhow::Result<()> {
    let text = text(seed as u64 + 1_000_000, QUERY_WORDS);
    let body = json!({"query": {"text": text}, "federation": "none"}).to_string();
    connection.post("/ard/search", body.as_bytes()).await?.good()?;
    Ok(())
}

async fn register(connection: &mut Connection, number: usize, skills: usize) -> anyhow::Result<()> {
    let skill = number % skills;
    let id = format!("skill.{skill}");
    let said = text(skill as u64, SKILL_WORDS);
    let card = json!({"name": format!("agent-{number}"), "description": "", "skills": [
        {"id": id, "name": id, "description": said, "tags": [], "examples": []}]});
    let body = json!({"skills": [id], "capacity": 4, "card": card}).to_string();
    let path = format!("/v1/agents/agent-{number}");
    connection.request("PUT", &path, body.as_bytes()).await?.good()?;
    Ok(())
}

/// Returns as many words, the same for the same seed.
fn text(seed: u64, count: usize) -> String {
    let mut rng = fastrand::Rng::with_seed(seed);
    // By the inverse of the logarithm: the n-th word comes about 1/n times as often as the first.
    let mut word = || (WORDS as f64).powf(rng.f64()) as usize;
    (0..count).map(|_| format!("w{}x", word())).collect::<Vec<_>>().join(" ")
}
