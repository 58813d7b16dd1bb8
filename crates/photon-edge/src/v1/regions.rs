//! `/v1/regions`: where the planet is, and how it looks from here.
//! Must not judge health: the view says who is linked.

use axum::Json;
use axum::extract::State;
use photon_region::{PeerVerdict, PeerView, Refusal, View};
use photon_state::RegionId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::errors::{Absent, Always};
use super::replication::millis;
use super::types::{Problem, Region, RegionCounts, RegionHealth, RegionVerdict, Regions};
use crate::body::{Params, Segment};
use crate::names;
use crate::problem::{Declined, Kind, Stood};
use crate::warnings::{clock_off, way};
use crate::{Front, RegionInfo};

pub(super) fn router() -> OpenApiRouter<Front> {
    OpenApiRouter::default().routes(routes!(list)).routes(routes!(show))
}

/// No query parameters; given ones are refused.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoParams {}

/// List all regions of the planet.
#[utoipa::path(
    get, path = "/v1/regions", tag = "regions", operation_id = "list_regions",
    responses((status = 200, description = "The regions", body = Regions), Always),
)]
async fn list(State(front): State<Front>, _: Params<NoParams>) -> Json<Regions> {
    let (planet, view) = (front.planet(), front.view());
    let placements = planet.placements.iter().map(|(placement, members)| {
        (placement.to_string(), members.iter().map(ToString::to_string).collect())
    });
    Json(Regions {
        planet: planet.name.clone(),
        version: planet.version.clone(),
        here: planet.region.to_string(),
        regions: planet.regions.iter().map(|it| region(&front, &view, it)).collect(),
        placements: placements.collect(),
    })
}

/// Show a region.
#[utoipa::path(
    get, path = "/v1/regions/{name}", tag = "regions", operation_id = "get_region",
    params(("name" = String, Path, description = "The region",
        pattern = "^[a-z][a-z0-9-]{0,22}$", example = "eu-west-1")),
    responses((status = 200, description = "The region", body = Region), Always, Absent),
)]
async fn show(
    State(front): State<Front>,
    Segment(name): Segment,
    _: Params<NoParams>,
) -> Result<Json<Region>, Declined> {
    let info = known(&front, "name", &name)?;
    Ok(Json(region(&front, &front.view(), info)))
}

/// Finds a region of this planet by its name.
pub(super) fn known<'a>(
    front: &'a Front,
    field: &str,
    name: &str,
) -> Result<&'a RegionInfo, Declined> {
    let region = names::region(field, name).map_err(|err| err.problem(Stood::Outside))?;
    front.region_info(region).ok_or_else(|| {
        let all: Vec<_> = front.planet().regions.iter().map(|it| it.name.to_string()).collect();
        let detail = format!("no region is named `{region}`; there are: {}", all.join(", "));
        Problem { field: Some(field.to_owned()), ..Kind::NoSuchRegion.problem(detail) }.into()
    })
}

fn region(front: &Front, view: &View, info: &RegionInfo) -> Region {
    let is_here = info.name == front.region();
    let peer = view.peers.iter().find(|it| it.region == info.name);
    let health = match peer {
        _ if is_here => RegionHealth::Here,
        Some(peer) if peer.is_linked => RegionHealth::Linked,
        Some(_) | None => RegionHealth::Unlinked,
    };
    Region {
        name: info.name.to_string(),
        city: info.city.clone(),
        country: info.country.clone(),
        continent: info.continent.clone(),
        latitude: info.latitude,
        longitude: info.longitude,
        privacy: info.privacy.clone(),
        api: info.api.clone(),
        health,
        trouble: match health {
            RegionHealth::Here => trouble_here(info.name, view),
            RegionHealth::Linked => peer.and_then(|it| it.clock_apart_ms).map(apart),
            RegionHealth::Unlinked => front.handle().link_trouble(info.name),
        },
        verdict: verdict(peer, view),
        since_ms: millis(peer.and_then(|it| it.verdict_for)),
        shards: peer.map_or(view.shards, |it| it.shards) as u64,
        round_trip_ms: peer.and_then(|it| it.round_trip).map(|it| it.as_secs_f64() * 1e3),
        lag_ops: peer.map_or(0, |it| it.lag_ops),
        lag_ms: millis(peer.and_then(|it| it.lag)),
        counts: is_here.then(|| counts(view)),
    }
}

/// Says what is wrong with the region that answers, if it is unknown to the others or its clock is
/// off.
fn trouble_here(region: RegionId, view: &View) -> Option<String> {
    let unknown = view.is_unknown.then(|| Refusal::NotAdmitted { region }.to_string());
    unknown.or_else(|| view.clock_off_ms.map(clock_off))
}

fn apart(ahead_ms: i64) -> String {
    let (secs, way) = (ahead_ms.unsigned_abs() as f64 / 1e3, way(ahead_ms));
    format!("its clock is {secs:.1} s {way} that of the region that answers")
}

fn verdict(peer: Option<&PeerView>, view: &View) -> RegionVerdict {
    let own = if view.clock_off_ms.is_some() { PeerVerdict::Degraded } else { PeerVerdict::Up };
    match peer.map_or(own, |it| it.verdict) {
        PeerVerdict::Up => RegionVerdict::Up,
        PeerVerdict::Degraded => RegionVerdict::Degraded,
        PeerVerdict::PathBad => RegionVerdict::PathBad,
        PeerVerdict::Down => RegionVerdict::Down,
    }
}

fn counts(view: &View) -> RegionCounts {
    let tasks = view.tasks.iter().map(|(state, n)| (state.as_str().to_owned(), *n as u64));
    RegionCounts {
        agents: view.agents as u64,
        agents_online: view.agents_online as u64,
        waiting: view.waiting as u64,
        tasks: tasks.collect(),
    }
}
