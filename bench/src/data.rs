//! Records of data, side by side with Redis and NATS: durable writes, requests of many, reads.
//! Must not favour Photon: where there is a choice, it is what suits the other side.

mod nats;
mod photon;
mod redis;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use self::nats::NatsSide;
use self::photon::PhotonSide;
use self::redis::RedisSide;
use crate::Places;
use crate::load::Round;
use crate::nats::Nats;
use crate::report::{Report, Target};
use crate::versus::{Named, Rounds};
use crate::{disk, process};

/// Bytes of each value, which do not compress.
const VALUE_BYTES: usize = 256;
/// Records that are written again and again.
const RECORDS: usize = 100_000;
/// Writes in one request of many.
const BATCH: usize = 100;
/// Requests that a reader has under way at once.
const PIPELINE: usize = 32;

/// How data is measured.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// How many clients write one record at a time, each with its connection
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// How many clients write many records at a time
    #[arg(long, default_value_t = 16)]
    batchers: usize,
    /// How many clients read
    #[arg(long, default_value_t = 8)]
    readers: usize,
    /// How many rounds are measured, each of all works
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How many seconds each work of a round takes
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// How many seconds each work is done before anything is measured
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
    /// How many GiB of memory are used and given back before the start, half of what is free at
    /// most
    #[arg(long, default_value_t = 6)]
    warm_memory_gib: u64,
    /// The NATS server, 2.10 or later [default: `nats-server` in PATH]
    #[arg(long, value_name = "FILE")]
    nats: Option<PathBuf>,
    /// Whom to leave out
    #[arg(long, value_delimiter = ',')]
    without: Vec<Name>,
}

/// Whoever is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Name {
    /// Photon.
    Photon,
    /// Redis.
    Redis,
    /// NATS with JetStream.
    Nats,
}

impl Named for Name {
    fn show(self) -> &'static str {
        match self {
            Self::Photon => "Photon",
            Self::Redis => "Redis",
            Self::Nats => "NATS JetStream",
        }
    }
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Work {
    /// Write one record, durably.
    Put,
    /// Write many records in one request, durably.
    Batch,
    /// Read one record of many.
    Read,
    /// Ask for what needs no record: the limit of the stack below.
    Nothing,
}

impl Work {
    const ALL: [Self; 4] = [Self::Put, Self::Batch, Self::Read, Self::Nothing];

    /// Returns how many records each act is about.
    fn each(self) -> usize {
        match self {
            Self::Put => 1,
            Self::Batch => BATCH,
            Self::Read | Self::Nothing => PIPELINE,
        }
    }
}

impl Named for Work {
    fn show(self) -> &'static str {
        match self {
            Self::Put => "write one",
            Self::Batch => "write 100 at once",
            Self::Read => "read, pipelined",
            Self::Nothing => "read nothing, pipelined",
        }
    }
}

/// Those who take part.
#[derive(Debug)]
struct Sides {
    photon: Option<PhotonSide>,
    redis: Option<RedisSide>,
    nats: Option<NatsSide>,
}

/// Measures those who take part, turn by turn.
pub(crate) async fn measure(options: &Options, places: &Places) -> anyhow::Result<Report> {
    let mut report = Report::begin("data");
    let warmed_gib = process::warm_memory(options.warm_memory_gib);
    disk::measure(&places.folder, &mut report)?;
    let mut sides = Sides::start(options, places, &mut report).await?;
    let mut rounds = Rounds::new(Work::each);
    sides.round(Duration::from_secs_f64(options.warm_up), &mut Rounds::new(Work::each)).await?;
    for _ in 0..options.rounds {
        sides.round(Duration::from_secs_f64(options.seconds), &mut rounds).await?;
    }
    for work in Work::ALL {
        for (peer, least) in [(Name::Redis, 2.0), (Name::Nats, 10.0)] {
            let target = if work == Work::Put { Target::AtLeast(least) } else { Target::None };
            rounds.ratio(&mut report, work, (Name::Photon, peer), target);
        }
    }
    rounds.describe(&mut report, promised);
    if let Some(photon) = &sides.photon {
        let memory = process::memory(photon.process())?;
        report.row("Photon, memory at the end", (memory.resident, "MiB"), Target::None);
    }
    rounds.note(&mut report);
    note_method(&mut report, options, warmed_gib, &sides);
    Ok(report)
}

