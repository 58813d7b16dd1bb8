//! Tasks that are many at once: the same asked of all agents that have a skill, or once in every
//! region, as tasks of their own, and what came of each told as an artifact of the one.
//!
//! The task that a client submits is worked on by its home. It writes down first whom it asks, and
//! names the tasks that it makes by that: so an heir asks nobody twice. They are of the same shard,
//! so that one home decides about all of them.
//! Must not look into messages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use photon_state::RegionId;

use super::times::said;
use crate::artifacts::Artifacts;
use crate::contract::Disk;
use crate::matching::Wants;
use crate::region::Region;
use crate::task::{
    Checkpoint, Chunk, Event, Json, Note, Outcome, Spec, Target, TaskId, TaskState, Token,
};
use crate::task_id::made_by;
use crate::tasks::Task;
use crate::terms::{Over, Terms};

/// Who works on a task that is many: no agent can have that name.
pub(crate) const SPREADER: &str = "*";
/// Under which key a home writes down whom it asks.
const ASKED_KEY: &str = "photon/fan-out";
/// Under which key it writes down that it has asked them all: what is missing from then on was
/// forgotten, and is not asked for again.
const ALL_ASKED_KEY: &str = "photon/fan-out-asked";

/// One of those that are asked: an agent or a region, by name.
type Label = Arc<str>;

/// What the log of a task says that is asked of many.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// Up to which generation.
    upto: u64,
    /// Who is asked, if that is written down.
    asked: Option<Vec<Label>>,
    are_all_asked: bool,
    /// Of whom all is told, and how those have ended.
    told: BTreeMap<Label, TaskState>,
}

/// How far it got with a task that is many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Went {
    /// There is nothing left to do for now.
    Well,
    /// There is more to do than is done at once.
    On,
    /// It cannot go on now.
    Nowhere,
}

impl Region {
    /// How many are asked at once; the others right after, so that the region stands still for
    /// nobody.
    const ASKED_AT_ONCE_MAX: usize = 256;
    /// How long after.
    const ASKS_ON_AFTER: Duration = Duration::from_millis(1);
    /// The most tasks that one may be.
    const FAN_MAX: usize = 256;
    /// The most bytes of the messages of those together.
    const FAN_BYTES_MAX: usize = 64 << 20;
    /// How much longer than the whole a part may take.
    const PART_GRACE: Duration = Duration::from_secs(1);
    /// What is told of each result whatever the room for results.
    const RESULT_BYTES_MIN: usize = 512;

    /// Goes on with a task that is many, or with what one of those has become a part of.
    pub(crate) fn look_at_fan(&mut self, id: TaskId) {
        self.home.fans_due.insert(id);
        if std::mem::replace(&mut self.home.is_spreading, true) {
            return; // What is done for one may concern others: they follow.
        }
        self.home.fans_left = Self::ASKED_AT_ONCE_MAX;
        while let Some(id) = self.home.fans_due.pop_first() {
            match self.go_on_with_fan(id) {
                Went::Well => {}
                Went::On => {
                    self.home.fans_due.insert(id);
                    break;
                }
                Went::Nowhere => drop(self.home.fans_stuck.insert(id)),
            }
        }
        let is_more = !self.home.fans_due.is_empty();
        self.home.fans_at = is_more.then(|| self.now.mono + Self::ASKS_ON_AFTER);
        self.home.is_spreading = false;
    }

    /// Follows a task that has ended, if it is asked of many, or is a part of one that is.
    pub(crate) fn follow_fan(&mut self, id: TaskId) {
        let Some(task) = self.tasks.get(id).filter(|it| it.state.is_terminal()) else { return };
        let whole = task.fan().map(|_| id).or(task.part_of());
        if let Some(whole) = whole.filter(|it| self.tasks.get(*it).is_some()) {
            self.look_at_fan(whole);
        }
    }

    /// Goes on with what was more than is done at once.
    pub(crate) fn look_at_more_fans(&mut self) {
        if self.home.fans_at.is_some_and(|at| at <= self.now.mono) {
            self.look_at_fans();
        }
    }

