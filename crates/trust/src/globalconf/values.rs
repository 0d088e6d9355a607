use civic::{ClientId, MemberId, ServerId, Timestamp};

/// The version of a configuration's form (PR-GCONF §2.2; version 6 is in X-Road's code, 7.8, before its document).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfigurationVersion {
    /// What a source serves to those who name no version; digests of authentication certificates are SHA-1.
    V2,
    /// Names the sources and who may sign for them; SHA-256.
    V3,
    /// ACME profile ids.
    V4,
    /// Names of subsystems, maintenance mode.
    V5,
    /// Free or paid services, the preferred form of certificate requests.
    V6,
}

impl ConfigurationVersion {
    /// Every version, oldest first.
    pub const ALL: [Self; 5] = [Self::V2, Self::V3, Self::V4, Self::V5, Self::V6];

    /// As the query `?version=` and the header `Version` have it.
    pub const fn number(self) -> u32 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
            Self::V4 => 4,
            Self::V5 => 5,
            Self::V6 => 6,
        }
    }

    /// The version of that number; `None` where nobody speaks it.
    pub fn of_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.number() == number)
    }

    /// The length in bytes of the digests of authentication certificates.
    pub(super) const fn auth_cert_hash_len(self) -> usize {
        match self {
            Self::V2 => 20,
            _ => 32,
        }
    }
}

/// Whether a service asks for money (version 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CostType {
    /// Free.
    Free,
    /// To be paid for.
    Paid,
    /// Not said.
    Undefined,
}

impl CostType {
    /// Every value.
    pub const ALL: [Self; 3] = [Self::Free, Self::Paid, Self::Undefined];

    /// As the schema writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Free => "FREE",
            Self::Paid => "PAID",
            Self::Undefined => "UNDEFINED",
        }
    }
}

/// The form in which an authority wants certificate requests (version 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CsrFormat {
    /// Text with BEGIN and END lines.
    Pem,
    /// Bytes.
    Der,
}

impl CsrFormat {
    /// Every value.
    pub const ALL: [Self; 2] = [Self::Pem, Self::Der];

    /// As the schema writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pem => "PEM",
            Self::Der => "DER",
        }
    }
}

/// What all members of an instance, and its federation partners, may know (PR-GCONF §3, `shared-params.xml`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedParams {
    /// The instance, for instance `BB`.
    pub instance: String,
    /// Where the signed configuration is served from (version 3 and later).
    pub sources: Vec<ConfigurationSource>,
    /// Certification authorities whose certificates are trusted.
    pub approved_cas: Vec<ApprovedCa>,
    /// Time-stamping authorities whose stamps are trusted.
    pub approved_tsas: Vec<ApprovedTsa>,
    /// The members with their subsystems.
    pub members: Vec<Member>,
    /// The nodes.
    pub servers: Vec<SecurityServer>,
    /// Groups that access rights may name.
    pub groups: Vec<GlobalGroup>,
    /// The classes that members are in.
    pub member_classes: Vec<MemberClass>,
    /// How old an OCSP answer may be, in seconds.
    pub ocsp_freshness_s: u32,
    /// Entries that were read but cannot be used here (an identifier with characters that this house refuses, a reference
    /// to nobody), in words for the operator. Never written.
    pub ignored: Vec<String>,
}

/// A configuration source: a central server of the instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigurationSource {
    /// Its address: host, or host and port.
    pub address: String,
    /// Certificates (DER) that may sign the configuration for members of the instance.
    pub internal_certs: Vec<Vec<u8>>,
    /// Certificates (DER) that may sign the configuration for other instances.
    pub external_certs: Vec<Vec<u8>>,
}

/// A trusted certification authority with its chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApprovedCa {
    /// Its name, for people.
    pub name: String,
    /// Whether its certificates are for TLS between nodes only, not for signatures.
    pub authentication_only: bool,
    /// The trust anchor.
    pub top: CaInfo,
    /// Authorities between the anchor and the certificates of members.
    pub intermediates: Vec<CaInfo>,
    /// The certificate profile, by the Java class name that X-Road knows it by; see [`crate::cert`] for what it means here.
    pub certificate_profile: String,
    /// The form in which it wants certificate requests (version 6).
    pub csr_format: Option<CsrFormat>,
    /// Where certificates can be had automatically (version 3 and later).
    pub acme: Option<AcmeServer>,
}

