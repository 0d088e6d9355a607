//! Archives, retention and restoration.

use civic::Timestamp;
use store::{AppendTable, ColumnKind, Row, StoreError, Tx, Value, params};

use super::{ARCHIVING, LATE_MICROS, UPKEEP_ROWS};

/// Records whose archive is decided in one go.
const WINDOW: i64 = 50_000;

static ARCHIVED: AppendTable =
    AppendTable { name: "bridge_archived", columns: &[("record", ColumnKind::Int), ("archive", ColumnKind::Int)] };

/// A record that is to be archived.
pub(crate) struct Due {
    pub(crate) id: i64,
    pub(crate) role: i64,
    pub(crate) client: String,
    pub(crate) service: String,
}

/// An archive as it is kept in the table.
#[derive(Clone, Debug)]
pub(crate) struct ArchiveRow {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) chain: String,
    pub(crate) digest: String,
    pub(crate) file_digest: [u8; 32],
}

/// Stamped records in no archive, oldest first, from behind a record; those made at `waits_since` or later only once the ledger holds them.
pub(crate) fn due(tx: &mut Tx<'_>, behind: i64, waits_since: Option<Timestamp>) -> Result<Vec<Due>, StoreError> {
    let waits_since = waits_since.map_or(i64::MAX, Timestamp::micros);
    let rows = tx.query(
        "SELECT m.id, m.role, m.client, m.service FROM bridge_message m JOIN bridge_stamped s ON s.record = m.id \
         LEFT JOIN bridge_archived a ON a.record = m.id \
         WHERE m.id > COALESCE((SELECT id FROM bridge_mark WHERE job = $1), 0) - $2 AND m.id > $3 \
         AND (m.id < $4 OR EXISTS (SELECT 1 FROM bridge_leaf l WHERE l.source = 0 AND l.record = m.id)) \
         AND m.mode = 0 AND a.record IS NULL ORDER BY m.id LIMIT $5",
        &params![ARCHIVING, LATE_MICROS, behind, waits_since, WINDOW],
    )?;
    let read = |row: &Row| {
        Ok(Due { id: row.get("id")?, role: row.get("role")?, client: row.get("client")?, service: row.get("service")? })
    };
    rows.iter().map(read).collect()
}

/// Notes up to where everything is archived, so that the next run need not look there again.
pub(crate) fn note_archived(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let row = tx.query_one(
        "SELECT COALESCE(MIN(m.id) - 1, (SELECT COALESCE(MAX(id), 0) FROM bridge_message)) AS done FROM bridge_message m \
         LEFT JOIN bridge_archived a ON a.record = m.id \
         WHERE m.id > COALESCE((SELECT id FROM bridge_mark WHERE job = $1), 0) - $2 AND m.mode = 0 AND a.record IS NULL",
        &params![ARCHIVING, LATE_MICROS],
    )?;
    let done: i64 = row.map_or(Ok(0), |row| row.get("done"))?;
    super::set_mark(tx, ARCHIVING, done)
}

/// The last archive of a chain.
pub(crate) fn last_archive(tx: &mut Tx<'_>, chain: &str) -> Result<Option<ArchiveRow>, StoreError> {
    let row = tx.query_one(
        "SELECT id, name, chain, digest, file_digest FROM bridge_archive WHERE chain = $1 ORDER BY id DESC LIMIT 1",
        &params![chain],
    )?;
    row.as_ref().map(ArchiveRow::read).transpose()
}

/// Archives whose file may not be in its place.
pub(crate) fn planned(tx: &mut Tx<'_>) -> Result<Vec<ArchiveRow>, StoreError> {
    let rows =
        tx.query("SELECT id, name, chain, digest, file_digest FROM bridge_archive WHERE state = 0 ORDER BY id", &[])?;
    rows.iter().map(ArchiveRow::read).collect()
}

/// Notes an archive whose file is written but not in its place, and its records.
pub(crate) fn plan(tx: &mut Tx<'_>, archive: &ArchiveRow, records: &[i64]) -> Result<(), StoreError> {
    add_archive(tx, archive, records.len(), 0, Timestamp::from_micros(0))?;
    let rows: Vec<Vec<Value>> = records.iter().map(|record| params![*record, archive.id]).collect();
    tx.append(&ARCHIVED, &rows)
}

/// The file is in its place.
pub(crate) fn placed(tx: &mut Tx<'_>, archive: i64) -> Result<(), StoreError> {
    tx.execute("UPDATE bridge_archive SET state = 1 WHERE id = $1 AND state = 0", &params![archive]).map(drop)
}

/// The file is lost: its records are to be archived again.
pub(crate) fn forget(tx: &mut Tx<'_>, archive: i64) -> Result<(), StoreError> {
    tx.execute("DELETE FROM bridge_archived WHERE archive = $1", &params![archive])?;
    tx.execute("DELETE FROM bridge_archive WHERE id = $1", &params![archive]).map(drop)
}

