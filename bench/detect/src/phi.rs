//! `chitchat`, gossip with phi accrual, on the imagined net: datagrams, and its defaults.
//! Must not wait for real time: its clock is paused, and goes on when nothing is left to do.
//!
//! It draws from the system's randomness and offers no seed, so its figures differ a little
//! from run to run.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use chitchat::transport::{RecvOutcome, SendOutcome, Socket, Transport};
use chitchat::{
    ChitchatConfig, ChitchatEnvelope, ChitchatHandle, ChitchatId, FailureDetectorConfig,
    ProtocolVersion, spawn_chitchat,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::matrix::{Matrix, REGIONS};
use crate::measure::{Detection, Quiet};
use crate::net::{Net, Noise};
use crate::view::View;

const NODES: usize = 3;
/// How long it runs before anything is measured: it learns how often it hears from whom.
const WARM_UP_MS: u64 = 600_000;
/// How long a region is lost, and how long it is left alone then.
const LOST_MS: u64 = 60_000;
const BACK_MS: u64 = 240_000;
/// Its own example: a round of gossip each second.
const GOSSIP_EVERY: Duration = Duration::from_secs(1);

type Mail = mpsc::UnboundedSender<(SocketAddr, ChitchatEnvelope)>;

struct World {
    start: Instant,
    net: Net,
    view: View,
    mail: BTreeMap<usize, Mail>,
    heard: u64,
}

#[derive(Clone)]
struct Shared(Arc<Mutex<World>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().expect("nobody panics while holding it")
    }

    async fn until(&self, at: u64) {
        let start = self.lock().start;
        sleep_until(start + Duration::from_millis(at - Net::START)).await;
    }

    /// Waits until a node stands still no longer.
    async fn awake(&self, node: usize) {
        loop {
            let end = {
                let mut world = self.lock();
                let now = world.now();
                world.net.stalled(node, now)
            };
            let Some(end) = end else { return };
            self.until(end).await;
        }
    }

    async fn deliver(self, at: u64, to: usize, from: SocketAddr, envelope: ChitchatEnvelope) {
        self.until(at).await;
        self.awake(to).await;
        let mut world = self.lock();
        let now = world.now();
        if !world.net.is_lost(to, now) {
            world.heard += 1;
            // Nobody is there any more when the simulation ends.
            let _ended = world.mail.get(&to).map(|mail| mail.send((from, envelope)));
        }
    }
}

impl World {
    fn now(&self) -> u64 {
        Net::START + u64::try_from(self.start.elapsed().as_millis()).expect("within years")
    }
}

fn address(node: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 10_000 + u16::try_from(node).expect("few nodes")))
}

fn node_at(address: SocketAddr) -> usize {
    usize::from(address.port() - 10_000)
}

#[async_trait]
impl Transport for Shared {
    async fn open(&self, listen_addr: SocketAddr) -> anyhow::Result<Box<dyn Socket>> {
        let (sender, mail) = mpsc::unbounded_channel();
        self.lock().mail.insert(node_at(listen_addr), sender);
        Ok(Box::new(Port { world: self.clone(), address: listen_addr, mail }))
    }
}

struct Port {
    world: Shared,
    address: SocketAddr,
    mail: mpsc::UnboundedReceiver<(SocketAddr, ChitchatEnvelope)>,
}

#[async_trait]
impl Socket for Port {
    fn local_addr(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.address)
    }

    async fn send(
        &mut self,
        to: SocketAddr,
        envelope: ChitchatEnvelope,
    ) -> anyhow::Result<SendOutcome> {
        let node = node_at(self.address);
        self.world.awake(node).await;
        let arrives = {
            let mut world = self.world.lock();
            let now = world.now();
            let is_lost = world.net.is_lost(node, now);
            if is_lost { None } else { world.net.datagram(now, node, node_at(to)) }
        };
        if let Some(at) = arrives {
            tokio::spawn(self.world.clone().deliver(at, node_at(to), self.address, envelope));
        }
        Ok(SendOutcome { num_bytes_sent: 0 })
    }

    async fn recv(&mut self) -> anyhow::Result<RecvOutcome> {
        let mail = self.mail.recv().await;
        let (from_addr, envelope) =
            mail.ok_or_else(|| anyhow::anyhow!("the simulation has ended"))?;
        Ok(RecvOutcome { from_addr, envelope, num_bytes_received: 0 })
    }
}

