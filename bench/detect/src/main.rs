//! Measures how soon the loss of a region is noticed, and what is noticed wrongly, on an imagined
//! net over real distances. Must not measure processes: every time in it is imagined.

mod matrix;
mod measure;
mod net;
mod phi;
mod photon;
mod plot;
mod queue;
mod report;
mod spells;
mod swim;
mod view;

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, ValueEnum};

use matrix::Matrix;
use measure::{Detection, Quiet};
use net::Noise;
use report::{Report, Row};

/// Measures how soon detectors notice that a region is lost, and what they believe wrongly.
#[derive(Debug, Parser)]
struct Args {
    /// Round trips between regions: lines of `region,region,milliseconds,..` below headings.
    #[arg(long)]
    rtt: PathBuf,
    /// How often a region is lost.
    #[arg(long, default_value_t = 260)]
    losses: u64,
    /// Hours without a loss.
    #[arg(long, default_value_t = 24)]
    hours: u64,
    /// Where randomness begins.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The longest pause of a process, in milliseconds.
    #[arg(long, default_value_t = 2_000.0)]
    pause_max_ms: f64,
    /// Pauses of each process per hour.
    #[arg(long, default_value_t = 60.0)]
    pauses_per_hour: f64,
    /// Which detectors are measured; all if none is named.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Which>,
    /// Simulations at the same time.
    #[arg(long, default_value_t = 2)]
    threads: u64,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Where the plot is written.
    #[arg(long)]
    plot: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Which {
    /// Photon, three nodes a region.
    Photon3,
    /// Photon, one node a region.
    Photon1,
    /// `foca` with its defaults for LANs.
    FocaLan,
    /// `foca` with its defaults for WANs.
    FocaWan,
    /// `chitchat` with its defaults.
    Chitchat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Tables in Markdown.
    Table,
    /// One JSON object.
    Json,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let text = std::fs::read_to_string(&args.rtt);
    let text = text.with_context(|| format!("failed to read `{}`", args.rtt.display()))?;
    let trips = matrix::parse(&text).context("failed to read round trips")?;
    let noise = Noise {
        stall_max_ms: args.pause_max_ms,
        stalls_per_hour: args.pauses_per_hour,
        ..Noise::default()
    };
    let mut report = Report { seed: args.seed, noise, rows: Vec::new() };
    for which in Which::value_variants() {
        if args.only.is_empty() || args.only.contains(which) {
            report.rows.extend(measure(&args, &trips, noise, *which)?);
        }
    }
    if let Some(path) = &args.plot {
        let written = std::fs::write(path, plot::svg(&report.rows));
        written.with_context(|| format!("failed to write `{}`", path.display()))?;
    }
    let text = match args.output {
        Output::Table => report.table(),
        Output::Json => serde_json::to_string_pretty(&report.json())?,
    };
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(())
}

/// Measures one detector, which may have two verdicts, and so two rows.
fn measure(args: &Args, trips: &Matrix, noise: Noise, which: Which) -> anyhow::Result<Vec<Row>> {
    let seed = |number: u64| args.seed * 1_000_000 + number;
    let photon = |nodes: usize| {
        let lose = |number| photon::lose(trips, nodes, noise, seed(number));
        let (routed, down) =
            spread(args, args.losses, &lose).into_iter().unzip::<_, _, Vec<_>, Vec<_>>();
        let hour = |number| photon::hour(trips, nodes, noise, seed(number));
        let quiet = sum(spread(args, args.hours, &hour));
        let name = format!("Photon, {nodes} node{} a region", if nodes == 1 { "" } else { "s" });
        let routes = Row::new(&format!("{name}: routes away"), merge(routed), None);
        vec![routes, Row::new(&format!("{name}: down"), merge(down), Some(quiet))]
    };
    let swim = |name: &str, defaults| {
        let lose = |number| swim::lose(trips, noise, seed(number), defaults);
        let detection = merge(spread(args, args.losses, &lose));
        let hour = |number| swim::hour(trips, noise, seed(number), defaults);
        vec![Row::new(name, detection, Some(sum(spread(args, args.hours, &hour))))]
    };
    Ok(match which {
        Which::Photon3 => photon(3),
        Which::Photon1 => photon(1),
        Which::FocaLan => swim("foca 2, LAN defaults", swim::Defaults::Lan),
        Which::FocaWan => swim("foca 2, WAN defaults", swim::Defaults::Wan),
        Which::Chitchat => {
            let share = args.losses.div_ceil(args.threads);
            let lose = |number| phi::lose(trips, noise, seed(number * share), share);
            let detections = spread(args, args.threads, &lose);
            let detections = detections.into_iter().collect::<anyhow::Result<_>>()?;
            let hours = spread(args, args.hours, &|number| phi::hour(trips, noise, seed(number)));
            let quiet = sum(hours.into_iter().collect::<anyhow::Result<_>>()?);
            vec![Row::new("chitchat 0.13, defaults", merge(detections), Some(quiet))]
        }
    })
}

/// Runs simulations side by side, and returns what they say in their order.
fn spread<T: Send>(args: &Args, count: u64, run: &(impl Fn(u64) -> T + Sync)) -> Vec<T> {
    let step = usize::try_from(args.threads.max(1)).expect("few threads");
    let mut all: Vec<_> = std::thread::scope(|scope| {
        let numbers = (0..args.threads.max(1)).map(|first| (first..count).step_by(step));
        let threads =
            numbers.map(|it| scope.spawn(move || it.map(|n| (n, run(n))).collect::<Vec<_>>()));
        let threads: Vec<_> = threads.collect();
        threads.into_iter().flat_map(|it| it.join().expect("a simulation does not panic")).collect()
    });
    all.sort_by_key(|it| it.0);
    all.into_iter().map(|it| it.1).collect()
}

fn merge(detections: Vec<Detection>) -> Detection {
    let mut all = Detection::default();
    detections.into_iter().for_each(|it| all.merge(it));
    all
}

fn sum(hours: Vec<Quiet>) -> Quiet {
    let mut all = Quiet::default();
    hours.iter().for_each(|it| all.merge(it));
    all
}
