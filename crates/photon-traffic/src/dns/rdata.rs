//! What records hold: from the text of a zone file to the wire form, and back.
//! Must not know zones, nor whether records may be beside each other.

use domain::base::Name as DomainName;
use domain::base::iana::Rtype;
use domain::base::rdata::ComposeRecordData;
use domain::base::rdata::ParseRecordData;
use domain::base::scan::Scanner;
use domain::base::zonefile_fmt::{DisplayKind, ZonefileFmt};
use domain::rdata::ZoneRecordData;

use super::name::Name;
use super::scan::Words;
use super::tokens::Entries;

/// The longest text of one record; longer ones are refused.
pub const TEXT_BYTES_MAX: usize = 64 << 10;

/// Why a text is no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RdataError {
    /// The type is not known.
    #[error("`{0}` is no type of record")]
    Type(String),
    /// The text does not fit its type.
    #[error("`{text}` is no {rtype} record: {why}")]
    Text {
        /// The type.
        rtype: String,
        /// The text, cut to a length that is safe to print.
        text: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Returns the number of a type by its name.
pub fn parse_type(text: &str) -> Result<u16, RdataError> {
    let known = text.to_ascii_uppercase().parse::<Rtype>();
    known.map(Rtype::to_int).map_err(|_| RdataError::Type(text.chars().take(32).collect()))
}

/// Returns the name of a type.
#[must_use]
pub fn type_name(rtype: u16) -> String {
    Rtype::from_int(rtype).to_string()
}

/// Reads what one record holds, as a zone file would say it; names are under `origin` unless they
/// end in a dot.
pub(super) fn parse(rtype: u16, text: &str, origin: &Name) -> Result<Vec<u8>, RdataError> {
    let failed = |why: String| RdataError::Text {
        rtype: type_name(rtype),
        text: text.chars().take(80).collect(),
        why,
    };
    if TEXT_BYTES_MAX < text.len() {
        return Err(failed(format!("it is longer than {TEXT_BYTES_MAX} bytes")));
    }
    let mut entries = Entries::new(text);
    let entry = match entries.next() {
        Some(entry) => entry.map_err(|it| failed(it.why.to_owned()))?,
        None => return Err(failed("it is empty".to_owned())),
    };
    if entries.next().is_some() {
        return Err(failed("it has more than one line".to_owned()));
    }
    parse_words(rtype, entry.tokens, origin).map_err(failed)
}

/// Reads what one record holds from the words of a zone file. The error is what is wrong.
pub(super) fn parse_words(
    rtype: u16,
    words: Vec<String>,
    origin: &Name,
) -> Result<Vec<u8>, String> {
    let mut words = Words::new(words, origin);
    let kind = Rtype::from_int(rtype);
    let scanned = ZoneRecordData::<Vec<u8>, DomainName<Vec<u8>>>::scan(kind, &mut words);
    let data = scanned.map_err(|it| it.to_string())?;
    if words.continues() {
        return Err("there is more behind it".to_owned());
    }
    let mut bytes = Vec::new();
    let composed = data.compose_rdata(&mut bytes);
    if composed.is_err() || usize::from(u16::MAX) < bytes.len() {
        return Err("it is too long".to_owned());
    }
    Ok(bytes)
}

/// Shows what a record holds as a zone file says it.
#[must_use]
pub fn show(rtype: u16, data: &[u8]) -> String {
    let mut parser = domain::dep::octseq::Parser::from_ref(data);
    let parsed = ZoneRecordData::<_, domain::base::ParsedName<_>>::parse_rdata(
        Rtype::from_int(rtype),
        &mut parser,
    );
    match parsed {
        Ok(Some(parsed)) if parser.remaining() == 0 => {
            parsed.display_zonefile(DisplayKind::Simple).to_string()
        }
        Ok(_) | Err(_) => {
            let hex: String = data.iter().map(|it| format!("{it:02x}")).collect();
            format!("\\# {} {hex}", data.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rtype: &str, text: &str, expected: Result<&[u8], &str>) {
        let origin: Name = "example.com".parse().unwrap();
        let rtype = parse_type(rtype).unwrap();
        match (parse(rtype, text, &origin), expected) {
            (Ok(bytes), Ok(expected)) => assert_eq!(bytes, expected),
            (Err(RdataError::Text { why, .. }), Err(expected)) => assert_eq!(why, expected),
            (found, _) => panic!("{found:?}"),
        }
    }

    #[test]
    fn a_text_is_read_as_its_type_says() {
        check("A", "192.0.2.1", Ok(&[192, 0, 2, 1]));
        check("aaaa", "2001:db8::1", Ok(&[32, 1, 13, 184, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]));
        check("MX", "10 mail", Ok(b"\0\x0a\x04mail\x07example\x03com\0"));
        check("TXT", "\"a b\" c", Ok(b"\x03a b\x01c"));
        check(
            "SRV",
            "1 2 443 h.example.org.",
            Ok(b"\0\x01\0\x02\x01\xbb\x01h\x07example\x03org\0"),
        );
        check("CAA", "0 issue \"ca.example\"", Ok(b"\0\x05issueca.example"));
        check("HTTPS", "1 . alpn=h2", Ok(b"\0\x01\0\0\x01\0\x03\x02h2"));
        check("TYPE4711", "\\# 2 ab cd", Ok(&[0xab, 0xcd]));
    }

    #[test]
    fn a_text_that_is_no_such_record_is_refused() {
        check("A", "192.0.2", Err("expected IPv4 address"));
        check("A", "", Err("it is empty"));
        check("A", "192.0.2.1 192.0.2.2", Err("there is more behind it"));
        check("A", "192.0.2.1\n@ A 192.0.2.2", Err("it has more than one line"));
        check("TXT", &"a ".repeat(40_000), Err("it is longer than 65536 bytes"));
        check("TXT", "\"a", Err("a `\"` is not closed"));
        check("TXT", "(a", Err("a `(` is not closed"));
        assert!(parse_type("FOO").is_err());
    }
}
