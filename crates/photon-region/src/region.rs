//! The machine: one region, which takes inputs and gives outputs.
//! Must not block, fail, read a clock or know who runs it.
//!
//! This file holds the state and the way of an input through it. What to do is said beside it:
//! `replicate` (peers), `agents` (registry), `home` (tasks that are decided here), `ask` (tasks
//! that are decided elsewhere) and `read` (what only looks).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use photon_state::{Hlc, Now, PlacementId, RegionId, Seen, Store, StreamId};

use crate::agree::{Agree, founded};
use crate::ask::Asks;
use crate::charter::Charter;
use crate::config::Config;
use crate::contract::{Command, Disk, Input, Message, Output, Reply, Ticket};
use crate::data::{Data, into_answer, is_copy, is_guest};
use crate::desk::{Bell, Desk, Held, Parked};
use crate::home::Home;
use crate::links::Peer;
use crate::matching::Asked;
use crate::reach::Reach;
use crate::refusal::Refusal;
use crate::registry::Registry;
use crate::repair::Repair;
use crate::snapshot::{Compaction, Covers, Incoming, Logged};
use crate::streams::Streams;
use crate::syncing::Syncing;
use crate::task::AgentName;
use crate::tasks::Tasks;
use crate::topics::Topics;
use crate::verdict::{Patience, Verdict};
use crate::view::{Counters, View};
use crate::webhooks::Webhooks;

/// One region. Call [`handle`](Self::handle), then drain [`poll`](Self::poll), then repeat.
///
/// ```
/// # use std::{collections::BTreeMap, time::Duration};
/// use photon_region::{Command, Config, Input, Limits, Output, Place, Region, Reply, Topology};
/// use photon_state::{Now, RegionId};
///
/// let id = RegionId::try_from("eu-west-1")?;
/// let place = Place { latitude: 53.35, longitude: -6.26 };
/// let mut region = Region::new(Config {
///     region: id,
///     incarnation: 1,
///     regions: BTreeMap::from([(id, place)]),
///     placements: BTreeMap::new(),
///     datasets: vec![],
///     voters: [].into(),
///     topology: Topology::Mesh,
///     weights: photon_region::Weights::default(),
///     limits: Limits::default(),
///     seed: 7,
/// });
/// let now = Now { mono: Duration::ZERO, wall_ms: 1_800_000_000_000 };
/// region.start(now);
/// let list = Command::Agents { skill: None, region: None, after: None, limit: 10 };
/// region.handle(now, Input::Command(1, list));
///
/// // What a reply shows is on disk: the shell writes what it is given to append, and says so.
/// let outputs: Vec<Output> = std::iter::from_fn(|| region.poll()).collect();
/// let appends = outputs.iter().filter(|it| matches!(it, Output::Append(_))).count() as u64;
/// region.handle(now, Input::Durable(appends));
/// let reply = Output::Reply(1, Ok(Reply::Agents { agents: vec![], more: false }));
/// assert!(std::iter::from_fn(|| region.poll()).any(|output| output == reply));
/// # Ok::<(), photon_state::NameError>(())
/// ```
#[derive(Debug)]
pub struct Region {
    pub(crate) config: Config,
    pub(crate) now: Now,
    pub(crate) rng: fastrand::Rng,
    pub(crate) disk: Disk,
    pub(crate) syncing: Syncing,
    pub(crate) clock: Hlc,
    pub(crate) store: Store,
    pub(crate) streams: Streams,
    pub(crate) appended: u64,
    durable: u64,
    pub(crate) registry: Registry,
    pub(crate) tasks: Tasks,
    pub(crate) webhooks: Webhooks,
    pub(crate) topics: Topics,
    pub(crate) peers: BTreeMap<RegionId, Peer>,
    pub(crate) reach: Reach,
    pub(crate) charter: Charter,
    pub(crate) agree: Agree,
    pub(crate) home: Home,
    pub(crate) asks: Asks,
    pub(crate) desk: Desk,
    pub(crate) data: Data,
    pub(crate) compaction: Compaction,
    pub(crate) covers: Covers,
    pub(crate) repair: Repair,
    /// Whether the log holds ops of a later version: no state can stand for them.
    pub(crate) holds_unknown: bool,
    pub(crate) incoming: BTreeMap<RegionId, Incoming>,
    /// While the log is read: ops that did not follow on what was seen by then.
    early: Seen,
    /// When each agent that is attached here was heard of last.
    pub(crate) heard: BTreeMap<AgentName, Duration>,
    /// Claims for agents that are attached here, not yet handed to a worker.
    pub(crate) inboxes: BTreeMap<AgentName, VecDeque<crate::task::Claim>>,
    pub(crate) beat_at: Duration,
    /// What was seen at the start, until ops are sent to anybody.
    pub(crate) at_start: Option<Seen>,
    /// Whether the region must do nothing more.
    pub(crate) is_halted: bool,
    pub(crate) counters: Counters,
    pub(crate) outputs: VecDeque<Output>,
    #[cfg(feature = "planted-bugs")]
    pub(crate) planted: Option<crate::PlantedBug>,
}

