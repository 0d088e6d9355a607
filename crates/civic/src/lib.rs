//! The words of the State: identifiers, people, purposes, money, time.
//!
//! Values only. Nothing here reads a clock, draws a random number, opens a file or logs: [`Clock`] and
//! [`Random`] are traits whose implementations stand in the roof of the house (`baobab`) and, for tests,
//! behind the `testing` feature. Every other crate may use this one; it uses none of them.
//!
//! ```
//! use civic::{ClientId, ServiceId};
//! let bank: ClientId = "BB/COM/2001/credit".parse().unwrap();
//! let income: ServiceId = "BB/GOV/1002/fisc/income-statement".parse().unwrap();
//! assert_eq!(bank.member().code(), "2001");
//! assert_eq!(income.client().to_string(), "BB/GOV/1002/fisc");
//! ```

mod access;
mod clock;
mod locale;
mod money;
mod person;
mod random;
mod xroad_id;

#[cfg(feature = "testing")]
pub mod testing;

pub use access::{Actor, LegalBasis, Purpose};
pub use clock::{Clock, SharedClock, Timestamp, TimestampError};
pub use locale::Locale;
pub use money::{Currency, Money};
pub use person::{NationalNumber, PersonId, PersonIdError};
pub use random::{Random, SharedRandom, random_array, random_hex, random_uuid, time_uuid};
pub use xroad_id::{ClientId, IdError, MemberId, ServerId, ServiceId};
