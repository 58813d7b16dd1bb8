//! Stories of a region that was away for too long and is sent the state: of those who watch there,
//! and of a state that is not taken. Faults at random are the simulator's.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod planet;
mod records;

use std::cell::{Cell, RefCell};
use std::time::Duration;

use bytes::Bytes;
use photon_region::data::{
    DataCommand, DataRefusal, DataReply, DatasetName, Edit, Kind, ReadLevel, Write,
};
use photon_region::{Config, Limits, Message, Refusal, Region};
use photon_state::Seen;
use planet::{Planet, config, id};
use records::*;

thread_local! {
    /// The numbers of the parts that were sent.
    static SENT: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
    /// The last part of a state that may arrive.
    static MAY_ARRIVE: Cell<u64> = const { Cell::new(0) };
}

/// Takes note of parts that are sent.
fn note(message: &Message) {
    if let Message::State { index, .. } = message {
        SENT.with_borrow_mut(|it| it.push(*index));
    }
}

fn sent_since() -> Vec<u64> {
    SENT.take()
}

/// Lets `us` watch a dataset, and be away until `eu` has no log of what was written meanwhile.
fn away_for_long(writes: Vec<Write>) -> (Planet, DatasetName, Seen) {
    away_for_long_in(Planet::new(), writes)
}

fn away_for_long_in(mut planet: Planet, writes: Vec<Write>) -> (Planet, DatasetName, Seen) {
    let of = planet.declare("ap", dataset(Kind::Register));
    planet.write("eu", &of, put("before", "0")).unwrap();
    planet.pass(Duration::from_secs(2));
    let (_, position) = planet.watch("us", &of, None);
    planet.cut("us");
    for write in writes {
        planet.write("eu", &of, write).unwrap();
    }
    assert_eq!(planet.data("eu", DataCommand::Compact), Ok(DataReply::Compacting));
    planet.pass(Duration::from_secs(3_700));
    (planet, of, position)
}

fn three() -> Vec<Write> {
    vec![put("a", "1"), put("b", "2"), put("c", "3")]
}

/// Asks for changes as a watcher that has a position does.
fn heard(
    planet: &mut Planet,
    of: &DatasetName,
    position: &Seen,
) -> Result<(Vec<String>, Seen), Refusal> {
    let (dataset, prefix, wait) = (of.clone(), Bytes::new(), Duration::ZERO);
    let (spot, position) = (None, Some(position.clone()));
    let command = DataCommand::Watch { dataset, prefix, spot, position, wait };
    let DataReply::Changes { changes, position } = planet.data("us", command)? else {
        panic!("changes are told")
    };
    let key = |it: &Bytes| String::from_utf8_lossy(it).into_owned();
    Ok((changes.iter().map(|it| key(&it.key)).collect(), position))
}

#[test]
fn who_watches_where_a_state_is_taken_begins_anew_once_and_at_its_end() {
    let (mut planet, of, old) = away_for_long(three());
    planet.passes = |_, _, it| !matches!(it, Message::State { index, .. } if 1 < *index);
    planet.link_two("us", "eu");
    planet.pass(Duration::from_secs(3));
    assert!(planet.regions["us"].view().is_taking_state);
    let at_once = how(ReadLevel::Eventual, &Seen::default());
    assert_eq!(text(&planet.read_as("us", &of, "a", at_once).unwrap()), "=1", "a part is there");
    assert_eq!(heard(&mut planet, &of, &old).unwrap().0, [""; 0]);
    let (_, new) = planet.watch("us", &of, None);
    assert_eq!(heard(&mut planet, &of, &new).unwrap().0, [""; 0]);

    planet.passes = |_, _, _| true;
    planet.pass(Duration::from_secs(30));
    assert!(!planet.regions["us"].view().is_taking_state);
    for position in [old, new] {
        let too_old = Err(DataRefusal::PositionTooOld.into());
        assert_eq!(heard(&mut planet, &of, &position), too_old, "what came is not told singly");
    }
    let (_, begin) = planet.watch("us", &of, None);
    planet.write("eu", &of, put("d", "4")).unwrap();
    planet.write("us", &of, put("e", "5")).unwrap();
    let (keys, end) = heard(&mut planet, &of, &begin).unwrap();
    assert_eq!(keys, ["d", "e"]);
    assert_eq!(heard(&mut planet, &of, &end).unwrap().0, [""; 0]);
}

#[test]
fn what_came_with_a_state_that_broke_off_is_told_as_its_ops_come() {
    let (mut planet, of, position) = away_for_long(three());
    planet.passes = |_, _, it| !matches!(it, Message::State { index, .. } if 1 < *index);
    planet.link_two("us", "eu");
    planet.pass(Duration::from_secs(3));
    planet.cut("eu");
    planet.passes = |_, _, _| true;
    planet.write("us", &of, put("d", "4")).unwrap();
    // The log of another region has the ops.
    planet.link_two("us", "ap");
    planet.pass(Duration::from_secs(10));
    let (mut keys, end) = heard(&mut planet, &of, &position).unwrap();
    keys.sort();
    assert_eq!(keys, ["a", "b", "c", "d"]);
    assert_eq!(heard(&mut planet, &of, &end).unwrap().0, [""; 0]);
    // After a start it is known as well.
    planet.restart("us", std::sync::Arc::clone);
    let (mut keys, _) = heard(&mut planet, &of, &position).unwrap();
    keys.sort();
    assert_eq!(keys, ["a", "b", "c", "d"]);
}

