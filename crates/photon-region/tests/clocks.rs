//! Clocks that are far apart: who is told, who gets no new work, and that nothing is lost.
//! Must not wait for more than the clocks themselves do.
#![allow(clippy::unwrap_used, reason = "what fails here fails loudly")]

mod planet;

use std::time::Duration;

use bytes::Bytes;
use photon_region::{AgentSpec, Command, Json, Notice, PeerVerdict, Refusal, Reply, Spec, TaskId};
use photon_state::PlacementId;
use planet::{Planet, id, task_in};

/// How far a clock jumps: a minute stands for an hour.
const JUMP_MS: i64 = 60_000;

/// The same as seen from behind: it was read up to a millisecond before it was told.
const AT_LEAST_MS: i64 = JUMP_MS - 1;

/// How long until all have measured each other's clocks, and have said so.
const SOON: Duration = Duration::from_secs(3);

impl Planet {
    fn register(&mut self, name: &'static str, agent: &str) {
        let spec = AgentSpec {
            name: agent.into(),
            skills: ["text.upper".into()].into(),
            capacity: 10,
            cost_micros: 0,
            card: Json(Bytes::from_static(b"{}")),
            placement: PlacementId::global(),
        };
        self.get(name, Command::Register(spec)).unwrap();
    }

    fn submit(&mut self, name: &'static str) -> Result<TaskId, Refusal> {
        let spec = Spec {
            message: Json(Bytes::from_static(b"\"hello\"")),
            ..task_in(PlacementId::global())
        };
        match self.get(name, Command::Submit(spec)) {
            Ok(Reply::Submitted { task, .. }) => Ok(task.id),
            Err(refusal) => Err(refusal),
            other => panic!("{other:?}"),
        }
    }

    /// Returns the agent that works on a task.
    fn worker(&mut self, name: &'static str, task: TaskId) -> Option<String> {
        match self.get(name, Command::Task(task)) {
            Ok(Reply::Task(detail)) => detail.summary.worker.map(|(it, _)| it.to_string()),
            other => panic!("{other:?}"),
        }
    }

    fn knows(&mut self, name: &'static str, agent: &str) -> bool {
        self.get(name, Command::Agent(agent.into())).is_ok()
    }

    fn verdict(&self, observer: &str, of: &str) -> PeerVerdict {
        let view = self.regions[observer].view();
        view.peers.iter().find(|it| it.region == id(of)).unwrap().verdict
    }

    fn off_ms(&self, name: &str) -> Option<i64> {
        self.regions[name].view().clock_off_ms
    }

    fn told(&self, name: &str, notice: &Notice) -> usize {
        self.notices.iter().filter(|(region, it)| *region == name && it == notice).count()
    }
}

#[test]
fn a_region_whose_clock_jumps_ahead_gets_no_new_work_and_loses_nothing() {
    let mut planet = Planet::new();
    planet.register("eu", "in-eu");
    planet.register("us", "in-us");
    planet.skew_ms.insert("eu", JUMP_MS);
    planet.pass(SOON);

    // All are told, and agree on whose clock it is.
    for other in ["ap", "us"] {
        let apart = Notice::ClockApart { region: id("eu"), ahead_ms: JUMP_MS };
        assert_eq!(planet.told(other, &apart), 1, "{:?}", planet.notices);
        assert_eq!(planet.verdict(other, "eu"), PeerVerdict::Degraded);
        assert_eq!(planet.off_ms(other), None);
    }
    assert_eq!(planet.told("eu", &Notice::OwnClockOff { ahead_ms: AT_LEAST_MS }), 1);
    assert_eq!(planet.off_ms("eu"), Some(AT_LEAST_MS));

    // The nearest agent to ap is in eu; its region is passed over.
    let task = planet.submit("ap").unwrap();
    assert_eq!(planet.worker("ap", task).as_deref(), Some("in-us"));
    let refused = planet.submit("eu");
    let ahead = Refusal::ClockAhead { region: id("eu"), ahead_ms: AT_LEAST_MS.unsigned_abs() };
    assert_eq!(refused, Err(ahead));

    // What is written there waits elsewhere, which is told once.
    planet.register("eu", "late");
    planet.pass(SOON);
    assert!(planet.knows("eu", "late") && !planet.knows("us", "late"));
    let waits = |(name, it): &(&str, Notice)| {
        *name == "us" && matches!(it, Notice::OpsWait { origin, .. } if *origin == id("eu"))
    };
    assert_eq!(planet.notices.iter().filter(|it| waits(it)).count(), 1);

    // Its clock is mended, but not what it has stamped: that waits on.
    planet.skew_ms.clear();
    planet.pass(SOON);
    assert_eq!(planet.told("us", &Notice::ClockAgrees { region: id("eu") }), 1);
    assert!(planet.off_ms("eu").is_some_and(|it| JUMP_MS - 10_000 < it));
    assert!(matches!(planet.submit("eu"), Err(Refusal::ClockAhead { .. })));
    assert!(!planet.knows("us", "late"));

    // Nothing goes to and fro meanwhile: its agent is offline, which nobody else has heard.
    let before = planet.logs["eu"].len();
    planet.pass(Duration::from_secs(60));
    assert!(planet.logs["eu"].len() < before + 1_000, "{} appends", planet.logs["eu"].len());
    assert_eq!((planet.off_ms("eu"), planet.told("eu", &Notice::OwnClockAgrees)), (None, 1));
    assert_eq!(planet.verdict("us", "eu"), PeerVerdict::Up);
    assert!(planet.knows("us", "late"), "nothing is lost");
    planet.submit("eu").unwrap();
}

#[test]
fn a_region_whose_clock_is_behind_is_given_nothing_that_it_would_not_hear_of() {
    let mut planet = Planet::new();
    planet.register("eu", "in-eu");
    planet.pass(SOON);
    planet.skew_ms.insert("eu", -JUMP_MS);
    planet.pass(SOON);
    assert!(planet.off_ms("eu").is_some_and(|it| it < 0), "{:?}", planet.off_ms("eu"));
    assert_eq!(planet.verdict("us", "eu"), PeerVerdict::Degraded);
    assert_eq!((planet.off_ms("ap"), planet.off_ms("us")), (None, None));

    let task = planet.submit("us").unwrap();
    planet.pass(SOON);
    assert_eq!(planet.worker("us", task), None, "it waits for whoever hears of it");
    planet.skew_ms.clear();
    planet.register("eu", "in-eu"); // It was silent for long, for a clock that is mended.
    planet.pass(SOON);
    assert_eq!(planet.worker("us", task).as_deref(), Some("in-eu"));
}

#[test]
fn of_two_clocks_the_one_that_is_ahead_counts_as_off() {
    let mut planet = Planet::new();
    planet.cut("ap");
    planet.skew_ms.insert("us", JUMP_MS);
    planet.pass(SOON);
    assert_eq!((planet.off_ms("eu"), planet.off_ms("us")), (None, Some(AT_LEAST_MS)));
    // Who is linked to nobody keeps nobody waiting.
    planet.skew_ms.insert("ap", JUMP_MS);
    planet.pass(SOON);
    assert_eq!(planet.off_ms("ap"), None);
}
