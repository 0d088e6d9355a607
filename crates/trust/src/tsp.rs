//! Time stamps (RFC 3161, RFC 5816): asking, stamping and judging.
//!
//! A token proves that a digest existed at a moment, by the word of an authority that the global configuration lists.
//! Tokens carry `ESSCertIDv2`; those of older authorities with `ESSCertID` are read too.

mod asn1;

use civic::Timestamp;
use const_oid::ObjectIdentifier;
use der::asn1::{Any, BitString, OctetString, SetOfVec, Uint};
use der::{Decode, Encode};
use spki::AlgorithmIdentifierOwned;
use x509_cert::attr::Attribute;
use x509_cert::serial_number::SerialNumber;

use self::asn1::{MessageImprint, SignerId, SignerInfo};
use crate::asn1::x509_time;
use crate::cert::{CertError, Certificate, significant, verify_chain};
use crate::digest::{DigestAlgorithm, constant_time_eq};
use crate::keys::{KeyError, SignatureAlgorithm, SigningKey};

const OID_SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const OID_TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
const OID_CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const OID_MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const OID_SIGNING_TIME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.5");
const OID_SIGNING_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.12");
const OID_SIGNING_CERTIFICATE_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");
const OID_RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const REQUEST_LEN_MAX: usize = 8 * 1024;
const RESPONSE_LEN_MAX: usize = 64 * 1024;
const NONCE_LEN_MAX: usize = 32;
const STATUS_TEXTS_MAX: usize = 8;

/// Why a request, an answer or a token is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TspError {
    /// Not DER of RFC 3161, or over a limit.
    #[error("this is no time-stamp {what}: {reason}")]
    Malformed {
        /// `request`, `response` or `token`.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The digest function is unknown or too weak.
    #[error("a time stamp needs a digest of SHA-256, SHA-384 or SHA-512, with its full length")]
    Digest,
    /// The authority stamps under another policy only.
    #[error("the policy {asked} is not offered; leave it out or ask for {offered}")]
    Policy {
        /// The policy asked for.
        asked: ObjectIdentifier,
        /// The policy of this authority.
        offered: ObjectIdentifier,
    },
    /// A critical extension of the request is not understood.
    #[error("the request has a critical extension that is not understood")]
    Extension,
    /// The authority refused.
    #[error("the time-stamping authority refused: {text} (status {status})")]
    Rejected {
        /// `PKIStatus`.
        status: u8,
        /// What it says.
        text: String,
    },
    /// The token is not about this data.
    #[error("the time stamp is about other data")]
    OtherData,
    /// The token does not repeat the nonce of the request.
    #[error("the time stamp answers another request (its nonce differs)")]
    OtherRequest,
    /// No listed authority signed the token.
    #[error("the time stamp was not made by one of the approved authorities")]
    UnknownAuthority,
    /// The certificate of the authority is refused.
    #[error("the certificate of the time-stamping authority is refused: {0}")]
    Authority(CertError),
    /// The certificate does not say that it is for stamping time, and only that (RFC 3161 §2.3).
    #[error("the certificate `{subject}` is not one for time stamping alone")]
    NotTimeStamping {
        /// Whom it names.
        subject: String,
    },
    /// The signature, or an attribute bound by it, does not fit.
    #[error("the time stamp was altered or wrongly signed: {0}")]
    BadSignature(&'static str),
    /// A token could not be made.
    #[error("the time stamp cannot be made: {0}")]
    Unbuildable(String),
}

impl TspError {
    /// The answer that tells the client so (RFC 3161 §2.4.2).
    pub fn failure(&self) -> TspFailure {
        match self {
            Self::Digest => TspFailure::BadAlgorithm,
            Self::Malformed { .. } => TspFailure::BadDataFormat,
            Self::Policy { .. } => TspFailure::UnacceptedPolicy,
            Self::Extension => TspFailure::UnacceptedExtension,
            _ => TspFailure::SystemFailure,
        }
    }
}

impl From<der::Error> for TspError {
    fn from(error: der::Error) -> Self {
        Self::Unbuildable(error.to_string())
    }
}

impl From<KeyError> for TspError {
    fn from(error: KeyError) -> Self {
        Self::Unbuildable(error.to_string())
    }
}

/// `PKIFailureInfo`: why an authority refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TspFailure {
    /// Unknown or weak digest.
    BadAlgorithm,
    /// Not a request.
    BadDataFormat,
    /// The clock is not to be trusted now.
    TimeNotAvailable,
    /// Another policy was asked for.
    UnacceptedPolicy,
    /// An extension is not understood.
    UnacceptedExtension,
    /// Something failed inside.
    SystemFailure,
}

