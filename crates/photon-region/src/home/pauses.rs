//! Tasks that wait for their clients: a worker asks, the client answers, an agent goes on.
//! Must not know how a question reaches the client.

use std::sync::Arc;

use photon_state::{Entry, Log};

use super::{Last, check_size};
use crate::codec::decode_event;
use crate::contract::Disk;
use crate::refusal::{Large, Refusal};
use crate::region::Region;
use crate::task::{Event, Json, Outcome, Pause, Target, TaskId};
use crate::tasks::{Task, task_record};

impl Region {
    /// Whether the last worker of a task can do it still.
    pub(super) fn fits_still(&self, task: &Task) -> bool {
        let Some((agent, _)) = &task.worker else { return false };
        let found = self.registry.get(agent);
        found.is_some_and(|it| match &task.target {
            Target::Skill(skill) => it.spec.skills.contains(skill),
            Target::Agent(name) => name == agent,
        })
    }

    /// Ends an attempt with a question to the client.
    pub(super) fn pause(
        &mut self,
        last: Last,
        why: Pause,
        message: Option<Json>,
    ) -> Result<(), Refusal> {
        let (claim, _) = last;
        let id = claim.task;
        let task = self.tasks.get(id).ok_or(Refusal::NoSuchTask(id))?;
        if task.token == Some(claim.token) && task.state == why.state() {
            return Ok(()); // It was said before.
        }
        self.check_last(task, last)?;
        let bytes = message.as_ref().map_or(0, |it| it.0.len());
        check_size(Large::Message, bytes, self.config.limits.message_bytes_max)?;
        // There must be room for the answer, too: without that the task could not go on.
        let all = task.attempt_bytes + bytes + self.answer_bytes_max() + 2 * Self::NOTE_OVERHEAD;
        check_size(Large::Task, all, self.config.limits.task_bytes_max)?;
        self.check_disk()?;
        self.home.take(id);
        self.tell(id, Event::Paused { token: claim.token, why, message });
        self.home.paused.set(id, self.clock.wall_ms);
        // A home that was lost may have heard the answer to this very question.
        self.adopt_answer(id);
        Ok(())
    }

    /// Lets a task go on that waits for its client.
    pub(super) fn answer_worker(
        &mut self,
        id: TaskId,
        (name, message): (&Arc<str>, &Json),
        asked: Option<u64>,
    ) -> Result<(), Refusal> {
        let task = self.tasks.get(id).ok_or(Refusal::NoSuchTask(id))?;
        if let Some(said) = self.answer_of(id, task, name) {
            // It was said before; it is no answer to what was asked since.
            return if said == *message { Ok(()) } else { Err(Refusal::KeyReused { task: id }) };
        }
        if task.state.is_terminal() {
            return Err(Refusal::Ended { task: id, state: task.state });
        }
        if !task.state.is_paused() || asked.is_some_and(|it| it != task.paused_at) {
            return Err(Refusal::NotAsked { task: id, state: task.state });
        }
        check_size(Large::Message, message.0.len(), self.answer_bytes_max())?;
        self.check_disk()?;
        self.go_on(id, name.clone(), message.clone());
        Ok(())
    }

    /// Bytes that an answer may have.
    fn answer_bytes_max(&self) -> usize {
        let limits = &self.config.limits;
        limits.message_bytes_max.min(limits.task_bytes_max / 4)
    }

    /// Lets a task go on that waits for its client.
    fn go_on(&mut self, id: TaskId, name: Arc<str>, message: Json) {
        let task = self.tasks.get(id).expect("only tasks in memory wait");
        let token = task.token.expect("somebody has asked");
        self.home.take(id);
        self.tell(id, Event::Answered { token, name, message });
        self.line_up(id);
        self.dispatch_if_waiting(id);
    }

    /// Takes up what a client has answered to what the task waits for, if only an earlier home knew
    /// of it, and has come back.
    pub(crate) fn adopt_answer(&mut self, id: TaskId) {
        let Some(task) = self.tasks.get(id).filter(|it| it.state.is_paused()) else { return };
        let (placement, last) = (task.placement, task.token);
        if !self.is_home(id, placement) {
            return;
        }
        let log = self.store.log(&task_record(placement, id));
        let beside = log.into_iter().flat_map(Log::beside);
        let found = beside.filter_map(|(_, entry)| match decode_event(&entry.bytes) {
            Ok(Event::Answered { token, name, message }) if Some(token) == last => {
                Some((name, message))
            }
            Ok(_) | Err(_) => None,
        });
        let Some((name, message)) = found.last() else { return };
        if self.may_decide(id, placement) && self.check_disk().is_ok() {
            self.home.answered.remove(&id);
            self.go_on(id, name, message);
        } else {
            self.home.answered.insert(id); // A little later.
        }
    }

    /// Takes up answers that could not be taken up when they came, and ends what waits in vain.
    pub(crate) fn look_at_pauses(&mut self) {
        for id in std::mem::take(&mut self.home.answered) {
            self.adopt_answer(id);
        }
        self.give_up_pauses();
    }

    /// Returns what the client has answered under a name before.
    fn answer_of(&self, id: TaskId, task: &Task, name: &Arc<str>) -> Option<Json> {
        if task.paused_at == 0 {
            return None; // Few tasks have any.
        }
        let said = |entry: &Entry| match decode_event(&entry.bytes) {
            Ok(Event::Answered { name: it, message, .. }) if it == *name => Some(message),
            Ok(_) | Err(_) => None,
        };
        self.store.log(&task_record(task.placement, id))?.after(0).iter().find_map(said)
    }

    /// How many tasks are given up at once; the others a beat later.
    const GIVEN_UP_MAX: usize = 1_000;

    /// Gives up tasks whose clients have not answered in time.
    fn give_up_pauses(&mut self) {
        let patience = self.config.limits.pause_ttl.as_millis();
        let patience = u64::try_from(patience).unwrap_or(u64::MAX);
        for _ in 0..Self::GIVEN_UP_MAX {
            let Some((since_ms, id)) = self.home.paused.first() else { return };
            let is_due = since_ms.saturating_add(patience) <= self.now.wall_ms;
            if !is_due || self.disk == Disk::Full || !self.needs_tenure() {
                return;
            }
            self.end(id, None, Outcome::Failed, Some(unanswered(id)));
        }
    }
}

/// Returns what a client is told whose task waited in vain: an A2A `Message`.
fn unanswered(id: TaskId) -> Json {
    let text = format!(
        "{{\"messageId\":\"{id}-unanswered\",\"role\":\"ROLE_AGENT\",\"parts\":[{{\"text\":\
         \"the agent asked for something, and nobody answered in time\"}}]}}"
    );
    Json(text.into())
}
