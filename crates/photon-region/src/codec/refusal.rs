//! The binary form of what a region may refuse another one.
//! Must not know why.

use std::sync::Arc;

use photon_state::RegionId;
use photon_state::codec::{DecodeError, Reader, Writer};

use super::govern::{read_govern_refusal, write_govern_refusal};
use super::spec::read_dataset;
use super::{STATES, read_duration, read_of, read_task, write_duration, write_of};
use crate::contract::TokenPair;
use crate::data::{DataRefusal, Kind, ReadGap, ReadLevel, WriteLevel};
use crate::refusal::{Large, Queue, Refusal};
use crate::task::{TaskId, TaskState, Token};

const QUEUES: [Queue; 12] = [
    Queue::InFlight,
    Queue::OpenTasks,
    Queue::Agents,
    Queue::OpenBytes,
    Queue::AgentBytes,
    Queue::DataBytes,
    Queue::Datasets,
    Queue::DataMemory,
    Queue::Webhooks,
    Queue::Wanted,
    Queue::Topics,
    Queue::TopicBytes,
];
const LARGES: [Large; 12] = [
    Large::Message,
    Large::Card,
    Large::Task,
    Large::Note,
    Large::Key,
    Large::Content,
    Large::Fields,
    Large::Batch,
    Large::Webhook,
    Large::Webhooks,
    Large::Checkpoint,
    Large::Post,
];
/// What a refusal may name; others are told in general words.
const WORDS: [&str; 23] = [
    "type",
    "rule",
    "put",
    "add",
    "fields",
    "replace",
    "delete",
    "key",
    "consistency",
    "ttl",
    "prefix",
    "limit",
    "amount",
    "writes",
    "master",
    "wait",
    "dataset",
    "if-match",
    "position",
    "residency",
    "to",
    "from",
    "request",
];

/// Writes what a home may answer to another region.
pub(super) fn write_refusal(writer: &mut Writer, refusal: &Refusal) {
    match refusal {
        Refusal::Overloaded { what, max, retry_after } => {
            writer.tag(1);
            write_of(writer, &QUEUES, what);
            writer.uint(*max);
            write_duration(writer, *retry_after);
        }
        Refusal::DiskFull { region } => write_region(writer, 2, *region),
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
        Refusal::Ended { task, state } => write_standing(writer, 5, *task, *state),
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
        Refusal::HomeUnreachable { region } => write_region(writer, 8, *region),
        Refusal::KeyReused { task } => {
            writer.tag(33);
            writer.fixed(&task.to_bytes());
        }
        Refusal::NotAsked { task, state } => write_standing(writer, 32, *task, *state),
        Refusal::Data(refusal) => write_data_refusal(writer, refusal),
        Refusal::OutsidePlacement { region, placement, members } => {
            writer.tag(19);
            writer.text(region.as_str());
            writer.text(placement.as_str());
            writer.uint(members.len() as u64);
            members.iter().for_each(|it| writer.text(it.as_str()));
        }
        Refusal::Govern(refusal) => {
            writer.tag(40);
            write_govern_refusal(writer, refusal);
        }
        Refusal::NoSuchPlacement(placement) => {
            writer.tag(22);
            writer.text(placement.as_str());
        }
        Refusal::PostReused { position } => {
            writer.tag(41);
            writer.uint(*position);
        }
        Refusal::ClockAhead { region, ahead_ms } => {
            write_region(writer, 42, *region);
            writer.uint(*ahead_ms);
        }
        Refusal::NoSuchAgent(_)
        | Refusal::NoSuchSkill(_)
        | Refusal::Confined { .. }
        | Refusal::AttachedElsewhere { .. }
        | Refusal::NotAdmitted { .. } => {
            unreachable!("a home answers none of these to another region: {refusal:?}")
        }
    }
}

fn write_region(writer: &mut Writer, tag: u8, region: RegionId) {
    writer.tag(tag);
    writer.text(region.as_str());
}

fn write_standing(writer: &mut Writer, tag: u8, task: TaskId, state: TaskState) {
    writer.tag(tag);
    writer.fixed(&task.to_bytes());
    write_of(writer, &STATES, &state);
}