    /// Goes on with those that could not be gone on with before.
    pub(crate) fn look_at_all_fans(&mut self) {
        self.home.fans_due.append(&mut self.home.fans_stuck);
        self.look_at_fans();
    }

    fn look_at_fans(&mut self) {
        self.home.fans_at = None;
        if let Some(id) = self.home.fans_due.first().copied() {
            self.look_at_fan(id);
        }
    }

    fn go_on_with_fan(&mut self, id: TaskId) -> Went {
        let Some(task) = self.tasks.get(id) else { return Went::Well };
        let placement = task.placement;
        if !self.is_home(id, placement) {
            return Went::Well; // Whoever is does it.
        }
        if self.disk == Disk::Full || !self.may_decide(id, placement) {
            return Went::Nowhere;
        }
        let Some(task) = self.tasks.get(id) else { return Went::Well };
        match task.state {
            TaskState::Submitted => {
                if self.now.wall_ms < task.not_before_ms {
                    self.line_up(id); // The clock went back.
                    if self.home.fans_due.remove(&id) {
                        return Went::Nowhere;
                    }
                } else if !self.adopt_end(id) && !self.gives_way(id) {
                    self.spread(id);
                }
            }
            TaskState::Working => return self.gather_fan(id),
            TaskState::InputRequired | TaskState::AuthRequired => {}
            TaskState::Completed
            | TaskState::Failed
            | TaskState::Canceled
            | TaskState::Rejected => self.call_off_rest(id),
        }
        Went::Well
    }

    /// Begins: from here on the home works on it.
    fn spread(&mut self, id: TaskId) {
        let task = self.tasks.get(id).expect("it was looked at");
        let epoch = self.epoch_of(id, task.placement);
        let token = Token::new(epoch, task.token.map_or(0, Token::attempt) + 1);
        let (agent, region) = (SPREADER.into(), self.config.region);
        self.tell(id, Event::Claimed { token, agent, region });
        self.home.fans_due.insert(id);
    }

    /// Whom a task that is many asks: those who live, and may have it.
    fn asked_by(&self, spec: &Spec) -> BTreeSet<Label> {
        let Some((fan, terms)) = spec.terms.as_ref().and_then(|it| Some((it.fan?, it))) else {
            return BTreeSet::new();
        };
        let placement = spec.placement;
        let may =
            |region: RegionId| self.may_hold(region, placement) && self.may_work(region, placement);
        let all = self.registry.candidates(&spec.target).filter(|it| {
            let is_wanted =
                terms.wants.as_ref().is_none_or(|wants| wants.accepts(&it.spec, it.region));
            let may_know = self.registry.may_know_of(it.spec.placement, placement);
            it.is_online && may_know && is_wanted && may(it.region)
        });
        match fan.over {
            Over::Agents => all.map(|it| it.spec.name.clone()).collect(),
            Over::Regions => all.map(|it| it.region.as_str().into()).collect(),
        }
    }

    /// Returns how many tasks would be made for one as things are, if that is asked of many.
    pub(crate) fn parts_of(&self, spec: &Spec) -> usize {
        self.asked_by(spec).len()
    }

