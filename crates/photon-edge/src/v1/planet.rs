//! `/v1/planet`: what all regions agree on: members, voters, and who is the home of how much.
//! Must not decide anything: the leader of the group does.

use axum::Json;
use axum::extract::State;
use photon_region::{Command, Govern, MemberView, PlacementView, PlanetView, Reply};
use photon_state::RegionId;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::errors::{Absent, Always, Body, Conflict};
use super::regions::NoParams;
use super::types::{MemberPost, Planet, PlanetMember, PlanetPlacement, VotersPut};
use crate::Front;
use crate::body::{self, Params, Segment};
use crate::names::{self, Invalid};
use crate::problem::{Declined, Stood};

pub(super) fn router() -> OpenApiRouter<Front> {
    OpenApiRouter::default()
        .routes(routes!(show))
        .routes(routes!(add))
        .routes(routes!(remove))
        .routes(routes!(drain, undrain))
        .routes(routes!(adopt))
        .routes(routes!(rebalance))
        .routes(routes!(vote))
}

/// Whether to do what would else be refused.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ForceParams {
    /// `true` to do what would else be refused because tasks would have no home.
    #[param(value_type = bool, required = false)]
    force: Option<String>,
}

impl ForceParams {
    fn is_forced(&self) -> Result<bool, Declined> {
        match self.force.as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Invalid::new("force", "is `true` or `false`").problem(Stood::Outside)),
        }
    }
}

/// Show what all regions agree on.
#[utoipa::path(
    get, path = "/v1/planet", tag = "regions", operation_id = "get_planet",
    responses((status = 200, description = "The planet", body = Planet), Always),
)]
async fn show(State(front): State<Front>, _: Params<NoParams>) -> Result<Json<Planet>, Declined> {
    govern(&front, Govern::Show).await
}

/// Make a region a member of the planet.
///
/// It learns what all agree on, and may then be given shards and a vote.
#[utoipa::path(
    post, path = "/v1/planet/members", tag = "regions", operation_id = "add_member",
    request_body = MemberPost,
    responses(
        (status = 200, description = "The planet as it has become", body = Planet),
        Always, Body, Conflict,
    ),
)]
async fn add(
    State(front): State<Front>,
    _: Params<NoParams>,
    body::Json(asked): body::Json<MemberPost>,
) -> Result<Json<Planet>, Declined> {
    let region = names::region("region", &asked.region);
    let region = region.map_err(|err| err.problem(Stood::Inside))?;
    govern(&front, Govern::Add { region }).await
}

/// Remove a region from the planet, once it is drained and does not vote.
#[utoipa::path(
    delete, path = "/v1/planet/members/{region}", tag = "regions", operation_id = "remove_member",
    params(("region" = String, Path, description = "The region",
        pattern = "^[a-z][a-z0-9-]{0,22}$", example = "eu-west-1"), ForceParams),
    responses(
        (status = 200, description = "The planet as it has become", body = Planet),
        Always, Conflict,
    ),
)]
async fn remove(
    State(front): State<Front>,
    Segment(region): Segment,
    Params(params): Params<ForceParams>,
) -> Result<Json<Planet>, Declined> {
    let (region, is_forced) = (in_path(&region)?, params.is_forced()?);
    govern(&front, Govern::Remove { region, is_forced }).await
}

/// Give the homes of a region to others, and spare it by new work.
///
/// The reply comes when all agree on the new homes; `is_settled` says when they have taken over.
#[utoipa::path(
    put, path = "/v1/planet/members/{region}/drain", tag = "regions",
    operation_id = "drain_member",
    params(("region" = String, Path, description = "The region",
        pattern = "^[a-z][a-z0-9-]{0,22}$", example = "eu-west-1"), ForceParams),
    responses(
        (status = 200, description = "The planet as it has become", body = Planet),
        Always, Absent, Conflict,
    ),
)]
async fn drain(
    State(front): State<Front>,
    Segment(region): Segment,
    Params(params): Params<ForceParams>,
) -> Result<Json<Planet>, Declined> {
    let (region, is_forced) = (in_path(&region)?, params.is_forced()?);
    govern(&front, Govern::Drain { region, is_forced }).await
}

