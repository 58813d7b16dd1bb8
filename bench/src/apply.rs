//! What a region pays for ops of data: at their origin, at a receiver, and on the wire between.
//! Must not know of disks, sockets or clients: two regions in one thread, and what they say.

mod dictionary;
mod pair;
mod values;
mod wire;

use std::time::Duration;

use clap::Args;
use photon_region::data::Write;

use self::pair::Pair;
use self::values::Work;
pub(crate) use self::values::person;
use self::wire::Wire;
use crate::process;
use crate::report::{Report, Target, median};

/// How many writes a client makes in one request.
const BATCH: usize = 100;

/// How it is measured.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Options {
    /// How many records there are, all of them written before anything is measured
    #[arg(long, default_value_t = 100_000)]
    records: usize,
    /// How many writes each round has
    #[arg(long, default_value_t = 200_000)]
    writes: usize,
    /// How many rounds are measured of each kind of write
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Measure nothing but what a dictionary is worth to a link
    #[arg(long)]
    dictionary: bool,
    /// How many GiB of memory are used and given back before the start, half of what is free at
    /// most
    #[arg(long, default_value_t = 3)]
    warm_memory_gib: u64,
}

/// Processor time of one round.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    ops: usize,
    origin: Duration,
    receiver: Duration,
}

impl Spent {
    fn us(self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e6 / (self.ops.max(1) as f64)
    }
}

/// Measures it.
pub(crate) fn measure(options: &Options) -> anyhow::Result<Report> {
    let mut report = Report::begin("apply");
    if options.dictionary {
        dictionary::measure(&mut report)?;
        return Ok(report);
    }
    let warmed_gib = process::warm_memory(options.warm_memory_gib);
    let works = [Work::JSON, Work::NOISE, Work::COUNTER, Work::MAP];
    for work in &works {
        measure_one(options, work, &mut report)?;
    }
    let Options { records, writes, rounds, .. } = options;
    report.note(format!(
        "One thread, no disk, no network: two regions, {records} records in one dataset that lives \
         everywhere, all of them written before. Writes of random records in requests of {BATCH}; \
         what is appended counts as durable at once. Origin: the request, what it leads to, and \
         the encoding of what the other region is to hear. Receiver: the decoding of that, taking \
         it in, and the encoding of the acknowledgement. Processor time of the thread; medians of \
         {rounds} rounds of {writes} writes, after {warmed_gib} GiB of memory were used and given \
         back. The log, frames and sockets are not in it."
    ));
    report.note(
        "JSON of an op: dataset, key, value (or field and value, or sum), time in milliseconds, \
         origin, number; nothing else and no white space. Photon's own form also tells the stream, \
         which writes an op replaces and what it depends on. Compressed: one stream of zstd at \
         level 1 for each direction of a link, flushed after each message of one request.",
    );
    Ok(report)
}

fn measure_one(options: &Options, work: &Work, report: &mut Report) -> anyhow::Result<()> {
    let mut pair = Pair::new(work.kind())?;
    let fresh = round(&mut pair, work.fresh(options.records))?;
    let mut rounds = Vec::with_capacity(options.rounds);
    for _ in 0..options.rounds {
        rounds.push(round(&mut pair, work.random(options.records, options.writes))?);
    }
    let mut wire = Wire::new()?;
    for writes in work.random(options.records, options.writes / 4) {
        let frames = pair.write(writes)?;
        let answers = pair.receive(&frames)?;
        pair.acknowledge(&answers)?;
        frames.iter().try_for_each(|frame| wire.take(frame))?;
    }
    pair.check()?;
    let name = work.name();
    let over = |figure: fn(&Spent) -> f64| median(rounds.iter().map(figure));
    let (origin, receiver) = (over(|it| it.us(it.origin)), over(|it| it.us(it.receiver)));
    let mut row =
        |what: &str, figure, target| report.row(format!("{name}: {what}"), figure, target);
    row("receiver, ops on one core", (1e6 / receiver, "/s"), Target::AtLeast(100_000.0));
    row("receiver, each op", (receiver, "us"), Target::Under(4.0));
    row("origin, each op", (origin, "us"), Target::Under(4.0));
    row("receiver, first write of a record", (fresh.us(fresh.receiver), "us"), Target::None);
    row("origin, first write of a record", (fresh.us(fresh.origin), "us"), Target::None);
    let zstd = if work.compresses() { Target::Under(40.0) } else { Target::None };
    wire.describe(zstd, &mut row);
    Ok(())
}

/// Does writes, one request after the other.
fn round(pair: &mut Pair, requests: impl Iterator<Item = Vec<Write>>) -> anyhow::Result<Spent> {
    let mut spent = Spent::default();
    for writes in requests {
        spent.ops += writes.len();
        let began = process::thread_cpu();
        let frames = pair.write(writes)?;
        let sent = process::thread_cpu();
        let answers = pair.receive(&frames)?;
        let received = process::thread_cpu();
        pair.acknowledge(&answers)?;
        spent.receiver += received.saturating_sub(sent);
        spent.origin += sent.saturating_sub(began);
        spent.origin += process::thread_cpu().saturating_sub(received);
    }
    Ok(spent)
}
