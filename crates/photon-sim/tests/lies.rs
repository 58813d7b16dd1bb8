//! Disks that lie about what is durable: what one region said alone may be lost, and no more, as
//! long as the region notices it. Must not know how it does.

use std::time::Duration;

use photon_sim::{
    Besides, Failure, Harm, Paths, Planned, Profile, Promise, Report, Scheduled, Way, run,
};
use photon_state::RegionId;

fn region(name: &str) -> RegionId {
    RegionId::try_from(name).expect("a name of a region")
}

fn fault(at_ms: u64, lasts_ms: u64, harm: Harm) -> Scheduled {
    let [at, lasts] = [at_ms, lasts_ms].map(Duration::from_millis);
    Scheduled { at, lasts, harm }
}

/// The disk of a region lies from the third second on, and its power fails after a while, for a
/// while.
fn lie((after_ms, down_ms): (u64, u64)) -> Vec<Scheduled> {
    let lie = fault(3_000, 6_000, Harm::LyingDisk(region("dub")));
    vec![lie, fault(3_000 + after_ms, down_ms, Harm::KillRegion(region("dub")))]
}

fn attempt(seed: u64, faults: Vec<Scheduled>) -> Result<Report, Failure> {
    let regions = ["iad", "dub", "sin", "syd", "gru"].map(region).into();
    let planned = Planned::new(faults, regions, Besides::Nothing);
    run(seed, &Profile::of(planned.expect("the faults fit together")))
}

fn check(after_ms: u64) -> Vec<Report> {
    let report =
        |seed| attempt(seed, lie((after_ms, 2_000))).unwrap_or_else(|failure| panic!("{failure}"));
    (0..25).map(report).collect()
}

fn sum(reports: &[Report], count: fn(&Report) -> u64) -> u64 {
    reports.iter().map(count).sum()
}

#[test]
fn a_region_whose_disk_lied_stops_and_begins_anew_once_a_peer_has_more() {
    for after_ms in [2_000, 5_000] {
        let reports = check(after_ms);
        let [untrue, halts] = [sum(&reports, |it| it.untrue), sum(&reports, |it| it.halts)];
        assert!(0 < untrue && 0 < halts, "{untrue} ops, {halts} halts");
        assert!(reports.iter().all(|it| it.halts <= 1), "the new disk is as honest as its log");
    }
}

#[test]
fn a_disk_that_lied_and_has_power_until_the_next_sync_loses_nothing() {
    // In the second and a half of honest power every region writes something, and syncs it.
    let reports = check(7_500);
    assert_eq!(sum(&reports, |it| it.untrue + it.halts), 0);
}

/// What is wrong: a region that sends as much as it lost before it hears from somebody who has that
/// gives its numbers a second time, unnoticed. Peers take what it says then for what they have
/// seen, and count it as theirs.
#[test]
fn a_region_that_speaks_before_it_has_heard_what_it_lost_gives_numbers_twice() {
    let between = |all: &[(&str, &str)]| {
        let pairs = all.iter().map(|(a, b)| (region(a), region(b)));
        Harm::Partition(Paths::Between(pairs.collect()), Way::Both)
    };
    let to = |one| [(one, "iad"), (one, "sin"), (one, "gru")];
    let cut_off = || {
        let mut faults = lie((2_000, 1_000));
        faults.push(fault(2_900, 7_000, between(&to("syd"))));
        faults.push(fault(2_900, 2_500, between(&[("dub", "syd")])));
        faults.push(fault(5_000, 5_000, between(&to("dub"))));
        faults
    };
    // Each from a seed by which it does not take long: the second is rare.
    for (faults, from) in [(cut_off(), 0), (lie((50, 1_000)), 1_095)] {
        let seeds = (from..2_000).chain(0..from);
        let mut failed = seeds.filter_map(|seed| attempt(seed, faults.clone()).err());
        assert!(failed.any(|it| it.promise == Promise::SameOps), "it is mended");
    }
}
