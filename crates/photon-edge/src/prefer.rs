//! What a client prefers of a reply (RFC 7240).
//! Must not refuse anything: a preference that is not understood is passed over.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The header that says which preference was followed, and that of `return=minimal`.
pub(crate) const APPLIED_MINIMAL: [(HeaderName, HeaderValue); 1] =
    [(HeaderName::from_static("preference-applied"), HeaderValue::from_static("return=minimal"))];

/// How much of a reply is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// No body.
    Minimal,
    /// The whole.
    Representation,
}

/// What a client prefers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prefer {
    /// How much of a reply.
    pub(crate) wanted: Option<Wanted>,
    /// How long to wait.
    pub(crate) wait: Option<Duration>,
}

impl Prefer {
    /// Reads the headers. Of several answers to one question the first counts.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let (mut wanted, mut wait) = (None, None);
        let values = headers.get_all("prefer").iter().filter_map(|it| it.to_str().ok());
        for preference in values.flat_map(|it| it.split(',')) {
            let pair = preference.split(';').next().and_then(|it| it.split_once('='));
            let Some((name, value)) = pair else { continue };
            let value = value.trim().trim_matches('"').to_ascii_lowercase();
            match name.trim().to_ascii_lowercase().as_str() {
                "return" if wanted.is_none() => {
                    wanted = Some(match value.as_str() {
                        "minimal" => Some(Wanted::Minimal),
                        "representation" => Some(Wanted::Representation),
                        _ => None,
                    });
                }
                "wait" if wait.is_none() => {
                    wait = Some(value.parse().ok().map(Duration::from_secs));
                }
                _ => {}
            }
        }
        Self { wanted: wanted.flatten(), wait: wait.flatten() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_answer_to_a_question_counts() {
        let check = |text: &'static str, wanted, wait_s: Option<u64>| {
            let mut headers = HeaderMap::new();
            headers.insert("prefer", HeaderValue::from_static(text));
            let expected = Prefer { wanted, wait: wait_s.map(Duration::from_secs) };
            assert_eq!(Prefer::of(&headers), expected, "{text}");
        };
        check("return=minimal", Some(Wanted::Minimal), None);
        check("Wait=5, RETURN=\"representation\"; a=b", Some(Wanted::Representation), Some(5));
        check(
            "return=minimal, return=representation, wait=x, wait=-1",
            Some(Wanted::Minimal),
            None,
        );
        check("respond-async, return=other, return=minimal", None, None);
    }
}
