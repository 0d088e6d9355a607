//! Leases, replicas, time stamps and ledger leaves.

use civic::Timestamp;
use store::{AppendTable, ColumnKind, Row, StoreError, Tx, params};

const STAMPING: &str = "stamp messages";
/// Waiting records are counted up to here: the count is made often while stamping fails.
const COUNTED_MAX: i64 = 100_000;

static STAMPED: AppendTable = AppendTable {
    name: "bridge_stamped",
    columns: &[("record", ColumnKind::Int), ("stamp", ColumnKind::Int), ("chain", ColumnKind::Bytes)],
};

/// Takes a free, expired or own lease.
pub(crate) fn take_lease(
    tx: &mut Tx<'_>,
    job: &str,
    holder: [u8; 16],
    now: Timestamp,
    until: Timestamp,
) -> Result<bool, StoreError> {
    let taken = tx.execute(
        "INSERT INTO bridge_lease (job, holder, held_until) VALUES ($1, $2, $3) ON CONFLICT (job) DO UPDATE \
         SET holder = excluded.holder, held_until = excluded.held_until \
         WHERE bridge_lease.holder = excluded.holder OR bridge_lease.held_until <= $4",
        &params![job, holder, until, now],
    )?;
    Ok(taken == 1)
}

pub(crate) fn give_lease(tx: &mut Tx<'_>, job: &str, holder: [u8; 16]) -> Result<(), StoreError> {
    tx.execute("DELETE FROM bridge_lease WHERE job = $1 AND holder = $2", &params![job, holder]).map(drop)
}

/// Whether a lease is still this holder's. It may have expired: as long as nobody else took it, nobody else works.
pub(crate) fn holds(tx: &mut Tx<'_>, job: &str, holder: [u8; 16]) -> Result<bool, StoreError> {
    let sql = "SELECT job FROM bridge_lease WHERE job = $1 AND holder = $2";
    Ok(tx.query_one(sql, &params![job, holder])?.is_some())
}

pub(crate) fn beat(tx: &mut Tx<'_>, replica: [u8; 16], settled: i64, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO bridge_replica (replica, settled, seen) VALUES ($1, $2, $3) ON CONFLICT (replica) DO UPDATE \
         SET settled = excluded.settled, seen = excluded.seen",
        &params![replica, settled, now],
    )
    .map(drop)
}

pub(crate) fn leave(tx: &mut Tx<'_>, replica: [u8; 16]) -> Result<(), StoreError> {
    tx.execute("DELETE FROM bridge_replica WHERE replica = $1", &params![replica]).map(drop)
}

/// Enters a replica above all records and promises; answers that id.
pub(crate) fn enter(tx: &mut Tx<'_>, replica: [u8; 16], own: i64, now: Timestamp) -> Result<i64, StoreError> {
    let promised = tx.query_one("SELECT COALESCE(MAX(settled), 0) AS last FROM bridge_replica", &[])?;
    let promised: i64 = promised.map_or(Ok(0), |row| row.get("last"))?;
    let highest = super::last_record(tx)?.max(promised).max(own);
    beat(tx, replica, highest, now)?;
    Ok(highest)
}

/// The lowest promise of the other replicas that live; `None` where there are none.
pub(crate) fn settled_of_others(
    tx: &mut Tx<'_>,
    replica: [u8; 16],
    alive_since: Timestamp,
) -> Result<Option<i64>, StoreError> {
    let row = tx.query_one(
        "SELECT MIN(settled) AS settled FROM bridge_replica WHERE replica <> $1 AND seen > $2",
        &params![replica, alive_since],
    )?;
    row.map_or(Ok(None), |row| row.get("settled"))
}

/// Records without stamp up to a settled id, in order, with the digest of their signature.
pub(crate) fn unstamped(tx: &mut Tx<'_>, settled: i64, limit: i64) -> Result<Vec<(i64, Vec<u8>)>, StoreError> {
    let rows = tx.query(
        "SELECT m.id, m.signed_digest FROM bridge_message m LEFT JOIN bridge_stamped s ON s.record = m.id \
         WHERE m.id > COALESCE((SELECT id FROM bridge_mark WHERE job = $1), 0) AND m.id <= $2 AND m.mode <> 2 \
         AND s.record IS NULL ORDER BY m.id LIMIT $3",
        &params![STAMPING, settled, limit],
    )?;
    rows.iter().map(|row| Ok((row.get("id")?, row.get("signed_digest")?))).collect()
}

/// Records that stamping passed by: written late by a replica that was taken for gone.
pub(crate) fn passed_by(tx: &mut Tx<'_>, limit: i64) -> Result<Vec<(i64, Vec<u8>)>, StoreError> {
    let rows = tx.query(
        "SELECT m.id, m.signed_digest FROM bridge_message m LEFT JOIN bridge_stamped s ON s.record = m.id \
         WHERE m.id <= COALESCE((SELECT id FROM bridge_mark WHERE job = $1), 0) \
         AND m.id > COALESCE((SELECT id FROM bridge_mark WHERE job = $2), 0) - $3 \
         AND m.mode <> 2 AND s.record IS NULL ORDER BY m.id LIMIT $4",
        &params![STAMPING, super::ARCHIVING, super::LATE_MICROS, limit],
    )?;
    rows.iter().map(|row| Ok((row.get("id")?, row.get("signed_digest")?))).collect()
}

