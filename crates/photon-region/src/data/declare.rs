//! The list of datasets: declare, change, show, forget, and move a master.
//! Must not look into records.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use photon_state::crdt::Shape;
use photon_state::{Change, Key, PlacementId, Record, RegionId, StreamId};

use super::refusal::DataRefusal;
use super::{
    DATA, DATASETS, DataCommand, DataReply, DatasetName, DatasetSpec, Entry, Kind, Mode, Policy,
    data_key,
};
use crate::codec::{decode_dataset, encode_dataset};
use crate::contract::{Reply, Ticket};
use crate::desk::Bell;
use crate::refusal::{Queue, Refusal};
use crate::region::Region;
use crate::verdict::{Patience, Verdict};

fn dataset_record(name: &DatasetName) -> Record {
    let key = Key::new(name.as_str().as_bytes());
    Record { placement: PlacementId::global(), dataset: DATASETS, key }
}

pub(super) fn reply(append: u64, reply: DataReply) -> Verdict {
    Verdict::Reply(append, Ok(Reply::Data(Box::new(reply))))
}

fn senseless(field: &'static str, why: &'static str) -> Refusal {
    DataRefusal::Senseless { field, why }.into()
}

impl Region {
    /// Returns a dataset that is known here.
    pub(super) fn dataset(&self, name: &DatasetName) -> Result<Arc<DatasetSpec>, Refusal> {
        let entry = self.data.datasets.get(name);
        entry
            .map(|it| it.spec.clone())
            .ok_or_else(|| DataRefusal::NoSuchDataset(name.clone()).into())
    }

    /// Returns the placements that a dataset's records may have.
    pub(super) fn placements_of(&self, spec: &DatasetSpec) -> BTreeSet<PlacementId> {
        spec.rule.placements().collect()
    }

    pub(super) fn show_dataset(&self, name: &DatasetName) -> Result<Verdict, Refusal> {
        let spec = self.dataset(name)?;
        Ok(reply(self.data.datasets[name].append, DataReply::Dataset(spec)))
    }

    pub(super) fn list_datasets(&self) -> Result<Verdict, Refusal> {
        let all = self.data.datasets.values();
        let append = all.clone().map(|it| it.append).max().unwrap_or(0);
        Ok(reply(append, DataReply::Datasets(all.map(|it| it.spec.clone()).collect())))
    }

    pub(super) fn show_conflicts(&self, name: &DatasetName) -> Result<Verdict, Refusal> {
        self.dataset(name)?;
        let conflicts = self.data.datasets[name].tally.shown.clone();
        Ok(reply(self.appended(), DataReply::Conflicts(conflicts)))
    }

    pub(super) fn declare(&mut self, spec: &Arc<DatasetSpec>) -> Result<Verdict, Refusal> {
        self.check_spec(spec)?;
        if let Some(entry) = self.data.datasets.get(&spec.name) {
            if entry.spec == *spec {
                return self.show_dataset(&spec.name);
            }
            let (held, wanted) = (&entry.spec, spec);
            let otherwise =
                |what| DataRefusal::DeclaredOtherwise { dataset: spec.name.clone(), what }.into();
            if entry.is_configured {
                return Err(otherwise("definition in the configuration"));
            }
            if held.kind != wanted.kind {
                return Err(otherwise("type"));
            }
            if held.rule != wanted.rule {
                return Err(otherwise("placement"));
            }
            if held.mode != wanted.mode {
                return Err(otherwise("mode"));
            }
            // Whoever declares it anew might undo a move of the master that it has not heard of.
            if let Some(master) = held.mode.master()
                && master != self.config.region
            {
                let dataset = spec.name.clone();
                return Err(DataRefusal::NotMaster { dataset, master }.into());
            }
        } else if self.config.limits.datasets_max <= self.data.datasets.len() {
            let (max, retry_after) =
                (self.config.limits.datasets_max as u64, Duration::from_secs(60));
            return Err(Refusal::Overloaded { what: Queue::Datasets, max, retry_after });
        }
        self.check_disk()?;
        self.write_spec(spec);
        self.show_dataset(&spec.name)
    }

    fn write_spec(&mut self, spec: &DatasetSpec) {
        let key = dataset_record(&spec.name).key;
        self.write(PlacementId::global(), DATASETS, key, Change::Put(encode_dataset(spec)));
    }

    /// Checks that a dataset makes sense on this planet.
    fn check_spec(&self, spec: &DatasetSpec) -> Result<(), Refusal> {
        let placements = self.placements_of(spec);
        if placements.is_empty() {
            return Err(senseless(
                "placement",
                "name a placement for at least one tenant or value",
            ));
        }
        for placement in &placements {
            if !self.config.placements.contains_key(placement) {
                return Err(Refusal::NoSuchPlacement(*placement));
            }
        }
        let is_member = |region: RegionId| placements.iter().all(|it| self.may_hold(region, *it));
        if spec.mode.master().is_some_and(|it| !is_member(it)) {
            return Err(senseless("master", "it must be a region of every placement"));
        }
        let has_fields = spec.kind.shape() == Shape::Fields;
        match spec.policy {
            Policy::Prefer(region) if !is_member(region) => {
                return Err(senseless("conflicts", "the region must be of every placement"));
            }
            Policy::LastWriter => {}
            Policy::KeepAll | Policy::Highest | Policy::Lowest | Policy::Prefer(_) => {
                if !has_fields {
                    return Err(senseless("conflicts", "changes of counters never conflict"));
                }
            }
        }
        if spec.kind == Kind::BoundedCounter && spec.mode.master().is_some() {
            return Err(senseless("mode", "the rights of a bounded counter belong to regions"));
        }
        if spec.ttl.is_some() && !has_fields {
            return Err(senseless("ttl", "counters do not expire"));
        }
        if spec.retention.is_some() && !has_fields {
            return Err(senseless("retention", "counters do not expire"));
        }
        if spec.retention.is_some_and(|max| spec.ttl.is_some_and(|ttl| max < ttl)) {
            return Err(senseless("ttl", "it must not be longer than the retention"));
        }
        Ok(())
    }

