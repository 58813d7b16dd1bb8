//! Cuts what a program writes into pieces that can be sent: few, soon, and whole characters.
//! Must not read or send anything.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use photon_edge::v1::types::Part;

/// Collects bytes, and gives them back as parts of an artifact.
#[derive(Debug, Default)]
pub(super) struct Chunker {
    bytes: Vec<u8>,
}

/// Whether the program may write more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// It may: what could be the beginning of a character is held back.
    MayFollow,
    /// It has closed its output.
    None,
}

impl Chunker {
    /// The most bytes of a part; at it a part is due at once.
    pub(super) const PART_BYTES_MAX: usize = 16 << 10;

    /// Takes in what the program wrote.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether a part is due whatever the time.
    pub(super) fn is_full(&self) -> bool {
        Self::PART_BYTES_MAX <= self.bytes.len()
    }

    /// Returns the next part: text where it is text, else bytes in base 64.
    pub(super) fn next_part(&mut self, rest: Rest) -> Option<Part> {
        let mut end = self.bytes.len().min(Self::PART_BYTES_MAX);
        if end < self.bytes.len() || rest == Rest::MayFollow {
            end -= begun_character(&self.bytes[..end]);
        }
        if end == 0 {
            return None;
        }
        let bytes: Vec<_> = self.bytes.drain(..end).collect();
        Some(match String::from_utf8(bytes) {
            Ok(text) => Part::text(text),
            Err(error) => Part { raw: Some(STANDARD.encode(error.as_bytes())), ..Part::default() },
        })
    }
}

/// Returns how many bytes at the end are the beginning of a character that is not whole.
fn begun_character(bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(3)..];
    (1..=tail.len()).find(|count| needed(tail[tail.len() - count]) > *count).unwrap_or(0)
}

/// Returns how many bytes a character has that begins with `byte`; 0 if none does.
fn needed(byte: u8) -> usize {
    match byte {
        0x00..=0x7f => 1,
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 0,
    }
}

/// Returns the bytes that a part stands for, as the program of another agent may read them.
pub(crate) fn part_bytes(part: &Part) -> Vec<u8> {
    if let Some(text) = &part.text {
        return text.clone().into_bytes();
    }
    if let Some(raw) = &part.raw {
        return STANDARD.decode(raw).unwrap_or_else(|_| raw.clone().into_bytes());
    }
    if let Some(data) = &part.data {
        return data.to_string().into_bytes();
    }
    part.url.clone().unwrap_or_default().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the pieces in which a program writes, the parts hold the same bytes.
    fn check(bytes: &[u8], is_text: impl Fn(&Part) -> bool) {
        for piece_bytes in [1, 2, 3, 5, 1_000, bytes.len().max(1)] {
            let (mut chunker, mut parts) = (Chunker::default(), Vec::new());
            for piece in bytes.chunks(piece_bytes) {
                chunker.push(piece);
                parts.extend(chunker.next_part(Rest::MayFollow));
            }
            parts.extend(std::iter::from_fn(|| chunker.next_part(Rest::None)));
            assert!(parts.iter().all(&is_text), "{parts:?}");
            assert!(parts.iter().all(|it| part_bytes(it).len() <= Chunker::PART_BYTES_MAX));
            let whole: Vec<u8> = parts.iter().flat_map(part_bytes).collect();
            assert!(whole == bytes, "pieces of {piece_bytes}");
            assert_eq!(chunker.next_part(Rest::None), None);
        }
    }

    #[test]
    fn text_stays_text_wherever_it_is_cut() {
        check("".as_bytes(), |_| false);
        check("plain".as_bytes(), |it| it.text.is_some());
        check("é€😀".repeat(5_000).as_bytes(), |it| it.text.is_some());
    }

    #[test]
    fn bytes_that_are_no_text_survive() {
        check(&[0xff; 100], |it| it.raw.is_some());
        check(b"text \xf0\x9f\x98", |_| true);
        let bytes: Vec<_> = (0..50_000_u32).map(|it| (it * 7 % 251) as u8).collect();
        check(&bytes, |_| true);
    }

    #[test]
    fn a_part_is_due_at_once_when_there_is_much() {
        let mut chunker = Chunker::default();
        chunker.push(&[b'x'; Chunker::PART_BYTES_MAX - 1]);
        assert!(!chunker.is_full());
        chunker.push(b"x");
        assert!(chunker.is_full());
    }
}