impl TspFailure {
    const fn bit(self) -> u8 {
        match self {
            Self::BadAlgorithm => 0,
            Self::BadDataFormat => 5,
            Self::TimeNotAvailable => 14,
            Self::UnacceptedPolicy => 15,
            Self::UnacceptedExtension => 16,
            Self::SystemFailure => 25,
        }
    }

    /// The whole response that refuses, with a text for people.
    pub fn response(self, text: &str) -> Result<Vec<u8>, TspError> {
        let bit = self.bit();
        let mut bytes = vec![0_u8; usize::from(bit / 8)];
        bytes.push(0x80 >> (bit % 8));
        let failure = Some(BitString::new(7 - bit % 8, bytes)?);
        let status = asn1::StatusInfo { status: 2, text: Some(vec![text.to_owned()]), failure };
        Ok(asn1::TimeStampResp { status, token: None }.to_der()?)
    }
}

/// A question to an authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimestampRequest {
    imprint: MessageImprint,
    digest: DigestAlgorithm,
    policy: Option<ObjectIdentifier>,
    nonce: Option<Vec<u8>>,
    certificate_wanted: bool,
}

impl TimestampRequest {
    /// Asks to stamp the SHA-512 digest of the data, with the authority's certificate in the token. The nonce (random, 1
    /// to 32 bytes, read as a positive number) comes back in the token.
    pub fn for_data(data: &[u8], nonce: &[u8]) -> Result<Self, TspError> {
        Self::for_digest(DigestAlgorithm::Sha512, &DigestAlgorithm::Sha512.digest(data), nonce)
    }

    /// Asks to stamp a digest.
    pub fn for_digest(digest: DigestAlgorithm, value: &[u8], nonce: &[u8]) -> Result<Self, TspError> {
        let algorithm = AlgorithmIdentifierOwned { oid: digest.oid(), parameters: Some(Any::null()) };
        let imprint = MessageImprint { algorithm, digest: OctetString::new(value)? };
        checked_digest(&imprint)?;
        let nonce = Some(significant(nonce).to_vec()).filter(|nonce| !nonce.is_empty());
        Ok(Self { imprint, digest, policy: None, nonce, certificate_wanted: true })
    }

    /// The request as DER: the body of an `application/timestamp-query`.
    pub fn to_der(&self) -> Result<Vec<u8>, TspError> {
        let request = asn1::TimeStampReq {
            version: 1,
            imprint: self.imprint.clone(),
            policy: self.policy,
            nonce: self.nonce.as_deref().map(Uint::new).transpose()?.map(Into::into),
            certificate_wanted: self.certificate_wanted,
            extensions: None,
        };
        Ok(request.to_der()?)
    }

    /// Reads a request.
    pub fn from_der(der: &[u8]) -> Result<Self, TspError> {
        let malformed = |reason: String| TspError::Malformed { what: "request", reason };
        if der.len() > REQUEST_LEN_MAX {
            return Err(malformed(format!("{} bytes are more than {REQUEST_LEN_MAX}", der.len())));
        }
        let request = asn1::TimeStampReq::from_der(der).map_err(|error| malformed(error.to_string()))?;
        if request.version != 1 {
            return Err(malformed(format!("version {} is not 1", request.version)));
        }
        if request.extensions.unwrap_or_default().iter().any(|extension| extension.critical) {
            return Err(TspError::Extension);
        }
        let nonce = request.nonce.map(|nonce| significant(nonce.as_bytes()).to_vec());
        if nonce.as_ref().is_some_and(|nonce| nonce.len() > NONCE_LEN_MAX) {
            return Err(malformed(format!("a nonce has at most {NONCE_LEN_MAX} bytes")));
        }
        Ok(Self {
            digest: checked_digest(&request.imprint)?,
            imprint: request.imprint,
            policy: request.policy,
            nonce,
            certificate_wanted: request.certificate_wanted,
        })
    }

