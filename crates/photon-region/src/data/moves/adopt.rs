//! Takes in copies of records that move here, at the record's home in the new placement.
//! Must not take in the same copy twice, whoever has crashed meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use photon_state::crdt::{Delta, Field, FieldChange, Shape, Value, Version};
use photon_state::{Change, Dot, Hlc, Record, Seen, Update};

use super::run::amounts;
use super::{Adopt, Adoption, MOVES, Moved, Tells, move_key, record_of};
use crate::codec::encode_adoption;
use crate::contract::Ticket;
use crate::data::refusal::DataRefusal;
use crate::data::write::check_key;
use crate::data::{DATA, DataCommand, Pending, WriteLevel, Written};
use crate::refusal::{Queue, Refusal};
use crate::region::Region;
use crate::verdict::{Patience, Verdict};

impl Region {
    /// Takes in a copy; the answer waits until every region of the placement has it durably.
    pub(crate) fn adopt_record(
        &mut self,
        ticket: Ticket,
        command: &DataCommand,
        patience: Patience,
    ) -> Result<Verdict, Refusal> {
        let DataCommand::Adopt { adopt, wait } = command else {
            unreachable!("the caller has matched")
        };
        let spec = self.dataset(&adopt.dataset)?;
        check_key(&adopt.key)?;
        let to = adopt.to;
        let is_of_rule = spec.rule.is_by_record() && spec.rule.placements().any(|it| it == to);
        if !is_of_rule || !self.config.placements.contains_key(&to) {
            return Err(Refusal::NoSuchPlacement(to));
        }
        let home = self.home_of_record(&spec, to, &adopt.key);
        if home != self.config.region {
            return self.hand_on(ticket, home, command, *wait);
        }
        let record = record_of(&adopt.dataset, to, &adopt.key);
        // Of two moves of one record the older is carried out first, or they would never end.
        let away = self.data.moves.open.get(&record);
        if let Some((dataset, id)) = away.filter(|it| it.1 < adopt.id) {
            let to = self.data.moves.all[&(dataset.clone(), *id)].receipt.to;
            return Err(DataRefusal::RecordMoves { to }.into());
        }
        let known = self.data.moves.adopted.get(&(to, adopt.id)).map(|(_, it)| it.clone());
        let last = match known {
            Some(known) if adopt.round <= known.round => known.last,
            known => {
                let is_own = |it: &Adoption| it.last.source == self.source();
                let times = known.filter(is_own).map(|it| it.times).unwrap_or_default();
                self.take_copy(&record, adopt, times)?
            }
        };
        let marks = vec![(last.source.stream(to), last.seq)];
        let members = self.config.placements[&to].len();
        let session: Seen = marks.iter().copied().collect();
        let (records, region) = (Vec::new(), self.config.region);
        let written = Written { records, region, durable_in: 1, members, session };
        let (append, level) = (self.appended(), WriteLevel::Strong);
        let until = patience.until(self.now, *wait);
        Ok(Verdict::Level(Box::new(Pending { marks, append, level, written, until })))
    }

    /// Writes a copy, and before it that it was taken in; returns the last op.
    fn take_copy(
        &mut self,
        record: &Record,
        adopt: &Adopt,
        mut times: BTreeMap<u64, Hlc>,
    ) -> Result<Dot, Refusal> {
        self.check_disk()?;
        let deltas: Vec<(Hlc, Delta)> = match &adopt.content {
            Moved::Sum(sum) => amounts(*sum).map(|by| (Hlc::default(), Delta::Add(by))).collect(),
            Moved::Fields(versions) => self.in_order(record, versions, &times),
        };
        let bytes: usize = deltas.iter().map(|(_, it)| it.weight()).sum();
        let max = self.config.limits.data_bytes_max;
        if max < self.store.value_bytes() + bytes {
            let (max, retry_after) = (max as u64, Duration::from_secs(60));
            return Err(Refusal::Overloaded { what: Queue::DataBytes, max, retry_after });
        }
        let stream = self.own_stream(record.placement);
        let first = self.store.seen().of(&stream) + 2;
        let last = Dot { source: self.source(), seq: first - 1 + deltas.len() as u64 };
        times.extend((first..).zip(deltas.iter().map(|(at, _)| *at)));
        let adoption = Adoption { round: adopt.round, last, times };
        let key = move_key(&adopt.dataset, adopt.id, Tells::Adoption);
        self.write(record.placement, MOVES, key, Change::Put(encode_adoption(&adoption)));
        let needs = self.needs_of(&adopt.needs, stream);
        for (_, delta) in deltas {
            let change = Change::Update(Box::new(Update { delta, needs: needs.clone() }));
            self.write(record.placement, DATA, record.key.clone(), change);
        }
        assert_eq!(self.store.seen().of(&stream), last.seq, "the copy ends where it was said to");
        Ok(last)
    }

    /// Returns the changes that bring writes in, so that all writes of the record stand in the
    /// order of their times: what is younger than a copy is written anew after it. The copies that
    /// were made before count as of the times at which they were written first.
    fn in_order(
        &self,
        record: &Record,
        copied: &[(Field, Version)],
        times: &BTreeMap<u64, Hlc>,
    ) -> Vec<(Hlc, Delta)> {
        let mut all: BTreeMap<(Hlc, Dot, bool), Vec<FieldChange>> = BTreeMap::new();
        let held = match self.store.state(record, Shape::Fields).as_deref() {
            Some(Value::Fields(fields)) => fields.versions().cloned().collect(),
            Some(Value::Counter(_) | Value::Escrow(_)) | None => Vec::new(),
        };
        for (field, it) in held {
            let first = times.get(&it.dot.seq).filter(|_| it.dot.source == self.source());
            let change = change_of(field, &it, vec![it.dot]);
            let at = first.copied().unwrap_or(it.at);
            all.entry((at, it.dot, false)).or_default().push(change);
        }
        for (field, it) in copied {
            let change = change_of(field.clone(), it, Vec::new());
            all.entry((it.at, it.dot, true)).or_default().push(change);
        }
        let from_first_copy = all.into_iter().skip_while(|((_, _, is_copy), _)| !is_copy);
        from_first_copy.map(|((at, ..), changes)| (at, Delta::Fields(changes))).collect()
    }

    /// Takes back what was noted of copies that a crash has undone: their numbers go to other ops.
    pub(super) fn void_lost_adoptions(&mut self) {
        let (source, seen) = (self.source(), self.store.seen().clone());
        let all = self.data.moves.adopted.iter();
        let lost = all.filter(|((placement, _), (_, it))| {
            it.last.source == source && !it.last.is_in(&seen, *placement)
        });
        let lost: Vec<_> =
            lost.map(|(at, (dataset, it))| (*at, dataset.clone(), it.clone())).collect();
        for ((placement, id), dataset, it) in lost {
            let key = move_key(&dataset, id, Tells::Adoption);
            // Copies before it are there: they were durable before it was asked for.
            let (round, last) = (it.round.saturating_sub(1), Dot { source, seq: 0 });
            let before = Adoption { round, last, times: it.times };
            self.write(placement, MOVES, key, Change::Put(encode_adoption(&before)));
        }
    }
}

fn change_of(field: Field, version: &Version, replaces: Vec<Dot>) -> FieldChange {
    FieldChange { field, replaces, written: Some(version.written.clone()) }
}
