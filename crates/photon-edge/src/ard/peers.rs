//! Other registries: they are asked along, or named to clients who ask them by themselves.
//! Must not know what is found here.

use std::time::Duration;

use axum::http::{Request, Uri, header};
use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt, Full, Limited};
use serde_json::{Value, json};
use tracing::debug;

use super::entry::{REGISTRY, domain_of};
use crate::hooks::{HttpClient, PushTargets, http_client};

/// How long another registry may take; what it would have found is left out.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Bytes of the answer of another registry; a longer one is left out.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Another registry that the operator trusts to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArdRegistry {
    /// What people call it.
    pub name: String,
    /// The address below which it has `/search`.
    pub url: Uri,
}

/// The other registries, with what it takes to ask them.
#[derive(Debug)]
pub(super) struct Peers {
    registries: Vec<ArdRegistry>,
    client: HttpClient,
}

impl Peers {
    pub(super) fn new(registries: Vec<ArdRegistry>) -> Self {
        // The operator has named them: they may be anywhere.
        Self { registries, client: http_client(PushTargets::Any) }
    }

    /// Returns them as entries that a client can follow.
    pub(super) fn referrals(&self) -> Vec<Value> {
        let entry = |it: &ArdRegistry| {
            let url = it.url.to_string();
            let publisher = domain_of(&url).unwrap_or_else(|| "registry.invalid".to_owned());
            json!({
                "identifier": format!("urn:air:{publisher}:registry:{}", it.name),
                "displayName": it.name,
                "type": REGISTRY,
                "url": format!("{}/search", url.trim_end_matches('/')),
            })
        };
        self.registries.iter().map(entry).collect()
    }

    /// Asks all of them the same at once, and returns what those found that answer in time.
    pub(super) async fn search(&self, query: &Value, page_size: usize) -> Vec<Value> {
        // Who is asked along asks nobody: no question goes round in circles.
        let body = json!({"query": query, "federation": "none", "pageSize": page_size});
        let body = Bytes::from(body.to_string());
        let asked = self.registries.iter().map(|it| async {
            match tokio::time::timeout(ANSWER_WITHIN, self.ask(it, body.clone(), page_size)).await {
                Ok(Ok(found)) => found,
                Ok(Err(err)) => {
                    debug!(registry = it.name, err, "another registry could not be asked");
                    Vec::new()
                }
                Err(_) => {
                    debug!(registry = it.name, "another registry did not answer in time");
                    Vec::new()
                }
            }
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    async fn ask(
        &self,
        registry: &ArdRegistry,
        body: Bytes,
        page_size: usize,
    ) -> Result<Vec<Value>, String> {
        let base = registry.url.to_string();
        let request = Request::post(format!("{}/search", base.trim_end_matches('/')))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("photon/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(body))
            .map_err(|err| err.to_string())?;
        let answer = self.client.request(request).await.map_err(|err| err.to_string())?;
        if !answer.status().is_success() {
            return Err(format!("it answered {}", answer.status()));
        }
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|err| err.to_string())?.to_bytes();
        let found = results(&body).ok_or("it answered without `results`")?;
        Ok(found.into_iter().filter_map(|it| checked(it, &base)).take(page_size).collect())
    }
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
