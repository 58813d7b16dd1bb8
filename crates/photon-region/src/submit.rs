//! How a task is accepted: checked, named, and written by a region that is to be its home.
//! Must not give it to anybody.

use std::time::Duration;

use photon_state::{PlacementId, RegionId};

use crate::ask::{Asker, Asks};
use crate::contract::{AtHome, Command, Reply, Ticket};
use crate::desk::{Bell, Desk, Held};
use crate::home::{Home, check_size};
use crate::question::Answer;
use crate::refusal::{Large, Queue, Refusal};
use crate::region::Region;
use crate::task::{Ack, Event, Idempotency, Spec, Target, TaskId};
use crate::verdict::{Patience, Verdict};

impl Region {
    /// How long a majority may take to have a task; the client may ask again.
    const QUORUM_WITHIN: Duration = Duration::from_secs(5);

    /// How long a submission waits until this region is known to those that agree: in a planet that
    /// starts for the first time that takes a few round trips.
    const ADMITTED_WITHIN: Duration = Duration::from_secs(2);

    /// Accepts a task: here, if this region is the home of any of its placement.
    pub(crate) fn submit(&mut self, ticket: Ticket, spec: &Spec, patience: Patience) -> Verdict {
        if let Some(id) = self.asks.arriving.get(&ticket).copied() {
            return self.await_arrival(ticket, id, spec, patience);
        }
        match self.check_submission(spec) {
            Ok(Some(id)) => self.submitted(id, None),
            Ok(None) if !self.is_admitted() => self.await_admission(patience),
            Ok(None) if self.must_go_elsewhere(ticket, spec) => {
                self.submit_elsewhere(ticket, spec, patience)
            }
            Ok(None) => {
                let here = self.config.region;
                let Some(id) = self.new_task_id(spec.placement, here) else {
                    return Refusal::HomeUnreachable { region: here }.into();
                };
                self.accept_task(id, spec);
                self.submitted(id, Some(spec))
            }
            Err(refusal @ Refusal::KeyReused { task }) => {
                let append = self.tasks.get(task).map_or(0, |task| task.append);
                Verdict::Reply(append, Err(refusal))
            }
            Err(refusal) => refusal.into(),
        }
    }

    fn await_admission(&self, patience: Patience) -> Verdict {
        let until = patience.until(self.now, Self::ADMITTED_WITHIN);
        if self.now.mono < until && self.desk.parked() < Desk::PARKED_MAX {
            return Verdict::Wait(Bell::Home, until);
        }
        Refusal::NotAdmitted { region: self.config.region }.into()
    }

    /// Returns the task that was made for the same idempotency key, if there is one.
    fn check_submission(&self, spec: &Spec) -> Result<Option<TaskId>, Refusal> {
        self.check_placement(spec.placement)?;
        if let Some(key) = &spec.idempotency
            && let Some(id) = self.tasks.by_key(&key.key)
        {
            return if self.has_digest(id, key) {
                Ok(Some(id))
            } else {
                Err(Refusal::KeyReused { task: id })
            };
        }
        let limits = &self.config.limits;
        let max = limits.message_bytes_max.min(Self::OP_BYTES_MAX);
        check_size(Large::Message, spec.message.0.len(), max)?;
        if !self.registry.knows(&spec.target) {
            return Err(match &spec.target {
                Target::Skill(skill) => Refusal::NoSuchSkill(skill.clone()),
                Target::Agent(name) => Refusal::NoSuchAgent(name.clone()),
            });
        }
        let wants = spec.terms.as_ref().and_then(|it| it.wants.as_ref());
        for skill in wants.iter().flat_map(|it| &it.skills) {
            if !self.registry.knows(&Target::Skill(skill.clone())) {
                return Err(Refusal::NoSuchSkill(skill.clone()));
            }
        }
        let members = || self.config.placements[&spec.placement].iter();
        let is_within = wants.is_none_or(|it| members().any(|region| it.accepts_region(*region)));
        if !is_within || !self.registry.knows_within(&spec.target, spec.placement) {
            return Err(Refusal::Confined { placement: spec.placement });
        }
        self.check_disk()?;
        self.check_clock(spec.placement)?;
        let retry_after = Duration::from_secs(1);
        if wants.is_some() && !self.home.has_place_for(spec) {
            let max = Home::WANTED_MAX as u64;
            return Err(Refusal::Overloaded { what: Queue::Wanted, max, retry_after });
        }
        let parts = self.parts_of(spec);
        self.check_room_for(1 + parts, parts * spec.message.0.len())?;
        Ok(None)
    }

