//! Stories of regions that are configured otherwise than all have agreed: two of them never decide
//! about the same tasks. And of regions that come to a planet which was founded without them.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod planet;

use std::collections::BTreeSet;
use std::time::Duration;

use photon_region::{
    Command, Config, Govern, GovernRefusal, PlacementView, PlanetView, Refusal, Region, Reply,
    TaskId, TaskState,
};
use photon_state::PlacementId;
use planet::{Planet, agent_in, config, id, task_in, west};

const SECOND: Duration = Duration::from_secs(1);

/// A region in whose configuration `west` has these regions.
fn placed(name: &'static str, west_is: &[&str]) -> Config {
    let mut config = config(name);
    config.placements.insert(west(), west_is.iter().map(|it| id(it)).collect());
    config
}

impl Planet {
    fn register(&mut self, name: &'static str, placement: PlacementId) {
        let spec = agent_in(placement, &format!("of-{name}"), 99);
        self.get(name, Command::Register(spec)).unwrap();
    }

    fn submit(&mut self, name: &'static str) -> Result<TaskId, Refusal> {
        let spec = task_in(west());
        let ticket = self.ask(name, Command::Submit(spec));
        self.pass(6 * SECOND);
        match self.replies.remove(&ticket).unwrap() {
            Ok(Reply::Submitted { task, .. }) => Ok(task.id),
            Err(refusal) => Err(refusal),
            other => panic!("{other:?}"),
        }
    }

    fn state(&mut self, name: &'static str, task: TaskId) -> TaskState {
        match self.get(name, Command::Task(task)) {
            Ok(Reply::Task(detail)) => detail.summary.state,
            other => panic!("{other:?}"),
        }
    }

    fn govern(&mut self, name: &'static str, wanted: Govern) -> Result<PlanetView, Refusal> {
        let ticket = self.ask(name, Command::Govern(wanted));
        self.pass(6 * SECOND); // A leader that is removed hands over first.
        match self.replies.remove(&ticket).unwrap() {
            Ok(Reply::Planet(view)) => Ok(view),
            Err(refusal) => Err(refusal),
            other => panic!("{other:?}"),
        }
    }

    /// Starts a region again with another configuration.
    fn restart_as_placed(&mut self, name: &'static str, west_is: &[&str]) {
        self.cut(name);
        let mut region = Region::new(placed(name, west_is));
        self.logs[name].iter().for_each(|op| region.replay(op.clone()));
        region.start(self.now);
        self.regions.insert(name, region);
        self.appended.insert(name, 0);
        self.link(name);
        self.pass(3 * SECOND);
    }

    fn differs(&self, name: &str) -> bool {
        self.regions[name].view().placed_otherwise == [west()]
    }

    fn west_as_seen(&mut self, name: &'static str) -> PlacementView {
        let view = self.govern(name, Govern::Show).unwrap();
        view.placements.into_iter().find(|it| it.placement == west()).unwrap()
    }
}

#[test]
fn a_region_that_is_configured_otherwise_decides_about_none_of_the_tasks() {
    let make = |name: &'static str| match name {
        "us" => Region::new(placed("us", &["us"])),
        _ => Region::new(config(name)),
    };
    let mut planet = Planet::of(make);
    assert_eq!(["ap", "eu", "us"].map(|it| planet.differs(it)), [false, false, true]);
    let seen = planet.west_as_seen("us");
    assert_eq!((seen.regions, seen.is_configured), (vec![id("eu"), id("us")], false));
    // It takes itself for the home of all, and the others have half of it elsewhere.
    planet.register("eu", west());
    planet.register("us", west());
    let task = planet.submit("eu").unwrap();
    assert_eq!(planet.state("eu", task), TaskState::Working);
    let waits: Vec<TaskId> = (0..8).map(|_| planet.submit("us").unwrap()).collect();
    for task in &waits {
        let home = planet.regions["us"].home_and_epoch(*task).unwrap().0;
        assert_eq!(home, planet.regions["eu"].home_and_epoch(*task).unwrap().0);
        assert_eq!(home, id("us"), "it accepts what it is the home of");
        assert_eq!(planet.state("us", *task), TaskState::Submitted, "and does not decide");
    }
    // Mended, it goes on with what waited.
    planet.restart_as_placed("us", &["eu", "us"]);
    assert!(!planet.differs("us"));
    planet.register("us", west()); // It has not been heard of for long.
    for task in waits {
        assert_eq!(planet.state("us", task), TaskState::Working);
    }
}

