//! What is promised of verdicts, on small planets with faults at given times.
//! Must not know how a verdict comes about.

use std::collections::BTreeSet;
use std::time::Duration;

use photon_state::RegionId;
use proptest::prelude::*;

use super::{Condition, Detector, Heartbeat, Load, Verdict};

mod outsiders;

const NAMES: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];
/// How long a heartbeat is under way.
const DELAY: u64 = 20;
/// How often the test looks at its nodes.
const STEP: u64 = 5;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn region(index: usize) -> RegionId {
    RegionId::try_from(NAMES[index]).unwrap()
}

fn members(count: usize) -> BTreeSet<RegionId> {
    (0..count).map(region).collect()
}

/// What goes wrong, from one time until another.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// All nodes of a region are gone, and nobody is told.
    Gone(usize),
    /// One node stands still: what it is sent waits, and it reads that after its tick.
    Stalled(usize, u16),
    /// Nothing gets from the one region to the other.
    Cut(usize, usize),
    /// The connections with a region are closed when this begins, and nothing gets through.
    Closed(usize),
}

type Script = [(std::ops::Range<u64>, Fault)];

struct Planet {
    nodes: Vec<(usize, u16, Detector)>,
    under_way: Vec<(u64, usize, usize, Heartbeat)>,
    /// At which time which region changed its mind (by its node 0) about which.
    changes: Vec<(u64, usize, usize, Verdict)>,
}

impl Planet {
    fn new(regions: usize, nodes: u16) -> Self {
        let all = (0..regions).flat_map(|region| (0..nodes).map(move |node| (region, node)));
        let nodes = all.map(|(index, node)| {
            let mut detector = Detector::new(region(index), node, nodes);
            detector.observers(ms(0), &members(regions), &BTreeSet::new());
            (index, node, detector)
        });
        Self { nodes: nodes.collect(), under_way: Vec::new(), changes: Vec::new() }
    }

    fn run(&mut self, until: u64, script: &Script) -> &mut Self {
        for now in (0..until).step_by(usize::try_from(STEP).unwrap()) {
            let faults: Vec<_> =
                script.iter().filter(|(time, _)| time.contains(&now)).map(|it| it.1).collect();
            for (time, fault) in script {
                if let (true, Fault::Closed(with)) = (time.start == now, fault) {
                    self.close(now, *with);
                }
            }
            self.act(now, &faults);
            self.deliver(now, &faults);
        }
        self
    }

    fn close(&mut self, now: u64, with: usize) {
        for (_, _, detector) in self.nodes.iter_mut().filter(|it| it.0 != with) {
            detector.closed(ms(now), region(with), None);
        }
    }

    fn act(&mut self, now: u64, faults: &[Fault]) {
        for index in 0..self.nodes.len() {
            let (from, node, detector) = &mut self.nodes[index];
            let phase = 7 * u64::try_from(index).unwrap() % 100;
            if is_still(faults, *from, *node) || now < phase || ms(now) < detector.next_deadline() {
                continue;
            }
            for change in detector.tick(ms(now)) {
                let of = NAMES.iter().position(|it| *it == change.region.as_str()).unwrap();
                if *node == 0 {
                    self.changes.push((now, *from, of, change.is));
                }
            }
            let Some(beat) = detector.beat(ms(now)) else { continue };
            let from = *from;
            for to in (0..self.nodes.len()).filter(|to| *to != index) {
                if !is_cut(faults, from, self.nodes[to].0) {
                    self.under_way.push((now + DELAY, from, to, beat.clone()));
                }
            }
        }
    }

    fn deliver(&mut self, now: u64, faults: &[Fault]) {
        let nodes = &mut self.nodes;
        self.under_way.retain(|(at, from, to, beat)| {
            let (region_to, node, detector) = &mut nodes[*to];
            if now < *at || is_still(faults, *region_to, *node) {
                return true;
            }
            detector.heard(ms(now), region(*from), beat);
            false
        });
    }

    /// Says what node 0 of each region but one thinks of that one.
    fn opinions(&self, of: usize) -> Vec<&'static str> {
        let nodes = self.nodes.iter().filter(|it| it.1 == 0 && it.0 != of);
        nodes.map(|it| word(it.2.verdict(region(of)))).collect()
    }
}

