//! XAdES signatures of messages, in the shape of X-Road (ETSI TS 101 903 v1.3.2, inside `asic:XAdESSignatures`).
//!
//! [`Signer`] makes them. The text is assembled from templates that are already in canonical form, so nothing is parsed
//! or canonicalised while signing: what is digested is the text with the namespaces of the root written in its first tag.
//! [`Signature`] reads one and checks that it is whole in itself; [`Verifier`] judges it with the certificates of the
//! global configuration.
//!
//! What a verified signature means, each a rule with its own [`SignatureError`]:
//! 1. the structure is the one of the profile, every `Id` is unique, and the references lead to what is used (so signed
//!    parts cannot be wrapped into another place);
//! 2. every file that is signed is there with that digest, directly or through the hash chain, and every file that is
//!    there is signed: nothing is left over on either side;
//! 3. the signature value belongs to the signed information and the certificate, and the signed properties name that
//!    certificate;
//! 4. the certificate is for signing, leads to an approved certification service, and an OCSP answer inside the
//!    signature says that it was good at the moment in question;
//! 5. the member in the certificate is the member who speaks in the message.
//!
//! [`Moulds`] know what the signatures of one signer have in common, so that most are read without being parsed.
//!
//! Trusted: the certification services in the global configuration. Not trusted: everything else in the signature.

mod mould;
mod parse;
mod sign;
mod verify;

pub use mould::{Mould, Moulds};
pub use parse::{HashChain, Part, PartContent, Signature, SignedFile};
pub use sign::{DataRef, Signer, with_time_stamp};
pub use verify::{GoodCertificate, Usage, VerifiedSigner, Verifier};

use civic::{ClientId, MemberId};

use crate::cert::CertError;
use crate::hashchain::HashChainError;
use crate::ocsp::{OcspError, OcspStatus};
use crate::xml::XmlError;

/// The container element of signatures (ETSI TS 102 918 V1.2.1).
pub const ASIC_NAMESPACE: &str = "http://uri.etsi.org/02918/v1.2.1#";

/// The same in V1.1.1, which older peers wrote: read, never written.
pub const ASIC_NAMESPACE_V1_1: &str = "http://uri.etsi.org/02918/v1.1.1#";

/// The namespace of qualifying properties.
pub const XADES_NAMESPACE: &str = "http://uri.etsi.org/01903/v1.3.2#";

/// The type of the reference to the signed properties.
pub const SIGNED_PROPERTIES_TYPE: &str = "http://uri.etsi.org/01903#SignedProperties";

/// The name under which a message is signed.
pub const MESSAGE: &str = "/message.xml";

/// The name under which the result of a hash chain is signed.
pub const HASH_CHAIN_RESULT: &str = "/sig-hashchainresult.xml";

/// The name under which the hash chain itself is kept.
pub const HASH_CHAIN: &str = "/sig-hashchain.xml";

/// How many files one signature may refer to, and how many certificates or OCSP answers it may carry.
pub const REFERENCES_MAX: usize = 1_024;
/// How many certificates, OCSP answers or time stamps one signature may carry, each.
pub const VALUES_MAX: usize = 16;

