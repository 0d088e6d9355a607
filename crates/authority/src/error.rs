use std::path::PathBuf;

use civic::{ClientId, IdError, MemberId, ServerId};
use store::StoreError;
use trust::cert::CertError;
use trust::globalconf::DirectoryError;
use trust::keys::KeyError;
use trust::ocsp::OcspError;
use trust::tsp::TspError;

/// Why the authority refuses, or cannot do, what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of the key directory is missing, unreadable or badly protected.
    #[error("the key file {path}: {reason}")]
    KeyFile {
        /// Which file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A key could not be made or used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A certificate or request is refused.
    #[error(transparent)]
    Certificate(#[from] CertError),
    /// An OCSP answer could not be made.
    #[error(transparent)]
    Ocsp(#[from] OcspError),
    /// A time stamp could not be made.
    #[error(transparent)]
    Timestamp(#[from] TspError),
    /// The signed directory could not be made.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The identifier belongs to another federation.
    #[error("`{id}` is not of the instance {instance}, which this authority governs")]
    ForeignInstance {
        /// The identifier.
        id: String,
        /// Our instance.
        instance: String,
    },
    /// The member class is not one of the federation's.
    #[error("the member class `{class}` does not exist here; the classes are: {known}")]
    UnknownClass {
        /// The class asked for.
        class: String,
        /// The classes of the federation.
        known: String,
    },
    /// The member is not registered.
    #[error("the member {0} is not registered; register it first")]
    UnknownMember(MemberId),
    /// The member or subsystem is not registered.
    #[error("the client {0} is not registered; register the member and the subsystem first")]
    UnknownClient(ClientId),
    /// The certificate was not issued by this authority, or for another use or node.
    #[error(
        "the certificate is not an authentication certificate that this authority issued to {0} and that is in force"
    )]
    NotAuthOf(ServerId),
    /// No certificate of ours has this serial number.
    #[error("no certificate with the serial number {0} was issued here")]
    UnknownSerial(String),
    /// An authentication certificate names the owner of the node, nobody else.
    #[error("the authentication certificate of {server} names its owner, not {member}")]
    NotOwner {
        /// The node.
        server: String,
        /// The member asked for.
        member: String,
    },
    /// A name or an address does not fit.
    #[error("the {what} has 1 to 255 characters and no control characters{more}")]
    Text {
        /// What it is.
        what: &'static str,
        /// What else holds.
        more: &'static str,
    },
    /// A stored row cannot be read: the database was changed by other hands.
    #[error("a row of the registry cannot be read: {0}")]
    Row(#[from] IdError),
    /// The work was stopped with the process.
    #[error("the authority is shutting down")]
    Stopped,
}
