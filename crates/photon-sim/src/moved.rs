//! The end of a run, for records that move: none is lost, none is where it may not be.
//! Must not change the world.

use std::borrow::Cow;
use std::collections::BTreeMap;

use photon_region::Region;
use photon_region::data::{Kind, MoveState};
use photon_state::codec::Writer;
use photon_state::crdt::{Shape, Value};
use photon_state::{Dataset, Key, Op, PlacementId, Record};

use crate::movers::{CARRY, Life, Mover, Movers, key_of, mark_of, number_in};
use crate::promises::{Broken, Promise};
use crate::site::{Atlas, Site};

/// Records of datasets in a store.
const DATA: Dataset = Dataset(5);

/// Says which move is not over.
pub(crate) fn unfinished(machine: &Region) -> Option<String> {
    let mut open = machine.receipts().filter(|it| it.state != MoveState::Done);
    let first = open.next()?;
    Some(format!("{:?} is still {}", first.key, first.state.as_str()))
}

/// Counts the moves that are over, and those of which nothing is left in any log.
pub(crate) fn count(sites: &[Site]) -> (u64, u64) {
    let mut all = BTreeMap::new();
    for machine in sites.iter().filter_map(|it| it.machine.as_ref()) {
        for receipt in machine.receipts() {
            let is_free = receipt.must_forget.iter().all(|it| receipt.purged.contains_key(it));
            all.insert(receipt.id, is_free && !receipt.must_forget.is_empty());
        }
    }
    (all.len() as u64, all.values().filter(|it| **it).count() as u64)
}

impl Movers {
    /// Compares what the regions hold at the end with what was promised.
    pub(crate) fn audit(&self, atlas: &Atlas, sites: &[Site]) -> Result<(), Broken> {
        for (index, mover) in self.0.iter().enumerate() {
            for (number, life) in mover.lives.iter().enumerate() {
                let key = key_of(index, number);
                if mover.kind == Kind::Counter {
                    audit_sum((atlas, sites), &key, life)?;
                } else {
                    audit_record((atlas, sites), &key, life)?;
                }
                audit_traces((atlas, sites), (index, number), mover)?;
            }
        }
        self.audit_purged(atlas, sites)
    }

    /// A region that lost its disk takes nothing with it that was in two, and makes nothing twice.
    pub(crate) fn audit_after_loss(&self, atlas: &Atlas, sites: &[Site]) -> Result<(), Broken> {
        for (index, mover) in self.0.iter().enumerate() {
            for (number, life) in mover.lives.iter().enumerate() {
                let key = key_of(index, number);
                // What was written since the move was asked for was in one region, perhaps.
                let is_shared = |it| 1 < atlas.members(it).count_ones();
                let is_kept = is_shared(life.from) && is_shared(life.to);
                let promised = if life.is_asked { life.floor } else { life.acked };
                let least = if is_kept { promised } else { 0 };
                let is_counter = mover.kind == Kind::Counter;
                let all = [life.from, life.to].map(|it| {
                    let dataset = if is_counter { "tally" } else { "placed" };
                    let all = held((atlas, sites), (dataset, &key), it)
                        .map(|(_, it)| shown(it.as_deref()));
                    all.max().unwrap_or_default()
                });
                let [from, to] = all;
                let total = if is_counter { from + to } else { from.max(to) };
                let fits = (i128::from(least)..=i128::from(life.tried)).contains(&total);
                Promise::Acknowledged.holds(fits, || {
                    format!("{key} shows {from} in {} and {to} in {}: {life:?}", life.from, life.to)
                })?;
            }
        }
        Ok(())
    }

    /// A log that is said to be free of a record holds no byte of it.
    fn audit_purged(&self, atlas: &Atlas, sites: &[Site]) -> Result<(), Broken> {
        for site in sites {
            let Some(machine) = &site.machine else { continue };
            for receipt in machine.receipts() {
                let Some(key) = &receipt.key else { continue };
                let mark = format!("{CARRY} {}:", String::from_utf8_lossy(key));
                for region in receipt.purged.keys() {
                    let site = &sites[atlas.site(*region)];
                    let stray = site.disk.ops().iter().find(|op| holds(op, &mark));
                    let is_free = stray.is_none() && !site.pages.hold(mark.as_bytes());
                    Promise::Residency.holds(is_free, || {
                        format!("the disk of {region} was said to be free of {mark} {stray:?}")
                    })?;
                }
            }
        }
        Ok(())
    }
}

