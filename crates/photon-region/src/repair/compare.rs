//! Finds the records in which two regions differ: down the tallies, each saying in turn what the
//! buckets amount to that differed, and then by lists of the records in the leaves.
//! Must not tell a region of what may not be there.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;
use photon_state::crdt::Value;
use photon_state::{Key, RegionId, Seat, Shelf, Tally};

use super::{Listed, Repair, Scan, Word};
use crate::contract::{Disk, Message};
use crate::data::DATA;
use crate::desk::Held;
use crate::region::Region;

/// Shortens what a bucket amounts to. The whole sum is mixed into it.
fn shorten(sum: u64) -> u32 {
    (sum.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

impl Region {
    /// Begins a comparison with the next peer if it is time.
    pub(crate) fn compare_next(&mut self) {
        let now = self.now.mono;
        if now < self.repair.due || !self.may_compare() {
            return;
        }
        self.repair.due = now + self.config.limits.repair_every;
        // Of two regions the one whose name comes first begins.
        let here = self.config.region;
        let others = self.peers.iter().filter(|(it, peer)| here < **it && peer.is_linked);
        let others: Vec<RegionId> = others.map(|(it, _)| *it).collect();
        let last = self.repair.last;
        let next = others.iter().find(|it| last.is_none_or(|last| last < **it));
        let Some(peer) = next.or(others.first()).copied() else { return };
        self.repair.last = Some(peer);
        let shared = self.config.placements.iter();
        let shared = shared.filter(|(_, it)| it.contains(&peer) && it.contains(&here));
        let shelves = shared.flat_map(|(it, _)| Repair::SHAPES.map(|shape| (*it, DATA, shape)));
        let roots: Vec<(Shelf, u64)> = shelves.map(|it| (it, self.root(&it))).collect();
        if !roots.is_empty() {
            self.counters.compared += 1;
            self.say_word(peer, &Word::Roots(roots));
        }
    }

    /// Whether what is held here follows from what is seen.
    pub(crate) fn may_compare(&self) -> bool {
        self.covers.is_empty() && !self.holds_unknown && self.disk == Disk::Ready
    }

    fn root(&self, shelf: &Shelf) -> u64 {
        self.store.tally(shelf).map_or(0, Tally::root)
    }

    /// Says a word to a peer, once all that it may tell of is durable.
    pub(super) fn say_word(&mut self, to: RegionId, word: &Word) {
        let body = word.encode();
        self.counters.compared_bytes += body.len() as u64;
        self.say(self.appended(), Held::Send(to, Message::Compare(body)));
    }

    /// Takes a word of a peer in.
    pub(crate) fn on_compare(&mut self, from: RegionId, body: &Bytes) {
        let here = self.config.region;
        let Ok(word) = Word::decode(body) else {
            self.counters.misplaced += 1;
            return;
        };
        let is_shared = |(placement, dataset, _): &Shelf| {
            *dataset == DATA && self.may_hold(from, *placement) && self.may_hold(here, *placement)
        };
        if !word.shelves().iter().all(is_shared) {
            self.counters.misplaced += 1;
            return;
        }
        if !self.may_compare() {
            return; // The next comparison may find it otherwise.
        }
        match word {
            Word::Roots(roots) => {
                let differs = |(shelf, root): &(Shelf, u64)| self.root(shelf) != *root;
                let differing: Vec<_> = roots.into_iter().filter(differs).collect();
                for (shelf, _) in differing {
                    let buckets = self.prints(&shelf, 0, &[0]);
                    self.say_word(from, &Word::Prints { shelf, depth: 0, buckets });
                }
            }
            Word::Prints { shelf, depth, buckets } => self.descend(from, shelf, depth, &buckets),
            Word::List { shelf, leaves, prints } => {
                self.begin_scan(from, shelf, leaves, Some(prints.into_iter().collect()));
            }
            Word::Differ { shelf, keys, prints } => self.outline_listed(from, shelf, keys, &prints),
            Word::Outlines { shelf, seen, records, asks } => {
                if asks {
                    let keys = records.iter().map(|(key, _)| key.clone()).collect();
                    self.outline(from, shelf, keys, false);
                }
                self.open_case(from, shelf, seen, records);
            }
            Word::Sums { shelf, values } => self.take_sums(from, shelf, values),
        }
    }

    fn prints(&self, shelf: &Shelf, depth: u32, buckets: &[u16]) -> Vec<(u16, [u32; 16])> {
        let tally = self.store.tally(shelf);
        let prints = |bucket: &u16| {
            let sums = tally.map_or([0; Tally::FANOUT], |it| it.children(depth, *bucket));
            (*bucket, sums.map(shorten))
        };
        buckets.iter().map(prints).collect()
    }

    /// Goes one step down where a peer's buckets differ from those here.
    fn descend(
        &mut self,
        peer: RegionId,
        shelf: Shelf,
        depth: u32,
        buckets: &[(u16, [u32; Tally::FANOUT])],
    ) {
        let named: Vec<u16> = buckets.iter().map(|(it, _)| *it).collect();
        let ours = self.prints(&shelf, depth, &named);
        let mut differing: Vec<u16> = Vec::new();
        for ((bucket, here), (_, there)) in ours.iter().zip(buckets) {
            let children = (0..16).zip(here.iter().zip(there)).filter(|(_, (a, b))| a != b);
            differing.extend(children.map(|(child, _)| bucket << 4 | child));
        }
        if differing.is_empty() {
            return;
        }
        let records = self.store.tally(&shelf).map_or(0, Tally::records).max(1);
        let is_leaf = depth + 1 == Tally::DEPTH;
        let leaves_max = (Repair::LISTED_MAX / 2 * (1 << 16) / records).max(1);
        let max = if is_leaf { leaves_max.min(Repair::BUCKETS_MAX) } else { Repair::BUCKETS_MAX };
        if max < differing.len() {
            let from = self.rng.usize(..differing.len());
            differing.rotate_left(from); // So that all have their turn, in some comparison.
            differing.truncate(max);
            differing.sort_unstable();
        }
        if is_leaf {
            self.begin_scan(peer, shelf, differing, None);
        } else {
            let buckets = self.prints(&shelf, depth + 1, &differing);
            self.say_word(peer, &Word::Prints { shelf, depth: depth + 1, buckets });
        }
    }

    /// Begins to look for the records in some leaves, unless others are being looked for.
    fn begin_scan(
        &mut self,
        peer: RegionId,
        shelf: Shelf,
        leaves: Vec<u16>,
        theirs: Option<BTreeSet<u64>>,
    ) {
        if self.repair.scan.is_some() {
            return; // The next comparison finds them again.
        }
        let (leaves, at) = (leaves.into_iter().collect(), self.now.mono);
        let (after, found) = (None, BTreeMap::new());
        self.repair.scan = Some(Scan { peer, shelf, leaves, theirs, after, found, at });
        self.go_on_comparing();
    }

    /// Looks a little further for the records in the leaves that differ.
    pub(crate) fn go_on_comparing(&mut self) {
        let now = self.now.mono;
        let Some(mut scan) = self.repair.scan.take_if(|it| it.at <= now) else { return };
        let from = scan.after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let pages_before = self.store.pages().read;
        let (mut looked_at, mut bytes, mut pages, mut stopped_at) = (0, 0, 0, None);
        for held in self.store.states(scan.shelf, from) {
            looked_at += 1;
            let seat = Seat::of(held.key());
            // Few leaves are wanted, and the value of a record may have to be read from pages.
            if scan.leaves.contains(&seat.leaf()) {
                let value = held.value();
                bytes += value.weight();
                let print = seat.print(&value);
                if print != 0 {
                    scan.found.insert(Word::short(print), Key::new(held.key()));
                }
            }
            pages = self.store.pages().read - pages_before;
            if Repair::LOOKED_AT_MAX <= looked_at
                || Repair::LOOKED_AT_BYTES_MAX <= bytes
                || Repair::PAGES_READ_MAX <= pages
            {
                stopped_at = Some(Key::new(held.key()));
                break;
            }
        }
        if Repair::LISTED_MAX < scan.found.len() {
            return; // They have become too many: the next comparison takes fewer leaves.
        }
        if stopped_at.is_some() {
            scan.after = stopped_at;
            scan.at = now + Repair::pause(pages);
            self.repair.scan = Some(scan);
            return;
        }
        self.end_scan(scan);
    }

    fn end_scan(&mut self, scan: Scan) {
        let Scan { peer, shelf, leaves, theirs, found, .. } = scan;
        let Some(theirs) = theirs else {
            let prints = found.keys().copied().collect();
            self.repair.listed = Some(Listed { peer, shelf, keys: found });
            let leaves = leaves.into_iter().collect();
            return self.say_word(peer, &Word::List { shelf, leaves, prints });
        };
        let in_vain = theirs.iter().filter(|it| !found.contains_key(it)).copied();
        let prints: Vec<u64> = in_vain.collect();
        let keys = found.into_iter().filter(|(print, _)| !theirs.contains(print));
        let keys: Vec<Key> = keys.map(|(_, key)| key).collect();
        if !keys.is_empty() || !prints.is_empty() {
            self.say_word(peer, &Word::Differ { shelf, keys, prints });
        }
    }

    /// Outlines the records that a peer has not listed, and those that were listed to it in vain.
    fn outline_listed(&mut self, peer: RegionId, shelf: Shelf, keys: Vec<Key>, prints: &[u64]) {
        let is_it = |it: &mut Listed| it.peer == peer && it.shelf == shelf;
        let Some(listed) = self.repair.listed.take_if(is_it) else { return };
        let known = prints.iter().filter_map(|it| listed.keys.get(it)).cloned();
        let all: BTreeSet<Key> = keys.into_iter().chain(known).collect();
        self.outline(peer, shelf, all.into_iter().collect(), true);
    }

    /// Tells a peer what is in force in some records.
    pub(crate) fn outline(&mut self, peer: RegionId, shelf: Shelf, keys: Vec<Key>, asks: bool) {
        let (placement, dataset, shape) = shelf;
        let mut told = 0;
        let mut records = Vec::new();
        for key in keys {
            if Repair::OUTLINED_MAX <= told {
                break; // The next comparison finds the others again.
            }
            let record = photon_state::Record { placement, dataset, key };
            let held = self.store.state(&record, shape);
            let held = held.as_deref();
            let outline = held.map_or_else(|| Value::empty(shape).outline(), Value::outline);
            told += 1 + held.map_or(0, Value::weight) / 128;
            records.push((record.key, outline));
        }
        if records.is_empty() {
            return;
        }
        let seen = self.store.seen().iter().filter(|(it, _)| it.placement == placement);
        let seen = seen.map(|(it, seq)| (*it, seq)).collect();
        self.say_word(peer, &Word::Outlines { shelf, seen, records, asks });
    }
}
