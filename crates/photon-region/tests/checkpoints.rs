//! Stories of workers that leave what they have done to those who go on.
//! Faults at random are the simulator's.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod planet;

use std::time::Duration;

use bytes::Bytes;
use photon_region::{
    AtHome, Checkpoint, Claim, Command, Config, Event, Json, Large, Lease, Limits, Note, Outcome,
    Pause, Refusal, Region, Reply, TaskId,
};
use photon_state::PlacementId;
use planet::{Planet, agent_in, config, task_in};

fn json(text: &str) -> Json {
    Json(Bytes::copy_from_slice(text.as_bytes()))
}

fn checkpoint(key: &str, value: &str) -> Checkpoint {
    Checkpoint { key: key.into(), value: json(value) }
}

impl Planet {
    /// Submits a task in `ap`, where agents of `eu` and `us` can do it.
    fn submit(&mut self) -> TaskId {
        self.register();
        match self.get("ap", Command::Submit(task_in(PlacementId::global()))) {
            Ok(Reply::Submitted { task, .. }) => task.id,
            other => panic!("{other:?}"),
        }
    }

    fn register(&mut self) {
        for (name, agent) in [("eu", "first"), ("us", "second")] {
            let spec = agent_in(PlacementId::global(), agent, 1);
            self.get(name, Command::Register(spec)).unwrap();
        }
    }

    /// Leases the task to whichever agent it was given; returns where that is.
    fn lease(&mut self) -> (&'static str, Lease) {
        self.register(); // They live.
        for (name, agent) in [("eu", "first"), ("us", "second")] {
            let acquire = Command::Acquire { agent: agent.into(), limit: 1, wait: Duration::ZERO };
            if let Ok(Reply::Leases(mut leases)) = self.get(name, acquire)
                && let Some(lease) = leases.pop()
            {
                return (name, lease);
            }
        }
        panic!("nobody was given the task")
    }

    fn note(
        &mut self,
        name: &'static str,
        claim: Claim,
        first: u64,
        notes: &[Checkpoint],
    ) -> Result<u64, Refusal> {
        let notes = notes.iter().cloned().map(Note::Checkpoint).collect();
        let reply = self.get(name, Command::AtHome(AtHome::Note { claim, first, notes }))?;
        let Reply::Standing { generation, .. } = reply else { panic!("{reply:?}") };
        Ok(generation)
    }
}

#[test]
fn whoever_goes_on_is_told_what_was_done_whatever_was_lost() {
    let mut planet = Planet::new();
    let task = planet.submit();
    let (here, first) = planet.lease();
    assert_eq!(first.checkpoints, []);
    let [plan, draft] = [checkpoint("plan", "[1]"), checkpoint("draft", "{}")];
    let again = checkpoint("plan", "[2]");
    planet.note(here, first.claim, 1, std::slice::from_ref(&plan)).unwrap();
    planet.note(here, first.claim, 2, &[again, draft.clone()]).unwrap();
    // Said once more, because the answer was lost.
    assert_eq!(planet.note(here, first.claim, 2, std::slice::from_ref(&draft)), Ok(5));
    // Its worker falls silent, and its home is lost.
    planet.cut("ap");
    planet.pass(Duration::from_secs(25));
    let (there, second) = planet.lease();
    assert_eq!(second.claim.task, task);
    assert_eq!(second.checkpoints, [plan.clone(), draft.clone()], "the first of a key counts");
    let stale = planet.note(here, first.claim, 4, &[checkpoint("late", "1")]);
    assert!(matches!(stale, Err(Refusal::StaleToken { .. })), "{stale:?}");
    let last = checkpoint("last", "null");
    planet.note(there, second.claim, 1, &[checkpoint("draft", "0"), last.clone()]).unwrap();

    // They stay while the client is asked, too.
    let (claim, why) = (second.claim, Pause::Input);
    planet
        .get(there, Command::AtHome(AtHome::Pause { claim, notes: None, why, message: None }))
        .unwrap();
    let (name, message) = ("n".into(), json("{}"));
    let answer = AtHome::Answer { task, name, message, asked: None };
    planet.get("us", Command::AtHome(answer)).unwrap();
    let (there, third) = planet.lease();
    assert_eq!(third.checkpoints, [plan, draft, last]);
    let finish = AtHome::Finish {
        claim: third.claim,
        notes: None,
        outcome: Outcome::Completed,
        message: None,
    };
    planet.get(there, Command::AtHome(finish)).unwrap();
    let events = Command::Events { task, after: 0, wait: Duration::ZERO };
    let Ok(Reply::Events { events, .. }) = planet.get("us", events) else { panic!("no events") };
    let is_checkpoint = |it: &Event| matches!(it, Event::Noted { note: Note::Checkpoint(_), .. });
    assert_eq!(events.iter().filter(|it| is_checkpoint(&it.event)).count(), 5);
}

#[test]
fn checkpoints_are_bounded_one_by_one_and_all_together() {
    let mut planet = Planet::of(|name| {
        let limits = Limits { task_bytes_max: 200_000, ..Limits::default() };
        Region::new(Config { limits, ..config(name) })
    });
    planet.submit();
    let (here, lease) = planet.lease();
    let large = checkpoint("k", &format!("\"{}\"", "x".repeat(64 << 10)));
    let too_large =
        Refusal::TooLarge { what: Large::Checkpoint, bytes: (64 << 10) + 2, max: 64 << 10 };
    assert_eq!(planet.note(here, lease.claim, 1, &[large]), Err(too_large));
    let mut number = 0;
    let refused = loop {
        number += 1;
        let value = format!("\"{}\"", "x".repeat(40_000));
        match planet.note(here, lease.claim, number, &[checkpoint(&number.to_string(), &value)]) {
            Ok(_) => assert!(number < 10, "it never ends"),
            Err(refusal) => break refusal,
        }
    };
    assert!(matches!(refused, Refusal::TooLarge { what: Large::Task, .. }), "{refused:?}");
    // What is there counts against every attempt.
    planet.pass(Duration::from_secs(25));
    let (there, second) = planet.lease();
    assert_eq!(second.checkpoints.len(), 2);
    let value = format!("\"{}\"", "x".repeat(40_000));
    let refused = planet.note(there, second.claim, 1, &[checkpoint("more", &value)]);
    assert!(matches!(refused, Err(Refusal::TooLarge { what: Large::Task, .. })), "{refused:?}");
}
