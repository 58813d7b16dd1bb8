//! Damage, and how regions find and mend it: a region that counts ops as seen without their effect,
//! as if a disk, a bug or an unknown form of an op had taken it away.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod planet;
mod records;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use photon_region::data::{
    DatasetName, DatasetSpec, Edit, FieldEdit, Kind, Policy, ReadLevel, Write,
};
use photon_state::crdt::{Shape, Value, Version};
use photon_state::{Change, Content, Dataset, Op, PlacementId, Seen};
use planet::{NAMES, Planet};
use proptest::prelude::*;
use records::*;

/// Takes the effect of some ops away: what is left means nothing, and counts as seen.
fn without(is_lost: impl Fn(&Op) -> bool) -> impl Fn(&Arc<Op>) -> Arc<Op> {
    move |op| {
        let is_record = matches!(op.change, Change::Update(_));
        let change = if is_record && is_lost(op) { Change::Delete } else { op.change.clone() };
        Arc::new(Op { change, ..(**op).clone() })
    }
}

/// Long enough that every two regions have compared what they hold, and mended it.
fn a_while(planet: &mut Planet) {
    planet.pass(Duration::from_secs(200));
}

fn roots(planet: &Planet) -> Vec<Vec<u64>> {
    let shelf = |shape| (PlacementId::global(), Dataset(5), shape);
    let root = |name: &&str, shape| {
        planet.regions[name].store().tally(&shelf(shape)).map_or(0, photon_state::Tally::root)
    };
    let shapes = [Shape::Fields, Shape::Counter, Shape::Escrow];
    NAMES.iter().map(|name| shapes.iter().map(|shape| root(name, *shape)).collect()).collect()
}

fn contents(planet: &Planet) -> Vec<String> {
    let words = |name: &&str| format!("{:?}", planet.regions[name].store().contents());
    NAMES.iter().map(words).collect()
}

fn assert_alike(planet: &Planet) {
    let all = contents(planet);
    assert!(all.iter().all(|it| *it == all[0]), "{all:#?}");
    let all = roots(planet);
    assert!(all.iter().all(|it| *it == all[0]), "{all:?}");
}

/// The writes that are in force in a region: record, field, time and content.
fn versions(planet: &Planet, name: &str) -> BTreeSet<String> {
    let contents = planet.regions[name].store().contents();
    let all = contents.iter().flat_map(|(record, content)| {
        let fields = match content {
            Content::Value(value) => match &**value {
                Value::Fields(fields) => fields.versions().cloned().collect(),
                Value::Counter(_) | Value::Escrow(_) => Vec::new(),
            },
            Content::Register(_) | Content::Log(_) => Vec::new(),
        };
        let word = |(field, it): (Bytes, Version)| {
            format!("{:?} {field:?} {:?} {:?}", record.key, it.at, it.written)
        };
        fields.into_iter().map(word).collect::<Vec<_>>()
    });
    all.collect()
}

fn mended(planet: &Planet) -> u64 {
    NAMES.iter().map(|name| planet.regions[name].view().counters.mended).sum()
}

fn key(write: Write, key: &str) -> Write {
    Write { key: Bytes::from(key.to_owned()), ..write }
}

fn declare_all(planet: &mut Planet) -> [DatasetName; 4] {
    [Kind::Register, Kind::Set, Kind::Counter, Kind::BoundedCounter]
        .map(|kind| planet.declare("ap", dataset(kind)))
}

#[test]
fn what_one_region_has_lost_comes_back_as_it_was_written() {
    let mut planet = Planet::new();
    let [register, ..] = declare_all(&mut planet);
    for n in 0..50 {
        planet.write("eu", &register, put(&format!("k{n}"), "old")).unwrap();
    }
    planet.write("us", &register, put("k7", "new")).unwrap();
    // The region misses a first write, a second one, and both of a third record.
    planet.restart(
        "ap",
        without(|op| [8, 22].contains(&op.seq) && op.stream.origin != planet::id("ap")),
    );
    planet.restart("ap", without(|op| op.seq == 23 && op.stream.origin == planet::id("eu")));
    assert_eq!(planet.read("ap", &register, "k22"), "none");
    a_while(&mut planet);
    assert_alike(&planet);
    assert_eq!(planet.read("ap", &register, "k22"), "=old");
    assert_eq!(planet.read("ap", &register, "k7"), "=new");
    assert!(0 < mended(&planet));
    let before = mended(&planet);
    a_while(&mut planet);
    assert_eq!(mended(&planet), before, "what is mended stays so");
}

