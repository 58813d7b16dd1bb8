//! Agents and their workers: they poll, work, tell, finish; and hang, die, come late, finish twice.
//! Must not know how a region works, only what it may be asked and what it answers.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use photon_region::{
    AgentName, AgentSpec, Claim, Command, Json, Lease, Outcome, Refusal, Skill, Target, TaskId,
    TaskState, Token,
};
use photon_state::PlacementId;

use crate::asked::Asked;
use crate::clock::{MS, Micros, SECOND};
use crate::faults::Fault;
use crate::job::{Fate, Job, Step, draw_fate, draw_outcome};
use crate::promises::{Broken, Promise, has_moved};
use crate::site::pick;
use crate::workload::{Request, Stage, Turn};

/// An agent as its operator sees it.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) spec: AgentSpec,
    members: u32,
    /// Where its operator believes that it is attached.
    site: usize,
    busy: u32,
}

/// What a worker asked of a task's home.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking {
    pub(crate) job: u32,
    pub(crate) step: Step,
    /// The last token that anybody had been shown when it was asked.
    shown: Token,
}

/// All agents and workers.
#[derive(Debug)]
pub(crate) struct Fleet {
    agents: Vec<Agent>,
    jobs: Vec<Option<Job>>,
    pub(crate) skills: Vec<Skill>,
}

impl Fleet {
    /// How often a worker asks in vain before it gives the task up.
    const TRIES_MAX: u32 = 100;
    /// How often a client tries to answer.
    const ANSWERS_MAX: u32 = 40;
    /// How many tasks each agent works on once all faults are over.
    const CALM_CAPACITY: u32 = 12;

    /// Draws agents, one steward for each placement among them: it has every skill.
    pub(crate) fn draw(stage: &mut Stage<'_>, rng: &mut fastrand::Rng) -> Self {
        let skills: Vec<Skill> = ["sum", "sort", "draw", "plan"].map(Skill::from).into();
        let mut agents = Vec::new();
        for (placement, members) in &stage.atlas.placements {
            let name = format!("steward-{placement}");
            agents.push(draw_agent(&name, (*placement, *members), skills.iter().cloned(), rng));
        }
        for index in 0..rng.usize(1..7) {
            let place = stage.atlas.placements[rng.usize(0..stage.atlas.placements.len())];
            let chosen: Vec<Skill> = skills.iter().filter(|_| rng.bool()).cloned().collect();
            agents.push(draw_agent(&format!("agent-{index}"), place, chosen, rng));
        }
        for agent in &agents {
            stage.ledger.confine(agent.spec.name.clone(), agent.members);
        }
        for index in 0..agents.len() {
            let index = u32::try_from(index).expect("a handful of agents");
            stage.later(rng.u64(0..300 * MS), Turn::Enlist(index));
            stage.later(rng.u64(300 * MS..600 * MS), Turn::Poll(index));
        }
        Self { agents, jobs: Vec::new(), skills }
    }

    /// Draws whom a task of a placement is for. An agent is chosen only if all places where it may
    /// be attached are good for the task, and may know the agent: otherwise nobody might ever take
    /// the task up.
    pub(crate) fn draw_target(&self, placement: PlacementId, rng: &mut fastrand::Rng) -> Target {
        let agent = self.some_agent(rng);
        let is_fit = placement == agent.spec.placement;
        if is_fit && rng.u32(0..4) == 0 {
            return Target::Agent(agent.spec.name.clone());
        }
        Target::Skill(self.skills[rng.usize(0..self.skills.len())].clone())
    }

    pub(crate) fn some_agent(&self, rng: &mut fastrand::Rng) -> &Agent {
        &self.agents[rng.usize(0..self.agents.len())]
    }

    /// Whether nobody works.
    pub(crate) fn is_idle(&self) -> bool {
        self.jobs.iter().all(Option::is_none)
    }

    /// Registers an agent where its operator wants it.
    pub(crate) fn enlist(
        &mut self,
        stage: &mut Stage<'_>,
        index: u32,
        rng: &mut fastrand::Rng,
    ) -> Option<Request> {
        let agent = &mut self.agents[index as usize];
        if stage.alive >> agent.site & 1 == 0 {
            agent.site = pick(stage.alive & agent.members, rng).unwrap_or(agent.site);
        }
        if stage.alive >> agent.site & 1 == 0 {
            stage.later(rng.u64(100 * MS..SECOND), Turn::Enlist(index));
            return None;
        }
        let command = Command::Register(agent.spec.clone());
        Some(Request { site: agent.site, command, asked: Asked::Enlist(index) })
    }

