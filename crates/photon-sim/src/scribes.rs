//! What scribes must find: every answer is checked against what was promised before.
//! Must not change the world.

use std::borrow::Cow;
use std::collections::BTreeMap;

use photon_region::Refusal;
use photon_region::data::{Content, DataRefusal, DataReply, Shown, WriteLevel, Written};
use photon_state::crdt::{Shape, Value};
use photon_state::{Dataset, Key, PlacementId, Record, Seen, StreamId};

use crate::clock::{MS, SECOND};
use crate::promises::{Broken, Ledger, Promise};
use crate::records::{Role, Scribes, Step, number_of, placement_of, turn};
use crate::site::{Atlas, Site};
use crate::workload::Stage;

/// Records of datasets in a store, as their key in the log begins.
const DATA: Dataset = Dataset(5);

impl Scribes {
    /// Lets everybody read once more in every region, with what the session has seen.
    pub(crate) fn begin_last_looks(&mut self, stage: &mut Stage<'_>) {
        for (index, scribe) in self.all.iter_mut().enumerate() {
            scribe.looks = stage.sites.len();
            stage.later(0, turn(index));
        }
    }

    /// Whether everybody has.
    pub(crate) fn have_looked(&self) -> bool {
        self.all.iter().all(|it| it.looks == 0)
    }

    /// Takes in an answer.
    pub(crate) fn heard(
        &mut self,
        stage: &mut Stage<'_>,
        here: usize,
        (index, step): (u32, &Step),
        reply: &DataReply,
        rng: &mut fastrand::Rng,
    ) -> Result<(), Broken> {
        let is_strict = stage.ledger.is_strict();
        match reply {
            DataReply::Written(written) => self.wrote(stage, index, step, written)?,
            DataReply::Found(found) => {
                let old =
                    std::mem::replace(&mut self.all[index as usize].session, found.session.clone());
                Promise::Session.holds(found.session.covers(&old), || {
                    format!("scribe {index}: a read took something out of its session")
                })?;
                if let Step::LastLook = step {
                    self.all[index as usize].looks -= 1;
                }
                check_kept(stage, here, found.record.as_ref())?;
                self.saw_seat(stage, (index, step), reply)?;
                if is_strict {
                    self.read(stage, here, (index, step), reply)?;
                }
            }
            DataReply::Changes { changes, position } => {
                let Role::Watcher { position: mine, start, heard } =
                    &mut self.all[index as usize].role
                else {
                    return Err(Promise::Contract.broken("changes for nobody"));
                };
                if mine.is_none() {
                    *start = position.clone();
                }
                *mine = Some(position.clone());
                for change in changes {
                    *heard.entry(change.dot).or_default() += 1;
                    check_kept(stage, here, change.record.as_ref())?;
                }
            }
            DataReply::Dataset(_)
            | DataReply::Datasets(_)
            | DataReply::Dropped
            | DataReply::Conflicts(_)
            | DataReply::Digest(_)
            | DataReply::Moved(_)
            | DataReply::Receipts { .. }
            | DataReply::Compacting
            | DataReply::Page { .. } => {
                return Err(Promise::Contract.broken(format!("{step:?}: {reply:?}")));
            }
        }
        // The effect follows on the cause, and the look at one on that at the other.
        let scribe = &mut self.all[index as usize];
        let is_in_haste = match &scribe.role {
            Role::Author { cause_done, .. } => *cause_done,
            Role::Reader { effect, .. } => effect.is_some(),
            Role::Counter { .. }
            | Role::Spender
            | Role::Tagger { .. }
            | Role::Sitter { .. }
            | Role::Keeper
            | Role::Watcher { .. } => false,
        };
        scribe.stays_at = is_in_haste.then_some(here);
        let pause = if is_in_haste { rng.u64(0..4) } else { rng.u64(1..400) };
        self.rest(stage, index, pause * MS);
        Ok(())
    }

