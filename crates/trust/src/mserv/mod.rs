//! Management requests (PR-MSERV): how a node tells the authority of its federation what changed at it.
//!
//! - [`ManagementRequest`]: who asks whom for what; [`ManagementRequest::to_soap`] writes the SOAP message,
//!   [`ManagementRequest::from_soap`] reads it.
//! - [`Envelope`]: that message with signatures, certificates and OCSP answers, as `multipart/related`;
//!   [`Envelope::auth_cert_reg`] and [`Envelope::signed`] make one, [`Envelope::read`] reads it and
//!   [`Envelope::verify`] checks everything that it must prove.
//! - [`read_response`] reads what the authority answers, [`response`] and [`fault`] write it.
//!
//! All but `authCertReg` travel as X-Road messages through the node of the management service; `authCertReg` goes to the
//! authority directly over HTTPS, because a node without a registered certificate cannot send messages.

mod envelope;
mod soap;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use civic::{ClientId, IdError, MemberId, ServerId};

pub use envelope::{Envelope, PartHeaders, PartSignature};
pub use soap::{fault, read_response, response};

use crate::cert::CertError;
use crate::globalconf::TrustDirError;
use crate::keys::KeyError;
use crate::ocsp::OcspError;
use crate::xml::XmlError;

/// The largest management request that is read, in bytes: what X-Road's central server takes.
pub const REQUEST_BYTES_MAX: usize = 100_000;