/// Why a signature cannot be made or is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The signature is no XML that we read.
    #[error("malformed signature: {0}")]
    Xml(#[from] XmlError),
    /// An element, attribute or value is missing, unknown or in the wrong place.
    #[error("malformed signature: {0}")]
    Malformed(String),
    /// The same `Id` stands twice: a reference could mean either.
    #[error("malformed signature: the Id `{0}` stands twice")]
    DuplicateId(String),
    /// An algorithm that is unknown, too weak or not allowed in this place.
    #[error("malformed signature: the algorithm `{0}` is not supported here")]
    Algorithm(String),
    /// The hash chain does not lead from the files to what is signed.
    #[error("malformed signature: {0}")]
    HashChain(#[from] HashChainError),
    /// The signature refers to a hash chain that did not come with it, or one came that it does not refer to.
    #[error("malformed signature: {0}")]
    HashChainMisplaced(&'static str),
    /// A file came with the signature but is not covered by it.
    #[error("malformed signature: the file `{0}` is not signed")]
    NotSigned(String),
    /// A file is covered by the signature but did not come with it.
    #[error("malformed signature: the signed file `{0}` is missing")]
    Missing(String),
    /// A file has another digest than the one that was signed.
    #[error("invalid signature value: the digest of `{0}` is not the one that was signed")]
    Digest(String),
    /// The signed properties have another digest than the one that was signed.
    #[error("invalid signature value: the signed properties were altered")]
    SignedProperties,
    /// The signature value does not belong to the signed information and the certificate.
    #[error("invalid signature value: it was not made over this signed information with the key of the certificate")]
    Value,
    /// The signed properties name another certificate than the one in `KeyInfo`.
    #[error("incorrect certificate: the signed properties name another certificate than the one in the signature")]
    SigningCertificate,
    /// The instance of the signer is not in the global configuration.
    #[error("the instance `{0}` is not in the global configuration: no member of it can be verified")]
    UnknownInstance(String),
    /// The certificate cannot be read, is not valid at the moment, or leads to no approved authority.
    #[error("incorrect certificate: {0}")]
    Certificate(#[from] CertError),
    /// The certificate is for something else.
    #[error("incorrect certificate: the certificate of `{subject}` is not for {usage:?} in this federation")]
    Usage {
        /// Whom it names.
        subject: String,
        /// What it was used for.
        usage: Usage,
    },
    /// No OCSP answer about the certificate came with it.
    #[error(
        "no OCSP answer about the certificate of `{subject}` came with it; fetch one from the responder of its authority"
    )]
    NoOcsp {
        /// Whom it names.
        subject: String,
    },
    /// The OCSP answer is refused.
    #[error("incorrect validation information: {0}")]
    Ocsp(#[from] OcspError),
    /// The OCSP answer says that the certificate is revoked or unknown.
    #[error("the certificate of `{subject}` is not good: its authority says {status:?}")]
    NotGood {
        /// Whom it names.
        subject: String,
        /// What the authority says.
        status: OcspStatus,
    },
    /// How the authority writes members into certificates is unknown.
    #[error(
        "the global configuration asks for an unknown certificate profile for the authority `{0}`, so no member can be read from its certificates"
    )]
    Profile(String),
    /// Another member signed than the one who speaks in the message.
    #[error(
        "incorrect certificate: the member in the certificate ({certificate}) is not the one in the message ({message})"
    )]
    Signer {
        /// The member in the certificate.
        certificate: Box<MemberId>,
        /// Who speaks in the message.
        message: Box<ClientId>,
    },
    /// The signing key and algorithm do not suit each other, or the primitive failed.
    #[error("the signature could not be made: {0}")]
    Key(#[from] crate::keys::KeyError),
    /// More files than one signature may cover.
    #[error("a signature covers 1 to {REFERENCES_MAX} files")]
    Count,
}

impl SignatureError {
    /// The code that X-Road peers use for this kind of refusal (lower-case style of 7.8).
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Xml(_)
            | Self::Malformed(_)
            | Self::DuplicateId(_)
            | Self::Algorithm(_)
            | Self::HashChain(_)
            | Self::HashChainMisplaced(_)
            | Self::NotSigned(_)
            | Self::Missing(_) => "malformed_signature",
            Self::Digest(_) | Self::SignedProperties | Self::Value => "invalid_signature_value",
            Self::SigningCertificate | Self::Usage { .. } | Self::Profile(_) | Self::Signer { .. } => {
                "incorrect_certificate"
            }
            Self::Certificate(_) => "invalid_cert_path",
            Self::UnknownInstance(_) => "unknown_instance",
            Self::NoOcsp { .. } | Self::NotGood { .. } => "cert_validation",
            Self::Ocsp(_) => "incorrect_validation_info",
            Self::Key(_) | Self::Count => "cannot_create_signature",
        }
    }
}
