//! Names that are made up here for what a client left without one: messages and conversations.
//! Must not be used for secrets: nobody has these names yet, but they can be guessed.

use std::time::SystemTime;

use uuid::Builder;

/// Returns a new UUID of version 7 (RFC 9562): names sort by age.
pub(crate) fn new_uuid() -> String {
    let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    let random = fastrand::u128(..).to_le_bytes();
    let random = random.first_chunk().expect("16 bytes begin with 10");
    Builder::from_unix_timestamp_millis(age_ms, random).into_uuid().to_string()
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
