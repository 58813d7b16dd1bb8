//! Links to the other regions: one connection for each pair, dialed by the lesser name.
//! Must not know what the messages mean.

mod backoff;
mod bucket;
mod certificates;
mod class;
mod connection;
mod frame;
mod greet;
mod hello;
mod outbox;
mod packing;
pub(crate) mod probe;
mod squeeze;
mod table;
mod tls;
#[cfg(test)]
mod tls_tests;
mod wire;
mod writer;
#[cfg(test)]
mod writer_tests;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use photon_state::RegionId;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use backoff::Backoff;
use greet::{Greeter, greet};
use hello::{Greeted, HelloError, Identity, PROTOCOLS};
use tls::Tls;
use wire::Wire;

pub use certificates::{TlsError, TlsFiles};
pub(crate) use class::Class;
pub use squeeze::Squeezing;
pub(crate) use table::{LinkEvent, LinkTable};

use crate::authority::certificate_name;
use crate::node::{LinkRates, Secret};
use crate::stats::LinkCounters;

/// How long it may take to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the introduction may take.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// The most strangers that introduce themselves at once; at it the next one waits to be accepted.
const STRANGERS_MAX: usize = 64;
/// The pause after a failure to accept, which is a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The most often that the same refusal is worth a line to a human.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// What the links of a region need to know.
#[derive(Debug)]
pub(crate) struct LinkOptions {
    pub(crate) planet: String,
    pub(crate) region: RegionId,
    pub(crate) peers: BTreeSet<RegionId>,
    pub(crate) secret: Option<Secret>,
    pub(crate) tls: Option<TlsFiles>,
}

/// What all connections share.
struct Shared {
    greeter: Greeter,
    events: mpsc::Sender<LinkEvent>,
    bulk: mpsc::Sender<LinkEvent>,
    tasks: TaskTracker,
    stop: CancellationToken,
    counters: Arc<LinkCounters>,
    rates: LinkRates,
    squeezing: Squeezing,
    links: AtomicU64,
}

impl Shared {
    fn next_link(&self) -> table::LinkId {
        self.links.fetch_add(1, Ordering::Relaxed)
    }

    /// Tells the driver; a driver that has gone, or goes, needs to hear nothing.
    async fn tell(&self, event: LinkEvent) {
        let _ = self.stop.run_until_cancelled(self.events.send(event)).await;
    }

    /// Passes a message on, so that those of a peer that catches up do not stand before others.
    async fn pass(&self, class: Class, event: LinkEvent) {
        match class {
            Class::Control | Class::Interactive => self.tell(event).await,
            Class::Bulk => {
                let _ = self.stop.run_until_cancelled(self.bulk.send(event)).await;
            }
        }
    }
}

impl LinkOptions {
    /// Reads the certificates, if there are to be any, and checks them.
    pub(crate) fn greeter(self, counters: &Arc<LinkCounters>) -> Result<Greeter, TlsError> {
        let Self { planet, region, peers, secret, tls } = self;
        let open = |files| {
            for peer in &peers {
                certificate_name(&planet, *peer)?; // Said at the start, not when it is dialed.
            }
            Tls::open(files, planet.clone(), region, Arc::clone(counters)).map(Arc::new)
        };
        let tls = tls.map(open).transpose()?;
        let regions = peers.into_iter().chain([region]).collect();
        let identity = Identity { planet, region, secret, versions: PROTOCOLS, regions };
        Ok(Greeter { identity, tls })
    }
}

/// The links of a region. All their tasks run on the tracker and end with the token.
#[derive(Debug)]
pub(crate) struct Links {
    pub(crate) events: mpsc::Sender<LinkEvent>,
    /// Takes messages in bulk.
    pub(crate) bulk: mpsc::Sender<LinkEvent>,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    pub(crate) counters: Arc<LinkCounters>,
    pub(crate) rates: LinkRates,
    pub(crate) squeezing: Squeezing,
}

