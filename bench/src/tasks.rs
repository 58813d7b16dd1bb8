//! Durable tasks, side by side with PostgreSQL: submit; then claim and complete.
//! Must not favour Photon: where there is a choice, it is what suits PostgreSQL.

mod photon;
mod postgres;

use std::time::Duration;

use clap::Args;

use self::photon::Photon;
use self::postgres::Peer;
use crate::Places;
use crate::load::Round;
use crate::report::{Report, Target, median};
use crate::{disk, process};

/// How many bytes each task carries.
const PAYLOAD_BYTES: usize = 1024;

/// How tasks are measured.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Options {
    /// How many clients there are, each with its connection
    #[arg(long, default_value_t = 16)]
    clients: usize,
    /// How many rounds are measured, each of all four works
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
}

/// The four works of one round.
#[derive(Clone, Debug)]
struct Four {
    submit: Pair,
    claim: Pair,
}

/// One work, done by both.
#[derive(Clone, Debug)]
struct Pair {
    photon: Round,
    postgres: Round,
}

impl Pair {
    fn ratio(&self) -> f64 {
        self.photon.per_second() / self.postgres.per_second()
    }
}

/// Measures both, turn by turn.
pub(crate) async fn measure(options: &Options, places: &Places) -> anyhow::Result<Report> {
    let mut report = Report::begin("tasks");
    let warmed_gib = process::warm_memory(options.warm_memory_gib);
    disk::measure(&places.folder, &mut report)?;
    let mut photon = Photon::start(places, options.clients).await?;
    let mut peer = Peer::start(places, options.clients).await?;
    round(&mut photon, &mut peer, Duration::from_secs_f64(options.warm_up)).await?;
    let mut rounds = Vec::with_capacity(options.rounds);
    for _ in 0..options.rounds {
        let time = Duration::from_secs_f64(options.seconds);
        rounds.push(round(&mut photon, &mut peer, time).await?);
    }
    let submits: Vec<&Pair> = rounds.iter().map(|it| &it.submit).collect();
    let claims: Vec<&Pair> = rounds.iter().map(|it| &it.claim).collect();
    describe(&mut report, "submit", &submits);
    describe(&mut report, "claim + complete", &claims);
    let memory = process::memory(photon.process())?;
    report.row("Photon, memory at the end", (memory.resident, "MiB"), Target::None);
    note_rounds(&mut report, &rounds);
    note_method(&mut report, options, warmed_gib, &peer).await?;
    Ok(report)
}

async fn round(photon: &mut Photon, peer: &mut Peer, time: Duration) -> anyhow::Result<Four> {
    let ours = photon.submit(time).await?;
    let theirs = peer.insert(time).await?;
    // Both then have the same number of tasks to work on.
    peer.fill(ours.count()).await?;
    let submit = Pair { photon: ours, postgres: theirs };
    let claim = Pair { photon: photon.claim(time).await?, postgres: peer.claim(time).await? };
    Ok(Four { submit, claim })
}

/// Adds the medians over all rounds.
fn describe(report: &mut Report, work: &str, pairs: &[&Pair]) {
    let ratio = median(pairs.iter().map(|it| it.ratio()));
    report.row(format!("{work}: ratio"), (ratio, "x"), Target::AtLeast(2.0));
    type Side = fn(&Pair) -> &Round;
    let sides: [(&str, Side); 2] = [("Photon", |it| &it.photon), ("PostgreSQL", |it| &it.postgres)];
    for (name, side) in sides {
        let rounds: Vec<&Round> = pairs.iter().map(|it| side(it)).collect();
        let over = |figure: fn(&Round) -> f64| median(rounds.iter().map(|it| figure(it)));
        let mut row = |what: &str, figure: f64, unit| {
            report.row(format!("{work}: {name}, {what}"), (figure, unit), Target::None);
        };
        row("rate", over(Round::per_second), "/s");
        row("p50", over(|it| it.percentile_ms(0.5)), "ms");
        row("p99", over(|it| it.percentile_ms(0.99)), "ms");
        row("server's time each", over(|it| it.us_each(it.server)), "us");
        row("clients' time each", over(|it| it.us_each(it.clients)), "us");
    }
}

fn note_rounds(report: &mut Report, rounds: &[Four]) {
    let mut text = "Each round, in operations per second:".to_owned();
    for (number, Four { submit, claim }) in (1..).zip(rounds) {
        let show = |pair: &Pair| {
            let (ours, theirs) = (pair.photon.per_second(), pair.postgres.per_second());
            format!("Photon {ours:.0}, PostgreSQL {theirs:.0}, ratio {:.2}", pair.ratio())
        };
        text += &format!("\n  {number}: submit: {}", show(submit));
        text += &format!("\n     claim + complete: {}", show(claim));
    }
    report.note(text);
}

async fn note_method(
    report: &mut Report,
    options: &Options,
    warmed_gib: u64,
    peer: &Peer,
) -> anyhow::Result<()> {
    let settings = peer.settings().await?;
    let Options { clients, rounds, seconds, .. } = options;
    report.note(format!(
        "{clients} clients in one thread, {PAYLOAD_BYTES} bytes a task; medians of {rounds} rounds \
         of {seconds} s for each work, turn by turn, after {warmed_gib} GiB of memory were used \
         and given back. Photon: one region, HTTP/1.1 over loopback, replies without a body \
         (`prefer: return=minimal`), as PostgreSQL returns the id alone. {settings}, TCP over \
         loopback, prepared statements, no index but the primary key where tasks are only \
         inserted, and a partial index on those that wait where they are claimed."
    ));
    Ok(())
}

/// Makes payloads that do not compress.
fn payload() -> String {
    std::iter::repeat_with(fastrand::alphanumeric).take(PAYLOAD_BYTES).collect()
}
