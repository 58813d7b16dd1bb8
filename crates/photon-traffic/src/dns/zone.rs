//! Makes of what an operator said of a zone and its names what the tables hold.
//! Must not know other zones; routes are planned beside it, in `plan`.

use std::sync::Arc;

use super::name::{Name, NameError};
use super::names::{Alias, RecordSet, Special};
use super::plan::{Ground, RouteError, TTL_MAX, plan};
use super::rdata::{self, RdataError};
use super::spec::{NameSpec, RecordsSpec, ZoneSpec};
use super::wire::rtype;
use crate::geo::Classes;

/// The most records of one name and type; more are refused.
pub const RECORDS_MAX: usize = 256;
/// The most name servers of a zone; more are refused.
pub const NAME_SERVERS_MAX: usize = 16;

/// A zone without its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Its name.
    pub apex: Name,
    /// Its name servers.
    pub(super) name_servers: RecordSet,
    /// What its SOA record holds; the serial is set by the tables.
    pub(super) soa: Box<[u8]>,
    /// How long its SOA record may be kept, in seconds.
    pub(super) soa_ttl: u32,
    /// How long records may be kept that do not say it, in seconds.
    pub ttl: u32,
    /// How long it may be kept that something does not exist, in seconds.
    pub negative_ttl: u32,
    /// How many names of it are those of zones that are kept elsewhere.
    pub(super) cuts: u32,
}

/// What a name stands for, ready for the tables.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// Its records by type.
    pub sets: Vec<RecordSet>,
    /// What else answers for it.
    pub special: Option<Special>,
}

