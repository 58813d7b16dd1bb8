//! Text from outside, parsed once into checked values.
//! Must not know which request it came with.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;

use photon_region::data::DatasetName;
use photon_region::{AgentName, Skill, TaskId, TopicName, is_topic_name};
use photon_state::{PlacementId, RegionId};

/// A value that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {rule}")]
pub(crate) struct Invalid {
    /// Which field.
    pub(crate) field: String,
    /// How it should be.
    pub(crate) rule: String,
}

impl Invalid {
    pub(crate) fn new(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { field: field.into(), rule: rule.into() }
    }
}

/// Parses the name of an agent.
pub(crate) fn agent_name(field: &str, text: &str) -> Result<AgentName, Invalid> {
    let is_first = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_allowed = |b: u8| is_first(b) || b"._-".contains(&b);
    let begins_well = text.bytes().next().is_some_and(is_first);
    if begins_well && text.len() <= 63 && text.bytes().all(is_allowed) {
        return Ok(text.into());
    }
    let rule = "the name of an agent is 1 to 63 of a-z, 0-9, `.`, `_` and `-`, beginning with a \
        letter or a digit";
    Err(Invalid::new(field, rule))
}

/// Parses a skill.
pub(crate) fn skill(field: &str, text: &str) -> Result<Skill, Invalid> {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"._/-".contains(&b);
    let begins_well = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    if begins_well && text.len() <= 128 && text.bytes().all(is_allowed) {
        return Ok(text.into());
    }
    let rule = "a skill is 1 to 128 of A-Z, a-z, 0-9, `.`, `_`, `/` and `-`, beginning with a \
        letter or a digit";
    Err(Invalid::new(field, rule))
}

/// Parses text that a client chose to name something of its own: a conversation, an artifact.
pub(crate) fn label(field: &str, text: &str) -> Result<Arc<str>, Invalid> {
    visible(field, text, 128)
}

/// Parses the name of whoever has a share of the agents' time.
pub(crate) fn fairness_key(field: &str, text: &str) -> Result<Arc<str>, Invalid> {
    visible(field, text, 64)
}

/// Parses an idempotency key.
pub(crate) fn idempotency_key(field: &str, text: &str) -> Result<Arc<str>, Invalid> {
    visible(field, text, 255)
}

fn visible(field: &str, text: &str, len_max: usize) -> Result<Arc<str>, Invalid> {
    if (1..=len_max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(text.into());
    }
    let rule = format!("use 1 to {len_max} visible ASCII characters, without blanks");
    Err(Invalid::new(field, rule))
}

/// Parses the name of a region.
pub(crate) fn region(field: &str, text: &str) -> Result<RegionId, Invalid> {
    RegionId::try_from(text).map_err(|err| Invalid::new(field, err.to_string()))
}

/// Parses the name of a placement.
pub(crate) fn placement(field: &str, text: &str) -> Result<PlacementId, Invalid> {
    PlacementId::try_from(text).map_err(|err| Invalid::new(field, err.to_string()))
}

/// Parses the name of a dataset.
pub(crate) fn dataset(field: &str, text: &str) -> Result<DatasetName, Invalid> {
    DatasetName::try_from(text).map_err(|err| Invalid::new(field, err.to_string()))
}

/// Parses the name of a task.
pub(crate) fn task_id(field: &str, text: &str) -> Result<TaskId, Invalid> {
    TaskId::from_str(text).map_err(|err| Invalid::new(field, err.to_string()))
}

/// Parses the name of a topic.
pub(crate) fn topic(field: &str, text: &str) -> Result<TopicName, Invalid> {
    let rule = "the name of a topic is 1 to 64 of a-z, 0-9, `.`, `_` and `-`, beginning with a \
        letter";
    is_topic_name(text).then(|| text.into()).ok_or_else(|| Invalid::new(field, rule))
}

/// Parses a time; returns it by the wall clock, in milliseconds.
pub(crate) fn moment(field: &str, text: &str) -> Result<u64, Invalid> {
    let read = chrono::DateTime::parse_from_rfc3339(text).ok();
    let ms = read.and_then(|it| u64::try_from(it.timestamp_millis()).ok());
    ms.ok_or_else(|| Invalid::new(field, "use a time such as `2026-11-23T12:00:00Z`"))
}

/// The greatest number that every reader of JSON keeps exactly.
pub(crate) const SAFE_MAX: u64 = (1 << 53) - 1;

/// Parses a whole number: digits only, without a sign or leading zeros.
pub(crate) fn number(field: &str, text: &str, within: RangeInclusive<u64>) -> Result<u64, Invalid> {
    let is_plain = text.bytes().all(|b| b.is_ascii_digit());
    let has_one_form = text == "0" || !text.starts_with('0');
    match text.parse() {
        Ok(value) if is_plain && has_one_form && within.contains(&value) => Ok(value),
        Ok(_) | Err(_) => {
            let rule = format!("use a whole number from {} to {}", within.start(), within.end());
            Err(Invalid::new(field, rule))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T>(parse: impl Fn(&str) -> Result<T, Invalid>, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(parse(text).is_ok(), "{text}");
        }
        for text in bad {
            assert_eq!(parse(text).err().map(|err| err.field).as_deref(), Some("f"), "{text}");
        }
    }

    #[test]
    fn names_are_what_the_openapi_document_says() {
        let long = "a".repeat(129);
        let agents = ["a", "7", "text.upper_2-b", &long[..63]];
        check(|it| agent_name("f", it), &agents, &["", "-a", ".a", "A", "a b", "ä", &long[..64]]);
        let skills = ["a", "Text/Upper.v2_x-y", &long[..128]];
        check(|it| skill("f", it), &skills, &["", "/a", "a b", "ä", &long]);
        check(|it| label("f", it), &["a", "!~", &long[..128]], &["", " ", "a b", "\u{7f}", &long]);
    }

    #[test]
    fn a_number_has_one_form_and_bounds() {
        let bad = ["", "0", "11", "+5", "-1", "05", "5.0", "1e1", " 5", "99999999999999999999"];
        check(|it| number("f", it, 1..=10), &["1", "10"], &bad);
        check(|it| number("f", it, 0..=u64::MAX), &["0", "18446744073709551615"], &["00"]);
    }
}
