//! Lists in pages.
//! Must not know what is listed.

use std::io;

use serde::Serialize;

use crate::names::{self, Invalid};
use crate::v1::types::LIMIT_MAX;

/// How many items a page has when the client does not say.
const LIMIT_DEFAULT: usize = 100;

/// Parses how many items the client wants.
pub(crate) fn limit(text: Option<&str>) -> Result<usize, Invalid> {
    let Some(text) = text else { return Ok(LIMIT_DEFAULT) };
    let limit = names::number("limit", text, 1..=LIMIT_MAX as u64)?;
    Ok(usize::try_from(limit).expect("at most LIMIT_MAX: parsed so"))
}

/// Bytes of JSON after which a page ends, whatever the client asked for; it goes on at the cursor.
const PAGE_BYTES_MAX: usize = 4 << 20;

/// One page of a list: at least one item, and no more once it holds `PAGE_BYTES_MAX`.
#[derive(Debug)]
pub(crate) struct Page<T> {
    items: Vec<T>,
    bytes: usize,
}

impl<T: Serialize> Page<T> {
    /// Makes an empty page.
    pub(crate) fn new() -> Self {
        Self { items: Vec::new(), bytes: 0 }
    }

    /// Takes items for as long as there is room.
    pub(crate) fn filled(items: impl Iterator<Item = T>) -> Self {
        let mut page = Self::new();
        for item in items {
            page.push(item);
            if !page.has_room() {
                break;
            }
        }
        page
    }

    /// Whether another item may come.
    pub(crate) fn has_room(&self) -> bool {
        self.bytes <= PAGE_BYTES_MAX
    }

    /// Adds an item.
    pub(crate) fn push(&mut self, item: T) {
        assert!(self.has_room(), "the page holds {} bytes already", self.bytes);
        self.bytes += json_len(&item);
        self.items.push(item);
    }

    /// Returns the items.
    pub(crate) fn into_items(self) -> Vec<T> {
        self.items
    }
}

/// Returns how many bytes a value is as JSON.
fn json_len(value: &impl Serialize) -> usize {
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, value).expect("our own types can be written as json");
    counter.0
}

/// Counts what is written, and forgets it.
struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_once_it_is_full_but_has_one_item_at_least() {
        let check = |bytes: usize, expected: usize| {
            // Two of the bytes are quotes.
            let items = std::iter::repeat_n("x".repeat(bytes - 2), 10);
            assert_eq!(Page::filled(items).into_items().len(), expected, "{bytes}");
        };
        check(2 * PAGE_BYTES_MAX, 1);
        check(PAGE_BYTES_MAX + 1, 1);
        check(PAGE_BYTES_MAX, 2);
        check(PAGE_BYTES_MAX / 2, 3);
        check(2, 10);
    }
}
