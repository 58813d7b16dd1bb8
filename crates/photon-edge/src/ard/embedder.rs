//! An embedder that speaks as that of OpenAI does: texts go there, and vectors come back.
//! Must not know what is done with them.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderValue, Request, StatusCode, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::vectors::Sense;
use crate::hooks::{HttpClient, PushTargets, http_client};

/// How long the vector of a query may take; the search goes on without it then.
const QUERY_WITHIN: Duration = Duration::from_secs(1);
/// How long the vectors of many texts may take.
const TEXTS_WITHIN: Duration = Duration::from_secs(60);
/// Bytes of an answer; a longer one counts as none.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Letters of a text; the rest of a longer one is left out.
const LETTERS_MAX: usize = 8_000;
/// Numbers of a vector.
const NUMBERS_MAX: usize = 16_384;
/// How long it is left alone once it has failed.
const REST: Duration = Duration::from_secs(5);

/// An embedder that the operator has named.
#[derive(Clone, Debug, PartialEq)]
pub struct ArdEmbedder {
    /// The address below which it has `/embeddings`.
    pub url: Uri,
    /// The model.
    pub model: String,
    /// What is sent as `authorization`, if anything.
    pub authorization: Option<HeaderValue>,
    /// The cosine up to which a text counts as having nothing to do with a query.
    pub floor: f32,
}

/// An embedder, with what it takes to ask it.
#[derive(Debug)]
pub(super) struct Embedder {
    config: ArdEmbedder,
    client: HttpClient,
    /// When it failed last: at queries, and at texts, which may take longer.
    failed_at: [Mutex<Option<Instant>>; 2],
}

/// What vectors are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Query = 0,
    Texts = 1,
}

impl What {
    fn within(self) -> Duration {
        match self {
            Self::Query => QUERY_WITHIN,
            Self::Texts => TEXTS_WITHIN,
        }
    }
}

/// Why there are no vectors.
#[derive(Debug)]
pub(super) enum Wrong {
    /// It takes these texts for wrong; fewer of them may do.
    Refused(String),
    /// It cannot answer at the moment.
    Failed(String),
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Embedding>,
}

#[derive(Deserialize)]
struct Embedding {
    index: usize,
    embedding: Vec<f32>,
}

impl Embedder {
    pub(super) fn new(config: ArdEmbedder) -> Self {
        // The operator has named it: it may be anywhere.
        let client = http_client(PushTargets::Any);
        Self { config, client, failed_at: Default::default() }
    }

    /// Returns what a query means; nothing if that cannot be known soon.
    pub(super) async fn sense(&self, query: &str) -> Option<Sense> {
        let vectors = self.embed(&[query], What::Query).await.ok()?;
        Sense::new(vectors.first()?, self.config.floor)
    }

    /// Returns the vectors of texts, and nothing for one that gets none. Of several that are
    /// refused together each is asked for by itself.
    pub(super) async fn vectors(&self, texts: &[&str]) -> Option<Vec<Option<Vec<f32>>>> {
        match self.embed(texts, What::Texts).await {
            Ok(vectors) => return Some(vectors.into_iter().map(Some).collect()),
            Err(Wrong::Failed(_)) => return None,
            Err(Wrong::Refused(_)) => {}
        }
        let mut vectors = Vec::new();
        for text in texts {
            match self.embed(&[text], What::Texts).await {
                Ok(of_one) => vectors.extend(of_one.into_iter().map(Some)),
                Err(Wrong::Refused(why)) => {
                    debug!(why, "a text gets no vector");
                    vectors.push(None);
                }
                Err(Wrong::Failed(_)) => return None,
            }
        }
        Some(vectors)
    }

    async fn embed(&self, texts: &[&str], what: What) -> Result<Vec<Vec<f32>>, Wrong> {
        let failed_at = &self.failed_at[what as usize];
        let lock = || failed_at.lock().unwrap_or_else(PoisonError::into_inner);
        let rests = || lock().is_some_and(|it| it.elapsed() < REST);
        if rests() {
            return Err(Wrong::Failed("it failed a moment ago".to_owned()));
        }
        let wrong = match timeout(what.within(), self.ask(texts)).await {
            Ok(Err(Wrong::Failed(wrong))) => wrong,
            Ok(answer) => return answer,
            Err(_) => format!("it did not answer within {} s", what.within().as_secs()),
        };
        // Of many that fail together one is told of.
        if !rests() {
            *lock() = Some(Instant::now());
            warn!(url = %self.config.url, wrong, "agents are found by words alone for now");
        }
        Err(Wrong::Failed(wrong))
    }

    async fn ask(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, Wrong> {
        let failed = |err: &dyn std::fmt::Display| Wrong::Failed(err.to_string());
        let ArdEmbedder { url, model, authorization, floor: _ } = &self.config;
        let texts: Vec<String> =
            texts.iter().map(|it| it.chars().take(LETTERS_MAX).collect()).collect();
        let body = json!({"model": model, "input": texts, "encoding_format": "float"});
        let url = url.to_string();
        let mut request = Request::post(format!("{}/embeddings", url.trim_end_matches('/')))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("photon/", env!("CARGO_PKG_VERSION")));
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request.body(Full::new(Bytes::from(body.to_string())));
        let request = request.map_err(|err| failed(&err))?;
        let answer = self.client.request(request).await.map_err(|err| failed(&err))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|err| failed(&err))?.to_bytes();
        match status {
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY => {
                let said: String = String::from_utf8_lossy(&body).chars().take(200).collect();
                Err(Wrong::Refused(format!("{status}: {said}")))
            }
            status if !status.is_success() => Err(Wrong::Failed(format!("it answered {status}"))),
            _ => read(&body, texts.len()).map_err(Wrong::Failed),
        }
    }
}

/// Reads as many vectors as were asked for.
fn read(body: &[u8], count: usize) -> Result<Vec<Vec<f32>>, String> {
    let answer: Answer = serde_json::from_slice(body).map_err(|err| err.to_string())?;
    let mut vectors = vec![Vec::new(); count];
    for Embedding { index, embedding } in answer.data {
        let slot = vectors.get_mut(index).ok_or("it answered what was not asked")?;
        *slot = embedding;
    }
    let len = vectors.first().map_or(0, Vec::len);
    if !(1..=NUMBERS_MAX).contains(&len) || vectors.iter().any(|it| it.len() != len) {
        return Err("its vectors are not all there, or not of one length".to_owned());
    }
    Ok(vectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_come_in_the_order_of_their_texts() {
        let body =
            r#"{"data": [{"index": 1, "embedding": [3, 4]}, {"index": 0, "embedding": [1, 2]}]}"#;
        assert_eq!(read(body.as_bytes(), 2).unwrap(), [vec![1.0, 2.0], vec![3.0, 4.0]]);
        for (odd, count) in [
            ("", 1),
            ("{}", 1),
            (r#"{"data": []}"#, 1),
            (r#"{"data": [{"index": 0, "embedding": []}]}"#, 1),
            (r#"{"data": [{"index": 1, "embedding": [1]}]}"#, 1),
            (r#"{"data": [{"index": 0, "embedding": ["x"]}]}"#, 1),
            (body, 1),
            (body, 3),
        ] {
            assert!(read(odd.as_bytes(), count).is_err(), "{odd}");
        }
    }
}
