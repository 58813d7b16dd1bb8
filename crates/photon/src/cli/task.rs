//! `photon send` and `photon task`, as types.
//! Must not do anything.

use std::ops::RangeInclusive;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use photon_edge::v1::types::FanOutUntil;
use photon_state::{PlacementId, RegionId};

use super::duration;

/// What `photon send` may be told.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  photon send --skill text.upper \"hello\" --region ap-southeast-1 --follow
  photon send --agent shout --wait < letter.txt -
  photon send --skill text.upper \"hello\" --idempotency-key order-17
  photon send --skill text.upper \"hello\" --priority 1 --attempts 5 --timeout 10m
  photon send --skill text.upper \"hello\" --fairness-key acme --fairness-weight 2.5
  photon send --skill code \"fix it\" --heartbeat-timeout 2m --retry-after 5s --retry-backoff 3
  photon send --skill text.vote \"yes or no?\" --fan-out agents --until quorum --wait")]
#[command(group = clap::ArgGroup::new("target").required(true).args(["skill", "agent"]))]
pub struct Send {
    /// What to say; `-` reads it from standard input
    pub text: String,
    /// Any agent with this skill
    #[arg(long)]
    pub skill: Option<String>,
    /// This agent
    #[arg(long)]
    pub agent: Option<String>,
    /// The region that becomes the home of the task, if it is not the one at --url
    #[arg(long)]
    pub region: Option<RegionId>,
    /// Print the result while it is made, and then where it was made
    #[arg(long, short)]
    pub follow: bool,
    /// Wait for the end, and then print the result
    #[arg(long, conflicts_with = "follow")]
    pub wait: bool,
    /// The conversation that the task belongs to
    #[arg(long)]
    pub context: Option<String>,
    /// Where the task and all that belongs to it may be kept
    #[arg(long)]
    pub placement: Option<PlacementId>,
    /// Where the task must be durable first [default: region]
    #[arg(long, value_parser = ["region", "quorum"])]
    pub ack: Option<String>,
    /// Makes it safe to send the same again: there is one task for one key
    #[arg(long)]
    pub idempotency_key: Option<String>,
    /// How it is queued, timed and tried again
    #[command(flatten)]
    pub terms: TaskTerms,
}

/// How a task is queued, timed and tried again.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Queue, time and retries")]
pub struct TaskTerms {
    /// How urgent it is: 1 is the most urgent, 5 the least [default: 3]
    #[arg(long, value_name = "1-5", value_parser = clap::value_parser!(u8).range(1..=5))]
    pub priority: Option<u8>,
    /// Whose share of the agents' time it takes; tasks of several keys take turns
    #[arg(long, value_name = "KEY")]
    pub fairness_key: Option<String>,
    /// How large that share is beside those of others [default: 1]
    #[arg(long, value_name = "NUMBER", value_parser = weight)]
    pub fairness_weight: Option<f64>,
    /// How long after now it may begin
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub delay: Option<Duration>,
    /// How long all of it may take; then it fails
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// How long it may wait for an agent; then it fails
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub queue_timeout: Option<Duration>,
    /// How long one attempt may take; then it is tried again, or fails
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub attempt_timeout: Option<Duration>,
    /// How long its worker may be silent; then it is tried again, or fails
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub heartbeat_timeout: Option<Duration>,
    /// How many attempts there are at the most if one fails
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub attempts: Option<u32>,
    /// How long after the first failure it is tried again [default with retries: 1s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub retry_after: Option<Duration>,
    /// By how much each pause is longer than the one before [default with retries: 2]
    #[arg(long, value_name = "NUMBER", value_parser = backoff)]
    pub retry_backoff: Option<f64>,
    /// Ask all agents that have the skill, or once in each region where one has it
    #[arg(long, value_enum, value_name = "agents|regions")]
    pub fan_out: Option<FanOver>,
    /// With --fan-out: when it has come to something: `all`, `quorum`, or once so many are done
    #[arg(long, value_name = "all|quorum|COUNT", value_parser = until, requires = "fan_out")]
    pub until: Option<FanOutUntil>,
    /// Who may be given it
    #[command(flatten)]
    pub wants: AgentWants,
}

/// Of whom a task is asked that is asked of many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FanOver {
    /// Every agent that has the skill.
    Agents,
    /// Every region in which an agent has it, once.
    Regions,
}

