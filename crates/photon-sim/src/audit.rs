//! The end of a run: the world comes to rest, then everything is compared with everything.
//! Must not change the world but by asking what any client may ask.

use std::collections::BTreeMap;
use std::ops::Bound;

use photon_region::{Event as TaskEvent, PeerVerdict, Region};
use photon_state::codec::Writer;
use photon_state::{Held, Op, PlacementId, RegionId, Seat, Store};

use crate::clock::{MS, Micros, SECOND};
use crate::gathering::Gatherings;
use crate::moved::{count, unfinished};
use crate::planet::Planet;
use crate::promises::{Broken, Promise, has_moved};
use crate::records::{CANARY, placement_of};
use crate::site::Site;
use crate::tasklog::check_log;

impl Planet<'_, '_> {
    /// How long it may take, once all faults are over, until every task has ended everywhere.
    const REST_MAX: Micros = 90 * SECOND;
    /// How long the audit may take.
    const AUDIT_MAX: Micros = 30 * SECOND;
    /// How often somebody looks whether it is over.
    const LOOK_EVERY: Micros = 250 * MS;

    /// Runs on until nothing is left to do, within a bounded time.
    pub(crate) fn come_to_rest(&mut self) -> Result<(), Broken> {
        let rest_max = Self::REST_MAX + self.jumps();
        let deadline = self.now + rest_max;
        loop {
            self.run_until(self.now + Self::LOOK_EVERY)?;
            let Some(what) = self.unrest() else { return Ok(()) };
            Promise::Calm.holds(self.now < deadline, || {
                format!("{} s after the last fault {what}", rest_max / SECOND)
            })?;
        }
    }

    /// Says what still keeps the world busy.
    fn unrest(&self) -> Option<String> {
        if !self.crowd.is_idle() {
            return Some("clients or workers are still busy".to_owned());
        }
        for (site, name) in self.sites.iter().zip(&self.atlas.ids) {
            let machine = machine(site);
            // A region that sent part of a state and then lost its disk never sends the rest.
            if let Some(op) = machine.holds_more_than_seen()
                && self.ledger.is_strict()
            {
                return Some(format!("{name} waits for the rest of a state: {op:?}"));
            }
            if let Some(what) = unfinished(machine)
                && !self.has_full_memory()
            {
                return Some(format!("{name} has a move that does not end: {what}"));
            }
            let view = machine.view();
            let is_open = |(state, count): &&(photon_region::TaskState, usize)| {
                !state.is_terminal() && 0 < *count
            };
            if let Some((state, count)) = view.tasks.iter().find(is_open)
                && self.ledger.is_strict()
            {
                let open = machine.open_task()?;
                let home = machine.home_and_epoch(open).map(|(home, _)| self.atlas.site(home));
                let why = home.map(|it| self::machine(&self.sites[it]).explain(open));
                let state = state.as_str();
                return Some(format!("{name} has {count} tasks that are {state}: {open}: {why:?}"));
            }
            if 0 < view.webhooks_due {
                return Some(format!("{name} has webhooks to tell: {}", view.webhooks_due));
            }
            if let Some(peer) = view.peers.iter().find(|it| !it.is_linked) {
                return Some(format!("{name} is not linked to {}", peer.region));
            }
            let is_out = |it: &&RegionId| machine.verdict_on(**it) == PeerVerdict::Down;
            if let Some(out) = self.atlas.ids.iter().find(is_out) {
                return Some(format!("{name} takes {out} for lost"));
            }
            if let Some(peer) = view.peers.iter().find(|it| 0 < it.lag_ops) {
                return Some(format!("{name} is {} ops ahead of {}", peer.lag_ops, peer.region));
            }
        }
        (0..self.atlas.placements.len())
            .find_map(|index| self.disagreement(index))
            .or_else(|| self.unanswered())
    }

    /// Whether a region refuses what adds to its records, and will for ever.
    fn has_full_memory(&self) -> bool {
        self.sites.iter().map(|it| machine(it).view().room).any(|it| it.memory_end <= it.memory)
    }

