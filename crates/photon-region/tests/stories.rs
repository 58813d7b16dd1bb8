//! Stories of a few regions over a perfect net and disk, each told step by step.
//! Faults are the simulator's; here it is shown what the machine does when all goes well.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod planet;

use std::time::Duration;

use bytes::Bytes;
use photon_region::{
    AtHome, Chunk, Claim, Command, Idempotency, Json, Lease, Note, Outcome, Refusal, Reply, Spec,
    TaskDetail, TaskId, TaskState, Ticket, Token,
};
use photon_state::PlacementId;
use planet::{NAMES, Planet, agent_in, empty, eu_only, id, task_in};

impl Planet {
    fn register(&mut self, name: &'static str, agent: &str, capacity: u32) {
        self.register_within(PlacementId::global(), name, agent, capacity);
    }

    fn register_within(
        &mut self,
        placement: PlacementId,
        name: &'static str,
        agent: &str,
        capacity: u32,
    ) {
        let spec = agent_in(placement, agent, capacity);
        self.get(name, Command::Register(spec)).unwrap();
    }

    fn submit(&mut self, name: &'static str) -> TaskId {
        self.submit_as(name, "hello")
    }

    fn submit_as(&mut self, name: &'static str, message: &str) -> TaskId {
        match self.get(name, Command::Submit(spec(message))) {
            Ok(Reply::Submitted { task, .. }) => task.id,
            other => panic!("{other:?}"),
        }
    }

    fn poll_for_work(&mut self, name: &'static str, agent: &str) -> Ticket {
        let wait = Duration::from_secs(20);
        self.ask(name, Command::Acquire { agent: agent.into(), limit: 1, wait })
    }

    fn lease(&mut self, ticket: Ticket) -> Lease {
        match self.replies.remove(&ticket) {
            Some(Ok(Reply::Leases(mut leases))) if leases.len() == 1 => leases.remove(0),
            other => panic!("{other:?}"),
        }
    }

    fn task(&mut self, name: &'static str, task: TaskId) -> TaskDetail {
        match self.get(name, Command::Task(task)) {
            Ok(Reply::Task(detail)) => *detail,
            other => panic!("{other:?}"),
        }
    }

    fn finish(&mut self, name: &'static str, claim: Claim) -> Result<Reply, Refusal> {
        let finish =
            AtHome::Finish { claim, notes: None, outcome: Outcome::Completed, message: None };
        self.get(name, Command::AtHome(finish))
    }
}

fn json(text: &str) -> Json {
    Json(Bytes::copy_from_slice(text.as_bytes()))
}

fn spec(message: &str) -> Spec {
    let context = message.into();
    Spec { message: json(message), context, ..task_in(PlacementId::global()) }
}

fn chunk(text: &str, append: bool) -> Note {
    let parts = json(text);
    Note::Artifact(Chunk { artifact: "out".into(), name: None, append, last: false, parts })
}

#[test]
fn work_travels_to_the_agent_and_its_result_everywhere() {
    let mut planet = Planet::new();
    planet.register("eu", "shout", 1);
    let poll = planet.poll_for_work("eu", "shout");
    let task = planet.submit("ap");
    let lease = planet.lease(poll);
    assert_eq!((lease.claim.task, lease.home), (task, id("ap")));
    assert_eq!(lease.claim.token, Token::new(1, 1));
    let notes = vec![chunk("[1]", false), chunk("[2]", true)];
    let note = AtHome::Note { claim: lease.claim, first: 1, notes };
    planet.get("eu", Command::AtHome(note.clone())).unwrap();
    planet.get("eu", Command::AtHome(note)).unwrap(); // Said twice, it counts once.
    planet.finish("eu", lease.claim).unwrap();
    for name in NAMES {
        let detail = planet.task(name, task);
        assert_eq!(detail.summary.state, TaskState::Completed, "{name}");
        assert_eq!(detail.summary.generation, 5, "{name}");
        assert_eq!(detail.artifacts[0].parts, [json("[1]"), json("[2]")], "{name}");
        assert_eq!(detail.summary.worker, Some(("shout".into(), id("eu"))), "{name}");
    }
}

