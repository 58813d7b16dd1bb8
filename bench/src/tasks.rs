//! Durable tasks, side by side with PostgreSQL and NATS: submit; then claim and complete.
//! Must not favour Photon: where there is a choice, it is what suits the other side.

mod nats;
mod photon;
mod postgres;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use self::photon::Photon;
use crate::Places;
use crate::nats::Nats;
use crate::report::{Report, Target};
use crate::versus::{Named, Rounds};
use crate::{disk, process};

/// How many bytes each task carries.
const PAYLOAD_BYTES: usize = 1024;

/// How tasks are measured.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// How many clients there are, each with its connection and one request under way
    #[arg(long, default_value_t = 16)]
    clients: usize,
    /// How many rounds are measured, each of all works by all sides
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How many seconds each work of a round takes
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// How many seconds each work is done before anything is measured
    #[arg(long, default_value_t = 2.0)]
    warm_up: f64,
    /// How many GiB of memory are used and given back before the start, half of what is free at
    /// most: a hypervisor that backs memory only once it is used would else be measured too
    #[arg(long, default_value_t = 6)]
    warm_memory_gib: u64,
    /// The NATS server, 2.10 or later [default: `nats-server` in PATH]
    #[arg(long, value_name = "FILE")]
    nats: Option<PathBuf>,
    /// Whom to leave out
    #[arg(long, value_delimiter = ',')]
    without: Vec<Peer>,
}

/// Whom Photon is measured beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Peer {
    /// PostgreSQL.
    Postgres,
    /// NATS with JetStream.
    Nats,
}

/// Whoever is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Photon,
    Postgres,
    Nats,
}

impl Named for Name {
    fn show(self) -> &'static str {
        match self {
            Self::Photon => "Photon",
            Self::Postgres => "PostgreSQL",
            Self::Nats => "NATS JetStream",
        }
    }
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Work {
    /// Submit a task, durably.
    Submit,
    /// Take a task, and end it, both durably.
    Claim,
}

impl Named for Work {
    fn show(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Claim => "claim + complete",
        }
    }
}

/// Those who take part.
#[derive(Debug)]
struct Sides {
    photon: Photon,
    postgres: Option<postgres::Peer>,
    nats: Option<nats::Peer>,
}

/// Measures all sides, turn by turn.
pub(crate) async fn measure(options: &Options, places: &Places) -> anyhow::Result<Report> {
    let mut report = Report::begin("tasks");
    let warmed_gib = process::warm_memory(options.warm_memory_gib);
    disk::measure(&places.folder, &mut report)?;
    let mut sides = Sides::start(options, places, &mut report).await?;
    let mut rounds = Rounds::new(|_| 1);
    sides.round(Duration::from_secs_f64(options.warm_up), &mut Rounds::new(|_| 1)).await?;
    for _ in 0..options.rounds {
        sides.round(Duration::from_secs_f64(options.seconds), &mut rounds).await?;
    }
    for (work, peer, least) in [
        (Work::Submit, Name::Postgres, 2.0),
        (Work::Submit, Name::Nats, 10.0),
        (Work::Claim, Name::Postgres, 2.0),
        (Work::Claim, Name::Nats, 5.0),
    ] {
        rounds.ratio(&mut report, work, (Name::Photon, peer), Target::AtLeast(least));
    }
    rounds.describe(&mut report, |_, _| Target::None);
    let memory = process::memory(sides.photon.process())?;
    report.row("Photon, memory at the end", (memory.resident, "MiB"), Target::None);
    rounds.note(&mut report);
    note_method(&mut report, options, warmed_gib, &sides).await?;
    Ok(report)
}

impl Sides {
    async fn start(
        options: &Options,
        places: &Places,
        report: &mut Report,
    ) -> anyhow::Result<Self> {
        let takes_part = |peer| !options.without.contains(&peer);
        let photon = Photon::start(places, options.clients).await?;
        let mut sides = Self { photon, postgres: None, nats: None };
        if takes_part(Peer::Postgres) {
            sides.postgres = Some(postgres::Peer::start(places, options.clients).await?);
        }
        let nats = takes_part(Peer::Nats).then(|| Nats::find(options.nats.as_ref(), report));
        if let Some(program) = nats.flatten() {
            sides.nats = Some(nats::Peer::start(places, options.clients, &program).await?);
        }
        Ok(sides)
    }

    /// Does both works once, by each side.
    async fn round(
        &mut self,
        time: Duration,
        rounds: &mut Rounds<Work, Name>,
    ) -> anyhow::Result<()> {
        let ours = self.photon.submit(time).await?;
        let count = ours.count();
        rounds.keep(Work::Submit, Name::Photon, ours);
        // All then have tasks to work on.
        if let Some(postgres) = &mut self.postgres {
            rounds.keep(Work::Submit, Name::Postgres, postgres.insert(time).await?);
            postgres.fill(count).await?;
        }
        if let Some(nats) = &mut self.nats {
            rounds.keep(Work::Submit, Name::Nats, nats.publish(time).await?);
            nats.fill(count, time).await?;
        }
        rounds.keep(Work::Claim, Name::Photon, self.photon.claim(time).await?);
        if let Some(postgres) = &mut self.postgres {
            rounds.keep(Work::Claim, Name::Postgres, postgres.claim(time).await?);
        }
        if let Some(nats) = &mut self.nats {
            rounds.keep(Work::Claim, Name::Nats, nats.claim(time).await?);
        }
        Ok(())
    }
}

async fn note_method(
    report: &mut Report,
    options: &Options,
    warmed_gib: u64,
    sides: &Sides,
) -> anyhow::Result<()> {
    let Options { clients, rounds, seconds, .. } = options;
    let mut text = format!(
        "{clients} clients in one thread, each with one request under way, {PAYLOAD_BYTES} bytes a \
         task; medians of {rounds} rounds of {seconds} s for each work, turn by turn, after \
         {warmed_gib} GiB of memory were used and given back; TCP over loopback. Photon: one \
         region, HTTP/1.1, replies without a body (`prefer: return=minimal`)."
    );
    if let Some(postgres) = &sides.postgres {
        text += &format!(
            " {}: prepared statements, no index but the primary key where tasks are only inserted, \
             and a partial index on those that wait where they are claimed; a claim and an end are \
             a transaction each.",
            postgres.settings().await?
        );
    }
    if let Some(nats) = &sides.nats {
        text += &format!(
            " NATS {}: one server, {}, retention workqueue; a claim is a pull of one message, an \
             end is an acknowledgement that the server acknowledges. A round of claims ends early \
             where no task is left.",
            nats.version(),
            Nats::SETTINGS
        );
    }
    report.note(text);
    Ok(())
}

/// Makes payloads that do not compress.
fn payload() -> String {
    std::iter::repeat_with(fastrand::alphanumeric).take(PAYLOAD_BYTES).collect()
}
