//! Builders for the tests of the floors above: an issuer of proofs, requests and grants with sensible contents.

use std::sync::Arc;

use civic::{
    Actor, ClientId, IdError, Locale, NationalNumber, PersonId, PersonIdError, Purpose, ServiceId, SharedClock,
    SharedRandom, Timestamp,
};
use ledger::{ClientError, LedgerClient};
use store::{Store, StoreError};
use trust::jose::{JoseError, Jwks, jws_sign};
use trust::keys::SigningKey;
use trust::note::{NoteError, VerifierKey};

use crate::access::{AccessRequest, Basis, ConsentConfig, LawfulService};
use crate::grant::NewGrant;
use crate::grants::{Grants, GrantsConfig};
use crate::proof::{GRANT_USE_TYP, GrantUseClaims};

/// Why a builder did not build: a wrong text in the test itself.
#[derive(Debug, thiserror::Error)]
pub enum TestingError {
    /// A wrong identifier.
    #[error(transparent)]
    Id(#[from] IdError),
    /// A wrong number of a person.
    #[error(transparent)]
    Person(#[from] PersonIdError),
    /// A key or signature failed.
    #[error(transparent)]
    Jose(#[from] JoseError),
    /// A key of the ledger.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// A client of the ledger.
    #[error(transparent)]
    Ledger(#[from] ClientError),
    /// The storage.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Grants in this store, signed by this issuer, usable by the nodes of these providers, each with the key beside it. The
/// ledger is at an address where nobody answers: events wait in the outbox.
pub async fn grants(
    store: Store,
    issuer: &TestIssuer,
    providers: &[(&str, &SigningKey)],
    clock: SharedClock,
    random: SharedRandom,
) -> Result<Grants, TestingError> {
    let key = SigningKey::generate_ed25519().map_err(JoseError::from)?;
    let verifier = VerifierKey::new("ledger.test/state", key.public())?;
    let ledger = LedgerClient::new("http://127.0.0.1:9", verifier, None, Arc::clone(&clock))?;
    let providers = providers.iter().map(|(client, key)| Ok((client.parse()?, Jwks::of([key.public()])?)));
    let providers = providers.collect::<Result<_, TestingError>>()?;
    let config = GrantsConfig { issuer: issuer.issuer.clone(), key: issuer.key.clone(), providers, ledger };
    Ok(Grants::open(store, config, clock, random).await?)
}

/// A consent service of tests: signs proofs of grant use without keeping grants.
#[derive(Debug)]
pub struct TestIssuer {
    /// Its issuer URL.
    pub issuer: String,
    /// Its key.
    pub key: SigningKey,
}

impl TestIssuer {
    /// A new issuer with a key of its own.
    pub fn new() -> Result<Self, TestingError> {
        let key = SigningKey::generate_p256().map_err(JoseError::from)?;
        Ok(Self { issuer: "http://localhost:8601".to_owned(), key })
    }

    /// The trust of an organisation in this issuer, and in these laws.
    pub fn config(&self, organisation: &str, laws: Vec<LawfulService>) -> Result<ConsentConfig, TestingError> {
        let keys = Jwks::of([self.key.public()])?;
        let organisation = organisation.parse()?;
        Ok(ConsentConfig { organisation, grant_issuer: Some((self.issuer.clone(), keys)), laws })
    }

    /// The proof that `client` may read these fields of one year through `service`, for this message, now.
    #[expect(clippy::too_many_arguments, reason = "each is one claim that a test varies alone")]
    pub fn proof(
        &self,
        client: &str,
        service: &str,
        subject: &NationalNumber,
        fields: &[&str],
        year: u16,
        message_id: &str,
        now: Timestamp,
    ) -> Result<String, TestingError> {
        let service: ServiceId = service.parse()?;
        self.sign(&GrantUseClaims {
            iss: self.issuer.clone(),
            aud: service.client().clone(),
            iat: now.seconds(),
            exp: now.seconds() + 120,
            jti: message_id.to_owned(),
            grant_id: "grant-1".to_owned(),
            sub: subject.clone(),
            client: client.parse()?,
            service,
            method: "GET".to_owned(),
            path: format!("/{year}"),
            fields: owned(fields),
            years: vec![year],
            purpose: purpose(),
        })
    }

    /// Signs any claims.
    pub fn sign(&self, claims: &GrantUseClaims) -> Result<String, TestingError> {
        Ok(jws_sign(&self.key, GRANT_USE_TYP, claims)?)
    }
}

/// The purpose of the demo's bank.
pub fn purpose() -> Purpose {
    Purpose { code: "credit-application".to_owned(), text: "Étudier votre demande de prêt".to_owned() }
}

/// An organisation asks under a law.
pub fn by_law(
    client: &str,
    service: &str,
    subject: &NationalNumber,
    fields: &[&str],
    reference: &str,
) -> Result<AccessRequest, TestingError> {
    Ok(AccessRequest {
        actor: Actor::Organisation(client.parse::<ClientId>()?),
        subject: subject.clone(),
        service: service.parse()?,
        fields: owned(fields),
        purpose: purpose(),
        basis: Basis::Law { reference: reference.to_owned() },
        message_id: Some("BB-1".to_owned()),
    })
}

/// A citizen asks for their own data.
pub fn by_self(
    person: &PersonId,
    service: &str,
    subject: &NationalNumber,
    fields: &[&str],
) -> Result<AccessRequest, TestingError> {
    Ok(AccessRequest {
        actor: Actor::Citizen(person.clone()),
        basis: Basis::SelfAccess,
        message_id: None,
        subject: subject.clone(),
        service: service.parse()?,
        fields: owned(fields),
        purpose: purpose(),
    })
}

/// An organisation asks with a proof of grant use.
pub fn by_grant(
    client: &str,
    service: &str,
    subject: &NationalNumber,
    fields: &[&str],
    message_id: &str,
    proof: String,
) -> Result<AccessRequest, TestingError> {
    Ok(AccessRequest {
        basis: Basis::Grant(proof),
        message_id: Some(message_id.to_owned()),
        ..by_law(client, service, subject, fields, "")?
    })
}

/// A citizen allows the demo's bank to read the income of 2025: 30 days, 3 uses.
pub fn new_grant(person: &str, national_number: &str, auth_time: Timestamp) -> Result<NewGrant, TestingError> {
    Ok(NewGrant {
        person: person.parse()?,
        national_number: national_number.parse()?,
        client: "BB/COM/2001/credit".parse()?,
        service: "BB/GOV/1002/fisc/income-statement".parse()?,
        fields: owned(&["gross_income", "taxable_income", "employer"]),
        years: vec![2025],
        purpose: purpose(),
        valid_for_days: 30,
        uses_max: 3,
        locale: Locale::Fr,
        notice_hash: "0".repeat(64),
        acr: "substantial".to_owned(),
        amr: owned(&["pin", "sms"]),
        auth_time,
    })
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}
