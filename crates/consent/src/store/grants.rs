use civic::{NationalNumber, PersonId, Purpose, Timestamp};
use serde::{Deserialize, Serialize};
use store::{Row, Sealer, StoreError, Tx, params};

use super::{from_json, impossible, parsed, to_json};
use crate::grant::{Grant, GrantStatus, GrantUseRequest};

const TABLE: &str = "consent_grant";

/// The most grants of one person that are listed: the newest.
const LIST_MAX: u32 = 500;

#[derive(Serialize, Deserialize)]
struct Subject {
    person: PersonId,
    national_number: NationalNumber,
}

pub(crate) fn insert(tx: &mut Tx<'_>, grant: &Grant) -> Result<(), StoreError> {
    let subject = Subject { person: grant.person.clone(), national_number: grant.national_number.clone() };
    let index = subject_index(tx.sealer(), &grant.national_number);
    let sealed = tx.sealer().seal(TABLE, "subject", &grant.id, to_json(&subject).as_bytes())?;
    tx.execute(
        "INSERT INTO consent_grant (id, subject_index, subject, client, service, fields, years, purpose_code,
            purpose_text, valid_from, valid_until, uses_max, uses, locale, notice_hash, acr, amr, auth_time, status)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, 'given')",
        &params![
            &grant.id,
            index,
            sealed,
            grant.client.to_string(),
            grant.service.to_string(),
            to_json(&grant.fields),
            to_json(&grant.years),
            &grant.purpose.code,
            &grant.purpose.text,
            grant.valid_from,
            grant.valid_until,
            grant.uses_max,
            grant.uses,
            grant.locale.tag(),
            &grant.notice_hash,
            &grant.acr,
            to_json(&grant.amr),
            grant.auth_time,
        ],
    )?;
    Ok(())
}

pub(crate) fn find(tx: &mut Tx<'_>, id: &str) -> Result<Option<Grant>, StoreError> {
    let row = tx.query_one("SELECT * FROM consent_grant WHERE id = $1", &params![id])?;
    row.map(|row| grant(&row, tx.sealer())).transpose()
}

/// The grant of this id, if it is about this person.
pub(crate) fn find_of(tx: &mut Tx<'_>, id: &str, subject: &NationalNumber) -> Result<Option<Grant>, StoreError> {
    let index = subject_index(tx.sealer(), subject);
    let row = tx.query_one("SELECT * FROM consent_grant WHERE id = $1 AND subject_index = $2", &params![id, index])?;
    row.map(|row| grant(&row, tx.sealer())).transpose()
}

pub(crate) fn list(tx: &mut Tx<'_>, subject: &NationalNumber) -> Result<Vec<Grant>, StoreError> {
    let index = subject_index(tx.sealer(), subject);
    let rows = tx.query(
        "SELECT * FROM consent_grant WHERE subject_index = $1 ORDER BY valid_from DESC, id DESC LIMIT $2",
        &params![index, LIST_MAX],
    )?;
    rows.iter().map(|row| grant(row, tx.sealer())).collect()
}

/// Grants that are past their end and not yet marked so.
pub(crate) fn overdue(tx: &mut Tx<'_>, now: Timestamp, count_max: u32) -> Result<Vec<Grant>, StoreError> {
    let rows = tx.query(
        "SELECT * FROM consent_grant WHERE status = 'given' AND valid_until <= $1 ORDER BY valid_until LIMIT $2",
        &params![now, count_max],
    )?;
    rows.iter().map(|row| grant(row, tx.sealer())).collect()
}

/// Ends a grant; `false` where it had ended before.
pub(crate) fn end(tx: &mut Tx<'_>, id: &str, status: GrantStatus) -> Result<bool, StoreError> {
    let (word, at) = match status {
        GrantStatus::Revoked(at) => ("revoked", at),
        GrantStatus::Expired(at) => ("expired", at),
        GrantStatus::Given => return Ok(false),
    };
    let changed = tx.execute(
        "UPDATE consent_grant SET status = $2, ended_at = $3 WHERE id = $1 AND status = 'given'",
        &params![id, word, at],
    )?;
    Ok(changed == 1)
}

/// Counts one use; `false` where none is left, or the grant has ended.
pub(crate) fn count_use(tx: &mut Tx<'_>, id: &str, now: Timestamp) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE consent_grant SET uses = uses + 1
         WHERE id = $1 AND uses < uses_max AND status = 'given' AND valid_until > $2",
        &params![id, now],
    )?;
    Ok(changed == 1)
}

/// What a message asked before: `None` where it is new, else whether it asked for the same.
pub(crate) fn earlier_use(tx: &mut Tx<'_>, request: &GrantUseRequest) -> Result<Option<bool>, StoreError> {
    let row = tx.query_one(
        "SELECT request_hash FROM consent_grant_use WHERE grant_id = $1 AND message_id = $2",
        &params![&request.grant_id, &request.message_id],
    )?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(row.get::<Vec<u8>>("request_hash")? == request_hash(request)))
}

pub(crate) fn insert_use(tx: &mut Tx<'_>, request: &GrantUseRequest, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO consent_grant_use (grant_id, message_id, at, request_hash) VALUES ($1, $2, $3, $4)",
        &params![&request.grant_id, &request.message_id, now, request_hash(request)],
    )?;
    Ok(())
}

pub(crate) fn subject_index(sealer: &Sealer, subject: &NationalNumber) -> Vec<u8> {
    sealer.blind_index(TABLE, "subject", subject.as_str().as_bytes())
}

fn request_hash(request: &GrantUseRequest) -> [u8; 32] {
    let asked = (request.client.to_string(), request.service.to_string(), &request.method, &request.path);
    trust::digest::sha256(to_json(&asked).as_bytes())
}

fn grant(row: &Row, sealer: &Sealer) -> Result<Grant, StoreError> {
    let id: String = row.get("id")?;
    let subject = sealer.open(TABLE, "subject", &id, &row.get::<Vec<u8>>("subject")?)?;
    let subject: Subject = from_json("subject", &subject)?;
    let text = |column: &str| row.get::<String>(column);
    let moment = |column: &str| row.get::<i64>(column).map(Timestamp::from_micros);
    let ended_at = row.get::<Option<i64>>("ended_at")?.map(Timestamp::from_micros);
    let status = match (text("status")?.as_str(), ended_at) {
        ("given", None) => GrantStatus::Given,
        ("revoked", Some(at)) => GrantStatus::Revoked(at),
        ("expired", Some(at)) => GrantStatus::Expired(at),
        (other, _) => return Err(impossible("status", other)),
    };
    let locale = text("locale")?;
    Ok(Grant {
        person: subject.person,
        national_number: subject.national_number,
        client: parsed("client", &text("client")?)?,
        service: parsed("service", &text("service")?)?,
        fields: from_json("fields", text("fields")?.as_bytes())?,
        years: from_json("years", text("years")?.as_bytes())?,
        purpose: Purpose { code: text("purpose_code")?, text: text("purpose_text")? },
        valid_from: moment("valid_from")?,
        valid_until: moment("valid_until")?,
        uses_max: row.get("uses_max")?,
        uses: row.get("uses")?,
        locale: civic::Locale::from_tag(&locale).ok_or_else(|| impossible("locale", &locale))?,
        notice_hash: text("notice_hash")?,
        acr: text("acr")?,
        amr: from_json("amr", text("amr")?.as_bytes())?,
        auth_time: moment("auth_time")?,
        status,
        id,
    })
}
