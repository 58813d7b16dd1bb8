//! A request before it is understood: its address, headers, query and body.
//! Must not know which operation it asks for.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, header};
use photon_region::AgentName;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::card::host;
use super::extensions::Generations;
use super::fault::{Fault, Kind};
use super::proto_names;
use crate::body::Held;
use crate::names::Invalid;
use crate::{Front, body, names};

const VERSION: HeaderName = HeaderName::from_static("a2a-version");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What may stand in any query instead of a header.
const SERVICE_PARAMS: [&str; 2] = [::a2a::SVC_PARAM_VERSION, ::a2a::SVC_PARAM_EXTENSIONS];
/// What may stand in any query or body instead of the path.
const TENANT: &str = "tenant";
/// Characters of an unknown field that are repeated to the client.
const FIELD_CHARS_MAX: usize = 64;

/// A version of the protocol, as JSON-RPC speaks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// 1.0.
    V10,
    /// 0.3.
    V03,
}

/// Whom a call is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// One agent.
    Agent(AgentName),
    /// Photon itself, which finds an agent.
    Router,
}

impl Door {
    /// Returns whom a host is the address of: each agent has a host of its own on this machine,
    /// since a name below `localhost` leads nowhere else (RFC 6761, section 6.3). The host that the
    /// operator gave Photon is Photon's.
    pub(super) fn of_host(front: &Front, host: Option<&Authority>) -> Self {
        let own = front.planet().url.as_deref().and_then(|it| it.split_once("://"));
        let own = own.and_then(|(_, host)| host.parse::<Authority>().ok());
        let is_own = |it: &&Authority| {
            own.as_ref().is_some_and(|own| own.host().eq_ignore_ascii_case(it.host()))
        };
        let host = host.filter(|it| !is_own(it)).map(|it| it.host().to_ascii_lowercase());
        let agent = host.as_deref().and_then(|it| it.strip_suffix(".localhost"));
        let agent = agent.and_then(|it| names::agent_name("host", it).ok());
        agent.map_or(Self::Router, Self::Agent)
    }

    /// Returns whom a call is for that names a tenant: each agent is one of Photon's.
    fn of_tenant(self, tenant: &str) -> Result<Self, Fault> {
        match self {
            door if tenant.is_empty() => Ok(door),
            Self::Router => Ok(Self::Agent(names::agent_name("tenant", tenant)?)),
            Self::Agent(name) if *name == *tenant => Ok(Self::Agent(name)),
            Self::Agent(name) => {
                let help = format!("this is the address of `{name}`: leave the tenant out");
                Err(Fault::field("tenant", help))
            }
        }
    }

    /// Returns the path under which its operations lie.
    pub(super) fn path(&self) -> String {
        match self {
            Self::Agent(name) => format!("/agents/{name}"),
            Self::Router => "/a2a".to_owned(),
        }
    }
}

/// A request with its body read, or the reason why that could not be.
#[derive(Debug)]
pub(super) struct Incoming {
    /// The task that the path names, with the verb after it; empty when it names none.
    pub(super) task: String,
    front: Front,
    name: Result<Option<String>, Fault>,
    /// The push configuration that the path names.
    pub(super) config: String,
    /// The tenant that the path names; empty when it names none.
    tenant: String,
    query: Result<Vec<(String, String)>, Fault>,
    headers: HeaderMap,
    generations: Generations,
    host: Option<Authority>,
    /// Until it is parsed; then its memory is others' to use.
    body: Option<Result<Held, Fault>>,
}

impl FromRequest<Front> for Incoming {
    type Rejection = Infallible;

    async fn from_request(request: Request, front: &Front) -> Result<Self, Infallible> {
        let (mut parts, body) = request.into_parts();
        let (mut name, mut task, mut tenant) = (Ok(None), String::new(), String::new());
        let mut config = String::new();
        match RawPathParams::from_request_parts(&mut parts, front).await {
            Ok(path) => {
                for (key, value) in &path {
                    match key {
                        "name" => name = Ok(Some(value.to_owned())),
                        "task" => value.clone_into(&mut task),
                        "tenant" => value.clone_into(&mut tenant),
                        "config" => value.clone_into(&mut config),
                        _ => {}
                    }
                }
            }
            Err(err) => name = Err(Fault::field("path", err.body_text())),
        }
        let query = Query::try_from_uri(&parts.uri).map(|Query(it)| it);
        let query = query.map_err(|err| Fault::field("query", err.body_text()));
        let body = body::read(front, &parts.headers, body).await.map_err(Fault::from);
        let body = Some(body);
        let host = host(&parts.headers, &parts.uri);
        let generations = Generations::of(&parts.headers, &parts.uri);
        let (front, headers) = (front.clone(), parts.headers);
        Ok(Self { task, config, front, name, tenant, query, headers, generations, host, body })
    }
}

