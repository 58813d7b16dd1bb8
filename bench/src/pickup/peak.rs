//! The most tasks a second that get through a region: submitted, claimed, completed.
//! Must not measure how long one takes: at its peak a region has a queue.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{AGENT, Options, WAIT_MS, task};
use crate::http::Connection;
use crate::load::{Client, Round, Tried};
use crate::region::Region;
use crate::worker::Worker;

/// Tasks that wait or are worked on at once; clients wait until there are fewer.
pub(super) const UNDER_WAY_MAX: usize = 256;

/// A worker that lets a client submit another task for each that it has ended.
#[derive(Debug)]
struct Ending {
    worker: Worker,
    room: Arc<Semaphore>,
}

/// Measures it, and leaves no task behind.
pub(super) async fn find(region: &Region, options: &Options) -> anyhow::Result<f64> {
    let room = Arc::new(Semaphore::new(UNDER_WAY_MAX));
    let mut clients = JoinSet::new();
    for connection in region.connect_many(options.clients).await? {
        clients.spawn(submit(connection, Arc::clone(&room)));
    }
    let mut workers = Vec::with_capacity(options.workers);
    for connection in region.connect_many(options.workers).await? {
        let worker = Worker::new(connection, AGENT, WAIT_MS);
        workers.push(Ending { worker, room: Arc::clone(&room) });
    }
    let servers = [region.process()];
    let warm_up = Duration::from_secs_f64(options.warm_up);
    Round::run_again(&mut workers, warm_up, &servers).await?;
    let time = Duration::from_secs_f64(options.seconds);
    let round = Round::run_again(&mut workers, time, &servers).await?;
    ensure!(0 < round.count(), "no task got through the region");
    // Those who submit stop at the next task, and what they have submitted is worked on.
    room.close();
    while let Some(joined) = clients.join_next().await {
        joined.context("a client died")??;
    }
    if let Some(Ending { worker, .. }) = workers.first_mut() {
        while worker.act().await? == Tried::Done {}
    }
    Ok(round.per_second())
}

async fn submit(mut connection: Connection, room: Arc<Semaphore>) -> anyhow::Result<()> {
    while let Ok(place) = room.acquire().await {
        place.forget();
        connection.post("/v1/tasks", task(0).as_bytes()).await?.good()?;
    }
    Ok(())
}

impl Client for Ending {
    async fn act(&mut self) -> anyhow::Result<Tried> {
        let tried = self.worker.act().await?;
        if tried == Tried::Done {
            self.room.add_permits(1);
        }
        Ok(tried)
    }
}
