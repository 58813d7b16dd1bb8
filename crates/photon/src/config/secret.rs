//! A value that must not be printed.
//! Must not know where it is compared.

use std::fmt;

/// Holds a secret, and keeps it out of logs: its `Debug` prints `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The fewest bytes that are hard to guess.
    pub const BYTES_MIN: usize = 16;
    /// The most bytes.
    pub const BYTES_MAX: usize = 256;

    /// Takes a text as a secret, unless it is too short or too long.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        (Self::BYTES_MIN..=Self::BYTES_MAX).contains(&text.len()).then_some(Self(text))
    }

    /// Returns the secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        let secret = Secret::new("correct horse battery").unwrap();
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(Secret::new("short"), None);
    }
}
