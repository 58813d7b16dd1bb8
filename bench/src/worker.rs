//! One who works for an agent: takes tasks over a connection of its own, and ends them.
//! Must not know what the tasks are for.

use anyhow::Context;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::http::Connection;
use crate::load::{Client, Tried};

/// A worker with its connection.
#[derive(Debug)]
pub(crate) struct Worker {
    connection: Connection,
    ask: String,
}

/// A task that a worker has.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    task: String,
    token: String,
    message: String,
    /// After how long a silence of the worker the task is given to another, in milliseconds.
    pub(crate) ttl_ms: u64,
}

#[derive(Deserialize)]
struct Leases<'a> {
    #[serde(borrow)]
    leases: Vec<Found<'a>>,
}

#[derive(Deserialize)]
struct Found<'a> {
    task: &'a str,
    token: &'a str,
    #[serde(borrow)]
    message: &'a RawValue,
    ttl_ms: u64,
}

#[derive(Deserialize)]
struct Message {
    parts: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    text: String,
}

/// Registers an agent, or changes how many tasks it works on at once.
pub(crate) async fn register(
    connection: &mut Connection,
    (agent, skill): (&str, &str),
    capacity: usize,
) -> anyhow::Result<()> {
    let body = json!({ "skills": [skill], "capacity": capacity }).to_string();
    let path = format!("/v1/agents/{agent}");
    connection.request("PUT", &path, body.as_bytes()).await?.good()?;
    Ok(())
}

impl Lease {
    /// Returns what is asked for.
    pub(crate) fn text(&self) -> anyhow::Result<String> {
        let message: Message = serde_json::from_str(&self.message).context("no message")?;
        let first = message.parts.into_iter().next();
        Ok(first.context("a task without a part")?.text)
    }
}

impl Worker {
    /// Makes a worker that waits so long for a task at the most.
    pub(crate) fn new(connection: Connection, agent: &str, wait_ms: u32) -> Self {
        let ask = format!(r#"{{"agent":"{agent}","limit":1,"wait_ms":{wait_ms}}}"#);
        Self { connection, ask }
    }

    /// Changes how long it waits for a task at the most.
    pub(crate) fn waiting(self, agent: &str, wait_ms: u32) -> Self {
        Self::new(self.connection, agent, wait_ms)
    }

    /// Waits for a task.
    pub(crate) async fn lease(&mut self) -> anyhow::Result<Option<Lease>> {
        let body = self.connection.post("/v1/leases", self.ask.as_bytes()).await?.good()?;
        let found: Leases<'_> = serde_json::from_slice(body).context("no leases")?;
        Ok(found.leases.first().map(|it| Lease {
            task: it.task.to_owned(),
            token: it.token.to_owned(),
            message: it.message.get().to_owned(),
            ttl_ms: it.ttl_ms,
        }))
    }

    /// Says that it still works on a task.
    pub(crate) async fn heartbeat(&mut self, lease: &Lease) -> anyhow::Result<()> {
        self.tell(lease, "heartbeat").await
    }

    /// Says that a task is done.
    pub(crate) async fn complete(&mut self, lease: &Lease) -> anyhow::Result<()> {
        self.tell(lease, "complete").await
    }

    async fn tell(&mut self, Lease { task, token, .. }: &Lease, what: &str) -> anyhow::Result<()> {
        let path = format!("/v1/leases/{task}/{what}");
        let body = format!(r#"{{"token":"{token}"}}"#);
        self.connection.post(&path, body.as_bytes()).await?.good()?;
        Ok(())
    }
}

impl Client for Worker {
    async fn act(&mut self) -> anyhow::Result<Tried> {
        let Some(lease) = self.lease().await? else { return Ok(Tried::Dry) };
        self.complete(&lease).await?;
        Ok(Tried::Done)
    }
}
