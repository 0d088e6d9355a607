//! The global configuration, as generated and signed at a moment.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use civic::{Random, Timestamp};
use trust::cert::MemberNameProfile;
use trust::globalconf::{
    Anchor, AnchorSource, ApprovedCa, ApprovedTsa, CaInfo, ConfigurationSource, ConfigurationVersion, CostType,
    CsrFormat, Directory, DirectoryPart, FederationLog, ManagementService, OcspInfo, PRIVATE_PARAMETERS, PrivateParams,
    SHARED_PARAMETERS, SharedParams, TRANSPARENCY_LOGS, TransparencyLogs, TrustDir, read_anchor, read_private,
    read_shared, write_anchor, write_private, write_shared,
};

use crate::approved::Approval;
use crate::keys::{Holder, Issuer, Keys};
use crate::store::Registry;
use crate::{AuthorityConfig, AuthorityError};

const SHARED_FILE: &str = "shared-params.xml";
const PRIVATE_FILE: &str = "private-params.xml";
/// The list of transparency logs, the one part that is no XML.
pub(crate) const LOGS_FILE: &str = "transparency-logs.json";
/// The version of the trust folder: what verifiers older than X-Road 7.8 read too.
const OFFLINE_VERSION: ConfigurationVersion = ConfigurationVersion::V5;
/// Generations whose files are still served to nodes that read an older directory: at most this many.
const GENERATIONS_MAX: usize = 64;

/// What is served now.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    /// Until when the signed directories hold.
    pub(crate) expires: Timestamp,
    /// What it says, indexed: by it we judge who asks us for something.
    pub(crate) trust: Arc<TrustDir>,
    /// Why it does not say what the registry says.
    pub(crate) held_back: Option<AuthorityError>,
    /// The last that nodes can read; none where the registry could not be read since the start.
    said: Option<Arc<Said>>,
    directories: BTreeMap<ConfigurationVersion, Directories>,
    /// The newest generation of files is the last.
    generations: VecDeque<Generation>,
}

/// The signed directories of one version.
#[derive(Clone, Debug)]
struct Directories {
    internal: Vec<u8>,
    external: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Generation {
    /// When it was made; no two generations have the same moment, even where the clock stands still or goes back.
    made: Timestamp,
    /// `20261121224000000000`: the moment.
    folder: String,
    content: Arc<Content>,
    /// From when on no valid directory speaks of it; `None` for the newest.
    forgotten_from: Option<Timestamp>,
}

/// The files of a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Content {
    shared: BTreeMap<ConfigurationVersion, Vec<u8>>,
    private: Vec<u8>,
    /// Only where the federation relies on any log: those who know nothing of this part are not bothered with an empty one.
    logs: Option<Vec<u8>>,
}

impl Published {
    /// Generates, signs and puts in the place of `before`. Files that did not change keep their address, so that nodes
    /// need not fetch them again. What cannot be written, or read back, is held back: what was said before is signed again.
    pub(crate) fn generate(
        before: Option<&Self>,
        registry: Registry,
        config: &AuthorityConfig,
        keys: &Keys,
        now: Timestamp,
        boundaries: &dyn Random,
    ) -> Result<Self, AuthorityError> {
        let good = before.and_then(|before| before.said.as_ref());
        let (said, held_back) = match (Said::of(registry, config, keys), good) {
            (Ok(said), good) => match (said.read_back(&config.instance, good.map(Arc::as_ref)), good) {
                (Ok(()), _) => (Arc::new(said), None),
                (Err(error), Some(good)) => (Arc::clone(good), Some(error)),
                (Err(error), None) => return Self::nothing(&said, error, config, now),
            },
            (Err(error), Some(good)) => (Arc::clone(good), Some(error)),
            (Err(error), None) => return Err(error),
        };
        let expires = Timestamp::from_seconds(now.plus(config.expires).seconds());
        let generations = renewed(before, Arc::clone(&said.content), config, now);
        let Some(last) = generations.back() else { return Err(AuthorityError::Stopped) };
        let directories = signed(last, &config.instance, expires, keys, boundaries)?;
        let trust = Arc::new(said.trust(&config.instance, expires)?);
        Ok(Self { expires, trust, held_back, said: Some(said), directories, generations })
    }

    /// Nothing is signed, nothing is served: there never was anything good. Desk and commands work, so that it can be put right.
    fn nothing(
        said: &Said,
        error: AuthorityError,
        config: &AuthorityConfig,
        now: Timestamp,
    ) -> Result<Self, AuthorityError> {
        let trust = Arc::new(said.trust(&config.instance, now.plus(config.expires))?);
        let (directories, generations) = (BTreeMap::new(), VecDeque::new());
        Ok(Self { expires: now, trust, held_back: Some(error), said: None, directories, generations })
    }

    /// The signed directory for members.
    pub(crate) fn internal(&self, version: ConfigurationVersion) -> Option<&[u8]> {
        Some(&self.directories.get(&version)?.internal)
    }

