//! Five regions as processes of their own, whose links go through a relay that can cut one off.
//! Must not write or read a record.

use std::fmt::Write as _;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use photon_node::TlsFiles;
use rustix::process::Signal;
use serde::Deserialize;
use tempfile::TempDir;

use super::relay::Relay;
use super::{CUT_OFF, FAR, NEAR};
use crate::Places;
use crate::converge::REGIONS;
use crate::http::Connection;
use crate::planet::{PORTS_EACH, free_ports};
use crate::process::Kept;
use crate::tls;

const PLANET: &str = "bench";
/// How long the planet may take to be linked.
const START_MAX: Duration = Duration::from_secs(30);
/// A log that lets go of what peers lack after seconds; what it keeps otherwise is its default.
const SHORT_LOG: &str =
    "[log]\nsegment_bytes = \"4MiB\"\ncompact_after = \"16MiB\"\nretention = \"10s\"\n";

/// The regions. Dropping it ends them, and removes what they hold.
#[derive(Debug)]
pub(super) struct Fleet {
    // Dropped in this order: the processes end before their links and their folder go.
    processes: Vec<Kept>,
    pub(super) relay: Relay,
    folder: TempDir,
    photon: PathBuf,
    apis: Vec<SocketAddr>,
}

/// What a region tells of replication.
#[derive(Debug, Deserialize)]
pub(super) struct Replication {
    pub(super) peers: Vec<PeerLag>,
}

/// How far a peer is behind.
#[derive(Debug, Deserialize)]
pub(super) struct PeerLag {
    pub(super) region: String,
    pub(super) linked: bool,
    pub(super) lag_ms: Option<u64>,
}

impl Fleet {
    /// Starts all regions, and waits until each is linked to all others.
    pub(super) async fn start(places: &Places, has_short_log: bool) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(&places.folder)?;
        let base = free_ports(u16::try_from(REGIONS.len())?)?;
        let address =
            |at: u16, offset| SocketAddr::from(([127, 0, 0, 1], base + PORTS_EACH * at + offset));
        let places_of: [u16; 5] = std::array::from_fn(|at| u16::try_from(at).unwrap_or_default());
        let relay = Relay::start(places_of.map(|at| address(at, 1)))?;
        let tls = tls::certificates(folder.path(), PLANET, REGIONS)?;
        let mut planet = planet(|at| (address(at, 0), address(at, 1)));
        if has_short_log {
            planet += SHORT_LOG;
        }
        let mut processes = Vec::new();
        for (at, (name, tls)) in REGIONS.iter().zip(&tls).enumerate() {
            let config = folder.path().join(format!("{name}.toml"));
            let own = region(at, &folder.path().join(name), tls, &relay);
            std::fs::write(&config, format!("{planet}{own}"))?;
            processes.push(spawn(places, folder.path(), name, &config)?);
        }
        let apis = places_of.map(|at| address(at, 0)).to_vec();
        let photon = places.binary()?.clone();
        let mut fleet = Self { processes, relay, folder, photon, apis };
        fleet.await_links().await?;
        Ok(fleet)
    }

    async fn await_links(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + START_MAX;
        for at in 0..REGIONS.len() {
            while !self.is_linked(at).await {
                self.processes[at].check().with_context(|| self.said(at))?;
                ensure!(Instant::now() < until, "no links: {}", self.said(at));
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    async fn is_linked(&self, at: usize) -> bool {
        let Ok(mut connection) = self.connect(at).await else { return false };
        let found = replication(&mut connection).await;
        found.is_ok_and(|it| it.peers.iter().all(|peer| peer.linked))
    }

    /// Connects to the front door of a region.
    pub(super) async fn connect(&self, at: usize) -> anyhow::Result<Connection> {
        Connection::open(self.apis[at]).await
    }

    /// Returns the process of a region.
    pub(super) fn process(&self, at: usize) -> u32 {
        self.processes[at].id()
    }

    /// Fails unless all regions hold the same, by `photon state verify`.
    pub(super) fn verify(&self) -> anyhow::Result<()> {
        let mut command = Command::new(&self.photon);
        command.args(["state", "verify", "--output", "json"]);
        command.args(["--url", &format!("http://{}", self.apis[0])]);
        let done = command.stdin(Stdio::null()).output()?;
        let said = || String::from_utf8_lossy(&done.stdout).into_owned();
        ensure!(done.status.success(), "the regions do not hold the same: {}", said());
        Ok(())
    }

    /// Returns what a region has logged.
    fn said(&self, at: usize) -> String {
        let path = self.folder.path().join(format!("{}.log", REGIONS[at]));
        std::fs::read_to_string(path).unwrap_or_default()
    }
}

/// Asks a region how far its peers are behind.
pub(super) async fn replication(connection: &mut Connection) -> anyhow::Result<Replication> {
    let found = connection.get_json("/v1/replication").await?.good()?;
    serde_json::from_slice(found).context("no answer about replication")
}

/// Returns what all regions are told.
fn planet(address: impl Fn(u16) -> (SocketAddr, SocketAddr)) -> String {
    let mut text = format!("planet = \"{PLANET}\"\n");
    for (at, name) in (0..).zip(REGIONS) {
        let (api, link) = address(at);
        text += &format!("[regions.{name}]\napi = \"{api}\"\nlink = \"{link}\"\n");
    }
    let names = |all: &[usize]| all.iter().map(|at| REGIONS[*at]).collect::<Vec<_>>();
    let (near, far) = (names(&NEAR), names(&FAR));
    text += &format!("[placements]\nnear = {near:?}\nfar = {far:?}\n");
    for (name, placement) in super::DATASETS {
        let table =
            format!("[datasets.{name}]\ntype = \"register\"\nplacement = \"{placement}\"\n");
        text += &table;
    }
    text
}

/// Returns what one region is told beyond that.
fn region(at: usize, data: &Path, tls: &TlsFiles, relay: &Relay) -> String {
    let TlsFiles { certificate, key, authority } = tls;
    let mut text = format!(
        "[node]\ndata = {data:?}\n[links]\ncertificate = {certificate:?}\nkey = {key:?}\n\
         authority = {authority:?}\n[links.via]\n"
    );
    for (to, peer) in REGIONS.iter().enumerate().filter(|(to, _)| *to != at) {
        writeln!(text, "{peer} = \"{}\"", relay.via(at, to)).expect("text takes text");
    }
    text
}

fn spawn(places: &Places, folder: &Path, name: &str, config: &Path) -> anyhow::Result<Kept> {
    let log = File::create(folder.join(format!("{name}.log")))?;
    let mut command = Command::new(places.binary()?);
    command.arg("serve").arg("--config").arg(config).args(["--region", name, "--log", "info"]);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Kept::start(&mut command, Signal::TERM)
}

/// Which region is cut off, for people to read.
pub(super) fn cut_off() -> &'static str {
    REGIONS[CUT_OFF]
}
