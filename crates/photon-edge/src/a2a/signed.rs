//! Signatures of Agent Cards, and the key by which clients check them (A2A 1.0.1, section 8.4;
//! JWS, RFC 7515; JCS, RFC 8785). Must not know what a card says.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Where the keys lie that cards are signed with.
pub(super) const KEYS: &str = "/.well-known/jwks.json";

/// Signatures that are kept: the same card has the same one, so that caches know it again.
const KEPT_MAX: usize = 4_096;

/// What a card must have, and keeps when it is empty; the rest is left out then.
const REQUIRED: [&str; 15] = [
    "name",
    "description",
    "version",
    "capabilities",
    "supportedInterfaces",
    "defaultInputModes",
    "defaultOutputModes",
    "skills",
    "id",
    "tags",
    "url",
    "protocolBinding",
    "protocolVersion",
    "organization",
    "schemes",
];

/// The key that a region signs Agent Cards with: ECDSA over P-256 with SHA-256 (`ES256`).
#[derive(Clone)]
pub struct CardKey(Arc<Inner>);

struct Inner {
    pair: EcdsaKeyPair,
    public: Value,
    /// Its thumbprint (RFC 7638).
    id: String,
    made: Mutex<HashMap<[u8; 32], Value>>,
}

impl fmt::Debug for CardKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CardKey").field(&self.0.id).finish()
    }
}

/// Why a file holds no key that cards can be signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no private key for ES256 in it: make one with `openssl genpkey -algorithm EC \
     -pkeyopt ec_paramgen_curve:P-256`"
)]
pub struct CardKeyError;

impl CardKey {
    /// Reads a private key: PKCS #8 in PEM, over P-256.
    ///
    /// # Errors
    ///
    /// [`CardKeyError`] if it is something else.
    pub fn from_pem(pem: &[u8]) -> Result<Self, CardKeyError> {
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| CardKeyError)?;
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, key.secret_pkcs8_der(), &random)
            .map_err(|_| CardKeyError)?;
        // A point that is not compressed: 4, x, y.
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let [x, y] = [x, y].map(|it| URL_SAFE_NO_PAD.encode(it));
        let thumbed = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let id = URL_SAFE_NO_PAD.encode(Sha256::digest(thumbed));
        let public = json!({
            "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": id, "use": "sig", "alg": "ES256",
        });
        Ok(Self(Arc::new(Inner { pair, public, id, made: Mutex::default() })))
    }

    /// Makes a private key, in the form in which [`CardKey::from_pem`] reads it.
    #[must_use]
    pub fn make() -> String {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new());
        let key = STANDARD.encode(key.expect("the operating system has random numbers"));
        let lines = key.as_bytes().chunks(64).map(|it| String::from_utf8_lossy(it).into_owned());
        let lines = lines.collect::<Vec<_>>().join("\n");
        format!("-----BEGIN PRIVATE KEY-----\n{lines}\n-----END PRIVATE KEY-----\n")
    }

    /// Returns the key that signatures are checked with, as a JSON Web Key Set (RFC 7517).
    pub(super) fn set(&self) -> Value {
        json!({ "keys": [self.0.public] })
    }

    /// Signs a card; whoever checks that finds the key at `keys`.
    pub(super) fn sign(&self, card: &mut Value, keys: &str) {
        let Inner { pair, id, made, public: _ } = &*self.0;
        prune(card);
        let header = json!({ "alg": "ES256", "jku": keys, "kid": id, "typ": "JOSE" }).to_string();
        let header = URL_SAFE_NO_PAD.encode(header);
        let payload = URL_SAFE_NO_PAD.encode(canonical(card));
        let input = format!("{header}.{payload}");
        let of = Sha256::digest(&input).into();
        let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
        if KEPT_MAX <= made.len() {
            made.clear();
        }
        let signature = made.entry(of).or_insert_with(|| {
            let signed = pair.sign(&SystemRandom::new(), input.as_bytes());
            let signed = signed.expect("the operating system has random numbers");
            json!([{ "protected": header, "signature": URL_SAFE_NO_PAD.encode(signed) }])
        });
        card["signatures"] = signature.clone();
    }
}

/// Leaves out what Protocol Buffers do not tell from nothing: whoever has read the card into its
/// own types and writes it again to check the signature has lost it.
fn prune(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(prune);
            fields.retain(|key, value| !is_nothing(key, value));
        }
        Value::Array(values) => values.iter_mut().for_each(prune),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_nothing(key: &str, value: &Value) -> bool {
    let is_empty = match value {
        Value::Null => return true,
        // Of an extension, where silence means the same.
        Value::Bool(value) => !value && key == "required",
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Number(_) => false,
    };
    is_empty && !REQUIRED.contains(&key)
}

/// Writes a card as whoever checks its signature does.
fn canonical(card: &Value) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(card).expect("a card is JSON")
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    #[test]
    fn a_signature_covers_the_card_as_clients_write_it() {
        let key = CardKey::from_pem(CardKey::make().as_bytes()).unwrap();
        let mut card = json!({
            "name": "b", "description": "", "documentationUrl": "", "skills": [],
            "provider": null, "capabilities": {
                "streaming": false,
                "extensions": [{ "uri": "u", "required": false, "params": {} }],
            },
        });
        key.sign(&mut card, "http://a/keys");
        let capabilities = r#""capabilities":{"extensions":[{"uri":"u"}],"streaming":false}"#;
        let written = format!(r#"{{{capabilities},"description":"","name":"b","skills":[]}}"#);
        let signed = card["signatures"][0].clone();
        let text = |key: &str| signed[key].as_str().unwrap();
        let header = URL_SAFE_NO_PAD.decode(text("protected")).unwrap();
        let header: Value = serde_json::from_slice(&header).unwrap();
        let set = key.set();
        let public = &set["keys"][0];
        assert_eq!((&header["kid"], &header["jku"]), (&public["kid"], &json!("http://a/keys")));
        let point = [&public["x"], &public["y"]].map(|it| it.as_str().unwrap());
        let point = point.map(|it| URL_SAFE_NO_PAD.decode(it).unwrap());
        let point = [&[4], &*point[0], &*point[1]].concat();
        let input = format!("{}.{}", text("protected"), URL_SAFE_NO_PAD.encode(written));
        let signature = URL_SAFE_NO_PAD.decode(text("signature")).unwrap();
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        public.verify(input.as_bytes(), &signature).unwrap();
        let mut again = json!({ "name": "b", "description": "", "skills": [], "capabilities": {
            "streaming": false, "extensions": [{ "uri": "u" }],
        } });
        key.sign(&mut again, "http://a/keys");
        assert_eq!(again, card, "caches know it again");
    }

    #[test]
    fn what_is_no_key_for_it_is_refused() {
        for wrong in ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            assert_eq!(CardKey::from_pem(wrong.as_bytes()).unwrap_err(), CardKeyError);
        }
    }
}
