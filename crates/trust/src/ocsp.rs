//! OCSP (RFC 6960): asking, answering and judging whether a certificate is revoked.
//!
//! X-Road nodes staple answers to messages: the one who presents a certificate presents a fresh answer with it. An answer
//! is therefore judged often: [`OcspResponse::verify_responder`] (two signatures) needs to run once for the same bytes,
//! [`OcspResponse::status`] (comparisons only) each time.

mod asn1;

use std::fmt;
use std::time::Duration;

use civic::Timestamp;
use der::asn1::{Any, BitString, ObjectIdentifier, OctetString};
use der::{Decode, Encode};
use spki::AlgorithmIdentifierOwned;
use x509_cert::ext::Extension;
use x509_cert::serial_number::SerialNumber;

use crate::asn1::{Signed, generalized, moment_of_generalized};
use crate::cert::{CertError, Certificate, significant, verify_chain};
use crate::digest::{DigestAlgorithm, constant_time_eq};
use crate::keys::SigningKey;

const OID_BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");
const OID_NONCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.2");
const REQUEST_LEN_MAX: usize = 8 * 1024;
const RESPONSE_LEN_MAX: usize = 64 * 1024;
/// Certificates asked for in one request.
const IDS_MAX: usize = 16;
/// RFC 9654 §2.1 allows 128 bytes, RFC 8954 32; nobody sends more than 32.
const NONCE_LEN_MAX: usize = 32;
/// How far the responder's clock may be ahead of ours.
const CLOCK_SKEW: Duration = Duration::from_mins(1);

/// Why a request or an answer is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OcspError {
    /// Not DER of RFC 6960, or over a limit.
    #[error("this is no OCSP {what}: {reason}")]
    Malformed {
        /// `request` or `response`.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The responder answered with an error status instead of an answer.
    #[error("the OCSP responder refused to answer: {0}")]
    Refused(OcspRefusal),
    /// The answer speaks of other certificates.
    #[error("the OCSP answer does not speak of the certificate of `{subject}`")]
    OtherCertificate {
        /// Whom the certificate names.
        subject: String,
    },
    /// Nobody who may answer for this issuer signed it.
    #[error("the OCSP answer was not signed by `{issuer}`, a responder it appointed, or a configured responder")]
    UnknownResponder {
        /// The issuer of the certificate asked for.
        issuer: String,
    },
    /// The signature does not fit.
    #[error("the signature of the OCSP answer is wrong")]
    BadSignature,
    /// The responder's own certificate is refused.
    #[error("the certificate of the OCSP responder is refused: {0}")]
    Responder(CertError),
    /// Made after the moment it should prove something about.
    #[error("the OCSP answer is of {this_update}, later than {at}; check the clocks")]
    FromTheFuture {
        /// The moment the answer speaks of.
        this_update: Timestamp,
        /// The moment asked for.
        at: Timestamp,
    },
    /// Older than the federation allows.
    #[error("the OCSP answer is of {this_update}, too old at {at}; fetch a new one from the responder")]
    Stale {
        /// The moment the answer speaks of.
        this_update: Timestamp,
        /// The moment asked for.
        at: Timestamp,
    },
    /// The answer could not be built.
    #[error("the OCSP message cannot be made: {0}")]
    Unbuildable(String),
}

/// The error statuses of a responder (RFC 6960 §4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OcspRefusal {
    /// The request is not DER of RFC 6960.
    MalformedRequest,
    /// Something failed inside the responder.
    InternalError,
    /// Ask again later.
    TryLater,
    /// The responder wants signed requests.
    SignatureRequired,
    /// The responder does not speak for that issuer.
    Unauthorized,
}

impl OcspRefusal {
    const ALL: [(Self, u8); 5] = [
        (Self::MalformedRequest, 1),
        (Self::InternalError, 2),
        (Self::TryLater, 3),
        (Self::SignatureRequired, 5),
        (Self::Unauthorized, 6),
    ];

    /// The whole OCSP response that says so.
    pub fn to_der(self) -> Vec<u8> {
        let code = Self::ALL.iter().find(|(refusal, _)| *refusal == self).map_or(2, |(_, code)| *code);
        vec![0x30, 0x03, 0x0a, 0x01, code]
    }
}

