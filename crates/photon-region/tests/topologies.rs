//! Stories of topologies: what is written reaches every member, and goes on to when links die.
//! Faults at random are the simulator's; here it is shown who sends what to whom, and how soon.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use photon_region::data::{DatasetName, WriteLevel};
use photon_region::{Command, Place, Reply, Topology, TopologyView};
use photon_state::{PlacementId, RegionId};
use world::{Micros, Planet, World};

const DUBLIN: usize = 0;
const FRANKFURT: usize = 1;
const LONDON: usize = 2;
const SINGAPORE: usize = 3;
const SYDNEY: usize = 4;
const TOKYO: usize = 5;
const VIRGINIA: usize = 6;
const ALL: [usize; 7] = [DUBLIN, FRANKFURT, LONDON, SINGAPORE, SYDNEY, TOKYO, VIRGINIA];

fn name(index: usize) -> RegionId {
    let names = ["dublin", "frankfurt", "london", "singapore", "sydney", "tokyo", "virginia"];
    RegionId::try_from(names[index]).unwrap()
}

/// The placement `some` is Dublin, Frankfurt, Singapore and Tokyo.
fn some() -> PlacementId {
    PlacementId::try_from("some").unwrap()
}

const SOME: [usize; 4] = [DUBLIN, FRANKFURT, SINGAPORE, TOKYO];

fn planet() -> Planet {
    let places = [
        (53.35, -6.26),
        (50.11, 8.68),
        (51.51, -0.13),
        (1.35, 103.82),
        (-33.87, 151.21),
        (35.68, 139.65),
        (38.95, -77.45),
    ];
    let places = places.map(|(latitude, longitude)| Place { latitude, longitude });
    let one_way = |a: &Place, b: &Place| (13_200.0 + 7.1 * a.distance_km(*b)) as Micros;
    Planet {
        names: ALL.map(name).to_vec(),
        places: places.to_vec(),
        one_way: places.iter().map(|a| places.iter().map(|b| one_way(a, b)).collect()).collect(),
        placements: BTreeMap::from([(some(), SOME.map(name).into())]),
    }
}

fn star(hub: usize) -> Topology {
    Topology::Star { hub: Some(name(hub)) }
}

/// A tree in which all of Asia hangs on Singapore, and Singapore on Frankfurt.
fn tree() -> Topology {
    let parents = [
        (FRANKFURT, DUBLIN),
        (LONDON, DUBLIN),
        (VIRGINIA, DUBLIN),
        (SINGAPORE, FRANKFURT),
        (SYDNEY, SINGAPORE),
        (TOKYO, SINGAPORE),
    ];
    let parents = parents.map(|(child, parent)| (name(child), name(parent)));
    Topology::Tree { parents: parents.into() }
}

fn every_topology() -> Vec<Topology> {
    let all = Topology::NAMES.map(|it| Topology::named(it).unwrap());
    [&all[..], &[star(LONDON), tree()]].concat()
}

/// A world in which all regions are told the same, know each other, and have a dataset.
fn world(topology: &Topology, placement: PlacementId) -> (World, DatasetName) {
    let mut world = World::new(&planet(), |_| topology.clone());
    world.pass(Duration::from_secs(5));
    let dataset = world.declare(DUBLIN, placement);
    (world, dataset)
}

