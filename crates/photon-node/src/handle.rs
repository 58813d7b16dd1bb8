//! How the edge talks to a node: submit a command, read the view.
//! Must not know what a command means.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use photon_region::{Command, Refusal, Reply, Ticket, View};
use photon_state::RegionId;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::lanes::LaneStats;
use crate::stats::{LinkCounters, LinkStats, LogCounters, LogStats};
use crate::window::Window;

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

/// The way back for a reply. It is closed when the client has gone.
pub(crate) type ReplyTo = oneshot::Sender<Result<Reply, Refusal>>;

/// A command on its way to the driver.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) ticket: Ticket,
    pub(crate) command: Command,
    pub(crate) reply: ReplyTo,
}

/// A handle to a running node. Clones are cheap and talk to the same node.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) commands: mpsc::Sender<Asked>,
    pub(crate) shared: Arc<Shared>,
    /// Where to look at the region; a handle without a node has none.
    pub(crate) window: Option<Arc<Window>>,
}

/// What handles share with the driver.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    view: RwLock<Arc<View>>,
    tickets: AtomicU64,
    abandoned: Mutex<Vec<Ticket>>,
    /// Rings when there are abandoned tickets.
    pub(crate) on_abandoned: Notify,
    pub(crate) log: Arc<LogCounters>,
    pub(crate) links: Arc<LinkCounters>,
}

impl Shared {
    /// Shows a snapshot to readers.
    pub(crate) fn publish(&self, view: View) {
        *self.view.write().expect("no reader panics") = Arc::new(view);
    }

    /// Takes the tickets of clients that have gone.
    pub(crate) fn abandoned(&self) -> Vec<Ticket> {
        std::mem::take(&mut *self.abandoned.lock().expect("no holder panics"))
    }
}

/// Waits for a reply, and gives the ticket back when the client goes before it came.
/// There are never more such tickets than commands in flight, which the region bounds.
struct Waiting<'a> {
    shared: &'a Shared,
    ticket: Ticket,
    reply: Option<oneshot::Receiver<Result<Reply, Refusal>>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // The channel closes first: a driver that has yet to take the command then sees it closed.
        if let Some(reply) = self.reply.take() {
            drop(reply);
            self.shared.abandoned.lock().expect("no holder panics").push(self.ticket);
            self.shared.on_abandoned.notify_one();
        }
    }
}

impl Handle {
    /// Answers a command on this very thread, if a look at the region is enough and nobody changes
    /// it just now; else it has to be submitted.
    #[must_use]
    pub fn glance(&self, command: &Command) -> Option<Reply> {
        // Once it is closed the region may have stopped before what was written was durable.
        let window = self.window.as_ref().filter(|_| !self.commands.is_closed())?;
        window.glance(command)
    }

    /// Submits a command and waits for its reply. Dropping the future abandons the reply, never the
    /// write.
    pub async fn submit(&self, command: Command) -> Result<Reply, SubmitError> {
        let (reply, receiver) = oneshot::channel();
        let ticket = self.shared.tickets.fetch_add(1, Ordering::Relaxed);
        self.commands.try_send(Asked { ticket, command, reply }).map_err(|err| match err {
            mpsc::error::TrySendError::Full(_) => {
                SubmitError::Full { max: self.commands.max_capacity() }
            }
            mpsc::error::TrySendError::Closed(_) => SubmitError::Stopping,
        })?;
        let mut waiting = Waiting { shared: &self.shared, ticket, reply: Some(receiver) };
        let reply = waiting.reply.as_mut().expect("taken only below and when dropped").await;
        waiting.reply = None;
        match reply {
            Ok(reply) => Ok(reply?),
            Err(_) => Err(SubmitError::Stopping),
        }
    }

    /// Returns the last snapshot of the region, at most a second old.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.shared.view.read().expect("no writer panics").clone()
    }

    /// Returns what the log has done since the start.
    #[must_use]
    pub fn log_stats(&self) -> LogStats {
        self.shared.log.read()
    }

    /// Returns what the links have done since the start.
    #[must_use]
    pub fn link_stats(&self) -> LinkStats {
        self.shared.links.read()
    }

    /// Returns why there was no link to a peer when one was tried last.
    #[must_use]
    pub fn link_trouble(&self, peer: RegionId) -> Option<String> {
        self.shared.links.troubles.of(peer)
    }

    /// Returns what each class of the link to each peer has carried since the start.
    #[must_use]
    pub fn lane_stats(&self) -> Vec<LaneStats> {
        self.shared.links.peers.read()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle() -> (Handle, mpsc::Receiver<Asked>) {
        let (commands, asked) = mpsc::channel(1);
        (Handle { commands, shared: Arc::default(), window: None }, asked)
    }

    #[tokio::test]
    async fn a_client_that_goes_gives_its_ticket_back_and_one_that_was_answered_does_not() {
        let (handle, mut asked) = handle();
        let answer = async {
            let Asked { reply, .. } = asked.recv().await.unwrap();
            reply.send(Ok(Reply::Done)).unwrap();
        };
        let command = || Command::Agent("a".into());
        let (reply, ()) = tokio::join!(handle.submit(command()), answer);
        assert_eq!(reply, Ok(Reply::Done));
        assert!(handle.shared.abandoned().is_empty());

        {
            let submit = std::pin::pin!(handle.submit(command()));
            assert!(is_pending(submit).await);
        }
        let left = asked.recv().await.unwrap();
        assert!(left.reply.is_closed());
        assert_eq!(handle.shared.abandoned(), [left.ticket]);
    }

    /// Polls a future once, and says whether it is pending.
    async fn is_pending(mut future: std::pin::Pin<&mut impl Future>) -> bool {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(future.as_mut().poll(context).is_pending())
        })
        .await
    }
}
