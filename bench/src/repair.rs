//! What it takes to find and mend damage: two regions that differ in a few of many records.
//! Must not know of disks, sockets or clients: two regions in one thread, and what they say.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{bail, ensure};
use bytes::Bytes;
use clap::Args;
use photon_region::data::{
    DataCommand, DatasetName, DatasetSpec, Edit, Kind, Mode, Outside, PlacementRule, Policy,
    ReadLevel, Write, WriteLevel,
};
use photon_region::{
    Command, Config, Input, Limits, Message, Output, Place, Region, decode_message, encode_message,
};
use photon_state::{Change, Now, Op, PlacementId, RegionId, Seen};
use zstd::stream::write::Encoder;

use crate::process;
use crate::report::{Report, Target};

/// How it is measured.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Options {
    /// How many records both regions have
    #[arg(long, default_value_t = 1_000_000)]
    records: usize,
    /// How many of them one region has lost
    #[arg(long, default_value_t = 100)]
    lost: usize,
    /// Bytes of each record
    #[arg(long, default_value_t = 256)]
    value_bytes: usize,
}

const BATCH: usize = 1_000;

/// One region, and how far its disk is.
struct Site {
    region: Region,
    peer: RegionId,
    appended: u64,
    log: Vec<Arc<Op>>,
}

/// What passes between the two, as it is and compressed as links do.
struct Wire {
    bytes: usize,
    repair_bytes: usize,
    packed: Encoder<'static, Vec<u8>>,
    packed_bytes: usize,
    messages: usize,
    used: Duration,
}

/// Measures it.
pub(crate) fn measure(options: &Options) -> anyhow::Result<Report> {
    let Options { records, lost, value_bytes } = *options;
    let mut report = Report::begin("repair");
    let mut now = Now { mono: Duration::ZERO, wall_ms: 1_800_000_000_000 };
    let [whole, damaged] = [RegionId::try_from("ap-south-1")?, RegionId::try_from("eu-west-1")?];
    let mut origin = site(whole, damaged, now)?;
    write_all(&mut origin, &mut now, records, value_bytes)?;
    let log = std::mem::take(&mut origin.log);
    // The records are drawn; the ops come without gaps, as first writes of one stream.
    let writes = log.iter().filter(|op| matches!(op.change, Change::Update(_))).count();
    let mut chosen = BTreeSet::new();
    while chosen.len() < lost.min(writes) {
        chosen.insert(fastrand::usize(0..writes));
    }
    let mut other = copy_without(damaged, whole, &log, &chosen, now)?;
    // The other one begins a new life, too: only then may a peer have what it has.
    let mut origin = copy_without(whole, damaged, &log, &BTreeSet::new(), now)?;
    drop(log);
    let before = (digest(&origin), digest(&other));
    let mut wire = Wire::new()?;
    let quiet = compare(&mut origin, &mut other, &mut wire, &mut now)?;
    let is_alike = digest(&origin) == digest(&other) && before.0 != before.1;
    ensure!(is_alike || lost == 0, "the regions are not alike after {quiet} rounds");
    let mended = origin.region.view().counters.mended + other.region.view().counters.mended;
    let mut idle = Wire::new()?;
    now.mono += Duration::from_secs(60);
    round(&mut origin, &mut other, &mut idle, now)?;

    let count = |count: usize| (count as f64, "");
    report.row("records", count(records), Target::None);
    report.row("records that were lost", count(lost), Target::None);
    report.row("records that were mended", (mended as f64, ""), Target::AtLeast(lost as f64));
    let kb = |bytes: usize| (bytes as f64 / 1000.0, "kB");
    report.row("comparing and mending, plain", kb(wire.repair_bytes), Target::None);
    report.row(
        "comparing and mending, on a link with zstd",
        kb(wire.packed_bytes),
        Target::Under(64.0),
    );
    report.row("of that contents, as they are", kb(lost * value_bytes), Target::None);
    report.row("messages", count(wire.messages), Target::None);
    report.row("all that passed meanwhile, plain", kb(wire.bytes), Target::None);
    let ms = |time: Duration| (time.as_secs_f64() * 1e3, "ms");
    report.row("processor time of both regions", ms(wire.used), Target::None);
    report.row("comparing when nothing differs, plain", kb(idle.repair_bytes), Target::None);
    report.note(format!(
        "Two regions in one thread; {records} registers of {value_bytes} random bytes, of which \
         one region has counted {lost} as seen without their effect. What both say to each other \
         until they are alike: comparisons, and the ops that mend. Compressed: one stream of zstd \
         at level 1 for each direction, flushed after each message."
    ));
    Ok(report)
}

