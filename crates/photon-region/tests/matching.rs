//! Stories of who is given a task, and of how that is explained.
//! Faults at random are the simulator's.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod planet;

use std::sync::Arc;
use std::time::Duration;

use photon_region::{
    AgentSpec, AtHome, Candidate, Command, Lease, Message, Outcome, Refusal, Reply, Route, Spec,
    Standing, Target, TaskId, Terms, Wants,
};
use photon_state::PlacementId;
use planet::{NAMES, Planet, agent_in, eu_only, id, task_in, west};

fn global() -> PlacementId {
    PlacementId::global()
}

/// A planet on which messages seem to take as long as they would.
fn planet() -> Planet {
    let mut planet = Planet::new();
    planet.passes = |from, to, message| {
        if let Message::Pong { sent, .. } = message {
            let place = |name: &str| NAMES.iter().position(|it| *it == name).unwrap();
            *sent = sent.saturating_sub(75_000 * place(from).abs_diff(place(to)) as u64);
        }
        true
    };
    planet.pass(Duration::from_secs(20)); // Until what was measured before is forgotten.
    planet
}

fn agent(name: &str, capacity: u32, skills: &[&str]) -> AgentSpec {
    let skills = skills.iter().map(|it| (*it).into());
    let plain = agent_in(global(), name, capacity);
    AgentSpec { skills: plain.skills.iter().cloned().chain(skills).collect(), ..plain }
}

fn wants(skills: &[&str], regions: &[&str], cost_micros_max: Option<u64>) -> Wants {
    Wants {
        skills: skills.iter().map(|it| (*it).into()).collect(),
        regions: regions.iter().map(|it| id(it)).collect(),
        cost_micros_max,
    }
}

impl Planet {
    fn register(&mut self, name: &'static str, spec: AgentSpec) {
        self.get(name, Command::Register(spec)).unwrap();
    }

    fn submit(&mut self, wants: Option<Wants>) -> Result<TaskId, Refusal> {
        let terms = wants.map(|it| Terms { wants: Some(Arc::new(it)), ..Terms::default() });
        let context = format!("talk-{}", self.last_ticket).into();
        let spec = Spec { terms: terms.map(Arc::new), context, ..task_in(global()) };
        let Reply::Submitted { task, .. } = self.get("eu", Command::Submit(spec))? else {
            panic!("to a submission")
        };
        Ok(task.id)
    }

    /// Returns who works on a task.
    fn worker(&mut self, task: TaskId) -> Option<String> {
        match self.get("eu", Command::Task(task)) {
            Ok(Reply::Task(detail)) => detail.summary.worker.map(|(agent, _)| agent.to_string()),
            other => panic!("{other:?}"),
        }
    }

    /// Submits a task, and returns who works on it.
    fn give(&mut self, wants: Option<Wants>) -> Option<String> {
        let task = self.submit(wants).unwrap();
        self.worker(task)
    }

