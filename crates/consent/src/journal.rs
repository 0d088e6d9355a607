use civic::{Actor, ClientId, LegalBasis, NationalNumber, Purpose, ServiceId, Timestamp};

/// One entry of the access journal: who asked for what about this person, and what was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// Its id, also inside the permit.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// Who asked.
    pub actor: Actor,
    /// About whom.
    pub subject: NationalNumber,
    /// Through which service.
    pub service: ServiceId,
    /// Which fields.
    pub fields: Vec<String>,
    /// Why.
    pub purpose: Purpose,
    /// What was claimed to make it lawful. For a refused proof of a grant the reference may be empty.
    pub basis: LegalBasis,
    /// The message of the bridge that asked.
    pub message_id: Option<String>,
    /// What was answered.
    pub outcome: Outcome,
}

/// What was answered to a request for data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A permit was made.
    Granted,
    /// Refused, with the code of [`crate::Refusal::code`].
    Refused(String),
}

/// Which part of a list is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paging {
    /// How many entries to pass over.
    pub offset: u32,
    /// How many entries to give, at most 1000.
    pub limit: u32,
}

impl Paging {
    /// The most entries of one page.
    pub const LIMIT_MAX: u32 = 1000;

    /// The first entries.
    pub const fn first(limit: u32) -> Self {
        Self { offset: 0, limit }
    }
}

/// A part of the journal of one person, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalPage {
    /// How many entries there are in all.
    pub total: u64,
    /// The entries of this page.
    pub entries: Vec<JournalEntry>,
}

impl JournalEntry {
    /// The organisation that asked, where one did.
    pub const fn organisation(&self) -> Option<&ClientId> {
        match &self.actor {
            Actor::Organisation(client) => Some(client),
            _ => None,
        }
    }
}
