//! `photon up`: a planet on one machine, each region a process of its own.
//! Must not look into regions: it knows of them what their front doors tell.

mod certificates;
mod chaos;
mod child;
pub(crate) mod control;
pub(crate) mod folder;
mod plan;
mod planet;
mod probe;
mod report;

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use photon_sim::Harm;
use photon_state::RegionId;
use rustix::process::Signal;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::chaos::Chaos;
pub(crate) use self::child::write_private;
use self::child::{End, Recipe};
use self::control::{Answer, Asked};
use self::folder::Folder;
use self::plan::Plan;
use self::planet::{Fate, Member, Planet};
use self::report::Report;
use crate::cli;
use crate::client::{Client, Endpoint};
use crate::config::Secret;
use crate::door::FaultFile;
use crate::exit::{Exit, RefusedError, UsageError};
use crate::output::Output;
use crate::signals::Signals;
use crate::wan::{Delays, Relay, Wan};

/// Events that wait to be dealt with; at it their senders wait.
const HAPPENINGS_MAX: usize = 256;

/// What may happen to a planet.
#[derive(Debug)]
enum Happening {
    /// The process of a region has ended.
    Ended { region: RegionId, pid: u32, end: End },
    /// A region that was started is ready, or lacks something for too long.
    Probed { region: RegionId, pid: u32, lack: Option<String> },
    /// Somebody wants something.
    Asked(Asked),
    /// The time of a fault is over.
    Over { id: u64 },
    /// Chaos wants something to go wrong.
    Chaos { harm: Harm, lasts: Duration },
}

/// Starts a planet, looks after it, and stops it when asked to.
pub(crate) async fn run(options: &cli::Up, output: Output) -> Result<Exit> {
    let began = Instant::now();
    let mut signals = Signals::listen().context("failed to listen for signals")?;
    let (secret, _) = photon_edge::token::make()?;
    let secret = Secret::new(secret).expect("a token is neither too short nor too long");
    let plan = Plan::make(options, secret)?;
    let delays = delays(&options.wan, &plan)?;
    let folder = Folder::choose(options.data.as_deref())?;
    let _lock = folder.open()?;
    check_ports(&plan)?;
    if options.fresh {
        folder.empty()?; // Only now: a planet that cannot start keeps what it has.
    }

    certificates::make(&folder.certificates(), &plan.planet().to_string(), &plan.order)?;
    certificates::make_card_key(&folder.card_key())?;

    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let (sender, mut happenings) = mpsc::channel(HAPPENINGS_MAX);
    let relay = relay(&plan, delays.as_ref(), &tasks, &stop).await?;
    let via = |it: RegionId| relay.as_ref().map(|relay| relay.via(it)).unwrap_or_default();
    let members = members(&plan, &folder, via)?;
    control::listen(&folder, sender.clone(), &tasks, stop.clone())?;
    let report = Report::new(output);
    let chaos = options.chaos.map(|seed| Chaos::new(seed, &plan.order, sender.clone()));
    let planet = Planet::new(members, sender, (tasks.clone(), stop.clone()), report);
    let mut planet = planet.with_paths(relay.as_ref().map(Relay::paths));

    let looked_after = async {
        planet.start_all()?;
        let exit = become_ready(&mut planet, &mut happenings, &mut signals, report).await?;
        if let Some(exit) = exit {
            return Ok(exit);
        }
        let pids = planet.pids();
        let pids: Vec<_> = plan.order.iter().map(|it| (*it, pids[it])).collect();
        report.ready(&plan, &pids, folder.path(), began.elapsed())?;
        if let Some(chaos) = chaos {
            report.remark(&chaos.to_string());
            tasks.spawn(stop.clone().run_until_cancelled_owned(chaos.rage()));
        }
        look_after(&mut planet, &mut happenings, &mut signals).await?;
        Ok(Exit::Ok)
    };
    // However it went, no region is left running.
    let outcome: Result<Exit> = looked_after.await;
    stop.cancel();
    end(&mut planet, &mut happenings, &mut signals, report).await?;
    tasks.close();
    tasks.wait().await;
    outcome
}

/// Works until every region is ready; returns an exit code if it does not come to that.
async fn become_ready(
    planet: &mut Planet,
    happenings: &mut mpsc::Receiver<Happening>,
    signals: &mut Signals,
    report: Report,
) -> Result<Option<Exit>> {
    while !planet.is_ready() {
        let happening = tokio::select! {
            Some(happening) = happenings.recv() => happening,
            () = signals.next() => return Ok(Some(Exit::Failed)),
        };
        // A region that was ready may end before the others are.
        let fate = handle(planet, happening)?;
        if fate == Fate::Told && planet.lacks_one() {
            report.remark("a region ended before the planet was ready");
        }
        if fate == Fate::NeverReady || planet.lacks_one() {
            return Ok(Some(Exit::Failed));
        }
    }
    Ok(None)
}

