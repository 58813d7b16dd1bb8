//! Clients that ask again for tasks that failed.
//! Must not know how a region keeps its dead letters.

use std::sync::Arc;

use photon_region::{
    AtHome, Command, Refusal, Spec, TaskId, TaskState, TaskSummary, Terms, redriven,
};

use crate::asked::Asked;
use crate::clock::{MS, SECOND};
use crate::gathering::is_spread;
use crate::promises::{Broken, Promise};
use crate::site::pick;
use crate::workload::{Crowd, Request, Stage, Turn};

/// A task that is asked for again.
#[derive(Debug)]
pub(crate) struct Redrive {
    task: TaskId,
    spec: Spec,
    tries: u32,
    /// Whether the client has its answer, or has given up.
    pub(crate) is_over: bool,
}

impl Crowd {
    /// How often a client asks for the same; then it gives up.
    const REDRIVES_MAX: u32 = 20;

    /// Checks a list of tasks that failed, and wants one of them again.
    pub(crate) fn saw_dead(
        &mut self,
        stage: &mut Stage<'_>,
        here: usize,
        tasks: &[TaskSummary],
    ) -> Result<(), Broken> {
        self.saw_tasks(stage, here, tasks)?;
        let alive = tasks.iter().find(|it| it.state != TaskState::Failed);
        Promise::Contract.holds(alive.is_none(), || {
            format!("{} took {alive:?} for a dead letter", stage.atlas.ids[here])
        })?;
        if tasks.is_empty() || stage.is_calm {
            return Ok(());
        }
        let TaskSummary { id, changed, spec, .. } = &tasks[self.rng.usize(0..tasks.len())];
        let whole = |it: &Terms| Arc::new(Terms { part_of: None, ..it.clone() });
        let terms = spec.terms.as_deref().map(whole);
        let spec = Spec { idempotency: None, terms, ..spec.clone() };
        let index = u32::try_from(self.redrives.len()).expect("fewer than 2^32 redrives");
        let task = redriven(*id, *changed);
        self.redrives.push(Redrive { task, spec, tries: 0, is_over: false });
        stage.later(self.rng.u64(0..SECOND), Turn::Redrive(index));
        // Another client may want the same.
        if self.rng.u32(0..4) == 0 {
            stage.later(self.rng.u64(0..2 * SECOND), Turn::Redrive(index));
        }
        Ok(())
    }

    /// Asks for a task again.
    pub(crate) fn redrive(&mut self, stage: &mut Stage<'_>, index: u32) -> Option<Request> {
        let redrive = &mut self.redrives[index as usize];
        redrive.tries += 1;
        if Self::REDRIVES_MAX < redrive.tries {
            redrive.is_over = true;
            return None;
        }
        let (task, members) = (redrive.task, stage.atlas.members(redrive.spec.placement));
        let spec = Box::new(redrive.spec.clone());
        let Some(site) = pick(stage.alive & members, &mut self.rng) else {
            self.redrive_again(stage, index);
            return None;
        };
        let command = Command::AtHome(AtHome::Submit { task, spec });
        Some(Request { site, command, asked: Asked::Redrive(index) })
    }

    pub(crate) fn redrive_again(&mut self, stage: &mut Stage<'_>, index: u32) {
        stage.later(self.rng.u64(50 * MS..700 * MS), Turn::Redrive(index));
    }

    /// Takes in that a task is there again: it is durable, and ends as others do.
    pub(crate) fn redrove(
        &mut self,
        stage: &mut Stage<'_>,
        index: u32,
        standing: (TaskState, u64),
    ) -> Result<(), Broken> {
        let Redrive { task, spec, is_over, .. } = &mut self.redrives[index as usize];
        let known = stage.ledger.learn(*task, stage.atlas.members(spec.placement));
        known.is_spread |= spec.terms.as_deref().is_some_and(is_spread);
        *is_over = true;
        if !self.tasks.contains(task) {
            self.tasks.push(*task);
        }
        stage.ledger.standing(stage.sites, *task, standing)
    }

    /// Takes in that a task is not there again, yet or ever.
    pub(crate) fn redrive_refused(&mut self, stage: &mut Stage<'_>, index: u32, refusal: &Refusal) {
        if matches!(refusal, Refusal::TooLarge { .. }) {
            self.redrives[index as usize].is_over = true;
        } else {
            self.redrive_again(stage, index);
        }
    }

    /// Returns how many tasks are there again.
    pub(crate) fn redriven(&self) -> u64 {
        self.redrives.iter().filter(|it| it.is_over && it.tries <= Self::REDRIVES_MAX).count()
            as u64
    }
}
