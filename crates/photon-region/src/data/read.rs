//! Reading records, one by one or many by key.
//! Must not change anything.

use std::ops::Bound;
use std::time::Duration;

use bytes::Bytes;
use photon_state::{Held, Key, Now, PlacementId, RegionId, Seen};

use super::declare::reply;
use super::look::{Look, Looked};
use super::place::youngest_first;
use super::refusal::{DataRefusal, ReadGap};
use super::write::{check_bound, check_key};
use super::{
    DATA, DataCommand, DataReply, DatasetSpec, Found, PlacementRule, ReadHow, ReadLevel, Shown,
    Spot, data_key,
};
use crate::desk::Bell;
use crate::refusal::Refusal;
use crate::region::Region;
use crate::verdict::Verdict;

impl Region {
    /// Records in one page.
    const PAGE_MAX: usize = 1_000;
    /// Bytes of records in one page, short of one record that is larger.
    const PAGE_BYTES_MAX: usize = 4 << 20;
    /// Records that are looked at for one page that is not empty, as not all of them are shown.
    const LOOKED_AT_MAX: usize = 4 * Self::PAGE_MAX;
    /// Bytes of the records that are looked at for one page that is not empty, short of one.
    const LOOKED_AT_BYTES_MAX: usize = 2 * Self::PAGE_BYTES_MAX;

    /// Looks for a record, and says what is to be done if it cannot be shown from here.
    pub(super) fn look_at_record(
        &self,
        look: Look,
        command: &DataCommand,
    ) -> Result<Looked, Refusal> {
        let DataCommand::Read { dataset, key, how } = command else {
            unreachable!("the caller has matched")
        };
        let spec = self.dataset(dataset)?;
        check_key(key)?;
        let Some(placement) = self.said_place(&spec, key, how.spot.as_ref())? else {
            return self.look_in_all_places(look, &spec, key, how);
        };
        self.check_guest(look.ticket, &spec, placement)?;
        let mut from = self.answers_for(&spec, placement)?;
        let level = how.level.unwrap_or(spec.read_level);
        let must_ask_home = level == ReadLevel::Linearizable;
        #[cfg(feature = "planted-bugs")]
        let must_ask_home = must_ask_home && self.planted != Some(crate::PlantedBug::ReadAnywhere);
        if must_ask_home {
            from = self.home_of_record(&spec, placement, key);
        }
        if from != self.config.region {
            return Ok(Looked::Elsewhere(from));
        }
        let record = Self::record_of(&spec, placement, key);
        let until = look.patience.until(look.now, how.wait);
        if level == ReadLevel::Linearizable
            && let Some(verdict) = self.await_whole([placement], look.now, until)?
        {
            return Ok(Looked::Here(verdict));
        }
        if let Some(verdict) = self.await_freshness(look, &spec, level, how, &[placement])? {
            return Ok(Looked::Here(verdict));
        }
        if level == ReadLevel::Quorum {
            return Ok(Looked::Majority(spec, record));
        }
        let mut append = self.data.append_of(&record);
        if spec.rule.is_by_record() {
            append = append.max(self.append_of_all(&spec, key)); // Others are told of, too.
        }
        let (append, session) = self.session_of(level, how, &[placement], append);
        let mut shown = self.show_record(look.now, &spec, &record);
        shown.iter_mut().for_each(|it| self.mark_also(look.now, &spec, key, it));
        let found = Found {
            record: shown,
            region: self.config.region,
            asked: 1,
            staleness: self.staleness(look.now, placement),
            session,
        };
        Ok(Looked::Here(reply(append, DataReply::Found(found))))
    }

    /// Returns what the session has seen after a read, and the append that must be durable first:
    /// if that of what is `shown` is, nothing else is waited for, and what is not durable yet does
    /// not count as seen.
    pub(super) fn session_of(
        &self,
        level: ReadLevel,
        how: &ReadHow,
        placements: &[PlacementId],
        shown: u64,
    ) -> (u64, Seen) {
        let mut session = how.session.clone();
        if level == ReadLevel::Eventual {
            return (shown, session);
        }
        let is_durable = shown <= self.durable() && self.covers.are_over(self.durable());
        if is_durable {
            session.join(&self.durable_of(placements));
        } else {
            self.join_all_seen(placements, &mut session);
        }
        if level == ReadLevel::Causal {
            let deps = placements.iter().filter_map(|it| self.data.horizon.get(it));
            deps.for_each(|it| session.join(it));
        }
        (if is_durable { shown } else { self.appended() }, session)
    }

