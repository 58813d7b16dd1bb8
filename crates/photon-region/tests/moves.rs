//! What may go wrong while a record moves: peers that ask for nonsense, logs that are lost.
//! Faults at random are the simulator's; here each is told step by step.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod planet;
mod records;

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use photon_region::data::{
    Adopt, DataCommand, DataReply, DatasetName, DatasetSpec, Expect, FieldEdit, Kind, MoveId,
    MoveState, Moved, Write,
};
use photon_region::{
    Config, Input, Large, Limits, Message, Question, Refusal, Region, decode_message,
    encode_message,
};
use photon_state::crdt::{Field, Version, Written};
use photon_state::{Change, Dataset, Dot, Hlc, Op, PlacementId, Record, Seen, Source, StreamId};
use planet::{Passes, Planet, id, us_only};
use records::*;

/// Returns the question that asks a region to take in a copy of the record `k`.
fn adopt(of: &DatasetName, (number, round): (u8, u32), content: Moved) -> DataCommand {
    let (id, dataset, key) = (MoveId::from_bytes([number; 16]), of.clone(), "k".into());
    let (to, needs) = (us_only(), Seen::default());
    let adopt = Box::new(Adopt { id, round, dataset, key, to, content, needs });
    DataCommand::Adopt { adopt, wait: WAIT }
}

fn ask(planet: &mut Planet, number: u64, command: DataCommand) {
    let question = Question::Data(Box::new(command));
    planet.input("us", Input::Message(id("eu"), Message::Ask(number, question)));
}

fn written(count: usize, bytes: usize) -> Moved {
    let source = Source { origin: id("eu"), incarnation: 1 };
    let version = |n: usize| {
        let written = Written { bytes: vec![b'x'; bytes].into(), expires_ms: None };
        let at = Hlc { wall_ms: 1_799_999_999_000, count: 0 };
        let version = Version { dot: Dot { source, seq: 1 + n as u64 }, at, written };
        (Field::from(format!("{n}")), version)
    };
    Moved::Fields((0..count).map(version).collect())
}

#[test]
fn a_copy_that_cannot_be_one_is_refused_whoever_sends_it() {
    let mut planet = Planet::new();
    let map = planet.declare("ap", by_record(Kind::Map, None));
    let counter = planet.declare("ap", by_record(Kind::Counter, None));
    let quota = planet.declare("ap", by_record(Kind::BoundedCounter, None));
    let before = planet.regions["us"].store().seen().clone();
    let late = Version {
        at: Hlc { wall_ms: planet.now.wall_ms + 60_000, count: 0 },
        ..match written(1, 1) {
            Moved::Fields(all) => all[0].1.clone(),
            Moved::Sum(_) | Moved::Over => unreachable!("fields were asked for"),
        }
    };
    let bad = [
        (&map, Moved::Sum(1)),
        (&counter, written(1, 1)),
        (&quota, Moved::Sum(1)),
        (&map, written(10_001, 1)),
        (&map, written(7, 1 << 20)),
        (&map, Moved::Fields(vec![(Field::new(), late)])),
    ];
    for (number, (of, content)) in (1..).zip(bad) {
        let command = adopt(of, (number, 1), content);
        ask(&mut planet, number.into(), command);
        assert_eq!(*planet.regions["us"].store().seen(), before, "{number}");
    }
    ask(&mut planet, 100, adopt(&counter, (100, 1), Moved::Sum(3)));
    ask(&mut planet, 101, adopt(&map, (101, 1), written(10_000, 1)));
    assert_eq!(planet.read("us", &counter, "k"), "3");
    assert!(planet.read("us", &map, "k").starts_with("0=x"));
}

#[test]
fn a_sum_that_cannot_be_taken_away_again_cannot_be_read_from_a_link() {
    let dataset = name("d");
    for (sum, is_read) in [(3, true), (i64::MAX, true), (-i64::MAX, true), (i64::MIN, false)] {
        let command = Box::new(adopt(&dataset, (1, 1), Moved::Sum(sum)));
        let message = encode_message(&Message::Ask(1, Question::Data(command)));
        assert_eq!(decode_message(&message).is_ok(), is_read, "{sum}");
    }
}

