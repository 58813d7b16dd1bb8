//! Watching: the changes of a dataset after a position, each once, in any region.
//! Must not keep anything of a watcher: its position says all.

use bytes::Bytes;
use photon_state::{Op, PlacementId, Seen, StreamId};

use super::declare::reply;
use super::refusal::DataRefusal;
use super::{Change, DATA, Data, DataCommand, DataReply, DatasetSpec, data_key, is_guest};
use crate::contract::Ticket;
use crate::desk::Bell;
use crate::refusal::Refusal;
use crate::region::Region;
use crate::streams::Tail;
use crate::verdict::{Patience, Verdict};

impl Region {
    /// Changes in one reply; the watcher asks for the rest.
    const CHANGES_MAX: usize = 256;
    /// Bytes of changes in one reply, short of one change that is larger.
    const CHANGE_BYTES_MAX: usize = 1 << 20;
    /// Ops that are looked at for one reply.
    const LOOKED_AT_MAX: usize = 8_192;
    /// How long a watcher that another region has handed on waits at most: it asks again.
    const GUEST_WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(5);

    pub(super) fn watch_records(
        &mut self,
        ticket: Ticket,
        command: &DataCommand,
        patience: Patience,
    ) -> Result<Verdict, Refusal> {
        let DataCommand::Watch { dataset, prefix, position, wait } = command else {
            unreachable!("the caller has matched")
        };
        let spec = self.dataset(dataset)?;
        let (placements, from) = self.placements_here(&spec, prefix)?;
        if from != self.config.region {
            return self.hand_on(ticket, from, command, *wait);
        }
        let Some(position) = position else {
            let position = self.durable_of(&placements);
            return Ok(reply(0, DataReply::Changes { changes: Vec::new(), position }));
        };
        let mut position = position.clone();
        let changes = self.changes_after(&spec, &placements, prefix, &mut position)?;
        let wait = if is_guest(ticket) { (*wait).min(Self::GUEST_WAIT_MAX) } else { *wait };
        let until = patience.until(self.now, wait);
        if changes.is_empty() && self.now.mono < until {
            return Ok(Verdict::Wait(Bell::Dataset(dataset.clone()), until));
        }
        Ok(reply(0, DataReply::Changes { changes, position }))
    }

    /// Returns how far the streams of some placements are durable here.
    fn durable_of(&self, placements: &[PlacementId]) -> Seen {
        let streams = self.streams.iter().filter(|(it, _)| placements.contains(&it.placement));
        streams.map(|(stream, it)| (*stream, it.durable)).collect()
    }

    /// Returns the changes after a position, and moves it behind them.
    fn changes_after(
        &self,
        spec: &DatasetSpec,
        placements: &[PlacementId],
        prefix: &Bytes,
        position: &mut Seen,
    ) -> Result<Vec<Change>, Refusal> {
        let begin = data_key(&spec.name, prefix);
        let is_wanted = |op: &Op| {
            let is_update = matches!(op.change, photon_state::Change::Update(_));
            op.dataset == DATA && is_update && op.key.as_bytes().starts_with(begin.as_bytes())
        };
        let (mut looked_at, mut bytes) = (0, 0);
        let mut changes: Vec<Change> = Vec::new();
        let streams: Vec<StreamId> =
            self.durable_of(placements).iter().map(|(it, _)| *it).collect();
        for stream in streams {
            let held = self.streams.get(&stream).expect("it was just listed");
            let Tail::Here(ops) = held.after(position.of(&stream)) else {
                return Err(DataRefusal::PositionTooOld.into());
            };
            for op in ops {
                let is_full = Self::CHANGES_MAX <= changes.len() || Self::CHANGE_BYTES_MAX <= bytes;
                if is_full || Self::LOOKED_AT_MAX <= looked_at {
                    return Ok(changes);
                }
                looked_at += 1;
                position.raise(stream, op.seq);
                if !is_wanted(op) {
                    continue;
                }
                let record = self.show_record(spec, &op.record());
                bytes += record.as_ref().map_or(64, super::Shown::weight);
                let key =
                    Bytes::copy_from_slice(&op.key.as_bytes()[1 + spec.name.as_str().len()..]);
                let position = position.clone();
                changes.push(Change { key, dot: op.dot(), at: op.at, record, position });
            }
        }
        Ok(changes)
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
