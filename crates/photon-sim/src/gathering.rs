//! The rules that the log of a task keeps that is asked of many: it ends as its results say.
//! Must not know how the log was read.

use std::collections::BTreeMap;
use std::sync::Arc;

use photon_region::{Event, Fan, Need, Note, Outcome, Over, Stamped, TaskId, Terms, made_by};

use crate::promises::{Broken, Promise};

/// What has been seen of a task that is asked of many.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    fan: Option<Fan>,
    /// How many are asked.
    asked: Option<usize>,
    /// Of whom all is told, and whether that was done.
    told: BTreeMap<Arc<str>, bool>,
}

impl Gathering {
    /// Takes in an event; says what is wrong with it, if anything is.
    pub(crate) fn step(&mut self, event: &Event) -> Option<&'static str> {
        if let Event::Submitted(spec) = event {
            self.fan = spec.terms.as_ref().and_then(|it| it.fan);
        }
        let fan = self.fan?;
        match event {
            Event::Noted { note: Note::Checkpoint(it), .. } if it.value.0.starts_with(b"[") => {
                let asked = String::from_utf8_lossy(&it.value.0).matches(',').count() + 1;
                if self.asked.replace(asked).is_some() {
                    return Some("says anew who is asked");
                }
            }
            Event::Noted { note: Note::Artifact(chunk), .. } if chunk.last => {
                let text = String::from_utf8_lossy(&chunk.parts.0);
                let is_done = text.contains("\"state\":\"completed\"");
                if self.told.insert(chunk.artifact.clone(), is_done).is_some() {
                    return Some("tells a result twice");
                }
            }
            Event::Ended { outcome, message, .. } => {
                let text = message.as_ref().map(|it| String::from_utf8_lossy(&it.0));
                // Otherwise somebody called it off, or it took too long.
                let is_own = text.is_some_and(|it| it.contains("\"photon/reason\":\"fan-out\""));
                let is_so = self.asked.is_none_or(|asked| self.ends(fan.need, asked) == *outcome);
                return (is_own && !is_so).then_some("ends otherwise than its results");
            }
            Event::Requeued { .. } | Event::Paused { .. } => {
                return Some("is an attempt that came to nothing, where nobody made any");
            }
            Event::Submitted(_)
            | Event::Claimed { .. }
            | Event::Noted { .. }
            | Event::Answered { .. } => {}
        }
        None
    }

    fn ends(&self, need: Need, asked: usize) -> Outcome {
        let done = self.told.values().filter(|it| **it).count();
        let enough = match need {
            Need::All => asked,
            Need::Quorum => asked / 2 + 1,
            Need::First(count) => count as usize,
        };
        if enough <= done { Outcome::Completed } else { Outcome::Failed }
    }
}

/// The tasks that are asked of many, and those that were made for them, as their logs have them.
#[derive(Debug, Default)]
pub(crate) struct Gatherings {
    wholes: BTreeMap<TaskId, Whole>,
    parts: BTreeMap<TaskId, (TaskId, Option<Outcome>)>,
}

#[derive(Debug, Default)]
struct Whole {
    asked: Vec<String>,
    /// Of whom it was told that they have done it, or not.
    told: BTreeMap<Arc<str>, bool>,
}

impl Gatherings {
    /// Takes in the whole log of a task.
    pub(crate) fn add(&mut self, task: TaskId, events: &[Stamped]) {
        let Some(Event::Submitted(spec)) = events.first().map(|it| &it.event) else { return };
        let Some(terms) = &spec.terms else { return };
        let ends = events.iter().filter_map(|it| match &it.event {
            Event::Ended { outcome, .. } => Some(*outcome),
            Event::Submitted(_)
            | Event::Claimed { .. }
            | Event::Noted { .. }
            | Event::Requeued { .. }
            | Event::Paused { .. }
            | Event::Answered { .. } => None,
        });
        if let Some(of) = terms.part_of {
            self.parts.insert(task, (of, ends.last()));
        }
        if terms.fan.is_none() {
            return;
        }
        let whole = self.wholes.entry(task).or_default();
        for Stamped { event, .. } in events {
            let Event::Noted { note, .. } = event else { continue };
            match note {
                Note::Checkpoint(it) if it.value.0.starts_with(b"[") => {
                    let list = String::from_utf8_lossy(&it.value.0);
                    let list = list.trim_matches(|it| "[]\"".contains(it));
                    whole.asked = list.split("\",\"").map(ToOwned::to_owned).collect();
                }
                Note::Artifact(chunk) if chunk.last => {
                    let text = String::from_utf8_lossy(&chunk.parts.0);
                    let is_done = text.contains("\"state\":\"completed\"");
                    whole.told.insert(chunk.artifact.clone(), is_done);
                }
                Note::Checkpoint(_) | Note::Artifact(_) | Note::Status(_) => {}
            }
        }
    }

