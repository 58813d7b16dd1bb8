//! What is done for programs between turns: they rest, wait for clients, are called off and ended.
//! Must not ask them to do anything.

use std::sync::atomic::Ordering;
use std::time::Duration;

use photon_edge::v1::types::{Lease, Task, TaskState};
use tokio::time::{sleep, timeout};

use super::super::attachment::Attachment;
use super::super::attempt::{Attempt, Then, Verdict};
use super::host::{Host, HostError};
use super::hosts::{Seen, Waiting};
use super::{AcpJob, failed};
use crate::backoff::Backoff;

/// How often it is looked after programs that wait for a client.
const TEND_EVERY: Duration = Duration::from_secs(5);
/// How long a region has to say how a task stands; later it is asked again the next time.
const LOOK_PATIENCE: Duration = Duration::from_secs(5);

impl AcpJob {
    /// Waits until a program can be worked with, if one could not: others shall have the tasks.
    pub(in super::super) async fn is_ready(&self) {
        let mut backoff = Backoff::default();
        while self.is_doubted.load(Ordering::Relaxed) {
            sleep(backoff.next_pause()).await;
            match Host::start_with_spare(&self.options.launch, self.hosts.place()).await {
                Ok(host) => {
                    self.trust();
                    self.rest(host).await;
                }
                Err(error) => tracing::debug!(%error, "the program cannot be worked with"),
            }
        }
    }

    /// Takes note that a program did not start, or did not open a session.
    pub(super) fn doubt(&self) {
        self.is_doubted.store(true, Ordering::Relaxed);
    }

    /// Takes note that a program has opened a session.
    pub(super) fn trust(&self) {
        self.is_doubted.store(false, Ordering::Relaxed);
    }

    /// Takes note of what the region has taken of what was made in an attempt.
    pub(in super::super) async fn settle(
        &self,
        attempt: &Attempt<'_>,
        made: &Verdict,
        taken: &Verdict,
    ) {
        let Lease { task, token, .. } = attempt.lease;
        let is_taken = std::mem::discriminant(made) == std::mem::discriminant(taken);
        match made {
            Verdict::Asked(..) if is_taken => self.hosts.confirm(token),
            Verdict::Asked(..) => {
                let dismissing = Box::pin(self.dismiss(self.hosts.of_lease(token)));
                attempt.until_killed(dismissing).await;
            }
            Verdict::Completed(_) if !is_taken => self.hosts.forget(task),
            Verdict::Completed(_) | Verdict::Failed(_) | Verdict::Abandoned(_) => {}
        }
    }

    /// Takes the program that waits for what is answered in a lease, if it still lives, and those
    /// that wait for the task in vain.
    pub(super) fn answered(&self, lease: &Lease) -> (Option<Waiting>, Vec<Waiting>) {
        let question = lease.turns.iter().rev().nth(1).and_then(|it| it.parse().ok());
        let question = question.map(|it| it.message_id);
        let mut waiting = self.hosts.of_task(&lease.task);
        let found = waiting
            .iter_mut()
            .position(|it| Some(&it.question) == question.as_ref() && !it.host.pipe.has_ended());
        (found.map(|at| waiting.remove(at)), waiting)
    }

    /// Says why nothing came of the attempt.
    pub(super) async fn give_up(&self, mut host: Host, error: &HostError) -> Verdict {
        if error.leaves_it_usable() {
            self.rest(host).await;
        } else {
            host.pipe.end().await;
        }
        failed(error, Then::TryAgain)
    }

    /// Keeps a program for the next task.
    pub(super) async fn rest(&self, host: Host) {
        if let Some(mut other) = self.hosts.put(host) {
            other.pipe.end().await;
        }
    }

    /// Calls turns off that wait for clients, and keeps their programs if that has ended them.
    pub(super) async fn dismiss(&self, waiting: Vec<Waiting>) {
        let dismissing = waiting.into_iter().map(|it| async move {
            let Waiting { mut host, mut turn, .. } = it;
            host.forget(&turn.session);
            if turn.call_off(&mut host).await {
                self.rest(host).await;
            } else {
                host.pipe.end().await;
            }
        });
        futures_util::future::join_all(dismissing).await;
    }

    /// Looks after programs that wait for clients, for ever: ends the turns of tasks that are over
    /// or somebody else's, and those that have waited for too long.
    pub(in super::super) async fn tend(&self, attachment: &Attachment) {
        loop {
            sleep(TEND_EVERY).await;
            self.dismiss(self.hosts.late()).await;
            for (task, question) in self.hosts.questions() {
                let looking = attachment.current().client;
                match timeout(LOOK_PATIENCE, looking.task(&task)).await {
                    Ok(Ok(found)) => {
                        let stale = self.hosts.see(&question, seen(&found, &question));
                        self.dismiss(stale).await;
                    }
                    Ok(Err(_)) => {}
                    Err(_) => break,
                }
            }
        }
    }

    /// Ends all programs that nobody talks to.
    pub(in super::super) async fn close(&self) {
        let ending = self.hosts.take_all().into_iter().map(|mut host| async move {
            host.pipe.end().await;
        });
        futures_util::future::join_all(ending).await;
    }
}

/// Returns what there is to be seen of a task whose client was asked a question.
fn seen(task: &Task, question: &str) -> Seen {
    match task.state {
        TaskState::InputRequired | TaskState::AuthRequired => {
            let asked = task.last_message.as_ref().and_then(|it| it.parse().ok());
            let is_that = asked.is_some_and(|it| it.message_id == question);
            if is_that { Seen::Waiting } else { Seen::Elsewhere }
        }
        TaskState::Submitted => Seen::Waiting,
        TaskState::Working => Seen::Elsewhere,
        TaskState::Completed | TaskState::Failed | TaskState::Canceled | TaskState::Rejected => {
            Seen::Over
        }
    }
}
