//! A hash that every version of Photon computes alike (FNV-1a, 64 bits, with a final mix): what
//! regions must agree on may not depend on a library. Must not be used against enemies.

/// Hashes bytes that are fed one after the other.
#[derive(Clone, Copy, Debug)]
pub struct StableHash(u64);

impl Default for StableHash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl StableHash {
    /// Feeds bytes with their length, so that no two sequences are fed alike.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        bytes.iter().fold(self.number(bytes.len() as u64), |it, byte| it.byte(*byte))
    }

    /// Feeds a number.
    #[must_use]
    pub fn number(self, number: u64) -> Self {
        number.to_le_bytes().iter().fold(self, |it, byte| it.byte(*byte))
    }

    fn byte(self, byte: u8) -> Self {
        Self((self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
    }

    /// Returns the hash.
    #[must_use]
    pub fn finish(self) -> u64 {
        let mixed = (self.0 ^ self.0 >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed ^ mixed >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_stays_what_it_is_for_ever() {
        assert_eq!(
            StableHash::default().bytes(b"photon").number(7).finish(),
            0x5dd1_6d37_9dea_21e1
        );
        assert_ne!(
            StableHash::default().bytes(b"a").bytes(b"").finish(),
            StableHash::default().bytes(b"").bytes(b"a").finish()
        );
    }
}
