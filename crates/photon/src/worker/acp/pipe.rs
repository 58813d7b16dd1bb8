//! The program of an agent with its three streams: lines go in and come out, one at a time.
//! Must not know what the lines mean.

use std::ffi::OsString;
use std::process::ExitStatus;
use std::time::Duration;
use std::{fmt, io};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::time::{Instant, sleep_until, timeout};

use super::super::program::{LastLines, Program};
use super::wire::{self, Said};

/// The longest line that is read.
pub(super) const LINE_BYTES_MAX: usize = 16 << 20;
/// Bytes that may wait for the program to read them before more are given to it.
const UNSENT_BYTES_MAX: usize = 16 << 20;
/// How long output is read after the program has ended, if something keeps it open.
const LINGER_MAX: Duration = Duration::from_secs(2);
/// How long a program may take to read what it is given, before nobody listens to it for a while.
const FLUSH_PATIENCE: Duration = Duration::from_secs(5);
/// How often standard error is read at once to forget it; what is beyond that is kept.
const FORGET_READS_MAX: usize = 64;
/// Letters that are shown of a line that is no message.
const NOISE_BYTES_MAX: usize = 200;
const READ_BYTES: usize = 16 << 10;

/// A program that is talked to.
#[derive(Debug)]
pub(super) struct Pipe {
    program: Program,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    /// What the program has not been given yet.
    unsent: BytesMut,
    /// What the program has written, from the beginning of a line.
    unread: BytesMut,
    /// How much of that is known to have no end of a line.
    searched: usize,
    errors: LastLines,
    /// The first line that was no message.
    noise: Option<String>,
    ended: Option<Ended>,
}

/// How and when a program ended.
#[derive(Debug)]
struct Ended {
    status: io::Result<ExitStatus>,
    at: Instant,
}

/// Why nothing more is heard of a program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Broken {
    /// It has ended, or closed its output.
    #[error("the program ended: {0}")]
    Ended(LastWords),
    /// A line of it has no end.
    #[error("the program wrote a line of more than {LINE_BYTES_MAX} bytes")]
    TooLong,
    /// It does not read.
    #[error("the program does not read its standard input")]
    Deaf,
}

/// How a program ended, and the end of its standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LastWords {
    status: String,
    noise: Option<String>,
    errors: String,
}

impl fmt::Display for LastWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.status)?;
        if let Some(noise) = &self.noise {
            write!(f, "; it wrote `{noise}`, which is no message of the protocol")?;
        }
        match self.errors.as_str() {
            "" => Ok(()),
            errors => write!(f, "\n{errors}"),
        }
    }
}

impl Pipe {
    /// Starts the program.
    pub(super) fn start(line: &[OsString]) -> io::Result<Self> {
        let mut program = Program::start(line, &[])?;
        let stdin = program.stdin.take();
        let (stdout, stderr) = (program.stdout.take(), program.stderr.take());
        let (unsent, unread, searched) = (BytesMut::new(), BytesMut::new(), 0);
        let (errors, noise, ended) = (LastLines::default(), None, None);
        Ok(Self { program, stdin, stdout, stderr, unsent, unread, searched, errors, noise, ended })
    }

    /// Gives the program a line, which is written while it is listened to.
    pub(super) fn send(&mut self, line: &[u8]) -> Result<(), Broken> {
        if UNSENT_BYTES_MAX < self.unsent.len() {
            return Err(Broken::Deaf);
        }
        self.unsent.extend_from_slice(line);
        Ok(())
    }

    /// Listens until the program says something. May be dropped and called again: nothing is lost.
    pub(super) async fn next(&mut self) -> Result<Said, Broken> {
        loop {
            while let Some(line) = self.take_line()? {
                match wire::read(&line) {
                    Some(said) => return Ok(said),
                    None => self.take_note_of_noise(&line),
                }
            }
            if self.stdout.is_none() {
                return Err(Broken::Ended(self.last_words().await));
            }
            self.step().await;
        }
    }

