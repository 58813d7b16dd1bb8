//! What all requests about records have in common: path, session, consistency, how long to wait.
//! Must not know what is asked for.

use std::time::Duration;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use photon_region::data::{DatasetName, Expect, ReadHow, ReadLevel, Spot, WriteLevel};
use photon_state::Seen;

use crate::Front;
use crate::body;
use crate::names::{self, Invalid};
use crate::prefer::{Prefer, Wanted};
use crate::problem::{Declined, Kind, Stood};
use crate::v1::types::{
    DATA_WAIT_MS_MAX, Etag, RESIDENCY_BYTES_MAX, ReadConsistency, TTL_MS_MAX, WriteConsistency,
    is_residency,
};

/// The header that carries what a session has seen, in both directions.
pub(super) const SESSION: HeaderName = HeaderName::from_static("photon-session");
const CONSISTENCY: HeaderName = HeaderName::from_static("photon-consistency");
const RESIDENCY: HeaderName = HeaderName::from_static("photon-residency");

/// How long to wait when the client does not say.
const WAIT_DEFAULT: Duration = Duration::from_secs(5);

/// The dataset and the key in a path.
#[derive(Debug)]
pub(super) struct RecordPath {
    pub(super) dataset: DatasetName,
    pub(super) key: String,
}

impl FromRequestParts<Front> for RecordPath {
    type Rejection = Declined;
    async fn from_request_parts(parts: &mut Parts, front: &Front) -> Result<Self, Declined> {
        let path = Path::<(String, String)>::from_request_parts(parts, front).await;
        let Path((dataset, key)) =
            path.map_err(|err| Kind::InvalidParameter.problem(err.body_text()))?;
        Ok(Self { dataset: dataset_in_path(&dataset)?, key })
    }
}

impl RecordPath {
    /// Returns the key in bytes.
    pub(super) fn key_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(self.key.as_bytes())
    }
}

/// Parses the name of a dataset in a path.
pub(in crate::v1) fn dataset_in_path(text: &str) -> Result<DatasetName, Declined> {
    names::dataset("dataset", text).map_err(|err| err.problem(Stood::Outside))
}

/// What a request asks of consistency, before it is known whether it reads or writes.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) session: Seen,
    consistency: Option<(&'static str, &'a str)>,
    pub(super) wait: Duration,
    pub(super) wanted: Option<Wanted>,
}

impl<'a> Asked<'a> {
    /// Reads the headers, and the parameters that they may stand in for.
    pub(super) fn read(
        front: &Front,
        headers: &'a HeaderMap,
        consistency: Option<&'a str>,
        wait_ms: Option<&str>,
    ) -> Result<Self, Invalid> {
        let session = body::header(headers, &SESSION)?;
        let session =
            session.map(|it| front.sessions().decode("Photon-Session", it)).transpose()?;
        let by_header = body::header(headers, &CONSISTENCY)?;
        if consistency.is_some() && by_header.is_some() {
            let rule = "give it once: as a header or in the query";
            return Err(Invalid::new("consistency", rule));
        }
        let consistency = consistency.map(|it| ("consistency", it));
        let consistency = consistency.or(by_header.map(|it| ("Photon-Consistency", it)));
        let prefer = Prefer::of(headers);
        let wait_max = Duration::from_millis(DATA_WAIT_MS_MAX);
        let wait_ms = wait_ms.map(|it| names::number("wait_ms", it, 0..=DATA_WAIT_MS_MAX));
        let wait = wait_ms.transpose()?.map(Duration::from_millis);
        let wait = wait.or(prefer.wait.map(|it| it.min(wait_max))).unwrap_or(WAIT_DEFAULT);
        Ok(Self { session: session.unwrap_or_default(), consistency, wait, wanted: prefer.wanted })
    }

    /// Returns how to read.
    pub(super) fn reading(self, staleness_ms_max: Option<&str>) -> Result<ReadHow, Invalid> {
        let level = self.level(ReadConsistency::named, ReadConsistency::NAMES)?;
        let staleness_max =
            staleness_ms_max.map(|it| names::number("max_staleness_ms", it, 0..=TTL_MS_MAX));
        Ok(ReadHow {
            level: level.map(ReadLevel::from),
            session: self.session,
            staleness_max: staleness_max.transpose()?.map(Duration::from_millis),
            wait: self.wait,
            spot: None,
        })
    }

    /// Returns when to acknowledge a write.
    pub(super) fn writing(&self) -> Result<Option<WriteLevel>, Invalid> {
        let level = self.level(WriteConsistency::named, WriteConsistency::NAMES)?;
        Ok(level.map(WriteLevel::from))
    }

    fn level<T>(
        &self,
        named: impl Fn(&str) -> Option<T>,
        names: &[&str],
    ) -> Result<Option<T>, Invalid> {
        let Some((field, text)) = self.consistency else { return Ok(None) };
        let rule = || format!("use one of {}", names.join(", "));
        named(text).map(Some).ok_or_else(|| Invalid::new(field, rule()))
    }
}

