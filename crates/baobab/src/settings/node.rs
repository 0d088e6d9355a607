//! `node.toml`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bridge::access::{AccessRight, Endpoint};
use bridge::config::{
    Addresses, ConsentTrust, ManagementHost, NodeConfig, NodeLimits, Rhythm, ServiceBasis, ServiceConfig, SubjectRule,
};
use bridge::fault::ErrorStyle;
use bridge::messagelog::{ArchiveEncryption, ArchiveSettings, Grouping, LogMode, StampingPolicy};
use bridge::registry::Connection;
use civic::{ClientId, ServerId};
use serde::{Deserialize, Serialize};
use trust::age::Recipient;
use trust::digest::DigestAlgorithm;

use super::token::TokenSettings;
use super::witness::WitnessSettings;
use super::{Loaded, LogSettings, settings};

settings! {
    /// A node of the bridge: `baobab node run --config node.toml`. What a node offers can also be changed while it runs
    /// (management API); what stands in this file wins at each start and at each SIGHUP.
    NodeSettings {
        /// Required. The id of the node: `INSTANCE/CLASS/CODE/SERVER`.
        server: String = String::new();
        /// The official name of the organisation, for the authority.
        name: String = String::new();
        /// The country in certificate requests, two letters. Empty: that of the authority.
        country: String = String::new();
        /// Under which address other nodes reach this one, `HOST:PORT`; the OCSP port is 77 above. For the authority.
        address: String = String::new();
        /// Where the authority is reached to join: `http://authority.example:8604`. Empty: files are handed over.
        authority: String = String::new();
        /// The anchor of the global configuration, a file of the authority.
        anchor: PathBuf = "anchor.xml".into();
        /// The folder of keys and certificates. Whoever reads it can sign for the organisation.
        keys: PathBuf = "keys".into();
        /// The folder of what the node keeps beside its store: the last good global configuration.
        data: PathBuf = "data".into();
        /// Where the message log is kept: `sqlite:PATH` or `postgres://USER@HOST/DATABASE`. Replicas of a node share a
        /// PostgreSQL database.
        store: String = "sqlite:data/node.db".to_owned();
        /// The file with the key that seals the message log. Where systemd gives a credential of the same name
        /// (`LoadCredential=`), that one is used. Replicas have the same.
        store_key: PathBuf = "store.key".into();
        /// How error types are written: `lower` (X-Road 7.8 and later) or `camel` (up to 7.7).
        error_style: StyleName = StyleName::Lower;
        /// Sign through a hash chain also where a direct signature would do; peers up to X-Road 7.5 need it.
        batch_signatures: bool = false;
        /// By what signatures are digested for their time stamps, and messages for nodes that take it: `SHA-256`, or `SHA-512` as
        /// X-Road does by default. Messages for all other nodes are digested by SHA-512.
        hash_algorithm: HashName = HashName::Sha256;
        /// Speak TLS with other nodes through OpenSSL and offer X-Road's default CBC suites too, after all better ones: for peers that were
        /// never given a GCM suite. Needs a program built with `--features xroad-legacy-tls`.
        legacy_tls: bool = false;
        /// With `legacy_tls`: only these suites of TLS 1.2, in the words of OpenSSL, and no TLS 1.3. Empty: TLS 1.3 first, X-Road's last.
        legacy_tls_suites: String = String::new();
        /// The token that holds keys of the node, where there is one.
        token: Option<TokenSettings> = None;
        /// Where the node listens.
        listen: ListenSettings = ListenSettings::default();
        /// Subsystems whose information systems call through this node.
        client: Vec<ClientEntry> = Vec::new();
        /// Services that this node offers.
        service: Vec<ServiceEntry> = Vec::new();
        /// Who may use them.
        right: Vec<RightEntry> = Vec::new();
        /// The management services of the federation, where this is the node that offers them: one node of the governing authority.
        management: Option<ManagementSettings> = None;
        /// Whom the node believes about consent; needed for services with `basis = "consent"`.
        consent: Option<ConsentSettings> = None;
        /// The transparency ledger that commitments go to, where there is one.
        ledger: Option<LedgerSettings> = None;
        /// Files with the policies (C2SP tlog-policy) of transparency logs that the node follows beside those of the global configuration;
        /// where both name a log, the file's policy counts. Each `log` line has an address; a log that shows two histories is an alarm on
        /// `/health` and in the console, with the evidence.
        follow: Vec<PathBuf> = Vec::new();
        /// The logs of others that the node witnesses, where it does.
        witness: Option<WitnessSettings> = None;
        /// What the message log keeps, and for how long.
        message_log: MessageLogSettings = MessageLogSettings::default();
        /// Limits and waiting times.
        limits: LimitSettings = LimitSettings::default();
        /// How often jobs run.
        rhythm: RhythmSettings = RhythmSettings::default();
        /// Log lines.
        log: LogSettings = LogSettings::default();
    }
}

