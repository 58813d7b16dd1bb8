//! The region that a worker is attached to, and those that it goes to when that one falls silent.
//! Must not know what is said to regions.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use photon_edge::v1::types::RegionHealth;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::client::{Client, ClientError, Endpoint};

/// The regions of a worker.
#[derive(Debug)]
pub(super) struct Attachment {
    state: Mutex<State>,
    /// Notified when the region falls silent.
    fell_silent: Notify,
}

/// A region that a worker is attached to.
#[derive(Clone, Debug)]
pub(super) struct Attached {
    /// Talks to it.
    pub(super) client: Client,
    /// Cancelled when the worker has gone to another one.
    pub(super) left: CancellationToken,
}

#[derive(Debug)]
struct State {
    attached: Attached,
    /// The front doors of all regions that are known, the nearest first.
    known: Vec<Endpoint>,
    /// Since when the region has answered nothing, if it was asked.
    silent_since: Option<Instant>,
}

impl Attachment {
    /// How long a region may be silent until the worker goes to another one. Regions that restart
    /// in good order are back sooner, and whoever stays has no lease to carry elsewhere.
    pub(super) const SILENCE_MAX: Duration = Duration::from_secs(3);
    /// How long an answer may take, beyond what the request itself waits.
    pub(super) const PATIENCE: Duration = Duration::from_secs(5);

    pub(super) fn new(client: Client) -> Self {
        let client = client.with_patience(Self::PATIENCE);
        let known = vec![client.endpoint().clone()];
        let attached = Attached { client, left: CancellationToken::new() };
        let state = Mutex::new(State { attached, known, silent_since: None });
        Self { state, fell_silent: Notify::new() }
    }

    /// Returns the region that the worker is attached to.
    pub(super) fn current(&self) -> Attached {
        self.lock().attached.clone()
    }

    /// Asks the region, and takes note of whether it answers. Returns nothing if the worker goes to
    /// another region meanwhile. `wait` is what the request itself waits.
    pub(super) async fn ask<T, F>(
        &self,
        wait: Duration,
        ask: impl FnOnce(Client) -> F,
    ) -> Option<Result<T, ClientError>>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let (began, Attached { client, left }) = (Instant::now(), self.current());
        let answer = left.run_until_cancelled(ask(client)).await?;
        if !left.is_cancelled() {
            self.hear(began + wait, &answer);
        }
        Some(answer)
    }

    fn hear<T>(&self, from: Instant, answer: &Result<T, ClientError>) {
        let mut state = self.lock();
        match answer {
            Err(error) if error.is_silence() => {
                let since = from.min(Instant::now());
                if state.silent_since.is_none() {
                    state.silent_since = Some(since);
                    self.fell_silent.notify_one();
                }
            }
            Ok(_) | Err(_) => state.silent_since = None,
        }
    }

    /// Waits until the region has been silent for too long.
    pub(super) async fn silence(&self) {
        loop {
            let since = self.lock().silent_since;
            match since {
                Some(since) if Self::SILENCE_MAX <= since.elapsed() => return,
                Some(since) => sleep_until(since + Self::SILENCE_MAX).await,
                None => self.fell_silent.notified().await,
            }
        }
    }

    /// Returns clients of the other regions, in the order in which they are to be tried.
    pub(super) fn others(&self) -> Vec<Client> {
        let state = self.lock();
        let here = &state.attached.client;
        let others = state.known.iter().filter(|it| *it != here.endpoint());
        others.map(|it| here.at(it.clone())).collect()
    }

    /// Takes note that the worker is attached to another region.
    pub(super) fn go(&self, client: Client) {
        let mut state = self.lock();
        state.silent_since = None;
        let attached = Attached { client, left: CancellationToken::new() };
        let before = std::mem::replace(&mut state.attached, attached);
        drop(state);
        before.left.cancel();
    }

    /// Asks the region which others there are. What it does not know is not forgotten: it may be a
    /// region that has just begun.
    pub(super) async fn learn(&self) {
        let client = self.current().client;
        let Ok(told) = client.regions().await else { return };
        let mut regions = told.regions;
        regions.retain(|it| it.health != RegionHealth::Here);
        let trip = |ms: Option<f64>| ms.unwrap_or(f64::MAX);
        regions.sort_by(|a, b| trip(a.round_trip_ms).total_cmp(&trip(b.round_trip_ms)));
        let mut state = self.lock();
        let told = regions.iter().filter_map(|it| it.api.parse::<Endpoint>().ok());
        let told = told.collect::<Vec<_>>();
        state.known.retain(|it| !told.contains(it));
        state.known.splice(..0, told);
        state.known.truncate(Self::KNOWN_MAX);
    }

    /// The most regions that are remembered; those farther away are not.
    const KNOWN_MAX: usize = 256;

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