    /// Checks that there is room for more open tasks, of so many bytes together.
    pub(crate) fn check_room_for(&self, tasks: usize, bytes: usize) -> Result<(), Refusal> {
        let (limits, retry_after) = (&self.config.limits, Duration::from_secs(1));
        if limits.open_tasks_max < self.home.open().saturating_add(tasks) {
            let max = limits.open_tasks_max as u64;
            return Err(Refusal::Overloaded { what: Queue::OpenTasks, max, retry_after });
        }
        if limits.open_bytes_max <= self.tasks.open_bytes().saturating_add(bytes) {
            let max = limits.open_bytes_max as u64;
            return Err(Refusal::Overloaded { what: Queue::OpenBytes, max, retry_after });
        }
        Ok(())
    }

    fn has_digest(&self, id: TaskId, ours: &Idempotency) -> bool {
        let theirs = self.spec(id).idempotency;
        theirs.is_some_and(|it| it.digest == ours.digest)
    }

    /// Makes the name of a task of which a region is to be the home.
    fn new_task_id(&mut self, placement: PlacementId, home: RegionId) -> Option<TaskId> {
        let own = match self.agree.own.get(&placement) {
            Some(own) if home == self.config.region => own.clone(),
            Some(_) | None => self.charter.shards_of(placement, home).collect(),
        };
        if own.is_empty() {
            return None;
        }
        loop {
            let shard = own[self.rng.usize(..own.len())];
            let id = TaskId::new(self.now.wall_ms, placement, shard, self.rng.u64(..));
            if self.tasks.get(id).is_none() {
                return Some(id);
            }
        }
    }

    pub(crate) fn accept_task(&mut self, id: TaskId, spec: &Spec) {
        self.write_event(spec.placement, id, Event::Submitted(spec.clone()));
        self.counters.submitted += 1;
        if self.is_active(id, spec.placement) {
            self.resume_task(id);
            self.dispatch_if_waiting(id);
        }
    }

    /// Whether this region is the home of nothing of a placement, or has asked another one already
    /// to accept the same.
    fn must_go_elsewhere(&self, ticket: Ticket, spec: &Spec) -> bool {
        let is_sent_on = self.asks.named.contains_key(&ticket) || self.sent_on(spec).is_some();
        is_sent_on || !self.agree.own.contains_key(&spec.placement)
    }

    /// Returns the task that another region was asked to accept under the same key.
    fn sent_on(&self, spec: &Spec) -> Option<(TaskId, [u8; 16])> {
        let key = &spec.idempotency.as_ref()?.key;
        self.asks.sent_on.get(&(spec.placement, key.clone())).copied()
    }

    /// Names a task that the nearest region is to accept which is the home of any of its placement.
    /// Whoever asks again under the same key asks for the same.
    fn name_elsewhere(&mut self, ticket: Ticket, spec: &Spec) -> Option<TaskId> {
        let named = || self.asks.named.get(&ticket).copied();
        if let Some(id) = self.sent_on(spec).map(|(id, _)| id).or_else(named) {
            return Some(id);
        }
        let placement = spec.placement;
        let near: Vec<RegionId> = self.registry.near().copied().collect();
        let is_fit = |it: &RegionId| {
            self.is_reachable(*it) && self.charter.shards_of(placement, *it).next().is_some()
        };
        let is_best = |it: &&RegionId| is_fit(it) && self.agree.hears_now(**it, self.now.mono);
        let to = near.iter().find(is_best).or_else(|| near.iter().find(|it| is_fit(it)))?;
        let id = self.new_task_id(placement, *to)?;
        if let Some(Idempotency { key, digest }) = &spec.idempotency {
            if Asks::SENT_ON_MAX <= self.asks.sent_on.len() {
                self.asks.sent_on.clear(); // Those may become two, as between any two regions.
            }
            self.asks.sent_on.insert((placement, key.clone()), (id, *digest));
        } else {
            self.asks.named.insert(ticket, id);
        }
        Some(id)
    }

