//! The region that a worker is attached to, and those that it goes to when that one falls silent.
//! Must not know what is said to regions.

use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use photon_edge::v1::types::{Region, RegionHealth};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::client::{Client, ClientError, Endpoint};

/// The regions of a worker.
#[derive(Debug)]
pub(super) struct Attachment {
    state: Mutex<State>,
    /// Notified when there is doubt whether the region is there.
    doubted: Notify,
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
    /// When the worker was attached there, if that was not from the beginning.
    came_at: Option<Instant>,
    /// All regions that are known, the nearest first.
    known: Vec<Known>,
    /// When the region answered last.
    answered_at: Option<Instant>,
    /// Since when it has answered nothing, if it was asked.
    silent_since: Option<Instant>,
}

/// A region that is known.
#[derive(Clone, Debug)]
struct Known {
    /// Its name, if a region has told it.
    name: Option<String>,
    /// Its front door.
    endpoint: Endpoint,
}

impl Attachment {
    /// How long a region may be silent until the worker goes to another one. Regions that restart
    /// in good order are back sooner, and whoever stays has no lease to carry elsewhere.
    pub(super) const SILENCE_MAX: Duration = Duration::from_secs(3);
    /// How long an answer may take, beyond what the request itself waits, until the region is asked
    /// whether it is there: it may wait itself, for the home of a task.
    const LATE_AFTER: Duration = Duration::from_secs(1);
    /// How long an answer may take at all, beyond what the request itself waits. Regions answer
    /// sooner, for whatever they wait.
    pub(super) const PATIENCE: Duration = Duration::from_secs(15);
    /// How often a region is asked whether it is there.
    const PROBE_EVERY: Duration = Duration::from_millis(250);

    pub(super) fn new(client: Client) -> Self {
        let client = client.with_patience(Self::PATIENCE);
        let known = vec![Known { name: None, endpoint: client.endpoint().clone() }];
        let attached = Attached { client, left: CancellationToken::new() };
        let (came_at, answered_at, silent_since) = (None, None, None);
        let state = Mutex::new(State { attached, came_at, known, answered_at, silent_since });
        Self { state, doubted: Notify::new() }
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
        let (due, Attached { client, left }) = (Instant::now() + wait, self.current());
        let answer = left.run_until_cancelled(async {
            let mut answer = pin!(ask(client));
            let mut late = due + Self::LATE_AFTER;
            loop {
                match timeout_at(late, &mut answer).await {
                    Ok(answer) => return answer,
                    Err(_) => self.doubt(due),
                }
                late += Self::LATE_AFTER;
            }
        });
        let answer = answer.await?;
        if !left.is_cancelled() {
            match &answer {
                Err(error) if error.is_silence() => self.doubt(due.min(Instant::now())),
                Ok(_) | Err(_) => self.answered(),
            }
        }
        Some(answer)
    }

    fn answered(&self) {
        let mut state = self.lock();
        state.answered_at = Some(Instant::now());
        state.silent_since = None;
    }

    /// Takes note that the region may be silent, from a time on.
    fn doubt(&self, from: Instant) {
        let mut state = self.lock();
        if state.silent_since.is_none() {
            state.silent_since = state.answered_at.max(Some(from));
            drop(state);
            self.doubted.notify_one();
        }
    }

    /// Waits until the region has been silent for too long. While there is doubt, it is asked for
    /// what every region knows by itself.
    pub(super) async fn silence(&self) {
        loop {
            let since = self.lock().silent_since;
            let Some(since) = since else {
                self.doubted.notified().await;
                continue;
            };
            let end = since + Self::SILENCE_MAX;
            if end <= Instant::now() {
                return;
            }
            let client = self.current().client;
            match timeout_at(end, client.regions()).await {
                Err(_) => {}
                Ok(Err(error)) if error.is_silence() => {
                    sleep_until(end.min(Instant::now() + Self::PROBE_EVERY)).await;
                }
                Ok(_) => self.answered(),
            }
        }
    }

    /// Whether the worker came to its region only a while ago: what it left may still tell of it.
    pub(super) fn came_within(&self, time: Duration) -> bool {
        self.lock().came_at.is_some_and(|it| it.elapsed() < time)
    }

    /// Returns clients of the other regions, in the order in which they are to be tried.
    pub(super) fn others(&self) -> Vec<Client> {
        let state = self.lock();
        let here = &state.attached.client;
        let others = state.known.iter().map(|it| &it.endpoint).filter(|it| *it != here.endpoint());
        others.map(|it| here.at(it.clone())).collect()
    }

    /// Returns clients of those regions among some that are known, the nearest first.
    pub(super) fn of(&self, names: &[String]) -> Vec<Client> {
        let state = self.lock();
        let is_named = |it: &&Known| it.name.as_ref().is_some_and(|name| names.contains(name));
        let endpoints = state.known.iter().filter(is_named).map(|it| &it.endpoint);
        endpoints.map(|it| state.attached.client.at(it.clone())).collect()
    }

    /// Takes note that the worker is attached to another region.
    pub(super) fn go(&self, client: Client) {
        let mut state = self.lock();
        let now = Some(Instant::now());
        (state.silent_since, state.answered_at, state.came_at) = (None, now, now);
        let attached = Attached { client, left: CancellationToken::new() };
        let before = std::mem::replace(&mut state.attached, attached);
        drop(state);
        before.left.cancel();
    }

    /// Asks the region which others there are; returns whether it knows how far away all of them
    /// are. What it does not know is not forgotten: it may be a region that has just begun.
    pub(super) async fn learn(&self) -> bool {
        let client = self.current().client;
        let told = timeout(Self::SILENCE_MAX, client.regions()).await;
        let Ok(Ok(told)) = told else { return false };
        let mut regions = told.regions;
        let is_measured =
            |it: &Region| it.health != RegionHealth::Linked || it.round_trip_ms.is_some();
        let are_measured = regions.iter().all(is_measured);
        let trip = |it: &Region| match it.health {
            RegionHealth::Here => 0.0,
            RegionHealth::Linked | RegionHealth::Unlinked => it.round_trip_ms.unwrap_or(f64::MAX),
        };
        regions.sort_by(|a, b| trip(a).total_cmp(&trip(b)));
        let told = regions.into_iter().filter_map(|it| {
            // Its own door is the one that the worker uses, whatever it is called there.
            let endpoint = match it.health {
                RegionHealth::Here => client.endpoint().clone(),
                RegionHealth::Linked | RegionHealth::Unlinked => it.api.parse::<Endpoint>().ok()?,
            };
            // The token goes there, too.
            let is_safe = endpoint.is_https() || !client.endpoint().is_https();
            is_safe.then_some(Known { name: Some(it.name), endpoint })
        });
        let told: Vec<Known> = told.collect();
        let mut state = self.lock();
        state.known.retain(|it| told.iter().all(|told| told.endpoint != it.endpoint));
        state.known.splice(..0, told);
        state.known.truncate(Self::KNOWN_MAX);
        are_measured
    }

    /// The most regions that are remembered; those farther away are not.
    const KNOWN_MAX: usize = 256;

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
