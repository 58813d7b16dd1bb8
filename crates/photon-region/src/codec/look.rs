//! The binary form of what a region shows another one of a task.
//! Must not know who may see it.

use photon_state::codec::{DecodeError, Reader, Writer};

use super::record::{decode_event, encode_event, read_spec, write_spec};
use super::{
    STATES, read_duration, read_json, read_of, read_task, write_duration, write_json, write_of,
};
use crate::contract::{Stamped, TaskDetail, TaskSummary};
use crate::task::{Artifact, TaskState};
use std::time::Duration;

pub(super) fn write_detail(writer: &mut Writer, detail: &TaskDetail) {
    let TaskDetail { summary, artifacts, message, turns, staleness } = detail;
    writer.fixed(&summary.id.to_bytes());
    write_of(writer, &STATES, &summary.state);
    writer.uint(summary.generation);
    writer.text(summary.home.as_str());
    write_spec(writer, &summary.spec);
    writer.uint(summary.attempt.into());
    writer.option(summary.worker.as_ref(), |writer, (agent, region)| {
        writer.text(agent);
        writer.text(region.as_str());
    });
    writer.hlc(summary.created);
    writer.hlc(summary.changed);
    writer.uint(artifacts.len() as u64);
    for Artifact { id, name, parts, is_whole } in artifacts {
        writer.text(id);
        writer.option(name.as_deref(), Writer::text);
        writer.uint((*is_whole).into());
        writer.uint(parts.len() as u64);
        parts.iter().for_each(|it| write_json(writer, it));
    }
    writer.option(message.as_ref(), write_json);
    writer.uint(turns.len() as u64);
    turns.iter().for_each(|it| write_json(writer, it));
    writer.option(*staleness, write_duration);
}

pub(super) fn read_detail(reader: &mut Reader<'_>) -> Result<TaskDetail, DecodeError> {
    let summary = TaskSummary {
        id: read_task(reader)?,
        state: read_of(reader, &STATES, "state")?,
        generation: reader.uint()?,
        home: reader.region()?,
        spec: read_spec(reader)?,
        attempt: reader.uint32()?,
        worker: reader.option(|reader| Ok((reader.text()?.into(), reader.region()?)))?,
        created: reader.hlc()?,
        changed: reader.hlc()?,
    };
    let artifacts = (0..reader.count()?).map(|_| read_artifact(reader));
    Ok(TaskDetail {
        summary,
        artifacts: artifacts.collect::<Result<_, DecodeError>>()?,
        message: reader.option(read_json)?,
        turns: (0..reader.count()?).map(|_| read_json(reader)).collect::<Result<_, _>>()?,
        staleness: reader.option(read_duration)?,
    })
}

fn read_artifact(reader: &mut Reader<'_>) -> Result<Artifact, DecodeError> {
    Ok(Artifact {
        id: reader.text()?.into(),
        name: reader.option(|reader| reader.text().map(Into::into))?,
        is_whole: reader.uint()? != 0,
        parts: (0..reader.count()?).map(|_| read_json(reader)).collect::<Result<_, _>>()?,
    })
}

pub(super) fn write_events(
    writer: &mut Writer,
    events: &[Stamped],
    state: TaskState,
    staleness: Option<Duration>,
) {
    writer.uint(events.len() as u64);
    for Stamped { generation, at, event } in events {
        writer.uint(*generation);
        writer.hlc(*at);
        writer.bytes(&encode_event(event));
    }
    write_of(writer, &STATES, &state);
    writer.option(staleness, write_duration);
}

/// Events, where the task stands after them, and how old that may be.
type Followed = (Vec<Stamped>, TaskState, Option<Duration>);

pub(super) fn read_events(reader: &mut Reader<'_>) -> Result<Followed, DecodeError> {
    let events = (0..reader.count()?).map(|_| {
        let (generation, at) = (reader.uint()?, reader.hlc()?);
        Ok(Stamped { generation, at, event: decode_event(&reader.owned()?)? })
    });
    let events = events.collect::<Result<_, DecodeError>>()?;
    Ok((events, read_of(reader, &STATES, "state")?, reader.option(read_duration)?))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use photon_state::{Hlc, PlacementId, RegionId};

    use super::*;
    use crate::codec::{decode_message, encode_message};
    use crate::contract::Message;
    use crate::question::Answer;
    use crate::task::{Ack, Event, Json, Outcome, Spec, Target, TaskId, Token};

    fn json(text: &'static str) -> Json {
        Json(Bytes::from_static(text.as_bytes()))
    }

    fn detail() -> TaskDetail {
        let home = RegionId::try_from("eu-west-1").unwrap();
        let at = Hlc { wall_ms: 7, count: 1 };
        let spec = Spec {
            target: Target::Agent("shout".into()),
            placement: PlacementId::global(),
            message: json("{}"),
            context: "talk".into(),
            idempotency: None,
            ack: Ack::Region,
            terms: None,
        };
        let summary = TaskSummary {
            id: TaskId::from_bytes([3; 16]),
            state: TaskState::Working,
            generation: 4,
            home,
            spec,
            attempt: 2,
            worker: Some(("shout".into(), home)),
            created: at,
            changed: at,
        };
        let artifact = Artifact {
            id: "out".into(),
            name: Some("result".into()),
            parts: vec![json("[]"), json("[1]")],
            is_whole: true,
        };
        TaskDetail {
            summary,
            artifacts: vec![artifact],
            message: Some(json("{}")),
            turns: vec![json("[2]")],
            staleness: Some(Duration::from_millis(42)),
        }
    }

    #[test]
    fn what_is_shown_of_a_task_comes_back_and_every_truncation_is_refused() {
        let token = Token::new(1, 2);
        let event = Event::Ended { token: Some(token), outcome: Outcome::Failed, message: None };
        let events = vec![Stamped { generation: 3, at: Hlc::default(), event }];
        let (state, staleness) = (TaskState::Failed, None);
        let answers =
            [Answer::Task(Box::new(detail())), Answer::Events { events, state, staleness }];
        for answer in answers {
            let message = Message::Answer(9, Ok(answer));
            let bytes = encode_message(&message);
            assert_eq!(decode_message(&bytes), Ok(message));
            for len in 0..bytes.len() {
                assert!(decode_message(&bytes[..len]).is_err(), "cut to {len} bytes");
            }
        }
    }
}
