//! The tax office: accounts, yearly income statements, and the service that shows them to whom the citizen allows.
//!
//! # What holds
//! - A statement is read only with a [`consent::Permit`], made from the proof of a use that the citizen granted and the
//!   consent service counted (header `Baobab-Grant-Use`); its making wrote the access journal.
//! - The call names no citizen: the proof does. Only the granted fields are answered, with year and currency.
//! - Amounts and employers are sealed to their row; the national number is a blind index.
//!
//! # Whom we trust
//! The service listens on the loopback of its own node and takes `X-Road-Client` and `X-Road-Id` from it. The proof does
//! not rest on that: it is signed by the consent service and names client, service and citizen.
//!
//! ```
//! use fisc::{Taxpayer, accounts};
//! let awa = Taxpayer { national_number: "2V02199100421".parse().unwrap(), birth_year: 1991, earner: true };
//! let account = accounts(2026, &[awa]).remove(0);
//! assert_eq!(account.statements.last().unwrap().year, 2025);
//! ```

mod accounts;
mod error;
mod http;
mod statement;
mod store;

use civic::ServiceId;
use consent::Consent;

pub use accounts::{Account, Taxpayer, accounts};
pub use error::FiscError;
pub use http::OPENAPI;
pub use statement::{FIELDS, Statement, YEARS};
pub use store::{count, seed};

/// The information system of the tax office, its tables brought up to date: `income-statement` answers as `service`.
pub async fn room(store: ::store::Store, consent: Consent, service: ServiceId) -> Result<web::Room, FiscError> {
    store.migrate(&store::MIGRATIONS).await?;
    let desk = http::Desk { store: store.clone(), consent, service };
    let mut room = web::Room::new("fisc", http::router(desk));
    room.health = vec![web::HealthCheck::new("fisc-store", move || {
        let store = store.clone();
        async move { Ok(store.health().await?) }
    })];
    Ok(room)
}