    fn lease(&mut self, name: &'static str, agent: &str) -> Lease {
        let acquire = Command::Acquire { agent: agent.into(), limit: 1, wait: Duration::ZERO };
        match self.get(name, acquire) {
            Ok(Reply::Leases(mut leases)) => leases.pop().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// Lets an agent end the task that it has after a while.
    fn end(&mut self, (name, agent): (&'static str, &str), outcome: Outcome, after: Duration) {
        let claim = self.lease(name, agent).claim;
        self.pass(after);
        let finish = AtHome::Finish { claim, notes: None, outcome, message: None };
        self.get(name, Command::AtHome(finish)).unwrap();
    }

    fn explain(&mut self, placement: PlacementId, wants: Option<Wants>) -> Route {
        let target = Target::Skill("text.upper".into());
        let wants = wants.map(Arc::new);
        match self.get("eu", Command::Route { target, placement, wants, limit: 10 }) {
            Ok(Reply::Route(route)) => *route,
            other => panic!("{other:?}"),
        }
    }

    fn standings(
        &mut self,
        placement: PlacementId,
        wants: Option<Wants>,
    ) -> Vec<(String, Standing)> {
        let candidates = self.explain(placement, wants).candidates;
        candidates.into_iter().map(|it| (it.agent.to_string(), it.standing)).collect()
    }
}

#[test]
fn far_agents_are_given_work_once_near_ones_are_busier_than_the_way_is_long() {
    let mut planet = planet();
    planet.register("eu", agent("near", 4, &[]));
    planet.register("us", agent("far", 4, &[]));
    // Near: 90 points, and 7.5 less for each task. Far: 10 less by a way of 75 ms.
    let score = |it: &Candidate| (it.agent.to_string(), it.score.hundredths());
    let route = planet.explain(global(), None);
    let scores: Vec<_> = route.candidates.iter().map(score).collect();
    assert_eq!(scores, [("near".to_owned(), 9_000), ("far".to_owned(), 8_000)]);
    let given: Vec<_> = (0..9).map(|_| planet.give(None).unwrap_or_default()).collect();
    assert_eq!(given, ["near", "near", "far", "near", "far", "near", "far", "far", ""]);
    let full = [("near", Standing::Full), ("far", Standing::Full)];
    let full = full.map(|(name, standing)| (name.to_owned(), standing));
    assert_eq!(planet.standings(global(), None), full);
}

#[test]
fn an_agent_that_fails_is_given_less_until_that_is_long_ago() {
    let mut planet = planet();
    planet.register("eu", agent("bad", 4, &[]));
    planet.register("eu", agent("good", 4, &[]));
    assert_eq!(planet.give(None).unwrap(), "bad", "of equals the first");
    planet.end(("eu", "bad"), Outcome::Failed, Duration::ZERO);
    let given: Vec<_> = (0..5).map(|_| planet.give(None).unwrap()).collect();
    assert_eq!(given, ["good", "good", "good", "good", "bad"], "half of what speaks for it counts");
    let bad = |planet: &mut Planet| {
        let route = planet.explain(global(), None);
        route.candidates.into_iter().find(|it| *it.agent == *"bad").unwrap()
    };
    assert_eq!(bad(&mut planet).success.unwrap().get(), 500);
    planet.pass(Duration::from_secs(25 * 60));
    assert_eq!(bad(&mut planet).success, None, "it is forgotten");
}

#[test]
fn a_near_agent_that_fails_does_not_keep_all_work_from_far_ones() {
    let mut planet = planet();
    planet.register("eu", agent("near", 4, &[]));
    planet.register("us", agent("far", 4, &[]));
    for outcome in [Outcome::Failed, Outcome::Rejected] {
        assert_eq!(planet.give(None).unwrap(), "near");
        planet.end(("eu", "near"), outcome, Duration::ZERO);
        assert_eq!(planet.give(None).unwrap(), "far");
        planet.end(("us", "far"), Outcome::Completed, Duration::ZERO);
        planet.pass(Duration::from_secs(25 * 60)); // Until it is tried again.
        planet.register("eu", agent("near", 4, &[]));
        planet.register("us", agent("far", 4, &[]));
    }
}

#[test]
fn what_agents_are_asked_for_may_differ_in_so_many_ways() {
    let mut planet = planet();
    planet.register("eu", agent("only", 1, &[]));
    assert_eq!(planet.give(None).as_deref(), Some("only"));
    for cost in 0..64 {
        planet.submit(Some(wants(&[], &[], Some(cost)))).unwrap();
    }
    let refused = planet.submit(Some(wants(&[], &[], Some(64))));
    assert!(matches!(refused, Err(Refusal::Overloaded { .. })), "{refused:?}");
    planet.submit(Some(wants(&[], &[], Some(63)))).unwrap();
    planet.submit(None).unwrap();
}

#[test]
fn who_is_faster_or_cheaper_is_preferred() {
    let mut planet = planet();
    planet.register("eu", agent("slow", 4, &[]));
    planet.register("eu", agent("fast", 4, &[]));
    let dear = AgentSpec { cost_micros: 1_000_000, ..agent("dear", 4, &[]) };
    planet.register("eu", dear);
    for (name, takes_ms) in [("slow", 4_000), ("fast", 200)] {
        assert_eq!(planet.give(None).unwrap(), name);
        planet.end(("eu", name), Outcome::Completed, Duration::from_millis(takes_ms));
    }
    let route = planet.explain(global(), None);
    assert_eq!(route.chosen.as_deref(), Some("fast"));
    let times: Vec<_> = route.candidates.iter().map(|it| (&*it.agent, it.p95_ms)).collect();
    assert_eq!(times, [("fast", Some(256)), ("slow", Some(4_096)), ("dear", None)]);
    let latency = |at: usize| route.weights.each(route.candidates[at].grades)[2].hundredths();
    assert_eq!([0, 1, 2].map(latency), [1_200, 800, 1_000], "4 doublings, and the middle");
    let cost = |at: usize| route.weights.each(route.candidates[at].grades)[3].hundredths();
    assert_eq!([0, 1, 2].map(cost), [1_000, 1_000, 4], "a unit is about 2^20 millionths");
}

#[test]
fn a_task_is_given_only_to_whom_its_client_wants() {
    let mut planet = planet();
    planet.register("eu", agent("plain", 9, &[]));
    planet.register("eu", AgentSpec { cost_micros: 9_000, ..agent("german", 9, &["lang.de"]) });
    planet.register("us", agent("abroad", 9, &["lang.fr"]));
    let check = |planet: &mut Planet, wants: Wants, expected: Option<&str>| {
        let chosen = planet.explain(global(), Some(wants.clone())).chosen;
        assert_eq!(chosen.as_deref(), expected, "explained: {wants:?}");
        assert_eq!(planet.give(Some(wants.clone())).as_deref(), expected, "{wants:?}");
    };
    check(&mut planet, wants(&[], &[], None), Some("plain"));
    check(&mut planet, wants(&["lang.de"], &[], None), Some("german"));
    check(&mut planet, wants(&["lang.de", "text.upper"], &["eu"], Some(9_000)), Some("german"));
    check(&mut planet, wants(&["lang.de"], &[], Some(8_999)), None);
    check(&mut planet, wants(&["lang.de", "lang.fr"], &[], None), None);
    check(&mut planet, wants(&[], &["us", "ap"], None), Some("abroad"));
    check(&mut planet, wants(&[], &["ap"], None), None);
    let named = |name: &str, standing| (name.to_owned(), standing);
    assert_eq!(
        planet.standings(global(), Some(wants(&["lang.de"], &["eu"], Some(10)))),
        [
            named("plain", Standing::LacksSkill),
            named("abroad", Standing::LacksSkill),
            named("german", Standing::TooDear),
        ]
    );
}

#[test]
fn a_task_that_waits_for_somebody_special_holds_up_nobody() {
    let mut planet = planet();
    planet.register("eu", agent("plain", 1, &[]));
    planet.register("us", agent("french", 1, &["lang.fr"]));
    planet.register("ap", agent("german", 1, &["lang.de"]));
    for name in ["plain", "german", "french"] {
        assert_eq!(planet.give(None).as_deref(), Some(name));
    }
    let special = planet.submit(Some(wants(&["lang.de"], &[], None))).unwrap();
    let plain = planet.submit(None).unwrap();
    planet.end(("eu", "plain"), Outcome::Completed, Duration::ZERO);
    assert_eq!(planet.worker(special), None, "it was first, but waits for another");
    assert_eq!(planet.worker(plain).as_deref(), Some("plain"));
    planet.end(("ap", "german"), Outcome::Completed, Duration::ZERO);
    assert_eq!(planet.worker(special).as_deref(), Some("german"));
}

#[test]
fn what_nobody_could_do_is_refused() {
    let mut planet = planet();
    planet.register("eu", AgentSpec { placement: west(), ..agent("plain", 1, &[]) });
    let unknown = wants(&["lang.xx"], &[], None);
    assert_eq!(planet.submit(Some(unknown)), Err(Refusal::NoSuchSkill("lang.xx".into())));
    let spec = |placement, wants: Wants| Spec {
        terms: Some(Arc::new(Terms { wants: Some(Arc::new(wants)), ..Terms::default() })),
        ..task_in(placement)
    };
    let outside = spec(eu_only(), wants(&[], &["us"], None));
    let confined = Err(Refusal::Confined { placement: eu_only() });
    assert_eq!(planet.get("eu", Command::Submit(outside)), confined);
    let here = spec(eu_only(), wants(&[], &["eu", "us"], None));
    assert!(planet.get("eu", Command::Submit(here)).is_ok());
}

#[test]
fn residency_is_explained_before_all_else() {
    let mut planet = planet();
    planet.register("eu", AgentSpec { placement: eu_only(), ..agent("homely", 1, &[]) });
    planet.register("us", AgentSpec { placement: west(), ..agent("western", 1, &[]) });
    planet.register("us", agent("worldly", 1, &[]));
    let named = |name: &str, standing| (name.to_owned(), standing);
    assert_eq!(
        planet.standings(eu_only(), None),
        [
            named("homely", Standing::Fit),
            named("western", Standing::RegionOutside),
            named("worldly", Standing::RegionOutside),
        ]
    );
    assert_eq!(
        planet.standings(west(), None),
        [
            named("western", Standing::Fit),
            named("worldly", Standing::Fit),
            named("homely", Standing::Confined),
        ]
    );
    planet.cut("us");
    planet.pass(Duration::from_secs(2));
    let away = planet.standings(west(), None);
    assert_eq!(away[0], named("western", Standing::RegionAway));
    planet.pass(Duration::from_secs(20));
    let silent = planet.standings(eu_only(), None);
    assert_eq!(silent[0], named("homely", Standing::Offline), "nobody polled for it");
}
