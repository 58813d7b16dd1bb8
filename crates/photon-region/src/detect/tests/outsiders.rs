//! Regions without a vote: those that are agreed to be out, and those that are no members.
//! Must not test who votes for what among members.

use super::*;

#[test]
fn those_agreed_to_be_out_have_no_vote() {
    let mut planet = Planet::new(5, 1);
    let gone =
        [(0..9_000, Fault::Gone(3)), (0..9_000, Fault::Gone(4)), (3_000..9_000, Fault::Gone(0))];
    planet.run(6_000, &gone);
    assert_eq!(planet.opinions(0)[..2], ["bad", "bad"], "two of five are no majority");
    let mut planet = Planet::new(5, 1);
    for (_, _, detector) in &mut planet.nodes {
        detector.observers(ms(0), &members(3), &BTreeSet::new());
    }
    planet.run(6_000, &gone);
    assert_eq!(planet.opinions(0)[..2], ["down", "down"]);
}

#[test]
fn those_agreed_to_be_out_are_judged_as_any_other() {
    let mut planet = Planet::new(4, 1);
    for (_, _, detector) in &mut planet.nodes {
        detector.observers(ms(0), &members(3), &BTreeSet::from([region(3)]));
    }
    planet.run(5_000, &[(1_000..3_000, Fault::Gone(3))]);
    let of_it: Vec<_> = planet.changes.iter().filter(|it| it.1 == 0 && it.2 == 3).collect();
    let first = |is: fn(&Verdict) -> bool| of_it.iter().find(|it| is(&it.3)).unwrap().0;
    let (bad, down, last) = (first(|it| it.is_path_bad), first(|it| it.is_down), of_it.last());
    assert!((1_800..2_100).contains(&bad) && (1_800..2_200).contains(&down), "{of_it:?}");
    assert!(last.is_some_and(|it| (3_500..3_800).contains(&it.0) && it.3.is_reachable()));
}

#[test]
fn who_is_out_and_reached_by_few_stays_down_for_them_too() {
    let mut planet = Planet::new(5, 1);
    for (_, _, detector) in &mut planet.nodes {
        detector.observers(ms(0), &members(4), &BTreeSet::from([region(4)]));
    }
    planet.run(5_000, &partition(1_000..5_000, &[4], &[1, 2, 3]));
    assert_eq!(word(planet.nodes[0].2.verdict(region(4))), "out", "most do not reach it");
}

#[test]
fn where_most_are_silent_those_who_live_do_not_miss_each_other() {
    let mut planet = Planet::new(7, 1);
    let gone: Vec<_> = (3..7).map(|it| (1_000..4_000, Fault::Gone(it))).collect();
    planet.run(4_000, &gone);
    let detector = &planet.nodes[0].2;
    assert_eq!(word(detector.verdict(region(1))), "out", "it does not hear four of seven");
    assert!(!detector.is_missed(region(1)) && detector.is_missed(region(3)));
}

#[test]
fn those_that_are_silent_themselves_count_against_nobody_who_comes_back() {
    let mut planet = Planet::new(5, 1);
    for (_, _, detector) in &mut planet.nodes {
        detector.observers(ms(0), &members(3), &BTreeSet::from([region(3), region(4)]));
    }
    planet.run(6_000, &[(1_000..6_000, Fault::Gone(1)), (1_000..6_000, Fault::Gone(2))]);
    for of in [3, 4] {
        assert_eq!(word(planet.nodes[0].2.verdict(region(of))), "good");
    }
}
