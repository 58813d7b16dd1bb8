//! A NATS server of our own with JetStream, in a folder of its own, that syncs before it answers.
//! Must not touch any other that may run on this machine.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Places;
use crate::process::Kept;
use crate::region::free_address;
use crate::talk::Talk;

/// The program, as systems name it.
const PROGRAM: &str = "nats-server";
/// How often a connection is tried.
const READY_EVERY: Duration = Duration::from_millis(50);
const READY_TRIES_MAX: u32 = 600;
/// What every client says first.
const CONNECT: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":false,\
                       \"lang\":\"rust\",\"version\":\"1\",\"protocol\":1}\r\nPING\r\n";

/// A server that is ready, with a stream. Dropping it stops it, and removes its data.
#[derive(Debug)]
pub(crate) struct Nats {
    // Dropped in this order: the server ends before its folder goes.
    process: Kept,
    folder: TempDir,
    address: SocketAddr,
    version: String,
}

/// A connection that hears what is sent to a subject of its own.
#[derive(Debug)]
pub(crate) struct Line {
    talk: Talk,
    inbox: String,
}

impl Nats {
    /// The subject of which the stream keeps every message.
    pub(crate) const SUBJECT: &str = "bench";
    /// What was set, for those who read the figures.
    pub(crate) const SETTINGS: &str = "a stream in files, one replica, sync_interval always";

    /// Returns the program, if there is one: what was given, or what is installed.
    pub(crate) fn find(given: Option<&PathBuf>) -> Option<PathBuf> {
        let runs = |it: &PathBuf| {
            Command::new(it).arg("--version").output().is_ok_and(|it| it.status.success())
        };
        Some(given.cloned().unwrap_or_else(|| PROGRAM.into())).filter(runs)
    }

    /// Starts a server, and makes the stream.
    pub(crate) async fn start(places: &Places, program: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(&places.folder)?;
        let address = free_address()?;
        let config = folder.path().join("nats.conf");
        let (port, store) = (address.port(), folder.path().join("store"));
        let text = format!(
            "host: \"127.0.0.1\"\nport: {port}\n\
             jetstream {{ store_dir: {store:?}, sync_interval: always, max_file: 20G }}\n"
        );
        std::fs::write(&config, text)?;
        let log = File::create(folder.path().join("log.txt"))?;
        let mut server = Command::new(program);
        server.arg("-c").arg(&config);
        server.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let process = Kept::start(&mut server, Signal::TERM)?;
        let mut nats = Self { process, folder, address, version: String::new() };
        let mut line = nats.wait().await?;
        let stream = json!({
            "name": "BENCH", "subjects": [Self::SUBJECT], "storage": "file", "num_replicas": 1,
            "retention": "limits", "discard": "old", "max_consumers": -1, "max_msgs": -1,
            "max_bytes": -1, "max_msg_size": -1, "max_age": 0,
        });
        let ask = line.publish("$JS.API.STREAM.CREATE.BENCH", &stream.to_string());
        let made = line.ask(&ask).await?;
        ensure!(made.get("error").is_none(), "NATS makes no stream: {made}");
        Ok(nats)
    }

    /// Waits until the server answers, and takes its version.
    async fn wait(&mut self) -> anyhow::Result<Line> {
        for _ in 0..READY_TRIES_MAX {
            let said = self.said();
            self.process.check().context(said)?;
            if let Ok((line, version)) = Line::open(self.address, 0).await {
                self.version = version;
                return Ok(line);
            }
            tokio::time::sleep(READY_EVERY).await;
        }
        bail!("NATS did not start: {}", self.said())
    }

    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Connects. Every connection has a number of its own, from 1.
    pub(crate) async fn connect(&self, number: usize) -> anyhow::Result<Line> {
        Ok(Line::open(self.address, number).await?.0)
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log.txt")).unwrap_or_default()
    }
}

impl Line {
    /// Connects; returns the version of the server, too.
    async fn open(to: SocketAddr, number: usize) -> anyhow::Result<(Self, String)> {
        let inbox = format!("_INBOX.bench.{number}");
        let mut line = Self { talk: Talk::open(to).await?, inbox };
        line.talk.send(CONNECT.as_bytes()).await?;
        let info = line.line().await?;
        let info = info.strip_prefix("INFO ").context("NATS does not introduce itself")?;
        let info: Value = serde_json::from_str(info)?;
        let version = info["version"].as_str().context("NATS does not say its version")?;
        let pong = line.said().await?;
        ensure!(pong == "PONG", "NATS says `{pong}`");
        let subscribe = format!("SUB {} 1\r\n", line.inbox);
        line.talk.send(subscribe.as_bytes()).await?;
        Ok((line, version.to_owned()))
    }

    /// Returns a message whose receipt is sent to this connection.
    pub(crate) fn publish(&self, subject: &str, payload: &str) -> Vec<u8> {
        let (inbox, len) = (&self.inbox, payload.len());
        format!("PUB {subject} {inbox} {len}\r\n{payload}\r\n").into_bytes()
    }

    /// Sends a message, and returns what comes back.
    pub(crate) async fn ask(&mut self, message: &[u8]) -> anyhow::Result<Value> {
        self.talk.send(message).await?;
        let line = self.said().await?;
        let is_message = line.starts_with("MSG ");
        let len = line.rsplit(' ').next().filter(|_| is_message).and_then(|it| it.parse().ok());
        let len: usize = len.with_context(|| format!("NATS says `{line}`"))?;
        while self.talk.unused().len() < len + 2 {
            self.talk.read_more().await?;
        }
        let value = serde_json::from_slice(&self.talk.unused()[..len])?;
        self.talk.used(len + 2);
        Ok(value)
    }

    /// Returns what the server says of its clients' doing, and answers what is said to all.
    async fn said(&mut self) -> anyhow::Result<String> {
        loop {
            let line = self.line().await?;
            if line == "PING" {
                self.talk.send(b"PONG\r\n").await?;
            } else if !line.starts_with("INFO ") {
                return Ok(line);
            }
        }
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        loop {
            let found = self.talk.unused().windows(2).position(|it| it == b"\r\n");
            if let Some(end) = found {
                let line = String::from_utf8(self.talk.unused()[..end].to_vec())?;
                self.talk.used(end + 2);
                return Ok(line.trim_end().to_owned());
            }
            self.talk.read_more().await?;
        }
    }
}
