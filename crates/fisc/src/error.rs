use store::StoreError;

/// Why the tax office does not answer with a statement.
#[derive(Debug, thiserror::Error)]
pub enum FiscError {
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored record is no statement: the database was changed by something else, or by a newer version.
    #[error("the statement {year} of account {account} cannot be read: {reason}")]
    Record {
        /// The account.
        account: String,
        /// The year.
        year: u16,
        /// What the reader said.
        reason: String,
    },
}
