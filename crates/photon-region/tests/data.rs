//! Stories of datasets and their records in three regions, told step by step.
//! Faults are the simulator's; here it is shown what the machine does when all goes well.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod planet;
mod records;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use photon_region::data::{
    Change, DataCommand, DataRefusal, DataReply, DatasetSpec, Edit, Expect, FieldEdit, Kind, Mode,
    Outside, PlacementRule, Policy, ReadHow, ReadLevel, Write, WriteLevel,
};
use photon_region::{Command, Input, Message, Refusal};
use photon_state::{PlacementId, Seen, StreamId};
use planet::{Planet, eu_only, id};
use records::*;

#[test]
fn every_type_is_written_in_one_region_and_read_in_all() {
    let mut planet = Planet::new();
    let register = planet.declare("ap", dataset(Kind::Register));
    let counter = planet.declare("ap", dataset(Kind::Counter));
    let quota = planet.declare("ap", dataset(Kind::BoundedCounter));
    let map = planet.declare("ap", dataset(Kind::Map));
    planet.write("eu", &register, put("k", "hello")).unwrap();
    planet.write("eu", &counter, add(5)).unwrap();
    planet.write("us", &counter, add(-7)).unwrap();
    planet.write("us", &quota, add(10)).unwrap();
    planet.write("us", &quota, add(-3)).unwrap();
    planet.write("us", &map, edits(vec![set("a", "1"), set("b", "2")])).unwrap();
    let removal = FieldEdit::Remove(Bytes::from_static(b"a"));
    planet.write("ap", &map, edits(vec![removal, set("c", "3")])).unwrap();
    for region in ["ap", "eu", "us"] {
        assert_eq!(planet.read(region, &register, "k"), "=hello");
        assert_eq!(planet.read(region, &counter, "k"), "-2");
        assert_eq!(planet.read(region, &quota, "k"), "7");
        assert_eq!(planet.read(region, &map, "k"), "b=2 c=3");
        assert_eq!(planet.read(region, &map, "other"), "none");
    }
    let delete = Write { edit: Edit::Delete, ..put("k", "") };
    planet.write("us", &register, delete).unwrap();
    assert_eq!(planet.read("eu", &register, "k"), "none");
    let wrong = planet.write("eu", &counter, put("k", "x"));
    assert!(matches!(wrong, Err(Refusal::Data(DataRefusal::WrongKind { .. }))), "{wrong:?}");
}

#[test]
fn a_write_at_quorum_says_what_was_reached_when_time_is_over() {
    let mut planet = Planet::new();
    let register = planet.declare("ap", dataset(Kind::Register));
    let ticket = planet.ask_write_at("eu", &register, put("k", "1"), Some(WriteLevel::Strong));
    assert_eq!(planet.written(ticket).unwrap().durable_in, 3);
    planet.cut("us");
    let ticket = planet.ask_write_at("eu", &register, put("k", "2"), Some(WriteLevel::Quorum));
    assert_eq!(planet.written(ticket).unwrap().durable_in, 2);
    let ticket = planet.ask_write_at("eu", &register, put("k", "3"), Some(WriteLevel::Strong));
    assert!(!planet.replies.contains_key(&ticket));
    planet.pass(WAIT);
    let (level, durable_in, members) = (WriteLevel::Strong, 2, 3);
    let missed = DataRefusal::LevelNotReached { level, durable_in, members };
    assert_eq!(planet.written(ticket), Err(missed.into()));
    // It stays, and spreads; who still waits when a region comes back hears of it.
    let ticket = planet.ask_write_at("eu", &register, put("k", "4"), Some(WriteLevel::Strong));
    // A peer may still have a placement that was taken out of the configuration here.
    let placement = PlacementId::try_from("gone").unwrap();
    let stream = StreamId { origin: id("eu"), placement, incarnation: 1 };
    planet.input("eu", Input::Message(id("ap"), Message::Ack(stream, 1)));
    planet.link("us");
    assert_eq!(planet.written(ticket).unwrap().durable_in, 3);
    assert_eq!(planet.read("us", &register, "k"), "=4");
}

