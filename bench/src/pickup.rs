//! How long it takes from the submission of a task until a worker has it that waited for one.
//! Must not load the region: that is what `tasks` does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use serde::Deserialize;
use tokio::task::JoinSet;

use crate::Places;
use crate::disk;
use crate::http::Connection;
use crate::load::percentile_ms;
use crate::region::Region;
use crate::report::{Report, Target};

const AGENT: &str = "bench";
const SKILL: &str = "bench.work";
/// Digits of a task's number, with which its text begins.
const DIGITS: usize = 10;
/// Bytes of a task's text.
const TEXT_BYTES: usize = 1024;

/// How it is measured.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Options {
    /// How many tasks are submitted each second
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// For how many seconds
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// How many workers wait for tasks, each with its connection
    #[arg(long, default_value_t = 4)]
    workers: usize,
    /// How many clients take turns in submitting
    #[arg(long, default_value_t = 16)]
    clients: u32,
}

/// When each task was due to be submitted, in nanoseconds from the start; 0 while it was not.
type Sent = Arc<[AtomicU64]>;

/// Measures it.
pub(crate) async fn measure(options: &Options, places: &Places) -> anyhow::Result<Report> {
    let mut report = Report::begin("pickup");
    disk::measure(&places.folder, &mut report)?;
    let region = Region::start(places).await?;
    region.register(AGENT, SKILL, 64).await?;
    let count = options.rate * options.seconds;
    let sent: Sent = (0..count).map(|_| AtomicU64::new(0)).collect();
    let began = Instant::now();
    let mut workers = JoinSet::new();
    for connection in region.connect_many(options.workers).await? {
        let sent = Arc::clone(&sent);
        workers.spawn(work(connection, sent, began));
    }
    let mut clients = JoinSet::new();
    for first in 0..options.clients {
        let (connection, sent) = (region.connect().await?, Arc::clone(&sent));
        let pace = Pace { first, step: options.clients, rate: options.rate };
        clients.spawn(submit(connection, sent, pace, began));
    }
    let (mut acked, mut picked_up) = (Vec::new(), Vec::new());
    while let Some(joined) = clients.join_next().await {
        acked.append(&mut joined??);
    }
    while let Some(joined) = workers.join_next().await {
        picked_up.append(&mut joined??);
    }
    ensure!(picked_up.len() == sent.len(), "{} of {count} picked up", picked_up.len());
    acked.sort_unstable();
    picked_up.sort_unstable();
    for (what, times, p99_max) in [
        ("submit -> durable reply", &acked, Target::None),
        ("submit -> worker has it", &picked_up, Target::Under(50.0)),
    ] {
        report.row(format!("{what}, p50"), (percentile_ms(times, 0.5), "ms"), Target::None);
        report.row(format!("{what}, p99"), (percentile_ms(times, 0.99), "ms"), p99_max);
        report.row(format!("{what}, most"), (percentile_ms(times, 1.0), "ms"), Target::None);
    }
    let Options { rate, seconds, workers, .. } = options;
    report.note(format!(
        "{rate} tasks of {TEXT_BYTES} bytes a second for {seconds} s to one region, {workers} \
         workers by long poll over loopback. Times are from when a task was due to be submitted, \
         so that the lateness of the generator counts, to when the lease was read."
    ));
    Ok(report)
}

/// Which tasks one client submits, and when.
#[derive(Clone, Copy, Debug)]
struct Pace {
    first: u32,
    step: u32,
    rate: u32,
}

async fn submit(
    mut connection: Connection,
    sent: Sent,
    pace: Pace,
    began: Instant,
) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::new();
    let padding = "x".repeat(TEXT_BYTES - DIGITS);
    for number in (pace.first as usize..sent.len()).step_by(pace.step as usize) {
        let due = began + Duration::from_secs(1) * u32::try_from(number)? / pace.rate;
        tokio::time::sleep_until(due.into()).await;
        sent[number].store(nanos(due - began), Ordering::Relaxed);
        let body = format!(r#"{{"skill":"{SKILL}","text":"{number:0DIGITS$}{padding}"}}"#);
        connection.post("/v1/tasks", body.as_bytes()).await?.good()?;
        times.push(due.elapsed());
    }
    Ok(times)
}

#[derive(Deserialize)]
struct Leases<'a> {
    #[serde(borrow)]
    leases: Vec<Lease<'a>>,
}

#[derive(Deserialize)]
struct Lease<'a> {
    task: &'a str,
    token: &'a str,
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    parts: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    text: String,
}

/// Works until no task has come for a while; returns how long each took to come.
async fn work(
    mut connection: Connection,
    sent: Sent,
    began: Instant,
) -> anyhow::Result<Vec<Duration>> {
    let ask = format!(r#"{{"agent":"{AGENT}","limit":1,"wait_ms":2000}}"#);
    let mut times = Vec::new();
    loop {
        let body = connection.post("/v1/leases", ask.as_bytes()).await?.good()?;
        let now = nanos(began.elapsed());
        let found: Leases<'_> = serde_json::from_slice(body).context("no leases")?;
        let Some(lease) = found.leases.first() else { return Ok(times) };
        let text = lease.message.parts.first().map_or("", |part| &part.text);
        let number: usize = text.get(..DIGITS).context("no number in the task")?.parse()?;
        let due = sent.get(number).context("an unknown task")?.load(Ordering::Relaxed);
        times.push(Duration::from_nanos(now.saturating_sub(due)));
        let path = format!("/v1/leases/{}/complete", lease.task);
        let token = format!(r#"{{"token":"{}"}}"#, lease.token);
        connection.post(&path, token.as_bytes()).await?.good()?;
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
