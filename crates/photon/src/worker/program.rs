//! Runs the program of an agent for one task, and leaves nothing of it behind.
//! Must not know of leases or regions.

use std::ffi::OsString;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use photon_edge::v1::types::Part;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::stream::{Chunker, Rest};

/// How long output may wait to be sent together with what follows.
pub(super) const BATCH_WAIT: Duration = Duration::from_millis(50);
/// How long a program that must end has until it is killed.
const TERM_PATIENCE: Duration = Duration::from_secs(2);
/// How long output is read after the program has ended, if something keeps it open.
const LINGER_MAX: Duration = Duration::from_secs(2);
/// How much of standard error is kept: its end.
const STDERR_BYTES_MAX: usize = 4 << 10;
const READ_BYTES: usize = 16 << 10;

/// A program that runs, in a process group of its own.
#[derive(Debug)]
pub(super) struct Program {
    child: Child,
    group: Option<Pid>,
    pub(super) stdin: Option<ChildStdin>,
    pub(super) stdout: Option<ChildStdout>,
    pub(super) stderr: Option<ChildStderr>,
}

/// A part of the output.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) part: Part,
    pub(super) is_last: bool,
}

impl Program {
    /// Starts the program.
    pub(super) fn start(line: &[OsString], env: &[(&str, &str)]) -> io::Result<Self> {
        let (name, args) = line.split_first().expect("the command line requires a program");
        let mut child = Command::new(name)
            .args(args)
            // What opens the region is not for a program that works on what strangers send.
            .env_remove("PHOTON_TOKEN")
            .env_remove("PHOTON_URL")
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let group = child.id().and_then(|it| i32::try_from(it).ok()).and_then(Pid::from_raw);
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        Ok(Self { child, group, stdin, stdout, stderr })
    }

    /// Waits for the end of the program, and ends what it left running.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await;
        self.signal_last();
        status
    }

    /// Whether the program has ended, without waiting for it.
    pub(super) fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|it| it.is_some())
    }

    /// Ends the program with all that it started.
    pub(super) async fn end(&mut self) {
        self.signal(Signal::TERM);
        // Waiting can fail only for a process that is not ours.
        let _ = timeout(TERM_PATIENCE, self.child.wait()).await;
        self.signal(Signal::KILL);
        let _ = self.child.wait().await;
        self.group = None;
    }

    /// Kills what the program left running. Its number may be given to another program from now
    /// on, and is not used again.
    fn signal_last(&mut self) {
        self.signal(Signal::KILL);
        self.group = None;
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // A group without processes cannot be signalled, and need not be.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.signal_last();
    }
}

/// Gives the program its input. A program that does not want it all may close it.
pub(super) async fn feed(stdin: Option<ChildStdin>, bytes: &[u8]) {
    if let Some(mut stdin) = stdin {
        let _ = stdin.write_all(bytes).await;
        let _ = stdin.shutdown().await;
    }
}

/// Reads what the program writes, and sends it on in pieces; waits when too many are unsent.
/// `ended` is cancelled when the program has ended.
pub(super) async fn pump(
    mut stdout: ChildStdout,
    ended: CancellationToken,
    pieces: mpsc::Sender<Piece>,
) {
    let mut chunker = Chunker::default();
    let mut buffer = vec![0; READ_BYTES];
    let mut due = None::<Instant>;
    let mut has_begun = false;
    let mut over = None;
    loop {
        let read = read(&mut stdout, &ended, &mut over, &mut buffer);
        let read = match due {
            Some(due) => timeout_at(due, read).await,
            None => Ok(read.await),
        };
        match read {
            Ok(0) => break,
            Ok(count) => {
                chunker.push(&buffer[..count]);
                due = due.or_else(|| Some(Instant::now() + BATCH_WAIT));
                if !chunker.is_full() {
                    continue;
                }
            }
            Err(_elapsed) => {}
        }
        while let Some(part) = chunker.next_part(Rest::MayFollow) {
            has_begun = true;
            if pieces.send(Piece { part, is_last: false }).await.is_err() {
                return;
            }
        }
        due = None;
    }
    let mut last = chunker.next_part(Rest::None);
    if last.is_none() && has_begun {
        last = Some(Part::text(""));
    }
    while let Some(part) = last {
        last = chunker.next_part(Rest::None);
        if pieces.send(Piece { part, is_last: last.is_none() }).await.is_err() {
            return;
        }
    }
}

/// Reads standard error, and returns the last whole lines of it.
pub(super) async fn last_lines(mut stderr: ChildStderr, ended: CancellationToken) -> String {
    let mut kept = LastLines::default();
    let mut buffer = vec![0; READ_BYTES];
    let mut over = None;
    while let count @ 1.. = read(&mut stderr, &ended, &mut over, &mut buffer).await {
        kept.push(&buffer[..count]);
    }
    kept.text()
}

/// The end of what a program writes to standard error.
#[derive(Debug, Default)]
pub(super) struct LastLines {
    bytes: Vec<u8>,
}