#[test]
fn a_state_that_is_not_begun_to_be_taken_is_sent_ever_more_seldom_and_given_up() {
    let (mut planet, of, _) = away_for_long(three());
    planet.passes = |_, _, it| {
        note(it);
        !matches!(it, Message::State { .. })
    };
    planet.link_two("us", "eu");
    planet.pass(Duration::from_secs(240));
    let sent = sent_since();
    assert!(sent.iter().all(|it| *it == 0));
    assert!((20..50).contains(&sent.len()), "the first part was sent {} times", sent.len());
    let transfers = planet.regions["eu"].view().counters.transfers;
    assert!((2..6).contains(&transfers), "it was begun {transfers} times");
    planet.passes = |_, _, _| true;
    planet.pass(Duration::from_secs(30));
    assert_eq!(planet.read("us", &of, "c"), "=3");
}

#[test]
fn a_state_that_is_no_longer_taken_is_sent_part_by_part_until_it_is() {
    let large =
        |n: u32| Write { edit: Edit::Put(vec![b'x'; 200_000].into()), ..put(&format!("k{n}"), "") };
    let (mut planet, of, _) = away_for_long((0..20).map(large).collect());
    planet.passes = |_, to, it| {
        note(it);
        to != "eu" || !matches!(it, Message::Took { index, .. } if 1 < *index)
    };
    planet.link_two("us", "eu");
    planet.pass(Duration::from_secs(1));
    let first = sent_since();
    assert!(3 < first.len(), "several parts are under way: {first:?}");
    planet.pass(Duration::from_secs(120));
    let again = sent_since();
    let lost = first.iter().filter(|it| 1 < **it).count();
    assert!(lost <= again.len(), "each of them was sent once more");
    assert!(again.len() < lost + 30, "{} parts were sent again", again.len());
    planet.passes = |_, _, _| true;
    planet.pass(Duration::from_secs(30));
    assert_eq!(planet.read("us", &of, "k19").len(), 200_001);
}

/// Makes a region whose log is kept for so many seconds, and is long after so many bytes.
fn short_log(name: &str, seconds: u64, compact_after_bytes: usize) -> Region {
    let log_retention = Duration::from_secs(seconds);
    let limits = Limits { compact_after_bytes, log_retention, ..Limits::default() };
    Region::new(Config { limits, ..config(name) })
}

fn short_logs(compact_after_bytes: usize) -> Planet {
    Planet::of(|name| short_log(name, 5, compact_after_bytes))
}

/// Begins to send `us` a state of many parts, of which one arrives whenever one more may.
fn sent_slowly(planet: Planet) -> (Planet, DatasetName) {
    let large =
        |n: u32| Write { edit: Edit::Put(vec![b'x'; 200_000].into()), ..put(&format!("k{n}"), "") };
    let (mut planet, of, _) = away_for_long_in(planet, (0..20).map(large).collect());
    MAY_ARRIVE.set(1);
    planet.passes =
        |_, _, it| !matches!(it, Message::State { index, .. } if MAY_ARRIVE.get() < *index);
    planet.link_two("us", "eu");
    planet.pass(Duration::from_secs(1));
    (planet, of)
}

/// Writes `a` in `eu` while the others are away.
fn written_alone(mut planet: Planet) -> (Planet, DatasetName) {
    let of = planet.declare("eu", dataset(Kind::Register));
    planet.pass(Duration::from_secs(2));
    planet.cut("us");
    planet.cut("ap");
    planet.write("eu", &of, put("a", "1")).unwrap();
    (planet, of)
}

/// Has the state written, and says how many states the log holds after a while.
fn states_after(planet: &mut Planet, time: Duration) -> usize {
    assert_eq!(planet.data("eu", DataCommand::Compact), Ok(DataReply::Compacting));
    planet.pass(time);
    states_in_log(planet)
}

fn states_in_log(planet: &Planet) -> usize {
    planet.logs["eu"].iter().filter(|it| photon_region::begins_state(it)).count()
}

fn transfers(planet: &Planet) -> u64 {
    planet.regions["eu"].view().counters.transfers
}

#[test]
fn what_follows_on_a_state_is_kept_while_the_state_is_taken() {
    let (mut planet, of) = sent_slowly(short_logs(256 << 20));
    planet.write("eu", &of, put("last", "9")).unwrap();
    assert_eq!(planet.data("eu", DataCommand::Compact), Ok(DataReply::Compacting));
    for part in 2..12 {
        MAY_ARRIVE.set(part);
        planet.pass(Duration::from_secs(6));
        assert_eq!(states_in_log(&planet), 2, "it is not cut at part {part}");
    }
    planet.passes = |_, _, _| true;
    planet.pass(Duration::from_secs(30));
    assert_eq!(planet.read("us", &of, "last"), "=9");
    assert_eq!(transfers(&planet), 1);
    assert_eq!(states_in_log(&planet), 1, "it is cut now");
}

