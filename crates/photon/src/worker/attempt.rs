//! One attempt at one task: keeps its lease, and tells the region what comes of it.
//! Must not know how tasks are come by, what is done for them, nor of other attempts.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use photon_edge::v1::types::{
    CompletePost, FailPost, HeartbeatPost, LIMIT_MAX, Lease, Message, NotePost, NotesPost,
    PauseFor, PausePost,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Job;
use super::attachment::Attachment;
use crate::backoff::Backoff;
use crate::client::{Client, ClientError};

/// Bytes of a failure's reason that are passed on; the rest is cut off.
pub(super) const REASON_BYTES_MAX: usize = 4 << 10;
/// Bytes of notes that are told at once; more takes several requests.
const POST_BYTES_MAX: usize = 512 << 10;

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
    told: Mutex<Told>,
    /// Another region that is asked instead, because the one that the worker is attached to may not
    /// know of the task.
    detour: Mutex<Option<Client>>,
}

/// What was told in an attempt. It is kept: a home that is lost may have been the only one that
/// heard it, and its heir is told again.
#[derive(Debug, Default)]
struct Told {
    posts: Vec<NotesPost>,
    /// How many of them the home has, as far as is known.
    known: usize,
}

impl Told {
    /// Returns how many notes there are.
    fn notes(&self) -> u64 {
        self.posts.last().map_or(0, |it| it.first - 1 + it.notes.len() as u64)
    }

    /// Takes note of the number that the home expects next; false if it should have that one.
    fn goes_back_to(&mut self, expected: u64) -> bool {
        let behind = self.posts.partition_point(|it| it.first <= expected);
        self.known = behind.saturating_sub(1);
        0 < expected && expected <= self.notes()
    }
}

impl<'a> Attempt<'a> {
    pub(super) fn new(
        attachment: &'a Attachment,
        lease: &'a Lease,
        kill: CancellationToken,
    ) -> Self {
        let stop = kill.child_token();
        let (verdict, told, detour) = (OnceLock::new(), Mutex::default(), Mutex::default());
        Self { attachment, lease, kill, stop, verdict, told, detour }
    }

    /// Works on the task until the region has taken the result, or does not want it any more.
    pub(super) async fn run(&self, job: &Job) -> Verdict {
        let finished = CancellationToken::new();
        let work = async {
            let made = Box::pin(job.work(self)).await;
            let verdict = self.verdict.get().cloned().unwrap_or_else(|| made.clone());
            let verdict = self.report(verdict).await;
            finished.cancel();
            job.settle(self, &made, &verdict).await;
            verdict
        };
        let (verdict, _) = tokio::join!(work, finished.run_until_cancelled(self.beat()));
        verdict
    }

    /// Whether the worker itself must end at once.
    pub(super) fn is_killed(&self) -> bool {
        self.kill.is_cancelled()
    }

    /// Does something, unless the worker must end at once before it is done.
    pub(super) async fn until_killed<T>(&self, doing: impl Future<Output = T>) -> Option<T> {
        self.kill.run_until_cancelled(doing).await
    }

    /// Whether the task itself has ended, whoever has its lease.
    pub(super) async fn is_task_over(&self) -> bool {
        let client = self.with_detour(|it| it.clone());
        let client = client.unwrap_or_else(|| self.attachment.current().client);
        let found = client.task(&self.lease.task).await;
        found.is_ok_and(|it| it.state.is_terminal())
    }

    /// Tells the region notes, and waits until it has them. One at a time may do so.
    pub(super) async fn tell(&self, notes: Vec<NotePost>) -> Result<(), Over> {
        self.with_told(|told| {
            let mut size = usize::MAX;
            for note in notes {
                let bytes = serde_json::to_vec(&note).map_or(0, |it| it.len());
                size = size.saturating_add(bytes);
                match told.posts.last_mut() {
                    Some(post) if size <= POST_BYTES_MAX && post.notes.len() < LIMIT_MAX => {
                        post.notes.push(note);
                    }
                    Some(_) | None => {
                        let (token, first) = (self.lease.token.clone(), 1 + told.notes());
                        told.posts.push(NotesPost { token, first, notes: vec![note] });
                        size = bytes;
                    }
                }
            }
        });
        match self.tell_rest().await {
            Ok(()) => return Ok(()),
            Err(Refused::Faulty(why)) => {
                // It was not taken: the end leaves it out.
                self.with_told(|told| told.posts.truncate(told.known));
                self.end_with(Verdict::failed(format!("the output is refused: {why}")));
            }
            Err(refused) => self.end_with(Verdict::Abandoned(refused.why())),
        }
        Err(Over)
    }