fn weight(text: &str) -> Result<f64, String> {
    number(text, 0.001..=1_000.0)
}

fn backoff(text: &str) -> Result<f64, String> {
    number(text, 1.0..=1_000.0)
}

fn number(text: &str, bounds: RangeInclusive<f64>) -> Result<f64, String> {
    let number = text.parse().ok().filter(|it| bounds.contains(it));
    number.ok_or_else(|| format!("write a number from {} to {}", bounds.start(), bounds.end()))
}

fn until(text: &str) -> Result<FanOutUntil, String> {
    match text {
        "all" => Ok(FanOutUntil::All),
        "quorum" => Ok(FanOutUntil::Quorum),
        _ => match text.parse() {
            Ok(count @ 1..=FanOutUntil::MAX) => Ok(FanOutUntil::First(count)),
            Ok(_) | Err(_) => Err("write `all`, `quorum`, or a number from 1 to 256".to_owned()),
        },
    }
}

/// What is wanted of the agent that is given a task.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Who may be given it")]
pub struct AgentWants {
    /// A skill that the agent must have, too; may be given several times
    #[arg(long = "require", value_name = "SKILL")]
    pub require: Vec<String>,
    /// A region to which the agent may be attached; may be given several times [default: any]
    #[arg(long = "agent-region", value_name = "REGION")]
    pub agent_regions: Vec<RegionId>,
    /// What the agent may ask for a task at the most
    #[arg(long, value_name = "AMOUNT", value_parser = super::cost)]
    pub max_cost: Option<f64>,
}

pub(super) const TASK_EXAMPLES: &str = "\
Examples:
  photon task ls --state working
  photon task get 06bm0d7t5g7r8tq8b1k3s0w9ze
  photon task follow 06bm0d7t5g7r8tq8b1k3s0w9ze
  photon task answer 06bm0d7t5g7r8tq8b1k3s0w9ze \"the blue one\"
  photon task cancel 06bm0d7t5g7r8tq8b1k3s0w9ze --reason \"not needed\"
  photon task dead-letters --skill text.upper
  photon task redrive 06bm0d7t5g7r8tq8b1k3s0w9ze";

/// What can be done about tasks.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// List tasks, the youngest first
    #[command(visible_alias = "list", after_help = TASK_EXAMPLES)]
    Ls {
        /// Only those in this state
        #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(TASK_STATES))]
        state: Option<String>,
        /// Only those asked of, or done by, this agent
        #[arg(long)]
        agent: Option<String>,
        /// Only those of this conversation
        #[arg(long)]
        context: Option<String>,
        /// How many at most
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Show a task with its result
    #[command(after_help = TASK_EXAMPLES)]
    Get {
        /// The task
        id: String,
    },
    /// Print the result of a task while it is made
    #[command(after_help = TASK_EXAMPLES)]
    Follow {
        /// The task
        id: String,
    },
    /// Answer what the agent of a task asked
    #[command(after_help = TASK_EXAMPLES)]
    Answer {
        /// The task
        id: String,
        /// The answer
        text: String,
        /// Answer only what was asked under this generation, as `task follow` shows it in JSON
        #[arg(long)]
        generation: Option<u64>,
    },
    /// Call a task off
    #[command(after_help = TASK_EXAMPLES)]
    Cancel {
        /// The task
        id: String,
        /// Why, in words
        #[arg(long)]
        reason: Option<String>,
    },
    /// List the tasks that failed and were not asked for again, the youngest first
    #[command(after_help = TASK_EXAMPLES)]
    DeadLetters {
        /// Only those asked of whoever has this skill
        #[arg(long)]
        skill: Option<String>,
        /// Only those asked of, or done by, this agent
        #[arg(long)]
        agent: Option<String>,
        /// How many at most
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Ask again for what tasks asked for that failed: a new task for each
    #[command(after_help = TASK_EXAMPLES)]
    Redrive {
        /// The tasks that failed
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        ids: Vec<String>,
        /// All dead letters
        #[arg(long)]
        all: bool,
        /// With `--all`: only those asked of whoever has this skill
        #[arg(long, requires = "all")]
        skill: Option<String>,
        /// With `--all`: only those asked of, or done by, this agent
        #[arg(long, requires = "all")]
        agent: Option<String>,
    },
}

const TASK_STATES: [&str; 8] = [
    "submitted",
    "working",
    "input_required",
    "auth_required",
    "completed",
    "failed",
    "canceled",
    "rejected",
];
