//! What the home of a task decides about its webhooks, and whom it has told when.
//! Must not send anything.

use std::sync::Arc;
use std::time::Duration;

use photon_state::{Change, Hlc, Log, PlacementId, Record};

use super::check_size;
use crate::codec::{encode_told, encode_webhook};
use crate::contract::{Disk, Reply, Ticket};
use crate::data::is_guest;
use crate::desk::Bell;
use crate::elsewhere::Look;
use crate::refusal::{Large, Queue, Refusal};
use crate::region::Region;
use crate::task::TaskId;
use crate::tasks::task_record;
use crate::verdict::{Patience, Verdict};
use crate::webhooks::{
    Due, Entry, Mark, Secret, Slot, TOLD, WEBHOOKS, Webhook, Went, told_record, webhook_of,
    webhook_record,
};

impl Region {
    /// Webhooks of one task, with those that were removed.
    const WEBHOOKS_MAX: usize = 16;
    /// Bytes of one webhook.
    const ONE_WEBHOOK_BYTES_MAX: usize = 16 << 10;
    /// Bytes of all webhooks of one task.
    const TASK_WEBHOOK_BYTES_MAX: usize = 32 << 10;
    /// How long one waits at most, about, while others are told at its place.
    const LATER_MAX: Duration = Duration::from_secs(30);
    /// How many of those that failed are told at a time.
    const FAILING_MAX: usize = 64;
    /// Bytes of all webhooks that are known here.
    const WEBHOOK_BYTES_MAX: usize = 256 << 20;

    /// Adds a webhook to a task, or gives one another target.
    pub(super) fn set_webhook(
        &mut self,
        task: TaskId,
        id: &Arc<str>,
        (target, credentials): (&Secret, &Secret),
        since: Option<u64>,
    ) -> Result<(), Refusal> {
        // The name becomes a part of a key.
        check_size(Large::Webhook, id.len(), Webhook::ID_BYTES_MAX)?;
        let known = self.tasks.get(task).ok_or(Refusal::NoSuchTask(task))?;
        let (placement, generation) = (known.placement, known.generation);
        let slot = self.webhooks.get(task, id);
        let before = slot.and_then(|it| it.webhook.as_ref());
        if before.is_some_and(|it| it.target == *target && it.credentials == *credentials) {
            return Ok(()); // It was said before.
        }
        let bytes = target.0.len() + credentials.0.len();
        check_size(Large::Webhook, bytes, Self::ONE_WEBHOOK_BYTES_MAX)?;
        let others = self.webhooks.of(task).filter(|it| it.id != *id);
        let all = bytes + others.map(|it| it.weight()).sum::<usize>();
        check_size(Large::Webhook, all, Self::TASK_WEBHOOK_BYTES_MAX)?;
        let count = self.webhooks.slots(task).count() + usize::from(slot.is_none());
        check_size(Large::Webhooks, count, Self::WEBHOOKS_MAX)?;
        // One that is given another target goes on where it was.
        let log = self.log_of(task, placement).ok_or(Refusal::NoSuchTask(task))?;
        let now = Mark::at(log, since.unwrap_or(generation).min(generation));
        let told = slot.and_then(|it| it.told);
        let since = before.map_or(now, |it| told.unwrap_or(it.since));
        let (target, credentials) = (target.clone(), credentials.clone());
        let webhook = Webhook { id: id.clone(), target, credentials, since };
        if Self::WEBHOOK_BYTES_MAX < self.webhooks.bytes() + webhook.weight() {
            let (max, retry_after) = (Self::WEBHOOK_BYTES_MAX as u64, Duration::from_secs(60));
            return Err(Refusal::Overloaded { what: Queue::Webhooks, max, retry_after });
        }
        self.check_disk()?;
        let key = webhook_record(placement, task, id).key;
        self.write(placement, WEBHOOKS, key, Change::Put(encode_webhook(&webhook)));
        Ok(())
    }

    /// Removes a webhook of a task, if there is one.
    pub(super) fn remove_webhook(&mut self, task: TaskId, id: &Arc<str>) -> Result<(), Refusal> {
        let slot = self.webhooks.get(task, id).filter(|it| it.webhook.is_some());
        let Some(slot) = slot else { return Ok(()) };
        let (placement, was_told) = (slot.placement, slot.told.is_some());
        self.check_disk()?;
        let key = webhook_record(placement, task, id).key;
        self.write(placement, WEBHOOKS, key.clone(), Change::Delete);
        if was_told {
            self.write(placement, TOLD, key, Change::Delete);
        }
        Ok(())
    }

    /// Shows the webhooks of a task as its home has them.
    pub(crate) fn show_webhooks(
        &mut self,
        ticket: Ticket,
        task: TaskId,
        patience: Patience,
    ) -> Verdict {
        if let Err(refusal) = self.check_looker(ticket, task) {
            return refusal.into();
        }
        let is_home = self.home_of(task).is_ok_and(|it| it == self.config.region);
        if self.tasks.get(task).is_none() || !is_home && !is_guest(ticket) {
            return self.look_elsewhere(ticket, Look::Webhooks(task), patience);
        }
        let hidden = Secret::default();
        let shown =
            |it: &Arc<Webhook>| Webhook { credentials: hidden.clone(), ..Webhook::clone(it) };
        let webhooks = self.webhooks.of(task).map(shown).collect();
        Verdict::Reply(self.appended(), Ok(Reply::Webhooks(webhooks)))
    }

