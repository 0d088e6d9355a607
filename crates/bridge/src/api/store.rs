//! The SQL of the management API: its keys, and keys and certificates of the node that were made over it.

use ::store::{Row, StoreError, Tx, Value, params};
use civic::{MemberId, Timestamp};
use serde_json::Value as Json;

use super::auth::{Holder, Role};

/// A key of the node that was made over the API.
#[derive(Clone)]
pub(super) struct KeptKey {
    pub(super) id: String,
    pub(super) label: String,
    pub(super) usage: String,
    pub(super) secret: Vec<u8>,
}

/// A certificate request that was made.
#[derive(Clone)]
pub(super) struct KeptCsr {
    pub(super) id: String,
    pub(super) key: String,
    pub(super) owner: String,
    pub(super) request: Vec<u8>,
}

/// A certificate that was imported.
#[derive(Clone)]
pub(super) struct KeptCertificate {
    pub(super) id: String,
    pub(super) key: String,
    pub(super) certificate: Vec<u8>,
    pub(super) status: String,
    pub(super) active: bool,
    /// Whom a signing certificate names; of the owner where nothing is said.
    pub(super) member: Option<MemberId>,
}

impl KeptCertificate {
    /// Whether it speaks for this member of a node with this owner.
    pub(super) fn is_of(&self, member: &MemberId, owner: &MemberId) -> bool {
        self.member.as_ref().unwrap_or(owner) == member
    }
}

fn roles(row: &Row) -> Result<Vec<Role>, StoreError> {
    let text: String = row.get("roles")?;
    let wrong =
        |error: super::auth::UnknownRole| StoreError::Column { column: "roles".into(), reason: error.to_string() };
    text.split(',').filter(|word| !word.is_empty()).map(|word| word.parse().map_err(wrong)).collect()
}

fn words(roles: &[Role]) -> String {
    roles.iter().map(|role| role.word()).collect::<Vec<_>>().join(",")
}

fn holder(row: &Row) -> Result<Holder, StoreError> {
    Ok(Holder { number: row.get("id")?, roles: roles(row)? })
}

pub(super) fn key_by_digest(tx: &mut Tx<'_>, digest: &[u8; 32]) -> Result<Option<Holder>, StoreError> {
    let row = tx.query_one("SELECT id, roles FROM bridge_api_key WHERE digest = $1", &params![digest])?;
    row.as_ref().map(holder).transpose()
}

pub(super) fn keys(tx: &mut Tx<'_>) -> Result<Vec<Holder>, StoreError> {
    tx.query("SELECT id, roles FROM bridge_api_key ORDER BY id", &[])?.iter().map(holder).collect()
}

pub(super) fn add_key(
    tx: &mut Tx<'_>,
    digest: &[u8; 32],
    roles: &[Role],
    author: &str,
    salt: [u8; 32],
    now: Timestamp,
) -> Result<i64, StoreError> {
    let sql = "UPDATE bridge_registry_version SET last_id = last_id + 1 WHERE id = 1 RETURNING last_id";
    let number = match tx.query(sql, &[])?.first() {
        Some(row) => row.get("last_id")?,
        None => 0_i64,
    };
    tx.execute(
        "INSERT INTO bridge_api_key (id, digest, roles, created) VALUES ($1, $2, $3, $4)",
        &params![number, digest, words(roles), now],
    )?;
    audit(tx, author, ("add_api_key", number), roles, salt, now)?;
    Ok(number)
}

pub(super) fn set_key(
    tx: &mut Tx<'_>,
    number: i64,
    roles: &[Role],
    author: &str,
    salt: [u8; 32],
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.execute("UPDATE bridge_api_key SET roles = $2 WHERE id = $1", &params![number, words(roles)])?;
    audit(tx, author, ("set_api_key", number), roles, salt, now)
}

pub(super) fn remove_key(
    tx: &mut Tx<'_>,
    number: i64,
    author: &str,
    salt: [u8; 32],
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.execute("DELETE FROM bridge_api_key WHERE id = $1", &params![number])?;
    audit(tx, author, ("remove_api_key", number), &[], salt, now)
}

fn audit(
    tx: &mut Tx<'_>,
    author: &str,
    (action, number): (&str, i64),
    roles: &[Role],
    salt: [u8; 32],
    now: Timestamp,
) -> Result<(), StoreError> {
    let detail = serde_json::json!({ "roles": roles }).to_string();
    crate::registry::write_audit(tx, author, action, &format!("api-key {number}"), &detail, salt, now)
}

pub(super) fn node_keys(tx: &mut Tx<'_>) -> Result<Vec<KeptKey>, StoreError> {
    let rows = tx.query("SELECT id, label, usage, secret FROM bridge_key ORDER BY created, id", &[])?;
    let read = |row: &Row| {
        Ok(KeptKey {
            id: row.get("id")?,
            label: row.get("label")?,
            usage: row.get("usage")?,
            secret: row.get("secret")?,
        })
    };
    rows.iter().map(read).collect()
}

