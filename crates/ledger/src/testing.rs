//! A log served on a socket of its own, for tests.
//!
//! ```no_run
//! # async fn example() {
//! let served = ledger::testing::served(&["BB/COM/2001"]).await;
//! let indexes = served.client("BB/COM/2001").append(&[vec![1; 32]]).await.unwrap();
//! # }
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse as _;
use civic::SharedClock;
use civic::testing::TestClock;
use store::Store;
use trust::jose::Jwks;
use trust::keys::{PublicKey, SigningKey};

use crate::{Ledger, LedgerClient, Submitter, Submitters};

/// The moment that the clock of these tests shows.
pub const NOW: &str = "2026-11-21T22:40:00Z";

/// A log and where it is served; it is served until the runtime of the test ends.
pub struct ServedLedger {
    /// The log itself.
    pub ledger: Ledger,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    away: Arc<AtomicBool>,
    clock: SharedClock,
    submitters: Submitters,
    keys: BTreeMap<String, String>,
}

/// A fresh log on SQLite that these submitters may append to.
pub async fn served(submitters: &[&str]) -> ServedLedger {
    served_on(store::testing::sqlite().await, Arc::new(TestClock::at(NOW)), submitters).await
}

/// A log in this store, by this clock, that these submitters may append to.
pub async fn served_on(store: Store, clock: SharedClock, submitters: &[&str]) -> ServedLedger {
    let key = must(SigningKey::generate_ed25519(), "a key");
    let ledger = must(Ledger::open(store, key, "ledger.test/state", Arc::clone(&clock)).await, "the log");
    let allowed = Submitters::new();
    let mut keys = BTreeMap::new();
    for name in submitters {
        let key = must(SigningKey::generate_p256(), "a key");
        must(allowed.allow(*name, key.public()), "a submitter");
        keys.insert((*name).to_owned(), must(key.to_pkcs8_pem(), "a key"));
    }
    let listener = must(tokio::net::TcpListener::bind("127.0.0.1:0").await, "a port");
    let url = format!("http://{}", must(listener.local_addr(), "a port"));
    let away = Arc::new(AtomicBool::new(false));
    let is_away = Arc::clone(&away);
    let router =
        crate::http::router(ledger.clone(), allowed.clone()).layer(from_fn(move |request: Request, next: Next| {
            let is_away = is_away.load(Ordering::SeqCst);
            async move {
                if is_away { ::http::StatusCode::SERVICE_UNAVAILABLE.into_response() } else { next.run(request).await }
            }
        }));
    tokio::spawn(async move { axum::serve(listener, router).await });
    ServedLedger { ledger, url, away, clock, submitters: allowed, keys }
}

impl ServedLedger {
    /// Whether it answers nobody from now on, as if it were stopped.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// Registers a key of a submitter, beside those it has.
    pub fn allow(&self, submitter: &str, key: &PublicKey) {
        must(self.submitters.allow(submitter, key), "a submitter");
    }

    /// From now on a submitter has this key and no other.
    pub fn allow_only(&self, submitter: &str, key: &PublicKey) {
        self.submitters.set(submitter, must(Jwks::of([key]), "a key set"));
    }

    /// A client that appends by this name; a name that was not registered gets a key that the log does not know.
    pub fn client(&self, submitter: &str) -> LedgerClient {
        let key = match self.keys.get(submitter) {
            Some(pem) => SigningKey::from_pkcs8_pem(pem),
            None => SigningKey::generate_p256(),
        };
        let submitter = must(Submitter::new(submitter, must(key, "a key")), "a submitter");
        let client = LedgerClient::new(&self.url, self.ledger.verifier(), Some(submitter), Arc::clone(&self.clock));
        must(client, "a client")
    }
}

#[expect(clippy::panic, reason = "a test without its ledger has nothing to say")]
fn must<T, E: std::fmt::Display>(outcome: Result<T, E>, what: &str) -> T {
    outcome.unwrap_or_else(|error| panic!("{what} of this test is missing: {error}"))
}
