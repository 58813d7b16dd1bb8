//! `photon drill`, as types: which fault, where, for how long, under which load.
//! Must not do anything.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use photon_state::RegionId;

/// What goes wrong in a drill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DrillKind {
    /// The region ends as in a power cut, and is started again
    KillRegion,
    /// The region stands still
    StallRegion,
    /// The region, or its path to --to, is cut off without a word
    Partition,
    /// The region's paths, or that to --to, take longer by --by
    SlowLink,
    /// The region's clock is --by ahead, or behind
    ClockJump,
    /// The region's disk has no room
    DiskFull,
}

/// What `photon drill` may be told.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
It needs a planet of `photon up`, submits tasks and writes records in every region, makes the fault,
heals it, waits until all is quiet, and reports. It ends with 1 if a promise was broken.

Examples:
  photon drill kill-region --region eu-west-1
  photon drill stall-region --region eu-west-1 --for 30s --rate 100 --output json
  photon drill partition --region eu-west-1 --to us-east-1 --one-way
  photon drill slow-link --region eu-west-1 --by 300ms
  photon drill clock-jump --region eu-west-1 --by -5s
  photon drill --schedule faults.toml")]
pub struct Drill {
    /// What goes wrong
    #[arg(value_enum, required_unless_present = "schedule", conflicts_with = "schedule")]
    pub kind: Option<DrillKind>,
    /// The region that suffers from it
    #[arg(long, required_unless_present = "schedule", conflicts_with = "schedule")]
    pub region: Option<RegionId>,
    /// How long it lasts, such as 5s
    #[arg(long = "for", value_name = "DURATION", value_parser = super::duration,
        default_value = "10s", conflicts_with = "schedule")]
    pub lasts: Duration,
    /// The other end of the one path that is cut or slowed
    #[arg(long, value_name = "REGION", conflicts_with = "schedule")]
    pub to: Option<RegionId>,
    /// Cut or slow only what --region sends
    #[arg(long, conflicts_with = "schedule")]
    pub one_way: bool,
    /// How much slower the paths are [default: 300ms], or how far the clock is ahead [default: 5s]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, value_parser = offset_ms,
        conflicts_with = "schedule")]
    pub by: Option<i64>,
    /// A file of faults, in place of one; docs/drills.md explains it
    #[arg(long, value_name = "FILE")]
    pub schedule: Option<PathBuf>,
    /// How many tasks to submit in a second, in all regions together
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rate: u32,
    /// How long to submit before the fault, such as 3s
    #[arg(long, value_name = "DURATION", value_parser = super::duration, default_value = "3s")]
    pub before: Duration,
    /// How long to submit after all regions are up again, such as 3s
    #[arg(long, value_name = "DURATION", value_parser = super::duration, default_value = "3s")]
    pub after: Duration,
    /// How long to wait after that until all that was accepted has ended
    #[arg(long, value_name = "DURATION", value_parser = super::duration, default_value = "60s")]
    pub patience: Duration,
    /// Write the report with all its evidence into this file, too, as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// The folder of the planet [default: ~/.local/state/photon/dev]
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
}

/// Reads a duration such as `300ms` or `-1h`, in milliseconds.
pub(crate) fn offset_ms(text: &str) -> Result<i64, String> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let ms = i64::try_from(super::duration(digits)?.as_millis());
    ms.map(|it| sign * it).map_err(|_| "it is too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_may_be_negative() {
        assert_eq!(offset_ms("300ms"), Ok(300));
        assert_eq!(offset_ms("-1h"), Ok(-3_600_000));
        assert!(offset_ms("--1h").is_err() && offset_ms("-").is_err());
    }
}
