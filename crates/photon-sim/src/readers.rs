//! Clients that read on: the events of one task until its end, the list of all tasks.
//! Must not change anything.

use std::time::Duration;

use photon_region::{Command, Stamped, TaskFilter, TaskId, TaskState, TaskSummary};

use crate::asked::Asked;
use crate::clock::MS;
use crate::promises::{Broken, Promise};
use crate::site::pick;
use crate::workload::{Crowd, Request, Stage, Turn};

/// A client that reads the events of a task until its end.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) task: TaskId,
    pub(crate) site: usize,
    events: Vec<Stamped>,
    after: u64,
    /// Whether it belongs to the audit at the end, which must get all it asks for.
    pub(crate) is_audit: bool,
    pub(crate) is_over: bool,
}

/// A client that reads the list of all tasks.
#[derive(Debug)]
pub(crate) struct Lister {
    site: usize,
    before: Option<TaskId>,
    is_over: bool,
}

impl Crowd {
    /// Tasks asked for at a time in a list.
    const PAGE: usize = 40;

    /// Begins to read the events of a task.
    pub(crate) fn begin_following(
        &mut self,
        stage: &mut Stage<'_>,
        task: TaskId,
        site: usize,
        is_audit: bool,
    ) {
        let index = u32::try_from(self.followers.len()).expect("fewer than 2^32 followers");
        let (events, after, is_over) = (Vec::new(), 0, false);
        self.followers.push(Follower { task, site, events, after, is_audit, is_over });
        stage.later(0, Turn::Follow(index));
    }

    /// Asks for the next events of a task.
    pub(crate) fn follow(&mut self, stage: &mut Stage<'_>, index: u32) -> Option<Request> {
        let follower = &mut self.followers[index as usize];
        if stage.is_calm && !follower.is_audit {
            return None;
        }
        if stage.alive >> follower.site & 1 == 0 {
            follower.site = pick(stage.alive, &mut self.rng)?;
        }
        let (task, after, site) = (follower.task, follower.after, follower.site);
        let wait = if follower.is_audit { 0 } else { self.rng.u64(0..3_000) };
        let command = Command::Events { task, after, wait: Duration::from_millis(wait) };
        Some(Request { site, command, asked: Asked::Follow(index) })
    }

    /// Asks for the next page of all tasks.
    pub(crate) fn list(&mut self, _: &mut Stage<'_>, index: u32) -> Option<Request> {
        let lister = &self.listers[index as usize];
        let (filter, before, limit) = (TaskFilter::default(), lister.before, Self::PAGE);
        let command = Command::Tasks { filter, before, limit };
        Some(Request { site: lister.site, command, asked: Asked::List(index) })
    }

    /// Checks a list of tasks and returns the last of it.
    pub(crate) fn saw_tasks(
        &mut self,
        stage: &mut Stage<'_>,
        here: usize,
        tasks: &[TaskSummary],
    ) -> Result<Option<TaskId>, Broken> {
        let is_sorted = tasks.is_sorted_by(|a, b| b.id < a.id);
        Promise::Contract.holds(is_sorted, || "a list of tasks is out of order".to_owned())?;
        for task in tasks {
            stage.ledger.summary(stage.atlas, stage.sites, here, task)?;
        }
        Ok(tasks.last().map(|it| it.id))
    }

    /// Takes in a page of a list of all tasks.
    pub(crate) fn listed(
        &mut self,
        stage: &mut Stage<'_>,
        (here, index): (usize, u32),
        tasks: &[TaskSummary],
        more: bool,
    ) -> Result<(), Broken> {
        let last = self.saw_tasks(stage, here, tasks)?;
        let lister = &mut self.listers[index as usize];
        lister.before = last;
        lister.is_over = !more || last.is_none();
        if !lister.is_over {
            stage.later(0, Turn::List(index));
        }
        Ok(())
    }

    /// Takes in events: they go on where the reader stood.
    pub(crate) fn followed(
        &mut self,
        stage: &mut Stage<'_>,
        index: u32,
        events: Vec<Stamped>,
        state: TaskState,
    ) -> Result<(), Broken> {
        let follower = &mut self.followers[index as usize];
        let task = follower.task;
        for stamped in &events {
            follower.after += 1;
            Promise::OneEnding.holds(stamped.generation == follower.after, || {
                let (due, shown) = (follower.after, stamped.generation);
                format!("a follower of task {task} was shown generation {shown} when {due} was due")
            })?;
            stage.ledger.event(stage.sites, task, stamped)?;
        }
        let is_at_end = events.is_empty() && follower.is_audit;
        if follower.is_audit {
            follower.events.extend(events);
        }
        if state.is_terminal() {
            stage.ledger.ended(stage.sites, task, state)?;
        }
        if is_at_end || state.is_terminal() && !follower.is_audit {
            follower.is_over = true;
            return Ok(());
        }
        let delay = if follower.is_audit { 0 } else { self.rng.u64(0..300 * MS) };
        stage.later(delay, Turn::Follow(index));
        Ok(())
    }

    /// Begins to list all tasks in every region.
    pub(crate) fn begin_lists(&mut self, stage: &mut Stage<'_>) {
        for site in 0..stage.sites.len() {
            let index = u32::try_from(self.listers.len()).expect("one lister for each site");
            self.listers.push(Lister { site, before: None, is_over: false });
            stage.later(0, Turn::List(index));
        }
    }

    /// Whether all lists have been read.
    pub(crate) fn lists_are_read(&self) -> bool {
        self.listers.iter().all(|it| it.is_over)
    }

    /// Begins to read every task's events in every region that may hold it.
    pub(crate) fn begin_audit(&mut self, stage: &mut Stage<'_>) {
        let tasks: Vec<(TaskId, u32)> =
            stage.ledger.tasks().map(|(id, known)| (id, known.members)).collect();
        for (task, members) in tasks {
            for site in (0..stage.sites.len()).filter(|it| members >> it & 1 == 1) {
                self.begin_following(stage, task, site, true);
            }
        }
    }

    /// Whether all events have been read.
    pub(crate) fn audit_is_over(&self) -> bool {
        self.followers.iter().all(|it| it.is_over || !it.is_audit)
    }

    /// Returns what the audit read: each task, where, with all its events.
    pub(crate) fn audited(&self) -> impl Iterator<Item = (TaskId, usize, &[Stamped])> {
        let audits = self.followers.iter().filter(|it| it.is_audit);
        audits.map(|it| (it.task, it.site, &it.events[..]))
    }
}
