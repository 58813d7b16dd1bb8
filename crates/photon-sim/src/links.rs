//! How links come up and go down: each side learns of it at its own time, or not at all.
//! Must not know what travels over a link.

use photon_region::Input;

use crate::clock::{MS, SECOND};
use crate::planet::{Event, Planet};
use crate::promises::Broken;

/// Something happens to a link.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LinkEvent {
    /// One of two sites tries to reach the other.
    Dial(usize, usize),
    /// A side learns that a session has begun.
    Up { here: usize, peer: usize, session: u32 },
    /// A side learns that a session is over.
    Down { here: usize, peer: usize, session: u32 },
}

impl Planet<'_, '_> {
    /// Lets every two sites dial.
    pub(crate) fn begin_links(&mut self) {
        for a in 0..self.sites.len() {
            for b in a + 1..self.sites.len() {
                self.begin_dialling(a, b);
            }
        }
    }

    /// Lets two sites dial until they reach each other; once is enough.
    pub(crate) fn begin_dialling(&mut self, a: usize, b: usize) {
        let pair = self.net.pair(a, b);
        if pair.is_dialled {
            return;
        }
        pair.is_dialled = true;
        let delay = self.rng.u64(30 * MS..400 * MS);
        self.queue.put(self.now + delay, Event::Link(LinkEvent::Dial(a, b)));
    }

    pub(crate) fn on_link(&mut self, event: LinkEvent) -> Result<(), Broken> {
        match event {
            LinkEvent::Dial(a, b) => {
                self.dial(a, b);
                Ok(())
            }
            LinkEvent::Up { here, peer, session } => self.up(here, peer, session),
            LinkEvent::Down { here, peer, session } => self.down(here, peer, session),
        }
    }

    fn dial(&mut self, a: usize, b: usize) {
        let both_live = self.sites[a].machine.is_some() && self.sites[b].machine.is_some();
        let is_still = self.is_still(a) || self.is_still(b);
        if !both_live || is_still || !self.net.passes(self.now, a, b) {
            let delay = self.rng.u64(150 * MS..800 * MS);
            self.queue.put(self.now + delay, Event::Link(LinkEvent::Dial(a, b)));
            return;
        }
        let pair = self.net.pair(a, b);
        pair.is_dialled = false;
        pair.session += 1;
        let session = pair.session;
        let delay = self.net.delay(a, b);
        let (first, second) = if self.rng.bool() { (a, b) } else { (b, a) };
        let up = LinkEvent::Up { here: first, peer: second, session };
        self.queue.put(self.now + delay, Event::Link(up));
        let up = LinkEvent::Up { here: second, peer: first, session };
        let later = self.rng.u64(0..2 * delay);
        self.queue.put(self.now + delay + later, Event::Link(up));
    }

    fn up(&mut self, here: usize, peer: usize, session: u32) -> Result<(), Broken> {
        if self.sites[here].machine.is_none() || self.net.pair(here, peer).session != session {
            return Ok(());
        }
        let name = self.atlas.ids[peer];
        if *self.net.linked(here, peer) && self.rng.bool() {
            *self.net.linked(here, peer) = false;
            self.hearing.part(self.now, here, peer);
            self.feed(here, Input::Unlinked(name))?;
        }
        *self.net.linked(here, peer) = true;
        self.feed(here, Input::Linked(name))
    }

    fn down(&mut self, here: usize, peer: usize, session: u32) -> Result<(), Broken> {
        let is_over = self.net.pair(here, peer).session != session;
        if is_over || self.sites[here].machine.is_none() {
            return Ok(());
        }
        self.begin_dialling(here, peer);
        if !*self.net.linked(here, peer) {
            return Ok(());
        }
        *self.net.linked(here, peer) = false;
        self.hearing.part(self.now, here, peer);
        self.feed(here, Input::Unlinked(self.atlas.ids[peer]))
    }

    /// Ends the session between two sites: each side may notice, soon or late.
    pub(crate) fn break_link(&mut self, a: usize, b: usize) {
        let session = self.net.pair(a, b).session;
        let certain = self.rng.bool();
        for (here, peer, notices) in [(a, b, certain), (b, a, !certain)] {
            if notices || self.rng.u32(0..4) != 0 {
                let delay = self.rng.u64(MS..3 * SECOND);
                let down = LinkEvent::Down { here, peer, session };
                self.queue.put(self.now + delay, Event::Link(down));
            }
        }
    }

    /// A site has died: its peers notice, soon or late, and it will dial when it is back.
    pub(crate) fn hang_up(&mut self, here: usize) {
        for peer in (0..self.sites.len()).filter(|it| *it != here) {
            *self.net.linked(here, peer) = false;
            self.hearing.part(self.now, here, peer);
            let session = self.net.pair(here, peer).session;
            if self.rng.u32(0..5) != 0 {
                let delay = self.rng.u64(MS..2 * SECOND);
                let down = LinkEvent::Down { here: peer, peer: here, session };
                self.queue.put(self.now + delay, Event::Link(down));
            }
            self.begin_dialling(here, peer);
        }
    }
}
