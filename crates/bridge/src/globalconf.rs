//! The global configuration as the node sees it: fetched, verified against the anchor, swapped in whole, kept on disk.
//!
//! An outage of its source changes nothing until the configuration expires; then the node refuses all traffic, and goes on by itself
//! as soon as a valid one can be had (X-Road issue 2849). A configuration that is older than the present one is refused.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use civic::{ClientId, MemberId, ServerId, SharedClock, Timestamp};
use trust::cert::Certificate;
use trust::globalconf::{
    Anchor, Directory, FederatedInstance, SHARED_PARAMETERS, TrustDir, TrustedCa, TrustedTsa, read_anchor, read_shared,
};

use crate::fault::{Fault, Reason, Side};
use crate::message::RestRequest;
use crate::outbound::{Outbound, OutboundError};
use crate::registry::GlobalGroupId;

const VERSION: u32 = 5;
const FETCH_LIMIT: Duration = Duration::from_secs(20);
const DIRECTORY_BYTES_MAX: usize = 1024 * 1024;
const DIRECTORY_FILE: &str = "directory";
const SHARED_FILE: &str = "shared-params.xml";

/// Why there is no new global configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// The anchor is malformed.
    #[error("the configuration anchor cannot be used: {0}. Get a new one from the governing authority")]
    Anchor(String),
    /// No source answered.
    #[error("the source of the global configuration cannot be reached: {0}")]
    Fetch(#[from] OutboundError),
    /// What came is not what the authority signed, or is broken.
    #[error("the global configuration is refused: {0}")]
    Refused(String),
    /// The disk of the node failed.
    #[error("the last good configuration cannot be kept or read: {0}")]
    Disk(#[from] io::Error),
}

/// The handle: the present configuration and the way to the next.
pub(crate) struct GlobalConf {
    anchor: Anchor,
    folder: PathBuf,
    clock: SharedClock,
    outbound: Outbound,
    current: RwLock<Option<Arc<Snapshot>>>,
    refreshing: tokio::sync::Mutex<()>,
}

/// One configuration, parsed and indexed. It never changes.
pub(crate) struct Snapshot {
    dir: TrustDir,
    expires: Timestamp,
    shared_digest: [u8; 32],
    files: BTreeMap<String, Vec<u8>>,
    clock: SharedClock,
}

/// A node to which a message may go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub(crate) server: ServerId,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) ocsp_port: u16,
}

impl Target {
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    pub(crate) fn ocsp_authority(&self) -> String {
        Self { port: self.ocsp_port, ..self.clone() }.authority()
    }
}

impl GlobalConf {
    /// Reads the anchor and the last good configuration from disk, where there is one that still holds.
    pub(crate) fn open(
        anchor: &[u8],
        folder: PathBuf,
        clock: SharedClock,
        outbound: Outbound,
    ) -> Result<Self, ConfigurationError> {
        let anchor = read_anchor(anchor).map_err(|error| ConfigurationError::Anchor(error.to_string()))?;
        std::fs::create_dir_all(&folder)?;
        let conf = Self {
            anchor,
            folder,
            clock,
            outbound,
            current: RwLock::new(None),
            refreshing: tokio::sync::Mutex::new(()),
        };
        match conf.read_kept() {
            Ok(Some(snapshot)) => conf.swap(snapshot),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the kept global configuration is not used"),
        }
        Ok(conf)
    }

    /// The present configuration, also when it has expired.
    pub(crate) fn current(&self) -> Option<Arc<Snapshot>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The present configuration if it holds.
    pub(crate) fn valid(&self, side: Side) -> Result<Arc<Snapshot>, Fault> {
        let outdated = |message: String| Fault::new(side, Reason::GlobalConfOutdated, message);
        let snapshot = self.current().ok_or_else(|| {
            outdated(
                "the node has no global configuration yet. It goes on by itself once the authority can be reached"
                    .to_owned(),
            )
        })?;
        if self.clock.now() >= snapshot.expires {
            let message = format!(
                "the global configuration expired at {}. The node goes on by itself once the authority can be reached",
                snapshot.expires
            );
            return Err(outdated(message));
        }
        Ok(snapshot)
    }

