//! Durable storage: named transactions, group commit, migrations, sealed columns, queues.
//!
//! One concrete [`Store`] over two engines that it hides: SQLite, embedded (the default), and PostgreSQL, for several
//! replicas. Rooms write SQL once, in the tongue both share.
//!
//! # What holds
//! - An `Ok` from [`Store::tx`] or [`Store::append`] means durable: the commit reached the disk (fsync) before it.
//!   An error means nothing was stored, except [`StoreError::OutcomeUnknown`], which says so.
//! - Transactions behave as if one ran after the other, on both engines. Their closures may run more than once.
//! - A failed statement ends its transaction, on both engines, and never touches a neighbour in the same commit.
//! - After a failed sync nothing is written any more ([`StoreError::Broken`]); a second sync would report success for
//!   pages that the kernel has dropped.
//! - No parameter value appears in an error, a log line or a metric.
//!
//! # Whom we trust
//! Whoever can write the database can delete and roll back (the ledger shows it), but neither read nor forge a sealed
//! column. Whoever holds the [`trust::seal::KeyRing`] reads all sealed columns. The PostgreSQL link is not encrypted:
//! use a Unix socket or a private network.
//!
//! # SQL both engines share
//! `$1` placeholders; `{int}`, `{bytes}`, `TEXT` in migrations; `ON CONFLICT`, `RETURNING` (with [`Tx::query`]), CTEs,
//! window functions, partial indexes. Times are integer microseconds; ids and time come from Rust. A bare parameter
//! in a SELECT list needs `CAST($1 AS BIGINT)`. Backslashes, `now()`, `random()`, sequences, triggers: no.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), store::StoreError> {
//! # let store = store::testing::sqlite().await;
//! use store::{Migration, params};
//! const TABLES: Migration = Migration { room: "fisc", number: 1, name: "accounts",
//!     sql: "CREATE TABLE fisc_account (id TEXT PRIMARY KEY, cents {int} NOT NULL);" };
//! store.migrate(&[TABLES]).await?;
//! let cents: i64 = store.tx("fisc.pay_in", |tx| {
//!     tx.execute("INSERT INTO fisc_account (id, cents) VALUES ($1, $2)", &params!["a-1", 500])?;
//!     tx.query_one("SELECT SUM(cents) AS total FROM fisc_account", &[])?.map_or(Ok(0), |row| row.get("total"))
//! }).await?;
//! assert_eq!(cents, 500);
//! # Ok(()) }
//! ```

mod append;
pub mod bucket;
mod error;
mod job;
mod location;
mod metrics;
mod migrate;
mod pg;
mod pg_value;
pub mod queue;
mod seal;
mod sqlite;
#[cfg(feature = "testing")]
pub mod testing;
mod tx;
mod value;

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use civic::SharedRandom;
use prometheus_client::registry::Registry;
use trust::seal::KeyRing;

use crate::append::AppendJob;
use crate::job::Closure;
use crate::metrics::Metrics;

pub use append::{AppendTable, ColumnKind};
pub use error::StoreError;
pub use location::Location;
pub use metrics::{Stats, example_metrics};
pub use migrate::Migration;
pub use seal::Sealer;
pub use tx::Tx;
pub use value::{FromValue, Row, Value};

/// A handle on the storage of one organisation. Clones share it; the last one to go lets the waiting jobs end.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    sealer: Sealer,
    metrics: Metrics,
    location: Location,
    /// The folder of a test goes away with the last handle.
    _guard: Option<Box<dyn Any + Send + Sync>>,
}

enum Engine {
    Sqlite(sqlite::Engine),
    Postgres(pg::Engine),
}

impl Store {
    /// Opens the storage, creating what is missing, and brings the store's own tables up to date.
    pub async fn open(location: &Location, keys: KeyRing, random: SharedRandom) -> Result<Self, StoreError> {
        Self::open_guarded(location, keys, random, None).await
    }

    /// Opens storage that exists, to look at it only: nothing is created, migrated or changed, and every write is refused
    /// with [`StoreError::Closed`].
    pub async fn open_to_read(location: &Location, keys: KeyRing, random: SharedRandom) -> Result<Self, StoreError> {
        Self::opened(location, keys, random, None, true).await
    }

    async fn open_guarded(
        location: &Location,
        keys: KeyRing,
        random: SharedRandom,
        guard: Option<Box<dyn Any + Send + Sync>>,
    ) -> Result<Self, StoreError> {
        let store = Self::opened(location, keys, random, guard, false).await?;
        migrate::prepare(&store).await?;
        store.migrate(migrate::OWN).await?;
        Ok(store)
    }

