//! MCP at `/mcp`, over Streamable HTTP: 2026-07-28, which needs no sessions, and 2025-11-25.
//! What its tools do is asked of `/v1`, so that both say the same.
//! Must not decide, nor know how `/v1` comes by what it says.

mod api;
mod handler;
#[cfg(feature = "mcp-kit")]
mod kit;
mod resources;
mod schema;
mod tasks;
mod tools;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use http_body_util::Full;
use rmcp::ServerHandler;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};

use self::api::Api;
use self::handler::Handler;
use crate::problem::Kind;
use crate::v1::types::Problem;
use crate::{Front, body};

/// Sessions of clients that need one; more are refused until some have been idle for 5 minutes.
const SESSIONS_MAX: usize = 1_000;

/// Returns the route of MCP. `v1` are the routes that its tools ask, and `document` describes them.
pub(crate) fn router(front: &Front, v1: Router<Front>, document: &Bytes) -> Router<Front> {
    let api = Api::new(v1.with_state(front.clone()));
    let handler = Handler::new(front.clone(), api, document);
    #[cfg(feature = "mcp-kit")]
    if std::env::var_os(kit::WANTED).is_some() {
        return route(front, kit::Kit::new(handler));
    }
    route(front, handler)
}

fn route<H>(front: &Front, handler: H) -> Router<Front>
where
    H: ServerHandler + Clone + Send + Sync + 'static,
{
    let config = StreamableHttpServerConfig::default()
        .with_json_response(true)
        // The gate has looked at hosts and origins.
        .disable_allowed_hosts()
        .with_max_request_body_bytes(front.limits().body_bytes_max);
    let sessions = Arc::new(LocalSessionManager::default());
    let make = move || Ok(handler.clone());
    let service = StreamableHttpService::new(make, sessions.clone(), config);
    let door = Door { service, sessions };
    let serve = move |State(front): State<Front>, request: Request| {
        let door = door.clone();
        async move { door.serve(&front, request).await.unwrap_or_else(Problem::into_response) }
    };
    Router::new().route("/mcp", any(serve))
}

/// The way into MCP, which keeps the bounds of all others.
#[derive(Clone)]
struct Door<H> {
    service: StreamableHttpService<H, LocalSessionManager>,
    sessions: Arc<LocalSessionManager>,
}

impl<H: ServerHandler + Clone + Send + Sync + 'static> Door<H> {
    async fn serve(&self, front: &Front, request: Request) -> Result<Response, Problem> {
        let (mut parts, sent) = request.into_parts();
        let held = body::read(front, &parts.headers, sent).await?;
        let session = parts.headers.get("mcp-session-id").map(HeaderValue::to_str);
        let begins = !matches!(session, Some(Ok(_))) && names_initialize(&held);
        if begins && SESSIONS_MAX <= self.sessions.sessions.read().await.len() {
            let detail = format!("{SESSIONS_MAX} sessions are open, and no more may; try again");
            let max = Some(SESSIONS_MAX as u64);
            return Err(Problem { max, ..Kind::Overloaded.problem(detail) });
        }
        let bytes = held.bytes();
        // It counts among all bodies as long as the call does.
        parts.extensions.insert(Arc::new(held));
        let request = Request::from_parts(parts, Full::new(bytes));
        Ok(self.service.handle(request).await.map(Body::new))
    }
}

/// Whether a body may begin a session.
fn names_initialize(body: &[u8]) -> bool {
    const NAME: &[u8] = b"initialize\"";
    body.windows(NAME.len()).any(|it| it == NAME)
}
