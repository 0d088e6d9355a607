//! Uses of data about a person, written by the node of the provider in the same step as its message log: what the citizen sees under
//! "who looked at my data". The Estonian `findUsage` contract (data tracker 2.1), with our proof beside it.
//!
//! Threat line: whoever can change the database can delete a use, and then the leaf of the ledger has no record; they cannot alter
//! one unseen. The node writes the use, so a register cannot stay silent.

use civic::{ClientId, NationalNumber, Random, ServiceId, Timestamp, random_array};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use store::{Row, Store, StoreError, Value, params};
use trust::digest;

/// A page of uses holds at most this many.
pub const PAGE_MAX: u32 = 1_000;

pub(crate) const INSERT: &str =
    "INSERT INTO bridge_use (id, subject, service, record, digest, salt) VALUES ($1, $2, $3, $4, $5, $6)";

/// A code and the words that people read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsePurpose {
    /// The code.
    pub code: String,
    /// The words.
    pub text: String,
}

/// Why the data were given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseBasis {
    /// `consent` or `law`.
    pub code: String,
    /// The grant or the law.
    pub reference: String,
}

/// One use, as the citizen is shown it. The first five fields are those of the Estonian contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageRecord {
    /// When (RFC 3339).
    pub logtime: String,
    /// Why, in words.
    pub action: String,
    /// The code of the organisation.
    pub receiver_code: String,
    /// The name of the organisation.
    pub receiver_name: String,
    /// The subsystem that asked.
    pub receiver_system: String,
    /// The service.
    pub service: String,
    /// Why, as a code and in words.
    pub purpose: UsePurpose,
    /// On which basis.
    pub legal_basis: UseBasis,
    /// Which data.
    pub fields: Vec<String>,
    /// X-Road-Id of the exchange.
    pub message_id: String,
    /// SHA-512 of the header part of the signed request, base64.
    pub message_hash: String,
    /// The grant, where the basis is consent.
    pub grant_id: Option<String>,
    /// `answered` or `refused`.
    pub outcome: String,
    /// SHA-512 of the document that was given, hexadecimal: the body of a REST answer, the envelope of a SOAP answer. Absent where none
    /// was, and in records of older versions. With the commitment to this record the document itself stands in the ledger, salted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document_sha512: Option<String>,
    /// The same as SHA-256, where the exchange was signed over that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document_sha256: Option<String>,
}

/// What shows that a use stands in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageProof {
    /// The salt of the commitment, hexadecimal.
    pub salt: String,
    /// The leaf: HMAC-SHA-256 under the salt of the record in canonical form, hexadecimal.
    pub leaf: String,
    /// The index of the leaf.
    pub index: u64,
    /// The proof (C2SP tlog-proof).
    pub tlog_proof: String,
}

/// One use with its proof; the proof is absent until the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// The use.
    #[serde(flatten)]
    pub record: UsageRecord,
    /// The proof.
    pub proof: Option<UsageProof>,
}

/// The answer of `findUsage`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsagePage {
    /// How many uses there are in the period, on all pages.
    pub total_usages: u64,
    /// The uses of this page, newest first.
    pub usages: Vec<Usage>,
}

impl UsageRecord {
    /// The bytes that the commitment is made over: JSON with the names of each object sorted and no space.
    pub fn canonical(&self) -> Vec<u8> {
        let value = serde_json::to_value(self).unwrap_or(Json::Null);
        let mut out = Vec::with_capacity(512);
        write_canonical(&value, &mut out);
        out
    }

    /// Whether a proof is about this record: its leaf opens to it. The inclusion of the leaf is the ledger's to prove.
    pub fn fits(&self, proof: &UsageProof) -> bool {
        match (hex_bytes(&proof.salt), hex_bytes(&proof.leaf)) {
            (Some(salt), Some(leaf)) => digest::constant_time_eq(&digest::hmac_sha256(&salt, &self.canonical()), &leaf),
            _ => false,
        }
    }
}

/// A use to be written.
#[derive(Clone, Debug)]
pub struct NewUsage {
    /// Whom the data are about.
    pub subject: NationalNumber,
    /// Whose data they are.
    pub service: ServiceId,
    /// The record.
    pub record: UsageRecord,
}

