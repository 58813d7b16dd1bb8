//! A program that speaks the Agent Client Protocol and has been greeted, with its sessions.
//! Must not know of tasks, nor what its turns are for.

use std::ffi::OsString;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::permission;
use super::pipe::{Broken, Pipe};
use super::wire::{
    self, Greeting, INITIALIZE, NEW_SESSION, NewSession, REQUEST_PERMISSION, RpcError, Said,
    VERSION,
};

/// How long a program has to answer what needs no work. Some are fetched when they are started
/// first.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// The sessions that one program keeps; at it the program is ended once it rests.
const SESSIONS_MAX: usize = 64;

/// How a program is started, and where it works.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program, and what to give it.
    pub program: Vec<OsString>,
    /// The folder of its sessions.
    pub cwd: String,
}

/// Why a program cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// It does not start.
    #[error("cannot start the program: {0}")]
    Start(#[source] io::Error),
    /// Nothing more is heard of it.
    #[error("{0}")]
    Broken(String),
    /// It does not answer.
    #[error(
        "the program has not answered `{method}` within {} s{noise}", ANSWER_WITHIN.as_secs()
    )]
    Late {
        /// What.
        method: &'static str,
        /// What it wrote instead.
        noise: String,
    },
    /// It wants its user to be logged in.
    #[error(
        "the program wants a login: log in by hand as the same user, or give it a key{ways}; \
         it says: {error}"
    )]
    Login {
        /// What it offers.
        ways: String,
        /// What it says of it.
        error: String,
    },
    /// It does not do what it is asked.
    #[error("the program refuses `{method}`: {error}")]
    Refused {
        /// What.
        method: &'static str,
        /// What it says of it.
        error: String,
    },
    /// Its answer is none.
    #[error("the program's answer to `{method}` is none of the protocol: {why}")]
    Malformed {
        /// To what.
        method: &'static str,
        /// What is wrong.
        why: String,
    },
    /// It speaks another version.
    #[error(
        "the program speaks version {0} of the Agent Client Protocol, and Photon version {VERSION}"
    )]
    Version(u64),
}

impl From<Broken> for HostError {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken.to_string())
    }
}

impl HostError {
    /// Whether the program can be asked something else.
    pub(super) fn leaves_it_usable(&self) -> bool {
        match self {
            Self::Refused { .. } => true,
            // Once somebody has logged in, a new one knows of it.
            Self::Login { .. }
            | Self::Start(_)
            | Self::Broken(_)
            | Self::Late { .. }
            | Self::Malformed { .. }
            | Self::Version(_) => false,
        }
    }
}

/// Counts programs, wherever they are: each holds one.
pub(super) type Place = Arc<()>;

/// What a session is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Purpose {
    /// Where the conversation may be kept: elsewhere it is another one.
    pub(super) placement: String,
    /// Names the conversation.
    pub(super) context: String,
    /// Names what is asked. A session that was asked the same before is not gone on with: nobody
    /// has taken its answer.
    pub(super) work: String,
}

/// A conversation with a program.
#[derive(Debug)]
struct Session {
    purpose: Purpose,
    id: String,
    used: Instant,
}

impl Session {
    fn is_for(&self, purpose: &Purpose) -> bool {
        let Purpose { placement, context, work } = &self.purpose;
        (placement, context) == (&purpose.placement, &purpose.context) && *work != purpose.work
    }
}

/// A program that is greeted, and then talked to.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) pipe: Pipe,
    pub(super) greeting: Greeting,
    _place: Place,
    /// How many questions the program was asked.
    asked: u64,
    sessions: Vec<Session>,
    /// A session that nobody has used.
    spare: Option<String>,
    /// How many sessions the program was asked for.
    opened: usize,
}

impl Host {
    /// Starts the program, which has to be greeted.
    pub(super) fn start(launch: &Launch, place: Place) -> Result<Self, HostError> {
        let pipe = Pipe::start(&launch.program).map_err(HostError::Start)?;
        let greeting = Greeting {
            protocol_version: VERSION,
            agent_capabilities: wire::Capabilities::default(),
            agent_info: None,
            auth_methods: Vec::new(),
        };
        let (asked, sessions, spare, opened) = (0, Vec::new(), None, 0);
        Ok(Self { pipe, greeting, _place: place, asked, sessions, spare, opened })
    }

