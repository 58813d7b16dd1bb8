//! The numbers of the wire format: types, classes, response codes, flags.
//! Must not know a message.

/// The head of a message (RFC 1035, 4.1.1).
pub const HEAD_BYTES: usize = 12;
/// The class of the internet.
pub const CLASS_IN: u16 = 1;
/// Any class, in a question.
pub const CLASS_ANY: u16 = 255;

/// Types of records (the registry "Resource Record (RR) TYPEs" of IANA).
pub mod rtype {
    /// An address of IPv4.
    pub const A: u16 = 1;
    /// A name server.
    pub const NS: u16 = 2;
    /// The canonical name of an alias.
    pub const CNAME: u16 = 5;
    /// The start of a zone.
    pub const SOA: u16 = 6;
    /// A pointer to a name.
    pub const PTR: u16 = 12;
    /// What a host is made of; the answer to ANY (RFC 8482).
    pub const HINFO: u16 = 13;
    /// Where mail goes.
    pub const MX: u16 = 15;
    /// Text.
    pub const TXT: u16 = 16;
    /// An address of IPv6.
    pub const AAAA: u16 = 28;
    /// Where a service is.
    pub const SRV: u16 = 33;
    /// The pseudo record of EDNS (RFC 6891).
    pub const OPT: u16 = 41;
    /// The keys of a zone below.
    pub const DS: u16 = 43;
    /// A signature.
    pub const RRSIG: u16 = 46;
    /// What does not exist.
    pub const NSEC: u16 = 47;
    /// A key of the zone.
    pub const DNSKEY: u16 = 48;
    /// The DS that a child wishes for (RFC 7344).
    pub const CDS: u16 = 59;
    /// The DNSKEY that a child wishes for (RFC 7344).
    pub const CDNSKEY: u16 = 60;
    /// How a service is reached (RFC 9460).
    pub const SVCB: u16 = 64;
    /// How a web service is reached (RFC 9460).
    pub const HTTPS: u16 = 65;
    /// A signature of a transaction (RFC 8945).
    pub const TSIG: u16 = 250;
    /// What has changed in a zone (RFC 1995).
    pub const IXFR: u16 = 251;
    /// All of a zone (RFC 5936).
    pub const AXFR: u16 = 252;
    /// Whatever there is (RFC 8482).
    pub const ANY: u16 = 255;
    /// Who may issue certificates.
    pub const CAA: u16 = 257;
}

/// What became of a question (RFC 1035, 4.1.1; RFC 6891; RFC 7873).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rcode {
    /// All is well.
    NoError,
    /// The question could not be read.
    FormErr,
    /// Something is wrong here.
    ServFail,
    /// The name does not exist.
    NxDomain,
    /// This kind of question is not answered.
    NotImp,
    /// This question is not answered to this client.
    Refused,
    /// The signature of the transaction is wrong, or missing.
    NotAuth,
    /// This version of EDNS is not known.
    BadVers,
    /// The cookie is wrong.
    BadCookie,
}

impl Rcode {
    /// Returns the number of 12 bits, of which the upper 8 go with EDNS.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::NoError => 0,
            Self::FormErr => 1,
            Self::ServFail => 2,
            Self::NxDomain => 3,
            Self::NotImp => 4,
            Self::Refused => 5,
            Self::NotAuth => 9,
            Self::BadVers => 16,
            Self::BadCookie => 23,
        }
    }

    /// Returns its name in the registry of IANA.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoError => "NOERROR",
            Self::FormErr => "FORMERR",
            Self::ServFail => "SERVFAIL",
            Self::NxDomain => "NXDOMAIN",
            Self::NotImp => "NOTIMP",
            Self::Refused => "REFUSED",
            Self::NotAuth => "NOTAUTH",
            Self::BadVers => "BADVERS",
            Self::BadCookie => "BADCOOKIE",
        }
    }
}

/// Returns two bytes of a message as a number.
#[must_use]
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes([bytes[0], bytes[1]]))
}
