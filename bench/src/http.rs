//! A client of HTTP/1.1 that does next to nothing, because it shares the cores with the server.
//! Must not grow into a real one: it knows the replies of Photon, and fails at any other.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bytes of one reply; a larger one is an error.
const REPLY_BYTES_MAX: usize = 16 << 20;
/// How long a connection may rest; after that it is opened anew, before Photon closes it.
const REST_MAX: Duration = Duration::from_secs(10);

/// One connection that is kept alive.
#[derive(Debug)]
pub(crate) struct Connection {
    to: SocketAddr,
    stream: TcpStream,
    /// When the last reply was there.
    used: Instant,
    sent: Vec<u8>,
    read: Vec<u8>,
}

/// A reply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

impl<'a> Reply<'a> {
    /// Returns the body of a reply that says yes.
    pub(crate) fn good(self) -> anyhow::Result<&'a [u8]> {
        let text = || String::from_utf8_lossy(&self.body[..self.body.len().min(500)]).into_owned();
        ensure!((200..300).contains(&self.status), "status {}: {}", self.status, text());
        Ok(self.body)
    }
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(to: SocketAddr) -> anyhow::Result<Self> {
        let stream = dial(to).await?;
        let (sent, read) = (Vec::new(), Vec::with_capacity(64 << 10));
        Ok(Self { to, stream, used: Instant::now(), sent, read })
    }

    /// Opens the connection anew if it has rested for long, as it does while others are measured.
    async fn wake(&mut self) -> anyhow::Result<()> {
        if REST_MAX < self.used.elapsed() {
            self.stream = dial(self.to).await?;
        }
        Ok(())
    }

    pub(crate) async fn post(&mut self, path: &str, body: &[u8]) -> anyhow::Result<Reply<'_>> {
        self.request("POST", path, body).await
    }

    /// Sends a request, and reads its reply.
    pub(crate) async fn request(
        &mut self,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> anyhow::Result<Reply<'_>> {
        self.sent.clear();
        let length = body.len();
        write!(
            self.sent,
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nprefer: return=minimal\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        )?;
        self.sent.extend_from_slice(body);
        self.reply().await
    }

    /// Sends what is written, and reads the reply.
    async fn reply(&mut self) -> anyhow::Result<Reply<'_>> {
        self.wake().await?;
        self.stream.write_all(&self.sent).await?;
        self.read.clear();
        let (head, status) = self.read_head().await?;
        let end = head.len() + head.body_len;
        ensure!(end <= REPLY_BYTES_MAX, "a reply of {end} bytes");
        while self.read.len() < end {
            self.read_more().await?;
        }
        ensure!(self.read.len() == end, "more than one reply");
        self.used = Instant::now();
        Ok(Reply { status, body: &self.read[head.len()..] })
    }

    /// Returns what the last reply says in a header, whose name is given in lower case.
    pub(crate) fn header(&self, name: &str) -> anyhow::Result<&str> {
        let head = Head::parse(&self.read)?.context("there was no reply")?;
        let lines = std::str::from_utf8(&self.read[..head.head_len])?.lines();
        let mut fields = lines.filter_map(|line| line.split_once(':'));
        let found = fields.find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim()).with_context(|| format!("the reply has no `{name}`"))
    }

    /// Asks for JSON that shows all that a session has seen.
    pub(crate) async fn get_in(&mut self, path: &str, session: &str) -> anyhow::Result<Reply<'_>> {
        self.sent.clear();
        write!(
            self.sent,
            "GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: application/json\r\n\
             photon-session: {session}\r\n\r\n"
        )?;
        self.reply().await
    }

    /// Asks for JSON, and reads it.
    pub(crate) async fn get_json(&mut self, path: &str) -> anyhow::Result<Reply<'_>> {
        self.sent.clear();
        write!(
            self.sent,
            "GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: application/json\r\n\r\n"
        )?;
        self.reply().await
    }

    /// Sends requests that are written already, and reads as many replies, all of which must say
    /// yes.
    pub(crate) async fn pipeline(&mut self, requests: &[u8], count: usize) -> anyhow::Result<()> {
        self.wake().await?;
        self.stream.write_all(requests).await?;
        self.read.clear();
        let (mut at, mut replies) = (0, 0);
        while replies < count {
            let rest = &self.read[at..];
            let head = Head::parse(rest)?.map(|it| it.len() + it.body_len);
            match head.filter(|len| *len <= rest.len()) {
                Some(len) => {
                    let is_good = rest.starts_with(b"HTTP/1.1 2");
                    ensure!(is_good, "a reply: {}", String::from_utf8_lossy(&rest[..len]));
                    (at, replies) = (at + len, replies + 1);
                }
                None => self.read_more().await?,
            }
        }
        ensure!(self.read.len() == at, "more than {count} replies");
        self.used = Instant::now();
        Ok(())
    }

    async fn read_head(&mut self) -> anyhow::Result<(Head, u16)> {
        loop {
            self.read_more().await?;
            if let Some(head) = Head::parse(&self.read)? {
                let digits = self.read.get(9..12).and_then(|it| std::str::from_utf8(it).ok());
                let status = digits.and_then(|it| it.parse().ok()).context("no status")?;
                return Ok((head, status));
            }
        }
    }

    async fn read_more(&mut self) -> anyhow::Result<()> {
        if self.stream.read_buf(&mut self.read).await? == 0 {
            bail!("the server closed the connection");
        }
        Ok(())
    }
}

/// Opens a connection of TCP that does not wait to send.
pub(crate) async fn dial(to: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(to).await;
    let stream = stream.with_context(|| format!("failed to connect to {to}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// How long the two parts of a reply are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    head_len: usize,
    body_len: usize,
}

impl Head {
    fn len(self) -> usize {
        self.head_len
    }

    /// Reads the head of a reply; `None` if it is not all there yet.
    fn parse(bytes: &[u8]) -> anyhow::Result<Option<Self>> {
        const LENGTH: &[u8] = b"content-length:";
        let mut at = 0;
        let mut body_len = None;
        // Line by line, and not a byte more: this runs beside the server.
        while let Some(len) = bytes[at..].iter().position(|it| *it == b'\n') {
            let line = bytes[at..at + len].trim_ascii_end();
            at += len + 1;
            if line.is_empty() {
                // Without a length only a reply that has no body is understood.
                let is_empty = bytes.starts_with(b"HTTP/1.1 204");
                let body_len = body_len.or(is_empty.then_some(0));
                let head = || String::from_utf8_lossy(&bytes[..at]).into_owned();
                let body_len =
                    body_len.with_context(|| format!("a reply without a length: {}", head()))?;
                return Ok(Some(Self { head_len: at, body_len }));
            }
            let is_length = line.first().is_some_and(|it| it | 0x20 == b'c')
                && line.get(..LENGTH.len()).is_some_and(|it| it.eq_ignore_ascii_case(LENGTH));
            if is_length {
                let value = std::str::from_utf8(&line[LENGTH.len()..])?;
                body_len = Some(value.trim().parse()?);
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_when_it_is_whole() {
        let check = |text: &str, expected: Option<(usize, usize)>| {
            let head = Head::parse(text.as_bytes()).unwrap();
            assert_eq!(head.map(|it| (it.head_len, it.body_len)), expected);
        };
        check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", None);
        check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", Some((38, 5)));
        check("HTTP/1.1 204 No Content\r\n\r\n", Some((27, 0)));
        assert!(Head::parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }
}
