//! Checks the order in which tasks that wait are given to agents.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::task::Shard;

const STEP: Duration = Duration::from_secs(60);

fn id(number: u64) -> TaskId {
    TaskId::new(number, PlacementId::global(), Shard(0), 0)
}

fn queue(skill: &str) -> Queued {
    let target = Target::Skill(skill.into());
    Queued { target, placement: PlacementId::global() }
}

fn terms(priority: u8, key: &str, weight: u32) -> Terms {
    Terms {
        priority: Priority::new(priority).unwrap(),
        fairness_key: Some(key.into()),
        fairness_weight: Weight::of_thousandths(weight).unwrap(),
        ..Terms::default()
    }
}

/// Terms of a client who pays so much at the most; with 0 it does not mind.
fn wanting(terms: Terms, cost: u64) -> Terms {
    let wants = Wants { cost_micros_max: Some(cost), ..Wants::default() };
    Terms { wants: Some(wants).filter(|_| cost != 0).map(Arc::new), ..terms }
}

/// Gives away what is next, until so many are given; returns who got how many.
fn shares(queues: &mut Queues, of: &Queued, count: usize) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for _ in 0..count {
        let next = queues.first(of, |_| true).unwrap().id;
        let key = queues.places[&next].key.clone().unwrap_or_default();
        *shares.entry(key.to_string()).or_default() += 1;
        queues.give(next);
    }
    shares
}

#[test]
fn the_most_urgent_are_first_and_the_eldest_among_them() {
    let mut queues = Queues::default();
    for (number, priority) in [(1, 5), (2, 3), (3, 1), (4, 3), (5, 1)] {
        queues.push(id(number), queue("a"), &terms(priority, "k", 1_000), (0, 0, STEP));
    }
    let order: Vec<TaskId> = std::iter::from_fn(|| {
        let first = queues.first(&queue("a"), |_| true)?.id;
        queues.give(first);
        Some(first)
    })
    .collect();
    assert_eq!(order, [3, 5, 2, 4, 1].map(id));
    assert_eq!((queues.len(), queues.queues().count()), (0, 0));
}

#[test]
fn a_key_that_floods_its_queue_has_no_more_than_its_share() {
    let mut queues = Queues::default();
    for number in 0..1_000 {
        queues.push(id(number), queue("a"), &terms(3, "loud", 1_000), (0, 0, STEP));
    }
    for number in 1_000..1_010 {
        queues.push(id(number), queue("a"), &terms(3, "quiet", 1_000), (0, 0, STEP));
    }
    let shares = shares(&mut queues, &queue("a"), 20);
    assert_eq!((shares["loud"], shares["quiet"]), (10, 10));
}

#[test]
fn a_key_gets_no_more_for_wanting_something_else_each_time() {
    let mut queues = Queues::default();
    for number in 0..1_000 {
        let terms = wanting(terms(3, "picky", 1_000), 1 + number % 50);
        queues.push(id(number), queue("a"), &terms, (0, 0, STEP));
    }
    for number in 1_000..1_010 {
        queues.push(id(number), queue("a"), &terms(3, "plain", 1_000), (0, 0, STEP));
    }
    let shares = shares(&mut queues, &queue("a"), 20);
    assert_eq!((shares["picky"], shares["plain"]), (10, 10));
}

#[test]
fn a_key_that_waited_for_somebody_special_does_not_make_up_for_it() {
    let mut queues = Queues::default();
    let plain = |wanted: &Wanted| wanted.is_none();
    queues.push(id(1), queue("a"), &wanting(terms(3, "picky", 1_000), 1), (0, 0, STEP));
    for number in 10..510 {
        queues.push(id(number), queue("a"), &terms(3, "plain", 1_000), (0, 0, STEP));
    }
    for _ in 0..400 {
        queues.give(queues.first(&queue("a"), plain).unwrap().id);
    }
    for number in 1_000..1_100 {
        queues.push(id(number), queue("a"), &terms(3, "picky", 1_000), (0, 0, STEP));
    }
    let mut picky = 0;
    for _ in 0..20 {
        let next = queues.first(&queue("a"), plain).unwrap().id;
        picky += usize::from(queues.places[&next].key.as_deref() == Some("picky"));
        queues.give(next);
    }
    assert!((9..=11).contains(&picky), "{picky} of 20");
}

