//! What an operator decides about a node. Values only; the roof reads them from its configuration.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use civic::{ClientId, ServerId, ServiceId};
use serde::{Deserialize, Serialize};
use trust::jose::Jwks;

use crate::access::AccessRight;
use crate::fault::ErrorStyle;
use crate::internal_tls::InternalKeys;
use crate::keys::TokenKeys;
use crate::messagelog::LogSettings;
use crate::operations::OperationsSettings;
use crate::registry::Connection;

/// The configuration of a node.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The id under which the node is registered.
    pub server: ServerId,
    /// A directory of the node for its last good global configuration.
    pub state_dir: PathBuf,
    /// The configuration anchor, the XML file that the governing authority hands out.
    pub anchor: Vec<u8>,
    /// The country in certificate requests, two letters; `None`: that of the node's certificate, so of the authority.
    pub country: Option<String>,
    /// The subsystems of the owner whose information systems call through this node.
    pub clients: Vec<ClientId>,
    /// How information systems of these clients connect; of others the registry says it.
    pub connections: Vec<(ClientId, Connection)>,
    /// The services that this node offers.
    pub services: Vec<ServiceConfig>,
    /// Who may use them.
    pub rights: Vec<AccessRight>,
    /// The management services of the federation, where this is the node that offers them.
    pub management: Option<ManagementHost>,
    /// Whose access tokens and grants this node obeys; needed for services that rest on consent.
    pub consent: Option<ConsentTrust>,
    /// The key and certificate of HTTPS with information systems; without them the node speaks plain HTTP with them.
    pub internal: Option<InternalKeys>,
    /// The token that holds keys of the node, where there is one; the management API shows it and makes keys in it.
    pub token: Option<TokenKeys>,
    /// Speak TLS with other nodes through OpenSSL, so that X-Road's default CBC suites are offered too, after all better ones. Only where
    /// the program was built with the feature `xroad-legacy-tls`.
    pub legacy_tls: Option<LegacyTls>,
    /// Limits and waiting times.
    pub limits: NodeLimits,
    /// How error types are written.
    pub error_style: ErrorStyle,
    /// Sign through a hash chain also where a direct signature would do. Peers up to 7.5 need it.
    pub batch_signatures: bool,
    /// How often the jobs of the node run.
    pub rhythm: Rhythm,
    /// What the message log keeps, how it is stamped and archived.
    pub log: LogSettings,
    /// Operational monitoring.
    pub operations: OperationsSettings,
}

impl NodeConfig {
    /// A node that offers nothing yet, with the usual limits and rhythm.
    pub fn new(server: ServerId, state_dir: PathBuf, anchor: Vec<u8>) -> Self {
        Self {
            server,
            state_dir,
            anchor,
            country: None,
            clients: Vec::new(),
            connections: Vec::new(),
            services: Vec::new(),
            rights: Vec::new(),
            management: None,
            consent: None,
            internal: None,
            token: None,
            legacy_tls: None,
            log: LogSettings::default(),
            operations: OperationsSettings::default(),
            limits: NodeLimits::default(),
            error_style: ErrorStyle::default(),
            batch_signatures: false,
            rhythm: Rhythm::default(),
        }
    }
}

/// The management services of a federation (PR-MSERV): all nodes' owners may use them, and the authority answers behind this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagementHost {
    /// The client of this node that the global configuration names as their provider.
    pub client: ClientId,
    /// Where the authority takes them: `http://127.0.0.1:8606/managementservice`. It believes whom this node vouches for, so nobody
    /// else may reach that address.
    pub url: String,
}

/// TLS between nodes for peers with X-Road's default settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LegacyTls {
    /// Only these suites of TLS 1.2, in the words of OpenSSL, and no TLS 1.3. Empty: TLS 1.3, the GCM suites, then X-Road's three.
    pub suites: String,
}

/// Where a node listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// Information systems of the organisation: `/r1/…`, `/asic`, `/verificationconf`.
    pub consumer: SocketAddr,
    /// The same over HTTPS (8443 in X-Road); needs [`NodeConfig::internal`].
    pub consumer_https: Option<SocketAddr>,
    /// Other nodes, mutual TLS (5500 in X-Road).
    pub transport: SocketAddr,
    /// OCSP responses of this node's certificates (5577 in X-Road).
    pub ocsp: SocketAddr,
    /// The operator: `/health`, `/metrics`.
    pub admin: SocketAddr,
}

/// A service of an information system behind this node.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// Its id.
    pub id: ServiceId,
    /// Its address (`http://…`); path and query of the request are appended.
    pub base_url: String,
    /// Why its data may be given.
    pub basis: ServiceBasis,
    /// Whom its data are about.
    pub subject: SubjectRule,
    /// The names of the data that an answer on a legal basis holds, shown to the citizen.
    pub fields: Vec<String>,
    /// Its OpenAPI description, where there is one.
    pub openapi: Option<String>,
}

/// Why the data of a service may be given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "basis", rename_all = "snake_case")]
pub enum ServiceBasis {
    /// They are public.
    Public,
    /// A law says so; the reference names it and is shown to the citizen.
    Law {
        /// The law and its article.
        reference: String,
        /// A code of the purpose.
        purpose_code: String,
        /// The purpose in words.
        purpose_text: String,
    },
    /// The citizen agreed: each request needs an access token and a living grant.
    Consent,
}

