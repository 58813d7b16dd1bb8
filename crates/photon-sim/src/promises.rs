//! The promises, and what has been seen that must stay true.
//! Must not change the world: it looks, remembers and complains.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use photon_region::{
    AgentName, AgentSpec, Checkpoint, Claim, Event, Lease, Message, Question, Stamped, TaskDetail,
    TaskId, TaskState, TaskSummary, Token, encode_message, inspect_comparison, inspect_part,
};
use photon_state::{Op, StreamId};

use crate::digest::Digest;
use crate::disk::Disk;
use crate::faults::Disks;
use crate::gathering::is_spread;
pub(crate) use crate::promise::Broken;
pub use crate::promise::Promise;
use crate::records::{CANARY, placement_of};
use crate::site::{Atlas, Site};

/// What is known of a task from the outside.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) members: u32,
    /// Which region told a client that it is durable.
    pub(crate) acked_by: Option<usize>,
    /// Whether it is asked of many, or was made by one that is: its home ends it by itself.
    pub(crate) is_spread: bool,
    /// How it ended, if anybody was told.
    pub(crate) ended: Option<TaskState>,
    /// The last token that anybody was shown.
    pub(crate) token: Token,
    /// To which agent, where, each token was shown.
    holders: BTreeMap<Token, (AgentName, usize)>,
    /// How many notes were acknowledged under each token.
    pub(crate) notes: BTreeMap<Token, u64>,
    /// What each lease told of what was done before.
    pub(crate) checkpoints: BTreeMap<Token, Vec<Checkpoint>>,
    /// Under which generations it was asked what clients have answered, as they were told.
    pub(crate) answers: BTreeSet<u64>,
    /// What was seen of each generation: its event, the task in a list, the task in full.
    observed: Vec<[Option<u64>; 3]>,
}

/// What has been seen and must stay true.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) disks: Disks,
    tasks: BTreeMap<TaskId, Known>,
    /// Tasks that were acknowledged at quorum.
    pub(crate) at_quorum: BTreeSet<TaskId>,
    /// Where each agent may be known, one bit for each site.
    agents: BTreeMap<AgentName, u32>,
    /// The disks that were lost, each with its site.
    pub(crate) lost: Vec<(usize, Disk)>,
}

impl Ledger {
    pub(crate) fn new(disks: Disks) -> Self {
        let (tasks, agents) = (BTreeMap::new(), BTreeMap::new());
        Self { disks, tasks, at_quorum: BTreeSet::new(), agents, lost: Vec::new() }
    }

    /// Takes note of where an agent may be known.
    pub(crate) fn confine(&mut self, agent: AgentName, members: u32) {
        self.agents.insert(agent, members);
    }

    pub(crate) fn is_strict(&self) -> bool {
        self.disks == Disks::Survive
    }

    pub(crate) fn task(&self, id: TaskId) -> Option<&Known> {
        self.tasks.get(&id)
    }

    pub(crate) fn tasks(&self) -> impl Iterator<Item = (TaskId, &Known)> {
        self.tasks.iter().map(|(id, known)| (*id, known))
    }

    pub(crate) fn learn(&mut self, id: TaskId, members: u32) -> &mut Known {
        self.tasks.entry(id).or_insert_with(|| Known {
            members,
            acked_by: None,
            is_spread: false,
            ended: None,
            token: Token(0),
            holders: BTreeMap::new(),
            notes: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
            answers: BTreeSet::new(),
            observed: Vec::new(),
        })
    }

    /// Takes note that the task was shown as accepted.
    pub(crate) fn acked(&mut self, task: TaskId, here: usize) {
        let known = self.tasks.get_mut(&task).expect("shown before it is acknowledged");
        known.acked_by.get_or_insert(here);
    }

