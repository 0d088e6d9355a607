use ledger::LedgerClient;
use store::{Row, StoreError};
use tokio::sync::Mutex;
use trust::digest;

use super::record::{LEAF_FORM, opening_of};
use super::replica::Duty;
use super::{MessageLog, sql};
use crate::core::Core;

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
        let (job, table) = (source.job(), source.table());
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
    let (job, table) = (source.job(), source.table());
    let rows: Vec<Row> =
        log.store.read("bridge.uncommitted", move |tx| sql::uncommitted(tx, job, table, settled, BATCH)).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let mut batch = Vec::with_capacity(rows.len());
    for row in &rows {
        batch.push((row.get::<i64>("id")?, source.leaf(log, row).await?));
    }
    Ok(Some(batch))
}

async fn keep(log: &MessageLog, source: Source, leaves: Vec<(i64, u64)>) -> Result<(), StoreError> {
    let (job, kind) = (source.job(), source.kind());
    log.store.tx("bridge.keep_leaves", move |tx| sql::keep_leaves(tx, job, kind, &leaves)).await
}

impl Source {
    const fn job(self) -> &'static str {
        match self {
            Self::Message => "commit messages",
            Self::Use => "commit uses",
        }
    }

    /// The table, and the columns of which a leaf is made.
    const fn table(self) -> (&'static str, &'static str) {
        match self {
            Self::Message => ("bridge_message", "id, digest, salt, signed_digest, chain_digest"),
            Self::Use => ("bridge_use", "id, salt"),
        }
    }

    /// The number of the table, and the form of the leaves that are made now.
    const fn kind(self) -> (i64, i64) {
        match self {
            Self::Message => (0, LEAF_FORM),
            Self::Use => (1, 0),
        }
    }

    /// The salted commitment: of a message over what its evidence file shows, of a use over the record that the citizen gets.
    async fn leaf(self, log: &MessageLog, row: &Row) -> Result<[u8; 32], StoreError> {
        match self {
            Self::Message => Ok(opening_of(row)?.leaf()),
            Self::Use => {
                let id = row.get::<i64>("id")?;
                let found = log.store.read("bridge.use_record", move |tx| sql::use_record(tx, id)).await?;
                let missing =
                    || StoreError::Column { column: "record".to_owned(), reason: "the use is gone".to_owned() };
                let sealed = found.ok_or_else(missing)?;
                let plain = log.store.sealer().open("bridge_use", "record", id.to_string(), &sealed)?;
                Ok(digest::hmac_sha256(&row.get::<[u8; 32]>("salt")?, &plain))
            }
        }
    }
}
