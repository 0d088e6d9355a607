use civic::{NationalNumber, PersonId, Timestamp};
use ledger::{Commitment, outbox};
use store::{Row, StoreError, Tx, params};

use super::Tables;
use super::accounts::{ACCOUNTS, Event, insert_event};
use crate::acts::{AccountAct, KIND};
use crate::error::IdentityError;

/// The most acts that are listed.
const LIST_MAX: u32 = 200;
const ACTS: &str = "SELECT id, at, kind, key_id, client_id FROM identity_events WHERE person = $1 \
     AND kind IN ('activated', 'pin_changed', 'passkey_added')";

/// Commits to an event that is an act, in its own transaction.
pub(super) fn commit(tx: &mut Tx<'_>, event: &Event, now: Timestamp) -> Result<(), StoreError> {
    if !AccountAct::is_act(event.kind) {
        return Ok(());
    }
    let act = AccountAct {
        id: event.id.clone(),
        at: now,
        act: event.kind.to_owned(),
        key_id: event.key_id.clone(),
        client_id: event.client_id.clone(),
        index: None,
        erased: false,
    };
    let commitment = Commitment::with_salt(event.salt, act.record(&event.person).as_bytes());
    outbox::add(tx, KIND, &act.id, &commitment, now)
}

impl Tables {
    /// Whose account it is that belongs to a national number.
    pub(crate) async fn owner(&self, number: &NationalNumber) -> Result<Option<PersonId>, IdentityError> {
        let number = number.clone();
        self.store
            .read("identity.owner", move |tx| {
                let index = tx.sealer().blind_index(ACCOUNTS, "number", number.as_str().as_bytes());
                let row =
                    tx.query_one("SELECT person FROM identity_accounts WHERE number_index = $1", &params![index])?;
                let bad = |reason: String| IdentityError::Row { table: ACCOUNTS, reason };
                let person = row.map(|row| row.get::<String>("person")).transpose()?;
                person.map(|person| person.parse().map_err(|error| bad(format!("person: {error}")))).transpose()
            })
            .await
    }

    pub(crate) async fn acts(&self, person: &PersonId) -> Result<Vec<AccountAct>, IdentityError> {
        let person = person.clone();
        self.store
            .read("identity.acts", move |tx| {
                let sql = format!("{ACTS} ORDER BY at DESC, id LIMIT $2");
                let rows = tx.query(&sql, &params![person.as_str(), LIST_MAX])?;
                rows.iter().map(|row| act(tx, row)).collect()
            })
            .await
    }

    /// One act of a person.
    pub(crate) async fn act(&self, person: &PersonId, id: &str) -> Result<Option<AccountAct>, IdentityError> {
        let (person, id) = (person.clone(), id.to_owned());
        self.store
            .read("identity.act", move |tx| {
                let row = tx.query_one(&format!("{ACTS} AND id = $2"), &params![person.as_str(), id.as_str()])?;
                row.map(|row| act(tx, &row)).transpose()
            })
            .await
    }

    /// Erases the salts of whom the event is about. How many there were.
    pub(crate) async fn forget_acts(&self, event: Event, now: Timestamp) -> Result<u64, IdentityError> {
        self.store
            .tx("identity.forget_acts", move |tx| {
                let mut erased = 0;
                for row in tx.query(ACTS, &params![event.person.as_str()])? {
                    erased += u64::from(outbox::erase(tx, KIND, &row.get::<String>("id")?)?);
                }
                insert_event(tx, &event, now)?;
                Ok(erased)
            })
            .await
    }
}

fn act(tx: &mut Tx<'_>, row: &Row) -> Result<AccountAct, IdentityError> {
    let id: String = row.get("id")?;
    Ok(AccountAct {
        at: row.get("at")?,
        act: row.get("kind")?,
        key_id: row.get("key_id")?,
        client_id: row.get("client_id")?,
        index: outbox::index(tx, KIND, &id)?,
        erased: outbox::is_erased(tx, KIND, &id)?,
        id,
    })
}