impl fmt::Display for OcspRefusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::MalformedRequest => "the request is malformed",
            Self::InternalError => "it has an internal error",
            Self::TryLater => "try later",
            Self::SignatureRequired => "requests must be signed",
            Self::Unauthorized => "it does not answer for this issuer",
        })
    }
}

/// Names a certificate by its issuer's digests and its serial number (RFC 6960 §4.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertId {
    digest: DigestAlgorithm,
    issuer_name: Vec<u8>,
    issuer_key: Vec<u8>,
    serial: Vec<u8>,
}

impl CertId {
    /// The id of a certificate under its issuer, with SHA-1 as every peer expects.
    pub fn of(certificate: &Certificate, issuer: &Certificate) -> Self {
        Self::with_digest(DigestAlgorithm::Sha1, issuer, certificate.serial())
    }

    /// Whether it names this serial number under this issuer.
    pub fn matches(&self, issuer: &Certificate, serial: &[u8]) -> bool {
        *self == Self::with_digest(self.digest, issuer, serial)
    }

    /// Whether it names some certificate of this issuer.
    pub fn is_of_issuer(&self, issuer: &Certificate) -> bool {
        self.matches(issuer, &self.serial)
    }

    /// The serial number, big endian without leading zeros.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    fn with_digest(digest: DigestAlgorithm, issuer: &Certificate, serial: &[u8]) -> Self {
        Self {
            digest,
            issuer_name: digest.digest(issuer.subject().der()),
            issuer_key: digest.digest(issuer.public_key().raw()),
            serial: significant(serial).to_vec(),
        }
    }

    fn read(id: &asn1::CertId) -> Option<Self> {
        Some(Self {
            digest: DigestAlgorithm::from_oid(&id.algorithm.oid)?,
            issuer_name: id.issuer_name.as_bytes().to_vec(),
            issuer_key: id.issuer_key.as_bytes().to_vec(),
            serial: significant(id.serial.as_bytes()).to_vec(),
        })
    }

    fn write(&self) -> der::Result<asn1::CertId> {
        Ok(asn1::CertId {
            algorithm: AlgorithmIdentifierOwned { oid: self.digest.oid(), parameters: Some(Any::null()) },
            issuer_name: OctetString::new(self.issuer_name.as_slice())?,
            issuer_key: OctetString::new(self.issuer_key.as_slice())?,
            serial: SerialNumber::new(&self.serial)?,
        })
    }
}

/// A question to a responder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OcspRequest {
    /// The certificates asked for, at most 16.
    pub ids: Vec<CertId>,
    /// Random bytes (at most 32) that a fresh answer repeats.
    pub nonce: Option<Vec<u8>>,
}

impl OcspRequest {
    /// The request as DER, unsigned.
    pub fn to_der(&self) -> Result<Vec<u8>, OcspError> {
        let build = || -> der::Result<Vec<u8>> {
            let requests = self.ids.iter().map(|id| Ok(asn1::Request { id: id.write()?, extensions: None }));
            let signed = asn1::TbsRequest {
                version: None,
                requestor: None,
                requests: requests.collect::<der::Result<_>>()?,
                extensions: nonce_extension(self.nonce.as_deref())?,
            };
            asn1::OcspRequest { signed, signature: None }.to_der()
        };
        build().map_err(|error| OcspError::Unbuildable(error.to_string()))
    }

