//! A block: packed values of neighbouring keys, one behind the other in one piece of memory.
//! Must not know what a value means, nor of other blocks.
//!
//! Each entry is the length of its key in two bytes, the key, and the value up to the next entry.

/// Packed values by key.
#[derive(Debug, Default)]
pub(crate) struct Block {
    bytes: Vec<u8>,
    /// Where each entry begins.
    starts: Vec<u16>,
}

/// Bytes in front of a key.
const HEAD_BYTES: usize = 2;

impl Block {
    /// Bytes of a block, short of one entry that is larger; it is split before it has more. One of
    /// the sizes that allocators give without waste.
    pub(crate) const BYTES_MAX: usize = 4 << 10;

    /// Returns how many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    /// Returns how many bytes all entries have.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Returns how many bytes an entry takes.
    pub(crate) fn bytes_of(key: &[u8], value: &[u8]) -> usize {
        HEAD_BYTES + key.len() + value.len()
    }

    fn start(&self, place: usize) -> usize {
        self.starts.get(place).map_or(self.bytes.len(), |it| usize::from(*it))
    }

    /// Returns the key and the value of an entry.
    pub(crate) fn entry(&self, place: usize) -> (&[u8], &[u8]) {
        let entry = &self.bytes[self.start(place)..self.start(place + 1)];
        let (len, entry) = entry.split_at(HEAD_BYTES);
        entry.split_at(usize::from(u16::from_le_bytes([len[0], len[1]])))
    }

    /// Returns where a key is, or where it would be.
    pub(crate) fn find(&self, key: &[u8]) -> Result<usize, usize> {
        let (mut from, mut to) = (0, self.len());
        while from < to {
            let middle = from.midpoint(to);
            match self.entry(middle).0.cmp(key) {
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
        let start = self.start(at);
        let end = place.map_or(start, |at| self.start(at + 1));
        let len = u16::try_from(key.len()).expect("a key has a few hundred bytes at most");
        self.resize(start..end, Self::bytes_of(key, value));
        if place.is_err() {
            self.starts.reserve_exact(1);
            self.starts.insert(at, place_of(start));
        }
        self.shift(at + 1, end - start, Self::bytes_of(key, value));
        let entry = &mut self.bytes[start..];
        entry[..HEAD_BYTES].copy_from_slice(&len.to_le_bytes());
        entry[HEAD_BYTES..][..key.len()].copy_from_slice(key);
        entry[HEAD_BYTES + key.len()..][..value.len()].copy_from_slice(value);
    }

    /// Removes an entry.
    pub(crate) fn remove(&mut self, place: usize) {
        let (start, end) = (self.start(place), self.start(place + 1));
        self.resize(start..end, 0);
        self.starts.remove(place);
        self.shift(place, end - start, 0);
        if 2 * self.bytes.len() < self.bytes.capacity() {
            self.bytes = self.bytes.as_slice().into();
            self.starts = self.starts.as_slice().into();
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
        for start in &mut self.starts[from..] {
            *start = place_of(usize::from(*start) + after - before);
        }
    }

    /// Takes out the entries from a place on.
    pub(crate) fn split_off(&mut self, place: usize) -> Self {
        let at = self.start(place);
        let right = self.starts[place..].iter().map(|it| place_of(usize::from(*it) - at));
        let right = Self { bytes: self.bytes[at..].into(), starts: right.collect() };
        // Anew, as an allocator that is asked to make a piece smaller may leave it as it is.
        self.bytes = self.bytes[..at].into();
        self.starts = self.starts[..place].into();
        right
    }

    /// Returns where the second half of the bytes begins.
    pub(crate) fn middle(&self) -> usize {
        let half = self.bytes.len() / 2;
        self.starts.partition_point(|it| usize::from(*it) < half)
    }

    /// Adds the entries of a block that follows.
    pub(crate) fn append(&mut self, next: &Self) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&next.bytes);
        self.starts.extend(next.starts.iter().map(|it| place_of(usize::from(*it) + at)));
    }
}

/// Returns a place in a block as it is kept.
fn place_of(place: usize) -> u16 {
    u16::try_from(place).expect("a block has a few thousand bytes")
}
