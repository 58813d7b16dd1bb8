//! `photon planet`, as types: the planet's own certificate authority, and its paths.
//! Must not do anything.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use photon_state::RegionId;

use crate::config::PlanetName;

const CA_EXAMPLES: &str = "\
Examples:
  photon planet ca new --planet prod --out ca
  photon planet ca issue --ca ca --planet prod --region eu-west-1 --out eu-west-1
  photon planet ca issue --ca ca --planet prod --region eu-west-1 --days 30 --out new";

/// What can be done for a planet as a whole.
#[derive(Debug, Subcommand)]
pub enum Planet {
    /// Make the certificates by which regions recognize each other
    #[command(subcommand, after_help = CA_EXAMPLES)]
    Ca(Ca),
    /// Show what all regions agree on: members, voters, homes
    #[command(after_help = VOTER_EXAMPLES)]
    Show,
    /// Say which regions vote on what all agree on
    #[command(after_help = VOTER_EXAMPLES)]
    Voters(Voters),
    /// Agree on placements as the region that leads has them in its configuration
    #[command(after_help = ADOPT_EXAMPLES)]
    Adopt,
    /// Let bytes between regions of `photon up` vanish without a word
    #[command(after_help = PATH_EXAMPLES)]
    Cut(CutPaths),
    /// Let bytes between regions of `photon up` take longer, in each direction
    #[command(after_help = PATH_EXAMPLES)]
    Slow(SlowPaths),
    /// Open all paths that were cut or slowed
    #[command(after_help = PATH_EXAMPLES)]
    Mend(PlanetTarget),
    /// List the faults that are in force
    #[command(after_help = PATH_EXAMPLES)]
    Faults(PlanetTarget),
}

const VOTER_EXAMPLES: &str = "\
Examples:
  photon planet show
  photon planet voters us-east-1 eu-west-1 eu-central-1
  photon planet voters us-east-1 --force      # the other voters are lost for good

A majority of the voters has to live for anything to be decided about tasks: three outlive the
loss of one, five the loss of two. With --force, where no majority is left, the region that is
asked (--region, --url) goes on alone. What only the lost voters had agreed on is lost then, and
none of them may be started with its old folder again.";

const ADOPT_EXAMPLES: &str = "\
Examples:
  photon planet show       # which placements are agreed on, and whether this region has them so
  photon planet adopt

All agree by themselves on a placement that is new. To give one other regions, change the
configuration of every region and start them again one by one, then adopt it. Meanwhile a region
that has it configured otherwise than was agreed decides about none of its tasks: they wait.";

/// What `photon planet voters` may be told.
#[derive(Clone, Debug, Args)]
pub struct Voters {
    /// The regions that vote, and no others
    #[arg(required = true, value_name = "REGION")]
    pub voters: Vec<RegionId>,
    /// Do it even if no majority of them, or of the present voters, is heard
    #[arg(long)]
    pub force: bool,
}

const PATH_EXAMPLES: &str = "\
Examples:
  photon planet cut us-east-1 eu-west-1
  photon planet cut us-east-1 eu-west-1 --one-way --for 10s
  photon planet cut eu-west-1 --for 30s
  photon planet slow us-east-1 eu-west-1 --by 300ms
  photon planet faults
  photon planet mend";

/// Names a planet that `photon up` runs.
#[derive(Clone, Debug, Args)]
pub struct PlanetTarget {
    /// The folder of the planet [default: ~/.local/state/photon/dev]
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
}

/// What `photon planet cut` may be told.
#[derive(Clone, Debug, Args)]
pub struct CutPaths {
    /// One end of the path
    pub from: RegionId,
    /// The other end; all other regions if absent
    pub to: Option<RegionId>,
    /// Only the direction from the first to the second
    #[arg(long)]
    pub one_way: bool,
    /// End the fault by itself after this time, such as 500ms or 30s
    #[arg(long = "for", value_name = "DURATION", value_parser = super::duration)]
    pub lasts: Option<Duration>,
    /// Which planet
    #[command(flatten)]
    pub target: PlanetTarget,
}

/// What `photon planet slow` may be told.
#[derive(Clone, Debug, Args)]
pub struct SlowPaths {
    /// Which paths, and for how long
    #[command(flatten)]
    pub cut: CutPaths,
    /// How much longer bytes take in each direction, such as 300ms
    #[arg(long, value_name = "DURATION", value_parser = super::duration)]
    pub by: Duration,
}

/// What can be done about certificates.
#[derive(Debug, Subcommand)]
pub enum Ca {
    /// Make a new authority: ca.pem for every region, ca.key for nobody but you
    #[command(after_help = CA_EXAMPLES)]
    New(CaNew),
    /// Make a certificate and a key for a region
    #[command(after_help = CA_EXAMPLES)]
    Issue(CaIssue),
}

/// What `photon planet ca new` may be told.
#[derive(Clone, Debug, Args)]
pub struct CaNew {
    /// The planet, as `planet` in the configuration names it
    #[arg(long, value_parser = planet)]
    pub planet: PlanetName,
    /// How long the authority is valid
    #[arg(long, default_value_t = 3_650, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub days: u32,
    /// The folder for ca.pem and ca.key; it is made if there is none
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
}

/// What `photon planet ca issue` may be told.
#[derive(Clone, Debug, Args)]
pub struct CaIssue {
    /// The folder with ca.pem and ca.key
    #[arg(long, value_name = "FOLDER")]
    pub ca: PathBuf,
    /// The planet of the authority
    #[arg(long, value_parser = planet)]
    pub planet: PlanetName,
    /// The region that the certificate is for
    #[arg(long)]
    pub region: RegionId,
    /// How long the certificate is valid
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    pub days: u32,
    /// The folder for REGION.pem and REGION.key; it is made if there is none
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
}

fn planet(text: &str) -> Result<PlanetName, String> {
    PlanetName::try_from(text).map_err(|error| error.to_string())
}
