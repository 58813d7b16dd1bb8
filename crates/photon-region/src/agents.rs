//! The agents: announce, forget, list; and for those attached here, hear them and hand out work.
//! Must not decide about tasks.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use photon_state::{Change, PlacementId, RegionId};

use crate::ask::Asker;
use crate::codec::encode_agent;
use crate::contract::{AgentChange, AgentSpec, AtHome, Disk, Lease, Reply};
use crate::desk::Bell;
use crate::home::check_size;
use crate::refusal::{Large, Queue, Refusal};
use crate::region::Region;
use crate::registry::{AGENTS, ONLINE, PRESENCE, agent_record, presence_record, weight};
use crate::task::{AgentName, Claim, Skill, TaskId};
use crate::verdict::{Patience, Verdict};

impl Region {
    /// Of how many agents what is known grows older in one beat; the others are next.
    const AGED_MAX: usize = 1_000;
    /// Bytes of one agent's card with its skills.
    const CARD_BYTES_MAX: usize = 256 << 10;

    /// The agents that are attached here have as long to be heard again as they may be silent.
    pub(crate) fn resume_agents(&mut self) {
        let here = self.config.region;
        let attached = self.registry.after(None).filter(|(_, it)| it.region == here);
        let online = attached.filter(|(_, it)| it.is_online);
        self.heard = online.map(|(name, _)| (name.clone(), self.now.mono)).collect();
    }

    pub(crate) fn register(&mut self, spec: &AgentSpec) -> Verdict {
        if let Err(refusal) = self.check_registration(spec) {
            return refusal.into();
        }
        let here = self.config.region;
        let known = self.registry.get(&spec.name);
        let is_same = known.is_some_and(|it| it.region == here && *it.spec == *spec);
        if !is_same {
            self.forget_placements(&spec.name, Some(spec.placement));
            let key = agent_record(spec.placement, &spec.name).key;
            let value = encode_agent(spec, here);
            self.write(spec.placement, AGENTS, key, Change::Put(value));
        }
        self.hear(&spec.name);
        // A repeated registration may meet the first one before it is durable.
        self.show_agent(&spec.name)
    }

    fn check_registration(&self, spec: &AgentSpec) -> Result<(), Refusal> {
        self.check_placement(spec.placement)?;
        let limits = &self.config.limits;
        let bytes = weight(spec);
        check_size(Large::Card, bytes, limits.message_bytes_max.min(Self::CARD_BYTES_MAX))?;
        if limits.agent_bytes_max < self.registry.bytes() + bytes {
            let (max, retry_after) = (limits.agent_bytes_max as u64, Duration::from_secs(60));
            return Err(Refusal::Overloaded { what: Queue::AgentBytes, max, retry_after });
        }
        if limits.agents_max <= self.registry.len() && self.registry.get(&spec.name).is_none() {
            let (max, retry_after) = (limits.agents_max as u64, Duration::from_secs(60));
            return Err(Refusal::Overloaded { what: Queue::Agents, max, retry_after });
        }
        self.check_disk()
    }

    pub(crate) fn deregister(&mut self, name: &AgentName) -> Verdict {
        let Some(entry) = self.registry.get(name) else { return self.show_agent(name) };
        let checked = self.check_placement(entry.spec.placement).and_then(|()| self.check_disk());
        if let Err(refusal) = checked {
            return refusal.into();
        }
        self.heard.remove(name);
        self.forget_placements(name, None);
        Verdict::Reply(self.appended(), Ok(Reply::Done))
    }

    /// Deletes the records of an agent in every placement that this region may write but one.
    fn forget_placements(&mut self, name: &AgentName, but: Option<PlacementId>) {
        let all = self.config.placements.keys().copied().filter(|it| Some(*it) != but);
        let held: Vec<_> = all
            .map(|placement| (placement, agent_record(placement, name)))
            .filter(|(_, record)| self.store.value(record).is_some())
            .collect();
        for (placement, record) in held {
            self.write(placement, AGENTS, record.key, Change::Delete);
        }
    }

    pub(crate) fn show_agent(&self, name: &AgentName) -> Verdict {
        let agent = match self.registry.get(name) {
            Some(entry) => Ok(Reply::Agent(Arc::new(self.registry.show(name, entry)))),
            None => Err(Refusal::NoSuchAgent(name.clone())),
        };
        Verdict::Reply(self.appended(), agent)
    }

