//! The binary form of datasets, and of what regions hand on to each other about their records.
//! Must not decide anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use photon_state::codec::{DecodeError, Reader, Writer};

use super::{read_duration, read_of, write_duration, write_of};
use crate::data::{
    Change, Content, DataCommand, DataReply, DatasetName, DatasetSpec, Edit, Expect, FieldEdit,
    Found, Kind, Mode, Outside, PlacementRule, Policy, ReadHow, ReadLevel, Shown, Write,
    WriteLevel, Written,
};

const OUTSIDES: [Outside; 2] = [Outside::Forward, Outside::Refuse];

/// Encodes a dataset as its record holds it.
pub(crate) fn encode_dataset(spec: &DatasetSpec) -> Bytes {
    let mut writer = Writer::default();
    write_spec(&mut writer, spec);
    writer.into_bytes()
}

/// Decodes a dataset.
pub(crate) fn decode_dataset(bytes: &[u8]) -> Result<DatasetSpec, DecodeError> {
    let mut reader = Reader::new(bytes);
    let spec = read_spec(&mut reader)?;
    reader.end()?;
    Ok(spec)
}

fn write_spec(writer: &mut Writer, spec: &DatasetSpec) {
    writer.text(spec.name.as_str());
    write_of(writer, &Kind::ALL, &spec.kind);
    match &spec.rule {
        PlacementRule::Fixed(placement) => {
            writer.tag(1);
            writer.text(placement.as_str());
        }
        PlacementRule::ByTenant { tenants, others } => {
            writer.tag(2);
            writer.uint(tenants.len() as u64);
            for (tenant, placement) in tenants {
                writer.text(tenant);
                writer.text(placement.as_str());
            }
            writer.option(*others, |writer, it| writer.text(it.as_str()));
        }
    }
    write_of(writer, &OUTSIDES, &spec.outside);
    match spec.mode {
        Mode::MultiMaster => writer.tag(1),
        Mode::SingleMaster { master, elsewhere } => {
            writer.tag(2);
            writer.text(master.as_str());
            write_of(writer, &OUTSIDES, &elsewhere);
        }
        Mode::AsyncMaster { master } => {
            writer.tag(3);
            writer.text(master.as_str());
        }
    }
    match spec.policy {
        Policy::LastWriter => writer.tag(1),
        Policy::KeepAll => writer.tag(2),
        Policy::Highest => writer.tag(3),
        Policy::Lowest => writer.tag(4),
        Policy::Prefer(region) => {
            writer.tag(5);
            writer.text(region.as_str());
        }
    }
    write_of(writer, &WriteLevel::ALL, &spec.write_level);
    write_of(writer, &ReadLevel::ALL, &spec.read_level);
    writer.option(spec.ttl, write_duration);
    // Nothing ever follows a dataset: what is not there was not written, or not yet thought of.
    if let Some(retention) = spec.retention {
        write_duration(writer, retention);
    }
}

pub(super) fn read_dataset(reader: &mut Reader<'_>) -> Result<DatasetName, DecodeError> {
    DatasetName::try_from(reader.text()?).map_err(|_| reader.malformed("name of a dataset"))
}

fn read_spec(reader: &mut Reader<'_>) -> Result<DatasetSpec, DecodeError> {
    let name = read_dataset(reader)?;
    let kind = read_of(reader, &Kind::ALL, "kind")?;
    let rule = match reader.tag()? {
        1 => PlacementRule::Fixed(reader.placement()?),
        2 => {
            let tenants = (0..reader.count()?)
                .map(|_| Ok((Arc::from(reader.text()?), reader.placement()?)))
                .collect::<Result<BTreeMap<_, _>, DecodeError>>()?;
            PlacementRule::ByTenant { tenants, others: reader.option(Reader::placement)? }
        }
        _ => return Err(reader.malformed("rule")),
    };
    let outside = read_of(reader, &OUTSIDES, "outside")?;
    let mode = match reader.tag()? {
        1 => Mode::MultiMaster,
        2 => Mode::SingleMaster {
            master: reader.region()?,
            elsewhere: read_of(reader, &OUTSIDES, "elsewhere")?,
        },
        3 => Mode::AsyncMaster { master: reader.region()? },
        _ => return Err(reader.malformed("mode")),
    };
    let policy = match reader.tag()? {
        1 => Policy::LastWriter,
        2 => Policy::KeepAll,
        3 => Policy::Highest,
        4 => Policy::Lowest,
        5 => Policy::Prefer(reader.region()?),
        _ => return Err(reader.malformed("policy")),
    };
    Ok(DatasetSpec {
        name,
        kind,
        rule,
        outside,
        mode,
        policy,
        write_level: read_of(reader, &WriteLevel::ALL, "level")?,
        read_level: read_of(reader, &ReadLevel::ALL, "level")?,
        ttl: reader.option(read_duration)?,
        retention: if reader.is_at_end() { None } else { Some(read_duration(reader)?) },
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
        DataCommand::Watch { dataset, prefix, position, wait } => {
            writer.tag(4);
            writer.text(dataset.as_str());
            writer.bytes(prefix);
            writer.option(position.as_ref(), Writer::seen);
            write_duration(writer, *wait);
        }
        DataCommand::MoveMaster { dataset, to, wait } => {
            writer.tag(5);
            writer.text(dataset.as_str());
            writer.text(to.as_str());
            write_duration(writer, *wait);
        }
        DataCommand::Declare(_)
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
            position: reader.option(Reader::seen)?,
            wait: read_duration(reader)?,
        },
        5 => {
            DataCommand::MoveMaster { dataset, to: reader.region()?, wait: read_duration(reader)? }
        }
        _ => return Err(reader.malformed("command")),
    })
}

fn write_how(writer: &mut Writer, how: &ReadHow) {
    writer.option(how.level.as_ref(), |writer, it| write_of(writer, &ReadLevel::ALL, it));
    writer.seen(&how.session);
    writer.option(how.staleness_max, write_duration);
    write_duration(writer, how.wait);
}

fn read_how(reader: &mut Reader<'_>) -> Result<ReadHow, DecodeError> {
    Ok(ReadHow {
        level: reader.option(|it| read_of(it, &ReadLevel::ALL, "level"))?,
        session: reader.seen()?,
        staleness_max: reader.option(read_duration)?,
        wait: read_duration(reader)?,
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
    Ok(Write { key, edit, expect, ttl: reader.option(read_duration)? })
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
        DataReply::Page { records, more, session } => {
            writer.tag(3);
            writer.uint(records.len() as u64);
            for (key, shown) in records {
                writer.bytes(key);
                write_shown(writer, shown);
            }
            writer.tag(u8::from(*more));
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
        DataReply::Datasets(_)
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
        _ => return Err(reader.malformed("reply")),
    })
}

fn write_shown(writer: &mut Writer, shown: &Shown) {
    writer.uint(shown.fingerprint);
    writer.text(shown.placement.as_str());
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
    Ok(Shown { content, fingerprint, placement })
}
