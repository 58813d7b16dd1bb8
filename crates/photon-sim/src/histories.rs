//! What clients asked of the homes of things, and were told: recorded as it happens, one history
//! for each thing, and checked for an order in which all of it could have been done.
//! Must not change the world, nor know how an order is looked for.
//!
//! Recorded is what only a home decides: conditional writes and reads at `linearizable` of records,
//! all writes of those that have a master; what workers and clients ask about tasks; submissions
//! under a key. Refusals that say that nothing was done are left out; what may have been done all
//! the same stays open for ever. Waived is what the design does not promise, and no more:
//!
//! * A task is set back when its home is lost and had not passed on what it answered: whoever goes
//!   on from before that answers from before it, and may be given it later ([`Takeovers`]).
//! * A region that loses its disk may set back the tasks of which it was a home once more, and the
//!   records of which it is one to what a majority has acknowledged ([`Record`]); its keys may be
//!   taken anew.
//! * A key counts in one region, so that those with which clients turned to another one are left
//!   out, and those whose task another region has accepted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use photon_region::data::{
    Content, DataCommand, DataRefusal, DataReply, DatasetName, Edit, Expect, ReadLevel, Shown,
    Write, WriteLevel,
};
use photon_region::{Command, Refusal, Reply, TaskId, Ticket};
use photon_state::RegionId;

use crate::clock::Micros;
use crate::lin::{
    Expected, History, Key, Model, Record, RecordAsk, RecordSaid, STEPS_MAX, Searched,
    Shown as Lines, Submit, Taken, Task, TaskAsk, TaskSaid, Version, search,
};
use crate::promises::{Broken, Ledger, Promise};
use crate::records::spec_of;
use crate::run::Report;
use crate::site::{Atlas, Site};
use crate::takeovers::Takeovers;

/// Datasets whose records are written by their homes alone: under conditions, or by a master.
const UNDER_CONDITIONS: &str = "seats";
const BY_MASTERS: &str = "secrets";

type RecordName = (DatasetName, Bytes);

/// What was asked of the home of a record, and which region that is.
#[derive(Debug, Default)]
struct OfRecord {
    history: History<Record>,
    home: Option<RegionId>,
}

/// What was submitted under a key, and where, one bit for each site.
#[derive(Debug, Default)]
struct OfKey {
    history: History<Key>,
    sites: u32,
    /// The tasks that were named in answers.
    tasks: BTreeSet<TaskId>,
}

/// An operation that awaits its answer.
#[derive(Debug)]
enum Open {
    Record(RecordName, usize),
    Task(TaskId, usize),
    Key(Arc<str>, usize),
}

/// The histories of all things.
#[derive(Debug, Default)]
pub(crate) struct Histories {
    records: BTreeMap<RecordName, OfRecord>,
    tasks: BTreeMap<TaskId, History<Task>>,
    keys: BTreeMap<Arc<str>, OfKey>,
    open: BTreeMap<Ticket, Open>,
    /// Which sites have lost their disks, one bit for each.
    lost: u32,
    /// From where homes went on.
    pub(crate) takeovers: Takeovers,
}

impl Histories {
    /// Takes note of what a client asks.
    pub(crate) fn asked(
        &mut self,
        now: Micros,
        atlas: &Atlas,
        (ticket, site): (Ticket, usize),
        command: &Command,
    ) {
        let open = match command {
            Command::Submit(spec) => spec.idempotency.as_ref().and_then(|it| {
                let of = self.keys.entry(it.key.clone()).or_default();
                of.sites |= 1 << site;
                let number = of.history.asked(now, Submit(it.digest))?;
                Some(Open::Key(it.key.clone(), number))
            }),
            Command::AtHome(ask) => TaskAsk::of(ask).and_then(|it| {
                let number = self.tasks.entry(ask.task()).or_default().asked(now, it)?;
                Some(Open::Task(ask.task(), number))
            }),
            Command::Data(command) => record_ask(atlas, command).and_then(|(name, ask)| {
                let of = self.records.entry(name.clone()).or_default();
                Some(Open::Record(name, of.history.asked(now, ask)?))
            }),
            Command::Register(_)
            | Command::Deregister(_)
            | Command::Agent(_)
            | Command::Agents { .. }
            | Command::AgentChanges { .. }
            | Command::Route { .. }
            | Command::Task(_)
            | Command::Tasks { .. }
            | Command::Events { .. }
            | Command::Acquire { .. }
            | Command::Webhooks(_)
            | Command::TakeDue { .. }
            | Command::Told { .. }
            | Command::Topic(_)
            | Command::Govern(_)
            | Command::Topology => None,
        };
        if let Some(open) = open {
            self.open.insert(ticket, open);
        }
    }

