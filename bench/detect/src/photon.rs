//! Photon's detector on the imagined net: heartbeats over TCP, from each node to all others.
//! Must not judge anything itself.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use photon_region::detect::{Detector, Heartbeat, Verdict};
use photon_state::RegionId;

use crate::matrix::{Matrix, REGIONS};
use crate::measure::{Detection, Quiet, Spent};
use crate::net::{Net, Noise};
use crate::queue::Queue;

/// How far back a cause is looked for: the longest timeout, and the longest way.
const CAUSE_MS: u64 = 1_300;
/// How long detectors run before anything is measured.
const WARM_UP_MS: u64 = 5_000;
/// How long the loss of a region is watched.
const WATCH_MS: u64 = 8_000;

enum Event {
    Wake(usize),
    Beat(usize, usize, Rc<Heartbeat>),
}

/// A node changed its mind about a region.
struct Turn {
    at: u64,
    node: usize,
    region: usize,
    was: Verdict,
    is: Verdict,
}

struct World {
    net: Net,
    ids: Vec<RegionId>,
    places: BTreeMap<RegionId, usize>,
    detectors: Vec<Detector>,
    queue: Queue<Event>,
    wakes: Vec<u64>,
    turns: Vec<Turn>,
    heard: u64,
}

impl World {
    fn new(trips: &Matrix, nodes: usize, noise: Noise, seed: u64) -> Self {
        let net = Net::new(trips, nodes, noise, seed);
        let name = |it: &&str| it.to_lowercase().replace(' ', "-");
        let ids = REGIONS.iter().map(|it| RegionId::try_from(name(it).as_str()).expect("a name"));
        let ids: Vec<_> = ids.collect();
        let members = ids.iter().copied().collect();
        let senders = u16::try_from(nodes).expect("few nodes");
        let start = Duration::from_millis(Net::START);
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x5eed);
        let mut queue = Queue::new(Net::START);
        let detectors = (0..net.count()).map(|node| {
            let number = u16::try_from(node % nodes).expect("few nodes");
            let mut detector = Detector::new(ids[net.region(node)], number, senders);
            detector.observers(start, &members, &BTreeSet::new());
            queue.push(Net::START + rng.u64(0..100), Event::Wake(node));
            detector
        });
        let detectors: Vec<_> = detectors.collect();
        let places = ids.iter().enumerate().map(|(place, id)| (*id, place)).collect();
        let wakes = vec![u64::MAX; detectors.len()];
        Self { net, ids, places, detectors, queue, wakes, turns: Vec::new(), heard: 0 }
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
            Event::Wake(node) | Event::Beat(_, node, _) => *node,
        };
        if self.net.is_lost(node, now) {
            return;
        }
        if let Some(end) = self.net.stalled(node, now) {
            self.queue.push(end, event);
            return;
        }
        match event {
            Event::Wake(node) if self.wakes[node] == u64::MAX || self.wakes[node] <= now => {
                self.wake(now, node);
            }
            Event::Wake(_) => {}
            Event::Beat(from, to, beat) => {
                self.heard += 1;
                let from = self.ids[self.net.region(from)];
                self.detectors[to].heard(Duration::from_millis(now), from, &beat);
                self.plan(now, to);
            }
        }
    }

    fn wake(&mut self, now: u64, node: usize) {
        let time = Duration::from_millis(now);
        let detector = &mut self.detectors[node];
        for change in detector.tick(time) {
            let region = self.places[&change.region];
            self.turns.push(Turn { at: now, node, region, was: change.was, is: change.is });
        }
        if let Some(beat) = detector.beat(time) {
            let beat = Rc::new(beat);
            for to in (0..self.net.count()).filter(|to| *to != node) {
                if let Some(at) = self.net.stream(now, node, to) {
                    self.queue.push(at, Event::Beat(node, to, Rc::clone(&beat)));
                }
            }
        }
        self.wakes[node] = u64::MAX;
        self.plan(now, node);
    }

    /// Lets a node wake at its deadline; not twice in a millisecond.
    fn plan(&mut self, now: u64, node: usize) {
        let deadline = self.detectors[node].next_deadline();
        let at = u64::try_from(deadline.as_micros().div_ceil(1_000)).expect("within years");
        let at = at.max(now + 1);
        if at < self.wakes[node] {
            self.wakes[node] = at;
            self.queue.push(at, Event::Wake(node));
        }
    }
}

