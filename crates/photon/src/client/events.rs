//! The events of a task, as they happen.
//! Must not connect again when the stream breaks off: the caller does, after the last generation.

use photon_edge::v1::types::TaskEvent;
use reqwest::Response;

use super::{Client, ClientError};
use crate::sse::Parser;

/// A stream of the events of one task.
#[derive(Debug)]
pub struct Events {
    client: Client,
    reply: Response,
    parser: Parser,
}

impl Events {
    pub(super) fn new(client: Client, reply: Response) -> Self {
        Self { client, reply, parser: Parser::default() }
    }

    /// Returns the next event; `None` when the region has ended the stream.
    pub async fn next(&mut self) -> Result<Option<TaskEvent>, ClientError> {
        loop {
            if let Some(event) = self.parser.pop() {
                let event = serde_json::from_str(&event.data);
                return event.map(Some).map_err(|error| self.client.garbled(&error));
            }
            let bytes = self.reply.chunk().await.map_err(|error| self.client.unreachable(error))?;
            let Some(bytes) = bytes else { return Ok(None) };
            self.parser.push(&bytes).map_err(|error| self.client.garbled(&error))?;
        }
    }
}
