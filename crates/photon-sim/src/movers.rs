//! Clients whose records move from one placement to another: nothing of them may be lost, and
//! nothing may stay where they may not be.
//! Must not know how a region moves a record.
//!
//! A mover gives each of its records a life: written where it begins, moved once, written and read
//! on. What it writes is numbered, and names the record, so that every byte of it can be found.

use std::time::Duration;

use photon_region::data::{
    Content, DataCommand, DataRefusal, DataReply, DatasetName, DatasetSpec, Edit, Kind, Mode,
    MoveState, Outside, PlacementRule, Policy, ReadHow, ReadLevel, Spot, Write, WriteLevel,
};
use photon_region::{Command, Refusal};
use photon_state::{PlacementId, Seen};

use crate::asked::Asked;
use crate::clock::{MS, SECOND};
use crate::promises::{Broken, Promise};
use crate::site::{Atlas, pick};
use crate::workload::{Request, Stage, Turn};

/// What all that movers write begins with.
pub(crate) const CARRY: &str = "carry:91be";

/// The datasets whose records move.
pub(crate) const PLACED: [(&str, Kind); 2] = [("placed", Kind::Register), ("tally", Kind::Counter)];

/// Draws the datasets whose records move: by the name of a placement.
pub(crate) fn placed_datasets(placements: &[(PlacementId, u32)]) -> Vec<DatasetSpec> {
    let values = placements.iter().map(|(it, _)| (it.as_str().into(), *it));
    let values: std::collections::BTreeMap<_, _> = values.collect();
    let spec = |(name, kind)| DatasetSpec {
        name: DatasetName::try_from(name).expect("a constant that parses"),
        kind,
        rule: PlacementRule::ByRecord {
            attribute: "residency".into(),
            values: values.clone(),
            others: None,
        },
        outside: Outside::Forward,
        mode: Mode::MultiMaster,
        policy: Policy::LastWriter,
        write_level: WriteLevel::Eventual,
        read_level: ReadLevel::Session,
        ttl: None,
        retention: None,
        sensitive_keys: false,
    };
    PLACED.into_iter().map(spec).collect()
}

/// What a mover does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Writes the next number, or adds one.
    Write,
    /// Asks for the move.
    Move,
    /// Reads the record without saying where it lives.
    Read,
    /// Lets a region bound its log.
    Compact,
}

/// The life of one record.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) from: PlacementId,
    pub(crate) to: PlacementId,
    pub(crate) tried: u64,
    pub(crate) acked: u64,
    /// What was acknowledged before the move was asked for.
    pub(crate) floor: u64,
    pub(crate) is_asked: bool,
    /// Whether a client was told that the move is over.
    pub(crate) is_done: bool,
    /// Whether a write may still be on its way somewhere.
    is_unclear: bool,
    /// Whether something was written since the move was asked for.
    is_touched: bool,
}

/// A client whose records move.
#[derive(Debug)]
pub(crate) struct Mover {
    pub(crate) kind: Kind,
    pub(crate) lives: Vec<Life>,
    session: Seen,
    is_busy: bool,
}

/// All clients whose records move.
#[derive(Debug, Default)]
pub(crate) struct Movers(pub(crate) Vec<Mover>);

pub(crate) fn key_of(index: usize, life: usize) -> String {
    format!("m{index}.{life}")
}

/// Returns what every content of a record begins with.
pub(crate) fn mark_of(index: usize, life: usize) -> String {
    format!("{CARRY} {}:", key_of(index, life))
}

impl Mover {
    fn begin(&mut self, atlas: &Atlas, rng: &mut fastrand::Rng) {
        let count = atlas.placements.len();
        let from = rng.usize(0..count);
        let to = (from + rng.usize(1..count)) % count;
        self.lives.push(Life {
            from: atlas.placements[from].0,
            to: atlas.placements[to].0,
            tried: 0,
            acked: 0,
            floor: 0,
            is_asked: false,
            is_done: false,
            is_unclear: false,
            is_touched: false,
        });
    }

    fn dataset(&self) -> DatasetName {
        let name = if self.kind == Kind::Counter { "tally" } else { "placed" };
        DatasetName::try_from(name).expect("a constant that parses")
    }
}

