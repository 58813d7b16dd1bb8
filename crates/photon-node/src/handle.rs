//! How the edge talks to a node: submit a command, read the view.
//! Must not know what a command means.

use std::sync::{Arc, RwLock};

use photon_region::{Command, Refusal, Reply, View};
use tokio::sync::{mpsc, oneshot};

/// Why a command has no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The region turned it down.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
    /// The queue to the region is full.
    #[error("the queue to the region is full at {max}")]
    Full {
        /// Its bound.
        max: usize,
    },
}

/// A command with the way back for its reply. A reply channel that was dropped means that the client has gone.
pub(crate) type Asked = (Command, oneshot::Sender<Result<Reply, Refusal>>);

/// A handle to a running node. Clones are cheap and talk to the same node.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) commands: mpsc::Sender<Asked>,
    pub(crate) view: Arc<RwLock<Arc<View>>>,
}

impl Handle {
    /// Submits a command and waits for its reply. Dropping the future abandons the reply, never the write.
    pub async fn submit(&self, command: Command) -> Result<Reply, SubmitError> {
        let (reply_tx, reply_rx) = oneshot::channel();
        self.commands.try_send((command, reply_tx)).map_err(|err| match err {
            mpsc::error::TrySendError::Full(_) => {
                SubmitError::Full { max: self.commands.max_capacity() }
            }
            mpsc::error::TrySendError::Closed(_) => SubmitError::Stopping,
        })?;
        match reply_rx.await {
            Ok(reply) => Ok(reply?),
            Err(_) => Err(SubmitError::Stopping),
        }
    }

    /// Returns the last snapshot of the region, at most a second old.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.view.read().expect("no writer panics").clone()
    }
}