    /// Writes what the program was not given yet. What it says meanwhile is kept.
    pub(super) async fn flush(&mut self) -> Result<(), Broken> {
        let writing = async {
            while !self.unsent.is_empty() && self.stdin.is_some() && self.stdout.is_some() {
                if LINE_BYTES_MAX < self.unread.len() {
                    return Err(Broken::Deaf);
                }
                self.step().await;
            }
            Ok(())
        };
        timeout(FLUSH_PATIENCE, writing).await.unwrap_or(Err(Broken::Deaf))
    }

    /// Waits until some bytes have gone in or come out, or the program has ended.
    async fn step(&mut self) {
        let Self { program, stdin, stdout, stderr, unsent, unread, errors, ended, .. } = self;
        let Some(output) = stdout else { return };
        let over = ended.as_ref().map(|it| it.at + LINGER_MAX);
        let is_running = ended.is_none();
        unread.reserve(READ_BYTES);
        tokio::select! {
            biased; // What was written before is read, however late we are.
            // A program that does not want to hear more may close its input.
            wrote = write(stdin, unsent), if stdin.is_some() && !unsent.is_empty() => match wrote {
                Ok(count) => unsent.advance(count),
                Err(_) => *stdin = None,
            },
            read = output.read_buf(unread) => {
                if matches!(read, Ok(0) | Err(_)) {
                    *stdout = None;
                }
            }
            open = errors.read(stderr), if stderr.is_some() => {
                if !open {
                    *stderr = None;
                }
            }
            status = program.wait(), if is_running => {
                *ended = Some(Ended { status, at: Instant::now() });
            }
            // Only a process that left the program's group holds the output open.
            () = sleep_until(over.unwrap_or_else(Instant::now)), if over.is_some() => {
                *stdout = None;
            }
        }
    }

    /// Takes a whole line of what was read; at the end of the output the rest is one.
    fn take_line(&mut self) -> Result<Option<BytesMut>, Broken> {
        let end = memchr::memchr(b'\n', &self.unread[self.searched..]);
        if let Some(at) = end.map(|it| it + self.searched) {
            let mut line = self.unread.split_to(at + 1);
            line.truncate(at);
            self.searched = 0;
            return Ok(Some(line));
        }
        self.searched = self.unread.len();
        if LINE_BYTES_MAX < self.unread.len() {
            return Err(Broken::TooLong);
        }
        if self.stdout.is_none() && !self.unread.is_empty() {
            self.searched = 0;
            return Ok(Some(self.unread.split()));
        }
        Ok(None)
    }

    fn take_note_of_noise(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let text = wire::cut(text.trim(), NOISE_BYTES_MAX);
        if text.is_empty() {
            return;
        }
        tracing::debug!(line = text, "the program wrote a line that is no message");
        self.noise.get_or_insert_with(|| text.to_owned());
    }

    /// Returns what the program wrote first that is no message.
    pub(super) fn noise(&self) -> Option<&str> {
        self.noise.as_deref()
    }

    /// Whether the program has ended, as far as can be told without waiting.
    pub(super) fn has_ended(&mut self) -> bool {
        self.stdout.is_none() || self.ended.is_some() || self.program.has_ended()
    }

    /// Forgets what the program has said beside the protocol so far, and what of that is unread.
    pub(super) fn forget_asides(&mut self) {
        let mut rest = [0; READ_BYTES];
        for _ in 0..FORGET_READS_MAX {
            let Some(stderr) = &self.stderr else { break };
            // There is nothing more for the moment, or at all.
            if matches!(rustix::io::read(stderr, &mut rest), Ok(0) | Err(_)) {
                break;
            }
        }
        (self.errors, self.noise) = (LastLines::default(), None);
    }

    /// Ends the program with all that it started.
    pub(super) async fn end(&mut self) {
        self.stdin = None;
        if self.ended.is_none() {
            self.program.end().await;
        }
    }

    async fn last_words(&mut self) -> LastWords {
        let Self { program, stderr, errors, ended, .. } = self;
        let rest = async { while errors.read(stderr).await {} };
        // What keeps it open is none of the program.
        let _ = timeout(LINGER_MAX, async {
            if ended.is_none() {
                let status = program.wait().await;
                *ended = Some(Ended { status, at: Instant::now() });
            }
            rest.await;
        })
        .await;
        let status = match &self.ended {
            Some(Ended { status: Ok(status), .. }) => status.to_string(),
            Some(Ended { status: Err(error), .. }) => error.to_string(),
            None => "it closed its standard output".to_owned(),
        };
        let noise = self.noise.clone();
        LastWords { status, noise, errors: self.errors.text() }
    }
}

