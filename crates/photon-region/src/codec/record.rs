//! The binary form of agents and of the events of tasks, as the log holds them.
//! Must not know how they are replicated.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use photon_state::RegionId;
use photon_state::codec::{DecodeError, Reader, Writer};

use super::terms::{read_terms, room_for_terms, write_terms};
use super::{OUTCOMES, read_json, read_of, write_json, write_of};
use crate::contract::AgentSpec;
use crate::task::{
    Ack, Checkpoint, Chunk, Event, Idempotency, Note, Pause, Requeue, Spec, Target, Token,
};

const PAUSES: [Pause; 2] = [Pause::Input, Pause::Auth];

const REQUEUES: [Requeue; 4] =
    [Requeue::Lapsed, Requeue::Declined, Requeue::Failed, Requeue::TimedOut];

/// Encodes an agent with the region that it is attached to.
pub(crate) fn encode_agent(spec: &AgentSpec, region: RegionId) -> Bytes {
    let mut writer = Writer::default();
    writer.text(&spec.name);
    writer.text(region.as_str());
    writer.uint(spec.capacity.into());
    writer.text(spec.placement.as_str());
    writer.uint(spec.skills.len() as u64);
    spec.skills.iter().for_each(|skill| writer.text(skill));
    write_json(&mut writer, &spec.card);
    if spec.cost_micros != 0 {
        writer.uint(spec.cost_micros);
    }
    writer.into_bytes()
}

/// Decodes an agent with the region that it is attached to.
pub(crate) fn decode_agent(bytes: &[u8]) -> Result<(AgentSpec, RegionId), DecodeError> {
    let mut reader = Reader::new(bytes);
    let name = Arc::from(reader.text()?);
    let region = reader.region()?;
    let capacity = reader.uint32()?;
    let placement = reader.placement()?;
    let skills: BTreeSet<Arc<str>> = (0..reader.count()?)
        .map(|_| reader.text().map(Arc::from))
        .collect::<Result<_, DecodeError>>()?;
    let card = read_json(&mut reader)?;
    // Agents that ask for nothing are written as they were before any did.
    let cost_micros = if reader.is_at_end() { 0 } else { reader.uint()? };
    reader.end()?;
    Ok((AgentSpec { name, skills, capacity, cost_micros, card, placement }, region))
}

/// Encodes an event of a task.
pub(crate) fn encode_event(event: &Event) -> Bytes {
    let mut writer = Writer::with_capacity(room_for(event));
    match event {
        Event::Submitted(spec) => {
            writer.tag(1);
            write_spec(&mut writer, spec);
        }
        Event::Claimed { token, agent, region } => {
            writer.tag(2);
            writer.uint(token.0);
            writer.text(agent);
            writer.text(region.as_str());
        }
        Event::Noted { token, number, note } => {
            writer.tag(3);
            writer.uint(token.0);
            writer.uint(*number);
            write_note(&mut writer, note);
        }
        Event::Requeued { token, why, message } => {
            writer.tag(if message.is_some() { 8 } else { 4 });
            writer.uint(token.0);
            write_of(&mut writer, &REQUEUES, why);
            message.iter().for_each(|it| write_json(&mut writer, it));
        }
        Event::Ended { token, outcome, message } => {
            writer.tag(5);
            writer.option(*token, |writer, token| writer.uint(token.0));
            write_of(&mut writer, &OUTCOMES, outcome);
            writer.option(message.as_ref(), write_json);
        }
        Event::Paused { token, why, message } => {
            writer.tag(6);
            writer.uint(token.0);
            write_pause(&mut writer, *why);
            writer.option(message.as_ref(), write_json);
        }
        Event::Answered { token, name, message } => {
            writer.tag(7);
            writer.uint(token.0);
            writer.text(name);
            write_json(&mut writer, message);
        }
    }
    writer.into_bytes()
}

pub(super) fn write_pause(writer: &mut Writer, why: Pause) {
    write_of(writer, &PAUSES, &why);
}

pub(super) fn read_pause(reader: &mut Reader<'_>) -> Result<Pause, DecodeError> {
    read_of(reader, &PAUSES, "what is waited for")
}

/// Returns how many bytes an event takes, or a few more: tasks stay in memory for long.
fn room_for(event: &Event) -> usize {
    /// Tags, lengths and numbers.
    const REST: usize = 32;
    let texts = match event {
        Event::Submitted(spec) => {
            let Spec { target, placement, message, context, idempotency, ack: _, terms } = spec;
            let (Target::Skill(name) | Target::Agent(name)) = target;
            let idempotency = idempotency.as_ref().map_or(0, |it| it.key.len() + it.digest.len());
            let texts = message.0.len() + context.len() + name.len() + placement.as_str().len();
            texts + idempotency + terms.as_deref().map_or(0, room_for_terms)
        }
        Event::Claimed { agent, region, .. } => agent.len() + region.as_str().len(),
        Event::Noted { note, .. } => note.weight(),
        Event::Ended { message, .. }
        | Event::Paused { message, .. }
        | Event::Requeued { message, .. } => message.as_ref().map_or(0, |it| it.0.len()),
        Event::Answered { name, message, .. } => name.len() + message.0.len(),
    };
    REST + texts
}

