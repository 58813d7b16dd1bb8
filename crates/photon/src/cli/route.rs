//! `photon route`, as types: how agents are chosen.
//! Must not do anything.

use clap::{ArgGroup, Args, Subcommand};
use photon_state::{PlacementId, RegionId};

use super::AgentWants;

/// What can be asked of how agents are chosen.
#[derive(Debug, Subcommand)]
pub enum Route {
    /// Show who would be given a task, what speaks for each candidate, and why others are out
    Explain(RouteExplain),
}

/// What `photon route explain` may be told.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
A score is what four terms bring, of 100 points: how near the agent's region is, how much of its
capacity is free, how fast it is, and how little it asks; the last three in proportion to how often
it succeeds. What each may bring at the most stands in the head of its column; `[matching]` in the
configuration says.

Examples:
  photon route explain --skill text.upper
  photon route explain --skill text.upper --from ap-southeast-1 --placement eu
  photon route explain --skill text.upper --require lang.de --max-cost 0.01
  photon route explain --agent shout --output json")]
#[command(group = ArgGroup::new("target").required(true).args(["skill", "agent"]))]
pub struct RouteExplain {
    /// A task for any agent with this skill
    #[arg(long)]
    pub skill: Option<String>,
    /// A task for this agent
    #[arg(long)]
    pub agent: Option<String>,
    /// The home of the task, if it is not the region at --url
    #[arg(long, value_name = "REGION")]
    pub from: Option<RegionId>,
    /// Where the task may be kept [default: global]
    #[arg(long)]
    pub placement: Option<PlacementId>,
    /// What is wanted of the agent
    #[command(flatten)]
    pub wants: AgentWants,
    /// How many candidates to show at most
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub limit: u16,
}
