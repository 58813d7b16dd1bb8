//! Frames of the introduction: the length and the checksum of a body, then the body.
//! Must not know what a body means.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest message; a longer one closes the link.
pub(super) const BODY_BYTES_MAX: usize = 8 << 20;
/// The bytes in front of a body.
const HEADER_BYTES: usize = 8;

/// Why no frame could be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    /// The connection broke or was closed.
    #[error("the connection ended: {0}")]
    Io(#[from] io::Error),
    /// The body is longer than any peer may send.
    #[error("a frame of {bytes} bytes, more than {max}: is the peer a photon?")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// The bytes were changed on the way.
    #[error("a frame with a wrong checksum")]
    Checksum,
    /// The peer does not keep to the protocol.
    #[error("the peer sent {0}")]
    Malformed(&'static str),
}

/// Writes a body that is known to be short.
pub(super) async fn write_frame(to: &mut (impl AsyncWrite + Unpin), body: &[u8]) -> io::Result<()> {
    let len = u32::try_from(body.len()).expect("an introduction is short");
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&len.to_le_bytes());
    header[4..].copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
    to.write_all(&header).await?;
    to.write_all(body).await
}

/// Reads a body of at most `max` bytes into `body`.
pub(super) async fn read_frame(
    from: &mut (impl AsyncRead + Unpin),
    body: &mut Vec<u8>,
    max: usize,
) -> Result<(), FrameError> {
    let bytes = from.read_u32_le().await? as usize;
    if max < bytes {
        return Err(FrameError::TooLong { bytes, max });
    }
    let checksum = from.read_u32_le().await?;
    body.clear();
    // The buffer grows with what arrives: a length alone makes nobody allocate.
    let read = from.take(bytes as u64).read_to_end(body).await?;
    if read < bytes {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    if crc32c::crc32c(body) != checksum {
        return Err(FrameError::Checksum);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads one frame of at most 9 bytes from what a peer sent.
    async fn check(mut sent: &[u8], expected: Result<&[u8], &str>) {
        let mut body = Vec::new();
        match (read_frame(&mut sent, &mut body, 9).await, expected) {
            (Ok(()), Ok(expected)) => assert_eq!(body, expected),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (found, expected) => panic!("{found:?} in place of {expected:?}"),
        }
    }

    #[tokio::test]
    async fn a_frame_comes_back_and_damage_is_refused() {
        let mut frame = Vec::new();
        write_frame(&mut frame, b"some body").await.unwrap();
        check(&frame, Ok(b"some body")).await;
        for len in 0..frame.len() {
            check(&frame[..len], Err("the connection ended")).await;
        }
        for at in 4..frame.len() {
            let mut damaged = frame.clone();
            damaged[at] ^= 1;
            check(&damaged, Err("checksum")).await;
        }
        frame[0] = 10;
        check(&frame, Err("10 bytes, more than 9")).await;
        check(b"GET / HTTP/1.1", Err("is the peer a photon?")).await;
    }
}
