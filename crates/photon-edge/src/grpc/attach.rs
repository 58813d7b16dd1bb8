//! An agent that is attached by one call, for as long as that lasts.
//! Must not know what a task is about, nor end a lease that its worker has.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, pending};
use futures_util::stream::{self, FuturesUnordered, StreamExt as _};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status, Streaming};

use super::Told;
use super::beats::{Beat, Beats};
use super::pb::{
    Attach, Attached, Beaten, ByRegion, ByWorker, Leaving, Lost, RegionSaid, Standing, WorkerSaid,
};
use super::said::{self, Claims, Ends, Said};
use crate::Front;
use crate::front::FollowerSlot;
use crate::hold::Share;
use crate::names::Invalid;
use crate::problem::{Declined, Kind, Stood};
use crate::v1::leases;
use crate::v1::types::{LIMIT_MAX, LeasePost, Leases};

/// How long one question for work waits.
const WAIT: Duration = Duration::from_secs(15);
/// A worker that has said nothing for so long is given no more work.
const QUIET_AFTER: Duration = Duration::from_secs(15);
/// And after so long nobody waits for it.
const HANG_UP_AFTER: Duration = Duration::from_secs(60);
/// How long a worker may take to read what it is told.
const READ_WITHIN: Duration = Duration::from_secs(30);
/// How long a worker has to hear that the region stops.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);
/// How long to wait when the region cannot be asked for work.
const PAUSE: Duration = Duration::from_secs(1);
/// What is said at a time and not yet answered; more is to be said again.
const UNDER_WAY_MAX: usize = 64;

/// Serves a worker for as long as it is attached.
pub(super) fn serve(
    front: &Front,
    request: Request<Streaming<WorkerSaid>>,
) -> Result<Response<Told<RegionSaid>>, Status> {
    let slot = front.follower_slot().map_err(|err| Declined::from(err).status())?;
    let session = Session::new(front.clone(), request.into_inner(), slot);
    // It goes on by itself, so that it ends in time whether or not its worker reads.
    let (sender, receiver) = mpsc::channel(1);
    front.tasks().spawn(talk(session, sender));
    let told = stream::unfold(receiver, |mut receiver| async {
        let said = receiver.recv().await?;
        Some((said, receiver))
    });
    Ok(Response::new(Box::pin(told)))
}

type Sender = mpsc::Sender<Result<RegionSaid, Status>>;

async fn talk(mut session: Session, sender: Sender) {
    loop {
        let said = tokio::select! {
            said = session.next() => said,
            () = sender.closed() => return,
        };
        let (said, is_last) = match said {
            Ok(Some(said)) => (Ok(said), false),
            Ok(None) => return,
            Err(status) => (Err(status), true),
        };
        let is_read = timeout(READ_WITHIN, sender.send(said)).await.is_ok_and(|it| it.is_ok());
        if is_last || !is_read {
            return;
        }
    }
}

/// Whether the worker wants more tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    More,
    NoMore,
}

/// How far the worker has come with saying who it is.
#[derive(Debug)]
enum Agent {
    Unknown,
    /// The region is being asked to take it.
    Asked,
    Known(String),
}

/// What came of what a worker said.
enum Done {
    Attached { id: u64, attach: Box<Attach>, result: Result<Claims, Declined> },
    Told { id: u64, claim: (String, u64), ends: Ends, result: Result<Standing, Declined> },
}

struct Session {
    front: Front,
    /// None once the worker has hung up.
    incoming: Option<Streaming<WorkerSaid>>,
    agent: Agent,
    /// Ends the call once another one attaches the agent.
    ousted: CancellationToken,
    capacity: usize,
    wants: Wants,
    /// The tokens of the leases, by task.
    held: BTreeMap<String, u64>,
    beats: Beats,
    under_way: FuturesUnordered<BoxFuture<'static, Done>>,
    /// The question for work that is asked, if there is one.
    asked: Option<BoxFuture<'static, Result<Leases, Declined>>>,
    /// No work is asked for before.
    not_before: Instant,
    ready: VecDeque<RegionSaid>,
    heard_at: Instant,
    /// When the call ends, once the region stops.
    ends_at: Option<Instant>,
    _slot: FollowerSlot,
}

impl Session {
    fn new(front: Front, incoming: Streaming<WorkerSaid>, slot: FollowerSlot) -> Self {
        let now = Instant::now();
        Self {
            beats: Beats::new(front.clone()),
            front,
            incoming: Some(incoming),
            agent: Agent::Unknown,
            ousted: CancellationToken::new(),
            capacity: 0,
            wants: Wants::More,
            held: BTreeMap::new(),
            under_way: FuturesUnordered::new(),
            asked: None,
            not_before: now,
            ready: VecDeque::new(),
            heard_at: now,
            ends_at: None,
            _slot: slot,
        }
    }

