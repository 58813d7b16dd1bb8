//! Stories of workers that ask something of their clients, and of what becomes of the tasks.
//! Faults at random are the simulator's.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod planet;

use std::time::Duration;

use bytes::Bytes;
use photon_region::{
    AtHome, Chunk, Claim, Command, Config, Json, Lease, Limits, Note, Outcome, Pause, Refusal,
    Region, Reply, TaskDetail, TaskId, TaskState, Token,
};
use photon_state::PlacementId;
use planet::{NAMES, Planet, agent_in, config, id, task_in};

fn json(text: &str) -> Json {
    Json(Bytes::copy_from_slice(text.as_bytes()))
}

/// An answer that is named as it reads.
fn answer_of(task: TaskId, text: &str, asked: Option<u64>) -> AtHome {
    AtHome::Answer { task, name: text.into(), message: json(text), asked }
}

fn chunk(text: &str, append: bool) -> Note {
    let parts = json(text);
    Note::Artifact(Chunk { artifact: "out".into(), name: None, append, last: false, parts })
}

impl Planet {
    fn lease(&mut self, name: &'static str, agent: &str) -> Lease {
        let wait = Duration::ZERO;
        match self.get(name, Command::Acquire { agent: agent.into(), limit: 1, wait }) {
            Ok(Reply::Leases(mut leases)) if leases.len() == 1 => leases.remove(0),
            other => panic!("{other:?}"),
        }
    }

    fn at_home(&mut self, name: &'static str, ask: AtHome) -> Result<(TaskState, u64), Refusal> {
        let reply = self.get(name, Command::AtHome(ask))?;
        let Reply::Standing { state, generation } = reply else { panic!("{reply:?}") };
        Ok((state, generation))
    }

    fn note(&mut self, claim: Claim, first: u64, note: Note) {
        self.at_home("eu", AtHome::Note { claim, first, notes: vec![note] }).unwrap();
    }

    fn pause(&mut self, claim: Claim) -> Result<(TaskState, u64), Refusal> {
        let message = Some(json("{\"which\":\"?\"}"));
        self.at_home("eu", AtHome::Pause { claim, notes: None, why: Pause::Input, message })
    }

    fn answer(&mut self, task: TaskId, text: &str) -> Result<(TaskState, u64), Refusal> {
        self.at_home("us", answer_of(task, text, None))
    }

    fn finish(&mut self, claim: Claim) -> Result<(TaskState, u64), Refusal> {
        let outcome = Outcome::Completed;
        self.at_home("eu", AtHome::Finish { claim, notes: None, outcome, message: None })
    }

    fn task(&mut self, name: &'static str, task: TaskId) -> TaskDetail {
        match self.get(name, Command::Task(task)) {
            Ok(Reply::Task(detail)) => *detail,
            other => panic!("{other:?}"),
        }
    }
}

/// A task of `ap` whose worker in `eu` has told something and asked.
fn asked() -> (Planet, TaskId, Lease) {
    asked_in(Planet::new())
}

fn asked_in(mut planet: Planet) -> (Planet, TaskId, Lease) {
    planet.attach("eu", "shout");
    let task = planet.submit_one("ap");
    let lease = planet.lease("eu", "shout");
    planet.note(lease.claim, 1, chunk("[1]", false));
    assert_eq!(planet.pause(lease.claim), Ok((TaskState::InputRequired, 4)));
    (planet, task, lease)
}

#[test]
fn a_worker_asks_and_whoever_goes_on_knows_all_that_was_said() {
    let (mut planet, task, first) = asked();
    let (question, answer) = (json("{\"which\":\"?\"}"), json("{\"this\":1}"));
    for name in NAMES {
        let detail = planet.task(name, task);
        assert_eq!(detail.summary.state, TaskState::InputRequired, "{name}");
        assert_eq!(detail.message.as_ref(), Some(&question), "{name}");
        assert_eq!(detail.turns, std::slice::from_ref(&question), "{name}");
    }
    // The agent has room meanwhile.
    let other = planet.submit_one("eu");
    let between = planet.lease("eu", "shout");
    assert_eq!(between.claim.task, other);
    planet.finish(between.claim).unwrap();

    assert_eq!(planet.answer(task, "{\"this\":1}"), Ok((TaskState::Working, 6)));
    let second = planet.lease("eu", "shout");
    assert_eq!((second.claim.task, second.claim.token), (task, Token::new(1, 2)));
    assert_eq!(second.turns, [question.clone(), answer.clone()]);
    assert!(matches!(planet.finish(first.claim), Err(Refusal::StaleToken { .. })));
    planet.note(second.claim, 1, chunk("[2]", true));
    assert_eq!(planet.finish(second.claim), Ok((TaskState::Completed, 8)));
    for name in NAMES {
        let detail = planet.task(name, task);
        assert_eq!(detail.artifacts[0].parts, [json("[1]"), json("[2]")], "{name}");
        assert_eq!(detail.turns, [question.clone(), answer.clone()], "{name}");
    }
}

