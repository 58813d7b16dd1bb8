//! Names that are made up here for what a client left without one: messages and conversations.
//! Must not be used for secrets: nobody has these names yet, but they can be guessed.

use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use photon_region::Json;
use sha2::{Digest, Sha256};
use uuid::Builder;

/// Returns a new UUID of version 7 (RFC 9562): names sort by age.
pub(crate) fn new_uuid() -> String {
    let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    let random = fastrand::u128(..).to_le_bytes();
    let random = random.first_chunk().expect("16 bytes begin with 10");
    Builder::from_unix_timestamp_millis(age_ms, random).into_uuid().to_string()
}

/// Returns the name under which an answer to a worker counts once: the client's key; or what the
/// message is, whole, since clients exist that give several messages one `messageId`.
pub(crate) fn answer_name(key: Option<&str>, message: &Json) -> Arc<str> {
    match key {
        Some(key) => format!("key:{key}").into(),
        None => {
            format!("message:{}", BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&message.0))).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_uuid_of_version_7_and_no_two_are_the_same() {
        let names: std::collections::BTreeSet<String> = (0..1_000).map(|_| new_uuid()).collect();
        assert_eq!(names.len(), 1_000);
        for name in names {
            assert_eq!(uuid::Uuid::parse_str(&name).unwrap().get_version_num(), 7, "{name}");
        }
    }
}
