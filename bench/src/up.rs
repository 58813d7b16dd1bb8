//! A planet of `photon up`: how long it takes to start, what it costs while it does nothing.
//! Must not put it under load.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use rustix::process::Signal;

use crate::Places;
use crate::process::{self, Kept};
use crate::report::{Report, Target, median};

/// Three regions on three continents, as `photon up` has them without a word.
const THREE: &str = "us-east-1,eu-west-1,ap-southeast-1";
/// All regions that every catalog has.
const THIRTEEN: &str = "us-east-1,us-west-2,ca-central-1,eu-west-1,eu-central-1,eu-west-2,\
    ap-southeast-1,ap-northeast-1,ap-southeast-2,ap-south-1,sa-east-1,me-south-1,af-south-1";
/// What the planet says when all regions serve.
const READY: &str = "planet ready";
/// Lines that it may print before that.
const LINES_MAX: usize = 10_000;
/// How long a planet is left alone before its idle time is measured.
const SETTLE: Duration = Duration::from_secs(5);
/// The distance between the ports of two regions.
const PORTS_EACH: u16 = 10;

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
            let planet = Planet::start(places, regions)?;
            times.push(planet.took.as_secs_f64());
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
    let planet = Planet::start(places, THREE)?;
    let root = planet.process.id();
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

/// A planet that is ready. Dropping it stops it, and removes its data.
#[derive(Debug)]
struct Planet {
    // Dropped in this order: the processes end before their folder goes.
    process: Kept,
    _folder: tempfile::TempDir,
    took: Duration,
}

impl Planet {
    fn start(places: &Places, regions: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(&places.folder)?;
        let count = u16::try_from(regions.split(',').count())?;
        let mut command = Command::new(places.binary()?);
        command.args(["up", "--regions", regions]);
        command.args(["--base-port", &free_ports(count)?.to_string()]);
        command.arg("--data").arg(folder.path().join("planet"));
        let errors = std::fs::File::create(folder.path().join("stderr.txt"))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        let began = Instant::now();
        let mut process = Kept::start(&mut command, Signal::INT)?;
        let stdout = process.stdout().context("its output is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let is_ready = lines.by_ref().take(LINES_MAX).map_while(Result::ok);
        let is_ready = is_ready.into_iter().any(|line| line.contains(READY));
        let took = began.elapsed();
        let said = || std::fs::read_to_string(folder.path().join("stderr.txt")).unwrap_or_default();
        ensure!(is_ready, "the planet did not say `{READY}`: {}", said());
        // It may go on to print, and must not find the pipe full or broken.
        std::thread::spawn(move || lines.count());
        Ok(Self { process, _folder: folder, took })
    }
}

/// Finds a port after which those of all regions are free at the moment.
fn free_ports(regions: u16) -> anyhow::Result<u16> {
    const TRIES_MAX: usize = 100;
    // Below the ports that systems give out to clients.
    let first =
        std::iter::repeat_with(|| fastrand::u16(10_000..30_000)).take(TRIES_MAX).find(|base| {
            let ports =
                (0..regions).flat_map(|it| [0, 1].map(|more| base + PORTS_EACH * it + more));
            ports.into_iter().all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok())
        });
    first.context("no free ports were found")
}
