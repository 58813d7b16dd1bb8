//! Writing records: who decides, whether it may be, and the ops that come of it.
//! Must not wait for other regions: that is `levels`.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use photon_state::crdt::{
    Delta, EscrowDelta, Field, FieldChange, Fields, Shape, Value, Version, Written as WrittenField,
};
use photon_state::{Change, PlacementId, Record, RegionId, Seen, StreamId, Update};

use super::declare::reply;
use super::place::with_places;
use super::refusal::{DataRefusal, ReadGap};
use super::{
    Content, DATA, DataCommand, DataReply, DatasetSpec, Edit, Expect, FieldEdit, KEY_BYTES_MAX,
    Kind, Mode, Outside, Pending, Shown, Write, WriteLevel, Written, is_guest,
};
use crate::contract::Ticket;
use crate::desk::Bell;
use crate::home::check_size;
use crate::refusal::{Large, Refusal};
use crate::region::Region;
use crate::verdict::{Patience, Verdict};

impl Edit {
    fn name(&self) -> &'static str {
        match self {
            Self::Put(_) => "put",
            Self::Add(_) => "add",
            Self::Fields(_) => "fields",
            Self::Replace(_) => "replace",
            Self::Delete => "delete",
        }
    }

    fn fits(&self, kind: Kind) -> bool {
        match self {
            Self::Put(_) => kind == Kind::Register,
            Self::Add(_) => matches!(kind, Kind::Counter | Kind::BoundedCounter),
            Self::Fields(_) | Self::Replace(_) => {
                matches!(kind, Kind::Set | Kind::Map | Kind::Document)
            }
            Self::Delete => kind.shape() == Shape::Fields,
        }
    }

    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Put(bytes) => bytes.len(),
            Self::Add(_) | Self::Delete => 0,
            Self::Fields(edits) => edits.iter().map(FieldEdit::weight).sum(),
            Self::Replace(fields) => fields.iter().map(|(a, b)| a.len() + b.len()).sum(),
        }
    }

    /// Whether it only makes room.
    pub(super) fn only_removes(&self) -> bool {
        match self {
            Self::Delete => true,
            Self::Fields(edits) => edits.iter().all(|it| !matches!(it, FieldEdit::Set(..))),
            Self::Replace(fields) => fields.is_empty(),
            Self::Put(_) | Self::Add(_) => false,
        }
    }
}

impl FieldEdit {
    fn weight(&self) -> usize {
        match self {
            Self::Set(field, content) => field.len() + content.len(),
            Self::Remove(field) | Self::RemoveUnder(field) => field.len(),
        }
    }
}

impl Region {
    /// Writes in one request.
    const WRITES_MAX: usize = 1_000;
    /// Bytes of one record with all its fields.
    const RECORD_BYTES_MAX: usize = 4 << 20;
    /// The longest life of a content: what is longer is meant to be for ever.
    const TTL_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

    pub(super) fn write_records(
        &mut self,
        ticket: Ticket,
        command: &DataCommand,
        patience: Patience,
    ) -> Result<Verdict, Refusal> {
        let DataCommand::Write { dataset, writes, level, session, wait } = command else {
            unreachable!("the caller has matched")
        };
        let spec = self.dataset(dataset)?;
        self.check_writes(&spec, writes)?;
        let mut deciders = BTreeSet::new();
        let mut targets = Vec::with_capacity(writes.len());
        for write in writes {
            let placement = self.place_write(&spec, write)?;
            self.check_guest(ticket, &spec, placement)?;
            deciders.insert(self.decider_of(&spec, placement, write)?);
            targets.push((Self::record_of(&spec, placement, &write.key), write));
        }
        let decider = deciders.first().copied().expect("there is a write: checked above");
        if 1 < deciders.len() {
            let why = "the writes of one request must be decided in one region";
            return Err(DataRefusal::Senseless { field: "writes", why }.into());
        }
        if decider != self.config.region {
            let command = with_places(&spec, command, &targets);
            return self.hand_on(ticket, decider, &command, *wait);
        }
        let is_decided = |write: &Write| write.expect.is_some() || spec.mode.master().is_some();
        let decided = targets.iter().filter(|(_, write)| is_decided(write));
        let placements = decided.map(|(it, _)| it.placement);
        let until = patience.until(self.now, *wait);
        if let Some(verdict) = self.await_whole(placements, self.now, until)? {
            return Ok(verdict);
        }
        let moving = self.data.datasets[dataset].moving;
        if let Some((to, _)) = moving.filter(|(_, until)| self.now.mono < *until) {
            return Err(DataRefusal::MasterMoves { dataset: dataset.clone(), to }.into());
        }
        if let Some(verdict) = self.await_session(session, &targets, until)? {
            return Ok(verdict);
        }
        self.check_room(writes)?;
        for (record, write) in &targets {
            if let Err(refusal) = self.check_expectation(&spec, record, write) {
                // It tells what is there: a crash must not take that back.
                return Ok(Verdict::Reply(self.data.append_of(record), Err(refusal)));
            }
        }
        if let Some(short) = self.overdrawn(&spec, &targets) {
            let may_go_on = writes.len() == 1 && !is_guest(ticket);
            return match short.decider().filter(|_| may_go_on) {
                Some(richest) => {
                    let command = with_places(&spec, command, &targets);
                    self.hand_on(ticket, richest, &command, *wait)
                }
                None => self.bring_rights(&short, patience, *wait),
            };
        }
        let level = level.unwrap_or(spec.write_level);
        let verdict = self.write_all(&spec, &targets, (level, until), session);
        self.share_rights(ticket, &spec, &targets);
        Ok(verdict)
    }