/// Notes an archive that was restored, and which of its records it brought; they stay until a moment.
pub(crate) fn restored(
    tx: &mut Tx<'_>,
    archive: &ArchiveRow,
    records: &[i64],
    kept_until: Timestamp,
) -> Result<(), StoreError> {
    add_archive(tx, archive, records.len(), 2, kept_until)?;
    for record in records {
        tx.execute(
            "INSERT INTO bridge_archived (record, archive) VALUES ($1, $2) ON CONFLICT (record) DO NOTHING",
            &params![*record, archive.id],
        )?;
    }
    Ok(())
}

/// Keeps the ledger's proof of a restored record.
pub(crate) fn restore_proof(tx: &mut Tx<'_>, record: i64, proof: &str) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO bridge_kept_proof (record, proof) VALUES ($1, $2) ON CONFLICT (record) DO NOTHING",
        &params![record, proof],
    )
    .map(drop)
}

/// Keeps the stamp of a restored record, once for all records that share it.
pub(crate) fn restore_stamp(
    tx: &mut Tx<'_>,
    record: i64,
    stamp: i64,
    token: &[u8],
    chain_result: &[u8],
    chain: &[u8],
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO bridge_stamp (id, chain_result, token) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING",
        &params![stamp, chain_result, token],
    )?;
    tx.execute(
        "INSERT INTO bridge_stamped (record, stamp, chain) VALUES ($1, $2, $3) ON CONFLICT (record) DO NOTHING",
        &params![record, stamp, chain],
    )
    .map(drop)
}

/// Deletes some records that are older than a moment, safe, and no longer to be kept; how many. Safe is what is in an archive that
/// is in its place, or is stamped where only metadata were kept; and, where there is a ledger, committed to it, or restored (it was
/// committed in its first life, and is in the archive that it came from).
pub(crate) fn delete_old(tx: &mut Tx<'_>, before: Timestamp, now: Timestamp, ledger: bool) -> Result<u64, StoreError> {
    let committed = if ledger {
        "AND (EXISTS (SELECT 1 FROM bridge_leaf l WHERE l.source = 0 AND l.record = m.id) \
         OR EXISTS (SELECT 1 FROM bridge_archived d JOIN bridge_archive a ON a.id = d.archive \
            WHERE d.record = m.id AND a.state = 2))"
    } else {
        ""
    };
    let rows = tx.query(
        &format!(
            "SELECT m.id FROM bridge_message m WHERE m.id < $1 {committed} AND ( \
             (m.mode = 0 AND EXISTS (SELECT 1 FROM bridge_archived d JOIN bridge_archive a ON a.id = d.archive \
                WHERE d.record = m.id AND a.state > 0 AND a.kept_until <= $2)) \
             OR (m.mode = 1 AND EXISTS (SELECT 1 FROM bridge_stamped s WHERE s.record = m.id)) \
             OR m.mode = 2) ORDER BY m.id LIMIT $3"
        ),
        &params![before, now, UPKEEP_ROWS],
    )?;
    for row in &rows {
        let id = row.get::<i64>("id")?;
        for sql in [
            "DELETE FROM bridge_message WHERE id = $1",
            "DELETE FROM bridge_stamped WHERE record = $1",
            "DELETE FROM bridge_archived WHERE record = $1",
            "DELETE FROM bridge_leaf WHERE source = 0 AND record = $1",
            "DELETE FROM bridge_kept_proof WHERE record = $1",
        ] {
            tx.execute(sql, &params![id])?;
        }
    }
    Ok(rows.len() as u64)
}

/// Deletes stamps that cover no record any more.
pub(crate) fn delete_stamps(tx: &mut Tx<'_>, before: Timestamp) -> Result<u64, StoreError> {
    tx.execute(
        "DELETE FROM bridge_stamp WHERE id < $1 \
         AND NOT EXISTS (SELECT 1 FROM bridge_stamped s WHERE s.stamp = bridge_stamp.id)",
        &params![before],
    )
}

/// Deletes the moulds that no record needs any more: whoever writes with one said so less than a day before (`keep_mould`).
pub(crate) fn delete_moulds(tx: &mut Tx<'_>) -> Result<u64, StoreError> {
    tx.execute(
        "DELETE FROM bridge_mould WHERE seen < (SELECT MIN(id) FROM bridge_message) - $1",
        &params![super::LATE_MICROS],
    )
}

fn add_archive(
    tx: &mut Tx<'_>,
    archive: &ArchiveRow,
    records: usize,
    state: i64,
    kept_until: Timestamp,
) -> Result<(), StoreError> {
    let records = i64::try_from(records).unwrap_or(i64::MAX);
    // The id of a planned archive is new; a restored one may have come before.
    tx.execute(
        "INSERT INTO bridge_archive (id, name, chain, digest, file_digest, records, state, kept_until) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO NOTHING",
        &params![
            archive.id,
            archive.name.as_str(),
            archive.chain.as_str(),
            archive.digest.as_str(),
            archive.file_digest,
            records,
            state,
            kept_until
        ],
    )
    .map(drop)
}

impl ArchiveRow {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.get("id")?,
            name: row.get("name")?,
            chain: row.get("chain")?,
            digest: row.get("digest")?,
            file_digest: row.get("file_digest")?,
        })
    }
}
