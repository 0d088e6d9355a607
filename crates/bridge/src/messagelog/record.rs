use std::fmt::Write as _;

use civic::{ClientId, MemberId, ServiceId, Timestamp};
use store::{Row, Store, StoreError};
use trust::asic::LoggedRecord;
use trust::digest::{Digest, DigestAlgorithm};
use trust::hashchain::{Files, Way};
use trust::note::Opening;

use super::{Content, LogError, LogMode};

/// On which side of the exchange this node stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It asked.
    Consumer,
    /// It answered.
    Provider,
}

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// A request.
    Request,
    /// An answer.
    Response,
}

/// A record to be written.
#[derive(Clone, Debug)]
pub struct NewRecord {
    /// The side.
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
    /// `answered`; `sent` or `received` for a request; or the error type with which it ended.
    pub outcome: String,
    /// What makes the request unique; at the provider only.
    pub replay: Option<[u8; 32]>,
    /// The message.
    pub content: Content,
}

/// A record as it was kept.
#[derive(Clone, Debug)]
pub struct StoredRecord {
    /// Its id.
    pub id: i64,
    /// When it was made.
    pub at: Timestamp,
    /// The side.
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
    /// The message, or digests of it.
    pub content: Content,
    /// The time stamp, once there is one.
    pub stamp: Option<Stamp>,
    /// Where the ledger holds it, once it does; `None` too where an older version committed to something from which an evidence file
    /// cannot be told.
    pub entry: Option<LedgerEntry>,
    /// The proof of the ledger that came back with it from an archive.
    pub kept_proof: Option<String>,
}

/// The entry of the ledger that commits to a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Its place.
    pub index: u64,
    /// What it stands for.
    pub opening: Opening,
}

/// The form of the leaves that commit to a [`LoggedRecord`].
pub(super) const LEAF_FORM: i64 = 1;

/// What is committed to of a row of the message log.
pub(super) fn opening_of(row: &Row) -> Result<Opening, StoreError> {
    let signature = row.get::<Vec<u8>>("signed_digest")?;
    let record = LoggedRecord {
        at: Timestamp::from_micros(row.get("id")?),
        content: row.get("digest")?,
        // Nothing is kept of the signature where nothing is to be told (mode none).
        signature: Digest::kept(&signature),
        chain: row.get::<Option<Vec<u8>>>("chain_digest")?.as_deref().and_then(Digest::kept),
    };
    Ok(Opening { salt: row.get("salt")?, record: record.to_text() })
}

impl LedgerEntry {
    fn read(row: &Row, content: &Content) -> Result<Option<Self>, StoreError> {
        let index = row.get::<Option<i64>>("leaf")?.and_then(|index| u64::try_from(index).ok());
        // The signature of a batch alone would say: one of its messages.
        let names_message = content.batch.is_none() || row.get::<Option<Vec<u8>>>("chain_digest")?.is_some();
        match (index, row.get::<Option<i64>>("leaf_form")?) {
            (Some(index), Some(LEAF_FORM)) if names_message => Ok(Some(Self { index, opening: opening_of(row)? })),
            _ => Ok(None),
        }
    }
}

/// A batch time stamp as it belongs to one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The way from the signature to the stamped result (`ts-hashchain.xml`).
    pub chain: Vec<u8>,
    /// What was stamped (`ts-hashchainresult.xml`).
    pub chain_result: Vec<u8>,
    /// The RFC 3161 token.
    pub token: Vec<u8>,
}

impl Role {
    pub(super) const fn number(self) -> i64 {
        match self {
            Self::Consumer => 0,
            Self::Provider => 1,
        }
    }

    pub(super) fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(if row.get::<i64>("role")? == 0 { Self::Consumer } else { Self::Provider })
    }
}

impl RecordKind {
    pub(super) const fn number(self) -> i64 {
        match self {
            Self::Request => 0,
            Self::Response => 1,
        }
    }

    pub(super) fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(if row.get::<i64>("kind")? == 0 { Self::Request } else { Self::Response })
    }
}

impl NewRecord {
    /// The own subsystem: whose log entry it is.
    pub fn owner(&self) -> &ClientId {
        match self.role {
            Role::Consumer => &self.client,
            Role::Provider => self.service.client(),
        }
    }

    /// The organisation at the other end.
    pub fn peer(&self) -> &MemberId {
        match self.role {
            Role::Consumer => self.service.client().member(),
            Role::Provider => self.client.member(),
        }
    }
}

