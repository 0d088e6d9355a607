use std::collections::{BTreeMap, HashMap};

use civic::{ClientId, MemberId, ServerId, Timestamp};

use super::read::{ReadError, read_private, read_shared};
use super::values::{ApprovedCa, CaInfo, GlobalGroup, Member, PrivateParams, SecurityServer, SharedParams};
use crate::cert::{self, CertError, Certificate, MemberNameProfile};

const SHARED_FILE: &str = "shared-params.xml";
const PRIVATE_FILE: &str = "private-params.xml";
const IDENTIFIER_FILE: &str = "instance-identifier";
const INSTANCES_MAX: usize = 256;

/// Why a folder of configuration files is not usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustDirError {
    /// The file that names the own instance is missing or empty.
    #[error("the trust folder has no `{IDENTIFIER_FILE}` file with the name of the own instance")]
    NoIdentifier,
    /// The shared parameters of the own instance are missing.
    #[error("the trust folder has no `{0}/{SHARED_FILE}`, the configuration of the own instance")]
    NoOwnInstance(String),
    /// A file is not readable.
    #[error("{path}: {reason}")]
    File {
        /// Its path in the folder.
        path: String,
        /// Why.
        reason: ReadError,
    },
    /// The side file with the expiry is not readable.
    #[error("{path} is not the JSON that describes a configuration file")]
    Metadata {
        /// Its path in the folder.
        path: String,
    },
    /// A folder is named otherwise than the instance inside.
    #[error("the folder `{folder}` holds the configuration of the instance `{found}`")]
    WrongInstance {
        /// The name of the folder.
        folder: String,
        /// The instance that the file names.
        found: String,
    },
    /// More instances than anybody federates with.
    #[error("the trust folder holds more than {INSTANCES_MAX} instances")]
    TooMany,
    /// Past its expiry.
    #[error(
        "the global configuration of {instance} expired at {expired}: no message may be exchanged until a new one is fetched; check the network to the configuration source and this clock"
    )]
    Expired {
        /// Whose configuration.
        instance: String,
        /// When.
        expired: Timestamp,
    },
    /// A certificate for another use.
    #[error("the certificate of `{subject}` may not {usage}: its key usage says otherwise")]
    Usage {
        /// Whom it names.
        subject: String,
        /// What it was used for.
        usage: &'static str,
    },
    /// The approved authority asks for a certificate profile that is not known here.
    #[error(
        "the certificate of `{subject}` cannot be read: its authority uses a certificate profile that is not known here"
    )]
    UnknownProfile {
        /// Whom it names.
        subject: String,
    },
    /// A certificate or its chain is refused.
    #[error(transparent)]
    Certificate(#[from] CertError),
    /// Nothing is known of that instance.
    #[error("the instance `{0}` is not in the global configuration")]
    UnknownInstance(String),
}

/// The configuration of one's own instance and of those federated with it, indexed. A value: loading new files makes a
/// new one, and a node swaps it in whole.
#[derive(Clone, Debug)]
pub struct TrustDir {
    own: String,
    instances: BTreeMap<String, FederatedInstance>,
    /// `None`: two nodes claim the certificate, so it speaks for neither.
    auth_certs: HashMap<[u8; 32], Option<ServerId>>,
}

/// One instance with its indexes.
#[derive(Clone, Debug)]
pub struct FederatedInstance {
    shared: SharedParams,
    private: Option<PrivateParams>,
    expires: Option<Timestamp>,
    cas: Vec<TrustedCa>,
    tsas: Vec<TrustedTsa>,
    anchors: Vec<Certificate>,
    sign_anchors: Vec<Certificate>,
    intermediates: Vec<Certificate>,
    unusable: Vec<String>,
    members: HashMap<MemberId, usize>,
    servers: HashMap<ServerId, usize>,
    clients: HashMap<ClientId, Vec<usize>>,
}