    async fn opened(
        location: &Location,
        keys: KeyRing,
        random: SharedRandom,
        guard: Option<Box<dyn Any + Send + Sync>>,
        only_reads: bool,
    ) -> Result<Self, StoreError> {
        let location = location.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let sealer = Sealer::new(keys, Arc::clone(&random));
            let metrics = Metrics::new();
            let engine = match &location {
                // A file that is only read has no writer and no checkpoints: little is left in common.
                Location::Sqlite(path) if only_reads => Engine::Sqlite(sqlite::Engine::open_to_read(path, &sealer)?),
                Location::Sqlite(path) => Engine::Sqlite(sqlite::Engine::open(path, &sealer, &metrics)?),
                Location::Postgres { url, schema } => {
                    Engine::Postgres(pg::Engine::open(url, schema.as_deref(), &sealer, &metrics, &random, only_reads)?)
                }
            };
            Ok(Inner { engine, sealer, metrics, location, _guard: guard })
        });
        let inner = opened.await.map_err(|error| StoreError::Unavailable { reason: error.to_string() })??;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Applies the migrations that are new, in order. Idempotent. [`StoreError::Migration`] where one that was applied
    /// has another text now, or where the numbers have a gap.
    pub async fn migrate(&self, migrations: &[Migration]) -> Result<(), StoreError> {
        migrate::apply(self, migrations).await
    }

    /// Runs a closure as one transaction, durable when this returns `Ok`. An `Err` of the closure rolls back.
    ///
    /// `name` is `room.what_it_does`, for metrics and errors. The closure runs on a thread of the store, maybe more
    /// than once: it must have no other effect. Dropping the returned future does not undo it.
    pub async fn tx<T, E, F>(&self, name: &'static str, body: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let started = Instant::now();
        let (job, answer) = Closure::new(name, body);
        match &self.inner.engine {
            Engine::Sqlite(engine) => engine.write(Box::new(job)),
            Engine::Postgres(engine) => engine.write(Box::new(job)),
        }
        .map_err(|error| self.refused(error))?;
        let result = answer.await.unwrap_or_else(|_| Err(E::from(StoreError::Closed)));
        self.inner.metrics.took(name, started);
        result
    }

    /// Runs a closure that only reads, on one snapshot. Writing fails.
    pub async fn read<T, E, F>(&self, name: &'static str, body: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let started = Instant::now();
        let (job, answer) = Closure::new(name, body);
        match &self.inner.engine {
            Engine::Sqlite(engine) => engine.read(Box::new(job)),
            Engine::Postgres(engine) => engine.read(Box::new(job)),
        }
        .map_err(|error| self.refused(error))?;
        let result = answer.await.unwrap_or_else(|_| Err(E::from(StoreError::Closed)));
        self.inner.metrics.took(name, started);
        result
    }

    /// Adds rows to a table, together with whoever else waits, in one commit; all of these rows or none. Durable when
    /// this returns `Ok`. The hot path of the house.
    pub async fn append(&self, table: &'static AppendTable, rows: Vec<Vec<Value>>) -> Result<(), StoreError> {
        self.append_patiently(table, rows, Duration::ZERO, ()).await
    }

    /// The same, where the caller knows that others are on their way: it waits up to `patience` for them, so that one
    /// commit (and one flush of the disk) serves all. A job without patience ends the wait of everybody. `held` is dropped once the rows are
    /// on disk or will never be, before the answer, also where nobody waits for it any more.
    pub async fn append_patiently(
        &self,
        table: &'static AppendTable,
        rows: Vec<Vec<Value>>,
        patience: Duration,
        held: impl Send + 'static,
    ) -> Result<(), StoreError> {
        table.check(&rows)?;
        if rows.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let (job, answer) = AppendJob::new(table, rows, Box::new(held));
        match &self.inner.engine {
            Engine::Sqlite(engine) => engine.append(Box::new(job), patience),
            Engine::Postgres(engine) => engine.append(job, patience),
        }
        .map_err(|error| self.refused(error))?;
        let outcome = answer.await.unwrap_or(Err(StoreError::Closed));
        self.inner.metrics.took(table.name, started);
        outcome
    }

    /// Adds the store's metrics (`baobab_store_…`) to a registry.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.inner.metrics.register(registry);
    }

    /// What the store counted since it was opened.
    pub fn stats(&self) -> Stats {
        self.inner.metrics.stats()
    }

    /// Seals and opens columns.
    pub fn sealer(&self) -> &Sealer {
        &self.inner.sealer
    }

    /// Where the data are.
    pub fn location(&self) -> &Location {
        &self.inner.location
    }

    /// Refuses new jobs, serves those that wait, brings the write-ahead log into the database file.
    pub async fn close(&self) {
        let inner = Arc::clone(&self.inner);
        let closed = tokio::task::spawn_blocking(move || {
            inner.shut();
            match &inner.engine {
                Engine::Sqlite(engine) => engine.join(),
                Engine::Postgres(engine) => engine.join(),
            }
        });
        // The only error is a runtime that shuts down: then there is nobody left to tell.
        let _ = closed.await;
    }

    /// Whether the store can read, and still accepts writes.
    pub async fn health(&self) -> Result<(), StoreError> {
        if let Engine::Sqlite(engine) = &self.inner.engine {
            engine.health()?;
        }
        self.read("store.health", |tx| tx.query("SELECT 1 AS alive", &[]).map(drop)).await
    }

    /// What the engine finds wrong with its own files, at most twenty complaints. PostgreSQL says nothing here: its tool
    /// is `pg_amcheck`.
    pub async fn integrity(&self) -> Result<Vec<String>, StoreError> {
        if matches!(self.inner.engine, Engine::Postgres(_)) {
            return Ok(Vec::new());
        }
        let rows = self.read("store.integrity", |tx| tx.query("PRAGMA integrity_check(20)", &[])).await?;
        let said: Result<Vec<String>, StoreError> = rows.iter().map(|row| row.get("integrity_check")).collect();
        Ok(said?.into_iter().filter(|line| line != "ok").collect())
    }

    /// A job that did not even enter the line.
    fn refused(&self, error: StoreError) -> StoreError {
        self.inner.metrics.failures.inc();
        error
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Store({})", self.inner.location)
    }
}

impl Inner {
    fn shut(&self) {
        match &self.engine {
            Engine::Sqlite(engine) => engine.shut(),
            Engine::Postgres(engine) => engine.shut(),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shut();
    }
}
