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
    /// A file of the log could not be read or written.
    #[error("the disk failed at {place} ({reason}): check it, then start again; nothing that was acknowledged is lost")]
    Disk {
        /// Which file.
        place: String,
        /// What the system said.
        reason: String,
    },
    /// A write below the ledger failed earlier: what is on disk is uncertain, so nothing more is acknowledged.
    #[error("the ledger stopped ({reason}): start the process again after checking the disk")]
    Stopped {
        /// What failed.
        reason: String,
    },
    /// A witness saw more of this log than the store holds: the store is an older state of it. Signing would make a
    /// second history.
    #[error(
        "the witness {witness} saw {seen} entries of this log, the store holds {size}: it is an older state; restore the newest one"
    )]
    Behind {
        /// Which witness.
        witness: String,
        /// The size that it cosigned.
        seen: u64,
        /// The size that the store has.
        size: u64,
    },
    /// A witness cosigned a checkpoint of this log that its store does not lead to.
    #[error("the witness {witness} cosigned another history of this log; keep both as evidence:\n{seen}\n{ours}")]
    Forked {
        /// Which witness.
        witness: String,
        /// What it cosigned.
        seen: String,
        /// What the store holds.
        ours: String,
    },
    /// A witness does not do what it should. The log goes on without it as long as there is a quorum.
    #[error("the witness {name} does not help: {reason}")]
    Witness {
        /// Which.
        name: String,
        /// What happened.
        reason: String,
    },
    /// Not enough witnesses have said yet that the store is the newest state of this log: nothing is signed before.
    #[error("the log waits for its witnesses before it signs anything: try again")]
    Unconfirmed,
    /// The entries are in the log, but not enough witnesses cosigned it in time.
    #[error("the entries are in the log, but its witnesses did not cosign them in time: ask for the proof later")]
    NoQuorum,
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
            Self::Overloaded | Self::Stale | Self::Unconfirmed | Self::NoQuorum => true,
            _ => false,
        }
    }
}
