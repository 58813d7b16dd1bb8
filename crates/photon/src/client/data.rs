//! The requests of `/v1/datasets` and `/v1/data`. Replies are JSON as it comes: what a newer region
//! adds is passed on. Must not know why they are made.

use std::time::Duration;

use bytes::Bytes;
use photon_edge::v1::types::{
    DATA_WAIT_MS_MAX, DataConflicts, DataDigest, Dataset, MasterPut, MovePost,
};
use reqwest::header::{ACCEPT, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;

use super::{Client, ClientError};
use crate::sse::{Parser, ServerEvent};

/// What goes with a request about a record.
#[derive(Clone, Debug, Default)]
pub struct RecordAsk {
    /// When to acknowledge, or what may be missed.
    pub consistency: Option<String>,
    /// What the session has seen.
    pub session: Option<String>,
    /// How old what is shown may be.
    pub staleness_max: Option<Duration>,
    /// How long it lasts.
    pub ttl: Option<Duration>,
    /// The tag that it must have, or `*`.
    pub if_match: Option<String>,
    /// Whether there must be none.
    pub if_absent: bool,
    /// Where it lives.
    pub residency: Option<String>,
}

/// Which records to list.
#[derive(Clone, Debug, Default)]
pub struct ScanQuery {
    /// Only keys that begin with it.
    pub prefix: Option<String>,
    /// How many at most.
    pub records_max: usize,
}

/// What to watch.
#[derive(Clone, Debug, Default)]
pub struct WatchQuery {
    /// Only keys that begin with it.
    pub prefix: Option<String>,
    /// Only records that live there.
    pub residency: Option<String>,
}

/// The most items that are asked for at once.
const PAGE_MAX: usize = 500;
/// How long a region may wait for what a request demands.
const WAIT_MAX: Duration = Duration::from_millis(DATA_WAIT_MS_MAX);

fn millis(duration: Option<Duration>) -> Option<u64> {
    duration.map(|it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX))
}

impl RecordAsk {
    fn apply(&self, request: RequestBuilder) -> RequestBuilder {
        let mut request = request
            .query(&[("consistency", &self.consistency)])
            .query(&[("max_staleness_ms", millis(self.staleness_max))])
            .query(&[("ttl_ms", millis(self.ttl))])
            .query(&[("residency", &self.residency)]);
        if let Some(session) = &self.session {
            request = request.header("photon-session", session);
        }
        match &self.if_match {
            Some(tag) if tag == "*" || tag.contains('"') => request = request.header(IF_MATCH, tag),
            Some(tag) => request = request.header(IF_MATCH, format!("\"{tag}\"")),
            None => {}
        }
        if self.if_absent {
            request = request.header(IF_NONE_MATCH, "*");
        }
        request
    }
}

impl Client {
    /// Declares a dataset.
    pub async fn declare(&self, name: &str, dataset: &Dataset) -> Result<Value, ClientError> {
        let request = self.request(Method::PUT, &["v1", "datasets", name]).json(dataset);
        self.call(request, Duration::ZERO).await
    }

    /// Shows a dataset.
    pub async fn dataset(&self, name: &str) -> Result<Value, ClientError> {
        self.call(self.request(Method::GET, &["v1", "datasets", name]), Duration::ZERO).await
    }

    /// Lists datasets.
    pub async fn datasets(&self) -> Result<Value, ClientError> {
        self.call(self.request(Method::GET, &["v1", "datasets"]), Duration::ZERO).await
    }

    /// Forgets a dataset.
    pub async fn forget_dataset(&self, name: &str) -> Result<(), ClientError> {
        self.order(self.request(Method::DELETE, &["v1", "datasets", name])).await
    }

    /// Makes a region the only one that writes a dataset.
    pub async fn move_master(&self, name: &str, to: &MasterPut) -> Result<Value, ClientError> {
        let request = self.request(Method::PUT, &["v1", "datasets", name, "master"]).json(to);
        self.call(request, WAIT_MAX).await
    }

    /// Shows the conflicts of a dataset.
    pub async fn conflicts(&self, name: &str) -> Result<Value, ClientError> {
        let path = ["v1", "datasets", name, "conflicts"];
        self.call(self.request(Method::GET, &path), Duration::ZERO).await
    }

    /// Shows the conflicts of a dataset, as types.
    pub async fn last_conflicts(&self, name: &str) -> Result<DataConflicts, ClientError> {
        let path = ["v1", "datasets", name, "conflicts"];
        self.call(self.request(Method::GET, &path), Duration::ZERO).await
    }

    /// Shows what the records after a key and up to another one amount to.
    pub async fn digest(
        &self,
        (dataset, placement): (&str, &str),
        (after, upto): (Option<&str>, Option<&str>),
    ) -> Result<DataDigest, ClientError> {
        let path = ["v1", "datasets", dataset, "digest"];
        let request = self.request(Method::GET, &path).query(&[("placement", placement)]);
        // Whoever is told where to end must not be cut before it.
        let limit = if upto.is_some() { 4_096 } else { 1_000 };
        let request = request.query(&[("after", after), ("upto", upto)]).query(&[("limit", limit)]);
        self.call(request, Duration::ZERO).await
    }

