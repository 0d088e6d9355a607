use ledger::LedgerClient;
use store::{Row, StoreError};
use tokio::sync::Mutex;
use trust::digest;

use super::replica::Duty;
use super::{MessageLog, sql};
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

/// Commits all settled records to the ledger and answers how many leaves were added. None where another replica does it.
pub(crate) async fn commit(core: &Core, ledger: &LedgerClient) -> Result<u64, CommitError> {
    let _one_at_a_time = core.committer.0.lock().await;
    let settled = core.log.settled();
    let mut waits = false;
    for source in [Source::Use, Source::Message] {
        let (job, table) = source.names();
        let found = core.log.store.read("bridge.uncommitted", move |tx| sql::uncommitted(tx, job, table, settled, 1));
        waits |= !found.await?.is_empty();
    }
    if !waits || !core.log.take(Duty::Commitment).await? {
        return Ok(0);
    }
    let outcome = commit_all(&core.log, ledger).await;
    core.log.give_back(Duty::Commitment).await?;
    outcome
}

async fn commit_all(log: &MessageLog, ledger: &LedgerClient) -> Result<u64, CommitError> {
    let settled = log.settled_by_all().await?;
    let mut added = 0;
    // Uses first: a citizen looks at them.
    for source in [Source::Use, Source::Message] {
        while let Some(batch) = next_batch(log, source, settled).await? {
            let leaves: Vec<Vec<u8>> = batch.iter().map(|(_, leaf)| leaf.to_vec()).collect();
            // Whoever sends a leaf a second time gets the same index: a job that is taken over adds nothing.
            let indexes = ledger.append(&leaves).await.map_err(|error| CommitError::Ledger(error.to_string()))?;
            added += indexes.len() as u64;
            keep(log, source, batch.iter().map(|(id, _)| *id).zip(indexes).collect()).await?;
            if !log.take(Duty::Commitment).await? {
                return Ok(added);
            }
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
    let rows: Vec<Row> =
        log.store.read("bridge.uncommitted", move |tx| sql::uncommitted(tx, job, table, settled, BATCH)).await?;
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

async fn keep(log: &MessageLog, source: Source, leaves: Vec<(i64, u64)>) -> Result<(), StoreError> {
    let (job, number) = (source.names().0, source.number());
    log.store.tx("bridge.keep_leaves", move |tx| sql::keep_leaves(tx, job, number, &leaves)).await
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
                let found = log.store.read("bridge.use_record", move |tx| sql::use_record(tx, id)).await?;
                let missing =
                    || StoreError::Column { column: "record".to_owned(), reason: "the use is gone".to_owned() };
                let sealed = found.ok_or_else(missing)?;
                let plain = log.store.sealer().open("bridge_use", "record", id.to_string(), &sealed)?;
                Ok(digest::hmac_sha256(salt, &plain))
            }
        }
    }
}