impl NewUsage {
    pub(crate) fn row(&self, id: i64, store: &Store, random: &dyn Random) -> Result<Vec<Value>, StoreError> {
        let plain = self.record.canonical();
        let record = store.sealer().seal("bridge_use", "record", id.to_string(), &plain)?;
        Ok(params![
            id,
            subject_index(store, &self.subject),
            self.service.to_string(),
            record,
            digest::sha256(&plain),
            random_array::<32>(random),
        ])
    }
}

/// Which uses are asked for.
#[derive(Clone, Debug)]
pub struct UsageQuery {
    /// Whom the data are about.
    pub subject: NationalNumber,
    /// The subsystem whose services are meant.
    pub provider: ClientId,
    /// From this moment on.
    pub from: Timestamp,
    /// Until before this moment.
    pub until: Timestamp,
    /// How many are passed over.
    pub offset: u32,
    /// How many are wanted.
    pub limit: u32,
}

/// A use as it was kept.
pub(crate) struct KeptUse {
    pub(crate) record: UsageRecord,
    pub(crate) salt: [u8; 32],
    pub(crate) leaf: [u8; 32],
    pub(crate) index: Option<u64>,
}

/// Finds uses, newest first, and how many there are in all.
pub(crate) async fn find(store: &Store, query: UsageQuery) -> Result<(u64, Vec<KeptUse>), StoreError> {
    let subject = subject_index(store, &query.subject);
    let services = format!("{}/", query.provider);
    let (total, rows): (i64, Vec<Row>) = store
        .read("bridge.find_use", move |tx| {
            let until = services_end(&services);
            let (from, before) = (query.from.micros(), query.until.micros());
            let total = tx
                .query_one(
                    "SELECT COUNT(*) AS total FROM bridge_use \
                     WHERE subject = $1 AND id >= $2 AND id < $3 AND service >= $4 AND service < $5",
                    &params![subject.clone(), from, before, services.as_str(), until.as_str()],
                )?
                .map_or(Ok(0), |row| row.get::<i64>("total"))?;
            let rows = tx.query(
                "SELECT u.id, u.record, u.salt, l.leaf FROM bridge_use u \
                 LEFT JOIN bridge_leaf l ON l.source = 1 AND l.record = u.id \
                 WHERE u.subject = $1 AND u.id >= $2 AND u.id < $3 AND u.service >= $4 AND u.service < $5 \
                 ORDER BY u.id DESC LIMIT $6 OFFSET $7",
                &params![
                    subject.clone(),
                    from,
                    before,
                    services.as_str(),
                    until.as_str(),
                    query.limit.min(PAGE_MAX),
                    query.offset
                ],
            )?;
            Ok::<_, StoreError>((total, rows))
        })
        .await?;
    let mut uses = Vec::with_capacity(rows.len());
    for row in &rows {
        uses.push(read_row(row, store)?);
    }
    Ok((u64::try_from(total).unwrap_or(0), uses))
}

/// The first and last moment of which uses are kept, where there are any.
pub(crate) async fn period(store: &Store) -> Result<Option<(Timestamp, Timestamp)>, StoreError> {
    store
        .read("bridge.use_period", |tx| {
            let row = tx.query_one("SELECT MIN(id) AS first, MAX(id) AS last FROM bridge_use", &[])?;
            let Some(row) = row else { return Ok(None) };
            let (first, last) = (row.get::<Option<i64>>("first")?, row.get::<Option<i64>>("last")?);
            Ok::<_, StoreError>(first.zip(last).map(|(a, b)| (Timestamp::from_micros(a), Timestamp::from_micros(b))))
        })
        .await
}

fn read_row(row: &Row, store: &Store) -> Result<KeptUse, StoreError> {
    let id = row.get::<i64>("id")?;
    let plain = store.sealer().open("bridge_use", "record", id.to_string(), &row.get::<Vec<u8>>("record")?)?;
    let record = serde_json::from_slice(&plain)
        .map_err(|error| StoreError::Column { column: "record".to_owned(), reason: error.to_string() })?;
    let salt = row.get::<[u8; 32]>("salt")?;
    let index = row.get::<Option<i64>>("leaf")?.and_then(|leaf| u64::try_from(leaf).ok());
    Ok(KeptUse { record, salt, leaf: digest::hmac_sha256(&salt, &plain), index })
}

