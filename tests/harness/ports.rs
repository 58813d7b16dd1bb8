//! Ports that nobody uses.
//! Must not promise that they stay free: whoever asks should bind them soon.

use std::net::{Ipv4Addr, TcpListener};

/// Below the range from which Linux takes the ports of outgoing connections, so that no client
/// happens to sit on a port that was found free.
const RANGE: std::ops::Range<u16> = 10_000..32_000;

/// The blocks that are tried; then the machine has no room for a test.
const TRIES_MAX: usize = 1_000;

/// Returns the first of `count` free ports in a row.
pub(crate) fn free_ports(count: u16) -> u16 {
    let is_free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let blocks = || fastrand::u16(RANGE.start..RANGE.end - count);
    let mut tries = std::iter::repeat_with(blocks).take(TRIES_MAX);
    let first = tries.find(|first| (*first..first + count).all(is_free));
    first.expect("of so many blocks of ports one is free")
}
