//! Records that move from one placement to another: copied, confirmed, removed, with a receipt.
//! Must not know how a record is replicated.
//!
//! A move is a register of the dataset [`MOVES`] in the old placement, written by the record's home
//! there (`run`): whatever dies, the home goes on from what the register says. The home in the new
//! placement notes what it has taken in (`adopt`), so that a copy that is asked for twice is made
//! once. Each region of the old placement notes when its log is free of the record (`purge`).

mod adopt;
mod ask;
mod purge;
mod receipt;
mod run;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use photon_state::{Change, Dataset, Key, Op, PlacementId, Record, RegionId, Seen};

pub use receipt::{Adopt, Copied, MoveId, MoveIdError, MoveState, Moved, Receipt};
pub(crate) use receipt::{Adoption, Move, Taken};

use super::{DatasetName, data_key, split_key};
use crate::codec::{decode_adoption, decode_move};
use crate::contract::Ticket;
use crate::region::Region;

/// Records of moves: registers by dataset, move and what they tell.
pub(crate) const MOVES: Dataset = Dataset(6);

/// What a register of [`MOVES`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tells {
    /// The move itself; in the old placement.
    Move,
    /// What the new home has taken in; in the new placement.
    Adoption,
    /// That the log of a region is free of the record; in the old placement.
    Purged(RegionId),
}

/// All moves that are known here.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    all: BTreeMap<(DatasetName, MoveId), Move>,
    adopted: BTreeMap<(PlacementId, MoveId), (DatasetName, Adoption)>,
    purged: BTreeMap<MoveId, BTreeMap<RegionId, u64>>,
    /// What this region has noted of its own log.
    noted: BTreeMap<(DatasetName, MoveId), Record>,
    /// Notes of these that nobody looks for any more: the receipts are gone.
    stray: BTreeSet<(DatasetName, MoveId)>,
    /// The moves that are not over, by the record in the old placement.
    open: BTreeMap<Record, (DatasetName, MoveId)>,
    /// What this region does about the moves that it decides.
    driven: BTreeMap<MoveId, Driven>,
    /// Those of them that go on once what was written last is durable, here or everywhere.
    due: BTreeSet<MoveId>,
    /// The last ticket that was used for a copy.
    last_ticket: Ticket,
    /// The copies that are asked for, with how many bytes each takes on a link.
    tickets: BTreeMap<Ticket, (DatasetName, MoveId, usize)>,
    /// What the log stands for from the state on that is being written, unless parts of another
    /// region's state may come after it.
    clean_from: Option<Seen>,
    /// What the log stood for where it was cut last.
    cutting: Option<Seen>,
}

/// How far this region is with a move that it decides.
#[derive(Debug)]
struct Driven {
    dataset: DatasetName,
    /// The append that must be durable before it goes on.
    after: u64,
    /// What every region of the old placement must have before the new home is asked: whoever
    /// goes on after the log of this region is lost must know what was asked for.
    told: Option<Seen>,
    /// Whether the new home is asked.
    is_asked: bool,
    /// When it was asked last.
    asked: Option<Duration>,
    /// What each region of the old placement had when it had the removal.
    heard: BTreeMap<RegionId, Seen>,
}

impl Driven {
    fn new(dataset: DatasetName) -> Self {
        let (told, asked, heard) = (None, None, BTreeMap::new());
        Self { dataset, after: 0, told, is_asked: false, asked, heard }
    }
}

impl Moves {
    /// Receipts of this region that are kept; the oldest that is over is forgotten.
    const KEPT_MAX: usize = 10_000;
    /// Copies that are asked for at once; other moves wait for their turn, the oldest first.
    const COPIES_MAX: usize = 64;
    /// Bytes of copies beyond which no other is asked for: with the largest there can be, they have
    /// room in what waits for a link, which drops what has none.
    const COPY_BYTES_MAX: usize = 2 << 20;
    /// Tickets of copies: above those of the shell, below those of peers.
    const TICKETS_FROM: Ticket = 1 << 62;

    fn forget_driven(&mut self, id: MoveId) {
        self.driven.remove(&id);
        self.due.remove(&id);
    }

