//! The side of NATS: a stream on one server or three, and clients of its own protocol.
//! Must not know of the other side.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::{hear_all, message, number};
use crate::Places;
use crate::arrivals::{Arrive, Schedule};
use crate::load::Round;
use crate::nats::{Nats, Publisher, Retention};

/// A stream, and clients that publish to it.
#[derive(Debug)]
pub(super) struct Side {
    server: Nats,
    publishers: Vec<Publisher>,
    /// The number of the last connection.
    connected: usize,
}

impl Side {
    pub(super) async fn start(
        places: &Places,
        program: &Path,
        (servers, clients): (usize, usize),
    ) -> anyhow::Result<Self> {
        let server = Nats::start(places, program, (servers, Retention::Limits)).await?;
        let mut publishers = Vec::with_capacity(clients);
        for connection in 1..=clients {
            publishers.push(Publisher::connect(&server, connection, &message(0)).await?);
        }
        Ok(Self { server, publishers, connected: clients })
    }

    pub(super) fn version(&self) -> &str {
        self.server.version()
    }

    pub(super) async fn publish(&mut self, time: Duration) -> anyhow::Result<Round> {
        Round::run_again(&mut self.publishers, time, &self.server.processes()).await
    }

    pub(super) async fn follow(
        &mut self,
        rate: f64,
        time: Duration,
    ) -> anyhow::Result<Vec<Duration>> {
        self.connected += 1;
        let mut follower = self.server.connect_elsewhere(self.connected).await?;
        let subject = format!("{}.follow", follower.inbox());
        let consumer = json!({
            "deliver_subject": subject, "ack_policy": "none", "deliver_policy": "new",
            "replay_policy": "instant",
        });
        follower.subscribe(&subject, 2).await?;
        self.server.consume(&mut follower, &consumer).await?;
        let schedule = Schedule::begin(rate, time);
        let publish = schedule.run(std::mem::take(&mut self.publishers));
        let heard = hear_all(schedule, async || {
            let heard = follower.hear().await?;
            number(std::str::from_utf8(&heard.body)?)
        });
        let ((_, publishers), times) = tokio::try_join!(publish, heard)?;
        self.publishers = publishers;
        Ok(times)
    }
}

impl Arrive for Publisher {
    async fn arrive(&mut self, number: usize) -> anyhow::Result<()> {
        self.publish(&message(number)).await
    }
}
