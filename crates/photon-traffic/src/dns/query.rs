//! Reads a query: its head, its question and what it says by EDNS.
//! Must not know any zone; bytes are those of strangers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::name::{NAME_BYTES_MAX, Name};
use super::wire::{HEAD_BYTES, Rcode, rtype, u16_at};

/// The most labels of a name, and so of places where one begins.
const LABELS_MAX: usize = 128;

/// A query as it was read. One is kept for each thread, and filled anew by each message.
#[derive(Clone, Debug)]
pub struct Query {
    /// What the client calls it.
    pub id: u16,
    /// The flags of the head as they came.
    pub flags: u16,
    /// What type is asked for.
    pub qtype: u16,
    /// In which class.
    pub qclass: u16,
    /// Where the question ends in the message.
    pub question_end: usize,
    /// What was said by EDNS, if anything.
    pub edns: Option<Edns>,
    /// Where the last record of the message begins, if it is a signature of the transaction.
    pub tsig_at: Option<usize>,
    name: [u8; NAME_BYTES_MAX],
    name_len: u8,
    /// Where each label begins; the first at 0.
    starts: [u8; LABELS_MAX],
    depth: u8,
}

/// What a client says by EDNS (RFC 6891).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edns {
    /// How long a message it can take.
    pub udp_bytes: u16,
    /// Which version it speaks.
    pub version: u8,
    /// Whether it wants signatures.
    pub dnssec_ok: bool,
    /// For whom it asks (RFC 7871).
    pub subnet: Option<Subnet>,
    /// What tells it from those who only pretend to be it (RFC 7873).
    pub cookie: Option<Cookie>,
    /// Whether it wants to know who answers (RFC 5001).
    pub nsid: bool,
    /// Whether it wants to know how long its connection is kept (RFC 7828).
    pub keepalive: bool,
    /// Whether it pads what it says (RFC 7830).
    pub padding: bool,
}

/// The network of the client for which a resolver asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// Its first address.
    pub address: IpAddr,
    /// How many bits of it are said.
    pub bits: u8,
}

/// A cookie: what the client chose, and what it was given earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// What the client chose.
    pub client: [u8; 8],
    /// What a server gave it: 8 to 32 bytes, of which 16 are ours.
    pub server: Option<[u8; 16]>,
}

/// Options of EDNS (the registry "DNS EDNS0 Option Codes" of IANA).
pub(super) mod option {
    pub(crate) const NSID: u16 = 3;
    pub(crate) const SUBNET: u16 = 8;
    pub(crate) const COOKIE: u16 = 10;
    pub(crate) const KEEPALIVE: u16 = 11;
    pub(crate) const PADDING: u16 = 12;
}

impl Default for Query {
    fn default() -> Self {
        Self {
            id: 0,
            flags: 0,
            qtype: 0,
            qclass: 0,
            question_end: HEAD_BYTES,
            edns: None,
            tsig_at: None,
            name: [0; NAME_BYTES_MAX],
            name_len: 1,
            starts: [0; LABELS_MAX],
            depth: 0,
        }
    }
}

impl Query {
    const IS_RESPONSE: u16 = 0x8000;
    const OPCODE: u16 = 0x7800;

    /// Reads a message. What cannot be answered at all, because it is no query, is `None`; what is
    /// answered with an error is that error. The head and, if it could be read, the question are
    /// then those of the message.
    pub fn read(&mut self, message: &[u8]) -> Option<Result<(), Rcode>> {
        self.question_end = HEAD_BYTES;
        self.edns = None;
        self.tsig_at = None;
        let head = message.first_chunk::<HEAD_BYTES>()?;
        self.id = u16::from_be_bytes([head[0], head[1]]);
        self.flags = u16::from_be_bytes([head[2], head[3]]);
        if self.flags & Self::IS_RESPONSE != 0 {
            return None;
        }
        if self.flags & Self::OPCODE != 0 {
            return Some(Err(Rcode::NotImp));
        }
        let questions = u16::from_be_bytes([head[4], head[5]]);
        let others =
            [u16::from_be_bytes([head[6], head[7]]), u16::from_be_bytes([head[8], head[9]])];
        let additional = u16::from_be_bytes([head[10], head[11]]);
        if questions != 1 || others[0] != 0 {
            return Some(Err(Rcode::FormErr));
        }
        let Some(end) = self.read_question(message) else { return Some(Err(Rcode::FormErr)) };
        self.question_end = end;
        // An IXFR says in the authority section what the client has (RFC 1995).
        let is_fine = others[1] == 0 || (self.qtype == rtype::IXFR && others[1] == 1);
        if !is_fine {
            return Some(Err(Rcode::FormErr));
        }
        if additional == 0 && others[1] == 0 {
            // Bytes behind the message are passed over, as most servers do.
            return Some(Ok(()));
        }
        Some(self.read_rest(message, end, others[1], additional))
    }

