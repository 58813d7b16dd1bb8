//! A planet of `photon up`: started, reached, ended.
//! Must not measure it, but for how long it took to be ready.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::Signal;

use crate::Places;
use crate::process::Kept;

/// What the planet says when all regions serve.
pub(crate) const READY: &str = "planet ready";
/// Lines that it may print before that.
const LINES_MAX: usize = 10_000;
/// The distance between the ports of two regions.
pub(crate) const PORTS_EACH: u16 = 10;

/// A planet that is ready. Dropping it stops it, and removes its data.
#[derive(Debug)]
pub(crate) struct Planet {
    // Dropped in this order: the processes end before their folder goes.
    process: Kept,
    _folder: tempfile::TempDir,
    base_port: u16,
    took: Duration,
}

impl Planet {
    /// Starts a planet with regions that are separated by commas. `round_trips` are those between
    /// them, in milliseconds as comma-separated values; without it distance decides.
    pub(crate) fn start(
        places: &Places,
        regions: &str,
        round_trips: Option<&str>,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(&places.folder)?;
        let count = u16::try_from(regions.split(',').count())?;
        let mut command = Command::new(places.binary()?);
        command.args(["up", "--regions", regions]);
        let base_port = free_ports(count)?;
        command.args(["--base-port", &base_port.to_string()]);
        if let Some(text) = round_trips {
            let file = folder.path().join("wan.csv");
            std::fs::write(&file, text)?;
            command.arg("--wan").arg(file);
        }
        command.arg("--data").arg(folder.path().join("planet"));
        let errors = std::fs::File::create(folder.path().join("stderr.txt"))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        let began = Instant::now();
        let mut process = Kept::start(&mut command, Signal::INT)?;
        let stdout = process.stdout().context("its output is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let is_ready = lines.by_ref().take(LINES_MAX).map_while(Result::ok);
        let is_ready = is_ready.into_iter().any(|line| line.contains(READY));
        let took = began.elapsed();
        let said = || std::fs::read_to_string(folder.path().join("stderr.txt")).unwrap_or_default();
        ensure!(is_ready, "the planet did not say `{READY}`: {}", said());
        // It may go on to print, and must not find the pipe full or broken.
        std::thread::spawn(move || lines.count());
        Ok(Self { process, _folder: folder, base_port, took })
    }

    /// Returns the root of the planet's processes.
    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }

    /// Returns how long it took to be ready.
    pub(crate) fn took(&self) -> Duration {
        self.took
    }

    /// Returns the front door of a region, by its place in the list.
    pub(crate) fn api(&self, place: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.base_port + PORTS_EACH * place))
    }
}

/// Finds a port after which those of all regions are free at the moment.
pub(crate) fn free_ports(regions: u16) -> anyhow::Result<u16> {
    const TRIES_MAX: usize = 100;
    // Below the ports that systems give out to clients.
    let first =
        std::iter::repeat_with(|| fastrand::u16(10_000..30_000)).take(TRIES_MAX).find(|base| {
            let ports =
                (0..regions).flat_map(|it| [0, 1].map(|more| base + PORTS_EACH * it + more));
            ports.into_iter().all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok())
        });
    first.context("no free ports were found")
}