    /// Asks those who were not asked yet, and tells what came of the others.
    fn gather_fan(&mut self, id: TaskId) -> Went {
        let mut gathered = self.known_of_fan(id);
        let Some(asked) = gathered.asked.clone() else { return self.write_down_asked(id) };
        if !gathered.are_all_asked {
            for label in &asked {
                if self.tasks.get(made_by(id, label)).is_some() {
                    continue;
                }
                if self.home.fans_left == 0 {
                    return Went::On;
                }
                self.home.fans_left -= 1;
                self.ask_one(id, label);
            }
            let (key, value) = (ALL_ASKED_KEY.into(), Json(b"true"[..].into()));
            self.note_fan(id, Note::Checkpoint(Checkpoint { key, value }));
            gathered.are_all_asked = true;
        }
        let (mut completed, mut ended) = (0, 0);
        for label in &asked {
            let state = match gathered.told.get(label) {
                Some(state) => *state,
                None => match self.tasks.get(made_by(id, label)).map(|it| it.state) {
                    Some(state) if !state.is_terminal() => continue,
                    Some(state) => {
                        self.tell_result(id, label, asked.len() - gathered.told.len());
                        gathered.told.insert(label.clone(), state);
                        state
                    }
                    None => TaskState::Failed,
                },
            };
            ended += 1;
            let is_done = state == TaskState::Completed;
            #[cfg(feature = "planted-bugs")]
            let is_done = is_done || self.planted == Some(crate::PlantedBug::CountFailures);
            completed += usize::from(is_done);
        }
        let task = self.tasks.get(id).expect("it was looked at");
        let (need, token) = (task.fan().map(|it| it.need), task.current());
        gathered.upto = task.generation;
        self.home.gathered.insert(id, gathered);
        let outcome = need.and_then(|it| it.outcome(completed, ended, asked.len()));
        if let Some(outcome) = outcome {
            let text = format!("{completed} of {} completed", asked.len());
            self.end(id, token, outcome, Some(said(id, "fan-out", &text)));
            self.home.fans_due.insert(id);
        }
        Went::Well
    }

    /// Returns what the log of a task says of whom it asks; it is read again only if it has become
    /// another one meanwhile.
    fn known_of_fan(&mut self, id: TaskId) -> Gathered {
        let generation = self.tasks.get(id).map(|it| it.generation);
        let known = self.home.gathered.remove(&id).filter(|it| Some(it.upto) == generation);
        known.unwrap_or_else(|| self.read_fan(id))
    }

    /// Returns what the log of a task says of whom it asks, and of what came of it.
    fn read_fan(&self, id: TaskId) -> Gathered {
        let task = self.tasks.get(id).expect("it was looked at");
        let mut gathered = Gathered { upto: task.generation, ..Gathered::default() };
        for stamped in self.events(id, task, 0) {
            let Event::Noted { note, .. } = stamped.event else { continue };
            match note {
                Note::Checkpoint(it) if &*it.key == ASKED_KEY => {
                    gathered.asked = Some(labels(&it.value));
                }
                Note::Checkpoint(it) => gathered.are_all_asked |= &*it.key == ALL_ASKED_KEY,
                Note::Artifact(chunk) if chunk.last => {
                    let state = told_state(&chunk.parts);
                    gathered.told.insert(chunk.artifact, state);
                }
                Note::Artifact(_) | Note::Status(_) => {}
            }
        }
        gathered
    }

    fn write_down_asked(&mut self, id: TaskId) -> Went {
        let task = self.tasks.get(id).expect("it was looked at");
        let (spec, need) = (self.spec(id), task.fan().map(|it| it.need));
        let (asked, message_bytes) = (self.asked_by(&spec), spec.message.0.len());
        let (count, bytes) = (asked.len(), asked.len() * message_bytes);
        let is_in_vain = need.and_then(|it| it.outcome(0, 0, count)).is_some();
        let refused = if count == 0 {
            Some("nobody is there to ask".to_owned())
        } else if Self::FAN_MAX < count {
            Some(format!("{count} could be asked; at most {} are", Self::FAN_MAX))
        } else if Self::FAN_BYTES_MAX < bytes {
            let max = Self::FAN_BYTES_MAX;
            Some(format!("the messages to {count} would have more than {max} bytes"))
        } else if is_in_vain {
            Some(format!("only {count} could be asked"))
        } else {
            None
        };
        if let Some(text) = refused {
            let token = task.current();
            self.end(id, token, Outcome::Failed, Some(said(id, "fan-out", &text)));
            return Went::Well;
        }
        if self.check_room_for(count, bytes).is_err() {
            return Went::Nowhere;
        }
        let value = Json(format!("[\"{}\"]", join(&asked, "\",\"")).into());
        self.note_fan(id, Note::Checkpoint(Checkpoint { key: ASKED_KEY.into(), value }));
        // For clients, who are shown no checkpoints.
        let named = asked.iter().map(|it| {
            let part = made_by(id, it);
            Arc::from(format!("{{\"to\":\"{it}\",\"task\":\"{part}\"}}"))
        });
        let named = join(&named.collect(), ",");
        let message = format!(
            "{{\"messageId\":\"{id}-asked\",\"role\":\"ROLE_AGENT\",\"parts\":[{{\"data\":\
             {{\"asked\":[{named}]}}}}]}}"
        );
        self.note_fan(id, Note::Status(Json(message.into())));
        self.home.fans_due.insert(id);
        Went::Well
    }