    /// Adds to a session whatever the records of some placements may show.
    fn join_all_seen(&self, placements: &[PlacementId], session: &mut Seen) {
        let seen = self.store.seen().iter().filter(|(it, _)| placements.contains(&it.placement));
        seen.for_each(|(stream, seq)| session.raise(*stream, seq));
        // A peer's state that is on its way holds more than counts as seen.
        let covers = self
            .covers
            .all()
            .iter()
            .filter(|it| placements.iter().any(|placement| it.placements.contains(placement)));
        let beyond = covers.flat_map(|it| it.seen.iter());
        let beyond = beyond.filter(|(it, _)| placements.contains(&it.placement));
        beyond.for_each(|(stream, seq)| session.raise(*stream, seq));
    }

    /// Waits until what the level demands is here, or says that it was not in time.
    pub(super) fn await_freshness(
        &self,
        look: Look,
        spec: &DatasetSpec,
        level: ReadLevel,
        how: &ReadHow,
        placements: &[PlacementId],
    ) -> Result<Option<Verdict>, Refusal> {
        let until = look.patience.until(look.now, how.wait);
        let now = look.now.mono;
        let wait = |bell: Bell, why: ReadGap| {
            if now < until {
                Ok(Some(Verdict::Wait(bell, until)))
            } else {
                Err(DataRefusal::ReadNotReached { level, why }.into())
            }
        };
        if level == ReadLevel::Linearizable && spec.mode.master().is_none() && 1 < placements.len()
        {
            let why = "records of several homes cannot be read linearizably at once";
            return Err(DataRefusal::Senseless { field: "consistency", why }.into());
        }
        if ReadLevel::Session <= level {
            let mut wanted = how.session.clone();
            if level == ReadLevel::Causal {
                let deps = placements.iter().filter_map(|it| self.data.horizon.get(it));
                deps.for_each(|it| wanted.join(it));
                // What a state holds may depend on what is yet to come of it.
                let mut covers = self.covers.all().iter();
                if self.is_taking_state(look.now)
                    && covers.any(|it| placements.iter().any(|at| it.placements.contains(at)))
                {
                    return wait(Bell::Peers, ReadGap::Session);
                }
            }
            if let Some(bell) = self.first_unseen(&wanted, placements.iter().copied()) {
                if until <= now {
                    self.check_lost(&how.session, &placements.iter().copied().collect())?;
                }
                return wait(bell, ReadGap::Session);
            }
        }
        if let Some(max) = how.staleness_max {
            let stale = placements.iter().map(|it| self.staleness(look.now, *it));
            let worst = stale.map(|it| it.unwrap_or(Duration::MAX)).max().unwrap_or_default();
            if max < worst {
                let worst = (worst < Duration::MAX).then_some(worst);
                return wait(Bell::Peers, ReadGap::Stale(worst));
            }
        }
        Ok(None)
    }

    /// Returns how long ago a change of another region may have been made that is not here yet;
    /// nothing if a region has not been heard of.
    pub(super) fn staleness(&self, now: Now, placement: PlacementId) -> Option<Duration> {
        let peers = self.data.freshness.iter().filter(|((_, it), _)| *it == placement);
        let mut worst = Duration::ZERO;
        for (_, fresh) in peers {
            let as_of = fresh.as_of(self.store.seen())?;
            worst = worst.max(now.mono.saturating_sub(as_of));
        }
        Some(worst)
    }

    /// Returns the placements of a dataset that live here, as far as keys with a prefix may have
    /// them; or the one that is asked for, with the region that answers for it.
    pub(super) fn placements_here(
        &self,
        spec: &DatasetSpec,
        prefix: &[u8],
        spot: Option<&Spot>,
    ) -> Result<(Vec<PlacementId>, RegionId), Refusal> {
        let here = self.config.region;
        let is_whole = match &spec.rule {
            PlacementRule::Fixed(_) | PlacementRule::ByRecord { .. } => true,
            PlacementRule::ByTenant { .. } => prefix.contains(&b'/') || spot.is_some(),
        };
        let said = if is_whole { self.said_place(spec, prefix, spot)? } else { None };
        if let Some(placement) = said {
            return Ok((vec![placement], self.answers_for(spec, placement)?));
        }
        let held = self.placements_held(spec);
        let all = self.placements_of(spec);
        if held.is_empty() && spec.rule.is_by_record() {
            return Err(spec.unplaced(None));
        }
        match all.first() {
            Some(first) if held.is_empty() => Ok((vec![*first], self.answers_for(spec, *first)?)),
            Some(_) | None => Ok((held, here)),
        }
    }

