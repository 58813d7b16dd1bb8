//! The binary form of what members of the group tell each other, and of what they keep.
//! Must not know what an entry says.

use std::collections::BTreeMap;

use bytes::Bytes;
use photon_state::codec::{DecodeError, Reader, Writer};
use photon_state::{PlacementId, RegionId};
use raft::eraftpb::{ConfState, Entry, EntryType, HardState, Message, MessageType, Snapshot};

use super::store::Addition;

/// What members say to each other. What else the library knows never leaves a process.
const TYPES: [MessageType; 10] = [
    MessageType::MsgAppend,
    MessageType::MsgAppendResponse,
    MessageType::MsgRequestVote,
    MessageType::MsgRequestVoteResponse,
    MessageType::MsgSnapshot,
    MessageType::MsgHeartbeat,
    MessageType::MsgHeartbeatResponse,
    MessageType::MsgTimeoutNow,
    MessageType::MsgRequestPreVote,
    MessageType::MsgRequestPreVoteResponse,
];

/// Encodes a message; `None` if it is none for other members.
pub(crate) fn encode_message(message: &Message) -> Option<Bytes> {
    let kind = TYPES.iter().position(|it| *it == message.get_msg_type())?;
    let mut writer = Writer::default();
    writer.uint(kind as u64);
    let Message { to, from, term, log_term, index, commit, commit_term, .. } = *message;
    for number in [to, from, term, log_term, index, commit, commit_term] {
        writer.uint(number);
    }
    for number in [message.request_snapshot, u64::from(message.reject), message.reject_hint] {
        writer.uint(number);
    }
    writer.bytes(&message.context);
    writer.uint(message.priority.cast_unsigned());
    write_entries(&mut writer, &message.entries);
    let snapshot = (message.get_msg_type() == MessageType::MsgSnapshot).then_some(message);
    writer.option(snapshot, |writer, it| write_snapshot(writer, it.get_snapshot()));
    Some(writer.into_bytes())
}

/// Decodes a message.
pub(crate) fn decode_message(bytes: &Bytes) -> Result<Message, DecodeError> {
    let mut reader = Reader::sharing(bytes);
    let mut message = Message::default();
    let kind = usize::try_from(reader.uint()?).ok().and_then(|it| TYPES.get(it));
    message.set_msg_type(*kind.ok_or(reader.malformed("message of the group"))?);
    message.to = reader.uint()?;
    message.from = reader.uint()?;
    message.term = reader.uint()?;
    message.log_term = reader.uint()?;
    message.index = reader.uint()?;
    message.commit = reader.uint()?;
    message.commit_term = reader.uint()?;
    message.request_snapshot = reader.uint()?;
    message.reject = reader.uint()? != 0;
    message.reject_hint = reader.uint()?;
    message.context = reader.owned()?;
    message.priority = reader.uint()?.cast_signed();
    message.entries = read_entries(&mut reader)?.into();
    if let Some(snapshot) = reader.option(read_snapshot)? {
        message.set_snapshot(snapshot);
    }
    reader.end()?;
    Ok(message)
}

pub(crate) fn encode_addition(addition: &Addition) -> Bytes {
    let mut writer = Writer::default();
    writer.option(addition.id, Writer::uint);
    writer.uint(addition.has_joined.into());
    writer.uint(addition.bound.len() as u64);
    for (region, incarnation) in &addition.bound {
        writer.text(region.as_str());
        writer.uint(*incarnation);
    }
    writer.uint(addition.active.len() as u64);
    for (placement, upto) in &addition.active {
        writer.text(placement.as_str());
        writer.uint(*upto);
    }
    writer.option(addition.hard.as_ref(), |writer, HardState { term, vote, commit, .. }| {
        [*term, *vote, *commit].into_iter().for_each(|it| writer.uint(it));
    });
    writer.option(addition.snapshot.as_ref(), write_snapshot);
    write_entries(&mut writer, &addition.entries);
    writer.into_bytes()
}

