//! Contents that cease to be: hidden by every reader at once, removed by the record's home, or by
//! any region if the home does not.
//! Must not remove what it has not seen.

use std::collections::BTreeSet;
use std::time::Duration;

use photon_state::crdt::{Delta, Field, FieldChange, Shape, Value, Version};
use photon_state::{Change, Now, Record, Seen, Update};
use rustc_hash::FxHashMap;

use super::{DATA, split_key};
use crate::region::Region;

/// When to look after which record.
#[derive(Debug, Default)]
pub(super) struct Expiries {
    /// By the time to look, in milliseconds since 1970.
    due: BTreeSet<(u64, Record)>,
    of: FxHashMap<Record, Due>,
    /// When to go on, if more had ceased to be than one go removes.
    pub(super) again: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Due {
    /// When to look.
    at: u64,
    /// When the first of its contents ceases to be: nobody has to look at the record to know.
    end: u64,
}

impl Expiries {
    /// Looks after a record when the first of its contents ceases to be; or never.
    fn set(&mut self, record: &Record, end: Option<u64>) {
        self.put(record, end.map(|end| Due { at: end, end }));
    }

    /// Looks after a record again later.
    fn put_off(&mut self, record: &Record, at: u64) {
        let due = self.of.get(record).copied();
        self.put(record, due.map(|due| Due { at, ..due }));
    }

    fn put(&mut self, record: &Record, due: Option<Due>) {
        if let Some(before) = self.of.remove(record) {
            self.due.remove(&(before.at, record.clone()));
        }
        if let Some(due) = due {
            self.of.insert(record.clone(), due);
            self.due.insert((due.at, record.clone()));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Returns a record to look after, and when the first of its contents has ceased to be.
    fn next_due(&self, now_ms: u64) -> Option<(Record, u64)> {
        let (at, record) = self.due.first()?;
        (*at <= now_ms).then(|| (record.clone(), self.of[record].end))
    }
}

impl Region {
    /// Records that are looked after each time; more wait for the next.
    const EXPIRED_AT_ONCE_MAX: usize = 10_000;
    /// Bytes of records out of which contents are removed in one go, short of one record. Each of
    /// them may have to be read from pages, and these to be erased.
    const EXPIRED_BYTES_MAX: usize = 8 << 20;
    /// How long others come first between two such goes.
    const EXPIRE_PAUSE: Duration = Duration::from_millis(10);
    /// How long the home has to remove what is over.
    const HOME_REMOVES_WITHIN_MS: u64 = 600_000;
    /// How often it is looked whether it has.
    const LOOK_AGAIN_MS: u64 = 60_000;

    /// Returns the time by which contents cease to be. It is never behind that of an op that is
    /// here. Between ops it is that of the system's clock: if that is set back, a content that was
    /// over is shown again until the clock has come so far, or a later op arrives.
    pub(super) fn expiry_clock(&self, now: Now) -> u64 {
        now.wall_ms.max(self.clock.wall_ms)
    }

    /// Follows a change of a record that has, or had, contents that cease to be.
    pub(super) fn follow_expiry(&mut self, record: &Record, has_end: bool) {
        if has_end || self.data.expiries.of.contains_key(record) {
            let end = self.first_end(record);
            self.data.expiries.set(record, end);
        }
    }

    fn first_end(&self, record: &Record) -> Option<u64> {
        let held = self.store.state(record, Shape::Fields);
        let Some(Value::Fields(fields)) = held.as_deref() else { return None };
        fields.versions().filter_map(|(_, it)| it.written.expires_ms).min()
    }

    /// Removes contents that have ceased to be, where this region decides about the record: each
    /// beat, and a little later if there are more.
    pub(crate) fn remove_expired(&mut self) {
        let again = self.data.expiries.again;
        if self.now.mono < self.beat_at && again.is_none_or(|at| self.now.mono < at) {
            return;
        }
        self.data.expiries.again = None;
        let now = self.expiry_clock(self.now);
        let mut bytes = 0;
        for _ in 0..Self::EXPIRED_AT_ONCE_MAX {
            let Some((record, end)) = self.data.expiries.next_due(now) else { return };
            if self.check_disk().is_err() {
                return;
            }
            if Self::EXPIRED_BYTES_MAX <= bytes {
                self.data.expiries.again = Some(self.now.mono + Self::EXPIRE_PAUSE);
                return;
            }
            // If its placement was taken out of the configuration, nobody decides about it here.
            let is_placed = self.config.placements.contains_key(&record.placement);
            let is_late = end.saturating_add(Self::HOME_REMOVES_WITHIN_MS) <= now;
            if is_placed && (is_late || self.is_home_of(&record)) {
                bytes += self.remove_over(&record, now);
            } else {
                self.data.expiries.put_off(&record, now + Self::LOOK_AGAIN_MS);
            }
        }
    }

    fn is_home_of(&self, record: &Record) -> bool {
        let Some((name, key)) = split_key(&record.key) else { return false };
        let spec = self.dataset(&name).ok();
        let home = spec.map(|it| self.home_of_record(&it, record.placement, key));
        home == Some(self.config.region)
    }

    /// Removes the contents of a record that have ceased to be; returns how many bytes it had.
    fn remove_over(&mut self, record: &Record, now: u64) -> usize {
        let held = self.store.state(record, Shape::Fields);
        let Some(Value::Fields(fields)) = held.as_deref() else {
            drop(held);
            self.data.expiries.set(record, None);
            return 0;
        };
        let over = |(field, all): (&Field, &[(Field, Version)])| {
            let over = all.iter().filter(|(_, it)| it.written.is_over(now));
            let replaces: Vec<_> = over.map(|(_, it)| it.dot).collect();
            let is_any = !replaces.is_empty();
            is_any.then(|| FieldChange { field: field.clone(), replaces, written: None })
        };
        let changes: Vec<_> = fields.iter().filter_map(over).collect();
        let bytes = held.as_deref().map_or(0, Value::weight);
        if changes.is_empty() {
            self.follow_expiry(record, true);
            return bytes;
        }
        let delta = Delta::Fields(changes);
        let change = Change::Update(Box::new(Update { delta, needs: Seen::default() }));
        self.write(record.placement, DATA, record.key.clone(), change);
        bytes
    }
}
