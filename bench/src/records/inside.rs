//! What holds records, by itself: a store, and a region that takes its log back.
//! Must not know of disks, sockets or clients.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use photon_region::{Config, Limits, Place, Region};
use photon_state::crdt::{Delta, FieldChange, Shape, Written};
use photon_state::{
    Change, Dataset, Hlc, Key, Op, PlacementId, RegionId, Seen, Store, StreamId, Update,
};

use super::Options;
use crate::process;
use crate::report::{Report, Target};

/// Records of all datasets, as a region numbers them.
const DATA: Dataset = Dataset(5);

/// Measures both.
pub(super) fn measure(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let stream = StreamId {
        origin: RegionId::try_from("eu-west-1")?,
        placement: PlacementId::global(),
        incarnation: 0x1234_5678_9abc_def0,
    };
    let before = process::memory(std::process::id())?.resident;
    let mut store = Store::default();
    let began = process::thread_cpu();
    for number in 0..options.count {
        store.apply(&op(options, stream, number));
    }
    let filled = process::thread_cpu() - began;
    let held = process::memory(std::process::id())?.resident - before;
    let each = |mib: f64| mib * f64::from(1 << 20) / options.count as f64;
    let counted = store.value_bytes() as f64 / options.count as f64;
    let rate = |took: Duration| options.count as f64 / took.as_secs_f64();
    report.row("store: a record, resident", (each(held), "B"), Target::None);
    report.row("store: a record, as it is counted", (counted, "B"), Target::None);
    report.row("store: written", (rate(filled), "/s"), Target::None);
    let began = process::thread_cpu();
    let found = (0..options.count).filter(|number| {
        let op = op(options, stream, *number);
        store.state(&op.record(), Shape::Fields).is_some()
    });
    anyhow::ensure!(found.count() == options.count, "a record is missing");
    report.row("store: read", (rate(process::thread_cpu() - began), "/s"), Target::None);
    drop(store);
    let began = process::thread_cpu();
    let mut region = Region::new(config(stream));
    for number in 0..options.count {
        region.replay(Arc::new(op(options, stream, number)));
    }
    report.row("region: replayed", (rate(process::thread_cpu() - began), "/s"), Target::None);
    let began = process::thread_cpu();
    let made = (0..options.count).map(|number| op(options, stream, number).key.as_bytes().len());
    let made: usize = made.sum();
    report.row("making of the ops", (rate(process::thread_cpu() - began), "/s"), Target::None);
    report.note(format!(
        "{} records, {made} bytes of keys with the name of the dataset; processor time of one \
         thread. Writing and replaying include the making of the ops.",
        options.count
    ));
    Ok(())
}

/// Makes the op that writes a record.
fn op(options: &Options, stream: StreamId, number: usize) -> Op {
    let key = options.key(number);
    let key = Key::new(&[&[5], &b"bench"[..], key.as_bytes()].concat());
    let written = Written { bytes: Bytes::from(vec![b'x'; options.value_bytes]), expires_ms: None };
    let change = FieldChange { field: Bytes::new(), replaces: vec![], written: Some(written) };
    let update = Update { delta: Delta::Fields(vec![change]), needs: Seen::default() };
    let at = Hlc { wall_ms: 1_800_000_000_000 + number as u64 / 100, count: number as u32 % 100 };
    let seq = number as u64 + 1;
    Op { stream, seq, at, dataset: DATA, key, change: Change::Update(Box::new(update)) }
}

fn config(stream: StreamId) -> Config {
    Config {
        region: stream.origin,
        incarnation: stream.incarnation,
        regions: BTreeMap::from([(stream.origin, Place { latitude: 53.35, longitude: -6.26 })]),
        placements: BTreeMap::new(),
        datasets: vec![],
        voters: std::collections::BTreeSet::new(),
        topology: photon_region::Topology::Mesh,
        weights: photon_region::Weights::default(),
        limits: Limits {
            data_bytes_max: usize::MAX,
            data_memory_max: usize::MAX,
            ..Limits::default()
        },
        seed: 7,
    }
}