    /// Fetches the configuration from the first source that answers well, and swaps it in.
    pub(crate) async fn refresh(&self) -> Result<(), ConfigurationError> {
        let _one_at_a_time = self.refreshing.lock().await;
        let mut last = ConfigurationError::Anchor("it names no source".to_owned());
        for source in &self.anchor.sources {
            match self.fetch(&source.download_url, &source.certs).await {
                Ok(()) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn fetch(&self, url: &str, certs: &[Vec<u8>]) -> Result<(), ConfigurationError> {
        let separator = if url.contains('?') { '&' } else { '?' };
        let versioned = format!("{url}{separator}version={VERSION}");
        let (_, bytes) = self.outbound.get(&versioned, FETCH_LIMIT, DIRECTORY_BYTES_MAX).await?;
        let directory = self.verify(&bytes, certs)?;
        let current = self.current();
        if let Some(current) = &current
            && directory.expires < current.expires
        {
            let message =
                format!("it ends at {}, before the present one: an old one was played back", directory.expires);
            return Err(ConfigurationError::Refused(message));
        }
        let part = directory
            .part(SHARED_PARAMETERS, &self.anchor.instance)
            .ok_or_else(|| ConfigurationError::Refused("it has no shared parameters of this instance".to_owned()))?;
        let kept = current.and_then(|current| current.shared_file().filter(|file| part.check(file).is_ok()));
        let shared = if let Some(file) = kept {
            file
        } else {
            let location = absolute(url, &part.location)?;
            let limit = trust::globalconf::FILE_BYTES_MAX;
            let (_, file) = self.outbound.get(&location, FETCH_LIMIT, limit).await?;
            part.check(&file).map_err(|error| ConfigurationError::Refused(error.to_string()))?;
            file.to_vec()
        };
        let snapshot = self.snapshot(shared.clone(), directory.expires)?;
        self.keep(&bytes, &shared)?;
        self.swap(snapshot);
        Ok(())
    }

    fn verify(&self, bytes: &[u8], certs: &[Vec<u8>]) -> Result<Directory, ConfigurationError> {
        Directory::verify(bytes, certs, self.clock.now())
            .map_err(|error| ConfigurationError::Refused(error.to_string()))
    }

    fn snapshot(&self, shared: Vec<u8>, expires: Timestamp) -> Result<Snapshot, ConfigurationError> {
        let refused = |error: String| ConfigurationError::Refused(error);
        let params = read_shared(&shared).map_err(|error| refused(error.to_string()))?;
        if params.instance != self.anchor.instance {
            return Err(refused(format!("it is of the instance {}", params.instance)));
        }
        Snapshot::new(params, shared, expires, Arc::clone(&self.clock)).map_err(refused)
    }

    fn swap(&self, snapshot: Snapshot) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(snapshot));
    }

    /// The directory is written last: it is only believed together with the file whose digest it holds.
    fn keep(&self, directory: &[u8], shared: &[u8]) -> io::Result<()> {
        for (name, content) in [(SHARED_FILE, shared), (DIRECTORY_FILE, directory)] {
            let target = self.folder.join(name);
            if std::fs::read(&target).is_ok_and(|present| present == content) {
                continue;
            }
            let partial = self.folder.join(format!("{name}.partial"));
            std::fs::write(&partial, content)?;
            std::fs::File::open(&partial)?.sync_all()?;
            std::fs::rename(&partial, &target)?;
        }
        Ok(())
    }

    fn read_kept(&self) -> Result<Option<Snapshot>, ConfigurationError> {
        let directory = match std::fs::read(self.folder.join(DIRECTORY_FILE)) {
            Ok(directory) => directory,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let shared = std::fs::read(self.folder.join(SHARED_FILE))?;
        let certs: Vec<Vec<u8>> = self.anchor.sources.iter().flat_map(|source| source.certs.clone()).collect();
        let directory = self.verify(&directory, &certs)?;
        let refused = |error: String| ConfigurationError::Refused(error);
        let part = directory.part(SHARED_PARAMETERS, &self.anchor.instance);
        part.ok_or_else(|| refused("the kept one is of another instance".to_owned()))?
            .check(&shared)
            .map_err(|error| refused(error.to_string()))?;
        self.snapshot(shared, directory.expires).map(Some)
    }
}

impl Snapshot {
    fn new(
        params: trust::globalconf::SharedParams,
        shared: Vec<u8>,
        expires: Timestamp,
        clock: SharedClock,
    ) -> Result<Self, String> {
        let instance = params.instance.clone();
        let shared_digest = trust::digest::sha256(&shared);
        let files = TrustDir::files(&instance, &shared, VERSION, expires);
        let dir = TrustDir::of(&instance, vec![(params, None, Some(expires))]).map_err(|error| error.to_string())?;
        for unusable in dir.own().into_iter().flat_map(trust::globalconf::FederatedInstance::unusable) {
            tracing::warn!("a part of the global configuration is left out: {unusable}");
        }
        Ok(Self { dir, expires, shared_digest, files, clock })
    }

    /// What makes two configurations the same: the digest of the shared parameters.
    pub(crate) const fn id(&self) -> &[u8; 32] {
        &self.shared_digest
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) const fn expires(&self) -> Timestamp {
        self.expires
    }

    /// The files of `/verificationconf`.
    pub(crate) const fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.files
    }

    pub(crate) fn instance(&self) -> &str {
        self.dir.own_instance()
    }

    /// The own instance's configuration.
    pub(crate) fn own(&self) -> Option<&FederatedInstance> {
        self.dir.own()
    }

    /// The authority that issued a certificate.
    pub(crate) fn issuer_of(&self, certificate: &Certificate) -> Option<&TrustedCa> {
        self.dir.own()?.issuer_of(certificate)
    }

    /// The time-stamping authorities.
    pub(crate) fn tsas(&self) -> &[TrustedTsa] {
        self.dir.own().map_or(&[], FederatedInstance::tsas)
    }

    /// How old an OCSP response may be.
    pub(crate) fn ocsp_freshness(&self) -> Duration {
        Duration::from_secs(self.dir.own().map_or(3_600, |own| u64::from(own.shared().ocsp_freshness_s)))
    }

    /// Whether the client is registered at the node.
    pub(crate) fn serves(&self, server: &ServerId, client: &ClientId) -> bool {
        self.dir.is_client_of(client, server)
    }

    /// The node whose authentication certificate has this SHA-256 digest.
    pub(crate) fn server_of(&self, fingerprint: &[u8; 32]) -> Option<&ServerId> {
        self.dir.server_of_auth_cert_hash(fingerprint)
    }

    /// Whether the client is in a global group; the authority of the group's instance says so.
    pub(crate) fn is_in_group(&self, group: &GlobalGroupId, client: &ClientId) -> bool {
        let found = self.dir.instance(&group.instance).and_then(|instance| instance.group(&group.code));
        found.is_some_and(|found| found.members.contains(client))
    }

    /// The official name of a member; its code where there is none.
    pub(crate) fn member_name(&self, member: &MemberId) -> String {
        self.dir.member_name(member).map_or_else(|| member.code().to_owned(), str::to_owned)
    }

    /// The registered address of a node.
    pub(crate) fn address_of(&self, server: &ServerId) -> Option<String> {
        self.dir.server(server)?.address.clone()
    }

    /// The nodes to which a request may go.
    pub(crate) fn targets(&self, request: &RestRequest) -> Result<Vec<Target>, Fault> {
        let provider = request.service().client();
        let unknown = |reason, message| Err(Fault::new(Side::ClientProxy, reason, message));
        if !self.dir.client_exists(provider) {
            return unknown(Reason::UnknownMember, format!("{provider} does not exist. Check the service id"));
        }
        let mut targets = Vec::new();
        let mut maintained = None;
        for server in self.dir.servers_of_client(provider) {
            let wanted = request.server().is_none_or(|wanted| wanted == &server.id);
            if let (true, Some(words)) = (wanted, &server.maintenance) {
                maintained = Some((&server.id, words));
            }
            if let (true, None, Some((host, port)), Some((_, ocsp_port))) =
                (wanted, &server.maintenance, server.transport_address(), server.ocsp_address())
            {
                let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                targets.push(Target { server: server.id.clone(), host, port, ocsp_port });
            }
        }
        if let (true, Some((server, words))) = (targets.is_empty(), maintained) {
            let words: String = words.chars().filter(|character| !character.is_control()).take(500).collect();
            let message =
                format!("the node {server} is in maintenance. Try again later. Its administrator says: {words}");
            return unknown(Reason::MaintenanceMode, message);
        }
        match (targets.is_empty(), request.server()) {
            (false, _) => Ok(targets),
            (true, Some(server)) => unknown(
                Reason::InvalidSecurityServer,
                format!("{server} does not serve {provider} now. Check X-Road-Security-Server, or leave it out"),
            ),
            (true, None) => unknown(
                Reason::UnknownMember,
                format!("{provider} has no node in service. Try again later, or tell its owner"),
            ),
        }
    }

    fn shared_file(&self) -> Option<Vec<u8>> {
        self.files.get(&format!("{}/{SHARED_FILE}", self.instance())).cloned()
    }
}

/// The address of a part: its location is a path on the host of the directory (PR-GCONF §3.2).
fn absolute(url: &str, location: &str) -> Result<String, ConfigurationError> {
    let refused = || ConfigurationError::Refused(format!("`{url}` or the location of a part is no address"));
    let uri: http::Uri = url.parse().map_err(|_| refused())?;
    let (scheme, authority) = uri.scheme_str().zip(uri.authority()).ok_or_else(refused)?;
    if !location.starts_with('/') {
        return Err(refused());
    }
    Ok(format!("{scheme}://{authority}{location}"))
}
