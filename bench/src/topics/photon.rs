//! Photon's side: a region or a planet of three, and clients of its HTTP interface.
//! Must not know of the other side.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Deserialize;

use super::{REPLICAS, hear_all, message, number};
use crate::Places;
use crate::arrivals::{Arrive, Schedule};
use crate::http::Connection;
use crate::load::{Client, Round, Tried};
use crate::planet::Planet;
use crate::region::Region;
use crate::talk::Talk;

/// The regions of the planet.
const REGIONS: [&str; REPLICAS] = ["us-east-1", "eu-west-1", "ap-southeast-1"];
/// Bytes that a topic keeps: as much as all topics may have by default.
const RETENTION_BYTES: u64 = 256 << 20;

/// Where topics are.
#[derive(Debug)]
pub(super) enum Home {
    One(Region),
    Three(Planet),
}

/// A topic, and clients that publish to it.
#[derive(Debug)]
pub(super) struct Side {
    home: Arc<Home>,
    topic: Topic,
    /// The region that gives the positions, and another one if there is one.
    at: SocketAddr,
    elsewhere: SocketAddr,
    publishers: Vec<Publisher>,
}

/// What clients have to know of a topic.
#[derive(Clone, Debug)]
struct Topic {
    path: String,
    ack: &'static str,
}

#[derive(Debug)]
struct Publisher {
    connection: Connection,
    topic: Topic,
    body: String,
}

/// What a region says of a topic.
#[derive(Deserialize)]
struct About {
    home: String,
}

impl Home {
    /// Starts a region by itself.
    pub(super) async fn one(places: &Places) -> anyhow::Result<Arc<Self>> {
        Ok(Arc::new(Self::One(Region::start(places).await?)))
    }

    /// Starts three, between which nothing takes time but what the machine does.
    pub(super) fn three(places: &Places) -> anyhow::Result<Arc<Self>> {
        let [a, b, c] = REGIONS;
        let round_trips = format!("a,b,rtt_ms\n{a},{b},0\n{a},{c},0\n{b},{c},0\n");
        let planet = Planet::start(places, &REGIONS.join(","), Some(&round_trips))?;
        Ok(Arc::new(Self::Three(planet)))
    }

    fn process(&self) -> u32 {
        match self {
            Self::One(region) => region.process(),
            Self::Three(planet) => planet.process(),
        }
    }

    /// Returns the front door of the region that is the home of a topic, and of another region.
    fn doors(&self, home: &str) -> anyhow::Result<(SocketAddr, SocketAddr)> {
        match self {
            Self::One(region) => Ok((region.api(), region.api())),
            Self::Three(planet) => {
                let place = REGIONS.iter().position(|it| *it == home);
                let place = place.with_context(|| format!("the home is in `{home}`"))?;
                let door = |place: usize| anyhow::Ok(planet.api(u16::try_from(place % REPLICAS)?));
                Ok((door(place)?, door(place + 1)?))
            }
        }
    }

    fn any_door(&self) -> SocketAddr {
        match self {
            Self::One(region) => region.api(),
            Self::Three(planet) => planet.api(0),
        }
    }
}

impl Topic {
    /// Returns the body of what publishes a message.
    fn body(&self, number: usize) -> String {
        format!(r#"{{"data":"{}","ack":"{}"}}"#, message(number), self.ack)
    }
}

impl Side {
    pub(super) async fn start(
        home: Arc<Home>,
        ack: &'static str,
        clients: usize,
    ) -> anyhow::Result<Self> {
        let path = format!("/v1/topics/bench-{ack}");
        let keep = format!(r#"{{"retention_bytes":{RETENTION_BYTES}}}"#);
        let mut connection = Connection::open(home.any_door()).await?;
        connection.request("PUT", &path, keep.as_bytes()).await?.good()?;
        let about = connection.get_json(&path).await?.good()?;
        let about: About = serde_json::from_slice(about).context("no topic")?;
        let (at, elsewhere) = home.doors(&about.home)?;
        let topic = Topic { path: format!("{path}/messages"), ack };
        let publishers = Vec::with_capacity(clients);
        let mut side = Self { home, topic, at, elsewhere, publishers };
        for number in 0..clients {
            let (connection, topic) = (Connection::open(side.at).await?, side.topic.clone());
            let body = topic.body(number);
            side.publishers.push(Publisher { connection, topic, body });
        }
        Ok(side)
    }

    pub(super) async fn publish(&mut self, time: Duration) -> anyhow::Result<Round> {
        Round::run_again(&mut self.publishers, time, &[self.home.process()]).await
    }

    pub(super) async fn follow(
        &mut self,
        rate: f64,
        time: Duration,
    ) -> anyhow::Result<Vec<Duration>> {
        let mut follower = Follower::open(self.elsewhere, &self.topic).await?;
        let schedule = Schedule::begin(rate, time);
        let publish = schedule.run(std::mem::take(&mut self.publishers));
        let heard = hear_all(schedule, async || follower.next().await);
        let ((_, publishers), times) = tokio::try_join!(publish, heard)?;
        self.publishers = publishers;
        Ok(times)
    }
}

impl Client for Publisher {
    async fn act(&mut self) -> anyhow::Result<Tried> {
        self.connection.post(&self.topic.path, self.body.as_bytes()).await?.good()?;
        Ok(Tried::Done)
    }
}

impl Arrive for Publisher {
    async fn arrive(&mut self, number: usize) -> anyhow::Result<()> {
        let body = self.topic.body(number);
        self.connection.post(&self.topic.path, body.as_bytes()).await?.good()?;
        Ok(())
    }
}

/// One who follows a topic by server-sent events.
#[derive(Debug)]
struct Follower {
    talk: Talk,
}

impl Follower {
    /// Follows from now on.
    async fn open(to: SocketAddr, topic: &Topic) -> anyhow::Result<Self> {
        let mut talk = Talk::open(to).await?;
        let path = &topic.path;
        let ask = format!("GET {path}?from=last HTTP/1.1\r\nhost: localhost\r\n\r\n");
        talk.send(ask.as_bytes()).await?;
        let status = talk.line().await?;
        ensure!(status.starts_with("HTTP/1.1 200"), "following is answered by `{status}`");
        while !talk.line().await?.is_empty() {}
        Ok(Self { talk })
    }

    /// Waits for the next message. Photon sends each event as a chunk, so that its lines are whole.
    async fn next(&mut self) -> anyhow::Result<usize> {
        loop {
            let line = self.talk.line().await?;
            if let Some(event) = line.strip_prefix("data: ") {
                let (_, text) =
                    event.split_once(r#""data":""#).context("an event of no message")?;
                return number(text);
            }
        }
    }
}