    /// Takes in that an agent is registered.
    pub(crate) fn enlisted(&mut self, _: &mut Stage<'_>, here: usize, index: u32) {
        self.agents[index as usize].site = here;
    }

    /// Lets every operator register its agents once more.
    pub(crate) fn all_enlist(&mut self, stage: &mut Stage<'_>) {
        for (index, agent) in (0..).zip(&mut self.agents) {
            // With many workers the rest comes soon, however much work is left.
            agent.spec.capacity = Self::CALM_CAPACITY;
            stage.later(SECOND, Turn::Enlist(index));
        }
    }

    /// Moves an agent, changes it, or forgets it.
    pub(crate) fn wander(
        &mut self,
        stage: &mut Stage<'_>,
        rng: &mut fastrand::Rng,
    ) -> Option<Request> {
        let index = rng.usize(0..self.agents.len());
        let may_go = !stage.is_calm && stage.weather.strikes(Fault::AgentMove, 0.8, rng);
        if !may_go {
            return None;
        }
        let agent = &mut self.agents[index];
        let index = u32::try_from(index).expect("a handful of agents");
        match rng.u32(0..6) {
            0 => {
                let site = pick(stage.alive, rng)?;
                stage.later(rng.u64(SECOND..3 * SECOND), Turn::Enlist(index));
                let command = Command::Deregister(agent.spec.name.clone());
                Some(Request { site, command, asked: Asked::Retire })
            }
            1 => {
                agent.spec.capacity = rng.u32(1..6);
                self.enlist(stage, index, rng)
            }
            2.. => {
                agent.site = pick(stage.alive & agent.members, rng)?;
                self.enlist(stage, index, rng)
            }
        }
    }

    /// Asks for work.
    pub(crate) fn poll(
        &mut self,
        stage: &mut Stage<'_>,
        index: u32,
        rng: &mut fastrand::Rng,
    ) -> Option<Request> {
        if !stage.is_calm && stage.weather.strikes(Fault::WorkerDie, 0.02, rng) {
            self.forget_all(index);
        }
        let agent = &self.agents[index as usize];
        let is_dead = stage.alive >> agent.site & 1 == 0;
        if is_dead || agent.spec.capacity <= agent.busy {
            stage.later(rng.u64(20 * MS..200 * MS), Turn::Poll(index));
            if is_dead && rng.u32(0..4) == 0 {
                stage.later(0, Turn::Enlist(index));
            }
            return None;
        }
        let limit = rng.usize(1..=(agent.spec.capacity - agent.busy) as usize);
        let wait = Duration::from_millis(rng.u64(0..2_000));
        let command = Command::Acquire { agent: agent.spec.name.clone(), limit, wait };
        Some(Request { site: agent.site, command, asked: Asked::Poll(index) })
    }

    fn forget_all(&mut self, agent: u32) {
        for job in &mut self.jobs {
            if job.as_ref().is_some_and(|it| it.agent == agent) {
                *job = None;
            }
        }
        self.agents[agent as usize].busy = 0;
    }

    /// Takes in that an agent was not registered, or has no work to hope for here.
    pub(crate) fn turned_away(
        &mut self,
        stage: &mut Stage<'_>,
        asked: &Asked,
        refusal: &Refusal,
        rng: &mut fastrand::Rng,
    ) {
        let (Asked::Enlist(index) | Asked::Poll(index)) = asked else { return };
        let agent = &mut self.agents[*index as usize];
        let delay = rng.u64(50 * MS..500 * MS);
        if let Asked::Enlist(_) = asked {
            stage.later(delay, Turn::Enlist(*index));
            return;
        }
        match refusal {
            Refusal::AttachedElsewhere { region, .. } => {
                let there = stage.atlas.site(*region);
                if stage.alive >> there & 1 == 1 && rng.u32(0..4) != 0 {
                    agent.site = there;
                } else {
                    stage.later(0, Turn::Enlist(*index));
                }
            }
            Refusal::NoSuchAgent(_) => stage.later(delay / 2, Turn::Enlist(*index)),
            Refusal::Overloaded { .. }
            | Refusal::DiskFull { .. }
            | Refusal::NoSuchSkill(_)
            | Refusal::NoSuchTask(_)
            | Refusal::NoSuchPlacement(_)
            | Refusal::Confined { .. }
            | Refusal::OutsidePlacement { .. }
            | Refusal::StaleToken { .. }
            | Refusal::Ended { .. }
            | Refusal::NotAsked { .. }
            | Refusal::KeyReused { .. }
            | Refusal::PostReused { .. }
            | Refusal::NoteGap { .. }
            | Refusal::Data(_)
            | Refusal::Govern(_)
            | Refusal::TooLarge { .. }
            | Refusal::NotAdmitted { .. }
            | Refusal::ClockAhead { .. }
            | Refusal::HomeUnreachable { .. } => {}
        }
        stage.later(delay, Turn::Poll(*index));
    }

