//! The first words on a link: who speaks, and the proof that both know the planet's secret.
//! Must not know which side dialed, beyond the role in the proof, nor what is said later.
//!
//! Each side sends a hello with a nonce, then an HMAC-SHA256 over the role, both names and both
//! nonces. A proof cannot be replayed (the nonces), reflected (the role), or carried to another
//! pair of regions (the names). With TLS all of this is said inside, and the certificate of the
//! peer must name the region that its hello does.

use hmac::{Hmac, KeyInit as _, Mac as _};
use photon_state::RegionId;
use photon_state::codec::{DecodeError, Reader, Writer};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::frame::{FrameError, read_frame, write_frame};
use super::tls::TlsRefusal;
use crate::node::Secret;

/// The version of what regions say to each other.
pub(super) const PROTOCOL: u16 = 1;
/// The longest frame of a stranger.
const HELLO_BYTES_MAX: usize = 1 << 10;
const MAGIC: [u8; 8] = *b"photonln";

/// Which side of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It dialed.
    Dialer,
    /// It was dialed.
    Listener,
}

impl Role {
    fn tag(self) -> u8 {
        match self {
            Self::Dialer => 1,
            Self::Listener => 2,
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Dialer => Self::Listener,
            Self::Listener => Self::Dialer,
        }
    }
}

/// Who this region is to its peers.
#[derive(Debug)]
pub(super) struct Identity {
    pub planet: String,
    pub region: RegionId,
    pub secret: Option<Secret>,
}

/// Why a peer was refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum HelloError {
    #[error(transparent)]
    Frame(FrameError),
    #[error(transparent)]
    Tls(#[from] TlsRefusal),
    #[error("the peer does not speak as a photon does: {0}")]
    Malformed(#[from] DecodeError),
    #[error("the peer speaks version {found} of the link protocol, and {PROTOCOL} is expected")]
    Protocol { found: u64 },
    #[error("the peer belongs to the planet `{found}`, and `{expected}` is expected")]
    Planet { found: String, expected: String },
    #[error("region `{found}` is not expected here; check the addresses of the links")]
    Unexpected { found: RegionId },
    #[error("region `{peer}` has no secret for its links, and this region has one")]
    NoSecretThere { peer: RegionId },
    #[error("region `{peer}` has a secret for its links, and this region has none")]
    NoSecretHere { peer: RegionId },
    #[error("region `{peer}` does not know this planet's secret for links")]
    WrongSecret { peer: RegionId },
}

/// The first bytes of what TLS says to somebody who does not: a greeting, or an alert.
const TLS_STARTS: [usize; 2] = [0x0316, 0x0315];

impl From<FrameError> for HelloError {
    /// Tells what TLS has to say from a mere end of the connection.
    fn from(error: FrameError) -> Self {
        let refusal = match &error {
            FrameError::Io(error) => TlsRefusal::of(error),
            FrameError::TooLong { bytes, .. } => {
                TLS_STARTS.contains(&(bytes & 0xffff)).then_some(TlsRefusal::NoTlsHere)
            }
            FrameError::Checksum => None,
        };
        refusal.map_or(Self::Frame(error), Self::Tls)
    }
}

/// What a side says first.
struct Hello {
    region: RegionId,
    nonce: [u8; 32],
    has_secret: bool,
}

fn encode(identity: &Identity, nonce: &[u8; 32]) -> bytes::Bytes {
    let mut writer = Writer::default();
    writer.fixed(&MAGIC);
    writer.uint(PROTOCOL.into());
    writer.text(&identity.planet);
    writer.text(identity.region.as_str());
    writer.fixed(nonce);
    writer.tag(u8::from(identity.secret.is_some()));
    writer.into_bytes()
}

fn decode(identity: &Identity, body: &[u8]) -> Result<Hello, HelloError> {
    let mut reader = Reader::new(body);
    if reader.fixed()? != MAGIC {
        return Err(reader.malformed("magic").into());
    }
    let found = reader.uint()?;
    if found != u64::from(PROTOCOL) {
        return Err(HelloError::Protocol { found });
    }
    let planet = reader.text()?;
    if planet != identity.planet {
        let expected = identity.planet.clone();
        return Err(HelloError::Planet { found: planet.to_owned(), expected });
    }
    let (region, nonce) = (reader.region()?, reader.fixed()?);
    let has_secret = reader.tag()? == 1;
    reader.end()?;
    Ok(Hello { region, nonce, has_secret })
}

/// Returns what proves that the one who is `role` knows the secret.
fn proof(
    secret: &Secret,
    role: Role,
    planet: &str,
    hellos: [(RegionId, &[u8; 32]); 2],
) -> [u8; 32] {
    let mut writer = Writer::default();
    writer.fixed(&MAGIC);
    writer.tag(role.tag());
    writer.text(planet);
    for (region, nonce) in hellos {
        writer.text(region.as_str());
        writer.fixed(nonce);
    }
    let key = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes());
    let mut hmac = key.expect("HMAC takes a key of any length");
    hmac.update(&writer.into_bytes());
    hmac.finalize().into_bytes().into()
}

