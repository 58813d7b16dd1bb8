//! What a record looks like to a client: conflicts resolved, what has expired left out.
//! Must not change anything.

use photon_state::crdt::{Fields, Shape, Value, Version};
use photon_state::{Dot, Hlc, Now, PlacementId, Record, RegionId, Source, StableHash};

use super::{Content, DATA, DatasetSpec, Policy, Shown, data_key, split_key};
use crate::region::Region;

impl Region {
    /// Returns the record of a dataset under a placement.
    pub(super) fn record_of(spec: &DatasetSpec, placement: PlacementId, key: &[u8]) -> Record {
        Record { placement, dataset: DATA, key: data_key(&spec.name, key) }
    }

    /// Shows a record as it is here at a moment.
    pub(super) fn show_record(
        &self,
        now: Now,
        spec: &DatasetSpec,
        record: &Record,
    ) -> Option<Shown> {
        let value = self.store.state(record, spec.kind.shape())?;
        self.show_value(now, spec, record.placement, &value)
    }

    /// Returns how many fields of a record are shown; counters have none.
    pub(super) fn count_fields(&self, record: &Record) -> usize {
        let held = self.store.state(record, Shape::Fields);
        let Some(Value::Fields(fields)) = held.as_deref() else { return 0 };
        let now = self.expiry_clock(self.now);
        let is_over = |version: &Version| version.written.is_over(now);
        let alive = fields.iter().filter(|(_, all)| all.iter().any(|(_, it)| !is_over(it)));
        alive.count()
    }

    /// Shows a value; none if there is nothing to be seen of it.
    pub(super) fn show_value(
        &self,
        now: Now,
        spec: &DatasetSpec,
        placement: PlacementId,
        value: &Value,
    ) -> Option<Shown> {
        let content = match value {
            Value::Fields(fields) => return self.show_fields(now, spec, placement, fields),
            Value::Counter(counter) => Content::Number(counter.sum()),
            Value::Escrow(escrow) => {
                Content::Quota { value: escrow.value(), rights: escrow.rights(self.source()) }
            }
        };
        let (fingerprint, also_in) = (value.fingerprint(), Vec::new());
        Some(Shown { content, fingerprint, placement, also_in })
    }

    fn show_fields(
        &self,
        now: Now,
        spec: &DatasetSpec,
        placement: PlacementId,
        fields: &Fields,
    ) -> Option<Shown> {
        let now = self.expiry_clock(now);
        let mut hash = StableHash::default();
        let mut shown = Vec::new();
        for (field, versions) in fields.iter() {
            let alive = versions.iter().filter(|(_, it)| !it.written.is_over(now));
            let alive: Vec<&Version> = alive.map(|(_, it)| it).collect();
            for Version { dot, .. } in &alive {
                let source = dot.source;
                hash = hash.bytes(source.origin.as_str().as_bytes());
                hash = hash.number(source.incarnation).number(dot.seq);
            }
            let chosen = resolve(spec.policy, alive);
            if !chosen.is_empty() {
                shown.push((field.clone(), chosen));
            }
        }
        let is_there = !shown.is_empty();
        let (content, also_in) = (Content::Fields(shown), Vec::new());
        is_there.then_some(Shown { content, fingerprint: hash.finish(), placement, also_in })
    }

    /// Returns the region whose writes of a record are shown before all others, if there is one.
    pub(crate) fn preferred(&self, record: &Record) -> Option<RegionId> {
        let (name, _) = split_key(&record.key)?;
        match self.data.datasets.get(&name)?.spec.policy {
            Policy::Prefer(region) => Some(region),
            Policy::LastWriter | Policy::KeepAll | Policy::Highest | Policy::Lowest => None,
        }
    }

    /// Returns who this region is among the sources of ops.
    pub(crate) fn source(&self) -> Source {
        Source { origin: self.config.region, incarnation: self.config.incarnation }
    }

    /// Returns the region that decides about a record: all regions agree on it.
    pub(super) fn home_of_record(
        &self,
        spec: &DatasetSpec,
        placement: PlacementId,
        key: &[u8],
    ) -> RegionId {
        if let Some(master) = spec.mode.master() {
            return master;
        }
        // Rendezvous hashing (Thaler and Ravishankar, 1998): the region with the highest score.
        let score = |region: &RegionId| {
            let hash = StableHash::default().bytes(region.as_str().as_bytes());
            (hash.bytes(spec.name.as_str().as_bytes()).bytes(key).finish(), *region)
        };
        let members = &self.config.placements[&placement];
        *members.iter().max_by_key(|it| score(it)).expect("a placement has members")
    }
}

/// Chooses among concurrent writes of one field. The same everywhere, whatever came first.
fn resolve(policy: Policy, mut versions: Vec<&Version>) -> Vec<Version> {
    let order = |it: &&Version| (it.at, it.dot);
    let chosen = match policy {
        Policy::LastWriter => versions.into_iter().max_by_key(order),
        Policy::KeepAll => {
            versions.sort_by_key(order);
            // Two regions may have restored the same write.
            versions.dedup_by(|a, b| (a.at, &a.written) == (b.at, &b.written));
            return versions.into_iter().cloned().collect();
        }
        Policy::Highest => versions.into_iter().max_by(|a, b| compare(a, b)),
        Policy::Lowest => versions.into_iter().min_by(|a, b| compare(a, b)),
        Policy::Prefer(region) => {
            let rank = |it: &&Version| (it.dot.source.origin == region, it.at, it.dot);
            versions.into_iter().max_by_key(rank)
        }
    };
    chosen.cloned().into_iter().collect()
}

/// Compares contents as numbers if both are, or else byte by byte; then by time, so that no two
/// writes are equal.
fn compare(a: &Version, b: &Version) -> std::cmp::Ordering {
    fn number(version: &Version) -> Option<f64> {
        std::str::from_utf8(&version.written.bytes).ok()?.trim().parse().ok()
    }
    fn order(version: &Version) -> (Hlc, Dot) {
        (version.at, version.dot)
    }
    let contents = match (number(a), number(b)) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        (None, None) => a.written.bytes.cmp(&b.written.bytes),
        // Not transitive otherwise: every number stands below everything else.
        (Some(_), None) => std::cmp::Ordering::Less,
        (None, Some(_)) => std::cmp::Ordering::Greater,
    };
    contents.then_with(|| order(a).cmp(&order(b)))
}
