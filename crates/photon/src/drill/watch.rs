//! Watches what each region thinks of each other one, as anybody can ask it.
//! Must not know which fault there is, nor think for the regions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Drilled;
use super::planet::At;

/// How often each region is asked.
pub(super) const ASK_EVERY: Duration = Duration::from_millis(40);
/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// A change of what a region thinks of another one.
#[derive(Clone, Debug)]
pub(super) struct Sighting {
    pub(super) observer: At,
    pub(super) target: At,
    /// A verdict, where regions tell one; else `linked` or `unlinked`.
    pub(super) opinion: String,
    pub(super) is_verdict: bool,
    /// When it changed, as far as is known.
    pub(super) at_ms: u64,
    /// When the drill saw it.
    seen_ms: u64,
}

/// What a region says of another one.
#[derive(Debug, PartialEq, Eq)]
struct Opinion<'a> {
    target: &'a str,
    opinion: &'a str,
    is_verdict: bool,
    /// For how long it has thought so, if it says that.
    since_ms: Option<u64>,
}

impl Sighting {
    /// Whether all is well with the target, as the observer sees it.
    pub(super) fn is_well(&self) -> bool {
        matches!(self.opinion.as_str(), "up" | "linked")
    }

    /// Says what was observed.
    pub(super) fn shown(&self) -> String {
        match (self.is_verdict, self.opinion.as_str()) {
            (true, verdict) => format!("verdict {verdict}"),
            (false, "unlinked") => "link lost".to_owned(),
            (false, other) => other.to_owned(),
        }
    }
}

/// All changes, in the order in which they were seen.
#[derive(Debug, Default)]
pub(super) struct Sightings(Mutex<Vec<Sighting>>);

impl Sightings {
    /// Returns the first sighting of each observer that something is wrong with the target.
    pub(super) fn first(&self, target: At, from_ms: u64, to_ms: u64) -> BTreeMap<At, Sighting> {
        let mut first = BTreeMap::new();
        for sighting in self.0.lock().expect("no watcher panics").iter() {
            let is_within = (from_ms..=to_ms).contains(&sighting.seen_ms);
            if sighting.target == target && is_within && !sighting.is_well() {
                first.entry(sighting.observer).or_insert_with(|| sighting.clone());
            }
        }
        first
    }

    /// Returns sightings of trouble with regions that `is_excused` does not excuse at that time.
    pub(super) fn false_alarms(&self, is_excused: impl Fn(At, At, u64) -> bool) -> Vec<Sighting> {
        let all = self.0.lock().expect("no watcher panics");
        let odd =
            all.iter().filter(|it| !it.is_well() && !is_excused(it.observer, it.target, it.at_ms));
        odd.cloned().collect()
    }
}

/// Begins to watch, in every region.
pub(super) fn start(drilled: &Arc<Drilled>, tasks: &TaskTracker, stop: &CancellationToken) {
    for observer in 0..drilled.planet.sites.len() {
        let drilled = Arc::clone(drilled);
        let watching = async move {
            let mut opinions = BTreeMap::<At, String>::new();
            let mut pace = interval(ASK_EVERY);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                pace.tick().await;
                let asking = drilled.planet.sites[observer].client.json(&["v1", "regions"]);
                if let Ok(Ok(told)) = timeout(ANSWER_MAX, asking).await {
                    note(&drilled, observer, &told, &mut opinions);
                }
            }
        };
        tasks.spawn(stop.clone().run_until_cancelled_owned(watching));
    }
}

fn note(drilled: &Drilled, observer: At, told: &Value, opinions: &mut BTreeMap<At, String>) {
    let seen_ms = drilled.planet.now_ms();
    drilled.shares.note(observer, told, seen_ms);
    for Opinion { target, opinion, is_verdict, since_ms } in opinions_of(told) {
        let target = drilled.planet.sites.iter().position(|it| it.name.as_str() == target);
        let Some(target) = target.filter(|it| *it != observer) else { continue };
        if opinions.get(&target).is_some_and(|it| it == opinion) {
            continue;
        }
        opinions.insert(target, opinion.to_owned());
        // Who says since when knows better than who asks now and then.
        let at_ms = since_ms.and_then(|it| seen_ms.checked_sub(it)).unwrap_or(seen_ms);
        let opinion = opinion.to_owned();
        let sighting = Sighting { observer, target, opinion, is_verdict, at_ms, seen_ms };
        drilled.sightings.0.lock().expect("no watcher panics").push(sighting);
    }
}

/// Reads what a region says of the others: verdicts where it has them, else how its links are.
fn opinions_of(told: &Value) -> impl Iterator<Item = Opinion<'_>> {
    let regions = told["regions"].as_array().into_iter().flatten();
    regions.filter_map(|region| {
        let verdict = region["verdict"].as_str();
        Some(Opinion {
            target: region["name"].as_str()?,
            opinion: verdict.or(region["health"].as_str())?,
            is_verdict: verdict.is_some(),
            since_ms: verdict.and(region["since_ms"].as_u64()),
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_verdict_goes_before_the_state_of_the_link() {
        let told = json!({"regions": [
            {"name": "a", "health": "unlinked", "verdict": "path-bad", "since_ms": 120},
            {"name": "b", "health": "unlinked", "since_ms": 7},
            {"name": "c"},
        ]});
        let found: Vec<_> = opinions_of(&told)
            .map(|it| (it.target, it.opinion, it.is_verdict, it.since_ms))
            .collect();
        let expected = [("a", "path-bad", true, Some(120)), ("b", "unlinked", false, None)];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_first_trouble_of_each_observer_within_the_fault_counts() {
        let sighting = |observer, opinion: &str, at_ms| Sighting {
            observer,
            target: 0,
            opinion: opinion.to_owned(),
            is_verdict: opinion != "unlinked",
            at_ms,
            seen_ms: at_ms,
        };
        let all = vec![
            sighting(1, "unlinked", 5),
            sighting(1, "up", 20),
            sighting(1, "down", 30),
            sighting(2, "unlinked", 40),
            sighting(1, "path-bad", 50),
        ];
        let first = Sightings(Mutex::new(all)).first(0, 10, 100);
        let first: Vec<_> = first.values().map(|it| (it.observer, it.shown(), it.at_ms)).collect();
        assert_eq!(first, [(1, "verdict down".to_owned(), 30), (2, "link lost".to_owned(), 40)]);
    }
}
