use std::path::PathBuf;

use civic::{ClientId, IdError, MemberId, ServerId, Timestamp};
use store::StoreError;
use trust::cert::CertError;
use trust::globalconf::{DirectoryError, LogsError, ReadError, TrustDirError};
use trust::keys::KeyError;
use trust::mserv::MservError;
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
    /// A certificate of the key directory is out of date, or the clock is wrong.
    #[error("the certificate {path} is valid from {not_before} to {not_after}; check the clock, then make a new key")]
    KeyExpired {
        /// Which file.
        path: PathBuf,
        /// From when.
        not_before: Timestamp,
        /// Until when.
        not_after: Timestamp,
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
    TimeStamp(#[from] TspError),
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
    /// A text holds what no node could read, or nobody see.
    #[error(
        "the {what} holds the character {character} as its character {place}: control characters, and what XML does not know, have no place in the configuration; write it without"
    )]
    Character {
        /// What it is.
        what: &'static str,
        /// The character, as U+000B.
        character: String,
        /// Which one it is, counted from 1.
        place: usize,
    },
    /// What would be signed cannot be read: the registry holds what came in by another way than ours.
    #[error(
        "the new configuration cannot be read back ({part}: {reason}), so it is not signed: nodes go on with the last good one, for as long as this process knows one; put right what it speaks of, with a command or over the API"
    )]
    Unreadable {
        /// Which part of it.
        part: String,
        /// Why not.
        reason: String,
    },
    /// A name or an address does not fit.
    #[error("the {what} has 1 to 255 characters and no control characters{more}")]
    Text {
        /// What it is.
        what: &'static str,
        /// What else holds.
        more: &'static str,
    },
    /// Whoever joins renames nobody.
    #[error(
        "{member} is registered as `{known}`, the request says `{asked}`. Correct one of them: baobab authority add-member {member} NAME"
    )]
    OtherName {
        /// Who.
        member: MemberId,
        /// The name in the registry.
        known: String,
        /// The name in the request.
        asked: String,
    },
    /// The node is not registered.
    #[error("the node {0} is not registered; register its authentication certificate first")]
    UnknownServer(ServerId),
    /// Nothing of that kind has that name.
    #[error("there is no {what} `{id}`")]
    Unknown {
        /// Of which kind.
        what: &'static str,
        /// Its name.
        id: String,
    },
    /// Another request asks for the same.
    #[error("request {0} about the same waits for a decision; wait for it, or take it back")]
    RequestExists(i64),
    /// A request that was decided.
    #[error("request {id} is {state}: it cannot be decided again")]
    NotPending {
        /// Its number.
        id: i64,
        /// Where it stands.
        state: &'static str,
    },
    /// A certificate speaks for one node.
    #[error("the authentication certificate is registered for {0} already; make a new key and certificate")]
    CertificateOfOther(ServerId),
    /// The client is at the node already.
    #[error("{client} is a client of {server} already")]
    AlreadyClient {
        /// The client.
        client: String,
        /// The node.
        server: String,
    },
    /// The client is not at the node.
    #[error("{client} is no client of {server}; register it there first")]
    NotClient {
        /// The client.
        client: String,
        /// The node.
        server: String,
    },
    /// Neither registered nor asked for.
    #[error("at {server} there is nothing registered or waiting that this request takes back")]
    NotRegistered {
        /// The node.
        server: ServerId,
    },
    /// The management service must go on.
    #[error("{0} provides the management services: without it no node could be registered any more")]
    ManagementService(ClientId),
    /// The new owner does not fit.
    #[error("{client} cannot become the owner: {reason}")]
    NewOwner {
        /// Who.
        client: ClientId,
        /// Why not.
        reason: &'static str,
    },
    /// Others need it.
    #[error("{what} cannot be removed while {by} uses it")]
    InUse {
        /// What.
        what: String,
        /// Who uses it.
        by: String,
    },
    /// A request without certificate.
    #[error("the request names no readable authentication certificate")]
    NoCertificate,
    /// A request without address.
    #[error("the request names no address of the node")]
    NoAddress,
    /// Settings that cannot be used.
    #[error("these settings cannot be used: {0}")]
    Settings(String),
    /// A management request is refused.
    #[error(transparent)]
    Management(#[from] MservError),
    /// An anchor cannot be read.
    #[error("the anchor cannot be used: {0}")]
    Anchor(#[from] ReadError),
    /// A list of transparency logs cannot be published.
    #[error(transparent)]
    Logs(#[from] LogsError),
    /// Our own configuration cannot be indexed.
    #[error(transparent)]
    Trust(#[from] TrustDirError),
    /// Too many requests.
    #[error("too many requests at once; try again in a minute")]
    TooMany,
    /// The key opens no door.
    #[error("this needs the header `Authorization: X-Road-ApiKey token=…` with a key that is in force")]
    UnknownKey,
    /// The key opens other doors.
    #[error("this needs a key with the role {0}")]
    Role(&'static str),
    /// The rotation of keys has another order.
    #[error("the signing key {key} cannot be {wish}: {reason}")]
    Rotation {
        /// Its generation.
        key: u32,
        /// What was asked.
        wish: &'static str,
        /// Why not.
        reason: &'static str,
    },
    /// A stored row cannot be read: the database was changed by other hands.
    #[error("a row of the registry cannot be read: {0}")]
    Row(#[from] IdError),
    /// The work was stopped with the process.
    #[error("the authority is shutting down")]
    Stopped,
}
