//! Clients of datasets: what they write and read, and what they must find.
//! Must not know how a region keeps records.
//!
//! Each scribe plays one role, with values from which it can tell what it must find: counts of its
//! own, a cause and its effect, a quota, elements, a seat that one at a time takes, a secret that
//! stays inside its placement, and changes that a watcher must hear of once each.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use photon_region::Command;
use photon_region::data::{
    DataCommand, DataReply, DatasetName, DatasetSpec, Edit, Expect, FieldEdit, Kind, Mode, Outside,
    PlacementRule, Policy, ReadHow, ReadLevel, Write, WriteLevel,
};
use photon_state::{Dot, PlacementId, RegionId, Seen, StreamId};

use crate::asked::Asked;
use crate::clock::{MS, SECOND};
use crate::site::{Atlas, pick};
use crate::workload::{Request, Stage, Turn};

/// What every secret begins with: it is looked for where it must not be.
pub(crate) const CANARY: &[u8] = b"canary:7f3a";

/// The datasets of every planet.
const DATASETS: [(&str, Kind); 6] = [
    ("count", Kind::Counter),
    ("notes", Kind::Register),
    ("quota", Kind::BoundedCounter),
    ("tags", Kind::Set),
    ("seats", Kind::Register),
    ("secrets", Kind::Register),
];

/// Draws the datasets of a planet.
pub(crate) fn draw_datasets(
    ids: &[RegionId],
    placements: &[(PlacementId, u32)],
    rng: &mut fastrand::Rng,
) -> Vec<DatasetSpec> {
    let draw = |(name, kind): (&str, Kind)| {
        let secret = name == "secrets";
        let (placement, members) = match placements.last() {
            Some(last) if secret => *last,
            _ => placements[rng.usize(0..placements.len())],
        };
        let master = ids[pick(members, rng).expect("a placement has members")];
        let elsewhere = if rng.bool() { Outside::Forward } else { Outside::Refuse };
        let mode = match rng.u32(0..8) {
            0 => Mode::SingleMaster { master, elsewhere },
            1 => Mode::AsyncMaster { master },
            _ => Mode::MultiMaster,
        };
        DatasetSpec {
            name: DatasetName::try_from(name).expect("a constant that parses"),
            kind,
            rule: PlacementRule::Fixed(placement),
            outside: if secret { Outside::Refuse } else { Outside::Forward },
            mode,
            policy: Policy::LastWriter,
            write_level: WriteLevel::Eventual,
            read_level: ReadLevel::Session,
            ttl: None,
            retention: None,
            sensitive_keys: false,
        }
    };
    DATASETS.into_iter().map(draw).collect()
}

/// What a scribe asked for, with what it needs to judge the answer.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Adds one to the scribe's own counter.
    Count,
    /// Reads the scribe's own counter.
    ReadCount,
    /// Writes the cause, and then the effect.
    PutCause(u64),
    PutEffect(u64),
    /// Reads the effect, and then the cause, which must be as young.
    ReadEffect,
    ReadCause {
        least: u64,
    },
    /// Adds to a quota, and takes from it.
    Grant {
        key: u8,
        by: u64,
    },
    Spend {
        key: u8,
        by: u64,
    },
    /// Adds an element that nobody else adds, and removes it.
    AddElement(u32),
    RemoveElement(u32),
    /// Reads a seat, and takes it if nobody else has meanwhile.
    ReadSeat {
        key: u8,
    },
    TakeSeat {
        key: u8,
        number: u64,
    },
    PutSecret,
    ReadSecret,
    Watch,
    /// Reads with the session once all is at rest: it must be answered.
    LastLook,
}

/// What a scribe does.
#[derive(Debug)]
pub(crate) enum Role {
    Counter { tried: u64, acked: u64, floor: u64 },
    Author { next: u64, cause_done: bool, generation: u32 },
    Reader { author: u32, effect: Option<u64>, floor: [u64; 2], generation: u32 },
    Spender,
    Tagger { elements: Vec<u32> },
    Sitter { seat: Option<(u8, u64, Option<u64>)> },
    Keeper,
    Watcher { position: Option<Seen>, start: Seen, heard: BTreeMap<Dot, u32> },
}

/// A client of datasets.
#[derive(Debug)]
pub(crate) struct Scribe {
    pub(crate) role: Role,
    pub(crate) session: Seen,
    pub(crate) is_busy: bool,
    /// Where it was answered last, if it asks again at once.
    pub(crate) stays_at: Option<usize>,
    /// The level of the write that is under way.
    pub(crate) level: Option<WriteLevel>,
    /// In how many regions it has yet to look for the last time.
    pub(crate) looks: usize,
}