fn word(verdict: Verdict) -> &'static str {
    match (verdict.is_path_bad, verdict.is_down) {
        (false, false) => "good",
        (true, false) => "bad",
        (false, true) => "out",
        (true, true) => "down",
    }
}

fn is_still(faults: &[Fault], region: usize, node: u16) -> bool {
    faults.iter().any(|fault| match fault {
        Fault::Gone(gone) => *gone == region,
        Fault::Stalled(there, one) => (*there, *one) == (region, node),
        Fault::Cut(..) | Fault::Closed(_) => false,
    })
}

fn is_cut(faults: &[Fault], from: usize, to: usize) -> bool {
    faults.iter().any(|fault| match fault {
        Fault::Cut(one, other) => (*one, *other) == (from, to),
        Fault::Gone(region) | Fault::Closed(region) => *region == from || *region == to,
        Fault::Stalled(..) => false,
    })
}

/// Cuts every link between two groups.
fn partition(
    time: std::ops::Range<u64>,
    one: &[usize],
    other: &[usize],
) -> Vec<(std::ops::Range<u64>, Fault)> {
    let pairs = one.iter().flat_map(|a| other.iter().map(move |b| (*a, *b)));
    let both = pairs.flat_map(|(a, b)| [Fault::Cut(a, b), Fault::Cut(b, a)]);
    both.map(|fault| (time.clone(), fault)).collect()
}

/// Runs a planet of five regions, in which region 0 falls silent at 2,000 ms, and checks when the
/// first and the last of the others route away and know that it is down.
#[track_caller]
fn falls(nodes: u16, fault: Fault, routed: std::ops::Range<u64>, down: std::ops::Range<u64>) {
    let mut planet = Planet::new(5, nodes);
    planet.run(6_000, &[(2_000..6_000, fault)]);
    assert_eq!(planet.opinions(0), ["down"; 4]);
    for by in 1..5 {
        let first = |is: fn(&Verdict) -> bool| {
            let mut own = planet.changes.iter().filter(|it| it.1 == by && it.2 == 0);
            own.find(|it| is(&it.3)).map(|it| it.0 - 2_000).unwrap()
        };
        let times = (first(|it| !it.is_reachable()), first(|it| it.is_down));
        assert!(routed.contains(&times.0) && down.contains(&times.1), "{by}: {times:?}");
    }
    let others = planet.changes.iter().filter(|it| it.1 != 0 && it.2 != 0);
    assert_eq!(others.count(), 0, "{:?}", planet.changes);
}

#[test]
fn a_region_of_one_sender_is_down_after_900_ms_of_silence() {
    falls(1, Fault::Gone(0), 820..930, 840..980);
}

#[test]
fn a_region_of_two_senders_is_down_after_600_ms_of_silence() {
    falls(2, Fault::Gone(0), 500..630, 520..680);
}

#[test]
fn a_region_of_three_senders_is_down_after_300_ms_of_silence() {
    falls(3, Fault::Gone(0), 200..330, 220..380);
}

#[test]
fn a_region_that_is_to_be_heard_for_the_first_time_has_two_seconds() {
    let mut detector = Detector::new(region(0), 0, 1);
    detector.observers(ms(0), &members(2), &BTreeSet::new());
    let silent = (1..=30).map(|it| it * Detector::BEAT_EVERY).find(|now| {
        detector.tick(*now);
        !detector.verdict(region(1)).is_reachable()
    });
    assert_eq!(silent, Some(ms(2_000)));
}

#[test]
fn a_closed_connection_counts_at_once() {
    falls(1, Fault::Closed(0), 0..10, 0..60);
    falls(3, Fault::Closed(0), 0..10, 0..60);
}

#[test]
fn a_node_that_is_heard_again_after_its_connection_was_closed_is_no_longer_silent() {
    let mut planet = Planet::new(3, 1);
    planet.run(1_500, &[(1_000..1_050, Fault::Closed(0))]);
    assert_eq!(planet.opinions(0), ["down", "down"], "it has just come back");
    let mut planet = Planet::new(3, 1);
    planet.run(2_500, &[(1_000..1_050, Fault::Closed(0))]);
    assert_eq!(planet.opinions(0), ["good", "good"]);
}

