//! How long it takes from the submission of a task until a worker has it that waited for one: at a
//! rate, or at a share of the most that the region can do.
//! Must not know what else is done with tasks: that is what `tasks` measures.

mod peak;

use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use tokio::task::JoinSet;

use crate::Places;
use crate::arrivals::{Arrive, Schedule};
use crate::disk;
use crate::http::Connection;
use crate::load::percentile_ms;
use crate::process;
use crate::region::Region;
use crate::report::{Report, Target};
use crate::worker::Worker;

const AGENT: &str = "bench";
const SKILL: &str = "bench.work";
/// Digits of a task's number, with which its text begins.
const DIGITS: usize = 10;
/// Bytes of a task's text.
const TEXT_BYTES: usize = 1024;
/// How long a worker waits for a task; when none came it is done.
const WAIT_MS: u32 = 2_000;
/// How long p99 may be, in milliseconds.
const P99_MS: f64 = 50.0;

/// How it is measured.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Options {
    /// How many tasks are submitted each second
    #[arg(long, default_value_t = 200.0, conflicts_with = "of_peak")]
    rate: f64,
    /// Instead of a rate: this many percent of the most that the same clients and workers get
    /// through the region, which is measured before each round
    #[arg(long, value_name = "PERCENT")]
    of_peak: Option<f64>,
    /// How many rounds are measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How many seconds each round takes, and each search for the peak
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// How many seconds it is done before anything is measured
    #[arg(long, default_value_t = 2.0)]
    warm_up: f64,
    /// How many workers wait for tasks, each with its connection
    #[arg(long, default_value_t = 4)]
    workers: usize,
    /// How many clients submit, each with its connection
    #[arg(long, default_value_t = 16)]
    clients: usize,
}

/// What came of one round.
#[derive(Debug)]
struct Measured {
    /// Tasks a second, and what that is a share of, if it is one.
    rate: f64,
    peak: Option<f64>,
    /// From when a task was due until its submission was answered, sorted.
    acked: Vec<Duration>,
    /// From when a task was due until a worker had it, sorted.
    picked_up: Vec<Duration>,
    /// How much of a core the region used, in percent.
    cpu: f64,
}

/// Measures it.
pub(crate) async fn measure(options: &Options, places: &Places) -> anyhow::Result<Report> {
    let mut report = Report::begin("pickup");
    disk::measure(&places.folder, &mut report)?;
    let region = Region::start(places).await?;
    region.register(AGENT, SKILL, options.workers.max(64)).await?;
    let rate = options.of_peak.map_or(options.rate, |_| Options::WARM_UP_RATE);
    run(&region, options, (rate, options.warm_up)).await?;
    let mut rounds = Vec::with_capacity(options.rounds);
    for _ in 0..options.rounds {
        let (peak, rate) = match options.of_peak {
            Some(percent) => {
                let peak = peak::find(&region, options).await?;
                (Some(peak), peak * percent / 100.0)
            }
            None => (None, options.rate),
        };
        let round = run(&region, options, (rate, options.seconds)).await?;
        rounds.push(Measured { peak, ..round });
    }
    describe(&mut report, &rounds);
    note_method(&mut report, options);
    Ok(report)
}

impl Options {
    /// Tasks a second while the region warms up before its peak is known.
    const WARM_UP_RATE: f64 = 200.0;
}