    /// Greets the program.
    pub(super) async fn greet(&mut self) -> Result<(), HostError> {
        let version = env!("CARGO_PKG_VERSION");
        let params = json!({
            "protocolVersion": VERSION,
            "clientCapabilities": {
                "fs": {"readTextFile": false, "writeTextFile": false},
                "terminal": false,
            },
            "clientInfo": {"name": "photon", "title": "Photon", "version": version},
        });
        self.greeting = self.question(INITIALIZE, &params).await?;
        match self.greeting.protocol_version {
            VERSION => Ok(()),
            other => Err(HostError::Version(other)),
        }
    }

    /// Starts a program with a session for whoever needs one first.
    pub(super) async fn start_with_spare(launch: &Launch, place: Place) -> Result<Self, HostError> {
        let mut host = Self::start(launch, place)?;
        let opened = match host.greet().await {
            Ok(()) => host.new_session(launch).await,
            Err(error) => Err(error),
        };
        match opened {
            Ok(spare) => {
                host.spare = Some(spare);
                Ok(host)
            }
            Err(error) => {
                host.pipe.end().await;
                Err(error)
            }
        }
    }

    /// Returns the session for a purpose; a new one if there is none. May be dropped.
    pub(super) async fn session(
        &mut self,
        launch: &Launch,
        purpose: &Purpose,
    ) -> Result<String, HostError> {
        let (purpose, used) = (purpose.clone(), Instant::now());
        if let Some(known) = self.sessions.iter_mut().find(|it| it.is_for(&purpose)) {
            (known.purpose, known.used) = (purpose, used);
            return Ok(known.id.clone());
        }
        let id = match self.spare.take() {
            Some(spare) => spare,
            None => self.new_session(launch).await?,
        };
        let is_same = |it: &Session| {
            (&it.purpose.placement, &it.purpose.context) == (&purpose.placement, &purpose.context)
        };
        self.sessions.retain(|it| !is_same(it));
        self.sessions.push(Session { purpose, id: id.clone(), used });
        Ok(id)
    }

    async fn new_session(&mut self, launch: &Launch) -> Result<String, HostError> {
        let params = json!({"cwd": launch.cwd, "mcpServers": []});
        self.opened += 1;
        let opened: NewSession = self.question(NEW_SESSION, &params).await?;
        Ok(opened.session_id)
    }

    /// Returns when the program was last asked in a session for a purpose, if it has one.
    pub(super) fn used(&self, purpose: &Purpose) -> Option<Instant> {
        self.sessions.iter().find(|it| it.is_for(purpose)).map(|it| it.used)
    }

    /// Returns how many conversations the program knows.
    pub(super) fn conversations(&self) -> usize {
        self.sessions.len()
    }

    /// Forgets a session, which is not gone on with.
    pub(super) fn forget(&mut self, session: &str) {
        self.sessions.retain(|it| it.id != session);
    }

    /// Forgets the session that was asked something last.
    pub(super) fn forget_work(&mut self, work: &str) {
        self.sessions.retain(|it| it.purpose.work != work);
    }

    /// Whether the program has so many sessions that another one is to be started.
    pub(super) fn is_worn(&self) -> bool {
        SESSIONS_MAX <= self.opened
    }

    /// Asks the program, and waits for its answer.
    async fn question<T: DeserializeOwned>(
        &mut self,
        method: &'static str,
        params: &Value,
    ) -> Result<T, HostError> {
        let id = self.ask(method, params)?;
        let Ok(answer) = timeout(ANSWER_WITHIN, self.answer(id)).await else {
            let noise = self.pipe.noise();
            let noise = noise.map(|it| format!("; it wrote `{it}`, which is no message of it"));
            return Err(HostError::Late { method, noise: noise.unwrap_or_default() });
        };
        let value = answer?.map_err(|error| self.refused(method, &error))?;
        serde_json::from_value(value).map_err(|error| {
            let why = error.to_string();
            HostError::Malformed { method, why }
        })
    }

