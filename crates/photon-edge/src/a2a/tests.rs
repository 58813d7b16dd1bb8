//! Stories of clients, told to a real region whose time is imagined and whose one worker follows a
//! script: it takes its next step whenever everybody else waits.

mod cards;
mod extensions;
mod found;
mod grpc;
mod pauses;
mod push;
mod stories;
mod v03;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use photon_node::Handle;
use photon_region::{
    AgentSpec, AtHome, Chunk, Claim, Command, Config, Input, Json, Limits, Note, Outcome, Output,
    Pause, Place, Refusal, Region, Reply, Ticket, Topology,
};
use photon_state::{Now, PlacementId, RegionId};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{CardKey, Front, FrontConfig, FrontLimits, PlanetInfo, PushTargets, TokenHash};

/// What the worker does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// It takes up a task.
    Claim,
    /// It says something.
    Say(&'static str),
    /// It begins an artifact.
    Begin(&'static str),
    /// It continues the artifact.
    Go(&'static str),
    /// It asks something of the client.
    Ask(&'static str),
    /// It ends the task.
    End(Outcome),
    /// It ends the task with a message, whose metadata say so much of `photon/direct`.
    Reply(&'static str, bool),
    /// It hangs for longer than its lease.
    Hang,
}

/// A region with a worker, in an imagined time.
struct World {
    region: Region,
    now: Now,
    tickets: Ticket,
    appended: u64,
    replies: BTreeMap<Ticket, Result<Reply, Refusal>>,
    script: VecDeque<Step>,
    claim: Option<Claim>,
    notes: u64,
}

impl World {
    fn new(script: &[Step], limits: Limits) -> Self {
        let region = here();
        let place = Place { latitude: 53.35, longitude: -6.26 };
        let mut world = Self {
            region: Region::new(Config {
                region,
                incarnation: 1,
                regions: BTreeMap::from([(region, place)]),
                placements: BTreeMap::new(),
                datasets: vec![],
                voters: std::collections::BTreeSet::new(),
                topology: Topology::Mesh,
                weights: photon_region::Weights::default(),
                limits,
                seed: 7,
            }),
            now: Now { mono: Duration::ZERO, wall_ms: 1_800_000_000_000 },
            tickets: 0,
            appended: 0,
            replies: BTreeMap::new(),
            script: script.iter().copied().collect(),
            claim: None,
            notes: 0,
        };
        world.region.start(world.now);
        world.register();
        world
    }

    fn register(&mut self) {
        let card = json!({
            "name": "Shout", "description": "Shouts.", "version": "2.1.0", "url": "http://old",
            "supportedInterfaces": [], "capabilities": { "pushNotifications": true },
            "signatures": [{ "protected": "p", "signature": "s" }], "vendor": { "kept": true },
            "skills": [{
                "id": "text.upper", "name": "Upper", "description": "To capitals.", "tags": ["t"],
            }],
        });
        let spec = AgentSpec {
            name: "shout".into(),
            skills: ["text.upper".into(), "text.loud".into()].into(),
            capacity: 4,
            cost_micros: 0,
            card: Json(card.to_string().into()),
            placement: PlacementId::global(),
        };
        self.ask(Command::Register(spec)).unwrap();
    }

    /// Asks the region; while it does not answer the worker does its work, then time passes.
    fn ask(&mut self, command: Command) -> Result<Reply, Refusal> {
        self.tickets += 1;
        let ticket = self.tickets;
        // No two commands come in the same millisecond: names of tasks sort by age.
        self.pass(Duration::from_millis(1));
        self.region.handle(self.now, Input::Command(ticket, command));
        loop {
            self.drain();
            if let Some(reply) = self.replies.remove(&ticket) {
                return reply;
            }
            match self.script.pop_front() {
                Some(step) => self.work(step),
                None => self.pass_until_woken(),
            }
        }
    }

    fn drain(&mut self) {
        let mut durable = self.appended;
        loop {
            while let Some(output) = self.region.poll() {
                match output {
                    Output::Append(_) => self.appended += 1,
                    Output::Reply(ticket, reply) => drop(self.replies.insert(ticket, reply)),
                    Output::Send(..)
                    | Output::Fetch { .. }
                    | Output::Truncate { .. }
                    | Output::Notice(_)
                    | Output::Halt(_) => {}
                }
            }
            if durable == self.appended {
                return;
            }
            durable = self.appended;
            self.region.handle(self.now, Input::Durable(durable));
        }
    }

    fn pass_until_woken(&mut self) {
        let wakeup = self.region.next_wakeup().0;
        self.pass(wakeup.saturating_sub(self.now.mono).max(Duration::from_millis(1)));
    }

    fn pass(&mut self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap();
        self.now = Now { mono: self.now.mono + time, wall_ms: self.now.wall_ms + ms };
        self.region.handle(self.now, Input::Tick);
        self.drain();
    }

    fn work(&mut self, step: Step) {
        match step {
            Step::Claim => {
                let (agent, wait) = ("shout".into(), Duration::ZERO);
                let command = Command::Acquire { agent, limit: 1, wait };
                let Ok(Reply::Leases(leases)) = self.ask(command) else { panic!("no leases") };
                self.claim = Some(leases[0].claim);
                self.notes = 0;
            }
            Step::Say(text) => {
                let message = json!({
                    "messageId": "w", "role": "ROLE_AGENT", "parts": [{ "text": text }],
                });
                self.note(Note::Status(Json(message.to_string().into())));
            }
            Step::Begin(text) => self.chunk(text, false),
            Step::Go(text) => self.chunk(text, true),
            Step::End(outcome) => {
                self.finish(outcome, None);
            }
            Step::Ask(text) => {
                let message = json!({
                    "messageId": "q", "role": "ROLE_AGENT", "parts": [{ "text": text }],
                });
                let message = Some(Json(message.to_string().into()));
                let (claim, why) = (self.claim.take().unwrap(), Pause::Input);
                self.ask(Command::AtHome(AtHome::Pause { claim, notes: None, why, message }))
                    .unwrap();
            }
            Step::Reply(text, direct) => {
                let message = json!({
                    "messageId": "w", "role": "ROLE_AGENT", "parts": [{ "text": text }],
                    "metadata": { "photon/direct": direct },
                });
                let message = Json(message.to_string().into());
                self.finish(Outcome::Completed, Some(message));
            }
            Step::Hang => {
                let until = self.now.mono + Duration::from_secs(16);
                while self.now.mono < until {
                    self.pass(Duration::from_secs(1));
                    // The agent lives; only its worker hangs.
                    let wait = Duration::ZERO;
                    let agent = "shout".into();
                    let _ = self.ask(Command::Acquire { agent, limit: 0, wait });
                }
            }
        }
    }

    fn finish(&mut self, outcome: Outcome, message: Option<Json>) {
        let claim = self.claim.take().unwrap();
        self.ask(Command::AtHome(AtHome::Finish { claim, notes: None, outcome, message })).unwrap();
    }

    fn chunk(&mut self, text: &str, append: bool) {
        let parts = Json(json!([{ "text": text }]).to_string().into());
        let artifact = "out".into();
        self.note(Note::Artifact(Chunk { artifact, name: None, append, last: false, parts }));
    }

    fn note(&mut self, note: Note) {
        let (claim, notes) = (self.claim.unwrap(), vec![note]);
        self.notes += 1;
        let note = AtHome::Note { claim, first: self.notes, notes };
        self.ask(Command::AtHome(note)).unwrap();
    }
}

fn here() -> RegionId {
    RegionId::try_from("eu-west-1").unwrap()
}

/// Makes the front door of whatever answers behind a handle.
fn front(handle: Handle, tokens: Vec<TokenHash>, limits: FrontLimits) -> Front {
    front_at(None, handle, tokens, limits)
}

/// Makes the same, with a URL that clients are told.
fn front_at(
    url: Option<String>,
    handle: Handle,
    tokens: Vec<TokenHash>,
    limits: FrontLimits,
) -> Front {
    let planet = PlanetInfo {
        name: "test".to_owned(),
        region: here(),
        url,
        regions: Vec::new(),
        placements: BTreeMap::new(),
        version: "0.0.0".to_owned(),
    };
    Front::new(FrontConfig {
        card_key: Some(CardKey::from_pem(CardKey::make().as_bytes()).unwrap()),
        handle,
        planet,
        tokens,
        limits,
        push_targets: PushTargets::Any,
        ard: crate::ArdConfig::alone("dev.localhost"),
    })
}

/// A client of a region.
struct Client(Router);

/// What a client got.
#[derive(Debug)]
struct Got {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Client {
    fn new(script: &[Step]) -> Self {
        Self::with_limits(script, Limits::default(), FrontLimits::default())
    }

    fn with_limits(script: &[Step], region: Limits, limits: FrontLimits) -> Self {
        Self::with_front(script, region, limits).0
    }

    /// Makes a client and the front door that it comes to.
    fn and_front(script: &[Step]) -> (Self, Front) {
        Self::with_front(script, Limits::default(), FrontLimits::default())
    }

    fn with_front(script: &[Step], region: Limits, limits: FrontLimits) -> (Self, Front) {
        let world = Mutex::new(World::new(script, region));
        let handle = Handle::from_fn(move |command| world.lock().unwrap().ask(command));
        let front = front(handle, Vec::new(), limits);
        (Self(super::router().with_state(front.clone())), front)
    }

    async fn get(&self, path: &str) -> Got {
        self.call("GET", path, &[], Value::Null).await
    }

    async fn post(&self, path: &str, body: Value) -> Got {
        self.call("POST", path, &[], body).await
    }

    async fn call(&self, method: &str, path: &str, more: &[(&str, &str)], body: Value) -> Got {
        let mut request = Request::builder().method(method).uri(path).header("host", "x.test:1");
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        let body = if let Value::String(raw) = body {
            Body::from(raw)
        } else if body.is_null() {
            Body::empty()
        } else {
            request = request.header("content-type", "application/a2a+json");
            Body::from(body.to_string())
        };
        let response = self.0.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 1 << 24).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Got { status: parts.status, headers: parts.headers, body }
    }

    async fn rpc(&self, path: &str, method: &str, params: Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
        let got = self.post(path, body).await;
        let body = got.json();
        assert_eq!((&body["jsonrpc"], &body["id"]), (&json!("2.0"), &json!(7)), "{body}");
        body
    }
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|err| panic!("{err}: {self:?}"))
    }

    /// Returns the ids and the data of server-sent events.
    fn events(&self) -> Vec<(String, Value)> {
        let blocks = self.body.split("\n\n").filter(|block| !block.is_empty());
        blocks
            .map(|block| {
                let field = |name: &str| block.lines().find_map(|it| it.strip_prefix(name));
                let data = field("data: ").unwrap_or_else(|| panic!("{block}"));
                let id = field("id: ").unwrap_or_default();
                (id.to_owned(), serde_json::from_str(data).unwrap())
            })
            .collect()
    }
}

/// Returns the parameters of a message.
fn message(text: &str) -> Value {
    json!({ "message": {
        "messageId": "m-1", "role": "ROLE_USER", "contextId": "c-1", "parts": [{ "text": text }],
    } })
}
