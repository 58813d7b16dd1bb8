//! The binary form of what regions tell each other on a link.
//! Must not know of frames or sockets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use photon_state::RegionId;
use photon_state::codec::{DecodeError, Reader, Writer};

use super::data::{read_command, read_reply, write_command, write_reply};
use super::govern::{read_govern, read_planet, write_govern, write_planet};
use super::look::{read_detail, read_events, write_detail, write_events};
use super::record::{read_note, read_pause, read_spec, write_note, write_pause, write_spec};
use super::refusal::{read_refusal, write_refusal};
use super::spec::read_dataset;
use super::topic::{read_posted, read_topic_ask, read_topic_name, write_posted, write_topic_ask};
use super::webhook::{read_webhook, read_webhook_id, write_webhook};
use super::{
    OUTCOMES, STATES, read_claim, read_duration, read_json, read_of, read_task, write_claim,
    write_duration, write_json, write_of,
};
use crate::agree::{read_beat, write_beat};
use crate::contract::{AtHome, Message};
use crate::question::{Answer, Question};
use crate::task::Claim;
use crate::webhooks::Secret;

/// Encodes a message for a link.
#[must_use]
pub fn encode_message(message: &Message) -> Bytes {
    let mut writer = Writer::default();
    match message {
        Message::Seen { incarnation, seen, linked, topology } => {
            writer.tag(11);
            writer.uint(*incarnation);
            writer.seen(seen);
            write_linked(&mut writer, linked);
            writer.option(*topology, Writer::uint);
        }
        Message::Ops(ops) => {
            writer.tag(2);
            writer.uint(ops.len() as u64);
            ops.iter().for_each(|op| writer.op(op));
        }
        Message::Ack(stream, seq) => {
            writer.tag(3);
            writer.stream(stream);
            writer.uint(*seq);
        }
        Message::Ask(number, ask) => {
            writer.tag(4);
            writer.uint(*number);
            write_question(&mut writer, ask);
        }
        Message::Answer(number, Ok(answer)) => {
            writer.tag(5);
            writer.uint(*number);
            write_answer(&mut writer, answer);
        }
        Message::Answer(number, Err(refusal)) => {
            writer.tag(6);
            writer.uint(*number);
            write_refusal(&mut writer, refusal);
        }
        Message::State { number, index, part } => {
            writer.tag(9);
            writer.uint(*number);
            writer.uint(*index);
            writer.bytes(part);
        }
        Message::Took { number, index } => {
            writer.tag(10);
            writer.uint(*number);
            writer.uint(*index);
        }
        Message::Compare(body) => {
            writer.tag(12);
            writer.bytes(body);
        }
        Message::Beat(beat) => {
            writer.tag(13);
            write_beat(&mut writer, beat);
        }
        Message::Agree(bytes) => {
            writer.tag(14);
            writer.bytes(bytes);
        }
        Message::Ping(sent) => {
            writer.tag(7);
            writer.uint(*sent);
        }
        Message::Pong { sent, wall_ms } => {
            writer.tag(8);
            writer.uint(*sent);
            writer.uint(*wall_ms);
        }
    }
    writer.into_bytes()
}

/// Writes to whom there is a link, with the round trips.
fn write_linked(writer: &mut Writer, linked: &BTreeMap<RegionId, Option<Duration>>) {
    writer.uint(linked.len() as u64);
    for (region, round_trip) in linked {
        writer.text(region.as_str());
        writer.option(round_trip.as_ref(), |writer, it| write_duration(writer, *it));
    }
}

/// Decodes a message from a link.
pub fn decode_message(bytes: &[u8]) -> Result<Message, DecodeError> {
    let mut reader = Reader::new(bytes);
    let message = match reader.tag()? {
        11 => {
            let incarnation = reader.uint()?;
            let seen = reader.seen()?;
            let linked = (0..reader.count()?)
                .map(|_| Ok((reader.region()?, reader.option(read_duration)?)))
                .collect::<Result<BTreeMap<_, _>, DecodeError>>()?;
            Message::Seen { incarnation, seen, linked, topology: reader.option(Reader::uint)? }
        }
        2 => {
            let ops = (0..reader.count()?).map(|_| reader.op().map(Arc::new));
            Message::Ops(ops.collect::<Result<_, _>>()?)
        }
        3 => Message::Ack(reader.stream()?, reader.uint()?),
        4 => Message::Ask(reader.uint()?, read_question(&mut reader)?),
        5 => Message::Answer(reader.uint()?, Ok(read_answer(&mut reader)?)),
        6 => Message::Answer(reader.uint()?, Err(read_refusal(&mut reader)?)),
        7 => Message::Ping(reader.uint()?),
        8 => Message::Pong { sent: reader.uint()?, wall_ms: reader.uint()? },
        9 => {
            Message::State { number: reader.uint()?, index: reader.uint()?, part: reader.owned()? }
        }
        10 => Message::Took { number: reader.uint()?, index: reader.uint()? },
        12 => Message::Compare(reader.owned()?),
        13 => Message::Beat(Box::new(read_beat(&mut reader)?)),
        14 => Message::Agree(reader.owned()?),
        _ => return Err(reader.malformed("message")),
    };
    reader.end()?;
    Ok(message)
}

