//! A planet's own certificate authority: it says which certificate belongs to which region.
//! Must not touch files, nor know where its key is kept.

use std::fmt;
use std::time::{Duration, SystemTime};

use photon_state::RegionId;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
};
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;

/// How far into the past a new certificate is valid, because clocks differ.
const SKEW: Duration = Duration::from_secs(3_600);
/// What ends the name of every region of every planet; nobody can own it on the internet.
const SUFFIX: &str = "photon.internal";

/// A region whose name cannot stand in a certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{name}` cannot stand in a certificate: for TLS between regions no name of a region or a \
     planet may end in `-`"
)]
pub struct NotCertifiable {
    /// The name that its certificate would have.
    pub name: String,
}

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Its name is impossible.
    #[error(transparent)]
    Name(#[from] NotCertifiable),
    /// The key is none, or of a kind that cannot sign.
    #[error("the key of the authority cannot be used: {0}")]
    Key(rcgen::Error),
    /// The certificate belongs to another planet or to another key.
    #[error(
        "these are not the certificate and the key of an authority of the planet `{planet}`: is \
         the planet right, and do both files belong together?"
    )]
    NotItsOwn {
        /// The planet.
        planet: String,
    },
    /// The certificate cannot be made.
    #[error("the certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// From when until when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub from: SystemTime,
    /// The last one.
    pub until: SystemTime,
}

impl Validity {
    /// Begins a little before `now`, and lasts for some days after it.
    #[must_use]
    pub fn days(now: SystemTime, days: u32) -> Self {
        let lifetime = Duration::from_secs(u64::from(days) * 24 * 3_600);
        Self { from: now - SKEW, until: now + lifetime }
    }
}

/// A certificate with its key, both in PEM form. The key is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

/// Issues the certificates of one planet.
///
/// ```
/// use photon_node::{Authority, Validity, certificate_name};
/// use photon_state::RegionId;
///
/// let validity = Validity::days(std::time::SystemTime::now(), 90);
/// let (authority, _keep) = Authority::make("dev", validity)?;
/// let region = RegionId::try_from("eu-west-1").unwrap();
/// assert_eq!(certificate_name("dev", region)?, "eu-west-1.dev.photon.internal");
/// assert!(authority.issue(region, validity)?.certificate.starts_with("-----BEGIN CERT"));
/// # Ok::<(), photon_node::AuthorityError>(())
/// ```
pub struct Authority {
    planet: String,
    issuer: Issuer<'static, KeyPair>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("planet", &self.planet).finish_non_exhaustive()
    }
}

/// Returns the name by which a certificate names a region.
pub fn certificate_name(planet: &str, region: RegionId) -> Result<String, NotCertifiable> {
    checked(format!("{region}.{planet}.{SUFFIX}"))
}

fn checked(name: String) -> Result<String, NotCertifiable> {
    match ServerName::try_from(name.as_str()) {
        Ok(_) => Ok(name),
        Err(_) => Err(NotCertifiable { name }),
    }
}

impl Authority {
    /// Makes a new authority for a planet, with a certificate and a key to keep.
    pub fn make(planet: &str, validity: Validity) -> Result<(Self, Credentials), AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = Self::params(planet)?;
        (params.not_before, params.not_after) = (validity.from.into(), validity.until.into());
        let certificate = params.self_signed(&key)?.pem();
        let kept = Credentials { certificate, key: key.serialize_pem() };
        Ok((Self { planet: planet.to_owned(), issuer: Issuer::new(params, key) }, kept))
    }

    /// Takes up an authority that [`Self::make`] has made, by its certificate and key.
    pub fn open(planet: &str, kept: &Credentials) -> Result<Self, AuthorityError> {
        let key = KeyPair::from_pem(&kept.key).map_err(AuthorityError::Key)?;
        let issuer = Issuer::new(Self::params(planet)?, key);
        let authority = Self { planet: planet.to_owned(), issuer };
        authority.check(&kept.certificate)?;
        Ok(authority)
    }

    /// Checks by a certificate for nobody that what is issued will be believed.
    fn check(&self, certificate: &str) -> Result<(), AuthorityError> {
        let not_its_own = || AuthorityError::NotItsOwn { planet: self.planet.clone() };
        let root = CertificateDer::from_pem_slice(certificate.as_bytes());
        let mut roots = RootCertStore::empty();
        roots.add(root.map_err(|_| not_its_own())?).map_err(|_| not_its_own())?;
        let nobody = RegionId::try_from("nobody").expect("a constant that parses");
        let issued = self.issue(nobody, Validity::days(SystemTime::now(), 1))?;
        let issued = CertificateDer::from_pem_slice(issued.certificate.as_bytes());
        let issued = issued.expect("made by ourselves");
        let issued = ParsedCertificate::try_from(&issued).expect("made by ourselves");
        let algorithms = ring::default_provider().signature_verification_algorithms.all;
        let now = UnixTime::now();
        verify_server_cert_signed_by_trust_anchor(&issued, &roots, &[], now, algorithms)
            .map_err(|_| not_its_own())
    }

    /// Says what an authority is: no more than the planet's name is needed to sign in its name.
    fn params(planet: &str) -> Result<CertificateParams, AuthorityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, format!("photon planet {planet}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let domain = checked(format!("{planet}.{SUFFIX}"))?;
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName(domain)],
            excluded_subtrees: Vec::new(),
        });
        Ok(params)
    }

    /// Makes a key and a certificate for a region.
    pub fn issue(
        &self,
        region: RegionId,
        validity: Validity,
    ) -> Result<Credentials, AuthorityError> {
        let name = certificate_name(&self.planet, region)?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([name.clone()])?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        (params.not_before, params.not_after) = (validity.from.into(), validity.until.into());
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Credentials { certificate, key: key.serialize_pem() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_certificate_can_hold_is_refused() {
        let check = |planet, region, expected: Result<&str, &str>| {
            let found = certificate_name(planet, RegionId::try_from(region).unwrap());
            let found = found.map_err(|error| error.name);
            assert_eq!(found.as_deref(), expected.map_err(str::to_owned).as_ref().copied());
        };
        check("p", "eu-west-1", Ok("eu-west-1.p.photon.internal"));
        check("p", "a--b", Ok("a--b.p.photon.internal"));
        check("p", "a-", Err("a-.p.photon.internal"));
        check("p-", "a", Err("a.p-.photon.internal"));
    }

    #[test]
    fn an_authority_is_taken_up_again_by_its_own_files_only() {
        let validity = Validity::days(SystemTime::now(), 1);
        let [(_, kept), (_, other)] = [(), ()].map(|()| Authority::make("p", validity).unwrap());
        Authority::open("p", &kept).unwrap();
        let check = |planet: &str, certificate: &str, key: &str, expected: &str| {
            let kept = Credentials { certificate: certificate.into(), key: key.into() };
            let error = Authority::open(planet, &kept).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        let not = "these are not the certificate and the key of an authority of the planet";
        check("q", &kept.certificate, &kept.key, not);
        check("p", &other.certificate, &kept.key, not);
        check("p", "", &kept.key, not);
        check("p", &kept.certificate, "", "the key of the authority cannot be used");
    }

    #[test]
    fn a_key_is_never_printed() {
        let validity = Validity::days(SystemTime::now(), 1);
        let (authority, kept) = Authority::make("p", validity).unwrap();
        for text in [format!("{authority:?}"), format!("{kept:?}")] {
            assert!(!text.contains("PRIVATE"), "{text}");
        }
    }
}
