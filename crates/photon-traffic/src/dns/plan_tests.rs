//! Who is chosen for clients in Germany, Japan, California and nowhere.
//! Must not know how routes are kept.

use photon_region::Place;

use super::super::answer::tests::with_ground;
use super::super::route::Family;
use super::super::spec::RouteSpec;
use super::*;
use crate::geo::Classes;

fn route(json: &str) -> Result<Route, RouteError> {
    let spec: RouteSpec = serde_json::from_str(json).unwrap();
    with_ground(|it| plan(&spec, it, &mut Classes::default()))
}

/// Returns who is answered with, for clients in Germany, Japan, California and nowhere.
#[track_caller]
fn check(json: &str, well: Mask, expected: [&str; 4]) {
    let route = route(json).unwrap();
    route.set_well(well);
    let mut rng = fastrand::Rng::with_seed(1);
    let chosen = ["10.0.0.1", "11.0.0.1", "12.0.0.1", "1.1.1.1"].map(|client| {
        let pick = route.pick(client.parse().unwrap(), Family::V4, &mut rng);
        let name = |it: &u8| route.endpoints[usize::from(*it)].name.to_string();
        pick.endpoints.iter().map(name).collect::<Vec<_>>().join(" ")
    });
    assert_eq!(chosen, expected);
}

#[track_caller]
fn refuse(json: &str, expected: &str) {
    assert_eq!(route(json).unwrap_err().to_string(), expected);
}

