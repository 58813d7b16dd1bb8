//! What happens when a region comes back that was cut off for minutes: how long it takes to catch
//! up, and whether others feel it. Must not know how regions replicate.

mod beats;
mod catching;
mod fleet;
mod load;
mod relay;

use std::time::{Duration, Instant};

use clap::Args;

use self::beats::{Answered, Beat, Beats, Sight};
use self::catching::{Caught, LEVEL_MS, Used, catch_up};
use self::fleet::Fleet;
use self::load::Load;
use crate::Places;
use crate::converge::{REGIONS, show_round_trips};
use crate::load::percentile_ms;
use crate::process;
use crate::report::{Report, Target};

/// The region that is cut off: the farthest.
const CUT_OFF: usize = 4;
/// Members of a placement that the region that is cut off is not in.
const NEAR: [usize; 4] = [0, 1, 2, 3];
/// Members of a placement of two.
const FAR: [usize; 2] = [0, CUT_OFF];
/// A dataset that lives everywhere, in the same streams as the load.
const WIDE: &str = "wide";
/// All datasets, and their placements.
const DATASETS: [(&str, &str); 4] =
    [(load::DATASET, "global"), (WIDE, "global"), ("near", "near"), ("far", "far")];
/// Who writes what is looked for elsewhere.
const BEATS: [Beat; 3] = [
    Beat { dataset: "near", from: &NEAR, to: &NEAR },
    Beat { dataset: WIDE, from: &[0, 1, 2, 3, 4], to: &[0, 1, 2, 3, 4] },
    Beat { dataset: "far", from: &[FAR[0]], to: &[FAR[1]] },
];
/// How long everybody writes before anything is measured, and watches afterwards.
const WARM_UP: Duration = Duration::from_secs(5);
const SETTLE: Duration = Duration::from_secs(3);
/// What is written so shortly before the cut may be lost on the way, and is not counted.
const MARGIN: Duration = Duration::from_secs(1);
/// How much later than before a write of others may be seen while a region catches up: twice as
/// late, or this much, whichever is more.
const LATER_MS: f64 = 30.0;

/// How it is measured.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Options {
    /// For how many minutes a region is cut off
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// How many writes a second there are, over all regions but the one that is cut off
    #[arg(long, default_value_t = 2_000)]
    rate: usize,
    /// How many writes a second there are in the region that is cut off
    #[arg(long, default_value_t = 0)]
    rate_alone: usize,
    /// How many records each region writes again and again
    #[arg(long, default_value_t = 10_000)]
    records: usize,
    /// For how many seconds it is measured before the cut, and after regions are level again
    #[arg(long, default_value_t = 30.0)]
    seconds: f64,
    /// Keep ops for a peer for ten seconds only, so that it is sent the state in their place
    #[arg(long)]
    short_log: bool,
}

/// When what happened.
#[derive(Clone, Copy, Debug)]
struct Times {
    began: Instant,
    cut: Instant,
    healed: Instant,
    level: Instant,
    ended: Instant,
}

/// What is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Before,
    Cut,
    CatchingUp,
    After,
}

impl Times {
    fn phase(&self, at: Instant) -> Option<Phase> {
        Some(match at {
            it if it < self.began || self.ended <= it => return None,
            it if it + MARGIN < self.cut => Phase::Before,
            it if it < self.cut => return None,
            it if it < self.healed => Phase::Cut,
            it if it < self.level => Phase::CatchingUp,
            _ => Phase::After,
        })
    }
}

impl Phase {
    const ALL: [Self; 4] = [Self::Before, Self::Cut, Self::CatchingUp, Self::After];

    fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Cut => "while cut off",
            Self::CatchingUp => "while it catches up",
            Self::After => "afterwards",
        }
    }
}

