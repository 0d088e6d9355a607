//! Hash chains: one signature or one time stamp for many files (namespace `http://cyber.ee/hashchain`).
//!
//! Several messages, each with its attachments, become the leaves of a binary tree of digests. The root goes into a
//! *hash chain result*, which is what is signed or stamped; each message keeps its own *hash chain*, the path from its
//! files to the root. A step over the digests `d1 … dn` is the digest of the DER
//! `SEQUENCE { single(d1) … single(dn) }`, where `single(d)` is
//! `SEQUENCE { OCTET STRING d, UTF8String digest-method-URI, SEQUENCE {} }`.
//!
//! [`build`] makes them, [`verify`] checks them. `verify` is stricter than X-Road's own verifier: every step must be
//! reached exactly once from the result, every file may stand in the chain once, and nothing may be left over.
//!
//! ```
//! use trust::digest::{DigestAlgorithm, sha512};
//! use trust::hashchain::{Data, Files, build, verify};
//!
//! let (message, attachment) = (sha512(b"message").to_vec(), sha512(b"attachment").to_vec());
//! let batch = build(DigestAlgorithm::Sha512, Files::SIGNATURE, &[vec![message.clone(), attachment.clone()]]).unwrap();
//! let files = verify(batch.result.as_bytes(), "/sig-hashchain.xml", batch.chains[0].as_bytes(), |name| match name {
//!     "/message.xml" => Data::Digest(DigestAlgorithm::Sha512, message.clone()),
//!     "/attachment1" => Data::Digest(DigestAlgorithm::Sha512, attachment.clone()),
//!     _ => Data::Unknown,
//! })
//! .unwrap();
//! assert_eq!(files.len(), 2);
//! ```

mod plain;
mod tree;
mod verify;

pub use plain::Plain;
pub use tree::{Batch, Files, Way, Ways, build};
pub use verify::{Data, DataFile, verify};

/// The namespace of hash chains and their results.
pub const NAMESPACE: &str = "http://cyber.ee/hashchain";

/// How many messages one batch may have.
pub const MESSAGES_MAX: usize = 65_536;

/// How many files one message may have: itself and its attachments.
pub const FILES_MAX: usize = 1_024;

/// Why a hash chain cannot be made or is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HashChainError {
    /// A batch needs messages, a message needs files, and both have limits.
    #[error("a hash chain needs 1 to {MESSAGES_MAX} messages of 1 to {FILES_MAX} files, and more than one file in all")]
    Count,
    /// A digest whose length is not that of the algorithm.
    #[error("a digest of {found} bytes was given where {algorithm} has {expected}")]
    DigestLength {
        /// The algorithm.
        algorithm: crate::digest::DigestAlgorithm,
        /// The length it makes.
        expected: usize,
        /// The length that came.
        found: usize,
    },
    /// The hash chain or its result is no XML that we read.
    #[error("the hash chain cannot be read: {0}")]
    Xml(#[from] crate::xml::XmlError),
    /// An element, attribute or value is missing, unknown or in the wrong place.
    #[error("malformed hash chain: {0}")]
    Malformed(String),
    /// A digest method or transform that is not supported.
    #[error("the hash chain uses the algorithm `{0}`, which is not supported")]
    Algorithm(String),
    /// A reference that leads nowhere: a step that does not exist or a file that is not there.
    #[error("the hash chain refers to `{0}`, which is not there")]
    Unresolved(String),
    /// The file has another digest than the chain says: the file or the chain was altered.
    #[error("invalid hash chain reference: the digest of `{0}` is not the one in the hash chain")]
    Reference(String),
    /// The same step or file is referred to twice.
    #[error("the hash chain refers to `{0}` more than once")]
    Repeated(String),
    /// Steps that nothing refers to.
    #[error("the hash chain has steps that the signed result does not reach: `{0}`")]
    Leftover(String),
    /// The chain does not lead to the signed or stamped result.
    #[error("the hash chain does not lead to the digest in its result")]
    Result,
}

/// DER of one digest inside a step.
fn push_single(algorithm: crate::digest::DigestAlgorithm, digest: &[u8], out: &mut Vec<u8>) {
    let uri = algorithm.xml_uri().as_bytes();
    let length = der_length(digest.len()) + digest.len() + der_length(uri.len()) + uri.len() + 2;
    der_header(0x30, length, out);
    der_header(0x04, digest.len(), out);
    out.extend_from_slice(digest);
    der_header(0x0C, uri.len(), out);
    out.extend_from_slice(uri);
    der_header(0x30, 0, out);
}

/// DER of a step: the list of its digests.
fn step(singles: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(singles.len() + 6);
    der_header(0x30, singles.len(), &mut out);
    out.extend_from_slice(singles);
    out
}

/// Length of tag and length bytes before so many bytes of content.
const fn der_length(content: usize) -> usize {
    match content {
        0..=0x7F => 2,
        0x80..=0xFF => 3,
        0x100..=0xFFFF => 4,
        _ => 5,
    }
}

fn der_header(tag: u8, length: usize, out: &mut Vec<u8>) {
    out.push(tag);
    let [.., high, middle, low] = length.to_be_bytes();
    match der_length(length) {
        2 => out.push(low),
        3 => out.extend_from_slice(&[0x81, low]),
        4 => out.extend_from_slice(&[0x82, middle, low]),
        _ => out.extend_from_slice(&[0x83, high, middle, low]),
    }
}
