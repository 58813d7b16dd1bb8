//! Stories of clients who ask about a task where it is not: outside its placement, or too early.
//! Must not be told of a task that may not be shown there.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod planet;

use std::time::Duration;

use bytes::Bytes;
use photon_region::data::Outside;
use photon_region::{
    AtHome, Command, Config, Event, Input, Json, Limits, Message, Outcome, Refusal, Region, Reply,
    Spec, Stamped, TaskDetail, TaskId, TaskState, Ticket,
};
use planet::{Planet, agent_in, config, id, task_in, west};

impl Planet {
    /// Accepts a task that nobody outside `west` holds, for an agent in `us`.
    fn submit(&mut self, name: &'static str) -> TaskId {
        let spec = agent_in(west(), "shout", 4);
        self.get("us", Command::Register(spec)).unwrap();
        let spec = Spec { message: Json(Bytes::from_static(b"{\"secret\":1}")), ..task_in(west()) };
        match self.get(name, Command::Submit(spec)) {
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

    fn follow(&mut self, name: &'static str, task: TaskId, after: u64) -> Ticket {
        self.ask(name, Command::Events { task, after, wait: Duration::from_secs(20) })
    }

    fn events(&mut self, ticket: Ticket) -> Vec<Stamped> {
        match self.replies.remove(&ticket) {
            Some(Ok(Reply::Events { events, .. })) => events,
            other => panic!("{other:?}"),
        }
    }

    fn cancel(&mut self, name: &'static str, task: TaskId) -> Result<Reply, Refusal> {
        self.get(name, Command::AtHome(AtHome::Cancel { task, message: None }))
    }
}

#[test]
fn every_region_answers_for_every_task_and_says_how_old_the_answer_may_be() {
    let mut planet = Planet::new();
    let task = planet.submit("eu");
    planet.pass(Duration::from_secs(2));
    let detail = planet.task("ap", task);
    assert_eq!((detail.summary.id, detail.staleness), (task, Some(Duration::ZERO)), "by its home");
    assert_eq!(detail.summary.spec.message.0, "{\"secret\":1}");
    let staleness = planet.task("us", task).staleness.unwrap();
    assert!(Duration::ZERO < staleness && staleness < Duration::from_secs(3), "{staleness:?}");
    assert_eq!(planet.task("eu", task).staleness, Some(Duration::ZERO));
    // Nothing is kept of it.
    assert!(planet.logs["ap"].iter().all(|op| op.stream.placement != west()));
    assert_eq!(planet.regions["ap"].view().counters.looked_elsewhere, 1);
}

#[test]
fn who_follows_a_task_from_outside_hears_each_event_and_can_call_it_off() {
    let mut planet = Planet::new();
    let task = planet.submit("eu");
    let first = planet.follow("ap", task, 0);
    let events = planet.events(first);
    let last = events.last().unwrap().generation;
    let next = planet.follow("ap", task, last);
    planet.pass(Duration::from_secs(1));
    assert!(!planet.replies.contains_key(&next), "nothing has happened");
    let reply = planet.cancel("ap", task).unwrap();
    assert!(matches!(reply, Reply::Standing { state: TaskState::Canceled, .. }), "{reply:?}");
    let [Stamped { event: Event::Ended { outcome: Outcome::Canceled, .. }, .. }] =
        planet.events(next)[..]
    else {
        panic!("a task that was called off has ended")
    };
}

#[test]
fn the_next_region_that_has_a_task_answers_once_its_home_is_gone() {
    let mut planet = Planet::new();
    let task = planet.submit("eu");
    let before = planet.task("ap", task);
    let next = planet.follow("ap", task, before.summary.generation);
    planet.cut("eu");
    assert_eq!(planet.task("ap", task).summary.id, task, "from the replica in `us`");
    assert!(!planet.replies.contains_key(&next), "the follower is carried over");
    planet.pass(Duration::from_secs(6));
    // `us` has become its home, and decides.
    let reply = planet.cancel("ap", task).unwrap();
    assert!(matches!(reply, Reply::Standing { state: TaskState::Canceled, .. }), "{reply:?}");
    let events = planet.events(next);
    let generations: Vec<u64> = events.iter().map(|it| it.generation).collect();
    let expected = before.summary.generation + 1;
    assert_eq!(generations, (expected..).take(events.len()).collect::<Vec<_>>());
    assert_eq!(planet.task("ap", task).summary.home, id("us"));
}

#[test]
fn where_it_is_so_configured_nobody_outside_is_shown_a_task() {
    let strict = |name: &'static str| {
        let limits = Limits { tasks_outside: Outside::Refuse, ..Limits::default() };
        Region::new(Config { limits, ..config(name) })
    };
    let outside = || {
        let (region, placement, members) = (id("ap"), west(), vec![id("eu"), id("us")]);
        Err(Refusal::OutsidePlacement { region, placement, members })
    };
    let mut planet = Planet::of(strict);
    let task = planet.submit("eu");
    assert_eq!(planet.get("ap", Command::Task(task)), outside());
    // A region outside that asks all the same is refused by those inside.
    let lax = |name: &'static str| match name {
        "ap" => Region::new(config(name)),
        _ => strict(name),
    };
    let mut planet = Planet::of(lax);
    let task = planet.submit("eu");
    assert_eq!(planet.get("ap", Command::Task(task)), outside());
    let follow = planet.follow("ap", task, 0);
    assert_eq!(planet.replies.remove(&follow), Some(outside()));
    assert_eq!(planet.cancel("ap", task), outside());
}