/// The keyed index by which uses and records about a person are found.
pub(crate) fn subject_index(store: &Store, subject: &NationalNumber) -> Vec<u8> {
    store.sealer().blind_index("bridge_use", "subject", subject.as_str().as_bytes())
}

/// The first text after all those that start with this one, which ends in a slash ('0' follows '/').
fn services_end(services: &str) -> String {
    let mut end = services.trim_end_matches('/').to_owned();
    end.push('0');
    end
}

fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || text.len() > 256 {
        return None;
    }
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    Some(digits?.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| (byte << 4) | digit)).collect())
}

/// Bytes as lower-case hexadecimal text.
pub(crate) fn hex_text(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
        text
    })
}

fn write_canonical(value: &Json, out: &mut Vec<u8>) {
    match value {
        Json::Object(map) => {
            let mut names: Vec<&String> = map.keys().collect();
            names.sort_unstable();
            out.push(b'{');
            for (position, name) in names.into_iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(Json::String(name.clone()).to_string().as_bytes());
                out.push(b':');
                write_canonical(map.get(name).unwrap_or(&Json::Null), out);
            }
            out.push(b'}');
        }
        Json::Array(items) => {
            out.push(b'[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write_canonical(item, out);
            }
            out.push(b']');
        }
        other => out.extend_from_slice(other.to_string().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> UsageRecord {
        UsageRecord {
            logtime: "2026-11-21T22:40:00Z".to_owned(),
            action: "Demande de prêt".to_owned(),
            receiver_code: "2001".to_owned(),
            receiver_name: "Banque du Fleuve".to_owned(),
            receiver_system: "BB/COM/2001/credit".to_owned(),
            service: "BB/GOV/1002/fisc/income-statement".to_owned(),
            purpose: UsePurpose { code: "credit-application".to_owned(), text: "Demande de prêt".to_owned() },
            legal_basis: UseBasis { code: "consent".to_owned(), reference: "g1".to_owned() },
            fields: vec!["gross_income".to_owned()],
            message_id: "m1".to_owned(),
            message_hash: "aGFzaA==".to_owned(),
            grant_id: Some("g1".to_owned()),
            outcome: "answered".to_owned(),
            document_sha512: None,
            document_sha256: None,
        }
    }

    #[test]
    fn the_canonical_form_does_not_depend_on_the_order_of_fields() {
        let text = String::from_utf8(record().canonical()).unwrap();
        assert!(
            text.starts_with(r#"{"action":"Demande de prêt","fields":["gross_income"],"grantId":"g1","legalBasis":{"#)
        );
        let read: UsageRecord = serde_json::from_str(&text).unwrap();
        assert_eq!(read.canonical(), record().canonical());
        assert!(!text.contains("document"), "records of older versions keep their canonical form");
    }

    #[test]
    fn a_proof_opens_to_its_record_only() {
        let salt = [7_u8; 32];
        let leaf = hex_text(&digest::hmac_sha256(&salt, &record().canonical()));
        let proof = UsageProof { salt: hex_text(&salt), leaf, index: 3, tlog_proof: String::new() };
        assert!(record().fits(&proof));
        let altered = UsageRecord { receiver_name: "Another".to_owned(), ..record() };
        assert!(!altered.fits(&proof));
        assert!(!record().fits(&UsageProof { salt: "zz".to_owned(), ..proof }));
    }

    #[test]
    fn the_services_of_a_subsystem_are_a_range_of_texts() {
        let (from, until) = ("BB/GOV/1/fisc/".to_owned(), services_end("BB/GOV/1/fisc/"));
        let within = |service: &str| service >= from.as_str() && service < until.as_str();
        assert!(within("BB/GOV/1/fisc/a") && within("BB/GOV/1/fisc/zz"));
        assert!(!within("BB/GOV/1/fisc2/a") && !within("BB/GOV/1/fisb/a"));
    }
}
