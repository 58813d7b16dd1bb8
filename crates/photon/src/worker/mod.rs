//! An agent made of a program: waits for tasks, and runs the program for each.
//! Must not decide who gets a task, nor when a lease ends: regions do.

mod attempt;
mod program;
mod stream;

use std::ffi::OsString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use photon_edge::v1::types::{AgentPut, Lease, LeasePost, WAIT_MS_MAX};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::attempt::{Attempt, Verdict};
pub(crate) use self::stream::part_bytes;
use crate::backoff::Backoff;
use crate::client::{Client, ClientError};
use crate::output::{Output, Tone, printable};

/// How long a question for work waits.
const ACQUIRE_WAIT_MS: u32 = 20_000;
const _: () = assert!(ACQUIRE_WAIT_MS as u64 <= WAIT_MS_MAX);

/// What an agent does for each task.
#[derive(Clone, Debug)]
pub struct Job {
    /// The program, and what to give it.
    pub program: Vec<OsString>,
    /// How long it may take.
    pub timeout: Option<Duration>,
}

/// Whether to print a line for each task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chatter {
    /// One line for each.
    Tasks,
    /// Only what concerns the agent as a whole.
    Quiet,
}

/// An agent at work.
#[derive(Clone, Debug)]
pub struct Worker {
    /// The region that it is attached to.
    pub client: Client,
    /// Its name.
    pub name: String,
    /// How it is announced.
    pub agent: AgentPut,
    /// What it does for each task.
    pub job: Job,
    /// Where it reports to people.
    pub output: Output,
    /// What it reports to people.
    pub chatter: Chatter,
}

/// How a worker is told to end.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Take no more tasks, and finish those that run.
    pub drain: CancellationToken,
    /// End at once.
    pub kill: CancellationToken,
}

impl Worker {
    /// Works until told to stop, or until the region does not want the agent.
    pub async fn run(self, stop: Stop) -> Result<(), ClientError> {
        let worker = Arc::new(self);
        let attempts = TaskTracker::new();
        let taking = worker.take_tasks(&attempts, &stop);
        let taken = stop.drain.run_until_cancelled(taking).await;
        attempts.close();
        if !attempts.is_empty() {
            let count = attempts.len();
            worker
                .output
                .remark(&format!("taking no more tasks; {count} still run, and Ctrl-C kills them"));
        }
        attempts.wait().await;
        taken.unwrap_or(Ok(()))
    }

    /// Takes tasks for as long as the region gives them.
    async fn take_tasks(
        self: &Arc<Self>,
        attempts: &TaskTracker,
        stop: &Stop,
    ) -> Result<(), ClientError> {
        self.register().await?;
        let slots = Arc::new(Semaphore::new(self.agent.capacity as usize));
        let mut backoff = Backoff::default();
        loop {
            let mut free = free_slots(&slots).await;
            let limit = u32::try_from(free.len()).expect("no more than the capacity, a u32");
            // A region that was away is first asked whether it is back, without waiting for work.
            let wait_ms = if backoff.failures() == 0 { ACQUIRE_WAIT_MS } else { 0 };
            let post = LeasePost { agent: self.name.clone(), limit, wait_ms };
            match self.client.acquire(&post).await {
                Ok(granted) => {
                    self.tell_of_return(&mut backoff);
                    for lease in granted.leases {
                        let slot = free.pop();
                        let (worker, kill) = (Arc::clone(self), stop.kill.clone());
                        attempts.spawn(async move {
                            worker.attempt(&lease, kill).await;
                            drop(slot);
                        });
                    }
                }
                Err(error) if error.is_passing() => self.wait_out(&error, &mut backoff).await,
                // The region has lost the agent, or somebody removed it.
                Err(error) if error.status() == Some(404) => {
                    sleep(backoff.next_pause()).await;
                    self.register().await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Announces the agent, however long it takes to find the region up.
    async fn register(&self) -> Result<(), ClientError> {
        let mut backoff = Backoff::default();
        let agent = loop {
            match self.client.register(&self.name, &self.agent).await {
                Ok(agent) => break agent,
                Err(error) if error.is_passing() => self.wait_out(&error, &mut backoff).await,
                Err(error) => return Err(error),
            }
        };
        let (name, region) = (printable(&agent.name), printable(&agent.region));
        let skills = printable(&agent.skills.join(", "));
        let capacity = agent.capacity;
        let text = format!("{name} in {region} offers {skills}, {capacity} at once");
        self.output.remark_as(Tone::Good, "registered", &text);
        Ok(())
    }

    /// Pauses after a failure that will pass, and tells people of the first.
    async fn wait_out(&self, error: &ClientError, backoff: &mut Backoff) {
        if backoff.failures() == 0 {
            self.output.remark_as(Tone::Odd, "waiting", &format!("{error}; trying again"));
        }
        let pause = error.retry_after().unwrap_or_default();
        sleep(pause.max(backoff.next_pause())).await;
    }

    fn tell_of_return(&self, backoff: &mut Backoff) {
        if 0 < backoff.failures() {
            self.output.remark_as(Tone::Good, "back", &self.client.endpoint().to_string());
            backoff.reset();
        }
    }

    async fn attempt(&self, lease: &Lease, kill: CancellationToken) {
        let began = Instant::now();
        let verdict = Attempt::new(&self.client, &self.job, lease, kill).run().await;
        if self.chatter == Chatter::Quiet {
            return;
        }
        let (tone, word, why) = match &verdict {
            Verdict::Completed => (Tone::Good, "completed", String::new()),
            Verdict::Failed(why) => (Tone::Bad, "failed", first_line(why)),
            Verdict::Abandoned(why) => (Tone::Odd, "abandoned", first_line(why)),
        };
        let (task, ms) = (printable(&lease.task), began.elapsed().as_millis());
        let text = format!("{task} (attempt {}, {ms} ms){why}", lease.attempt);
        self.output.remark_as(tone, word, &text);
    }
}

fn first_line(why: &str) -> String {
    format!(": {}", printable(why.lines().next().unwrap_or_default()))
}

/// Waits for a free slot, and takes all that are free.
async fn free_slots(slots: &Arc<Semaphore>) -> Vec<OwnedSemaphorePermit> {
    let first = Arc::clone(slots).acquire_owned().await;
    let mut free = vec![first.expect("nobody closes the semaphore")];
    while let Ok(next) = Arc::clone(slots).try_acquire_owned() {
        free.push(next);
    }
    free
}
