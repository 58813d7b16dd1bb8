//! The crowd: clients that submit, read, follow and cancel, and the agents that they ask.
//! Must not know how a region works, only what it may be asked and what it answers.

use std::sync::Arc;

use bytes::Bytes;
use photon_region::{
    Ack, Agent, AtHome, Command, Idempotency, Json, Refusal, Reply, Spec, TaskFilter, TaskId,
    TaskState,
};
use photon_state::PlacementId;

use crate::asked::Asked;
use crate::clock::{MS, Micros, SECOND};
use crate::faults::{Fault, Weather};
use crate::movers::Movers;
use crate::operator::operate;
use crate::planet::Event;
use crate::promises::{Broken, Ledger, Promise};
use crate::queue::Queue;
use crate::readers::{Follower, Lister};
use crate::records::Scribes;
use crate::redrives::Redrive;
use crate::site::{Atlas, Site, pick};
use crate::tellers::{self, Tellers};
use crate::timing::{draw_spread, draw_terms, draw_wants};
use crate::topics::{self, Topics};
use crate::worker::Fleet;

/// Somebody's turn to do something.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn {
    /// A client submits, or submits again.
    Submit(u32),
    /// A client looks at something, or calls something off.
    Browse,
    /// A client reads on in a task's events.
    Follow(u32),
    /// A client reads on in a list of all tasks.
    List(u32),
    /// An agent is registered.
    Enlist(u32),
    /// An agent asks for work.
    Poll(u32),
    /// A worker goes on with a task.
    Work(u32),
    /// A client answers what a worker asked under a generation, and has so many tries left.
    Answer(TaskId, u64, u32),
    /// A client asks again for what failed.
    Redrive(u32),
    /// A client writes or reads records.
    Scribe(u32),
    /// A client writes, reads or moves a record.
    Mover(u32),
    /// The operator of an agent has an idea.
    Wander,
    /// The operator of the planet has an idea.
    Operate(u32),
    /// A client wants to be told of a task, or somebody tells one.
    Tell(tellers::Deed),
    /// Somebody publishes, or reads a topic.
    Topic(topics::Deed),
}

/// Whether a submission is repeated as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Same,
    Other,
}

/// A command for a region.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) site: usize,
    pub(crate) command: Command,
    pub(crate) asked: Asked,
}

/// What the crowd sees of the world when it is somebody's turn.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    pub(crate) now: Micros,
    pub(crate) queue: &'a mut Queue<Event>,
    pub(crate) atlas: &'a Atlas,
    pub(crate) sites: &'a [Site],
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) weather: &'a Weather,
    pub(crate) alive: u32,
    pub(crate) is_calm: bool,
}

impl Stage<'_> {
    pub(crate) fn later(&mut self, delay: Micros, turn: Turn) {
        self.queue.put(self.now + delay, Event::Turn(turn));
    }
}

/// Something that a client wants done, once.
#[derive(Debug)]
pub(crate) struct Submission {
    site: usize,
    pub(crate) spec: Spec,
    task: Option<TaskId>,
    tries: u32,
    /// Whether the client has its answer, or has given up.
    pub(crate) is_over: bool,
    wants_repeat: bool,
    /// Whether the client turned to another region, so that both may have made a task.
    has_moved: bool,
}

/// All clients, agents and workers.
#[derive(Debug)]
pub(crate) struct Crowd {
    pub(crate) rng: fastrand::Rng,
    pub(crate) submissions: Vec<Submission>,
    pub(crate) followers: Vec<Follower>,
    pub(crate) listers: Vec<Lister>,
    pub(crate) fleet: Fleet,
    pub(crate) scribes: Scribes,
    pub(crate) movers: Movers,
    pub(crate) tellers: Tellers,
    pub(crate) topics: Topics,
    pub(crate) redrives: Vec<Redrive>,
    pub(crate) tasks: Vec<TaskId>,
    /// Until when clients have new ideas.
    until: Micros,
}

impl Crowd {
    /// How often a submission is tried; then the client gives up.
    const TRIES_MAX: u32 = 60;

    /// Draws a crowd and gives everybody a first turn.
    pub(crate) fn draw(
        stage: &mut Stage<'_>,
        count: u32,
        until: Micros,
        mut rng: fastrand::Rng,
    ) -> Self {
        let fleet = Fleet::draw(stage, &mut rng);
        let scribes = Scribes::draw(stage, until, &mut rng);
        let movers = Movers::draw(stage, until, &mut rng);
        let tellers = Tellers::begin(stage);
        let topics = Topics::draw(stage, until, &mut rng);
        let mut crowd = Self {
            scribes,
            movers,
            tellers,
            topics,
            rng,
            submissions: Vec::new(),
            followers: Vec::new(),
            listers: Vec::new(),
            fleet,
            redrives: Vec::new(),
            tasks: Vec::new(),
            until,
        };
        for index in 0..count {
            let submission = crowd.draw_submission(stage, index);
            crowd.submissions.push(submission);
            let at = crowd.rng.u64(100 * MS..until);
            stage.later(at, Turn::Submit(index));
        }
        for _ in 0..2 {
            stage.later(crowd.rng.u64(0..SECOND), Turn::Browse);
        }
        stage.later(SECOND, Turn::Wander);
        crowd
    }

