//! Webhooks: clients that want to be told of tasks, and those who tell them what regions hand out.
//! Must not know how a region chooses whom to tell.

use std::collections::BTreeMap;
use std::time::Duration;

use photon_region::{AtHome, Command, Due, Reply, Secret, Stamped, TaskId, Went};

use photon_state::Hlc;

use crate::asked::Asked;
use crate::clock::{MS, SECOND};
use crate::promises::{Broken, Promise};
use crate::site::pick;
use crate::workload::{Crowd, Request, Stage, Turn};

/// A webhook of a task.
#[derive(Debug, Default)]
struct Hook {
    /// After which generation it is told, once that was promised.
    since: Option<u64>,
    /// Whether its client has asked for its removal: then nothing is promised any more.
    is_removed: bool,
    /// The events of which it was told, by their generations and times, and how often.
    told: BTreeMap<(u64, Hlc), u32>,
}

/// Somebody on his way to a webhook.
#[derive(Debug)]
struct Errand {
    site: usize,
    due: Due,
    /// What he has to report, once he has been there.
    result: Option<(u64, Went)>,
}

/// All webhooks, and all who tell them. A task has one webhook at the most.
#[derive(Debug, Default)]
pub(crate) struct Tellers {
    hooks: BTreeMap<TaskId, Hook>,
    errands: Vec<Errand>,
}

/// What is done about webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// A client adds one, with so many tries left.
    Set(TaskId, u32),
    /// A client removes one.
    Remove(TaskId),
    /// Somebody asks a site whom to tell.
    Take(usize),
    /// He looks up what there is to tell.
    Read(usize),
    /// He reports how it went.
    Report(usize),
}

impl Tellers {
    const TRIES_MAX: u32 = 40;
    /// How often a webhook is told the same at most: those who tell are lost, fail, or are late.
    const TIMES_MAX: u32 = 40;

    /// Gives those who tell their first turns.
    pub(crate) fn begin(stage: &mut Stage<'_>) -> Self {
        for site in 0..stage.sites.len() {
            stage.later(SECOND, Turn::Tell(Deed::Take(site)));
        }
        Self::default()
    }

    /// Lets a client want to be told of a task, if it is in the mood.
    pub(crate) fn born(&mut self, stage: &mut Stage<'_>, task: TaskId, rng: &mut fastrand::Rng) {
        if rng.u32(0..3) == 0 && !self.hooks.contains_key(&task) {
            self.hooks.insert(task, Hook::default());
            let deed = Deed::Set(task, Self::TRIES_MAX);
            stage.later(rng.u64(0..300 * MS), Turn::Tell(deed));
        }
    }

    pub(crate) fn act(
        &mut self,
        stage: &mut Stage<'_>,
        deed: Deed,
        rng: &mut fastrand::Rng,
    ) -> Option<Request> {
        let asked = Asked::Tell(deed);
        let (site, command) = match deed {
            Deed::Set(task, _) => {
                let Some(site) = Self::some_member(stage, task, rng) else {
                    Self::again(stage, deed, rng);
                    return None;
                };
                let target = Secret(format!("{{\"of\":\"{task}\"}}").into());
                let since = wants_all(task).then_some(1);
                let (id, credentials) = ("hook".into(), Secret::default());
                let set = AtHome::SetWebhook { task, id, target, credentials, since };
                (site, Command::AtHome(set))
            }
            Deed::Remove(task) => {
                let site = Self::some_member(stage, task, rng)?;
                self.hooks.get_mut(&task).expect("it was made").is_removed = true;
                (site, Command::AtHome(AtHome::RemoveWebhook { task, id: "hook".into() }))
            }
            Deed::Take(site) => {
                if stage.alive >> site & 1 == 0 {
                    Self::again(stage, deed, rng);
                    return None;
                }
                let wait = Duration::from_millis(rng.u64(0..2_000));
                (site, Command::TakeDue { limit: rng.usize(1..6), wait })
            }
            Deed::Read(errand) => {
                let Errand { site, due, .. } = &self.errands[errand];
                let (task, after, wait) = (due.task, due.after, Duration::ZERO);
                (*site, Command::Events { task, after, wait })
            }
            Deed::Report(errand) => {
                let Errand { site, due, result } = &self.errands[errand];
                let (upto, went) = result.expect("he has been there");
                let (task, id) = (due.task, due.webhook.id.clone());
                (*site, Command::Told { task, id, set: due.set, upto, went })
            }
        };
        Some(Request { site, command, asked })
    }

    fn some_member(stage: &Stage<'_>, task: TaskId, rng: &mut fastrand::Rng) -> Option<usize> {
        let members = stage.ledger.task(task).map_or(0, |it| it.members);
        pick(stage.alive & members, rng)
    }

    /// Takes in that there was no answer, or none of use: clients and those who wait try again.
    /// Whoever was on an errand has forgotten it.
    pub(crate) fn again(stage: &mut Stage<'_>, deed: Deed, rng: &mut fastrand::Rng) {
        let delay = rng.u64(50 * MS..700 * MS);
        match deed {
            Deed::Set(task, tries) => {
                if let Some(left) = tries.checked_sub(1) {
                    stage.later(delay, Turn::Tell(Deed::Set(task, left)));
                }
            }
            Deed::Take(_) => stage.later(delay, Turn::Tell(deed)),
            Deed::Remove(_) | Deed::Read(_) | Deed::Report(_) => {}
        }
    }

