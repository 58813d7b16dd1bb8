//! Stories of agents that go from one region to another, and of what they take with them.
//! Faults at random are the simulator's.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod planet;

use std::time::Duration;

use bytes::Bytes;
use photon_region::{
    AgentName, AtHome, Command, Json, Lease, Note, Outcome, Pause, Refusal, Reply, TaskId,
    TaskState,
};
use photon_state::RegionId;
use planet::Planet;

impl Planet {
    fn acquire(&mut self, name: &'static str, agent: &str) -> Option<Lease> {
        let acquire = Command::Acquire { agent: agent.into(), limit: 1, wait: Duration::ZERO };
        match self.get(name, acquire) {
            Ok(Reply::Leases(mut leases)) => leases.pop(),
            other => panic!("{other:?}"),
        }
    }

    fn worker(&mut self, name: &'static str, task: TaskId) -> Option<(AgentName, RegionId)> {
        match self.get(name, Command::Task(task)) {
            Ok(Reply::Task(detail)) => detail.summary.worker.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn is_online(&mut self, name: &'static str, agent: &str) -> bool {
        match self.get(name, Command::Agent(agent.into())) {
            Ok(Reply::Agent(agent)) => agent.is_online,
            other => panic!("{other:?}"),
        }
    }
}

/// What an agent was given, and had not taken up yet when it went to another region, is given to it
/// there without anybody waiting for the time to pass in which it should have done so.
fn check_is_given_again(home: &'static str, gone: impl FnOnce(&mut Planet)) {
    let mut planet = Planet::new();
    planet.attach("eu", "one");
    let task = planet.submit_one(home);
    assert_eq!(planet.worker("us", task), Some(("one".into(), planet::id("eu"))));
    gone(&mut planet);
    planet.pass(Duration::from_secs(1));
    let lease = planet.acquire("us", "one").expect("it was given again");
    assert_eq!((lease.claim.task, lease.claim.token.attempt()), (task, 2));
}

#[test]
fn what_was_not_taken_up_is_given_again_where_the_agent_has_gone() {
    check_is_given_again("ap", |planet| planet.attach("us", "one"));
    check_is_given_again("eu", |planet| planet.attach("us", "one"));
    check_is_given_again("us", |planet| planet.attach("us", "one"));
    check_is_given_again("ap", |planet| {
        planet.get("eu", Command::Deregister("one".into())).unwrap();
        planet.attach("us", "one");
    });
}

#[test]
fn an_agent_that_works_on_elsewhere_is_alive_there() {
    let mut planet = Planet::new();
    planet.attach("eu", "one");
    let task = planet.submit_one("ap");
    let lease = planet.acquire("eu", "one").unwrap();
    planet.attach("us", "one");
    for _ in 0..10 {
        planet.get("us", Command::AtHome(AtHome::Heartbeat(lease.claim))).unwrap();
        planet.pass(Duration::from_secs(4));
        assert!(planet.is_online("ap", "one"), "it is full, and does not ask for more");
    }
    assert_eq!(planet.worker("ap", task), Some(("one".into(), planet::id("eu"))));
    planet.pass(Duration::from_secs(20));
    assert!(!planet.is_online("ap", "one"));
}

#[test]
fn an_attempt_does_not_end_without_all_that_its_worker_told() {
    let json = || Json(Bytes::from_static(b"{}"));
    let message = || Some(json());
    let end = |planet: &mut Planet, make: &dyn Fn(u64) -> AtHome, state| {
        let refused = planet.get("eu", Command::AtHome(make(3)));
        assert_eq!(refused, Err(Refusal::NoteGap { first: 4, expected: 3 }));
        let huge = planet.get("eu", Command::AtHome(make(u64::MAX)));
        assert_eq!(huge, Err(Refusal::NoteGap { first: u64::MAX, expected: 3 }));
        for _ in 0..2 {
            let done = planet.get("eu", Command::AtHome(make(2)));
            assert!(matches!(done, Ok(Reply::Standing { state: it, .. }) if it == state));
        }
    };
    let check = |state, ask: &dyn Fn(&Lease, Option<u64>) -> AtHome| {
        let mut planet = Planet::new();
        planet.attach("eu", "one");
        planet.submit_one("ap");
        let lease = planet.acquire("eu", "one").unwrap();
        let notes = vec![Note::Status(json()), Note::Status(json())];
        let note = AtHome::Note { claim: lease.claim, first: 1, notes };
        planet.get("eu", Command::AtHome(note)).unwrap();
        end(&mut planet, &|notes| ask(&lease, Some(notes)), state);
    };
    check(TaskState::Completed, &|lease, notes| AtHome::Finish {
        claim: lease.claim,
        notes,
        outcome: Outcome::Completed,
        message: message(),
    });
    check(TaskState::Failed, &|lease, notes| AtHome::Fail {
        claim: lease.claim,
        notes,
        message: message(),
    });
    check(TaskState::InputRequired, &|lease, notes| AtHome::Pause {
        claim: lease.claim,
        notes,
        why: Pause::Input,
        message: message(),
    });
}