    /// Whether so many copies are waited for that the next move must wait.
    fn is_busy(&self) -> bool {
        let bytes: usize = self.tickets.values().map(|(.., bytes)| bytes).sum();
        Self::COPIES_MAX <= self.tickets.len() || Self::COPY_BYTES_MAX <= bytes
    }
}

/// Whether a ticket is that of a copy.
pub(crate) fn is_copy(ticket: Ticket) -> bool {
    (Moves::TICKETS_FROM..1 << 63).contains(&ticket)
}

fn move_key(dataset: &DatasetName, id: MoveId, tells: Tells) -> Key {
    let mut key = id.to_bytes().to_vec();
    match tells {
        Tells::Move => key.push(1),
        Tells::Adoption => key.push(2),
        Tells::Purged(region) => {
            key.push(3);
            key.extend_from_slice(region.as_str().as_bytes());
        }
    }
    data_key(dataset, &key)
}

fn read_key(key: &Key) -> Option<(DatasetName, MoveId, Tells)> {
    let (dataset, rest) = split_key(key)?;
    let (id, rest) = rest.split_first_chunk::<16>()?;
    let tells = match rest {
        [1] => Tells::Move,
        [2] => Tells::Adoption,
        [3, region @ ..] => {
            Tells::Purged(RegionId::try_from(std::str::from_utf8(region).ok()?).ok()?)
        }
        _ => return None,
    };
    Some((dataset, MoveId::from_bytes(*id), tells))
}

/// Returns the record of an op about a move, if it can be one: who decides a move writes it, where
/// the record lived, and each region tells of its own log.
pub(crate) fn move_of(op: &Op) -> Option<Record> {
    let (dataset, id, tells) = read_key(&op.key)?;
    if let Change::Put(value) = &op.change {
        let fits = match tells {
            Tells::Move => decode_move(value).is_ok_and(|it| {
                let decides = it.receipt.decided_in == op.stream.origin;
                decides && it.is_of(&dataset, id, op.stream.placement)
            }),
            Tells::Adoption => decode_adoption(value).is_ok(),
            Tells::Purged(region) => region == op.stream.origin,
        };
        return fits.then(|| op.record());
    }
    Some(op.record())
}

impl Region {
    /// Follows a register about a move.
    pub(crate) fn index_move(&mut self, record: &Record) {
        let Some((dataset, id, tells)) = read_key(&record.key) else { return };
        let value = self.store.value(record);
        match tells {
            Tells::Move => {
                // A peer's state is not looked at op by op.
                let found = value.and_then(|it| decode_move(it).ok());
                let found = found.filter(|it| it.is_of(&dataset, id, record.placement));
                self.know_move(dataset, id, found);
            }
            Tells::Adoption => {
                let place = (record.placement, id);
                match value.and_then(|it| decode_adoption(it).ok()) {
                    Some(it) => drop(self.data.moves.adopted.insert(place, (dataset, it))),
                    None => drop(self.data.moves.adopted.remove(&place)),
                }
            }
            Tells::Purged(region) => {
                let at = self.store.dated(record).map(|(at, _)| at.wall_ms);
                let moves = &mut self.data.moves;
                let purged = moves.purged.entry(id).or_default();
                match at {
                    Some(at) => drop(purged.insert(region, at)),
                    None => drop(purged.remove(&region)),
                }
                if purged.is_empty() {
                    moves.purged.remove(&id);
                }
                if region == self.config.region {
                    match at {
                        Some(_) => drop(moves.noted.insert((dataset, id), record.clone())),
                        None => drop(moves.noted.remove(&(dataset, id))),
                    }
                }
            }
        }
    }

    fn know_move(&mut self, dataset: DatasetName, id: MoveId, found: Option<Move>) {
        let moves = &mut self.data.moves;
        moves.open.retain(|_, it| it.1 != id);
        let Some(found) = found else {
            moves.forget_driven(id);
            let gone = (dataset, id);
            moves.all.remove(&gone);
            if moves.noted.contains_key(&gone) {
                moves.stray.insert(gone);
            }
            return;
        };
        let is_open = found.receipt.state != MoveState::Done;
        if let Some(key) = found.receipt.key.as_ref().filter(|_| is_open) {
            let record = record_of(&dataset, found.receipt.from, key);
            moves.open.insert(record, (dataset.clone(), id));
        }
        if is_open && found.receipt.decided_in == self.config.region {
            moves.driven.entry(id).or_insert_with(|| Driven::new(dataset.clone()));
        } else {
            moves.forget_driven(id);
        }
        moves.all.insert((dataset, id), found);
    }

