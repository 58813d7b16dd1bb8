//! Whether a dictionary makes what a link compresses smaller: the first messages of a link, and
//! those once it has carried many. Must not measure processor time.

use photon_region::data::Write;
use zstd::stream::raw::{CParameter, Encoder, InBuffer, Operation as _, OutBuffer};

use super::pair::Pair;
use super::values::Work;
use crate::report::{Report, Target};

/// The level, and the window of what has just been written, as links have them.
const LEVEL: i32 = 1;
const WINDOW_LOG: u32 = 17;
/// How many messages are looked at, from the first one on.
const FIRST: [usize; 4] = [10, 100, 1_000, 10_000];
/// Messages, and how many of the last of them show what becomes of it in the end.
const MESSAGES: usize = 20_000;
const STEADY: usize = 10_000;
/// What a dictionary is made of, and how long it may be.
const SAMPLES: usize = 5_000;
const DICTIONARY_BYTES_MAX: usize = 32 << 10;
/// Writes in one message: of a region with little to do, and of one with more.
const BATCHES: [usize; 2] = [1, 20];
/// How many records are written again and again.
const RECORDS: usize = 100_000;

/// Measures it.
pub(super) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let works = [Work::JSON, Work::COUNTER, Work::MAP];
    for batch in BATCHES {
        let mut samples = Vec::new();
        let mut made = Vec::new();
        for work in works {
            samples.push(messages(work, batch, SAMPLES)?);
            made.push(messages(work, batch, MESSAGES)?);
        }
        for (at, work) in works.iter().enumerate() {
            // What a program could bring along was made without knowing this application.
            let strange = samples.iter().enumerate().filter(|(it, _)| *it != at);
            let strange: Vec<&Vec<u8>> = strange.flat_map(|(_, of)| of).collect();
            let own: Vec<&Vec<u8>> = samples[at].iter().collect();
            let cases = [
                ("none", None),
                ("of other datasets", Some(train(&strange)?)),
                ("of this very dataset", Some(train(&own)?)),
                ("of this very dataset, untrained", Some(untrained(&own))),
            ];
            for (name, dictionary) in cases {
                let sizes = squeeze(&made[at], dictionary.as_deref())?;
                let name = format!("{}, {batch} in a message, {name}", work.name());
                describe(report, &name, &sizes);
            }
        }
    }
    report.note(format!(
        "Dictionaries: messages that carry 1 or {} ops of random ones of {RECORDS} records, made \
         by a region of its own for each kind, in one stream of zstd at level {LEVEL} with a \
         window of {} KiB, flushed after each message, as a link does with what has just been \
         written. A dictionary of {} KiB at most was trained by zstd on {SAMPLES} messages: either \
         of the same dataset, made by another region, which no program can bring along, or of the \
         other two kinds. Untrained is the end of those messages as it is.",
        BATCHES[1],
        1 << (WINDOW_LOG - 10),
        DICTIONARY_BYTES_MAX >> 10,
    ));
    Ok(())
}

/// Returns messages that carry writes of one kind.
fn messages(work: Work, batch: usize, count: usize) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut pair = Pair::new(work.kind())?;
    let writes = work.random(RECORDS, batch * count + super::BATCH).flatten();
    let mut writes = writes.collect::<Vec<Write>>().into_iter();
    let mut messages = Vec::with_capacity(count);
    while messages.len() < count {
        let frames = pair.write(distinct(writes.by_ref().take(batch)))?;
        let answers = pair.receive(&frames)?;
        pair.acknowledge(&answers)?;
        messages.extend(frames.iter().map(|it| it.to_vec()));
    }
    Ok(messages)
}

/// Leaves out writes of a record that is written before: one request names none twice.
fn distinct(writes: impl Iterator<Item = Write>) -> Vec<Write> {
    let mut keys = std::collections::BTreeSet::new();
    writes.filter(|it| keys.insert(it.key.clone())).collect()
}

/// Returns the last messages as they are: they can be referred to, and tell nothing about how
/// often each byte occurs.
fn untrained(samples: &[&Vec<u8>]) -> Vec<u8> {
    let bytes: Vec<u8> = samples.iter().flat_map(|it| it.iter().copied()).collect();
    bytes[bytes.len().saturating_sub(DICTIONARY_BYTES_MAX)..].to_vec()
}

fn train(samples: &[&Vec<u8>]) -> anyhow::Result<Vec<u8>> {
    Ok(zstd::dict::from_samples(samples, DICTIONARY_BYTES_MAX)?)
}

/// Compresses messages as a link does; returns what each takes, and what it was.
fn squeeze(messages: &[Vec<u8>], dictionary: Option<&[u8]>) -> anyhow::Result<Vec<(usize, usize)>> {
    let mut encoder = Encoder::with_dictionary(LEVEL, dictionary.unwrap_or_default())?;
    encoder.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
    encoder.set_parameter(CParameter::ContentSizeFlag(false))?;
    let mut sizes = Vec::with_capacity(messages.len());
    let mut to = Vec::new();
    for message in messages {
        to.clear();
        to.reserve(2 * message.len() + 1_024);
        let mut input = InBuffer::around(message);
        let mut output = OutBuffer::around(&mut to);
        while input.pos() < message.len() {
            encoder.run(&mut input, &mut output)?;
        }
        while encoder.flush(&mut output)? != 0 {}
        sizes.push((output.pos(), message.len()));
    }
    Ok(sizes)
}

/// Tells bytes of a message: of the first ones, and of the last.
fn describe(report: &mut Report, name: &str, sizes: &[(usize, usize)]) {
    let mean = |of: &[(usize, usize)]| {
        of.iter().map(|(packed, _)| *packed).sum::<usize>() as f64 / of.len().max(1) as f64
    };
    let plain = sizes.iter().map(|(_, plain)| *plain).sum::<usize>() as f64 / sizes.len() as f64;
    report.row(format!("dictionary, {name}: plain"), (plain, "B"), Target::None);
    for first in FIRST {
        let what = format!("dictionary, {name}: first {first}");
        report.row(what, (mean(&sizes[..first.min(sizes.len())]), "B"), Target::None);
    }
    let steady = &sizes[sizes.len().saturating_sub(STEADY)..];
    report.row(format!("dictionary, {name}: later"), (mean(steady), "B"), Target::None);
}