#[test]
fn one_of_three_nodes_that_stands_still_is_not_its_region() {
    let mut planet = Planet::new(3, 3);
    planet.run(8_000, &[(1_000..8_000, Fault::Stalled(0, 2))]);
    assert_eq!(planet.changes, []);
}

#[test]
fn nodes_that_pause_one_after_the_other_are_not_voted_down_as_soon_as_nodes_that_pause_together() {
    let one_by_one = [
        (1_000..4_000, Fault::Stalled(0, 0)),
        (1_600..4_000, Fault::Stalled(0, 1)),
        (2_200..2_900, Fault::Stalled(0, 2)),
    ];
    let mut planet = Planet::new(3, 3);
    planet.run(4_000, &one_by_one);
    assert!(planet.changes.iter().any(|it| it.2 == 0 && it.3.is_path_bad), "routed around");
    assert!(planet.changes.iter().all(|it| !it.3.is_down), "{:?}", planet.changes);
    let together = [0, 1, 2].map(|node| (2_200..2_900, Fault::Stalled(0, node)));
    let mut planet = Planet::new(3, 3);
    planet.run(4_000, &together);
    assert!(planet.changes.iter().any(|it| it.2 == 0 && it.3.is_down));
}

#[test]
fn a_path_that_is_cut_is_bad_for_both_and_nobody_is_down() {
    let mut planet = Planet::new(5, 3);
    planet.run(4_000, &partition(1_000..4_000, &[0], &[1]));
    assert_eq!(planet.opinions(0), ["bad", "good", "good", "good"]);
    assert_eq!(planet.opinions(1), ["bad", "good", "good", "good"]);
    assert!(planet.changes.iter().all(|it| !it.3.is_down));
}

#[test]
fn a_path_that_is_cut_one_way_is_bad_for_both_and_heals_for_both() {
    for nodes in [1, 3] {
        let mut planet = Planet::new(5, nodes);
        planet.run(4_000, &[(1_000..4_000, Fault::Cut(0, 1))]);
        assert_eq!(planet.opinions(0), ["bad", "good", "good", "good"]);
        assert_eq!(planet.opinions(1), ["bad", "good", "good", "good"]);
        let mut planet = Planet::new(5, nodes);
        planet.run(6_000, &[(1_000..4_000, Fault::Cut(0, 1))]);
        assert_eq!(planet.opinions(0), ["good"; 4]);
        assert_eq!(planet.opinions(1), ["good"; 4]);
    }
}

#[test]
fn a_region_that_hears_nobody_is_down_although_everybody_hears_it() {
    let script: Vec<_> = (1..5).map(|from| (1_000..4_000, Fault::Cut(from, 0))).collect();
    let mut planet = Planet::new(5, 3);
    planet.run(4_000, &script);
    assert_eq!(planet.opinions(0), ["down"; 4]);
}

#[test]
fn a_region_that_most_do_not_reach_is_down_for_those_who_do() {
    let mut planet = Planet::new(5, 3);
    planet.run(4_000, &partition(1_000..4_000, &[0], &[1, 2, 3]));
    assert_eq!(planet.opinions(0), ["down", "down", "down", "out"]);
    assert!(planet.nodes[0].2.verdict(region(0)).is_down, "it knows");
}

#[test]
fn the_lesser_part_of_a_planet_calls_none_of_the_others_down_and_the_greater_part_does() {
    let mut planet = Planet::new(5, 2);
    planet.run(5_000, &partition(1_000..5_000, &[0, 1], &[2, 3, 4]));
    let calls = |by: usize, of: usize| word(planet.nodes[2 * by].2.verdict(region(of)));
    for (lesser, greater) in [(0, 2), (0, 3), (1, 4)] {
        assert_eq!((calls(lesser, greater), calls(greater, lesser)), ("bad", "down"));
    }
    assert_eq!((calls(2, 4), calls(4, 3)), ("good", "good"));
    assert_eq!(calls(0, 1), "out", "each hears from the other that it is cut off from most");
}

