//! Makes the faults of a drill, and measures what each of them does.
//! Must not heal one: `photon up` does that by itself, even if the drill dies.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use photon_sim::{Harm, Schedule, Scheduled};
use serde_json::json;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::audit::Known;
use super::ledger::{Accepted, Evidence};
use super::planet::{At, Planet};
use super::report::{Detection, FaultReport, FirstSuccess, Rto, Spread, Summary};
use super::{Drilled, follow, schedule};
use crate::exit::RefusedError;
use crate::output::{Output, Tone};

/// The most open tasks of a home that are watched as they move on.
const WATCHED_MAX: usize = 500;
/// How often `photon up` is asked whether the planet is whole.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// How long after a fault regions may still see its traces.
const AFTERMATH_MS: u64 = 15_000;

/// A fault that was made, with all that is measured as it goes.
#[derive(Debug)]
pub(super) struct Made {
    fault: Scheduled,
    at_ms: u64,
    failed: Option<String>,
    whole_ms: Arc<Mutex<Option<u64>>>,
    moves: Vec<Moving>,
}

/// A task that was open in a home that went down.
#[derive(Debug)]
struct Moving {
    task: String,
    home: At,
    /// When it moved on.
    moved_ms: Arc<Mutex<Option<u64>>>,
    /// Whether it had ended by then, as the others knew.
    had_ended: Arc<Mutex<bool>>,
}

/// Refuses faults that this planet cannot have.
pub(super) async fn check(planet: &Planet, schedule: &Schedule) -> Result<()> {
    let is_path = |it: &Scheduled| matches!(it.harm, Harm::Partition(..) | Harm::SlowLink(..));
    if schedule.faults().iter().any(is_path) && !planet.show().await?.has_relay {
        let text = "links of this planet pass no relay that could fail: start it with `photon up \
                    --wan on`";
        return Err(RefusedError(text.to_owned()).into());
    }
    Ok(())
}

/// Makes a fault, and begins to watch what it does.
pub(super) async fn make(
    drilled: &Arc<Drilled>,
    fault: &Scheduled,
    tasks: &TaskTracker,
    stop: &CancellationToken,
    output: Output,
) -> Made {
    let at_ms = drilled.planet.now_ms();
    let for_s = fault.lasts.as_secs_f64();
    output.remark_as(Tone::Bad, "fault:", &format!("{}, for {for_s:.1} s", fault.harm));
    let ordered = drilled.planet.order(&schedule::order(fault)).await;
    let failed = ordered.err().map(|it| format!("{}: {it:#}", fault.harm));
    if let Some(why) = &failed {
        output.remark_as(Tone::Bad, "failed:", why);
    }
    let whole_ms = Arc::<Mutex<Option<u64>>>::default();
    let mut moves = Vec::new();
    if failed.is_none() {
        let (drilled_, whole_ms) = (Arc::clone(drilled), Arc::clone(&whole_ms));
        let lasts = fault.lasts;
        tasks.spawn(stop.clone().run_until_cancelled_owned(async move {
            sleep(lasts).await;
            while !is_whole(&drilled_).await {
                sleep(ASK_EVERY).await;
            }
            *whole_ms.lock().expect("nobody panics") = Some(drilled_.planet.now_ms());
        }));
        let home = fault.harm.silences().and_then(|it| drilled.planet.at(it));
        if let Some(home) = home {
            moves = watch_open_tasks(drilled, home, at_ms, tasks, stop);
        }
    }
    Made { fault: fault.clone(), at_ms, failed, whole_ms, moves }
}

/// Whether every region is up, and no fault is in force.
async fn is_whole(drilled: &Drilled) -> bool {
    let shown = drilled.planet.show().await;
    shown.is_ok_and(|it| it.faults.is_empty() && it.regions.iter().all(|it| it.state == "up"))
}

/// Waits until the planet is whole, or patience is over.
pub(super) async fn whole(drilled: &Drilled, patience: Duration) {
    let deadline = Instant::now() + patience;
    while !is_whole(drilled).await && Instant::now() < deadline {
        sleep(ASK_EVERY).await;
    }
}

