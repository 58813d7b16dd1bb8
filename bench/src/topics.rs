//! Topics side by side with NATS: how fast messages are published durably, in one region and at a
//! quorum of three, and how long one takes to reach who follows.
//! Must not favour Photon: where there is a choice, it is what suits the other side.

mod nats;
mod photon;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use crate::Places;
use crate::arrivals::Schedule;
use crate::load::{Round, percentile_ms};
use crate::nats::Nats;
use crate::report::{Report, Target};
use crate::versus::{Named, Rounds};
use crate::{disk, process};

/// Bytes of each message, which do not compress.
const MESSAGE_BYTES: usize = 256;
/// Digits of a message's number, with which it begins.
const DIGITS: usize = 10;
/// How many regions, and servers, agree on a message at the quorum.
const REPLICAS: usize = 3;
/// How long a follower waits for messages after the last was due.
const PATIENCE: Duration = Duration::from_secs(10);

/// How topics are measured.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// How many clients publish, each with its connection and one request under way
    #[arg(long, default_value_t = 16)]
    clients: usize,
    /// How many rounds are measured, each of all sides
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How many seconds each part of a round takes
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How many seconds each is done before anything is measured
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
    /// How many messages a second are published while one follows
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
    /// How many GiB of memory are used and given back before the start, half of what is free at
    /// most
    #[arg(long, default_value_t = 6)]
    warm_memory_gib: u64,
    /// The NATS server, 2.10 or later [default: `nats-server` in PATH]
    #[arg(long, value_name = "FILE")]
    nats: Option<PathBuf>,
}

/// Whoever is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    /// A region by itself.
    Photon,
    /// Three regions, of which one has the message on disk when it answers.
    PhotonLocal,
    /// Three regions, of which two have it on disk.
    PhotonQuorum,
    /// A server by itself.
    Nats,
    /// Three servers, of which two have it on disk.
    NatsQuorum,
}

impl Named for Name {
    fn show(self) -> &'static str {
        match self {
            Self::Photon => "Photon, 1 region",
            Self::PhotonLocal => "Photon, 3 regions, durable in 1",
            Self::PhotonQuorum => "Photon, 3 regions, durable in 2",
            Self::Nats => "NATS JetStream, 1 server",
            Self::NatsQuorum => "NATS JetStream, 3 servers",
        }
    }
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Work {
    Publish,
}

impl Named for Work {
    fn show(self) -> &'static str {
        match self {
            Self::Publish => "publish",
        }
    }
}

/// One of those who take part.
#[derive(Debug)]
enum Side {
    Photon(photon::Side),
    Nats(nats::Side),
}

impl Side {
    async fn publish(&mut self, time: Duration) -> anyhow::Result<Round> {
        match self {
            Self::Photon(side) => side.publish(time).await,
            Self::Nats(side) => side.publish(time).await,
        }
    }

    /// Publishes at a rate to one who follows; returns how long each took to be with it, sorted.
    async fn follow(&mut self, rate: f64, time: Duration) -> anyhow::Result<Vec<Duration>> {
        let mut times = match self {
            Self::Photon(side) => side.follow(rate, time).await?,
            Self::Nats(side) => side.follow(rate, time).await?,
        };
        times.sort_unstable();
        Ok(times)
    }
}

/// How long messages took to be with a follower, round by round.
type Followed = Vec<Vec<Duration>>;

/// Measures all sides, turn by turn.
pub(crate) async fn measure(options: &Options, places: &Places) -> anyhow::Result<Report> {
    let mut report = Report::begin("topics");
    let warmed_gib = process::warm_memory(options.warm_memory_gib);
    disk::measure(&places.folder, &mut report)?;
    let mut sides = start(options, places, &mut report).await?;
    let (warm_up, time) =
        (Duration::from_secs_f64(options.warm_up), Duration::from_secs_f64(options.seconds));
    for (_, side, _) in &mut sides {
        side.publish(warm_up).await?;
        side.follow(options.rate, warm_up).await?;
    }
    let mut rounds = Rounds::new(|_| 1);
    for _ in 0..options.rounds {
        for (name, side, followed) in &mut sides {
            rounds.keep(Work::Publish, *name, side.publish(time).await?);
            followed.push(side.follow(options.rate, time).await?);
        }
    }
    for pair in [(Name::Photon, Name::Nats), (Name::PhotonQuorum, Name::NatsQuorum)] {
        rounds.ratio(&mut report, Work::Publish, pair, Target::None);
    }
    rounds.describe(&mut report, |_, _| Target::None);
    for (name, _, followed) in &sides {
        for (what, share) in [("p50", 0.5), ("p99", 0.99), ("most", 1.0)] {
            let over = followed.iter().map(|times| percentile_ms(times, share));
            let what = format!("due -> follower has it: {}, {what}", name.show());
            report.spread(what, (over, "ms"), Target::None);
        }
    }
    rounds.note(&mut report);
    note_method(&mut report, options, warmed_gib, &sides);
    Ok(report)
}