#[test]
fn neither_half_of_a_planet_calls_the_other_down() {
    for count in [2, 4, 6] {
        let (one, other): (Vec<_>, Vec<_>) = (0..count).partition(|it| *it < count / 2);
        let mut planet = Planet::new(count, 1);
        planet.run(5_000, &partition(1_000..5_000, &one, &other));
        assert!(planet.changes.iter().all(|it| !it.3.is_down), "{count}");
        assert!(planet.opinions(0).contains(&"bad"), "{count}");
    }
}

#[test]
fn who_was_stalled_judges_nobody() {
    for stall in [150, 300, 700, 2_000, 30_000] {
        for nodes in [1, 3] {
            let mut planet = Planet::new(3, nodes);
            let end = 1_000 + stall;
            let all = (0..nodes).map(|node| (1_000..end, Fault::Stalled(0, node)));
            planet.run(end + 2_000, &all.collect::<Vec<_>>());
            let own: Vec<_> = planet.changes.iter().filter(|it| it.1 == 0 && it.2 != 0).collect();
            assert!(own.is_empty(), "{stall} {nodes}: {own:?}");
            assert_eq!(planet.opinions(0), ["good"; 2]);
        }
    }
}

#[test]
fn a_node_that_has_just_voted_may_be_late_as_any_other() {
    let mut detector = Detector::new(region(0), 0, 1);
    detector.observers(ms(0), &members(2), &BTreeSet::new());
    detector.tick(ms(0));
    detector.beat(ms(0));
    detector.heard(ms(30), region(1), &Heartbeat { senders: 1, ..Heartbeat::default() });
    let mut beats = Vec::new();
    for now in [100, 200, 300, 400, 500, 600, 700, 800, 900, 930, 1_060, 1_260, 1_400] {
        detector.tick(ms(now));
        beats.extend(detector.beat(ms(now)).map(|it| (now, it.bad.len(), it.is_judging)));
    }
    let last = [(900, 0, true), (930, 1, true), (1_060, 1, true), (1_260, 0, false)];
    assert_eq!(beats[8..12], last, "60 ms late it may be, 160 ms not");
}

#[test]
fn who_was_stalled_knows_from_the_other_nodes_of_its_region() {
    let mut planet = Planet::new(5, 3);
    planet.run(2_900, &[(1_000..2_900, Fault::Gone(4)), (1_100..2_800, Fault::Stalled(0, 0))]);
    assert_eq!(planet.opinions(4)[0], "down");
}

#[test]
fn a_region_that_returns_is_reachable_after_half_a_second() {
    let mut planet = Planet::new(5, 3);
    planet.run(6_000, &[(1_000..3_000, Fault::Gone(0))]);
    for by in 1..5 {
        let mut own = planet.changes.iter().filter(|it| it.1 == by && it.2 == 0);
        let last = own.next_back().unwrap();
        assert!((3_500..3_800).contains(&last.0) && last.3.is_reachable(), "{last:?}");
    }
}

#[test]
fn a_path_that_flaps_stays_bad() {
    let flaps: Vec<_> = (0..10)
        .flat_map(|round| partition(1_000 + 700 * round..1_400 + 700 * round, &[0], &[1]))
        .collect();
    let mut planet = Planet::new(3, 3);
    planet.run(7_700, &flaps);
    let own = planet.changes.iter().filter(|it| (it.1, it.2) == (1, 0));
    assert_eq!(own.count(), 1, "bad once, and not good in between: {:?}", planet.changes);
}

