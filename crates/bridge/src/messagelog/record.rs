use bytes::Bytes;
use civic::{ClientId, ServiceId, Timestamp};
use store::{Row, Store, StoreError};

use super::LogError;
use crate::spool::Body;
use crate::transport::{BatchParts, Envelope};

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

/// What is kept of a message: all that its evidence needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The header part.
    pub head: Bytes,
    /// The body.
    pub body: Option<Bytes>,
    /// The signature.
    pub signature: Bytes,
    /// The hash chain of a batch signature.
    pub batch: Option<BatchParts>,
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
    /// `answered`, `sent`, or the error type with which a verified request was refused.
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
    /// The message.
    pub content: Content,
    /// The time stamp, once there is one.
    pub stamp: Option<Stamp>,
}

/// A batch time stamp as it belongs to one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The way from the signature to the stamped result (`ts-hashchain.xml`); empty for a stamp of one record.
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

impl From<&Envelope> for Content {
    fn from(envelope: &Envelope) -> Self {
        Self {
            head: envelope.message.bytes().clone(),
            body: envelope.rest_body().and_then(Body::memory).cloned(),
            signature: envelope.signature.clone(),
            batch: envelope.batch.clone(),
        }
    }
}

impl Content {
    /// A format byte, then each part with its length (64 bits, big endian); all ones for a part that is not there.
    pub(super) fn encode(&self) -> Vec<u8> {
        let (result, chain) = match &self.batch {
            Some(batch) => (Some(&batch.result), Some(&batch.chain)),
            None => (None, None),
        };
        let parts = [Some(&self.head), self.body.as_ref(), Some(&self.signature), result, chain];
        let length: usize = parts.iter().map(|part| 8 + part.map_or(0, Bytes::len)).sum();
        let mut out = Vec::with_capacity(length + 1);
        out.push(1);
        for part in parts {
            out.extend_from_slice(&part.map_or(u64::MAX, |part| part.len() as u64).to_be_bytes());
            if let Some(part) = part {
                out.extend_from_slice(part);
            }
        }
        out
    }

    fn decode(bytes: Vec<u8>) -> Option<Self> {
        let mut rest = Bytes::from(bytes);
        if rest.first() != Some(&1) {
            return None;
        }
        let _ = rest.split_to(1);
        let mut part = || -> Option<Option<Bytes>> {
            let length = u64::from_be_bytes(rest.get(..8)?.try_into().ok()?);
            let _ = rest.split_to(8);
            if length == u64::MAX {
                return Some(None);
            }
            let length = usize::try_from(length).ok().filter(|length| *length <= rest.len())?;
            Some(Some(rest.split_to(length)))
        };
        let (head, body, signature) = (part()??, part()?, part()??);
        let batch = match (part()?, part()?) {
            (Some(result), Some(chain)) => Some(BatchParts { result, chain }),
            _ => None,
        };
        Some(Self { head, body, signature, batch })
    }
}

impl StoredRecord {
    pub(super) fn read(row: &Row, store: &Store) -> Result<Self, LogError> {
        let id = row.get::<i64>("id")?;
        let damaged = |reason| LogError::Damaged { id, reason };
        let content =
            store.sealer().open("bridge_message", "content", id.to_string(), &row.get::<Vec<u8>>("content")?)?;
        let stamp = match row.get::<Option<Vec<u8>>>("stamp_token")? {
            None => None,
            Some(token) => Some(Stamp {
                chain: row.get::<Option<Vec<u8>>>("stamp_chain")?.unwrap_or_default(),
                chain_result: row.get::<Option<Vec<u8>>>("stamp_result")?.unwrap_or_default(),
                token,
            }),
        };
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
            content: Content::decode(content).ok_or_else(|| damaged("its content is cut"))?,
            stamp,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_reads_back_and_a_cut_is_seen() {
        let batch = Some(BatchParts { result: Bytes::from_static(b"r"), chain: Bytes::new() });
        for (body, batch) in [(None, None), (Some(Bytes::new()), batch)] {
            let content =
                Content { head: Bytes::from_static(b"head"), body, signature: Bytes::from_static(b"s"), batch };
            let bytes = content.encode();
            assert_eq!(Content::decode(bytes.clone()), Some(content));
            for end in 0..bytes.len() {
                assert_eq!(Content::decode(bytes[..end].to_vec()), None);
            }
        }
    }
}
