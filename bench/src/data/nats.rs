//! The side of NATS: a server with a stream, and clients of its own protocol.
//! Must not know of the other sides.

use std::path::Path;
use std::time::Duration;

use super::{Options, Work, value};
use crate::Places;
use crate::load::Round;
use crate::nats::{Nats, Publisher, Retention};

/// A server with a stream.
#[derive(Debug)]
pub(super) struct NatsSide {
    server: Nats,
    publishers: Vec<Publisher>,
}

impl NatsSide {
    pub(super) async fn start(
        places: &Places,
        options: &Options,
        program: &Path,
    ) -> anyhow::Result<Self> {
        let server = Nats::start(places, program, (1, Retention::Limits)).await?;
        let mut publishers = Vec::new();
        for number in 1..=options.clients {
            publishers.push(Publisher::connect(&server, number, &value()).await?);
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
                let servers = self.server.processes();
                Round::run_again(&mut self.publishers, time, &servers).await.map(Some)
            }
            Work::Batch | Work::Read | Work::Nothing => Ok(None),
        }
    }
}
