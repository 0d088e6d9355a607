//! Every statement of the message log. Portable SQL; each runs on both engines in the tests.

mod archives;
mod exports;
mod jobs;
mod search;

pub(super) use archives::*;
pub(super) use exports::*;
pub(super) use jobs::*;
pub(super) use search::search;

use civic::{ClientId, ServiceId};
use store::{Row, StoreError, Tx, params};

use super::MESSAGES;

/// How many records one message id may show.
const FOUND_MAX: i64 = 1_000;
/// Rows that one transaction of the upkeep changes.
const UPKEEP_ROWS: i64 = 1_000;

/// The mark of the archives.
const ARCHIVING: &str = "archive messages";
/// Below a mark a job looks back for so long (a day, microseconds): a replica that was taken for gone may have written late.
const LATE_MICROS: i64 = 86_400_000_000;

const RECORD: &str = "SELECT m.id, m.message_id, m.request_id, m.role, m.kind, m.client, m.service, m.outcome, m.mode, m.content, \
     m.signed_digest, m.chain_digest, m.digest, m.salt, l.leaf AS leaf, l.form AS leaf_form, p.proof AS kept_proof, \
     s.stamp, s.chain AS stamp_chain, t.chain_result AS stamp_result, t.token AS stamp_token, f.common AS mould \
     FROM bridge_message m LEFT JOIN bridge_mould f ON f.digest = m.mould LEFT JOIN bridge_stamped s ON s.record = m.id LEFT JOIN bridge_stamp t ON t.id = s.stamp \
     LEFT JOIN bridge_leaf l ON l.source = 0 AND l.record = m.id LEFT JOIN bridge_kept_proof p ON p.record = m.id";

/// The highest id; 0 in an empty log.
pub(super) fn last_record(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    // Messages and uses draw their ids from one line: the last of them may be a use.
    let sql = "SELECT COALESCE(MAX(id), 0) AS last FROM (
                   SELECT MAX(id) AS id FROM bridge_message UNION ALL SELECT MAX(id) AS id FROM bridge_use
               ) AS newest";
    let row = tx.query_one(sql, &[])?;
    row.map_or(Ok(0), |row| row.get("last"))
}

/// All records of a message id, oldest first; those of which nothing is told have none.
pub(super) fn find(tx: &mut Tx<'_>, message_id: &str) -> Result<Vec<Row>, StoreError> {
    let sql = format!("{RECORD} WHERE m.message_id = $1 AND m.mode <> 2 ORDER BY m.id LIMIT $2");
    tx.query(&sql, &params![message_id, FOUND_MAX])
}

pub(super) fn get(tx: &mut Tx<'_>, id: i64) -> Result<Option<Row>, StoreError> {
    tx.query_one(&format!("{RECORD} WHERE m.id = $1 AND m.mode <> 2"), &params![id])
}

pub(super) fn count(tx: &mut Tx<'_>, message_id: &str) -> Result<Vec<Row>, StoreError> {
    let sql = "SELECT role, kind FROM bridge_message WHERE message_id = $1 AND mode <> 2 ORDER BY id LIMIT $2";
    tx.query(sql, &params![message_id, FOUND_MAX])
}

/// Whether one of these requests is in the log.
pub(super) fn is_known(tx: &mut Tx<'_>, replays: &[Vec<u8>]) -> Result<bool, StoreError> {
    for replay in replays {
        let sql = "SELECT id FROM bridge_message WHERE replay = $1";
        if tx.query_one(sql, &params![replay])?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Notes how a request that was logged before it was answered ended without an answer.
pub(super) fn note_failure(
    tx: &mut Tx<'_>,
    role: i64,
    client: &str,
    message_id: &str,
    request_id: &str,
    outcome: &str,
) -> Result<(), StoreError> {
    // The ids are the caller's choice: those of another client are no matter of this request, nor is what came earlier with the same.
    tx.execute(
        "UPDATE bridge_message SET outcome = $4 WHERE mode <> 2 AND outcome IN ('sent', 'received') AND id = (
             SELECT MAX(id) FROM bridge_message
             WHERE request_id = $2 AND message_id = $1 AND role = $3 AND kind = 0 AND client = $5
         )",
        &params![message_id, request_id, role, outcome, client],
    )
    .map(drop)
}

/// Whom an exchange is about. A message id is its client's choice: another client may choose the same.
pub(super) struct About {
    pub(super) client: String,
    pub(super) message_id: String,
    /// The index of the subject.
    pub(super) subject: Vec<u8>,
}

/// Notes whom the records of an exchange are about, so that they are found by it.
pub(super) fn name_subjects(tx: &mut Tx<'_>, about: &[About]) -> Result<(), StoreError> {
    for About { client, message_id, subject } in about {
        tx.execute(
            "UPDATE bridge_message SET subject = $2 WHERE message_id = $1 AND client = $3 AND role = 1 AND mode <> 2 \
             AND subject IS NULL",
            &params![message_id, subject, client],
        )?;
    }
    Ok(())
}

/// Gives rows from before the column its value; how many were changed.
pub(super) fn name_peers(tx: &mut Tx<'_>) -> Result<u64, StoreError> {
    let rows = tx.query(
        "SELECT id, role, client, service FROM bridge_message WHERE peer IS NULL ORDER BY id LIMIT $1",
        &params![UPKEEP_ROWS],
    )?;
    for row in &rows {
        let peer = if row.get::<i64>("role")? == 0 {
            row.get::<String>("service")?.parse().map(|service: ServiceId| service.client().member().to_string())
        } else {
            row.get::<String>("client")?.parse().map(|client: ClientId| client.member().to_string())
        };
        let id = row.get::<i64>("id")?;
        tx.execute("UPDATE bridge_message SET peer = $2 WHERE id = $1", &params![id, peer.unwrap_or_default()])?;
    }
    Ok(rows.len() as u64)
}

/// Adds records that come from an archive; one that is there already stays as it is. False where it is there.
pub(super) fn restore_record(tx: &mut Tx<'_>, row: &[store::Value]) -> Result<bool, StoreError> {
    let names: Vec<&str> = MESSAGES.columns.iter().map(|(name, _)| *name).collect();
    let places: Vec<String> = (1..=names.len()).map(|place| format!("${place}")).collect();
    let sql = format!(
        "INSERT INTO bridge_message ({}) VALUES ({}) ON CONFLICT DO NOTHING",
        names.join(", "),
        places.join(", ")
    );
    Ok(tx.execute(&sql, row)? == 1)
}
