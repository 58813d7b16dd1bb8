//! What a client may ask about moves: move a record, show receipts, bound the log now.
//! Must not carry a move out: that is `run`.

use std::time::Duration;

use bytes::Bytes;
use photon_state::{PlacementId, Seen};
use sha2::{Digest as _, Sha256};

use super::{Move, MoveId, MoveState, Moves, Receipt, Tells, move_key, record_of};
use crate::contract::Ticket;
use crate::data::declare::reply;
use crate::data::refusal::DataRefusal;
use crate::data::write::check_key;
use crate::data::{DataCommand, DataReply, DatasetName, DatasetSpec, Kind, Spot};
use crate::desk::Bell;
use crate::home::check_size;
use crate::refusal::{Large, Queue, Refusal};
use crate::region::Region;
use crate::verdict::{Patience, Verdict};

impl Region {
    /// Receipts in one reply.
    const RECEIPTS_MAX: usize = 1_000;

    /// Moves a record to another placement, or says how far that is.
    pub(crate) fn move_record(
        &mut self,
        ticket: Ticket,
        command: &DataCommand,
        patience: Patience,
    ) -> Result<Verdict, Refusal> {
        let DataCommand::Move { dataset, key, to, from, asked_in, wait } = command else {
            unreachable!("the caller has matched")
        };
        let spec = self.dataset(dataset)?;
        check_key(key)?;
        let senseless = |field, why| Err(DataRefusal::Senseless { field, why }.into());
        if !spec.rule.is_by_record() {
            return senseless("dataset", "it does not place its records one by one");
        }
        if spec.kind == Kind::BoundedCounter {
            return senseless("dataset", "the rights of a bounded counter belong to regions");
        }
        let to = self.said_place(&spec, key, Some(to))?.expect("it was said");
        let from = self.said_place(&spec, key, from.as_ref())?;
        if from == Some(to) {
            return senseless("from", "it is where the record shall live");
        }
        let from = match from {
            Some(from) => from,
            None => match self.source_of(&spec, key, to) {
                Ok(from) => from,
                Err(refusal) => return self.repeat_receipt((&spec, key), None, to, refusal),
            },
        };
        self.answers_for(&spec, from)?; // It may have to be refused.
        let home = self.home_of_record(&spec, from, key);
        if home != self.config.region {
            let mut command = command.clone();
            if let DataCommand::Move { to: said_to, from: said_from, asked_in, .. } = &mut command {
                *said_to = Spot::Placement(to);
                *said_from = Some(Spot::Placement(from));
                *asked_in = asked_in.or(Some(self.config.region));
            }
            return self.hand_on(ticket, home, &command, *wait);
        }
        self.check_guest(ticket, &spec, from)?;
        let until = patience.until(self.now, *wait);
        // It may have decided to move it already, in a log that is lost.
        if let Some(verdict) = self.await_complete(from, until)? {
            return Ok(verdict);
        }
        let asked_in = asked_in.unwrap_or(self.config.region);
        let id = match self.open_or_begin((&spec, key), (from, to), asked_in)? {
            Ok(id) => id,
            Err(refusal) => return self.repeat_receipt((&spec, key), Some(from), to, refusal),
        };
        let held = &self.data.moves.all[&(dataset.clone(), id)];
        if held.receipt.state != MoveState::Done && self.now.mono < until {
            return Ok(Verdict::Wait(Bell::Move(id), until));
        }
        let receipt = Box::new(self.receipt(held));
        Ok(reply(self.appended(), DataReply::Moved(receipt)))
    }

    /// Returns where a record lives here that shall live elsewhere.
    fn source_of(
        &self,
        spec: &DatasetSpec,
        key: &[u8],
        to: PlacementId,
    ) -> Result<PlacementId, Refusal> {
        let here = self.lives_here(self.now, spec, key);
        let other = here.iter().map(|it| it.placement).find(|it| *it != to);
        let moving = self.data.moves.open.iter().find(|(record, it)| {
            **record == record_of(&spec.name, record.placement, key) && it.0 == spec.name
        });
        let moving = moving.map(|(record, _)| record.placement);
        other.or(moving).ok_or_else(|| {
            let is_there = here.iter().any(|it| it.placement == to);
            let placement = if is_there { Some(to) } else { None };
            DataRefusal::NothingToMove { placement }.into()
        })
    }

    /// Answers with the receipt of a move that is over, for one who asks again; or refuses.
    fn repeat_receipt(
        &self,
        (spec, key): (&DatasetSpec, &[u8]),
        from: Option<PlacementId>,
        to: PlacementId,
        refusal: Refusal,
    ) -> Result<Verdict, Refusal> {
        let first = (spec.name.clone(), MoveId(0));
        let all = self.data.moves.all.range(first..).rev().map(|(_, it)| it);
        let mut all = all.filter(|it| it.receipt.dataset == spec.name);
        let found = all.find(|it| {
            let receipt = &it.receipt;
            let is_about_key = || match &receipt.key {
                Some(it) => it == key,
                None => receipt.key_digest == key_digest(receipt.id, &spec.name, key),
            };
            receipt.to == to && from.is_none_or(|from| receipt.from == from) && is_about_key()
        });
        let found = found.ok_or(refusal)?;
        Ok(reply(self.appended(), DataReply::Moved(Box::new(self.receipt(found)))))
    }

