//! Which regions TLS lets become peers, over real sockets, and what each side is told.
//! Must not wait for time to pass.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use photon_state::RegionId;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

use super::LinkOptions;
use super::certificates::TlsFiles;
use super::greet::{Greeter, greet};
use crate::authority::{Authority, Credentials, Validity};
use crate::stats::LinkCounters;

fn region(name: &str) -> RegionId {
    RegionId::try_from(name).unwrap()
}

fn valid() -> Validity {
    Validity::days(SystemTime::now(), 1)
}

fn expired() -> Validity {
    let now = SystemTime::now();
    Validity { from: now - Duration::from_secs(7_200), until: now - Duration::from_secs(3_600) }
}

/// A folder of certificates, and the authority that issues them.
struct Office {
    folder: TempDir,
    authority: Authority,
    kept: Credentials,
}

impl Office {
    fn new() -> Self {
        let (authority, kept) = Authority::make("p", valid()).unwrap();
        Self { folder: tempfile::tempdir().unwrap(), authority, kept }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes what a region needs: its credentials for `named`, and whom it trusts.
    fn files(&self, of: &str, named: &str, validity: Validity, trusted: &[&Self]) -> TlsFiles {
        let files = TlsFiles {
            certificate: self.path(&format!("{of}.pem")),
            key: self.path(&format!("{of}.key")),
            authority: self.path(&format!("{of}.ca.pem")),
        };
        let issued = self.authority.issue(region(named), validity).unwrap();
        let trusted: String = trusted.iter().map(|it| it.kept.certificate.as_str()).collect();
        fs::write(&files.certificate, issued.certificate).unwrap();
        fs::write(&files.key, issued.key).unwrap();
        fs::write(&files.authority, trusted).unwrap();
        files
    }

    /// Writes what a region needs in good order.
    fn good(&self, of: &str) -> TlsFiles {
        self.files(of, of, valid(), &[self])
    }
}

fn greeter(own: &str, tls: Option<TlsFiles>) -> Result<Greeter, String> {
    let (peers, region) = (["a", "b"].map(region).into(), region(own));
    let options = LinkOptions { planet: "p".into(), region, peers, secret: None, tls };
    let counters = Arc::<LinkCounters>::default();
    options.greeter(&counters).map_err(|error| error.to_string())
}

/// Lets `a` dial `b`; returns what each side has to say.
async fn meet(a: &Greeter, b: &Greeter) -> [String; 2] {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let dial = async {
        let stream = TcpStream::connect(address).await.unwrap();
        greet(a, stream, Some(region("b"))).await
    };
    let listen = async {
        let (stream, _) = listener.accept().await.unwrap();
        greet(b, stream, None).await
    };
    let (near, far) = tokio::join!(Box::pin(dial), Box::pin(listen));
    [near, far].map(|it| it.map_or_else(|error| error.to_string(), |(it, _)| it.peer.to_string()))
}

async fn check(a: Option<TlsFiles>, b: Option<TlsFiles>, expected: [&str; 2]) {
    let found = meet(&greeter("a", a).unwrap(), &greeter("b", b).unwrap()).await;
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "`{found}` lacks `{expected}`");
    }
}

#[tokio::test]
async fn only_regions_with_certificates_of_their_planet_become_peers() {
    let (ours, other) = (Office::new(), Office::new());
    check(Some(ours.good("a")), Some(ours.good("b")), ["b", "a"]).await;
    let unknown = "an authority that is not in `links.authority`";
    check(Some(ours.good("a")), Some(other.good("b")), [unknown, unknown]).await;
    // The dialer trusts both, so that it is the listener who refuses.
    let both = other.files("a", "a", valid(), &[&ours, &other]);
    let refused = "refused this region's certificate, which comes from an authority";
    check(Some(both), Some(ours.good("b")), [refused, unknown]).await;
}

