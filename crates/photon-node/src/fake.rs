//! A handle without a node, for tests of who holds handles: a function answers the commands.
//! Must not be used by a running region.

use std::sync::Arc;

use photon_region::{Command, Refusal, Reply, View};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::Handle;
use crate::handle::Asked;

/// Commands that wait for the function; more are refused as they are by a node.
const COMMANDS_MAX: usize = 1024;

impl Handle {
    /// Makes a handle whose commands are answered by `answer`, on a thread of its own that ends
    /// with the last clone of the handle.
    #[doc(hidden)]
    pub fn from_fn(answer: impl Fn(Command) -> Result<Reply, Refusal> + Send + 'static) -> Self {
        let (commands, mut asked) = mpsc::channel::<Asked>(COMMANDS_MAX);
        std::thread::spawn(move || {
            while let Some(Asked { command, reply, .. }) = asked.blocking_recv() {
                // A client that has gone wants no reply.
                let _ = reply.send(answer(command));
            }
        });
        Self { commands, shared: Arc::default(), window: None }
    }

    /// Makes a handle whose commands are answered by `answer`, on the runtime that this is called
    /// on: where that imagines time, so does whoever answers.
    #[doc(hidden)]
    pub fn from_async<F>(answer: impl Fn(Command) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<Reply, Refusal>> + Send + 'static,
    {
        let (commands, mut asked) = mpsc::channel::<Asked>(COMMANDS_MAX);
        let tasks = TaskTracker::new();
        let all = tasks.clone();
        tasks.spawn(async move {
            while let Some(Asked { command, reply, .. }) = asked.recv().await {
                let answered = answer(command);
                all.spawn(async move {
                    let _ = reply.send(answered.await);
                });
            }
        });
        Self { commands, shared: Arc::default(), window: None }
    }

    /// Sets what the handle shows of the region.
    #[doc(hidden)]
    #[must_use]
    pub fn with_view(self, view: View) -> Self {
        self.shared.publish(view);
        self
    }
}
