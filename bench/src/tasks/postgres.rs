//! PostgreSQL's side: two tables, each with the indexes that suit its work, and clients.
//! Must not know of the other side.

use std::time::Duration;

use tokio_postgres::{Client as Connection, Statement};

use super::payload;
use crate::Places;
use crate::load::{Client, Round, Tried};
use crate::postgres::Postgres;

/// Tasks are only put into `inbox`; in `queue` they are claimed and completed as well.
const TABLES: &str = "\
    CREATE TABLE inbox (id bigserial PRIMARY KEY, payload text NOT NULL);
    CREATE TABLE queue (
        id bigserial PRIMARY KEY, state text NOT NULL DEFAULT 'queued', payload text NOT NULL
    );
    CREATE INDEX waiting ON queue (id) WHERE state = 'queued';";
const INSERT: &str = "INSERT INTO inbox (payload) VALUES ($1) RETURNING id";
const FILL: &str = "INSERT INTO queue (payload) SELECT $1 FROM generate_series(1, $2)";
const CLAIM: &str = "\
    UPDATE queue SET state = 'claimed' WHERE id = (
        SELECT id FROM queue WHERE state = 'queued'
        ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
    ) RETURNING id, payload";
const COMPLETE: &str = "UPDATE queue SET state = 'done' WHERE id = $1";

/// A server with the tables.
#[derive(Debug)]
pub(super) struct Peer {
    server: Postgres,
    inserters: Vec<Inserter>,
    workers: Vec<Worker>,
}

struct Inserter {
    connection: Connection,
    insert: Statement,
    payload: String,
}

struct Worker {
    connection: Connection,
    claim: Statement,
    complete: Statement,
}

impl std::fmt::Debug for Inserter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inserter").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}

impl Peer {
    pub(super) async fn start(places: &Places, clients: usize) -> anyhow::Result<Self> {
        let server = Postgres::start(places).await?;
        server.connect().await?.batch_execute(TABLES).await?;
        let (mut inserters, mut workers) = (Vec::new(), Vec::new());
        for _ in 0..clients {
            let connection = server.connect().await?;
            let insert = connection.prepare(INSERT).await?;
            inserters.push(Inserter { connection, insert, payload: payload() });
            let connection = server.connect().await?;
            let claim = connection.prepare(CLAIM).await?;
            let complete = connection.prepare(COMPLETE).await?;
            workers.push(Worker { connection, claim, complete });
        }
        Ok(Self { server, inserters, workers })
    }

    /// Returns the settings that decide about durability.
    pub(super) async fn settings(&self) -> anyhow::Result<String> {
        let mut text = format!("PostgreSQL {}", self.server.version());
        for name in ["fsync", "synchronous_commit", "wal_sync_method", "shared_buffers"] {
            text += &format!(", {name} {}", self.server.setting(name).await?);
        }
        Ok(text)
    }

    /// Inserts tasks, each in its own transaction.
    pub(super) async fn insert(&mut self, time: Duration) -> anyhow::Result<Round> {
        Round::run_again(&mut self.inserters, time, &[self.server.process()]).await
    }

    /// Puts tasks into the queue at once, which is not measured, and tidies up after it.
    pub(super) async fn fill(&self, count: usize) -> anyhow::Result<()> {
        let connection = self.server.connect().await?;
        let count = i32::try_from(count)?;
        connection.execute(FILL, &[&payload(), &count]).await?;
        connection.batch_execute("VACUUM ANALYZE queue").await?;
        Ok(())
    }

    /// Works on the tasks that wait.
    pub(super) async fn claim(&mut self, time: Duration) -> anyhow::Result<Round> {
        Round::run_again(&mut self.workers, time, &[self.server.process()]).await
    }
}

impl Client for Inserter {
    async fn act(&mut self) -> anyhow::Result<Tried> {
        self.connection.query_one(&self.insert, &[&self.payload]).await?;
        Ok(Tried::Done)
    }
}

impl Client for Worker {
    async fn act(&mut self) -> anyhow::Result<Tried> {
        let Some(row) = self.connection.query_opt(&self.claim, &[]).await? else {
            return Ok(Tried::Dry);
        };
        let id: i64 = row.get(0);
        self.connection.execute(&self.complete, &[&id]).await?;
        Ok(Tried::Done)
    }
}
