//! The regions that Photon knows by name: where they lie and whose privacy law holds there.
//! Facts typed in by hand; must not know which of them a planet uses.

use photon_region::Place;

use crate::nearest::nearest;

/// Names a continent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continent {
    /// Africa.
    Africa,
    /// Asia, to which the Middle East belongs.
    Asia,
    /// Europe.
    Europe,
    /// North America, to which Mexico belongs.
    NorthAmerica,
    /// Australia, New Zealand and the islands around them.
    Oceania,
    /// South America.
    SouthAmerica,
}

impl Continent {
    /// Returns the continent's two-letter code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Africa => "AF",
            Self::Asia => "AS",
            Self::Europe => "EU",
            Self::NorthAmerica => "NA",
            Self::Oceania => "OC",
            Self::SouthAmerica => "SA",
        }
    }
}

/// Describes one region of the catalog.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Known {
    /// The region's name, such as `eu-west-1`.
    pub name: &'static str,
    /// The city that the region is in or near.
    pub city: &'static str,
    /// The country, as two letters of ISO 3166-1.
    pub country: &'static str,
    /// The continent.
    pub continent: Continent,
    /// Where the city lies.
    pub at: Place,
    /// The privacy law that holds there, such as `gdpr`.
    pub privacy: &'static str,
}

/// Returns the region called `name`, if the catalog has it.
///
/// ```
/// let dublin = photon::catalog::find("eu-west-1").expect("the catalog has it");
/// assert_eq!((dublin.city, dublin.privacy), ("Dublin", "gdpr"));
/// ```
#[must_use]
pub fn find(name: &str) -> Option<&'static Known> {
    ALL.iter().find(|it| it.name == name)
}

/// Returns the name in the catalog that somebody who typed `name` probably meant.
#[must_use]
pub fn suggest(name: &str) -> Option<&'static str> {
    nearest(name, ALL.iter().map(|it| it.name))
}

use Continent::{Africa, Asia, Europe, NorthAmerica, Oceania, SouthAmerica};

/// Every region of the catalog.
pub const ALL: &[Known] = &[
    known("us-east-1", "Ashburn", "US", NorthAmerica, (39.04, -77.49), "us-state"),
    known("us-east-2", "Columbus", "US", NorthAmerica, (39.96, -83.00), "us-state"),
    known("us-west-1", "San Jose", "US", NorthAmerica, (37.34, -121.89), "us-state"),
    known("us-west-2", "Boardman", "US", NorthAmerica, (45.84, -119.70), "us-state"),
    known("ca-central-1", "Montreal", "CA", NorthAmerica, (45.50, -73.57), "pipeda"),
    known("ca-west-1", "Calgary", "CA", NorthAmerica, (51.05, -114.07), "pipeda"),
    known("mx-central-1", "Queretaro", "MX", NorthAmerica, (20.59, -100.39), "lfpdppp"),
    known("sa-east-1", "Sao Paulo", "BR", SouthAmerica, (-23.55, -46.63), "lgpd"),
    known("eu-west-1", "Dublin", "IE", Europe, (53.35, -6.26), "gdpr"),
    known("eu-west-2", "London", "GB", Europe, (51.51, -0.13), "uk-gdpr"),
    known("eu-west-3", "Paris", "FR", Europe, (48.86, 2.35), "gdpr"),
    known("eu-central-1", "Frankfurt", "DE", Europe, (50.11, 8.68), "gdpr"),
    known("eu-central-2", "Zurich", "CH", Europe, (47.37, 8.54), "fadp"),
    known("eu-north-1", "Stockholm", "SE", Europe, (59.33, 18.07), "gdpr"),
    known("eu-south-1", "Milan", "IT", Europe, (45.46, 9.19), "gdpr"),
    known("eu-south-2", "Zaragoza", "ES", Europe, (41.65, -0.88), "gdpr"),
    known("il-central-1", "Tel Aviv", "IL", Asia, (32.08, 34.78), "ppl-il"),
    known("me-south-1", "Manama", "BH", Asia, (26.23, 50.59), "pdpl-bh"),
    known("me-central-1", "Dubai", "AE", Asia, (25.20, 55.27), "pdpl-ae"),
    known("af-south-1", "Cape Town", "ZA", Africa, (-33.93, 18.42), "popia"),
    known("ap-south-1", "Mumbai", "IN", Asia, (19.08, 72.88), "dpdp"),
    known("ap-south-2", "Hyderabad", "IN", Asia, (17.39, 78.49), "dpdp"),
    known("ap-southeast-1", "Singapore", "SG", Asia, (1.35, 103.82), "pdpa-sg"),
    known("ap-southeast-2", "Sydney", "AU", Oceania, (-33.87, 151.21), "privacy-act-au"),
    known("ap-southeast-3", "Jakarta", "ID", Asia, (-6.21, 106.85), "pdp-id"),
    known("ap-southeast-4", "Melbourne", "AU", Oceania, (-37.81, 144.96), "privacy-act-au"),
    known("ap-southeast-5", "Kuala Lumpur", "MY", Asia, (3.15, 101.69), "pdpa-my"),
    known("ap-southeast-6", "Auckland", "NZ", Oceania, (-36.85, 174.76), "privacy-act-nz"),
    known("ap-southeast-7", "Bangkok", "TH", Asia, (13.76, 100.50), "pdpa-th"),
    known("ap-northeast-1", "Tokyo", "JP", Asia, (35.68, 139.69), "appi"),
    known("ap-northeast-2", "Seoul", "KR", Asia, (37.57, 126.98), "pipa"),
    known("ap-northeast-3", "Osaka", "JP", Asia, (34.69, 135.50), "appi"),
    known("ap-east-1", "Hong Kong", "HK", Asia, (22.32, 114.17), "pdpo"),
    known("ap-east-2", "Taipei", "TW", Asia, (25.03, 121.57), "pdpa-tw"),
];