/// Loses one region at a random moment, without closing a connection, and watches the others.
pub(crate) fn lose(
    trips: &Matrix,
    nodes: usize,
    noise: Noise,
    seed: u64,
) -> (Detection, Detection) {
    let mut world = World::new(trips, nodes, noise, seed);
    let lost = usize::try_from(seed).expect("small") % REGIONS.len();
    let at = Net::START + WARM_UP_MS + fastrand::Rng::with_seed(seed).u64(0..1_000);
    world.net.lost = Some((lost, at..u64::MAX));
    world.run(at + WATCH_MS);
    let (mut routed, mut down) = (Detection::default(), Detection::default());
    for region in (0..REGIONS.len()).filter(|it| *it != lost) {
        let own = region * nodes..(region + 1) * nodes;
        let turns = &world.turns;
        let times = |is: fn(Verdict) -> bool| {
            own.clone().map(move |node| {
                let mut own = turns.iter().filter(|it| it.node == node && it.region == lost);
                let last = own.rfind(|it| is(it.is) != is(it.was));
                last.filter(|it| is(it.is)).map(|it| it.at.saturating_sub(at))
            })
        };
        routed.add_region(times(|it| !it.is_reachable()).collect());
        down.add_region(times(|it| it.is_down).collect());
    }
    routed.end_failure();
    down.end_failure();
    (routed, down)
}

/// Runs an hour in which no region is lost, and says what was thought nevertheless.
pub(crate) fn hour(trips: &Matrix, nodes: usize, noise: Noise, seed: u64) -> Quiet {
    let mut world = World::new(trips, nodes, noise, seed);
    let begin = Net::START + WARM_UP_MS;
    let mut quiet = Quiet { hours: 1.0, ..Quiet::default() };
    let mut bad = BTreeMap::new();
    let mut downs: BTreeMap<usize, u64> = BTreeMap::new();
    for until in (begin..=begin + 3_600_000).step_by(1_000) {
        world.run(until);
        for turn in std::mem::take(&mut world.turns) {
            let Turn { at, node, region, was, is } = turn;
            if at < begin {
                continue;
            }
            if is.is_path_bad && !was.is_path_bad {
                bad.insert((node, region), (at, cause(&mut world.net, node, region, at)));
            }
            if let (false, Some((since, spent))) =
                (is.is_path_bad, (was.is_path_bad).then(|| bad.remove(&(node, region))).flatten())
            {
                quiet.add_bad(spent, at - since);
            }
            if is.is_down && !was.is_down {
                let is_new = downs.get(&region).is_none_or(|last| last + 10_000 < at);
                downs.insert(region, at);
                if is_new {
                    quiet.add_down(world.net.was_paused(region, at, CAUSE_MS));
                }
            }
        }
    }
    quiet.heard = world.heard;
    quiet
}

/// Says why a node may have ceased to hear a region.
fn cause(net: &mut Net, node: usize, region: usize, at: u64) -> Spent {
    let own = net.region(node);
    if net.is_cut(region, own, at, CAUSE_MS).is_some() {
        Spent::Cut
    } else if net.was_paused(region, at, CAUSE_MS) {
        Spent::Paused
    } else if net.was_stalled(node, at, CAUSE_MS) {
        Spent::Observer
    } else {
        Spent::Loss
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_known_everywhere_and_a_seed_repeats_itself() {
        let text =
            REGIONS.iter().flat_map(|a| REGIONS.iter().map(move |b| format!("{a},{b},90\n")));
        let trips = crate::matrix::parse(&format!("a,b,ms\n{}", text.collect::<String>())).unwrap();
        let run = || lose(&trips, 3, Noise::default(), 5);
        let (routed, down) = run();
        assert_eq!((routed.regions.len(), routed.missed, down.missed), (12, 0, 0));
        assert_eq!((run().0.regions, run().1.nodes), (routed.regions, down.nodes));
    }
}
