//! What operators say of zones and names, as it lies in the datasets `photon.*`.
//! Must not decide whether it makes sense: who makes tables of it does.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// What a zone is, beside its names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct ZoneSpec {
    /// The name servers of the zone; its NS records, and the first its primary (MNAME).
    pub name_servers: Vec<String>,
    /// The mailbox of who is responsible, as a name or as an address (RNAME); by default
    /// `hostmaster` in the zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// How long records may be kept that do not say it themselves, in seconds; 300 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
    /// How long it may be kept that a name does not exist, in seconds; 60 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negative_ttl: Option<u32>,
    /// When secondaries look for changes, in seconds; 3,600 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh: Option<u32>,
    /// When they try again after they could not, in seconds; 600 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<u32>,
    /// When they answer no more without, in seconds; 1,209,600 (two weeks) by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expire: Option<u32>,
}

/// What a name stands for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct NameSpec {
    /// Its records.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<RecordsSpec>,
    /// How the addresses for a client are chosen; beside it the name has no A or AAAA records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteSpec>,
    /// A name whose addresses answer for this one, also where a CNAME may not be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<AliasSpec>,
}

/// The records of one type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct RecordsSpec {
    /// The type: `A`, `MX`, `TXT`, `HTTPS` ..
    #[serde(rename = "type")]
    pub rtype: String,
    /// How long they may be kept, in seconds; else as the zone says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
    /// What each of them holds, as a zone file would say it.
    pub values: Vec<String>,
}

/// A name whose addresses answer for another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct AliasSpec {
    /// The name whose addresses they are.
    pub target: String,
    /// How long they may be kept at most, in seconds; else as the zone says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
}

/// How the addresses for a client are chosen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct RouteSpec {
    /// By what.
    pub policy: Policy,
    /// How long the answer may be kept, in seconds; 30 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
    /// How many endpoints to answer with at most; 1 by default, 8 for `multivalue`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<u8>,
    /// A placement: only endpoints in its regions are answered with, whatever happens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<String>,
    /// How much each term counts, for the policy `score`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<WeightsSpec>,
    /// How endpoints are probed that do not say it themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeSpec>,
    /// Who may be answered with.
    pub endpoints: Vec<EndpointSpec>,
}

/// By what an endpoint is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// What is near and well and fast and cheap, weighed.
    #[default]
    Score,
    /// The subdivision, country or continent that the client is in.
    Geolocation,
    /// The distance to the client, with a bias.
    Geoproximity,
    /// The round trip to the client, as it was measured.
    Latency,
    /// Chance, in proportion to weights.
    Weighted,
    /// The order of priorities.
    Failover,
    /// Nothing: all that are well are answered with.
    Multivalue,
}

/// How much each term of the score counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct WeightsSpec {
    /// How near the endpoint is to the client.
    pub proximity: u16,
    /// How well it is, and how much of its capacity is free.
    pub health: u16,
    /// How long the round trip to the client is.
    pub latency: u16,
    /// How little it costs.
    pub cost: u16,
}

/// Somewhere that clients may be sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct EndpointSpec {
    /// What it is called; unique in its route.
    pub name: String,
    /// Its addresses, all of which are answered with; those of its region by default.
    #[cfg_attr(feature = "schema", schema(value_type = Vec<String>))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// The region of the planet that it is in: it is out while that is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Where it is, if not where its region is: degrees north.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latitude: Option<f64>,
    /// Degrees east.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longitude: Option<f64>,
    /// `weighted` and others: how often it is chosen beside others as good; 1 by default, 0 never
    /// unless nobody else is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    /// `failover`: the lowest that is well is chosen; 0 by default.
    #[serde(skip_serializing_if = "is_zero")]
    pub priority: u16,
    /// `geoproximity`: how far it reaches beyond what is near, -99 to 99 percent; 0 by default.
    #[serde(skip_serializing_if = "is_even")]
    pub bias: i8,
    /// `geolocation`: for clients in these countries (ISO 3166-1, two letters).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub countries: Vec<String>,
    /// `geolocation`: for clients on these continents (AF, AN, AS, EU, NA, OC, SA).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub continents: Vec<String>,
    /// `geolocation`: for clients in these subdivisions (ISO 3166-2, such as `US-CA`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subdivisions: Vec<String>,
    /// `score`: what it costs beside others, in any unit; 0 by default.
    #[serde(skip_serializing_if = "is_zero")]
    pub cost: u16,
    /// How it is probed; else as its route says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeSpec>,
}

/// How it is found out whether an endpoint is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ProbeSpec {
    /// What is asked of it.
    #[serde(flatten)]
    pub kind: ProbeKind,
    /// Which port.
    pub port: u16,
    /// How often, in seconds; 10 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_seconds: Option<u16>,
    /// How long it may take, in milliseconds; 2,000 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u32>,
    /// After how many failures in a row it is not well; 2 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<u8>,
    /// After how many successes in a row it is well again; 2 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successes: Option<u8>,
}

/// What is asked of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum ProbeKind {
    /// To take a connection.
    Tcp,
    /// To answer a request with a status from 200 to 399.
    Http {
        /// The path.
        path: String,
        /// The host that is named; else the name that is routed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<String>,
        /// Whether over TLS.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tls: Option<bool>,
        /// Text that has to be in the first 8 KiB of the answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        contains: Option<String>,
    },
    /// To say `SERVING` in answer to `grpc.health.v1.Health/Check`.
    Grpc {
        /// The service that is asked for; else the server as a whole.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        service: Option<String>,
    },
}

impl Default for WeightsSpec {
    fn default() -> Self {
        Self { proximity: 40, health: 30, latency: 20, cost: 10 }
    }
}

impl Policy {
    /// Returns its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Score => "score",
            Self::Geolocation => "geolocation",
            Self::Geoproximity => "geoproximity",
            Self::Latency => "latency",
            Self::Weighted => "weighted",
            Self::Failover => "failover",
            Self::Multivalue => "multivalue",
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(it: &u16) -> bool {
    *it == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_even(it: &i8) -> bool {
    *it == 0
}