impl Region {
    /// How often peers are told what is seen here, and what is overdue is looked for.
    pub(crate) const BEAT_EVERY: Duration = Duration::from_secs(1);

    /// Creates a region that has seen nothing. Panics when the configuration contradicts itself,
    /// which its maker has checked.
    #[must_use]
    pub fn new(mut config: Config) -> Self {
        let here = config.region;
        assert!(config.regions.contains_key(&here), "`{here}` is not a region of the planet");
        let everywhere: BTreeSet<RegionId> = config.regions.keys().copied().collect();
        config.placements.insert(PlacementId::global(), everywhere.clone());
        for (placement, members) in &config.placements {
            assert!(members.is_subset(&everywhere), "`{placement}` names an unknown region");
        }
        let mut rng = fastrand::Rng::with_seed(config.seed);
        let asks = Asks::new(&mut rng);
        let others = everywhere.into_iter().filter(|it| *it != here);
        Self {
            now: Now { mono: Duration::ZERO, wall_ms: 0 },
            rng,
            disk: Disk::Ready,
            syncing: Syncing::default(),
            clock: Hlc::default(),
            store: Store::default(),
            streams: Streams::new(here, config.limits.recent_bytes_max),
            appended: 0,
            durable: 0,
            registry: Registry::new(&config),
            tasks: Tasks::default(),
            webhooks: Webhooks::default(),
            topics: Topics::default(),
            peers: others.map(|it| (it, Peer::default())).collect(),
            reach: Reach::new(&config),
            charter: founded(&config),
            agree: Agree::new(&config),
            home: Home::default(),
            asks,
            desk: Desk::default(),
            data: Data::new(&config),
            compaction: Compaction::default(),
            covers: Covers::default(),
            repair: Repair::default(),
            holds_unknown: false,
            incoming: BTreeMap::new(),
            early: Seen::default(),
            heard: BTreeMap::new(),
            inboxes: BTreeMap::new(),
            beat_at: Duration::ZERO,
            at_start: None,
            is_halted: false,
            counters: Counters::default(),
            outputs: VecDeque::new(),
            #[cfg(feature = "planted-bugs")]
            planted: None,
            config,
        }
    }

    /// Takes back an op of its own log, in the order of the log. Only before [`Region::start`].
    pub fn replay(&mut self, logged: impl Into<Logged>) {
        assert_eq!(self.appended, 0, "a region replays before it starts");
        let Logged { op, part } = logged.into();
        self.clock = self.clock.max(op.at);
        if op.stream.is_local() {
            return self.replay_local(&op, part);
        }
        self.compaction.logged(&op);
        let (stream, seq) = (op.stream, op.seq);
        if !self.accept_again(op) {
            self.early.raise(stream, seq); // A state that follows may stand for it.
            return;
        }
        self.forget_ended(self.clock.wall_ms);
    }

