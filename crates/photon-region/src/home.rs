//! What the home of a task decides: accept it, give it to an agent, hear the worker, end it.
//! Must not look at tasks of other homes, nor know how a decision reaches anybody.

mod fans;
mod held;
mod leases;
mod line;
mod pauses;
mod queue;
mod retries;
mod timers;
mod times;
mod webhooks;

pub(crate) use held::Home;
use held::Lease;

use photon_state::{PlacementId, RegionId, Run};

use crate::contract::{AtHome, Disk, TokenPair};
use crate::refusal::{Large, Refusal};
use crate::region::Region;
use crate::task::{
    Checkpoint, Claim, Event, Json, Note, Outcome, Requeue, TaskId, TaskState, Token,
};
use crate::tasks::{Task, task_record};

impl Region {
    /// Bytes of one op: what is larger would fit no frame of a link.
    pub(crate) const OP_BYTES_MAX: usize = 4 << 20;
    /// What a note takes as an op beside its texts.
    const NOTE_OVERHEAD: usize = 160;

    /// Returns the home of a task; whoever is no member yet knows none, and shows itself.
    pub(crate) fn home_of_task(&self, id: TaskId, placement: PlacementId) -> RegionId {
        self.charter.home(placement, id.shard()).map_or(self.config.region, |it| it.region)
    }

    pub(crate) fn epoch_of(&self, id: TaskId, placement: PlacementId) -> u32 {
        let home = self.charter.home(placement, id.shard());
        home.expect("every placement with a task has homes").epoch
    }

    pub(crate) fn is_home(&self, id: TaskId, placement: PlacementId) -> bool {
        let home = self.charter.home(placement, id.shard());
        let log = self.store.log(&task_record(placement, id));
        // What an earlier life of this region has written under this epoch cannot be gone on with.
        home.is_some_and(|home| {
            let run = log.and_then(|log| log.runs().last());
            let is_own =
                |run: &Run| run.epoch < home.epoch || run.stream == self.own_stream(placement);
            home.region == self.config.region && run.is_none_or(is_own)
        })
    }

    /// Takes up the tasks of this home where the log left them.
    pub(crate) fn resume_home(&mut self) {
        self.resume_tasks(|_| true);
        self.dispatch_all();
    }

    /// Takes up a task where its log left it, if this is its home.
    pub(crate) fn resume_task(&mut self, id: TaskId) {
        let Some(task) = self.tasks.get(id) else { return };
        if !self.is_home(id, task.placement) || !self.is_active(id, task.placement) {
            return;
        }
        // What it is a part of may have ended without it, or lack it.
        self.home.fans_due.extend(task.part_of().filter(|_| !task.state.is_terminal()));
        if !task.state.is_terminal() && self.is_left_over(id, task) && self.disk == Disk::Ready {
            let placement = task.placement;
            if self.may_decide(id, placement) {
                return self.call_off_part(id);
            }
        }
        let Some(task) = self.tasks.get(id) else { return };
        match task.state {
            TaskState::Working if task.fan().is_some() => {
                self.home.fans.insert(id);
                self.home.fans_due.insert(id);
            }
            TaskState::Submitted => self.line_up(id),
            TaskState::Working => {
                let until = self.now.mono + self.heartbeat_of(task);
                let begun_ms = (0 < task.notes).then_some(task.claimed_ms);
                self.home.lease(id, Lease { until, begun_ms });
            }
            TaskState::InputRequired | TaskState::AuthRequired => {
                self.home.paused.set(id, task.changed.wall_ms);
            }
            TaskState::Completed
            | TaskState::Failed
            | TaskState::Canceled
            | TaskState::Rejected => return,
        }
        self.watch_time(id);
        if !self.adopt_end(id) {
            self.adopt_answer(id);
        }
    }

    /// Writes the next event of a task of this home.
    fn tell(&mut self, id: TaskId, event: Event) -> u64 {
        let task = self.tasks.get(id).expect("events are told of tasks in memory");
        assert!(!task.state.is_terminal(), "nothing follows the end of `{id}`");
        let append = self.write_event(task.placement, id, event);
        self.watch_time(id);
        append
    }

