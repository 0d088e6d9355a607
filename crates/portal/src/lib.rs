//! The citizen's portal: my data, who looked at them, what I allowed.
//!
//! The portal owns no datum of a citizen. It asks over the bridge, as any organisation does, and shows what comes back;
//! grants live in the consent service of the same organisation, in the same process.
//!
//! Invariants
//! - Every page about a person stands behind a login at the identity provider and behind [`consent::Permit`]: the
//!   functions that read take one, and making it writes the access journal.
//! - A register that does not answer takes nothing away from the others; the page says who is missing.
//! - What the page says of a proof, it has computed; the citizen downloads the same bytes and can compute it too.
//! - Every page works without a script, in French and English, in less than 14 kB.
//!
//! Trusted: whoever holds the portal's client key can log citizens in to it; whoever can write its store can end
//! sessions. Neither can alter a record in a register, the grants' history or the ledger.
//!
//! ```no_run
//! # fn example(config: portal::PortalConfig, parts: portal::Parts) -> Result<(), Box<dyn std::error::Error>> {
//! let room = portal::portal(config, parts)?; // serve room.router, apply room.migrations, run room.jobs
//! assert_eq!(room.name, "portal");
//! # Ok(()) }
//! ```

pub mod access;
mod http;
pub mod person;
pub mod sources;
#[cfg(feature = "testing")]
pub mod testing;

use std::sync::Arc;

use civic::{ClientId, Locale, ServiceId, SharedClock, SharedRandom};
use consent::{Consent, Grants};
use identity::AccountActs;
use identity::rp::RelyingParty;
use store::Store;
use trust::note::VerifierKey;
use web::{Card, I18nError, Messages, Room, Text, WebMetrics};

pub use self::http::{ROUTES, Reach, Route};
pub use sources::Source;

/// What the portal is told about itself and its neighbours.
#[derive(Clone, Debug)]
pub struct PortalConfig {
    /// Who answers for the portal.
    pub organisation: Text,
    /// The address that people see: `http://localhost:8600`.
    pub public_url: String,
    /// The issuer URL of the identity provider: forms may lead there (logout).
    pub issuer: String,
    /// The portal's subsystem on the bridge: `BB/GOV/1000/portal`.
    pub client: ClientId,
    /// The consumer address of its own node: `http://127.0.0.1:8610`.
    pub consumer_url: String,
    /// The service of the population register: `BB/GOV/1001/etat-civil/person`.
    pub person_service: ServiceId,
    /// The registers that are asked who looked.
    pub sources: Vec<Source>,
    /// What people call subsystems and services, by their ids: `("BB/COM/2001/credit", …)`.
    pub names: Vec<(String, Text)>,
    /// Cards of other rooms, shown on the home page.
    pub cards: Vec<Card>,
    /// The address of the ledger and its verifier key, shown to those who check proofs.
    pub ledger: Option<LedgerNotice>,
    /// How far the country's time is from UTC, in minutes.
    pub utc_offset_minutes: i16,
}

/// Where the proofs of accesses can be checked.
#[derive(Clone, Debug)]
pub struct LedgerNotice {
    /// Its public address.
    pub url: String,
    /// Its verifier key (C2SP signed note).
    pub vkey: VerifierKey,
}

/// What the portal works with.
pub struct Parts {
    /// For its sessions.
    pub store: Store,
    /// Decides and journals every read.
    pub consent: Consent,
    /// What citizens allowed.
    pub grants: Grants,
    /// What was changed at the citizens' accounts.
    pub acts: AccountActs,
    /// Its registration at the identity provider.
    pub party: RelyingParty,
    /// The clock.
    pub clock: SharedClock,
    /// Unpredictable bytes.
    pub random: SharedRandom,
    /// Where request counts go.
    pub metrics: Option<WebMetrics>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// The words of the portal in every language.
pub fn messages() -> Result<Arc<Messages>, I18nError> {
    let files = [
        (Locale::Fr, include_str!("../../../translations/fr/portal.ftl")),
        (Locale::En, include_str!("../../../translations/en/portal.ftl")),
    ];
    Messages::load(&files).map(Arc::new)
}

/// Composes the room.
pub fn portal(config: PortalConfig, parts: Parts) -> Result<Room, I18nError> {
    Ok(http::room(config, parts, messages()?))
}
