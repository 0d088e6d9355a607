//! The global configuration, as generated and signed at a moment.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use civic::{Random, Timestamp};
use trust::cert::MemberNameProfile;
use trust::globalconf::{
    Anchor, AnchorSource, ApprovedCa, ApprovedTsa, CaInfo, ConfigurationSource, Directory, DirectoryPart,
    ManagementService, MemberClass, OcspInfo, PRIVATE_PARAMETERS, PrivateParams, SHARED_PARAMETERS, SharedParams,
    write_anchor, write_private, write_shared_v5,
};

use crate::keys::Keys;
use crate::store::Registry;
use crate::{AuthorityConfig, AuthorityError};

/// The version of the configuration that we write.
pub(crate) const VERSION: u32 = 5;
/// Generations whose files are still served to nodes that read an older directory: at most this many.
const GENERATIONS_MAX: usize = 64;

/// What is served now.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    /// Until when the signed directories hold.
    pub(crate) expires: Timestamp,
    /// The signed directory for members.
    pub(crate) internal: Vec<u8>,
    /// The signed directory for other instances.
    pub(crate) external: Vec<u8>,
    /// The newest generation of files is the last.
    generations: VecDeque<Generation>,
}

#[derive(Clone, Debug)]
struct Generation {
    /// When it was made; no two generations have the same moment, even where the clock stands still or goes back.
    made: Timestamp,
    /// `/V5/20261121224000000000`: the moment.
    folder: String,
    shared: Vec<u8>,
    private: Vec<u8>,
    /// From when on no valid directory speaks of it; `None` for the newest.
    forgotten_from: Option<Timestamp>,
}

impl Published {
    /// Generates, signs and puts in the place of `before`. Files that did not change keep their address, so that nodes
    /// need not fetch them again.
    pub(crate) fn generate(
        before: Option<&Self>,
        registry: Registry,
        config: &AuthorityConfig,
        keys: &Keys,
        now: Timestamp,
        boundaries: &dyn Random,
    ) -> Result<Self, AuthorityError> {
        let shared = write_shared_v5(&shared_params(registry, config, keys)).into_bytes();
        let private = write_private(&private_params(config)).into_bytes();
        let mut generations = before.map(|before| before.generations.clone()).unwrap_or_default();
        generations.retain(|generation| generation.forgotten_from.is_none_or(|moment| now < moment));
        let unchanged = generations.back().is_some_and(|last| last.shared == shared && last.private == private);
        if !unchanged {
            if let Some(last) = generations.back_mut() {
                last.forgotten_from = Some(now.plus(config.expires));
            }
            let after_last = generations.back().map(|last| last.made.plus(Duration::from_micros(1)));
            let made = after_last.map_or(now, |after_last| after_last.max(now));
            let folder = format!("/V{VERSION}/{}", digits(made));
            generations.push_back(Generation { made, folder, shared, private, forgotten_from: None });
        }
        while generations.len() > GENERATIONS_MAX {
            generations.pop_front();
        }
        let Some(last) = generations.back() else { return Err(AuthorityError::Stopped) };
        let expires = Timestamp::from_seconds(now.plus(config.expires).seconds());
        let part = |identifier, file, content: &[u8]| {
            DirectoryPart::of(identifier, &config.instance, &format!("{}/{file}", last.folder), content)
        };
        let shared_part = part(SHARED_PARAMETERS, "shared-params.xml", &last.shared);
        let private_part = part(PRIVATE_PARAMETERS, "private-params.xml", &last.private);
        let sign = |parts| {
            let directory = Directory { expires, version: Some(VERSION), parts };
            directory.sign(&keys.configuration.key, keys.configuration.certificate.der(), boundaries)
        };
        let internal = sign(vec![private_part, shared_part.clone()])?;
        let external = sign(vec![shared_part])?;
        Ok(Self { expires, internal, external, generations })
    }

    /// A file by its path (`/V5/…/shared-params.xml`).
    pub(crate) fn file(&self, path: &str) -> Option<&[u8]> {
        let (folder, name) = path.rsplit_once('/')?;
        let generation = self.generations.iter().find(|generation| generation.folder == folder)?;
        match name {
            "shared-params.xml" => Some(&generation.shared),
            "private-params.xml" => Some(&generation.private),
            _ => None,
        }
    }

    /// The newest `shared-params.xml`.
    pub(crate) fn shared(&self) -> &[u8] {
        self.generations.back().map(|generation| generation.shared.as_slice()).unwrap_or_default()
    }

    /// The folder that `baobab verify --trust` and X-Road's verifier read.
    pub(crate) fn trust_files(&self, instance: &str) -> BTreeMap<String, Vec<u8>> {
        trust::globalconf::TrustDir::files(instance, self.shared(), VERSION, self.expires)
    }
}

/// The anchor that nodes of this instance start from.
pub(crate) fn anchor(config: &AuthorityConfig, keys: &Keys) -> String {
    let certificate = &keys.configuration.certificate;
    write_anchor(&Anchor {
        generated_at: Some(certificate.not_before()),
        instance: config.instance.clone(),
        sources: vec![AnchorSource {
            download_url: config.url("/internalconf"),
            certs: vec![certificate.der().to_vec()],
        }],
    })
}

fn shared_params(registry: Registry, config: &AuthorityConfig, keys: &Keys) -> SharedParams {
    let configuration = keys.configuration.certificate.der().to_vec();
    let ocsp = OcspInfo { url: config.url("/ocsp"), cert: Some(keys.ocsp.certificate.der().to_vec()) };
    let classes = config.member_classes.iter();
    SharedParams {
        sources: vec![ConfigurationSource {
            address: config.address().to_owned(),
            internal_certs: vec![configuration.clone()],
            external_certs: vec![configuration],
        }],
        approved_cas: vec![ApprovedCa {
            name: keys.authority.certificate.subject().to_string(),
            authentication_only: false,
            top: CaInfo { cert: keys.authority.certificate.der().to_vec(), ocsp: vec![ocsp] },
            intermediates: Vec::new(),
            certificate_profile: MemberNameProfile::fi_vrk().class_name,
            acme: None,
        }],
        approved_tsas: vec![ApprovedTsa {
            name: keys.tsa.certificate.subject().to_string(),
            url: config.url("/tsa"),
            cert: keys.tsa.certificate.der().to_vec(),
        }],
        members: registry.members,
        servers: registry.servers,
        member_classes: classes
            .map(|(code, description)| MemberClass { code: code.clone(), description: description.clone() })
            .collect(),
        ocsp_freshness_s: u32::try_from(config.ocsp_freshness.as_secs()).unwrap_or(u32::MAX),
        ..SharedParams::empty(&config.instance)
    }
}

fn private_params(config: &AuthorityConfig) -> PrivateParams {
    PrivateParams {
        instance: config.instance.clone(),
        anchors: Vec::new(),
        management: ManagementService {
            auth_cert_reg_address: config.public_url.clone(),
            auth_cert_reg_cert: None,
            provider: config.management_service.clone(),
        },
        time_stamping_interval_s: u32::try_from(config.time_stamping_interval.as_secs()).unwrap_or(u32::MAX),
    }
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