    /// The signed directory for other instances: the shared part only.
    pub(crate) fn external(&self, version: ConfigurationVersion) -> Option<&[u8]> {
        Some(&self.directories.get(&version)?.external)
    }

    /// A file by its path (`/V5/…/shared-params.xml`).
    pub(crate) fn file(&self, version: ConfigurationVersion, folder: &str, name: &str) -> Option<&[u8]> {
        let generation = self.generations.iter().find(|generation| generation.folder == folder)?;
        match name {
            SHARED_FILE => generation.content.shared.get(&version).map(Vec::as_slice),
            PRIVATE_FILE => Some(&generation.content.private),
            LOGS_FILE => generation.content.logs.as_deref(),
            _ => None,
        }
    }

    /// The folder that `baobab verify --trust` and X-Road's verifier read.
    pub(crate) fn trust_files(&self, instance: &str) -> BTreeMap<String, Vec<u8>> {
        let last = self.generations.back().and_then(|generation| generation.content.shared.get(&OFFLINE_VERSION));
        let shared = last.map(Vec::as_slice).unwrap_or_default();
        trust::globalconf::TrustDir::files(instance, shared, OFFLINE_VERSION.number(), self.expires)
    }
}

/// What a configuration says, also as it is written; nodes can read it.
#[derive(Clone, Debug)]
struct Said {
    shared: SharedParams,
    private: PrivateParams,
    profiles: Vec<MemberNameProfile>,
    content: Arc<Content>,
}

impl Said {
    /// What the registry says; whether nodes can read it is asked apart.
    fn of(registry: Registry, config: &AuthorityConfig, keys: &Keys) -> Result<Self, AuthorityError> {
        let private = private_params(&registry.federation, config)?;
        let logs = written_logs(&registry.logs, config)?;
        let profiles = registry.approvals.iter().filter_map(Approval::profile).cloned().collect();
        let shared = shared_params(registry, config, keys);
        let written = ConfigurationVersion::ALL.map(|version| (version, write_shared(&shared, version).into_bytes()));
        let content = Content { shared: BTreeMap::from(written), private: write_private(&private).into_bytes(), logs };
        Ok(Self { shared, private, profiles, content: Arc::new(content) })
    }

    /// Reads it as a node does. What `good` says too was read back before.
    fn read_back(&self, instance: &str, good: Option<&Self>) -> Result<(), AuthorityError> {
        if good.is_some_and(|good| good.content == self.content) {
            return Ok(());
        }
        self.content.read_back(instance)
    }

    fn trust(&self, instance: &str, expires: Timestamp) -> Result<TrustDir, AuthorityError> {
        let parts = (self.shared.clone(), Some(self.private.clone()), Some(expires));
        Ok(TrustDir::of(instance, vec![parts])?.with_profiles(&self.profiles))
    }
}

impl Content {
    /// Reads every file as a node does.
    fn read_back(&self, instance: &str) -> Result<(), AuthorityError> {
        let unreadable = |part: String, error: &dyn std::fmt::Display| {
            Err(AuthorityError::Unreadable { part, reason: error.to_string() })
        };
        for (version, xml) in &self.shared {
            if let Err(error) = read_shared(xml) {
                return unreadable(format!("{SHARED_FILE} of version {}", version.number()), &error);
            }
        }
        if let Err(error) = read_private(&self.private) {
            return unreadable(PRIVATE_FILE.to_owned(), &error);
        }
        match self.logs.as_deref().map(|logs| TransparencyLogs::read(logs, instance)) {
            Some(Err(error)) => unreadable(LOGS_FILE.to_owned(), &error),
            _ => Ok(()),
        }
    }
}

/// The directories that name the files of this generation.
fn signed(
    last: &Generation,
    instance: &str,
    expires: Timestamp,
    keys: &Keys,
    boundaries: &dyn Random,
) -> Result<BTreeMap<ConfigurationVersion, Directories>, AuthorityError> {
    let mut directories = BTreeMap::new();
    for (version, content) in &last.content.shared {
        let part = |identifier, file, content: &[u8]| {
            let location = format!("/V{}/{}/{file}", version.number(), last.folder);
            DirectoryPart::of(identifier, instance, &location, content)
        };
        let shared_part = part(SHARED_PARAMETERS, SHARED_FILE, content);
        let mut internal = vec![part(PRIVATE_PARAMETERS, PRIVATE_FILE, &last.content.private), shared_part.clone()];
        internal.extend(last.content.logs.iter().map(|logs| part(TRANSPARENCY_LOGS, LOGS_FILE, logs)));
        let sign = |parts| {
            let directory = Directory { expires, version: Some(version.number()), parts };
            let signer = &keys.signer.holder;
            directory.sign(&signer.key, signer.certificate.der(), boundaries)
        };
        let internal = sign(internal)?;
        directories.insert(*version, Directories { internal, external: sign(vec![shared_part])? });
    }
    Ok(directories)
}

