//! Makes a route of what an operator said: who is the best for which clients, in which order.
//! Must not know who is well.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64};

use photon_region::Place;
use photon_state::{PlacementId, RegionId};

use super::route::{ANSWERS_MAX, Choice, ENDPOINTS_MAX, Endpoint, Mask, Route};
use super::spec::{EndpointSpec, Policy, RouteSpec, WeightsSpec};
use crate::geo::{Classes, Continent, Country, Geo, Locus};

/// The most addresses of one endpoint and family; routes with more are refused.
pub const ADDRESSES_MAX: usize = 8;
/// How long an answer that was chosen may be kept by default, in seconds.
const TTL: u32 = 30;
/// The longest time to live (RFC 2181, section 8).
pub(super) const TTL_MAX: u32 = 0x7fff_ffff;
/// A round trip over no distance, and what a kilometre adds, in milliseconds: a fit to the medians
/// between 51 regions of Azure in June 2025 (learn.microsoft.com, CC-BY-4.0).
const MODEL_MS: (f64, f64) = (26.4, 0.014_21);
/// Half the way around the Earth: nothing is farther.
const FAR_KM: f64 = 20_038.0;
/// A round trip that takes as long, or longer, has no points.
const SLOW_MS: f64 = 300.0;
/// How finely points are told apart, in hundredths: clients with the same are one class.
const STEP: f64 = 100.0;

/// What routes are planned on.
#[derive(Clone, Copy)]
pub struct Ground<'a> {
    /// The regions of the planet, and where they are.
    pub regions: &'a BTreeMap<RegionId, Place>,
    /// Where the clients of each region are sent, if that is known.
    pub addresses: &'a BTreeMap<RegionId, Vec<IpAddr>>,
    /// The regions of each placement.
    pub placements: &'a BTreeMap<PlacementId, BTreeSet<RegionId>>,
    /// Where clients are.
    pub geo: &'a Geo,
    /// Where a client is taken to be of whom that is not known: near the region that it asked.
    pub here: Option<Place>,
    /// How long the round trip from a locus to a region takes, in milliseconds, where it was
    /// measured.
    pub measured: &'a dyn Fn(&Locus, RegionId) -> Option<f64>,
}

impl std::fmt::Debug for Ground<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ground").field("regions", self.regions).finish_non_exhaustive()
    }
}

/// Why a route makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {why}")]
pub struct RouteError {
    /// Which part of the route.
    pub field: String,
    /// What is wrong with it, and what would be right.
    pub why: String,
}

fn wrong(field: impl Into<String>, why: impl Into<String>) -> RouteError {
    RouteError { field: field.into(), why: why.into() }
}

/// An endpoint while a route is planned.
struct Candidate<'a> {
    spec: &'a EndpointSpec,
    addresses: &'a [IpAddr],
    region: Option<RegionId>,
    place: Option<Place>,
    countries: Vec<Country>,
    continents: Vec<Continent>,
}

/// Plans a route.
pub fn plan(spec: &RouteSpec, ground: Ground<'_>, maps: &mut Classes) -> Result<Route, RouteError> {
    check(spec)?;
    let members = match &spec.placement {
        Some(placement) => Some(members(placement, ground)?),
        None => None,
    };
    let candidates = spec.endpoints.iter().enumerate();
    let candidates: Vec<_> = candidates
        .map(|(index, it)| candidate(index, it, members, ground))
        .collect::<Result<_, _>>()?;
    let endpoints: Box<[Endpoint]> = candidates.iter().map(|it| endpoint(it, spec)).collect();
    let with = |has: fn(&Endpoint) -> bool| -> Mask {
        endpoints.iter().enumerate().map(|(index, it)| Mask::from(has(it)) << index).sum()
    };
    let (answers, usual) = (spec.answers.map(usize::from), default_answers(spec.policy));
    Ok(Route {
        ttl: spec.ttl.unwrap_or(TTL),
        answers: answers.unwrap_or(usual).min(ANSWERS_MAX),
        choice: choose(spec, &candidates, ground, maps),
        with: [with(|it| !it.v4.is_empty()), with(|it| !it.v6.is_empty())],
        well: AtomicU64::new(Mask::MAX),
        endpoints,
    })
}

