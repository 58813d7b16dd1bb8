//! Answers a query from the tables: what DNS servers say, byte for byte (RFC 1034, 4.3.2).
//! Must not wait, allocate on the usual way, or keep anything of a client.

use std::net::IpAddr;
use std::sync::Arc;

use super::edns::Options;
use super::names::{Alias, Node, RecordSet, Special};
use super::out::{Answer, Full, Opt, Owner, Section, flag};
use super::query::{Edns, Query};
use super::route::{Family, Route};
use super::tables::{Found, Tables};
use super::wire::{CLASS_ANY, CLASS_IN, HEAD_BYTES, Rcode, rtype};
use super::zone::Zone;

/// The longest answer over UDP: what passes every net without fragments (DNS flag day 2020).
pub const UDP_BYTES_MAX: usize = 1_232;
/// The shortest that every client takes (RFC 1035, 4.2.1).
const UDP_BYTES_MIN: usize = 512;
/// The longest answer over a stream.
pub const STREAM_BYTES_MAX: usize = 65_535;
/// How many aliases are followed; the client follows the rest.
const ALIASES_MAX: usize = 8;
/// How long the answer to ANY may be kept, in seconds (RFC 8482).
const ANY_TTL: u32 = 3_600;

/// How a query came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// In a datagram: the client may be another than it says.
    Datagram,
    /// On a stream: TCP, TLS or HTTPS.
    Stream,
}

/// What a thread needs to answer queries.
#[derive(Debug)]
pub struct Responder {
    query: Query,
    options: Options,
    rng: fastrand::Rng,
    counts: Counts,
}

/// What was answered since it was asked last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Queries that were answered, by what became of them.
    pub no_error: u64,
    /// Those for names that do not exist.
    pub no_domain: u64,
    /// Those for names that are not kept here.
    pub refused: u64,
    /// Those that could not be read, or are of kinds that are not answered.
    pub bad: u64,
    /// Answers that had no room, and were cut.
    pub truncated: u64,
    /// Messages that were not answered at all.
    pub dropped: u64,
}

impl Responder {
    /// Makes one with a name of its own (NSID, RFC 5001) and its own chance.
    #[must_use]
    pub fn new(identity: Arc<[u8]>, seed: u64) -> Self {
        Self {
            query: Query::default(),
            options: Options::new(identity),
            rng: fastrand::Rng::with_seed(seed),
            counts: Counts::default(),
        }
    }

    /// Answers a message of a client, and returns the length of the answer; `None` if none is due.
    /// The buffer has room for the longest answer of the way that the query came.
    pub fn answer(
        &mut self,
        tables: &Tables,
        message: &[u8],
        from: IpAddr,
        via: Via,
        out: &mut [u8],
    ) -> Option<usize> {
        let Some(read) = self.query.read(message) else {
            self.counts.dropped += 1;
            return None;
        };
        let edns = self.query.edns;
        self.options.begin(edns.as_ref());
        let bytes_max = match (via, &edns) {
            (Via::Stream, _) => STREAM_BYTES_MAX,
            (Via::Datagram, None) => UDP_BYTES_MIN,
            (Via::Datagram, Some(edns)) => {
                usize::from(edns.udp_bytes).clamp(UDP_BYTES_MIN, UDP_BYTES_MAX)
            }
        };
        let reserved = edns.map_or(0, |_| Opt::HEAD_BYTES + self.options.bytes_max());
        let mut answer = Answer::begin(out, &self.query, message, bytes_max, reserved);
        let rcode = match read {
            Ok(()) => self.resolve(tables, from, &mut answer),
            Err(rcode) => rcode,
        };
        self.count(rcode);
        let opt = edns.map(|it| Opt {
            udp_bytes: UDP_BYTES_MAX as u16,
            dnssec_ok: it.dnssec_ok,
            options: self.options.bytes(),
        });
        Some(answer.finish(rcode, opt))
    }

    /// Returns what was answered since it was asked last.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    fn count(&mut self, rcode: Rcode) {
        let count = match rcode {
            Rcode::NoError => &mut self.counts.no_error,
            Rcode::NxDomain => &mut self.counts.no_domain,
            Rcode::Refused | Rcode::NotAuth => &mut self.counts.refused,
            Rcode::FormErr
            | Rcode::ServFail
            | Rcode::NotImp
            | Rcode::BadVers
            | Rcode::BadCookie => &mut self.counts.bad,
        };
        *count += 1;
    }

    fn resolve(&mut self, tables: &Tables, from: IpAddr, answer: &mut Answer<'_>) -> Rcode {
        let query = &self.query;
        if ![CLASS_IN, CLASS_ANY].contains(&query.qclass) {
            return Rcode::Refused;
        }
        match query.qtype {
            // Zones are handed over on streams only, by who asks for that before.
            rtype::AXFR | rtype::IXFR => return Rcode::Refused,
            rtype::OPT | rtype::TSIG | 128..=249 | 251..=254 => return Rcode::NotImp,
            _ => {}
        }
        let mut asked = Asked {
            tables,
            qtype: query.qtype,
            client: client(query.edns.as_ref(), from),
            rng: &mut self.rng,
            scope: None,
            followed: 0,
        };
        let owner = Owner { name: query.name(), at: HEAD_BYTES };
        let resolved = asked.resolve(tables.find(query), owner, answer);
        let scope = asked.scope;
        self.options.set_scope(scope);
        match resolved {
            Ok(rcode) => rcode,
            Err(Full) => {
                self.counts.truncated += 1;
                answer.truncate();
                Rcode::NoError
            }
        }
    }
}