settings! {
    /// Addresses to listen on: `IP:PORT`.
    ListenSettings {
        /// Information systems of the organisation, HTTP. Whoever reaches it speaks as any client with `connection = "http"`.
        consumer: String = "127.0.0.1:8080".to_owned();
        /// The same over HTTPS, with the certificate `internal.cert.pem` of the keys folder, which is made where it is missing. Empty:
        /// no HTTPS.
        consumer_https: String = "127.0.0.1:8443".to_owned();
        /// Other nodes, mutual TLS.
        transport: String = "0.0.0.0:5500".to_owned();
        /// OCSP responses of this node's certificates, for other nodes; 77 above the port of `address`.
        ocsp: String = "0.0.0.0:5577".to_owned();
        /// The operator: `/health`, `/metrics`. Keep it on the loopback or behind a firewall.
        admin: String = "127.0.0.1:8090".to_owned();
    }
}

settings! {
    /// A subsystem of the organisation that calls others.
    ClientEntry {
        /// Required. `INSTANCE/CLASS/CODE/SUBSYSTEM`.
        id: String = String::new();
        /// How its information systems connect: `http` (plain, and HTTPS), `https`, or `https-client-certificate`. Without it, as the
        /// registry of the node says.
        connection: Option<ConnectionName> = None;
        /// For `https-client-certificate`: files with the certificates that are let in, PEM. Services with `https://` addresses that show
        /// one of them are believed too; others must be vouched for by an authority of the system.
        certificates: Vec<PathBuf> = Vec::new();
    }
}

settings! {
    /// A service of an information system behind the node.
    ServiceEntry {
        /// Required. `INSTANCE/CLASS/CODE/SUBSYSTEM/SERVICE`.
        id: String = String::new();
        /// Required. Its address; path and query of a request are appended.
        url: String = String::new();
        /// Why its data may be given: `public`, `law` or `consent`.
        basis: BasisName = BasisName::Public;
        /// For `law`: the law and its article, shown to the citizen.
        law: String = String::new();
        /// For `law`: a code of the purpose.
        purpose_code: String = String::new();
        /// For `law`: the purpose in words.
        purpose: String = String::new();
        /// The segment of the path after the service code that is the national number, counted from 0; for the citizen's
        /// list of uses. Without it, and without consent, a request is about nobody.
        subject_segment: Option<usize> = None;
        /// The names of the data in an answer on a legal basis, shown to the citizen.
        fields: Vec<String> = Vec::new();
        /// A file with its OpenAPI description.
        openapi: Option<PathBuf> = None;
    }
}

settings! {
    /// Leave to use a service.
    RightEntry {
        /// Required. Who may: `INSTANCE/CLASS/CODE/SUBSYSTEM`.
        client: String = String::new();
        /// Required. Which service: `INSTANCE/CLASS/CODE/SUBSYSTEM/SERVICE`.
        service: String = String::new();
        /// Only this method; needs `path`.
        method: Option<String> = None;
        /// Only these paths: segments, where `*` stands for one and `**` for any number.
        path: Option<String> = None;
    }
}

settings! {
    /// The management services (PR-MSERV): nodes send their requests to this node, and the authority answers behind it.
    ManagementSettings {
        /// Required. The subsystem that the global configuration names as their provider: `INSTANCE/CLASS/CODE/SUBSYSTEM`, the key
        /// `management` of the authority.
        client: String = String::new();
        /// Where the authority takes them: its key `management_listen`, and `/managementservice`. Nobody but this node may reach it.
        url: String = "http://127.0.0.1:8606/managementservice".to_owned();
    }
}

settings! {
    /// The consent service.
    ConsentSettings {
        /// Required. The issuer of access tokens and grant uses.
        issuer: String = String::new();
        /// Required. A file with the keys of the issuer (JWKS).
        jwks: PathBuf = PathBuf::new();
        /// Required. Its address, before `/consent/v1/…`.
        url: String = String::new();
    }
}

