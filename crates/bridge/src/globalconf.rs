//! The global configuration as the node sees it: fetched, verified against the anchor, swapped in whole, kept on disk.
//!
//! An outage of its source changes nothing until the configuration expires; then the node refuses all traffic, and goes on by itself
//! as soon as a valid one can be had (X-Road issue 2849). What is not signed, not whole, of another instance, or older than the
//! present one is refused, and the present one stays. Instances that the private parameters federate with are fetched too, all at
//! once and apart from the own one, which waits for none of them; where one fails, its last good configuration stays until it expires.
//! So is the optional list of transparency logs: one that cannot be used is left out, health says so, and the last good one stays.

mod kept;
mod part;
mod source;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use civic::{ClientId, MemberId, ServerId, SharedClock, Timestamp};
use tokio::sync::Notify;
use trust::cert::Certificate;
use trust::globalconf::{
    Anchor, FederatedInstance, FederationLog, ManagementService, TrustDir, TrustedCa, TrustedTsa, read_anchor,
};

use self::kept::Kept;
use self::part::{Part, Realm};
use self::source::{Fetcher, corrected};
use crate::attempts::{Attempt, Attempts};
use crate::fault::{Fault, Reason, Side};
use crate::message::AnyRequest;
use crate::outbound::{Outbound, OutboundError};
use crate::registry::GlobalGroupId;

/// The own instance and those that it federates with.
const INSTANCES_MAX: usize = 64;
/// So long the sources of a federated instance may take together.
const FEDERATED_LIMIT: Duration = Duration::from_mins(2);

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
    /// The sources of a federated instance took too long together.
    #[error("its sources did not give it within {0} s")]
    Slow(u64),
    /// The disk of the node failed.
    #[error("the last good configuration cannot be kept or read: {0}")]
    Disk(#[from] io::Error),
}

/// The handle: the present configuration and the way to the next.
pub(crate) struct GlobalConf {
    anchor: Anchor,
    kept: Kept,
    clock: SharedClock,
    current: RwLock<Option<Arc<Snapshot>>>,
    fetcher: Fetcher,
    own_turn: tokio::sync::Mutex<()>,
    federated_turn: tokio::sync::Mutex<()>,
    /// A part is added to the present configuration, never to one before it.
    swapping: Mutex<()>,
    renewed: Notify,
    opened: Timestamp,
    /// The last attempt at each source of the own configuration.
    asked: Attempts,
    /// The last attempt at the own configuration.
    refreshed: RwLock<Option<Attempt>>,
}

/// How the last refresh went.
pub(crate) enum Refreshed {
    /// There was none yet; the node is up since then.
    NotYet(Timestamp),
    /// It brought the configuration.
    Well(Timestamp),
    /// It failed: of each source why, or why the whole did.
    Failed(Timestamp, Vec<String>),
}

