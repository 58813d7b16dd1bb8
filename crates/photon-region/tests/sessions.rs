//! What sessions and bounds on staleness hold a read to, at every level and after lost disks.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod planet;
mod records;

use std::time::Duration;

use photon_region::data::{DataRefusal, Found, Kind, ReadGap, ReadHow, ReadLevel};
use photon_region::{Disk, Input, Refusal};
use photon_state::Seen;
use planet::Planet;
use records::*;

/// Returns what a read that was not answered in time still misses.
fn gap(reply: Result<Found, Refusal>) -> ReadGap {
    match reply {
        Err(Refusal::Data(DataRefusal::ReadNotReached { why, .. })) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_read_at_quorum_misses_nothing_of_its_session() {
    let mut planet = Planet::new();
    let register = planet.declare("ap", dataset(Kind::Register));
    planet.cut("eu");
    let session = planet.write("eu", &register, put("k", "mine")).unwrap().session;
    let ask = |planet: &mut Planet| {
        planet.ask_read("ap", &register, "k", how(ReadLevel::Quorum, &session))
    };
    // Two of three answer, and neither has what the session wrote.
    let ticket = ask(&mut planet);
    planet.pass(WAIT);
    assert_eq!(gap(planet.found(ticket)), ReadGap::Session);
    let ticket = ask(&mut planet);
    planet.link("eu");
    assert_eq!(text(&planet.found(ticket).unwrap()), "=mine");
}

#[test]
fn a_read_at_quorum_is_as_fresh_as_it_is_asked_to_be() {
    let mut planet = Planet::new();
    let register = planet.declare("ap", dataset(Kind::Register));
    planet.pass(Duration::from_secs(2));
    planet.cut("eu");
    planet.pass(Duration::from_secs(3));
    let staleness_max = Some(Duration::from_millis(1_500));
    let fresh = ReadHow { staleness_max, ..how(ReadLevel::Quorum, &Seen::default()) };
    let ticket = planet.ask_read("us", &register, "k", fresh);
    planet.pass(WAIT);
    assert!(matches!(gap(planet.found(ticket)), ReadGap::Stale(_)));
}

#[test]
fn staleness_is_known_again_after_a_peer_has_lost_its_disk() {
    let mut planet = Planet::new();
    let register = planet.declare("ap", dataset(Kind::Register));
    planet.pass(Duration::from_secs(2));
    // Only `eu` has this, and `ap` hears of it and cannot take it.
    planet.cut("us");
    planet.input("ap", Input::Disk(Disk::Full));
    planet.write("eu", &register, put("k", "lost")).unwrap();
    planet.pass(Duration::from_secs(3));
    planet.lose_disk("eu", &["ap"]);
    planet.input("ap", Input::Disk(Disk::Ready));
    planet.link("us");
    planet.pass(Duration::from_secs(3));
    let staleness_max = Some(Duration::from_millis(1_500));
    let fresh = ReadHow { staleness_max, ..how(ReadLevel::Eventual, &Seen::default()) };
    assert_eq!(text(&planet.read_as("ap", &register, "k", fresh).unwrap()), "none");
}
