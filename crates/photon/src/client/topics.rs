//! The requests of `/v1/topics`.
//! Must not know why they are made.

use std::time::Duration;

use photon_edge::v1::types::{
    PostMessage, Published, Topic, TopicMessages, TopicPut, Topics, WAIT_MS_MAX,
};
use reqwest::header::ACCEPT;
use reqwest::{Method, RequestBuilder};

use super::{Client, ClientError};

/// From where to read, and what.
#[derive(Clone, Debug, Default)]
pub struct ReadQuery {
    /// `first` or `last`.
    pub from: Option<String>,
    /// After a message.
    pub after: Option<String>,
    /// From a time on.
    pub since: Option<String>,
    /// Only of this key.
    pub key: Option<String>,
    /// How many at most.
    pub limit: Option<u64>,
    /// Whether to wait for the next.
    pub waits: bool,
}

impl Client {
    fn topic(&self, method: Method, name: &str, placement: Option<&str>) -> RequestBuilder {
        self.request(method, &["v1", "topics", name]).query(&[("placement", placement)])
    }

    fn messages(&self, method: Method, name: &str, placement: Option<&str>) -> RequestBuilder {
        let path = ["v1", "topics", name, "messages"];
        self.request(method, &path).query(&[("placement", placement)])
    }

    /// Lists topics.
    pub async fn topics(&self) -> Result<Topics, ClientError> {
        self.call(self.request(Method::GET, &["v1", "topics"]), Duration::ZERO).await
    }

    /// Shows a topic.
    pub async fn show_topic(
        &self,
        name: &str,
        placement: Option<&str>,
    ) -> Result<Topic, ClientError> {
        self.call(self.topic(Method::GET, name, placement), Duration::ZERO).await
    }

    /// Says for how long messages are kept.
    pub async fn keep_topic(
        &self,
        name: &str,
        placement: Option<&str>,
        put: &TopicPut,
    ) -> Result<Topic, ClientError> {
        self.call(self.topic(Method::PUT, name, placement).json(put), Duration::ZERO).await
    }

    /// Publishes a message.
    pub async fn publish(
        &self,
        name: &str,
        placement: Option<&str>,
        message: &PostMessage,
    ) -> Result<Published, ClientError> {
        self.call(self.messages(Method::POST, name, placement).json(message), Duration::ZERO).await
    }

    /// Forgets messages.
    pub async fn purge_topic(
        &self,
        name: &str,
        placement: Option<&str>,
        upto: Option<u64>,
    ) -> Result<(), ClientError> {
        let request = self.messages(Method::DELETE, name, placement);
        self.order(request.query(&[("upto", upto)])).await
    }

    /// Reads messages.
    pub async fn read_topic(
        &self,
        name: &str,
        placement: Option<&str>,
        query: &ReadQuery,
    ) -> Result<TopicMessages, ClientError> {
        let wait_ms = if query.waits { WAIT_MS_MAX } else { 0 };
        let request = self
            .messages(Method::GET, name, placement)
            .header(ACCEPT, "application/json")
            .query(&[("from", &query.from), ("after", &query.after), ("since", &query.since)])
            .query(&[("key", &query.key)])
            .query(&[("limit", query.limit), ("wait_ms", Some(wait_ms))]);
        self.call(request, Duration::from_millis(wait_ms)).await
    }
}