/// One configuration, parsed and indexed. It never changes.
pub(crate) struct Snapshot {
    dir: TrustDir,
    expires: Timestamp,
    id: [u8; 32],
    files: BTreeMap<String, Vec<u8>>,
    parts: BTreeMap<String, Arc<Part>>,
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
        let conf = Self {
            anchor,
            kept: Kept::open(folder)?,
            fetcher: Fetcher::new(outbound, Arc::clone(&clock)),
            opened: clock.now(),
            clock,
            current: RwLock::new(None),
            own_turn: tokio::sync::Mutex::default(),
            federated_turn: tokio::sync::Mutex::default(),
            swapping: Mutex::default(),
            renewed: Notify::new(),
            asked: Attempts::default(),
            refreshed: RwLock::new(None),
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

    /// Fetches the own configuration, and then those of the instances that it federates with. An error is about the own one.
    pub(crate) async fn refresh(&self) -> Result<(), ConfigurationError> {
        self.refresh_own().await?;
        self.refresh_federated().await;
        Ok(())
    }

    /// Fetches the own configuration and swaps it in. What is known of other instances stays, where it still federates with them: no
    /// other authority can keep this node from its own configuration.
    pub(crate) async fn refresh_own(&self) -> Result<(), ConfigurationError> {
        let _one_at_a_time = self.own_turn.lock().await;
        let at = self.clock.now();
        let fetched = self.fetch(&self.anchor, Realm::Own).await;
        let outcome = fetched.and_then(|own| self.take_over(&self.anchor, Realm::Own, own));
        let error = outcome.as_ref().err().map(ToString::to_string);
        *self.refreshed.write().unwrap_or_else(PoisonError::into_inner) = Some(Attempt { at, error });
        if outcome.is_ok() {
            self.renewed.notify_one();
        }
        outcome
    }

    /// How the last refresh went.
    pub(crate) fn refreshed(&self) -> Refreshed {
        let last = self.refreshed.read().unwrap_or_else(PoisonError::into_inner).clone();
        match last {
            None => Refreshed::NotYet(self.opened),
            Some(Attempt { at, error: None }) => Refreshed::Well(at),
            Some(Attempt { at, error: Some(error) }) => {
                let sources = self.asked.failures_since(at);
                Refreshed::Failed(at, if sources.is_empty() { vec![error] } else { sources })
            }
        }
    }

    /// Resolves once the own configuration was fetched after the last call.
    pub(crate) async fn own_renewed(&self) {
        self.renewed.notified().await;
    }

    /// Fetches the configurations of all instances that the own one federates with, at once, each for as long as [`FEDERATED_LIMIT`].
    /// Each is swapped in as it comes; where one fails the last good one stays.
    pub(crate) async fn refresh_federated(&self) {
        let _one_at_a_time = self.federated_turn.lock().await;
        let anchors = self.present(&self.anchor.instance).map_or_else(Vec::new, |own| self.federated(&own));
        futures_util::future::join_all(anchors.iter().map(|anchor| self.renew(anchor))).await;
    }

    async fn renew(&self, anchor: &Anchor) {
        let fetched = tokio::time::timeout(FEDERATED_LIMIT, self.fetch(anchor, Realm::Federated)).await;
        let fetched = fetched.unwrap_or(Err(ConfigurationError::Slow(FEDERATED_LIMIT.as_secs())));
        if let Err(error) = fetched.and_then(|part| self.take_over(anchor, Realm::Federated, part)) {
            tracing::warn!(instance = anchor.instance, %error, "a federated configuration is not renewed");
        }
    }

    async fn fetch(&self, anchor: &Anchor, realm: Realm) -> Result<Part, ConfigurationError> {
        let present = self.present(&anchor.instance);
        let sources =
            present.as_deref().map_or_else(|| self.kept.sources(anchor), |good| corrected(anchor, realm, good));
        let noted = (realm == Realm::Own).then_some(&self.asked);
        self.fetcher.fetch(&anchor.instance, &sources, present.as_deref(), noted).await
    }

    fn present(&self, instance: &str) -> Option<Arc<Part>> {
        self.current()?.parts.get(instance).cloned()
    }

    /// Swaps a part in, and keeps it on disk. What cannot be kept is in force all the same: the next start is without it.
    fn take_over(&self, anchor: &Anchor, realm: Realm, part: Part) -> Result<(), ConfigurationError> {
        let part = Arc::new(part);
        self.swap_in(&part)?;
        let corrected = (!part.params.sources.is_empty()).then(|| corrected(anchor, realm, &part));
        let kept = self.kept.keep(&part);
        let kept = kept.and_then(|()| corrected.map_or(Ok(()), |sources| self.kept.correct(anchor, &sources)));
        if let Err(error) = kept {
            tracing::warn!(
                instance = anchor.instance,
                %error,
                "a good configuration cannot be kept on disk; it is in force, but a restart would be without it. Free the disk of the \
                 node, or mend the rights of its state directory"
            );
        }
        Ok(())
    }

    fn swap_in(&self, part: &Arc<Part>) -> Result<(), ConfigurationError> {
        let _one_at_a_time = self.swapping.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.current();
        let own = &self.anchor.instance;
        let mut parts = before.as_ref().map_or_else(BTreeMap::new, |before| before.parts.clone());
        parts.insert(part.instance().to_owned(), Arc::clone(part));
        let federated = parts.get(own).map_or_else(Vec::new, |own| self.federated(own));
        parts.retain(|instance, _| instance == own || federated.iter().any(|anchor| anchor.instance == *instance));
        let snapshot = Snapshot::new(own, parts, Arc::clone(&self.clock)).map_err(ConfigurationError::Refused)?;
        if before.is_none_or(|before| before.id != snapshot.id) {
            for unusable in snapshot.dir.instance(part.instance()).into_iter().flat_map(FederatedInstance::unusable) {
                tracing::warn!("a part of the global configuration is left out: {unusable}");
            }
        }
        self.swap(snapshot);
        Ok(())
    }

    /// The anchors of the instances that the own one federates with.
    fn federated(&self, own: &Part) -> Vec<Anchor> {
        let anchors = own.private_params.iter().flat_map(|private| private.anchors.iter());
        let mut anchors: Vec<Anchor> =
            anchors.filter(|anchor| anchor.instance != self.anchor.instance).cloned().collect();
        if anchors.len() >= INSTANCES_MAX {
            tracing::warn!(
                count = anchors.len(),
                "the configuration federates with more instances than a node can hold"
            );
            anchors.truncate(INSTANCES_MAX - 1);
        }
        anchors
    }

    fn swap(&self, snapshot: Snapshot) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(snapshot));
    }

    fn read_kept(&self) -> Result<Option<Snapshot>, ConfigurationError> {
        let now = self.clock.now();
        let Some(own) = self.kept.read(&self.anchor, Realm::Own, now)? else { return Ok(None) };
        let federated = self.federated(&own);
        let mut parts = vec![own];
        for anchor in federated {
            match self.kept.read(&anchor, Realm::Federated, now) {
                Ok(part) => parts.extend(part),
                Err(error) => tracing::warn!(instance = anchor.instance, %error, "a kept configuration is not used"),
            }
        }
        let parts = parts.into_iter().map(|part| (part.instance().to_owned(), Arc::new(part))).collect();
        let snapshot = Snapshot::new(&self.anchor.instance, parts, Arc::clone(&self.clock));
        snapshot.map(Some).map_err(ConfigurationError::Refused)
    }
}