/// Let a region that was drained be the home of tasks again; it gets some by a rebalance.
#[utoipa::path(
    delete, path = "/v1/planet/members/{region}/drain", tag = "regions",
    operation_id = "undrain_member",
    params(("region" = String, Path, description = "The region",
        pattern = "^[a-z][a-z0-9-]{0,22}$", example = "eu-west-1")),
    responses(
        (status = 200, description = "The planet as it has become", body = Planet),
        Always, Absent,
    ),
)]
async fn undrain(
    State(front): State<Front>,
    Segment(region): Segment,
    _: Params<NoParams>,
) -> Result<Json<Planet>, Declined> {
    govern(&front, Govern::Undrain { region: in_path(&region)? }).await
}

/// Spread the shards of every placement evenly over its regions that live.
#[utoipa::path(
    post, path = "/v1/planet/rebalance", tag = "regions", operation_id = "rebalance",
    responses((status = 200, description = "The planet as it has become", body = Planet), Always),
)]
async fn rebalance(
    State(front): State<Front>,
    _: Params<NoParams>,
) -> Result<Json<Planet>, Declined> {
    govern(&front, Govern::Rebalance).await
}

/// Agree on placements as the region that leads has them in its configuration.
///
/// Whoever has a placement configured otherwise decides about none of its tasks.
#[utoipa::path(
    post, path = "/v1/planet/adopt", tag = "regions", operation_id = "adopt_placements",
    responses(
        (status = 200, description = "The planet as it has become", body = Planet),
        Always, Absent,
    ),
)]
async fn adopt(State(front): State<Front>, _: Params<NoParams>) -> Result<Json<Planet>, Declined> {
    govern(&front, Govern::Adopt).await
}

/// Say which regions vote on what all agree on.
#[utoipa::path(
    put, path = "/v1/planet/voters", tag = "regions", operation_id = "put_voters",
    request_body = VotersPut,
    responses(
        (status = 200, description = "The planet as it has become", body = Planet),
        Always, Absent, Body, Conflict,
    ),
)]
async fn vote(
    State(front): State<Front>,
    _: Params<NoParams>,
    body::Json(asked): body::Json<VotersPut>,
) -> Result<Json<Planet>, Declined> {
    let voters = asked.voters.iter().map(|it| names::region("voters", it));
    let voters = voters.collect::<Result<_, Invalid>>();
    let voters = voters.map_err(|err| err.problem(Stood::Inside))?;
    govern(&front, Govern::Voters { voters, is_forced: asked.force }).await
}

fn in_path(region: &str) -> Result<RegionId, Declined> {
    names::region("region", region).map_err(|err| err.problem(Stood::Outside))
}

async fn govern(front: &Front, wanted: Govern) -> Result<Json<Planet>, Declined> {
    let Reply::Planet(view) = front.submit(Command::Govern(wanted)).await? else {
        unreachable!("the region answers `Govern` with the planet")
    };
    Ok(Json(encode(front.region(), &view)))
}

fn encode(here: RegionId, view: &PlanetView) -> Planet {
    let member = |it: &MemberView| PlanetMember {
        region: it.region.to_string(),
        is_voter: it.is_voter,
        is_down: it.is_down,
        is_draining: it.is_draining,
        is_settled: it.is_settled,
        shards: it.shards as u64,
    };
    let placement = |it: &PlacementView| PlanetPlacement {
        placement: it.placement.to_string(),
        regions: it.regions.iter().map(ToString::to_string).collect(),
        is_configured: it.is_configured,
    };
    Planet {
        here: here.to_string(),
        decree: view.decree,
        leader: view.leader.map(|it| it.to_string()),
        members: view.members.iter().map(member).collect(),
        placements: view.placements.iter().map(placement).collect(),
    }
}
