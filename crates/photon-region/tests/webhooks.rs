//! Stories of webhooks: who is told what of a task, by whom, and how often.
//! Faults at random are the simulator's.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod planet;

use std::time::Duration;

use bytes::Bytes;
use photon_region::{
    AtHome, Command, Config, Due, Large, Limits, Mark, Outcome, Refusal, Region, Reply, Secret,
    TaskId, Ticket, Webhook, Went,
};
use photon_state::{Dataset, Key, PlacementId, Record};
use planet::{NAMES, Planet, agent_in, config, id, task_in};

fn secret(text: &str) -> Secret {
    Secret(Bytes::copy_from_slice(text.as_bytes()))
}

impl Planet {
    /// Submits a task in `ap`, which has a webhook `w`.
    fn with_webhook(&mut self) -> TaskId {
        let task = self.submit("ap");
        self.set(task, "w", "there").unwrap();
        task
    }

    fn submit(&mut self, name: &'static str) -> TaskId {
        let global = PlacementId::global();
        self.get("eu", Command::Register(agent_in(global, "shout", 9))).unwrap();
        match self.get(name, Command::Submit(task_in(global))) {
            Ok(Reply::Submitted { task, .. }) => task.id,
            other => panic!("{other:?}"),
        }
    }

    fn at_home(&mut self, name: &'static str, ask: AtHome) -> Result<(), Refusal> {
        self.get(name, Command::AtHome(ask)).map(|_| ())
    }

    fn set(&mut self, task: TaskId, id: &str, target: &str) -> Result<(), Refusal> {
        let (id, target) = (id.into(), secret(target));
        self.at_home("us", AtHome::SetWebhook { task, id, target, since: None })
    }

    fn remove(&mut self, task: TaskId, id: &str) -> Result<(), Refusal> {
        self.at_home("us", AtHome::RemoveWebhook { task, id: id.into() })
    }

    fn cancel(&mut self, task: TaskId) {
        self.at_home("us", AtHome::Cancel { task, message: None }).unwrap();
    }

    fn webhooks(&mut self, name: &'static str, task: TaskId) -> Vec<Webhook> {
        match self.get(name, Command::Webhooks(task)) {
            Ok(Reply::Webhooks(webhooks)) => webhooks,
            other => panic!("{other:?}"),
        }
    }