/// Measures it.
pub(crate) async fn measure(options: &Options, places: &Places) -> anyhow::Result<Report> {
    let mut report = Report::begin("partition");
    let fleet = Fleet::start(places, options.short_log).await?;
    let each = options.rate / NEAR.len();
    let rates = std::array::from_fn(|at| if at == CUT_OFF { options.rate_alone } else { each });
    let mut beats = Beats::start(&fleet, &BEATS).await?;
    let mut load = Load::start(&fleet, rates, options.records).await?;
    tokio::time::sleep(WARM_UP).await;
    let began = Instant::now();
    tokio::time::sleep(Duration::from_secs_f64(options.seconds)).await;
    let cut = Instant::now();
    fleet.relay.cut(true);
    tokio::time::sleep(Duration::from_secs_f64(60.0 * options.minutes)).await;
    beats.check()?;
    load.check()?;
    let before = Used::read(&fleet).await?;
    let (healed, caught) = catch_up(&fleet).await?;
    let level = healed + caught.all();
    let after = Used::read(&fleet).await?;
    tokio::time::sleep(Duration::from_secs_f64(options.seconds)).await;
    let ended = Instant::now();
    let requests = load.finish().await?;
    let sights = beats.finish(SETTLE).await?;
    let times = Times { began, cut, healed, level, ended };
    describe_catching(&mut report, &caught, &[before, after]);
    describe_beats(&mut report, &sights, &times);
    describe_load(&mut report, &requests, &times);
    let peak = process::memory(fleet.process(CUT_OFF))?.peak;
    report.row("memory of the region that was cut off, most", (peak, "MiB"), Target::None);
    fleet.verify()?;
    report.note(method(options));
    Ok(report)
}

/// Tells how long it took, and what it cost.
fn describe_catching(report: &mut Report, caught: &Caught, [before, after]: &[Used; 2]) {
    let mut row = |what: &str, figure: (f64, &'static str), target| {
        report.row(format!("heal: {what}"), figure, target);
    };
    let secs = |time: Duration| (time.as_secs_f64(), "s");
    row("until linked to all", secs(caught.linked), Target::None);
    row("until it has what others wrote before", secs(caught.has_theirs), Target::Under(10.0));
    row("until others have what it wrote before", secs(caught.have_its), Target::Under(10.0));
    row("until nobody lacks what is older than 1 s", secs(caught.level), Target::Under(10.0));
    for (what, count) in &after.counters {
        let before = before.counters.get(what).copied().unwrap_or_default();
        row(what, ((count - before) as f64, ""), Target::None);
    }
    let ways = ["arrived at it", "left it", "among the others"];
    for (at, way) in ways.into_iter().enumerate() {
        let mib = (after.bytes[at] - before.bytes[at]) as f64 / f64::from(1 << 20);
        row(&format!("bytes that {way}, all of TCP"), (mib, "MiB"), Target::None);
    }
    for (lane, [raw, wire]) in &after.lanes {
        let [raw_before, wire_before] = before.lanes.get(lane).copied().unwrap_or_default();
        let mib = |bytes: u64| (bytes as f64 / f64::from(1 << 20), "MiB");
        row(&format!("sent {lane}"), mib(raw - raw_before), Target::None);
        row(&format!("sent {lane}, compressed"), mib(wire - wire_before), Target::None);
    }
    for (at, name) in REGIONS.iter().enumerate() {
        let time = after.regions[at].saturating_sub(before.regions[at]);
        row(&format!("processor time of `{name}`"), secs(time), Target::None);
    }
    let own = after.own.saturating_sub(before.own);
    row("processor time of clients and relay", secs(own), Target::None);
}

/// Chooses what belongs to a group.
type Belongs = fn(&Sight) -> bool;

/// What is told apart, and whether it is to be as soon as before while a region catches up.
const GROUPS: [(&str, bool, Belongs); 5] = [
    ("others, other streams", true, |it| it.dataset == "near"),
    ("others, streams that it lacks", true, |it| {
        it.dataset == WIDE && it.from != CUT_OFF && it.to != CUT_OFF
    }),
    ("to it, a stream of little", false, |it| it.dataset == "far"),
    ("to it, streams that it lacks", false, |it| it.dataset == WIDE && it.to == CUT_OFF),
    ("from it", false, |it| it.dataset == WIDE && it.from == CUT_OFF),
];