/// An approved certification authority: an anchor, or one below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedCa {
    /// Its name, for people.
    pub name: String,
    /// Whether it stands at the top.
    pub is_anchor: bool,
    /// Whether its certificates are for TLS between nodes only.
    pub authentication_only: bool,
    /// The certificate profile that the configuration asks for, by its Java class name.
    pub certificate_profile: String,
    /// How the subjects of its certificates name members; `None` where we do not know the profile that is asked for.
    pub profile: Option<MemberNameProfile>,
    /// Its certificate.
    pub cert: Certificate,
    /// Where the status of its certificates is asked.
    pub ocsp_urls: Vec<String>,
    /// The certificates that may sign OCSP answers for it, beside itself and those it delegated.
    pub ocsp_responders: Vec<Certificate>,
}

/// An approved time-stamping authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedTsa {
    /// Its name, for people.
    pub name: String,
    /// Where it answers.
    pub url: String,
    /// The certificate that it signs with.
    pub cert: Certificate,
}

impl TrustDir {
    /// Loads a folder given as path → content. The layout is that of X-Road: `instance-identifier`, and for each instance
    /// `INSTANCE/shared-params.xml`, where there are such `INSTANCE/private-params.xml`, and a `.metadata` file beside
    /// each with its expiry. A leading `verificationconf/` is passed over; other files are not looked at.
    pub fn load(files: &BTreeMap<String, Vec<u8>>) -> Result<Self, TrustDirError> {
        let files: BTreeMap<&str, &[u8]> = files
            .iter()
            .map(|(path, content)| (path.strip_prefix("verificationconf/").unwrap_or(path), content.as_slice()))
            .collect();
        let own = files.get(IDENTIFIER_FILE).and_then(|bytes| std::str::from_utf8(bytes).ok()).map(str::trim);
        let own = own.filter(|own| !own.is_empty()).ok_or(TrustDirError::NoIdentifier)?;
        let mut instances = Vec::new();
        for (path, content) in &files {
            let Some((folder, SHARED_FILE)) = path.split_once('/') else { continue };
            let shared = read_shared(content).map_err(|reason| file_error(path, reason))?;
            if shared.instance != folder {
                return Err(TrustDirError::WrongInstance { folder: folder.to_owned(), found: shared.instance });
            }
            let private_path = format!("{folder}/{PRIVATE_FILE}");
            let private = files.get(private_path.as_str()).map(|content| read_private(content)).transpose();
            let private = private.map_err(|reason| file_error(&private_path, reason))?;
            let metadata_path = format!("{path}.metadata");
            let expires = match files.get(metadata_path.as_str()) {
                Some(content) => expiry(content).map_err(|()| TrustDirError::Metadata { path: metadata_path })?,
                None => None,
            };
            instances.push((shared, private, expires));
        }
        Self::of(own, instances)
    }

    /// Puts configurations together that were read (and whose signatures were checked) before: shared parameters,
    /// private parameters where they are had, and the expiry of the signed directory.
    pub fn of(
        own: &str,
        instances: Vec<(SharedParams, Option<PrivateParams>, Option<Timestamp>)>,
    ) -> Result<Self, TrustDirError> {
        if instances.len() > INSTANCES_MAX {
            return Err(TrustDirError::TooMany);
        }
        let mut dir = Self { own: own.to_owned(), instances: BTreeMap::new(), auth_certs: HashMap::new() };
        for (shared, private, expires) in instances {
            let claimed_twice = dir.index_auth_certs(&shared);
            let mut instance = FederatedInstance::new(shared, private, expires);
            instance.unusable.extend(claimed_twice);
            dir.instances.insert(instance.shared.instance.clone(), instance);
        }
        if !dir.instances.contains_key(own) {
            return Err(TrustDirError::NoOwnInstance(own.to_owned()));
        }
        Ok(dir)
    }

    /// The same with certificate profiles of the operator's own: they come before those that are known here, so that a
    /// national profile needs configuration, not a new program.
    #[must_use]
    pub fn with_profiles(mut self, profiles: &[MemberNameProfile]) -> Self {
        for ca in self.instances.values_mut().flat_map(|instance| &mut instance.cas) {
            let own = profiles.iter().find(|profile| profile.class_name == ca.certificate_profile);
            ca.profile = own.cloned().or_else(|| ca.profile.take());
        }
        self
    }