impl LastLines {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.shorten();
    }

    fn shorten(&mut self) {
        if 2 * STDERR_BYTES_MAX < self.bytes.len() {
            self.bytes.drain(..self.bytes.len() - STDERR_BYTES_MAX - 1);
        }
    }

    /// Reads some more; false when there is no more. May be dropped: nothing is lost.
    pub(super) async fn read(&mut self, stderr: &mut Option<ChildStderr>) -> bool {
        let Some(stderr) = stderr else { return false };
        self.bytes.reserve(STDERR_BYTES_MAX);
        let count = stderr.read_buf(&mut self.bytes).await.unwrap_or(0);
        self.shorten();
        0 < count
    }

    /// Returns the last whole lines.
    pub(super) fn text(&self) -> String {
        tail(&self.bytes)
    }
}

/// Returns the end of the text, from the beginning of a line where there is one.
fn tail(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end();
    if text.len() <= STDERR_BYTES_MAX {
        return text.to_owned();
    }
    let cut = text.ceil_char_boundary(text.len() - STDERR_BYTES_MAX);
    let line = text[cut..].find('\n').map_or(cut, |at| cut + at + 1);
    text[line..].to_owned()
}

/// Reads some bytes; none when there are no more. Once the program has ended, only a process that
/// left its group can hold the output open: it is heard until `over`, which begins here.
async fn read(
    output: &mut (impl AsyncRead + Unpin),
    ended: &CancellationToken,
    over: &mut Option<Instant>,
    buffer: &mut [u8],
) -> usize {
    loop {
        if ended.is_cancelled() && over.is_none() {
            *over = Some(Instant::now() + LINGER_MAX);
        }
        let at = *over;
        let wait = sleep_until(at.unwrap_or_else(Instant::now));
        tokio::select! {
            biased; // What was written before is read, however late we are.
            read = output.read(buffer) => return read.unwrap_or(0),
            () = wait, if at.is_some() => return 0,
            () = ended.cancelled(), if at.is_none() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn start(script: &str) -> Program {
        let line = ["sh", "-c", script].map(OsString::from);
        Program::start(&line, &[("PHOTON_TASK_ID", "t-1")]).unwrap()
    }

    async fn check(script: &str, input: &str, expected: &str) -> (ExitStatus, String) {
        let mut program = start(script);
        let (sender, mut receiver) = mpsc::channel(4);
        let stdout = program.stdout.take().unwrap();
        let stderr = program.stderr.take().unwrap();
        let stdin = program.stdin.take();
        let collect = async {
            let mut pieces = Vec::new();
            while let Some(piece) = receiver.recv().await {
                pieces.push(piece);
            }
            pieces
        };
        let ended = CancellationToken::new();
        let (status, (), (), errors, pieces) = tokio::join!(
            program.wait(),
            feed(stdin, input.as_bytes()),
            pump(stdout, ended.clone(), sender),
            last_lines(stderr, ended.clone()),
            collect
        );
        let text: String = pieces.iter().filter_map(|it| it.part.text.as_deref()).collect();
        assert_eq!(text, expected, "{script}");
        let lasts: Vec<_> = pieces.iter().map(|it| it.is_last).collect();
        assert!(lasts.iter().rev().skip(1).all(|is_last| !is_last), "{lasts:?}");
        assert_eq!(lasts.last(), (!pieces.is_empty()).then_some(&true), "{lasts:?}");
        (status.unwrap(), errors)
    }

    #[tokio::test]
    async fn a_program_gets_its_input_and_its_output_comes_back() {
        let (status, errors) = check("tr a-z A-Z", "hello", "HELLO").await;
        assert!(status.success());
        assert_eq!(errors, "");
        check("printf $PHOTON_TASK_ID", "", "t-1").await;
        check("true", "not read", "").await;
    }

    #[tokio::test]
    async fn a_program_that_fails_leaves_its_last_words() {
        let (status, errors) = check("echo oops >&2; exit 3", "", "").await;
        assert_eq!((status.code(), errors.as_str()), (Some(3), "oops"));
    }

    #[tokio::test]
    async fn what_a_program_left_running_ends_with_it() {
        check("sleep 1000 & printf done", "", "done").await;
    }

    #[tokio::test]
    async fn a_program_that_will_not_end_is_killed() {
        let mut program = start("trap '' TERM; echo deaf; while :; do sleep 1000; done");
        let mut said = [0; 5];
        program.stdout.as_mut().unwrap().read_exact(&mut said).await.unwrap();
        tokio::time::pause(); // Nobody needs to wait for how long it may take to end.
        program.end().await;
        assert_eq!(program.child.wait().await.unwrap().signal(), Some(Signal::KILL.as_raw()));
    }

    #[test]
    fn only_the_last_whole_lines_are_kept() {
        let lines = "0123456789\n".repeat(1_000);
        let kept = tail(lines.as_bytes());
        assert!(kept.len() <= STDERR_BYTES_MAX && kept.starts_with("0123"), "{}", kept.len());
        assert_eq!(tail(b"one\n"), "one");
        assert_eq!(tail("é".repeat(5_000).as_bytes()).len(), STDERR_BYTES_MAX);
    }
}