#[test]
fn the_nearest_agent_with_room_is_preferred() {
    let mut planet = Planet::new();
    for name in NAMES {
        planet.register(name, name, 1);
    }
    let worker = |planet: &mut Planet, task| planet.task("ap", task).summary.worker.unwrap();
    for expected in ["ap", "eu", "us"] {
        // Each is a conversation of its own.
        let task = planet.submit_as("ap", expected);
        assert_eq!(worker(&mut planet, task).1, id(expected));
    }
}

#[test]
fn a_worker_that_fell_silent_is_replaced_and_its_token_refused() {
    let mut planet = Planet::new();
    planet.register("eu", "shout", 1);
    planet.register("us", "other", 1);
    let polls = [planet.poll_for_work("eu", "shout"), planet.poll_for_work("us", "other")];
    let task = planet.submit("ap");
    let first = planet.lease(polls[0]);
    planet.get("eu", Command::AtHome(AtHome::Heartbeat(first.claim))).unwrap();
    planet.pass(Duration::from_secs(16));
    let second = planet.lease(polls[1]);
    assert_eq!(second.claim, Claim { task, token: Token::new(1, 2) });
    let stale = planet.finish("eu", first.claim);
    assert!(matches!(stale, Err(Refusal::StaleToken { .. })), "{stale:?}");
    planet.finish("us", second.claim).unwrap();
    planet.finish("us", second.claim).unwrap(); // Said twice, it ends once.
    assert_eq!(planet.task("eu", task).summary.generation, 5);
}

#[test]
fn the_same_key_makes_one_task() {
    let mut planet = Planet::new();
    planet.register("eu", "shout", 1);
    let key = |digest| Some(Idempotency { key: "k".into(), digest: [digest; 16] });
    let ask = |digest| Command::Submit(Spec { idempotency: key(digest), ..spec("hello") });
    let Ok(Reply::Submitted { task, repeated: false }) = planet.get("ap", ask(1)) else {
        panic!("the first makes it");
    };
    match planet.get("us", ask(1)) {
        Ok(Reply::Submitted { task: again, repeated: true }) => assert_eq!(again.id, task.id),
        other => panic!("{other:?}"),
    }
    assert_eq!(planet.get("ap", ask(2)), Err(Refusal::KeyReused { task: task.id }));
}

#[test]
fn a_task_waits_for_its_home_and_reads_go_on() {
    let mut planet = Planet::new();
    planet.register("eu", "shout", 1);
    let poll = planet.poll_for_work("eu", "shout");
    let task = planet.submit("ap");
    let lease = planet.lease(poll);
    planet.cut("ap");
    let (claim, outcome) = (lease.claim, Outcome::Completed);
    let finish = AtHome::Finish { claim, notes: None, outcome, message: None };
    let ticket = planet.ask("eu", Command::AtHome(finish));
    assert_eq!(planet.task("us", task).summary.state, TaskState::Working);
    planet.link("ap");
    planet.pass(Duration::from_secs(3));
    planet.replies.remove(&ticket).expect("the home is back, or another one").unwrap();
    assert_eq!(planet.task("us", task).summary.state, TaskState::Completed);
}

#[test]
fn a_record_stays_inside_its_placement() {
    let mut planet = Planet::new();
    planet.register("eu", "shout", 1);
    let placement = eu_only();
    let ask = Command::Submit(Spec { placement, ..spec("secret") });
    let refused = planet.get("us", ask.clone());
    assert!(matches!(refused, Err(Refusal::OutsidePlacement { .. })), "{refused:?}");
    let Ok(Reply::Submitted { task, .. }) = planet.get("eu", ask) else { panic!() };
    planet.task("eu", task.id);
    for name in ["ap", "us"] {
        // Clients may ask there; what `eu` answers is handed on, and nothing of it stays.
        assert_eq!(planet.task(name, task.id).summary.id, task.id);
        planet.pass(Duration::from_secs(3));
        let held = planet.regions[name].store().contents();
        assert!(held.iter().all(|(record, ..)| record.placement != placement), "{name}");
        let tasks =
            Command::Tasks { filter: photon_region::TaskFilter::default(), before: None, limit: 9 };
        let listed = planet.get(name, tasks);
        assert!(
            matches!(&listed, Ok(Reply::Tasks { tasks, .. }) if tasks.is_empty()),
            "{listed:?}"
        );
    }
}