/// Tells how late writes were seen elsewhere.
fn describe_beats(report: &mut Report, sights: &[Sight], times: &Times) {
    for (group, is_bound, belongs) in GROUPS {
        let mut before_p99 = None;
        for phase in Phase::ALL {
            if phase == Phase::Cut && !is_bound {
                continue; // There is no way.
            }
            let of = sights.iter().filter(|it| belongs(it));
            let of = of.filter(|it| times.phase(it.written) == Some(phase));
            let (seen, unseen): (Vec<&Sight>, Vec<&Sight>) = of.partition(|it| it.late.is_some());
            let mut late: Vec<Duration> = seen.iter().filter_map(|it| it.late).collect();
            late.sort_unstable();
            let p99 = percentile_ms(&late, 0.99);
            let bound = *before_p99.get_or_insert(p99);
            let is_judged = is_bound && phase == Phase::CatchingUp;
            let bound = Target::Under((2.0 * bound).max(bound + LATER_MS));
            let target = if is_judged { bound } else { Target::None };
            let name = format!("{group}, {}", phase.name());
            let p50 = (percentile_ms(&late, 0.5), "ms");
            report.row(format!("{name}: p50 of {}", late.len()), p50, Target::None);
            report.row(format!("{name}: p99"), (p99, "ms"), target);
            report.row(format!("{name}: most"), (percentile_ms(&late, 1.0), "ms"), Target::None);
            if !unseen.is_empty() {
                report.row(format!("{name}: not seen"), (unseen.len() as f64, ""), Target::None);
            }
        }
    }
}

/// Tells how long requests of the load took.
fn describe_load(report: &mut Report, requests: &[Answered], times: &Times) {
    for phase in Phase::ALL {
        let of = requests.iter().filter(|it| times.phase(it.sent) == Some(phase));
        let mut took: Vec<Duration> = of.map(|it| it.answered - it.sent).collect();
        took.sort_unstable();
        let name = format!("request of {} writes, {}", load::BATCH, phase.name());
        let p50 = (percentile_ms(&took, 0.5), "ms");
        report.row(format!("{name}: p50 of {}", took.len()), p50, Target::None);
        report.row(format!("{name}: p99"), (percentile_ms(&took, 0.99), "ms"), Target::None);
    }
}

fn method(options: &Options) -> String {
    let Options { minutes, rate, rate_alone, records, seconds, short_log } = options;
    let log = if *short_log {
        "Ops are kept for 10 s for a peer that lacks them, so that the state is sent."
    } else {
        "The log keeps its defaults, so that it holds all that is missed."
    };
    format!(
        "Five regions as processes of `photon serve`, links with TLS through a relay of this \
         program that delays bytes by half of these round trips: {}. It has no bound of bandwidth. \
         For {minutes} minutes nothing passes to or from `{}`: what is sent stays where it is, and \
         who dials gets no answer. All the time {rate} writes a second (JSON of 256 B, in requests \
         of {}) go to the other four regions and {rate_alone} to this one, each to {records} \
         records of its own that live everywhere. {log} From the heal on: a read in one region \
         that shows a session of another one is answered once it has all that was written there \
         before the heal; and regions tell (`GET /v1/replication`, asked every 50 ms) that nobody \
         lacks what is older than {LEVEL_MS} ms. Beside the load each region writes one record of \
         64 B each 100 ms to each of three datasets, which are watched elsewhere by long polls: \
         `near` lives in all regions but the one that is cut off, `wide` everywhere, so that it \
         is in the same streams as the load, `far` in `{}` and the one that is cut off. How late \
         is from the answer to the change in the hands of the watcher, less half of the round \
         trip, by one clock; {seconds} s before the cut, and as long afterwards. The bound while \
         it catches up: p99 twice that before, or {LATER_MS} ms more. At the end `photon state \
         verify` found all regions alike. Everything shares this machine's cores.",
        show_round_trips(),
        fleet::cut_off(),
        load::BATCH,
        REGIONS[FAR[0]],
    )
}
