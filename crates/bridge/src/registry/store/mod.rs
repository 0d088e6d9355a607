//! The SQL of the registry. A row becomes a noun in one place; an impossible row is an error.

mod change;
mod declare;
mod read;
mod rights;

pub(super) use change::apply;
pub(super) use declare::{Declared, declare};
pub(super) use read::read_if_newer;

use civic::Timestamp;
use serde_json::Value as Json;
use store::{Row, StoreError, Tx, params};

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
}

/// Writes a line of the audit.
pub(crate) fn audit(
    tx: &mut Tx<'_>,
    author: &str,
    action: &str,
    object: &str,
    detail: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let last: Option<i64> = match tx.query_one("SELECT MAX(id) AS last FROM bridge_audit", &[])? {
        Some(row) => row.get("last")?,
        None => None,
    };
    let id = last.map_or(now.micros(), |last| now.micros().max(last.saturating_add(1)));
    tx.execute(
        "INSERT INTO bridge_audit (id, author, action, object, detail) VALUES ($1, $2, $3, $4, $5)",
        &params![id, author, action, object, detail],
    )?;
    Ok(())
}

pub(super) fn audit_entries(tx: &mut Tx<'_>, limit: u32) -> Result<Vec<AuditEntry>, RegistryError> {
    let rows = tx.query(
        "SELECT id, author, action, object, detail FROM bridge_audit ORDER BY id DESC LIMIT $1",
        &params![limit],
    )?;
    rows.iter().map(entry).collect()
}

fn entry(row: &Row) -> Result<AuditEntry, RegistryError> {
    let detail: String = row.get("detail")?;
    Ok(AuditEntry {
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