/// Makes a row of the table; `at` is (latitude, longitude).
const fn known(
    name: &'static str,
    city: &'static str,
    country: &'static str,
    continent: Continent,
    at: (f64, f64),
    privacy: &'static str,
) -> Known {
    let at = Place { latitude: at.0, longitude: at.1 };
    Known { name, city, country, continent, at, privacy }
}

#[cfg(test)]
mod tests {
    use photon_state::RegionId;

    use super::*;

    /// A country, then its south and north, its west and east, without far islands.
    type Bounds = (&'static str, (f64, f64), (f64, f64));
    const BOUNDS: &[Bounds] = &[
        ("AE", (22.6, 26.1), (51.5, 56.4)),
        ("AU", (-43.7, -10.6), (113.1, 153.7)),
        ("BH", (25.5, 26.4), (50.3, 50.9)),
        ("BR", (-33.8, 5.3), (-74.0, -34.7)),
        ("CA", (41.6, 83.2), (-141.1, -52.6)),
        ("CH", (45.8, 47.9), (5.9, 10.5)),
        ("DE", (47.2, 55.1), (5.8, 15.1)),
        ("ES", (35.9, 43.8), (-9.4, 4.4)),
        ("FR", (41.3, 51.1), (-5.2, 9.6)),
        ("GB", (49.8, 60.9), (-8.7, 1.8)),
        ("HK", (22.1, 22.6), (113.8, 114.5)),
        ("ID", (-11.1, 6.1), (95.0, 141.1)),
        ("IE", (51.4, 55.4), (-10.7, -5.9)),
        ("IL", (29.4, 33.4), (34.2, 35.9)),
        ("IN", (6.7, 35.6), (68.1, 97.4)),
        ("IT", (35.4, 47.1), (6.6, 18.6)),
        ("JP", (24.0, 45.6), (122.9, 146.0)),
        ("KR", (33.1, 38.7), (125.0, 131.0)),
        ("MX", (14.5, 32.8), (-118.5, -86.7)),
        ("MY", (0.8, 7.4), (99.6, 119.3)),
        ("NZ", (-47.3, -34.3), (166.4, 178.6)),
        ("SE", (55.3, 69.1), (10.9, 24.2)),
        ("SG", (1.1, 1.5), (103.6, 104.1)),
        ("TH", (5.6, 20.5), (97.3, 105.7)),
        ("TW", (21.8, 25.4), (119.9, 122.1)),
        ("US", (24.5, 49.4), (-124.8, -66.9)),
        ("ZA", (-34.9, -22.1), (16.4, 33.0)),
    ];

    /// The cities in degrees and minutes, as a gazetteer prints them; not copied from the catalog.
    const CITIES: &[(&str, [i16; 2], [i16; 2])] = &[
        ("Ashburn", [39, 2], [-77, -29]),
        ("Auckland", [-36, -51], [174, 46]),
        ("Bangkok", [13, 45], [100, 29]),
        ("Boardman", [45, 50], [-119, -42]),
        ("Calgary", [51, 3], [-114, -4]),
        ("Cape Town", [-33, -56], [18, 25]),
        ("Columbus", [39, 58], [-83, 0]),
        ("Dubai", [25, 16], [55, 18]),
        ("Dublin", [53, 21], [-6, -16]),
        ("Frankfurt", [50, 7], [8, 41]),
        ("Hong Kong", [22, 18], [114, 12]),
        ("Hyderabad", [17, 22], [78, 28]),
        ("Jakarta", [-6, -11], [106, 50]),
        ("Kuala Lumpur", [3, 9], [101, 42]),
        ("London", [51, 30], [0, -8]),
        ("Manama", [26, 13], [50, 35]),
        ("Melbourne", [-37, -49], [144, 58]),
        ("Milan", [45, 28], [9, 11]),
        ("Montreal", [45, 31], [-73, -34]),
        ("Mumbai", [19, 5], [72, 53]),
        ("Osaka", [34, 42], [135, 30]),
        ("Paris", [48, 51], [2, 21]),
        ("Queretaro", [20, 35], [-100, -24]),
        ("San Jose", [37, 20], [-121, -53]),
        ("Sao Paulo", [-23, -33], [-46, -38]),
        ("Seoul", [37, 34], [127, 0]),
        ("Singapore", [1, 17], [103, 50]),
        ("Stockholm", [59, 20], [18, 4]),
        ("Sydney", [-33, -52], [151, 13]),
        ("Taipei", [25, 4], [121, 31]),
        ("Tel Aviv", [32, 5], [34, 47]),
        ("Tokyo", [35, 41], [139, 42]),
        ("Zaragoza", [41, 39], [0, -53]),
        ("Zurich", [47, 22], [8, 33]),
    ];

    #[test]
    fn every_region_lies_in_its_country() {
        for it in ALL {
            let (_, (south, north), (west, east)) =
                BOUNDS.iter().find(|(country, ..)| *country == it.country).expect(it.country);
            assert!((*south..=*north).contains(&it.at.latitude), "{it:?}");
            assert!((*west..=*east).contains(&it.at.longitude), "{it:?}");
        }
    }

    #[test]
    fn every_region_lies_within_50_km_of_its_city() {
        let degrees = |[degrees, minutes]: [i16; 2]| f64::from(degrees) + f64::from(minutes) / 60.0;
        for it in ALL {
            let (_, latitude, longitude) =
                CITIES.iter().find(|(city, ..)| *city == it.city).expect(it.city);
            let city = Place { latitude: degrees(*latitude), longitude: degrees(*longitude) };
            assert!(city.distance_km(it.at) <= 50.0, "{it:?} is far from {city:?}");
        }
    }

    #[test]
    fn every_name_is_a_region_name_and_stands_once() {
        for (i, it) in ALL.iter().enumerate() {
            assert_eq!(RegionId::try_from(it.name).unwrap().as_str(), it.name);
            assert!(ALL[..i].iter().all(|earlier| earlier.name != it.name), "{}", it.name);
        }
    }

    #[test]
    fn a_typo_suggests_the_region_that_was_meant() {
        assert_eq!(suggest("eu-wset-1"), Some("eu-west-1"));
        assert_eq!(suggest("atlantis"), None);
        assert_eq!(find("eu-wset-1"), None);
    }
}
