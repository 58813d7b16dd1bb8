//! Moments as text (RFC 3339), in UTC.
//! Must not read a clock.

use chrono::{DateTime, SecondsFormat, Utc};
use photon_state::Hlc;

/// Returns the moment of a reading, to the millisecond.
pub(crate) fn moment(at: Hlc) -> DateTime<Utc> {
    let wall_ms = i64::try_from(at.wall_ms).unwrap_or(i64::MAX);
    DateTime::from_timestamp_millis(wall_ms).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Writes a reading as RFC 3339, such as `2026-01-31T12:00:00.000Z`.
pub(crate) fn rfc3339(at: Hlc) -> String {
    moment(at).to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_in_utc_to_the_millisecond() {
        let check = |wall_ms, expected| assert_eq!(rfc3339(Hlc { wall_ms, count: 7 }), expected);
        check(0, "1970-01-01T00:00:00.000Z");
        check(1_800_000_000_042, "2027-01-15T08:00:00.042Z");
        assert!(!rfc3339(Hlc { wall_ms: u64::MAX, count: 0 }).is_empty());
    }
}
