//! The only file with SQL.

use civic::Timestamp;
use store::{AppendTable, ColumnKind, Migration, Row, Tx, Value, params};
use trust::merkle::Hash;

use crate::LedgerError;

pub(crate) const MIGRATIONS: &[Migration] =
    &[Migration { room: "ledger", number: 1, name: "log", sql: include_str!("../migrations/0001_log.sql") }];

static ENTRIES: AppendTable = AppendTable {
    name: "ledger_entry",
    columns: &[("position", ColumnKind::Int), ("leaf_hash", ColumnKind::Bytes), ("entry", ColumnKind::Bytes)],
};

static TILES: AppendTable = AppendTable {
    name: "ledger_tile",
    columns: &[("level", ColumnKind::Int), ("tile_index", ColumnKind::Int), ("hashes", ColumnKind::Bytes)],
};

/// Leaves are looked up by so many at once, in one statement that is prepared once.
const LOOKUP: usize = 32;

/// The checkpoint row.
pub(crate) struct CheckpointRow {
    pub(crate) origin: String,
    pub(crate) size: u64,
    pub(crate) note: String,
}

/// An entry as it is stored.
pub(crate) struct EntryRow {
    pub(crate) position: u64,
    pub(crate) leaf_hash: Vec<u8>,
    pub(crate) entry: Vec<u8>,
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

/// Replaces the checkpoint where it still has the size `old`; `false` where it has another.
pub(crate) fn swap_checkpoint(
    tx: &mut Tx<'_>,
    origin: &str,
    old: u64,
    new: u64,
    note: &str,
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let changed = tx.execute(
        "UPDATE ledger_checkpoint SET size = $3, note = $4, signed_at = $5 WHERE origin = $1 AND size = $2",
        &params![origin, signed(old)?, signed(new)?, note, now],
    )?;
    Ok(changed == 1)
}

/// Where these leaves stand already, in the same order.
pub(crate) fn positions(tx: &mut Tx<'_>, leaves: &[Hash]) -> Result<Vec<Option<u64>>, LedgerError> {
    let places: Vec<String> = (1..=LOOKUP).map(|place| format!("${place}")).collect();
    let sql = format!("SELECT leaf_hash, position FROM ledger_entry WHERE leaf_hash IN ({})", places.join(", "));
    let mut found = std::collections::HashMap::new();
    for chunk in leaves.chunks(LOOKUP) {
        // A short chunk is filled up with its last leaf, so that the statement stays the same.
        let filled = chunk.iter().chain(std::iter::repeat(chunk.last().unwrap_or(&[0; 32])));
        let values: Vec<Value> = filled.take(LOOKUP).map(Value::from).collect();
        for row in tx.query(&sql, &values)? {
            found.insert(row.get::<Hash>("leaf_hash")?, row.get::<u64>("position")?);
        }
    }
    Ok(leaves.iter().map(|leaf| found.get(leaf).copied()).collect())
}

pub(crate) fn add_entries<'e>(
    tx: &mut Tx<'_>,
    entries: impl Iterator<Item = (u64, &'e Hash, &'e [u8])>,
) -> Result<(), LedgerError> {
    let rows: Result<Vec<Vec<Value>>, LedgerError> =
        entries.map(|(position, leaf, entry)| Ok(params![signed(position)?, leaf, entry])).collect();
    Ok(tx.append(&ENTRIES, &rows?)?)
}

pub(crate) fn add_tiles(tx: &mut Tx<'_>, tiles: &[(u8, u64, Vec<u8>)]) -> Result<(), LedgerError> {
    let rows: Result<Vec<Vec<Value>>, LedgerError> =
        tiles.iter().map(|(level, index, hashes)| Ok(params![*level, signed(*index)?, hashes])).collect();
    Ok(tx.append(&TILES, &rows?)?)
}

/// The entries from `start` on, `count` of them or fewer, in order.
pub(crate) fn entries(tx: &mut Tx<'_>, start: u64, count: u64) -> Result<Vec<EntryRow>, LedgerError> {
    let rows = tx.query(
        "SELECT position, leaf_hash, entry FROM ledger_entry WHERE position >= $1 AND position < $2 ORDER BY position",
        &params![signed(start)?, signed(start.saturating_add(count))?],
    )?;
    rows.iter()
        .map(|row| {
            Ok(EntryRow { position: row.get("position")?, leaf_hash: row.get("leaf_hash")?, entry: row.get("entry")? })
        })
        .collect()
}

/// The bytes of a full tile.
pub(crate) fn tile(tx: &mut Tx<'_>, level: u8, index: u64) -> Result<Option<Vec<u8>>, LedgerError> {
    let row = tx.query_one(
        "SELECT hashes FROM ledger_tile WHERE level = $1 AND tile_index = $2",
        &params![level, signed(index)?],
    )?;
    Ok(row.map(|row| row.get("hashes")).transpose()?)
}

/// How many entries stand at or beyond this position.
pub(crate) fn entries_from(tx: &mut Tx<'_>, position: u64) -> Result<u64, LedgerError> {
    let row =
        tx.query_one("SELECT COUNT(*) AS beyond FROM ledger_entry WHERE position >= $1", &params![signed(position)?])?;
    Ok(row.map_or(Ok(0), |row| row.get("beyond"))?)
}

fn signed(number: u64) -> Result<i64, LedgerError> {
    i64::try_from(number).map_err(|_| LedgerError::OutOfRange { asked: number, size: i64::MAX.unsigned_abs() })
}
