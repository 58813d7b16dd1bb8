//! Things that are done at a steady rate, whether or not those before are done yet.
//! Must not know what is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::task::JoinSet;

/// When each of many things is due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    began: Instant,
    rate: f64,
    count: usize,
}

/// Someone who does a thing that is due.
pub(crate) trait Arrive: Send + 'static {
    /// Does the thing of a number.
    fn arrive(&mut self, number: usize) -> impl Future<Output = anyhow::Result<()>> + Send;
}

impl Schedule {
    /// Begins: so many things a second for so long.
    pub(crate) fn begin(rate: f64, time: Duration) -> Self {
        let count = (rate * time.as_secs_f64()).round() as usize;
        Self { began: Instant::now(), rate, count }
    }

    /// Returns how many things there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Returns how long all of it takes.
    pub(crate) fn length(&self) -> Duration {
        Duration::from_secs_f64(self.count as f64 / self.rate)
    }

    fn due(&self, number: usize) -> Instant {
        self.began + Duration::from_secs_f64(number as f64 / self.rate)
    }

    /// Returns how long ago a thing was due.
    pub(crate) fn since_due(&self, number: usize) -> Duration {
        self.due(number).elapsed()
    }

    /// Lets clients do all of it, whoever is free the next that is due. Returns how long each took
    /// from when it was due, sorted: the lateness of who does it counts.
    pub(crate) async fn run<A: Arrive>(
        self,
        clients: Vec<A>,
    ) -> anyhow::Result<(Vec<Duration>, Vec<A>)> {
        let next = Arc::new(AtomicUsize::new(0));
        let mut working = JoinSet::new();
        for mut client in clients {
            let next = Arc::clone(&next);
            working.spawn(async move {
                let mut times = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if self.count <= number {
                        return anyhow::Ok((times, client));
                    }
                    tokio::time::sleep_until(self.due(number).into()).await;
                    client.arrive(number).await?;
                    times.push(self.since_due(number));
                }
            });
        }
        let (mut times, mut back) = (Vec::new(), Vec::new());
        while let Some(joined) = working.join_next().await {
            let (mut its, client) = joined.context("a client died")??;
            times.append(&mut its);
            back.push(client);
        }
        times.sort_unstable();
        Ok((times, back))
    }
}
