use std::time::Duration;

use civic::{ClientId, ServiceId};
use serde::Serialize;
use store::StoreError;

use super::model::{ClientStatus, ConnectionType, LogMode, ServiceKind, Subject};
use crate::access::Endpoint;
use crate::config::{ServiceBasis, SubjectRule};

/// Why the registry does not change, or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row cannot be read back.
    #[error("the registry is damaged: {0}. Restore a backup")]
    Damaged(String),
    /// There is no such thing.
    #[error("{0} does not exist")]
    NotFound(String),
    /// It is there already.
    #[error("{0} exists already")]
    Exists(String),
    /// The configuration of the node declares it.
    #[error("{0} is declared in the configuration of the node: change it there")]
    Declared(String),
    /// The wish makes no sense.
    #[error("{0}")]
    Invalid(String),
}

/// Who changes something, for the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    /// The configuration of the node, at its start.
    Configuration,
    /// The global configuration, which decided about what was asked for.
    GlobalConfiguration,
    /// Somebody with access to the machine.
    CommandLine,
    /// The holder of an API key, by its number.
    ApiKey(i64),
    /// An operator at the console, by name.
    Operator(String),
}

impl std::fmt::Display for Author {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Configuration => formatter.write_str("configuration"),
            Self::GlobalConfiguration => formatter.write_str("global configuration"),
            Self::CommandLine => formatter.write_str("command line"),
            Self::ApiKey(number) => write!(formatter, "api-key {number}"),
            Self::Operator(name) => write!(formatter, "operator {name}"),
        }
    }
}

/// A service as a description brings it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewService {
    /// Its id.
    pub id: ServiceId,
    /// The version of a SOAP service.
    pub version: Option<String>,
    /// A title for people.
    pub title: Option<String>,
    /// Where the information system answers.
    pub url: String,
    /// The endpoints that the description names.
    pub endpoints: Vec<Endpoint>,
}

/// What may be changed of a service; `None` leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ServicePatch {
    /// Where the information system answers.
    pub url: Option<String>,
    /// It must answer within this time.
    pub timeout: Option<Duration>,
    /// Whether its TLS certificate is verified.
    pub tls_verify: Option<bool>,
    /// Why its data may be given.
    pub basis: Option<ServiceBasis>,
    /// Whom its data are about.
    pub subject: Option<SubjectRule>,
    /// The names of its data.
    pub fields: Option<Vec<String>>,
}

