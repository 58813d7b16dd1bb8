//! `photon drill`: breaks something in a planet of `photon up` under load, and reports.
//! Must not look into regions, but for the folders in which it looks for what must not be there.

mod audit;
mod clients;
mod crew;
mod faults;
mod follow;
mod homes;
mod ledger;
mod planet;
mod records;
mod report;
mod residency;
mod schedule;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use chrono::SecondsFormat;
use photon_sim::Schedule;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::audit::Audit;
use self::homes::Shares;
use self::ledger::{Book, Ledger};
use self::planet::{At, Planet, soon};
use self::report::{Followers, Records, Report, Work};
use self::residency::{Confined, Residency};
use self::watch::Sightings;
use crate::cli;
use crate::client::AgentQuery;
use crate::exit::Exit;
use crate::output::{Output, Tone};
use crate::signals::Signals;
use crate::up::folder::Folder;

/// How long all regions may take to know the agents and datasets of the drill.
const PREPARE_MAX: Duration = Duration::from_secs(30);
/// How long what is under way may take when all is over.
const LAST_MAX: Duration = Duration::from_secs(10);
/// How often regions are asked whether they are prepared.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// What everybody in a drill knows.
#[derive(Debug)]
struct Drilled {
    planet: Planet,
    run: String,
    rate: u32,
    confined: Option<Confined>,
    ledger: Ledger,
    sightings: Sightings,
    shares: Shares,
}

impl Drilled {
    /// Returns the conversation of all tasks of the drill.
    fn context(&self) -> String {
        format!("drill-{}", self.run)
    }

    /// Returns the skill of all agents of the drill.
    fn skill(&self) -> String {
        format!("drill.{}", self.run)
    }

    /// Returns the name of the agent of a region.
    fn agent(&self, at: At) -> String {
        format!("drill-{}-{}", self.run, self.planet.name(at))
    }

    /// Returns the name of the dataset that lives everywhere.
    fn dataset(&self) -> String {
        format!("drill-{}", self.run)
    }

    /// Whether a region may know of what has this placement; without one, all may.
    fn may_know(&self, at: At, placement: Option<&str>) -> bool {
        let confined = self.confined.as_ref().filter(|it| placement == Some(&it.placement));
        confined.is_none_or(|it| it.inside.contains(&at))
    }

    /// Returns the regions that a client turns to, the nearest first.
    fn reachable(&self, from: At, placement: Option<&str>) -> Vec<At> {
        let near = self.planet.sites[from].nearest.iter().copied();
        near.filter(|it| self.may_know(*it, placement)).collect()
    }
}

/// Whether a task takes long, and is followed: one of four, so that some are under way at any
/// moment, and without a pattern that would always meet the same region.
fn is_long(number: u64) -> bool {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    const LONG_OF: u64 = 4;
    (number.wrapping_mul(GOLDEN) >> 32).is_multiple_of(LONG_OF)
}

/// Carries out a drill, and prints its report.
pub(crate) async fn run(options: &cli::Drill, output: Output) -> Result<Exit> {
    let mut signals = Signals::listen().context("failed to listen for signals")?;
    let planet = Planet::open(Folder::choose(options.data.as_deref())?).await?;
    let schedule = schedule::make(options, &planet.names())?;
    faults::check(&planet, &schedule).await?;
    let run = format!("{:08x}", fastrand::u32(..));
    let hit = schedule.faults()[0].harm.region().and_then(|it| planet.at(it));
    let confined = Confined::choose(&planet, hit, &run);
    let drilled = Arc::new(Drilled {
        planet,
        run,
        rate: options.rate,
        confined,
        ledger: Ledger::default(),
        sightings: Sightings::default(),
        shares: Shares::default(),
    });
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let drilling = async {
        prepare(&drilled).await?;
        drill(&drilled, &schedule, options, output, (&tasks, &stop)).await
    };
    let drilled_through = tokio::select! {
        report = drilling => report,
        () = signals.next() => Err(anyhow::anyhow!(
            "the drill was interrupted: what is broken heals by itself in time"
        )),
    };
    // However it went, nobody works on, and nothing is left behind.
    stop.cancel();
    tasks.close();
    let _ = tokio::time::timeout(LAST_MAX, tasks.wait()).await;
    let mut left = crew::dismiss(&drilled).await;
    left.extend(records::forget(&drilled).await);
    let mut report = drilled_through?;
    report.left_behind = left;
    if let Some(path) = &options.report {
        let text = serde_json::to_string_pretty(&report)?;
        let written = std::fs::write(path, text + "\n");
        written.with_context(|| format!("failed to write `{}`", path.display()))?;
    }
    report.print(output)?;
    Ok(if report.broken.is_empty() { Exit::Ok } else { Exit::Failed })
}