/// Introduces both sides to each other, and returns the peer if `admit` has nothing against it.
pub(super) async fn shake_hands(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    identity: &Identity,
    role: Role,
    admit: impl Fn(RegionId) -> Result<(), HelloError>,
) -> Result<RegionId, HelloError> {
    let mut nonce = [0; 32];
    crate::random::fill(&mut nonce);
    let mut body = Vec::new();
    send(stream, &encode(identity, &nonce)).await?;
    read_frame(stream, &mut body, HELLO_BYTES_MAX).await?;
    let peer = decode(identity, &body)?;
    admit(peer.region)?;
    let region = peer.region;
    let secret = match (&identity.secret, peer.has_secret) {
        (None, false) => return Ok(region),
        (None, true) => return Err(HelloError::NoSecretHere { peer: region }),
        (Some(_), false) => return Err(HelloError::NoSecretThere { peer: region }),
        (Some(secret), true) => secret,
    };
    let (ours, theirs) = ((identity.region, &nonce), (region, &peer.nonce));
    send(stream, &proof(secret, role, &identity.planet, [ours, theirs])).await?;
    read_frame(stream, &mut body, HELLO_BYTES_MAX).await?;
    let expected = proof(secret, role.other(), &identity.planet, [theirs, ours]);
    if !bool::from(expected.ct_eq(&body)) {
        return Err(HelloError::WrongSecret { peer: region });
    }
    Ok(region)
}

async fn send(to: &mut (impl AsyncWrite + Unpin), body: &[u8]) -> Result<(), FrameError> {
    write_frame(to, body).await?;
    to.flush().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    fn identity(planet: &str, region: &str, secret: Option<&str>) -> Identity {
        let region = RegionId::try_from(region).unwrap();
        Identity { planet: planet.into(), region, secret: secret.map(|it| Secret::new(it.into())) }
    }

    fn only(expected: &'static str) -> impl Fn(RegionId) -> Result<(), HelloError> {
        move |found| match found.as_str() == expected {
            true => Ok(()),
            false => Err(HelloError::Unexpected { found }),
        }
    }

    async fn check(dialer: Identity, listener: Identity, expected: [&str; 2]) {
        let (mut near, mut far) = duplex(1 << 16);
        let dial = async {
            let result = shake_hands(&mut near, &dialer, Role::Dialer, only("b")).await;
            drop(near);
            result
        };
        let listen = async {
            let result = shake_hands(&mut far, &listener, Role::Listener, only("a")).await;
            drop(far);
            result
        };
        let (near, far) = tokio::join!(dial, listen);
        for (found, expected) in [near, far].into_iter().zip(expected) {
            let found = found.map_or_else(|error| error.to_string(), |peer| peer.to_string());
            assert!(found.contains(expected), "`{found}` lacks `{expected}`");
        }
    }

    #[tokio::test]
    async fn only_regions_of_one_planet_with_one_secret_become_peers() {
        let id = identity;
        check(id("p", "a", None), id("p", "b", None), ["b", "a"]).await;
        check(id("p", "a", Some("s")), id("p", "b", Some("s")), ["b", "a"]).await;
        let wrong = ["`b` does not know", "`a` does not know"];
        check(id("p", "a", Some("s")), id("p", "b", Some("t")), wrong).await;
        let here = ["`b` has no secret", "`a` has a secret"];
        check(id("p", "a", Some("s")), id("p", "b", None), here).await;
        let planets = ["planet `q`, and `p`", "planet `p`, and `q`"];
        check(id("p", "a", None), id("q", "b", None), planets).await;
        check(id("p", "a", None), id("p", "c", None), ["`c` is not expected", "a"]).await;
        check(id("p", "x", None), id("p", "b", None), ["b", "`x` is not expected"]).await;
    }

    #[tokio::test]
    async fn a_proof_that_is_sent_back_is_refused() {
        let (mut near, mut far) = duplex(1 << 16);
        let ours = identity("p", "a", Some("s"));
        let mirror = async {
            let mut body = Vec::new();
            read_frame(&mut far, &mut body, HELLO_BYTES_MAX).await.unwrap();
            let nonce = [0; 32];
            send(&mut far, &encode(&identity("p", "b", Some("?")), &nonce)).await.unwrap();
            read_frame(&mut far, &mut body, HELLO_BYTES_MAX).await.unwrap();
            send(&mut far, &body).await.unwrap();
        };
        let (found, ()) =
            tokio::join!(shake_hands(&mut near, &ours, Role::Dialer, |_| Ok(())), mirror);
        assert!(matches!(found, Err(HelloError::WrongSecret { .. })));
    }
}
