//! What sessions and bounds on staleness hold a read to, at every level and after lost disks.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod planet;
mod records;

use std::time::Duration;

use photon_region::data::{
    DataCommand, DataRefusal, DataReply, DatasetName, DatasetSpec, Found, Kind, PlacementRule,
    ReadGap, ReadHow, ReadLevel, Write,
};
use photon_region::{Disk, Input, Refusal};
use photon_state::{PlacementId, Seen};
use planet::{NAMES, Planet, west};
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

/// Where a write depends on another one that is lost: `eu` has told `us` of the effect alone.
fn lost_cause(planet: &mut Planet) -> (DatasetName, DatasetName, Seen) {
    let wide = planet.declare("ap", dataset(Kind::Register));
    let spec = dataset(Kind::Set);
    let narrow = planet.declare("ap", DatasetSpec { rule: PlacementRule::Fixed(west()), ..spec });
    // No region takes what is written under `global` any more.
    planet.drop_ops = |op| op.stream.placement == PlacementId::global();
    let cause = planet.write("eu", &wide, put("k", "cause")).unwrap().session;
    let write = edits(vec![set("x", "")]);
    let (writes, level, wait) = (vec![write], None, WAIT);
    let (dataset, session) = (narrow.clone(), cause);
    let command = DataCommand::Write { dataset, writes, level, session, wait };
    let Ok(DataReply::Written(written)) = planet.data("eu", command) else { panic!("no write") };
    planet.lose_disk("eu", &["us", "ap"]);
    planet.drop_ops = |_| false;
    (wide, narrow, written.session)
}

#[test]
fn a_session_that_has_seen_what_is_lost_is_told_so() {
    let mut planet = Planet::new();
    let (wide, _, session) = lost_cause(&mut planet);
    let ask = |planet: &mut Planet, region, wait| {
        let how = ReadHow { wait, ..how(ReadLevel::Session, &session) };
        let ticket = planet.ask_read(region, &wide, "k", how);
        planet.pass(wait);
        planet.found(ticket)
    };
    // Somebody might still have it.
    assert_eq!(gap(ask(&mut planet, "us", Duration::ZERO)), ReadGap::Session);
    planet.pass(Duration::from_secs(5));
    let (origin, placement) = (planet::id("eu"), PlacementId::global());
    let lost = Refusal::from(DataRefusal::SessionLost { origin, placement });
    for region in NAMES {
        assert_eq!(ask(&mut planet, region, Duration::ZERO).unwrap_err(), lost, "{region}");
        let (dataset, writes, level) = (wide.clone(), vec![put("k", "v")], None);
        let (session, wait) = (session.clone(), Duration::ZERO);
        let write = DataCommand::Write { dataset, writes, level, session, wait };
        assert_eq!(planet.data(region, write).unwrap_err(), lost, "{region}");
    }
    // A region that has gone silent may have begun to write another log, from which this is.
    planet.passes = |from, to, _| from != "eu" && to != "eu";
    planet.pass(Duration::from_secs(3));
    assert_eq!(gap(ask(&mut planet, "us", Duration::ZERO)), ReadGap::Session);
    planet.passes = |_, _, _| true;
    // While a region that may have it is away, nobody can know.
    planet.cut("ap");
    assert_eq!(gap(ask(&mut planet, "us", WAIT)), ReadGap::Session);
}

#[test]
fn a_session_does_not_learn_from_others_to_wait_for_what_is_lost() {
    let mut planet = Planet::new();
    let (wide, narrow, _) = lost_cause(&mut planet);
    planet.pass(Duration::from_secs(8));
    let causal = || how(ReadLevel::Causal, &Seen::default());
    let found = planet.read_as("us", &narrow, "k", causal()).unwrap();
    assert_eq!(text(&found), "x=");
    let session = how(ReadLevel::Session, &found.session);
    assert_eq!(text(&planet.read_as("us", &wide, "k", session).unwrap()), "none");
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

/// Where `us` has what `eu` wrote, `ap` has not, and `eu` has lost it and is linked to `ap` alone.
fn written_in_a_former_life(planet: &mut Planet) -> DatasetName {
    let register = planet.declare("ap", dataset(Kind::Register));
    planet.pass(Duration::from_secs(2));
    planet.cut("ap");
    planet.write("eu", &register, put("k", "kept")).unwrap();
    planet.pass(Duration::from_secs(3));
    planet.lose_disk("eu", &[]);
    planet.link_two("eu", "ap");
    planet.link_two("us", "ap");
    register
}

#[test]
fn what_a_region_wrote_and_lost_comes_from_whoever_has_it() {
    let mut planet = Planet::new();
    let register = written_in_a_former_life(&mut planet);
    planet.pass(Duration::from_secs(8));
    let eventual = how(ReadLevel::Eventual, &Seen::default());
    assert_eq!(text(&planet.read_as("ap", &register, "k", eventual).unwrap()), "=kept");
}

#[test]
fn a_region_is_as_stale_as_what_another_one_has_of_a_lost_log() {
    let mut planet = Planet::new();
    planet.drop_ops = |_| false;
    let register = planet.declare("ap", dataset(Kind::Register));
    planet.pass(Duration::from_secs(2));
    planet.cut("ap");
    planet.write("eu", &register, put("k", "kept")).unwrap();
    planet.lose_disk("eu", &[]);
    planet.drop_ops = |_| true;
    planet.link_two("eu", "ap");
    planet.link_two("us", "ap");
    planet.pass(Duration::from_secs(3));
    let staleness_max = Some(Duration::from_millis(1_500));
    let fresh = || ReadHow { staleness_max, ..how(ReadLevel::Eventual, &Seen::default()) };
    let ticket = planet.ask_read("ap", &register, "k", fresh());
    planet.pass(WAIT);
    assert!(matches!(gap(planet.found(ticket)), ReadGap::Stale(_)));
    planet.drop_ops = |_| false;
    planet.pass(Duration::from_secs(8));
    assert_eq!(text(&planet.read_as("ap", &register, "k", fresh()).unwrap()), "=kept");
}

#[test]
fn a_session_is_shown_no_record_while_its_own_may_be_where_nobody_answers() {
    let mut planet = Planet::new();
    let of = planet.declare("ap", by_record(Kind::Register, None));
    let mut write = |region: &'static str, text: &str| {
        let write = Write { spot: spot(region), ..put("k", text) };
        planet.write(region, &of, write).unwrap().session
    };
    let (mine, other) = (write("eu", "mine"), write("us", "other"));
    planet.cut("eu");
    let mut read = |session: &Seen| {
        let read = planet.read_as("ap", &of, "k", how(ReadLevel::Session, session));
        read.map(|it| text(&it))
    };
    let refused = read(&mine).unwrap_err();
    let region = planet::id("eu");
    assert_eq!(refused, DataRefusal::DeciderUnreachable { region, was_sent: false }.into());
    assert_eq!(read(&other).unwrap(), "=other");
    assert_eq!(read(&Seen::default()).unwrap(), "=other");
}
