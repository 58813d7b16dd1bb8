//! Asks every region, when all is quiet, what became of the work, and compares.
//! Must not trust one region, nor make up for what one does not know.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use photon_edge::v1::types::{Task, TaskState};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::Drilled;
use super::ledger::{Accepted, Evidence, Level};
use super::planet::{At, soon};
use crate::client::{ClientError, RecordAsk, ScanQuery, TaskQuery};

/// The most tasks that are listed; a drill makes fewer, or its figures are of these.
const TASKS_MAX: usize = 1_000_000;
/// The pause before all regions are asked once more.
const PAUSE: Duration = Duration::from_millis(500);
/// Tasks whose events are read at the same time.
const AT_ONCE: usize = 16;

/// What regions know of the tasks of the drill.
#[derive(Debug, Default)]
pub(super) struct Known {
    regions: BTreeMap<At, BTreeMap<String, Task>>,
    unanswered: BTreeSet<At>,
}

/// What became of the work.
#[derive(Debug, Default, Serialize)]
pub(super) struct Audit {
    /// Acknowledged at `region`, and no region knows it.
    pub(super) lost_region: Evidence,
    /// Acknowledged at `quorum`, and no region knows it.
    pub(super) lost_quorum: Evidence,
    /// Acknowledged, and some region does not know it.
    pub(super) missing: Evidence,
    /// Acknowledged, and not ended when patience was over.
    pub(super) unfinished: Evidence,
    /// With no end, or more than one, or something after it.
    pub(super) ends: Evidence,
    /// With a gap or a repeat in their generations.
    pub(super) generations: Evidence,
    /// Regions tell different things of the same task.
    pub(super) disagreements: Evidence,
    /// Two tasks of one key, of which the client was told one.
    pub(super) keys_twice: Evidence,
    /// Records acknowledged at `quorum` that some region does not show.
    pub(super) records_lost: Evidence,
    /// Regions that did not answer when they were asked.
    pub(super) unanswered: Vec<String>,
    /// Tasks that took more than one attempt.
    pub(super) tasks_again: u64,
}

/// Returns the text of a message, as it came.
pub(super) fn said(message: &str) -> Option<String> {
    let message: Value = serde_json::from_str(message).ok()?;
    message["parts"][0]["text"].as_str().map(str::to_owned)
}

/// Waits until every region knows of all accepted tasks that they have ended, or patience is over.
pub(super) async fn quiet(drilled: &Drilled, patience: Duration) -> Known {
    let deadline = Instant::now() + patience;
    loop {
        if (!goes_on(drilled).await || deadline <= Instant::now())
            && let Some(known) = known(drilled, deadline).await
        {
            return known;
        }
        sleep(PAUSE).await;
    }
}

/// Whether any region knows of a task that goes on, or does not answer.
async fn goes_on(drilled: &Drilled) -> bool {
    for site in &drilled.planet.sites {
        for state in ["submitted", "working"] {
            let query = TaskQuery {
                state: Some(state.to_owned()),
                context: Some(drilled.context()),
                ..TaskQuery::default()
            };
            match soon(site.client.tasks(&query, 1)).await {
                Ok(tasks) if tasks.is_empty() => {}
                Ok(_) | Err(_) => return true,
            }
        }
    }
    false
}

/// Asks all regions; nothing if they are not yet of one mind and there is time left.
async fn known(drilled: &Drilled, deadline: Instant) -> Option<Known> {
    let mut known = Known::default();
    for (at, site) in drilled.planet.sites.iter().enumerate() {
        let query = TaskQuery { context: Some(drilled.context()), ..TaskQuery::default() };
        match site.client.tasks(&query, TASKS_MAX).await {
            Ok(tasks) => {
                let tasks = tasks.into_iter().map(|it| (it.id.clone(), it)).collect();
                known.regions.insert(at, tasks);
            }
            Err(ClientError::Unreachable { .. } | ClientError::Problem(_)) => {
                known.unanswered.insert(at);
            }
            Err(ClientError::Unsendable { .. } | ClientError::Garbled { .. }) => {
                known.unanswered.insert(at);
            }
        }
    }
    let is_whole = known.unanswered.is_empty() && {
        let book = drilled.ledger.book();
        book.accepted.values().all(|it| known.agrees(drilled, it))
    };
    (is_whole || deadline <= Instant::now()).then_some(known)
}

impl Known {
    /// Whether all regions that may know the task know that it has ended, and how.
    fn agrees(&self, drilled: &Drilled, task: &Accepted) -> bool {
        let mut told = self.told(drilled, task);
        let first = told.next().flatten();
        first.is_some_and(|first| {
            first.state.is_terminal() && told.all(|it| it.is_some_and(|it| is_same(it, first)))
        })
    }