/// Submits tasks at a rate, for so many seconds, to workers that wait for them.
async fn run(
    region: &Region,
    options: &Options,
    (rate, seconds): (f64, f64),
) -> anyhow::Result<Measured> {
    let mut clients = Vec::with_capacity(options.clients);
    for connection in region.connect_many(options.clients).await? {
        clients.push(Submitter { connection });
    }
    let connections = region.connect_many(options.workers).await?;
    let schedule = Schedule::begin(rate, Duration::from_secs_f64(seconds));
    let cpu = process::cpu(region.process());
    let mut workers = JoinSet::new();
    for connection in connections {
        workers.spawn(work(Worker::new(connection, AGENT, WAIT_MS), schedule));
    }
    let (acked, _) = schedule.run(clients).await?;
    let cpu = process::cpu(region.process()).saturating_sub(cpu);
    let took = schedule.since_due(0);
    let mut picked_up = Vec::with_capacity(schedule.count());
    while let Some(joined) = workers.join_next().await {
        picked_up.append(&mut joined.context("a worker died")??);
    }
    let (count, expected) = (picked_up.len(), schedule.count());
    ensure!(count == expected, "{count} of {expected} picked up");
    picked_up.sort_unstable();
    let cpu = 100.0 * cpu.as_secs_f64() / took.as_secs_f64();
    Ok(Measured { rate, peak: None, acked, picked_up, cpu })
}

#[derive(Debug)]
struct Submitter {
    connection: Connection,
}

impl Arrive for Submitter {
    async fn arrive(&mut self, number: usize) -> anyhow::Result<()> {
        self.connection.post("/v1/tasks", task(number).as_bytes()).await?.good()?;
        Ok(())
    }
}

/// Returns the submission of a task with a number.
fn task(number: usize) -> String {
    let padding = "x".repeat(TEXT_BYTES - DIGITS);
    format!(r#"{{"skill":"{SKILL}","text":"{number:0DIGITS$}{padding}"}}"#)
}

/// Works until no task has come for a while; returns how long each took to come.
async fn work(mut worker: Worker, schedule: Schedule) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::new();
    while let Some(lease) = worker.lease().await? {
        let text = lease.text()?;
        let number = text.get(..DIGITS).context("no number in the task")?.parse()?;
        times.push(schedule.since_due(number));
        worker.complete(&lease).await?;
    }
    Ok(times)
}

fn describe(report: &mut Report, rounds: &[Measured]) {
    if rounds.iter().any(|it| it.peak.is_some()) {
        let peaks = rounds.iter().filter_map(|it| it.peak);
        report.spread("the most that gets through", (peaks, "/s"), Target::None);
    }
    report.spread("submitted", (rounds.iter().map(|it| it.rate), "/s"), Target::None);
    type Times = fn(&Measured) -> &[Duration];
    let all: [(&str, Times, Target); 2] = [
        ("submit -> durable reply", |it| &it.acked, Target::None),
        ("submit -> worker has it", |it| &it.picked_up, Target::Under(P99_MS)),
    ];
    for (what, times, p99_max) in all {
        let shares =
            [("p50", 0.5, Target::None), ("p99", 0.99, p99_max), ("most", 1.0, Target::None)];
        for (name, share, target) in shares {
            let over = rounds.iter().map(|it| percentile_ms(times(it), share));
            report.spread(format!("{what}, {name}"), (over, "ms"), target);
        }
    }
    let cpu = rounds.iter().map(|it| it.cpu);
    report.spread("the region's processor time", (cpu, "% of a core"), Target::None);
}

fn note_method(report: &mut Report, options: &Options) {
    let Options { rounds, seconds, workers, clients, .. } = options;
    let mut text = format!(
        "Tasks of {TEXT_BYTES} bytes to one region, submitted by {clients} clients at times that \
         are fixed before, whether or not earlier ones are answered; {workers} workers by long \
         poll, each of which ends a task before it asks for another; HTTP/1.1 over loopback. \
         Times are from when a task was due to be submitted, so that the lateness of the generator \
         counts, to when the lease was read. Medians of {rounds} rounds of {seconds} s."
    );
    if let Some(percent) = options.of_peak {
        text += &format!(
            " Each round is at {percent} % of the most that got through just before it, in as \
             long, while the same clients and workers never paused and {} tasks waited or were \
             worked on at the most.",
            peak::UNDER_WAY_MAX
        );
    }
    report.note(text);
}
