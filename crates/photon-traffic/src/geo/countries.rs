//! Countries and continents: which there are, and about where the people of each live.
//! Must not know networks.

use std::fmt;

use photon_region::Place;

use Continent::{Africa as AF, Antarctica as AN, Asia as AS, Europe as EU};
use Continent::{NorthAmerica as NA, Oceania as OC, SouthAmerica as SA};

/// A continent, by the codes that files of places use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Continent {
    /// AF
    Africa,
    /// AN
    Antarctica,
    /// AS
    Asia,
    /// EU
    Europe,
    /// NA
    NorthAmerica,
    /// OC
    Oceania,
    /// SA
    SouthAmerica,
}

impl Continent {
    /// All continents.
    pub const ALL: [Self; 7] = [AF, AN, AS, EU, NA, OC, SA];

    /// Returns its two letters.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Africa => "AF",
            Self::Antarctica => "AN",
            Self::Asia => "AS",
            Self::Europe => "EU",
            Self::NorthAmerica => "NA",
            Self::Oceania => "OC",
            Self::SouthAmerica => "SA",
        }
    }

    /// Returns the one with these two letters.
    #[must_use]
    pub fn find(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.code().eq_ignore_ascii_case(code))
    }
}

impl fmt::Display for Continent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

/// A country or territory with two letters of ISO 3166-1, and Kosovo as XK.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country(u8);

impl Country {
    /// Returns the one with these two letters.
    #[must_use]
    pub fn find(code: &str) -> Option<Self> {
        let code = code.to_ascii_uppercase();
        let found = COUNTRIES.binary_search_by_key(&&*code, |it| it.0);
        found.ok().map(|it| Self(it as u8))
    }

