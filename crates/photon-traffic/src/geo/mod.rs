//! Where on the Earth addresses are used: networks -> loci, from any file in MaxMind's format.
//! Must not read files: whoever has one gives its bytes.

mod classes;
mod countries;
mod mmdb;
mod ranges;

use std::net::IpAddr;
use std::sync::Arc;

use photon_region::Place;

pub use self::classes::{ClassMap, Classes};
pub use self::countries::{Continent, Country};
pub use self::mmdb::{GeoError, GeoFile};
pub use self::ranges::{Ranges, Span};

/// The most loci that are told apart; networks of further ones have none.
pub const LOCI_MAX: usize = u16::MAX as usize;

/// A place that clients are in, as exactly as the file knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Locus {
    /// The country, if it is known.
    pub country: Option<Country>,
    /// The continent, if it is known.
    pub continent: Option<Continent>,
    /// The part of the country by ISO 3166-2 without the country's own code, such as `CA`.
    pub subdivision: Option<Arc<str>>,
    /// Where that is; to the degree.
    pub place: Option<Place>,
}

/// Which locus each network is in. Locus 0 is that of all networks of which nothing is known.
#[derive(Clone, Debug)]
pub struct Geo {
    loci: Vec<Locus>,
    v4: Ranges<u32>,
    v6: Ranges<u64>,
}

impl Default for Geo {
    fn default() -> Self {
        Self { loci: vec![Locus::NOWHERE], v4: Ranges::whole(0), v6: Ranges::whole(0) }
    }
}

impl Locus {
    /// The locus of which nothing is known.
    pub const NOWHERE: Self =
        Self { country: None, continent: None, subdivision: None, place: None };
}

impl Geo {
    /// Returns all loci; the first is [`Locus::NOWHERE`].
    #[must_use]
    pub fn loci(&self) -> &[Locus] {
        &self.loci
    }

    /// Returns the locus of an address.
    #[must_use]
    pub fn locus(&self, address: IpAddr) -> &Locus {
        let id = match plain(address) {
            IpAddr::V4(address) => self.v4.value(address.to_bits()),
            IpAddr::V6(address) => self.v6.value(upper(address)),
        };
        &self.loci[usize::from(id)]
    }

    /// Returns how many ranges of addresses are told apart.
    #[must_use]
    pub fn networks(&self) -> usize {
        self.v4.len() + self.v6.len()
    }
}

/// Returns an address of IPv4 that is written as one of IPv6 as what it is.
fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(wide) => wide.to_ipv4_mapped().map_or(address, IpAddr::V4),
    }
}

/// Returns the half of an address that tells networks: no one routes by less than 64 bits.
fn upper(address: std::net::Ipv6Addr) -> u64 {
    (address.to_bits() >> 64) as u64
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Networks 10.x are in Germany, 11.x in Japan, 12.x in California.
    pub(crate) fn geo() -> Geo {
        let of = |code: &str, subdivision: Option<&str>| {
            let country = Country::find(code).unwrap();
            Locus {
                country: Some(country),
                continent: Some(country.continent()),
                subdivision: subdivision.map(Into::into),
                place: Some(country.place()),
            }
        };
        let loci = vec![Locus::NOWHERE, of("DE", None), of("JP", None), of("US", Some("CA"))];
        let start = |first: u8| u32::from(first) << 24;
        let v4 = [(0, 0), (start(10), 1), (start(11), 2), (start(12), 3), (start(13), 0)];
        let v6 = [(0, 0), (0x2001_0db8_0000_0000, 1), (0x2001_0db9_0000_0000, 0)];
        Geo { loci, v4: Ranges::new(v4), v6: Ranges::new(v6) }
    }

    #[test]
    fn an_address_has_the_locus_of_its_network() {
        let geo = geo();
        let country = |text: &str| geo.locus(text.parse().unwrap()).country.map(Country::code);
        assert_eq!(country("10.255.0.1"), Some("DE"));
        assert_eq!(country("::ffff:11.0.0.1"), Some("JP"));
        assert_eq!(country("2001:db8:1::1"), Some("DE"));
        assert_eq!(country("9.9.9.9"), None);
        assert_eq!(geo.networks(), 8);
    }
}
