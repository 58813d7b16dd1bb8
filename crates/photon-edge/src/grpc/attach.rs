//! An agent that is attached by one call, for as long as that lasts.
//! Must not know what a task is about, nor end a lease that its worker has.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all, pending};
use futures_util::stream::{self, FuturesUnordered, StreamExt as _};
use tokio::time::{Instant, sleep_until};
use tonic::{Request, Response, Status, Streaming};

use super::Told;
use super::pb::{
    Attach, Attached, Beaten, ByRegion, ByWorker, Leaving, Lost, RegionSaid, Standing, WorkerSaid,
};
use super::said::{self, Said};
use crate::Front;
use crate::front::FollowerSlot;
use crate::names::Invalid;
use crate::problem::{Declined, Stood};
use crate::v1::agents;
use crate::v1::leases::{self, heartbeat_of};
use crate::v1::types::{AgentPut, HeartbeatPost, LIMIT_MAX, LeasePost, Leases};

/// How long one question for work waits.
const WAIT: Duration = Duration::from_secs(15);
/// A worker that has said nothing for so long is given no more work.
const QUIET_AFTER: Duration = Duration::from_secs(15);
/// And after so long nobody waits for it.
const HANG_UP_AFTER: Duration = Duration::from_secs(60);
/// How long a worker has to hear that the region stops.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);
/// How long to wait when the region cannot be asked for work.
const PAUSE: Duration = Duration::from_secs(1);
/// What is said at a time and not yet answered; more is not read until then.
const UNDER_WAY_MAX: usize = 64;

/// Serves a worker for as long as it is attached.
pub(super) fn serve(
    front: Front,
    request: Request<Streaming<WorkerSaid>>,
) -> Result<Response<Told<RegionSaid>>, Status> {
    let slot = front.follower_slot().map_err(|err| Declined::from(err).status())?;
    let session = Session::new(front, request.into_inner(), slot);
    // Whoever does not read what it is told is asked nothing either, and gets no work.
    let told = stream::unfold(Some(Box::new(session)), |session| async {
        let mut session = session?;
        match session.next().await {
            Ok(Some(said)) => Some((Ok(said), Some(session))),
            Ok(None) => None,
            Err(status) => Some((Err(status), None)),
        }
    });
    Ok(Response::new(Box::pin(told)))
}

/// Whether the worker wants more tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    More,
    NoMore,
}

/// What came of what a worker said.
enum Done {
    Attached { id: u64, attach: Box<Attach>, result: Result<(), Declined> },
    Beaten { id: u64, lost: Vec<(String, Declined)> },
    Told { id: u64, task: String, ends: Ends, result: Result<Standing, Declined> },
}

/// Whether the lease is over once what a worker said has come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    Yes,
    No,
}

