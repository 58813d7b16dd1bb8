//! The binary form of what operators want of all regions, and of what they are told.
//! Must not know who asks.

use photon_state::codec::{DecodeError, Reader, Writer};
use photon_state::{PlacementId, RegionId};

use crate::govern::{Govern, GovernRefusal, MemberView, PlacementView, PlanetView};

pub(super) fn write_govern(writer: &mut Writer, wanted: &Govern) {
    let mut of = |tag: u8, region: &RegionId, is_forced: bool| {
        writer.tag(tag);
        writer.text(region.as_str());
        writer.uint(is_forced.into());
    };
    match wanted {
        Govern::Show => writer.tag(1),
        Govern::Add { region } => of(2, region, false),
        Govern::Drain { region, is_forced } => of(3, region, *is_forced),
        Govern::Undrain { region } => of(4, region, false),
        Govern::Remove { region, is_forced } => of(5, region, *is_forced),
        Govern::Rebalance => writer.tag(6),
        Govern::Adopt => writer.tag(8),
        Govern::Voters { voters, is_forced } => {
            writer.tag(7);
            writer.uint((*is_forced).into());
            writer.uint(voters.len() as u64);
            voters.iter().for_each(|it| writer.text(it.as_str()));
        }
    }
}

pub(super) fn read_govern(reader: &mut Reader<'_>) -> Result<Govern, DecodeError> {
    let tag = reader.tag()?;
    let of = |reader: &mut Reader<'_>| Ok((reader.region()?, reader.uint()? != 0));
    Ok(match tag {
        1 => Govern::Show,
        2 => Govern::Add { region: of(reader)?.0 },
        3 => {
            let (region, is_forced) = of(reader)?;
            Govern::Drain { region, is_forced }
        }
        4 => Govern::Undrain { region: of(reader)?.0 },
        5 => {
            let (region, is_forced) = of(reader)?;
            Govern::Remove { region, is_forced }
        }
        6 => Govern::Rebalance,
        8 => Govern::Adopt,
        7 => {
            let is_forced = reader.uint()? != 0;
            let voters = (0..reader.count()?).map(|_| reader.region());
            Govern::Voters { voters: voters.collect::<Result<_, _>>()?, is_forced }
        }
        _ => return Err(reader.malformed("command of an operator")),
    })
}

pub(super) fn write_planet(writer: &mut Writer, view: &PlanetView) {
    writer.uint(view.decree);
    writer.option(view.leader.as_ref(), |writer, it| writer.text(it.as_str()));
    writer.uint(view.members.len() as u64);
    for it in &view.members {
        writer.text(it.region.as_str());
        let bits = [it.is_voter, it.is_down, it.is_draining, it.is_settled];
        writer.uint(bits.iter().rev().fold(0, |sum, bit| sum << 1 | u64::from(*bit)));
        writer.uint(it.shards as u64);
    }
    writer.uint(view.placements.len() as u64);
    for PlacementView { placement, regions, is_configured } in &view.placements {
        writer.text(placement.as_str());
        writer.uint(regions.len() as u64);
        regions.iter().for_each(|it| writer.text(it.as_str()));
        writer.uint((*is_configured).into());
    }
}

pub(super) fn read_planet(reader: &mut Reader<'_>) -> Result<PlanetView, DecodeError> {
    let (decree, leader) = (reader.uint()?, reader.option(Reader::region)?);
    let member = |reader: &mut Reader<'_>| {
        let (region, bits) = (reader.region()?, reader.uint()?);
        let bit = |at: u32| bits >> at & 1 == 1;
        Ok(MemberView {
            region,
            is_voter: bit(0),
            is_down: bit(1),
            is_draining: bit(2),
            is_settled: bit(3),
            shards: usize::try_from(reader.uint()?).unwrap_or(usize::MAX),
        })
    };
    let members = (0..reader.count()?).map(|_| member(reader));
    let members = members.collect::<Result<Vec<MemberView>, DecodeError>>()?;
    let placement = |reader: &mut Reader<'_>| {
        let placement = reader.placement()?;
        let regions = (0..reader.count()?).map(|_| reader.region());
        let regions = regions.collect::<Result<_, DecodeError>>()?;
        Ok(PlacementView { placement, regions, is_configured: reader.uint()? != 0 })
    };
    let placements = (0..reader.count()?).map(|_| placement(reader));
    let placements = placements.collect::<Result<_, DecodeError>>()?;
    Ok(PlanetView { decree, leader, members, placements })
}

pub(super) fn write_govern_refusal(writer: &mut Writer, refusal: &GovernRefusal) {
    use GovernRefusal as R;
    let mut of = |tag: u64, region: Option<&RegionId>, numbers: [usize; 3], at: &str| {
        writer.uint(tag);
        writer.text(region.map_or("", RegionId::as_str));
        numbers.into_iter().for_each(|it| writer.uint(it as u64));
        writer.text(at);
    };
    match refusal {
        R::NotMember(it) => of(1, Some(it), [0; 3], ""),
        R::AlreadyMember(it) => of(2, Some(it), [0; 3], ""),
        R::NotConfigured(it) => of(3, Some(it), [0; 3], ""),
        R::NotHeard(it) => of(4, Some(it), [0; 3], ""),
        R::NoVoter => of(5, None, [0; 3], ""),
        R::TooManyVoters(max) => of(6, None, [*max, 0, 0], ""),
        R::WouldLoseQuorum { voters, needed, heard } => {
            of(7, None, [*voters, *needed, *heard], "");
        }
        R::Votes(it) => of(8, Some(it), [0; 3], ""),
        R::HasShards { region, shards } => of(9, Some(region), [*shards, 0, 0], ""),
        R::NobodyElse { region, placement } => of(10, Some(region), [0; 3], placement.as_str()),
        R::NotAgreed => of(11, None, [0; 3], ""),
    }
}

pub(super) fn read_govern_refusal(reader: &mut Reader<'_>) -> Result<GovernRefusal, DecodeError> {
    use GovernRefusal as R;
    let (tag, region) = (reader.uint()?, reader.text()?);
    let region = RegionId::try_from(region).ok();
    let malformed = reader.malformed("refusal of an operator");
    let named = || region.ok_or(malformed);
    let mut number = || Ok(usize::try_from(reader.uint()?).unwrap_or(usize::MAX));
    let numbers: [usize; 3] = [number()?, number()?, number()?];
    let placement = reader.text()?;
    let placement = || PlacementId::try_from(placement).map_err(|_| malformed);
    Ok(match tag {
        1 => R::NotMember(named()?),
        2 => R::AlreadyMember(named()?),
        3 => R::NotConfigured(named()?),
        4 => R::NotHeard(named()?),
        5 => R::NoVoter,
        6 => R::TooManyVoters(numbers[0]),
        7 => R::WouldLoseQuorum { voters: numbers[0], needed: numbers[1], heard: numbers[2] },
        8 => R::Votes(named()?),
        9 => R::HasShards { region: named()?, shards: numbers[0] },
        10 => R::NobodyElse { region: named()?, placement: placement()? },
        11 => R::NotAgreed,
        _ => return Err(malformed),
    })
}