impl Sides {
    async fn start(
        options: &Options,
        places: &Places,
        report: &mut Report,
    ) -> anyhow::Result<Self> {
        let takes_part = |name| !options.without.contains(&name);
        let mut sides = Self { photon: None, redis: None, nats: None };
        if takes_part(Name::Photon) {
            sides.photon = Some(PhotonSide::start(places, options).await?);
        }
        if takes_part(Name::Redis) {
            if crate::redis::Redis::is_installed() {
                sides.redis = Some(RedisSide::start(places, options).await?);
            } else {
                report.note("Redis is left out: no `redis-server` on this machine.");
            }
        }
        let nats = takes_part(Name::Nats).then(|| Nats::find(options.nats.as_ref(), report));
        if let Some(program) = nats.flatten() {
            sides.nats = Some(NatsSide::start(places, options, &program).await?);
        }
        Ok(sides)
    }

    /// Does every work once, by each who can.
    async fn round(
        &mut self,
        time: Duration,
        rounds: &mut Rounds<Work, Name>,
    ) -> anyhow::Result<()> {
        for work in Work::ALL {
            let mut keep = |name, round: Option<Round>| {
                if let Some(round) = round {
                    rounds.keep(work, name, round);
                }
            };
            if let Some(photon) = &mut self.photon {
                keep(Name::Photon, Some(photon.work(work, time).await?));
            }
            if let Some(redis) = &mut self.redis {
                keep(Name::Redis, redis.work(work, time).await?);
            }
            if let Some(nats) = &mut self.nats {
                keep(Name::Nats, nats.work(work, time).await?);
            }
        }
        Ok(())
    }
}

/// Returns what was promised of Photon alone.
fn promised(work: Work, name: Name) -> Target {
    match (work, name) {
        (Work::Batch, Name::Photon) => Target::AtLeast(100_000.0),
        (Work::Read, Name::Photon) => Target::AtLeast(200_000.0),
        (Work::Put | Work::Batch | Work::Read | Work::Nothing, _) => Target::None,
    }
}

fn note_method(report: &mut Report, options: &Options, warmed_gib: u64, sides: &Sides) {
    let Options { clients, batchers, readers, rounds, seconds, .. } = options;
    let mut text = format!(
        "{clients} clients in one thread write {VALUE_BYTES} bytes that do not compress to random \
         ones of {RECORDS} records, one after the other; {batchers} clients write {BATCH} of them \
         in one request; {readers} clients each have {PIPELINE} reads under way. Every write is \
         synced to the disk before its answer. p50 and p99 are of one request of {BATCH}, or of \
         {PIPELINE} reads together. Medians of {rounds} rounds of {seconds} s for each work, turn \
         by turn, after {warmed_gib} GiB of memory were used and given back; TCP over loopback. \
         Photon: one region, HTTP/1.1 and JSON, writes answered without a body (`prefer: \
         return=minimal`); reading nothing is `GET /healthz`."
    );
    if let Some(redis) = &sides.redis {
        text += &format!(
            " Redis {}: {}; 100 at once are 100 SETs in one packet, nothing is PING.",
            redis.version(),
            crate::redis::Redis::SETTINGS
        );
    }
    if let Some(nats) = &sides.nats {
        text += &format!(
            " NATS {}: {}; it appends to one subject, without an index by record.",
            nats.version(),
            Nats::SETTINGS
        );
    }
    report.note(text);
}

/// Makes a value that does not compress.
fn value() -> String {
    std::iter::repeat_with(fastrand::alphanumeric).take(VALUE_BYTES).collect()
}

/// Returns the name of a record.
fn key(number: usize) -> String {
    format!("k{}", number % RECORDS)
}

/// Chooses a record.
fn any_record() -> usize {
    fastrand::usize(..RECORDS)
}