    /// Returns what the worker is told next; nothing once the call is over.
    async fn next(&mut self) -> Result<Option<RegionSaid>, Status> {
        loop {
            if let Some(said) = self.ready.pop_front() {
                return Ok(Some(said));
            }
            if self.incoming.is_none() && self.under_way.is_empty() {
                return Ok(None);
            }
            self.ask_for_work();
            let stopping = self.front.stopping().clone();
            let (is_leaving, heard_at) = (self.ends_at.is_some(), self.heard_at);
            // Whatever is not ready yet keeps its state in the session, and loses nothing.
            tokio::select! {
                said = hear(&mut self.incoming) => self.heard(said?)?,
                Some(done) = self.under_way.next(), if !self.under_way.is_empty() => {
                    self.done(done);
                }
                beat = self.beats.next() => self.beaten(beat),
                leases = answered(&mut self.asked) => {
                    self.asked = None;
                    self.leased(leases)?;
                }
                () = stopping.cancelled(), if !is_leaving => self.leave()?,
                () = until(self.ends_at) => return Err(Status::unavailable("the region stops")),
                () = self.ousted.cancelled() => {
                    return Err(Status::aborted("another call has attached this agent"));
                }
                () = sleep_until(heard_at + HANG_UP_AFTER) => {
                    let help = "the worker was silent for a minute; it should `beat`";
                    return Err(Status::deadline_exceeded(help));
                }
                () = sleep_until(self.not_before), if Instant::now() < self.not_before => {}
            }
        }
    }

    /// Asks for as much work as there is room for, unless that is being asked. The question ends
    /// when the worker would be too quiet to get an answer.
    fn ask_for_work(&mut self) {
        let Agent::Known(agent) = &self.agent else { return };
        let room = self.capacity.saturating_sub(self.held.len()).min(LIMIT_MAX);
        let wait = WAIT.min(QUIET_AFTER.saturating_sub(self.heard_at.elapsed()));
        let is_there = !wait.is_zero() && self.incoming.is_some() && self.ends_at.is_none();
        let is_time = self.not_before <= Instant::now() && self.asked.is_none();
        if !(self.wants == Wants::More && 0 < room && is_there && is_time) {
            return;
        }
        let (agent, front) = (agent.clone(), self.front.clone());
        let limit = u32::try_from(room).unwrap_or(1);
        let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
        let post = LeasePost { agent, limit, wait_ms };
        self.asked = Some(Box::pin(async move { leases::acquire_of(&front, &post).await }));
    }

    fn leased(&mut self, leases: Result<Leases, Declined>) -> Result<(), Status> {
        match leases {
            Ok(Leases { leases }) => {
                for lease in leases {
                    let lease = said::lease(lease);
                    self.held.insert(lease.task.clone(), lease.token);
                    self.tell(0, ByRegion::Lease(lease));
                }
                Ok(())
            }
            Err(declined) if declined.may_pass() => {
                self.not_before = Instant::now() + PAUSE;
                Ok(())
            }
            // It was announced elsewhere, or forgotten.
            Err(declined) => Err(declined.status()),
        }
    }

    /// Takes what the region has answered already, before nobody asks for it any more.
    fn stop_asking(&mut self) -> Result<(), Status> {
        match self.asked.take().and_then(FutureExt::now_or_never) {
            Some(leases) => self.leased(leases),
            None => Ok(()),
        }
    }

    fn heard(&mut self, said: Option<WorkerSaid>) -> Result<(), Status> {
        self.heard_at = Instant::now();
        let Some(said) = said else {
            self.incoming = None;
            return self.stop_asking();
        };
        let id = said.id;
        if id == 0 {
            return Err(Status::invalid_argument("`id`: number what you say, from 1 on"));
        }
        let share = match self.room_for(&said) {
            Ok(share) => share,
            Err(declined) => {
                self.tell(id, ByRegion::Problem(declined.message()));
                return Ok(());
            }
        };
        match (said.said, &self.agent) {
            (None, _) => self.refuse(id, "said", "this region does not know what that is"),
            (Some(ByWorker::Attach(it)), Agent::Unknown) => self.attach(id, it),
            (Some(ByWorker::Attach(_)), Agent::Asked | Agent::Known(_)) => {
                self.refuse(id, "said", "say `attach` once in a call");
            }
            (Some(_), Agent::Unknown | Agent::Asked) => {
                self.refuse(id, "said", "say `attach` first, and wait for its answer");
            }
            (Some(ByWorker::Beat(_)), Agent::Known(_)) => self.beats.begin(id, &self.held),
            (Some(ByWorker::Drain(_)), Agent::Known(_)) => {
                self.wants = Wants::NoMore;
                self.stop_asking()?;
                self.beats.begin(id, &self.held);
            }
            (Some(ByWorker::Notes(it)), Agent::Known(_)) => {
                self.told(id, share, Said::Notes(it));
            }
            (Some(ByWorker::Complete(it)), Agent::Known(_)) => {
                self.told(id, share, Said::Complete(it));
            }
            (Some(ByWorker::Pause(it)), Agent::Known(_)) => {
                self.told(id, share, Said::Pause(it));
            }
            (Some(ByWorker::Fail(it)), Agent::Known(_)) => self.told(id, share, Said::Fail(it)),
        }
        Ok(())
    }

