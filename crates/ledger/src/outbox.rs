//! Commitments on their way to a log. A crate appends them in the transaction of the act itself ([`add`]), so neither exists
//! without the other; a job sends what waits ([`Outbox::send`]); whom an act concerns gets a proof that needs nothing beside it
//! ([`Outbox::proof`]).
//!
//! # What holds
//! - What was added is sent until the log has it, however long the log is silent and however often the process dies. Sending
//!   twice does no harm: the log gives the same entry the same index, and replicas may send side by side.
//! - The log sees salted commitments only. The salt is sealed to its row; [`erase`] takes it out, and with it the link between
//!   the entry and what it stood for.
//!
//! # Whom we trust
//! Whoever can write the table can delete what waits; what the log holds stays. Whoever reads it without the key ring learns
//! nothing of the records.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (store, log) = (store::testing::sqlite().await, ledger::testing::served(&["office"]).await);
//! # let (random, now) = (civic::testing::SeededRandom::new(1), civic::Timestamp::from_seconds(1_800_000_000));
//! use ledger::{Commitment, LedgerError, Outbox, outbox};
//! let outbox = Outbox::open(store.clone(), log.client("office")).await?;
//! let record = "the member BB/COM/2001 was registered";
//! let commitment = Commitment::new(record.as_bytes(), &random);
//! store.tx("office.act", move |tx| outbox::add(tx, "office.act", "7", &commitment, now)).await?;
//! assert_eq!(outbox.send().await?, 1);
//! let proof = outbox.proof("office.act", "7", record).await?;
//! # let policy = trust::note::policy::Policy::log_only(log.ledger.verifier());
//! assert_eq!(trust::note::Opening::verify(&proof, &policy)?.record, record);
//! # Ok(()) }
//! ```

use civic::Timestamp;
use store::{Migration, Row, Store, StoreError, Tx, params};
use trust::note::{NoteError, Opening};

use crate::{ClientError, Commitment, LedgerClient};

const TABLE: &str = "outbox_commitment";
/// Entries sent with one request.
const BATCH: u32 = 1_000;

/// The table of the outbox.
pub const MIGRATIONS: &[Migration] = &[Migration {
    room: "outbox",
    number: 1,
    name: "commitments",
    sql: include_str!("../migrations/outbox/0001_commitments.sql"),
}];

/// Why a commitment does not reach the log, or a proof cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log did not take it, or gave no proof. What waits goes on waiting.
    #[error(transparent)]
    Log(#[from] ClientError),
    /// Nothing of this kind and key was ever added.
    #[error("nothing was committed to under this key")]
    Unknown,
    /// The log does not hold it yet: ask again in a second.
    #[error("the commitment is on its way to the log; ask again in a second")]
    Waiting,
    /// The salt was erased: nobody can prove any more what the entry stood for.
    #[error("the salt of this commitment was erased, so nothing can be proved any more")]
    Erased,
    /// The record is not the one that was committed to.
    #[error("the record is not the one that was committed to: it was altered")]
    Altered,
    /// The proof cannot be written.
    #[error(transparent)]
    Proof(#[from] NoteError),
}

/// A commitment as the outbox keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The entry of the log.
    pub leaf: [u8; 32],
    /// The salt; `None` where it was erased.
    pub salt: Option<[u8; 32]>,
    /// Where the log holds it; `None` while it is on its way.
    pub index: Option<u64>,
}

/// What waits to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// How many commitments.
    pub count: u64,
    /// Since when the oldest waits.
    pub oldest: Option<Timestamp>,
}

/// Adds a commitment; the same kind and key again changes nothing.
pub fn add(tx: &mut Tx<'_>, kind: &str, key: &str, commitment: &Commitment, now: Timestamp) -> Result<(), StoreError> {
    let salt = tx.sealer().seal(TABLE, "salt", place(kind, key), &commitment.salt)?;
    tx.execute(
        "INSERT INTO outbox_commitment (kind, key, salt, leaf, added_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (kind, key) DO NOTHING",
        &params![kind, key, salt, commitment.leaf, now],
    )?;
    Ok(())
}