    /// Returns a stream of which the log that was replayed lacks something, with the number of an
    /// op that it holds and that does not follow.
    #[must_use]
    pub fn lacks(&self) -> Option<(StreamId, u64)> {
        let seen = self.store.seen();
        let mut early = self.early.iter().filter(|(stream, seq)| seen.of(stream) < *seq);
        early.next().map(|(stream, seq)| (*stream, seq))
    }

    /// Begins to live: what was replayed is durable.
    pub fn start(&mut self, now: Now) {
        self.counters.misplaced = 0; // What the log lacks is told by `lacks`.
        self.covers.prune(self.store.seen(), self.appended);
        self.now = now;
        self.streams.begin(now);
        self.beat_at = now.mono;
        self.at_start = Some(self.store.seen().clone());
        self.data.rejoin.start(&self.config);
        self.rejoin();
        self.resume_moves();
        self.start_agreeing();
        self.begin_to_take_over(None);
        self.resume_home();
        self.resume_agents();
    }

    /// Takes one input. Never blocks, never fails: refusals are outputs.
    pub fn handle(&mut self, now: Now, input: Input) {
        self.now = now;
        if self.is_halted {
            return;
        }
        match input {
            Input::Command(ticket, command) => self.on_command(ticket, command, Patience::Fresh),
            Input::Abandon(ticket) => self.forget_asker(ticket),
            Input::Linked(peer) => self.on_linked(peer),
            Input::Unlinked(peer) => self.on_unlinked(peer),
            Input::Message(from, message) => self.on_message(from, message),
            Input::Durable(number) => self.on_durable(number),
            Input::Disk(disk) => self.on_disk(disk),
            Input::Fetched { stream, from, ops } => self.on_fetched(stream, from, &ops),
            Input::Truncated => self.log_is_cut(),
            Input::Tick => self.on_tick(),
        }
    }

    /// Returns the next thing to do, until there is none.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns when to call with [`Input::Tick`] at the latest, by [`Now::mono`], and why.
    #[must_use]
    pub fn next_wakeup(&self) -> (Duration, &'static str) {
        let candidates = [
            Some((self.beat_at, "beat")),
            self.reach.next_deadline().map(|at| (at, "links")),
            self.home.next_lapse().filter(|_| self.may_lapse()).map(|at| (at, "lease")),
            self.next_due().map(|at| (at, "task")),
            self.home.fans_at().map(|at| (at, "fan-out")),
            Some((self.agree.next_deadline(), "agreement")),
            self.desk.next_deadline().map(|at| (at, "wait")),
            self.asks.next_deadline().map(|at| (at, "question")),
            self.data.next_deadline().map(|at| (at, "data")),
            self.repair.next_deadline().map(|at| (at, "repair")),
        ];
        candidates.into_iter().flatten().min().expect("the beat never ends")
    }

    /// Returns a snapshot for readers.
    #[must_use]
    pub fn view(&self) -> View {
        View {
            peers: self.peers.iter().map(|(region, peer)| self.show_peer(*region, peer)).collect(),
            is_taking_state: self.is_taking_state(self.now),
            is_unknown: !self.is_admitted(),
            placed_otherwise: self.placed_otherwise().collect(),
            clock_off_ms: self.agree.clocks.off_ms,
            is_disk_full: self.disk == Disk::Full,
            is_disk_slow: self.syncing.is_slow(self.now.mono),
            agents: self.registry.len(),
            agents_online: self.registry.online(),
            tasks: self.tasks.counts().collect(),
            shards: self.shards_taken(),
            waiting: self.home.waiting(),
            delayed: self.home.delayed(),
            in_flight: self.in_flight(),
            webhooks_due: self.webhooks.due_count(),
            kept_bytes: self.tasks.kept_bytes(),
            topics: self.topics.all.len(),
            topic_bytes: self.topics.bytes(),
            datasets: self.data.len(),
            room: self.show_room(),
            conflicts: self.data.conflicts().collect(),
            conflict_alarm_per_second: self.config.limits.conflict_alarm_per_second,
            counters: self.counters,
        }
    }