settings! {
    /// A transparency ledger.
    LedgerSettings {
        /// Required. Its address, `http://…`.
        url: String = String::new();
        /// Required. Its verifier key (`NAME+HASH+KEY`, C2SP signed-note).
        key: String = String::new();
        /// The name under which it knows this node. Empty: the id of the first client, else that of the node.
        submitter: String = String::new();
    }
}

settings! {
    /// The message log: evidence of what was exchanged.
    MessageLogSettings {
        /// What is kept at most of an exchange: `full`, `metadata` or `none`; a subsystem may have less.
        mode: LogMode = LogMode::Full;
        /// Refuse exchanges once a record has waited so many seconds for its time stamp. 0: go on, and stamp later.
        stop_without_stamps_s: u64 = 0;
        /// The folder of archives; without it `archive` in the data folder. Replicas of a node need one that all of them reach.
        archive_folder: Option<PathBuf> = None;
        /// An archive is closed before it holds more than so many bytes of containers.
        archive_bytes_max: usize = ArchiveSettings::default().bytes_max;
        /// Whose messages share an archive: `none` (all together), `member` or `subsystem`.
        grouping: GroupingName = GroupingName::None;
        /// Keys (age recipients) that archives are encrypted to. Empty: archives are plain, guard their folder.
        recipients: Vec<String> = Vec::new();
        /// Whether archived containers carry the proof of the ledger (1 to 10 kB each). Without it the link between ledger and message is
        /// gone when the record leaves the log.
        archive_proofs: bool = ArchiveSettings::default().proofs;
        /// Hours that a record waits for that proof before it is archived without, where the ledger does not take it or does not answer.
        archive_proofs_wait_h: u64 = ArchiveSettings::default().proofs_wait.as_secs() / 3_600;
        /// Days that archived records stay in the log.
        retention_d: u64 = ArchiveSettings::default().retention.as_secs() / 86_400;
    }
}

settings! {
    /// Limits and waiting times of the node.
    LimitSettings {
        /// The body of a request or answer, bytes.
        body_bytes_max: u64 = NodeLimits::default().body_bytes_max;
        /// A body of at most so many bytes is logged whole; of a longer one the log keeps the digest, which the signature covers.
        logged_body_bytes_max: u64 = NodeLimits::default().logged_body_bytes_max;
        /// The space on the disk for all bodies on their way together, bytes.
        spool_bytes_max: u64 = NodeLimits::default().spool_bytes_max;
        /// A body must come at this rate at least, bytes a second, beyond the waiting times below.
        bytes_per_s_min: u64 = NodeLimits::default().bytes_per_s_min;
        /// The oldest version of a calling node that is answered, for instance `7.4`. Empty: any.
        peer_version_min: String = String::new();
        /// Connections on each listener.
        connections_max: usize = NodeLimits::default().connections_max;
        /// A caller must have sent its request head within so many seconds.
        head_s: u64 = NodeLimits::default().head_timeout.as_secs();
        /// A caller must have sent its whole request within so many seconds.
        request_s: u64 = NodeLimits::default().request_timeout.as_secs();
        /// Connecting to a peer or service may take so many seconds.
        connect_s: u64 = NodeLimits::default().connect_timeout.as_secs();
        /// An information system must answer within so many seconds.
        service_s: u64 = NodeLimits::default().service_timeout.as_secs();
        /// A peer node must answer within so many seconds.
        exchange_s: u64 = NodeLimits::default().exchange_timeout.as_secs();
        /// Idle connections to one peer that are kept.
        idle_connections_max: usize = NodeLimits::default().idle_connections_max;
        /// Calls of the management API in a second, of each key from each address.
        api_calls_per_second_max: u32 = NodeLimits::default().api.calls_per_second_max;
        /// The same in a minute.
        api_calls_per_minute_max: u32 = NodeLimits::default().api.calls_per_minute_max;
        /// Keys of the management API may be made, shown, changed and revoked over it from other machines too, not only from the node's
        /// own. Whoever steals the key of a system administrator then gives it all roles.
        api_keys_from_anywhere: bool = NodeLimits::default().api.keys_from_anywhere;
    }
}

settings! {
    /// How often the jobs of the node run.
    RhythmSettings {
        /// Seconds between two looks for a new global configuration.
        configuration_s: u64 = Rhythm::default().configuration.as_secs();
        /// Seconds between two renewals of the OCSP responses of the own certificates.
        ocsp_s: u64 = Rhythm::default().ocsp.as_secs();
        /// Seconds between two batches of time stamps.
        stamping_s: u64 = Rhythm::default().stamping.as_secs();
        /// Seconds between two archives.
        archiving_s: u64 = Rhythm::default().archiving.as_secs();
        /// Milliseconds between two batches of commitments to the ledger.
        commitment_ms: u64 = u64::try_from(Rhythm::default().commitment.as_millis()).unwrap_or(500);
    }
}

