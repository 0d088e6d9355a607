//! The SQL of the registry. A row becomes a noun in one place; an impossible row is an error.

mod change;
mod declare;
mod read;
mod rights;

pub(super) use change::apply;
pub(super) use declare::{Declared, declare};
pub(super) use read::read_if_newer;

use civic::Timestamp;
use ledger::{Commitment, outbox};
use serde_json::{Value as Json, json};
use store::{Row, StoreError, Tx, params};

use super::actions::ACTIONS;
use super::change::RegistryError;

/// Who did what, when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who: `configuration`, `command line`, `api-key N`, `operator NAME`.
    pub author: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub object: String,
    /// The change.
    pub detail: Json,
    /// Where the ledger holds its commitment; `None` while it is on the way, in lines of older versions, and where there is no ledger.
    pub index: Option<u64>,
}

/// What the outbox calls lines of the audit.
pub(super) const KIND: &str = "node.act";

impl AuditEntry {
    /// Its number: the moment, made unique.
    pub fn id(&self) -> i64 {
        self.at.micros()
    }

    /// What is committed to, byte for byte.
    pub(super) fn record(&self) -> String {
        json!({
            "v": 1, "kind": KIND, "id": self.id(), "at": self.at.rfc3339(), "actor": self.author, "action": self.action,
            "object": self.object, "detail": self.detail,
        })
        .to_string()
    }
}

/// What the outbox calls a line.
pub(super) fn key(id: i64) -> String {
    format!("{id:019}")
}

/// Writes a line of the audit, and the commitment to it: in the transaction of the act itself. The salt is drawn before it.
pub(crate) fn audit(
    tx: &mut Tx<'_>,
    author: &str,
    action: &str,
    object: &str,
    detail: &str,
    salt: [u8; 32],
    now: Timestamp,
) -> Result<(), StoreError> {
    debug_assert!(ACTIONS.contains(&action), "`{action}` is missing in the list of actions, so in the console too");
    let last: Option<i64> = match tx.query_one("SELECT MAX(id) AS last FROM bridge_audit", &[])? {
        Some(row) => row.get("last")?,
        None => None,
    };
    let id = last.map_or(now.micros(), |last| now.micros().max(last.saturating_add(1)));
    tx.execute(
        "INSERT INTO bridge_audit (id, author, action, object, detail) VALUES ($1, $2, $3, $4, $5)",
        &params![id, author, action, object, detail],
    )?;
    let entry = AuditEntry {
        at: Timestamp::from_micros(id),
        author: author.to_owned(),
        action: action.to_owned(),
        object: object.to_owned(),
        detail: serde_json::from_str(detail).unwrap_or(Json::Null),
        index: None,
    };
    outbox::add(tx, KIND, &key(id), &Commitment::with_salt(salt, entry.record().as_bytes()), now)
}

pub(super) fn audit_entries(tx: &mut Tx<'_>, limit: u32) -> Result<Vec<AuditEntry>, RegistryError> {
    let rows = tx.query(
        "SELECT id, author, action, object, detail FROM bridge_audit ORDER BY id DESC LIMIT $1",
        &params![limit],
    )?;
    rows.iter().map(|row| entry(tx, row)).collect()
}

/// One line of the audit.
pub(super) fn audit_entry(tx: &mut Tx<'_>, id: i64) -> Result<Option<AuditEntry>, RegistryError> {
    let row =
        tx.query_one("SELECT id, author, action, object, detail FROM bridge_audit WHERE id = $1", &params![id])?;
    row.map(|row| entry(tx, &row)).transpose()
}

fn entry(tx: &mut Tx<'_>, row: &Row) -> Result<AuditEntry, RegistryError> {
    let detail: String = row.get("detail")?;
    Ok(AuditEntry {
        index: outbox::index(tx, KIND, &key(row.get("id")?))?,
        at: row.get("id")?,
        author: row.get("author")?,
        action: row.get("action")?,
        object: row.get("object")?,
        detail: serde_json::from_str(&detail).map_err(|error| RegistryError::Damaged(error.to_string()))?,
    })
}

/// Marks the registry as changed.
fn raise_version(tx: &mut Tx<'_>) -> Result<(), RegistryError> {
    tx.execute("UPDATE bridge_registry_version SET version = version + 1 WHERE id = 1", &[])?;
    Ok(())
}

/// A new number for a row.
fn next_number(tx: &mut Tx<'_>) -> Result<i64, RegistryError> {
    let rows =
        tx.query("UPDATE bridge_registry_version SET last_id = last_id + 1 WHERE id = 1 RETURNING last_id", &[])?;
    let row = rows.first().ok_or_else(|| RegistryError::Damaged("its version row is missing".to_owned()))?;
    Ok(row.get("last_id")?)
}
