//! Other registries: they are asked along, or named to clients who ask them by themselves.
//! Must not know what is found here.

use std::error::Error;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderValue, Request, StatusCode, Uri, header};
use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt, Full, Limited};
use serde_json::{Value, json};
use tracing::{debug, info, warn};

use super::entry::{REGISTRY, domain_of};
use crate::hooks::{HttpClient, PushTargets, http_client};

/// How long another registry may take; what it would have found is left out.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How long a registry is not asked that was late: each search would wait for it.
const REST: Duration = Duration::from_secs(10);
/// How long after what was told of a registry no more is told of it.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// Bytes of the answer of another registry; a longer one is left out.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Another registry that the operator trusts to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArdRegistry {
    /// What people call it.
    pub name: String,
    /// The address below which it has `/search`.
    pub url: Uri,
    /// What is sent to it as `authorization`, if anything.
    pub authorization: Option<HeaderValue>,
}

/// The other registries, with what it takes to ask them.
#[derive(Debug)]
pub(super) struct Peers {
    peers: Vec<Peer>,
    client: HttpClient,
}

#[derive(Debug)]
struct Peer {
    registry: ArdRegistry,
    /// What was told of it last.
    told: Mutex<Told>,
    /// Until when it is not asked.
    rests_until: Mutex<Option<Instant>>,
}

/// What is wrong with a registry, as it was told, and when that was.
#[derive(Debug, Default)]
struct Told {
    trouble: Option<Trouble>,
    at: Option<Instant>,
}

/// Why another registry found nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Unreachable,
    Late,
    Refused(StatusCode),
    NoAnswer,
}

/// A failed question, with what is to be told of it.
#[derive(Debug)]
struct Failed {
    trouble: Trouble,
    why: String,
}

impl Failed {
    fn new(trouble: Trouble, why: impl fmt::Display) -> Self {
        Self { trouble, why: why.to_string() }
    }
}

/// What has become of a registry since it was asked before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// It answers, or fails, as before.
    Same,
    /// It fails otherwise than before.
    Fails,
    /// It answers again.
    Recovered,
}

impl Peer {
    fn new(registry: ArdRegistry) -> Self {
        Self { registry, told: Mutex::default(), rests_until: Mutex::default() }
    }

    /// Whether it was late a short while ago.
    fn rests(&self, now: Instant) -> bool {
        let until = *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|it| now < it)
    }

    /// Notes whether it was late.
    fn answered(&self, failed: Option<&Failed>, now: Instant) {
        let is_late = failed.is_some_and(|it| it.trouble == Trouble::Late);
        let until = is_late.then(|| now + REST);
        *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// Notes what came of a question. Clients make registries fail as often as they ask, so that no
    /// turn is told soon after another one.
    fn turn(&self, trouble: Option<Trouble>, now: Instant) -> Turn {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_soon = told.at.is_some_and(|it| now.duration_since(it) < TELL_EVERY);
        if told.trouble == trouble || is_soon {
            return Turn::Same;
        }
        *told = Told { trouble, at: Some(now) };
        if trouble.is_some() { Turn::Fails } else { Turn::Recovered }
    }

    /// Logs what came of a question, unless the question was at fault: to warn each time would
    /// drown all else.
    fn report(&self, failed: Option<&Failed>) {
        let registry = &self.registry.name;
        if let Some(Failed { trouble: Trouble::Refused(status), why }) = failed
            && is_of_question(*status)
        {
            return debug!(registry, why, "another registry does not take a question");
        }
        let why = failed.map_or("", |it| it.why.as_str());
        match self.turn(failed.map(|it| it.trouble), Instant::now()) {
            Turn::Fails => warn!(registry, why, "another registry fails: its agents are left out"),
            Turn::Recovered => info!(registry, "another registry answers again"),
            Turn::Same if failed.is_some() => debug!(registry, why, "another registry still fails"),
            Turn::Same => {}
        }
    }

    fn entry(&self) -> Value {
        let (name, url) = (&self.registry.name, self.registry.url.to_string());
        let publisher = domain_of(&url).unwrap_or_else(|| "registry.invalid".to_owned());
        json!({
            "identifier": format!("urn:air:{publisher}:registry:{name}"),
            "displayName": name,
            "type": REGISTRY,
            "url": format!("{}/search", url.trim_end_matches('/')),
        })
    }

    async fn ask(
        &self,
        client: &HttpClient,
        body: Bytes,
        page_size: usize,
    ) -> Result<Vec<Value>, Failed> {
        let base = self.registry.url.to_string();
        let mut request = Request::post(format!("{}/search", base.trim_end_matches('/')))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("photon/", env!("CARGO_PKG_VERSION")));
        if let Some(authorization) = &self.registry.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let unreachable = |err: &dyn Error| Failed::new(Trouble::Unreachable, causes(err));
        let request = request.body(Full::new(body)).map_err(|err| unreachable(&err))?;
        let answer = client.request(request).await.map_err(|err| unreachable(&err))?;
        if !answer.status().is_success() {
            return Err(self.refused(answer.status()));
        }
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|err| Failed::new(Trouble::NoAnswer, err))?.to_bytes();
        let none = || Failed::new(Trouble::NoAnswer, "it answered without `results`");
        let found = results(&body).ok_or_else(none)?;
        Ok(found.into_iter().filter_map(|it| checked(it, &base)).take(page_size).collect())
    }

    fn refused(&self, status: StatusCode) -> Failed {
        let what_to_do = match (status, &self.registry.authorization) {
            (StatusCode::UNAUTHORIZED, None) => ": give it a `token` in the configuration",
            (StatusCode::UNAUTHORIZED, Some(_)) => ": the `token` in the configuration is wrong",
            (_, _) => "",
        };
        Failed::new(Trouble::Refused(status), format!("it answered {status}{what_to_do}"))
    }
}

