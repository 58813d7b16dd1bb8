//! The PEM files by which a region proves who it is: read, checked, and read again when changed.
//! Must not know what is said over a link, nor wait for a peer.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use photon_state::RegionId;
use rustls::Error::InvalidCertificate as Invalid;
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{CertificateError, ClientConfig, RootCertStore, ServerConfig};
use sha2::{Digest as _, Sha256};
use tracing::warn;

use crate::authority::{NotCertifiable, certificate_name};

/// The largest PEM file; a larger one is refused.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// A time after the end of every certificate, in seconds since 1970.
const NEVER_SECS: u64 = 1 << 40;

/// Where the certificates for links lie, all in PEM form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The region's certificate, and those between it and the authority if there are any.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The certificates of the authorities that are trusted, one or more.
    pub authority: PathBuf,
}

/// Why links cannot use the certificates that they were given.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("failed to read `{}` (key `links.{key}`): {source}", .path.display())]
    Read {
        /// The key of the configuration that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("`{}` (key `links.{key}`) holds no {expected} in PEM form", .path.display())]
    Pem {
        /// The key of the configuration that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// The certificate is for somebody else.
    #[error(
        "the certificate `{}` (key `links.certificate`) does not name this region: `{name}` is \
         expected; issue one with `photon planet ca issue`",
        .path.display()
    )]
    WrongName {
        /// The file.
        path: PathBuf,
        /// What it should name.
        name: String,
    },
    /// The certificate and the key do not belong together.
    #[error("`{}` (key `links.key`) is not the key of `{}`", .key.display(), .path.display())]
    WrongKey {
        /// The certificate.
        path: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// The region's own certificate comes from no authority that it trusts itself.
    #[error(
        "the certificate `{}` (key `links.certificate`) comes from no authority in `{}` (key \
         `links.authority`)",
        .path.display(),
        .authority.display()
    )]
    WrongAuthority {
        /// The certificate.
        path: PathBuf,
        /// The authorities.
        authority: PathBuf,
    },
    /// Something else is wrong with what a file holds.
    #[error("`{}` (key `links.{key}`) cannot be used: {reason}", .path.display())]
    Unusable {
        /// The key of the configuration that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A name cannot stand in a certificate.
    #[error(transparent)]
    Name(#[from] NotCertifiable),
}

/// What a handshake needs, made of one state of the files.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    pub(super) client: Arc<ClientConfig>,
    pub(super) server: Arc<ServerConfig>,
    /// When the certificate ends, in seconds since 1970.
    pub(super) not_after_secs: u64,
}

/// Tells two states of the files apart: times would not, if they change twice within a tick.
pub(super) type Fingerprint = [u8; 32];

impl TlsFiles {
    /// Looks whether the files have changed; one that cannot be read is as good as empty.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        let mut hash = Sha256::new();
        for path in [&self.certificate, &self.key, &self.authority] {
            hash.update(Sha256::digest(read("", path).unwrap_or_default()));
        }
        hash.finalize().into()
    }

    /// Reads the files, and checks that they are of use to this region.
    pub(super) fn load(&self, planet: &str, region: RegionId) -> Result<Loaded, TlsError> {
        let name = certificate_name(planet, region)?;
        let chain = certificates("certificate", &self.certificate)?;
        let roots = self.roots()?;
        let not_after_secs = self.check_own(&chain, &roots, &name)?;
        let key = read("key", &self.key)?;
        warn_of_readers(&self.key);
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| TlsError::Pem {
            key: "key",
            path: self.key.clone(),
            expected: "private key",
        })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let made = configs(provider, chain, key, roots).map_err(|error| {
            if let rustls::Error::InconsistentKeys(_) = error {
                let (path, key) = (self.certificate.clone(), self.key.clone());
                return TlsError::WrongKey { path, key };
            }
            unusable("key", &self.key, &error)
        });
        let (client, server) = made?;
        Ok(Loaded { client: Arc::new(client), server: Arc::new(server), not_after_secs })
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        for authority in certificates("authority", &self.authority)? {
            let added = roots.add(authority);
            added.map_err(|error| unusable("authority", &self.authority, &error))?;
        }
        Ok(roots)
    }

    /// Checks the region's own certificate as a peer would, but for its time, and returns its end:
    /// a region whose certificate has expired serves its clients all the same.
    fn check_own(
        &self,
        chain: &[CertificateDer<'_>],
        roots: &RootCertStore,
        name: &str,
    ) -> Result<u64, TlsError> {
        let path = || self.certificate.clone();
        let unusable = |error: rustls::Error| unusable("certificate", &self.certificate, &error);
        let own = ParsedCertificate::try_from(&chain[0]).map_err(unusable)?;
        let server_name = ServerName::try_from(name).expect("checked when the name was made");
        verify_server_name(&own, &server_name)
            .map_err(|_| TlsError::WrongName { path: path(), name: name.to_owned() })?;
        let verify = |now| {
            let algorithms =
                rustls::crypto::ring::default_provider().signature_verification_algorithms.all;
            let between = &chain[1..];
            verify_server_cert_signed_by_trust_anchor(&own, roots, between, now, algorithms)
        };
        let never = UnixTime::since_unix_epoch(Duration::from_secs(NEVER_SECS));
        let not_after = match verify(never) {
            Err(Invalid(CertificateError::ExpiredContext { not_after, .. })) => not_after.as_secs(),
            Ok(()) | Err(_) => NEVER_SECS,
        };
        let Err(error) = verify(UnixTime::now()) else { return Ok(not_after) };
        if let Invalid(CertificateError::UnknownIssuer | CertificateError::BadSignature) = error {
            return Err(TlsError::WrongAuthority {
                path: path(),
                authority: self.authority.clone(),
            });
        }
        if let Invalid(reason) = &error
            && is_out_of_time(reason)
        {
            let path = self.certificate.display();
            warn!(%path, %reason, "no region will accept this certificate");
            return Ok(not_after);
        }
        Err(unusable(error))
    }
}

/// Whether a certificate is refused for its time alone.
pub(super) fn is_out_of_time(error: &CertificateError) -> bool {
    matches!(
        error,
        CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
    )
}

fn unusable(key: &'static str, path: &Path, reason: &rustls::Error) -> TlsError {
    TlsError::Unusable { key, path: path.to_owned(), reason: reason.to_string() }
}

/// Makes what both sides of a handshake need. A session is never resumed: each new connection
/// shows its certificate, so that one that has expired opens nothing.
fn configs(
    provider: Arc<CryptoProvider>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: RootCertStore,
) -> Result<(ClientConfig, ServerConfig), rustls::Error> {
    let roots = Arc::new(roots);
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider));
    let verifier = verifier.build().expect("there is an authority, and there are no lists");
    let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain.clone(), key.clone_key())?;
    client.resumption = Resumption::disabled();
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    Ok((client, server))
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|it| it.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(bytes),
        Err(source) => Err(TlsError::Read { key, path: path.to_owned(), source }),
    }
}

/// Reads one certificate or more.
fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(key, path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) | Err(_) => {
            Err(TlsError::Pem { key, path: path.to_owned(), expected: "certificate" })
        }
    }
}

/// Warns if others than its owner may read a key.
fn warn_of_readers(path: &Path) {
    let mode = fs::metadata(path).map_or(0, |it| it.mode());
    if mode & 0o077 != 0 {
        let (path, mode) = (path.display(), format!("{:o}", mode & 0o777));
        warn!(%path, mode, "others may read the key of the links; make it `chmod 600`");
    }
}