    /// Hands out webhooks that are to be told something, to whoever tells them.
    pub(crate) fn take_due(&mut self, limit: usize, wait: Duration, patience: Patience) -> Verdict {
        /// How many are looked at for one answer.
        const LOOKS_MAX: usize = 10_000;
        let now = self.now.mono;
        let mut taken = Vec::new();
        // While nothing can be written, what was told would be told again after a start.
        if self.disk == Disk::Ready {
            let looks = LOOKS_MAX.min(limit.saturating_mul(64));
            let is_due = |it: &&Entry| it.0 <= now;
            let well: Vec<_> =
                self.webhooks.due().take_while(is_due).take(looks).cloned().collect();
            let failing = self.webhooks.failing().take_while(is_due).take(looks);
            let failing: Vec<_> = failing.cloned().collect();
            // Whoever was given one of these has not reported in time.
            failing.iter().for_each(|(_, task, id)| self.webhooks.hand_in(*task, id));
            let left = Self::FAILING_MAX.saturating_sub(self.webhooks.failing_out());
            self.hand_out(well, limit, &mut taken);
            let limit = limit.min(taken.len() + left);
            self.hand_out(failing, limit, &mut taken);
        }
        let until = patience.until(self.now, wait);
        if !taken.is_empty() || until <= now {
            return Verdict::Reply(self.appended(), Ok(Reply::Due(taken)));
        }
        // What is due and may not be decided about now may be at the next beat.
        let next = self.webhooks.next_after(now);
        Verdict::Wait(Bell::Webhooks, next.map_or(until, |it| it.min(until)))
    }

    /// Hands out those of some webhooks that this region may decide about.
    fn hand_out(&mut self, some: Vec<Entry>, limit: usize, taken: &mut Vec<Due>) {
        let until = self.now.mono + self.config.limits.webhook_told_within;
        for (_, task, id) in some {
            if limit <= taken.len() {
                return;
            }
            let slot = self.webhooks.get(task, &id).expect("whatever is due is known");
            let Some(webhook) = slot.webhook.clone() else { continue };
            let (placement, set) = (slot.placement, slot.set);
            let Some(known) = self.tasks.get(task) else { continue };
            let (context, has_turns) = (known.context.clone(), known.paused_at != 0);
            let Some(after) = self.log_of(task, placement).map(|log| slot.after(log)) else {
                continue;
            };
            if self.may_decide(task, placement) {
                self.webhooks.hand_out(task, &id, until);
                taken.push(Due { task, webhook, set, after, context, has_turns });
            }
        }
    }

    /// Takes note of how far a webhook was told that was set at a time.
    pub(crate) fn told_webhook(
        &mut self,
        (task, id, set): (TaskId, &Arc<str>, Hlc),
        upto: u64,
        went: Went,
    ) -> Verdict {
        let now = self.now.mono;
        let done = |append| Verdict::Reply(append, Ok(Reply::Done));
        let Some(known) = self.tasks.get(task) else { return done(0) };
        let (placement, generation) = (known.placement, known.generation);
        let Some(log) = self.store.log(&task_record(placement, task)) else { return done(0) };
        let limits = &self.config.limits;
        let (retry_for, pause_max) = (limits.webhook_retry_for, limits.webhook_pause_max);
        let spread = self.rng.f64();
        let Some(slot) = self.webhooks.get_mut(task, id) else { return done(0) };
        if slot.webhook.is_none() || slot.set != set {
            return done(0); // It is about another one of this name.
        }
        let (after, mut upto, mut next) = (slot.after(log), upto.min(generation), now);
        match went {
            Went::Well => {
                (slot.tries, slot.failing_since, slot.waits) = (0, None, 0);
                self.counters.webhooks_told += 1;
            }
            Went::Later => {
                slot.waits += 1;
                let pause = Duration::from_secs(1) * 2_u32.saturating_pow(slot.waits - 1);
                next += pause.min(Self::LATER_MAX).mul_f64(0.5 + spread);
            }
            Went::Badly => {
                let since = *slot.failing_since.get_or_insert(now);
                if after < upto {
                    (slot.tries, slot.failing_since) = (0, Some(now));
                } else if retry_for <= now.saturating_sub(since) {
                    (slot.tries, slot.failing_since) = (0, None);
                    upto = generation;
                    self.counters.webhooks_given_up += 1;
                }
                (slot.tries, slot.waits) = (slot.tries + 1, 0);
                let pause = Duration::from_secs(1) * 2_u32.saturating_pow(slot.tries - 1);
                next += pause.min(pause_max).mul_f64(0.5 + spread / 2.0);
                self.counters.webhooks_failed += 1;
            }
        }
        let mark = Mark::at(log, upto);
        if after < upto {
            if self.disk == Disk::Ready && self.may_decide(task, placement) {
                let key = told_record(placement, task, id).key;
                self.write(placement, TOLD, key, Change::Put(encode_told(mark)));
            } else if let Some(slot) = self.webhooks.get_mut(task, id) {
                slot.told = Some(mark); // It is written with the next report.
            }
        }
        self.webhooks.set_due(task, id, None);
        self.plan_webhooks_from(task, next);
        done(self.appended())
    }