    /// Returns the name that is asked for, in lower case.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name[..usize::from(self.name_len)]
    }

    /// Returns the same as a name of its own.
    #[must_use]
    pub fn owned_name(&self) -> Name {
        Name::from_wire(self.name()).expect("the question was read as a name")
    }

    /// Returns how many labels the name has, the root's not counted.
    #[must_use]
    pub fn depth(&self) -> usize {
        usize::from(self.depth)
    }

    /// Returns the name without its first labels.
    #[must_use]
    pub fn above(&self, labels: usize) -> &[u8] {
        let start = self.starts.get(labels).map_or(0, |it| usize::from(*it));
        &self.name()[start..]
    }

    fn read_question(&mut self, message: &[u8]) -> Option<usize> {
        let bytes = &message[HEAD_BYTES..];
        let (mut at, mut depth) = (0, 0);
        loop {
            let len = usize::from(*bytes.get(at)?);
            // A pointer makes no sense in the first name of a message.
            if 63 < len || NAME_BYTES_MAX <= at + len {
                return None;
            }
            self.starts[depth] = at as u8;
            let end = at + 1 + len;
            let label = bytes.get(at..end)?;
            let lower = &mut self.name[at..end];
            lower.copy_from_slice(label);
            lower.make_ascii_lowercase();
            at = end;
            if len == 0 {
                break;
            }
            depth += 1;
        }
        (self.name_len, self.depth) = (at as u8, depth as u8);
        let rest = bytes.get(at..at + 4)?;
        self.qtype = u16::from_be_bytes([rest[0], rest[1]]);
        self.qclass = u16::from_be_bytes([rest[2], rest[3]]);
        Some(HEAD_BYTES + at + 4)
    }

    fn read_rest(
        &mut self,
        message: &[u8],
        mut at: usize,
        authority: u16,
        additional: u16,
    ) -> Result<(), Rcode> {
        for _ in 0..authority {
            at = skip_record(message, at).ok_or(Rcode::FormErr)?.1;
        }
        for index in 0..additional {
            let begin = at;
            let (owner_end, end) = skip_record(message, at).ok_or(Rcode::FormErr)?;
            at = end;
            let kind = u16_at(message, owner_end).ok_or(Rcode::FormErr)?;
            match kind {
                rtype::OPT if message[begin] == 0 && self.edns.is_none() => {
                    let head = &message[owner_end + 2..owner_end + 8];
                    let edns = read_opt(head, &message[owner_end + 10..end])?;
                    self.edns = Some(edns);
                }
                rtype::OPT => return Err(Rcode::FormErr),
                rtype::TSIG if index + 1 == additional => self.tsig_at = Some(begin),
                rtype::TSIG => return Err(Rcode::FormErr),
                _ => {}
            }
        }
        match self.edns {
            Some(Edns { version: 1.., .. }) => Err(Rcode::BadVers),
            _ => Ok(()),
        }
    }
}

/// Returns where the owner of a record ends, and the record.
fn skip_record(message: &[u8], mut at: usize) -> Option<(usize, usize)> {
    loop {
        let len = usize::from(*message.get(at)?);
        match len {
            0 => break at += 1,
            0xc0.. => break at += 2,
            64.. => return None,
            _ => at += 1 + len,
        }
    }
    let data_bytes = u16_at(message, at + 8)?;
    let end = at + 10 + usize::from(data_bytes);
    (end <= message.len()).then_some((at, end))
}