/// The generations that are still served, the last with this content.
fn renewed(
    before: Option<&Published>,
    content: Arc<Content>,
    config: &AuthorityConfig,
    now: Timestamp,
) -> VecDeque<Generation> {
    let mut generations = before.map(|before| before.generations.clone()).unwrap_or_default();
    generations.retain(|generation| generation.forgotten_from.is_none_or(|moment| now < moment));
    let unchanged = generations.back().is_some_and(|last| last.content == content);
    if !unchanged {
        if let Some(last) = generations.back_mut() {
            last.forgotten_from = Some(now.plus(config.expires));
        }
        let after_last = generations.back().map(|last| last.made.plus(Duration::from_micros(1)));
        let made = after_last.map_or(now, |after_last| after_last.max(now));
        generations.push_back(Generation { made, folder: digits(made), content, forgotten_from: None });
    }
    while generations.len() > GENERATIONS_MAX {
        generations.pop_front();
    }
    generations
}

/// The anchor that nodes of this instance (`/internalconf`), or authorities of others (`/externalconf`), start from.
pub(crate) fn anchor(config: &AuthorityConfig, keys: &Keys, source: &str) -> String {
    write_anchor(&Anchor {
        generated_at: Some(keys.signer.holder.certificate.not_before()),
        instance: config.instance.clone(),
        sources: vec![AnchorSource { download_url: config.url(source), certs: signers(keys) }],
    })
}

/// The certificates that may sign the configuration: the one that does first, then those that are announced.
fn signers(keys: &Keys) -> Vec<Vec<u8>> {
    let all = std::iter::once(&keys.signer).chain(&keys.announced);
    all.map(|signer| signer.holder.certificate.der().to_vec()).collect()
}

fn shared_params(registry: Registry, config: &AuthorityConfig, keys: &Keys) -> SharedParams {
    let mut approved_cas: Vec<ApprovedCa> = keys.issuers.all().map(|issuer| own_ca(issuer, config)).collect();
    approved_cas.extend(registry.approvals.iter().filter_map(Approval::ca));
    let mut approved_tsas: Vec<ApprovedTsa> = keys.tsas.all().map(|tsa| own_tsa(tsa, config)).collect();
    approved_tsas.extend(registry.approvals.iter().filter_map(Approval::tsa));
    SharedParams {
        sources: vec![ConfigurationSource {
            address: config.address().to_owned(),
            internal_certs: signers(keys),
            external_certs: signers(keys),
        }],
        approved_cas,
        approved_tsas,
        members: registry.members,
        servers: registry.servers,
        groups: registry.groups,
        member_classes: registry.classes,
        ocsp_freshness_s: u32::try_from(config.ocsp_freshness.as_secs()).unwrap_or(u32::MAX),
        ..SharedParams::empty(&config.instance)
    }
}

fn own_ca(issuer: &Issuer, config: &AuthorityConfig) -> ApprovedCa {
    let responder = issuer.ocsp.certificate.der().to_vec();
    let ocsp = OcspInfo { url: config.url("/ocsp"), cert: Some(responder), cost: Some(CostType::Free) };
    ApprovedCa {
        name: issuer.authority.certificate.subject().to_string(),
        authentication_only: false,
        top: CaInfo { cert: issuer.authority.certificate.der().to_vec(), ocsp: vec![ocsp] },
        intermediates: Vec::new(),
        certificate_profile: MemberNameProfile::fi_vrk().class_name,
        csr_format: Some(CsrFormat::Pem),
        acme: None,
    }
}

fn own_tsa(tsa: &Holder, config: &AuthorityConfig) -> ApprovedTsa {
    ApprovedTsa {
        name: tsa.certificate.subject().to_string(),
        url: config.url("/tsa"),
        cert: tsa.certificate.der().to_vec(),
        cost: Some(CostType::Free),
    }
}

fn written_logs(logs: &[FederationLog], config: &AuthorityConfig) -> Result<Option<Vec<u8>>, AuthorityError> {
    if logs.is_empty() {
        return Ok(None);
    }
    Ok(Some(TransparencyLogs { instance: config.instance.clone(), logs: logs.to_vec() }.write()?))
}

fn private_params(federation: &[String], config: &AuthorityConfig) -> Result<PrivateParams, AuthorityError> {
    let anchors = federation.iter().map(|anchor| read_anchor(anchor.as_bytes()));
    Ok(PrivateParams {
        instance: config.instance.clone(),
        anchors: anchors.collect::<Result<_, _>>()?,
        management: ManagementService {
            auth_cert_reg_address: config.auth_cert_reg_url.clone().unwrap_or_else(|| config.url("/authcertreg")),
            auth_cert_reg_cert: config.auth_cert_reg_certificate.clone(),
            provider: config.management_service.clone(),
        },
        time_stamping_interval_s: u32::try_from(config.time_stamping_interval.as_secs()).unwrap_or(u32::MAX),
    })
}

/// The moment as X-Road names its folders: digits only, down to the microsecond.
fn digits(moment: Timestamp) -> String {
    let calendar = moment.calendar();
    format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}{:06}",
        calendar.year(),
        u8::from(calendar.month()),
        calendar.day(),
        calendar.hour(),
        calendar.minute(),
        calendar.second(),
        calendar.microsecond()
    )
}
