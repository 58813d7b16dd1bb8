//! Waits until a region that was cut off has what it missed, and the others what they missed of it;
//! and counts what that took. Must not write but for a mark in each region.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::task::JoinSet;

use super::fleet::{Fleet, replication};
use super::{CUT_OFF, WIDE};
use crate::converge::REGIONS;
use crate::http::Connection;
use crate::process;

/// Regions count as level again once nothing is missing that is older than this. It has to be more
/// than a round trip and the quarter of a second for which regions go on to tell the same.
pub(super) const LEVEL_MS: u64 = 1_000;
/// How often regions are asked.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// How long a read waits before it is tried again.
const READ_WAIT_MS: u64 = 30_000;
/// How long all of it may take.
const CATCH_UP_MAX: Duration = Duration::from_secs(600);

/// How long it took, from the heal on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Caught {
    /// Until the region was linked to all others.
    pub(super) linked: Duration,
    /// Until it had all that others had written before the heal.
    pub(super) has_theirs: Duration,
    /// Until all others had what it had written before the heal.
    pub(super) have_its: Duration,
    /// Until regions told that nobody is behind by more than [`LEVEL_MS`].
    pub(super) level: Duration,
}

impl Caught {
    /// Returns when all of it was so.
    pub(super) fn all(&self) -> Duration {
        self.has_theirs.max(self.have_its).max(self.level)
    }
}

/// What a region has to have of another one, and where that is asked for.
struct Mark {
    to: usize,
    session: String,
}

/// Heals the planet, and waits.
pub(super) async fn catch_up(fleet: &Fleet) -> anyhow::Result<(Instant, Caught)> {
    let marks = marks(fleet).await?;
    let mut reads = JoinSet::new();
    let healed = Instant::now();
    fleet.relay.cut(false);
    for Mark { to, session } in marks {
        let connection = fleet.connect(to).await?;
        reads.spawn(async move { (to, read(connection, &session).await) });
    }
    let mut caught = Caught::default();
    (caught.linked, caught.level) = await_level(fleet, healed).await?;
    while let Some(joined) = reads.join_next().await {
        let (to, at) = joined.context("a reader died")?;
        let took = at?.saturating_duration_since(healed);
        let longest = if to == CUT_OFF { &mut caught.has_theirs } else { &mut caught.have_its };
        *longest = took.max(*longest);
    }
    Ok((healed, caught))
}