#[test]
fn a_removal_that_was_lost_is_not_made_again() {
    let mut planet = Planet::new();
    let [register, set_of, ..] = declare_all(&mut planet);
    planet.write("eu", &register, put("k", "first")).unwrap();
    planet.write("eu", &register, put("k", "second")).unwrap();
    planet.write("eu", &set_of, edits(vec![set("kept", "")])).unwrap();
    planet.write("eu", &set_of, edits(vec![set("gone", "")])).unwrap();
    let removal = FieldEdit::Remove(Bytes::from_static(b"gone"));
    planet.write("eu", &set_of, edits(vec![removal])).unwrap();
    let last = planet.regions["eu"].store().seen().iter().map(|(_, seq)| seq).max().unwrap();
    planet.restart("us", without(|op| op.stream.origin == planet::id("eu") && op.seq == last));
    assert_eq!(planet.read("us", &set_of, "k"), "gone= kept=");
    a_while(&mut planet);
    assert_alike(&planet);
    // Nothing tells a lost removal from a lost write: nothing is lost rather.
    assert_eq!(planet.read("eu", &set_of, "k"), "gone= kept=");
    assert_eq!(planet.read("us", &register, "k"), "=second");
}

/// Two concurrent writes under a policy, of which one region loses the earlier.
fn lost_beside_a_later_one(policy: Policy) -> Planet {
    let mut planet = Planet::new();
    let register = planet.declare("ap", DatasetSpec { policy, ..dataset(Kind::Register) });
    planet.cut("us");
    planet.write("eu", &register, put("k", "10")).unwrap();
    planet.pass(Duration::from_secs(1));
    planet.write("us", &register, put("k", "9")).unwrap();
    planet.link("us");
    planet.restart("ap", without(|op| op.stream.origin == planet::id("eu")));
    a_while(&mut planet);
    assert_alike(&planet);
    assert!(0 < mended(&planet));
    planet
}

#[test]
fn a_write_beside_a_later_one_comes_back_and_is_shown_as_the_policy_says() {
    let shown = |policy| {
        let mut planet = lost_beside_a_later_one(policy);
        NAMES.map(|name| planet.read(name, &records::name("register"), "k"))
    };
    assert_eq!(shown(Policy::KeepAll), ["=10,9"; 3]);
    assert_eq!(shown(Policy::Highest), ["=10"; 3]);
    assert_eq!(shown(Policy::Lowest), ["=9"; 3]);
    assert_eq!(shown(Policy::LastWriter), ["=9"; 3]);
    assert_eq!(shown(Policy::Prefer(planet::id("eu"))), ["=10"; 3]);
    assert_eq!(shown(Policy::Prefer(planet::id("us"))), ["=9"; 3]);
}

#[test]
fn a_write_that_comes_back_depends_on_what_it_was_made_after() {
    let mut planet = Planet::new();
    let [register, set_of, ..] = declare_all(&mut planet);
    let mut made_after = planet.write("eu", &register, put("k", "cause")).unwrap().session;
    made_after.join(&planet.write("us", &set_of, edits(vec![set("x", "")])).unwrap().session);
    planet.restart("ap", without(|op| op.stream.origin == planet::id("us")));
    a_while(&mut planet);
    assert_alike(&planet);
    assert_eq!(planet.read("ap", &set_of, "k"), "x=");
    let update = |op: &Arc<Op>| {
        let Change::Update(update) = &op.change else { return None };
        Some((op.stream, update.needs.clone()))
    };
    let (stream, mut needs) = planet.logs["ap"].iter().rev().find_map(update).unwrap();
    needs.raise(stream, u64::MAX); // The order of its own stream is kept as it is.
    assert!(needs.covers(&made_after), "{needs:?}");
}

