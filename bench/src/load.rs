//! Clients that do one thing again and again for a while, and how long each time took.
//! Must not know what they do.

use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::task::JoinSet;

use crate::process;

/// What came of one try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tried {
    /// It was done.
    Done,
    /// There is nothing left to do.
    Dry,
}

/// Someone who can do a thing.
pub(crate) trait Client: Send + 'static {
    /// Does it once.
    fn act(&mut self) -> impl Future<Output = anyhow::Result<Tried>> + Send;
}

/// What came of a round.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    pub(crate) took: Duration,
    /// How long each took, sorted.
    pub(crate) times: Vec<Duration>,
    /// Processor time of the server, or of all servers together.
    pub(crate) server: Duration,
    /// Processor time of the clients.
    pub(crate) clients: Duration,
}

impl Round {
    /// How long a round may go on beyond its time; then it has failed.
    const OVERTIME_MAX: Duration = Duration::from_secs(60);

    /// Lets all clients act until the time is over or there is nothing left to do.
    /// `servers` are the roots of the servers' processes. The clients come back with the round.
    pub(crate) async fn run<C: Client>(
        clients: Vec<C>,
        time: Duration,
        servers: &[u32],
    ) -> anyhow::Result<(Self, Vec<C>)> {
        let server_cpu = || servers.iter().map(|root| process::cpu(*root)).sum::<Duration>();
        let (server_before, clients_before) = (server_cpu(), process::own_cpu());
        let began = Instant::now();
        let mut working = JoinSet::new();
        for client in clients {
            working.spawn(work(client, began + time));
        }
        let (mut times, mut back) = (Vec::new(), Vec::new());
        let overtime = tokio::time::sleep(time + Self::OVERTIME_MAX);
        tokio::pin!(overtime);
        loop {
            let joined = tokio::select! {
                joined = working.join_next() => joined,
                () = &mut overtime => anyhow::bail!("the server did not answer for a minute"),
            };
            let Some(joined) = joined else { break };
            let (client, mut its) = joined.context("a client died")??;
            times.append(&mut its);
            back.push(client);
        }
        let took = began.elapsed();
        times.sort_unstable();
        let server = server_cpu().saturating_sub(server_before);
        let clients = process::own_cpu().saturating_sub(clients_before);
        Ok((Self { took, times, server, clients }, back))
    }

    /// Like [`run`](Self::run), with clients that act again in a later round.
    pub(crate) async fn run_again<C: Client>(
        clients: &mut Vec<C>,
        time: Duration,
        servers: &[u32],
    ) -> anyhow::Result<Self> {
        let (round, back) = Self::run(std::mem::take(clients), time, servers).await?;
        *clients = back;
        Ok(round)
    }

    pub(crate) fn count(&self) -> usize {
        self.times.len()
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.count() as f64 / self.took.as_secs_f64()
    }

    /// Returns how long the given share of all took at most, in milliseconds.
    pub(crate) fn percentile_ms(&self, share: f64) -> f64 {
        percentile_ms(&self.times, share)
    }

    /// Returns a processor time per operation, in microseconds.
    pub(crate) fn us_each(&self, cpu: Duration) -> f64 {
        cpu.as_secs_f64() * 1e6 / (self.count().max(1) as f64)
    }
}

async fn work<C: Client>(mut client: C, until: Instant) -> anyhow::Result<(C, Vec<Duration>)> {
    let mut times = Vec::new();
    let mut before = Instant::now();
    while before < until {
        if client.act().await? == Tried::Dry {
            break;
        }
        let after = Instant::now();
        times.push(after - before);
        before = after;
    }
    Ok((client, times))
}

/// Returns how long the given share of sorted times is at most, in milliseconds.
pub(crate) fn percentile_ms(times: &[Duration], share: f64) -> f64 {
    let Some(last) = times.len().checked_sub(1) else { return 0.0 };
    let at = (share * last as f64).round() as usize;
    times[at.min(last)].as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_times() {
        let times: Vec<Duration> = (1..=101).map(Duration::from_millis).collect();
        let check = |share: f64, expected: f64| assert_eq!(percentile_ms(&times, share), expected);
        check(0.0, 1.0);
        check(0.5, 51.0);
        check(0.99, 100.0);
        check(1.0, 101.0);
        assert_eq!(percentile_ms(&[], 0.5), 0.0);
    }
}
