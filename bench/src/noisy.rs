//! A tenant that floods an agent's queue, and what another one feels of it.
//! Must not know how shares are decided.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde::Deserialize;
use serde_json::json;
use tokio::task::JoinSet;

use crate::Places;
use crate::arrivals::{Arrive, Schedule};
use crate::disk;
use crate::http::Connection;
use crate::load::percentile_ms;
use crate::planet::Planet;
use crate::report::{Report, Target};
use crate::worker::{self, Worker};

/// The regions; the first is where the agent works and tasks are submitted.
const REGIONS: &str = "us-east-1,eu-west-1,ap-southeast-1";
const AGENT: &str = "bench";
const SKILL: &str = "bench.work";
/// How long a worker waits for a task before it looks whether it is still needed.
const WAIT_MS: u32 = 500;
/// How long one who follows a task waits for its next event.
const FOLLOW_MS: u32 = 20_000;
/// Tasks of the quiet tenant that are followed at once; more wait, and that counts.
const FOLLOWERS: usize = 256;
/// Clients of the loud tenant.
const LOUD_CLIENTS: usize = 16;
/// How often the quiet tenant's p99 may be that of when it is alone.
const TIMES_MAX: f64 = 2.0;

/// How it is measured.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Options {
    /// How many tasks the quiet tenant submits each second
    #[arg(long, default_value_t = 8.0)]
    rate: f64,
    /// How many times as many the loud one submits
    #[arg(long, default_value_t = 10.0)]
    times: f64,
    /// How many tasks the agent works on at once
    #[arg(long, default_value_t = 4)]
    capacity: usize,
    /// How long it works on each, in milliseconds
    #[arg(long, default_value_t = 50)]
    work_ms: u64,
    /// How many rounds are measured, each with and without the loud tenant
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How many seconds each part of a round takes
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
    /// How many seconds the quiet tenant is served before anything is measured
    #[arg(long, default_value_t = 3.0)]
    warm_up: f64,
}

/// Who submits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The quiet tenant by itself.
    Alone,
    /// Both, each with a fairness key of its own.
    Keyed,
    /// Both, without fairness keys.
    Keyless,
}

impl Part {
    const ALL: [Self; 3] = [Self::Alone, Self::Keyed, Self::Keyless];

    fn show(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Keyed => "beside the loud one",
            Self::Keyless => "beside it, both without a fairness key",
        }
    }

    /// Returns what the submission of a tenant's task says.
    fn task(self, tenant: &str) -> Vec<u8> {
        let task = match self {
            Self::Alone | Self::Keyed => {
                json!({"skill": SKILL, "text": tenant, "options": {"fairness_key": tenant}})
            }
            Self::Keyless => json!({"skill": SKILL, "text": tenant}),
        };
        task.to_string().into_bytes()
    }
}

/// Measures it.
pub(crate) async fn measure(options: &Options, places: &Places) -> anyhow::Result<Report> {
    let mut report = Report::begin("noisy");
    disk::measure(&places.folder, &mut report)?;
    let planet = Planet::start(places, REGIONS, None)?;
    let mut connection = Connection::open(planet.api(0)).await?;
    worker::register(&mut connection, (AGENT, SKILL), options.capacity).await?;
    part(&planet, options, (Part::Alone, options.warm_up)).await?;
    let mut rounds: Vec<[Vec<Duration>; 3]> = Vec::with_capacity(options.rounds);
    for _ in 0..options.rounds {
        let mut round = [const { Vec::new() }; 3];
        for (times, which) in round.iter_mut().zip(Part::ALL) {
            *times = part(&planet, options, (which, options.seconds)).await?;
        }
        rounds.push(round);
    }
    describe(&mut report, &rounds);
    note_method(&mut report, options);
    Ok(report)
}