    /// The files of a trust folder for one instance, as [`TrustDir::load`] reads them and X-Road's `/verificationconf`
    /// packs them (there below `verificationconf/`).
    pub fn files(instance: &str, shared: &[u8], version: u32, expires: Timestamp) -> BTreeMap<String, Vec<u8>> {
        let metadata = serde_json::json!({
            "contentIdentifier": super::SHARED_PARAMETERS,
            "instanceIdentifier": instance,
            "expirationDate": Timestamp::from_seconds(expires.seconds()).rfc3339(),
            "configurationVersion": version.to_string(),
        });
        BTreeMap::from([
            (IDENTIFIER_FILE.to_owned(), instance.as_bytes().to_vec()),
            (format!("{instance}/{SHARED_FILE}"), shared.to_vec()),
            (format!("{instance}/{SHARED_FILE}.metadata"), metadata.to_string().into_bytes()),
        ])
    }

    /// The own instance, for instance `BB`.
    pub fn own_instance(&self) -> &str {
        &self.own
    }

    /// The own instance's configuration.
    pub fn own(&self) -> Option<&FederatedInstance> {
        self.instances.get(&self.own)
    }

    /// An instance's configuration.
    pub fn instance(&self, name: &str) -> Option<&FederatedInstance> {
        self.instances.get(name)
    }

    /// Every instance.
    pub fn instances(&self) -> impl Iterator<Item = &FederatedInstance> {
        self.instances.values()
    }

    /// Whether the configuration of this instance may be used now. One without a known expiry (an offline trust folder)
    /// may.
    pub fn check_fresh(&self, instance: &str, now: Timestamp) -> Result<(), TrustDirError> {
        let found = self.instance(instance).ok_or_else(|| TrustDirError::UnknownInstance(instance.to_owned()))?;
        match found.expires {
            Some(expired) if now >= expired => Err(TrustDirError::Expired { instance: instance.to_owned(), expired }),
            _ => Ok(()),
        }
    }

    /// A member.
    pub fn member(&self, id: &MemberId) -> Option<&Member> {
        let instance = self.instance(id.instance())?;
        instance.shared.members.get(*instance.members.get(id)?)
    }

    /// The official name of a member.
    pub fn member_name(&self, id: &MemberId) -> Option<&str> {
        Some(self.member(id)?.name.as_str())
    }

    /// Whether this member or subsystem is registered.
    pub fn client_exists(&self, id: &ClientId) -> bool {
        self.member(id.member()).is_some_and(|member| {
            id.subsystem().is_none_or(|code| member.subsystems.iter().any(|subsystem| subsystem.code == code))
        })
    }

    /// The nodes through which this client sends and serves. The owner of a node is always its client.
    pub fn servers_of_client(&self, id: &ClientId) -> impl Iterator<Item = &SecurityServer> {
        self.instance(id.member().instance())
            .into_iter()
            .filter_map(|instance| Some((instance, instance.clients.get(id)?)))
            .flat_map(|(instance, servers)| servers.iter().filter_map(|at| instance.shared.servers.get(*at)))
    }

    /// A node.
    pub fn server(&self, id: &ServerId) -> Option<&SecurityServer> {
        let instance = self.instance(id.owner().instance())?;
        instance.shared.servers.get(*instance.servers.get(id)?)
    }

    /// Whether the client sends and serves through this node.
    pub fn is_client_of(&self, client: &ClientId, server: &ServerId) -> bool {
        self.servers_of_client(client).any(|found| found.id == *server)
    }

    /// The node that an authentication certificate is registered for; none where two nodes claim it.
    pub fn server_of_auth_cert(&self, certificate: &Certificate) -> Option<&ServerId> {
        self.server_of_auth_cert_hash(&certificate.sha256())
    }

    /// The node that the authentication certificate with this SHA-256 digest is registered for.
    pub fn server_of_auth_cert_hash(&self, sha256: &[u8; 32]) -> Option<&ServerId> {
        self.auth_certs.get(sha256)?.as_ref()
    }

    /// Returns what is wrong with it: one mistake of a registrar must not take the configuration from everybody, and a
    /// certificate that two nodes claim proves nothing about either.
    fn index_auth_certs(&mut self, shared: &SharedParams) -> Vec<String> {
        let mut claimed_twice = Vec::new();
        for server in &shared.servers {
            // Digests of 20 bytes (SHA-1, version 2) are read but never matched.
            for hash in server.auth_cert_hashes.iter().filter_map(|hash| <[u8; 32]>::try_from(hash.as_slice()).ok()) {
                let owner = self.auth_certs.entry(hash).or_insert_with(|| Some(server.id.clone()));
                if owner.as_ref() == Some(&server.id) {
                    continue;
                }
                let first = owner.take().map_or_else(String::new, |first| format!("{first} and "));
                claimed_twice.push(format!(
                    "the authentication certificate of {first}{} is registered for more than one node: it speaks for none",
                    server.id
                ));
            }
        }
        claimed_twice
    }
}