/// How error types are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StyleName {
    /// As X-Road 7.8 and later.
    #[default]
    Lower,
    /// As X-Road up to 7.7.
    Camel,
}

/// How a digest algorithm is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum HashName {
    /// Three to four times as fast where the processor has instructions for it.
    #[default]
    #[serde(rename = "SHA-256")]
    Sha256,
    /// X-Road's default.
    #[serde(rename = "SHA-512")]
    Sha512,
}

/// Whose messages share an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum GroupingName {
    /// Those of all.
    #[default]
    None,
    /// Those of one member.
    Member,
    /// Those of one subsystem.
    Subsystem,
}

/// How information systems connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ConnectionName {
    /// Plain, and HTTPS.
    Http,
    /// HTTPS.
    Https,
    /// HTTPS with a certificate of the list.
    HttpsClientCertificate,
}

/// Why data may be given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BasisName {
    /// Anybody may have them.
    #[default]
    Public,
    /// A law says so.
    Law,
    /// The citizen agreed.
    Consent,
}

impl Loaded<NodeSettings> {
    /// The id of the node.
    pub(crate) fn server(&self) -> anyhow::Result<ServerId> {
        Ok(self.parsed("server", &self.settings.server)?)
    }

    /// Where it listens.
    pub(crate) fn addresses(&self) -> anyhow::Result<Addresses> {
        let listen = &self.settings.listen;
        let address = |key: &str, text: &str| self.parsed::<SocketAddr>(&format!("listen.{key}"), text);
        Ok(Addresses {
            consumer: address("consumer", &listen.consumer)?,
            consumer_https: match listen.consumer_https.as_str() {
                "" => None,
                text => Some(address("consumer_https", text)?),
            },
            transport: address("transport", &listen.transport)?,
            ocsp: address("ocsp", &listen.ocsp)?,
            admin: address("admin", &listen.admin)?,
        })
    }

    /// What the bridge is told; the anchor must be there. An error names the key.
    pub(crate) fn config(&self) -> anyhow::Result<NodeConfig> {
        let settings = &self.settings;
        let anchor_path = self.path_of(&settings.anchor);
        let anchor = std::fs::read(&anchor_path).map_err(|error| {
            let reason = format!(
                "{} cannot be read ({error}). Get the anchor from the authority, or run `baobab node init`",
                anchor_path.display()
            );
            self.refused("anchor", &reason)
        })?;
        let mut config = NodeConfig::new(self.server()?, self.path_of(&settings.data), anchor);
        config.error_style = match settings.error_style {
            StyleName::Lower => ErrorStyle::Lower,
            StyleName::Camel => ErrorStyle::Camel,
        };
        config.country = self.country()?;
        config.batch_signatures = settings.batch_signatures;
        config.legacy_tls = self.legacy_tls()?;
        self.check_token()?;
        for client in &settings.client {
            let id: ClientId = self.parsed("client.id", &client.id)?;
            config.connections.extend(self.connection(client)?.map(|connection| (id.clone(), connection)));
            config.clients.push(id);
        }
        for service in &settings.service {
            config.services.push(self.service(service)?);
        }
        for right in &settings.right {
            config.rights.push(self.right(right)?);
        }
        config.management = settings.management.as_ref().map(|host| self.management(host)).transpose()?;
        config.consent = settings.consent.as_ref().map(|consent| self.consent(consent)).transpose()?;
        config.log = self.message_log()?;
        self.limit(&mut config.limits)?;
        self.rhythm(&mut config.rhythm)?;
        Ok(config)
    }

    /// The country in certificate requests, where the file says one.
    pub(crate) fn country(&self) -> anyhow::Result<Option<String>> {
        let country = &self.settings.country;
        if country.is_empty() {
            return Ok(None);
        }
        if country.len() != 2 || !country.bytes().all(|letter| letter.is_ascii_uppercase()) {
            return Err(self.refused("country", &"it has two capital letters, as in SN").into());
        }
        Ok(Some(country.clone()))
    }

