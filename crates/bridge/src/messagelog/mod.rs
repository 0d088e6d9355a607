//! The message log: what was asked and answered, with the signatures that prove it.
//!
//! Trusted: the log is evidence because each record is signed by an organisation, stamped by the time-stamping authority and committed to
//! the ledger; whoever can change the database can delete records but not invent or alter one unseen. Contents are sealed at rest,
//! bound to their row.
//!
//! Durability: [`MessageLog::append`] resolves when the records are on disk. For safe verbs the node writes request and answer in one
//! append before the answer leaves; for all others the request is durable before it is forwarded (docs/decisions/0005).
//!
//! What is kept is decided per subsystem ([`LogMode`]): whole messages; ids and digests (the evidence must then come from the other
//! side, our stamp and commitment still fix it in time); or only a salted commitment in the ledger and the use that the citizen sees.

mod archive;
mod commitments;
mod content;
mod exports;
mod moulds;
mod record;
mod replica;
mod search;
mod settings;
mod sql;
mod stamping;
mod stamps;
mod writing;

pub use archive::{ArchiveFailure, ArchiveRun, Restored};
pub(crate) use archive::{Archiver, archive};
pub(crate) use commitments::{Committer, commit};
pub use content::{Content, Kept, KeptAttachment, MessageForm};
pub(crate) use exports::Exportable;
pub(crate) use record::escaped;
pub use record::{LedgerEntry, NewRecord, RecordKind, Role, Stamp, StoredRecord};
pub(crate) use replica::BEAT;
pub use search::{Cursor, FoundRecord, PAGE_MAX, SearchPage, SearchQuery};
pub use settings::{
    ArchiveEncryption, ArchiveSettings, Grouping, KEPT_BYTES_MAX, LogMode, LogSettings, StampingPolicy,
};
pub use stamping::StampingState;
pub(crate) use stamping::{Stamper, stamp, stamping_health};

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use civic::{ClientId, SharedClock, SharedRandom, Timestamp, random_array};
use store::{AppendTable, ColumnKind, Migration, Row, Store, StoreError, Value, params};
use trust::digest::{self, Digest, DigestAlgorithm};
use trust::xades::Mould;

use self::moulds::KeptMoulds;
use self::record::mode_number;
use self::replica::Replica;
use self::stamping::Waiting;
use self::stamps::Trees;
use self::writing::{Ids, Writing};
use crate::message::AnyRequest;
use crate::usage::{NewUsage, subject_index};

/// How many requests are remembered in memory to refuse a replay before it reaches the service.
const REMEMBERED_MAX: usize = 65_536;
/// No outcome is longer, characters.
const OUTCOME_CHARS_MAX: usize = 255;
/// How often an id that another replica took is drawn anew.
const ID_TRIES_MAX: u32 = 16;
/// How far it then goes on at most, microseconds.
const ID_STEPS: u16 = 512;

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
        ("signed_digest", ColumnKind::Bytes),
        ("content", ColumnKind::Bytes),
        ("peer", ColumnKind::Text),
        ("subject", ColumnKind::Bytes),
        ("mode", ColumnKind::Int),
        ("mould", ColumnKind::Bytes),
        ("chain_digest", ColumnKind::Bytes),
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
    /// No time stamp could be had for longer than the policy of the node allows.
    #[error(
        "no time stamp could be had since {since}, longer than this node may go on without: look at the time-stamping authority \
         (the records are kept and will be stamped)"
    )]
    Stopped {
        /// The moment of the oldest record that waits (RFC 3339).
        since: String,
    },
}

/// Tells the mode of a subsystem; `None`: the default of the node.
type Modes = Box<dyn Fn(&ClientId) -> Option<LogMode> + Send + Sync>;

/// The message log of one node.
pub struct MessageLog {
    store: Store,
    clock: SharedClock,
    random: SharedRandom,
    settings: LogSettings,
    modes: OnceLock<Modes>,
    replica: Replica,
    waiting: Waiting,
    ids: Arc<Mutex<Ids>>,
    recent: Mutex<Recent>,
    moulds: KeptMoulds,
    trees: Trees,
}