/// Returns the address by which the client is placed: that of who asks, unless it asks for others.
fn client(edns: Option<&Edns>, from: IpAddr) -> IpAddr {
    let subnet = edns.and_then(|it| it.subnet).filter(|it| it.bits != 0);
    subnet.map_or(from, |it| it.address)
}

/// A question that is being answered.
struct Asked<'a> {
    tables: &'a Tables,
    qtype: u16,
    client: IpAddr,
    rng: &'a mut fastrand::Rng,
    /// How many bits of the client's network the answer depends on, if on any.
    scope: Option<u8>,
    /// How many aliases were followed.
    followed: usize,
}

impl<'a> Asked<'a> {
    fn resolve(
        &mut self,
        found: Found<'a>,
        owner: Owner<'_>,
        answer: &mut Answer<'_>,
    ) -> Result<Rcode, Full> {
        match found {
            Found::Elsewhere if self.followed == 0 => Ok(Rcode::Refused),
            // The client asks those who keep it.
            Found::Elsewhere => Ok(Rcode::NoError),
            Found::Cut(zone, cut) => self.refer(zone, cut, owner, answer),
            Found::Nothing(zone) => {
                answer.set(flag::AUTHORITATIVE);
                deny(zone, owner, answer)?;
                Ok(Rcode::NxDomain)
            }
            Found::Node(zone, node) => {
                answer.set(flag::AUTHORITATIVE);
                self.answer_from(zone, node, owner, answer)
            }
        }
    }

    fn answer_from(
        &mut self,
        zone: &'a Zone,
        node: &'a Node,
        owner: Owner<'_>,
        answer: &mut Answer<'_>,
    ) -> Result<Rcode, Full> {
        let qtype = self.qtype;
        if let Some(set) = node.set(qtype) {
            write_set(set, owner, answer)?;
            return Ok(Rcode::NoError);
        }
        if let Some(family) = family(qtype)
            && let Some(special) = node.special()
        {
            return self.special(zone, special, family, owner, answer);
        }
        if let Some(set) = node.set(rtype::CNAME) {
            return self.follow(set, owner, answer);
        }
        match qtype {
            rtype::SOA if owner.name == zone.apex.wire() => {
                let (kind, data) = ((rtype::SOA, zone.soa_ttl), &zone.soa);
                answer.record(Section::Answer, owner, kind, data)?;
            }
            // One record that says that not all are said (RFC 8482, 4.2).
            rtype::ANY => {
                let data = b"\x07RFC8482\0";
                answer.record(Section::Answer, owner, (rtype::HINFO, ANY_TTL), data)?;
            }
            _ => deny(zone, owner, answer)?,
        }
        Ok(Rcode::NoError)
    }

    /// Answers with the alias, and with what it stands for as far as that is kept here.
    fn follow(
        &mut self,
        set: &'a RecordSet,
        owner: Owner<'_>,
        answer: &mut Answer<'_>,
    ) -> Result<Rcode, Full> {
        let Some(target) = set.records().next() else { return Ok(Rcode::ServFail) };
        let at = answer.record(Section::Answer, owner, (rtype::CNAME, set.ttl), target)?;
        if self.qtype == rtype::ANY || ALIASES_MAX <= self.followed {
            return Ok(Rcode::NoError);
        }
        self.followed += 1;
        let lower = target.to_ascii_lowercase();
        let found = self.tables.find_name(&lower);
        self.resolve(found, Owner { name: target, at }, answer)
    }

    fn special(
        &mut self,
        zone: &Zone,
        special: &'a Special,
        family: Family,
        owner: Owner<'_>,
        answer: &mut Answer<'_>,
    ) -> Result<Rcode, Full> {
        let before = answer.count(Section::Answer);
        match special {
            Special::Route(route) => self.route(route, family, None, owner, answer)?,
            Special::Alias(alias) => self.alias(alias, family, owner, answer)?,
        }
        if answer.count(Section::Answer) == before {
            deny(zone, owner, answer)?;
        }
        Ok(Rcode::NoError)
    }

    fn route(
        &mut self,
        route: &Route,
        family: Family,
        ttl_max: Option<u32>,
        owner: Owner<'_>,
        answer: &mut Answer<'_>,
    ) -> Result<(), Full> {
        let pick = route.pick(self.client, family, self.rng);
        if let Some(span) = pick.span {
            self.scope = Some(self.scope.unwrap_or(0).max(span.bits));
        }
        let ttl = ttl_max.map_or(route.ttl, |it| it.min(route.ttl));
        for chosen in &pick.endpoints {
            let endpoint = &route.endpoints[usize::from(*chosen)];
            match family {
                Family::V4 => write_all(&endpoint.v4, (rtype::A, ttl), owner, answer)?,
                Family::V6 => write_all(&endpoint.v6, (rtype::AAAA, ttl), owner, answer)?,
            }
        }
        Ok(())
    }