    /// Decides about a task of this home. Returns the append to wait for, and the answer.
    pub(crate) fn decide_at_home(
        &mut self,
        ask: &AtHome,
    ) -> (u64, Result<(TaskState, u64), Refusal>) {
        let id = ask.task();
        let result = match ask {
            AtHome::Submit { spec, .. } => self.submit_as(id, spec),
            AtHome::Heartbeat(_)
            | AtHome::Note { .. }
            | AtHome::Finish { .. }
            | AtHome::Fail { .. }
            | AtHome::Pause { .. }
            | AtHome::Answer { .. }
            | AtHome::Decline(_)
            | AtHome::SetWebhook { .. }
            | AtHome::RemoveWebhook { .. }
            | AtHome::Topic { .. }
            | AtHome::Cancel { .. } => self.decide_open(id, ask),
        };
        if matches!(result, Err(Refusal::StaleToken { .. })) {
            self.counters.stale += 1;
        }
        let task = self.tasks.get(id);
        let append = match ask {
            // These are not in the task's log.
            AtHome::SetWebhook { .. } | AtHome::RemoveWebhook { .. } | AtHome::Topic { .. } => {
                self.appended()
            }
            AtHome::Submit { .. }
            | AtHome::Heartbeat(_)
            | AtHome::Note { .. }
            | AtHome::Finish { .. }
            | AtHome::Fail { .. }
            | AtHome::Pause { .. }
            | AtHome::Answer { .. }
            | AtHome::Decline(_)
            | AtHome::Cancel { .. } => task.map_or(0, |task| task.append),
        };
        let standing = |task: &Task| (task.state, task.generation);
        let answer = result.map(|()| task.map(standing).expect("it was decided about"));
        (append, answer)
    }

    fn decide_open(&mut self, id: TaskId, ask: &AtHome) -> Result<(), Refusal> {
        // Only a home that may decide knows that there is no such task.
        let placement = self.charter.placement_of(id).ok_or(Refusal::NoSuchTask(id))?;
        if !self.may_decide(id, placement) {
            let region = self.home_of_task(id, placement);
            return Err(Refusal::HomeUnreachable { region });
        }
        let task = self.tasks.get(id).ok_or(Refusal::NoSuchTask(id))?;
        match ask {
            AtHome::Heartbeat(claim) => {
                self.check_claim(task, *claim)?;
                self.extend(id);
                Ok(())
            }
            AtHome::Note { claim, first, notes } => self.note(*claim, *first, notes),
            AtHome::Finish { claim, notes, outcome, message } => {
                self.finish((*claim, *notes), *outcome, message.clone())
            }
            AtHome::Fail { claim, notes, message } => self.fail((*claim, *notes), message.clone()),
            AtHome::Pause { claim, notes, why, message } => {
                self.pause((*claim, *notes), *why, message.clone())
            }
            AtHome::Answer { name, message, asked, .. } => {
                self.answer_worker(id, (name, message), *asked)
            }
            AtHome::Decline(claim) => {
                self.check_claim(task, *claim)?;
                self.check_disk()?;
                self.let_rest(id);
                self.requeue(id, Requeue::Declined, None);
                Ok(())
            }
            AtHome::SetWebhook { id: name, target, credentials, since, .. } => {
                self.set_webhook(id, name, (target, credentials), *since)
            }
            AtHome::RemoveWebhook { id: name, .. } => self.remove_webhook(id, name),
            AtHome::Submit { .. } | AtHome::Topic { .. } => Ok(()),
            AtHome::Cancel { message, .. } => {
                if task.state == TaskState::Canceled {
                    return Ok(());
                }
                if task.state.is_terminal() {
                    return Err(Refusal::Ended { task: id, state: task.state });
                }
                self.check_disk()?;
                let token = task.current();
                self.end(id, token, Outcome::Canceled, message.clone());
                Ok(())
            }
        }
    }

    fn check_claim(&self, task: &Task, claim: Claim) -> Result<(), Refusal> {
        // Of what is asked of many the home itself is the worker.
        if task.current() == Some(claim.token) && task.fan().is_none() {
            return Ok(());
        }
        #[cfg(feature = "planted-bugs")]
        if self.planted == Some(crate::PlantedBug::AcceptStaleToken)
            && task.state == TaskState::Working
        {
            return Ok(());
        }
        if task.state.is_terminal() && task.token == Some(claim.token) {
            return Err(Refusal::Ended { task: claim.task, state: task.state });
        }
        let tokens = TokenPair { shown: claim.token, current: task.current() };
        Err(Refusal::StaleToken { task: claim.task, tokens })
    }