#[derive(Default)]
struct Recent {
    known: HashSet<[u8; 16]>,
    order: VecDeque<[u8; 16]>,
}

/// The migrations of the bridge.
pub fn migrations() -> Vec<Migration> {
    let own = |number, name, sql| Migration { room: "bridge", number, name, sql };
    let mut all = vec![
        own(1, "message log", include_str!("../../migrations/0001_message_log.sql")),
        crate::registry::MIGRATION,
        own(3, "modes, search, replicas and archives", include_str!("../../migrations/0003_log.sql")),
        crate::operations::MIGRATION,
        own(5, "moulds of signatures", include_str!("../../migrations/0005_moulds.sql")),
        own(6, "what lies under a stamp", include_str!("../../migrations/0006_leaves.sql")),
        own(7, "members whom a node signs for", include_str!("../../migrations/0007_members.sql")),
        own(8, "what leaves commit to", include_str!("../../migrations/0008_leaf_forms.sql")),
        own(9, "hash chains of batch signatures", include_str!("../../migrations/0009_chains.sql")),
        own(10, "digests of signatures", include_str!("../../migrations/0010_signed_digest.sql")),
    ];
    all.extend_from_slice(ledger::outbox::MIGRATIONS);
    all
}

impl MessageLog {
    /// Opens the log in a store, migrating it where needed, with the usual settings.
    pub async fn open(store: Store, clock: SharedClock, random: SharedRandom) -> Result<Self, LogError> {
        Self::open_with(store, clock, random, LogSettings::default()).await
    }

    /// Opens the log.
    pub async fn open_with(
        store: Store,
        clock: SharedClock,
        random: SharedRandom,
        settings: LogSettings,
    ) -> Result<Self, LogError> {
        store.migrate(&migrations()).await?;
        store.migrate(&[web::session::migration()]).await?;
        let last = store.read("bridge.last_record", sql::last_record).await?;
        let replica = Replica::new(&store, settings.replica, random_array::<16>(&*random));
        let log = Self {
            store,
            clock,
            random,
            settings,
            modes: OnceLock::new(),
            replica,
            waiting: Waiting::default(),
            ids: Arc::new(Mutex::new(Ids::after(last))),
            recent: Mutex::default(),
            moulds: KeptMoulds::new(),
            trees: Trees::default(),
        };
        while log.store.tx("bridge.name_peers", sql::name_peers).await? > 0 {}
        log.enter().await?;
        log.stamping_state().await?;
        Ok(log)
    }

    /// Says how the mode of a subsystem is known. Only the first call counts.
    pub fn decide_modes(&self, modes: impl Fn(&ClientId) -> Option<LogMode> + Send + Sync + 'static) {
        let _ = self.modes.set(Box::new(modes));
    }

    /// The store of the log.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// The settings of the log.
    pub const fn settings(&self) -> &LogSettings {
        &self.settings
    }

    /// What is kept of the exchanges of a subsystem of this node: what is set for it, else what the node keeps at most.
    pub fn mode_of(&self, subsystem: &ClientId) -> LogMode {
        match self.modes.get().and_then(|modes| modes(subsystem)) {
            None | Some(LogMode::Full) => self.settings.mode,
            Some(less) => less,
        }
    }