impl Movers {
    /// Draws movers and gives each a first turn; a planet with one placement has none.
    pub(crate) fn draw(stage: &mut Stage<'_>, until: u64, rng: &mut fastrand::Rng) -> Self {
        let mut movers = Self::default();
        if stage.atlas.placements.len() < 2 {
            return movers;
        }
        for index in 0..rng.u32(0..4) {
            let kind = if rng.u32(0..3) == 0 { Kind::Counter } else { Kind::Register };
            let (session, lives) = (Seen::default(), Vec::new());
            let mut mover = Mover { kind, lives, session, is_busy: false };
            mover.begin(stage.atlas, rng);
            movers.0.push(mover);
            let first = rng.u64(50 * MS..until.clamp(51 * MS, 4 * SECOND));
            stage.later(first, Turn::Mover(index));
        }
        movers
    }

    /// Whether nobody waits for an answer.
    pub(crate) fn is_idle(&self) -> bool {
        self.0.iter().all(|it| !it.is_busy)
    }

    /// Lets a mover do something.
    pub(crate) fn act(
        &mut self,
        stage: &mut Stage<'_>,
        index: u32,
        rng: &mut fastrand::Rng,
    ) -> Option<Request> {
        let mover = &mut self.0[index as usize];
        if mover.is_busy || stage.is_calm {
            return None;
        }
        let Some(site) = pick(stage.alive, rng) else {
            stage.later(SECOND, Turn::Mover(index));
            return None;
        };
        let life = mover.lives.last().expect("a mover has a life");
        let is_stuck = life.is_unclear && !life.is_asked;
        if is_stuck || life.is_done && rng.u32(0..4) == 0 {
            mover.begin(stage.atlas, rng);
        }
        let deed = mover.choose(rng);
        let wait = Duration::from_millis(rng.u64(0..3_000));
        let command = mover.command(index as usize, deed, wait, rng);
        mover.is_busy = true;
        Some(Request { site, command: Command::Data(command), asked: Asked::Mover(index, deed) })
    }

    /// Takes in an answer.
    pub(crate) fn heard(
        &mut self,
        stage: &mut Stage<'_>,
        here: usize,
        (index, deed): (u32, Deed),
        reply: &DataReply,
        rng: &mut fastrand::Rng,
    ) -> Result<(), Broken> {
        let (name, is_strict) = (stage.atlas.ids[here], stage.ledger.is_strict());
        let mover = &mut self.0[index as usize];
        let key = key_of(index as usize, mover.lives.len() - 1);
        let is_counter = mover.kind == Kind::Counter;
        let life = mover.lives.last_mut().expect("a mover has a life");
        match (deed, reply) {
            (Deed::Write, DataReply::Written(written)) => {
                life.acked = if is_counter { life.acked + 1 } else { life.tried };
                mover.session = written.session.clone();
            }
            (Deed::Move, DataReply::Moved(receipt)) => {
                life.is_done |= receipt.state == MoveState::Done;
            }
            (Deed::Read, DataReply::Found(found)) => {
                mover.session = found.session.clone();
                // A region that sees one of the two places knows nothing of the other.
                let [sees_from, sees_to] =
                    [life.from, life.to].map(|it| stage.atlas.may_hold(it, here));
                let moves = life.is_asked && !life.is_done;
                let least = if moves && sees_from != sees_to { life.floor } else { life.acked };
                let shown = found.record.as_ref().map(|it| (number(&it.content), it.placement));
                let is_there = shown.is_some_and(|(it, _)| least <= it) || least == 0;
                // The parts of a counter that moves are not added up.
                let may_be_part = is_counter && life.is_asked;
                Promise::Acknowledged.holds(is_there || may_be_part || !is_strict, || {
                    format!("{name} showed {shown:?} of {key}, which holds {least}: {life:?}")
                })?;
            }
            (Deed::Compact, DataReply::Compacting) => {}
            (deed, reply) => {
                return Err(Promise::Contract.broken(format!("{deed:?}: {reply:?}")));
            }
        }
        self.rest(stage, index, rng.u64(1..600) * MS);
        Ok(())
    }

    /// Takes in a refusal.
    pub(crate) fn refused(
        &mut self,
        stage: &mut Stage<'_>,
        (index, deed): (u32, Deed),
        refusal: &Refusal,
        rng: &mut fastrand::Rng,
    ) -> Result<(), Broken> {
        let life = self.0[index as usize].lives.last_mut().expect("a mover has a life");
        let is_unknown = matches!(
            refusal,
            Refusal::Data(
                DataRefusal::LevelNotReached { .. }
                    | DataRefusal::DeciderUnreachable { was_sent: true, .. }
            )
        );
        match deed {
            Deed::Write if is_unknown => life.is_unclear = true,
            Deed::Write => life.tried -= 1,
            Deed::Move | Deed::Read | Deed::Compact => {}
        }
        // What moves is always somewhere: nobody may be told that there is nothing to move.
        let nothing = DataRefusal::NothingToMove { placement: Some(life.from) };
        let is_gone = *refusal == nothing.into();
        let is_lost = deed == Deed::Move && is_gone && 0 < life.acked;
        Promise::Acknowledged.holds(!is_lost || !stage.ledger.is_strict(), || {
            format!("there is nothing to move of {life:?}: {refusal}")
        })?;
        self.rest(stage, index, rng.u64(50 * MS..SECOND));
        Ok(())
    }