    fn draw_submission(&mut self, stage: &Stage<'_>, index: u32) -> Submission {
        let rng = &mut self.rng;
        let (placement, members) =
            stage.atlas.placements[rng.usize(0..stage.atlas.placements.len())];
        let outside = rng.u32(0..50) == 0;
        let members = if outside { u32::MAX >> (32 - stage.sites.len()) } else { members };
        let site = pick(members, rng).expect("a placement has members");
        let target = self.fleet.draw_target(placement, rng);
        let padding = match rng.u32(0..12) {
            0 => rng.usize(0..3_000),
            1.. if stage.weather.strikes(Fault::Bulk, 1.0, rng) => rng.usize(0..900_000),
            1.. => rng.usize(0..40),
        };
        let text = format!("{{\"n\":{index},\"x\":\"{}\"}}", "x".repeat(padding));
        let mut digest = [0; 16];
        digest[..4].copy_from_slice(&index.to_le_bytes());
        let key =
            (rng.u32(0..3) != 0).then(|| Idempotency { key: format!("k{index}").into(), digest });
        let skills = (&self.fleet.skills[..], matches!(target, photon_region::Target::Skill(_)));
        let terms = draw_wants(draw_terms(rng), skills, &stage.atlas.ids, rng);
        let terms = draw_spread(terms, &target, rng);
        let spec = Spec {
            target,
            placement,
            message: Json(text.into()),
            context: format!("c{}", index % 7).into(),
            idempotency: key,
            ack: if rng.bool() { Ack::Region } else { Ack::Quorum },
            terms: terms.map(Arc::new),
        };
        let wants_repeat = rng.u32(0..3) == 0;
        Submission {
            site,
            spec,
            task: None,
            tries: 0,
            is_over: false,
            wants_repeat,
            has_moved: false,
        }
    }

    /// Lets somebody do something.
    pub(crate) fn turn(&mut self, stage: &mut Stage<'_>, turn: Turn) -> Option<Request> {
        match turn {
            Turn::Submit(index) => self.submit(stage, index),
            Turn::Browse => self.browse(stage),
            Turn::Follow(index) => self.follow(stage, index),
            Turn::List(index) => self.list(stage, index),
            Turn::Enlist(index) => self.fleet.enlist(stage, index, &mut self.rng),
            Turn::Poll(index) => self.fleet.poll(stage, index, &mut self.rng),
            Turn::Work(index) => self.fleet.work(stage, index, &mut self.rng),
            Turn::Answer(task, asked, tries) => self.answer(stage, (task, asked), tries),
            Turn::Redrive(index) => self.redrive(stage, index),
            Turn::Scribe(index) => self.scribes.act(stage, index, &mut self.rng),
            Turn::Mover(index) => self.movers.act(stage, index, &mut self.rng),
            Turn::Operate(round) => operate(stage, round, &mut self.rng),
            Turn::Tell(deed) => self.tellers.act(stage, deed, &mut self.rng),
            Turn::Topic(deed) => self.topics.act(stage, deed, &mut self.rng),
            Turn::Wander => {
                if !stage.is_calm {
                    stage.later(self.rng.u64(100 * MS..SECOND), Turn::Wander);
                }
                self.fleet.wander(stage, &mut self.rng)
            }
        }
    }

    fn submit(&mut self, stage: &mut Stage<'_>, index: u32) -> Option<Request> {
        let submission = &mut self.submissions[index as usize];
        submission.tries += 1;
        if Self::TRIES_MAX < submission.tries {
            submission.is_over = true;
            return None;
        }
        let site = submission.site;
        if stage.alive >> site & 1 == 0 {
            let members = stage.atlas.members(submission.spec.placement);
            if let Some(other) = pick(stage.alive & members, &mut self.rng)
                && submission.task.is_none()
                && self.rng.u32(0..4) == 0
            {
                (submission.site, submission.has_moved) = (other, true);
            }
            stage.later(self.rng.u64(100 * MS..800 * MS), Turn::Submit(index));
            return None;
        }
        let mut spec = submission.spec.clone();
        let mut body = Body::Same;
        if submission.task.is_some() && self.rng.bool() {
            let key = spec.idempotency.as_mut().expect("only those with a key are repeated");
            key.digest[15] ^= 0xff;
            spec.message = Json(Bytes::from_static(b"{\"other\":true}"));
            body = Body::Other;
        }
        Some(Request { site, command: Command::Submit(spec), asked: Asked::Submit(index, body) })
    }

