//! Decides what of a difference is damage, and mends it.
//! Must not act before all that the other region had seen is seen here.

use std::borrow::Cow;

use photon_state::crdt::{Delta, Mending, Outline, Shape, Value};
use photon_state::{
    Change, Dot, Key, PlacementId, Record, RegionId, Seen, Shelf, Source, StreamId, Update,
};

use super::{Case, Repair, Sum, Word};
use crate::data::DATA;
use crate::region::Region;
use crate::snapshot::{Item, Part, Step};

impl Region {
    /// Keeps what a peer holds of some records until it can be judged.
    pub(super) fn open_case(
        &mut self,
        peer: RegionId,
        shelf: Shelf,
        seen: Seen,
        records: Vec<(Key, Outline)>,
    ) {
        if seen.iter().any(|(stream, _)| stream.placement != shelf.0) {
            self.counters.misplaced += 1;
            return;
        }
        if Repair::CASES_MAX <= self.repair.cases.len() {
            self.repair.cases.pop_front();
        }
        let until = self.now.mono + Repair::CASE_WAITS;
        self.repair.cases.push_back(Case { peer, shelf, seen, records, until });
        self.judge_cases();
    }

    /// Judges what can be judged.
    pub(crate) fn judge_cases(&mut self) {
        let now = self.now.mono;
        self.repair.sums.retain(|_, sum| now < sum.until);
        if !self.may_compare() {
            return;
        }
        for case in std::mem::take(&mut self.repair.cases) {
            let is_known = self.store.seen().covers(&case.seen);
            #[cfg(feature = "planted-bugs")]
            let is_known = is_known || self.planted == Some(crate::PlantedBug::JudgeEarly);
            if is_known {
                self.judge(&case);
            } else if now < case.until {
                self.repair.cases.push_back(case);
            }
        }
    }

    fn judge(&mut self, case: &Case) {
        let shelf @ (placement, dataset, shape) = case.shelf;
        let (mut sums, mut bytes) = (Vec::new(), 0);
        let needs = self.causes_of_all(placement);
        // Not all sums may fit: each has its turn, in some comparison.
        let (first, last) = case.records.split_at(self.rng.usize(..=case.records.len()));
        for (key, outline) in last.iter().chain(first) {
            let record = Record { placement, dataset, key: key.clone() };
            let Some(value) = self.store.state(&record, shape) else { continue };
            let preferred = self.preferred(&record);
            let theirs = |dot: Dot| {
                dot.is_in(&case.seen, placement)
                    && !(preferred == Some(dot.source.origin)
                        && self.will_compare(dot.source, case.peer))
            };
            match value.mend(outline, &theirs, self.source()) {
                Mending::Nothing => {}
                Mending::Write(all) => {
                    self.counters.mended += 1;
                    for (at, changes) in all {
                        let (delta, needs) = (Delta::Fields(changes), needs.clone());
                        let change = Change::Update(Box::new(Update { delta, needs }));
                        self.write_as_of(at, placement, DATA, key.clone(), change);
                    }
                }
                Mending::Send if Repair::SUMS_BYTES_MAX < bytes => {} // In the next comparison.
                Mending::Send => {
                    bytes += value.weight(); // Who takes it knows whether anything was wrong.
                    sums.push((key.clone(), value.into_owned()));
                }
            }
        }
        if !sums.is_empty() {
            self.say_word(case.peer, &Word::Sums { shelf, values: sums });
        }
    }

    /// Returns what any write that is held of a placement may depend on: what a restored one did is
    /// not known any more.
    fn causes_of_all(&self, placement: PlacementId) -> Seen {
        let mut all = self.data.horizon().get(&placement).cloned().unwrap_or_default();
        let seen = self.store.seen().iter().filter(|(it, _)| it.placement == placement);
        seen.for_each(|(stream, seq)| all.raise(*stream, seq));
        self.needs_of(&all, self.own_stream(placement))
    }

