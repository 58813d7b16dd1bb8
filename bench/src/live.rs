//! What many agents cost that live: each with a connection of its own, on which its worker waits
//! for work, or works and says that it does.
//! Must not measure how they are found, nor the memory of cards: `agents` does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::Places;
use crate::process;
use crate::region::Region;
use crate::report::{Report, Target};
use crate::worker::{self, Worker};

const SKILL: &str = "bench.work";
/// How long a worker waits for a task, as those of `photon agent run` do.
const WAIT_MS: u32 = 20_000;
/// How many register, or submit, at once.
const AT_ONCE: usize = 64;
/// A worker says that it works this often within the time that it may be silent.
const BEATS: u32 = 3;
/// How much of a core the region may use, in percent.
const CORE_MAX: f64 = 25.0;
/// How long all of them may take until they wait, or work.
const BEGIN_MAX: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How it is measured.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Options {
    /// How many agents live, each with its connection and room for one task
    #[arg(long, default_value_t = 10_000)]
    count: usize,
    /// How many times the region is watched while all wait, and as often while all work
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How many seconds it is watched each time
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// How many seconds it is left alone before that, once all wait or work
    #[arg(long, default_value_t = 25.0)]
    settle: f64,
}

/// What the agents do.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// All wait for work by long polls.
    Waiting,
    /// All work on a task, and tell that they live.
    Working,
}

impl Phase {
    fn show(self) -> &'static str {
        match self {
            Self::Waiting => "all wait",
            Self::Working => "all work",
        }
    }
}

/// What the agents have done.
#[derive(Debug, Default)]
struct Counts {
    registered: AtomicU64,
    leased: AtomicU64,
    /// Answers to polls and heartbeats.
    answered: AtomicU64,
}

/// What was seen in one look.
#[derive(Clone, Copy, Debug)]
struct Seen {
    region: f64,
    generator: f64,
    answered: f64,
}

/// All agents.
#[derive(Debug)]
struct Crowd {
    agents: JoinSet<anyhow::Result<()>>,
    counts: Arc<Counts>,
}

/// Measures it.
pub(crate) async fn measure(options: &Options, places: &Places) -> anyhow::Result<Report> {
    let mut report = Report::begin("live");
    let region = Region::start(places).await?;
    let mut crowd = Crowd::gather(&region, options.count).await?;
    phase(&mut report, &region, &mut crowd, (Phase::Waiting, options)).await?;
    give_work(&region, options.count).await?;
    crowd.wait_until(|it| &it.leased, options.count).await?;
    phase(&mut report, &region, &mut crowd, (Phase::Working, options)).await?;
    let Options { count, rounds, seconds, settle } = options;
    report.note(format!(
        "{count} agents in one region of `photon serve`, each with a TCP connection of its own, \
         all of them in this process: HTTP/1.1 over loopback, as `photon agent run` and the SDKs \
         speak it. While they wait each has a long poll of {} s under way; while they work each \
         has a task and sends a heartbeat each {BEATS}rd of the time that it may be silent. \
         Medians of {rounds} times {seconds} s, {settle} s after all wait or work; processor time \
         from /proc.",
        WAIT_MS / 1_000
    ));
    Ok(report)
}

/// Watches the region, several times.
async fn phase(
    report: &mut Report,
    region: &Region,
    crowd: &mut Crowd,
    (phase, options): (Phase, &Options),
) -> anyhow::Result<()> {
    tokio::time::sleep(Duration::from_secs_f64(options.settle)).await;
    let mut all = Vec::with_capacity(options.rounds);
    for _ in 0..options.rounds {
        all.push(crowd.look(region, Duration::from_secs_f64(options.seconds)).await?);
    }
    let online = online(region).await?;
    ensure!(online == options.count, "{online} of {} agents are online", options.count);
    let mut row = |what: &str, figure: fn(&Seen) -> f64, unit, target| {
        report.spread(format!("{}: {what}", phase.show()), (all.iter().map(figure), unit), target);
    };
    let target = Target::Under(CORE_MAX);
    row("the region's processor time", |it| it.region, "% of a core", target);
    row("the agents' processor time", |it| it.generator, "% of a core", Target::None);
    row("requests that were answered", |it| it.answered, "/s", Target::None);
    let memory = process::memory(region.process())?.resident;
    report.row(format!("{}: resident", phase.show()), (memory, "MiB"), Target::None);
    report.row(format!("{}: agents online", phase.show()), (online as f64, ""), Target::None);
    Ok(())
}