/// Writes once in each region: who has seen that has seen all that was written there before.
async fn marks(fleet: &Fleet) -> anyhow::Result<Vec<Mark>> {
    let mut marks = Vec::new();
    for (at, _) in REGIONS.iter().enumerate() {
        let mut connection = fleet.connect(at).await?;
        let body = format!(r#"{{"writes":[{{"key":"mark-{at}","put":1}}]}}"#);
        connection.post(&format!("/v1/data/{WIDE}"), body.as_bytes()).await?.good()?;
        let session = connection.header("photon-session")?.to_owned();
        let others = (0..REGIONS.len()).filter(|it| *it != CUT_OFF);
        let readers = if at == CUT_OFF { others.collect() } else { vec![CUT_OFF] };
        marks.extend(readers.into_iter().map(|to| Mark { to, session: session.clone() }));
    }
    Ok(marks)
}

/// Reads until the region has all that a session has seen; returns when it had.
async fn read(mut connection: Connection, session: &str) -> anyhow::Result<Instant> {
    const NOT_YET: u16 = 503;
    let until = Instant::now() + CATCH_UP_MAX;
    let path = format!("/v1/data/{WIDE}/mark-{CUT_OFF}?wait_ms={READ_WAIT_MS}");
    loop {
        let found = connection.get_in(&path, session).await?;
        if found.status != NOT_YET {
            found.good()?;
            return Ok(Instant::now());
        }
        ensure!(Instant::now() < until, "a region does not catch up");
    }
}

/// Waits until regions tell that they are linked, and that nobody is behind.
async fn await_level(fleet: &Fleet, healed: Instant) -> anyhow::Result<(Duration, Duration)> {
    let mut connections = Vec::new();
    for (at, _) in REGIONS.iter().enumerate() {
        connections.push(fleet.connect(at).await?);
    }
    let mut linked = None;
    loop {
        let (mut is_linked, mut is_level) = (true, true);
        for (at, connection) in connections.iter_mut().enumerate() {
            let told = replication(connection).await?;
            let concerns = |peer: &str| at == CUT_OFF || peer == REGIONS[CUT_OFF];
            for peer in told.peers.iter().filter(|it| concerns(&it.region)) {
                is_linked &= peer.linked;
                is_level &= peer.linked && peer.lag_ms.is_some_and(|ms| ms <= LEVEL_MS);
            }
        }
        if is_linked {
            linked.get_or_insert_with(|| healed.elapsed());
        }
        if let Some(linked) = linked.filter(|_| is_level) {
            return Ok((linked, healed.elapsed()));
        }
        ensure!(healed.elapsed() < CATCH_UP_MAX, "the planet does not become level");
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// What was used up to a moment.
#[derive(Clone, Debug)]
pub(super) struct Used {
    /// Bytes that arrived at the region that was cut off, that left it, and among the others.
    pub(super) bytes: [u64; 3],
    /// Bytes before and after compression, of each class, to and from the region that was cut off.
    pub(super) lanes: BTreeMap<String, [u64; 2]>,
    /// What else regions count, over all of them.
    pub(super) counters: BTreeMap<&'static str, u64>,
    /// Processor time of each region.
    pub(super) regions: Vec<Duration>,
    /// Processor time of this program: clients and relay.
    pub(super) own: Duration,
}

impl Used {
    /// Asks all regions.
    pub(super) async fn read(fleet: &Fleet) -> anyhow::Result<Self> {
        let (mut lanes, mut counters) = (BTreeMap::new(), BTreeMap::new());
        for (at, name) in REGIONS.iter().enumerate() {
            let mut connection = fleet.connect(at).await?;
            let text = connection.request("GET", "/metrics", b"").await?.good()?;
            let text = std::str::from_utf8(text)?;
            let samples = text.lines().filter_map(|line| line.rsplit_once(' '));
            for (metric, value) in samples {
                if let Some(what) = counter(metric) {
                    *counters.entry(what).or_default() += value.parse::<u64>()?;
                }
                let Some((kind, class)) = lane(metric, at) else { continue };
                let way = if at == CUT_OFF { "from" } else { "to" };
                let sums = lanes.entry(format!("{way} `{}`, {class}", REGIONS[CUT_OFF]));
                let sums: &mut [u64; 2] = sums.or_default();
                sums[kind] += value.parse::<u64>().with_context(|| format!("`{name}`"))?;
            }
        }
        let mut bytes = [0; 3];
        for (from, row) in fleet.relay.bytes().iter().enumerate() {
            for (to, count) in row.iter().enumerate() {
                let place = match (from, to) {
                    (_, CUT_OFF) => 0,
                    (CUT_OFF, _) => 1,
                    (_, _) => 2,
                };
                bytes[place] += count;
            }
        }
        let regions = (0..REGIONS.len()).map(|at| process::cpu(fleet.process(at))).collect();
        Ok(Self { bytes, lanes, counters, regions, own: process::own_cpu() })
    }
}

/// Returns what a metric counts, if it is worth telling.
fn counter(metric: &str) -> Option<&'static str> {
    match metric.split('{').next()? {
        "photon_replication_states_sent_total" => Some("states that were sent"),
        "photon_ops_repeated_total" => Some("ops that came twice"),
        "photon_link_lane_dropped_total" => Some("messages that found no room"),
        _ => None,
    }
}

/// Returns whether a metric tells what was sent before compression (0) or after it (1), and of
/// which class, on a link of the region that was cut off.
fn lane(metric: &str, at: usize) -> Option<(usize, &str)> {
    let (name, labels) = metric.split_once('{')?;
    let kind = match name {
        "photon_link_lane_sent_raw_bytes_total" => 0,
        "photon_link_lane_sent_wire_bytes_total" => 1,
        _ => return None,
    };
    let label = |name: &str| {
        let rest = labels.split_once(&format!("{name}=\""))?.1;
        rest.split_once('"').map(|(value, _)| value)
    };
    let concerns = at == CUT_OFF || label("peer")? == REGIONS[CUT_OFF];
    Some((kind, label("class")?)).filter(|_| concerns)
}