async fn start(
    options: &Options,
    places: &Places,
    report: &mut Report,
) -> anyhow::Result<Vec<(Name, Side, Followed)>> {
    let one = photon::Home::one(places).await?;
    let three = photon::Home::three(places)?;
    let mut sides = Vec::new();
    for (name, home, ack) in [
        (Name::Photon, &one, "region"),
        (Name::PhotonLocal, &three, "region"),
        (Name::PhotonQuorum, &three, "quorum"),
    ] {
        let side = photon::Side::start(Arc::clone(home), ack, options.clients).await?;
        sides.push((name, Side::Photon(side), Followed::new()));
    }
    if let Some(program) = Nats::find(options.nats.as_ref(), report) {
        for (name, servers) in [(Name::Nats, 1), (Name::NatsQuorum, REPLICAS)] {
            let side = nats::Side::start(places, &program, (servers, options.clients)).await?;
            sides.push((name, Side::Nats(side), Followed::new()));
        }
    }
    Ok(sides)
}

fn note_method(
    report: &mut Report,
    options: &Options,
    warmed_gib: u64,
    sides: &[(Name, Side, Followed)],
) {
    let Options { clients, rounds, seconds, rate, .. } = options;
    let mut text = format!(
        "Messages of {MESSAGE_BYTES} bytes that do not compress to one topic, or one subject. \
         Publishing: {clients} clients in one thread, each with one request under way, connected \
         to the region, or server, that decides about the order; every message is on the disk of \
         all who have to have it before its answer. Following: {rate} messages a second at times \
         that are fixed before, from when one was due until one who follows has it, where there \
         are three by another one than those who publish. Medians of {rounds} rounds of {seconds} \
         s for each, turn by turn, after {warmed_gib} GiB of memory were used and given back. \
         Photon: HTTP/1.1 and JSON, server-sent events; three regions are a planet of `photon up` \
         without delays, and its relay is in the servers' time."
    );
    let mut versions = sides.iter().filter_map(|(_, side, _)| match side {
        Side::Nats(side) => Some(side.version()),
        Side::Photon(_) => None,
    });
    if let Some(version) = versions.next() {
        text += &format!(
            " NATS {version}: {}, retention limits, as many replicas as servers; a push consumer \
             without acknowledgements.",
            Nats::SETTINGS
        );
    }
    report.note(text);
}

/// Returns what a message says.
fn message(number: usize) -> String {
    let more = std::iter::repeat_with(fastrand::alphanumeric).take(MESSAGE_BYTES - DIGITS);
    format!("{number:0DIGITS$}{}", more.collect::<String>())
}

/// Reads the number with which a message begins.
fn number(message: &str) -> anyhow::Result<usize> {
    Ok(message.get(..DIGITS).context("no number in a message")?.parse()?)
}

/// Notes how long each message took, until all are there.
async fn hear_all<F>(schedule: Schedule, mut next: F) -> anyhow::Result<Vec<Duration>>
where
    F: AsyncFnMut() -> anyhow::Result<usize>,
{
    let mut times = Vec::with_capacity(schedule.count());
    let until = tokio::time::Instant::now() + schedule.length() + PATIENCE;
    while times.len() < schedule.count() {
        let number = tokio::time::timeout_at(until, next()).await;
        let number = number.with_context(|| format!("{} messages were heard", times.len()))??;
        times.push(schedule.since_due(number));
    }
    Ok(times)
}
