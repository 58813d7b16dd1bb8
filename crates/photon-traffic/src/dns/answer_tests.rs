//! Answers, record by record, as an independent reader of messages sees them.
//! Must not know how they are made.

use std::collections::{BTreeMap, BTreeSet};

use domain::base::iana::Class;
use domain::base::message_builder::MessageBuilder;
use domain::base::opt::AllOptData;
use domain::base::zonefile_fmt::{DisplayKind, ZonefileFmt};
use domain::base::{Message, Name as DomainName, Rtype};
use domain::rdata::AllRecordData;
use photon_region::Place;
use photon_state::RegionId;

use super::super::spec::{NameSpec, ZoneSpec};
use super::super::{Ground, Name, Zone};
use super::*;
use crate::geo::{Classes, Locus};

pub(crate) const ZONE: &str = r#"
www      A 192.0.2.1 | AAAA 2001:db8::1
many     A 192.0.2.1 192.0.2.2 192.0.2.3
text     TXT "hello world"
al       CNAME www
far      CNAME www.example.org.
chain    CNAME al
loop     CNAME pool
pool     CNAME loop
gone     CNAME nothing
*.wild   A 192.0.2.9
a.b.c    TXT "deep"
sub      NS ns.sub ns.example.org. | DS 12345 13 2 AA
ns.sub   A 192.0.2.53
@        MX "10 mail" | CAA "0 issue \"ca.example\""
svc      HTTPS "1 . alpn=h2"
big      TXT long
"#;

fn region(name: &str) -> RegionId {
    RegionId::try_from(name).unwrap()
}