pub(super) fn read_refusal(reader: &mut Reader<'_>) -> Result<Refusal, DecodeError> {
    Ok(match reader.tag()? {
        1 => Refusal::Overloaded {
            what: read_of(reader, &QUEUES, "queue")?,
            max: reader.uint()?,
            retry_after: read_duration(reader)?,
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
        32 => {
            let task = read_task(reader)?;
            Refusal::NotAsked { task, state: read_of(reader, &STATES, "state")? }
        }
        33 => Refusal::KeyReused { task: read_task(reader)? },
        6 => Refusal::NoteGap { first: reader.uint()?, expected: reader.uint()? },
        7 => Refusal::TooLarge {
            what: read_of(reader, &LARGES, "size")?,
            bytes: reader.uint()?,
            max: reader.uint()?,
        },
        8 => Refusal::HomeUnreachable { region: reader.region()? },
        19 => Refusal::OutsidePlacement {
            region: reader.region()?,
            placement: reader.placement()?,
            members: (0..reader.count()?).map(|_| reader.region()).collect::<Result<_, _>>()?,
        },
        22 => Refusal::NoSuchPlacement(reader.placement()?),
        40 => Refusal::Govern(read_govern_refusal(reader)?),
        41 => Refusal::PostReused { position: reader.uint()? },
        42 => Refusal::ClockAhead { region: reader.region()?, ahead_ms: reader.uint()? },
        tag => Refusal::Data(read_data_refusal(reader, tag)?),
    })
}

fn write_word(writer: &mut Writer, word: &'static str) {
    let last = WORDS.len() - 1;
    let place = WORDS.iter().position(|it| *it == word).unwrap_or(last);
    writer.uint(place as u64);
}

fn write_gap(writer: &mut Writer, gap: &ReadGap) {
    match gap {
        ReadGap::Session => writer.tag(1),
        ReadGap::Answers { got, needed } => {
            writer.tag(2);
            writer.uint(*got as u64);
            writer.uint(*needed as u64);
        }
        ReadGap::Stale(age) => {
            writer.tag(3);
            writer.option(*age, write_duration);
        }
    }
}

fn read_gap(reader: &mut Reader<'_>) -> Result<ReadGap, DecodeError> {
    Ok(match reader.tag()? {
        1 => ReadGap::Session,
        2 => {
            let (got, needed) = (reader.uint32()? as usize, reader.uint32()? as usize);
            ReadGap::Answers { got, needed }
        }
        3 => ReadGap::Stale(reader.option(read_duration)?),
        _ => return Err(reader.malformed("gap")),
    })
}

fn write_data_refusal(writer: &mut Writer, refusal: &DataRefusal) {
    match refusal {
        DataRefusal::NoSuchDataset(dataset) => {
            writer.tag(9);
            writer.text(dataset.as_str());
        }
        DataRefusal::WrongKind { dataset, kind, edit } => {
            writer.tag(11);
            writer.text(dataset.as_str());
            write_of(writer, &Kind::ALL, kind);
            write_word(writer, edit);
        }
        DataRefusal::NotMaster { dataset, master } => {
            write_texts(writer, 12, &[dataset.as_str(), master.as_str()]);
        }
        DataRefusal::Unexpected { found } => {
            writer.tag(13);
            writer.option(*found, Writer::uint);
        }
        DataRefusal::Overdrawn { asked, value } => {
            writer.tag(14);
            writer.uint(*asked);
            writer.uint(*value);
        }
        DataRefusal::LevelNotReached { level, durable_in, members } => {
            writer.tag(15);
            write_of(writer, &WriteLevel::ALL, level);
            writer.uint(*durable_in as u64);
            writer.uint(*members as u64);
        }
        DataRefusal::ReadNotReached { level, why } => {
            writer.tag(16);
            write_of(writer, &ReadLevel::ALL, level);
            write_gap(writer, why);
        }
        DataRefusal::DeciderUnreachable { region, was_sent } => {
            writer.tag(17);
            writer.text(region.as_str());
            writer.tag(u8::from(*was_sent));
        }
        DataRefusal::PositionTooOld => writer.tag(18),
        DataRefusal::Senseless { field, .. } => {
            writer.tag(20);
            write_word(writer, field);
        }
        DataRefusal::MasterMoves { dataset, to } => {
            write_texts(writer, 21, &[dataset.as_str(), to.as_str()]);
        }
        DataRefusal::DeclaredOtherwise { dataset, what } => {
            writer.tag(23);
            writer.text(dataset.as_str());
            write_word(writer, what);
        }
        DataRefusal::CatchingUp { region, heard, needed } => {
            writer.tag(30);
            writer.text(region.as_str());
            writer.uint(*heard as u64);
            writer.uint(*needed as u64);
        }
        DataRefusal::NotEmpty(dataset) => write_texts(writer, 24, &[dataset.as_str()]),
        DataRefusal::NoSuchTenant { .. }
        | DataRefusal::Unplaced { .. }
        | DataRefusal::LivesElsewhere { .. }
        | DataRefusal::NothingToMove { .. }
        | DataRefusal::RecordMoves { .. }
        | DataRefusal::SessionLost { .. }
        | DataRefusal::NoSuchMove(_) => write_misplaced(writer, refusal),
    }
}

/// Writes a refusal that is about where something lives, or lived.
fn write_misplaced(writer: &mut Writer, refusal: &DataRefusal) {
    match refusal {
        DataRefusal::NoSuchTenant { dataset, tenant } => {
            writer.tag(10);
            writer.text(dataset.as_str());
            writer.text(tenant);
        }
        DataRefusal::Unplaced { dataset, attribute, said, allowed } => {
            writer.tag(25);
            writer.text(dataset.as_str());
            writer.text(attribute);
            writer.option(said.as_deref(), Writer::text);
            writer.uint(allowed.len() as u64);
            allowed.iter().for_each(|it| writer.text(it));
        }
        DataRefusal::LivesElsewhere { placement } => {
            writer.tag(26);
            writer.text(placement.as_str());
        }
        DataRefusal::NothingToMove { placement } => {
            writer.tag(27);
            writer.option(*placement, |writer, it| writer.text(it.as_str()));
        }
        DataRefusal::RecordMoves { to } => {
            writer.tag(28);
            writer.text(to.as_str());
        }
        DataRefusal::NoSuchMove(dataset) => {
            writer.tag(29);
            writer.text(dataset.as_str());
        }
        DataRefusal::SessionLost { origin, placement } => {
            write_texts(writer, 31, &[origin.as_str(), placement.as_str()]);
        }
        DataRefusal::NoSuchDataset(_)
        | DataRefusal::DeclaredOtherwise { .. }
        | DataRefusal::CatchingUp { .. }
        | DataRefusal::NotEmpty(_)
        | DataRefusal::WrongKind { .. }
        | DataRefusal::NotMaster { .. }
        | DataRefusal::MasterMoves { .. }
        | DataRefusal::Unexpected { .. }
        | DataRefusal::Overdrawn { .. }
        | DataRefusal::LevelNotReached { .. }
        | DataRefusal::ReadNotReached { .. }
        | DataRefusal::DeciderUnreachable { .. }
        | DataRefusal::PositionTooOld
        | DataRefusal::Senseless { .. } => unreachable!("the caller has matched"),
    }
}

fn write_texts(writer: &mut Writer, tag: u8, texts: &[&str]) {
    writer.tag(tag);
    texts.iter().for_each(|it| writer.text(it));
}

fn read_data_refusal(reader: &mut Reader<'_>, tag: u8) -> Result<DataRefusal, DecodeError> {
    Ok(match tag {
        9 => DataRefusal::NoSuchDataset(read_dataset(reader)?),
        10 => DataRefusal::NoSuchTenant {
            dataset: read_dataset(reader)?,
            tenant: reader.text()?.into(),
        },
        11 => DataRefusal::WrongKind {
            dataset: read_dataset(reader)?,
            kind: read_of(reader, &Kind::ALL, "kind")?,
            edit: read_of(reader, &WORDS, "word")?,
        },
        12 => DataRefusal::NotMaster { dataset: read_dataset(reader)?, master: reader.region()? },
        13 => DataRefusal::Unexpected { found: reader.option(Reader::uint)? },
        14 => DataRefusal::Overdrawn { asked: reader.uint()?, value: reader.uint()? },
        15 => DataRefusal::LevelNotReached {
            level: read_of(reader, &WriteLevel::ALL, "level")?,
            durable_in: reader.uint32()? as usize,
            members: reader.uint32()? as usize,
        },
        16 => DataRefusal::ReadNotReached {
            level: read_of(reader, &ReadLevel::ALL, "level")?,
            why: read_gap(reader)?,
        },
        17 => DataRefusal::DeciderUnreachable {
            region: reader.region()?,
            was_sent: read_of(reader, &[false, true], "flag")?,
        },
        18 => DataRefusal::PositionTooOld,
        20 => {
            let field = read_of(reader, &WORDS, "word")?;
            DataRefusal::Senseless { field, why: DataRefusal::MISFIT }
        }
        21 => DataRefusal::MasterMoves { dataset: read_dataset(reader)?, to: reader.region()? },
        23 => DataRefusal::DeclaredOtherwise {
            dataset: read_dataset(reader)?,
            what: read_of(reader, &WORDS, "word")?,
        },
        24 => DataRefusal::NotEmpty(read_dataset(reader)?),
        30 => DataRefusal::CatchingUp {
            region: reader.region()?,
            heard: reader.uint32()? as usize,
            needed: reader.uint32()? as usize,
        },
        25 => DataRefusal::Unplaced {
            dataset: read_dataset(reader)?,
            attribute: reader.text()?.into(),
            said: reader.option(|it| it.text().map(Arc::from))?,
            allowed: (0..reader.count()?)
                .map(|_| reader.text().map(Arc::from))
                .collect::<Result<_, _>>()?,
        },
        26 => DataRefusal::LivesElsewhere { placement: reader.placement()? },
        27 => DataRefusal::NothingToMove { placement: reader.option(Reader::placement)? },
        28 => DataRefusal::RecordMoves { to: reader.placement()? },
        29 => DataRefusal::NoSuchMove(read_dataset(reader)?),
        31 => DataRefusal::SessionLost { origin: reader.region()?, placement: reader.placement()? },
        _ => return Err(reader.malformed("refusal")),
    })
}
