//! Decides what of a difference is damage, and mends it.
//! Must not act before all that the other region had seen is seen here.

use photon_state::crdt::{Delta, Mending, Outline, Shape, Value};
use photon_state::{Change, Dot, Key, Record, RegionId, Seen, Shelf, Source, Update};

use super::{Case, Repair, Word};
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
        if !self.may_compare() {
            return;
        }
        let now = self.now.mono;
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
        for (key, outline) in &case.records {
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
                        let (delta, needs) = (Delta::Fields(changes), Seen::default());
                        let change = Change::Update(Box::new(Update { delta, needs }));
                        self.write_as_of(at, placement, DATA, key.clone(), change);
                    }
                }
                Mending::Send if Repair::SUMS_BYTES_MAX < bytes => {} // In the next comparison.
                Mending::Send => {
                    self.counters.mended += 1;
                    bytes += value.weight();
                    sums.push((key.clone(), value.into_owned()));
                }
            }
        }
        if !sums.is_empty() {
            self.say_word(case.peer, &Word::Sums { shelf, values: sums });
        }
    }

    /// Whether another region compares what it holds with a peer, and can restore its own write
    /// there under its own name.
    fn will_compare(&self, source: Source, with: RegionId) -> bool {
        let Source { origin, incarnation } = source;
        let is_alive = self.peers.get(&origin).is_some_and(|it| it.incarnation == incarnation);
        let are_linked = self.peers.get(&with).is_some_and(|it| it.linked.contains_key(&origin));
        origin != with && is_alive && are_linked
    }

    /// Merges sums of a peer that lack nothing there.
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
        let items = values.into_iter().map(|(key, value)| Item::Value(shelf, key, value));
        let step = Step::Sums { incarnation, items: items.collect() };
        let part = Part { from: Some(from), step };
        let append = self.write_local(&part);
        self.take_part(part, append);
    }
}
