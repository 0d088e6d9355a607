use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use civic::{SharedClock, Timestamp};
use prometheus_client::registry::Registry;
use store::Store;
use tokio::sync::{mpsc, oneshot};
use trust::keys::SigningKey;
use trust::merkle::{Hash, Tile, leaf_hash};
use trust::note::{NoteSigner, TlogProof, VerifierKey};

use crate::check::{self, CheckReport};
use crate::metrics::Metrics;
use crate::publish::{self, Published};
use crate::sequence::{self, Request};
use crate::{LedgerError, read, rows};

/// An entry is at most this long, in bytes (C2SP tlog-tiles: a 16-bit length).
pub const ENTRY_BYTES_MAX: usize = 65_535;
/// One call appends at most this many entries.
pub const ENTRIES_MAX: usize = 1_000;
/// More callers than this do not wait; they are told to slow down.
const WAITING_MAX: usize = 10_000;

/// A handle on a transparency log. Clones share it.
#[derive(Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Request>,
}

pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) signer: Arc<NoteSigner>,
    pub(crate) clock: SharedClock,
    pub(crate) metrics: Metrics,
    published: RwLock<Arc<Published>>,
}

impl Ledger {
    /// Opens the log `origin` in this store, or begins it. `key` is its Ed25519 key; `origin` a name as in a schema-less
    /// URL (`ledger.example/state`). Checks that the last entries and tiles lead to the signed root, and refuses to go
    /// on ([`LedgerError::Damaged`]) where they do not.
    pub async fn open(
        store: Store,
        key: SigningKey,
        origin: impl Into<String>,
        clock: SharedClock,
    ) -> Result<Self, LedgerError> {
        store.migrate(rows::MIGRATIONS).await?;
        let signer = Arc::new(NoteSigner::new(origin, key)?);
        let (inner, now) = (Arc::clone(&signer), clock.now());
        let published = store.tx("ledger.open", move |tx| publish::load(tx, &inner, now)).await?;
        let metrics = Metrics::new(published.checkpoint.size);
        let shared = Shared { store, signer, clock, metrics, published: RwLock::new(Arc::new(published)) };
        let shared = Arc::new(shared);
        let (requests, receiver) = mpsc::channel(WAITING_MAX);
        tokio::spawn(sequence::serve(Arc::clone(&shared), receiver));
        Ok(Self { shared, requests })
    }

    /// Appends entries. When it returns, each is durable and covered by a signed checkpoint; the answer is their
    /// indexes, in order. An entry that is in the log already keeps its index. Waiting callers share one commit.
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
        let (answer, receiver) = oneshot::channel();
        self.requests.try_send(Request { entries, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => LedgerError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => LedgerError::Closed,
        })?;
        receiver.await.unwrap_or(Err(LedgerError::Closed))
    }

    /// The last signed checkpoint (C2SP tlog-checkpoint).
    pub fn checkpoint(&self) -> String {
        self.shared.published().note.clone()
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
        self.shared.signer.verifier()
    }

    /// The same key as text: `name+hash+key` (C2SP signed-note).
    pub fn vkey(&self) -> String {
        self.verifier().to_string()
    }

    /// The proof that the entry at this index is in the log (C2SP tlog-proof), verified before it is given out.
    pub async fn tlog_proof(&self, index: u64) -> Result<String, LedgerError> {
        let published = self.shared.published();
        let size = published.checkpoint.size;
        if index >= size {
            return Err(LedgerError::OutOfRange { asked: index, size });
        }
        let known = Arc::clone(&published);
        let proof = self.shared.store.read("ledger.proof", move |tx| read::inclusion(tx, &known, index));
        let hashes = proof.await?;
        Ok(TlogProof { extra: None, index, hashes, checkpoint: published.note.clone() }.to_text())
    }

    /// The proof that the log of size `new` continues the log of size `old` (RFC 6962 §2.1.2).
    pub async fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, LedgerError> {
        let published = self.shared.published();
        let size = published.checkpoint.size;
        if old > new || new > size {
            return Err(LedgerError::OutOfRange { asked: old.max(new), size });
        }
        self.shared.store.read("ledger.consistency", move |tx| read::consistency(tx, &published, old, new)).await
    }

    /// Where an entry stands in the log, if it does.
    pub async fn index_of(&self, entry: &[u8]) -> Result<Option<u64>, LedgerError> {
        let leaf = leaf_hash(entry);
        let found = self.shared.store.read("ledger.index_of", move |tx| rows::positions(tx, &[leaf])).await?;
        Ok(found.into_iter().next().flatten())
    }

    /// The hashes of a tile as they are served; `None` where the last checkpoint does not reach that far.
    pub async fn tile(&self, tile: Tile) -> Result<Option<Vec<u8>>, LedgerError> {
        let published = self.shared.published();
        self.shared.store.read("ledger.tile", move |tx| read::tile(tx, &published, tile)).await
    }

    /// The entries under a tile of level 0, each behind its length; `None` where the checkpoint does not reach that far.
    pub async fn entries(&self, tile: Tile) -> Result<Option<Vec<u8>>, LedgerError> {
        let published = self.shared.published();
        self.shared.store.read("ledger.entries", move |tx| read::bundle(tx, &published, tile)).await
    }

    /// Re-derives every tile and the root from the entries, from the first to the last, and names the first place that
    /// does not fit. Reads the whole log.
    pub async fn check(&self) -> Result<CheckReport, LedgerError> {
        check::run(&self.shared).await
    }

    /// The present moment by the clock of the ledger.
    pub(crate) fn now(&self) -> Timestamp {
        self.shared.clock.now()
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
        Arc::clone(&self.published.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Shows a new state, unless a later one is shown already.
    pub(crate) fn show(&self, published: Published) {
        let mut shown = self.published.write().unwrap_or_else(PoisonError::into_inner);
        if published.checkpoint.size > shown.checkpoint.size {
            *shown = Arc::new(published);
        }
    }

    /// Reads the state anew; it may only have grown.
    pub(crate) async fn reload(self: &Arc<Self>) -> Result<(), LedgerError> {
        let inner = Arc::clone(self);
        let published =
            self.store.tx("ledger.reload", move |tx| publish::load(tx, &inner.signer, inner.clock.now())).await?;
        let shown = self.published().checkpoint.size;
        if published.checkpoint.size < shown {
            let reason = format!("it went back from {shown} to {} entries", published.checkpoint.size);
            return Err(publish::damaged("the checkpoint", &reason));
        }
        self.show(published);
        Ok(())
    }
}
