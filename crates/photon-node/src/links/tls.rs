//! TLS 1.3 between regions: each side proves by a certificate of the planet which region it is.
//! Must not know what is said inside, nor fall back to plain text.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use photon_state::RegionId;
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::{AlertDescription, CertificateError, InvalidMessage};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use tracing::{info, warn};

use super::certificates::{Fingerprint, Loaded, TlsError, TlsFiles, is_out_of_time};
use crate::authority::{NotCertifiable, certificate_name};
use crate::stats::LinkCounters;

/// Why there is no TLS with a peer.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsRefusal {
    #[error(
        "the peer speaks without TLS, and this region has a certificate for its links: give the \
         peer one, too"
    )]
    NoTlsThere,
    #[error(
        "the peer speaks TLS, and this region has no certificate for its links: give it one \
         (`links.certificate`)"
    )]
    NoTlsHere,
    #[error("the peer's certificate {0}")]
    Theirs(&'static str),
    #[error("the peer refused this region's certificate, which {0}")]
    Ours(&'static str),
    #[error("the peer's certificate cannot be used: {0}")]
    Unusable(CertificateError),
    #[error("the certificate of the peer does not name region `{region}`, which it claims to be")]
    NotItsName { region: RegionId },
    #[error("TLS failed: {0}")]
    Other(rustls::Error),
    #[error(transparent)]
    Name(#[from] NotCertifiable),
    #[error("the peer shows no certificate")]
    NoCertificate,
}

const EXPIRED: &str = "has expired, or is not valid yet: look at both clocks, and issue a new one";
const UNKNOWN_CA: &str = "comes from an authority that is not in `links.authority` of both sides";
const WRONG_NAME: &str = "names another region than the one that is expected at this address";
/// What a peer has against this region's certificate.
const ALERTS: [(AlertDescription, &str); 4] = [
    (AlertDescription::CertificateExpired, EXPIRED),
    (AlertDescription::UnknownCA, UNKNOWN_CA),
    (AlertDescription::BadCertificate, WRONG_NAME),
    (AlertDescription::DecryptError, UNKNOWN_CA),
];

impl TlsRefusal {
    /// Finds what TLS says about a failure to read or write.
    pub(super) fn of(error: &io::Error) -> Option<Self> {
        let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
        if let rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) = error {
            return Some(Self::NoTlsThere);
        }
        if let rustls::Error::InvalidCertificate(error) = error {
            return Some(Self::of_certificate(error));
        }
        let rustls::Error::AlertReceived(found) = error else {
            return Some(Self::Other(error.clone()));
        };
        let known = ALERTS.iter().find(|(alert, _)| alert == found);
        Some(known.map_or_else(|| Self::Other(error.clone()), |(_, text)| Self::Ours(text)))
    }

    /// Whether nothing can be said over the connection any more.
    pub(super) fn is_of_the_connection(&self) -> bool {
        match self {
            Self::NoTlsThere
            | Self::NoTlsHere
            | Self::Theirs(_)
            | Self::Ours(_)
            | Self::Unusable(_)
            | Self::Other(_) => true,
            Self::NotItsName { .. } | Self::Name(_) | Self::NoCertificate => false,
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        let is_other_name = matches!(
            error,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        );
        // Two authorities of one planet have one name: of the wrong one, the signature is wrong.
        if matches!(error, CertificateError::UnknownIssuer | CertificateError::BadSignature) {
            Self::Theirs(UNKNOWN_CA)
        } else if is_other_name {
            Self::Theirs(WRONG_NAME)
        } else if is_out_of_time(error) {
            Self::Theirs(EXPIRED)
        } else {
            Self::Unusable(error.clone())
        }
    }
}

/// The certificates of this region, as fresh as their files.
#[derive(Debug)]
pub(super) struct Tls {
    files: TlsFiles,
    planet: String,
    region: RegionId,
    counters: Arc<LinkCounters>,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    loaded: Loaded,
    /// The state of the files that was looked at last, whether it could be used or not.
    seen: Fingerprint,
}

impl Tls {
    /// Reads the files; a region that cannot use them does not start.
    pub(super) fn open(
        files: TlsFiles,
        planet: String,
        region: RegionId,
        counters: Arc<LinkCounters>,
    ) -> Result<Self, TlsError> {
        let seen = files.fingerprint();
        let loaded = files.load(&planet, region)?;
        counters.certificate_ends(loaded.not_after_secs);
        let current = Mutex::new(Current { loaded, seen });
        Ok(Self { files, planet, region, counters, current })
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().expect("no holder panics")
    }

    /// Reads the files again if they have changed. What cannot be used is passed over, such as a
    /// new certificate whose key is still to come: the old one goes on.
    fn refresh(&self) -> Loaded {
        let found = self.files.fingerprint();
        let mut current = self.current();
        if current.seen == found {
            return current.loaded.clone();
        }
        current.seen = found;
        match self.files.load(&self.planet, self.region) {
            Ok(loaded) => {
                info!("new links use the new certificate");
                self.counters.certificate_ends(loaded.not_after_secs);
                current.loaded = loaded;
            }
            Err(reason) => warn!(%reason, "links go on with the old certificate"),
        }
        current.loaded.clone()
    }

    async fn fresh(self: &Arc<Self>) -> Loaded {
        let tls = Arc::clone(self);
        let fresh = tokio::task::spawn_blocking(move || tls.refresh()).await;
        fresh.unwrap_or_else(|_| self.current().loaded.clone())
    }

    /// Opens TLS to a region that was dialed; gives the connection back if that fails.
    pub(super) async fn connect(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: RegionId,
    ) -> Result<Result<TlsStream<TcpStream>, (io::Error, TcpStream)>, TlsRefusal> {
        let name = certificate_name(&self.planet, peer)?;
        let name = ServerName::try_from(name).expect("checked when the name was made");
        let connector = TlsConnector::from(self.fresh().await.client);
        let connected = connector.connect(name, stream).into_fallible().await;
        Ok(connected.map(TlsStream::from))
    }

    /// Opens TLS to whoever has dialed; gives the connection back if that fails.
    pub(super) async fn accept(
        self: &Arc<Self>,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, (io::Error, TcpStream)> {
        let acceptor = TlsAcceptor::from(self.fresh().await.server);
        acceptor.accept(stream).into_fallible().await.map(TlsStream::from)
    }

    /// Checks that a peer is the region that it claims to be.
    pub(super) fn check_name(
        &self,
        certificates: Option<&[CertificateDer<'_>]>,
        region: RegionId,
    ) -> Result<(), TlsRefusal> {
        let shown = certificates.and_then(<[_]>::first).ok_or(TlsRefusal::NoCertificate)?;
        let parsed = ParsedCertificate::try_from(shown).map_err(TlsRefusal::Other)?;
        let name = certificate_name(&self.planet, region)?;
        let name = ServerName::try_from(name).expect("checked when the name was made");
        verify_server_name(&parsed, &name).map_err(|_| TlsRefusal::NotItsName { region })
    }
}
