//! Who did what, and the keys by which operators come in.

use civic::Timestamp;
use store::{Row, Tx, params};

use crate::AuthorityError;
use crate::operators::{ApiKey, AuditEntry, Role};

const PAGE_MAX: i64 = 500;

/// Remembers what somebody did.
pub(crate) fn audit(
    tx: &mut Tx<'_>,
    actor: &str,
    action: &str,
    subject: &str,
    detail: &str,
    now: Timestamp,
) -> Result<(), AuthorityError> {
    tx.execute(
        "INSERT INTO authority_audit (id, at, actor, action, subject, detail)
         SELECT COALESCE(MAX(id), 0) + 1, CAST($1 AS BIGINT), $2, $3, $4, $5 FROM authority_audit",
        &params![now, actor, action, subject, detail],
    )?;
    Ok(())
}

/// What was done, newest first, before that number.
pub(crate) fn audit_entries(tx: &mut Tx<'_>, before: Option<i64>) -> Result<Vec<AuditEntry>, AuthorityError> {
    let rows = tx.query(
        "SELECT id, at, actor, action, subject, detail FROM authority_audit WHERE id < $1 ORDER BY id DESC LIMIT $2",
        &params![before.unwrap_or(i64::MAX), PAGE_MAX],
    )?;
    rows.iter().map(entry_of).collect()
}

/// What was done after that number, oldest first.
pub(crate) fn audit_after(tx: &mut Tx<'_>, after: i64, entries_max: u32) -> Result<Vec<AuditEntry>, AuthorityError> {
    let rows = tx.query(
        "SELECT id, at, actor, action, subject, detail FROM authority_audit WHERE id > $1 ORDER BY id LIMIT $2",
        &params![after, entries_max],
    )?;
    rows.iter().map(entry_of).collect()
}

fn entry_of(row: &Row) -> Result<AuditEntry, AuthorityError> {
    Ok(AuditEntry {
        id: row.get("id")?,
        at: row.get("at")?,
        actor: row.get("actor")?,
        action: row.get("action")?,
        subject: row.get("subject")?,
        detail: row.get("detail")?,
    })
}

/// A new key; only its digest is kept.
pub(crate) fn put_api_key(tx: &mut Tx<'_>, key: &ApiKey, digest: &str) -> Result<(), AuthorityError> {
    let roles: Vec<&str> = key.roles.iter().map(|role| role.name()).collect();
    tx.execute(
        "INSERT INTO authority_api_key (id, digest, label, roles, created_at, revoked_at)
         VALUES ($1, $2, $3, $4, $5, NULL)",
        &params![key.id.as_str(), digest, key.label.as_str(), roles.join(" "), key.created_at],
    )?;
    Ok(())
}

/// The key with this id and digest, where it opens doors.
pub(crate) fn api_key(tx: &mut Tx<'_>, id: &str, digest: &str) -> Result<Option<ApiKey>, AuthorityError> {
    let row = tx.query_one(
        "SELECT id, label, roles, created_at FROM authority_api_key
         WHERE id = $1 AND digest = $2 AND revoked_at IS NULL",
        &params![id, digest],
    )?;
    row.as_ref().map(key_of).transpose()
}

/// The keys that open doors.
pub(crate) fn api_keys(tx: &mut Tx<'_>) -> Result<Vec<ApiKey>, AuthorityError> {
    let rows = tx.query(
        "SELECT id, label, roles, created_at FROM authority_api_key WHERE revoked_at IS NULL ORDER BY created_at, id",
        &[],
    )?;
    rows.iter().map(key_of).collect()
}

/// Whether it opened doors.
pub(crate) fn revoke_api_key(tx: &mut Tx<'_>, id: &str, now: Timestamp) -> Result<bool, AuthorityError> {
    let changed = tx.execute(
        "UPDATE authority_api_key SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL",
        &params![id, now],
    )?;
    Ok(changed > 0)
}

fn key_of(row: &Row) -> Result<ApiKey, AuthorityError> {
    let roles: String = row.get("roles")?;
    Ok(ApiKey {
        id: row.get("id")?,
        label: row.get("label")?,
        roles: roles.split(' ').filter_map(Role::of_name).collect(),
        created_at: row.get("created_at")?,
    })
}
