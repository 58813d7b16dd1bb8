//! A connection of TCP, and what was read of it and not yet used.
//! Must not know what is said over it.

use std::net::SocketAddr;

use anyhow::{bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http::dial;

/// Bytes that are read before something is used of them; more are an error.
const READ_BYTES_MAX: usize = 16 << 20;

/// A connection.
#[derive(Debug)]
pub(crate) struct Talk {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Talk {
    /// Connects.
    pub(crate) async fn open(to: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self { stream: dial(to).await?, read: Vec::with_capacity(64 << 10) })
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// Returns what was read and is not yet used.
    pub(crate) fn unused(&self) -> &[u8] {
        &self.read
    }

    /// Forgets the first bytes of it.
    pub(crate) fn used(&mut self, len: usize) {
        if self.read.len() == len { self.read.clear() } else { drop(self.read.drain(..len)) }
    }

    /// Reads what there is, and waits until there is something.
    pub(crate) async fn read_more(&mut self) -> anyhow::Result<()> {
        ensure!(self.read.len() < READ_BYTES_MAX, "a reply of more than {READ_BYTES_MAX} bytes");
        if self.stream.read_buf(&mut self.read).await? == 0 {
            bail!("the server closed the connection");
        }
        Ok(())
    }

    /// Reads a line, without its end.
    pub(crate) async fn line(&mut self) -> anyhow::Result<String> {
        loop {
            if let Some(end) = self.read.iter().position(|it| *it == b'\n') {
                let line = String::from_utf8(self.read[..end].to_vec())?;
                self.used(end + 1);
                return Ok(line.trim_end().to_owned());
            }
            self.read_more().await?;
        }
    }
}