#[test]
fn only_what_an_agent_has_is_next_for_it() {
    let mut queues = Queues::default();
    for (number, cost) in [(1, 5), (2, 0), (3, 7), (4, 5)] {
        queues.push(id(number), queue("a"), &wanting(terms(3, "k", 1_000), cost), (0, 0, STEP));
    }
    let first = |queues: &Queues, asks: u64| {
        let had = |wanted: &Wanted| {
            wanted.as_ref().is_none_or(|it| it.cost_micros_max.is_none_or(|max| asks <= max))
        };
        queues.first(&queue("a"), had).map(|it| it.id)
    };
    assert_eq!([0, 6, 8].map(|it| first(&queues, it)), [1, 2, 2].map(|it| Some(id(it))));
    queues.give(id(2));
    assert_eq!([0, 6, 8].map(|it| first(&queues, it)), [Some(id(1)), Some(id(3)), None]);
    assert_eq!(queues.wanted(&queue("a")).len(), 2);
}

#[test]
fn shares_are_as_the_weights() {
    let mut queues = Queues::default();
    for number in 0..1_000 {
        let (key, weight) = [("one", 1_000), ("three", 3_000)][number as usize % 2];
        queues.push(id(number), queue("a"), &terms(3, key, weight), (0, 0, STEP));
    }
    let shares = shares(&mut queues, &queue("a"), 400);
    assert!((295..=305).contains(&shares["three"]), "{shares:?}");
}

#[test]
fn shares_hold_in_a_queue_that_is_served_seldom() {
    let mut queues = Queues::default();
    for number in 0..1_000 {
        let (key, weight) = [("one", 1_000), ("ten", 10_000)][number as usize % 2];
        queues.push(id(number), queue("slow"), &terms(3, key, weight), (0, 0, STEP));
    }
    let mut slow = BTreeMap::new();
    for number in 0..220_u64 {
        for other in 0..20 {
            let other = id(10_000 + number * 20 + other);
            queues.push(other, queue("busy"), &terms(3, "other", 1_000), (0, 0, STEP));
            queues.give(queues.first(&queue("busy"), |_| true).unwrap().id);
        }
        for (key, count) in shares(&mut queues, &queue("slow"), 1) {
            *slow.entry(key).or_insert(0) += count;
        }
    }
    assert!((195..=205).contains(&slow["ten"]), "{slow:?}");
}

#[test]
fn queues_that_are_as_urgent_take_turns() {
    let mut queues = Queues::default();
    for number in 0..100 {
        queues.push(id(number), queue("old"), &terms(3, "patient", 1_000), (0, 0, STEP));
    }
    for number in 100..400 {
        queues.push(id(number), queue("new"), &terms(3, "busy", 1_000), (0, 0, STEP));
    }
    shares(&mut queues, &queue("new"), 100);
    let mut given = [0, 0];
    for _ in 0..50 {
        let both = [queues.first(&queue("old"), |_| true), queues.first(&queue("new"), |_| true)];
        let next = both.into_iter().flatten().min().unwrap().id;
        given[usize::from(*queues.queue_of(next).unwrap() == queue("new"))] += 1;
        queues.give(next);
    }
    assert_eq!(given, [25, 25]);
}

#[test]
fn keys_that_are_new_each_time_do_not_keep_others_waiting() {
    let mut queues = Queues::default();
    for number in 0..10 {
        queues.push(id(number), queue("a"), &terms(1, "acme", 1_000), (0, 0, STEP));
    }
    let fresh = |queues: &mut Queues, number: u64| {
        let terms = terms(1, &format!("fresh-{number}"), 1_000);
        queues.push(id(number), queue("a"), &terms, (0, 0, STEP));
    };
    fresh(&mut queues, 10);
    let mut acme = 0;
    for number in 11..120 {
        fresh(&mut queues, number);
        acme += shares(&mut queues, &queue("a"), 1).get("acme").copied().unwrap_or(0);
    }
    assert_eq!(acme, 10);
}

