//! Stories of tasks that are asked of many at once, and of homes that are lost meanwhile.
//! Faults at random are the simulator's.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod planet;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use photon_region::{
    AtHome, Chunk, Claim, Command, Fan, Json, Lease, Need, Note, Outcome, Over, Refusal, Region,
    Reply, Spec, Target, TaskDetail, TaskFilter, TaskId, TaskState, Terms, Token, Wants, made_by,
};
use photon_state::PlacementId;
use planet::{Planet, agent_in, id, task_in};

const AGENTS: [(&str, &str); 4] = [("ap", "a-ap"), ("eu", "a-eu"), ("eu", "b-eu"), ("us", "a-us")];

impl Planet {
    fn register_all(&mut self) {
        for (name, agent) in AGENTS {
            let spec = agent_in(PlacementId::global(), agent, 4);
            self.get(name, Command::Register(spec)).unwrap();
        }
    }

    fn submit_with(&mut self, name: &'static str, terms: Terms) -> TaskId {
        let spec = Spec { terms: Some(Arc::new(terms)), ..task_in(PlacementId::global()) };
        match self.get(name, Command::Submit(spec)) {
            Ok(Reply::Submitted { task, .. }) => task.id,
            other => panic!("{other:?}"),
        }
    }

    fn fan(&mut self, name: &'static str, over: Over, need: Need) -> TaskId {
        self.submit_with(name, Terms { fan: Some(Fan { over, need }), ..Terms::default() })
    }

    fn task(&mut self, name: &'static str, task: TaskId) -> TaskDetail {
        match self.get(name, Command::Task(task)) {
            Ok(Reply::Task(detail)) => *detail,
            other => panic!("{other:?}"),
        }
    }

    fn state(&mut self, name: &'static str, task: TaskId) -> TaskState {
        self.task(name, task).summary.state
    }

    /// Leases all tasks that agents were given.
    fn leases(&mut self) -> BTreeMap<&'static str, Vec<Lease>> {
        let mut all = BTreeMap::new();
        for (name, agent) in AGENTS {
            let (agent_name, wait) = (agent.into(), Duration::ZERO);
            let acquire = Command::Acquire { agent: agent_name, limit: 9, wait };
            match self.get(name, acquire) {
                Ok(Reply::Leases(leases)) => all.insert(agent, leases),
                other => panic!("{other:?}"),
            };
        }
        all
    }

    fn finish(&mut self, agent: &str, claim: Claim, outcome: Outcome) -> Result<Reply, Refusal> {
        let (name, _) = AGENTS.into_iter().find(|(_, it)| *it == agent).unwrap();
        let parts = json(&format!("[{{\"text\":\"by {agent}\"}}]"));
        let artifact = "out".into();
        let chunk = Chunk { artifact, name: None, append: false, last: true, parts };
        let notes = vec![Note::Artifact(chunk)];
        self.get(name, Command::AtHome(AtHome::Note { claim, first: 1, notes }))?;
        let message = Some(json("{\"messageId\":\"m\"}"));
        let finish = AtHome::Finish { claim, notes: Some(1), outcome, message };
        self.get(name, Command::AtHome(finish))
    }
}

fn json(text: &str) -> Json {
    Json(Bytes::copy_from_slice(text.as_bytes()))
}

/// Returns what a task shows: of each artifact its name and its parts.
fn results(detail: &TaskDetail) -> BTreeMap<String, String> {
    let text = |json: &Json| String::from_utf8(json.0.to_vec()).unwrap();
    let artifacts = detail.artifacts.iter();
    artifacts.map(|it| (it.id.to_string(), it.parts.iter().map(text).collect())).collect()
}

#[test]
fn what_is_asked_of_all_agents_ends_with_the_last_of_them() {
    let mut planet = Planet::new();
    planet.register_all();
    let task = planet.fan("ap", Over::Agents, Need::All);
    assert_eq!(planet.state("us", task), TaskState::Working);
    assert_eq!(planet.task("us", task).summary.worker, None, "no agent has it");
    let leases = planet.leases();
    for (at, (agent, mut leases)) in leases.into_iter().enumerate() {
        assert_eq!(planet.state("us", task), TaskState::Working);
        let lease = leases.pop().unwrap();
        assert_eq!((lease.claim.task, leases.len()), (made_by(task, agent), 0));
        assert_eq!(lease.spec.terms.as_ref().unwrap().part_of, Some(task));
        planet.finish(agent, lease.claim, Outcome::Completed).unwrap();
        assert_eq!(planet.task("eu", task).artifacts.len(), at + 1, "it is told at once");
    }
    for name in ["ap", "eu", "us"] {
        let detail = planet.task(name, task);
        assert_eq!(detail.summary.state, TaskState::Completed);
        let results = results(&detail);
        assert_eq!(results.len(), 4);
        let part = made_by(task, "b-eu");
        let expected = format!(
            "[{{\"text\":\"by b-eu\"}}][{{\"data\":{{\"state\":\"completed\",\"to\":\"b-eu\",\
             \"task\":\"{part}\",\"message\":{{\"messageId\":\"m\"}}}}}}]"
        );
        assert_eq!(results["b-eu"], expected);
        let said = String::from_utf8(detail.message.unwrap().0.to_vec()).unwrap();
        assert!(said.contains("4 of 4 completed"), "{said}");
    }
}

