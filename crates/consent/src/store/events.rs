use civic::{NationalNumber, Random, Timestamp, random_array, random_uuid};
use ledger::{Commitment, outbox};
use store::{Row, StoreError, Tx, params};

use super::{from_json, grants, to_json};
use crate::event::{EventRecord, GrantEvent};

const TABLE: &str = "consent_event";

/// What the outbox calls events.
pub(crate) const KIND: &str = "consent.event";
/// The queue in which older programs kept commitments on their way.
const OLD_QUEUE: &str = "consent-ledger";

/// The most events of one grant that are listed: the newest.
const LIST_MAX: u32 = 2_000;

/// An event with its commitment.
pub(crate) struct OpenedEvent {
    pub(crate) record: Vec<u8>,
    pub(crate) kept: outbox::Kept,
}

/// What is needed to write an event down: drawn before the transaction, which may run twice.
#[derive(Clone)]
pub(crate) struct Drawn {
    id: String,
    salt: [u8; 32],
}

impl Drawn {
    pub(crate) fn new(random: &dyn Random) -> Self {
        Self { id: random_uuid(random), salt: random_array::<32>(random) }
    }
}

/// Writes an event down, and its commitment into the outbox.
pub(crate) fn insert(
    tx: &mut Tx<'_>,
    drawn: &Drawn,
    record: &EventRecord,
    subject: Option<&NationalNumber>,
    at: Timestamp,
) -> Result<(), StoreError> {
    let bytes = to_json(record).into_bytes();
    let sealer = tx.sealer();
    let index = subject.map(|subject| grants::subject_index(sealer, subject)).unwrap_or_default();
    let sealed = sealer.seal(TABLE, "record", &drawn.id, &bytes)?;
    tx.execute(
        "INSERT INTO consent_event (id, grant_id, subject_index, kind, at, record) VALUES ($1, $2, $3, $4, $5, $6)",
        &params![&drawn.id, &record.grant_id, index, record.event.as_str(), at, sealed],
    )?;
    outbox::add(tx, KIND, &drawn.id, &Commitment::with_salt(drawn.salt, &bytes), at)
}

/// The events of a grant, newest first.
pub(crate) fn list(tx: &mut Tx<'_>, grant_id: &str) -> Result<Vec<GrantEvent>, StoreError> {
    let rows = tx.query(
        "SELECT id, at, record FROM consent_event WHERE grant_id = $1 ORDER BY at DESC, id DESC LIMIT $2",
        &params![grant_id, LIST_MAX],
    )?;
    rows.iter().map(|row| event(tx, row)).collect()
}

/// An event about this person.
pub(crate) fn find_of(tx: &mut Tx<'_>, id: &str, subject: &NationalNumber) -> Result<Option<OpenedEvent>, StoreError> {
    let index = grants::subject_index(tx.sealer(), subject);
    let row =
        tx.query_one("SELECT record FROM consent_event WHERE id = $1 AND subject_index = $2", &params![id, index])?;
    let (Some(row), Some(kept)) = (row, outbox::find(tx, KIND, id)?) else { return Ok(None) };
    let record = tx.sealer().open(TABLE, "record", id, &row.get::<Vec<u8>>("record")?)?;
    Ok(Some(OpenedEvent { record, kept }))
}

/// Moves commitments of older programs into the outbox, those included that were on their way; how many.
pub(crate) fn move_to_outbox(tx: &mut Tx<'_>, count_max: u32) -> Result<usize, StoreError> {
    let rows = tx.query(
        "SELECT id, at, salt, leaf, ledger_index FROM consent_event WHERE leaf IS NOT NULL ORDER BY id LIMIT $1",
        &params![count_max],
    )?;
    let length = |_| super::impossible("salt", "it is not 32 bytes long");
    for row in &rows {
        let id: String = row.get("id")?;
        let salt = tx.sealer().open(TABLE, "salt", &id, &row.get::<Vec<u8>>("salt")?)?;
        let commitment = Commitment { salt: salt.try_into().map_err(length)?, leaf: row.get("leaf")? };
        let index = row.get::<Option<i64>>("ledger_index")?.and_then(|index| u64::try_from(index).ok());
        outbox::adopt(tx, KIND, &id, &commitment, index, Timestamp::from_micros(row.get("at")?))?;
        tx.execute(
            "UPDATE consent_event SET salt = NULL, leaf = NULL, ledger_index = NULL WHERE id = $1",
            &params![&id],
        )?;
        store::queue::forget(tx, OLD_QUEUE, &id)?;
    }
    Ok(rows.len())
}

fn event(tx: &mut Tx<'_>, row: &Row) -> Result<GrantEvent, StoreError> {
    let id: String = row.get("id")?;
    let record = tx.sealer().open(TABLE, "record", &id, &row.get::<Vec<u8>>("record")?)?;
    Ok(GrantEvent {
        at: Timestamp::from_micros(row.get("at")?),
        record: from_json("record", &record)?,
        ledger_index: outbox::index(tx, KIND, &id)?,
        id,
    })
}
