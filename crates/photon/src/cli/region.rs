//! `photon region`, as types: what can be done about the regions of a planet.
//! Must not do anything.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use photon_state::RegionId;

pub(super) const REGION_EXAMPLES: &str = "\
Examples:
  photon region ls
  photon region kill eu-west-1
  photon region start eu-west-1
  photon region stall eu-west-1 --for 10s
  photon region resume eu-west-1";

/// What can be done about regions.
#[derive(Debug, Subcommand)]
pub enum Region {
    /// List the regions, as one of them sees the others
    #[command(visible_alias = "list", after_help = REGION_EXAMPLES)]
    Ls,
    /// Stop a region of `photon up` in good order
    #[command(after_help = REGION_EXAMPLES)]
    Stop(RegionTarget),
    /// Start a region of `photon up` that was stopped or has died
    #[command(after_help = REGION_EXAMPLES)]
    Start(RegionTarget),
    /// Kill a region of `photon up` as a power cut would: SIGKILL
    #[command(after_help = REGION_EXAMPLES)]
    Kill(RegionFault),
    /// Let a region of `photon up` stand still with all that it has open: SIGSTOP
    #[command(after_help = REGION_EXAMPLES)]
    Stall(RegionFault),
    /// Let a region go on that stands still: SIGCONT
    #[command(after_help = REGION_EXAMPLES)]
    Resume(RegionTarget),
}

/// Names a region that suffers from a fault, and for how long.
#[derive(Clone, Debug, Args)]
pub struct RegionFault {
    /// The region
    #[command(flatten)]
    pub target: RegionTarget,
    /// End the fault by itself after this time, such as 500ms or 30s
    #[arg(long = "for", value_name = "DURATION", value_parser = super::duration)]
    pub lasts: Option<Duration>,
}

/// Names a region of a planet that `photon up` runs.
#[derive(Clone, Debug, Args)]
pub struct RegionTarget {
    /// The region
    pub region: RegionId,
    /// The folder of the planet [default: ~/.local/state/photon/dev]
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
}
