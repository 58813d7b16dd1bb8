//! The binary form of the charter and of decrees.
//! Must not know who reads it.

use std::collections::BTreeMap;

use bytes::Bytes;
use photon_state::codec::{DecodeError, Reader, Writer};
use photon_state::{PlacementId, RegionId};

use super::{Charter, Decree, Handover, Heirs, Home, Homes, Member, Placements, Standing};
use crate::codec::{read_of, write_of};
use crate::task::Shard;

const STANDINGS: [Standing; 2] = [Standing::Up, Standing::Down];
const HANDOVERS: [Handover; 2] = [Handover::ByTenure, Handover::ByWord];

impl Charter {
    pub(crate) fn encode(&self) -> Bytes {
        let mut writer = Writer::default();
        writer.uint(self.index);
        writer.uint(self.group_changed);
        writer.uint(self.members.len() as u64);
        for (region, Member { id, former, standing, is_draining, bereft }) in &self.members {
            writer.text(region.as_str());
            writer.uint(*id);
            writer.uint(former.len() as u64);
            former.iter().for_each(|it| writer.uint(*it));
            write_of(&mut writer, &STANDINGS, standing);
            writer.uint((*is_draining).into());
            writer.uint(*bereft);
        }
        writer.uint(self.homes.len() as u64);
        for (placement, homes) in &self.homes {
            writer.text(placement.as_str());
            let runs: Vec<&[Home]> = homes.0.chunk_by(|a, b| a == b).collect();
            writer.uint(runs.len() as u64);
            for run in runs {
                writer.uint(run.len() as u64);
                writer.text(run[0].region.as_str());
                writer.uint(run[0].epoch.into());
                writer.uint(run[0].since);
            }
        }
        write_placements(&mut writer, &self.placements);
        writer.into_bytes()
    }

    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let (index, group_changed) = (reader.uint()?, reader.uint()?);
        let mut members = BTreeMap::new();
        for _ in 0..reader.count()? {
            let (region, id) = (reader.region()?, reader.uint()?);
            let former = (0..reader.count()?).map(|_| reader.uint());
            let former = former.collect::<Result<Vec<u64>, DecodeError>>()?;
            let standing = read_of(&mut reader, &STANDINGS, "standing")?;
            let (is_draining, bereft) = (reader.uint()? != 0, reader.uint()?);
            members.insert(region, Member { id, former, standing, is_draining, bereft });
        }
        let mut homes = BTreeMap::new();
        for _ in 0..reader.count()? {
            let placement = reader.placement()?;
            let mut all = Vec::new();
            for _ in 0..reader.count()? {
                let count = usize::try_from(reader.uint()?).unwrap_or(usize::MAX);
                let (region, epoch) = (reader.region()?, reader.uint32()?);
                let home = Home { region, epoch, since: reader.uint()? };
                let left = usize::from(Shard::COUNT) - all.len();
                if left < count {
                    return Err(reader.malformed("number of shards"));
                }
                all.extend(std::iter::repeat_n(home, count));
            }
            if all.len() != usize::from(Shard::COUNT) {
                return Err(reader.malformed("number of shards"));
            }
            homes.insert(placement, Homes(all));
        }
        // Charters of before placements were agreed on end here.
        let placements =
            if reader.is_at_end() { Placements::new() } else { read_placements(&mut reader)? };
        reader.end()?;
        Ok(Self { index, group_changed, members, homes, placements })
    }
}

impl Decree {
    pub(crate) fn encode(&self) -> Bytes {
        let mut writer = Writer::default();
        match self {
            Self::Fail { region, heirs } => {
                writer.tag(1);
                writer.text(region.as_str());
                write_heirs(&mut writer, heirs);
            }
            Self::Drain { region, heirs, handover } => {
                writer.tag(2);
                writer.text(region.as_str());
                write_heirs(&mut writer, heirs);
                write_of(&mut writer, &HANDOVERS, handover);
            }
            Self::Undrain { region } => {
                writer.tag(6);
                writer.text(region.as_str());
            }
            Self::Back { region } => {
                writer.tag(3);
                writer.text(region.as_str());
            }
            Self::Life { region, id } => {
                writer.tag(4);
                writer.text(region.as_str());
                writer.uint(*id);
            }
            Self::Move { placement, shards, to, handover } => {
                writer.tag(5);
                writer.text(placement.as_str());
                writer.uint(shards.len() as u64);
                shards.iter().for_each(|it| writer.uint(it.0.into()));
                writer.text(to.as_str());
                write_of(&mut writer, &HANDOVERS, handover);
            }
            Self::Add { region, id, placements } => {
                writer.tag(10);
                writer.text(region.as_str());
                writer.uint(*id);
                write_placements(&mut writer, placements);
            }
            Self::Place { placements } => {
                writer.tag(9);
                write_placements(&mut writer, placements);
            }
            Self::Remove { region, heirs } => {
                writer.tag(8);
                writer.text(region.as_str());
                write_heirs(&mut writer, heirs);
            }
        }
        writer.into_bytes()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let decree = match reader.tag()? {
            1 => Self::Fail { region: reader.region()?, heirs: read_heirs(&mut reader)? },
            2 => Self::Drain {
                region: reader.region()?,
                heirs: read_heirs(&mut reader)?,
                handover: read_of(&mut reader, &HANDOVERS, "handover")?,
            },
            3 => Self::Back { region: reader.region()? },
            4 => Self::Life { region: reader.region()?, id: reader.uint()? },
            5 => {
                let placement = reader.placement()?;
                let shards = (0..reader.count()?).map(|_| {
                    let shard = u16::try_from(reader.uint()?).ok().filter(|it| *it < Shard::COUNT);
                    shard.map(Shard).ok_or(reader.malformed("shard"))
                });
                let shards = shards.collect::<Result<_, _>>()?;
                let to = reader.region()?;
                let handover = read_of(&mut reader, &HANDOVERS, "handover")?;
                Self::Move { placement, shards, to, handover }
            }
            6 => Self::Undrain { region: reader.region()? },
            // As it was before placements were agreed on.
            7 => Self::Add {
                region: reader.region()?,
                id: reader.uint()?,
                placements: Placements::new(),
            },
            10 => Self::Add {
                region: reader.region()?,
                id: reader.uint()?,
                placements: read_placements(&mut reader)?,
            },
            8 => Self::Remove { region: reader.region()?, heirs: read_heirs(&mut reader)? },
            9 => Self::Place { placements: read_placements(&mut reader)? },
            _ => return Err(reader.malformed("decree")),
        };
        reader.end()?;
        Ok(decree)
    }
}

