//! Measures Photon on this machine, side by side with real peers where there are any.
//! Must not be a test: it says what it found, and never fails because of a figure.

mod agents;
mod apply;
mod arrivals;
mod converge;
mod data;
mod disk;
mod http;
mod links;
mod live;
mod load;
mod machine;
mod nats;
mod noisy;
mod partition;
mod pickup;
mod planet;
mod postgres;
mod process;
mod records;
mod redis;
mod region;
mod repair;
mod report;
mod routable;
mod search;
mod simulate;
mod talk;
mod tasks;
mod tls;
mod topics;
mod up;
mod versus;
mod worker;

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::report::Report;

/// That of the binary that is measured, so that what is measured in here costs the same.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measure Photon on this machine.
#[derive(Debug, Parser)]
#[command(name = "photon-bench", version, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What holds for every command.
#[derive(Clone, Debug, Args)]
struct Global {
    /// The form of the results
    #[arg(long, global = true, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// The binary to measure [default: `photon` beside this program]
    #[arg(long, global = true, value_name = "FILE")]
    photon: Option<PathBuf>,
    /// Where to keep data while measuring; it is removed afterwards [default: the system's]
    #[arg(long, global = true, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// The form of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table.
    Table,
    /// JSON.
    Json,
}

/// What to measure.
#[derive(Debug, Subcommand)]
enum Command {
    /// Durable tasks side by side with PostgreSQL and NATS: submit, claim and complete
    Tasks(tasks::Options),
    /// How long a submitted task takes to reach a worker that waits for it, at a rate or at a share
    /// of the most that gets through
    Pickup(pickup::Options),
    /// What a tenant feels of another one that floods the same agent
    Noisy(noisy::Options),
    /// What many agents cost that wait for work, and that work: processor time of their region
    Live(live::Options),
    /// A region's memory with many registered agents
    Agents(agents::Options),
    /// How long after it registers an agent would be given work, in its region and in the others
    Routable(routable::Options),
    /// How long it takes to find agents by what one would ask them, among many
    Search(search::Options),
    /// A planet's start, its idle processor time, its memory; the binary's size
    Up(up::Options),
    /// What a link between regions carries, and how long a ping takes while it is full
    Links(links::Options),
    /// Topics side by side with NATS: durable messages, and how long until a follower has them
    Topics(topics::Options),
    /// Records of data side by side with Redis and NATS: durable writes, batches, reads
    Data(data::Options),
    /// A region's memory with many records, and how long it takes to start again
    Records(records::Options),
    /// How long a write takes to be seen in the other regions of a planet
    Converge(converge::Options),
    /// What happens when a region comes back that was cut off for minutes
    Partition(partition::Options),
    /// Ops of data: at their origin, at a receiver, on the wire between
    Apply(apply::Options),
    /// What it takes to find and mend records that a region has lost
    Repair(repair::Options),
    /// The simulator's speed on one core
    Simulate(simulate::Options),
}

/// Where things are.
#[derive(Clone, Debug)]
struct Places {
    /// The binary that is measured.
    photon: PathBuf,
    /// The folder under which data is kept while measuring.
    folder: PathBuf,
}

impl Places {
    fn find(global: &Global) -> anyhow::Result<Self> {
        let beside = || anyhow::Ok(std::env::current_exe()?.with_file_name("photon"));
        let photon = global.photon.clone().map_or_else(beside, Ok)?;
        let folder = global.folder.clone().unwrap_or_else(std::env::temp_dir);
        Ok(Self { photon, folder })
    }

    /// Returns the binary, or says how to make it.
    fn binary(&self) -> anyhow::Result<&PathBuf> {
        let found = self.photon.is_file();
        let hint = || format!("no binary at `{}`: cargo build --release", self.photon.display());
        found.then_some(&self.photon).with_context(hint)
    }
}

/// The clients share one thread, so that they take as little as possible from what is measured.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let places = Places::find(&cli.global)?;
    let report = tokio::select! {
        report = measure(cli.command, &places) => report?,
        // Children are ended and folders removed as the futures are dropped.
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
    };
    match cli.global.output {
        Format::Table => report.write_table(&mut std::io::stdout().lock())?,
        Format::Json => report.write_json(&mut std::io::stdout().lock())?,
    }
    Ok(())
}

async fn measure(command: Command, places: &Places) -> anyhow::Result<Report> {
    match command {
        Command::Tasks(options) => tasks::measure(&options, places).await,
        Command::Pickup(options) => pickup::measure(&options, places).await,
        Command::Noisy(options) => noisy::measure(&options, places).await,
        Command::Live(options) => live::measure(&options, places).await,
        Command::Agents(options) => agents::measure(&options, places).await,
        Command::Routable(options) => routable::measure(&options, places).await,
        Command::Search(options) => search::measure(&options, places).await,
        Command::Up(options) => up::measure(&options, places).await,
        Command::Links(options) => Box::pin(links::measure(&options, places)).await,
        Command::Topics(options) => Box::pin(topics::measure(&options, places)).await,
        Command::Data(options) => data::measure(&options, places).await,
        Command::Records(options) => Box::pin(records::measure(&options, places)).await,
        Command::Converge(options) => converge::measure(&options, places).await,
        Command::Partition(options) => Box::pin(partition::measure(&options, places)).await,
        Command::Apply(options) => apply::measure(&options),
        Command::Repair(options) => repair::measure(&options),
        Command::Simulate(options) => simulate::measure(&options),
    }
}
