//! What the home of a task decides about its webhooks, and whom it has told when.
//! Must not send anything.

use std::sync::Arc;
use std::time::Duration;

use photon_state::{Change, Log, PlacementId, Record};

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
    Due, Mark, Secret, Slot, TOLD, WEBHOOKS, Webhook, Went, told_record, webhook_of, webhook_record,
};

impl Region {
    /// Webhooks of one task, with those that were removed.
    const WEBHOOKS_MAX: usize = 64;
    /// Bytes of the target of a webhook.
    const TARGET_BYTES_MAX: usize = 16 << 10;
    /// Bytes of all webhooks that are known here.
    const WEBHOOK_BYTES_MAX: usize = 256 << 20;

    /// Adds a webhook to a task, or gives one another target.
    pub(super) fn set_webhook(
        &mut self,
        task: TaskId,
        (id, target): (&Arc<str>, &Secret),
        since: Option<u64>,
    ) -> Result<(), Refusal> {
        let known = self.tasks.get(task).ok_or(Refusal::NoSuchTask(task))?;
        let (placement, generation) = (known.placement, known.generation);
        let slot = self.webhooks.get(task, id);
        let before = slot.and_then(|it| it.webhook.as_ref());
        if before.is_some_and(|it| it.target == *target) {
            return Ok(()); // It was said before.
        }
        check_size(Large::Webhook, target.0.len(), Self::TARGET_BYTES_MAX)?;
        let count = self.webhooks.slots(task).count() + usize::from(slot.is_none());
        check_size(Large::Webhooks, count, Self::WEBHOOKS_MAX)?;
        // One that is given another target goes on where it was.
        let log = self.log_of(task, placement).ok_or(Refusal::NoSuchTask(task))?;
        let now = Mark::at(log, since.unwrap_or(generation).min(generation));
        let since = before.map_or(now, |it| it.since);
        let webhook = Webhook { id: id.clone(), target: target.clone(), since };
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
        let webhooks = self.webhooks.of(task).map(|it| Webhook::clone(it)).collect();
        Verdict::Reply(self.appended(), Ok(Reply::Webhooks(webhooks)))
    }

    /// Hands out webhooks that are to be told something, to whoever tells them.
    pub(crate) fn take_due(&mut self, limit: usize, wait: Duration, patience: Patience) -> Verdict {
        /// How many are looked at for each that is handed out.
        const LOOKS: usize = 16;
        let (now, told_within) = (self.now.mono, self.config.limits.webhook_told_within);
        let due = self.webhooks.due().take_while(|it| it.0 <= now);
        let due: Vec<_> = due.take(limit.saturating_mul(LOOKS)).cloned().collect();
        let mut taken = Vec::new();
        for (_, task, id) in due {
            let slot = self.webhooks.get(task, &id).expect("whatever is due is known");
            let Some(webhook) = slot.webhook.clone() else { continue };
            let placement = slot.placement;
            let Some(after) = self.log_of(task, placement).map(|log| slot.after(log)) else {
                continue;
            };
            if taken.len() < limit && self.may_decide(task, placement) {
                self.webhooks.set_due(task, &id, Some(now + told_within));
                taken.push(Due { task, webhook, after });
            }
        }
        let until = patience.until(self.now, wait);
        if !taken.is_empty() || until <= now {
            return Verdict::Reply(self.appended(), Ok(Reply::Due(taken)));
        }
        // What is due and may not be decided about now may be at the next beat.
        let next = self.webhooks.due().map(|it| it.0).find(|it| now < *it);
        Verdict::Wait(Bell::Webhooks, next.map_or(until, |it| it.min(until)))
    }

    /// Takes note of how far a webhook was told.
    pub(crate) fn told_webhook(
        &mut self,
        (task, id): (TaskId, &Arc<str>),
        upto: u64,
        went: Went,
    ) -> Verdict {
        let now = self.now.mono;
        let done = |append| Verdict::Reply(append, Ok(Reply::Done));
        let Some(known) = self.tasks.get(task) else { return done(0) };
        let (placement, generation) = (known.placement, known.generation);
        let retry_for = self.config.limits.webhook_retry_for;
        let spread = self.rng.f64();
        let Some(log) = self.store.log(&task_record(placement, task)) else { return done(0) };
        let Some(slot) = self.webhooks.get_mut(task, id) else { return done(0) };
        let after = slot.after(log);
        let mut upto = upto.min(generation);
        let has_come_on = after < upto;
        let mut next = now;
        match went {
            Went::Well => (slot.tries, slot.failing_since) = (0, None),
            Went::Badly => {
                let since = *slot.failing_since.get_or_insert(now);
                if has_come_on {
                    (slot.tries, slot.failing_since) = (0, Some(now));
                } else if retry_for <= now.saturating_sub(since) {
                    (slot.tries, slot.failing_since) = (0, None);
                    upto = generation;
                    self.counters.webhooks_given_up += 1;
                }
                let slot = self.webhooks.get_mut(task, id).expect("it was there");
                slot.tries += 1;
                let pause = Duration::from_secs(1) * 2_u32.saturating_pow(slot.tries - 1);
                next += pause.min(self.config.limits.webhook_pause_max).mul_f64(0.5 + spread / 2.0);
                self.counters.webhooks_failed += 1;
            }
        }
        self.counters.webhooks_told += u64::from(went == Went::Well);
        let slot = self.webhooks.get(task, id).expect("it was there");
        let is_news = after < upto && slot.webhook.is_some();
        let mark = self.log_of(task, placement).map(|log| Mark::at(log, upto));
        if let Some(mark) = mark
            && is_news
            && self.disk == Disk::Ready
            && self.may_decide(task, placement)
        {
            let key = told_record(placement, task, id).key;
            self.write(placement, TOLD, key, Change::Put(encode_told(mark)));
        }
        self.webhooks.set_due(task, id, None);
        self.plan_webhooks_from(task, next);
        done(self.appended())
    }

    /// Follows a record about a webhook that has changed.
    pub(crate) fn index_webhook(&mut self, record: &Record, append: u64) {
        let Some((task, id)) = webhook_of(record) else { return };
        self.webhooks.refresh((record.placement, task, &id), &self.store);
        if self.tasks.get(task).is_none() {
            self.webhooks.add_orphan(task);
        }
        if append != 0 {
            self.plan_webhooks(task);
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
        let retention = self.config.limits.retention.as_millis();
        let before = self.now.wall_ms.saturating_sub(u64::try_from(retention).unwrap_or(u64::MAX));
        let tasks = &self.tasks;
        let lost = self.webhooks.lost_orphans(|it| tasks.get(it).is_some(), before);
        lost.into_iter().for_each(|it| self.forget_webhooks(it));
        let is_due = self.webhooks.due().next().is_some_and(|it| it.0 <= self.now.mono);
        if is_due && let Some(teller) = self.desk.ring_one(&Bell::Webhooks) {
            self.look_again(teller);
        }
    }

    fn log_of(&self, task: TaskId, placement: PlacementId) -> Option<&Log> {
        self.store.log(&task_record(placement, task))
    }

    /// Forgets the webhooks of a task that is forgotten.
    pub(crate) fn forget_webhooks(&mut self, task: TaskId) {
        for record in self.webhooks.forget(task) {
            self.store.set_register(&record, None);
        }
    }
}