    /// Returns the move of a record that is under way, or begins one; or says that there is
    /// nothing to move.
    fn open_or_begin(
        &mut self,
        (spec, key): (&DatasetSpec, &Bytes),
        (from, to): (PlacementId, PlacementId),
        asked_in: photon_state::RegionId,
    ) -> Result<Result<MoveId, Refusal>, Refusal> {
        let record = record_of(&spec.name, from, key);
        if let Some((dataset, id)) = self.data.moves.open.get(&record) {
            let under_way = self.data.moves.all[&(dataset.clone(), *id)].receipt.to;
            if under_way != to {
                return Err(DataRefusal::RecordMoves { to: under_way }.into());
            }
            return Ok(Ok(*id));
        }
        let Some(taken) = self.snapshot(spec, &record) else {
            return Ok(Err(DataRefusal::NothingToMove { placement: Some(from) }.into()));
        };
        let bytes = self.store.state(&record, spec.kind.shape()).map_or(0, |it| it.weight());
        check_size(Large::Content, bytes, Self::MOVED_BYTES_MAX)?;
        self.check_disk()?;
        self.make_room()?;
        let id = MoveId::new(self.now.wall_ms, self.rng.u64(..), self.rng.u64(..));
        let content_digest = (!spec.sensitive_keys).then(|| self.content_digest(id, &record));
        let receipt = Receipt {
            id,
            dataset: spec.name.clone(),
            key: Some(key.clone()),
            key_digest: key_digest(id, &spec.name, key),
            content_digest,
            from,
            to,
            asked_in,
            decided_in: self.config.region,
            begun_ms: self.now.wall_ms,
            done_ms: None,
            state: MoveState::Copying,
            copies: Vec::new(),
            removals: Vec::new(),
            must_forget: self.members_only_of(from, to),
            purged: std::collections::BTreeMap::new(),
        };
        let begun = Move { receipt, round: 1, taken, end: Seen::default() };
        self.write_move(&begun);
        self.run_move(id);
        Ok(Ok(id))
    }

    /// Forgets the oldest receipt of this region that is over, if there are too many.
    fn make_room(&mut self) -> Result<(), Refusal> {
        let here = self.config.region;
        let own = self.data.moves.all.values().filter(|it| it.receipt.decided_in == here);
        if own.clone().count() < Moves::KEPT_MAX {
            return Ok(());
        }
        let oldest = own.filter(|it| it.receipt.state == MoveState::Done);
        let oldest = oldest.min_by_key(|it| it.receipt.id);
        let Some(receipt) = oldest.map(|it| it.receipt.clone()) else {
            let (max, retry_after) = (Moves::KEPT_MAX as u64, Duration::from_secs(60));
            return Err(Refusal::Overloaded { what: Queue::InFlight, max, retry_after });
        };
        let key = move_key(&receipt.dataset, receipt.id, Tells::Move);
        self.write(receipt.from, super::MOVES, key, photon_state::Change::Delete);
        Ok(())
    }

    fn content_digest(&self, id: MoveId, record: &photon_state::Record) -> [u8; 32] {
        use photon_state::crdt::{Shape, Value};
        let mut hash = Sha256::new();
        let mut feed = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        feed(&id.to_bytes());
        if let Some(Value::Fields(fields)) = self.store.state(record, Shape::Fields).as_deref() {
            for (field, all) in fields.iter() {
                all.iter().for_each(|(_, it)| {
                    feed(field);
                    feed(&it.written.bytes);
                });
            }
        }
        let state = self.store.state(record, Shape::Counter);
        if let Some(Value::Counter(counter)) = state.as_deref() {
            feed(&counter.sum().to_le_bytes());
        }
        hash.finalize().into()
    }

    /// Bounds the log as soon as may be.
    pub(crate) fn compact_soon(&mut self) -> Verdict {
        self.want_state();
        reply(0, DataReply::Compacting)
    }

    /// Lists the receipts of a dataset that are known here, the youngest first.
    pub(crate) fn show_receipts(
        &self,
        dataset: &DatasetName,
        (id, before, limit): (Option<MoveId>, Option<MoveId>, usize),
    ) -> Result<Verdict, Refusal> {
        self.dataset(dataset)?;
        let first = (dataset.clone(), MoveId(0));
        let end = (dataset.clone(), before.unwrap_or(MoveId(u128::MAX)));
        let all = self.data.moves.all.range(first..end).rev().map(|(_, it)| it);
        let mut all = all.filter(|it| id.is_none_or(|id| it.receipt.id == id));
        let limit = limit.clamp(1, Self::RECEIPTS_MAX);
        let receipts: Vec<Receipt> = all.by_ref().take(limit).map(|it| self.receipt(it)).collect();
        let more = all.next().is_some();
        if id.is_some() && receipts.is_empty() {
            return Err(DataRefusal::NoSuchMove(dataset.clone()).into());
        }
        Ok(reply(self.appended(), DataReply::Receipts { receipts, more }))
    }
}

/// Returns what tells whoever knows a key that a receipt is about it.
fn key_digest(id: MoveId, dataset: &DatasetName, key: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(id.to_bytes());
    hash.update([u8::try_from(dataset.as_str().len()).expect("a name has at most 63 bytes")]);
    hash.update(dataset.as_str());
    hash.update(key);
    hash.finalize().into()
}