/// Lets tenants submit for a while; returns how long each task of the quiet one took, sorted. The
/// queue is empty before and afterwards.
async fn part(
    planet: &Planet,
    options: &Options,
    (which, seconds): (Part, f64),
) -> anyhow::Result<Vec<Duration>> {
    let over = Arc::new(AtomicBool::new(false));
    let mut workers = JoinSet::new();
    for _ in 0..options.capacity {
        let worker = Worker::new(Connection::open(planet.api(0)).await?, AGENT, WAIT_MS);
        let work = Duration::from_millis(options.work_ms);
        workers.spawn(serve(worker, work, Arc::clone(&over)));
    }
    let (mut quiet, mut loud) = (Vec::new(), Vec::new());
    for _ in 0..FOLLOWERS {
        let connection = Connection::open(planet.api(0)).await?;
        quiet.push(Quiet { connection, body: which.task("quiet") });
    }
    for _ in 0..LOUD_CLIENTS {
        let connection = Connection::open(planet.api(0)).await?;
        loud.push(Loud { connection, body: which.task("loud") });
    }
    let time = Duration::from_secs_f64(seconds);
    let loud_rate = match which {
        Part::Alone => 0.0,
        Part::Keyed | Part::Keyless => options.rate * options.times,
    };
    let quiet = Schedule::begin(options.rate, time).run(quiet);
    let loud = Schedule::begin(loud_rate, time).run(loud);
    let ((times, _), _) = tokio::try_join!(quiet, loud)?;
    over.store(true, Ordering::Relaxed);
    while let Some(joined) = workers.join_next().await {
        joined.context("a worker died")??;
    }
    Ok(times)
}

/// Works until it is over and no task is left.
async fn serve(mut worker: Worker, work: Duration, over: Arc<AtomicBool>) -> anyhow::Result<()> {
    loop {
        match worker.lease().await? {
            Some(lease) => {
                tokio::time::sleep(work).await;
                worker.complete(&lease).await?;
            }
            None if over.load(Ordering::Relaxed) => return Ok(()),
            None => {}
        }
    }
}

/// A client of the quiet tenant, who wants to know when its task is done.
#[derive(Debug)]
struct Quiet {
    connection: Connection,
    body: Vec<u8>,
}

/// What has become of a task.
#[derive(Deserialize)]
struct Events {
    state: String,
    next_after: u64,
}

impl Arrive for Quiet {
    async fn arrive(&mut self, _: usize) -> anyhow::Result<()> {
        self.connection.post("/v1/tasks", &self.body).await?.good()?;
        let location = self.connection.header("location")?.to_owned();
        let mut after = 0;
        loop {
            let path = format!("{location}/events?after={after}&wait_ms={FOLLOW_MS}");
            let found = self.connection.get_json(&path).await?.good()?;
            let found: Events = serde_json::from_slice(found).context("no events")?;
            after = found.next_after;
            match found.state.as_str() {
                "completed" => return Ok(()),
                "submitted" | "working" => {}
                other => bail!("a task is `{other}`"),
            }
        }
    }
}

/// A client of the loud tenant, who submits and does not look back.
#[derive(Debug)]
struct Loud {
    connection: Connection,
    body: Vec<u8>,
}

impl Arrive for Loud {
    async fn arrive(&mut self, _: usize) -> anyhow::Result<()> {
        self.connection.post("/v1/tasks", &self.body).await?.good()?;
        Ok(())
    }
}

fn describe(report: &mut Report, rounds: &[[Vec<Duration>; 3]]) {
    let ratio = |round: &[Vec<Duration>; 3]| {
        let [alone, keyed, _] = round.each_ref().map(|times| percentile_ms(times, 0.99));
        keyed / alone
    };
    // What is exactly twice as long would do.
    let target = Target::Under(TIMES_MAX.next_up());
    report.spread("p99 beside the loud one", (rounds.iter().map(ratio), "x"), target);
    for (at, part) in Part::ALL.into_iter().enumerate() {
        for (name, share) in [("p50", 0.5), ("p99", 0.99), ("most", 1.0)] {
            let over = rounds.iter().map(|it| percentile_ms(&it[at], share));
            report.spread(format!("{}, {name}", part.show()), (over, "ms"), Target::None);
        }
    }
}

fn note_method(report: &mut Report, options: &Options) {
    let Options { rate, times, capacity, work_ms, rounds, seconds, .. } = options;
    report.note(format!(
        "A planet of `photon up` with {REGIONS}; an agent in the first works on {capacity} tasks \
         at once for {work_ms} ms each. The quiet tenant submits {rate} tasks a second, the loud \
         one {} where it does, at times that are fixed before; measured is from when a task of \
         the quiet one was due until its follower heard that it is done. Medians of {rounds} \
         rounds of {seconds} s for each part, turn by turn.",
        rate * times
    ));
}
