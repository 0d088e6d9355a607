use std::path::PathBuf;

use civic::SharedClock;
use store::Store;
use store::bucket::Bucket;
use trust::keys::SigningKey;
use trust::mldsa::MlDsaKey;
use trust::note::policy::Policy;

/// Leaves that are remembered, unless told otherwise: 60 MB where the log is that long.
const RECENT_ENTRIES: usize = 1 << 20;

/// Where tiles and entries are kept outside of the store.
#[derive(Debug, Clone)]
pub enum Tiles {
    /// A folder of a file system.
    Folder(PathBuf),
    /// A bucket of an object store.
    Bucket(Bucket),
}

/// What a log is opened with.
pub struct LedgerConfig {
    pub(crate) store: Store,
    pub(crate) key: SigningKey,
    pub(crate) origin: String,
    pub(crate) clock: SharedClock,
    pub(crate) post_quantum: Option<MlDsaKey>,
    pub(crate) tiles: Option<Tiles>,
    pub(crate) recent_entries_max: usize,
    pub(crate) policy: Option<Policy>,
}

impl LedgerConfig {
    /// The log `origin`, a name as in a schema-less URL (`ledger.example/state`), with its Ed25519 key, in this store.
    pub fn new(store: Store, key: SigningKey, origin: impl Into<String>, clock: SharedClock) -> Self {
        let origin = origin.into();
        Self {
            store,
            key,
            origin,
            clock,
            post_quantum: None,
            tiles: None,
            recent_entries_max: RECENT_ENTRIES,
            policy: None,
        }
    }

    /// Signs each checkpoint with this ML-DSA-44 key too, beside the Ed25519 key.
    #[must_use]
    pub fn post_quantum(mut self, key: MlDsaKey) -> Self {
        self.post_quantum = Some(key);
        self
    }

    /// Keeps tiles and entries as files in this folder, laid out as C2SP tlog-tiles serves them, instead of as rows of
    /// the store. A log may move from rows to a folder; back it does not find its entries.
    #[must_use]
    pub fn folder(mut self, path: impl Into<PathBuf>) -> Self {
        self.tiles = Some(Tiles::Folder(path.into()));
        self
    }

    /// Keeps them in this bucket instead, under the same names. While its server is away, whoever appends waits, up to
    /// the time that the bucket is given; then nothing more is acknowledged until the next start.
    #[must_use]
    pub fn bucket(mut self, bucket: Bucket) -> Self {
        self.tiles = Some(Tiles::Bucket(bucket));
        self
    }

    /// Asks the witnesses of this policy to cosign each checkpoint. The log is one that the policy trusts, and nothing is
    /// signed before a quorum has said that it saw nothing newer.
    #[must_use]
    pub fn witnesses(mut self, policy: Policy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// An entry that is among the last so many keeps its index when it is appended again (about 60 bytes of memory
    /// each); an older one is added once more.
    #[must_use]
    pub fn recent_entries_max(mut self, entries: usize) -> Self {
        self.recent_entries_max = entries;
        self
    }
}