/// One change of the registry: checked, applied, written to the audit, in one transaction. Its serde form is the audit's.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Change {
    /// A client is served.
    AddClient {
        /// Its id.
        client: ClientId,
        /// How its information systems connect.
        connection: ConnectionType,
    },
    /// Its information systems connect in another way.
    SetConnection {
        /// The client.
        client: ClientId,
        /// The way.
        connection: ConnectionType,
    },
    /// The message log keeps more or less of its exchanges.
    SetLogMode {
        /// The client.
        client: ClientId,
        /// What is kept.
        mode: LogMode,
    },
    /// It gets a name for people.
    SetClientName {
        /// The client.
        client: ClientId,
        /// The name.
        name: String,
    },
    /// It is registered, switched off, and so on.
    SetClientStatus {
        /// The client.
        client: ClientId,
        /// The status.
        status: ClientStatus,
    },
    /// It is no longer served; its services, groups and their rights go with it.
    RemoveClient {
        /// The client.
        client: ClientId,
    },
    /// An information system may connect with this certificate.
    AddCertificate {
        /// The client.
        client: ClientId,
        /// DER.
        #[serde(skip)]
        certificate: Vec<u8>,
        /// Its SHA-256, hexadecimal.
        fingerprint: String,
    },
    /// It may no longer.
    RemoveCertificate {
        /// The client.
        client: ClientId,
        /// SHA-256 of the certificate, hexadecimal.
        fingerprint: String,
    },
    /// A description with its services. It starts disabled, as in X-Road.
    AddDescription {
        /// The client that offers them.
        client: ClientId,
        /// The kind.
        description_kind: ServiceKind,
        /// Where it is read from.
        url: String,
        /// Its text.
        #[serde(skip)]
        text: Option<String>,
        /// The services.
        services: Vec<NewService>,
    },
    /// The text of a description was read again: services come, stay with their settings, or go with their rights.
    ReplaceDescription {
        /// The description.
        number: i64,
        /// Where it is read from.
        url: String,
        /// Its text.
        #[serde(skip)]
        text: Option<String>,
        /// The services.
        services: Vec<NewService>,
    },
    /// Its services answer, or refuse with a notice.
    EnableDescription {
        /// The description.
        number: i64,
        /// Whether they answer.
        enabled: bool,
        /// What callers are told.
        notice: Option<String>,
    },
    /// It goes, with services and rights.
    RemoveDescription {
        /// The description.
        number: i64,
    },
    /// A service changes.
    SetService {
        /// The service.
        number: i64,
        /// What changes.
        patch: ServicePatch,
        /// Address, time limit and TLS of all services of the same description too.
        url_all: bool,
        /// See above.
        timeout_all: bool,
        /// See above.
        tls_verify_all: bool,
    },
    /// Rights may be given to this endpoint.
    AddEndpoint {
        /// The service.
        service: ServiceId,
        /// The endpoint.
        endpoint: Endpoint,
    },
    /// The endpoint is another one now; rights to it go along.
    SetEndpoint {
        /// Its number.
        number: i64,
        /// Method and path.
        endpoint: Endpoint,
    },
    /// It goes, with the rights to it.
    RemoveEndpoint {
        /// Its number.
        number: i64,
    },
    /// Somebody may use a service or an endpoint.
    GiveRight {
        /// Who.
        subject: Subject,
        /// Which service.
        service: ServiceId,
        /// Which endpoint; `None` is the whole service.
        endpoint: Option<Endpoint>,
    },
    /// They may no longer.
    TakeRight {
        /// Who.
        subject: Subject,
        /// Which service.
        service: ServiceId,
        /// Which endpoint; `None` is the whole service.
        endpoint: Option<Endpoint>,
    },
    /// A local group is made.
    AddGroup {
        /// Whose.
        client: ClientId,
        /// Its code.
        code: String,
        /// What it is.
        description: String,
    },
    /// It is described anew.
    DescribeGroup {
        /// Its number.
        number: i64,
        /// What it is.
        description: String,
    },
    /// It goes, with its rights.
    RemoveGroup {
        /// Its number.
        number: i64,
    },
    /// Clients enter a group.
    AddMembers {
        /// The group.
        number: i64,
        /// Who.
        members: Vec<ClientId>,
    },
    /// Clients leave a group.
    RemoveMembers {
        /// The group.
        number: i64,
        /// Who.
        members: Vec<ClientId>,
    },
}

impl Change {
    /// To what it happens, for the audit.
    pub(super) fn object(&self) -> String {
        match self {
            Self::AddClient { client, .. }
            | Self::SetConnection { client, .. }
            | Self::SetLogMode { client, .. }
            | Self::SetClientName { client, .. }
            | Self::SetClientStatus { client, .. }
            | Self::RemoveClient { client }
            | Self::AddCertificate { client, .. }
            | Self::RemoveCertificate { client, .. }
            | Self::AddDescription { client, .. }
            | Self::AddGroup { client, .. } => client.to_string(),
            Self::ReplaceDescription { number, .. }
            | Self::EnableDescription { number, .. }
            | Self::RemoveDescription { number } => format!("description {number}"),
            Self::SetService { number, .. } => format!("service {number}"),
            Self::SetEndpoint { number, .. } | Self::RemoveEndpoint { number } => format!("endpoint {number}"),
            Self::AddEndpoint { service, .. } | Self::GiveRight { service, .. } | Self::TakeRight { service, .. } => {
                service.to_string()
            }
            Self::DescribeGroup { number, .. }
            | Self::RemoveGroup { number }
            | Self::AddMembers { number, .. }
            | Self::RemoveMembers { number, .. } => format!("local group {number}"),
        }
    }
}