#[test]
fn degraded_is_what_most_nodes_of_a_region_say_of_themselves() {
    let condition = Condition { is_disk_slow: true, ..Condition::default() };
    let (slow, fine) = (Load { condition, used_permille: 300 }, Load::default());
    let mut observer = Detector::new(region(1), 0, 1);
    observer.observers(ms(0), &members(3), &BTreeSet::new());
    let say = |observer: &mut Detector, now, loads: [Load; 3]| {
        for (node, load) in (0..).zip(loads) {
            let beat = Heartbeat { node, senders: 3, load, is_judging: true, bad: Vec::new() };
            observer.heard(ms(now), region(0), &beat);
        }
        observer.tick(ms(now + 1))
    };
    assert_eq!(say(&mut observer, 100, [slow, fine, fine]), [], "one of three");
    let changes = say(&mut observer, 200, [slow, slow, fine]);
    assert_eq!(changes[0].is, Verdict { condition, ..Verdict::default() });
    assert!(changes[0].is.condition.is_degraded() && changes[0].is.is_reachable());
    assert_eq!(observer.load(region(0)), Some(Load { condition, used_permille: 200 }));
}

#[test]
fn strangers_and_own_echoes_are_not_heard_and_nodes_are_bounded() {
    let mut detector = Detector::new(region(0), 0, 1);
    detector.observers(ms(0), &members(2), &BTreeSet::new());
    let beat = |node| Heartbeat { node, senders: 9, bad: vec![region(1)], ..Heartbeat::default() };
    detector.heard(ms(1), region(6), &beat(1));
    detector.heard(ms(1), region(0), &beat(0));
    detector.closed(ms(1), region(6), None);
    for node in 0..u16::MAX {
        detector.heard(ms(2), region(1), &beat(node));
    }
    assert_eq!(detector.peers.len(), 2);
    assert!(format!("{detector:?}").len() < 20_000, "what it remembers is bounded");
    assert_eq!(detector.verdict(region(6)), Verdict::default());
}

/// A fault of a planet of five regions with two nodes each, at some time.
fn faults(regions: usize) -> impl Strategy<Value = (std::ops::Range<u64>, Fault)> {
    let one = move || 0..regions;
    let fault = prop_oneof![
        one().prop_map(Fault::Gone),
        (one(), 0_u16..2).prop_map(|(region, node)| Fault::Stalled(region, node)),
        (one(), one()).prop_map(|(from, to)| Fault::Cut(from, to)),
        one().prop_map(Fault::Closed),
    ];
    (0_u64..800, 1_u64..600, fault)
        .prop_map(|(start, len, fault)| (start * STEP..(start + len) * STEP, fault))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn faults_among_the_lesser_part_make_nobody_else_down(
        script in proptest::collection::vec(faults(2), 0..8),
    ) {
        // Whatever regions 0 and 1 do or suffer, they are no majority of five.
        let mut planet = Planet::new(5, 2);
        planet.run(8_000, &script);
        for (_, by, of, verdict) in &planet.changes {
            prop_assert!(*of < 2 || !verdict.is_down, "{by} calls {of} down");
        }
    }

    #[test]
    fn whatever_happened_all_is_well_soon_after(
        script in proptest::collection::vec(faults(5), 0..12),
    ) {
        let mut planet = Planet::new(5, 2);
        planet.run(9_500, &script);
        for of in 0..5 {
            prop_assert_eq!(planet.opinions(of), ["good"; 4]);
        }
    }

    #[test]
    fn no_order_of_calls_panics_and_no_deadline_is_far(
        calls in proptest::collection::vec((0_u64..100_000, 0_usize..7, 0_u16..4, 0_u8..6), 0..200),
    ) {
        let mut detector = Detector::new(region(0), 0, 3);
        let mut latest = 0;
        for (now, from, node, what) in calls {
            latest = latest.max(now);
            let bad = members(from);
            match what {
                0 => detector.closed(ms(now), region(from), (node < 3).then_some(node)),
                1 => {
                    let others = members(usize::from(node) + 3);
                    detector.observers(ms(now), &bad, &others.difference(&bad).copied().collect());
                }
                2 => { detector.tick(ms(now)); }
                3 => { detector.beat(ms(now)); }
                _ => {
                    let bad = bad.into_iter().collect();
                    let load = Load::default();
                    let beat = Heartbeat { node, senders: node, load, is_judging: what == 4, bad };
                    detector.heard(ms(now), region(from), &beat);
                }
            }
            prop_assert!(detector.next_deadline() <= ms(latest + 100));
            prop_assert!(detector.peers.len() <= NAMES.len());
        }
    }
}
