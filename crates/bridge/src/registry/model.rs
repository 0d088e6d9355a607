//! The nouns of the registry: clients, services, endpoints, rights, groups.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use civic::{ClientId, ServiceId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::access::Endpoint;
use crate::config::{ServiceBasis, SubjectRule};

/// The longest answer time that a service may be given, as in X-Road (1000 s).
pub const TIMEOUT_MAX: Duration = Duration::from_secs(1_000);

/// A subsystem that this node serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSettings {
    /// Its id.
    pub id: ClientId,
    /// How its information systems connect.
    pub connection: Connection,
    /// What the message log keeps of its exchanges.
    pub log_mode: LogMode,
    /// Whether it is in use.
    pub status: ClientStatus,
    /// A name for people.
    pub name: Option<String>,
    /// Whether the configuration of the node declares it.
    pub declared: bool,
}

/// How information systems of a client connect to the node (facts §1.1: HTTP 8080, HTTPS 8443).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Plain HTTP, and HTTPS.
    Http,
    /// HTTPS; a client certificate is not asked for.
    HttpsNoAuth,
    /// HTTPS with one of these client certificates (DER), whole and in this list only.
    HttpsAuth {
        /// The certificates that are let in.
        certificates: Arc<[Vec<u8>]>,
    },
}

/// The kind of a connection, without its certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConnectionType {
    /// Plain HTTP.
    #[serde(rename = "HTTP")]
    Http,
    /// HTTPS without a client certificate.
    #[serde(rename = "HTTPS_NO_AUTH")]
    HttpsNoAuth,
    /// HTTPS with a client certificate.
    #[serde(rename = "HTTPS")]
    Https,
}

/// What the message log keeps of the exchanges of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogMode {
    /// Messages whole, with signatures: evidence can be exported.
    #[default]
    Full,
    /// Who, what, when.
    Metadata,
    /// Nothing.
    None,
}

/// The life of a client at this node; the words are X-Road's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ClientStatus {
    /// Entered here, not yet asked to be registered.
    Saved,
    /// The authority was asked.
    RegistrationInProgress,
    /// In use, once the global configuration names it too.
    Registered,
    /// The authority was asked to take it out.
    DeletionInProgress,
    /// Switched off: it neither calls nor answers.
    Disabled,
    /// Switched off here; the authority was asked to take it out of the configuration for a time.
    DisablingInProgress,
    /// The authority was asked to let it go on.
    EnablingInProgress,
}

/// What kind of description a service comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ServiceKind {
    /// REST, known by its base address only.
    #[serde(rename = "REST")]
    Rest,
    /// REST, described by OpenAPI 3.
    #[serde(rename = "OPENAPI3")]
    OpenApi,
    /// SOAP, described by WSDL.
    #[serde(rename = "WSDL")]
    Soap,
}

/// A service that the node offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its number in the registry.
    pub number: i64,
    /// The number of the description that brings it.
    pub description_number: i64,
    /// Its id, without version.
    pub id: ServiceId,
    /// Its kind.
    pub kind: ServiceKind,
    /// The version of a SOAP service, where it has one.
    pub version: Option<String>,
    /// A title for people.
    pub title: Option<String>,
    /// Where the information system answers; of REST services path and query of the request are appended.
    pub base_url: String,
    /// Whether the TLS certificate of the information system is verified.
    pub tls_verify: bool,
    /// It must answer within this time.
    pub timeout: Duration,
    /// Why its data may be given.
    pub basis: ServiceBasis,
    /// Whom its data are about.
    pub subject: SubjectRule,
    /// The names of the data that an answer on a legal basis holds.
    pub fields: Vec<String>,
    /// The text of its OpenAPI or WSDL description.
    pub description: Option<Arc<str>>,
    /// Its endpoints that rights may be given to.
    pub endpoints: Vec<NumberedEndpoint>,
    /// Whether it answers.
    pub enabled: bool,
    /// What callers are told while it does not.
    pub disabled_notice: Option<String>,
}

/// An endpoint with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberedEndpoint {
    /// The number.
    pub number: i64,
    /// Method and path.
    pub endpoint: Endpoint,
    /// Whether it comes from the description.
    pub generated: bool,
}

/// A description with what it brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its number.
    pub number: i64,
    /// The client that offers its services.
    pub client: ClientId,
    /// Its kind.
    pub kind: ServiceKind,
    /// Where it is read from.
    pub url: String,
    /// Its text; none of plain REST.
    pub text: Option<Arc<str>>,
    /// Whether its services answer.
    pub enabled: bool,
    /// What callers are told while they do not.
    pub disabled_notice: Option<String>,
    /// When its text was read last.
    pub refreshed: Timestamp,
    /// Whether the configuration of the node declares it.
    pub declared: bool,
}

/// A local group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalGroup {
    /// Its number.
    pub number: i64,
    /// The client whose group it is.
    pub client: ClientId,
    /// Its code.
    pub code: String,
    /// What it is, for people.
    pub description: String,
    /// When it was changed last.
    pub updated: Timestamp,
    /// Who is in it.
    pub members: HashSet<ClientId>,
}