struct Session {
    front: Front,
    /// None once the worker has hung up.
    incoming: Option<Streaming<WorkerSaid>>,
    agent: Option<String>,
    capacity: usize,
    wants: Wants,
    /// The leases, by task.
    held: BTreeMap<String, u64>,
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
            front,
            incoming: Some(incoming),
            agent: None,
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
            tokio::select! {
                said = hear(&mut self.incoming), if self.under_way.len() < UNDER_WAY_MAX => {
                    self.heard(said?)?;
                }
                Some(done) = self.under_way.next(), if !self.under_way.is_empty() => {
                    self.done(done);
                }
                leases = answered(&mut self.asked) => {
                    self.asked = None;
                    self.leased(leases)?;
                }
                () = stopping.cancelled(), if !is_leaving => self.leave(),
                () = until(self.ends_at) => return Err(Status::unavailable("the region stops")),
                () = sleep_until(heard_at + HANG_UP_AFTER) => {
                    let help = "the worker was silent for a minute; it should `beat`";
                    return Err(Status::deadline_exceeded(help));
                }
                () = sleep_until(self.not_before), if Instant::now() < self.not_before => {}
            }
        }
    }

    /// Asks for as much work as there is room for, unless that is being asked.
    fn ask_for_work(&mut self) {
        let room = self.capacity.saturating_sub(self.held.len()).min(LIMIT_MAX);
        let is_heard = self.heard_at.elapsed() < QUIET_AFTER && self.incoming.is_some();
        let is_time = self.not_before <= Instant::now() && self.ends_at.is_none();
        let is_wanted = self.wants == Wants::More && 0 < room && is_heard && is_time;
        let Some(agent) = self.agent.clone().filter(|_| is_wanted && self.asked.is_none()) else {
            return;
        };
        let (front, limit) = (self.front.clone(), u32::try_from(room).unwrap_or(1));
        let wait_ms = u32::try_from(WAIT.as_millis()).unwrap_or(u32::MAX);
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

    fn heard(&mut self, said: Option<WorkerSaid>) -> Result<(), Status> {
        self.heard_at = Instant::now();
        let Some(WorkerSaid { id, said }) = said else {
            self.incoming = None;
            return Ok(());
        };
        if id == 0 {
            return Err(Status::invalid_argument("`id`: number what you say, from 1 on"));
        }
        let front = self.front.clone();
        match said {
            None => self.refuse(id, "said", "this region does not know what that is"),
            Some(ByWorker::Attach(attach)) => {
                self.under_way.push(Box::pin(async move {
                    let result = register(&front, &attach).await;
                    Done::Attached { id, attach: Box::new(attach), result }
                }));
            }
            Some(_) if self.agent.is_none() => self.refuse(id, "said", "say `attach` first"),
            Some(ByWorker::Beat(_)) => self.beat(id),
            Some(ByWorker::Drain(_)) => {
                self.wants = Wants::NoMore;
                self.asked = None;
                self.tell(id, ByRegion::Beaten(self.beaten()));
            }
            Some(ByWorker::Notes(it)) => self.told(id, Said::Notes(it)),
            Some(ByWorker::Complete(it)) => self.told(id, Said::Complete(it)),
            Some(ByWorker::Pause(it)) => self.told(id, Said::Pause(it)),
            Some(ByWorker::Fail(it)) => self.told(id, Said::Fail(it)),
        }
        Ok(())
    }

    /// Extends all leases, each at its home.
    fn beat(&mut self, id: u64) {
        let front = self.front.clone();
        let held = self.held.clone();
        self.under_way.push(Box::pin(async move {
            let beats = held.into_iter().map(|(task, token)| {
                let front = front.clone();
                async move {
                    let post = HeartbeatPost { token: token.to_string() };
                    let lost = heartbeat_of(&front, &task, &post).await.err();
                    lost.filter(Declined::ends_lease).map(|it| (task, it))
                }
            });
            let lost = join_all(beats).await.into_iter().flatten().collect();
            Done::Beaten { id, lost }
        }));
    }

    /// Passes on what a worker tells of a task.
    fn told(&mut self, id: u64, said: Said) {
        let (task, ends) = (said.task().to_owned(), said.ends());
        let Some(token) = self.held.get(&task).copied() else {
            let help = "this call has no such lease; say it in `holds` when you attach";
            return self.refuse(id, "task", help);
        };
        let front = self.front.clone();
        self.under_way.push(Box::pin(async move {
            let result = said.tell(&front, token).await;
            Done::Told { id, task, ends, result }
        }));
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Attached { id, attach, result: Ok(()) } => {
                let Attach { agent, capacity, holds, .. } = *attach;
                self.capacity = usize::try_from(capacity.max(1)).unwrap_or(1);
                self.agent = Some(agent);
                self.wants = Wants::More;
                self.held.extend(holds.into_iter().map(|it| (it.task, it.token)));
                let region = self.front.region().to_string();
                self.tell(id, ByRegion::Attached(Attached { region }));
            }
            Done::Attached { id, result: Err(declined), .. } => {
                self.tell(id, ByRegion::Problem(declined.message()));
            }
            Done::Beaten { id, lost } => {
                for (task, declined) in lost {
                    // It may have been ended meanwhile, by what this worker said.
                    if self.held.remove(&task).is_some() {
                        let problem = Some(declined.message());
                        self.tell(0, ByRegion::Lost(Lost { task, problem }));
                    }
                }
                self.tell(id, ByRegion::Beaten(self.beaten()));
            }
            Done::Told { id, task, ends, result } => {
                let is_over = match &result {
                    Ok(_) => ends == Ends::Yes,
                    Err(declined) => declined.ends_lease(),
                };
                if is_over {
                    self.held.remove(&task);
                }
                let said = match result {
                    Ok(standing) => ByRegion::Standing(standing),
                    Err(declined) => ByRegion::Problem(declined.message()),
                };
                self.tell(id, said);
            }
        }
    }

    fn leave(&mut self) {
        self.asked = None;
        self.ends_at = Some(Instant::now() + LEAVE_WITHIN);
        self.tell(0, ByRegion::Leaving(Leaving {}));
    }

    fn beaten(&self) -> Beaten {
        Beaten { leases: u32::try_from(self.held.len()).unwrap_or(u32::MAX) }
    }

    fn refuse(&mut self, id: u64, field: &str, help: &str) {
        let declined = Invalid::new(field, help).problem(Stood::Inside);
        self.tell(id, ByRegion::Problem(declined.message()));
    }

    fn tell(&mut self, id: u64, said: ByRegion) {
        self.ready.push_back(RegionSaid { id, said: Some(said) });
    }
}

async fn register(front: &Front, attach: &Attach) -> Result<(), Declined> {
    if LIMIT_MAX < attach.holds.len() {
        let rule = format!("give {LIMIT_MAX} at the most");
        return Err(Invalid::new("holds", rule).problem(Stood::Inside));
    }
    let given = |text: &String| Some(text.clone()).filter(|it| !it.is_empty());
    let card = given(&attach.card).map(|it| serde_json::from_str(&it)).transpose();
    let card = card.map_err(|err| Invalid::new("card", err.to_string()).problem(Stood::Inside))?;
    let put = AgentPut {
        skills: attach.skills.clone(),
        capacity: attach.capacity.max(1),
        cost: attach.cost,
        card,
        description: given(&attach.description),
        placement: given(&attach.placement),
    };
    agents::register(front, &attach.agent, put).await.map(drop)
}

/// Returns what the worker says next; nothing once it has hung up.
async fn hear(incoming: &mut Option<Streaming<WorkerSaid>>) -> Result<Option<WorkerSaid>, Status> {
    match incoming {
        Some(incoming) => incoming.message().await,
        None => pending().await,
    }
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
