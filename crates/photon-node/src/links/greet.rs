//! Makes of a new connection a wire to a known peer: TLS if there is to be any, then the hello.
//! Must not know how long it may take, nor what is said afterwards.

use std::sync::Arc;
use std::time::Duration;

use photon_state::RegionId;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::frame::FrameError;
use super::hello::{Greeted, HelloError, Identity, Role, shake_hands};
use super::tls::Tls;
use super::wire::Wire;

/// The most bytes that a refused peer is listened to, so that it can read why it was refused.
const LAST_WORDS_BYTES_MAX: u64 = 64 << 10;
/// How long it is listened to.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(1);

/// What the kernel may hold that it has not sent, before it takes more.
#[cfg(any(target_os = "linux", target_os = "android"))]
const NOT_SENT_BYTES: u32 = 16 << 10;

/// Knows who this region is, and whom it expects.
#[derive(Debug)]
pub(crate) struct Greeter {
    pub(super) identity: Identity,
    pub(super) tls: Option<Arc<Tls>>,
}

impl Greeter {
    /// Admits the region that was dialed, or else those that dial this one.
    fn check_expected(&self, dialed: Option<RegionId>, found: RegionId) -> Result<(), HelloError> {
        let regions = &self.identity.regions;
        let is_expected = match dialed {
            Some(dialed) => found == dialed,
            None if !regions.contains(&found) => {
                return Err(HelloError::Stranger { found, regions: regions.clone() });
            }
            None => found < self.identity.region,
        };
        if is_expected { Ok(()) } else { Err(HelloError::Unexpected { found }) }
    }
}

/// Introduces this region to the one that was dialed, or to whoever has dialed.
pub(super) async fn greet(
    greeter: &Greeter,
    mut stream: TcpStream,
    dialed: Option<RegionId>,
) -> Result<(Greeted, Wire), HelloError> {
    stream.set_nodelay(true).map_err(FrameError::Io)?;
    keep_short(&stream);
    let role = if dialed.is_some() { Role::Dialer } else { Role::Listener };
    let expected = |found| greeter.check_expected(dialed, found);
    let Some(tls) = &greeter.tls else {
        let greeted = shake_hands(&mut stream, &greeter.identity, role, expected).await;
        if greeted.is_err() {
            part(&mut stream).await;
        }
        return Ok((greeted?, stream.into()));
    };
    let secured = match dialed {
        Some(peer) => tls.connect(stream, peer).await?,
        None => tls.accept(stream).await,
    };
    let mut stream = match secured {
        Ok(stream) => stream,
        Err((error, mut stream)) => {
            part(&mut stream).await;
            return Err(FrameError::Io(error).into());
        }
    };
    let certificates = stream.get_ref().1.peer_certificates().map(<[_]>::to_vec);
    let admit = |found| {
        expected(found)?;
        Ok(tls.check_name(certificates.as_deref(), found)?)
    };
    let greeted = shake_hands(&mut stream, &greeter.identity, role, admit).await;
    if greeted.is_err() {
        part(&mut stream).await;
    }
    Ok((greeted?, stream.into()))
}

/// Lets the kernel take little more than it can send at once, so that what is urgent need not wait
/// behind what it has taken.
fn keep_short(stream: &TcpStream) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // Where this is unknown, urgent messages wait a little longer.
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(NOT_SENT_BYTES);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = stream;
}

/// Ends a refused connection so that the peer can read what it was told last: a socket that is
/// closed while bytes are unread takes its own words back.
async fn part(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let last_words = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LAST_WORDS_BYTES_MAX), &mut tokio::io::sink()).await
    };
    // Whether the peer listens is its own business.
    let _ = timeout(LAST_WORDS_TIMEOUT, last_words).await;
}
