//! `foca`, a SWIM library, on the imagined net: datagrams, with its defaults for LAN and WAN.
//! Must not tune it: only what its documentation asks for is done.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use foca::{
    AccumulatingRuntime, Config, Foca, Identity, Member, NoCustomBroadcast, OwnedNotification,
    PostcardCodec, Timer,
};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use crate::matrix::{Matrix, REGIONS};
use crate::measure::{Detection, Quiet};
use crate::net::{Net, Noise};
use crate::queue::Queue;
use crate::view::View;

/// How long it runs before anything is measured.
const WARM_UP_MS: u64 = 30_000;

/// Which of the library's defaults are used.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Defaults {
    Lan,
    Wan,
}

impl Defaults {
    fn config(self, nodes: usize) -> Config {
        let nodes = u32::try_from(nodes).ok().and_then(NonZeroU32::new).expect("some nodes");
        match self {
            Self::Lan => Config::new_lan(nodes),
            Self::Wan => Config::new_wan(nodes),
        }
    }

    /// How long the loss of a region is watched.
    fn watch_ms(self) -> u64 {
        match self {
            Self::Lan => 60_000,
            Self::Wan => 240_000,
        }
    }
}

/// A node, and how often it had to come back under a new name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Id {
    node: u16,
    life: u16,
}

impl Identity for Id {
    type Addr = u16;

    fn renew(&self) -> Option<Self> {
        Some(Self { life: self.life.wrapping_add(1), ..*self })
    }

    fn addr(&self) -> u16 {
        self.node
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        adversary.life < self.life
    }
}

enum Event {
    Join(usize),
    Timer(usize, Timer<Id>),
    Data(usize, Bytes),
}

type Node = Foca<Id, PostcardCodec, StdRng, NoCustomBroadcast>;

struct World {
    net: Net,
    nodes: Vec<Node>,
    queue: Queue<Event>,
    runtime: AccumulatingRuntime<Id>,
    view: View,
    heard: u64,
}

fn id(node: usize) -> Id {
    Id { node: u16::try_from(node).expect("few nodes"), life: 0 }
}

impl World {
    fn new(trips: &Matrix, nodes: usize, noise: Noise, seed: u64, defaults: Defaults) -> Self {
        let net = Net::new(trips, nodes, noise, seed);
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x5eed);
        let mut queue = Queue::new(Net::START);
        let config = defaults.config(net.count());
        let make = |node| {
            queue.push(Net::START + rng.u64(0..1_000), Event::Join(node));
            let rng = StdRng::seed_from_u64(rng.u64(..));
            Foca::new(id(node), config.clone(), rng, PostcardCodec)
        };
        let nodes = (0..net.count()).map(make).collect();
        let view = View::new(net.count(), REGIONS.len());
        Self { net, nodes, queue, runtime: AccumulatingRuntime::new(), view, heard: 0 }
    }

    fn run(&mut self, until: u64) {
        while self.queue.now() < until {
            let Some(mut events) = self.queue.take() else { continue };
            for event in events.drain(..) {
                self.step(event);
            }
            self.queue.give_back(events);
        }
    }

    fn step(&mut self, event: Event) {
        let now = self.queue.now();
        let node = match &event {
            Event::Join(node) | Event::Timer(node, _) | Event::Data(node, _) => *node,
        };
        if self.net.is_lost(node, now) {
            return;
        }
        if let Some(end) = self.net.stalled(node, now) {
            self.queue.push(end, event);
            return;
        }
        let foca = &mut self.nodes[node];
        // What it refuses (a probe that a pause has broken off, a stale timer) it has dealt with.
        let _refused = match event {
            Event::Join(_) => {
                let others = (0..self.net.count()).filter(|it| *it != node);
                let members: Vec<_> = others.map(|it| Member::alive(id(it))).collect();
                foca.apply_many(members.into_iter(), true, &mut self.runtime)
            }
            Event::Timer(_, timer) => foca.handle_timer(timer, &mut self.runtime),
            Event::Data(_, data) => {
                self.heard += 1;
                foca.handle_data(&data, &mut self.runtime)
            }
        };
        self.drain(now, node);
    }

    fn drain(&mut self, now: u64, node: usize) {
        while let Some((to, data)) = self.runtime.to_send() {
            let to = usize::from(to.node);
            if let Some(at) = self.net.datagram(now, node, to) {
                self.queue.push(at, Event::Data(to, data));
            }
        }
        while let Some((after, timer)) = self.runtime.to_schedule() {
            let after = u64::try_from(after.as_millis()).expect("within days");
            if Duration::from_millis(after) < Duration::from_secs(3_600) {
                self.queue.push(now + after, Event::Timer(node, timer));
            }
        }
        while let Some(said) = self.runtime.to_notify() {
            match said {
                OwnedNotification::MemberDown(id) => {
                    self.view.set(now, node, usize::from(id.node), true);
                }
                OwnedNotification::MemberUp(id) => {
                    self.view.set(now, node, usize::from(id.node), false);
                }
                OwnedNotification::Rename(..)
                | OwnedNotification::Active
                | OwnedNotification::Idle
                | OwnedNotification::Defunct
                | OwnedNotification::Rejoin(_) => {}
            }
        }
    }
}

/// Loses one region at a random moment, and watches the others.
pub(crate) fn lose(trips: &Matrix, noise: Noise, seed: u64, defaults: Defaults) -> Detection {
    let mut world = World::new(trips, 3, noise, seed, defaults);
    let lost = usize::try_from(seed).expect("small") % REGIONS.len();
    let at = Net::START + WARM_UP_MS + fastrand::Rng::with_seed(seed).u64(0..1_000);
    world.net.lost = Some((lost, at..u64::MAX));
    world.run(at + defaults.watch_ms());
    world.view.detection(lost, at)
}

/// Runs an hour in which no region is lost, and says who was called down nevertheless.
pub(crate) fn hour(trips: &Matrix, noise: Noise, seed: u64, defaults: Defaults) -> Quiet {
    let mut world = World::new(trips, 3, noise, seed, defaults);
    let begin = Net::START + WARM_UP_MS;
    world.run(begin);
    let mut quiet = Quiet { hours: 1.0, ..Quiet::default() };
    let (mut nodes, mut regions) = (BTreeMap::new(), BTreeMap::new());
    for until in (begin..=begin + 3_600_000).step_by(1_000) {
        world.run(until);
        for (at, node) in world.view.take_downs() {
            quiet.node_downs += u64::from(View::is_new(&mut nodes, node, at));
        }
        for (at, region) in world.view.take_region_downs() {
            if View::is_new(&mut regions, region, at) {
                let late = defaults.watch_ms().min(9_000);
                quiet.add_down(world.net.was_paused(region, at, late));
            }
        }
    }
    quiet.heard = world.heard;
    quiet
}
