//! The binary form of what regions tell each other on a link.
//! Must not know of frames or sockets.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use photon_state::codec::{DecodeError, Reader, Writer};

use super::record::{read_note, write_note};
use super::{
    OUTCOMES, STATES, read_claim, read_json, read_of, read_task, write_claim, write_json, write_of,
};
use crate::contract::{AtHome, Message, TokenPair};
use crate::refusal::{Large, Queue, Refusal};
use crate::task::{TaskState, Token};

/// Encodes a message for a link.
#[must_use]
pub fn encode_message(message: &Message) -> Bytes {
    let mut writer = Writer::default();
    match message {
        Message::Seen { incarnation, seen, linked } => {
            writer.tag(1);
            writer.uint(*incarnation);
            writer.seen(seen);
            writer.uint(linked.len() as u64);
            linked.iter().for_each(|region| writer.text(region.as_str()));
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
            write_ask(&mut writer, ask);
        }
        Message::Answer(number, Ok((state, generation))) => {
            writer.tag(5);
            writer.uint(*number);
            write_of(&mut writer, &STATES, state);
            writer.uint(*generation);
        }
        Message::Answer(number, Err(refusal)) => {
            writer.tag(6);
            writer.uint(*number);
            write_refusal(&mut writer, refusal);
        }
        Message::Ping(sent) => {
            writer.tag(7);
            writer.uint(*sent);
        }
        Message::Pong(sent) => {
            writer.tag(8);
            writer.uint(*sent);
        }
    }
    writer.into_bytes()
}

/// Decodes a message from a link.
pub fn decode_message(bytes: &[u8]) -> Result<Message, DecodeError> {
    let mut reader = Reader::new(bytes);
    let message = match reader.tag()? {
        1 => {
            let incarnation = reader.uint()?;
            let seen = reader.seen()?;
            let linked = (0..reader.count()?)
                .map(|_| reader.region())
                .collect::<Result<BTreeSet<_>, _>>()?;
            Message::Seen { incarnation, seen, linked }
        }
        2 => {
            let ops = (0..reader.count()?).map(|_| reader.op().map(Arc::new));
            Message::Ops(ops.collect::<Result<_, _>>()?)
        }
        3 => Message::Ack(reader.stream()?, reader.uint()?),
        4 => Message::Ask(reader.uint()?, read_ask(&mut reader)?),
        5 => {
            let number = reader.uint()?;
            let state = read_of(&mut reader, &STATES, "state")?;
            Message::Answer(number, Ok((state, reader.uint()?)))
        }
        6 => Message::Answer(reader.uint()?, Err(read_refusal(&mut reader)?)),
        7 => Message::Ping(reader.uint()?),
        8 => Message::Pong(reader.uint()?),
        _ => return Err(reader.malformed("message")),
    };
    reader.end()?;
    Ok(message)
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
        AtHome::Finish { claim, outcome, message } => {
            writer.tag(3);
            write_claim(writer, *claim);
            write_of(writer, &OUTCOMES, outcome);
            writer.option(message.as_ref(), write_json);
        }
        AtHome::Decline(claim) => {
            writer.tag(4);
            write_claim(writer, *claim);
        }
        AtHome::Cancel { task, message } => {
            writer.tag(5);
            writer.fixed(&task.to_bytes());
            writer.option(message.as_ref(), write_json);
        }
    }
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
            outcome: read_of(reader, &OUTCOMES, "outcome")?,
            message: reader.option(read_json)?,
        },
        4 => AtHome::Decline(read_claim(reader)?),
        5 => AtHome::Cancel { task: read_task(reader)?, message: reader.option(read_json)? },
        _ => return Err(reader.malformed("question")),
    })
}

const QUEUES: [Queue; 5] =
    [Queue::InFlight, Queue::OpenTasks, Queue::Agents, Queue::OpenBytes, Queue::AgentBytes];
const LARGES: [Large; 4] = [Large::Message, Large::Card, Large::Task, Large::Note];

/// Writes what a home may answer to another region.
fn write_refusal(writer: &mut Writer, refusal: &Refusal) {
    match refusal {
        Refusal::Overloaded { what, max, retry_after } => {
            writer.tag(1);
            write_of(writer, &QUEUES, what);
            writer.uint(*max);
            writer.uint(u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX));
        }
        Refusal::DiskFull { region } => {
            writer.tag(2);
            writer.text(region.as_str());
        }
        Refusal::NoSuchTask(task) => {
            writer.tag(3);
            writer.fixed(&task.to_bytes());
        }
        Refusal::StaleToken { task, tokens } => {
            writer.tag(4);
            writer.fixed(&task.to_bytes());
            writer.uint(tokens.shown.0);
            writer.option(tokens.current, |writer, token| writer.uint(token.0));
        }
        Refusal::Ended { task, state } => {
            writer.tag(5);
            writer.fixed(&task.to_bytes());
            write_of(writer, &STATES, state);
        }
        Refusal::NoteGap { first, expected } => {
            writer.tag(6);
            writer.uint(*first);
            writer.uint(*expected);
        }
        Refusal::TooLarge { what, bytes, max } => {
            writer.tag(7);
            write_of(writer, &LARGES, what);
            writer.uint(*bytes);
            writer.uint(*max);
        }
        Refusal::HomeUnreachable { region } => {
            writer.tag(8);
            writer.text(region.as_str());
        }
        Refusal::NoSuchAgent(_)
        | Refusal::NoSuchSkill(_)
        | Refusal::NoSuchPlacement(_)
        | Refusal::Confined { .. }
        | Refusal::OutsidePlacement { .. }
        | Refusal::AttachedElsewhere { .. }
        | Refusal::KeyReused { .. } => {
            unreachable!("a home answers none of these to another region: {refusal:?}")
        }
    }
}

fn read_refusal(reader: &mut Reader<'_>) -> Result<Refusal, DecodeError> {
    Ok(match reader.tag()? {
        1 => Refusal::Overloaded {
            what: read_of(reader, &QUEUES, "queue")?,
            max: reader.uint()?,
            retry_after: std::time::Duration::from_millis(reader.uint()?),
        },
        2 => Refusal::DiskFull { region: reader.region()? },
        3 => Refusal::NoSuchTask(read_task(reader)?),
        4 => Refusal::StaleToken {
            task: read_task(reader)?,
            tokens: TokenPair {
                shown: Token(reader.uint()?),
                current: reader.option(|reader| reader.uint().map(Token))?,
            },
        },
        5 => {
            let task = read_task(reader)?;
            let state: TaskState = read_of(reader, &STATES, "state")?;
            Refusal::Ended { task, state }
        }
        6 => Refusal::NoteGap { first: reader.uint()?, expected: reader.uint()? },
        7 => Refusal::TooLarge {
            what: read_of(reader, &LARGES, "size")?,
            bytes: reader.uint()?,
            max: reader.uint()?,
        },
        8 => Refusal::HomeUnreachable { region: reader.region()? },
        _ => return Err(reader.malformed("refusal")),
    })
}
