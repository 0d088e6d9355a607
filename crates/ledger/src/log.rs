use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use civic::{SharedClock, Timestamp};
use prometheus_client::registry::Registry;
use store::Store;
use tokio::sync::{mpsc, oneshot, watch};
use trust::keys::SigningKey;
use trust::merkle::{Hash, Tile, leaf_hash};
use trust::note::{Cosigner, NoteSigner, TlogProof, VerifierKey};

use crate::check::{self, CheckReport};
use crate::folder::{Files, Folder};
use crate::metrics::Metrics;
use crate::plan::Plan;
use crate::publish::{self, LogKeys, Published, blocking};
use crate::recent::Recent;
use crate::rows::{self, Rows};
use crate::sequence::{self, Request};
use crate::source::{Nothing, Reader, Source, TileCache, damaged};
use crate::witnessing::{self, Quorum, Witnessed};
use crate::{LedgerConfig, LedgerError};

/// An entry is at most this long, in bytes (C2SP tlog-tiles: a 16-bit length).
pub const ENTRY_BYTES_MAX: usize = 65_535;
/// One call appends at most this many entries.
pub const ENTRIES_MAX: usize = 1_000;
/// More callers than this do not wait; they are told to slow down.
const WAITING_MAX: usize = 10_000;
/// How long an append waits for the witnesses.
const QUORUM_TIME_MAX: Duration = Duration::from_secs(10);
/// Entries that wait take at most this much memory, in bytes.
const WAITING_BYTES_MAX: usize = 256 * 1024 * 1024;

/// A handle on a transparency log. Clones share it.
#[derive(Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Request>,
}

/// What a log is made of.
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) keys: LogKeys,
    pub(crate) clock: SharedClock,
    pub(crate) folder: Option<Arc<Folder>>,
    pub(crate) recent_entries_max: usize,
}

pub(crate) struct Shared {
    pub(crate) parts: Arc<Parts>,
    pub(crate) metrics: Metrics,
    pub(crate) waiting_bytes: AtomicUsize,
    cache: TileCache,
    recent: Mutex<Recent>,
    published: watch::Sender<Arc<Published>>,
    quorum: Option<Arc<Quorum>>,
    stopped: watch::Sender<Option<String>>,
}

impl Ledger {
    /// Opens the log `origin` in this store, or begins it, with all its parts in the store: see [`LedgerConfig`].
    pub async fn open(
        store: Store,
        key: SigningKey,
        origin: impl Into<String>,
        clock: SharedClock,
    ) -> Result<Self, LedgerError> {
        Self::open_with(LedgerConfig::new(store, key, origin, clock)).await
    }

    /// Opens a log, or begins it. Checks that the last entries and tiles lead to the signed root, and refuses to go on
    /// ([`LedgerError::Damaged`]) where they do not. Files that a crash may have taken are written anew.
    pub async fn open_with(config: LedgerConfig) -> Result<Self, LedgerError> {
        config.store.migrate(rows::MIGRATIONS).await?;
        let post_quantum = config.post_quantum.map(|key| Cosigner::ml_dsa(&config.origin, key)).transpose()?;
        let keys = LogKeys { signer: NoteSigner::new(config.origin, config.key)?, post_quantum };
        let folder = config.tiles.as_ref().map(Folder::at).transpose()?.map(Arc::new);
        let parts = Arc::new(Parts {
            store: config.store,
            keys,
            clock: config.clock,
            folder,
            recent_entries_max: config.recent_entries_max,
        });
        let quorum = config.policy.map(Quorum::new).transpose()?.map(Arc::new);
        let (published, recent) = publish::load(&parts).await?;
        let shared = Arc::new(Shared {
            parts,
            metrics: Metrics::new(published.checkpoint.size),
            waiting_bytes: AtomicUsize::new(0),
            cache: TileCache::default(),
            recent: Mutex::new(recent),
            published: watch::Sender::new(Arc::new(published)),
            quorum,
            stopped: watch::Sender::new(None),
        });
        let (requests, receiver) = mpsc::channel(WAITING_MAX);
        tokio::spawn(sequence::serve(Arc::clone(&shared), receiver));
        if let Some(quorum) = shared.quorum.clone() {
            let shown = shared.published.subscribe();
            tokio::spawn(witnessing::serve(Arc::downgrade(&shared), quorum, shown));
        }
        Ok(Self { shared, requests })
    }