    /// Reads a request. A signature on it is ignored: answers are public.
    pub fn from_der(der: &[u8]) -> Result<Self, OcspError> {
        let malformed = |reason: String| OcspError::Malformed { what: "request", reason };
        if der.len() > REQUEST_LEN_MAX {
            return Err(malformed(format!("{} bytes are more than {REQUEST_LEN_MAX}", der.len())));
        }
        let request = asn1::OcspRequest::from_der(der).map_err(|error| malformed(error.to_string()))?.signed;
        if request.requests.is_empty() || request.requests.len() > IDS_MAX {
            return Err(malformed(format!("it asks for {} certificates, not 1 to {IDS_MAX}", request.requests.len())));
        }
        let ids = request.requests.iter().map(|asked| CertId::read(&asked.id)).collect::<Option<_>>();
        let ids = ids.ok_or_else(|| malformed("it uses an unknown digest".to_owned()))?;
        let nonce = nonce_of(request.extensions.as_deref());
        if nonce.as_ref().is_some_and(|nonce| nonce.is_empty() || nonce.len() > NONCE_LEN_MAX) {
            return Err(malformed(format!("a nonce has 1 to {NONCE_LEN_MAX} bytes")));
        }
        Ok(Self { ids, nonce })
    }
}

/// What is known of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OcspStatus {
    /// Not revoked.
    Good,
    /// Revoked for good.
    Revoked {
        /// Since when, to the second.
        at: Timestamp,
    },
    /// The responder never heard of it.
    Unknown,
}

/// What an answer says of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OcspAnswer {
    /// Which certificate.
    pub id: CertId,
    /// What is known of it.
    pub status: OcspStatus,
    /// The moment at which that was known, to the second.
    pub this_update: Timestamp,
    /// When newer knowledge will exist, where the responder promises it.
    pub next_update: Option<Timestamp>,
}

/// A signed answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OcspResponse {
    der: Vec<u8>,
    signed: Signed,
    responder: ResponderId,
    produced_at: Timestamp,
    answers: Vec<OcspAnswer>,
    nonce: Option<Vec<u8>>,
    certificates: Vec<Certificate>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum ResponderId {
    Name(Vec<u8>),
    KeyDigest(Vec<u8>),
}

impl OcspResponse {
    /// Signs answers. `responder` is the certificate of `key`; it is enclosed unless it is the issuer's own.
    pub fn sign(
        responder: &Certificate,
        key: &SigningKey,
        answers: &[OcspAnswer],
        nonce: Option<&[u8]>,
        produced_at: Timestamp,
    ) -> Result<Self, OcspError> {
        if responder.public_key() != key.public() {
            return Err(OcspError::Unbuildable("the key is not that of the responder's certificate".to_owned()));
        }
        let unbuildable = |error: String| OcspError::Unbuildable(error);
        let signed = response_data(responder, answers, nonce, produced_at).map_err(|e| unbuildable(e.to_string()))?;
        let algorithm = key.default_x509_algorithm();
        let signature = key.sign(algorithm, &signed).map_err(|error| unbuildable(error.to_string()))?;
        let build = || -> der::Result<Vec<u8>> {
            let basic = asn1::BasicResponse {
                signed: Any::from_der(&signed)?,
                algorithm: algorithm.identifier(),
                signature: BitString::from_bytes(&signature)?,
                certificates: Some(vec![Any::from_der(responder.der())?]),
            };
            let bytes = asn1::ResponseBytes { kind: OID_BASIC, response: OctetString::new(basic.to_der()?)? };
            asn1::OcspResponse { status: asn1::ResponseStatus::Successful, bytes: Some(bytes) }.to_der()
        };
        Self::from_der(&build().map_err(|error| unbuildable(error.to_string()))?)
    }