/// A global group: the global configuration says who is in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GlobalGroupId {
    /// The instance whose authority keeps it.
    pub instance: String,
    /// Its code.
    pub code: String,
}

/// To whom a right is given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "id")]
pub enum Subject {
    /// One client of the federation.
    Client(ClientId),
    /// The members of a local group, by its number.
    LocalGroup(i64),
    /// The members of a global group.
    GlobalGroup(GlobalGroupId),
}

/// A right that somebody has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// Who.
    pub subject: Subject,
    /// To which service.
    pub service: ServiceId,
    /// To which endpoint; `None` is the whole service.
    pub endpoint: Option<Endpoint>,
    /// Since when.
    pub given: Timestamp,
    /// Whether the configuration of the node declares it.
    pub declared: bool,
}

/// The text is none of the words that are kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no word of the registry here")]
pub struct UnknownWord(pub String);

impl ClientSettings {
    /// Whether it may call and answer, as far as this node decides it.
    pub const fn is_open(&self) -> bool {
        matches!(
            self.status,
            ClientStatus::Registered
                | ClientStatus::Saved
                | ClientStatus::RegistrationInProgress
                | ClientStatus::EnablingInProgress
        )
    }
}

impl ClientStatus {
    /// What operators are told, in X-Road's words: what was asked for here, beside whether the global configuration names the client
    /// at this node.
    pub const fn seen(self, named: bool) -> &'static str {
        match (self, named) {
            (Self::Disabled, _) | (Self::DisablingInProgress, false) => "DISABLED",
            (Self::DisablingInProgress, true) => "DISABLING_IN_PROGRESS",
            (Self::DeletionInProgress, _) => "DELETION_IN_PROGRESS",
            (_, true) => "REGISTERED",
            (Self::Saved, false) => "SAVED",
            (Self::RegistrationInProgress, false) => "REGISTRATION_IN_PROGRESS",
            (Self::EnablingInProgress, false) => "ENABLING_IN_PROGRESS",
            (Self::Registered, false) => "GLOBAL_ERROR",
        }
    }
}

impl Connection {
    /// Its kind.
    pub const fn kind(&self) -> ConnectionType {
        match self {
            Self::Http => ConnectionType::Http,
            Self::HttpsNoAuth => ConnectionType::HttpsNoAuth,
            Self::HttpsAuth { .. } => ConnectionType::Https,
        }
    }

    /// Whether an information system may use the client over this connection: `tls` whether it is TLS, and the certificate
    /// (DER) that it showed.
    pub fn admits(&self, tls: bool, certificate: Option<&[u8]>) -> bool {
        match self {
            Self::Http => true,
            Self::HttpsNoAuth => tls,
            Self::HttpsAuth { certificates } => {
                tls && certificate.is_some_and(|shown| certificates.iter().any(|known| known == shown))
            }
        }
    }
}

impl fmt::Display for GlobalGroupId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.instance, self.code)
    }
}

impl FromStr for GlobalGroupId {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        match text.split_once('/') {
            Some((instance, code)) if !instance.is_empty() && !code.is_empty() && !code.contains('/') => {
                Ok(Self { instance: instance.to_owned(), code: code.to_owned() })
            }
            _ => Err(UnknownWord(text.chars().take(128).collect())),
        }
    }
}

impl TryFrom<String> for GlobalGroupId {
    type Error = UnknownWord;

    fn try_from(text: String) -> Result<Self, UnknownWord> {
        text.parse()
    }
}

impl From<GlobalGroupId> for String {
    fn from(id: GlobalGroupId) -> Self {
        id.to_string()
    }
}

/// Words of a column, both ways.
macro_rules! words {
    ($kind:ty { $($variant:path => $word:literal),+ $(,)? }) => {
        impl $kind {
            /// The word as it is kept.
            pub(super) const fn word(self) -> &'static str {
                match self { $($variant => $word),+ }
            }
        }

        impl FromStr for $kind {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text {
                    $($word => Ok($variant),)+
                    other => Err(UnknownWord(other.chars().take(128).collect())),
                }
            }
        }
    };
}

words!(ConnectionType { Self::Http => "http", Self::HttpsNoAuth => "https_no_auth", Self::Https => "https" });
words!(LogMode { Self::Full => "full", Self::Metadata => "metadata", Self::None => "none" });
words!(ServiceKind { Self::Rest => "rest", Self::OpenApi => "openapi3", Self::Soap => "wsdl" });
words!(ClientStatus {
    Self::Saved => "saved",
    Self::RegistrationInProgress => "registration_in_progress",
    Self::Registered => "registered",
    Self::DeletionInProgress => "deletion_in_progress",
    Self::Disabled => "disabled",
    Self::DisablingInProgress => "disabling_in_progress",
    Self::EnablingInProgress => "enabling_in_progress",
});
