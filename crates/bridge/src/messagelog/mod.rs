//! The message log: what was asked and answered, with the signatures that prove it.
//!
//! Trusted: the log is evidence because each record is signed by an organisation, stamped by the time-stamping authority and committed to
//! the ledger; whoever can change the database can delete records but not invent or alter one unseen. Contents are sealed at rest,
//! bound to their row.
//!
//! Durability: [`MessageLog::append`] resolves when the records are on disk. For safe verbs the node writes request and answer in one
//! append before the answer leaves; for all others the request is durable before it is forwarded (docs/decisions/0005).

mod commitments;
mod record;
mod stamping;

pub(crate) use commitments::{Committer, commit};
pub use record::{Content, NewRecord, RecordKind, Role, Stamp, StoredRecord};
pub(crate) use stamping::{Stamper, stamp};

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use civic::{SharedClock, SharedRandom, Timestamp, random_array};
use store::{AppendTable, ColumnKind, Migration, Row, Store, StoreError, params};
use trust::digest;

use crate::usage::NewUsage;

/// How many records one message id may show.
const FOUND_MAX: i64 = 1_000;
/// How many requests are remembered in memory to refuse a replay before it reaches the service.
const REMEMBERED_MAX: usize = 65_536;

static MESSAGES: AppendTable = AppendTable {
    name: "bridge_message",
    columns: &[
        ("id", ColumnKind::Int),
        ("message_id", ColumnKind::Text),
        ("request_id", ColumnKind::Text),
        ("role", ColumnKind::Int),
        ("kind", ColumnKind::Int),
        ("client", ColumnKind::Text),
        ("service", ColumnKind::Text),
        ("outcome", ColumnKind::Text),
        ("replay", ColumnKind::Bytes),
        ("digest", ColumnKind::Bytes),
        ("salt", ColumnKind::Bytes),
        ("signature_digest", ColumnKind::Bytes),
        ("content", ColumnKind::Bytes),
    ],
};

/// Why the log did not take or give a record.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The same request was logged before.
    #[error("the request with this X-Road-Id and x-road-request-id was received before")]
    Duplicate,
    /// The store failed. Nothing may be answered.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record cannot be read back.
    #[error("record {id} of the message log is damaged: {reason}")]
    Damaged {
        /// The record.
        id: i64,
        /// What is wrong.
        reason: &'static str,
    },
}

/// The message log of one node.
pub struct MessageLog {
    store: Store,
    clock: SharedClock,
    random: SharedRandom,
    ids: Mutex<Ids>,
    recent: Mutex<Recent>,
}

/// The ids that were given, and those whose rows are on their way to the disk.
struct Ids {
    last: i64,
    writing: BTreeSet<i64>,
}

/// Ids whose rows are being written; they are free again when it goes.
struct Writing<'l> {
    log: &'l MessageLog,
    ids: Vec<i64>,
}

#[derive(Default)]
struct Recent {
    known: HashSet<[u8; 32]>,
    order: VecDeque<[u8; 32]>,
}

/// The migrations of the bridge: message log and usage records, registry.
pub fn migrations() -> Vec<Migration> {
    let message_log = Migration {
        room: "bridge",
        number: 1,
        name: "message log",
        sql: include_str!("../../migrations/0001_message_log.sql"),
    };
    vec![message_log, crate::registry::MIGRATION]
}

impl MessageLog {
    /// Opens the log in a store, migrating it where needed.
    pub async fn open(store: Store, clock: SharedClock, random: SharedRandom) -> Result<Self, LogError> {
        store.migrate(&migrations()).await?;
        let last: Option<i64> = store
            .read("bridge.last_record", |tx| match tx.query_one("SELECT MAX(id) AS last FROM bridge_message", &[])? {
                Some(row) => row.get::<Option<i64>>("last"),
                None => Ok(None),
            })
            .await?;
        Ok(Self {
            store,
            clock,
            random,
            ids: Mutex::new(Ids { last: last.unwrap_or(0), writing: BTreeSet::new() }),
            recent: Mutex::default(),
        })
    }

    /// The store of the log.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Remembers a request; false where it was seen before by this process. The unique key of the table decides in the end.
    pub(crate) fn remember(&self, replay: [u8; 32]) -> bool {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if !recent.known.insert(replay) {
            return false;
        }
        recent.order.push_back(replay);
        if recent.order.len() > REMEMBERED_MAX
            && let Some(oldest) = recent.order.pop_front()
        {
            recent.known.remove(&oldest);
        }
        true
    }

