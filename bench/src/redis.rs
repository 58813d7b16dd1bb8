//! A Redis of our own, in a folder of its own, that syncs before it answers.
//! Must not touch any other that may run on this machine.

use std::fs::File;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::Places;
use crate::process::Kept;
use crate::region::free_address;
use crate::talk::Talk;

/// The program, as systems name it.
const PROGRAM: &str = "redis-server";
/// How often a connection is tried.
const READY_EVERY: Duration = Duration::from_millis(50);
const READY_TRIES_MAX: u32 = 600;

/// A server that is ready. Dropping it stops it, and removes its data.
#[derive(Debug)]
pub(crate) struct Redis {
    // Dropped in this order: the server ends before its folder goes.
    process: Kept,
    folder: TempDir,
    address: SocketAddr,
    version: String,
}

impl Redis {
    /// What was set, for those who read the figures.
    pub(crate) const SETTINGS: &str =
        "appendonly yes, appendfsync always, no snapshots, no rewriting of the append-only file";

    /// Whether it is installed.
    pub(crate) fn is_installed() -> bool {
        Command::new(PROGRAM).arg("--version").output().is_ok_and(|it| it.status.success())
    }

    /// Starts a server.
    pub(crate) async fn start(places: &Places) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(&places.folder)?;
        let address = free_address()?;
        let log = File::create(folder.path().join("log.txt"))?;
        let mut server = Command::new(PROGRAM);
        server.args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
        server.arg("--dir").arg(folder.path());
        server.args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
        server.args(["--auto-aof-rewrite-percentage", "0"]);
        server.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let process = Kept::start(&mut server, Signal::TERM)?;
        let mut redis = Self { process, folder, address, version: String::new() };
        redis.version = redis.wait().await?;
        Ok(redis)
    }

    /// Waits until the server answers; returns its version.
    async fn wait(&mut self) -> anyhow::Result<String> {
        for _ in 0..READY_TRIES_MAX {
            self.process.check().with_context(|| self.said())?;
            if let Ok(mut talk) = Talk::open(self.address).await {
                ask(&mut talk, &["CONFIG", "GET", "appendfsync"], "always\r\n").await?;
                let info = ask(&mut talk, &["INFO", "server"], "executable:").await?;
                let version = info.lines().find_map(|it| it.strip_prefix("redis_version:"));
                return Ok(version.context("Redis does not say its version")?.to_owned());
            }
            tokio::time::sleep(READY_EVERY).await;
        }
        bail!("Redis did not start: {}", self.said())
    }

    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    pub(crate) async fn connect(&self) -> anyhow::Result<Talk> {
        Talk::open(self.address).await
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log.txt")).unwrap_or_default()
    }
}

/// Adds a command in the form of RESP.
pub(crate) fn write_command(words: &[&str], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
}

/// Asks once, and reads until the answer holds a text.
async fn ask(talk: &mut Talk, words: &[&str], until: &str) -> anyhow::Result<String> {
    let mut command = Vec::new();
    write_command(words, &mut command);
    talk.send(&command).await?;
    loop {
        talk.read_more().await?;
        let text = String::from_utf8_lossy(talk.unused()).into_owned();
        ensure!(!text.starts_with('-'), "Redis refuses: {text}");
        if text.contains(until) {
            talk.used(text.len());
            return Ok(text);
        }
    }
}
