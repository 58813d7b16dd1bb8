//! The binary form of what regions hand on to each other about records.
//! Must not decide anything.

use std::sync::Arc;

use photon_state::PlacementId;
use photon_state::codec::{DecodeError, Reader, Writer};

use super::moved::{read_adopt, read_receipt, write_adopt, write_receipt};
use super::spec::{read_dataset, read_spec, write_spec};
use super::{read_duration, read_of, write_duration, write_of};
use crate::data::{
    Change, Content, DataCommand, DataReply, Edit, Expect, FieldEdit, Found, ReadHow, ReadLevel,
    Shown, Spot, Write, WriteLevel, Written,
};

fn write_spot(writer: &mut Writer, spot: Option<&Spot>) {
    match spot {
        None => writer.tag(0),
        Some(Spot::Value(value)) => {
            writer.tag(1);
            writer.text(value);
        }
        Some(Spot::Placement(placement)) => {
            writer.tag(2);
            writer.text(placement.as_str());
        }
    }
}

fn read_spot(reader: &mut Reader<'_>) -> Result<Option<Spot>, DecodeError> {
    Ok(match reader.tag()? {
        0 => None,
        1 => Some(Spot::Value(reader.text()?.into())),
        2 => Some(Spot::Placement(reader.placement()?)),
        _ => return Err(reader.malformed("place of a record")),
    })
}

