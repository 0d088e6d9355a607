//! Citizens, clients and notices for tests, here and on the floors above.

use civic::testing::SeededRandom;
use civic::{ClientId, IdError, NationalNumber, PersonId, PersonIdError, Timestamp, random_array, random_hex};
use store::Store;
use trust::jose::{JoseError, Jwks};
use trust::keys::SigningKey;
use web::Text;

use crate::account::NewCitizen;
use crate::assurance::Acr;
use crate::client::{Client, IdentityConfig, Scope, ServiceNotice};
use crate::error::IdentityError;
use crate::store::{Event, Tables};

/// The PIN of every [`citizen`].
pub const PIN: &str = "482915";
/// The activation code of every [`citizen`].
pub const ACTIVATION_CODE: &str = "K7PX-2MQF";

/// A citizen with a phone, a PIN and a letter; everything follows from the name.
pub fn citizen(name: &str) -> Result<NewCitizen, PersonIdError> {
    let seed = name.bytes().fold(7_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let number: NationalNumber = format!("2751{}{:05}", 1960 + seed % 40, seed % 100_000).parse()?;
    Ok(NewCitizen {
        person: PersonId::draw(&SeededRandom::new(seed)),
        national_number: number,
        display_name: name.to_owned(),
        phone: Some(format!("+22177{:07}", seed % 10_000_000)),
        pin: Some(PIN.to_owned()),
        activation_code: ACTIVATION_CODE.to_owned(),
    })
}

/// A client with one redirect URI (`URL/callback`) and one place to go after logout (`URL/`).
pub fn client(id: &str, member: &str, url: &str, key: &SigningKey) -> Result<Client, TestingError> {
    let member: ClientId = member.parse()?;
    Ok(Client {
        id: id.to_owned(),
        name: Text::name(id),
        redirect_uris: vec![format!("{url}/callback")],
        post_logout_redirect_uris: vec![format!("{url}/")],
        keys: Jwks::of([key.public()])?,
        member,
        services: Vec::new(),
        scopes: vec![Scope::Profile],
        own_scopes: Vec::new(),
        first_party: false,
    })
}

/// The notice of the income statement of the demo nation.
pub fn income_notice(acr_min: Acr) -> Result<ServiceNotice, TestingError> {
    let field = |code: &str, fr: &str, en: &str| (code.to_owned(), Text::new(fr, en));
    Ok(ServiceNotice {
        service: "BB/GOV/1002/fisc/income-statement".parse()?,
        provider: Text::new("Impôts", "Tax office"),
        name: Text::new("votre déclaration de revenus", "your income statement"),
        fields: vec![
            field("gross_income", "Revenu brut de l’année", "Gross income of the year"),
            field("taxable_income", "Revenu imposable", "Taxable income"),
            field("employer", "Nom de l’employeur", "Name of the employer"),
        ],
        law: Text::new("Loi sur la protection des données, consentement.", "Data protection law, consent."),
        refusal: Text::new(
            "La banque étudiera votre demande sans ces informations.",
            "The bank will study your request without this information.",
        ),
        acr_min,
    })
}

/// Settings of a provider at this issuer.
pub fn config(issuer: &str, clients: Vec<Client>, services: Vec<ServiceNotice>) -> IdentityConfig {
    IdentityConfig {
        issuer: issuer.to_owned(),
        organisation: Text::new("Agence du numérique", "Digital agency"),
        rp_id: "localhost".to_owned(),
        portal_url: "http://localhost:8600".to_owned(),
        withdraw_url: "http://localhost:8600/autorisations".to_owned(),
        clients,
        services,
        resources: Vec::new(),
    }
}

/// Writes down that somebody chose a PIN, as the provider does; who has no account yet gets one. The id of the act.
pub async fn chose_pin(
    store: Store,
    person: &PersonId,
    number: &NationalNumber,
    now: Timestamp,
) -> Result<String, IdentityError> {
    let tables = Tables::new(store);
    let account = NewCitizen {
        person: person.clone(),
        national_number: number.clone(),
        display_name: "Awa Ndiaye".to_owned(),
        phone: None,
        pin: None,
        activation_code: ACTIVATION_CODE.to_owned(),
    };
    tables.enrol(vec![(account, None)], now).await?;
    let random = SeededRandom::new(now.micros().unsigned_abs());
    let event = Event {
        id: random_hex::<16>(&random),
        person: person.clone(),
        kind: "pin_changed",
        client_id: None,
        acr: None,
        key_id: None,
        salt: random_array(&random),
    };
    let id = event.id.clone();
    tables.record(event, now).await?;
    Ok(id)
}

/// A test asked for something that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum TestingError {
    /// An identifier.
    #[error(transparent)]
    Id(#[from] IdError),
    /// A key.
    #[error(transparent)]
    Key(#[from] JoseError),
}
