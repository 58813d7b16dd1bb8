//! Randomness from the operating system, for names and nonces that nobody may guess.
//! Must not be used where a seed could be.

use rustix::rand::{GetRandomFlags, getrandom};

/// Fills `bytes` with random ones.
pub(crate) fn fill(bytes: &mut [u8]) {
    let mut filled = 0;
    while filled < bytes.len() {
        let got = getrandom(&mut bytes[filled..], GetRandomFlags::empty());
        filled += got.expect("a system without randomness cannot run photon");
    }
}

/// Returns a random number.
pub(crate) fn number() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_le_bytes(bytes)
}
