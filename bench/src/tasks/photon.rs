//! Photon's side: a region, and clients of its HTTP interface.
//! Must not know of the other side.

use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;

use super::payload;
use crate::Places;
use crate::http::Connection;
use crate::load::{Client, Round, Tried};
use crate::region::Region;

const AGENT: &str = "bench";
const SKILL: &str = "bench.work";

/// A region with an agent.
#[derive(Debug)]
pub(super) struct Photon {
    region: Region,
    clients: usize,
    submitters: Vec<Submitter>,
    workers: Vec<Worker>,
}

#[derive(Debug)]
struct Submitter {
    connection: Connection,
    body: Vec<u8>,
}

#[derive(Debug)]
struct Worker {
    connection: Connection,
    path: String,
    token: String,
}

impl Photon {
    pub(super) async fn start(places: &Places, clients: usize) -> anyhow::Result<Self> {
        let region = Region::start(places).await?;
        let submitter = |connection| {
            let text = payload();
            let body = format!(r#"{{"skill":"{SKILL}","text":"{text}"}}"#).into_bytes();
            Submitter { connection, body }
        };
        let worker = |connection| Worker { connection, path: String::new(), token: String::new() };
        let submitters = region.connect_many(clients).await?.into_iter().map(submitter).collect();
        let workers = region.connect_many(clients).await?.into_iter().map(worker).collect();
        Ok(Self { region, clients, submitters, workers })
    }

    pub(super) fn process(&self) -> u32 {
        self.region.process()
    }

    /// Submits tasks to an agent whom nobody works for, so that they only queue.
    pub(super) async fn submit(&mut self, time: Duration) -> anyhow::Result<Round> {
        self.region.register(AGENT, SKILL, 1).await?;
        let clients = std::mem::take(&mut self.submitters);
        let (round, clients) = Round::run(clients, time, self.process()).await?;
        self.submitters = clients;
        Ok(round)
    }

    /// Works on the tasks that wait, with one worker for each task that the agent may take.
    pub(super) async fn claim(&mut self, time: Duration) -> anyhow::Result<Round> {
        self.region.register(AGENT, SKILL, self.clients).await?;
        let clients = std::mem::take(&mut self.workers);
        let (round, clients) = Round::run(clients, time, self.process()).await?;
        self.workers = clients;
        Ok(round)
    }
}

impl Client for Submitter {
    async fn act(&mut self) -> anyhow::Result<Tried> {
        self.connection.post("/v1/tasks", &self.body).await?.good()?;
        Ok(Tried::Done)
    }
}

#[derive(Deserialize)]
struct Leases<'a> {
    #[serde(borrow)]
    leases: Vec<Lease<'a>>,
}

#[derive(Deserialize)]
struct Lease<'a> {
    task: &'a str,
    token: &'a str,
}

impl Client for Worker {
    async fn act(&mut self) -> anyhow::Result<Tried> {
        let ask = format!(r#"{{"agent":"{AGENT}","limit":1,"wait_ms":1000}}"#);
        let body = self.connection.post("/v1/leases", ask.as_bytes()).await?.good()?;
        let found: Leases<'_> = serde_json::from_slice(body).context("no leases")?;
        let Some(lease) = found.leases.first() else { return Ok(Tried::Dry) };
        self.path = format!("/v1/leases/{}/complete", lease.task);
        self.token = format!(r#"{{"token":"{}"}}"#, lease.token);
        self.connection.post(&self.path, self.token.as_bytes()).await?.good()?;
        Ok(Tried::Done)
    }
}
