//! Search in the message log, for the console and the management API.

use std::fmt;
use std::str::FromStr;

use civic::{ClientId, MemberId, NationalNumber, ServiceId, Timestamp};
use store::Row;

use super::record::read_mode;
use super::{LogError, LogMode, MessageLog, RecordKind, Role, sql};
use crate::usage::subject_index;

/// A page of a search holds at most this many records.
pub const PAGE_MAX: u32 = 500;
/// Texts that are searched for have at most this many bytes.
const TEXT_MAX: usize = 1_024;

/// What is searched for: all that is given must fit. Newest records come first.
#[derive(Clone, Debug, Default)]
pub struct SearchQuery {
    /// From this moment on.
    pub from: Option<Timestamp>,
    /// Until before this moment.
    pub to: Option<Timestamp>,
    /// Who asked.
    pub client: Option<ClientId>,
    /// What was asked for.
    pub service: Option<ServiceId>,
    /// The organisation at the other end.
    pub peer: Option<MemberId>,
    /// X-Road-Id.
    pub message_id: Option<String>,
    /// x-road-request-id.
    pub request_id: Option<String>,
    /// `answered`, `sent`, `received`, `restored`, or the type of an error.
    pub outcome: Option<String>,
    /// Whom the exchange was about. The log holds a keyed index of the number, never the number.
    pub subject: Option<NationalNumber>,
    /// Goes on where an earlier page ended.
    pub after: Option<Cursor>,
    /// How many records are wanted, at most [`PAGE_MAX`]; 0: as many as that.
    pub limit: u32,
}

/// Where a page ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(i64);

/// Records that were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchPage {
    /// The records, newest first.
    pub records: Vec<FoundRecord>,
    /// Set where more records may fit.
    pub next: Option<Cursor>,
}

/// A record without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundRecord {
    /// Its id: [`MessageLog::get`] reads it whole.
    pub id: i64,
    /// When it was made.
    pub at: Timestamp,
    /// On which side this node stood.
    pub role: Role,
    /// Request or answer.
    pub kind: RecordKind,
    /// Who asked.
    pub client: ClientId,
    /// What was asked for.
    pub service: ServiceId,
    /// X-Road-Id.
    pub message_id: String,
    /// x-road-request-id.
    pub request_id: String,
    /// What became of it.
    pub outcome: String,
    /// What is kept of it.
    pub mode: LogMode,
    /// Whether it is time-stamped.
    pub stamped: bool,
    /// The file name of the archive that holds it.
    pub archive: Option<String>,
    /// The index of its commitment in the ledger.
    pub leaf: Option<u64>,
}

impl FoundRecord {
    /// Whether it ended well, or its end is another record's to tell.
    pub fn is_usual(&self) -> bool {
        matches!(self.outcome.as_str(), "answered" | "sent" | "received" | "restored")
    }
}

/// A text is no cursor of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no place in a list: take it from the page before")]
pub struct CursorError;

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        text.parse().ok().filter(|id| *id > 0).map(Self).ok_or(CursorError)
    }
}

impl MessageLog {
    /// A page of the records that fit, newest first. Records of which nothing is told ([`LogMode::None`]) are never found.
    pub async fn search(&self, query: SearchQuery) -> Result<SearchPage, LogError> {
        let texts = [&query.message_id, &query.request_id, &query.outcome];
        if texts.into_iter().flatten().any(|text| text.len() > TEXT_MAX || text.contains('\0')) {
            return Ok(SearchPage { records: Vec::new(), next: None });
        }
        let limit = if query.limit == 0 { PAGE_MAX } else { query.limit.min(PAGE_MAX) };
        let subject = query.subject.as_ref().map(|subject| subject_index(&self.store, subject));
        let before = query.after.map(|cursor| cursor.0);
        let rows = self
            .store
            .read("bridge.search", move |tx| sql::search(tx, &query, subject.as_deref(), before, i64::from(limit) + 1))
            .await?;
        let mut records = Vec::with_capacity(rows.len());
        for row in rows.iter().take(limit as usize) {
            records.push(FoundRecord::read(row)?);
        }
        let more = rows.len() > limit as usize;
        let next = records.last().filter(|_| more).map(|last| Cursor(last.id));
        Ok(SearchPage { records, next })
    }
}

impl FoundRecord {
    fn read(row: &Row) -> Result<Self, LogError> {
        let id = row.get::<i64>("id")?;
        let damaged = |reason| LogError::Damaged { id, reason };
        let leaf = row.get::<Option<i64>>("leaf")?;
        Ok(Self {
            id,
            at: Timestamp::from_micros(id),
            role: Role::read(row)?,
            kind: RecordKind::read(row)?,
            client: row.get::<String>("client")?.parse().map_err(|_| damaged("its client is no id"))?,
            service: row.get::<String>("service")?.parse().map_err(|_| damaged("its service is no id"))?,
            message_id: row.get("message_id")?,
            request_id: row.get("request_id")?,
            outcome: row.get("outcome")?,
            mode: read_mode(row)?,
            stamped: row.get::<Option<i64>>("stamp")?.is_some(),
            archive: row.get("archive")?,
            leaf: leaf.and_then(|leaf| u64::try_from(leaf).ok()),
        })
    }
}