#[test]
fn a_placement_gets_other_regions_once_all_agree() {
    let mut planet = Planet::new();
    planet.register("eu", west());
    planet.register("us", west());
    let before = planet.submit("us").unwrap();
    assert_eq!(planet.state("us", before), TaskState::Working);
    // Who leads has the old configuration: nothing changes.
    assert_eq!(planet.govern("us", Govern::Adopt).unwrap().placements.len(), 3);
    for name in ["ap", "eu", "us"] {
        planet.restart_as_placed(name, &["eu"]);
        assert!(planet.differs(name), "{name} is ahead of what was agreed");
    }
    // A region that leaves has to hand over what it is the home of first.
    let refused = planet.govern("us", Govern::Adopt);
    let has_shards = GovernRefusal::HasShards { region: id("us"), shards: 512 };
    assert_eq!(refused, Err(has_shards.into()));
    planet.govern("us", Govern::Drain { region: id("us"), is_forced: true }).unwrap();
    planet.pass(3 * SECOND);
    planet.govern("us", Govern::Adopt).unwrap();
    planet.pass(3 * SECOND);
    assert_ne!(planet.state("eu", before), TaskState::Rejected, "it is there, and goes on");
    for name in ["ap", "eu", "us"] {
        assert!(!planet.differs(name), "{name}");
        assert_eq!(planet.west_as_seen(name).regions, [id("eu")]);
        assert_eq!(planet.regions[name].home_and_epoch(before).unwrap().0, id("eu"));
    }
    planet.register("eu", west()); // It has not been heard of for long.
    let after = planet.submit("eu").unwrap();
    assert_eq!(planet.state("eu", after), TaskState::Working);
}

#[test]
fn a_placement_of_a_region_that_is_no_member_is_not_agreed_on() {
    let mut planet = Planet::new();
    let voters = [id("ap"), id("eu")].into();
    planet.govern("ap", Govern::Voters { voters, is_forced: false }).unwrap();
    planet.govern("ap", Govern::Drain { region: id("us"), is_forced: true }).unwrap();
    planet.govern("ap", Govern::Remove { region: id("us"), is_forced: true }).unwrap();
    // That `us` has gone makes no difference: it is left out of both.
    assert_eq!(["ap", "eu"].map(|it| planet.differs(it)), [false, false]);
    for name in ["ap", "eu"] {
        planet.restart_as_placed(name, &["ap", "eu", "us"]);
        assert!(planet.differs(name));
    }
    let refused = planet.govern("eu", Govern::Adopt);
    assert_eq!(refused, Err(GovernRefusal::NotMember(id("us")).into()));
    // A region that is added brings its placements along.
    planet.govern("ap", Govern::Add { region: id("us") }).unwrap();
    planet.pass(3 * SECOND);
    assert_eq!(["ap", "eu"].map(|it| planet.differs(it)), [false, false]);
    assert_eq!(planet.west_as_seen("eu").regions, [id("ap"), id("eu"), id("us")]);
}

#[test]
fn a_region_is_a_stranger_to_members_that_start_again_before_they_know_what_they_agreed_on() {
    // Two found the planet; the third is configured with them, and they hear nothing of it.
    let make = |name: &'static str| {
        let mut config = config(name);
        config.regions.retain(|it, _| name == "ap" || *it != id("ap"));
        Region::new(config)
    };
    let founded = Planet::of(make);
    let mut agreed = BTreeSet::new();
    // They start again with all three configured, and are linked to the third alone.
    for kept in 1..=founded.logs["eu"].len() {
        let mut planet = Planet::of(make);
        planet.lose_disk("ap", &[]);
        for name in ["eu", "us"] {
            planet.cut(name);
            planet.logs.get_mut(name).unwrap().truncate(kept);
            planet.restart_after(name, SECOND);
        }
        if ["eu", "us"].iter().any(|it| planet.regions[it].view().is_unknown) {
            continue; // They have founded nothing.
        }
        agreed.insert(planet.govern("eu", Govern::Show).unwrap().decree);
        ["eu", "us"].iter().for_each(|it| planet.link_two("ap", it));
        planet.pass(3 * SECOND);
        assert!(planet.regions["ap"].view().is_unknown, "it was never added, after {kept} ops");
    }
    assert!(agreed.contains(&0) && 1 < agreed.len(), "they know of {agreed:?} decrees");
}

#[test]
fn a_founder_that_loses_its_disk_is_told_so_by_members_that_all_came_later() {
    let mut planet = Planet::new();
    for (name, other) in [("us", "ap"), ("ap", "us")] {
        let (region, voters) = (id(name), [id("eu"), id(other)].into());
        for wanted in [
            Govern::Voters { voters, is_forced: false },
            Govern::Drain { region, is_forced: true },
            Govern::Remove { region, is_forced: true },
        ] {
            planet.govern("eu", wanted).unwrap();
        }
        planet.lose_disk(name, &["eu", other]);
        planet.pass(3 * SECOND);
        planet.govern("eu", Govern::Add { region }).unwrap();
        let voters = [id("ap"), id("eu"), id("us")].into();
        planet.govern("eu", Govern::Voters { voters, is_forced: false }).unwrap();
    }
    planet.lose_disk("eu", &["ap", "us"]);
    planet.pass(10 * SECOND);
    assert!(!planet.regions["eu"].view().is_unknown, "it has a name again");
    planet.register("us", west());
    let task = planet.submit("eu").unwrap();
    assert_eq!(planet.state("eu", task), TaskState::Working);
}