#[test]
fn a_counter_that_no_op_can_hold_moves_in_several_copies() {
    let mut planet = Planet::new();
    let of = planet.declare("ap", by_record(Kind::Counter, None));
    for _ in 0..3 {
        planet.write("eu", &of, Write { spot: spot("eu"), ..add(i64::MAX) }).unwrap();
    }
    let ticket = move_to(&mut planet, "eu", &of, "us");
    planet.pass(Duration::from_secs(1));
    let done = receipt(&mut planet, ticket).unwrap();
    assert_eq!((done.state, done.copies.len()), (MoveState::Done, 3));
    assert_eq!(planet.read("ap", &of, "k"), (3 * i128::from(i64::MAX)).to_string());
}

/// Whether a message has a change of a record in it.
fn changes_records(message: &Message) -> bool {
    let Message::Ops(ops) = message else { return false };
    ops.iter().any(|it| it.dataset == Dataset(5))
}

/// Lets a message pass up to the first change of a record.
fn passes_without_records(message: &mut Message) -> bool {
    let Message::Ops(ops) = message else { return true };
    let end = ops.iter().position(|it| it.dataset == Dataset(5));
    ops.truncate(end.unwrap_or(ops.len()));
    !ops.is_empty()
}

/// Declares a counter of which the record `k` has a home in `ap` where everything is everywhere.
fn with_home_in_ap(planet: &mut Planet) -> DatasetName {
    let everywhere = Some(PlacementId::global());
    for n in 0..100 {
        let name = name(&format!("counter-{n}"));
        let spec = DatasetSpec { name, ..by_record(Kind::Counter, everywhere) };
        let of = planet.declare("ap", spec);
        let absent = Write { expect: Some(Expect::Absent), ..add(10) };
        if planet.write("ap", &of, absent).unwrap().region == id("ap") {
            return of;
        }
    }
    panic!("no home is in ap");
}

#[test]
fn an_old_home_that_lost_its_log_removes_what_was_moved_once() {
    let mut planet = Planet::new();
    let of = with_home_in_ap(&mut planet);
    planet.pass(Duration::from_secs(2));
    // The removal reaches one region of the old placement, and not the other.
    planet.passes = |from, to, it| !(from == "ap" && to == "us" && changes_records(it));
    move_to(&mut planet, "eu", &of, "eu");
    planet.pass(Duration::from_secs(2));
    assert_eq!(receipts(&mut planet, "eu", &of)[0].state, MoveState::Removing);
    assert_eq!(planet.read("eu", &of, "k"), "10");
    planet.lose_disk("ap", &["eu"]);
    planet.pass(Duration::from_secs(5));
    planet.restart_as("ap", 2);
    planet.passes = |_, _, _| true;
    planet.link("ap");
    planet.pass(Duration::from_secs(15));
    assert_eq!(receipts(&mut planet, "eu", &of)[0].state, MoveState::Done);
    for region in ["ap", "eu", "us"] {
        assert_eq!(planet.read(region, &of, "k"), "10", "{region}");
        let whole = planet.read_as(region, &of, "k", said("others")).unwrap();
        assert_eq!(text(&whole), "0", "{region}");
    }
}

#[test]
fn nobody_is_asked_to_take_a_copy_in_before_all_of_the_old_placement_know_of_it() {
    let mut planet = Planet::new();
    let of = with_home_in_ap(&mut planet);
    planet.pass(Duration::from_secs(2));
    planet.passes = |_, to, it| to != "us" || !matches!(it, Message::Ops(_));
    move_to(&mut planet, "eu", &of, "eu");
    planet.pass(Duration::from_secs(5));
    // Whoever went on without knowing of it would have it copied once more.
    assert_eq!(text(&planet.read_as("eu", &of, "k", said("eu")).unwrap()), "none");
    planet.passes = |_, _, _| true;
    planet.pass(Duration::from_secs(5));
    assert_eq!(text(&planet.read_as("eu", &of, "k", said("eu")).unwrap()), "10");
}

