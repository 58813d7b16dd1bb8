//! The side of NATS: a server with a stream, and clients of its own protocol.
//! Must not know of the other sides.

use std::path::Path;
use std::time::Duration;

use anyhow::ensure;

use super::{Options, Work, value};
use crate::Places;
use crate::load::{Client, Round, Tried};
use crate::nats::{Line, Nats};

/// A server with a stream.
#[derive(Debug)]
pub(super) struct NatsSide {
    server: Nats,
    publishers: Vec<Publisher>,
}

#[derive(Debug)]
struct Publisher {
    line: Line,
    message: Vec<u8>,
}

impl NatsSide {
    pub(super) async fn start(
        places: &Places,
        options: &Options,
        program: &Path,
    ) -> anyhow::Result<Self> {
        let server = Nats::start(places, program).await?;
        let mut publishers = Vec::new();
        for number in 1..=options.clients {
            let line = server.connect(number).await?;
            let message = line.publish(Nats::SUBJECT, &value());
            publishers.push(Publisher { line, message });
        }
        Ok(Self { server, publishers })
    }

    pub(super) fn version(&self) -> &str {
        self.server.version()
    }

    /// Does a work for a while, if it is one that a stream has, too.
    pub(super) async fn work(
        &mut self,
        work: Work,
        time: Duration,
    ) -> anyhow::Result<Option<Round>> {
        match work {
            Work::Put => {
                let server = self.server.process();
                Round::run_again(&mut self.publishers, time, server).await.map(Some)
            }
            Work::Batch | Work::Read | Work::Nothing => Ok(None),
        }
    }
}

impl Client for Publisher {
    async fn act(&mut self) -> anyhow::Result<Tried> {
        let receipt = self.line.ask(&self.message).await?;
        ensure!(receipt["seq"].is_u64(), "NATS says {receipt}");
        Ok(Tried::Done)
    }
}
