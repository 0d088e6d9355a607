//! The body of a message between nodes (PR-MESSTRANSP §3; facts §1.4): multipart/mixed, parts strictly in order. No I/O.
//!
//! A message is REST (a header part, perhaps a body) or SOAP (a SOAP message, perhaps attachments in a nested multipart); the body of a
//! REST message is its only attachment, and is signed as such.
//!
//! [`write()`] lays an [`Envelope`] down, [`EnvelopeWriter`] one that is still being made; [`EnvelopeReader`] takes the bytes as they come
//! from the wire, in any slices, keeps no more in memory than its [`Limits`] allow and yields an [`Envelope`] or the fault that the peer
//! sent instead of (or after a part of) its message.

mod assembly;
mod multipart;
mod soap_fault;
mod writer;

pub use assembly::EnvelopeReader;
pub use multipart::{Event, MultipartReader, PartHeaders};
pub use soap_fault::{read_fault, write_fault};
pub(crate) use writer::write_parts;
pub use writer::{EnvelopeWriter, boundary, content_type, write};

use bytes::Bytes;
use trust::digest::DigestAlgorithm;

use crate::fault::Fault;
use crate::spool::{Body, SpoolError};

/// Media type of the OCSP responses in a message.
pub const OCSP_RESPONSE: &str = "application/ocsp-response";
/// Media type of the header part of a request.
pub const REST_REQUEST: &str = "application/x-road-rest-request";
/// Media type of the header part of an answer.
pub const REST_RESPONSE: &str = "application/x-road-rest-response";
/// Media type of the body.
pub const REST_BODY: &str = "application/x-road-rest-body";
/// Media type of what is signed in a batch.
pub const HASH_CHAIN_RESULT: &str = "application/hash-chain-result";
/// Media type of the way from the message to what is signed.
pub const HASH_CHAIN: &str = "application/hash-chain";
/// Media type of the signature.
pub const SIGNATURE: &str = "signature/bdoc-1.0/ts";
/// Media type of a SOAP message, and of a fault.
pub const TEXT_XML: &str = "text/xml";
/// Media type of a SOAP message whose attachments are referred to from within (MTOM).
pub const XOP_XML: &str = "application/xop+xml";

/// The header that names the algorithm by which the parts of a message were digested (CODE: `MimeUtils.HEADER_HASH_ALGO_ID`).
pub const HASH_ALGORITHM: &str = "x-hash-algorithm";
/// Our own header: by what else than SHA-512 a node wants messages digested (docs/decisions/0029). Other nodes pass over it.
pub const ACCEPTED_HASH_ALGORITHM: &str = "x-accept-hash-algorithm";
/// What we say in it.
pub const ACCEPTED_HASH: DigestAlgorithm = DigestAlgorithm::Sha256;

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// From the node of the caller.
    Request,
    /// From the node of the provider.
    Response,
}

/// The parts of a batch signature that stand beside the XML signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchParts {
    /// The hash chain result: the file that is signed.
    pub result: Bytes,
    /// The hash chain of this message.
    pub chain: Bytes,
}

/// The first part of a message after the OCSP responses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The header part of REST.
    Rest(Bytes),
    /// A SOAP message.
    Soap {
        /// Its Content-Type, with parameters.
        content_type: String,
        /// Its other MIME headers.
        headers: Vec<(String, String)>,
        /// The XML, as it is signed.
        bytes: Bytes,
    },
}

/// A body or attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Its MIME headers, the Content-Type among them; the body of a REST message has none.
    pub headers: Vec<(String, String)>,
    /// Its content.
    pub body: Body,
}

/// A whole message between nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// OCSP responses of the authentication certificate chain (requests only).
    pub ocsp: Vec<Bytes>,
    /// The message: what is signed as `message.xml`.
    pub message: Message,
    /// The body of a REST message, or the attachments of a SOAP message: signed as `attachment1` and so on. They may be empty.
    pub attachments: Vec<Attachment>,
    /// Set for a batch signature.
    pub batch: Option<BatchParts>,
    /// The XAdES signature.
    pub signature: Bytes,
}

/// What a peer sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A message. Nothing in it is verified yet.
    Message(Box<Envelope>),
    /// A fault.
    Fault(Fault),
}

/// How large the parts of a message may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// All attachments together, bytes.
    pub body_bytes_max: u64,
    /// Attachments, number.
    pub attachments_max: usize,
    /// A SOAP message without its attachments, bytes.
    pub soap_bytes_max: usize,
    /// OCSP responses in a request, number.
    pub ocsp_parts_max: usize,
    /// One OCSP response, bytes.
    pub ocsp_bytes_max: usize,
    /// A signature, hash chain, hash chain result or fault, bytes.
    pub signature_bytes_max: usize,
}

