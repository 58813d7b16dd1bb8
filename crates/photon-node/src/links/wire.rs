//! A connection after its introduction, as two halves: in plain text, or inside TLS.
//! Must not know what passes through it.

use std::fmt;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// What is read from a peer.
pub(super) type FromWire = Box<dyn AsyncRead + Send + Unpin>;
/// What is written to a peer.
pub(super) type ToWire = Box<dyn AsyncWrite + Send + Unpin>;

/// Both directions of a connection.
pub(super) struct Wire {
    pub(super) from: FromWire,
    pub(super) to: ToWire,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

impl From<TcpStream> for Wire {
    fn from(stream: TcpStream) -> Self {
        let (from, to) = stream.into_split();
        Self { from: Box::new(from), to: Box::new(to) }
    }
}

impl From<TlsStream<TcpStream>> for Wire {
    fn from(stream: TlsStream<TcpStream>) -> Self {
        let (from, to) = tokio::io::split(stream);
        Self { from: Box::new(from), to: Box::new(to) }
    }
}
