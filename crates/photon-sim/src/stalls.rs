//! Processes that stand still for a while: what reaches them waits, and comes at once when they go
//! on. Their clocks do not wait.
//! Must not decide when: `mishaps` does.

use crate::clock::{MS, Micros};
use crate::links::LinkEvent;
use crate::mishaps::Mishap;
use crate::planet::{Event, Planet};

impl Planet<'_, '_> {
    /// The shortest and, in turn, the longest that a process stands still.
    const STALL_MS: (u64, [u64; 5]) = (50, [150, 400, 900, 1_400, 2_000]);

    /// Lets a process stand still for a while.
    pub(crate) fn stall(&mut self, here: usize) {
        if self.is_still(here) || self.sites[here].machine.is_none() {
            return;
        }
        let (least, most) = Self::STALL_MS;
        let most = most[self.rng.usize(0..most.len())];
        let until = self.now + self.rng.u64(least * MS..=most * MS);
        self.stand_still(here, until);
    }

    /// Lets a process that lives stand still until then.
    pub(crate) fn stand_still(&mut self, here: usize, until: Micros) {
        let site = &mut self.sites[here];
        if site.machine.is_none() {
            return;
        }
        site.still_until = site.still_until.max(Some(until));
        self.report.stalls += 1;
        self.disturb_all(here);
        // It comes before all that will have waited.
        let life = self.sites[here].life;
        self.queue.put(until, Event::Mishap(Mishap::GoOn { site: here, life }));
    }

    /// Lets a process go on.
    pub(crate) fn go_on(&mut self, here: usize, life: u32) {
        let site = &mut self.sites[here];
        let is_over = site.still_until.is_some_and(|it| it <= self.now);
        if site.life == life && is_over {
            site.still_until = None;
            self.hearing.rouse(self.now, here);
            self.disturb_all(here);
        }
    }

    /// Whether a process stands still.
    pub(crate) fn is_still(&self, here: usize) -> bool {
        self.sites[here].still_until.is_some()
    }

    /// Returns until when an event has to wait, because it happens to a process that stands still.
    pub(crate) fn waits_until(&self, event: &Event) -> Option<Micros> {
        let site = match event {
            Event::Wake(site)
            | Event::Synced { site, .. }
            | Event::Fetched { site, .. }
            | Event::Truncated { site, .. }
            | Event::Deliver { to: site, .. }
            | Event::Link(LinkEvent::Up { here: site, .. } | LinkEvent::Down { here: site, .. })
            | Event::Mishap(Mishap::Room(site)) => *site,
            Event::Ask(request) => request.site,
            Event::Abandon(ticket) => self.pending.get(ticket)?.site,
            Event::Link(LinkEvent::Dial(..))
            | Event::Restart(_)
            | Event::Mishap(
                Mishap::Strike(_)
                | Mishap::Mend(_)
                | Mishap::Flicker { .. }
                | Mishap::GoOn { .. }
                | Mishap::LoseDisk
                | Mishap::Scheduled { .. },
            )
            | Event::Turn(_)
            | Event::Watch => return None,
        };
        self.sites[site].still_until
    }

    /// Lets an event wait until the process that it happens to goes on.
    pub(crate) fn wait(&mut self, until: Micros, event: Event) {
        if let Event::Wake(site) = event {
            if self.sites[site].queued != self.now {
                return; // An earlier wake-up has taken its place.
            }
            self.sites[site].queued = until;
        }
        self.queue.put(until, event);
    }

    fn disturb_all(&mut self, here: usize) {
        for peer in (0..self.sites.len()).filter(|it| *it != here) {
            self.hearing.disturb(self.now, here, peer);
            self.hearing.disturb(self.now, peer, here);
        }
    }
}