fn default_answers(policy: Policy) -> usize {
    match policy {
        Policy::Multivalue => ANSWERS_MAX,
        Policy::Score
        | Policy::Geolocation
        | Policy::Geoproximity
        | Policy::Latency
        | Policy::Weighted
        | Policy::Failover => 1,
    }
}

fn check(spec: &RouteSpec) -> Result<(), RouteError> {
    if !(1..=ENDPOINTS_MAX).contains(&spec.endpoints.len()) {
        return Err(wrong("endpoints", format!("has to name 1 to {ENDPOINTS_MAX} endpoints")));
    }
    if spec.answers.is_some_and(|it| !(1..=ANSWERS_MAX).contains(&usize::from(it))) {
        return Err(wrong("answers", format!("has to be from 1 to {ANSWERS_MAX}")));
    }
    if spec.ttl.is_some_and(|it| TTL_MAX < it) {
        return Err(wrong("ttl", format!("has to be at most {TTL_MAX} seconds")));
    }
    let mut names = BTreeSet::new();
    let twice = spec.endpoints.iter().position(|it| !names.insert(&it.name));
    match twice {
        Some(index) => {
            let why = format!("is `{}` a second time", spec.endpoints[index].name);
            Err(wrong(format!("endpoints[{index}].name"), why))
        }
        None => Ok(()),
    }
}

fn members<'a>(placement: &str, ground: Ground<'a>) -> Result<&'a BTreeSet<RegionId>, RouteError> {
    let known = PlacementId::try_from(placement).ok().and_then(|it| ground.placements.get(&it));
    known.ok_or_else(|| wrong("placement", format!("names no placement: `{placement}`")))
}

fn candidate<'a>(
    index: usize,
    spec: &'a EndpointSpec,
    members: Option<&BTreeSet<RegionId>>,
    ground: Ground<'a>,
) -> Result<Candidate<'a>, RouteError> {
    let at = |field: &str| format!("endpoints[{index}].{field}");
    if !(1..=63).contains(&spec.name.len()) {
        return Err(wrong(at("name"), "has to have 1 to 63 bytes"));
    }
    if !(-99..=99).contains(&spec.bias) {
        return Err(wrong(at("bias"), "has to be from -99 to 99"));
    }
    let region = match &spec.region {
        Some(name) => {
            let region = RegionId::try_from(name.as_str()).ok();
            let region = region.filter(|it| ground.regions.contains_key(it));
            Some(region.ok_or_else(|| wrong(at("region"), format!("names no region: `{name}`")))?)
        }
        None => None,
    };
    let own = region.and_then(|it| ground.addresses.get(&it));
    let addresses = if spec.addresses.is_empty() { own } else { Some(&spec.addresses) };
    let addresses = addresses.map_or(&[][..], Vec::as_slice);
    let of_v4 = addresses.iter().filter(|it| it.is_ipv4()).count();
    if ADDRESSES_MAX < of_v4 || ADDRESSES_MAX < addresses.len() - of_v4 {
        return Err(wrong(at("addresses"), format!("has more than {ADDRESSES_MAX} of a family")));
    }
    if addresses.is_empty() {
        let why = "is empty: give at least one, or a region whose `addresses` are configured";
        return Err(wrong(at("addresses"), why));
    }
    if members.is_some_and(|all| region.is_none_or(|it| !all.contains(&it))) {
        return Err(wrong(at("region"), "has to be one of the route's placement"));
    }
    let place = match (spec.latitude, spec.longitude) {
        (Some(latitude), Some(longitude)) => {
            if !(-90.0..=90.0).contains(&latitude) {
                return Err(wrong(at("latitude"), "has to be from -90 to 90"));
            }
            if !(-180.0..=180.0).contains(&longitude) {
                return Err(wrong(at("longitude"), "has to be from -180 to 180"));
            }
            Some(Place { latitude, longitude })
        }
        (None, None) => region.map(|it| ground.regions[&it]),
        (Some(_), None) => return Err(wrong(at("longitude"), "is missing beside `latitude`")),
        (None, Some(_)) => return Err(wrong(at("latitude"), "is missing beside `longitude`")),
    };
    let countries = known(&spec.countries, Country::find)
        .map_err(|it| wrong(at("countries"), format!("names no country: `{it}`")))?;
    let continents = known(&spec.continents, Continent::find)
        .map_err(|it| wrong(at("continents"), format!("names no continent: `{it}`")))?;
    let odd = spec.subdivisions.iter().find(|it| split_subdivision(it).is_none());
    if let Some(odd) = odd {
        let why = format!("names no subdivision such as `US-CA`: `{odd}`");
        return Err(wrong(at("subdivisions"), why));
    }
    Ok(Candidate { spec, addresses, region, place, countries, continents })
}

