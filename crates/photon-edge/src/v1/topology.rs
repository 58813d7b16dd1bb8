//! `/v1/replication/topology`: who sends whose changes to whom.
//! Must not lay it out: the region does.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use photon_region::{Command, FlowView, LinkView, Reply, TopologyView};
use photon_state::RegionId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::errors::Always;
use super::regions::NoParams;
use super::types::{Topology, TopologyFlow, TopologyLink, TopologySend};
use crate::Front;
use crate::body::Params;
use crate::problem::Declined;

pub(super) fn router() -> OpenApiRouter<Front> {
    OpenApiRouter::default().routes(routes!(show))
}

/// Show who sends whose changes to whom, as this region sees it.
#[utoipa::path(
    get, path = "/v1/replication/topology", tag = "regions", operation_id = "get_topology",
    responses((status = 200, description = "The topology", body = Topology), Always),
)]
async fn show(State(front): State<Front>, _: Params<NoParams>) -> Result<Json<Topology>, Declined> {
    let Reply::Topology(view) = front.submit(Command::Topology).await? else {
        unreachable!("the region answers `Topology` with a topology")
    };
    Ok(Json(encode(front.region(), &view)))
}

fn encode(here: RegionId, view: &TopologyView) -> Topology {
    let half = |it: &LinkView| (it.regions, it.round_trip.as_secs_f64() * 500.0);
    let delays: BTreeMap<[RegionId; 2], f64> = view.links.iter().map(half).collect();
    Topology {
        here: here.to_string(),
        topology: view.topology.name().to_owned(),
        configured_otherwise: view.otherwise.iter().map(ToString::to_string).collect(),
        links: view.links.iter().map(link).collect(),
        flows: view.flows.iter().map(|it| flow(it, &delays)).collect(),
    }
}

fn link(link: &LinkView) -> TopologyLink {
    let [a, b] = link.regions.map(|it| it.to_string());
    TopologyLink {
        a,
        b,
        is_up: link.is_up,
        round_trip_ms: link.round_trip.as_secs_f64() * 1e3,
        is_measured: link.is_measured,
    }
}

fn flow(flow: &FlowView, delays: &BTreeMap<[RegionId; 2], f64>) -> TopologyFlow {
    let send = |(from, to): &(RegionId, RegionId)| TopologySend {
        from: from.to_string(),
        to: to.to_string(),
        delay_ms: delays.get(&[*from.min(to), *from.max(to)]).copied().unwrap_or_default(),
    };
    TopologyFlow {
        placement: flow.placement.to_string(),
        origin: flow.origin.to_string(),
        is_mutual: flow.is_mutual,
        sends: flow.sends.iter().map(send).collect(),
        unreached: flow.unreached.iter().map(ToString::to_string).collect(),
    }
}