#[test]
fn a_removal_that_was_lost_with_the_log_of_the_old_home_is_made_again() {
    let mut planet = Planet::new();
    let of = with_home_in_ap(&mut planet);
    planet.pass(Duration::from_secs(2));
    // Others hear what is to be removed, and not that it was.
    planet.passes = |from, _, it| from != "ap" || passes_without_records(it);
    move_to(&mut planet, "eu", &of, "eu");
    planet.pass(Duration::from_secs(2));
    assert_eq!(receipts(&mut planet, "eu", &of)[0].state, MoveState::Removing);
    planet.lose_disk("ap", &["eu", "us"]);
    planet.passes = |_, _, _| true;
    planet.pass(Duration::from_secs(15));
    assert_eq!(receipts(&mut planet, "eu", &of)[0].state, MoveState::Done);
    let whole = planet.read_as("us", &of, "k", said("others")).unwrap();
    assert_eq!((text(&whole), planet.read("us", &of, "k")), ("0".into(), "10".into()));
}

/// A counter of 10 moves from `eu` to everywhere, where its home is `ap`; nothing of the copy comes
/// to `us`, and to `eu` what passes before. Then `ap` loses its log, and hears what passes after.
fn lose_the_new_home([before, after]: [Passes; 2]) -> (Planet, DatasetName) {
    let mut planet = Planet::new();
    let of = with_home_in_ap(&mut planet);
    planet.write("ap", &of, add(-10)).unwrap();
    planet.write("eu", &of, Write { spot: spot("eu"), ..add(10) }).unwrap();
    planet.pass(Duration::from_secs(2));
    planet.passes = before;
    move_to(&mut planet, "eu", &of, "others");
    planet.pass(Duration::from_secs(2));
    assert_eq!(planet.read("ap", &of, "k"), "10");
    planet.passes = after;
    planet.lose_disk("ap", &["eu", "us"]);
    planet.pass(Duration::from_secs(15));
    planet.passes = |_, _, _| true;
    planet.pass(Duration::from_secs(20));
    assert_eq!(receipts(&mut planet, "eu", &of)[0].state, MoveState::Done);
    (planet, of)
}

#[test]
fn a_new_home_that_lost_its_log_does_not_take_the_same_copy_in_twice() {
    // It is asked again before it is told what it had.
    let (mut planet, of) = lose_the_new_home([
        |_, to, it| to != "us" || !changes_records(it),
        |_, to, it| to != "ap" || passes_without_records(it),
    ]);
    for region in ["ap", "eu", "us"] {
        assert_eq!(planet.read(region, &of, "k"), "10", "{region}");
    }
}

#[test]
fn a_copy_that_was_lost_with_the_log_of_the_new_home_is_made_again() {
    // What it has noted is all that is left of it.
    let (mut planet, of) = lose_the_new_home([
        |from, to, it| {
            let is_told = to == "eu" || !matches!(it, Message::Ops(_));
            from != "ap" || is_told && passes_without_records(it)
        },
        |_, _, _| true,
    ]);
    for region in ["ap", "eu", "us"] {
        assert_eq!(planet.read(region, &of, "k"), "10", "{region}");
    }
}