impl Wire {
    fn new() -> anyhow::Result<Self> {
        let packed = Encoder::new(Vec::new(), 1)?;
        let (bytes, repair_bytes, packed_bytes, messages) = (0, 0, 0, 0);
        Ok(Self { bytes, repair_bytes, packed, packed_bytes, messages, used: Duration::ZERO })
    }

    fn take(&mut self, frame: &[u8]) -> anyhow::Result<()> {
        self.bytes += frame.len();
        let message = decode_message(frame)?;
        if !matches!(message, Message::Compare(_) | Message::Ops(_) | Message::Ack(..)) {
            return Ok(());
        }
        self.messages += 1;
        self.repair_bytes += frame.len();
        self.packed.write_all(frame)?;
        self.packed.flush()?;
        self.packed_bytes += std::mem::take(self.packed.get_mut()).len();
        Ok(())
    }
}

impl Site {
    fn hear(&mut self, now: Now, input: Input) -> anyhow::Result<Vec<Bytes>> {
        self.region.handle(now, input);
        let mut said = Vec::new();
        loop {
            let before = self.appended;
            while let Some(output) = self.region.poll() {
                match output {
                    Output::Append(op) => {
                        self.appended += 1;
                        self.log.push(op);
                    }
                    Output::Send(_, message) => said.push(encode_message(&message)),
                    Output::Reply(_, reply) => ensure!(reply.is_ok(), "refused: {reply:?}"),
                    Output::Fetch { .. } => bail!("everything is acknowledged at once"),
                    Output::Truncate { .. } | Output::Notice(_) => {}
                    Output::Halt(why) => bail!("nothing here goes back: {why}"),
                }
            }
            if self.appended == before {
                return Ok(said);
            }
            self.region.handle(now, Input::Durable(self.appended));
        }
    }
}

/// Lets both regions tick and talk until they have nothing more to say.
fn round(a: &mut Site, b: &mut Site, wire: &mut Wire, now: Now) -> anyhow::Result<()> {
    let began = process::thread_cpu();
    let mut to_b = a.hear(now, Input::Tick)?;
    let mut to_a = b.hear(now, Input::Tick)?;
    wire.used += process::thread_cpu().saturating_sub(began);
    while !to_a.is_empty() || !to_b.is_empty() {
        to_a.iter().chain(&to_b).try_for_each(|frame| wire.take(frame))?;
        let began = process::thread_cpu();
        let (hears_a, hears_b) = (std::mem::take(&mut to_a), std::mem::take(&mut to_b));
        for frame in hears_a {
            to_b.append(&mut a.hear(now, Input::Message(a.peer, decode_message(&frame)?))?);
        }
        for frame in hears_b {
            to_a.append(&mut b.hear(now, Input::Message(b.peer, decode_message(&frame)?))?);
        }
        wire.used += process::thread_cpu().saturating_sub(began);
    }
    Ok(())
}