#[test]
fn a_log_is_not_kept_for_a_state_that_nobody_takes() {
    let (mut planet, of) = sent_slowly(short_logs(256 << 20));
    planet.write("eu", &of, put("last", "9")).unwrap();
    assert_eq!(states_after(&mut planet, Duration::from_secs(10)), 2, "parts may be late");
    planet.pass(Duration::from_secs(30));
    assert_eq!(states_in_log(&planet), 1);
    planet.passes = |_, _, _| true;
    planet.pass(Duration::from_secs(30));
    assert_eq!(planet.read("us", &of, "last"), "=9");
    assert_eq!(transfers(&planet), 2);
}

#[test]
fn a_log_is_not_kept_for_a_state_that_stands_for_what_is_cut() {
    let (mut planet, of) = written_alone(short_logs(256 << 20));
    assert_eq!(states_after(&mut planet, Duration::from_secs(10)), 1);
    planet.write("eu", &of, put("b", "2")).unwrap();
    planet.passes = |_, _, it| !matches!(it, Message::State { .. });
    planet.link_two("us", "eu");
    planet.pass(Duration::from_secs(1));
    assert_eq!(transfers(&planet), 1, "it is sent what stands for `b` as well");
    assert_eq!(states_after(&mut planet, Duration::from_secs(10)), 1);
}

#[test]
fn a_log_does_not_grow_without_end_for_a_region_that_is_too_slow() {
    let (mut planet, of) = sent_slowly(short_logs(20_000));
    planet.write("eu", &of, put("last", "9")).unwrap();
    assert_eq!(states_after(&mut planet, Duration::from_secs(1)), 2);
    let first = planet.logs["eu"][0].seq;
    let cut_at = (2..16).find(|part| {
        let large = Edit::Put(vec![b'x'; 1_000_000].into());
        planet.write("eu", &of, Write { edit: large, ..put("k0", "") }).unwrap();
        MAY_ARRIVE.set(*part);
        planet.pass(Duration::from_secs(4));
        planet.logs["eu"][0].seq != first
    });
    // It is due to be cut after twice the state, which has four megabytes.
    assert_eq!(cut_at, Some(11), "although one part after the other has arrived");
}

#[test]
fn a_log_is_kept_for_as_long_after_a_region_got_further_or_its_own_began_again() {
    for begins_again in [false, true] {
        let (mut planet, of) = written_alone(Planet::new());
        assert_eq!(states_after(&mut planet, Duration::from_secs(3_000)), 1);
        planet.link_two("us", "eu");
        planet.pass(Duration::from_secs(1_000));
        if begins_again {
            planet.cut("eu");
            planet.restart_after("eu", Duration::from_secs(1));
            planet.pass(Duration::from_secs(3));
        }
        planet.link_two("ap", "eu");
        planet.pass(Duration::from_secs(3));
        for name in ["us", "ap"] {
            assert_eq!(planet.read(name, &of, "a"), "=1");
        }
        assert_eq!(transfers(&planet), 0);
    }
}

#[test]
fn what_is_left_of_the_time_that_a_log_is_kept_outlasts_a_start() {
    let region = |name: &str| short_log(name, 3_600, 20_000);
    let mut planet = Planet::of(region);
    let of = planet.declare("eu", dataset(Kind::Register));
    planet.pass(Duration::from_secs(2));
    planet.cut("ap");
    planet.write("eu", &of, put("a", "1")).unwrap();
    assert_eq!(states_after(&mut planet, Duration::from_secs(1)), 1);
    let large = Edit::Put(vec![b'x'; 100_000].into());
    planet.write("eu", &of, Write { edit: large, ..put("b", "") }).unwrap();
    planet.pass(Duration::from_secs(1_000));
    for (seconds, is_cut) in [(2_590, false), (20, true)] {
        planet.cut("eu");
        planet.replace_after("eu", region("eu"), Duration::from_secs(1));
        planet.pass(Duration::from_secs(seconds));
        let has_begun = photon_region::begins_state(&planet.logs["eu"][0]);
        assert_eq!(has_begun, is_cut, "{seconds} s later");
    }
}

#[test]
fn what_a_region_lost_is_kept_for_it_while_its_link_is_down() {
    let mut planet = Planet::new();
    let of = planet.declare("eu", dataset(Kind::Register));
    planet.write("us", &of, put("a", "1")).unwrap();
    planet.pass(Duration::from_secs(2));
    planet.drop_ops = |op| op.stream.origin == id("us") && op.stream.incarnation == 1;
    planet.lose_disk("us", &["eu"]);
    planet.pass(Duration::from_secs(2));
    planet.cut("us");
    assert_eq!(states_after(&mut planet, Duration::from_secs(100)), 1);
    planet.drop_ops = |_| false;
    planet.link_two("us", "eu");
    planet.pass(Duration::from_secs(10));
    assert_eq!(planet.read("us", &of, "a"), "=1");
    assert_eq!(transfers(&planet), 0);
}
