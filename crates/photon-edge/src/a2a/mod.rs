//! The front door for unmodified clients of A2A 1.0, over JSON-RPC, HTTP+JSON and gRPC: durable
//! tasks.
//! Must not keep tasks, nor decide anything about them.
//!
//! [`rpc`], [`rest`] and [`grpc`] decode a request ([`incoming`]) into one of the operations
//! ([`calls`], [`list`]), which ask the region; [`task`] and [`updates`] say its answers in the
//! words of A2A, and [`fault`] has the one table of errors. `docs/a2a.md` is the page for users.

mod calls;
pub(crate) mod card;
mod extensions;
mod fault;
mod find;
mod grpc;
mod incoming;
mod list;
mod message;
pub(crate) mod notify;
mod proto_names;
mod push;
mod rest;
mod routing;
mod rpc;
mod signed;
mod sse;
mod task;
#[cfg(test)]
mod tests;
mod turned;
mod updates;
mod v03;
mod v03_push;

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{get, post};

pub use signed::{CardKey, CardKeyError};
pub(crate) use turned::Form;

use crate::Front;

/// Returns the routes of A2A: those of Photon itself, and those of each agent.
pub(crate) fn router() -> Router<Front> {
    let of_photon =
        door().route(CARD, get(card::of_photon)).route(CARD_OF_V03, get(card::of_photon_in_v03));
    let of_agent =
        door().route(CARD, get(card::of_agent)).route(CARD_OF_V03, get(card::of_agent_in_v03));
    Router::new()
        .route(CARD, get(card::of_host))
        .route(signed::KEYS, get(card::keys))
        .nest("/a2a", of_photon)
        .nest("/agents/{name}", of_agent)
        // Some clients put a slash at the end of the address that the card gives.
        .route("/a2a/", post(rpc::serve))
        .route("/agents/{name}/", post(rpc::serve))
        .route(grpc::ROUTE, post(grpc::serve))
        .layer(from_fn(extensions::echo))
}

/// Where a card lies below the address of whom it describes.
const CARD: &str = "/.well-known/agent-card.json";

/// The same for clients of 0.3, who look for it below the address that they are given.
const CARD_OF_V03: &str = "/v0.3/.well-known/agent-card.json";

/// Returns the routes of one address: JSON-RPC at the address itself, HTTP+JSON below it, and
/// once more below a tenant.
fn door() -> Router<Front> {
    Router::new()
        .route("/", post(rpc::serve))
        .merge(rest::routes())
        .nest("/{tenant}", rest::routes())
}
