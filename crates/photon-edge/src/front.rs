//! The state that all handlers share, and the one way from them to the region.
//! Must not know of routes or status codes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt;
use photon_node::{Handle, SubmitError};
use photon_region::data::{DataCommand, DataReply};
use photon_region::{Command, Refusal, Reply, TopicCommand, View};
use photon_state::{PlacementId, RegionId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::a2a::CardKey;
use crate::ard::{ArdConfig, Registry};
use crate::grpc::Attachments;
use crate::hold::Budget;
use crate::hooks::PushTargets;
use crate::kinds::Kinds;
use crate::meter::Meter;
use crate::session::Sessions;
use crate::token::TokenHash;

/// Bytes of a refused body that are read before its connection is closed.
const SWALLOW_BYTES_MAX: usize = 256 << 20;

/// What a front door must be told.
#[derive(Clone, Debug)]
pub struct FrontConfig {
    /// The region behind the door.
    pub handle: Handle,
    /// What clients may know of the planet.
    pub planet: PlanetInfo,
    /// Who may come in; everybody when there is none.
    pub tokens: Vec<TokenHash>,
    /// The bounds of what is taken on.
    pub limits: FrontLimits,
    /// Where push notifications may be sent.
    pub push_targets: PushTargets,
    /// How the planet's agents are published and found.
    pub ard: ArdConfig,
    /// What Agent Cards are signed with; they are not signed if there is none.
    pub card_key: Option<CardKey>,
}

/// What clients may know of the planet.
#[derive(Clone, Debug)]
pub struct PlanetInfo {
    /// What people call it.
    pub name: String,
    /// The region that this door belongs to.
    pub region: RegionId,
    /// What clients are told to connect to, if not the address by which they came.
    pub url: Option<String>,
    /// All regions, this one too.
    pub regions: Vec<RegionInfo>,
    /// The regions of each placement, `global` too.
    pub placements: BTreeMap<PlacementId, Vec<RegionId>>,
    /// The version of the binary.
    pub version: String,
}

/// What clients may know of a region.
#[derive(Clone, Debug)]
pub struct RegionInfo {
    /// Its name.
    pub name: RegionId,
    /// The city that it is in, or near to.
    pub city: String,
    /// The country, as ISO 3166-1 alpha-2.
    pub country: String,
    /// The continent.
    pub continent: String,
    /// Degrees; north is positive.
    pub latitude: f64,
    /// Degrees; east is positive.
    pub longitude: f64,
    /// The privacy regime that it is under.
    pub privacy: String,
    /// The base URL of its front door.
    pub api: String,
}

/// Bounds and times. What happens at each bound is said beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrontLimits {
    /// Bytes of a request's body; more are answered with 413.
    pub body_bytes_max: usize,
    /// Bytes of all requests' bodies at a time; more are answered with 503.
    pub bodies_bytes_max: usize,
    /// Bytes of a request's head, 8 KiB at least; more are answered with 431.
    pub header_bytes_max: usize,
    /// Open connections; further ones are answered with 503 and closed.
    pub connections_max: usize,
    /// Clients that follow a task or watch a dataset; further ones are answered with 503.
    pub followers_max: usize,
    /// Bytes of changes that clients who watch have not read yet, of all together; a watcher for
    /// whom there is no room is answered with 503, or its stream ends.
    pub watches_bytes_max: usize,
    /// How long a body may take to arrive, and a command to be answered; then the answer is 503.
    pub request_timeout: Duration,
}

impl Default for FrontLimits {
    fn default() -> Self {
        Self {
            body_bytes_max: 2 << 20,
            bodies_bytes_max: 256 << 20,
            header_bytes_max: 32 << 10,
            connections_max: 12_000,
            followers_max: 10_000,
            watches_bytes_max: 256 << 20,
            request_timeout: Duration::from_secs(60),
        }
    }
}