    /// Returns the records, for those who compare regions.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Returns an op whose effect records hold although it does not count as seen: a peer's state
    /// is on its way.
    #[must_use]
    pub fn holds_more_than_seen(&self) -> Option<(StreamId, u64)> {
        self.covers.beyond_seen(self.store.seen())
    }

    /// Plants a bug, so that a simulation can prove that it would find it.
    #[cfg(feature = "planted-bugs")]
    pub fn plant(&mut self, bug: crate::PlantedBug) {
        self.planted = Some(bug);
    }

    /// Answers a command, or lets it wait.
    pub(crate) fn on_command(&mut self, ticket: Ticket, command: Command, patience: Patience) {
        let verdict = match self.admit(&command, patience) {
            Ok(()) => self.decide(ticket, &command, patience),
            Err(refusal) => refusal.into(),
        };
        match verdict {
            Verdict::Reply(append, reply) => {
                let reply = self.asks.conclude(ticket, reply);
                self.counters.refused += u64::from(reply.is_err());
                self.say(append, Held::Reply(ticket, reply));
            }
            Verdict::Wait(bell, until) => self.desk.park(ticket, command, bell, until),
            Verdict::WaitAs(command, bell, until) => self.desk.park(ticket, *command, bell, until),
            Verdict::Asked => {}
            Verdict::Level(pending) => {
                self.asks.forget(ticket);
                self.await_level(ticket, *pending);
            }
        }
    }

    fn decide(&mut self, ticket: Ticket, command: &Command, patience: Patience) -> Verdict {
        match command {
            Command::Register(spec) => self.register(spec),
            Command::Deregister(name) => self.deregister(name),
            Command::Agent(name) => self.show_agent(name),
            Command::Agents { skill, region, after, limit } => {
                self.list_agents(skill.as_ref(), *region, after.as_ref(), *limit)
            }
            Command::AgentChanges { after, limit } => self.agent_changes(*after, *limit),
            Command::Route { target, placement, wants, limit } => {
                let asked = Asked { target, placement: *placement, wants: wants.as_ref() };
                self.show_route(asked, *limit)
            }
            Command::Submit(spec) => self.submit(ticket, spec, patience),
            Command::Task(id) => self.show_task(ticket, *id, patience),
            Command::Tasks { filter, before, limit } => self.list_tasks(filter, *before, *limit),
            Command::Events { task, after, wait } => {
                self.show_events(ticket, (*task, *after, *wait), patience)
            }
            Command::Acquire { agent, limit, wait } => self.acquire(agent, *limit, *wait, patience),
            Command::Webhooks(task) => self.show_webhooks(ticket, *task, patience),
            Command::TakeDue { limit, wait } => self.take_due(*limit, *wait, patience),
            Command::Told { task, id, set, upto, went } => {
                self.told_webhook((*task, id, *set), *upto, *went)
            }
            Command::AtHome(ask) => self.decide_or_ask(ticket, ask, patience),
            Command::Topic(command) => self.decide_about_topics(command, patience),
            Command::Data(command) => self.decide_data(ticket, command, patience),
            Command::Govern(wanted) => self.govern(ticket, wanted, patience),
            Command::Topology => {
                Verdict::Reply(0, Ok(Reply::Topology(Box::new(self.show_topology()))))
            }
        }
    }

    /// Looks again at a command that waited.
    pub(crate) fn look_again(&mut self, (ticket, parked): (Ticket, Parked)) {
        self.on_command(ticket, parked.command, Patience::Until(parked.until));
    }