/// Lets each of `writers` write, and checks that `readers` all have it soon: before anybody helps.
fn check_spread(world: &mut World, dataset: &DatasetName, writers: &[usize], readers: &[usize]) {
    let (passed, helped) = (world.passed.clone(), world.sum(|it| it.helped));
    for writer in writers {
        world.write(*writer, dataset, "x".into(), WriteLevel::Eventual);
    }
    world.pass(Duration::from_millis(700));
    let placement = if dataset.as_str() == "in-some" { some() } else { PlacementId::global() };
    let first = world.seen(readers[0], placement);
    let written = writers.iter().filter(|it| first.iter().any(|(s, _)| s.origin == name(**it)));
    assert_eq!(written.count(), writers.len(), "{first:?}");
    for reader in readers {
        assert_eq!(world.seen(*reader, placement), first, "{}", name(*reader));
    }
    assert_eq!(world.sum(|it| it.helped), helped, "nobody had to help");
    for (from, to) in ALL.iter().flat_map(|a| ALL.iter().map(move |b| (*a, *b))) {
        let may_have = placement == PlacementId::global() || SOME.contains(&to);
        let sent = passed[from][to].ops < world.passed[from][to].ops;
        assert!(may_have || !sent, "{} relays to {}", name(from), name(to));
    }
}

#[test]
fn what_is_written_reaches_every_member_once_in_every_topology() {
    for topology in every_topology() {
        for (placement, members) in [(PlacementId::global(), &ALL[..]), (some(), &SOME[..])] {
            let (mut world, dataset) = world(&topology, placement);
            let before = world.sum(|it| it.received);
            check_spread(&mut world, &dataset, members, members);
            let received = world.sum(|it| it.received) - before;
            let expected = members.len() * (members.len() - 1);
            assert_eq!(received, expected as u64, "{topology:?} of {placement}");
            assert_eq!(world.sum(|it| it.repeated), 0, "{topology:?} of {placement}");
        }
    }
}

#[test]
fn a_hub_relays_and_nobody_else_does() {
    let (mut world, dataset) = world(&star(LONDON), PlacementId::global());
    let before = world.passed.clone();
    check_spread(&mut world, &dataset, &[TOKYO], &ALL);
    for (from, to) in ALL.iter().flat_map(|a| ALL.iter().map(move |b| (*a, *b))) {
        let ops = world.passed[from][to].ops - before[from][to].ops;
        let is_spoke = from == TOKYO && to == LONDON || from == LONDON && to != TOKYO;
        assert_eq!(ops, u64::from(is_spoke && from != to), "{} to {}", name(from), name(to));
    }
}

#[test]
fn a_dead_hub_is_replaced_at_once() {
    let (mut world, dataset) = world(&star(LONDON), PlacementId::global());
    world.write(TOKYO, &dataset, "on its way to the hub".into(), WriteLevel::Eventual);
    world.pass(Duration::from_millis(10));
    world.kill(LONDON);
    let left = ALL.map(|it| (it != LONDON).then_some(it)).into_iter().flatten().collect::<Vec<_>>();
    check_spread(&mut world, &dataset, &[SYDNEY, VIRGINIA], &left);
}

#[test]
fn a_ring_that_is_cut_goes_round_the_other_way_and_two_cuts_are_mended() {
    let (mut world, dataset) = world(&Topology::Ring, PlacementId::global());
    world.cut(SINGAPORE, TOKYO);
    world.cut(DUBLIN, LONDON);
    check_spread(&mut world, &dataset, &ALL, &ALL);
}

#[test]
fn a_tree_grows_together_when_an_inner_node_dies() {
    let (mut world, dataset) = world(&tree(), PlacementId::global());
    world.write(DUBLIN, &dataset, "half way down".into(), WriteLevel::Eventual);
    world.pass(Duration::from_millis(100));
    world.kill(SINGAPORE);
    let left = ALL.map(|it| (it != SINGAPORE).then_some(it));
    let left = left.into_iter().flatten().collect::<Vec<_>>();
    check_spread(&mut world, &dataset, &[DUBLIN, TOKYO], &left);
}

