//! Messages under way: given to the net, and delivered as long as their session lasts.
//! Must not know what a message says, but that beats tell who lives.

use photon_region::{Input, Message, decode_message, encode_message};

use crate::planet::{Event, Planet};
use crate::promises::{Broken, Promise, check_send};

impl Planet<'_, '_> {
    pub(crate) fn send(&mut self, here: usize, to: usize, message: Message) -> Result<(), Broken> {
        check_send(&self.atlas, &self.sites, (here, to), &message, &self.ledger)?;
        if !*self.net.linked(here, to) {
            return Ok(());
        }
        if self.rng.u32(0..32) == 0 {
            let decoded = decode_message(&encode_message(&message));
            Promise::Contract.holds(decoded.as_ref() == Ok(&message), || {
                format!("{message:?} came back from the codec as {decoded:?}")
            })?;
        }
        let session = self.net.pair(here, to).session;
        let [first, copy] = self.net.carry(self.now, here, to);
        let is_beat = matches!(message, Message::Beat(_));
        if let Some(at) = copy {
            self.hearing.sent((self.now, at), here, to);
            let message = message.clone();
            self.queue.put(at, Event::Deliver { from: here, to, session, message });
        }
        match first {
            Some(at) => {
                self.hearing.sent((self.now, at), here, to);
                self.queue.put(at, Event::Deliver { from: here, to, session, message });
            }
            None => {
                self.report.lost += 1;
                if is_beat {
                    self.hearing.disturb(self.now + self.net.delay(here, to), here, to);
                }
            }
        }
        Ok(())
    }

    /// Messages of a session that is over are lost or late.
    pub(crate) fn deliver(
        &mut self,
        from: usize,
        to: usize,
        session: u32,
        message: Message,
    ) -> Result<(), Broken> {
        if let Some(until) = self.net.held_until(self.now, from, to) {
            self.hearing.sent((self.now, until), from, to);
            self.hearing.disturb(until, from, to);
            self.queue.put(until, Event::Deliver { from, to, session, message });
            return Ok(());
        }
        let is_late = self.net.pair(from, to).session != session;
        let is_beat = matches!(message, Message::Beat(_));
        if !*self.net.linked(to, from) || is_late && self.rng.bool() {
            self.report.lost += 1;
            if is_beat {
                self.hearing.disturb(self.now, from, to);
            }
            return Ok(());
        }
        if is_beat {
            self.hearing.heard(self.now, from, to);
        }
        let sender = self.atlas.ids[from];
        self.feed(to, Input::Message(sender, message))
    }
}
