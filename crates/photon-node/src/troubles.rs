//! Why there is no link to a peer: what was said last about it.
//! Must not keep anything of strangers.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use photon_state::RegionId;

/// Why there is no link to each peer. It holds as many as there are peers in the configuration.
#[derive(Debug, Default)]
pub(crate) struct Troubles(Mutex<BTreeMap<RegionId, String>>);

impl Troubles {
    fn all(&self) -> MutexGuard<'_, BTreeMap<RegionId, String>> {
        self.0.lock().expect("no holder panics")
    }

    /// Takes note of why there is no link to a peer.
    pub(crate) fn note(&self, peer: RegionId, why: String) {
        self.all().insert(peer, why);
    }

    /// Takes note that there is a link.
    pub(crate) fn clear(&self, peer: RegionId) {
        self.all().remove(&peer);
    }

    /// Returns why there was no link to a peer when one was tried last.
    pub(crate) fn of(&self, peer: RegionId) -> Option<String> {
        self.all().get(&peer).cloned()
    }
}
