//! What only looks: a task, its events, lists.
//! Must not change anything.

use std::collections::BTreeSet;
use std::time::Duration;

use photon_state::Entry;

use crate::artifacts::Artifacts;
use crate::codec::decode_event;
use crate::contract::{Reply, Stamped, TaskDetail, TaskFilter, TaskSummary, Ticket};
use crate::desk::Bell;
use crate::elsewhere::Look;
use crate::region::Region;
use crate::task::{Checkpoint, Event, Json, Note, Skill, Spec, Target, TaskId};
use crate::tasks::{Task, task_record};
use crate::verdict::{Patience, Verdict};

impl Region {
    /// Events in one reply; the client asks for the rest.
    const EVENTS_MAX: usize = 256;
    /// Bytes of events in one reply, short of one event that is larger.
    const EVENT_BYTES_MAX: usize = 1 << 20;

    /// Returns what was asked, as the first entry of the task's log has it.
    pub(crate) fn spec(&self, id: TaskId) -> Spec {
        let task = self.tasks.get(id).expect("only tasks in memory are asked for");
        let log = self.store.log(&task_record(task.placement, id));
        let first = log.and_then(|log| log.after(0).first()).expect("a task has a first entry");
        match decode_event(&first.bytes) {
            Ok(Event::Submitted(spec)) => spec,
            other => unreachable!("a task's log begins with its submission, not {other:?}"),
        }
    }

    pub(crate) fn show_task(&mut self, ticket: Ticket, id: TaskId, patience: Patience) -> Verdict {
        if let Err(refusal) = self.check_looker(ticket, id) {
            return refusal.into();
        }
        let Some(task) = self.tasks.get(id) else {
            return self.look_elsewhere(ticket, Look::Show(id), patience);
        };
        let mut detail = TaskDetail {
            summary: self.summary(id, task),
            artifacts: Vec::new(),
            message: None,
            turns: self.turns(id, task),
            staleness: self.staleness_of_task(id, task.placement),
        };
        let mut artifacts = Artifacts::default();
        for Stamped { event, .. } in self.events(id, task, 0) {
            artifacts.take(&event);
            match event {
                Event::Submitted(_)
                | Event::Claimed { .. }
                | Event::Requeued { message: None, .. }
                | Event::Noted { note: Note::Artifact(_) | Note::Checkpoint(_), .. } => {}
                Event::Requeued { message, .. } => detail.message = message,
                Event::Answered { .. } => detail.message = None,
                Event::Noted { note: Note::Status(message), .. } => detail.message = Some(message),
                Event::Paused { message, .. } | Event::Ended { message, .. } => {
                    detail.message = message;
                }
            }
        }
        detail.artifacts = artifacts.into_all();
        Verdict::Reply(task.append, Ok(Reply::Task(Box::new(detail))))
    }

    pub(crate) fn show_events(
        &mut self,
        ticket: Ticket,
        (id, after, wait): (TaskId, u64, Duration),
        patience: Patience,
    ) -> Verdict {
        if let Err(refusal) = self.check_looker(ticket, id) {
            return refusal.into();
        }
        let Some(task) = self.tasks.get(id) else {
            let look = Look::Follow { task: id, after, wait };
            return self.look_elsewhere(ticket, look, patience);
        };
        let mut bytes = 0;
        let log = self.store.log(&task_record(task.placement, id));
        let fits = |entry: &&Entry| {
            let is_first = bytes == 0;
            bytes += entry.bytes.len();
            is_first || bytes <= Self::EVENT_BYTES_MAX
        };
        let entries = log.map_or(&[][..], |log| log.after(after));
        let count = entries.iter().take(Self::EVENTS_MAX).take_while(fits).count();
        let events: Vec<Stamped> = self.events(id, task, after).take(count).collect();
        let until = patience.until(self.now, wait);
        if events.is_empty() && !task.state.is_terminal() && self.now.mono < until {
            return Verdict::Wait(Bell::Task(id), until);
        }
        let staleness = self.staleness_of_task(id, task.placement);
        let reply = Reply::Events { events, state: task.state, staleness };
        Verdict::Reply(task.append, Ok(reply))
    }

    /// Returns what workers asked of the client, and what that answered, in order.
    pub(crate) fn turns(&self, id: TaskId, task: &Task) -> Vec<Json> {
        if task.paused_at == 0 {
            return Vec::new(); // Few tasks have any.
        }
        let said = |it: Stamped| match it.event {
            Event::Paused { message, .. } => message,
            Event::Answered { message, .. } => Some(message),
            Event::Submitted(_)
            | Event::Claimed { .. }
            | Event::Noted { .. }
            | Event::Requeued { .. }
            | Event::Ended { .. } => None,
        };
        self.events(id, task, 0).filter_map(said).collect()
    }

    /// Returns what workers have done of a task, in order: of each key the first.
    pub(crate) fn checkpoints(&self, id: TaskId, task: &Task) -> Vec<Checkpoint> {
        if !task.has_checkpoints {
            return Vec::new(); // Few tasks have any.
        }
        let mut keys = BTreeSet::new();
        let is_first = |it: Stamped| match it.event {
            Event::Noted { note: Note::Checkpoint(it), .. } => {
                keys.insert(it.key.clone()).then_some(it)
            }
            Event::Submitted(_)
            | Event::Claimed { .. }
            | Event::Noted { note: Note::Status(_) | Note::Artifact(_), .. }
            | Event::Requeued { .. }
            | Event::Paused { .. }
            | Event::Answered { .. }
            | Event::Ended { .. } => None,
        };
        self.events(id, task, 0).filter_map(is_first).collect()
    }

    pub(crate) fn events<'a>(
        &'a self,
        id: TaskId,
        task: &Task,
        after: u64,
    ) -> impl Iterator<Item = Stamped> + 'a {
        let log = self.store.log(&task_record(task.placement, id));
        let entries = log.map_or(&[][..], |log| log.after(after));
        (after.saturating_add(1)..).zip(entries).map(|(generation, entry)| {
            let event = decode_event(&entry.bytes)
                .expect("it was decoded, or encoded here, when it was applied");
            Stamped { generation, at: entry.at, event }
        })
    }

    pub(crate) fn list_tasks(
        &self,
        filter: &TaskFilter,
        before: Option<TaskId>,
        limit: usize,
    ) -> Verdict {
        let fits = |task: &Task| {
            let by_agent = |agent| {
                let worker = task.worker.as_ref().map(|(name, _)| name);
                worker == Some(agent) || task.target == Target::Agent(agent.clone())
            };
            let of_skill = |skill| task.target == Target::Skill(Skill::clone(skill));
            filter.state.is_none_or(|state| task.state == state)
                && filter.agent.as_ref().is_none_or(by_agent)
                && filter.skill.as_ref().is_none_or(of_skill)
        };
        let context = filter.context.as_ref();
        let older = match filter.is_dead {
            true => self.tasks.dead(before, context),
            false => self.tasks.older(before, context),
        };
        let mut found = older.filter(|(_, task)| fits(task));
        let page: Vec<_> = found.by_ref().take(limit).collect();
        let more = found.next().is_some();
        let append = page.iter().map(|(_, task)| task.append).max().unwrap_or(0);
        let tasks = page.into_iter().map(|(id, task)| self.summary(id, task)).collect();
        Verdict::Reply(append, Ok(Reply::Tasks { tasks, more }))
    }

    fn summary(&self, id: TaskId, task: &Task) -> TaskSummary {
        task.summary(id, self.spec(id), self.home_of_task(id, task.placement))
    }
}
