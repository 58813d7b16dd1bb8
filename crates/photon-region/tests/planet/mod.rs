//! Regions over a perfect net and disk, for stories that are told step by step.
//! Must not know what the stories are about.

#![allow(dead_code, reason = "no story needs all of it")]
#![allow(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use photon_region::{
    Ack, AgentSpec, Command, Config, Input, Json, Limits, Message, Notice, Output, Place, Refusal,
    Region, Reply, Spec, Target, TaskId, Ticket, Topology, WentBack, decode_message,
    encode_message,
};
use photon_state::{Now, Op, PlacementId, RegionId};

/// Says whether a message from one region to another arrives, and may change it.
pub(crate) type Passes = fn(&str, &str, &mut Message) -> bool;

/// Regions whose messages arrive at once and whose disks sync at once.
pub(crate) struct Planet {
    pub(crate) regions: BTreeMap<&'static str, Region>,
    pub(crate) appended: BTreeMap<&'static str, u64>,
    /// What each log holds since it was cut last.
    pub(crate) logs: BTreeMap<&'static str, Vec<Arc<Op>>>,
    pub(crate) replies: BTreeMap<Ticket, Result<Reply, Refusal>>,
    pub(crate) cut: BTreeSet<&'static str>,
    /// Whether a message from one region to another arrives, and as what.
    pub(crate) passes: Passes,
    pub(crate) halted: Vec<(&'static str, WentBack)>,
    pub(crate) notices: Vec<(&'static str, Notice)>,
    pub(crate) now: Now,
    /// How far the wall clocks of some are ahead; negative is behind.
    pub(crate) skew_ms: BTreeMap<&'static str, i64>,
    /// Ops that links lose.
    pub(crate) drop_ops: fn(&Op) -> bool,
    pub(crate) last_ticket: Ticket,
    /// Whose disks do not get further.
    pub(crate) stuck: BTreeSet<&'static str>,
}

pub(crate) const NAMES: [&str; 3] = ["ap", "eu", "us"];

impl Planet {
    pub(crate) fn new() -> Self {
        Self::of(empty)
    }

    /// Makes a planet of regions that are made so.
    pub(crate) fn of(make: impl Fn(&'static str) -> Region) -> Self {
        let now = Now { mono: Duration::ZERO, wall_ms: 1_800_000_000_000 };
        let mut planet = Self {
            regions: NAMES.iter().map(|name| (*name, make(name))).collect(),
            appended: BTreeMap::new(),
            logs: NAMES.iter().map(|name| (*name, Vec::new())).collect(),
            replies: BTreeMap::new(),
            cut: BTreeSet::new(),
            passes: |_, _, _| true,
            halted: Vec::new(),
            notices: Vec::new(),
            now,
            skew_ms: BTreeMap::new(),
            drop_ops: |_| false,
            last_ticket: 0,
            stuck: BTreeSet::new(),
        };
        planet.regions.values_mut().for_each(|region| region.start(now));
        NAMES.iter().for_each(|name| planet.link(name));
        planet.pass(Duration::from_millis(2_900)); // They come to stand by each other, and agree.
        planet
    }

    /// Lets the disk of a region get further again.
    pub(crate) fn unstick(&mut self, name: &'static str) {
        self.stuck.remove(name);
        self.input(name, Input::Durable(self.appended[name]));
    }

    pub(crate) fn link(&mut self, name: &'static str) {
        self.cut.remove(name);
        for peer in NAMES.into_iter().filter(|peer| *peer != name) {
            let both = [(name, Input::Linked(id(peer))), (peer, Input::Linked(id(name)))];
            self.inputs(both.into());
        }
    }

    pub(crate) fn cut(&mut self, name: &'static str) {
        self.cut.insert(name);
        for peer in NAMES.into_iter().filter(|peer| *peer != name) {
            self.input(name, Input::Unlinked(id(peer)));
            self.input(peer, Input::Unlinked(id(name)));
        }
    }

    /// Starts a region again from its log, as `read` gives it back.
    pub(crate) fn restart(&mut self, name: &'static str, read: impl Fn(&Arc<Op>) -> Arc<Op>) {
        self.cut(name);
        let region = empty(name);
        self.begin_again(name, region, read);
        self.link(name);
    }

    /// Starts a region again from its log of an incarnation, linked to nobody.
    pub(crate) fn restart_as(&mut self, name: &'static str, incarnation: u64) {
        self.cut(name);
        let region = Region::new(Config { incarnation, ..config(name) });
        self.begin_again(name, region, Arc::clone);
    }

    fn begin_again(
        &mut self,
        name: &'static str,
        mut region: Region,
        read: impl Fn(&Arc<Op>) -> Arc<Op>,
    ) {
        self.logs.entry(name).or_default().iter().for_each(|op| region.replay(read(op)));
        assert_eq!(region.lacks(), None);
        region.start(self.now);
        self.regions.insert(name, region);
        self.appended.insert(name, 0);
    }

    /// Starts a region again with an empty log, and links it to some others only.
    pub(crate) fn lose_disk(&mut self, name: &'static str, linked: &[&'static str]) {
        self.cut(name);
        let mut region = Region::new(Config { incarnation: 2, ..config(name) });
        region.start(self.now);
        self.regions.insert(name, region);
        self.appended.insert(name, 0);
        self.logs.insert(name, Vec::new());
        self.cut.remove(name);
        linked.iter().for_each(|peer| self.link_two(name, peer));
    }

    /// Links two regions.
    pub(crate) fn link_two(&mut self, name: &'static str, peer: &'static str) {
        self.cut.remove(name);
        self.cut.remove(peer);
        let both = [(name, Input::Linked(id(peer))), (peer, Input::Linked(id(name)))];
        self.inputs(both.into());
    }

    /// Ends a region that is cut off, and starts it again after a while with what its log holds.
    pub(crate) fn restart_after(&mut self, name: &'static str, after: Duration) {
        self.replace_after(name, empty(name), after);
    }

    /// As [`restart_after`](Self::restart_after), but with a region that was made for it.
    pub(crate) fn replace_after(&mut self, name: &'static str, region: Region, after: Duration) {
        assert!(self.cut.contains(name), "its peers hear of its end");
        self.now.mono += after;
        self.now.wall_ms += u64::try_from(after.as_millis()).unwrap();
        self.begin_again(name, region, Arc::clone);
    }

    pub(crate) fn input(&mut self, name: &'static str, input: Input) {
        self.inputs(VecDeque::from([(name, input)]));
    }

    /// Feeds inputs in order, and then all that follows from them.
    pub(crate) fn inputs(&mut self, mut inputs: VecDeque<(&'static str, Input)>) {
        while let Some((name, input)) = inputs.pop_front() {
            let now = self.clock(name);
            let region = self.regions.get_mut(name).unwrap();
            region.handle(now, input);
            let mut appends = 0;
            while let Some(output) = region.poll() {
                match output {
                    Output::Append(op) => {
                        appends += 1;
                        self.logs.get_mut(name).unwrap().push(op);
                    }
                    Output::Send(to, message) => {
                        // As a link carries it.
                        let mut message = decode_message(&encode_message(&message)).unwrap();
                        let to = NAMES.into_iter().find(|it| id(it) == to).unwrap();
                        let is_cut = self.cut.contains(name) || self.cut.contains(to);
                        let is_lost = matches!(&message, Message::Ops(ops)
                            if ops.iter().any(|op| (self.drop_ops)(op)));
                        if !is_cut && !is_lost && (self.passes)(name, to, &mut message) {
                            inputs.push_back((to, Input::Message(id(name), message)));
                        }
                    }
                    Output::Reply(ticket, reply) => {
                        assert!(self.replies.insert(ticket, reply).is_none(), "replied twice");
                    }
                    Output::Fetch { stream, from, .. } => {
                        let held = self.logs[name].iter().filter(|it| it.stream == stream);
                        let mut ops: Vec<_> = held.filter(|it| from <= it.seq).cloned().collect();
                        ops.truncate(10);
                        inputs.push_back((name, Input::Fetched { stream, from, ops }));
                    }
                    Output::Notice(notice) => self.notices.push((name, notice)),
                    Output::Truncate { stream, seq } => {
                        let log = self.logs.get_mut(name).unwrap();
                        let is_it = |it: &Arc<Op>| it.stream == stream && it.seq == seq;
                        drop(log.drain(..log.iter().position(is_it).unwrap()));
                        inputs.push_back((name, Input::Truncated));
                    }
                    Output::Halt(why) => self.halted.push((name, why)),
                }
            }
            if 0 < appends {
                let appended = self.appended.entry(name).or_default();
                *appended += appends;
                if !self.stuck.contains(name) {
                    inputs.push_front((name, Input::Durable(*appended)));
                }
            }
        }
    }

    /// Returns what the clocks of a region show.
    pub(crate) fn clock(&self, name: &str) -> Now {
        let skew_ms = self.skew_ms.get(name).copied().unwrap_or(0);
        Now { wall_ms: self.now.wall_ms.saturating_add_signed(skew_ms), ..self.now }
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now.mono + time;
        while self.now.mono < end {
            self.now.mono += Duration::from_millis(100);
            self.now.wall_ms += 100;
            NAMES.into_iter().for_each(|name| self.input(name, Input::Tick));
        }
    }

    /// Asks a region; what a look at it would have answered is what it answers.
    pub(crate) fn ask(&mut self, name: &'static str, command: Command) -> Ticket {
        self.last_ticket += 1;
        let glanced = self.regions[name].glance(self.clock(name), &command);
        self.input(name, Input::Command(self.last_ticket, command));
        if let Some(glanced) = glanced {
            assert_eq!(self.replies.get(&self.last_ticket), Some(&Ok(glanced)));
        }
        self.last_ticket
    }

    pub(crate) fn get(&mut self, name: &'static str, command: Command) -> Result<Reply, Refusal> {
        let ticket = self.ask(name, command);
        self.replies.remove(&ticket).expect("an answer at once")
    }

    /// Attaches an agent that works on one task at a time, in the skill of [`task_in`].
    pub(crate) fn attach(&mut self, name: &'static str, agent: &str) {
        let spec = agent_in(PlacementId::global(), agent, 1);
        self.get(name, Command::Register(spec)).unwrap();
    }

    /// Submits a task for anybody.
    pub(crate) fn submit_one(&mut self, name: &'static str) -> TaskId {
        match self.get(name, Command::Submit(task_in(PlacementId::global()))) {
            Ok(Reply::Submitted { task, .. }) => task.id,
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn id(name: &str) -> RegionId {
    RegionId::try_from(name).unwrap()
}

/// An agent that works on so many tasks at once, in the skill of [`task_in`].
pub(crate) fn agent_in(placement: PlacementId, name: &str, capacity: u32) -> AgentSpec {
    AgentSpec {
        name: name.into(),
        skills: BTreeSet::from(["text.upper".into()]),
        capacity,
        cost_micros: 0,
        card: Json(Bytes::from_static(b"{}")),
        placement,
    }
}

/// A task for whoever has the skill, without a key.
pub(crate) fn task_in(placement: PlacementId) -> Spec {
    Spec {
        target: Target::Skill("text.upper".into()),
        placement,
        message: Json(Bytes::from_static(b"{}")),
        context: "talk".into(),
        idempotency: None,
        ack: Ack::Region,
        terms: None,
    }
}

pub(crate) fn eu_only() -> PlacementId {
    PlacementId::try_from("eu-only").unwrap()
}

/// The regions that are not `ap`.
pub(crate) fn west() -> PlacementId {
    PlacementId::try_from("west").unwrap()
}

pub(crate) fn us_only() -> PlacementId {
    PlacementId::try_from("us-only").unwrap()
}

/// Makes a region that has seen nothing.
pub(crate) fn empty(name: &str) -> Region {
    Region::new(config(name))
}

pub(crate) fn config(name: &str) -> Config {
    let place = |n: usize| Place { latitude: 0.0, longitude: 30.0 * n as f64 };
    Config {
        region: id(name),
        incarnation: 1,
        regions: NAMES.iter().enumerate().map(|(n, name)| (id(name), place(n))).collect(),
        placements: BTreeMap::from([
            (eu_only(), BTreeSet::from([id("eu")])),
            (us_only(), BTreeSet::from([id("us")])),
            (west(), BTreeSet::from([id("eu"), id("us")])),
        ]),
        datasets: vec![],
        voters: std::collections::BTreeSet::new(),
        topology: Topology::Mesh,
        weights: photon_region::Weights::default(),
        limits: Limits::default(),
        seed: 1,
    }
}
