//! An agent: waits for tasks, and does what it does for each, in whatever region answers.
//! Must not decide who gets a task, nor when a lease ends: regions do.

pub mod acp;
mod attachment;
mod attempt;
mod command;
mod program;
pub mod remote;
mod stream;

use std::sync::Arc;
use std::time::{Duration, Instant};

use photon_edge::v1::types::{AgentPut, LIMIT_MAX, Lease, LeasePost, WAIT_MS_MAX};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::acp::AcpJob;
use self::attachment::{Attached, Attachment};
use self::attempt::{Attempt, Verdict};
pub use self::command::ProgramJob;
use self::remote::RemoteJob;
pub(crate) use self::stream::part_bytes;
use crate::backoff::Backoff;
use crate::client::{Client, ClientError};
use crate::output::{Output, Tone, printable};

/// How long a question for work waits.
const ACQUIRE_WAIT_MS: u32 = 20_000;
const _: () = assert!(ACQUIRE_WAIT_MS as u64 <= WAIT_MS_MAX);

/// How often a worker asks its region which others there are.
const LEARN_EVERY: Duration = Duration::from_secs(60);
/// The same, while that does not know how far away they are.
const LEARN_SOON: Duration = Duration::from_secs(2);
/// How long another region has to take the agent in, until the next one is asked.
const TAKE_IN_PATIENCE: Duration = Duration::from_secs(3);

/// For how long after it came to a region a worker announces itself there again, if the agent is
/// said to be attached elsewhere.
const CONTEST_WITHIN: Duration = Duration::from_secs(60);

/// What an agent does for each task.
#[derive(Clone, Debug)]
pub enum Job {
    /// Runs a program.
    Program(ProgramJob),
    /// Asks a program that speaks the Agent Client Protocol.
    Acp(AcpJob),
    /// Asks an A2A server.
    Remote(RemoteJob),
}

impl Job {
    /// Waits until there is somebody to do the work.
    async fn is_ready(&self) {
        match self {
            Self::Program(_) => {}
            Self::Acp(job) => Box::pin(job.is_ready()).await,
            Self::Remote(job) => job.is_ready().await,
        }
    }

    /// Looks after what goes on between attempts, for ever.
    async fn tend(&self, attachment: &Attachment) {
        match self {
            Self::Program(_) | Self::Remote(_) => std::future::pending().await,
            Self::Acp(job) => Box::pin(job.tend(attachment)).await,
        }
    }

    /// Ends what is left over between attempts.
    async fn close(&self) {
        match self {
            Self::Program(_) | Self::Remote(_) => {}
            Self::Acp(job) => Box::pin(job.close()).await,
        }
    }

    /// Hears what the region has taken of what was made in an attempt.
    async fn settle(&self, attempt: &Attempt<'_>, made: &Verdict, taken: &Verdict) {
        match self {
            Self::Program(_) | Self::Remote(_) => {}
            Self::Acp(job) => job.settle(attempt, made, taken).await,
        }
    }

    async fn work(&self, attempt: &Attempt<'_>) -> Verdict {
        match self {
            Self::Program(job) => job.work(attempt).await,
            Self::Acp(job) => job.work(attempt).await,
            Self::Remote(job) => job.work(attempt).await,
        }
    }
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
    /// Works until told to stop, or until a region does not want the agent.
    pub async fn run(self, stop: Stop) -> Result<(), ClientError> {
        let attachment = Attachment::new(self.client.clone());
        let crew = Arc::new(Crew { worker: self, attachment });
        let attempts = TaskTracker::new();
        let ended = CancellationToken::new();
        let taking = async {
            let work = async {
                crew.register().await?;
                crew.take_tasks(&attempts, &stop).await
            };
            let taken = stop.drain.run_until_cancelled(work).await;
            attempts.close();
            if !attempts.is_empty() {
                let count = attempts.len();
                let text =
                    format!("taking no more tasks; {count} still run, and Ctrl-C kills them");
                crew.worker.output.remark(&text);
            }
            attempts.wait().await;
            ended.cancel();
            taken.unwrap_or(Ok(()))
        };
        let job = &crew.worker.job;
        let meanwhile = async { tokio::join!(crew.stay_attached(), job.tend(&crew.attachment)) };
        let (taken, _) = tokio::join!(taking, ended.run_until_cancelled(meanwhile));
        job.close().await;
        taken
    }
}

/// A worker with the region that it is attached to.
#[derive(Debug)]
struct Crew {
    worker: Worker,
    attachment: Attachment,
}

