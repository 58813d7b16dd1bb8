//! Carries a move out, at the record's home in the old placement: copy, confirm, remove, look
//! again. Must not remove what is not durable in every region of the new placement.
//!
//! Each step is a register that is durable before the next one begins; each step may be done twice.
//! What other regions wrote without having seen the removal survives it, and is moved as well: the
//! move is over once all of them have the removal, and nothing is left.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use photon_state::crdt::{Delta, Field, FieldChange, Shape, Value, Version};
use photon_state::{Change, Dot, PlacementId, Record, RegionId, Seen, StreamId, Update};

use super::{
    Adopt, Copied, MOVES, Move, MoveId, MoveState, Moved, Moves, Receipt, Taken, Tells, move_key,
    record_of,
};
use crate::codec::encode_move;
use crate::contract::{Command, Disk, Reply, Ticket};
use crate::data::{DATA, DataCommand, DataReply, DatasetSpec};
use crate::desk::Bell;
use crate::refusal::Refusal;
use crate::region::Region;
use crate::verdict::Patience;

impl Region {
    /// How long the new placement may take to have a copy everywhere; then it is asked again.
    const COPY_WITHIN: Duration = Duration::from_secs(10);
    /// Bytes of a record that is moved, and of what it becomes with what is there already: two that
    /// were made apart may be more than one may hold by a write. It travels in one piece.
    pub(super) const MOVED_BYTES_MAX: usize = 6 << 20;
    /// Moves that are looked at whenever something was written; a beat looks at all.
    const DUE_AT_ONCE_MAX: usize = 64;

    /// Returns what of a record there is to be copied.
    pub(super) fn snapshot(&self, spec: &DatasetSpec, record: &Record) -> Option<Taken> {
        match &*self.store.state(record, spec.kind.shape())? {
            Value::Fields(fields) => {
                // What came late may be more than one copy may hold: the rest is left to the next.
                let mut bytes = 0;
                let fits = |(field, it): &&(Field, Version)| {
                    let is_first = bytes == 0;
                    bytes += field.len() + it.written.bytes.len() + 1;
                    is_first || bytes <= Self::MOVED_BYTES_MAX
                };
                let taken = fields.versions().take_while(fits);
                let dots: BTreeSet<Dot> = taken.map(|(_, it)| it.dot).collect();
                (!dots.is_empty()).then_some(Taken::Writes(dots))
            }
            Value::Counter(counter) => {
                let max = i128::from(i64::MAX);
                let sum = i64::try_from(counter.sum().clamp(-max, max)).expect("it is clamped");
                (sum != 0).then_some(Taken::Sum(sum))
            }
            Value::Escrow(_) => None,
        }
    }

    /// Writes how far a move is; it goes on once that is durable.
    pub(super) fn write_move(&mut self, it: &Move) {
        let receipt = &it.receipt;
        let key = move_key(&receipt.dataset, receipt.id, Tells::Move);
        self.write(receipt.from, MOVES, key, Change::Put(encode_move(it)));
        let after = self.appended();
        if let Some(driven) = self.data.moves.driven.get_mut(&receipt.id) {
            (driven.after, driven.told) = (after, None);
            driven.heard.clear();
            self.data.moves.due.insert(receipt.id);
        }
    }

    /// Goes on with all moves that this region decides. There is not room for all copies at once:
    /// first come those that were not asked for, the oldest first, then those of long ago.
    pub(crate) fn run_moves(&mut self) {
        let all = self.data.moves.driven.iter();
        let mut all: Vec<_> = all.map(|(id, it)| (it.asked, *id)).collect();
        all.sort_unstable();
        all.into_iter().for_each(|(_, id)| self.run_move(id));
    }

    /// Goes on with the moves that wait for what was written last, the oldest first.
    pub(crate) fn run_due_moves(&mut self) {
        let due: Vec<MoveId> =
            self.data.moves.due.iter().take(Self::DUE_AT_ONCE_MAX).copied().collect();
        due.into_iter().for_each(|id| self.run_move(id));
    }