    /// Waits until all that a session has seen is here. Who writes after that is later than it, in
    /// whatever region; and what the write is said to depend on is really there.
    fn await_session(
        &self,
        session: &Seen,
        targets: &[(Record, &Write)],
        until: Duration,
    ) -> Result<Option<Verdict>, Refusal> {
        let written: BTreeSet<PlacementId> = targets.iter().map(|(it, _)| it.placement).collect();
        let all = self.config.placements.keys().copied();
        let wider =
            all.filter(|wide| written.iter().any(|it| self.registry.may_know_of(*wide, *it)));
        let wider: BTreeSet<PlacementId> = wider.collect();
        let unseen = self.first_unseen(session, wider.iter().copied());
        let Some(bell) = unseen else { return Ok(None) };
        if self.now.mono < until {
            return Ok(Some(Verdict::Wait(bell, until)));
        }
        self.check_lost(session, &wider)?;
        let (level, why) = (super::ReadLevel::Session, ReadGap::Session);
        Err(DataRefusal::ReadNotReached { level, why }.into())
    }

    fn check_writes(&self, spec: &DatasetSpec, writes: &[Write]) -> Result<(), Refusal> {
        if writes.is_empty() {
            return Err(DataRefusal::Senseless {
                field: "writes",
                why: "there must be one at least",
            }
            .into());
        }
        check_size(Large::Batch, writes.len(), Self::WRITES_MAX)?;
        let keys: BTreeSet<&Bytes> = writes.iter().map(|it| &it.key).collect();
        if keys.len() < writes.len() {
            let why = "a key may be named once in a request";
            return Err(DataRefusal::Senseless { field: "key", why }.into());
        }
        for write in writes {
            check_key(&write.key)?;
            if !write.edit.fits(spec.kind) {
                let (dataset, kind) = (spec.name.clone(), spec.kind);
                return Err(
                    DataRefusal::WrongKind { dataset, kind, edit: write.edit.name() }.into()
                );
            }
            check_size(Large::Content, write.edit.weight(), self.config.limits.value_bytes_max)?;
            let is_odd = write.ttl.is_some_and(|it| it.is_zero() || Self::TTL_MAX < it);
            if is_odd || (write.ttl.is_some() && spec.kind.shape() != Shape::Fields) {
                let why = "it must be above zero and below 100 years, and counters have none";
                return Err(DataRefusal::Senseless { field: "ttl", why }.into());
            }
            if spec.retention.is_some_and(|max| write.ttl.is_some_and(|ttl| max < ttl)) {
                let why = "it must not be longer than the retention of the dataset";
                return Err(DataRefusal::Senseless { field: "ttl", why }.into());
            }
            if let Edit::Add(i64::MIN) = write.edit {
                let why = "it must be above -9223372036854775808, which has no opposite";
                return Err(DataRefusal::Senseless { field: "add", why }.into());
            }
        }
        Ok(())
    }

    /// Returns the region that decides about a write.
    fn decider_of(
        &self,
        spec: &DatasetSpec,
        placement: PlacementId,
        write: &Write,
    ) -> Result<RegionId, Refusal> {
        let here = self.config.region;
        if let Mode::SingleMaster { master, elsewhere: Outside::Refuse } = spec.mode
            && master != here
        {
            return Err(DataRefusal::NotMaster { dataset: spec.name.clone(), master }.into());
        }
        let nearest = self.answers_for(spec, placement)?;
        if write.expect.is_some() || spec.mode.master().is_some() {
            return Ok(self.home_of_record(spec, placement, &write.key));
        }
        Ok(nearest)
    }

