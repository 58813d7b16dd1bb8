//! How long bytes travel between regions, and a relay that makes them take so long.
//! Must not know what the bytes mean.

mod delay_line;
mod matrix;
mod paths;
mod relay;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use photon_region::Place;
use photon_state::RegionId;

pub use self::matrix::{MatrixError, MatrixProblem};
pub use self::paths::{Condition, Paths};
pub use self::relay::{Relay, RelayError, Route};

/// Chooses where the delays between regions come from: the value of `--wan`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Wan {
    /// No delay, and no relay.
    Off,
    /// Delays that grow with the distance on the globe.
    #[default]
    Distance,
    /// Delays that were measured, from a file of comma-separated values.
    File(PathBuf),
}

impl FromStr for Wan {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "off" => Self::Off,
            "on" | "distance" => Self::Distance,
            file => Self::File(PathBuf::from(file)),
        })
    }
}

/// Knows the round trip between every two regions of a planet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delays {
    round_trips: BTreeMap<(RegionId, RegionId), Duration>,
}

impl Delays {
    /// Derives the delays from the distances on the globe.
    #[must_use]
    pub fn from_distances(places: &BTreeMap<RegionId, Place>) -> Self {
        let pairs = places.iter().flat_map(|a| places.iter().map(move |b| (a, b)));
        let round_trips = pairs
            .filter(|((a, _), (b, _))| a != b)
            .map(|((a, from), (b, to))| ((*a, *b), round_trip(*from, *to)))
            .collect();
        Self { round_trips }
    }

    /// Reads the delays from comma-separated values: one pair a line, or a square matrix.
    ///
    /// `file` is named in errors. Regions of the file that are not among `regions` are passed over.
    pub fn parse(file: &str, text: &str, regions: &[RegionId]) -> Result<Self, MatrixError> {
        Ok(Self { round_trips: matrix::parse(file, text, regions)? })
    }

    /// Returns the round trip of a connection that `from` opens to `to`; none within a region.
    #[must_use]
    pub fn round_trip(&self, from: RegionId, to: RegionId) -> Duration {
        self.round_trips.get(&(from, to)).copied().unwrap_or_default()
    }
}

/// Returns the round trip that fibre and routers take between two places.
///
/// The line was fitted to round trips measured between 51 regions of a public cloud.
#[must_use]
pub fn round_trip(a: Place, b: Place) -> Duration {
    const ANYWHERE_MS: f64 = 26.4;
    const PER_KM_MS: f64 = 0.014_21;
    Duration::from_secs_f64((ANYWHERE_MS + PER_KM_MS * a.distance_km(b)) / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    fn at(name: &str) -> Place {
        catalog::find(name).unwrap().at
    }

    #[test]
    fn a_round_trip_has_a_floor_and_grows_with_the_distance() {
        let here = at("eu-west-1");
        assert_eq!(round_trip(here, here), Duration::from_micros(26_400));
        let far_ms = round_trip(here, at("ap-southeast-2")).as_millis();
        assert!((250..300).contains(&far_ms), "{far_ms}");
    }

    #[test]
    fn every_ordered_pair_has_a_delay_and_a_region_to_itself_has_none() {
        let names = ["us-east-1", "eu-west-1", "ap-southeast-1"];
        let places = names.map(|it| (RegionId::try_from(it).unwrap(), at(it))).into();
        let delays = Delays::from_distances(&places);
        for (a, b) in places.keys().flat_map(|a| places.keys().map(move |b| (*a, *b))) {
            assert_eq!(delays.round_trip(a, b), delays.round_trip(b, a));
            assert_eq!(delays.round_trip(a, b).is_zero(), a == b);
        }
    }

    #[test]
    fn the_option_names_a_model_or_a_file() {
        let check = |text: &str, expected| assert_eq!(text.parse::<Wan>().unwrap(), expected);
        check("off", Wan::Off);
        check("distance", Wan::Distance);
        check("rtt.csv", Wan::File(PathBuf::from("rtt.csv")));
    }
}
