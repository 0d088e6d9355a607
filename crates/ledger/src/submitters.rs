//! Who may append over HTTP: each submitter signs each body with a key that the log knows.
//!
//! `Authorization: Bearer JWS`, typ `ledger-append+jwt`; claims `iss` (the submitter), `aud` (the origin of the log),
//! `iat` (at most 60 s away), `body` (base64url SHA-256 of the request body). A repeated request changes nothing,
//! because the same entry keeps its index.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

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

/// The submitters that a log accepts, each with one key or several. Clones share them: they may change while the log runs.
#[derive(Debug, Clone, Default)]
pub struct Submitters {
    keys: Arc<RwLock<BTreeMap<String, Jwks>>>,
}

impl Submitters {
    /// Nobody may append yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets a submitter append with this key (P-256 or Ed25519), beside those it has.
    pub fn allow(&self, name: impl Into<String>, key: &PublicKey) -> Result<(), SubmitterError> {
        let key = Jwk::of(key)?;
        self.keys.write().unwrap_or_else(PoisonError::into_inner).entry(name.into()).or_default().push(key);
        Ok(())
    }

    /// From the next request on this submitter has these keys and no others.
    pub fn set(&self, name: impl Into<String>, keys: Jwks) {
        self.keys.write().unwrap_or_else(PoisonError::into_inner).insert(name.into(), keys);
    }

    /// From the next request on those of the other list may append, and nobody else.
    pub fn replace(&self, others: &Self) {
        let others = others.keys.read().unwrap_or_else(PoisonError::into_inner).clone();
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = others;
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
        let known = self.keys.read().unwrap_or_else(PoisonError::into_inner).get(&said.iss).cloned();
        let Some(keys) = known else {
            return Err(SubmitterError::Unknown(said.iss.chars().take(80).collect()));
        };
        let (_, claims) = jws_verify::<Claims>(token, &keys, TYP)?;
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

/// One who appends over HTTP: a name and a key, which may change.
pub struct Submitter {
    name: String,
    key: RwLock<Arc<OwnKey>>,
}

/// A key with its public half at hand.
struct OwnKey {
    key: SigningKey,
    jwk: Jwk,
}

impl Submitter {
    /// A submitter by this name; the key is P-256 or Ed25519.
    pub fn new(name: impl Into<String>, key: SigningKey) -> Result<Self, SubmitterError> {
        Ok(Self { name: name.into(), key: RwLock::new(Arc::new(OwnKey::new(key)?)) })
    }

    /// Signs with another key (P-256 or Ed25519) from now on. The log must know it.
    pub fn sign_with(&self, key: SigningKey) -> Result<(), SubmitterError> {
        let key = Arc::new(OwnKey::new(key)?);
        *self.key.write().unwrap_or_else(PoisonError::into_inner) = key;
        Ok(())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The token that lets this body in, now.
    pub fn token(&self, origin: &str, body: &[u8], now: Timestamp) -> Result<String, SubmitterError> {
        let claims = Claims { iss: self.name.clone(), aud: origin.to_owned(), iat: now.seconds(), body: digest(body) };
        let own = Arc::clone(&self.key.read().unwrap_or_else(PoisonError::into_inner));
        Ok(jws_sign_with(&own.key, &own.jwk, TYP, &claims)?)
    }
}

impl OwnKey {
    fn new(key: SigningKey) -> Result<Self, SubmitterError> {
        let jwk = Jwk::of(key.public())?;
        Ok(Self { key, jwk })
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
        let submitters = Submitters::new();
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
    fn a_submitter_may_change_its_key_once_the_log_knows_the_new_one() {
        let [old, new] = [(); 2].map(|()| SigningKey::generate_p256().unwrap());
        let (submitters, now) = (Submitters::new(), Timestamp::from_seconds(1_000_000));
        submitters.allow("BB/COM/2001", old.public()).unwrap();
        let served = submitters.clone();
        let bank = Submitter::new("BB/COM/2001", old.clone()).unwrap();
        let with_old = bank.token("log", b"body", now).unwrap();
        bank.sign_with(new.clone()).unwrap();
        let with_new = bank.token("log", b"body", now).unwrap();
        assert!(served.authenticate(&with_new, "log", b"body", now).is_err(), "the log does not know it yet");
        submitters.allow("BB/COM/2001", new.public()).unwrap();
        for token in [&with_old, &with_new] {
            assert_eq!(served.authenticate(token, "log", b"body", now).unwrap(), "BB/COM/2001");
        }
        submitters.set("BB/COM/2001", Jwks::of([new.public()]).unwrap());
        assert!(served.authenticate(&with_old, "log", b"body", now).is_err(), "the old one was taken out");
        submitters.replace(&Submitters::new());
        assert!(served.authenticate(&with_new, "log", b"body", now).is_err(), "nobody may append any more");
    }

    #[test]
    fn a_stranger_and_a_borrowed_name_are_refused() {
        let submitters = Submitters::new();
        submitters.allow("BB/COM/2001", SigningKey::generate_p256().unwrap().public()).unwrap();
        let now = Timestamp::from_seconds(1_000_000);
        for name in ["BB/COM/2001", "BB/COM/9999"] {
            let thief = Submitter::new(name, SigningKey::generate_p256().unwrap()).unwrap();
            let token = thief.token("log", b"body", now).unwrap();
            assert!(submitters.authenticate(&token, "log", b"body", now).is_err(), "{name}");
        }
    }
}