#[test]
fn whoever_has_waited_for_long_counts_as_more_urgent() {
    let mut queues = Queues::default();
    queues.push(id(1), queue("a"), &terms(5, "k", 1_000), (0, 0, STEP));
    queues.push(id(2), queue("a"), &terms(3, "k", 1_000), (100_000, 100_000, STEP));
    queues.age(119_999, STEP, 10);
    assert_eq!(queues.first(&queue("a"), |_| true).unwrap().id, id(2));
    queues.age(120_000, STEP, 10);
    assert_eq!(queues.first(&queue("a"), |_| true).unwrap().id, id(1));
    queues.age(1_000_000, STEP, 10);
    assert_eq!(queues.next_ageing(), None);
    assert_eq!(queues.first(&queue("a"), |_| true).unwrap().level, Priority::FIRST);
}

#[test]
fn who_waited_before_it_came_here_counts_as_urgent_as_that() {
    let mut queues = Queues::default();
    queues.push(id(1), queue("a"), &terms(5, "k", 1_000), (0, 130_000, STEP));
    assert_eq!(queues.first(&queue("a"), |_| true).unwrap().level, Priority::default());
    assert_eq!(queues.next_ageing(), Some(180_000));
    queues.push(id(2), queue("a"), &terms(5, "k", 1_000), (0, u64::MAX, STEP));
    assert_eq!(queues.first(&queue("a"), |_| true).unwrap().id, id(2));
    assert_eq!(queues.next_ageing(), Some(180_000));
}

proptest! {
    /// Whatever is done, all places agree, and whoever waits is given something in the end.
    #[test]
    fn nobody_is_lost(
        steps in prop::collection::vec((0..4_u8, 0..30_u64, 1..=5_u8, 0..8_u8, 0..2_u8), 0..200),
    ) {
        let mut queues = Queues::default();
        let mut waiting = BTreeSet::new();
        for (step, number, priority, key, of) in steps {
            let name = ["a", "b"][usize::from(of)];
            match step {
                0 | 1 => {
                    let (key, wanted) = (key / 2, key % 2);
                    let terms = terms(priority, &key.to_string(), u32::from(key) * 500 + 1);
                    let terms = wanting(terms, u64::from(wanted));
                    queues.push(id(number), queue(name), &terms, (number * 1_000, 0, STEP));
                    waiting.insert(id(number));
                }
                2 => prop_assert_eq!(queues.remove(id(number)), waiting.remove(&id(number))),
                _ => {
                    queues.age(number * 10_000, STEP, 5);
                    if let Some(rank) = queues.first(&queue(name), |_| true) {
                        queues.give(rank.id);
                        prop_assert!(waiting.remove(&rank.id));
                    }
                }
            }
            prop_assert!(queues.ids().eq(waiting.iter().copied()));
            let orders = queues.queues.values().flat_map(|it| &it.lanes);
            for lane in orders {
                let lines = lane.shares.values().flat_map(|it| &it.lines);
                let mut orders: BTreeMap<Wanted, BTreeSet<Place>> = BTreeMap::new();
                for (wanted, line) in lines {
                    let placed = line.placed.unwrap();
                    prop_assert_eq!(Some(&placed.2), line.ids.first());
                    orders.entry(wanted.clone()).or_default().insert(placed);
                }
                prop_assert_eq!(&orders, &lane.orders);
            }
            let in_all = ["a", "b"].map(|it| queues.ids_in(&queue(it)).count());
            prop_assert_eq!(in_all.iter().sum::<usize>(), waiting.len());
        }
        for name in ["a", "b"] {
            while let Some(rank) = queues.first(&queue(name), |_| true) {
                queues.give(rank.id);
                prop_assert!(waiting.remove(&rank.id));
            }
        }
        prop_assert!(waiting.is_empty() && queues.queues.is_empty());
    }
}
