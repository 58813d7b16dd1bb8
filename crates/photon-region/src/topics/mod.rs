//! Topics: messages in one order for all regions of a placement, kept for a while.
//!
//! A topic has a home, as a task has, by a shard that follows from its name. The home alone numbers
//! what is published, and writes it into segments: logs of one writer each, which name the one
//! that they go on from. So an heir begins a segment of its own, and what a lost home had written
//! beyond that is no longer shown (`chain`); it is published once more when it comes to light
//! (`publish`). What is old enough or too much goes by whole segments.
//! Must not know what a message says.

mod chain;
mod index;
mod publish;
mod read;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use photon_state::{Dataset, Hlc, Key, PlacementId, Record, RegionId, StableHash};

pub(crate) use chain::{SegmentId, Topic};
pub(crate) use index::fits_segment;

use crate::contract::Command;
use crate::task::{Ack, Json, Shard, TaskId};
use crate::webhooks::Mark;

/// Records of messages: a log by topic and segment.
pub(crate) const MESSAGES: Dataset = Dataset(9);
/// Records of what is wanted of topics: a register by name.
pub(crate) const TOPICS: Dataset = Dataset(10);

/// Names a topic within its placement.
pub type TopicName = Arc<str>;

/// The longest name of a topic, in bytes.
pub const TOPIC_NAME_BYTES_MAX: usize = 64;

/// What is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// Its name within the topic: to publish it again changes nothing.
    pub id: Arc<str>,
    /// What it is about: who reads may want one key alone.
    pub key: Option<Arc<str>>,
    /// What it says.
    pub data: Json,
}

impl Post {
    /// The longest name, and the longest key, in bytes.
    pub const ID_BYTES_MAX: usize = 128;
    /// Bytes of what one says; more is refused.
    pub const DATA_BYTES_MAX: usize = 64 << 10;

    /// Returns about how many bytes it takes.
    #[must_use]
    pub fn weight(&self) -> usize {
        64 + self.id.len() + self.key.as_ref().map_or(0, |it| it.len()) + self.data.0.len()
    }
}

/// A message with its place in the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// Where it is: positions are 1, 2, 3 .. without gaps.
    pub mark: Mark,
    /// When its home took it.
    pub at: Hlc,
    /// What was published.
    pub post: Post,
}

/// For how long messages are kept: what is older, or more, is forgotten by and by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How long each is kept at least, as far as `bytes` allow.
    pub time: Duration,
    /// Bytes of all together.
    pub bytes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { time: Duration::from_secs(24 * 3_600), bytes: 16 << 20 }
    }
}

/// What only the home of a topic can decide. All of it may safely be said twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicAsk {
    /// Number a message, and keep it.
    Publish {
        /// The message.
        post: Post,
        /// When it is acknowledged.
        ack: Ack,
    },
    /// Forget all messages up to a position.
    Purge {
        /// The position.
        upto: u64,
    },
}

/// What may be asked of any region where a topic may live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicCommand {
    /// Read messages, in order.
    Read(TopicRead),
    /// Show a topic, or all that are known here.
    Show(Option<(PlacementId, TopicName)>),
    /// Say for how long messages are kept.
    Keep {
        /// Where the topic lives.
        placement: PlacementId,
        /// Its name.
        name: TopicName,
        /// For how long.
        retention: Retention,
    },
}

/// What of a topic is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRead {
    /// Where the topic lives.
    pub placement: PlacementId,
    /// Its name.
    pub name: TopicName,
    /// From where on.
    pub start: Start,
    /// Only those of this key.
    pub key: Option<Arc<str>>,
    /// How many at most; none to learn where it stands.
    pub limit: usize,
    /// How long to wait for one at most.
    pub wait: Duration,
}

impl TopicRead {
    /// Returns the command that wants the same from elsewhere on.
    fn from(&self, start: Start) -> Box<Command> {
        Box::new(Command::Topic(TopicCommand::Read(Self { start, ..self.clone() })))
    }
}

/// From where messages are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// From the first that is kept.
    First,
    /// Only what comes from now on.
    Last,
    /// After a position that was told before; its epoch is 0 if that is not known.
    After(Mark),
    /// From the first that was taken at a time or later, by the wall clock in milliseconds.
    At(u64),
}

