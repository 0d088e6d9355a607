//! The signed directory: what a configuration source serves at `/internalconf` and `/externalconf` (PR-GCONF §2.3, §2.4).
//!
//! ```text
//! multipart/related
//!   multipart/mixed                       its body, byte for byte, is what is signed
//!     Expire-date, Version                (headers only)
//!     for each file: Content-identifier, Content-location, Hash-algorithm-id; body = base64 digest
//!   application/octet-stream              Signature-algorithm-id, Verification-certificate-hash; body = base64 signature
//! ```

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use civic::{Random, Timestamp, random_hex};
use der::{Decode, Encode};

use crate::digest::{self, DigestAlgorithm};
use crate::keys::{KeyError, PublicKey, SignatureAlgorithm, SigningKey};
use crate::mime::{self, MimeError};

/// The content identifier of `shared-params.xml`.
pub const SHARED_PARAMETERS: &str = "SHARED-PARAMETERS";
/// The content identifier of `private-params.xml`.
pub const PRIVATE_PARAMETERS: &str = "PRIVATE-PARAMETERS";

/// The algorithms that a directory may be signed with. ECDSA signatures are DER here, not r || s as in XML.
pub const SIGNATURE_ALGORITHMS: [SignatureAlgorithm; 10] = [
    SignatureAlgorithm::EcdsaSha256Der,
    SignatureAlgorithm::EcdsaSha384Der,
    SignatureAlgorithm::EcdsaSha512Der,
    SignatureAlgorithm::Ed25519,
    SignatureAlgorithm::RsaPkcs1Sha256,
    SignatureAlgorithm::RsaPkcs1Sha384,
    SignatureAlgorithm::RsaPkcs1Sha512,
    SignatureAlgorithm::RsaPssSha256,
    SignatureAlgorithm::RsaPssSha384,
    SignatureAlgorithm::RsaPssSha512,
];

const BYTES_MAX: usize = 1 << 20;

/// Why a directory is not accepted, or cannot be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// Larger than one MiB.
    #[error("the signed directory is larger than {BYTES_MAX} bytes")]
    TooLarge,
    /// Not the multipart form of PR-GCONF §2.3.
    #[error("the signed directory is malformed: {0}")]
    Malformed(&'static str),
    /// A header is missing or not understood.
    #[error("the signed directory's header {header} is missing or not understood")]
    Header {
        /// Its name.
        header: &'static str,
    },
    /// The signature or digest algorithm is not one of those accepted.
    #[error("the signed directory uses the algorithm `{0}`, which is not accepted")]
    Algorithm(String),
    /// None of the anchor's certificates has the digest that the directory names.
    #[error(
        "the directory is signed with a certificate that the anchor does not hold: get the new anchor from the authority"
    )]
    UnknownSigner,
    /// A certificate cannot be read.
    #[error("a verification certificate is not readable: {0}")]
    Certificate(String),
    /// The signature does not fit the content.
    #[error("the signature of the directory is not valid: it was altered on the way or signed by somebody else")]
    Signature,
    /// Past its expiry: no configuration is better than an old one.
    #[error("the directory expired at {expired}: the source is not generating new ones, or this clock is wrong")]
    Expired {
        /// When it expired.
        expired: Timestamp,
    },
    /// A file is not the one that the directory speaks of.
    #[error("the file {location} is not the one that was signed: its digest differs")]
    Digest {
        /// Where it was fetched from.
        location: String,
    },
    /// The key and the certificate given for signing do not belong together.
    #[error("the verification certificate is for another key than the one that signs")]
    ForeignCertificate,
    /// The signing key failed.
    #[error("the directory could not be signed: {0}")]
    Signing(#[from] KeyError),
}

impl From<MimeError> for DirectoryError {
    fn from(error: MimeError) -> Self {
        Self::Malformed(error.0)
    }
}

/// The table of contents of a configuration: files with their digests, and until when it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// From this moment on it must not be used.
    pub expires: Timestamp,
    /// The version of the configuration, where the source says it.
    pub version: Option<u32>,
    /// The files.
    pub parts: Vec<DirectoryPart>,
}

/// One file of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryPart {
    /// What the file is: [`SHARED_PARAMETERS`], [`PRIVATE_PARAMETERS`] or an optional part.
    pub identifier: String,
    /// The instance that it speaks of; `None` in parts that belong to no instance.
    pub instance: Option<String>,
    /// Its path on the source's host.
    pub location: String,
    /// How it was digested.
    pub hash_algorithm: DigestAlgorithm,
    /// Its digest.
    pub hash: Vec<u8>,
}