    fn connection(&self, entry: &ClientEntry) -> anyhow::Result<Option<Connection>> {
        let key = format!("certificates of the client {}", entry.id);
        let wants = entry.connection == Some(ConnectionName::HttpsClientCertificate);
        if wants == entry.certificates.is_empty() {
            let reason = "it goes with connection = \"https-client-certificate\", and needs one file at least";
            return Err(self.refused(&key, &reason).into());
        }
        let read = |path: &PathBuf| Ok(self.certificate(&key, path)?.der().to_vec());
        Ok(match entry.connection {
            None => None,
            Some(ConnectionName::Http) => Some(Connection::Http),
            Some(ConnectionName::Https) => Some(Connection::HttpsNoAuth),
            Some(ConnectionName::HttpsClientCertificate) => {
                let all = entry.certificates.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
                Some(Connection::HttpsAuth { certificates: all.into() })
            }
        })
    }

    fn service(&self, entry: &ServiceEntry) -> anyhow::Result<ServiceConfig> {
        let named = |key: &str| format!("{key} of the service {}", entry.id);
        let id = self.parsed("service.id", &entry.id)?;
        if !(entry.url.starts_with("http://") || entry.url.starts_with("https://")) {
            return Err(self.refused(&named("url"), &"it must start with http:// or https://").into());
        }
        let basis = match entry.basis {
            BasisName::Public => ServiceBasis::Public,
            BasisName::Consent => ServiceBasis::Consent,
            BasisName::Law => {
                for (key, value) in
                    [("law", &entry.law), ("purpose_code", &entry.purpose_code), ("purpose", &entry.purpose)]
                {
                    if value.is_empty() {
                        return Err(self.refused(&named(key), &"it is required where basis = \"law\"").into());
                    }
                }
                ServiceBasis::Law {
                    reference: entry.law.clone(),
                    purpose_code: entry.purpose_code.clone(),
                    purpose_text: entry.purpose.clone(),
                }
            }
        };
        let subject = match (entry.basis, entry.subject_segment) {
            (BasisName::Consent, _) => SubjectRule::Permit,
            (_, Some(segment)) => SubjectRule::PathSegment(segment),
            (_, None) => SubjectRule::None,
        };
        let read = |path: &PathBuf| {
            let path = self.path_of(path);
            let text = std::fs::read_to_string(&path);
            text.map_err(|error| self.refused(&named("openapi"), &format!("{}: {error}", path.display())))
        };
        let openapi = entry.openapi.as_ref().map(read).transpose()?;
        Ok(ServiceConfig { id, base_url: entry.url.clone(), basis, subject, fields: entry.fields.clone(), openapi })
    }

    fn right(&self, entry: &RightEntry) -> anyhow::Result<AccessRight> {
        let endpoint = match (&entry.method, &entry.path) {
            (None, None) => None,
            (Some(_), None) => {
                return Err(self.refused("right.method", &"it needs a path: write path = \"/**\"").into());
            }
            (method, Some(path)) => {
                let verb = method.as_deref().map(|verb| self.parsed("right.method", verb)).transpose()?;
                Some(Endpoint { verb, path: path.clone() })
            }
        };
        Ok(AccessRight {
            client: self.parsed("right.client", &entry.client)?,
            service: self.parsed("right.service", &entry.service)?,
            endpoint,
        })
    }

    fn management(&self, entry: &ManagementSettings) -> anyhow::Result<ManagementHost> {
        let client: ClientId = self.parsed("management.client", &entry.client)?;
        if !(entry.url.starts_with("http://") || entry.url.starts_with("https://")) {
            return Err(self.refused("management.url", &"it must start with http:// or https://").into());
        }
        Ok(ManagementHost { client, url: entry.url.clone() })
    }

    fn consent(&self, entry: &ConsentSettings) -> anyhow::Result<ConsentTrust> {
        let path = self.path_of(&entry.jwks);
        let bytes = std::fs::read(&path)
            .map_err(|error| self.refused("consent.jwks", &format!("{}: {error}", path.display())))?;
        let jwks = serde_json::from_slice(&bytes)
            .map_err(|error| self.refused("consent.jwks", &format!("{}: {error}", path.display())))?;
        Ok(ConsentTrust { issuer: entry.issuer.clone(), jwks, base_url: entry.url.clone() })
    }