async fn spawn(world: &Shared) -> anyhow::Result<Vec<ChitchatHandle>> {
    let mut handles = Vec::new();
    let seeds: Vec<_> =
        REGIONS.iter().enumerate().map(|it| address(it.0 * NODES).to_string()).collect();
    for node in 0..REGIONS.len() * NODES {
        let listen_addr = address(node);
        let config = ChitchatConfig {
            chitchat_id: ChitchatId::new(format!("node-{node}"), 0, listen_addr),
            cluster_id: "planet".to_owned(),
            gossip_interval: GOSSIP_EVERY,
            listen_addr,
            seed_nodes: seeds.clone(),
            failure_detector_config: FailureDetectorConfig::default(),
            marked_for_deletion_grace_period: Duration::from_secs(3_600),
            catchup_callback: None,
            extra_liveness_predicate: None,
            protocol_version: ProtocolVersion::V0,
        };
        let handle = spawn_chitchat(config, Vec::new(), world).await?;
        let mut live = handle.with_chitchat(|it| it.live_nodes_watcher()).await;
        let world = world.clone();
        tokio::spawn(async move {
            while live.changed().await.is_ok() {
                let up: BTreeSet<_> =
                    live.borrow().keys().map(|it| node_at(it.gossip_advertise_addr)).collect();
                let mut world = world.lock();
                let now = world.now();
                for of in (0..REGIONS.len() * NODES).filter(|of| *of != node) {
                    world.view.set(now, node, of, !up.contains(&of));
                }
            }
        });
        handles.push(handle);
    }
    Ok(handles)
}

fn run<T>(
    trips: &Matrix,
    noise: Noise,
    seed: u64,
    story: impl AsyncFnOnce(Shared) -> T,
) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_time().start_paused(true).build()?;
    runtime.block_on(async {
        let net = Net::new(trips, NODES, noise, seed);
        let view = View::new(net.count(), REGIONS.len());
        let (start, mail) = (Instant::now(), BTreeMap::new());
        let world = Shared(Arc::new(Mutex::new(World { start, net, view, mail, heard: 0 })));
        let _handles = spawn(&world).await?;
        world.until(Net::START + WARM_UP_MS).await;
        Ok(story(world).await)
    })
}

/// Loses one region after the other, each for a minute.
pub(crate) fn lose(
    trips: &Matrix,
    noise: Noise,
    seed: u64,
    losses: u64,
) -> anyhow::Result<Detection> {
    run(trips, noise, seed, async |world: Shared| {
        let mut all = Detection::default();
        let mut rng = fastrand::Rng::with_seed(seed);
        for loss in 0..losses {
            let lost = usize::try_from(loss + seed).expect("small") % REGIONS.len();
            let at = world.lock().now() + rng.u64(0..1_000);
            world.lock().net.lost = Some((lost, at..at + LOST_MS));
            world.until(at + LOST_MS).await;
            let detection = world.lock().view.detection(lost, at);
            all.merge(detection);
            world.until(at + LOST_MS + BACK_MS).await;
        }
        all
    })
}

/// Runs an hour in which no region is lost, and says who was called down nevertheless.
pub(crate) fn hour(trips: &Matrix, noise: Noise, seed: u64) -> anyhow::Result<Quiet> {
    run(trips, noise, seed, async |world: Shared| {
        let mut quiet = Quiet { hours: 1.0, ..Quiet::default() };
        let (mut nodes, mut regions) = (BTreeMap::new(), BTreeMap::new());
        let begin = world.lock().now();
        world.lock().view.take_downs();
        world.lock().view.take_region_downs();
        for until in (begin..=begin + 3_600_000).step_by(1_000) {
            world.until(until).await;
            let mut world = world.lock();
            for (at, node) in world.view.take_downs() {
                quiet.node_downs += u64::from(View::is_new(&mut nodes, node, at));
            }
            for (at, region) in world.view.take_region_downs() {
                if View::is_new(&mut regions, region, at) {
                    quiet.add_down(world.net.was_paused(region, at, 9_000));
                }
            }
        }
        quiet.heard = world.lock().heard;
        quiet
    })
}
