//! NATS servers of our own with JetStream, in a folder of their own, that sync before they answer.
//! Must not touch any other that may run on this machine.

mod line;

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) use self::line::Line;
use crate::Places;
use crate::load::{Client, Tried};
use crate::process::Kept;
use crate::region::free_address;
use crate::report::Report;

/// The program, as systems name it.
const PROGRAM: &str = "nats-server";
/// The stream.
const STREAM: &str = "BENCH";
/// How often a connection, and a stream of several servers, is tried.
const READY_EVERY: Duration = Duration::from_millis(50);
const READY_TRIES_MAX: u32 = 600;

/// How a stream keeps messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retention {
    /// All of them, as a topic.
    Limits,
    /// Until somebody has acknowledged them, as a queue of work.
    WorkQueue,
}

impl Retention {
    fn show(self) -> &'static str {
        match self {
            Self::Limits => "limits",
            Self::WorkQueue => "workqueue",
        }
    }
}

/// Servers that are ready, with a stream that all of them keep. Dropping it stops them, and removes
/// their data.
#[derive(Debug)]
pub(crate) struct Nats {
    // Dropped in this order: the servers end before their folder goes.
    servers: Vec<Server>,
    folder: TempDir,
    version: String,
    /// The server that leads the stream, to which clients connect.
    leader: usize,
}

#[derive(Debug)]
struct Server {
    process: Kept,
    address: SocketAddr,
}

/// One who publishes the same message again and again.
#[derive(Debug)]
pub(crate) struct Publisher {
    line: Line,
    message: Vec<u8>,
}

impl Publisher {
    /// Connects one, with a number as every connection has.
    pub(crate) async fn connect(nats: &Nats, number: usize, body: &str) -> anyhow::Result<Self> {
        let line = nats.connect(number).await?;
        let message = line.publish(Nats::SUBJECT, body);
        Ok(Self { line, message })
    }

    /// Publishes another message.
    pub(crate) async fn publish(&mut self, body: &str) -> anyhow::Result<()> {
        let message = self.line.publish(Nats::SUBJECT, body);
        self.line.ask(&message).await?.is_kept()
    }
}

impl Client for Publisher {
    async fn act(&mut self) -> anyhow::Result<Tried> {
        self.line.ask(&self.message).await?.is_kept()?;
        Ok(Tried::Done)
    }
}

impl Nats {
    /// The subject of which the stream keeps every message.
    pub(crate) const SUBJECT: &str = "bench";
    /// What was set, for those who read the figures.
    pub(crate) const SETTINGS: &str = "a stream in files, sync_interval always";

    /// Returns the program, if there is one: what was given, or what is installed.
    pub(crate) fn find(given: Option<&PathBuf>, report: &mut Report) -> Option<PathBuf> {
        let runs = |it: &PathBuf| {
            Command::new(it).arg("--version").output().is_ok_and(|it| it.status.success())
        };
        let found = Some(given.cloned().unwrap_or_else(|| PROGRAM.into())).filter(runs);
        if found.is_none() {
            report.note("NATS is left out: no `nats-server`; give it with --nats.");
        }
        found
    }

    /// Starts servers, and makes the stream with a replica on each.
    pub(crate) async fn start(
        places: &Places,
        program: &Path,
        (count, retention): (usize, Retention),
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(&places.folder)?;
        let mut addresses = Vec::with_capacity(count);
        for _ in 0..count {
            addresses.push((free_address()?, free_address()?));
        }
        let mut servers = Vec::with_capacity(count);
        for (number, (address, _)) in addresses.iter().enumerate() {
            let home = folder.path().join(number.to_string());
            std::fs::create_dir(&home)?;
            std::fs::write(home.join("nats.conf"), configuration(&home, &addresses, number))?;
            let log = File::create(home.join("log.txt"))?;
            let mut server = Command::new(program);
            server.arg("-c").arg(home.join("nats.conf"));
            server.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
            let process = Kept::start(&mut server, Signal::TERM)?;
            servers.push(Server { process, address: *address });
        }
        let mut nats = Self { servers, folder, version: String::new(), leader: 0 };
        nats.wait().await?;
        let stream = json!({
            "name": STREAM, "subjects": [Self::SUBJECT], "storage": "file",
            "num_replicas": count, "retention": retention.show(), "discard": "old",
            "max_consumers": -1, "max_msgs": -1, "max_bytes": -1, "max_msg_size": -1, "max_age": 0,
        });
        // Several servers have to agree on who leads them before one of them answers.
        let subject = format!("$JS.API.STREAM.CREATE.{STREAM}");
        let is_made = |it: &Value| it["config"].is_object();
        nats.try_until(&subject, &stream.to_string(), is_made).await?;
        nats.leader = nats.led_by().await?;
        Ok(nats)
    }

