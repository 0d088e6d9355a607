//! The search: one statement, whose conditions are those that were asked for.

use std::fmt::Write as _;

use civic::Timestamp;
use store::{Row, StoreError, Tx, Value};

use super::super::SearchQuery;

/// What became of most exchanges; the index of failures leaves them out.
const USUAL: [&str; 3] = ["answered", "sent", "received"];

/// Records that fit, newest first.
pub(crate) fn search(
    tx: &mut Tx<'_>,
    query: &SearchQuery,
    subject: Option<&[u8]>,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Row>, StoreError> {
    let mut conditions = Conditions { sql: "m.mode <> 2".to_owned(), values: Vec::new() };
    conditions.add("m.id >=", query.from.map(Timestamp::micros));
    conditions.add("m.id <", query.to.map(Timestamp::micros));
    conditions.add("m.id <", before);
    conditions.add("m.client =", query.client.as_ref().map(ToString::to_string));
    conditions.add("m.service =", query.service.as_ref().map(ToString::to_string));
    conditions.add("m.peer =", query.peer.as_ref().map(ToString::to_string));
    conditions.add("m.message_id =", query.message_id.clone());
    conditions.add("m.request_id =", query.request_id.clone());
    conditions.add("m.subject =", subject.map(<[u8]>::to_vec));
    conditions.add("m.outcome =", query.outcome.clone());
    if query.outcome.as_deref().is_some_and(|outcome| !USUAL.contains(&outcome) && !outcome.is_empty()) {
        // Word for word the condition of the index, so that both engines use it.
        conditions.sql.push_str(
            " AND m.outcome <> 'answered' AND m.outcome <> 'sent' AND m.outcome <> 'received' AND m.outcome <> ''",
        );
    }
    let Conditions { sql, mut values } = conditions;
    values.push(Value::from(limit));
    let statement = format!(
        "SELECT m.id, m.role, m.kind, m.client, m.service, m.message_id, m.request_id, m.outcome, m.mode, \
         s.stamp, a.name AS archive, l.leaf \
         FROM bridge_message m LEFT JOIN bridge_stamped s ON s.record = m.id \
         LEFT JOIN bridge_archived d ON d.record = m.id LEFT JOIN bridge_archive a ON a.id = d.archive \
         LEFT JOIN bridge_leaf l ON l.source = 0 AND l.record = m.id \
         WHERE {sql} ORDER BY m.id DESC LIMIT ${}",
        values.len()
    );
    tx.query(&statement, &values)
}

struct Conditions {
    sql: String,
    values: Vec<Value>,
}

impl Conditions {
    fn add<T: Into<Value>>(&mut self, condition: &str, value: Option<T>) {
        if let Some(value) = value {
            self.values.push(value.into());
            // Writing to a String cannot fail.
            let _ = write!(self.sql, " AND {condition} ${}", self.values.len());
        }
    }
}