    /// Says something as soon as an append is durable.
    pub(crate) fn say(&mut self, append: u64, held: Held) {
        let is_durable = append <= self.durable;
        #[cfg(feature = "planted-bugs")]
        let is_durable = is_durable || self.planted == Some(crate::PlantedBug::ReplyBeforeDurable);
        if is_durable {
            self.speak(held);
        } else {
            self.desk.hold(append, held);
        }
    }

    /// Says something now.
    pub(crate) fn speak(&mut self, held: Held) {
        let output = match held {
            Held::Answer(to, number, answer) => Output::Send(to, Message::Answer(number, answer)),
            Held::Send(to, message) => Output::Send(to, message),
            Held::Reply(ticket, reply) if is_guest(ticket) => {
                let Some((to, number)) = self.data.leaves(ticket) else { return };
                Output::Send(to, Message::Answer(number, reply.map(into_answer)))
            }
            Held::Reply(ticket, reply) if is_copy(ticket) => return self.copied(ticket, reply),
            Held::Reply(ticket, reply) => Output::Reply(ticket, reply),
        };
        self.outputs.push_back(output);
    }

    /// Looks again at all commands that wait for a bell.
    pub(crate) fn ring(&mut self, bell: &Bell) {
        for waiter in self.desk.ring_all(bell) {
            self.look_again(waiter);
        }
    }

    pub(crate) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    /// Whether the log takes client's writes.
    pub(crate) fn check_disk(&self) -> Result<(), Refusal> {
        match self.disk {
            Disk::Ready => Ok(()),
            Disk::Full => Err(Refusal::DiskFull { region: self.config.region }),
        }
    }

    /// Returns up to which number appends are durable.
    pub(crate) fn durable(&self) -> u64 {
        self.durable
    }

    /// Returns the number of the last append: once it is durable, a crash undoes nothing.
    pub(crate) fn appended(&self) -> u64 {
        self.appended
    }

    /// Returns the stream that this region writes under a placement.
    pub(crate) fn own_stream(&self, placement: PlacementId) -> StreamId {
        StreamId { origin: self.config.region, placement, incarnation: self.config.incarnation }
    }

    fn on_durable(&mut self, number: u64) {
        assert!(number <= self.appended, "the log claims more than was appended");
        self.durable = number.max(self.durable);
        self.syncing.durable(self.durable, self.appended, self.now.mono);
        for held in self.desk.release(self.durable) {
            self.speak(held);
        }
        for stream in self.streams.synced(self.durable) {
            self.acknowledge(stream);
            self.pump_to_all(stream);
            self.settle(stream);
        }
        self.agreed_is_durable();
        self.on_durable_data(self.durable);
        self.go_on_compacting();
        self.run_due_moves();
    }

    fn on_disk(&mut self, disk: Disk) {
        let was_full = self.disk == Disk::Full;
        self.disk = disk;
        if was_full && disk == Disk::Ready {
            self.drive_group();
            self.dispatch_all();
        }
    }

    fn on_tick(&mut self) {
        while let Some((ticket, parked)) = self.desk.overdue(self.now.mono) {
            self.on_command(ticket, parked.command, Patience::Spent);
        }
        self.agree_on_time();
        self.give_up_asks();
        self.give_up_levels();
        self.ring_watchers();
        self.lapse_leases();
        self.look_at_times();
        self.look_at_more_fans();
        self.go_on_comparing();
        self.remove_expired();
        self.reroute();
        if self.now.mono < self.beat_at {
            return;
        }
        self.beat_at = self.now.mono + Self::BEAT_EVERY;
        self.beat_peers();
        self.mark_silent_agents();
        self.look_at_pauses();
        self.look_at_all_fans();
        self.look_at_webhooks();
        self.tend_topics();
        self.forget_ended(self.now.wall_ms);
        self.covers.prune(self.store.seen(), self.appended);
        self.forget_ages();
        self.beat_data();
        self.resend_parts();
        self.bound_log();
        self.judge_cases();
        self.compare_next();
    }
}
