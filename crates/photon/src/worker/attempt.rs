//! One attempt at one task: runs the program, tells the region what comes of it.
//! Must not know how tasks are come by, nor of other attempts.

use std::process::ExitStatus;
use std::sync::OnceLock;
use std::time::Duration;

use photon_edge::v1::types::{
    ArtifactNote, CompletePost, FailPost, HeartbeatPost, Lease, NotePost, NotesPost,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Job;
use super::program::{Piece, Program, feed, last_lines, pump};
use super::stream::part_bytes;
use crate::backoff::Backoff;
use crate::client::{Client, ClientError};

/// The name of the artifact that is made of standard output.
const ARTIFACT: &str = "output";
/// Pieces of output that wait to be sent; at it the program waits to write more.
const UNSENT_MAX: usize = 64;
/// Pieces of output that are sent in one request.
const NOTES_MAX: usize = 16;

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The program ended well.
    Completed,
    /// It did not, and why.
    Failed(String),
    /// The result is of no use to anybody, and why: nothing was reported.
    Abandoned(String),
}

/// An attempt under way.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    client: &'a Client,
    job: &'a Job,
    lease: &'a Lease,
    /// Cancelled when the worker must end at once.
    kill: CancellationToken,
    /// Cancelled when the program must end; `verdict` says why.
    stop: CancellationToken,
    verdict: OnceLock<Verdict>,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(
        client: &'a Client,
        job: &'a Job,
        lease: &'a Lease,
        kill: CancellationToken,
    ) -> Self {
        let stop = kill.child_token();
        Self { client, job, lease, kill, stop, verdict: OnceLock::new() }
    }

    /// Works on the task until the region has taken the result, or does not want it any more.
    pub(super) async fn run(&self) -> Verdict {
        let finished = CancellationToken::new();
        let work = async {
            let verdict = self.work().await;
            let verdict = self.report(verdict).await;
            finished.cancel();
            verdict
        };
        let (verdict, _) = tokio::join!(work, finished.run_until_cancelled(self.beat()));
        verdict
    }

    /// Says at once, and then again and again, that the worker lives.
    async fn beat(&self) {
        let every = Duration::from_millis(self.lease.ttl_ms / 3).max(Duration::from_millis(100));
        let post = HeartbeatPost { token: self.lease.token.clone() };
        loop {
            let beaten = self.persist(|| self.client.heartbeat(&self.lease.task, &post)).await;
            match beaten {
                Ok(standing) if standing.state.is_terminal() => {
                    let state = photon_region::TaskState::from(standing.state).as_str();
                    return self.end_with(Verdict::Abandoned(format!("the task is {state}")));
                }
                Ok(_) => sleep(every).await,
                Err(error) => return self.end_with(Verdict::Abandoned(error)),
            }
        }
    }

    /// Runs the program and sends its output on; returns what came of it.
    async fn work(&self) -> Verdict {
        let task = self.lease.task.as_str();
        let attempt = self.lease.attempt.to_string();
        let env = [
            ("PHOTON_TASK_ID", task),
            ("PHOTON_ATTEMPT", attempt.as_str()),
            ("PHOTON_CONTEXT_ID", self.lease.context_id.as_str()),
        ];
        let program = match Program::start(&self.job.program, &env) {
            Ok(program) => program,
            Err(error) => {
                let name = self.job.program[0].display();
                return Verdict::Failed(format!("cannot start `{name}`: {error}"));
            }
        };
        let (pieces, unsent) = mpsc::channel(UNSENT_MAX);
        let (verdict, ()) = tokio::join!(self.watch(program, pieces), self.deliver(unsent));
        self.verdict.get().cloned().unwrap_or(verdict)
    }

    /// Waits for the end of the program, or brings it about.
    async fn watch(&self, mut program: Program, pieces: mpsc::Sender<Piece>) -> Verdict {
        let ended = CancellationToken::new();
        let stdin = program.stdin.take();
        let stdout = program.stdout.take().expect("it was piped when the program was started");
        let stderr = program.stderr.take().expect("it was piped when the program was started");
        let input = self.input();
        let due = self.job.timeout.map(|it| Instant::now() + it);
        let lived = async {
            let status = tokio::select! {
                status = program.wait() => Some(status),
                () = self.stop.cancelled() => None,
                () = until(due) => None,
            };
            if status.is_none() {
                program.end().await;
            }
            ended.cancel();
            status
        };
        // A program that ends without having read all of its input closes it.
        let fed = ended.run_until_cancelled(feed(stdin, &input));
        let (status, _, (), errors) = tokio::join!(
            lived,
            fed,
            pump(stdout, ended.clone(), pieces),
            last_lines(stderr, ended.clone())
        );
        match (status, self.job.timeout) {
            (Some(Ok(status)), _) if status.success() => Verdict::Completed,
            (Some(Ok(status)), _) => Verdict::Failed(reason(status, &errors)),
            (Some(Err(error)), _) => Verdict::Failed(format!("cannot watch the program: {error}")),
            (None, _) if self.kill.is_cancelled() => {
                Verdict::Abandoned("the worker was stopped".to_owned())
            }
            (None, Some(timeout)) => Verdict::Failed(format!("it took longer than {timeout:?}")),
            (None, None) => Verdict::Abandoned("it was stopped".to_owned()),
        }
    }

    /// Returns what the program is given on its standard input: what was asked, and what the
    /// client and earlier workers have said to each other since.
    fn input(&self) -> Vec<u8> {
        let said = std::iter::once(&self.lease.message).chain(&self.lease.turns);
        let texts = said.flat_map(|message| match message.parse() {
            Ok(message) => message.parts.iter().map(part_bytes).collect(),
            // A message that is none of A2A is still JSON, which some programs may understand.
            Err(_) => vec![message.as_str().as_bytes().to_vec()],
        });
        texts.collect::<Vec<_>>().join(&b'\n')
    }

    /// Sends pieces of output until there are no more, or the region takes none.
    async fn deliver(&self, mut unsent: mpsc::Receiver<Piece>) {
        let (mut first, mut pieces) = (1, Vec::new());
        while 0 < unsent.recv_many(&mut pieces, NOTES_MAX).await {
            let count = u64::try_from(pieces.len()).expect("NOTES_MAX is small");
            let numbers = first..;
            let notes = numbers.zip(pieces.drain(..)).map(|(number, piece)| note(number, piece));
            let token = self.lease.token.clone();
            let post = NotesPost { token, first, notes: notes.collect() };
            match self.persist_or(|| self.client.note(&self.lease.task, &post)).await {
                Ok(_) => first += count,
                Err(Refused::Lost(why)) => return self.end_with(Verdict::Abandoned(why)),
                Err(Refused::Faulty(why)) => {
                    return self.end_with(Verdict::Failed(format!("the output is refused: {why}")));
                }
            }
        }
    }

    /// Tells the region what came of the attempt, until it takes it or does not want it.
    async fn report(&self, verdict: Verdict) -> Verdict {
        let (task, token) = (self.lease.task.as_str(), self.lease.token.clone());
        let reported = match &verdict {
            Verdict::Completed => {
                let post = CompletePost { token, ..CompletePost::default() };
                self.persist(|| self.client.complete(task, &post)).await
            }
            Verdict::Failed(reason) => {
                let reason = reason.clone();
                let post = FailPost { token, reason, rejected: false, non_retryable: false };
                self.persist(|| self.client.fail(task, &post)).await
            }
            Verdict::Abandoned(_) => return verdict,
        };
        match reported {
            Ok(_) => verdict,
            Err(why) => Verdict::Abandoned(why),
        }
    }

    /// Brings the program to its end; the first reason counts.
    fn end_with(&self, verdict: Verdict) {
        let _ = self.verdict.set(verdict);
        self.stop.cancel();
    }

    async fn persist<T, F>(&self, ask: impl Fn() -> F) -> Result<T, String>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        self.persist_or(ask).await.map_err(|refused| match refused {
            Refused::Lost(why) | Refused::Faulty(why) => why,
        })
    }

    /// Asks until there is an answer. All that a worker tells may safely be told twice.
    async fn persist_or<T, F>(&self, ask: impl Fn() -> F) -> Result<T, Refused>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let mut backoff = Backoff::default();
        let asking = async {
            loop {
                match ask().await {
                    Err(error) if error.is_passing() => {
                        let pause = error.retry_after().unwrap_or_default();
                        sleep(pause.max(backoff.next_pause())).await;
                    }
                    answer => return answer,
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

fn note(number: u64, piece: Piece) -> NotePost {
    let Piece { part, is_last } = piece;
    let (text, parts) = match part.text {
        Some(text) => (Some(text), None),
        None => (None, Some(vec![part])),
    };
    let id = ARTIFACT.to_owned();
    let artifact = ArtifactNote { id, name: None, text, parts, append: 1 < number, last: is_last };
    NotePost { artifact: Some(artifact), ..NotePost::default() }
}

/// Says why a program failed: its last words, and how it ended.
fn reason(status: ExitStatus, errors: &str) -> String {
    match errors {
        "" => status.to_string(),
        errors => format!("{status}\n{errors}"),
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
