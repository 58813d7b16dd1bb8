//! Stories of watchers: what they are shown is durable, and they hear of everything once.
//! Must not look at how changes are kept.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use photon_region::data::{Content, DataCommand, DataReply, DatasetName, Edit, Write};
use photon_region::{Command, Place, Reply, Ticket, Topology};
use photon_state::{PlacementId, RegionId, Seen};
use world::{Planet, World};

fn world() -> (World, DatasetName) {
    let planet = Planet {
        names: vec![RegionId::try_from("alone").unwrap()],
        places: vec![Place { latitude: 0.0, longitude: 0.0 }],
        one_way: vec![vec![0]],
        placements: BTreeMap::new(),
    };
    let mut world = World::new(&planet, |_| Topology::Mesh);
    let of = world.declare(0, PlacementId::global());
    (world, of)
}

fn put(world: &mut World, of: &DatasetName, value: &'static str) -> Ticket {
    let (key, edit) = (Bytes::from_static(b"k"), Edit::Put(value.into()));
    let writes = vec![Write { key, edit, expect: None, ttl: None, spot: None }];
    let (dataset, session, wait) = (of.clone(), Seen::default(), Duration::ZERO);
    world.ask(0, Command::Data(DataCommand::Write { dataset, writes, level: None, session, wait }))
}

fn watch(world: &mut World, of: &DatasetName, position: Option<Seen>) -> Ticket {
    let (dataset, prefix, wait) = (of.clone(), Bytes::new(), Duration::from_secs(5));
    world.ask(0, Command::Data(DataCommand::Watch { dataset, prefix, spot: None, position, wait }))
}

/// Returns the contents that a watcher is told, the position, and when it is told.
fn told(world: &mut World, ticket: Ticket) -> (Vec<Bytes>, Seen, world::Micros) {
    let Some((at, Ok(Reply::Data(reply)))) = world.replies.remove(&ticket) else {
        panic!("it is told")
    };
    let DataReply::Changes { changes, position } = *reply else { panic!("of changes") };
    let content = |it: photon_region::data::Change| {
        let Content::Fields(fields) = it.record.unwrap().content else { panic!("a register") };
        fields[0].1[0].written.bytes.clone()
    };
    (changes.into_iter().map(content).collect(), position, at)
}

#[test]
fn a_watcher_is_shown_nothing_that_a_crash_could_take_back() {
    let (mut world, of) = world();
    let begin = watch(&mut world, &of, None);
    let (_, position, _) = told(&mut world, begin);
    let watcher = watch(&mut world, &of, Some(position));
    let first = put(&mut world, &of, "one");
    world.pass(Duration::from_millis(1));
    let second = put(&mut world, &of, "two");
    world.pass(Duration::from_secs(1));
    // The first write is durable before the second, and the record holds both by then.
    let (contents, position, at) = told(&mut world, watcher);
    assert_eq!(contents, ["two"]);
    let durable = |it: Ticket| world.replies[&it].0;
    assert!(durable(first) < durable(second));
    assert!(durable(second) <= at, "it was shown what was not durable");
    let rest = watch(&mut world, &of, Some(position));
    assert_eq!(told(&mut world, rest).0, ["two"], "each change is told");
}
