//! The only file of the room with SQL.

use civic::Timestamp;
use ledger::outbox;
use store::{Migration, Row, StoreError, Tx, params};

use crate::error::NotaryError;
use crate::registration::{Draft, Registration};

pub(crate) const MIGRATIONS: &[Migration] = &[Migration {
    room: "notary",
    number: 1,
    name: "registrations",
    sql: include_str!("../migrations/0001_registrations.sql"),
}];

/// What the outbox calls registrations.
pub(crate) const KIND: &str = "notary";
const TABLE: &str = "notary_registration";

/// An API key, as the operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its number.
    pub id: String,
    /// Who comes with it.
    pub client: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it opens nothing.
    pub revoked_at: Option<Timestamp>,
}

/// Writes down what is new; what the client registered before stays as it was answered.
pub(crate) fn register(tx: &mut Tx<'_>, client: &str, drafts: &[Draft]) -> Result<Vec<Registration>, NotaryError> {
    let mut registrations = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let index = tx.sealer().blind_index(TABLE, "digest_index", &draft.digest);
        let record = tx.sealer().seal(TABLE, "record", &draft.id, draft.record.as_bytes())?;
        let promise = tx.sealer().seal(TABLE, "promise", &draft.id, draft.promise.as_bytes())?;
        let added = tx.execute(
            "INSERT INTO notary_registration (id, client, digest_index, record, promise, registered_at)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (client, digest_index) DO NOTHING",
            &params![&draft.id, client, &index, record, promise, draft.at],
        )?;
        if added == 1 {
            outbox::add(tx, KIND, &draft.id, &draft.commitment, draft.at)?;
            registrations.push(Registration {
                id: draft.id.clone(),
                record: Some(draft.record.clone()),
                promise: Some(draft.promise.clone()),
                registered_at: draft.at,
                index: None,
                new: true,
            });
            continue;
        }
        let row = tx.query_one(
            "SELECT id, record, promise, registered_at FROM notary_registration
             WHERE client = $1 AND digest_index = $2",
            &params![client, &index],
        )?;
        registrations.push(registration(tx, &row.ok_or(NotaryError::Unknown)?)?);
    }
    Ok(registrations)
}

/// A registration of this client.
pub(crate) fn find(tx: &mut Tx<'_>, client: &str, id: &str) -> Result<Option<Registration>, NotaryError> {
    let row = tx.query_one(
        "SELECT id, record, promise, registered_at FROM notary_registration WHERE client = $1 AND id = $2",
        &params![client, id],
    )?;
    row.map(|row| registration(tx, &row)).transpose()
}

/// A slice of the registrations of this client, newest first, and how many there are.
pub(crate) fn list(
    tx: &mut Tx<'_>,
    client: &str,
    offset: u32,
    limit: u32,
) -> Result<(Vec<Registration>, u64), NotaryError> {
    let total =
        tx.query_one("SELECT COUNT(*) AS total FROM notary_registration WHERE client = $1", &params![client])?;
    let total = total.map_or(Ok(0), |row| row.get("total"))?;
    let rows = tx.query(
        "SELECT id, record, promise, registered_at FROM notary_registration WHERE client = $1
         ORDER BY registered_at DESC, id DESC LIMIT $2 OFFSET $3",
        &params![client, limit, offset],
    )?;
    let slice = rows.iter().map(|row| registration(tx, row)).collect::<Result<_, _>>()?;
    Ok((slice, total))
}

/// Takes digest, promise and salt out; `false` where the client has no such registration.
pub(crate) fn erase(tx: &mut Tx<'_>, client: &str, id: &str) -> Result<bool, NotaryError> {
    let erased = tx.execute(
        "UPDATE notary_registration SET digest_index = NULL, record = NULL, promise = NULL
         WHERE client = $1 AND id = $2",
        &params![client, id],
    )?;
    if erased > 0 {
        outbox::erase(tx, KIND, id)?;
    }
    Ok(erased > 0)
}

/// The client who comes with this key.
pub(crate) fn client_of(tx: &mut Tx<'_>, digest: &[u8; 32]) -> Result<Option<String>, NotaryError> {
    let row =
        tx.query_one("SELECT client FROM notary_key WHERE digest = $1 AND revoked_at IS NULL", &params![*digest])?;
    Ok(row.map(|row| row.get("client")).transpose()?)
}

pub(crate) fn add_key(tx: &mut Tx<'_>, key: &ApiKey, digest: &[u8; 32]) -> Result<(), NotaryError> {
    tx.execute(
        "INSERT INTO notary_key (id, digest, client, created_at) VALUES ($1, $2, $3, $4)",
        &params![&key.id, *digest, &key.client, key.created_at],
    )?;
    Ok(())
}

pub(crate) fn keys(tx: &mut Tx<'_>) -> Result<Vec<ApiKey>, NotaryError> {
    let rows = tx.query("SELECT id, client, created_at, revoked_at FROM notary_key ORDER BY created_at, id", &[])?;
    let key = |row: &Row| -> Result<ApiKey, NotaryError> {
        Ok(ApiKey {
            id: row.get("id")?,
            client: row.get("client")?,
            created_at: row.get("created_at")?,
            revoked_at: row.get("revoked_at")?,
        })
    };
    rows.iter().map(key).collect()
}

/// Whether the key opened doors until now.
pub(crate) fn revoke_key(tx: &mut Tx<'_>, id: &str, now: Timestamp) -> Result<bool, NotaryError> {
    let revoked =
        tx.execute("UPDATE notary_key SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL", &params![id, now])?;
    Ok(revoked > 0)
}

fn registration(tx: &mut Tx<'_>, row: &Row) -> Result<Registration, NotaryError> {
    let id: String = row.get("id")?;
    let open = |column: &str| -> Result<Option<String>, StoreError> {
        let Some(sealed) = row.get::<Option<Vec<u8>>>(column)? else { return Ok(None) };
        let plain = tx.sealer().open(TABLE, column, &id, &sealed)?;
        let wrong = |_| StoreError::Column { column: column.to_owned(), reason: "it is no text".to_owned() };
        String::from_utf8(plain).map(Some).map_err(wrong)
    };
    let (record, promise) = (open("record")?, open("promise")?);
    let index = outbox::find(tx, KIND, &id)?.and_then(|kept| kept.index);
    Ok(Registration { record, promise, registered_at: row.get("registered_at")?, index, new: false, id })
}