/// One authority's certificate and OCSP responders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaInfo {
    /// The certificate, DER.
    pub cert: Vec<u8>,
    /// Its OCSP responders.
    pub ocsp: Vec<OcspInfo>,
}

/// An OCSP responder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OcspInfo {
    /// Where it answers.
    pub url: String,
    /// The certificate (DER) that it signs with; `None` where the authority signs itself or delegates by certificate.
    pub cert: Option<Vec<u8>>,
    /// Whether its answers cost money (version 6).
    pub cost: Option<CostType>,
}

/// ACME settings of an authority (RFC 8555).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcmeServer {
    /// The ACME directory.
    pub directory_url: String,
    /// Its addresses, separated by commas.
    pub ip_address: Option<String>,
    /// The profile id for authentication certificates (version 4 and later, as the next).
    pub authentication_profile_id: Option<String>,
    /// The profile id for signing certificates.
    pub signing_profile_id: Option<String>,
}

/// A trusted time-stamping authority.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApprovedTsa {
    /// Its name, for people.
    pub name: String,
    /// Where it answers.
    pub url: String,
    /// The certificate (DER) that it signs with.
    pub cert: Vec<u8>,
    /// Whether its stamps cost money (version 6).
    pub cost: Option<CostType>,
}

/// A member of the instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its identifier.
    pub id: MemberId,
    /// Its official name.
    pub name: String,
    /// Its subsystems.
    pub subsystems: Vec<Subsystem>,
}

/// A subsystem of a member: a client of the bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subsystem {
    /// Its code.
    pub code: String,
    /// Its name, for people (version 5 and later).
    pub name: Option<String>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityServer {
    /// Its identifier: owner and server code.
    pub id: ServerId,
    /// Where other nodes reach it; see [`SecurityServer::transport_address`].
    pub address: Option<String>,
    /// Digests of the authentication certificates registered for it: SHA-256, or SHA-1 in version 2. Whoever writes several
    /// versions gives both kinds; each version takes its own.
    pub auth_cert_hashes: Vec<Vec<u8>>,
    /// The clients (members and subsystems) that send and serve through it; its owner always does.
    pub clients: Vec<ClientId>,
    /// Where it is under maintenance, the message for those who call it (version 5 and later).
    pub maintenance: Option<String>,
}

/// A group of clients that access rights may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalGroup {
    /// Its code.
    pub code: String,
    /// What it is, for people.
    pub description: String,
    /// Who is in it.
    pub members: Vec<ClientId>,
}

/// A class of members, for instance `GOV`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberClass {
    /// Its code.
    pub code: String,
    /// What it is, for people.
    pub description: String,
}

/// What only members of the instance may know (`private-params.xml`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateParams {
    /// The instance.
    pub instance: String,
    /// Anchors of federated instances.
    pub anchors: Vec<Anchor>,
    /// Where nodes are registered.
    pub management: ManagementService,
    /// How long a signed message may stay without a time stamp, in seconds.
    pub time_stamping_interval_s: u32,
}

/// Where nodes send registration requests (PR-MSERV).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagementService {
    /// The address of the registration service for authentication certificates.
    pub auth_cert_reg_address: String,
    /// The TLS certificate (DER) of that address.
    pub auth_cert_reg_cert: Option<Vec<u8>>,
    /// Who provides the management services on the bridge.
    pub provider: ClientId,
}

/// Where a node gets a configuration and who may sign it (PR-GCONF §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// When it was made.
    pub generated_at: Option<Timestamp>,
    /// The instance whose configuration it is.
    pub instance: String,
    /// The sources, the first that answers is used.
    pub sources: Vec<AnchorSource>,
}