    /// Says which two members of a placement have seen different ops of it.
    fn disagreement(&self, index: usize) -> Option<String> {
        let (placement, members) = self.atlas.placements[index];
        let mut first: Option<(usize, Vec<_>)> = None;
        for here in (0..self.sites.len()).filter(|it| members >> it & 1 == 1) {
            let seen = machine(&self.sites[here]).store().seen();
            let seen: Vec<_> = seen.iter().filter(|(it, _)| it.placement == placement).collect();
            match &first {
                None => first = Some((here, seen)),
                Some((_, other)) if *other == seen => {}
                Some((there, _)) => {
                    let (here, there) = (self.atlas.ids[here], self.atlas.ids[*there]);
                    return Some(format!(
                        "{here} and {there} have seen different ops of {placement}"
                    ));
                }
            }
        }
        None
    }

    /// Compares everything, and reads every task everywhere.
    pub(crate) fn audit(&mut self) -> Result<(), Broken> {
        self.trace.line(self.now, format_args!("audit"));
        for index in 0..self.atlas.placements.len() {
            self.check_streams(self.atlas.placements[index])?;
        }
        self.check_all_contents()?;
        self.check_secrets()?;
        let deadline = self.now + Self::AUDIT_MAX;
        let (crowd, mut stage) = self.stage();
        crowd.begin_lists(&mut stage);
        while !self.crowd.lists_are_read() {
            self.run_until(self.now + Self::LOOK_EVERY)?;
            Promise::Calm
                .holds(self.now < deadline, || "lists of tasks are not answered".into())?;
        }
        let (crowd, mut stage) = self.stage();
        crowd.scribes.begin_last_looks(&mut stage);
        while !self.crowd.scribes.have_looked() {
            self.run_until(self.now + Self::LOOK_EVERY)?;
            Promise::Calm.holds(self.now < deadline, || "sessions are not answered".into())?;
        }
        let (crowd, mut stage) = self.stage();
        crowd.topics.begin_last_reads(&mut stage);
        while !self.crowd.topics.are_read() {
            self.run_until(self.now + Self::LOOK_EVERY)?;
            Promise::Calm.holds(self.now < deadline, || "topics are not answered".into())?;
        }
        let (crowd, mut stage) = self.stage();
        crowd.begin_audit(&mut stage);
        while !self.crowd.audit_is_over() {
            self.run_until(self.now + Self::LOOK_EVERY)?;
            Promise::Calm.holds(self.now < deadline, || "events are not answered".into())?;
        }
        if !self.ledger.is_strict() {
            self.ledger.audit_after_loss(&self.atlas, &self.sites)?;
            self.crowd.scribes.audit_after_loss(&self.atlas, &self.sites, &self.ledger)?;
            return self.crowd.movers.audit_after_loss(&self.atlas, &self.sites);
        }
        self.crowd.scribes.audit(&self.atlas, &self.sites)?;
        self.crowd.movers.audit(&self.atlas, &self.sites)?;
        self.crowd.topics.check(&self.atlas.ids)?;
        (self.report.moved, self.report.purged) = count(&self.sites);
        self.check_tasks()
    }

    /// No byte of a secret is on a disk outside its placement.
    fn check_secrets(&self) -> Result<(), Broken> {
        let placement = placement_of(&self.atlas, "secrets");
        for (here, site) in self.sites.iter().enumerate() {
            if self.atlas.may_hold(placement, here) {
                continue;
            }
            let mut writer = Writer::default();
            let mut holds = |op: &Op| {
                writer.clear();
                writer.op(op);
                writer.written().windows(CANARY.len()).any(|it| it == CANARY)
            };
            let stray = site.disk.written().find(|op| holds(op));
            Promise::Residency.holds(stray.is_none() && !site.pages.hold(CANARY), || {
                format!("the disk of {} holds a secret: {stray:?}", self.atlas.ids[here])
            })?;
        }
        Ok(())
    }

    /// The members of a placement hold the same streams, op by op, and outsiders hold none of it.
    fn check_streams(&self, (placement, members): (PlacementId, u32)) -> Result<(), Broken> {
        let mut first: Option<usize> = None;
        for here in 0..self.sites.len() {
            let streams = self.sites[here].disk.streams();
            let mut streams = streams.filter(|(it, _)| it.placement == placement);
            if members >> here & 1 == 0 {
                let stray = streams.next();
                Promise::Residency.holds(stray.is_none(), || {
                    format!("the log of {} holds {stray:?}", self.atlas.ids[here])
                })?;
                continue;
            }
            let there = *first.get_or_insert(here);
            for (stream, len) in streams {
                let differs = (1..=len).find(|seq| {
                    let (ours, theirs) = (&self.sites[here].disk, &self.sites[there].disk);
                    let both = ours.op(stream, *seq).zip(theirs.op(stream, *seq));
                    both.is_some_and(|(ours, theirs)| ours != theirs)
                });
                Promise::SameOps.holds(differs.is_none(), || {
                    let (here, there) = (self.atlas.ids[here], self.atlas.ids[there]);
                    format!("the logs of {here} and {there} differ in {stream:?} at {differs:?}")
                })?;
            }
        }
        Ok(())
    }