/// Finds all, or returns the first that is not known.
fn known<T>(names: &[String], find: fn(&str) -> Option<T>) -> Result<Vec<T>, &str> {
    names.iter().map(|it| find(it).ok_or(it.as_str())).collect()
}

fn split_subdivision(text: &str) -> Option<(Country, &str)> {
    let (country, part) = text.split_once('-')?;
    Some((Country::find(country)?, part)).filter(|(_, part)| !part.is_empty())
}

fn endpoint(candidate: &Candidate<'_>, route: &RouteSpec) -> Endpoint {
    let spec = candidate.spec;
    let v4 = candidate.addresses.iter().filter_map(|it| match it {
        IpAddr::V4(it) => Some(it.octets()),
        IpAddr::V6(_) => None,
    });
    let v6 = candidate.addresses.iter().filter_map(|it| match it {
        IpAddr::V6(it) => Some(it.octets()),
        IpAddr::V4(_) => None,
    });
    Endpoint {
        name: spec.name.as_str().into(),
        v4: v4.collect(),
        v6: v6.collect(),
        region: candidate.region,
        weight: spec.weight.unwrap_or(1),
        probe: spec.probe.as_ref().or(route.probe.as_ref()).cloned().map(Arc::new),
        burden: AtomicU16::new(0),
    }
}

