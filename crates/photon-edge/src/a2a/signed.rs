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

/// What a card must have, and keeps when it is empty; other fields are left out then.
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
/// Fields whose keys are names: each is there, whatever it holds.
const NAMED: [&str; 3] = ["schemes", "securitySchemes", "scopes"];
/// Fields that hold whatever an agent likes.
const FREE: &str = "params";

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
        let header = json!({ "alg": "ES256", "jku": keys, "kid": self.0.id, "typ": "JOSE" });
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        let (plain, cleaned) = (canonical(card, Form::Plain), canonical(card, Form::Cleaned));
        let mut signatures = vec![self.signature(&header, &plain)];
        // One that is right is enough for whoever checks.
        if plain != cleaned {
            signatures.push(self.signature(&header, &cleaned));
        }
        card["signatures"] = signatures.into();
    }

    fn signature(&self, header: &str, payload: &[u8]) -> Value {
        let Inner { pair, made, .. } = &*self.0;
        let input = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload));
        let of = Sha256::digest(&input).into();
        let known = || made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known().get(&of) {
            return known.clone();
        }
        let signed = pair.sign(&SystemRandom::new(), input.as_bytes());
        let signed = URL_SAFE_NO_PAD.encode(signed.expect("the system has random numbers"));
        let mut made = known();
        if KEPT_MAX <= made.len() {
            made.clear();
        }
        let signature = json!({ "protected": header, "signature": signed });
        made.entry(of).or_insert(signature).clone()
    }
}

/// What whoever checks a signature takes the card for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Without fields that have their default value, but for those that must be there (A2A 1.0.1,
    /// section 8.4.1).
    Plain,
    /// Without anything that is empty, as the SDKs for Python and JavaScript have it.
    Cleaned,
}

impl Form {
    /// Returns a value in this form; `key` is that of the field which holds it.
    fn of(self, key: &str, value: &Value) -> Value {
        match value {
            Value::Object(fields) if key == FREE && self == Self::Plain => fields.clone().into(),
            Value::Object(fields) => {
                let is_named = NAMED.contains(&key) && self == Self::Plain;
                let kept = fields.iter().map(|(at, it)| (at.clone(), self.of(at, it)));
                kept.filter(|(at, it)| is_named || !self.leaves_out(at, it)).collect()
            }
            Value::Array(values) => {
                let kept = values.iter().map(|it| self.of(key, it));
                kept.filter(|it| self == Self::Plain || !self.leaves_out("", it)).collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        }
    }

    fn leaves_out(self, key: &str, value: &Value) -> bool {
        let is_empty = match value {
            Value::Null => return true,
            // Of an extension, where silence means the same.
            Value::Bool(value) => !value && key == "required",
            Value::String(text) => text.is_empty(),
            Value::Array(values) => values.is_empty(),
            Value::Object(fields) => fields.is_empty() && self == Self::Cleaned,
            Value::Number(_) => false,
        };
        is_empty && (self == Self::Cleaned || !REQUIRED.contains(&key))
    }
}

/// Writes a card as whoever checks its signature does.
fn canonical(card: &Value, form: Form) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(&form.of("", card)).expect("a card is JSON")
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    /// Checks that one of a card's signatures covers a text.
    fn is_signed(key: &CardKey, card: &Value, written: &str) -> bool {
        let set = key.set();
        let public = &set["keys"][0];
        let point = [&public["x"], &public["y"]].map(|it| it.as_str().unwrap());
        let point = point.map(|it| URL_SAFE_NO_PAD.decode(it).unwrap());
        let point = [&[4], &*point[0], &*point[1]].concat();
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        card["signatures"].as_array().unwrap().iter().any(|it| {
            let (header, made) = (it["protected"].as_str().unwrap(), it["signature"].as_str());
            let input = format!("{header}.{}", URL_SAFE_NO_PAD.encode(written));
            let made = URL_SAFE_NO_PAD.decode(made.unwrap()).unwrap();
            public.verify(input.as_bytes(), &made).is_ok()
        })
    }

    #[test]
    fn signatures_cover_the_card_as_each_kind_of_client_writes_it() {
        let key = CardKey::from_pem(CardKey::make().as_bytes()).unwrap();
        let bare = json!({
            "name": "b", "description": "", "documentationUrl": "", "skills": [],
            "provider": null, "capabilities": { "streaming": false, "extensions": [
                { "uri": "u", "required": false, "params": { "a": null, "b": "" } },
            ] },
            "securityRequirements": [{ "schemes": { "bearer": { "list": [] } } }],
        });
        let mut card = bare.clone();
        key.sign(&mut card, "http://a/keys");
        let plain = [
            r#"{"capabilities":{"extensions":[{"params":{"a":null,"b":""},"uri":"u"}],"#,
            r#""streaming":false},"description":"","name":"b","#,
            r#""securityRequirements":[{"schemes":{"bearer":{}}}],"skills":[]}"#,
        ];
        let cleaned =
            r#"{"capabilities":{"extensions":[{"uri":"u"}],"streaming":false},"name":"b"}"#;
        assert!(is_signed(&key, &card, &plain.concat()), "{card}");
        assert!(is_signed(&key, &card, cleaned), "{card}");
        assert!(!is_signed(&key, &card, "{}"));
        let header = card["signatures"][0]["protected"].as_str().unwrap();
        let header = URL_SAFE_NO_PAD.decode(header).unwrap();
        let header: Value = serde_json::from_slice(&header).unwrap();
        let known = &key.set()["keys"][0]["kid"];
        assert_eq!((&header["kid"], &header["jku"]), (known, &json!("http://a/keys")));
        let mut again = bare.clone();
        key.sign(&mut again, "http://a/keys");
        assert_eq!(again, card, "caches know it again");
        again.as_object_mut().unwrap().remove("signatures");
        assert_eq!(again, bare, "what is served is whole");
    }

    #[test]
    fn what_is_no_key_for_it_is_refused() {
        for wrong in ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            assert_eq!(CardKey::from_pem(wrong.as_bytes()).unwrap_err(), CardKeyError);
        }
    }
}