impl Peers {
    pub(super) fn new(registries: Vec<ArdRegistry>) -> Self {
        let peers = registries.into_iter().map(Peer::new).collect();
        // The operator has named them: they may be anywhere.
        Self { peers, client: http_client(PushTargets::Any) }
    }

    /// Returns them as entries that a client can follow.
    pub(super) fn referrals(&self) -> Vec<Value> {
        self.peers.iter().map(Peer::entry).collect()
    }

    /// Asks all of them the same at once, and returns what those found that answer in time.
    pub(super) async fn search(&self, query: &Value, page_size: usize) -> Vec<Value> {
        // Who is asked along asks nobody: no question goes round in circles.
        let body = json!({"query": query, "federation": "none", "pageSize": page_size});
        let body = Bytes::from(body.to_string());
        let now = Instant::now();
        let asked = self.peers.iter().filter(|it| !it.rests(now)).map(|peer| async {
            let asked = peer.ask(&self.client, body.clone(), page_size);
            let late = || {
                let why = format!("it did not answer within {} s", ANSWER_WITHIN.as_secs());
                Err(Failed::new(Trouble::Late, why))
            };
            let found = tokio::time::timeout(ANSWER_WITHIN, asked).await.unwrap_or_else(|_| late());
            peer.answered(found.as_ref().err(), Instant::now());
            peer.report(found.as_ref().err());
            found.unwrap_or_default()
        });
        join_all(asked).await.into_iter().flatten().collect()
    }
}

