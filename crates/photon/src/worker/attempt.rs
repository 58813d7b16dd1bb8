//! One attempt at one task: keeps its lease, and tells the region what comes of it.
//! Must not know how tasks are come by, what is done for them, nor of other attempts.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use photon_edge::v1::types::{
    CompletePost, FailPost, HeartbeatPost, Lease, Message, NotePost, NotesPost, PauseFor, PausePost,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Job;
use super::attachment::Attachment;
use crate::backoff::Backoff;
use crate::client::{Client, ClientError};

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// The work is done, and perhaps something is said about it.
    Completed(Option<Box<Message>>),
    /// The client has to say something first.
    Asked(PauseFor, Option<Box<Message>>),
    /// The work came to nothing.
    Failed(Failure),
    /// The result is of no use to anybody, and why: nothing was reported.
    Abandoned(String),
}

/// Why the work came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// In words.
    pub(super) reason: String,
    /// What else could be done about it.
    pub(super) then: Then,
}

/// What could be done about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Another attempt may do better.
    TryAgain,
    /// No attempt will do better.
    Settle,
    /// The agent does not want such work.
    Refuse,
}

impl Verdict {
    /// A failure after which another attempt may do better.
    pub(super) fn failed(reason: impl Into<String>) -> Self {
        Self::Failed(Failure { reason: reason.into(), then: Then::TryAgain })
    }
}

/// The attempt is over: the lease is lost, or what was told is refused.
#[derive(Clone, Copy, Debug)]
pub(super) struct Over;

/// An attempt under way.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    attachment: &'a Attachment,
    pub(super) lease: &'a Lease,
    /// Cancelled when the worker must end at once.
    kill: CancellationToken,
    /// Cancelled when the work must end; `verdict` says why.
    pub(super) stop: CancellationToken,
    verdict: OnceLock<Verdict>,
    /// How many notes were told.
    told: AtomicU64,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(
        attachment: &'a Attachment,
        lease: &'a Lease,
        kill: CancellationToken,
    ) -> Self {
        let stop = kill.child_token();
        let (verdict, told) = (OnceLock::new(), AtomicU64::new(0));
        Self { attachment, lease, kill, stop, verdict, told }
    }

    /// Works on the task until the region has taken the result, or does not want it any more.
    pub(super) async fn run(&self, job: &Job) -> Verdict {
        let finished = CancellationToken::new();
        let work = async {
            let verdict = Box::pin(job.work(self)).await;
            let verdict = self.verdict.get().cloned().unwrap_or(verdict);
            let verdict = self.report(verdict).await;
            finished.cancel();
            verdict
        };
        let (verdict, _) = tokio::join!(work, finished.run_until_cancelled(self.beat()));
        verdict
    }

    /// Whether the worker itself must end at once.
    pub(super) fn is_killed(&self) -> bool {
        self.kill.is_cancelled()
    }

    /// Whether the task itself has ended, whoever has its lease.
    pub(super) async fn is_task_over(&self) -> bool {
        let client = self.attachment.current().client;
        let found = client.task(&self.lease.task).await;
        found.is_ok_and(|it| it.state.is_terminal())
    }

    /// Tells the region notes, and waits until it has them. One at a time may do so.
    pub(super) async fn tell(&self, notes: Vec<NotePost>) -> Result<(), Over> {
        let count = u64::try_from(notes.len()).expect("a vector has less than 2^64 items");
        let first = 1 + self.told.load(Ordering::Relaxed);
        let post = NotesPost { token: self.lease.token.clone(), first, notes };
        let post = &post;
        let told = self.persist(|it| async move { it.note(&self.lease.task, post).await }).await;
        match told {
            Ok(_) => {
                self.told.fetch_add(count, Ordering::Relaxed);
                return Ok(());
            }
            Err(Refused::Lost(why)) => self.end_with(Verdict::Abandoned(why)),
            Err(Refused::Faulty(why)) => {
                self.end_with(Verdict::failed(format!("the output is refused: {why}")));
            }
        }
        Err(Over)
    }

    /// Says at once, and then again and again, that the worker lives.
    async fn beat(&self) {
        let every = Duration::from_millis(self.lease.ttl_ms / 3).max(Duration::from_millis(100));
        let post = &HeartbeatPost { token: self.lease.token.clone() };
        loop {
            let beat = |it: Client| async move { it.heartbeat(&self.lease.task, post).await };
            match self.persist(beat).await {
                Ok(standing) if standing.state.is_terminal() => {
                    let state = photon_region::TaskState::from(standing.state).as_str();
                    return self.end_with(Verdict::Abandoned(format!("the task is {state}")));
                }
                Ok(_) => sleep(every).await,
                Err(Refused::Lost(why) | Refused::Faulty(why)) => {
                    return self.end_with(Verdict::Abandoned(why));
                }
            }
        }
    }

    /// Tells the region what came of the attempt, until it takes it or does not want it.
    async fn report(&self, verdict: Verdict) -> Verdict {
        let (task, token) = (self.lease.task.as_str(), self.lease.token.clone());
        let reported = match verdict.clone() {
            Verdict::Completed(message) => {
                let post = &CompletePost { token, message: message.map(|it| *it), text: None };
                self.persist(|it| async move { it.complete(task, post).await }).await
            }
            Verdict::Asked(what_for, message) => {
                let message = message.map(|it| *it);
                let post = &PausePost { token, what_for, message, text: None };
                self.persist(|it| async move { it.pause(task, post).await }).await
            }
            Verdict::Failed(Failure { reason, then }) => {
                let (rejected, non_retryable) = (then == Then::Refuse, then == Then::Settle);
                let post = &FailPost { token, reason, rejected, non_retryable };
                self.persist(|it| async move { it.fail(task, post).await }).await
            }
            Verdict::Abandoned(_) => return verdict,
        };
        match reported {
            Ok(_) => verdict,
            Err(Refused::Lost(why) | Refused::Faulty(why)) => Verdict::Abandoned(why),
        }
    }

    /// Brings the work to its end; the first reason counts.
    fn end_with(&self, verdict: Verdict) {
        let _ = self.verdict.set(verdict);
        self.stop.cancel();
    }

    /// Asks until there is an answer, whichever region it comes from. All that a worker tells may
    /// safely be told twice.
    async fn persist<T, F>(&self, ask: impl Fn(Client) -> F) -> Result<T, Refused>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let mut backoff = Backoff::default();
        let asking = async {
            loop {
                match self.attachment.ask(Duration::ZERO, &ask).await {
                    None => {}
                    Some(Err(error)) if error.is_passing() => {
                        let pause = error.retry_after().unwrap_or_default();
                        sleep(pause.max(backoff.next_pause())).await;
                    }
                    Some(answer) => return answer,
                }
            }
        };
        match self.kill.run_until_cancelled(asking).await {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(error)) => Err(match error.status() {
                Some(400 | 413 | 422) => Refused::Faulty(error.to_string()),
                _ => Refused::Lost(error.to_string()),
            }),
            None => Err(Refused::Lost("the worker was stopped".to_owned())),
        }
    }
}

/// Why asking again will not help.
#[derive(Debug)]
enum Refused {
    /// The lease is not ours any more.
    Lost(String),
    /// What we tell is not acceptable.
    Faulty(String),
}
