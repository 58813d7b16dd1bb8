//! Stories of paths that are bad while both of their ends live: a third region stands between them.
//! Regions that are down, and faults at random, are the simulator's.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod planet;

use std::time::Duration;

use photon_region::{
    AtHome, Command, Input, Lease, Message, Outcome, PeerVerdict, Refusal, Reply, TaskId,
    TaskState, Ticket,
};
use photon_state::PlacementId;
use planet::{Planet, agent_in, id, task_in, west};

impl Planet {
    fn register(&mut self, name: &'static str, agent: &str, placement: PlacementId) {
        let spec = agent_in(placement, agent, 4);
        self.get(name, Command::Register(spec)).unwrap();
        let wait = Duration::ZERO; // Whoever polls is online.
        self.get(name, Command::Acquire { agent: agent.into(), limit: 1, wait }).unwrap();
    }

    fn submit(&mut self, name: &'static str, placement: PlacementId) -> TaskId {
        let spec = task_in(placement);
        match self.get(name, Command::Submit(spec)) {
            Ok(Reply::Submitted { task, .. }) => task.id,
            other => panic!("{other:?}"),
        }
    }

    fn leases(&mut self, name: &'static str, agent: &str) -> Vec<Lease> {
        let wait = Duration::ZERO;
        match self.get(name, Command::Acquire { agent: agent.into(), limit: 4, wait }) {
            Ok(Reply::Leases(leases)) => leases,
            other => panic!("{other:?}"),
        }
    }

    fn finish(&mut self, name: &'static str, lease: &Lease) -> Ticket {
        let (claim, outcome) = (lease.claim, Outcome::Completed);
        self.ask(
            name,
            Command::AtHome(AtHome::Finish { claim, notes: None, outcome, message: None }),
        )
    }

    fn state(&mut self, name: &'static str, task: TaskId) -> TaskState {
        match self.get(name, Command::Task(task)) {
            Ok(Reply::Task(detail)) => detail.summary.state,
            other => panic!("{other:?}"),
        }
    }

    /// Closes the link between two regions.
    fn part(&mut self, one: &'static str, other: &'static str) {
        let both = [(one, Input::Unlinked(id(other))), (other, Input::Unlinked(id(one)))];
        self.inputs(both.into());
    }
}

#[test]
fn an_agent_behind_a_bad_path_is_given_work_by_way_of_a_third_region() {
    let mut planet = Planet::new();
    planet.register("us", "shout", PlacementId::global());
    planet.part("ap", "us");
    planet.pass(Duration::from_secs(1));
    let task = planet.submit("ap", PlacementId::global());
    planet.pass(Duration::from_secs(1));
    let leases = planet.leases("us", "shout");
    assert_eq!((leases.len(), leases[0].home), (1, id("ap")));
    let ticket = planet.finish("us", &leases[0]);
    assert!(matches!(planet.replies[&ticket], Ok(Reply::Standing { .. })), "{:?}", planet.replies);
    assert_eq!(planet.state("us", task), TaskState::Completed);
    assert_eq!(planet.regions["us"].view().counters.detoured, 1);
    assert_eq!(planet.regions["eu"].view().counters.passed_on, 1);
}

#[test]
fn a_path_that_is_silent_is_gone_around_as_soon_as_that_is_known() {
    let mut planet = Planet::new();
    planet.register("us", "shout", PlacementId::global());
    planet.passes = |from, to, _: &mut Message| !matches!((from, to), ("ap", "us") | ("us", "ap"));
    planet.pass(Duration::from_secs(2)); // Nobody has closed the link.
    let task = planet.submit("ap", PlacementId::global());
    planet.pass(Duration::from_millis(500));
    let leases = planet.leases("us", "shout");
    let [lease] = &leases[..] else { panic!("{leases:?}") };
    let ticket = planet.finish("us", lease);
    assert!(matches!(planet.replies[&ticket], Ok(Reply::Standing { .. })), "{:?}", planet.replies);
    planet.pass(Duration::from_millis(500));
    assert_eq!(planet.state("us", task), TaskState::Completed);
}

#[test]
fn who_is_agreed_to_be_out_is_given_nothing_over_a_link_that_nobody_has_closed() {
    let mut planet = Planet::new();
    planet.register("ap", "shout", PlacementId::global());
    planet.passes = |from, to, _: &mut Message| from != "ap" && to != "ap";
    planet.pass(Duration::from_secs(4));
    let verdict = planet.regions["eu"].verdict_on(id("ap"));
    assert_eq!(verdict, PeerVerdict::Down);
    let task = planet.submit("eu", PlacementId::global());
    planet.pass(Duration::from_secs(3));
    assert_eq!(planet.state("eu", task), TaskState::Submitted, "its worker would never hear of it");
    planet.passes = |_, _, _| true;
    planet.pass(Duration::from_secs(2));
    let leases = planet.leases("ap", "shout");
    assert_eq!((leases.len(), leases[0].home), (1, id("eu")));
}

#[test]
fn no_way_leads_through_a_region_that_may_not_hold_the_task() {
    let mut planet = Planet::new();
    planet.register("us", "shout", west());
    let task = planet.submit("eu", west());
    let leases = planet.leases("us", "shout");
    assert_eq!((leases.len(), leases[0].home), (1, id("eu")));
    planet.get("us", Command::AtHome(AtHome::Heartbeat(leases[0].claim))).unwrap();
    planet.part("eu", "us");
    planet.pass(Duration::from_secs(1));
    // `ap` has good paths to both, and is outside.
    let waits = planet.submit("eu", west());
    planet.pass(Duration::from_secs(1));
    assert_eq!(planet.state("eu", waits), TaskState::Submitted);
    let ticket = planet.finish("us", &leases[0]);
    planet.pass(Duration::from_secs(6));
    let unreachable = Refusal::HomeUnreachable { region: id("eu") };
    assert_eq!(planet.replies.remove(&ticket), Some(Err(unreachable)));
    assert_eq!(planet.regions["ap"].view().counters.passed_on, 0);
    planet.inputs([("eu", Input::Linked(id("us"))), ("us", Input::Linked(id("eu")))].into());
    planet.pass(Duration::from_secs(1));
    let ticket = planet.finish("us", &leases[0]);
    assert!(matches!(planet.replies[&ticket], Ok(Reply::Standing { .. })), "{:?}", planet.replies);
    assert_eq!(planet.state("eu", task), TaskState::Completed);
    assert_eq!(planet.state("eu", waits), TaskState::Working);
}

#[test]
fn a_worker_is_heard_as_soon_as_a_third_region_can_pass_its_words_on() {
    let mut planet = Planet::new();
    planet.register("us", "shout", PlacementId::global());
    let task = planet.submit("ap", PlacementId::global());
    let leases = planet.leases("us", "shout");
    planet.part("ap", "us");
    planet.part("eu", "us");
    let ticket = planet.finish("us", &leases[0]);
    assert!(!planet.replies.contains_key(&ticket), "there is no way");
    planet.inputs([("eu", Input::Linked(id("us"))), ("us", Input::Linked(id("eu")))].into());
    planet.pass(Duration::from_secs(1));
    assert!(matches!(planet.replies[&ticket], Ok(Reply::Standing { .. })), "{:?}", planet.replies);
    assert_eq!(planet.state("ap", task), TaskState::Completed);
}
