//! Agent Cards: that of an agent as its operator gave it, but with this region's addresses; and
//! that of Photon itself. Must not know how an operation is served at those addresses.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::a2a::{
    AgentCapabilities, AgentCard, AgentInterface, AgentProvider, AgentSkill,
    TRANSPORT_PROTOCOL_GRPC, TRANSPORT_PROTOCOL_HTTP_JSON, TRANSPORT_PROTOCOL_JSONRPC,
};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::header::{HOST, LAST_MODIFIED};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::Response;
use photon_region::{Agent, Command, Reply, Skill};
use photon_state::Hlc;
use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use super::extensions;
use super::fault::{Fault, Kind};
use super::incoming::Door;
use super::signed::{self, CardKey};
use super::v03;
use crate::time::http_date;
use crate::{Front, gate, kept, names};

/// Skills on the card of Photon; further ones are left out.
const SKILLS_MAX: usize = 256;
/// Agents that are looked at for them; further ones are left out.
const AGENTS_MAX: usize = 1_000;
/// Bytes of agents' cards that are read for descriptions; skills of further ones are only named.
const CARD_BYTES_MAX: usize = 1 << 20;

/// A card, and when its agent registered it, if there is one.
type Dated = (Value, Option<Hlc>);

/// Serves the card of whom the host is the address of.
pub(super) async fn of_host(State(front): State<Front>, request: Request) -> Response {
    let host = host(request.headers(), request.uri());
    let Door::Agent(name) = Door::of_host(&front, host.as_ref()) else {
        return of_photon(State(front), request).await;
    };
    let card = match gate::is_known(&front, request.headers()) {
        true => agent_card(&front, &name, &base_url(&front, host.as_ref())).await,
        false => {
            let message = "the cards of agents are for those with a token";
            Err(Fault::new(Kind::Unauthorized, message))
        }
    };
    answer(&front, request.headers(), card)
}

/// Serves the card of Photon itself.
pub(super) async fn of_photon(State(front): State<Front>, request: Request) -> Response {
    let base = base_url(&front, host(request.headers(), request.uri()).as_ref());
    // Strangers may learn where to ask; what the planet can do is for those who may ask.
    let tells_skills = gate::is_known(&front, request.headers());
    let card = photon_card(&front, &base, tells_skills).await;
    // It changes with every agent, those that are gone among them: nobody knows when it did last.
    answer(&front, request.headers(), card.map(|it| (it, None)))
}

/// Serves the card of an agent.
pub(super) async fn of_agent(
    State(front): State<Front>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let base = base_url(&front, host(request.headers(), request.uri()).as_ref());
    let card = named(&front, name, &base).await;
    answer(&front, request.headers(), card)
}

/// Serves the card of an agent in the words of 0.3.
pub(super) async fn of_agent_in_v03(
    State(front): State<Front>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let base = base_url(&front, host(request.headers(), request.uri()).as_ref());
    let card = named(&front, name, &base).await;
    answer(&front, request.headers(), card.map(|(card, at)| (v03::card(card), at)))
}

/// Serves the card of Photon itself in the words of 0.3, to those who may ask.
pub(super) async fn of_photon_in_v03(State(front): State<Front>, request: Request) -> Response {
    let base = base_url(&front, host(request.headers(), request.uri()).as_ref());
    let card = photon_card(&front, &base, true).await;
    answer(&front, request.headers(), card.map(|card| (v03::card(card), None)))
}

async fn named(
    front: &Front,
    name: Result<Path<String>, PathRejection>,
    base: &str,
) -> Result<Dated, Fault> {
    match name {
        Ok(Path(name)) => agent_card(front, &name, base).await,
        Err(err) => Err(Fault::field("path", err.body_text())),
    }
}

/// Returns the card for those who may ask: what strangers are not told is on it, too.
pub(super) async fn extended(
    front: &Front,
    door: &Door,
    host: Option<&Authority>,
) -> Result<Value, Fault> {
    let base = base_url(front, host);
    match door {
        Door::Agent(name) => agent_card(front, name, &base).await.map(|(card, _)| card),
        Door::Router => photon_card(front, &base, true).await,
    }
}

