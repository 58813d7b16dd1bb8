//! The first words on a link: who speaks, and the proof that both know the planet's secret.
//! Must not know which side dialed, beyond the role in the proof, nor what is said later.
//!
//! Each side sends a hello with a nonce; if there is a secret, an HMAC-SHA256 over its role and
//! both hellos; and at the end its verdict. A proof cannot be replayed (the nonces), reflected (the
//! role), or carried to another pair of regions or to other versions (the hellos). With TLS all of
//! this is said inside, and the certificate of the peer must name the region that its hello does.
//!
//! A hello names the lowest and the highest version of the protocol that its side speaks; the
//! highest that both do is spoken. What later versions append to a hello is passed over.

use std::cmp;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use photon_state::RegionId;
use photon_state::codec::{DecodeError, Reader, Writer};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::frame::{FrameError, read_frame, write_frame};
use super::tls::TlsRefusal;
use crate::log::names;
use crate::node::Secret;

/// The versions of what regions say to each other that this one speaks. Version 1 was never
/// released: its frames had no classes, and its hello no range. Version 3 tells round trips and the
/// topology, version 5 what clocks show, version 6 who decides and which placements are agreed,
/// version 7 on what each entry of a task's log was written, version 8 what workers ask of their
/// clients, version 9 webhooks and checkpoints, version 10 how tasks are
/// queued, timed and tried again, version 11 what agents ask for a task.
pub(super) const PROTOCOLS: RangeInclusive<u64> = 12..=12;
/// The form of the hello: what follows it in a hello is never changed, only appended to.
const HELLO_FORM: u64 = 2;
/// The longest frame of a stranger.
const HELLO_BYTES_MAX: usize = 1 << 10;
/// The longest reason for a refusal; the rest is cut off.
const REASON_BYTES_MAX: usize = 512;
const MAGIC: [u8; 8] = *b"photonln";
/// What follows a hello: a proof, a welcome, or why there is none.
const PROOF: u8 = 1;
const WELCOME: u8 = 2;
const REFUSED: u8 = 3;

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
    pub versions: RangeInclusive<u64>,
    /// All regions of the planet as they are configured here, this one too.
    pub regions: BTreeSet<RegionId>,
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
    #[error("the peer speaks version 1 of the link protocol, of before the first release")]
    TooOld,
    #[error(
        "the peer speaks versions {} to {} of the link protocol, and {} to {} are expected",
        found.start(),
        found.end(),
        expected.start(),
        expected.end()
    )]
    Protocol { found: RangeInclusive<u64>, expected: RangeInclusive<u64> },
    #[error("the peer refuses this region: {reason:?}")]
    Refused { reason: String },
    #[error("the peer belongs to the planet `{found}`, and `{expected}` is expected")]
    Planet { found: String, expected: String },
    #[error("region `{found}` is not expected here; check the addresses of the links")]
    Unexpected { found: RegionId },
    #[error(
        "region `{found}` is not in the configuration of this region, which has {}: name the same \
         `[regions]` everywhere",
        names(regions)
    )]
    Stranger { found: RegionId, regions: BTreeSet<RegionId> },
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
            FrameError::Checksum | FrameError::Malformed(_) => None,
        };
        refusal.map_or(Self::Frame(error), Self::Tls)
    }
}

impl HelloError {
    /// Whether the peer can be told: it listens, and did not say it itself.
    fn is_for_the_peer(&self) -> bool {
        match self {
            Self::Frame(_) | Self::Refused { .. } => false,
            Self::Tls(refusal) => !refusal.is_of_the_connection(),
            Self::Malformed(_)
            | Self::TooOld
            | Self::Protocol { .. }
            | Self::Planet { .. }
            | Self::Unexpected { .. }
            | Self::Stranger { .. }
            | Self::NoSecretThere { .. }
            | Self::NoSecretHere { .. }
            | Self::WrongSecret { .. } => true,
        }
    }

    /// Returns the region of the planet that was refused, if its name is known.
    pub(super) fn peer(&self) -> Option<RegionId> {
        match self {
            Self::NoSecretThere { peer }
            | Self::NoSecretHere { peer }
            | Self::WrongSecret { peer } => Some(*peer),
            Self::Frame(_)
            | Self::Tls(_)
            | Self::Malformed(_)
            | Self::TooOld
            | Self::Protocol { .. }
            | Self::Refused { .. }
            | Self::Planet { .. }
            | Self::Unexpected { .. }
            | Self::Stranger { .. } => None,
        }
    }
}

