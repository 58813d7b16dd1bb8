//! Which connection is the link to each peer: the newest, and one at a time.
//! Must not open or close a socket.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use photon_region::{Input, Message};
use photon_state::RegionId;
use tokio::sync::OwnedSemaphorePermit;

use super::class::Class;
use super::outbox::Outbox;
use crate::stats::LinkCounters;

/// Names a connection; never used twice.
pub(crate) type LinkId = u64;

/// What happened on a connection.
#[derive(Debug)]
pub(crate) struct LinkEvent {
    /// The peer.
    pub(crate) peer: RegionId,
    /// The connection.
    pub(crate) link: LinkId,
    /// What happened.
    pub(crate) what: LinkNews,
}

/// What can happen on a connection.
#[derive(Debug)]
pub(crate) enum LinkNews {
    /// Both sides have introduced themselves.
    Up(Arc<Outbox>),
    /// The connection is gone.
    Down,
    /// The peer spoke. The permit is room in the link's window, given back when it is dropped.
    Message(
        Message,
        #[expect(dead_code, reason = "held until the driver has the message")] OwnedSemaphorePermit,
    ),
}

/// The links that are up.
#[derive(Debug)]
pub(crate) struct LinkTable {
    links: BTreeMap<RegionId, (LinkId, Arc<Outbox>)>,
    counters: Arc<LinkCounters>,
}

impl LinkTable {
    /// Makes a table without links.
    pub(crate) fn new(counters: Arc<LinkCounters>) -> Self {
        Self { links: BTreeMap::new(), counters }
    }

    /// Turns news into what the machine hears of them. A connection that another one has replaced
    /// is no longer heard, so that its last words never come after its end.
    pub(crate) fn take(&mut self, event: LinkEvent) -> [Option<Input>; 2] {
        let LinkEvent { peer, link, what } = event;
        let is_current = self.links.get(&peer).is_some_and(|(current, _)| *current == link);
        match what {
            LinkNews::Up(outbox) => {
                let old = self.links.insert(peer, (link, outbox));
                let unlinked = old.map(|(_, outbox)| {
                    outbox.close();
                    Input::Unlinked(peer)
                });
                [unlinked, Some(Input::Linked(peer))]
            }
            LinkNews::Down if is_current => {
                self.links.remove(&peer);
                [Some(Input::Unlinked(peer)), None]
            }
            LinkNews::Message(message, _) if is_current => {
                [Some(Input::Message(peer, message)), None]
            }
            LinkNews::Down | LinkNews::Message(..) => [None, None],
        }
    }

    /// Sends a message, or drops it where there is no link or no room.
    pub(crate) fn send(&self, peer: RegionId, class: Class, message: Message) {
        let outbox = self.links.get(&peer).map(|(_, outbox)| outbox);
        if outbox.is_none_or(|it| it.push(class, message).is_err()) {
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
            self.counters.peers.of(peer).of(class).dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for LinkTable {
    fn drop(&mut self) {
        self.links.values().for_each(|(_, outbox)| outbox.close());
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    #[test]
    fn a_newer_connection_takes_the_place_of_the_older_which_is_heard_no_more() {
        let peer = RegionId::try_from("b").unwrap();
        let mut table = LinkTable::new(Arc::default());
        let room = Arc::new(Semaphore::new(9));
        let mut take = |link, what| {
            let inputs = table.take(LinkEvent { peer, link, what });
            inputs.into_iter().flatten().map(|input| format!("{input:?}")).collect::<Vec<_>>()
        };
        let message = |number| {
            let permit = Arc::clone(&room).try_acquire_owned().unwrap();
            LinkNews::Message(Message::Ping(number), permit)
        };
        let old = Arc::new(Outbox::default());
        assert_eq!(take(1, LinkNews::Up(Arc::clone(&old))), ["Linked(b)"]);
        assert_eq!(take(1, message(1)), ["Message(b, Ping(1))"]);
        assert_eq!(take(2, LinkNews::Up(Arc::default())), ["Unlinked(b)", "Linked(b)"]);
        assert!(old.push(Class::Control, Message::Ping(0)).is_err());
        assert!(take(1, message(2)).is_empty());
        assert!(take(1, LinkNews::Down).is_empty());
        assert_eq!(take(2, message(3)), ["Message(b, Ping(3))"]);
        assert_eq!(take(2, LinkNews::Down), ["Unlinked(b)"]);
        assert!(take(2, message(4)).is_empty());
        assert_eq!(room.available_permits(), 9);
    }
}
