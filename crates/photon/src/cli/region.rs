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

const MEMBER_EXAMPLES: &str = "\
Examples:
  photon region drain eu-west-1        # others become the homes of its tasks
  photon region undrain eu-west-1      # it may be the home of tasks again ..
  photon region rebalance              # .. and gets its share of them
  photon region add ap-south-1         # after it was configured everywhere, and started
  photon region rm ap-south-1          # after it was drained";

/// What can be done about regions.
#[derive(Debug, Subcommand)]
pub enum Region {
    /// List the regions, as one of them sees the others
    #[command(visible_alias = "list", after_help = REGION_EXAMPLES)]
    Ls,
    /// Give the homes of a region to others, and spare it by new work; waits until they decide
    #[command(after_help = MEMBER_EXAMPLES)]
    Drain(RegionLeaver),
    /// Let a region that was drained be the home of tasks again
    #[command(after_help = MEMBER_EXAMPLES)]
    Undrain(RegionMember),
    /// Spread the homes of tasks evenly over the regions that live; waits until they decide
    #[command(after_help = MEMBER_EXAMPLES)]
    Rebalance,
    /// Make a region a member of the planet
    #[command(after_help = MEMBER_EXAMPLES)]
    Add(RegionMember),
    /// Remove a region from the planet for good
    #[command(visible_alias = "remove", after_help = MEMBER_EXAMPLES)]
    Rm(RegionLeaver),
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

/// Names a member of the planet.
#[derive(Clone, Debug, Args)]
pub struct RegionMember {
    /// The region
    pub region: RegionId,
}

/// Names a member of the planet that is to leave it, or its duties.
#[derive(Clone, Debug, Args)]
pub struct RegionLeaver {
    /// The region
    pub region: RegionId,
    /// Do it even if tasks have no home then, or if the region has not been drained
    #[arg(long)]
    pub force: bool,
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
