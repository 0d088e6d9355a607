//! The only file with SQL of the log itself.

use civic::Timestamp;
use store::{AppendTable, ColumnKind, Migration, Row, Tx, Value, params};
use trust::merkle::TILE_WIDTH;

use crate::LedgerError;
use crate::bundle;
use crate::plan::Plan;
use crate::source::{Source, damaged};

pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration { room: "ledger", number: 1, name: "log", sql: include_str!("../migrations/0001_log.sql") },
    Migration { room: "ledger", number: 2, name: "batches", sql: include_str!("../migrations/0002_batches.sql") },
    Migration { room: "ledger", number: 3, name: "witness", sql: include_str!("../migrations/0003_witness.sql") },
];

static TILES: AppendTable = AppendTable {
    name: "ledger_tile",
    columns: &[("level", ColumnKind::Int), ("tile_index", ColumnKind::Int), ("hashes", ColumnKind::Bytes)],
};

/// Entries of the first format are brought into batches of this many.
const LEGACY_PAGE: u64 = 1_024;

/// The checkpoint row.
pub(crate) struct CheckpointRow {
    pub(crate) origin: String,
    pub(crate) size: u64,
    pub(crate) note: String,
}

/// The entries of one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BatchRow {
    pub(crate) first: u64,
    pub(crate) entries: u64,
    pub(crate) bundle: Vec<u8>,
}

/// Tiles and entries as rows of the store.
pub(crate) struct Rows<'a, 't>(pub(crate) &'a mut Tx<'t>);

impl Source for Rows<'_, '_> {
    fn tile(&mut self, level: u8, index: u64) -> Result<Option<Vec<u8>>, LedgerError> {
        let row = self.0.query_one(
            "SELECT hashes FROM ledger_tile WHERE level = $1 AND tile_index = $2",
            &params![level, signed(index)?],
        )?;
        Ok(row.map(|row| row.get("hashes")).transpose()?)
    }

    fn bundle(&mut self, index: u64, width: u16) -> Result<Vec<Vec<u8>>, LedgerError> {
        let start = index.saturating_mul(TILE_WIDTH);
        let end = start.saturating_add(u64::from(width));
        let rows = self.0.query(
            "SELECT first, entries, bundle FROM ledger_batch
             WHERE first >= (SELECT MAX(first) FROM ledger_batch WHERE first <= $1) AND first < $2 ORDER BY first",
            &params![signed(start)?, signed(end)?],
        )?;
        let mut found = Vec::new();
        for row in &rows {
            let batch = batch_of(row)?;
            for (position, entry) in (batch.first..).zip(batch.parts()?) {
                // A gap between batches shows as an entry out of its place, and ends the bundle early.
                if position >= start && position < end && position == start + found.len() as u64 {
                    found.push(entry.to_vec());
                }
            }
        }
        Ok(found)
    }
}

impl BatchRow {
    /// The entries, checked to be as many as the row says.
    pub(crate) fn parts(&self) -> Result<Vec<&[u8]>, LedgerError> {
        let count = usize::try_from(self.entries).unwrap_or(usize::MAX);
        bundle::exactly(&self.bundle, count)
            .ok_or_else(|| damaged(&format!("the batch at entry {}", self.first), "its entries are cut short"))
    }
}

pub(crate) fn checkpoint(tx: &mut Tx<'_>) -> Result<Option<CheckpointRow>, LedgerError> {
    let row = tx.query_one("SELECT origin, size, note FROM ledger_checkpoint", &[])?;
    let read = |row: Row| -> Result<CheckpointRow, LedgerError> {
        Ok(CheckpointRow { origin: row.get("origin")?, size: row.get("size")?, note: row.get("note")? })
    };
    row.map(read).transpose()
}

pub(crate) fn create_checkpoint(tx: &mut Tx<'_>, origin: &str, note: &str, now: Timestamp) -> Result<(), LedgerError> {
    tx.execute(
        "INSERT INTO ledger_checkpoint (origin, size, note, signed_at) VALUES ($1, 0, $2, $3)",
        &params![origin, note, now],
    )?;
    Ok(())
}

/// Stages the entries of a step and replaces the checkpoint where it still has the size that the step began at;
/// `false` where it has another.
pub(crate) fn publish(
    tx: &mut Tx<'_>,
    origin: &str,
    plan: &Plan,
    note: &str,
    with_tiles: bool,
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let changed = tx.execute(
        "UPDATE ledger_checkpoint SET size = $3, note = $4, signed_at = $5 WHERE origin = $1 AND size = $2",
        &params![origin, signed(plan.old)?, signed(plan.edge.size())?, note, now],
    )?;
    if changed != 1 {
        return Ok(false);
    }
    add_batch(tx, plan.old, plan.added(), &plan.bundle)?;
    if with_tiles && !plan.tiles.is_empty() {
        let rows: Result<Vec<Vec<Value>>, LedgerError> =
            plan.tiles.iter().map(|(tile, hashes)| Ok(params![tile.level, signed(tile.index)?, hashes])).collect();
        tx.append(&TILES, &rows?)?;
    }
    Ok(true)
}

