use std::sync::Arc;

use civic::testing::{SeededRandom, TestClock};
use civic::{NationalNumber, Purpose};
use civil::person::Person;
use civil::{PersonAccess, population};
use consent::{Consent, ConsentConfig, Outcome, Paging};
use serde_json::Value;
use store::Store;

use crate::Service;

const THROUGH_THE_BRIDGE: [(&str, &str); 2] = [("x-road-client", "BB/GOV/1002/fisc"), ("x-road-id", "BB-message-1")];

struct Office {
    service: Service,
    consent: Consent,
    people: Vec<Person>,
}

impl Office {
    async fn on(store: Store) -> Self {
        Self::under(store, "Code de la famille, art. 29").await
    }

    /// The office believes that `law` opens the service; the organisation has put down article 29.
    async fn under(store: Store, law: &str) -> Self {
        let clock = Arc::new(TestClock::at("2026-11-21T22:40:00Z"));
        let access = |law: &str| PersonAccess {
            service: "BB/GOV/1001/etat-civil/person".parse().unwrap(),
            law: law.to_owned(),
            purpose: Purpose { code: "civil-status-check".into(), text: "Vérifier un état civil".into() },
        };
        let config = ConsentConfig {
            organisation: "BB/GOV/1001/etat-civil".parse().unwrap(),
            grant_issuer: None,
            laws: vec![access("Code de la famille, art. 29").declared()],
        };
        let consent = Consent::open(store.clone(), config, clock, Arc::new(SeededRandom::new(1))).await.unwrap();
        let people = population::generate(2026, 60).people;
        civil::seed(&store, people.clone().into(), crate::NOW).await.unwrap();
        let room = civil::room(store, consent.clone(), access(law)).await.unwrap();
        Self { service: Service::start(room.router).await, consent, people }
    }

    async fn journal_of(&self, number: &NationalNumber) -> Vec<consent::JournalEntry> {
        self.consent.journal(number, Paging::first(10)).await.unwrap().entries
    }
}

#[tokio::test]
async fn a_person_is_shown_under_the_law_and_the_look_is_journaled_on_every_engine() {
    for store in store::testing::engines().await {
        let office = Office::on(store).await;
        let awa = &office.people[0];
        let path = format!("/person/{}", awa.national_number);
        let reply = office.service.get(&path, &THROUGH_THE_BRIDGE).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.headers["cache-control"], "no-store");
        insta::assert_json_snapshot!("person", reply.json::<Value>().unwrap());
        let journal = office.journal_of(&awa.national_number).await;
        assert_eq!(journal.len(), 1);
        assert_eq!(journal[0].message_id.as_deref(), Some("BB-message-1"));
    }
}

#[tokio::test]
async fn the_number_is_taken_as_people_type_it() {
    let office = Office::on(store::testing::sqlite().await).await;
    let grouped = office.people[3].national_number.grouped().to_lowercase().replace(' ', "%20");
    let reply = office.service.get(&format!("/person/{grouped}"), &THROUGH_THE_BRIDGE).await;
    assert_eq!(reply.status, 200);
    let person: Value = reply.json().unwrap();
    assert_eq!(person["birth"]["precision"], "estimated");
    assert_eq!(person["birth"]["date"], "1962");
}

#[tokio::test]
async fn looking_for_nobody_is_told_and_journaled() {
    let office = Office::on(store::testing::sqlite().await).await;
    let nobody: NationalNumber = "1A01190000001".parse().unwrap();
    let reply = office.service.get(&format!("/person/{nobody}"), &THROUGH_THE_BRIDGE).await;
    assert_eq!(reply.status, 404);
    assert_eq!(reply.json::<Value>().unwrap()["type"], "urn:baobab:problem:unknown_person");
    assert_eq!(office.journal_of(&nobody).await.len(), 1);
}

#[tokio::test]
async fn a_call_that_did_not_come_through_a_node_is_refused() {
    let office = Office::on(store::testing::sqlite().await).await;
    let path = format!("/person/{}", office.people[0].national_number);
    for headers in [
        &[][..],
        &[("x-road-client", "BB/GOV/1002/fisc")],
        &[("x-road-id", "BB-1")],
        &[("x-road-client", "nobody"), ("x-road-id", "BB-1")],
        &[("x-road-client", "BB/GOV/1002/fisc"), ("x-road-id", "")],
    ] {
        let reply = office.service.get(&path, headers).await;
        assert_eq!(reply.status, 400);
        assert_eq!(reply.json::<Value>().unwrap()["type"], "urn:baobab:problem:not_through_the_bridge");
    }
    assert!(office.journal_of(&office.people[0].national_number).await.is_empty());
}

#[tokio::test]
async fn what_is_no_national_number_is_refused_before_anything_is_read() {
    let office = Office::on(store::testing::sqlite().await).await;
    for number in ["1", "3A01190000001", "%20", "..%2f..%2fetc", "1A01190000001%27--", "1A0119000000%C3%A9"] {
        let reply = office.service.get(&format!("/person/{number}"), &THROUGH_THE_BRIDGE).await;
        assert_eq!(reply.status, 400, "{number}");
    }
}

#[tokio::test]
async fn without_a_law_nothing_is_shown_and_the_attempt_is_journaled() {
    let office = Office::under(store::testing::sqlite().await, "Décret imaginaire").await;
    let awa = office.people[0].national_number.clone();
    let reply = office.service.get(&format!("/person/{awa}"), &THROUGH_THE_BRIDGE).await;
    assert_eq!(reply.status, 403);
    let body = String::from_utf8_lossy(&reply.body).into_owned();
    assert!(body.contains("consent_no_law") && !body.contains("Ndiaye"));
    let journal = office.journal_of(&awa).await;
    assert!(matches!(&journal[0].outcome, Outcome::Refused(code) if code == "consent_no_law"));
}

#[tokio::test]
async fn the_description_names_every_field() {
    let office = Office::on(store::testing::sqlite().await).await;
    let described: Value = office.service.get("/openapi/person.json", &[]).await.json().unwrap();
    let members = described["components"]["schemas"]["Person"]["properties"].as_object().unwrap();
    assert_eq!(members.keys().collect::<Vec<_>>(), civil::person::FIELDS);
}
