//! `photon agent`: the registry, and programs as agents.
//! Must not know how a program is run: that is the worker's.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context as _, Result};
use photon_edge::v1::types::{Agent, AgentPut, AgentStatus};
use tokio_util::task::TaskTracker;

use super::show;
use crate::cli::{self, AgentRun};
use crate::client::{AgentQuery, Client};
use crate::exit::{Exit, NotFoundError};
use crate::output::{Cell, Format, Output, Table, Tone};
use crate::signals::Signals;
use crate::worker::{Chatter, Job, Stop, Worker};

pub(super) async fn run(command: cli::Agent, client: &Client, output: Output) -> Result<Exit> {
    match command {
        cli::Agent::Run(options) => work(options, client, output).await,
        cli::Agent::Ls { skill, region } => {
            let agents = client.agents(&AgentQuery { skill, region }).await?;
            show(output, &agents, |it| output.table(&table(it)))
        }
        cli::Agent::Get { name } => {
            let agent = client.agent(&name).await?;
            show(output, &agent, |it| {
                output.table(&table(std::slice::from_ref(it)))?;
                output.json(&it.card)
            })
        }
        cli::Agent::Rm { name } => {
            client.deregister(&name).await?;
            match output.format {
                Format::Json => output.json(&serde_json::json!({ "removed": name }))?,
                Format::Table => output.line(&format!("{name} is removed"))?,
            }
            Ok(Exit::Ok)
        }
    }
}

async fn work(options: AgentRun, client: &Client, output: Output) -> Result<Exit> {
    find_program(&options.program[0])?;
    let mut signals = Signals::listen().context("failed to listen for signals")?;
    let client = match options.region {
        Some(region) => client.region(region).await?,
        None => client.clone(),
    };
    let agent = AgentPut {
        skills: options.skills,
        capacity: options.concurrency,
        cost: options.cost,
        card: None,
        description: options.description,
        placement: options.placement.map(|it| it.to_string()),
    };
    let job = Job { program: options.program, timeout: options.timeout };
    let chatter = if options.quiet { Chatter::Quiet } else { Chatter::Tasks };
    let worker = Worker { client, name: options.name, agent, job, output, chatter };
    let (stop, tasks) = (Stop::default(), TaskTracker::new());
    let asked = stop.clone();
    tasks.spawn(async move {
        let listen = async {
            signals.next().await;
            asked.drain.cancel();
            signals.next().await;
        };
        // The second wish to end, unless the worker has ended by then.
        asked.kill.run_until_cancelled(listen).await;
        asked.kill.cancel();
    });
    let worked = worker.run(stop.clone()).await;
    stop.kill.cancel();
    tasks.close();
    tasks.wait().await;
    worked?;
    Ok(Exit::Ok)
}

/// Refuses a program that is not there before any task is taken for it.
fn find_program(program: &OsStr) -> Result<(), NotFoundError> {
    let is_path = Path::new(program).components().nth(1).is_some();
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let is_there = match is_path {
        true => Path::new(program).is_file(),
        false => std::env::split_paths(&folders).any(|it| it.join(program).is_file()),
    };
    if is_there {
        return Ok(());
    }
    let shown = program.display();
    let fix = if is_path { "give the path of a program" } else { "it is in no folder of PATH" };
    Err(NotFoundError(format!("there is no program `{shown}`: {fix}")))
}

fn table(agents: &[Agent]) -> Table {
    let mut table = Table::new(&["AGENT", "REGION", "STATUS", ">BUSY", "SKILLS", "PLACEMENT"]);
    for agent in agents {
        let status = match agent.status {
            AgentStatus::Online => Cell::toned(Tone::Good, "online"),
            AgentStatus::Offline => Cell::toned(Tone::Bad, "offline"),
        };
        table.row([
            Cell::toned(Tone::Strong, &agent.name),
            agent.region.as_str().into(),
            status,
            format!("{}/{}", agent.in_use, agent.capacity).into(),
            agent.skills.join(", ").into(),
            agent.placement.as_str().into(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_looked_for_where_a_shell_would() {
        let check = |program: &str, expected| {
            assert_eq!(find_program(OsStr::new(program)).is_ok(), expected, "{program}");
        };
        check("sh", true);
        check("/bin/sh", true);
        check("no-such-program-anywhere", false);
        check("./no-such-program", false);
    }
}