/// Takes over a commitment that a crate kept elsewhere before, with its place in the log where that is known.
pub fn adopt(
    tx: &mut Tx<'_>,
    kind: &str,
    key: &str,
    commitment: &Commitment,
    index: Option<u64>,
    at: Timestamp,
) -> Result<(), StoreError> {
    add(tx, kind, key, commitment, at)?;
    if let Some(index) = index {
        tx.execute(
            "UPDATE outbox_commitment SET log_index = $3 WHERE kind = $1 AND key = $2 AND log_index IS NULL",
            &params![kind, key, i64::try_from(index).unwrap_or(i64::MAX)],
        )?;
    }
    Ok(())
}

/// Where the log holds the commitment of this kind and key; `None` while it is on its way, or was never added.
pub fn index(tx: &mut Tx<'_>, kind: &str, key: &str) -> Result<Option<u64>, StoreError> {
    let row =
        tx.query_one("SELECT log_index FROM outbox_commitment WHERE kind = $1 AND key = $2", &params![kind, key])?;
    row.as_ref().map_or(Ok(None), index_of)
}

/// The commitment of this kind and key.
pub fn find(tx: &mut Tx<'_>, kind: &str, key: &str) -> Result<Option<Kept>, StoreError> {
    let row = tx.query_one(
        "SELECT salt, leaf, log_index FROM outbox_commitment WHERE kind = $1 AND key = $2",
        &params![kind, key],
    )?;
    let Some(row) = row else { return Ok(None) };
    let sealed = row.get::<Option<Vec<u8>>>("salt")?;
    let salt = sealed.map(|sealed| tx.sealer().open(TABLE, "salt", place(kind, key), &sealed)).transpose()?;
    let length = |_| StoreError::Column { column: "salt".to_owned(), reason: "it is not 32 bytes long".to_owned() };
    Ok(Some(Kept {
        leaf: row.get("leaf")?,
        salt: salt.map(TryInto::try_into).transpose().map_err(length)?,
        index: index_of(&row)?,
    }))
}

/// The largest key of this kind, by which whoever commits to numbered records knows where to go on.
pub fn newest(tx: &mut Tx<'_>, kind: &str) -> Result<Option<String>, StoreError> {
    let row = tx.query_one("SELECT MAX(key) AS newest FROM outbox_commitment WHERE kind = $1", &params![kind])?;
    row.map_or(Ok(None), |row| row.get("newest"))
}

/// Erases the salt, and with it the link between the entry and the record. The entry stays, and reaches the log if it has not yet. Whether
/// there was a salt.
pub fn erase(tx: &mut Tx<'_>, kind: &str, key: &str) -> Result<bool, StoreError> {
    let sql = "UPDATE outbox_commitment SET salt = NULL WHERE kind = $1 AND key = $2 AND salt IS NOT NULL";
    Ok(tx.execute(sql, &params![kind, key])? > 0)
}

/// Whether the salt of this kind and key was erased.
pub fn is_erased(tx: &mut Tx<'_>, kind: &str, key: &str) -> Result<bool, StoreError> {
    let sql = "SELECT key FROM outbox_commitment WHERE kind = $1 AND key = $2 AND salt IS NULL";
    Ok(tx.query_one(sql, &params![kind, key])?.is_some())
}

/// The outbox of a store, and the log that it leads to. Clones share them.
#[derive(Clone, Debug)]
pub struct Outbox {
    store: Store,
    log: LedgerClient,
}

impl Outbox {
    /// The outbox of this store, its table brought up to date. The client must have a submitter key.
    pub async fn open(store: Store, log: LedgerClient) -> Result<Self, StoreError> {
        store.migrate(MIGRATIONS).await?;
        Ok(Self { store, log })
    }