    /// Whether another region compares what it holds with a peer, and can restore its own write
    /// there under its own name.
    fn will_compare(&self, source: Source, with: RegionId) -> bool {
        let Source { origin, incarnation } = source;
        let is_alive = self.peers.get(&origin).is_some_and(|it| it.incarnation == incarnation);
        let are_linked = self.peers.get(&with).is_some_and(|it| it.linked.contains_key(&origin));
        origin != with && is_alive && are_linked
    }

    /// Takes in sums of a peer that lack nothing there.
    pub(super) fn take_sums(&mut self, from: RegionId, shelf: Shelf, values: Vec<(Key, Value)>) {
        let (placement, _, shape) = shelf;
        let is_shared = |dot: Dot| {
            let stream = dot.source.stream(placement);
            // What was never written here cannot be lost here.
            stream != self.own_stream(placement) || dot.is_in(self.store.seen(), placement)
        };
        let all_dots = values.iter().flat_map(|(_, value)| match value.outline() {
            Outline::Sums(all) => all.into_iter().map(|(dot, _)| dot).collect(),
            Outline::Fields(_) => Vec::new(),
        });
        if shape == Shape::Fields || !all_dots.into_iter().all(is_shared) {
            self.counters.misplaced += 1;
            return;
        }
        let incarnation = self.peers.get(&from).map_or(0, |peer| peer.incarnation);
        let source = Source { origin: from, incarnation };
        self.correct_sums(source, shelf, &values);
        // What the peer has added since what is seen here would show before it is seen: it waits.
        let (stream, until) = (source.stream(placement), self.now.mono + Repair::CASE_WAITS);
        let held = self.repair.sums.values().map(|it| it.value.weight());
        let mut bytes: usize = held.sum();
        for (key, value) in values {
            let seq = own_part(&value, source).unwrap_or(0);
            let is_later = self.store.seen().of(&stream) < seq;
            if is_later && bytes <= Repair::SUMS_BYTES_MAX {
                bytes += value.weight();
                let due = (stream, seq, key.clone());
                self.repair.sums.insert(due, Sum { shelf, key, value, until });
            }
        }
    }

    /// Takes up sums of a peer that waited for an op of it: whether what is held here is right can
    /// be told only until its next one.
    pub(crate) fn sums_are_due(&mut self, stream: StreamId, seq: u64) {
        let from = (stream, seq, Key::new(b""));
        let due = self
            .repair
            .sums
            .range(from..)
            .take_while(|((it, at, _), _)| (*it, *at) == (stream, seq));
        let due: Vec<_> = due.map(|(due, _)| due.clone()).collect();
        for due in due {
            let Some(sum) = self.repair.sums.remove(&due) else { continue };
            if self.may_compare() {
                self.correct_sums(stream.source(), sum.shelf, &[(sum.key, sum.value)]);
            }
        }
    }

    /// Puts right what sums of a peer show to be wrong here, as far as their ops are seen.
    fn correct_sums(&mut self, source: Source, shelf: Shelf, sums: &[(Key, Value)]) {
        let (placement, dataset, shape) = shelf;
        let known = |dot: Dot| dot.is_in(self.store.seen(), placement);
        let is_wrong = |(key, sum): &&(Key, Value)| {
            let record = Record { placement, dataset, key: key.clone() };
            let held = self.store.state(&record, shape);
            let held = held.unwrap_or_else(|| Cow::Owned(Value::empty(shape)));
            let mut right = held.clone().into_owned();
            right.correct(sum, source, &known);
            right != *held
        };
        let wrong = sums.iter().filter(is_wrong);
        let items = wrong.map(|(key, sum)| Item::Value(shelf, key.clone(), sum.clone()));
        let items: Vec<Item> = items.collect();
        if items.is_empty() {
            return;
        }
        self.counters.mended += items.len() as u64;
        let step = Step::Sums { incarnation: source.incarnation, items };
        let part = Part { from: Some(source.origin), step };
        let append = self.write_local(&part);
        self.take_part(part, append);
    }
}

/// Returns the last op of a source that is in a sum.
fn own_part(sum: &Value, source: Source) -> Option<u64> {
    match sum.outline() {
        Outline::Sums(all) => all.iter().find(|(it, _)| it.source == source).map(|(it, _)| it.seq),
        Outline::Fields(_) => None,
    }
}