    /// Appends entries. When it returns, each is durable and covered by a signed checkpoint; the answer is their
    /// indexes, in order. An entry that came lately keeps its index (see [`LedgerConfig::recent_entries_max`]), so
    /// that a caller who lost the answer asks again. Waiting callers share one commit.
    pub async fn append(&self, entries: Vec<Vec<u8>>) -> Result<Vec<u64>, LedgerError> {
        if entries.len() > ENTRIES_MAX {
            return Err(LedgerError::TooMany { entries: entries.len() });
        }
        if let Some(long) = entries.iter().find(|entry| entry.len() > ENTRY_BYTES_MAX) {
            return Err(LedgerError::EntryTooLong { bytes: long.len() });
        }
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = entries.iter().map(Vec::len).sum();
        let waiting = &self.shared.waiting_bytes;
        if waiting.fetch_add(bytes, Ordering::Relaxed) > WAITING_BYTES_MAX {
            waiting.fetch_sub(bytes, Ordering::Relaxed);
            return Err(LedgerError::Overloaded);
        }
        let (answer, receiver) = oneshot::channel();
        self.requests.try_send(Request { entries, bytes, answer }).map_err(|error| {
            waiting.fetch_sub(bytes, Ordering::Relaxed);
            match error {
                mpsc::error::TrySendError::Full(_) => LedgerError::Overloaded,
                mpsc::error::TrySendError::Closed(_) => LedgerError::Closed,
            }
        })?;
        receiver.await.unwrap_or(Err(LedgerError::Closed))
    }

    /// Appends entries as [`Ledger::append`] does, and waits until a quorum of witnesses has cosigned a checkpoint that
    /// covers them. [`LedgerError::NoQuorum`] after 10 s: they are in the log all the same.
    pub async fn append_witnessed(&self, entries: Vec<Vec<u8>>) -> Result<Vec<u64>, LedgerError> {
        let indexes = self.append(entries).await?;
        if let (Some(quorum), Some(last)) = (&self.shared.quorum, indexes.iter().max()) {
            let covered = tokio::time::timeout(QUORUM_TIME_MAX, quorum.covers(last + 1)).await;
            covered.unwrap_or(Err(LedgerError::NoQuorum))?;
        }
        Ok(indexes)
    }

    /// The last signed checkpoint (C2SP tlog-checkpoint), with the cosignatures of its quorum where they are there.
    pub fn checkpoint(&self) -> String {
        let published = self.shared.published();
        match self.shared.witnessed() {
            Some(witnessed) if witnessed.published.checkpoint.size == published.checkpoint.size => {
                witnessed.note.clone()
            }
            _ => published.note.clone(),
        }
    }

    /// The last checkpoint that a quorum of witnesses cosigned; `None` where there is none yet, or no policy.
    pub fn witnessed_checkpoint(&self) -> Option<String> {
        self.shared.witnessed().map(|witnessed| witnessed.note.clone())
    }

    /// Whether the last checkpoint has its quorum; `None` where the log has no witnesses.
    pub fn has_quorum(&self) -> Option<bool> {
        let size = self.size();
        let quorum = self.shared.quorum.as_ref()?;
        Some(quorum.latest().is_some_and(|witnessed| witnessed.published.checkpoint.size == size))
    }

    /// How many entries the last checkpoint covers.
    pub fn size(&self) -> u64 {
        self.shared.published().checkpoint.size
    }

