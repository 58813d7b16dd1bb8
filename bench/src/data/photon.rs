//! Photon's side: a region with one dataset, and clients of its HTTP interface.
//! Must not know of the other sides.

use std::io::Write as _;
use std::time::Duration;

use super::{BATCH, Options, PIPELINE, RECORDS, Work, any_record, key, value};
use crate::Places;
use crate::http::Connection;
use crate::load::{Client, Round, Tried};
use crate::region::Region;

const DATASET: &str = "bench";

/// A region with a dataset that holds every record.
#[derive(Debug)]
pub(super) struct PhotonSide {
    region: Region,
    putters: Vec<Putter>,
    batchers: Vec<Batcher>,
    readers: Vec<Reader>,
}

#[derive(Debug)]
struct Putter {
    connection: Connection,
    body: String,
}

#[derive(Debug)]
struct Batcher {
    connection: Connection,
    body: Vec<u8>,
}

#[derive(Debug)]
struct Reader {
    connection: Connection,
    requests: Vec<u8>,
    work: Work,
}

impl PhotonSide {
    pub(super) async fn start(places: &Places, options: &Options) -> anyhow::Result<Self> {
        let region = Region::start(places).await?;
        let mut first = region.connect().await?;
        let spec = br#"{"type":"register","placement":"global"}"#;
        first.request("PUT", &format!("/v1/datasets/{DATASET}"), spec).await?.good()?;
        let mut filler = Batcher { connection: first, body: Vec::new() };
        for from in (0..RECORDS).step_by(BATCH) {
            filler.write(from).await?;
        }
        let putter = |connection| Putter { connection, body: format!("\"{}\"", value()) };
        let batcher = |connection| Batcher { connection, body: Vec::new() };
        let reader = |connection| Reader { connection, requests: Vec::new(), work: Work::Read };
        let putters = region.connect_many(options.clients).await?.into_iter().map(putter).collect();
        let batchers = region.connect_many(options.batchers).await?;
        let batchers = batchers.into_iter().map(batcher).collect();
        let readers = region.connect_many(options.readers).await?.into_iter().map(reader).collect();
        Ok(Self { region, putters, batchers, readers })
    }

    pub(super) fn process(&self) -> u32 {
        self.region.process()
    }

    /// Does a work for a while.
    pub(super) async fn work(&mut self, work: Work, time: Duration) -> anyhow::Result<Round> {
        let server = self.process();
        self.readers.iter_mut().for_each(|it| it.work = work);
        match work {
            Work::Put => Round::run_again(&mut self.putters, time, &[server]).await,
            Work::Batch => Round::run_again(&mut self.batchers, time, &[server]).await,
            Work::Read | Work::Nothing => {
                Round::run_again(&mut self.readers, time, &[server]).await
            }
        }
    }
}

impl Batcher {
    /// Writes some records from one on.
    async fn write(&mut self, from: usize) -> anyhow::Result<()> {
        let value = value();
        self.body.clear();
        self.body.extend_from_slice(br#"{"writes":["#);
        for number in from..from + BATCH {
            let comma = if number == from { "" } else { "," };
            // Another rotation for each, so that one value does not stand for all.
            let (head, tail) = value.split_at(number % value.len());
            write!(self.body, r#"{comma}{{"key":"{}","put":"{tail}{head}"}}"#, key(number))?;
        }
        self.body.extend_from_slice(b"]}");
        self.connection.post(&format!("/v1/data/{DATASET}"), &self.body).await?.good()?;
        Ok(())
    }
}

impl Client for Putter {
    async fn act(&mut self) -> anyhow::Result<Tried> {
        let path = format!("/v1/data/{DATASET}/{}", key(any_record()));
        self.connection.request("PUT", &path, self.body.as_bytes()).await?.good()?;
        Ok(Tried::Done)
    }
}

impl Client for Batcher {
    async fn act(&mut self) -> anyhow::Result<Tried> {
        self.write(any_record()).await?;
        Ok(Tried::Done)
    }
}

impl Client for Reader {
    async fn act(&mut self) -> anyhow::Result<Tried> {
        self.requests.clear();
        for _ in 0..PIPELINE {
            match self.work {
                Work::Nothing => self.requests.extend_from_slice(b"GET /healthz"),
                Work::Put | Work::Batch | Work::Read => {
                    let key = key(any_record());
                    let path = format!("/v1/data/{DATASET}/{key}?consistency=eventual");
                    write!(self.requests, "GET {path}")?;
                }
            }
            self.requests.extend_from_slice(b" HTTP/1.1\r\nhost: localhost\r\n\r\n");
        }
        self.connection.pipeline(&self.requests, PIPELINE).await?;
        Ok(Tried::Done)
    }
}
