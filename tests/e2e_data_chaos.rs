//! Five regions under load are killed, stalled and cut off at random: what was acknowledged stays,
//! all end alike, and what may not leave a placement is found nowhere else.
//! Must not pass because nothing happened, or because nothing could be found.

use std::sync::Arc;
use std::time::Duration;

use crate::data_chaos::canary::{self, Canaries};
use crate::data_chaos::faults;
use crate::data_chaos::fleet::Fleet;
use crate::data_chaos::ledger::Ledger;
use crate::data_chaos::load::{Load, QUOTA};
use crate::data_chaos::verdict;
use crate::harness::say;

/// Set it to the seed of an earlier run to have its faults again.
const SEED: &str = "PHOTON_CHAOS_SEED";

/// Set it to let the faults go on for longer.
const SECONDS: &str = "PHOTON_CHAOS_SECONDS";

/// For how long there are faults, unless that is set.
const SECONDS_DEFAULT: u64 = 15;

#[tokio::test(flavor = "multi_thread")]
async fn records_survive_and_stay_where_they_may_live() {
    let number = |name| std::env::var(name).ok().and_then(|it| it.parse().ok());
    let seed = number(SEED).unwrap_or_else(|| fastrand::u64(..));
    let seconds = number(SECONDS).unwrap_or(SECONDS_DEFAULT);
    say(&format!("{SEED}={seed} {SECONDS}={seconds}"));
    let mut random = fastrand::Rng::with_seed(seed);

    let canaries = Canaries::new();
    let fleet = Arc::new(Fleet::start().await);
    let load = Load::start(&fleet, &canaries, &mut random).await;
    let happened = faults::rage(&fleet, &mut random, Duration::from_secs(seconds)).await;
    fleet.is_healed().await;
    let ledger = load.finish().await;
    say(&format!("faults: {happened:?}"));
    say(&format!("requests: {:?}", ledger.outcomes));

    assert!(ledger.odd.is_empty(), "no fault explains {:#?}", ledger.odd);
    verdict::regions_hold_the_same(&fleet).await;
    verdict::nothing_is_lost(&fleet, &ledger).await;
    verdict::regions_outside_know_nothing(&fleet).await;
    canary::no_disk_outside_has_any(&fleet, &canaries).await;
    canary::no_link_outside_had_any(&fleet, &canaries);
    fleet.nobody_complains().await;
    for fault in ["kill", "stall", "silence", "cut"] {
        assert!(happened.contains_key(fault), "a run without a {fault} proves little");
    }
    much_was_tried(&ledger);
}

/// A run in which all went well, or nothing did, proves nothing.
fn much_was_tried(ledger: &Ledger) {
    for what in ["done", "level not reached", "not heard", "overdrawn", "read on"] {
        assert!(ledger.outcomes.contains_key(what), "none was {what}: {:?}", ledger.outcomes);
    }
    let sums =
        |name: &'static str| ledger.sums.iter().filter(move |((it, _), _)| it.ends_with(name));
    assert!(sums("quota").all(|(_, sum)| QUOTA / 2 < sum.sure_out), "{:?}", ledger.sums);
    assert!(sums("swap").all(|(_, sum)| 0 < sum.sure_in), "{:?}", ledger.sums);
    let things: usize = ledger.things.values().map(|it| it.len()).sum();
    let puts: usize = ledger.puts.values().map(Vec::len).sum();
    say(&format!("{things} things and {puts} values were written, and {:?} counted", ledger.sums));
}