#[test]
fn a_task_that_has_not_arrived_is_looked_for_at_its_home() {
    let mut planet = Planet::new();
    planet.submit("eu");
    planet.drop_ops = |op| op.stream.placement == west() && op.stream.origin == id("eu");
    let task = planet.submit("eu");
    let ticket = planet.ask("us", Command::Task(task));
    assert!(!planet.replies.contains_key(&ticket), "it may be on its way");
    planet.pass(Duration::from_secs(3));
    let Some(Ok(Reply::Task(detail))) = planet.replies.remove(&ticket) else {
        panic!("{:?}", planet.replies)
    };
    assert_eq!((detail.summary.id, detail.staleness), (task, Some(Duration::ZERO)));
}

#[test]
fn a_task_that_never_was_is_nowhere() {
    let mut planet = Planet::new();
    let task = planet.submit("eu");
    let mut bytes = task.to_bytes();
    bytes[15] ^= 1;
    let never = TaskId::from_bytes(bytes);
    assert_eq!(planet.get("ap", Command::Task(never)), Err(Refusal::NoSuchTask(never)));
    assert_eq!(planet.get("eu", Command::Task(never)), Err(Refusal::NoSuchTask(never)));
    let ticket = planet.ask("us", Command::Task(never));
    planet.pass(Duration::from_secs(3));
    assert_eq!(planet.replies.remove(&ticket), Some(Err(Refusal::NoSuchTask(never))));
    let unknown = TaskId::from_bytes([0xff; 16]); // Of no placement.
    assert_eq!(planet.get("ap", Command::Task(unknown)), Err(Refusal::NoSuchTask(unknown)));
}

#[test]
fn a_look_that_nobody_answers_is_given_up() {
    let mut planet = Planet::new();
    let task = planet.submit("eu");
    planet.passes = |from, to, _: &mut Message| from != "ap" && to != "ap";
    let ticket = planet.ask("ap", Command::Task(task));
    planet.pass(Duration::from_secs(12));
    let unreachable = Err(Refusal::HomeUnreachable { region: id("eu") });
    assert_eq!(planet.replies.remove(&ticket), Some(unreachable));
    planet.passes = |_, _, _: &mut Message| true;
    for peer in ["eu", "us"] {
        planet.input("ap", Input::Unlinked(id(peer)));
        planet.input(peer, Input::Unlinked(id("ap")));
        planet.link_two("ap", peer);
    }
    planet.pass(Duration::from_secs(2));
    assert_eq!(planet.task("ap", task).summary.id, task);
}
