//! Work that an A2A server does: Photon makes it durable, and gives it an address that stays.
//! Must not know how the region is talked to.

mod errand;
mod import;
mod peer;
mod probe;
mod relay;

use std::sync::Arc;

use self::errand::Errand;
pub use self::import::{ImportError, announced, name_of};
pub use self::peer::{Peer, PeerError};
pub use self::probe::{Check, Grade, Outcome, Report, probe};
use super::attempt::{Attempt, Verdict};

/// A server that is asked for each task.
#[derive(Clone, Debug)]
pub struct RemoteJob {
    /// The server.
    pub peer: Arc<Peer>,
}

impl RemoteJob {
    /// Waits until the server can be given work: while it is away, others shall have it.
    pub(super) async fn is_ready(&self) {
        self.peer.is_back().await;
    }

    /// Has the server do the work; returns what came of it.
    pub(super) async fn work(&self, attempt: &Attempt<'_>) -> Verdict {
        let mut errand = Errand::new(&self.peer, attempt);
        let run = Box::pin(errand.run());
        if let Some(verdict) = attempt.stop.run_until_cancelled(run).await {
            return verdict;
        }
        // A lease that is lost is another's: whoever has it goes on with the same task there.
        if attempt.is_task_over().await {
            errand.call_off().await;
        }
        Verdict::Abandoned("it was stopped".to_owned())
    }
}