fn write_placements(writer: &mut Writer, placements: &Placements) {
    writer.uint(placements.len() as u64);
    for (placement, members) in placements {
        writer.text(placement.as_str());
        writer.uint(members.len() as u64);
        members.iter().for_each(|it| writer.text(it.as_str()));
    }
}

fn read_placements(reader: &mut Reader<'_>) -> Result<Placements, DecodeError> {
    let placements = (0..reader.count()?).map(|_| {
        let placement = reader.placement()?;
        let members = (0..reader.count()?).map(|_| reader.region());
        Ok((placement, members.collect::<Result<_, DecodeError>>()?))
    });
    placements.collect()
}

fn write_heirs(writer: &mut Writer, heirs: &BTreeMap<PlacementId, Heirs>) {
    writer.uint(heirs.len() as u64);
    for (placement, heirs) in heirs {
        writer.text(placement.as_str());
        writer.uint(heirs.len() as u64);
        for (region, share) in heirs {
            writer.text(region.as_str());
            writer.uint(*share);
        }
    }
}

fn read_heirs(reader: &mut Reader<'_>) -> Result<BTreeMap<PlacementId, Heirs>, DecodeError> {
    let mut all = BTreeMap::new();
    for _ in 0..reader.count()? {
        let (placement, mut heirs) = (reader.placement()?, BTreeMap::<RegionId, u64>::new());
        for _ in 0..reader.count()? {
            // What is larger could overflow a sum.
            heirs.insert(reader.region()?, reader.uint()?.min(u64::from(u32::MAX)));
        }
        all.insert(placement, heirs);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn charters_and_decrees_come_back_and_every_truncation_is_refused() {
        let region = |name: &str| RegionId::try_from(name).unwrap();
        let (a, b, global) = (region("a"), region("b"), PlacementId::global());
        let solo = PlacementId::try_from("solo").unwrap();
        let placements = BTreeMap::from([(global, BTreeSet::from([a, b]))]);
        let mut charter = Charter::founded([(a, 1), (b, 2)].into_iter(), &placements);
        let heirs = BTreeMap::from([(global, Heirs::from([(a, 3), (b, 9)]))]);
        let decrees = [
            Decree::Fail { region: a, heirs: heirs.clone() },
            Decree::Drain { region: b, heirs: heirs.clone(), handover: Handover::ByWord },
            Decree::Undrain { region: b },
            Decree::Back { region: a },
            Decree::Life { region: b, id: u64::MAX },
            Decree::Move {
                placement: global,
                shards: vec![Shard(0), Shard(1_023)],
                to: b,
                handover: Handover::ByTenure,
            },
            Decree::Place { placements: BTreeMap::from([(solo, BTreeSet::from([a]))]) },
            Decree::Remove { region: a, heirs },
            Decree::Add {
                region: a,
                id: 9,
                placements: BTreeMap::from([(solo, BTreeSet::from([a, b]))]),
            },
        ];
        for (index, decree) in (1..).zip(&decrees) {
            let bytes = decree.encode();
            assert_eq!(Decree::decode(&bytes).as_ref(), Ok(decree));
            (0..bytes.len()).for_each(|end| assert!(Decree::decode(&bytes[..end]).is_err()));
            charter.follow(index, decree);
        }
        let bytes = charter.encode();
        assert_eq!(Charter::decode(&bytes).as_ref(), Ok(&charter));
        let older = Charter { placements: Placements::new(), ..charter.clone() };
        for end in 0..bytes.len() {
            let cut = Charter::decode(&bytes.slice(..end));
            assert!(cut.is_err() || cut.as_ref() == Ok(&older), "cut to {end} bytes");
        }
    }
}