/// What a side says first.
struct Hello {
    versions: RangeInclusive<u64>,
    planet: String,
    region: RegionId,
    has_secret: bool,
}

/// Whom a connection leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Greeted {
    pub(super) peer: RegionId,
    /// The version that is spoken from here on.
    pub(super) version: u64,
}

fn encode(identity: &Identity, nonce: &[u8; 32]) -> Bytes {
    let mut writer = Writer::default();
    writer.fixed(&MAGIC);
    writer.uint(HELLO_FORM);
    writer.uint(*identity.versions.start());
    writer.uint(*identity.versions.end());
    writer.text(&identity.planet);
    writer.text(identity.region.as_str());
    writer.fixed(nonce);
    writer.tag(u8::from(identity.secret.is_some()));
    writer.into_bytes()
}

fn decode(body: &[u8]) -> Result<Hello, HelloError> {
    let mut reader = Reader::new(body);
    if reader.fixed()? != MAGIC {
        return Err(reader.malformed("magic").into());
    }
    match reader.uint()? {
        1 => return Err(HelloError::TooOld),
        HELLO_FORM => {}
        _ => return Err(reader.malformed("form of hello").into()),
    }
    let versions = reader.uint()?..=reader.uint()?;
    let planet = reader.text()?.to_owned();
    let region = reader.region()?;
    // The nonce counts where the whole hello is proved.
    let _: [u8; 32] = reader.fixed()?;
    let has_secret = reader.tag()? == 1;
    // What a later version has to add follows here.
    Ok(Hello { versions, planet, region, has_secret })
}

/// Chooses the highest version that both sides speak.
fn choose(ours: &RangeInclusive<u64>, theirs: &RangeInclusive<u64>) -> Result<u64, HelloError> {
    let highest = *cmp::min(ours.end(), theirs.end());
    let lowest = *cmp::max(ours.start(), theirs.start());
    if lowest <= highest {
        return Ok(highest);
    }
    Err(HelloError::Protocol { found: theirs.clone(), expected: ours.clone() })
}

/// Returns what proves that the one who is `role` knows the secret: his hello comes first.
fn proof(secret: &Secret, role: Role, hellos: [&[u8]; 2]) -> [u8; 32] {
    let key = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes());
    let mut hmac = key.expect("HMAC takes a key of any length");
    hmac.update(&[role.tag()]);
    for hello in hellos {
        hmac.update(&(hello.len() as u64).to_le_bytes());
        hmac.update(hello);
    }
    hmac.finalize().into_bytes().into()
}

/// Introduces both sides to each other, and returns the peer if `admit` has nothing against it.
/// A peer that is refused is told why.
pub(super) async fn shake_hands(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    identity: &Identity,
    role: Role,
    admit: impl Fn(RegionId) -> Result<(), HelloError>,
) -> Result<Greeted, HelloError> {
    let judged = judge(stream, identity, role, admit).await;
    if let Err(reason) = &judged
        && reason.is_for_the_peer()
    {
        let mut reason = reason.to_string();
        reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
        // Who has gone already needs no reason.
        let _ = send(stream, &[&[REFUSED], reason.as_bytes()].concat()).await;
    }
    judged
}

async fn judge(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    identity: &Identity,
    role: Role,
    admit: impl Fn(RegionId) -> Result<(), HelloError>,
) -> Result<Greeted, HelloError> {
    let mut nonce = [0; 32];
    crate::random::fill(&mut nonce);
    let ours = encode(identity, &nonce);
    send(stream, &ours).await?;
    let mut theirs = Vec::new();
    read_frame(stream, &mut theirs, HELLO_BYTES_MAX).await?;
    let hello = decode(&theirs)?;
    let version = choose(&identity.versions, &hello.versions)?;
    if hello.planet != identity.planet {
        let expected = identity.planet.clone();
        return Err(HelloError::Planet { found: hello.planet, expected });
    }
    let peer = hello.region;
    admit(peer)?;
    match (&identity.secret, hello.has_secret) {
        (None, false) => {}
        (None, true) => return Err(HelloError::NoSecretHere { peer }),
        (Some(_), false) => return Err(HelloError::NoSecretThere { peer }),
        (Some(secret), true) => {
            let proven = proof(secret, role, [&ours, &theirs]);
            send(stream, &[&[PROOF], &proven[..]].concat()).await?;
            let expected = proof(secret, role.other(), [&theirs, &ours]);
            if !bool::from(expected.ct_eq(&hear(stream, PROOF).await?)) {
                return Err(HelloError::WrongSecret { peer });
            }
        }
    }
    send(stream, &[WELCOME]).await?;
    hear(stream, WELCOME).await?;
    Ok(Greeted { peer, version })
}