async fn write(stdin: &mut Option<ChildStdin>, bytes: &[u8]) -> io::Result<usize> {
    match stdin {
        Some(stdin) => stdin.write(bytes).await,
        None => Ok(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(script: &str) -> Pipe {
        Pipe::start(&["sh", "-c", script].map(OsString::from)).unwrap()
    }

    async fn check(script: &str, answers: &[u64]) -> Broken {
        let mut pipe = start(script);
        for expected in answers {
            match pipe.next().await.unwrap() {
                Said::Answer { id, .. } => assert_eq!(id, *expected, "{script}"),
                other @ (Said::Request { .. } | Said::Notice { .. }) => panic!("{other:?}"),
            }
        }
        pipe.next().await.unwrap_err()
    }

    #[tokio::test]
    async fn lines_come_out_whatever_is_between_them() {
        let script = r#"printf '{"id":1,"result"'; echo ':{}}'; echo; echo hello; echo '{"id":2}'
            printf '{"id":3}'"#;
        let Broken::Ended(words) = check(script, &[1, 2, 3]).await else { panic!() };
        assert_eq!((words.noise.as_deref(), words.errors.as_str()), (Some("hello"), ""));
    }

    #[tokio::test]
    async fn a_program_that_ends_leaves_its_last_words() {
        let broken = check("echo oops >&2; exit 3", &[]).await;
        assert_eq!(broken.to_string(), "the program ended: exit status: 3\noops");
        let broken = check("echo Usage: x; exit 1", &[]).await.to_string();
        assert!(broken.contains("it wrote `Usage: x`"), "{broken}");
    }

    #[tokio::test]
    async fn a_line_without_end_is_not_read_for_ever() {
        assert_eq!(check("exec cat /dev/zero", &[]).await, Broken::TooLong);
    }

    #[tokio::test]
    async fn what_is_given_is_read_while_the_program_writes() {
        let mut pipe = start("exec cat");
        let line = wire::answer(&7.into(), &"x".repeat(1 << 20).into());
        for _ in 0..4 {
            pipe.send(&line).unwrap();
        }
        for _ in 0..4 {
            assert!(matches!(pipe.next().await, Ok(Said::Answer { id: 7, .. })));
        }
        pipe.end().await;
        assert!(pipe.has_ended());
    }

    #[tokio::test]
    async fn what_is_forgotten_is_not_told_later() {
        let mut pipe =
            start(r#"echo secret >&2; echo '{"id":1}'; read line; echo own >&2; exit 3"#);
        assert!(matches!(pipe.next().await, Ok(Said::Answer { id: 1, .. })));
        pipe.forget_asides();
        pipe.send(b"go on\n").unwrap();
        let broken = pipe.next().await.unwrap_err();
        assert_eq!(broken.to_string(), "the program ended: exit status: 3\nown");
    }

    #[tokio::test]
    async fn what_is_given_is_written_though_nobody_listens() {
        let mut pipe = start(r#"read line; echo "$line"; exec cat >/dev/null"#);
        pipe.send(b"{\"id\":5}\n").unwrap();
        pipe.flush().await.unwrap();
        assert!(pipe.unsent.is_empty());
        assert!(matches!(pipe.next().await, Ok(Said::Answer { id: 5, .. })));
        pipe.send(&vec![b'x'; 1 << 20]).unwrap();
        pipe.flush().await.unwrap();
        pipe.end().await;
        let mut pipe = start("sleep 1000");
        pipe.send(&vec![b'x'; 1 << 20]).unwrap();
        tokio::time::pause();
        assert_eq!(pipe.flush().await, Err(Broken::Deaf));
        pipe.end().await;
    }

    #[tokio::test]
    async fn a_program_that_never_reads_is_given_no_more() {
        let mut pipe = start("sleep 1000");
        let line = vec![b'x'; UNSENT_BYTES_MAX + 1];
        pipe.send(&line).unwrap();
        assert_eq!(pipe.send(b"x\n"), Err(Broken::Deaf));
        pipe.end().await;
    }
}