fn read_each<T>(
    reader: &mut Reader<'_>,
    read: impl Fn(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    (0..reader.count()?).map(|_| read(reader)).collect()
}

/// Writes a command that one region hands on to another.
pub(super) fn write_command(writer: &mut Writer, command: &DataCommand) {
    match command {
        DataCommand::Write { dataset, writes, level, session, wait } => {
            writer.tag(1);
            writer.text(dataset.as_str());
            writer.uint(writes.len() as u64);
            writes.iter().for_each(|it| write_write(writer, it));
            writer.option(level.as_ref(), |writer, it| write_of(writer, &WriteLevel::ALL, it));
            writer.seen(session);
            write_duration(writer, *wait);
        }
        DataCommand::Read { dataset, key, how } => {
            writer.tag(2);
            writer.text(dataset.as_str());
            writer.bytes(key);
            write_how(writer, how);
        }
        DataCommand::Scan { dataset, prefix, after, limit, how } => {
            writer.tag(3);
            writer.text(dataset.as_str());
            writer.bytes(prefix);
            writer.option(after.as_deref(), Writer::bytes);
            writer.uint(*limit as u64);
            write_how(writer, how);
        }
        DataCommand::Watch { dataset, prefix, spot, position, wait } => {
            writer.tag(4);
            writer.text(dataset.as_str());
            writer.bytes(prefix);
            write_spot(writer, spot.as_ref());
            writer.option(position.as_ref(), Writer::seen);
            write_duration(writer, *wait);
        }
        DataCommand::MoveMaster { dataset, to, wait } => {
            writer.tag(5);
            writer.text(dataset.as_str());
            writer.text(to.as_str());
            write_duration(writer, *wait);
        }
        DataCommand::Move { dataset, key, to, from, asked_in, wait } => {
            writer.tag(6);
            writer.text(dataset.as_str());
            writer.bytes(key);
            write_spot(writer, Some(to));
            write_spot(writer, from.as_ref());
            writer.option(*asked_in, |writer, it| writer.text(it.as_str()));
            write_duration(writer, *wait);
        }
        DataCommand::Adopt { adopt, wait } => {
            writer.tag(7);
            write_adopt(writer, adopt);
            write_duration(writer, *wait);
        }
        DataCommand::Declare(_)
        | DataCommand::Receipts { .. }
        | DataCommand::Compact
        | DataCommand::Drop(_)
        | DataCommand::Dataset(_)
        | DataCommand::Datasets
        | DataCommand::Conflicts(_)
        | DataCommand::Digest { .. } => {
            unreachable!("every region answers this itself: {command:?}")
        }
    }
}

pub(super) fn read_command(reader: &mut Reader<'_>) -> Result<DataCommand, DecodeError> {
    let tag = reader.tag()?;
    let dataset = read_dataset(reader)?;
    Ok(match tag {
        1 => DataCommand::Write {
            dataset,
            writes: read_each(reader, read_write)?,
            level: reader.option(|it| read_of(it, &WriteLevel::ALL, "level"))?,
            session: reader.seen()?,
            wait: read_duration(reader)?,
        },
        2 => DataCommand::Read { dataset, key: reader.owned()?, how: read_how(reader)? },
        3 => DataCommand::Scan {
            dataset,
            prefix: reader.owned()?,
            after: reader.option(Reader::owned)?,
            limit: reader.uint32()? as usize,
            how: read_how(reader)?,
        },
        4 => DataCommand::Watch {
            dataset,
            prefix: reader.owned()?,
            spot: read_spot(reader)?,
            position: reader.option(Reader::seen)?,
            wait: read_duration(reader)?,
        },
        5 => {
            DataCommand::MoveMaster { dataset, to: reader.region()?, wait: read_duration(reader)? }
        }
        6 => DataCommand::Move {
            dataset,
            key: reader.owned()?,
            to: read_spot(reader)?.ok_or(reader.malformed("place of a record"))?,
            from: read_spot(reader)?,
            asked_in: reader.option(Reader::region)?,
            wait: read_duration(reader)?,
        },
        7 => DataCommand::Adopt {
            adopt: Box::new(read_adopt(reader, dataset)?),
            wait: read_duration(reader)?,
        },
        _ => return Err(reader.malformed("command")),
    })
}

fn write_how(writer: &mut Writer, how: &ReadHow) {
    writer.option(how.level.as_ref(), |writer, it| write_of(writer, &ReadLevel::ALL, it));
    writer.seen(&how.session);
    writer.option(how.staleness_max, write_duration);
    write_duration(writer, how.wait);
    write_spot(writer, how.spot.as_ref());
}

fn read_how(reader: &mut Reader<'_>) -> Result<ReadHow, DecodeError> {
    Ok(ReadHow {
        level: reader.option(|it| read_of(it, &ReadLevel::ALL, "level"))?,
        session: reader.seen()?,
        staleness_max: reader.option(read_duration)?,
        wait: read_duration(reader)?,
        spot: read_spot(reader)?,
    })
}

fn write_write(writer: &mut Writer, write: &Write) {
    writer.bytes(&write.key);
    match &write.edit {
        Edit::Put(bytes) => {
            writer.tag(1);
            writer.bytes(bytes);
        }
        Edit::Add(by) => {
            writer.tag(2);
            writer.signed(*by);
        }
        Edit::Fields(edits) => {
            writer.tag(3);
            writer.uint(edits.len() as u64);
            edits.iter().for_each(|it| write_field_edit(writer, it));
        }
        Edit::Replace(fields) => {
            writer.tag(4);
            writer.uint(fields.len() as u64);
            for (field, content) in fields {
                writer.bytes(field);
                writer.bytes(content);
            }
        }
        Edit::Delete => writer.tag(5),
    }
    match &write.expect {
        None => writer.tag(0),
        Some(Expect::Fingerprint(all)) => {
            writer.tag(1);
            writer.uint(all.len() as u64);
            all.iter().for_each(|it| writer.uint(*it));
        }
        Some(Expect::Present) => writer.tag(2),
        Some(Expect::Absent) => writer.tag(3),
    }
    writer.option(write.ttl, write_duration);
    write_spot(writer, write.spot.as_ref());
}

fn write_field_edit(writer: &mut Writer, edit: &FieldEdit) {
    match edit {
        FieldEdit::Set(field, content) => {
            writer.tag(1);
            writer.bytes(field);
            writer.bytes(content);
        }
        FieldEdit::Remove(field) => {
            writer.tag(2);
            writer.bytes(field);
        }
        FieldEdit::RemoveUnder(prefix) => {
            writer.tag(3);
            writer.bytes(prefix);
        }
    }
}

fn read_write(reader: &mut Reader<'_>) -> Result<Write, DecodeError> {
    let key = reader.owned()?;
    let edit = match reader.tag()? {
        1 => Edit::Put(reader.owned()?),
        2 => Edit::Add(reader.signed()?),
        3 => Edit::Fields(read_each(reader, |reader| {
            Ok(match reader.tag()? {
                1 => FieldEdit::Set(reader.owned()?, reader.owned()?),
                2 => FieldEdit::Remove(reader.owned()?),
                3 => FieldEdit::RemoveUnder(reader.owned()?),
                _ => return Err(reader.malformed("edit of a field")),
            })
        })?),
        4 => Edit::Replace(read_each(reader, |it| Ok((it.owned()?, it.owned()?)))?),
        5 => Edit::Delete,
        _ => return Err(reader.malformed("edit")),
    };
    let expect = match reader.tag()? {
        0 => None,
        1 => Some(Expect::Fingerprint(read_each(reader, |it| it.uint())?)),
        2 => Some(Expect::Present),
        3 => Some(Expect::Absent),
        _ => return Err(reader.malformed("expectation")),
    };
    let (ttl, spot) = (reader.option(read_duration)?, read_spot(reader)?);
    Ok(Write { key, edit, expect, ttl, spot })
}

/// Writes what a region answers to a command that was handed on to it.
pub(super) fn write_reply(writer: &mut Writer, reply: &DataReply) {
    match reply {
        DataReply::Written(Written { records, region, durable_in, members, session }) => {
            writer.tag(1);
            writer.uint(records.len() as u64);
            records.iter().for_each(|it| write_shown(writer, it));
            writer.text(region.as_str());
            writer.uint(*durable_in as u64);
            writer.uint(*members as u64);
            writer.seen(session);
        }
        DataReply::Found(Found { record, region, asked, staleness, session }) => {
            writer.tag(2);
            writer.option(record.as_ref(), write_shown);
            writer.text(region.as_str());
            writer.uint(*asked as u64);
            writer.option(*staleness, write_duration);
            writer.seen(session);
        }
        DataReply::Page { records, more, placements, session } => {
            writer.tag(3);
            writer.uint(records.len() as u64);
            for (key, shown) in records {
                writer.bytes(key);
                write_shown(writer, shown);
            }
            writer.tag(u8::from(*more));
            write_places(writer, placements);
            writer.seen(session);
        }
        DataReply::Changes { changes, position } => {
            writer.tag(4);
            writer.uint(changes.len() as u64);
            for change in changes {
                writer.bytes(&change.key);
                writer.whole_dot(change.dot);
                writer.hlc(change.at);
                writer.option(change.record.as_ref(), write_shown);
                writer.seen(&change.position);
            }
            writer.seen(position);
        }
        DataReply::Dataset(spec) => {
            writer.tag(5);
            write_spec(writer, spec);
        }
        DataReply::Moved(receipt) => {
            writer.tag(6);
            write_receipt(writer, receipt);
        }
        DataReply::Datasets(_)
        | DataReply::Receipts { .. }
        | DataReply::Compacting
        | DataReply::Dropped
        | DataReply::Conflicts(_)
        | DataReply::Digest(_) => {
            unreachable!("every region answers this itself: {reply:?}")
        }
    }
}

pub(super) fn read_reply(reader: &mut Reader<'_>) -> Result<DataReply, DecodeError> {
    Ok(match reader.tag()? {
        1 => DataReply::Written(Written {
            records: read_each(reader, read_shown)?,
            region: reader.region()?,
            durable_in: reader.uint32()? as usize,
            members: reader.uint32()? as usize,
            session: reader.seen()?,
        }),
        2 => DataReply::Found(Found {
            record: reader.option(read_shown)?,
            region: reader.region()?,
            asked: reader.uint32()? as usize,
            staleness: reader.option(read_duration)?,
            session: reader.seen()?,
        }),
        3 => DataReply::Page {
            records: read_each(reader, |it| Ok((it.owned()?, read_shown(it)?)))?,
            more: read_of(reader, &[false, true], "flag")?,
            placements: read_each(reader, |it| it.placement())?,
            session: reader.seen()?,
        },
        4 => DataReply::Changes {
            changes: read_each(reader, |reader| {
                Ok(Change {
                    key: reader.owned()?,
                    dot: reader.whole_dot()?,
                    at: reader.hlc()?,
                    record: reader.option(read_shown)?,
                    position: reader.seen()?,
                })
            })?,
            position: reader.seen()?,
        },
        5 => DataReply::Dataset(Arc::new(read_spec(reader)?)),
        6 => DataReply::Moved(Box::new(read_receipt(reader)?)),
        _ => return Err(reader.malformed("reply")),
    })
}

fn write_places(writer: &mut Writer, placements: &[PlacementId]) {
    writer.uint(placements.len() as u64);
    placements.iter().for_each(|it| writer.text(it.as_str()));
}

fn write_shown(writer: &mut Writer, shown: &Shown) {
    writer.uint(shown.fingerprint);
    writer.text(shown.placement.as_str());
    write_places(writer, &shown.also_in);
    match &shown.content {
        Content::Fields(fields) => {
            writer.tag(1);
            writer.uint(fields.len() as u64);
            for (field, versions) in fields {
                writer.bytes(field);
                writer.uint(versions.len() as u64);
                versions.iter().for_each(|it| writer.version(it));
            }
        }
        Content::Number(sum) => {
            writer.tag(2);
            writer.fixed(&sum.to_le_bytes());
        }
        Content::Quota { value, rights } => {
            writer.tag(3);
            writer.fixed(&value.to_le_bytes());
            writer.fixed(&rights.to_le_bytes());
        }
    }
}

fn read_shown(reader: &mut Reader<'_>) -> Result<Shown, DecodeError> {
    let (fingerprint, placement) = (reader.uint()?, reader.placement()?);
    let also_in = read_each(reader, |it| it.placement())?;
    let content = match reader.tag()? {
        1 => Content::Fields(read_each(reader, |it| {
            Ok((it.owned()?, read_each(it, |it| it.version())?))
        })?),
        2 => Content::Number(i128::from_le_bytes(reader.fixed()?)),
        3 => Content::Quota {
            value: i128::from_le_bytes(reader.fixed()?),
            rights: u128::from_le_bytes(reader.fixed()?),
        },
        _ => return Err(reader.malformed("content")),
    };
    Ok(Shown { content, fingerprint, placement, also_in })
}