    /// Takes note of what a client is told. What was told of a record must fit at once.
    pub(crate) fn answered(
        &mut self,
        now: Micros,
        ticket: Ticket,
        reply: &Result<Reply, Refusal>,
    ) -> Result<(), Broken> {
        match self.open.remove(&ticket) {
            None => Ok(()),
            Some(Open::Record(name, number)) => {
                let of = self.records.get_mut(&name).expect("it was asked about");
                of.home = of.home.or(decided(reply).map(|(home, _)| home));
                note(&mut of.history, now, number, record_said(reply));
                check_record(&name, of).map(|_| ())
            }
            Some(Open::Task(task, number)) => {
                let history = self.tasks.get_mut(&task).expect("it was asked about");
                note(history, now, number, task_said(reply));
                Ok(())
            }
            Some(Open::Key(key, number)) => {
                let of = self.keys.get_mut(&key).expect("it was asked under");
                let said = key_said(reply);
                if let Said::This(Taken::Task(task) | Taken::ByAnother(task)) = &said {
                    of.tasks.insert(*task);
                }
                note(&mut of.history, now, number, said);
                Ok(())
            }
        }
    }

    /// Takes note that a region has lost its disk.
    pub(crate) fn lost_disk(&mut self, now: Micros, site: usize, region: RegionId) {
        self.lost |= 1 << site;
        for of in self.records.values_mut().filter(|it| it.home == Some(region)) {
            if let Some(number) = of.history.asked(now, RecordAsk::LoseDisk) {
                of.history.answered(now, number, RecordSaid::Lost);
            }
        }
    }

    /// Looks for an order in each history, and counts.
    pub(crate) fn check(
        &self,
        sites: &[Site],
        ledger: &Ledger,
        report: &mut Report,
    ) -> Result<(), Broken> {
        for (name, of) in &self.records {
            count(report, check_record(name, of)?, of.history.len(), Terms::Strict);
        }
        for (task, history) in &self.tasks {
            // Its home ends it without being asked.
            if ledger.task(*task).is_some_and(|it| it.is_spread) {
                continue;
            }
            let what = || format!("of task {task}");
            let (found, terms) = match check(&Task { setbacks: 0 }, history, what) {
                Ok(found) => (found, Terms::Strict),
                // Only what fits no order needs an excuse.
                Err(_) => {
                    let lost = ledger.lost_homes(sites, *task);
                    let setbacks = self.takeovers.setbacks(*task) + lost;
                    (check(&Task { setbacks }, history, what)?, Terms::Loose)
                }
            };
            count(report, found, history.len(), terms);
        }
        for (key, of) in &self.keys {
            let here = sites.get(of.sites.trailing_zeros() as usize).map(|it| it.config.region);
            let born = |task| sites.iter().find_map(|it| it.disk.birthplace(task));
            let is_alone = of.sites.count_ones() == 1 && of.sites & self.lost == 0;
            let are_here = of.tasks.iter().all(|it| here.is_some() && born(*it) == here);
            if is_alone && are_here && !of.tasks.is_empty() {
                let found = check(&Key, &of.history, || format!("under the key {key}"))?;
                count(report, found, of.history.len(), Terms::Strict);
            }
        }
        Ok(())
    }
}

/// What an answer says about an operation.
enum Said<A> {
    This(A),
    /// It may have been done, or may be yet.
    Nothing,
    /// It was not done, and nobody was told anything.
    NotDone,
}

fn note<M: Model>(history: &mut History<M>, now: Micros, number: usize, said: Said<M::Answer>) {
    match said {
        Said::This(answer) => history.answered(now, number, answer),
        Said::Nothing => {}
        Said::NotDone => history.undone(number),
    }
}

/// How much a history is held to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Terms {
    Strict,
    /// It may have been set back.
    Loose,
}

fn count(report: &mut Report, found: Searched, operations: usize, terms: Terms) {
    match found {
        Searched::Order => {
            report.ordered += operations as u64;
            report.loosely += if terms == Terms::Loose { operations as u64 } else { 0 };
        }
        Searched::NoOrder(_) => unreachable!("that is a broken promise"),
        Searched::GaveUp => report.unjudged += 1,
    }
}

fn check<M: Model>(
    model: &M,
    history: &History<M>,
    what: impl FnOnce() -> String,
) -> Result<Searched, Broken> {
    if history.is_cut_off {
        return Ok(Searched::GaveUp);
    }
    let calls = history.calls(model);
    let found = search(model, &calls, STEPS_MAX);
    let Searched::NoOrder(stuck) = found else { return Ok(found) };
    let (what, lines) = (what(), Lines(&calls, Some(stuck)));
    Err(Promise::Linearizable.broken(format!("what was asked {what} fits no order:{lines}")))
}

fn check_record(name: &RecordName, of: &OfRecord) -> Result<Searched, Broken> {
    let (dataset, key) = name;
    check(&Record, &of.history, || {
        let home = of.home.map(|it| format!(" at its home {it}")).unwrap_or_default();
        format!("of {dataset:?} {}{home}", String::from_utf8_lossy(key))
    })
}

