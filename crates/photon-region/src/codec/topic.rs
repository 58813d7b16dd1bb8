//! The binary form of topics, on links and in the log.
//! Must not know what a message says.

use std::sync::Arc;

use bytes::Bytes;
use photon_state::codec::{DecodeError, Reader, Writer};

use super::webhook::{read_mark, write_mark};
use super::{read_duration, read_json, read_of, write_duration, write_json, write_of};
use crate::task::Ack;
use crate::topics::{Begun, Entry, Post, Retention, SegmentId, TopicAsk, TopicName, is_topic_name};
use crate::webhooks::Mark;

const ACKS: [Ack; 2] = [Ack::Region, Ack::Quorum];

/// Encodes an entry of a segment.
pub(crate) fn encode_entry(entry: &Entry) -> Bytes {
    let mut writer = Writer::default();
    match entry {
        Entry::Begun(Begun { name, base, after, floor }) => {
            writer.tag(1);
            writer.text(name);
            writer.uint(*base);
            writer.option(*after, |writer, it| {
                writer.uint(it.epoch.into());
                writer.uint(it.number.into());
            });
            writer.uint(*floor);
        }
        Entry::Said(post) => {
            writer.tag(2);
            write_post(&mut writer, post);
        }
    }
    writer.into_bytes()
}

/// Decodes an entry of a segment.
pub(crate) fn decode_entry(bytes: &Bytes) -> Result<Entry, DecodeError> {
    let mut reader = Reader::sharing(bytes);
    let entry = match reader.tag()? {
        1 => Entry::Begun(Begun {
            name: read_topic_name(&mut reader)?,
            base: reader.uint()?,
            after: reader.option(|reader| {
                Ok(SegmentId { epoch: reader.uint32()?, number: reader.uint32()? })
            })?,
            floor: reader.uint()?,
        }),
        2 => Entry::Said(read_post(&mut reader)?),
        _ => return Err(reader.malformed("entry of a topic")),
    };
    reader.end()?;
    Ok(entry)
}

/// Encodes for how long messages are kept.
pub(crate) fn encode_retention(retention: Retention) -> Bytes {
    let mut writer = Writer::default();
    write_duration(&mut writer, retention.time);
    writer.uint(retention.bytes);
    writer.into_bytes()
}

/// Decodes for how long messages are kept.
pub(crate) fn decode_retention(bytes: &[u8]) -> Result<Retention, DecodeError> {
    let mut reader = Reader::new(bytes);
    let retention = Retention { time: read_duration(&mut reader)?, bytes: reader.uint()? };
    reader.end()?;
    Ok(retention)
}

pub(super) fn read_topic_name(reader: &mut Reader<'_>) -> Result<TopicName, DecodeError> {
    let name = reader.text()?;
    if !is_topic_name(name) {
        return Err(reader.malformed("name of a topic"));
    }
    Ok(name.into())
}

fn write_post(writer: &mut Writer, post: &Post) {
    writer.text(&post.id);
    writer.option(post.key.as_deref(), Writer::text);
    write_json(writer, &post.data);
}

fn read_post(reader: &mut Reader<'_>) -> Result<Post, DecodeError> {
    let id: Arc<str> = reader.text()?.into();
    let key = reader.option(|reader| reader.text().map(Arc::from))?;
    if Post::ID_BYTES_MAX < id.len().max(key.as_ref().map_or(0, |it: &Arc<str>| it.len())) {
        return Err(reader.malformed("name of a message"));
    }
    Ok(Post { id, key, data: read_json(reader)? })
}

pub(super) fn write_topic_ask(writer: &mut Writer, ask: &TopicAsk) {
    match ask {
        TopicAsk::Publish { post, ack } => {
            writer.tag(1);
            write_post(writer, post);
            write_of(writer, &ACKS, ack);
        }
        TopicAsk::Purge { upto } => {
            writer.tag(2);
            writer.uint(*upto);
        }
    }
}

pub(super) fn read_topic_ask(reader: &mut Reader<'_>) -> Result<TopicAsk, DecodeError> {
    Ok(match reader.tag()? {
        1 => TopicAsk::Publish { post: read_post(reader)?, ack: read_of(reader, &ACKS, "level")? },
        2 => TopicAsk::Purge { upto: reader.uint()? },
        _ => return Err(reader.malformed("question about a topic")),
    })
}

pub(super) fn write_posted(writer: &mut Writer, mark: Mark, repeated: bool) {
    write_mark(writer, mark);
    writer.tag(repeated.into());
}

pub(super) fn read_posted(reader: &mut Reader<'_>) -> Result<(Mark, bool), DecodeError> {
    Ok((read_mark(reader)?, reader.tag()? != 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Json;

    #[test]
    fn entries_come_back_and_every_truncation_is_refused() {
        let name: TopicName = "agent-coordination".into();
        let after = Some(SegmentId { epoch: 7, number: 300 });
        let data = Json(Bytes::from_static(b"{\"a\":1}"));
        let post = |key: Option<&str>| Post {
            id: "m-1".into(),
            key: key.map(Into::into),
            data: data.clone(),
        };
        for entry in [
            Entry::Begun(Begun { name: name.clone(), base: 0, after: None, floor: 0 }),
            Entry::Begun(Begun { name, base: 70_000, after, floor: 69_000 }),
            Entry::Said(post(None)),
            Entry::Said(post(Some("k"))),
        ] {
            let bytes = encode_entry(&entry);
            assert_eq!(decode_entry(&bytes), Ok(entry));
            for len in 0..bytes.len() {
                assert!(decode_entry(&bytes.slice(..len)).is_err(), "cut to {len} bytes");
            }
        }
    }
}
