//! One region as a child process: started, watched, signalled.
//! Must not decide what its end means.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use photon_state::RegionId;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;

use super::Happening;
use crate::config::Config;
use crate::door::{Door, FaultFile};

/// Signals that wait to be sent; there are hardly ever two, and what exceeds them is dropped.
const SIGNALS_MAX: usize = 8;
/// How long a region may take to stop in good order.
const STOP_PATIENCE: Duration = Duration::from_secs(15);
/// How much of a log is shown to people.
const SHOWN_BYTES_MAX: u64 = 8 << 10;
const SHOWN_LINES_MAX: usize = 8;

/// What is needed to start a region.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    pub(super) region: RegionId,
    /// Where its state, its configuration and its log are.
    pub(super) folder: PathBuf,
    pub(super) config: Config,
    /// What is wrong with it for a drill, as it is told.
    pub(super) faults: FaultFile,
}

/// How the process of a region ended, in words.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// By SIGKILL: it had no time for last words.
    Killed(String),
    /// In any other way.
    Other(String),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Killed(text) | Self::Other(text) => f.write_str(text),
        }
    }
}

/// A region that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) pid: u32,
    signals: mpsc::Sender<Signal>,
    log: PathBuf,
    log_from: u64,
}

impl Recipe {
    /// Writes what the region is told, at each start anew: somebody may have moved its folder away.
    fn write_config(&self, path: &Path) -> Result<()> {
        let text = self.config.to_toml()?;
        fs::create_dir_all(&self.folder)
            .and_then(|()| write_private(path, &text))
            .with_context(|| format!("failed to write the configuration `{}`", path.display()))
    }

    fn door(&self) -> Door {
        Door::new(self.folder.join("faults"))
    }

    /// Tells the region what is wrong with it.
    pub(super) fn write_faults(&self) -> Result<()> {
        let door = self.door();
        let shown = door.path().display().to_string();
        door.write(&self.faults).with_context(|| format!("failed to write `{shown}`"))
    }

    /// Starts the region; its end is told as a [`Happening`].
    ///
    /// Must be called on the main thread: the kernel ends the child when the thread that made it
    /// ends, and other threads may end before the process does.
    pub(super) fn start(
        &self,
        tasks: &TaskTracker,
        happenings: mpsc::Sender<Happening>,
    ) -> Result<Running> {
        let (config, log_path) = (self.folder.join("photon.toml"), self.folder.join("photon.log"));
        self.write_config(&config)?;
        self.write_faults()?;
        let shown = log_path.display();
        let open = || OpenOptions::new().create(true).append(true).open(&log_path);
        let log = open().with_context(|| format!("failed to open `{shown}`"))?;
        let log_from = log.metadata().map_or(0, |it| it.len());
        let photon = own_binary().context("failed to find the binary of photon")?;
        let (region, parent) = (self.region, std::process::id().to_string());
        let child = Command::new(photon)
            .args(["serve", "--region", region.as_str(), "--die-with-parent", &parent, "--config"])
            .arg(&config)
            .arg("--faults")
            .arg(self.door().path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().with_context(|| format!("failed to share `{shown}`"))?)
            .stderr(log)
            // A Ctrl-C at the terminal is for `up`, which then stops its regions in good order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("failed to start `{region}`"))?;
        let pid = child.id().expect("nobody has waited for the child");
        let (signals, inbox) = mpsc::channel(SIGNALS_MAX);
        tasks.spawn(async move {
            let end = watch(child, inbox).await;
            // Nobody listens only when `up` itself is ending.
            let _ = happenings.send(Happening::Ended { region, pid, end }).await;
        });
        Ok(Running { pid, signals, log: log_path, log_from })
    }
}

/// Returns the binary that this process runs, even if another has taken its place meanwhile.
fn own_binary() -> io::Result<PathBuf> {
    const OPEN: &str = "/proc/self/exe";
    let path = std::env::current_exe()?;
    Ok(if path.exists() || !Path::new(OPEN).exists() { path } else { PathBuf::from(OPEN) })
}

/// Waits for the end of the child, and passes signals on until then: a process id must not be
/// used once the kernel may give it to another process. What should end and does not is killed.
async fn watch(mut child: Child, mut inbox: mpsc::Receiver<Signal>) -> End {
    let mut patience = None::<Instant>;
    let status = loop {
        let signal = tokio::select! {
            status = child.wait() => break status,
            Some(signal) = inbox.recv() => signal,
            () = over(patience) => Signal::KILL,
        };
        patience = (signal == Signal::TERM).then(|| Instant::now() + STOP_PATIENCE);
        let pid = child.id().and_then(|it| i32::try_from(it).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // A child that has ended meanwhile needs no signal.
            let _ = kill_process(pid, signal);
            if signal == Signal::TERM {
                let _ = kill_process(pid, Signal::CONT); // Who stands still does not hear.
            }
        }
    };
    let was_killed = status.as_ref().is_ok_and(|it| it.signal() == Some(Signal::KILL.as_raw()));
    let text = status.map_or_else(|error| error.to_string(), |status| status.to_string());
    if was_killed { End::Killed(text) } else { End::Other(text) }
}

async fn over(patience: Option<Instant>) {
    match patience {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl Running {
    /// Sends a signal, unless the region has ended.
    pub(super) fn signal(&self, signal: Signal) {
        let _ = self.signals.try_send(signal);
    }

    /// Returns the last lines that the region has logged since its start.
    pub(super) fn last_words(&self) -> Vec<String> {
        let text = self.read_log().unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().filter(|it| !it.trim().is_empty()).collect();
        let from = lines.len().saturating_sub(SHOWN_LINES_MAX);
        lines[from..].iter().map(|it| (*it).to_owned()).collect()
    }

    fn read_log(&self) -> io::Result<Vec<u8>> {
        let mut log = File::open(&self.log)?;
        let end = log.metadata()?.len();
        log.seek(SeekFrom::Start(self.log_from.max(end.saturating_sub(SHOWN_BYTES_MAX))))?;
        let mut text = Vec::new();
        log.take(SHOWN_BYTES_MAX).read_to_end(&mut text)?;
        Ok(text)
    }
}

/// Writes a file that only its owner may read: there is a secret in it.
pub(crate) fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}