    /// Takes up work.
    pub(crate) fn leased(
        &mut self,
        stage: &mut Stage<'_>,
        here: usize,
        index: u32,
        leases: Vec<Lease>,
        rng: &mut fastrand::Rng,
    ) -> Result<(), Broken> {
        stage.later(rng.u64(MS..60 * MS), Turn::Poll(index));
        for lease in leases {
            let agent = &self.agents[index as usize].spec;
            stage.ledger.lease(stage.atlas, here, agent, &lease)?;
            let fate = draw_fate(stage, rng);
            let job = Job {
                agent: index,
                claim: lease.claim,
                site: here,
                fate,
                told: 0,
                total: rng.u64(0..8),
                outcome: draw_outcome(stage, rng),
                may_be_tried_again: rng.u32(0..4) != 0,
                has_begun: false,
                has_finished: false,
                tries: 0,
            };
            self.agents[index as usize].busy += 1;
            let job = self.put(job);
            stage.later(rng.u64(MS..150 * MS), Turn::Work(job));
        }
        Ok(())
    }

    fn put(&mut self, job: Job) -> u32 {
        self.jobs.push(Some(job));
        u32::try_from(self.jobs.len() - 1).expect("fewer than 2^32 jobs")
    }

    fn drop_job(&mut self, index: u32) {
        if let Some(job) = self.jobs[index as usize].take() {
            let busy = &mut self.agents[job.agent as usize].busy;
            *busy = busy.saturating_sub(1);
        }
    }

    /// Goes on with a task.
    pub(crate) fn work(
        &mut self,
        stage: &mut Stage<'_>,
        index: u32,
        rng: &mut fastrand::Rng,
    ) -> Option<Request> {
        let job = self.jobs[index as usize].as_mut()?;
        job.tries += 1;
        let halfway = job.total / 2 <= job.told && job.has_begun;
        if job.fate == Fate::Hangs && halfway {
            job.fate = Fate::Steady;
            let ttl = Micros::try_from(stage.atlas.limits.lease_ttl.as_micros()).unwrap_or(SECOND);
            stage.later(rng.u64(ttl / 2..3 * ttl), Turn::Work(index));
            return None;
        }
        if job.fate == Fate::Dies && halfway || Self::TRIES_MAX < job.tries {
            self.drop_job(index);
            return None;
        }
        if stage.alive >> job.site & 1 == 0 || rng.u32(0..40) == 0 {
            let members = stage.ledger.task(job.claim.task).map_or(0, |it| it.members);
            let Some(site) = pick(stage.alive & members, rng) else {
                stage.later(rng.u64(50 * MS..300 * MS), Turn::Work(index));
                return None;
            };
            job.site = site;
        }
        let step = job.next_step(rng);
        let site = job.site;
        let shown = stage.ledger.task(job.claim.task).map_or(Token(0), |it| it.token);
        let command = Command::AtHome(job.ask(step));
        let asking = Asking { job: index, step, shown };
        Some(Request { site, command, asked: Asked::Work(asking) })
    }

    /// Takes in that what a worker asked was done.
    pub(crate) fn stands(
        &mut self,
        stage: &mut Stage<'_>,
        asking: Asking,
        standing: (TaskState, u64),
        rng: &mut fastrand::Rng,
    ) -> Result<(), Broken> {
        let Some(job) = &mut self.jobs[asking.job as usize] else { return Ok(()) };
        let Claim { task, token } = job.claim;
        let is_strict = stage.ledger.is_strict();
        let is_later = job.repeats(asking.step) || is_overruled(stage, task, asking.shown);
        Promise::OneEnding.holds(asking.shown <= token || is_later || !is_strict, || {
            let (step, shown) = (asking.step, asking.shown);
            format!("task {task}: {step:?} of {token:?} was accepted after {shown:?} was claimed")
        })?;
        stage.ledger.standing(stage.sites, task, standing)?;
        job.tries = 0;
        job.has_begun = true;
        match asking.step {
            Step::Heartbeat => {}
            Step::Note { first, count } => {
                job.told = first + count - 1;
                stage.ledger.noted(task, token, job.told);
            }
            Step::Finish(outcome) => {
                Promise::OneEnding.holds(standing.0 == outcome.state(), || {
                    format!("task {task} was finished as {outcome:?} and is {:?}", standing.0)
                })?;
                let again = job.fate == Fate::Twice && !job.has_finished;
                job.has_finished = true;
                if !again {
                    self.drop_job(asking.job);
                    return Ok(());
                }
                if rng.bool() {
                    job.outcome = Outcome::Failed;
                }
            }
            Step::Pause(why) => {
                Promise::OneEnding.holds(standing.0 == why.state(), || {
                    format!("task {task} was paused for {why:?} and is {:?}", standing.0)
                })?;
                stage.later(
                    rng.u64(MS..3 * SECOND),
                    Turn::Answer(task, standing.1, Self::ANSWERS_MAX),
                );
                self.drop_job(asking.job);
                return Ok(());
            }
            Step::Decline | Step::Fail => {
                self.drop_job(asking.job);
                return Ok(());
            }
        }
        let delay = match job.fate {
            Fate::Slow => {
                let ttl = stage.atlas.limits.lease_ttl.as_micros();
                rng.u64(MS..Micros::try_from(ttl).unwrap_or(SECOND) * 9 / 10)
            }
            Fate::Steady
            | Fate::Hangs
            | Fate::Dies
            | Fate::Declines
            | Fate::Asks(_)
            | Fate::Twice => rng.u64(MS..120 * MS),
        };
        stage.later(delay, Turn::Work(asking.job));
        Ok(())
    }

