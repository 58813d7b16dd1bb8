//! The command line, as types: what may be typed, and what `--help` says about it.
//! Must not do anything.

mod agent;
mod data;
mod drill;
mod planet;
mod region;
mod route;
mod task;
mod topic;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use photon_state::{PlacementId, RegionId};

use self::agent::AGENT_EXAMPLES;
pub use self::agent::{AcpPermissions, Agent, AgentImport, AgentRun, Asked, HeaderLine};
use self::data::{DATA_EXAMPLES, DATASET_EXAMPLES, REPLICATION_EXAMPLES, STATE_EXAMPLES};
pub use self::data::{
    Data, Dataset, DatasetDeclare, ReadOptions, RecordName, Replication, State, WriteOptions,
};
pub(crate) use self::drill::offset_ms;
pub use self::drill::{Drill, DrillKind};
pub use self::planet::{Ca, CaIssue, CaNew, CutPaths, Planet, PlanetTarget, SlowPaths, Voters};
use self::region::REGION_EXAMPLES;
pub use self::region::{Region, RegionFault, RegionLeaver, RegionMember, RegionTarget};
pub use self::route::{Route, RouteExplain};
use self::task::TASK_EXAMPLES;
pub use self::task::{AgentWants, FanOver, Send, Task, TaskTerms};
use self::topic::TOPIC_EXAMPLES;
pub use self::topic::{Topic, TopicKeep, TopicName, TopicPublish, TopicRead};
use crate::client::Endpoint;
use crate::exit::EXIT_CODES;
use crate::output::Format;
use crate::wan::Wan;

/// Photon runs AI agents in many regions as one system.
///
/// Start a planet with `photon up`, turn any program into an agent with `photon agent run`,
/// and give it work from anywhere with `photon send`.
#[derive(Debug, Parser)]
#[command(name = "photon", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What holds for every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The front door of a region
    #[arg(long, global = true, env = "PHOTON_URL", default_value = "http://127.0.0.1:7400")]
    pub url: Endpoint,
    /// The bearer token, where a region asks for one
    #[arg(long, global = true, env = "PHOTON_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// The form of results
    #[arg(long, global = true, value_enum, default_value_t)]
    pub output: Format,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a planet of several regions on this machine
    Up(Up),
    /// Run one region, as production does
    Serve(Serve),
    /// List, add, drain and remove the regions of a planet; stop and start those of `photon up`
    #[command(subcommand, after_help = REGION_EXAMPLES)]
    Region(Region),
    /// Turn a program or an A2A server into an agent; list, show and remove agents
    #[command(subcommand, after_help = AGENT_EXAMPLES)]
    Agent(Agent),
    /// Give an agent a task
    Send(Send),
    /// List, show, follow and cancel tasks
    #[command(subcommand, after_help = TASK_EXAMPLES)]
    Task(Task),
    /// Explain who would be given a task
    #[command(subcommand)]
    Route(Route),
    /// Make the certificates of a planet's links; cut, slow and mend those of `photon up`
    #[command(subcommand)]
    Planet(Planet),
    /// Break something in a planet of `photon up` under load, and report what became of the work
    Drill(Drill),
    /// Publish to topics, and read them
    #[command(subcommand, after_help = TOPIC_EXAMPLES)]
    Topic(Topic),
    /// Declare, list, show and remove datasets
    #[command(subcommand, after_help = DATASET_EXAMPLES)]
    Dataset(Dataset),
    /// Read, write and watch the records of datasets
    #[command(subcommand, after_help = DATA_EXAMPLES)]
    Data(Data),
    /// Show how far regions are behind each other, who sends changes to whom, and conflicts
    #[command(subcommand, after_help = REPLICATION_EXAMPLES)]
    Replication(Replication),
    /// Compare what regions hold
    #[command(subcommand, after_help = STATE_EXAMPLES)]
    State(State),
    /// Make bearer tokens
    #[command(subcommand)]
    Token(Token),
    /// Run imagined planets through faults, and check the promises
    Simulate(Simulate),
    /// Print the version
    #[command(after_help = "Examples:\n  photon version\n  photon version --output json")]
    Version,
    /// Print completions for a shell
    Completions(Completions),
}

/// What `photon up` may be told.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  photon up
  photon up --regions us-east-1,eu-west-1,ap-southeast-1 --fresh
  photon up --base-port 9000 --wan off --data /tmp/planet
  photon up --chaos 42
  photon up --placement eu=eu-west-1,eu-central-1 --regions us-east-1,eu-west-1,eu-central-1")]
pub struct Up {
    /// The regions of the planet; the catalog in docs/cli.md has their names
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "REGIONS",
        default_value = "us-east-1,eu-west-1,ap-southeast-1"
    )]
    pub regions: Vec<RegionId>,
    /// A set of regions in which data may be kept; may be given several times
    #[arg(long = "placement", value_name = "NAME=REGIONS", value_parser = placement)]
    pub placements: Vec<Placement>,
    /// The port of the first region; region i is at +10*i, its links at +10*i+1
    #[arg(long, default_value_t = 7400)]
    pub base_port: u16,
    /// The delay between regions: `on` by distance, `off`, or a file of round trips
    #[arg(long, value_name = "on|off|FILE", default_value = "on")]
    pub wan: Wan,
    /// How regions pass on what they write; docs/links.md compares them
    #[arg(long, value_name = "TOPOLOGY", default_value = "mesh", value_parser = topologies())]
    pub topology: String,
    /// The folder that keeps the planet's state [default: ~/.local/state/photon/dev]
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
    /// Begin with an empty planet: what the folder holds of an earlier one is removed
    #[arg(long)]
    pub fresh: bool,
    /// Let faults happen at random, for a demonstration; the same seed has the same faults
    #[arg(long, value_name = "SEED")]
    pub chaos: Option<u64>,
}

