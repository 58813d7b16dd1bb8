//! How many events a second the simulator handles on one core.
//! Must not judge what the events lead to; a broken promise fails the measurement.

use std::time::Instant;

use anyhow::anyhow;
use clap::Args;
use photon_sim::{Profile, run};

use crate::process;
use crate::report::{Report, Target};

/// How it is measured.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Options {
    /// How many seeds are run, from 0, one after the other
    #[arg(long, default_value_t = 200)]
    seeds: u64,
}

/// Measures it.
pub(crate) fn measure(options: &Options) -> anyhow::Result<Report> {
    let mut report = Report::begin("simulate");
    let profile = Profile::default();
    let (cpu_before, began) = (process::own_cpu(), Instant::now());
    let (mut events, mut virtual_seconds) = (0, 0.0);
    for seed in 0..options.seeds {
        let ran = run(seed, &profile).map_err(|failure| anyhow!("{failure}"))?;
        events += ran.events;
        virtual_seconds += ran.virtual_time.as_secs_f64();
    }
    let took = began.elapsed().as_secs_f64();
    let cpu = (process::own_cpu().saturating_sub(cpu_before)).as_secs_f64();
    let rate = events as f64 / took;
    report.row("events on one core", (rate, "/s"), Target::AtLeast(200_000.0));
    report.row("events per second of processor", (events as f64 / cpu, "/s"), Target::None);
    report.row("seeds", (options.seeds as f64 / took, "/s"), Target::None);
    report.row("imagined time to real time", (virtual_seconds / took, "x"), Target::None);
    report.note(format!(
        "{} seeds of the default profile in one thread of this process, with every promise \
         checked; {events} events in {took:.1} s. An event is one input that a region handled.",
        options.seeds
    ));
    Ok(report)
}
