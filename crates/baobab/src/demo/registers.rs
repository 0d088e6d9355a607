//! The information systems behind the nodes of the civil-status office and the tax office, with what their nodes offer.

use std::sync::Arc;

use bridge::access::AccessRight;
use bridge::config::{ServiceBasis, ServiceConfig, SubjectRule};
use civic::{ClientId, ServiceId, SharedClock, SharedRandom, Timestamp};
use civil::PersonAccess;
use civil::person::Person;
use consent::{Consent, ConsentConfig, LawfulService};
use fisc::Taxpayer;
use store::Store;
use trust::jose::Jwks;
use web::Room;

use super::ports::{Organisation, Ports, socket_url};
use super::words::{CIVIL_LAW, citizen_portal};

/// The population register.
pub(super) async fn civil(store: Store, clock: &SharedClock, random: &SharedRandom) -> anyhow::Result<Room> {
    let access = PersonAccess {
        service: service(Organisation::Civil, "person")?,
        law: CIVIL_LAW.to_owned(),
        purpose: citizen_portal(),
    };
    let law = LawfulService { clients: Some(vec![client(Organisation::Agency)?]), ..access.declared() };
    let config = ConsentConfig { organisation: client(Organisation::Civil)?, grant_issuer: None, laws: vec![law] };
    let consent = Consent::open(store.clone(), config, Arc::clone(clock), Arc::clone(random)).await?;
    Ok(civil::room(store, consent, access).await?)
}

/// The tax office, which believes the proofs of the consent service.
pub(super) async fn fisc(
    store: Store,
    issuer: (String, Jwks),
    clock: &SharedClock,
    random: &SharedRandom,
) -> anyhow::Result<Room> {
    let config =
        ConsentConfig { organisation: client(Organisation::Fisc)?, grant_issuer: Some(issuer), laws: Vec::new() };
    let consent = Consent::open(store.clone(), config, Arc::clone(clock), Arc::clone(random)).await?;
    Ok(fisc::room(store, consent, income_service()?).await?)
}

/// Fills the registers where they are empty; two stores at a time.
pub(super) async fn seed(
    seed: u64,
    people: Arc<[Person]>,
    samples: usize,
    civil: &Store,
    fisc: &Store,
    now: Timestamp,
) -> anyhow::Result<()> {
    let taxpayer = |(position, person): (usize, &Person)| Taxpayer {
        national_number: person.national_number.clone(),
        birth_year: person.birth.date.year(),
        earner: position < samples,
    };
    let taxpayers: Vec<Taxpayer> = people.iter().enumerate().map(taxpayer).collect();
    let accounts: Arc<[fisc::Account]> = fisc::accounts(seed, &taxpayers).into();
    let (civil, fisc) = tokio::join!(civil::seed(civil, people, now), fisc::seed(fisc, accounts, now));
    civil?;
    fisc?;
    Ok(())
}

/// What the node of the civil-status office offers: communes to everybody, persons by law to the portal.
pub(super) fn civil_services(ports: Ports) -> anyhow::Result<(Vec<ServiceConfig>, Vec<AccessRight>)> {
    let base = socket_url(ports.service(Organisation::Civil));
    let communes = ServiceConfig {
        id: service(Organisation::Civil, "communes")?,
        base_url: format!("{base}/communes"),
        basis: ServiceBasis::Public,
        subject: SubjectRule::None,
        fields: Vec::new(),
        openapi: Some(civil::COMMUNES_OPENAPI.to_owned()),
    };
    let purpose = citizen_portal();
    let person = ServiceConfig {
        id: service(Organisation::Civil, "person")?,
        base_url: format!("{base}/person"),
        basis: ServiceBasis::Law {
            reference: CIVIL_LAW.to_owned(),
            purpose_code: purpose.code,
            purpose_text: purpose.text,
        },
        subject: SubjectRule::PathSegment(0),
        fields: civil::person::FIELDS.map(str::to_owned).to_vec(),
        openapi: Some(civil::PERSON_OPENAPI.to_owned()),
    };
    let mut rights =
        Organisation::ALL.map(|reader| right(reader, &communes.id)).into_iter().collect::<Result<Vec<_>, _>>()?;
    rights.push(right(Organisation::Agency, &person.id)?);
    rights.push(right(Organisation::Agency, &service(Organisation::Civil, bridge::DATA_TRACKER)?)?);
    Ok((vec![communes, person], rights))
}

/// What the node of the tax office offers: the income statement, to the bank, with the citizen's consent.
pub(super) fn fisc_services(ports: Ports) -> anyhow::Result<(Vec<ServiceConfig>, Vec<AccessRight>)> {
    let income = ServiceConfig {
        id: income_service()?,
        base_url: format!("{}/income-statement", socket_url(ports.service(Organisation::Fisc))),
        basis: ServiceBasis::Consent,
        subject: SubjectRule::Permit,
        fields: fisc::FIELDS.map(str::to_owned).to_vec(),
        openapi: Some(fisc::OPENAPI.to_owned()),
    };
    let rights = vec![
        right(Organisation::Bank, &income.id)?,
        right(Organisation::Agency, &service(Organisation::Fisc, bridge::DATA_TRACKER)?)?,
    ];
    Ok((vec![income], rights))
}

/// The service on which the main job turns.
pub(super) fn income_service() -> anyhow::Result<ServiceId> {
    service(Organisation::Fisc, "income-statement")
}

/// A service of an organisation.
pub(super) fn service(provider: Organisation, code: &str) -> anyhow::Result<ServiceId> {
    Ok(client(provider)?.service(code)?)
}

/// The subsystem of an organisation.
pub(super) fn client(organisation: Organisation) -> anyhow::Result<ClientId> {
    Ok(organisation.client().parse()?)
}

fn right(reader: Organisation, service: &ServiceId) -> anyhow::Result<AccessRight> {
    Ok(AccessRight { client: client(reader)?, service: service.clone(), endpoint: None })
}
