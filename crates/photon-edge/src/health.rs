//! What machines ask first: is it alive, is it ready.
//! Must not know what makes a region healthy: the view says so.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::problem::{Declined, Kind, PROBLEM_JSON};
use crate::v1::types::{Problem, WarningCode};
use crate::warnings::warnings;
use crate::{Failure, Front};

/// Returns the routes of health.
pub(crate) fn router() -> OpenApiRouter<Front> {
    OpenApiRouter::default().routes(routes!(alive)).routes(routes!(ready))
}

/// How the process is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Health {
    /// How it is.
    pub(crate) status: HealthStatus,
    /// The region that answers.
    pub(crate) region: String,
    /// The version of Photon that answers.
    pub(crate) version: String,
    /// What is not as it should be although it takes work; `GET /v1/replication` says more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<WarningCode>,
}

/// How the process is, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HealthStatus {
    /// It answers.
    Alive,
    /// It takes work.
    Ready,
}

fn health(front: &Front, status: HealthStatus, warnings: Vec<WarningCode>) -> Json<Health> {
    let (region, version) = (front.region().to_string(), front.planet().version.clone());
    Json(Health { status, region, version, warnings })
}

/// Whether the process is alive.
#[utoipa::path(
    get, path = "/healthz", tag = "health",
    responses((status = 200, description = "It is alive", body = Health)),
)]
async fn alive(State(front): State<Front>) -> Json<Health> {
    health(&front, HealthStatus::Alive, Vec::new())
}

/// Whether the region takes work.
#[utoipa::path(
    get, path = "/readyz", tag = "health",
    responses(
        (status = 200, description = "It takes work", body = Health),
        (status = 503, description = "It starts or stops, or its disk is full", body = Problem,
            content_type = PROBLEM_JSON),
    ),
)]
async fn ready(State(front): State<Front>) -> Result<Json<Health>, Declined> {
    if front.stopping().is_cancelled() {
        return Err(Failure::Stopping.into());
    }
    if front.view().is_disk_full {
        let detail = "the disk is full: writes are refused until there is room; reads go on";
        return Err(Kind::DiskFull.problem(detail).into());
    }
    // Strangers may ask: they hear in a word what, and not of whom.
    let codes: BTreeSet<WarningCode> = warnings(&front.view()).iter().map(|it| it.code).collect();
    Ok(health(&front, HealthStatus::Ready, codes.into_iter().collect()))
}