    /// Checks that a task would survive the loss of any one region. A region whose disk was lost
    /// counts if it had the task: it said so, and nobody can know yet that it has it no more.
    pub(crate) fn is_at_quorum(&mut self, sites: &[Site], task: TaskId) -> Result<(), Broken> {
        let members = self.tasks.get(&task).map_or(0, |known| known.members);
        let is_member = |(site, _): &(usize, &Site)| members >> site & 1 == 1;
        let all = sites.iter().enumerate().filter(is_member);
        // It may have come in a peer's state rather than as an op.
        let knows = |it: &Site| it.machine.as_ref().is_none_or(|it| it.knows_task(task));
        let has = |it: &Site| it.disk.has_synced_event(task, 1) || knows(it);
        let disks = sites.iter().map(|it| &it.disk).chain(self.lost.iter().map(|(_, it)| it));
        let op = disks.into_iter().find_map(|it| it.submission(task));
        let had = |site| op.is_some_and(|(stream, seq)| self.had_synced(site, &stream, seq));
        let held = all.filter(|(site, it)| has(it) || had(*site)).count();
        self.at_quorum.insert(task);
        Promise::Acknowledged.holds(members.count_ones() as usize / 2 < held, || {
            format!("task {task} was acknowledged at quorum, and only {held} regions have it")
        })
    }

    /// Takes note that a token was shown to a worker.
    pub(crate) fn claimed(&mut self, task: TaskId, token: Token) {
        let known = self.tasks.get_mut(&task).expect("shown before it is claimed");
        known.token = known.token.max(token);
    }

    /// Takes note that notes were acknowledged.
    pub(crate) fn noted(&mut self, task: TaskId, token: Token, number: u64) {
        let Some(known) = self.tasks.get_mut(&task) else { return };
        let notes = known.notes.entry(token).or_default();
        *notes = number.max(*notes);
    }

    /// Takes note of how a task ended, as somebody was told.
    pub(crate) fn ended(
        &mut self,
        sites: &[Site],
        task: TaskId,
        state: TaskState,
    ) -> Result<(), Broken> {
        let Some(known) = self.tasks.get_mut(&task) else { return Ok(()) };
        if !state.is_terminal() || self.disks == Disks::MayBeLost {
            return Ok(());
        }
        let before = known.ended.replace(state).unwrap_or(state);
        Promise::OneEnding.holds(before == state || has_moved(sites, task), || {
            format!("task {task} was said to be {before:?}, then {state:?}")
        })
    }

    /// Takes in that a client was told that its answer is there.
    pub(crate) fn answered(&mut self, task: TaskId, asked: u64) {
        if let Some(known) = self.tasks.get_mut(&task) {
            known.answers.insert(asked);
        }
    }

    /// Checks what somebody was told of where a task stands.
    pub(crate) fn standing(
        &mut self,
        sites: &[Site],
        task: TaskId,
        (state, generation): (TaskState, u64),
    ) -> Result<(), Broken> {
        self.ended(sites, task, state)?;
        self.is_durable(sites, task, generation)
    }

    fn is_durable(&self, sites: &[Site], task: TaskId, generation: u64) -> Result<(), Broken> {
        let is_durable = sites.iter().any(|it| it.disk.has_synced_event(task, generation));
        Promise::Acknowledged.holds(is_durable || !self.is_strict(), || {
            format!(
                "generation {generation} of task {task} was shown before anybody had it durably"
            )
        })
    }

    /// Checks an event that a region showed.
    pub(crate) fn event(
        &mut self,
        sites: &[Site],
        task: TaskId,
        stamped: &Stamped,
    ) -> Result<(), Broken> {
        let mut digest = Digest::default();
        digest.stamped(stamped);
        self.observe(sites, task, stamped.generation, 0, digest)?;
        match &stamped.event {
            Event::Claimed { token, .. } => self.claimed(task, *token),
            Event::Ended { outcome, .. } => self.ended(sites, task, outcome.state())?,
            Event::Submitted(_)
            | Event::Noted { .. }
            | Event::Requeued { .. }
            | Event::Paused { .. }
            | Event::Answered { .. } => {}
        }
        Ok(())
    }

    /// Checks a task that a region showed in a list.
    pub(crate) fn summary(
        &mut self,
        atlas: &Atlas,
        sites: &[Site],
        here: usize,
        task: &TaskSummary,
    ) -> Result<(), Broken> {
        let members = atlas.members(task.spec.placement);
        Promise::Residency.holds(members >> here & 1 == 1, || {
            format!("{} showed task {} of {}", atlas.ids[here], task.id, task.spec.placement)
        })?;
        self.shown(atlas, sites, task)
    }