    /// Compares what all regions hold, as far as they have seen the same.
    pub(crate) fn check_all_contents(&self) -> Result<(), Broken> {
        self.atlas.placements.iter().try_for_each(|it| self.check_contents(*it))
    }

    /// Members of a placement that have seen the same of it hold the same of it.
    fn check_contents(&self, of: (PlacementId, u32)) -> Result<(), Broken> {
        let (placement, members) = of;
        let mut known: BTreeMap<Vec<u64>, (usize, Vec<_>)> = BTreeMap::new();
        for here in (0..self.sites.len()).filter(|it| members >> it & 1 == 1) {
            let Some(machine) = &self.sites[here].machine else { continue };
            if machine.holds_more_than_seen().is_some() {
                continue;
            }
            let store = machine.store();
            let seen = store.seen().iter().filter(|(it, _)| it.placement == placement);
            let seen: Vec<_> = seen.map(|(it, seq)| (*it, seq)).collect();
            let key = seen
                .iter()
                .flat_map(|(it, seq)| [self.atlas.site(it.origin) as u64, it.incarnation, *seq]);
            let key: Vec<u64> = key.collect();
            check_tallies(store, placement)?;
            let mut contents = store.contents();
            contents.retain(|(record, ..)| record.placement == placement);
            match known.get(&key) {
                None => {
                    known.insert(key, (here, contents));
                }
                Some((there, theirs)) => {
                    let differs = contents.iter().zip(theirs).find(|(ours, theirs)| ours != theirs);
                    let is_same = contents.len() == theirs.len() && differs.is_none();
                    Promise::SameOps.holds(is_same, || {
                        let (here, there) = (self.atlas.ids[here], self.atlas.ids[*there]);
                        let record = differs.map(|((record, ..), _)| record);
                        format!("{here} and {there} hold different {placement} at {record:?}")
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Every task has ended, properly and everywhere, and no key has two tasks in one region.
    fn check_tasks(&self) -> Result<(), Broken> {
        let mut keys = BTreeMap::new();
        let mut lengths = BTreeMap::new();
        let mut gatherings = Gatherings::default();
        for (task, here, events) in self.crowd.audited() {
            let known = self.ledger.task(task).expect("only known tasks are audited");
            check_log(task, events, known, has_moved(&self.sites, task))?;
            self.crowd.tellers.check(task, events)?;
            gatherings.add(task, events);
            let length = *lengths.entry(task).or_insert(events.len());
            Promise::SameOps.holds(length == events.len(), || {
                format!("task {task} has {length} events, but not in {}", self.atlas.ids[here])
            })?;
            let Some(TaskEvent::Submitted(spec)) = events.first().map(|it| &it.event) else {
                continue;
            };
            let Some(key) = &spec.idempotency else { continue };
            let born = self.sites.iter().find_map(|it| it.disk.birthplace(task));
            let Some(by) = born else { continue };
            let holder = *keys.entry((by, key.key.clone())).or_insert(task);
            Promise::OneEnding.holds(holder == task, || {
                let key = &key.key;
                format!("in {by} the key {key} made task {holder} and task {task}")
            })?;
        }
        gatherings.check(|task| has_moved(&self.sites, task))
    }
}

/// What regions compare first is what they hold.
fn check_tallies(store: &Store, placement: PlacementId) -> Result<(), Broken> {
    for shelf in store.shelves().filter(|(it, ..)| *it == placement) {
        let prints = store.states(*shelf, Bound::Unbounded);
        let print = |it: Held<'_>| Seat::of(it.key()).print(&it.value());
        let sum = prints.map(print).fold(0_u64, |sum, it| sum.wrapping_add(it));
        Promise::SameOps.holds(store.tally(shelf).is_some_and(|it| it.root() == sum), || {
            format!("the tally of {shelf:?} is not that of its records")
        })?;
    }
    Ok(())
}

fn machine(site: &Site) -> &Region {
    site.machine.as_ref().expect("all regions live when it is calm")
}
