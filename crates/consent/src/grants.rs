use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use civic::{ClientId, NationalNumber, SharedClock, SharedRandom, Timestamp, random_uuid};
use ledger::{LedgerClient, Outbox};
use store::{Store, StoreError, Tx};
use trust::jose::{Jwks, jws_sign};
use trust::keys::SigningKey;

use crate::event::{EventKind, EventRecord, GrantEvent};
use crate::grant::{
    Grant, GrantError, GrantRefusal, GrantState, GrantStatus, GrantUse, GrantUseRequest, NewGrant, UseError,
};
use crate::proof::{GRANT_USE_TYP, GrantUseClaims};
use crate::store as rows;
use crate::store::events::{Drawn, OpenedEvent};

/// How long a proof of use opens: one message, with time for slow networks.
const PROOF_LIFETIME: Duration = Duration::from_mins(2);

/// Grants found past their end in one run of the job.
const EXPIRY_BATCH: u32 = 500;

/// Commitments of older programs that one transaction moves into the outbox.
const MOVED_AT_ONCE: u32 = 500;

const ID_BYTES_MAX: usize = 256;
const PATH_BYTES_MAX: usize = 4_096;

/// What the consent service runs by.
#[derive(Clone, Debug)]
pub struct GrantsConfig {
    /// Its issuer URL, as it stands in proofs and in the access tokens of the identity provider.
    pub issuer: String,
    /// The key that signs proofs of use; its public half is in the issuer's key set.
    pub key: SigningKey,
    /// The providers whose nodes may use grants, with the keys that their nodes sign requests with; [`Grants::know`] tells others.
    pub providers: Vec<(ClientId, Jwks)>,
    /// The ledger that every event is committed to.
    pub ledger: LedgerClient,
}

/// The grants of citizens, as the agency keeps them. Cheap to clone.
#[derive(Clone)]
pub struct Grants {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) config: GrantsConfig,
    /// Those of the configuration, until others are told.
    pub(crate) providers: RwLock<Vec<(ClientId, Jwks)>>,
    pub(crate) outbox: Outbox,
    pub(crate) clock: SharedClock,
    random: SharedRandom,
}

/// What became of a request to use a grant, once it is written down.
enum Used {
    Yes(Box<Grant>),
    No(GrantRefusal),
}

impl Grants {
    /// Opens the consent service on a store, creating its tables.
    pub async fn open(
        store: Store,
        config: GrantsConfig,
        clock: SharedClock,
        random: SharedRandom,
    ) -> Result<Self, StoreError> {
        store.migrate(&rows::ALL_MIGRATIONS).await?;
        let outbox = Outbox::open(store.clone(), config.ledger.clone()).await?;
        while store.tx("consent.move_to_outbox", |tx| rows::events::move_to_outbox(tx, MOVED_AT_ONCE)).await? > 0 {}
        let providers = RwLock::new(config.providers.clone());
        Ok(Self { inner: Arc::new(Inner { store, config, providers, outbox, clock, random }) })
    }

    /// From the next request on the nodes of these providers may use grants, with these keys and no others.
    pub fn know(&self, providers: Vec<(ClientId, Jwks)>) {
        *self.inner.providers.write().unwrap_or_else(PoisonError::into_inner) = providers;
    }

    /// The keys of a provider's node.
    pub(crate) fn keys_of(&self, provider: &ClientId) -> Option<Jwks> {
        let providers = self.inner.providers.read().unwrap_or_else(PoisonError::into_inner);
        providers.iter().find(|(known, _)| known == provider).map(|(_, keys)| keys.clone())
    }

    /// Writes down what a citizen allowed. The caller has shown the notice and got a yes.
    pub async fn create(&self, new: NewGrant) -> Result<Grant, GrantError> {
        new.check()?;
        let now = self.now();
        let grant = new.given(random_uuid(self.inner.random.as_ref()), now);
        let drawn = self.draw();
        self.inner
            .store
            .tx("consent.give", move |tx| {
                rows::grants::insert(tx, &grant)?;
                note(tx, &drawn, &EventRecord::of(&grant, EventKind::Given, now), &grant, now)?;
                Ok(grant.clone())
            })
            .await
    }

