use store::StoreError;
use trust::merkle::ProofError;
use trust::note::NoteError;

/// Why the ledger does not do what is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The store failed. Nothing was acknowledged.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A key, a checkpoint or a proof is refused.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// A proof made from what is stored does not lead to the signed root.
    #[error("what is stored does not lead to the signed root ({0}): run the full check of the ledger")]
    Proof(#[from] ProofError),
    /// An entry is longer than C2SP tlog-tiles can hold.
    #[error("an entry has {bytes} bytes, at most {max} are possible: append a digest of it", max = crate::ENTRY_BYTES_MAX)]
    EntryTooLong {
        /// Its length.
        bytes: usize,
    },
    /// Too many entries in one call.
    #[error("{entries} entries in one call, at most {max} are accepted: split it", max = crate::ENTRIES_MAX)]
    TooMany {
        /// How many.
        entries: usize,
    },
    /// More callers wait than the ledger accepts.
    #[error("too many appends wait for the ledger: slow down and try again")]
    Overloaded,
    /// The index or size lies beyond the last checkpoint.
    #[error("the log has {size} entries, {asked} lies beyond")]
    OutOfRange {
        /// The index or size asked for.
        asked: u64,
        /// The size of the log.
        size: u64,
    },
    /// What is stored contradicts itself or the signed checkpoint: nothing more is signed.
    #[error("the log is damaged at {place}: {reason}; restore it, and compare with a witness before going on")]
    Damaged {
        /// Which entry, tile or checkpoint.
        place: String,
        /// What does not fit.
        reason: String,
    },
    /// The store holds another log.
    #[error("the store holds the log `{found}`, not `{expected}`: give each log a store of its own")]
    OtherLog {
        /// The origin that was configured.
        expected: String,
        /// The origin found.
        found: String,
    },
    /// Another process sequenced this log meanwhile; the call was not carried out.
    #[error("another process writes this log at the same time: try again")]
    Stale,
    /// The ledger was shut down.
    #[error("the ledger is closed")]
    Closed,
}

impl LedgerError {
    /// Whether the same call may succeed later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Store(error) => error.is_temporary() || matches!(error, StoreError::OutcomeUnknown { .. }),
            Self::Overloaded | Self::Stale => true,
            _ => false,
        }
    }
}