    /// Returns its two letters.
    #[must_use]
    pub fn code(self) -> &'static str {
        COUNTRIES[usize::from(self.0)].0
    }

    /// Returns the continent that it is on.
    #[must_use]
    pub fn continent(self) -> Continent {
        COUNTRIES[usize::from(self.0)].1
    }

    /// Returns about where its people live, to the degree.
    #[must_use]
    pub fn place(self) -> Place {
        let (_, _, latitude, longitude) = COUNTRIES[usize::from(self.0)];
        Place { latitude: f64::from(latitude), longitude: f64::from(longitude) }
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

/// All countries by code, with latitude and longitude in degrees. Where a country is wide, the
/// point is where most of its people are rather than its middle.
#[rustfmt::skip]
const COUNTRIES: [(&str, Continent, i16, i16); 250] = [
    ("AD", EU, 43, 2), ("AE", AS, 25, 55), ("AF", AS, 34, 68), ("AG", NA, 17, -62),
    ("AI", NA, 18, -63), ("AL", EU, 41, 20), ("AM", AS, 40, 44), ("AO", AF, -9, 14),
    ("AQ", AN, -77, 167), ("AR", SA, -34, -61), ("AS", OC, -14, -171), ("AT", EU, 48, 15),
    ("AU", OC, -34, 147), ("AW", NA, 13, -70), ("AX", EU, 60, 20), ("AZ", AS, 40, 49),
    ("BA", EU, 44, 18), ("BB", NA, 13, -60), ("BD", AS, 24, 90), ("BE", EU, 51, 4),
    ("BF", AF, 12, -2), ("BG", EU, 43, 24), ("BH", AS, 26, 51), ("BI", AF, -3, 30),
    ("BJ", AF, 6, 2), ("BL", NA, 18, -63), ("BM", NA, 32, -65), ("BN", AS, 5, 115),
    ("BO", SA, -17, -66), ("BQ", NA, 12, -68), ("BR", SA, -20, -46), ("BS", NA, 25, -77),
    ("BT", AS, 27, 90), ("BV", AN, -54, 3), ("BW", AF, -24, 26), ("BY", EU, 54, 28),
    ("BZ", NA, 17, -89), ("CA", NA, 46, -82), ("CC", AS, -12, 97), ("CD", AF, -5, 19),
    ("CF", AF, 4, 19), ("CG", AF, -4, 15), ("CH", EU, 47, 8), ("CI", AF, 6, -5),
    ("CK", OC, -21, -160), ("CL", SA, -34, -71), ("CM", AF, 4, 11), ("CN", AS, 33, 113),
    ("CO", SA, 5, -74), ("CR", NA, 10, -84), ("CU", NA, 22, -80), ("CV", AF, 15, -24),
    ("CW", NA, 12, -69), ("CX", AS, -10, 106), ("CY", AS, 35, 33), ("CZ", EU, 50, 15),
    ("DE", EU, 51, 10), ("DJ", AF, 12, 43), ("DK", EU, 56, 11), ("DM", NA, 15, -61),
    ("DO", NA, 19, -70), ("DZ", AF, 36, 4), ("EC", SA, -1, -79), ("EE", EU, 59, 25),
    ("EG", AF, 30, 31), ("EH", AF, 26, -13), ("ER", AF, 15, 39), ("ES", EU, 40, -3),
    ("ET", AF, 9, 39), ("FI", EU, 61, 25), ("FJ", OC, -18, 178), ("FK", SA, -52, -58),
    ("FM", OC, 7, 158), ("FO", EU, 62, -7), ("FR", EU, 48, 3), ("GA", AF, 0, 10),
    ("GB", EU, 52, -1), ("GD", NA, 12, -62), ("GE", AS, 42, 44), ("GF", SA, 5, -52),
    ("GG", EU, 49, -3), ("GH", AF, 6, -1), ("GI", EU, 36, -5), ("GL", NA, 64, -52),
    ("GM", AF, 13, -16), ("GN", AF, 10, -13), ("GP", NA, 16, -62), ("GQ", AF, 3, 10),
    ("GR", EU, 38, 23), ("GS", AN, -54, -37), ("GT", NA, 15, -91), ("GU", OC, 13, 145),
    ("GW", AF, 12, -16), ("GY", SA, 7, -58), ("HK", AS, 22, 114), ("HM", AN, -53, 73),
    ("HN", NA, 15, -87), ("HR", EU, 46, 16), ("HT", NA, 19, -72), ("HU", EU, 47, 19),
    ("ID", AS, -7, 109), ("IE", EU, 53, -7), ("IL", AS, 32, 35), ("IM", EU, 54, -5),
    ("IN", AS, 22, 79), ("IO", AF, -7, 72), ("IQ", AS, 33, 44), ("IR", AS, 35, 51),
    ("IS", EU, 64, -22), ("IT", EU, 43, 12), ("JE", EU, 49, -2), ("JM", NA, 18, -77),
    ("JO", AS, 32, 36), ("JP", AS, 36, 138), ("KE", AF, -1, 37), ("KG", AS, 42, 74),
    ("KH", AS, 12, 105), ("KI", OC, 1, 173), ("KM", AF, -12, 43), ("KN", NA, 17, -63),
    ("KP", AS, 39, 126), ("KR", AS, 37, 127), ("KW", AS, 29, 48), ("KY", NA, 19, -81),
    ("KZ", AS, 47, 71), ("LA", AS, 18, 103), ("LB", AS, 34, 36), ("LC", NA, 14, -61),
    ("LI", EU, 47, 10), ("LK", AS, 7, 80), ("LR", AF, 6, -11), ("LS", AF, -29, 28),
    ("LT", EU, 55, 24), ("LU", EU, 50, 6), ("LV", EU, 57, 24), ("LY", AF, 32, 15),
    ("MA", AF, 33, -7), ("MC", EU, 44, 7), ("MD", EU, 47, 29), ("ME", EU, 43, 19),
    ("MF", NA, 18, -63), ("MG", AF, -19, 47), ("MH", OC, 7, 171), ("MK", EU, 42, 21),
    ("ML", AF, 13, -7), ("MM", AS, 18, 96), ("MN", AS, 48, 107), ("MO", AS, 22, 114),
    ("MP", OC, 15, 146), ("MQ", NA, 15, -61), ("MR", AF, 18, -15), ("MS", NA, 17, -62),
    ("MT", EU, 36, 14), ("MU", AF, -20, 58), ("MV", AS, 4, 73), ("MW", AF, -14, 34),
    ("MX", NA, 20, -100), ("MY", AS, 3, 102), ("MZ", AF, -20, 35), ("NA", AF, -22, 17),
    ("NC", OC, -22, 166), ("NE", AF, 13, 5), ("NF", OC, -29, 168), ("NG", AF, 8, 6),
    ("NI", NA, 12, -86), ("NL", EU, 52, 5), ("NO", EU, 60, 10), ("NP", AS, 28, 85),
    ("NR", OC, -1, 167), ("NU", OC, -19, -170), ("NZ", OC, -39, 175), ("OM", AS, 23, 58),
    ("PA", NA, 9, -80), ("PE", SA, -11, -76), ("PF", OC, -18, -150), ("PG", OC, -7, 146),
    ("PH", AS, 14, 121), ("PK", AS, 31, 72), ("PL", EU, 52, 20), ("PM", NA, 47, -56),
    ("PN", OC, -25, -130), ("PR", NA, 18, -66), ("PS", AS, 32, 35), ("PT", EU, 40, -9),
    ("PW", OC, 7, 134), ("PY", SA, -25, -57), ("QA", AS, 25, 51), ("RE", AF, -21, 55),
    ("RO", EU, 45, 26), ("RS", EU, 44, 21), ("RU", EU, 56, 45), ("RW", AF, -2, 30),
    ("SA", AS, 24, 45), ("SB", OC, -9, 160), ("SC", AF, -5, 55), ("SD", AF, 15, 33),
    ("SE", EU, 59, 16), ("SG", AS, 1, 104), ("SH", AF, -16, -6), ("SI", EU, 46, 15),
    ("SJ", EU, 78, 16), ("SK", EU, 48, 19), ("SL", AF, 8, -12), ("SM", EU, 44, 12),
    ("SN", AF, 15, -17), ("SO", AF, 3, 45), ("SR", SA, 6, -55), ("SS", AF, 6, 31),
    ("ST", AF, 0, 7), ("SV", NA, 14, -89), ("SX", NA, 18, -63), ("SY", AS, 35, 37),
    ("SZ", AF, -26, 31), ("TC", NA, 22, -72), ("TD", AF, 12, 15), ("TF", AF, -49, 70),
    ("TG", AF, 7, 1), ("TH", AS, 14, 101), ("TJ", AS, 38, 69), ("TK", OC, -9, -172),
    ("TL", AS, -9, 126), ("TM", AS, 38, 59), ("TN", AF, 36, 10), ("TO", OC, -21, -175),
    ("TR", AS, 39, 33), ("TT", NA, 10, -61), ("TV", OC, -9, 179), ("TW", AS, 24, 121),
    ("TZ", AF, -6, 36), ("UA", EU, 49, 31), ("UG", AF, 0, 32), ("UM", OC, 19, 167),
    ("US", NA, 38, -91), ("UY", SA, -35, -56), ("UZ", AS, 41, 67), ("VA", EU, 42, 12),
    ("VC", NA, 13, -61), ("VE", SA, 10, -67), ("VG", NA, 18, -65), ("VI", NA, 18, -65),
    ("VN", AS, 16, 107), ("VU", OC, -18, 168), ("WF", OC, -13, -176), ("WS", OC, -14, -172),
    ("XK", EU, 43, 21), ("YE", AS, 15, 45), ("YT", AF, -13, 45), ("ZA", AF, -27, 28),
    ("ZM", AF, -14, 28), ("ZW", AF, -18, 31),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_country_is_found_by_its_code() {
        assert!(COUNTRIES.is_sorted_by(|a, b| a.0 < b.0));
        for (code, continent, ..) in COUNTRIES {
            let found = Country::find(&code.to_lowercase()).unwrap();
            assert_eq!((found.code(), found.continent()), (code, continent));
        }
        assert_eq!(Country::find("ZZ"), None);
        assert_eq!(Country::find(""), None);
        assert_eq!(Continent::find("eu"), Some(EU));
        assert_eq!(Continent::find("E"), None);
    }
}