    /// Takes in that what a worker asked was refused.
    pub(crate) fn refused(
        &mut self,
        stage: &mut Stage<'_>,
        asking: &Asking,
        refusal: &Refusal,
        rng: &mut fastrand::Rng,
    ) -> Result<(), Broken> {
        let Some(job) = &mut self.jobs[asking.job as usize] else { return Ok(()) };
        match refusal {
            Refusal::Overloaded { .. }
            | Refusal::DiskFull { .. }
            | Refusal::HomeUnreachable { .. } => {
                stage.later(rng.u64(20 * MS..400 * MS), Turn::Work(asking.job));
            }
            Refusal::NoteGap { first, expected } => {
                let Claim { task, token } = job.claim;
                let what = format!(
                    "task {task}: notes of {token:?} before {first} were acknowledged, \
                     and {expected} is expected"
                );
                // The heir may not have written anything yet.
                let has_heir = has_moved(stage.sites, task) || is_overruled(stage, task, token);
                let may_be = !stage.ledger.is_strict() || has_heir;
                let first = *expected;
                if may_be && job.told >= first {
                    job.told = first - 1; // It tells again what its former home alone had heard.
                    stage.later(rng.u64(MS..60 * MS), Turn::Work(asking.job));
                }
                return Promise::Acknowledged.holds(may_be, || what);
            }
            Refusal::Data(_)
            | Refusal::PostReused { .. }
            | Refusal::Govern(_)
            | Refusal::StaleToken { .. }
            | Refusal::Ended { .. }
            | Refusal::NotAsked { .. }
            | Refusal::NoSuchTask(_)
            | Refusal::TooLarge { .. }
            | Refusal::NoSuchAgent(_)
            | Refusal::NoSuchSkill(_)
            | Refusal::NoSuchPlacement(_)
            | Refusal::Confined { .. }
            | Refusal::OutsidePlacement { .. }
            | Refusal::AttachedElsewhere { .. }
            | Refusal::NotAdmitted { .. }
            | Refusal::ClockAhead { .. }
            | Refusal::KeyReused { .. } => self.drop_job(asking.job),
        }
        Ok(())
    }
}

/// Whether a token is of an earlier home: a later one need not know of what the one before had
/// shown, and had alone.
fn is_overruled(stage: &Stage<'_>, task: TaskId, token: Token) -> bool {
    let machines = stage.sites.iter().filter_map(|it| it.machine.as_ref());
    let homes = machines.filter_map(|it| it.home_and_epoch(task));
    homes.map(|(_, epoch)| epoch).max().is_some_and(|epoch| token.epoch() < epoch)
}

fn draw_agent(
    name: &str,
    (placement, members): (PlacementId, u32),
    skills: impl IntoIterator<Item = Skill>,
    rng: &mut fastrand::Rng,
) -> Agent {
    let skills: BTreeSet<Skill> = skills.into_iter().collect();
    let (name, capacity) = (AgentName::from(name), rng.u32(1..6));
    let card = Json(Bytes::from_static(b"{}"));
    let site = pick(members, rng).expect("a placement has members");
    let cost_micros = rng.choice([0, 1_000, 1_000_000]).unwrap_or_default();
    let spec = AgentSpec { name, skills, capacity, cost_micros, card, placement };
    Agent { spec, members, site, busy: 0 }
}