impl DirectoryPart {
    /// Describes a file by its SHA-512 digest.
    pub fn of(identifier: &str, instance: &str, location: &str, content: &[u8]) -> Self {
        Self {
            identifier: identifier.to_owned(),
            instance: Some(instance.to_owned()),
            location: location.to_owned(),
            hash_algorithm: DigestAlgorithm::Sha512,
            hash: digest::sha512(content).to_vec(),
        }
    }

    /// Checks that these bytes are the file that was signed.
    pub fn check(&self, content: &[u8]) -> Result<(), DirectoryError> {
        if self.hash_algorithm.digest(content) == self.hash {
            Ok(())
        } else {
            Err(DirectoryError::Digest { location: self.location.clone() })
        }
    }
}

impl Directory {
    /// The part with this identifier for this instance.
    pub fn part(&self, identifier: &str, instance: &str) -> Option<&DirectoryPart> {
        self.parts.iter().find(|part| part.identifier == identifier && part.instance.as_deref() == Some(instance))
    }

    /// Writes and signs the directory. `certificate` (DER) is the one that anchors name. The random bytes only make
    /// boundaries.
    pub fn sign(
        &self,
        key: &SigningKey,
        certificate: &[u8],
        boundaries: &dyn Random,
    ) -> Result<Vec<u8>, DirectoryError> {
        if public_key(certificate)?.spki_der() != key.public().spki_der() {
            return Err(DirectoryError::ForeignCertificate);
        }
        let inner = random_hex::<10>(boundaries);
        let outer = random_hex::<10>(boundaries);
        let signed = self.content(&inner);
        let algorithm = key.default_xml_algorithm().der_form();
        let signature = STANDARD.encode(key.sign(algorithm, signed.as_bytes())?);
        let sha512 = DigestAlgorithm::Sha512;
        let hash = STANDARD.encode(sha512.digest(certificate));
        let text = format!(
            "Content-Type: multipart/related; charset=UTF-8; boundary={outer}\r\n\r\n\
             --{outer}\r\n\
             Content-Type: multipart/mixed; charset=UTF-8; boundary={inner}\r\n\r\n\
             {signed}\r\n\
             --{outer}\r\n\
             Content-Type: application/octet-stream\r\n\
             Content-Transfer-Encoding: base64\r\n\
             Signature-Algorithm-Id: {}\r\n\
             Verification-certificate-hash: {hash}; hash-algorithm-id=\"{}\"\r\n\r\n\
             {signature}\r\n\
             --{outer}--\r\n",
            algorithm.xml_uri(),
            sha512.xml_uri(),
        );
        Ok(text.into_bytes())
    }

    /// Reads a directory and checks that one of these certificates (DER, from the anchor) signed it and that it has not
    /// expired at `at`. Version and instance are the caller's to compare.
    pub fn verify(bytes: &[u8], certificates: &[Vec<u8>], at: Timestamp) -> Result<Self, DirectoryError> {
        if bytes.len() > BYTES_MAX {
            return Err(DirectoryError::TooLarge);
        }
        let (head, body) = mime::headers(bytes)?;
        let outer = boundary(&head, "multipart/related")?;
        let (parts, closed) = mime::parts(body, outer)?;
        let ([content, signature], true) = (parts.as_slice(), closed) else {
            return Err(DirectoryError::Malformed("it has not two parts, or its end is missing"));
        };
        let (content_head, signed) = mime::headers(content)?;
        let inner = boundary(&content_head, "multipart/mixed")?;
        verify_signature(signature, signed, certificates)?;
        let directory = Self::read(signed, inner)?;
        if at >= directory.expires {
            return Err(DirectoryError::Expired { expired: directory.expires });
        }
        Ok(directory)
    }

    fn content(&self, boundary: &str) -> String {
        let mut out = String::with_capacity(1024);
        let expires = Timestamp::from_seconds(self.expires.seconds());
        // Writing to a String cannot fail; the results are dropped for that reason only.
        let _ = write!(out, "--{boundary}\r\nExpire-date: {expires}\r\n");
        if let Some(version) = self.version {
            let _ = write!(out, "Version: {version}\r\n");
        }
        for part in &self.parts {
            let instance = part.instance.as_ref().map(|name| format!("; instance='{name}'")).unwrap_or_default();
            let _ = write!(
                out,
                "\r\n--{boundary}\r\n\
                 Content-type: application/octet-stream\r\n\
                 Content-transfer-encoding: base64\r\n\
                 Content-identifier: {}{instance}\r\n\
                 Content-location: {}\r\n\
                 Hash-algorithm-id: {}\r\n\r\n{}",
                part.identifier,
                part.location,
                part.hash_algorithm.xml_uri(),
                STANDARD.encode(&part.hash),
            );
        }
        let _ = write!(out, "\r\n--{boundary}--\r\n");
        out
    }