    /// Looks for records by key.
    pub(super) fn look_at_records(
        &self,
        look: Look,
        command: &DataCommand,
    ) -> Result<Looked, Refusal> {
        let DataCommand::Scan { dataset, prefix, after, limit, how } = command else {
            unreachable!("the caller has matched")
        };
        let spec = self.dataset(dataset)?;
        let level = how.level.unwrap_or(spec.read_level);
        check_bound(Some(prefix))?;
        check_bound(after.as_deref())?;
        let (placements, mut from) = self.placements_here(&spec, prefix, how.spot.as_ref())?;
        self.check_told(look.ticket, &spec, &placements)?;
        placements.iter().try_for_each(|it| self.check_guest(look.ticket, &spec, *it))?;
        match level {
            ReadLevel::Quorum => {
                let why = "a scan cannot be read at `quorum`: read the records one by one";
                return Err(DataRefusal::Senseless { field: "consistency", why }.into());
            }
            ReadLevel::Linearizable => match spec.mode.master() {
                Some(master) => from = master,
                None => {
                    let why = "every record has a home of its own: read them one by one";
                    return Err(DataRefusal::Senseless { field: "consistency", why }.into());
                }
            },
            ReadLevel::Eventual | ReadLevel::Session | ReadLevel::Causal => {}
        }
        if from != self.config.region {
            return Ok(Looked::Elsewhere(from));
        }
        if let Some(verdict) = self.await_freshness(look, &spec, level, how, &placements)? {
            return Ok(Looked::Here(verdict));
        }
        let (append, session) = self.session_of(level, how, &placements, self.appended());
        let limit = (*limit).clamp(1, Self::PAGE_MAX);
        let from = after.as_ref().filter(|it| prefix <= *it);
        let start = data_key(dataset, from.unwrap_or(prefix));
        let start = match from {
            Some(_) => Bound::Excluded(&start),
            None => Bound::Included(&start),
        };
        let (records, more) = self.page(look.now, &spec, &placements, start, (prefix, limit));
        let page = DataReply::Page { records, more, placements, session };
        Ok(Looked::Here(reply(append, page)))
    }

    /// Returns the records of some placements from a key on, by key, and whether there may be more.
    ///
    /// The placements are gone through side by side, because a value may have to be read from
    /// pages: none is that is not shown, but for the one that tells that there is more.
    fn page(
        &self,
        now: Now,
        spec: &DatasetSpec,
        placements: &[PlacementId],
        start: Bound<&Key>,
        (prefix, limit): (&[u8], usize),
    ) -> (Vec<(Bytes, Shown)>, bool) {
        let name_bytes = 1 + spec.name.as_str().len();
        let begin = data_key(&spec.name, prefix);
        let from = |placement: &PlacementId| {
            let held = self.store.states((*placement, DATA, spec.kind.shape()), start);
            let within = held.take_while(|it| it.key().starts_with(begin.as_bytes()));
            (*placement, within.peekable())
        };
        let mut rows: Vec<_> = placements.iter().map(from).collect();
        let (mut records, mut bytes) = (Vec::new(), 0);
        let (mut looked_at, mut looked_at_bytes) = (0, 0);
        let mut shown = Vec::with_capacity(rows.len());
        loop {
            let keys = rows.iter_mut().filter_map(|(_, row)| row.peek().map(Held::key));
            let Some(key) = keys.min().map(Bytes::copy_from_slice) else { return (records, false) };
            let has_looked =
                Self::LOOKED_AT_MAX <= looked_at || Self::LOOKED_AT_BYTES_MAX <= looked_at_bytes;
            if has_looked && !records.is_empty() {
                return (records, true);
            }
            for (placement, row) in &mut rows {
                let Some(held) = row.next_if(|it| it.key() == &*key) else { continue };
                let value = held.value();
                looked_at += 1;
                looked_at_bytes += value.weight();
                shown.extend(self.show_value(now, spec, *placement, &value));
            }
            let Some(shown) = first_of(&mut shown) else { continue };
            let key = key.slice(name_bytes..);
            bytes += key.len() + shown.weight();
            let is_full = records.len() == limit || Self::PAGE_BYTES_MAX < bytes;
            if is_full && !records.is_empty() {
                return (records, true);
            }
            records.push((key, shown));
        }
    }
}

/// Takes what is shown of the records with one key: the youngest one that lives, where several do
/// that were made apart.
fn first_of(shown: &mut Vec<Shown>) -> Option<Shown> {
    if shown.len() < 2 {
        return shown.pop();
    }
    let (live, blank): (Vec<_>, Vec<_>) = shown.drain(..).partition(Shown::is_live);
    youngest_first(live).into_iter().chain(blank).next()
}
