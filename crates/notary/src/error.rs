use ledger::outbox::OutboxError;
use store::StoreError;
use trust::jose::JoseError;
use trust::note::NoteError;
use web::I18nError;

/// Why the notary does not do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum NotaryError {
    /// No credential, or one that opens nothing.
    #[error("send `Authorization: Bearer` with an API key of this notary or an access token with the scope `notary`")]
    Stranger,
    /// The body is not what the API takes.
    #[error(
        "the body must be {{\"sha256\": \"<64 hexadecimal digits>\"}} or {{\"digests\": [\"…\"]}} with 1 to {max}: {reason}"
    )]
    Body {
        /// The most digests of one request.
        max: usize,
        /// What is wrong.
        reason: String,
    },
    /// The client asked for too much in this minute.
    #[error("a client may register 60,000 digests in a minute; come back in {seconds} s")]
    TooFast {
        /// When to come back.
        seconds: u64,
    },
    /// No such registration of this client, or no such key.
    #[error("there is nothing under this number")]
    Unknown,
    /// The log does not have it yet, or its witnesses have not signed yet.
    #[error("the proof is not complete yet; ask again in a second")]
    Waiting,
    /// Digest and salt were erased.
    #[error("this registration was erased; who kept its proof can still show it")]
    Erased,
    /// The name of a client does not fit into records.
    #[error("a client is named by 1 to 120 characters without line breaks")]
    ClientName,
    /// The log, or the way to it.
    #[error(transparent)]
    Outbox(OutboxError),
    /// The log gave a proof that does not hold by the policy.
    #[error("the log's proof does not hold: {0}")]
    Proof(NoteError),
    /// The promise cannot be signed.
    #[error(transparent)]
    Promise(#[from] JoseError),
    /// The words of the pages are missing.
    #[error(transparent)]
    Words(#[from] I18nError),
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<OutboxError> for NotaryError {
    fn from(error: OutboxError) -> Self {
        match error {
            OutboxError::Waiting => Self::Waiting,
            OutboxError::Erased => Self::Erased,
            OutboxError::Unknown => Self::Unknown,
            OutboxError::Store(error) => Self::Store(error),
            other => Self::Outbox(other),
        }
    }
}
