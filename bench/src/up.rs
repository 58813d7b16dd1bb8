//! A planet of `photon up`: how long it takes to start, what it costs while it does nothing.
//! Must not put it under load.

use std::time::{Duration, Instant};

use clap::Args;

use crate::Places;
use crate::planet::{Planet, READY};
use crate::process;
use crate::report::{Report, Target, median};

/// Three regions on three continents, as `photon up` has them without a word.
const THREE: &str = "us-east-1,eu-west-1,ap-southeast-1";
/// All regions that every catalog has.
const THIRTEEN: &str = "us-east-1,us-west-2,ca-central-1,eu-west-1,eu-central-1,eu-west-2,\
    ap-southeast-1,ap-northeast-1,ap-southeast-2,ap-south-1,sa-east-1,me-south-1,af-south-1";
/// How long a planet is left alone before its idle time is measured.
const SETTLE: Duration = Duration::from_secs(5);

/// How it is measured.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Options {
    /// How often each planet is started
    #[arg(long, default_value_t = 5)]
    starts: usize,
    /// For how many seconds the idle planet is watched
    #[arg(long, default_value_t = 20)]
    idle_seconds: u32,
}

/// Measures it.
pub(crate) async fn measure(options: &Options, places: &Places) -> anyhow::Result<Report> {
    let mut report = Report::begin("up");
    let size = std::fs::metadata(places.binary()?)?.len() as f64 / f64::from(1 << 20);
    report.row("binary", (size, "MiB"), Target::Under(40.0));
    for (regions, seconds_max) in [(THREE, 2.0), (THIRTEEN, 5.0)] {
        let count = regions.split(',').count();
        let mut times = Vec::with_capacity(options.starts);
        for _ in 0..options.starts {
            let planet = Planet::start(places, regions, None)?;
            times.push(planet.took().as_secs_f64());
        }
        let most = times.iter().copied().fold(0.0, f64::max);
        let what = format!("{count} regions, spawn to `{READY}`");
        let target = Target::Under(seconds_max);
        report.row(format!("{what}, median"), (median(times), "s"), target);
        report.row(format!("{what}, most"), (most, "s"), Target::None);
    }
    idle(options, places, &mut report).await?;
    report.note(format!(
        "Each planet begins in an empty folder, with the delays of the default WAN; {} starts \
         each. Idle: the time of all processes of a planet of 3 over {} s, in percent of one \
         core, {} s after it was ready.",
        options.starts,
        options.idle_seconds,
        SETTLE.as_secs(),
    ));
    Ok(report)
}

/// Watches a planet that has nothing to do.
async fn idle(options: &Options, places: &Places, report: &mut Report) -> anyhow::Result<()> {
    let planet = Planet::start(places, THREE, None)?;
    let root = planet.process();
    tokio::time::sleep(SETTLE).await;
    let (before, began) = (process::cpu(root), Instant::now());
    tokio::time::sleep(Duration::from_secs(options.idle_seconds.into())).await;
    let used = process::cpu(root).saturating_sub(before);
    let percent = 100.0 * used.as_secs_f64() / began.elapsed().as_secs_f64();
    report.row("3 regions, idle", (percent, "% of a core"), Target::Under(3.0));
    for id in process::tree(root) {
        let words = process::words(id);
        let region = words.iter().skip_while(|it| *it != "--region").nth(1);
        let what =
            region.map_or("`photon up` with the WAN".to_owned(), |it| format!("region {it}"));
        let memory = process::memory(id)?.resident;
        report.row(format!("idle {what}, resident"), (memory, "MiB"), Target::None);
    }
    Ok(())
}