/// Links the regions and lets time pass until they are alike; returns how many rounds it took.
fn compare(a: &mut Site, b: &mut Site, wire: &mut Wire, now: &mut Now) -> anyhow::Result<usize> {
    let mut to_b = a.hear(*now, Input::Linked(a.peer))?;
    let mut to_a = b.hear(*now, Input::Linked(b.peer))?;
    for _ in 0..8 {
        let (hears_a, hears_b) = (std::mem::take(&mut to_a), std::mem::take(&mut to_b));
        for frame in hears_a {
            to_b.append(&mut a.hear(*now, Input::Message(a.peer, decode_message(&frame)?))?);
        }
        for frame in hears_b {
            to_a.append(&mut b.hear(*now, Input::Message(b.peer, decode_message(&frame)?))?);
        }
    }
    const STEP: Duration = Duration::from_millis(5);
    for rounds in 0..100_000 {
        now.mono += STEP;
        now.wall_ms += 5;
        round(a, b, wire, *now)?;
        if digest(a) == digest(b) {
            return Ok(rounds);
        }
    }
    bail!("the regions stay different")
}

fn digest(site: &Site) -> u64 {
    let shelf =
        (PlacementId::global(), photon_state::Dataset(5), photon_state::crdt::Shape::Fields);
    site.region.store().tally(&shelf).map_or(0, photon_state::Tally::root)
}

fn write_all(site: &mut Site, now: &mut Now, records: usize, bytes: usize) -> anyhow::Result<()> {
    let dataset = DatasetName::try_from("bench")?;
    for (ticket, first) in (0..records).step_by(BATCH).enumerate() {
        let write = |n: usize| {
            let content: Vec<u8> =
                std::iter::repeat_with(|| fastrand::u8(..)).take(bytes).collect();
            let key = Bytes::from(format!("record-{n:08}"));
            Write { key, edit: Edit::Put(content.into()), expect: None, ttl: None, spot: None }
        };
        now.mono += Duration::from_millis(1);
        now.wall_ms += 1;
        let command = DataCommand::Write {
            dataset: dataset.clone(),
            writes: (first..records.min(first + BATCH)).map(write).collect(),
            level: Some(WriteLevel::Eventual),
            session: Seen::default(),
            wait: Duration::ZERO,
        };
        site.hear(*now, Input::Command(ticket as u64 + 1, Command::Data(command)))?;
    }
    Ok(())
}

/// Makes a region that has seen all ops of another one, some of them without their effect.
fn copy_without(
    here: RegionId,
    peer: RegionId,
    log: &[Arc<Op>],
    lost: &BTreeSet<usize>,
    now: Now,
) -> anyhow::Result<Site> {
    let mut region = Region::new(config(here, peer)?);
    let mut update = 0;
    for op in log {
        let is_update = matches!(op.change, Change::Update(_));
        if is_update && lost.contains(&update) {
            region.replay(Arc::new(Op { change: Change::Delete, ..(**op).clone() }));
        } else {
            region.replay(op.clone());
        }
        update += usize::from(is_update);
    }
    region.start(now);
    Ok(Site { region, peer, appended: 0, log: Vec::new() })
}

fn site(here: RegionId, peer: RegionId, now: Now) -> anyhow::Result<Site> {
    let mut region = Region::new(config(here, peer)?);
    region.start(now);
    Ok(Site { region, peer, appended: 0, log: Vec::new() })
}

fn config(here: RegionId, peer: RegionId) -> anyhow::Result<Config> {
    let place = Place { latitude: 0.0, longitude: 0.0 };
    let dataset = DatasetSpec {
        name: DatasetName::try_from("bench")?,
        kind: Kind::Register,
        rule: PlacementRule::Fixed(PlacementId::global()),
        outside: Outside::Forward,
        mode: Mode::MultiMaster,
        policy: Policy::LastWriter,
        write_level: WriteLevel::Eventual,
        read_level: ReadLevel::Eventual,
        ttl: None,
        retention: None,
        sensitive_keys: false,
    };
    Ok(Config {
        region: here,
        incarnation: 0x9e37_79b9_7f4a_7c15,
        regions: [(here, place), (peer, place)].into(),
        placements: [].into(),
        datasets: vec![dataset],
        voters: std::collections::BTreeSet::new(),
        topology: photon_region::Topology::Mesh,
        weights: photon_region::Weights::default(),
        limits: Limits {
            data_bytes_max: usize::MAX,
            data_memory_max: usize::MAX,
            ..Limits::default()
        },
        seed: 1,
    })
}