    /// Reads a successful response; nothing is verified yet.
    pub fn from_der(der: &[u8]) -> Result<Self, OcspError> {
        if der.len() > RESPONSE_LEN_MAX {
            let reason = format!("{} bytes are more than {RESPONSE_LEN_MAX}", der.len());
            return Err(OcspError::Malformed { what: "response", reason });
        }
        let response = asn1::OcspResponse::from_der(der).map_err(malformed_response)?;
        if let Some(refusal) = response.status.refusal() {
            return Err(OcspError::Refused(refusal));
        }
        let bytes = response.bytes.filter(|bytes| bytes.kind == OID_BASIC);
        let bytes = bytes.ok_or_else(|| malformed_response("it holds no basic response"))?;
        let basic = asn1::BasicResponse::from_der(bytes.response.as_bytes()).map_err(malformed_response)?;
        let signed = Signed {
            content: basic.signed.to_der().map_err(malformed_response)?,
            algorithm: basic.algorithm,
            signature: basic.signature.as_bytes().unwrap_or_default().to_vec(),
        };
        let data = asn1::ResponseData::from_der(&signed.content).map_err(malformed_response)?;
        if data.answers.len() > IDS_MAX {
            return Err(malformed_response(format!("it speaks of more than {IDS_MAX} certificates")));
        }
        // A certificate that we cannot read (a foreign key type) cannot be the responder's; the others may be.
        let enclosed = basic.certificates.unwrap_or_default();
        let enclosed = enclosed.iter().take(IDS_MAX).filter_map(|certificate| certificate.to_der().ok());
        Ok(Self {
            der: der.to_vec(),
            responder: match data.responder {
                asn1::ResponderId::ByName(name) => ResponderId::Name(name.to_der().map_err(malformed_response)?),
                asn1::ResponderId::ByKey(digest) => ResponderId::KeyDigest(digest.as_bytes().to_vec()),
            },
            produced_at: moment_of_generalized(data.produced_at),
            answers: data.answers.iter().filter_map(read_answer).collect(),
            nonce: nonce_of(data.extensions.as_deref()),
            certificates: enclosed.filter_map(|certificate| Certificate::from_der(&certificate).ok()).collect(),
            signed,
        })
    }

    /// The response as DER, byte for byte as it came.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// When it was signed, to the second.
    pub const fn produced_at(&self) -> Timestamp {
        self.produced_at
    }

    /// What it says.
    pub fn answers(&self) -> &[OcspAnswer] {
        &self.answers
    }

    /// The nonce it repeats.
    pub fn nonce(&self) -> Option<&[u8]> {
        self.nonce.as_deref()
    }

    /// The name of the responder as DER, where it names itself so.
    pub fn responder_name_der(&self) -> Option<&[u8]> {
        match &self.responder {
            ResponderId::Name(name) => Some(name),
            ResponderId::KeyDigest(_) => None,
        }
    }

    /// The SHA-1 digest of the responder's key, where it names itself so.
    pub fn responder_key_digest(&self) -> Option<&[u8]> {
        match &self.responder {
            ResponderId::Name(_) => None,
            ResponderId::KeyDigest(digest) => Some(digest),
        }
    }

    /// Whether the nonce is the one that was sent. An answer made in advance has none, so it never is.
    pub fn repeats(&self, nonce: &[u8]) -> bool {
        self.nonce.as_ref().is_some_and(|repeated| constant_time_eq(repeated, nonce))
    }

    /// Checks signer, signature, age and status in one go. Good, revoked and unknown all come back as `Ok`: only
    /// [`OcspStatus::Good`] is a reason to trust the certificate.
    pub fn verify(
        &self,
        certificate: &Certificate,
        issuer: &Certificate,
        at: Timestamp,
        freshness: Duration,
        responders: &[Certificate],
    ) -> Result<OcspStatus, OcspError> {
        self.verify_responder(issuer, responders, at)?;
        self.status(certificate, issuer, at, freshness)
    }

    /// Checks that one who may answer for this issuer signed the response (RFC 6960 §4.2.2.2): the issuer itself, a
    /// responder that it appointed, or one of the configured responders. The verdict depends on `at` only through the
    /// validity of the responder's certificate.
    pub fn verify_responder(
        &self,
        issuer: &Certificate,
        responders: &[Certificate],
        at: Timestamp,
    ) -> Result<(), OcspError> {
        let candidates = responders.iter().chain([issuer]).chain(&self.certificates);
        let mut refusal = OcspError::UnknownResponder { issuer: issuer.subject().to_string() };
        for candidate in candidates.filter(|candidate| self.is_named(candidate)) {
            let configured = responders.contains(candidate) || candidate == issuer;
            if !configured && !candidate.is_ocsp_responder() {
                continue;
            }
            let trusted = if configured && !candidate.is_valid_at(at) {
                verify_chain(candidate, &[], std::slice::from_ref(candidate), at)
            } else if configured {
                Ok(())
            } else {
                verify_chain(candidate, &[], std::slice::from_ref(issuer), at)
            };
            match (trusted, self.signed.verify(candidate.public_key())) {
                (Err(error), _) => refusal = OcspError::Responder(error),
                (Ok(()), Some(Ok(()))) => return Ok(()),
                (Ok(()), None) => refusal = OcspError::Responder(CertError::Algorithm),
                (Ok(()), Some(Err(_))) => refusal = OcspError::BadSignature,
            }
        }
        Err(refusal)
    }