    /// Shows a record.
    pub async fn record(
        &self,
        (dataset, key): (&str, &str),
        ask: &RecordAsk,
    ) -> Result<Value, ClientError> {
        let request = self.request(Method::GET, &["v1", "data", dataset, key]);
        self.call(ask.apply(request), WAIT_MAX).await
    }

    /// Writes a record.
    pub async fn put_record(
        &self,
        (dataset, key): (&str, &str),
        (media_type, value): (&str, Bytes),
        ask: &RecordAsk,
    ) -> Result<Value, ClientError> {
        let request = self.request(Method::PUT, &["v1", "data", dataset, key]);
        let request = request.header(CONTENT_TYPE, media_type).body(value);
        self.call(ask.apply(request), WAIT_MAX).await
    }

    /// Changes a part of a record.
    pub async fn patch_record(
        &self,
        (dataset, key): (&str, &str),
        patch: &Value,
        ask: &RecordAsk,
    ) -> Result<Value, ClientError> {
        let request = self.request(Method::PATCH, &["v1", "data", dataset, key]).json(patch);
        self.call(ask.apply(request), WAIT_MAX).await
    }

    /// Removes a record.
    pub async fn remove_record(
        &self,
        (dataset, key): (&str, &str),
        ask: &RecordAsk,
    ) -> Result<Value, ClientError> {
        let request = self.request(Method::DELETE, &["v1", "data", dataset, key]);
        self.call(ask.apply(request), WAIT_MAX).await
    }

    /// Moves a record to another placement.
    pub async fn move_record(
        &self,
        dataset: &str,
        post: &MovePost,
        wait: Option<Duration>,
    ) -> Result<Value, ClientError> {
        let path = ["v1", "datasets", dataset, "moves"];
        let request = self.request(Method::POST, &path).json(post);
        self.call(request.query(&[("wait_ms", millis(wait))]), WAIT_MAX).await
    }

    /// Shows the receipt of a move.
    pub async fn receipt(&self, dataset: &str, id: &str) -> Result<Value, ClientError> {
        let request = self.request(Method::GET, &["v1", "datasets", dataset, "moves", id]);
        self.call(request, Duration::ZERO).await
    }

    /// Lists the youngest receipts of moves.
    pub async fn receipts(&self, dataset: &str, limit: u32) -> Result<Value, ClientError> {
        let request = self.request(Method::GET, &["v1", "datasets", dataset, "moves"]);
        self.call(request.query(&[("limit", limit)]), Duration::ZERO).await
    }

    /// Lets the region bound its log now.
    pub async fn compact(&self) -> Result<(), ClientError> {
        self.order(self.request(Method::POST, &["v1", "log", "compaction"])).await
    }

    /// Lists records by key, page by page.
    pub async fn records(
        &self,
        dataset: &str,
        query: &ScanQuery,
        ask: &RecordAsk,
    ) -> Result<Vec<Value>, ClientError> {
        let (mut records, mut after) = (Vec::new(), None::<String>);
        loop {
            let request = self
                .request(Method::GET, &["v1", "data", dataset])
                .query(&[("limit", PAGE_MAX.min(query.records_max - records.len()))])
                .query(&[("prefix", &query.prefix), ("after", &after)]);
            let mut page: Value = self.call(ask.apply(request), WAIT_MAX).await?;
            if let Value::Array(page) = page["records"].take() {
                records.extend(page);
            }
            records.truncate(query.records_max);
            after = page["next_after"].as_str().map(str::to_owned);
            if after.is_none() || records.len() == query.records_max {
                return Ok(records);
            }
        }
    }

    /// Watches a dataset from a position on, or from now on.
    pub async fn watch(
        &self,
        dataset: &str,
        query: &WatchQuery,
        position: Option<&str>,
    ) -> Result<Changes, ClientError> {
        let request = self
            .request(Method::GET, &["v1", "data", dataset])
            .query(&[("prefix", &query.prefix), ("residency", &query.residency)])
            .query(&[("position", position)])
            .query(&[("watch", "true")])
            .header(ACCEPT, "text/event-stream");
        let reply = self.send(request).await?;
        Ok(Changes { client: self.clone(), reply, parser: Parser::default() })
    }
}

/// A stream of the changes of a dataset.
#[derive(Debug)]
pub struct Changes {
    client: Client,
    reply: Response,
    parser: Parser,
}

impl Changes {
    /// Returns the next change; `None` when the region has ended the stream.
    pub async fn next(&mut self) -> Result<Option<ServerEvent>, ClientError> {
        loop {
            if let Some(event) = self.parser.pop() {
                return Ok(Some(event));
            }
            let bytes = self.reply.chunk().await.map_err(|error| self.client.unreachable(error))?;
            let Some(bytes) = bytes else { return Ok(None) };
            self.parser.push(&bytes).map_err(|error| self.client.garbled(&error))?;
        }
    }

    /// Returns the position after what was heard, if the region has said it.
    #[must_use]
    pub fn position(&self) -> Option<String> {
        Some(self.parser.last_id().to_owned()).filter(|it| !it.is_empty())
    }
}