/// What was tried and what was promised for one quota.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quota {
    pub(crate) granted_tried: u64,
    pub(crate) granted: u64,
    pub(crate) spent_tried: u64,
    pub(crate) spent: u64,
}

/// What was tried and what was promised for one element.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Element {
    pub(crate) added: bool,
    pub(crate) removal_tried: bool,
    pub(crate) removed: bool,
}

/// All clients of datasets, and what they know together.
#[derive(Debug, Default)]
pub(crate) struct Scribes {
    pub(crate) all: Vec<Scribe>,
    /// The generation of each author: a new one writes new keys.
    pub(crate) generations: BTreeMap<u32, u32>,
    pub(crate) quotas: BTreeMap<u8, Quota>,
    pub(crate) elements: Vec<Element>,
    /// The ops that were acknowledged.
    pub(crate) acked: BTreeSet<(StreamId, u64)>,
    /// Those of them that were to be in a majority at least.
    pub(crate) at_quorum: BTreeSet<(StreamId, u64)>,
}

pub(crate) fn spec_of<'a>(atlas: &'a Atlas, name: &str) -> &'a DatasetSpec {
    let found = atlas.datasets.iter().find(|it| it.name.as_str() == name);
    found.expect("every planet has it")
}

/// Returns the placement of a dataset.
pub(crate) fn placement_of(atlas: &Atlas, name: &str) -> PlacementId {
    match &spec_of(atlas, name).rule {
        PlacementRule::Fixed(placement) => *placement,
        PlacementRule::ByTenant { .. } | PlacementRule::ByRecord { .. } => {
            unreachable!("it is not drawn so")
        }
    }
}

impl Scribes {
    /// How long a scribe lets a region wait.
    const WAIT_MAX_MS: u64 = 3_000;

    /// Draws scribes and gives each a first turn.
    pub(crate) fn draw(stage: &mut Stage<'_>, until: u64, rng: &mut fastrand::Rng) -> Self {
        let mut scribes = Self::default();
        let author = || Role::Author { next: 1, cause_done: false, generation: 0 };
        for _ in 0..rng.u32(0..3) {
            scribes.add(Role::Counter { tried: 0, acked: 0, floor: 0 });
        }
        for _ in 0..rng.u32(0..3) {
            let index = scribes.add(author());
            for _ in 0..rng.u32(1..3) {
                let (effect, floor, generation) = (None, [0; 2], 0);
                scribes.add(Role::Reader { author: index, effect, floor, generation });
            }
        }
        for _ in 0..rng.u32(0..4) {
            scribes.add(Role::Spender);
        }
        for _ in 0..rng.u32(0..3) {
            scribes.add(Role::Tagger { elements: Vec::new() });
        }
        for _ in 0..rng.u32(0..4) {
            scribes.add(Role::Sitter { seat: None });
        }
        for _ in 0..rng.u32(0..3) {
            scribes.add(Role::Keeper);
        }
        for _ in 0..rng.u32(0..3) {
            let (start, heard) = (Seen::default(), BTreeMap::new());
            scribes.add(Role::Watcher { position: None, start, heard });
        }
        for index in 0..scribes.all.len() {
            stage.later(rng.u64(50 * MS..until.clamp(51 * MS, 4 * SECOND)), turn(index));
        }
        scribes
    }

    fn add(&mut self, role: Role) -> u32 {
        let session = Seen::default();
        let (is_busy, stays_at, level, looks) = (false, None, None, 0);
        self.all.push(Scribe { role, session, is_busy, stays_at, level, looks });
        u32::try_from(self.all.len() - 1).expect("a few scribes")
    }

    /// Whether nobody waits for an answer.
    pub(crate) fn is_idle(&self) -> bool {
        self.all.iter().all(|it| !it.is_busy)
    }

    /// Lets a scribe do something.
    pub(crate) fn act(
        &mut self,
        stage: &mut Stage<'_>,
        index: u32,
        rng: &mut fastrand::Rng,
    ) -> Option<Request> {
        let scribe = &mut self.all[index as usize];
        if scribe.is_busy {
            return None;
        }
        if stage.is_calm {
            let site = scribe.looks.checked_sub(1)?;
            scribe.is_busy = true;
            let (step, wait) = (Step::LastLook, Duration::from_secs(8));
            let command = Command::Data(self.reading(stage.atlas, index, &step, wait, rng));
            return Some(Request { site, command, asked: Asked::Scribe(index, step) });
        }
        let Some(site) = pick(stage.alive, rng) else {
            stage.later(SECOND, turn(index as usize));
            return None;
        };
        let is_reader = matches!(scribe.role, Role::Reader { .. });
        let stays = scribe.stays_at.take().filter(|it| is_reader && stage.alive >> it & 1 == 1);
        let site = stays.unwrap_or(site);
        let step = self.next_step(index, rng);
        let scribe = &mut self.all[index as usize];
        scribe.is_busy = true;
        scribe.level = None;
        let wait = Duration::from_millis(rng.u64(0..Self::WAIT_MAX_MS));
        let command = match self.writing(index, &step) {
            Some((dataset, write)) => {
                let scribe = &mut self.all[index as usize];
                let level = WriteLevel::ALL[rng.usize(0..3)];
                scribe.level = Some(level);
                let (session, writes) = (scribe.session.clone(), vec![write]);
                let dataset = spec_of(stage.atlas, dataset).name.clone();
                DataCommand::Write { dataset, writes, level: Some(level), session, wait }
            }
            None => self.reading(stage.atlas, index, &step, wait, rng),
        };
        Some(Request { site, command: Command::Data(command), asked: Asked::Scribe(index, step) })
    }

