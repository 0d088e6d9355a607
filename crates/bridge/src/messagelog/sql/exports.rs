//! What may be exported.

use store::{Row, StoreError, Tx, params};

/// Records of a message id that were kept whole and belong to a client (or to a subsystem below it), oldest first; nothing of them is opened.
pub(crate) fn exportable(
    tx: &mut Tx<'_>,
    message_id: &str,
    owner: &str,
    kind: Option<i64>,
    limit: i64,
) -> Result<Vec<Row>, StoreError> {
    tx.query(
        "SELECT m.id, m.role, m.service, LENGTH(m.content) AS bytes, CASE WHEN s.record IS NULL THEN 0 ELSE 1 END AS stamped \
         FROM bridge_message m LEFT JOIN bridge_stamped s ON s.record = m.id \
         WHERE m.message_id = $1 AND m.mode = 0 AND (m.kind = $2 OR $2 < 0) AND ((m.role = 0 AND m.client = $3) \
         OR (m.role = 1 AND SUBSTR(m.service, 1, LENGTH($3) + 1) = $3 || '/')) ORDER BY m.id LIMIT $4",
        &params![message_id, kind.unwrap_or(-1), owner, limit],
    )
}
