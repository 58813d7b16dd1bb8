//! Stories of how tasks are queued, timed and tried again.
//! Faults at random are the simulator's.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod planet;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use photon_region::{
    AtHome, Claim, Command, Event, Json, Lease, Outcome, Priority, Refusal, Reply, Requeue, Retry,
    Spec, TaskFilter, TaskId, TaskState, Terms, redriven,
};
use photon_state::PlacementId;
use planet::{Planet, agent_in, task_in};

fn json(text: &str) -> Json {
    Json(Bytes::copy_from_slice(text.as_bytes()))
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn retried(maximum_attempts: u32) -> Terms {
    Terms { retry: Some(Retry { maximum_attempts, ..Retry::default() }), ..Terms::default() }
}

impl Planet {
    fn register(&mut self, name: &'static str, agent: &str, capacity: u32) {
        let spec = agent_in(PlacementId::global(), agent, capacity);
        self.get(name, Command::Register(spec)).unwrap();
    }

    /// Submits a task of a conversation of its own.
    fn submit(&mut self, context: &str, terms: Terms) -> TaskId {
        let context = context.into();
        let terms = Some(terms).filter(|it| *it != Terms::default()).map(Arc::new);
        let spec = Spec { terms, context, ..task_in(PlacementId::global()) };
        match self.get("eu", Command::Submit(spec)) {
            Ok(Reply::Submitted { task, .. }) => task.id,
            other => panic!("{other:?}"),
        }
    }

    fn lease(&mut self, name: &'static str, agent: &str) -> Option<Lease> {
        let acquire = Command::Acquire { agent: agent.into(), limit: 1, wait: Duration::ZERO };
        match self.get(name, acquire) {
            Ok(Reply::Leases(mut leases)) => leases.pop(),
            other => panic!("{other:?}"),
        }
    }

    fn at_home(&mut self, name: &'static str, ask: AtHome) -> Result<TaskState, Refusal> {
        let reply = self.get(name, Command::AtHome(ask))?;
        let Reply::Standing { state, .. } = reply else { panic!("{reply:?}") };
        Ok(state)
    }

    fn fail(&mut self, name: &'static str, claim: Claim) -> Result<TaskState, Refusal> {
        self.at_home(name, AtHome::Fail { claim, notes: None, message: Some(json("\"no\"")) })
    }

    fn complete(&mut self, name: &'static str, claim: Claim) {
        let finish =
            AtHome::Finish { claim, notes: None, outcome: Outcome::Completed, message: None };
        assert_eq!(self.at_home(name, finish), Ok(TaskState::Completed));
    }

    fn events(&mut self, task: TaskId) -> (Vec<Event>, TaskState) {
        let events = Command::Events { task, after: 0, wait: Duration::ZERO };
        match self.get("us", events) {
            Ok(Reply::Events { events, state, .. }) => {
                (events.into_iter().map(|it| it.event).collect(), state)
            }
            other => panic!("{other:?}"),
        }
    }

    fn state(&mut self, task: TaskId) -> TaskState {
        self.events(task).1
    }

    /// Returns what is said at the end of a task.
    fn last_word(&mut self, task: TaskId) -> String {
        match self.events(task).0.pop() {
            Some(Event::Ended { message: Some(it), .. }) => {
                String::from_utf8(it.0.to_vec()).unwrap()
            }
            other => panic!("{other:?}"),
        }
    }

    fn dead(&mut self) -> Vec<TaskId> {
        let filter = TaskFilter { is_dead: true, ..TaskFilter::default() };
        match self.get("ap", Command::Tasks { filter, before: None, limit: 10 }) {
            Ok(Reply::Tasks { tasks, .. }) => tasks.into_iter().map(|it| it.id).collect(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_failure_is_tried_again_after_longer_and_longer_pauses_until_there_were_enough() {
    let mut planet = Planet::new();
    planet.register("eu", "shout", 1);
    let task = planet.submit("talk", retried(3));
    for pause in [1, 2] {
        let lease = planet.lease("eu", "shout").unwrap();
        assert_eq!(planet.fail("eu", lease.claim), Ok(TaskState::Submitted));
        // Said again, because the answer was lost.
        assert_eq!(planet.fail("eu", lease.claim), Ok(TaskState::Submitted));
        planet.pass(secs(pause) - Duration::from_millis(200));
        assert_eq!(planet.lease("eu", "shout"), None);
        planet.pass(Duration::from_millis(400));
    }
    let last = planet.lease("eu", "shout").unwrap();
    assert_eq!(last.claim.token.attempt(), 3);
    assert_eq!(planet.fail("eu", last.claim), Ok(TaskState::Failed));
    assert_eq!(planet.fail("eu", last.claim), Ok(TaskState::Failed));
    let (events, _) = planet.events(task);
    let is_retry = |it: &&Event| {
        let why = Requeue::Failed;
        matches!(it, Event::Requeued { why: it, message: Some(said), .. }
            if *it == why && *said == json("\"no\""))
    };
    assert_eq!(events.iter().filter(is_retry).count(), 2);
    assert_eq!(planet.last_word(task), "\"no\"");
}

#[test]
fn without_a_policy_what_the_worker_says_is_the_end() {
    let mut planet = Planet::new();
    planet.register("eu", "shout", 1);
    planet.submit("talk", Terms::default());
    let lease = planet.lease("eu", "shout").unwrap();
    assert_eq!(planet.fail("eu", lease.claim), Ok(TaskState::Failed));
}

#[test]
fn pauses_outlive_the_home_and_heirs_keep_count() {
    let mut planet = Planet::new();
    for (name, agent) in [("us", "a"), ("ap", "b")] {
        planet.register(name, agent, 1);
    }
    let retry = Retry { initial_interval: secs(30), ..Retry::default() };
    let terms = Terms { retry: Some(retry), ..Terms::default() };
    let task = planet.submit("talk", terms);
    let workers = [("us", "a"), ("ap", "b")];
    let leased = workers.map(|(name, agent)| planet.lease(name, agent).map(|it| (name, it)));
    let (name, lease) = leased.into_iter().flatten().next().unwrap();
    assert_eq!(planet.fail(name, lease.claim), Ok(TaskState::Submitted));
    planet.cut("eu");
    planet.pass(secs(20));
    let early = workers.map(|(name, agent)| planet.lease(name, agent));
    assert_eq!(early, [None, None]);
    for _ in 0..2 {
        workers.iter().for_each(|(name, agent)| planet.register(name, agent, 1));
        planet.pass(secs(7));
    }
    let leased = workers.map(|(name, agent)| planet.lease(name, agent));
    let lease = leased.into_iter().flatten().next().unwrap();
    assert_eq!((lease.claim.task, lease.claim.token.attempt()), (task, 2));
    assert!(1 < lease.claim.token.epoch());
}

#[test]
fn what_takes_too_long_is_ended_or_tried_again() {
    let mut planet = Planet::new();
    let terms = Terms { schedule_to_start: Some(secs(5)), ..Terms::default() };
    planet.register("eu", "shout", 1);
    planet.submit("first", Terms::default());
    let first = planet.lease("eu", "shout").unwrap().claim;
    let waits = planet.submit("waits", terms);
    for _ in 0..6 {
        planet.at_home("eu", AtHome::Heartbeat(first)).unwrap();
        planet.pass(secs(1));
    }
    assert_eq!(planet.state(waits), TaskState::Failed);
    assert!(planet.last_word(waits).contains("schedule_to_start"));
    planet.complete("eu", first);

    // One attempt too long, and another one.
    let terms = Terms { start_to_close: Some(secs(3)), ..retried(2) };
    let slow = planet.submit("slow", terms);
    let claim = planet.lease("eu", "shout").unwrap().claim;
    for _ in 0..3 {
        planet.at_home("eu", AtHome::Heartbeat(claim)).unwrap();
        planet.pass(Duration::from_millis(900));
    }
    planet.pass(secs(1));
    let late = planet.at_home("eu", AtHome::Heartbeat(claim));
    assert!(matches!(late, Err(Refusal::StaleToken { .. })), "{late:?}");
    planet.pass(secs(1));
    let again = planet.lease("eu", "shout").unwrap();
    assert_eq!(again.claim.token.attempt(), 2);
    assert!(again.closes_ms.is_some());
    planet.at_home("eu", AtHome::Heartbeat(again.claim)).unwrap();
    planet.pass(secs(4));
    assert_eq!(planet.state(slow), TaskState::Failed);
    assert!(planet.last_word(slow).contains("given up after 2 attempts"));

    // All of it too long, whatever it waits for.
    let terms = Terms { schedule_to_close: Some(secs(4)), ..retried(10) };
    let long = planet.submit("long", terms);
    let claim = planet.lease("eu", "shout").unwrap().claim;
    planet.pass(secs(5));
    assert_eq!(planet.state(long), TaskState::Failed);
    let late = planet.at_home("eu", AtHome::Heartbeat(claim));
    assert!(matches!(late, Err(Refusal::Ended { .. })), "{late:?}");
}

#[test]
fn a_task_that_could_only_be_tried_too_late_is_given_up_at_once() {
    let mut planet = Planet::new();
    planet.register("eu", "shout", 1);
    let retry = Retry { initial_interval: secs(60), ..Retry::default() };
    let close = Some(secs(30));
    let terms = Terms { retry: Some(retry), schedule_to_close: close, ..Terms::default() };
    planet.submit("talk", terms);
    let lease = planet.lease("eu", "shout").unwrap();
    assert_eq!(planet.fail("eu", lease.claim), Ok(TaskState::Failed));
}

#[test]
fn a_delayed_task_begins_when_it_may_and_may_be_called_off_before() {
    let mut planet = Planet::new();
    planet.register("eu", "shout", 5);
    let later = Terms { start_delay: secs(3), ..Terms::default() };
    let (one, two) = (planet.submit("one", later.clone()), planet.submit("two", later));
    assert_eq!(planet.lease("eu", "shout"), None);
    let cancel = AtHome::Cancel { task: two, message: None };
    assert_eq!(planet.at_home("ap", cancel), Ok(TaskState::Canceled));
    planet.pass(Duration::from_millis(3_100));
    assert_eq!(planet.lease("eu", "shout").map(|it| it.claim.task), Some(one));
    assert_eq!(planet.lease("eu", "shout"), None);
}

#[test]
fn the_most_urgent_is_next_and_keys_take_turns() {
    let mut planet = Planet::new();
    planet.register("eu", "shout", 1);
    let mut submit = |context: &str, priority: u8, key: &str| {
        let priority = Priority::new(priority).unwrap();
        let terms = Terms { priority, fairness_key: Some(key.into()), ..Terms::default() };
        planet.submit(context, terms)
    };
    let busy = submit("busy", 3, "loud");
    let loud: Vec<TaskId> = (0..3).map(|it| submit(&format!("loud-{it}"), 3, "loud")).collect();
    let quiet = submit("quiet", 3, "quiet");
    let later = submit("later", 5, "quiet");
    let urgent = submit("urgent", 1, "loud");
    let order = [busy, urgent, quiet, loud[0], loud[1], loud[2], later];
    for (at, expected) in order.into_iter().enumerate() {
        let lease = planet.lease("eu", "shout").unwrap();
        assert_eq!(lease.claim.task, expected, "number {at}");
        planet.complete("eu", lease.claim);
    }
}

#[test]
fn a_conversation_stays_with_its_agent_as_long_as_that_lives() {
    let mut planet = Planet::new();
    planet.register("eu", "near", 1);
    let first = planet.submit("talk", Terms::default());
    planet.register("us", "far", 5);
    let second = planet.submit("talk", Terms::default());
    // Others go where there is room.
    let other = planet.submit("other", Terms::default());
    let lease = planet.lease("us", "far").unwrap();
    assert_eq!(lease.claim.task, other);
    planet.complete("us", lease.claim);
    assert_eq!(planet.lease("us", "far"), None);
    let lease = planet.lease("eu", "near").unwrap();
    assert_eq!(lease.claim.task, first);
    planet.complete("eu", lease.claim);
    let lease = planet.lease("eu", "near").unwrap();
    assert_eq!(lease.claim.task, second);
    let third = planet.submit("talk", Terms::default());
    for _ in 0..4 {
        planet.at_home("eu", AtHome::Heartbeat(lease.claim)).unwrap();
        planet.register("us", "far", 5);
        planet.pass(secs(5));
    }
    assert_eq!(planet.lease("us", "far"), None, "it waits for an agent that lives");
    planet.get("eu", Command::Deregister("near".into())).unwrap();
    assert_eq!(planet.lease("us", "far").unwrap().claim.task, third);
}

#[test]
fn a_conversation_goes_on_elsewhere_when_its_agents_region_is_lost() {
    let mut planet = Planet::new();
    planet.register("us", "far", 1);
    planet.submit("talk", Terms::default());
    let second = planet.submit("talk", Terms::default());
    planet.register("ap", "other", 1);
    assert_eq!(planet.lease("ap", "other"), None);
    planet.cut("us");
    planet.pass(secs(3));
    assert_eq!(planet.lease("ap", "other").unwrap().claim.task, second);
}

#[test]
fn what_failed_is_a_dead_letter_until_it_is_asked_for_again() {
    let mut planet = Planet::new();
    planet.register("eu", "shout", 2);
    let task = planet.submit("talk", Terms::default());
    let done = planet.submit("done", Terms::default());
    for _ in 0..2 {
        let claim = planet.lease("eu", "shout").unwrap().claim;
        if claim.task == task {
            planet.fail("eu", claim).unwrap();
        } else {
            assert_eq!(claim.task, done);
            planet.complete("eu", claim);
        }
    }
    assert_eq!(planet.dead(), [task]);
    let Ok(Reply::Task(detail)) = planet.get("us", Command::Task(task)) else { panic!("gone") };
    let again = redriven(task, detail.summary.changed);
    assert_eq!(again.shard(), task.shard());
    let spec = Box::new(task_in(PlacementId::global()));
    for name in ["ap", "us", "eu"] {
        // Whoever asks, and however often: it is one task.
        let ask = AtHome::Submit { task: again, spec: spec.clone() };
        planet.at_home(name, ask).unwrap();
    }
    planet.pass(secs(1));
    assert_eq!(planet.dead(), []);
    let all = Command::Tasks { filter: TaskFilter::default(), before: None, limit: 10 };
    let Ok(Reply::Tasks { tasks, .. }) = planet.get("ap", all) else { panic!("no tasks") };
    assert_eq!(tasks.len(), 3);
}

#[test]
fn what_nobody_took_up_does_not_count_as_an_attempt() {
    let mut planet = Planet::new();
    planet.register("eu", "shout", 1);
    let terms =
        Terms { start_to_close: Some(secs(1)), schedule_to_start: Some(secs(8)), ..retried(2) };
    let task = planet.submit("talk", terms);
    planet.pass(secs(4));
    let (events, state) = planet.events(task);
    assert!(events.iter().all(|it| !matches!(it, Event::Requeued { why, .. } if why.is_failure())));
    assert!(!state.is_terminal());
    // Nobody begins at all: that ends by itself.
    planet.pass(secs(6));
    assert_eq!(planet.state(task), TaskState::Failed);
    assert!(planet.last_word(task).contains("schedule_to_start"));
}

#[test]
fn tasks_that_wait_together_go_to_one_agent_if_they_are_one_conversation() {
    let mut planet = Planet::new();
    planet.register("eu", "near", 1);
    let busy = planet.submit("other", Terms::default());
    let [first, second] = ["talk", "talk"].map(|it| planet.submit(it, Terms::default()));
    planet.register("us", "far", 1);
    assert_eq!(planet.lease("us", "far").unwrap().claim.task, first);
    let lease = planet.lease("eu", "near").unwrap();
    assert_eq!(lease.claim.task, busy);
    planet.complete("eu", lease.claim);
    assert_eq!(planet.lease("eu", "near"), None, "the second waits for whoever has the first");
    assert_eq!(planet.state(second), TaskState::Submitted);
}

#[test]
fn any_number_of_conversations_follow_one_agent_at_once() {
    let mut planet = Planet::new();
    planet.register("eu", "shout", 1_024);
    planet.pass(secs(20)); // It falls silent.
    for number in 0..900 {
        let context = format!("talk-{number}");
        let first = Terms { priority: Priority::FIRST, ..Terms::default() };
        let target = photon_region::Target::Agent("shout".into());
        let spec = Spec {
            target,
            terms: Some(Arc::new(first)),
            context: context.as_str().into(),
            ..task_in(PlacementId::global())
        };
        planet.get("eu", Command::Submit(spec)).unwrap();
        planet.submit(&context, Terms::default());
    }
    planet.register("eu", "shout", 1_024);
    let acquire = Command::Acquire { agent: "shout".into(), limit: 2_000, wait: Duration::ZERO };
    let Ok(Reply::Leases(leases)) = planet.get("eu", acquire) else { panic!("no leases") };
    assert_eq!(leases.len(), 1_024);
}
