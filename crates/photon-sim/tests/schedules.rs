//! Schedules in the simulator: each fault does what it does in a drill, and a run can be repeated.
//! Must not know how a file writes a schedule down.

use std::collections::BTreeSet;
use std::time::Duration;

use photon_sim::{Besides, Harm, Paths, Planned, Profile, Report, Scheduled, Way, run, run_traced};
use photon_state::RegionId;

fn region(name: &str) -> RegionId {
    RegionId::try_from(name).expect("a name of a region")
}

fn fault(at: u64, lasts: u64, harm: Harm) -> Scheduled {
    Scheduled { at: Duration::from_secs(at), lasts: Duration::from_secs(lasts), harm }
}

fn planned(faults: Vec<Scheduled>, besides: Besides) -> Profile {
    let regions = ["iad", "dub", "sin", "syd"].map(region).into();
    Profile::of(Planned::new(faults, regions, besides).expect("the faults fit together"))
}

/// Runs some seeds, all of which keep their promises; returns what they amounted to.
fn check(faults: Vec<Scheduled>) -> Vec<Report> {
    let profile = planned(faults, Besides::Nothing);
    let report = |seed| run(seed, &profile).unwrap_or_else(|failure| panic!("{failure}"));
    (0..8).map(report).collect()
}

fn sum(reports: &[Report], count: fn(&Report) -> u64) -> u64 {
    reports.iter().map(count).sum()
}

/// Returns the lines of the trace of a seed that have all of some words.
fn lines(faults: Vec<Scheduled>, words: &[&str]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut keep = |line: &str| {
        if words.iter().all(|it| line.contains(it)) {
            lines.push(line.to_owned());
        }
    };
    let done = run_traced(1, &planned(faults, Besides::Nothing), &mut keep);
    assert!(done.is_ok(), "{done:?}");
    lines
}

fn seconds(line: &str) -> f64 {
    let first = line.split_whitespace().next().and_then(|it| it.parse().ok());
    first.expect("a line begins with its time")
}

#[test]
fn a_schedule_is_all_that_goes_wrong() {
    let jump = || vec![fault(2, 1, Harm::ClockJump(region("sin"), 500))];
    let calm = check(jump());
    assert_eq!(sum(&calm, |it| it.crashes + it.stalls), 0);
    assert!(calm.iter().all(|it| it.regions == 4));
    let profile = planned(jump(), Besides::Faults);
    let wild: Vec<_> = (0..8).map(|seed| run(seed, &profile).unwrap()).collect();
    assert!(0 < sum(&wild, |it| it.crashes));
}