/// The number of a mode in the table.
pub(super) const fn mode_number(mode: LogMode) -> i64 {
    match mode {
        LogMode::Full => 0,
        LogMode::Metadata => 1,
        LogMode::None => 2,
    }
}

pub(super) fn read_mode(row: &Row) -> Result<LogMode, StoreError> {
    match row.get::<i64>("mode")? {
        0 => Ok(LogMode::Full),
        1 => Ok(LogMode::Metadata),
        2 => Ok(LogMode::None),
        other => Err(StoreError::Column { column: "mode".to_owned(), reason: format!("{other} is no mode") }),
    }
}

impl StoredRecord {
    /// The own subsystem: whose log entry it is.
    pub fn owner(&self) -> &ClientId {
        match self.role {
            Role::Consumer => &self.client,
            Role::Provider => self.service.client(),
        }
    }

    /// The name of its evidence file: the message id as in a form of the web, the direction, the record id to the base 32 (X-Road's
    /// pattern).
    pub fn file_name(&self) -> String {
        let kind = match self.kind {
            RecordKind::Request => "request",
            RecordKind::Response => "response",
        };
        let id: String = escaped(&self.message_id).chars().take(226).collect();
        format!("{id}-{kind}-{}.asice", base_32(self.id))
    }

    pub(super) fn read(row: &Row, store: &Store) -> Result<Self, LogError> {
        let id = row.get::<i64>("id")?;
        let damaged = |reason| LogError::Damaged { id, reason };
        let content =
            store.sealer().open("bridge_message", "content", id.to_string(), &row.get::<Vec<u8>>("content")?)?;
        let mould = row.get::<Option<Vec<u8>>>("mould")?;
        let content =
            Content::decode(content, mould.as_deref()).ok_or_else(|| damaged("its content or its mould is cut"))?;
        let signature_digest = Digest::kept(&row.get::<Vec<u8>>("signed_digest")?);
        if mould.is_some() && !signature_digest.is_some_and(|digest| content.signature.is(&digest)) {
            return Err(damaged("its signature is not the one that was logged: its mould was altered"));
        }
        let stamp = match row.get::<Option<Vec<u8>>>("stamp_token")? {
            None => None,
            Some(token) => Some(Stamp {
                chain: chain_of(row.get::<Option<Vec<u8>>>("stamp_chain")?.unwrap_or_default(), &content),
                chain_result: row.get::<Option<Vec<u8>>>("stamp_result")?.unwrap_or_default(),
                token,
            }),
        };
        let entry = LedgerEntry::read(row, &content)?;
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
            content,
            stamp,
            entry,
            kept_proof: row.get("kept_proof")?,
        })
    }
}

/// The hash chain of a stamp: empty where it is to be made from what lies under the stamp; older versions kept the way to the stamped file,
/// still older ones and restored archives the chain itself.
fn chain_of(kept: Vec<u8>, content: &Content) -> Vec<u8> {
    match Way::from_bytes(DigestAlgorithm::Sha512, &kept) {
        Some(way) => {
            way.chain(Files::TIME_STAMP, content.signature.digest(DigestAlgorithm::Sha512).bytes()).into_bytes()
        }
        None => kept,
    }
}

/// A text as a part of a file name, escaped as forms of the web escape it.
pub(crate) fn escaped(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
        out
    })
}

/// A number in digits 0 to 9 and a to v.
fn base_32(number: i64) -> String {
    let mut rest = number as u64;
    let mut digits = Vec::new();
    loop {
        digits.push(char::from_digit((rest % 32) as u32, 32).unwrap_or('0'));
        rest /= 32;
        if rest == 0 {
            return digits.into_iter().rev().collect();
        }
    }
}

/// The record id in the name of an evidence file.
pub(super) fn id_in_name(name: &str) -> Option<i64> {
    let (_, digits) = name.strip_suffix(".asice")?.rsplit_once('-')?;
    i64::from_str_radix(digits, 32).ok().filter(|id| *id > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_record_comes_back_from_its_file_name() {
        for id in [1, 31, 32, 1_795_300_800_000_000, i64::MAX] {
            assert_eq!(id_in_name(&format!("a-b-request-{}.asice", base_32(id))), Some(id));
        }
        assert_eq!(base_32(i64::from(u16::MAX)), "1vvv");
        for odd in ["a.asice", "a-request-.asice", "a-request-w.asice", "a-request-1.zip", "a-request-0.asice"] {
            assert_eq!(id_in_name(odd), None, "{odd}");
        }
        assert_eq!(escaped("a b/../é"), "a+b%2F..%2F%C3%A9");
    }
}