fn write_question(writer: &mut Writer, question: &Question) {
    match question {
        Question::Task(ask, decree) => {
            writer.tag(1);
            write_ask(writer, ask);
            writer.uint(*decree);
        }
        Question::Pass(ask, decree) => {
            writer.tag(7);
            write_ask(writer, ask);
            writer.uint(*decree);
        }
        Question::Show(task) => {
            writer.tag(8);
            writer.fixed(&task.to_bytes());
        }
        Question::Webhooks(task) => {
            writer.tag(10);
            writer.fixed(&task.to_bytes());
        }
        Question::Follow { task, after, wait } => {
            writer.tag(9);
            writer.fixed(&task.to_bytes());
            writer.uint(*after);
            write_duration(writer, *wait);
        }
        Question::Data(command) => {
            writer.tag(2);
            write_command(writer, command);
        }
        Question::State { dataset, placement, key } => {
            writer.tag(3);
            writer.text(dataset.as_str());
            writer.text(placement.as_str());
            writer.bytes(key);
        }
        Question::Rights { dataset, placement, key, rights } => {
            writer.tag(4);
            writer.text(dataset.as_str());
            writer.text(placement.as_str());
            writer.bytes(key);
            writer.uint(*rights);
        }
        Question::Govern(wanted) => {
            writer.tag(6);
            write_govern(writer, wanted);
        }
        Question::Had { placement, let_go } => {
            writer.tag(5);
            writer.text(placement.as_str());
            writer.option(*let_go, Writer::uint);
        }
    }
}

fn read_question(reader: &mut Reader<'_>) -> Result<Question, DecodeError> {
    Ok(match reader.tag()? {
        1 => Question::Task(read_ask(reader)?, reader.uint()?),
        8 => Question::Show(read_task(reader)?),
        10 => Question::Webhooks(read_task(reader)?),
        9 => Question::Follow {
            task: read_task(reader)?,
            after: reader.uint()?,
            wait: read_duration(reader)?,
        },
        7 => Question::Pass(read_ask(reader)?, reader.uint()?),
        2 => Question::Data(Box::new(read_command(reader)?)),
        3 => Question::State {
            dataset: read_dataset(reader)?,
            placement: reader.placement()?,
            key: reader.owned()?,
        },
        4 => Question::Rights {
            dataset: read_dataset(reader)?,
            placement: reader.placement()?,
            key: reader.owned()?,
            rights: reader.uint()?,
        },
        6 => Question::Govern(read_govern(reader)?),
        5 => Question::Had { placement: reader.placement()?, let_go: reader.option(Reader::uint)? },
        _ => return Err(reader.malformed("question")),
    })
}

fn write_answer(writer: &mut Writer, answer: &Answer) {
    match answer {
        Answer::Standing(state, generation) => {
            writer.tag(1);
            write_of(writer, &STATES, state);
            writer.uint(*generation);
        }
        Answer::Task(detail) => {
            writer.tag(6);
            write_detail(writer, detail);
        }
        Answer::Events { events, state, staleness } => {
            writer.tag(7);
            write_events(writer, events, *state, *staleness);
        }
        Answer::Webhooks(webhooks) => {
            writer.tag(8);
            writer.uint(webhooks.len() as u64);
            webhooks.iter().for_each(|it| write_webhook(writer, it));
        }
        Answer::Data(reply) => {
            writer.tag(2);
            write_reply(writer, reply);
        }
        Answer::State(value, seen) => {
            writer.tag(3);
            writer.option(value.as_ref(), Writer::value);
            writer.seen(seen);
        }
        Answer::Rights(rights) => {
            writer.tag(4);
            writer.uint(*rights);
        }
        Answer::Planet(view) => {
            writer.tag(5);
            write_planet(writer, view);
        }
        Answer::Posted(mark, repeated) => {
            writer.tag(9);
            write_posted(writer, *mark, *repeated);
        }
    }
}

fn read_answer(reader: &mut Reader<'_>) -> Result<Answer, DecodeError> {
    Ok(match reader.tag()? {
        1 => Answer::Standing(read_of(reader, &STATES, "state")?, reader.uint()?),
        2 => Answer::Data(Box::new(read_reply(reader)?)),
        3 => Answer::State(reader.option(Reader::value)?, reader.seen()?),
        4 => Answer::Rights(reader.uint()?),
        5 => Answer::Planet(read_planet(reader)?),
        6 => Answer::Task(Box::new(read_detail(reader)?)),
        7 => {
            let (events, state, staleness) = read_events(reader)?;
            Answer::Events { events, state, staleness }
        }
        8 => {
            let webhooks = (0..reader.count()?).map(|_| read_webhook(reader));
            Answer::Webhooks(webhooks.collect::<Result<_, _>>()?)
        }
        9 => {
            let (mark, repeated) = read_posted(reader)?;
            Answer::Posted(mark, repeated)
        }
        _ => return Err(reader.malformed("answer")),
    })
}