    fn wrote(
        &mut self,
        stage: &Stage<'_>,
        index: u32,
        step: &Step,
        written: &Written,
    ) -> Result<(), Broken> {
        let scribe = &mut self.all[index as usize];
        let level = scribe.level.unwrap_or(WriteLevel::Eventual);
        let old = std::mem::replace(&mut scribe.session, written.session.clone());
        let marks = written.session.iter().filter(|(stream, seq)| old.of(stream) < *seq);
        for (stream, seq) in marks {
            self.acked.insert((*stream, seq));
            if level != WriteLevel::Eventual {
                self.at_quorum.insert((*stream, seq));
            }
            let members = stage.atlas.members(stream.placement);
            let has = |site: &usize| {
                let disk = &stage.sites[*site].disk;
                let is_there =
                    disk.has_synced(stream, seq) || stage.ledger.had_synced(*site, stream, seq);
                members >> site & 1 == 1 && is_there
            };
            let durable_in = (0..stage.sites.len()).filter(has).count();
            let needed = level.needs(members.count_ones() as usize);
            Promise::Acknowledged.holds(needed <= durable_in, || {
                format!(
                    "{stream:?} {seq} was acknowledged at {}, and is durable in {durable_in}",
                    level.as_str()
                )
            })?;
        }
        match (step, &mut self.all[index as usize].role) {
            (Step::Count, Role::Counter { acked, .. }) => *acked += 1,
            (Step::PutCause(_), Role::Author { cause_done, .. }) => *cause_done = true,
            (Step::PutEffect(_), Role::Author { next, cause_done, .. }) => {
                (*next, *cause_done) = (*next + 1, false);
            }
            (Step::Grant { key, by }, _) => self.quotas.entry(*key).or_default().granted += by,
            (Step::Spend { key, by }, _) => {
                let quota = self.quotas.entry(*key).or_default();
                quota.spent += by;
                let quota = *quota;
                Promise::Quota.holds(quota.spent <= quota.granted_tried, || {
                    format!("quota {key} is overspent: {quota:?}")
                })?;
            }
            (Step::AddElement(it), Role::Tagger { elements }) => {
                elements.push(*it);
                self.elements[*it as usize].added = true;
            }
            (Step::RemoveElement(it), _) => self.elements[*it as usize].removed = true,
            _ => {}
        }
        Ok(())
    }

    /// Whoever has seen a seat will try to take it; where disks may be lost, once one is.
    fn saw_seat(
        &mut self,
        stage: &Stage<'_>,
        (index, step): (u32, &Step),
        reply: &DataReply,
    ) -> Result<(), Broken> {
        let Step::ReadSeat { key } = step else { return Ok(()) };
        if !stage.ledger.is_strict() && !stage.ledger.has_lost_any() {
            return Ok(());
        }
        let shown = number_of(reply);
        let (found, print) = shown.ok_or_else(|| Promise::Contract.broken("no number"))?;
        self.all[index as usize].role = Role::Sitter { seat: Some((*key, found, print)) };
        Ok(())
    }

