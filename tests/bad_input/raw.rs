//! A connection on which a test may say whatever it likes.
//! Must not keep to the rules of HTTP: that is what it is for.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::SOON;

/// A connection to a region.
#[derive(Debug)]
pub(super) struct Raw(TcpStream);

impl Raw {
    /// Connects to an address.
    pub(super) async fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).await;
        Self(stream.unwrap_or_else(|err| panic!("connect to {address}: {err}")))
    }

    /// Says something; whether the region still listened.
    pub(super) async fn say(&mut self, bytes: &[u8]) -> bool {
        let said = tokio::time::timeout(SOON, self.0.write_all(bytes)).await;
        said.is_ok_and(|it| it.is_ok())
    }

    /// Reads until there is `text`, and returns all that was read.
    pub(super) async fn hears(&mut self, text: &str) -> String {
        let mut heard = Vec::new();
        let reading = async {
            let mut bytes = [0; 4096];
            while !contains(&heard, text.as_bytes()) {
                match self.0.read(&mut bytes).await {
                    Ok(0) | Err(_) => break,
                    Ok(count) => heard.extend_from_slice(&bytes[..count]),
                }
            }
        };
        let in_time = tokio::time::timeout(SOON, reading).await.is_ok();
        let heard = String::from_utf8_lossy(&heard).into_owned();
        assert!(in_time && heard.contains(text), "`{text}` was not heard, but {heard:?}");
        heard
    }

    /// Waits until the region closes the connection; says a byte each `pace` meanwhile.
    pub(super) async fn sees_it_closed(mut self, pace: Duration, patience: Duration) {
        let mut bytes = [0; 4096];
        let closing = async {
            loop {
                let read = tokio::time::timeout(pace, self.0.read(&mut bytes)).await;
                match read {
                    Ok(Ok(0) | Err(_)) => return,
                    Ok(Ok(_)) => {}
                    Err(_) if self.0.write_all(b"x").await.is_err() => return,
                    Err(_) => {}
                }
            }
        };
        let closed = tokio::time::timeout(patience, closing).await;
        assert!(closed.is_ok(), "the connection is still open after {patience:?}");
    }
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    text.is_empty() || bytes.windows(text.len()).any(|it| it == text)
}
