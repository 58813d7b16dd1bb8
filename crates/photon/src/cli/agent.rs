//! `photon agent`, as types.
//! Must not do anything.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use photon_state::{PlacementId, RegionId};
use reqwest::header::{HeaderName, HeaderValue};

use super::{cost, duration};

pub(super) const AGENT_EXAMPLES: &str = "\
Examples:
  photon agent run --name shout --skill text.upper -- tr a-z A-Z
  photon agent run --name gemini --skill code --acp -- gemini --acp
  photon agent import https://agents.example.com/currency
  photon agent ls --skill text.upper
  photon agent get shout
  photon agent rm shout";

/// What can be done about agents.
#[derive(Debug, Subcommand)]
pub enum Agent {
    /// Run a program for each task that an agent is given
    Run(AgentRun),
    /// Have an A2A server do the work: its tasks become durable, and its address one that stays
    Import(AgentImport),
    /// Ask an A2A server what costs no work, and grade what it really does
    #[command(after_help = "\
Grades: A all is as the specification wants it; B something is odd, and harms no task;
C tasks are done, but not all that Photon promises of them can be kept; F it cannot be given tasks.

Examples:
  photon agent probe https://agents.example.com/currency
  photon agent probe http://127.0.0.1:9000 --try 'how much is 1 EUR in USD?' --output json")]
    Probe {
        /// Whom to ask
        #[command(flatten)]
        asked: Asked,
        /// Give it this work, too
        #[arg(long = "try", value_name = "TEXT")]
        work: Option<String>,
    },
    /// List agents
    #[command(visible_alias = "list", after_help = AGENT_EXAMPLES)]
    Ls {
        /// Only those with this skill
        #[arg(long)]
        skill: Option<String>,
        /// Only those that are attached to this region
        #[arg(long)]
        region: Option<RegionId>,
    },
    /// Show an agent with its card
    #[command(after_help = AGENT_EXAMPLES)]
    Get {
        /// The agent
        name: String,
    },
    /// Remove an agent from the registry
    #[command(visible_alias = "remove", after_help = AGENT_EXAMPLES)]
    Rm {
        /// The agent
        name: String,
    },
}

/// What `photon agent run` may be told.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The program gets the message on its standard input. What it writes to its standard output
becomes the artifact `output`, while it runs. Exit status 0 completes the task; any other fails
it, with the last lines of standard error. PHOTON_TASK_ID, PHOTON_ATTEMPT and PHOTON_CONTEXT_ID
are set.

With --acp it is one that editors talk to, by the Agent Client Protocol. Each task is a turn of it,
and what it answers becomes the artifact `output`. It keeps running, one for each task that is
worked on at once; tasks of one conversation are turns of one session.

Examples:
  photon agent run --name shout --skill text.upper -- tr a-z A-Z
  photon agent run --name sum --skill text.sum --region eu-west-1 --concurrency 8 -- ./sum.py
  photon agent run --name slow --skill sh.slow --timeout 30s -- sh -c 'sleep 5; cat'
  photon agent run --name gemini --skill code --acp -- gemini --acp
  photon agent run --skill code --acp --acp-permissions ask --cwd src -- npx some-agent")]
pub struct AgentRun {
    /// The agent's name; with --acp that of the program, in small letters, if absent
    #[arg(long, required_unless_present = "acp")]
    pub name: Option<String>,
    /// What it can do; may be given several times
    #[arg(long = "skill", required = true, value_name = "SKILL")]
    pub skills: Vec<String>,
    /// The region to attach to, if it is not the one at --url
    #[arg(long)]
    pub region: Option<RegionId>,
    /// How many tasks to work on at once
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub concurrency: u32,
    /// What it asks for a task; where all else is equal, who asks less is given more
    #[arg(long, value_name = "AMOUNT", default_value_t = 0.0, value_parser = cost)]
    pub cost: f64,
    /// What people should know about the agent
    #[arg(long)]
    pub description: Option<String>,
    /// Where the agent's record may be kept
    #[arg(long)]
    pub placement: Option<PlacementId>,
    /// How long the program may take for a task, such as 30s or 5m
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// The program speaks the Agent Client Protocol
    #[arg(long)]
    pub acp: bool,
    /// What the program hears when it asks whether it may do something
    #[arg(long, value_enum, default_value_t = AcpPermissions::Reject, requires = "acp")]
    pub acp_permissions: AcpPermissions,
    /// The folder of the program's sessions; the current one if absent
    #[arg(long, value_name = "FOLDER", requires = "acp")]
    pub cwd: Option<PathBuf>,
    /// Say nothing about single tasks
    #[arg(long, short)]
    pub quiet: bool,
    /// The program, and what to give it
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    pub program: Vec<OsString>,
}

