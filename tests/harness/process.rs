//! A process that runs beside the test, with all that it says.
//! Must not outlive the test: it is killed on drop, with whatever it has started.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::{SOON, say};

/// Lines that are kept of one process; the first half goes when there are more.
const LINES_MAX: usize = 4_000;

/// Lines that are shown of each process when a test fails.
const TAIL_LINES: usize = 60;

/// How long a killed process may take to be gone.
const DEATH_MAX: Duration = Duration::from_secs(10);

/// A process that runs beside the test.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    lines: watch::Receiver<Vec<String>>,
}

impl Process {
    /// Starts a process. Its group is that of the test, so that who ends the test ends it too.
    pub(crate) fn start(name: impl Into<String>, mut command: Command) -> Self {
        let name = name.into();
        let command = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|err| panic!("start {name}: {err}"));
        let (sender, lines) = watch::channel(Vec::new());
        let stdout = child.stdout.take().expect("it is piped");
        let stderr = child.stderr.take().expect("it is piped");
        tokio::spawn(gather(stdout, sender.clone()));
        tokio::spawn(gather(stderr, sender));
        Self { name, child, lines }
    }

    /// Returns the number of the process, until it has been waited for.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("the process has not been waited for")
    }

    /// Waits until the process prints a line with `text`, and returns the line.
    pub(crate) async fn says(&mut self, text: &str) -> String {
        let has_it = |lines: &Vec<String>| lines.iter().any(|line| line.contains(text));
        let waited = tokio::time::timeout(SOON, self.lines.wait_for(has_it)).await;
        let lines = match waited {
            Ok(Ok(lines)) => lines,
            Ok(Err(_)) => panic!("{} ended without saying `{text}`", self.name),
            Err(_) => panic!("{} did not say `{text}` within {SOON:?}", self.name),
        };
        lines.iter().find(|line| line.contains(text)).expect("it was waited for").clone()
    }

    /// Returns all that the process has said so far.
    pub(crate) fn said(&self) -> String {
        self.lines.borrow().join("\n")
    }

    /// Sends a signal to the process.
    pub(crate) fn signal(&self, signal: Signal) {
        signal_to(self.pid(), signal);
    }

    /// Waits until the process has ended by itself.
    pub(crate) async fn ends(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(SOON, self.has_ended()).await;
        ended.unwrap_or_else(|_| panic!("{} has not ended in {SOON:?}", self.name))
    }

    /// Waits until the process has ended, however long that takes.
    pub(crate) async fn has_ended(&mut self) -> ExitStatus {
        self.child.wait().await.expect("it is a child of the test")
    }

    /// Kills the process, but nothing that it has started, and waits until it is gone.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.expect("it is a child of the test");
    }

    /// Whether the process has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it is a child of the test").is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let lines = self.lines.borrow();
            let tail = lines.len().saturating_sub(TAIL_LINES);
            say(&format!("---- {} said last:\n{}", self.name, lines[tail..].join("\n")));
        }
        let Some(pid) = self.child.id() else { return };
        let mut all = descendants_of(pid);
        all.push(pid);
        all.iter().for_each(|pid| signal_to(*pid, Signal::KILL));
        let deadline = Instant::now() + DEATH_MAX;
        while self.child.try_wait().is_ok_and(|it| it.is_none())
            || all.iter().any(|it| is_alive(*it))
        {
            if deadline < Instant::now() {
                say(&format!("{} or what it started cannot be killed", self.name));
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

async fn gather(stream: impl AsyncRead + Unpin, lines: watch::Sender<Vec<String>>) {
    let mut stream = BufReader::new(stream).lines();
    while let Ok(Some(line)) = stream.next_line().await {
        lines.send_modify(|lines| {
            if LINES_MAX <= lines.len() {
                lines.drain(..LINES_MAX / 2);
            }
            lines.push(line);
        });
    }
}

/// Sends a signal to a process, if it is still there.
pub(crate) fn signal_to(pid: u32, signal: Signal) {
    // A process that has just ended needs no signal.
    let _ = kill_process(number(pid), signal);
}

/// Whether a process runs; one that has ended and waits for its parent does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    test_kill_process(number(pid)).is_ok() && state_and_parent(pid).is_some_and(|it| it.0 != 'Z')
}

fn number(pid: u32) -> Pid {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.expect("the system numbers processes from 1")
}

/// Returns the most memory that a process has had, in bytes.
pub(crate) fn peak_memory_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux has it");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("Linux counts in kB");
    kib << 10
}

/// Returns the processes that a process has started, with their command lines.
pub(crate) fn children_of(parent: u32) -> BTreeMap<u32, Vec<String>> {
    let is_child = |pid: &u32| state_and_parent(*pid).is_some_and(|it| it.1 == parent);
    all_processes().filter(is_child).map(|pid| (pid, command_line(pid))).collect()
}

/// Returns the processes of regions that a process has started, by the names of their regions.
pub(crate) fn regions_of(parent: u32) -> BTreeMap<String, u32> {
    let region = |line: &[String]| {
        let at = line.iter().position(|it| it == "--region")?;
        line.get(at + 1).cloned()
    };
    let children = children_of(parent).into_iter();
    children.filter_map(|(pid, line)| Some((region(&line)?, pid))).collect()
}

fn descendants_of(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(parent) = found.get(next) {
        found.extend(children_of(*parent).keys());
        next += 1;
    }
    found.split_off(1)
}

fn all_processes() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").expect("the tests need Linux with /proc");
    entries.flatten().filter_map(|it| it.file_name().to_str()?.parse().ok())
}

fn command_line(pid: u32) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = bytes.split(|it| *it == 0).map(|it| String::from_utf8_lossy(it).into_owned());
    words.filter(|it| !OsStr::new(it).is_empty()).collect()
}

/// Reads what Linux tells of a process. The name before it may hold anything, but for the last `)`.
fn state_and_parent(pid: u32) -> Option<(char, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next()?.parse().ok()?))
}
