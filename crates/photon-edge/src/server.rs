//! The front door itself: the router, and the loop that accepts connections.
//! Must not know what a route does.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::{debug, warn};

use crate::problem::{Kind, PROBLEM_JSON};
use crate::{Front, a2a, ard, gate, grpc, mcp, v1};

/// How long a client may take over a request's head, and a kept connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long open requests may go on once the door closes; then they are cut off.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Streams of one HTTP/2 connection; further ones are refused by the protocol.
const H2_STREAMS_MAX: u32 = 256;

/// How often the peer of an HTTP/2 connection is asked whether it lives, and how long it may take.
const H2_PING: Duration = Duration::from_secs(20);

/// Refusals that are said at the same time; connections beyond them are closed without a word.
const REFUSALS_MAX: usize = 256;

/// How long a refused client may take to read why.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// How long to wait after a failure that the next connection may meet as well.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Returns all routes: `/v1`, A2A, MCP, ARD, gRPC, health and metrics.
pub fn router(front: Front) -> Router {
    let (v1, document) = v1::router(&front);
    let mcp = mcp::router(&front, v1.clone(), &document);
    v1.merge(v1::document_router(&document))
        .merge(a2a::router())
        .merge(ard::router())
        .merge(grpc::router())
        .merge(mcp)
        .fallback(gate::not_found)
        .method_not_allowed_fallback(gate::method_not_allowed)
        .layer(axum::middleware::from_fn_with_state(front.clone(), gate::pass))
        .with_state(front)
}

/// Serves clients until `stop`; then lets open requests end, for 5 seconds at most.
pub async fn serve(front: Front, listener: TcpListener, stop: CancellationToken) {
    front.tasks().spawn(a2a::notify::run(front.clone()));
    let door = Door::new(front);
    let next = || async { listener.accept().await.map(|(stream, _)| stream) };
    door.accept_all(next, &stop).await;
    drop(listener);
    door.front.stopping().cancel();
    door.front.tasks().close();
    if tokio::time::timeout(DRAIN_MAX, door.front.tasks().wait()).await.is_err() {
        warn!(open = door.front.tasks().len(), "connections were cut off");
    }
    door.cut_off.cancel();
    door.front.tasks().wait().await;
}

/// What the connections of a front door share.
struct Door {
    front: Front,
    router: Router,
    builder: Builder<TokioExecutor>,
    places: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    cut_off: CancellationToken,
}

impl Door {
    fn new(front: Front) -> Self {
        let limits = *front.limits();
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(limits.header_bytes_max.max(8 << 10));
        let head_bytes_max = u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_header_list_size(head_bytes_max)
            .max_concurrent_streams(H2_STREAMS_MAX)
            .keep_alive_interval(H2_PING)
            .keep_alive_timeout(H2_PING);
        Self {
            router: router(front.clone()),
            front,
            builder,
            places: Arc::new(Semaphore::new(limits.connections_max)),
            refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
            cut_off: CancellationToken::new(),
        }
    }

    /// Admits one connection after the other, whatever befalls some of them.
    async fn accept_all<F>(&self, next: impl Fn() -> F, stop: &CancellationToken)
    where
        F: Future<Output = io::Result<TcpStream>>,
    {
        while let Some(accepted) = stop.run_until_cancelled(next()).await {
            match accepted {
                Ok(stream) => self.admit(stream),
                Err(err) => endure(&err).await,
            }
        }
    }

    fn admit(&self, stream: TcpStream) {
        match self.places.clone().try_acquire_owned() {
            Ok(place) => {
                let connection = Connection {
                    front: self.front.clone(),
                    router: self.router.clone(),
                    builder: self.builder.clone(),
                    cut_off: self.cut_off.clone(),
                    _place: place,
                };
                self.front.tasks().spawn(connection.run(stream));
            }
            Err(_) => self.refuse(stream),
        }
    }

    fn refuse(&self, mut stream: TcpStream) {
        self.front.meter().refused();
        let Ok(permit) = self.refusals.clone().try_acquire_owned() else { return };
        let refusing = async move {
            stream.write_all(refusal().as_bytes()).await?;
            stream.shutdown().await?;
            // Closing with unread bytes would reset the connection and lose the answer.
            let mut unread = [0; 1024];
            while stream.read(&mut unread).await? != 0 {}
            io::Result::Ok(())
        };
        self.front.tasks().spawn(async move {
            // A client that is too slow to hear why is closed without.
            let _ = tokio::time::timeout(REFUSAL_TIMEOUT, refusing).await;
            drop(permit);
        });
    }
}