    /// The digest function.
    pub const fn digest_algorithm(&self) -> DigestAlgorithm {
        self.digest
    }

    /// The digest to be stamped.
    pub fn digest(&self) -> &[u8] {
        self.imprint.digest.as_bytes()
    }

    /// Takes the token out of the authority's response and checks that it answers this request. Verify the token next.
    pub fn token(&self, response: &[u8]) -> Result<TimestampToken, TspError> {
        let malformed = |reason: String| TspError::Malformed { what: "response", reason };
        let token = token_of_response(response)?.ok_or_else(|| malformed("it holds no token".to_owned()))?;
        let token = TimestampToken::from_der(&token)?;
        if token.digest_algorithm != self.digest || !constant_time_eq(&token.digest, self.digest()) {
            return Err(TspError::OtherData);
        }
        if token.nonce != self.nonce {
            return Err(TspError::OtherRequest);
        }
        Ok(token)
    }
}

/// Reads a response (RFC 3161 §2.4.2): the token as DER where it was granted (`None` where the authority forgot it).
pub fn token_of_response(response: &[u8]) -> Result<Option<Vec<u8>>, TspError> {
    let malformed = |reason: String| TspError::Malformed { what: "response", reason };
    if response.len() > RESPONSE_LEN_MAX {
        return Err(malformed(format!("{} bytes are more than {RESPONSE_LEN_MAX}", response.len())));
    }
    let parsed = asn1::TimeStampResp::from_der(response).map_err(|error| malformed(error.to_string()))?;
    if parsed.status.status > 1 {
        let texts = parsed.status.text.unwrap_or_default();
        let text = texts.iter().take(STATUS_TEXTS_MAX).map(String::as_str).collect::<Vec<_>>().join("; ");
        return Err(TspError::Rejected { status: parsed.status.status, text });
    }
    parsed.token.map(|token| token.to_der().map_err(|error| malformed(error.to_string()))).transpose()
}

/// Stamps time.
#[derive(Clone, Debug)]
pub struct TimestampAuthority {
    certificate: Certificate,
    key: SigningKey,
    policy: ObjectIdentifier,
}

impl TimestampAuthority {
    /// An authority that stamps with this key under this policy (dotted decimals).
    pub fn new(certificate: Certificate, key: SigningKey, policy: &str) -> Result<Self, TspError> {
        let policy = ObjectIdentifier::new(policy);
        let policy = policy.map_err(|error| TspError::Unbuildable(format!("the policy is no identifier: {error}")))?;
        if certificate.public_key() != key.public() {
            return Err(TspError::Unbuildable("the key is not that of the certificate".to_owned()));
        }
        if !certificate.is_time_stamping() {
            return Err(TspError::NotTimeStamping { subject: certificate.subject().to_string() });
        }
        Ok(Self { certificate, key, policy })
    }

    /// The certificate that goes into the global configuration.
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Stamps the digest of the request. `serial` (positive, at most 20 bytes) must never be used twice.
    pub fn stamp(&self, request: &TimestampRequest, serial: &[u8], at: Timestamp) -> Result<TimestampToken, TspError> {
        if let Some(asked) = request.policy.filter(|asked| *asked != self.policy) {
            return Err(TspError::Policy { asked, offered: self.policy });
        }
        if !self.certificate.is_valid_at(at) {
            let anchor = std::slice::from_ref(&self.certificate);
            return verify_chain(&self.certificate, &[], anchor, at)
                .map_err(TspError::Authority)
                .and(Err(TspError::UnknownAuthority));
        }
        let info = asn1::TstInfo {
            version: 1,
            policy: self.policy,
            imprint: request.imprint.clone(),
            serial: SerialNumber::new(serial)?,
            time: asn1::write_time(at)?,
            accuracy: Some(asn1::Accuracy { seconds: Some(1), millis: None, micros: None }),
            ordering: false,
            nonce: request.nonce.as_deref().map(Uint::new).transpose()?.map(Into::into),
            authority: None,
            extensions: None,
        };
        let der = self.sign(&info.to_der()?, request.certificate_wanted, at)?;
        TimestampToken::from_der(&der)
    }