/// Why a management request or its answer is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MservError {
    /// Over the limit.
    #[error("the management request has {len} bytes; at most {REQUEST_BYTES_MAX} are taken")]
    TooLarge {
        /// Its length in bytes.
        len: usize,
    },
    /// Not well-formed.
    #[error("the SOAP message is not readable: {0}")]
    Xml(#[from] XmlError),
    /// Not the form of PR-MSERV.
    #[error("the management request is malformed: {0}")]
    Malformed(&'static str),
    /// An element that must be there is not.
    #[error("`{parent}` lacks the element `{element}`")]
    Missing {
        /// Where it should stand.
        parent: String,
        /// What is missing.
        element: &'static str,
    },
    /// A service that is none of the management services.
    #[error("`{0}` is no management service")]
    UnknownService(String),
    /// An identifier that this house refuses.
    #[error(transparent)]
    Id(#[from] IdError),
    /// A text of wrong length or with control characters.
    #[error("the {what} has 1 to 255 characters and no control characters")]
    Text {
        /// What it is.
        what: &'static str,
    },
    /// Of another service than the one that was addressed.
    #[error("the request is addressed to {found}; the management service of this federation is {expected}")]
    OtherProvider {
        /// Who was addressed.
        found: String,
        /// Who should be.
        expected: String,
    },
    /// Only the owner of a node speaks for it.
    #[error("the request comes from {sender}, which does not own the node {server}")]
    NotOwner {
        /// Who sent it.
        sender: String,
        /// The node.
        server: String,
    },
    /// Signatures or certificates are missing.
    #[error("the request needs {expected} parts after the SOAP message and has {found}: {what}")]
    Parts {
        /// How many are needed.
        expected: usize,
        /// How many came.
        found: usize,
        /// Which are needed.
        what: &'static str,
    },
    /// The signature algorithm is unknown or too weak.
    #[error("the signature algorithm `{0}` is unknown or too weak; use SHA512withRSA, SHA512withECDSA or better")]
    Algorithm(String),
    /// A signature does not fit.
    #[error("the {whose} signature does not fit the message and the certificate beside it")]
    Signature {
        /// Whose.
        whose: &'static str,
    },
    /// The certificate inside the message is not the one beside it.
    #[error("the authentication certificate in the message is not the one that was sent along")]
    OtherCertificate,
    /// The signing certificate names somebody else.
    #[error("the signing certificate names {found}; {expected} must sign this request")]
    OtherSigner {
        /// Whom it names.
        found: String,
        /// Who must sign.
        expected: String,
    },
    /// No approved authority issued the signing certificate.
    #[error("no approved authority issued the signing certificate of `{subject}`")]
    UnknownIssuer {
        /// Whom it names.
        subject: String,
    },
    /// Revoked, or unknown to its authority.
    #[error("the signing certificate of `{subject}` is not good: {status}")]
    NotGood {
        /// Whom it names.
        subject: String,
        /// What the OCSP answer says.
        status: String,
    },
    /// A certificate is refused.
    #[error(transparent)]
    Certificate(#[from] CertError),
    /// A certificate is not trusted here.
    #[error(transparent)]
    Trust(#[from] TrustDirError),
    /// An OCSP answer is refused.
    #[error("the OCSP answer for the signing certificate: {0}")]
    Ocsp(#[from] OcspError),
    /// A signature could not be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The authority refused.
    #[error("the authority refused ({code}): {text}")]
    Fault {
        /// The fault code, for instance `invalid_request`.
        code: String,
        /// What it says.
        text: String,
    },
    /// The answer belongs to another request.
    #[error("the answer of the authority belongs to another request")]
    OtherRequest,
}

impl MservError {
    /// The fault code that X-Road 7.8 uses for it.
    pub const fn fault_code(&self) -> &'static str {
        match self {
            Self::Signature { .. } | Self::Algorithm(_) => "invalid_signature_value",
            Self::OtherCertificate
            | Self::UnknownIssuer { .. }
            | Self::NotGood { .. }
            | Self::Certificate(_)
            | Self::Trust(_)
            | Self::Ocsp(_) => "cert_validation",
            Self::Xml(_) => "invalid_soap",
            Self::Id(_) => "invalid_client_identifier",
            Self::Key(_) => "internal_error",
            _ => "invalid_request",
        }
    }
}

/// A request to the authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagementRequest {
    /// The message id; the answer repeats it.
    pub id: String,
    /// Who asks: the member that owns the node.
    pub sender: ClientId,
    /// Who provides the management services of the federation, from its private parameters.
    pub provider: ClientId,
    /// On whose behalf, where it is said (`userId`).
    pub user: Option<String>,
    /// Which case it belongs to, where it is said (`issue`).
    pub issue: Option<String>,
    /// What is asked.
    pub command: Command,
}

/// What a node asks the authority for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Registers an authentication certificate, and with the first one the node.
    AuthCertReg {
        /// The node.
        server: ServerId,
        /// Where other nodes reach it; host, or host and port.
        address: Option<String>,
        /// The certificate, DER.
        auth_cert: Vec<u8>,
        /// Whether it is only to be checked (X-Road 7.8).
        dry_run: bool,
    },
    /// Takes an authentication certificate back.
    AuthCertDeletion {
        /// The node.
        server: ServerId,
        /// The certificate, DER.
        auth_cert: Vec<u8>,
    },
    /// Registers a client at the node; with it its subsystem.
    ClientReg {
        /// The node.
        server: ServerId,
        /// The client.
        client: ClientId,
        /// The name of its subsystem, for people.
        subsystem_name: Option<String>,
    },
    /// Takes a client from the node.
    ClientDeletion {
        /// The node.
        server: ServerId,
        /// The client.
        client: ClientId,
    },
    /// Gives the node to another member, which must be its client already.
    OwnerChange {
        /// The node.
        server: ServerId,
        /// The new owner.
        client: ClientId,
    },
    /// Changes where the node is reached.
    AddressChange {
        /// The node.
        server: ServerId,
        /// The new address.
        address: String,
    },
    /// Stops a client for a time.
    ClientDisable {
        /// The node.
        server: ServerId,
        /// The client.
        client: ClientId,
    },
    /// Lets a stopped client go on.
    ClientEnable {
        /// The node.
        server: ServerId,
        /// The client.
        client: ClientId,
    },
    /// Renames a subsystem.
    ClientRename {
        /// The node.
        server: ServerId,
        /// The client.
        client: ClientId,
        /// Its new name.
        subsystem_name: String,
    },
    /// Says that the node is under maintenance.
    MaintenanceModeEnable {
        /// The node.
        server: ServerId,
        /// A message for those who call it.
        message: Option<String>,
    },
    /// Says that the maintenance is over.
    MaintenanceModeDisable {
        /// The node.
        server: ServerId,
    },
}

impl Command {
    /// The service code.
    pub const fn service(&self) -> &'static str {
        match self {
            Self::AuthCertReg { .. } => "authCertReg",
            Self::AuthCertDeletion { .. } => "authCertDeletion",
            Self::ClientReg { .. } => "clientReg",
            Self::ClientDeletion { .. } => "clientDeletion",
            Self::OwnerChange { .. } => "ownerChange",
            Self::AddressChange { .. } => "addressChange",
            Self::ClientDisable { .. } => "clientDisable",
            Self::ClientEnable { .. } => "clientEnable",
            Self::ClientRename { .. } => "clientRename",
            Self::MaintenanceModeEnable { .. } => "maintenanceModeEnable",
            Self::MaintenanceModeDisable { .. } => "maintenanceModeDisable",
        }
    }

    /// The node that it is about.
    pub const fn server(&self) -> &ServerId {
        match self {
            Self::AuthCertReg { server, .. }
            | Self::AuthCertDeletion { server, .. }
            | Self::ClientReg { server, .. }
            | Self::ClientDeletion { server, .. }
            | Self::OwnerChange { server, .. }
            | Self::AddressChange { server, .. }
            | Self::ClientDisable { server, .. }
            | Self::ClientEnable { server, .. }
            | Self::ClientRename { server, .. }
            | Self::MaintenanceModeEnable { server, .. }
            | Self::MaintenanceModeDisable { server } => server,
        }
    }

    /// The client that it is about.
    pub const fn client(&self) -> Option<&ClientId> {
        match self {
            Self::ClientReg { client, .. }
            | Self::ClientDeletion { client, .. }
            | Self::OwnerChange { client, .. }
            | Self::ClientDisable { client, .. }
            | Self::ClientEnable { client, .. }
            | Self::ClientRename { client, .. } => Some(client),
            _ => None,
        }
    }

    /// The member whose key must sign the message beside the signature that every X-Road message has; `None` where the
    /// X-Road message is enough (X-Road's code: the two deletions).
    pub const fn signer(&self) -> Option<&MemberId> {
        match self {
            Self::AuthCertDeletion { .. } | Self::ClientDeletion { .. } => None,
            Self::ClientReg { client, .. }
            | Self::OwnerChange { client, .. }
            | Self::ClientDisable { client, .. }
            | Self::ClientEnable { client, .. }
            | Self::ClientRename { client, .. } => Some(client.member()),
            Self::AuthCertReg { server, .. }
            | Self::AddressChange { server, .. }
            | Self::MaintenanceModeEnable { server, .. }
            | Self::MaintenanceModeDisable { server } => Some(server.owner()),
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} for {}", self.service(), self.server())?;
        self.client().map_or(Ok(()), |client| write!(formatter, ", client {client}"))
    }
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let text: String = text.chars().filter(|character| !character.is_ascii_whitespace()).collect();
    STANDARD.decode(text).ok()
}
