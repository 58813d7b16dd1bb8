//! Stories of clients who ask twice under one idempotency key, in regions that do not hear of each
//! other: one task is done.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod planet;

use std::time::Duration;

use photon_region::{
    AtHome, Command, Idempotency, Outcome, Refusal, Reply, Spec, TaskDetail, TaskId, TaskState,
};
use photon_state::PlacementId;
use planet::{Planet, agent_in, id, task_in};

fn spec(digest: u8) -> Spec {
    Spec {
        idempotency: Some(Idempotency { key: "order-17".into(), digest: [digest; 16] }),
        ..task_in(PlacementId::global())
    }
}

impl Planet {
    /// Announces an agent in `eu` that works on as many tasks at once.
    fn register(&mut self, capacity: u32) {
        let spec = agent_in(PlacementId::global(), "shout", capacity);
        self.get("eu", Command::Register(spec)).unwrap();
    }

    fn submit(&mut self, name: &'static str, digest: u8) -> TaskId {
        match self.get(name, Command::Submit(spec(digest))) {
            Ok(Reply::Submitted { task, .. }) => task.id,
            other => panic!("{other:?}"),
        }
    }

    fn task(&mut self, name: &'static str, task: TaskId) -> TaskDetail {
        match self.get(name, Command::Task(task)) {
            Ok(Reply::Task(detail)) => *detail,
            other => panic!("{other:?}"),
        }
    }

    fn gave_way(&self) -> u64 {
        self.regions.values().map(|it| it.view().counters.gave_way).sum()
    }

    /// Lets the agent in `eu` finish a task.
    fn finish(&mut self, task: TaskId) {
        let acquire = Command::Acquire { agent: "shout".into(), limit: 9, wait: Duration::ZERO };
        let Ok(Reply::Leases(leases)) = self.get("eu", acquire) else { panic!() };
        let claim = leases.iter().find(|it| it.claim.task == task).unwrap().claim;
        let finish =
            AtHome::Finish { claim, notes: None, outcome: Outcome::Completed, message: None };
        self.get("eu", Command::AtHome(finish)).unwrap();
    }

    /// Cuts `ap` off, and lets others become the home of what it was the home of.
    fn lose_ap(&mut self) {
        self.cut("ap");
        self.pass(Duration::from_secs(6));
    }

    fn find_ap(&mut self) {
        self.link("ap");
        self.pass(Duration::from_secs(8));
    }
}

#[test]
fn what_comes_back_gives_way_to_what_was_asked_again_and_taken_up() {
    let mut planet = Planet::new();
    planet.register(4);
    planet.lose_ap();
    let first = planet.submit("ap", 1);
    let second = planet.submit("us", 1);
    assert_ne!(first, second, "neither region has heard of the other");
    assert_eq!(planet.task("us", second).summary.state, TaskState::Working);
    planet.find_ap();
    assert_eq!(planet.task("us", first).summary.state, TaskState::Submitted, "it waits");
    assert_eq!(planet.submit("ap", 1), second, "the key is that of the one that goes on");
    planet.finish(second);
    for name in ["ap", "eu", "us"] {
        let detail = planet.task(name, first);
        assert_eq!((detail.summary.state, detail.summary.attempt), (TaskState::Rejected, 0));
        let message = String::from_utf8(detail.message.unwrap().0.to_vec()).unwrap();
        assert!(message.contains(&format!("\"referenceTaskIds\":[\"{second}\"]")), "{message}");
        assert_eq!(planet.task(name, second).summary.state, TaskState::Completed);
        assert_eq!(planet.submit(name, 1), second, "the key is that of the one that goes on");
    }
    assert_eq!(planet.gave_way(), 1);
}

#[test]
fn of_two_that_nobody_has_taken_up_the_elder_stays() {
    let mut planet = Planet::new();
    planet.register(0);
    planet.lose_ap();
    let first = planet.submit("ap", 1);
    planet.pass(Duration::from_secs(1));
    let second = planet.submit("us", 1);
    planet.find_ap();
    assert_eq!(planet.task("us", first).summary.state, TaskState::Submitted);
    assert_eq!(planet.task("us", second).summary.state, TaskState::Rejected);
    planet.register(1);
    assert_eq!(planet.task("us", first).summary.state, TaskState::Working);
    assert_eq!((planet.gave_way(), planet.submit("eu", 1)), (1, first));
}

#[test]
fn what_a_client_has_called_off_does_not_come_back() {
    let mut planet = Planet::new();
    planet.register(0);
    planet.lose_ap();
    let first = planet.submit("ap", 1);
    planet.pass(Duration::from_secs(1));
    let second = planet.submit("us", 1);
    let cancel = AtHome::Cancel { task: second, message: None };
    planet.get("us", Command::AtHome(cancel)).unwrap();
    planet.register(1);
    planet.find_ap();
    assert_eq!(planet.task("us", first).summary.state, TaskState::Rejected);
    assert_eq!(planet.submit("ap", 1), second);
}

#[test]
fn what_waits_in_a_region_without_a_majority_gives_way_to_what_has_begun() {
    let mut planet = Planet::new();
    planet.register(4);
    planet.cut("us");
    planet.pass(Duration::from_secs(6));
    let first = planet.submit("ap", 1);
    assert_eq!(planet.task("ap", first).summary.state, TaskState::Working);
    // Nobody can claim it in `us`, which has no majority: it waits there, and gives way.
    let second = planet.submit("us", 1);
    planet.link("us");
    planet.pass(Duration::from_secs(8));
    assert_eq!(planet.task("eu", second).summary.state, TaskState::Submitted, "it waits");
    planet.finish(first);
    assert_eq!(planet.task("eu", second).summary.state, TaskState::Rejected);
    assert_eq!(planet.task("us", first).summary.state, TaskState::Completed);
}

#[test]
fn a_key_that_was_used_for_different_things_makes_no_twins() {
    let mut planet = Planet::new();
    planet.register(4);
    planet.lose_ap();
    let first = planet.submit("ap", 1);
    let second = planet.submit("us", 2);
    planet.find_ap();
    assert_eq!(planet.task("eu", first).summary.state, TaskState::Working);
    assert_eq!(planet.task("eu", second).summary.state, TaskState::Working);
    assert_eq!(planet.gave_way(), 0);
    let holder = planet.get("eu", Command::Submit(spec(3)));
    assert!(matches!(holder, Err(Refusal::KeyReused { .. })), "{holder:?}");
    assert_eq!(planet.task("eu", first).summary.home, planet.task("us", first).summary.home);
    assert_ne!(planet.task("eu", second).summary.home, id("ap"));
}
