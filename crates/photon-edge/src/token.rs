//! Bearer tokens: made once, kept only as hashes, compared in constant time.
//! Must not know what a token opens.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// How a token begins, so that scanners for leaked secrets can find it.
const TOKEN_PREFIX: &str = "photon_";

/// How a hash begins: with the name of its function.
const HASH_PREFIX: &str = "sha256:";

/// The hash of a bearer token. Safe to store: the token has 256 random bits, so that a plain
/// digest cannot be searched.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

/// Text that is not the hash of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the hash of a token: use `{HASH_PREFIX}` and 64 of 0-9 and a-f, as `photon token new` \
     prints it"
)]
pub struct TokenHashError;

/// Why no token could be made.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gives no random bytes: {0}")]
pub struct MakeError(String);

/// Makes a token; returns it with its hash. Only the hash is to be stored.
pub fn make() -> Result<(String, TokenHash), MakeError> {
    let mut secret = [0_u8; 32];
    getrandom::fill(&mut secret).map_err(|err| MakeError(err.to_string()))?;
    let plain = format!("{TOKEN_PREFIX}{}", hex(&secret));
    let hash = TokenHash::of(&plain);
    Ok((plain, hash))
}

impl TokenHash {
    /// Returns the hash of a token.
    #[must_use]
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Whether it is the same, in a time that does not tell how much of it is.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl FromStr for TokenHash {
    type Err = TokenHashError;
    fn from_str(text: &str) -> Result<Self, TokenHashError> {
        let digits = text.strip_prefix(HASH_PREFIX).ok_or(TokenHashError)?.as_bytes();
        if digits.len() != 64 {
            return Err(TokenHashError);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{HASH_PREFIX}{}", hex(&self.0))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

fn digit(ascii: u8) -> Result<u8, TokenHashError> {
    match ascii {
        b'0'..=b'9' => Ok(ascii - b'0'),
        b'a'..=b'f' => Ok(ascii - b'a' + 10),
        _ => Err(TokenHashError),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_verified_by_its_stored_hash_and_no_other_is() {
        let (plain, hash) = make().unwrap();
        let stored: TokenHash = hash.to_string().parse().unwrap();
        assert!(stored.is_same(&TokenHash::of(&plain)));
        assert!(!stored.is_same(&make().unwrap().1));
        assert!(!stored.is_same(&TokenHash::of("")));
        assert!(!format!("{stored:?}").contains(&hash.to_string()[7..]));
    }

    #[test]
    fn what_is_not_a_hash_is_refused() {
        let good = TokenHash::of("x").to_string();
        let upper = good.to_uppercase();
        for bad in ["", "sha256:", &good[..70], &upper, &format!("{good}0"), &good[7..]] {
            assert_eq!(bad.parse::<TokenHash>(), Err(TokenHashError), "{bad}");
        }
    }
}