/// Returns what the home of a record is asked, if it is one whose history is kept.
fn record_ask(atlas: &Atlas, command: &DataCommand) -> Option<(RecordName, RecordAsk)> {
    if let DataCommand::Read { dataset, key, how } = command {
        let is_read = how.level == Some(ReadLevel::Linearizable) && is_kept(atlas, dataset);
        return is_read.then(|| ((dataset.clone(), key.clone()), RecordAsk::Read));
    }
    let DataCommand::Write { dataset, writes, level, .. } = command else { return None };
    if !is_kept(atlas, dataset) {
        return None;
    }
    let [Write { key, edit: Edit::Put(bytes), expect, .. }] = &writes[..] else {
        unreachable!("scribes put one value at a time")
    };
    let expected = match expect {
        None => Expected::Anything,
        Some(Expect::Present) => Expected::Present,
        Some(Expect::Absent) => Expected::Absent,
        Some(Expect::Fingerprint(all)) => Expected::OneOf(all.clone()),
    };
    let (number, level) = (number_in(bytes), level.unwrap_or(WriteLevel::Eventual));
    let ask = RecordAsk::Put { number, expected, level };
    Some(((dataset.clone(), key.clone()), ask))
}

fn is_kept(atlas: &Atlas, dataset: &DatasetName) -> bool {
    let is = |name| dataset.as_str() == name;
    is(UNDER_CONDITIONS) || is(BY_MASTERS) && spec_of(atlas, BY_MASTERS).mode.master().is_some()
}

fn number_in(bytes: &[u8]) -> u64 {
    let digits = bytes.rsplit(|it| !it.is_ascii_digit()).next().unwrap_or_default();
    std::str::from_utf8(digits).ok().and_then(|it| it.parse().ok()).unwrap_or(0)
}

fn version_of(shown: &Shown) -> Version {
    let number = match &shown.content {
        Content::Fields(fields) => {
            let first = fields.first().and_then(|(_, all)| all.first());
            first.map_or(0, |it| number_in(&it.written.bytes))
        }
        Content::Number(_) | Content::Quota { .. } => 0,
    };
    Version { number, print: Some(shown.fingerprint) }
}

/// Returns the region that has decided about a record, and what it says.
fn decided(reply: &Result<Reply, Refusal>) -> Option<(RegionId, RecordSaid)> {
    let Ok(Reply::Data(reply)) = reply else { return None };
    if let DataReply::Written(written) = &**reply {
        let record = written.records.first().expect("one record was written");
        return Some((written.region, RecordSaid::Done(record.fingerprint)));
    }
    let DataReply::Found(found) = &**reply else { return None };
    Some((found.region, RecordSaid::Shown(found.record.as_ref().map(version_of))))
}

fn record_said(reply: &Result<Reply, Refusal>) -> Said<RecordSaid> {
    if let Some((_, said)) = decided(reply) {
        return Said::This(said);
    }
    match reply {
        Err(Refusal::Data(DataRefusal::Unexpected { found })) => {
            Said::This(RecordSaid::Unexpected(*found))
        }
        Err(Refusal::Data(
            DataRefusal::LevelNotReached { .. }
            | DataRefusal::DeciderUnreachable { was_sent: true, .. },
        )) => Said::Nothing,
        Ok(_) | Err(_) => Said::NotDone,
    }
}

fn task_said(reply: &Result<Reply, Refusal>) -> Said<TaskSaid> {
    match reply {
        Ok(Reply::Standing { state, generation }) => {
            Said::This(TaskSaid::Stands(*state, *generation))
        }
        Err(Refusal::Ended { state, .. }) => Said::This(TaskSaid::Ended(*state)),
        Err(Refusal::NotAsked { state, .. }) => Said::This(TaskSaid::NotAsked(*state)),
        Err(Refusal::StaleToken { tokens, .. }) => Said::This(TaskSaid::Stale(tokens.current)),
        Err(Refusal::NoteGap { expected, .. }) => Said::This(TaskSaid::Gap(*expected)),
        // A net that says everything twice may have it done when there is room again.
        Err(Refusal::HomeUnreachable { .. } | Refusal::DiskFull { .. }) => Said::Nothing,
        Ok(_) | Err(_) => Said::NotDone,
    }
}

fn key_said(reply: &Result<Reply, Refusal>) -> Said<Taken> {
    match reply {
        Ok(Reply::Submitted { task, .. }) => Said::This(Taken::Task(task.id)),
        Err(Refusal::KeyReused { task }) => Said::This(Taken::ByAnother(*task)),
        Err(Refusal::HomeUnreachable { .. }) => Said::Nothing,
        Ok(_) | Err(_) => Said::NotDone,
    }
}