/// Reads where a record lives, as a header or in the query.
pub(super) fn spot(headers: &HeaderMap, residency: Option<&str>) -> Result<Option<Spot>, Invalid> {
    let by_header = body::header(headers, &RESIDENCY)?;
    if residency.is_some() && by_header.is_some() {
        return Err(Invalid::new("residency", "give it once: as a header or in the query"));
    }
    let by_header = by_header.map(|it| ("Photon-Residency", it));
    let said = residency.map(|it| ("residency", it)).or(by_header);
    said.map(|(field, text)| self::residency(field, text)).transpose()
}

/// Parses where a record lives.
pub(in crate::v1) fn residency(field: &str, text: &str) -> Result<Spot, Invalid> {
    if !is_residency(text) {
        let rule = format!("use 1 to {RESIDENCY_BYTES_MAX} visible ASCII characters");
        return Err(Invalid::new(field, rule));
    }
    Ok(Spot::Value(text.into()))
}

/// Parses how long a record lasts.
pub(super) fn ttl(text: Option<&str>) -> Result<Option<Duration>, Invalid> {
    let ttl = text.map(|it| names::number("ttl_ms", it, 1..=TTL_MS_MAX)).transpose()?;
    Ok(ttl.map(Duration::from_millis))
}

/// Reads what a write expects, out of `If-Match` and `If-None-Match`.
pub(super) fn expect(headers: &HeaderMap) -> Result<Option<Expect>, Invalid> {
    let (if_match, if_none) =
        (HeaderName::from_static("if-match"), HeaderName::from_static("if-none-match"));
    match (body::header(headers, &if_match)?, body::header(headers, &if_none)?) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(Invalid::new("If-None-Match", "it excludes `If-Match`")),
        (Some(text), None) => match text.trim() {
            "*" => Ok(Some(Expect::Present)),
            // A weak tag matches nothing here (RFC 9110, 13.1.1).
            text => {
                let tags = tags("If-Match", text)?;
                let strong = tags.into_iter().filter(|(is_weak, _)| !is_weak);
                let strong = strong.filter_map(|(_, tag)| Etag::named(tag));
                Ok(Some(Expect::Fingerprint(strong.map(|it| it.0).collect())))
            }
        },
        (None, Some(text)) if text.trim() == "*" => Ok(Some(Expect::Absent)),
        (None, Some(_)) => Err(Invalid::new("If-None-Match", "only `*` is for writes")),
    }
}

/// Whether a reader has this record already, going by `If-None-Match`.
pub(super) fn is_known(headers: &HeaderMap, etag: Etag) -> Result<bool, Invalid> {
    let name = HeaderName::from_static("if-none-match");
    let Some(text) = body::header(headers, &name)? else { return Ok(false) };
    let tags = if text.trim() == "*" { return Ok(true) } else { tags("If-None-Match", text)? };
    Ok(tags.into_iter().any(|(_, tag)| Etag::named(tag) == Some(etag)))
}

/// Takes a list of tags apart: whether each is weak, and what is between its quotes.
fn tags<'a>(field: &str, text: &'a str) -> Result<Vec<(bool, &'a str)>, Invalid> {
    let tags = text.split(',').map(|it| {
        let it = it.trim();
        let (is_weak, quoted) = it.strip_prefix("W/").map_or((false, it), |it| (true, it));
        let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
        (!inner.contains('"')).then_some((is_weak, inner))
    });
    let tags = tags.collect::<Option<_>>();
    tags.ok_or_else(|| Invalid::new(field, "use `*`, or tags in double quotes"))
}

/// Writes a tag as a header.
pub(super) fn etag_header(etag: Etag) -> HeaderValue {
    HeaderValue::try_from(format!("\"{etag}\"")).expect("digits and quotes")
}

/// Writes a session as a header.
pub(super) fn session_header(session: &str) -> HeaderValue {
    HeaderValue::try_from(session).expect("letters and digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, text: &'static str) -> HeaderMap {
        [(HeaderName::from_static(name), HeaderValue::from_static(text))].into_iter().collect()
    }

    #[test]
    fn a_write_expects_what_its_headers_say() {
        let check = |name, text, expected: Option<Expect>| {
            assert_eq!(expect(&headers(name, text)).ok().flatten(), expected, "{name}: {text}");
        };
        let tags = |all: &[u64]| Some(Expect::Fingerprint(all.to_vec()));
        check("if-match", "*", Some(Expect::Present));
        check("if-none-match", " * ", Some(Expect::Absent));
        check("if-match", "\"00000000000000ff\", \"0000000000000001\"", tags(&[255, 1]));
        check("if-match", "\"another's\"", tags(&[]));
        check("if-match", "W/\"00000000000000ff\"", tags(&[]));
        for bad in ["ff", "\"", "\"a\" \"b\"", ""] {
            let err = expect(&headers("if-match", bad)).unwrap_err();
            assert_eq!(err.field, "If-Match", "{bad}");
        }
        assert!(expect(&headers("if-none-match", "\"00000000000000ff\"")).is_err());
    }

    #[test]
    fn a_reader_has_a_record_whose_tag_it_names() {
        let check = |text, expected| {
            let headers = headers("if-none-match", text);
            assert_eq!(is_known(&headers, Etag(255)).ok(), expected, "{text}");
        };
        check("*", Some(true));
        check("W/\"00000000000000ff\"", Some(true));
        check("\"0000000000000001\", \"00000000000000ff\"", Some(true));
        check("\"0000000000000001\"", Some(false));
        check("00000000000000ff", None);
    }
}
