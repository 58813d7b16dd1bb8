//! Regions over a net with delays and disks that take their time, without faults of their own.
//! Must not know what is asked of it.

#![allow(dead_code, reason = "nobody needs all of it")]
#![allow(clippy::unwrap_used, reason = "what fails here fails loudly")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use photon_region::data::{
    DataCommand, DatasetName, DatasetSpec, Edit, Kind, Mode, Outside, PlacementRule, Policy,
    ReadLevel, Write, WriteLevel,
};
use photon_region::{
    Command, Config, Counters, Input, Limits, Message, Output, Place, Refusal, Region, Reply,
    Ticket, Topology, encode_message,
};
use photon_state::{Now, Op, PlacementId, RegionId, Seen, StreamId};

/// A moment, or a time, in microseconds.
pub(crate) type Micros = u64;

/// How long a disk takes to sync.
const SYNC: Micros = 2_000;

/// What a world is made of.
#[derive(Clone)]
pub(crate) struct Planet {
    pub(crate) names: Vec<RegionId>,
    pub(crate) places: Vec<Place>,
    /// Half of the round trips, by region and region.
    pub(crate) one_way: Vec<Vec<Micros>>,
    pub(crate) placements: BTreeMap<PlacementId, BTreeSet<RegionId>>,
}

/// What has passed from one region to another.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Passed {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) ops: u64,
    pub(crate) op_bytes: u64,
}

/// Regions that live on a planet.
pub(crate) struct World {
    pub(crate) planet: Planet,
    regions: Vec<Region>,
    appended: Vec<u64>,
    dead: BTreeSet<usize>,
    up: BTreeSet<(usize, usize)>,
    queue: BTreeMap<(Micros, u64), (usize, Input)>,
    last: u64,
    pub(crate) now: Micros,
    pub(crate) replies: BTreeMap<Ticket, (Micros, Result<Reply, Refusal>)>,
    pub(crate) passed: Vec<Vec<Passed>>,
    made: BTreeMap<(StreamId, u64), Micros>,
    /// How long it took until an op was visible, by its origin and where.
    pub(crate) seen_after: Vec<(RegionId, usize, Micros)>,
}

