//! Stories of webhooks: who is told what of a task, by whom, and how often.
//! Faults at random are the simulator's.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod planet;

use std::time::Duration;

use bytes::Bytes;
use photon_region::{
    AtHome, Command, Config, Disk, Input, Large, Limits, Mark, Message, Outcome, Question, Refusal,
    Region, Reply, Secret, TaskId, Ticket, Webhook, Went, decode_message, encode_message,
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
        let (id, target, credentials) = (id.into(), secret(target), secret("key"));
        self.at_home("us", AtHome::SetWebhook { task, id, target, credentials, since: None })
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
        let set = self.regions[name].store().register(&record(Dataset(7), task)).unwrap().at;
        let told = Command::Told { task, id: "w".into(), set, upto, went };
        assert_eq!(self.get(name, told), Ok(Reply::Done));
    }

    fn finish(&mut self, task: TaskId) {
        let acquire = Command::Acquire { agent: "shout".into(), limit: 9, wait: Duration::ZERO };
        let Ok(Reply::Leases(leases)) = self.get("eu", acquire) else { panic!("no leases") };
        let claim = leases.iter().find(|it| it.claim.task == task).unwrap().claim;
        let finish =
            AtHome::Finish { claim, notes: None, outcome: Outcome::Completed, message: None };
        self.at_home("eu", finish).unwrap();
    }
}

/// Returns what is shown of the webhook.
fn shown(target: &str) -> Webhook {
    let (target, credentials) = (secret(target), secret(""));
    Webhook { id: "w".into(), target, credentials, since: mark(2) }
}

