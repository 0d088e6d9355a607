//! What was changed at an account: opened with the letter, a PIN chosen, a passkey added. Each act is committed to a log in the
//! transaction that does it ([`ledger::outbox`]), so nobody can add a key to an account later and say that it was always there. Logins are no
//! acts: they change nothing.
//!
//! The log sees salted commitments. [`forget_acts`] erases the salts of a person, and with them the link.

use civic::{NationalNumber, PersonId, Random, Timestamp, random_array, random_hex};
use consent::Permit;
use ledger::Outbox;
use ledger::outbox::OutboxError;
use serde_json::json;
use store::{Store, StoreError};

use crate::error::IdentityError;
use crate::store::{Event, Tables, migrations};

/// The field that a permit must name to read acts.
pub const ACTS_FIELD: &str = "acts";
/// What the outbox calls acts.
pub(crate) const KIND: &str = "identity.act";
/// The event that the operator of the provider erased the salts of a person.
const FORGOTTEN: &str = "acts_forgotten";

/// An act at an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountAct {
    /// Its id.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// `activated`, `pin_changed` or `passkey_added`.
    pub act: String,
    /// SHA-256 of the credential id of a passkey, hexadecimal.
    pub key_id: Option<String>,
    /// On behalf of which client it was done, where there was one.
    pub client_id: Option<String>,
    /// Where the log holds its commitment; `None` while it is on the way.
    pub index: Option<u64>,
    /// Whether its salt was erased: nobody can prove any more what the entry of the log stands for.
    pub erased: bool,
}

impl AccountAct {
    /// Whether events of this kind are acts.
    pub(crate) fn is_act(kind: &str) -> bool {
        matches!(kind, "activated" | "pin_changed" | "passkey_added")
    }

    /// What is committed to, byte for byte. Whoever acted is the person: only they can reach these pages.
    pub(crate) fn record(&self, person: &PersonId) -> String {
        json!({
            "v": 1, "kind": KIND, "id": self.id, "at": self.at.rfc3339(), "person": person.as_str(), "by": person.as_str(),
            "act": self.act, "key_id": self.key_id, "client_id": self.client_id,
        })
        .to_string()
    }
}

/// Why an act cannot be shown or proved.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// The permit does not name [`ACTS_FIELD`].
    #[error("the permit is for other data than the acts at an account")]
    NotPermitted,
    /// This person did nothing of this id.
    #[error("no act of this id at this account")]
    Unknown,
    /// The tables failed.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The outbox or the log failed; [`OutboxError::Waiting`] passes by itself.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
}

/// The acts at accounts, for their owners. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AccountActs {
    tables: Tables,
    outbox: Outbox,
}

impl AccountActs {
    /// Over the store of the provider, with an outbox on that store whose job somebody runs (the consent service does).
    pub async fn open(store: Store, outbox: Outbox) -> Result<Self, StoreError> {
        store.migrate(&migrations()).await?;
        Ok(Self { tables: Tables::new(store), outbox })
    }

    /// The latest acts at the account of whom the permit is about, newest first, at most 200.
    pub async fn of(&self, permit: &Permit) -> Result<Vec<AccountAct>, ActError> {
        match self.owner(permit).await? {
            Some(person) => Ok(self.tables.acts(&person).await?),
            None => Ok(Vec::new()),
        }
    }

    /// The proof of one of these acts (C2SP tlog-proof with record and salt), for `baobab verify --policy`.
    pub async fn proof(&self, permit: &Permit, id: &str) -> Result<String, ActError> {
        let person = self.owner(permit).await?.ok_or(ActError::Unknown)?;
        let act = self.tables.act(&person, id).await?.ok_or(ActError::Unknown)?;
        Ok(self.outbox.proof(KIND, &act.id, &act.record(&person)).await?)
    }

    /// The owner of the account of whom the permit is about; `None` where there is no account.
    async fn owner(&self, permit: &Permit) -> Result<Option<PersonId>, ActError> {
        if !permit.allows_field(ACTS_FIELD) {
            return Err(ActError::NotPermitted);
        }
        Ok(self.tables.owner(permit.subject()).await?)
    }
}

/// Erases the salts of all acts at the account with this national number, for its operator: what logs hold of them stands for nothing any
/// more. How many salts there were; `None` where there is no such account. Who downloaded a proof before keeps what opens it. That it was done
/// stands among the events of the account, in the same transaction; no log is told, for its entry would stand for the person again.
pub async fn forget_acts(
    store: Store,
    number: &NationalNumber,
    now: Timestamp,
    random: &dyn Random,
) -> Result<Option<u64>, IdentityError> {
    store.migrate(&migrations()).await?;
    let tables = Tables::new(store);
    let Some(person) = tables.owner(number).await? else { return Ok(None) };
    let event = Event {
        id: random_hex::<16>(random),
        person,
        kind: FORGOTTEN,
        client_id: None,
        acr: None,
        key_id: None,
        salt: random_array(random),
    };
    Ok(Some(tables.forget_acts(event, now).await?))
}
