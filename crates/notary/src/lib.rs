//! A notary: companies and offices hand in the digest of a document and get proof that it existed then, unchanged since.
//!
//! # What holds
//! - A promise is answered once the registration is durable; it says what was taken, when, and until when it will be in the log.
//! - The log sees a salted commitment over the record (digest, client, moment). Who has the file and the proof, which carries
//!   record and salt, verifies everything offline; erasing the salt erases the link for ever.
//! - The same digest from the same client gets the same answer.
//! - The page that checks a file computes in the browser; it may not send anything (its content security policy says so).
//!
//! # Whom we trust
//! For the moment: the clock of the notary, and from the checkpoint on the clocks of the witnesses. Whoever can write the tables
//! can take registrations away, but the entries and proofs that were given out stay. Whoever holds the key ring reads digests.
//! The notary does not see documents: it says nothing of their content, their author or their lawfulness.

mod error;
mod http;
mod limits;
mod registration;
mod store;

use std::sync::Arc;
use std::time::Duration;

use ::store::Store;
use civic::{ClientId, SharedClock, SharedRandom, random_array, random_hex};
use identity::AccessTokenVerifier;
use ledger::{LedgerClient, Outbox};
use trust::digest::sha256;
use trust::jose::{Jwk, Jwks};
use trust::keys::SigningKey;
use trust::note::policy::Policy;
use web::{Card, Failure, HealthCheck, Job, Room, Text};

pub use error::NotaryError;
pub use http::{ROUTES, Reach};
pub use registration::{BATCH_MAX, Registration};
pub use store::ApiKey;

use limits::Limits;

/// The pause between two deliveries to the log.
const DELIVERY: Duration = Duration::from_millis(300);

/// What a notary is told.
pub struct NotaryConfig {
    /// The organisation that answers for it.
    pub organisation: Text,
    /// The address that people and programs use, without a slash at the end.
    pub public_url: String,
    /// The key that signs promises, P-256 or Ed25519.
    pub key: SigningKey,
    /// The policy by which proofs are judged: the log and the quorum of its witnesses.
    pub policy: Policy,
    /// Whose access tokens open the notary, and for which audience; `None`: API keys only. A token needs the scope `notary`.
    pub tokens: Option<(AccessTokenVerifier, ClientId)>,
}

/// A notary. Clones share it.
#[derive(Clone)]
pub struct Notary {
    inner: Arc<Inner>,
}

struct Inner {
    config: NotaryConfig,
    jwk: Jwk,
    store: Store,
    outbox: Outbox,
    limits: Limits,
    clock: SharedClock,
    random: SharedRandom,
}

/// A key that was just made. It is shown now and never again.
#[derive(Clone)]
pub struct NewKey {
    /// Its number.
    pub id: String,
    /// What the client sends as `Authorization: Bearer`.
    pub key: String,
}