/// A planet of three regions, on which networks 10.x are in Germany and 11.x in Japan.
pub(crate) fn with_ground<T>(run: impl FnOnce(Ground<'_>) -> T) -> T {
    let place = |latitude, longitude| Place { latitude, longitude };
    let regions = BTreeMap::from([
        (region("eu"), place(50.0, 8.0)),
        (region("us"), place(39.0, -77.0)),
        (region("ap"), place(35.0, 139.0)),
    ]);
    let placements =
        BTreeMap::from([("europe".try_into().unwrap(), BTreeSet::from([region("eu")]))]);
    let addresses = BTreeMap::from([(region("us"), vec!["203.0.113.1".parse().unwrap()])]);
    let geo = crate::geo::tests::geo();
    let measured = |_: &Locus, _: RegionId| None;
    let here = Some(regions[&region("eu")]);
    run(Ground {
        regions: &regions,
        addresses: &addresses,
        placements: &placements,
        geo: &geo,
        here,
        measured: &measured,
    })
}

/// Returns tables of the zone above, with names that are said beside it as JSON.
pub(crate) fn tables(more: &[(&str, &str)]) -> Tables {
    let apex: Name = "example.com".parse().unwrap();
    let spec: ZoneSpec =
        serde_json::from_str(r#"{"nameServers": ["ns1", "ns2.example.org."], "ttl": 60}"#).unwrap();
    let zone = Zone::new(apex.clone(), &spec).unwrap();
    let mut tables = Tables::default();
    tables.put_zone(zone.clone(), 7);
    let mut put = |name: &str, spec: &NameSpec| {
        let name = Name::parse(name, &apex).unwrap();
        let answers =
            with_ground(|it| zone.answers(&name, spec, it, &mut Classes::default())).unwrap();
        tables.put_name(&apex, &name, answers);
    };
    for line in ZONE.trim().lines() {
        let (name, rest) = line.split_once(' ').unwrap();
        let mut spec = NameSpec::default();
        for set in rest.split('|') {
            let (rtype, values) = set.trim().split_once(' ').unwrap();
            let values = match (name, rtype) {
                ("big", _) => (0..20).map(|it| format!("{it}{}", "x".repeat(90))).collect(),
                (_, "A" | "AAAA" | "NS") => values.split(' ').map(str::to_owned).collect(),
                ("@" | "svc", _) => {
                    vec![serde_json::from_str(values.trim()).unwrap()]
                }
                _ => vec![values.to_owned()],
            };
            spec.records.push(super::super::spec::RecordsSpec {
                rtype: rtype.to_owned(),
                ttl: None,
                values,
            });
        }
        put(name, &spec);
    }
    for (name, json) in more {
        put(name, &serde_json::from_str(json).unwrap());
    }
    tables
}

/// Makes a query as clients do.
pub(crate) fn query(name: &str, rtype: &str, subnet: Option<&str>) -> Vec<u8> {
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_id(77);
    builder.header_mut().set_rd(true);
    let mut builder = builder.question();
    let name: DomainName<Vec<u8>> = name.parse().unwrap();
    builder.push((name, rtype.parse::<Rtype>().unwrap(), Class::IN)).unwrap();
    let mut builder = builder.additional();
    if let Some(subnet) = subnet {
        let (address, bits) = subnet.split_once('/').unwrap_or(("0.0.0.0", ""));
        builder
            .opt(|opt| {
                opt.set_udp_payload_size(4096);
                match bits.parse() {
                    Ok(bits) => opt.client_subnet(bits, 0, address.parse().unwrap()),
                    Err(_) => Ok(()),
                }
            })
            .unwrap();
    }
    builder.finish()
}

/// Shows an answer: its code and flags, then each record behind the mark of its section.
pub(crate) fn show(bytes: &[u8]) -> Vec<String> {
    let message = Message::from_octets(bytes).unwrap();
    let header = message.header();
    assert!(header.qr() && !header.ra() && header.id() == 77 && header.rd());
    let flags = [(header.aa(), " aa"), (header.tc(), " tc")];
    let flags: String = flags.iter().filter(|it| it.0).map(|it| it.1).collect();
    let mut lines = vec![format!("{}{flags}", message.opt_rcode())];
    let (_, answer, authority, additional) = message.sections().unwrap();
    for (mark, section) in [("", answer), ("auth ", authority), ("add ", additional)] {
        for record in section.limit_to::<AllRecordData<_, _>>() {
            let record = record.unwrap();
            if record.rtype() == Rtype::OPT {
                continue;
            }
            let (owner, ttl) = (record.owner(), record.ttl().as_secs());
            let data = record.data().display_zonefile(DisplayKind::Simple).to_string();
            lines.push(format!("{mark}{owner}. {ttl} {} {data}", record.rtype()));
        }
    }
    if let Some(opt) = message.opt() {
        let options = opt.opt().iter::<AllOptData<_, _>>().map(Result::unwrap);
        lines.extend(options.map(|it| {
            if let AllOptData::ClientSubnet(it) = it {
                return format!("scope {}", it.scope_prefix_len());
            }
            format!("{it:?}")
        }));
    }
    lines
}

fn ask(tables: &Tables, message: &[u8], via: Via) -> Option<Vec<u8>> {
    let mut responder = Responder::new(Arc::from(&b"eu"[..]), 1);
    let mut out = vec![0xff; STREAM_BYTES_MAX];
    let from = "10.1.2.3".parse().unwrap();
    let len = responder.answer(tables, message, from, via, &mut out)?;
    Some(out[..len].to_vec())
}

#[track_caller]
fn check(question: &str, expected: &[&str]) {
    let (name, rtype) = question.split_once(' ').unwrap();
    let answer = ask(&tables(&[]), &query(name, rtype, None), Via::Datagram).unwrap();
    assert_eq!(show(&answer), expected, "{question}");
}

const SOA: &str =
    "auth example.com. 60 SOA ns1.example.com. hostmaster.example.com. 7 3600 600 1209600 60";

#[test]
fn a_name_is_answered_with_its_records() {
    check("www.example.com A", &["NOERROR aa", "www.example.com. 60 A 192.0.2.1"]);
    check("wWw.eXample.com AAAA", &["NOERROR aa", "wWw.eXample.com. 60 AAAA 2001:db8::1"]);
    let three = ["1", "2", "3"].map(|it| format!("many.example.com. 60 A 192.0.2.{it}"));
    check("many.example.com A", &["NOERROR aa", &three[0], &three[1], &three[2]]);
    check("text.example.com TXT", &["NOERROR aa", "text.example.com. 60 TXT \"hello world\""]);
    check("svc.example.com HTTPS", &["NOERROR aa", "svc.example.com. 60 HTTPS 1 . alpn=h2"]);
    check("example.com MX", &["NOERROR aa", "example.com. 60 MX 10 mail.example.com."]);
    check("example.com CAA", &["NOERROR aa", "example.com. 60 CAA 0 issue \"ca.example\""]);
}

#[test]
fn a_zone_says_who_keeps_it() {
    let soa = SOA.strip_prefix("auth ").unwrap();
    check("example.com SOA", &["NOERROR aa", soa]);
    let servers = ["ns1.example.com.", "ns2.example.org."];
    let servers = servers.map(|it| format!("example.com. 60 NS {it}"));
    check("example.com NS", &["NOERROR aa", &servers[0], &servers[1]]);
}

#[test]
fn what_does_not_exist_is_said_not_to() {
    check("nothing.example.com A", &["NXDOMAIN aa", SOA]);
    check("x.www.example.com A", &["NXDOMAIN aa", SOA]);
    check("www.example.com MX", &["NOERROR aa", SOA]);
    check("c.example.com A", &["NOERROR aa", SOA]);
    check("b.c.example.com TXT", &["NOERROR aa", SOA]);
    check("x.b.c.example.com TXT", &["NXDOMAIN aa", SOA]);
    check("www.example.com SOA", &["NOERROR aa", SOA]);
    check("www.example.org A", &["REFUSED"]);
    check("com A", &["REFUSED"]);
    check(". NS", &["REFUSED"]);
}

#[test]
fn an_alias_is_followed_as_far_as_it_is_kept_here() {
    let www = "www.example.com. 60 A 192.0.2.1";
    let al = "al.example.com. 60 CNAME www.example.com.";
    check("al.example.com A", &["NOERROR aa", al, www]);
    check("al.example.com CNAME", &["NOERROR aa", al]);
    let chain = "chain.example.com. 60 CNAME al.example.com.";
    check("chain.example.com A", &["NOERROR aa", chain, al, www]);
    check("chain.example.com MX", &["NOERROR aa", chain, al, SOA]);
    let far = "far.example.com. 60 CNAME www.example.org.";
    check("far.example.com A", &["NOERROR aa", far]);
    let gone = "gone.example.com. 60 CNAME nothing.example.com.";
    check("gone.example.com A", &["NXDOMAIN aa", gone, SOA]);
    let answer = ask(&tables(&[]), &query("loop.example.com", "A", None), Via::Stream).unwrap();
    assert_eq!(show(&answer).len(), 2 + ALIASES_MAX);
}

#[test]
fn a_wildcard_stands_for_names_that_do_not_exist() {
    check("x.wild.example.com A", &["NOERROR aa", "x.wild.example.com. 60 A 192.0.2.9"]);
    check("x.y.wild.example.com A", &["NOERROR aa", "x.y.wild.example.com. 60 A 192.0.2.9"]);
    check("wild.example.com A", &["NOERROR aa", SOA]);
    check("x.wild.example.com MX", &["NOERROR aa", SOA]);
}

#[test]
fn who_asks_for_a_zone_that_is_kept_elsewhere_is_sent_there() {
    let expected = [
        "NOERROR",
        "auth sub.example.com. 60 NS ns.example.org.",
        "auth sub.example.com. 60 NS ns.sub.example.com.",
        "add ns.sub.example.com. 60 A 192.0.2.53",
    ];
    let mut expected_order = expected;
    expected_order.swap(1, 2);
    for question in ["sub", "x.sub", "ns.sub", "y.x.sub"] {
        let (tables, name) = (tables(&[]), format!("{question}.example.com"));
        let answer = ask(&tables, &query(&name, "A", None), Via::Datagram).unwrap();
        let mut shown = show(&answer);
        shown[1..3].sort();
        assert_eq!(shown, expected, "{question}");
    }
    check("sub.example.com DS", &["NOERROR aa", "sub.example.com. 60 DS 12345 13 2 AA"]);
}

#[test]
fn any_is_answered_with_one_record() {
    check("www.example.com ANY", &["NOERROR aa", "www.example.com. 3600 HINFO \"RFC8482\" \"\""]);
    check("nothing.example.com ANY", &["NXDOMAIN aa", SOA]);
    let al = "al.example.com. 60 CNAME www.example.com.";
    check("al.example.com ANY", &["NOERROR aa", al]);
}

#[test]
fn what_has_no_room_in_a_datagram_is_cut() {
    let (tables, asked) = (tables(&[]), query("big.example.com", "TXT", Some("")));
    let cut = ask(&tables, &asked, Via::Datagram).unwrap();
    assert_eq!(show(&cut), ["NOERROR aa tc"]);
    assert_eq!(show(&ask(&tables, &asked, Via::Stream).unwrap()).len(), 21);
}

#[test]
fn a_kind_of_question_that_is_not_answered_is_said_to_be_one() {
    check("example.com AXFR", &["REFUSED"]);
    check("example.com MAILB", &["NOTIMP"]);
    let ask = |bytes: &[u8]| ask(&tables(&[]), bytes, Via::Datagram);
    let mut chaos = query("version.bind", "TXT", None);
    let end = chaos.len();
    chaos[end - 1] = 3;
    assert_eq!(show(&ask(&chaos).unwrap()), ["REFUSED"]);
    let mut notify = query("example.com", "SOA", None);
    notify[2] |= 0x20;
    assert_eq!(show(&ask(&notify).unwrap()), ["NOTIMP"]);
    let mut later = query("example.com", "SOA", Some(""));
    let end = later.len();
    later[end - 5] = 9;
    assert_eq!(show(&ask(&later).unwrap()), ["BADVERS"]);
    assert_eq!(ask(&later[..9]), None);
}

const ROUTE: &str = r#"{"route": {"policy": "geoproximity", "endpoints": [
    {"name": "eu", "region": "eu", "addresses": ["192.0.2.10", "2001:db8::10"]},
    {"name": "ap", "region": "ap", "addresses": ["192.0.2.30"]}
]}}"#;

