//! What a session has seen, as opaque text that is good in every region of a planet.
//! Must not know what a session is for; nobody but the edge reads or writes the text.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use photon_state::{PlacementId, RegionId, Seen, Source, StableHash};

use crate::front::PlanetInfo;
use crate::names::Invalid;

/// The first byte: another form of the text gets another one.
const VERSION: u8 = 1;

/// The longest text that is looked at: more than all regions of a planet can make.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// A name in four bytes.
type Tag = [u8; 4];

/// Writes and reads the sessions of one planet.
#[derive(Debug)]
pub(crate) struct Sessions {
    planet: Tag,
    placements: Vec<(Tag, PlacementId)>,
    regions: Vec<(Tag, RegionId)>,
}

fn hash(bytes: &[u8]) -> Tag {
    let [a, b, c, d, ..] = StableHash::default().bytes(bytes).finish().to_le_bytes();
    [a, b, c, d]
}

impl Sessions {
    /// Knows the names of a planet.
    pub(crate) fn new(planet: &PlanetInfo) -> Self {
        let placements = planet.placements.keys();
        let regions = planet.regions.iter();
        Self {
            planet: hash(planet.name.as_bytes()),
            placements: placements.map(|it| (hash(it.as_str().as_bytes()), *it)).collect(),
            regions: regions.map(|it| (hash(it.name.as_str().as_bytes()), it.name)).collect(),
        }
    }

    /// Writes what a session has seen.
    pub(crate) fn encode(&self, seen: &Seen) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend(self.planet);
        for (tag, placement) in &self.placements {
            let of_it = seen.iter().filter(|(it, seq)| it.placement == *placement && 0 < *seq);
            let of_it: Vec<_> = of_it.collect();
            if of_it.is_empty() {
                continue;
            }
            bytes.extend(tag);
            put_number(&mut bytes, of_it.len() as u64);
            for (stream, seq) in of_it {
                bytes.extend(hash(stream.origin.as_str().as_bytes()));
                bytes.extend(stream.incarnation.to_le_bytes());
                put_number(&mut bytes, seq);
            }
        }
        bytes.extend(hash(&bytes));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads what a session has seen out of a field of a request.
    pub(crate) fn decode(&self, field: &str, text: &str) -> Result<Seen, Invalid> {
        let damaged = || Invalid::new(field, "it is damaged: give back what a reply had, as it is");
        let text = Some(text).filter(|it| it.len() <= TEXT_BYTES_MAX).ok_or_else(damaged)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| damaged())?;
        let (bytes, sum) = bytes.split_last_chunk::<4>().ok_or_else(damaged)?;
        if hash(bytes) != *sum || bytes.first() != Some(&VERSION) {
            return Err(damaged());
        }
        let mut rest = &bytes[1..];
        if take::<4>(&mut rest).ok_or_else(damaged)? != self.planet {
            return Err(Invalid::new(field, "it is of another planet"));
        }
        let mut seen = Seen::default();
        while !rest.is_empty() {
            let tag = take(&mut rest).ok_or_else(damaged)?;
            let unknown = || Invalid::new(field, "it names a placement that this planet lacks");
            let placement = find(&self.placements, tag).ok_or_else(unknown)?;
            for _ in 0..take_number(&mut rest).ok_or_else(damaged)? {
                let tag = take(&mut rest).ok_or_else(damaged)?;
                let unknown = || Invalid::new(field, "it names a region that this planet lacks");
                let origin = find(&self.regions, tag).ok_or_else(unknown)?;
                let incarnation = take(&mut rest).map(u64::from_le_bytes).ok_or_else(damaged)?;
                let seq = take_number(&mut rest).ok_or_else(damaged)?;
                seen.raise(Source { origin, incarnation }.stream(placement), seq);
            }
        }
        Ok(seen)
    }
}

fn find<T: Copy>(names: &[(Tag, T)], tag: Tag) -> Option<T> {
    names.iter().find(|(it, _)| *it == tag).map(|(_, name)| *name)
}

/// Writes a number as LEB128: seven bits a byte, the least first.
fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while 0x80 <= number {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*taken)
}

fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let mut number: u64 = 0;
    for shift in (0..64).step_by(7) {
        let [byte] = take(rest)?;
        let bits = u64::from(byte & 0x7f);
        if (bits << shift) >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use photon_state::StreamId;
    use proptest::prelude::*;

    use super::*;
    use crate::front::RegionInfo;

    const REGIONS: [&str; 3] = ["us-east-1", "eu-west-1", "ap-southeast-1"];
    const PLACEMENTS: [&str; 2] = ["global", "eu"];

    fn sessions(planet: &str, regions: &[&str], placements: &[&str]) -> Sessions {
        let region = |name: &&str| RegionInfo {
            name: RegionId::try_from(*name).unwrap(),
            city: String::new(),
            country: String::new(),
            continent: String::new(),
            latitude: 0.0,
            longitude: 0.0,
            privacy: String::new(),
            api: String::new(),
        };
        let placement = |name: &&str| (PlacementId::try_from(*name).unwrap(), Vec::new());
        Sessions::new(&PlanetInfo {
            name: planet.to_owned(),
            region: RegionId::try_from(REGIONS[0]).unwrap(),
            url: None,
            regions: regions.iter().map(region).collect(),
            placements: placements.iter().map(placement).collect::<BTreeMap<_, _>>(),
            version: String::new(),
        })
    }

    fn stream((region, placement, incarnation): (usize, usize, u64)) -> StreamId {
        let origin = RegionId::try_from(REGIONS[region]).unwrap();
        let placement = PlacementId::try_from(PLACEMENTS[placement]).unwrap();
        Source { origin, incarnation }.stream(placement)
    }

    fn any_seen() -> impl Strategy<Value = Seen> {
        let one = ((0..3_usize, 0..2_usize, any::<u64>()), 1..u64::MAX);
        proptest::collection::vec(one, 0..8)
            .prop_map(|all| all.into_iter().map(|(it, seq)| (stream(it), seq)).collect())
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_and_what_is_damaged_is_not(
            seen in any_seen(), at in any::<prop::sample::Index>(), bit in 0..8_u32,
        ) {
            let sessions = sessions("dev", &REGIONS, &PLACEMENTS);
            let text = sessions.encode(&seen);
            prop_assert_eq!(sessions.decode("f", &text), Ok(seen));
            let cut = &text[..at.index(text.len())];
            prop_assert!(sessions.decode("f", cut).is_err(), "{}", cut);
            let mut bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
            bytes[at.index(text.len() * 3 / 4)] ^= 1 << bit;
            let flipped = URL_SAFE_NO_PAD.encode(bytes);
            prop_assert!(sessions.decode("f", &flipped).is_err(), "{}", flipped);
        }

        #[test]
        fn whatever_is_shown_is_read_or_refused(
            bytes in any::<Vec<u8>>(), text in any::<String>(),
        ) {
            let sessions = sessions("dev", &REGIONS, &PLACEMENTS);
            let mut bytes = [&[VERSION][..], &sessions.planet, &bytes].concat();
            bytes.extend(hash(&bytes));
            let _ = sessions.decode("f", &URL_SAFE_NO_PAD.encode(bytes));
            let _ = sessions.decode("f", &text);
        }
    }

    #[test]
    fn a_session_is_good_in_every_region_of_its_planet_and_nowhere_else() {
        let seen: Seen = [(stream((1, 1, 7)), 300), (stream((2, 0, 1)), 0)].into_iter().collect();
        let text = sessions("dev", &REGIONS, &PLACEMENTS).encode(&seen);
        let check = |planet, regions: &[&str], placements: &[&str], expected: Result<u64, &str>| {
            let found = sessions(planet, regions, placements).decode("f", &text);
            let found = found.map(|it| (it.of(&stream((1, 1, 7))), it.len()));
            match (found, expected) {
                // What was seen nothing of is not told.
                (Ok(found), Ok(seq)) => assert_eq!(found, (seq, 1)),
                (Err(found), Err(rule)) => assert!(found.rule.contains(rule), "{found}"),
                (found, expected) => panic!("{found:?} is not {expected:?}"),
            }
        };
        let backwards: Vec<_> = REGIONS.into_iter().rev().collect();
        check("dev", &backwards, &PLACEMENTS, Ok(300));
        check("prod", &REGIONS, &PLACEMENTS, Err("another planet"));
        check("dev", &REGIONS[..1], &PLACEMENTS, Err("a region"));
        check("dev", &REGIONS, &PLACEMENTS[..1], Err("a placement"));
    }
}
