//! The messages of `proto/photon/v1/photon.proto`, which says what they mean.
//! Must not do anything: the two say the same, and a test compares them.

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

#[derive(Clone, PartialEq, Message)]
pub(super) struct Beaten {
    #[prost(uint32, tag = "1")]
    pub(super) leases: u32,
    #[prost(string, repeated, tag = "2")]
    pub(super) unreached: Vec<String>,
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
    #[prost(uint64, tag = "2")]
    pub(super) token: u64,
    #[prost(message, optional, tag = "3")]
    pub(super) problem: Option<Problem>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Notes {
    #[prost(string, tag = "1")]
    pub(super) task: String,
    #[prost(uint64, tag = "2")]
    pub(super) token: u64,
    #[prost(uint64, tag = "3")]
    pub(super) first: u64,
    #[prost(message, repeated, tag = "4")]
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
    #[prost(uint64, tag = "2")]
    pub(super) token: u64,
    #[prost(uint64, optional, tag = "3")]
    pub(super) notes: Option<u64>,
    #[prost(oneof = "Words", tags = "4, 5")]
    pub(super) said: Option<Words>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Words {
    #[prost(string, tag = "4")]
    Text(String),
    #[prost(string, tag = "5")]
    Message(String),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Pause {
    #[prost(string, tag = "1")]
    pub(super) task: String,
    #[prost(uint64, tag = "2")]
    pub(super) token: u64,
    #[prost(uint64, optional, tag = "3")]
    pub(super) notes: Option<u64>,
    #[prost(oneof = "Words", tags = "4, 5")]
    pub(super) said: Option<Words>,
    #[prost(enumeration = "WhatFor", tag = "6")]
    pub(super) what_for: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub(super) enum WhatFor {
    Input = 0,
    Auth = 1,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Fail {
    #[prost(string, tag = "1")]
    pub(super) task: String,
    #[prost(uint64, tag = "2")]
    pub(super) token: u64,
    #[prost(uint64, optional, tag = "3")]
    pub(super) notes: Option<u64>,
    #[prost(string, tag = "4")]
    pub(super) reason: String,
    #[prost(bool, tag = "5")]
    pub(super) rejected: bool,
    #[prost(bool, tag = "6")]
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
    #[prost(enumeration = "Start", tag = "3")]
    pub(super) start: i32,
    #[prost(string, tag = "4")]
    pub(super) after: String,
    #[prost(string, tag = "5")]
    pub(super) since: String,
    #[prost(string, tag = "6")]
    pub(super) key: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub(super) enum Start {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// A field: of which message, its name, its type, and its number.
    type Field = (String, String, String, u32);

    /// Reads the fields of the definition; those of a choice are its message's.
    fn of_definition() -> BTreeSet<Field> {
        let text = include_str!("../../../../proto/photon/v1/photon.proto");
        let (mut message, mut is_enum, mut fields) = (String::new(), false, BTreeSet::new());
        for line in text.lines().map(str::trim).filter(|it| !it.starts_with("//")) {
            if let Some(rest) = line.strip_prefix("message ") {
                message = rest.split_whitespace().next().unwrap().to_owned();
            }
            is_enum = (is_enum || line.starts_with("enum ")) && line != "}";
            let Some((left, number)) = line.split_once(" = ").filter(|_| !is_enum) else {
                continue;
            };
            let Ok(number) = number.trim_end_matches(';').parse() else { continue };
            let (kind, name) = left.rsplit_once(' ').unwrap();
            fields.insert((message.clone(), name.to_owned(), kind.to_owned(), number));
        }
        fields
    }

    /// Reads the fields of this file in the same words.
    fn of_this_file() -> BTreeSet<Field> {
        let text = include_str!("pb.rs").split("#[cfg(test)]").next().unwrap();
        let choices: Vec<(String, Vec<String>)> = blocks(text, "pub(super) enum ");
        let mut fields = BTreeSet::new();
        for (message, lines) in blocks(text, "pub(super) struct ") {
            for pair in lines.chunks(2) {
                let (how, what) = (&pair[0], &pair[1]);
                if let Some(choice) = how.split("oneof = \"").nth(1) {
                    let choice = choice.split('"').next().unwrap();
                    let (_, lines) = choices.iter().find(|it| it.0 == choice).unwrap();
                    fields.extend(lines.chunks(2).map(|it| field(&message, &it[0], &it[1])));
                } else {
                    fields.insert(field(&message, how, what));
                }
            }
        }
        fields
    }

    /// Returns the blocks that begin with some words, each with its lines.
    fn blocks(text: &str, begin: &str) -> Vec<(String, Vec<String>)> {
        let blocks = text.split(begin).skip(1).map(|block| {
            let name = block.split([' ', '{']).next().unwrap().to_owned();
            let body = block.split_once('{').unwrap().1.split('}').next().unwrap();
            let lines = body.lines().map(str::trim).filter(|it| !it.is_empty());
            (name, lines.map(str::to_owned).collect())
        });
        blocks.collect()
    }

    fn field(message: &str, how: &str, what: &str) -> Field {
        let number = how.split("tag = \"").nth(1).unwrap().split('"').next().unwrap();
        let what = what.trim_start_matches("pub(super) ").trim_end_matches(',');
        let scalar = how.split(['(', ',']).nth(1).unwrap();
        // `name: Option<Type>` of a message, `Variant(Type)` of a choice.
        let (name, inner) = match what.split_once(": ") {
            Some((name, inner)) => (name.to_owned(), inner),
            None => {
                let (variant, inner) = what.split_once('(').unwrap();
                (variant.to_lowercase(), inner.trim_end_matches(')'))
            }
        };
        let inner = inner.trim_start_matches("Vec<").trim_start_matches("Option<");
        let kind = match scalar {
            "message" => inner.trim_end_matches('>').to_owned(),
            _ if scalar.starts_with("enumeration") => scalar.split('"').nth(1).unwrap().to_owned(),
            _ => scalar.to_owned(),
        };
        let kind = match () {
            () if how.contains("repeated") => format!("repeated {kind}"),
            () if how.contains("optional") && scalar != "message" => format!("optional {kind}"),
            () => kind,
        };
        (message.to_owned(), name, kind, number.parse().unwrap())
    }

    #[test]
    fn this_file_says_what_the_definition_says() {
        let (ours, theirs) = (of_this_file(), of_definition());
        assert!(90 < theirs.len(), "{}", theirs.len());
        let only = |a: &BTreeSet<Field>, b: &BTreeSet<Field>| format!("{:?}", a - b);
        assert_eq!((only(&ours, &theirs), only(&theirs, &ours)), ("{}".into(), "{}".into()));
    }
}
