//! The binary form of the terms of a task.
//! Must not know how they are replicated.

use std::sync::Arc;
use std::time::Duration;

use photon_state::codec::{DecodeError, Reader, Writer};

use crate::matching::Wants;
use crate::terms::{Priority, Retry, Terms, Weight, ms};

pub(super) fn write_terms(writer: &mut Writer, terms: &Terms) {
    let marks = if terms.wants.is_some() { WITH_WANTS } else { 0 };
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
}

/// What is added to the priority of terms that end with what is wanted of the agent.
const WITH_WANTS: u8 = 8;

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
    let has_wants = tag & WITH_WANTS != 0;
    let priority = Priority::new(tag & !WITH_WANTS);
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
        wants: if has_wants { Some(Arc::new(read_wants(reader)?)) } else { None },
    })
}

/// Returns about how many bytes they take.
pub(super) fn room_for_terms(terms: &Terms) -> usize {
    let wants = terms.wants.iter();
    let wanted: usize = wants.flat_map(|it| &it.skills).map(|it| it.len() + 2).sum();
    48 + terms.fairness_key.as_ref().map_or(0, |it| it.len()) + wanted
}
