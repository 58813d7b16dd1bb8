//! Stories of topics: their order, their homes, and what is kept of them.
//! Faults at random are the simulator's.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod planet;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use photon_region::{
    Ack, AtHome, Command, Json, Large, Mark, Post, Posts, Queue, Refusal, Region, Reply, Retention,
    Start, TopicAsk, TopicCommand, TopicRead, TopicView, topic_id,
};
use photon_state::{PlacementId, RegionId};
use planet::{Planet, eu_only, id};

const ALL: [&str; 3] = ["ap", "eu", "us"];

fn global() -> PlacementId {
    PlacementId::global()
}

fn post(id: &str, data: &str) -> Post {
    let data = Json(Bytes::copy_from_slice(format!("\"{data}\"").as_bytes()));
    Post { id: id.into(), key: None, data }
}

fn publishing(placement: PlacementId, name: &str, post: Post, ack: Ack) -> Command {
    let (topic, name) = (topic_id(placement, name), name.into());
    Command::AtHome(AtHome::Topic { topic, name, ask: Box::new(TopicAsk::Publish { post, ack }) })
}

/// Returns a name of a topic whose home is a region.
fn topic_at(planet: &mut Planet, home: &str) -> String {
    let mut names = (0..).map(|it| format!("topic-{it}"));
    names
        .find(|name| {
            let (placement, name_) = (global(), name.as_str().into());
            let retention = Retention::default();
            let keep = TopicCommand::Keep { placement, name: name_, retention };
            planet.get("us", Command::Topic(keep)).unwrap();
            view(planet, "us", name).home == id(home)
        })
        .unwrap()
}