/// A topic in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicView {
    /// Its name.
    pub name: TopicName,
    /// Where it may live.
    pub placement: PlacementId,
    /// The region that numbers its messages.
    pub home: RegionId,
    /// For how long messages are kept.
    pub retention: Retention,
    /// The position of the first message that is kept; one more than `last` if there is none.
    pub first: u64,
    /// The position of the last message; 0 before there is one.
    pub last: u64,
    /// Bytes that its messages take.
    pub bytes: u64,
}

/// Messages that were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posts {
    /// The messages, in order; none if the wait was over.
    pub posts: Vec<Posted>,
    /// From where to read on.
    pub next: Mark,
    /// The position of the first message that is kept.
    pub first: u64,
    /// The position of the last message that is known here.
    pub last: u64,
    /// Whether messages after the position that was asked for are kept no more.
    pub is_cut: bool,
}

/// Returns what names a topic among all that has a home: its shard follows from its name.
#[must_use]
pub fn topic_id(placement: PlacementId, name: &str) -> TaskId {
    let hash = StableHash::default().bytes(placement.as_str().as_bytes()).bytes(name.as_bytes());
    let (first, second) = (hash.number(1).finish(), hash.number(2).finish());
    let shard = Shard((first >> 48) as u16 % Shard::COUNT);
    TaskId::new(first & 0xffff_ffff_ffff, placement, shard, second)
}

/// The topics that this region may hold: an index over the store.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    pub(crate) all: BTreeMap<TaskId, Topic>,
    /// What is wanted of them, where something was said.
    retentions: BTreeMap<(PlacementId, TopicName), Retention>,
    bytes: usize,
}

impl Topics {
    /// How many there may be; messages of more are refused.
    pub(crate) const MAX: usize = 1_000;

    pub(crate) fn get(&self, id: TaskId) -> Option<&Topic> {
        self.all.get(&id)
    }

    /// Returns how many bytes all messages take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn retention(&self, topic: &Topic) -> Retention {
        let said = self.retentions.get(&(topic.placement, topic.name.clone()));
        said.copied().unwrap_or_default()
    }
}

pub(crate) fn segment_record(placement: PlacementId, id: TaskId, segment: SegmentId) -> Record {
    let mut key = id.to_bytes().to_vec();
    key.extend_from_slice(&segment.epoch.to_be_bytes());
    key.extend_from_slice(&segment.number.to_be_bytes());
    Record { placement, dataset: MESSAGES, key: Key::new(&key) }
}

/// Returns the topic and the segment that a record of [`MESSAGES`] is about.
pub(crate) fn segment_of(key: &Key) -> Option<(TaskId, SegmentId)> {
    let (id, rest) = key.as_bytes().split_at_checked(16)?;
    let (epoch, number) = rest.split_at_checked(4)?;
    let epoch = u32::from_be_bytes(epoch.try_into().ok()?);
    let number = u32::from_be_bytes(number.try_into().ok()?);
    Some((TaskId::from_bytes(id.try_into().ok()?), SegmentId { epoch, number }))
}

pub(crate) fn retention_record(placement: PlacementId, name: &str) -> Record {
    Record { placement, dataset: TOPICS, key: Key::new(name.as_bytes()) }
}

/// Returns the topic that a record of [`TOPICS`] is about.
pub(crate) fn topic_of(record: &Record) -> Option<TopicName> {
    let name = std::str::from_utf8(record.key.as_bytes()).ok()?;
    is_topic_name(name).then(|| name.into())
}

/// Whether a text names a topic: 1 to 64 of a-z, 0-9, `-`, `_` and `.`, beginning with a letter.
#[must_use]
pub fn is_topic_name(text: &str) -> bool {
    let begins_well = text.bytes().next().is_some_and(|it| it.is_ascii_lowercase());
    let is_allowed =
        |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || b"-_.".contains(&it);
    begins_well && text.len() <= TOPIC_NAME_BYTES_MAX && text.bytes().all(is_allowed)
}

/// What an entry of a segment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The first: where the segment goes on.
    Begun(Begun),
    /// A message.
    Said(Post),
}

/// With what a segment begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Begun {
    pub(crate) name: TopicName,
    /// The position before its first message.
    pub(crate) base: u64,
    /// The segment that has that one.
    pub(crate) after: Option<SegmentId>,
    /// Up to which position messages are kept no more.
    pub(crate) floor: u64,
}

/// Hashes the name of a message: which of many it is, not who means harm.
fn hash(id: &str) -> u64 {
    StableHash::default().bytes(id.as_bytes()).finish()
}
