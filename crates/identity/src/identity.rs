//! The handle of the provider: its parts, its opening, its bulk enrolment.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use civic::{PersonId, SharedClock, SharedRandom, random_array, random_hex};
use consent::Grants;
use store::Store;
use trust::digest::sha256;
use trust::jose::{Jwk, Jwks};
use trust::keys::SigningKey;
use trust::pin;
use web::Messages;
use web::session::{self, Sessions};

use crate::account::NewCitizen;
use crate::assurance::Acr;
use crate::browser::{Browser, session_config};
use crate::client::IdentityConfig;
use crate::error::IdentityError;
use crate::machine::Pace;
use crate::passkeys::Passkeys;
use crate::store::{Event, Tables, migrations};
use crate::token::AccessTokenVerifier;
use crate::words;

/// The OpenID provider of an organisation. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Identity {
    pub(crate) inner: Arc<Inner>,
    pub(crate) grants: Option<Grants>,
}

pub(crate) struct Inner {
    pub(crate) config: IdentityConfig,
    pub(crate) store: Store,
    pub(crate) tables: Tables,
    pub(crate) key: SigningKey,
    pub(crate) jwk: Jwk,
    pub(crate) keys: Jwks,
    pub(crate) passkeys: Passkeys,
    pub(crate) sessions: Sessions<Browser>,
    pub(crate) messages: Arc<Messages>,
    pub(crate) clock: SharedClock,
    pub(crate) random: SharedRandom,
    /// Tokens of clients that come by themselves.
    pub(crate) pace: Pace,
    /// A hash that no PIN fits: checked where there is no account, so that the answer takes as long.
    pub(crate) dummy_pin_hash: String,
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Identity").field("issuer", &self.inner.config.issuer).finish_non_exhaustive()
    }
}

impl Identity {
    /// Opens the provider on its store: checks the settings and brings the tables up to date. `key` signs the tokens (P-256).
    pub async fn open(
        store: Store,
        key: SigningKey,
        config: IdentityConfig,
        clock: SharedClock,
        random: SharedRandom,
    ) -> Result<Self, IdentityError> {
        config.check()?;
        store.migrate(&migrations()).await?;
        store.migrate(ledger::outbox::MIGRATIONS).await?;
        let jwk = Jwk::of(key.public()).map_err(|error| IdentityError::Sign(error.to_string()))?;
        let keys = Jwks::of([key.public()]).map_err(|error| IdentityError::Sign(error.to_string()))?;
        let passkeys = Passkeys::new(&config)?;
        store.migrate(&[session::migration()]).await?;
        let sessions = Sessions::new(store.clone(), session_config(&config), Arc::clone(&clock), Arc::clone(&random));
        let tables = Tables::new(store.clone());
        let dummy = random_hex::<16>(random.as_ref());
        let dummy_pin_hash = pin::hash(&dummy, &tables.mac("pepper", b"pin"), random.as_ref())
            .map_err(|error| IdentityError::Config(error.to_string()))?;
        let messages = Arc::new(words::load()?);
        let inner = Inner {
            config,
            store,
            tables,
            key,
            jwk,
            keys,
            passkeys,
            sessions,
            messages,
            clock,
            random,
            pace: Pace::default(),
            dummy_pin_hash,
        };
        Ok(Self { inner: Arc::new(inner), grants: None })
    }

    /// Records what citizens allow in this consent service, and serves its door for nodes beside the provider's own. Without one,
    /// requests with `authorization_details` are refused and the provider only lets people log in. Give it the same issuer and
    /// signing key as the provider, so that nodes trust one key set.
    #[must_use]
    pub fn with_grants(mut self, grants: Grants) -> Self {
        self.grants = Some(grants);
        self
    }

    /// Enrols citizens, a thousand a transaction: 10,000 take less than a second. Those who are enrolled already stay as they
    /// are; answers how many were new. Only the few with a PIN cost a slow hash each.
    pub async fn enrol(&self, citizens: Vec<NewCitizen>) -> Result<u64, IdentityError> {
        let mut rows = Vec::with_capacity(citizens.len());
        for citizen in citizens {
            let pin_hash = match citizen.pin.clone() {
                Some(pin) => Some(self.hash_pin(pin).await?),
                None => None,
            };
            rows.push((citizen, pin_hash));
        }
        self.inner.tables.enrol(rows, self.inner.clock.now()).await
    }

    /// The issuer URL.
    pub fn issuer(&self) -> &str {
        &self.inner.config.issuer
    }

    /// The public keys of the tokens, as published at `/jwks`.
    pub fn keys(&self) -> &Jwks {
        &self.inner.keys
    }

    /// What a node needs to check our access tokens.
    pub fn access_token_verifier(&self) -> AccessTokenVerifier {
        AccessTokenVerifier::new(self.inner.config.issuer.clone(), self.inner.keys.clone())
    }

    /// Forgets requests, flows, codes and attempts that are over. The job of [`Identity::room`] calls it every five minutes.
    pub async fn purge(&self) -> Result<(), IdentityError> {
        self.inner.tables.purge(self.inner.clock.now()).await
    }

    pub(crate) async fn hash_pin(&self, pin: String) -> Result<String, IdentityError> {
        let inner = Arc::clone(&self.inner);
        let hashed = tokio::task::spawn_blocking(move || {
            pin::hash(&pin, &inner.tables.mac("pepper", b"pin"), inner.random.as_ref())
        });
        let hashed = hashed.await.map_err(|error| IdentityError::Enrol(error.to_string()))?;
        hashed.map_err(|error| IdentityError::Enrol(error.to_string()))
    }

    /// Whether the PIN fits; takes as long without a stored hash as with one.
    pub(crate) async fn check_pin(&self, pin: String, stored: Option<String>) -> Result<bool, IdentityError> {
        let inner = Arc::clone(&self.inner);
        let checked = tokio::task::spawn_blocking(move || {
            let known = stored.is_some();
            let stored = stored.unwrap_or_else(|| inner.dummy_pin_hash.clone());
            pin::verify(&pin, &inner.tables.mac("pepper", b"pin"), &stored).map(|fits| fits && known)
        });
        let checked = checked.await.map_err(|error| IdentityError::Enrol(error.to_string()))?;
        checked.map_err(|error| IdentityError::Row { table: "identity_accounts", reason: error.to_string() })
    }

    pub(crate) fn event(
        &self,
        person: &PersonId,
        kind: &'static str,
        client_id: Option<&str>,
        acr: Option<Acr>,
    ) -> Event {
        Event {
            id: random_hex::<16>(self.inner.random.as_ref()),
            person: person.clone(),
            kind,
            client_id: client_id.map(str::to_owned),
            acr,
            key_id: None,
            salt: random_array(self.inner.random.as_ref()),
        }
    }

    /// A secret for a URL or cookie: 256 bits, and its digest for the table.
    pub(crate) fn secret(&self) -> (String, Vec<u8>) {
        let text = crate::encode(&random_array::<32>(self.inner.random.as_ref()));
        let digest = secret_hash(&text);
        (text, digest)
    }
}

/// How long a person has to go from the request to the answer.
pub(crate) const FLOW_LIFETIME: Duration = Duration::from_mins(30);

/// The digest by which a random secret is found again; the table alone does not reveal it.
pub(crate) fn secret_hash(secret: &str) -> Vec<u8> {
    sha256(secret.as_bytes()).to_vec()
}