#[test]
fn one_that_fails_does_not_keep_the_others_from_being_heard() {
    let mut planet = Planet::new();
    planet.register_all();
    let task = planet.fan("ap", Over::Agents, Need::All);
    for (agent, leases) in planet.leases() {
        let outcome = if agent == "a-ap" { Outcome::Failed } else { Outcome::Completed };
        planet.finish(agent, leases[0].claim, outcome).unwrap();
    }
    let detail = planet.task("eu", task);
    assert_eq!((detail.summary.state, detail.artifacts.len()), (TaskState::Failed, 4));
}

#[test]
fn the_first_are_enough_and_the_rest_is_called_off() {
    let mut planet = Planet::new();
    planet.register_all();
    let task = planet.fan("us", Over::Agents, Need::First(2));
    let leases = planet.leases();
    for agent in ["a-us", "b-eu"] {
        planet.finish(agent, leases[agent][0].claim, Outcome::Completed).unwrap();
    }
    assert_eq!(planet.state("ap", task), TaskState::Completed);
    for agent in ["a-ap", "a-eu"] {
        assert_eq!(planet.state("ap", made_by(task, agent)), TaskState::Canceled);
        let late = planet.finish(agent, leases[agent][0].claim, Outcome::Completed);
        assert!(matches!(late, Err(Refusal::Ended { .. })), "{late:?}");
    }
    // With too few left, nobody works in vain.
    let task = planet.fan("us", Over::Agents, Need::Quorum);
    let leases = planet.leases();
    for agent in ["a-ap", "a-eu"] {
        planet.finish(agent, leases[agent][0].claim, Outcome::Rejected).unwrap();
    }
    assert_eq!(planet.state("ap", task), TaskState::Failed);
    assert_eq!(planet.state("ap", made_by(task, "a-us")), TaskState::Canceled);
}

#[test]
fn each_region_is_asked_once_where_there_is_anybody() {
    let mut planet = Planet::new();
    planet.register_all();
    let task = planet.fan("ap", Over::Regions, Need::All);
    let leases = planet.leases();
    assert_eq!(leases["a-eu"].len() + leases["b-eu"].len(), 1);
    for (agent, leases) in &leases {
        for lease in leases {
            planet.finish(agent, lease.claim, Outcome::Completed).unwrap();
        }
    }
    let detail = planet.task("us", task);
    assert_eq!(detail.summary.state, TaskState::Completed);
    assert_eq!(results(&detail).into_keys().collect::<Vec<_>>(), ["ap", "eu", "us"]);
    // Only of those that are wanted.
    let wants = Wants { regions: [id("eu"), id("us")].into(), ..Wants::default() };
    let fan = Some(Fan { over: Over::Regions, need: Need::All });
    let terms = Terms { fan, wants: Some(Arc::new(wants)), ..Terms::default() };
    planet.submit_with("ap", terms);
    assert_eq!(planet.leases().values().flatten().count(), 2);
}

#[test]
fn an_heir_goes_on_and_asks_nobody_twice() {
    let mut planet = Planet::new();
    planet.register_all();
    let task = planet.fan("us", Over::Agents, Need::All);
    let leases = planet.leases();
    let beat = |planet: &mut Planet, name, agent: &str| {
        let claim = leases[agent][0].claim;
        planet.get(name, Command::AtHome(AtHome::Heartbeat(claim))).unwrap();
    };
    for (name, agent) in AGENTS {
        beat(&mut planet, name, agent);
    }
    planet.finish("a-us", leases["a-us"][0].claim, Outcome::Completed).unwrap();
    planet.cut("us");
    planet.pass(Duration::from_secs(8));
    for (name, agent) in AGENTS {
        if name != "us" {
            planet.finish(agent, leases[agent][0].claim, Outcome::Completed).unwrap();
        }
    }
    let detail = planet.task("eu", task);
    assert_eq!(detail.summary.state, TaskState::Completed, "{detail:?}");
    assert_eq!(results(&detail).len(), 4);
    planet.link("us");
    planet.pass(Duration::from_secs(8));
    for name in ["ap", "eu", "us"] {
        assert_eq!(planet.task(name, task).summary, detail.summary, "{name}");
        for (_, agent) in AGENTS {
            let part = planet.task(name, made_by(task, agent)).summary;
            assert_eq!((part.state, part.attempt), (TaskState::Completed, 1), "{name} {agent}");
        }
    }
}

