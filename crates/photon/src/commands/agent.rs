//! `photon agent`: the registry, and programs and A2A servers as agents.
//! Must not know how work is done: that is the worker's.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use photon_edge::v1::types::{Agent, AgentPut, AgentStatus};
use photon_state::RegionId;
use tokio_util::task::TaskTracker;

use super::show;
use crate::cli::{self, AcpPermissions, AgentImport, AgentRun};
use crate::client::{AgentQuery, Client};
use crate::exit::{Exit, NotFoundError, RefusedError, UnreachableError, UsageError};
use crate::output::{Cell, Format, Output, Table, Tone, printable};
use crate::signals::Signals;
use crate::worker::acp::{AcpJob, AcpOptions, Introduction, Launch, Permissions};
use crate::worker::remote::{
    self, Grade, ImportError, Outcome, Peer, PeerError, RemoteJob, Report,
};
use crate::worker::{Chatter, Job, ProgramJob, Stop, Worker};

pub(super) async fn run(command: cli::Agent, client: &Client, output: Output) -> Result<Exit> {
    match command {
        cli::Agent::Run(options) => run_program(options, client, output).await,
        cli::Agent::Import(options) => import(options, client, output).await,
        cli::Agent::Probe { asked, work } => {
            let peer = find(&asked).await?;
            let report = remote::probe(&peer, work.as_deref()).await;
            show(output, &report, |it| show_report(output, it))?;
            Ok(if report.grade == Grade::F { Exit::Refused } else { Exit::Ok })
        }
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

async fn run_program(options: AgentRun, client: &Client, output: Output) -> Result<Exit> {
    find_program(&options.program[0])?;
    let client = attached(client, options.region).await?;
    let (job, said) = if options.acp {
        Box::pin(start_acp(&options, output)).await?
    } else {
        let AgentRun { program, timeout, .. } = options.clone();
        (Job::Program(ProgramJob { program, timeout }), None)
    };
    let name = match (options.name, &said) {
        (Some(name), _) => name,
        (None, None) => {
            let nameless = "the program does not say what it is called: give a name with --name";
            return Err(UsageError(nameless.to_owned()).into());
        }
        (None, Some(Introduction { name, .. })) => remote::name_of(name).map_err(|_| {
            let name = printable(name);
            let odd = format!("the program's name `{name}` makes no agent's: give one with --name");
            UsageError(odd)
        })?,
    };
    let agent = AgentPut {
        skills: options.skills,
        capacity: options.concurrency,
        cost: options.cost,
        card: None,
        description: options.description.or(said.map(|it| it.title)),
        placement: options.placement.map(|it| it.to_string()),
    };
    let chatter = if options.quiet { Chatter::Quiet } else { Chatter::Tasks };
    work(Worker { client, name, agent, job, output, chatter }).await
}

/// Starts a program that speaks the Agent Client Protocol, before anybody counts on it.
async fn start_acp(options: &AgentRun, output: Output) -> Result<(Job, Option<Introduction>)> {
    let cwd = options.cwd.as_deref().unwrap_or(Path::new("."));
    let shown = cwd.display();
    let cwd = cwd.canonicalize().ok().filter(|it| it.is_dir());
    let cwd = cwd.ok_or_else(|| NotFoundError(format!("there is no folder `{shown}`")))?;
    // The protocol is JSON.
    let cwd = cwd.into_os_string().into_string();
    let cwd = cwd.map_err(|_| UsageError(format!("the folder `{shown}` has no name in UTF-8")))?;
    let permissions = match options.acp_permissions {
        AcpPermissions::Reject => Permissions::Reject,
        AcpPermissions::Allow => Permissions::Allow,
        AcpPermissions::Ask => Permissions::Ask,
    };
    let started = AcpJob::start(AcpOptions {
        launch: Launch { program: options.program.clone(), cwd },
        timeout: options.timeout,
        permissions,
        concurrency: options.concurrency,
    });
    // The program has a group of its own, so that what ends us does not end it by itself.
    let mut signals = Signals::listen().context("failed to listen for signals")?;
    let started = tokio::select! {
        started = started => started,
        () = signals.next() => bail!("it was stopped before the program was there"),
    };
    let (job, said) = started.map_err(|error| {
        let text = format!("`{}` is no agent: {error}", options.program[0].display());
        RefusedError(text.lines().map(printable).collect::<Vec<_>>().join("\n"))
    })?;
    let title = said.as_ref().map_or("a program without a name", |it| it.title.as_str());
    output.remark_as(Tone::Good, "found", &printable(title));
    Ok((Job::Acp(job), said))
}

async fn import(options: AgentImport, client: &Client, output: Output) -> Result<Exit> {
    let peer = find(&options.asked).await?;
    let report = remote::probe(&peer, None).await;
    let odd = report.checks.iter().filter(|it| it.outcome != Outcome::Passed);
    let odd: Vec<_> = odd.map(|it| format!("{} ({})", it.name, it.found)).collect();
    let (binding, grade) = (&report.binding, report.grade);
    let text = match odd.is_empty() {
        true => format!("{} over {binding}, grade {grade}", report.url),
        false => format!("{} over {binding}, grade {grade}: {}", report.url, odd.join("; ")),
    };
    if grade == Grade::F {
        return Err(RefusedError(format!("the agent cannot be given tasks: {text}")).into());
    }
    output.remark_as(Tone::Good, "found", &printable(&text));
    let usage = |error: ImportError| UsageError(error.to_string());
    let name = match options.name {
        Some(name) => name,
        None => remote::name_of(&report.name).map_err(usage)?,
    };
    let announced = remote::announced(&peer.json, options.skills).map_err(usage)?;
    let placement = options.placement.map(|it| it.to_string());
    let (capacity, cost) = (options.concurrency, options.cost);
    let agent = AgentPut { capacity, cost, placement, ..announced };
    let job = Job::Remote(RemoteJob { peer: Arc::new(peer) });
    let chatter = if options.quiet { Chatter::Quiet } else { Chatter::Tasks };
    let client = attached(client, options.region).await?;
    work(Worker { client, name, agent, job, output, chatter }).await
}

/// Finds the A2A server that is to be asked.
async fn find(asked: &cli::Asked) -> Result<Peer> {
    let headers = asked.headers.iter().map(|it| (it.name.clone(), it.value.clone())).collect();
    let found = Peer::find(&asked.server, headers, &asked.trusted).await;
    found.map_err(|error| match error {
        PeerError::Unreachable { .. } => UnreachableError(error.to_string()).into(),
        PeerError::NoCard { .. } => NotFoundError(error.to_string()).into(),
        PeerError::NotCard { .. }
        | PeerError::OtherOrigin { .. }
        | PeerError::NoCommonInterface { .. }
        | PeerError::Scheme(_) => RefusedError(error.to_string()).into(),
    })
}

fn show_report(output: Output, report: &Report) -> std::io::Result<()> {
    let mut table = Table::new(&["CHECK", "", ">MS", "FOUND", "WANTED"]);
    for check in &report.checks {
        let outcome = match check.outcome {
            Outcome::Passed => Cell::toned(Tone::Good, "passed"),
            Outcome::Odd => Cell::toned(Tone::Odd, "odd"),
            Outcome::Failed => Cell::toned(Tone::Bad, "failed"),
        };
        let (name, found) = (check.name, printable(&check.found));
        let ms = check.ms.to_string();
        table.row([name.into(), outcome, ms.into(), found.into(), check.wanted.as_str().into()]);
    }
    output.table(&table)?;
    let (name, version) = (&report.name, &report.version);
    let (binding, url, grade) = (&report.binding, &report.url, report.grade);
    output.line(&printable(&format!("{name} {version}, {binding} at {url}: grade {grade}")))
}

/// Returns a client of the region that an agent is to be attached to.
async fn attached(client: &Client, region: Option<RegionId>) -> Result<Client> {
    match region {
        Some(region) => client.region(region).await,
        None => Ok(client.clone()),
    }
}

/// Works until told to stop: at first in good order, then at once.
async fn work(worker: Worker) -> Result<Exit> {
    let mut signals = Signals::listen().context("failed to listen for signals")?;
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
            AgentStatus::Suspect => Cell::toned(Tone::Odd, "suspect"),
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