pub(super) fn csrs(tx: &mut Tx<'_>) -> Result<Vec<KeptCsr>, StoreError> {
    let rows = tx.query("SELECT id, key_id, owner, request FROM bridge_csr ORDER BY created, id", &[])?;
    let read = |row: &Row| {
        Ok(KeptCsr {
            id: row.get("id")?,
            key: row.get("key_id")?,
            owner: row.get("owner")?,
            request: row.get("request")?,
        })
    };
    rows.iter().map(read).collect()
}

pub(super) fn certificates(tx: &mut Tx<'_>) -> Result<Vec<KeptCertificate>, StoreError> {
    let sql =
        "SELECT id, key_id, certificate, status, active, member FROM bridge_key_certificate ORDER BY imported, id";
    let read = |row: &Row| {
        Ok(KeptCertificate {
            id: row.get("id")?,
            key: row.get("key_id")?,
            certificate: row.get("certificate")?,
            status: row.get("status")?,
            active: row.get("active")?,
            member: member(row)?,
        })
    };
    tx.query(sql, &[])?.iter().map(read).collect()
}

fn member(row: &Row) -> Result<Option<MemberId>, StoreError> {
    let Some(text) = row.get::<Option<String>>("member")? else { return Ok(None) };
    let wrong = |_| StoreError::Column { column: "member".into(), reason: format!("`{text}` names no member") };
    text.parse().map(Some).map_err(wrong)
}

pub(super) fn insert_key(tx: &mut Tx<'_>, key: &KeptKey, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO bridge_key (id, label, usage, secret, created) VALUES ($1, $2, $3, $4, $5)",
        &params![key.id.as_str(), key.label.as_str(), key.usage.as_str(), &key.secret, now],
    )?;
    Ok(())
}

pub(super) fn rename_key(tx: &mut Tx<'_>, id: &str, label: &str) -> Result<(), StoreError> {
    tx.execute("UPDATE bridge_key SET label = $2 WHERE id = $1", &params![id, label])?;
    Ok(())
}

pub(super) fn remove_node_key(tx: &mut Tx<'_>, id: &str) -> Result<(), StoreError> {
    tx.execute("DELETE FROM bridge_csr WHERE key_id = $1", &params![id])?;
    tx.execute("DELETE FROM bridge_key_certificate WHERE key_id = $1", &params![id])?;
    tx.execute("DELETE FROM bridge_key WHERE id = $1", &params![id])?;
    Ok(())
}

pub(super) fn insert_csr(tx: &mut Tx<'_>, csr: &KeptCsr, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO bridge_csr (id, key_id, owner, request, created) VALUES ($1, $2, $3, $4, $5)",
        &params![csr.id.as_str(), csr.key.as_str(), csr.owner.as_str(), &csr.request, now],
    )?;
    Ok(())
}

pub(super) fn remove_csr(tx: &mut Tx<'_>, id: &str) -> Result<(), StoreError> {
    tx.execute("DELETE FROM bridge_csr WHERE id = $1", &params![id])?;
    Ok(())
}

pub(super) fn insert_certificate(tx: &mut Tx<'_>, one: &KeptCertificate, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO bridge_key_certificate (id, key_id, certificate, status, active, imported, member) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        &params![
            one.id.as_str(),
            one.key.as_str(),
            &one.certificate,
            one.status.as_str(),
            one.active,
            now,
            one.member.as_ref().map(ToString::to_string)
        ],
    )?;
    Ok(())
}

/// `column` is one of ours.
pub(super) fn set_certificate(tx: &mut Tx<'_>, id: &str, column: &str, value: Value) -> Result<(), StoreError> {
    let sql = format!("UPDATE bridge_key_certificate SET {column} = $2 WHERE id = $1");
    tx.execute(&sql, &[id.into(), value])?;
    Ok(())
}

pub(super) fn remove_certificate(tx: &mut Tx<'_>, id: &str) -> Result<(), StoreError> {
    tx.execute("DELETE FROM bridge_key_certificate WHERE id = $1", &params![id])?;
    Ok(())
}

/// A setting of the node.
pub(super) fn setting(tx: &mut Tx<'_>, name: &str) -> Result<Option<Json>, StoreError> {
    let row = tx.query_one("SELECT value FROM bridge_setting WHERE name = $1", &params![name])?;
    let text = row.map(|row| row.get::<String>("value")).transpose()?;
    let wrong = |error: serde_json::Error| StoreError::Column { column: "value".into(), reason: error.to_string() };
    text.map(|text| serde_json::from_str(&text).map_err(wrong)).transpose()
}

/// `value` is JSON.
pub(super) fn put_setting(tx: &mut Tx<'_>, name: &str, value: &str) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO bridge_setting (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        &params![name, value],
    )?;
    Ok(())
}

pub(super) fn remove_setting(tx: &mut Tx<'_>, name: &str) -> Result<(), StoreError> {
    tx.execute("DELETE FROM bridge_setting WHERE name = $1", &params![name])?;
    Ok(())
}

/// Other replicas look again.
pub(super) fn raise_version(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    tx.execute("UPDATE bridge_registry_version SET version = version + 1 WHERE id = 1", &[])?;
    Ok(())
}