#[test]
fn sums_are_mended_by_those_who_made_them() {
    let mut planet = Planet::new();
    let [_, _, counter, quota] = declare_all(&mut planet);
    for by in [5, 7, 11] {
        planet.write("eu", &counter, add(by)).unwrap();
        planet.write("us", &counter, add(by)).unwrap();
        planet.write("eu", &quota, add(by)).unwrap();
    }
    planet.write("eu", &quota, add(-3)).unwrap();
    // Ops in the middle and at the end of what `eu` wrote.
    planet.restart("ap", without(|op| op.stream.origin == planet::id("eu") && op.seq % 3 != 0));
    planet.restart("us", without(|op| op.stream.origin == planet::id("eu") && op.seq % 3 != 1));
    assert_ne!(planet.read("ap", &counter, "k"), "46");
    a_while(&mut planet);
    assert_alike(&planet);
    assert_eq!(planet.read("ap", &counter, "k"), "46");
    assert_eq!(planet.read("us", &quota, "k"), "20");
    // What was mended is in the log.
    planet.restart("ap", Arc::clone);
    assert_eq!(planet.read("ap", &counter, "k"), "46");
    assert_alike(&planet);
}

#[test]
fn a_sum_in_steady_use_is_mended_and_shows_nothing_before_it_is_seen() {
    let mut planet = Planet::new();
    let [_, _, counter, _] = declare_all(&mut planet);
    planet.write("eu", &counter, add(5)).unwrap();
    planet.write("eu", &counter, add(7)).unwrap();
    planet.restart("ap", without(|op| op.stream.origin == planet::id("eu") && op.seq == 1));
    // Whenever they compare, something of `eu` is on its way to the others.
    planet.drop_ops = |op| op.stream.origin == planet::id("eu");
    planet.write("eu", &counter, add(11)).unwrap();
    planet.pass(Duration::from_secs(100));
    assert_eq!(planet.read("ap", &counter, "k"), "7", "what is not seen is not shown");
    assert_eq!(mended(&planet), 0);
    planet.drop_ops = |_| false;
    planet.pass(Duration::from_secs(9)); // What did not arrive is sent again by then.
    assert_eq!(planet.read("ap", &counter, "k"), "23");
    assert_eq!(mended(&planet), 1);
    a_while(&mut planet);
    assert_alike(&planet);
    assert_eq!(mended(&planet), 1);
    planet.restart("ap", Arc::clone);
    assert_eq!(planet.read("ap", &counter, "k"), "23");
}

#[test]
fn a_read_at_quorum_shows_and_mends_what_one_region_has_lost() {
    for reader in NAMES {
        let mut planet = Planet::new();
        let [register, _, counter, _] = declare_all(&mut planet);
        planet.write("eu", &register, put("k", "v")).unwrap();
        planet.write("eu", &counter, add(5)).unwrap();
        planet.restart("us", without(|op| op.stream.origin == planet::id("eu")));
        assert_eq!(planet.read("us", &register, "k"), "none");
        let read = || how(ReadLevel::Quorum, &Seen::default());
        assert_eq!(text(&planet.read_as(reader, &register, "k", read()).unwrap()), "=v");
        assert_eq!(text(&planet.read_as(reader, &counter, "k", read()).unwrap()), "5");
        let found = planet.regions[reader].view().counters.mismatched;
        assert!(found != 0 || reader != "us", "whoever asks must see it");
        if found != 0 {
            assert_eq!(planet.read("us", &register, "k"), "=v", "read in {reader}");
        }
    }
}

/// Takes the ops of a region as of a later version: they count as seen, and cannot be read.
fn unread(origin: &'static str) -> impl Fn(&Arc<Op>) -> Arc<Op> {
    move |op| {
        let is_meant = op.stream.origin == planet::id(origin);
        let change = if is_meant && matches!(op.change, Change::Update(_)) {
            Change::Unknown { tag: 77, body: Bytes::new() }
        } else {
            op.change.clone()
        };
        Arc::new(Op { change, ..(**op).clone() })
    }
}