    /// Returns what an error of the program means.
    pub(super) fn refused(&self, method: &'static str, error: &RpcError) -> HostError {
        let is_login = error.wants_login();
        let error = error.to_string();
        if !is_login {
            return HostError::Refused { method, error };
        }
        let ways = self.greeting.auth_methods.iter().map(|it| format!("`{}`", it.name));
        let ways = ways.collect::<Vec<_>>().join(", ");
        let ways = if ways.is_empty() { ways } else { format!(" (it offers {ways})") };
        HostError::Login { ways, error }
    }

    async fn answer(&mut self, asked: u64) -> Result<Result<Value, RpcError>, Broken> {
        loop {
            match self.pipe.next().await? {
                Said::Answer { id, result } if id == asked => return Ok(result),
                Said::Answer { .. } | Said::Notice { .. } => {}
                Said::Request { id, method, .. } if method == REQUEST_PERMISSION => {
                    // Of a turn that is over.
                    self.pipe.send(&wire::answer(&id, &permission::off()))?;
                }
                Said::Request { id, method, .. } => {
                    self.pipe.send(&wire::no_method(&id, &method))?;
                }
            }
        }
    }

    /// Asks the program something; returns the number of the question.
    pub(super) fn ask(&mut self, method: &str, params: &Value) -> Result<u64, Broken> {
        self.asked += 1;
        self.pipe.send(&wire::request(self.asked, method, params))?;
        Ok(self.asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn start(script: &str) -> Result<Host, HostError> {
        let program = ["sh", "-c", script].map(OsString::from).to_vec();
        let launch = Launch { program, cwd: "/".to_owned() };
        Host::start_with_spare(&launch, Place::default()).await
    }

    async fn check(script: &str, expected: &str) {
        let started = start(script).await;
        let said = started.map_or_else(|error| error.to_string(), |_| "well".to_owned());
        assert!(said.contains(expected), "{script}: {said}");
    }

    const GREETING: &str = r#"read line; echo '{"id":1,"result":{"protocolVersion":1,"authMethods":
        [{"id":"k","name":"API key"}]}}' | tr -d '\n'; echo; read line; "#;

    #[tokio::test]
    async fn what_is_wrong_with_a_program_is_told() {
        let told = |answer: &str| format!("{GREETING} echo '{answer}'; cat");
        check(&told(r#"{"id":2,"result":{"sessionId":"s"}}"#), "well").await;
        check(&told(r#"{"id":2,"result":{}}"#), "`session/new` is none of the protocol").await;
        let login = told(r#"{"id":2,"error":{"code":-32000,"message":"Authentication required"}}"#);
        check(&login, "log in").await;
        check(&login, "(it offers `API key`); it says: Authentication required").await;
        let refusal = told(r#"{"id":2,"error":{"code":-32603,"message":"Internal error"}}"#);
        check(&refusal, "refuses `session/new`: Internal error (-32603)").await;
        let version = r#"read line; echo '{"id":1,"result":{"protocolVersion":2}}'; cat"#;
        check(version, "version 2").await;
        check("echo Usage >&2; exit 2", "exit status: 2\nUsage").await;
        check("true", "the program ended").await;
        check("exec cat", "refuses `initialize`").await;
    }

    #[tokio::test]
    async fn a_program_that_never_answers_is_not_waited_for_for_ever() {
        tokio::time::pause();
        let error = start("echo hello; sleep 1000").await.unwrap_err().to_string();
        assert!(error.contains("`initialize` within 60 s"), "{error}");
    }

    #[tokio::test]
    async fn a_program_that_is_no_such_is_told() {
        let program = vec![OsString::from("/no/such/program")];
        let launch = Launch { program, cwd: "/".to_owned() };
        let error = Host::start(&launch, Place::default()).unwrap_err();
        assert!(error.to_string().contains("cannot start"), "{error}");
    }

    #[tokio::test]
    async fn a_wish_of_a_turn_that_is_over_is_not_granted() {
        let script = r#"read line; echo '{"id":1,"result":{"protocolVersion":1}}'; read line
            echo '{"id":9,"method":"session/request_permission","params":{}}'; read -r said
            case "$said" in *cancelled*) echo '{"id":2,"result":{"sessionId":"s"}}';; esac; cat"#;
        check(script, "well").await;
    }
}