#[tokio::test]
async fn a_certificate_that_names_another_region_is_refused() {
    let office = Office::new();
    let (a, b) = (greeter("a", Some(office.good("a"))), greeter("b", Some(office.good("b"))));
    // What is loaded names the region; what is shown to a peer may be another's all the same.
    let c = greeter("c", Some(office.good("c"))).unwrap();
    let [mut a, mut b] = [a.unwrap(), b.unwrap()];
    let own = b.tls.replace(Arc::clone(c.tls.as_ref().unwrap()));
    let [near, far] = meet(&a, &b).await;
    assert!(near.contains("names another region"), "{near}");
    assert!(far.contains("refused this region's certificate, which names another"), "{far}");

    (a.tls, b.tls) = (c.tls.clone(), own);
    let [near, far] = meet(&a, &b).await;
    let reason = "does not name region `a`, which it claims to be";
    assert!(far.contains(reason) && near.contains(reason), "{near}; {far}");
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_refused_and_both_sides_are_told() {
    let office = Office::new();
    let late = |of| Some(office.files(of, of, expired(), &[&office]));
    let ours = "refused this region's certificate, which has expired";
    let theirs = "the peer's certificate has expired";
    check(late("a"), Some(office.good("b")), [ours, theirs]).await;
    check(Some(office.good("a")), late("b"), [theirs, ours]).await;
}

#[tokio::test]
async fn plain_text_and_tls_never_meet_and_both_sides_are_told() {
    let office = Office::new();
    let (with, without) = ("the peer speaks without TLS", "the peer speaks TLS");
    check(Some(office.good("a")), None, [with, without]).await;
    check(None, Some(office.good("b")), [without, with]).await;
}

#[tokio::test]
async fn an_authority_is_replaced_without_a_restart() {
    let (old, new) = (Office::new(), Office::new());
    let write = |path: &Path, text: &str| fs::write(path, text).unwrap();
    let (a_files, b_files) = (old.good("a"), old.good("b"));
    let a = greeter("a", Some(a_files.clone())).unwrap();
    let b = greeter("b", Some(b_files.clone())).unwrap();
    let linked = ["b", "a"].map(str::to_owned);
    assert_eq!(meet(&a, &b).await, linked);
    // 1. Every region trusts both authorities.
    let both = format!("{}{}", old.kept.certificate, new.kept.certificate);
    write(&a_files.authority, &both);
    assert_eq!(meet(&a, &b).await, linked);
    write(&b_files.authority, &both);
    // 2. Every region gets a certificate of the new one: first the one, then the other.
    for (name, files) in [("a", &a_files), ("b", &b_files)] {
        let issued = new.authority.issue(region(name), valid()).unwrap();
        write(&files.certificate, &issued.certificate);
        // The key is still to come: the old pair goes on.
        assert_eq!(meet(&a, &b).await, linked);
        write(&files.key, &issued.key);
        assert_eq!(meet(&a, &b).await, linked);
    }
    // 3. The old one is trusted no more, and the new certificates are what is shown.
    write(&a_files.authority, &new.kept.certificate);
    write(&b_files.authority, &new.kept.certificate);
    assert_eq!(meet(&a, &b).await, linked);
    let late = greeter("a", Some(old.files("late", "a", valid(), &[&old, &new]))).unwrap();
    let [_, far] = meet(&late, &b).await;
    assert!(far.contains("an authority that is not in"), "{far}");
}

#[test]
fn files_that_cannot_be_used_are_told_at_the_start() {
    let (office, other) = (Office::new(), Office::new());
    let check = |files: TlsFiles, expected: &str| {
        let error = greeter("a", Some(files)).map(drop).unwrap_err();
        assert!(error.contains(expected), "`{error}` lacks `{expected}`");
    };
    check(office.files("a", "b", valid(), &[&office]), "`a.p.photon.internal` is expected");
    check(office.files("a", "a", valid(), &[&other]), "comes from no authority in");
    let good = office.good("a");
    let key = office.good("b").key;
    check(TlsFiles { key, ..good.clone() }, "is not the key of");
    let none = office.path("none");
    check(TlsFiles { certificate: none, ..good.clone() }, "(key `links.certificate`): No such");
    let certificate = good.key.clone();
    check(TlsFiles { certificate, ..good.clone() }, "holds no certificate in PEM form");
    let key = good.certificate.clone();
    check(TlsFiles { key, ..good.clone() }, "holds no private key in PEM form");
    let authority = good.key.clone();
    check(TlsFiles { authority, ..good }, "(key `links.authority`) holds no certificate");
}

#[test]
fn the_end_of_the_certificate_is_known() {
    let office = Office::new();
    let counters = Arc::<LinkCounters>::default();
    let validity = Validity::days(SystemTime::now(), 30);
    let options = LinkOptions {
        planet: "p".into(),
        region: region("a"),
        peers: [region("b")].into(),
        secret: None,
        tls: Some(office.files("a", "a", validity, &[&office])),
    };
    options.greeter(&counters).unwrap();
    let until = validity.until.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(counters.read().certificate_not_after_secs, Some(until));
}
