//! The disk by itself: how long it takes to make a few KiB durable. Nothing can be faster.
//! Must not know who writes there.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::load::percentile_ms;
use crate::report::{Report, Target};

/// What one sync makes durable: the payloads of 16 clients.
const BYTES: usize = 16 << 10;
/// How often it is tried.
const SYNCS: usize = 500;

/// Measures the disk under a folder, and adds what came of it to the report.
pub(crate) fn measure(folder: &Path, report: &mut Report) -> anyhow::Result<()> {
    let times = syncs(folder).context("failed to measure the disk")?;
    let mean = times.iter().sum::<Duration>().as_secs_f64() / SYNCS as f64;
    let what = "the disk alone: 16 KiB and fdatasync";
    report.row(format!("{what}, p50"), (percentile_ms(&times, 0.5), "ms"), Target::None);
    report.row(format!("{what}, p99"), (percentile_ms(&times, 0.99), "ms"), Target::None);
    report.row("the disk alone: syncs", (1.0 / mean, "/s"), Target::None);
    Ok(())
}

/// Returns the times of the syncs, sorted. The file grows, as a log does.
fn syncs(folder: &Path) -> anyhow::Result<Vec<Duration>> {
    let folder = tempfile::tempdir_in(folder)?;
    let mut file = File::create(folder.path().join("floor"))?;
    let bytes: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(BYTES).collect();
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let began = Instant::now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}