/// Registers agents and declares datasets, and waits until every region knows of all.
async fn prepare(drilled: &Drilled) -> Result<()> {
    let preparing = async {
        records::declare(drilled).await?;
        crew::register(drilled).await?;
        let query = AgentQuery { skill: Some(drilled.skill()), region: None };
        for site in &drilled.planet.sites {
            loop {
                let known = soon(site.client.agents(&query)).await;
                if known.is_ok_and(|it| it.len() == drilled.planet.sites.len()) {
                    break;
                }
                sleep(ASK_EVERY).await;
            }
        }
        anyhow::Ok(())
    };
    let prepared = tokio::time::timeout(PREPARE_MAX, preparing).await;
    let Ok(prepared) = prepared else {
        bail!(
            "the regions did not hear of each other within {} s: look at `photon region ls`",
            PREPARE_MAX.as_secs()
        )
    };
    prepared.context("failed to prepare the drill")
}

/// Works, breaks, heals, waits until all is quiet, and looks at what is left.
async fn drill(
    drilled: &Arc<Drilled>,
    schedule: &Schedule,
    options: &cli::Drill,
    output: Output,
    (tasks, stop): (&TaskTracker, &CancellationToken),
) -> Result<Report> {
    let began = Instant::now();
    let (load, give_up) = (TaskTracker::new(), stop.child_token());
    let (no_more, no_watch) = (stop.child_token(), stop.child_token());
    crew::start(drilled, tasks, stop);
    watch::start(drilled, tasks, &no_watch);
    clients::start(drilled, &load, &no_more, &give_up);
    records::start(drilled, &load, &no_more, &give_up);
    output.remark(&format!(
        "{} tasks a second in {} regions; the first fault begins after {:.1} s, the last is over \
         after {:.1} s",
        drilled.rate,
        drilled.planet.sites.len(),
        schedule.faults()[0].at.as_secs_f64(),
        schedule.ends().as_secs_f64()
    ));
    let mut made = Vec::new();
    for fault in schedule.faults() {
        sleep_until(began + fault.at).await;
        made.push(faults::make(drilled, fault, tasks, stop, output).await);
    }
    sleep_until(began + schedule.ends()).await;
    faults::whole(drilled, options.patience).await;
    sleep(options.after).await;
    no_more.cancel();
    output.remark_as(Tone::Faint, "all is healed:", "waiting until everything has ended");
    let known = audit::quiet(drilled, options.patience).await;
    give_up.cancel();
    load.close();
    let _ = tokio::time::timeout(LAST_MAX, load.wait()).await;
    no_watch.cancel();
    let audit = audit::audit(drilled, &known).await;
    let residency = residency::check(drilled, &known).await;
    let faults = faults::conclude(drilled, made, &known);
    let mut report = report(drilled, audit, residency);
    report.summary = faults::summarize(&faults);
    report.false_alarms = faults::false_alarms(drilled, schedule, &faults);
    report.faults = faults;
    report.judge();
    Ok(report)
}

fn report(drilled: &Drilled, audit: Audit, residency: Residency) -> Report {
    let mut book = drilled.ledger.book();
    let book: &mut Book = &mut book;
    let mut work =
        Work { given_up: book.given_up.len() as u64, left_out: book.left_out, ..Work::default() };
    for task in book.accepted.values() {
        *work.accepted.entry(task.level.as_str()).or_default() += 1;
    }
    if !drilled.planet.has_quorum_ack {
        work.no_quorum = Some("tasks at `quorum`: none, because this version does not offer it");
    }
    for ((at, why), count) in &book.failures {
        work.failed_tries.insert(format!("{}: {why}", drilled.planet.name(*at)), *count);
    }
    Report {
        run: drilled.run.clone(),
        started_at: drilled.planet.began_at.to_rfc3339_opts(SecondsFormat::Millis, true),
        took_ms: drilled.planet.now_ms(),
        regions: drilled.planet.sites.iter().map(|it| it.name.to_string()).collect(),
        rate_per_second: drilled.rate,
        watched_every_ms: u64::try_from(watch::ASK_EVERY.as_millis()).unwrap_or_default(),
        faults: Vec::new(),
        summary: Vec::new(),
        work,
        audit,
        followers: Followers {
            followed: book.followed,
            resumed: book.resumed,
            out_of_turn: std::mem::take(&mut book.out_of_turn),
        },
        records: Records {
            written: book.written.len() as u64,
            given_up: book.writes_given_up,
            reads: book.reads,
            reads_failed: book.reads_failed,
            unseen: std::mem::take(&mut book.unseen),
        },
        residency,
        false_alarms: ledger::Evidence::default(),
        left_behind: Vec::new(),
        broken: Vec::new(),
    }
}