#[test]
fn a_session_reads_its_own_writes_in_every_region() {
    let mut planet = Planet::new();
    let register = planet.declare("ap", dataset(Kind::Register));
    planet.cut("us");
    let session = planet.write("eu", &register, put("k", "mine")).unwrap().session;
    let read = how(ReadLevel::Eventual, &session);
    assert_eq!(text(&planet.read_as("us", &register, "k", read).unwrap()), "none");
    let waits = planet.ask_read("us", &register, "k", how(ReadLevel::Session, &session));
    assert!(!planet.replies.contains_key(&waits));
    planet.link("us");
    assert_eq!(text(&planet.found(waits).unwrap()), "=mine");

    planet.cut("us");
    let session = planet.write("eu", &register, put("k", "late")).unwrap().session;
    let waits = planet.ask_read("us", &register, "k", how(ReadLevel::Session, &session));
    planet.pass(WAIT);
    let late = planet.found(waits);
    assert!(matches!(late, Err(Refusal::Data(DataRefusal::ReadNotReached { .. }))), "{late:?}");
}

#[test]
fn a_read_at_quorum_sees_what_a_majority_has() {
    let mut planet = Planet::new();
    let register = planet.declare("ap", dataset(Kind::Register));
    planet.cut("ap");
    let ticket = planet.ask_write_at("eu", &register, put("k", "new"), Some(WriteLevel::Quorum));
    planet.written(ticket).unwrap();
    let read = || how(ReadLevel::Quorum, &Seen::default());
    let alone = planet.read_as("ap", &register, "k", read());
    assert!(matches!(alone, Err(Refusal::Data(DataRefusal::ReadNotReached { .. }))), "{alone:?}");
    let found = planet.read_as("us", &register, "k", read()).unwrap();
    assert_eq!((text(&found).as_str(), found.asked), ("=new", 2));
}

#[test]
fn concurrent_writes_are_resolved_alike_everywhere_and_counted() {
    let check = |policy: Policy, expected: &str| {
        let mut planet = Planet::new();
        let of = planet.declare("ap", DatasetSpec { policy, ..dataset(Kind::Register) });
        planet.cut("us");
        planet.write("us", &of, put("k", "9")).unwrap();
        planet.pass(Duration::from_secs(1));
        planet.write("eu", &of, put("k", "10")).unwrap();
        planet.link("us");
        for region in ["ap", "eu", "us"] {
            assert_eq!(planet.read(region, &of, "k"), expected, "{policy:?}");
            let conflicts = planet.data(region, DataCommand::Conflicts(of.clone())).unwrap();
            let DataReply::Conflicts(conflicts) = conflicts else { panic!("{conflicts:?}") };
            assert_eq!((conflicts.count, conflicts.last.len()), (1, 1));
        }
        // Whoever has seen both ends the conflict.
        planet.write("ap", &of, put("k", "0")).unwrap();
        assert_eq!(planet.read("us", &of, "k"), "=0");
    };
    check(Policy::LastWriter, "=10");
    check(Policy::KeepAll, "=9,10");
    check(Policy::Highest, "=10");
    check(Policy::Lowest, "=9");
    check(Policy::Prefer(id("us")), "=9");
}

#[test]
fn a_quota_is_spent_without_asking_and_never_twice() {
    let mut planet = Planet::new();
    let quota = planet.declare("ap", dataset(Kind::BoundedCounter));
    planet.write("eu", &quota, add(10)).unwrap();
    // The rights are where they were granted: who has none turns there.
    let written = planet.write("us", &quota, add(-4)).unwrap();
    assert_eq!(written.region, id("eu"));
    planet.cut("eu");
    planet.write("eu", &quota, add(-3)).unwrap();
    let gone = planet.write("us", &quota, add(-3));
    assert!(matches!(gone, Err(Refusal::Data(DataRefusal::Overdrawn { .. }))), "{gone:?}");
    planet.link("eu");
    let overdrawn = DataRefusal::Overdrawn { asked: 4, value: 3 };
    assert_eq!(planet.write("eu", &quota, add(-4)), Err(overdrawn.into()));
    assert_eq!(planet.read("us", &quota, "k"), "3");
}

