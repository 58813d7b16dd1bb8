//! Names of regions and placements: short, copied freely, readable in every log.
//! Must not know what a name stands for.

use std::cmp::Ordering;
use std::fmt;

/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 23;

/// Text that cannot name a region or a placement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a name: use 1 to {NAME_BYTES_MAX} of a-z, 0-9 and -, beginning with a letter"
)]
pub struct NameError {
    /// The text that was refused, cut to a length that is safe to print.
    pub text: String,
}

/// A checked name, stored in place: its text, zeros so that order is that of the text, and in the
/// last byte how long the text is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Name([u8; NAME_BYTES_MAX + 1]);

impl Name {
    fn parse(text: &str) -> Result<Self, NameError> {
        let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let begins_well = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        if !begins_well || NAME_BYTES_MAX < text.len() || !text.bytes().all(is_allowed) {
            return Err(NameError { text: text.chars().take(2 * NAME_BYTES_MAX).collect() });
        }
        let mut bytes = [0; NAME_BYTES_MAX + 1];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        let len = u8::try_from(text.len()).expect("at most NAME_BYTES_MAX: checked above");
        bytes[NAME_BYTES_MAX] = len;
        Ok(Self(bytes))
    }

    fn as_str(&self) -> &str {
        let text = &self.0[..usize::from(self.0[NAME_BYTES_MAX])];
        std::str::from_utf8(text).expect("only ASCII is stored: checked when parsed")
    }

    /// Returns numbers that have the order of the text: names are keys of most maps, and to compare
    /// numbers takes no call.
    fn words(&self) -> [u64; 3] {
        let (words, _) = self.0.as_chunks();
        [words[0], words[1], words[2]].map(u64::from_be_bytes)
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        self.words().cmp(&other.words())
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

macro_rules! name_type {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Name);

        impl $type {
            /// Returns the name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl TryFrom<&str> for $type {
            type Error = NameError;
            fn try_from(text: &str) -> Result<Self, NameError> {
                Name::parse(text).map(Self)
            }
        }

        impl std::str::FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::try_from(text)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

name_type! {
    /// Names a region: a failure domain with a place, such as `eu-west-1`.
    RegionId
}
name_type! {
    /// Names a placement: the set of regions in which data may live, such as `eu`.
    PlacementId
}

impl PlacementId {
    /// Returns `global`, the placement that is every region of the planet.
    #[must_use]
    pub fn global() -> Self {
        Self::try_from("global").expect("a constant that parses")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_lower_case_and_begins_with_a_letter() {
        for good in ["a", "eu-west-1", "abcdefghijklmnopqrstuvw"] {
            assert_eq!(RegionId::try_from(good).unwrap().as_str(), good);
        }
        for bad in ["", "1a", "-a", "EU", "a b", "é", "abcdefghijklmnopqrstuvwx"] {
            assert!(RegionId::try_from(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_order_as_their_text_does() {
        let texts = ["a", "a-1", "ab", "abcdefgh", "abcdefghijklmnopqr", "abcdefghijklmnopqs", "b"];
        let names = texts.map(|it| RegionId::try_from(it).unwrap());
        for (one, text) in names.iter().zip(texts) {
            let orders = names.map(|other| one.cmp(&other));
            assert_eq!(orders, texts.map(|other| text.cmp(other)));
        }
    }
}