/// Returns the card of an agent, and when that registered it.
async fn agent_card(front: &Front, name: &str, base: &str) -> Result<Dated, Fault> {
    let name = names::agent_name("name", name)
        .map_err(|invalid| Fault::new(Kind::NoAgent, invalid.rule))?;
    let Reply::Agent(agent) = front.submit(Command::Agent(name)).await? else {
        unreachable!("the region answers `Agent` with the agent")
    };
    let given = serde_json::from_slice(&agent.spec.card.0);
    let Ok(Value::Object(mut card)) = given else {
        return Err(Fault::new(Kind::Internal, "the agent's card is not a JSON object"));
    };
    complete(&mut card, &agent);
    let card = readdress(card, front, base, &Door::Agent(agent.spec.name.clone()));
    Ok((card, Some(agent.at)))
}

/// Fills in what a card must have and an operator may have left out.
fn complete(card: &mut Map<String, Value>, agent: &Agent) {
    let spec = &agent.spec;
    let skills = spec.skills.iter().map(|skill| json!(plain_skill(skill)));
    let mut fill = |key: &str, value: Value| {
        let slot = card.entry(key).or_insert(Value::Null);
        let is_empty = slot.is_null() || *slot == json!("") || *slot == json!([]);
        if is_empty {
            *slot = value;
        }
    };
    fill("name", json!(&*spec.name));
    fill("description", json!(format!("The agent `{}`.", spec.name)));
    fill("version", json!("1.0.0"));
    fill("defaultInputModes", json!(["text/plain"]));
    fill("defaultOutputModes", json!(["text/plain"]));
    fill("skills", skills.collect());
}

/// Fills in what a skill must have: whoever reads the card with the types of the protocol takes
/// what is empty for absent.
fn complete_skill(skill: &mut Value) {
    let Some(id) = skill["id"].as_str() else { return };
    let plain = json!(plain_skill(&id.into()));
    for key in ["name", "description", "tags"] {
        let is_empty = [json!(null), json!(""), json!([])].contains(&skill[key]);
        if is_empty {
            skill[key] = plain[key].clone();
        }
    }
}

/// Puts this region's addresses on a card, and what is true of them rather than of the agent;
/// signs it, if the region has a key for that.
fn readdress(mut card: Map<String, Value>, front: &Front, base: &str, door: &Door) -> Value {
    card.insert("supportedInterfaces".to_owned(), json!(interfaces(front, base, door)));
    let skills = card.get_mut("skills").and_then(Value::as_array_mut);
    skills.into_iter().flatten().for_each(complete_skill);
    let capabilities = card.entry("capabilities").or_insert_with(|| json!({}));
    if !capabilities.is_object() {
        *capabilities = json!({});
    }
    capabilities["streaming"] = json!(true);
    capabilities["pushNotifications"] = json!(true);
    capabilities["extendedAgentCard"] = json!(true);
    extensions::declare(capabilities);
    // A signature covers what was changed, and the rest speaks of addresses that are not these;
    // the last four are how older versions of A2A gave them.
    for key in [
        "signatures",
        "securitySchemes",
        "securityRequirements",
        "url",
        "preferredTransport",
        "additionalInterfaces",
        "protocolVersion",
    ] {
        card.remove(key);
    }
    if !front.tokens().is_empty() {
        let scheme = json!({ "bearer": { "httpAuthSecurityScheme": { "scheme": "Bearer" } } });
        card.insert("securitySchemes".to_owned(), scheme);
        let requirement = json!([{ "schemes": { "bearer": { "list": [] } } }]);
        card.insert("securityRequirements".to_owned(), requirement);
    }
    signed(Value::Object(card), front, base)
}

/// Signs a card as clients will read it: a signature covers what the protocol defines, and so the
/// card has that alone.
fn signed(card: Value, front: &Front, base: &str) -> Value {
    let Some(key) = front.card_key().filter(|_| is_ours(front, base)) else { return card };
    let Ok(card) = AgentCard::deserialize(&card) else {
        return card; // It is not one of A2A; whoever can read it may do without.
    };
    let mut card = serde_json::to_value(card).expect("a card is JSON");
    key.sign(&mut card, &format!("{base}{}", signed::KEYS));
    card
}