    fn next_step(&mut self, index: u32, rng: &mut fastrand::Rng) -> Step {
        let generation = self.generations.get(&index).copied().unwrap_or(0);
        let readable = |author: &u32| self.generations.get(author).copied().unwrap_or(0);
        let newest = match &self.all[index as usize].role {
            Role::Reader { author, .. } => readable(author),
            Role::Counter { .. }
            | Role::Author { .. }
            | Role::Spender
            | Role::Tagger { .. }
            | Role::Sitter { .. }
            | Role::Keeper
            | Role::Watcher { .. } => generation,
        };
        let scribe = &mut self.all[index as usize];
        match &mut scribe.role {
            Role::Counter { tried, .. } => {
                if rng.bool() {
                    return Step::ReadCount;
                }
                *tried += 1;
                Step::Count
            }
            Role::Author { next, cause_done, generation: mine } => {
                *mine = generation;
                if *cause_done { Step::PutEffect(*next) } else { Step::PutCause(*next) }
            }
            Role::Reader { effect, floor, generation, .. } => {
                if *generation != newest {
                    (*generation, *effect, *floor) = (newest, None, [0; 2]);
                }
                match effect.take() {
                    Some(least) => Step::ReadCause { least },
                    None => Step::ReadEffect,
                }
            }
            Role::Spender => {
                let (key, by) = (rng.u8(0..2), rng.u64(1..10));
                let quota = self.quotas.entry(key).or_default();
                if rng.u32(0..3) == 0 {
                    quota.granted_tried += by;
                    Step::Grant { key, by }
                } else {
                    quota.spent_tried += by;
                    Step::Spend { key, by }
                }
            }
            Role::Tagger { elements } => {
                if !elements.is_empty() && rng.u32(0..3) == 0 {
                    let element = elements.swap_remove(rng.usize(0..elements.len()));
                    self.elements[element as usize].removal_tried = true;
                    return Step::RemoveElement(element);
                }
                self.elements.push(Element::default());
                Step::AddElement(u32::try_from(self.elements.len() - 1).expect("a few"))
            }
            Role::Sitter { seat } => match seat {
                Some((key, number, _)) => Step::TakeSeat { key: *key, number: *number + 1 },
                None => Step::ReadSeat { key: rng.u8(0..2) },
            },
            Role::Keeper => [Step::PutSecret, Step::ReadSecret][rng.usize(0..2)].clone(),
            Role::Watcher { .. } => Step::Watch,
        }
    }

    /// Returns the write of a step, if it is one.
    fn writing(&mut self, index: u32, step: &Step) -> Option<(&'static str, Write)> {
        let write = |key: String, edit: Edit| Write {
            key: key.into(),
            edit,
            expect: None,
            ttl: None,
            spot: None,
        };
        let number = |number: u64| Edit::Put(number.to_string().into());
        let generation = self.generations.get(&index).copied().unwrap_or(0);
        let element = |it: u32| Bytes::from(format!("e{it}"));
        Some(match step {
            Step::Count => ("count", write(format!("c{index}"), Edit::Add(1))),
            Step::PutCause(value) => {
                ("notes", write(format!("x{index}.{generation}"), number(*value)))
            }
            Step::PutEffect(value) => {
                ("notes", write(format!("y{index}.{generation}"), number(*value)))
            }
            Step::Grant { key, by } => {
                ("quota", write(format!("q{key}"), Edit::Add(i64::try_from(*by).ok()?)))
            }
            Step::Spend { key, by } => {
                ("quota", write(format!("q{key}"), Edit::Add(-i64::try_from(*by).ok()?)))
            }
            Step::AddElement(it) => {
                let edits = vec![FieldEdit::Set(element(*it), Bytes::new())];
                ("tags", write(format!("t{}", it % 3), Edit::Fields(edits)))
            }
            Step::RemoveElement(it) => {
                let edits = vec![FieldEdit::Remove(element(*it))];
                ("tags", write(format!("t{}", it % 3), Edit::Fields(edits)))
            }
            Step::TakeSeat { key, number: value } => {
                let Role::Sitter { seat } = &mut self.all[index as usize].role else { return None };
                let fingerprint = seat.take().and_then(|(_, _, fingerprint)| fingerprint);
                let expect = fingerprint.map_or(Expect::Absent, |it| Expect::Fingerprint(vec![it]));
                let write = write(format!("s{key}"), number(*value));
                ("seats", Write { expect: Some(expect), ..write })
            }
            Step::PutSecret => {
                let secret = [CANARY, index.to_string().as_bytes()].concat();
                ("secrets", write(format!("k{index}"), Edit::Put(secret.into())))
            }
            Step::ReadCount
            | Step::ReadEffect
            | Step::ReadCause { .. }
            | Step::ReadSeat { .. }
            | Step::ReadSecret
            | Step::Watch
            | Step::LastLook => return None,
        })
    }