/// Returns a route over endpoints that are given as `name more`, each with an address.
fn of(policy: &str, endpoints: &[&str]) -> String {
    let endpoints = endpoints.iter().map(|it| {
        let (name, more) = it.split_once(' ').unwrap_or((it, ""));
        format!(r#"{{"name": "{name}", "addresses": ["192.0.2.1"] {more}}}"#)
    });
    let endpoints = endpoints.collect::<Vec<_>>().join(",");
    format!(r#"{{"policy": {policy}, "endpoints": [{endpoints}]}}"#)
}

const ALL: Mask = Mask::MAX;
const EU: &str = r#"eu , "region": "eu""#;
const US: &str = r#"us , "region": "us""#;
const AP: &str = r#"ap , "region": "ap""#;

#[test]
fn the_nearest_that_is_well_is_chosen() {
    let json = of("\"geoproximity\"", &[EU, US, AP]);
    check(&json, ALL, ["eu", "ap", "us", "eu"]);
    check(&json, 0b110, ["us", "ap", "us", "us"]);
    check(&json, 0b010, ["us"; 4]);
    check(&json, 0, ["eu", "ap", "us", "eu"]);
}

#[test]
fn a_bias_makes_an_endpoint_reach_further() {
    let far = r#"us , "region": "us", "bias": 90"#;
    check(&of("\"geoproximity\"", &[EU, far, AP]), ALL, ["eu", "ap", "us", "eu"]);
    let shy = r#"ap , "region": "ap", "bias": -99"#;
    check(&of("\"geoproximity\"", &[EU, US, shy]), ALL, ["eu", "eu", "us", "eu"]);
}

#[test]
fn the_most_exact_match_of_a_place_is_chosen() {
    let json = of(
        "\"geolocation\"",
        &[
            r#"de , "countries": ["DE"]"#,
            r#"as , "continents": ["AS"]"#,
            r#"ca , "subdivisions": ["US-CA"]"#,
            r#"na , "continents": ["NA"]"#,
            "else",
        ],
    );
    check(&json, ALL, ["de", "as", "ca", "else"]);
    check(&json, 0b11011, ["de", "as", "na", "else"]);
    check(&json, 0b10000, ["else"; 4]);
    check(&json, 0b01000, ["na"; 4]);
}

#[test]
fn round_trips_decide_as_they_were_measured_and_else_as_they_are_modelled() {
    let json = of("\"latency\"", &[EU, US, AP]);
    check(&json, ALL, ["eu", "ap", "us", "eu"]);
    let spec: RouteSpec = serde_json::from_str(&json).unwrap();
    with_ground(|ground| {
        let measured = |locus: &Locus, region: RegionId| {
            let is_japan = locus.country == Country::find("JP");
            (is_japan && region.as_str() == "us").then_some(1.0)
        };
        let ground = Ground { measured: &measured, ..ground };
        let route = plan(&spec, ground, &mut Classes::default()).unwrap();
        let mut rng = fastrand::Rng::with_seed(1);
        let pick = route.pick("11.0.0.1".parse().unwrap(), Family::V4, &mut rng);
        assert_eq!(pick.endpoints[0], 1);
    });
}

#[test]
fn priorities_are_tried_in_order() {
    let json = of("\"failover\"", &[r#"b , "priority": 2"#, r#"a , "priority": 1"#, "z"]);
    check(&json, ALL, ["z"; 4]);
    check(&json, 0b011, ["a"; 4]);
    check(&json, 0b001, ["b"; 4]);
}

#[test]
fn all_that_are_well_are_answered_with() {
    let route = route(&of("\"multivalue\"", &["a", "b", "c"])).unwrap();
    route.set_well(0b101);
    let mut rng = fastrand::Rng::with_seed(3);
    let mut pick = route.pick("1.1.1.1".parse().unwrap(), Family::V4, &mut rng).endpoints;
    pick.sort_unstable();
    assert_eq!(*pick, [0, 2]);
}

#[test]
fn weights_decide_how_often_and_one_of_zero_only_when_nobody_else_is_well() {
    let endpoints = [r#"a , "weight": 3"#, "b", r#"never , "weight": 0"#];
    let route = route(&of("\"weighted\"", &endpoints)).unwrap();
    let mut rng = fastrand::Rng::with_seed(7);
    let mut counts = [0; 3];
    for _ in 0..10_000 {
        let pick = route.pick("1.1.1.1".parse().unwrap(), Family::V4, &mut rng);
        counts[usize::from(pick.endpoints[0])] += 1;
    }
    assert!((7_300..7_700).contains(&counts[0]), "{counts:?}");
    assert_eq!(counts[2], 0);
    route.set_well(0b100);
    assert_eq!(*route.pick("1.1.1.1".parse().unwrap(), Family::V4, &mut rng).endpoints, [2]);
}

#[test]
fn a_score_weighs_what_is_near_against_what_is_burdened_and_dear() {
    let json = of("\"score\"", &[EU, US, AP]);
    check(&json, ALL, ["eu", "ap", "us", "eu"]);
    let dear = r#"eu , "region": "eu", "cost": 5"#;
    check(&of("\"score\"", &[dear, US]), ALL, ["eu", "us", "us", "eu"]);
    let route = route(&json).unwrap();
    route.set_burden(0, 3_000);
    let mut rng = fastrand::Rng::with_seed(1);
    let pick = route.pick("10.0.0.1".parse().unwrap(), Family::V4, &mut rng);
    assert_eq!(pick.endpoints[0], 1, "what is full is passed over");
}

#[test]
fn no_answer_lies_outside_the_placement_of_its_route() {
    let with = |endpoint: &str| of("\"failover\", \"placement\": \"europe\"", &[endpoint]);
    assert!(route(&with(EU)).is_ok());
    let outside = "`endpoints[0].region` has to be one of the route's placement";
    refuse(&with(US), outside);
    refuse(&with("nowhere"), outside);
    let unknown = of("\"failover\", \"placement\": \"moon\"", &[EU]);
    refuse(&unknown, "`placement` names no placement: `moon`");
}

#[test]
fn a_route_that_makes_no_sense_is_refused_with_its_field() {
    let one = |endpoint: &str| of("\"failover\"", &[endpoint]);
    refuse(&of("\"failover\"", &[]), "`endpoints` has to name 1 to 64 endpoints");
    refuse(&of("\"failover\"", &["a", "a"]), "`endpoints[1].name` is `a` a second time");
    refuse(&of("\"failover\", \"answers\": 0", &["a"]), "`answers` has to be from 1 to 8");
    refuse(&one(r#"a , "region": "x""#), "`endpoints[0].region` names no region: `x`");
    refuse(&one(r#"a , "bias": 100"#), "`endpoints[0].bias` has to be from -99 to 99");
    refuse(&one(r#"a , "latitude": 1"#), "`endpoints[0].longitude` is missing beside `latitude`");
    let north = r#"a , "latitude": 91, "longitude": 0"#;
    refuse(&one(north), "`endpoints[0].latitude` has to be from -90 to 90");
    refuse(&one(r#"a , "countries": ["ZZ"]"#), "`endpoints[0].countries` names no country: `ZZ`");
    let odd = "`endpoints[0].subdivisions` names no subdivision such as `US-CA`: `CA`";
    refuse(&one(r#"a , "subdivisions": ["CA"]"#), odd);
    let none = r#"{"policy": "failover", "endpoints": [{"name": "a"}]}"#;
    let why = "is empty: give at least one, or a region whose `addresses` are configured";
    refuse(none, &format!("`endpoints[0].addresses` {why}"));
    let of_region = r#"{"policy": "failover", "endpoints": [{"name": "a", "region": "us"}]}"#;
    assert_eq!(*route(of_region).unwrap().endpoints[0].v4, [[203, 0, 113, 1]]);
}

#[test]
fn clients_that_are_answered_alike_are_one_class() {
    let (regions, addresses) = (BTreeMap::new(), BTreeMap::new());
    let placements = BTreeMap::new();
    let geo = crate::geo::tests::geo();
    let measured = |_: &Locus, _: RegionId| None;
    let ground = Ground {
        regions: &regions,
        addresses: &addresses,
        placements: &placements,
        geo: &geo,
        here: None,
        measured: &measured,
    };
    let at = |latitude: f64, longitude: f64| Place { latitude, longitude };
    assert!(at(0.0, 0.0).distance_km(at(0.0, 1.0)) < 112.0);
    let spec: RouteSpec = serde_json::from_str(&of(
        "\"geolocation\"",
        &[r#"west , "continents": ["EU", "NA"]"#, "else"],
    ))
    .unwrap();
    let route = plan(&spec, ground, &mut Classes::default()).unwrap();
    let Choice::Tiers { of, .. } = &route.choice else { panic!("clients are told apart") };
    assert_eq!(of.len(), 2, "Germany and California are one class, Japan and nowhere another");
    let everywhere = self::of("\"geolocation\"", &["a", "b"]);
    let spec = serde_json::from_str(&everywhere).unwrap();
    let route = plan(&spec, ground, &mut Classes::default()).unwrap();
    assert!(!route.is_by_client());
}