    fn note_fan(&mut self, id: TaskId, note: Note) {
        let task = self.tasks.get(id).expect("it was looked at");
        let token = task.current().expect("the home works on it");
        let number = task.notes + 1;
        self.tell(id, Event::Noted { token, number, note });
    }

    /// Submits the task for one of those who are asked.
    fn ask_one(&mut self, id: TaskId, label: &Label) {
        let spec = self.spec(id);
        let Some(terms) = spec.terms.as_deref() else { return };
        let Some(fan) = terms.fan else { return };
        let (target, regions) = match fan.over {
            Over::Agents => (Target::Agent(label.clone()), None),
            Over::Regions => (spec.target.clone(), RegionId::try_from(&**label).ok()),
        };
        let mut wants = terms.wants.as_deref().cloned().unwrap_or_default();
        if let Some(region) = regions {
            wants.regions = BTreeSet::from([region]);
        }
        let wants = Some(wants).filter(|it| *it != Wants::default()).map(Arc::new);
        // Who asks by name says what for, too.
        let skill = match (fan.over, &spec.target) {
            (Over::Agents, Target::Skill(skill)) => Some(skill.clone()),
            (Over::Agents | Over::Regions, _) => None,
        };
        let closes_ms = self.tasks.get(id).and_then(Task::closes_ms);
        let left_ms = closes_ms.map(|it| it.saturating_sub(self.now.wall_ms));
        // The whole ends first, and calls off the others.
        let schedule_to_close = left_ms.map(|it| Duration::from_millis(it) + Self::PART_GRACE);
        let (fan, part_of, start_delay) = (None, Some(id), Duration::ZERO);
        let terms = terms.clone();
        let terms = Terms { fan, part_of, skill, start_delay, schedule_to_close, wants, ..terms };
        let (idempotency, terms) = (None, Some(Arc::new(terms)));
        self.accept_task(made_by(id, label), &Spec { target, idempotency, terms, ..spec });
    }

    /// Tells what came of one of those, as an artifact of the whole, of which so many are still to
    /// be told. What there is no room for is found in the task itself.
    fn tell_result(&mut self, id: TaskId, label: &Label, left: usize) {
        let part = made_by(id, label);
        let found = self.tasks.get(part).expect("it has ended");
        let (state, mut message, mut artifacts) = (found.state, None, Artifacts::default());
        for stamped in self.events(part, found, 0) {
            artifacts.take(&stamped.event);
            if let Event::Ended { message: it, .. } = stamped.event {
                message = it;
            }
        }
        let chunks = artifacts.into_all().into_iter().flat_map(|it| it.parts);
        let chunks: Vec<Json> = chunks.filter(|it| it.0.len() > "[]".len()).collect();
        let bytes: usize = chunks.iter().chain(&message).map(|it| it.0.len()).sum();
        let task = self.tasks.get(id).expect("it was looked at");
        let limits = &self.config.limits;
        let rest = limits.task_bytes_max.saturating_sub(task.attempt_bytes);
        let all_bytes = left * Self::RESULT_BYTES_MIN;
        let fits = bytes + (chunks.len() + 1) * Self::NOTE_OVERHEAD + all_bytes <= rest;
        let (chunks, message) = if fits { (chunks, message) } else { (Vec::new(), None) };
        let begins = chunks.is_empty();
        for (at, parts) in chunks.into_iter().enumerate() {
            self.note_chunk(id, label, (0 < at, false), parts);
        }
        let message = message.as_ref().map_or(&b"null"[..], |it| &it.0);
        let cut = if fits { "" } else { ",\"truncated\":true" };
        let state = state.as_str();
        let mut last =
            format!("{STATE}{state}\",\"to\":\"{label}\",\"task\":\"{part}\"{cut},\"message\":")
                .into_bytes();
        last.extend_from_slice(message);
        last.extend_from_slice(b"}}]");
        self.note_chunk(id, label, (!begins, true), Json(last.into()));
    }