    /// Takes in that there will be no answer: what was tried may be done or not.
    pub(crate) fn lost(&mut self, stage: &mut Stage<'_>, index: u32, deed: Deed, delay: u64) {
        let life = self.0[index as usize].lives.last_mut().expect("a mover has a life");
        life.is_unclear |= deed == Deed::Write;
        self.rest(stage, index, delay);
    }

    fn rest(&mut self, stage: &mut Stage<'_>, index: u32, delay: u64) {
        self.0[index as usize].is_busy = false;
        stage.later(delay, Turn::Mover(index));
    }
}

impl Mover {
    fn choose(&self, rng: &mut fastrand::Rng) -> Deed {
        let life = self.lives.last().expect("a mover has a life");
        // What is written while it moves is written once: clocks that may not know of each other
        // cannot tell which of two such writes is younger.
        let may_write = !life.is_unclear && (!life.is_asked || life.is_done || !life.is_touched);
        match rng.u32(0..8) {
            _ if life.acked == 0 && may_write => Deed::Write,
            0..2 if may_write => Deed::Write,
            0..4 => Deed::Move,
            4..7 => Deed::Read,
            _ => Deed::Compact,
        }
    }

    fn command(
        &mut self,
        index: usize,
        deed: Deed,
        wait: Duration,
        rng: &mut fastrand::Rng,
    ) -> DataCommand {
        let (dataset, session) = (self.dataset(), self.session.clone());
        let number_of_life = self.lives.len() - 1;
        let (key, mark) = (key_of(index, number_of_life), mark_of(index, number_of_life));
        let is_counter = self.kind == Kind::Counter;
        let life = self.lives.last_mut().expect("a mover has a life");
        let spot = |it: PlacementId| Some(Spot::Value(it.as_str().into()));
        match deed {
            Deed::Write => {
                life.tried += 1;
                life.is_touched |= life.is_asked;
                let edit = if is_counter {
                    Edit::Add(1)
                } else {
                    Edit::Put(format!("{mark}{}", life.tried).into())
                };
                // What is there before the move begins is in every region.
                let level = if life.is_asked { WriteLevel::Eventual } else { WriteLevel::Strong };
                let spot = match (life.is_asked, life.is_done) {
                    (false, _) if life.acked == 0 || rng.bool() => spot(life.from),
                    (_, true) if rng.bool() => spot(life.to),
                    (false | true, _) => None,
                };
                let writes = vec![Write { key: key.into(), edit, expect: None, ttl: None, spot }];
                DataCommand::Write { dataset, writes, level: Some(level), session, wait }
            }
            Deed::Move => {
                if !life.is_asked {
                    (life.is_asked, life.floor) = (true, life.acked);
                }
                let from = if rng.bool() { spot(life.from) } else { None };
                let to = spot(life.to).expect("it is said");
                DataCommand::Move { dataset, key: key.into(), to, from, asked_in: None, wait }
            }
            Deed::Read => {
                let (level, staleness_max) = (Some(ReadLevel::Session), None);
                let how = ReadHow { level, session, staleness_max, wait, spot: None };
                DataCommand::Read { dataset, key: key.into(), how }
            }
            Deed::Compact => DataCommand::Compact,
        }
    }
}

/// Returns the number that a content shows.
pub(crate) fn number(content: &Content) -> u64 {
    match content {
        Content::Number(sum) => u64::try_from(*sum).unwrap_or(u64::MAX),
        Content::Quota { .. } => 0,
        Content::Fields(fields) => {
            let all = fields.first().and_then(|(_, all)| all.last());
            all.and_then(|it| number_in(&it.written.bytes)).unwrap_or(0)
        }
    }
}

/// Returns the number in what a mover has written.
pub(crate) fn number_in(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok()?.strip_prefix(CARRY)?;
    text.rsplit(':').next()?.parse().ok()
}
