//! An A2A server, as its card describes it.
//! Must not know what tasks are asked of it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use a2a::{A2AError, AgentCard, AgentInterface};
use a2a_client::jsonrpc::JsonRpcTransportFactory;
use a2a_client::rest::RestTransportFactory;
use a2a_client::{A2AClient, A2AClientFactory, Transport};
use photon_edge::{Trust, client_tls};
use reqwest::header::HeaderMap;
use reqwest::{StatusCode, Url};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::backoff::Backoff;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a card may take.
const CARD_WITHIN: Duration = Duration::from_secs(15);
/// How often a connection on which nothing happens is looked after: work may take hours.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// For how long a server is believed to be there that has said so.
const FRESH_FOR: Duration = Duration::from_secs(1);
/// The most bytes of a card.
const CARD_BYTES_MAX: usize = 1 << 20;
/// Where servers have their cards.
const WELL_KNOWN: &str = ".well-known/agent-card.json";
/// Where those of older versions of A2A have them.
const WELL_KNOWN_BEFORE: &str = ".well-known/agent.json";

/// An A2A server.
pub struct Peer {
    /// Where its card is.
    pub card_url: Url,
    /// Its card, as it is.
    pub json: Value,
    /// Its card.
    pub card: AgentCard,
    /// What is spoken with it, and where.
    pub interface: AgentInterface,
    http: reqwest::Client,
    client: A2AClient<Box<dyn Transport>>,
    /// Whether it did not answer when it was last asked.
    is_in_doubt: AtomicBool,
    /// When it said last that it is there.
    heard_at: Mutex<Option<Instant>>,
}

/// Why an address is of no use.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// Nobody answers there.
    #[error("cannot reach `{url}`: {cause}")]
    Unreachable {
        /// What was asked for.
        url: Url,
        /// Why.
        cause: String,
    },
    /// There is no card.
    #[error("`{url}` answers {status}: there is no agent card")]
    NoCard {
        /// What was asked for.
        url: Url,
        /// The answer.
        status: StatusCode,
    },
    /// What is there is no card.
    #[error("what `{url}` answers is not an agent card of A2A 1.0: {what}")]
    NotCard {
        /// What was asked for.
        url: Url,
        /// What is wrong with it.
        what: String,
    },
    /// It is no address of a server.
    #[error("`{0}` is no address of an A2A server: write it as https://agents.example.com/name")]
    Scheme(Url),
    /// Its card names an address of another server, to which what is said here is not for.
    #[error(
        "the card at `{card_url}` has the agent at `{origin}`: if that is right, say so with \
         --trust-origin {origin}"
    )]
    OtherOrigin {
        /// Where the card is.
        card_url: Url,
        /// Where the agent would be.
        origin: String,
    },
    /// It speaks what we do not.
    #[error("the agent speaks {offered}: Photon asks agents by A2A 1.0 over JSONRPC or HTTP+JSON")]
    NoCommonInterface {
        /// What it speaks.
        offered: String,
    },
}

impl Peer {
    /// Reads the card of the server at a URL: that of the card, or one below which it is. Headers
    /// are shown where that is, and at those other origins that are `trusted`.
    pub async fn find(url: &Url, headers: HeaderMap, trusted: &[Url]) -> Result<Self, PeerError> {
        if !["http", "https"].contains(&url.scheme()) {
            return Err(PeerError::Scheme(url.clone()));
        }
        let has_headers = !headers.is_empty();
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("photon/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_keepalive(KEEPALIVE)
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .tls_backend_preconfigured(client_tls(Trust::Machine));
        if crate::client::is_loopback(url) {
            http = http.no_proxy();
        }
        let http = http.build().expect("the options go together");
        let (card_url, json) = card_near(&http, url).await?;
        let not_card = |what: String| PeerError::NotCard { url: card_url.clone(), what };
        if json.get("supportedInterfaces").is_none() {
            let version = json.get("protocolVersion").and_then(Value::as_str);
            return Err(match version {
                Some(version) => PeerError::NoCommonInterface { offered: format!("A2A {version}") },
                None => not_card("it has no `supportedInterfaces`".to_owned()),
            });
        }
        let card: AgentCard =
            serde_json::from_value(json.clone()).map_err(|error| not_card(error.to_string()))?;
        let factory = A2AClientFactory::builder()
            .no_defaults()
            .register(Arc::new(JsonRpcTransportFactory::new(Some(http.clone()))))
            .register(Arc::new(RestTransportFactory::new(Some(http.clone()))))
            .build();
        let made = factory.create_from_card_with_interface(&card).await;
        let Ok((client, interface)) = made else {
            let named = card.supported_interfaces.iter();
            let named = named.map(|it| format!("{} {}", it.protocol_binding, it.protocol_version));
            let offered = named.collect::<Vec<_>>().join(", ");
            return Err(PeerError::NoCommonInterface { offered });
        };
        let there: Url = interface
            .url
            .parse()
            .map_err(|_| not_card(format!("`{}` is no URL", interface.url)))?;
        let origin = there.origin();
        let is_open = card_url.scheme() == "https" && there.scheme() == "http";
        let is_foreign =
            origin != card_url.origin() && trusted.iter().all(|it| it.origin() != origin);
        if is_foreign && (has_headers || is_open) {
            let origin = origin.ascii_serialization();
            return Err(PeerError::OtherOrigin { card_url, origin });
        }
        let is_in_doubt = AtomicBool::new(false);
        let heard_at = Mutex::default();
        Ok(Self { card_url, json, card, interface, http, client, is_in_doubt, heard_at })
    }

    /// A server that streams or not, and is talked to by other means.
    #[cfg(test)]
    pub(super) fn scripted(transport: Box<dyn Transport>, streams: Option<bool>) -> Self {
        let json = serde_json::json!({
            "name": "fake", "description": "", "version": "1", "skills": [],
            "supportedInterfaces": [],
            "defaultInputModes": [], "defaultOutputModes": [],
            "capabilities": { "streaming": streams },
        });
        let card = serde_json::from_value(json.clone()).expect("a card");
        let interface = AgentInterface::new("http://127.0.0.1:9/", "JSONRPC");
        let tls = client_tls(Trust::Nobody);
        let http = reqwest::Client::builder().tls_backend_preconfigured(tls).build();
        let heard_at = Mutex::new(Some(Instant::now() + CARD_WITHIN));
        Self {
            card_url: interface.url.parse().expect("a URL"),
            json,
            card,
            interface,
            http: http.expect("the options go together"),
            client: A2AClient::new(transport),
            is_in_doubt: AtomicBool::new(false),
            heard_at,
        }
    }

    /// Talks to the server.
    pub(super) fn client(&self) -> &A2AClient<Box<dyn Transport>> {
        &self.client
    }

    /// Whether the server tells of tasks as they go on.
    pub(super) fn streams(&self) -> bool {
        self.card.capabilities.streaming == Some(true)
    }

    /// Takes note that the server does not answer.
    pub(super) fn doubt(&self) {
        self.is_in_doubt.store(true, Ordering::Relaxed);
    }

    /// Whether the server did not answer when it was last asked.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.is_in_doubt.load(Ordering::Relaxed)
    }

