//! When something is due of which tasks, by the wall clock.
//! Must not know what is due.

use std::collections::{BTreeMap, BTreeSet};

use crate::task::TaskId;

/// A time in milliseconds for each of some tasks.
#[derive(Debug, Default)]
pub(super) struct Timers {
    by_task: BTreeMap<TaskId, u64>,
    by_time: BTreeSet<(u64, TaskId)>,
}

impl Timers {
    /// Sets the time of a task, instead of any that it had.
    pub(super) fn set(&mut self, id: TaskId, at_ms: u64) {
        self.clear(id);
        self.by_task.insert(id, at_ms);
        self.by_time.insert((at_ms, id));
    }

    /// Forgets the time of a task.
    pub(super) fn clear(&mut self, id: TaskId) {
        if let Some(at_ms) = self.by_task.remove(&id) {
            self.by_time.remove(&(at_ms, id));
        }
    }

    pub(super) fn contains(&self, id: TaskId) -> bool {
        self.by_task.contains_key(&id)
    }

    pub(super) fn first(&self) -> Option<(u64, TaskId)> {
        self.by_time.first().copied()
    }

    /// Returns the first task whose time has come.
    pub(super) fn due(&self, now_ms: u64) -> Option<TaskId> {
        self.first().filter(|(at_ms, _)| *at_ms <= now_ms).map(|(_, id)| id)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.by_task.keys().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.by_task.len()
    }
}
