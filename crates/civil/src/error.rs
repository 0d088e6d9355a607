use civic::PersonIdError;
use consent::Refusal;
use store::StoreError;

/// Why the register does not answer, or not with a person.
#[derive(Debug, thiserror::Error)]
pub enum CivilError {
    /// The caller did not come through a node: the headers of PR-REST §4 are missing or malformed.
    #[error("call this service through the bridge: the header {header} is missing or malformed")]
    NotThroughTheBridge {
        /// The header.
        header: &'static str,
    },
    /// The path carries no national number.
    #[error("the path must end in a national number: {0}")]
    Number(#[from] PersonIdError),
    /// No commune has this code.
    #[error("no commune has this code; GET /communes lists the codes")]
    UnknownCommune,
    /// No record has this national number.
    #[error("the register holds no person with this national number")]
    UnknownPerson,
    /// `consent::decide` refused: no law or grant covers this access.
    #[error("access refused: {0}")]
    Refused(Box<Refusal>),
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

impl From<Refusal> for CivilError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}