impl Incoming {
    /// Returns what all operations need to know of a call of 1.0. The query may hold these fields.
    pub(super) fn call(&self, fields: &[&str]) -> Result<Call, Fault> {
        check_version(self.version()?)?;
        self.call_in_any(fields)
    }

    /// The same for a version that was found to be spoken.
    pub(super) fn call_in_any(&self, fields: &[&str]) -> Result<Call, Fault> {
        self.check_query(fields)?;
        let door = match self.name.as_ref().map_err(Clone::clone)? {
            Some(name) => Door::Agent(names::agent_name("name", name).map_err(|it| no_agent(&it))?),
            None => Door::Router,
        };
        let in_query = self.query.iter().flatten().find(|(key, _)| key == TENANT);
        let door = door.of_tenant(&self.tenant)?;
        let door = door.of_tenant(in_query.map_or("", |(_, tenant)| tenant))?;
        let call = Call::new(&self.front, door, self.host.clone(), &self.headers)?;
        Ok(Call { generations: self.generations, ..call })
    }

    /// Takes the body and parses it as JSON; an empty one is an empty object.
    pub(super) fn json(&mut self) -> Result<Value, Fault> {
        let body = self.body.take().transpose()?.filter(|body| !body.is_empty());
        let Some(body) = body else { return Ok(Value::Object(Map::new())) };
        // A web page may send any other type to any host without asking first.
        let media_type = self.header(&header::CONTENT_TYPE)?.unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        if media_type != "application/json" && !media_type.ends_with("+json") {
            let help = "send the body as `application/json` or `application/a2a+json`";
            return Err(Fault::new(Kind::ContentType, help));
        }
        let mut value = serde_json::from_slice(&body)
            .map_err(|err| Fault::new(Kind::Parse, format!("the body is not JSON: {err}")))?;
        proto_names::unify(&mut value);
        Ok(value)
    }

    /// Refuses what is not understood: passed over, it would be answered as if it had been done.
    fn check_query(&self, fields: &[&str]) -> Result<(), Fault> {
        let query = self.query.as_ref().map_err(Clone::clone)?;
        let is_service = |key: &str| SERVICE_PARAMS.iter().any(|it| it.eq_ignore_ascii_case(key));
        for (at, (key, _)) in query.iter().enumerate() {
            let shown: String = key.chars().take(FIELD_CHARS_MAX).collect();
            let is_known = fields.contains(&key.as_str()) || key == TENANT || is_service(key);
            if !is_known {
                let help = match fields {
                    [] => "the query takes no such field here".to_owned(),
                    _ => {
                        format!("the query takes no such field; use one of: {}", fields.join(", "))
                    }
                };
                return Err(Fault::field(&shown, help));
            }
            if query[..at].iter().any(|(it, _)| it.eq_ignore_ascii_case(key)) {
                return Err(Fault::field(&shown, "the field may be given only once"));
            }
        }
        Ok(())
    }

    /// Returns the query as the JSON that it stands for: numbers and booleans where they belong.
    pub(super) fn query_json(&self) -> Value {
        let typed = |(key, text): &(String, String)| {
            let as_text = Value::from(text.as_str());
            let value = match key.as_str() {
                "pageSize" | "historyLength" | "currentGeneration" => {
                    text.parse::<i64>().map_or(as_text, Value::from)
                }
                "includeArtifacts" => text.parse::<bool>().map_or(as_text, Value::from),
                _ => as_text,
            };
            (key.clone(), value)
        };
        self.query.iter().flatten().map(typed).collect::<Map<_, _>>().into()
    }

    /// Returns the version that the client asks for, if it says.
    fn version(&self) -> Result<Option<&str>, Fault> {
        let mut query = self.query.iter().flatten();
        let in_query = query.find(|(key, _)| key.eq_ignore_ascii_case(::a2a::SVC_PARAM_VERSION));
        Ok(self.header(&VERSION)?.or(in_query.map(|(_, version)| version.as_str())))
    }

