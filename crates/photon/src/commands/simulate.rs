//! `photon simulate`: imagined planets, one for each seed, on all processors.
//! Must not know what the promises are: the simulator checks them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use photon_sim::{Besides, Failure, Planned, Profile, Report};
use serde::Serialize;

use super::show;
use crate::cli::Simulate;
use crate::exit::{Exit, UsageError};
use crate::output::{Output, Tone};
use crate::schedule;

/// How often people see how far it is.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// What many runs amounted to.
#[derive(Debug, Default, Serialize)]
struct Summary {
    seeds: u64,
    events: u64,
    tasks: u64,
    crashes: u64,
    virtual_secs: f64,
    secs: f64,
    events_per_sec: f64,
    /// Depends on the outcome of every seed: equal whenever the same seeds run.
    digest: String,
}

/// The sums so far.
#[derive(Debug, Default)]
struct Sums {
    seeds: AtomicU64,
    events: AtomicU64,
    tasks: AtomicU64,
    crashes: AtomicU64,
    virtual_ms: AtomicU64,
    digest: AtomicU64,
}

impl Sums {
    fn add(&self, report: &Report) {
        let add = |sum: &AtomicU64, count: u64| sum.fetch_add(count, Ordering::Relaxed);
        let ms = u64::try_from(report.virtual_time.as_millis()).unwrap_or(u64::MAX);
        add(&self.events, report.events);
        add(&self.tasks, report.tasks as u64);
        add(&self.crashes, report.crashes);
        add(&self.virtual_ms, ms);
        // The sum does not depend on which seed ends first.
        add(&self.digest, report.digest.wrapping_mul(2 * report.seed + 1));
        add(&self.seeds, 1);
    }

    fn summary(&self, took: Duration) -> Summary {
        let sum = |it: &AtomicU64| it.load(Ordering::Relaxed);
        let (events, secs) = (sum(&self.events), took.as_secs_f64());
        Summary {
            seeds: sum(&self.seeds),
            events,
            tasks: sum(&self.tasks),
            crashes: sum(&self.crashes),
            virtual_secs: Duration::from_millis(sum(&self.virtual_ms)).as_secs_f64(),
            secs,
            events_per_sec: events as f64 / secs.max(0.001),
            digest: format!("{:016x}", sum(&self.digest)),
        }
    }
}

pub(super) fn run(options: &Simulate, output: Output) -> Result<Exit> {
    name_seed_in_panics();
    let profile = profile(options)?;
    let shown = match options.seed {
        Some(seed) if options.trace => trace(seed, &profile, output),
        Some(seed) => many(seed..seed.saturating_add(1), &profile, 1, output),
        None => {
            let jobs = options.jobs.map_or_else(
                || thread::available_parallelism().map_or(1, usize::from),
                usize::from,
            );
            many(0..options.seeds, &profile, jobs, output)
        }
    };
    if let (Ok(Exit::Failed), Some(path)) = (&shown, &options.schedule) {
        output.remark(&format!("it takes the same --schedule {} to see it again", path.display()));
    }
    shown
}

/// Makes the kind of world that the user asked for.
fn profile(options: &Simulate) -> Result<Profile> {
    let Some(path) = &options.schedule else { return Ok(Profile::default()) };
    let faults = schedule::read(path)?;
    let regions = options.regions.iter().copied().collect();
    let besides = if options.faults { Besides::Faults } else { Besides::Nothing };
    let planned = Planned::new(faults, regions, besides);
    let planned = planned.map_err(|it| UsageError(format!("{}, {it}", path.display())))?;
    Ok(Profile::of(planned))
}

/// Shows all that happens under one seed.
fn trace(seed: u64, profile: &Profile, output: Output) -> Result<Exit> {
    let mut printed = Ok(());
    let mut print = |line: &str| {
        if printed.is_ok() {
            printed = output.line(line);
        }
    };
    let outcome = photon_sim::run_traced(seed, profile, &mut print);
    printed?;
    match outcome {
        Ok(report) => {
            output.line(&report.to_string())?;
            Ok(Exit::Ok)
        }
        Err(failure) => tell(&failure, output),
    }
}

/// Runs every seed, until one breaks a promise.
fn many(
    seeds: std::ops::Range<u64>,
    profile: &Profile,
    jobs: usize,
    output: Output,
) -> Result<Exit> {
    let began = Instant::now();
    let (sums, next) = (Sums::default(), AtomicU64::new(seeds.start));
    let (broken, is_over) = (Mutex::new(None::<Failure>), AtomicBool::new(false));
    let work = || {
        while !is_over.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seeds.end <= seed {
                return;
            }
            match photon_sim::run(seed, profile) {
                Ok(report) => sums.add(&report),
                Err(failure) => {
                    is_over.store(true, Ordering::Relaxed);
                    keep_first(&broken, failure);
                }
            }
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        while output.is_remark_terminal() && !workers.iter().all(|it| it.is_finished()) {
            show_progress(&sums, seeds.end - seeds.start, began);
            thread::sleep(PROGRESS_EVERY);
        }
    });
    if output.is_remark_terminal() {
        clear_progress();
    }
    if let Some(failure) = broken.into_inner().expect("no worker panics while it holds the lock") {
        return tell(&failure, output);
    }
    show(output, &sums.summary(began.elapsed()), |it| {
        output.line(&format!(
            "{} seeds kept every promise: {} events, {} tasks, {} crashes, {:.0} s of imagined \
             time in {:.1} s ({:.0} events/s), digest {}",
            it.seeds,
            it.events,
            it.tasks,
            it.crashes,
            it.virtual_secs,
            it.secs,
            it.events_per_sec,
            it.digest
        ))
    })
}

/// Keeps the failure of the lowest seed, so that the same seeds tell of the same failure.
fn keep_first(broken: &Mutex<Option<Failure>>, failure: Failure) {
    let mut broken = broken.lock().expect("no worker panics while it holds the lock");
    if broken.as_ref().is_none_or(|it| failure.seed < it.seed) {
        *broken = Some(failure);
    }
}

fn tell(failure: &Failure, output: Output) -> Result<Exit> {
    output.line(&failure.to_string())?;
    output.remark_as(Tone::Bad, "broken", &failure.promise.to_string());
    Ok(Exit::Failed)
}

#[expect(clippy::print_stderr, reason = "a line that is written over is none for `Output`")]
fn show_progress(sums: &Sums, seeds: u64, began: Instant) {
    let now = sums.summary(began.elapsed());
    let rate = now.events_per_sec;
    eprint!("\r\x1b[2K{} of {seeds} seeds, {} events, {rate:.0}/s", now.seeds, now.events);
}

#[expect(clippy::print_stderr, reason = "a line that is written over is none for `Output`")]
fn clear_progress() {
    eprint!("\r\x1b[2K");
}

/// The released binary ends at a panic, so that only here the seed can be named.
fn name_seed_in_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        before(info);
        if let Some(seed) = photon_sim::seed_under_way() {
            let text = format!("seed {seed} panics; photon simulate --seed {seed} --trace");
            Output::new(crate::output::Format::Table).remark_as(Tone::Bad, "panic", &text);
        }
    }));
}
