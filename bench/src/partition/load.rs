//! Those who write most of what a region misses, at a rate.
//! Must not know who is cut off, nor who reads it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::task::JoinSet;

use super::beats::Answered;
use super::fleet::Fleet;
use crate::apply::person;
use crate::converge::REGIONS;
use crate::http::Connection;

/// The dataset that they write.
pub(super) const DATASET: &str = "load";
/// Writes in one request.
pub(super) const BATCH: usize = 20;

/// All who write.
#[derive(Debug)]
pub(super) struct Load {
    writers: JoinSet<anyhow::Result<Vec<Answered>>>,
    goes_on: Arc<AtomicBool>,
}

impl Load {
    /// Lets each region be written at its rate, to random ones of so many records of its own.
    pub(super) async fn start(
        fleet: &Fleet,
        rates: [usize; REGIONS.len()],
        records: usize,
    ) -> anyhow::Result<Self> {
        let (mut writers, goes_on) = (JoinSet::new(), Arc::new(AtomicBool::new(true)));
        for (at, rate) in rates.into_iter().enumerate().filter(|(_, rate)| 0 < *rate) {
            let connection = fleet.connect(at).await?;
            let every = Duration::from_secs_f64(BATCH as f64 / rate as f64);
            // Regions do not write in step.
            let first = Instant::now() + every.mul_f64(at as f64 / REGIONS.len() as f64);
            let goes_on = Arc::clone(&goes_on);
            writers.spawn(async move {
                let done = write(connection, (at, records), (first, every), &goes_on).await;
                done.with_context(|| format!("writing in `{}`", REGIONS[at]))
            });
        }
        Ok(Self { writers, goes_on })
    }

    /// Fails if somebody has ended early.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        match self.writers.try_join_next() {
            Some(joined) => joined.context("a writer died")?.map(drop),
            None => Ok(()),
        }
    }

    /// Lets the writers end; returns when each request was sent and answered.
    pub(super) async fn finish(mut self) -> anyhow::Result<Vec<Answered>> {
        self.goes_on.store(false, Ordering::Relaxed);
        let mut requests = Vec::new();
        while let Some(joined) = self.writers.join_next().await {
            requests.append(&mut joined.context("a writer died")??);
        }
        Ok(requests)
    }
}

/// Writes requests at their times; one that is late is written at once.
async fn write(
    mut connection: Connection,
    (at, records): (usize, usize),
    (first, every): (Instant, Duration),
    goes_on: &AtomicBool,
) -> anyhow::Result<Vec<Answered>> {
    let path = format!("/v1/data/{DATASET}");
    let mut answered = Vec::new();
    for number in 0.. {
        let mut body = String::from(r#"{"writes":["#);
        let from = fastrand::usize(..records);
        for more in 0..BATCH {
            let comma = if more == 0 { "" } else { "," };
            // Far from each other, as what users do is.
            let record = (from + more * 7_919) % records;
            body += &format!(r#"{comma}{{"key":"{at}/{record:06}","put":{}}}"#, person());
        }
        body += "]}";
        tokio::time::sleep_until((first + every * number).into()).await;
        if !goes_on.load(Ordering::Relaxed) {
            break;
        }
        let sent = Instant::now();
        connection.post(&path, body.as_bytes()).await?.good()?;
        answered.push(Answered { sent, answered: Instant::now() });
    }
    Ok(answered)
}