/// How the node knows whom a request is about, for the citizen's list of uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectRule {
    /// About nobody.
    None,
    /// The national number is this segment of the path after the service code, counted from 0.
    PathSegment(usize),
    /// Of a SOAP service: the national number is the text of this element, which must stand once in the body, directly below the
    /// body's element. The name is local, without a namespace.
    BodyElement(String),
    /// The consent service says it.
    Permit,
}

/// Whom this node believes about consent.
#[derive(Clone, Debug)]
pub struct ConsentTrust {
    /// The issuer of access tokens and grant uses.
    pub issuer: String,
    /// The keys of the issuer.
    pub jwks: Jwks,
    /// Where grants are used: the address before `/consent/v1/…`.
    pub base_url: String,
}

/// A version of the software of a node: major, minor, patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerVersion(pub u16, pub u16, pub u16);

impl FromStr for PeerVersion {
    type Err = &'static str;

    /// Reads `7.4`, `7.4.2` or `7.8.0-SNAPSHOT`; what follows the three numbers does not count.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers = text.trim().split(['-', '+']).next().unwrap_or_default();
        let mut parts = numbers.split('.').map(str::parse::<u16>);
        let mut part = |missing: Option<u16>| match parts.next() {
            Some(number) => number.map_err(|_| NO_VERSION),
            None => missing.ok_or(NO_VERSION),
        };
        Ok(Self(part(None)?, part(Some(0))?, part(Some(0))?))
    }
}

const NO_VERSION: &str = "a version is written 7.8.0";

impl fmt::Display for PeerVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// Limits and waiting times of a node.
#[derive(Clone, Copy, Debug)]
pub struct NodeLimits {
    /// The body of a request or answer, bytes.
    pub body_bytes_max: u64,
    /// A body of at most this many bytes is logged whole; of a longer one the log keeps the digest, which the signature covers.
    pub logged_body_bytes_max: u64,
    /// The space on the disk for all bodies on their way together, bytes.
    pub spool_bytes_max: u64,
    /// A body may come at this rate at least, bytes a second, on top of the waiting times below: a large one over a slow line takes its
    /// time, a peer that only keeps a connection busy does not.
    pub bytes_per_s_min: u64,
    /// The oldest version of a calling node that is answered (`x-proxy-version`).
    pub peer_version_min: Option<PeerVersion>,
    /// Connections on each listener.
    pub connections_max: usize,
    /// A caller or peer must have sent its request head within this time.
    pub head_timeout: Duration,
    /// A caller or peer must have sent its request within this time, and that of its bytes at the lowest rate.
    pub request_timeout: Duration,
    /// Connecting to a peer or service may take this long.
    pub connect_timeout: Duration,
    /// An information system must answer within this time.
    pub service_timeout: Duration,
    /// A peer node must answer within this time.
    pub exchange_timeout: Duration,
    /// Idle connections to one peer that are kept.
    pub idle_connections_max: usize,
    /// Of the management API.
    pub api: ApiLimits,
}

/// Limits of the management API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiLimits {
    /// Calls of one key from one address in a second.
    pub calls_per_second_max: u32,
    /// Calls of one key from one address in a minute.
    pub calls_per_minute_max: u32,
    /// Bytes of an upload: a certificate, a backup.
    pub upload_bytes_max: usize,
    /// Bytes of any other body.
    pub body_bytes_max: usize,
    /// API keys may be made, shown, changed and revoked from other machines too.
    pub keys_from_anywhere: bool,
}

impl Default for ApiLimits {
    /// As X-Road has them.
    fn default() -> Self {
        Self {
            calls_per_second_max: 20,
            calls_per_minute_max: 600,
            upload_bytes_max: 10 * 1024 * 1024,
            body_bytes_max: 50 * 1024,
            keys_from_anywhere: false,
        }
    }
}

impl Default for NodeLimits {
    fn default() -> Self {
        Self {
            body_bytes_max: 2 * 1024 * 1024 * 1024,
            logged_body_bytes_max: 10 * 1024 * 1024,
            spool_bytes_max: 16 * 1024 * 1024 * 1024,
            bytes_per_s_min: 4 * 1024,
            peer_version_min: None,
            connections_max: 4_096,
            head_timeout: Duration::from_secs(20),
            request_timeout: Duration::from_mins(1),
            connect_timeout: Duration::from_secs(5),
            service_timeout: Duration::from_mins(1),
            exchange_timeout: Duration::from_secs(90),
            idle_connections_max: 128,
            api: ApiLimits::default(),
        }
    }
}

/// How often the jobs of a node run.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    /// Global configuration is fetched.
    pub configuration: Duration,
    /// OCSP responses of the own certificates are renewed when older than this.
    pub ocsp: Duration,
    /// Logged messages are time-stamped.
    pub stamping: Duration,
    /// Logged messages and uses are committed to the ledger.
    pub commitment: Duration,
    /// Stamped messages are archived, and deleted after their retention.
    pub archiving: Duration,
}

impl Default for Rhythm {
    fn default() -> Self {
        Self {
            configuration: Duration::from_secs(30),
            ocsp: Duration::from_mins(10),
            stamping: Duration::from_mins(1),
            commitment: Duration::from_millis(500),
            archiving: Duration::from_hours(6),
        }
    }
}
