//! The portal, spoken to over HTTP, with a node of the bridge and an identity provider played by the tests.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

mod accesses;
mod account;
mod grants;
mod login;
mod node;
mod pages;
mod strangers;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use civic::testing::{SeededRandom, TestClock};
use civic::{NationalNumber, PersonId, SharedClock, SharedRandom};
use consent::testing::TestIssuer;
use consent::{Consent, ConsentConfig, Grant, Grants};
use identity::AccountActs;
use identity::rp::{RelyingParty, RpConfig};
use ledger::Outbox;
use ledger::testing::ServedLedger;
use portal::{LedgerNotice, Parts, PortalConfig, Source};
use store::Store;
use trust::keys::SigningKey;
use trust::note::NoteSigner;
use web::testing::Browser;
use web::{Card, HttpClient, Text};

use crate::node::Node;

pub(crate) const AWA: &str = "2751198700421";
pub(crate) const MODOU: &str = "1751199000022";

/// A portal with everything around it.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) node: Node,
    pub(crate) consent: Consent,
    pub(crate) grants: Grants,
    pub(crate) log: NoteSigner,
    pub(crate) served: ServedLedger,
    pub(crate) outbox: Outbox,
    router: axum::Router,
    logins: AtomicU64,
}

impl World {
    /// On this store, with an identity provider at `issuer` (which need not be there).
    pub(crate) async fn on(store: Store, issuer: &str) -> Self {
        let clock = Arc::new(TestClock::at("2026-11-21T22:40:00Z"));
        let shared: SharedClock = Arc::clone(&clock) as SharedClock;
        let key = SigningKey::generate_p256().unwrap();
        let settings =
            ConsentConfig { organisation: "BB/GOV/1000/portal".parse().unwrap(), grant_issuer: None, laws: Vec::new() };
        let consent = Consent::open(store.clone(), settings, Arc::clone(&shared), random()).await.unwrap();
        let service = TestIssuer { issuer: issuer.to_owned(), key: key.clone() };
        let grants =
            consent::testing::grants(store.clone(), &service, &[], Arc::clone(&shared), random()).await.unwrap();
        let registration = RpConfig {
            issuer: issuer.to_owned(),
            client_id: "portal".to_owned(),
            redirect_uri: "http://localhost:8600/callback".to_owned(),
            key,
        };
        let party = RelyingParty::new(registration, HttpClient::default(), Arc::clone(&shared), random());
        let node = Node::start().await;
        let log = NoteSigner::new("ledger.test", SigningKey::generate_ed25519().unwrap()).unwrap();
        let ledger = LedgerNotice { url: "http://localhost:8605".to_owned(), vkey: log.verifier() };
        let served = ledger::testing::served(&["agency"]).await;
        let outbox = Outbox::open(store.clone(), served.client("agency")).await.unwrap();
        let parts = Parts {
            store: store.clone(),
            consent: consent.clone(),
            grants: grants.clone(),
            acts: AccountActs::open(store.clone(), outbox.clone()).await.unwrap(),
            party,
            clock: shared,
            random: random(),
            metrics: None,
        };
        let room = portal::portal(config(issuer, &node.url, ledger), parts).unwrap();
        store.migrate(&room.migrations).await.unwrap();
        Self {
            store,
            clock,
            node,
            consent,
            grants,
            log,
            served,
            outbox,
            router: room.router,
            logins: AtomicU64::new(0),
        }
    }

    /// On SQLite, without an identity provider.
    pub(crate) async fn new() -> Self {
        Self::on(store::testing::sqlite().await, "http://127.0.0.1:1").await
    }

    /// A browser nobody is logged in with.
    pub(crate) fn stranger(&self) -> Browser {
        Browser::new(self.router.clone())
    }

    /// A browser in which Awa is logged in.
    pub(crate) async fn awa(&self) -> Browser {
        self.citizen(AWA, 1, "Awa Ndiaye").await
    }

    /// A browser in which Modou is logged in.
    pub(crate) async fn modou(&self) -> Browser {
        self.citizen(MODOU, 2, "Modou Sarr").await
    }

    /// Awa chooses a PIN at the identity provider; the id of the act.
    pub(crate) async fn awa_chooses_pin(&self) -> String {
        let now = civic::Clock::now(self.clock.as_ref());
        let number = AWA.parse().unwrap();
        identity::testing::chose_pin(self.store.clone(), &person(1), &number, now).await.unwrap()
    }

    async fn citizen(&self, number: &str, seed: u64, name: &str) -> Browser {
        let clock: SharedClock = Arc::clone(&self.clock) as SharedClock;
        let login = self.logins.fetch_add(1, Ordering::SeqCst);
        let random: SharedRandom = Arc::new(SeededRandom::new(1_000 + login));
        let cookie =
            portal::testing::log_in(&self.store, clock, random, person(seed), number.parse().unwrap(), name).await;
        self.stranger().with_cookie(&cookie.unwrap())
    }

    /// Awa allows the bank to read her income.
    pub(crate) async fn grant(&self) -> Grant {
        let new = consent::testing::new_grant(person(1).as_str(), AWA, civic::Clock::now(self.clock.as_ref())).unwrap();
        self.grants.create(new).await.unwrap()
    }

    /// How many lines the access journal has about somebody.
    pub(crate) async fn journal(&self, number: &str) -> usize {
        let number: NationalNumber = number.parse().unwrap();
        self.consent.journal(&number, consent::Paging::first(100)).await.unwrap().entries.len()
    }
}

fn random() -> SharedRandom {
    Arc::new(SeededRandom::new(9))
}

fn person(seed: u64) -> PersonId {
    PersonId::draw(&SeededRandom::new(seed))
}

fn config(issuer: &str, node: &str, ledger: LedgerNotice) -> PortalConfig {
    let source = |id: &str, fr: &str, en: &str| Source { provider: id.parse().unwrap(), name: Text::new(fr, en) };
    PortalConfig {
        organisation: Text::new("Agence du numérique", "Digital agency"),
        public_url: "http://localhost:8600".to_owned(),
        issuer: issuer.to_owned(),
        client: "BB/GOV/1000/portal".parse().unwrap(),
        consumer_url: node.to_owned(),
        person_service: "BB/GOV/1001/etat-civil/person".parse().unwrap(),
        sources: vec![
            source("BB/GOV/1001/etat-civil", "État civil", "Civil status office"),
            source("BB/GOV/1002/fisc", "Impôts", "Tax office"),
        ],
        names: [
            ("BB/GOV/1000/portal", "Portail du citoyen", "Citizen portal"),
            ("BB/GOV/1001/etat-civil", "État civil", "Civil status office"),
            ("BB/COM/2001/credit", "Banque du Fleuve", "Banque du Fleuve"),
            ("BB/GOV/1002/fisc/income-statement", "Déclaration de revenus", "Income statement"),
        ]
        .map(|(id, fr, en)| (id.to_owned(), Text::new(fr, en)))
        .to_vec(),
        cards: vec![Card {
            title: Text::new("Simuler un prêt", "Try a loan"),
            text: Text::new("Page de la banque de démonstration.", "Page of the demo bank."),
            href: "http://localhost:8602/".to_owned(),
        }],
        ledger: Some(ledger),
        utc_offset_minutes: 0,
    }
}