    /// Checks that a worker may bring its attempt to an end, which leaves out nothing that it told:
    /// a former home may have been the only one that heard it.
    fn check_last(&self, task: &Task, (claim, notes): Last) -> Result<(), Refusal> {
        self.check_claim(task, claim)?;
        match notes {
            Some(told) if task.notes < told => {
                let (first, expected) = (told.saturating_add(1), task.notes + 1);
                Err(Refusal::NoteGap { first, expected })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The worker was heard: its lease goes on.
    fn extend(&mut self, id: TaskId) {
        let task = self.tasks.get(id).expect("only tasks in memory are leased");
        let until = self.now.mono + self.heartbeat_of(task);
        let begun_ms = self.home.begun_ms(id);
        // What is written may be ahead of the clock.
        let since_ms = begun_ms.unwrap_or(self.now.wall_ms.max(task.claimed_ms));
        self.home.lease(id, Lease { until, begun_ms: Some(since_ms) });
        if begun_ms.is_none() {
            self.watch_time(id);
        }
    }

    fn note(&mut self, claim: Claim, first: u64, notes: &[Note]) -> Result<(), Refusal> {
        let id = claim.task;
        let task = self.tasks.get(id).ok_or(Refusal::NoSuchTask(id))?;
        self.check_claim(task, claim)?;
        let expected = task.notes + 1;
        if first == 0 || expected < first {
            return Err(Refusal::NoteGap { first, expected });
        }
        let known = usize::try_from(expected - first).unwrap_or(usize::MAX).min(notes.len());
        let fresh = &notes[known..];
        let (mut bytes, mut stays) = (task.attempt_bytes, task.turn_bytes);
        for note in fresh {
            let weight = Self::NOTE_OVERHEAD + note.weight();
            check_size(Large::Note, weight, Self::OP_BYTES_MAX)?;
            if let Note::Checkpoint(it) = note {
                check_size(Large::Checkpoint, it.value.0.len(), Checkpoint::VALUE_BYTES_MAX)?;
                stays += weight; // Later attempts need room for what they tell.
                check_size(Large::Task, stays, self.config.limits.task_bytes_max / 2)?;
            }
            bytes += weight;
        }
        check_size(Large::Task, bytes, self.config.limits.task_bytes_max)?;
        if !fresh.is_empty() {
            self.check_disk()?;
        }
        self.extend(id);
        for (number, note) in (expected..).zip(fresh) {
            self.tell(id, Event::Noted { token: claim.token, number, note: note.clone() });
        }
        Ok(())
    }

    fn finish(
        &mut self,
        last: Last,
        outcome: Outcome,
        message: Option<Json>,
    ) -> Result<(), Refusal> {
        let (claim, _) = last;
        let id = claim.task;
        let task = self.tasks.get(id).ok_or(Refusal::NoSuchTask(id))?;
        let is_repeated = task.token == Some(claim.token) && task.state == outcome.state();
        if is_repeated {
            return Ok(());
        }
        self.check_last(task, last)?;
        let bytes = message.as_ref().map_or(0, |it| it.0.len());
        check_size(Large::Message, bytes, self.config.limits.message_bytes_max)?;
        self.check_disk()?;
        self.end(id, Some(claim.token), outcome, message);
        Ok(())
    }

    pub(crate) fn end(
        &mut self,
        id: TaskId,
        token: Option<Token>,
        outcome: Outcome,
        message: Option<Json>,
    ) {
        self.home.take(id);
        self.counters.ended += 1;
        self.tell(id, Event::Ended { token, outcome, message });
    }

    /// Lets go of a task, whether it waits or is leased.
    pub(crate) fn let_go_of(&mut self, id: TaskId) {
        self.home.take(id);
    }
}

/// With what right a worker ends its attempt, and how many notes it told, if it counts them.
type Last = (Claim, Option<u64>);

/// Checks a size against its bound.
pub(crate) fn check_size(what: Large, bytes: usize, max: usize) -> Result<(), Refusal> {
    if bytes <= max {
        return Ok(());
    }
    let (bytes, max) = (bytes as u64, max as u64);
    Err(Refusal::TooLarge { what, bytes, max })
}
