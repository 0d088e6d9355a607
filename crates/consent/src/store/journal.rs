use civic::{Actor, LegalBasis, NationalNumber, Purpose, ServiceId, Timestamp};
use store::{Row, Sealer, StoreError, Tx, params};

use super::{from_json, impossible, parsed, to_json};
use crate::journal::{JournalEntry, JournalPage, Outcome, Paging};

const TABLE: &str = "consent_journal";

/// An entry before it is written.
pub(crate) type NewEntry = JournalEntry;

/// Marks a proof as used; `false` where it was before.
pub(crate) fn spend(
    tx: &mut Tx<'_>,
    grant_id: &str,
    message_id: &str,
    expires: Timestamp,
    now: Timestamp,
) -> Result<bool, StoreError> {
    tx.execute("DELETE FROM consent_spent_proof WHERE expires < $1", &params![now])?;
    let inserted = tx.execute(
        "INSERT INTO consent_spent_proof (grant_id, message_id, expires) VALUES ($1, $2, $3)
         ON CONFLICT (grant_id, message_id) DO NOTHING",
        &params![grant_id, message_id, expires],
    )?;
    Ok(inserted == 1)
}

pub(crate) fn insert(tx: &mut Tx<'_>, entry: &NewEntry) -> Result<(), StoreError> {
    let sealer = tx.sealer();
    let subject = entry.subject.as_str().as_bytes();
    let subject_index = sealer.blind_index(TABLE, "subject", subject);
    let subject = sealer.seal(TABLE, "subject", &entry.id, subject)?;
    let actor = sealer.seal(TABLE, "actor", &entry.id, to_json(&entry.actor).as_bytes())?;
    let (outcome, reason) = match &entry.outcome {
        Outcome::Granted => ("granted", ""),
        Outcome::Refused(reason) => ("refused", reason.as_str()),
    };
    let reference = match &entry.basis {
        LegalBasis::Consent(reference) | LegalBasis::Law(reference) => reference.as_str(),
        LegalBasis::SelfAccess => "",
    };
    tx.execute(
        "INSERT INTO consent_journal (id, at, subject_index, subject, actor_kind, actor, service, fields, purpose_code,
            purpose_text, basis_code, basis_reference, message_id, outcome, reason)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        &params![
            &entry.id,
            entry.at,
            subject_index,
            subject,
            actor_kind(&entry.actor),
            actor,
            entry.service.to_string(),
            to_json(&entry.fields),
            &entry.purpose.code,
            &entry.purpose.text,
            entry.basis.code(),
            reference,
            entry.message_id.as_deref(),
            outcome,
            reason,
        ],
    )?;
    Ok(())
}

pub(crate) fn page(tx: &mut Tx<'_>, subject: &NationalNumber, paging: Paging) -> Result<JournalPage, StoreError> {
    let index = tx.sealer().blind_index(TABLE, "subject", subject.as_str().as_bytes());
    let count =
        tx.query_one("SELECT COUNT(*) AS total FROM consent_journal WHERE subject_index = $1", &params![&index])?;
    let total: i64 = count.map_or(Ok(0), |row| row.get("total"))?;
    let rows = tx.query(
        "SELECT * FROM consent_journal WHERE subject_index = $1 ORDER BY at DESC, id DESC LIMIT $2 OFFSET $3",
        &params![&index, paging.limit.min(Paging::LIMIT_MAX), paging.offset],
    )?;
    let sealer = tx.sealer();
    let entries = rows.iter().map(|row| entry(row, sealer)).collect::<Result<_, _>>()?;
    Ok(JournalPage { total: u64::try_from(total).unwrap_or(0), entries })
}

fn entry(row: &Row, sealer: &Sealer) -> Result<JournalEntry, StoreError> {
    let id: String = row.get("id")?;
    let subject = sealer.open(TABLE, "subject", &id, &row.get::<Vec<u8>>("subject")?)?;
    let actor = sealer.open(TABLE, "actor", &id, &row.get::<Vec<u8>>("actor")?)?;
    let reference: String = row.get("basis_reference")?;
    let basis = match row.get::<String>("basis_code")?.as_str() {
        "consent" => LegalBasis::Consent(reference),
        "law" => LegalBasis::Law(reference),
        "self_access" => LegalBasis::SelfAccess,
        other => return Err(impossible("basis_code", other)),
    };
    let outcome = match row.get::<String>("outcome")?.as_str() {
        "granted" => Outcome::Granted,
        "refused" => Outcome::Refused(row.get("reason")?),
        other => return Err(impossible("outcome", other)),
    };
    Ok(JournalEntry {
        at: Timestamp::from_micros(row.get("at")?),
        actor: from_json("actor", &actor)?,
        subject: parsed("subject", &String::from_utf8_lossy(&subject))?,
        service: parsed::<ServiceId>("service", &row.get::<String>("service")?)?,
        fields: from_json("fields", row.get::<String>("fields")?.as_bytes())?,
        purpose: Purpose { code: row.get("purpose_code")?, text: row.get("purpose_text")? },
        basis,
        message_id: row.get("message_id")?,
        outcome,
        id,
    })
}

const fn actor_kind(actor: &Actor) -> &'static str {
    match actor {
        Actor::Citizen(_) => "citizen",
        Actor::Organisation(_) => "organisation",
        Actor::Official(_) => "official",
        Actor::House(_) => "house",
    }
}