    fn with_detour<T>(&self, use_it: impl FnOnce(&mut Option<Client>) -> T) -> T {
        use_it(&mut self.detour.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn with_told<T>(&self, use_it: impl FnOnce(&mut Told) -> T) -> T {
        use_it(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells the region what its home does not have yet.
    async fn tell_rest(&self) -> Result<(), Refused> {
        while let Some(post) = self.with_told(|told| told.posts.get(told.known).cloned()) {
            let post = &post;
            let tell = |it: Client| async move { it.note(&self.lease.task, post).await };
            match self.persist(tell).await {
                Ok(_) => self.with_told(|told| told.known += 1),
                Err(Refused::Gap(expected)) => self.go_back_to(expected)?,
                Err(refused) => return Err(refused),
            }
        }
        Ok(())
    }

    fn go_back_to(&self, expected: u64) -> Result<(), Refused> {
        let can = self.with_told(|told| told.goes_back_to(expected));
        let why = || Refused::Lost(format!("note {expected} is expected, and was never told"));
        can.then_some(()).ok_or_else(why)
    }

    /// The least time between heartbeats.
    const BEAT_MIN: Duration = Duration::from_millis(20);

    /// Says at once, and then again and again, that the worker lives.
    async fn beat(&self) {
        let every = Duration::from_millis(self.lease.ttl_ms / 3).max(Self::BEAT_MIN);
        let post = &HeartbeatPost { token: self.lease.token.clone() };
        loop {
            let beat = |it: Client| async move { it.heartbeat(&self.lease.task, post).await };
            match self.persist(beat).await {
                Ok(standing) if standing.state.is_terminal() => {
                    let state = photon_region::TaskState::from(standing.state).as_str();
                    return self.end_with(Verdict::Abandoned(format!("the task is {state}")));
                }
                Ok(_) => sleep(every).await,
                Err(refused) => return self.end_with(Verdict::Abandoned(refused.why())),
            }
        }
    }

    /// Tells the region what came of the attempt, until it takes it or does not want it.
    async fn report(&self, mut verdict: Verdict) -> Verdict {
        if let Verdict::Abandoned(_) = verdict {
            return verdict;
        }
        loop {
            let reported = match self.end(&verdict).await {
                Err(Refused::Gap(expected)) => match self.go_back_to(expected) {
                    Ok(()) => self.tell_rest().await,
                    Err(refused) => Err(refused),
                },
                Ok(()) => return verdict,
                // What came of it is not acceptable: that is for the client to know.
                Err(Refused::Faulty(why)) if !matches!(verdict, Verdict::Failed(_)) => {
                    let mut reason = format!("the result is refused: {why}");
                    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
                    verdict = Verdict::Failed(Failure { reason, then: Then::Settle });
                    continue;
                }
                refused => refused,
            };
            if let Err(refused) = reported {
                return Verdict::Abandoned(refused.why());
            }
        }
    }

    /// Tells the region once how the attempt ended.
    async fn end(&self, verdict: &Verdict) -> Result<(), Refused> {
        let (task, token) = (self.lease.task.as_str(), self.lease.token.clone());
        let notes = Some(self.with_told(|told| told.notes()));
        let ended = match verdict.clone() {
            Verdict::Completed(message) => {
                let message = message.map(|it| *it);
                let post = &CompletePost { token, notes, message, text: None };
                self.persist(|it| async move { it.complete(task, post).await }).await
            }
            Verdict::Asked(what_for, message) => {
                let message = message.map(|it| *it);
                let post = &PausePost { token, notes, what_for, message, text: None };
                self.persist(|it| async move { it.pause(task, post).await }).await
            }
            Verdict::Failed(Failure { reason, then }) => {
                let (rejected, non_retryable) = (then == Then::Refuse, then == Then::Settle);
                let post = &FailPost { token, notes, reason, rejected, non_retryable };
                self.persist(|it| async move { it.fail(task, post).await }).await
            }
            Verdict::Abandoned(_) => return Ok(()),
        };
        ended.map(drop)
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
                let detour = self.with_detour(|it| it.clone());
                let answer = match detour {
                    Some(client) => Some(ask(client).await),
                    None => self.attachment.ask(Duration::ZERO, &ask).await,
                };
                let Some(answer) = answer else { continue };
                let Err(error) = &answer else { return answer };
                let members = error.members().map(|it| self.attachment.of(it));
                let can = if let Some(members) = members {
                    // The next one each time: any of them may be away.
                    let next = members.get(backoff.failures() as usize % members.len().max(1));
                    self.with_detour(|it| *it = next.cloned());
                    next.is_some()
                } else {
                    self.with_detour(|it| it.take());
                    error.is_passing()
                };
                if !can {
                    return answer;
                }
                let pause = error.retry_after().unwrap_or_default();
                sleep(pause.max(backoff.next_pause())).await;
            }
        };
        match self.kill.run_until_cancelled(asking).await {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(error)) => Err(match (error.expected_note(), error.status()) {
                (Some(expected), _) => Refused::Gap(expected),
                (None, Some(400 | 413 | 422)) => Refused::Faulty(error.to_string()),
                (None, _) => Refused::Lost(error.to_string()),
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
    /// The home lacks notes: this is the number of the first.
    Gap(u64),
}

impl Refused {
    fn why(self) -> String {
        match self {
            Self::Lost(why) | Self::Faulty(why) => why,
            Self::Gap(expected) => format!("note {expected} is missing"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_home_lacks_is_told_again_from_the_request_that_held_it() {
        let post = |first, count| {
            let note = NotePost { status: None, artifact: None, checkpoint: None };
            NotesPost { token: String::new(), first, notes: vec![note; count] }
        };
        let check = |expected: u64, goes: bool, known: usize| {
            let mut told = Told { posts: vec![post(1, 2), post(3, 1), post(4, 4)], known: 3 };
            assert_eq!(told.notes(), 7);
            assert_eq!(told.goes_back_to(expected), goes, "{expected}");
            assert!(!goes || told.known == known, "{expected}: {}", told.known);
        };
        check(1, true, 0);
        check(2, true, 0);
        check(3, true, 1);
        check(5, true, 2);
        check(7, true, 2);
        check(8, false, 0);
        check(0, false, 0);
        assert_eq!(Told::default().notes(), 0);
        assert!(!Told::default().goes_back_to(1));
    }
}
