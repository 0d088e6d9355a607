//! Tests of the notary over HTTP, on both engines.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod api;
mod strangers;
mod tokens;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use civic::testing::{SeededRandom, TestClock};
use civic::{SharedClock, SharedRandom};
use http::{Request, StatusCode};
use identity::AccessTokenVerifier;
use ledger::testing::{NOW, ServedLedger, served_on};
use notary::{Notary, NotaryConfig};
use serde_json::Value;
use store::Store;
use trust::digest::sha256;
use trust::jose::Jwks;
use trust::keys::SigningKey;
use trust::note::policy::Policy;
use web::Text;

/// A notary with its log and two clients.
struct Office {
    notary: Notary,
    log: ServedLedger,
    policy: Policy,
    router: Router,
    /// The key of the identity provider whose tokens are believed.
    issuer: SigningKey,
    awa: String,
    bank: String,
}

impl Office {
    async fn open(store: &Store) -> Self {
        let clock: SharedClock = Arc::new(TestClock::at(NOW));
        let random: SharedRandom = Arc::new(SeededRandom::new(41));
        let log = served_on(store::testing::sqlite().await, Arc::clone(&clock), &["notary"]).await;
        let policy = Policy::log_only(log.ledger.verifier());
        let issuer = SigningKey::generate_p256().unwrap();
        let keys = Jwks::of([issuer.public()]).unwrap();
        let tokens =
            Some((AccessTokenVerifier::new(tokens::ISSUER.to_owned(), keys), tokens::AUDIENCE.parse().unwrap()));
        let config = NotaryConfig {
            organisation: Text::name("Agence"),
            public_url: "http://localhost:1".to_owned(),
            key: SigningKey::generate_p256().unwrap(),
            policy: policy.clone(),
            tokens,
        };
        let notary = Notary::open(store.clone(), log.client("notary"), config, clock, random).await.unwrap();
        let (awa, bank) = (notary.add_key("Awa SARL").await.unwrap().key, notary.add_key("Banque").await.unwrap().key);
        let router = notary.room().unwrap().router;
        Self { notary, log, policy, router, issuer, awa, bank }
    }

    /// An answer: status, headers as text, body.
    async fn ask(&self, method: &str, path: &str, key: &str, body: &str) -> (StatusCode, http::HeaderMap, String) {
        use tower::ServiceExt as _;
        let mut request = Request::builder().method(method).uri(path);
        if !key.is_empty() {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let answer = self.router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
        let (head, body) = answer.into_parts();
        let body = axum::body::to_bytes(body, 1 << 24).await.unwrap();
        (head.status, head.headers, String::from_utf8(body.into()).unwrap())
    }

    async fn json(&self, method: &str, path: &str, key: &str, body: &str) -> (StatusCode, Value) {
        let (status, _, body) = self.ask(method, path, key, body).await;
        (status, serde_json::from_str(&body).unwrap())
    }
}

fn digest(document: &str) -> String {
    hex::encode(sha256(document.as_bytes()))
}