impl Crowd {
    /// Registers all agents, and lets each wait for work.
    async fn gather(region: &Region, count: usize) -> anyhow::Result<Self> {
        let (counts, turns) = (Arc::new(Counts::default()), Arc::new(Semaphore::new(AT_ONCE)));
        let mut agents = JoinSet::new();
        for (number, mut connection) in region.connect_many(count).await?.into_iter().enumerate() {
            let (counts, turns) = (Arc::clone(&counts), Arc::clone(&turns));
            // Their polls end one after the other, as if they had come one after the other.
            let wait =
                Duration::from_millis(u64::from(WAIT_MS)).mul_f64(number as f64 / count as f64);
            agents.spawn(async move {
                let name = format!("agent-{number}");
                let turn = turns.acquire().await.context("nobody closes it")?;
                worker::register(&mut connection, (&name, SKILL), 1).await?;
                drop(turn);
                counts.registered.fetch_add(1, Ordering::Relaxed);
                let first_ms = u32::try_from(wait.as_millis())?;
                let first = Worker::new(connection, &name, first_ms);
                live(first, &name, &counts).await.context(name)
            });
        }
        let mut crowd = Self { agents, counts };
        crowd.wait_until(|it| &it.registered, count).await?;
        Ok(crowd)
    }

    /// Waits until something was done by all.
    async fn wait_until(
        &mut self,
        what: fn(&Counts) -> &AtomicU64,
        count: usize,
    ) -> anyhow::Result<()> {
        let until = Instant::now() + BEGIN_MAX;
        while what(&self.counts).load(Ordering::Relaxed) < count as u64 {
            self.check()?;
            ensure!(Instant::now() < until, "not all {count} agents began: {:?}", self.counts);
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Fails if an agent has ended.
    fn check(&mut self) -> anyhow::Result<()> {
        match self.agents.try_join_next() {
            Some(ended) => ended.context("an agent died")?.context("an agent ended"),
            None => Ok(()),
        }
    }

    /// Watches the region for a while.
    async fn look(&mut self, region: &Region, time: Duration) -> anyhow::Result<Seen> {
        let look = || {
            let cpu = (process::cpu(region.process()), process::own_cpu());
            (cpu, self.counts.answered.load(Ordering::Relaxed), Instant::now())
        };
        let ((region_before, own_before), answered_before, began) = look();
        tokio::time::sleep(time).await;
        let ((region_after, own_after), answered, ended) = look();
        self.check()?;
        let seconds = (ended - began).as_secs_f64();
        let share = |time: Duration| 100.0 * time.as_secs_f64() / seconds;
        Ok(Seen {
            region: share(region_after.saturating_sub(region_before)),
            generator: share(own_after.saturating_sub(own_before)),
            answered: (answered - answered_before) as f64 / seconds,
        })
    }
}

/// Waits for a task, and then says that it works on it, without end.
async fn live(mut worker: Worker, agent: &str, counts: &Counts) -> anyhow::Result<()> {
    let first = worker.lease().await?;
    let mut worker = worker.waiting(agent, WAIT_MS);
    let mut found = first;
    let lease = loop {
        counts.answered.fetch_add(1, Ordering::Relaxed);
        match found {
            Some(lease) => break lease,
            None => found = worker.lease().await?,
        }
    };
    counts.leased.fetch_add(1, Ordering::Relaxed);
    let every = Duration::from_millis(lease.ttl_ms) / BEATS;
    loop {
        worker.heartbeat(&lease).await?;
        counts.answered.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(every).await;
    }
}

/// Submits a task for each agent.
async fn give_work(region: &Region, count: usize) -> anyhow::Result<()> {
    let mut clients = JoinSet::new();
    for (first, mut connection) in region.connect_many(AT_ONCE).await?.into_iter().enumerate() {
        clients.spawn(async move {
            let body = format!(r#"{{"skill":"{SKILL}","text":"work"}}"#);
            for _ in (first..count).step_by(AT_ONCE) {
                connection.post("/v1/tasks", body.as_bytes()).await?.good()?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(joined) = clients.join_next().await {
        joined.context("a client died")??;
    }
    Ok(())
}

/// Returns how many agents the region says are online.
async fn online(region: &Region) -> anyhow::Result<usize> {
    let mut connection = region.connect().await?;
    let metrics = connection.request("GET", "/metrics", b"").await?.good()?;
    let lines = std::str::from_utf8(metrics)?.lines();
    let mut found = lines.filter_map(|line| line.strip_prefix("photon_agents_online "));
    let online = found.next().context("the metrics do not say who is online")?;
    Ok(online.trim().parse()?)
}