    pub(super) fn drop_dataset(&mut self, name: &DatasetName) -> Result<Verdict, Refusal> {
        let spec = self.dataset(name)?;
        if self.data.datasets[name].is_configured {
            let what = "definition in the configuration";
            return Err(DataRefusal::DeclaredOtherwise { dataset: name.clone(), what }.into());
        }
        for placement in self.placements_of(&spec) {
            self.check_placement(placement)?;
            let (from, shelf) = (data_key(name, b""), (placement, DATA, spec.kind.shape()));
            let first = self.store.states(shelf, Bound::Included(&from)).next();
            if first.is_some_and(|it| it.key().starts_with(from.as_bytes())) {
                return Err(DataRefusal::NotEmpty(name.clone()).into());
            }
        }
        self.check_disk()?;
        let key = dataset_record(name).key;
        let append = self.write(PlacementId::global(), DATASETS, key, Change::Delete);
        Ok(reply(append, DataReply::Dropped))
    }

    /// Follows an op that declares, changes or forgets a dataset.
    pub(crate) fn index_dataset(&mut self, name: &DatasetName) {
        let append = self.appended();
        if self.data.datasets.get(name).is_some_and(|it| it.is_configured) {
            return;
        }
        let spec = self.store.value(&dataset_record(name));
        let Some(spec) = spec.and_then(|it| decode_dataset(it).ok()) else {
            self.data.datasets.remove(name);
            self.data.changes.forget(name);
            return;
        };
        let spec = Arc::new(spec);
        match self.data.datasets.get_mut(name) {
            Some(entry) => {
                entry.moving.take_if(|_| entry.spec.mode != spec.mode);
                (entry.spec, entry.append) = (spec, append);
            }
            None => {
                self.data.datasets.insert(name.clone(), Entry::new(spec, false, append));
            }
        }
    }

    /// Makes another region the master: first it gets everything, and nobody writes meanwhile.
    pub(super) fn move_master(
        &mut self,
        ticket: Ticket,
        command: &DataCommand,
        patience: Patience,
    ) -> Result<Verdict, Refusal> {
        let DataCommand::MoveMaster { dataset, to, wait } = command else {
            unreachable!("the caller has matched")
        };
        let spec = self.dataset(dataset)?;
        let Some(master) = spec.mode.master() else {
            return Err(senseless("master", "every region of the placement writes this dataset"));
        };
        if self.data.datasets[dataset].is_configured {
            let what = "definition in the configuration";
            return Err(DataRefusal::DeclaredOtherwise { dataset: dataset.clone(), what }.into());
        }
        if master == *to {
            return self.show_dataset(dataset);
        }
        if master != self.config.region {
            return self.hand_on(ticket, master, command, *wait);
        }
        let placements = self.placements_of(&spec);
        if !placements.iter().all(|it| self.may_hold(*to, *it)) {
            return Err(senseless("master", "it must be a region of every placement"));
        }
        self.check_disk()?;
        let entry = self.data.datasets.get_mut(dataset).expect("it was found above");
        let now = self.now.mono;
        let other = entry.moving.filter(|(it, until)| it != to && now < *until);
        if let Some((to, _)) = other {
            return Err(DataRefusal::MasterMoves { dataset: dataset.clone(), to }.into());
        }
        // It ends with the wait, whatever becomes of who asked for it.
        entry.moving = Some((*to, patience.until(self.now, *wait)));
        let incarnation = self.peers.get(to).map_or(0, |peer| peer.incarnation);
        let theirs = self.peers.get(to).and_then(|peer| peer.theirs.as_ref());
        let has_all = theirs.is_some_and(|theirs| {
            let of_dataset = |stream: &StreamId| placements.contains(&stream.placement);
            let mut seen = self.store.seen().iter().filter(|(stream, _)| of_dataset(stream));
            seen.all(|(stream, seq)| {
                let is_its_own = stream.origin == *to && stream.incarnation == incarnation;
                is_its_own || seq <= theirs.of(stream)
            })
        });
        if has_all {
            let mode = match spec.mode {
                Mode::SingleMaster { elsewhere, .. } => {
                    Mode::SingleMaster { master: *to, elsewhere }
                }
                Mode::AsyncMaster { .. } | Mode::MultiMaster => Mode::AsyncMaster { master: *to },
            };
            self.write_spec(&DatasetSpec { mode, ..(*spec).clone() });
            return self.show_dataset(dataset);
        }
        let until = patience.until(self.now, *wait);
        if self.now.mono < until {
            return Ok(Verdict::Wait(Bell::Peers, until));
        }
        self.data.datasets.get_mut(dataset).expect("it was found above").moving = None;
        Err(DataRefusal::DeciderUnreachable { region: *to, was_sent: false }.into())
    }
}