/// Whether an address is this region's, and not only one that whoever asked has put there: with
/// tokens strangers may ask under any name, and without them only this machine may.
fn is_ours(front: &Front, base: &str) -> bool {
    let told = front.planet().url.as_deref();
    let own = front.region_info(front.region()).map(|it| it.api.trim_end_matches('/'));
    front.tokens().is_empty() || [told, own].contains(&Some(base))
}

/// Serves the keys that cards are signed with.
pub(super) async fn keys(State(front): State<Front>, request: Request) -> Response {
    let none = || json!({ "keys": [] });
    let keys = front.card_key().map_or_else(none, CardKey::set);
    kept::answer(&front, request.headers(), keys.to_string())
}

fn interfaces(front: &Front, base: &str, door: &Door) -> Vec<AgentInterface> {
    let url = format!("{base}{}", door.path());
    let mut interfaces = [TRANSPORT_PROTOCOL_JSONRPC, TRANSPORT_PROTOCOL_HTTP_JSON]
        .map(|binding| AgentInterface::new(url.clone(), binding))
        .to_vec();
    interfaces.extend(grpc_interface(front, base, door));
    let mut old = AgentInterface::new(url, TRANSPORT_PROTOCOL_JSONRPC);
    old.protocol_version = "0.3".to_owned();
    interfaces.push(old);
    interfaces
}

/// Returns where gRPC is spoken: a host and a port, since its clients can add no path.
fn grpc_interface(front: &Front, base: &str, door: &Door) -> Option<AgentInterface> {
    let (scheme, rest) = base.split_once("://")?;
    let host: Authority = rest.split('/').next()?.parse().ok()?;
    let port = host.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
    let at_host = Door::of_host(front, Some(&host));
    // The host of one agent is no address of another.
    let name = match &at_host {
        Door::Agent(_) if at_host != *door => "localhost",
        Door::Agent(_) | Door::Router => host.host(),
    };
    let mut interface = AgentInterface::new(format!("{name}:{port}"), TRANSPORT_PROTOCOL_GRPC);
    interface.tenant = match door {
        Door::Agent(agent) if at_host != *door => Some(agent.to_string()),
        Door::Agent(_) | Door::Router => None,
    };
    Some(interface)
}

async fn photon_card(front: &Front, base: &str, tells_skills: bool) -> Result<Value, Fault> {
    let limit = if tells_skills { AGENTS_MAX } else { 0 };
    let command = Command::Agents { skill: None, region: None, after: None, limit };
    let Reply::Agents { agents, more: _ } = front.submit(command).await? else {
        unreachable!("the region answers `Agents` with agents")
    };
    let skills = all_skills(&agents);
    let planet = front.planet();
    let text = vec!["text/plain".to_owned(), "application/json".to_owned()];
    let card = AgentCard {
        name: format!("Photon {}", planet.name),
        description: "Finds the best agent with free capacity for a skill and does the work \
                      as a durable task. Name the skill in `message.metadata.skill`, or an agent \
                      in `message.metadata.agent`; otherwise the text of the message says what \
                      is wanted."
            .to_owned(),
        version: planet.version.clone(),
        supported_interfaces: Vec::new(),
        capabilities: AgentCapabilities::default(),
        default_input_modes: text.clone(),
        default_output_modes: text,
        skills,
        provider: None::<AgentProvider>,
        documentation_url: None,
        icon_url: None,
        security_schemes: None,
        security_requirements: None,
        signatures: None,
    };
    let Ok(Value::Object(card)) = serde_json::to_value(card) else {
        unreachable!("a card is a JSON object")
    };
    Ok(readdress(card, front, base, &Door::Router))
}

