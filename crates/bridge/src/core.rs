//! What all parts of a running node share.

use std::sync::{Arc, PoisonError, RwLock};

use civic::{SharedClock, SharedRandom};
use ledger::{ClientError, LedgerClient, Outbox};
use trust::cert::Certificate;
use trust::digest::DigestAlgorithm;
use trust::jose::Jwk;
use trust::keys::SigningKey;

use crate::access::ServicePath;
use crate::api::RateLimiter;
use crate::authorisation::{Authorised, Authoriser};
use crate::config::NodeConfig;
use crate::consumer::Pool;
use crate::fault::{Fault, Reason, Side};
use crate::globalconf::{GlobalConf, Snapshot, Target};
use crate::keys::NodeKeys;
use crate::message::AnyRequest;
use crate::messagelog::{Archiver, Committer, MessageLog, Role, Stamper, StoredRecord};
use crate::metrics::Metrics;
use crate::ocsp::{self, OwnOcsp, Trusted};
use crate::operations::Operations;
use crate::outbound::Outbound;
use crate::registry::Registry;
use crate::signing::Signatures;
use crate::spool::Spool;
use crate::tls::{self, Peer, Shown, TlsIdentity};
use crate::watch::Watch;
use crate::witness::Witnessing;

/// The shared state of one node.
pub(crate) struct Core {
    pub(crate) config: NodeConfig,
    pub(crate) registry: Registry,
    /// The keys that the node works with.
    pub(crate) keys: RwLock<NodeKeys>,
    /// Those of its files: in use unless others were activated.
    pub(crate) files: RwLock<NodeKeys>,
    /// The configuration as it was read last: what it declares now. The rest of it counts from the next start on.
    pub(crate) declared: RwLock<Arc<NodeConfig>>,
    pub(crate) api_calls: RateLimiter,
    pub(crate) clock: SharedClock,
    pub(crate) random: SharedRandom,
    pub(crate) conf: Arc<GlobalConf>,
    pub(crate) own_ocsp: OwnOcsp,
    /// Held while keys are taken over, so that what was read earlier is not put in force later.
    pub(crate) taking_over: tokio::sync::Mutex<()>,
    pub(crate) tls: Arc<TlsIdentity>,
    pub(crate) internal: Option<Arc<TlsIdentity>>,
    pub(crate) trusted: Trusted,
    pub(crate) log: MessageLog,
    pub(crate) stamper: Stamper,
    pub(crate) committer: Committer,
    pub(crate) archiver: Archiver,
    pub(crate) outbound: Outbound,
    pub(crate) pool: Arc<Pool>,
    pub(crate) spool: Arc<Spool>,
    pub(crate) signatures: Signatures,
    pub(crate) authoriser: Option<Authoriser>,
    pub(crate) ledger: Option<LedgerClient>,
    /// The way of administrative acts to the ledger.
    pub(crate) acts: Option<Outbox>,
    pub(crate) watch: Watch,
    pub(crate) witness: Option<Witnessing>,
    pub(crate) metrics: Metrics,
    pub(crate) operations: Operations,
}

impl Core {
    pub(crate) fn uuid(&self) -> String {
        civic::time_uuid(self.clock.now(), &*self.random)
    }

