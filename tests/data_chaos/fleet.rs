//! Five regions as processes of their own, whose links go through a relay.
//! Must not know who kills them, nor why.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use super::relay::{Mood, Relay};
use super::{DATASETS, INSIDE, PLACEMENTS, REGIONS, dataset};
use crate::harness::{Api, Done, Process, SOON, free_ports, photon, run, say};

/// Little, so that segments are removed and states are sent while the test runs.
const LOG: &str = "segment_bytes = \"1MiB\"\ncompact_after = \"1MiB\"\nretention = \"1s\"";

/// Five regions.
#[derive(Debug)]
pub(crate) struct Fleet {
    /// What carries their links.
    pub(crate) relay: Relay,
    sites: Vec<Site>,
    _folder: TempDir,
}

/// One region.
#[derive(Debug)]
pub(crate) struct Site {
    /// Its name.
    pub(crate) name: &'static str,
    /// Where it keeps its state.
    pub(crate) data: PathBuf,
    config: PathBuf,
    url: String,
    lives: Mutex<Lives>,
}

/// The processes that a region has been.
#[derive(Debug)]
pub(crate) struct Lives {
    process: Process,
    /// What the earlier ones said.
    said: String,
}

impl Fleet {
    /// Starts all regions, and waits until each is ready.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        let base = free_ports(2 * REGIONS.len() as u16);
        let address = |name: &str, offset: u16| {
            let at = REGIONS.iter().position(|it| *it == name).expect("a region of the planet");
            SocketAddr::from(([127, 0, 0, 1], base + 2 * at as u16 + offset))
        };
        let later = |at: usize| REGIONS[at + 1..].iter().map(move |to| (REGIONS[at], *to));
        let pairs = (0..REGIONS.len()).flat_map(later);
        let relay = Relay::start(pairs, |name| address(name, 1)).await;
        let planet = planet(&address);
        let mut sites = Vec::new();
        for name in REGIONS {
            let data = folder.path().join(name);
            let config = folder.path().join(format!("{name}.toml"));
            let mut text = format!("{planet}[node]\ndata = \"{}\"\n[links.via]\n", data.display());
            for (peer, via) in relay.via(name) {
                writeln!(text, "{peer} = \"{via}\"").expect("text takes text");
            }
            fs::write(&config, text).expect("the folder was made for it");
            let process = Process::start(name, serve(name, &config));
            let lives = Mutex::new(Lives { process, said: String::new() });
            let url = format!("http://{}", address(name, 0));
            sites.push(Site { name, data, config, url, lives });
        }
        let fleet = Self { relay, sites, _folder: folder };
        fleet.are_ready().await;
        fleet
    }

    /// Waits until every region is ready.
    pub(crate) async fn are_ready(&self) {
        for site in &self.sites {
            self.api(site.name).is_ready().await;
        }
    }

    /// Returns a client of a region.
    pub(crate) fn api(&self, region: &str) -> Api {
        Api::new(&self.site(region).url)
    }

    /// Returns a region.
    pub(crate) fn site(&self, region: &str) -> &Site {
        self.sites.iter().find(|it| it.name == region).expect("a region of the planet")
    }

    /// Takes a process in hand to which nothing happens: that of the region, or of a later one.
    pub(crate) fn hold_from(&self, region: &str) -> Option<(&Site, MutexGuard<'_, Lives>)> {
        let first = self.sites.iter().position(|it| it.name == region);
        let (before, from) = self.sites.split_at(first.expect("a region of the planet"));
        from.iter().chain(before).find_map(|it| Some((it, it.lives.try_lock().ok()?)))
    }

    /// Runs `photon` to its end, at a region of the placement `eu`.
    pub(crate) async fn photon(&self, args: &[&str]) -> Done {
        let mut command = photon(args);
        command.env("PHOTON_URL", &self.site(INSIDE[0]).url);
        run(command, SOON * 3).await
    }
}

/// Returns what all regions are told about the planet.
fn planet(address: &impl Fn(&str, u16) -> SocketAddr) -> String {
    let mut text = "planet = \"chaos\"\n".to_owned();
    for name in REGIONS {
        let (api, link) = (address(name, 0), address(name, 1));
        let region = format!("[regions.{name}]\napi = \"{api}\"\nlink = \"{link}\"\n");
        text += &region;
    }
    text += &format!("[placements]\neu = {INSIDE:?}\n[log]\n{LOG}\n");
    for placement in PLACEMENTS {
        for (name, kind, more) in DATASETS {
            let name = dataset(placement, name);
            let table = format!("[datasets.{name}]\ntype = \"{kind}\"\n{more}\n");
            text += &format!("{table}placement = \"{placement}\"\n");
        }
    }
    text
}

fn serve(name: &str, config: &std::path::Path) -> tokio::process::Command {
    let mut command = photon(&["serve", "--region", name, "--config"]);
    command.arg(config);
    command
}

impl Site {
    /// Kills the process as a power cut would.
    pub(crate) async fn kill(&self, lives: &mut Lives) {
        assert!(lives.process.is_running(), "{} has ended by itself", self.name);
        lives.process.kill().await;
    }

    /// Starts a process in place of one that was killed; it may take a while until it is ready.
    pub(crate) fn start_again(&self, lives: &mut Lives) {
        lives.said += &lives.process.said();
        lives.process = Process::start(self.name, serve(self.name, &self.config));
    }

    /// Returns all that the region has said so far.
    pub(crate) async fn said(&self) -> String {
        let lives = self.lives.lock().await;
        format!("{}\n{}", lives.said, lives.process.said())
    }
}

impl Lives {
    /// Lets the process stand still, or go on.
    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }
}

impl Fleet {
    /// Panics if a region has said that something is wrong with itself.
    pub(crate) async fn nobody_complains(&self) {
        for site in &self.sites {
            let said = site.said().await;
            let bad = said.lines().find(|it| it.contains("ERROR") || it.contains("panicked"));
            assert!(bad.is_none(), "{} says {bad:?}", site.name);
        }
    }

    /// Panics unless all links are open and all processes run: the faults have healed themselves.
    pub(crate) async fn is_healed(&self) {
        for pair in self.relay.pairs() {
            self.relay.set(pair, Mood::Open);
        }
        for site in &self.sites {
            let mut lives = site.lives.lock().await;
            assert!(lives.process.is_running(), "{} has ended by itself", site.name);
        }
        say("all is healed");
        self.are_ready().await;
    }
}
