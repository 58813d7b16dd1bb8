//! A region that lost its disk: what it may not agree to before it has caught up.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod planet;
mod records;

use photon_region::data::{DataRefusal, Expect, Kind, ReadLevel, Write, WriteLevel};
use photon_region::{Disk, Input, Refusal};
use photon_state::Seen;
use planet::{NAMES, Planet};
use records::*;

fn is_catching_up<T>(reply: &Result<T, Refusal>) -> bool {
    matches!(reply, Err(Refusal::Data(DataRefusal::CatchingUp { heard: 1, needed: 2, .. })))
}

#[test]
fn a_region_that_lost_its_disk_neither_votes_nor_decides_until_it_has_caught_up() {
    let mut planet = Planet::new();
    let register = planet.declare("ap", dataset(Kind::Register));
    let absent = |value: &str| Write { expect: Some(Expect::Absent), ..put("k", value) };
    let home = planet.write("ap", &register, absent("first")).unwrap().region;
    let home = NAMES.into_iter().find(|it| planet::id(it) == home).unwrap();
    let others: Vec<_> = NAMES.into_iter().filter(|it| *it != home).collect();
    let [far, near] = others[..] else { panic!("three regions") };
    // Only the home and one other have this; so it is acknowledged at quorum.
    planet.cut(near);
    let ticket = planet.ask_write_at(home, &register, put("q", "kept"), Some(WriteLevel::Quorum));
    planet.written(ticket).unwrap();
    planet.cut(far);
    planet.cut.remove(near);

    planet.lose_disk(home, &[near]);
    let ticket = planet.ask_write(home, &register, absent("second"));
    planet.pass(WAIT);
    let refused = planet.written(ticket);
    assert!(is_catching_up(&refused), "{refused:?}");
    let ticket =
        planet.ask_read(home, &register, "k", how(ReadLevel::Linearizable, &Seen::default()));
    planet.pass(WAIT);
    let refused = planet.found(ticket);
    assert!(is_catching_up(&refused), "{refused:?}");
    // It has no vote: one of two others is not a majority.
    for region in [home, near] {
        let ticket =
            planet.ask_read(region, &register, "q", how(ReadLevel::Quorum, &Seen::default()));
        planet.pass(WAIT);
        let refused = planet.found(ticket);
        let is_refused = matches!(refused, Err(Refusal::Data(DataRefusal::ReadNotReached { .. })));
        assert!(is_refused, "{region}: {refused:?}");
    }
    // What asks for no agreement works.
    planet.write(home, &register, put("other", "x")).unwrap();
    assert_eq!(planet.read(home, &register, "other"), "=x");

    planet.link(far);
    planet.pass(WAIT);
    let ticket = planet.ask_write(home, &register, absent("second"));
    let refused = planet.written(ticket);
    assert!(matches!(refused, Err(Refusal::Data(DataRefusal::Unexpected { .. }))), "{refused:?}");
    let read = how(ReadLevel::Quorum, &Seen::default());
    assert_eq!(text(&planet.read_as(near, &register, "q", read).unwrap()), "=kept");

    // It is written down: a start from the same log need not ask again.
    planet.cut(far);
    planet.cut(near);
    planet.restart_as(home, 2);
    let ticket = planet.ask_write(home, &register, absent("third"));
    let refused = planet.written(ticket);
    assert!(matches!(refused, Err(Refusal::Data(DataRefusal::Unexpected { .. }))), "{refused:?}");
}

#[test]
fn a_region_does_not_wait_for_what_another_one_has_lost_since() {
    let mut planet = Planet::new();
    let register = planet.declare("ap", dataset(Kind::Register));
    planet.cut("us");
    planet.cut("ap");
    planet.write("eu", &register, put("k", "lost")).unwrap();
    // `ap` hears what `eu` has, and before it can take it, `eu` loses its disk as well.
    planet.lose_disk("ap", &[]);
    planet.input("ap", Input::Disk(Disk::Full));
    planet.link_two("ap", "eu");
    planet.pass(WAIT);
    planet.lose_disk("eu", &["ap"]);
    planet.input("ap", Input::Disk(Disk::Ready));
    planet.link("us");
    planet.link("eu");
    planet.pass(WAIT);
    for n in 0..6 {
        let absent = Write { expect: Some(Expect::Absent), ..put(&format!("k{n}"), "v") };
        planet.write("ap", &register, absent).unwrap();
    }
}
