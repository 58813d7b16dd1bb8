//! Carries a move out, at the record's home in the old placement: copy, confirm, remove, look
//! again. Must not remove what is not durable in every region of the new placement.
//!
//! Each step is a register that is durable before the next one begins; each step may be done twice.
//! What other regions wrote without having seen the removal survives it, and is moved as well: the
//! move is over once all of them have the removal, and nothing is left.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use photon_state::crdt::{Delta, FieldChange, Shape, Value};
use photon_state::{Change, Dot, PlacementId, Record, RegionId, Seen, Update};

use super::{
    Adopt, Copied, MOVES, Move, MoveId, MoveState, Moved, Moves, Taken, Tells, move_key, record_of,
};
use crate::codec::encode_move;
use crate::contract::{Command, Disk, Reply, Ticket};
use crate::data::{DATA, DataCommand, DataReply, DatasetName, DatasetSpec};
use crate::desk::Bell;
use crate::refusal::Refusal;
use crate::region::Region;
use crate::verdict::Patience;

impl Region {
    /// How long the new placement may take to have a copy everywhere; then it is asked again.
    const COPY_WITHIN: Duration = Duration::from_secs(10);

    /// Returns what of a record there is to be copied.
    pub(super) fn snapshot(&self, spec: &DatasetSpec, record: &Record) -> Option<Taken> {
        match &*self.store.state(record, spec.kind.shape())? {
            Value::Fields(fields) => {
                let dots: BTreeSet<Dot> = fields.versions().map(|(_, it)| it.dot).collect();
                (!dots.is_empty()).then_some(Taken::Writes(dots))
            }
            Value::Counter(counter) => {
                let sum = counter.sum();
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
            driven.after = after;
            driven.heard.clear();
        }
    }

    /// Goes on with all moves that this region decides.
    pub(crate) fn run_moves(&mut self) {
        if self.data.moves.driven.is_empty() {
            return;
        }
        let here = self.config.region;
        let own = self.data.moves.open.values().filter(|it| {
            let held = self.data.moves.all.get(it);
            held.is_some_and(|it| it.receipt.decided_in == here)
        });
        let own: Vec<(DatasetName, MoveId)> = own.cloned().collect();
        own.iter().for_each(|(dataset, id)| self.run_move(dataset, *id));
    }

    /// Goes on with a move, if the last step is durable.
    pub(super) fn run_move(&mut self, dataset: &DatasetName, id: MoveId) {
        let Some(driven) = self.data.moves.driven.get(&id) else { return };
        if self.durable() < driven.after || self.disk == Disk::Full {
            return;
        }
        let is_asked = driven.is_asked;
        let Some(held) = self.data.moves.all.get(&(dataset.clone(), id)).cloned() else { return };
        match held.receipt.state {
            MoveState::Copying if !is_asked => self.ask_to_adopt(&held),
            MoveState::Removing => self.look_again_at(held),
            MoveState::Copying | MoveState::Done => {}
        }
    }

    /// Asks the record's home in the new placement to take in a copy.
    fn ask_to_adopt(&mut self, held: &Move) {
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
        let needs = self.data.horizon.get(&receipt.from).cloned().unwrap_or_default();
        let (dataset, round) = (receipt.dataset.clone(), held.round);
        let (id, to) = (receipt.id, receipt.to);
        let adopt = Adopt { id, round, dataset: dataset.clone(), key, to, content, needs };
        let moves = &mut self.data.moves;
        moves.last_ticket = (moves.last_ticket + 1).max(Moves::TICKETS_FROM);
        let ticket = moves.last_ticket;
        moves.tickets.insert(ticket, (dataset, id));
        if let Some(driven) = moves.driven.get_mut(&id) {
            driven.is_asked = true;
        }
        let (adopt, wait) = (Box::new(adopt), Self::COPY_WITHIN);
        let command = Command::Data(DataCommand::Adopt { adopt, wait });
        self.on_command(ticket, command, Patience::Fresh);
        #[cfg(feature = "planted-bugs")]
        if self.planted == Some(crate::PlantedBug::EraseBeforeCopy)
            && self.data.moves.tickets.contains_key(&ticket)
        {
            self.remove_taken(held.clone());
        }
    }

    /// Takes in that a copy is durable in all of the new placement, or that it is not.
    pub(crate) fn copied(&mut self, ticket: Ticket, reply: Result<Reply, Refusal>) {
        let Some((dataset, id)) = self.data.moves.tickets.remove(&ticket) else { return };
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
        let (MoveState::Copying, Some((stream, seq))) = (held.receipt.state, mark) else { return };
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
            Taken::Sum(sum) => take_away(*sum).map(Delta::Add).collect(),
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
        for (id, from) in heard {
            let Some(driven) = self.data.moves.driven.get_mut(&id) else { continue };
            // What it had when it had the removal: whatever it wrote without knowledge of it.
            driven.heard.entry(peer).or_insert_with(|| of_placement(seen, from));
        }
        self.run_moves();
    }

    /// Ends a move if all regions of the old placement have the removal and nothing is left; copies
    /// again what they had written meanwhile.
    fn look_again_at(&mut self, mut held: Move) {
        let receipt = &held.receipt;
        let Some(driven) = self.data.moves.driven.get(&receipt.id) else { return };
        let Some(members) = self.config.placements.get(&receipt.from) else { return };
        let mut others = members.iter().filter(|it| **it != self.config.region);
        let have_all = others.all(|it| driven.heard.contains_key(it));
        if !have_all || !driven.heard.values().all(|it| self.store.seen().covers(it)) {
            return;
        }
        let Some(key) = &receipt.key else { return };
        let record = record_of(&receipt.dataset, receipt.from, key);
        // A dataset that was forgotten meanwhile has no records.
        let spec = self.dataset(&receipt.dataset).ok();
        if let Some(taken) = spec.as_ref().and_then(|it| self.snapshot(it, &record)) {
            held.receipt.state = MoveState::Copying;
            (held.round, held.taken) = (held.round + 1, taken);
            return self.write_move(&held);
        }
        let from = receipt.from;
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
        self.void_lost_adoptions();
        let seen = self.store.seen().clone();
        let (here, source) = (self.config.region, self.source());
        let all = self.data.moves.all.values().filter(|it| {
            let receipt = &it.receipt;
            let is_own = receipt.decided_in == here && receipt.state == MoveState::Removing;
            let is_done = |it: &Dot| it.source == source && it.is_in(&seen, receipt.from);
            is_own && !receipt.removals.last().is_some_and(is_done)
        });
        let lost: Vec<Move> = all.cloned().collect();
        for mut held in lost {
            held.receipt.removals.pop();
            self.remove_taken(held);
        }
    }
}

/// Returns what was seen of one placement.
pub(super) fn of_placement(seen: &Seen, placement: PlacementId) -> Seen {
    let all = seen.iter().filter(|(it, _)| it.placement == placement);
    all.map(|(it, seq)| (*it, seq)).collect()
}

/// Returns the amounts that make a sum, each small enough for one op.
pub(super) fn amounts(sum: i128) -> impl Iterator<Item = i64> {
    let mut left = sum;
    std::iter::from_fn(move || {
        let by = left.clamp(i128::from(-i64::MAX), i128::from(i64::MAX));
        left -= by;
        i64::try_from(by).ok().filter(|it| *it != 0)
    })
}

/// Returns the amounts that take a sum away.
fn take_away(sum: i128) -> impl Iterator<Item = i64> {
    amounts(sum).map(|it| -it)
}
