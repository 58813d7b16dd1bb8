//! The manifest of the planet: what it is, where it is asked, and its agents.
//! Must not search.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use serde_json::{Value, json};

use super::entry::{A2A_CARD, Imprint, MCP_CARD, REGISTRY};
use super::fault::Fault;
use crate::a2a::card;
use crate::{Front, gate, kept};

/// Agents in a manifest; the registry has the others.
const AGENTS_MAX: usize = 1_000;
/// Returns the address of this region as the client of a request knows it.
pub(super) fn base_of(front: &Front, request: &Request) -> String {
    let host = card::host(request.headers(), request.uri());
    card::base_url(front, host.as_ref()).trim_end_matches('/').to_owned()
}

/// Serves the manifest: strangers learn what there is to ask, and who may ask of whom.
pub(super) async fn show(State(front): State<Front>, request: Request) -> Result<Response, Fault> {
    let base = base_of(&front, &request);
    let local = front.ard().local(&front);
    let imprint = Imprint { local: &local, base: &base };
    let mut entries = own_entries(&front, &imprint);
    if gate::is_known(&front, request.headers()) {
        entries.extend(super::first_entries(&front, &base, AGENTS_MAX).await?);
    }
    let planet = front.planet();
    let manifest = json!({
        "specVersion": "1.0",
        "host": {"displayName": format!("Photon {}", planet.name)},
        "entries": entries,
    });
    let mut response = kept::answer(&front, request.headers(), manifest.to_string());
    let link = format!("<{base}/.well-known/ard.json>; rel=\"ard\"");
    if let Ok(link) = HeaderValue::from_str(&link) {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

/// Says to crawlers where the manifest is.
pub(super) async fn robots(State(front): State<Front>, request: Request) -> String {
    let base = base_of(&front, &request);
    let rules = "User-agent: *\nAllow: /.well-known/\nDisallow: /\n";
    format!("{rules}\nAgentmap: {base}/.well-known/ard.json\n")
}

/// Returns the entries of the planet itself: as an agent, as an MCP server, and as a registry.
fn own_entries(front: &Front, imprint: &Imprint<'_>) -> Vec<Value> {
    let (planet, base) = (front.planet(), imprint.base);
    let name = format!("Photon {}", planet.name);
    vec![
        json!({
            "identifier": imprint.urn("planet", "router"),
            "displayName": name,
            "type": A2A_CARD,
            "url": format!("{base}/.well-known/agent-card.json"),
            "description": "Gives work to the agent of this planet that fits it best, as a \
                durable task that outlives the loss of a region.",
            "representativeQueries": [
                "give a task to whichever agent has a skill",
                "run work that must not get lost",
            ],
            "version": planet.version,
        }),
        json!({
            "identifier": imprint.urn("planet", "mcp"),
            "displayName": format!("{name} over MCP"),
            "type": MCP_CARD,
            "description": "Finds agents, gives them tasks and follows those, as tools.",
            "representativeQueries": ["search for an agent", "send a task to an agent"],
            "version": planet.version,
            "data": {
                "name": "photon/planet",
                "title": name,
                "description": "Finds agents, gives them tasks and follows those.",
                "version": planet.version,
                "remotes": [{"type": "streamable-http", "url": format!("{base}/mcp")}],
            },
        }),
        json!({
            "identifier": imprint.urn("planet", "registry"),
            "displayName": format!("{name}: registry"),
            "type": REGISTRY,
            "url": imprint.registry(),
            "description": "Searches all agents of this planet, wherever they are.",
            "representativeQueries": [
                "search the agents of this planet",
                "which agents are online and what can they do",
            ],
            "version": planet.version,
        }),
    ]
}