    fn browse(&mut self, stage: &mut Stage<'_>) -> Option<Request> {
        if stage.is_calm || self.until < stage.now {
            return None;
        }
        stage.later(self.rng.u64(2 * MS..200 * MS), Turn::Browse);
        let site = pick(stage.alive, &mut self.rng)?;
        let task =
            (!self.tasks.is_empty()).then(|| self.tasks[self.rng.usize(0..self.tasks.len())]);
        let (command, asked) = match (self.rng.u32(0..10), task) {
            (0..=2, Some(task)) => (Command::Task(task), Asked::Look),
            (3, Some(task)) => {
                let message = self.rng.bool().then(|| Json(Bytes::from_static(b"{}")));
                (Command::AtHome(AtHome::Cancel { task, message }), Asked::Cancel(task))
            }
            (4 | 5, Some(task)) => {
                self.begin_following(stage, task, site, false);
                return None;
            }
            (6, _) => {
                let (skill, region, after) = (None, None, None);
                (Command::Agents { skill, region, after, limit: 8 }, Asked::LookAround)
            }
            (7, _) => (
                Command::Agent(self.fleet.some_agent(&mut self.rng).spec.name.clone()),
                Asked::LookAround,
            ),
            (0..=5 | 8.., _) => {
                let state = [None, Some(TaskState::Working)][self.rng.usize(0..2)];
                let context: Option<Arc<str>> = self.rng.bool().then(|| "c3".into());
                let is_dead = state.is_none() && self.rng.u32(0..4) == 0;
                let filter = TaskFilter { state, context, is_dead, ..TaskFilter::default() };
                let asked = if is_dead { Asked::Dead } else { Asked::LookAround };
                (Command::Tasks { filter, before: None, limit: 5 }, asked)
            }
        };
        Some(Request { site, command, asked })
    }

    /// Takes in that there will be no reply: the region died, or the client went away.
    pub(crate) fn lost(&mut self, stage: &mut Stage<'_>, asked: &Asked) {
        let delay = self.rng.u64(50 * MS..700 * MS);
        match asked {
            Asked::Submit(index, _) => stage.later(delay, Turn::Submit(*index)),
            Asked::Follow(index) => stage.later(delay, Turn::Follow(*index)),
            Asked::List(index) => stage.later(delay, Turn::List(*index)),
            Asked::Enlist(index) => stage.later(delay, Turn::Enlist(*index)),
            Asked::Poll(index) => stage.later(delay, Turn::Poll(*index)),
            Asked::Work(asking) => stage.later(delay, Turn::Work(asking.job)),
            Asked::Scribe(index, step) => self.scribes.lost(stage, *index, step, delay),
            Asked::Mover(index, deed) => self.movers.lost(stage, *index, *deed, delay),
            Asked::Answer(task, asked, tries) => {
                self.answer_again(stage, (*task, *asked), *tries);
            }
            Asked::Tell(deed) => Tellers::again(stage, *deed, &mut self.rng),
            Asked::Topic(deed) => Topics::again(stage, *deed, &mut self.rng),
            Asked::Redrive(index) => self.redrive_again(stage, *index),
            Asked::Look
            | Asked::LookAround
            | Asked::Dead
            | Asked::Cancel(_)
            | Asked::Retire
            | Asked::Operate => {}
        }
    }