    fn check_expectation(
        &self,
        spec: &DatasetSpec,
        record: &Record,
        write: &Write,
    ) -> Result<(), Refusal> {
        if let Some(expect) = &write.expect {
            let found = self.show_record(self.now, spec, record).map(|it| it.fingerprint);
            let is_met = match expect {
                Expect::Fingerprint(all) => found.is_some_and(|it| all.contains(&it)),
                Expect::Present => found.is_some(),
                Expect::Absent => found.is_none(),
            };
            #[cfg(feature = "planted-bugs")]
            let is_met = is_met || self.planted == Some(crate::PlantedBug::CompareNothing);
            if !is_met {
                return Err(DataRefusal::Unexpected { found }.into());
            }
        }
        let fields = match &write.edit {
            Edit::Fields(edits) => {
                let held = self.store.state(record, Shape::Fields);
                let is_new = |field: &Field| match held.as_deref() {
                    Some(Value::Fields(fields)) => fields.of(field).is_empty(),
                    Some(Value::Counter(_) | Value::Escrow(_)) | None => true,
                };
                let added = |it: &&FieldEdit| matches!(it, FieldEdit::Set(it, _) if is_new(it));
                self.count_fields(record) + edits.iter().filter(added).count()
            }
            Edit::Replace(fields) => fields.len(),
            Edit::Put(_) | Edit::Add(_) | Edit::Delete => 0,
        };
        check_size(Large::Fields, fields, self.config.limits.fields_max)?;
        // A record travels in one piece when a region is sent the state.
        let held = match &write.edit {
            Edit::Fields(_) => self.store.state(record, Shape::Fields).map_or(0, |it| it.weight()),
            Edit::Put(_) | Edit::Add(_) | Edit::Replace(_) | Edit::Delete => 0,
        };
        if write.edit.only_removes() {
            return Ok(());
        }
        check_size(Large::Content, held + write.edit.weight(), Self::RECORD_BYTES_MAX)
    }

    /// Makes the ops: everything was checked.
    fn write_all(
        &mut self,
        spec: &DatasetSpec,
        targets: &[(Record, &Write)],
        (level, until): (WriteLevel, Duration),
        session: &Seen,
    ) -> Verdict {
        let mut session = session.clone();
        let mut marks: Vec<(StreamId, u64)> = Vec::new();
        for (record, write) in targets {
            let Some(delta) = self.delta_of(spec, record, write) else { continue };
            let stream = self.own_stream(record.placement);
            let needs = self.needs_of(&session, stream);
            let change = Change::Update(Box::new(Update { delta, needs }));
            self.write(record.placement, DATA, record.key.clone(), change);
            let seq = self.store.seen().of(&stream);
            match marks.iter_mut().find(|(it, _)| *it == stream) {
                Some(mark) => mark.1 = seq,
                None => marks.push((stream, seq)),
            }
        }
        self.counters.written += targets.len() as u64;
        marks.iter().for_each(|(stream, seq)| session.raise(*stream, *seq));
        let empty = |placement| {
            let (content, also_in) = (Content::Fields(vec![]), Vec::new());
            Shown { content, fingerprint: 0, placement, also_in }
        };
        let records = targets.iter().map(|(record, _)| {
            self.show_record(self.now, spec, record).unwrap_or_else(|| empty(record.placement))
        });
        let members = targets.iter().map(|(it, _)| self.config.placements[&it.placement].len());
        let written = Written {
            records: records.collect(),
            region: self.config.region,
            durable_in: 1,
            members: members.max().unwrap_or(1),
            session,
        };
        // A write that changes nothing stands on what was there: that must be durable, too.
        if level == WriteLevel::Eventual || marks.is_empty() {
            return reply(self.appended(), DataReply::Written(written));
        }
        let append = self.appended();
        Verdict::Level(Box::new(Pending { marks, append, level, written, reply: None, until }))
    }

    /// Returns what a write of a stream depends on, as far as every reader of the stream may know
    /// of it: nothing else may be told in it.
    pub(crate) fn needs_of(&self, session: &Seen, stream: StreamId) -> Seen {
        #[cfg(feature = "planted-bugs")]
        if self.planted == Some(crate::PlantedBug::ForgetCauses) {
            return Seen::default();
        }
        let known = session.iter().filter(|(it, seq)| {
            **it != stream && 0 < *seq && self.registry.may_know_of(it.placement, stream.placement)
        });
        known.map(|(it, seq)| (*it, seq)).collect()
    }

