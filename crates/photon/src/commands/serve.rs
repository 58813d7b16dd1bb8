//! `photon serve`: one region, as production runs it.
//! Must not decide anything: it wires the node to its front door.

use std::path::Path;

use anyhow::{Context as _, Result};
use photon_edge::{Front, FrontConfig};
use photon_node::{Faults, Node};
use photon_state::RegionId;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};
use tracing_subscriber::EnvFilter;

use crate::cli::Serve;
use crate::config::Config;
use crate::door::Door;
use crate::exit::{Exit, NotFoundError};
use crate::nearest::nearest;
use crate::output::{Colour, Format, Output};
use crate::signals::Signals;
use crate::wiring;

pub(super) async fn run(options: &Serve) -> Result<Exit> {
    log_to_stderr(options.log.as_deref(), "info")?;
    raise_open_files();
    let mut signals = Signals::listen().context("failed to listen for signals")?;
    let region = options.region;
    let config = Config::load(&options.config)?;
    check_region(&config, region, &options.config)?;
    let data = config.data_folder(region)?;
    let card_key = wiring::card_key(&config)?;

    let address = config.regions[&region].api;
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!(
            "failed to listen for clients on `{address}` (key `regions.{region}.api`); stop what \
             uses the address, or choose another one"
        )
    })?;
    let stop_node = CancellationToken::new();
    let planet = wiring::planet(&config, region);
    let faults = faults(options.faults.as_deref())?;
    let config_of_node = wiring::node(&config, region, data);
    let start = Node::start_in_drill(config_of_node, stop_node.clone(), faults);
    let node = tokio::select! {
        node = Box::pin(start) => node?,
        never = photon_edge::say_starting(&listener, region, &planet.version) => match never {},
    };
    let front = Front::new(FrontConfig {
        handle: node.handle(),
        planet,
        tokens: config.tokens.clone(),
        limits: wiring::front_limits(&config),
        push_targets: config.push_targets,
        ard: wiring::ard(&config),
        card_key,
    });
    let link = node.link_addr();
    info!(%region, api = %format_args!("http://{address}"), %link, "region is ready");

    let stop_front = CancellationToken::new();
    let serving = async {
        photon_edge::serve(front, listener, stop_front.clone()).await;
        // Only when nobody asks any more may the node end: what was accepted is answered.
        stop_node.cancel();
    };
    let running = async {
        let ran = node.wait().await;
        stop_front.cancel();
        ran
    };
    let asked = async {
        signals.next().await;
        info!(%region, "region is stopping");
        stop_front.cancel();
        // The second time it is urgent.
        signals.next().await;
        error!(%region, "region ends before all is done: it was asked to twice");
    };
    tokio::select! {
        ((), ran) = async { tokio::join!(serving, running) } => {
            ran?;
            info!(%region, "region has stopped");
            Ok(Exit::Ok)
        }
        () = asked => Ok(Exit::Failed),
    }
}

/// Returns what the node suffers from: nothing, unless `photon up` may change that.
fn faults(file: Option<&Path>) -> Result<&'static Faults> {
    static FAULTS: Faults = Faults::new();
    if let Some(file) = file {
        let watched = Door::new(file.to_owned()).watch(&FAULTS);
        watched.context("failed to start the thread that watches the faults of a drill")?;
    }
    Ok(&FAULTS)
}

fn check_region(config: &Config, region: RegionId, path: &Path) -> Result<(), NotFoundError> {
    if config.regions.contains_key(&region) {
        return Ok(());
    }
    let names = || config.regions.keys().map(RegionId::as_str);
    let hint = match nearest(region.as_str(), names()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("it has: {}", names().collect::<Vec<_>>().join(", ")),
    };
    Err(NotFoundError(format!("`{}` has no region `{region}`; {hint}", path.display())))
}

/// Ends this process when its parent ends, even if that is killed.
#[cfg(target_os = "linux")]
pub(super) fn die_with_parent(parent: u32) -> Result<()> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::KILL)).context("failed to bind to the parent")?;
    // The parent may have ended before the kernel was told.
    let found = getppid().and_then(|it| u32::try_from(it.as_raw_nonzero().get()).ok());
    anyhow::ensure!(found == Some(parent), "process {parent}, the parent, has ended");
    Ok(())
}

/// Elsewhere a region outlives a parent that is killed.
#[cfg(not(target_os = "linux"))]
pub(super) fn die_with_parent(_parent: u32) -> Result<()> {
    Ok(())
}

/// Begins to log to standard error: what the user chose, else `RUST_LOG`, else the default.
pub(super) fn log_to_stderr(filter: Option<&str>, default: &str) -> Result<()> {
    let from_env = std::env::var("RUST_LOG").ok().filter(|it| !it.is_empty());
    let filter = filter.map(str::to_owned).or(from_env).unwrap_or_else(|| default.to_owned());
    // The library for MCP tells of each request, and warns of what clients get wrong.
    let quiet = if filter.contains("rmcp") { "" } else { "rmcp=error," };
    let filter = EnvFilter::try_new(format!("{quiet}{filter}"))
        .with_context(|| format!("`{filter}` is no filter for logs: try `info`"))?;
    let colour = Output::new(Format::Table).remark_colour;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour == Colour::On)
        .init();
    Ok(())
}

/// Lets the process open as many files as the operating system allows.
pub(super) fn raise_open_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // What cannot be raised still is what it was.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
