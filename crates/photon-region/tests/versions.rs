//! What is said on a link in each version: what an older region cannot read is left out.
//! Must not know of hellos, which choose the version.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

use std::collections::BTreeMap;
use std::time::Duration;

use photon_region::{Message, decode_message, encode_message, encode_message_in};
use photon_state::{RegionId, Seen};

#[test]
fn a_region_that_speaks_version_2_hears_who_is_linked_and_nothing_of_round_trips() {
    let region = |name: &str| RegionId::try_from(name).unwrap();
    let seen = |linked, topology| {
        let (incarnation, seen) = (7, Seen::default());
        Message::Seen { incarnation, seen, linked, topology }
    };
    let round_trip = Some(Duration::from_micros(81_234));
    let linked = BTreeMap::from([(region("a"), round_trip), (region("b"), None)]);
    let message = seen(linked, Some(u64::MAX));
    assert_eq!(decode_message(&encode_message(&message)).unwrap(), message);
    assert_eq!(encode_message_in(3, &message), encode_message(&message));

    let older = decode_message(&encode_message_in(2, &message)).unwrap();
    let linked = BTreeMap::from([(region("a"), None), (region("b"), None)]);
    assert_eq!(older, seen(linked, None));
}
