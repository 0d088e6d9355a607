//! What certificates, OCSP answers and time stamps share: the signed envelope and moments in DER.

use std::time::Duration;

use civic::Timestamp;
use der::asn1::{Any, BitString, GeneralizedTime, UtcTime};
use der::{DateTime, Decode, Encode, Sequence};
use spki::AlgorithmIdentifierOwned;
use x509_cert::time::Time;

use crate::keys::{KeyError, PublicKey, SignatureAlgorithm, SigningKey};

/// `SIGNED{}` of X.509: what is signed, how, and the signature.
#[derive(Sequence)]
struct Envelope {
    signed: Any,
    algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
}

/// A signed structure taken apart. DER is canonical, so `content` is byte for byte what the signer signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signed {
    pub(crate) content: Vec<u8>,
    pub(crate) algorithm: AlgorithmIdentifierOwned,
    pub(crate) signature: Vec<u8>,
}

impl Signed {
    pub(crate) fn from_der(der: &[u8]) -> der::Result<Self> {
        let envelope = Envelope::from_der(der)?;
        let signature = envelope.signature.as_bytes().unwrap_or_default().to_vec();
        Ok(Self { content: envelope.signed.to_der()?, algorithm: envelope.algorithm, signature })
    }

    /// Signs `content` (DER) and returns the whole envelope as DER.
    pub(crate) fn seal(key: &SigningKey, algorithm: SignatureAlgorithm, content: &[u8]) -> Result<Vec<u8>, SealError> {
        let signature = key.sign(algorithm, content)?;
        let envelope = Envelope {
            signed: Any::from_der(content)?,
            algorithm: algorithm.identifier(),
            signature: BitString::from_bytes(&signature)?,
        };
        Ok(envelope.to_der()?)
    }

    /// Checks the signature; `None` where the algorithm is unknown or too weak.
    pub(crate) fn verify(&self, key: &PublicKey) -> Option<Result<(), KeyError>> {
        let algorithm = SignatureAlgorithm::from_identifier(&self.algorithm)?;
        Some(key.verify(algorithm, &self.content, &self.signature))
    }
}

/// Why an envelope could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SealError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("a value does not fit its DER form: {0}")]
    Der(#[from] der::Error),
}

pub(crate) fn moment_of_time(time: Time) -> Timestamp {
    moment_of_unix(time.to_unix_duration())
}

pub(crate) fn moment_of_generalized(time: GeneralizedTime) -> Timestamp {
    moment_of_unix(time.to_unix_duration())
}

fn moment_of_unix(duration: Duration) -> Timestamp {
    Timestamp::from_seconds(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX))
}

/// The moment to the second, rounded down; a moment before 1970 or after 9999 is an error.
pub(crate) fn generalized(moment: Timestamp) -> der::Result<GeneralizedTime> {
    Ok(GeneralizedTime::from_date_time(date_time(moment)?))
}

/// As RFC 5280 §4.1.2.5 wants it: `UTCTime` up to 2049, `GeneralizedTime` after.
pub(crate) fn x509_time(moment: Timestamp) -> der::Result<Time> {
    let date_time = date_time(moment)?;
    if date_time.year() < 2050 {
        return Ok(Time::UtcTime(UtcTime::from_date_time(date_time)?));
    }
    Ok(Time::GeneralTime(GeneralizedTime::from_date_time(date_time)))
}

fn date_time(moment: Timestamp) -> der::Result<DateTime> {
    let seconds = u64::try_from(moment.seconds()).map_err(|_| der::ErrorKind::DateTime)?;
    DateTime::from_unix_duration(Duration::from_secs(seconds))
}