#[test]
fn whoever_restarts_goes_on_where_it_was() {
    let mut planet = Planet::new();
    planet.register_all();
    let task = planet.fan("us", Over::Agents, Need::All);
    let leases = planet.leases();
    planet.finish("a-us", leases["a-us"][0].claim, Outcome::Completed).unwrap();
    planet.restart("us", Arc::clone);
    for peer in ["ap", "eu"] {
        planet.link_two("us", peer);
    }
    planet.pass(Duration::from_secs(3));
    for agent in ["a-ap", "a-eu", "b-eu"] {
        planet.finish(agent, leases[agent][0].claim, Outcome::Completed).unwrap();
    }
    let detail = planet.task("ap", task);
    assert_eq!((detail.summary.state, detail.artifacts.len()), (TaskState::Completed, 4));
}

#[test]
fn what_nobody_is_there_for_fails_and_what_is_called_off_is_so_everywhere() {
    let mut planet = Planet::new();
    planet.register_all();
    planet.pass(Duration::from_secs(20)); // Nobody is heard any more.
    let task = planet.fan("ap", Over::Agents, Need::All);
    assert_eq!(planet.state("eu", task), TaskState::Failed);
    planet.register_all();
    let task = planet.fan("ap", Over::Agents, Need::All);
    let leases = planet.leases();
    planet.get("us", Command::AtHome(AtHome::Cancel { task, message: None })).unwrap();
    for (agent, leases) in &leases {
        assert_eq!(planet.state("eu", made_by(task, agent)), TaskState::Canceled);
        let late = planet.finish(agent, leases[0].claim, Outcome::Completed);
        assert!(matches!(late, Err(Refusal::Ended { .. })), "{late:?}");
    }
}

#[test]
fn nobody_but_its_home_works_on_it() {
    let mut planet = Planet::new();
    planet.register_all();
    let task = planet.fan("ap", Over::Agents, Need::All);
    let claim = Claim { task, token: Token::new(1, 1) };
    for ask in [
        AtHome::Heartbeat(claim),
        AtHome::Finish { claim, notes: None, outcome: Outcome::Completed, message: None },
        AtHome::Fail { claim, notes: None, message: None },
        AtHome::Decline(claim),
    ] {
        let refused = planet.get("ap", Command::AtHome(ask));
        assert!(matches!(refused, Err(Refusal::StaleToken { .. })), "{refused:?}");
    }
    planet.pass(Duration::from_secs(60));
    assert_eq!(planet.state("eu", task), TaskState::Working, "it has no lease that could lapse");
}

#[test]
fn it_waits_for_its_time_and_has_an_end() {
    let mut planet = Planet::new();
    planet.register_all();
    let secs = Duration::from_secs;
    let fan = Some(Fan { over: Over::Agents, need: Need::All });
    let terms = Terms {
        fan,
        start_delay: secs(5),
        schedule_to_start: Some(secs(2)),
        start_to_close: Some(secs(60)),
        schedule_to_close: Some(secs(30)),
        ..Terms::default()
    };
    let task = planet.submit_with("ap", terms);
    assert_eq!(planet.state("eu", task), TaskState::Submitted);
    planet.pass(secs(4));
    planet.register_all();
    planet.pass(secs(2));
    assert_eq!(planet.state("eu", task), TaskState::Working);
    let leases = planet.leases();
    for (name, agent) in AGENTS {
        let beat = AtHome::Heartbeat(leases[agent][0].claim);
        planet.get(name, Command::AtHome(beat)).unwrap();
    }
    planet.pass(secs(10));
    assert_eq!(planet.state("eu", task), TaskState::Working);
    planet.pass(secs(20));
    assert_eq!(planet.state("eu", task), TaskState::Failed);
    for (_, agent) in AGENTS {
        assert!(planet.state("eu", made_by(task, agent)).is_terminal());
    }
}