#[test]
fn a_region_that_is_killed_is_away_for_as_long_as_is_said() {
    let kill = || vec![fault(3, 6, Harm::KillRegion(region("dub")))];
    let reports = check(kill());
    assert_eq!(sum(&reports, |it| it.crashes), 8);
    assert!(0 < sum(&reports, |it| it.noticed));
    let starts = lines(kill(), &["dub#", " starts with "]);
    assert_eq!(starts.iter().map(|it| seconds(it) >= 9.0).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn homes_move_in_time_though_it_is_the_leader_that_is_lost() {
    let names =
        ["us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-1"].map(region);
    for harm in [Harm::KillRegion, Harm::StallRegion] {
        // Who leads comes first by its name, of those that live.
        let faults = [(5, "ap-southeast-1"), (14, "eu-central-1")];
        let faults = faults.map(|(at, name)| fault(at, 5, harm(region(name))));
        let planned = Planned::new(faults.into(), names.into(), Besides::Nothing);
        let mut profile = Profile::of(planned.expect("the faults fit together"));
        profile.tasks = 200..=300;
        let (mut leaders, mut late) = (0, 0);
        for seed in 0..50 {
            let report = run(seed, &profile).unwrap_or_else(|failure| panic!("{failure}"));
            assert_eq!((report.outages_ended, report.outages_outlasted), (2, 0), "{report:?}");
            assert!(report.outage_max <= Duration::from_millis(3_500), "{report:?}");
            late += u32::from(Duration::from_millis(3_000) < report.outage_max);
            leaders += report.leaders_away;
        }
        assert!(60 < leaders, "{leaders} of 100 that were lost did lead");
        assert!(late <= 1, "{late} of 100 took longer than the 99th percentile shall");
    }
}

#[test]
fn a_leader_is_replaced_though_votes_are_slow() {
    let names = ["dub", "iad", "sin", "syd"].map(region);
    let pairs = names.iter().enumerate().flat_map(|(index, a)| {
        let others = names.iter().skip(index + 1);
        others.map(|b| (*a, *b))
    });
    let slow =
        Harm::SlowLink(Paths::Between(pairs.collect()), Way::Both, Duration::from_millis(150));
    let reports = check(vec![fault(4, 30, slow), fault(8, 22, Harm::KillRegion(names[0]))]);
    assert!(4 < sum(&reports, |it| it.leaders_away), "most that are lost do lead");
    for report in reports {
        assert_eq!((report.outages_ended, report.outages_outlasted), (1, 0), "{report:?}");
        assert!(report.outage_max <= Duration::from_secs(10), "{report:?}");
    }
}

#[test]
fn a_region_that_stands_still_does_nothing() {
    let stall = || vec![fault(3, 12, Harm::StallRegion(region("dub")))];
    assert_eq!(sum(&check(stall()), |it| it.stalls), 8);
    let mut said = lines(stall(), &["  dub -> "]);
    said.extend(lines(stall(), &[" dub <- "]));
    let is_still = |it: &&String| (3.001..15.0).contains(&seconds(it));
    assert!(said.iter().any(|it| 15.0 <= seconds(it)), "it goes on");
    assert_eq!(said.iter().find(is_still), None);
}

#[test]
fn a_cut_holds_back_what_is_sent_until_it_is_mended() {
    let pair = Paths::Between(vec![(region("dub"), region("sin"))]);
    let cut = |way| vec![fault(3, 5, Harm::Partition(pair.clone(), way))];
    let during = |faults: Vec<Scheduled>, words: &[&str]| {
        let all = lines(faults, words);
        all.iter().filter(|it| (3.001..8.0).contains(&seconds(it))).count()
    };
    for way in [Way::OneWay, Way::Both] {
        check(cut(way));
        assert_eq!(during(cut(way), &[" sin <- dub: "]), 0);
        let back = during(cut(way), &[" dub <- sin: "]);
        assert_eq!(back == 0, way == Way::Both, "{back} messages came the other way");
    }
    // What waited comes at once, and the link did not end.
    let held = lines(cut(Way::Both), &["   8.000000 sin <- dub: "]);
    assert!(20 < held.len(), "{}", held.len());
    assert_eq!(lines(cut(Way::Both), &["Unlinked"]).len(), 0);
    // Who hears nothing for ten seconds gives a link up.
    let long = vec![fault(3, 15, Harm::Partition(Paths::Of(region("dub")), Way::Both))];
    assert!(lines(long.clone(), &["Unlinked"]).iter().all(|it| 13.0 <= seconds(it)));
    assert_eq!(lines(long.clone(), &["Unlinked"]).len(), 6);
    check(long);
}

#[test]
fn slow_links_take_so_much_longer_together() {
    let slow = |by| Harm::SlowLink(Paths::Of(region("dub")), Way::Both, Duration::from_millis(by));
    let faults = || vec![fault(3, 6, slow(400)), fault(4, 3, slow(300))];
    check(faults());
    // Nothing is lost and nothing overtakes: they arrive in the order in which they were sent.
    let sent = lines(faults(), &[" dub -> sin: ping"]);
    let came = lines(faults(), &[" sin <- dub: ping"]);
    let trips = sent.iter().zip(&came).map(|(a, b)| (seconds(a), seconds(b) - seconds(a)));
    let trips: Vec<(f64, f64)> = trips.collect();
    let usual = trips[0].1;
    let extra = |from: f64, to: f64| {
        let all = trips.iter().filter(|(at, _)| (from..to).contains(at));
        let all: Vec<i32> = all.map(|(_, it)| ((it - usual) * 1_000.0).round() as i32).collect();
        assert!(!all.is_empty() && all.iter().all(|it| *it == all[0]), "{all:?}");
        all[0]
    };
    assert_eq!([extra(3.0, 4.0), extra(4.0, 7.0), extra(7.5, 9.0)], [400, 700, 400]);
    assert_eq!(extra(9.5, 12.0), 0);
}

#[test]
fn a_clock_jumps_and_comes_back_and_a_disk_is_full_and_has_room_again() {
    let jump = Harm::ClockJump(region("sin"), 4_000);
    let full = Harm::DiskFull(region("dub"));
    // A region that dies meanwhile finds its disk still full.
    let kill = Harm::KillRegion(region("dub"));
    let faults =
        || vec![fault(3, 4, jump.clone()), fault(3, 8, full.clone()), fault(5, 2, kill.clone())];
    check(faults());
    let told = lines(faults(), &["dub <- Disk("]);
    let told: Vec<_> = told.iter().map(|it| (seconds(it), it.contains("Full"))).collect();
    assert_eq!(told, [(3.0, true), (7.0, true), (11.0, false)]);
}

#[test]
fn the_same_seed_and_schedule_give_the_same_run() {
    let faults = || {
        vec![
            fault(2, 3, Harm::KillRegion(region("dub"))),
            fault(4, 3, Harm::Partition(Paths::Of(region("sin")), Way::OneWay)),
        ]
    };
    for besides in [Besides::Nothing, Besides::Faults] {
        let report = |seed| run(seed, &planned(faults(), besides)).unwrap();
        assert_eq!(report(5), report(5));
        assert_ne!(report(5).digest, report(6).digest);
        let later = vec![fault(3, 3, Harm::KillRegion(region("dub")))];
        assert_ne!(report(5).digest, run(5, &planned(later, besides)).unwrap().digest);
    }
}

#[test]
fn a_planet_has_the_regions_that_are_named_and_three_at_least() {
    let kill = || vec![fault(1, 1, Harm::KillRegion(region("dub")))];
    let profile = Profile::of(Planned::new(kill(), BTreeSet::new(), Besides::Nothing).unwrap());
    assert_eq!(run(1, &profile).unwrap().regions, 3);
    let error = |names: &[&str]| {
        let names = names.iter().map(|it| region(it)).collect();
        Planned::new(kill(), names, Besides::Nothing).unwrap_err().to_string()
    };
    assert_eq!(error(&["a", "b"]), "fault 1: the planet has no region `dub`; it has: a, b");
    let many: Vec<String> = (0..30).map(|it| format!("r{it}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(error(&many).contains("20 regions at most, and there are 30"));
}