    /// Checks that what was told of each is what it came to, and that nobody works for nothing.
    pub(crate) fn check(&self, has_moved: impl Fn(TaskId) -> bool) -> Result<(), Broken> {
        for (part, (of, end)) in &self.parts {
            let Some(whole) = self.wholes.get(of) else { continue };
            let label = whole.asked.iter().find(|it| made_by(*of, it) == *part);
            let is_over = end.is_some_and(|it| it == Outcome::Canceled || label.is_some());
            // The lost home had asked for it.
            Promise::Gathered.holds(is_over || has_moved(*of), || {
                format!("task {part} goes on, or went on, without being asked for by {of}")
            })?;
            let told = label.and_then(|it| whole.told.get(it.as_str()));
            let is_so = told.is_none_or(|it| *it == (*end == Some(Outcome::Completed)));
            // A lost home may take an end with it that it had told already.
            Promise::Gathered.holds(is_so || has_moved(*part), || {
                format!("task {of} tells otherwise of {part} than that has ended: {end:?}")
            })?;
        }
        Ok(())
    }
}

/// Whether a task is asked of many, or was made by one that is.
pub(crate) fn is_spread(terms: &Terms) -> bool {
    terms.fan.is_some() || terms.part_of.is_some()
}

/// Draws of whom a task is asked, and what it needs of them.
pub(crate) fn draw_fan(rng: &mut fastrand::Rng) -> Fan {
    let over = if rng.bool() { Over::Agents } else { Over::Regions };
    let need = match rng.u32(0..3) {
        0 => Need::All,
        1 => Need::Quorum,
        _ => Need::First(rng.u32(1..4)),
    };
    Fan { over, need }
}

#[cfg(test)]
mod tests {
    use photon_region::{Checkpoint, Chunk, Json, Spec, Target, Token};
    use photon_state::PlacementId;

    use super::*;

    fn submitted(need: Need) -> Event {
        let fan = Some(Fan { over: Over::Agents, need });
        Event::Submitted(Spec {
            target: Target::Skill("a".into()),
            placement: PlacementId::global(),
            message: Json("{}".into()),
            context: "c".into(),
            idempotency: None,
            ack: photon_region::Ack::Region,
            terms: Some(Arc::new(Terms { fan, ..Terms::default() })),
        })
    }

    fn noted(note: Note) -> Event {
        Event::Noted { token: Token(1), number: 1, note }
    }

    fn asked() -> Event {
        let value = Json("[\"a\",\"b\",\"c\"]".into());
        noted(Note::Checkpoint(Checkpoint { key: "k".into(), value }))
    }

    fn told(name: &str, state: &str) -> Event {
        let parts = Json(format!("[{{\"data\":{{\"state\":\"{state}\"}}}}]").into());
        let (artifact, name) = (name.into(), None);
        noted(Note::Artifact(Chunk { artifact, name, append: false, last: true, parts }))
    }

    fn ended(outcome: Outcome) -> Event {
        let message = Json("{\"photon/reason\":\"fan-out\"}".into());
        Event::Ended { token: None, outcome, message: Some(message) }
    }

    #[test]
    fn an_end_that_the_results_do_not_bear_out_is_noticed() {
        let check = |need, middle: Vec<Event>, outcome, is_right: bool| {
            let mut gathering = Gathering::default();
            let events = [submitted(need), asked()].into_iter().chain(middle);
            let all = events.chain([ended(outcome)]);
            let wrong: Vec<_> = all.filter_map(|it| gathering.step(&it)).collect();
            assert_eq!(wrong.is_empty(), is_right, "{wrong:?}");
        };
        let two = || vec![told("a", "completed"), told("b", "failed")];
        check(Need::First(1), two(), Outcome::Completed, true);
        check(Need::First(2), two(), Outcome::Completed, false);
        check(Need::Quorum, two(), Outcome::Failed, true);
        check(Need::All, two(), Outcome::Completed, false);
        let all = || [two(), vec![told("b", "completed")]].concat();
        check(Need::First(1), all(), Outcome::Completed, false);
    }

    #[test]
    fn who_is_told_of_otherwise_or_works_for_nothing_is_noticed() {
        let whole = TaskId::from_bytes([1; 16]);
        let log = |events: Vec<Event>| -> Vec<Stamped> {
            let at = photon_state::Hlc::default();
            (1..).zip(events).map(|(generation, event)| Stamped { generation, at, event }).collect()
        };
        let mut part = submitted(Need::All);
        if let Event::Submitted(spec) = &mut part {
            let part_of = Some(whole);
            spec.terms = Some(Arc::new(Terms { part_of, ..Terms::default() }));
        }
        let check = |label: &str, end: Option<Outcome>, is_right: bool| {
            let mut all = Gatherings::default();
            let of = [submitted(Need::All), asked(), told("a", "completed")];
            all.add(whole, &log(of.to_vec()));
            let events = std::iter::once(part.clone()).chain(end.map(ended)).collect();
            all.add(made_by(whole, label), &log(events));
            assert_eq!(all.check(|_| false).is_ok(), is_right, "{label} {end:?}");
        };
        check("a", Some(Outcome::Completed), true);
        check("a", Some(Outcome::Failed), false);
        check("b", Some(Outcome::Failed), true);
        check("b", None, false);
        check("x", Some(Outcome::Canceled), true);
        check("x", Some(Outcome::Completed), false);
    }
}
