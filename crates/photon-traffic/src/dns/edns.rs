//! What is said by EDNS in an answer: the scope of a client subnet, who answers, cookies.
//! Must not know zones.

use std::net::IpAddr;
use std::sync::Arc;

use super::query::{Edns, Subnet, option};

/// The longest name of a server; longer ones are cut.
const IDENTITY_BYTES_MAX: usize = 64;
/// The longest that all options of one answer come to.
const OPTIONS_BYTES_MAX: usize = 256;

/// The options of one answer.
#[derive(Debug)]
pub(super) struct Options {
    identity: Arc<[u8]>,
    bytes: [u8; OPTIONS_BYTES_MAX],
    len: usize,
    /// Where the scope of the client subnet is, if there is one.
    scope_at: Option<usize>,
}

impl Options {
    pub(super) fn new(identity: Arc<[u8]>) -> Self {
        Self { identity, bytes: [0; OPTIONS_BYTES_MAX], len: 0, scope_at: None }
    }

    /// Begins with what a query says; nothing is said unless it does.
    pub(super) fn begin(&mut self, edns: Option<&Edns>) {
        (self.len, self.scope_at) = (0, None);
        let Some(edns) = edns else { return };
        if let Some(subnet) = edns.subnet {
            self.put_subnet(subnet);
        }
        if edns.nsid && !self.identity.is_empty() {
            let identity = self.identity.clone();
            self.put(option::NSID, &identity[..identity.len().min(IDENTITY_BYTES_MAX)]);
        }
    }

    /// Returns how many bytes the options take at most.
    pub(super) fn bytes_max(&self) -> usize {
        self.len
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Says for how much of the client's network the answer holds; for all of it by default.
    pub(super) fn set_scope(&mut self, bits: Option<u8>) {
        if let Some(at) = self.scope_at {
            self.bytes[at] = bits.unwrap_or(0);
        }
    }

    /// Repeats the subnet of the query with a scope (RFC 7871, 7.2.1).
    fn put_subnet(&mut self, subnet: Subnet) {
        let len = usize::from(subnet.bits).div_ceil(8);
        let mut value = [0; 20];
        value[2] = subnet.bits;
        match subnet.address {
            IpAddr::V4(it) => {
                value[1] = 1;
                value[4..8].copy_from_slice(&it.octets());
            }
            IpAddr::V6(it) => {
                value[1] = 2;
                value[4..].copy_from_slice(&it.octets());
            }
        }
        // A client that says nothing of itself is answered by who asks for it: for all of them.
        self.scope_at = (subnet.bits != 0).then_some(self.len + 7);
        self.put(option::SUBNET, &value[..4 + len]);
    }

    fn put(&mut self, code: u16, value: &[u8]) {
        let end = self.len + 4 + value.len();
        let room = &mut self.bytes[self.len..end];
        room[..2].copy_from_slice(&code.to_be_bytes());
        room[2..4].copy_from_slice(&(value.len() as u16).to_be_bytes());
        room[4..].copy_from_slice(value);
        self.len = end;
    }
}
