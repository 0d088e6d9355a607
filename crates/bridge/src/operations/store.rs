//! Where operational data are kept: the only SQL of this area.
//!
//! Threat line: whoever can change the database can delete or invent records; they are figures for operators, not evidence.

use civic::{ClientId, Random, random_array};
use store::{AppendTable, ColumnKind, Row, Store, StoreError, Value, params};

static OPERATIONS: AppendTable = AppendTable {
    name: "bridge_operation",
    columns: &[
        ("stored_s", ColumnKind::Int),
        ("id", ColumnKind::Int),
        ("client", ColumnKind::Text),
        ("provider", ColumnKind::Text),
        ("record", ColumnKind::Text),
    ],
};

/// A record as it is kept.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    /// monitoringDataTs, seconds.
    pub(super) stored_s: i64,
    /// The fields, JSON.
    pub(super) json: String,
}

/// A record to be kept.
pub(super) struct New<'a> {
    pub(super) stored_s: i64,
    pub(super) client: Option<&'a ClientId>,
    pub(super) provider: Option<&'a ClientId>,
    pub(super) json: String,
}

/// Which records are asked for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// From this second on.
    pub(super) from_s: i64,
    /// Up to this second, inclusive.
    pub(super) to_s: i64,
    /// Only records in which this client asks or provides.
    pub(super) party: Option<ClientId>,
    /// Only records of services of this client.
    pub(super) provider: Option<ClientId>,
    /// At most so many, and all of the last second.
    pub(super) records_max: usize,
}

/// What was found, oldest first.
pub(super) struct Found {
    pub(super) records: Vec<Kept>,
    /// The second from which the next query goes on; `None` where these are all.
    pub(super) next_from_s: Option<i64>,
}

/// Writes records; durable when it returns.
pub(super) async fn write(store: &Store, records: Vec<New<'_>>, random: &dyn Random) -> Result<(), StoreError> {
    let mut rows: Vec<Vec<Value>> = Vec::with_capacity(records.len());
    for record in records {
        let id = i64::from_be_bytes(random_array::<8>(random)) & i64::MAX;
        rows.push(params![
            record.stored_s,
            id,
            record.client.map(ToString::to_string),
            record.provider.map(ToString::to_string),
            record.json,
        ]);
    }
    store.append(&OPERATIONS, rows).await
}

/// Finds records. Where more than the limit fit, the answer ends with the last whole second: no second is torn between two answers.
pub(super) async fn find(store: &Store, wanted: Wanted) -> Result<Found, StoreError> {
    store
        .read("bridge.find_operations", move |tx| {
            let party = wanted.party.as_ref().map(ToString::to_string).unwrap_or_default();
            let provider = wanted.provider.as_ref().map(ToString::to_string).unwrap_or_default();
            let limit = i64::try_from(wanted.records_max).unwrap_or(i64::MAX);
            let rows = tx.query(
                "SELECT stored_s, record FROM bridge_operation WHERE stored_s >= $1 AND stored_s <= $2 \
                 AND ($3 = '' OR client = $3 OR provider = $3) AND ($4 = '' OR provider = $4) \
                 ORDER BY stored_s, id LIMIT $5",
                &params![wanted.from_s, wanted.to_s, party.as_str(), provider.as_str(), limit],
            )?;
            let mut records = kept(&rows)?;
            let last = match records.last() {
                Some(last) if records.len() >= wanted.records_max => last.stored_s,
                _ => return Ok(Found { records, next_from_s: None }),
            };
            records.retain(|record| record.stored_s != last);
            let whole_second = tx.query(
                "SELECT stored_s, record FROM bridge_operation WHERE stored_s = $1 \
                 AND ($2 = '' OR client = $2 OR provider = $2) AND ($3 = '' OR provider = $3) ORDER BY id",
                &params![last, party.as_str(), provider.as_str()],
            )?;
            records.extend(kept(&whole_second)?);
            let more = tx.query(
                "SELECT stored_s FROM bridge_operation WHERE stored_s > $1 AND stored_s <= $2 \
                 AND ($3 = '' OR client = $3 OR provider = $3) AND ($4 = '' OR provider = $4) LIMIT 1",
                &params![last, wanted.to_s, party.as_str(), provider.as_str()],
            )?;
            Ok(Found { records, next_from_s: (!more.is_empty()).then_some(last + 1) })
        })
        .await
}

/// Deletes what was written before this second; answers how many records went.
pub(super) async fn delete_before(store: &Store, second: i64) -> Result<u64, StoreError> {
    store
        .tx("bridge.delete_operations", move |tx| {
            tx.execute("DELETE FROM bridge_operation WHERE stored_s < $1", &params![second])
        })
        .await
}

fn kept(rows: &[Row]) -> Result<Vec<Kept>, StoreError> {
    rows.iter().map(|row| Ok(Kept { stored_s: row.get("stored_s")?, json: row.get("record")? })).collect()
}