    fn sign(&self, info: &[u8], with_certificate: bool, at: Timestamp) -> Result<Vec<u8>, TspError> {
        let algorithm = self.key.default_x509_algorithm();
        let digest = AlgorithmIdentifierOwned { oid: algorithm.digest().oid(), parameters: None };
        let id = asn1::EssCertId {
            algorithm: None,
            digest: OctetString::new(self.certificate.sha256())?,
            issuer_and_serial: None,
        };
        let message_digest = OctetString::new(algorithm.digest().digest(info))?;
        let signing_certificate = asn1::SigningCertificate { certificates: vec![id], policies: None };
        let attributes = SetOfVec::try_from(vec![
            attribute(OID_CONTENT_TYPE, &OID_TST_INFO)?,
            attribute(OID_SIGNING_TIME, &x509_time(at)?)?,
            attribute(OID_MESSAGE_DIGEST, &message_digest)?,
            attribute(OID_SIGNING_CERTIFICATE_V2, &signing_certificate)?,
        ])?;
        let signature = self.key.sign(algorithm, &attributes.to_der()?)?;
        let signer = SignerInfo {
            version: 1,
            id: SignerId::IssuerAndSerial(asn1::IssuerAndSerial {
                issuer: self.certificate.issuer().inner().clone(),
                serial: SerialNumber::new(self.certificate.serial())?,
            }),
            digest: digest.clone(),
            signed_attributes: Some(attributes),
            algorithm: algorithm.identifier(),
            signature: OctetString::new(signature)?,
            unsigned_attributes: None,
        };
        let certificate = Any::from_der(self.certificate.der())?;
        let certificates = with_certificate.then(|| SetOfVec::try_from(vec![certificate])).transpose()?;
        let content = asn1::EncapsulatedContent { kind: OID_TST_INFO, content: Some(OctetString::new(info)?) };
        let content = asn1::SignedData {
            version: 3,
            digests: SetOfVec::try_from(vec![digest])?,
            content,
            certificates,
            revocations: None,
            signers: SetOfVec::try_from(vec![Any::encode_from(&signer)?])?,
        };
        Ok(asn1::ContentInfo { kind: OID_SIGNED_DATA, content }.to_der()?)
    }
}

/// A time stamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimestampToken {
    der: Vec<u8>,
    info: Vec<u8>,
    signer: SignerInfo,
    time: Timestamp,
    digest_algorithm: DigestAlgorithm,
    digest: Vec<u8>,
    serial: Vec<u8>,
    nonce: Option<Vec<u8>>,
    certificates: Vec<Certificate>,
}

