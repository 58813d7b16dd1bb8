//! The side of Redis: a server, and clients of its own protocol.
//! Must not know of the other sides.

use std::time::Duration;

use anyhow::ensure;

use super::{BATCH, Options, PIPELINE, RECORDS, VALUE_BYTES, Work, any_record, key, value};
use crate::Places;
use crate::load::{Client, Round, Tried};
use crate::redis::{Redis, write_command};
use crate::talk::Talk;

/// A server that holds every record.
#[derive(Debug)]
pub(super) struct RedisSide {
    server: Redis,
    putters: Vec<Asker>,
    batchers: Vec<Asker>,
    readers: Vec<Asker>,
}

/// A client that sends commands, and reads as many answers, whose length it knows.
#[derive(Debug)]
struct Asker {
    talk: Talk,
    work: Work,
    sent: Vec<u8>,
    value: String,
}

impl RedisSide {
    pub(super) async fn start(places: &Places, options: &Options) -> anyhow::Result<Self> {
        let server = Redis::start(places).await?;
        let mut filler = Asker::open(&server, Work::Batch).await?;
        for from in (0..RECORDS).step_by(BATCH) {
            filler.ask(from..from + BATCH).await?;
        }
        let (mut putters, mut batchers, mut readers) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..options.clients {
            putters.push(Asker::open(&server, Work::Put).await?);
        }
        for _ in 0..options.batchers {
            batchers.push(Asker::open(&server, Work::Batch).await?);
        }
        for _ in 0..options.readers {
            readers.push(Asker::open(&server, Work::Read).await?);
        }
        Ok(Self { server, putters, batchers, readers })
    }

    pub(super) fn version(&self) -> &str {
        self.server.version()
    }

    /// Does a work for a while.
    pub(super) async fn work(
        &mut self,
        work: Work,
        time: Duration,
    ) -> anyhow::Result<Option<Round>> {
        let server = self.server.process();
        self.readers.iter_mut().for_each(|it| it.work = work);
        let clients = match work {
            Work::Put => &mut self.putters,
            Work::Batch => &mut self.batchers,
            Work::Read | Work::Nothing => &mut self.readers,
        };
        Round::run_again(clients, time, &[server]).await.map(Some)
    }
}

impl Asker {
    async fn open(server: &Redis, work: Work) -> anyhow::Result<Self> {
        Ok(Self { talk: server.connect().await?, work, sent: Vec::new(), value: value() })
    }

    async fn ask(&mut self, records: impl ExactSizeIterator<Item = usize>) -> anyhow::Result<()> {
        self.sent.clear();
        let (first, each) = match self.work {
            Work::Put | Work::Batch => ("+OK\r\n".to_owned(), 5),
            Work::Read => (format!("${VALUE_BYTES}\r\n"), VALUE_BYTES + 8),
            Work::Nothing => ("+PONG\r\n".to_owned(), 7),
        };
        let wanted = records.len() * each;
        for record in records {
            let key = key(record);
            match self.work {
                Work::Put | Work::Batch => {
                    write_command(&["SET", &key, &self.value], &mut self.sent);
                }
                Work::Read => write_command(&["GET", &key], &mut self.sent),
                Work::Nothing => write_command(&["PING"], &mut self.sent),
            }
        }
        self.talk.send(&self.sent).await?;
        while self.talk.unused().len() < wanted {
            self.talk.read_more().await?;
            // An error is shorter than an answer: it must not be waited for.
            let is_good = self.talk.unused().starts_with(&first.as_bytes()[..1]);
            ensure!(is_good, "Redis says {}", String::from_utf8_lossy(self.talk.unused()));
        }
        let answers = self.talk.unused().chunks(each);
        let mut answers = answers.map(|it| it.starts_with(first.as_bytes()));
        ensure!(answers.all(|it| it), "Redis says something else");
        self.talk.used(self.talk.unused().len());
        Ok(())
    }
}

impl Client for Asker {
    async fn act(&mut self) -> anyhow::Result<Tried> {
        let first = any_record();
        match self.work {
            Work::Put => self.ask(std::iter::once(first)).await?,
            Work::Batch => self.ask(first..first + BATCH).await?,
            Work::Read | Work::Nothing => self.ask((0..PIPELINE).map(|_| any_record())).await?,
        }
        Ok(Tried::Done)
    }
}
