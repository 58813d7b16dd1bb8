//! Watching: the changes of a dataset after a position, each once, in any region.
//! Must not keep anything of a watcher: its position says all.

use bytes::Bytes;
use photon_state::{Dot, Op, PlacementId, Record, Seen};

use super::changes::Changed;
use super::declare::reply;
use super::refusal::DataRefusal;
use super::write::check_bound;
use super::{
    Change, DATA, Data, DataCommand, DataReply, DatasetSpec, data_key, is_guest, split_key,
};
use crate::contract::Ticket;
use crate::desk::Bell;
use crate::refusal::Refusal;
use crate::region::Region;
use crate::verdict::{Patience, Verdict};

impl Change {
    /// Returns about how many bytes it takes in a reply.
    #[must_use]
    pub fn weight(&self) -> usize {
        128 + self.key.len() + self.record.as_ref().map_or(0, super::Shown::weight)
    }
}

impl Data {
    /// Returns how many bytes of changes are kept for watchers.
    pub(super) fn changes_bytes(&self) -> usize {
        self.changes.bytes()
    }
}

impl Region {
    /// Changes in one reply; the watcher asks for the rest.
    const CHANGES_MAX: usize = 256;
    /// Bytes of changes in one reply, short of one change that is larger.
    const CHANGE_BYTES_MAX: usize = 1 << 20;
    /// How long a watcher that another region has handed on waits at most: it asks again.
    const GUEST_WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(5);

    pub(super) fn watch_records(
        &mut self,
        ticket: Ticket,
        command: &DataCommand,
        patience: Patience,
    ) -> Result<Verdict, Refusal> {
        let DataCommand::Watch { dataset, prefix, spot, position, wait } = command else {
            unreachable!("the caller has matched")
        };
        let spec = self.dataset(dataset)?;
        check_bound(Some(prefix))?;
        let (placements, from) = self.placements_here(&spec, prefix, spot.as_ref())?;
        self.check_told(ticket, &spec, &placements)?;
        if from != self.config.region {
            return self.hand_on(ticket, from, command, *wait);
        }
        placements.iter().try_for_each(|it| self.check_guest(ticket, &spec, *it))?;
        let Some(position) = position else {
            let (append, position) = self.begin_of_watch(&placements);
            return Ok(reply(append, DataReply::Changes { changes: Vec::new(), position }));
        };
        let mut position = position.clone();
        let (append, changes) = self.changes_after(&spec, &placements, prefix, &mut position)?;
        let wait = if is_guest(ticket) { (*wait).min(Self::GUEST_WAIT_MAX) } else { *wait };
        let until = patience.until(self.now, wait);
        if changes.is_empty() && self.now.mono < until {
            return Ok(Verdict::Wait(Bell::Dataset(dataset.clone()), until));
        }
        #[cfg(feature = "planted-bugs")]
        let is_early = self.planted == Some(crate::PlantedBug::WatchBeforeDurable);
        #[cfg(feature = "planted-bugs")]
        let append = if is_early { 0 } else { append };
        Ok(reply(append, DataReply::Changes { changes, position }))
    }

    /// Returns where a watch of some placements begins, and the append that must be durable first:
    /// what a peer's state stands for as a whole is not told change by change.
    fn begin_of_watch(&self, placements: &[PlacementId]) -> (u64, Seen) {
        let (mut append, mut position) = (0, self.durable_of(placements));
        for (stream, durable) in self.durable_of(placements).iter() {
            let skipped = self.data.changes.skipped(stream);
            if durable < skipped {
                append = self.appended();
                position.raise(*stream, skipped);
            }
        }
        (append, position)
    }

    /// Returns how far the streams of some placements are durable here.
    pub(super) fn durable_of(&self, placements: &[PlacementId]) -> Seen {
        let streams = self.streams.iter().filter(|(it, _)| placements.contains(&it.placement));
        streams.map(|(stream, it)| (*stream, it.durable)).collect()
    }

    /// Returns the durable changes after a position, and moves it behind them; with the append that
    /// must be durable first, because a record may hold more than what it is told for.
    fn changes_after(
        &self,
        spec: &DatasetSpec,
        placements: &[PlacementId],
        prefix: &Bytes,
        position: &mut Seen,
    ) -> Result<(u64, Vec<Change>), Refusal> {
        let begin = data_key(&spec.name, prefix);
        let (mut append, mut bytes) = (0, 0);
        let mut changes: Vec<Change> = Vec::new();
        for (stream, durable) in self.durable_of(placements).iter() {
            let known = (position.of(stream), durable);
            let all = self.data.changes.after(&spec.name, *stream, known);
            for Changed { seq, at, key, .. } in all.ok_or(DataRefusal::PositionTooOld)? {
                if Self::CHANGES_MAX <= changes.len() || Self::CHANGE_BYTES_MAX <= bytes {
                    return Ok((append, changes));
                }
                position.raise(*stream, *seq);
                if !key.as_bytes().starts_with(begin.as_bytes()) {
                    continue;
                }
                let (placement, dataset) = (stream.placement, DATA);
                let record = Record { placement, dataset, key: key.clone() };
                append = append.max(self.data.append_of(&record));
                let mut record = self.show_record(self.now, spec, &record);
                if spec.rule.is_by_record() && 1 < placements.len() {
                    // What has moved is not gone, if it has moved to where the watcher looks.
                    let name_bytes = 1 + spec.name.as_str().len();
                    let key = &key.as_bytes()[name_bytes..];
                    append = append.max(self.append_of_all(spec, key));
                    let live = self.lives_here(self.now, spec, key);
                    record = live.into_iter().next().or(record);
                }
                bytes += record.as_ref().map_or(64, super::Shown::weight);
                let key = Bytes::copy_from_slice(&key.as_bytes()[1 + spec.name.as_str().len()..]);
                let (dot, position) =
                    (Dot { source: stream.source(), seq: *seq }, position.clone());
                changes.push(Change { key, dot, at: *at, record, position });
            }
            position.raise(*stream, durable);
        }
        Ok((append, changes))
    }

    /// Takes note of a change whose effect came with a part of a peer's state: watchers hear of it
    /// where it stands in its stream. Append 0 means that it was replayed.
    pub(crate) fn index_covered(&mut self, op: &Op, append: u64) {
        let is_update = op.dataset == DATA && matches!(op.change, photon_state::Change::Update(_));
        let Some((name, _)) = split_key(&op.key).filter(|_| is_update) else { return };
        self.data.changes.note(&name, op);
        if append != 0 {
            self.data.unsynced_order.push_back((append, op.record()));
        }
    }

    /// Lets watchers hear of what has changed since they were rung last.
    pub(crate) fn ring_watchers(&mut self) {
        if self.data.dirty.is_empty() || self.now.mono < self.data.rung + Data::RING_EVERY {
            return;
        }
        self.data.rung = self.now.mono;
        for name in std::mem::take(&mut self.data.dirty) {
            self.ring(&Bell::Dataset(name));
        }
    }
}