#[test]
fn what_is_said_twice_counts_once() {
    let (mut planet, task, first) = asked();
    assert_eq!(planet.pause(first.claim), Ok((TaskState::InputRequired, 4)));
    planet.answer(task, "{\"this\":1}").unwrap();
    assert_eq!(planet.answer(task, "{\"this\":1}"), Ok((TaskState::Working, 6)));
    let working = TaskState::Working;
    assert_eq!(planet.answer(task, "{}"), Err(Refusal::NotAsked { task, state: working }));
    // What was said before is no answer to what is asked now.
    let second = planet.lease("eu", "shout");
    assert_eq!(planet.pause(second.claim), Ok((TaskState::InputRequired, 7)));
    assert_eq!(planet.answer(task, "{\"this\":1}"), Ok((TaskState::InputRequired, 7)));
    assert_eq!(planet.answer(task, "{}"), Ok((TaskState::Working, 9)));
    let third = planet.lease("eu", "shout");
    planet.finish(third.claim).unwrap();
    assert_eq!(planet.answer(task, "{}"), Ok((TaskState::Completed, 10)));
    let ended = Refusal::Ended { task, state: TaskState::Completed };
    assert_eq!(planet.answer(task, "{\"late\":1}"), Err(ended));
}

#[test]
fn an_answer_that_names_its_question_answers_no_other() {
    let (mut planet, task, _) = asked();
    let answer =
        |planet: &mut Planet, asked, text| planet.at_home("us", answer_of(task, text, Some(asked)));
    let input = TaskState::InputRequired;
    assert_eq!(answer(&mut planet, 3, "{}"), Err(Refusal::NotAsked { task, state: input }));
    assert_eq!(answer(&mut planet, 4, "{}"), Ok((TaskState::Working, 6)));
    let second = planet.lease("eu", "shout");
    assert_eq!(planet.pause(second.claim), Ok((input, 7)));
    assert_eq!(answer(&mut planet, 4, "[]"), Err(Refusal::NotAsked { task, state: input }));
    // What is said again is known, whatever is asked by then.
    assert_eq!(answer(&mut planet, 4, "{}"), Ok((input, 7)));
    assert_eq!(answer(&mut planet, 7, "[]"), Ok((TaskState::Working, 9)));
}

#[test]
fn a_worker_that_falls_silent_after_an_answer_takes_nothing_along_but_its_own() {
    let (mut planet, task, _) = asked();
    planet.answer(task, "{}").unwrap();
    let second = planet.lease("eu", "shout");
    planet.note(second.claim, 1, chunk("[2]", true));
    for _ in 0..20 {
        planet.pass(Duration::from_secs(1));
        // The agent lives; only its worker hangs.
        let (agent, wait) = ("shout".into(), Duration::ZERO);
        planet.get("eu", Command::Acquire { agent, limit: 0, wait }).unwrap();
    }
    let third = planet.lease("eu", "shout");
    assert!(second.claim.token < third.claim.token);
    assert_eq!(planet.task("us", task).artifacts[0].parts, [json("[1]")]);
}

#[test]
fn who_asked_goes_on_unless_it_is_busy() {
    for is_busy in [false, true] {
        let (mut planet, task, _) = asked();
        planet.attach("us", "other");
        if is_busy {
            planet.submit_one("eu");
        }
        planet.answer(task, "{}").unwrap();
        let worker = planet.task("us", task).summary.worker.unwrap().0;
        assert_eq!(&*worker, if is_busy { "other" } else { "shout" });
    }
}

#[test]
fn a_task_that_waits_can_be_called_off_and_outlives_a_start() {
    let (mut planet, task, _) = asked();
    planet.restart("ap", std::sync::Arc::clone);
    planet.pass(Duration::from_secs(5));
    assert_eq!(planet.task("us", task).summary.state, TaskState::InputRequired);
    let cancel = AtHome::Cancel { task, message: None };
    assert_eq!(planet.at_home("us", cancel), Ok((TaskState::Canceled, 5)));
    let ended = Refusal::Ended { task, state: TaskState::Canceled };
    assert_eq!(planet.answer(task, "{}"), Err(ended));
}

#[test]
fn a_task_that_waits_outlives_its_home() {
    let (mut planet, task, _) = asked();
    planet.cut("ap");
    planet.pass(Duration::from_secs(5));
    assert_eq!(planet.answer(task, "{}"), Ok((TaskState::Working, 6)));
    let lease = planet.lease("eu", "shout");
    assert_eq!(lease.claim.token, Token::new(2, 2));
    planet.finish(lease.claim).unwrap();
    assert_eq!(planet.task("us", task).artifacts[0].parts, [json("[1]")]);
}

#[test]
fn an_answer_that_only_a_lost_home_had_counts_when_that_is_back() {
    let (mut planet, task, _) = asked();
    planet.drop_ops = |op| op.stream.origin == id("ap");
    let message = json("{\"this\":1}");
    let answered = planet.at_home("ap", answer_of(task, "{\"this\":1}", None));
    assert_eq!(answered, Ok((TaskState::Working, 6)));
    planet.cut("ap");
    planet.drop_ops = |_| false;
    planet.pass(Duration::from_secs(5));
    assert_eq!(planet.task("us", task).summary.state, TaskState::InputRequired);
    planet.link_two("ap", "eu");
    planet.link_two("ap", "us");
    planet.pass(Duration::from_secs(5));
    let lease = planet.lease("eu", "shout");
    assert_eq!((lease.claim.token.epoch(), lease.turns.last()), (2, Some(&message)));
    planet.finish(lease.claim).unwrap();
}

