//! Talks to the front door of a region, over `/v1`.
//! Must not print, nor try again: callers know how long that makes sense.

mod api;
mod data;
mod endpoint;
mod error;
mod events;
mod govern;
mod topics;

use std::time::Duration;

use bytes::BytesMut;
use photon_edge::client_tls;
use photon_edge::v1::types::Problem;
use reqwest::header::ACCEPT;
use reqwest::{Method, RequestBuilder, Response};
use serde::de::DeserializeOwned;

pub use self::api::{AgentQuery, RouteQuery, TaskQuery};
pub use self::data::{Changes, RecordAsk, ScanQuery, WatchQuery};
pub(crate) use self::endpoint::is_loopback;
pub use self::endpoint::{Endpoint, EndpointError};
pub use self::error::ClientError;
pub(crate) use self::error::root;
pub use self::events::Events;
pub use self::topics::ReadQuery;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a reply may take where nobody says otherwise.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a stream may be silent: regions say something each few seconds.
const SILENCE_MAX: Duration = Duration::from_secs(75);
/// The most bytes of a reply; a larger one is an error.
const REPLY_BYTES_MAX: usize = 256 << 20;

/// A client of one region. Clones are cheap and share its connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    endpoint: Endpoint,
    token: Option<String>,
    /// How long a reply may take, beyond what the request itself waits.
    patience: Duration,
}

impl Client {
    /// Makes a client of the region at `endpoint`. Connects when there is something to ask.
    #[must_use]
    pub fn new(endpoint: Endpoint, token: Option<String>) -> Self {
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("photon/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE_MAX)
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .tls_backend_preconfigured(client_tls(endpoint.trust()));
        if endpoint.is_loopback() {
            http = http.no_proxy();
        }
        let http = http.build().expect("the options go together");
        Self { http, endpoint, token, patience: REPLY_TIMEOUT }
    }

    /// Returns the same client, but of another region.
    #[must_use]
    pub fn at(&self, endpoint: Endpoint) -> Self {
        Self::new(endpoint, self.token.clone()).with_patience(self.patience)
    }

    /// Returns the same client, but waits for replies only so long, beyond what requests
    /// themselves wait.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Returns the address that the client talks to.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let request = self.http.request(method, self.endpoint.join(path));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request, and reads its reply as JSON. `wait` is what the request itself waits.
    async fn call<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        wait: Duration,
    ) -> Result<T, ClientError> {
        let request = request.header(ACCEPT, "application/json").timeout(wait + self.patience);
        let body = self.read(self.send(request).await?).await?;
        serde_json::from_slice(&body).map_err(|error| self.garbled(&error))
    }

    /// Sends a request to whose reply nothing is of interest but that it is good.
    async fn order(&self, request: RequestBuilder) -> Result<(), ClientError> {
        let request = request.header(ACCEPT, "application/json").timeout(self.patience);
        self.read(self.send(request).await?).await?;
        Ok(())
    }

    /// Sends a request, and turns anything but success into an error.
    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let reply = request.send().await.map_err(|error| match error.is_builder() {
            true => ClientError::Unsendable { cause: error.without_url() },
            false => self.unreachable(error),
        })?;
        let status = reply.status();
        if status.is_success() {
            return Ok(reply);
        }
        let body = self.read(reply).await?;
        let problem = serde_json::from_slice::<Problem>(&body).unwrap_or_else(|_| {
            let said = String::from_utf8_lossy(&body).chars().take(200).collect::<String>();
            Problem {
                title: status.canonical_reason().unwrap_or("An error").to_owned(),
                status: status.as_u16(),
                detail: format!("{} answered {status} {}", self.endpoint, said.trim()),
                ..Problem::default()
            }
        });
        Err(ClientError::Problem(Box::new(problem)))
    }

    async fn read(&self, mut reply: Response) -> Result<BytesMut, ClientError> {
        let mut body = BytesMut::new();
        while let Some(bytes) = reply.chunk().await.map_err(|error| self.unreachable(error))? {
            if REPLY_BYTES_MAX < body.len() + bytes.len() {
                let what = format!("more than {REPLY_BYTES_MAX} bytes");
                return Err(ClientError::Garbled { endpoint: self.endpoint.clone(), what });
            }
            body.extend_from_slice(&bytes);
        }
        Ok(body)
    }

    fn unreachable(&self, error: reqwest::Error) -> ClientError {
        // The address is told once, by our own error.
        let cause = error.without_url();
        ClientError::Unreachable { endpoint: self.endpoint.clone(), cause }
    }

    fn garbled(&self, what: &dyn std::fmt::Display) -> ClientError {
        ClientError::Garbled { endpoint: self.endpoint.clone(), what: what.to_string() }
    }
}
