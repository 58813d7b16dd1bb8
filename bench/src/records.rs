//! The memory of a region that holds many records, and how long it takes to be ready again.
//! Must not measure how fast records are written: `data` does.

mod inside;

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;
use rustix::process::Signal;
use tokio::task::JoinSet;

use crate::Places;
use crate::http::Connection;
use crate::process;
use crate::region::Region;
use crate::report::{Report, Target};

const DATASET: &str = "bench";
/// Writes in one request.
const BATCH: usize = 1_000;
/// Records that are read after each start.
const SAMPLES: usize = 1_000;
/// How long the region is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(5);

/// How it is measured.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// How many records there are
    #[arg(long, default_value_t = 10_000_000)]
    count: usize,
    /// How many bytes the content of each has
    #[arg(long, default_value_t = 100)]
    value_bytes: usize,
    /// How many clients write, 1,000 records in each request
    #[arg(long, default_value_t = 4)]
    clients: usize,
    /// Write the records in the order of their keys [default: scattered]
    #[arg(long)]
    in_order: bool,
    /// The bound of the records in memory, as in the configuration
    #[arg(long, default_value = "8GiB")]
    memory_max: String,
    /// How many seconds the region rests before each stop: it may write its state meanwhile
    #[arg(long, default_value_t = 0)]
    rest: u64,
    /// How many GiB of memory are used and given back before the start, half of what is free at
    /// most
    #[arg(long, default_value_t = 6)]
    warm_memory_gib: u64,
    /// Measure what holds the records by itself, in this process
    #[arg(long)]
    inside: bool,
}

impl Options {
    /// Returns the key of a record.
    fn key(&self, number: usize) -> String {
        let number = u32::try_from(number).expect("a few billion records at most");
        // An odd factor gives each number another one.
        let place = if self.in_order { number } else { number.wrapping_mul(0x9e37_79b1) };
        format!("user/{place:010}")
    }

    /// Returns the content of a record: JSON of the size that was asked for.
    fn content(&self, number: usize) -> String {
        let mut rng = fastrand::Rng::with_seed(number as u64);
        let letters = std::iter::repeat_with(|| rng.alphanumeric());
        let text: String = letters.take(self.value_bytes.saturating_sub(2)).collect();
        format!("\"{text}\"")
    }
}

/// Measures it.
pub(crate) async fn measure(options: &Options, places: &Places) -> anyhow::Result<Report> {
    let mut report = Report::begin("records");
    let warmed_gib = process::warm_memory(options.warm_memory_gib);
    if options.inside {
        inside::measure(options, &mut report)?;
        return Ok(report);
    }
    let max = &options.memory_max;
    let more = format!("[data]\nbytes_max = \"1024GiB\"\nmemory_max = \"{max}\"\n");
    let mut region = Region::start_with(places, &more).await?;
    let empty = process::memory(region.process())?.resident;
    report.row("empty region, resident", (empty, "MiB"), Target::None);
    let spec = br#"{"type":"register","placement":"global"}"#;
    let path = format!("/v1/datasets/{DATASET}");
    region.connect().await?.request("PUT", &path, spec).await?.good()?;
    let took = fill(options, &region).await?;
    report.row("written", (options.count as f64 / took.as_secs_f64(), "/s"), Target::None);
    describe("written", options, &region, &mut report).await?;
    for (how, signal) in [("stopped", Signal::TERM), ("killed", Signal::KILL)] {
        tokio::time::sleep(Duration::from_secs(options.rest)).await;
        let took = region.restart(places, signal).await?.as_secs_f64();
        let worked = process::cpu(region.process()).as_secs_f64();
        let what = format!("{how} and started: until ready");
        report.row(what, (took, "s"), Target::Under(15.0));
        let what = format!("{how} and started: processor time until ready");
        report.row(what, (worked, "s"), Target::None);
        let what = format!("{how} and started: records");
        report.row(what, (options.count as f64 / took, "/s"), Target::None);
        describe(&format!("{how} and started"), options, &region, &mut report).await?;
    }
    report.note(format!(
        "{} records of a register, {} bytes of JSON each under a key of 15, written by {} clients \
         in requests of {BATCH} {}, in one region of `photon serve` with `data.memory_max` = \
         {}. Memory is that of the whole process, {} s after the last write or start; {SAMPLES} \
         records are read after each start; {warmed_gib} GiB of memory were used and given back \
         before. Disk: all files of its data folder. Before each stop it rested for {} s beside \
         that.",
        options.count,
        options.value_bytes,
        options.clients,
        if options.in_order { "in the order of their keys" } else { "scattered over the keys" },
        options.memory_max,
        SETTLE.as_secs(),
        options.rest,
    ));
    Ok(report)
}

/// Writes all records; returns how long it took.
async fn fill(options: &Options, region: &Region) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let mut clients = JoinSet::new();
    let connections = region.connect_many(options.clients).await?;
    for (first, connection) in connections.into_iter().enumerate() {
        clients.spawn(write(options.clone(), first * BATCH, connection));
    }
    while let Some(joined) = clients.join_next().await {
        joined??;
    }
    Ok(began.elapsed())
}

/// Writes the share of one client.
async fn write(options: Options, first: usize, mut connection: Connection) -> anyhow::Result<()> {
    let mut body = Vec::new();
    for from in (first..options.count).step_by(BATCH * options.clients) {
        body.clear();
        body.extend_from_slice(br#"{"writes":["#);
        for number in from..options.count.min(from + BATCH) {
            let comma = if number == from { "" } else { "," };
            let (key, content) = (options.key(number), options.content(number));
            write!(body, r#"{comma}{{"key":"{key}","put":{content}}}"#)?;
        }
        body.extend_from_slice(b"]}");
        connection.post(&format!("/v1/data/{DATASET}"), &body).await?.good()?;
    }
    Ok(())
}

/// Reads some records, and adds what the process takes.
async fn describe(
    when: &str,
    options: &Options,
    region: &Region,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut connection = region.connect().await?;
    for number in (0..options.count).step_by(options.count.div_ceil(SAMPLES).max(1)) {
        let path = format!("/v1/data/{DATASET}/{}", options.key(number));
        let body = connection.get_json(&path).await?.good()?;
        let record: serde_json::Value = serde_json::from_slice(body)?;
        let written: serde_json::Value = serde_json::from_str(&options.content(number))?;
        ensure!(record["value"] == written, "record {number} is {record}");
    }
    tokio::time::sleep(SETTLE).await;
    let memory = process::memory(region.process())?;
    let bytes = memory.resident * f64::from(1 << 20) / options.count as f64;
    report.row(format!("{when}: resident"), (memory.resident, "MiB"), Target::Under(2_560.0));
    report.row(format!("{when}: the most that ever was"), (memory.peak, "MiB"), Target::None);
    report.row(format!("{when}: resident, a record"), (bytes, "B"), Target::None);
    let disk = region.disk_bytes()? as f64 / f64::from(1 << 20);
    report.row(format!("{when}: disk"), (disk, "MiB"), Target::None);
    Ok(())
}
