//! What may go wrong while a record moves: peers that ask for nonsense, logs that are lost.
//! Faults at random are the simulator's; here each is told step by step.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod planet;
mod records;

use std::time::Duration;

use photon_region::data::{Adopt, DataCommand, DatasetName, Kind, MoveId, MoveState, Moved, Write};
use photon_region::{Input, Message, Question, decode_message, encode_message};
use photon_state::crdt::{Field, Version, Written};
use photon_state::{Dot, Hlc, Seen, Source};
use planet::{Planet, id, us_only};
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
            Moved::Sum(_) => unreachable!("fields were asked for"),
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
