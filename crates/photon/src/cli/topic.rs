//! What may be typed about topics.
//! Must not do anything.

use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use photon_state::PlacementId;

use super::duration;
use crate::config::ByteSize;

pub(super) const TOPIC_EXAMPLES: &str = "\
Examples:
  photon topic publish agent-coordination \"the north is mine\" --key north
  photon topic publish orders '{\"order\": 7}' --json --id order-7 --ack quorum
  photon topic follow agent-coordination
  photon topic follow orders --from last --key 7 --output json
  photon topic read orders --after 1-42 --limit 10
  photon topic keep orders --time 168h --size 64MiB
  photon topic ls
  photon topic purge orders";

/// What can be done about topics.
#[derive(Debug, Subcommand)]
pub enum Topic {
    /// List the topics that may be known in the region
    #[command(visible_alias = "ls", after_help = TOPIC_EXAMPLES)]
    List,
    /// Show a topic
    #[command(visible_alias = "get", after_help = TOPIC_EXAMPLES)]
    Show(TopicName),
    /// Publish a message
    #[command(after_help = TOPIC_EXAMPLES)]
    Publish(TopicPublish),
    /// Print messages, and end
    #[command(after_help = TOPIC_EXAMPLES)]
    Read(TopicRead),
    /// Print messages as they come, until it is interrupted
    #[command(after_help = TOPIC_EXAMPLES)]
    Follow(TopicRead),
    /// Say for how long messages are kept
    #[command(after_help = TOPIC_EXAMPLES)]
    Keep(TopicKeep),
    /// Forget messages, in all regions
    #[command(after_help = TOPIC_EXAMPLES)]
    Purge {
        /// Which topic
        #[command(flatten)]
        of: TopicName,
        /// Only up to this position
        #[arg(long, value_name = "POSITION")]
        upto: Option<u64>,
    },
}

/// Which topic is meant.
#[derive(Clone, Debug, Args)]
pub struct TopicName {
    /// The topic
    #[arg(value_name = "TOPIC")]
    pub name: String,
    /// Where it lives [default: global]
    #[arg(long)]
    pub placement: Option<PlacementId>,
}

/// What `photon topic publish` may be told.
#[derive(Clone, Debug, Args)]
pub struct TopicPublish {
    /// Which topic
    #[command(flatten)]
    pub of: TopicName,
    /// What it says; `-` reads it from standard input
    #[arg(value_name = "TEXT")]
    pub text: String,
    /// It is JSON, not text
    #[arg(long)]
    pub json: bool,
    /// What it is about
    #[arg(long)]
    pub key: Option<String>,
    /// Its name: to publish it again under the same name changes nothing
    #[arg(long)]
    pub id: Option<String>,
    /// Where it must be durable first [default: region]
    #[arg(long, value_parser = ["region", "quorum"])]
    pub ack: Option<String>,
}

/// What `photon topic read` and `photon topic follow` may be told.
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("start").multiple(false))]
pub struct TopicRead {
    /// Which topic
    #[command(flatten)]
    pub of: TopicName,
    /// From the first message that is kept, or only what comes after the last [default: first]
    #[arg(long, value_parser = ["first", "last"], group = "start")]
    pub from: Option<String>,
    /// After a message, by its cursor or its position
    #[arg(long, value_name = "CURSOR", group = "start")]
    pub after: Option<String>,
    /// From a time on, such as 2026-11-23T12:00:00Z
    #[arg(long, value_name = "TIME", group = "start")]
    pub since: Option<String>,
    /// Only messages of this key
    #[arg(long)]
    pub key: Option<String>,
    /// How many messages at most
    #[arg(long, value_name = "COUNT")]
    pub limit: Option<u64>,
}

/// What `photon topic keep` may be told.
#[derive(Clone, Debug, Args)]
pub struct TopicKeep {
    /// Which topic
    #[command(flatten)]
    pub of: TopicName,
    /// How long each is kept, such as 24h [default: as it is, or 24h]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub time: Option<Duration>,
    /// Bytes of all together, such as 64MiB [default: as it is, or 16MiB]
    #[arg(long, value_name = "SIZE")]
    pub size: Option<ByteSize>,
}