impl Snapshot {
    fn new(own: &str, parts: BTreeMap<String, Arc<Part>>, clock: SharedClock) -> Result<Self, String> {
        let mut instances = Vec::with_capacity(parts.len());
        let (mut files, mut digests) = (BTreeMap::new(), Vec::with_capacity(parts.len() * 32));
        for part in parts.values() {
            instances.push((part.params.clone(), part.private_params.clone(), Some(part.expires)));
            files.extend(TrustDir::files(part.instance(), &part.shared, part.version, part.expires));
            digests.extend_from_slice(&trust::digest::sha256(&part.shared));
        }
        let own_part = parts.get(own).ok_or("there is no configuration of the own instance")?;
        // The file that names the own instance: that of the last part would stand there.
        files.extend(TrustDir::files(own, &own_part.shared, own_part.version, own_part.expires));
        let expires = own_part.expires;
        let dir = TrustDir::of(own, instances).map_err(|error| error.to_string())?;
        Ok(Self { dir, expires, id: trust::digest::sha256(&digests), files, parts, clock })
    }

    /// What makes two configurations the same: a digest of the shared parameters of all instances.
    pub(crate) const fn id(&self) -> &[u8; 32] {
        &self.id
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

    /// The configuration of the instance of a member or node, while it holds.
    pub(crate) fn instance_of(&self, instance: &str) -> Result<&FederatedInstance, String> {
        self.dir.check_fresh(instance, self.now()).map_err(|error| error.to_string())?;
        self.dir.instance(instance).ok_or_else(|| format!("the instance {instance} is not in the global configuration"))
    }

    /// The instance of this node's authority.
    pub(crate) fn instance(&self) -> &str {
        self.dir.own_instance()
    }

    /// The transparency logs that the own federation relies on; none where its authority names none.
    pub(crate) fn logs(&self) -> &[FederationLog] {
        let logs = self.parts.get(self.instance()).and_then(|part| part.logs.logs.as_ref());
        logs.map_or(&[], |logs| &logs.logs)
    }

    /// Why the list of logs is an older one than that of the authority.
    pub(crate) fn logs_refused(&self) -> Option<&str> {
        self.parts.get(self.instance())?.logs.refused.as_deref()
    }

    /// The configuration of that instance.
    pub(crate) fn own(&self) -> Option<&FederatedInstance> {
        self.dir.own()
    }

    /// The configurations that hold now, the own one first.
    pub(crate) fn in_force(&self) -> impl Iterator<Item = &FederatedInstance> {
        let own = self.dir.own_instance();
        let others = self.dir.instances().filter(move |instance| instance.shared().instance != own);
        let now = self.now();
        self.dir.own().into_iter().chain(others).filter(move |instance| instance.expires().is_none_or(|end| now < end))
    }

    /// The authority that issued a certificate: one of the own instance, else one of a federated instance.
    pub(crate) fn issuer_of(&self, certificate: &Certificate) -> Option<&TrustedCa> {
        self.in_force().find_map(|instance| instance.issuer_of(certificate))
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

    /// Whether the global group is in the configuration.
    pub(crate) fn knows_group(&self, group: &GlobalGroupId) -> bool {
        self.dir.instance(&group.instance).is_some_and(|instance| instance.group(&group.code).is_some())
    }

    /// Whether the member is in the configuration.
    pub(crate) fn knows_member(&self, member: &MemberId) -> bool {
        self.dir.member(member).is_some()
    }

    /// Whether the client is in the configuration.
    pub(crate) fn knows_client(&self, client: &ClientId) -> bool {
        self.dir.client_exists(client)
    }

    /// The registered subsystems of the own instance.
    pub(crate) fn subsystems(&self) -> impl Iterator<Item = ClientId> + '_ {
        let members = self.own().into_iter().flat_map(|own| &own.shared().members);
        members.flat_map(|member| member.subsystems.iter().filter_map(|one| member.id.subsystem(&one.code).ok()))
    }

    /// The official name of a member; its code where there is none.
    pub(crate) fn member_name(&self, member: &MemberId) -> String {
        self.dir.member_name(member).map_or_else(|| member.code().to_owned(), str::to_owned)
    }

    /// Where the authority takes requests of nodes; the private parameters say it.
    pub(crate) fn management(&self) -> Option<&ManagementService> {
        Some(&self.own()?.private()?.management)
    }

    /// The words of the maintenance that a node is in.
    pub(crate) fn maintenance_of(&self, server: &ServerId) -> Option<&str> {
        self.dir.server(server)?.maintenance.as_deref()
    }

    /// The registered address of a node.
    pub(crate) fn address_of(&self, server: &ServerId) -> Option<String> {
        self.dir.server(server)?.address.clone()
    }

    /// The nodes to which a request may go.
    pub(crate) fn targets(&self, request: &AnyRequest) -> Result<Vec<Target>, Fault> {
        let provider = request.service().client();
        let unknown = |reason, message| Err(Fault::new(Side::ClientProxy, reason, message));
        if !self.dir.client_exists(provider) {
            return unknown(Reason::UnknownMember, format!("{provider} does not exist. Check the service id"));
        }
        if let Err(reason) = self.instance_of(provider.member().instance()) {
            return unknown(Reason::GlobalConfOutdated, format!("{reason}. The node goes on by itself"));
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
}
