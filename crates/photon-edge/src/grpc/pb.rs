//! The messages of `proto/photon/v1/photon.proto`, which says what they mean.
//! Must not do anything: the file and this one say the same, and the tests of the wire compare.

use prost::{Enumeration, Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub(super) struct WorkerSaid {
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(oneof = "ByWorker", tags = "2, 3, 4, 5, 6, 7, 8")]
    pub(super) said: Option<ByWorker>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum ByWorker {
    #[prost(message, tag = "2")]
    Attach(Attach),
    #[prost(message, tag = "3")]
    Beat(Beat),
    #[prost(message, tag = "4")]
    Notes(Notes),
    #[prost(message, tag = "5")]
    Complete(Complete),
    #[prost(message, tag = "6")]
    Pause(Pause),
    #[prost(message, tag = "7")]
    Fail(Fail),
    #[prost(message, tag = "8")]
    Drain(Drain),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RegionSaid {
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(oneof = "ByRegion", tags = "2, 3, 4, 5, 6, 7, 8")]
    pub(super) said: Option<ByRegion>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum ByRegion {
    #[prost(message, tag = "2")]
    Attached(Attached),
    #[prost(message, tag = "3")]
    Lease(Lease),
    #[prost(message, tag = "4")]
    Standing(Standing),
    #[prost(message, tag = "5")]
    Problem(Problem),
    #[prost(message, tag = "6")]
    Lost(Lost),
    #[prost(message, tag = "7")]
    Leaving(Leaving),
    #[prost(message, tag = "8")]
    Beaten(Beaten),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Attach {
    #[prost(string, tag = "1")]
    pub(super) agent: String,
    #[prost(string, repeated, tag = "2")]
    pub(super) skills: Vec<String>,
    #[prost(uint32, tag = "3")]
    pub(super) capacity: u32,
    #[prost(string, tag = "4")]
    pub(super) card: String,
    #[prost(string, tag = "5")]
    pub(super) description: String,
    #[prost(string, tag = "6")]
    pub(super) placement: String,
    #[prost(double, tag = "7")]
    pub(super) cost: f64,
    #[prost(message, repeated, tag = "8")]
    pub(super) holds: Vec<Held>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Held {
    #[prost(string, tag = "1")]
    pub(super) task: String,
    #[prost(uint64, tag = "2")]
    pub(super) token: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Attached {
    #[prost(string, tag = "1")]
    pub(super) region: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Beat {}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Beaten {
    #[prost(uint32, tag = "1")]
    pub(super) leases: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Lease {
    #[prost(string, tag = "1")]
    pub(super) task: String,
    #[prost(uint64, tag = "2")]
    pub(super) token: u64,
    #[prost(uint32, tag = "3")]
    pub(super) attempt: u32,
    #[prost(string, tag = "4")]
    pub(super) home: String,
    #[prost(string, tag = "5")]
    pub(super) skill: String,
    #[prost(string, tag = "6")]
    pub(super) agent: String,
    #[prost(string, tag = "7")]
    pub(super) message: String,
    #[prost(string, repeated, tag = "8")]
    pub(super) turns: Vec<String>,
    #[prost(message, repeated, tag = "9")]
    pub(super) checkpoints: Vec<Checkpoint>,
    #[prost(string, tag = "10")]
    pub(super) context_id: String,
    #[prost(string, tag = "11")]
    pub(super) placement: String,
    #[prost(uint64, tag = "12")]
    pub(super) ttl_ms: u64,
    #[prost(string, tag = "13")]
    pub(super) closes_at: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Lost {
    #[prost(string, tag = "1")]
    pub(super) task: String,
    #[prost(message, optional, tag = "2")]
    pub(super) problem: Option<Problem>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Notes {
    #[prost(string, tag = "1")]
    pub(super) task: String,
    #[prost(uint64, tag = "2")]
    pub(super) first: u64,
    #[prost(message, repeated, tag = "3")]
    pub(super) notes: Vec<Note>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Note {
    #[prost(oneof = "Noted", tags = "1, 2, 3, 4")]
    pub(super) note: Option<Noted>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Noted {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(string, tag = "2")]
    Message(String),
    #[prost(message, tag = "3")]
    Artifact(Artifact),
    #[prost(message, tag = "4")]
    Checkpoint(Checkpoint),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Artifact {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(oneof = "Content", tags = "3, 4")]
    pub(super) content: Option<Content>,
    #[prost(bool, tag = "5")]
    pub(super) append: bool,
    #[prost(bool, tag = "6")]
    pub(super) last: bool,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Content {
    #[prost(string, tag = "3")]
    Text(String),
    #[prost(string, tag = "4")]
    Parts(String),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Checkpoint {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Complete {
    #[prost(string, tag = "1")]
    pub(super) task: String,
    #[prost(uint64, optional, tag = "2")]
    pub(super) notes: Option<u64>,
    #[prost(oneof = "Result", tags = "3, 4")]
    pub(super) said: Option<Result>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Result {
    #[prost(string, tag = "3")]
    Text(String),
    #[prost(string, tag = "4")]
    Message(String),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Pause {
    #[prost(string, tag = "1")]
    pub(super) task: String,
    #[prost(uint64, optional, tag = "2")]
    pub(super) notes: Option<u64>,
    #[prost(enumeration = "For", tag = "3")]
    pub(super) what_for: i32,
    #[prost(oneof = "Question", tags = "4, 5")]
    pub(super) said: Option<Question>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub(super) enum For {
    Input = 0,
    Auth = 1,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Question {
    #[prost(string, tag = "4")]
    Text(String),
    #[prost(string, tag = "5")]
    Message(String),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Fail {
    #[prost(string, tag = "1")]
    pub(super) task: String,
    #[prost(uint64, optional, tag = "2")]
    pub(super) notes: Option<u64>,
    #[prost(string, tag = "3")]
    pub(super) reason: String,
    #[prost(bool, tag = "4")]
    pub(super) rejected: bool,
    #[prost(bool, tag = "5")]
    pub(super) non_retryable: bool,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Drain {}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Standing {
    #[prost(string, tag = "1")]
    pub(super) task: String,
    #[prost(string, tag = "2")]
    pub(super) state: String,
    #[prost(uint64, tag = "3")]
    pub(super) generation: u64,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Leaving {}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Problem {
    #[prost(string, tag = "1")]
    pub(super) kind: String,
    #[prost(string, tag = "2")]
    pub(super) detail: String,
    #[prost(uint32, tag = "3")]
    pub(super) status: u32,
    #[prost(string, tag = "4")]
    pub(super) field: String,
    #[prost(uint64, optional, tag = "5")]
    pub(super) expected: Option<u64>,
    #[prost(uint64, optional, tag = "6")]
    pub(super) retry_after_ms: Option<u64>,
    #[prost(string, repeated, tag = "7")]
    pub(super) members: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PublishRequest {
    #[prost(string, tag = "1")]
    pub(super) topic: String,
    #[prost(string, tag = "2")]
    pub(super) placement: String,
    #[prost(string, tag = "3")]
    pub(super) data: String,
    #[prost(string, tag = "4")]
    pub(super) key: String,
    #[prost(string, tag = "5")]
    pub(super) id: String,
    #[prost(enumeration = "Ack", tag = "6")]
    pub(super) ack: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub(super) enum Ack {
    Region = 0,
    Quorum = 1,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Published {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(uint64, tag = "2")]
    pub(super) position: u64,
    #[prost(string, tag = "3")]
    pub(super) cursor: String,
    #[prost(bool, tag = "4")]
    pub(super) repeated: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FollowRequest {
    #[prost(string, tag = "1")]
    pub(super) topic: String,
    #[prost(string, tag = "2")]
    pub(super) placement: String,
    #[prost(enumeration = "From", tag = "3")]
    pub(super) from: i32,
    #[prost(string, tag = "4")]
    pub(super) after: String,
    #[prost(string, tag = "5")]
    pub(super) since: String,
    #[prost(string, tag = "6")]
    pub(super) key: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub(super) enum From {
    First = 0,
    Last = 1,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TopicSaid {
    #[prost(oneof = "OfTopic", tags = "1, 2")]
    pub(super) said: Option<OfTopic>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum OfTopic {
    #[prost(message, tag = "1")]
    Message(TopicMessage),
    #[prost(uint64, tag = "2")]
    Gap(u64),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TopicMessage {
    #[prost(uint64, tag = "1")]
    pub(super) position: u64,
    #[prost(string, tag = "2")]
    pub(super) cursor: String,
    #[prost(string, tag = "3")]
    pub(super) id: String,
    #[prost(string, tag = "4")]
    pub(super) key: String,
    #[prost(string, tag = "5")]
    pub(super) at: String,
    #[prost(string, tag = "6")]
    pub(super) data: String,
}