    /// Answers with the addresses of another name.
    fn alias(
        &mut self,
        alias: &'a Alias,
        family: Family,
        owner: Owner<'_>,
        answer: &mut Answer<'_>,
    ) -> Result<(), Full> {
        let (mut name, mut ttl) = (alias.target.wire().to_vec(), alias.ttl);
        for _ in 0..ALIASES_MAX {
            let Found::Node(_, node) = self.tables.find_name(&name) else { break };
            if let Some(set) = node.set(self.qtype) {
                let kind = (set.rtype, ttl.min(set.ttl));
                for data in set.records() {
                    answer.record(Section::Answer, owner, kind, data)?;
                }
                return Ok(());
            }
            name = match (node.special(), node.set(rtype::CNAME)) {
                (Some(Special::Route(route)), _) => {
                    return self.route(route, family, Some(ttl), owner, answer);
                }
                (Some(Special::Alias(next)), _) => {
                    ttl = ttl.min(next.ttl);
                    next.target.wire().to_vec()
                }
                (None, Some(set)) => {
                    ttl = ttl.min(set.ttl);
                    set.records().next().unwrap_or(&[0]).to_ascii_lowercase()
                }
                (None, None) => return Ok(()),
            };
        }
        let known = super::Name::from_wire(&name).and_then(|it| self.tables.elsewhere(&it));
        let Some(known) = known else { return Ok(()) };
        let ttl = ttl.min(known.ttl);
        match family {
            Family::V4 => {
                let all: Vec<_> = known.v4.iter().map(std::net::Ipv4Addr::octets).collect();
                write_all(&all, (rtype::A, ttl), owner, answer)
            }
            Family::V6 => {
                let all: Vec<_> = known.v6.iter().map(std::net::Ipv6Addr::octets).collect();
                write_all(&all, (rtype::AAAA, ttl), owner, answer)
            }
        }
    }

    /// Says who keeps the zone that the name is in, and where those are that are in that zone
    /// themselves (RFC 9471).
    fn refer(
        &mut self,
        zone: &Zone,
        cut: &'a Node,
        owner: Owner<'_>,
        answer: &mut Answer<'_>,
    ) -> Result<Rcode, Full> {
        let Some(servers) = cut.set(rtype::NS) else { return Ok(Rcode::ServFail) };
        let cut_owner = owner.above(cut.name().len());
        // What is said of the zone below in this one is the DS record alone (RFC 4035, 3.1.4.1).
        if self.qtype == rtype::DS && owner.name.len() == cut.name().len() {
            answer.set(flag::AUTHORITATIVE);
            match cut.set(rtype::DS) {
                Some(set) => write_set(set, owner, answer)?,
                None => deny(zone, owner, answer)?,
            }
            return Ok(Rcode::NoError);
        }
        let mut glue = smallvec::SmallVec::<[(usize, Vec<u8>); 4]>::new();
        for data in servers.records() {
            let kind = (rtype::NS, servers.ttl);
            let at = answer.record(Section::Authority, cut_owner, kind, data)?;
            let lower = data.to_ascii_lowercase();
            if lower.ends_with(cut.name()) {
                glue.push((at, lower));
            }
        }
        for (at, name) in &glue {
            let Some(node) = self.tables.node(name) else { continue };
            for set in [rtype::A, rtype::AAAA].into_iter().filter_map(|it| node.set(it)) {
                for data in set.records() {
                    let (kind, owner) = ((set.rtype, set.ttl), Owner { name, at: *at });
                    answer.record(Section::Additional, owner, kind, data)?;
                }
            }
        }
        Ok(Rcode::NoError)
    }
}

fn family(qtype: u16) -> Option<Family> {
    match qtype {
        rtype::A => Some(Family::V4),
        rtype::AAAA => Some(Family::V6),
        _ => None,
    }
}

fn write_set(set: &RecordSet, owner: Owner<'_>, answer: &mut Answer<'_>) -> Result<(), Full> {
    for data in set.records() {
        answer.record(Section::Answer, owner, (set.rtype, set.ttl), data)?;
    }
    Ok(())
}

fn write_all<const N: usize>(
    all: &[[u8; N]],
    kind: (u16, u32),
    owner: Owner<'_>,
    answer: &mut Answer<'_>,
) -> Result<(), Full> {
    for data in all {
        answer.record(Section::Answer, owner, kind, data)?;
    }
    Ok(())
}

/// Says what the zone is in which something does not exist (RFC 2308).
fn deny(zone: &Zone, owner: Owner<'_>, answer: &mut Answer<'_>) -> Result<(), Full> {
    let apex = owner.above(zone.apex.wire().len());
    let kind = (rtype::SOA, zone.soa_ttl.min(zone.negative_ttl));
    answer.record(Section::Authority, apex, kind, &zone.soa)?;
    Ok(())
}

#[cfg(test)]
#[path = "answer_tests.rs"]
pub(super) mod tests;
