//! What holds of every topology on every planet, and what each looks like on one.
//! Must not know how a region uses it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use photon_state::RegionId;
use proptest::prelude::*;

use super::layout::{Edges, fastest};
use super::{Flow, Map, Topology, auto, layout};
use crate::config::Place;

fn flow(topology: &Topology, map: &Map, members: &[usize], (origin, here): (usize, usize)) -> Flow {
    super::flow(topology, map, &layout(topology, map, members, here), Some(origin))
}

fn name(index: usize) -> RegionId {
    RegionId::try_from(format!("r{index:02}").as_str()).unwrap()
}

/// A planet with places, links with their round trips, members of a placement, and a topology.
#[derive(Clone, Debug)]
struct Case {
    map: Map,
    members: Vec<usize>,
    topology: Topology,
}

fn topologies(count: usize) -> impl Strategy<Value = Topology> {
    let region = move || (0..count).prop_map(name);
    let parents = proptest::collection::btree_map(region(), region(), 0..=count);
    let groups = proptest::collection::btree_set(region(), 0..=count);
    prop_oneof![
        Just(Topology::Mesh),
        proptest::option::of(region()).prop_map(|hub| Topology::Star { hub }),
        Just(Topology::Ring),
        parents.prop_map(|parents| Topology::Tree { parents }),
        proptest::collection::vec(groups, 0..3).prop_map(|groups| Topology::Hybrid { groups }),
        Just(Topology::Auto),
    ]
}

fn cases() -> impl Strategy<Value = Case> {
    (2_usize..14).prop_flat_map(|count| {
        let place = (-60.0..70.0, -180.0..180.0);
        let places = proptest::collection::vec(place, count);
        let share = prop_oneof![Just(1.0), 0.15..1.0];
        let link = (0.0..1.0, proptest::option::of(1_u64..400));
        let links = proptest::collection::vec(link, count * count);
        let members = proptest::collection::vec(proptest::bool::weighted(0.8), count);
        (places, share, links, members, topologies(count)).prop_map(
            |(places, share, links, members, topology)| {
                let place = |(latitude, longitude)| Place { latitude, longitude };
                let all = places.into_iter().enumerate().map(|(n, it)| (name(n), place(it)));
                let mut map = Map::new(&all.collect());
                let count = map.len();
                for (a, b) in (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b))) {
                    let (chance, ms) = links[a * count + b];
                    if chance <= share {
                        map.link(a, b, ms.map(Duration::from_millis));
                    }
                }
                let members = (0..count).filter(|it| members[*it]).collect();
                Case { map, members, topology }
            },
        )
    })
}

/// Returns how often each region is sent an op that the origin has, over any number of hops.
fn arrivals(flow: &Flow, origin: usize) -> BTreeMap<usize, usize> {
    let (mut arrived, mut next) = (BTreeMap::from([(origin, 0)]), vec![origin]);
    while let Some(here) = next.pop() {
        for to in flow.from(here) {
            if *arrived.entry(to).and_modify(|it| *it += 1).or_insert(1) == 1 && to != origin {
                next.push(to);
            }
        }
    }
    arrived
}

proptest! {
    #[test]
    fn every_member_that_can_be_reached_is_and_nobody_else(case in cases()) {
        let Case { map, members, topology } = &case;
        for origin in members.iter().copied() {
            let group = map.reached(members, origin);
            let flow = flow(topology, map, members, (origin, origin));
            prop_assert!(!flow.is_mutual);
            let arrived = arrivals(&flow, origin);
            prop_assert_eq!(arrived.keys().copied().collect::<Vec<_>>(), group);
            for (from, to) in &flow.sends {
                prop_assert!(map.is_up(*from, *to), "{from} sends to {to} without a link");
                prop_assert!(members.contains(from) && members.contains(to));
            }
            if *topology != Topology::Mesh {
                for (to, times) in &arrived {
                    prop_assert_eq!(*times, usize::from(*to != origin));
                }
            }
        }
    }

    #[test]
    fn regions_that_know_the_same_find_the_same(case in cases()) {
        let Case { map, members, topology } = &case;
        for (origin, here) in members.iter().flat_map(|a| members.iter().map(|b| (*a, *b))) {
            let ours = flow(topology, map, members, (origin, here));
            let group = map.reached(members, here);
            for other in &group {
                prop_assert_eq!(&ours, &flow(topology, map, members, (origin, *other)));
            }
            if ours.is_mutual {
                // Whoever has most of it, all others come to have it.
                let arrived = arrivals(&ours, here);
                prop_assert_eq!(arrived.keys().copied().collect::<Vec<_>>(), group);
            }
        }
    }

    #[test]
    fn auto_loses_little_time_and_feeds_few(case in cases()) {
        let Case { mut map, members, .. } = case;
        for (a, b) in members.iter().flat_map(|a| members.iter().map(move |b| (*a, *b))) {
            if a < b && !map.is_up(a, b) {
                map.link(a, b, None);
            }
        }
        for origin in members.iter().copied() {
            let all = layout(&Topology::Auto, &map, &members, origin).edges;
            let sends = auto::tree(&map, &members, &all, origin);
            let mut chosen = Edges::none(&map);
            sends.iter().for_each(|(a, b)| chosen.add(*a, *b));
            let (_, soonest) = fastest(&map, &members, &all, origin);
            let (_, arrived) = fastest(&map, &members, &chosen, origin);
            let feeds = |from: usize| sends.iter().filter(|it| it.0 == from).count();
            let most = members.iter().map(|it| feeds(*it)).max().unwrap_or(0);
            prop_assert!(most <= 6, "{most}");
            prop_assert_eq!(arrived.len(), members.len());
            for (at, to) in arrived.iter().filter(|_| most < 6) {
                let (soonest, _) = soonest.iter().find(|it| it.1 == *to).unwrap();
                prop_assert!(*at <= soonest + soonest / 4 + 10_000);
            }
        }
    }
}