    /// Takes in that a webhook is there, and of which generation its task was then.
    pub(crate) fn was_set(
        &mut self,
        stage: &mut Stage<'_>,
        task: TaskId,
        generation: u64,
        rng: &mut fastrand::Rng,
    ) {
        let hook = self.hooks.get_mut(&task).expect("it was asked for");
        // If it was there before, it may be told of more than is promised.
        hook.since.get_or_insert(if wants_all(task) { 1 } else { generation });
        if rng.u32(0..8) == 0 {
            stage.later(rng.u64(0..4 * SECOND), Turn::Tell(Deed::Remove(task)));
        }
    }

    /// Takes in whom to tell.
    pub(crate) fn was_given(
        &mut self,
        stage: &mut Stage<'_>,
        site: usize,
        due: Vec<Due>,
        rng: &mut fastrand::Rng,
    ) -> Result<(), Broken> {
        let pause = if due.is_empty() { rng.u64(0..300 * MS) } else { 0 };
        stage.later(pause, Turn::Tell(Deed::Take(site)));
        for due in due {
            Promise::Contract.holds(self.hooks.contains_key(&due.task), || {
                format!("nobody wants to be told of task {}", due.task)
            })?;
            self.errands.push(Errand { site, due, result: None });
            let deed = Deed::Read(self.errands.len() - 1);
            stage.later(rng.u64(0..200 * MS), Turn::Tell(deed));
        }
        Ok(())
    }

    /// Tells a webhook what there is to tell, or as much of it as it takes.
    pub(crate) fn was_read(
        &mut self,
        stage: &mut Stage<'_>,
        errand: usize,
        events: &[Stamped],
        rng: &mut fastrand::Rng,
    ) -> Result<(), Broken> {
        let it = &mut self.errands[errand];
        let fails = !stage.is_calm && rng.u32(0..5) == 0;
        let count = if fails { rng.usize(0..=events.len()) } else { events.len() };
        let mut upto = it.due.after;
        let hook = self.hooks.get_mut(&it.due.task).expect("it was handed out");
        for stamped in &events[..count] {
            upto += 1;
            Promise::OneEnding.holds(stamped.generation == upto, || {
                let (task, shown) = (it.due.task, stamped.generation);
                format!("a webhook of task {task} is told of generation {shown}, not {upto}")
            })?;
            let times = hook.told.entry((upto, stamped.at)).or_default();
            *times += 1;
            Promise::Calm.holds(*times <= Self::TIMES_MAX, || {
                format!("a webhook of task {} is told of {upto} over and over", it.due.task)
            })?;
        }
        let went = match (fails, rng.u32(0..20)) {
            (true, _) => Went::Badly,
            (false, 0) => Went::Later,
            (false, _) => Went::Well,
        };
        it.result = Some((upto, went));
        stage.later(rng.u64(0..100 * MS), Turn::Tell(Deed::Report(errand)));
        Ok(())
    }

    /// Returns how many webhooks were told something.
    pub(crate) fn told(&self) -> u64 {
        self.hooks.values().filter(|it| !it.told.is_empty()).count() as u64
    }

    /// Every webhook was told of every event that came after it.
    pub(crate) fn check(&self, task: TaskId, events: &[Stamped]) -> Result<(), Broken> {
        let Some(hook) = self.hooks.get(&task).filter(|it| !it.is_removed) else { return Ok(()) };
        let Some(since) = hook.since else { return Ok(()) };
        let promised = events.iter().filter(|it| since < it.generation);
        let missed =
            promised.map(|it| (it.generation, it.at)).find(|it| !hook.told.contains_key(it));
        Promise::Acknowledged.holds(missed.is_none(), || {
            format!("the webhook of task {task} was never told of {missed:?}")
        })
    }
}

/// Whether the webhook of a task is told all, as if it had come with the task.
fn wants_all(task: TaskId) -> bool {
    task.to_bytes()[15] & 1 == 0
}

impl Crowd {
    /// Takes in an answer to whoever deals with webhooks.
    pub(crate) fn told(
        &mut self,
        stage: &mut Stage<'_>,
        here: usize,
        deed: Deed,
        reply: Reply,
    ) -> Result<(), Broken> {
        let (tellers, rng) = (&mut self.tellers, &mut self.rng);
        match (deed, reply) {
            (Deed::Set(task, _), Reply::Standing { state, generation }) => {
                tellers.was_set(stage, task, generation, rng);
                stage.ledger.standing(stage.sites, task, (state, generation))
            }
            (Deed::Remove(task), Reply::Standing { state, generation }) => {
                stage.ledger.standing(stage.sites, task, (state, generation))
            }
            (Deed::Take(_), Reply::Due(due)) => tellers.was_given(stage, here, due, rng),
            (Deed::Read(errand), Reply::Events { events, .. }) => {
                tellers.was_read(stage, errand, &events, rng)
            }
            (Deed::Report(_), Reply::Done) => Ok(()),
            (deed, reply) => {
                Err(Promise::Contract.broken(format!("{deed:?} was answered by {reply:?}")))
            }
        }
    }
}
