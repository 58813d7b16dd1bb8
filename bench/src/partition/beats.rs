//! Small writes at a steady pace, and who sees them elsewhere: how late, beyond the way there.
//! Must not know what else is written, nor when regions are cut off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::task::JoinSet;

use super::fleet::Fleet;
use crate::converge::{Change, Changes, REGIONS, ROUND_TRIPS_MS};
use crate::http::Connection;

/// How often one region writes to one dataset.
const BEAT_EVERY: Duration = Duration::from_millis(100);
/// Bytes of each value.
const VALUE_BYTES: usize = 64;
/// How long a watcher waits for a change before it asks again.
const WATCH_WAIT_MS: u64 = 1_000;

/// Who writes to a dataset, and who watches it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beat {
    pub(super) dataset: &'static str,
    pub(super) from: &'static [usize],
    pub(super) to: &'static [usize],
}

/// When a write was sent and answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answered {
    pub(super) sent: Instant,
    pub(super) answered: Instant,
}

/// A write as another region saw it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight {
    pub(super) dataset: &'static str,
    pub(super) from: usize,
    pub(super) to: usize,
    /// When it was answered.
    pub(super) written: Instant,
    /// How late it was seen, less the way; nothing if it never was.
    pub(super) late: Option<Duration>,
}

/// All who write and watch.
#[derive(Debug)]
pub(super) struct Beats {
    writers: JoinSet<(Of, anyhow::Result<Vec<Answered>>)>,
    watchers: JoinSet<(Of, anyhow::Result<Heard>)>,
    are_writing: Arc<AtomicBool>,
    are_watching: Arc<AtomicBool>,
}

/// A dataset, and a region.
type Of = (&'static str, usize);

/// When a watcher heard of the writes of each region, by their numbers.
type Heard = [Vec<Option<Instant>>; REGIONS.len()];

impl Beats {
    /// Lets everybody begin.
    pub(super) async fn start(fleet: &Fleet, beats: &[Beat]) -> anyhow::Result<Self> {
        let on = || Arc::new(AtomicBool::new(true));
        let (mut writers, mut watchers) = (JoinSet::new(), JoinSet::new());
        let (are_writing, are_watching) = (on(), on());
        for Beat { dataset, from, to } in beats.iter().copied() {
            for at in to.iter().copied() {
                let watcher = Watcher::open(fleet, (dataset, at)).await?;
                let goes_on = Arc::clone(&are_watching);
                watchers.spawn(async move { ((dataset, at), watcher.listen(&goes_on).await) });
            }
            for (turn, at) in from.iter().copied().enumerate() {
                let connection = fleet.connect(at).await?;
                let goes_on = Arc::clone(&are_writing);
                // They do not write in step.
                let first = Instant::now() + BEAT_EVERY.mul_f64(turn as f64 / from.len() as f64);
                writers.spawn(async move {
                    ((dataset, at), write(connection, (dataset, at), first, &goes_on).await)
                });
            }
        }
        Ok(Self { writers, watchers, are_writing, are_watching })
    }

    /// Fails if somebody has ended early.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        if let Some(joined) = self.writers.try_join_next() {
            let ((dataset, at), done) = joined.context("a writer died")?;
            done.with_context(|| format!("writing to `{dataset}` in `{}`", REGIONS[at]))?;
        }
        if let Some(joined) = self.watchers.try_join_next() {
            let ((dataset, at), done) = joined.context("a watcher died")?;
            done.with_context(|| format!("watching `{dataset}` in `{}`", REGIONS[at]))?;
        }
        Ok(())
    }

    /// Lets the writers end, and after a while the watchers; returns what they saw.
    pub(super) async fn finish(mut self, settle: Duration) -> anyhow::Result<Vec<Sight>> {
        self.are_writing.store(false, Ordering::Relaxed);
        let mut written: Vec<(Of, Vec<Answered>)> = Vec::new();
        while let Some(joined) = self.writers.join_next().await {
            let (of, done) = joined.context("a writer died")?;
            written.push((of, done.with_context(|| format!("writing to `{}`", of.0))?));
        }
        tokio::time::sleep(settle).await;
        self.are_watching.store(false, Ordering::Relaxed);
        let mut sights = Vec::new();
        while let Some(joined) = self.watchers.join_next().await {
            let ((dataset, to), heard) = joined.context("a watcher died")?;
            let heard = heard.with_context(|| format!("watching `{dataset}`"))?;
            for ((_, from), writes) in written.iter().filter(|((it, _), _)| *it == dataset) {
                if *from != to {
                    see((dataset, *from, to), writes, &heard[*from], &mut sights)?;
                }
            }
        }
        Ok(sights)
    }
}

