//! What is registered: the record that the log commits to, and the promise.

use std::time::Duration;

use civic::{Random, Timestamp, random_uuid};
use ledger::Commitment;
use serde::{Deserialize, Serialize};
use trust::jose::{JoseError, Jwk, jws_sign_with};
use trust::keys::SigningKey;

/// One request registers at most this many digests.
pub const BATCH_MAX: usize = 500;
/// Within this time what was promised is in the log.
pub(crate) const DUE: Duration = Duration::from_mins(1);
/// The `typ` of a promise.
const PROMISE_TYP: &str = "notary-promise+jwt";

/// A registration as its client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Its number.
    pub id: String,
    /// The record that the entry of the log commits to, byte for byte; `None` once erased.
    pub record: Option<String>,
    /// The signed promise; `None` once erased.
    pub promise: Option<String>,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// Where the log holds it; `None` while it is on its way.
    pub index: Option<u64>,
    /// Whether this answer made it; `false` where it was there before.
    pub new: bool,
}

/// The record: what the proof shows to whoever holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) v: u8,
    pub(crate) kind: String,
    /// SHA-256 of the document, hexadecimal.
    pub(crate) sha256: String,
    /// Who registered it.
    pub(crate) client: String,
    /// When, RFC 3339.
    pub(crate) at: String,
}

#[derive(Serialize)]
struct Promise<'a> {
    iss: &'a str,
    jti: &'a str,
    iat: i64,
    sub: &'a str,
    sha256: &'a str,
    /// The entry that the log will hold, hexadecimal.
    leaf: String,
    /// The log.
    log: &'a str,
    /// Until when, in seconds.
    due: i64,
}

/// A registration before it is known whether it is new.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) id: String,
    pub(crate) digest: [u8; 32],
    pub(crate) record: String,
    pub(crate) commitment: Commitment,
    pub(crate) promise: String,
    pub(crate) at: Timestamp,
    client: String,
}

impl Registration {
    /// Until when it is promised to be in the log.
    pub(crate) fn due(&self) -> Timestamp {
        self.registered_at.plus(DUE)
    }

    /// The digest, where it was not erased.
    pub(crate) fn sha256(&self) -> Option<String> {
        let record: Record = serde_json::from_str(self.record.as_deref()?).ok()?;
        Some(record.sha256)
    }
}

impl Draft {
    pub(crate) fn of(digest: &[u8; 32], client: &str, at: Timestamp, random: &dyn Random) -> Self {
        let record = Record {
            v: 1,
            kind: "notary".to_owned(),
            sha256: hex::encode(digest),
            client: client.to_owned(),
            at: at.rfc3339(),
        };
        // A number and four texts always have a JSON form.
        let record = serde_json::to_string(&record).unwrap_or_default();
        Self {
            id: random_uuid(random),
            digest: *digest,
            commitment: Commitment::new(record.as_bytes(), random),
            record,
            promise: String::new(),
            at,
            client: client.to_owned(),
        }
    }

    /// Signs the promise.
    pub(crate) fn promised(mut self, key: &SigningKey, jwk: &Jwk, issuer: &str, log: &str) -> Result<Self, JoseError> {
        let promise = Promise {
            iss: issuer,
            jti: &self.id,
            iat: self.at.seconds(),
            sub: &self.client,
            sha256: &hex::encode(self.digest),
            leaf: hex::encode(self.commitment.leaf),
            log,
            due: self.at.plus(DUE).seconds(),
        };
        self.promise = jws_sign_with(key, jwk, PROMISE_TYP, &promise)?;
        Ok(self)
    }
}