/// Reads what a peer says after its hello, unless it refuses.
async fn hear(stream: &mut (impl AsyncRead + Unpin), expected: u8) -> Result<Vec<u8>, HelloError> {
    let mut body = Vec::new();
    read_frame(stream, &mut body, HELLO_BYTES_MAX).await?;
    match body.split_first() {
        Some((tag, rest)) if *tag == expected => Ok(rest.to_vec()),
        Some((&REFUSED, reason)) => {
            Err(HelloError::Refused { reason: String::from_utf8_lossy(reason).into_owned() })
        }
        Some(_) | None => Err(FrameError::Malformed("something else than its verdict").into()),
    }
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
        let secret = secret.map(|it| Secret::new(it.into()));
        let regions = ["a", "b"].map(|it| RegionId::try_from(it).unwrap()).into();
        Identity { planet: planet.into(), region, secret, versions: PROTOCOLS, regions }
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
            near.shutdown().await.unwrap();
            result
        };
        let listen = async {
            let result = shake_hands(&mut far, &listener, Role::Listener, only("a")).await;
            far.shutdown().await.unwrap();
            result
        };
        let (near, far) = tokio::join!(dial, listen);
        for (found, expected) in [near, far].into_iter().zip(expected) {
            let found = found.map_or_else(|error| error.to_string(), |it| it.peer.to_string());
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
        let refused = "the peer refuses this region: \"region `c` is not expected here";
        check(id("p", "a", None), id("p", "c", None), ["`c` is not expected", refused]).await;
        let refused = "the peer refuses this region: \"region `x` is not expected here";
        check(id("p", "x", None), id("p", "b", None), [refused, "`x` is not expected"]).await;
    }

    #[tokio::test]
    async fn the_highest_version_that_both_sides_speak_is_spoken() {
        let check =
            async |a: RangeInclusive<u64>, b: RangeInclusive<u64>, expected: Option<u64>| {
                let [mut dialer, mut listener] = ["a", "b"].map(|it| identity("p", it, Some("s")));
                (dialer.versions, listener.versions) = (a, b);
                let (mut near, mut far) = duplex(1 << 16);
                let (near, far) = tokio::join!(
                    shake_hands(&mut near, &dialer, Role::Dialer, only("b")),
                    shake_hands(&mut far, &listener, Role::Listener, only("a")),
                );
                for found in [near, far] {
                    let found = found.map(|it| it.version).map_err(|error| error.to_string());
                    assert_eq!(found.as_ref().ok(), expected.as_ref(), "{found:?}");
                }
            };
        check(2..=2, 2..=2, Some(2)).await;
        check(2..=2, 2..=3, Some(2)).await;
        check(2..=4, 3..=9, Some(4)).await;
        check(2..=3, 4..=5, None).await;
        check(4..=5, 2..=3, None).await;
    }

    #[test]
    fn a_hello_of_before_the_first_release_is_told_from_nonsense_and_a_longer_one_is_read() {
        let mut writer = Writer::default();
        writer.fixed(&MAGIC);
        writer.uint(1);
        assert!(matches!(decode(&writer.into_bytes()), Err(HelloError::TooOld)));
        let mut hello = encode(&identity("p", "a", None), &[7; 32]).to_vec();
        for len in 0..hello.len() {
            assert!(matches!(decode(&hello[..len]), Err(HelloError::Malformed(_))), "{len}");
        }
        hello.extend_from_slice(b"what a later version adds");
        assert_eq!(decode(&hello).unwrap().region.as_str(), "a");
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
            read_frame(&mut far, &mut body, HELLO_BYTES_MAX).await.unwrap();
            assert_eq!(body[0], REFUSED);
        };
        let (found, ()) =
            tokio::join!(shake_hands(&mut near, &ours, Role::Dialer, |_| Ok(())), mirror);
        assert!(matches!(found, Err(HelloError::WrongSecret { .. })));
    }
}
