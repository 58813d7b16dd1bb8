//! How a value is kept: JSON as its text, bytes behind a mark and their media type.
//! Must not look inside JSON.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::v1::types::Raw;

/// The first byte of what is not JSON, which never begins so.
const MARK: u8 = 1;

/// The longest media type that is kept.
const MEDIA_TYPE_BYTES_MAX: usize = 127;

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept<'a> {
    /// The text of a JSON value.
    Json(&'a [u8]),
    /// Bytes.
    Opaque {
        /// What they are.
        media_type: &'a str,
        /// The bytes.
        bytes: &'a [u8],
    },
}

/// Returns how bytes are kept; nothing if they cannot be called that.
pub(super) fn keep_opaque(media_type: &str, bytes: &[u8]) -> Option<Bytes> {
    let is_name = |it: &&str| (1..=MEDIA_TYPE_BYTES_MAX).contains(&it.len()) && it.contains('/');
    let media_type = Some(media_type.trim()).filter(is_name)?;
    let mut kept = Vec::with_capacity(2 + media_type.len() + bytes.len());
    kept.push(MARK);
    kept.extend_from_slice(media_type.as_bytes());
    kept.push(0);
    kept.extend_from_slice(bytes);
    Some(kept.into())
}

/// Reads what is kept.
pub(super) fn read(kept: &[u8]) -> Kept<'_> {
    let opaque = || {
        let (mark, rest) = kept.split_first()?;
        let end = rest.iter().position(|it| *it == 0)?;
        let media_type = std::str::from_utf8(&rest[..end]).ok()?;
        (*mark == MARK).then_some(Kept::Opaque { media_type, bytes: &rest[end + 1..] })
    };
    opaque().unwrap_or(Kept::Json(kept))
}

/// Returns kept JSON. It was checked on its way in, so anything else is a fault of ours: it
/// becomes `null`.
pub(super) fn json(kept: &[u8]) -> Raw<Value> {
    Raw::from_json(serde_json::from_slice(kept).unwrap_or_else(|err| {
        tracing::error!(%err, "a record holds what is not json");
        RawValue::NULL.to_owned()
    }))
}

/// Writes bytes as text.
pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Returns what is kept as one JSON value, whatever it is.
pub(super) fn any_json(kept: &[u8]) -> Raw<Value> {
    match read(kept) {
        Kept::Json(text) => json(text),
        Kept::Opaque { media_type, bytes } => {
            let members = [("value_base64", &*base64(bytes)), ("media_type", media_type)];
            let text = serde_json::to_vec(&BTreeMap::from(members));
            json(&text.expect("text can be written as json"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_back() {
        let check = |media_type: &str, bytes: &[u8], is_kept: bool| {
            let kept = keep_opaque(media_type, bytes);
            let expected = Kept::Opaque { media_type: media_type.trim(), bytes };
            assert_eq!(kept.as_deref().map(read), is_kept.then_some(expected), "{media_type}");
        };
        check("image/png", b"\x00\x01\xff", true);
        check("text/plain; charset=utf-8", b"", true);
        check(" a/b ", b"{}", true);
        check("", b"x", false);
        check("text", b"x", false);
        check(&"a/".repeat(64), b"x", false);
        assert_eq!(read(b"{}"), Kept::Json(b"{}"));
        assert_eq!(read(b""), Kept::Json(b""));
        assert_eq!(read(b"\x01never ended"), Kept::Json(b"\x01never ended"));
        assert_eq!(json(b"\x01never ended").as_str(), "null");
    }
}