/// Keeps a stamp and what lies under it.
pub(crate) fn keep_stamp(
    tx: &mut Tx<'_>,
    stamp: i64,
    token: &[u8],
    result: &str,
    leaves: &[u8],
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO bridge_stamp (id, chain_result, token, leaves) VALUES ($1, $2, $3, $4)",
        &params![stamp, result.as_bytes(), token, leaves],
    )
    .map(drop)
}

/// Notes the stamp of records.
pub(crate) fn keep_stamped(tx: &mut Tx<'_>, stamp: i64, records: &[i64]) -> Result<(), StoreError> {
    let row = |record: &i64| params![*record, stamp, Vec::<u8>::new()];
    tx.append(&STAMPED, &records.iter().map(row).collect::<Vec<_>>())?;
    set_mark(tx, STAMPING, records.iter().copied().max().unwrap_or(0))
}

/// What lies under a stamp.
pub(crate) fn stamp_leaves(tx: &mut Tx<'_>, stamp: i64) -> Result<Option<Vec<u8>>, StoreError> {
    let row = tx.query_one("SELECT leaves FROM bridge_stamp WHERE id = $1", &params![stamp])?;
    row.map_or(Ok(None), |row| row.get("leaves"))
}

/// Keeps a mould, or says that it goes on being used.
pub(crate) fn keep_mould(tx: &mut Tx<'_>, digest: [u8; 32], common: &[u8], now: Timestamp) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO bridge_mould (digest, common, seen) VALUES ($1, $2, $3) ON CONFLICT (digest) DO UPDATE \
         SET seen = excluded.seen WHERE bridge_mould.seen < excluded.seen",
        &params![digest, common, now],
    )
    .map(drop)
}

/// How many records wait for their stamp (counted up to a limit), since when, and when the last stamp was made.
pub(crate) fn waiting(tx: &mut Tx<'_>) -> Result<(u64, Option<i64>, Option<i64>), StoreError> {
    let row = tx.query_one(
        "SELECT COUNT(*) AS waiting, MIN(w.id) AS oldest FROM (SELECT m.id FROM bridge_message m \
         LEFT JOIN bridge_stamped s ON s.record = m.id \
         WHERE m.id > COALESCE((SELECT id FROM bridge_mark WHERE job = $1), 0) AND m.mode <> 2 AND s.record IS NULL \
         ORDER BY m.id LIMIT $2) w",
        &params![STAMPING, COUNTED_MAX],
    )?;
    let last = tx.query_one("SELECT MAX(id) AS last FROM bridge_stamp", &[])?;
    let last = last.map_or(Ok(None), |row| row.get("last"))?;
    row.map_or(Ok((0, None, last)), |row| Ok((row.get("waiting")?, row.get("oldest")?, last)))
}

/// Rows of a table that are not committed to the ledger yet, with what their leaves are made of.
pub(crate) fn uncommitted(
    tx: &mut Tx<'_>,
    job: &str,
    (table, columns): (&str, &str),
    settled: i64,
    limit: i64,
) -> Result<Vec<Row>, StoreError> {
    let sql = format!(
        "SELECT {columns} FROM {table} WHERE id > COALESCE((SELECT id FROM bridge_mark WHERE job = $1), 0) \
         AND id <= $2 ORDER BY id LIMIT $3"
    );
    tx.query(&sql, &params![job, settled, limit])
}

/// The sealed record of a use.
pub(crate) fn use_record(tx: &mut Tx<'_>, id: i64) -> Result<Option<Vec<u8>>, StoreError> {
    let row = tx.query_one("SELECT record FROM bridge_use WHERE id = $1", &params![id])?;
    row.map(|row| row.get("record")).transpose()
}

/// Keeps the leaves of records, all of one form.
pub(crate) fn keep_leaves(
    tx: &mut Tx<'_>,
    job: &str,
    (source, form): (i64, i64),
    leaves: &[(i64, u64)],
) -> Result<(), StoreError> {
    for (record, leaf) in leaves {
        tx.execute(
            "INSERT INTO bridge_leaf (source, record, leaf, form) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (source, record) DO NOTHING",
            &params![source, *record, i64::try_from(*leaf).unwrap_or(i64::MAX), form],
        )?;
    }
    set_mark(tx, job, leaves.last().map_or(0, |(record, _)| *record))
}

/// A job did everything up to this id. A mark never goes back.
pub(super) fn set_mark(tx: &mut Tx<'_>, job: &str, id: i64) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO bridge_mark (job, id) VALUES ($1, $2) ON CONFLICT (job) DO UPDATE SET id = excluded.id \
         WHERE bridge_mark.id < excluded.id",
        &params![job, id],
    )
    .map(drop)
}
