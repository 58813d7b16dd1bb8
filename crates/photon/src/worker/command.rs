//! Work that a program does: it reads what is asked, and what it writes is the artifact.
//! Must not know how the region is talked to.

use std::ffi::OsString;
use std::process::ExitStatus;
use std::time::Duration;

use photon_edge::v1::types::{ArtifactNote, NotePost};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::attempt::{Attempt, Verdict};
use super::program::{Piece, Program, feed, last_lines, pump};
use super::stream::part_bytes;

/// The name of the artifact that is made of standard output.
const ARTIFACT: &str = "output";
/// Pieces of output that wait to be sent; at it the program waits to write more.
pub(super) const UNSENT_MAX: usize = 64;
/// Pieces of output that are sent in one request.
const NOTES_MAX: usize = 16;

/// A program that is run for each task.
#[derive(Clone, Debug)]
pub struct ProgramJob {
    /// The program, and what to give it.
    pub program: Vec<OsString>,
    /// How long it may take.
    pub timeout: Option<Duration>,
}

impl ProgramJob {
    /// Runs the program and sends its output on; returns what came of it.
    pub(super) async fn work(&self, attempt: &Attempt<'_>) -> Verdict {
        let number = attempt.lease.attempt.to_string();
        let env = [
            ("PHOTON_TASK_ID", attempt.lease.task.as_str()),
            ("PHOTON_ATTEMPT", number.as_str()),
            ("PHOTON_CONTEXT_ID", attempt.lease.context_id.as_str()),
        ];
        let program = match Program::start(&self.program, &env) {
            Ok(program) => program,
            Err(error) => {
                let name = self.program[0].display();
                return Verdict::failed(format!("cannot start `{name}`: {error}"));
            }
        };
        let (pieces, unsent) = mpsc::channel(UNSENT_MAX);
        let watching = self.watch(attempt, program, pieces);
        let (verdict, ()) = tokio::join!(watching, deliver(attempt, unsent, Begun::Not));
        verdict
    }

    /// Waits for the end of the program, or brings it about.
    async fn watch(
        &self,
        attempt: &Attempt<'_>,
        mut program: Program,
        pieces: mpsc::Sender<Piece>,
    ) -> Verdict {
        let ended = CancellationToken::new();
        let stdin = program.stdin.take();
        let stdout = program.stdout.take().expect("it was piped when the program was started");
        let stderr = program.stderr.take().expect("it was piped when the program was started");
        let input = input(attempt);
        let due = self.timeout.map(|it| Instant::now() + it);
        let lived = async {
            let status = tokio::select! {
                status = program.wait() => Some(status),
                () = attempt.stop.cancelled() => None,
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
        match (status, self.timeout) {
            (Some(Ok(status)), _) if status.success() => Verdict::Completed(None),
            (Some(Ok(status)), _) => Verdict::failed(reason(status, &errors)),
            (Some(Err(error)), _) => Verdict::failed(format!("cannot watch the program: {error}")),
            (None, _) if attempt.is_killed() => {
                Verdict::Abandoned("the worker was stopped".to_owned())
            }
            (None, Some(timeout)) => Verdict::failed(format!("it took longer than {timeout:?}")),
            (None, None) => Verdict::Abandoned("it was stopped".to_owned()),
        }
    }
}

/// Returns what the program is given on its standard input: what was asked, and what the client
/// and earlier workers have said to each other since.
fn input(attempt: &Attempt<'_>) -> Vec<u8> {
    let said = std::iter::once(&attempt.lease.message).chain(&attempt.lease.turns);
    let texts = said.flat_map(|message| match message.parse() {
        Ok(message) => message.parts.iter().map(part_bytes).collect(),
        // A message that is none of A2A is still JSON, which some programs may understand.
        Err(_) => vec![message.as_str().as_bytes().to_vec()],
    });
    texts.collect::<Vec<_>>().join(&b'\n')
}

/// Sends pieces of output until there are no more, or the region takes none.
pub(super) async fn deliver(
    attempt: &Attempt<'_>,
    mut unsent: mpsc::Receiver<Piece>,
    mut begun: Begun,
) {
    let mut pieces = Vec::new();
    while 0 < unsent.recv_many(&mut pieces, NOTES_MAX).await {
        let notes =
            pieces.drain(..).map(|piece| note(std::mem::replace(&mut begun, Begun::Has), piece));
        if attempt.tell(notes.collect()).await.is_err() {
            return;
        }
    }
}

/// Whether something of the artifact was told before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// Nothing: it begins anew.
    Not,
    /// Something, that is appended to.
    Has,
}

fn note(begun: Begun, piece: Piece) -> NotePost {
    let Piece { part, is_last } = piece;
    let (text, parts) = match part.text {
        Some(text) => (Some(text), None),
        None => (None, Some(vec![part])),
    };
    let (id, append) = (ARTIFACT.to_owned(), begun == Begun::Has);
    let artifact = ArtifactNote { id, name: None, text, parts, append, last: is_last };
    NotePost { artifact: Some(artifact), ..NotePost::default() }
}

/// Says why a program failed: its last words, and how it ended.
fn reason(status: ExitStatus, errors: &str) -> String {
    match errors {
        "" => status.to_string(),
        errors => format!("{status}\n{errors}"),
    }
}

/// Waits until a time, or for ever.
pub(super) async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