    /// Remembers a request; false where it was seen before by this process. The unique key of the table decides in the end.
    pub(crate) fn remember(&self, replay: [u8; 32]) -> bool {
        // Half of the digest is enough to tell requests apart, and there are many of them.
        let replay = replay.first_chunk::<16>().copied().unwrap_or_default();
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
        self.ensure_entered().await?;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.write(&records, &uses).await {
                Err(StoreError::Unique { .. }) if tries < ID_TRIES_MAX => {}
                other => return Ok(other?),
            }
            let replays: Vec<Vec<u8>> = records.iter().filter_map(|record| Some(record.replay?.to_vec())).collect();
            if self.store.read("bridge.find_replay", move |tx| sql::is_known(tx, &replays)).await? {
                return Err(LogError::Duplicate);
            }
            // Another replica took the id in the same microsecond. Whoever goes on by chance does not meet it again at the next step.
            let last = self.store.read("bridge.last_record", sql::last_record).await?;
            let step = u16::from_be_bytes(random_array::<2>(&*self.random)) % ID_STEPS;
            self.raise(last.saturating_add(i64::from(step)));
        }
    }

    /// Notes with which error a request ended that was logged before it was answered, so that whoever reads the log need not guess. A
    /// request that stays `sent` or `received` without an answer is one of which this node does not know how it ended. The outcome is
    /// the node's word beside the evidence: neither signature nor commitment cover it.
    pub(crate) async fn note_failure(&self, role: Role, request: &AnyRequest, outcome: &str) -> Result<(), LogError> {
        let (message_id, request_id) = (request.message_id().to_owned(), request.request_id().to_owned());
        let client = request.client().to_string();
        // A code may be a service's own.
        let outcome: String = outcome.chars().take(OUTCOME_CHARS_MAX).collect();
        let note = move |tx: &mut store::Tx<'_>| {
            sql::note_failure(tx, role.number(), &client, &message_id, &request_id, &outcome)
        };
        Ok(self.store.tx("bridge.note_failure", note).await?)
    }

    /// All records of a message id, oldest first.
    pub async fn find(&self, message_id: &str) -> Result<Vec<StoredRecord>, LogError> {
        let message_id = message_id.to_owned();
        let rows = self.store.read("bridge.find_messages", move |tx| sql::find(tx, &message_id)).await?;
        let mut records = Vec::with_capacity(rows.len());
        for row in &rows {
            records.push(self.stored(row).await?);
        }
        Ok(records)
    }

    /// One record.
    pub async fn get(&self, id: i64) -> Result<Option<StoredRecord>, LogError> {
        let row = self.store.read("bridge.get_message", move |tx| sql::get(tx, id)).await?;
        match row {
            Some(row) => self.stored(&row).await.map(Some),
            None => Ok(None),
        }
    }

    async fn stored(&self, row: &Row) -> Result<StoredRecord, LogError> {
        let mut record = StoredRecord::read(row, &self.store)?;
        if let Some(stamp) = record.stamp.as_mut().filter(|stamp| stamp.chain.is_empty()) {
            let algorithm = Digest::kept(&row.get::<Vec<u8>>("signed_digest")?)
                .map_or(DigestAlgorithm::Sha512, |digest| digest.algorithm());
            let signature = record.content.signature.digest(algorithm);
            let id = row.get::<i64>("stamp")?;
            stamp.chain = self.stamp_chain(record.id, id, &stamp.chain_result, signature.bytes()).await?;
        }
        Ok(record)
    }

    /// How many records the log holds of a message id, by role and kind; cheap, nothing is opened.
    pub async fn count(&self, message_id: &str) -> Result<Vec<(Role, RecordKind)>, LogError> {
        let message_id = message_id.to_owned();
        let rows = self.store.read("bridge.count_messages", move |tx| sql::count(tx, &message_id)).await?;
        rows.iter().map(|row| Ok((Role::read(row)?, RecordKind::read(row)?))).collect()
    }

    /// The moment at which a record was made; ids are microseconds, made unique.
    pub const fn moment_of(id: i64) -> Timestamp {
        Timestamp::from_micros(id)
    }

    /// Every row of this process up to this id is on disk or will never be.
    pub(crate) fn settled(&self) -> i64 {
        let now = self.clock.now().micros();
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.replica.is_alone() {
            // An idle replica must not hold the others back.
            ids.last = ids.last.max(now);
        }
        ids.settled()
    }

    /// A new id: the present in microseconds, but always greater than the one before.
    pub(crate) fn next_id(&self) -> i64 {
        let now = self.clock.now().micros();
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.last = now.max(ids.last.saturating_add(1));
        ids.last
    }

    /// No id up to this one is given any more.
    fn raise(&self, last: i64) {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.last = ids.last.max(last);
    }

    async fn write(&self, records: &[NewRecord], uses: &[NewUsage]) -> Result<(), StoreError> {
        let mut writing = Writing::new(&self.ids, &self.clock);
        let about: Vec<(&str, Vec<u8>)> = uses
            .iter()
            .map(|usage| (usage.record.message_id.as_str(), subject_index(&self.store, &usage.subject)))
            .collect();
        let mut rows = Vec::with_capacity(records.len());
        for record in records {
            let mould = self.mould_of(record).await?;
            let subject = about.iter().find(|(id, _)| record.role == Role::Provider && *id == record.message_id);
            let subject = subject.map(|(_, subject)| subject.as_slice());
            rows.push(self.row(writing.next(), record, mould.as_deref(), subject)?);
        }
        if uses.is_empty() {
            // Whoever leaves while the rows stand in the line of the store takes their ids not along.
            let patience = writing.patience();
            return self.store.append_patiently(&MESSAGES, rows, patience, writing).await;
        }
        let mut use_rows = Vec::with_capacity(uses.len());
        for usage in uses {
            use_rows.push(usage.row(writing.next(), &self.store, &*self.random)?);
        }
        // A request that was logged before it was answered gets its subject now; the others have it already.
        let is_new = |id: &str| records.iter().any(|new| new.kind == RecordKind::Request && new.message_id == id);
        let earlier: Vec<sql::About> = uses
            .iter()
            .zip(&about)
            .filter(|(_, (id, _))| !is_new(id))
            .map(|(usage, (id, subject))| sql::About {
                client: usage.record.receiver_system.clone(),
                message_id: (*id).to_owned(),
                subject: subject.clone(),
            })
            .collect();
        let log_with_use = move |tx: &mut store::Tx<'_>| {
            tx.append(&MESSAGES, &rows)?;
            for row in &use_rows {
                tx.execute(crate::usage::INSERT, row)?;
            }
            sql::name_subjects(tx, &earlier)
        };
        let store = self.store.clone();
        writing.finished(async move { store.tx("bridge.log_with_use", log_with_use).await }).await
    }

    fn row(
        &self,
        id: i64,
        record: &NewRecord,
        mould: Option<&Mould>,
        subject: Option<&[u8]>,
    ) -> Result<Vec<Value>, StoreError> {
        let mode = self.mode_of(record.owner());
        let seal = |plain: &[u8]| self.store.sealer().seal("bridge_message", "content", id.to_string(), plain);
        let content = match mode {
            LogMode::Full => match mould {
                Some(mould) => seal(&record.content.encode_in(mould))?,
                None => seal(&record.content.encode())?,
            },
            LogMode::Metadata => seal(&record.content.digests(self.settings.hash).encode())?,
            LogMode::None => Vec::new(),
        };
        let told = mode != LogMode::None;
        let text = |text: String| if told { text } else { String::new() };
        let hash = self.settings.hash;
        let (signature, chain) = (record.content.signature.digest(hash), record.content.chain_digest(hash));
        Ok(params![
            id,
            text(record.message_id.clone()),
            text(record.request_id.clone()),
            record.role.number(),
            record.kind.number(),
            text(record.client.to_string()),
            text(record.service.to_string()),
            text(record.outcome.clone()),
            record.replay.map(|key| key.to_vec()),
            record.content.commitment(&signature, chain.as_ref()),
            random_array::<32>(&*self.random),
            if told { signature.bytes().to_vec() } else { Vec::new() },
            content,
            text(record.peer().to_string()),
            subject.filter(|_| told).map(<[u8]>::to_vec),
            mode_number(mode),
            mould.map(|mould| mould.id().to_vec()),
            chain.filter(|_| told).map(|digest| digest.bytes().to_vec()),
        ])
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
