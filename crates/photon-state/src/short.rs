//! A string of bytes that lies in place as long as it is short, so that comparing it with another
//! one needs no second look into memory. Must not be written to.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;

/// The longest string in place: with its length and kind it takes as much as three pointers.
const HERE_BYTES_MAX: usize = 22;

/// A string of bytes, ordered as they are.
pub(crate) struct Short(Kind);

enum Kind {
    Here { len: u8, bytes: [u8; HERE_BYTES_MAX] },
    There(Box<[u8]>),
}

impl Short {
    /// Copies a string.
    pub(crate) fn new(text: &[u8]) -> Self {
        Self(match u8::try_from(text.len()) {
            Ok(len) if text.len() <= HERE_BYTES_MAX => {
                let mut bytes = [0; HERE_BYTES_MAX];
                bytes[..text.len()].copy_from_slice(text);
                Kind::Here { len, bytes }
            }
            Ok(_) | Err(_) => Kind::There(text.into()),
        })
    }

    /// Returns the shortest string that is above one and not above another, which is above it.
    pub(crate) fn between(below: &[u8], upto: &[u8]) -> Self {
        let same = below.iter().zip(upto).take_while(|(a, b)| a == b).count();
        Self::new(&upto[..upto.len().min(same + 1)])
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Kind::Here { len, bytes } => &bytes[..usize::from(*len)],
            Kind::There(bytes) => bytes,
        }
    }
}

impl Borrow<[u8]> for Short {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Ord for Short {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl PartialOrd for Short {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Short {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Short {}

impl fmt::Debug for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_between_is_short() {
        let check = |below: &[u8], upto: &[u8], expected: &[u8]| {
            assert_eq!(Short::between(below, upto).as_bytes(), expected);
        };
        check(b"users/17", b"users/29", b"users/2");
        check(b"users/17", b"users/170", b"users/170");
        check(b"", b"b", b"b");
        let long = [b'x'; 100];
        check(&long, &[&long[..], b"yz"].concat(), &[&long[..], b"y"].concat());
        assert_eq!(size_of::<Short>(), 3 * size_of::<usize>());
    }
}