    /// Checks a task that a region showed, whether it has it or has asked another one.
    fn shown(&mut self, atlas: &Atlas, sites: &[Site], task: &TaskSummary) -> Result<(), Broken> {
        let members = atlas.members(task.spec.placement);
        let worker = task.worker.as_ref().map(|(agent, _)| agent);
        let known = worker.and_then(|it| self.agents.get(it)).copied().unwrap_or(u32::MAX);
        Promise::Residency.holds(members & !known == 0, || {
            format!("task {} of {} names {worker:?}", task.id, task.spec.placement)
        })?;
        self.learn(task.id, members).is_spread |= task.spec.terms.as_deref().is_some_and(is_spread);
        let mut digest = Digest::default();
        digest.summary(task);
        self.observe(sites, task.id, task.generation, 1, digest)?;
        self.ended(sites, task.id, task.state)
    }

    /// Checks a lease that a region handed out.
    pub(crate) fn lease(
        &mut self,
        atlas: &Atlas,
        here: usize,
        agent: &AgentSpec,
        lease: &Lease,
    ) -> Result<(), Broken> {
        let Claim { task, token } = lease.claim;
        let members = atlas.members(lease.spec.placement);
        let AgentSpec { name, placement, .. } = agent;
        Promise::Residency.holds(members & !atlas.members(*placement) == 0, || {
            format!("task {task} of {} names {name} of {placement}", lease.spec.placement)
        })?;
        Promise::Residency.holds(members >> here & 1 == 1, || {
            format!("{} leased task {task} of {}", atlas.ids[here], lease.spec.placement)
        })?;
        let wants = lease.spec.terms.as_ref().and_then(|it| it.wants.as_ref());
        let is_wanted = wants.is_none_or(|it| it.accepts(agent, atlas.ids[here]));
        Promise::Wanted.holds(is_wanted, || {
            format!("task {task}, which wants {wants:?}, was given to {agent:?}")
        })?;
        let agent = &agent.name;
        let known = self.learn(task, members);
        known.is_spread |= lease.spec.terms.as_deref().is_some_and(is_spread);
        known.checkpoints.entry(token).or_insert_with(|| lease.checkpoints.clone());
        let holder = known.holders.entry(token).or_insert_with(|| (agent.clone(), here));
        let is_same = holder.0 == *agent && holder.1 == here;
        let other = holder.clone();
        self.claimed(task, token);
        Promise::OneEnding.holds(is_same || !self.is_strict(), || {
            format!("{token:?} of task {task} was shown to {other:?} and to {agent} at {here}")
        })
    }

    /// Checks a task that a region showed in full.
    pub(crate) fn detail(
        &mut self,
        atlas: &Atlas,
        sites: &[Site],
        detail: &TaskDetail,
    ) -> Result<(), Broken> {
        self.shown(atlas, sites, &detail.summary)?;
        let mut digest = Digest::default();
        for artifact in &detail.artifacts {
            digest.bytes(artifact.id.as_bytes());
            artifact.parts.iter().for_each(|it| digest.bytes(&it.0));
        }
        digest.bytes(detail.message.as_ref().map_or(&[][..], |it| &it.0));
        self.observe(sites, detail.summary.id, detail.summary.generation, 2, digest)
    }

    /// Compares what was seen of a generation with what was seen before.
    fn observe(
        &mut self,
        sites: &[Site],
        task: TaskId,
        generation: u64,
        view: usize,
        digest: Digest,
    ) -> Result<(), Broken> {
        if !self.is_strict() {
            return Ok(());
        }
        self.is_durable(sites, task, generation)?;
        let known = self.tasks.get_mut(&task).expect("it is there: looked up above");
        let index = usize::try_from(generation).expect("as many as fit in memory");
        if known.observed.len() <= index {
            known.observed.resize(index + 1, [None; 3]);
        }
        let seen = &mut known.observed[index][view];
        let before = seen.replace(digest.value()).unwrap_or(digest.value());
        Promise::OneEnding.holds(before == digest.value() || has_moved(sites, task), || {
            format!("generation {generation} of task {task} was seen in two forms")
        })
    }
}

/// Whether a task has had several homes: what only an earlier one had may have been overruled.
pub(crate) fn has_moved(sites: &[Site], task: TaskId) -> bool {
    let mut epochs = sites.iter().flat_map(|it| it.disk.epochs(task));
    let first = epochs.next();
    epochs.any(|it| Some(it) != first)
}