/// One source of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnchorSource {
    /// The URL of the signed directory.
    pub download_url: String,
    /// Certificates (DER) that may sign it.
    pub certs: Vec<Vec<u8>>,
}

impl SharedParams {
    /// An instance without anybody, with X-Road's default freshness of one hour.
    pub fn empty(instance: &str) -> Self {
        Self {
            instance: instance.to_owned(),
            sources: Vec::new(),
            approved_cas: Vec::new(),
            approved_tsas: Vec::new(),
            members: Vec::new(),
            servers: Vec::new(),
            groups: Vec::new(),
            member_classes: Vec::new(),
            ocsp_freshness_s: 3600,
            ignored: Vec::new(),
        }
    }
}

impl Anchor {
    /// The anchor as a configuration corrects it that was verified by it: who may sign the next one is whom its sources
    /// name, so that the authority changes its keys without new anchors (X-Road 7.4). `external` says which of the two
    /// sources the anchor leads to. Version 2 names nobody and another instance has no say: they leave it as it is.
    #[must_use]
    pub fn corrected_by(&self, shared: &SharedParams, external: bool) -> Self {
        let named = shared
            .sources
            .iter()
            .flat_map(|source| if external { &source.external_certs } else { &source.internal_certs });
        let certs: Vec<Vec<u8>> = named.cloned().collect();
        if certs.is_empty() || shared.instance != self.instance {
            return self.clone();
        }
        let corrected = |source: &AnchorSource| AnchorSource { certs: certs.clone(), ..source.clone() };
        Self { sources: self.sources.iter().map(corrected).collect(), ..self.clone() }
    }
}

/// The port of the message transport where the address names none (PR-MESSTRANSP).
const TRANSPORT_PORT: u16 = 5500;
/// The OCSP responder of a node listens this far above its transport port (5577 for 5500).
const OCSP_PORT_OFFSET: u16 = 77;

impl SecurityServer {
    /// Host and port of the message transport. An address may name a port (`127.0.0.1:8611`, `[::1]:5500`); without one
    /// it is 5500. `None` where the node has no address.
    pub fn transport_address(&self) -> Option<(String, u16)> {
        let address = self.address.as_deref()?.trim();
        if address.is_empty() || address.contains('/') {
            return None;
        }
        if let Some((host, port)) = address.rsplit_once(':') {
            let bracketed = host.starts_with('[') && host.ends_with(']');
            if bracketed || !host.contains(':') {
                return Some((host.to_owned(), port.parse().ok()?));
            }
            return Some((format!("[{address}]"), TRANSPORT_PORT));
        }
        Some((address.to_owned(), TRANSPORT_PORT))
    }

    /// Host and port of the OCSP responder of the node: 77 above the transport port.
    pub fn ocsp_address(&self) -> Option<(String, u16)> {
        let (host, port) = self.transport_address()?;
        Some((host, port.checked_add(OCSP_PORT_OFFSET)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Address = Option<(String, u16)>;

    fn addresses(address: Option<&str>) -> (Address, Address) {
        let server = SecurityServer {
            id: "BB/GOV/1000/node-1".parse().unwrap(),
            address: address.map(str::to_owned),
            auth_cert_hashes: Vec::new(),
            clients: Vec::new(),
            maintenance: None,
        };
        (server.transport_address(), server.ocsp_address())
    }

    #[test]
    fn an_address_may_carry_a_port() {
        let at = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(addresses(Some("ss0")), (at("ss0", 5500), at("ss0", 5577)));
        assert_eq!(addresses(Some("127.0.0.1:8611")), (at("127.0.0.1", 8611), at("127.0.0.1", 8688)));
        assert_eq!(addresses(Some("[::1]:8611")), (at("[::1]", 8611), at("[::1]", 8688)));
        assert_eq!(addresses(Some("2001:db8::1")), (at("[2001:db8::1]", 5500), at("[2001:db8::1]", 5577)));
        assert_eq!(addresses(Some("https://www.foo.com/bar")), (None, None));
        assert_eq!(addresses(Some("node:70000")), (None, None));
        assert_eq!(addresses(None), (None, None));
    }
}