    fn read(signed: &[u8], boundary: &str) -> Result<Self, DirectoryError> {
        // X-Road's own samples leave the closing boundary of this inner multipart out; the signature covers its end.
        let (parts, _) = mime::parts(signed, boundary)?;
        let (first, files) = parts.split_first().ok_or(DirectoryError::Malformed("it is empty"))?;
        let (head, _) = mime::headers(first)?;
        let expires = head.get("expire-date").and_then(|text| Timestamp::parse_rfc3339(text).ok());
        let version = match head.get("version") {
            Some(text) => Some(text.parse().map_err(|_| DirectoryError::Header { header: "Version" })?),
            None => None,
        };
        Ok(Self {
            expires: expires.ok_or(DirectoryError::Header { header: "Expire-date" })?,
            version,
            parts: files.iter().map(|file| read_part(file)).collect::<Result<_, _>>()?,
        })
    }
}

fn read_part(bytes: &[u8]) -> Result<DirectoryPart, DirectoryError> {
    let (head, body) = mime::headers(bytes)?;
    let header = |header| DirectoryError::Header { header };
    let (identifier, instance) =
        head.with_parameter("content-identifier", "instance").ok_or(header("Content-identifier"))?;
    let location = head.get("content-location").filter(|location| location.starts_with('/'));
    let algorithm = head.get("hash-algorithm-id").ok_or(header("Hash-algorithm-id"))?;
    if !head.get("content-transfer-encoding").is_some_and(|encoding| encoding.eq_ignore_ascii_case("base64")) {
        return Err(header("Content-transfer-encoding"));
    }
    Ok(DirectoryPart {
        identifier: identifier.to_owned(),
        instance: instance.map(str::to_owned),
        location: location.ok_or(header("Content-location"))?.to_owned(),
        hash_algorithm: digest_algorithm(algorithm)?,
        hash: base64_body(body)?,
    })
}

fn verify_signature(part: &[u8], signed: &[u8], certificates: &[Vec<u8>]) -> Result<(), DirectoryError> {
    let (head, body) = mime::headers(part)?;
    let header = |header| DirectoryError::Header { header };
    let uri = head.get("signature-algorithm-id").ok_or(header("Signature-algorithm-id"))?;
    let algorithm = SignatureAlgorithm::from_xml_uri(uri)
        .map(SignatureAlgorithm::der_form)
        .filter(|algorithm| SIGNATURE_ALGORITHMS.contains(algorithm))
        .ok_or_else(|| DirectoryError::Algorithm(cut(uri)))?;
    let name = "Verification-certificate-hash";
    let Some((hash, Some(hash_algorithm))) = head.with_parameter("verification-certificate-hash", "hash-algorithm-id")
    else {
        return Err(header(name));
    };
    let hash = STANDARD.decode(hash).map_err(|_| header(name))?;
    let hash_algorithm = digest_algorithm(hash_algorithm)?;
    let certificate = certificates
        .iter()
        .find(|certificate| hash_algorithm.digest(certificate) == hash)
        .ok_or(DirectoryError::UnknownSigner)?;
    let signature = base64_body(body)?;
    public_key(certificate)?.verify(algorithm, signed, &signature).map_err(|_| DirectoryError::Signature)
}

fn boundary<'h>(head: &'h mime::Headers, kind: &'static str) -> Result<&'h str, DirectoryError> {
    match head.with_parameter("content-type", "boundary") {
        Some((found, Some(boundary))) if found.eq_ignore_ascii_case(kind) => Ok(boundary),
        _ => Err(DirectoryError::Header { header: "Content-Type" }),
    }
}

/// SHA-1 could be collided: no file and no certificate is named by it.
fn digest_algorithm(uri: &str) -> Result<DigestAlgorithm, DirectoryError> {
    DigestAlgorithm::from_xml_uri(uri)
        .filter(|algorithm| *algorithm != DigestAlgorithm::Sha1)
        .ok_or_else(|| DirectoryError::Algorithm(cut(uri)))
}

fn base64_body(body: &[u8]) -> Result<Vec<u8>, DirectoryError> {
    let text: Vec<u8> = body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(text).map_err(|_| DirectoryError::Malformed("a body is not base64"))
}

fn public_key(certificate: &[u8]) -> Result<PublicKey, DirectoryError> {
    let unreadable = |error: der::Error| DirectoryError::Certificate(error.to_string());
    let certificate = x509_cert::Certificate::from_der(certificate).map_err(unreadable)?;
    let spki = certificate.tbs_certificate().subject_public_key_info().to_der().map_err(unreadable)?;
    PublicKey::from_spki_der(&spki).map_err(|error| DirectoryError::Certificate(error.to_string()))
}

fn cut(text: &str) -> String {
    text.chars().take(96).collect()
}