/// Why a request came to nothing, whichever protocol it spoke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The region turned it down.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The queue to the region is full.
    #[error("the queue to the region is full at {max}; try again")]
    Full {
        /// Its bound.
        max: usize,
    },
    /// Too many clients follow tasks or watch datasets.
    #[error("{max} clients follow tasks or watch datasets, and no more may; poll, or try again")]
    FollowersFull {
        /// The bound.
        max: usize,
    },
    /// Clients that watch datasets have not read too much of what they were told.
    #[error(
        "clients that watch leave {max} bytes unread, and there is no room for more; try again"
    )]
    WatchesFull {
        /// The bound.
        max: usize,
    },
    /// The region took too long. What was asked may or may not have been done.
    #[error("the region did not answer within {} ms; asking again is safe", .0.as_millis())]
    TimedOut(Duration),
    /// The front door is closing.
    #[error("the region is stopping; ask another one, or try again")]
    Stopping,
}

impl From<SubmitError> for Failure {
    fn from(err: SubmitError) -> Self {
        match err {
            SubmitError::Refused(refusal) => Self::Refused(refusal),
            SubmitError::Stopping => Self::Stopping,
            SubmitError::Full { max } => Self::Full { max },
        }
    }
}

/// The front door of a region: the state of all handlers. Clones are cheap and share it.
#[derive(Clone, Debug)]
pub struct Front(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: FrontConfig,
    followers: Arc<Semaphore>,
    bodies: Budget,
    watches: Budget,
    kinds: Kinds,
    ard: Registry,
    attached: Attachments,
    meter: Meter,
    sessions: Sessions,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

/// The right to follow a task; dropping it makes room for the next.
#[derive(Debug)]
pub(crate) struct FollowerSlot(
    #[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit,
);

impl FollowerSlot {
    /// Makes one of a place among those who tell webhooks, who do not count as clients.
    pub(crate) fn of(place: OwnedSemaphorePermit) -> Self {
        Self(place)
    }
}

impl Front {
    /// Makes a front door.
    #[must_use]
    pub fn new(config: FrontConfig) -> Self {
        let followers = Arc::new(Semaphore::new(config.limits.followers_max));
        let bodies = Budget::new(config.limits.bodies_bytes_max);
        let watches = Budget::new(config.limits.watches_bytes_max);
        let sessions = Sessions::new(&config.planet);
        let ard = Registry::new(&config.ard);
        Self(Arc::new(Inner {
            config,
            followers,
            bodies,
            watches,
            kinds: Kinds::default(),
            ard,
            attached: Attachments::default(),
            meter: Meter::default(),
            sessions,
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }))
    }

    /// Returns what clients may know of the planet.
    #[must_use]
    pub fn planet(&self) -> &PlanetInfo {
        &self.0.config.planet
    }

    /// Returns the region that this door belongs to.
    #[must_use]
    pub fn region(&self) -> RegionId {
        self.0.config.planet.region
    }

    /// Returns what clients may know of a region.
    #[must_use]
    pub fn region_info(&self, name: RegionId) -> Option<&RegionInfo> {
        self.planet().regions.iter().find(|it| it.name == name)
    }

    /// Returns the bounds of what is taken on.
    #[must_use]
    pub fn limits(&self) -> &FrontLimits {
        &self.0.config.limits
    }

    /// Returns where push notifications may be sent.
    pub(crate) fn push_targets(&self) -> PushTargets {
        self.0.config.push_targets
    }

    /// Returns the last snapshot of the region.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.0.config.handle.view()
    }

    /// How long somebody who follows finds the queue full before he is sent away.
    const FULL_MAX: Duration = Duration::from_secs(5);

    /// Submits a command and waits for its reply: as long as the command itself waits, and the
    /// request timeout on top. What a look at the region answers is not even submitted.
    pub async fn submit(&self, command: Command) -> Result<Reply, Failure> {
        if let Some(reply) = self.0.config.handle.glance(&command) {
            return Ok(reply);
        }
        let asked = match &command {
            Command::Events { wait, .. }
            | Command::Acquire { wait, .. }
            | Command::TakeDue { wait, .. } => *wait,
            Command::Topic(TopicCommand::Read(it)) => it.wait,
            Command::Data(command) => command.wait(),
            Command::Register(_)
            | Command::Deregister(_)
            | Command::Agent(_)
            | Command::Agents { .. }
            | Command::AgentChanges { .. }
            | Command::Route { .. }
            | Command::Submit(_)
            | Command::Task(_)
            | Command::Tasks { .. }
            | Command::Webhooks(_)
            | Command::Told { .. }
            | Command::AtHome(_)
            | Command::Topic(_)
            | Command::Govern(_)
            | Command::Topology => Duration::ZERO,
        };
        let patience = asked + self.limits().request_timeout;
        match tokio::time::timeout(patience, self.0.config.handle.submit(command)).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Failure::TimedOut(patience)),
        }
    }

    /// Submits a command for somebody who follows a task or watches a dataset. All of them ask
    /// again at the moment at which they were told something: who finds the queue full tries again.
    pub(crate) async fn submit_as_follower(&self, command: Command) -> Result<Reply, Failure> {
        let last = Instant::now() + Self::FULL_MAX;
        loop {
            match self.submit(command.clone()).await {
                Err(Failure::Full { .. }) if Instant::now() < last => {
                    sleep(Duration::from_millis(fastrand::u64(5..50))).await;
                }
                done => return done,
            }
        }
    }

    pub(crate) fn tokens(&self) -> &[TokenHash] {
        &self.0.config.tokens
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.0.config.handle
    }

    /// Submits a command about data and waits for its reply.
    pub(crate) async fn submit_data(&self, command: DataCommand) -> Result<DataReply, Failure> {
        let Reply::Data(reply) = self.submit(Command::Data(command)).await? else {
            unreachable!("the region answers `Data` with data")
        };
        Ok(*reply)
    }

    /// Returns what the records of a dataset hold, as it was known a moment ago.
    pub(crate) fn kinds(&self) -> &Kinds {
        &self.0.kinds
    }

    /// What writes and reads sessions.
    pub(crate) fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    pub(crate) fn meter(&self) -> &Meter {
        &self.0.meter
    }

    /// The token that is cancelled when the door begins to close: streams and long polls end.
    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.0.stopping
    }

    /// What runs beside the handlers; awaited when the door closes.
    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.0.tasks
    }

    /// Reads the rest of a refused body and forgets it, within bounds: a client that is still
    /// sending when the connection is closed would lose the answer.
    pub(crate) fn swallow(&self, mut body: Body) {
        let (patience, stopping) = (self.limits().request_timeout, self.stopping().clone());
        let swallowing = async move {
            let mut bytes = 0;
            while let Some(Ok(frame)) = body.frame().await {
                bytes += frame.data_ref().map_or(0, Bytes::len);
                if SWALLOW_BYTES_MAX < bytes {
                    break;
                }
            }
        };
        self.tasks().spawn(async move {
            // When time is over the client loses its answer, and its connection.
            let _ = tokio::time::timeout(patience, stopping.run_until_cancelled(swallowing)).await;
        });
    }

    /// Returns which agents are attached by a call.
    pub(crate) fn attached(&self) -> &Attachments {
        &self.0.attached
    }

    /// Returns what Agent Cards are signed with, if there is something.
    pub(crate) fn card_key(&self) -> Option<&CardKey> {
        self.0.config.card_key.as_ref()
    }

    /// Returns the registry of the planet's agents.
    pub(crate) fn ard(&self) -> &Registry {
        &self.0.ard
    }

    /// Returns how much the bodies of all requests hold.
    pub(crate) fn bodies(&self) -> &Budget {
        &self.0.bodies
    }

    /// Returns how much is held of what watchers have heard and their clients have not read.
    pub(crate) fn watches(&self) -> &Budget {
        &self.0.watches
    }

    /// Takes the right to follow a task, or refuses when too many have it.
    pub(crate) fn follower_slot(&self) -> Result<FollowerSlot, Failure> {
        let permit = self.0.followers.clone().try_acquire_owned();
        let max = self.limits().followers_max;
        permit.map(FollowerSlot).map_err(|_| Failure::FollowersFull { max })
    }

    /// Returns how many clients follow tasks.
    pub(crate) fn followers(&self) -> usize {
        self.limits().followers_max.saturating_sub(self.0.followers.available_permits())
    }
}