    /// Follows a record about a webhook that has changed.
    pub(crate) fn index_webhook(&mut self, record: &Record, append: u64) {
        let Some((task, id)) = webhook_of(record) else { return };
        let before = self.webhooks.get(task, &id).and_then(|it| it.webhook.clone());
        self.webhooks.refresh((record.placement, task, &id), &self.store);
        if append != 0
            && let Some(before) = before
        {
            self.keep_since(record.placement, (task, &id), &before);
        }
        if self.tasks.get(task).is_none() {
            self.webhooks.add_orphan(task);
        }
        if append != 0 {
            self.plan_webhooks(task);
        }
    }

    /// Has a webhook told of what came since it was set first. A home that was lost may have set
    /// the same one, later in the log than this one did, and its clock may have been ahead.
    fn keep_since(
        &mut self,
        placement: PlacementId,
        (task, id): (TaskId, &Arc<str>),
        before: &Webhook,
    ) {
        let Some(slot) = self.webhooks.get(task, id) else { return };
        let Some(webhook) = &slot.webhook else { return };
        if webhook.since.generation <= before.since.generation || self.disk == Disk::Full {
            return;
        }
        let webhook = Webhook { since: before.since, ..Webhook::clone(webhook) };
        if self.may_decide(task, placement) {
            let key = webhook_record(placement, task, id).key;
            self.write(placement, WEBHOOKS, key, Change::Put(encode_webhook(&webhook)));
        }
    }

    /// Looks which webhooks of a task are to be told something.
    pub(crate) fn plan_webhooks(&mut self, task: TaskId) {
        if !self.webhooks.is_empty() {
            self.plan_webhooks_from(task, self.now.mono);
        }
    }

    /// The same, but whatever is not due yet is so no sooner than at a time.
    fn plan_webhooks_from(&mut self, task: TaskId, at: Duration) {
        let Some(known) = self.tasks.get(task) else { return };
        let (placement, generation) = (known.placement, known.generation);
        let is_here = self.is_home(task, placement);
        let Some(log) = self.log_of(task, placement) else { return };
        let slots = self.webhooks.slots(task);
        let is_behind =
            |slot: &Slot| is_here && slot.webhook.is_some() && slot.after(log) < generation;
        let slots: Vec<_> = slots.map(|(id, slot)| (id.clone(), is_behind(slot))).collect();
        let mut has_news = false;
        for (id, is_behind) in slots {
            match (is_behind, self.webhooks.is_due(task, &id)) {
                (true, false) => {
                    self.webhooks.set_due(task, &id, Some(at));
                    has_news = true;
                }
                (false, true) => self.webhooks.set_due(task, &id, None),
                (true, true) | (false, false) => {}
            }
        }
        if has_news && let Some(teller) = self.desk.ring_one(&Bell::Webhooks) {
            self.look_again(teller);
        }
    }

    /// Each second: who tells which webhooks, whether somebody may again, and what is forgotten.
    pub(crate) fn look_at_webhooks(&mut self) {
        if self.webhooks.is_empty() {
            return;
        }
        if self.webhooks.decree != Some(self.charter.index) {
            self.webhooks.decree = Some(self.charter.index);
            let tasks: Vec<TaskId> = self.webhooks.tasks().collect();
            tasks.into_iter().for_each(|it| self.plan_webhooks(it));
        }
        // Of a state that is on its way webhooks come before their tasks.
        if self.covers.is_empty() && !self.is_taking_state(self.now) {
            let (tasks, patience) = (&self.tasks, self.config.limits.retention);
            let is_known = |it| tasks.get(it).is_some();
            let lost = self.webhooks.lost_orphans(is_known, (self.now.mono, patience));
            lost.into_iter().for_each(|it| self.forget_webhooks(it));
        }
        let first = [self.webhooks.due().next(), self.webhooks.failing().next()];
        let is_due = first.into_iter().flatten().any(|it| it.0 <= self.now.mono);
        if is_due && let Some(teller) = self.desk.ring_one(&Bell::Webhooks) {
            self.look_again(teller);
        }
    }

    fn log_of(&self, task: TaskId, placement: PlacementId) -> Option<&Log> {
        self.store.log(&task_record(placement, task))
    }

    /// Forgets the webhooks of a task that is forgotten.
    pub(crate) fn forget_webhooks(&mut self, task: TaskId) {
        let slots = self.webhooks.slots(task);
        let given_up = slots.filter(|(id, _)| self.webhooks.is_due(task, id)).count();
        self.counters.webhooks_given_up += given_up as u64;
        for record in self.webhooks.forget(task) {
            self.store.set_register(&record, None);
        }
    }
}
