//! Photon's side: a region, and clients of its HTTP interface.
//! Must not know of the other side.

use std::time::Duration;

use super::payload;
use crate::Places;
use crate::http::Connection;
use crate::load::{Client, Round, Tried};
use crate::region::Region;
use crate::worker::Worker;

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

impl Photon {
    pub(super) async fn start(places: &Places, clients: usize) -> anyhow::Result<Self> {
        let region = Region::start(places).await?;
        let submitter = |connection| {
            let text = payload();
            let body = format!(r#"{{"skill":"{SKILL}","text":"{text}"}}"#).into_bytes();
            Submitter { connection, body }
        };
        let worker = |connection| Worker::new(connection, AGENT, 1_000);
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
        let servers = [self.process()];
        Round::run_again(&mut self.submitters, time, &servers).await
    }

    /// Works on the tasks that wait, with one worker for each task that the agent may take.
    pub(super) async fn claim(&mut self, time: Duration) -> anyhow::Result<Round> {
        self.region.register(AGENT, SKILL, self.clients).await?;
        let servers = [self.process()];
        Round::run_again(&mut self.workers, time, &servers).await
    }
}

impl Client for Submitter {
    async fn act(&mut self) -> anyhow::Result<Tried> {
        self.connection.post("/v1/tasks", &self.body).await?.good()?;
        Ok(Tried::Done)
    }
}