#[test]
fn an_agent_is_named_only_where_it_may_be_known() {
    let mut planet = Planet::new();
    planet.register_within(eu_only(), "eu", "discreet", 2);
    let refused = planet.get("eu", Command::Submit(spec("hello")));
    let placement = PlacementId::global();
    assert_eq!(refused, Err(Refusal::Confined { placement }));

    // One who may be known everywhere makes the task possible, but nobody else gets it.
    planet.register("us", "loud", 1);
    let first = planet.submit("eu");
    let second = planet.submit("eu");
    let worker = |planet: &mut Planet, task| planet.task("eu", task).summary.worker;
    assert_eq!(worker(&mut planet, first), Some(("loud".into(), id("us"))));
    assert_eq!(worker(&mut planet, second), None);

    let ask = Command::Submit(Spec { placement: eu_only(), ..spec("secret") });
    let Ok(Reply::Submitted { task, .. }) = planet.get("eu", ask) else { panic!() };
    assert_eq!(worker(&mut planet, task.id), Some(("discreet".into(), id("eu"))));
}

#[test]
fn a_region_whose_log_went_back_halts() {
    let mut planet = Planet::new();
    planet.register("eu", "shout", 1);
    assert_eq!(planet.halted, []);
    planet.cut("eu");
    let mut older = empty("eu");
    older.start(planet.now);
    planet.regions.insert("eu", older);
    planet.appended.remove("eu");
    // What it writes before it hears of its peers must not hide what it has lost.
    for name in ["shout", "other", "third"] {
        planet.register("eu", name, 1);
    }
    planet.link("eu");
    let [(name, why)] = planet.halted[..] else { panic!("{:?}", planet.halted) };
    assert_eq!((name, why.here), ("eu", 0));
    assert!(0 < why.there, "{why}");
    let known = |planet: &Planet, name: &str| planet.regions[name].store().seen().of(&why.stream);
    assert_eq!(known(&planet, "us"), why.there, "nothing of its second life is sent");
}

#[test]
fn a_silent_agent_is_offline_until_it_is_heard() {
    let mut planet = Planet::new();
    planet.register("eu", "shout", 1);
    let is_online = |planet: &mut Planet| match planet.get("us", Command::Agent("shout".into())) {
        Ok(Reply::Agent(agent)) => agent.is_online,
        other => panic!("{other:?}"),
    };
    assert!(is_online(&mut planet));
    planet.pass(Duration::from_secs(17));
    assert!(!is_online(&mut planet));
    planet.poll_for_work("eu", "shout");
    assert!(is_online(&mut planet));
    planet.pass(Duration::from_secs(18));
    assert!(is_online(&mut planet), "polling keeps it online");
}

#[test]
fn an_unknown_skill_is_refused() {
    let mut planet = Planet::new();
    let refused = planet.get("ap", Command::Submit(spec("hello")));
    assert_eq!(refused, Err(Refusal::NoSuchSkill("text.upper".into())));
}

#[test]
fn a_canceled_task_fences_its_worker() {
    let mut planet = Planet::new();
    planet.register("eu", "shout", 1);
    let poll = planet.poll_for_work("eu", "shout");
    let task = planet.submit("ap");
    let lease = planet.lease(poll);
    planet.get("us", Command::AtHome(AtHome::Cancel { task, message: None })).unwrap();
    let state = TaskState::Canceled;
    assert_eq!(planet.finish("eu", lease.claim), Err(Refusal::Ended { task, state }));
    assert_eq!(planet.task("us", task).summary.state, state);
}

#[test]
fn followers_hear_of_each_event_once() {
    let mut planet = Planet::new();
    planet.register("eu", "shout", 1);
    let poll = planet.poll_for_work("eu", "shout");
    let task = planet.submit("ap");
    let lease = planet.lease(poll);
    let events = |after| Command::Events { task, after, wait: Duration::from_secs(9) };
    let Ok(Reply::Events { events: first, .. }) = planet.get("us", events(0)) else { panic!() };
    assert_eq!(first.iter().map(|it| it.generation).collect::<Vec<_>>(), [1, 2]);
    let waiting = planet.ask("us", events(2));
    assert!(!planet.replies.contains_key(&waiting));
    planet.finish("eu", lease.claim).unwrap();
    match planet.replies.remove(&waiting) {
        Some(Ok(Reply::Events { events, state, .. })) => {
            assert_eq!((events[0].generation, events.len()), (3, 1));
            assert_eq!(state, TaskState::Completed);
        }
        other => panic!("{other:?}"),
    }
}
