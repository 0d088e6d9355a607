use std::sync::Arc;
use std::time::Duration;

use civic::{Actor, LegalBasis, NationalNumber, Purpose, SharedClock, SharedRandom, Timestamp, random_uuid};
use store::{Store, StoreError};
use trust::jose::jws_verify;

use crate::access::{AccessRequest, Basis, ConsentConfig, Permit, Refusal, cut, first_outside};
use crate::journal::{JournalPage, Outcome, Paging};
use crate::proof::{GRANT_USE_TYP, GrantUseClaims};
use crate::store as rows;
use crate::store::journal::NewEntry;

/// How far the clocks of two organisations may differ.
const SKEW: Duration = Duration::from_secs(30);

/// Decides about access to personal data in one organisation and writes the access journal. Cheap to clone.
#[derive(Clone)]
pub struct Consent {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    config: ConsentConfig,
    clock: SharedClock,
    random: SharedRandom,
}

/// What was found to make an access lawful.
struct Grounds {
    basis: LegalBasis,
    purpose: Purpose,
    years: Option<Vec<u16>>,
    /// The proof that must not serve again: grant, message, and until when it could.
    spends: Option<(String, String, Timestamp)>,
}

impl Consent {
    /// Opens the journal of an organisation, creating its tables.
    pub async fn open(
        store: Store,
        config: ConsentConfig,
        clock: SharedClock,
        random: SharedRandom,
    ) -> Result<Self, StoreError> {
        store.migrate(&rows::JOURNAL_MIGRATIONS).await?;
        Ok(Self { inner: Arc::new(Inner { store, config, clock, random }) })
    }

    /// May this be read? The answer, yes or no, is durably in the access journal when this returns.
    /// A proof of grant use opens once.
    pub async fn decide(&self, request: AccessRequest) -> Result<Permit, Refusal> {
        let now = self.inner.clock.now();
        let judged = self.judge(&request, now);
        let id = random_uuid(self.inner.random.as_ref());
        let (basis, purpose) = match &judged {
            Ok(grounds) => (grounds.basis.clone(), grounds.purpose.clone()),
            Err(_) => (claimed_basis(&request.basis), request.purpose.clone()),
        };
        let mut entry = NewEntry {
            id: id.clone(),
            at: now,
            actor: request.actor.clone(),
            subject: request.subject.clone(),
            service: request.service.clone(),
            fields: request.fields.iter().take(crate::FIELDS_MAX).map(|field| cut(field)).collect(),
            purpose: Purpose { code: cut(&purpose.code), text: cut(&purpose.text) },
            basis,
            message_id: request.message_id.as_deref().map(cut),
            outcome: Outcome::Granted,
        };
        let grounds = match judged {
            Ok(grounds) => grounds,
            Err(refusal) => {
                entry.outcome = Outcome::Refused(refusal.code().to_owned());
                self.write(entry, None).await?;
                return Err(refusal);
            }
        };
        if !self.write(entry, grounds.spends).await? {
            return Err(Refusal::Spent);
        }
        Ok(Permit {
            journal_id: id,
            actor: request.actor,
            subject: request.subject,
            service: request.service,
            fields: request.fields,
            years: grounds.years,
            purpose: grounds.purpose,
            basis: grounds.basis,
            message_id: request.message_id,
            at: now,
        })
    }

    /// Who looked at the data of this person in this organisation, newest first, refused attempts included. For the person
    /// only: the caller has checked who is logged in.
    pub async fn journal(&self, subject: &NationalNumber, paging: Paging) -> Result<JournalPage, StoreError> {
        let subject = subject.clone();
        self.inner.store.read("consent.journal", move |tx| rows::journal::page(tx, &subject, paging)).await
    }

    fn judge(&self, request: &AccessRequest, now: Timestamp) -> Result<Grounds, Refusal> {
        let config = &self.inner.config;
        request.check(config)?;
        let as_asked = |basis| Grounds { basis, purpose: request.purpose.clone(), years: None, spends: None };
        match &request.basis {
            Basis::SelfAccess => match request.actor {
                Actor::Citizen(_) => Ok(as_asked(LegalBasis::SelfAccess)),
                _ => Err(Refusal::Actor("only a citizen reads by self access")),
            },
            Basis::Law { reference } => {
                request.check_law(reference, config)?;
                Ok(as_asked(LegalBasis::Law(reference.clone())))
            }
            Basis::Grant(proof) => self.judge_grant(request, proof, now),
        }
    }

    fn judge_grant(&self, request: &AccessRequest, proof: &str, now: Timestamp) -> Result<Grounds, Refusal> {
        let config = &self.inner.config;
        let (issuer, keys) = config.grant_issuer.as_ref().ok_or(Refusal::NoGrantIssuer)?;
        let refused = |reason: String| Refusal::Proof(reason);
        let (_, claims) =
            jws_verify::<GrantUseClaims>(proof, keys, GRANT_USE_TYP).map_err(|error| refused(error.to_string()))?;
        if claims.iss != *issuer {
            return Err(refused("it is from another issuer".to_owned()));
        }
        let expires = Timestamp::from_seconds(claims.exp).plus(SKEW);
        if now >= expires || Timestamp::from_seconds(claims.iat) > now.plus(SKEW) {
            return Err(refused("it is too old, or from the future: set the clocks, or send a new message".to_owned()));
        }
        let Actor::Organisation(client) = &request.actor else {
            return Err(Refusal::Actor("only an organisation reads by a grant"));
        };
        let other = if claims.aud != config.organisation {
            "provider"
        } else if claims.sub != request.subject {
            "person"
        } else if claims.client != *client {
            "client"
        } else if claims.service != request.service {
            "service"
        } else if request.message_id.as_ref() != Some(&claims.jti) {
            "message"
        } else {
            first_outside(&request.fields, &claims.fields)?;
            return Ok(Grounds {
                basis: LegalBasis::Consent(claims.grant_id.clone()),
                purpose: claims.purpose,
                years: Some(claims.years),
                spends: Some((claims.grant_id, claims.jti, expires)),
            });
        };
        Err(Refusal::OtherRequest(other))
    }

    /// Writes the entry; `false` where the proof had served before, which the entry then says.
    async fn write(&self, entry: NewEntry, spends: Option<(String, String, Timestamp)>) -> Result<bool, StoreError> {
        self.inner
            .store
            .tx("consent.decide", move |tx| {
                let fresh = match &spends {
                    Some((grant, message, expires)) => rows::journal::spend(tx, grant, message, *expires, entry.at)?,
                    None => true,
                };
                if fresh {
                    rows::journal::insert(tx, &entry)?;
                } else {
                    let outcome = Outcome::Refused(Refusal::Spent.code().to_owned());
                    rows::journal::insert(tx, &NewEntry { outcome, ..entry.clone() })?;
                }
                Ok(fresh)
            })
            .await
    }
}

/// What a refused request claimed. The grant inside a proof that was not believed is not repeated.
fn claimed_basis(basis: &Basis) -> LegalBasis {
    match basis {
        Basis::SelfAccess => LegalBasis::SelfAccess,
        Basis::Law { reference } => LegalBasis::Law(cut(reference)),
        Basis::Grant(_) => LegalBasis::Consent(String::new()),
    }
}