    /// Returns what each region that may know the task and has answered tells of it.
    fn told<'a>(
        &'a self,
        drilled: &'a Drilled,
        task: &'a Accepted,
    ) -> impl Iterator<Item = Option<&'a Task>> + 'a {
        let may_know = |at: &At| drilled.may_know(*at, task.placement.as_deref());
        let regions = self.regions.iter().filter(move |(at, _)| may_know(at));
        regions.map(|(_, tasks)| tasks.get(&task.id))
    }

    /// Whether a region lists the task.
    pub(super) fn is_listed(&self, at: At, task: &str) -> bool {
        self.regions.get(&at).is_some_and(|it| it.contains_key(task))
    }

    /// Returns where a task has its home by now, as any region knows it.
    pub(super) fn home(&self, task: &str) -> Option<&str> {
        self.regions.values().find_map(|it| Some(it.get(task)?.home.as_str()))
    }
}

fn is_same(a: &Task, b: &Task) -> bool {
    (a.state, a.generation, &a.home) == (b.state, b.generation, &b.home)
}

/// Judges all tasks and records of the drill.
pub(super) async fn audit(drilled: &Drilled, known: &Known) -> Audit {
    let mut audit = Audit {
        unanswered: known.unanswered.iter().map(|it| drilled.planet.name(*it)).collect(),
        ..Audit::default()
    };
    let accepted = drilled.ledger.book().accepted.clone();
    for task in accepted.values() {
        audit.look_at(drilled, known, task);
    }
    audit.find_twins(known, &accepted);
    let there = accepted.values().filter(|it| known.home(&it.id).is_some());
    let told = stream::iter(there)
        .map(|task| async move { (task, events(drilled, task).await) })
        .buffer_unordered(AT_ONCE);
    let told: Vec<_> = told.collect().await;
    for (task, events) in told {
        if let Some(events) = events {
            audit.look_at_events(task, &events);
        }
    }
    audit.look_at_records(drilled).await;
    audit
}

/// Reads the events of a task in one region; each task in another.
async fn events(drilled: &Drilled, task: &Accepted) -> Option<Vec<Value>> {
    let near = drilled.reachable(task.asked_in, task.placement.as_deref());
    let turn = usize::try_from(task.began_ms).unwrap_or_default() % near.len();
    for at in near.iter().cycle().skip(turn).take(near.len()) {
        let path = ["v1", "tasks", &task.id, "events"];
        if let Ok(mut told) = drilled.planet.sites[*at].client.json(&path).await
            && let Value::Array(events) = told["events"].take()
        {
            return Some(events);
        }
    }
    None
}

impl Known {
    /// Whether a task that nobody had claimed gave way to another one of its key, which was done.
    fn has_given_way(&self, task: &Task) -> bool {
        let is_unclaimed = task.state == TaskState::Rejected && task.attempt == 0;
        let mut all = self.regions.values().flat_map(BTreeMap::values);
        is_unclaimed
            && all.any(|it| {
                let is_done = it.id != task.id && it.state == TaskState::Completed;
                is_done && said(it.message.as_str()) == said(task.message.as_str())
            })
    }
}

impl Audit {
    fn look_at(&mut self, drilled: &Drilled, known: &Known, task: &Accepted) {
        let name = |at: At| drilled.planet.name(at);
        let told: Vec<_> = known.told(drilled, task).collect();
        let evidence = || {
            json!({"task": task.id, "key": task.key, "level": task.level,
                "acknowledged_by": name(task.by), "home": task.home.map(name),
                "at_ms": task.at_ms, "failed_tries_before": task.failures})
        };
        let is_known = told.iter().any(Option::is_some);
        if !is_known && !told.is_empty() {
            return match task.level {
                Level::Region => self.lost_region.push(evidence()),
                Level::Quorum => self.lost_quorum.push(evidence()),
            };
        }
        if told.iter().any(Option::is_none) {
            self.missing.push(evidence());
        }
        let told: Vec<&Task> = told.into_iter().flatten().collect();
        if told.iter().any(|it| !it.state.is_terminal()) {
            let mut evidence = evidence();
            let states = |it: &&Task| json!({"state": it.state, "generation": it.generation});
            evidence["told"] = told.iter().map(states).collect();
            return self.unfinished.push(evidence);
        }
        if told.iter().any(|it| !is_same(it, told[0])) {
            let mut evidence = evidence();
            let states = |it: &&Task| {
                let (state, generation, home) = (it.state, it.generation, &it.home);
                json!({"state": state, "generation": generation, "home": home})
            };
            evidence["told"] = told.iter().map(states).collect();
            self.disagreements.push(evidence);
        }
        let is_well = told
            .first()
            .is_none_or(|it| it.state == TaskState::Completed || known.has_given_way(it));
        if !is_well {
            let mut evidence = evidence();
            evidence["state"] = json!(told[0].state);
            self.ends.push(evidence); // Nobody but the crew ends tasks, and it ends them well.
        }
    }