    /// Takes in a reply, which must fit what was asked.
    pub(crate) fn replied(
        &mut self,
        stage: &mut Stage<'_>,
        here: usize,
        asked: Asked,
        reply: Result<Reply, Refusal>,
    ) -> Result<(), Broken> {
        let reply = match reply {
            Ok(reply) => reply,
            Err(refusal) => return self.refused(stage, here, &asked, &refusal),
        };
        match (asked, reply) {
            (Asked::Submit(index, body), Reply::Submitted { task, repeated }) => {
                stage.ledger.summary(stage.atlas, stage.sites, here, &task)?;
                self.submitted(stage, here, (index, body), (task.id, repeated))
            }
            (Asked::Look, Reply::Task(detail)) => {
                stage.ledger.detail(stage.atlas, stage.sites, &detail)
            }
            (Asked::LookAround, Reply::Agents { agents, .. }) => {
                agents.iter().try_for_each(|it| check_agent(stage, here, it.spec.placement))
            }
            (Asked::LookAround, Reply::Agent(it)) => check_agent(stage, here, it.spec.placement),
            (Asked::LookAround, Reply::Tasks { tasks, .. }) => {
                self.saw_tasks(stage, here, &tasks).map(|_| ())
            }
            (Asked::Dead, Reply::Tasks { tasks, .. }) => self.saw_dead(stage, here, &tasks),
            (Asked::Redrive(index), Reply::Standing { state, generation }) => {
                self.redrove(stage, index, (state, generation))
            }
            (Asked::List(index), Reply::Tasks { tasks, more }) => {
                self.listed(stage, (here, index), &tasks, more)
            }
            (Asked::Follow(index), Reply::Events { events, state, .. }) => {
                self.followed(stage, index, events, state)
            }
            (Asked::Cancel(task), Reply::Standing { state, generation }) => {
                Promise::OneEnding.holds(state == TaskState::Canceled, || {
                    format!("task {task} was called off, and is {state:?}")
                })?;
                stage.ledger.standing(stage.sites, task, (state, generation))
            }
            (Asked::Answer(task, asked, _), Reply::Standing { state, generation }) => {
                stage.ledger.answered(task, asked);
                stage.ledger.standing(stage.sites, task, (state, generation))
            }
            (Asked::Retire, Reply::Done) | (Asked::Operate, Reply::Planet(_)) => Ok(()),
            (Asked::Enlist(index), Reply::Agent(agent)) => {
                self.fleet.enlisted(stage, here, index);
                check_registered(stage, here, &agent)
            }
            (Asked::Poll(index), Reply::Leases(leases)) => {
                self.fleet.leased(stage, here, index, leases, &mut self.rng)
            }
            (Asked::Work(asking), Reply::Standing { state, generation }) => {
                self.fleet.stands(stage, asking, (state, generation), &mut self.rng)
            }
            (Asked::Scribe(index, step), Reply::Data(reply)) => {
                self.scribes.heard(stage, here, (index, &step), &reply, &mut self.rng)
            }
            (Asked::Mover(index, deed), Reply::Data(reply)) => {
                self.movers.heard(stage, here, (index, deed), &reply, &mut self.rng)
            }
            (Asked::Topic(deed), reply) => self.heard_of_topic(stage, deed, reply),
            (Asked::Tell(deed), reply) => self.told(stage, here, deed, reply),
            (asked, reply) => {
                Err(Promise::Contract.broken(format!("{asked:?} was answered by {reply:?}")))
            }
        }
    }

    fn submitted(
        &mut self,
        stage: &mut Stage<'_>,
        here: usize,
        (index, body): (u32, Body),
        (task, repeated): (TaskId, bool),
    ) -> Result<(), Broken> {
        stage.ledger.acked(task, here);
        if self.submissions[index as usize].spec.ack == Ack::Quorum {
            stage.ledger.is_at_quorum(stage.sites, task)?;
        }
        let submission = &mut self.submissions[index as usize];
        let is_first = submission.task.is_none();
        let before = *submission.task.get_or_insert(task);
        submission.is_over = true;
        // Two regions may have taken a key before they heard of each other.
        let born = |id| stage.sites.iter().find_map(|it| it.disk.birthplace(id));
        let is_alone = !submission.has_moved && born(before) == born(task);
        if stage.ledger.is_strict() && is_alone {
            Promise::OneEnding.holds(body == Body::Same, || {
                format!("the key of task {before} was taken for another body")
            })?;
            Promise::OneEnding.holds(before == task && (is_first || repeated), || {
                format!("a repeated submission of task {before} made task {task}")
            })?;
        }
        if is_first {
            self.tellers.born(stage, task, &mut self.rng);
            self.tasks.push(task);
        }
        if submission.wants_repeat && submission.spec.idempotency.is_some() && !stage.is_calm {
            submission.wants_repeat = self.rng.u32(0..3) == 0;
            stage.later(self.rng.u64(10 * MS..4 * SECOND), Turn::Submit(index));
        }
        Ok(())
    }

    /// Whether every client has its answer or has given up, and no worker is busy.
    pub(crate) fn is_idle(&self) -> bool {
        self.submissions.iter().all(|it| it.is_over)
            && self.redrives.iter().all(|it| it.is_over)
            && self.fleet.is_idle()
            && self.scribes.is_idle()
            && self.movers.is_idle()
            && self.topics.are_published()
    }

    /// Returns how many tasks clients were promised.
    pub(crate) fn promised(&self) -> usize {
        self.tasks.len()
    }
}

fn check_registered(stage: &Stage<'_>, here: usize, agent: &Agent) -> Result<(), Broken> {
    let is_durable = stage.sites[here].disk.has_synced_at(agent.at);
    Promise::Acknowledged.holds(is_durable || !stage.ledger.is_strict(), || {
        format!("agent {} was registered before it was durable", agent.spec.name)
    })
}

fn check_agent(stage: &Stage<'_>, here: usize, placement: PlacementId) -> Result<(), Broken> {
    Promise::Residency.holds(stage.atlas.may_hold(placement, here), || {
        format!("{} showed an agent of {placement}", stage.atlas.ids[here])
    })
}
