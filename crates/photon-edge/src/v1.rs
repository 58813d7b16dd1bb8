//! The JSON API of Photon itself, under `/v1`.
//! Must not decide anything: each handler decodes, submits a command, and encodes the reply.

pub(crate) mod agents;
mod data;
mod datasets;
mod dead_letters;
pub(crate) mod errors;
mod events;
pub(crate) mod leases;
mod message;
pub(crate) mod messages;
mod moves;
mod openapi;
mod planet;
mod regions;
mod replication;
mod route;
mod tasks;
pub(crate) mod topics;
mod topology;
pub mod types;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use bytes::Bytes;
use utoipa_axum::router::OpenApiRouter;

use crate::{Front, health, metrics};

/// Returns the routes with the OpenAPI document that describes them.
pub(crate) fn router(front: &Front) -> (Router<Front>, Bytes) {
    let router = OpenApiRouter::with_openapi(openapi::head(front))
        .merge(regions::router())
        .merge(planet::router())
        .merge(topology::router())
        .merge(replication::router())
        .merge(agents::router())
        .merge(tasks::router())
        .merge(route::router())
        .merge(dead_letters::router())
        .merge(events::router())
        .merge(leases::router())
        .merge(topics::router())
        .merge(messages::router())
        .merge(datasets::router())
        .merge(moves::router())
        .merge(data::router())
        .merge(health::router())
        .merge(metrics::router());
    let (router, document) = router.split_for_parts();
    (router.merge(messages::socket_router()), openapi::finish(front, &document))
}

/// Returns the route of the OpenAPI document.
pub(crate) fn document_router(document: &Bytes) -> Router<Front> {
    let document = document.clone();
    let show = move || async move { ([(CONTENT_TYPE, "application/json")], document) };
    Router::new().route("/v1/openapi.json", get(show))
}