    fn reading(
        &self,
        atlas: &Atlas,
        index: u32,
        step: &Step,
        wait: Duration,
        rng: &mut fastrand::Rng,
    ) -> DataCommand {
        let scribe = &self.all[index as usize];
        let mut level = [ReadLevel::Session, ReadLevel::Causal][rng.usize(0..2)];
        let (name, key) = match (step, &scribe.role) {
            (Step::LastLook, _) => {
                level = ReadLevel::Session;
                ("notes", "last".to_owned())
            }
            (Step::ReadCount, _) => ("count", format!("c{index}")),
            (Step::ReadEffect, Role::Reader { author, generation, .. }) => {
                level = ReadLevel::Causal;
                ("notes", format!("y{author}.{generation}"))
            }
            (Step::ReadCause { .. }, Role::Reader { author, generation, .. }) => {
                level = ReadLevel::Causal;
                ("notes", format!("x{author}.{generation}"))
            }
            (Step::ReadSeat { key }, _) => {
                level = ReadLevel::Linearizable;
                ("seats", format!("s{key}"))
            }
            (Step::ReadSecret, _) => {
                level = ReadLevel::ALL[rng.usize(0..5)];
                ("secrets", format!("k{index}"))
            }
            (_, Role::Watcher { position, .. }) => {
                let (prefix, position) = (Bytes::new(), position.clone());
                let dataset = spec_of(atlas, "notes").name.clone();
                return DataCommand::Watch { dataset, prefix, spot: None, position, wait };
            }
            (step, role) => unreachable!("{role:?} does not {step:?}"),
        };
        let session = scribe.session.clone();
        let how = ReadHow { level: Some(level), session, staleness_max: None, wait, spot: None };
        DataCommand::Read { dataset: spec_of(atlas, name).name.clone(), key: key.into(), how }
    }

    /// Takes in that there will be no answer: what was tried may be done or not.
    pub(crate) fn lost(&mut self, stage: &mut Stage<'_>, index: u32, step: &Step, delay: u64) {
        self.unknown(index, step);
        self.rest(stage, index, delay);
    }

    /// What was written may be there or not: the author begins anew, with other keys.
    pub(crate) fn unknown(&mut self, index: u32, step: &Step) {
        if let Step::PutCause(_) | Step::PutEffect(_) = step {
            *self.generations.entry(index).or_default() += 1;
            let scribe = &mut self.all[index as usize];
            scribe.role = Role::Author { next: 1, cause_done: false, generation: 0 };
        }
    }

    /// Lets a scribe pause.
    pub(crate) fn rest(&mut self, stage: &mut Stage<'_>, index: u32, delay: u64) {
        self.all[index as usize].is_busy = false;
        stage.later(delay, turn(index as usize));
    }
}

pub(crate) fn turn(index: usize) -> Turn {
    Turn::Scribe(u32::try_from(index).expect("a few scribes"))
}

/// Returns the number that a reply shows, 0 if there is no record.
pub(crate) fn number_of(reply: &DataReply) -> Option<(u64, Option<u64>)> {
    use photon_region::data::Content;
    let DataReply::Found(found) = reply else { return None };
    let Some(shown) = &found.record else { return Some((0, None)) };
    let number = match &shown.content {
        Content::Number(sum) => u64::try_from(*sum).ok()?,
        Content::Quota { value, .. } => u64::try_from(*value).ok()?,
        Content::Fields(fields) => {
            let (_, versions) = fields.first()?;
            std::str::from_utf8(&versions.first()?.written.bytes).ok()?.parse().ok()?
        }
    };
    Some((number, Some(shown.fingerprint)))
}