impl TimestampToken {
    /// Reads a token (a CMS `ContentInfo` in DER); nothing is verified yet.
    pub fn from_der(der: &[u8]) -> Result<Self, TspError> {
        if der.len() > RESPONSE_LEN_MAX {
            return Err(malformed_token(format!("{} bytes are more than {RESPONSE_LEN_MAX}", der.len())));
        }
        let container = asn1::ContentInfo::from_der(der).map_err(malformed_token)?;
        if container.kind != OID_SIGNED_DATA || container.content.content.kind != OID_TST_INFO {
            return Err(malformed_token("it is another kind of message"));
        }
        let data = container.content;
        let [signer] = data.signers.as_slice() else {
            return Err(malformed_token("it has not exactly one signer"));
        };
        let signer: SignerInfo = signer.decode_as().map_err(malformed_token)?;
        let info = data.content.content.ok_or_else(|| malformed_token("it has no content"))?.as_bytes().to_vec();
        let read = asn1::TstInfo::from_der(&info).map_err(malformed_token)?;
        let enclosed = data.certificates.map(SetOfVec::into_vec).unwrap_or_default();
        let enclosed = enclosed.iter().take(8).filter_map(|certificate| certificate.to_der().ok());
        Ok(Self {
            der: der.to_vec(),
            time: asn1::read_time(&read.time).ok_or_else(|| malformed_token("its time is not a UTC time"))?,
            digest_algorithm: checked_digest(&read.imprint)?,
            digest: read.imprint.digest.as_bytes().to_vec(),
            serial: significant(read.serial.as_bytes()).to_vec(),
            nonce: read.nonce.map(|nonce| significant(nonce.as_bytes()).to_vec()),
            certificates: enclosed.filter_map(|der| Certificate::from_der(&der).ok()).collect(),
            info,
            signer,
        })
    }

    /// The token as DER, byte for byte as it came.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The whole `application/timestamp-reply` that grants this token.
    pub fn response(&self) -> Result<Vec<u8>, TspError> {
        let status = asn1::StatusInfo { status: 0, text: None, failure: None };
        Ok(asn1::TimeStampResp { status, token: Some(Any::from_der(&self.der)?) }.to_der()?)
    }

    /// The moment it claims. Believe it after [`Self::verify`] only.
    pub const fn time(&self) -> Timestamp {
        self.time
    }

    /// The digest function of the stamped data.
    pub const fn digest_algorithm(&self) -> DigestAlgorithm {
        self.digest_algorithm
    }

    /// The digest of the stamped data.
    pub fn digest(&self) -> &[u8] {
        &self.digest
    }

    /// The token's number, big endian without leading zeros.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// The certificates inside. They are hints: only listed authorities are believed.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// Checks that one of the authorities stamped exactly this data, while its certificate was valid; returns the moment.
    pub fn verify(&self, data: &[u8], authorities: &[Certificate]) -> Result<Timestamp, TspError> {
        self.verify_digest(&self.digest_algorithm.digest(data), authorities)
    }

    /// As [`Self::verify`], for data whose digest under [`Self::digest_algorithm`] is known.
    pub fn verify_digest(&self, digest: &[u8], authorities: &[Certificate]) -> Result<Timestamp, TspError> {
        if !constant_time_eq(&self.digest, digest) {
            return Err(TspError::OtherData);
        }
        let authority = authorities.iter().find(|candidate| self.is_signed_as(candidate));
        let authority = authority.ok_or(TspError::UnknownAuthority)?;
        if !authority.is_time_stamping() {
            return Err(TspError::NotTimeStamping { subject: authority.subject().to_string() });
        }
        verify_chain(authority, &[], std::slice::from_ref(authority), self.time).map_err(TspError::Authority)?;
        self.check_attributes(authority)?;
        self.check_signature(authority)?;
        Ok(self.time)
    }

    fn is_signed_as(&self, candidate: &Certificate) -> bool {
        match &self.signer.id {
            SignerId::IssuerAndSerial(id) => {
                id.issuer == *candidate.issuer().inner() && significant(id.serial.as_bytes()) == candidate.serial()
            }
            SignerId::KeyId(id) => candidate.subject_key_id() == Some(id.0.as_bytes()),
        }
    }