    /// The root that the last checkpoint signs.
    pub fn root(&self) -> Hash {
        self.shared.published().checkpoint.root
    }

    /// The name of the log.
    pub fn origin(&self) -> String {
        self.verifier().name().to_owned()
    }

    /// The key with which others verify the log.
    pub fn verifier(&self) -> VerifierKey {
        self.shared.parts.keys.verifier()
    }

    /// Every key with which the log signs: Ed25519, and ML-DSA-44 where it has one.
    pub fn verifiers(&self) -> Vec<VerifierKey> {
        let keys = &self.shared.parts.keys;
        [self.verifier()].into_iter().chain(keys.post_quantum.as_ref().map(Cosigner::verifier)).collect()
    }

    /// The same key as text: `name+hash+key` (C2SP signed-note).
    pub fn vkey(&self) -> String {
        self.verifier().to_string()
    }

    /// The proof that the entry at this index is in the log (C2SP tlog-proof), verified before it is given out. Its
    /// checkpoint has the cosignatures of the quorum as soon as there is one that covers the entry.
    pub async fn tlog_proof(&self, index: u64) -> Result<String, LedgerError> {
        let witnessed = self.shared.witnessed().filter(|witnessed| index < witnessed.published.checkpoint.size);
        let (published, checkpoint) = witnessed.map_or_else(
            || {
                let published = self.shared.published();
                let note = published.note.clone();
                (published, note)
            },
            |witnessed| (Arc::clone(&witnessed.published), witnessed.note.clone()),
        );
        let size = published.checkpoint.size;
        if index >= size {
            return Err(LedgerError::OutOfRange { asked: index, size });
        }
        let hashes = self.shared.look("ledger.proof", &published, move |reader| reader.inclusion(index)).await?;
        Ok(TlogProof { extra: None, index, hashes, checkpoint }.to_text())
    }

    /// The proof that the log of size `new` continues the log of size `old` (RFC 6962 §2.1.2).
    pub async fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, LedgerError> {
        let published = self.shared.published();
        let size = published.checkpoint.size;
        if old > new || new > size {
            return Err(LedgerError::OutOfRange { asked: old.max(new), size });
        }
        self.shared.look("ledger.consistency", &published, move |reader| reader.consistency(old, new)).await
    }

    /// Where an entry stands, if it came lately (see [`LedgerConfig::recent_entries_max`]).
    pub fn recent_index_of(&self, entry: &[u8]) -> Option<u64> {
        self.shared.recent().position(&leaf_hash(entry))
    }

    /// The hashes of a tile as they are served; `None` where the last checkpoint does not reach that far.
    pub async fn tile(&self, tile: Tile) -> Result<Option<Vec<u8>>, LedgerError> {
        let published = self.shared.published();
        self.shared.look("ledger.tile", &published, move |reader| reader.tile(tile)).await
    }

    /// The entries under a tile of level 0, each behind its length; `None` where the checkpoint does not reach that far.
    pub async fn entries(&self, tile: Tile) -> Result<Option<Vec<u8>>, LedgerError> {
        let published = self.shared.published();
        self.shared.look("ledger.entries", &published, move |reader| reader.bundle(tile)).await
    }

    /// Re-derives every tile and the root from the entries, from the first to the last, and names the first place that
    /// does not fit. Reads the whole log.
    pub async fn check(&self) -> Result<CheckReport, LedgerError> {
        check::run(&self.shared).await
    }

    /// Brings the folder of tiles to disk and forgets what was staged for it: less to do at the next start. It happens
    /// by itself while entries come.
    pub async fn settle(&self) -> Result<(), LedgerError> {
        sequence::settle(&self.shared).await
    }

    /// Waits until the ledger can acknowledge nothing more, because a write below it failed, and says why. The process
    /// should then end, and start again when the disk is in order: a failed write or sync is never tried again.
    pub async fn stopped(&self) -> String {
        let mut stopped = self.shared.stopped.subscribe();
        let reason = stopped.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        reason.unwrap_or_else(|| "the ledger is closed".to_owned())
    }