/// Works until somebody asks it to stop.
async fn look_after(
    planet: &mut Planet,
    happenings: &mut mpsc::Receiver<Happening>,
    signals: &mut Signals,
) -> Result<()> {
    loop {
        tokio::select! {
            Some(happening) = happenings.recv() => { handle(planet, happening)?; }
            () = signals.next() => return Ok(()),
        }
    }
}

fn handle(planet: &mut Planet, happening: Happening) -> Result<Fate> {
    match happening {
        Happening::Ended { region, pid, end } => planet.ended(region, pid, &end),
        Happening::Probed { region, pid, lack } => planet.probed(region, pid, lack),
        Happening::Asked(asked) => {
            planet.asked(asked);
            Ok(Fate::Told)
        }
        Happening::Over { id } => {
            planet.over(id);
            Ok(Fate::Told)
        }
        Happening::Chaos { harm, lasts } => {
            planet.harm(&harm, Some(lasts), None);
            Ok(Fate::Told)
        }
    }
}

/// Stops every region, in good order unless the user is in a hurry.
async fn end(
    planet: &mut Planet,
    happenings: &mut mpsc::Receiver<Happening>,
    signals: &mut Signals,
    report: Report,
) -> Result<()> {
    if planet.is_down() {
        return Ok(());
    }
    let began = Instant::now();
    report.remark("stopping the planet; Ctrl-C kills it");
    planet.heal_all();
    planet.end_all(Signal::TERM);
    while !planet.is_down() {
        let happening = tokio::select! {
            Some(happening) = happenings.recv() => happening,
            () = signals.next() => {
                planet.end_all(Signal::KILL);
                continue;
            }
        };
        if matches!(happening, Happening::Over { .. } | Happening::Chaos { .. }) {
            continue; // Nothing begins any more, and all has been healed.
        }
        if let Happening::Asked(asked) = happening {
            // Who has hung up needs no answer.
            let _ = asked.answer.send(Answer::Refused("the planet is stopping".to_owned()));
            continue;
        }
        handle(planet, happening)?;
    }
    report.remark(&format!("planet stopped in {:.2} s", began.elapsed().as_secs_f64()));
    Ok(())
}

/// Finds out how long links take, if they are to be delayed at all.
fn delays(wan: &Wan, plan: &Plan) -> Result<Option<Delays>> {
    match wan {
        Wan::Off => Ok(None),
        Wan::Distance => Ok(Some(Delays::from_distances(&plan.places()))),
        Wan::File(path) => {
            let shown = path.display().to_string();
            let text = fs::read_to_string(path).map_err(|error| {
                let fix = "say `on`, `off`, or name a file of round trips";
                UsageError(format!("--wan names `{shown}`, which cannot be read ({error}); {fix}"))
            })?;
            Ok(Some(Delays::parse(&shown, &text, &plan.order)?))
        }
    }
}

/// Refuses ports that somebody else listens on, before anything is started.
fn check_ports(plan: &Plan) -> Result<()> {
    for region in &plan.order {
        let site = plan.site_of(*region);
        for (what, address) in [("its api", site.api), ("its links", site.link)] {
            if let Err(error) = TcpListener::bind(address) {
                let text = format!(
                    "`{region}` cannot listen on {address} for {what}: {error}; stop what uses \
                     the port, or choose others with --base-port"
                );
                return Err(RefusedError(text).into());
            }
        }
    }
    Ok(())
}

/// Starts the relay, if links are to be delayed.
async fn relay(
    plan: &Plan,
    delays: Option<&Delays>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<Option<Relay>> {
    let Some(delays) = delays else { return Ok(None) };
    Ok(Some(Relay::start(plan.routes(delays), tasks, stop).await?))
}

/// Says how each region is started.
fn members(
    plan: &Plan,
    folder: &Folder,
    via: impl Fn(RegionId) -> BTreeMap<RegionId, SocketAddr>,
) -> Result<BTreeMap<RegionId, Member>> {
    let mut members = BTreeMap::new();
    for region in &plan.order {
        let config = plan.config_of(*region, folder, via(*region));
        let endpoint: Endpoint = format!("http://{}", plan.site_of(*region).api).parse()?;
        let recipe = Recipe {
            region: *region,
            folder: folder.region(*region),
            config,
            faults: FaultFile::default(),
        };
        members.insert(*region, Member::new(recipe, Client::new(endpoint, None)));
    }
    Ok(members)
}