    fn note_chunk(&mut self, id: TaskId, label: &Label, (append, last): (bool, bool), parts: Json) {
        let chunk = Chunk { artifact: label.clone(), name: None, append, last, parts };
        self.note_fan(id, Note::Artifact(chunk));
    }

    /// Whether a task belongs to one that is asked of many and does not wait for it: it has ended,
    /// or a former home had asked others than are asked now.
    pub(super) fn is_left_over(&self, id: TaskId, task: &Task) -> bool {
        let Some(whole) = task.part_of() else { return false };
        let Some(of) = self.tasks.get(whole).filter(|it| it.fan().is_some()) else { return false };
        if of.state.is_terminal() {
            return true;
        }
        self.asked_of(whole).is_some_and(|it| it.iter().all(|label| made_by(whole, label) != id))
    }

    /// Returns whom a task asks, if that is written down: among the first entries of its log.
    fn asked_of(&self, id: TaskId) -> Option<Vec<Label>> {
        let mut events = self.events(id, self.tasks.get(id)?, 0);
        events.find_map(|it| {
            let Event::Noted { note: Note::Checkpoint(it), .. } = it.event else { return None };
            (&*it.key == ASKED_KEY).then(|| labels(&it.value))
        })
    }

    /// Ends a task that nobody waits for.
    pub(super) fn call_off_part(&mut self, id: TaskId) {
        let token = self.tasks.get(id).and_then(Task::current);
        let message = said(id, "fan-out", "the others were enough, or it was called off");
        self.end(id, token, Outcome::Canceled, Some(message));
    }

    /// Calls off what has not ended of a task that has.
    fn call_off_rest(&mut self, id: TaskId) {
        for label in self.asked_of(id).into_iter().flatten() {
            let part = made_by(id, &label);
            if self.tasks.get(part).is_some_and(|it| !it.state.is_terminal()) {
                self.call_off_part(part);
            }
        }
    }
}

/// With what the last part of a result begins; the name of a state follows.
const STATE: &str = "[{\"data\":{\"state\":\"";

/// Reads out of the last part of a result how a task has ended, as it was written.
fn told_state(parts: &Json) -> TaskState {
    let is_done = parts.0.strip_prefix(STATE.as_bytes());
    let is_done = is_done.is_some_and(|it| it.starts_with(b"completed"));
    if is_done { TaskState::Completed } else { TaskState::Failed }
}

fn join(labels: &BTreeSet<Label>, between: &str) -> String {
    labels.iter().map(|it| &**it).collect::<Vec<_>>().join(between)
}

/// Reads names out of a list as it was written down: they have no letters that JSON would escape.
fn labels(list: &Json) -> Vec<Label> {
    let text = String::from_utf8_lossy(&list.0);
    let list = text.trim_start_matches("[\"").trim_end_matches("\"]");
    list.split("\",\"").filter(|it| !it.is_empty()).map(Arc::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_were_written() {
        let check = |names: &[&str]| {
            let all: BTreeSet<Label> = names.iter().map(|it| Arc::from(*it)).collect();
            let list = Json(format!("[\"{}\"]", join(&all, "\",\"")).into());
            assert_eq!(labels(&list), all.into_iter().collect::<Vec<_>>());
        };
        check(&["a"]);
        check(&["a", "b-c.d_e", "eu-west-1"]);
    }
}