    fn message_log(&self) -> anyhow::Result<bridge::messagelog::LogSettings> {
        let ours = &self.settings.message_log;
        let recipient =
            |text: &String| Recipient::parse(text).map_err(|error| self.refused("message_log.recipients", &error));
        let recipients = ours.recipients.iter().map(recipient).collect::<Result<Vec<_>, _>>()?;
        Ok(bridge::messagelog::LogSettings {
            hash: match self.settings.hash_algorithm {
                HashName::Sha256 => DigestAlgorithm::Sha256,
                HashName::Sha512 => DigestAlgorithm::Sha512,
            },
            mode: ours.mode,
            stamping: match ours.stop_without_stamps_s {
                0 => StampingPolicy::KeepGoing,
                seconds => StampingPolicy::StopAfter(Duration::from_secs(seconds)),
            },
            archives: ArchiveSettings {
                folder: ours.archive_folder.as_ref().map(|folder| self.path_of(folder)),
                bytes_max: ours.archive_bytes_max,
                grouping: match ours.grouping {
                    GroupingName::None => Grouping::None,
                    GroupingName::Member => Grouping::Member,
                    GroupingName::Subsystem => Grouping::Subsystem,
                },
                encryption: if recipients.is_empty() {
                    ArchiveEncryption::Off
                } else {
                    ArchiveEncryption::On { recipients, of_group: BTreeMap::new() }
                },
                proofs: ours.archive_proofs,
                proofs_wait: Duration::from_secs(ours.archive_proofs_wait_h.saturating_mul(3_600)),
                retention: Duration::from_secs(ours.retention_d.saturating_mul(86_400)),
            },
            replica: None,
        })
    }

    fn limit(&self, limits: &mut NodeLimits) -> anyhow::Result<()> {
        let ours = &self.settings.limits;
        let seconds = |key: &str, value: u64| match value {
            1..=86_400 => Ok(Duration::from_secs(value)),
            _ => Err(self.refused(&format!("limits.{key}"), &"it must be between 1 and 86400 seconds")),
        };
        limits.head_timeout = seconds("head_s", ours.head_s)?;
        limits.request_timeout = seconds("request_s", ours.request_s)?;
        limits.connect_timeout = seconds("connect_s", ours.connect_s)?;
        limits.service_timeout = seconds("service_s", ours.service_s)?;
        limits.exchange_timeout = seconds("exchange_s", ours.exchange_s)?;
        if ours.connections_max == 0 {
            return Err(self.refused("limits.connections_max", &"it must be at least 1").into());
        }
        limits.body_bytes_max = ours.body_bytes_max;
        limits.logged_body_bytes_max = ours.logged_body_bytes_max;
        limits.spool_bytes_max = ours.spool_bytes_max;
        limits.bytes_per_s_min = ours.bytes_per_s_min;
        if !ours.peer_version_min.is_empty() {
            limits.peer_version_min = Some(self.parsed("limits.peer_version_min", &ours.peer_version_min)?);
        }
        limits.connections_max = ours.connections_max;
        limits.idle_connections_max = ours.idle_connections_max;
        if ours.api_calls_per_second_max == 0 || ours.api_calls_per_minute_max == 0 {
            return Err(self.refused("limits.api_calls_per_…_max", &"it must be at least 1").into());
        }
        limits.api.calls_per_second_max = ours.api_calls_per_second_max;
        limits.api.calls_per_minute_max = ours.api_calls_per_minute_max;
        limits.api.keys_from_anywhere = ours.api_keys_from_anywhere;
        Ok(())
    }

    fn rhythm(&self, rhythm: &mut Rhythm) -> anyhow::Result<()> {
        let ours = &self.settings.rhythm;
        let all = [ours.configuration_s, ours.ocsp_s, ours.stamping_s, ours.archiving_s, ours.commitment_ms];
        if all.contains(&0) {
            return Err(self.refused("rhythm", &"no pause may be 0").into());
        }
        rhythm.configuration = Duration::from_secs(ours.configuration_s);
        rhythm.ocsp = Duration::from_secs(ours.ocsp_s);
        rhythm.stamping = Duration::from_secs(ours.stamping_s);
        rhythm.archiving = Duration::from_secs(ours.archiving_s);
        rhythm.commitment = Duration::from_millis(ours.commitment_ms);
        Ok(())
    }

    fn parsed<V>(&self, key: &str, text: &str) -> Result<V, super::Refused>
    where
        V: std::str::FromStr,
        V::Err: fmt::Display,
    {
        text.parse().map_err(|error: V::Err| {
            if text.is_empty() { self.refused(key, &"it is required") } else { self.refused(key, &error) }
        })
    }
}

#[cfg(test)]
mod tests;
