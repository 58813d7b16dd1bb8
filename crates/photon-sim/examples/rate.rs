//! Measures how fast the simulator runs:
//! `cargo run --release -p photon-sim --example rate -- FIRST LAST [1 | 2]`;
//! 1 for planets that lose disks, 2 for those whose tenures are long.
//! Must not be mistaken for `photon simulate`, which has threads and options.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measuring tool, not the machine"
)]

use std::collections::BTreeMap;
use std::time::Instant;

use photon_sim::{Profile, run, run_traced};

fn main() {
    let args: Vec<u64> = std::env::args().skip(1).map(|it| it.parse().unwrap()).collect();
    let (first, last) = (args.first().copied().unwrap_or(0), args.get(1).copied().unwrap_or(200));
    let profile = match args.get(2) {
        Some(1) => Profile::lost_disks(),
        Some(2) => Profile::long_tenures(),
        Some(_) | None => Profile::default(),
    };
    if first == last {
        let done = run_traced(first, &profile, &mut |line| println!("{line}"));
        println!("{done:?}");
        return;
    }
    let (began, mut events, mut failed) = (Instant::now(), 0, 0);
    let mut sums = [0; 19];
    let mut repeats: BTreeMap<&str, [u64; 4]> = BTreeMap::new();
    for seed in first..last {
        match run(seed, &profile) {
            Ok(it) => {
                events += it.events;
                let of = repeats.entry(it.topology.unwrap_or("mixed")).or_default();
                let counts = [1, it.received, it.repeated, it.helped];
                of.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
                let counts = [
                    it.tasks as u64,
                    it.crashes,
                    it.lapsed,
                    it.stale,
                    it.fetched,
                    it.lost,
                    it.truncated,
                    it.transfers,
                    it.records,
                    it.compared,
                    it.moved,
                    it.purged,
                    it.laid_away,
                    it.noticed,
                    it.stalls,
                    it.ordered,
                    it.loosely,
                    it.unjudged,
                    it.redriven,
                ];
                sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
            }
            Err(failure) => {
                failed += 1;
                println!("seed {seed}: {}: {}", failure.promise, failure.what);
            }
        }
    }
    println!(
        "tasks, crashes, lapsed, stale, fetched, lost, truncated, transfers, records, compared, \
         moved, purged, pages written, noticed, stalls, answers in order, loosely, unjudged, \
         redriven: {sums:?}"
    );
    for (topology, [seeds, received, repeated, helped]) in repeats {
        let share = 100.0 * repeated as f64 / received.max(1) as f64;
        let seeds = format!("{topology}: {seeds} seeds, {received} ops received");
        println!("{seeds}, {share:.1} % twice, {helped} times helped");
    }
    let took = began.elapsed();
    let rate = events as f64 / took.as_secs_f64();
    println!("{events} events in {took:?}: {rate:.0} events/s; {failed} seeds failed");
}
