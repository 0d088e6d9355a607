use consent::Refusal;
use store::StoreError;

/// Why the tax office does not answer with a statement.
#[derive(Debug, thiserror::Error)]
pub enum FiscError {
    /// The caller did not come through a node: the headers of PR-REST §4 are missing or malformed.
    #[error("call this service through the bridge: the header {header} is missing or malformed")]
    NotThroughTheBridge {
        /// The header.
        header: &'static str,
    },
    /// No proof that a citizen allowed the call.
    #[error("the header Baobab-Grant-Use is missing: the node adds it once the consent service has counted the use")]
    GrantUseMissing,
    /// The proof was made for another year than the one that is asked for.
    #[error("the proof of grant use is for another year than {year}: send a message for each year")]
    OtherYear {
        /// The year asked for.
        year: u16,
    },
    /// `consent::decide` refused: the proof does not hold, or not for this call.
    #[error("access refused: {0}")]
    Refused(Box<Refusal>),
    /// The office issued no statements for this year.
    #[error("statements exist for the years 2022 to 2025")]
    UnknownYear,
    /// The citizen has no statement for this year. A normal answer, not a fault.
    #[error("the tax office holds no income statement of this person for {year}")]
    NoStatement {
        /// The year asked for.
        year: u16,
    },
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

impl From<Refusal> for FiscError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}