    /// The keys and certificates that the node works with.
    pub(crate) fn keys(&self) -> NodeKeys {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The key that signs what the node tells the consent service and the ledger: its signing key, where that is of a kind that tokens
    /// are signed with (RSA and P-384 are for older peers), else the one of its files.
    pub(crate) fn token_key(&self) -> SigningKey {
        token_key(&self.keys(), &self.files())
    }

    /// The certificates that the node works with, whose end an operator must know.
    pub(crate) fn certificates(&self) -> [Certificate; 2] {
        let keys = self.keys();
        [keys.sign_certificate, keys.auth_certificate]
    }

    /// The keys and certificates of its files.
    pub(crate) fn files(&self) -> NodeKeys {
        self.files.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The configuration whose clients, services, rights and connections are in force.
    pub(crate) fn declared(&self) -> Arc<NodeConfig> {
        Arc::clone(&self.declared.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The valid global configuration.
    pub(crate) fn configuration(&self, side: Side) -> Result<Arc<Snapshot>, Fault> {
        self.conf.valid(side)
    }

    /// Whether new exchanges may begin: not where the operator wants a stop without time stamps, and there are none.
    pub(crate) fn admits(&self, side: Side) -> Result<(), Fault> {
        self.log.admits().map_err(|error| Fault::new(side, Reason::TimestamperFailed, error.to_string()))
    }

    /// Gives a fault its id and writes it to the log of the program, once. No personal data: codes, ids, words of nodes. What a service
    /// says stays out: its words may name a person.
    pub(crate) fn logged(&self, role: Role, fault: Fault) -> Fault {
        let fault = fault.with_detail(self.uuid());
        let words = fault.words_for_log();
        tracing::warn!(
            node = %self.config.server,
            ?role,
            code = words.code,
            detail = words.detail,
            "an exchange was refused or failed: {}",
            words.message
        );
        fault
    }

    /// Writes down how a request ended that is in the message log already. The fault is what counts: where this fails it is only said.
    pub(crate) async fn note_failure(&self, role: Role, request: &AnyRequest, fault: &Fault) {
        if let Err(error) = self.log.note_failure(role, request, fault.code()).await {
            tracing::warn!(node = %self.config.server, %error, "how an exchange ended is not in the message log");
        }
    }

    /// Who is at the other end of a connection.
    pub(crate) fn peer_of(&self, shown: &Shown) -> Result<Peer, String> {
        let snapshot = self.conf.current().ok_or("there is no global configuration")?;
        tls::peer_of(shown, &snapshot)
    }

    /// Whether the certificate of a peer is still valid and registered for the same node.
    pub(crate) fn is_registered(&self, peer: &Peer) -> bool {
        self.conf.current().is_some_and(|snapshot| {
            snapshot.server_of(&peer.fingerprint) == Some(&peer.server) && peer.certificate.is_valid_at(snapshot.now())
        })
    }

    /// Whether a peer may be sent to without asking again.
    pub(crate) fn trusts(&self, peer: &Peer) -> bool {
        self.is_registered(peer) && self.trusted.is_good(&peer.fingerprint, self.clock.now())
    }

    /// Accepts the OCSP response that a peer showed about itself.
    pub(crate) fn accept_ocsp(&self, peer: &Peer, response: &[u8]) -> Result<(), String> {
        let snapshot = self.conf.current().ok_or("there is no global configuration")?;
        self.trusted.accept_ocsp(&peer.certificate, response, &snapshot)
    }

    /// Makes sure that a provider's certificate is good before anything is sent to it.
    pub(crate) async fn ensure_ocsp(&self, peer: &Peer, target: &Target) -> Result<(), String> {
        if self.trusted.is_good(&peer.fingerprint, self.clock.now()) {
            return Ok(());
        }
        let mut last = "its node gave no OCSP response".to_owned();
        for response in ocsp::fetch(&self.outbound, target, &peer.certificate).await? {
            match self.accept_ocsp(peer, &response) {
                Ok(()) => return Ok(()),
                Err(reason) => last = reason,
            }
        }
        Err(last)
    }

    /// Checks token and grant for a service that rests on consent.
    pub(crate) async fn authorise(&self, request: &AnyRequest, path: &ServicePath) -> Result<Authorised, Fault> {
        let Some(authoriser) = &self.authoriser else {
            let message = "this node does not know the consent service. Its operator must configure it";
            return Err(Fault::new(Side::ServerProxy, Reason::ConsentUnavailable, message));
        };
        authoriser.authorise(&self.token_key(), &self.outbound, request, path, self.clock.now()).await
    }

    /// Looks at every log that the node follows, once.
    pub(crate) async fn look_at_logs(&self) -> Result<(), String> {
        let snapshot = self.conf.current();
        let named = snapshot.as_ref().map_or(&[][..], |snapshot| snapshot.logs());
        self.watch.round(named, self.clock.now()).await
    }

    /// Brings the logs of a configuration into force: the witness cosigns for them from now on, and the next look, which is soon, is at them.
    pub(crate) fn hear_of_logs(&self, snapshot: &Snapshot) -> Result<(), String> {
        self.watch.hear(snapshot.logs());
        self.witness.as_ref().map_or(Ok(()), |witness| witness.take_over(snapshot.logs()))
    }

    /// By what a message to these nodes is digested: by SHA-512, which every node takes, unless all of them said that they take our other.
    pub(crate) fn hash_for(&self, targets: &[Target]) -> DigestAlgorithm {
        if self.pool.accept_our_hash(targets) { self.config.log.hash } else { DigestAlgorithm::Sha512 }
    }

    /// The proof that a record is in the ledger, with what opens its entry; `None` while it is not.
    pub(crate) async fn record_proof(&self, record: &StoredRecord) -> Result<Option<String>, ClientError> {
        if record.kept_proof.is_some() {
            return Ok(record.kept_proof.clone());
        }
        let (Some(ledger), Some(entry)) = (&self.ledger, &record.entry) else { return Ok(None) };
        let proof = ledger.proof(entry.index, &entry.opening.leaf()).await?;
        Ok(Some(entry.opening.put_into(&proof)?))
    }

    /// The proof that a leaf is in the ledger; `None` while the ledger cannot be reached.
    pub(crate) async fn leaf_proof(&self, index: u64, leaf: &[u8]) -> Option<String> {
        had(self.ledger.as_ref()?.proof(index, leaf).await)
    }
}

/// A proof of the ledger, for whoever goes on without where there is none.
pub(crate) fn had<T>(proof: Result<T, ClientError>) -> Option<T> {
    proof.inspect_err(|error| tracing::warn!(%error, "a proof of the ledger cannot be had")).ok()
}

/// Of the keys in use and those of the files, the one that signs tokens.
pub(crate) fn token_key(in_use: &NodeKeys, files: &NodeKeys) -> SigningKey {
    let signs_tokens = Jwk::of(in_use.sign.public()).is_ok();
    if signs_tokens { in_use.sign.clone() } else { files.sign.clone() }
}
