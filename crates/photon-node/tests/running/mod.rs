//! Nodes that run, for tests of whole nodes.
//! Must not know what is tested.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use photon_node::{Handle, LinkConfig, LinkRates, Node, NodeConfig, Secret};
use photon_region::{
    AgentSpec, Command, Json, Limits, Place, Reply, Spec, Target, TaskId, Topology,
};
use photon_state::{PlacementId, RegionId};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// How long anything may take before the test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn region(name: &str) -> RegionId {
    RegionId::try_from(name).unwrap()
}

pub(crate) fn json(text: &'static str) -> Json {
    Json(Bytes::from_static(text.as_bytes()))
}

pub(crate) fn agent(name: &str) -> AgentSpec {
    AgentSpec {
        name: name.into(),
        skills: BTreeSet::from(["text.upper".into()]),
        capacity: 4,
        cost_micros: 0,
        card: json("{}"),
        placement: PlacementId::global(),
    }
}

pub(crate) fn task() -> Spec {
    Spec {
        target: Target::Skill("text.upper".into()),
        placement: PlacementId::global(),
        message: json("{}"),
        context: "context".into(),
        idempotency: None,
        ack: photon_region::Ack::Region,
        terms: None,
    }
}

/// The configuration of a region of the planet `test`, which has the regions `a` and `b`.
pub(crate) fn config(data: &Path, own: &str, peer: Option<SocketAddr>) -> NodeConfig {
    let place = Place { latitude: 0.0, longitude: 0.0 };
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let dial = peer.map(|address| (region("b"), address)).into_iter().collect();
    NodeConfig {
        data: data.join(own),
        planet: "test".into(),
        region: region(own),
        regions: BTreeMap::from(["a", "b"].map(|name| (region(name), place))),
        placements: BTreeMap::new(),
        datasets: vec![],
        voters: BTreeSet::new(),
        topology: Topology::Mesh,
        weights: photon_region::Weights::default(),
        limits: Limits::default(),
        segment_bytes: 1 << 20,
        links: LinkConfig {
            listen,
            dial,
            secret: Some(Secret::new("secret".into())),
            tls: None,
            rates: LinkRates::default(),
        },
    }
}

/// A node that runs.
pub(crate) struct Running {
    pub(crate) node: Node,
    pub(crate) handle: Handle,
    pub(crate) stop: CancellationToken,
}

impl Running {
    pub(crate) async fn start(config: NodeConfig) -> Self {
        let stop = CancellationToken::new();
        let node = Node::start(config, stop.clone()).await.unwrap();
        Self { handle: node.handle(), node, stop }
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.node.wait()).await;
        ended.expect("a node stops").unwrap();
    }

    pub(crate) async fn submit_task(&self) -> TaskId {
        match self.handle.submit(Command::Submit(task())).await {
            Ok(Reply::Submitted { task, .. }) => task.id,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn register(&self, name: &str) {
        self.handle.submit(Command::Register(agent(name))).await.unwrap();
    }

    /// Waits until an agent is known here.
    pub(crate) async fn sees(&self, name: &str) {
        let is_seen = async || self.handle.submit(Command::Agent(name.into())).await.is_ok();
        eventually(is_seen, &format!("agent {name} is known")).await;
    }

    pub(crate) async fn is_linked(&self, expected: bool) {
        let is = async || self.handle.view().peers.iter().any(|peer| peer.is_linked == expected);
        eventually(is, "the link").await;
    }
}

pub(crate) async fn eventually(condition: impl AsyncFn() -> bool, what: &str) {
    let poll = async {
        let mut interval = tokio::time::interval(Duration::from_millis(5));
        while !condition().await {
            interval.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, poll).await.unwrap_or_else(|_| panic!("waited for {what}"));
}

/// Starts `b`, and then `a`, which dials it.
pub(crate) async fn pair(dir: &TempDir) -> (Running, Running) {
    let b = Running::start(config(dir.path(), "b", None)).await;
    let a = Running::start(config(dir.path(), "a", Some(b.node.link_addr()))).await;
    (a, b)
}
