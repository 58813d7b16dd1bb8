//! Reads a file in MaxMind's format (MaxMind DB file format specification 2.0) into loci.
//! Must not open it.

use std::collections::HashMap;
use std::net::IpAddr;

use maxminddb::{Reader, WithinOptions};
use photon_region::Place;
use serde::Deserialize;

use super::countries::{Continent, Country};
use super::ranges::{Address, Ranges};
use super::{Geo, LOCI_MAX, Locus, upper};

/// The bytes of a file, as far as they could be read.
#[derive(Debug)]
pub struct GeoFile {
    reader: Reader<Vec<u8>>,
}

/// Why the bytes are no good.
#[derive(Debug, thiserror::Error)]
#[error("the file of places cannot be read: {0}")]
pub struct GeoError(#[from] maxminddb::MaxMindDbError);

/// Networks in order, as they come: where each begins, and what it is.
#[derive(Debug)]
struct Draft<A> {
    starts: Vec<(A, u16)>,
    /// Where what was told of so far ends; `None` behind the last address.
    end: Option<u64>,
}

impl GeoFile {
    /// Takes the bytes of a file.
    pub fn new(bytes: Vec<u8>) -> Result<Self, GeoError> {
        Ok(Self { reader: Reader::from_source(bytes)? })
    }

    /// Returns what the file calls itself, and when it was made (seconds since 1970).
    #[must_use]
    pub fn describe(&self) -> (&str, u64) {
        let metadata = self.reader.metadata();
        (&metadata.database_type, metadata.build_epoch)
    }

    /// Reads all networks.
    pub fn geo(&self) -> Result<Geo, GeoError> {
        let mut loci = vec![Locus::NOWHERE];
        let (mut ids, mut by_offset) = (HashMap::new(), HashMap::new());
        let (mut v4, mut v6) = (Draft::<u32>::default(), Draft::<u64>::default());
        for network in self.reader.networks(WithinOptions::default())? {
            let network = network?;
            // Most networks share their record with others.
            let known = network.offset().and_then(|it| by_offset.get(&it).copied());
            let id = match known {
                Some(id) => id,
                None => {
                    let Some(entry) = network.decode::<Entry<'_>>()? else { continue };
                    let id = number(&mut loci, &mut ids, entry.locus());
                    network.offset().map(|it| by_offset.insert(it, id));
                    id
                }
            };
            let prefix = network.network()?;
            let bits = u32::from(prefix.prefix());
            match prefix.ip() {
                IpAddr::V4(first) => v4.push(first.to_bits(), bits, id),
                IpAddr::V6(first) => v6.push(upper(first), bits.min(64), id),
            }
        }
        Ok(Geo { loci, v4: v4.finish(), v6: v6.finish() })
    }
}

/// Returns the number of a locus; that of nowhere if there are too many.
fn number(loci: &mut Vec<Locus>, ids: &mut HashMap<Key, u16>, locus: Locus) -> u16 {
    let next = loci.len();
    *ids.entry(key(&locus)).or_insert_with(|| {
        if LOCI_MAX <= next {
            return 0;
        }
        loci.push(locus);
        next as u16
    })
}

/// What is read of a record: in the form of GeoIP2 and GeoLite2, or in the flat one of others.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry<'a> {
    #[serde(borrow)]
    country: Coded<'a>,
    #[serde(borrow)]
    registered_country: Coded<'a>,
    #[serde(borrow)]
    continent: Coded<'a>,
    #[serde(borrow)]
    subdivisions: Vec<Coded<'a>>,
    location: Location,
    country_code: Option<&'a str>,
    state1: Option<&'a str>,
    latitude: Option<f64>,
    longitude: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Coded<'a> {
    #[serde(alias = "code")]
    iso_code: Option<&'a str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Location {
    latitude: Option<f64>,
    longitude: Option<f64>,
}

impl Entry<'_> {
    fn locus(&self) -> Locus {
        let country = self.country.iso_code.or(self.registered_country.iso_code);
        let country = country.or(self.country_code).and_then(Country::find);
        let continent = self.continent.iso_code.and_then(Continent::find);
        let subdivision = self.subdivisions.first().and_then(|it| it.iso_code).or(self.state1);
        let place = self.location.latitude.or(self.latitude);
        let place = place.zip(self.location.longitude.or(self.longitude));
        let place = place.map(|(latitude, longitude)| Place {
            latitude: latitude.round(),
            longitude: longitude.round(),
        });
        Locus {
            country,
            continent: continent.or(country.map(Country::continent)),
            subdivision: subdivision.filter(|it| !it.is_empty()).map(Into::into),
            place: place.or(country.map(Country::place)),
        }
    }
}

/// What tells loci apart.
type Key = (Option<Country>, Option<Continent>, Option<String>, Option<(i64, i64)>);

fn key(locus: &Locus) -> Key {
    let subdivision = locus.subdivision.as_deref().map(str::to_owned);
    let degrees = locus.place.map(|it| (it.latitude as i64, it.longitude as i64));
    (locus.country, locus.continent, subdivision, degrees)
}

impl<A> Default for Draft<A> {
    fn default() -> Self {
        Self { starts: Vec::new(), end: Some(0) }
    }
}

impl<A: Address> Draft<A> {
    /// Takes in the next network. One that does not follow on those before is passed over: it is
    /// an alias of what came earlier.
    fn push(&mut self, first: A, bits: u32, id: u16) {
        let first = first.wide();
        let Some(end) = self.end.filter(|it| *it <= first) else { return };
        if end < first {
            self.starts.push((A::narrow(end), 0));
        }
        self.starts.push((A::narrow(first), id));
        let size = 1_u64.checked_shl(A::BITS - bits);
        let next = size.and_then(|it| first.checked_add(it));
        self.end = next.filter(|it| A::BITS == 64 || *it >> A::BITS == 0);
    }

    fn finish(mut self) -> Ranges<A> {
        if let Some(end) = self.end {
            self.starts.push((A::narrow(end), 0));
        }
        Ranges::new(self.starts)
    }
}