fn watch_open_tasks(
    drilled: &Arc<Drilled>,
    home: At,
    at_ms: u64,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Vec<Moving> {
    let open: Vec<(String, Option<String>)> = {
        let book = drilled.ledger.book();
        let is_open = |it: &&Accepted| {
            it.home == Some(home) && it.at_ms <= at_ms && !book.completed_ms.contains_key(&it.id)
        };
        let open = book.accepted.values().filter(is_open).take(WATCHED_MAX);
        open.map(|it| (it.id.clone(), it.placement.clone())).collect()
    };
    let mut moves = Vec::new();
    for (task, placement) in open {
        let moving = Moving {
            task: task.clone(),
            home,
            moved_ms: Arc::default(),
            had_ended: Arc::default(),
        };
        let (moved, ended) = (Arc::clone(&moving.moved_ms), Arc::clone(&moving.had_ended));
        let near = drilled.reachable(home, placement.as_deref());
        let near: Vec<At> = near.into_iter().filter(|it| *it != home).collect();
        moves.push(moving);
        if near.is_empty() {
            continue; // It may live nowhere else.
        }
        let drilled = Arc::clone(drilled);
        tasks.spawn(stop.clone().run_until_cancelled_owned(async move {
            // One that the others have not heard of yet moves on with its first event there.
            let known = follow::known(&drilled, &task, near[0]).await;
            let (after, has_ended) = known.unwrap_or_default();
            if has_ended {
                *ended.lock().expect("nobody panics") = true;
                return;
            }
            let at = follow::next_event(drilled, task, near, after).await;
            *moved.lock().expect("nobody panics") = Some(at);
        }));
    }
    moves
}

/// Turns what was measured into reports.
pub(super) fn conclude(drilled: &Drilled, made: Vec<Made>, known: &Known) -> Vec<FaultReport> {
    let begins: Vec<u64> = made.iter().map(|it| it.at_ms).collect();
    let next = |at: usize| begins.get(at + 1).copied().unwrap_or(u64::MAX);
    made.into_iter().enumerate().map(|(at, it)| it.conclude(drilled, next(at), known)).collect()
}

impl Made {
    fn conclude(self, drilled: &Drilled, until_ms: u64, known: &Known) -> FaultReport {
        let Self { fault, at_ms, failed, whole_ms, moves } = self;
        let whole_ms = *whole_ms.lock().expect("nobody panics");
        let hit = fault.harm.region().and_then(|it| drilled.planet.at(it));
        let lost = fault.harm.silences().and_then(|it| drilled.planet.at(it));
        FaultReport {
            kind: fault.harm.kind(),
            text: fault.harm.to_string(),
            region: hit.map(|it| drilled.planet.name(it)),
            at_ms,
            lasts_ms: u64::try_from(fault.lasts.as_millis()).unwrap_or(u64::MAX),
            whole_after_ms: whole_ms.map(|it| it.saturating_sub(at_ms)),
            failed,
            detection: detection(drilled, &fault.harm, (at_ms, until_ms)),
            first_success: first_success(drilled, hit, (at_ms, until_ms)),
            rto: fault.harm.silences().map(|_| rto(drilled, &moves, at_ms, known)),
            homes: lost.map(|it| drilled.shares.moved(it, (at_ms, until_ms))),
        }
    }
}

/// Says who ought to see what is wrong, and with whom.
fn observers(drilled: &Drilled, harm: &Harm) -> Vec<(At, At)> {
    let at = |it| drilled.planet.at(it).expect("the schedule was checked");
    if let Some(region) = harm.region() {
        let target = at(region);
        let others = (0..drilled.planet.sites.len()).filter(|it| *it != target);
        return others.map(|it| (it, target)).collect();
    }
    let directions = harm.directions(&drilled.planet.names());
    let both = directions.iter().flat_map(|(a, b)| [(at(*a), at(*b)), (at(*b), at(*a))]);
    both.collect::<BTreeSet<_>>().into_iter().collect()
}

fn detection(drilled: &Drilled, harm: &Harm, (from, to): (u64, u64)) -> Vec<Detection> {
    let name = |at| drilled.planet.name(at);
    let mut targets = BTreeMap::new();
    let seen = |(observer, target): (At, At)| {
        let first = targets
            .entry(target)
            .or_insert_with(|| drilled.sightings.first(target, from, to))
            .get(&observer);
        Detection {
            region: name(observer),
            about: name(target),
            observed: first.map(super::watch::Sighting::shown),
            ms: first.map(|it| it.at_ms.saturating_sub(from)),
        }
    };
    observers(drilled, harm).into_iter().map(seen).collect()
}

fn first_success(drilled: &Drilled, hit: Option<At>, (from, to): (u64, u64)) -> Vec<FirstSuccess> {
    let book = drilled.ledger.book();
    let of = |at: At| {
        let new = || {
            let is_new =
                move |it: &&Accepted| it.asked_in == at && (from..to).contains(&it.began_ms);
            book.accepted.values().filter(is_new)
        };
        let done = new().filter_map(|it| book.completed_ms.get(&it.id).copied());
        FirstSuccess {
            region: drilled.planet.name(at),
            is_hit: hit == Some(at),
            accepted_ms: new().map(|it| it.at_ms - from).min(),
            completed_ms: done.map(|it| it.saturating_sub(from)).min(),
        }
    };
    (0..drilled.planet.sites.len()).map(of).collect()
}

fn rto(drilled: &Drilled, moves: &[Moving], at_ms: u64, known: &Known) -> Rto {
    let had_ended = |it: &&Moving| *it.had_ended.lock().expect("nobody panics");
    let (mut moved, mut never, mut homes_moved) = (Vec::new(), Evidence::default(), 0);
    let open: Vec<_> = moves.iter().filter(|it| !had_ended(it)).collect();
    for moving in &open {
        match *moving.moved_ms.lock().expect("nobody panics") {
            Some(at) => moved.push(at.saturating_sub(at_ms)),
            None => never.push(json!({"task": moving.task})),
        }
        let home = known.home(&moving.task);
        homes_moved += usize::from(home.is_some_and(|it| it != drilled.planet.name(moving.home)));
    }
    let (tasks, moved_on) = (open.len(), Spread::of(moved.clone()));
    Rto { tasks, moved_on, moved_ms: moved, never, homes_moved }
}

/// Brings the figures of faults of the same kind together.
pub(super) fn summarize(faults: &[FaultReport]) -> Vec<Summary> {
    let kinds: BTreeSet<&'static str> = faults.iter().map(|it| it.kind).collect();
    let of = |kind: &'static str| {
        let all: Vec<&FaultReport> =
            faults.iter().filter(|it| it.kind == kind && it.failed.is_none()).collect();
        let mut detection = BTreeMap::<String, Vec<u64>>::new();
        let mut not_detected = 0;
        for seen in all.iter().flat_map(|it| &it.detection) {
            match (&seen.observed, seen.ms) {
                (Some(observed), Some(ms)) => {
                    detection.entry(observed.clone()).or_default().push(ms);
                }
                (_, _) => not_detected += 1,
            }
        }
        let elsewhere = || all.iter().flat_map(|it| &it.first_success).filter(|it| !it.is_hit);
        let rto = all.iter().filter_map(|it| it.rto.as_ref());
        let homes = all.iter().filter_map(|it| it.homes).filter(|it| 0 < it.shards);
        Summary {
            kind,
            faults: all.len(),
            detection: detection.into_iter().map(|(it, ms)| (it, Spread::of(ms))).collect(),
            not_detected,
            first_accepted: Spread::of(elsewhere().filter_map(|it| it.accepted_ms).collect()),
            first_completed: Spread::of(elsewhere().filter_map(|it| it.completed_ms).collect()),
            never_served: elsewhere().filter(|it| it.accepted_ms.is_none()).count(),
            rto: Spread::of(rto.clone().flat_map(|it| &it.moved_ms).copied().collect()),
            rto_never: rto.map(|it| it.never.count).sum(),
            homes_moved: Spread::of(homes.clone().filter_map(|it| it.moved_ms).collect()),
            homes_never: homes.filter(|it| it.moved_ms.is_none()).count(),
        }
    };
    kinds.into_iter().map(of).collect()
}

/// Finds sightings of trouble with regions that no fault had hit.
pub(super) fn false_alarms(
    drilled: &Drilled,
    schedule: &Schedule,
    faults: &[FaultReport],
) -> Evidence {
    let mut hits = Vec::new();
    for (fault, report) in schedule.faults().iter().zip(faults) {
        let over = report.at_ms + report.whole_after_ms.unwrap_or(report.lasts_ms) + AFTERMATH_MS;
        let region = fault.harm.region().and_then(|it| drilled.planet.at(it));
        hits.push((observers(drilled, &fault.harm), region, report.at_ms..over));
    }
    let is_excused = |observer: At, target: At, at_ms: u64| {
        hits.iter().any(|(pairs, region, when)| {
            // A region that was hit may think what it likes of others meanwhile.
            let is_of = *region == Some(observer) || pairs.contains(&(observer, target));
            is_of && when.contains(&at_ms)
        })
    };
    let mut alarms = Evidence::default();
    for odd in drilled.sightings.false_alarms(is_excused) {
        let name = |at| drilled.planet.name(at);
        let what = json!({"region": name(odd.observer), "about": name(odd.target),
            "observed": odd.shown(), "at_ms": odd.at_ms});
        alarms.push(what);
    }
    alarms
}
