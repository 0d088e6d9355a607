//! What `GET /asic` may export of a message id: found by its owner before anything is opened, so that the work is bounded by what is asked
//! for and not by what others sent under the same id.

use civic::{ClientId, ServiceId};
use store::{Row, StoreError};

use super::{LogError, MessageLog, RecordKind, Role, sql};

/// A record that was kept whole, before it is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exportable {
    pub(crate) id: i64,
    /// What it takes in the log.
    pub(crate) bytes: u64,
    pub(crate) is_stamped: bool,
}

impl MessageLog {
    /// The records of a subsystem of this node with this message id that were kept whole, of one kind where that is asked for: the oldest,
    /// `count_max` at most.
    pub(crate) async fn exportable(
        &self,
        message_id: &str,
        owner: &ClientId,
        kind: Option<RecordKind>,
        count_max: usize,
    ) -> Result<Vec<Exportable>, LogError> {
        let (message_id, name) = (message_id.to_owned(), owner.to_string());
        let limit = i64::try_from(count_max).unwrap_or(i64::MAX);
        let kind = kind.map(RecordKind::number);
        let find = move |tx: &mut store::Tx<'_>| sql::exportable(tx, &message_id, &name, kind, limit);
        let rows = self.store.read("bridge.find_exportable", find).await?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            if is_of(row, owner)? {
                let bytes = u64::try_from(row.get::<i64>("bytes")?).unwrap_or_default();
                found.push(Exportable { id: row.get("id")?, bytes, is_stamped: row.get::<i64>("stamped")? == 1 });
            }
        }
        Ok(found)
    }
}

/// A service of a subsystem begins as one of its member may: what the statement found is compared as ids.
fn is_of(row: &Row, owner: &ClientId) -> Result<bool, StoreError> {
    if row.get::<i64>("role")? == Role::Consumer.number() {
        return Ok(true);
    }
    let service = row.get::<String>("service")?.parse::<ServiceId>();
    Ok(service.is_ok_and(|service| service.client() == owner))
}
