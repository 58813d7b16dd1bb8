//! The side of NATS: a stream that is a queue of work, a consumer that is asked, and clients.
//! Must not know of the other sides.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;

use super::payload;
use crate::Places;
use crate::load::{Client, Round, Tried};
use crate::nats::{Line, Nats, Publisher, Retention};

/// The consumer, which all workers share.
const CONSUMER: &str = "workers";
/// How long a worker may be silent, as long as Photon's by default, in nanoseconds.
const ACK_WAIT_NS: u64 = 15_000_000_000;
/// Messages that are sent at once while the queue is filled.
const FILL_AT_ONCE: usize = 500;

/// A server with the queue.
#[derive(Debug)]
pub(super) struct Peer {
    server: Nats,
    publishers: Vec<Publisher>,
    workers: Vec<Worker>,
    filler: Line,
}

#[derive(Debug)]
struct Worker {
    line: Line,
    next: Vec<u8>,
}

impl Peer {
    pub(super) async fn start(
        places: &Places,
        clients: usize,
        program: &Path,
    ) -> anyhow::Result<Self> {
        let server = Nats::start(places, program, (1, Retention::WorkQueue)).await?;
        let mut filler = server.connect(0).await?;
        let consumer = json!({
            "durable_name": CONSUMER, "ack_policy": "explicit", "ack_wait": ACK_WAIT_NS,
            "deliver_policy": "all", "replay_policy": "instant", "max_ack_pending": -1,
        });
        server.consume(&mut filler, &consumer).await?;
        let (mut publishers, mut workers) = (Vec::new(), Vec::new());
        for number in 1..=clients {
            publishers.push(Publisher::connect(&server, number, &payload()).await?);
            let line = server.connect(clients + number).await?;
            let ask = json!({ "batch": 1, "no_wait": true }).to_string();
            let next = line.publish(&Nats::next_of(CONSUMER), &ask);
            workers.push(Worker { line, next });
        }
        Ok(Self { server, publishers, workers, filler })
    }

    pub(super) fn version(&self) -> &str {
        self.server.version()
    }

    /// Publishes tasks, each of which is acknowledged.
    pub(super) async fn publish(&mut self, time: Duration) -> anyhow::Result<Round> {
        Round::run_again(&mut self.publishers, time, &self.server.processes()).await
    }

    /// Puts tasks into the queue, many at once, for so long at the most, which is not measured.
    pub(super) async fn fill(&mut self, count: usize, time: Duration) -> anyhow::Result<()> {
        let message = self.filler.publish(Nats::SUBJECT, &payload());
        let (until, mut left) = (Instant::now() + time, count);
        while 0 < left && Instant::now() < until {
            let some = FILL_AT_ONCE.min(left);
            self.filler.ask_all(&message.repeat(some), some).await?;
            left -= some;
        }
        Ok(())
    }

    /// Works on the tasks that wait.
    pub(super) async fn claim(&mut self, time: Duration) -> anyhow::Result<Round> {
        Round::run_again(&mut self.workers, time, &self.server.processes()).await
    }
}

impl Client for Worker {
    async fn act(&mut self) -> anyhow::Result<Tried> {
        let task = self.line.ask(&self.next).await?;
        if task.body.is_empty() {
            return Ok(Tried::Dry);
        }
        let reply = task.reply.context("a task that cannot be acknowledged")?;
        // The acknowledgement is itself acknowledged.
        let done = self.line.ask(&self.line.publish(&reply, "+ACK")).await?;
        ensure!(done.body.is_empty(), "NATS says `{}`", String::from_utf8_lossy(&done.body));
        Ok(Tried::Done)
    }
}