impl FederatedInstance {
    /// The shared parameters.
    pub const fn shared(&self) -> &SharedParams {
        &self.shared
    }

    /// The private parameters, which only members of the instance have.
    pub const fn private(&self) -> Option<&PrivateParams> {
        self.private.as_ref()
    }

    /// When the configuration expires.
    pub const fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// The approved certification authorities, anchors and those below.
    pub fn cas(&self) -> &[TrustedCa] {
        &self.cas
    }

    /// The approved time-stamping authorities.
    pub fn tsas(&self) -> &[TrustedTsa] {
        &self.tsas
    }

    /// The certificates of authorities that were found between anchors and members.
    pub fn intermediates(&self) -> &[Certificate] {
        &self.intermediates
    }

    /// What the configuration names and this node cannot use (an unreadable certificate, an identifier with strange
    /// characters), in words for the operator.
    pub fn unusable(&self) -> impl Iterator<Item = &str> {
        self.shared.ignored.iter().chain(&self.unusable).map(String::as_str)
    }

    /// The approved authority that issued a certificate: by name and by signature (which is computed: keep the answer for
    /// a certificate that comes with every message).
    pub fn issuer_of(&self, certificate: &Certificate) -> Option<&TrustedCa> {
        self.cas.iter().find(|ca| {
            ca.cert.subject().der() == certificate.issuer().der() && certificate.verify_signed_by(&ca.cert).is_ok()
        })
    }

    /// Checks that a certificate may sign messages at this moment (use, validity, chain to an approved authority that is
    /// not for TLS only) and answers whose it is. `extra` are certificates that came with the signature. Revocation is
    /// asked separately.
    pub fn check_sign_cert(
        &self,
        certificate: &Certificate,
        extra: &[Certificate],
        at: Timestamp,
    ) -> Result<MemberId, TrustDirError> {
        if !certificate.is_sign_certificate() {
            return Err(TrustDirError::Usage { subject: certificate.subject().to_string(), usage: "sign messages" });
        }
        self.check_chain(certificate, extra, &self.sign_anchors, at)?;
        self.member_of(certificate)
    }

    /// Checks that a certificate may identify a node in TLS at this moment (use, validity, chain). Which node it is says
    /// [`TrustDir::server_of_auth_cert`]. Revocation is asked separately.
    pub fn check_auth_cert(
        &self,
        certificate: &Certificate,
        extra: &[Certificate],
        at: Timestamp,
    ) -> Result<(), TrustDirError> {
        if !certificate.is_auth_certificate() {
            return Err(TrustDirError::Usage { subject: certificate.subject().to_string(), usage: "identify a node" });
        }
        self.check_chain(certificate, extra, &self.anchors, at)
    }

    fn check_chain(
        &self,
        certificate: &Certificate,
        extra: &[Certificate],
        anchors: &[Certificate],
        at: Timestamp,
    ) -> Result<(), TrustDirError> {
        if extra.is_empty() {
            return Ok(cert::verify_chain(certificate, &self.intermediates, anchors, at)?);
        }
        let between: Vec<Certificate> = self.intermediates.iter().chain(extra.iter().take(8)).cloned().collect();
        Ok(cert::verify_chain(certificate, &between, anchors, at)?)
    }

    /// The member that a certificate names, in the profile of the authority that approved it. The profile is that of
    /// the issuer, or of the only approved chain where the issuer came with the message.
    fn member_of(&self, certificate: &Certificate) -> Result<MemberId, TrustDirError> {
        let issuer = self.issuer_of(certificate).or(match self.shared.approved_cas.as_slice() {
            [_] => self.cas.first(),
            _ => None,
        });
        let unknown = || TrustDirError::UnknownProfile { subject: certificate.subject().to_string() };
        let profile = issuer.and_then(|ca| ca.profile.as_ref()).ok_or_else(unknown)?;
        Ok(profile.member(certificate.subject(), &self.shared.instance)?)
    }