#[test]
fn an_answer_to_a_question_that_only_a_lost_home_had_counts_once_it_is_asked_again() {
    let mut planet = Planet::new();
    planet.attach("eu", "shout");
    let task = planet.submit_one("ap");
    let lease = planet.lease("eu", "shout");
    planet.at_home("eu", AtHome::Heartbeat(lease.claim)).unwrap();
    planet.drop_ops = |op| op.stream.origin == id("ap");
    assert_eq!(planet.pause(lease.claim), Ok((TaskState::InputRequired, 3)));
    let answered = planet.at_home("ap", answer_of(task, "{\"this\":1}", None));
    assert_eq!(answered.map(|it| it.1), Ok(5), "and given to the worker again");
    planet.cut("ap");
    planet.drop_ops = |_| false;
    planet.pass(Duration::from_secs(5));
    // The worker that was not sure asks again, and goes on with what the client has said.
    planet.pause(lease.claim).unwrap();
    assert_eq!(planet.task("us", task).summary.state, TaskState::InputRequired);
    planet.link_two("ap", "eu");
    planet.link_two("ap", "us");
    planet.pass(Duration::from_secs(5));
    let second = planet.lease("eu", "shout");
    assert_eq!(second.turns.last(), Some(&json("{\"this\":1}")));
    planet.finish(second.claim).unwrap();
    let same = planet.answer(task, "{\"this\":1}");
    assert_eq!(same.map(|it| it.0), Ok(TaskState::Completed));
}

#[test]
fn the_name_of_an_answer_is_for_one_answer() {
    let (mut planet, task, _) = asked();
    let named = |text| AtHome::Answer { task, name: "n".into(), message: json(text), asked: None };
    assert_eq!(planet.at_home("us", named("{}")), Ok((TaskState::Working, 6)));
    assert_eq!(planet.at_home("us", named("{}")), Ok((TaskState::Working, 6)));
    assert_eq!(planet.at_home("us", named("[]")), Err(Refusal::KeyReused { task }));
}

#[test]
fn what_is_leased_at_once_is_bounded() {
    let mut planet = Planet::new();
    let spec =
        photon_region::AgentSpec { capacity: 40, ..agent_in(PlacementId::global(), "shout", 1) };
    planet.get("eu", Command::Register(spec)).unwrap();
    for _ in 0..40 {
        let mut spec = task_in(PlacementId::global());
        spec.message = json(&format!("\"{}\"", "x".repeat(900_000)));
        planet.get("eu", Command::Submit(spec)).unwrap();
    }
    let mut leased = Vec::new();
    while leased.iter().sum::<usize>() < 40 {
        let (agent, wait) = ("shout".into(), Duration::ZERO);
        match planet.get("eu", Command::Acquire { agent, limit: 100, wait }) {
            Ok(Reply::Leases(leases)) if !leases.is_empty() => leased.push(leases.len()),
            other => panic!("{leased:?}, then {other:?}"),
        }
    }
    assert_eq!(leased, [18, 18, 4]);
}

#[test]
fn a_task_whose_client_does_not_answer_fails_in_time() {
    let (mut planet, task, _) = asked_in(Planet::of(|name| {
        let limits = Limits { pause_ttl: Duration::from_secs(60), ..Limits::default() };
        Region::new(Config { limits, ..config(name) })
    }));
    planet.pass(Duration::from_secs(58));
    assert_eq!(planet.task("us", task).summary.state, TaskState::InputRequired);
    planet.pass(Duration::from_secs(4));
    let detail = planet.task("us", task);
    assert_eq!(detail.summary.state, TaskState::Failed);
    let said = String::from_utf8(detail.message.unwrap().0.to_vec()).unwrap();
    assert!(said.contains("nobody answered in time"), "{said}");
}

#[test]
fn what_is_said_in_turns_is_bounded() {
    let small = |name| {
        let limits = Limits { task_bytes_max: 1_000, ..Limits::default() };
        Region::new(Config { limits, ..config(name) })
    };
    let mut planet = Planet::of(small);
    planet.attach("eu", "shout");
    let task = planet.submit_one("ap");
    for turn in 0.. {
        let lease = planet.lease("eu", "shout");
        match planet.pause(lease.claim) {
            Ok(_) => assert!(turn < 10, "it never ends"),
            Err(Refusal::TooLarge { max: 1_000, .. }) => return,
            other => panic!("{other:?}"),
        }
        // Whoever is asked can answer: there is room for that.
        let longest = format!("{{\"turn\":{turn},\"pad\":\"{}\"}}", "x".repeat(230));
        assert!(longest.len() <= 250);
        planet.answer(task, &longest).unwrap();
    }
}
