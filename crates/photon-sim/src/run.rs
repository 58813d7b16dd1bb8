//! One run from a seed: its report, or the promise that it broke with the trace that leads there.
//! Must not print: whoever called does.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::faults::Profile;
use crate::planet::Planet;
use crate::promises::{Broken, Promise};
use crate::trace::Trace;

/// Which seeds to run, and in which kind of world.
#[derive(Clone, Debug)]
pub struct Options {
    /// The seeds.
    pub seeds: Range<u64>,
    /// The kind of world.
    pub profile: Profile,
}

impl Default for Options {
    fn default() -> Self {
        Self { seeds: 0..1_000, profile: Profile::default() }
    }
}

/// What a run amounted to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What the world was made from.
    pub seed: u64,
    /// How many regions it had.
    pub regions: usize,
    /// Inputs that regions handled.
    pub events: u64,
    /// How long it took in the imagined world.
    pub virtual_time: Duration,
    /// Tasks that clients were promised.
    pub tasks: usize,
    /// Writes and reads of records that were answered.
    pub records: u64,
    /// Commands that were answered.
    pub replies: u64,
    /// Commands that a look at the region would answer.
    pub glanced: u64,
    /// Regions that crashed.
    pub crashes: u64,
    /// Times that a process stood still.
    pub stalls: u64,
    /// Times that a living region had to notice that another one was dead, and did.
    pub noticed: u64,
    /// Times that a schedule took the leader away.
    pub leaders_away: u64,
    /// Times that a region was away by a schedule until others had taken over what it was home of.
    pub outages_ended: u64,
    /// How long that took at the most.
    pub outage_max: Duration,
    /// Times that it was back before.
    pub outages_outlasted: u64,
    /// Messages that were lost.
    pub lost: u64,
    /// Times that a region let go of the start of its log.
    pub truncated: u64,
    /// Times that a region sent another one its state.
    pub transfers: u64,
    /// Times that a region began to compare what it holds with what a peer holds.
    pub compared: u64,
    /// Ops that regions were sent.
    pub received: u64,
    /// Those of them that they had already.
    pub repeated: u64,
    /// Times that a region sent a stream out of turn, because a peer got no further.
    pub helped: u64,
    /// What each region was told of how to pass ops on, if all were told the same.
    pub topology: Option<&'static str>,
    /// Records that moved to another placement.
    pub moved: u64,
    /// Those of which nothing was left in the logs of regions that may not hold them any more.
    pub purged: u64,
    /// Pages of records that had no room in memory.
    pub laid_away: u64,
    /// Answers of homes that fit one order, as if each thing was asked one after the other.
    pub ordered: u64,
    /// Those of them about tasks that may have been set back, as a home was lost.
    pub loosely: u64,
    /// Histories for which no order was found, and none ruled out, within a bounded time.
    pub unjudged: u64,
    /// Ops that disks had said to be durable, and lost.
    pub untrue: u64,
    /// Regions that found that their logs had gone back, and stopped.
    pub halts: u64,
    /// Messages of topics that were acknowledged.
    pub posted: u64,
    /// Tasks that failed and were asked for again.
    pub redriven: u64,
    /// Webhooks that were told something.
    pub told: u64,
    /// Reads from the log, for peers that were far behind.
    pub fetched: u64,
    /// Leases that lapsed.
    pub lapsed: u64,
    /// Attempts that came to nothing and were followed by another one.
    pub retried: u64,
    /// Attempts and tasks that took longer than their terms allow.
    pub timed_out: u64,
    /// Claims that were refused as stale.
    pub stale: u64,
    /// Depends on every input and every output: equal for two runs of a seed.
    pub digest: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, regions, events, tasks, replies, crashes, lost, digest, .. } = self;
        let Self { lapsed, stale, records, truncated, transfers, compared, .. } = self;
        let Self { received, repeated, helped, moved, purged, laid_away, noticed, stalls, .. } =
            self;
        let Self { ordered, loosely, unjudged, untrue, halts, .. } = self;
        let topology = self.topology.unwrap_or("mixed topologies");
        let seconds = self.virtual_time.as_secs_f64();
        write!(
            f,
            "seed {seed}: {regions} regions, {topology}, {seconds:.1} s, {events} events, \
             {tasks} tasks, {records} records, {moved} moved, {purged} purged, {replies} replies, \
             {crashes} crashes, {stalls} stalls, {noticed} times noticed, {truncated} logs cut, \
             {transfers} states sent, \
             {compared} times compared, \
             {lapsed} leases lapsed, {stale} stale, {lost} messages lost, {received} ops received, \
             {repeated} of them twice, {helped} times helped, {laid_away} pages written, \
             {ordered} answers of homes in order ({loosely} loosely), \
             {unjudged} histories unjudged, {untrue} ops untrue, {halts} halts, \
             digest {digest:016x}"
        )
    }
}

/// A promise that a seed breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Failure {
    /// What the world was made from.
    pub seed: u64,
    /// The promise.
    pub promise: Promise,
    /// How it was broken.
    pub what: String,
    /// What happened last, in readable lines.
    pub trace: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, promise, what, trace } = self;
        writeln!(f, "seed {seed} broke a promise")?;
        writeln!(f, "  {promise}")?;
        writeln!(f, "  {what}")?;
        writeln!(f, "the last {} events:", trace.len())?;
        trace.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        write!(f, "to see it again: photon simulate --seed {seed} --trace")
    }
}

/// Runs the world of a seed until it has come to rest, or broken a promise.
pub fn run(seed: u64, profile: &Profile) -> Result<Report, Failure> {
    let broken = match attempt(seed, profile, &mut Trace::Off) {
        Ok(report) => return Ok(report),
        Err(broken) => broken,
    };
    // The same seed gives the same run, so that only a run that failed has to make a trace.
    let mut trace = Trace::Last(VecDeque::new());
    let again = attempt(seed, profile, &mut trace);
    let lines = trace.into_lines();
    let is_same = again.as_ref().is_err_and(|it| it.what == broken.what);
    let (promise, what) = if is_same {
        (broken.promise, broken.what)
    } else {
        let then = again.map_or_else(|it| it.what, |report| report.to_string());
        (Promise::SameSeed, format!("first: {}; then: {then}", broken.what))
    };
    Err(Failure { seed, promise, what, trace: lines })
}

/// Runs the world of a seed and shows every line of its trace as it happens.
pub fn run_traced(
    seed: u64,
    profile: &Profile,
    sink: &mut dyn FnMut(&str),
) -> Result<Report, Failure> {
    attempt(seed, profile, &mut Trace::Every(sink)).map_err(|broken| Failure {
        seed,
        promise: broken.promise,
        what: broken.what,
        trace: Vec::new(),
    })
}

thread_local! {
    static UNDER_WAY: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Returns the seed that this thread runs: for a panic hook, where panics abort the process.
#[must_use]
pub fn seed_under_way() -> Option<u64> {
    UNDER_WAY.get()
}

fn attempt(seed: u64, profile: &Profile, trace: &mut Trace<'_>) -> Result<Report, Broken> {
    UNDER_WAY.set(Some(seed));
    let ran = catch_unwind(AssertUnwindSafe(|| Planet::draw(seed, profile, trace).run()));
    UNDER_WAY.set(None);
    ran.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Promise::NoPanic.broken(text.unwrap_or("a panic without words")))
    })
}