    /// The log.
    pub const fn log(&self) -> &LedgerClient {
        &self.log
    }

    /// Sends everything that waits; how many entries the log took. Where it does not answer, all of them go on waiting.
    pub async fn send(&self) -> Result<u64, OutboxError> {
        let mut sent = 0;
        loop {
            let batch = self.store.read("outbox.waiting", waiting).await?;
            if batch.is_empty() {
                return Ok(sent);
            }
            let leaves: Vec<Vec<u8>> = batch.iter().map(|waits| waits.leaf.to_vec()).collect();
            let indexes = self.log.append(&leaves).await?;
            sent += indexes.len() as u64;
            self.store.tx("outbox.sent", move |tx| keep(tx, &batch, &indexes)).await?;
        }
    }

    /// The proof of a record, with what opens its entry ([`Opening`]), verified before it is given. The record is that to which the
    /// commitment was made, byte for byte.
    pub async fn proof(&self, kind: &str, key: &str, record: &str) -> Result<String, OutboxError> {
        let (kind, key) = (kind.to_owned(), key.to_owned());
        let kept = self.store.read("outbox.find", move |tx| find(tx, &kind, &key)).await?;
        prove(&self.log, &kept.ok_or(OutboxError::Unknown)?, record).await
    }

    /// How much waits, for health checks.
    pub async fn waiting(&self) -> Result<Waiting, StoreError> {
        let count = |tx: &mut Tx<'_>| {
            let row = tx.query_one(
                "SELECT COUNT(*) AS waiting, MIN(added_at) AS oldest FROM outbox_commitment WHERE log_index IS NULL",
                &[],
            )?;
            let Some(row) = row else { return Ok(Waiting { count: 0, oldest: None }) };
            Ok(Waiting { count: row.get("waiting")?, oldest: row.get("oldest")? })
        };
        self.store.read("outbox.count", count).await
    }
}

/// The proof of a record whose commitment is kept here or elsewhere, with what opens its entry, verified before it is given.
pub async fn prove(log: &LedgerClient, kept: &Kept, record: &str) -> Result<String, OutboxError> {
    let opening = Opening { salt: kept.salt.ok_or(OutboxError::Erased)?, record: record.to_owned() };
    if opening.leaf() != kept.leaf {
        return Err(OutboxError::Altered);
    }
    let proof = log.proof(kept.index.ok_or(OutboxError::Waiting)?, &kept.leaf).await?;
    Ok(opening.put_into(&proof)?)
}

struct Waits {
    kind: String,
    key: String,
    leaf: [u8; 32],
}

fn waiting(tx: &mut Tx<'_>) -> Result<Vec<Waits>, StoreError> {
    let rows = tx.query(
        "SELECT kind, key, leaf FROM outbox_commitment WHERE log_index IS NULL ORDER BY added_at, kind, key LIMIT $1",
        &params![BATCH],
    )?;
    rows.iter().map(|row| Ok(Waits { kind: row.get("kind")?, key: row.get("key")?, leaf: row.get("leaf")? })).collect()
}

fn keep(tx: &mut Tx<'_>, batch: &[Waits], indexes: &[u64]) -> Result<(), StoreError> {
    for (waits, index) in batch.iter().zip(indexes) {
        let index = i64::try_from(*index).unwrap_or(i64::MAX);
        tx.execute(
            "UPDATE outbox_commitment SET log_index = $3 WHERE kind = $1 AND key = $2",
            &params![&waits.kind, &waits.key, index],
        )?;
    }
    Ok(())
}

fn index_of(row: &Row) -> Result<Option<u64>, StoreError> {
    Ok(row.get::<Option<i64>>("log_index")?.and_then(|index| u64::try_from(index).ok()))
}

/// Kinds and keys have no line breaks.
fn place(kind: &str, key: &str) -> String {
    format!("{kind}\n{key}")
}