    /// Writes records, and the uses that they were, in one durable step. When it resolves they are on disk.
    pub async fn append(&self, records: Vec<NewRecord>, uses: Vec<NewUsage>) -> Result<(), LogError> {
        let mut writing = Writing { log: self, ids: Vec::with_capacity(4) };
        let mut rows = Vec::with_capacity(records.len());
        for record in records {
            rows.push(self.row(writing.next(), record)?);
        }
        let outcome = if uses.is_empty() {
            self.store.append(&MESSAGES, rows).await
        } else {
            let mut use_rows = Vec::with_capacity(uses.len());
            for usage in uses {
                use_rows.push(usage.row(writing.next(), &self.store, &*self.random)?);
            }
            self.store
                .tx("bridge.log_with_use", move |tx| {
                    for row in &rows {
                        tx.execute(
                            "INSERT INTO bridge_message (id, message_id, request_id, role, kind, client, service, outcome, replay, \
                             digest, salt, signature_digest, content) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
                            row,
                        )?;
                    }
                    for row in &use_rows {
                        tx.execute(crate::usage::INSERT, row)?;
                    }
                    Ok::<(), StoreError>(())
                })
                .await
        };
        match outcome {
            Err(StoreError::Unique { .. }) => Err(LogError::Duplicate),
            other => Ok(other?),
        }
    }

    /// All records of a message id, oldest first.
    pub async fn find(&self, message_id: &str) -> Result<Vec<StoredRecord>, LogError> {
        let message_id = message_id.to_owned();
        let rows: Vec<Row> = self
            .store
            .read("bridge.find_messages", move |tx| {
                tx.query(
                    "SELECT m.id, m.message_id, m.request_id, m.role, m.kind, m.client, m.service, m.outcome, m.content, \
                     s.chain AS stamp_chain, t.chain_result AS stamp_result, t.token AS stamp_token \
                     FROM bridge_message m \
                     LEFT JOIN bridge_stamped s ON s.record = m.id LEFT JOIN bridge_stamp t ON t.id = s.stamp \
                     WHERE m.message_id = $1 ORDER BY m.id LIMIT $2",
                    &params![message_id.as_str(), FOUND_MAX],
                )
            })
            .await?;
        rows.iter().map(|row| StoredRecord::read(row, &self.store)).collect()
    }

    /// How many records the log holds of a message id, by role and kind; cheap, nothing is opened.
    pub async fn count(&self, message_id: &str) -> Result<Vec<(Role, RecordKind)>, LogError> {
        let message_id = message_id.to_owned();
        let rows: Vec<Row> = self
            .store
            .read("bridge.count_messages", move |tx| {
                tx.query(
                    "SELECT role, kind FROM bridge_message WHERE message_id = $1 ORDER BY id LIMIT $2",
                    &params![message_id.as_str(), FOUND_MAX],
                )
            })
            .await?;
        rows.iter().map(|row| Ok((Role::read(row)?, RecordKind::read(row)?))).collect()
    }

    /// The moment at which a record was made; ids are microseconds, made unique.
    pub const fn moment_of(id: i64) -> Timestamp {
        Timestamp::from_micros(id)
    }

    /// Every row up to this id is on disk or will never be.
    pub(crate) fn settled(&self) -> i64 {
        let ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.writing.first().map_or(ids.last, |first| first - 1)
    }

    /// A new id: the present in microseconds, but always greater than the one before.
    pub(crate) fn next_id(&self) -> i64 {
        let now = self.clock.now().micros();
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.last = now.max(ids.last.saturating_add(1));
        ids.last
    }

    fn row(&self, id: i64, record: NewRecord) -> Result<Vec<store::Value>, LogError> {
        let signature_digest = digest::sha512(&record.content.signature);
        let plain = record.content.encode();
        let digest = digest::sha256(&plain);
        let content = self.store.sealer().seal("bridge_message", "content", id.to_string(), &plain)?;
        Ok(params![
            id,
            record.message_id,
            record.request_id,
            record.role.number(),
            record.kind.number(),
            record.client.to_string(),
            record.service.to_string(),
            record.outcome,
            record.replay.map(|key| key.to_vec()),
            digest,
            random_array::<32>(&*self.random),
            signature_digest,
            content,
        ])
    }
}

impl Writing<'_> {
    fn next(&mut self) -> i64 {
        let now = self.log.clock.now().micros();
        let mut ids = self.log.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.last = now.max(ids.last.saturating_add(1));
        let id = ids.last;
        ids.writing.insert(id);
        self.ids.push(id);
        id
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let mut ids = self.log.ids.lock().unwrap_or_else(PoisonError::into_inner);
        for id in &self.ids {
            ids.writing.remove(id);
        }
    }
}

/// The key that makes a request unique at the provider.
pub(crate) fn replay_key(parts: &[&str]) -> [u8; 32] {
    let mut text = Vec::with_capacity(256);
    for part in parts {
        text.extend_from_slice(&(part.len() as u64).to_be_bytes());
        text.extend_from_slice(part.as_bytes());
    }
    digest::sha256(&text)
}