impl Limits {
    /// The usual limits with this limit on the body.
    pub const fn with_body(body_bytes_max: u64) -> Self {
        Self {
            body_bytes_max,
            attachments_max: 64,
            soap_bytes_max: 16 * 1024 * 1024,
            ocsp_parts_max: 8,
            ocsp_bytes_max: 64 * 1024,
            signature_bytes_max: 256 * 1024,
        }
    }
}

impl Message {
    /// The bytes that are signed.
    pub const fn bytes(&self) -> &Bytes {
        match self {
            Self::Rest(bytes) | Self::Soap { bytes, .. } => bytes,
        }
    }
}

impl Attachment {
    /// The body of a REST message.
    pub fn rest(body: Body) -> Self {
        Self { headers: Vec::new(), body }
    }

    /// The Content-Type; `None` for the body of a REST message.
    pub fn content_type(&self) -> Option<&str> {
        let found = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        match found {
            Some((_, value)) => Some(value),
            None if self.headers.is_empty() => None,
            None => Some("application/octet-stream"),
        }
    }
}

impl Envelope {
    /// The body of a REST message.
    pub fn rest_body(&self) -> Option<&Body> {
        match self.message {
            Message::Rest(_) => self.attachments.first().map(|attachment| &attachment.body),
            Message::Soap { .. } => None,
        }
    }

    /// About how many bytes of it are in memory.
    pub fn memory_bytes(&self) -> usize {
        let attachments: usize = self
            .attachments
            .iter()
            .filter_map(|attachment| attachment.body.memory())
            .map(|body| body.len() + 256)
            .sum();
        let batch = self.batch.as_ref().map_or(0, |batch| batch.result.len() + batch.chain.len() + 256);
        let ocsp: usize = self.ocsp.iter().map(|response| response.len() + 128).sum();
        self.message.bytes().len() + attachments + batch + ocsp + self.signature.len()
    }
}

/// Why bytes are no message between nodes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The Content-Type of the HTTP message is not multipart/mixed with a boundary.
    #[error("the content type must be multipart/mixed with a boundary of 1 to 70 characters")]
    ContentType,
    /// The parts were digested by an algorithm that is weak or unknown.
    #[error("the parts of a message are digested with SHA-512, SHA-384 or SHA-256, not with `{0}`")]
    HashAlgorithm(String),
    /// The multipart structure is broken.
    #[error("the multipart body is malformed: {0}")]
    Multipart(&'static str),
    /// A part has a type that may not stand at its place.
    #[error("a part of type `{found}` may not stand here: {expected} comes next")]
    Order {
        /// The type that came.
        found: String,
        /// The type that should have come.
        expected: &'static str,
    },
    /// A part is larger than its limit.
    #[error("the {part} has more than {bytes_max} bytes")]
    TooLarge {
        /// Which part.
        part: &'static str,
        /// The limit.
        bytes_max: u64,
    },
    /// The message ended early.
    #[error("the message ended before its {0}: the peer broke off")]
    Truncated(&'static str),
    /// The fault is malformed.
    #[error("the fault of the peer cannot be read: {0}")]
    Fault(String),
    /// The body could not be kept.
    #[error("{0}")]
    Spool(String),
}

impl From<SpoolError> for TransportError {
    fn from(error: SpoolError) -> Self {
        Self::Spool(error.to_string())
    }
}

/// The algorithm that [`HASH_ALGORITHM`] names; SHA-512 where a message has no such header.
pub fn hash_algorithm(header: Option<&str>) -> Result<DigestAlgorithm, TransportError> {
    let Some(name) = header else { return Ok(DigestAlgorithm::Sha512) };
    DigestAlgorithm::from_name(name)
        .filter(|algorithm| *algorithm != DigestAlgorithm::Sha1)
        .ok_or_else(|| TransportError::HashAlgorithm(name.chars().take(40).collect()))
}

/// Whether [`ACCEPTED_HASH_ALGORITHM`] names ours.
pub fn accepts_our_hash(header: Option<&str>) -> bool {
    header.is_some_and(|names| names.split(',').any(|name| name.trim() == ACCEPTED_HASH.name()))
}

/// The boundary of a multipart Content-Type.
pub fn boundary_of(content_type: &str) -> Result<&str, TransportError> {
    let mut parts = content_type.split(';');
    let kind = parts.next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("multipart/mixed") && !kind.eq_ignore_ascii_case("multipart/related") {
        return Err(TransportError::ContentType);
    }
    let found = parts
        .filter_map(|part| part.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("boundary"))
        .map(|(_, value)| value.trim().trim_matches('"'))
        .filter(|value| (1..=70).contains(&value.len()) && value.bytes().all(|byte| (0x21..0x7f).contains(&byte)));
    found.ok_or(TransportError::ContentType)
}

#[cfg(test)]
mod tests;