    /// RFC 5652 §5.4 and §11, RFC 5816 §2.2: content type, digest of the content, and the very certificate.
    fn check_attributes(&self, authority: &Certificate) -> Result<(), TspError> {
        let content_type: ObjectIdentifier = self
            .attribute(OID_CONTENT_TYPE)?
            .and_then(|value| value.decode_as().ok())
            .ok_or(TspError::BadSignature("content type"))?;
        if content_type != OID_TST_INFO {
            return Err(TspError::BadSignature("content type"));
        }
        let function =
            DigestAlgorithm::from_oid(&self.signer.digest.oid).filter(|found| *found != DigestAlgorithm::Sha1);
        let function = function.ok_or(TspError::Digest)?;
        let expected: Option<OctetString> =
            self.attribute(OID_MESSAGE_DIGEST)?.and_then(|value| value.decode_as().ok());
        let fits = expected.is_some_and(|expected| constant_time_eq(expected.as_bytes(), &function.digest(&self.info)));
        if !fits {
            return Err(TspError::BadSignature("digest of the content"));
        }
        let (value, default) = match self.attribute(OID_SIGNING_CERTIFICATE_V2)? {
            Some(value) => (Some(value), DigestAlgorithm::Sha256),
            None => (self.attribute(OID_SIGNING_CERTIFICATE)?, DigestAlgorithm::Sha1),
        };
        let value: Option<asn1::SigningCertificate> = value.and_then(|value| value.decode_as().ok());
        let id = value.and_then(|value| value.certificates.into_iter().next());
        let id = id.ok_or(TspError::BadSignature("signing certificate"))?;
        let function = id.algorithm.map_or(Some(default), |algorithm| DigestAlgorithm::from_oid(&algorithm.oid));
        let function = function.ok_or(TspError::Digest)?;
        if !constant_time_eq(id.digest.as_bytes(), &function.digest(authority.der())) {
            return Err(TspError::BadSignature("signing certificate"));
        }
        Ok(())
    }

    fn check_signature(&self, authority: &Certificate) -> Result<(), TspError> {
        let attributes = self.signer.signed_attributes.as_ref().ok_or(TspError::BadSignature("signed attributes"))?;
        let attributes = attributes.to_der().map_err(malformed_token)?;
        let algorithm = if self.signer.algorithm.oid == OID_RSA_ENCRYPTION {
            match DigestAlgorithm::from_oid(&self.signer.digest.oid) {
                Some(DigestAlgorithm::Sha256) => Some(SignatureAlgorithm::RsaPkcs1Sha256),
                Some(DigestAlgorithm::Sha384) => Some(SignatureAlgorithm::RsaPkcs1Sha384),
                Some(DigestAlgorithm::Sha512) => Some(SignatureAlgorithm::RsaPkcs1Sha512),
                Some(DigestAlgorithm::Sha1) | None => None,
            }
        } else {
            SignatureAlgorithm::from_identifier(&self.signer.algorithm)
        };
        let algorithm = algorithm.ok_or(TspError::BadSignature("unknown or weak algorithm"))?;
        let verdict = authority.public_key().verify(algorithm, &attributes, self.signer.signature.as_bytes());
        verdict.map_err(|_| TspError::BadSignature("signature"))
    }

    /// The only value of a signed attribute; twice the same attribute or two values are refused (RFC 5652 §11).
    fn attribute(&self, oid: ObjectIdentifier) -> Result<Option<&Any>, TspError> {
        let attributes = self.signer.signed_attributes.as_ref().map(SetOfVec::as_slice).unwrap_or_default();
        let mut found = attributes.iter().filter(|attribute| attribute.oid == oid);
        match (found.next(), found.next()) {
            (None, _) => Ok(None),
            (Some(attribute), None) if attribute.values.len() == 1 => Ok(attribute.values.get(0)),
            _ => Err(TspError::BadSignature("repeated attribute")),
        }
    }
}

fn attribute(oid: ObjectIdentifier, value: &impl Encode) -> der::Result<Attribute> {
    let value = Any::from_der(&value.to_der()?)?;
    Ok(Attribute { oid, values: SetOfVec::try_from(vec![value])? })
}

fn checked_digest(imprint: &MessageImprint) -> Result<DigestAlgorithm, TspError> {
    DigestAlgorithm::from_oid(&imprint.algorithm.oid)
        .filter(|digest| *digest != DigestAlgorithm::Sha1 && imprint.digest.as_bytes().len() == digest.output_len())
        .ok_or(TspError::Digest)
}

fn malformed_token(reason: impl std::fmt::Display) -> TspError {
    TspError::Malformed { what: "token", reason: reason.to_string() }
}

#[cfg(test)]
mod tests;