    /// Goes on with a move, if the last step is durable.
    pub(super) fn run_move(&mut self, id: MoveId) {
        let Some(driven) = self.data.moves.driven.get(&id) else { return };
        if self.durable() < driven.after || self.disk == Disk::Full {
            return;
        }
        let is_asked = driven.is_asked;
        let Some(held) = self.data.moves.all.get(&(driven.dataset.clone(), id)) else { return };
        let from = held.receipt.from;
        if self.may_lack(from) {
            return; // What it did before its log was lost may yet be heard of.
        }
        match held.receipt.state {
            MoveState::Copying if !is_asked => {
                let is_up = self.may_be_asked(held);
                if !is_up {
                    self.data.moves.due.remove(&id); // The next beat looks again.
                } else if !self.data.moves.is_busy() && self.is_told(id, from) {
                    self.data.moves.due.remove(&id);
                    self.ask_to_adopt(id);
                }
            }
            MoveState::Removing => {
                self.data.moves.due.remove(&id); // What peers have is heard of later.
                self.look_again_at(id);
            }
            MoveState::Copying | MoveState::Done => {}
        }
    }

    /// Whether all can be reached that have to know before a copy is made, or to make it.
    fn may_be_asked(&self, held: &Move) -> bool {
        let Receipt { dataset, key: Some(key), from, to, .. } = &held.receipt else { return false };
        let placements = &self.config.placements;
        let (Ok(spec), true) = (self.dataset(dataset), placements.contains_key(to)) else {
            return false;
        };
        let mut members = placements.get(from).into_iter().flatten();
        let home = self.home_of_record(&spec, *to, key);
        self.is_reachable(home) && members.all(|it| self.is_reachable(*it))
    }

    /// Whether every region of the old placement has what this one has written there.
    fn is_told(&mut self, id: MoveId, from: PlacementId) -> bool {
        let (here, seen) = (self.config.region, self.store.seen());
        let Some(driven) = self.data.moves.driven.get_mut(&id) else { return false };
        let told = driven.told.get_or_insert_with(|| {
            let own = |it: &StreamId| it.origin == here && it.placement == from;
            seen.iter().filter(|(it, _)| own(it)).map(|(it, seq)| (*it, seq)).collect()
        });
        let members = self.config.placements.get(&from).into_iter().flatten();
        let mut others = members.filter(|it| **it != here).map(|it| self.peers.get(it));
        others.all(|it| it.and_then(|it| it.theirs.as_ref()).is_some_and(|it| it.covers(told)))
    }

    /// Asks the record's home in the new placement to take in a copy.
    fn ask_to_adopt(&mut self, id: MoveId) {
        let Some(held) = self.driven_move(id) else { return };
        let receipt = &held.receipt;
        let Some(key) = receipt.key.clone() else { return };
        let record = record_of(&receipt.dataset, receipt.from, &key);
        let content = match &held.taken {
            Taken::Sum(sum) => Moved::Sum(*sum),
            Taken::Writes(dots) => {
                let state = self.store.state(&record, Shape::Fields);
                let state = state.map_or_else(|| Value::empty(Shape::Fields), Cow::into_owned);
                let Value::Fields(fields) = state else {
                    return;
                };
                let now = self.expiry_clock(self.now);
                let taken = fields
                    .versions()
                    .filter(|(_, it)| dots.contains(&it.dot) && !it.written.is_over(now));
                Moved::Fields(taken.cloned().collect())
            }
        };
        self.ask_new_home(&held, content);
        #[cfg(feature = "planted-bugs")]
        if self.planted == Some(crate::PlantedBug::EraseBeforeCopy)
            && self.data.moves.driven.get(&id).is_some_and(|it| it.is_asked)
        {
            self.remove_taken(held);
        }
    }

    /// Asks the record's home in the new placement for something, until it answers.
    fn ask_new_home(&mut self, held: &Move, content: Moved) {
        let receipt = &held.receipt;
        let (id, Some(key)) = (receipt.id, receipt.key.clone()) else { return };
        let needs = self.data.horizon.get(&receipt.from).cloned().unwrap_or_default();
        let (dataset, round) = (receipt.dataset.clone(), held.round);
        let to = receipt.to;
        let adopt = Adopt { id, round, dataset: dataset.clone(), key, to, content, needs };
        let moves = &mut self.data.moves;
        moves.last_ticket = (moves.last_ticket + 1).max(Moves::TICKETS_FROM);
        let ticket = moves.last_ticket;
        let bytes = adopt.weight();
        moves.tickets.insert(ticket, (dataset, id, bytes));
        if let Some(driven) = moves.driven.get_mut(&id) {
            (driven.is_asked, driven.asked) = (true, Some(self.now.mono));
        }
        let (adopt, wait) = (Box::new(adopt), Self::COPY_WITHIN);
        let command = Command::Data(DataCommand::Adopt { adopt, wait });
        self.on_command(ticket, command, Patience::Fresh);
    }