#[test]
fn who_is_asked_by_name_hears_for_what_and_does_not_hold_the_conversation() {
    let mut planet = Planet::new();
    planet.register_all();
    let first = planet.submit_with("eu", Terms::default());
    let leases = planet.leases();
    let (holder, lease) =
        leases.iter().find_map(|(agent, it)| Some((*agent, it.first()?))).unwrap();
    planet.finish(holder, lease.claim, Outcome::Completed).unwrap();
    assert_eq!(planet.state("eu", first), TaskState::Completed);
    let task = planet.fan("eu", Over::Agents, Need::All);
    for (agent, leases) in planet.leases() {
        let spec = &leases[0].spec;
        assert_eq!(spec.target, Target::Agent(agent.into()));
        let skill = spec.terms.as_ref().and_then(|it| it.skill.clone());
        assert_eq!(Some(Target::Skill(skill.unwrap())), Some(task_in(spec.placement).target));
        planet.finish(agent, leases[0].claim, Outcome::Failed).unwrap();
    }
    // Those who are asked once more are asked by the whole: it is the dead letter.
    let filter = TaskFilter { is_dead: true, ..TaskFilter::default() };
    let dead = planet.get("us", Command::Tasks { filter, before: None, limit: 9 });
    let Ok(Reply::Tasks { tasks, .. }) = dead else { panic!("{dead:?}") };
    assert_eq!(tasks.into_iter().map(|it| it.id).collect::<Vec<_>>(), [task]);
    planet.submit_with("eu", Terms::default());
    let given: Vec<&str> =
        planet.leases().into_iter().filter(|(_, it)| !it.is_empty()).map(|(it, _)| it).collect();
    assert_eq!(given, [holder], "the conversation is still its");
}

#[test]
fn nobody_is_asked_in_vain() {
    let mut planet = Planet::new();
    planet.register_all();
    let task = planet.fan("us", Over::Agents, Need::First(5));
    assert_eq!(planet.state("us", task), TaskState::Failed);
    assert_eq!(planet.leases().values().flatten().count(), 0);
}

#[test]
fn what_there_is_no_room_for_is_refused_or_waits() {
    let mut planet = Planet::of(|name| {
        let mut config = planet::config(name);
        config.limits.open_tasks_max = 6;
        Region::new(config)
    });
    planet.register_all();
    let fan = Some(Fan { over: Over::Agents, need: Need::All });
    let later = Terms { fan, start_delay: Duration::from_secs(5), ..Terms::default() };
    let waits = planet.submit_with("us", later);
    let first = planet.fan("us", Over::Agents, Need::All);
    let spec = |terms| Spec { terms: Some(Arc::new(terms)), ..task_in(PlacementId::global()) };
    let refused = planet.get("us", Command::Submit(spec(Terms { fan, ..Terms::default() })));
    assert!(matches!(refused, Err(Refusal::Overloaded { .. })), "{refused:?}");
    planet.pass(Duration::from_secs(6));
    assert_eq!(planet.state("us", waits), TaskState::Working);
    let given = |planet: &mut Planet| {
        let part_of = |it: &Lease| it.spec.terms.as_ref().and_then(|it| it.part_of);
        planet.leases().values().flatten().filter(|it| part_of(it) == Some(waits)).count()
    };
    assert_eq!(given(&mut planet), 0, "it asks nobody yet");
    planet.get("us", Command::AtHome(AtHome::Cancel { task: first, message: None })).unwrap();
    planet.register_all();
    planet.pass(Duration::from_secs(2));
    assert_eq!(given(&mut planet), 4, "now there is room");
}

#[test]
fn whom_a_lost_home_alone_had_asked_is_called_off_when_that_is_back() {
    let mut planet = Planet::new();
    planet.register_all();
    let fan = Some(Fan { over: Over::Agents, need: Need::All });
    let later = Terms { fan, start_delay: Duration::from_secs(3), ..Terms::default() };
    let task = planet.submit_with("us", later);
    planet.pass(Duration::from_millis(2_900));
    planet.cut("us");
    planet.pass(Duration::from_millis(200));
    assert_eq!(planet.state("us", task), TaskState::Working, "it has asked them all");
    planet.pass(Duration::from_secs(15)); // Nobody hears of the agent of `us`.
    for (name, agent) in AGENTS {
        if name != "us" {
            let spec = agent_in(PlacementId::global(), agent, 4);
            planet.get(name, Command::Register(spec)).unwrap();
        }
    }
    planet.pass(Duration::from_secs(1));
    let asked = |planet: &mut Planet, name| {
        let agents = AGENTS.iter().filter(|(_, it)| *it != "a-us");
        agents.map(|(_, it)| planet.state(name, made_by(task, it))).collect::<Vec<_>>()
    };
    let before = asked(&mut planet, "eu");
    planet.link("us");
    planet.pass(Duration::from_secs(8));
    let part = made_by(task, "a-us");
    for name in ["ap", "eu", "us"] {
        assert_eq!(planet.state(name, part), TaskState::Canceled, "{before:?}");
    }
}
