//! One post to one webhook: over connections to addresses that were checked, without redirects,
//! within bounds of time, and signed if its owner has given a key.
//! Must not decide whether to try again.
//!
//! Signatures are those of [Standard Webhooks](https://www.standardwebhooks.com) (HMAC-SHA256).

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use axum::http::{HeaderValue, Request, Uri, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use sha2::Sha256;
use tower::Service;

use super::PushTargets;
use crate::trust::{Trust, client_tls};

/// How long a connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long one post may take.
const POST_WITHIN: Duration = Duration::from_secs(15);
/// Bytes of an answer that are read, so that its connection can be used again.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// How long a connection is kept that nothing is sent on.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// How many of them are kept to one host.
const IDLE_PER_HOST_MAX: usize = 8;
/// What a key begins with, as Standard Webhooks writes it.
const KEY_PREFIX: &str = "whsec_";

/// What is posted.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    /// Where to.
    pub(crate) uri: Uri,
    /// Names it: whoever gets it twice knows by that.
    pub(crate) id: String,
    /// The type of what is posted: JSON of some kind.
    pub(crate) media_type: &'static str,
    /// Headers that the owner of the webhook has asked for.
    pub(crate) headers: Vec<(&'static str, HeaderValue)>,
    /// Signs it, if there is one.
    pub(crate) key: Option<Vec<u8>>,
    /// JSON.
    pub(crate) body: Bytes,
}

/// Why a post came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PostError {
    /// The address is none, or may not be posted to any more.
    #[error("{0}")]
    Address(String),
    /// It could not be sent.
    #[error("{0}")]
    Send(String),
    /// It was not taken.
    #[error("the webhook answered {0}")]
    Status(u16),
    /// The webhook is slow.
    #[error("the webhook took longer than {} s", POST_WITHIN.as_secs())]
    Slow,
}

/// Connects to what may be reached, and keeps connections for a while.
pub(crate) type HttpClient = Client<HttpsConnector<HttpConnector<Guarded>>, Full<Bytes>>;

/// Posts to webhooks.
#[derive(Clone, Debug)]
pub(crate) struct Poster {
    client: HttpClient,
    targets: PushTargets,
}

/// Makes a client that reaches only what may be reached. Reads the certificates that this machine
/// trusts: do it once.
pub(crate) fn http_client(targets: PushTargets) -> HttpClient {
    let mut http = HttpConnector::new_with_resolver(Guarded(targets));
    http.enforce_http(false);
    http.set_connect_timeout(Some(CONNECT_WITHIN));
    http.set_nodelay(true);
    let https =
        HttpsConnectorBuilder::new().with_tls_config(client_tls(Trust::Machine)).https_or_http();
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_MAX)
        .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
        .build(https.enable_http1().wrap_connector(http))
}

impl Poster {
    /// Makes one. Reads the certificates that this machine trusts: do it once.
    pub(crate) fn new(targets: PushTargets) -> Self {
        Self { client: http_client(targets), targets }
    }

    /// Posts something once.
    pub(crate) async fn post(&self, parcel: Parcel) -> Result<(), PostError> {
        // What was allowed when the webhook was made need not be so now.
        self.targets.check(&parcel.uri.to_string()).map_err(PostError::Address)?;
        match tokio::time::timeout(POST_WITHIN, self.send(parcel)).await {
            Ok(sent) => sent,
            Err(_) => Err(PostError::Slow),
        }
    }

    async fn send(&self, parcel: Parcel) -> Result<(), PostError> {
        let timestamp = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let timestamp = timestamp.unwrap_or_default().as_secs().to_string();
        let signature = parcel.key.as_deref().map(|key| {
            let signature = sign(key, &parcel.id, &timestamp, &parcel.body);
            ("webhook-signature", signature)
        });
        let mut request = Request::post(parcel.uri)
            .header(header::CONTENT_TYPE, parcel.media_type)
            .header(header::USER_AGENT, concat!("photon/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", parcel.id)
            .header("webhook-timestamp", timestamp);
        for (name, value) in parcel.headers {
            request = request.header(name, value);
        }
        if let Some((name, value)) = signature {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(parcel.body));
        let request = request.map_err(|err| PostError::Address(err.to_string()))?;
        let answer = self.client.request(request).await;
        let answer = answer.map_err(|err| PostError::Send(chain(&err)))?;
        let status = answer.status();
        let _ = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        if status.is_success() { Ok(()) } else { Err(PostError::Status(status.as_u16())) }
    }
}

/// Says an error with all its causes.
fn chain(err: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(err), |err| err.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Signs a post.
fn sign(key: &[u8], id: &str, timestamp: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key may have any length");
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}

/// Returns the key that a text stands for: `whsec_` and 24 to 64 bytes in base 64.
pub(crate) fn key_of(text: &str) -> Option<Vec<u8>> {
    let key = BASE64_STANDARD.decode(text.strip_prefix(KEY_PREFIX)?).ok()?;
    (24..=64).contains(&key.len()).then_some(key)
}

/// Resolves names as the machine does, and lets those addresses pass that may be posted to.
#[derive(Clone, Debug)]
pub(crate) struct Guarded(PushTargets);

impl Service<Name> for Guarded {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let targets = self.0;
        Box::pin(async move {
            let all = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<_> = all.filter(|it| targets.allows(it.ip())).collect();
            if allowed.is_empty() {
                let what = format!("`{}` has no public address", name.as_str());
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
            }
            Ok(allowed.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_standard() {
        // The example of the specification's own libraries.
        let key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signed = sign(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        for bad in ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAAA", "whsec_%"] {
            assert_eq!(key_of(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_not_posted_to_even_if_it_was_let_in() {
        let parcel = |url: &'static str| Parcel {
            uri: url.parse().unwrap(),
            id: "x".to_owned(),
            media_type: "application/json",
            headers: Vec::new(),
            key: None,
            body: Bytes::new(),
        };
        let poster = Poster::new(PushTargets::Public);
        // The system takes this for 127.0.0.1; it is no address by the rules of URLs.
        let refused = poster.post(parcel("http://127.1:9/")).await.unwrap_err().to_string();
        assert!(refused.contains("no public address"), "{refused}");
        let refused = poster.post(parcel("http://127.0.0.1:9/")).await.unwrap_err().to_string();
        assert!(refused.contains("use a public address"), "{refused}");
    }
}