    /// Takes in that a copy is durable in all of the new placement, or that it is not.
    pub(crate) fn copied(&mut self, ticket: Ticket, reply: Result<Reply, Refusal>) {
        let Some((dataset, id, _)) = self.data.moves.tickets.remove(&ticket) else { return };
        if let Some(driven) = self.data.moves.driven.get_mut(&id) {
            driven.is_asked = false;
        }
        // Otherwise the next beat asks again.
        let Ok(Reply::Data(reply)) = reply else { return };
        if self.disk == Disk::Full {
            return;
        }
        let DataReply::Written(written) = *reply else { return };
        let Some(mut held) = self.data.moves.all.get(&(dataset, id)).cloned() else { return };
        let to = held.receipt.to;
        let mark = written.session.iter().find(|(it, _)| it.placement == to);
        let (stream, seq) = match (held.receipt.state, mark) {
            (MoveState::Copying, Some(mark)) => mark,
            (MoveState::Removing, None) => return self.end_move(held), // It keeps no note any more.
            (MoveState::Copying | MoveState::Removing | MoveState::Done, _) => return,
        };
        let dot = Dot { source: stream.source(), seq };
        let regions = self.config.placements.get(&to).cloned().unwrap_or_default();
        held.receipt.copies.push(Copied { dot, regions });
        self.remove_taken(held);
    }

    /// Removes from the old placement what was copied, and nothing else.
    fn remove_taken(&mut self, mut held: Move) {
        let receipt = &held.receipt;
        let Some(key) = &receipt.key else { return };
        let record = record_of(&receipt.dataset, receipt.from, key);
        let deltas: Vec<Delta> = match &held.taken {
            Taken::Sum(sum) => vec![Delta::Add(-sum)],
            Taken::Writes(dots) => {
                let changes = self.removal_of(&record, dots);
                if changes.is_empty() { vec![] } else { vec![Delta::Fields(changes)] }
            }
        };
        // The register says which op removes, before it does: who starts again looks for that.
        let stream = self.own_stream(receipt.from);
        let seq = self.store.seen().of(&stream) + 1 + deltas.len() as u64;
        held.receipt.state = MoveState::Removing;
        held.receipt.removals.push(Dot { source: self.source(), seq });
        self.write_move(&held);
        for delta in deltas {
            let change = Change::Update(Box::new(Update { delta, needs: Seen::default() }));
            self.write(record.placement, DATA, record.key.clone(), change);
        }
        let after = self.appended();
        if let Some(driven) = self.data.moves.driven.get_mut(&held.receipt.id) {
            driven.after = after;
        }
    }

    fn removal_of(&self, record: &Record, dots: &BTreeSet<Dot>) -> Vec<FieldChange> {
        let state = self.store.state(record, Shape::Fields);
        let Some(Value::Fields(fields)) = state.as_deref() else {
            return Vec::new();
        };
        let changes = fields.iter().map(|(field, all)| {
            let taken = all.iter().map(|(_, it)| it.dot).filter(|it| dots.contains(it));
            FieldChange { field: field.clone(), replaces: taken.collect(), written: None }
        });
        changes.filter(|it| !it.replaces.is_empty()).collect()
    }

    /// Takes in what a peer has: it may have a removal, and what it wrote before.
    pub(crate) fn heard_of_removals(&mut self, peer: RegionId, seen: &Seen) {
        if self.data.moves.driven.is_empty() {
            return;
        }
        let mut heard = Vec::new();
        for open in self.data.moves.open.values() {
            let Some(it) = self.data.moves.all.get(open) else { continue };
            let receipt = &it.receipt;
            let has_it = receipt.removals.last().is_some_and(|it| it.is_in(seen, receipt.from));
            let is_due = receipt.state == MoveState::Removing && has_it;
            if is_due && self.may_hold(peer, receipt.from) {
                heard.push((receipt.id, receipt.from));
            }
        }
        for (id, from) in heard.iter().copied() {
            let Some(driven) = self.data.moves.driven.get_mut(&id) else { continue };
            // What it had when it had the removal: whatever it wrote without knowledge of it.
            driven.heard.entry(peer).or_insert_with(|| of_placement(seen, from));
        }
        heard.into_iter().for_each(|(id, _)| self.run_move(id));
        self.run_due_moves();
    }

