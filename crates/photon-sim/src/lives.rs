//! How regions die, and how they live again from their logs.
//! Must not decide when: `mishaps` does.

use photon_region::{Disk as Room, Input, Region, Ticket};

use crate::clock::{MS, SECOND};
use crate::faults::Fault;
use crate::leaves::Leaves;
use crate::mishaps::Mishap;
use crate::net::Conditions;
use crate::planet::{Event, Pending, Planet};
use crate::promises::{Broken, Promise};

impl Planet<'_, '_> {
    /// Lets a region die: what it had not carried out and not synced is gone.
    pub(crate) fn crash(&mut self, here: usize) -> Result<(), Broken> {
        self.retire_counters(here)?;
        let site = &mut self.sites[here];
        (site.doomed, site.still_until) = (None, None);
        if site.machine.take().is_none() {
            return Ok(());
        }
        self.report.crashes += 1;
        if 0 < self.sites[here].disk.untrue() {
            self.find_out(here);
        }
        let site = &mut self.sites[here];
        let is_torn = 0.0 < self.weather.strength(Fault::TornWrite);
        let kept = if is_torn { self.rng.usize(0..=site.disk.unsynced()) } else { 0 };
        let lost = site.disk.unsynced() - kept;
        site.disk.crash(kept);
        self.digest.number(lost as u64);
        let name = self.atlas.ids[here];
        self.trace.line(self.now, format_args!("{name} crashes, {lost} ops lost, {kept} kept"));
        self.hang_up(here);
        let here_only = |(ticket, it): (&Ticket, &Pending)| (it.site == here).then_some(*ticket);
        let tickets: Vec<Ticket> = self.pending.iter().filter_map(here_only).collect();
        for ticket in tickets {
            let pending = self.pending.remove(&ticket).expect("it is there: just listed");
            let (crowd, mut stage) = self.stage();
            crowd.lost(&mut stage, &pending.asked);
        }
        let delay = self.rng.u64(20 * MS..4 * SECOND);
        let at = (self.now + delay).max(self.sites[here].down_until);
        self.queue.put(at, Event::Restart(here));
        Ok(())
    }

    /// Adds up what a life of a region has counted; none may have met an op that breaks the rules.
    pub(crate) fn retire_counters(&mut self, here: usize) -> Result<(), Broken> {
        let Some(machine) = &self.sites[here].machine else { return Ok(()) };
        let counters = machine.view().counters;
        self.report.lapsed += counters.lapsed;
        self.report.retried += counters.retried;
        self.report.timed_out += counters.timed_out;
        self.report.stale += counters.stale;
        self.report.transfers += counters.transfers;
        self.report.compared += counters.compared;
        let pages = machine.view().room.pages;
        let are_erased = self.sites[here].pages.used() as u64 == pages.used;
        Promise::Residency.holds(are_erased, || {
            format!("{} has left something on pages", self.atlas.ids[here])
        })?;
        self.report.laid_away += pages.written;
        let is_mended = 0 < counters.mended && self.ledger.is_strict();
        Promise::SameOps.holds(!is_mended, || {
            format!("{} mended what was not damaged", self.atlas.ids[here])
        })?;
        self.report.received += counters.received;
        self.report.repeated += counters.repeated;
        self.report.helped += counters.helped;
        Promise::OneEnding.holds(counters.misplaced == 0 || !self.ledger.is_strict(), || {
            format!("{} met {} ops that break the rules", self.atlas.ids[here], counters.misplaced)
        })
    }

    /// Lets a region live again, from its log.
    pub(crate) fn restart(&mut self, here: usize) -> Result<(), Broken> {
        if self.sites[here].machine.is_some() || self.now < self.sites[here].down_until {
            return Ok(());
        }
        let (mono, seed) = (self.rng.u64(0..SECOND << 20), self.rng.u64(..));
        let site = &mut self.sites[here];
        site.life += 1;
        site.config.seed = seed;
        site.clock.restart(self.now, mono);
        let mut machine = Region::new(site.config.clone());
        // Now and then the disk has little room for pages.
        site.pages = Leaves::new(if seed % 4 == 0 { seed / 4 % 20 } else { u64::MAX });
        machine.lay_away_to(Box::new(site.pages.clone()));
        (self.prepare)(&mut machine);
        site.disk.ops().iter().for_each(|op| machine.replay(op.clone()));
        let lacks = machine.lacks();
        Promise::Acknowledged.holds(lacks.is_none(), || {
            format!("the log of {} lacks what comes before {lacks:?}", self.atlas.ids[here])
        })?;
        machine.start(site.clock.read(self.now));
        site.machine = Some(machine);
        self.hearing.begin(self.now, here);
        let (name, ops) = (self.atlas.ids[here], site.disk.ops().len());
        let incarnation = site.config.incarnation;
        self.trace.line(self.now, format_args!("{name}#{incarnation:x} starts with {ops} ops"));
        self.feed(here, Input::Tick)?;
        self.tell_room(here)
    }

    /// Ends all faults.
    pub(crate) fn calm_down(&mut self) -> Result<(), Broken> {
        self.trace.line(self.now, format_args!("calm: all faults end"));
        self.is_calm = true;
        self.net.conditions = Conditions::default();
        self.net.mend();
        for here in 0..self.sites.len() {
            let site = &mut self.sites[here];
            site.doomed = None;
            site.clock.skew_ms = self.rng.i64(-200..200);
            if site.disk.is_full && site.still_until.is_some() {
                self.queue.put(self.now, Event::Mishap(Mishap::Room(here)));
            } else if site.disk.is_full {
                site.disk.is_full = false;
                self.feed(here, Input::Disk(Room::Ready))?;
            }
            self.restart(here)?;
        }
        let (crowd, mut stage) = self.stage();
        crowd.fleet.all_enlist(&mut stage);
        Ok(())
    }

    /// Sets how full a disk is, and tells the region.
    pub(crate) fn set_room(&mut self, here: usize, room: Room) -> Result<(), Broken> {
        if self.sites[here].machine.is_none() {
            return Ok(());
        }
        self.feed(here, Input::Disk(room))?;
        let is_alive = self.sites[here].machine.is_some(); // It may have died of it.
        self.sites[here].disk.is_full = room == Room::Full && is_alive;
        Ok(())
    }
}