    /// Takes what is due in a region: names and the generations after which they are told.
    fn due(&mut self, name: &'static str) -> Vec<(String, u64)> {
        let wait = Duration::ZERO;
        match self.get(name, Command::TakeDue { limit: 10, wait }) {
            Ok(Reply::Due(due)) => {
                due.iter().map(|it| (it.webhook.id.to_string(), it.after)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    fn wait_for_due(&mut self, name: &'static str) -> Ticket {
        self.ask(name, Command::TakeDue { limit: 10, wait: Duration::from_secs(30) })
    }

    fn told(&mut self, name: &'static str, task: TaskId, upto: u64, went: Went) {
        let told = Command::Told { task, id: "w".into(), upto, went };
        assert_eq!(self.get(name, told), Ok(Reply::Done));
    }

    fn finish(&mut self, task: TaskId) {
        let acquire = Command::Acquire { agent: "shout".into(), limit: 9, wait: Duration::ZERO };
        let Ok(Reply::Leases(leases)) = self.get("eu", acquire) else { panic!("no leases") };
        let claim = leases.iter().find(|it| it.claim.task == task).unwrap().claim;
        let finish = AtHome::Finish { claim, outcome: Outcome::Completed, message: None };
        self.at_home("eu", finish).unwrap();
    }
}

fn mark(generation: u64) -> Mark {
    Mark { epoch: 1, generation }
}

fn w(after: u64) -> Vec<(String, u64)> {
    vec![("w".to_owned(), after)]
}

#[test]
fn the_home_tells_what_came_after_the_webhook_and_all_regions_know_of_it() {
    let mut planet = Planet::new();
    let task = planet.with_webhook();
    for name in NAMES {
        let webhook = Webhook { id: "w".into(), target: secret("there"), since: mark(2) };
        assert_eq!(planet.webhooks(name, task), [webhook], "{name}");
        assert_eq!(planet.due(name), [], "{name}");
    }
    planet.finish(task);
    assert_eq!(planet.due("eu"), [], "it is for the home to tell");
    assert_eq!(planet.due("ap"), w(2));
    assert_eq!(planet.due("ap"), [], "one at a time");
    planet.told("ap", task, 3, Went::Well);
    planet.pass(Duration::from_secs(300));
    assert_eq!(planet.due("ap"), [], "it has taken all");
    assert!(format!("{:?}", planet.webhooks("ap", task)).contains("5 secret bytes"));
}

#[test]
fn whoever_waits_hears_of_the_next_event() {
    let mut planet = Planet::new();
    let task = planet.with_webhook();
    let waits = planet.wait_for_due("ap");
    assert_eq!(planet.replies.get(&waits), None);
    planet.cancel(task);
    let webhook = Webhook { id: "w".into(), target: secret("there"), since: mark(2) };
    let due = Due { task, webhook: webhook.into(), after: 2 };
    assert_eq!(planet.replies.remove(&waits), Some(Ok(Reply::Due(vec![due]))));
    // Who took it fell silent.
    let waits = planet.wait_for_due("ap");
    planet.pass(Duration::from_secs(31));
    assert_eq!(planet.replies.remove(&waits), Some(Ok(Reply::Due(vec![]))));
    planet.pass(Duration::from_secs(90));
    assert_eq!(planet.due("ap"), w(2));
}

#[test]
fn what_is_not_taken_is_told_again_ever_less_often_and_then_given_up() {
    let mut planet = Planet::of(|name| {
        let webhook_retry_for = Duration::from_secs(3_600);
        Region::new(Config {
            limits: Limits { webhook_retry_for, ..Limits::default() },
            ..config(name)
        })
    });
    let task = planet.with_webhook();
    planet.cancel(task);
    let mut tries = Vec::new();
    let begun = planet.now.mono;
    while planet.now.mono < begun + Duration::from_secs(7_200) {
        if !planet.due("ap").is_empty() {
            tries.push((planet.now.mono - begun).as_secs());
            planet.told("ap", task, 0, Went::Badly);
        }
        planet.pass(Duration::from_secs(1));
    }
    let pauses: Vec<u64> = tries.windows(2).map(|it| it[1] - it[0]).collect();
    assert!(pauses[0] <= 2 && pauses.iter().all(|it| *it <= 301), "{pauses:?}");
    assert!((15..40).contains(&tries.len()), "{tries:?}");
    assert!((3_600..4_200).contains(tries.last().unwrap()), "{tries:?}");
    assert_eq!(planet.regions["ap"].view().counters.webhooks_given_up, 1);
}

#[test]
fn one_that_takes_a_part_goes_on_there() {
    let mut planet = Planet::new();
    let task = planet.with_webhook();
    planet.finish(task);
    planet.set(task, "late", "there").unwrap();
    assert_eq!(planet.due("ap"), w(2));
    planet.told("ap", task, 99, Went::Badly);
    planet.pass(Duration::from_secs(5));
    assert_eq!(planet.due("ap"), [], "it cannot have taken more than there is");
}

#[test]
fn an_heir_goes_on_where_the_home_was() {
    let mut planet = Planet::new();
    let task = planet.with_webhook();
    planet
        .at_home(
            "us",
            AtHome::SetWebhook { task, id: "all".into(), target: secret("x"), since: Some(0) },
        )
        .unwrap();
    assert_eq!(planet.due("ap"), [("all".to_owned(), 0)]);
    planet.told("ap", task, 0, Went::Well);
    planet.cut("ap");
    planet.pass(Duration::from_secs(5));
    planet.cancel(task);
    let heir = NAMES.into_iter().find(|it| *it != "ap" && planet.due(it).len() == 2);
    let heir = heir.expect("one of the others tells both");
    planet.told(heir, task, 3, Went::Well);
    assert_eq!(planet.due("ap"), [], "whoever is cut off tells nobody");
    planet.link_two("ap", "eu");
    planet.link_two("ap", "us");
    planet.pass(Duration::from_secs(5));
    assert_eq!(planet.webhooks("ap", task).len(), 2);
    assert_eq!(planet.due("ap"), []);
}

#[test]
fn a_removal_that_only_a_lost_home_had_counts_when_that_is_back() {
    let mut planet = Planet::new();
    let task = planet.with_webhook();
    planet.drop_ops = |op| op.stream.origin == id("ap");
    planet.at_home("ap", AtHome::RemoveWebhook { task, id: "w".into() }).unwrap();
    planet.cut("ap");
    planet.drop_ops = |_| false;
    planet.pass(Duration::from_secs(5));
    planet.cancel(task);
    let heir = NAMES.into_iter().find(|it| *it != "ap" && planet.due(it) == w(2)).unwrap();
    planet.told(heir, task, 3, Went::Well);
    planet.link_two("ap", "eu");
    planet.link_two("ap", "us");
    planet.pass(Duration::from_secs(5));
    for name in NAMES {
        assert_eq!(planet.webhooks(name, task), [], "{name}");
    }
}

#[test]
fn what_is_said_twice_counts_once_and_what_is_removed_is_told_nothing() {
    let mut planet = Planet::new();
    let task = planet.with_webhook();
    planet.finish(task);
    planet.set(task, "w", "there").unwrap();
    assert_eq!(planet.webhooks("us", task)[0].since, mark(2), "said twice");
    planet.set(task, "w", "elsewhere").unwrap();
    let moved = Webhook { id: "w".into(), target: secret("elsewhere"), since: mark(2) };
    assert_eq!(planet.webhooks("us", task), [moved], "it goes on where it was");
    planet.remove(task, "w").unwrap();
    planet.remove(task, "w").unwrap();
    planet.remove(task, "never").unwrap();
    assert_eq!(planet.webhooks("us", task), []);
    assert_eq!(planet.due("ap"), []);
    planet.set(task, "w", "there").unwrap();
    assert_eq!(planet.webhooks("us", task)[0].since, mark(3), "a new one");
}

#[test]
fn webhooks_are_bounded_and_are_of_tasks_that_are_known() {
    let mut planet = Planet::new();
    let task = planet.submit("ap");
    for number in 0..64 {
        planet.set(task, &number.to_string(), "there").unwrap();
    }
    let too_many = Refusal::TooLarge { what: Large::Webhooks, bytes: 65, max: 64 };
    assert_eq!(planet.set(task, "65", "there"), Err(too_many.clone()));
    planet.remove(task, "1").unwrap();
    assert_eq!(planet.set(task, "65", "there"), Err(too_many), "removed ones count");
    planet.set(task, "1", "there").unwrap();
    let large = Refusal::TooLarge { what: Large::Webhook, bytes: 20_000, max: 16_384 };
    assert_eq!(planet.set(task, "2", &"x".repeat(20_000)), Err(large));
    let unknown: TaskId = "01mcc5rp5gcxzxbkqenh80mxd0".parse().unwrap();
    assert!(matches!(planet.set(unknown, "w", "x"), Err(Refusal::NoSuchTask(_))));
}

#[test]
fn they_outlive_a_start_and_are_forgotten_with_their_task() {
    let mut planet = Planet::of(|name| {
        let retention = Duration::from_secs(60);
        Region::new(Config { limits: Limits { retention, ..Limits::default() }, ..config(name) })
    });
    let task = planet.with_webhook();
    planet.finish(task);
    planet.restart("ap", Clone::clone);
    for name in ["eu", "us"] {
        planet.link_two("ap", name);
    }
    planet.pass(Duration::from_secs(5));
    assert_eq!(planet.due("ap"), w(2));
    planet.told("ap", task, 3, Went::Well);
    planet.pass(Duration::from_secs(70));
    // The one that was started anew keeps tasks for longer.
    for name in ["eu", "us"] {
        let key = Key::new(&[&task.to_bytes()[..], b"w"].concat());
        for dataset in [Dataset(7), Dataset(8)] {
            let record = Record { placement: PlacementId::global(), dataset, key: key.clone() };
            assert_eq!(planet.regions[name].store().register(&record), None, "{name}");
        }
    }
}

#[test]
fn what_a_lost_home_had_told_otherwise_is_told_again() {
    let mut planet = Planet::new();
    let task = planet.with_webhook();
    planet.drop_ops = |op| op.stream.origin == id("ap");
    planet.at_home("ap", AtHome::Cancel { task, message: None }).unwrap();
    assert_eq!(planet.due("ap"), w(2));
    planet.told("ap", task, 3, Went::Well);
    planet.cut("ap");
    planet.drop_ops = |_| false;
    planet.pass(Duration::from_secs(5));
    planet.finish(task);
    planet.link_two("ap", "eu");
    planet.link_two("ap", "us");
    planet.pass(Duration::from_secs(5));
    // What it was told of as the third event is not what counts as that.
    let heir = NAMES.into_iter().find(|it| *it != "ap" && planet.due(it) == w(2));
    planet.told(heir.expect("one of the others tells it"), task, 3, Went::Well);
}