/// Passes over what is wrong with one connection. Anything else, such as a want of sockets, may
/// pass: a region that serves nobody new for a while still serves those that it has.
pub(crate) async fn endure(err: &io::Error) {
    use io::ErrorKind as E;
    if [E::ConnectionAborted, E::ConnectionReset, E::Interrupted].contains(&err.kind()) {
        debug!(%err, "a connection ended before it was accepted");
        return;
    }
    warn!(%err, "no connection can be accepted");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

/// Returns what a client hears when too many connections are open.
fn refusal() -> String {
    let detail = "too many connections are open; close one, or try again";
    let problem = Kind::TooManyConnections.problem(detail);
    let body = serde_json::to_string(&problem).expect("text and numbers can be written as json");
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: {PROBLEM_JSON}\r\nretry-after: 1\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len(),
    )
}

/// One connection of a client.
struct Connection {
    front: Front,
    router: Router,
    builder: Builder<TokioExecutor>,
    cut_off: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        self.front.meter().connected();
        // Answers are small and awaited: they must not wait for each other.
        if let Err(err) = stream.set_nodelay(true) {
            debug!(%err, "nodelay could not be set");
        }
        self.cut_off.run_until_cancelled(self.talk(stream)).await;
        self.front.meter().disconnected();
    }

    async fn talk(&self, stream: TcpStream) {
        // The builder waits without a bound for the bytes that tell HTTP/1 from HTTP/2.
        let has_asked = Arc::new(AtomicBool::new(false));
        let asked = has_asked.clone();
        let service = self.router.clone().map_request(move |request: hyper::Request<_>| {
            asked.store(true, Ordering::Relaxed);
            request.map(axum::body::Body::new)
        });
        let service = TowerToHyperService::new(service);
        let stream = TokioIo::new(stream);
        let mut talk = pin!(self.builder.serve_connection_with_upgrades(stream, service));
        let mut first = pin!(tokio::time::sleep(HEAD_TIMEOUT + H2_PING));
        let mut is_waiting = true;
        let mut is_closing = false;
        loop {
            tokio::select! {
                ended = talk.as_mut() => {
                    if let Err(err) = ended {
                        debug!(%err, "a connection broke");
                    }
                    return;
                }
                () = &mut first, if is_waiting => {
                    is_waiting = false;
                    if !has_asked.load(Ordering::Relaxed) {
                        return;
                    }
                }
                () = self.front.stopping().cancelled(), if !is_closing => {
                    is_closing = true;
                    talk.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::AtomicUsize;

    use photon_node::Handle;
    use photon_state::RegionId;

    use super::*;
    use crate::{FrontConfig, FrontLimits, PlanetInfo};

    fn door() -> Door {
        let planet = PlanetInfo {
            name: "test".to_owned(),
            region: RegionId::try_from("eu-west-1").unwrap(),
            url: None,
            regions: Vec::new(),
            placements: BTreeMap::new(),
            version: "0.0.0".to_owned(),
        };
        let handle = Handle::from_fn(|command| panic!("nobody asks: {command:?}"));
        let limits = FrontLimits::default();
        Door::new(Front::new(FrontConfig {
            handle,
            planet,
            tokens: Vec::new(),
            limits,
            push_targets: crate::PushTargets::Any,
            ard: crate::ArdConfig::alone("dev.localhost"),
            card_key: None,
        }))
    }

    #[tokio::test]
    async fn no_failure_to_accept_ends_the_door() {
        let stop = CancellationToken::new();
        let asked = AtomicUsize::new(0);
        let next = || async {
            match asked.fetch_add(1, Ordering::Relaxed) {
                0 => Err(io::ErrorKind::ConnectionAborted.into()),
                1 => Err(io::Error::other("the kernel is in a mood")),
                _ => {
                    stop.cancel();
                    std::future::pending().await
                }
            }
        };
        door().accept_all(next, &stop).await;
        assert_eq!(asked.into_inner(), 3);
    }
}