impl World {
    /// Makes a world in which every two regions are about to be linked.
    pub(crate) fn new(planet: &Planet, topology: impl Fn(usize) -> Topology) -> Self {
        let count = planet.names.len();
        let regions = planet.names.iter().copied().zip(planet.places.iter().copied());
        let regions: BTreeMap<RegionId, Place> = regions.collect();
        let region = |here: usize| {
            let mut region = Region::new(Config {
                region: planet.names[here],
                incarnation: 1,
                regions: regions.clone(),
                placements: planet.placements.clone(),
                datasets: vec![],
                voters: std::collections::BTreeSet::new(),
                topology: topology(here),
                weights: photon_region::Weights::default(),
                limits: Limits::default(),
                seed: here as u64,
            });
            region.start(now(0));
            region
        };
        let mut world = Self {
            planet: planet.clone(),
            regions: (0..count).map(region).collect(),
            appended: vec![0; count],
            dead: BTreeSet::new(),
            up: BTreeSet::new(),
            queue: BTreeMap::new(),
            last: 0,
            now: 0,
            replies: BTreeMap::new(),
            passed: vec![vec![Passed::default(); count]; count],
            made: BTreeMap::new(),
            seen_after: Vec::new(),
        };
        for (a, b) in (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b))) {
            world.link(a, b);
        }
        world
    }

    pub(crate) fn link(&mut self, a: usize, b: usize) {
        if self.up.insert((a.min(b), a.max(b))) {
            let (at, names) = (self.now + self.planet.one_way[a][b], self.planet.names.clone());
            self.put(at, a, Input::Linked(names[b]));
            self.put(at, b, Input::Linked(names[a]));
        }
    }

    pub(crate) fn cut(&mut self, a: usize, b: usize) {
        if self.up.remove(&(a.min(b), a.max(b))) {
            let names = self.planet.names.clone();
            self.feed(a, Input::Unlinked(names[b]));
            self.feed(b, Input::Unlinked(names[a]));
        }
    }

    /// Lets a region die; the others notice at once.
    pub(crate) fn kill(&mut self, here: usize) {
        self.dead.insert(here);
        (0..self.regions.len()).filter(|it| *it != here).for_each(|it| self.cut(here, it));
    }

    fn put(&mut self, at: Micros, here: usize, input: Input) {
        self.last += 1;
        self.queue.insert((at, self.last), (here, input));
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time.as_micros() as u64;
        loop {
            let wakeup = |here: usize| self.regions[here].next_wakeup().0.as_micros() as u64;
            let alive = (0..self.regions.len()).filter(|it| !self.dead.contains(it));
            let tick = alive.map(|here| (wakeup(here).max(self.now), here)).min().unwrap();
            let next = self.queue.first_key_value().map(|((at, _), _)| *at);
            let at = next.unwrap_or(u64::MAX).min(tick.0);
            if end < at {
                self.now = end;
                return;
            }
            self.now = at;
            match self.queue.first_entry().filter(|it| it.key().0 == at) {
                Some(entry) => {
                    let (here, input) = entry.remove();
                    self.happen(here, input);
                }
                None => self.feed(tick.1, Input::Tick),
            }
        }
    }

    fn happen(&mut self, here: usize, input: Input) {
        if let Input::Message(from, _) | Input::Linked(from) = &input {
            let from = self.site(*from);
            if !self.up.contains(&(from.min(here), from.max(here))) {
                return;
            }
        }
        self.feed(here, input);
    }

    fn feed(&mut self, here: usize, input: Input) {
        if self.dead.contains(&here) {
            return;
        }
        self.regions[here].handle(now(self.now), input);
        let before = self.appended[here];
        while let Some(output) = self.regions[here].poll() {
            match output {
                Output::Append(op) => {
                    self.appended[here] += 1;
                    self.visible(here, &op);
                }
                Output::Send(to, message) => self.send(here, to, message),
                Output::Reply(ticket, reply) => {
                    self.replies.insert(ticket, (self.now, reply));
                }
                Output::Fetch { .. } => panic!("everything fits in memory"),
                Output::Truncate { .. } | Output::Notice(_) => {}
                Output::Halt(why) => panic!("{why}"),
            }
        }
        if before < self.appended[here] {
            self.put(self.now + SYNC, here, Input::Durable(self.appended[here]));
        }
    }

    fn visible(&mut self, here: usize, op: &Op) {
        if op.stream.is_local() {
            return;
        }
        let made = *self.made.entry((op.stream, op.seq)).or_insert(self.now);
        if op.stream.origin != self.planet.names[here] {
            self.seen_after.push((op.stream.origin, here, self.now - made));
        }
    }

    fn send(&mut self, here: usize, to: RegionId, message: Message) {
        let to = self.site(to);
        let (bytes, passed) = (encode_message(&message).len() as u64, &mut self.passed[here][to]);
        passed.messages += 1;
        passed.bytes += bytes;
        if let Message::Ops(ops) = &message {
            passed.ops += ops.len() as u64;
            passed.op_bytes += bytes;
        }
        let at = self.now + self.planet.one_way[here][to];
        self.put(at, to, Input::Message(self.planet.names[here], message));
    }

    pub(crate) fn site(&self, name: RegionId) -> usize {
        self.planet.names.iter().position(|it| *it == name).unwrap()
    }

    pub(crate) fn ask(&mut self, here: usize, command: Command) -> Ticket {
        self.last += 1;
        let ticket = self.last;
        self.feed(here, Input::Command(ticket, command));
        ticket
    }

    /// Declares a dataset and waits until every region knows it.
    pub(crate) fn declare(&mut self, here: usize, placement: PlacementId) -> DatasetName {
        let name = DatasetName::try_from(format!("in-{placement}").as_str()).unwrap();
        let spec = DatasetSpec {
            name: name.clone(),
            kind: Kind::Register,
            rule: PlacementRule::Fixed(placement),
            outside: Outside::Forward,
            mode: Mode::MultiMaster,
            policy: Policy::LastWriter,
            write_level: WriteLevel::Eventual,
            read_level: ReadLevel::Session,
            ttl: None,
            retention: None,
            sensitive_keys: false,
        };
        self.ask(here, Command::Data(DataCommand::Declare(Arc::new(spec))));
        self.pass(Duration::from_secs(5));
        name
    }

    /// Asks a region to write some bytes at a level.
    pub(crate) fn write(
        &mut self,
        here: usize,
        dataset: &DatasetName,
        value: Bytes,
        level: WriteLevel,
    ) -> Ticket {
        self.last += 1;
        let key = format!("{here}/{}", self.last).into();
        let writes =
            vec![Write { key, edit: Edit::Put(value), expect: None, ttl: None, spot: None }];
        let (dataset, session, wait) = (dataset.clone(), Seen::default(), Duration::from_secs(30));
        let level = Some(level);
        self.ask(here, Command::Data(DataCommand::Write { dataset, writes, level, session, wait }))
    }

    /// Returns what a region has seen of a placement.
    pub(crate) fn seen(&self, here: usize, placement: PlacementId) -> Seen {
        let all = self.regions[here].store().seen().iter();
        all.filter(|(it, _)| it.placement == placement).map(|(it, seq)| (*it, seq)).collect()
    }

    pub(crate) fn counters(&self, here: usize) -> Counters {
        self.regions[here].view().counters
    }

    /// Adds up a count of all regions.
    pub(crate) fn sum(&self, of: impl Fn(Counters) -> u64) -> u64 {
        (0..self.regions.len()).map(|it| of(self.counters(it))).sum()
    }
}

fn now(micros: Micros) -> Now {
    Now { mono: Duration::from_micros(micros), wall_ms: 1_800_000_000_000 + micros / 1_000 }
}
