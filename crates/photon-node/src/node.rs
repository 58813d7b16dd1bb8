//! A region that runs: opens its log, starts its machine, its links and its driver.
//! Must not read a configuration file, nor serve clients.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use photon_region::data::DatasetSpec;
use photon_region::{Config, Limits, Logged, Place, Region, Topology, Weights, WentBack};
use photon_state::{PlacementId, RegionId};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, info, info_span, warn};

use crate::driver::{Clock, Driver, Inlets};
use crate::faults::{Faults, NO_FAULTS};
use crate::handle::{Handle, Shared};
use crate::links::{LinkOptions, LinkTable, Links, Squeezing, TlsError, TlsFiles};
use crate::log::{Folder, FolderOptions, LogError, ReadLog, Recovered, mark_halted};
use crate::pagefile::Pagefile;
use crate::window::Window;

/// Commands that wait for the driver; more are refused.
const COMMANDS_MAX: usize = 8_192;
/// News of links that wait for the driver; at it their readers wait.
const LINK_EVENTS_MAX: usize = 1_024;
/// Messages in bulk that wait for the driver; at it their readers wait.
const BULK_EVENTS_MAX: usize = 256;
/// News of the log that wait for the driver; at it the log waits.
const LOG_EVENTS_MAX: usize = 64;
/// The smallest segment; a smaller one is raised to it.
const SEGMENT_BYTES_MIN: u64 = 64 << 10;

/// A secret that all regions of a planet share. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a secret.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a node must be told.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Its data folder, made at the first start.
    pub data: PathBuf,
    /// The name of the planet; regions of another one are refused.
    pub planet: String,
    /// Which region this is.
    pub region: RegionId,
    /// All regions of the planet, this one too, with their places.
    pub regions: BTreeMap<RegionId, Place>,
    /// The regions that vote when the planet is founded; if there is none, they are chosen.
    pub voters: BTreeSet<RegionId>,
    /// The regions of each placement; `global` is always all of them.
    pub placements: BTreeMap<PlacementId, BTreeSet<RegionId>>,
    /// The datasets that the configuration declares.
    pub datasets: Vec<DatasetSpec>,
    /// The shape in which regions pass ops on to each other.
    pub topology: Topology,
    /// What counts how much when an agent is chosen for a task.
    pub weights: Weights,
    /// The bounds of what this region takes on.
    pub limits: Limits,
    /// The size of the log's segments: one or two of them are reserved on disk at any time.
    pub segment_bytes: u64,
    /// How to reach the other regions.
    pub links: LinkConfig,
}

/// How a node reaches the other regions. Of two regions, the one with the lesser name dials.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// Where to listen for regions with lesser names; port 0 takes any.
    pub listen: SocketAddr,
    /// Where regions with greater names listen; others are passed over.
    pub dial: BTreeMap<RegionId, SocketAddr>,
    /// Proves that a peer belongs to the planet; without it anybody may say so.
    pub secret: Option<Secret>,
    /// The certificates by which regions recognize each other; without them, no link is encrypted.
    pub tls: Option<TlsFiles>,
    /// How fast it may send.
    pub rates: LinkRates,
}

/// How fast a region may send to each peer; what exceeds it waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkRates {
    /// All classes together.
    pub bytes_per_second_max: Option<u64>,
    /// Ops that a peer lacks because it was away.
    pub bulk_bytes_per_second_max: Option<u64>,
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address for links cannot be had.
    #[error(
        "failed to listen for the other regions on `{address}` (key `links.listen`); stop what \
         uses the address, or choose another one"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// A region cannot be reached.
    #[error(
        "no address is known for the links to region `{region}`; `{own}` dials it, because its own \
         name is the lesser one: add it to the addresses of the links"
    )]
    NoAddress {
        /// The region.
        region: RegionId,
        /// This region.
        own: RegionId,
    },
    /// The certificates of the links cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The data folder or its log cannot be used.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log's threads cannot be started.
    #[error("failed to start a thread for the log; raise the limit of processes of this user")]
    Thread(#[source] io::Error),
}

/// Why a node ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The log can go on no more.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The disk did not take the last writes in time.
    #[error(
        "the disk did not take the last {ops} ops within {} s; nobody was told that they are \
         durable",
        after.as_secs()
    )]
    Flush {
        /// How many ops are missing.
        ops: u64,
        /// How long it was waited for.
        after: Duration,
    },
    /// The log has lost what it had made durable.
    #[error(
        "{0}: the disk has lost what it had made durable, or an older copy of the data folder was \
         put back; move the folder away and start again: the other regions give back what they \
         have. Submit the tasks of this home anew that had not ended"
    )]
    WentBack(WentBack),
    /// The driver has died.
    #[error("the driver of the region has died; its panic was printed before this")]
    Died,
}