/// What a program hears that asks whether it may do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AcpPermissions {
    /// No
    Reject,
    /// Yes, each time: it may do all that its user may
    Allow,
    /// What the client of the task answers, which waits for it meanwhile
    Ask,
}

/// An A2A server, and how it is asked.
#[derive(Clone, Debug, Args)]
pub struct Asked {
    /// Its agent card, or the address below which it has one at .well-known/agent-card.json
    #[arg(value_name = "URL")]
    pub server: reqwest::Url,
    /// A header of each request; ${NAME} stands for a variable of the environment
    #[arg(long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<HeaderLine>,
    /// Another server that the card may name, to which headers are shown, too
    #[arg(long = "trust-origin", value_name = "ORIGIN")]
    pub trusted: Vec<reqwest::Url>,
}

/// What `photon agent import` may be told.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The server is asked what costs no work, graded, and announced under its card. This command then
carries tasks to it until Ctrl-C: run it as a service, near the server. What the server was asked is
kept with each task, so that whoever goes on with it asks nothing twice.

Examples:
  photon agent import https://agents.example.com/currency
  photon agent import http://127.0.0.1:9000 --name currency --skill money.convert --concurrency 64
  photon agent import https://agents.example.com/x --header 'Authorization: Bearer ${TOKEN}'")]
pub struct AgentImport {
    /// Whom to ask.
    #[command(flatten)]
    pub asked: Asked,
    /// The agent's name; that of the card, in small letters, if absent
    #[arg(long)]
    pub name: Option<String>,
    /// What it can do, if not what its card says; may be given several times
    #[arg(long = "skill", value_name = "SKILL")]
    pub skills: Vec<String>,
    /// The region to attach to, if it is not the one at --url
    #[arg(long)]
    pub region: Option<RegionId>,
    /// How many tasks it works on at once
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub concurrency: u32,
    /// What it asks for a task; where all else is equal, who asks less is given more
    #[arg(long, value_name = "AMOUNT", default_value_t = 0.0, value_parser = cost)]
    pub cost: f64,
    /// Where the agent's record may be kept
    #[arg(long)]
    pub placement: Option<PlacementId>,
    /// Say nothing about single tasks
    #[arg(long, short)]
    pub quiet: bool,
}

/// A header as it is typed.
#[derive(Clone, PartialEq, Eq)]
pub struct HeaderLine {
    /// Its name.
    pub name: HeaderName,
    /// What it says.
    pub value: HeaderValue,
}

impl fmt::Debug for HeaderLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ..", self.name)
    }
}

impl FromStr for HeaderLine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once(':').ok_or("write it as `Name: value`")?;
        let name = name.trim().parse().map_err(|_| format!("`{name}` is no name of a header"))?;
        let value = with_variables(value.trim(), |it| std::env::var(it).ok())?;
        let mut value =
            HeaderValue::from_str(&value).map_err(|_| "the value is not printable ASCII")?;
        value.set_sensitive(true);
        Ok(Self { name, value })
    }
}

/// Puts variables in the place of their names, so that a secret need not be typed.
fn with_variables(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let (mut whole, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').ok_or("a `${` has no `}`")?;
        whole.push_str(before);
        whole.push_str(&variable(name).ok_or(format!("the environment has no `{name}`"))?);
        rest = after;
    }
    whole.push_str(rest);
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_stand_in_headers() {
        let known = |name: &str| (name == "A").then(|| "1".to_owned());
        let check = |text, expected: Option<&str>| {
            assert_eq!(with_variables(text, known).ok().as_deref(), expected, "{text}");
        };
        check("plain", Some("plain"));
        check("x ${A}${A} y", Some("x 11 y"));
        check("$A", Some("$A"));
        check("${B}", None);
        check("${A", None);
    }

    #[test]
    fn a_header_is_never_shown() {
        let header: HeaderLine = "Authorization: Bearer secret".parse().unwrap();
        assert!(!format!("{header:?}").contains("secret"));
        assert!("no colon".parse::<HeaderLine>().is_err());
        assert!("a b: c".parse::<HeaderLine>().is_err());
    }
}