    /// Ends a move if all regions of the old placement have the removal and nothing is left; copies
    /// again what they had written meanwhile.
    fn look_again_at(&mut self, id: MoveId) {
        let Some(driven) = self.data.moves.driven.get(&id).filter(|it| !it.is_asked) else {
            return;
        };
        let held = self.data.moves.all.get(&(driven.dataset.clone(), id));
        let members = held.and_then(|it| self.config.placements.get(&it.receipt.from));
        let Some(members) = members else { return };
        let mut others = members.iter().filter(|it| **it != self.config.region);
        let have_all = others.all(|it| driven.heard.contains_key(it));
        if !have_all || !driven.heard.values().all(|it| self.store.seen().covers(it)) {
            return;
        }
        let Some(mut held) = held.cloned() else { return };
        let receipt = &held.receipt;
        let Some(key) = &receipt.key else { return };
        let record = record_of(&receipt.dataset, receipt.from, key);
        // A dataset that was forgotten meanwhile has no records.
        let spec = self.dataset(&receipt.dataset).ok();
        if let Some(taken) = spec.as_ref().and_then(|it| self.snapshot(it, &record)) {
            held.receipt.state = MoveState::Copying;
            (held.round, held.taken) = (held.round + 1, taken);
            return self.write_move(&held);
        }
        let may_be_told = spec.is_some() && self.config.placements.contains_key(&receipt.to);
        if !may_be_told {
            self.end_move(held); // Nobody remembers the record.
        } else if self.may_be_asked(&held) && !self.data.moves.is_busy() {
            self.ask_new_home(&held, Moved::Over);
        }
    }

    /// Ends a move.
    fn end_move(&mut self, mut held: Move) {
        let spec = self.dataset(&held.receipt.dataset).ok();
        let from = held.receipt.from;
        held.taken = Taken::Writes(BTreeSet::new());
        held.receipt.state = MoveState::Done;
        held.receipt.done_ms = Some(self.now.wall_ms);
        if spec.is_none_or(|it| it.sensitive_keys) {
            held.receipt.key = None;
        }
        let stream = self.own_stream(from);
        let mut end = of_placement(self.store.seen(), from);
        end.raise(stream, self.store.seen().of(&stream) + 1);
        held.end = end;
        self.write_move(&held);
        self.ring(&Bell::Move(held.receipt.id));
    }

    /// Looks at the start for what a crash has undone: a step that was noted, and not done.
    pub(crate) fn resume_moves(&mut self) {
        // Both before anything is written: the numbers of what is lost go to other ops.
        let lost = self.lost_removals();
        self.find_stray_notes();
        self.void_lost_adoptions();
        lost.into_iter().for_each(|it| self.redo_removal(it));
    }

    /// Makes the removals again that are nowhere, now that all is here that others had.
    pub(crate) fn redo_lost_removals(&mut self) {
        let lost = self.lost_removals();
        lost.into_iter().for_each(|it| self.redo_removal(it));
    }

    fn lost_removals(&self) -> Vec<Move> {
        let all = self.data.moves.all.values().filter(|it| {
            let receipt = &it.receipt;
            let is_own = receipt.decided_in == self.config.region;
            // What was written before the log was lost may be elsewhere.
            let is_here = |dot: &Dot| dot.is_in(self.store.seen(), receipt.from);
            let is_lost = |dot: &Dot| {
                !is_here(dot) && (dot.source == self.source() || !self.may_lack(receipt.from))
            };
            let is_removing = receipt.state == MoveState::Removing;
            is_own && is_removing && receipt.removals.last().is_none_or(is_lost)
        });
        all.cloned().collect()
    }

    fn redo_removal(&mut self, mut held: Move) {
        held.receipt.removals.pop();
        self.remove_taken(held);
    }

    fn driven_move(&self, id: MoveId) -> Option<Move> {
        let driven = self.data.moves.driven.get(&id)?;
        self.data.moves.all.get(&(driven.dataset.clone(), id)).cloned()
    }
}

/// Returns what was seen of one placement.
pub(super) fn of_placement(seen: &Seen, placement: PlacementId) -> Seen {
    let all = seen.iter().filter(|(it, _)| it.placement == placement);
    all.map(|(it, seq)| (*it, seq)).collect()
}
