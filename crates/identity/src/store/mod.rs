//! The only files with SQL. Each call is one named transaction.
//!
//! Trusted: whoever can write these tables can enrol accounts and bind passkeys, that is, log in as anybody; whoever can
//! only read them learns internal numbers and login times, but neither names, national numbers, phones, PINs nor codes.

mod accounts;
mod acts;
mod handset;
mod protocol;
mod sms;

use store::{Migration, Row, Store, StoreError};

use crate::error::IdentityError;

pub(crate) use accounts::{Event, StoredPasskey};
pub(crate) use handset::HandsetMessage;
pub(crate) use protocol::{Flow, NewCode, Redeemed, RedeemedCode, Step};
pub(crate) use sms::{SmsCheck, SmsMessage, SmsSent};

/// The queue of outgoing messages.
const SMS_QUEUE: &str = "sms";

/// The tables of this crate.
pub(crate) fn migrations() -> Vec<Migration> {
    vec![
        Migration {
            room: "identity",
            number: 1,
            name: "accounts",
            sql: include_str!("../../migrations/0001_accounts.sql"),
        },
        Migration {
            room: "identity",
            number: 2,
            name: "protocol",
            sql: include_str!("../../migrations/0002_protocol.sql"),
        },
        Migration { room: "identity", number: 3, name: "acts", sql: include_str!("../../migrations/0003_acts.sql") },
    ]
}

/// The tables behind their calls.
#[derive(Clone, Debug)]
pub(crate) struct Tables {
    store: Store,
}

impl Tables {
    pub(crate) const fn new(store: Store) -> Self {
        Self { store }
    }

    /// Keyed digest of a value for one purpose.
    pub(crate) fn mac(&self, purpose: &'static str, value: &[u8]) -> Vec<u8> {
        self.store.sealer().blind_index("identity", purpose, value)
    }
}

/// Reads a column that holds JSON of this crate.
fn json<T: serde::de::DeserializeOwned>(row: &Row, table: &'static str, column: &str) -> Result<T, IdentityError> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| IdentityError::Row { table, reason: format!("{column}: {error}") })
}

/// Writes a value of this crate as JSON.
fn to_json<T: serde::Serialize>(table: &'static str, value: &T) -> Result<String, IdentityError> {
    serde_json::to_string(value).map_err(|error| IdentityError::Row { table, reason: error.to_string() })
}

/// Opens a sealed column as text.
fn open_text(
    sealer: &store::Sealer,
    table: &'static str,
    column: &str,
    row: &str,
    sealed: &[u8],
) -> Result<String, IdentityError> {
    let plain = sealer.open(table, column, row, sealed)?;
    String::from_utf8(plain).map_err(|_| IdentityError::Row { table, reason: format!("{column} is not UTF-8") })
}

/// Whether a failed insert met an existing key.
fn is_taken(error: &StoreError) -> bool {
    matches!(error, StoreError::Unique { .. })
}