    /// The citizen withdraws. Only the person of the grant can: for anybody else it does not exist, and the attempt is
    /// written down.
    pub async fn revoke(&self, id: &str, subject: &NationalNumber) -> Result<Grant, GrantError> {
        let now = self.now();
        let (id, subject, drawn) = (cut(id), subject.clone(), self.draw());
        let outcome = self
            .inner
            .store
            .tx("consent.revoke", move |tx| {
                if let Some(grant) = rows::grants::find_of(tx, &id, &subject)? {
                    return Ok::<_, GrantError>(Some(revoked(tx, grant, "citizen", &drawn, now)?));
                }
                if let Some(grant) = rows::grants::find(tx, &id)? {
                    let record = EventRecord::of(&grant, EventKind::Refused, now).because("revoke_by_another_person");
                    note(tx, &drawn, &record, &grant, now)?;
                }
                Ok(None)
            })
            .await?;
        outcome.ok_or(GrantError::NotYours)
    }

    /// The house withdraws a grant whose authorization code came twice (RFC 6749 §4.1.2): somebody else may hold its tokens.
    pub async fn revoke_stolen(&self, id: &str) -> Result<Grant, GrantError> {
        let now = self.now();
        let (id, drawn) = (cut(id), self.draw());
        self.inner
            .store
            .tx("consent.revoke_stolen", move |tx| {
                let grant = rows::grants::find(tx, &id)?.ok_or(GrantError::NotYours)?;
                revoked(tx, grant, "authorization_code_reused", &drawn, now)
            })
            .await
    }

    /// The grants of a person, newest first.
    pub async fn of(&self, subject: &NationalNumber) -> Result<Vec<Grant>, GrantError> {
        let subject = subject.clone();
        self.inner.store.read("consent.grants_of", move |tx| Ok(rows::grants::list(tx, &subject)?)).await
    }

    /// One grant of a person.
    pub async fn get(&self, id: &str, subject: &NationalNumber) -> Result<Grant, GrantError> {
        let (id, subject) = (cut(id), subject.clone());
        self.inner
            .store
            .read("consent.grant", move |tx| rows::grants::find_of(tx, &id, &subject)?.ok_or(GrantError::NotYours))
            .await
    }

    /// What happened to a grant of a person, newest first.
    pub async fn events(&self, id: &str, subject: &NationalNumber) -> Result<Vec<GrantEvent>, GrantError> {
        let (id, subject) = (cut(id), subject.clone());
        self.inner
            .store
            .read("consent.events", move |tx| {
                rows::grants::find_of(tx, &id, &subject)?.ok_or(GrantError::NotYours)?;
                Ok(rows::events::list(tx, &id)?)
            })
            .await
    }

    /// An event about this person with its commitment.
    pub(crate) async fn opened(&self, event_id: &str, subject: &NationalNumber) -> Result<OpenedEvent, GrantError> {
        let (id, subject) = (cut(event_id), subject.clone());
        self.inner
            .store
            .read("consent.event", move |tx| rows::events::find_of(tx, &id, &subject)?.ok_or(GrantError::NotYours))
            .await
    }

    /// Counts one use for one message and signs the proof of it. The same message asks again for the same answer, without
    /// counting twice. The answer, yes or no, is durably written down when this returns.
    pub async fn use_once(&self, request: GrantUseRequest) -> Result<GrantUse, UseError> {
        let bounded = [&request.grant_id, &request.message_id].iter().all(|id| (1..=ID_BYTES_MAX).contains(&id.len()))
            && request.method.len() <= 16
            && request.path.len() <= PATH_BYTES_MAX;
        if !bounded {
            return Err(GrantRefusal::OutOfScope("form").into());
        }
        let now = self.now();
        let (asked, drawn) = (request.clone(), self.draw());
        let used = self
            .inner
            .store
            .tx("consent.use", move |tx| use_grant(tx, &asked, &drawn, now))
            .await
            .map_err(GrantError::Store)?;
        match used {
            Used::Yes(grant) => Ok(self.prove(*grant, request, now)?),
            Used::No(refusal) => Err(refusal.into()),
        }
    }