    /// The present moment by the clock of the ledger.
    pub(crate) fn now(&self) -> Timestamp {
        self.shared.parts.clock.now()
    }

    /// Adds the ledger's metrics (`baobab_ledger_…`) to a registry.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.shared.metrics.register(registry);
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Ledger({}, {} entries)", self.verifier().name(), self.size())
    }
}

impl Shared {
    pub(crate) fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published.borrow())
    }

    /// Whether the witnesses, where there are any, let the log sign.
    pub(crate) fn is_confirmed(&self) -> bool {
        self.quorum.as_ref().is_none_or(|quorum| quorum.is_confirmed())
    }

    /// The proof that this checkpoint continues the log of size `old`.
    pub(crate) async fn prefix_proof(
        self: &Arc<Self>,
        published: &Arc<Published>,
        old: u64,
    ) -> Result<Vec<Hash>, LedgerError> {
        let new = published.checkpoint.size;
        if old == 0 || old == new {
            return Ok(Vec::new());
        }
        self.look("ledger.consistency", published, move |reader| reader.consistency(old, new)).await
    }

    fn witnessed(&self) -> Option<Arc<Witnessed>> {
        self.quorum.as_ref().and_then(|quorum| quorum.latest())
    }

    pub(crate) fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows a new state, unless a later one is shown already.
    pub(crate) fn show(&self, published: Arc<Published>) {
        self.published.send_if_modified(|shown| {
            let newer = published.checkpoint.size >= shown.checkpoint.size;
            if newer {
                *shown = published;
            }
            newer
        });
    }

    /// The leaves of a step took their places.
    pub(crate) fn remember(&self, plan: &Plan) {
        let mut recent = self.recent();
        for (position, leaf) in (plan.old..).zip(&plan.leaves) {
            recent.insert(leaf, position);
        }
    }

    /// Reads the state anew; it may only have grown.
    pub(crate) async fn reload(self: &Arc<Self>) -> Result<(), LedgerError> {
        let (published, recent) = publish::load(&self.parts).await?;
        let shown = self.published().checkpoint.size;
        if published.checkpoint.size < shown {
            let reason = format!("it went back from {shown} to {} entries", published.checkpoint.size);
            return Err(damaged("the checkpoint", &reason));
        }
        *self.recent() = recent;
        self.show(Arc::new(published));
        Ok(())
    }

    /// Nothing more is acknowledged.
    pub(crate) fn stop(&self, error: &LedgerError) {
        tracing::error!(%error, "the ledger stops: nothing more is acknowledged");
        self.stopped.send_replace(Some(error.to_string()));
    }

    /// Why nothing more is acknowledged, where that is so.
    pub(crate) fn stopped(&self) -> Option<String> {
        self.stopped.borrow().clone()
    }

    /// Reads stored tiles and entries, unverified.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        name: &'static str,
        mut body: impl FnMut(&mut dyn Source) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        match &self.parts.folder {
            None => self.parts.store.read(name, move |tx| body(&mut Rows(tx))).await,
            Some(folder) => blocking(folder, move |folder| body(&mut Files(folder))).await,
        }
    }

    /// Reads what a reader of this checkpoint may see, verified.
    async fn look<T: Send + 'static>(
        self: &Arc<Self>,
        name: &'static str,
        published: &Arc<Published>,
        mut body: impl FnMut(&mut Reader<'_>) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let mut nothing = Nothing::default();
        let answer = body(&mut Reader { source: &mut nothing, published, cache: &self.cache });
        if !nothing.asked {
            return answer;
        }
        let (shared, published) = (Arc::clone(self), Arc::clone(published));
        self.read(name, move |source| body(&mut Reader { source, published: &published, cache: &shared.cache })).await
    }
}