#[test]
fn what_a_lost_origin_had_sent_to_one_region_only_spreads_from_there() {
    for topology in every_topology() {
        let (mut world, dataset) = world(&topology, PlacementId::global());
        (0..6).filter(|it| *it != SINGAPORE).for_each(|it| world.cut(SYDNEY, it));
        world.cut(SYDNEY, VIRGINIA);
        world.write(SYDNEY, &dataset, "its last words".into(), WriteLevel::Eventual);
        world.pass(Duration::from_millis(80)); // Singapore has it, and nobody else.
        world.kill(SYDNEY);
        check_spread(&mut world, &dataset, &[SINGAPORE], &[0, 1, 2, 3, 5, 6]);
        let origins = world.seen(DUBLIN, PlacementId::global());
        assert!(origins.iter().any(|(it, _)| it.origin == name(SYDNEY)), "{topology:?}");
    }
}

#[test]
fn every_region_acknowledges_to_the_origin_itself() {
    for topology in every_topology() {
        let (mut world, dataset) = world(&topology, PlacementId::global());
        let asked = world.now;
        let ticket = world.write(SYDNEY, &dataset, "x".into(), WriteLevel::Strong);
        world.pass(Duration::from_secs(1));
        let (at, reply) = world.replies.remove(&ticket).expect("all have it within a second");
        reply.unwrap();
        assert!(at - asked < 700_000, "{topology:?}: {} us", at - asked);
    }
}

#[test]
fn regions_that_are_told_different_things_make_a_mesh_and_say_so() {
    let all = every_topology();
    let mut world = World::new(&planet(), |here| all[here].clone());
    world.pass(Duration::from_secs(5));
    let dataset = world.declare(DUBLIN, PlacementId::global());
    check_spread(&mut world, &dataset, &ALL, &ALL);
    let view = show(&mut world, FRANKFURT);
    assert_eq!((view.topology.name(), view.otherwise.len()), ("star", 6));
    assert!(view.flows.iter().all(|it| it.sends.iter().all(|(from, _)| *from == it.origin)));
}

#[test]
fn small_changes_of_round_trips_change_no_tree() {
    let (mut world, _) = world(&Topology::Auto, PlacementId::global());
    let before = show(&mut world, DUBLIN).flows;
    let steady = world.planet.one_way.clone();
    for share in [110, 95, 115, 90] {
        for (a, b) in ALL.iter().flat_map(|a| ALL.iter().map(move |b| (*a, *b))) {
            // Every other link becomes slower, and the others faster.
            let share = if (a + b) % 2 == 0 { share } else { 200 - share };
            world.planet.one_way[a][b] = steady[a][b] * share / 100;
        }
        world.pass(Duration::from_secs(20));
        assert_eq!(show(&mut world, DUBLIN).flows, before);
    }
    // A link that takes four times as long is no small change.
    for to in [DUBLIN, FRANKFURT, LONDON] {
        world.planet.one_way[to][SINGAPORE] = 4 * steady[to][SINGAPORE];
    }
    world.pass(Duration::from_secs(20));
    assert_ne!(show(&mut world, DUBLIN).flows, before);
}

fn show(world: &mut World, here: usize) -> TopologyView {
    let ticket = world.ask(here, Command::Topology);
    match world.replies.remove(&ticket).expect("it is said at once").1 {
        Ok(Reply::Topology(view)) => *view,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_shown_is_what_is_sent() {
    let (mut world, dataset) = world(&Topology::Auto, some());
    let view = show(&mut world, TOKYO);
    assert!(view.links.iter().all(|it| it.is_up && it.is_measured));
    let flow = view.flows.iter().find(|it| (it.placement, it.origin) == (some(), name(DUBLIN)));
    let flow = flow.unwrap();
    assert!(flow.unreached.is_empty() && !flow.is_mutual);
    let before = world.passed.clone();
    check_spread(&mut world, &dataset, &[DUBLIN], &SOME);
    let mut sent = BTreeSet::new();
    for (from, to) in ALL.iter().flat_map(|a| ALL.iter().map(move |b| (*a, *b))) {
        if before[from][to].ops < world.passed[from][to].ops {
            sent.insert((name(from), name(to)));
        }
    }
    assert_eq!(sent, flow.sends.iter().copied().collect());
}
