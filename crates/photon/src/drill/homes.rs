//! Watches which regions decide about how many shards, as each says of itself.
//! Must not know which fault there is, nor who ought to become a home.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde::Serialize;
use serde_json::Value;

use super::planet::At;

/// What became of the shards that a lost region was the home of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Moved {
    /// How many it decided about before the fault.
    pub(super) shards: u64,
    /// Until the other regions decided about all shards of the planet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) moved_ms: Option<u64>,
}

/// How many shards a region decides about, from a moment on.
#[derive(Clone, Copy, Debug)]
struct Share {
    of: At,
    shards: u64,
    seen_ms: u64,
}

/// All changes, in the order in which they were seen.
#[derive(Debug, Default)]
pub(super) struct Shares(Mutex<Vec<Share>>);

impl Shares {
    /// Each placement has so many.
    const OF_PLACEMENT: u64 = 1_024;
    /// How long what regions say of themselves must stay so: while homes move as planned, one may
    /// still show what another one has already taken over.
    const HOLDS_MS: u64 = 400;

    /// Takes note of what a region says of itself among the regions that it tells of.
    pub(super) fn note(&self, of: At, told: &Value, seen_ms: u64) {
        let mut regions = told["regions"].as_array().into_iter().flatten();
        let own = regions.find(|it| it["health"] == "self");
        let Some(shards) = own.and_then(|it| it["shards"].as_u64()) else { return };
        let mut all = self.0.lock().expect("no watcher panics");
        let last = all.iter().rev().find(|it| it.of == of);
        if last.is_none_or(|it| it.shards != shards) {
            all.push(Share { of, shards, seen_ms });
        }
    }

    /// Says when all that was decided about at `from_ms` was decided about by others than `lost`,
    /// if that was before `to_ms`.
    pub(super) fn moved(&self, lost: At, (from_ms, to_ms): (u64, u64)) -> Moved {
        let all = self.0.lock().expect("no watcher panics");
        let mut held = BTreeMap::<At, u64>::new();
        let (before, after): (Vec<Share>, Vec<Share>) =
            all.iter().partition(|it| it.seen_ms <= from_ms);
        held.extend(before.iter().map(|it| (it.of, it.shards)));
        // Before the first fault, when nothing is on its way, or only a few are.
        let first = |of: &At| before.iter().find(|it| it.of == *of).map_or(0, |it| it.shards);
        let sum = held.keys().map(first).sum::<u64>() + Self::OF_PLACEMENT / 2;
        let total = sum - sum % Self::OF_PLACEMENT;
        let shards = held.remove(&lost).unwrap_or(0);
        let mut moved_at = None;
        // What it was not the home of needs nobody else.
        let others = after.iter().filter(|it| it.of != lost && it.seen_ms < to_ms && 0 < shards);
        for share in others {
            held.insert(share.of, share.shards);
            let has_held = |at: u64| at + Self::HOLDS_MS <= share.seen_ms;
            if moved_at.is_some_and(has_held) {
                break;
            }
            let is_all = total <= held.values().sum();
            moved_at = if is_all { moved_at.or(Some(share.seen_ms)) } else { None };
        }
        let moved_at = moved_at.filter(|at| at.saturating_add(Self::HOLDS_MS) <= to_ms);
        Moved { shards, moved_ms: moved_at.map(|at| at - from_ms) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(of: At, shares: [u64; 3]) -> Value {
        let row = |(at, shards): (At, &u64)| {
            let health = if at == of { "self" } else { "linked" };
            json!({"name": format!("r{at}"), "health": health, "shards": shards})
        };
        json!({"regions": shares.iter().enumerate().map(row).collect::<Vec<Value>>()})
    }

    #[test]
    fn shards_have_moved_once_the_others_say_of_themselves_that_they_decide_about_all() {
        let shares = Shares::default();
        (0..3).for_each(|at| shares.note(at, &told(at, [342, 341, 341]), 10));
        // One has heard of its new homes, and counts for itself only what it has taken over.
        shares.note(1, &told(1, [0, 341, 512]), 150);
        shares.note(1, &told(1, [0, 512, 512]), 180);
        let check = |from, to, shards, moved_ms| {
            assert_eq!(shares.moved(0, (from, to)), Moved { shards, moved_ms });
        };
        check(100, u64::MAX, 342, None);
        // What the lost one says of itself later on counts for nothing.
        shares.note(0, &told(0, [342, 341, 341]), 190);
        check(100, u64::MAX, 342, None);
        shares.note(2, &told(2, [0, 512, 512]), 200);
        check(100, u64::MAX, 342, Some(100));
        check(100, 200, 342, None);
        shares.note(0, &told(0, [0, 512, 512]), 300);
        // Homes that move as planned are counted twice for a moment.
        shares.note(1, &told(1, [0, 412, 612]), 500);
        check(100, u64::MAX, 342, None);
        shares.note(2, &told(2, [0, 412, 612]), 520);
        check(100, u64::MAX, 342, Some(420));
        // One that comes back gets some of them, long after.
        shares.note(1, &told(1, [312, 300, 412]), 2_000);
        check(100, u64::MAX, 342, Some(420));
        // Whoever is home of nothing has nothing that could move.
        check(400, u64::MAX, 0, None);
    }
}
