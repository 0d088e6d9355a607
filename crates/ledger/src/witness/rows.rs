//! What witness and monitor keep.

use civic::Timestamp;
use store::{Row, Tx, params};
use trust::digest::sha256;
use trust::merkle::Hash;

use super::{Conflict, origin_hash};
use crate::LedgerError;

/// The last checkpoint cosigned of a log.
pub(super) struct Last {
    pub(super) size: u64,
    pub(super) root: Hash,
    pub(super) note: String,
}

pub(super) fn last(tx: &mut Tx<'_>, origin: &str) -> Result<Option<Last>, LedgerError> {
    let row = tx.query_one("SELECT size, root, note FROM ledger_witnessed WHERE origin = $1", &params![origin])?;
    let read = |row: Row| -> Result<Last, LedgerError> {
        Ok(Last { size: row.get("size")?, root: row.get("root")?, note: row.get("note")? })
    };
    row.map(read).transpose()
}

pub(super) fn keep(tx: &mut Tx<'_>, origin: &str, last: &Last, now: Timestamp) -> Result<(), LedgerError> {
    let size = i64::try_from(last.size).unwrap_or(i64::MAX);
    tx.execute(
        "INSERT INTO ledger_witnessed (origin, origin_hash, size, root, note, cosigned_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (origin) DO UPDATE SET size = $3, root = $4, note = $5, cosigned_at = $6",
        &params![origin, origin_hash(origin), size, last.root, last.note.as_str(), now],
    )?;
    Ok(())
}

pub(super) fn note_by_hash(tx: &mut Tx<'_>, hash: &str) -> Result<Option<String>, LedgerError> {
    let row = tx.query_one("SELECT note FROM ledger_witnessed WHERE origin_hash = $1", &params![hash])?;
    Ok(row.map(|row| row.get("note")).transpose()?)
}

/// Keeps two checkpoints that contradict each other, once.
pub(crate) fn add_conflict(
    tx: &mut Tx<'_>,
    origin: &str,
    first: &str,
    second: &str,
    found_by: &str,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let text = second.split("\n\n").next().unwrap_or_default();
    tx.execute(
        "INSERT INTO ledger_conflict (origin, first_note, second_note, second_digest, found_by, found_at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (origin, second_digest) DO NOTHING",
        &params![origin, first, second, sha256(text.as_bytes()), found_by, now],
    )?;
    Ok(())
}

/// The contradictions found so far, oldest first, at most 1,000.
pub(crate) fn conflicts(tx: &mut Tx<'_>) -> Result<Vec<Conflict>, LedgerError> {
    let rows = tx.query(
        "SELECT origin, first_note, second_note, found_by FROM ledger_conflict ORDER BY found_at LIMIT 1000",
        &[],
    )?;
    rows.iter()
        .map(|row| {
            Ok(Conflict {
                origin: row.get("origin")?,
                first: row.get("first_note")?,
                second: row.get("second_note")?,
                found_by: row.get("found_by")?,
            })
        })
        .collect()
}