#[test]
fn many_moves_that_wait_leave_room_for_clients_and_take_their_turn() {
    let mut planet = Planet::new();
    let of = planet.declare("ap", by_record(Kind::Register, Some(PlacementId::global())));
    let keys: Vec<String> = (0..300).map(|it| format!("k{it}")).collect();
    for key in &keys {
        planet.write("eu", &of, Write { spot: spot("eu"), ..put(key, "v") }).unwrap();
    }
    planet.cut("us");
    for key in &keys {
        let (dataset, key, to) = (of.clone(), key.clone().into(), spot("others").unwrap());
        let (from, asked_in, wait) = (None, None, Duration::ZERO);
        let command = DataCommand::Move { dataset, key, to, from, asked_in, wait };
        planet.data("eu", command).unwrap();
    }
    planet.pass(Duration::from_secs(30));
    for region in ["ap", "eu"] {
        let in_flight = planet.regions[region].view().in_flight;
        assert!(in_flight <= 64, "{region} has {in_flight} in flight");
    }
    planet.link("us");
    planet.pass(Duration::from_secs(30));
    let done = planet.regions["eu"].receipts().filter(|it| it.state == MoveState::Done);
    assert_eq!(done.count(), keys.len());
}

thread_local! {
    /// Bytes of the copies that were asked for.
    static COPIED: Cell<usize> = const { Cell::new(0) };
}

#[test]
fn copies_of_large_records_are_asked_for_as_far_as_a_link_has_room() {
    let mut planet = Planet::new();
    let of = planet.declare("ap", by_record(Kind::Register, None));
    let keys: Vec<String> = (0..20).map(|it| format!("k{it}")).collect();
    let value = "x".repeat(1_000_000);
    for key in &keys {
        planet.write("eu", &of, Write { spot: spot("eu"), ..put(key, &value) }).unwrap();
    }
    planet.passes = |_, _, it| {
        let Message::Ask(_, Question::Data(command)) = it else { return true };
        COPIED.set(COPIED.get() + command.weight());
        false
    };
    for key in &keys {
        let (dataset, key, to) = (of.clone(), key.clone().into(), spot("us").unwrap());
        let (from, asked_in, wait) = (None, None, Duration::ZERO);
        let command = DataCommand::Move { dataset, key, to, from, asked_in, wait };
        planet.data("eu", command).unwrap();
    }
    planet.pass(Duration::from_secs(8));
    let asked = COPIED.take();
    assert!((2_000_000..4_000_000).contains(&asked), "{asked} bytes of copies are on their way");
    planet.passes = |_, _, _| true;
    planet.pass(Duration::from_secs(30));
    let done = planet.regions["eu"].receipts().filter(|it| it.state == MoveState::Done);
    assert_eq!(done.count(), keys.len());
}

/// Returns the registers about moves that a region holds of a placement.
fn registers(planet: &Planet, region: &str, placement: PlacementId) -> Vec<Record> {
    let store = planet.regions[region].store();
    let all = store.contents().into_iter().map(|(it, _)| it);
    let own = all.filter(|it| it.dataset == Dataset(6) && it.placement == placement);
    own.filter(|it| store.value(it).is_some()).collect()
}

#[test]
fn nothing_is_noted_of_a_move_that_is_over_where_the_record_went() {
    let mut planet = Planet::new();
    let of = planet.declare("ap", by_record(Kind::Register, None));
    planet.write("eu", &of, Write { spot: spot("eu"), ..put("k", "v") }).unwrap();
    move_to(&mut planet, "eu", &of, "us");
    planet.pass(Duration::from_secs(2));
    assert_eq!(receipts(&mut planet, "eu", &of)[0].state, MoveState::Done);
    assert_eq!(registers(&planet, "us", us_only()), []);
}

#[test]
fn a_region_keeps_no_note_of_its_log_for_a_receipt_that_is_gone() {
    let mut planet = Planet::new();
    let of = with_home_in_ap(&mut planet);
    move_to(&mut planet, "ap", &of, "us");
    planet.pass(Duration::from_secs(5));
    assert_eq!(planet.data("eu", DataCommand::Compact), Ok(DataReply::Compacting));
    planet.pass(Duration::from_secs(5));
    let held = registers(&planet, "eu", PlacementId::global());
    let [receipt, note] = held.as_slice() else { panic!("{held:?}") };
    assert!(note.key.as_bytes().ends_with(b"eu"), "{note:?}");
    // The home forgets the receipt, as it does with the oldest of many.
    let (origin, placement) = (id("ap"), PlacementId::global());
    let stream = StreamId { origin, placement, incarnation: 1 };
    let seq = 1 + planet.regions["eu"].store().seen().of(&stream);
    let at = Hlc { wall_ms: planet.now.wall_ms, count: 0 };
    let (dataset, key, change) = (Dataset(6), receipt.key.clone(), Change::Delete);
    let op = Arc::new(Op { stream, seq, at, dataset, key, change });
    planet.passes = |_, _, _| false;
    planet.input("eu", Input::Message(origin, Message::Ops(vec![op])));
    planet.pass(Duration::from_secs(2));
    assert_eq!(registers(&planet, "eu", PlacementId::global()), []);
}