fn read_opt(head: &[u8], mut options: &[u8]) -> Result<Edns, Rcode> {
    let mut edns = Edns {
        udp_bytes: u16::from_be_bytes([head[0], head[1]]),
        version: head[3],
        dnssec_ok: head[4] & 0x80 != 0,
        ..Edns::default()
    };
    if edns.version != 0 {
        // What a later version means by its options is not known.
        return Ok(edns);
    }
    while !options.is_empty() {
        let (code, len) = (u16_at(options, 0), u16_at(options, 2));
        let (Some(code), Some(len)) = (code, len) else { return Err(Rcode::FormErr) };
        let end = 4 + usize::from(len);
        let value = options.get(4..end).ok_or(Rcode::FormErr)?;
        options = &options[end..];
        match code {
            option::SUBNET if edns.subnet.is_some() => return Err(Rcode::FormErr),
            option::SUBNET => edns.subnet = Some(read_subnet(value).ok_or(Rcode::FormErr)?),
            option::COOKIE if edns.cookie.is_none() => {
                edns.cookie = Some(read_cookie(value).ok_or(Rcode::FormErr)?);
            }
            option::NSID => edns.nsid = true,
            option::KEEPALIVE => edns.keepalive = true,
            option::PADDING => edns.padding = true,
            _ => {}
        }
    }
    Ok(edns)
}

/// Reads a client subnet: RFC 7871, section 6 says what is malformed.
fn read_subnet(value: &[u8]) -> Option<Subnet> {
    let (head, address) = value.split_at_checked(4)?;
    let (family, bits, scope) = (u16_at(head, 0)?, head[2], head[3]);
    if scope != 0 || address.len() != usize::from(bits).div_ceil(8) {
        return None;
    }
    let is_clean = |all: &[u8]| bits % 8 == 0 || all.last().is_none_or(|it| it << (bits % 8) == 0);
    let mut wide = [0; 16];
    wide.get_mut(..address.len())?.copy_from_slice(address);
    let is_whole = is_clean(address);
    let address = match family {
        1 if bits <= 32 => IpAddr::V4(Ipv4Addr::new(wide[0], wide[1], wide[2], wide[3])),
        2 if bits <= 128 => IpAddr::V6(Ipv6Addr::from(wide)),
        _ => return None,
    };
    is_whole.then_some(Subnet { address, bits })
}