/// A region that runs.
#[derive(Debug)]
pub struct Node {
    handle: Handle,
    link_addr: SocketAddr,
    recovered: Recovered,
    driver: JoinHandle<Result<(), RunError>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Node {
    /// Opens the data folder, replays its log, and starts to live until `stop` is cancelled.
    pub async fn start(config: NodeConfig, stop: CancellationToken) -> Result<Self, StartError> {
        Self::start_in_drill(config, stop, &NO_FAULTS).await
    }

    /// Starts a node that suffers from `faults` whenever they are in force.
    pub async fn start_in_drill(
        config: NodeConfig,
        stop: CancellationToken,
        faults: &'static Faults,
    ) -> Result<Self, StartError> {
        check_addresses(&config)?;
        let address = config.links.listen;
        let listen = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let link_addr = listener.local_addr().map_err(listen)?;

        let NodeConfig { planet, region: own, data, links, .. } = config.clone();
        let peers: BTreeSet<_> = config.regions.keys().copied().filter(|it| *it != own).collect();
        let shared = Arc::<Shared>::default();
        shared.links.peers.set(peers.iter().copied());
        let LinkConfig { dial, secret, tls, rates, .. } = links;
        let options = LinkOptions { planet, region: own, peers, secret, tls };
        let greeter = options.greeter(&shared.links)?;
        let opened = {
            let shared = Arc::clone(&shared);
            tokio::task::spawn_blocking(move || open(config, &shared, faults)).await
        };
        let (mut region, log, recovered) = opened.map_err(|_| LogError::Died)??;

        let clock = Clock::start(faults);
        region.start(clock.now());
        let (commands, commands_rx) = mpsc::channel(COMMANDS_MAX);
        let (link_events, link_events_rx) = mpsc::channel(LINK_EVENTS_MAX);
        let (bulk, bulk_rx) = mpsc::channel(BULK_EVENTS_MAX);
        let (log_events, log_events_rx) = mpsc::channel(LOG_EVENTS_MAX);
        let log = log.run(log_events).map_err(StartError::Thread)?;
        let table = LinkTable::new(Arc::clone(&shared.links));
        let window = Arc::new(Window::new(region, clock));
        let driver = Driver::new(Arc::clone(&window), clock, log, table, Arc::clone(&shared));
        let (links, log) = (link_events_rx, log_events_rx);
        let inlets = Inlets { commands: commands_rx, links, bulk: bulk_rx, log };

        let (tasks, stop) = (TaskTracker::new(), stop.child_token());
        let run = run(driver, inlets, data, stop.clone());
        let run = run.instrument(info_span!("node", region = %own));
        let driver = tasks.spawn(Box::pin(run));
        let dial = dial.into_iter().filter(|(peer, _)| own < *peer);
        let (counters, links_tasks) = (Arc::clone(&shared.links), tasks.clone());
        let squeezing = Squeezing::WhereItPays;
        Links {
            events: link_events,
            bulk,
            tasks: links_tasks,
            stop: stop.clone(),
            counters,
            rates,
            squeezing,
        }
        .start(greeter, listener, dial);
        let handle = Handle { commands, shared, window: Some(window) };
        Ok(Self { handle, link_addr, recovered, driver, tasks, stop })
    }

    /// Returns a handle to talk to the region.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Returns where the node listens for other regions.
    #[must_use]
    pub fn link_addr(&self) -> SocketAddr {
        self.link_addr
    }

    /// Returns what the start found in the log.
    #[must_use]
    pub fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// Waits until the node was stopped and all that it accepted is durable and told, or it failed.
    pub async fn wait(self) -> Result<(), RunError> {
        let ended = self.driver.await;
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        ended.unwrap_or(Err(RunError::Died))
    }
}

/// Runs the driver, and remembers on disk if the region may not start from there again.
async fn run(
    driver: Driver,
    inlets: Inlets,
    data: PathBuf,
    stop: CancellationToken,
) -> Result<(), RunError> {
    let ended = driver.run(inlets, stop).await;
    if let Err(RunError::WentBack(why)) = &ended {
        mark_halted(&data, &why.to_string())?;
    }
    ended
}

/// Checks that every region that this one dials has an address.
fn check_addresses(config: &NodeConfig) -> Result<(), StartError> {
    let own = config.region;
    let dialed = config.regions.keys().filter(|it| own < **it);
    match dialed.into_iter().find(|it| !config.links.dial.contains_key(it)) {
        Some(region) => Err(StartError::NoAddress { region: *region, own }),
        None => Ok(()),
    }
}

/// Opens the data folder and brings a machine to where the log ends.
fn open(
    config: NodeConfig,
    shared: &Shared,
    faults: &'static Faults,
) -> Result<(Region, ReadLog, Recovered), LogError> {
    let start = Instant::now();
    let options = FolderOptions {
        path: config.data,
        planet: config.planet,
        region: config.region,
        segment_bytes: config.segment_bytes.max(SEGMENT_BYTES_MIN),
    };
    let folder = Folder::open_in_drill(&options, faults)?;
    if config.limits.is_memory_scarce() {
        let (memory_max, bytes_max) = (config.limits.data_memory_max, config.limits.data_bytes_max);
        warn!(
            memory_max,
            bytes_max,
            "`data.memory_max` is less than a 32nd of `data.bytes_max`: writes may be refused long \
             before there are so many records; raise the one or lower the other"
        );
    }
    let pages = Pagefile::create(&options.path, options.segment_bytes)?;
    let mut region = Region::new(Config {
        region: config.region,
        incarnation: folder.incarnation(),
        regions: config.regions,
        placements: config.placements,
        datasets: config.datasets,
        voters: config.voters,
        topology: config.topology,
        weights: config.weights,
        limits: config.limits,
        seed: crate::random::number(),
    });
    region.lay_away_to(Box::new(pages));
    let replay = |op: Logged| region.replay(op);
    let (log, recovered) = ReadLog::open(folder, Arc::clone(&shared.log), replay)?;
    if let Some((stream, seq)) = region.lacks() {
        return Err(LogError::Lacks { path: options.path, stream, seq });
    }
    let (ops, groups, ms) = (recovered.ops, recovered.groups, start.elapsed().as_millis());
    info!(folder = %options.path.display(), ops, groups, ms, "log replayed");
    Ok((region, log, recovered))
}
