//! The only place with SQL. A row becomes a noun in one function, and an impossible row is an error that names it.
//!
//! Trusted: whoever can write these tables can delete entries and put old rows back (the ledger shows it for grants), but
//! can neither read nor forge whose data an entry is about. Whoever holds the key ring reads all of it.

pub(crate) mod events;
pub(crate) mod grants;
pub(crate) mod journal;

use serde::Serialize;
use serde::de::DeserializeOwned;
use store::{Migration, StoreError};

const JOURNAL: Migration =
    Migration { room: "consent", number: 1, name: "journal", sql: include_str!("../../migrations/0001_journal.sql") };
const GRANTS: Migration =
    Migration { room: "consent", number: 2, name: "grants", sql: include_str!("../../migrations/0002_grants.sql") };

const OUTBOX: Migration =
    Migration { room: "consent", number: 3, name: "outbox", sql: include_str!("../../migrations/0003_outbox.sql") };

/// The tables of an organisation that keeps an access journal.
pub(crate) const JOURNAL_MIGRATIONS: [Migration; 1] = [JOURNAL];
/// The tables of the consent service.
pub(crate) const ALL_MIGRATIONS: [Migration; 3] = [JOURNAL, GRANTS, OUTBOX];

fn to_json(value: &impl Serialize) -> String {
    // Maps with text keys and lists always have a JSON form; an empty text would be refused on reading.
    serde_json::to_string(value).unwrap_or_default()
}

fn from_json<T: DeserializeOwned>(column: &str, json: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(json).map_err(|error| impossible(column, &error.to_string()))
}

fn parsed<T: std::str::FromStr>(column: &str, text: &str) -> Result<T, StoreError>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| impossible(column, &error.to_string()))
}

/// A row that this program never writes.
fn impossible(column: &str, reason: &str) -> StoreError {
    StoreError::Column { column: column.to_owned(), reason: format!("an impossible value: {reason}") }
}