/// Compares what was written in one region with what was heard of it in another.
fn see(
    (dataset, from, to): (&'static str, usize, usize),
    writes: &[Answered],
    heard: &[Option<Instant>],
    sights: &mut Vec<Sight>,
) -> anyhow::Result<()> {
    let way = Duration::from_millis(ROUND_TRIPS_MS[from][to].into()) / 2;
    for (number, Answered { sent, answered }) in writes.iter().enumerate() {
        let heard = heard.get(number).copied().flatten();
        ensure!(heard.is_none_or(|it| *sent + way <= it), "a write was seen before it can travel");
        let late = heard.map(|it| it.saturating_duration_since(*answered + way));
        sights.push(Sight { dataset, from, to, written: *answered, late });
    }
    Ok(())
}

/// Writes at its times; what is late is written at once.
async fn write(
    mut connection: Connection,
    (dataset, at): Of,
    first: Instant,
    goes_on: &AtomicBool,
) -> anyhow::Result<Vec<Answered>> {
    let path = format!("/v1/data/{dataset}");
    let mut answered = Vec::new();
    for number in 0.. {
        let due = first + BEAT_EVERY * number;
        tokio::time::sleep_until(due.into()).await;
        if !goes_on.load(Ordering::Relaxed) {
            break;
        }
        let value: String =
            std::iter::repeat_with(fastrand::alphanumeric).take(VALUE_BYTES).collect();
        let body = format!(r#"{{"writes":[{{"key":"{at}/{number}","put":"{value}"}}]}}"#);
        let sent = Instant::now();
        connection.post(&path, body.as_bytes()).await?.good()?;
        answered.push(Answered { sent, answered: Instant::now() });
    }
    Ok(answered)
}

/// One who watches a dataset.
#[derive(Debug)]
struct Watcher {
    connection: Connection,
    dataset: &'static str,
    position: String,
}

impl Watcher {
    async fn open(fleet: &Fleet, (dataset, at): Of) -> anyhow::Result<Self> {
        let mut connection = fleet.connect(at).await?;
        let position = position(&mut connection, dataset).await?;
        Ok(Self { connection, dataset, position })
    }

    async fn listen(mut self, goes_on: &AtomicBool) -> anyhow::Result<Heard> {
        const GONE: u16 = 410;
        let mut heard = Heard::default();
        while goes_on.load(Ordering::Relaxed) {
            let (dataset, position) = (self.dataset, &self.position);
            let path = format!(
                "/v1/data/{dataset}?watch=true&position={position}&wait_ms={WATCH_WAIT_MS}"
            );
            let found = self.connection.get_json(&path).await?;
            let at = Instant::now();
            if found.status == GONE {
                // More was missed at once than is kept: it counts as not seen.
                self.position = self::position(&mut self.connection, dataset).await?;
                continue;
            }
            let found: Changes = serde_json::from_slice(found.good()?).context("no changes")?;
            self.position = found.position;
            for Change { key } in found.changes {
                // What has another name was written for another purpose.
                let Some((region, number)) = key.split_once('/') else { continue };
                let (region, number): (usize, usize) = (region.parse()?, number.parse()?);
                let its = heard.get_mut(region).context("a region that is none")?;
                its.resize(its.len().max(number + 1), None);
                its[number].get_or_insert(at);
            }
        }
        Ok(heard)
    }
}

/// Returns where things stand.
async fn position(connection: &mut Connection, dataset: &str) -> anyhow::Result<String> {
    let path = format!("/v1/data/{dataset}?watch=true");
    let found = connection.get_json(&path).await?.good()?;
    Ok(serde_json::from_slice::<Changes>(found).context("no position")?.position)
}