/// Returns the value of a record in each region of a placement.
fn held<'a>(
    (atlas, sites): (&'a Atlas, &'a [Site]),
    (dataset, key): (&'a str, &'a str),
    placement: PlacementId,
) -> impl Iterator<Item = (usize, Option<Cow<'a, Value>>)> {
    let len = u8::try_from(dataset.len()).expect("a short name");
    let stored = Key::new(&[&[len], dataset.as_bytes(), key.as_bytes()].concat());
    let record = Record { placement, dataset: DATA, key: stored };
    let shape = if dataset == "tally" { Shape::Counter } else { Shape::Fields };
    let members = atlas.members(placement);
    let here = (0..sites.len()).filter(move |it| members >> it & 1 == 1);
    here.filter_map(move |it| {
        let store = sites[it].machine.as_ref()?.store();
        Some((it, store.state(&record, shape)))
    })
}

/// Returns the number that a value shows; 0 if there is none.
fn shown(value: Option<&Value>) -> i128 {
    match value {
        Some(Value::Counter(counter)) => counter.sum(),
        Some(Value::Fields(fields)) => {
            let last = fields.versions().max_by_key(|(_, it)| (it.at, it.dot));
            last.and_then(|(_, it)| number_in(&it.written.bytes)).unwrap_or(0).into()
        }
        Some(Value::Escrow(_)) | None => 0,
    }
}

fn audit_record((atlas, sites): (&Atlas, &[Site]), key: &str, life: &Life) -> Result<(), Broken> {
    let last = |value: Option<Cow<'_, Value>>| {
        let Some(Value::Fields(fields)) = value.as_deref() else { return None };
        let shown = fields.versions().max_by_key(|(_, it)| (it.at, it.dot));
        shown.and_then(|(_, it)| number_in(&it.written.bytes))
    };
    let mut found = None;
    for (here, value) in held((atlas, sites), ("placed", key), life.from) {
        let number = last(value);
        Promise::Residency.holds(number.is_none() || !life.is_done, || {
            format!("{} holds {key} in {}, from where it has moved", atlas.ids[here], life.from)
        })?;
        found = found.max(number);
    }
    for (here, value) in held((atlas, sites), ("placed", key), life.to) {
        let number = last(value);
        Promise::Acknowledged.holds(!life.is_done || number >= Some(life.acked), || {
            let name = atlas.ids[here];
            format!("{name} holds {number:?} of {key}, which has moved to {}: {life:?}", life.to)
        })?;
        found = found.max(number);
    }
    let least = if life.is_asked && !life.is_done { life.floor } else { life.acked };
    Promise::Acknowledged.holds(least == 0 || found >= Some(least), || {
        format!("{found:?} is left of {key}, of which {least} was promised: {life:?}")
    })
}

/// What was added is there once, in one placement or the other.
fn audit_sum(world: (&Atlas, &[Site]), key: &str, life: &Life) -> Result<(), Broken> {
    let sum = |placement| {
        let mut all = held(world, ("tally", key), placement);
        all.next().map_or(0, |(_, value)| match value.as_deref() {
            Some(Value::Counter(counter)) => counter.sum(),
            Some(Value::Fields(_) | Value::Escrow(_)) | None => 0,
        })
    };
    let (from, to) = (sum(life.from), sum(life.to));
    let total = from + to;
    let fits = i128::from(life.acked) <= total && total <= i128::from(life.tried);
    Promise::Acknowledged.holds(fits && (from == 0 || !life.is_done), || {
        format!("{key} holds {from} in {} and {to} in {}: {life:?}", life.from, life.to)
    })
}

/// No byte of a record was ever in a region of neither placement.
fn audit_traces(
    (atlas, sites): (&Atlas, &[Site]),
    (index, number): (usize, usize),
    mover: &Mover,
) -> Result<(), Broken> {
    let life = &mover.lives[number];
    let mark = mark_of(index, number);
    let members = atlas.members(life.from) | atlas.members(life.to);
    for (here, site) in sites.iter().enumerate().filter(|(it, _)| members >> it & 1 == 0) {
        let stray = site.disk.written().find(|op| holds(op, &mark));
        let is_free = stray.is_none() && !site.pages.hold(mark.as_bytes());
        Promise::Residency
            .holds(is_free, || format!("the disk of {} holds {mark} {stray:?}", atlas.ids[here]))?;
    }
    Ok(())
}

fn holds(op: &Op, mark: &str) -> bool {
    let mut writer = Writer::default();
    writer.op(op);
    writer.written().windows(mark.len()).any(|it| it == mark.as_bytes())
}