    fn read(
        &mut self,
        stage: &Stage<'_>,
        here: usize,
        (index, step): (u32, &Step),
        reply: &DataReply,
    ) -> Result<(), Broken> {
        let name = stage.atlas.ids[here];
        let number = number_of(reply);
        let scribe = &mut self.all[index as usize];
        let seen = |found: u64, least: u64, what: &str| {
            Promise::Session.holds(least <= found, || {
                format!("{name} showed scribe {index} {what} {found}, and it knows of {least}")
            })
        };
        match (step, &mut scribe.role) {
            (Step::ReadCount, Role::Counter { tried, acked, floor }) => {
                let (found, _) = number.ok_or_else(|| Promise::Contract.broken("no number"))?;
                seen(found, *acked.max(floor), "a count of")?;
                Promise::SameOps.holds(found <= *tried, || {
                    format!("{name} counts {found} of {tried} for scribe {index}")
                })?;
                *floor = found;
            }
            (Step::ReadEffect, Role::Reader { effect, floor, .. }) => {
                let (found, _) = number.ok_or_else(|| Promise::Contract.broken("no number"))?;
                seen(found, floor[1], "an effect of")?;
                (floor[1], *effect) = (found, Some(found));
            }
            (Step::ReadCause { least }, Role::Reader { floor, .. }) => {
                let (found, _) = number.ok_or_else(|| Promise::Contract.broken("no number"))?;
                seen(found, floor[0], "a cause of")?;
                Promise::Session.holds(*least <= found, || {
                    format!("{name} showed scribe {index} the effect {least} and the cause {found}")
                })?;
                floor[0] = found;
            }
            (Step::ReadSecret, _) => {
                let placement = placement_of(stage.atlas, "secrets");
                Promise::Residency.holds(stage.atlas.may_hold(placement, here), || {
                    format!("{name} showed a secret of {placement}")
                })?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes in a refusal: what it says must be so.
    pub(crate) fn refused(
        &mut self,
        stage: &mut Stage<'_>,
        (index, step): (u32, &Step),
        refusal: &Refusal,
        rng: &mut fastrand::Rng,
    ) -> Result<(), Broken> {
        if matches!(refusal, Refusal::Data(DataRefusal::SessionLost { .. })) {
            Promise::Acknowledged.holds(!stage.ledger.is_strict(), || {
                format!("scribe {index} was told that its session is lost: {refusal}")
            })?;
            self.all[index as usize].session = Seen::default();
        }
        let gap = matches!(refusal, Refusal::Data(DataRefusal::ReadNotReached { .. }));
        Promise::Session.holds(!gap || !matches!(step, Step::LastLook), || {
            format!("scribe {index} waits for what never comes: {refusal}")
        })?;
        let is_unknown = matches!(
            refusal,
            Refusal::Data(
                DataRefusal::LevelNotReached { .. }
                    | DataRefusal::DeciderUnreachable { was_sent: true, .. }
            )
        );
        match (step, &mut self.all[index as usize].role) {
            _ if is_unknown => self.unknown(index, step),
            // Nothing was done: what was counted as tried was not.
            (Step::Count, Role::Counter { tried, .. }) => *tried -= 1,
            (Step::Grant { key, by }, _) => {
                self.quotas.entry(*key).or_default().granted_tried -= by;
            }
            (Step::Spend { key, by }, _) => self.quotas.entry(*key).or_default().spent_tried -= by,
            (Step::RemoveElement(it), Role::Tagger { elements }) => elements.push(*it),
            (Step::Watch, Role::Watcher { position, heard, .. })
                if *refusal == DataRefusal::PositionTooOld.into() =>
            {
                (*position, *heard) = (None, BTreeMap::new());
            }
            _ => {}
        }
        self.rest(stage, index, rng.u64(50 * MS..SECOND));
        Ok(())
    }

    /// Compares what the regions hold at the end with what was promised.
    pub(crate) fn audit(&self, atlas: &Atlas, sites: &[Site]) -> Result<(), Broken> {
        self.acked.iter().try_for_each(|it| is_everywhere(atlas, sites, it))?;
        for (key, quota) in &self.quotas {
            let least = i128::from(quota.granted) - i128::from(quota.spent_tried);
            let most = i128::from(quota.granted_tried) - i128::from(quota.spent);
            for here in members(atlas, placement_of(atlas, "quota")) {
                let value = match state(atlas, &sites[here], "quota", &format!("q{key}")).as_deref()
                {
                    Some(Value::Escrow(escrow)) => escrow.value(),
                    _ => 0,
                };
                Promise::Quota.holds(0 <= value && least <= value && value <= most, || {
                    format!("{} holds {value} of quota {key}: {quota:?}", atlas.ids[here])
                })?;
            }
        }
        for (it, element) in (0_u32..).zip(&self.elements) {
            for here in members(atlas, placement_of(atlas, "tags")) {
                let key = format!("t{}", it % 3);
                let field = format!("e{it}");
                let held = match state(atlas, &sites[here], "tags", &key).as_deref() {
                    Some(Value::Fields(fields)) => !fields.of(field.as_bytes()).is_empty(),
                    _ => false,
                };
                let name = atlas.ids[here];
                Promise::Acknowledged
                    .holds(held || !element.added || element.removal_tried, || {
                        format!("{name} lacks element {it}, which was added")
                    })?;
                Promise::SameOps.holds(!held || !element.removed, || {
                    format!("{name} holds element {it}, which was removed")
                })?;
            }
        }
        self.audit_watchers(atlas, sites)
    }

    /// All have what no lost disk may have taken along: what was acknowledged at quorum in several
    /// regions, or by one that has lost nothing.
    pub(crate) fn audit_after_loss(
        &self,
        atlas: &Atlas,
        sites: &[Site],
        ledger: &Ledger,
    ) -> Result<(), Broken> {
        let is_lost = |it: &StreamId| ledger.has_lost(atlas.site(it.origin));
        let is_shared = |it: &StreamId| 1 < atlas.members(it.placement).count_ones();
        let safe = |it: &&(StreamId, u64)| {
            !is_lost(&it.0) || is_shared(&it.0) && self.at_quorum.contains(*it)
        };
        self.acked.iter().filter(safe).try_for_each(|it| is_everywhere(atlas, sites, it))
    }

    /// Watchers have heard of every change after their start, of each once.
    fn audit_watchers(&self, atlas: &Atlas, sites: &[Site]) -> Result<(), Broken> {
        let placement = placement_of(atlas, "notes");
        let prefix = data_key("notes", "");
        for scribe in &self.all {
            let Role::Watcher { position: Some(position), start, heard } = &scribe.role else {
                continue;
            };
            let is_wanted = |op: &photon_state::Op| {
                let at = |seen: &Seen| seen.of(&op.stream) < op.seq;
                op.stream.placement == placement
                    && op.dataset == DATA
                    && op.key.as_bytes().starts_with(prefix.as_bytes())
                    && at(start)
                    && !at(position)
            };
            // The origin of an op has had it at some time.
            let origin =
                |site: &Site, op: &photon_state::Op| op.stream.origin == site.config.region;
            let all = sites.iter().flat_map(|it| it.disk.written().map(move |op| (it, op)));
            let due = all.filter(|(site, op)| origin(site, op) && is_wanted(op)).map(|(_, op)| op);
            for op in due.clone() {
                let times = heard.get(&op.dot()).copied().unwrap_or(0);
                Promise::Session.holds(times == 1, || {
                    format!("a watcher heard of {:?} {times} times", op.dot())
                })?;
            }
            let due = due.count();
            Promise::Session.holds(due == heard.len(), || {
                format!("a watcher heard of {} changes where {due} are due", heard.len())
            })?;
        }
        Ok(())
    }
}

/// Every member of a placement has seen an op of it.
fn is_everywhere(
    atlas: &Atlas,
    sites: &[Site],
    (stream, seq): &(StreamId, u64),
) -> Result<(), Broken> {
    members(atlas, stream.placement).try_for_each(|here| {
        let seen = sites[here].machine.as_ref().map(|it| it.store().seen().of(stream));
        Promise::Acknowledged.holds(seen.is_some_and(|it| *seq <= it), || {
            format!("{} lacks {stream:?} {seq}, which was promised", atlas.ids[here])
        })
    })
}

/// What is shown is durable somewhere, so that no crash takes it back.
fn check_kept(stage: &Stage<'_>, here: usize, shown: Option<&Shown>) -> Result<(), Broken> {
    let shown = shown.filter(|_| stage.ledger.is_strict());
    let Some(Shown { content: Content::Fields(fields), placement, .. }) = shown else {
        return Ok(());
    };
    for version in fields.iter().flat_map(|(_, all)| all) {
        let (stream, seq) = (version.dot.source.stream(*placement), version.dot.seq);
        let is_kept = stage.sites.iter().any(|it| it.disk.has_synced(&stream, seq));
        Promise::Acknowledged.holds(is_kept, || {
            format!("{} showed {stream:?} {seq}, which is durable nowhere", stage.atlas.ids[here])
        })?;
    }
    Ok(())
}

fn members(atlas: &Atlas, placement: PlacementId) -> impl Iterator<Item = usize> {
    let members = atlas.members(placement);
    (0..atlas.ids.len()).filter(move |it| members >> it & 1 == 1)
}

fn data_key(dataset: &str, key: &str) -> Key {
    let len = u8::try_from(dataset.len()).expect("a short name");
    Key::new(&[&[len], dataset.as_bytes(), key.as_bytes()].concat())
}

fn state<'a>(atlas: &Atlas, site: &'a Site, dataset: &str, key: &str) -> Option<Cow<'a, Value>> {
    let placement = placement_of(atlas, dataset);
    let record = Record { placement, dataset: DATA, key: data_key(dataset, key) };
    let store = site.machine.as_ref()?.store();
    [Shape::Fields, Shape::Counter, Shape::Escrow]
        .into_iter()
        .find_map(|shape| store.state(&record, shape))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_from_every_content() {
        let shown = |content| photon_region::data::Shown {
            content,
            fingerprint: 7,
            placement: PlacementId::global(),
            also_in: Vec::new(),
        };
        let found = |content| {
            DataReply::Found(photon_region::data::Found {
                record: Some(shown(content)),
                region: "amber".parse().unwrap(),
                asked: 1,
                staleness: None,
                session: Seen::default(),
            })
        };
        assert_eq!(number_of(&found(Content::Number(5))), Some((5, Some(7))));
        assert_eq!(number_of(&found(Content::Quota { value: 3, rights: 1 })), Some((3, Some(7))));
    }
}
