//! What befalls the regions and their links, from a seed.
//! Must not ask anybody: `kill -9`, `SIGSTOP`, and links that end or fall silent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::REGIONS;
use super::fleet::Fleet;
use super::relay::{Mood, Pair};

/// Faults at the same time.
const AT_ONCE: usize = 3;

/// How long until the next one.
const MOMENT_MS: std::ops::Range<u64> = 100..700;

/// How long one lasts.
const LASTS_MS: std::ops::Range<u64> = 200..2_500;

/// One fault of so many lasts longer than a link endures silence.
const LONG_OF: u32 = 12;

/// How long such a one lasts.
const LONG_MS: std::ops::Range<u64> = 10_000..13_000;

/// What is left of the test once no fault may be a long one any more.
const LAST: Duration = Duration::from_secs(15);

#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill(&'static str),
    Stall(&'static str),
    Link(Pair, Mood),
    /// All links of a region.
    Alone(&'static str, Mood),
}

impl Fault {
    /// Draws one; the first few are of each kind, so that no run goes without.
    fn draw(random: &mut fastrand::Rng, pairs: &[Pair], nth: u32) -> Self {
        let (kind, region) = (random.u32(..8), REGIONS[random.usize(..REGIONS.len())]);
        let pair = pairs[random.usize(..pairs.len())];
        let mood = if random.bool() { Mood::Cut } else { Mood::Silent };
        match [0, 3, 5, 6].get(nth as usize).copied().unwrap_or(kind) {
            0..3 => Self::Kill(region),
            3 | 4 => Self::Stall(region),
            5 => Self::Link(pair, Mood::Cut),
            6 => Self::Link(pair, Mood::Silent),
            _ => Self::Alone(region, mood),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Kill(_) => "kill",
            Self::Stall(_) => "stall",
            Self::Link(_, Mood::Silent) | Self::Alone(_, Mood::Silent) => "silence",
            Self::Link(..) | Self::Alone(..) => "cut",
        }
    }

    /// Lets it happen, and heals it; whether it happened.
    async fn run(self, fleet: &Fleet, lasts: Duration) -> bool {
        match self {
            Self::Kill(region) => {
                let Some((site, mut lives)) = fleet.hold_from(region) else { return false };
                site.kill(&mut lives).await;
                sleep(lasts).await;
                site.start_again(&mut lives);
            }
            Self::Stall(region) => {
                let Some((_, lives)) = fleet.hold_from(region) else { return false };
                lives.signal(Signal::STOP);
                sleep(lasts).await;
                lives.signal(Signal::CONT);
            }
            Self::Link(pair, mood) => {
                fleet.relay.set(pair, mood);
                sleep(lasts).await;
                fleet.relay.set(pair, Mood::Open);
            }
            Self::Alone(region, mood) => {
                let mut pairs = fleet.relay.pairs();
                pairs.retain(|(a, b)| *a == region || *b == region);
                pairs.iter().for_each(|it| fleet.relay.set(*it, mood));
                sleep(lasts).await;
                pairs.iter().for_each(|it| fleet.relay.set(*it, Mood::Open));
            }
        }
        true
    }
}

/// Lets faults happen for a while; returns how many of each did, once all are healed.
pub(crate) async fn rage(
    fleet: &Arc<Fleet>,
    random: &mut fastrand::Rng,
    lasts: Duration,
) -> BTreeMap<&'static str, u32> {
    let (end, pairs) = (Instant::now() + lasts, fleet.relay.pairs());
    let (mut open, mut happened) = (JoinSet::new(), BTreeMap::new());
    let mut count = |ended: Option<Result<Option<&'static str>, _>>| {
        if let Some(name) = ended.and_then(|it| it.expect("no fault fails")) {
            *happened.entry(name).or_default() += 1;
        }
    };
    for nth in 0.. {
        if end <= Instant::now() {
            break;
        }
        // A random moment is what this is about; all of it is drawn here, in the order of the seed.
        let (moment, fault) = (random.u64(MOMENT_MS), Fault::draw(random, &pairs, nth));
        let (is_long, short_ms) = (random.u32(..LONG_OF) == 0, random.u64(LASTS_MS));
        let long_ms = random.u64(LONG_MS);
        sleep(Duration::from_millis(moment)).await;
        if AT_ONCE <= open.len() {
            count(open.join_next().await);
        }
        let is_long = is_long && Instant::now() + LAST < end;
        let lasts = Duration::from_millis(if is_long { long_ms } else { short_ms });
        let fleet = Arc::clone(fleet);
        open.spawn(async move { fault.run(&fleet, lasts).await.then(|| fault.name()) });
    }
    while !open.is_empty() {
        count(open.join_next().await);
    }
    happened
}