/// A named set of regions.
#[derive(Clone, Debug)]
pub struct Placement {
    /// Its name.
    pub name: PlacementId,
    /// Its regions.
    pub regions: Vec<RegionId>,
}

/// What `photon serve` may be told.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  photon serve --config photon.toml --region eu-west-1
  RUST_LOG=debug photon serve --config photon.toml --region eu-west-1")]
pub struct Serve {
    /// The configuration; docs/configuration.md explains each key
    #[arg(long, value_name = "FILE", default_value = "photon.toml")]
    pub config: PathBuf,
    /// The region to run
    #[arg(long)]
    pub region: RegionId,
    /// What to log, as `RUST_LOG` has it, such as `info` or `photon_node=debug,info`
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// End when the process of this id, which is the parent, ends
    #[arg(long, hide = true, value_name = "PID")]
    pub die_with_parent: Option<u32>,
    /// The file in which `photon up` says what is wrong with this region, for drills
    #[arg(long, hide = true, value_name = "FILE")]
    pub faults: Option<PathBuf>,
}

/// What can be done about bearer tokens.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Print a new token, once, and the line for the configuration
    #[command(after_help = "Examples:\n  photon token new\n  photon token new --output json")]
    New,
}

/// What `photon simulate` may be told.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  photon simulate --seeds 1000
  photon simulate --seed 42 --trace
  photon simulate --schedule docs/schedules/failover.toml --seeds 20
  photon simulate --schedule faults.toml --regions us-east-1,eu-west-1,ap-southeast-1 --seed 7")]
pub struct Simulate {
    /// How many seeds to try, from 0
    #[arg(long, default_value_t = 100, conflicts_with = "seed")]
    pub seeds: u64,
    /// Try this seed only
    #[arg(long)]
    pub seed: Option<u64>,
    /// Print what happens
    #[arg(long, requires = "seed")]
    pub trace: bool,
    /// How many seeds to try at once [default: one for each processor]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// Make the faults of this file instead of those of the seeds; docs/drills.md explains it
    #[arg(long, value_name = "FILE")]
    pub schedule: Option<PathBuf>,
    /// The regions of the planet [default: those that the schedule names, and three at least]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "schedule")]
    pub regions: Vec<RegionId>,
    /// Let the seeds make their faults, too
    #[arg(long, requires = "schedule")]
    pub faults: bool,
}

/// What `photon completions` may be told.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  photon completions bash > ~/.local/share/bash-completion/completions/photon
  photon completions zsh > ~/.zfunc/_photon
  photon completions fish > ~/.config/fish/completions/photon.fish")]
pub struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}

fn cost(text: &str) -> Result<f64, String> {
    let cost: f64 = text.parse().map_err(|_| "write an amount such as 0.02".to_owned())?;
    let bounds = 0.0..=photon_edge::v1::types::COST_MAX;
    if bounds.contains(&cost) {
        return Ok(cost);
    }
    Err(format!("give an amount from 0 to {}", bounds.end()))
}

fn topologies() -> clap::builder::PossibleValuesParser {
    clap::builder::PossibleValuesParser::new(photon_region::Topology::NAMES)
}

fn placement(text: &str) -> Result<Placement, String> {
    let (name, regions) = text.split_once('=').ok_or("write it as eu=eu-west-1,eu-central-1")?;
    let name = PlacementId::try_from(name).map_err(|error| error.to_string())?;
    let regions = regions.split(',').map(|it| RegionId::try_from(it.trim()));
    let regions = regions.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    Ok(Placement { name, regions })
}

/// Reads a duration such as `500ms`, `30s`, `5m` or `2h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at(digits);
    let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    let ms = factor.zip(count.parse::<u64>().ok()).and_then(|(a, b)| a.checked_mul(b));
    let ms = ms.filter(|it| 0 < *it).ok_or("write it as 500ms, 30s, 5m or 2h")?;
    Ok(Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples() {
        fn check(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let groups = command.has_subcommands();
            assert!(groups || help.contains("Examples:"), "{}", command.get_name());
            command.get_subcommands().for_each(check);
        }
        Cli::command().get_subcommands().for_each(check);
    }

    #[test]
    fn durations_need_a_unit_and_placements_a_name() {
        let check = |text, expected_ms: Option<u64>| {
            assert_eq!(duration(text).ok(), expected_ms.map(Duration::from_millis), "{text}");
        };
        check("500ms", Some(500));
        check("5m", Some(300_000));
        for bad in ["", "5", "s", "-1s", "0s", "99999999999999999999h"] {
            check(bad, None);
        }
        assert_eq!(placement("eu=eu-west-1, eu-central-1").unwrap().regions.len(), 2);
        assert!(placement("eu").is_err());
    }

    #[test]
    fn a_task_goes_to_a_skill_or_to_an_agent_but_not_to_both() {
        let parses = |args: &[&str]| Cli::try_parse_from([&["photon", "send"], args].concat());
        assert!(parses(&["--skill", "s", "hello"]).is_ok());
        assert!(parses(&["hello"]).is_err());
        assert!(parses(&["--skill", "s", "hello", "--ack", "quorum"]).is_ok());
        assert!(parses(&["--skill", "s", "hello", "--ack", "all"]).is_err());
        assert!(parses(&["--skill", "s", "--agent", "a", "hello"]).is_err());
    }
}
