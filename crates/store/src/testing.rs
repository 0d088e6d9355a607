//! Fresh stores for tests, on every engine at hand.
//!
//! ```no_run
//! # async fn example() {
//! for store in store::testing::engines().await {
//!     // the same case on SQLite and, where `cargo xtask test` started one, on PostgreSQL
//! }
//! # }
//! ```

mod moto;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use civic::SharedRandom;
use civic::testing::SeededRandom;
use trust::seal::KeyRing;

use crate::{Location, Store};

pub use moto::{Moto, python_with};

/// Names a PostgreSQL database in which tests may create schemas; `cargo xtask test` sets it.
pub const POSTGRES_VARIABLE: &str = "BAOBAB_TEST_POSTGRES";

/// A fresh, empty store on every engine at hand: SQLite always, PostgreSQL where [`POSTGRES_VARIABLE`] names one.
pub async fn engines() -> Vec<Store> {
    let mut stores = vec![sqlite().await];
    if let Some(location) = postgres_location() {
        stores.push(open(&location).await);
    }
    stores
}

/// A fresh, empty store on SQLite; its folder goes away with it.
pub async fn sqlite() -> Store {
    let folder = tempfile::tempdir().unwrap_or_else(|error| stop(&format!("no temporary folder: {error}")));
    let location = Location::Sqlite(folder.path().join("test.db"));
    Store::open_guarded(&location, keys(), random(), Some(Box::new(folder)))
        .await
        .unwrap_or_else(|error| stop(&error.to_string()))
}

/// A store in this folder, which stays: for tests that open it a second time.
pub async fn sqlite_in(folder: &Path) -> Store {
    open(&Location::Sqlite(folder.join("test.db"))).await
}

/// A store at this place, with the key ring and randomness of the tests.
pub async fn open(location: &Location) -> Store {
    Store::open(location, keys(), random()).await.unwrap_or_else(|error| stop(&error.to_string()))
}

/// A place for a fresh schema in the PostgreSQL of the tests; `None` where there is none.
pub fn postgres_location() -> Option<Location> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    #[expect(clippy::disallowed_methods, reason = "the one door through which `cargo xtask test` names the database")]
    let url = std::env::var(POSTGRES_VARIABLE).ok().filter(|url| !url.is_empty())?;
    let folder = tempfile::Builder::new().prefix("").rand_bytes(12).tempdir().ok()?;
    let unique = folder.path().file_name()?.to_str()?.to_ascii_lowercase();
    let number = NEXT.fetch_add(1, Ordering::SeqCst);
    Some(Location::Postgres { url, schema: Some(format!("t{}_{number}_{unique}", std::process::id())) })
}

/// The key ring of the tests: always the same, never for real data.
pub fn keys() -> KeyRing {
    KeyRing::generate(&SeededRandom::new(1))
}

/// Repeatable randomness.
pub fn random() -> SharedRandom {
    Arc::new(SeededRandom::new(2))
}

#[expect(clippy::panic, reason = "a test without its store has nothing to say")]
fn stop(reason: &str) -> ! {
    panic!("the store of this test: {reason}")
}
