//! The links and the log of a region without the region, to measure or to damage them alone.
//! Must not be used by a running region.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use photon_region::{Input, Message};
use photon_state::RegionId;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use crate::links::Squeezing;
pub use crate::links::probe::{greet, hear, say};
pub use crate::log::probe::LogProbe;

use crate::lanes::LaneStats;
use crate::links::{Class, LinkEvent, LinkOptions, LinkTable, Links};
use crate::node::{LinkConfig, StartError};
use crate::stats::LinkCounters;

/// News that wait to be taken; at it the reader of a link waits.
const EVENTS_MAX: usize = 1_024;

/// Whether a message is urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Of the class control.
    Control,
    /// Of the class interactive.
    Interactive,
    /// Of the class bulk.
    Bulk,
}

impl Urgency {
    fn class(self) -> Class {
        match self {
            Self::Control => Class::Control,
            Self::Interactive => Class::Interactive,
            Self::Bulk => Class::Bulk,
        }
    }
}

/// The links of one region.
#[derive(Debug)]
pub struct LinkProbe {
    address: SocketAddr,
    table: LinkTable,
    events: mpsc::Receiver<LinkEvent>,
    counters: Arc<LinkCounters>,
    stop: CancellationToken,
}

impl Drop for LinkProbe {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl LinkProbe {
    /// Listens for peers and dials them, as a node of the region would.
    pub async fn start(
        region: RegionId,
        peers: BTreeSet<RegionId>,
        config: LinkConfig,
        squeezing: Squeezing,
    ) -> Result<Self, StartError> {
        let listen = |source| StartError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let counters = Arc::<LinkCounters>::default();
        counters.peers.set(peers.iter().copied());
        let LinkConfig { dial, secret, tls, rates, .. } = config;
        let options = LinkOptions { planet: "probe".into(), region, peers, secret, tls };
        let greeter = options.greeter(&counters)?;
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let (link_counters, link_stop) = (Arc::clone(&counters), stop.clone());
        Links {
            events: sender.clone(),
            bulk: sender,
            tasks,
            stop: link_stop,
            counters: link_counters,
            rates,
            squeezing,
        }
        .start(greeter, listener, dial.into_iter().filter(|(peer, _)| region < *peer));
        let table = LinkTable::new(Arc::clone(&counters));
        Ok(Self { address, table, events, counters, stop })
    }

    /// Returns where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns what a machine would hear next.
    pub async fn next(&mut self) -> Option<Input> {
        loop {
            let inputs = self.table.take(self.events.recv().await?);
            if let Some(input) = inputs.into_iter().flatten().last() {
                return Some(input);
            }
        }
    }

    /// Sends a message, or drops it where there is no link or no room.
    pub fn send(&self, peer: RegionId, urgency: Urgency, message: Message) {
        self.table.send(peer, urgency.class(), message);
    }

    /// Returns what each class has carried.
    #[must_use]
    pub fn lane_stats(&self) -> Vec<LaneStats> {
        self.counters.peers.read()
    }
}