    pub(crate) fn list_agents(
        &self,
        skill: Option<&Skill>,
        region: Option<RegionId>,
        after: Option<&AgentName>,
        limit: usize,
    ) -> Verdict {
        let fits = self.registry.after(after).filter(|(_, it)| {
            skill.is_none_or(|skill| it.spec.skills.contains(skill))
                && region.is_none_or(|region| it.region == region)
        });
        let show = |(name, entry): (&AgentName, _)| Arc::new(self.registry.show(name, entry));
        let mut agents: Vec<_> = fits.take(limit.saturating_add(1)).map(show).collect();
        let more = limit < agents.len();
        agents.truncate(limit);
        Verdict::Reply(self.appended(), Ok(Reply::Agents { agents, more }))
    }

    pub(crate) fn agent_changes(&self, after: u64, limit: usize) -> Verdict {
        let changes = self.registry.changes();
        let is_anew = changes.is_anew(after);
        let after = if is_anew { 0 } else { after };
        let found: Vec<(u64, &AgentName)> = changes.after(after).take(limit).collect();
        let upto = found.last().map_or(after, |(number, _)| *number);
        let show = |name: &AgentName| {
            let entry = self.registry.get(name);
            let agent = entry.map(|entry| Arc::new(self.registry.show(name, entry)));
            AgentChange { name: name.clone(), agent }
        };
        let changes = found.into_iter().map(|(_, name)| show(name)).collect();
        Verdict::Reply(self.appended(), Ok(Reply::AgentChanges { changes, upto, is_anew }))
    }

    pub(crate) fn acquire(
        &mut self,
        name: &AgentName,
        limit: usize,
        wait: Duration,
        patience: Patience,
    ) -> Verdict {
        let here = self.config.region;
        match self.registry.get(name) {
            None => return Refusal::NoSuchAgent(name.clone()).into(),
            Some(entry) if entry.region != here => {
                let region = entry.region;
                return Refusal::AttachedElsewhere { agent: name.clone(), region }.into();
            }
            Some(_) => {}
        }
        self.hear(name);
        let (append, leases) = self.take_leases(name, limit);
        let until = patience.until(self.now, wait);
        if !leases.is_empty() || until <= self.now.mono {
            return Verdict::Reply(append, Ok(Reply::Leases(leases)));
        }
        Verdict::Wait(Bell::Agent(name.clone()), until)
    }

    /// Bytes of what is said in the leases of one reply, short of one lease that has more.
    const LEASE_BYTES_MAX: usize = 16 << 20;

    /// Takes claims out of an agent's inbox, those that are still in force.
    fn take_leases(&mut self, name: &AgentName, limit: usize) -> (u64, Vec<Lease>) {
        let (mut append, mut leases, mut bytes) = (0, Vec::new(), 0);
        while leases.len() < limit {
            let Some(claim) = self.inboxes.get_mut(name).and_then(|it| it.pop_front()) else {
                self.inboxes.remove(name);
                break;
            };
            let task = self.tasks.get(claim.task);
            let Some(task) = task.filter(|it| it.current() == Some(claim.token)) else {
                continue;
            };
            let (spec, turns) = (self.spec(claim.task), self.turns(claim.task, task));
            let checkpoints = self.checkpoints(claim.task, task);
            bytes += spec.message.0.len() + turns.iter().map(|it| it.0.len()).sum::<usize>();
            bytes += checkpoints.iter().map(|it| it.key.len() + it.value.0.len()).sum::<usize>();
            if Self::LEASE_BYTES_MAX < bytes && !leases.is_empty() {
                self.inboxes.entry(name.clone()).or_default().push_front(claim);
                break; // The next request gets it.
            }
            append = task.append.max(append);
            let home = self.home_of_task(claim.task, task.placement);
            let ttl = self.heartbeat_of(task);
            let attempt_closes = task.attempt_closes_ms(self.now.wall_ms);
            let closes = task.closes_ms().into_iter().chain(attempt_closes).min();
            leases.push(Lease { claim, home, spec, turns, checkpoints, ttl, closes_ms: closes });
        }
        (append, leases)
    }

    /// Puts a claim into the inbox of an agent that is attached here.
    pub(crate) fn deliver(&mut self, id: TaskId, agent: &AgentName) {
        let task = self.tasks.get(id).expect("it was just claimed");
        let Some(token) = task.current() else { return };
        let (claim, home) = (Claim { task: id, token }, self.home_of_task(id, task.placement));
        let here = self.config.region;
        let placement = task.placement;
        let takes_it = self.registry.get(agent).is_some_and(|it| {
            let may_know = self.registry.may_know_of(it.spec.placement, placement);
            it.region == here && it.is_online && may_know
        });
        let takes_it = takes_it && self.registry.accepts(agent, task.wants());
        if !takes_it && home != here && self.way_to(home, placement).is_some() {
            self.turn_down(claim);
            return;
        }
        self.inboxes.entry(agent.clone()).or_default().push_back(claim);
        if let Some(poller) = self.desk.ring_one(&Bell::Agent(agent.clone())) {
            self.look_again(poller);
        }
    }

