//! Stories of the rights of bounded counters: they go to where they are used.
//! Faults are the simulator's; here it is shown what the machine does when all goes well.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod planet;
mod records;

use std::time::Duration;

use photon_region::data::{DataCommand, DataRefusal, DatasetName, Kind};
use photon_region::{Command, Input, Ticket};
use photon_state::Seen;
use planet::{Planet, id};
use records::*;

impl Planet {
    /// Takes from a quota somewhere; returns the region that decided.
    fn take(&mut self, region: &'static str, of: &DatasetName, by: i64) -> String {
        self.write(region, of, add(-by)).unwrap().region.to_string()
    }

    /// Lets several regions take at the same time.
    fn take_at_once(&mut self, of: &DatasetName, takes: &[(&'static str, i64)]) -> Vec<Ticket> {
        let mut tickets = Vec::new();
        let mut inputs = std::collections::VecDeque::new();
        for (region, by) in takes {
            let (dataset, writes) = (of.clone(), vec![add(-by)]);
            let (level, session, wait) = (None, Seen::default(), WAIT);
            let write = DataCommand::Write { dataset, writes, level, session, wait };
            self.last_ticket += 1;
            tickets.push(self.last_ticket);
            inputs.push_back((*region, Input::Command(self.last_ticket, Command::Data(write))));
        }
        self.inputs(inputs);
        tickets
    }
}

#[test]
fn after_one_take_elsewhere_the_next_ones_are_answered_here() {
    let mut planet = Planet::new();
    let quota = planet.declare("ap", dataset(Kind::BoundedCounter));
    planet.write("eu", &quota, add(1_000)).unwrap();
    let elsewhere = (0..200).filter(|_| planet.take("us", &quota, 1) != "us").count();
    assert!(elsewhere <= 4, "{elsewhere} of 200 takes had to ask");
    // It spends what it holds while the other one is away, and what the other one keeps is safe.
    planet.cut("eu");
    assert_eq!(planet.take("us", &quota, 1), "us");
    assert_eq!(planet.take("eu", &quota, 300), "eu");
    planet.link("eu");
    for region in ["ap", "eu", "us"] {
        assert_eq!(planet.read(region, &quota, "k"), "499");
    }
    assert!(planet.regions["eu"].view().counters.rights_given <= 4);
}

#[test]
fn rights_that_a_region_uses_itself_are_not_given_away() {
    let mut planet = Planet::new();
    let quota = planet.declare("ap", dataset(Kind::BoundedCounter));
    planet.write("eu", &quota, add(100)).unwrap();
    assert_eq!(planet.take("eu", &quota, 50), "eu");
    // 49 are left, and 50 were used here a moment ago.
    assert_eq!(planet.take("us", &quota, 1), "eu");
    assert_eq!(planet.take("us", &quota, 1), "eu");
    planet.pass(Duration::from_secs(90));
    assert_eq!(planet.take("us", &quota, 1), "eu");
    assert_eq!(planet.take("us", &quota, 1), "us", "it is long ago");
}

#[test]
fn a_take_for_which_no_region_has_enough_brings_rights_together() {
    let mut planet = Planet::new();
    let quota = planet.declare("ap", dataset(Kind::BoundedCounter));
    planet.write("eu", &quota, add(6)).unwrap();
    planet.write("us", &quota, add(6)).unwrap();
    assert_eq!(planet.take("ap", &quota, 10), "ap");
    let overdrawn = DataRefusal::Overdrawn { asked: 3, value: 2 };
    assert_eq!(planet.write("ap", &quota, add(-3)), Err(overdrawn.into()));
    assert_eq!(planet.read("us", &quota, "k"), "2");
    // What cannot be reached cannot be brought, and nobody waits for it.
    planet.write("eu", &quota, add(6)).unwrap();
    planet.cut("eu");
    let gone = planet.write("ap", &quota, add(-8));
    assert_eq!(gone, Err(DataRefusal::Overdrawn { asked: 8, value: 8 }.into()));
}

#[test]
fn of_two_regions_that_need_the_rights_of_each_other_one_gets_them() {
    let mut planet = Planet::new();
    let quota = planet.declare("ap", dataset(Kind::BoundedCounter));
    planet.write("eu", &quota, add(5)).unwrap();
    planet.write("us", &quota, add(5)).unwrap();
    let tickets = planet.take_at_once(&quota, &[("us", 8), ("eu", 8)]);
    planet.pass(2 * WAIT);
    let written: Vec<_> = tickets.into_iter().map(|it| planet.written(it)).collect();
    let missed = DataRefusal::Overdrawn { asked: 8, value: 2 };
    assert_eq!(written[0].as_ref().err(), Some(&missed.into()));
    assert_eq!(written[1].as_ref().unwrap().region, id("eu"));
    assert_eq!(planet.read("ap", &quota, "k"), "2");
}
