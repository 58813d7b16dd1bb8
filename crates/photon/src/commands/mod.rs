//! What each command does, a file for each noun.
//! Must not know how arguments are typed: `cli.rs` has made types of them.

mod agent;
mod data;
mod dataset;
mod follow;
mod govern;
mod moves;
mod paths;
mod planet;
mod region;
mod replication;
mod route;
mod send;
mod serve;
mod simulate;
mod task;
mod token;
mod topic;
mod topology;
mod verify;
mod version;

use anyhow::{Context as _, Result};
use photon_edge::v1::types::TaskAck;
use tokio::runtime::{Builder, Runtime};

use crate::cli::{self, Cli, Command, Global};
use crate::client::Client;
use crate::exit::Exit;
use crate::output::{Format, Output};
use crate::up;

/// Does what the command line asks for.
pub(crate) fn run(cli: Cli) -> Result<Exit> {
    let output = Output::new(cli.global.output);
    let global = cli.global;
    match cli.command {
        Command::Serve(options) => {
            if let Some(parent) = options.die_with_parent {
                serve::die_with_parent(parent)?;
            }
            many_threads()?.block_on(serve::run(&options))
        }
        Command::Up(options) => {
            serve::log_to_stderr(None, "warn")?;
            serve::raise_open_files();
            many_threads()?.block_on(up::run(&options, output))
        }
        Command::Agent(command) => {
            many_threads()?.block_on(agent::run(command, &client(global), output))
        }
        Command::Region(command) => {
            one_thread()?.block_on(region::run(command, &client(global), output))
        }
        Command::Send(options) => {
            one_thread()?.block_on(send::run(options, &client(global), output))
        }
        Command::Task(command) => {
            one_thread()?.block_on(task::run(command, &client(global), output))
        }
        Command::Route(command) => {
            one_thread()?.block_on(route::run(command, &client(global), output))
        }
        Command::Planet(cli::Planet::Ca(command)) => planet::run(&command, output),
        Command::Planet(cli::Planet::Show) => {
            one_thread()?.block_on(govern::planet(&client(global), output))
        }
        Command::Planet(cli::Planet::Adopt) => {
            one_thread()?.block_on(govern::adopt(&client(global), output))
        }
        Command::Planet(cli::Planet::Voters(options)) => {
            one_thread()?.block_on(govern::voters(&options, &client(global), output))
        }
        Command::Planet(command) => one_thread()?.block_on(paths::run(command, output)),
        Command::Drill(options) => many_threads()?.block_on(crate::drill::run(&options, output)),
        Command::Topic(command) => {
            one_thread()?.block_on(topic::run(command, &client(global), output))
        }
        Command::Dataset(command) => {
            one_thread()?.block_on(dataset::run(command, &client(global), output))
        }
        Command::Data(command) => {
            one_thread()?.block_on(data::run(command, &client(global), output))
        }
        Command::Replication(command) => {
            one_thread()?.block_on(replication::run(command, &client(global), output))
        }
        Command::State(cli::State::Verify) => {
            one_thread()?.block_on(verify::run_all(&client(global), output))
        }
        Command::Token(command) => token::run(&command, output),
        Command::Simulate(options) => simulate::run(&options, output),
        Command::Version => version::run(output),
        Command::Completions(options) => version::completions(&options, output),
    }
}

fn client(global: Global) -> Client {
    Client::new(global.url, global.token)
}

/// Half of the cores serve clients; the log, the links' peers and the system need the others.
/// More threads than that only hand small requests to and fro.
fn many_threads() -> Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(cores.div_ceil(2)).enable_all();
    builder.build().context("failed to start the threads")
}

fn one_thread() -> Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("failed to start the runtime")
}

/// Returns where something must be durable before it is acknowledged, if that was typed.
fn task_ack(typed: Option<&str>) -> Option<TaskAck> {
    typed.map(|it| match it {
        "quorum" => TaskAck::Quorum,
        _ => TaskAck::Region,
    })
}

/// Prints a value as JSON, or else as the caller shows it to people.
fn show<T: serde::Serialize>(
    output: Output,
    value: &T,
    people: impl FnOnce(&T) -> std::io::Result<()>,
) -> Result<Exit> {
    match output.format {
        Format::Json => output.json(value)?,
        Format::Table => people(value)?,
    }
    Ok(Exit::Ok)
}