#[test]
fn only_one_of_two_conditional_writes_is_done() {
    let mut planet = Planet::new();
    let register = planet.declare("ap", dataset(Kind::Register));
    let absent = |value| Write { expect: Some(Expect::Absent), ..put("k", value) };
    let first = planet.write("us", &register, absent("us")).unwrap();
    let second = planet.write("eu", &register, absent("eu"));
    let found = Some(first.records[0].fingerprint);
    assert_eq!(second, Err(DataRefusal::Unexpected { found }.into()));
    let expect = Some(Expect::Fingerprint(found.into_iter().collect()));
    planet.write("ap", &register, Write { expect: expect.clone(), ..put("k", "ap") }).unwrap();
    let stale = planet.write("us", &register, Write { expect, ..put("k", "stale") });
    assert!(matches!(stale, Err(Refusal::Data(DataRefusal::Unexpected { .. }))), "{stale:?}");
    let linearizable = how(ReadLevel::Linearizable, &Seen::default());
    let found = planet.read_as("us", &register, "k", linearizable).unwrap();
    assert_eq!((text(&found).as_str(), found.region), ("=ap", first.region));
}

#[test]
fn a_record_stays_inside_its_placement_whoever_asks() {
    let mut planet = Planet::new();
    let rule = PlacementRule::Fixed(eu_only());
    let spec = DatasetSpec { rule, ..dataset(Kind::Register) };
    let open = planet.declare("us", spec.clone());
    let (closed, outside) = (name("closed"), Outside::Refuse);
    let closed = planet.declare("us", DatasetSpec { name: closed, outside, ..spec });
    planet.write("us", &open, put("k", "secret")).unwrap();
    assert_eq!(planet.read("ap", &open, "k"), "=secret");
    let refused = planet.write("us", &closed, put("k", "secret"));
    assert!(matches!(refused, Err(Refusal::OutsidePlacement { .. })), "{refused:?}");
    let refused = planet.read_as("ap", &closed, "k", ReadHow::default());
    assert!(matches!(refused, Err(Refusal::OutsidePlacement { .. })), "{refused:?}");
    for region in ["ap", "us"] {
        let held = planet.regions[region].store().contents();
        assert!(held.iter().all(|(record, _)| record.placement != eu_only()), "{region}");
    }
}