pub(crate) fn decode_addition(bytes: &Bytes) -> Result<Addition, DecodeError> {
    let mut reader = Reader::sharing(bytes);
    let id = reader.option(Reader::uint)?;
    let has_joined = reader.uint()? != 0;
    let bound = (0..reader.count()?).map(|_| Ok((reader.region()?, reader.uint()?)));
    let bound = bound.collect::<Result<BTreeMap<RegionId, u64>, DecodeError>>()?;
    let active = (0..reader.count()?).map(|_| Ok((reader.placement()?, reader.uint()?)));
    let active = active.collect::<Result<BTreeMap<PlacementId, u64>, DecodeError>>()?;
    let hard = reader.option(|reader| {
        let mut hard = HardState::default();
        (hard.term, hard.vote, hard.commit) = (reader.uint()?, reader.uint()?, reader.uint()?);
        Ok(hard)
    })?;
    let snapshot = reader.option(read_snapshot)?;
    let entries = read_entries(&mut reader)?;
    let is_run = entries.windows(2).all(|pair| pair[0].index.checked_add(1) == Some(pair[1].index));
    if !is_run {
        return Err(reader.malformed("entries of the group"));
    }
    reader.end()?;
    Ok(Addition { id, has_joined, bound, active, hard, snapshot, entries })
}

fn write_entries(writer: &mut Writer, entries: &[Entry]) {
    writer.uint(entries.len() as u64);
    for entry in entries {
        writer.uint(match entry.get_entry_type() {
            EntryType::EntryNormal => 0,
            EntryType::EntryConfChange => 1,
            EntryType::EntryConfChangeV2 => 2,
        });
        writer.uint(entry.term);
        writer.uint(entry.index);
        writer.bytes(&entry.data);
        writer.bytes(&entry.context);
    }
}

fn read_entries(reader: &mut Reader<'_>) -> Result<Vec<Entry>, DecodeError> {
    let mut entries = Vec::new();
    for _ in 0..reader.count()? {
        let mut entry = Entry::default();
        entry.set_entry_type(match reader.uint()? {
            0 => EntryType::EntryNormal,
            1 => EntryType::EntryConfChange,
            2 => EntryType::EntryConfChangeV2,
            _ => return Err(reader.malformed("kind of an entry")),
        });
        (entry.term, entry.index) = (reader.uint()?, reader.uint()?);
        (entry.data, entry.context) = (reader.owned()?, reader.owned()?);
        entries.push(entry);
    }
    Ok(entries)
}

fn write_snapshot(writer: &mut Writer, snapshot: &Snapshot) {
    let metadata = snapshot.get_metadata();
    writer.uint(metadata.index);
    writer.uint(metadata.term);
    let conf = metadata.get_conf_state();
    for ids in [&conf.voters, &conf.learners, &conf.voters_outgoing, &conf.learners_next] {
        writer.uint(ids.len() as u64);
        ids.iter().for_each(|it| writer.uint(*it));
    }
    writer.uint(conf.auto_leave.into());
    writer.bytes(&snapshot.data);
}

fn read_snapshot(reader: &mut Reader<'_>) -> Result<Snapshot, DecodeError> {
    let mut snapshot = Snapshot::default();
    let metadata = snapshot.mut_metadata();
    (metadata.index, metadata.term) = (reader.uint()?, reader.uint()?);
    let ids = |reader: &mut Reader<'_>| {
        (0..reader.count()?).map(|_| reader.uint()).collect::<Result<Vec<u64>, DecodeError>>()
    };
    metadata.set_conf_state(ConfState {
        voters: ids(reader)?,
        learners: ids(reader)?,
        voters_outgoing: ids(reader)?,
        learners_next: ids(reader)?,
        auto_leave: reader.uint()? != 0,
        ..ConfState::default()
    });
    snapshot.data = reader.owned()?;
    Ok(snapshot)
}