impl Notary {
    /// Opens a notary on a store, its tables brought up to date. The client appends to the log of the policy.
    pub async fn open(
        store: Store,
        log: LedgerClient,
        config: NotaryConfig,
        clock: SharedClock,
        random: SharedRandom,
    ) -> Result<Self, NotaryError> {
        store.migrate(store::MIGRATIONS).await?;
        let outbox = Outbox::open(store.clone(), log).await?;
        let jwk = Jwk::of(config.key.public())?;
        let inner = Inner { config, jwk, store, outbox, limits: Limits::default(), clock, random };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Registers digests for a client: in their order, each new or as it was answered before.
    pub async fn register(&self, client: &str, digests: &[[u8; 32]]) -> Result<Vec<Registration>, NotaryError> {
        let inner = &self.inner;
        let (now, url) = (inner.clock.now(), inner.config.public_url.as_str());
        inner.limits.take(client, digests.len(), now)?;
        let origin = inner.outbox.log().verifier().name().to_owned();
        let drafts: Result<Vec<_>, _> = digests
            .iter()
            .map(|digest| {
                let draft = registration::Draft::of(digest, client, now, inner.random.as_ref());
                draft.promised(&inner.config.key, &inner.jwk, url, &origin)
            })
            .collect();
        let (drafts, client) = (drafts?, client.to_owned());
        inner.store.tx("notary.register", move |tx| store::register(tx, &client, &drafts)).await
    }

    /// A registration of this client.
    pub async fn find(&self, client: &str, id: &str) -> Result<Registration, NotaryError> {
        let (client, id) = (client.to_owned(), id.to_owned());
        let found = self.inner.store.read("notary.find", move |tx| store::find(tx, &client, &id)).await?;
        found.ok_or(NotaryError::Unknown)
    }

    /// The registrations of this client, newest first: a slice of them, and how many there are.
    pub async fn list(&self, client: &str, offset: u32, limit: u32) -> Result<(Vec<Registration>, u64), NotaryError> {
        let client = client.to_owned();
        self.inner.store.read("notary.list", move |tx| store::list(tx, &client, offset, limit)).await
    }

    /// The proof of a registration (C2SP tlog-proof, with record and salt in its `extra` line). [`NotaryError::Waiting`] until the log
    /// has the entry and, unless told otherwise, a quorum of witnesses has cosigned.
    pub async fn proof(&self, client: &str, id: &str, without_quorum: bool) -> Result<String, NotaryError> {
        let record = self.find(client, id).await?.record.ok_or(NotaryError::Erased)?;
        let proof = self.inner.outbox.proof(store::KIND, id, &record).await?;
        let opened = trust::note::Opening::verify(&proof, &self.inner.config.policy).map_err(NotaryError::Proof)?;
        if opened.verdict.quorum || without_quorum { Ok(proof) } else { Err(NotaryError::Waiting) }
    }

    /// Erases digest, promise and salt. The entry stays in the log, and nobody can say any more what it stood for, but who kept the proof.
    pub async fn erase(&self, client: &str, id: &str) -> Result<(), NotaryError> {
        let (client, id) = (client.to_owned(), id.to_owned());
        let erased = self.inner.store.tx("notary.erase", move |tx| store::erase(tx, &client, &id)).await?;
        if erased { Ok(()) } else { Err(NotaryError::Unknown) }
    }

    /// Makes an API key for a client; the name stands in its records.
    pub async fn add_key(&self, client: &str) -> Result<NewKey, NotaryError> {
        add_key(&self.inner.store, client, &self.inner.clock, &self.inner.random).await
    }

    /// Brings what waits to the log; how many entries it took.
    pub async fn deliver(&self) -> Result<u64, NotaryError> {
        Ok(self.inner.outbox.send().await?)
    }

    /// The public key of promises.
    pub fn jwks(&self) -> Jwks {
        let mut keys = Jwks::default();
        keys.push(self.inner.jwk.clone());
        keys
    }

    /// The room: pages, API, the job that delivers to the log, a card for the portal, health.
    pub fn room(&self) -> Result<Room, NotaryError> {
        let mut room = Room::new("notary", http::router(self)?);
        let (delivers, asked) = (self.clone(), self.clone());
        room.jobs = vec![Job::new("notary.deliver", DELIVERY, move || {
            let notary = delivers.clone();
            async move { notary.deliver().await.map(drop).map_err(Failure::from) }
        })];
        room.health = vec![HealthCheck::noting("notary", move || {
            let notary = asked.clone();
            async move {
                let waiting = notary.inner.outbox.waiting().await?;
                let late =
                    waiting.oldest.is_some_and(|oldest| oldest.plus(registration::DUE) < notary.inner.clock.now());
                Ok(late.then(|| format!("{} registrations are later in the log than was promised", waiting.count)))
            }
        })];
        room.cards = vec![self.card()];
        Ok(room)
    }

    /// What the portal shows of the notary.
    pub fn card(&self) -> Card {
        Card {
            title: Text::new("Vérifier un document", "Check a document"),
            text: Text::new(
                "Déposez un fichier et sa preuve : votre navigateur dit si le document existait et n’a pas changé. Le fichier ne le quitte pas.",
                "Drop a file and its proof: your browser says whether the document existed and has not changed. The file does not leave it.",
            ),
            href: self.inner.config.public_url.clone(),
        }
    }
}

/// Makes an API key from the command line. The notary may run or not.
pub async fn add_key(
    store: &Store,
    client: &str,
    clock: &SharedClock,
    random: &SharedRandom,
) -> Result<NewKey, NotaryError> {
    store.migrate(store::MIGRATIONS).await?;
    let fits = !client.is_empty() && client.chars().count() <= 120 && !client.chars().any(char::is_control);
    if !fits {
        return Err(NotaryError::ClientName);
    }
    let id = random_hex::<4>(random.as_ref());
    let key = format!("notary-{id}-{}", hex::encode(random_array::<32>(random.as_ref())));
    let kept = ApiKey { id: id.clone(), client: client.to_owned(), created_at: clock.now(), revoked_at: None };
    let digest = sha256(key.as_bytes());
    store.tx("notary.add_key", move |tx| store::add_key(tx, &kept, &digest)).await?;
    Ok(NewKey { id, key })
}

/// The API keys, revoked ones included, oldest first.
pub async fn keys(store: &Store) -> Result<Vec<ApiKey>, NotaryError> {
    store.migrate(store::MIGRATIONS).await?;
    store.read("notary.keys", store::keys).await
}

/// Revokes an API key: from now on it opens nothing.
pub async fn revoke_key(store: &Store, id: &str, clock: &SharedClock) -> Result<(), NotaryError> {
    store.migrate(store::MIGRATIONS).await?;
    let (id, now) = (id.to_owned(), clock.now());
    let revoked = store.tx("notary.revoke_key", move |tx| store::revoke_key(tx, &id, now)).await?;
    if revoked { Ok(()) } else { Err(NotaryError::Unknown) }
}