/// Checks an op that a region writes to its log.
pub(crate) fn check_append(
    atlas: &Atlas,
    sites: &[Site],
    here: usize,
    op: &Arc<Op>,
    disks: Disks,
) -> Result<(), Broken> {
    let name = atlas.ids[here];
    Promise::Residency.holds(atlas.may_hold(op.stream.placement, here), || {
        format!("{name} appended {:?} {}", op.stream, op.seq)
    })?;
    Promise::Contract.holds(!sites[here].disk.is_full, || {
        format!("{name} appended {:?} {} to a full disk", op.stream, op.seq)
    })?;
    let origin = atlas.site(op.stream.origin);
    if origin == here {
        return Ok(());
    }
    let Some(held) = sites[origin].disk.op(&op.stream, op.seq) else {
        return Promise::SameOps.holds(disks == Disks::MayBeLost, || {
            format!("{name} appended {:?} {}, which its origin lacks", op.stream, op.seq)
        });
    };
    Promise::SameOps.holds(Arc::ptr_eq(held, op) || held == op, || {
        format!("{name} appended another {:?} {} than its origin", op.stream, op.seq)
    })
}

/// Checks a message that a region sends.
pub(crate) fn check_send(
    atlas: &Atlas,
    sites: &[Site],
    (here, to): (usize, usize),
    message: &Message,
    ledger: &Ledger,
) -> Result<(), Broken> {
    let durable = |stream: &StreamId, seq: u64| {
        Promise::Residency.holds(atlas.may_hold(stream.placement, to), || {
            format!("{} told {} of {stream:?}", atlas.ids[here], atlas.ids[to])
        })?;
        Promise::Acknowledged.holds(sites[here].disk.has_synced(stream, seq), || {
            let (here, to) = (atlas.ids[here], atlas.ids[to]);
            format!("{here} told {to} of {stream:?} {seq} before it had it durably")
        })
    };
    let secrets = placement_of(atlas, "secrets");
    if !atlas.may_hold(secrets, to) {
        let bytes = encode_message(message);
        let is_told = bytes.windows(CANARY.len()).any(|it| it == CANARY);
        Promise::Residency
            .holds(!is_told, || format!("{} told {} a secret", atlas.ids[here], atlas.ids[to]))?;
    }
    match message {
        Message::Ops(ops) => {
            let Some(first) = ops.first() else { return Ok(()) };
            let in_order = ops.iter().zip(first.seq..);
            let is_run =
                in_order.into_iter().all(|(op, seq)| (op.stream, op.seq) == (first.stream, seq));
            Promise::Contract.holds(is_run, || {
                format!("{} sent ops of {:?} that are no run", atlas.ids[here], first.stream)
            })?;
            durable(&first.stream, first.seq + ops.len() as u64 - 1)
        }
        Message::Seen { seen, .. } => {
            seen.iter().try_for_each(|(stream, seq)| durable(stream, seq))
        }
        Message::Ack(stream, seq) => durable(stream, *seq),
        Message::Ask(_, Question::Task(ask, _) | Question::Pass(ask, _)) => {
            let Some(known) = ledger.task(ask.task()) else { return Ok(()) };
            Promise::Residency.holds(known.members >> to & 1 == 1, || {
                format!("{} asked {} about task {}", atlas.ids[here], atlas.ids[to], ask.task())
            })
        }
        Message::Ask(..) => Ok(()),
        Message::State { part, .. } => {
            let (placements, seen) = inspect_part(part)
                .ok_or_else(|| Promise::Contract.broken("a part of a state is malformed"))?;
            for placement in placements {
                Promise::Residency.holds(atlas.may_hold(placement, to), || {
                    format!("{} sent {} a state of {placement}", atlas.ids[here], atlas.ids[to])
                })?;
            }
            seen.iter().try_for_each(|(stream, seq)| durable(stream, seq))
        }
        Message::Compare(body) => check_comparison(atlas, (here, to), body),
        Message::Took { .. }
        | Message::Answer(..)
        | Message::Beat(_)
        | Message::Agree(_)
        | Message::Ping(_)
        | Message::Pong { .. } => Ok(()),
    }
}

/// Checks that a comparison is of what both may hold.
fn check_comparison(
    atlas: &Atlas,
    (here, to): (usize, usize),
    body: &bytes::Bytes,
) -> Result<(), Broken> {
    let placements = inspect_comparison(body)
        .ok_or_else(|| Promise::Contract.broken("a comparison is malformed"))?;
    placements.into_iter().try_for_each(|placement| {
        Promise::Residency.holds(atlas.may_hold(placement, to), || {
            format!("{} compared {placement} with {}", atlas.ids[here], atlas.ids[to])
        })
    })
}
