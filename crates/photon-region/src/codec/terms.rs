//! The binary form of the terms of a task.
//! Must not know how they are replicated.

use std::sync::Arc;
use std::time::Duration;

use photon_state::codec::{DecodeError, Reader, Writer};

use super::{read_of, write_of};
use crate::matching::Wants;
use crate::task::TaskId;
use crate::terms::{Fan, Need, Over, Priority, Retry, Terms, Weight, ms};

pub(super) fn write_terms(writer: &mut Writer, terms: &Terms) {
    let mark = |is_there: bool, mark| if is_there { mark } else { 0 };
    let marks = mark(terms.wants.is_some(), WITH_WANTS)
        | mark(terms.fan.is_some(), WITH_FAN)
        | mark(terms.part_of.is_some(), PART_OF)
        | mark(terms.skill.is_some(), WITH_SKILL);
    writer.tag(terms.priority.get() | marks);
    writer.option(terms.fairness_key.as_deref(), Writer::text);
    writer.uint(terms.fairness_weight.thousandths().into());
    writer.uint(ms(terms.start_delay));
    let times =
        [terms.schedule_to_start, terms.start_to_close, terms.schedule_to_close, terms.heartbeat];
    for time in times {
        writer.option(time, |writer, time| writer.uint(ms(time)));
    }
    writer.option(terms.retry, |writer, retry| {
        writer.uint(ms(retry.initial_interval));
        writer.uint(retry.backoff_thousandths.into());
        writer.uint(ms(retry.maximum_interval));
        writer.uint(retry.maximum_attempts.into());
    });
    if let Some(wants) = &terms.wants {
        write_wants(writer, wants);
    }
    if let Some(Fan { over, need }) = terms.fan {
        write_of(writer, &OVERS, &over);
        match need {
            Need::All => writer.tag(1),
            Need::Quorum => writer.tag(2),
            Need::First(count) => {
                writer.tag(3);
                writer.uint(count.into());
            }
        }
    }
    if let Some(task) = terms.part_of {
        writer.fixed(&task.to_bytes());
    }
    if let Some(skill) = &terms.skill {
        writer.text(skill);
    }
}

const OVERS: [Over; 2] = [Over::Agents, Over::Regions];

fn read_fan(reader: &mut Reader<'_>) -> Result<Fan, DecodeError> {
    let over = read_of(reader, &OVERS, "whom it is asked of")?;
    let need = match reader.tag()? {
        1 => Need::All,
        2 => Need::Quorum,
        3 => Need::First(reader.uint32()?),
        _ => return Err(reader.malformed("what is needed")),
    };
    Ok(Fan { over, need })
}

/// What is added to the priority of terms that end with what is wanted of the agent.
const WITH_WANTS: u8 = 8;
/// The same, of those that end with of whom the task is asked, if of many.
const WITH_FAN: u8 = 16;
/// The same, of those that end with the task that theirs is a part of.
const PART_OF: u8 = 32;
/// The same, of those that end with the skill that is meant of an agent that is asked by name.
const WITH_SKILL: u8 = 64;

fn write_wants(writer: &mut Writer, wants: &Wants) {
    writer.uint(wants.skills.len() as u64);
    wants.skills.iter().for_each(|it| writer.text(it));
    writer.uint(wants.regions.len() as u64);
    wants.regions.iter().for_each(|it| writer.text(it.as_str()));
    writer.option(wants.cost_micros_max, Writer::uint);
}

fn read_wants(reader: &mut Reader<'_>) -> Result<Wants, DecodeError> {
    let skills = (0..reader.count()?).map(|_| reader.text().map(Into::into));
    let skills = skills.collect::<Result<_, DecodeError>>()?;
    let regions = (0..reader.count()?).map(|_| reader.region());
    let regions = regions.collect::<Result<_, DecodeError>>()?;
    Ok(Wants { skills, regions, cost_micros_max: reader.option(Reader::uint)? })
}

pub(super) fn read_terms(reader: &mut Reader<'_>) -> Result<Terms, DecodeError> {
    let tag = reader.tag()?;
    let has = |mark| tag & mark != 0;
    let priority = Priority::new(tag & !(WITH_WANTS | WITH_FAN | PART_OF | WITH_SKILL));
    let priority = priority.ok_or_else(|| reader.malformed("priority"))?;
    let fairness_key = reader.option(|reader| reader.text().map(Into::into))?;
    let weight = Weight::of_thousandths(reader.uint32()?);
    let fairness_weight = weight.ok_or_else(|| reader.malformed("weight"))?;
    let time = |reader: &mut Reader<'_>| reader.uint().map(Duration::from_millis);
    Ok(Terms {
        priority,
        fairness_key,
        fairness_weight,
        start_delay: time(reader)?,
        schedule_to_start: reader.option(time)?,
        start_to_close: reader.option(time)?,
        schedule_to_close: reader.option(time)?,
        heartbeat: reader.option(time)?,
        retry: reader.option(|reader| {
            Ok(Retry {
                initial_interval: time(reader)?,
                backoff_thousandths: reader.uint32()?,
                maximum_interval: time(reader)?,
                maximum_attempts: reader.uint32()?,
            })
        })?,
        wants: if has(WITH_WANTS) { Some(Arc::new(read_wants(reader)?)) } else { None },
        fan: if has(WITH_FAN) { Some(read_fan(reader)?) } else { None },
        part_of: if has(PART_OF) { Some(TaskId::from_bytes(reader.fixed()?)) } else { None },
        skill: if has(WITH_SKILL) { Some(reader.text()?.into()) } else { None },
    })
}

/// Returns about how many bytes they take.
pub(super) fn room_for_terms(terms: &Terms) -> usize {
    let wants = terms.wants.iter();
    let wanted: usize = wants.flat_map(|it| &it.skills).map(|it| it.len() + 2).sum();
    48 + terms.fairness_key.as_ref().map_or(0, |it| it.len()) + wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_of_many_come_back_and_every_truncation_is_refused() {
        let needs = [Need::All, Need::Quorum, Need::First(3)];
        let fans = OVERS.into_iter().flat_map(|over| needs.map(|need| Fan { over, need }));
        let part_of = Some(TaskId::from_bytes([7; 16]));
        let wants = Some(Arc::new(Wants { cost_micros_max: Some(1), ..Wants::default() }));
        let of_many = fans.map(|it| Terms { fan: Some(it), ..Terms::default() });
        let skill = Some("text.upper".into());
        let parts = [(None, None), (wants, skill)];
        let parts = parts.map(|(wants, skill)| Terms { part_of, wants, skill, ..Terms::default() });
        for terms in of_many.chain(parts) {
            let mut writer = Writer::default();
            write_terms(&mut writer, &terms);
            let bytes = writer.into_bytes();
            let read = |bytes: &[u8]| {
                let mut reader = Reader::new(bytes);
                let terms = read_terms(&mut reader)?;
                reader.end().map(|()| terms)
            };
            assert_eq!(read(&bytes), Ok(terms));
            for len in 0..bytes.len() {
                assert!(read(&bytes[..len]).is_err(), "cut to {len} bytes");
            }
        }
    }
}
