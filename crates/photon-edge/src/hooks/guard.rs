//! Which addresses may be posted to. A client says where its news shall go, and the region stands
//! where the client does not: it must not reach for it what only the region can reach (server-side
//! request forgery, CWE-918).
//! Must not resolve anything: addresses are checked once they are known, at each connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::Uri;

/// Where push notifications may be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PushTargets {
    /// To public addresses, over `https`.
    #[default]
    Https,
    /// To public addresses, over `http` too.
    Public,
    /// Anywhere: to this machine and to private networks, too.
    Any,
}

impl PushTargets {
    /// The longest address, in bytes.
    const URL_BYTES_MAX: usize = 2_048;

    /// Checks an address as far as that can be done without resolving it; says what is wrong.
    pub(crate) fn check(self, url: &str) -> Result<Uri, String> {
        if Self::URL_BYTES_MAX < url.len() {
            return Err(format!("use {} bytes at most", Self::URL_BYTES_MAX));
        }
        let uri: Uri = url.parse().map_err(|err| format!("this is no URL: {err}"))?;
        match (uri.scheme_str(), self) {
            (Some("https"), _) | (Some("http"), Self::Public | Self::Any) => {}
            (Some("http"), Self::Https) => {
                let help =
                    "use `https`; whoever runs this region may allow `http` (`push_targets`)";
                return Err(help.to_owned());
            }
            (Some(_) | None, _) => return Err("use `https://host/path`".to_owned()),
        }
        let Some(authority) = uri.authority() else { return Err("name a host".to_owned()) };
        if authority.as_str().contains('@') {
            return Err("no user and password in a URL: use `authentication`".to_owned());
        }
        let host = authority.host();
        if host.is_empty() {
            return Err("name a host".to_owned());
        }
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        let is_refused = literal.parse().is_ok_and(|ip| !self.allows(ip));
        if is_refused || self != Self::Any && is_local(host) {
            let help = "use a public address; whoever runs this region may allow others \
                        (`push_targets`)";
            return Err(help.to_owned());
        }
        Ok(uri)
    }

    /// Whether a connection to an address may be made.
    pub(crate) fn allows(self, ip: IpAddr) -> bool {
        match self {
            Self::Https | Self::Public => is_public(ip),
            Self::Any => true,
        }
    }
}

/// Whether a name is one of this machine by convention (RFC 6761).
fn is_local(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

/// Whether an address is reached over the public internet: no address of special purpose (IANA's
/// registries, RFC 6890), nor one in which such an address is wrapped.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_special = ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || a == 0
        || (a == 100 && b & 0xc0 == 64) // Shared by the customers of a provider (RFC 6598).
        || (a, b, c) == (192, 0, 0)
        || (a, b, c) == (192, 88, 99) // Relays of 6to4.
        || (a == 198 && b & 0xfe == 18) // Benchmarks (RFC 2544).
        || 224 <= a; // Multicast, reserved, broadcast.
    !is_special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let v4 = |high: u16, low: u16| {
        is_public_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
    };
    match (a, b) {
        (0, 0) if [c, d, e, f] == [0, 0, 0, 0xffff] => v4(g, h), // IPv4-mapped.
        (0x64, 0xff9b) if [c, d, e, f] == [0; 4] => v4(g, h),    // NAT64.
        (0x2002, _) => v4(b, c),                                 // 6to4.
        (0x2001, 0..0x200) | (0x2001, 0xdb8) => false, // Teredo and other protocols; documentation.
        (0x3fff, 0..0x1000) => false,                  // Documentation.
        _ => a & 0xe000 == 0x2000,                     // Global unicast; nothing else.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_are_public() {
        for public in ["1.1.1.1", "100.63.255.255", "172.15.0.1", "198.17.0.1", "223.255.255.255"] {
            assert!(PushTargets::Https.allows(public.parse().unwrap()), "{public}");
        }
        for public in ["2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1", "2002:101:101::"] {
            assert!(PushTargets::Public.allows(public.parse().unwrap()), "{public}");
        }
        for special in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:a00:1::",
            "2002:7f00:1::",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
        ] {
            let ip = special.parse().unwrap();
            assert!(!PushTargets::Https.allows(ip) && !PushTargets::Public.allows(ip), "{special}");
            assert!(PushTargets::Any.allows(ip), "{special}");
        }
    }

    #[test]
    fn an_address_is_checked_before_it_is_kept() {
        let long = format!("https://x.test/{}", "x".repeat(2_048));
        for (url, targets, is_allowed) in [
            ("https://example.com/hook?a=b", PushTargets::Https, true),
            ("https://example.com:8443", PushTargets::Https, true),
            ("https://1.1.1.1/", PushTargets::Https, true),
            ("http://example.com/hook", PushTargets::Https, false),
            ("http://example.com/hook", PushTargets::Public, true),
            ("http://127.0.0.1:80/", PushTargets::Public, false),
            ("http://127.0.0.1:80/", PushTargets::Any, true),
            ("http://[::1]/", PushTargets::Public, false),
            ("https://[fd00::1]:444/x", PushTargets::Https, false),
            ("https://LOCALHOST/", PushTargets::Https, false),
            ("https://a.localhost./", PushTargets::Https, false),
            ("http://localhost:1/", PushTargets::Any, true),
            ("https://user:secret@example.com/", PushTargets::Any, false),
            ("ftp://example.com/", PushTargets::Any, false),
            ("file:///etc/passwd", PushTargets::Any, false),
            ("/hook", PushTargets::Any, false),
            ("example.com", PushTargets::Any, false),
            ("https://", PushTargets::Any, false),
            ("https:///x", PushTargets::Any, false),
            ("", PushTargets::Any, false),
            (&long, PushTargets::Any, false),
        ] {
            let checked = targets.check(url);
            assert_eq!(checked.is_ok(), is_allowed, "{url} {targets:?}: {checked:?}");
        }
    }
}