/// Dublin, Frankfurt, London, Singapore, Sydney, Tokyo, Virginia; all linked.
fn planet() -> Map {
    let places = [
        (53.35, -6.26),
        (50.11, 8.68),
        (51.51, -0.13),
        (1.35, 103.82),
        (-33.87, 151.21),
        (35.68, 139.65),
        (38.95, -77.45),
    ];
    let place = |(latitude, longitude)| Place { latitude, longitude };
    let places = places.into_iter().enumerate().map(|(n, it)| (name(n), place(it)));
    let mut map = Map::new(&places.collect());
    for (a, b) in (0..7).flat_map(|a| (a + 1..7).map(move |b| (a, b))) {
        map.link(a, b, None);
    }
    map
}

fn check(topology: &Topology, map: &Map, origin: usize, expected: &[(usize, usize)]) {
    let found = flow(topology, map, &[0, 1, 2, 3, 4, 5, 6], (origin, origin));
    assert_eq!(found, Flow { sends: expected.to_vec(), is_mutual: false });
}

#[test]
fn auto_feeds_far_regions_through_near_ones() {
    // Frankfurt is nearer to Singapore and Tokyo, and Singapore to Sydney.
    let from_dublin = [(0, 1), (0, 2), (0, 6), (1, 3), (1, 5), (3, 4)];
    check(&Topology::Auto, &planet(), 0, &from_dublin);
}

#[test]
fn a_star_that_lost_its_hub_has_another_one_beside_it() {
    let star = Topology::Star { hub: Some(name(2)) };
    let mut map = planet();
    let from_tokyo = [(2, 0), (2, 1), (2, 3), (2, 4), (2, 6), (5, 2)];
    check(&star, &map, 5, &from_tokyo);
    (0..7).filter(|it| *it != 2).for_each(|it| map.cut(2, it));
    let from_tokyo = [(0, 1), (0, 3), (0, 4), (0, 6), (5, 0)];
    check(&star, &map, 5, &from_tokyo);
}

#[test]
fn a_ring_that_is_cut_goes_round_the_other_way() {
    let mut map = planet();
    let found = flow(&Topology::Ring, &map, &[0, 1, 2, 3, 4, 5, 6], (0, 0));
    assert_eq!(found.sends.len(), 6);
    assert_eq!(found.from(0).len(), 2, "both ways round");
    let cut = *found.from(0).first().unwrap();
    map.cut(0, cut);
    let found = flow(&Topology::Ring, &map, &[0, 1, 2, 3, 4, 5, 6], (0, 0));
    assert_eq!(found.from(0).len(), 1);
    assert_eq!(found.sends.len(), 6);
}

#[test]
fn a_tree_passes_over_a_parent_that_is_away() {
    let parents = BTreeMap::from([
        (name(1), name(2)),
        (name(2), name(0)),
        (name(3), name(1)),
        (name(4), name(3)),
        (name(5), name(3)),
        (name(6), name(0)),
    ]);
    let tree = Topology::Tree { parents };
    let mut map = planet();
    check(&tree, &map, 0, &[(0, 2), (0, 6), (1, 3), (2, 1), (3, 4), (3, 5)]);
    (0..7).filter(|it| *it != 2).for_each(|it| map.cut(2, it));
    check(&tree, &map, 0, &[(0, 1), (0, 6), (1, 3), (3, 4), (3, 5)]);
}

#[test]
fn a_hybrid_has_a_gateway_for_each_group() {
    let groups = vec![BTreeSet::from([name(0), name(1), name(2)])];
    let found = flow(&Topology::Hybrid { groups }, &planet(), &[0, 1, 2, 3, 4, 5, 6], (1, 1));
    let gateway = 2; // London lies between Dublin and Frankfurt.
    assert_eq!(found.from(1), BTreeSet::from([0, gateway]));
    assert!(found.sends.iter().all(|(from, to)| *from != 0 && (*to < 3 || *from >= 2)));
}