/// The first batch that is kept, and the entry after the last one.
pub(crate) fn staged_range(tx: &mut Tx<'_>) -> Result<Option<(u64, u64)>, LedgerError> {
    let Some(first) = tx.query_one("SELECT first FROM ledger_batch ORDER BY first LIMIT 1", &[])? else {
        return Ok(None);
    };
    let last = tx.query_one("SELECT first, entries FROM ledger_batch ORDER BY first DESC LIMIT 1", &[])?;
    let end =
        last.map_or(Ok(0), |row| Ok::<u64, LedgerError>(row.get::<u64>("first")? + row.get::<u64>("entries")?))?;
    Ok(Some((first.get("first")?, end)))
}

/// Batches from this one on, in order, `count` of them or fewer.
pub(crate) fn batches(tx: &mut Tx<'_>, from: u64, count: u32) -> Result<Vec<BatchRow>, LedgerError> {
    let rows = tx.query(
        "SELECT first, entries, bundle FROM ledger_batch WHERE first >= $1 ORDER BY first LIMIT $2",
        &params![signed(from)?, count],
    )?;
    rows.iter().map(batch_of).collect()
}

/// The batches that hold entries from `start` to before `end`, whole, in order.
pub(crate) fn batches_over(tx: &mut Tx<'_>, start: u64, end: u64) -> Result<Vec<BatchRow>, LedgerError> {
    let rows = tx.query(
        "SELECT first, entries, bundle FROM ledger_batch
         WHERE first >= COALESCE((SELECT MAX(first) FROM ledger_batch WHERE first <= $1), 0) AND first < $2 ORDER BY first",
        &params![signed(start)?, signed(end)?],
    )?;
    rows.iter().map(batch_of).collect()
}

/// Whether entries of the first format are there.
pub(crate) fn has_legacy(tx: &mut Tx<'_>) -> Result<bool, LedgerError> {
    Ok(tx.query_one("SELECT position FROM ledger_entry LIMIT 1", &[])?.is_some())
}

/// Whether tiles are kept in the store.
pub(crate) fn has_tiles(tx: &mut Tx<'_>) -> Result<bool, LedgerError> {
    Ok(tx.query_one("SELECT level FROM ledger_tile LIMIT 1", &[])?.is_some())
}

/// Forgets the batches that end at or before this entry: the synced folder holds them.
pub(crate) fn forget_batches(tx: &mut Tx<'_>, end: u64) -> Result<u64, LedgerError> {
    Ok(tx.execute("DELETE FROM ledger_batch WHERE first + entries <= $1", &params![signed(end)?])?)
}

/// Brings entries of the first format (one row each) into batches. The rows before must be without gaps.
pub(crate) fn convert_legacy(tx: &mut Tx<'_>) -> Result<(), LedgerError> {
    let mut next = 0;
    loop {
        let rows = tx.query(
            "SELECT position, entry FROM ledger_entry WHERE position >= $1 ORDER BY position LIMIT $2",
            &params![signed(next)?, signed(LEGACY_PAGE)?],
        )?;
        let mut bundle = Vec::new();
        for (row, expected) in rows.iter().zip(next..) {
            if row.get::<u64>("position")? != expected {
                return Err(damaged(&format!("entry {expected}"), "it is missing"));
            }
            bundle::push(&mut bundle, &row.get::<Vec<u8>>("entry")?);
        }
        if rows.is_empty() {
            break;
        }
        add_batch(tx, next, rows.len() as u64, &bundle)?;
        next += rows.len() as u64;
    }
    if next > 0 {
        tx.execute("DELETE FROM ledger_entry WHERE position >= 0", &[])?;
    }
    Ok(())
}

fn add_batch(tx: &mut Tx<'_>, first: u64, entries: u64, bundle: &[u8]) -> Result<(), LedgerError> {
    tx.execute(
        "INSERT INTO ledger_batch (first, entries, bundle) VALUES ($1, $2, $3)",
        &params![signed(first)?, signed(entries)?, bundle],
    )?;
    Ok(())
}

fn batch_of(row: &Row) -> Result<BatchRow, LedgerError> {
    Ok(BatchRow { first: row.get("first")?, entries: row.get("entries")?, bundle: row.get("bundle")? })
}

fn signed(number: u64) -> Result<i64, LedgerError> {
    i64::try_from(number).map_err(|_| LedgerError::OutOfRange { asked: number, size: i64::MAX.unsigned_abs() })
}
