//! Moments as text (RFC 3339, and as HTTP has them), in UTC.
//! Must not read a clock.

use chrono::{DateTime, SecondsFormat, Utc};
use photon_state::Hlc;

/// Returns the moment of a reading, to the millisecond.
pub(crate) fn moment(at: Hlc) -> DateTime<Utc> {
    let wall_ms = i64::try_from(at.wall_ms).unwrap_or(i64::MAX);
    DateTime::from_timestamp_millis(wall_ms).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Reads a time as RFC 3339 has it, in milliseconds since 1970; earlier ones count as that.
pub(crate) fn wall_ms(text: &str) -> Option<u64> {
    let at = DateTime::parse_from_rfc3339(text).ok()?;
    Some(u64::try_from(at.timestamp_millis()).unwrap_or(0))
}

/// Writes a reading as RFC 3339, such as `2026-01-31T12:00:00.000Z`.
pub(crate) fn rfc3339(at: Hlc) -> String {
    moment(at).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Writes a reading as a header of HTTP has it, to the second (RFC 9110, section 5.6.7).
pub(crate) fn http_date(at: Hlc) -> String {
    moment(at).format("%a, %d %b %Y %H:%M:%S GMT").to_string()
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

    #[test]
    fn a_moment_is_read_wherever_it_was_written() {
        assert_eq!(wall_ms("2027-01-15T09:00:00.042+01:00"), Some(1_800_000_000_042));
        assert_eq!(wall_ms("1960-01-15T09:00:00Z"), Some(0));
        assert_eq!(wall_ms("2027-01-15"), None);
    }

    #[test]
    fn a_header_has_a_moment_to_the_second() {
        let at = Hlc { wall_ms: 784_111_777_999, count: 0 };
        assert_eq!(http_date(at), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
