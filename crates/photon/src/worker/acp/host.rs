//! A program that speaks the Agent Client Protocol and has been greeted, with its sessions.
//! Must not know of tasks, nor what its turns are for.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::pipe::{Broken, Pipe};
use super::wire::{self, Greeting, INITIALIZE, NEW_SESSION, NewSession, RpcError, Said, VERSION};

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
    pub cwd: PathBuf,
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
    #[error("the program wants a login: log in by hand as the same user, or give it a key{ways}")]
    Login {
        /// What it offers.
        ways: String,
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
            Self::Login { .. } | Self::Refused { .. } => true,
            Self::Start(_)
            | Self::Broken(_)
            | Self::Late { .. }
            | Self::Malformed { .. }
            | Self::Version(_) => false,
        }
    }
}

/// A program that was greeted.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) pipe: Pipe,
    pub(super) greeting: Greeting,
    /// How many questions the program was asked.
    asked: u64,
    /// Sessions by their conversations.
    sessions: Vec<(String, String)>,
    /// A session that nobody has used.
    spare: Option<String>,
    /// How many sessions the program was asked for.
    opened: usize,
}

impl Host {
    /// Starts the program and greets it.
    pub(super) async fn start(launch: &Launch) -> Result<Self, HostError> {
        let pipe = Pipe::start(&launch.program).map_err(HostError::Start)?;
        let greeting = Greeting {
            protocol_version: VERSION,
            agent_capabilities: wire::Capabilities::default(),
            agent_info: None,
            auth_methods: Vec::new(),
        };
        let (asked, sessions, spare, opened) = (0, Vec::new(), None, 0);
        let mut host = Self { pipe, greeting, asked, sessions, spare, opened };
        let version = env!("CARGO_PKG_VERSION");
        let params = json!({
            "protocolVersion": VERSION,
            "clientCapabilities": {
                "fs": {"readTextFile": false, "writeTextFile": false},
                "terminal": false,
            },
            "clientInfo": {"name": "photon", "title": "Photon", "version": version},
        });
        match host.question::<Greeting>(INITIALIZE, &params).await {
            Ok(it) if it.protocol_version == VERSION => host.greeting = it,
            Ok(it) => {
                host.pipe.end().await;
                return Err(HostError::Version(it.protocol_version));
            }
            Err(error) => {
                host.pipe.end().await;
                return Err(error);
            }
        }
        Ok(host)
    }

    /// Opens a session for whoever needs one first.
    pub(super) async fn open_spare(&mut self, launch: &Launch) -> Result<(), HostError> {
        self.spare = Some(self.new_session(launch).await?);
        Ok(())
    }

    /// Returns the session of a conversation; a new one if there is none.
    pub(super) async fn session(
        &mut self,
        launch: &Launch,
        context: &str,
    ) -> Result<String, HostError> {
        if let Some((_, session)) = self.sessions.iter().find(|it| it.0 == context) {
            return Ok(session.clone());
        }
        let session = match self.spare.take() {
            Some(spare) => spare,
            None => self.new_session(launch).await?,
        };
        self.sessions.push((context.to_owned(), session.clone()));
        Ok(session)
    }

    async fn new_session(&mut self, launch: &Launch) -> Result<String, HostError> {
        let params = json!({"cwd": launch.cwd.display().to_string(), "mcpServers": []});
        let opened: NewSession = self.question(NEW_SESSION, &params).await?;
        self.opened += 1;
        Ok(opened.session_id)
    }

    /// Whether the program has a session of the conversation.
    pub(super) fn knows(&self, context: &str) -> bool {
        self.sessions.iter().any(|it| it.0 == context)
    }

    /// Forgets a session, which is not gone on with.
    pub(super) fn forget(&mut self, session: &str) {
        self.sessions.retain(|it| it.1 != session);
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
        if !error.wants_login() {
            return HostError::Refused { method, error: error.to_string() };
        }
        let ways = self.greeting.auth_methods.iter().map(|it| format!("`{}`", it.name));
        let ways = ways.collect::<Vec<_>>().join(", ");
        let ways = if ways.is_empty() { ways } else { format!(" (it offers {ways})") };
        HostError::Login { ways }
    }

    async fn answer(&mut self, asked: u64) -> Result<Result<Value, RpcError>, Broken> {
        loop {
            match self.pipe.next().await? {
                Said::Answer { id, result } if id == asked => return Ok(result),
                Said::Answer { .. } | Said::Notice { .. } => {}
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

    async fn check(script: &str, expected: &str) {
        let program = ["sh", "-c", script].map(OsString::from).to_vec();
        let launch = Launch { program, cwd: PathBuf::from("/") };
        let started = async {
            let mut host = Host::start(&launch).await?;
            host.open_spare(&launch).await
        };
        let said = started.await.map_or_else(|error| error.to_string(), |()| "well".to_owned());
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
        check(&login, "(it offers `API key`)").await;
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
        let launch = Launch {
            program: ["sh", "-c", "echo hello; sleep 1000"].map(OsString::from).to_vec(),
            cwd: PathBuf::from("/"),
        };
        tokio::time::pause();
        let error = Host::start(&launch).await.unwrap_err().to_string();
        assert!(error.contains("`initialize` within 60 s"), "{error}");
    }

    #[tokio::test]
    async fn a_program_that_is_no_such_is_told() {
        let program = vec![OsString::from("/no/such/program")];
        let error = Host::start(&Launch { program, cwd: PathBuf::from("/") }).await.unwrap_err();
        assert!(error.to_string().contains("cannot start"), "{error}");
    }
}
