//! What the node offers and to whom, changeable while it runs: clients, descriptions of services, endpoints, rights, groups.
//!
//! The tables are the truth; [`Registry::current`] is a snapshot of them that exchanges ask without touching the database. A change is
//! checked, applied, written to the audit and committed to the ledger's outbox in one transaction, and is in force for the next exchange of this process. Other processes on
//! the same store (replicas) see it within the rhythm of [`Registry::refresh`], about a second.
//!
//! What the configuration of the node declares is put into the tables at every start and wins there: it cannot be changed or taken away by
//! other ways, and goes when it is no longer declared.
//!
//! Trusted: whoever can write these tables decides who may use the services of the organisation. The audit names who did; whoever rewrites
//! it later is contradicted by the ledger, and an operator proves each line to anybody ([`Registry::proof`]).

mod actions;
mod change;
mod model;
mod offer;
mod store;

pub use actions::ACTIONS;
pub use change::{Author, Change, NewService, RegistryError, ServicePatch};
pub use model::{
    ClientSettings, ClientStatus, Connection, ConnectionType, Description, GlobalGroupId, LocalGroup, LogMode,
    NumberedEndpoint, Right, Service, ServiceKind, Subject, TIMEOUT_MAX, UnknownWord,
};
pub use offer::Offer;
pub use store::AuditEntry;
pub(crate) use store::audit as write_audit;

use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use ::store::{Migration, Store};
use civic::{SharedClock, SharedRandom, random_array};
use ledger::Outbox;
use ledger::outbox::OutboxError;
use serde_json::{Value as Json, json};

use crate::config::NodeConfig;

/// The registry of one node.
pub struct Registry {
    store: Store,
    clock: SharedClock,
    random: SharedRandom,
    current: RwLock<Arc<Offer>>,
    follower: OnceLock<Follower>,
}

/// What is told of each new offer.
type Follower = Box<dyn Fn(&Offer) + Send + Sync>;

/// Why a line of the audit cannot be proved.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// The registry failed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The outbox or the ledger failed; [`OutboxError::Waiting`] passes by itself.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
}

/// The migration of the registry's tables.
pub(crate) const MIGRATION: Migration =
    Migration { room: "bridge", number: 2, name: "registry", sql: include_str!("../../migrations/0002_registry.sql") };

/// How often other processes' changes are looked for.
pub(crate) const RHYTHM: Duration = Duration::from_secs(1);

impl Registry {
    /// Opens the registry in a store that the message log has migrated, and puts in what the configuration declares.
    pub(crate) async fn open(
        store: Store,
        clock: SharedClock,
        random: SharedRandom,
        config: &NodeConfig,
    ) -> Result<Self, RegistryError> {
        let registry = Self { store, clock, random, current: RwLock::default(), follower: OnceLock::new() };
        registry.declare(config).await?;
        Ok(registry)
    }

    /// Puts in what a configuration declares, and takes out what one declared before.
    pub(crate) async fn declare(&self, config: &NodeConfig) -> Result<(), RegistryError> {
        let declared = store::Declared::of(config)?;
        let (salt, now) = (self.salt(), self.clock.now());
        self.store.tx("bridge.declare", move |tx| store::declare(tx, &declared, salt, now)).await?;
        self.refresh().await.map(drop)
    }

    /// What the node offers now. Keep it for one exchange, not longer.
    pub fn current(&self) -> Arc<Offer> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes over what others changed; whether there was anything.
    pub async fn refresh(&self) -> Result<bool, RegistryError> {
        let known = self.current().version;
        let rows = self.store.read("bridge.read_registry", move |tx| store::read_if_newer(tx, known)).await?;
        let Some(rows) = rows else { return Ok(false) };
        let offer = Arc::new(Offer::of(rows));
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        // Two refreshes may overtake each other.
        if offer.version > current.version {
            *current = offer;
            self.tell(&current);
        }
        Ok(true)
    }

    /// Tells the present offer now, and each new one before any exchange uses it: whatever keeps a part of the offer elsewhere follows
    /// every change so, whoever made it. There is one follower; others that come later are not heard.
    pub(crate) fn follow(&self, follower: impl Fn(&Offer) + Send + Sync + 'static) {
        // The lock keeps a change out that would fall in between.
        let current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let _ = self.follower.set(Box::new(follower));
        self.tell(&current);
    }

    fn tell(&self, offer: &Offer) {
        if let Some(follower) = self.follower.get() {
            follower(offer);
        }
    }

    /// Applies a change. Answers the number of what was made, where something with a number was. When it returns, the change is
    /// durable, audited and in force.
    pub async fn apply(&self, author: &Author, change: Change) -> Result<Option<i64>, RegistryError> {
        let numbers = self.apply_all(author, vec![change]).await?;
        Ok(numbers.into_iter().next().flatten())
    }

    /// Applies several changes, all or none.
    pub async fn apply_all(&self, author: &Author, changes: Vec<Change>) -> Result<Vec<Option<i64>>, RegistryError> {
        let (author, now) = (author.to_string(), self.clock.now());
        let salts: Vec<[u8; 32]> = changes.iter().map(|_| self.salt()).collect();
        let apply = move |tx: &mut ::store::Tx<'_>| store::apply(tx, &author, &changes, &salts, now);
        let numbers = self.store.tx("bridge.change_registry", apply).await?;
        self.refresh().await?;
        Ok(numbers)
    }

    /// Writes an action to the audit that changes no table of the registry.
    pub async fn audit(&self, author: &Author, action: &str, object: &str) -> Result<(), RegistryError> {
        self.audit_with(author, action, object, &json!({})).await
    }

    /// The same, with something to be said of it.
    pub(crate) async fn audit_with(
        &self,
        author: &Author,
        action: &str,
        object: &str,
        detail: &Json,
    ) -> Result<(), RegistryError> {
        let (author, action, object) = (author.to_string(), action.to_owned(), object.to_owned());
        let (detail, salt, now) = (detail.to_string(), self.salt(), self.clock.now());
        self.store
            .tx("bridge.audit", move |tx| store::audit(tx, &author, &action, &object, &detail, salt, now))
            .await?;
        Ok(())
    }

    /// The proof of a line of the audit (C2SP tlog-proof with record and salt), for `baobab verify --policy`.
    pub async fn proof(&self, outbox: &Outbox, id: i64) -> Result<String, ActError> {
        let entry = self.store.read("bridge.audit_entry", move |tx| store::audit_entry(tx, id)).await?;
        let entry = entry.ok_or(OutboxError::Unknown)?;
        Ok(outbox.proof(store::KIND, &store::key(id), &entry.record()).await?)
    }

    fn salt(&self) -> [u8; 32] {
        random_array(&*self.random)
    }

    /// The latest entries of the audit, newest first, at most 1,000.
    pub async fn audit_entries(&self, limit: u32) -> Result<Vec<AuditEntry>, RegistryError> {
        self.store.read("bridge.read_audit", move |tx| store::audit_entries(tx, limit.min(1_000))).await
    }
}