fn record(dataset: Dataset, task: TaskId) -> Record {
    let key = Key::new(&[&task.to_bytes()[..], b"w"].concat());
    Record { placement: PlacementId::global(), dataset, key }
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
        let webhook = shown("there");
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
    let Some(Ok(Reply::Due(due))) = planet.replies.remove(&waits) else { panic!("nothing due") };
    let [due] = &due[..] else { panic!("{due:?}") };
    assert_eq!((due.task, due.after, due.has_turns), (task, 2, false));
    assert_eq!(*due.webhook, Webhook { credentials: secret("key"), ..shown("there") });
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
            AtHome::SetWebhook {
                task,
                id: "all".into(),
                target: secret("x"),
                credentials: secret(""),
                since: Some(0),
            },
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
    assert_eq!(planet.webhooks("us", task), [shown("elsewhere")], "it goes on where it was");
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
    for number in 0..16 {
        planet.set(task, &number.to_string(), "there").unwrap();
    }
    let too_many = Refusal::TooLarge { what: Large::Webhooks, bytes: 17, max: 16 };
    assert_eq!(planet.set(task, "65", "there"), Err(too_many.clone()));
    planet.remove(task, "1").unwrap();
    assert_eq!(planet.set(task, "65", "there"), Err(too_many), "removed ones count");
    planet.set(task, "1", "there").unwrap();
    let large = Refusal::TooLarge { what: Large::Webhook, bytes: 20_003, max: 16_384 };
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
        for dataset in [Dataset(7), Dataset(8)] {
            let left = planet.regions[name].store().register(&record(dataset, task));
            assert_eq!(left, None, "{name}");
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

#[test]
fn all_webhooks_of_a_task_together_are_bounded_and_so_are_their_names() {
    let mut planet = Planet::new();
    let task = planet.submit("ap");
    planet.set(task, "1", &"x".repeat(16_380)).unwrap();
    let refused = planet.set(task, "2", &"x".repeat(16_381));
    assert!(matches!(refused, Err(Refusal::TooLarge { max: 32_768, .. })), "{refused:?}");
    let (id, target, credentials) = ("x".repeat(600).into(), secret("x"), secret("x"));
    let set = AtHome::SetWebhook { task, id, target, credentials, since: None };
    let name = Refusal::TooLarge { what: Large::Webhook, bytes: 600, max: 64 };
    assert_eq!(planet.at_home("ap", set.clone()), Err(name));
    let message = Message::Ask(1, Question::Task(set, 0));
    assert!(decode_message(&encode_message(&message)).is_err(), "a peer cannot even ask for it");
}

#[test]
fn while_the_disk_is_full_nobody_is_told_the_same_over_and_over() {
    let mut planet = Planet::new();
    let task = planet.with_webhook();
    planet.cancel(task);
    assert_eq!(planet.due("ap"), w(2));
    planet.input("ap", Input::Disk(Disk::Full));
    planet.told("ap", task, 3, Went::Well);
    planet.pass(Duration::from_secs(30));
    assert_eq!(planet.due("ap"), []);
    planet.input("ap", Input::Disk(Disk::Ready));
    planet.pass(Duration::from_secs(300));
    assert_eq!(planet.due("ap"), [], "it was told, and that is not forgotten");
}

#[test]
fn what_is_reported_of_a_webhook_that_was_replaced_does_not_count() {
    let mut planet = Planet::new();
    let task = planet.with_webhook();
    planet.cancel(task);
    assert_eq!(planet.due("ap"), w(2));
    let set = planet.regions["ap"].store().register(&record(Dataset(7), task)).unwrap().at;
    planet.set(task, "w", "elsewhere").unwrap();
    let told = Command::Told { task, id: "w".into(), set, upto: 3, went: Went::Well };
    assert_eq!(planet.get("ap", told), Ok(Reply::Done));
    assert_eq!(planet.due("ap"), w(2));
    planet.told("ap", task, 2, Went::Later);
    assert_eq!(planet.due("ap"), [], "not at once");
    planet.pass(Duration::from_secs(2));
    assert_eq!(planet.due("ap"), w(2));
}

#[test]
fn of_those_that_fail_a_few_are_told_at_a_time_whoever_of_their_tellers_is_lost() {
    let mut planet = Planet::new();
    let take = || Command::TakeDue { limit: 1_000, wait: Duration::ZERO };
    let due = |planet: &mut Planet| match planet.get("ap", take()) {
        Ok(Reply::Due(due)) => due,
        other => panic!("{other:?}"),
    };
    for _ in 0..5 {
        let task = planet.submit("ap");
        (0..16).for_each(|it| planet.set(task, &it.to_string(), "there").unwrap());
        planet.cancel(task);
    }
    let all = due(&mut planet);
    assert_eq!(all.len(), 80);
    for it in all {
        let (task, id, set) = (it.task, it.webhook.id.clone(), it.set);
        let told = Command::Told { task, id, set, upto: it.after, went: Went::Badly };
        planet.get("ap", told).unwrap();
    }
    for _ in 0..3 {
        planet.pass(Duration::from_secs(125));
        assert_eq!(due(&mut planet).len(), 64, "and nobody reports");
        assert_eq!(due(&mut planet).len(), 0);
    }
    let task = planet.with_webhook();
    planet.cancel(task);
    assert_eq!(due(&mut planet).len(), 1, "those that do not fail have room");
}

#[test]
fn one_that_a_lost_home_had_set_later_is_told_what_came_since_it_was_set_first() {
    let mut planet = Planet::new();
    let task = planet.submit("ap");
    let acquire = Command::Acquire { agent: "shout".into(), limit: 1, wait: Duration::ZERO };
    let Ok(Reply::Leases(leases)) = planet.get("eu", acquire) else { panic!("no leases") };
    planet.cut("ap");
    planet.skew_ms.insert("ap", 9_000); // What it writes is the younger.
    let set = |planet: &mut Planet, name| {
        let (id, target, credentials) = ("w".into(), secret("there"), secret("key"));
        planet.at_home(name, AtHome::SetWebhook { task, id, target, credentials, since: None })
    };
    // Nobody hears that it has.
    let notes = vec![photon_region::Note::Status(photon_region::Json(Bytes::from_static(b"{}")))];
    let note = AtHome::Note { claim: leases[0].claim, first: 1, notes };
    planet.at_home("ap", note).unwrap();
    set(&mut planet, "ap").unwrap();
    planet.told("ap", task, 3, Went::Well);
    planet.skew_ms.remove("ap");
    planet.pass(Duration::from_secs(4));
    let heartbeat = AtHome::Heartbeat(leases[0].claim);
    planet.at_home("eu", heartbeat).unwrap();
    set(&mut planet, "eu").unwrap();
    planet.link("ap");
    planet.pass(Duration::from_secs(12));
    assert_eq!(planet.webhooks("us", task), [shown("there")]);
    let due: Vec<_> = NAMES.into_iter().flat_map(|name| planet.due(name)).collect();
    assert_eq!(due, w(2));
}