    /// Lets another region accept a task.
    fn submit_elsewhere(&mut self, ticket: Ticket, spec: &Spec, patience: Patience) -> Verdict {
        let here = self.config.region;
        if let Some((task, digest)) = self.sent_on(spec)
            && spec.idempotency.as_ref().is_some_and(|it| it.digest != digest)
        {
            return Refusal::KeyReused { task }.into();
        }
        let until = patience.until(self.now, Asks::HOME_WITHIN);
        let task = self.name_elsewhere(ticket, spec);
        // Somebody may have accepted it, and only the answer was lost.
        if let Some(task) = task.filter(|it| self.tasks.get(*it).is_some()) {
            self.asks.named.remove(&ticket);
            return self.submitted(task, Some(spec));
        }
        let home = task.and_then(|it| self.home_and_epoch(it)).map_or(here, |(home, _)| home);
        // Another region may have accepted it: only who has taken over knows whether it has.
        let is_ready = task.is_some_and(|it| match home == here {
            true => self.may_decide(it, spec.placement),
            false => self.way_to(home, spec.placement).is_some(),
        });
        let Some(task) = task.filter(|_| is_ready) else {
            if self.now.mono < until {
                return Verdict::Wait(Bell::Home, until);
            }
            self.asks.named.remove(&ticket);
            return Refusal::HomeUnreachable { region: home }.into();
        };
        if home == here {
            self.asks.named.remove(&ticket);
            self.accept_task(task, spec);
            return self.submitted(task, Some(spec));
        }
        let ask = AtHome::Submit { task, spec: Box::new(spec.clone()) };
        self.asks.arriving.insert(ticket, task);
        self.ask_home(home, Asker::Submit(ticket, Box::new(spec.clone()), until), ask);
        Verdict::Asked
    }

    /// Accepts a task under a name that another region has given it.
    pub(crate) fn submit_as(&mut self, id: TaskId, spec: &Spec) -> Result<(), Refusal> {
        let here = self.config.region;
        let is_fit = self.charter.placement_of(id) == Some(spec.placement);
        if is_fit && self.tasks.get(id).is_some() {
            return Ok(());
        }
        // An earlier home may have accepted it: only who has taken over knows whether it has.
        if !is_fit || !self.may_decide(id, spec.placement) {
            return Err(Refusal::HomeUnreachable { region: here });
        }
        match self.check_submission(spec) {
            Ok(None) => {
                self.accept_task(id, spec);
                Ok(())
            }
            Err(
                refusal @ (Refusal::Overloaded { .. }
                | Refusal::DiskFull { .. }
                | Refusal::TooLarge { .. }),
            ) => Err(refusal),
            // Both have heard different things, of agents or of the key. They will agree soon.
            Ok(Some(_)) | Err(_) => Err(Refusal::HomeUnreachable { region: here }),
        }
    }

    /// Takes in what another region says to a task that it was to accept.
    pub(crate) fn submitted_elsewhere(
        &mut self,
        (ticket, spec, until): (Ticket, Box<Spec>, Duration),
        answer: Result<Answer, Refusal>,
    ) {
        if let Err(refusal) = answer {
            self.asks.arriving.remove(&ticket);
            let is_away = matches!(refusal, Refusal::HomeUnreachable { .. });
            if is_away && self.now.mono < until {
                return self.desk.park(ticket, Command::Submit(*spec), Bell::Home, until);
            }
            let reply = self.asks.conclude(ticket, Err(refusal));
            self.asks.forget(ticket);
            self.counters.refused += 1;
            return self.say(0, Held::Reply(ticket, reply));
        }
        self.asks.named.remove(&ticket);
        self.on_command(ticket, Command::Submit(*spec), Patience::Until(self.arrives_until()));
    }

    fn arrives_until(&self) -> Duration {
        self.now.mono + Self::ARRIVES_WITHIN
    }

    /// Answers with a task that another region has accepted once it has arrived here.
    fn await_arrival(
        &mut self,
        ticket: Ticket,
        id: TaskId,
        spec: &Spec,
        patience: Patience,
    ) -> Verdict {
        let until = patience.until(self.now, Duration::ZERO);
        if self.tasks.get(id).is_none() && self.now.mono < until {
            return Verdict::Wait(Bell::Task(id), until);
        }
        self.asks.arriving.remove(&ticket);
        if self.tasks.get(id).is_some() {
            return self.submitted(id, Some(spec));
        }
        let home = self.home_and_epoch(id).map_or(self.config.region, |(home, _)| home);
        Refusal::HomeUnreachable { region: home }.into()
    }

    /// Answers with a task that was submitted: just now, with this `spec`, or before.
    fn submitted(&self, id: TaskId, spec: Option<&Spec>) -> Verdict {
        let task = self.tasks.get(id).expect("it was submitted");
        let repeated = spec.is_none();
        let spec = spec.cloned().unwrap_or_else(|| self.spec(id));
        let summary = task.summary(id, spec, self.home_of_task(id, task.placement));
        let (ack, placement) = (summary.spec.ack, task.placement);
        let reply = Reply::Submitted { task: summary, repeated };
        match ack {
            Ack::Region => Verdict::Reply(task.append, Ok(reply)),
            Ack::Quorum => {
                self.at_quorum((id, placement), reply, self.now.mono + Self::QUORUM_WITHIN)
            }
        }
    }
}