    /// Marks grants that are past their end, and writes that down. How many.
    pub async fn expire(&self) -> Result<usize, GrantError> {
        let now = self.now();
        let drawn: Vec<Drawn> = (0..EXPIRY_BATCH).map(|_| self.draw()).collect();
        self.inner
            .store
            .tx("consent.expire", move |tx| {
                let overdue = rows::grants::overdue(tx, now, EXPIRY_BATCH)?;
                for (grant, drawn) in overdue.iter().zip(&drawn) {
                    if rows::grants::end(tx, &grant.id, GrantStatus::Expired(now))? {
                        note(tx, drawn, &EventRecord::of(grant, EventKind::Expired, now), grant, now)?;
                    }
                }
                Ok(overdue.len())
            })
            .await
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    fn draw(&self) -> Drawn {
        Drawn::new(self.inner.random.as_ref())
    }

    fn prove(&self, grant: Grant, request: GrantUseRequest, now: Timestamp) -> Result<GrantUse, GrantError> {
        let expires = Timestamp::from_seconds(now.plus(PROOF_LIFETIME).seconds());
        let claims = GrantUseClaims {
            iss: self.inner.config.issuer.clone(),
            aud: request.provider,
            iat: now.seconds(),
            exp: expires.seconds(),
            jti: request.message_id,
            grant_id: grant.id,
            sub: grant.national_number,
            client: grant.client,
            service: grant.service,
            method: request.method,
            path: request.path,
            fields: grant.fields,
            years: grant.years,
            purpose: grant.purpose,
        };
        let jws = jws_sign(&self.inner.config.key, GRANT_USE_TYP, &claims)
            .map_err(|error| GrantError::Signing(error.to_string()))?;
        Ok(GrantUse {
            jws,
            subject: claims.sub,
            fields: claims.fields,
            years: claims.years,
            purpose: claims.purpose,
            expires,
        })
    }
}

fn use_grant(tx: &mut Tx<'_>, request: &GrantUseRequest, drawn: &Drawn, now: Timestamp) -> Result<Used, StoreError> {
    let Some(grant) = rows::grants::find(tx, &request.grant_id)? else {
        let refusal = GrantRefusal::Unknown;
        let record = EventRecord::of_unknown(request, now).asked(request).because(refusal.code());
        rows::events::insert(tx, drawn, &record, None, now)?;
        return Ok(Used::No(refusal));
    };
    let refusal = match judge(tx, &grant, request, now)? {
        Ok(Counted::Before) => return Ok(Used::Yes(Box::new(grant))),
        Ok(Counted::Now) => {
            rows::grants::insert_use(tx, request, now)?;
            let record = EventRecord::of(&grant, EventKind::Used, now).asked(request);
            note(tx, drawn, &record, &grant, now)?;
            return Ok(Used::Yes(Box::new(grant)));
        }
        Err(refusal) => refusal,
    };
    let record = EventRecord::of(&grant, EventKind::Refused, now).asked(request).because(refusal.code());
    note(tx, drawn, &record, &grant, now)?;
    Ok(Used::No(refusal))
}

enum Counted {
    Now,
    Before,
}

/// The rules in the order in which they speak: scope, end, message, count. The count is the database's word.
fn judge(
    tx: &mut Tx<'_>,
    grant: &Grant,
    request: &GrantUseRequest,
    now: Timestamp,
) -> Result<Result<Counted, GrantRefusal>, StoreError> {
    if let Err(refusal) = grant.covers(request) {
        return Ok(Err(refusal));
    }
    match grant.state(now) {
        GrantState::Revoked => return Ok(Err(GrantRefusal::Revoked)),
        GrantState::Expired => return Ok(Err(GrantRefusal::Expired)),
        GrantState::Active | GrantState::Exhausted => {}
    }
    match rows::grants::earlier_use(tx, request)? {
        Some(true) => return Ok(Ok(Counted::Before)),
        Some(false) => return Ok(Err(GrantRefusal::OutOfScope("message id, which served for another request"))),
        None => {}
    }
    let counted = rows::grants::count_use(tx, &grant.id, now)?;
    Ok(if counted { Ok(Counted::Now) } else { Err(GrantRefusal::Exhausted) })
}

fn revoked(tx: &mut Tx<'_>, grant: Grant, reason: &str, drawn: &Drawn, now: Timestamp) -> Result<Grant, GrantError> {
    let status = GrantStatus::Revoked(now);
    if !rows::grants::end(tx, &grant.id, status)? {
        return Err(GrantError::Ended);
    }
    note(tx, drawn, &EventRecord::of(&grant, EventKind::Revoked, now).because(reason), &grant, now)?;
    Ok(Grant { status, ..grant })
}

fn note(tx: &mut Tx<'_>, drawn: &Drawn, record: &EventRecord, grant: &Grant, now: Timestamp) -> Result<(), StoreError> {
    rows::events::insert(tx, drawn, record, Some(&grant.national_number), now)
}

fn cut(id: &str) -> String {
    id.chars().take(ID_BYTES_MAX).collect()
}