/// Why a zone or a name makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// A name is none.
    #[error("`{field}`: {source}")]
    Name {
        /// Where it stands.
        field: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// A record is none.
    #[error("`{field}`: {source}")]
    Record {
        /// Where it stands.
        field: String,
        /// What is wrong with it.
        source: RdataError,
    },
    /// The route makes no sense.
    #[error("`route`: {0}")]
    Route(#[from] RouteError),
    /// What is said does not go together.
    #[error("`{field}` {why}")]
    Senseless {
        /// Which part.
        field: String,
        /// What is wrong with it, and what would be right.
        why: String,
    },
}

impl ZoneError {
    fn senseless(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Senseless { field: field.into(), why: why.into() }
    }
}

impl Zone {
    /// Reads what is said of a zone.
    pub fn new(apex: Name, spec: &ZoneSpec) -> Result<Self, ZoneError> {
        if !(1..=NAME_SERVERS_MAX).contains(&spec.name_servers.len()) {
            let why = format!("has to name 1 to {NAME_SERVERS_MAX} name servers");
            return Err(ZoneError::senseless("nameServers", why));
        }
        let name = |field: String, text: &str| {
            Name::parse(text, &apex).map_err(|source| ZoneError::Name { field, source })
        };
        let servers = spec.name_servers.iter().enumerate();
        let servers: Vec<_> = servers
            .map(|(index, it)| name(format!("nameServers[{index}]"), it))
            .collect::<Result<_, _>>()?;
        let contact = spec.contact.as_deref().unwrap_or("hostmaster");
        let contact = name("contact".to_owned(), &mailbox(contact))?;
        let seconds = |field: &str, said: Option<u32>, usual: u32| match said {
            Some(it) if TTL_MAX < it => {
                Err(ZoneError::senseless(field, format!("has to be at most {TTL_MAX} seconds")))
            }
            Some(it) => Ok(it),
            None => Ok(usual),
        };
        let ttl = seconds("ttl", spec.ttl, 300)?;
        let negative_ttl = seconds("negativeTtl", spec.negative_ttl, 60)?;
        let times = [
            seconds("refresh", spec.refresh, 3_600)?,
            seconds("retry", spec.retry, 600)?,
            seconds("expire", spec.expire, 1_209_600)?,
            negative_ttl,
        ];
        let mut soa = [servers[0].wire(), contact.wire(), &[0; 4]].concat();
        times.iter().for_each(|it| soa.extend_from_slice(&it.to_be_bytes()));
        let name_servers = RecordSet::new(rtype::NS, ttl, servers.iter().map(Name::wire));
        let (soa, soa_ttl, cuts) = (soa.into(), ttl, 0);
        Ok(Self { apex, name_servers, soa, soa_ttl, ttl, negative_ttl, cuts })
    }

    /// Returns the serial number.
    #[must_use]
    pub fn serial(&self) -> u32 {
        let at = self.soa.len() - 20;
        u32::from_be_bytes(self.soa[at..at + 4].try_into().expect("four bytes are four"))
    }

    /// Sets the serial number.
    pub(super) fn set_serial(&mut self, serial: u32) {
        let at = self.soa.len() - 20;
        self.soa[at..at + 4].copy_from_slice(&serial.to_be_bytes());
    }

    /// Reads what is said of a name in the zone.
    pub fn answers(
        &self,
        name: &Name,
        spec: &NameSpec,
        ground: Ground<'_>,
        maps: &mut Classes,
    ) -> Result<Answers, ZoneError> {
        if !name.is_under(&self.apex) {
            let why = format!("is not in the zone `{}`", self.apex);
            return Err(ZoneError::senseless("name", why));
        }
        let mut sets: Vec<RecordSet> = Vec::new();
        for (index, records) in spec.records.iter().enumerate() {
            let set = self.record_set(index, records)?;
            if sets.iter().any(|it| it.rtype == set.rtype) {
                let why = format!("is {} a second time", rdata::type_name(set.rtype));
                return Err(ZoneError::senseless(format!("records[{index}].type"), why));
            }
            sets.push(set);
        }
        let special = match (&spec.route, &spec.alias) {
            (Some(_), Some(_)) => {
                return Err(ZoneError::senseless("alias", "cannot be beside `route`"));
            }
            (Some(route), None) => Some(Special::Route(Arc::new(plan(route, ground, maps)?))),
            (None, Some(alias)) => {
                let target = Name::parse(&alias.target, &self.apex);
                let field = || "alias.target".to_owned();
                let target = target.map_err(|source| ZoneError::Name { field: field(), source })?;
                let ttl = alias.ttl.unwrap_or(self.ttl).min(TTL_MAX);
                Some(Special::Alias(Arc::new(Alias { target, ttl })))
            }
            (None, None) => None,
        };
        let answers = Answers { sets, special };
        self.check(name, &answers)?;
        Ok(answers)
    }

    fn record_set(&self, index: usize, spec: &RecordsSpec) -> Result<RecordSet, ZoneError> {
        let at = |field: &str| format!("records[{index}].{field}");
        let rtype = rdata::parse_type(&spec.rtype)
            .map_err(|source| ZoneError::Record { field: at("type"), source })?;
        let is_ours = matches!(
            rtype,
            0 | rtype::SOA | rtype::OPT | rtype::RRSIG | rtype::NSEC | 50 | 51 | 128..=255
        );
        if is_ours {
            let why = format!("cannot be {}: such records are made, not given", spec.rtype);
            return Err(ZoneError::senseless(at("type"), why));
        }
        if !(1..=RECORDS_MAX).contains(&spec.values.len()) {
            let why = format!("has to have 1 to {RECORDS_MAX} values");
            return Err(ZoneError::senseless(at("values"), why));
        }
        if spec.ttl.is_some_and(|it| TTL_MAX < it) {
            let why = format!("has to be at most {TTL_MAX} seconds");
            return Err(ZoneError::senseless(at("ttl"), why));
        }
        let values = spec.values.iter().enumerate().map(|(nth, text)| {
            rdata::parse(rtype, text, &self.apex).map_err(|source| ZoneError::Record {
                field: at(&format!("values[{nth}]")),
                source,
            })
        });
        let mut values: Vec<Vec<u8>> = values.collect::<Result<_, _>>()?;
        // A set has each record once (RFC 2181, section 5).
        values.sort();
        values.dedup();
        let ttl = spec.ttl.unwrap_or(self.ttl);
        Ok(RecordSet::new(rtype, ttl, values.iter().map(Vec::as_slice)))
    }

    /// Checks what may be beside what (RFC 1034, 3.6.2; RFC 2181, 10.1).
    pub(super) fn check(&self, name: &Name, answers: &Answers) -> Result<(), ZoneError> {
        let has = |rtype: u16| answers.sets.iter().position(|it| it.rtype == rtype);
        let at = |index: usize| format!("records[{index}]");
        let is_apex = *name == self.apex;
        if let Some(index) = has(rtype::CNAME) {
            if is_apex {
                let why = "cannot be CNAME at the apex of a zone: use `alias`";
                return Err(ZoneError::senseless(at(index), why));
            }
            if 1 < answers.sets.len() || answers.special.is_some() {
                return Err(ZoneError::senseless(at(index), "is CNAME: nothing may be beside it"));
            }
            if answers.sets[index].records().nth(1).is_some() {
                return Err(ZoneError::senseless(at(index), "is CNAME: it has one value"));
            }
        }
        if let Some(index) = has(rtype::NS).filter(|_| is_apex) {
            let why = "is NS at the apex: they are the `nameServers` of the zone";
            return Err(ZoneError::senseless(at(index), why));
        }
        if let Some(index) = has(rtype::DS).filter(|_| is_apex) {
            return Err(ZoneError::senseless(at(index), "is DS: it belongs to the zone above"));
        }
        let address = has(rtype::A).or(has(rtype::AAAA)).filter(|_| answers.special.is_some());
        if let Some(index) = address {
            let why = "has addresses beside `route` or `alias`, which give them";
            return Err(ZoneError::senseless(at(index), why));
        }
        Ok(())
    }
}

/// Returns a mailbox as a name: the part before the `@` is one label (RFC 1035, 8).
fn mailbox(text: &str) -> String {
    match text.split_once('@').filter(|(user, _)| !user.is_empty()) {
        Some((user, host)) => {
            let dot = if host.ends_with('.') { "" } else { "." };
            format!("{}.{host}{dot}", user.replace('.', "\\."))
        }
        None => text.to_owned(),
    }
}