    /// Returns the receipt of a move as far as it is known here.
    fn receipt(&self, it: &Move) -> Receipt {
        let purged = self.data.moves.purged.get(&it.receipt.id).cloned().unwrap_or_default();
        Receipt { purged, ..it.receipt.clone() }
    }

    /// Iterates over the receipts of all moves that are known here, the oldest of each dataset
    /// first.
    pub fn receipts(&self) -> impl Iterator<Item = Receipt> {
        self.data.moves.all.values().map(|it| self.receipt(it))
    }

    /// Returns the regions of one placement that are not in another.
    fn members_only_of(&self, from: PlacementId, to: PlacementId) -> BTreeSet<RegionId> {
        let members = |it| self.config.placements.get(&it).cloned().unwrap_or_default();
        members(from).difference(&members(to)).copied().collect()
    }
}

fn record_of(dataset: &DatasetName, placement: PlacementId, key: &[u8]) -> Record {
    Record { placement, dataset: super::DATA, key: data_key(dataset, key) }
}

#[cfg(test)]
mod tests {
    use photon_state::{Hlc, StreamId};

    use super::*;
    use crate::codec::encode_move;

    fn name<T: for<'a> TryFrom<&'a str>>(text: &str) -> T {
        T::try_from(text).ok().unwrap()
    }

    fn begun() -> Move {
        let (from, to, region) = (name("eu-only"), name("us-only"), name("eu"));
        let receipt = Receipt {
            id: MoveId(7),
            dataset: name("people"),
            key: Some("k".into()),
            key_digest: [0; 32],
            content_digest: None,
            from,
            to,
            asked_in: region,
            decided_in: region,
            begun_ms: 1,
            done_ms: None,
            state: MoveState::Copying,
            copies: Vec::new(),
            removals: Vec::new(),
            must_forget: BTreeSet::new(),
            purged: BTreeMap::new(),
        };
        Move { receipt, round: 1, taken: Taken::Sum(1), end: Seen::default() }
    }

    /// Whether a register that `eu` writes in `eu-only` is one, after a forger was at it.
    fn check(forge: impl FnOnce(&mut Move, &mut Op)) -> bool {
        let mut it = begun();
        let key = move_key(&it.receipt.dataset, it.receipt.id, Tells::Move);
        let stream = StreamId { origin: name("eu"), placement: name("eu-only"), incarnation: 1 };
        let (at, change) = (Hlc::default(), Change::Delete);
        let mut op = Op { stream, seq: 1, at, dataset: MOVES, key, change };
        forge(&mut it, &mut op);
        op.change = Change::Put(encode_move(&it));
        move_of(&op).is_some()
    }

    #[test]
    fn a_register_is_of_the_placement_and_of_the_region_that_it_names() {
        assert!(check(|_, _| {}));
        assert!(!check(|it, _| it.receipt.from = name("ap-only")), "a peer may not see it");
        assert!(!check(|_, op| op.stream.placement = name("ap-only")));
        assert!(!check(|it, _| it.receipt.to = it.receipt.from));
        assert!(!check(|it, _| it.receipt.id = MoveId(8)));
        assert!(!check(|it, _| it.receipt.dataset = name("others")));
        assert!(!check(|it, _| it.receipt.decided_in = name("us")), "another would carry it out");
        assert!(!check(|_, op| op.stream.origin = name("us")));
        let purged = move_key(&name("people"), MoveId(7), Tells::Purged(name("us")));
        assert!(!check(|_, op| op.key = purged), "each region speaks of its own log");
        let adoption = move_key(&name("people"), MoveId(7), Tells::Adoption);
        assert!(!check(|_, op| op.key = adoption), "it is not that of an adoption");
    }
}
