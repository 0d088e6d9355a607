use std::time::Duration;

use civic::{NationalNumber, Random, Timestamp, random_array, random_uuid};
use ledger::Commitment;
use store::{Row, Sealer, StoreError, Tx, params, queue};

use super::{from_json, grants, to_json};
use crate::event::{EventRecord, GrantEvent};

const TABLE: &str = "consent_event";

/// The queue of commitments on their way to the ledger.
pub(crate) const QUEUE: &str = "consent-ledger";

/// The most events of one grant that are listed: the newest.
const LIST_MAX: u32 = 2_000;

/// How long a worker may take to bring commitments to the ledger.
const LEASE: Duration = Duration::from_secs(30);

/// An event with what opens its commitment.
pub(crate) struct OpenedEvent {
    pub(crate) record: Vec<u8>,
    pub(crate) salt: Vec<u8>,
    pub(crate) leaf: Vec<u8>,
    pub(crate) ledger_index: Option<u64>,
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

/// Writes an event down and queues its commitment.
pub(crate) fn insert(
    tx: &mut Tx<'_>,
    drawn: &Drawn,
    record: &EventRecord,
    subject: Option<&NationalNumber>,
    at: Timestamp,
) -> Result<(), StoreError> {
    let bytes = to_json(record).into_bytes();
    let leaf = Commitment::with_salt(drawn.salt, &bytes).leaf;
    let sealer = tx.sealer();
    let index = subject.map(|subject| grants::subject_index(sealer, subject)).unwrap_or_default();
    let sealed_record = sealer.seal(TABLE, "record", &drawn.id, &bytes)?;
    let sealed_salt = sealer.seal(TABLE, "salt", &drawn.id, &drawn.salt)?;
    tx.execute(
        "INSERT INTO consent_event (id, grant_id, subject_index, kind, at, record, salt, leaf)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        &params![
            &drawn.id,
            &record.grant_id,
            index,
            record.event.as_str(),
            at,
            sealed_record,
            sealed_salt,
            leaf.to_vec(),
        ],
    )?;
    queue::enqueue(tx, QUEUE, &drawn.id, &leaf, at)?;
    Ok(())
}

/// The events of a grant, newest first.
pub(crate) fn list(tx: &mut Tx<'_>, grant_id: &str) -> Result<Vec<GrantEvent>, StoreError> {
    let rows = tx.query(
        "SELECT id, at, record, ledger_index FROM consent_event WHERE grant_id = $1 ORDER BY at DESC, id DESC LIMIT $2",
        &params![grant_id, LIST_MAX],
    )?;
    rows.iter().map(|row| event(row, tx.sealer())).collect()
}

/// An event about this person.
pub(crate) fn find_of(tx: &mut Tx<'_>, id: &str, subject: &NationalNumber) -> Result<Option<OpenedEvent>, StoreError> {
    let index = grants::subject_index(tx.sealer(), subject);
    let row = tx.query_one(
        "SELECT record, salt, leaf, ledger_index FROM consent_event WHERE id = $1 AND subject_index = $2",
        &params![id, index],
    )?;
    let Some(row) = row else { return Ok(None) };
    let open = |column: &str| tx.sealer().open(TABLE, column, id, &row.get::<Vec<u8>>(column)?);
    Ok(Some(OpenedEvent {
        record: open("record")?,
        salt: open("salt")?,
        leaf: row.get("leaf")?,
        ledger_index: ledger_index(&row)?,
    }))
}

/// Commitments that wait for the ledger, held for the lease: where the ledger does not answer they are free again then,
/// and tried for ever, since an event without commitment is a debt.
pub(crate) fn claim(tx: &mut Tx<'_>, now: Timestamp, count_max: u32) -> Result<Vec<queue::Claim>, StoreError> {
    queue::claim(tx, QUEUE, now, LEASE, count_max)
}

/// The ledger holds them: each event learns where.
pub(crate) fn committed(tx: &mut Tx<'_>, claims: &[(queue::Claim, u64)]) -> Result<(), StoreError> {
    for (claim, index) in claims {
        let index = i64::try_from(*index).unwrap_or(i64::MAX);
        tx.execute("UPDATE consent_event SET ledger_index = $2 WHERE id = $1", &params![&claim.key, index])?;
        queue::complete(tx, claim)?;
    }
    Ok(())
}

fn event(row: &Row, sealer: &Sealer) -> Result<GrantEvent, StoreError> {
    let id: String = row.get("id")?;
    let record = sealer.open(TABLE, "record", &id, &row.get::<Vec<u8>>("record")?)?;
    Ok(GrantEvent {
        at: Timestamp::from_micros(row.get("at")?),
        record: from_json("record", &record)?,
        ledger_index: ledger_index(row)?,
        id,
    })
}

fn ledger_index(row: &Row) -> Result<Option<u64>, StoreError> {
    Ok(row.get::<Option<i64>>("ledger_index")?.and_then(|index| u64::try_from(index).ok()))
}