/// Decodes an event of a task. Its messages share the memory of `bytes`.
pub(crate) fn decode_event(bytes: &Bytes) -> Result<Event, DecodeError> {
    let mut reader = Reader::sharing(bytes);
    let event = match reader.tag()? {
        1 => Event::Submitted(read_spec(&mut reader)?),
        2 => Event::Claimed {
            token: Token(reader.uint()?),
            agent: reader.text()?.into(),
            region: reader.region()?,
        },
        3 => Event::Noted {
            token: Token(reader.uint()?),
            number: reader.uint()?,
            note: read_note(&mut reader)?,
        },
        4 => Event::Requeued {
            token: Token(reader.uint()?),
            why: read_of(&mut reader, &REQUEUES, "reason")?,
            message: None,
        },
        5 => Event::Ended {
            token: reader.option(|reader| reader.uint().map(Token))?,
            outcome: read_of(&mut reader, &OUTCOMES, "outcome")?,
            message: reader.option(read_json)?,
        },
        6 => Event::Paused {
            token: Token(reader.uint()?),
            why: read_pause(&mut reader)?,
            message: reader.option(read_json)?,
        },
        7 => Event::Answered {
            token: Token(reader.uint()?),
            name: reader.text()?.into(),
            message: read_json(&mut reader)?,
        },
        8 => Event::Requeued {
            token: Token(reader.uint()?),
            why: read_of(&mut reader, &REQUEUES, "reason")?,
            message: Some(read_json(&mut reader)?),
        },
        _ => return Err(reader.malformed("event")),
    };
    reader.end()?;
    Ok(event)
}

pub(super) fn write_spec(writer: &mut Writer, spec: &Spec) {
    let (tag, name) = match (&spec.target, spec.ack) {
        (Target::Skill(skill), Ack::Region) => (1, skill),
        (Target::Agent(agent), Ack::Region) => (2, agent),
        (Target::Skill(skill), Ack::Quorum) => (3, skill),
        (Target::Agent(agent), Ack::Quorum) => (4, agent),
    };
    writer.tag(if spec.terms.is_some() { tag + WITH_TERMS } else { tag });
    writer.text(name);
    writer.text(spec.placement.as_str());
    write_json(writer, &spec.message);
    writer.text(&spec.context);
    writer.option(spec.idempotency.as_ref(), |writer, it| {
        writer.text(&it.key);
        writer.fixed(&it.digest);
    });
    if let Some(terms) = &spec.terms {
        write_terms(writer, terms);
    }
}

/// What is added to the tag of a task that says how it is queued and timed.
const WITH_TERMS: u8 = 4;

pub(super) fn read_spec(reader: &mut Reader<'_>) -> Result<Spec, DecodeError> {
    let tag = reader.tag()?;
    let has_terms = WITH_TERMS < tag;
    let (target, ack) = match if has_terms { tag - WITH_TERMS } else { tag } {
        1 => (Target::Skill(reader.text()?.into()), Ack::Region),
        2 => (Target::Agent(reader.text()?.into()), Ack::Region),
        3 => (Target::Skill(reader.text()?.into()), Ack::Quorum),
        4 => (Target::Agent(reader.text()?.into()), Ack::Quorum),
        _ => return Err(reader.malformed("target")),
    };
    Ok(Spec {
        target,
        placement: reader.placement()?,
        message: read_json(reader)?,
        context: reader.text()?.into(),
        idempotency: reader.option(|reader| {
            Ok(Idempotency { key: reader.text()?.into(), digest: reader.fixed()? })
        })?,
        ack,
        terms: if has_terms { Some(Arc::new(read_terms(reader)?)) } else { None },
    })
}

pub(super) fn write_note(writer: &mut Writer, note: &Note) {
    match note {
        Note::Status(message) => {
            writer.tag(1);
            write_json(writer, message);
        }
        Note::Artifact(chunk) => {
            writer.tag(2);
            writer.text(&chunk.artifact);
            writer.option(chunk.name.as_deref(), Writer::text);
            writer.tag(u8::from(chunk.append) | u8::from(chunk.last) << 1);
            write_json(writer, &chunk.parts);
        }
        Note::Checkpoint(Checkpoint { key, value }) => {
            writer.tag(3);
            writer.text(key);
            write_json(writer, value);
        }
    }
}

