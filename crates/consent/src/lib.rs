//! Consent: may this be read, who looked, and what citizens allowed.
//!
//! Two roles. In every organisation [`Consent`] decides about each access to personal data and writes the access journal;
//! the yes is a [`Permit`], which nobody else can make and without which no store function of a room reads. At the agency
//! [`Grants`] keeps what citizens allowed, counts each use, and signs for each message a proof of use that the provider's
//! node and information system verify.
//!
//! # What holds
//! - Every decision, yes or no, is durably written down before the answer; no journal, no data.
//! - A grant is used at most as often as the citizen said, whoever asks at the same time; one message counts once.
//! - A proof of use opens one door once: a provider never serves the same proof twice.
//! - A grant can be seen and withdrawn by its own citizen only. For others it does not exist.
//! - Each event of a grant is committed to the ledger with a salt, through an outbox that survives any crash; with the
//!   salt the citizen proves the record, without it the ledger says nothing.
//! - National numbers are sealed to their row and found by a keyed fingerprint.
//!
//! # Whom we trust
//! Whoever can write the database can hide entries of the access journal (events of grants are in the ledger too).
//! Whoever holds the key ring can read it. Whoever holds the consent service's signing key can make proofs of use, which
//! open every service that rests on consent. A provider's node is believed about which client signed a message.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use std::sync::Arc; use civic::testing::{SeededRandom, TestClock};
//! # let (clock, random) = (Arc::new(TestClock::at("2026-11-21T22:40:00Z")), Arc::new(SeededRandom::new(1)));
//! use consent::{Consent, LawfulService, Paging, testing};
//! let laws = vec![LawfulService { service: "BB/GOV/1001/etat-civil/person".parse()?, clients: None,
//!     reference: "Code civil, art. 34".into(), fields: vec!["names".into()] }];
//! let config = testing::TestIssuer::new()?.config("BB/GOV/1001/etat-civil", laws)?;
//! let consent = Consent::open(store::testing::sqlite().await, config, clock, random).await?;
//! let awa = "2K05201200108".parse()?;
//! let request = testing::by_law("BB/GOV/1002/fisc", "BB/GOV/1001/etat-civil/person", &awa, &["names"], "Code civil, art. 34")?;
//! let permit = consent.decide(request).await?;
//! assert!(permit.allows_field("names"));
//! assert_eq!(consent.journal(&awa, Paging::first(10)).await?.entries[0].id, permit.journal_id());
//! # Ok(()) }
//! ```

mod access;
mod commitments;
mod consent;
mod event;
mod grant;
mod grants;
pub mod http;
mod journal;
mod proof;
mod store;
#[cfg(feature = "testing")]
pub mod testing;

pub use access::{AccessRequest, Basis, ConsentConfig, FIELDS_MAX, LawfulService, Permit, Refusal};
pub use consent::Consent;
pub use event::{EventKind, EventProof, EventRecord, EventRequest, EventTerms, GrantEvent};
pub use grant::{
    GRANT_DAYS_MAX, GRANT_FIELDS_MAX, GRANT_USES_MAX, GRANT_YEARS_MAX, Grant, GrantError, GrantRefusal, GrantState,
    GrantStatus, GrantUse, GrantUseRequest, NewGrant, UseError,
};
pub use grants::{Grants, GrantsConfig};
pub use journal::{JournalEntry, JournalPage, Outcome, Paging};
pub use proof::{GRANT_USE_TYP, GrantUseClaims, USE_REQUEST_TYP, UseRequestClaims};