fn write_ask(writer: &mut Writer, ask: &AtHome) {
    match ask {
        AtHome::Heartbeat(claim) => {
            writer.tag(1);
            write_claim(writer, *claim);
        }
        AtHome::Note { claim, first, notes } => {
            writer.tag(2);
            write_claim(writer, *claim);
            writer.uint(*first);
            writer.uint(notes.len() as u64);
            notes.iter().for_each(|note| write_note(writer, note));
        }
        AtHome::Finish { claim, notes, outcome, message } => {
            write_last(writer, 3, *claim, *notes);
            write_of(writer, &OUTCOMES, outcome);
            writer.option(message.as_ref(), write_json);
        }
        AtHome::Fail { claim, notes, message } => {
            write_last(writer, 11, *claim, *notes);
            writer.option(message.as_ref(), write_json);
        }
        AtHome::Decline(claim) => {
            writer.tag(4);
            write_claim(writer, *claim);
        }
        AtHome::Pause { claim, notes, why, message } => {
            write_last(writer, 7, *claim, *notes);
            write_pause(writer, *why);
            writer.option(message.as_ref(), write_json);
        }
        AtHome::Answer { task, name, message, asked } => {
            writer.tag(8);
            writer.fixed(&task.to_bytes());
            writer.text(name);
            write_json(writer, message);
            writer.option(*asked, Writer::uint);
        }
        AtHome::SetWebhook { task, id, target, credentials, since } => {
            writer.tag(9);
            writer.fixed(&task.to_bytes());
            writer.text(id);
            writer.bytes(&target.0);
            writer.bytes(&credentials.0);
            writer.option(*since, Writer::uint);
        }
        AtHome::RemoveWebhook { task, id } => {
            writer.tag(10);
            writer.fixed(&task.to_bytes());
            writer.text(id);
        }
        AtHome::Submit { task, spec } => {
            writer.tag(6);
            writer.fixed(&task.to_bytes());
            write_spec(writer, spec);
        }
        AtHome::Topic { topic, name, ask } => {
            writer.tag(12);
            writer.fixed(&topic.to_bytes());
            writer.text(name);
            write_topic_ask(writer, ask);
        }
        AtHome::Cancel { task, message } => {
            writer.tag(5);
            writer.fixed(&task.to_bytes());
            writer.option(message.as_ref(), write_json);
        }
    }
}

/// Writes with what right a worker ends its attempt, and how many notes it told.
fn write_last(writer: &mut Writer, tag: u8, claim: Claim, notes: Option<u64>) {
    writer.tag(tag);
    write_claim(writer, claim);
    writer.option(notes, Writer::uint);
}

fn read_ask(reader: &mut Reader<'_>) -> Result<AtHome, DecodeError> {
    Ok(match reader.tag()? {
        1 => AtHome::Heartbeat(read_claim(reader)?),
        2 => AtHome::Note {
            claim: read_claim(reader)?,
            first: reader.uint()?,
            notes: (0..reader.count()?).map(|_| read_note(reader)).collect::<Result<_, _>>()?,
        },
        3 => AtHome::Finish {
            claim: read_claim(reader)?,
            notes: reader.option(Reader::uint)?,
            outcome: read_of(reader, &OUTCOMES, "outcome")?,
            message: reader.option(read_json)?,
        },
        11 => AtHome::Fail {
            claim: read_claim(reader)?,
            notes: reader.option(Reader::uint)?,
            message: reader.option(read_json)?,
        },
        4 => AtHome::Decline(read_claim(reader)?),
        5 => AtHome::Cancel { task: read_task(reader)?, message: reader.option(read_json)? },
        7 => AtHome::Pause {
            claim: read_claim(reader)?,
            notes: reader.option(Reader::uint)?,
            why: read_pause(reader)?,
            message: reader.option(read_json)?,
        },
        8 => AtHome::Answer {
            task: read_task(reader)?,
            name: reader.text()?.into(),
            message: read_json(reader)?,
            asked: reader.option(Reader::uint)?,
        },
        9 => AtHome::SetWebhook {
            task: read_task(reader)?,
            id: read_webhook_id(reader)?,
            target: Secret(reader.owned()?),
            credentials: Secret(reader.owned()?),
            since: reader.option(Reader::uint)?,
        },
        10 => AtHome::RemoveWebhook { task: read_task(reader)?, id: read_webhook_id(reader)? },
        12 => AtHome::Topic {
            topic: read_task(reader)?,
            name: read_topic_name(reader)?,
            ask: Box::new(read_topic_ask(reader)?),
        },
        6 => AtHome::Submit { task: read_task(reader)?, spec: Box::new(read_spec(reader)?) },
        _ => return Err(reader.malformed("question")),
    })
}