    /// Asks the server whether it is there, unless it has just said so.
    pub(super) async fn answers(&self) -> Result<(), A2AError> {
        let heard_at = *self.heard_at.lock().unwrap_or_else(PoisonError::into_inner);
        if heard_at.is_some_and(|it| it.elapsed() < FRESH_FOR) {
            return Ok(());
        }
        let found = fetch(&self.http, self.card_url.clone()).await;
        found.map_err(|error| A2AError::internal(error.to_string()))?;
        *self.heard_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Ok(())
    }

    /// Waits until the server answers, if it is in doubt.
    pub(super) async fn is_back(&self) {
        let mut backoff = Backoff::default();
        while self.is_in_doubt() {
            match fetch(&self.http, self.card_url.clone()).await {
                Ok(_) => self.is_in_doubt.store(false, Ordering::Relaxed),
                Err(_) => sleep(backoff.next_pause()).await,
            }
        }
    }

    /// Returns the headers of the answer with the card.
    pub(super) async fn card_headers(&self) -> Result<HeaderMap, PeerError> {
        fetch(&self.http, self.card_url.clone()).await.map(|(headers, _)| headers)
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("interface", &self.interface).finish_non_exhaustive()
    }
}

/// Looks for a card where it may be: at the URL, below it, at its root, and where older ones are.
async fn card_near(http: &reqwest::Client, url: &Url) -> Result<(Url, Value), PeerError> {
    let mut places = Vec::new();
    if url.path().ends_with(".json") {
        places.push(url.clone());
    } else {
        let mut below = url.clone();
        if !below.path().ends_with('/') {
            below.set_path(&format!("{}/", url.path()));
        }
        let at = |base: &Url, path: &str| base.join(path).expect("a relative path");
        places.push(at(&below, WELL_KNOWN));
        let root = at(&below, &format!("/{WELL_KNOWN}"));
        if !places.contains(&root) {
            places.push(root);
        }
        places.push(at(&below, WELL_KNOWN_BEFORE));
    }
    let mut first_error = None;
    for place in places {
        match fetch(http, place.clone()).await {
            Ok((_, card)) => return Ok((place, card)),
            Err(error @ (PeerError::Unreachable { .. } | PeerError::NotCard { .. })) => {
                return Err(error);
            }
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.expect("there is at least one place"))
}

async fn fetch(http: &reqwest::Client, url: Url) -> Result<(HeaderMap, Value), PeerError> {
    let unreachable = |error: reqwest::Error| {
        let cause = crate::client::root(&error.without_url());
        PeerError::Unreachable { url: url.clone(), cause }
    };
    let request = http.get(url.clone()).timeout(CARD_WITHIN);
    let mut reply = request.send().await.map_err(unreachable)?;
    let (status, headers) = (reply.status(), reply.headers().clone());
    if !status.is_success() {
        return Err(PeerError::NoCard { url, status });
    }
    let mut body = Vec::new();
    while let Some(bytes) = reply.chunk().await.map_err(unreachable)? {
        if CARD_BYTES_MAX < body.len() + bytes.len() {
            let what = format!("it has more than {CARD_BYTES_MAX} bytes");
            return Err(PeerError::NotCard { url, what });
        }
        body.extend_from_slice(&bytes);
    }
    match serde_json::from_slice(&body) {
        Ok(card) => Ok((headers, card)),
        Err(error) => Err(PeerError::NotCard { url, what: error.to_string() }),
    }
}
