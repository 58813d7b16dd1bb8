//! A PostgreSQL of our own, in a folder of its own, with the settings that it comes with.
//! Must not touch any other that may run on this machine.

use std::fs::File;
use std::io::Read as _;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

use crate::Places;
use crate::process::Kept;
use crate::region::free_address;

/// Where Debian and its kin keep the programs, if `pg_config` does not say.
const VERSIONS: &str = "/usr/lib/postgresql";
/// The name of the role that makes the cluster.
const ROLE: &str = "bench";
/// How often a connection is tried.
const READY_EVERY: Duration = Duration::from_millis(50);
const READY_TRIES_MAX: u32 = 600;

/// A server that is ready. Dropping it stops it, and removes its data.
#[derive(Debug)]
pub(crate) struct Postgres {
    // Dropped in this order: the server ends before its folder goes.
    process: Kept,
    folder: TempDir,
    address: SocketAddr,
    version: String,
}

/// A user that is not root, which PostgreSQL refuses.
#[derive(Clone, Copy, Debug)]
struct User {
    id: u32,
    group: u32,
}

impl Postgres {
    /// Makes a cluster, and starts its server. Clients reach it as they reach Photon: over TCP.
    pub(crate) async fn start(places: &Places) -> anyhow::Result<Self> {
        let programs = programs()?;
        let user = rustix::process::geteuid().is_root().then(nobody).transpose()?;
        let folder = tempfile::tempdir_in(&places.folder)?;
        let data = folder.path().join("data");
        std::fs::create_dir(&data)?;
        if let Some(User { id, group }) = user {
            std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755))?;
            chown(&data, Some(id), Some(group))?;
        }
        let mut initdb = run_as(user, &programs.join("initdb"));
        initdb.arg("-D").arg(&data).args(["-U", ROLE, "-A", "trust", "-E", "UTF8"]);
        initdb.args(["--locale", "C"]).current_dir(&data);
        let made = initdb.output().context("failed to run initdb")?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let log = File::create(folder.path().join("log.txt"))?;
        let mut server = run_as(user, &programs.join("postgres"));
        let address = free_address()?;
        server.arg("-D").arg(&data).arg("-k").arg(&data).current_dir(&data);
        server.args(["-p", &address.port().to_string()]);
        for setting in ["listen_addresses=127.0.0.1", "fsync=on", "synchronous_commit=on"] {
            server.args(["-c", setting]);
        }
        server.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // The signal of a fast shutdown: connections are cut, nothing is waited for.
        let process = Kept::start(&mut server, Signal::INT)?;
        let mut postgres = Self { process, folder, address, version: String::new() };
        postgres.version = postgres.wait().await?;
        Ok(postgres)
    }

    /// Waits until the server answers; returns its version.
    async fn wait(&mut self) -> anyhow::Result<String> {
        for _ in 0..READY_TRIES_MAX {
            self.process.check().with_context(|| self.said())?;
            if let Ok(client) = self.connect().await {
                let row = client.query_one("SHOW server_version", &[]).await?;
                return Ok(row.get(0));
            }
            tokio::time::sleep(READY_EVERY).await;
        }
        bail!("PostgreSQL did not start: {}", self.said())
    }

    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    pub(crate) async fn connect(&self) -> anyhow::Result<Client> {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.address.port()).user(ROLE).dbname("postgres");
        let (client, connection) = config.connect(NoTls).await?;
        // It ends when the client is dropped, and the client hears of its errors.
        tokio::spawn(connection);
        Ok(client)
    }

    /// Returns a setting as the server has it.
    pub(crate) async fn setting(&self, name: &str) -> anyhow::Result<String> {
        let client = self.connect().await?;
        Ok(client.query_one("SELECT current_setting($1)", &[&name]).await?.get(0))
    }

    fn said(&self) -> String {
        let mut text = String::new();
        let log = File::open(self.folder.path().join("log.txt"));
        let _ = log.and_then(|mut it| it.read_to_string(&mut text));
        text
    }
}

/// Finds the folder with `initdb` and `postgres`.
fn programs() -> anyhow::Result<PathBuf> {
    let said = Command::new("pg_config").arg("--bindir").output();
    let said = said.ok().and_then(|it| String::from_utf8(it.stdout).ok());
    let said = said.map(|it| PathBuf::from(it.trim()));
    let versions = std::fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let installed = versions.map(|it| it.path().join("bin"));
    let has_all =
        |folder: &PathBuf| ["initdb", "postgres"].iter().all(|it| folder.join(it).is_file());
    let mut found = said.into_iter().chain(installed).filter(has_all);
    found.next().context("no PostgreSQL server on this machine: apt-get install postgresql-15")
}

/// Prepares to run a program, as another user if one is given.
fn run_as(user: Option<User>, program: &Path) -> Command {
    let mut command = Command::new(program);
    if let Some(User { id, group }) = user {
        command.uid(id).gid(group);
    }
    command
}

fn nobody() -> anyhow::Result<User> {
    let users = std::fs::read_to_string("/etc/passwd")?;
    let line = users.lines().find(|line| line.starts_with("nobody:"));
    let parse = |line: &str| {
        let mut fields = line.split(':').skip(2).map(str::parse);
        Some(User { id: fields.next()?.ok()?, group: fields.next()?.ok()? })
    };
    line.and_then(parse).context("PostgreSQL refuses root, and there is no user `nobody`")
}
