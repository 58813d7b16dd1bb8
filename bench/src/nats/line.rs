//! A connection to a NATS server, by its own protocol.
//! Must not know what streams there are.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::talk::Talk;

/// What every client says first.
const CONNECT: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":false,\
                       \"lang\":\"rust\",\"version\":\"1\",\"protocol\":1}\r\nPING\r\n";

/// A connection that hears what is sent to a subject of its own.
#[derive(Debug)]
pub(crate) struct Line {
    talk: Talk,
    inbox: String,
}

/// A message that was heard.
#[derive(Debug)]
pub(crate) struct Heard {
    /// Where an answer to it is sent, if one is wanted.
    pub(crate) reply: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Heard {
    /// Reads a body of JSON.
    pub(crate) fn json(&self) -> anyhow::Result<Value> {
        let text = || String::from_utf8_lossy(&self.body).into_owned();
        serde_json::from_slice(&self.body).with_context(|| format!("NATS says `{}`", text()))
    }

    /// Fails unless it is the receipt of a message that a stream keeps.
    pub(crate) fn is_kept(&self) -> anyhow::Result<()> {
        let receipt = self.json()?;
        ensure!(receipt["seq"].is_u64(), "NATS says {receipt}");
        Ok(())
    }
}

impl Line {
    /// Connects; returns the version of the server, too.
    pub(super) async fn open(to: SocketAddr, number: usize) -> anyhow::Result<(Self, String)> {
        let inbox = format!("_INBOX.bench.{number}");
        let mut line = Self { talk: Talk::open(to).await?, inbox };
        line.talk.send(CONNECT.as_bytes()).await?;
        let info = line.talk.line().await?;
        let info = info.strip_prefix("INFO ").context("NATS does not introduce itself")?;
        let info: Value = serde_json::from_str(info)?;
        let version = info["version"].as_str().context("NATS does not say its version")?;
        let pong = line.said().await?;
        ensure!(pong == "PONG", "NATS says `{pong}`");
        let inbox = line.inbox.clone();
        line.subscribe(&inbox, 1).await?;
        Ok((line, version.to_owned()))
    }

    /// Hears what is sent to a subject, too. The subscriptions of a connection are numbered; that
    /// to its own subject is the first.
    pub(crate) async fn subscribe(&mut self, subject: &str, number: usize) -> anyhow::Result<()> {
        self.talk.send(format!("SUB {subject} {number}\r\n").as_bytes()).await
    }

    /// Returns the subject that it hears.
    pub(crate) fn inbox(&self) -> &str {
        &self.inbox
    }

    /// Returns a message whose receipt is sent to this connection.
    pub(crate) fn publish(&self, subject: &str, payload: &str) -> Vec<u8> {
        let (inbox, len) = (&self.inbox, payload.len());
        format!("PUB {subject} {inbox} {len}\r\n{payload}\r\n").into_bytes()
    }

    /// Sends a message, and returns what comes back.
    pub(crate) async fn ask(&mut self, message: &[u8]) -> anyhow::Result<Heard> {
        self.talk.send(message).await?;
        self.hear().await
    }

    /// Sends messages, and waits until each of them was answered.
    pub(crate) async fn ask_all(&mut self, messages: &[u8], count: usize) -> anyhow::Result<()> {
        self.talk.send(messages).await?;
        for _ in 0..count {
            self.hear().await?;
        }
        Ok(())
    }

    /// Waits for the next message.
    pub(crate) async fn hear(&mut self) -> anyhow::Result<Heard> {
        let line = self.said().await?;
        // Its subject, its subscription, where an answer is sent if one is wanted, its length.
        let words: Vec<&str> = line.split(' ').collect();
        let (reply, len) = match words[..] {
            ["MSG", _, _, len] => (None, len),
            ["MSG", _, _, reply, len] => (Some(reply.to_owned()), len),
            [..] => anyhow::bail!("NATS says `{line}`"),
        };
        let len: usize = len.parse().with_context(|| format!("NATS says `{line}`"))?;
        while self.talk.unused().len() < len + 2 {
            self.talk.read_more().await?;
        }
        let body = self.talk.unused()[..len].to_vec();
        self.talk.used(len + 2);
        Ok(Heard { reply, body })
    }

    /// Returns what the server says of its clients' doing, and answers what is said to all.
    async fn said(&mut self) -> anyhow::Result<String> {
        loop {
            let line = self.talk.line().await?;
            if line == "PING" {
                self.talk.send(b"PONG\r\n").await?;
            } else if !line.starts_with("INFO ") {
                return Ok(line);
            }
        }
    }
}