    /// A global group by its code.
    pub fn group(&self, code: &str) -> Option<&GlobalGroup> {
        self.shared.groups.iter().find(|group| group.code == code)
    }

    fn new(shared: SharedParams, private: Option<PrivateParams>, expires: Option<Timestamp>) -> Self {
        let members = shared.members.iter().enumerate().map(|(at, member)| (member.id.clone(), at)).collect();
        let servers = shared.servers.iter().enumerate().map(|(at, server)| (server.id.clone(), at)).collect();
        let mut clients: HashMap<ClientId, Vec<usize>> = HashMap::new();
        for (at, server) in shared.servers.iter().enumerate() {
            let owner = ClientId::of_member(server.id.owner().clone());
            for client in std::iter::once(&owner).chain(&server.clients) {
                let known = clients.entry(client.clone()).or_default();
                if known.last() != Some(&at) {
                    known.push(at);
                }
            }
        }
        let mut instance = Self {
            cas: Vec::new(),
            tsas: Vec::new(),
            anchors: Vec::new(),
            sign_anchors: Vec::new(),
            intermediates: Vec::new(),
            unusable: Vec::new(),
            private,
            expires,
            members,
            servers,
            clients,
            shared,
        };
        instance.trust_authorities();
        instance
    }

    /// Reads the certificates once, so that no message has to.
    fn trust_authorities(&mut self) {
        let mut cas = Vec::new();
        let mut tsas = Vec::new();
        let mut unusable = Vec::new();
        for ca in &self.shared.approved_cas {
            for (info, is_anchor) in
                std::iter::once((&ca.top, true)).chain(ca.intermediates.iter().map(|info| (info, false)))
            {
                cas.extend(trusted_ca(ca, info, is_anchor, &mut unusable));
            }
        }
        for tsa in &self.shared.approved_tsas {
            if let Some(cert) = usable(&tsa.cert, &tsa.name, &mut unusable) {
                tsas.push(TrustedTsa { name: tsa.name.clone(), url: tsa.url.clone(), cert });
            }
        }
        for ca in &cas {
            if !ca.is_anchor {
                self.intermediates.push(ca.cert.clone());
                continue;
            }
            self.anchors.push(ca.cert.clone());
            if !ca.authentication_only {
                self.sign_anchors.push(ca.cert.clone());
            }
        }
        (self.cas, self.tsas, self.unusable) = (cas, tsas, unusable);
    }
}

fn trusted_ca(ca: &ApprovedCa, info: &CaInfo, is_anchor: bool, unusable: &mut Vec<String>) -> Option<TrustedCa> {
    let cert = usable(&info.cert, &ca.name, unusable)?;
    let responders = info.ocsp.iter().filter_map(|ocsp| ocsp.cert.as_deref());
    Some(TrustedCa {
        name: ca.name.clone(),
        is_anchor,
        authentication_only: ca.authentication_only,
        certificate_profile: ca.certificate_profile.clone(),
        profile: MemberNameProfile::of_class_name(&ca.certificate_profile),
        cert,
        ocsp_urls: info.ocsp.iter().map(|ocsp| ocsp.url.clone()).collect(),
        ocsp_responders: responders.filter_map(|der| usable(der, &ca.name, unusable)).collect(),
    })
}

fn usable(der: &[u8], of: &str, unusable: &mut Vec<String>) -> Option<Certificate> {
    Certificate::from_der(der)
        .map_err(|error| unusable.push(format!("a certificate of the authority `{of}`: {error}")))
        .ok()
}

/// The expiry in a `.metadata` file; `None` where it names none.
fn expiry(content: &[u8]) -> Result<Option<Timestamp>, ()> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Metadata {
        expiration_date: Option<String>,
    }
    let metadata: Metadata = serde_json::from_slice(content).map_err(|_| ())?;
    metadata.expiration_date.map(|text| Timestamp::parse_rfc3339(&text).map_err(|_| ())).transpose()
}

fn file_error(path: &str, reason: ReadError) -> TrustDirError {
    TrustDirError::File { path: path.to_owned(), reason }
}
