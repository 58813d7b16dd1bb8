//! Two regions that talk through encoded messages, on disks that sync at once.
//! Must not know what is written, nor measure.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use photon_region::data::{
    DataCommand, DatasetName, DatasetSpec, Kind, Mode, Outside, PlacementRule, Policy, ReadLevel,
    Write, WriteLevel,
};
use photon_region::{
    Command, Config, Input, Limits, Output, Place, Region, decode_message, encode_message,
};
use photon_state::{Now, PlacementId, RegionId, Seen};

/// The dataset that is written.
pub(super) const DATASET: &str = "bench";
/// The origin, and the receiver.
const NAMES: [&str; 2] = ["eu-west-1", "us-east-1"];
const ORIGIN: usize = 0;
const RECEIVER: usize = 1;

/// The two regions.
#[derive(Debug)]
pub(super) struct Pair {
    sites: [Site; 2],
    dataset: DatasetName,
    now: Now,
    tickets: u64,
}

/// One region, and how far its disk is.
#[derive(Debug)]
struct Site {
    region: Region,
    peer: RegionId,
    appended: u64,
    synced: u64,
}

impl Pair {
    /// How much time passes between two requests.
    const STEP: Duration = Duration::from_millis(1);

    /// Makes two regions that are linked, with one dataset.
    pub(super) fn new(kind: Kind) -> anyhow::Result<Self> {
        let names = [RegionId::try_from(NAMES[0])?, RegionId::try_from(NAMES[1])?];
        let dataset = DatasetName::try_from(DATASET)?;
        let now = Now { mono: Duration::ZERO, wall_ms: 1_800_000_000_000 };
        let site = |here: usize| {
            let mut region = Region::new(config(names, here, spec(dataset.clone(), kind)));
            region.start(now);
            Site { region, peer: names[1 - here], appended: 0, synced: 0 }
        };
        let sites = [site(ORIGIN), site(RECEIVER)];
        let mut pair = Self { sites, dataset, now, tickets: 0 };
        let hello = [pair.link(ORIGIN)?, pair.link(RECEIVER)?];
        for (from, mut frames) in hello.into_iter().enumerate() {
            let mut to = 1 - from;
            while !frames.is_empty() {
                frames = pair.sites[to].hear(pair.now, &frames)?;
                to = 1 - to;
            }
        }
        Ok(pair)
    }

    fn link(&mut self, at: usize) -> anyhow::Result<Vec<Bytes>> {
        let site = &mut self.sites[at];
        site.region.handle(self.now, Input::Linked(site.peer));
        site.drain(self.now)
    }

    /// Writes at the origin; returns what the receiver is to hear.
    pub(super) fn write(&mut self, writes: Vec<Write>) -> anyhow::Result<Vec<Bytes>> {
        self.tickets += 1;
        self.now.mono += Self::STEP;
        self.now.wall_ms += 1;
        let command = DataCommand::Write {
            dataset: self.dataset.clone(),
            writes,
            level: Some(WriteLevel::Eventual),
            session: Seen::default(),
            wait: Duration::ZERO,
        };
        let origin = &mut self.sites[ORIGIN];
        origin.region.handle(self.now, Input::Command(self.tickets, Command::Data(command)));
        origin.drain(self.now)
    }

    /// Lets the receiver hear it; returns what the origin is to hear.
    pub(super) fn receive(&mut self, frames: &[Bytes]) -> anyhow::Result<Vec<Bytes>> {
        self.sites[RECEIVER].hear(self.now, frames)
    }

    /// Lets the origin hear that; it has nothing more to say.
    pub(super) fn acknowledge(&mut self, frames: &[Bytes]) -> anyhow::Result<()> {
        let more = self.sites[ORIGIN].hear(self.now, frames)?;
        ensure!(more.is_empty(), "the origin goes on after everything is acknowledged");
        Ok(())
    }

    /// Fails unless both regions hold the same.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let [origin, receiver] = &self.sites;
        let is_same = origin.region.store().contents() == receiver.region.store().contents();
        ensure!(is_same, "the receiver does not hold what the origin holds");
        Ok(())
    }
}

impl Site {
    /// Takes messages in; returns what the peer is to hear.
    fn hear(&mut self, now: Now, frames: &[Bytes]) -> anyhow::Result<Vec<Bytes>> {
        let mut said = Vec::new();
        for frame in frames {
            self.region.handle(now, Input::Message(self.peer, decode_message(frame)?));
            said.append(&mut self.drain(now)?);
        }
        Ok(said)
    }

    /// Carries out what the region wants until it wants nothing; returns what the peer is to hear.
    fn drain(&mut self, now: Now) -> anyhow::Result<Vec<Bytes>> {
        let mut said = Vec::new();
        loop {
            while let Some(output) = self.region.poll() {
                match output {
                    Output::Append(_) => self.appended += 1,
                    Output::Truncate { .. } | Output::Notice(_) => {}
                    Output::Send(_, message) => said.push(encode_message(&message)),
                    Output::Reply(_, reply) => drop(reply.context("a write was refused")?),
                    Output::Fetch { .. } => bail!("every op is acknowledged at once"),
                    Output::Halt(why) => bail!("nothing here is lost: {why}"),
                }
            }
            if self.synced == self.appended {
                return Ok(said);
            }
            self.synced = self.appended;
            self.region.handle(now, Input::Durable(self.synced));
        }
    }
}

fn config(names: [RegionId; 2], here: usize, dataset: DatasetSpec) -> Config {
    let place = |n: usize| Place { latitude: 0.0, longitude: 60.0 * n as f64 };
    Config {
        region: names[here],
        // As random as a real one: it takes its room on the wire.
        incarnation: 0x9e37_79b9_7f4a_7c15_u64.rotate_left(u32::try_from(here).unwrap_or(0)),
        regions: BTreeMap::from([(names[0], place(0)), (names[1], place(1))]),
        placements: BTreeMap::new(),
        datasets: vec![dataset],
        voters: std::collections::BTreeSet::new(),
        topology: photon_region::Topology::Mesh,
        weights: photon_region::Weights::default(),
        limits: Limits::default(),
        seed: 1,
    }
}

fn spec(name: DatasetName, kind: Kind) -> DatasetSpec {
    DatasetSpec {
        name,
        kind,
        rule: PlacementRule::Fixed(PlacementId::global()),
        outside: Outside::Forward,
        mode: Mode::MultiMaster,
        policy: Policy::LastWriter,
        write_level: WriteLevel::Eventual,
        read_level: ReadLevel::Eventual,
        ttl: None,
        retention: None,
        sensitive_keys: false,
    }
}
