//! The transparency logs that the federation relies on.

use store::{Tx, params};
use trust::globalconf::FederationLog;

use crate::AuthorityError;

/// A log, or its new address, key or policy.
pub(crate) fn put_log(tx: &mut Tx<'_>, log: &FederationLog) -> Result<(), AuthorityError> {
    let entry = serde_json::to_string(log).map_err(|error| AuthorityError::Settings(error.to_string()))?;
    tx.execute(
        "INSERT INTO authority_log (origin, entry) VALUES ($1, $2)
         ON CONFLICT (origin) DO UPDATE SET entry = excluded.entry",
        &params![log.origin(), entry],
    )?;
    Ok(())
}

/// The logs by their origins.
pub(crate) fn logs(tx: &mut Tx<'_>) -> Result<Vec<FederationLog>, AuthorityError> {
    let rows = tx.query("SELECT entry FROM authority_log ORDER BY origin", &[])?;
    let entries = rows.iter().map(|row| {
        let entry: String = row.get("entry")?;
        serde_json::from_str(&entry).map_err(|error| AuthorityError::Settings(error.to_string()))
    });
    entries.collect()
}

/// Whether there was such a log.
pub(crate) fn delete_log(tx: &mut Tx<'_>, origin: &str) -> Result<bool, AuthorityError> {
    Ok(tx.execute("DELETE FROM authority_log WHERE origin = $1", &params![origin])? > 0)
}
