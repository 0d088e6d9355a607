//! Who may append over HTTP: each submitter signs each body with a key that the log knows.
//!
//! `Authorization: Bearer JWS`, typ `ledger-append+jwt`; claims `iss` (the submitter), `aud` (the origin of the log),
//! `iat` (at most 60 s away), `body` (base64url SHA-256 of the request body). A repeated request changes nothing,
//! because the same entry keeps its index.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use civic::Timestamp;
use serde::{Deserialize, Serialize};
use trust::digest::sha256;
use trust::jose::{JoseError, Jwk, Jwks, jws_sign_with, jws_unverified, jws_verify};
use trust::keys::{PublicKey, SigningKey};

const TYP: &str = "ledger-append+jwt";
const SKEW_SECONDS_MAX: i64 = 60;

/// Why an append over HTTP is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum SubmitterError {
    /// The token is missing, malformed, or not signed by a key of the submitter it names.
    #[error("send `Authorization: Bearer` with a `{TYP}` signed by a registered submitter: {0}")]
    Token(#[from] JoseError),
    /// No `Authorization: Bearer` header.
    #[error("send `Authorization: Bearer` with a `{TYP}` signed by a registered submitter")]
    Missing,
    /// The submitter is not registered with this log.
    #[error("the submitter `{0}` is not registered with this log")]
    Unknown(String),
    /// A claim does not fit this request.
    #[error("the claim `{claim}` does not fit: {reason}")]
    Claim {
        /// Which claim.
        claim: &'static str,
        /// What it should be.
        reason: &'static str,
    },
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    iat: i64,
    body: String,
}

/// The submitters that a log accepts, each with one key or several.
#[derive(Debug, Clone, Default)]
pub struct Submitters {
    keys: BTreeMap<String, Jwks>,
}

impl Submitters {
    /// Nobody may append yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets a submitter append with this key (P-256 or Ed25519), beside those it has.
    pub fn allow(&mut self, name: impl Into<String>, key: &PublicKey) -> Result<(), SubmitterError> {
        self.keys.entry(name.into()).or_default().push(Jwk::of(key)?);
        Ok(())
    }

    /// The name of the submitter who signed this body for this log at about this time.
    pub fn authenticate(
        &self,
        token: &str,
        origin: &str,
        body: &[u8],
        now: Timestamp,
    ) -> Result<String, SubmitterError> {
        let wrong = |claim, reason| Err(SubmitterError::Claim { claim, reason });
        let (_, said) = jws_unverified::<Claims>(token)?;
        let Some(keys) = self.keys.get(&said.iss) else {
            return Err(SubmitterError::Unknown(said.iss.chars().take(80).collect()));
        };
        let (_, claims) = jws_verify::<Claims>(token, keys, TYP)?;
        if claims.aud != origin {
            return wrong("aud", "it must be the origin of the log");
        }
        if claims.iat.abs_diff(now.seconds()) > SKEW_SECONDS_MAX.unsigned_abs() {
            return wrong("iat", "it is more than 60 seconds away: compare the clocks");
        }
        if claims.body != digest(body) {
            return wrong("body", "it must be the base64url SHA-256 of the request body");
        }
        Ok(claims.iss)
    }
}

/// One who appends over HTTP: a name and a key.
pub struct Submitter {
    name: String,
    key: SigningKey,
    jwk: Jwk,
}

impl Submitter {
    /// A submitter by this name; the key is P-256 or Ed25519.
    pub fn new(name: impl Into<String>, key: SigningKey) -> Result<Self, SubmitterError> {
        let jwk = Jwk::of(key.public())?;
        Ok(Self { name: name.into(), key, jwk })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The token that lets this body in, now.
    pub fn token(&self, origin: &str, body: &[u8], now: Timestamp) -> Result<String, SubmitterError> {
        let claims = Claims { iss: self.name.clone(), aud: origin.to_owned(), iat: now.seconds(), body: digest(body) };
        Ok(jws_sign_with(&self.key, &self.jwk, TYP, &claims)?)
    }
}

fn digest(body: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(sha256(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_lets_one_body_in_at_one_time_to_one_log() {
        let key = SigningKey::generate_p256().unwrap();
        let mut submitters = Submitters::new();
        submitters.allow("BB/COM/2001", key.public()).unwrap();
        let bank = Submitter::new("BB/COM/2001", key).unwrap();
        let now = Timestamp::from_seconds(1_000_000);
        let token = bank.token("log", b"body", now).unwrap();
        assert_eq!(submitters.authenticate(&token, "log", b"body", now).unwrap(), "BB/COM/2001");
        assert!(submitters.authenticate(&token, "log", b"other", now).is_err());
        assert!(submitters.authenticate(&token, "other", b"body", now).is_err());
        assert!(submitters.authenticate(&token, "log", b"body", Timestamp::from_seconds(1_000_061)).is_err());
        assert!(submitters.authenticate(&token, "log", b"body", Timestamp::from_seconds(999_939)).is_err());
    }

    #[test]
    fn a_stranger_and_a_borrowed_name_are_refused() {
        let mut submitters = Submitters::new();
        submitters.allow("BB/COM/2001", SigningKey::generate_p256().unwrap().public()).unwrap();
        let now = Timestamp::from_seconds(1_000_000);
        for name in ["BB/COM/2001", "BB/COM/9999"] {
            let thief = Submitter::new(name, SigningKey::generate_p256().unwrap()).unwrap();
            let token = thief.token("log", b"body", now).unwrap();
            assert!(submitters.authenticate(&token, "log", b"body", now).is_err(), "{name}");
        }
    }
}
