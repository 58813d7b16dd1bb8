//! Takes in copies of records that move here, at the record's home in the new placement.
//! Must not take in the same copy twice, whoever has crashed meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use photon_state::crdt::{Delta, Field, FieldChange, Shape, Value, Version};
use photon_state::{Change, Dot, Hlc, PlacementId, Record, Seen, Update};

use super::{Adopt, Adoption, MOVES, Moved, Tells, move_key, record_of};
use crate::codec::encode_adoption;
use crate::contract::Ticket;
use crate::data::declare::reply;
use crate::data::refusal::DataRefusal;
use crate::data::write::check_key;
use crate::data::{DATA, DataCommand, DataReply, DatasetSpec, Pending, WriteLevel, Written};
use crate::home::check_size;
use crate::refusal::{Large, Refusal};
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
        if adopt.content == Moved::Over {
            return self.forget_adoption(adopt, patience.until(self.now, *wait));
        }
        let record = record_of(&adopt.dataset, to, &adopt.key);
        // Of two moves of one record the older is carried out first, or they would never end.
        let away = self.data.moves.open.get(&record);
        if let Some((dataset, id)) = away.filter(|it| it.1 < adopt.id) {
            let to = self.data.moves.all[&(dataset.clone(), *id)].receipt.to;
            return Err(DataRefusal::RecordMoves { to }.into());
        }
        // A note of what it has taken in may be in one region alone, if its log was lost.
        let until = patience.until(self.now, *wait);
        if let Some(verdict) = self.await_complete(to, until)? {
            return Ok(verdict);
        }
        let known = self.data.moves.adopted.get(&(to, adopt.id)).map(|(_, it)| it);
        let last = match known.filter(|it| adopt.round <= it.round) {
            Some(known) if !self.is_void(known, to) => known.last,
            // Every region had it before the next one was asked for.
            Some(known) if adopt.round < known.round => Dot { source: self.source(), seq: 0 },
            Some(_) | None => {
                self.check_copy(&spec, &record, &adopt.content)?;
                self.take_copy(&record, adopt)?
            }
        };
        let marks = vec![(last.source.stream(to), last.seq)];
        let members = self.config.placements[&to].len();
        let session: Seen = marks.iter().copied().collect();
        let (records, region) = (Vec::new(), self.config.region);
        let written = Written { records, region, durable_in: 1, members, session };
        let (append, level) = (self.appended(), WriteLevel::Strong);
        Ok(Verdict::Level(Box::new(Pending { marks, append, level, written, reply: None, until })))
    }

    /// Lets go of what was noted of a move: nobody asks for a copy of it any more.
    fn forget_adoption(&mut self, adopt: &Adopt, until: Duration) -> Result<Verdict, Refusal> {
        if let Some(verdict) = self.await_complete(adopt.to, until)? {
            return Ok(verdict);
        }
        if self.data.moves.adopted.contains_key(&(adopt.to, adopt.id)) {
            self.check_disk()?;
            let key = move_key(&adopt.dataset, adopt.id, Tells::Adoption);
            self.write(adopt.to, MOVES, key, Change::Delete);
        }
        let (records, region, session) = (Vec::new(), self.config.region, Seen::default());
        let members = self.config.placements[&adopt.to].len();
        let written = Written { records, region, durable_in: 1, members, session };
        Ok(reply(self.appended(), DataReply::Written(written)))
    }

    /// Checks that a copy can be of the dataset: it comes from a peer.
    fn check_copy(
        &self,
        spec: &DatasetSpec,
        record: &Record,
        content: &Moved,
    ) -> Result<(), Refusal> {
        let shape = match content {
            Moved::Fields(_) => Shape::Fields,
            Moved::Sum(_) | Moved::Over => Shape::Counter,
        };
        if shape != spec.kind.shape() {
            let why = DataRefusal::MISFIT;
            return Err(DataRefusal::Senseless { field: "request", why }.into());
        }
        let Moved::Fields(versions) = content else { return Ok(()) };
        let held = self.store.state(record, Shape::Fields);
        let held_fields = match held.as_deref() {
            Some(Value::Fields(fields)) => fields.iter().map(|(field, _)| field).collect(),
            Some(Value::Counter(_) | Value::Escrow(_)) | None => BTreeSet::new(),
        };
        let fields: BTreeSet<&Field> = versions.iter().map(|(field, _)| field).collect();
        let fields = fields.union(&held_fields).count();
        check_size(Large::Fields, fields, self.config.limits.fields_max)?;
        let bytes: usize = versions.iter().map(|(a, it)| a.len() + it.written.bytes.len()).sum();
        let held = held.as_ref().map_or(0, |it| it.weight());
        check_size(Large::Content, held + bytes, Self::MOVED_BYTES_MAX)
    }

    /// Writes a copy, and before it that it was taken in; returns the last op.
    fn take_copy(&mut self, record: &Record, adopt: &Adopt) -> Result<Dot, Refusal> {
        self.check_disk()?;
        let deltas: Vec<(Option<Hlc>, Delta)> = match &adopt.content {
            Moved::Sum(sum) => vec![(None, Delta::Add(*sum))],
            Moved::Fields(versions) => as_written(versions),
            Moved::Over => Vec::new(),
        };
        let bytes: usize = deltas.iter().map(|(_, it)| it.weight()).sum();
        self.check_bytes(bytes)?;
        // Whoever writes after this is later than all of it.
        let latest = deltas.iter().filter_map(|(at, _)| *at).max();
        if latest.is_some_and(|at| !self.observe(at)) {
            self.counters.skewed += 1;
            let why = DataRefusal::MISFIT; // Its clock runs ahead: it asks again.
            return Err(DataRefusal::Senseless { field: "request", why }.into());
        }
        let stream = self.own_stream(record.placement);
        let first = self.store.seen().of(&stream) + 2;
        let last = Dot { source: self.source(), seq: first - 1 + deltas.len() as u64 };
        let adoption = Adoption { round: adopt.round, last };
        let key = move_key(&adopt.dataset, adopt.id, Tells::Adoption);
        self.write(record.placement, MOVES, key, Change::Put(encode_adoption(&adoption)));
        let needs = self.needs_of(&adopt.needs, stream);
        for (at, delta) in deltas {
            let change = Change::Update(Box::new(Update { delta, needs: needs.clone() }));
            let (placement, key) = (record.placement, record.key.clone());
            match at {
                Some(at) => self.write_as_of(at, placement, DATA, key, change),
                None => self.write(placement, DATA, key, change),
            };
        }
        assert_eq!(self.store.seen().of(&stream), last.seq, "the copy ends where it was said to");
        Ok(last)
    }

    /// Whether a copy that was noted here is nowhere, although all is here that others had.
    fn is_void(&self, it: &Adoption, to: PlacementId) -> bool {
        let is_own = it.last.source.origin == self.config.region;
        is_own && !it.last.is_in(self.store.seen(), to)
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
            let before = Adoption { round, last };
            self.write(placement, MOVES, key, Change::Put(encode_adoption(&before)));
        }
    }
}

/// Returns the changes that write what is copied, each as of the time at which it was written
/// first: who compares it with what others have written must not take it for younger.
fn as_written(copied: &[(Field, Version)]) -> Vec<(Option<Hlc>, Delta)> {
    let mut all: BTreeMap<(Hlc, Dot), Vec<FieldChange>> = BTreeMap::new();
    for (field, it) in copied {
        let (field, written) = (field.clone(), Some(it.written.clone()));
        let change = FieldChange { field, replaces: Vec::new(), written };
        all.entry((it.at, it.dot)).or_default().push(change);
    }
    all.into_iter().map(|((at, _), changes)| (Some(at), Delta::Fields(changes))).collect()
}
