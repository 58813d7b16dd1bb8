//! The binary form of moves of records: as registers hold them, and as regions hand them on.
//! Must not decide anything.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use photon_state::RegionId;
use photon_state::codec::{DecodeError, Reader, Writer};

use super::read_of;
use super::spec::read_dataset;
use super::write_of;
use crate::data::{Adopt, Adoption, Copied, Move, MoveId, MoveState, Moved, Receipt, Taken};

/// Encodes a move as its register holds it.
pub(crate) fn encode_move(it: &Move) -> Bytes {
    let mut writer = Writer::default();
    write_receipt(&mut writer, &it.receipt);
    writer.uint(it.round.into());
    match &it.taken {
        Taken::Writes(dots) => {
            writer.tag(1);
            writer.uint(dots.len() as u64);
            dots.iter().for_each(|it| writer.whole_dot(*it));
        }
        Taken::Sum(sum) => {
            writer.tag(2);
            writer.fixed(&sum.to_le_bytes());
        }
    }
    writer.seen(&it.end);
    writer.into_bytes()
}

/// Decodes a move.
pub(crate) fn decode_move(bytes: &[u8]) -> Result<Move, DecodeError> {
    let mut reader = Reader::new(bytes);
    let receipt = read_receipt(&mut reader)?;
    let round = reader.uint32()?;
    let taken = match reader.tag()? {
        1 => {
            let dots = (0..reader.count()?).map(|_| reader.whole_dot());
            Taken::Writes(dots.collect::<Result<_, _>>()?)
        }
        2 => Taken::Sum(read_sum(&mut reader)?),
        _ => return Err(reader.malformed("copy of a record")),
    };
    let end = reader.seen()?;
    reader.end()?;
    Ok(Move { receipt, round, taken, end })
}

/// Encodes what a region has taken in of a move.
pub(crate) fn encode_adoption(it: &Adoption) -> Bytes {
    let mut writer = Writer::default();
    writer.uint(it.round.into());
    writer.whole_dot(it.last);
    writer.into_bytes()
}

/// Decodes what a region has taken in of a move.
pub(crate) fn decode_adoption(bytes: &[u8]) -> Result<Adoption, DecodeError> {
    let mut reader = Reader::new(bytes);
    let adoption = Adoption { round: reader.uint32()?, last: reader.whole_dot()? };
    reader.end()?;
    Ok(adoption)
}

pub(super) fn write_receipt(writer: &mut Writer, it: &Receipt) {
    writer.fixed(&it.id.to_bytes());
    writer.text(it.dataset.as_str());
    writer.option(it.key.as_deref(), Writer::bytes);
    writer.fixed(&it.key_digest);
    writer.option(it.content_digest.as_ref(), |writer, it| writer.fixed(it));
    writer.text(it.from.as_str());
    writer.text(it.to.as_str());
    writer.text(it.asked_in.as_str());
    writer.text(it.decided_in.as_str());
    writer.uint(it.begun_ms);
    writer.option(it.done_ms, Writer::uint);
    write_of(writer, &MoveState::ALL, &it.state);
    writer.uint(it.copies.len() as u64);
    for Copied { dot, regions } in &it.copies {
        writer.whole_dot(*dot);
        write_regions(writer, regions);
    }
    writer.uint(it.removals.len() as u64);
    it.removals.iter().for_each(|it| writer.whole_dot(*it));
    write_regions(writer, &it.must_forget);
    writer.uint(it.purged.len() as u64);
    for (region, at) in &it.purged {
        writer.text(region.as_str());
        writer.uint(*at);
    }
}

pub(super) fn read_receipt(reader: &mut Reader<'_>) -> Result<Receipt, DecodeError> {
    Ok(Receipt {
        id: read_move(reader)?,
        dataset: read_dataset(reader)?,
        key: reader.option(Reader::owned)?,
        key_digest: reader.fixed()?,
        content_digest: reader.option(Reader::fixed)?,
        from: reader.placement()?,
        to: reader.placement()?,
        asked_in: reader.region()?,
        decided_in: reader.region()?,
        begun_ms: reader.uint()?,
        done_ms: reader.option(Reader::uint)?,
        state: read_of(reader, &MoveState::ALL, "state of a move")?,
        copies: (0..reader.count()?)
            .map(|_| Ok(Copied { dot: reader.whole_dot()?, regions: read_regions(reader)? }))
            .collect::<Result<_, DecodeError>>()?,
        removals: (0..reader.count()?).map(|_| reader.whole_dot()).collect::<Result<_, _>>()?,
        must_forget: read_regions(reader)?,
        purged: (0..reader.count()?)
            .map(|_| Ok((reader.region()?, reader.uint()?)))
            .collect::<Result<BTreeMap<_, _>, DecodeError>>()?,
    })
}

fn read_move(reader: &mut Reader<'_>) -> Result<MoveId, DecodeError> {
    reader.fixed().map(MoveId::from_bytes)
}

fn write_regions(writer: &mut Writer, regions: &BTreeSet<RegionId>) {
    writer.uint(regions.len() as u64);
    regions.iter().for_each(|it| writer.text(it.as_str()));
}

fn read_regions(reader: &mut Reader<'_>) -> Result<BTreeSet<RegionId>, DecodeError> {
    (0..reader.count()?).map(|_| reader.region()).collect()
}

pub(super) fn write_adopt(writer: &mut Writer, it: &Adopt) {
    writer.text(it.dataset.as_str());
    writer.fixed(&it.id.to_bytes());
    writer.uint(it.round.into());
    writer.bytes(&it.key);
    writer.text(it.to.as_str());
    match &it.content {
        Moved::Fields(versions) => {
            writer.tag(1);
            writer.uint(versions.len() as u64);
            for (field, version) in versions {
                writer.bytes(field);
                writer.version(version);
            }
        }
        Moved::Sum(sum) => {
            writer.tag(2);
            writer.fixed(&sum.to_le_bytes());
        }
        Moved::Over => writer.tag(3),
    }
    writer.seen(&it.needs);
}

/// Reads so much of a counter as one copy may hold.
fn read_sum(reader: &mut Reader<'_>) -> Result<i64, DecodeError> {
    let sum = i64::from_le_bytes(reader.fixed()?);
    // The least number has no opposite, by which it could be taken away.
    if sum == i64::MIN { Err(reader.malformed("sum of a counter")) } else { Ok(sum) }
}

pub(super) fn read_adopt(
    reader: &mut Reader<'_>,
    dataset: crate::data::DatasetName,
) -> Result<Adopt, DecodeError> {
    let (id, round) = (read_move(reader)?, reader.uint32()?);
    let (key, to) = (reader.owned()?, reader.placement()?);
    let content = match reader.tag()? {
        1 => {
            let versions = (0..reader.count()?).map(|_| Ok((reader.owned()?, reader.version()?)));
            Moved::Fields(versions.collect::<Result<_, DecodeError>>()?)
        }
        2 => Moved::Sum(read_sum(reader)?),
        3 => Moved::Over,
        _ => return Err(reader.malformed("copy of a record")),
    };
    Ok(Adopt { id, round, dataset, key, to, content, needs: reader.seen()? })
}