/// Whether a refusal says something of what was asked, rather than of who was asked.
fn is_of_question(status: StatusCode) -> bool {
    let of_registry = [
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::NOT_FOUND,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    status.is_client_error() && !of_registry.contains(&status)
}

/// Says what went wrong, and because of what: an error of the client alone says little.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// Returns what an answer says was found.
fn results(body: &[u8]) -> Option<Vec<Value>> {
    let mut answer: Value = serde_json::from_slice(body).ok()?;
    let Value::Array(found) = answer.get_mut("results")?.take() else { return None };
    Some(found)
}

/// Returns an entry that another registry found, if it is one.
fn checked(mut entry: Value, base: &str) -> Option<Value> {
    let text = |name: &str| entry[name].as_str().is_some_and(|it| !it.is_empty());
    let is_named = entry["identifier"].as_str().is_some_and(|it| it.starts_with("urn:air:"));
    let has_one = entry["url"].is_string() != entry["data"].is_object();
    let score = entry["score"].as_u64().filter(|it| *it <= 100)?;
    if !is_named || !text("displayName") || !text("type") || !has_one || score == 0 {
        return None;
    }
    if !text("source") {
        entry["source"] = base.into();
    }
    Some(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_told_of_when_it_begins_to_fail_fails_otherwise_or_recovers() {
        let [url, authorization] = ["https://a.example/ard", "Bearer s3cret"];
        let mut authorization = HeaderValue::from_static(authorization);
        authorization.set_sensitive(true);
        let peer = Peer::new(ArdRegistry {
            name: "a".to_owned(),
            url: Uri::from_static(url),
            authorization: Some(authorization),
        });
        assert!(!format!("{peer:?}").contains("s3cret"), "{peer:?}");
        let refused = Some(Trouble::Refused(StatusCode::UNAUTHORIZED));
        let (begun, late) = (Instant::now(), Some(Trouble::Late));
        for (seconds, trouble, expected) in [
            (0, None, Turn::Same),
            (0, refused, Turn::Fails),
            (1, refused, Turn::Same),
            (60, late, Turn::Fails),
            (60, late, Turn::Same),
            (119, None, Turn::Same), // That it was told of the last turn is not long ago.
            (120, None, Turn::Recovered),
            (300, None, Turn::Same),
            (300, late, Turn::Fails),
        ] {
            let now = begun + Duration::from_secs(seconds);
            assert_eq!(peer.turn(trouble, now), expected, "{seconds} s: {trouble:?}");
        }
    }

    #[test]
    fn a_registry_that_was_late_is_not_asked_for_a_while() {
        let url = Uri::from_static("https://a.example/ard");
        let peer = Peer::new(ArdRegistry { name: "a".to_owned(), url, authorization: None });
        let now = Instant::now();
        for (trouble, rests) in [
            (Some(Trouble::Unreachable), false), // Who refuses does so at once.
            (Some(Trouble::Late), true),
            (None, false),
        ] {
            let failed = trouble.map(|it| Failed::new(it, "x"));
            peer.answered(failed.as_ref(), now);
            assert_eq!(peer.rests(now + REST / 2), rests, "{trouble:?}");
            assert!(!peer.rests(now + REST), "{trouble:?}");
        }
    }

    #[test]
    fn a_question_that_is_not_taken_says_nothing_of_the_registry() {
        assert!(is_of_question(StatusCode::BAD_REQUEST));
        assert!(is_of_question(StatusCode::PAYLOAD_TOO_LARGE));
        assert!(!is_of_question(StatusCode::UNAUTHORIZED));
        assert!(!is_of_question(StatusCode::TOO_MANY_REQUESTS));
        assert!(!is_of_question(StatusCode::BAD_GATEWAY));
    }

    #[test]
    fn what_is_no_answer_is_left_out() {
        for odd in ["", "[]", "\"x\"", "1", "null", "{}", "{\"results\":{}}", "{\"results\":[]"] {
            assert_eq!(results(odd.as_bytes()), None, "{odd}");
        }
        assert_eq!(results(b"{\"results\":[1]}"), Some(vec![json!(1)]));
    }

    #[test]
    fn what_is_no_entry_is_left_out() {
        let good = json!({"identifier": "urn:air:a.example:agent:x", "displayName": "X",
            "type": "t", "url": "https://a.example/x", "score": 7});
        let found = checked(good.clone(), "https://r.example").unwrap();
        assert_eq!(found["source"], "https://r.example");
        for (name, value) in [
            ("identifier", json!("x")),
            ("displayName", json!("")),
            ("type", json!(null)),
            ("url", json!(null)),
            ("data", json!({})),
            ("score", json!(101)),
            ("score", json!("7")),
            ("score", json!(0)),
        ] {
            let mut bad = good.clone();
            bad[name] = value;
            assert_eq!(checked(bad, "https://r.example"), None, "{name}");
        }
        assert_eq!(checked(json!([]), "https://r.example"), None);
    }
}
