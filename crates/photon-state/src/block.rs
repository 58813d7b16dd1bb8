//! A block: packed values of neighbouring keys, one behind the other in one piece of memory.
//! Must not know what a value means, nor of other blocks.
//!
//! In front there is a table of where each entry begins, counted from the end of the table. Each
//! entry is the length of its key, the key, and the value up to the next entry. Numbers have two
//! bytes. All of it is in one piece because memory that is far away is what a look at it costs.

use std::sync::atomic::{AtomicBool, Ordering};

/// Packed values by key.
#[derive(Debug, Default)]
pub(crate) struct Block {
    bytes: Vec<u8>,
    count: u16,
    /// Whether it was looked at since it was last asked.
    is_used: AtomicBool,
}

/// Bytes of a number.
const NUMBER_BYTES: usize = 2;

impl Block {
    /// Bytes of a block, short of one entry that is larger; it is split before it has more. One of
    /// the sizes that allocators give without waste.
    pub(crate) const BYTES_MAX: usize = 4 << 10;

    /// Returns how many entries there are.
    pub(crate) fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Returns how many bytes all entries have.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Returns all of it, for [`Block::again`].
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Makes a block of the bytes and the count of one.
    pub(crate) fn again(bytes: Vec<u8>, count: u16) -> Self {
        Self { bytes, count, is_used: AtomicBool::new(true) }
    }

    /// Returns how many bytes it takes in memory.
    #[cfg(test)]
    pub(crate) fn room(&self) -> usize {
        self.bytes.capacity()
    }

    /// Notes that it is looked at.
    pub(crate) fn touch(&self) {
        self.is_used.store(true, Ordering::Relaxed);
    }

    /// Says whether it was looked at since this was last asked.
    pub(crate) fn was_used(&mut self) -> bool {
        std::mem::take(self.is_used.get_mut())
    }

    /// Returns how many bytes an entry takes.
    pub(crate) fn bytes_of(key: &[u8], value: &[u8]) -> usize {
        2 * NUMBER_BYTES + key.len() + value.len()
    }

    fn number(&self, at: usize) -> usize {
        usize::from(u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]]))
    }

    fn set_number(&mut self, at: usize, number: usize) {
        let number = u16::try_from(number).expect("a block has a few thousand bytes");
        self.bytes[at..at + NUMBER_BYTES].copy_from_slice(&number.to_le_bytes());
    }

    /// Returns where an entry begins, or where the last one ends.
    fn start(&self, place: usize) -> usize {
        if place == self.len() {
            return self.bytes.len();
        }
        NUMBER_BYTES * self.len() + self.number(NUMBER_BYTES * place)
    }

    /// Returns the key and the value of an entry.
    pub(crate) fn entry(&self, place: usize) -> (&[u8], &[u8]) {
        let entry = &self.bytes[self.start(place)..self.start(place + 1)];
        let (len, entry) = entry.split_at(NUMBER_BYTES);
        entry.split_at(usize::from(u16::from_le_bytes([len[0], len[1]])))
    }

    fn key(&self, place: usize) -> &[u8] {
        let start = self.start(place);
        let len = self.number(start);
        &self.bytes[start + NUMBER_BYTES..][..len]
    }

    /// Returns where a key is, or where it would be.
    pub(crate) fn find(&self, key: &[u8]) -> Result<usize, usize> {
        let (mut from, mut to) = (0, self.len());
        while from < to {
            let middle = from.midpoint(to);
            match self.key(middle).cmp(key) {
                std::cmp::Ordering::Less => from = middle + 1,
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Greater => to = middle,
            }
        }
        Err(from)
    }

    /// Puts an entry where `find` said that it is, or would be.
    pub(crate) fn put(&mut self, place: Result<usize, usize>, key: &[u8], value: &[u8]) {
        let (Ok(at) | Err(at)) = place;
        if place.is_err() {
            let start = self.start(at) - NUMBER_BYTES * self.len();
            self.resize(NUMBER_BYTES * at..NUMBER_BYTES * at, NUMBER_BYTES);
            self.count += 1;
            self.set_number(NUMBER_BYTES * at, start);
        }
        let start = self.start(at);
        let end = if place.is_err() { start } else { self.start(at + 1) };
        let len = NUMBER_BYTES + key.len() + value.len();
        self.resize(start..end, len);
        self.shift(at + 1, end - start, len);
        self.set_number(start, key.len());
        let entry = &mut self.bytes[start + NUMBER_BYTES..];
        entry[..key.len()].copy_from_slice(key);
        entry[key.len()..][..value.len()].copy_from_slice(value);
        self.give_room_back();
    }

    /// Removes an entry.
    pub(crate) fn remove(&mut self, place: usize) {
        let (start, end) = (self.start(place), self.start(place + 1));
        self.resize(start..end, 0);
        self.shift(place + 1, end - start, 0);
        self.resize(NUMBER_BYTES * place..NUMBER_BYTES * (place + 1), 0);
        self.count -= 1;
        self.give_room_back();
    }

    /// Gives memory back that was for more, or larger, entries.
    fn give_room_back(&mut self) {
        if 2 * self.bytes.len() < self.bytes.capacity() {
            self.bytes = self.bytes.as_slice().into();
        }
    }

    /// Makes a stretch as long as it has to be, and moves what lies behind.
    fn resize(&mut self, stretch: std::ops::Range<usize>, len: usize) {
        let (all, end) = (self.bytes.len(), stretch.start + len);
        if stretch.end < end {
            // No more than is needed: blocks are many, and few of them grow.
            self.bytes.reserve_exact(end - stretch.end);
            self.bytes.resize(all + end - stretch.end, 0);
        }
        self.bytes.copy_within(stretch.end..all, end);
        self.bytes.truncate(all + end - stretch.end);
    }

    /// Moves the entries from a place on, as those before them have become longer or shorter.
    fn shift(&mut self, from: usize, before: usize, after: usize) {
        for place in from..self.len() {
            let start = self.number(NUMBER_BYTES * place) + after - before;
            self.set_number(NUMBER_BYTES * place, start);
        }
    }

    /// Takes out the entries from a place on.
    pub(crate) fn split_off(&mut self, place: usize) -> Self {
        let (left, right) = (self.part(0, place), self.part(place, self.len()));
        // Both anew, as an allocator that is asked to make a piece smaller may leave it as it is.
        *self = left;
        right
    }

    /// Copies the entries from one place to another.
    fn part(&self, from: usize, to: usize) -> Self {
        let (start, end) = (self.start(from), self.start(to));
        let count = to - from;
        let mut bytes = Vec::with_capacity(NUMBER_BYTES * count + end - start);
        bytes.resize(NUMBER_BYTES * count, 0);
        bytes.extend_from_slice(&self.bytes[start..end]);
        let count = u16::try_from(count).expect("no more than there were");
        let mut part = Self::again(bytes, count);
        let skipped = start - NUMBER_BYTES * self.len();
        for place in 0..part.len() {
            let start = self.number(NUMBER_BYTES * (from + place)) - skipped;
            part.set_number(NUMBER_BYTES * place, start);
        }
        part
    }

    /// Returns where the second half of the bytes begins.
    pub(crate) fn middle(&self) -> usize {
        (0..self.len()).take_while(|it| self.start(*it) < self.bytes.len() / 2).count()
    }

    /// Adds the entries of a block that follows.
    pub(crate) fn append(&mut self, next: &Self) {
        for place in 0..next.len() {
            let (key, value) = next.entry(place);
            self.put(Err(self.len()), key, value);
        }
    }
}
