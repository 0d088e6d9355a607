use ledger::LedgerClient;
use store::{Row, StoreError, params};
use tokio::sync::Mutex;
use trust::digest;

use super::MessageLog;
use crate::core::Core;
use crate::usage::hex_text;

/// Leaves in one call of the ledger.
const BATCH: i64 = 1_000;

/// Tables whose rows are committed to the ledger.
#[derive(Clone, Copy)]
enum Source {
    Message,
    Use,
}

/// Why records are not yet in the ledger. They wait in the log; nothing is lost.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommitError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger failed or cannot be reached.
    #[error("the ledger does not take the commitments: {0}")]
    Ledger(String),
}

/// Lets one batch be committed at a time.
#[derive(Default)]
pub(crate) struct Committer(Mutex<()>);

/// Commits all settled records to the ledger and answers how many leaves were added.
pub(crate) async fn commit(core: &Core, ledger: &LedgerClient) -> Result<u64, CommitError> {
    let _one_at_a_time = core.committer.0.lock().await;
    let log = &core.log;
    let settled = log.settled();
    let mut added = 0;
    // Uses first: a citizen looks at them.
    for source in [Source::Use, Source::Message] {
        while let Some(batch) = next_batch(log, source, settled).await? {
            let leaves: Vec<Vec<u8>> = batch.iter().map(|(_, leaf)| leaf.to_vec()).collect();
            let indexes = ledger.append(&leaves).await.map_err(|error| CommitError::Ledger(error.to_string()))?;
            added += indexes.len() as u64;
            keep(log, source, batch.iter().map(|(id, _)| *id).zip(indexes).collect()).await?;
        }
    }
    Ok(added)
}

async fn next_batch(
    log: &MessageLog,
    source: Source,
    settled: i64,
) -> Result<Option<Vec<(i64, [u8; 32])>>, StoreError> {
    let (job, table) = source.names();
    let rows: Vec<Row> = log
        .store
        .read("bridge.uncommitted", move |tx| {
            tx.query(
                &format!(
                    "SELECT id, digest, salt FROM {table} WHERE id > COALESCE((SELECT id FROM bridge_mark WHERE job = $1), 0) \
                     AND id <= $2 ORDER BY id LIMIT $3"
                ),
                &params![job, settled, BATCH],
            )
        })
        .await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let mut batch = Vec::with_capacity(rows.len());
    for row in &rows {
        let (salt, kept) = (row.get::<[u8; 32]>("salt")?, row.get::<[u8; 32]>("digest")?);
        batch.push((row.get::<i64>("id")?, source.leaf(log, row, &salt, &kept).await?));
    }
    Ok(Some(batch))
}

async fn keep(log: &MessageLog, source: Source, indexes: Vec<(i64, u64)>) -> Result<(), StoreError> {
    let (job, _) = source.names();
    log.store
        .tx("bridge.keep_leaves", move |tx| {
            for (id, index) in &indexes {
                tx.execute(
                    "INSERT INTO bridge_leaf (source, record, leaf) VALUES ($1, $2, $3) ON CONFLICT (source, record) DO NOTHING",
                    &params![source.number(), *id, i64::try_from(*index).unwrap_or(i64::MAX)],
                )?;
            }
            let last = indexes.last().map_or(0, |(id, _)| *id);
            tx.execute(
                "INSERT INTO bridge_mark (job, id) VALUES ($1, $2) ON CONFLICT (job) DO UPDATE SET id = excluded.id",
                &params![job, last],
            )?;
            Ok::<(), StoreError>(())
        })
        .await
}

impl Source {
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Message => ("commit messages", "bridge_message"),
            Self::Use => ("commit uses", "bridge_use"),
        }
    }

    const fn number(self) -> i64 {
        match self {
            Self::Message => 0,
            Self::Use => 1,
        }
    }

    /// The salted commitment: of a message over the text of its digest, of a use over the record that the citizen gets.
    async fn leaf(self, log: &MessageLog, row: &Row, salt: &[u8; 32], kept: &[u8; 32]) -> Result<[u8; 32], StoreError> {
        match self {
            Self::Message => Ok(digest::hmac_sha256(salt, hex_text(kept).as_bytes())),
            Self::Use => {
                let id = row.get::<i64>("id")?;
                let found = log
                    .store
                    .read("bridge.use_record", move |tx| {
                        tx.query_one("SELECT record FROM bridge_use WHERE id = $1", &params![id])
                    })
                    .await?;
                let missing =
                    || StoreError::Column { column: "record".to_owned(), reason: "the use is gone".to_owned() };
                let sealed = found.ok_or_else(missing)?.get::<Vec<u8>>("record")?;
                let plain = log.store.sealer().open("bridge_use", "record", id.to_string(), &sealed)?;
                Ok(digest::hmac_sha256(salt, &plain))
            }
        }
    }
}
