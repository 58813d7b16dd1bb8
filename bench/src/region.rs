//! One region by itself, started as production starts it; and the little that is asked of it.
//! Must not know what is measured.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::Places;
use crate::http::Connection;
use crate::process::Kept;
use crate::worker;

/// The region's name.
const NAME: &str = "eu-west-1";
/// How often readiness is asked for, and how often at most.
const READY_EVERY: Duration = Duration::from_millis(20);
const READY_TRIES_MAX: u32 = 9_000;

/// A region that is ready. Dropping it stops it, and removes its data.
#[derive(Debug)]
pub(crate) struct Region {
    // Dropped in this order: the process ends before its folder goes.
    process: Kept,
    folder: TempDir,
    api: SocketAddr,
}

impl Region {
    /// Starts a region that takes on as many tasks and agents as it is given.
    pub(crate) async fn start(places: &Places) -> anyhow::Result<Self> {
        Self::start_with(places, "").await
    }

    /// Starts such a region, with more lines in its configuration.
    pub(crate) async fn start_with(places: &Places, more: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(&places.folder).context("failed to make a folder")?;
        let (api, link) = (free_address()?, free_address()?);
        let config = configuration(folder.path(), api, link) + more;
        std::fs::write(folder.path().join("photon.toml"), config)?;
        let process = spawn(places, folder.path())?;
        let mut region = Self { process, folder, api };
        region.await_readiness().await?;
        Ok(region)
    }

    /// Ends the process by a signal and starts it again; returns how long it takes until it is
    /// ready.
    pub(crate) async fn restart(
        &mut self,
        places: &Places,
        signal: Signal,
    ) -> anyhow::Result<Duration> {
        self.process.end(signal)?;
        let began = Instant::now();
        self.process = spawn(places, self.folder.path())?;
        self.await_readiness().await?;
        Ok(began.elapsed())
    }

    async fn await_readiness(&mut self) -> anyhow::Result<()> {
        for _ in 0..READY_TRIES_MAX {
            self.process.check().with_context(|| said(self.folder.path()))?;
            if is_ready(self.api).await {
                return Ok(());
            }
            tokio::time::sleep(READY_EVERY).await;
        }
        bail!("the region did not become ready: {}", said(self.folder.path()))
    }

    /// Returns how many bytes its data takes on disk.
    pub(crate) fn disk_bytes(&self) -> anyhow::Result<u64> {
        let mut bytes = 0;
        let mut folders = vec![self.folder.path().join("data")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder)? {
                let entry = entry?;
                let about = entry.metadata()?;
                if about.is_dir() {
                    folders.push(entry.path());
                }
                bytes += 512 * about.blocks();
            }
        }
        Ok(bytes)
    }

    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }

    /// Returns the front door.
    pub(crate) fn api(&self) -> SocketAddr {
        self.api
    }

    /// Connects to the front door.
    pub(crate) async fn connect(&self) -> anyhow::Result<Connection> {
        Connection::open(self.api).await
    }

    /// Opens as many connections as there are clients.
    pub(crate) async fn connect_many(&self, count: usize) -> anyhow::Result<Vec<Connection>> {
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count {
            connections.push(self.connect().await?);
        }
        Ok(connections)
    }

    /// Registers an agent, or changes how many tasks it works on at once.
    pub(crate) async fn register(
        &self,
        agent: &str,
        skill: &str,
        capacity: usize,
    ) -> anyhow::Result<()> {
        worker::register(&mut self.connect().await?, (agent, skill), capacity).await
    }
}

fn spawn(places: &Places, folder: &Path) -> anyhow::Result<Kept> {
    let log = File::options().create(true).append(true).open(folder.join("log.txt"))?;
    let mut command = Command::new(places.binary()?);
    command.arg("serve").arg("--config").arg(folder.join("photon.toml"));
    command.args(["--region", NAME, "--log", "warn"]);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Kept::start(&mut command, Signal::TERM)
}

fn configuration(folder: &Path, api: SocketAddr, link: SocketAddr) -> String {
    let data = folder.join("data");
    format!(
        "planet = \"bench\"\n\
         [regions.{NAME}]\napi = \"{api}\"\nlink = \"{link}\"\n\
         [node]\ndata = {data:?}\n\
         [tasks]\nopen_max = 10000000\n"
    )
}

async fn is_ready(api: SocketAddr) -> bool {
    let Ok(mut connection) = Connection::open(api).await else { return false };
    let reply = connection.request("GET", "/readyz", b"").await;
    reply.is_ok_and(|reply| reply.status == 200)
}

/// Returns what the region has logged.
fn said(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log.txt")).unwrap_or_default()
}

/// Returns an address of this machine on which nobody listens at the moment.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
