//! The population register and its information system, behind the civil-status office's node on the bridge.
//!
//! Two services: `communes` (public reference data) and `person` (one person by national number, under a law). The
//! people are made up by [`population::generate`]; nobody in them exists.
//!
//! # What holds
//! - A person is read only with a [`consent::Permit`], whose making wrote the access journal; also a look-up that finds
//!   nobody is journaled.
//! - Nothing personal stands in clear in the database: the record is sealed to its row, the national number is a blind
//!   index.
//! - Only the fields that the permit names are answered.
//!
//! # Whom we trust
//! The service listens on the loopback of its own node and takes the headers `X-Road-Client` and `X-Road-Id` from it:
//! whoever can reach the port can pretend to be any organisation, and is written to the journal under that name.
//!
//! ```
//! use civil::population;
//! let register = population::generate(2026, 100);
//! assert_eq!(register.samples()[0].display_name(), "Awa Ndiaye");
//! assert_eq!(register, population::generate(2026, 100));
//! ```

mod commune;
mod communes;
mod error;
mod http;
pub mod person;
pub mod population;
mod store;

use civic::{Purpose, ServiceId};
use consent::{Consent, LawfulService};

pub use commune::{Commune, Country};
pub use error::CivilError;
pub use http::{COMMUNES_OPENAPI, PERSON_OPENAPI, communes};
pub use store::{count, seed};

/// Under which law the service `person` answers.
#[derive(Clone, Debug)]
pub struct PersonAccess {
    /// The service on the bridge.
    pub service: ServiceId,
    /// The text and article, as citizens read it.
    pub law: String,
    /// What organisations look people up for.
    pub purpose: Purpose,
}

impl PersonAccess {
    /// The same law as `consent` wants it declared: every field of the service, for whoever may call it on the bridge.
    pub fn declared(&self) -> LawfulService {
        LawfulService {
            service: self.service.clone(),
            reference: self.law.clone(),
            fields: person::FIELDS.map(str::to_owned).to_vec(),
            clients: None,
        }
    }
}

/// The information system of the civil-status office, its tables brought up to date. `consent` must have been opened
/// with the law of [`PersonAccess::declared`].
pub async fn room(store: ::store::Store, consent: Consent, access: PersonAccess) -> Result<web::Room, CivilError> {
    store.migrate(&store::MIGRATIONS).await?;
    let desk = http::Desk { store: store.clone(), consent, access };
    let mut room = web::Room::new("civil", http::communes().merge(http::person(desk)));
    room.health = vec![web::HealthCheck::new("civil-store", move || {
        let store = store.clone();
        async move { Ok(store.health().await?) }
    })];
    Ok(room)
}