pub(super) fn read_note(reader: &mut Reader<'_>) -> Result<Note, DecodeError> {
    match reader.tag()? {
        1 => read_json(reader).map(Note::Status),
        2 => {
            let artifact = reader.text()?.into();
            let name = reader.option(|reader| reader.text().map(Arc::from))?;
            let flags = reader.tag()?;
            if 3 < flags {
                return Err(reader.malformed("flags"));
            }
            let (append, last) = (flags & 1 != 0, flags & 2 != 0);
            let parts = read_json(reader)?;
            Ok(Note::Artifact(Chunk { artifact, name, append, last, parts }))
        }
        3 => {
            let key = reader.text()?.into();
            Ok(Note::Checkpoint(Checkpoint { key, value: read_json(reader)? }))
        }
        _ => Err(reader.malformed("note")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use photon_state::PlacementId;

    use super::*;
    use crate::matching::Wants;
    use crate::task::{Json, Outcome};
    use crate::terms::{Priority, Retry, Terms, Weight};

    fn json(text: &'static str) -> Json {
        Json(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn every_event_comes_back_and_every_truncation_is_refused() {
        let spec = Spec {
            target: Target::Skill("text.upper".into()),
            placement: PlacementId::global(),
            message: json("{}"),
            context: "c".into(),
            idempotency: Some(Idempotency { key: "k".into(), digest: [7; 16] }),
            ack: Ack::Quorum,
            terms: None,
        };
        let urgent = Terms { priority: Priority::FIRST, ..Terms::default() };
        let timed = Terms {
            fairness_key: Some("acme".into()),
            fairness_weight: Weight::of_thousandths(1).unwrap(),
            start_delay: Duration::from_millis(1),
            schedule_to_start: Some(Duration::from_millis(2)),
            start_to_close: Some(Duration::from_millis(3)),
            schedule_to_close: Some(Duration::from_millis(4)),
            heartbeat: Some(Duration::from_millis(5)),
            retry: Some(Retry::default()),
            ..Terms::default()
        };
        let wants = Wants {
            skills: ["lang.de".into()].into(),
            regions: [RegionId::try_from("eu-west-1").unwrap()].into(),
            cost_micros_max: Some(300),
        };
        let picky = Terms { wants: Some(Arc::new(wants)), ..Terms::default() };
        let token = Token::new(1, 2);
        let chunk = Chunk {
            artifact: "out".into(),
            name: Some("output".into()),
            append: true,
            last: true,
            parts: json("[]"),
        };
        let region = RegionId::try_from("eu-west-1").unwrap();
        let events = [
            Event::Submitted(spec.clone()),
            Event::Submitted(Spec { terms: Some(Arc::new(urgent)), ..spec.clone() }),
            Event::Submitted(Spec { terms: Some(Arc::new(timed)), ..spec.clone() }),
            Event::Submitted(Spec { terms: Some(Arc::new(picky)), ..spec }),
            Event::Claimed { token, agent: "a".into(), region },
            Event::Noted { token, number: 1, note: Note::Status(json("{}")) },
            Event::Noted {
                token,
                number: 2,
                note: Note::Checkpoint(Checkpoint { key: "step".into(), value: json("[1]") }),
            },
            Event::Noted { token, number: 2, note: Note::Artifact(chunk) },
            Event::Requeued { token, why: Requeue::Declined, message: None },
            Event::Requeued { token, why: Requeue::TimedOut, message: Some(json("{}")) },
            Event::Ended { token: Some(token), outcome: Outcome::Failed, message: None },
            Event::Paused { token, why: Pause::Auth, message: Some(json("{}")) },
            Event::Answered { token, name: "a".into(), message: json("{}") },
        ];
        for event in events {
            let bytes = encode_event(&event);
            assert_eq!(decode_event(&bytes), Ok(event));
            for len in 0..bytes.len() {
                assert!(decode_event(&bytes.slice(..len)).is_err(), "cut to {len} bytes");
            }
        }
    }

    #[test]
    fn an_agent_comes_back() {
        let spec = AgentSpec {
            name: "shout".into(),
            skills: BTreeSet::from(["text.upper".into(), "b".into()]),
            capacity: 4,
            cost_micros: 0,
            card: json("{}"),
            placement: PlacementId::global(),
        };
        let region = RegionId::try_from("eu-west-1").unwrap();
        for cost_micros in [0, 1, u64::MAX] {
            let spec = AgentSpec { cost_micros, ..spec.clone() };
            assert_eq!(decode_agent(&encode_agent(&spec, region)), Ok((spec, region)));
        }
    }
}
