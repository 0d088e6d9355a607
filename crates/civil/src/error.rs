use store::StoreError;

/// Why the register does not answer, or not with a person.
#[derive(Debug, thiserror::Error)]
pub enum CivilError {
    /// No commune has this code.
    #[error("no commune has this code; GET /communes lists the codes")]
    UnknownCommune,
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored record is no person: the database was changed by something else, or by a newer version.
    #[error("the record of person {id} cannot be read: {reason}")]
    Record {
        /// The internal number.
        id: String,
        /// What the reader said.
        reason: String,
    },
}
