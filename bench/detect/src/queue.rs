//! What happens when: events by the millisecond, in the order in which they were put in.
//! Must not know what they mean.

use std::collections::BTreeMap;

/// How far ahead events are found without a search, in milliseconds.
const NEAR: u64 = 8_192;

/// Events of one simulation.
pub(crate) struct Queue<E> {
    now: u64,
    near: Vec<Vec<E>>,
    far: BTreeMap<u64, Vec<E>>,
}

impl<E> Queue<E> {
    pub(crate) fn new(now: u64) -> Self {
        Self { now, near: (0..NEAR).map(|_| Vec::new()).collect(), far: BTreeMap::new() }
    }

    fn slot(at: u64) -> usize {
        usize::try_from(at % NEAR).expect("a small number")
    }

    /// Puts an event in; one that is past happens now, after those that are there.
    pub(crate) fn push(&mut self, at: u64, event: E) {
        let at = at.max(self.now);
        if at < self.now + NEAR {
            self.near[Self::slot(at)].push(event);
        } else {
            self.far.entry(at).or_default().push(event);
        }
    }

    /// Takes the events of the present millisecond out, or goes to the next one if there are none.
    pub(crate) fn take(&mut self) -> Option<Vec<E>> {
        let events = std::mem::take(&mut self.near[Self::slot(self.now)]);
        if !events.is_empty() {
            return Some(events);
        }
        self.now += 1;
        while let Some(entry) = self.far.first_entry().filter(|it| *it.key() < self.now + NEAR) {
            let at = *entry.key();
            self.near[Self::slot(at)].extend(entry.remove());
        }
        None
    }

    /// Gives the memory of events that were taken back.
    pub(crate) fn give_back(&mut self, events: Vec<E>) {
        let slot = &mut self.near[Self::slot(self.now)];
        if slot.is_empty() && slot.capacity() < events.capacity() {
            *slot = events;
            slot.clear();
        }
    }

    pub(crate) fn now(&self) -> u64 {
        self.now
    }
}