    /// Returns what a write does to the record as it is here; nothing if it changes nothing.
    fn delta_of(&self, spec: &DatasetSpec, record: &Record, write: &Write) -> Option<Delta> {
        let ttl = write.ttl.or(spec.ttl).or(spec.retention);
        let expires_ms = ttl.map(|ttl| {
            let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
            self.now.wall_ms.saturating_add(ttl)
        });
        let none = Fields::default();
        let held = self.store.state(record, Shape::Fields);
        let held = match held.as_deref() {
            Some(Value::Fields(fields)) => fields,
            Some(Value::Counter(_) | Value::Escrow(_)) | None => &none,
        };
        let set = |field: &Field, content: &Bytes| FieldChange {
            field: field.clone(),
            replaces: dots(held.of(field)),
            written: Some(WrittenField { bytes: content.clone(), expires_ms }),
        };
        let remove = |field: &Field, versions: &[(Field, Version)]| FieldChange {
            field: field.clone(),
            replaces: dots(versions),
            written: None,
        };
        let changes: Vec<FieldChange> = match &write.edit {
            Edit::Add(0) => return None,
            Edit::Add(by) if spec.kind == Kind::BoundedCounter => {
                let amount = by.unsigned_abs();
                let is_grant = 0 < *by;
                return Some(Delta::Escrow(if is_grant {
                    EscrowDelta::Grant(amount)
                } else {
                    EscrowDelta::Spend(amount)
                }));
            }
            Edit::Add(by) => return Some(Delta::Add(*by)),
            Edit::Put(content) => vec![set(&Field::new(), content)],
            Edit::Delete => held.iter().map(|(field, all)| remove(field, all)).collect(),
            Edit::Fields(edits) => edits
                .iter()
                .flat_map(|edit| match edit {
                    FieldEdit::Set(field, content) => vec![set(field, content)],
                    FieldEdit::Remove(field) => vec![remove(field, held.of(field))],
                    FieldEdit::RemoveUnder(prefix) => {
                        let under = held.iter().filter(|(it, _)| it.starts_with(prefix));
                        under.map(|(field, all)| remove(field, all)).collect()
                    }
                })
                .filter(|it| it.written.is_some() || !it.replaces.is_empty())
                .collect(),
            Edit::Replace(fields) => {
                let named: BTreeSet<&Field> = fields.iter().map(|(field, _)| field).collect();
                let others = held.iter().filter(|(field, _)| !named.contains(field));
                let removed = others.map(|(field, all)| remove(field, all));
                removed.chain(fields.iter().map(|(field, content)| set(field, content))).collect()
            }
        };
        (!changes.is_empty()).then_some(Delta::Fields(changes))
    }
}

fn dots(versions: &[(Field, Version)]) -> Vec<photon_state::Dot> {
    versions.iter().map(|(_, it)| it.dot).collect()
}

/// Checks that bytes can be the beginning of a key.
pub(super) fn check_bound(bytes: Option<&[u8]>) -> Result<(), Refusal> {
    check_size(Large::Key, bytes.map_or(0, <[u8]>::len), KEY_BYTES_MAX)
}

/// Checks that a key can name a record.
pub(super) fn check_key(key: &[u8]) -> Result<(), Refusal> {
    if key.is_empty() {
        return Err(DataRefusal::Senseless { field: "key", why: "it must not be empty" }.into());
    }
    check_size(Large::Key, key.len(), KEY_BYTES_MAX)
}

impl Region {
    /// Returns what to wait for if something that a session has seen of some placements is not
    /// here yet.
    pub(super) fn first_unseen(
        &self,
        session: &Seen,
        placements: impl Iterator<Item = PlacementId>,
    ) -> Option<Bell> {
        #[cfg(feature = "planted-bugs")]
        if self.planted == Some(crate::PlantedBug::IgnoreSession) {
            return None;
        }
        let placements: BTreeSet<PlacementId> = placements.collect();
        let mut wanted = session.iter().filter(|(it, _)| placements.contains(&it.placement));
        let missing = wanted.find(|(stream, seq)| self.store.seen().of(stream) < *seq);
        missing.map(|(stream, seq)| Bell::Seen(*stream, seq))
    }
}