    /// Waits until all servers answer, and takes their version.
    async fn wait(&mut self) -> anyhow::Result<()> {
        'tries: for _ in 0..READY_TRIES_MAX {
            let said = self.said();
            for server in &mut self.servers {
                server.process.check().with_context(|| said.clone())?;
                let Ok((_, version)) = Line::open(server.address, 0).await else {
                    tokio::time::sleep(READY_EVERY).await;
                    continue 'tries;
                };
                self.version = version;
            }
            return Ok(());
        }
        bail!("NATS did not start: {}", self.said())
    }

    /// Asks again and again, for a while, until the answer is good.
    async fn try_until(
        &self,
        subject: &str,
        body: &str,
        is_good: fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let mut said = Value::Null;
        for _ in 0..READY_TRIES_MAX {
            // While nobody leads there may be no answer, or one that comes too late: for nobody.
            let mut line = self.connect(0).await?;
            let ask = line.publish(subject, body);
            if let Ok(heard) = tokio::time::timeout(20 * READY_EVERY, line.ask(&ask)).await {
                said = heard?.json().unwrap_or_default();
            }
            if is_good(&said) {
                return Ok(said);
            }
            tokio::time::sleep(READY_EVERY).await;
        }
        bail!("NATS says {said}: {}", self.said())
    }

    /// Returns the place of the server that leads the stream.
    async fn led_by(&self) -> anyhow::Result<usize> {
        if self.servers.len() == 1 {
            return Ok(0);
        }
        let subject = format!("$JS.API.STREAM.INFO.{STREAM}");
        let has_leader = |it: &Value| it["cluster"]["leader"].is_string();
        let about = self.try_until(&subject, "", has_leader).await?;
        let leader = about["cluster"]["leader"].as_str().context("nobody leads the stream")?;
        Ok(leader.parse()?)
    }

    /// Returns the roots of the servers' processes.
    pub(crate) fn processes(&self) -> Vec<u32> {
        self.servers.iter().map(|it| it.process.id()).collect()
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Connects to the server that leads the stream. Every connection has a number of its own,
    /// from 1.
    pub(crate) async fn connect(&self, number: usize) -> anyhow::Result<Line> {
        Ok(Line::open(self.servers[self.leader].address, number).await?.0)
    }

    /// Connects to a server that does not lead the stream, if there is one.
    pub(crate) async fn connect_elsewhere(&self, number: usize) -> anyhow::Result<Line> {
        let place = (self.leader + 1) % self.servers.len();
        Ok(Line::open(self.servers[place].address, number).await?.0)
    }

    /// Makes a consumer of the stream, as `config` says.
    pub(crate) async fn consume(&self, line: &mut Line, config: &Value) -> anyhow::Result<()> {
        let body = json!({ "stream_name": STREAM, "config": config }).to_string();
        let subject = match config["durable_name"].as_str() {
            Some(name) => format!("$JS.API.CONSUMER.DURABLE.CREATE.{STREAM}.{name}"),
            None => format!("$JS.API.CONSUMER.CREATE.{STREAM}"),
        };
        let made = line.ask(&line.publish(&subject, &body)).await?.json()?;
        ensure!(made.get("error").is_none(), "NATS makes no consumer: {made}");
        Ok(())
    }

    /// Returns the subject that asks for the next messages of a consumer.
    pub(crate) fn next_of(consumer: &str) -> String {
        format!("$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{consumer}")
    }

    fn said(&self) -> String {
        let log = |number: usize| self.folder.path().join(number.to_string()).join("log.txt");
        let logs = (0..self.servers.len()).map(log);
        logs.map(|it| std::fs::read_to_string(it).unwrap_or_default()).collect()
    }
}

/// Returns the configuration of a server, which finds the others if there are any.
fn configuration(home: &Path, all: &[(SocketAddr, SocketAddr)], number: usize) -> String {
    let (port, store) = (all[number].0.port(), home.join("store"));
    let mut text = format!(
        "server_name: \"{number}\"\nhost: \"127.0.0.1\"\nport: {port}\n\
         jetstream {{ store_dir: {store:?}, sync_interval: always, max_file: 20G }}\n"
    );
    if 1 < all.len() {
        let routes: Vec<String> = all.iter().map(|(_, it)| format!("\"nats://{it}\"")).collect();
        let (listen, routes) = (all[number].1, routes.join(", "));
        text +=
            &format!("cluster {{ name: \"bench\", listen: \"{listen}\", routes: [{routes}] }}\n");
    }
    text
}