impl Links {
    /// Accepts the peers with lesser names, and dials those of `dial`.
    pub(crate) fn start(
        self,
        greeter: Greeter,
        listener: TcpListener,
        dial: impl IntoIterator<Item = (RegionId, SocketAddr)>,
    ) {
        let Self { events, bulk, tasks, stop, counters, rates, squeezing } = self;
        let links = AtomicU64::new(1);
        let shared =
            Shared { greeter, events, bulk, tasks, stop, counters, rates, squeezing, links };
        let shared = Arc::new(shared);
        shared.tasks.spawn(accept_all(Arc::clone(&shared), listener));
        for (peer, address) in dial {
            shared.tasks.spawn(dial_on(Arc::clone(&shared), peer, address));
        }
    }
}

/// Says a refusal that recurs aloud once in a while, and under one's breath in between.
#[derive(Debug, Default)]
struct Complaint {
    last: Option<(String, Instant)>,
}

impl Complaint {
    fn say(&mut self, address: SocketAddr, reason: String) {
        let is_new = self
            .last
            .as_ref()
            .is_none_or(|(last, at)| *last != reason || WARN_EVERY < at.elapsed());
        if !is_new {
            debug!(%address, reason, "no link");
            return;
        }
        warn!(%address, reason, "no link");
        self.last = Some((reason, Instant::now()));
    }
}

async fn accept_all(shared: Arc<Shared>, listener: TcpListener) {
    let strangers = Arc::new(Semaphore::new(STRANGERS_MAX));
    let complaint = Arc::new(std::sync::Mutex::new(Complaint::default()));
    let accept = async {
        loop {
            let permit = Arc::clone(&strangers).acquire_owned().await;
            let permit = permit.expect("nobody closes the semaphore");
            let (stream, address) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "cannot accept a link");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (ours, complaint) = (Arc::clone(&shared), Arc::clone(&complaint));
            shared.tasks.spawn(async move {
                let greeted = in_time(&ours, greet(&ours.greeter, stream, None));
                let greeted = ours.stop.run_until_cancelled(greeted).await;
                drop(permit);
                match greeted {
                    Some(Ok((greeted, wire))) => connection::live(&ours, greeted, wire).await,
                    Some(Err(reason)) => {
                        complaint.lock().expect("no holder panics").say(address, reason);
                    }
                    None => {}
                }
            });
        }
    };
    shared.stop.run_until_cancelled(accept).await;
}

/// Dials a peer again and again.
async fn dial_on(shared: Arc<Shared>, peer: RegionId, address: SocketAddr) {
    let (mut backoff, mut complaint) = (Backoff::default(), Complaint::default());
    let dial = async {
        loop {
            match connect(&shared, peer, address).await {
                Ok((greeted, wire)) => {
                    let start = Instant::now();
                    connection::live(&shared, greeted, wire).await;
                    backoff.lived(start.elapsed());
                }
                Err(reason) => {
                    shared.counters.troubles.note(peer, reason.clone());
                    complaint.say(address, format!("region `{peer}`: {reason}"));
                }
            }
            sleep(backoff.pause(fastrand::f64())).await;
        }
    };
    shared.stop.run_until_cancelled(dial).await;
}

async fn connect(
    shared: &Shared,
    peer: RegionId,
    address: SocketAddr,
) -> Result<(Greeted, Wire), String> {
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
    let stream = stream.map_err(|_| "no answer".to_owned())?.map_err(|error| error.to_string())?;
    in_time(shared, greet(&shared.greeter, stream, Some(peer))).await
}

/// Gives an introduction its time, and counts who was refused.
async fn in_time<T>(
    shared: &Shared,
    greeting: impl Future<Output = Result<T, HelloError>>,
) -> Result<T, String> {
    match timeout(HELLO_TIMEOUT, Box::pin(greeting)).await {
        Ok(Ok(greeted)) => Ok(greeted),
        Ok(Err(HelloError::Frame(error))) => Err(error.to_string()),
        Ok(Err(refusal)) => {
            shared.counters.refused.fetch_add(1, Ordering::Relaxed);
            if let Some(peer) = refusal.peer() {
                shared.counters.troubles.note(peer, refusal.to_string());
            }
            Err(refusal.to_string())
        }
        Err(_) => Err("no introduction".to_owned()),
    }
}