    fn find_twins(&mut self, known: &Known, accepted: &BTreeMap<String, Accepted>) {
        let mut keys = BTreeMap::<String, BTreeSet<&str>>::new();
        for task in known.regions.values().flat_map(BTreeMap::values) {
            let Some(text) = said(task.message.as_str()) else { continue };
            // Of `drill-RUN-NUMBER`, and a mark behind it for some.
            let key = text.splitn(4, '-').take(3).collect::<Vec<_>>().join("-");
            keys.entry(key).or_default().insert(&task.id);
        }
        for (key, ids) in keys.into_iter().filter(|(_, ids)| 1 < ids.len()) {
            let told = ids.iter().filter_map(|it| accepted.get(*it));
            let told: Vec<_> = told.map(|it| json!({"task": it.id, "at_ms": it.at_ms})).collect();
            let tries = ids.iter().filter_map(|it| accepted.get(*it)).map(|it| it.failures);
            let what = json!({"key": key, "tasks": ids, "client_was_told": told,
                "failed_tries_before": tries.max()});
            self.keys_twice.push(what);
        }
    }

    fn look_at_events(&mut self, task: &Accepted, events: &[Value]) {
        let generations: Vec<_> =
            events.iter().filter_map(|it| it["generation"].as_u64()).collect();
        if !generations.iter().copied().eq(1..=events.len() as u64) {
            self.generations.push(json!({"task": task.id, "generations": generations}));
        }
        let is_end = |it: &&Value| it["kind"] == "ended";
        let ends = events.iter().filter(is_end).count();
        let is_last = events.last().is_some_and(|it| is_end(&it));
        if 1 < ends || (ends == 1 && !is_last) {
            self.ends.push(json!({"task": task.id, "events": events}));
        }
        self.tasks_again += u64::from(events.iter().any(|it| it["kind"] == "requeued"));
    }

    async fn look_at_records(&mut self, drilled: &Drilled) {
        let written = drilled.ledger.book().written.clone();
        let query = ScanQuery { records_max: TASKS_MAX, ..ScanQuery::default() };
        let ask = RecordAsk { consistency: Some("eventual".to_owned()), ..RecordAsk::default() };
        for (at, site) in drilled.planet.sites.iter().enumerate() {
            let region = drilled.planet.name(at);
            let Ok(records) = site.client.records(&drilled.dataset(), &query, &ask).await else {
                self.unanswered.push(region);
                continue;
            };
            let shown: BTreeMap<&str, &Value> = records
                .iter()
                .filter_map(|it| Some((it["key"].as_str()?, &it["value"]["number"])))
                .collect();
            for write in &written {
                if shown.get(write.key.as_str()).is_none_or(|it| **it != write.number) {
                    let by = drilled.planet.name(write.by);
                    let what = json!({"record": write.key, "acknowledged_by": by,
                        "at_ms": write.at_ms, "not_in": region});
                    self.records_lost.push(what);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> Accepted {
        Accepted {
            id: "t".to_owned(),
            key: "drill-r-1".to_owned(),
            level: Level::Region,
            asked_in: 0,
            by: 0,
            home: Some(0),
            placement: None,
            began_ms: 0,
            at_ms: 1,
            failures: 0,
        }
    }

    #[test]
    fn generations_go_up_by_one_and_there_is_one_end_which_is_last() {
        let check = |events: &[(u64, &str)], generations, ends| {
            let events = events.iter().map(|(it, kind)| json!({"generation": it, "kind": kind}));
            let mut audit = Audit::default();
            audit.look_at_events(&task(), &events.collect::<Vec<_>>());
            let found = (audit.generations.count, audit.ends.count);
            assert_eq!(found, (generations, ends));
        };
        check(&[(1, "submitted"), (2, "claimed"), (3, "ended")], 0, 0);
        check(&[(1, "submitted"), (2, "claimed")], 0, 0); // Whether it has ended others say.
        check(&[(1, "submitted"), (3, "ended")], 1, 0);
        check(&[(1, "submitted"), (1, "claimed"), (2, "ended")], 1, 0);
        check(&[(1, "submitted"), (2, "ended"), (3, "ended")], 0, 1);
        check(&[(1, "submitted"), (2, "ended"), (3, "status")], 0, 1);
    }

    #[test]
    fn the_text_of_a_message_is_that_of_its_first_part() {
        assert_eq!(said(r#"{"parts": [{"text": "drill-r-1"}]}"#).as_deref(), Some("drill-r-1"));
        assert_eq!(said("not json"), None);
    }
}