#[test]
fn a_record_that_is_too_large_to_travel_is_not_moved() {
    let mut planet = Planet::new();
    let everywhere = Some(PlacementId::global());
    let of = planet.declare("ap", by_record(Kind::Map, everywhere));
    for region in ["ap", "eu"] {
        planet.cut(region);
    }
    // What one write may not add to a record can come together.
    for (region, range) in [("ap", 0..4), ("eu", 4..8)] {
        for n in range {
            let (field, value) = (Bytes::from(vec![n]), Bytes::from(vec![b'x'; 1_000_000]));
            planet.write(region, &of, edits(vec![FieldEdit::Set(field, value)])).unwrap();
        }
    }
    for region in ["ap", "eu"] {
        planet.link(region);
    }
    planet.pass(Duration::from_secs(2));
    let ticket = move_to(&mut planet, "ap", &of, "eu");
    let refused = receipt(&mut planet, ticket);
    let is_too_large = matches!(refused, Err(Refusal::TooLarge { what: Large::Content, .. }));
    assert!(is_too_large, "{refused:?}");
}

/// A region that lets go of its log after a few seconds, or, in `ap`, after a minute.
fn with_short_log(name: &str) -> Region {
    let log_retention = Duration::from_secs(if name == "ap" { 60 } else { 5 });
    let limits = Limits { recent_bytes_max: 1, log_retention, ..Limits::default() };
    Region::new(Config { limits, ..planet::config(name) })
}

#[test]
fn a_state_that_was_needless_does_not_keep_a_log_from_being_free_of_what_moved() {
    let mut planet = Planet::of(with_short_log);
    let of = planet.declare("ap", by_record(Kind::Map, Some(PlacementId::global())));
    planet.write("us", &of, Write { spot: spot("others"), ..edits(vec![set("a", "1")]) }).unwrap();
    let ticket = move_to(&mut planet, "us", &of, "eu");
    planet.pass(Duration::from_secs(2));
    assert_eq!(receipt(&mut planet, ticket).unwrap().state, MoveState::Done);
    planet.cut("ap");
    for (region, key) in [("eu", "x"), ("us", "y")] {
        let write = Write { key: key.into(), spot: spot("others"), ..edits(vec![set("a", "1")]) };
        planet.write(region, &of, write).unwrap();
        planet.data(region, DataCommand::Compact).unwrap();
    }
    planet.pass(Duration::from_secs(10));
    // Both others send the state. One of them does not hear that its first part was taken until it
    // hears that all is there.
    planet.passes =
        |from, to, it| !(from == "ap" && to == "us" && matches!(it, Message::Took { .. }));
    planet.link_two("ap", "us");
    planet.link_two("ap", "eu");
    planet.pass(Duration::from_secs(70));
    let sent = ["eu", "us"].map(|it| planet.regions[it].view().counters.transfers);
    assert_eq!(sent, [1, 1]);
    let appended = planet.appended["ap"];
    planet.pass(Duration::from_secs(20));
    assert_eq!(planet.appended["ap"], appended, "nothing can be purged, so nothing is written");
    planet.passes = |_, _, _| true;
    planet.pass(Duration::from_secs(20));
    let all = receipts(&mut planet, "eu", &of);
    assert!(all[0].purged.contains_key(&id("ap")), "{:?}", all[0].purged);
}