impl Crew {
    /// Takes tasks for as long as regions give them.
    async fn take_tasks(
        self: &Arc<Self>,
        attempts: &TaskTracker,
        stop: &Stop,
    ) -> Result<(), ClientError> {
        let slots = Arc::new(Semaphore::new(self.worker.agent.capacity as usize));
        let mut backoff = Backoff::default();
        loop {
            self.worker.job.is_ready().await;
            let mut free = free_slots(&slots).await;
            let limit = u32::try_from(free.len().min(LIMIT_MAX)).expect("LIMIT_MAX is a u32");
            // A region that was away is first asked whether it is back, without waiting for work.
            let wait_ms = if backoff.failures() == 0 { ACQUIRE_WAIT_MS } else { 0 };
            let post = &LeasePost { agent: self.worker.name.clone(), limit, wait_ms };
            let wait = Duration::from_millis(u64::from(wait_ms));
            let acquire = |it: Client| async move { it.acquire(post).await };
            match self.attachment.ask(wait, acquire).await {
                None => backoff.reset(),
                Some(Ok(granted)) => {
                    self.tell_of_return(&mut backoff);
                    for lease in granted.leases {
                        let slot = free.pop();
                        let (crew, kill) = (Arc::clone(self), stop.kill.clone());
                        attempts.spawn(async move {
                            crew.attempt(&lease, kill).await;
                            drop(slot);
                        });
                    }
                }
                Some(Err(error)) if error.is_passing() => {
                    self.wait_out(&error, &mut backoff).await;
                }
                // The region has lost the agent, or somebody removed it.
                Some(Err(error)) if error.status() == Some(404) => {
                    sleep(backoff.next_pause()).await;
                    self.register().await?;
                }
                // A region that was left had not answered yet, and did what it was asked after all.
                Some(Err(error))
                    if error.is_attached_elsewhere()
                        && self.attachment.came_within(CONTEST_WITHIN) =>
                {
                    sleep(backoff.next_pause()).await;
                    self.register().await?;
                }
                Some(Err(error)) => return Err(error),
            }
        }
    }

    /// Announces the agent, however long it takes to find a region up.
    async fn register(&self) -> Result<(), ClientError> {
        let mut backoff = Backoff::default();
        let announce = |it: Client| async move { self.announce(&it).await };
        loop {
            match self.attachment.ask(Duration::ZERO, announce).await {
                // Another region has taken the agent in meanwhile.
                None => return Ok(()),
                Some(Err(error)) if error.is_passing() => {
                    self.wait_out(&error, &mut backoff).await;
                }
                Some(answer) => return answer,
            }
        }
    }

    async fn announce(&self, client: &Client) -> Result<(), ClientError> {
        let agent = client.register(&self.worker.name, &self.worker.agent).await?;
        let (name, region) = (printable(&agent.name), printable(&agent.region));
        let skills = printable(&agent.skills.join(", "));
        let capacity = agent.capacity;
        let text = format!("{name} in {region} offers {skills}, {capacity} at once");
        self.worker.output.remark_as(Tone::Good, "registered", &text);
        Ok(())
    }

    /// Goes to another region whenever the one that the worker is attached to falls silent.
    async fn stay_attached(&self) {
        let mut backoff = Backoff::default();
        loop {
            let every = if self.attachment.learn().await { LEARN_EVERY } else { LEARN_SOON };
            if timeout(every, self.attachment.silence()).await.is_err() {
                continue;
            }
            if self.go_elsewhere().await {
                backoff.reset();
            } else {
                sleep(backoff.next_pause()).await;
            }
        }
    }

    /// Attaches the worker to the first other region that takes it in. What it holds it keeps:
    /// leases are shown to whatever region the worker is attached to.
    async fn go_elsewhere(&self) -> bool {
        let Attached { client: before, .. } = self.attachment.current();
        for client in self.attachment.others() {
            let announced = timeout(TAKE_IN_PATIENCE, self.announce(&client)).await;
            if matches!(announced, Ok(Ok(()))) {
                let text =
                    format!("{} is silent; attached to {}", before.endpoint(), client.endpoint());
                self.worker.output.remark_as(Tone::Odd, "moved", &text);
                self.attachment.go(client);
                return true;
            }
        }
        false
    }

    /// Pauses after a failure that will pass, and tells people of the first.
    async fn wait_out(&self, error: &ClientError, backoff: &mut Backoff) {
        if backoff.failures() == 0 {
            self.worker.output.remark_as(Tone::Odd, "waiting", &format!("{error}; trying again"));
        }
        let pause = error.retry_after().unwrap_or_default().max(backoff.next_pause());
        let left = self.attachment.current().left;
        left.run_until_cancelled(sleep(pause)).await;
    }

    fn tell_of_return(&self, backoff: &mut Backoff) {
        if 0 < backoff.failures() {
            let endpoint = self.attachment.current().client.endpoint().to_string();
            self.worker.output.remark_as(Tone::Good, "back", &endpoint);
            backoff.reset();
        }
    }

    async fn attempt(&self, lease: &Lease, kill: CancellationToken) {
        let began = Instant::now();
        let attempt = Attempt::new(&self.attachment, lease, kill);
        // On the heap: attempts are many, and most of them wait.
        let verdict = Box::pin(attempt.run(&self.worker.job)).await;
        if self.worker.chatter == Chatter::Quiet {
            return;
        }
        let (tone, word, why) = match &verdict {
            Verdict::Completed(_) => (Tone::Good, "completed", String::new()),
            Verdict::Asked(..) => (Tone::Odd, "asked", String::new()),
            Verdict::Failed(failure) => (Tone::Bad, "failed", first_line(&failure.reason)),
            Verdict::Abandoned(why) => (Tone::Odd, "abandoned", first_line(why)),
        };
        let (task, ms) = (printable(&lease.task), began.elapsed().as_millis());
        let text = format!("{task} (attempt {}, {ms} ms){why}", lease.attempt);
        self.worker.output.remark_as(tone, word, &text);
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