    /// Returns the version of JSON-RPC that the client asks for, if it says.
    pub(super) fn dialect(&self) -> Result<Option<Dialect>, Fault> {
        let asked = self.version()?.map(str::trim).filter(|it| !it.is_empty());
        match asked {
            None => Ok(None),
            Some(asked) if is_version(asked, "0.3") => Ok(Some(Dialect::V03)),
            Some(asked) => check_version(Some(asked)).map(|()| Some(Dialect::V10)),
        }
    }

    fn header(&self, name: &HeaderName) -> Result<Option<&str>, Invalid> {
        body::header(&self.headers, name)
    }
}

/// Accepts version 1.0 and silence. The specification has silence mean 0.3, which has other methods
/// over JSON-RPC, and is not spoken otherwise: to refuse would help nobody who tries with curl.
fn check_version(asked: Option<&str>) -> Result<(), Fault> {
    let asked = asked.unwrap_or_default().trim();
    if asked.is_empty() || is_version(asked, ::a2a::VERSION) {
        return Ok(());
    }
    let asked: String = asked.chars().take(32).collect();
    let message = format!("version `{asked}` of A2A is not supported; use `1.0`");
    Err(Fault::new(Kind::Version, message))
}

/// Whether a version is this one, whatever the patch.
fn is_version(asked: &str, version: &str) -> bool {
    asked.strip_prefix(version).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// No agent can have that name, so there is none at this address.
fn no_agent(invalid: &Invalid) -> Fault {
    Fault::new(Kind::NoAgent, format!("no agent has this address: {}", invalid.rule))
}

/// What all operations need to know of a call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// The region.
    pub(super) front: Front,
    /// Whom it is for.
    pub(super) door: Door,
    /// The host by which it came.
    pub(super) host: Option<Authority>,
    /// Makes a repeated message harmless.
    pub(super) idempotency_key: Option<Arc<str>>,
    /// The last event that the client has.
    pub(super) resume_after: Option<u64>,
    /// Whether it wants generations where A2A 1.1 has them.
    pub(super) generations: Generations,
    /// The version that it speaks.
    pub(super) dialect: Dialect,
}

impl Call {
    /// Takes what the headers say.
    fn new(
        front: &Front,
        door: Door,
        host: Option<Authority>,
        headers: &HeaderMap,
    ) -> Result<Self, Fault> {
        let key = body::header(headers, &IDEMPOTENCY_KEY)?;
        let key = key.map(|it| names::idempotency_key(IDEMPOTENCY_KEY.as_str(), it)).transpose()?;
        let after = body::header(headers, &LAST_EVENT_ID)?;
        let after = after.map(|it| names::number(LAST_EVENT_ID.as_str(), it, 0..=u64::MAX));
        let (idempotency_key, resume_after) = (key, after.transpose()?);
        let (front, generations) = (front.clone(), Generations::Untold);
        let dialect = Dialect::V10;
        Ok(Self { front, door, host, idempotency_key, resume_after, generations, dialect })
    }

    /// Takes what the host and the metadata of a gRPC call say.
    pub(super) fn of_grpc(
        front: &Front,
        host: Option<&Authority>,
        tenant: &str,
        metadata: &HeaderMap,
    ) -> Result<Self, Fault> {
        check_version(body::header(metadata, &VERSION)?)?;
        let door = Door::of_host(front, host).of_tenant(tenant)?;
        Self::new(front, door, host.cloned(), metadata)
    }

    /// Heeds the tenant that parameters name.
    pub(super) fn of_tenant_in(mut self, params: &Value) -> Result<Self, Fault> {
        match params.get(TENANT) {
            None | Some(Value::Null) => {}
            Some(Value::String(tenant)) => self.door = self.door.of_tenant(tenant)?,
            Some(_) => return Err(Fault::field(TENANT, "use a string")),
        }
        Ok(self)
    }
}

/// Reads parameters, and names the one that is wrong.
pub(super) fn params<T: DeserializeOwned>(value: Value) -> Result<T, Fault> {
    serde_path_to_error::deserialize(value).map_err(|err| {
        let path = err.path().to_string();
        let field = if path == "." { "params" } else { &path };
        Fault::field(field, err.inner().to_string())
    })
}