fn choose(
    spec: &RouteSpec,
    candidates: &[Candidate<'_>],
    ground: Ground<'_>,
    maps: &mut Classes,
) -> Choice {
    let by_priority = || tiers(candidates, |it| f64::from(it.spec.priority));
    let by_locus = |rank: &dyn Fn(&Locus, &Candidate<'_>) -> f64| {
        let order = |locus: &Locus| tiers(candidates, |it| rank(locus, it));
        let (of, by_locus) = classify(ground.geo, order);
        (of, by_locus)
    };
    let tiered = |(of, by_locus): (Vec<Box<[Mask]>>, Vec<u16>), maps: &mut Classes| {
        if let [only] = &*of {
            return Choice::Same(only.clone());
        }
        Choice::Tiers { classes: maps.map(ground.geo, &by_locus), of: of.into() }
    };
    match spec.policy {
        Policy::Weighted | Policy::Multivalue => Choice::Same([all(candidates)].into()),
        Policy::Failover => Choice::Same(by_priority()),
        Policy::Geolocation => tiered(by_locus(&|locus, it| breadth(locus, it, ground)), maps),
        Policy::Geoproximity => tiered(by_locus(&|locus, it| biased_km(locus, it, ground)), maps),
        Policy::Latency => {
            tiered(by_locus(&|locus, it| round_trip_ms(locus, it, ground).unwrap_or(0.0)), maps)
        }
        Policy::Score => {
            let weights = spec.weights.unwrap_or_default();
            let dearest = candidates.iter().map(|it| it.spec.cost).max().unwrap_or(0);
            let points = |locus: &Locus| -> Box<[u16]> {
                candidates.iter().map(|it| points(locus, it, weights, dearest, ground)).collect()
            };
            let (of, by_locus) = classify(ground.geo, points);
            Choice::Scores { classes: maps.map(ground.geo, &by_locus), of: of.into() }
        }
    }
}

fn all(candidates: &[Candidate<'_>]) -> Mask {
    Mask::MAX >> (ENDPOINTS_MAX - candidates.len())
}

/// Puts endpoints in tiers: those with the lowest rank first, those with the same together. Who
/// weighs nothing comes after all others.
fn tiers(candidates: &[Candidate<'_>], rank: impl Fn(&Candidate<'_>) -> f64) -> Box<[Mask]> {
    let is_last = |it: &Candidate<'_>| it.spec.weight == Some(0);
    let ranked = candidates.iter().map(|it| (is_last(it), rank(it)));
    let mut ranked: Vec<_> = ranked.enumerate().collect();
    ranked.sort_by(|(_, (last, rank)), (_, (other_last, other))| {
        last.cmp(other_last).then(rank.total_cmp(other))
    });
    let tiers = ranked.chunk_by(|(_, one), (_, other)| one == other);
    tiers.map(|tier| tier.iter().map(|(index, _)| 1 << index).sum()).collect()
}

/// Gives each locus the number of its order among those that there are.
fn classify<T: Clone + Eq + std::hash::Hash>(
    geo: &Geo,
    order: impl Fn(&Locus) -> T,
) -> (Vec<T>, Vec<u16>) {
    let (mut orders, mut numbers) = (Vec::new(), HashMap::new());
    let number = |locus| {
        let order = order(locus);
        *numbers.entry(order.clone()).or_insert_with(|| {
            orders.push(order);
            (orders.len() - 1) as u16 // There are at most as many as loci.
        })
    };
    let by_locus = geo.loci().iter().map(number).collect();
    (orders, by_locus)
}

/// Ranks an endpoint by how exactly it is meant for a locus: its subdivision, its country, its
/// continent, everywhere; then those that are meant for others, by distance.
fn breadth(locus: &Locus, it: &Candidate<'_>, ground: Ground<'_>) -> f64 {
    let is_here = |text: &String| {
        split_subdivision(text).is_some_and(|(country, part)| {
            let has = |it: &Arc<str>| it.eq_ignore_ascii_case(part);
            locus.country == Some(country) && locus.subdivision.as_ref().is_some_and(has)
        })
    };
    let is_meant_for_all =
        it.countries.is_empty() && it.continents.is_empty() && it.spec.subdivisions.is_empty();
    if it.spec.subdivisions.iter().any(is_here) {
        0.0
    } else if locus.country.is_some_and(|here| it.countries.contains(&here)) {
        1.0
    } else if locus.continent.is_some_and(|here| it.continents.contains(&here)) {
        2.0
    } else if is_meant_for_all {
        3.0
    } else {
        4.0 + distance_km(locus, it, ground).unwrap_or(FAR_KM).round()
    }
}

fn distance_km(locus: &Locus, it: &Candidate<'_>, ground: Ground<'_>) -> Option<f64> {
    Some(locus.place.or(ground.here)?.distance_km(it.place?))
}

/// Returns the distance that its bias makes it seem to have: one of 50 halves it, one of -50
/// doubles it. Where nothing is known, the priority decides.
fn biased_km(locus: &Locus, it: &Candidate<'_>, ground: Ground<'_>) -> f64 {
    let bias = f64::from(it.spec.bias) / 100.0;
    let factor = if 0.0 <= bias { 1.0 - bias } else { 1.0 / (1.0 + bias) };
    match (locus.place.or(ground.here), distance_km(locus, it, ground)) {
        (None, _) => f64::from(it.spec.priority),
        (Some(_), None) => FAR_KM * factor,
        (Some(_), Some(km)) => (km * factor).round(),
    }
}

fn round_trip_ms(locus: &Locus, it: &Candidate<'_>, ground: Ground<'_>) -> Option<f64> {
    let measured = it.region.and_then(|region| (ground.measured)(locus, region));
    let (base, per_km) = MODEL_MS;
    let modelled = || Some(base + per_km * distance_km(locus, it, ground)?);
    measured.or_else(modelled).map(f64::round)
}

/// Returns the points of an endpoint with nothing wrong with it, in steps.
fn points(
    locus: &Locus,
    it: &Candidate<'_>,
    weights: WeightsSpec,
    dearest: u16,
    ground: Ground<'_>,
) -> u16 {
    const UNKNOWN: f64 = 0.5;
    let grade =
        |part: Option<f64>, worst: f64| part.map_or(UNKNOWN, |it| 1.0 - (it / worst).min(1.0));
    let WeightsSpec { proximity, health, latency, cost } = weights;
    let sum = f64::from(proximity) + f64::from(health) + f64::from(latency) + f64::from(cost);
    let points = f64::from(proximity) * grade(distance_km(locus, it, ground), FAR_KM)
        + f64::from(health)
        + f64::from(latency) * grade(round_trip_ms(locus, it, ground), SLOW_MS)
        + f64::from(cost) * grade(Some(f64::from(it.spec.cost)), f64::from(dearest.max(1)));
    let hundredths = points / sum.max(1.0) * 10_000.0;
    ((hundredths / STEP).round() * STEP) as u16
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