fn view(planet: &mut Planet, at: &'static str, name: &str) -> TopicView {
    match planet.get(at, Command::Topic(TopicCommand::Show(Some((global(), name.into()))))) {
        Ok(Reply::Topics(all)) => all.into_iter().next().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn reading(name: &str, start: Start, wait: Duration) -> Command {
    let (placement, name, key) = (global(), name.into(), None);
    Command::Topic(TopicCommand::Read(TopicRead { placement, name, start, key, limit: 100, wait }))
}

impl Planet {
    fn publish(&mut self, at: &'static str, name: &str, post: Post) -> Mark {
        match self.get(at, publishing(global(), name, post, Ack::Region)) {
            Ok(Reply::Posted { mark, .. }) => mark,
            other => panic!("{other:?}"),
        }
    }

    fn read(&mut self, at: &'static str, name: &str, start: Start) -> Posts {
        match self.get(at, reading(name, start, Duration::ZERO)) {
            Ok(Reply::Posts(posts)) => *posts,
            other => panic!("{other:?}"),
        }
    }

    /// Returns what a region shows of a topic: positions and names.
    fn shown(&mut self, at: &'static str, name: &str) -> Vec<(u64, String)> {
        let posts = self.read(at, name, Start::First).posts;
        posts.into_iter().map(|it| (it.mark.generation, it.post.id.to_string())).collect()
    }
}

fn numbered(ids: &[&str]) -> Vec<(u64, String)> {
    (1..).zip(ids).map(|(position, id)| (position, (*id).to_owned())).collect()
}

#[test]
fn all_regions_show_the_same_order_wherever_it_was_published() {
    let mut planet = Planet::new();
    for (at, ids) in ALL.into_iter().zip(["a", "b", "c"]) {
        planet.publish(at, "agent-coordination", post(ids, "hello"));
    }
    for at in ALL {
        assert_eq!(planet.shown(at, "agent-coordination"), numbered(&["a", "b", "c"]), "{at}");
    }
    let home = view(&mut planet, "eu", "agent-coordination");
    assert_eq!((home.first, home.last), (1, 3));
    let topics: Vec<RegionId> =
        (0..20).map(|it| topic_id(global(), &format!("t{it}"))).map(|_| home.home).collect();
    assert!(!topics.is_empty());
}

#[test]
fn what_is_published_twice_is_numbered_once() {
    let mut planet = Planet::new();
    let first = planet.publish("ap", "t", post("a", "hello"));
    planet.publish("us", "t", post("b", "hello"));
    let again = publishing(global(), "t", post("a", "hello"), Ack::Quorum);
    match planet.get("eu", again) {
        Ok(Reply::Posted { mark, repeated }) => assert_eq!((mark, repeated), (first, true)),
        other => panic!("{other:?}"),
    }
    let other = publishing(global(), "t", post("a", "something else"), Ack::Region);
    assert_eq!(planet.get("eu", other), Err(Refusal::PostReused { position: 1 }));
    let long = "x".repeat(Post::DATA_BYTES_MAX);
    let large = planet.get("eu", publishing(global(), "t", post("c", &long), Ack::Region));
    assert!(matches!(large, Err(Refusal::TooLarge { what: Large::Post, .. })), "{large:?}");
    for at in ALL {
        planet.restart(at, Arc::clone);
        for peer in ALL {
            if at != peer {
                planet.link_two(at, peer);
            }
        }
        planet.pass(Duration::from_secs(5));
        assert_eq!(planet.shown(at, "t"), numbered(&["a", "b"]), "{at}");
    }
    assert_eq!(planet.publish("ap", "t", post("a", "hello")).generation, first.generation);
}

#[test]
fn whoever_waits_hears_of_the_next_message_and_reads_on_from_where_it_was() {
    let mut planet = Planet::new();
    let next = planet.read("ap", "t", Start::Last).next;
    let waits = planet.ask("ap", reading("t", Start::After(next), Duration::from_secs(30)));
    planet.publish("us", "t", post("a", "1"));
    let Some(Ok(Reply::Posts(posts))) = planet.replies.remove(&waits) else { panic!("it waits") };
    assert_eq!((posts.posts.len(), posts.next.generation, posts.is_cut), (1, 1, false));
    let waits = planet.ask("eu", reading("t", Start::After(posts.next), Duration::from_secs(3)));
    planet.pass(Duration::from_secs(4));
    let Some(Ok(Reply::Posts(none))) = planet.replies.remove(&waits) else { panic!("it waits") };
    assert_eq!((none.posts.len(), none.next), (0, posts.next));
    let mut about = post("b", "2");
    about.key = Some("k".into());
    planet.publish("eu", "t", about);
    planet.publish("eu", "t", post("c", "3"));
    let (placement, name, key) = (global(), "t".into(), Some("k".into()));
    let (start, limit, wait) = (Start::First, 9, Duration::ZERO);
    let of_key =
        Command::Topic(TopicCommand::Read(TopicRead { placement, name, start, key, limit, wait }));
    let Ok(Reply::Posts(posts)) = planet.get("ap", of_key) else { panic!("it is read") };
    assert_eq!((posts.posts.len(), posts.next.generation), (1, 3), "the others are passed over");
}

#[test]
fn an_heir_goes_on_and_what_a_lost_home_had_taken_comes_to_light() {
    let mut planet = Planet::new();
    let name = topic_at(&mut planet, "us");
    planet.publish("eu", &name, post("a", "1"));
    planet.publish("us", &name, post("b", "2"));
    planet.cut("us");
    // Nobody else hears of it, and it was acknowledged.
    let lost = planet.publish("us", &name, post("lost", "3"));
    assert_eq!(lost.generation, 3);
    planet.pass(Duration::from_secs(8));
    let after = planet.publish("ap", &name, post("c", "4"));
    assert_eq!(after.generation, 3);
    assert!(lost.epoch < after.epoch);
    assert_eq!(planet.shown("eu", &name), numbered(&["a", "b", "c"]));
    planet.link("us");
    planet.pass(Duration::from_secs(8));
    for at in ALL {
        assert_eq!(planet.shown(at, &name), numbered(&["a", "b", "c", "lost"]), "{at}");
        // Who had read what the lost home alone knew misses nothing.
        let read = planet.read(at, &name, Start::After(lost));
        assert_eq!(read.posts.len(), 2, "{at}");
    }
    // It was asked for again meanwhile, and is not told twice.
    planet.publish("us", &name, post("lost", "3"));
    assert_eq!(planet.shown("us", &name).len(), 4);
}

#[test]
fn what_is_acknowledged_at_quorum_outlives_its_home() {
    let mut planet = Planet::new();
    let name = topic_at(&mut planet, "eu");
    for at in 0..200 {
        let asked = publishing(global(), &name, post(&format!("m{at}"), "x"), Ack::Quorum);
        let said = planet.get("ap", asked);
        assert!(matches!(said, Ok(Reply::Posted { repeated: false, .. })), "{said:?}");
    }
    planet.cut("eu");
    planet.pass(Duration::from_secs(8));
    assert_eq!(planet.publish("us", &name, post("next", "x")).generation, 201);
    planet.cut("us");
    let asked = publishing(global(), &name, post("alone", "x"), Ack::Quorum);
    let ticket = planet.ask("us", asked);
    planet.pass(Duration::from_secs(8));
    let said = planet.replies.remove(&ticket);
    assert!(matches!(said, Some(Err(_))), "{said:?}");
}

#[test]
fn what_is_old_or_too_much_is_kept_no_more() {
    let mut planet = Planet::new();
    let retention = Retention { time: Duration::from_secs(60), bytes: 64 << 10 };
    let (placement, name) = (global(), "t".into());
    planet.get("ap", Command::Topic(TopicCommand::Keep { placement, name, retention })).unwrap();
    for at in 0..300 {
        planet.publish("ap", "t", post(&format!("m{at}"), &"x".repeat(1_000)));
    }
    planet.pass(Duration::from_secs(2));
    for at in ALL {
        let view = view(&mut planet, at, "t");
        assert!((30_000..=64 << 10).contains(&view.bytes), "{at}: {view:?}");
        assert!(200 < view.first && view.last == 300, "{at}: {view:?}");
        let read = planet.read(at, "t", Start::After(Mark { epoch: 0, generation: 10 }));
        assert!(read.is_cut, "{at}");
        assert_eq!(read.posts[0].mark.generation, view.first, "{at}");
    }
    planet.pass(Duration::from_secs(80));
    for at in ALL {
        let view = view(&mut planet, at, "t");
        assert_eq!((view.first, view.last, view.bytes), (301, 300, 0), "{at}");
    }
    assert_eq!(planet.publish("us", "t", post("next", "x")).generation, 301);
    let (topic, name) = (topic_id(global(), "t"), "t".into());
    let purge = AtHome::Topic { topic, name, ask: Box::new(TopicAsk::Purge { upto: 301 }) };
    planet.get("eu", Command::AtHome(purge)).unwrap();
    for at in ALL {
        assert_eq!(planet.shown(at, "t"), [], "{at}");
        planet.restart(at, Arc::clone);
    }
    for (at, peer) in [("ap", "eu"), ("ap", "us"), ("eu", "us")] {
        planet.link_two(at, peer);
    }
    planet.pass(Duration::from_secs(8));
    assert_eq!(planet.publish("us", "t", post("after", "x")).generation, 302);
}

#[test]
fn a_topic_stays_where_it_may_live() {
    let mut planet = Planet::new();
    let asked = publishing(eu_only(), "t", post("a", "secret"), Ack::Quorum);
    assert!(matches!(planet.get("eu", asked.clone()), Ok(Reply::Posted { .. })));
    let refused = planet.get("us", asked);
    assert!(matches!(refused, Err(Refusal::OutsidePlacement { .. })), "{refused:?}");
    let (placement, name, key) = (eu_only(), "t".into(), None);
    let (start, limit, wait) = (Start::First, 9, Duration::ZERO);
    let read =
        Command::Topic(TopicCommand::Read(TopicRead { placement, name, start, key, limit, wait }));
    let refused = planet.get("us", read.clone());
    assert!(matches!(refused, Err(Refusal::OutsidePlacement { .. })), "{refused:?}");
    let Ok(Reply::Posts(posts)) = planet.get("eu", read) else { panic!("it is read") };
    assert_eq!(posts.posts.len(), 1);
    let Ok(Reply::Topics(all)) = planet.get("us", Command::Topic(TopicCommand::Show(None))) else {
        panic!("a list")
    };
    assert_eq!(all, []);
}

#[test]
fn all_topics_together_are_bounded_and_names_are_checked() {
    let mut planet = Planet::of(|name| {
        let mut config = planet::config(name);
        config.limits.topic_bytes_max = 100_000;
        Region::new(config)
    });
    planet.publish("ap", "small", post("a", "x"));
    let mut refused = 0;
    for at in 0..300 {
        let message = post(&format!("m{at}"), &"x".repeat(1_000));
        let asked = publishing(global(), "large", message, Ack::Region);
        while let Err(refusal) = planet.get("ap", asked.clone()) {
            let is_full = matches!(refusal, Refusal::Overloaded { what: Queue::TopicBytes, .. });
            assert!(is_full, "{refusal}");
            refused += 1;
            planet.pass(Duration::from_secs(1));
        }
    }
    assert!((1..20).contains(&refused), "{refused}");
    planet.pass(Duration::from_secs(2));
    assert!(view(&mut planet, "us", "large").bytes <= 100_000);
    assert_eq!(view(&mut planet, "us", "small").first, 1);
    for name in ["", "Large", "1", "a b"] {
        let refused = planet.get("us", publishing(global(), name, post("a", "x"), Ack::Region));
        assert!(matches!(refused, Err(Refusal::NoSuchTask(_))), "{name} {refused:?}");
    }
}
