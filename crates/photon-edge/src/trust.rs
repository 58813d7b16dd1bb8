//! Whom this machine trusts when it speaks TLS as a client.
//! Must not connect to anybody.

use rustls::{ClientConfig, RootCertStore};

/// Whose certificates are trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Those whom this machine trusts. They are read anew each time.
    Machine,
    /// Nobody's: for who speaks no TLS, and must say all the same how he would.
    Nobody,
}

/// Returns how servers are spoken to over TLS.
#[must_use]
pub fn client_tls(trust: Trust) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    if trust == Trust::Machine {
        let found = rustls_native_certs::load_native_certs();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            tracing::warn!(
                "this machine trusts no certificates: nobody can be reached over `https`; \
                 install them (`ca-certificates`), or name a file of them in `SSL_CERT_FILE`"
            );
        }
    }
    let provider = rustls::crypto::ring::default_provider();
    ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .expect("`ring` speaks the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