#[track_caller]
fn check_route(subnet: &str, rtype: &str, expected: &[&str]) {
    let tables = tables(&[("geo", ROUTE), ("to-geo", r#"{"alias": {"target": "geo"}}"#)]);
    let name = "geo.example.com";
    let answer = ask(&tables, &query(name, rtype, Some(subnet)), Via::Datagram).unwrap();
    assert_eq!(show(&answer), expected, "{subnet}");
}

#[test]
fn a_client_is_sent_to_what_is_near_and_told_for_which_network_that_holds() {
    let (eu, ap) = ("geo.example.com. 30 A 192.0.2.10", "geo.example.com. 30 A 192.0.2.30");
    check_route("10.0.0.0/24", "A", &["NOERROR aa", eu, "scope 8"]);
    check_route("11.9.0.0/16", "A", &["NOERROR aa", ap, "scope 8"]);
    check_route("", "A", &["NOERROR aa", eu]);
    let v6 = "geo.example.com. 30 AAAA 2001:db8::10";
    check_route("11.9.0.0/16", "AAAA", &["NOERROR aa", v6, "scope 8"]);
    check_route("0.0.0.0/0", "A", &["NOERROR aa", eu, "scope 0"]);
    check_route("11.9.0.0/16", "MX", &["NOERROR aa", SOA, "scope 0"]);
}

#[test]
fn an_alias_answers_with_addresses_of_its_own_name() {
    let more = [
        ("@", r#"{"alias": {"target": "geo", "ttl": 10}}"#),
        ("geo", ROUTE),
        ("plain", r#"{"alias": {"target": "al"}}"#),
        ("out", r#"{"alias": {"target": "www.example.org."}}"#),
        ("never", r#"{"alias": {"target": "x.example.org."}}"#),
        ("self", r#"{"alias": {"target": "self"}}"#),
    ];
    let mut tables = tables(&more);
    let found =
        super::super::Addresses { v4: vec!["198.51.100.1".parse().unwrap()], v6: vec![], ttl: 20 };
    tables.set_elsewhere([("www.example.org".parse().unwrap(), found)].into());
    let check = |name: &str, expected: &[&str]| {
        let answer = ask(&tables, &query(name, "A", None), Via::Datagram).unwrap();
        assert_eq!(show(&answer), expected);
    };
    check("example.com", &["NOERROR aa", "example.com. 10 A 192.0.2.10"]);
    check("plain.example.com", &["NOERROR aa", "plain.example.com. 60 A 192.0.2.1"]);
    check("out.example.com", &["NOERROR aa", "out.example.com. 20 A 198.51.100.1"]);
    check("never.example.com", &["NOERROR aa", SOA]);
    check("self.example.com", &["NOERROR aa", SOA]);
}

#[test]
fn a_zone_in_another_zone_has_its_own_names() {
    let mut tables = tables(&[]);
    let apex: Name = "x.y.example.com".parse().unwrap();
    let spec = ZoneSpec { name_servers: vec!["ns".to_owned()], ..ZoneSpec::default() };
    tables.put_zone(Zone::new(apex.clone(), &spec).unwrap(), 9);
    let answer = |name: &str| {
        let answer = ask(&tables, &query(name, "A", None), Via::Datagram).unwrap();
        show(&answer)
    };
    let own = "auth x.y.example.com. 60 SOA ns.x.y.example.com. hostmaster.x.y.example.com. \
        9 3600 600 1209600 60";
    assert_eq!(answer("a.b.x.y.example.com"), ["NXDOMAIN aa", own]);
    assert_eq!(answer("x.y.example.com"), ["NOERROR aa", own]);
    assert_eq!(answer("y.example.com"), ["NOERROR aa", SOA]);
    assert_eq!(answer("z.y.example.com"), ["NXDOMAIN aa", SOA]);
    tables.remove_zone(&apex);
    assert_eq!(tables.zones().count(), 1);
}

proptest::proptest! {
    #[test]
    fn no_query_makes_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let tables = tables(&[]);
        let _ = ask(&tables, &bytes, Via::Datagram);
        let mut prefixed = query("www.example.com", "A", Some("10.0.0.0/8"));
        let end = prefixed.len();
        for (index, byte) in bytes.iter().enumerate() {
            prefixed[12 + index % (end - 12)] ^= byte;
        }
        let _ = ask(&tables, &prefixed, Via::Datagram);
    }
}