    /// Counts what is said like a body, until it is answered.
    fn room_for(&self, said: &WorkerSaid) -> Result<Share, Declined> {
        let (bytes, max) = (said.encoded_len(), self.front.limits().body_bytes_max);
        if max < bytes {
            let detail = format!("it has {bytes} bytes, and {max} are possible");
            return Err(Kind::TooLarge.problem(detail).into());
        }
        let is_beat = matches!(said.said, Some(ByWorker::Beat(_) | ByWorker::Drain(_)));
        let waiting = if is_beat { self.beats.asked() } else { self.under_way.len() };
        if UNDER_WAY_MAX <= waiting {
            let detail = format!("{UNDER_WAY_MAX} things were said and are not answered yet");
            return Err(Kind::Overloaded.problem(detail).into());
        }
        let mut share = self.front.bodies().share();
        share.grow_to(bytes).map_err(|full| Declined::from(crate::body::BodyError::Full(full)))?;
        Ok(share)
    }

    fn attach(&mut self, id: u64, attach: Attach) {
        self.agent = Agent::Asked;
        let front = self.front.clone();
        self.under_way.push(Box::pin(async move {
            let result = said::register(&front, &attach).await;
            Done::Attached { id, attach: Box::new(attach), result }
        }));
    }

    /// Passes on what a worker tells of a task.
    fn told(&mut self, id: u64, share: Share, said: Said) {
        let (claim, ends) = (said.claim(), said.ends());
        let front = self.front.clone();
        self.under_way.push(Box::pin(async move {
            let result = said.tell(&front).await;
            drop(share);
            Done::Told { id, claim, ends, result }
        }));
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Attached { id, attach, result: Ok(holds) } => {
                let Attach { agent, capacity, .. } = *attach;
                self.capacity = usize::try_from(capacity.max(1)).unwrap_or(1);
                self.ousted = self.front.attached().take(&agent);
                self.agent = Agent::Known(agent);
                self.held = holds;
                let region = self.front.region().to_string();
                self.tell(id, ByRegion::Attached(Attached { region }));
            }
            Done::Attached { id, result: Err(declined), .. } => {
                self.agent = Agent::Unknown;
                self.tell(id, ByRegion::Problem(declined.message()));
            }
            Done::Told { id, claim: (task, token), ends, result } => {
                let is_over = match &result {
                    Ok(_) => ends == Ends::Yes,
                    Err(declined) => declined.ends_lease(),
                };
                if is_over {
                    self.forget(&task, token);
                }
                let said = match result {
                    Ok(standing) => ByRegion::Standing(standing),
                    Err(declined) => ByRegion::Problem(declined.message()),
                };
                self.tell(id, said);
            }
        }
    }

    fn beaten(&mut self, beat: Beat) {
        match beat {
            Beat::Lost { task, token, problem } => {
                // It may have been ended meanwhile, by what this worker said.
                if self.forget(&task, token) {
                    let problem = Some(problem.message());
                    self.tell(0, ByRegion::Lost(Lost { task, token, problem }));
                }
            }
            Beat::Over { ids, unreached } => {
                let leases = u32::try_from(self.held.len()).unwrap_or(u32::MAX);
                for id in ids {
                    let unreached = unreached.clone();
                    self.tell(id, ByRegion::Beaten(Beaten { leases, unreached }));
                }
            }
        }
    }

    /// Forgets a lease; says whether it was there. A later lease of the same task stays.
    fn forget(&mut self, task: &str, token: u64) -> bool {
        let is_there = self.held.get(task) == Some(&token);
        is_there && self.held.remove(task).is_some()
    }

    fn leave(&mut self) -> Result<(), Status> {
        self.ends_at = Some(Instant::now() + LEAVE_WITHIN);
        self.stop_asking()?;
        self.tell(0, ByRegion::Leaving(Leaving {}));
        Ok(())
    }

    fn refuse(&mut self, id: u64, field: &str, help: &str) {
        let declined = Invalid::new(field, help).problem(Stood::Inside);
        self.tell(id, ByRegion::Problem(declined.message()));
    }

    fn tell(&mut self, id: u64, said: ByRegion) {
        self.ready.push_back(RegionSaid { id, said: Some(said) });
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Nobody need oust it any more.
        self.ousted.cancel();
    }
}

/// Returns what the worker says next; nothing once it has hung up.
async fn hear(incoming: &mut Option<Streaming<WorkerSaid>>) -> Result<Option<WorkerSaid>, Status> {
    match incoming {
        Some(incoming) => incoming.message().await.map_err(not_understood),
        None => pending().await,
    }
}

/// Says that the worker is at fault: of what is no message the library says that the region is.
fn not_understood(status: Status) -> Status {
    if status.code() == Code::Internal {
        return Status::invalid_argument(status.message());
    }
    status
}

async fn answered<T>(asked: &mut Option<BoxFuture<'static, T>>) -> T {
    match asked {
        Some(asked) => asked.await,
        None => pending().await,
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}