    /// What the response says of the certificate at that moment: it must not be later than the moment (by more than a
    /// minute), nor older than `freshness`, nor past its own `nextUpdate`. Does not check the signature.
    pub fn status(
        &self,
        certificate: &Certificate,
        issuer: &Certificate,
        at: Timestamp,
        freshness: Duration,
    ) -> Result<OcspStatus, OcspError> {
        let answer = self.answers.iter().find(|answer| answer.id.matches(issuer, certificate.serial()));
        let answer =
            answer.ok_or_else(|| OcspError::OtherCertificate { subject: certificate.subject().to_string() })?;
        let this_update = answer.this_update;
        if this_update > at.plus(CLOCK_SKEW) {
            return Err(OcspError::FromTheFuture { this_update, at });
        }
        if this_update.plus(freshness) < at || answer.next_update.is_some_and(|next| next.plus(CLOCK_SKEW) < at) {
            return Err(OcspError::Stale { this_update, at });
        }
        Ok(answer.status)
    }

    fn is_named(&self, candidate: &Certificate) -> bool {
        match &self.responder {
            ResponderId::Name(name) => candidate.subject().der() == name,
            ResponderId::KeyDigest(digest) => crate::digest::sha1(candidate.public_key().raw()) == digest.as_slice(),
        }
    }
}

fn response_data(
    responder: &Certificate,
    answers: &[OcspAnswer],
    nonce: Option<&[u8]>,
    produced_at: Timestamp,
) -> der::Result<Vec<u8>> {
    let answers = answers.iter().map(|answer| {
        Ok(asn1::SingleResponse {
            id: answer.id.write()?,
            status: asn1::CertStatus::write(answer.status)?,
            this_update: generalized(answer.this_update)?,
            next_update: answer.next_update.map(generalized).transpose()?,
            extensions: None,
        })
    });
    let data = asn1::ResponseData {
        version: None,
        responder: asn1::ResponderId::ByName(responder.subject().inner().clone()),
        produced_at: generalized(produced_at)?,
        answers: answers.collect::<der::Result<_>>()?,
        extensions: nonce_extension(nonce)?,
    };
    data.to_der()
}

/// An answer about a certificate named by a digest that we do not know cannot match ours: it is left out.
fn read_answer(answer: &asn1::SingleResponse) -> Option<OcspAnswer> {
    Some(OcspAnswer {
        id: CertId::read(&answer.id)?,
        status: answer.status.read(),
        this_update: moment_of_generalized(answer.this_update),
        next_update: answer.next_update.map(moment_of_generalized),
    })
}

/// RFC 8954 §2.1: the value is an OCTET STRING inside the extension's own.
fn nonce_extension(nonce: Option<&[u8]>) -> der::Result<Option<Vec<Extension>>> {
    nonce
        .map(|nonce| {
            let value = OctetString::new(OctetString::new(nonce)?.to_der()?)?;
            Ok(vec![Extension { extn_id: OID_NONCE, critical: false, extn_value: value }])
        })
        .transpose()
}

/// Old clients put the bytes directly into the extension.
fn nonce_of(extensions: Option<&[Extension]>) -> Option<Vec<u8>> {
    let extension = extensions?.iter().find(|extension| extension.extn_id == OID_NONCE)?;
    let value = extension.extn_value.as_bytes();
    Some(OctetString::from_der(value).map_or_else(|_| value.to_vec(), |inner| inner.as_bytes().to_vec()))
}

fn malformed_response(reason: impl fmt::Display) -> OcspError {
    OcspError::Malformed { what: "response", reason: reason.to_string() }
}

#[cfg(test)]
mod tests;
