//! What a region tells every other one each tenth of a second.
//! Must not decide what follows from it.

use photon_state::RegionId;
use photon_state::codec::{DecodeError, Reader, Writer};

use crate::detect::{Condition, Heartbeat, Load};

/// What a region tells every other one each tenth of a second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// When it was sent, by the sender's own clock, in microseconds.
    pub sent: u64,
    /// Which of its logs the sender writes now.
    pub incarnation: u64,
    /// The name of that life in the group that agrees, once it is known.
    pub id: Option<u64>,
    /// Up to which decree the sender has taken the charter in.
    pub applied: u64,
    /// Whether the sender has taken over all that it became the home of by then.
    pub is_settled: bool,
    /// Whether the sender may decide: a majority stands by it.
    pub is_holding: bool,
    /// Whether the receiver is no member of the planet, as the sender has agreed.
    pub is_stranger: bool,
    /// In which incarnation the sender heard of the receiver first.
    pub bound: Option<u64>,
    /// The last beat of the receiver, by its `sent`, as of which the sender knows of nothing that
    /// would take a home from the receiver.
    pub granted: Option<u64>,
    /// How long ago, in microseconds, the sender granted a beat of a region which, as far as the
    /// sender has agreed, may have lost a home and did not know it yet; or how long ago it began,
    /// if that was later. Nothing as long as what it has agreed to is not durable.
    pub backed: Option<u64>,
    /// How the sender is doing, and whom it does not hear.
    pub health: Heartbeat,
}

pub(crate) fn write_beat(writer: &mut Writer, beat: &Beat) {
    let Beat { sent, incarnation, id, applied, bound, granted, backed, health, .. } = beat;
    writer.uint(*sent);
    writer.uint(*incarnation);
    writer.option(*id, Writer::uint);
    writer.uint(*applied);
    writer.option(*bound, Writer::uint);
    writer.option(*granted, Writer::uint);
    writer.option(*backed, Writer::uint);
    let Heartbeat { node, senders, load, is_judging, bad } = health;
    writer.uint((*node).into());
    writer.uint((*senders).into());
    let Condition { is_disk_slow, is_overloaded, is_clock_off, is_draining } = load.condition;
    let own = [*is_judging, beat.is_settled, beat.is_stranger, beat.is_holding];
    let bits = [is_disk_slow, is_overloaded, is_clock_off, is_draining].into_iter().chain(own);
    writer.uint(bits.rev().fold(0, |sum, bit| sum << 1 | u64::from(bit)));
    writer.uint(load.used_permille.into());
    writer.uint(bad.len() as u64);
    bad.iter().for_each(|it| writer.text(it.as_str()));
}

pub(crate) fn read_beat(reader: &mut Reader<'_>) -> Result<Beat, DecodeError> {
    let short = |reader: &mut Reader<'_>| {
        u16::try_from(reader.uint()?).map_err(|_| reader.malformed("number of 16 bits"))
    };
    let (sent, incarnation) = (reader.uint()?, reader.uint()?);
    let (id, applied) = (reader.option(Reader::uint)?, reader.uint()?);
    let (bound, granted) = (reader.option(Reader::uint)?, reader.option(Reader::uint)?);
    let backed = reader.option(Reader::uint)?;
    let (node, senders) = (short(reader)?, short(reader)?);
    let bits = reader.uint()?;
    let bit = |at: u32| bits >> at & 1 == 1;
    let condition = Condition {
        is_disk_slow: bit(0),
        is_overloaded: bit(1),
        is_clock_off: bit(2),
        is_draining: bit(3),
    };
    let load = Load { condition, used_permille: short(reader)? };
    let bad = (0..reader.count()?).map(|_| reader.region());
    let bad = bad.collect::<Result<Vec<RegionId>, DecodeError>>()?;
    let health = Heartbeat { node, senders, load, is_judging: bit(4), bad };
    let (is_settled, is_stranger, is_holding) = (bit(5), bit(6), bit(7));
    Ok(Beat {
        sent,
        incarnation,
        id,
        applied,
        is_settled,
        is_holding,
        is_stranger,
        bound,
        granted,
        backed,
        health,
    })
}
