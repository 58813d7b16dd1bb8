//! The heartbeats of all leases of a call: each is told to its home, some at a time.
//! Must not decide which leases there are.

use std::collections::{BTreeMap, VecDeque};

use futures_util::future::{BoxFuture, pending};
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use crate::Front;
use crate::problem::Declined;
use crate::v1::leases::heartbeat_of;
use crate::v1::types::HeartbeatPost;

/// Heartbeats that are under way at a time. Each may take seconds, if its home is out of reach.
const AT_A_TIME: usize = 64;

/// What came of a heartbeat, or of all of them.
pub(super) enum Beat {
    /// The lease is of no use any more.
    Lost { task: String, token: u64, problem: Declined },
    /// All leases were extended, but for those that are named.
    Over { ids: Vec<u64>, unreached: Vec<String> },
}

/// What came of one heartbeat.
type Told = (String, u64, Result<(), Declined>);

/// All leases that are being extended. What is asked for meanwhile joins in.
pub(super) struct Beats {
    front: Front,
    waiting: VecDeque<(String, u64)>,
    under_way: FuturesUnordered<BoxFuture<'static, Told>>,
    /// What the worker is answered once all is told.
    ids: Vec<u64>,
    unreached: Vec<String>,
}

impl Beats {
    pub(super) fn new(front: Front) -> Self {
        let (waiting, under_way) = (VecDeque::new(), FuturesUnordered::new());
        Self { front, waiting, under_way, ids: Vec::new(), unreached: Vec::new() }
    }

    /// Begins to extend all leases, unless that is under way.
    pub(super) fn begin(&mut self, id: u64, held: &BTreeMap<String, u64>) {
        if self.ids.is_empty() {
            self.waiting.extend(held.iter().map(|(task, token)| (task.clone(), *token)));
        }
        self.ids.push(id);
    }

    /// Returns how many times it was asked for and is not answered yet.
    pub(super) fn asked(&self) -> usize {
        self.ids.len()
    }

    /// Returns what came of it next; waits for ever while nothing is under way.
    pub(super) async fn next(&mut self) -> Beat {
        loop {
            while self.under_way.len() < AT_A_TIME
                && let Some((task, token)) = self.waiting.pop_front()
            {
                self.under_way.push(Box::pin(beat(self.front.clone(), task, token)));
            }
            match self.under_way.next().await {
                Some((_, _, Ok(()))) => {}
                Some((task, token, Err(problem))) if problem.ends_lease() => {
                    return Beat::Lost { task, token, problem };
                }
                Some((task, _, Err(_))) => self.unreached.push(task),
                None if self.ids.is_empty() => pending().await,
                None => {
                    let ids = std::mem::take(&mut self.ids);
                    let unreached = std::mem::take(&mut self.unreached);
                    return Beat::Over { ids, unreached };
                }
            }
        }
    }
}

async fn beat(front: Front, task: String, token: u64) -> Told {
    let post = HeartbeatPost { token: token.to_string() };
    let told = heartbeat_of(&front, &task, &post).await.map(drop);
    (task, token, told)
}