    /// Has its home offer a task to others, if that can be asked.
    fn turn_down(&mut self, claim: Claim) {
        let Some(task) = self.tasks.get(claim.task) else { return };
        let (placement, here) = (task.placement, self.config.region);
        let home = self.home_of_task(claim.task, placement);
        if home == here {
            // Refused if it was given to another since.
            let _ = self.decide_at_home(&AtHome::Decline(claim));
        } else if self.way_to(home, placement).is_some() {
            self.ask_home(home, Asker::Nobody, AtHome::Decline(claim));
        }
    }

    /// Turns down what an agent that has gone from here, or elsewhere, did not take up yet.
    pub(crate) fn turn_down_of_gone(&mut self, name: &AgentName) {
        let here = self.config.region;
        if self.registry.get(name).is_some_and(|it| it.region == here) {
            return;
        }
        for claim in self.inboxes.remove(name).unwrap_or_default() {
            self.turn_down(claim);
        }
    }

    /// Takes note that an agent lives, and says so if it was offline.
    fn hear(&mut self, name: &AgentName) {
        let here = self.config.region;
        let Some(entry) = self.registry.get(name).filter(|it| it.region == here) else {
            return;
        };
        let (is_online, placement) = (entry.is_online, entry.spec.placement);
        self.heard.insert(name.clone(), self.now.mono);
        if !is_online && self.disk == Disk::Ready {
            let key = presence_record(placement, here, name).key;
            let online = Change::Put(Bytes::from_static(ONLINE));
            self.write(placement, PRESENCE, key, online);
        }
    }

    /// Takes note that the worker of a task lives, if it is attached here and holds the lease; that
    /// may have been given to it elsewhere.
    pub(crate) fn hear_worker(&mut self, ask: &AtHome) {
        let claim = match ask {
            AtHome::Heartbeat(claim) => claim,
            AtHome::Note { claim, .. }
            | AtHome::Finish { claim, .. }
            | AtHome::Fail { claim, .. }
            | AtHome::Pause { claim, .. } => claim,
            AtHome::Submit { .. }
            | AtHome::Decline(_)
            | AtHome::Answer { .. }
            | AtHome::SetWebhook { .. }
            | AtHome::RemoveWebhook { .. }
            | AtHome::Topic { .. }
            | AtHome::Cancel { .. } => return,
        };
        let task = self.tasks.get(claim.task);
        let held = task.filter(|task| task.current() == Some(claim.token));
        if let Some((agent, _)) = held.and_then(|task| task.worker.clone()) {
            self.hear(&agent);
        }
    }

    /// Lets the agent of a task that was turned down rest. What is known of it here may be out of
    /// date for long, and would have the task go to and fro as fast as messages travel.
    pub(crate) fn let_rest(&mut self, id: TaskId) {
        let worker = self.tasks.get(id).and_then(|task| task.worker.as_ref());
        if let Some((agent, _)) = worker {
            self.registry.rest(agent);
        }
    }

    /// Offers work again to agents that turned some down.
    fn offer_to_rested(&mut self) {
        for agent in self.registry.rested() {
            self.dispatch_to(&agent);
        }
    }

    /// Marks the agents as offline that have been silent for too long.
    pub(crate) fn mark_silent_agents(&mut self) {
        self.registry.age(self.now.mono, Self::AGED_MAX);
        self.offer_to_rested();
        if self.disk == Disk::Full {
            return;
        }
        let patience = self.config.limits.agent_silent_after;
        let is_silent = |(name, at): &(&AgentName, &Duration)| {
            **at + patience <= self.now.mono && !self.desk.waits(&Bell::Agent((*name).clone()))
        };
        let silent: Vec<AgentName> =
            self.heard.iter().filter(is_silent).map(|(name, _)| name.clone()).collect();
        let here = self.config.region;
        for name in silent {
            self.heard.remove(&name);
            self.inboxes.remove(&name); // Nobody takes them up: their leases lapse at home.
            if let Some(entry) = self.registry.get(&name).filter(|it| it.region == here) {
                let placement = entry.spec.placement;
                let key = presence_record(placement, here, &name).key;
                self.write(placement, PRESENCE, key, Change::Delete);
            }
        }
    }
}