#[test]
fn a_tenant_decides_where_its_records_live() {
    let mut planet = Planet::new();
    let tenants = [("acme".into(), eu_only()), ("blue".into(), PlacementId::global())];
    let rule = PlacementRule::ByTenant { tenants: tenants.into(), others: None };
    let of = planet.declare("us", DatasetSpec { rule, ..dataset(Kind::Register) });
    planet.write("us", &of, put("acme/1", "here")).unwrap();
    planet.write("us", &of, put("blue/1", "everywhere")).unwrap();
    let nobody = planet.write("us", &of, put("zed/1", "?"));
    assert!(matches!(nobody, Err(Refusal::Data(DataRefusal::NoSuchTenant { .. }))), "{nobody:?}");
    let mut keys = |region| {
        let (dataset, prefix, limit) = (of.clone(), Bytes::new(), 10);
        let how = ReadHow::default();
        let scan = DataCommand::Scan { dataset, prefix, after: None, limit, how };
        match planet.data(region, scan) {
            Ok(DataReply::Page { records, more: false, .. }) => records.len(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((keys("eu"), keys("us")), (2, 1));
}

#[test]
fn a_content_ceases_to_be_when_its_time_is_over() {
    let mut planet = Planet::new();
    let of = planet.declare("ap", dataset(Kind::Register));
    let ttl = Some(Duration::from_secs(3));
    planet.write("eu", &of, Write { ttl, ..put("k", "brief") }).unwrap();
    planet.pass(Duration::from_secs(2));
    assert_eq!(planet.read("us", &of, "k"), "=brief");
    planet.pass(Duration::from_secs(3));
    for region in ["ap", "eu", "us"] {
        assert_eq!(planet.read(region, &of, "k"), "none");
        assert_eq!(planet.regions[region].store().value_bytes(), 0, "{region}");
    }
}

#[test]
fn nothing_that_is_written_outlasts_the_retention_of_its_dataset() {
    let mut planet = Planet::new();
    let [short, long] = [3, 6].map(Duration::from_secs);
    let spec = DatasetSpec { retention: Some(short), ..dataset(Kind::Register) };
    let of = planet.declare("ap", spec.clone());
    let refused = planet.write("eu", &of, Write { ttl: Some(long), ..put("k", "v") });
    assert!(matches!(refused, Err(Refusal::Data(DataRefusal::Senseless { field: "ttl", .. }))));
    planet.write("eu", &of, put("k", "v")).unwrap();
    planet.pass(Duration::from_secs(2));
    assert_eq!(planet.read("us", &of, "k"), "=v");
    planet.pass(Duration::from_secs(3));
    assert_eq!(planet.read("us", &of, "k"), "none");
    for (field, spec) in [
        ("ttl", DatasetSpec { ttl: Some(long), ..spec }),
        ("retention", DatasetSpec { retention: Some(short), ..dataset(Kind::Counter) }),
    ] {
        let refused = planet.data("ap", DataCommand::Declare(Arc::new(spec)));
        let expected = matches!(&refused,
            Err(Refusal::Data(DataRefusal::Senseless { field: it, .. })) if *it == field);
        assert!(expected, "{refused:?}");
    }
}

#[test]
fn a_master_moves_when_the_other_region_has_everything() {
    let mut planet = Planet::new();
    let mode = Mode::SingleMaster { master: id("ap"), elsewhere: Outside::Refuse };
    let of = planet.declare("us", DatasetSpec { mode, ..dataset(Kind::Register) });
    planet.write("ap", &of, put("k", "1")).unwrap();
    let refused = planet.write("us", &of, put("k", "2"));
    assert!(matches!(refused, Err(Refusal::Data(DataRefusal::NotMaster { .. }))), "{refused:?}");
    planet.cut("us");
    planet.write("ap", &of, put("k", "3")).unwrap();
    let wait = Duration::from_secs(4);
    let command = DataCommand::MoveMaster { dataset: of.clone(), to: id("us"), wait };
    let ticket = planet.ask("ap", Command::Data(command));
    let moving = planet.write("ap", &of, put("k", "4"));
    assert!(matches!(moving, Err(Refusal::Data(DataRefusal::MasterMoves { .. }))), "{moving:?}");
    planet.link("us");
    planet.pass(Duration::from_secs(2));
    planet.replies.remove(&ticket).unwrap().unwrap();
    planet.write("us", &of, put("k", "5")).unwrap();
    assert_eq!(planet.read("ap", &of, "k"), "=5");
    assert!(planet.write("ap", &of, put("k", "6")).is_err());
}

#[test]
fn a_watcher_hears_of_each_change_once_and_goes_on_in_another_region() {
    let mut planet = Planet::new();
    let of = planet.declare("ap", dataset(Kind::Register));
    let (none, start) = planet.watch("us", &of, None);
    assert!(none.is_empty());
    for n in 0..3 {
        planet.write(["ap", "eu", "us"][n], &of, put(&format!("k{n}"), "v")).unwrap();
    }
    let keys = |changes: &[Change]| -> Vec<String> {
        changes.iter().map(|it| String::from_utf8_lossy(&it.key).into_owned()).collect()
    };
    let (changes, _) = planet.watch("us", &of, Some(start));
    assert_eq!(keys(&changes), ["k0", "k1", "k2"]);
    let (rest, end) = planet.watch("eu", &of, Some(changes[1].position.clone()));
    assert_eq!(keys(&rest), ["k2"]);
    assert!(planet.watch("ap", &of, Some(end.clone())).0.is_empty());
    let (dataset, prefix, position) = (of.clone(), Bytes::new(), Some(end));
    let watch = DataCommand::Watch { dataset, prefix, spot: None, position, wait: WAIT };
    let waits = planet.ask("ap", Command::Data(watch));
    planet.write("us", &of, put("k3", "v")).unwrap();
    planet.pass(Duration::from_millis(500));
    match as_data(planet.replies.remove(&waits).expect("it was rung")) {
        Ok(DataReply::Changes { changes, .. }) => assert_eq!(keys(&changes), ["k3"]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_dataset_keeps_its_type_and_is_forgotten_only_when_empty() {
    let mut planet = Planet::new();
    let of = planet.declare("ap", dataset(Kind::Register));
    let again = DatasetSpec { name: of.clone(), ..dataset(Kind::Counter) };
    let refused = planet.data("us", DataCommand::Declare(Arc::new(again)));
    assert!(matches!(refused, Err(Refusal::Data(DataRefusal::DeclaredOtherwise { .. }))));
    planet.write("us", &of, put("k", "v")).unwrap();
    let drop = || DataCommand::Drop(of.clone());
    let refused = planet.data("eu", drop());
    assert_eq!(refused, Err(DataRefusal::NotEmpty(of.clone()).into()));
    planet.write("us", &of, Write { edit: Edit::Delete, ..put("k", "") }).unwrap();
    assert_eq!(planet.data("eu", drop()), Ok(DataReply::Dropped));
    let gone = planet.write("us", &of, put("k", "v"));
    assert_eq!(gone, Err(DataRefusal::NoSuchDataset(of.clone()).into()));
}

#[test]
fn regions_that_hold_the_same_have_the_same_digest() {
    let mut planet = Planet::new();
    let of = planet.declare("ap", dataset(Kind::Register));
    for n in 0..5 {
        planet.write("eu", &of, put(&format!("k{n}"), "v")).unwrap();
    }
    let digest =
        |planet: &mut Planet, region, after: Option<&'static str>, upto: Option<&'static str>| {
            let (after, upto) = (after.map(Bytes::from), upto.map(Bytes::from));
            let placement = PlacementId::global();
            let asked =
                DataCommand::Digest { dataset: of.clone(), placement, after, upto, limit: 3 };
            match planet.data(region, asked) {
                Ok(DataReply::Digest(digest)) => digest,
                other => panic!("{other:?}"),
            }
        };
    let first = digest(&mut planet, "ap", None, None);
    assert_eq!((first.records, first.cut_at.as_deref()), (3, Some(&b"k2"[..])));
    assert_eq!(digest(&mut planet, "us", None, Some("k2")).digest, first.digest);
    let rest = digest(&mut planet, "ap", Some("k2"), None);
    assert_eq!((rest.records, &rest.cut_at), (2, &None));
    planet.cut("us");
    planet.write("us", &name("register"), put("k4", "other")).unwrap();
    let changed = digest(&mut planet, "us", Some("k2"), None);
    assert_ne!((changed.digest, changed.seen), (rest.digest, rest.seen));
    planet.link("us");
    let again = digest(&mut planet, "ap", Some("k2"), None);
    assert_eq!(again, digest(&mut planet, "us", Some("k2"), None));
}

#[test]
fn a_stale_read_is_refused_when_a_region_is_silent() {
    let mut planet = Planet::new();
    let of = planet.declare("ap", dataset(Kind::Register));
    planet.pass(Duration::from_secs(2));
    let fresh = ReadHow {
        staleness_max: Some(Duration::from_millis(1_500)),
        ..how(ReadLevel::Eventual, &Seen::default())
    };
    planet.read_as("us", &of, "k", fresh.clone()).unwrap();
    planet.cut("eu");
    planet.pass(Duration::from_secs(3));
    let ticket = planet.ask_read("us", &of, "k", fresh);
    planet.pass(WAIT);
    let stale = planet.found(ticket);
    assert!(matches!(stale, Err(Refusal::Data(DataRefusal::ReadNotReached { .. }))), "{stale:?}");
}

#[test]
fn what_is_too_long_for_a_key_is_refused_wherever_it_stands() {
    let mut planet = Planet::new();
    let of = planet.declare("ap", dataset(Kind::Register));
    let long = Bytes::from(vec![b'a'; 600]);
    let (how, limit) = (ReadHow::default(), 10);
    let scan = |prefix: &Bytes, after: Option<&Bytes>| DataCommand::Scan {
        dataset: of.clone(),
        prefix: prefix.clone(),
        after: after.cloned(),
        limit,
        how: how.clone(),
    };
    let (dataset, position, wait) = (of.clone(), None, WAIT);
    let commands = [
        scan(&long, None),
        scan(&Bytes::new(), Some(&long)),
        DataCommand::Watch { dataset, prefix: long.clone(), spot: None, position, wait },
        DataCommand::Read { dataset: of.clone(), key: long.clone(), how: how.clone() },
    ];
    for command in commands {
        let refused = planet.data("eu", command);
        assert!(matches!(refused, Err(Refusal::TooLarge { .. })), "{refused:?}");
    }
}

#[test]
fn a_move_of_a_master_that_nobody_waits_for_ends_by_itself() {
    let mut planet = Planet::new();
    let mode = Mode::SingleMaster { master: id("ap"), elsewhere: Outside::Refuse };
    let of = planet.declare("us", DatasetSpec { mode, ..dataset(Kind::Register) });
    planet.cut("us");
    planet.write("ap", &of, put("k", "1")).unwrap();
    let command = DataCommand::MoveMaster { dataset: of.clone(), to: id("us"), wait: WAIT };
    let ticket = planet.ask("ap", Command::Data(command));
    planet.input("ap", photon_region::Input::Abandon(ticket));
    assert!(planet.write("ap", &of, put("k", "2")).is_err());
    planet.pass(WAIT);
    planet.write("ap", &of, put("k", "3")).unwrap();
    // Nor can a region that has not heard of a move undo it.
    let spec = DatasetSpec { mode, read_level: ReadLevel::Causal, ..dataset(Kind::Register) };
    let elsewhere = planet.data("eu", DataCommand::Declare(Arc::new(spec)));
    assert!(matches!(elsewhere, Err(Refusal::Data(DataRefusal::NotMaster { .. }))));
}

#[test]
fn a_write_cannot_depend_on_what_nobody_has_seen() {
    let mut planet = Planet::new();
    let rule = PlacementRule::Fixed(eu_only());
    let of = planet.declare("eu", DatasetSpec { rule, ..dataset(Kind::Register) });
    let stream = photon_state::StreamId {
        origin: id("us"),
        placement: PlacementId::global(),
        incarnation: 77,
    };
    let session: Seen = [(stream, 1_000)].into_iter().collect();
    let (dataset, writes, level, wait) = (of.clone(), vec![put("k", "v")], None, WAIT);
    let write = DataCommand::Write { dataset, writes, level, session, wait };
    let ticket = planet.ask("eu", Command::Data(write));
    planet.pass(WAIT);
    let refused = planet.written(ticket);
    let is_late = matches!(refused, Err(Refusal::Data(DataRefusal::ReadNotReached { .. })));
    assert!(is_late, "{refused:?}");
    let read = how(ReadLevel::Causal, &Seen::default());
    assert_eq!(text(&planet.read_as("eu", &of, "k", read).unwrap()), "none");
}
