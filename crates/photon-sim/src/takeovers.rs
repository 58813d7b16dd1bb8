//! What homes had written, and from where later ones went on: that no two decide about one task,
//! and how often a task was set back.
//! Must not know what clients were told.

use std::collections::BTreeMap;

use photon_region::{Config, Region, Shard, TaskId, placement_tag};
use photon_state::{Op, RegionId};
use rustc_hash::FxHashMap;

use crate::disk::event_of;
use crate::promises::{Broken, Promise};

/// A shard, by the tag of its placement.
type Place = (u16, Shard);

/// What homes had written of each task, and where later ones stood when they took over.
#[derive(Debug, Default)]
pub(crate) struct Takeovers {
    /// The first and the last generation that was written under each epoch.
    written: FxHashMap<TaskId, BTreeMap<u32, (u64, u64)>>,
    /// Under which epochs each shard was taken over, by whom.
    taken: FxHashMap<Place, BTreeMap<u32, RegionId>>,
    /// Up to which generation a task was known to whoever took it over under an epoch.
    known: FxHashMap<(TaskId, u32), u64>,
}

impl Takeovers {
    /// Takes note of what a region writes. What it has taken over, it writes into its log. Whoever
    /// writes more than a submission when a later home has taken over decides beside it.
    pub(crate) fn note(
        &mut self,
        config: &Config,
        machine: &Region,
        op: &Op,
    ) -> Result<(), Broken> {
        let region = config.region;
        if op.stream.is_local() {
            self.note_taken(region, machine);
        }
        let Some((task, (generation, epoch))) = event_of(op) else { return Ok(()) };
        // What an earlier life of it had written comes back from others.
        let is_own = op.stream.incarnation == config.incarnation;
        if op.stream.origin == region && is_own {
            let of = self.taken.get(&(task.placement_tag(), task.shard()));
            let later = of.and_then(|it| it.last_key_value()).filter(|(it, _)| epoch < **it);
            let is_alone = later.is_none() || generation == 1;
            Promise::OneEnding.holds(is_alone, || {
                format!(
                    "{region} wrote generation {generation} of task {task} under epoch {epoch}; \
                     the last home is {later:?}"
                )
            })?;
            let of = self.written.entry(task).or_default();
            let (_, last) = of.entry(epoch).or_insert((generation, generation));
            *last = generation.max(*last);
        }
        Ok(())
    }

    fn note_taken(&mut self, region: RegionId, machine: &Region) {
        let mut new: FxHashMap<Place, u32> = FxHashMap::default();
        for (placement, shard, epoch) in machine.taken_over() {
            let place = (placement_tag(placement), shard);
            let of = self.taken.entry(place).or_default();
            // A home that goes on under its epoch in another life knows all that it wrote.
            if of.insert(epoch, region).is_none() {
                new.insert(place, epoch);
            }
        }
        if new.is_empty() {
            return;
        }
        for (task, generation) in machine.generations() {
            if let Some(epoch) = new.get(&(task.placement_tag(), task.shard())) {
                self.known.insert((task, *epoch), generation);
            }
        }
    }

    /// Returns how often a task may have been set back. A home that went on from before something
    /// that an earlier one had written answers from before it; once that has come, from after it.
    pub(crate) fn setbacks(&self, task: TaskId) -> u32 {
        let Some(written) = self.written.get(&task) else { return 0 };
        let taken = self.taken.get(&(task.placement_tag(), task.shard()));
        let epochs = taken.into_iter().flat_map(BTreeMap::keys);
        let is_short = |epoch: &&u32| {
            // It may have written more of it in the same step.
            let own = written.get(epoch).map_or(u64::MAX, |(first, _)| first - 1);
            let known = self.known.get(&(task, **epoch)).map_or(0, |it| own.min(*it));
            written.range(..**epoch).any(|(_, (_, last))| known < *last)
        };
        2 * u32::try_from(epochs.filter(is_short).count()).expect("a home moves a few times")
    }
}