fn read_cookie(value: &[u8]) -> Option<Cookie> {
    let client = *value.first_chunk::<8>()?;
    match value.len() {
        8 => Some(Cookie { client, server: None }),
        24 => Some(Cookie { client, server: value[8..].try_into().ok() }),
        // Given by a server of another kind: it is no good here, but well formed.
        16..=40 => Some(Cookie { client, server: Some([0; 16]) }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns a query for `www.Example.com` with an additional section.
    fn message(additional: &[&[u8]]) -> Vec<u8> {
        let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, additional.len() as u8];
        bytes.extend_from_slice(b"\x03www\x07Example\x03com\0\0\x01\0\x01");
        additional.iter().for_each(|it| bytes.extend_from_slice(it));
        bytes
    }

    fn opt(options: &[u8]) -> Vec<u8> {
        let head = [0, 0, 41, 0x10, 0, 0, 0, 0x80, 0, 0, options.len() as u8];
        [&head, options].concat()
    }

    fn read(message: &[u8]) -> (Query, Option<Result<(), Rcode>>) {
        let mut query = Query::default();
        let result = query.read(message);
        (query, result)
    }

    #[track_caller]
    fn check_subnet(value: &[u8], expected: Option<(&str, u8)>) {
        let head = [0, 8, 0, value.len() as u8];
        let (query, result) = read(&message(&[&opt(&[&head, value].concat())]));
        match expected {
            Some((address, bits)) => {
                assert_eq!(result, Some(Ok(())));
                let address = address.parse().unwrap();
                assert_eq!(query.edns.unwrap().subnet, Some(Subnet { address, bits }));
            }
            None => assert_eq!(result, Some(Err(Rcode::FormErr))),
        }
    }

    #[test]
    fn a_query_is_read_with_its_name_in_lower_case() {
        let (query, result) = read(&message(&[]));
        assert_eq!(result, Some(Ok(())));
        assert_eq!((query.id, query.qtype, query.qclass), (0x1234, 1, 1));
        assert_eq!(query.owned_name().to_string(), "www.example.com.");
        assert_eq!((query.depth(), query.above(1)), (3, &b"\x07example\x03com\0"[..]));
        assert_eq!(query.above(3), b"\0");
        assert_eq!(query.question_end, message(&[]).len());
    }

    #[test]
    fn what_is_said_by_edns_is_heard() {
        let cookie = [&[0, 10, 0, 8][..], b"cccccccc", &[0, 3, 0, 0]].concat();
        let (query, result) = read(&message(&[&opt(&cookie)]));
        assert_eq!(result, Some(Ok(())));
        let edns = query.edns.unwrap();
        assert_eq!((edns.udp_bytes, edns.dnssec_ok, edns.nsid), (4096, true, true));
        assert_eq!(edns.cookie, Some(Cookie { client: *b"cccccccc", server: None }));
    }

    #[test]
    fn a_client_subnet_is_taken_only_if_it_is_well_formed() {
        check_subnet(&[0, 1, 24, 0, 192, 0, 2], Some(("192.0.2.0", 24)));
        check_subnet(&[0, 1, 0, 0], Some(("0.0.0.0", 0)));
        check_subnet(&[0, 2, 32, 0, 0x20, 1, 0xd, 0xb8], Some(("2001:db8::", 32)));
        check_subnet(&[0, 1, 24, 0, 192, 0], None);
        check_subnet(&[0, 1, 24, 0, 192, 0, 2, 0], None);
        check_subnet(&[0, 1, 23, 0, 192, 0, 3], None);
        check_subnet(&[0, 1, 24, 24, 192, 0, 2], None);
        check_subnet(&[0, 1, 40, 0, 192, 0, 2, 1, 1], None);
        check_subnet(&[0, 3, 8, 0, 192], None);
        check_subnet(&[0, 1, 24], None);
    }

    #[test]
    fn what_is_no_query_is_not_answered_and_what_is_a_bad_one_is_told_why() {
        let good = message(&[]);
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            read(&bytes).1
        };
        assert_eq!(read(&good[..11]).1, None);
        assert_eq!(with(2, 0x81), None, "an answer");
        assert_eq!(with(2, 0x20), Some(Err(Rcode::NotImp)));
        assert_eq!(with(5, 0), Some(Err(Rcode::FormErr)));
        assert_eq!(with(5, 2), Some(Err(Rcode::FormErr)));
        assert_eq!(with(7, 1), Some(Err(Rcode::FormErr)));
        assert_eq!(with(9, 1), Some(Err(Rcode::FormErr)));
        assert_eq!(with(11, 1), Some(Err(Rcode::FormErr)));
        assert_eq!(with(12, 0xc0), Some(Err(Rcode::FormErr)));
        assert_eq!(read(&good[..good.len() - 1]).1, Some(Err(Rcode::FormErr)));
        let (two, later) = (opt(&[]), [0, 0, 41, 2, 0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(read(&message(&[&two, &two])).1, Some(Err(Rcode::FormErr)));
        assert_eq!(read(&message(&[&later])).1, Some(Err(Rcode::BadVers)));
        assert_eq!(read(&message(&[&opt(&[0, 8, 0, 9])])).1, Some(Err(Rcode::FormErr)));
        assert_eq!(read(&message(&[&opt(&[0, 10, 0, 1, 7])])).1, Some(Err(Rcode::FormErr)));
    }

    #[test]
    fn a_name_may_have_255_bytes_and_no_more() {
        let named = |labels: usize, last: usize| {
            let mut bytes = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            for _ in 0..labels {
                bytes.extend_from_slice(b"\x01a");
            }
            bytes.push(last as u8);
            bytes.extend(vec![b'z'; last]);
            bytes.extend_from_slice(if last == 0 { b"\0\x01\0\x01" } else { b"\0\0\x01\0\x01" });
            let (query, result) = read(&bytes);
            result.map(|it| it.map(|()| query.name().len()))
        };
        assert_eq!(named(127, 0), Some(Ok(255)));
        assert_eq!(named(126, 1), Some(Ok(255)));
        assert_eq!(named(126, 2), Some(Err(Rcode::FormErr)));
        assert_eq!(named(128, 0), Some(Err(Rcode::FormErr)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
            let _ = read(&[&message(&[])[..11], &[2], &message(&[])[12..], &bytes].concat());
        }
    }
}