#[test]
fn a_region_that_could_not_read_all_has_no_vote_at_quorum() {
    let read = || how(ReadLevel::Quorum, &Seen::default());
    let mut planet = Planet::new();
    let [register, ..] = declare_all(&mut planet);
    planet.write("eu", &register, put("k", "v")).unwrap();
    planet.restart("us", unread("eu"));
    // It takes no part in what it asks for itself, and is not asked by others.
    let found = planet.read_as("us", &register, "k", read()).unwrap();
    assert_eq!((text(&found).as_str(), found.asked), ("=v", 2));
    let found = planet.read_as("ap", &register, "k", read()).unwrap();
    assert_eq!((text(&found).as_str(), found.asked), ("=v", 2));
    planet.cut("eu");
    for region in ["ap", "us"] {
        let ticket = planet.ask_read(region, &register, "k", read());
        planet.pass(WAIT);
        assert!(planet.found(ticket).is_err(), "{region} and half a majority");
    }
    assert_eq!(mended(&planet), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn whatever_is_lost_all_regions_are_alike_again(
        writes in prop::collection::vec((0..3_usize, 0..4_usize, 0..6_u8, 0..8_u8), 1..80),
        losses in prop::collection::vec((0..3_usize, 0..90_u64), 1..12),
    ) {
        let mut planet = Planet::new();
        let all = declare_all(&mut planet);
        for (region, of, at, what) in writes {
            let write = match of {
                0 if what == 0 => Write { edit: Edit::Delete, ..put("k", "") },
                0 => put("k", &what.to_string()),
                1 if what < 3 => edits(vec![FieldEdit::Remove(Bytes::from_static(b"x"))]),
                1 => edits(vec![set("x", "")]),
                2 => add(i64::from(what) - 3),
                _ => add(if what < 4 { -1 } else { 3 }),
            };
            let write = key(write, &format!("k{at}"));
            // A quota may refuse.
            let _ = planet.write(NAMES[region], &all[of], write);
        }
        for name in NAMES {
            let is_lost = |op: &Op| losses.iter().any(|(region, seq)| {
                NAMES[*region] == name && op.seq == *seq && op.stream.origin != planet::id(name)
            });
            planet.restart(name, without(is_lost));
        }
        a_while(&mut planet);
        assert_alike(&planet);
    }

    #[test]
    fn one_op_that_one_region_loses_takes_nothing_from_the_others(
        writes in prop::collection::vec(
            (0..3_usize, 0..2_usize, 0..2_u8, 0..8_u8, any::<bool>()),
            1..40,
        ),
        (region, seq) in (0..3_usize, 1..10_u64),
    ) {
        let mut planet = Planet::new();
        let all = declare_all(&mut planet);
        for (region, of, at, what, turns) in writes {
            match planet.cut.first().copied() {
                Some(name) if turns => planet.link(name),
                None if turns => planet.cut(NAMES[region]),
                Some(_) | None => {}
            }
            let write = match of {
                0 if what == 0 => Write { edit: Edit::Delete, ..put("k", "") },
                0 => put("k", &what.to_string()),
                _ if what < 3 => edits(vec![FieldEdit::Remove(Bytes::from_static(b"x"))]),
                _ => edits(vec![set("x", ""), set("y", "")]),
            };
            planet.write(NAMES[region], &all[of], key(write, &format!("k{at}"))).unwrap();
            planet.pass(Duration::from_secs(1));
        }
        NAMES.into_iter().for_each(|name| planet.link(name));
        let [damaged, healthy, ..] = [NAMES[region], NAMES[(region + 1) % 3]];
        let before = versions(&planet, healthy);
        let of = planet::id(NAMES[(region + 2) % 3]);
        planet.restart(damaged, without(|op| op.seq == seq && op.stream.origin == of));
        a_while(&mut planet);
        assert_alike(&planet);
        let after = versions(&planet, healthy);
        prop_assert!(before.is_subset(&after), "{before:?} {after:?}");
    }

    #[test]
    fn where_nothing_is_lost_nothing_is_mended(
        writes in prop::collection::vec((0..3_usize, 0..6_u8, 0..8_u8, any::<bool>()), 1..60),
    ) {
        let mut planet = Planet::new();
        let [register, ..] = declare_all(&mut planet);
        for (region, at, what, cuts) in writes {
            if cuts {
                planet.cut(NAMES[region]);
            }
            let write = put(&format!("k{at}"), &what.to_string());
            planet.write(NAMES[region], &register, write).unwrap();
            planet.pass(Duration::from_secs(2));
            if cuts {
                planet.link(NAMES[region]);
            }
        }
        a_while(&mut planet);
        assert_alike(&planet);
        prop_assert_eq!(mended(&planet), 0);
    }
}