/// Returns the skills of all agents, each once and by name.
fn all_skills(agents: &[Arc<Agent>]) -> Vec<AgentSkill> {
    let mut skills: BTreeMap<Skill, AgentSkill> = BTreeMap::new();
    let mut bytes = 0;
    for agent in agents {
        let is_new = |skill: &&Skill| !skills.contains_key(*skill);
        let fresh: Vec<Skill> = agent.spec.skills.iter().filter(is_new).cloned().collect();
        if fresh.is_empty() {
            continue;
        }
        bytes += agent.spec.card.0.len();
        let is_read = bytes <= CARD_BYTES_MAX;
        let card = if is_read { serde_json::from_slice(&agent.spec.card.0).ok() } else { None };
        for skill in fresh {
            if SKILLS_MAX <= skills.len() {
                return skills.into_values().collect();
            }
            let described = described_skill(&skill, card.as_ref());
            skills.insert(skill, described);
        }
    }
    skills.into_values().collect()
}

/// Returns a skill as the card of an agent describes it.
fn described_skill(skill: &Skill, card: Option<&Value>) -> AgentSkill {
    let skills = card.and_then(|it| it.get("skills")?.as_array());
    let described = skills.into_iter().flatten().find(|it| it["id"] == **skill);
    let described = described.and_then(|it| AgentSkill::deserialize(it).ok());
    let mut described = described.unwrap_or_else(|| plain_skill(skill));
    described.security_requirements = None;
    described
}

fn plain_skill(skill: &Skill) -> AgentSkill {
    AgentSkill {
        id: skill.to_string(),
        name: skill.to_string(),
        description: format!("The skill `{skill}`."),
        tags: skill.split(['.', '/']).map(str::to_owned).collect(),
        examples: None,
        input_modes: None,
        output_modes: None,
        security_requirements: None,
    }
}

/// Returns the host and the port that a request was meant for.
pub(crate) fn host(headers: &HeaderMap, uri: &Uri) -> Option<Authority> {
    let host = headers.get(HOST).and_then(|it| it.to_str().ok());
    let host = host.or(uri.authority().map(Authority::as_str));
    // What is not a host and a port must not get into an address that others will follow.
    host.and_then(|it| it.parse::<Authority>().ok()).filter(|it| !it.as_str().contains('@'))
}

/// Returns the address that clients are to be told: the one that is configured for that, or else
/// the one by which this client came in.
pub(crate) fn base_url(front: &Front, host: Option<&Authority>) -> String {
    if let Some(url) = &front.planet().url {
        return url.clone();
    }
    match host {
        Some(host) => format!("http://{host}"),
        None => front.region_info(front.region()).map(|it| it.api.clone()).unwrap_or_default(),
    }
}

fn answer(front: &Front, asked: &HeaderMap, card: Result<Dated, Fault>) -> Response {
    let (card, changed) = match card {
        Ok((card, changed)) => (card.to_string(), changed),
        Err(fault) => return fault.rest(),
    };
    let mut response = kept::answer(front, asked, card);
    if let Some(changed) = changed.and_then(|it| HeaderValue::from_str(&http_date(it)).ok()) {
        response.headers_mut().insert(LAST_MODIFIED, changed);
    }
    response
}

#[cfg(test)]
mod tests {
    use photon_region::AgentSpec;
    use photon_state::{PlacementId, RegionId};

    use super::*;

    #[test]
    fn a_card_of_many_skills_is_bounded_in_bytes() {
        let description = "x".repeat(200 << 10);
        let agent = |at: usize| {
            let name = format!("a-{at}");
            let skill = json!({ "id": name, "name": name, "description": description, "tags": [] });
            let spec = AgentSpec {
                name: name.as_str().into(),
                skills: [name.as_str().into()].into(),
                capacity: 1,
                cost_micros: 0,
                card: photon_region::Json(json!({ "skills": [skill] }).to_string().into()),
                placement: PlacementId::global(),
            };
            let region = RegionId::try_from("eu-west-1").unwrap();
            Arc::new(Agent { spec, region, in_use: 0, is_online: true, at: Hlc::default() })
        };
        let skills = all_skills(&(0..10).map(agent).collect::<Vec<_>>());
        let described = skills.iter().filter(|it| it.description == description).count();
        assert_eq!((skills.len(), described), (10, 5), "a MiB of cards is read");
    }
}
